/* unit_pattern.c - patterns against golden matches (scripts/golden-text.py), classes for every code point, what must be refused, and that
 * no pattern takes forever.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "base/json.h"
#include "base/text_builder.h"
#include "text/unicode/pattern.h"
#include "text/unicode/pattern_class.h"
#include "text/unicode/pattern_syntax.h"
#include "text/unicode/unicode.h"

static tern_error err;
static const tern_json_place place = {.file = "tokenizer.json", .part = "pre_tokenizer", .type = "Split"};

static tern_text text_of(const char *text) { return (tern_text){.data = text, .bytes = strlen(text)}; }

static tern_pattern *pattern_of(tern_text text, bool is_regex) {
    tern_pattern *pattern;
    if (tern__pattern_new(&pattern, text, is_regex, place, &err) != TERN_OK) fail_msg("\"%s\": %s", text.data, err.message);
    return pattern;
}

/* The text with "<>" in place of each match; free with free(). */
static char *replace(const tern_pattern *pattern, tern_text text) {
    tern_text_builder out = {0};
    tern_pattern_search search;
    size_t at = 0, start, end;
    bool is_found;
    assert_int_equal(tern__pattern_search_start(&search, pattern, (const unsigned char *)text.data, text.bytes, &err), TERN_OK);
    for (;;) {
        if (tern__pattern_search_next(&search, &start, &end, &is_found, &err) != TERN_OK) fail_msg("%s", err.message);
        if (!is_found) break;
        assert_true(start >= at && end >= start && end <= text.bytes);
        tern__text_append(&out, text.data + at, start - at);
        tern__text_append(&out, "<>", 2);
        at = end;
    }
    tern__pattern_search_end(&search);
    tern__text_append(&out, text.data + at, text.bytes - at);
    char *taken = tern__text_take(&out);
    assert_non_null(taken);
    return taken;
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden;
    if (tern__json_load(&golden, TERN_TEST_DATA "/golden/patterns.json", &err) != TERN_OK) fail_msg("%s", err.message);
    assert_true(json_array_size(golden) > 150);
    for (size_t i = 0; i < json_array_size(golden); i++) {
        const json_t *row = json_array_get(golden, i), *text = json_object_get(row, "text");
        const char *regex = json_string_value(json_object_get(row, "pattern"));
        tern_pattern *pattern = pattern_of(text_of(regex), true);
        char *replaced = replace(pattern, (tern_text){.data = json_string_value(text), .bytes = json_string_length(text)});
        if (strcmp(replaced, json_string_value(json_object_get(row, "replaced"))) != 0)
            fail_msg("\"%s\" in \"%s\" gives\n\"%s\", not\n\"%s\"", regex, json_string_value(text), replaced,
                     json_string_value(json_object_get(row, "replaced")));
        free(replaced);
        tern__pattern_free(pattern);
    }
    json_decref(golden);
}

