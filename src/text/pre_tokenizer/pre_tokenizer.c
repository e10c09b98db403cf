/* pre_tokenizer.c - BertPreTokenizer: split at white space, which goes, and round each punctuation character, which stays.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/pre_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"
#include "text/unicode/unicode.h"

typedef enum tern_byte_class { BYTE_IN_WORD, BYTE_SPACE, BYTE_PUNCTUATION, BYTE_NOT_ASCII } tern_byte_class;

static tern_byte_class class_of(uint32_t code_point) {
    unsigned flags = tern__unicode_find(code_point).flags;
    return flags & TERN_UNICODE_SPACE ? BYTE_SPACE : flags & TERN_UNICODE_PUNCTUATION ? BYTE_PUNCTUATION : BYTE_IN_WORD;
}

void tern__words_free(tern_words *words) {
    free(words->spans.items);
    free(words->spare_spans.items);
    for (size_t i = 0; i < 2; i++) tern__normalized_free(&words->changed[i]);
    *words = (tern_words){0};
}

void tern__pre_tokenizer_free(tern_pre_tokenizer *pre_tokenizer) { *pre_tokenizer = (tern_pre_tokenizer){0}; }

static void set_bert(tern_pre_tokenizer *out) {
    out->kind = TERN_PRE_TOKENIZER_BERT;
    for (unsigned c = 0; c < 256; c++) out->ascii[c] = (unsigned char)(c < 128 ? class_of(c) : BYTE_NOT_ASCII);
}

tern_status tern__pre_tokenizer_read(tern_pre_tokenizer *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_pre_tokenizer){.kind = TERN_PRE_TOKENIZER_NONE};
    if (!json || json_is_null(json)) return TERN_OK;
    tern_json_place place = {.file = file, .part = "pre_tokenizer", .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "BertPreTokenizer") != 0) return tern__json_fail_type(place, err);
    set_bert(out);
    return TERN_OK;
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
            if (!tern__spans_add(out, word, i)) return false;
            if (kind == BYTE_PUNCTUATION && !tern__spans_add(out, i, i + length)) return false;
            word = i + length;
        }
        i += length;
    }
    return tern__spans_add(out, word, end);
}

tern_status tern__pre_tokenize(tern_words *out, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text, size_t start,
                               size_t end, tern_error *err) {
    bool is_done = false;
    out->text = text;
    out->spans.n = 0;
    switch (pre_tokenizer->kind) {
    case TERN_PRE_TOKENIZER_NONE:
        is_done = tern__spans_add(&out->spans, start, end);
        break;
    case TERN_PRE_TOKENIZER_BERT:
        is_done = split_bert(&out->spans, pre_tokenizer->ascii, text->bytes, start, end);
        break;
    }
    return is_done ? TERN_OK : TERN_FAIL_MEMORY(err, out->spans.capacity * 2 * sizeof *out->spans.items);
}
