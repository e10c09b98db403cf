/* vocabulary.c - an open-addressing hash table over strings in one block, and a second one over their ids.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void tern__vocabulary_free(tern_vocabulary *vocabulary) {
    free(vocabulary->strings);
    free(vocabulary->entries);
    free(vocabulary->slots);
    free(vocabulary->id_slots);
    *vocabulary = (tern_vocabulary){0};
}

uint64_t tern__hash_bytes(uint64_t hash, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) hash = tern__hash_byte(hash, (unsigned char)bytes[i]);
    return hash;
}

/* Where the entry `string` is, or the empty slot where it would be. */
static size_t find_slot(const tern_vocabulary *vocabulary, uint64_t hash, const char *string, size_t n_bytes) {
    size_t at = (size_t)(hash >> vocabulary->shift);
    for (;; at = (at + 1) & (vocabulary->n_slots - 1)) {
        const tern_vocabulary_slot *slot = &vocabulary->slots[at];
        if (slot->entry == 0) return at;
        const tern_vocabulary_entry *entry = &vocabulary->entries[slot->entry - 1];
        if (slot->hash == (uint32_t)hash && entry->n_bytes == n_bytes && memcmp(vocabulary->strings + entry->start, string, n_bytes) == 0)
            return at;
    }
}

static void set_slot(tern_vocabulary *vocabulary, size_t at, uint64_t hash, size_t entry) {
    vocabulary->slots[at] = (tern_vocabulary_slot){.hash = (uint32_t)hash, .entry = (uint32_t)entry + 1};
}

/* A bigger table, still empty: all entries are to be indexed anew. */
static bool grow_slots(tern_vocabulary *vocabulary, size_t n_entries) {
    size_t n_slots = vocabulary->n_slots ? vocabulary->n_slots : 16;
    while (n_slots / 2 < n_entries) n_slots *= 2;
    if (n_slots == vocabulary->n_slots) return true;
    tern_vocabulary_slot *slots = tern__alloc_zero(n_slots, sizeof *slots);
    if (!slots) return false;
    free(vocabulary->slots);
    vocabulary->slots = slots;
    vocabulary->n_slots = n_slots;
    vocabulary->shift = 64;
    for (size_t n = n_slots; n > 1; n /= 2) vocabulary->shift--;
    vocabulary->n_indexed = 0;
    return true;
}

bool tern__vocabulary_reserve(tern_vocabulary *vocabulary, size_t n_entries, size_t strings_bytes) {
    return n_entries <= TERN_VOCABULARY_MAX &&
           tern__grow(&vocabulary->entries, &vocabulary->entries_capacity, n_entries, sizeof *vocabulary->entries) &&
           tern__grow(&vocabulary->strings, &vocabulary->strings_capacity, strings_bytes, 1);
}

#define BATCH 16 /* entries whose slots are fetched from memory at the same time */

bool tern__vocabulary_index(tern_vocabulary *vocabulary, size_t *repeated) {
    uint64_t hashes[BATCH];
    *repeated = SIZE_MAX;
    if (!grow_slots(vocabulary, vocabulary->n_entries)) return false;
    while (vocabulary->n_indexed < vocabulary->n_entries) {
        const tern_vocabulary_entry *entries = vocabulary->entries + vocabulary->n_indexed;
        size_t n = vocabulary->n_entries - vocabulary->n_indexed < BATCH ? vocabulary->n_entries - vocabulary->n_indexed : BATCH;
        for (size_t i = 0; i < n; i++) {
            hashes[i] = tern__hash_bytes(TERN_HASH_START, vocabulary->strings + entries[i].start, entries[i].n_bytes);
            __builtin_prefetch(&vocabulary->slots[hashes[i] >> vocabulary->shift], 1);
        }
        for (size_t i = 0; i < n; i++) {
            size_t at = find_slot(vocabulary, hashes[i], vocabulary->strings + entries[i].start, entries[i].n_bytes);
            if (vocabulary->slots[at].entry != 0 && *repeated == SIZE_MAX) *repeated = vocabulary->n_indexed + i;
            set_slot(vocabulary, at, hashes[i], vocabulary->n_indexed + i);
        }
        vocabulary->n_indexed += n;
    }
    return true;
}

bool tern__vocabulary_append(tern_vocabulary *vocabulary, const char *string, size_t n_bytes, int32_t id) {
    bool fits = vocabulary->n_entries < vocabulary->entries_capacity && n_bytes < vocabulary->strings_capacity - vocabulary->strings_bytes;
    if (!fits && (n_bytes >= UINT32_MAX || vocabulary->strings_bytes > SIZE_MAX - n_bytes - 1 ||
                  !tern__vocabulary_reserve(vocabulary, vocabulary->n_entries + 1, vocabulary->strings_bytes + n_bytes + 1)))
        return false;
    char *copy = vocabulary->strings + vocabulary->strings_bytes;
    if (n_bytes) memcpy(copy, string, n_bytes);
    copy[n_bytes] = '\0';
    vocabulary->entries[vocabulary->n_entries++] =
        (tern_vocabulary_entry){.start = vocabulary->strings_bytes, .n_bytes = (uint32_t)n_bytes, .id = id};
    vocabulary->strings_bytes += n_bytes + 1;
    if (n_bytes > vocabulary->longest_bytes) vocabulary->longest_bytes = n_bytes;
    return true;
}

