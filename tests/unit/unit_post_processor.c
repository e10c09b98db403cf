/* unit_post_processor.c - post-processors and truncation against golden encodings (scripts/golden-stages.py), and what must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_stages.h"

static int index_of(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0) return i;
    fail_msg("the golden file says %s", name);
    return 0;
}

static tern_encode_options options_of(const json_t *golden) {
    static const char *const strategies[] = {"longest_first", "only_first", "only_second"}, *const directions[] = {"right", "left"};
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = options.with_word_ids = options.with_overflowing = true;
    options.add_special_tokens = json_is_true(json_object_get(golden, "add_special_tokens"));
    options.max_length = (size_t)json_integer_value(json_object_get(golden, "max_length"));
    options.stride = (size_t)json_integer_value(json_object_get(golden, "stride"));
    options.truncation_strategy = (tern_truncation_strategy)index_of(json_string_value(json_object_get(golden, "strategy")), strategies, 3);
    options.truncation_direction =
        (tern_truncation_direction)index_of(json_string_value(json_object_get(golden, "direction")), directions, 2);
    return options;
}

static void check_case(const tern_tokenizer *tokenizer, const json_t *golden, const char *name) {
    tern_error err;
    tern_encoding encoding;
    const json_t *pair = json_object_get(golden, "pair"), *wanted = json_object_get(golden, "encodings");
    tern_text text = test_text_of(json_object_get(golden, "text")), pair_text = test_text_of(pair);
    tern_encode_options options = options_of(golden);
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, text, json_is_string(pair) ? &pair_text : NULL, &options, &err);
    if (json_is_null(wanted)) { /* the library refuses, too */
        assert_int_equal(status, TERN_E_ARGUMENT);
        return;
    }
    if (status != TERN_OK) fail_msg("%s: text \"%s\": %s", name, text.data, err.message);
    assert_int_equal(1 + encoding.n_overflowing, json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const char *shown = test_shown(i == 0 ? &encoding : &encoding.overflowing[i - 1]);
        if (strcmp(shown, json_string_value(json_array_get(wanted, i))) != 0)
            fail_msg("%s: text \"%s\", piece %zu:\n%s\nis not\n%s", name, text.data, i, shown,
                     json_string_value(json_array_get(wanted, i)));
    }
    options.with_overflowing = options.with_tokens = options.with_word_ids = false; /* what is not asked for is not there */
    tern_encoding bare;
    assert_int_equal(tern_tokenizer_encode(&bare, tokenizer, text, json_is_string(pair) ? &pair_text : NULL, &options, &err), TERN_OK);
    assert_int_equal(bare.n, encoding.n);
    assert_memory_equal(bare.ids, encoding.ids, bare.n * sizeof *bare.ids);
    assert_memory_equal(bare.offsets, encoding.offsets, bare.n * sizeof *bare.offsets);
    assert_true(!bare.tokens && !bare.word_ids && !bare.sequence_ids && !bare.overflowing && bare.n_overflowing == 0);
    tern_encoding_free(&bare);
    tern_encoding_free(&encoding);
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden = test_golden_stages();
    const json_t *all = json_object_get(golden, "encodings"), *words = json_object_get(golden, "words");
    size_t n_cases = 0;
    for (size_t t = 0; t < json_array_size(all); t++) {
        const json_t *one = json_array_get(all, t), *cases = json_object_get(one, "cases");
        json_t *post_processor = json_object_get(one, "post_processor");
        char *name = json_dumps(post_processor, JSON_COMPACT | JSON_ENCODE_ANY);
        tern_tokenizer *tokenizer = test_tokenizer_of(words, "post_processor", post_processor);
        n_cases += json_array_size(cases);
        for (size_t i = 0; i < json_array_size(cases); i++) check_case(tokenizer, json_array_get(cases, i), name);
        tern_tokenizer_free(tokenizer);
        free(name);
    }
    assert_true(n_cases >= 400);
    json_decref(golden);
}

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
        tern_status code;
    } cases[] = {
        {"7", "\"post_processor\" must be an object", TERN_E_FORMAT},
        {"{\"type\":\"Other\"}", "post_processor Other is not supported", TERN_E_UNSUPPORTED},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "ByteLevel: \"trim_offsets\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"RobertaProcessing\",\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2],\"trim_offsets\":true,\"add_prefix_space\":1}",
         "RobertaProcessing: \"add_prefix_space\" must be true or false", TERN_E_FORMAT},
        {"{\"type\":\"RobertaProcessing\",\"trim_offsets\":true,\"add_prefix_space\":true}", "RobertaProcessing: \"cls\" is missing",
         TERN_E_FORMAT},
        {"{}", "\"type\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",-1],\"sep\":[\"[SEP]\",2]}", "\"cls\" must be a whole number", TERN_E_FORMAT},
        {"{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\"],\"sep\":[\"[SEP]\",2]}", "\"cls\" must be a token and its id", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\"}", "Sequence: \"processors\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\",\"processors\":[null]}", "\"post_processor\" must be an object", TERN_E_FORMAT},
        {"{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}",
         "\"single\" has a Sequence B", TERN_E_FORMAT},
        {"{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"X\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}",
         "X is not among the special_tokens", TERN_E_FORMAT},
        {"{\"type\":\"TemplateProcessing\",\"single\":[{\"Other\":{}}],\"pair\":[],\"special_tokens\":{}}", "a Sequence or a SpecialToken",
         TERN_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_tokenizer *tokenizer;
        tern_error err;
        tern_status status = test_letters_load(&tokenizer, cases[i].json, "null", &err);
        assert_null(tokenizer);
        check_failed(status, cases[i].code, &err, cases[i].message);
    }
}

