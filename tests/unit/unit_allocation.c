/* unit_allocation.c - checkpoints, models, tasks and the hub's cache survive that any allocation fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include "allocation_failure.h"

#include "base/file.h"
#include "base/json.h"
#include "hub/cache.h"
#include "hub/listing.h"
#include "store/checkpoint.h"

static tern_status read_json(tern_error *err) {
    json_t *json;
    TERN_TRY(tern__json_load(&json, in_folder("words.json").text, err));
    if (json_integer_value(json_object_get(json, "word-that-is-a-little-long-63")) != 63) wrong = "JSON has another value";
    if (json_real_value(json_object_get(json, "\xC3\xA9")) != 1.5e-3) wrong = "JSON has another number";
    json_decref(json);
    return TERN_OK;
}

static tern_status open_safetensors(tern_error *err) {
    tern_safetensors *file;
    TERN_TRY(tern_safetensors_open(&file, in_folder("tiny/model.safetensors").text, err));
    if (!tern_safetensors_find(file, "embeddings.LayerNorm.bias")) wrong = "a tensor is not found";
    tern_safetensors_close(file);
    return TERN_OK;
}

static tern_status save_safetensors(tern_error *err) {
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    const tern_tensor tensors[] = {
        {.name = "first", .dtype = TERN_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = values},
        {.name = "a second one with a long name, for which more is allocated",
         .dtype = TERN_DTYPE_F32,
         .rank = 1,
         .shape = {6},
         .data = values},
    };
    TERN_TRY(tern_safetensors_save(in_folder("saved.safetensors").text, tensors, 2, err));
    tern_safetensors *file;
    TERN_TRY(tern_safetensors_open(&file, in_folder("saved.safetensors").text, err));
    if (tern_safetensors_count(file) != 2) wrong = "what was saved is not there";
    tern_safetensors_close(file);
    return TERN_OK;
}

static tern_status open_checkpoint_of(const char *name, tern_error *err) {
    tern_checkpoint *checkpoint;
    TERN_TRY(tern__checkpoint_open(&checkpoint, in_folder(name).text, err));
    if (!tern__checkpoint_find(checkpoint, "embeddings.LayerNorm.bias")) wrong = "a tensor is not found";
    tern__checkpoint_close(checkpoint);
    return TERN_OK;
}

static tern_status open_checkpoint(tern_error *err) { return open_checkpoint_of("tiny", err); }

static tern_status open_sharded_checkpoint(tern_error *err) { return open_checkpoint_of("sharded", err); }

/* pytorch_model.bin in both containers; some of the tensors are copied. */
static tern_status open_torch_checkpoint(const char *name, tern_error *err) {
    tern_checkpoint *checkpoint;
    TERN_TRY(tern__checkpoint_open(&checkpoint, in_folder(name).text, err));
    if (!tern__checkpoint_find(checkpoint, "transposed")) wrong = "a tensor is not found";
    tern__checkpoint_close(checkpoint);
    return TERN_OK;
}

static tern_status open_torch_zip(tern_error *err) { return open_torch_checkpoint("torch-zip", err); }

static tern_status open_torch_legacy(tern_error *err) { return open_torch_checkpoint("torch-legacy", err); }

static tern_status open_torch_sharded(tern_error *err) { return open_torch_checkpoint("torch-sharded", err); }

/* A failure that is not of memory, on the way of every refusal: no tensor of the index is in its file. */
static tern_status open_wrong_checkpoint(tern_error *err) {
    tern_checkpoint *checkpoint;
    tern_error seen;
    tern_status status = tern__checkpoint_open(&checkpoint, in_folder("wrong").text, &seen);
    if (status == TERN_E_MEMORY) *err = seen;
    else if (status != TERN_E_WEIGHTS) wrong = "the index is not refused";
    return status == TERN_E_MEMORY ? status : TERN_OK;
}

#define BATCH  2
#define TOKENS 5
#define HIDDEN 12

