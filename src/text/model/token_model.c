/* token_model.c - reading the model of tokenizer.json and running it.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/models
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/token_model.h"

#include <stdlib.h>
#include <string.h>

#include "text/json_fields.h"

static const char *const kind_names[] = {[TERN_TOKEN_MODEL_WORDPIECE] = "WordPiece",
                                         [TERN_TOKEN_MODEL_WORDLEVEL] = "WordLevel",
                                         [TERN_TOKEN_MODEL_BPE] = "BPE",
                                         [TERN_TOKEN_MODEL_UNIGRAM] = "Unigram"};
#define N_KINDS (sizeof kind_names / sizeof *kind_names)

void tern__model_scratch_free(tern_model_scratch *scratch) {
    free(scratch->symbols);
    free(scratch->heap);
    free(scratch->nodes);
    free(scratch->text);
    *scratch = (tern_model_scratch){0};
}

void tern__token_model_free(tern_token_model *model) {
    tern__vocabulary_free(&model->vocabulary);
    tern__unk_token_free(&model->unk);
    free(model->wordpiece.prefix);
    tern__bpe_free(&model->bpe);
    tern__unigram_free(&model->unigram);
    *model = (tern_token_model){0};
}

/* Files of 2020 leave the type out; theirs is told by its fields, in the order in which Hugging Face's library tries them. */
static bool guess_kind(tern_token_model_kind *kind, const json_t *json) {
    const json_t *vocab = json_object_get(json, "vocab");
    bool has_unk = json_object_get(json, "unk_token");
    if (json_is_object(vocab) && json_is_array(json_object_get(json, "merges"))) *kind = TERN_TOKEN_MODEL_BPE;
    else if (json_is_object(vocab) && has_unk && json_object_get(json, "continuing_subword_prefix") &&
             json_object_get(json, "max_input_chars_per_word"))
        *kind = TERN_TOKEN_MODEL_WORDPIECE;
    else if (json_is_object(vocab) && has_unk) *kind = TERN_TOKEN_MODEL_WORDLEVEL;
    else if (json_is_array(vocab)) *kind = TERN_TOKEN_MODEL_UNIGRAM;
    else return false;
    return true;
}

static tern_status read_kind(tern_token_model_kind *kind, const json_t *json, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = ""};
    if (!json_is_object(json)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"model\" must be an object", file);
    if (!json_object_get(json, "type") && guess_kind(kind, json)) return TERN_OK;
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(place.type, kind_names[i]) != 0) continue;
        *kind = (tern_token_model_kind)i;
        return TERN_OK;
    }
    return tern__json_fail_type(place, err);
}

/* "vocab" and "merges" are of the right kind; what was in them is in `tables`. They may be missing when those came from elsewhere. */
static tern_status check_tables(const tern_model_tables *tables, tern_token_model_kind kind, const json_t *json, const char *file,
                                tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = kind_names[kind]};
    json_t *value;
    if (json_object_get(json, "vocab") || tables->vocabulary.n_entries == 0) {
        if (kind == TERN_TOKEN_MODEL_UNIGRAM) TERN_TRY(tern__json_array(&value, json, "vocab", place, err));
        else TERN_TRY(tern__json_object(&value, json, "vocab", place, err));
    }
    if (kind == TERN_TOKEN_MODEL_BPE && (json_object_get(json, "merges") || tables->n_merges == 0))
        return tern__json_array(&value, json, "merges", place, err);
    return TERN_OK;
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

static tern_status read_wordlevel(tern_token_model *out, const json_t *json, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = "WordLevel"};
    tern_text unk_token;
    TERN_TRY(tern__json_text(&unk_token, json, "unk_token", place, err));
    return tern__unk_token_set(&out->unk, unk_token, &out->vocabulary, err);
}

tern_status tern__token_model_read(tern_token_model *out, const json_t *json, tern_model_tables *tables, const char *file,
                                   tern_error *err) {
    TERN_TRY(read_kind(&out->kind, json, file, err));
    TERN_TRY(check_tables(tables, out->kind, json, file, err));
    out->vocabulary = tables->vocabulary;
    tables->vocabulary = (tern_vocabulary){0};
    if (!tern__vocabulary_index_ids(&out->vocabulary)) return TERN_FAIL_MEMORY(err, out->vocabulary.n_slots * sizeof(uint32_t));
    switch (out->kind) {
    case TERN_TOKEN_MODEL_WORDPIECE:
        return read_wordpiece(out, json, file, err);
    case TERN_TOKEN_MODEL_WORDLEVEL:
        return read_wordlevel(out, json, file, err);
    case TERN_TOKEN_MODEL_BPE:
        return tern__bpe_read(&out->bpe, &out->vocabulary, json, tables, file, err);
    case TERN_TOKEN_MODEL_UNIGRAM:
        break;
    }
    return tern__unigram_read(&out->unigram, &out->vocabulary, json, tables, file, err);
}

tern_status tern__token_model_take_bytes(tern_token_model *model, bool *can, tern_error *err) {
    *can = false;
    return model->kind == TERN_TOKEN_MODEL_BPE ? tern__bpe_take_bytes(&model->bpe, can, err) : TERN_OK;
}

tern_status tern__token_model_tokenize(const tern_token_model *model, tern_model_scratch *scratch, tern_token_list *out,
                                       const unsigned char *bytes, const tern_spans *spans, bool with_texts, tern_error *err) {
    switch (model->kind) {
    case TERN_TOKEN_MODEL_WORDPIECE:
        return tern__wordpiece_tokenize(model, out, bytes, spans, err);
    case TERN_TOKEN_MODEL_WORDLEVEL:
        return tern__wordlevel_tokenize(model, out, bytes, spans, err);
    case TERN_TOKEN_MODEL_BPE:
        return tern__bpe_tokenize(&model->bpe, scratch, out, bytes, spans, err);
    case TERN_TOKEN_MODEL_UNIGRAM:
        break;
    }
    return tern__unigram_tokenize(&model->unigram, scratch, out, bytes, spans, with_texts, err);
}
