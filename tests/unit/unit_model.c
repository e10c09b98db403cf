/* unit_model.c - the public model interface on tiny random checkpoints: what it refuses, what it promises.
 * Numbers are compared with transformers elsewhere (tests/python/test_parity.py).
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tern.h"

#define HIDDEN 60
static char root[64], checkpoint[96];

static const char config[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 300, \"hidden_size\": 60, \"num_hidden_layers\": 2, \"num_attention_heads\": 3,"
    " \"intermediate_size\": 100, \"max_position_embeddings\": 40, \"type_vocab_size\": 2}";

static void write_file(const char *folder, const char *name, const char *text) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

/* A new folder under root with the checkpoint of `text` as config.json. */
static void make_checkpoint(const char *name, const char *text, char *folder, size_t n_bytes) {
    char path[160];
    write_file(root, "config.json", text);
    snprintf(path, sizeof path, "%s/config.json", root);
    snprintf(folder, n_bytes, "%s/%s", root, name);
    tern_error err = {.message = ""};
    if (tern_checkpoint_init(path, 7, folder, &err) != TERN_OK) fail_msg("%s", err.message);
}

static int set_up(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/tern_unit_model_XXXXXX");
    assert_non_null(mkdtemp(root));
    make_checkpoint("tiny", config, checkpoint, sizeof checkpoint);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static tern_model *load(const char *folder) {
    tern_model *model;
    tern_error err;
    tern_model_options options = tern_model_options_default();
    options.threads = 2;
    if (tern_model_load(&model, folder, &options, &err) != TERN_OK) fail_msg("%s", err.message);
    return model;
}

static void expect_load_failure(const char *folder, const tern_model_options *options, tern_status code, const char *part) {
    tern_model *model = (tern_model *)&code;
    tern_error err;
    assert_int_equal(tern_model_load(&model, folder, options, &err), code);
    assert_null(model);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" is not in: %s", part, err.message);
}

/* ---- Loading ---- */

static void test_info_tells_what_was_loaded(void **state) {
    (void)state;
    tern_model *model = load(checkpoint);
    const tern_model_info info = tern_model_get_info(model);
    assert_string_equal(info.model_type, "bert");
    assert_string_equal(info.architecture, "BertModel");
    assert_string_equal(info.device, "cpu");
    assert_string_equal(info.tasks[0], "feature-extraction");
    assert_int_equal(info.threads, 2);
    assert_int_equal(info.checkpoint_dtype, TERN_DTYPE_F32);
    const int64_t layer = 4 * (60 * 60 + 60) + 60 * 100 + 100 + 100 * 60 + 60 + 4 * 60;
    assert_int_equal(info.n_parameters, (300 + 40 + 2 + 2) * 60 + 2 * layer + 60 * 60 + 60);
    assert_int_equal(info.max_seq_length, 40);
    assert_false(info.is_sentence_transformer);
    assert_int_equal(tern_model_embedding_size(model), HIDDEN);
    assert_int_equal(tern_tokenizer_vocab_size(tern_model_get_tokenizer(model)), 300);
    tern_model_free(model);
    tern_model_free(NULL);
}

static void test_options_are_checked(void **state) {
    (void)state;
    tern_model_options options = tern_model_options_default();
    options.device = "abacus";
    expect_load_failure(checkpoint, &options, TERN_E_DEVICE, "abacus");
    options = tern_model_options_default();
    options.dtype = "float8";
    expect_load_failure(checkpoint, &options, TERN_E_DTYPE, "float8");
    options = tern_model_options_default();
    options.threads = -1;
    expect_load_failure(checkpoint, &options, TERN_E_ARGUMENT, "threads");
    options = tern_model_options_default();
    options.isa = "mmx";
    expect_load_failure(checkpoint, &options, TERN_E_DEVICE, "mmx");
    options = (tern_model_options){0};
    expect_load_failure(checkpoint, &options, TERN_E_ARGUMENT, "tern_model_options_default");
    expect_load_failure(NULL, NULL, TERN_E_ARGUMENT, "folder is NULL");
    expect_load_failure("/nonexistent/folder", NULL, TERN_E_IO, "/nonexistent/folder");
}