/* Load and run; the numbers must be those of the first run, which nothing disturbed. */
static tern_status run_model(int threads, tern_error *err) {
    static const int64_t ids[BATCH * TOKENS] = {2, 7, 9, 11, 3, 2, 8, 3, 0, 0}, mask[BATCH * TOKENS] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
    static const char *const strings[] = {"ab cd", "", "a longer text, which is cut"};
    static float first_states[BATCH * TOKENS * HIDDEN], first_embeddings[3 * HIDDEN];
    static bool has_first;
    float states[BATCH * TOKENS * HIDDEN], embeddings[3 * HIDDEN];
    tern_text texts[3];
    for (size_t i = 0; i < 3; i++) texts[i] = (tern_text){strings[i], strlen(strings[i])};
    const tern_forward_inputs inputs = {.batch = BATCH, .tokens = TOKENS, .input_ids = ids, .attention_mask = mask};
    const tern_forward_output output = {.name = "last_hidden_state", .data = states};
    tern_model_options options = tern_model_options_default();
    options.threads = threads;
    tern_model *model;
    TERN_TRY(tern_model_load(&model, in_folder("tiny").text, &options, err));
    tern_status status = tern_model_forward(model, &inputs, &output, 1, err);
    if (status == TERN_OK) status = tern_model_embed(model, texts, 3, NULL, embeddings, NULL, err);
    float whole[3 * HIDDEN];
    tern_embed_options windows = tern_embed_options_default();
    windows.with_windows = true;
    windows.stride = 1;
    windows.prompt = ""; /* the Pooling leaves prompts out */
    if (status == TERN_OK) status = tern_model_embed(model, texts, 3, &windows, whole, NULL, err);
    char *dump = NULL;
    if (status == TERN_OK) status = tern_model_dump(model, &dump, err);
    tern_free(dump);
    tern_profile profile = {0};
    if (status == TERN_OK) status = tern_model_profile(&profile, model, texts, 3, NULL, err);
    tern_profile_free(&profile);
    tern_model_free(model);
    if (status != TERN_OK) return status;
    if (!has_first) {
        memcpy(first_states, states, sizeof states);
        memcpy(first_embeddings, embeddings, sizeof embeddings);
        has_first = true;
    }
    if (memcmp(states, first_states, sizeof states) != 0) wrong = "last_hidden_state has other bits";
    if (memcmp(embeddings, first_embeddings, sizeof embeddings) != 0) wrong = "embeddings have other bits";
    return TERN_OK;
}

static tern_status run_model_alone(tern_error *err) { return run_model(1, err); }

static tern_status run_model_threaded(tern_error *err) { return run_model(2, err); }

/* Results that the caller frees text by text, of a sparse model whose head is packed in the first run. */
static tern_status run_sparse(tern_error *err) {
    static const tern_text texts[] = {{"a man", 5}, {"", 0}};
    tern_model_options options = tern_model_options_default();
    options.threads = 1;
    tern_model *model;
    TERN_TRY(tern_model_load(&model, TERN_TEST_DATA "/golden/sentence-transformers/splade-max", &options, err));
    tern_sparse_vector vectors[2];
    float *tokens[2];
    int32_t n_tokens[2];
    tern_status status = tern_model_embed_sparse(model, texts, 2, NULL, 3, vectors, NULL, err);
    if (status == TERN_OK) {
        if (vectors[0].n != 3 || vectors[0].entries[0].weight < vectors[0].entries[2].weight) wrong = "other sparse vectors";
        tern_sparse_vectors_free(vectors, 2);
        status = tern_model_embed_tokens(model, texts, 2, NULL, tokens, n_tokens, err);
    }
    for (int i = 0; i < 2 && status == TERN_OK; i++) tern_free(tokens[i]);
    tern_model_free(model);
    return status;
}

