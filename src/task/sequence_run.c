/* sequence_run.c - see sequence_run.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/sequence_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Texts to ids ---- */

/* The tokenizer and the weights are separate files: an id past the tables is an error of the folder, not a crash. */
static tern_status check_ids(const tern_model *model, const tern_encoding *encoding, size_t text, tern_error *err) {
    const tern_arch_facts *facts = &model->folder.facts;
    if (encoding->n == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "text %zu: the tokenizer gives no tokens", text);
    for (size_t i = 0; i < encoding->n; i++)
        if (encoding->ids[i] < 0 || encoding->ids[i] >= facts->vocab_size ||
            (facts->type_vocab_size > 1 && encoding->type_ids[i] >= facts->type_vocab_size))
            return TERN_FAIL(err, TERN_E_CONFIG,
                             "text %zu: the tokenizer gives id %d (type %d); config.json has vocab_size %lld (type_vocab_size %lld)", text,
                             encoding->ids[i], encoding->type_ids[i], (long long)facts->vocab_size, (long long)facts->type_vocab_size);
    return TERN_OK;
}

tern_status tern__encode_texts(tern_encoding *encodings, const tern_model *model, const tern_text *texts, const tern_text *pairs,
                               size_t n_texts, tern_encode_options options, tern_error *err) {
    if (model->tokenizer == NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "the model's folder has no tokenizer (tokenizer.json, vocab.txt ...); texts need one");
    if (options.max_length == 0) options.max_length = (size_t)model->max_seq_length;
    options.threads = model->device->properties(model->opened).threads;
    TERN_TRY(tern_tokenizer_encode_batch(encodings, model->tokenizer, texts, pairs, n_texts, &options, err));
    tern_status status = TERN_OK;
    for (size_t t = 0; t < n_texts && status == TERN_OK; t++) {
        status = check_ids(model, &encodings[t], t, err);
        for (size_t o = 0; o < encodings[t].n_overflowing && status == TERN_OK; o++)
            status = check_ids(model, &encodings[t].overflowing[o], t, err);
    }
    for (size_t t = 0; t < n_texts && status != TERN_OK; t++) tern_encoding_free(&encodings[t]);
    return status;
}

void tern__encodings_free(tern_encoding *encodings, size_t n) {
    for (size_t i = 0; encodings != NULL && i < n; i++) tern_encoding_free(&encodings[i]);
    free(encodings);
}

/* ---- Ids to rows ---- */

typedef struct sequence {
    const tern_encoding *encoding;
    size_t index; /* in the caller's order */
} sequence;

typedef struct batches {
    const tern_sequence_run *run;
    sequence *sequences; /* [n], longest first */
    size_t budget;
    tern_rows_builder rows;
    tern_run_output outputs[TERN_RUN_MAX_OUTPUTS];
    bool is_per_token[TERN_RUN_MAX_OUTPUTS];
    size_t widths[TERN_RUN_MAX_OUTPUTS];
} batches;

