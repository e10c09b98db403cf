/* unit_tokenizer.c - the tokenizer against golden encodings (scripts/golden-tokenizer.py), and what it must refuse and say.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "base/json.h"
#include "text/tokenizer.h"
#include "text/unicode/unicode.h"

static tern_text text_of(const json_t *string) {
    return (tern_text){.data = json_string_value(string), .bytes = json_string_length(string)};
}

/* ---- Golden encodings ---- */

static void check_number(const json_t *golden, const char *name, const char *key, size_t i, long long value) {
    const json_int_t wanted = json_integer_value(json_array_get(json_object_get(golden, key), i));
    if (wanted != value)
        fail_msg("%s: text \"%s\": %s[%zu] is %lld, not %lld", name, json_string_value(json_object_get(golden, "text")), key, i, value,
                 (long long)wanted);
}

static void check_encoding(const tern_encoding *encoding, const json_t *golden, const char *name) {
    const json_t *offsets = json_object_get(golden, "offsets"), *tokens = json_object_get(golden, "tokens");
    if (encoding->n != json_array_size(tokens))
        fail_msg("%s: text \"%s\": %zu tokens, not %zu", name, json_string_value(json_object_get(golden, "text")), encoding->n,
                 json_array_size(tokens));
    for (size_t i = 0; i < encoding->n; i++) {
        check_number(golden, name, "ids", i, encoding->ids[i]);
        check_number(golden, name, "type_ids", i, encoding->type_ids[i]);
        check_number(golden, name, "special_tokens_mask", i, encoding->special_tokens_mask[i]);
        const json_t *span = json_array_get(offsets, i);
        assert_int_equal(encoding->offsets[i][0], json_integer_value(json_array_get(span, 0)));
        assert_int_equal(encoding->offsets[i][1], json_integer_value(json_array_get(span, 1)));
        assert_string_equal(encoding->tokens[i], json_string_value(json_array_get(tokens, i)));
    }
}

static void check_golden_text(const tern_tokenizer *tokenizer, const json_t *golden, const char *name) {
    tern_error err;
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = true;
    options.add_special_tokens = json_is_true(json_object_get(golden, "add_special_tokens"));
    options.max_length = (size_t)json_integer_value(json_object_get(golden, "max_length"));
    const json_t *pair = json_object_get(golden, "pair");
    tern_text pair_text = text_of(pair);
    tern_encoding encoding;
    if (tern_tokenizer_encode(&encoding, tokenizer, text_of(json_object_get(golden, "text")), json_is_string(pair) ? &pair_text : NULL,
                              &options, &err))
        fail_msg("%s: %s", name, err.message);
    check_encoding(&encoding, golden, name);
    for (int skip = 0; skip < 2; skip++) {
        char *decoded;
        assert_int_equal(tern_tokenizer_decode(&decoded, NULL, tokenizer, encoding.ids, encoding.n, skip, &err), TERN_OK);
        assert_string_equal(decoded, json_string_value(json_object_get(golden, skip ? "decoded_without_special" : "decoded")));
        tern_free(decoded);
    }
    tern_encoding_free(&encoding);
}

static void test_golden(void **state) {
    const test_folder *folder = *state;
    tern_error err;
    json_t *golden, *one;
    size_t t;
    if (tern__json_load(&golden, TERN_TEST_DATA "/golden/tokenizer.json", &err)) fail_msg("%s", err.message);
    assert_true(json_array_size(json_object_get(golden, "tokenizers")) >= 60);
    json_array_foreach(json_object_get(golden, "tokenizers"), t, one) {
        const char *name = json_string_value(json_object_get(one, "name")), *file;
        json_t *files = json_object_get(one, "files"), *content, *text;
        json_object_foreach(files, file, content) test_file_write(folder, file, json_string_value(content), json_string_length(content));
        tern_tokenizer *tokenizer;
        if (tern_tokenizer_load(&tokenizer, folder->path, &err)) fail_msg("%s: %s", name, err.message);
        assert_int_equal(tern_tokenizer_vocab_size(tokenizer), json_integer_value(json_object_get(one, "vocab_size")));
        size_t i;
        json_array_foreach(json_object_get(one, "encodings"), i, text) check_golden_text(tokenizer, text, name);
        assert_true(i >= 5);
        tern_tokenizer_free(tokenizer);
        json_object_foreach(files, file, content) assert_int_equal(unlink(test_path_of(folder, file).text), 0);
    }
    json_decref(golden);
}

