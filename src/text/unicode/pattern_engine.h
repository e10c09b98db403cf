/* pattern_engine.h - regular expressions in PCRE2's syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PATTERN_ENGINE_H
#define TERN_TEXT_PATTERN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Read-only after it is made: many threads may search with one, each with its own scratch. */
typedef struct tern_engine tern_engine;

/* Of a pattern that ends in NUL. errors: TERN_E_UNSUPPORTED: PCRE2 refuses it, and says why; TERN_E_MEMORY */
tern_status tern__engine_new(tern_engine **out, const char *pattern, tern_error *err);
void tern__engine_free(tern_engine *engine);

void *tern__engine_scratch_new(void); /* NULL: memory is short */
void tern__engine_scratch_free(void *scratch);
/* The first match from byte `at` on of `text`, well-formed UTF-8. errors: TERN_E_UNSUPPORTED: too many steps, or too much memory */
tern_status tern__engine_find(const tern_engine *engine, void *scratch, const unsigned char *text, size_t n_bytes, size_t at, size_t *start,
                              size_t *end, bool *is_found, tern_error *err);

#endif