static void test_strings(void **state) {
    (void)state;
    static const struct {
        const char *string, *text, *replaced;
    } rows[] = {{"a.", "a.ab", "<>ab"}, {"aa", "aaaa", "<><>"}, {"", "a\xC3\xA9", "<>a<>\xC3\xA9<>"}, {"x", "", ""},
                {"", "", ""},           {"(?i)", "(?i)", "<>"}, {"\xC3\xA9", "e\xC3\xA9", "e<>"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tern_pattern *pattern = pattern_of(text_of(rows[i].string), false);
        char *replaced = replace(pattern, text_of(rows[i].text));
        assert_string_equal(replaced, rows[i].replaced);
        free(replaced);
        tern__pattern_free(pattern);
    }
}

static void check_json(const char *text, tern_status status) {
    json_t *json;
    tern_pattern *pattern = NULL;
    assert_int_equal(tern__json_parse(&json, text, strlen(text), "test", &err), TERN_OK);
    assert_int_equal(tern__pattern_read(&pattern, json, place, &err), status);
    tern__pattern_free(pattern);
    json_decref(json);
}

static void test_json(void **state) {
    (void)state;
    check_json("{\"String\":\"a\"}", TERN_OK);
    check_json("{\"Regex\":\"a+\\u0000\"}", TERN_OK);
    check_json("{}", TERN_E_FORMAT);
    check_json("{\"String\":1}", TERN_E_FORMAT);
    check_json("{\"String\":\"a\",\"Regex\":\"a\"}", TERN_E_FORMAT);
    check_json("{\"Other\":\"a\"}", TERN_E_FORMAT);
}

/* ---- Classes ---- */

/* All code points as UTF-8, but surrogates. */
static unsigned char all[4 * 0x110000];
static size_t n_all;

/* What PCRE2 finds, whatever its edition of Unicode, is what the tables say. */
static void check_class(const char *regex, const tern_code_set *set) {
    tern_pattern *pattern = pattern_of(text_of(regex), true);
    tern_pattern_search search;
    size_t start = 0, end = 0, length;
    bool is_found = true;
    assert_int_equal(tern__pattern_search_start(&search, pattern, all, n_all, &err), TERN_OK);
    for (size_t i = 0; i < n_all; i += length) {
        while (is_found && i >= end)
            if (tern__pattern_search_next(&search, &start, &end, &is_found, &err) != TERN_OK) fail_msg("%s", err.message);
        uint32_t c = tern__utf8_decode(all + i, &length);
        bool is_in = is_found && i >= start && i < end;
        if (is_in != tern__code_set_has(set, c)) fail_msg("%s: U+%04X is %s", regex, (unsigned)c, is_in ? "in" : "not in");
    }
    tern__pattern_search_end(&search);
    tern__pattern_free(pattern);
}

static void test_classes(void **state) {
    (void)state;
    static const char *const names[] = {"L",      "Lu",        "M",    "N",        "Nd",         "P",     "S",     "Z",     "C",
                                        "Cn",     "Cs",        "Any",  "Assigned", "Alphabetic", "Lower", "Upper", "Han",   "Greek",
                                        "Common", "Inherited", "Zzzz", "Space",    "XDigit",     "Punct", "Graph", "Print", "Alnum"};
    for (uint32_t c = 0; c < 0x110000; c++)
        if (c < 0xD800 || c > 0xDFFF) n_all += tern__utf8_encode(all + n_all, c);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char regex[64];
        tern_code_set set = {0};
        assert_int_equal(tern__class_add_property(&set, names[i], strlen(names[i])), TERN_CLASS_FOUND);
        snprintf(regex, sizeof regex, "\\p{%s}+", names[i]);
        check_class(regex, &set);
        assert_true(tern__code_set_invert(&set));
        snprintf(regex, sizeof regex, "[^\\p{%s}]+", names[i]);
        check_class(regex, &set);
        tern__code_set_free(&set);
    }
    tern_code_set common = {0}, letters = {0};
    assert_int_equal(tern__class_add_property(&common, "common", 6), TERN_CLASS_FOUND);
    assert_int_equal(tern__class_add_property(&letters, "l", 1), TERN_CLASS_FOUND);
    assert_true(tern__code_set_intersect(&common, &letters));
    check_class("[\\p{L}&&\\p{Common}]+", &common);
    tern__code_set_free(&common);
    tern__code_set_free(&letters);
}

