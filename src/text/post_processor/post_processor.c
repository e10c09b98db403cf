/* post_processor.c - TemplateProcessing and BertProcessing.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/post-processors
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/post_processor/post_processor.h"

#include <string.h>

#include "text/json_fields.h"

#define PART "post_processor"

void tern__post_processor_free(tern_post_processor *processor) {
    tern__arena_free(&processor->arena);
    *processor = (tern_post_processor){0};
}

static tern_status new_template(tern_post_processor *out, tern_template *template, size_t n_pieces, tern_error *err) {
    size_t bytes;
    if (!tern__size_multiply(n_pieces, sizeof *template->pieces, &bytes)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    template->pieces = tern__arena_alloc(&out->arena, bytes);
    if (!template->pieces) return TERN_FAIL_MEMORY(err, bytes);
    template->n_pieces = n_pieces;
    return TERN_OK;
}

static tern_status copy_special_token(tern_post_processor *out, tern_special_token *copy, tern_special_token token, tern_error *err) {
    *copy = token;
    copy->text.data = tern__arena_copy(&out->arena, token.text.data, token.text.bytes);
    return copy->text.data ? TERN_OK : TERN_FAIL_MEMORY(err, token.text.bytes);
}

tern_status tern__post_processor_set_bert(tern_post_processor *out, tern_special_token cls, tern_special_token sep, tern_error *err) {
    tern_special_token *tokens = tern__arena_alloc(&out->arena, 2 * sizeof *tokens);
    if (!tokens) return TERN_FAIL_MEMORY(err, 2 * sizeof *tokens);
    TERN_TRY(copy_special_token(out, &tokens[0], cls, err));
    TERN_TRY(copy_special_token(out, &tokens[1], sep, err));
    TERN_TRY(new_template(out, &out->single, 3, err));
    TERN_TRY(new_template(out, &out->pair, 5, err));
    tern_template_piece pieces[5] = {
        {.sequence = -1, .type_id = 0, .special_tokens = &tokens[0], .n_special_tokens = 1}, {.sequence = 0, .type_id = 0},
        {.sequence = -1, .type_id = 0, .special_tokens = &tokens[1], .n_special_tokens = 1}, {.sequence = 1, .type_id = 1},
        {.sequence = -1, .type_id = 1, .special_tokens = &tokens[1], .n_special_tokens = 1},
    };
    memcpy(out->single.pieces, pieces, 3 * sizeof *pieces);
    memcpy(out->pair.pieces, pieces, 5 * sizeof *pieces);
    out->single.n_added = 2;
    out->pair.n_added = 3;
    return TERN_OK;
}

static tern_status set_none(tern_post_processor *out, tern_error *err) {
    TERN_TRY(new_template(out, &out->single, 1, err));
    TERN_TRY(new_template(out, &out->pair, 2, err));
    out->single.pieces[0] = out->pair.pieces[0] = (tern_template_piece){.sequence = 0, .type_id = 0};
    out->pair.pieces[1] = (tern_template_piece){.sequence = 1, .type_id = 1};
    return TERN_OK;
}

/* ["[SEP]", 102] */
static tern_status read_bert_token(tern_special_token *out, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    json_t *pair;
    TERN_TRY(tern__json_array(&pair, json, key, place, err));
    const json_t *text = json_array_get(pair, 0);
    if (json_array_size(pair) != 2 || !json_is_string(text))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"%s\" must be a token and its id", place.file, place.type, key);
    out->text = (tern_text){.data = json_string_value(text), .bytes = json_string_length(text)};
    return tern__json_id_value(&out->id, json_array_get(pair, 1), key, place, err);
}

static tern_status read_bert(tern_post_processor *out, const json_t *json, tern_json_place place, tern_error *err) {
    tern_special_token cls, sep;
    TERN_TRY(read_bert_token(&cls, json, "cls", place, err));
    TERN_TRY(read_bert_token(&sep, json, "sep", place, err));
    return tern__post_processor_set_bert(out, cls, sep, err);
}

