/* token_model.h - the model of a tokenizer: words into the ids of a vocabulary.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TOKEN_MODEL_H
#define TERN_TEXT_TOKEN_MODEL_H

#include <jansson.h>

#include "text/model/bpe.h"
#include "text/model/model_scratch.h"
#include "text/model/model_tables.h"
#include "text/model/unigram.h"
#include "text/model/unk_token.h"
#include "text/normalized.h"
#include "text/token_list.h"

typedef enum tern_token_model_kind {
    TERN_TOKEN_MODEL_WORDPIECE,
    TERN_TOKEN_MODEL_WORDLEVEL,
    TERN_TOKEN_MODEL_BPE,
    TERN_TOKEN_MODEL_UNIGRAM
} tern_token_model_kind;

typedef struct tern_wordpiece {
    char *prefix; /* continuing_subword_prefix, "##" */
    size_t prefix_bytes;
    uint64_t prefix_hash;
    int32_t max_input_chars_per_word; /* a longer word is unknown */
} tern_wordpiece;

/* Zeroed: nothing to free. It must stay where it is once it has been read. */
typedef struct tern_token_model {
    tern_token_model_kind kind;
    tern_vocabulary vocabulary;
    tern_unk_token unk; /* of WordPiece and WordLevel */
    tern_wordpiece wordpiece;
    tern_bpe bpe;
    tern_unigram unigram;
} tern_token_model;

/* `json` is the model's object, its vocab and merges left out or empty: they are in `tables`, which are taken over. Both are left to be
 * freed whether it succeeds or not. errors: TERN_E_FORMAT, TERN_E_UNSUPPORTED by name. */
tern_status tern__token_model_read(tern_token_model *out, const json_t *json, tern_model_tables *tables, const char *file, tern_error *err);
void tern__token_model_free(tern_token_model *model);

/* From now on words are raw bytes, which stand for the characters of GPT-2's table (byte_level.h). *can says whether the model can, which
 * is so for a BPE model whose vocabulary has all that is needed; when not, it stays as it is. */
tern_status tern__token_model_take_bytes(tern_token_model *model, bool *can, tern_error *err);

/* Add the tokens of the words `spans` of `bytes`; their offsets are bytes of it. `with_texts`: tokens that do not read as their
 * vocabulary's string get texts of their own. */
tern_status tern__token_model_tokenize(const tern_token_model *model, tern_model_scratch *scratch, tern_token_list *out,
                                       const unsigned char *bytes, const tern_spans *spans, bool with_texts, tern_error *err);

/* wordpiece.c */
tern_status tern__wordpiece_set(tern_token_model *out, tern_text unk_token, tern_text prefix, int32_t max_input_chars_per_word,
                                tern_error *err);
tern_status tern__wordpiece_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                     const tern_spans *spans, tern_error *err);
/* wordlevel.c */
tern_status tern__wordlevel_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                     const tern_spans *spans, tern_error *err);

#endif