static tern_status run_static(tern_error *err) {
    static const tern_text texts[] = {{"a man", 5}, {"", 0}};
    tern_model_options options = tern_model_options_default();
    options.threads = 1;
    float rows[2 * 15];
    tern_model *model;
    TERN_TRY(tern_model_load(&model, TERN_TEST_DATA "/golden/sentence-transformers/static-embedding", &options, err));
    const tern_status status = tern_model_embed(model, texts, 2, NULL, rows, NULL, err);
    if (status == TERN_OK && (rows[15] != 0 || rows[0] == 0)) wrong = "other means";
    tern_model_free(model);
    return status;
}

static tern_status run_golden(const char *path, tern_error *err) {
    static const int64_t ids[] = {3, 1, 4};
    static float rows[3 * 64];
    tern_model_options options = tern_model_options_default();
    options.threads = 1;
    tern_model *model;
    TERN_TRY(tern_model_load(&model, path, &options, err));
    const tern_forward_inputs inputs = {.batch = 1, .tokens = 3, .input_ids = ids};
    const tern_forward_output output = {"last_hidden_state", rows};
    const tern_status status = tern_model_forward(model, &inputs, &output, 1, err);
    tern_model_free(model);
    return status;
}
/* An architecture whose tables the device folds; weights that become float32. */
static tern_status run_deberta(tern_error *err) { return run_golden(TERN_TEST_DATA "/golden/tiny/deberta-v2-1", err); }
static tern_status run_quantized(tern_error *err) { return run_golden(TERN_TEST_DATA "/golden/tiny/mlx-mxfp4", err); }

/* A model of the golden pipelines; NULL and why when it cannot be loaded. */
static tern_model *load_pipeline(const char *name, tern_error *err) {
    char path[600];
    snprintf(path, sizeof path, "%s/golden/pipelines/%s", TERN_TEST_DATA, name);
    tern_model_options options = tern_model_options_default();
    options.threads = 1;
    tern_model *model = NULL;
    tern_model_load(&model, path, &options, err);
    return model;
}

static const tern_text task_texts[] = {{"Wolfgang lives in Berlin.", 25}, {"and a second text", 17}};
static const tern_text masked_texts[] = {{"a [MASK] text", 13}, {"two [MASK] and [MASK]", 21}};

static tern_status run_zero_shot(tern_error *err) {
    float scores[4];
    tern_model *model = load_pipeline("inference", err);
    if (model == NULL) return err->code;
    tern_status status = tern_model_zero_shot(model, task_texts, 2, task_texts, 2, true, NULL, scores, err);
    if (status == TERN_OK) status = tern_model_classify(model, task_texts, NULL, 1, NULL, scores, NULL, err);
    tern_model_free(model);
    return status;
}

static tern_status run_rerank(tern_error *err) {
    float scores[2];
    tern_model *model = load_pipeline("regression", err);
    if (model == NULL) return err->code;
    const tern_status status = tern_model_rerank(model, masked_texts[0], task_texts, 2, NULL, scores, err);
    tern_model_free(model);
    return status;
}

static tern_status run_ner(tern_error *err) {
    tern_model *model = load_pipeline("ner", err);
    if (model == NULL) return err->code;
    tern_status status = TERN_OK;
    for (int strategy = TERN_AGGREGATE_NONE; strategy <= TERN_AGGREGATE_AVERAGE && status == TERN_OK; strategy++) {
        tern_token_classify_options options = tern_token_classify_options_default();
        options.aggregation = (tern_aggregation_strategy)strategy;
        tern_entities entities;
        status = tern_model_token_classify(&entities, model, task_texts, 2, &options, err);
        if (status != TERN_OK && entities.items != NULL) wrong = "entities are left behind by a failure";
        tern_entities_free(&entities);
    }
    tern_model_free(model);
    return status;
}

