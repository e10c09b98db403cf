/* normalizer.c - reading the normalizer of tokenizer.json and running it.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/normalizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"
#include "text/unicode/unicode.h"

void tern__normalizer_free(tern_normalizer *normalizer) { *normalizer = (tern_normalizer){0}; }

static tern_status read_bert_normalizer(tern_normalizer *out, const json_t *json, tern_json_place place, tern_error *err) {
    bool clean_text, handle_chinese_chars, lowercase, strip_accents = false;
    TERN_TRY(tern__json_bool(&clean_text, json, "clean_text", place, err));
    TERN_TRY(tern__json_bool(&handle_chinese_chars, json, "handle_chinese_chars", place, err));
    TERN_TRY(tern__json_bool(&lowercase, json, "lowercase", place, err));
    const json_t *accents = json_object_get(json, "strip_accents");
    bool follows_lowercase = !accents || json_is_null(accents);
    if (!follows_lowercase) TERN_TRY(tern__json_bool(&strip_accents, json, "strip_accents", place, err));
    tern__normalizer_set_bert(out, clean_text, handle_chinese_chars, follows_lowercase ? NULL : &strip_accents, lowercase);
    return TERN_OK;
}

tern_status tern__normalizer_read(tern_normalizer *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_normalizer){.kind = TERN_NORMALIZER_NONE};
    if (!json || json_is_null(json)) return TERN_OK;
    tern_json_place place = {.file = file, .part = "normalizer", .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "BertNormalizer") == 0) return read_bert_normalizer(out, json, place, err);
    return tern__json_fail_type(place, err);
}

void tern__normalizer_set_bert(tern_normalizer *out, bool clean_text, bool handle_chinese_chars, const bool *strip_accents,
                               bool lowercase) {
    out->kind = TERN_NORMALIZER_BERT;
    tern_bert_normalizer *bert = &out->bert;
    bert->clean_text = clean_text;
    bert->handle_chinese_chars = handle_chinese_chars;
    bert->strip_accents = strip_accents ? *strip_accents : lowercase;
    bert->lowercase = lowercase;
    for (unsigned c = 0; c < 128; c++) {
        unsigned flags = tern__unicode_find(c).flags;
        unsigned char to = (unsigned char)c;
        if (clean_text && (flags & TERN_UNICODE_DROPPED)) to = TERN_ASCII_DROPPED;
        else if (clean_text && (flags & TERN_UNICODE_SPACE)) to = ' ';
        else if (lowercase && c >= 'A' && c <= 'Z') to = (unsigned char)(c + ('a' - 'A'));
        bert->ascii[c] = to;
    }
}

/* No normalizer: the text itself, and origins where bytes and code points differ. */
static tern_status keep_text(tern_normalized *out, const unsigned char *text, size_t n_bytes, tern_error *err) {
    if (tern__ascii_prefix(text, n_bytes) < n_bytes) {
        if (!tern__normalized_reserve(out, n_bytes, true)) return TERN_FAIL_MEMORY(err, n_bytes * sizeof *out->origins);
        uint32_t code_point = out->first;
        for (size_t i = 0; i < n_bytes; i++) {
            if (i > 0 && !tern__utf8_is_continuation(text[i])) code_point++;
            out->origin_buffer[i] = code_point;
        }
    }
    out->bytes = text;
    out->n_bytes = n_bytes;
    out->n_code_points = (uint32_t)tern__utf8_count(text, n_bytes);
    return TERN_OK;
}

tern_status tern__normalizer_run(tern_normalized *out, const tern_normalizer *normalizer, const unsigned char *text, size_t n_bytes,
                                 uint32_t first, tern_error *err) {
    out->first = first;
    out->n_bytes = 0;
    out->origins = NULL;
    switch (normalizer->kind) {
    case TERN_NORMALIZER_BERT:
        return tern__bert_normalize(out, &normalizer->bert, text, n_bytes, err);
    case TERN_NORMALIZER_NONE:
        break;
    }
    return keep_text(out, text, n_bytes, err);
}
