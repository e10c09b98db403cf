/* modules.c - a sentence-transformers folder: modules.json lists its modules, each with a folder and a small config of its own. Here they
 * are read and checked as a list; chain.c makes ops of them. A folder without modules.json is a Transformer and a mean, as the library
 * takes it. Classes and configs follow sentence-transformers 6.2, with the names and forms of earlier versions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

static const struct {
    const char *name; /* the class */
    tern_module_kind kind;
    bool is_input; /* takes texts: the first module is, no other */
    bool needs_config, has_weights;
} known_modules[] = {{"Transformer", TERN_MODULE_TRANSFORMER, true, false, false},
                     {"MLMTransformer", TERN_MODULE_TRANSFORMER, true, false, false},
                     {"StaticEmbedding", TERN_MODULE_STATIC_EMBEDDING, true, false, false},
                     {"Pooling", TERN_MODULE_POOLING, false, true, false},
                     {"Dense", TERN_MODULE_DENSE, false, true, true},
                     {"LayerNorm", TERN_MODULE_LAYER_NORM, false, true, true},
                     {"WeightedLayerPooling", TERN_MODULE_WEIGHTED_LAYER_POOLING, false, true, true},
                     {"SpladePooling", TERN_MODULE_SPLADE_POOLING, false, false, false},
                     {"Normalize", TERN_MODULE_NORMALIZE, false, false, false},
                     {"Dropout", TERN_MODULE_DROPOUT, false, false, false}};
enum { N_KNOWN_MODULES = sizeof known_modules / sizeof *known_modules };

/* Folder/name parsed, NULL in *out when the file is not there. */
static tern_status load_optional(json_t **out, const char *folder, const char *name, tern_error *err) {
    *out = NULL;
    char *path = tern__path_join(folder, name);
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    const tern_status status = tern__file_exists(path) ? tern__json_load(out, path, err) : TERN_OK;
    free(path);
    return status;
}

/* ---- The Transformer's settings ---- */

/* The library's names of the file, newest first; the first that is there counts. */
static tern_status load_transformer_config(json_t **out, const char **name, const char *folder, tern_error *err) {
    static const char *const names[] = {"sentence_bert_config.json",       "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json", "sentence_camembert_config.json",
                                        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
                                        "sentence_xlnet_config.json"};
    *out = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && *out == NULL; i++) {
        *name = names[i];
        TERN_TRY(load_optional(out, folder, names[i], err));
    }
    return TERN_OK;
}

/* An object of settings under its present name or the one before. */
static const json_t *find_settings(const json_t *config, const char *name, const char *old_name) {
    const json_t *settings = json_object_get(config, name);
    return settings != NULL ? settings : json_object_get(config, old_name);
}

static tern_status read_length(int64_t *out, const json_t *config, const char *key, tern_error *err) {
    const json_t *length = json_object_get(config, key);
    if (length == NULL || json_is_null(length)) return TERN_OK;
    if (!json_is_integer(length) || json_integer_value(length) <= 0)
        return TERN_FAIL(err, TERN_E_CONFIG, "\"%s\" is not a positive integer", key);
    *out = json_integer_value(length);
    return TERN_OK;
}

/* model_max_length among the tokenizer's settings goes before max_seq_length. */
static tern_status read_lengths(tern_modules *modules, const json_t *config, tern_error *err) {
    TERN_TRY(read_length(&modules->max_seq_length, config, "max_seq_length", err));
    TERN_TRY(read_length(&modules->max_seq_length, find_settings(config, "processor_kwargs", "tokenizer_args"), "model_max_length", err));
    TERN_TRY(read_length(&modules->query_length, config, "query_length", err));
    return read_length(&modules->document_length, config, "document_length", err);
}

/* Which output of the model is passed on, and as what. */
static const struct {
    const char *task, *output, *feature;
} transformer_tasks[] = {{"feature-extraction", "last_hidden_state", "token_embeddings"},
                         {"fill-mask", "logits", "token_embeddings"},
                         {"sequence-classification", "logits", "scores"}};