static void test_configs_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
        tern_status code;
        const char *part;
    } cases[] = {
        {"\"hidden_size\": 60", "\"x\": 1", TERN_E_CONFIG, "\"hidden_size\" is missing"},
        {"\"hidden_size\": 60", "\"hidden_size\": 61", TERN_E_CONFIG, "not a multiple"},
        {"\"hidden_size\": 60", "\"hidden_size\": -60", TERN_E_CONFIG, "\"hidden_size\" is -60"},
        {"\"vocab_size\": 300", "\"vocab_size\": 1e300", TERN_E_CONFIG, "\"vocab_size\" is"},
        {"\"vocab_size\": 300", "\"vocab_size\": 99999999999", TERN_E_CONFIG, "\"vocab_size\" is 99999999999"},
        {"\"model_type\": \"bert\"", "\"model_type\": \"bart\"", TERN_E_UNSUPPORTED, "known are: albert, bert, "},
        {"\"model_type\": \"bert\"", "\"hidden_act\": \"gelu\"", TERN_E_CONFIG, "\"model_type\" is missing"},
        {"\"type_vocab_size\": 2", "\"hidden_act\": \"swoosh\"", TERN_E_UNSUPPORTED, "\"swoosh\"; known are gelu"},
        {"\"type_vocab_size\": 2", "\"is_decoder\": true", TERN_E_UNSUPPORTED, "is_decoder"},
        {"\"type_vocab_size\": 2", "\"position_embedding_type\": \"relative_key\"", TERN_E_UNSUPPORTED, "relative_key"},
        {"\"type_vocab_size\": 2", "\"type_vocab_size\": 3", TERN_E_WEIGHTS,
         "token_type_embeddings.weight is F32 [2, 60], not a float [3, 60]"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", TERN_E_WEIGHTS, "16 missing"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", TERN_E_WEIGHTS, "16 unexpected"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2,", TERN_E_FORMAT, "line 1"},
    };
    char folder[96];
    make_checkpoint("broken_config", config, folder, sizeof folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = strstr(config, cases[i].from);
        char changed[512];
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - config), config, cases[i].to, at + strlen(cases[i].from));
        write_file(folder, "config.json", changed);
        expect_load_failure(folder, NULL, cases[i].code, cases[i].part);
    }
}

static void test_sentence_transformers_folders(void **state) {
    (void)state;
    static const char modules[] = "[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},"
                                  " {\"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"}";
    static const char normalize[] = ", {\"path\": \"2_Normalize\", \"type\": \"sentence_transformers.base.modules.normalize.Normalize\"}]";
    char folder[96], pooling[128], text[512];
    make_checkpoint("sentences", config, folder, sizeof folder);
    snprintf(text, sizeof text, "%s%s", modules, normalize);
    write_file(folder, "modules.json", text);
    expect_load_failure(folder, NULL, TERN_E_IO, "1_Pooling/config.json");
    snprintf(pooling, sizeof pooling, "%s/1_Pooling", folder);
    assert_int_equal(mkdir(pooling, 0777), 0);
    write_file(pooling, "config.json", "{\"pooling_mode_cls_token\": false, \"pooling_mode_max_tokens\": true}");
    write_file(folder, "sentence_bert_config.json", "{\"max_seq_length\": 9, \"do_lower_case\": false}");
    tern_model *model = load(folder);
    const tern_model_info info = tern_model_get_info(model);
    assert_true(info.is_sentence_transformer && info.normalize);
    assert_string_equal(info.pooling, "max");
    assert_int_equal(info.max_seq_length, 9);
    tern_model_free(model);

    write_file(pooling, "config.json", "{\"embedding_dimension\": 60, \"pooling_mode\": \"cls\"}");
    snprintf(text, sizeof text, "%s]", modules);
    write_file(folder, "modules.json", text);
    model = load(folder);
    assert_string_equal(tern_model_get_info(model).pooling, "cls");
    assert_false(tern_model_get_info(model).normalize);
    tern_model_free(model);

    write_file(pooling, "config.json", "{\"pooling_mode\": [\"cls\", \"lasttoken\"]}");
    model = load(folder);
    assert_string_equal(tern_model_get_info(model).pooling, "cls, lasttoken");
    assert_int_equal(tern_model_embedding_size(model), 120);
    tern_embed_options options = tern_embed_options_default();
    options.pooling = TERN_POOLING_MAX;
    float row[120];
    tern_error err;
    assert_int_equal(tern_model_embed(model, &(tern_text){"a", 1}, 1, &options, row, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "(cls, lasttoken)"));
    tern_model_free(model);
    write_file(pooling, "config.json", "{\"pooling_mode\": [\"cls\", \"middle\"]}");
    expect_load_failure(folder, NULL, TERN_E_UNSUPPORTED, "1_Pooling: \"pooling_mode\" \"middle\"");
}