/* ---- Files ---- */

/* A tokenizer.json with this vocabulary and the rest as BERT's, less its special tokens. */
static void write_tokenizer(const test_folder *folder, const char *vocabulary, const char *more) {
    char text[4096];
    int n = snprintf(text, sizeof text,
                     "{\"version\":\"1.0\",%s\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":null,"
                     "\"decoder\":null,\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
                     "\"max_input_chars_per_word\":100,\n\"vocab\":{%s}}}",
                     more, vocabulary);
    assert_in_range(n, 1, sizeof text - 1);
    test_file_write(folder, "tokenizer.json", text, (size_t)n);
}

static tern_tokenizer *load(const test_folder *folder) {
    tern_error err;
    tern_tokenizer *tokenizer;
    if (tern_tokenizer_load(&tokenizer, folder->path, &err)) fail_msg("%s", err.message);
    return tokenizer;
}

static void test_vocabulary(void **state) {
    write_tokenizer(*state, "\"\\u0061\":0, \"\\uD83D\\uDE00\" : 7,\"\":3,\r\n\t\"\xC3\xA9\\n\\\"\":2147483647,\"##b\":1", "");
    tern_tokenizer *tokenizer = load(*state);
    assert_int_equal(tern_tokenizer_vocab_size(tokenizer), 5);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "a"), 0);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "\xF0\x9F\x98\x80"), 7);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, ""), 3);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "\xC3\xA9\n\""), 2147483647);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "b"), -1);
    assert_string_equal(tern_tokenizer_id_to_token(tokenizer, 1), "##b");
    assert_string_equal(tern_tokenizer_id_to_token(tokenizer, 2147483647), "\xC3\xA9\n\"");
    assert_null(tern_tokenizer_id_to_token(tokenizer, 2));
    assert_null(tern_tokenizer_id_to_token(tokenizer, -1));
    tern_tokenizer_free(tokenizer);
    tern_tokenizer_free(NULL);
}

static void test_bad_vocabulary(void **state) {
    static const struct {
        const char *vocabulary, *message;
    } cases[] = {
        {"\"a\":0,\"b\":1,\n \"a\":2", "line 3, column 2: model: vocab: a token that was there before"},
        {"\"a\":0,\"\\u0061\":1", "there before"},
        {"\"a\":-1", "line 2, column 14: model: vocab: an id must be a whole number"},
        {"\"a\":1.0", "a whole number"},
        {"\"a\":1e2", "a whole number"},
        {"\"a\":01", "a whole number"},
        {"\"a\":2147483648", "a whole number"},
        {"\"a\":99999999999999999999999999", "a whole number"},
        {"\"a\":true", "a whole number"},
        {"\"a\"", "':' is expected"},
        {"\"a\":1,", "a string is expected"},
        {"\"a\":1 \"b\":2", "',' or '}' is expected"},
        {"\"\xC3\xA9\":1,\"\n\":2", "line 2, column 17: model: vocab: a control character"},
        {"\"\\x\":1", "an escape that is none"},
        {"\"\\uD800\":1", "an escape that is none"},
        {"\"\\uD800\\u0041\":1", "an escape that is none"},
        {"\"\\uDC00\":1", "an escape that is none"},
        {"\"\\u12G4\":1", "an escape that is none"},
        {"\"\xFF\":1", "not UTF-8"},
        {"\"a", "without an end"},
    };
    tern_tokenizer *tokenizer;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_error err;
        write_tokenizer(*state, cases[i].vocabulary, "");
        tern_status status = tern_tokenizer_load(&tokenizer, ((test_folder *)*state)->path, &err);
        assert_null(tokenizer);
        check_failed(status, TERN_E_FORMAT, &err, cases[i].message);
        check_failed(status, TERN_E_FORMAT, &err, "tokenizer.json: ");
    }
}

