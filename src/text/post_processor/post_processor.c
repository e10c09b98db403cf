/* post_processor.c - reading TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel and sequences of them.
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

static tern_status copy_special_token(tern_post_processor *out, tern_special_token *copy, tern_special_token token, tern_error *err) {
    *copy = token;
    copy->text.data = tern__arena_copy(&out->arena, token.text.data, token.text.bytes);
    return copy->text.data ? TERN_OK : TERN_FAIL_MEMORY(err, token.text.bytes);
}

static tern_status make_wrap(tern_template_maker *maker, tern_special_token cls, tern_special_token sep, bool is_roberta, tern_error *err) {
    tern_post_processor *out = maker->out;
    tern_special_token *tokens = tern__arena_alloc(&out->arena, 2 * sizeof *tokens);
    if (!tokens) return TERN_FAIL_MEMORY(err, 2 * sizeof *tokens);
    TERN_TRY(copy_special_token(out, &tokens[0], cls, err));
    TERN_TRY(copy_special_token(out, &tokens[1], sep, err));
    out->n_added[0] += 2;
    out->n_added[1] += is_roberta ? 4 : 3;
    return tern__template_wrap(maker, &tokens[0], &tokens[1], is_roberta, err);
}

/* ["[SEP]", 102] */
static tern_status read_token_and_id(tern_special_token *out, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    json_t *pair;
    TERN_TRY(tern__json_array(&pair, json, key, place, err));
    const json_t *text = json_array_get(pair, 0);
    if (json_array_size(pair) != 2 || !json_is_string(text))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"%s\" must be a token and its id", place.file, place.type, key);
    out->text = (tern_text){.data = json_string_value(text), .bytes = json_string_length(text)};
    return tern__json_id_value(&out->id, json_array_get(pair, 1), key, place, err);
}

/* trim_offsets and add_prefix_space */
static tern_status read_trim(tern_template_maker *maker, const json_t *json, tern_json_place place, tern_error *err) {
    bool trim_offsets, add_prefix_space;
    TERN_TRY(tern__json_bool(&trim_offsets, json, "trim_offsets", place, err));
    TERN_TRY(tern__json_bool(&add_prefix_space, json, "add_prefix_space", place, err));
    return trim_offsets ? tern__template_trim(maker, add_prefix_space, err) : TERN_OK;
}

static tern_status read_wrap(tern_template_maker *maker, const json_t *json, bool is_roberta, tern_json_place place, tern_error *err) {
    tern_special_token cls, sep;
    TERN_TRY(read_token_and_id(&cls, json, "cls", place, err));
    TERN_TRY(read_token_and_id(&sep, json, "sep", place, err));
    if (is_roberta) TERN_TRY(read_trim(maker, json, place, err));
    return make_wrap(maker, cls, sep, is_roberta, err);
}

