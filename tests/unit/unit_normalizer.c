/* unit_normalizer.c - normalizers against golden texts and places (scripts/golden-text.py), and what must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "base/json.h"
#include "text/normalizer/normalizer.h"
#include "text/unicode/unicode.h"

static tern_error err;

static json_t *parse(const char *text) {
    json_t *json;
    if (tern__json_parse(&json, text, strlen(text), "test", &err) != TERN_OK) fail_msg("%s", err.message);
    return json;
}

/* ---- Golden texts ---- */

/* A piece that starts at code point `first`: each character stands where the golden file says, moved by as much. */
static void check_text(const json_t *golden, const tern_normalizer *normalizer, uint32_t first) {
    const json_t *text = json_object_get(golden, "text"), *wanted = json_object_get(golden, "normalized");
    const json_t *offsets = json_object_get(golden, "offsets");
    const char *name = json_string_value(json_object_get(json_object_get(golden, "normalizer"), "type"));
    tern_normalized out = {0};
    const unsigned char *bytes = (const unsigned char *)json_string_value(text);
    if (tern__normalizer_run(&out, normalizer, bytes, json_string_length(text), first, &err) != TERN_OK)
        fail_msg("%s: %s", name, err.message);
    if (out.n_bytes != json_string_length(wanted) || memcmp(out.bytes, json_string_value(wanted), out.n_bytes) != 0)
        fail_msg("%s: \"%s\" becomes \"%.*s\", not \"%s\"", name, json_string_value(text), (int)out.n_bytes, (const char *)out.bytes,
                 json_string_value(wanted));
    assert_int_equal(out.n_code_points, tern__utf8_count(bytes, json_string_length(text)));
    size_t k = 0, length;
    for (size_t i = 0; i < out.n_bytes; i += length, k++) {
        const json_t *span = json_array_get(offsets, k);
        (void)tern__utf8_decode(out.bytes + i, &length);
        uint32_t start = tern__origin_start(tern__normalized_origin(&out, i)) - first;
        uint32_t end = tern__origin_end(tern__normalized_origin(&out, i + length - 1)) - first;
        if (start != json_integer_value(json_array_get(span, 0)) || end != json_integer_value(json_array_get(span, 1)))
            fail_msg("%s: \"%s\": character %zu stands at (%u, %u)", name, json_string_value(text), k, start, end);
    }
    assert_int_equal(k, json_array_size(offsets));
    tern__normalized_free(&out);
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden;
    if (tern__json_load(&golden, TERN_TEST_DATA "/golden/normalizers.json", &err) != TERN_OK) fail_msg("%s", err.message);
    assert_true(json_array_size(golden) > 150);
    for (size_t i = 0; i < json_array_size(golden); i++) {
        const json_t *row = json_array_get(golden, i);
        tern_normalizer normalizer;
        if (tern__normalizer_read(&normalizer, json_object_get(row, "normalizer"), "test", &err) != TERN_OK) fail_msg("%s", err.message);
        check_text(row, &normalizer, 0);
        check_text(row, &normalizer, 1000);
        tern__normalizer_free(&normalizer);
    }
    json_decref(golden);
}

/* Memory is kept from text to text, and what is left in it does not show. */
static void test_reused(void **state) {
    (void)state;
    static const struct {
        const char *text, *normalized;
    } rows[] = {{"\xC3\x89 a", "\xC3\xA9 a"}, {"abc", "abc"}, {"", ""}, {"A\xC4\xB0", "ai\xCC\x87"}, {"xyz!", "xyz!"}, {"Q", "q"}};
    json_t *json = parse("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},{\"type\":\"NFD\"},{\"type\":\"NFC\"}]}");
    tern_normalizer normalizer;
    tern_normalized out = {0};
    assert_int_equal(tern__normalizer_read(&normalizer, json, "test", &err), TERN_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const unsigned char *text = (const unsigned char *)rows[i].text;
        assert_int_equal(tern__normalizer_run(&out, &normalizer, text, strlen(rows[i].text), 5, &err), TERN_OK);
        assert_int_equal(out.n_bytes, strlen(rows[i].normalized));
        assert_memory_equal(out.bytes, rows[i].normalized, out.n_bytes);
        if (out.n_bytes > 0) assert_int_equal(tern__normalized_origin(&out, 0), 5);
    }
    /* what does not change is not copied */
    const unsigned char same[] = "same";
    assert_int_equal(tern__normalizer_run(&out, &normalizer, same, 4, 0, &err), TERN_OK);
    assert_ptr_equal(out.bytes, same);
    tern__normalized_free(&out);
    tern__normalizer_free(&normalizer);
    json_decref(json);
}

