/* decoder.c - reading the decoder of tokenizer.json, and running its steps.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/decoders
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/decoder/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "text/json_fields.h"
#include "text/unicode/unicode.h"

#define PART "decoder"

void tern__decoder_free(tern_decoder *decoder) {
    for (size_t i = 0; i < decoder->n_steps; i++) tern__pattern_free(decoder->steps[i].pattern);
    free(decoder->steps);
    tern__arena_free(&decoder->arena);
    *decoder = (tern_decoder){0};
}

/* ---- Reading ---- */

static tern_status copy_text(tern_decoder *out, tern_text *copy, tern_text text, tern_error *err) {
    copy->data = tern__arena_copy(&out->arena, text.data, text.bytes);
    copy->bytes = text.bytes;
    return copy->data ? TERN_OK : TERN_FAIL_MEMORY(err, text.bytes + 1);
}

static tern_status read_text(tern_decoder *out, tern_text *text, const json_t *json, const char *key, tern_json_place place,
                             tern_error *err) {
    tern_text found;
    TERN_TRY(tern__json_text(&found, json, key, place, err));
    return copy_text(out, text, found, err);
}

static tern_status read_character(tern_decoder *out, tern_text *character, const json_t *json, const char *key, tern_json_place place,
                                  tern_error *err) {
    TERN_TRY(read_text(out, character, json, key, place, err));
    if (tern__utf8_count((const unsigned char *)character->data, character->bytes) == 1) return TERN_OK;
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " %s: \"%s\" must be one character", place.file, place.type, key);
}

static tern_status read_count(size_t *count, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    int32_t number;
    TERN_TRY(tern__json_id(&number, json, key, place, err));
    *count = (size_t)number;
    return TERN_OK;
}

/* Files before prepend_scheme say add_prefix_space. */
static tern_status read_metaspace(tern_decoder *out, tern_decoder_step *step, const json_t *json, tern_json_place place, tern_error *err) {
    TERN_TRY(read_character(out, &step->from, json, "replacement", place, err));
    tern_text scheme = {.data = "always"};
    if (json_object_get(json, "prepend_scheme")) TERN_TRY(tern__json_text(&scheme, json, "prepend_scheme", place, err));
    if (strcmp(scheme.data, "always") != 0 && strcmp(scheme.data, "first") != 0 && strcmp(scheme.data, "never") != 0)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " Metaspace: \"prepend_scheme\" must be always, first or never, not %s",
                         place.file, scheme.data);
    step->drops_first = strcmp(scheme.data, "never") != 0;
    if (step->drops_first && json_is_false(json_object_get(json, "add_prefix_space")))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: " PART " Metaspace: \"add_prefix_space\" does not fit \"prepend_scheme\"", place.file);
    return TERN_OK;
}

static tern_status read_replace(tern_decoder *out, tern_decoder_step *step, const json_t *json, tern_json_place place, tern_error *err) {
    json_t *pattern;
    TERN_TRY(read_text(out, &step->to, json, "content", place, err));
    TERN_TRY(tern__json_object(&pattern, json, "pattern", place, err));
    if (json_object_get(pattern, "String")) return read_text(out, &step->from, pattern, "String", place, err);
    return tern__pattern_read(&step->pattern, pattern, place, err);
}

static tern_status read_fields(tern_decoder *out, tern_decoder_step *step, const json_t *json, tern_json_place place, tern_error *err) {
    switch (step->kind) {
    case TERN_DECODER_WORDPIECE:
        TERN_TRY(read_text(out, &step->from, json, "prefix", place, err));
        return tern__json_bool(&step->cleanup, json, "cleanup", place, err);
    case TERN_DECODER_METASPACE:
        return read_metaspace(out, step, json, place, err);
    case TERN_DECODER_BPE:
        return read_text(out, &step->from, json, "suffix", place, err);
    case TERN_DECODER_CTC:
        TERN_TRY(read_text(out, &step->from, json, "pad_token", place, err));
        TERN_TRY(read_text(out, &step->to, json, "word_delimiter_token", place, err));
        return tern__json_bool(&step->cleanup, json, "cleanup", place, err);
    case TERN_DECODER_STRIP:
        TERN_TRY(read_character(out, &step->from, json, "content", place, err));
        TERN_TRY(read_count(&step->start, json, "start", place, err));
        return read_count(&step->stop, json, "stop", place, err);
    case TERN_DECODER_REPLACE:
        return read_replace(out, step, json, place, err);
    case TERN_DECODER_BYTE_LEVEL:
    case TERN_DECODER_BYTE_FALLBACK:
    case TERN_DECODER_FUSE:
        break;
    }
    return TERN_OK;
}

static tern_status add_step(tern_decoder *out, tern_decoder_kind kind, tern_error *err) {
    if (!tern__grow(&out->steps, &out->steps_capacity, out->n_steps + 1, sizeof *out->steps))
        return TERN_FAIL_MEMORY(err, sizeof *out->steps);
    out->steps[out->n_steps++] = (tern_decoder_step){.kind = kind};
    out->is_chain = true;
    return TERN_OK;
}

/* How deep Sequences may stand in each other. */
#define MAX_DEPTH 32

