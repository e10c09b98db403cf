/* special_settings.c - what a folder without tokenizer.json says of its tokenizer: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, config.json. The second and the third count only where tokenizer_config.json has no "added_tokens_decoder".
 * Source: Hugging Face transformers 5, PreTrainedTokenizerBase.from_pretrained.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/files/tokenizer_files.h"

static const char *const named_keys[TERN_N_NAMED] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                     "pad_token", "cls_token", "mask_token"};

#define EXTRA_KEY      "extra_special_tokens"
#define ADDITIONAL_KEY "additional_special_tokens"

static tern_status load_if_there(json_t **out, const char *folder, const char *name, tern_error *err) {
    *out = NULL;
    char *path = tern__path_join(folder, name);
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    tern_status status = tern__file_exists(path) ? tern__json_load(out, path, err) : TERN_OK;
    free(path);
    if (status == TERN_OK && *out && !json_is_object(*out))
        status = TERN_FAIL(err, TERN_E_FORMAT, "%s/%s: must hold an object", folder, name);
    return status;
}

const json_t *tern__setting_find(const tern_tokenizer_settings *settings, const char *key, tern_json_place *place) {
    const json_t *value = json_object_get(settings->map, key);
    *place = (tern_json_place){.file = value ? TERN_MAP_FILE : TERN_CONFIG_FILE, .part = key, .type = ""};
    return value ? value : json_object_get(settings->config, key);
}

tern_status tern__json_optional_bool(bool *value, bool *is_there, const json_t *object, const char *key, tern_json_place place,
                                     tern_error *err) {
    const json_t *found = json_object_get(object, key);
    *is_there = found && !json_is_null(found);
    return *is_there ? tern__json_bool(value, object, key, place, err) : TERN_OK;
}

tern_status tern__setting_bool(bool *value, bool *is_there, const tern_tokenizer_settings *settings, const char *key, tern_error *err) {
    tern_json_place place = {.file = TERN_CONFIG_FILE, .part = "tokenizer", .type = ""};
    bool unused;
    return tern__json_optional_bool(value, is_there ? is_there : &unused, settings->config, key, place, err);
}

/* ---- Named tokens ---- */

static bool is_other_token_key(const char *key) {
    size_t n = strlen(key), n_end = strlen("_token");
    if (n < n_end || strcmp(key + n - n_end, "_token") != 0) return false;
    for (size_t i = 0; i < TERN_N_NAMED; i++)
        if (strcmp(key, named_keys[i]) == 0) return false;
    return true;
}

enum { STRINGS = 1, OBJECTS = 2 };

/* The values of an object that are tokens: of all its keys, or of those that end in "_token" and are not the named ones'. */
static tern_status read_specific(tern_token_wishes *out, json_t *object, int kinds, bool all_keys, const char *file, tern_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        int kind = json_is_string(value) ? STRINGS : json_is_object(value) ? OBJECTS : 0;
        if (!(kind & kinds) || !(all_keys || is_other_token_key(key))) continue;
        tern_token_wish wish;
        TERN_TRY(tern__token_wish_read(&wish, value, key, file, err));
        wish.token.special = wish.token.special || strcmp(file, TERN_MAP_FILE) == 0;
        TERN_TRY(tern__token_wish_push(out, &wish, err));
    }
    return TERN_OK;
}

tern_status tern__named_tokens_read(tern_tokenizer_settings *settings, const tern_tokenizer_class *cls, tern_error *err) {
    for (size_t i = 0; i < TERN_N_NAMED; i++) {
        tern_token_wish *wish = &settings->named[i];
        tern_json_place place;
        const json_t *value = tern__setting_find(settings, named_keys[i], &place);
        *wish = (tern_token_wish){0};
        if (value && !json_is_null(value)) {
            TERN_TRY(tern__token_wish_read(wish, value, named_keys[i], place.file, err));
            bool is_in_map = json_object_get(settings->map, named_keys[i]) != NULL;
            wish->is_setting = json_is_string(value) || is_in_map;
            wish->token.special = wish->token.special || is_in_map;
        } else if (!value && cls->tokens[i]) {
            wish->token.content = (tern_text){.data = cls->tokens[i], .bytes = strlen(cls->tokens[i])};
            wish->token.special = wish->is_string = true;
        }
        if (wish->is_string && (cls->tokens_are_objects || (i == TERN_MASK && cls->mask_takes_space))) {
            wish->token.lstrip = i == TERN_MASK && cls->mask_takes_space;
            wish->token.normalized = wish->has_normalized = i == TERN_MASK && cls->mask_is_normalized;
            wish->is_string = false;
        }
    }
    return TERN_OK;
}

