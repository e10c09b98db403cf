/* modules.c - a sentence-transformers folder: modules.json names its steps, each with a folder and a small config of its own.
 * Read here: Transformer, Pooling (one mode: cls, mean or max), Normalize. Both the form that the library writes since version 6
 * ("pooling_mode": "mean") and the one before ("pooling_mode_mean_tokens": true).
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

/* Folder/name parsed, NULL in *out when the file is not there. */
static tern_status load_optional(json_t **out, const char *folder, const char *name, tern_error *err) {
    *out = NULL;
    char *path = tern__path_join(folder, name);
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    const tern_status status = tern__file_exists(path) ? tern__json_load(out, path, err) : TERN_OK;
    free(path);
    return status;
}

static bool pool_by_name(const char *name, tern_pool *pool) {
    static const struct {
        const char *name;
        tern_pool pool;
    } known[] = {{"cls", TERN_POOL_CLS}, {"mean", TERN_POOL_MEAN}, {"max", TERN_POOL_MAX}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *pool = known[i].pool;
            return true;
        }
    return false;
}

/* The one mode that a Pooling config turns on, by its name; *n_modes counts them. */
static const char *pooling_mode(const json_t *config, size_t *n_modes) {
    static const struct {
        const char *key, *mode;
    } old_keys[] = {{"pooling_mode_cls_token", "cls"},
                    {"pooling_mode_mean_tokens", "mean"},
                    {"pooling_mode_max_tokens", "max"},
                    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                    {"pooling_mode_weightedmean_tokens", "weightedmean"},
                    {"pooling_mode_lasttoken", "lasttoken"}};
    const json_t *mode = json_object_get(config, "pooling_mode");
    if (json_is_string(mode)) {
        *n_modes = 1;
        return json_string_value(mode);
    }
    if (json_is_array(mode)) {
        *n_modes = json_array_size(mode);
        const char *name = json_string_value(json_array_get(mode, 0));
        return name != NULL ? name : "";
    }
    const char *name = "none";
    *n_modes = 0;
    for (size_t i = 0; i < sizeof old_keys / sizeof *old_keys; i++)
        if (json_is_true(json_object_get(config, old_keys[i].key))) {
            name = old_keys[i].mode;
            ++*n_modes;
        }
    return name;
}

static tern_status read_pooling(tern_modules *modules, const char *folder, tern_error *err) {
    json_t *config;
    TERN_TRY(load_optional(&config, folder, "config.json", err));
    if (config == NULL)
        return TERN_FAIL(err, TERN_E_IO, "%s/config.json: modules.json names a Pooling module there; the file is missing", folder);
    size_t n_modes;
    const char *mode = pooling_mode(config, &n_modes);
    tern_status status = TERN_OK;
    if (n_modes != 1 || !pool_by_name(mode, &modules->pooling))
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED,
                           "%s/config.json: %zu pooling modes are on (\"%.40s\"); this version takes one of cls, mean, max", folder,
                           n_modes, mode);
    json_decref(config);
    return status;
}

static tern_status read_transformer(tern_modules *modules, const char *folder, tern_error *err) {
    json_t *config;
    TERN_TRY(load_optional(&config, folder, "sentence_bert_config.json", err));
    const json_t *length = json_object_get(config, "max_seq_length");
    tern_status status = TERN_OK;
    if (json_is_integer(length) && json_integer_value(length) > 0) modules->max_seq_length = json_integer_value(length);
    else if (length != NULL && !json_is_null(length))
        status = TERN_FAIL(err, TERN_E_CONFIG, "%s/sentence_bert_config.json: \"max_seq_length\" is not a positive integer", folder);
    if (status == TERN_OK && json_is_true(json_object_get(config, "do_lower_case")))
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED,
                           "%s/sentence_bert_config.json: \"do_lower_case\" is true; this version leaves case to the tokenizer", folder);
    json_decref(config);
    return status;
}

/* Paths in modules.json stay inside the folder. */
static bool is_inner_path(const char *path) { return path[0] != '/' && strstr(path, "..") == NULL; }

/* One entry of modules.json. `step` counts: 0 Transformer, 1 Pooling, 2 Normalize, in this order. */
static tern_status read_module(tern_modules *modules, const char *folder, const json_t *entry, size_t step, tern_error *err) {
    const char *type = json_string_value(json_object_get(entry, "type")), *path = json_string_value(json_object_get(entry, "path"));
    if (type == NULL || path == NULL || !is_inner_path(path))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s/modules.json: module %zu has no \"type\" or no \"path\" inside the folder", folder, step);
    const char *dot = strrchr(type, '.'), *name = dot != NULL ? dot + 1 : type;
    char *module_folder = path[0] == '\0' ? strdup(folder) : tern__path_join(folder, path);
    if (module_folder == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(path) + 2);
    tern_status status = TERN_OK;
    if (step == 0 && strcmp(name, "Transformer") == 0) {
        status = read_transformer(modules, module_folder, err);
        modules->transformer_folder = module_folder;
        return status;
    }
    if (step == 1 && strcmp(name, "Pooling") == 0) status = read_pooling(modules, module_folder, err);
    else if (step == 2 && strcmp(name, "Normalize") == 0) modules->normalize = true;
    else
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED,
                           "%s/modules.json: module %zu is \"%.80s\"; this version runs Transformer, Pooling, Normalize, in this order",
                           folder, step, type);
    free(module_folder);
    return status;
}

tern_status tern__modules_read(tern_modules *out, const char *folder, tern_error *err) {
    *out = (tern_modules){.pooling = TERN_POOL_MEAN};
    json_t *list;
    TERN_TRY(load_optional(&list, folder, "modules.json", err));
    tern_status status = TERN_OK;
    if (list == NULL) {
        out->transformer_folder = strdup(folder);
        if (out->transformer_folder == NULL) status = TERN_FAIL_MEMORY(err, strlen(folder) + 1);
    } else if (!json_is_array(list) || json_array_size(list) < 2) {
        status = TERN_FAIL(err, TERN_E_FORMAT, "%s/modules.json: not a list of at least two modules", folder);
    } else {
        out->is_present = true;
        for (size_t i = 0; i < json_array_size(list) && status == TERN_OK; i++)
            status = read_module(out, folder, json_array_get(list, i), i, err);
    }
    json_decref(list);
    if (status != TERN_OK) tern__modules_free(out);
    return status;
}

void tern__modules_free(tern_modules *modules) {
    free(modules->transformer_folder);
    *modules = (tern_modules){0};
}
