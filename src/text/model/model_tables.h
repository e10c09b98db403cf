/* model_tables.h - the large tables of a tokenizer's model, however they came: read straight from the bytes of a tokenizer.json, since a
 * JSON library takes most of a load's time to build a tree that is then read once, or from the files of a folder without one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_MODEL_TABLES_H
#define TERN_TEXT_MODEL_TABLES_H

#include "base/json.h"
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
    tern_json_hole holes[2]; /* where tables were in the JSON that they were read from */
    size_t n_holes;
} tern_model_tables;

void tern__model_tables_free(tern_model_tables *tables);

/* Append to the merges; false when memory is short. */
bool tern__model_tables_add_merge(tern_model_tables *tables, const char *left, size_t left_bytes, const char *right, size_t right_bytes);
/* Append to the pieces of a Unigram model: its id is their number so far. Of two pieces of one text, the later one is what the text stands
 * for. False when memory is short. */
bool tern__model_tables_add_piece(tern_model_tables *tables, const char *piece, size_t n_bytes, double score);

/* model_tables_json.c: read "vocab" (an object {"token": id, ..}, or an array [["piece", score], ..]) and "merges" (["a b", ..] or
 * [["a", "b"], ..]) of the object "model". `holes` then tells tern__json_parse_around where they are, so that it need not read them again.
 * Nothing is read where there is no such key, or where the JSON is broken, which the JSON reader then tells. errors: TERN_E_FORMAT with
 * line and column: not JSON, a token twice, an id or a number out of range. */
tern_status tern__model_tables_read_json(tern_model_tables *tables, const char *bytes, size_t n_bytes, const char *name, tern_error *err);
/* The vocabulary of a vocab.json: {"token": id, ..} and nothing else. */
tern_status tern__model_tables_read_vocab(tern_model_tables *tables, const char *bytes, size_t n_bytes, const char *name, tern_error *err);

#endif
