/* pre_tokenizer.c - BertPreTokenizer: split at white space, which goes, and round each punctuation character, which stays.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer.h"

#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"
#include "text/unicode.h"

typedef enum tern_byte_class { BYTE_IN_WORD, BYTE_SPACE, BYTE_PUNCTUATION, BYTE_NOT_ASCII } tern_byte_class;

static tern_byte_class class_of(uint32_t code_point) {
    unsigned flags = tern__unicode_find(code_point).flags;
    return flags & TERN_UNICODE_SPACE ? BYTE_SPACE : flags & TERN_UNICODE_PUNCTUATION ? BYTE_PUNCTUATION : BYTE_IN_WORD;
}

void tern__pre_tokenizer_set_bert(tern_pre_tokenizer *out) {
    out->kind = TERN_PRE_TOKENIZER_BERT;
    for (unsigned c = 0; c < 256; c++) out->ascii[c] = (unsigned char)(c < 128 ? class_of(c) : BYTE_NOT_ASCII);
}

tern_status tern__pre_tokenizer_read(tern_pre_tokenizer *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_pre_tokenizer){.kind = TERN_PRE_TOKENIZER_NONE};
    if (!json || json_is_null(json)) return TERN_OK;
    tern_json_place place = {.file = file, .part = "pre_tokenizer", .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "BertPreTokenizer") != 0) return tern__json_fail_type(place, err);
    tern__pre_tokenizer_set_bert(out);
    return TERN_OK;
}

static bool add_span(tern_spans *spans, size_t start, size_t end) {
    if (start == end) return true;
    if (spans->n == spans->capacity && !tern__grow(&spans->items, &spans->capacity, spans->n + 1, sizeof *spans->items)) return false;
    spans->items[spans->n++] = (tern_span){.start = (uint32_t)start, .end = (uint32_t)end};
    return true;
}

static bool split_bert(tern_spans *out, const unsigned char *ascii, const unsigned char *bytes, size_t start, size_t end) {
    /* About what prose needs, so that a short text is one allocation. */
    if (!tern__grow(&out->items, &out->capacity, (end - start) / 4 + 1, sizeof *out->items)) return false;
    size_t word = start;
    for (size_t i = start; i < end;) {
        tern_byte_class kind = ascii[bytes[i]];
        size_t length = 1;
        if (kind == BYTE_NOT_ASCII) kind = class_of(tern__utf8_decode(bytes + i, &length));
        if (kind != BYTE_IN_WORD) {
            if (!add_span(out, word, i)) return false;
            if (kind == BYTE_PUNCTUATION && !add_span(out, i, i + length)) return false;
            word = i + length;
        }
        i += length;
    }
    return add_span(out, word, end);
}

tern_status tern__pre_tokenize(tern_spans *out, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text, size_t start,
                               size_t end, tern_error *err) {
    bool is_done = false;
    out->n = 0;
    switch (pre_tokenizer->kind) {
    case TERN_PRE_TOKENIZER_NONE:
        is_done = add_span(out, start, end);
        break;
    case TERN_PRE_TOKENIZER_BERT:
        is_done = split_bert(out, pre_tokenizer->ascii, text->bytes, start, end);
        break;
    }
    return is_done ? TERN_OK : TERN_FAIL_MEMORY(err, out->capacity * 2 * sizeof *out->items);
}
