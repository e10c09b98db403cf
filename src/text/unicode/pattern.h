/* pattern.h - what Replace and Split look for: a string, or a regular expression in Oniguruma's syntax, which is translated for PCRE2.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PATTERN_H
#define TERN_TEXT_PATTERN_H

#include "text/json_fields.h"

/* Read-only after it is made: many threads may search with one. */
typedef struct tern_pattern tern_pattern;

/* From {"String": ".."} or {"Regex": ".."}. errors: TERN_E_FORMAT, TERN_E_UNSUPPORTED: names the construct that cannot be translated. */
tern_status tern__pattern_read(tern_pattern **out, const json_t *json, tern_json_place place, tern_error *err);
tern_status tern__pattern_new(tern_pattern **out, tern_text pattern, bool is_regex, tern_json_place place, tern_error *err);
void tern__pattern_free(tern_pattern *pattern);
/* The ASCII character that is all of it; -1: it is something else. */
int tern__pattern_character(const tern_pattern *pattern);

/* A walk over the matches of `text`, well-formed UTF-8, from the left, as `find_iter` of Hugging Face's library gives them, empty matches
 * included:
 *
 *     tern_pattern_search search;
 *     TERN_TRY(tern__pattern_search_start(&search, pattern, text, n_bytes, err));
 *     while ((status = tern__pattern_search_next(&search, &start, &end, &is_found, err)) == TERN_OK && is_found) ...
 *     tern__pattern_search_end(&search);
 *
 * In an empty text there is no match. A search that takes too many steps or too much memory is an error (TERN_E_UNSUPPORTED). */
typedef struct tern_pattern_search {
    const tern_pattern *pattern;
    const unsigned char *text;
    size_t n_bytes;
    size_t at;
    size_t last_end; /* of the match before; SIZE_MAX: none */
    void *scratch;
} tern_pattern_search;

tern_status tern__pattern_search_start(tern_pattern_search *search, const tern_pattern *pattern, const unsigned char *text, size_t n_bytes,
                                       tern_error *err);
/* Bytes [*start, *end) of the text. */
tern_status tern__pattern_search_next(tern_pattern_search *search, size_t *start, size_t *end, bool *is_found, tern_error *err);
void tern__pattern_search_end(tern_pattern_search *search);
/* Goes over to another text, without a new allocation. */
static inline void tern__pattern_search_move(tern_pattern_search *search, const unsigned char *text, size_t n_bytes) {
    search->text = text;
    search->n_bytes = n_bytes;
    search->at = 0;
    search->last_end = SIZE_MAX;
}

#endif
