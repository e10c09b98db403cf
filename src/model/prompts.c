/* prompts.c - config_sentence_transformers.json: prompts by name, which of them is taken when none is named, the similarity function.
 * Follows sentence_transformers/base/model.py, version 6.2: "query" and "document" are always there, empty where the file has none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text_builder.h"
#include "model/model.h"

/* The prompts of the file go over those that every model has. */
static tern_status merge_prompts(tern_prompts *out, const char *path, tern_error *err) {
    json_t *saved = json_object_get(out->settings, "prompts"), *text;
    const char *name;
    if (saved != NULL && !json_is_object(saved)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"prompts\" is not an object", path);
    json_object_foreach(saved, name, text) {
        if (!json_is_string(text) && !json_is_null(text))
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: the prompt \"%.80s\" is not a string", path, name);
        if (json_object_set_new(out->texts, name, json_is_string(text) ? json_incref(text) : json_string("")) != 0)
            return TERN_FAIL_MEMORY(err, strlen(name));
    }
    return TERN_OK;
}

/* "query", "document", ...: what may be named. */
static tern_status fail_unknown_prompt(const tern_prompts *prompts, const char *what, const char *name, tern_error *err) {
    tern_text_builder known = {0};
    const char *other;
    json_t *text;
    json_object_foreach(prompts->texts, other, text) tern__text_print(&known, "%s\"%s\"", known.n_bytes > 0 ? ", " : "", other);
    char *list = tern__text_take(&known);
    const tern_status status =
        TERN_FAIL(err, TERN_E_ARGUMENT, "%s \"%.80s\" is not among the model's prompts: %.2000s", what, name, list != NULL ? list : "");
    free(list);
    return status;
}

static tern_status read_settings(tern_prompts *out, const char *path, tern_error *err) {
    if (tern__file_exists(path)) TERN_TRY(tern__json_load(&out->settings, path, err));
    out->texts = json_pack("{s:s, s:s}", "query", "", "document", "");
    if (out->texts == NULL) return TERN_FAIL_MEMORY(err, 64);
    TERN_TRY(merge_prompts(out, path, err));
    out->default_name = json_string_value(json_object_get(out->settings, "default_prompt_name"));
    out->similarity_fn_name = json_string_value(json_object_get(out->settings, "similarity_fn_name"));
    if (out->default_name == NULL || json_object_get(out->texts, out->default_name) != NULL) return TERN_OK;
    fail_unknown_prompt(out, "\"default_prompt_name\"", out->default_name, err);
    return tern__fail_prefix(err, TERN_E_CONFIG, path);
}

tern_status tern__prompts_read(tern_prompts *out, const char *folder, tern_error *err) {
    *out = (tern_prompts){0};
    char *path = tern__path_join(folder, "config_sentence_transformers.json");
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + 40);
    const tern_status status = read_settings(out, path, err);
    free(path);
    if (status != TERN_OK) tern__prompts_free(out);
    return status;
}

void tern__prompts_free(tern_prompts *prompts) {
    json_decref(prompts->texts);
    json_decref(prompts->settings);
    *prompts = (tern_prompts){0};
}

tern_status tern__prompt_find(const char **text, const tern_prompts *prompts, const char *name, tern_error *err) {
    if (name == NULL) name = prompts->default_name;
    *text = "";
    if (name == NULL) return TERN_OK;
    const json_t *found = json_object_get(prompts->texts, name);
    if (found == NULL) return fail_unknown_prompt(prompts, "prompt_name", name, err);
    *text = json_string_value(found);
    return TERN_OK;
}

const char *tern_model_prompt_name(const tern_model *model, size_t index) {
    const char *name;
    json_t *text;
    json_object_foreach(model->folder.prompts.texts, name, text) if (index-- == 0) return name;
    return NULL;
}

const char *tern_model_prompt(const tern_model *model, const char *name) {
    return json_string_value(json_object_get(model->folder.prompts.texts, name));
}