bool tern__vocabulary_set(tern_vocabulary *vocabulary, const char *string, size_t n_bytes, int32_t id, bool *is_new) {
    size_t repeated;
    if (!grow_slots(vocabulary, vocabulary->n_entries + 1) || !tern__vocabulary_index(vocabulary, &repeated)) return false;
    uint64_t hash = tern__hash_bytes(TERN_HASH_START, string, n_bytes);
    size_t at = find_slot(vocabulary, hash, string, n_bytes);
    *is_new = vocabulary->slots[at].entry == 0;
    if (!*is_new) {
        vocabulary->entries[vocabulary->slots[at].entry - 1].id = id;
        return true;
    }
    if (!tern__vocabulary_append(vocabulary, string, n_bytes, id)) return false;
    set_slot(vocabulary, at, hash, vocabulary->n_entries - 1);
    vocabulary->n_indexed++;
    return true;
}

const tern_vocabulary_entry *tern__vocabulary_find_hashed(const tern_vocabulary *vocabulary, uint64_t hash, const char *prefix,
                                                          size_t n_prefix, const char *string, size_t n_bytes) {
    if (vocabulary->n_slots == 0) return NULL;
    for (size_t at = (size_t)(hash >> vocabulary->shift);; at = (at + 1) & (vocabulary->n_slots - 1)) {
        tern_vocabulary_slot slot = vocabulary->slots[at];
        if (slot.entry == 0) return NULL;
        if (slot.hash != (uint32_t)hash) continue;
        const tern_vocabulary_entry *entry = &vocabulary->entries[slot.entry - 1];
        const char *candidate = vocabulary->strings + entry->start;
        if (entry->n_bytes == n_prefix + n_bytes && memcmp(candidate, prefix, n_prefix) == 0 &&
            memcmp(candidate + n_prefix, string, n_bytes) == 0)
            return entry;
    }
}

const tern_vocabulary_entry *tern__vocabulary_find(const tern_vocabulary *vocabulary, const char *string, size_t n_bytes) {
    return tern__vocabulary_find_hashed(vocabulary, tern__hash_bytes(TERN_HASH_START, string, n_bytes), "", 0, string, n_bytes);
}

/* Where the search for an id starts. Ids mostly count up, so neighbours share a cache line. */
static size_t id_slot(const tern_vocabulary *vocabulary, int32_t id) { return (size_t)(uint32_t)id & (vocabulary->n_slots - 1); }

bool tern__vocabulary_index_ids(tern_vocabulary *vocabulary) {
    size_t repeated, n_in_place = 0;
    if (!tern__vocabulary_index(vocabulary, &repeated)) return false;
    free(vocabulary->id_slots);
    vocabulary->id_slots = NULL;
    while (n_in_place < vocabulary->n_entries && vocabulary->entries[n_in_place].id == (int32_t)n_in_place) n_in_place++;
    vocabulary->has_shared_ids = false;
    vocabulary->ids_are_indices = n_in_place == vocabulary->n_entries;
    if (vocabulary->ids_are_indices) return true;
    vocabulary->id_slots = tern__alloc_zero(vocabulary->n_slots, sizeof *vocabulary->id_slots);
    if (!vocabulary->id_slots) return false;
    for (size_t i = 0; i < vocabulary->n_entries; i++) {
        size_t at = id_slot(vocabulary, vocabulary->entries[i].id);
        while (vocabulary->id_slots[at] != 0 && vocabulary->entries[vocabulary->id_slots[at] - 1].id != vocabulary->entries[i].id)
            at = (at + 1) & (vocabulary->n_slots - 1);
        if (vocabulary->id_slots[at] != 0) vocabulary->has_shared_ids = true;
        vocabulary->id_slots[at] = (uint32_t)i + 1;
    }
    return true;
}

const tern_vocabulary_entry *tern__vocabulary_find_id(const tern_vocabulary *vocabulary, int32_t id) {
    if (vocabulary->ids_are_indices) return id >= 0 && (size_t)id < vocabulary->n_entries ? &vocabulary->entries[id] : NULL;
    if (!vocabulary->id_slots) return NULL;
    for (size_t at = id_slot(vocabulary, id); vocabulary->id_slots[at] != 0; at = (at + 1) & (vocabulary->n_slots - 1)) {
        const tern_vocabulary_entry *entry = &vocabulary->entries[vocabulary->id_slots[at] - 1];
        if (entry->id == id) return entry;
    }
    return NULL;
}
