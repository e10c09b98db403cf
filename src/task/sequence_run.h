/* sequence_run.h - texts through a model, what every task shares: tokenize, sort by length, run in batches under a token budget, hand the
 * rows of each text on. Memory is bounded whatever the input; since rows are packed, sorting is for the budget's sake alone: no batch pays
 * for padding, and a text's result does not depend on its company. Where the device takes two runs at once, two threads pack and run
 * batches; take and progress are the calling thread's in any case.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TASK_SEQUENCE_RUN_H
#define TERN_TASK_SEQUENCE_RUN_H

#include "model/model.h"

#define TERN_DEFAULT_BATCH_TOKENS 4096
#define TERN_RUN_MAX_OUTPUTS      2

typedef struct tern_sequence_run {
    tern_model *model;
    const tern_encoding *encodings; /* [n] */
    size_t n;
    int32_t outputs[TERN_RUN_MAX_OUTPUTS]; /* indices into the program's */
    size_t n_outputs;
    int64_t n_prompt_rows;                                   /* of each sequence; see tern_batch */
    int32_t pick_id;                                         /* outputs of picks: of the tokens with this id */
    size_t max_batch_tokens;                                 /* 0: the default; a longer sequence runs alone */
    bool (*progress)(void *user, size_t done, size_t total); /* NULL: none; false stops */
    void *user;
    size_t *n_truncated;     /* set on success: how many encodings were cut; NULL: not wanted */
    tern_stage_times *times; /* pack, compute and result are added to, as tern.h says; NULL: not wanted */
    int64_t *node_ns;        /* [n_nodes] of the program, 0 before, of a run in one batch; NULL: not wanted */
    /* Called for every sequence once, the longest first and equally long ones in their order: rows[o] is its part of output o, one row a
     * token, a pick, or one row. */
    tern_status (*take)(void *context, size_t sequence, const float *const *rows, tern_error *err);
    void *context;
} tern_sequence_run;

tern_status tern__sequence_run(const tern_sequence_run *run, tern_error *err);

/* Encode texts (and pairs, or NULL) for the model, cut to its max_seq_length unless the options say otherwise, and check that the ids are
 * in its tables. Messages name the text. On failure the encodings are empty. */
tern_status tern__encode_texts(tern_encoding *encodings, const tern_model *model, const tern_text *texts, const tern_text *pairs,
                               size_t n_texts, tern_encode_options options, tern_error *err);
void tern__encodings_free(tern_encoding *encodings, size_t n); /* of tern__alloc_zero; NULL is allowed */

#endif
