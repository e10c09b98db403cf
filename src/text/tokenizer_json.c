/* tokenizer_json.c - a tokenizer from tokenizer.json. Its "truncation" and "padding" are not applied: the caller asks for what is wanted.
 * Source: Hugging Face tokenizers, the file that Tokenizer.save writes, version 1.0.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/json_fields.h"
#include "text/tokenizer.h"
#include "text/model/model_tables.h"

static tern_status read_added_token(tern_added_token *out, const json_t *json, const char *name, tern_error *err) {
    tern_json_place place = {.file = name, .part = "added_tokens", .type = ""};
    *out = (tern_added_token){0};
    TERN_TRY(tern__json_id(&out->id, json, "id", place, err));
    TERN_TRY(tern__json_text(&out->content, json, "content", place, err));
    TERN_TRY(tern__json_bool(&out->single_word, json, "single_word", place, err));
    TERN_TRY(tern__json_bool(&out->lstrip, json, "lstrip", place, err));
    TERN_TRY(tern__json_bool(&out->rstrip, json, "rstrip", place, err));
    TERN_TRY(tern__json_bool(&out->normalized, json, "normalized", place, err));
    return tern__json_bool(&out->special, json, "special", place, err);
}

/* The ids in the file are not taken: a token has the vocabulary's, else the next free one, as in Hugging Face's library. */
static tern_status read_added_tokens(tern_tokenizer *tokenizer, const json_t *json, const char *name, tern_error *err) {
    if (json && !json_is_array(json)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"added_tokens\" must be an array", name);
    if (tokenizer->model.vocabulary.n_entries > INT32_MAX) return TERN_FAIL(err, TERN_E_FORMAT, "%s: the vocabulary is too large", name);
    int32_t next_id = (int32_t)tokenizer->model.vocabulary.n_entries;
    for (size_t i = 0; i < json_array_size(json); i++) {
        tern_added_token token;
        TERN_TRY(read_added_token(&token, json_array_get(json, i), name, err));
        TERN_TRY(tern__added_tokens_add(&tokenizer->added_tokens, &token, &tokenizer->model.vocabulary, &tokenizer->normalizer, &next_id,
                                        name, err));
    }
    return tern__tokenizer_finish(tokenizer, err);
}

static tern_status read_tokenizer(tern_tokenizer *tokenizer, const json_t *root, tern_model_tables *tables, const char *name,
                                  tern_error *err) {
    if (!json_is_object(root)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: must hold an object", name);
    const json_t *version = json_object_get(root, "version");
    if (version && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0))
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: only \"version\" \"1.0\" is supported", name);
    TERN_TRY(tern__normalizer_read(&tokenizer->normalizer, json_object_get(root, "normalizer"), name, err));
    TERN_TRY(tern__pre_tokenizer_read(&tokenizer->pre_tokenizer, json_object_get(root, "pre_tokenizer"), name, err));
    TERN_TRY(tern__post_processor_read(&tokenizer->post_processor, json_object_get(root, "post_processor"), name, err));
    TERN_TRY(tern__decoder_read(&tokenizer->decoder, json_object_get(root, "decoder"), name, err));
    TERN_TRY(tern__token_model_read(&tokenizer->model, json_object_get(root, "model"), tables, name, err));
    return read_added_tokens(tokenizer, json_object_get(root, "added_tokens"), name, err);
}

static tern_status parse_tokenizer(tern_tokenizer *tokenizer, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    tern_model_tables tables = {0};
    json_t *root = NULL;
    tern_status status = tern__model_tables_read_json(&tables, bytes, n_bytes, name, err);
    if (status == TERN_OK) status = tern__json_parse_around(&root, bytes, n_bytes, tables.holes, tables.n_holes, name, err);
    if (status == TERN_OK) status = read_tokenizer(tokenizer, root, &tables, name, err);
    json_decref(root);
    tern__model_tables_free(&tables);
    return status;
}

tern_status tern__tokenizer_from_json(tern_tokenizer **out, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    *out = NULL;
    tern_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return TERN_FAIL_MEMORY(err, sizeof *tokenizer);
    tern_status status = parse_tokenizer(tokenizer, bytes, n_bytes, name, err);
    if (status == TERN_OK) *out = tokenizer;
    else tern_tokenizer_free(tokenizer);
    return status;
}