static const char *const names[] = {
    [TERN_DECODER_BYTE_LEVEL] = "ByteLevel",
    [TERN_DECODER_WORDPIECE] = "WordPiece",
    [TERN_DECODER_METASPACE] = "Metaspace",
    [TERN_DECODER_BPE] = "BPEDecoder",
    [TERN_DECODER_CTC] = "CTC",
    [TERN_DECODER_FUSE] = "Fuse",
    [TERN_DECODER_STRIP] = "Strip",
    [TERN_DECODER_BYTE_FALLBACK] = "ByteFallback",
    [TERN_DECODER_REPLACE] = "Replace",
};

/* The index of a type in `names`, or -1. Where a file has no type that is known, the library goes by the fields, in this order. */
static int find_kind(const json_t *json) {
    static const struct {
        tern_decoder_kind kind;
        const char *keys[3];
    } fields[] = {{TERN_DECODER_BPE, {"suffix"}},
                  {TERN_DECODER_WORDPIECE, {"prefix", "cleanup"}},
                  {TERN_DECODER_CTC, {"pad_token", "word_delimiter_token", "cleanup"}},
                  {TERN_DECODER_REPLACE, {"pattern", "content"}},
                  {TERN_DECODER_STRIP, {"content", "start", "stop"}}};
    const char *type = json_string_value(json_object_get(json, "type"));
    for (size_t i = 0; type && i < sizeof names / sizeof *names; i++)
        if (strcmp(type, names[i]) == 0) return (int)i;
    if (type && strcmp(type, "Sequence") == 0) return -1;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t k = 0;
        while (k < 3 && fields[i].keys[k] && json_object_get(json, fields[i].keys[k])) k++;
        if (k == 3 || !fields[i].keys[k]) return (int)fields[i].kind;
    }
    return -1;
}

static tern_status read_decoder(tern_decoder *out, const json_t *json, const char *file, int depth, tern_error *err) {
    tern_json_place place = {.file = file, .part = PART, .type = ""};
    int kind = find_kind(json);
    if (kind >= 0) {
        place.type = names[kind];
        TERN_TRY(add_step(out, (tern_decoder_kind)kind, err));
        return read_fields(out, &out->steps[out->n_steps - 1], json, place, err);
    }
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "Sequence") != 0) return tern__json_fail_type(place, err);
    json_t *decoders;
    TERN_TRY(tern__json_array(&decoders, json, "decoders", place, err));
    if (depth == MAX_DEPTH)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: " PART ": more than %d Sequences in each other", file, MAX_DEPTH);
    for (size_t i = 0; i < json_array_size(decoders); i++) TERN_TRY(read_decoder(out, json_array_get(decoders, i), file, depth + 1, err));
    out->is_chain = true;
    return TERN_OK;
}

tern_status tern__decoder_read(tern_decoder *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_decoder){0};
    return !json || json_is_null(json) ? TERN_OK : read_decoder(out, json, file, 0, err);
}

tern_status tern__decoder_set_wordpiece(tern_decoder *out, tern_text prefix, bool cleanup, tern_error *err) {
    TERN_TRY(add_step(out, TERN_DECODER_WORDPIECE, err));
    out->steps[0].cleanup = cleanup;
    return copy_text(out, &out->steps[0].from, prefix, err);
}

/* ---- Running ---- */

static tern_status check_memory(const tern_strings *strings, tern_error *err) {
    return strings->text.has_failed ? TERN_FAIL_MEMORY(err, 2 * (strings->text.capacity + strings->capacity * sizeof *strings->ends))
                                    : TERN_OK;
}

/* The strings go from buffer to buffer; *last says which of the two they are in at the end. */
static tern_status run_steps(tern_strings buffers[2], size_t *last, const tern_decoder *decoder, tern_error *err) {
    *last = 0;
    for (size_t i = 0; i < decoder->n_steps; i++, *last = !*last) {
        TERN_TRY(check_memory(&buffers[*last], err));
        tern__strings_clear(&buffers[!*last]);
        TERN_TRY(tern__decoder_step_run(&buffers[!*last], &buffers[*last], &decoder->steps[i], err));
    }
    return check_memory(&buffers[*last], err);
}

tern_status tern__decoder_join(char **out, size_t *n_bytes, const tern_decoder *decoder, const tern_text *tokens, size_t n_tokens,
                               tern_error *err) {
    tern_strings buffers[2] = {{{0}, NULL, 0, 0}, {{0}, NULL, 0, 0}};
    size_t last;
    for (size_t i = 0; i < n_tokens; i++) {
        if (!decoder->is_chain && i > 0) tern__text_append(&buffers[0].text, " ", 1);
        tern__strings_add(&buffers[0], tokens[i]);
    }
    tern_status status = run_steps(buffers, &last, decoder, err);
    *n_bytes = buffers[last].text.n_bytes;
    if (status == TERN_OK && !(*out = tern__text_take(&buffers[last].text))) status = TERN_FAIL_MEMORY(err, *n_bytes + 1);
    for (size_t i = 0; i < 2; i++) tern__strings_free(&buffers[i]);
    return status;
}
