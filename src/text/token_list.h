/* token_list.h - the tokens of one sequence while they are made: ids and places, before special tokens are put round them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TOKEN_LIST_H
#define TERN_TEXT_TOKEN_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/normalized.h"

/* The text of a token that is not its vocabulary's string: an added token reads as it stood in the text, with the spaces it took. */
typedef struct tern_token_text {
    size_t token; /* index in the list */
    size_t start; /* in tern_token_list.texts */
    size_t n_bytes;
} tern_token_text;

/* Zeroed: empty. */
typedef struct tern_token_list {
    int32_t *ids;
    uint32_t (*offsets)[2]; /* bytes of the normalized piece while a model writes them, then code points of the original text */
    size_t n, capacity;
    int32_t *word_ids; /* [n], where they are asked for; else NULL */
    size_t word_ids_capacity;
    tern_token_text *own_texts; /* in the order of their tokens */
    size_t n_own_texts, own_texts_capacity;
    char *texts;
    size_t texts_bytes, texts_capacity;
} tern_token_list;

void tern__token_list_free(tern_token_list *list);
/* Room for so many more tokens; false when memory is short. */
bool tern__token_list_reserve(tern_token_list *list, size_t n_more);
/* Room must be there. */
static inline void tern__token_list_push(tern_token_list *list, int32_t id, uint32_t start, uint32_t end) {
    list->ids[list->n] = id;
    list->offsets[list->n][0] = start;
    list->offsets[list->n][1] = end;
    list->n++;
}
/* Give the token that was pushed last a text of its own. */
bool tern__token_list_set_text(tern_token_list *list, const unsigned char *text, size_t n_bytes);

/* Give the tokens from `first` on the number of their word: the one of `words` that their first byte is in, or with `words` NULL the only
 * one; numbers count from first_word. False when memory is short. */
bool tern__token_list_set_words(tern_token_list *list, size_t first, const tern_spans *words, size_t first_word);
/* Empty again; memory is kept. */
void tern__token_list_clear(tern_token_list *list);

#endif