static int by_length(const void *left, const void *right) {
    const sequence *a = left, *b = right;
    if (a->encoding->n != b->encoding->n) return a->encoding->n > b->encoding->n ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Sequences from `first` on that fit the budget together; at least one. */
static size_t batch_end(const batches *b, size_t first, size_t *n_tokens) {
    size_t end = first;
    *n_tokens = 0;
    do {
        *n_tokens += b->sequences[end].encoding->n;
        end++;
    } while (end < b->run->n && *n_tokens + b->sequences[end].encoding->n <= b->budget);
    return end;
}

/* Room for the largest batch: the longest sequences come first, so a later batch may hold more of them, but not more tokens. */
static tern_status allocate(batches *b, tern_error *err) {
    const tern_program *program = b->run->model->folder.program;
    size_t most_sequences = 0, most_tokens = 0, n_tokens;
    for (size_t first = 0, end; first < b->run->n; first = end) {
        end = batch_end(b, first, &n_tokens);
        if (end - first > most_sequences) most_sequences = end - first;
        if (n_tokens > most_tokens) most_tokens = n_tokens;
    }
    for (size_t o = 0; o < b->run->n_outputs; o++) {
        const tern_value_info *info = tern__value(program, program->outputs[b->run->outputs[o]].value);
        size_t elements;
        b->is_per_token[o] = info->space == TERN_SPACE_TOKENS;
        b->widths[o] = (size_t)info->width;
        b->outputs[o].output = b->run->outputs[o];
        if (!tern__size_multiply(b->is_per_token[o] ? most_tokens : most_sequences, b->widths[o], &elements))
            return TERN_FAIL_MEMORY(err, SIZE_MAX);
        b->outputs[o].data = tern__alloc(elements, sizeof(float));
        if (b->outputs[o].data == NULL) return TERN_FAIL_MEMORY(err, elements * sizeof(float));
    }
    return tern__rows_new(&b->rows, (int64_t)most_sequences, (int64_t)most_tokens, err);
}

static void fill_rows(batches *b, size_t first, size_t end) {
    const tern_arch_facts *facts = &b->run->model->folder.facts;
    tern__rows_clear(&b->rows);
    for (size_t s = first; s < end; s++) {
        const tern_encoding *encoding = b->sequences[s].encoding;
        int64_t n_counted = 0;
        for (size_t i = 0; i < encoding->n; i++) {
            /* A model with one token type, such as RoBERTa, takes pairs too. */
            const int32_t type = facts->type_vocab_size > 1 ? encoding->type_ids[i] : 0;
            tern__rows_add(&b->rows, encoding->ids[i], type, tern__position_id(facts, encoding->ids[i], (int64_t)i, &n_counted),
                           (int32_t)i);
        }
        tern__rows_end_sequence(&b->rows);
    }
}

static tern_status run_batch(batches *b, size_t first, size_t end, tern_error *err) {
    const tern_sequence_run *run = b->run;
    fill_rows(b, first, end);
    TERN_TRY(tern__model_run(run->model, &b->rows.batch, b->outputs, run->n_outputs, err));
    for (size_t s = first; s < end; s++) {
        const float *rows[TERN_RUN_MAX_OUTPUTS];
        for (size_t o = 0; o < run->n_outputs; o++)
            rows[o] = b->outputs[o].data + (b->is_per_token[o] ? (size_t)b->rows.row_start[s - first] : s - first) * b->widths[o];
        TERN_TRY(run->take(run->context, b->sequences[s].index, rows, err));
    }
    return TERN_OK;
}

static tern_status run_batches(batches *b, tern_error *err) {
    const tern_sequence_run *run = b->run;
    b->sequences = tern__alloc(run->n, sizeof *b->sequences);
    if (b->sequences == NULL) return TERN_FAIL_MEMORY(err, run->n * sizeof *b->sequences);
    for (size_t i = 0; i < run->n; i++) b->sequences[i] = (sequence){.encoding = &run->encodings[i], .index = i};
    qsort(b->sequences, run->n, sizeof *b->sequences, by_length);
    TERN_TRY(allocate(b, err));
    for (size_t first = 0, end, n_tokens; first < run->n; first = end) {
        end = batch_end(b, first, &n_tokens);
        TERN_TRY(run_batch(b, first, end, err));
        if (run->progress != NULL && !run->progress(run->user, end, run->n))
            return TERN_FAIL(err, TERN_E_CANCELLED, "stopped after %zu of %zu texts", end, run->n);
    }
    return TERN_OK;
}

tern_status tern__sequence_run(const tern_sequence_run *run, tern_error *err) {
    if (run->n == 0) return TERN_OK;
    batches b = {.run = run, .budget = run->max_batch_tokens != 0 ? run->max_batch_tokens : TERN_DEFAULT_BATCH_TOKENS};
    const tern_status status = run_batches(&b, err);
    for (size_t o = 0; o < run->n_outputs; o++) free(b.outputs[o].data);
    free(b.sequences);
    tern__rows_free(&b.rows);
    return status;
}
