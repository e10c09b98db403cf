/* vocabulary.h - strings and their ids, found both ways. The hash runs byte by byte from the left, so that a model that looks for the
 * longest entry that starts at some place hashes every prefix in one pass.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_VOCABULARY_H
#define TERN_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tern_vocabulary_entry {
    size_t start;     /* of the string in tern_vocabulary.strings */
    uint32_t n_bytes; /* without the NUL behind it */
    int32_t id;
} tern_vocabulary_entry;

typedef struct tern_vocabulary_slot {
    uint32_t hash;  /* the hash's lower half */
    uint32_t entry; /* index + 1; 0: empty */
} tern_vocabulary_slot;

/* Zeroed: empty. */
typedef struct tern_vocabulary {
    char *strings; /* one after the other, each with a NUL */
    size_t strings_bytes, strings_capacity;
    tern_vocabulary_entry *entries; /* in the order they came */
    size_t n_entries, entries_capacity;
    tern_vocabulary_slot *slots; /* open addressing, at most half full */
    size_t n_slots;              /* a power of two, or 0 */
    int shift;                   /* 64 - log2(n_slots) */
    size_t n_indexed;            /* entries that are in the slots: the first ones */
    uint32_t *id_slots;          /* index + 1 of the entry, by id; made by tern__vocabulary_index_ids, where ids are not indices */
    bool ids_are_indices;        /* entry i has id i; told by tern__vocabulary_index_ids, as is the next */
    bool has_shared_ids;         /* two entries have one id */
    size_t longest_bytes;        /* of the longest string */
} tern_vocabulary;

#define TERN_VOCABULARY_MAX ((size_t)1 << 30) /* entries */

void tern__vocabulary_free(tern_vocabulary *vocabulary);
/* Room for so many entries in all; false when memory is short or there are too many. */
bool tern__vocabulary_reserve(tern_vocabulary *vocabulary, size_t n_entries, size_t strings_bytes);
/* Give `string` the id `id`; *is_new tells whether it was not there before. False when memory is short. */
bool tern__vocabulary_set(tern_vocabulary *vocabulary, const char *string, size_t n_bytes, int32_t id, bool *is_new);
/* A new entry even where there is one of that string, not found before tern__vocabulary_index. False when memory is short. */
bool tern__vocabulary_append(tern_vocabulary *vocabulary, const char *string, size_t n_bytes, int32_t id);
/* Make what was appended be found. Of equal strings the last is found; *repeated is the index of the first that repeats an earlier one,
 * SIZE_MAX when there is none. False when memory is short. */
bool tern__vocabulary_index(tern_vocabulary *vocabulary, size_t *repeated);
/* To be called when all entries are in. Of two strings with one id, the later one is what the id stands for. */
bool tern__vocabulary_index_ids(tern_vocabulary *vocabulary);

/* NULL when there is none. */
const tern_vocabulary_entry *tern__vocabulary_find(const tern_vocabulary *vocabulary, const char *string, size_t n_bytes);
const tern_vocabulary_entry *tern__vocabulary_find_id(const tern_vocabulary *vocabulary, int32_t id);
static inline const char *tern__vocabulary_string(const tern_vocabulary *vocabulary, const tern_vocabulary_entry *entry) {
    return vocabulary->strings + entry->start;
}

#define TERN_HASH_START  UINT64_C(0xCBF29CE484222325)
#define TERN_HASH_FACTOR UINT64_C(0x9E3779B97F4A7C15)
static inline uint64_t tern__hash_byte(uint64_t hash, unsigned char byte) { return (hash ^ byte) * TERN_HASH_FACTOR; }
uint64_t tern__hash_bytes(uint64_t hash, const char *bytes, size_t n_bytes);

/* Fetch from memory what a search for that hash looks at first. */
static inline void tern__vocabulary_prefetch(const tern_vocabulary *vocabulary, uint64_t hash) {
    if (vocabulary->n_slots) __builtin_prefetch(&vocabulary->slots[hash >> vocabulary->shift]);
}
/* The entry `prefix` + `string`, whose hash is known. */
const tern_vocabulary_entry *tern__vocabulary_find_hashed(const tern_vocabulary *vocabulary, uint64_t hash, const char *prefix,
                                                          size_t n_prefix, const char *string, size_t n_bytes);

#endif
