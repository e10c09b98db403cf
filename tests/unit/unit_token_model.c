/* unit_token_model.c - models read from JSON: kinds, fields, tables, and what is refused; WordPiece and WordLevel.
 * Values that are asked for were taken from Hugging Face's tokenizers 0.23.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token_model_helper.h"

#include <math.h>

/* ---- Kinds ---- */

static void test_kinds(void **state) {
    (void)state;
    static const struct {
        const char *model;
        tern_token_model_kind kind;
    } cases[] = {
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]", TERN_TOKEN_MODEL_BPE},
        {"\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"a\",\"continuing_subword_prefix\":\"\",\"max_input_chars_per_word\":1",
         TERN_TOKEN_MODEL_BPE},
        {"\"vocab\":{\"a\":0},\"unk_token\":\"a\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":1",
         TERN_TOKEN_MODEL_WORDPIECE},
        {"\"vocab\":{\"a\":0},\"unk_token\":\"a\"", TERN_TOKEN_MODEL_WORDLEVEL},
        {"\"vocab\":{\"a\":0},\"unk_token\":\"a\",\"type\":\"WordLevel\"", TERN_TOKEN_MODEL_WORDLEVEL},
        {"\"vocab\":[[\"a\",0]]", TERN_TOKEN_MODEL_UNIGRAM},
        {"\"vocab\":[[\"a\",-0.5]],\"type\":\"Unigram\",\"unk_id\":null,\"byte_fallback\":null", TERN_TOKEN_MODEL_UNIGRAM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"version\":\"1.0\",\"model\":{%s}}", cases[i].model);
        tern_token_model model;
        test_model_must_read(&model, text);
        assert_int_equal(model.kind, cases[i].kind);
        const tern_vocabulary_entry *entry = tern__vocabulary_find(&model.vocabulary, "a", 1);
        assert_non_null(entry);
        assert_int_equal(entry->id, 0);
        tern__token_model_free(&model);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *model, *message;
        tern_status code;
    } cases[] = {
        {"\"type\":\"Gram\",\"vocab\":{}", "model Gram is not supported", TERN_E_UNSUPPORTED},
        {"\"vocab\":{\"a\":0}", "\"type\" is missing", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0}", "model BPE: \"merges\" is missing", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":[[\"a\",0]],\"merges\":[]", "\"vocab\" must be an object", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"merges\":[]", "\"vocab\" is missing", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":{}", "\"merges\" must be an array", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1", "dropout", TERN_E_UNSUPPORTED},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":2", "dropout", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":\"x\"", "dropout", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"fuse_unk\":1", "\"fuse_unk\"", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":1", "\"unk_token\"", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]", "what they become is not in the vocabulary", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"ab\":1},\"merges\":[\"a b\"]", "the right token is not", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"b\":0,\"ab\":1},\"merges\":[[\"a\",\"b\"]]", "the left token is not", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"aa\"]", "column 57: model: merges: a merge must be", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a a\"]", "a merge must be", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",[\"a\",\"a\"]]", "a string is expected", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\"],\"a a\"]", "as before", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\",\"a\"]]", "']' is expected", TERN_E_FORMAT},
        {"\"type\":\"BPE\",\"vocab\":{\"a\":0,\"#\":1},\"merges\":[[\"a\",\"#\"]],\"continuing_subword_prefix\":\"##\"", "is not in the",
         TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1", "unk_id is 1, but there are 1 pieces", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[],\"unk_id\":0", "unk_id is 0, but there are 0 pieces", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":-1", "\"unk_id\"", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":{\"a\":0}", "\"vocab\" must be an array", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\"]]", "',' is expected", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",0,1]]", "']' is expected", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",NaN]]", "a number is expected", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",1e999]]", "a number out of range", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[[\"a\",01]]", "a number is expected", TERN_E_FORMAT},
        {"\"type\":\"Unigram\",\"vocab\":[\"a\"]", "a [piece, score] is expected", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"a\":0}", "\"unk_token\" is missing", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"a\":4294967296},\"unk_token\":\"a\"", "an id must be", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"a\":1.0},\"unk_token\":\"a\"", "an id must be", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"a\":1,\"b\":2, \"\\u0061\":3},\"unk_token\":\"a\"",
         "column 52: model: vocab: a token that was", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"a\":1},\"vocab\":{\"b\":2},\"unk_token\":\"a\"", "a key that is there already",
         TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"\xFF\":1},\"unk_token\":\"a\"", "not UTF-8", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"\\n\xFF\":1},\"unk_token\":\"a\"", "not UTF-8", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"\n\":1},\"unk_token\":\"a\"", "control character", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"\\x\":1},\"unk_token\":\"a\"", "an escape that is none", TERN_E_FORMAT},
        {"\"type\":\"WordLevel\",\"vocab\":{\"\\uD83D\":1},\"unk_token\":\"a\"", "an escape that is none", TERN_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"model\":{%s}}", cases[i].model);
        tern_token_model model;
        tern_error err;
        check_failed(test_model_read(&model, text, &err), cases[i].code, &err, cases[i].message);
        tern__token_model_free(&model);
    }
}

