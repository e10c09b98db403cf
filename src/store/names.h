/* names.h - names from untrusted files as messages show them: one, and a list of as many as fit.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_NAMES_H
#define TERN_STORE_NAMES_H

#include <stddef.h>

typedef struct tern_quoted {
    char text[128];
} tern_quoted;

/* In double quotes, long ones cut, control characters and what is not UTF-8 replaced by '?'. */
tern_quoted tern__quote(const char *name);
tern_quoted tern__quote_bytes(const void *bytes, size_t n_bytes);
/* The same without the quotes. */
tern_quoted tern__printable(const void *bytes, size_t n_bytes);

/* Lines of a message. Zeroed: empty. `text` has the lines that fit, each behind "\n  ". */
typedef struct tern_name_list {
    char text[1536];
    size_t n_text;
    size_t n_names;
    size_t n_left_out;
} tern_name_list;

void tern__name_list_add(tern_name_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "\n  and 5 more", or nothing. */
tern_quoted tern__name_list_rest(const tern_name_list *list);

#endif