static void test_bad_files(void **state) {
    static const struct {
        const char *file, *text, *message;
        tern_status code;
    } cases[] = {
        {"tokenizer.json", "", "tokenizer.json: line 1", TERN_E_FORMAT},
        {"tokenizer.json", "[]", "must hold an object", TERN_E_FORMAT},
        {"tokenizer.json", "{}", "\"model\" must be an object", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", "model WordPiece: \"vocab\" is missing", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":[]}}", "\"vocab\" must be an object", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "\"unk_token\" is missing", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":1}},\n\"a\":}", "line 2, column 5", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"vocab\":{}},\"model\":{}}", "line 1, column 23: a key that is there already", TERN_E_FORMAT},
        {"tokenizer.json", "{\"model\":{\"type\":\"Gram\",\"vocab\":[[\"a\",0.5]]}}", "model Gram is not supported", TERN_E_UNSUPPORTED},
        {"tokenizer.json", "{\"normalizer\":{\"type\":\"Other\"}}", "normalizer Other is not supported", TERN_E_UNSUPPORTED},
        {"tokenizer.json", "{\"pre_tokenizer\":{\"type\":\"Other\"}}", "pre_tokenizer Other is not supported", TERN_E_UNSUPPORTED},
        {"tokenizer.json", "{\"model\":{\"type\":\"Other\",\"vocab\":{}}}", "model Other is not supported", TERN_E_UNSUPPORTED},
        {"tokenizer.json", "{\"normalizer\":{}}", "\"type\" is missing", TERN_E_FORMAT},
        {"tokenizer.json", "{\"normalizer\":7}", "must be an object or null", TERN_E_FORMAT},
        {"tokenizer.json", "{\"version\":\"0.9\"}", "\"version\"", TERN_E_UNSUPPORTED},
        {"vocab.txt", "a\xFF\n", "vocab.txt: not UTF-8 at byte 1", TERN_E_FORMAT},
        {"tokenizer_config.json", "{\"tokenizer_class\":\"ByT5Tokenizer\"}", "tokenizer_class ByT5Tokenizer", TERN_E_UNSUPPORTED},
        {"tokenizer_config.json", "{\"do_lower_case\":1}", "\"do_lower_case\" must be true or false", TERN_E_FORMAT},
        {"tokenizer_config.json", "{\"cls_token\":null}", "\"cls_token\" null", TERN_E_UNSUPPORTED},
        {"tokenizer_config.json", "{\"cls_token\":[]}", "\"cls_token\" must be a string", TERN_E_FORMAT},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", "\"x\" is not an id", TERN_E_FORMAT},
        {"tokenizer_config.json", "{", "tokenizer_config.json: line 1", TERN_E_FORMAT},
        {"special_tokens_map.json", "[]", "special_tokens_map.json: must hold an object", TERN_E_FORMAT},
        {"added_tokens.json", "{\"a\":\"b\"}", "\"a\" must be a whole number", TERN_E_FORMAT},
    };
    const test_folder *folder = *state;
    tern_tokenizer *tokenizer;
    tern_error err;
    check_failed(tern_tokenizer_load(&tokenizer, folder->path, &err), TERN_E_IO, &err, "neither tokenizer.json nor vocab.txt");
    check_failed(tern_tokenizer_load(&tokenizer, "/no/such", &err), TERN_E_IO, &err, "/no/such: there is no such folder");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_file_write(folder, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n", 20);
        test_path path = test_file_write(folder, cases[i].file, cases[i].text, strlen(cases[i].text));
        tern_status status = tern_tokenizer_load(&tokenizer, folder->path, &err);
        check_failed(status, cases[i].code, &err, cases[i].message);
        assert_null(tokenizer);
        assert_int_equal(unlink(path.text), 0);
    }
}

/* ---- Texts ---- */

static tern_status encode(tern_tokenizer *tokenizer, const char *text, size_t n_bytes, size_t max_length, tern_error *err) {
    tern_encoding encoding;
    tern_encode_options options = tern_encode_options_default();
    options.max_length = max_length;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, (tern_text){.data = text, .bytes = n_bytes}, NULL, &options, err);
    if (status != TERN_OK) assert_null(encoding.ids);
    tern_encoding_free(&encoding);
    return status;
}