/* ---- Tables ---- */

/* Keys in any order and with escapes; the JSON reader passes over the tables and tells the place of what is behind. */
static void test_tables(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\":[{\"model\":1}],\n\"mod\\u0065l\":{\"merges\":[\"a \\u00e9\",\n\n\"\\uD83D\\uDE00 \\\"\"],\"x\":{\"vocab\":{\"n\":1}},\n"
        "\"voc\\u0061b\":{\"a\": 7 ,\n\"\\n\\\"\\/\":2147483647\n, \"\":0}}, \"z\":1 \n}";
    size_t n_bytes = sizeof text - 1;
    tern_model_tables tables = {0};
    tern_error err;
    assert_int_equal(tern__model_tables_read_json(&tables, text, n_bytes, "file", &err), TERN_OK);
    assert_int_equal(tables.vocabulary.n_entries, 3);
    assert_int_equal(tern__vocabulary_find(&tables.vocabulary, "a", 1)->id, 7);
    assert_int_equal(tern__vocabulary_find(&tables.vocabulary, "\n\"/", 3)->id, INT32_MAX);
    assert_int_equal(tern__vocabulary_find(&tables.vocabulary, "", 0)->id, 0);
    assert_null(tern__vocabulary_find(&tables.vocabulary, "n", 1));
    assert_int_equal(tables.n_merges, 2);
    assert_memory_equal(tables.merge_strings, "a\xC3\xA9\xF0\x9F\x98\x80\"", 8);
    assert_int_equal(tables.merges[1].left_bytes, 4);
    assert_int_equal(tables.merges[1].right_bytes, 1);
    json_t *root;
    assert_int_equal(tern__json_parse_around(&root, text, n_bytes, tables.holes, tables.n_holes, "file", &err), TERN_OK);
    assert_int_equal(json_object_size(json_object_get(json_object_get(root, "model"), "vocab")), 0);
    assert_int_equal(json_array_size(json_object_get(json_object_get(root, "model"), "merges")), 0);
    assert_int_equal(json_integer_value(json_object_get(root, "z")), 1);
    json_decref(root);
    check_failed(tern__json_parse_around(&root, text, n_bytes - 1, tables.holes, tables.n_holes, "file", &err), TERN_E_FORMAT, &err,
                 "file: line 8, column 1: expected ',' or '}', found the end");
    tern__model_tables_free(&tables);
}

