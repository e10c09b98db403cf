/* special_tokens.c - what tasks need of a tokenizer's configuration: the ids of "unk_token", "mask_token", "pad_token" and "cls_token",
 * from tokenizer_config.json or else special_tokens_map.json; and whether its type ids are used.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/model.h"

static tern_status load_if_there(json_t **out, const char *folder, const char *name, tern_error *err) {
    *out = NULL;
    char *path = tern__path_join(folder, name);
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    const tern_status status = tern__file_exists(path) ? tern__json_load(out, path, err) : TERN_OK;
    free(path);
    return status;
}

/* A string, or an object with the fields of an added token; -1 when it is not there or not in the vocabulary. */
static int32_t find_id(const tern_tokenizer *tokenizer, const json_t *files[2], const char *key) {
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(files[i], key);
        const char *content = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
        if (content != NULL) return tern_tokenizer_token_to_id(tokenizer, content);
    }
    return -1;
}

/* Do a tokenizer's type ids go into the model? As its "model_input_names" say; without them transformers' general class gives none. */
static bool gives_token_types(const json_t *config) {
    const json_t *names = json_object_get(config, "model_input_names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name != NULL && strcmp(name, "token_type_ids") == 0) return true;
    }
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    return names == NULL && (class == NULL || (strcmp(class, "TokenizersBackend") != 0 && strcmp(class, "PreTrainedTokenizerFast") != 0));
}

tern_status tern__special_tokens_read(tern_model *model, const char *folder, tern_error *err) {
    json_t *config, *map = NULL;
    TERN_TRY(load_if_there(&config, folder, "tokenizer_config.json", err));
    const tern_status status = load_if_there(&map, folder, "special_tokens_map.json", err);
    const json_t *files[2] = {config, map};
    model->unk_token_id = find_id(model->tokenizer, files, "unk_token");
    model->uses_token_types = gives_token_types(config) && model->folder.facts.type_vocab_size > 1;
    model->pad_token_id = find_id(model->tokenizer, files, "pad_token");
    model->cls_token_id = find_id(model->tokenizer, files, "cls_token");
    model->mask_token_id = find_id(model->tokenizer, files, "mask_token");
    json_decref(config);
    json_decref(map);
    return status;
}
