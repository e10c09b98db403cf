/* load.c - from a folder to a model that runs: config.json, program, checkpoint, tokenizer, device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

/* ---- The config ---- */

tern_status tern__config_find_arch(const tern_arch **arch, const tern_arch_class **arch_class, const json_t *config, const char *path,
                                   tern_error *err) {
    const char *model_type = json_string_value(json_object_get(config, "model_type"));
    if (model_type == NULL) return TERN_FAIL(err, TERN_E_CONFIG, "%s: the key \"model_type\" is missing", path);
    const tern_status status = tern__arch_find(arch, arch_class, model_type, err);
    return status == TERN_OK ? status : tern__fail_prefix(err, status, path);
}

tern_status tern__config_load(json_t **config, const tern_arch **arch, const tern_arch_class **arch_class, const char *path,
                              tern_error *err) {
    TERN_TRY(tern__json_load(config, path, err));
    const tern_status status = tern__config_find_arch(arch, arch_class, *config, path, err);
    if (status != TERN_OK) {
        json_decref(*config);
        *config = NULL;
    }
    return status;
}

/* ---- The folder ---- */

/* What the build asked for and the checkpoint does not have. */
typedef struct weight_query {
    const tern_arch *arch;
    const tern_checkpoint *checkpoint;
    const char *absent[8];
    size_t n_absent;
} weight_query;

static bool query_weight(void *context, const char *name) {
    weight_query *query = context;
    if (tern__weight_find(query->arch, query->checkpoint, name) != NULL) return true;
    if (query->n_absent < sizeof query->absent / sizeof *query->absent) query->absent[query->n_absent++] = name;
    return false;
}

/* Names of a module's weights are those of its class. */
static const tern_arch module_names = {.prefixes = (const char *const[]){"", NULL},
                                       .aliases = (const tern_weight_alias[]){{NULL, NULL}},
                                       .ignored = (const char *const[]){NULL}};
static const tern_arch no_names = {.prefixes = (const char *const[]){"", NULL},
                                   .aliases = (const tern_weight_alias[]){{NULL, NULL}},
                                   .ignored = (const char *const[]){"", NULL}};

static tern_status list_sources(tern_folder *folder, tern_error *err) {
    const tern_modules *modules = &folder->modules;
    folder->sources = tern__alloc_zero(modules->n, sizeof *folder->sources);
    if (folder->sources == NULL) return TERN_FAIL_MEMORY(err, modules->n * sizeof *folder->sources);
    folder->sources[folder->n_sources++] = (tern_weight_source){.prefix = "", .arch = folder->arch, .checkpoint = folder->checkpoint};
    for (size_t i = 1; i < modules->n; i++)
        if (modules->items[i].checkpoint != NULL)
            folder->sources[folder->n_sources++] = (tern_weight_source){.prefix = modules->items[i].prefix,
                                                                        .arch = modules->items[i].is_idle ? &no_names : &module_names,
                                                                        .checkpoint = modules->items[i].checkpoint};
    return TERN_OK;
}

static tern_status build_transformer(tern_folder *folder, weight_query *query, tern_error *err) {
    const bool is_masked_lm = folder->modules.is_masked_lm;
    const tern_config config = {.json = folder->config,
                                .program = folder->program,
                                .head = is_masked_lm ? TERN_HEAD_MASKED_LM : tern__arch_head(folder->arch_class, folder->architecture),
                                .has_weight = query_weight,
                                .context = query};
    folder->arch->build(folder->program, &config, &folder->facts);
    if (folder->program->error.code == TERN_OK && is_masked_lm && folder->facts.head != TERN_HEAD_MASKED_LM)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                         "the checkpoint has no head for masked language modeling, which the folder's modules read");
    return TERN_OK;
}

static tern_status build_first_module(tern_folder *folder, weight_query *query, tern_error *err) {
    if (folder->arch == &tern__static_embedding) TERN_TRY(tern__static_embedding_build(folder, err));
    else TERN_TRY(build_transformer(folder, query, err));
    folder->n_outputs = folder->program->n_outputs;
    return tern__program_finish(folder->program, err);
}

static tern_status build_program(tern_folder *folder, const char *path, tern_error *err) {
    TERN_TRY(tern__program_new(&folder->program, err));
    weight_query query = {.arch = folder->arch, .checkpoint = folder->checkpoint};
    const tern_status status = build_first_module(folder, &query, err);
    if (status != TERN_OK) return tern__fail_prefix(err, status, path);
    TERN_TRY(tern__labels_read(folder, err));
    TERN_TRY(tern__chain_build(folder, err));
    TERN_TRY(list_sources(folder, err));
    return tern__weights_report(&folder->report, folder, query.absent, query.n_absent, err);
}

