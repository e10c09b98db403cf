/* pattern.c - searching for strings and, through pattern_engine.c, for regular expressions; pattern_syntax.c translates them.
 * Source: find_iter of the Rust crate onig.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/pattern_engine.h"
#include "text/unicode/pattern_syntax.h"
#include "text/unicode/unicode.h"

struct tern_pattern {
    tern_engine *engine; /* NULL: a string */
    size_t n_bytes;
    char string[];
};

void tern__pattern_free(tern_pattern *pattern) {
    if (!pattern) return;
    tern__engine_free(pattern->engine);
    free(pattern);
}

int tern__pattern_character(const tern_pattern *pattern) {
    bool is_one = !pattern->engine && pattern->n_bytes == 1 && (unsigned char)pattern->string[0] < 0x80;
    return is_one ? (unsigned char)pattern->string[0] : -1;
}

static tern_status compile(tern_pattern *pattern, tern_text regex, tern_json_place place, tern_error *err) {
    tern_text_builder builder = {0};
    tern_status status = tern__pattern_translate(&builder, regex, place, err);
    char *translated = tern__text_take(&builder);
    if (status == TERN_OK && !translated) status = TERN_FAIL_MEMORY(err, regex.bytes);
    if (status == TERN_OK) {
        char prefix[200];
        status = tern__engine_new(&pattern->engine, translated, err);
        snprintf(prefix, sizeof prefix, "%s: %s %s", place.file, place.part, place.type);
        if (status == TERN_E_UNSUPPORTED) status = tern__fail_prefix(err, status, prefix);
    }
    free(translated);
    return status;
}

tern_status tern__pattern_new(tern_pattern **out, tern_text text, bool is_regex, tern_json_place place, tern_error *err) {
    *out = NULL;
    size_t n_bytes = is_regex ? 0 : text.bytes, needed;
    tern_pattern *pattern = tern__size_add(sizeof *pattern, n_bytes, &needed) ? malloc(needed) : NULL;
    if (!pattern) return TERN_FAIL_MEMORY(err, text.bytes);
    *pattern = (tern_pattern){.n_bytes = n_bytes};
    if (n_bytes > 0) memcpy(pattern->string, text.data, n_bytes);
    tern_status status = is_regex ? compile(pattern, text, place, err) : TERN_OK;
    if (status != TERN_OK) return tern__pattern_free(pattern), status;
    *out = pattern;
    return TERN_OK;
}

tern_status tern__pattern_read(tern_pattern **out, const json_t *json, tern_json_place place, tern_error *err) {
    const json_t *string = json_object_get(json, "String"), *regex = json_object_get(json, "Regex");
    const json_t *value = string ? string : regex;
    if (json_object_size(json) != 1 || !json_is_string(value))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s %s: \"pattern\" must be {\"String\": \"..\"} or {\"Regex\": \"..\"}", place.file,
                         place.part, place.type);
    return tern__pattern_new(out, (tern_text){.data = json_string_value(value), .bytes = json_string_length(value)}, value == regex, place,
                             err);
}

tern_status tern__pattern_search_start(tern_pattern_search *search, const tern_pattern *pattern, const unsigned char *text, size_t n_bytes,
                                       tern_error *err) {
    *search = (tern_pattern_search){.pattern = pattern, .text = text, .n_bytes = n_bytes, .last_end = SIZE_MAX};
    if (!pattern->engine) return TERN_OK;
    search->scratch = tern__engine_scratch_new();
    return search->scratch ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof(size_t));
}

void tern__pattern_search_end(tern_pattern_search *search) {
    tern__engine_scratch_free(search->scratch);
    search->scratch = NULL;
}

static bool find_string(const tern_pattern_search *search, size_t *start, size_t *end) {
    const tern_pattern *pattern = search->pattern;
    const unsigned char *rest = search->text + search->at;
    const unsigned char *found =
        pattern->n_bytes == 0 ? rest : memmem(rest, search->n_bytes - search->at, pattern->string, pattern->n_bytes);
    if (!found) return false;
    *start = (size_t)(found - search->text);
    *end = *start + pattern->n_bytes;
    return true;
}

/* An empty match right behind the match before is none: the search goes on a character further. */
tern_status tern__pattern_search_next(tern_pattern_search *search, size_t *start, size_t *end, bool *is_found, tern_error *err) {
    *is_found = false;
    if (search->n_bytes == 0) return TERN_OK;
    while (search->at <= search->n_bytes) {
        const tern_engine *engine = search->pattern->engine;
        if (engine)
            TERN_TRY(tern__engine_find(engine, search->scratch, search->text, search->n_bytes, search->at, start, end, is_found, err));
        else *is_found = find_string(search, start, end);
        if (!*is_found) return TERN_OK;
        if (*start != *end || *end != search->last_end) {
            search->at = search->last_end = *end;
            return TERN_OK;
        }
        *is_found = false;
        size_t length = 1;
        if (search->at < search->n_bytes) tern__utf8_decode(search->text + search->at, &length);
        search->at += length;
    }
    return TERN_OK;
}
