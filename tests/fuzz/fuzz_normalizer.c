/* fuzz_normalizer.c - any normalizer and any pattern on any text. What stands before the first line end is the JSON of a normalizer, or
 * behind a / a regular expression; the text follows. What comes out must be UTF-8 whose origins lie in the text, and matches in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/normalizer/normalizer.h"
#include "text/unicode/pattern.h"
#include "text/unicode/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* A short text, so that patterns that try every way to cut it end soon. */
#define MAX_TEXT 200

static void require(bool is_so) {
    if (!is_so) abort();
}

static void normalize(const char *spec, size_t n_spec, const unsigned char *text, size_t n_text) {
    json_t *json;
    tern_normalizer normalizer;
    if (tern__json_parse(&json, spec, n_spec, "fuzz", NULL) != TERN_OK) return;
    tern_normalized out = {0};
    if (tern__normalizer_read(&normalizer, json, "fuzz", NULL) == TERN_OK &&
        tern__normalizer_run(&out, &normalizer, text, n_text, 7, NULL) == TERN_OK) {
        require(tern__utf8_valid_prefix(out.bytes, out.n_bytes) == out.n_bytes);
        require(out.n_code_points == tern__utf8_count(text, n_text));
        for (size_t i = 0; i < out.n_bytes; i++) {
            uint32_t origin = tern__normalized_origin(&out, i);
            require(tern__origin_start(origin) >= 7 && tern__origin_end(origin) <= 7 + out.n_code_points);
        }
    }
    tern__normalized_free(&out);
    tern__normalizer_free(&normalizer);
    json_decref(json);
}

static void search(const char *regex, size_t n_regex, const unsigned char *text, size_t n_text) {
    const tern_json_place place = {.file = "fuzz", .part = "pattern", .type = "Regex"};
    tern_pattern *pattern;
    tern_pattern_search search;
    size_t start, end, last = 0;
    bool is_found = true;
    char *copy = malloc(n_regex + 1); /* a JSON string ends in NUL */
    require(copy != NULL);
    memcpy(copy, regex, n_regex);
    copy[n_regex] = '\0';
    if (tern__pattern_new(&pattern, (tern_text){.data = copy, .bytes = n_regex}, true, place, NULL) == TERN_OK) {
        require(tern__pattern_search_start(&search, pattern, text, n_text, NULL) == TERN_OK);
        for (size_t n = 0; tern__pattern_search_next(&search, &start, &end, &is_found, NULL) == TERN_OK && is_found; n++) {
            require(start >= last && end >= start && end <= n_text && n <= n_text);
            require(start == n_text || !tern__utf8_is_continuation(text[start]));
            last = end;
        }
        tern__pattern_search_end(&search);
        tern__pattern_free(pattern);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    const uint8_t *end = memchr(bytes, '\n', n_bytes);
    if (!end || tern__utf8_valid_prefix(bytes, n_bytes) != n_bytes) return 0;
    const unsigned char *text = end + 1;
    size_t n_text = n_bytes - (size_t)(text - bytes);
    if (n_text > MAX_TEXT) return 0;
    if (bytes[0] == '/') search((const char *)bytes + 1, (size_t)(end - bytes) - 1, text, n_text);
    else normalize((const char *)bytes, (size_t)(end - bytes), text, n_text);
    return 0;
}