static tern_status run_question_answering(tern_error *err) {
    static const tern_text questions[] = {{"who?", 4}, {"where is it", 11}};
    tern_answers answers;
    tern_question_answer_options options = tern_question_answer_options_default();
    options.top_k = 3;
    options.max_seq_len = 20;
    options.doc_stride = 2;
    options.handle_impossible_answer = true;
    tern_model *model = load_pipeline("qa", err);
    if (model == NULL) return err->code;
    const tern_status status = tern_model_question_answer(&answers, model, questions, task_texts, 2, &options, err);
    if (status == TERN_OK && answers.n != 6) wrong = "other answers";
    tern_answers_free(&answers);
    tern_model_free(model);
    return status;
}

static tern_status run_fill_mask(tern_error *err) {
    static const char *const targets[] = {"a", "the"};
    tern_model *model = load_pipeline("mask", err);
    if (model == NULL) return err->code;
    tern_fill_mask_options options = tern_fill_mask_options_default();
    options.targets = targets;
    options.n_targets = 2;
    tern_fills fills;
    const tern_status status = tern_model_fill_mask(&fills, model, masked_texts, 2, &options, err);
    if (status != TERN_OK && fills.items != NULL) wrong = "fills are left behind by a failure";
    tern_fills_free(&fills);
    tern_model_free(model);
    return status;
}

static tern_status make_load_report(tern_error *err) {
    tern_load_report report;
    TERN_TRY(tern_load_report_make(&report, in_folder("tiny").text, err));
    if (report.n_entries == 0) wrong = "the load report is empty";
    tern_load_report_free(&report);
    return TERN_OK;
}

static tern_status init_checkpoint(tern_error *err) {
    static const char *const made[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
    tern_status status = tern_checkpoint_init(in_folder("config.json").text, 1, in_folder("made").text, err);
    int n_made = 0;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/made/%s", folder->path, made[i]);
        n_made += unlink(path) == 0;
    }
    if (status == TERN_OK && n_made != 4) wrong = "the checkpoint is not whole";
    return status;
}

#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567"

/* A sentence-transformers model in parts, found by the list that huggingface_hub leaves. */
static tern_status find_in_hub_cache(tern_error *err) {
    test_path cache = in_folder("hub");
    tern_hub_options options = tern_hub_options_default();
    options.cache_folder = cache.text;
    options.offline = true;
    char *found;
    TERN_TRY(tern_hub_find(&found, "org/name", &options, err));
    if (!strstr(found, "org--name/snapshots/" HUB_COMMIT)) wrong = "another folder is found";
    tern_free(found);
    return TERN_OK;
}

static tern_status parse_hub_list(tern_error *err) {
    static const char sibling[] = "{\"rfilename\":\"folder/file-%03d.json\",\"size\":%d,\"blobId\":\"" HUB_COMMIT "\"}%s";
    static char answer[4096]; /* so few files that qsort needs no memory */
    int n = snprintf(answer, sizeof answer, "{\"sha\":\"" HUB_COMMIT "\",\"siblings\":[");
    for (int i = 29; i >= 0; i--) n += snprintf(answer + n, sizeof answer - (size_t)n, sibling, i, i, i > 0 ? "," : "]}");
    tern_hub_listing listing;
    TERN_TRY(tern__hub_listing_parse(&listing, answer, (size_t)n, "answer", err));
    const tern_hub_file *file = tern__hub_listing_find(&listing, "folder/file-012.json");
    if (!file || file->n_bytes != 12) wrong = "a file is not listed";
    tern__hub_listing_free(&listing);
    return TERN_OK;
}