static void test_bad_texts(void **state) {
    const test_folder *folder = *state;
    tern_error err;
    test_file_write(folder, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n", 20);
    tern_tokenizer *tokenizer = load(folder);
    check_failed(encode(tokenizer, "a\xC3\xA9\xC3(", 5, 0, &err), TERN_E_ARGUMENT, &err, "invalid byte 0xC3 at byte 3");
    check_failed(encode(tokenizer, "\xED\xA0\x80", 3, 0, &err), TERN_E_ARGUMENT, &err, "at byte 0");
    check_failed(encode(tokenizer, "ab\xF0\x9F\x98", 5, 0, &err), TERN_E_ARGUMENT, &err, "at byte 2");
    check_failed(encode(tokenizer, "a", 1, 1, &err), TERN_E_ARGUMENT, &err, "max_length is 1, less than the 2 special tokens");
    assert_int_equal(encode(tokenizer, "a", 1, 2, &err), TERN_OK);
    assert_int_equal(encode(tokenizer, NULL, 0, 0, &err), TERN_OK);
    assert_int_equal(encode(tokenizer, "a", 1, 0, NULL), TERN_OK);
    char *decoded;
    const int32_t ids[] = {3, 77};
    check_failed(tern_tokenizer_decode(&decoded, NULL, tokenizer, ids, 2, false, &err), TERN_E_ARGUMENT, &err, "id 77 (number 1)");
    assert_int_equal(tern_tokenizer_decode(&decoded, NULL, tokenizer, ids, 0, false, &err), TERN_OK);
    assert_string_equal(decoded, "");
    tern_free(decoded);
    tern_tokenizer_free(tokenizer);

    write_tokenizer(folder, "\"a\":0", "");
    tokenizer = load(folder);
    assert_int_equal(encode(tokenizer, "a a", 3, 0, &err), TERN_OK);
    check_failed(encode(tokenizer, "a b", 3, 0, &err), TERN_E_FORMAT, &err, "unk_token \"[UNK]\"");
    tern_tokenizer_free(tokenizer);

    write_tokenizer(folder, "\"a\":0",
                    "\"added_tokens\":[{\"id\":9,\"content\":\"\\u0301\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                    "\"normalized\":true,\"special\":false}],");
    tokenizer = load(folder); /* without a normalizer an accent stays one */
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "\xCC\x81"), 1);
    tern_tokenizer_free(tokenizer);
}

/* Texts of many tokens, to go through every growing of memory, with tokens and a pair. */
static void test_long_text(void **state) {
    const test_folder *folder = *state;
    enum { N = 100000 };
    test_file_write(folder, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n\xC3\xA9\n", 23);
    test_file_write(folder, "tokenizer_config.json", "{\"do_lower_case\":false}", 23);
    tern_tokenizer *tokenizer = load(folder);
    char *text = malloc(N * 3);
    assert_non_null(text);
    for (size_t i = 0; i < N; i++) memcpy(text + 3 * i, i % 2 ? "\xC3\xA9 " : "a  ", 3);
    tern_text whole = {.data = text, .bytes = N * 3};
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = true;
    tern_encoding encoding;
    assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, whole, &whole, &options, NULL), TERN_OK);
    assert_int_equal(encoding.n, 2 * N + 3);
    for (size_t i = 0; i < N; i++) {
        size_t start = i / 2 * 5 + i % 2 * 3, second = N + 2 + i;
        assert_int_equal(encoding.ids[1 + i], i % 2 ? 4 : 3);
        assert_int_equal(encoding.ids[second], i % 2 ? 4 : 3);
        assert_int_equal(encoding.offsets[second][0], start);
        assert_int_equal(encoding.offsets[second][1], start + 1);
        assert_int_equal(encoding.type_ids[second], 1);
        assert_string_equal(encoding.tokens[second], i % 2 ? "\xC3\xA9" : "a");
    }
    tern_encoding_free(&encoding);
    tern_encoding_free(NULL);
    free(text);
    tern_tokenizer_free(tokenizer);
}