static void test_modules_that_do_not_fit(void **state) {
    (void)state;
#define TYPE(name) "\"type\": \"sentence_transformers.models." name "\"}"
    static const struct {
        const char *modules, *config; /* of 1_X */
        tern_status code;
        const char *part;
    } cases[] = {
        {"[]", "{}", TERN_E_FORMAT, "not a list of modules"},
        {"[{\"path\": \"../x\", " TYPE("Transformer") "]", "{}", TERN_E_FORMAT, "module 0"},
        {"[{\"path\": \"a/..\", " TYPE("Transformer") "]", "{}", TERN_E_FORMAT, "module 0"},
        {"[{\"path\": \"/x\", " TYPE("Transformer") "]", "{}", TERN_E_FORMAT, "module 0"},
        {"[{\"path\": \"a..b\", " TYPE("Transformer") "]", "{}", TERN_E_IO, "a..b/config.json"},
        {"[{\"path\": \"\", \"type\": \"custom.Transformer\"}]", "{}", TERN_E_UNSUPPORTED, "\"custom.Transformer\"; known are"},
        {"[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_X\", " TYPE("LSTM") "]", "{}", TERN_E_UNSUPPORTED,
         "module 1 is \"sentence_transformers.models.LSTM\"; known are sentence_transformers' Transformer, MLMTransformer, "
         "StaticEmbedding, Pooling, Dense"},
        {"[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_X\", " TYPE("Transformer") "]", "{}", TERN_E_UNSUPPORTED,
         "the first module takes texts"},
        {"[{\"path\": \"1_X\", " TYPE("Pooling") "]", "{}", TERN_E_UNSUPPORTED, "the first module takes texts"},
        {"[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_X\", " TYPE("LayerNorm") "]", "{}", TERN_E_IO, "has no weights"},
        {"[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_X\", " TYPE("SpladePooling") "]", "{\"pooling_strategy\": \"mean\"}",
         TERN_E_UNSUPPORTED, "\"pooling_strategy\" is \"mean\""},
        {"[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_X\", " TYPE("SpladePooling") "]", "{\"activation_function\": \"gelu\"}",
         TERN_E_UNSUPPORTED, "\"activation_function\" is \"gelu\""},
        {"[{\"path\": \"\", " TYPE("MLMTransformer") ", {\"path\": \"1_X\", " TYPE("SpladePooling") "]", "{}", TERN_E_UNSUPPORTED,
         "no head for masked language modeling"},
        {"[{\"path\": \"\", " TYPE("StaticEmbedding") "]", "{}", TERN_E_WEIGHTS, "there is no matrix embedding.weight"},
    };
    char folder[96], other[128];
    make_checkpoint("unfit_modules", config, folder, sizeof folder);
    snprintf(other, sizeof other, "%s/1_X", folder);
    assert_int_equal(mkdir(other, 0777), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(folder, "modules.json", cases[i].modules);
        write_file(other, "config.json", cases[i].config);
        expect_load_failure(folder, NULL, cases[i].code, cases[i].part);
    }
}