static tern_status read_hub_environment(tern_error *err) {
    setenv("HF_HOME", in_folder("home").text, 1);
    tern_hub_options options;
    TERN_TRY(tern_hub_options_from_environment(&options, err));
    if (strcmp(options.cache_folder, in_folder("home/hub").text) != 0 || strcmp(options.token, "hf_abc") != 0) wrong = "other settings";
    tern_hub_options_free(&options);
    return TERN_OK;
}
static const scenario scenarios[] = {
    {"JSON: load", read_json},
    {"safetensors: open", open_safetensors},
    {"safetensors: save", save_safetensors},
    {"checkpoint: open", open_checkpoint},
    {"checkpoint: open with an index", open_sharded_checkpoint},
    {"checkpoint: open with a wrong index", open_wrong_checkpoint},
    {"checkpoint: open a zip pytorch_model.bin", open_torch_zip},
    {"checkpoint: open a legacy pytorch_model.bin", open_torch_legacy},
    {"checkpoint: open pytorch_model.bin.index.json", open_torch_sharded},
    {"load report", make_load_report},
    {"model: load, forward, embed, dump, profile with 1 thread", run_model_alone},
    {"model: load, forward, embed, dump, profile with 2 threads", run_model_threaded},
    {"model: load and forward with folded tables", run_deberta},
    {"model: load and forward of a folder that MLX quantized", run_quantized},
    {"embed: sparse vectors and vectors of tokens", run_sparse},
    {"embed: static embeddings", run_static},
    {"tasks: zero-shot, classification", run_zero_shot},
    {"tasks: rerank", run_rerank},
    {"tasks: token classification", run_ner},
    {"tasks: question answering", run_question_answering},
    {"tasks: fill-mask", run_fill_mask},
    {"random checkpoint", init_checkpoint},
    {"hub: find in the cache", find_in_hub_cache},
    {"hub: list of files", parse_hub_list},
    {"hub: settings from the environment", read_hub_environment},
};

/* ---- What the loop of allocation_failure.h sees ---- */

/* Requests of other libraries, a refusal that is no error, and a block that is lost. */
static void *volatile kept;

static tern_status swallow_refusal(tern_error *err) {
    (void)err;
    kept = malloc(10);
    free(kept);
    return TERN_OK;
}

static tern_status leak_when_refused(tern_error *err) {
    void *first = malloc(10), *second = malloc(10);
    kept = first;
    if (!second) return TERN_FAIL_MEMORY(err, 10);
    free(second);
    free(first);
    return TERN_OK;
}

static void test_loop_sees(void **state) {
    (void)state;
    tern_error err;
    atomic_store(&n_requests, 0);
    atomic_store(&refused_request, 2);
    atomic_store(&is_counting, true);
    json_t *from_jansson = json_integer(1);
    DIR *from_libc = opendir("/");
    atomic_store(&is_counting, false);
    assert_non_null(from_jansson);
    assert_null(from_libc);
    assert_int_equal(atomic_load(&n_requests), 2);
    json_decref(from_jansson);

    atomic_store(&n_requests, 0);
    atomic_store(&refused_request, 1);
    atomic_store(&is_counting, true);
    const tern_status swallowed = swallow_refusal(&err);
    atomic_store(&is_counting, false);
    assert_int_equal(swallowed, TERN_OK);
    assert_int_equal(atomic_load(&n_requests), 1);

    const ptrdiff_t before = atomic_load(&n_blocks);
    atomic_store(&n_requests, 0);
    atomic_store(&refused_request, 2);
    atomic_store(&is_counting, true);
    const tern_status leaked = leak_when_refused(&err);
    atomic_store(&is_counting, false);
    assert_int_equal(leaked, TERN_E_MEMORY);
    assert_int_equal(atomic_load(&n_blocks), before + 1);
    free(kept);
    assert_int_equal(atomic_load(&n_blocks), before);
}
/* ---- The files ---- */

static void make_words(void) {
    char text[8192] = "{\"\\u00e9\": 1.5e-3";
    for (int i = 0; i < 64; i++) {
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, ", \"word-that-is-a-little-long-%d\": %d, \"s%d\": \"\\n and [%d]\"", i, i, i, i);
    }
    strcat(text, "}");
    write_text("words.json", text);
}