/* {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]} */
static tern_status read_special_tokens(tern_post_processor *out, tern_template_piece *piece, const json_t *json, tern_json_place place,
                                       tern_error *err) {
    json_t *ids, *texts;
    TERN_TRY(tern__json_array(&ids, json, "ids", place, err));
    TERN_TRY(tern__json_array(&texts, json, "tokens", place, err));
    size_t n = json_array_size(ids), bytes;
    if (n != json_array_size(texts))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: a special token has %zu ids and %zu tokens", place.file, place.type, n,
                         json_array_size(texts));
    if (!tern__size_multiply(n, sizeof(tern_special_token), &bytes)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    tern_special_token *tokens = tern__arena_alloc(&out->arena, bytes);
    if (!tokens) return TERN_FAIL_MEMORY(err, bytes);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_array_get(texts, i);
        tern_special_token token;
        TERN_TRY(tern__json_id_value(&token.id, json_array_get(ids, i), "ids", place, err));
        if (!json_is_string(text))
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"tokens\" must be strings", place.file, place.type);
        token.text = (tern_text){.data = json_string_value(text), .bytes = json_string_length(text)};
        TERN_TRY(copy_special_token(out, &tokens[i], token, err));
    }
    piece->special_tokens = tokens;
    piece->n_special_tokens = n;
    return TERN_OK;
}

/* {"Sequence": {"id": "A", "type_id": 0}} or {"SpecialToken": {"id": "[CLS]", "type_id": 0}} */
static tern_status read_template_piece(tern_post_processor *out, tern_template_piece *piece, const json_t *json,
                                       const json_t *special_tokens, tern_json_place place, tern_error *err) {
    *piece = (tern_template_piece){.sequence = -1};
    const json_t *sequence = json_object_get(json, "Sequence");
    const json_t *special = json_object_get(json, "SpecialToken");
    if (json_object_size(json) != 1 || (!json_is_object(sequence) && !json_is_object(special)))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: a piece must be a Sequence or a SpecialToken", place.file, place.type);
    tern_text id;
    TERN_TRY(tern__json_text(&id, sequence ? sequence : special, "id", place, err));
    TERN_TRY(tern__json_id(&piece->type_id, sequence ? sequence : special, "type_id", place, err));
    if (sequence) {
        if (strcmp(id.data, "A") != 0 && strcmp(id.data, "B") != 0)
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: a Sequence must be A or B, not %s", place.file, place.type, id.data);
        piece->sequence = id.data[0] == 'B';
        return TERN_OK;
    }
    const json_t *tokens = json_object_get(special_tokens, id.data);
    if (!json_is_object(tokens))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: %s is not among the special_tokens", place.file, place.type, id.data);
    return read_special_tokens(out, piece, tokens, place, err);
}

static tern_status read_template(tern_post_processor *out, tern_template *template, const json_t *json, const char *key,
                                 tern_json_place place, tern_error *err) {
    json_t *pieces, *special_tokens;
    TERN_TRY(tern__json_array(&pieces, json, key, place, err));
    TERN_TRY(tern__json_object(&special_tokens, json, "special_tokens", place, err));
    TERN_TRY(new_template(out, template, json_array_size(pieces), err));
    for (size_t i = 0; i < template->n_pieces; i++) {
        tern_template_piece *piece = &template->pieces[i];
        TERN_TRY(read_template_piece(out, piece, json_array_get(pieces, i), special_tokens, place, err));
        if (template == &out->single && piece->sequence == 1)
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"single\" has a Sequence B", place.file, place.type);
        template->n_added += piece->n_special_tokens;
    }
    return TERN_OK;
}

tern_status tern__post_processor_read(tern_post_processor *out, const json_t *json, const char *file, tern_error *err) {
    if (!json || json_is_null(json)) return set_none(out, err);
    tern_json_place place = {.file = file, .part = PART, .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "BertProcessing") == 0) return read_bert(out, json, place, err);
    if (strcmp(place.type, "TemplateProcessing") != 0) return tern__json_fail_type(place, err);
    TERN_TRY(read_template(out, &out->single, json, "single", place, err));
    return read_template(out, &out->pair, json, "pair", place, err);
}