static void test_prompts(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        tern_status code;
        const char *part;
    } broken[] = {
        {"{\"prompts\": []}", TERN_E_FORMAT, "\"prompts\" is not an object"},
        {"{\"prompts\": {\"query\": 1}}", TERN_E_FORMAT, "the prompt \"query\" is not a string"},
        {"{\"prompts\": {\"a\": \"\"}, \"default_prompt_name\": \"b\"}", TERN_E_CONFIG,
         "\"b\" is not among the model's prompts: \"query\", \"document\", \"a\""},
    };
    char folder[96];
    make_checkpoint("prompts", config, folder, sizeof folder);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(folder, "config_sentence_transformers.json", broken[i].settings);
        expect_load_failure(folder, NULL, broken[i].code, broken[i].part);
    }
    write_file(folder, "config_sentence_transformers.json",
               "{\"prompts\": {\"query\": \"q: \", \"x\": null}, \"default_prompt_name\": \"x\", \"similarity_fn_name\": \"dot\"}");
    tern_model *model = load(folder);
    assert_string_equal(tern_model_prompt_name(model, 0), "query");
    assert_string_equal(tern_model_prompt_name(model, 2), "x");
    assert_null(tern_model_prompt_name(model, 3));
    assert_string_equal(tern_model_prompt(model, "query"), "q: ");
    assert_string_equal(tern_model_prompt(model, "x"), "");
    assert_null(tern_model_prompt(model, "y"));
    assert_string_equal(tern_model_get_info(model).default_prompt_name, "x");
    assert_string_equal(tern_model_get_info(model).similarity_fn_name, "dot");
    tern_error err;
    float row[60];
    tern_embed_options options = tern_embed_options_default();
    options.prompt_name = "y";
    assert_int_equal(tern_model_embed(model, &(tern_text){"a", 1}, 1, &options, row, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "\"y\" is not among the model's prompts: \"query\", \"document\", \"x\""));
    options.prompt = "z";
    assert_int_equal(tern_model_embed(model, &(tern_text){"a", 1}, 1, &options, row, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "exclude each other"));
    tern_model_free(model);
}

static void test_transformer_settings(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        tern_status code;
        const char *part;
    } broken[] = {
        {"{\"max_seq_length\": 0}", TERN_E_CONFIG, "sentence_bert_config.json: \"max_seq_length\" is not a positive integer"},
        {"{\"transformer_task\": \"text-generation\"}", TERN_E_UNSUPPORTED, "\"transformer_task\" is \"text-generation\""},
        {"{\"modality_config\": {\"text\": {\"method\": \"forward\", \"method_output_name\": \"pooler_output\"}}}", TERN_E_UNSUPPORTED,
         "\"method_output_name\" is \"pooler_output\""},
        {"{\"module_output_name\": \"sentence_embedding\"}", TERN_E_UNSUPPORTED, "\"module_output_name\" is \"sentence_embedding\""},
    };
    char folder[96];
    make_checkpoint("settings", config, folder, sizeof folder);
    write_file(folder, "modules.json", "[{\"path\": \"\", " TYPE("Transformer") "]");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(folder, "sentence_bert_config.json", broken[i].settings);
        expect_load_failure(folder, NULL, broken[i].code, broken[i].part);
    }
    /* No module makes a sentence_embedding; the tokenizer's own setting goes first. */
    write_file(folder, "sentence_bert_config.json",
               "{\"max_seq_length\": 9, \"processor_kwargs\": {\"model_max_length\": 7}, \"query_length\": 3, \"query_expansion\": {}}");
    tern_model *model = load(folder);
    assert_int_equal(tern_model_get_info(model).max_seq_length, 7);
    assert_int_equal(tern_model_embedding_size(model), 0);
    assert_int_equal(tern_model_token_embedding_size(model), 60);
    const tern_text text = {"a b c d e f g h", 15};
    tern_embed_options options = tern_embed_options_default();
    tern_sparse_vector vector;
    float *rows;
    int32_t n_tokens;
    tern_error err;
    assert_int_equal(tern_model_embed(model, &text, 1, NULL, NULL, NULL, &err), TERN_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no sentence_embedding"));
    assert_int_equal(tern_model_embed_sparse(model, &text, 1, NULL, 0, &vector, NULL, &err), TERN_E_UNSUPPORTED);
    options.task = TERN_EMBED_QUERY;
    assert_int_equal(tern_model_embed_tokens(model, &text, 1, &options, &rows, &n_tokens, &err), TERN_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "query_expansion"));
    tern_model_free(model);
}

