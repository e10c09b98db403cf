/* error.h - how a failure travels: TERN_FAIL fills the caller's tern_error and yields its code, TERN_TRY forwards one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_ERROR_H
#define TERN_BASE_ERROR_H

#include "tern.h"

/* Fill `err` (may be NULL) with a printf-formatted message and yield `code`:  return TERN_FAIL(err, TERN_E_IO, "%s: ...", path); */
#define TERN_FAIL(err, code, ...) tern__fail((err), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Return from the calling function when `call` fails. Only where nothing needs to be released. */
#define TERN_TRY(call)                           \
    do {                                         \
        tern_status try_status_ = (call);        \
        if (try_status_ != TERN_OK) return try_status_; \
    } while (0)

#define TERN_FAIL_MEMORY(err, bytes) \
    TERN_FAIL((err), TERN_E_MEMORY, "out of memory: %zu bytes could not be allocated", (size_t)(bytes))

tern_status tern__fail(tern_error *err, tern_status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Put "<prefix>: " in front of a message that is already there, for a caller that knows more, such as the path. Yields err's code. */
tern_status tern__fail_prefix(tern_error *err, tern_status code, const char *prefix);

#endif
