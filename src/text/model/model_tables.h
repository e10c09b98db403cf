/* model_tables.h - the large tables of a tokenizer's model, however they came: read straight from the bytes of a tokenizer.json, since a
 * JSON library takes most of a load's time to build a tree that is then read once, or from the files of a folder without one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_MODEL_TABLES_H
#define TERN_TEXT_MODEL_TABLES_H

#include "base/error.h"
#include "text/model/vocabulary.h"

/* Two tokens that become one, as texts. */
typedef struct tern_merge {
    size_t start; /* in merge_strings: the left text, the right one behind it */
    uint32_t left_bytes, right_bytes;
} tern_merge;

/* Zeroed: empty. */
typedef struct tern_model_tables {
    tern_vocabulary vocabulary;
    double *scores; /* Unigram: logarithm of the probability, by id; NULL: none */
    size_t n_scores, scores_capacity;
    tern_merge *merges; /* BPE: the first is the strongest */
    size_t n_merges, merges_capacity;
    char *merge_strings;
    size_t merge_strings_bytes, merge_strings_capacity;
} tern_model_tables;

void tern__model_tables_free(tern_model_tables *tables);

#endif
