/* token_model.c - reading the model of tokenizer.json and running it.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/models
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/token_model.h"

#include <stdlib.h>
#include <string.h>

#include "text/json_fields.h"

void tern__model_scratch_free(tern_model_scratch *scratch) { *scratch = (tern_model_scratch){0}; }

void tern__token_model_free(tern_token_model *model) {
    tern__vocabulary_free(&model->vocabulary);
    free(model->wordpiece.unk_token);
    free(model->wordpiece.prefix);
    *model = (tern_token_model){0};
}

static tern_status read_wordpiece(tern_token_model *out, const json_t *json, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = "WordPiece"};
    tern_text unk_token, prefix;
    int32_t max_input_chars_per_word;
    TERN_TRY(tern__json_text(&unk_token, json, "unk_token", place, err));
    TERN_TRY(tern__json_text(&prefix, json, "continuing_subword_prefix", place, err));
    TERN_TRY(tern__json_id(&max_input_chars_per_word, json, "max_input_chars_per_word", place, err));
    return tern__wordpiece_set(out, unk_token, prefix, max_input_chars_per_word, err);
}

/* Files of 2020 leave the type out; theirs is told by its fields. */
static bool is_untyped_wordpiece(const json_t *json) {
    return !json_object_get(json, "type") && !json_object_get(json, "merges") && json_object_get(json, "continuing_subword_prefix") &&
           json_object_get(json, "max_input_chars_per_word");
}

tern_status tern__token_model_read(tern_token_model *out, const json_t *json, tern_model_tables *tables, const char *file,
                                   tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = ""};
    if (!json_is_object(json)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"model\" must be an object", file);
    if (!is_untyped_wordpiece(json)) {
        TERN_TRY(tern__json_type(&place.type, json, place, err));
        if (strcmp(place.type, "WordPiece") != 0) return tern__json_fail_type(place, err);
    }
    json_t *entries;
    TERN_TRY(tern__json_object(&entries, json, "vocab", place, err));
    out->vocabulary = tables->vocabulary;
    tables->vocabulary = (tern_vocabulary){0};
    if (!tern__vocabulary_index_ids(&out->vocabulary)) return TERN_FAIL_MEMORY(err, out->vocabulary.n_slots * sizeof(uint32_t));
    return read_wordpiece(out, json, file, err);
}

tern_status tern__token_model_take_bytes(tern_token_model *model, bool *can, tern_error *err) {
    (void)model, (void)err;
    *can = false;
    return TERN_OK;
}

tern_status tern__token_model_tokenize(const tern_token_model *model, tern_model_scratch *scratch, tern_token_list *out,
                                       const unsigned char *bytes, const tern_spans *spans, bool with_texts, tern_error *err) {
    (void)scratch, (void)with_texts;
    switch (model->kind) {
    case TERN_TOKEN_MODEL_WORDPIECE:
        break;
    }
    return tern__wordpiece_tokenize(model, out, bytes, spans, err);
}
