/* pre_tokenizer.h - normalized text into words, which the model then takes one by one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PRE_TOKENIZER_H
#define TERN_TEXT_PRE_TOKENIZER_H

#include <jansson.h>

#include "text/normalizer.h"

/* Bytes [start, end) of a normalized piece; never empty. */
typedef struct tern_span {
    uint32_t start, end;
} tern_span;

/* Zeroed: empty. */
typedef struct tern_spans {
    tern_span *items;
    size_t n, capacity;
} tern_spans;

typedef enum tern_pre_tokenizer_kind { TERN_PRE_TOKENIZER_NONE, TERN_PRE_TOKENIZER_BERT } tern_pre_tokenizer_kind;

/* Zeroed: none, the piece is one word. */
typedef struct tern_pre_tokenizer {
    tern_pre_tokenizer_kind kind;
    unsigned char ascii[256]; /* tern_byte_class */
} tern_pre_tokenizer;

/* `json` may be null or absent: none. */
tern_status tern__pre_tokenizer_read(tern_pre_tokenizer *out, const json_t *json, const char *file, tern_error *err);
void tern__pre_tokenizer_set_bert(tern_pre_tokenizer *out);

/* Split bytes [start, end) of `text`; replaces what is in `out`. */
tern_status tern__pre_tokenize(tern_spans *out, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text, size_t start,
                               size_t end, tern_error *err);

#endif