enum { FILL_MASK = 1, SEQUENCE_CLASSIFICATION, N_TRANSFORMER_TASKS };

static tern_status read_transformer_task(tern_modules *modules, const json_t *config, bool is_masked_lm, tern_error *err) {
    const char *task = json_string_value(json_object_get(config, "transformer_task"));
    size_t t = is_masked_lm ? FILL_MASK : 0;
    if (task != NULL)
        for (t = 0; t < N_TRANSFORMER_TASKS && strcmp(task, transformer_tasks[t].task) != 0;) t++;
    if (t == N_TRANSFORMER_TASKS)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                         "\"transformer_task\" is \"%.40s\"; known are feature-extraction, fill-mask and sequence-classification", task);
    modules->is_masked_lm = t == FILL_MASK;
    modules->is_cross_encoder = t == SEQUENCE_CLASSIFICATION;
    const json_t *text = json_object_get(json_object_get(config, "modality_config"), "text");
    const char *output = json_string_value(json_object_get(text, "method_output_name"));
    if (text != NULL && (output == NULL || strcmp(output, transformer_tasks[t].output) != 0))
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "\"method_output_name\" is \"%.40s\"; known for %s is %s", output != NULL ? output : "",
                         transformer_tasks[t].task, transformer_tasks[t].output);
    const char *feature = json_string_value(json_object_get(config, "module_output_name"));
    if (feature != NULL && strcmp(feature, transformer_tasks[t].feature) != 0)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "\"module_output_name\" is \"%.40s\"; known for %s is %s", feature,
                         transformer_tasks[t].task, transformer_tasks[t].feature);
    return TERN_OK;
}

static tern_status read_transformer(tern_modules *modules, tern_module *module, bool is_masked_lm, tern_error *err) {
    const char *file = "";
    TERN_TRY(load_transformer_config(&module->config, &file, module->folder, err));
    const json_t *config = module->config;
    tern_status status = read_lengths(modules, config, err);
    if (status == TERN_OK) status = read_transformer_task(modules, config, is_masked_lm, err);
    if (status != TERN_OK) {
        status = tern__fail_prefix(err, status, file);
        return tern__fail_prefix(err, status, module->folder);
    }
    modules->do_lower_case = json_is_true(json_object_get(config, "do_lower_case"));
    modules->gives_layers = json_is_true(json_object_get(find_settings(config, "config_kwargs", "config_args"), "output_hidden_states"));
    modules->expands_queries = json_is_object(json_object_get(config, "query_expansion"));
    return TERN_OK;
}

/* ---- The list ---- */

/* A path of modules.json stays inside the folder: it has no root and no part "..". */
static bool is_inner_path(const char *path) {
    if (path[0] == '/') return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0')) return false;
    }
    return true;
}

/* The class that "sentence_transformers.some.modules.Pooling" names; N_KNOWN_MODULES: not one of these. */
static size_t find_module(const char *type) {
    static const char package[] = "sentence_transformers.";
    size_t m = N_KNOWN_MODULES;
    if (strncmp(type, package, sizeof package - 1) == 0)
        for (m = 0; m < N_KNOWN_MODULES && strcmp(strrchr(type, '.') + 1, known_modules[m].name) != 0;) m++;
    return m;
}

static tern_status fail_unknown(const char *folder, size_t index, const char *type, tern_error *err) {
    char known[256] = "";
    for (size_t m = 0, used = 0; m < N_KNOWN_MODULES; m++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", m > 0 ? ", " : "", known_modules[m].name);
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/modules.json: module %zu is \"%.80s\"; known are sentence_transformers' %s", folder,
                     index, type, known);
}