/* A Dense whose folder has so many of the weights that it needs. */
static void test_weights_of_modules(void **state) {
    (void)state;
    static float weight[2 * 60], bias[2];
    const tern_tensor tensors[] = {{"linear.weight", TERN_DTYPE_F32, 2, {2, 60}, weight}, {"linear.bias", TERN_DTYPE_F32, 1, {2}, bias}};
    char folder[96], dense[112], pooling[112], path[160];
    make_checkpoint("dense", config, folder, sizeof folder);
    snprintf(dense, sizeof dense, "%s/2_Dense", folder);
    assert_int_equal(mkdir(dense, 0777), 0);
    snprintf(pooling, sizeof pooling, "%s/1_Pooling", folder);
    assert_int_equal(mkdir(pooling, 0777), 0);
    write_file(pooling, "config.json", "{}");
    write_file(folder, "modules.json",
               "[{\"path\": \"\", " TYPE("Transformer") ", {\"path\": \"1_Pooling\", " TYPE("Pooling") ", {\"path\": \"2_Dense\", " TYPE(
                   "Dense") "]");
    snprintf(path, sizeof path, "%s/model.safetensors", dense);
    assert_int_equal(tern_safetensors_save(path, tensors, 2, NULL), TERN_OK);
    static const struct {
        const char *config, *part;
        tern_status code;
    } cases[] = {
        {"{\"in_features\": 59, \"out_features\": 2}", "2_Dense: \"in_features\" is 59; \"sentence_embedding\" has a width of 60",
         TERN_E_CONFIG},
        {"{\"in_features\": 60}", "\"out_features\" is missing", TERN_E_CONFIG},
        {"{\"in_features\": 60, \"out_features\": 2, \"activation_function\": \"torch.nn.modules.activation.ELU\"}", "activation.ELU",
         TERN_E_UNSUPPORTED},
        {"{\"in_features\": 60, \"out_features\": 2, \"activation_function\": \"mine.Tanh\"}", "mine.Tanh", TERN_E_UNSUPPORTED},
        {"{\"in_features\": 60, \"out_features\": 2, \"module_input_name\": \"words\"}", "reads \"words\"", TERN_E_UNSUPPORTED},
        {"{\"in_features\": 60, \"out_features\": 3}", "misshapen   2_Dense/linear.weight is F32 [2, 60], not a float [3, 60]",
         TERN_E_WEIGHTS},
        {"{\"in_features\": 60, \"out_features\": 2, \"bias\": false}", "unexpected  2_Dense/linear.bias [2]", TERN_E_WEIGHTS},
        {"{\"in_features\": 60, \"out_features\": 2, \"use_residual\": true}", "missing     2_Dense/residual.weight [2, 60]",
         TERN_E_WEIGHTS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(dense, "config.json", cases[i].config);
        expect_load_failure(folder, NULL, cases[i].code, cases[i].part);
    }
    write_file(dense, "config.json", "{\"in_features\": 60, \"out_features\": 2}");
    tern_model *model = load(folder);
    assert_int_equal(tern_model_embedding_size(model), 2);
    tern_model_free(model);
}

static void test_load_report(void **state) {
    (void)state;
    tern_load_report report;
    assert_int_equal(tern_load_report_make(&report, checkpoint, NULL), TERN_OK);
    assert_int_equal(report.n_entries, 3 + 2 + 2 * 16 + 2);
    for (size_t i = 0; i < report.n_entries; i++) {
        assert_int_equal(report.entries[i].state, TERN_WEIGHT_USED);
        assert_string_equal(report.entries[i].name, report.entries[i].checkpoint_name);
    }
    tern_load_report_free(&report);
}

/* ---- Forward ---- */

#define B 3
#define T 7
static const int64_t ids[B * T] = {2, 9, 8, 7, 6, 5, 3, 2, 30, 31, 3, 0, 0, 0, 0, 0, 2, 40, 41, 42, 3};
static const int64_t mask[B * T] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
static const tern_forward_inputs inputs = {.batch = B, .tokens = T, .input_ids = ids, .attention_mask = mask};

static void test_outputs_have_names_and_shapes(void **state) {
    (void)state;
    tern_model *model = load(checkpoint);
    static const char *const names[] = {"hidden_states.0", "hidden_states.1", "hidden_states.2", "last_hidden_state", "pooler_output"};
    for (size_t i = 0; i < 5; i++) assert_string_equal(tern_model_output_name(model, i), names[i]);
    assert_null(tern_model_output_name(model, 5));
    int64_t shape[TERN_MAX_RANK];
    assert_int_equal(tern_model_output_shape(model, "last_hidden_state", B, T, shape), 3);
    assert_true(shape[0] == B && shape[1] == T && shape[2] == HIDDEN);
    assert_int_equal(tern_model_output_shape(model, "pooler_output", B, T, shape), 2);
    assert_int_equal(tern_model_output_shape(model, "sentence_embedding.mean", B, T, shape), 0);
    tern_model_free(model);
}

static void test_masked_rows_are_zeros_and_others_do_not_care(void **state) {
    (void)state;
    tern_model *model = load(checkpoint);
    static float all[B * T * HIDDEN], one[T * HIDDEN], pooled[B * HIDDEN];
    const tern_forward_output outputs[] = {{"last_hidden_state", all}, {"pooler_output", pooled}};
    memset(all, 0x55, sizeof all);
    assert_int_equal(tern_model_forward(model, &inputs, outputs, 2, NULL), TERN_OK);
    for (int row = 0; row < B * T; row++)
        for (int c = 0; c < HIDDEN; c++)
            if (mask[row] == 0) assert_true(all[row * HIDDEN + c] == 0.0f);
            else assert_true(all[row * HIDDEN + c] != 0.0f);
    const tern_forward_inputs second = {.batch = 1, .tokens = 4, .input_ids = ids + T};
    const tern_forward_output alone = {"last_hidden_state", one};
    assert_int_equal(tern_model_forward(model, &second, &alone, 1, NULL), TERN_OK);
    assert_memory_equal(one, all + T * HIDDEN, 4 * HIDDEN * sizeof *one);
    tern_model_free(model);
}

static void expect_forward_failure(tern_model *model, tern_forward_inputs in, const char *output, const char *part) {
    static float data[64 * 64 * HIDDEN];
    const tern_forward_output outputs[] = {{output, data}};
    tern_error err;
    assert_int_equal(tern_model_forward(model, &in, outputs, 1, &err), TERN_E_ARGUMENT);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" is not in: %s", part, err.message);
}