static tern_status set_architecture(tern_folder *folder, tern_error *err) {
    const char *name = json_string_value(json_array_get(json_object_get(folder->config, "architectures"), 0));
    folder->architecture = strdup(name != NULL ? name : folder->arch_class->base_class);
    return folder->architecture != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, 64);
}

static tern_status load_config(tern_folder *out, const char *path, tern_error *err) {
    char *config_path = tern__path_join(path, "config.json");
    if (config_path == NULL) return TERN_FAIL_MEMORY(err, strlen(path) + 13);
    const tern_status status = tern__config_load(&out->config, &out->arch, &out->arch_class, config_path, err);
    free(config_path);
    return status;
}

static tern_status open_parts(tern_folder *out, const char *folder, tern_error *err) {
    if (folder == NULL) return TERN_FAIL(err, TERN_E_ARGUMENT, "folder is NULL");
    if (!tern__folder_exists(folder))
        return TERN_FAIL(err, TERN_E_IO, tern__file_exists(folder) ? "%s: is no folder" : "%s: there is no such folder", folder);
    TERN_TRY(tern__modules_read(&out->modules, folder, err));
    TERN_TRY(tern__prompts_read(&out->prompts, folder, err));
    const char *path = out->modules.items[0].folder;
    if (out->modules.items[0].kind == TERN_MODULE_STATIC_EMBEDDING) {
        out->arch = &tern__static_embedding;
        out->arch_class = &tern__static_embedding.classes[0];
    } else {
        TERN_TRY(load_config(out, path, err));
    }
    TERN_TRY(set_architecture(out, err));
    TERN_TRY(tern__checkpoint_open(&out->checkpoint, path, err));
    return build_program(out, path, err);
}

tern_status tern__folder_open(tern_folder *out, const char *folder, tern_error *err) {
    *out = (tern_folder){0};
    const tern_status status = open_parts(out, folder, err);
    if (status != TERN_OK) tern__folder_close(out);
    return status;
}

void tern__folder_close(tern_folder *folder) {
    tern_load_report_free(&folder->report);
    tern__program_free(folder->program);
    tern__checkpoint_close(folder->checkpoint);
    free(folder->architecture);
    free(folder->labels);
    free(folder->sources);
    tern__arena_free(&folder->label_names);
    json_decref(folder->config);
    tern__prompts_free(&folder->prompts);
    tern__modules_free(&folder->modules);
    *folder = (tern_folder){0};
}

tern_status tern_load_report_make(tern_load_report *out, const char *path, tern_error *err) {
    *out = (tern_load_report){0};
    tern_folder folder;
    TERN_TRY(tern__folder_open(&folder, path, err));
    *out = folder.report;
    folder.report = (tern_load_report){0};
    tern__folder_close(&folder);
    return TERN_OK;
}

/* ---- The tokenizer ---- */

/* model_max_length of tokenizer_config.json; INT64_MAX when it says nothing (transformers writes 1e30 for "no limit"). */
static tern_status read_model_max_length(const char *folder, int64_t *out, tern_error *err) {
    *out = INT64_MAX;
    char *path = tern__path_join(folder, "tokenizer_config.json");
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + 24);
    json_t *config = NULL;
    const tern_status status = tern__file_exists(path) ? tern__json_load(&config, path, err) : TERN_OK;
    free(path);
    const json_t *length = json_object_get(config, "model_max_length");
    if (json_is_integer(length) && json_integer_value(length) > 0) *out = json_integer_value(length);
    json_decref(config);
    return status;
}

/* What the tokenizer.json of a StaticEmbedding itself cuts texts to, if it does. */
static tern_status read_own_truncation(const char *folder, int64_t *out, tern_error *err) {
    *out = INT64_MAX;
    char *path = tern__path_join(folder, "tokenizer.json");
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + 16);
    json_t *tokenizer = NULL;
    const tern_status status = tern__file_exists(path) ? tern__json_load(&tokenizer, path, err) : TERN_OK;
    free(path);
    const json_t *length = json_object_get(json_object_get(tokenizer, "truncation"), "max_length");
    if (json_is_integer(length) && json_integer_value(length) > 0) *out = json_integer_value(length);
    json_decref(tokenizer);
    return status;
}