/* The tensors of tiny/ in two files, and an index that lists each tensor in its file, or all in a file that has none of them. */
static void make_sharded(const char *name, bool is_right) {
    tern_tensor tensors[64];
    tern_safetensors *tiny;
    char path[600];
    assert_int_equal(tern_safetensors_open(&tiny, in_folder("tiny/model.safetensors").text, NULL), TERN_OK);
    const size_t n = tern_safetensors_count(tiny), half = n / 2;
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) tensors[i] = *tern_safetensors_get(tiny, i);
    assert_int_equal(mkdir(in_folder(name).text, 0755), 0);
    snprintf(path, sizeof path, "%s/%s/1.safetensors", folder->path, name);
    assert_int_equal(tern_safetensors_save(path, tensors, half, NULL), TERN_OK);
    snprintf(path, sizeof path, "%s/%s/2.safetensors", folder->path, name);
    assert_int_equal(tern_safetensors_save(path, tensors + half, n - half, NULL), TERN_OK);
    json_t *weight_map = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(weight_map, tensors[i].name, json_string((i < half) == is_right ? "1.safetensors" : "2.safetensors"));
    json_t *index = json_pack("{s:o}", "weight_map", weight_map);
    snprintf(path, sizeof path, "%s/%s/model.safetensors.index.json", folder->path, name);
    assert_int_equal(json_dump_file(index, path, 0), 0);
    json_decref(index);
    tern_safetensors_close(tiny);
}

/* A golden file of torch.save as a folder's `file`. */
static void make_torch(const char *name, const char *file, const char *golden) {
    static unsigned char bytes[1 << 16];
    char path[600];
    snprintf(path, sizeof path, "%s/golden/torch/%s", TERN_TEST_DATA, golden);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    const size_t n = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    if (mkdir(in_folder(name).text, 0755) != 0) assert_int_equal(errno, EEXIST);
    char name_in_folder[64];
    snprintf(name_in_folder, sizeof name_in_folder, "%s/%s", name, file);
    test_file_write(folder, name_in_folder, bytes, n);
}

static void make_torch_sharded(void) {
    json_t *weight_map = json_object();
    const char *const golden[] = {"views.safetensors", "tied.safetensors"}, *const shards[] = {"1.bin", "2.bin"};
    for (size_t f = 0; f < 2; f++) {
        char path[600];
        tern_safetensors *file;
        snprintf(path, sizeof path, "%s/golden/torch/%s", TERN_TEST_DATA, golden[f]);
        assert_int_equal(tern_safetensors_open(&file, path, NULL), TERN_OK);
        for (size_t i = 0; i < tern_safetensors_count(file); i++)
            json_object_set_new(weight_map, tern_safetensors_get(file, i)->name, json_string(shards[f]));
        tern_safetensors_close(file);
    }
    make_torch("torch-sharded", "1.bin", "views.zip-2.bin");
    make_torch("torch-sharded", "2.bin", "tied.legacy-2.bin");
    json_t *index = json_pack("{s:o}", "weight_map", weight_map);
    assert_int_equal(json_dump_file(index, in_folder("torch-sharded/pytorch_model.bin.index.json").text, 0), 0);
    json_decref(index);
}
static const char config[] =
    "{\"model_type\": \"bert\", \"vocab_size\": 120, \"hidden_size\": 12, \"num_hidden_layers\": 1,"
    " \"num_attention_heads\": 3, \"intermediate_size\": 20, \"max_position_embeddings\": 16, \"type_vocab_size\": 2}";
