/* model_scratch.h - what a model works in, reused from word to word by one thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_MODEL_SCRATCH_H
#define TERN_TEXT_MODEL_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

/* A token of a word while its neighbours are merged. */
typedef struct tern_bpe_symbol {
    int32_t id;
    uint32_t n_bytes;        /* 0: has been merged into one before it */
    uint32_t previous, next; /* UINT32_MAX: none; in words of many symbols */
} tern_bpe_symbol;

/* The best way to the end of a prefix of a word. */
typedef struct tern_unigram_node {
    double score;
    uint32_t start; /* of its last piece; UINT32_MAX: none yet */
    int32_t id;     /* of its last piece */
} tern_unigram_node;

/* Zeroed: empty. */
typedef struct tern_model_scratch {
    tern_bpe_symbol *symbols;
    size_t symbols_capacity;
    uint64_t *heap;
    size_t heap_capacity;
    tern_unigram_node *nodes;
    size_t nodes_capacity;
    char *text;
    size_t text_capacity;
} tern_model_scratch;

void tern__model_scratch_free(tern_model_scratch *scratch);

#endif
