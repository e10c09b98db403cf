/* pre_tokenizer.h - normalized text into words, which the model then takes one by one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PRE_TOKENIZER_H
#define TERN_TEXT_PRE_TOKENIZER_H

#include <jansson.h>

#include "base/error.h"
#include "text/normalized.h"

/* The words of a stretch of text, and what works on them. Zeroed: empty; reused from stretch to stretch. */
typedef struct tern_words {
    const tern_normalized
        *text; /* what the spans are of: the text that was given, or where a pre-tokenizer changes bytes, one of `changed` */
    tern_spans spans;
    tern_spans spare_spans;
    tern_normalized changed[2];
} tern_words;

void tern__words_free(tern_words *words);

struct tern_pre_tokenizer_stage; /* stages.h */

/* The stages through which a text goes, a Sequence's members one after the other. Zeroed: none, the stretch is one word. Read-only once it
 * is made. */
typedef struct tern_pre_tokenizer {
    struct tern_pre_tokenizer_stage *stages;
    size_t n_stages, capacity;
} tern_pre_tokenizer;

/* `json` may be null or absent: none. `out` is left to be freed whether it succeeds or not. */
tern_status tern__pre_tokenizer_read(tern_pre_tokenizer *out, const json_t *json, const char *file, tern_error *err);
void tern__pre_tokenizer_free(tern_pre_tokenizer *pre_tokenizer);

/* Whether the last stage is ByteLevel, which shows the bytes of words as GPT-2's characters. */
bool tern__pre_tokenizer_is_byte_level(const tern_pre_tokenizer *pre_tokenizer);
/* For a model that takes raw bytes: the last stage, ByteLevel, leaves them as they are; words and their places stay the same. */
void tern__pre_tokenizer_skip_byte_mapping(tern_pre_tokenizer *pre_tokenizer);

/* Split bytes [start, end) of `text`; replaces what is in `out`. */
tern_status tern__pre_tokenize(tern_words *out, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text, size_t start,
                               size_t end, tern_error *err);

#endif
