/* bpe.h - byte pair encoding: a word is cut into characters, and the pair of neighbours whose merge stands first in the list becomes one
 * token, again and again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_BPE_H
#define TERN_TEXT_BPE_H

#include <jansson.h>

#include "text/model/model_scratch.h"
#include "text/model/model_tables.h"
#include "text/model/unk_token.h"
#include "text/model/word_table.h"
#include "text/normalized.h"
#include "text/token_list.h"

#define TERN_BPE_NO_PAIR UINT64_MAX

typedef struct tern_bpe_merge {
    uint64_t pair; /* left id << 32 | right id; TERN_BPE_NO_PAIR: an empty slot */
    uint32_t rank; /* in the list of merges */
    int32_t id;    /* what the two become */
} tern_bpe_merge;

typedef struct tern_bpe {
    const tern_vocabulary *vocabulary; /* the model's */
    tern_bpe_merge *merges;            /* a hash table, open addressing, at most half full */
    size_t n_merge_slots;              /* a power of two */
    int merge_shift;                   /* 64 - log2(n_merge_slots) */
    int32_t *id_of_rank;               /* [n_merges]: what they become */
    size_t n_merges;                   /* as listed */
    tern_unk_token unk;                /* text NULL: a character that is not in the vocabulary is dropped */
    char *prefix;                      /* continuing_subword_prefix of all characters of a word but the first; may be "" */
    char *suffix;                      /* end_of_word_suffix of the last; may be "" */
    size_t prefix_bytes, suffix_bytes;
    bool fuse_unk;
    bool byte_fallback;
    bool ignore_merges;         /* a word that is in the vocabulary is that token */
    bool takes_bytes;           /* words are raw bytes, each for a character of GPT-2's table */
    bool needs_heap;            /* a token could be made of itself and nothing, so that only the general way is right */
    bool can_split;             /* long words fall into parts at junctions that no merge joins */
    int32_t fallback_ids[256];  /* of "<0x00>" ..; -1: none */
    int32_t single_ids[4][256]; /* of ASCII characters, or of raw bytes: [not first in its word | last in its word << 1]; -1: none */
    uint64_t junctions[1024];   /* a set of hashes of (last character, first character) of the pairs that are merged */
    tern_word_table words;      /* of this model's words those that are one token */
} tern_bpe;

void tern__bpe_free(tern_bpe *bpe);
/* From the model's JSON and tables, of which the vocabulary has been moved to `vocabulary`. */
tern_status tern__bpe_read(tern_bpe *out, const tern_vocabulary *vocabulary, const json_t *json, const tern_model_tables *tables,
                           const char *file, tern_error *err);
/* See tern__token_model_take_bytes. */
tern_status tern__bpe_take_bytes(tern_bpe *bpe, bool *can, tern_error *err);

/* bpe_words.c: fill bpe->words. */
tern_status tern__bpe_find_words(tern_bpe *bpe, tern_error *err);

tern_status tern__bpe_tokenize(const tern_bpe *bpe, tern_model_scratch *scratch, tern_token_list *out, const unsigned char *bytes,
                               const tern_spans *spans, tern_error *err);
/* One word that is not looked up in bpe->words. */
tern_status tern__bpe_merge_word(const tern_bpe *bpe, tern_model_scratch *scratch, tern_token_list *out, const unsigned char *bytes,
                                 tern_span word, tern_error *err);

static inline size_t tern__bpe_merge_slot(const tern_bpe *bpe, uint64_t pair) {
    return (size_t)((pair ^ pair >> 29) * UINT64_C(0x9E3779B97F4A7C15) >> bpe->merge_shift);
}

/* NULL: the pair is not merged. */
static inline const tern_bpe_merge *tern__bpe_find_merge(const tern_bpe *bpe, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t at = tern__bpe_merge_slot(bpe, pair);; at = (at + 1) & (bpe->n_merge_slots - 1)) {
        const tern_bpe_merge *merge = &bpe->merges[at];
        if (merge->pair == pair) return merge;
        if (merge->pair == TERN_BPE_NO_PAIR) return NULL;
    }
}

/* Which bit of `junctions` tells of two characters (in a model that takes bytes: bytes). */
static inline unsigned tern__bpe_junction(uint32_t last, uint32_t first) {
    return (unsigned)((last * UINT32_C(0x9E3779B1) ^ first * UINT32_C(0x85EBCA77)) >> 16);
}

#endif
