/* word_table.h - short words that are one token each: a hash table with the words inside, so that a look-up touches one place in memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_WORD_TABLE_H
#define TERN_TEXT_WORD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TERN_WORD_MAX 16 /* bytes of a word that can be in the table; at least 1 */

typedef struct tern_word_key {
    uint64_t low, high; /* with n_bytes they say which bytes the word has */
    uint32_t n_bytes;
} tern_word_key;

typedef struct tern_word_slot {
    uint64_t low, high;
    uint32_t n_bytes; /* 0: empty */
    int32_t id;
} tern_word_slot;

/* Zeroed: empty, and nothing may be looked for. */
typedef struct tern_word_table {
    tern_word_slot *slots; /* open addressing, at most half full */
    size_t n_slots;        /* a power of two */
    int shift;             /* 64 - log2(n_slots) */
} tern_word_table;

/* Room for so many words, none in it; false when memory is short. */
bool tern__word_table_make(tern_word_table *table, size_t n_words);
void tern__word_table_free(tern_word_table *table);
void tern__word_table_add(tern_word_table *table, const unsigned char *word, size_t n_bytes, int32_t id);

/* A word of 1 to TERN_WORD_MAX bytes; reads no byte beside it. */
static inline tern_word_key tern__word_key(const unsigned char *word, size_t n_bytes) {
    tern_word_key key = {.n_bytes = (uint32_t)n_bytes};
    if (n_bytes >= 8) {
        memcpy(&key.low, word, 8);
        memcpy(&key.high, word + n_bytes - 8, 8);
    } else if (n_bytes >= 4) {
        uint32_t low, high;
        memcpy(&low, word, 4);
        memcpy(&high, word + n_bytes - 4, 4);
        key.low = low | (uint64_t)high << 32;
    } else {
        key.low = word[0] | (uint64_t)word[n_bytes / 2] << 8 | (uint64_t)word[n_bytes - 1] << 16;
    }
    return key;
}

static inline size_t tern__word_slot(const tern_word_table *table, tern_word_key key) {
    uint64_t hash = (key.low ^ (key.high + key.n_bytes) * UINT64_C(0xD6E8FEB86659FD93)) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)((hash ^ hash << 32) >> table->shift);
}

/* The id of a word; -1 when it is not in the table. */
static inline int32_t tern__word_table_find(const tern_word_table *table, tern_word_key key) {
    for (size_t at = tern__word_slot(table, key);; at = (at + 1) & (table->n_slots - 1)) {
        const tern_word_slot *slot = &table->slots[at];
        if (slot->low == key.low && slot->high == key.high && slot->n_bytes == key.n_bytes) return slot->id;
        if (slot->n_bytes == 0) return -1;
    }
}

#endif
