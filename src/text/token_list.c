/* token_list.c - growing a token list.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/token_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void tern__token_list_free(tern_token_list *list) {
    free(list->ids);
    free(list->offsets);
    free(list->word_ids);
    free(list->own_texts);
    free(list->texts);
    *list = (tern_token_list){0};
}

bool tern__token_list_reserve(tern_token_list *list, size_t n_more) {
    size_t needed;
    if (!tern__size_add(list->n, n_more, &needed)) return false;
    if (needed <= list->capacity) return true;
    size_t ids_capacity = list->capacity, offsets_capacity = list->capacity;
    if (!tern__grow(&list->ids, &ids_capacity, needed, sizeof *list->ids)) return false;
    if (!tern__grow(&list->offsets, &offsets_capacity, needed, sizeof *list->offsets)) return false;
    list->capacity = ids_capacity;
    return true;
}

bool tern__token_list_set_text(tern_token_list *list, const unsigned char *text, size_t n_bytes) {
    size_t needed;
    if (!tern__size_add(list->texts_bytes, n_bytes, &needed)) return false;
    if (!tern__grow(&list->own_texts, &list->own_texts_capacity, list->n_own_texts + 1, sizeof *list->own_texts)) return false;
    if (!tern__grow(&list->texts, &list->texts_capacity, needed, 1)) return false;
    if (n_bytes) memcpy(list->texts + list->texts_bytes, text, n_bytes);
    list->own_texts[list->n_own_texts++] = (tern_token_text){.token = list->n - 1, .start = list->texts_bytes, .n_bytes = n_bytes};
    list->texts_bytes = needed;
    return true;
}

bool tern__token_list_set_words(tern_token_list *list, size_t first, const tern_spans *words, size_t first_word) {
    if (!tern__grow(&list->word_ids, &list->word_ids_capacity, list->n, sizeof *list->word_ids)) return false;
    for (size_t i = first, word = 0; i < list->n; i++) {
        while (words && list->offsets[i][0] >= words->items[word].end) word++;
        list->word_ids[i] = (int32_t)(first_word + word);
    }
    return true;
}

void tern__token_list_clear(tern_token_list *list) { list->n = list->n_own_texts = list->texts_bytes = 0; }