/* ---- Refusals ---- */

static void check_refused(const char *text, tern_status status, const char *message) {
    json_t *json = parse(text);
    tern_normalizer normalizer;
    assert_int_equal(tern__normalizer_read(&normalizer, json, "tokenizer.json", &err), status);
    assert_string_equal(err.message, message);
    tern__normalizer_free(&normalizer);
    json_decref(json);
}

static void test_refused(void **state) {
    (void)state;
    check_refused("{\"type\":\"NFX\"}", TERN_E_UNSUPPORTED, "tokenizer.json: normalizer NFX is not supported");
    check_refused("{\"type\":\"Strip\",\"strip_left\":true}", TERN_E_FORMAT,
                  "tokenizer.json: normalizer Strip: \"strip_right\" is missing");
    check_refused("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Prepend\"}]}", TERN_E_FORMAT,
                  "tokenizer.json: normalizer Prepend: \"prepend\" is missing");
    check_refused("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},null]}", TERN_E_FORMAT,
                  "tokenizer.json: \"normalizer\" must be an object or null");
    check_refused("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\",\"String\":\"b\"},\"content\":\"\"}", TERN_E_FORMAT,
                  "tokenizer.json: normalizer Replace: \"pattern\" must be {\"String\": \"..\"} or {\"Regex\": \"..\"}");
}

/* ---- Broken charsmaps ---- */

static void write_base64(char *out, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)(i + 1 < n ? bytes[i + 1] : 0) << 8 | (i + 2 < n ? bytes[i + 2] : 0);
        for (int k = 0; k < 4; k++) *out++ = k > (int)(n - i) ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    *out = '\0';
}

static void check_charsmap(const char *base64, const char *message) {
    char text[400];
    char wanted[200];
    snprintf(text, sizeof text, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}", base64);
    snprintf(wanted, sizeof wanted, "tokenizer.json: normalizer Precompiled: \"precompiled_charsmap\" %s", message);
    check_refused(text, TERN_E_FORMAT, wanted);
}

static void test_broken_charsmaps(void **state) {
    (void)state;
    char base64[64];
    check_charsmap("", "is too short");
    check_charsmap("AAA", "is not base64");
    check_charsmap("AAA*", "is not base64");
    check_charsmap("AA==AAAA", "is not base64");
    check_charsmap("AB==", "is not base64"); /* bits behind the end */
    check_charsmap("AAAAAA==", "has no trie");
    write_base64(base64, (const unsigned char[]){8, 0, 0, 0, 0, 0, 0, 0}, 8);
    check_charsmap(base64, "is shorter than its trie");
    write_base64(base64, (const unsigned char[]){0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, 8);
    check_charsmap(base64, "is shorter than its trie");
    write_base64(base64, (const unsigned char[]){4, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0}, 10);
    check_charsmap(base64, "has a text that is not UTF-8");
}

/* Tries of random units, and of units that point anywhere, are bounded: the sanitizers see. */
static void test_random_charsmaps(void **state) {
    (void)state;
    static unsigned char map[4 + 4 * 300 + 40];
    static char text[2 * sizeof map + 100];
    static const unsigned char sample[] = "abc \xC3\xA9\xCC\x81 \xE4\xB8\xAD\xF0\x9F\x98\x80\xE0\xA4\x95\xE0\xA5\x8D\r\n";
    uint64_t random = 1;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof map; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            map[i] = (unsigned char)(random >> 33);
            bool is_label = i % 4 == 0 && i >= 4 && i < 1204;
            if (is_label && round % 2) map[i] = (unsigned char)(i / 4 - 1); /* labels that fit when the parent's offset is 0 */
            if (i % 4 >= 2 && i >= 4 && i < 1204 && round % 4 > 1) map[i] = 0;
            if (i >= 1204) map[i] &= 0x7F;
        }
        map[0] = 0xB0, map[1] = 4, map[2] = 0, map[3] = 0;
        int n = snprintf(text, sizeof text, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
        write_base64(text + n, map, sizeof map);
        strcat(text, "\"}");
        json_t *json = parse(text);
        tern_normalizer normalizer;
        tern_normalized out = {0};
        if (tern__normalizer_read(&normalizer, json, "test", &err) != TERN_OK) fail_msg("%s", err.message);
        assert_int_equal(tern__normalizer_run(&out, &normalizer, sample, sizeof sample - 1, 0, &err), TERN_OK);
        assert_int_equal(tern__utf8_valid_prefix(out.bytes, out.n_bytes), out.n_bytes);
        tern__normalized_free(&out);
        tern__normalizer_free(&normalizer);
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_reused), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_broken_charsmaps), cmocka_unit_test(test_random_charsmaps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
