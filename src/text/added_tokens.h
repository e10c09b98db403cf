/* added_tokens.h - tokens that are found in the text before the model sees it, such as [MASK].
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_ADDED_TOKENS_H
#define TERN_TEXT_ADDED_TOKENS_H

#include "base/memory.h"
#include "text/normalizer/normalizer.h"
#include "text/model/vocabulary.h"

typedef struct tern_added_token {
    int32_t id;
    tern_text content;
    tern_text normalized_form; /* of the content, when it differs; data NULL: none */
    bool single_word;          /* only where no word character stands before or behind */
    bool lstrip, rstrip;       /* takes the white space before, behind */
    bool normalized;           /* its normalized form is sought in the normalized text */
    bool special;              /* left out by decode(skip_special_tokens) */
} tern_added_token;

/* Finds the leftmost, and there the longest, of some patterns. */
typedef struct tern_added_matcher {
    const tern_added_token **sorted; /* by pattern */
    size_t n;
    int only_first_byte; /* of all patterns; -1: they differ */
    bool is_first_byte[256];
} tern_added_matcher;

/* Zeroed: none. */
typedef struct tern_added_tokens {
    tern_vocabulary names;    /* of their contents */
    tern_added_token *tokens; /* tokens[i] is names.entries[i] */
    bool *was_special;        /* the content has been given as special, by this or an earlier token of the same content */
    size_t *turns;            /* when the token was given last, of all that were given */
    size_t *winners;          /* of the tokens with the id of names.entries[i], if names finds that one by it: which was given last */
    size_t n_turns;
    size_t capacity, was_special_capacity, turns_capacity;
    tern_added_matcher raw, normalized; /* in the text; in the normalized text */
    tern_arena arena;                   /* contents and normalized forms */
} tern_added_tokens;

void tern__added_tokens_free(tern_added_tokens *added);

/* Add one; its id is that of the vocabulary, else *next_id, which then counts up. What `token` points at is copied. `file` is for messages.
 */
tern_status tern__added_tokens_add(tern_added_tokens *added, const tern_added_token *token, const tern_vocabulary *vocabulary,
                                   const tern_normalizer *normalizer, int32_t *next_id, const char *file, tern_error *err);
/* To be called when all are in. */
tern_status tern__added_tokens_finish(tern_added_tokens *added, tern_error *err);

/* NULL when no added token has that id. */
const tern_added_token *tern__added_tokens_find_id(const tern_added_tokens *added, int32_t id);
bool tern__added_tokens_is_special(const tern_added_tokens *added, tern_text token);

/* A stretch of the text: an added token, or (token NULL) what stands between them. */
typedef struct tern_added_piece {
    const tern_added_token *token;
    size_t start, end;
} tern_added_piece;

/* Walks through a text:  tern_added_split split = {.matcher = .., .text = .., .n_bytes = ..}; while (tern__added_split_next(&split,
 * &piece)) */
typedef struct tern_added_split {
    const tern_added_matcher *matcher;
    const unsigned char *text;
    size_t n_bytes;
    size_t search_from, piece_start;
    tern_added_piece pending;
} tern_added_split;

bool tern__added_split_next(tern_added_split *split, tern_added_piece *piece);

#endif