/* What cannot be read as a model is left for the JSON library to tell. */
static void test_left_alone(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"model\":[{\"vocab\":{\"a\":1}}]}",
                                        "{\"model\":{\"vocab\":1}}",
                                        "{\"model\":{}}",
                                        "{\"model\":{\"x\":[}",
                                        "{\"model",
                                        "{\"model\":{\"vocab\"",
                                        "{\"\\q\":1,\"model\":{\"vocab\":{\"a\":1}}}",
                                        "{\"model\":{\"vocab\":{},\"vocab\":[],\"vocab\":{},\"merges\":[]}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tern_model_tables tables = {0};
        assert_int_equal(tern__model_tables_read_json(&tables, texts[i], strlen(texts[i]), "file", NULL), TERN_OK);
        assert_int_equal(tables.vocabulary.n_entries, 0);
        assert_int_equal(tables.n_holes, 0);
        tern__model_tables_free(&tables);
    }
}

/* Scores as the library reads them, which is not always the nearest double. */
static void test_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"-0.0", -0.0},
        {"-13.5", -13.5},
        {"-6.9005990025", -6.9005990025},
        {"-12.929070472717285", -0x1.9dbaf1fffffffp+3}, /* the nearest double is -0x1.9dbaf2p+3 */
        {"0.12345678901234567890123456789", 0x1.f9add3746f65fp-4},
        {"123456789012345678901234567890", 0x1.8ee90ff6c373ep+96},
        {"18446744073709551616", 0x1p+64},
        {"1E+5", 1e5},
        {"25e-1", 2.5},
        {"1e-400", 0},
        {"0e999999999999", 0},
        {"1.5e300", 1.5e300},
        {"4.9e-324", 0x1p-1074},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"model\":{\"vocab\":[[\"a\",%s]]}}", cases[i].text);
        tern_model_tables tables = {0};
        tern_error err;
        if (tern__model_tables_read_json(&tables, text, strlen(text), "file", &err)) fail_msg("%s: %s", cases[i].text, err.message);
        assert_int_equal(tables.n_scores, 1);
        if (tables.scores[0] != cases[i].value || !signbit(tables.scores[0]) != !signbit(cases[i].value))
            fail_msg("%s is %a, not %a", cases[i].text, tables.scores[0], cases[i].value);
        tern__model_tables_free(&tables);
    }
}

/* ---- WordPiece and WordLevel ---- */

static void test_wordpiece(void **state) {
    (void)state;
    tern_token_model model;
    test_model_must_read(&model,
                         "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\","
                         "\"max_input_chars_per_word\":5,\"vocab\":{\"?\":9,\"a\":0,\"ab\":1,\"##c\":2,\"##cd\":3,\"\xC3\xA9\":4}}}");
    test_check_tokens(&model, "ab", "1(0,2)");
    test_check_tokens(&model, "abccd", "1(0,2) 2(2,3) 3(3,5)");
    test_check_tokens(&model, "abcx", "9(0,4)");
    test_check_tokens(&model,
                      "\xC3\xA9"
                      "c",
                      "4(0,2) 2(2,3)");
    test_check_tokens(&model, "abcccc", "9(0,6)");
    tern__token_model_free(&model);
}

static void test_wordlevel(void **state) {
    (void)state;
    tern_token_model model;
    tern_error err;
    test_model_must_read(&model, "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":5,\"ab\":1,\"a b\":8}}}");
    test_check_tokens(&model, "ab", "1(0,2)");
    test_check_tokens(&model, "a b", "8(0,3)");
    test_check_tokens(&model, "b", "5(0,1)");
    bool can = true;
    assert_int_equal(tern__token_model_take_bytes(&model, &can, &err), TERN_OK);
    assert_false(can);
    tern__token_model_free(&model);
    test_model_must_read(&model, "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"ab\":1}}}");
    tern_token_list tokens = {0};
    check_failed(test_tokenize(&tokens, &model, "b", 1, &err), TERN_E_FORMAT, &err, "lacks the unk_token \"?\"");
    tern__token_list_free(&tokens);
    tern__token_model_free(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),      cmocka_unit_test(test_refused),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_wordpiece), cmocka_unit_test(test_wordlevel),
        cmocka_unit_test(test_left_alone),
    };
    return cmocka_run_group_tests_name("token_model", tests, NULL, NULL);
}
