/* token_model.h - the model of a tokenizer: words into the ids of a vocabulary.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TOKEN_MODEL_H
#define TERN_TEXT_TOKEN_MODEL_H

#include <jansson.h>

#include "text/pre_tokenizer/pre_tokenizer.h"
#include "text/token_list.h"
#include "text/model/vocabulary.h"

typedef enum tern_token_model_kind { TERN_TOKEN_MODEL_WORDPIECE } tern_token_model_kind;

typedef struct tern_wordpiece {
    char *unk_token;
    size_t unk_token_bytes;
    int32_t unk_id; /* -1: the vocabulary lacks it, so that a word that needs it is an error */
    char *prefix;   /* continuing_subword_prefix, "##" */
    size_t prefix_bytes;
    uint64_t prefix_hash;
    int32_t max_input_chars_per_word; /* a longer word is unknown */
} tern_wordpiece;

/* Zeroed: nothing to free. */
typedef struct tern_token_model {
    tern_token_model_kind kind;
    tern_vocabulary vocabulary;
    tern_wordpiece wordpiece;
} tern_token_model;

/* Whether this is a model that can be read: TERN_E_UNSUPPORTED by name when not. */
tern_status tern__token_model_check(const json_t *json, const char *file, tern_error *err);
/* The vocabulary is filled apart from the rest of the model's JSON, and before; `out` is left to be freed whether it succeeds or not. */
tern_status tern__token_model_read(tern_token_model *out, const json_t *json, const char *file, tern_error *err);
void tern__token_model_free(tern_token_model *model);

/* Add the tokens of the words `spans` of `bytes`; their offsets are bytes of it. */
tern_status tern__token_model_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                       const tern_spans *spans, tern_error *err);

/* wordpiece.c */
tern_status tern__wordpiece_set(tern_token_model *out, tern_text unk_token, tern_text prefix, int32_t max_input_chars_per_word,
                                tern_error *err);
tern_status tern__wordpiece_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                     const tern_spans *spans, tern_error *err);

#endif
