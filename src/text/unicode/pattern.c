/* pattern.c - searching for strings and, through PCRE2, for regular expressions; pattern_syntax.c translates them.
 * Source: PCRE2's manual, pcre2api(3); find_iter of the Rust crate onig.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "text/unicode/pattern_syntax.h"
#include "text/unicode/unicode.h"

/* What one search may cost before it is given up: steps of backtracking, KiB of memory for them. */
#define MATCH_STEPS  10000000
#define MATCH_MEMORY (256 * 1024)

struct tern_pattern {
    pcre2_code *code; /* NULL: a string */
    pcre2_match_context *limits;
    bool is_short_of_memory; /* an allocation failed while the code was made */
    size_t n_bytes;
    char string[];
};

static void *code_malloc(size_t bytes, void *pattern) {
    void *block = malloc(bytes);
    if (!block) ((tern_pattern *)pattern)->is_short_of_memory = true;
    return block;
}

static void code_free(void *block, void *pattern) {
    (void)pattern;
    free(block);
}

void tern__pattern_free(tern_pattern *pattern) {
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    pcre2_match_context_free(pattern->limits);
    free(pattern);
}

/* PCRE2's words for an error of its own, and where in the translated pattern. */
static tern_status fail_compile(int code, size_t offset, const char *translated, tern_json_place place, tern_error *err) {
    PCRE2_UCHAR message[200];
    if (pcre2_get_error_message(code, message, sizeof message) < 0) message[0] = '\0';
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s %s: PCRE2 refuses the pattern \"%.100s\": %s (at byte %zu)", place.file, place.part,
                     place.type, translated, (const char *)message, offset);
}

static tern_status compile(tern_pattern *pattern, const char *translated, tern_json_place place, tern_error *err) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_general_context *general = pcre2_general_context_create(code_malloc, code_free, pattern);
    pcre2_compile_context *compiling = general ? pcre2_compile_context_create(general) : NULL;
    pattern->limits = general ? pcre2_match_context_create(general) : NULL;
    if (compiling && pattern->limits) {
        pcre2_set_newline(compiling, PCRE2_NEWLINE_LF);
        pcre2_set_bsr(compiling, PCRE2_BSR_UNICODE);
        pcre2_set_match_limit(pattern->limits, MATCH_STEPS);
        pcre2_set_heap_limit(pattern->limits, MATCH_MEMORY);
        pattern->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &offset, compiling);
        /* Without JIT, which a system may forbid, searching is slower. */
        if (pattern->code) pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(compiling);
    pcre2_general_context_free(general);
    if (pattern->is_short_of_memory) return TERN_FAIL_MEMORY(err, strlen(translated));
    return pattern->code ? TERN_OK : fail_compile(code, offset, translated, place, err);
}

tern_status tern__pattern_new(tern_pattern **out, tern_text text, bool is_regex, tern_json_place place, tern_error *err) {
    *out = NULL;
    size_t n_bytes = is_regex ? 0 : text.bytes, needed;
    tern_pattern *pattern = tern__size_add(sizeof *pattern, n_bytes, &needed) ? malloc(needed) : NULL;
    if (!pattern) return TERN_FAIL_MEMORY(err, text.bytes);
    *pattern = (tern_pattern){.n_bytes = n_bytes};
    if (n_bytes > 0) memcpy(pattern->string, text.data, n_bytes);
    if (is_regex) {
        tern_text_builder translated = {0};
        tern_status status = tern__pattern_translate(&translated, text, place, err);
        char *taken = tern__text_take(&translated);
        if (status == TERN_OK) status = taken ? compile(pattern, taken, place, err) : TERN_FAIL_MEMORY(err, text.bytes);
        free(taken);
        if (status != TERN_OK) return tern__pattern_free(pattern), status;
    }
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
    if (!pattern->code) return TERN_OK;
    search->scratch = pcre2_match_data_create(1, NULL);
    return search->scratch ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof(size_t));
}

void tern__pattern_search_end(tern_pattern_search *search) {
    pcre2_match_data_free(search->scratch);
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

static tern_status find_regex(const tern_pattern_search *search, size_t *start, size_t *end, bool *is_found, tern_error *err) {
    const tern_pattern *pattern = search->pattern;
    pcre2_match_data *match = search->scratch;
    int result = pcre2_match(pattern->code, search->text, search->n_bytes, search->at, PCRE2_NO_UTF_CHECK, match, pattern->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has more room */
        result = pcre2_match(pattern->code, search->text, search->n_bytes, search->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match,
                             pattern->limits);
    *is_found = result >= 0;
    if (result >= 0) {
        *start = pcre2_get_ovector_pointer(match)[0];
        *end = pcre2_get_ovector_pointer(match)[1];
        return TERN_OK;
    }
    if (result == PCRE2_ERROR_NOMATCH) return TERN_OK;
    if (result == PCRE2_ERROR_NOMEMORY) return TERN_FAIL_MEMORY(err, search->n_bytes);
    PCRE2_UCHAR message[200];
    if (pcre2_get_error_message(result, message, sizeof message) < 0) message[0] = '\0';
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the tokenizer's pattern cannot be matched in a text of %zu bytes: %s", search->n_bytes,
                     (const char *)message);
}

/* An empty match right behind the match before is none: the search goes on a character further. */
tern_status tern__pattern_search_next(tern_pattern_search *search, size_t *start, size_t *end, bool *is_found, tern_error *err) {
    *is_found = false;
    if (search->n_bytes == 0) return TERN_OK;
    while (search->at <= search->n_bytes) {
        if (search->pattern->code) TERN_TRY(find_regex(search, start, end, is_found, err));
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