static tern_status read_byte_level(tern_template_maker *maker, const json_t *json, tern_json_place place, tern_error *err) {
    TERN_TRY(read_trim(maker, json, place, err));
    return tern__template_number(maker, err);
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
    piece->special_tokens_mask = 1;
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
    TERN_TRY(tern__json_id(&piece->type_ids[0], sequence ? sequence : special, "type_id", place, err));
    piece->type_ids[1] = piece->type_ids[0];
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

/* Places of one piece each. */
static tern_status read_rules(tern_template_maker *maker, tern_places *rules, const json_t *json, bool is_pair, tern_json_place place,
                              tern_error *err) {
    const char *key = is_pair ? "pair" : "single";
    json_t *pieces, *special_tokens;
    TERN_TRY(tern__json_array(&pieces, json, key, place, err));
    TERN_TRY(tern__json_object(&special_tokens, json, "special_tokens", place, err));
    size_t bytes;
    rules->n = json_array_size(pieces);
    if (!tern__size_multiply(rules->n, sizeof *rules->items, &bytes)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    rules->items = tern__arena_alloc(&maker->arena, bytes);
    if (!rules->items) return TERN_FAIL_MEMORY(err, bytes);
    for (size_t i = 0; i < rules->n; i++) {
        tern_template_piece *piece = tern__arena_alloc(&maker->arena, sizeof *piece);
        if (!piece) return TERN_FAIL_MEMORY(err, sizeof *piece);
        TERN_TRY(read_template_piece(maker->out, piece, json_array_get(pieces, i), special_tokens, place, err));
        if (!is_pair && piece->sequence == 1)
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"single\" has a Sequence B", place.file, place.type);
        rules->items[i] = (tern_place){.pieces = piece, .n_pieces = 1};
        maker->out->n_added[is_pair] += piece->n_special_tokens;
    }
    return TERN_OK;
}

static tern_status read_template(tern_template_maker *maker, const json_t *json, tern_json_place place, tern_error *err) {
    tern_places rules[2];
    TERN_TRY(read_rules(maker, &rules[0], json, false, place, err));
    TERN_TRY(read_rules(maker, &rules[1], json, true, place, err));
    return tern__template_apply(maker, rules, err);
}

/* How deep processors may stand in each other. */
#define MAX_DEPTH 32

static bool has_key(const json_t *json, const char *key) { return json_object_get(json, key) != NULL; }

/* The library goes by the fields, and asks for the type only where there are none of a processor's own. */
static tern_status read_processor(tern_template_maker *maker, const json_t *json, const char *file, int depth, tern_error *err) {
    tern_json_place place = {.file = file, .part = PART, .type = ""};
    bool has_tokens = has_key(json, "sep") && has_key(json, "cls");
    if (has_tokens && has_key(json, "trim_offsets") && has_key(json, "add_prefix_space")) {
        place.type = "RobertaProcessing";
        return read_wrap(maker, json, true, place, err);
    }
    if (has_tokens) {
        place.type = "BertProcessing";
        return read_wrap(maker, json, false, place, err);
    }
    if (has_key(json, "single") && has_key(json, "pair") && has_key(json, "special_tokens")) {
        place.type = "TemplateProcessing";
        return read_template(maker, json, place, err);
    }
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "ByteLevel") == 0) return read_byte_level(maker, json, place, err);
    if (strcmp(place.type, "TemplateProcessing") == 0) return read_template(maker, json, place, err); /* tells what is missing */
    if (strcmp(place.type, "BertProcessing") == 0) return read_wrap(maker, json, false, place, err);
    if (strcmp(place.type, "RobertaProcessing") == 0) return read_wrap(maker, json, true, place, err);
    if (strcmp(place.type, "Sequence") != 0) return tern__json_fail_type(place, err);
    json_t *processors;
    TERN_TRY(tern__json_array(&processors, json, "processors", place, err));
    if (depth == MAX_DEPTH)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: " PART ": more than %d Sequences in each other", file, MAX_DEPTH);
    for (size_t i = 0; i < json_array_size(processors); i++)
        TERN_TRY(read_processor(maker, json_array_get(processors, i), file, depth + 1, err));
    return TERN_OK;
}

tern_status tern__post_processor_read(tern_post_processor *out, const json_t *json, const char *file, tern_error *err) {
    tern_template_maker maker = {.out = out};
    bool has_processor = json && !json_is_null(json);
    tern_status status = tern__template_start(&maker, has_processor, err);
    if (status == TERN_OK && has_processor) status = read_processor(&maker, json, file, 0, err);
    if (status == TERN_OK) status = tern__template_finish(&maker, err);
    tern__arena_free(&maker.arena);
    return status;
}

tern_status tern__post_processor_set_bert(tern_post_processor *out, tern_special_token cls, tern_special_token sep, tern_error *err) {
    tern_template_maker maker = {.out = out};
    tern_status status = tern__template_start(&maker, true, err);
    if (status == TERN_OK) status = make_wrap(&maker, cls, sep, false, err);
    if (status == TERN_OK) status = tern__template_finish(&maker, err);
    tern__arena_free(&maker.arena);
    return status;
}
