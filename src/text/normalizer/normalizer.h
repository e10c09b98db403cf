/* normalizer.h - text to the form that the vocabulary was made from, with the place each byte came from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_NORMALIZER_H
#define TERN_TEXT_NORMALIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "text/normalized.h"

typedef enum tern_normalizer_kind { TERN_NORMALIZER_NONE, TERN_NORMALIZER_BERT } tern_normalizer_kind;

typedef struct tern_bert_normalizer {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    unsigned char ascii[128]; /* what each ASCII character becomes; TERN_ASCII_DROPPED: nothing */
} tern_bert_normalizer;

#define TERN_ASCII_DROPPED 0xFF

/* Zeroed: none. */
typedef struct tern_normalizer {
    tern_normalizer_kind kind;
    tern_bert_normalizer bert;
} tern_normalizer;

/* `json` may be null or absent: none. `out` is left to be freed whether it succeeds or not. */
tern_status tern__normalizer_read(tern_normalizer *out, const json_t *json, const char *file, tern_error *err);
/* strip_accents NULL: as lowercase. */
void tern__normalizer_set_bert(tern_normalizer *out, bool clean_text, bool handle_chinese_chars, const bool *strip_accents, bool lowercase);

void tern__normalizer_free(tern_normalizer *normalizer);

/* Normalize `text`, which is well-formed UTF-8 of at most INT32_MAX bytes and starts at code point `first` of the whole text. */
tern_status tern__normalizer_run(tern_normalized *out, const tern_normalizer *normalizer, const unsigned char *text, size_t n_bytes,
                                 uint32_t first, tern_error *err);

/* bert_normalizer.c */
tern_status tern__bert_normalize(tern_normalized *out, const tern_bert_normalizer *normalizer, const unsigned char *text, size_t n_bytes,
                                 tern_error *err);

#endif
