/* word_table.c - memory of the table, and what goes into it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/word_table.h"

#include <stdlib.h>

#include "base/memory.h"

bool tern__word_table_make(tern_word_table *table, size_t n_words) {
    if (n_words > SIZE_MAX / 4) return false;
    table->n_slots = 16;
    table->shift = 60;
    for (; table->n_slots / 2 < n_words; table->n_slots *= 2) table->shift--;
    table->slots = tern__alloc_zero(table->n_slots, sizeof *table->slots);
    return table->slots;
}

void tern__word_table_free(tern_word_table *table) {
    free(table->slots);
    *table = (tern_word_table){0};
}

void tern__word_table_add(tern_word_table *table, const unsigned char *word, size_t n_bytes, int32_t id) {
    tern_word_key key = tern__word_key(word, n_bytes);
    size_t at = tern__word_slot(table, key);
    while (table->slots[at].n_bytes != 0) at = (at + 1) & (table->n_slots - 1);
    table->slots[at] = (tern_word_slot){.low = key.low, .high = key.high, .n_bytes = key.n_bytes, .id = id};
}