/* A folder without a tokenizer still runs forward. */
static tern_status load_tokenizer(tern_model *model, tern_error *err) {
    const char *folder = model->folder.modules.items[0].folder;
    int64_t limit = model->folder.modules.max_seq_length, model_max_length;
    if (model->folder.arch == &tern__static_embedding) TERN_TRY(read_own_truncation(folder, &model_max_length, err));
    else TERN_TRY(read_model_max_length(folder, &model_max_length, err));
    if (limit == 0) limit = model_max_length;
    const int64_t max_tokens = model->folder.facts.max_tokens;
    model->max_seq_length = limit < max_tokens ? limit : max_tokens;
    bool has_tokenizer = false;
    TERN_TRY(tern__tokenizer_is_there(&has_tokenizer, folder, err));
    if (!has_tokenizer) return TERN_OK;
    TERN_TRY(tern_tokenizer_load(&model->tokenizer, folder, err));
    if (model->folder.modules.do_lower_case) TERN_TRY(tern__normalizer_lower_first(&model->tokenizer->normalizer, err));
    return tern__special_tokens_read(model, folder, err);
}

/* ---- The device ---- */

static tern_status start_device(tern_model *model, const tern_model_options *options, tern_error *err) {
    if (options->threads < 0 || options->threads > 1024)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "threads: %d is not in 0 ... 1024", options->threads);
    const char *dtype = options->dtype != NULL ? options->dtype : "float32";
    tern_device_options device_options = {.threads = options->threads, .isa = options->isa, .cache_folder = options->cache_folder};
    TERN_TRY(tern__device_find(&model->device, &device_options.unit, options->device != NULL ? options->device : "cpu", err));
    TERN_TRY(model->device->open(&model->opened, &device_options, err));
    TERN_TRY(tern__program_fuse(model->folder.program, model->device->supports, model->opened, err));
    TERN_TRY(tern__quantized_expand(model, err));
    TERN_TRY(model->device->compile(&model->compiled, model->opened, model->folder.program, dtype, err));
    snprintf(model->dtype, sizeof model->dtype, "%s", dtype);
    return TERN_OK;
}

/* How many elements the program uses, and the dtype that most of them have. */
static void count_parameters(tern_model *model) {
    int64_t elements[TERN_DTYPE_U32 + 1] = {0};
    const tern_program *program = model->folder.program;
    for (int32_t w = 0; w < program->n_weights; w++) {
        const tern_weight *weight = &program->weights[w];
        const int64_t n = weight->shape[0] * (weight->rank == 2 ? weight->shape[1] : 1);
        model->n_parameters += n;
        elements[weight->dtype] += n;
    }
    model->checkpoint_dtype = TERN_DTYPE_F64;
    for (int d = 0; d <= TERN_DTYPE_U32; d++)
        if (elements[d] > elements[model->checkpoint_dtype]) model->checkpoint_dtype = (tern_dtype)d;
}

static tern_status load_parts(tern_model *model, const char *folder, const tern_model_options *options, tern_error *err) {
    TERN_TRY(tern__folder_open(&model->folder, folder, err));
    TERN_TRY(tern__weights_check(&model->folder.report, folder, err));
    TERN_TRY(tern__weights_bind(&model->folder, &model->copies, err));
    count_parameters(model);
    TERN_TRY(load_tokenizer(model, err));
    return start_device(model, options, err);
}

tern_model_options tern_model_options_default(void) {
    return (tern_model_options){.size = sizeof(tern_model_options), .device = "cpu", .dtype = "float32"};
}

tern_status tern_model_load(tern_model **out, const char *folder, const tern_model_options *options, tern_error *err) {
    *out = NULL;
    const tern_model_options defaults = tern_model_options_default();
    if (options != NULL && options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_model_options_default()", options->size,
                         sizeof *options);
    tern_model *model = tern__alloc_zero(1, sizeof *model);
    if (model == NULL) return TERN_FAIL_MEMORY(err, sizeof *model);
    if (pthread_mutex_init(&model->run_lock, NULL) != 0) {
        free(model);
        return TERN_FAIL(err, TERN_E_MEMORY, "a mutex could not be made");
    }
    if (pthread_cond_init(&model->run_ended, NULL) != 0) {
        pthread_mutex_destroy(&model->run_lock);
        free(model);
        return TERN_FAIL(err, TERN_E_MEMORY, "a condition variable could not be made");
    }
    const tern_status status = load_parts(model, folder, options != NULL ? options : &defaults, err);
    if (status == TERN_OK) *out = model;
    else tern_model_free(model);
    return status;
}

void tern_model_free(tern_model *model) {
    if (model == NULL) return;
    if (model->compiled != NULL) model->device->release(model->compiled);
    if (model->opened != NULL) model->device->close(model->opened);
    tern_tokenizer_free(model->tokenizer);
    tern__arena_free(&model->copies);
    tern__folder_close(&model->folder);
    pthread_cond_destroy(&model->run_ended);
    pthread_mutex_destroy(&model->run_lock);
    free(model);
}