static void test_forward_checks_its_inputs(void **state) {
    (void)state;
    tern_model *model = load(checkpoint);
    int64_t bad[B * T];
    tern_forward_inputs in = inputs;
    expect_forward_failure(model, in, "logits", "output \"logits\"");
    memcpy(bad, ids, sizeof bad);
    bad[9] = 300;
    in.input_ids = bad;
    expect_forward_failure(model, in, "last_hidden_state", "input_ids[1, 2] is 300, not in 0 ... 299");
    bad[9] = -1;
    expect_forward_failure(model, in, "last_hidden_state", "input_ids[1, 2] is -1");
    in = inputs;
    memset(bad, 0, sizeof bad);
    bad[20] = 2;
    in.token_type_ids = bad;
    expect_forward_failure(model, in, "last_hidden_state", "token_type_ids[2, 6] is 2, not in 0 ... 1");
    in = inputs;
    in.attention_mask = bad;
    bad[20] = 0;
    expect_forward_failure(model, in, "last_hidden_state", "attention_mask[0]: the row has no 1");
    bad[0] = 5;
    expect_forward_failure(model, in, "last_hidden_state", "attention_mask[0, 0] is 5");
    in = (tern_forward_inputs){.batch = 1, .tokens = 41, .input_ids = ids};
    expect_forward_failure(model, in, "last_hidden_state", "the model takes 40");
    in = (tern_forward_inputs){.batch = 0, .tokens = 4, .input_ids = ids};
    expect_forward_failure(model, in, "last_hidden_state", "is empty");
    in = (tern_forward_inputs){.batch = INT64_MAX / 2, .tokens = 40, .input_ids = ids};
    expect_forward_failure(model, in, "last_hidden_state", "more than");
    tern_model_free(model);
}

/* ---- Embedding ---- */

#define N_TEXTS 17
static tern_text texts[N_TEXTS];

static void make_texts(void) {
    static const char words[] = "the quick brown fox jumps over the lazy dog and runs far away from it all";
    for (size_t t = 0; t < N_TEXTS; t++) texts[t] = (tern_text){words + t % 5, (t * 11) % (sizeof words - 6)};
}

static float *embed(tern_model *model, size_t max_batch_tokens, int32_t *n_tokens) {
    float *out = malloc(N_TEXTS * HIDDEN * sizeof *out);
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = max_batch_tokens;
    tern_error err;
    if (tern_model_embed(model, texts, N_TEXTS, &options, out, n_tokens, &err) != TERN_OK) fail_msg("%s", err.message);
    return out;
}

