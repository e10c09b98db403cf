/* token_wishes.c - the tokens that a folder without tokenizer.json adds: which, with which flags, in which order.
 * Source: Hugging Face transformers 5, TokenizersBackend.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/files/tokenizer_files.h"

bool tern__text_equals(tern_text a, tern_text b) { return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0); }

/* ---- One token ---- */

tern_status tern__token_wish_read(tern_token_wish *out, const json_t *json, const char *key, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "special tokens", .type = ""};
    tern_added_token *token = &out->token;
    *out = (tern_token_wish){0};
    if (json_is_string(json)) {
        out->is_string = token->special = true;
        token->content = (tern_text){.data = json_string_value(json), .bytes = json_string_length(json)};
        return TERN_OK;
    }
    if (!json_is_object(json)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"%s\" must be a string or an object", file, key);
    bool is_there;
    TERN_TRY(tern__json_text(&token->content, json, "content", place, err));
    TERN_TRY(tern__json_optional_bool(&token->single_word, &is_there, json, "single_word", place, err));
    TERN_TRY(tern__json_optional_bool(&token->lstrip, &is_there, json, "lstrip", place, err));
    TERN_TRY(tern__json_optional_bool(&token->rstrip, &is_there, json, "rstrip", place, err));
    TERN_TRY(tern__json_optional_bool(&token->special, &is_there, json, "special", place, err));
    return tern__json_optional_bool(&token->normalized, &out->has_normalized, json, "normalized", place, err);
}

tern_status tern__token_wish_push(tern_token_wishes *wishes, const tern_token_wish *wish, tern_error *err) {
    if (!tern__grow(&wishes->items, &wishes->capacity, wishes->n + 1, sizeof *wishes->items))
        return TERN_FAIL_MEMORY(err, sizeof *wishes->items);
    wishes->items[wishes->n++] = *wish;
    return TERN_OK;
}

/* With `special` as it is in the end, is it sought in the normalized text? */
static bool is_normalized(const tern_token_wish *wish) { return wish->has_normalized ? wish->token.normalized : !wish->token.special; }

/* As transformers compares them: strings with strings, and objects with objects by all fields. */
static bool is_same_wish(const tern_token_wish *a, const tern_token_wish *b) {
    const tern_added_token *p = &a->token, *q = &b->token;
    return a->is_string == b->is_string && p->special == q->special && p->single_word == q->single_word && p->lstrip == q->lstrip &&
           p->rstrip == q->rstrip && is_normalized(a) == is_normalized(b) && tern__text_equals(p->content, q->content);
}

/* Among the first n wishes. */
static bool has_content(const tern_token_wishes *wishes, size_t n, tern_text content) {
    for (size_t i = 0; i < n; i++)
        if (tern__text_equals(wishes->items[i].token.content, content)) return true;
    return false;
}

/* Unless one of the first n_listed has its content, or any is the same. */
static tern_status add_wish(tern_token_wishes *wishes, size_t n_listed, const tern_token_wish *wish, tern_error *err) {
    if (!wish->token.content.data || has_content(wishes, n_listed, wish->token.content)) return TERN_OK;
    for (size_t i = n_listed; i < wishes->n; i++)
        if (is_same_wish(&wishes->items[i], wish)) return TERN_OK;
    return tern__token_wish_push(wishes, wish, err);
}

/* ---- Those that the files list by id ---- */

