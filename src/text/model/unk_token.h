/* unk_token.h - the token of what the vocabulary lacks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_UNK_TOKEN_H
#define TERN_TEXT_UNK_TOKEN_H

#include "base/error.h"
#include "text/model/vocabulary.h"

/* Zeroed: nothing to free. */
typedef struct tern_unk_token {
    char *text;
    int32_t id; /* -1: the vocabulary lacks it, so that a word that needs it is an error */
} tern_unk_token;

tern_status tern__unk_token_set(tern_unk_token *out, tern_text text, const tern_vocabulary *vocabulary, tern_error *err);
void tern__unk_token_free(tern_unk_token *unk);
tern_status tern__unk_token_fail(const tern_unk_token *unk, tern_error *err);

#endif