tern_status tern__named_token_get(tern_text *out, const tern_tokenizer_settings *settings, tern_named_token token, tern_error *err) {
    tern_json_place place;
    tern__setting_find(settings, named_keys[token], &place);
    *out = settings->named[token].token.content;
    if (!out->data)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/%s: \"%s\" null is not supported", settings->folder, place.file, named_keys[token]);
    if (out->bytes == 0 || memchr(out->data, '\0', out->bytes))
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/%s: \"%s\" is empty or holds a NUL", settings->folder, place.file, named_keys[token]);
    return TERN_OK;
}

/* ---- Extra special tokens ---- */

/* null, "", [] and {} count as nothing. */
static bool is_something(const json_t *json) {
    return json_array_size(json) > 0 || json_object_size(json) > 0 || json_string_length(json) > 0;
}

static bool array_has(const json_t *array, const json_t *value) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (json_equal(json_array_get(array, i), value)) return true;
    return false;
}

/* The list of special_tokens_map.json behind that of tokenizer_config.json; its objects are special. */
static tern_status join_extra(tern_tokenizer_settings *settings, const json_t *list, tern_error *err) {
    json_t *joined = json_array();
    bool is_whole = joined != NULL;
    for (size_t i = 0; is_whole && i < json_array_size(settings->extra); i++)
        is_whole = json_array_append(joined, json_array_get(settings->extra, i)) == 0;
    for (size_t i = 0; is_whole && i < json_array_size(list); i++) {
        json_t *value = json_deep_copy(json_array_get(list, i));
        is_whole = value && (!json_is_object(value) || json_object_set_new(value, "special", json_true()) == 0);
        if (is_whole && !array_has(joined, value)) is_whole = json_array_append(joined, value) == 0;
        json_decref(value);
    }
    json_decref(settings->extra);
    settings->extra = joined;
    return is_whole ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof *joined);
}

/* An object {"image_token": "<image>", ..} is no list of extra tokens, but of named ones. */
static tern_status split_extra(tern_tokenizer_settings *settings, json_t **kept, tern_error *err) {
    if (!json_is_object(settings->extra)) return TERN_OK;
    *kept = settings->extra;
    settings->extra = NULL;
    return read_specific(&settings->specific, *kept, STRINGS | OBJECTS, true, TERN_CONFIG_FILE, err);
}

static tern_status read_extra(tern_tokenizer_settings *settings, tern_error *err) {
    settings->extra = json_incref(json_object_get(settings->config, EXTRA_KEY));
    settings->additional = json_incref(json_object_get(settings->config, ADDITIONAL_KEY));
    if (settings->additional && !is_something(settings->extra)) {
        json_decref(settings->extra);
        settings->extra = settings->additional;
        settings->additional = NULL;
    }
    TERN_TRY(read_specific(&settings->specific, settings->config, OBJECTS, false, TERN_CONFIG_FILE, err));
    TERN_TRY(read_specific(&settings->specific, settings->map, STRINGS | OBJECTS, false, TERN_MAP_FILE, err));
    TERN_TRY(read_specific(&settings->specific, settings->config, STRINGS, false, TERN_CONFIG_FILE, err));
    TERN_TRY(split_extra(settings, &settings->kept[0], err));
    json_t *extra = json_object_get(settings->map, EXTRA_KEY), *additional = json_object_get(settings->map, ADDITIONAL_KEY);
    if (json_is_array(extra)) {
        TERN_TRY(join_extra(settings, extra, err));
    } else if (extra) {
        json_decref(settings->extra);
        settings->extra = json_incref(extra);
        TERN_TRY(split_extra(settings, &settings->kept[1], err));
    }
    if (additional) {
        json_decref(settings->additional);
        settings->additional = json_incref(additional);
    }
    return TERN_OK;
}

tern_status tern__tokenizer_settings_load(tern_tokenizer_settings *out, const char *folder, tern_error *err) {
    *out = (tern_tokenizer_settings){.folder = folder};
    TERN_TRY(load_if_there(&out->config, folder, TERN_CONFIG_FILE, err));
    TERN_TRY(load_if_there(&out->model, folder, TERN_MODEL_FILE, err));
    if (!json_object_get(out->config, "added_tokens_decoder")) {
        TERN_TRY(load_if_there(&out->map, folder, TERN_MAP_FILE, err));
        TERN_TRY(load_if_there(&out->added, folder, TERN_ADDED_FILE, err));
    }
    return read_extra(out, err);
}

void tern__tokenizer_settings_free(tern_tokenizer_settings *settings) {
    json_decref(settings->config);
    json_decref(settings->map);
    json_decref(settings->added);
    json_decref(settings->model);
    json_decref(settings->extra);
    json_decref(settings->additional);
    json_decref(settings->kept[0]);
    json_decref(settings->kept[1]);
    free(settings->specific.items);
    *settings = (tern_tokenizer_settings){0};
}
