/* tokenizer_files.c - loading a tokenizer: tokenizer.json if the folder has one, else what the other files make. A folder of
 * sentence-transformers may have them in a folder of its own that modules.json names.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/files/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

/* ---- From the other files ---- */

static void free_plan(tern_tokenizer_plan *plan) {
    json_decref(plan->normalizer);
    json_decref(plan->pre_tokenizer);
    json_decref(plan->decoder);
    json_decref(plan->model);
    tern__model_tables_free(&plan->tables);
}

/* The name in messages is the folder's. */
static tern_status set_stages(tern_tokenizer *out, tern_tokenizer_plan *plan, const char *name, tern_error *err) {
    if (!plan->normalizer || !plan->pre_tokenizer || !plan->decoder || !plan->model) return TERN_FAIL_MEMORY(err, sizeof(json_t));
    TERN_TRY(tern__normalizer_read(&out->normalizer, plan->normalizer, name, err));
    TERN_TRY(tern__pre_tokenizer_read(&out->pre_tokenizer, plan->pre_tokenizer, name, err));
    TERN_TRY(tern__decoder_read(&out->decoder, plan->decoder, name, err));
    return tern__token_model_read(&out->model, plan->model, &plan->tables, name, err);
}

static tern_status add_tokens(tern_tokenizer *out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                              tern_error *err) {
    tern_token_wishes wishes = {0};
    int32_t next_id = (int32_t)out->model.vocabulary.n_entries;
    tern_status status = tern__tokens_collect(&wishes, settings, cls, err);
    for (size_t i = 0; i < wishes.n && status == TERN_OK; i++)
        status = tern__added_tokens_add(&out->added_tokens, &wishes.items[i].token, &out->model.vocabulary, &out->normalizer, &next_id,
                                        settings->folder, err);
    free(wishes.items);
    return status;
}

static tern_status set_post_processor(tern_tokenizer *out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                      tern_error *err) {
    tern_post_processor_maker *make = cls->make_post_processor ? cls->make_post_processor : tern__post_bos_eos;
    if (cls->bos_and_eos_win && (json_object_get(settings->config, "add_bos_token") || json_object_get(settings->config, "add_eos_token")))
        make = tern__post_bos_eos;
    json_t *post_processor = NULL;
    TERN_TRY(make(&post_processor, out, settings, err));
    if (!post_processor) return TERN_FAIL_MEMORY(err, sizeof *post_processor);
    tern_status status = tern__post_processor_read(&out->post_processor, post_processor, settings->folder, err);
    json_decref(post_processor);
    return status;
}

static tern_status read_folder(tern_tokenizer *out, tern_tokenizer_settings *settings, tern_tokenizer_plan *plan, const char *folder,
                               tern_error *err) {
    const tern_tokenizer_class *cls;
    TERN_TRY(tern__tokenizer_settings_load(settings, folder, err));
    TERN_TRY(tern__tokenizer_class_find(&cls, settings, err));
    TERN_TRY(tern__named_tokens_read(settings, cls, err));
    TERN_TRY(cls->make_plan(plan, settings, cls, err));
    TERN_TRY(set_stages(out, plan, folder, err));
    TERN_TRY(add_tokens(out, settings, cls, err));
    TERN_TRY(set_post_processor(out, settings, cls, err));
    return tern__tokenizer_finish(out, err);
}

static tern_status load_files(tern_tokenizer **out, const char *folder, tern_error *err) {
    tern_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return TERN_FAIL_MEMORY(err, sizeof *tokenizer);
    tern_tokenizer_settings settings = {0};
    tern_tokenizer_plan plan = {0};
    tern_status status = read_folder(tokenizer, &settings, &plan, folder, err);
    free_plan(&plan);
    tern__tokenizer_settings_free(&settings);
    if (status == TERN_OK) *out = tokenizer;
    else tern_tokenizer_free(tokenizer);
    return status;
}

/* ---- Which files there are ---- */

tern_status tern__tokenizer_is_there(bool *is_there, const char *folder, tern_error *err) {
    static const char *const files[] = {"tokenizer.json", "vocab.txt", "vocab.json",     "sentencepiece.bpe.model",
                                        "spiece.model",   "spm.model", "tokenizer.model"};
    *is_there = false;
    for (size_t i = 0; i < sizeof files / sizeof *files && !*is_there; i++) {
        char *path = tern__path_join(folder, files[i]);
        if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(files[i]) + 2);
        *is_there = tern__file_exists(path);
        free(path);
    }
    return TERN_OK;
}

/* The folder in which the first step of a sentence-transformers model is, by its modules.json, to be freed; NULL when none is named. */
static tern_status find_inner_folder(char **out, const char *folder, tern_error *err) {
    json_t *modules = NULL;
    *out = NULL;
    char *path = tern__path_join(folder, "modules.json");
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + 14);
    tern_status status = tern__file_exists(path) ? tern__json_load(&modules, path, err) : TERN_OK;
    free(path);
    const char *inner = json_string_value(json_object_get(json_array_get(modules, 0), "path"));
    if (inner && inner[0] != '\0' && inner[0] != '/' && !strstr(inner, "..")) {
        *out = tern__path_join(folder, inner);
        if (!*out) status = TERN_FAIL_MEMORY(err, strlen(folder) + strlen(inner) + 2);
    }
    json_decref(modules);
    return status;
}

static tern_status load_json(tern_tokenizer **out, const char *path, tern_error *err) {
    tern_mapping file;
    TERN_TRY(tern__file_map(&file, path, err));
    tern_status status;
    if (file.bytes > TERN_JSON_MAX_BYTES)
        status = TERN_FAIL(err, TERN_E_IO, "%s: has %zu bytes; at most %zu are read of such a file", path, file.bytes, TERN_JSON_MAX_BYTES);
    else status = tern__tokenizer_from_json(out, file.data ? (const char *)file.data : "", file.bytes, path, err);
    tern__file_unmap(&file);
    return status;
}

static tern_status load_folder(tern_tokenizer **out, const char *folder, tern_error *err) {
    char *path = tern__path_join(folder, "tokenizer.json");
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + 16);
    tern_status status = tern__file_exists(path) ? load_json(out, path, err) : load_files(out, folder, err);
    free(path);
    return status;
}

tern_status tern_tokenizer_load(tern_tokenizer **out, const char *folder, tern_error *err) {
    *out = NULL;
    if (!tern__folder_exists(folder)) return TERN_FAIL(err, TERN_E_IO, "%s: there is no such folder", folder);
    bool is_there;
    char *inner = NULL;
    TERN_TRY(tern__tokenizer_is_there(&is_there, folder, err));
    if (!is_there) TERN_TRY(find_inner_folder(&inner, folder, err));
    tern_status status = load_folder(out, inner ? inner : folder, err);
    free(inner);
    return status;
}