/* Neither the table of words as a linear, nor a row of logits for each token, where nobody asks for them. */
static void test_plan_without_head(void **state) {
    (void)state;
    static const char head[] =
        "{\"model_type\": \"bert\", \"architectures\": [\"BertForMaskedLM\"], \"vocab_size\": 20000, \"hidden_size\": 24,"
        " \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"intermediate_size\": 24, \"max_position_embeddings\": 40,"
        " \"type_vocab_size\": 2}";
    char folder[96];
    make_checkpoint("head", head, folder, sizeof folder);
    tern_model *model = load(folder);
    tern_memory_plan plan;
    assert_int_equal(tern_model_plan_memory(model, 4, 40, &plan, NULL), TERN_OK);
    assert_true(plan.packed_bytes > 4 * 6 * 24 * 24 && plan.packed_bytes < 20000 * 24);
    assert_true(plan.workspace_bytes > 4 * 40 * 24 * 4 && plan.workspace_bytes < 4 * 40 * 20000);
    int64_t input_ids[3] = {2, 5, 3};
    float *logits = malloc(3 * 20000 * sizeof *logits), hidden[3 * 24], again[3 * 24];
    const tern_forward_inputs in = {.batch = 1, .tokens = 3, .input_ids = input_ids};
    tern_error err;
    assert_int_equal(tern_model_forward(model, &in, &(tern_forward_output){"last_hidden_state", hidden}, 1, &err), TERN_OK);
    assert_int_equal(tern_model_forward(model, &in, &(tern_forward_output){"logits", logits}, 1, &err), TERN_OK);
    assert_int_equal(tern_model_forward(model, &in, &(tern_forward_output){"last_hidden_state", again}, 1, &err), TERN_OK);
    assert_memory_equal(hidden, again, sizeof hidden);
    assert_true(logits[0] != 0 && logits[3 * 20000 - 1] != 0);
    free(logits);
    tern_model_free(model);
}

static void test_vectors_do_not_depend_on_the_budget(void **state) {
    (void)state;
    make_texts();
    tern_model *model = load(checkpoint);
    int32_t n_tokens[N_TEXTS];
    float *whole = embed(model, 100000, n_tokens), *alone = embed(model, 1, NULL), *some = embed(model, 50, NULL);
    assert_memory_equal(whole, alone, N_TEXTS * HIDDEN * sizeof *whole);
    assert_memory_equal(whole, some, N_TEXTS * HIDDEN * sizeof *whole);
    assert_int_equal(n_tokens[0], 2); /* the empty text: [CLS] [SEP] */
    for (size_t t = 0; t < N_TEXTS; t++) assert_in_range(n_tokens[t], 2, 40);
    free(whole), free(alone), free(some);
    tern_model_free(model);
}

static bool stop_at_once(void *user, size_t done, size_t total) {
    assert_true(done > 0 && done <= total);
    ++*(int *)user;
    return false;
}

static void test_embed_errors(void **state) {
    (void)state;
    make_texts();
    tern_model *model = load(checkpoint);
    static float out[N_TEXTS * HIDDEN];
    tern_error err;
    assert_int_equal(tern_model_embed(model, NULL, 0, NULL, NULL, NULL, &err), TERN_OK);
    int calls = 0;
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = 1;
    options.progress = stop_at_once;
    options.user = &calls;
    assert_int_equal(tern_model_embed(model, texts, N_TEXTS, &options, out, NULL, &err), TERN_E_CANCELLED);
    assert_int_equal(calls, 1);
    texts[3] = (tern_text){"ab\xff", 3};
    assert_int_equal(tern_model_embed(model, texts, N_TEXTS, NULL, out, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "text 3: "));
    options.size = 1;
    assert_int_equal(tern_model_embed(model, texts, 1, &options, out, NULL, &err), TERN_E_ARGUMENT);
    tern_model_free(model);
}

typedef struct caller {
    tern_model *model;
    float *out;
} caller;

static void *call_embed(void *argument) {
    caller *c = argument;
    c->out = embed(c->model, 60, NULL);
    return NULL;
}

