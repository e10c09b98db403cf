/* unigram.h - the pieces of a word whose scores have the largest sum.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_UNIGRAM_H
#define TERN_TEXT_UNIGRAM_H

#include <jansson.h>

#include "text/model/model_scratch.h"
#include "text/model/model_tables.h"
#include "text/model/piece_trie.h"
#include "text/normalized.h"
#include "text/token_list.h"

typedef struct tern_unigram {
    const tern_vocabulary *vocabulary; /* the model's; a piece's id is its index */
    tern_piece_trie trie;
    uint64_t *whole;  /* [n_entries / 64 + 1]: bits of pieces that are the best way through their text; all 0 where
                       * scores are above 0, and where there is no unknown piece, so that a way that is not the best can be an error */
    double unk_score; /* of a character that is no piece */
    int32_t unk_id;   /* -1: none, so that such a character is an error */
    bool byte_fallback;
    int32_t fallback_ids[256]; /* of "<0x00>" ..; -1: none */
} tern_unigram;

void tern__unigram_free(tern_unigram *unigram);
/* From the model's JSON and tables, of which the vocabulary has been moved to `vocabulary`; the scores go into the trie. */
tern_status tern__unigram_read(tern_unigram *out, const tern_vocabulary *vocabulary, const json_t *json, const tern_model_tables *tables,
                               const char *file, tern_error *err);
tern_status tern__unigram_tokenize(const tern_unigram *unigram, tern_model_scratch *scratch, tern_token_list *out,
                                   const unsigned char *bytes, const tern_spans *spans, bool with_texts, tern_error *err);

#endif