/* tiny/ as sentence-transformers has it. */
static void make_modules(void) {
    static const char modules[] =
        "[{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},"
        " {\"idx\": 1, \"name\": \"1\", \"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"},"
        " {\"idx\": 2, \"name\": \"2\", \"path\": \"2_Dense\", \"type\": \"sentence_transformers.models.Dense\"},"
        " {\"idx\": 3, \"name\": \"3\", \"path\": \"3_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}]";
    static float weight[HIDDEN * 2 * HIDDEN];
    const tern_tensor tensor = {.name = "linear.weight", .dtype = TERN_DTYPE_F32, .rank = 2, .shape = {HIDDEN, 2 * HIDDEN}, .data = weight};
    for (size_t i = 0; i < sizeof weight / sizeof *weight; i++) weight[i] = (float)(i % 13) - 6;
    assert_int_equal(mkdir(in_folder("tiny/1_Pooling").text, 0755), 0);
    write_text("tiny/modules.json", modules);
    write_text("tiny/1_Pooling/config.json", "{\"pooling_mode\": [\"cls\", \"mean\"], \"include_prompt\": false}");
    assert_int_equal(mkdir(in_folder("tiny/2_Dense").text, 0755), 0);
    write_text("tiny/2_Dense/config.json", "{\"in_features\": 24, \"out_features\": 12, \"bias\": false}");
    assert_int_equal(tern_safetensors_save(in_folder("tiny/2_Dense/model.safetensors").text, &tensor, 1, NULL), TERN_OK);
    write_text("tiny/config_sentence_transformers.json",
               "{\"prompts\": {\"query\": \"a \", \"passage\": null}, \"default_prompt_name\": \"query\"}");
    write_text("tiny/sentence_bert_config.json", "{\"max_seq_length\": 8, \"do_lower_case\": true}");
}

static void make_hub(void) {
    static const char *const names[] = {"config.json", "vocab.txt", "1.safetensors", "2.safetensors", "1_Pooling/config.json"};
    char path[256];
    tern_error err;
#define HUB_SNAPSHOT "hub/models--org--name/snapshots/" HUB_COMMIT "/"
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, HUB_SNAPSHOT "%s", names[i]);
        if (tern__file_make_folders(in_folder(path).text, &err) != TERN_OK) fail_msg("%s", err.message);
        write_text(path, "{}");
    }
    write_text(HUB_SNAPSHOT "modules.json", "[{\"path\": \"\"}, {\"path\": \"1_Pooling\"}]");
    write_text(HUB_SNAPSHOT "model.safetensors.index.json", "{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}}");
    for (int i = 0; i < 2; i++) {
        static const char *const others[] = {"hub/models--org--name/refs/main", "hub/models--org--name/trees/" HUB_COMMIT ".json"};
        if (tern__file_make_folders(in_folder(others[i]).text, &err) != TERN_OK) fail_msg("%s", err.message);
    }
    write_text("hub/models--org--name/refs/main", HUB_COMMIT);
    write_text("hub/models--org--name/trees/" HUB_COMMIT ".json",
               "{\"format_version\": 1, \"files\": {\"config.json\": {}, \"vocab.txt\": {}, \"1.safetensors\": {}, \"2.safetensors\": {},"
               "\"modules.json\": {}, \"1_Pooling/config.json\": {}, \"model.safetensors.index.json\": {}}}");
    assert_int_equal(mkdir(in_folder("home").text, 0755), 0);
    write_text("home/token", "hf_abc\n");
}
static int set_up(void **state) {
    (void)state;
    void *made;
    if (test_folder_setup(&made) != 0) return -1;
    folder = made;
    write_text("config.json", config);
    tern_error err;
    if (tern_checkpoint_init(in_folder("config.json").text, 1, in_folder("tiny").text, &err) != TERN_OK) fail_msg("%s", err.message);
    make_modules();
    make_words();
    make_sharded("sharded", true);
    make_sharded("wrong", false);
    make_torch("torch-zip", "pytorch_model.bin", "views.zip-2.bin");
    make_torch("torch-legacy", "pytorch_model.bin", "views.legacy-2.bin");
    make_torch_sharded();
    make_hub();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loop_sees)};
    int n_failed = cmocka_run_group_tests_name("the loop", tests, NULL, NULL);
    return n_failed + run_scenarios("allocation", scenarios, sizeof scenarios / sizeof *scenarios, set_up);
}
