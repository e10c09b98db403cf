/* unit_decoder.c - decoders against golden texts (scripts/golden-stages.py), what must be refused, and decoding in linear time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_stages.h"

static void check_case(const tern_tokenizer *tokenizer, const json_t *golden, const char *name) {
    int32_t ids[64];
    const json_t *list = json_object_get(golden, "ids"), *wanted = json_object_get(golden, "text");
    size_t n = json_array_size(list), n_bytes;
    assert_in_range(n, 0, 64);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    char *text;
    tern_error err;
    if (tern_tokenizer_decode(&text, &n_bytes, tokenizer, ids, n, false, &err) != TERN_OK) fail_msg("%s: %s", name, err.message);
    if (n_bytes != json_string_length(wanted) || memcmp(text, json_string_value(wanted), n_bytes + 1) != 0)
        fail_msg("%s: \"%s\" is not \"%s\"", name, text, json_string_value(wanted));
    tern_free(text);
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden = test_golden_stages();
    const json_t *all = json_object_get(golden, "decodings"), *pieces = json_object_get(golden, "pieces");
    size_t n_cases = 0;
    for (size_t t = 0; t < json_array_size(all); t++) {
        const json_t *one = json_array_get(all, t), *cases = json_object_get(one, "cases");
        json_t *decoder = json_object_get(one, "decoder");
        char *name = json_dumps(decoder, JSON_COMPACT | JSON_ENCODE_ANY);
        tern_tokenizer *tokenizer = test_tokenizer_of(pieces, "decoder", decoder);
        for (size_t i = 0; i < json_array_size(cases); i++) check_case(tokenizer, json_array_get(cases, i), name);
        n_cases += json_array_size(cases);
        tern_tokenizer_free(tokenizer);
        free(name);
    }
    assert_true(n_cases >= 400);
    json_decref(golden);
}

static void test_golden_bytes(void **state) {
    (void)state;
    json_t *golden = test_golden_stages(), *decoder = json_pack("{ss}", "type", "ByteLevel");
    const json_t *cases = json_object_get(golden, "bytes");
    tern_tokenizer *tokenizer = test_tokenizer_of(json_object_get(golden, "byte_characters"), "decoder", decoder);
    for (size_t i = 0; i < json_array_size(cases); i++) check_case(tokenizer, json_array_get(cases, i), "bytes");
    assert_true(json_array_size(cases) >= 200);
    tern_tokenizer_free(tokenizer);
    json_decref(decoder);
    json_decref(golden);
}

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
        tern_status code;
    } cases[] = {
        {"7", "\"decoder\" must be an object", TERN_E_FORMAT},
        {"{\"type\":\"Other\"}", "decoder Other is not supported", TERN_E_UNSUPPORTED},
        {"{\"type\":\"WordPiece\",\"prefix\":\"##\"}", "WordPiece: \"cleanup\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "\"replacement\" must be one character", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}", "must be always, first or never, not last",
         TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}", "does not fit \"prepend_scheme\"", TERN_E_FORMAT},
        {"{\"type\":\"BPEDecoder\"}", "BPEDecoder: \"suffix\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"CTC\",\"pad_token\":\"a\",\"cleanup\":true}", "CTC: \"word_delimiter_token\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Strip\",\"content\":\"\",\"start\":0,\"stop\":0}", "\"content\" must be one character", TERN_E_FORMAT},
        {"{\"type\":\"Strip\",\"content\":\"a\",\"start\":-1,\"stop\":0}", "\"start\" must be a whole number", TERN_E_FORMAT},
        {"{\"type\":\"Replace\",\"content\":\"a\"}", "Replace: \"pattern\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\",\"decoders\":{}}", "\"decoders\" must be an array", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},null]}", "\"decoder\" must be an object", TERN_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_tokenizer *tokenizer;
        tern_error err;
        tern_status status = test_letters_load(&tokenizer, "null", cases[i].json, &err);
        assert_null(tokenizer);
        check_failed(status, cases[i].code, &err, cases[i].message);
    }
}

/* Without a type that is known, a decoder goes by its fields. */
static void test_fields(void **state) {
    (void)state;
    static const struct {
        const char *json, *text; /* of a, b, a */
    } cases[] = {
        {"{\"suffix\":\"b\"}", "a a"},
        {"{\"type\":\"Other\",\"suffix\":\"b\",\"prefix\":\"a\",\"cleanup\":false}", "a a"},
        {"{\"type\":null,\"prefix\":\"b\",\"cleanup\":false}", "a a"},
        {"{\"pad_token\":\"a\",\"word_delimiter_token\":\"c\",\"cleanup\":false}", "b"},
        {"{\"pattern\":{\"String\":\"a\"},\"content\":\"c\",\"start\":1,\"stop\":0}", "cbc"},
        {"{\"content\":\"b\",\"start\":1,\"stop\":0}", "aa"},
    };
    const int32_t ids[] = {3, 4, 3};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;
        tern_tokenizer *tokenizer = test_letters("null", cases[i].json);
        assert_int_equal(tern_tokenizer_decode(&text, NULL, tokenizer, ids, 3, false, NULL), TERN_OK);
        assert_string_equal(text, cases[i].text);
        tern_free(text);
        tern_tokenizer_free(tokenizer);
    }
}