/* A processor goes by its fields, whatever its type says. */
static void test_fields(void **state) {
    (void)state;
    static const struct {
        const char *json, *wanted;
    } cases[] = {
        {"{\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2],\"type\":\"RobertaProcessing\"}", "[CLS] a [SEP] b [SEP]"},
        {"{\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]}", "[CLS] a [SEP] b [SEP]"},
        {"{\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2],\"trim_offsets\":true,\"add_prefix_space\":true,\"type\":\"BertProcessing\"}",
         "[CLS] a [SEP] [SEP] b [SEP]"},
        {"{\"single\":[],\"pair\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],\"special_tokens\":{},\"type\":7}", "b"},
    };
    const tern_text text = {.data = "a", .bytes = 1}, pair = {.data = "b", .bytes = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_tokenizer *tokenizer = test_letters(cases[i].json, "null");
        tern_encode_options options = tern_encode_options_default();
        options.with_tokens = true;
        tern_encoding encoding;
        assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, text, &pair, &options, NULL), TERN_OK);
        char tokens[64] = "";
        for (size_t t = 0; t < encoding.n; t++) strcat(strcat(tokens, t > 0 ? " " : ""), encoding.tokens[t]);
        assert_string_equal(tokens, cases[i].wanted);
        tern_encoding_free(&encoding);
        tern_tokenizer_free(tokenizer);
    }
}

/* A template behind a template: it has rules for one and for two encodings, of whatever came before, and for no other number. */
static void test_template_of_template(void **state) {
    (void)state;
    static const char json[] =
        "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"X\","
        "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
        "{\"SpecialToken\":{\"id\":\"X\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],\"special_tokens\":{\"X\":"
        "{\"id\":\"X\",\"ids\":[9],\"tokens\":[\"X\"]}}},{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\","
        "\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":5}},{\"Sequence\":{\"id\":\"A\",\"type_id\":6}}],"
        "\"special_tokens\":{}}]}";
    tern_tokenizer *tokenizer = test_letters(json, "null");
    tern_encode_options options = tern_encode_options_default();
    const tern_text text = {.data = "a", .bytes = 1}, pair = {.data = "b", .bytes = 1};
    tern_encoding encoding;
    tern_error err;
    options.with_tokens = options.with_word_ids = true;
    assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, text, NULL, &options, &err), TERN_OK); /* X and a are its two */
    assert_string_equal(test_shown(&encoding), "a:3:5:0:0:1:0-1 X:9:6:1:-:0:0-0");
    tern_encoding_free(&encoding);
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, text, &pair, &options, &err);
    check_failed(status, TERN_E_UNSUPPORTED, &err, "TemplateProcessing has no rule");
    options.add_special_tokens = false;
    assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, text, &pair, &options, &err), TERN_OK);
    assert_string_equal(test_shown(&encoding), "b:4:5:0:0:1:0-1 a:3:6:0:0:0:0-1");
    tern_encoding_free(&encoding);
    tern_tokenizer_free(tokenizer);
}

/* Sequences in each other, up to the limit and beyond. */
static void test_deep_sequence(void **state) {
    (void)state;
    for (int depth = 31; depth < 35; depth++) {
        char json[4096];
        size_t n = 0;
        for (int i = 0; i < depth; i++) n += (size_t)snprintf(json + n, sizeof json - n, "{\"type\":\"Sequence\",\"processors\":[");
        for (int i = 0; i < depth; i++) n += (size_t)snprintf(json + n, sizeof json - n, "]}");
        tern_tokenizer *tokenizer;
        tern_error err;
        tern_status status = test_letters_load(&tokenizer, json, "null", &err);
        if (depth > 32) check_failed(status, TERN_E_UNSUPPORTED, &err, "Sequences in each other");
        else assert_int_equal(status, TERN_OK);
        tern_tokenizer_free(tokenizer);
    }
}

/* A token of more white space than is counted ahead, in a vocabulary whose ids leave a gap or none. */
static void test_many_edge_spaces(void **state) {
    (void)state;
    static const int ids[] = {1, 2000000000};
    enum { N_SPACES = 300 };
    char word[2 * N_SPACES + 2], json[2048];
    for (size_t i = 0; i < N_SPACES; i++) memcpy(word + 2 * i, "\xC4\xA0", 2); /* U+0120 */
    memcpy(word + (size_t)2 * N_SPACES, "a", 2);
    for (size_t i = 0; i < 2; i++) {
        int n =
            snprintf(json, sizeof json,
                     "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":\"ByteLevel\","
                     "\"add_prefix_space\":true,\"trim_offsets\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\","
                     "\"continuing_subword_prefix\":\"\",\"max_input_chars_per_word\":1000,\"vocab\":{\"a\":0,\"%s\":%d}}}",
                     word, ids[i]);
        assert_in_range(n, 1, sizeof json - 1);
        tern_tokenizer *tokenizer;
        tern_encoding encoding;
        assert_int_equal(tern__tokenizer_from_json(&tokenizer, json, (size_t)n, "tokenizer.json", NULL), TERN_OK);
        assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, (tern_text){.data = word, .bytes = strlen(word)}, NULL, NULL, NULL),
                         TERN_OK);
        assert_int_equal(encoding.n, 1);
        assert_int_equal(encoding.ids[0], ids[i]);
        assert_int_equal(encoding.offsets[0][0], N_SPACES);
        assert_int_equal(encoding.offsets[0][1], N_SPACES + 1);
        tern_encoding_free(&encoding);
        tern_tokenizer_free(tokenizer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_template_of_template),
        cmocka_unit_test(test_deep_sequence), cmocka_unit_test(test_many_edge_spaces),
    };
    return cmocka_run_group_tests_name("post-processor", tests, NULL, NULL);
}
