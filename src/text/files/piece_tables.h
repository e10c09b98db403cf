/* piece_tables.h - the pieces of a SentencePiece model as the tables of a Unigram or BPE model.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PIECE_TABLES_H
#define TERN_TEXT_PIECE_TABLES_H

#include "text/files/sentencepiece.h"
#include "text/files/tokenizer_files.h"

/* Unigram: one more piece, and all of the model's from number `first` on; an id is the number of those before. */
tern_status tern__pieces_add_text(tern_model_tables *tables, tern_text text, double score, tern_error *err);
tern_status tern__pieces_add(tern_model_tables *tables, const tern_sentencepiece *model, size_t first, tern_error *err);
/* The first piece of that text, with `is_zero` and a score of 0; `otherwise` when there is none. */
int32_t tern__pieces_first(const tern_model_tables *tables, tern_text text, bool is_zero, int32_t otherwise);

/* BPE: the vocabulary, ids as they are, and as merges every two pieces that make a third, by the third's id. */
tern_status tern__pieces_to_bpe(tern_model_tables *tables, const tern_sentencepiece *model, tern_error *err);
/* The ids become those of `texts` and then of all other pieces, in order. */
tern_status tern__pieces_renumber(tern_vocabulary *vocabulary, const tern_sentencepiece *model, const tern_text *texts, size_t n_texts,
                                  tern_error *err);
/* The piece whose id a wish has gets its name, unless there is a piece of that name. errors: TERN_E_MEMORY. */
tern_status tern__pieces_rename(tern_vocabulary *vocabulary, const tern_token_wish *wishes, size_t n, tern_error *err);

#endif