/* ---- Refusals ---- */

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *regex;
        tern_status status;
        const char *part; /* of the message */
    } rows[] = {
        {"(?~ab)", TERN_E_UNSUPPORTED,
         "tokenizer.json: pre_tokenizer Split: an absence operator (?~ in a pattern is not supported: \"(?~ab)\""},
        {"\\X", TERN_E_UNSUPPORTED, "\\X, \\y or \\Y"},
        {"(a)\\g<1>", TERN_E_UNSUPPORTED, "a call \\g"},
        {"(a)(?(1)b|c)", TERN_E_UNSUPPORTED, "a condition (?("},
        {"(?{x})", TERN_E_UNSUPPORTED, "a callout (?{"},
        {"\\p{Emoji}", TERN_E_UNSUPPORTED, "the property \\p{Emoji}"},
        {"\\p{IsAlpha}", TERN_E_UNSUPPORTED, "the property \\p{IsAlpha}"},
        {"(?W:a)", TERN_E_UNSUPPORTED, "an option but i, m and x"},
        {"\\xE9", TERN_E_UNSUPPORTED, "a byte over 7F"},
        {"\\x{D800}", TERN_E_UNSUPPORTED, "no code point"},
        {"\\M-a", TERN_E_UNSUPPORTED, "\\M-"},
        {"a{1,70000}", TERN_E_UNSUPPORTED, "more than 65535"},
        {"a{3,1}", TERN_E_UNSUPPORTED, "n > m"},
        {"(?<a>x)(?<a>y)", TERN_E_UNSUPPORTED, "a name that two groups have"},
        {"(?<=a+)b", TERN_E_UNSUPPORTED,
         "tokenizer.json: pre_tokenizer Split: PCRE2 refuses the pattern: lookbehind assertion is not fixed length"},
        {"[a-[b]]", TERN_E_UNSUPPORTED, "a class at the end of a range"},
        {"(", TERN_E_FORMAT, "the pattern is wrong at byte 1: a group does not end"},
        {"a)", TERN_E_FORMAT, "a ) without a ("},
        {"*", TERN_E_FORMAT, "nothing to repeat"},
        {"[", TERN_E_FORMAT, "a class does not end"},
        {"[a", TERN_E_FORMAT, "a class does not end"},
        {"[]", TERN_E_FORMAT, "a class is empty"},
        {"[z-a]", TERN_E_FORMAT, "ends before it starts"},
        {"[a-\\d]", TERN_E_FORMAT, "a class at the end of a range"},
        {"[[:nothing:]]", TERN_E_FORMAT, "no such [:class:]"},
        {"\\", TERN_E_FORMAT, "ends in an escape"},
        {"\\p{L", TERN_E_FORMAT, "\\p{ without }"},
        {"\\k<b>", TERN_E_UNSUPPORTED, "\\k of a group behind it"},
        {"(?<a", TERN_E_FORMAT, "a group's name"},
        {"(?s)a", TERN_E_FORMAT, "an unknown option"},
        {"(?P<a>b)", TERN_E_UNSUPPORTED, "an option"},
        {"\\u12", TERN_E_FORMAT, "\\u without four digits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tern_pattern *pattern;
        if (tern__pattern_new(&pattern, text_of(rows[i].regex), true, place, &err) != rows[i].status || !strstr(err.message, rows[i].part))
            fail_msg("\"%s\": %s", rows[i].regex, err.message);
        assert_null(pattern);
    }
}

/* Deep nesting is refused, not followed. */
static void test_deep(void **state) {
    (void)state;
    static const char *const openings[] = {"(", "[", "(?i)", "(?:"};
    static char regex[40001];
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        tern_pattern *pattern;
        regex[0] = '\0';
        for (size_t k = 0; k < 10000; k++) memcpy(regex + k * strlen(openings[i]), openings[i], strlen(openings[i]) + 1);
        assert_int_not_equal(tern__pattern_new(&pattern, text_of(regex), true, place, &err), TERN_OK);
    }
}

/* A pattern that would try every way to cut the text is given up. */
static void test_catastrophe(void **state) {
    (void)state;
    static char text[60];
    static const char *const regexes[] = {"(a+)+$", "(?:a|a?)+b", "(a*)*c"};
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 2] = '!';
    for (size_t i = 0; i < sizeof regexes / sizeof regexes[0]; i++) {
        tern_pattern *pattern = pattern_of(text_of(regexes[i]), true);
        tern_pattern_search search;
        size_t start, end;
        bool is_found = true;
        tern_status status = TERN_OK;
        assert_int_equal(tern__pattern_search_start(&search, pattern, (const unsigned char *)text, sizeof text - 1, &err), TERN_OK);
        while (status == TERN_OK && is_found) status = tern__pattern_search_next(&search, &start, &end, &is_found, &err);
        if (status == TERN_OK) assert_false(is_found);
        else assert_int_equal(status, TERN_E_UNSUPPORTED);
        tern__pattern_search_end(&search);
        tern__pattern_free(pattern);
    }
    assert_true(strstr(err.message, "cannot be matched in a text of 59 bytes"));
}

/* More repetitions than the machine code's stack has room for. */
static void test_long_text(void **state) {
    (void)state;
    size_t n = 200000;
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = i % 2 ? 'a' : 'b';
    text[n] = '\0';
    tern_pattern *pattern = pattern_of(text_of("(?:(a)|b)+"), true);
    char *replaced = replace(pattern, (tern_text){.data = text, .bytes = n});
    assert_string_equal(replaced, "<>");
    free(replaced);
    free(text);
    tern__pattern_free(pattern);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),      cmocka_unit_test(test_strings),  cmocka_unit_test(test_json),
                                       cmocka_unit_test(test_classes),     cmocka_unit_test(test_refused),  cmocka_unit_test(test_deep),
                                       cmocka_unit_test(test_catastrophe), cmocka_unit_test(test_long_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