static int compare_wishes(const void *left, const void *right) {
    const tern_token_wish *a = left, *b = right;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* "added_tokens_decoder" of tokenizer_config.json: {"103": {"content": "[MASK]", ..}, ..} */
static tern_status read_added_tokens_decoder(tern_token_wishes *wishes, json_t *decoder, tern_error *err) {
    if (!json_is_object(decoder)) return TERN_FAIL(err, TERN_E_FORMAT, TERN_CONFIG_FILE ": \"added_tokens_decoder\" must be an object");
    const char *key;
    json_t *value;
    json_object_foreach(decoder, key, value) {
        char *end;
        long index = strtol(key, &end, 10);
        if (key[0] == '\0' || *end != '\0' || index < 0 || index > INT32_MAX)
            return TERN_FAIL(err, TERN_E_FORMAT, TERN_CONFIG_FILE ": added_tokens_decoder: \"%s\" is not an id", key);
        if (!json_is_object(value))
            return TERN_FAIL(err, TERN_E_FORMAT, TERN_CONFIG_FILE ": added_tokens_decoder: \"%s\" must be an object", key);
        tern_token_wish wish;
        TERN_TRY(tern__token_wish_read(&wish, value, key, TERN_CONFIG_FILE, err));
        wish.index = (int32_t)index;
        TERN_TRY(tern__token_wish_push(wishes, &wish, err));
    }
    return TERN_OK;
}

/* The settings know it as a special token. Objects of tokenizer_config.json, which have "__type", do not count. */
static bool is_known_special(const tern_tokenizer_settings *settings, tern_text content) {
    for (size_t i = 0; i < TERN_N_NAMED; i++) {
        const tern_token_wish *named = &settings->named[i];
        if (named->is_setting && named->token.content.data && tern__text_equals(named->token.content, content)) return true;
    }
    for (size_t i = 0; i < json_array_size(settings->extra); i++) {
        const json_t *token = json_array_get(settings->extra, i);
        const json_t *text = json_is_object(token) && !json_object_get(token, "__type") ? json_object_get(token, "content") : token;
        tern_text other = {.data = json_string_value(text), .bytes = json_string_length(text)};
        if (other.data && tern__text_equals(other, content)) return true;
    }
    return false;
}

/* added_tokens.json: {"[NEW]": 30522, ..} */
static tern_status read_added_file(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, tern_error *err) {
    tern_json_place place = {.file = TERN_ADDED_FILE, .part = "added tokens", .type = ""};
    const char *content;
    json_t *value;
    json_object_foreach(settings->added, content, value) {
        tern_token_wish wish = {.token = {.content = {.data = content, .bytes = strlen(content)}}, .has_normalized = true};
        TERN_TRY(tern__json_id_value(&wish.index, value, content, place, err));
        wish.token.special = is_known_special(settings, wish.token.content);
        wish.token.normalized = !wish.token.special;
        TERN_TRY(tern__token_wish_push(wishes, &wish, err));
    }
    return TERN_OK;
}

/* ---- All of them ---- */

static tern_status add_extra(tern_token_wishes *wishes, size_t n_listed, const tern_tokenizer_settings *settings, tern_error *err) {
    const json_t *list = settings->extra ? settings->extra : settings->additional;
    if (list && !json_is_array(list) && !json_is_null(list))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: the extra special tokens must be a list or an object", settings->folder);
    for (size_t i = 0; i < json_array_size(list); i++) {
        tern_token_wish wish;
        TERN_TRY(tern__token_wish_read(&wish, json_array_get(list, i), "extra_special_tokens", settings->folder, err));
        TERN_TRY(add_wish(wishes, n_listed, &wish, err));
    }
    return TERN_OK;
}

/* Tokens of the content of a named one are special, whatever was said of them. */
static void make_special(tern_token_wishes *wishes, const tern_token_wish *named, size_t n_named) {
    for (size_t i = 0; i < wishes->n; i++) {
        tern_token_wish *wish = &wishes->items[i];
        for (size_t n = 0; n < n_named && !wish->token.special; n++)
            wish->token.special = named[n].token.content.data && tern__text_equals(named[n].token.content, wish->token.content);
    }
}

tern_status tern__tokens_listed(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, tern_error *err) {
    json_t *decoder = json_object_get(settings->config, "added_tokens_decoder");
    if (decoder) TERN_TRY(read_added_tokens_decoder(wishes, decoder, err));
    else TERN_TRY(read_added_file(wishes, settings, err));
    if (wishes->n > 1) qsort(wishes->items, wishes->n, sizeof *wishes->items, compare_wishes);
    return TERN_OK;
}

/* One more, as a plain string. */
static tern_status push_string(tern_token_wishes *wishes, const tern_token_wish *wish, tern_error *err) {
    tern_token_wish plain = {.token = {.content = wish->token.content, .special = true}, .is_string = true};
    return plain.token.content.data ? tern__token_wish_push(wishes, &plain, err) : TERN_OK;
}

static tern_status add_strings(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, tern_error *err) {
    tern_token_wishes extra = {0};
    tern_status status = add_extra(&extra, 0, settings, err);
    for (size_t i = 0; i < TERN_N_NAMED && status == TERN_OK; i++) status = push_string(wishes, &settings->named[i], err);
    for (size_t i = 0; i < settings->specific.n && status == TERN_OK; i++) status = push_string(wishes, &settings->specific.items[i], err);
    for (size_t i = 0; i < extra.n && status == TERN_OK; i++) status = push_string(wishes, &extra.items[i], err);
    free(extra.items);
    return status;
}

tern_status tern__tokens_collect(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                 tern_error *err) {
    TERN_TRY(tern__tokens_listed(wishes, settings, err));
    size_t n_listed = wishes->n;
    for (size_t i = 0; i < TERN_N_NAMED; i++) TERN_TRY(add_wish(wishes, n_listed, &settings->named[i], err));
    for (size_t i = 0; i < settings->specific.n; i++) TERN_TRY(add_wish(wishes, n_listed, &settings->specific.items[i], err));
    TERN_TRY(add_extra(wishes, n_listed, settings, err));
    make_special(wishes, settings->named, TERN_N_NAMED);
    make_special(wishes, settings->specific.items, settings->specific.n);
    for (size_t i = 0; i < wishes->n; i++) wishes->items[i].token.normalized = is_normalized(&wishes->items[i]);
    return cls->adds_strings_again ? add_strings(wishes, settings, err) : TERN_OK;
}