/* A token of spaces inside the spaces that the token before it took: nothing is left of it, or less than nothing. */
static void test_taken_spaces(void **state) {
    static const char *const flags[] = {"\"lstrip\":true,\"rstrip\":false", "\"lstrip\":true,\"rstrip\":true"};
    for (size_t i = 0; i < 2; i++) {
        char more[512];
        snprintf(more, sizeof more,
                 "\"added_tokens\":[{\"id\":1,\"content\":\"[Z]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":true,"
                 "\"normalized\":false,\"special\":false},{\"id\":2,\"content\":\"  \",\"single_word\":false,%s,"
                 "\"normalized\":false,\"special\":false}],",
                 flags[i]);
        write_tokenizer(*state, "\"a\":0,\"b\":9", more);
        tern_tokenizer *tokenizer = load(*state);
        tern_encode_options options = tern_encode_options_default();
        options.with_tokens = true;
        for (size_t n_spaces = 0; n_spaces < 9; n_spaces++) {
            tern_encoding encoding;
            char text[16];
            int n = snprintf(text, sizeof text, "[Z]%.*sa", (int)n_spaces, "         ");
            assert_int_equal(
                tern_tokenizer_encode(&encoding, tokenizer, (tern_text){.data = text, .bytes = (size_t)n}, NULL, &options, NULL), TERN_OK);
            assert_int_equal(encoding.n, 2);
            assert_string_equal(encoding.tokens[1], "a");
            assert_int_equal(encoding.offsets[0][1], 3 + n_spaces);
            assert_int_equal(encoding.offsets[1][0], 3 + n_spaces);
            tern_encoding_free(&encoding);
        }
        tern_tokenizer_free(tokenizer);
    }
}

/* Of tokens with one id, the one that was given last is what the id stands for. */
static void test_one_id(void **state) {
    static const char token[] = "{\"id\":1,\"content\":\"%s\",\"single_word\":%s,\"lstrip\":false,\"rstrip\":false,"
                                "\"normalized\":false,\"special\":false}%s";
    char more[1024] = "\"added_tokens\":[";
    size_t n = strlen(more);
    n += (size_t)snprintf(more + n, sizeof more - n, token, "x", "false", ",");
    n += (size_t)snprintf(more + n, sizeof more - n, token, "new", "false", ","); /* gets id 3, as many as there are: that of x */
    n += (size_t)snprintf(more + n, sizeof more - n, token, "x", "true", "],");
    write_tokenizer(*state, "\"[UNK]\":0,\"a\":7,\"x\":3", more);
    tern_tokenizer *tokenizer = load(*state);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "new"), 3);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "x"), 3);
    assert_string_equal(tern_tokenizer_id_to_token(tokenizer, 3), "x");
    tern_tokenizer_free(tokenizer);
}

static void test_utf8(void **state) {
    (void)state;
    unsigned char bytes[4];
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        size_t n = tern__utf8_encode(bytes, c), length;
        assert_int_equal(tern__utf8_valid_prefix(bytes, n), n);
        assert_int_equal(tern__utf8_decode(bytes, &length), c);
        assert_int_equal(length, n);
        assert_int_equal(tern__utf8_count(bytes, n), 1);
        if (n > 1) assert_int_equal(tern__utf8_valid_prefix(bytes, n - 1), 0);
    }
    for (unsigned first = 0x80; first < 0x100; first++) { /* what Unicode's table 3-7 leaves out */
        for (unsigned second = 0; second < 0x100; second++) {
            const unsigned char text[4] = {(unsigned char)first, (unsigned char)second, 0x80, 0x80};
            bool is_tail = second >= 0x80 && second < 0xC0;
            bool two = first >= 0xC2 && first < 0xE0 && is_tail;
            bool three = first >= 0xE0 && first < 0xF0 && is_tail && !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F);
            bool four = first >= 0xF0 && first < 0xF5 && is_tail && !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
            assert_int_equal(tern__utf8_valid_prefix(text, 4), two ? 2 : three ? 3 : four ? 4 : 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_vocabulary, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_bad_vocabulary, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_bad_texts, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_long_text, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_taken_spaces, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_one_id, test_folder_setup, test_folder_teardown),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