/* Several threads, one model: served one after the other, same vectors. Runs under TSan as well. */
static void test_one_model_from_many_threads(void **state) {
    (void)state;
    make_texts();
    tern_model *model = load(checkpoint);
    float *expected = embed(model, 60, NULL);
    caller callers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        callers[i].model = model;
        assert_int_equal(pthread_create(&threads[i], NULL, call_embed, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_memory_equal(callers[i].out, expected, N_TEXTS * HIDDEN * sizeof *expected);
        free(callers[i].out);
    }
    free(expected);
    tern_model_free(model);
}

/* ---- Plans, dumps, random checkpoints ---- */

static void test_memory_plan_grows_with_the_batch(void **state) {
    (void)state;
    tern_model *model = load(checkpoint);
    tern_memory_plan small, large;
    assert_int_equal(tern_model_plan_memory(model, 1, 10, &small, NULL), TERN_OK);
    assert_int_equal(tern_model_plan_memory(model, 64, 40, &large, NULL), TERN_OK);
    assert_true(small.mapped_bytes == large.mapped_bytes && small.packed_bytes == large.packed_bytes);
    assert_true(small.mapped_bytes > 100000 && small.packed_bytes > 100000 && small.workspace_bytes > 0);
    assert_true(large.workspace_bytes > small.workspace_bytes);
    assert_int_equal(tern_model_plan_memory(model, 0, 10, &small, NULL), TERN_E_ARGUMENT);
    assert_int_equal(tern_model_plan_memory(model, INT64_MAX, 10, &small, NULL), TERN_E_ARGUMENT);
    assert_int_equal(tern_model_plan_memory(model, 1, tern_model_get_info(model).max_position_embeddings, &small, NULL), TERN_OK);
    assert_int_equal(tern_model_plan_memory(model, 1, tern_model_get_info(model).max_position_embeddings + 1, &small, NULL),
                     TERN_E_ARGUMENT);
    char *text;
    assert_int_equal(tern_model_dump(model, &text, NULL), TERN_OK);
    assert_non_null(strstr(text, "last_hidden_state = "));
    tern_free(text);
    tern_model_free(model);
}

static char *read_file(const char *folder, const char *name, size_t *n_bytes) {
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    char *data = malloc(1 << 20);
    *n_bytes = fread(data, 1, 1 << 20, stream);
    fclose(stream);
    return data;
}

static void test_random_checkpoints_repeat(void **state) {
    (void)state;
    char folder[96];
    make_checkpoint("again", config, folder, sizeof folder);
    size_t n_first, n_second;
    char *first = read_file(checkpoint, "model.safetensors", &n_first), *second = read_file(folder, "model.safetensors", &n_second);
    assert_int_equal(n_first, n_second);
    assert_memory_equal(first, second, n_first);
    free(first), free(second);
    char path[160];
    snprintf(path, sizeof path, "%s/config.json", root);
    tern_error err;
    assert_int_equal(tern_checkpoint_init(path, 7, folder, &err), TERN_E_IO);
    assert_non_null(strstr(err.message, "already holds"));
}

/* Mean and deviation of 18000 draws: normal of 0.02 within four standard errors. */
static void test_random_weights_are_normal(void **state) {
    (void)state;
    char path[160];
    snprintf(path, sizeof path, "%s/model.safetensors", checkpoint);
    tern_safetensors *file;
    assert_int_equal(tern_safetensors_open(&file, path, NULL), TERN_OK);
    const tern_tensor *words = tern_safetensors_find(file, "embeddings.word_embeddings.weight");
    const int64_t n = tern_tensor_elements(words);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, (const char *)words->data + i * 4, 4);
        sum += (double)value;
        squares += (double)value * (double)value;
    }
    const double variance = squares / (double)n;
    assert_true(sum / (double)n < 4 * 0.02 / 134 && sum / (double)n > -4 * 0.02 / 134);
    assert_true(variance > 0.0004 * (1 - 4 * 1.42 / 134) && variance < 0.0004 * (1 + 4 * 1.42 / 134));
    tern_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_tells_what_was_loaded),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_configs_are_checked),
        cmocka_unit_test(test_sentence_transformers_folders),
        cmocka_unit_test(test_modules_that_do_not_fit),
        cmocka_unit_test(test_weights_of_modules),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_transformer_settings),
        cmocka_unit_test(test_load_report),
        cmocka_unit_test(test_outputs_have_names_and_shapes),
        cmocka_unit_test(test_masked_rows_are_zeros_and_others_do_not_care),
        cmocka_unit_test(test_forward_checks_its_inputs),
        cmocka_unit_test(test_plan_without_head),
        cmocka_unit_test(test_vectors_do_not_depend_on_the_budget),
        cmocka_unit_test(test_embed_errors),
        cmocka_unit_test(test_one_model_from_many_threads),
        cmocka_unit_test(test_memory_plan_grows_with_the_batch),
        cmocka_unit_test(test_random_checkpoints_repeat),
        cmocka_unit_test(test_random_weights_are_normal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