/* Where both ends want the same characters the library panics; here nothing is left. */
static void test_strip_of_all(void **state) {
    (void)state;
    static const struct {
        int start, stop;
        const char *text;
    } cases[] = {{0, 0, "a"}, {1, 0, ""}, {0, 1, ""}, {1, 1, ""}, {3, 3, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[128], *text;
        const int32_t id = 3;
        snprintf(json, sizeof json, "{\"type\":\"Strip\",\"content\":\"a\",\"start\":%d,\"stop\":%d}", cases[i].start, cases[i].stop);
        tern_tokenizer *tokenizer = test_letters("null", json);
        assert_int_equal(tern_tokenizer_decode(&text, NULL, tokenizer, &id, 1, false, NULL), TERN_OK);
        assert_string_equal(text, cases[i].text);
        tern_free(text);
        tern_tokenizer_free(tokenizer);
    }
}

/* A million tokens through every decoder: a step that was quadratic would take hours. */
static void test_many_tokens(void **state) {
    (void)state;
    static const char decoder[] =
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"<0x41>\"},"
        "{\"type\":\"ByteFallback\"},{\"type\":\"BPEDecoder\",\"suffix\":\"b\"},{\"type\":\"Metaspace\",\"replacement\":\"c\"},"
        "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0},{\"type\":\"Fuse\"},{\"type\":\"Replace\","
        "\"pattern\":{\"Regex\":\"d+\"},\"content\":\" do not\"},{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true},"
        "{\"type\":\"CTC\",\"pad_token\":\"f\",\"word_delimiter_token\":\"e\",\"cleanup\":true}]}";
    enum { N = 1000000 };
    int32_t *ids = malloc(N * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)(3 + i % 8); /* a to h */
    tern_tokenizer *tokenizer = test_letters("null", decoder);
    char *text;
    size_t n_bytes;
    tern_error err;
    if (tern_tokenizer_decode(&text, &n_bytes, tokenizer, ids, N, false, &err) != TERN_OK) fail_msg("%s", err.message);
    static const char period[] = "A don't gh"; /* of abcdefgh: a is a byte, b and c are stripped spaces, d is replaced, e a space, f none */
    assert_memory_equal(text, period, sizeof period - 1);
    assert_int_equal(n_bytes, N / 8 * (sizeof period - 1));
    assert_memory_equal(text + n_bytes - sizeof period + 1, period, sizeof period);
    tern_free(text);
    tern_tokenizer_free(tokenizer);
    free(ids);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_golden_bytes), cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_fields), cmocka_unit_test(test_strip_of_all), cmocka_unit_test(test_many_tokens),
    };
    return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