static tern_status read_module(tern_modules *modules, const char *folder, const json_t *entry, size_t index, tern_error *err) {
    const char *type = json_string_value(json_object_get(entry, "type")), *path = json_string_value(json_object_get(entry, "path"));
    if (type == NULL || path == NULL || !is_inner_path(path))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s/modules.json: module %zu has no \"type\" or no \"path\" inside the folder", folder, index);
    const size_t known = find_module(type);
    if (known == N_KNOWN_MODULES) return fail_unknown(folder, index, type, err);
    if (known_modules[known].is_input != (index == 0))
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/modules.json: module %zu is %s; the first module takes texts, and no other does",
                         folder, index, known_modules[known].name);
    tern_module *module = &modules->items[modules->n++];
    module->kind = known_modules[known].kind;
    module->prefix = tern__path_join(path[0] != '\0' ? path : ".", "");
    module->folder = path[0] == '\0' ? strdup(folder) : tern__path_join(folder, path);
    if (module->prefix == NULL || module->folder == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(path) + 2);
    if (module->kind == TERN_MODULE_TRANSFORMER)
        return read_transformer(modules, module, strcmp(known_modules[known].name, "MLMTransformer") == 0, err);
    if (known_modules[known].is_input) return TERN_OK;
    TERN_TRY(load_optional(&module->config, module->folder, "config.json", err));
    if (module->config == NULL && known_modules[known].needs_config)
        return TERN_FAIL(err, TERN_E_IO, "%s/config.json: modules.json names a %s module there; the file is missing", module->folder,
                         known_modules[known].name);
    return known_modules[known].has_weights ? tern__checkpoint_open(&module->checkpoint, module->folder, err) : TERN_OK;
}

/* A module of no settings. */
static tern_status add_default_module(tern_modules *modules, tern_module_kind kind, const char *folder, tern_error *err) {
    tern_module *module = &modules->items[modules->n++];
    *module = (tern_module){.kind = kind, .prefix = strdup(""), .folder = strdup(folder)};
    return module->prefix != NULL && module->folder != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, strlen(folder) + 1);
}

/* A cross-encoder's list is its Transformer alone; embeddings, which it was not made for, are the mean, as of a folder without a list. */
static tern_status read_list(tern_modules *modules, const char *folder, const json_t *list, tern_error *err) {
    const size_t n = json_array_size(list);
    if (n == 0) return TERN_FAIL(err, TERN_E_FORMAT, "%s/modules.json: not a list of modules", folder);
    modules->items = tern__alloc_zero(n + 1, sizeof *modules->items);
    if (modules->items == NULL) return TERN_FAIL_MEMORY(err, (n + 1) * sizeof *modules->items);
    for (size_t i = 0; i < n; i++) {
        TERN_TRY(read_module(modules, folder, json_array_get(list, i), i, err));
        if (i > 0 && modules->is_cross_encoder)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/modules.json: module %zu stands behind a Transformer for sequence classification",
                             folder, i);
    }
    return modules->is_cross_encoder ? add_default_module(modules, TERN_MODULE_POOLING, folder, err) : TERN_OK;
}

/* What the library takes for a folder that it did not save. */
static tern_status make_default_list(tern_modules *modules, const char *folder, tern_error *err) {
    modules->items = tern__alloc_zero(2, sizeof *modules->items);
    if (modules->items == NULL) return TERN_FAIL_MEMORY(err, 2 * sizeof *modules->items);
    TERN_TRY(add_default_module(modules, TERN_MODULE_TRANSFORMER, folder, err));
    return add_default_module(modules, TERN_MODULE_POOLING, folder, err);
}

tern_status tern__modules_read(tern_modules *out, const char *folder, tern_error *err) {
    *out = (tern_modules){0};
    json_t *list;
    TERN_TRY(load_optional(&list, folder, "modules.json", err));
    out->is_present = list != NULL;
    const tern_status status = list != NULL ? read_list(out, folder, list, err) : make_default_list(out, folder, err);
    json_decref(list);
    if (status != TERN_OK) tern__modules_free(out);
    return status;
}

void tern__modules_free(tern_modules *modules) {
    for (size_t i = 0; i < modules->n; i++) {
        free(modules->items[i].prefix);
        free(modules->items[i].folder);
        json_decref(modules->items[i].config);
        tern__checkpoint_close(modules->items[i].checkpoint);
    }
    free(modules->items);
    *modules = (tern_modules){0};
}
