/* sequence_run.c - see sequence_run.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/sequence_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- Texts to ids ---- */

/* The tokenizer and the weights are separate files: an id past the tables is an error of the folder, not a crash. */
static tern_status check_ids(const tern_model *model, const tern_encoding *encoding, size_t text, tern_error *err) {
    const tern_arch_facts *facts = &model->folder.facts;
    if (encoding->n == 0 && model->folder.arch != &tern__static_embedding)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "text %zu: the tokenizer gives no tokens", text);
    for (size_t i = 0; i < encoding->n; i++)
        if (encoding->ids[i] < 0 || encoding->ids[i] >= facts->vocab_size ||
            (model->uses_token_types && encoding->type_ids[i] >= facts->type_vocab_size))
            return TERN_FAIL(err, TERN_E_CONFIG,
                             "text %zu: the tokenizer gives id %d (type %d); config.json has vocab_size %lld (type_vocab_size %lld)", text,
                             encoding->ids[i], encoding->type_ids[i], (long long)facts->vocab_size, (long long)facts->type_vocab_size);
    return TERN_OK;
}

tern_status tern__encode_texts(tern_encoding *encodings, const tern_model *model, const tern_text *texts, const tern_text *pairs,
                               size_t n_texts, tern_encode_options options, tern_error *err) {
    if (model->tokenizer == NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "the model's folder has no tokenizer (tokenizer.json, vocab.txt ...); texts need one");
    if (options.max_length == 0 && model->max_seq_length != INT64_MAX) options.max_length = (size_t)model->max_seq_length;
    if (model->folder.arch == &tern__static_embedding) options.add_special_tokens = false;
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
    size_t index;               /* in the caller's order */
    size_t n_picks, first_pick; /* in its batch */
} sequence;

#define MAX_PICKS 256 /* of a batch, unless one sequence has more: each may have a row as wide as the vocabulary */

typedef struct batches {
    const tern_sequence_run *run;
    sequence *sequences; /* [n], longest first */
    size_t budget;
    tern_rows_builder rows;
    tern_run_output outputs[TERN_RUN_MAX_OUTPUTS];
    int32_t *picks; /* rows; NULL: no output is of picks */
    tern_space spaces[TERN_RUN_MAX_OUTPUTS];
    size_t widths[TERN_RUN_MAX_OUTPUTS];
} batches;

static int by_length(const void *left, const void *right) {
    const sequence *a = left, *b = right;
    if (a->encoding->n != b->encoding->n) return a->encoding->n > b->encoding->n ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* What a batch holds. */
typedef struct batch_size {
    size_t n_sequences, n_tokens, n_picks;
} batch_size;

/* What it counts of the budget: its tokens, and one where it has none. */
static size_t budget_of(const sequence *s) { return s->encoding->n > 0 ? s->encoding->n : 1; }

/* Sequences from `first` on that fit the budget together; at least one. */
static size_t batch_end(const batches *b, size_t first, batch_size *size) {
    size_t end = first;
    *size = (batch_size){0};
    do {
        size->n_tokens += budget_of(&b->sequences[end]);
        size->n_picks += b->sequences[end].n_picks;
        end++;
    } while (end < b->run->n && size->n_tokens + budget_of(&b->sequences[end]) <= b->budget &&
             size->n_picks + b->sequences[end].n_picks <= MAX_PICKS);
    size->n_sequences = end - first;
    return end;
}

static size_t rows_in(tern_space space, const batch_size *size) {
    return space == TERN_SPACE_TOKENS ? size->n_tokens : space == TERN_SPACE_PICKS ? size->n_picks : size->n_sequences;
}

/* Room for the largest batch: the longest sequences come first, so a later batch may hold more of them, but not more tokens. */
static tern_status allocate(batches *b, tern_error *err) {
    const tern_program *program = b->run->model->folder.program;
    batch_size most = {0}, size;
    for (size_t first = 0, end; first < b->run->n; first = end) {
        end = batch_end(b, first, &size);
        if (size.n_sequences > most.n_sequences) most.n_sequences = size.n_sequences;
        if (size.n_tokens > most.n_tokens) most.n_tokens = size.n_tokens;
        if (size.n_picks > most.n_picks) most.n_picks = size.n_picks;
    }
    b->picks = tern__alloc(most.n_picks, sizeof *b->picks);
    if (b->picks == NULL) return TERN_FAIL_MEMORY(err, most.n_picks * sizeof *b->picks);
    for (size_t o = 0; o < b->run->n_outputs; o++) {
        const tern_value_info *info = tern__value(program, program->outputs[b->run->outputs[o]].value);
        size_t elements;
        b->spaces[o] = info->space;
        b->widths[o] = (size_t)info->width;
        b->outputs[o].output = b->run->outputs[o];
        if (!tern__size_multiply(rows_in(info->space, &most), b->widths[o], &elements)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
        b->outputs[o].data = tern__alloc(elements, sizeof(float));
        if (b->outputs[o].data == NULL) return TERN_FAIL_MEMORY(err, elements * sizeof(float));
    }
    return tern__rows_new(&b->rows, (int64_t)most.n_sequences, (int64_t)most.n_tokens, err);
}

static void fill_rows(batches *b, size_t first, size_t end) {
    const tern_arch_facts *facts = &b->run->model->folder.facts;
    size_t n_picks = 0;
    tern__rows_clear(&b->rows);
    for (size_t s = first; s < end; s++) {
        b->sequences[s].first_pick = n_picks;
        const tern_encoding *encoding = b->sequences[s].encoding;
        int64_t n_counted = 0;
        for (size_t i = 0; i < encoding->n; i++) {
            if (b->sequences[s].n_picks > 0 && encoding->ids[i] == b->run->pick_id) b->picks[n_picks++] = (int32_t)b->rows.batch.n_tokens;
            const int32_t type = b->run->model->uses_token_types ? encoding->type_ids[i] : 0;
            tern__rows_add(&b->rows, encoding->ids[i], type, tern__position_id(facts, encoding->ids[i], (int64_t)i, &n_counted),
                           (int32_t)i);
        }
        tern__rows_end_sequence(&b->rows);
    }
    b->rows.batch.n_picks = (int64_t)n_picks;
    b->rows.batch.picks = b->picks;
    b->rows.batch.n_prompt_rows = b->run->n_prompt_rows;
}

/* The row of an output at which a sequence's part begins. */
static size_t first_row(const batches *b, tern_space space, size_t first, size_t s) {
    return space == TERN_SPACE_TOKENS  ? (size_t)b->rows.row_start[s - first]
           : space == TERN_SPACE_PICKS ? b->sequences[s].first_pick
                                       : s - first;
}

static tern_status run_batch(batches *b, size_t first, size_t end, tern_error *err) {
    const tern_sequence_run *run = b->run;
    const int64_t start_ns = tern__clock_ns();
    fill_rows(b, first, end);
    b->rows.batch.node_ns = run->node_ns;
    const int64_t packed_ns = tern__clock_ns();
    TERN_TRY(tern__model_run(run->model, &b->rows.batch, b->outputs, run->n_outputs, err));
    const int64_t computed_ns = tern__clock_ns();
    for (size_t s = first; s < end; s++) {
        const float *rows[TERN_RUN_MAX_OUTPUTS];
        for (size_t o = 0; o < run->n_outputs; o++) rows[o] = b->outputs[o].data + first_row(b, b->spaces[o], first, s) * b->widths[o];
        TERN_TRY(run->take(run->context, b->sequences[s].index, rows, err));
    }
    if (run->times != NULL) {
        run->times->pack_ns += packed_ns - start_ns;
        run->times->compute_ns += computed_ns - packed_ns;
        run->times->result_ns += tern__clock_ns() - computed_ns;
    }
    return TERN_OK;
}

static bool has_picks(const tern_sequence_run *run) {
    const tern_program *program = run->model->folder.program;
    for (size_t o = 0; o < run->n_outputs; o++)
        if (tern__value(program, program->outputs[run->outputs[o]].value)->space == TERN_SPACE_PICKS) return true;
    return false;
}

static tern_status run_batches(batches *b, tern_error *err) {
    const tern_sequence_run *run = b->run;
    const int64_t start_ns = tern__clock_ns();
    b->sequences = tern__alloc(run->n, sizeof *b->sequences);
    if (b->sequences == NULL) return TERN_FAIL_MEMORY(err, run->n * sizeof *b->sequences);
    const bool picks = has_picks(run);
    for (size_t i = 0; i < run->n; i++) {
        b->sequences[i] = (sequence){.encoding = &run->encodings[i], .index = i};
        for (size_t t = 0; t < run->encodings[i].n && picks; t++) b->sequences[i].n_picks += run->encodings[i].ids[t] == run->pick_id;
    }
    qsort(b->sequences, run->n, sizeof *b->sequences, by_length);
    TERN_TRY(allocate(b, err));
    if (run->times != NULL) run->times->pack_ns += tern__clock_ns() - start_ns;
    batch_size size;
    for (size_t first = 0, end; first < run->n; first = end) {
        end = batch_end(b, first, &size);
        TERN_TRY(run_batch(b, first, end, err));
        if (run->progress != NULL && !run->progress(run->user, end, run->n))
            return TERN_FAIL(err, TERN_E_CANCELLED, "stopped after %zu of %zu texts", end, run->n);
    }
    return TERN_OK;
}

tern_status tern__sequence_run(const tern_sequence_run *run, tern_error *err) {
    if (run->n_truncated != NULL) *run->n_truncated = 0;
    if (run->n == 0) return TERN_OK;
    batches b = {.run = run, .budget = run->max_batch_tokens != 0 ? run->max_batch_tokens : TERN_DEFAULT_BATCH_TOKENS};
    const tern_status status = run_batches(&b, err);
    for (size_t i = 0; i < run->n && run->n_truncated != NULL && status == TERN_OK; i++)
        *run->n_truncated += run->encodings[i].n_truncated > 0;
    for (size_t o = 0; o < run->n_outputs; o++) free(b.outputs[o].data);
    free(b.sequences);
    free(b.picks);
    tern__rows_free(&b.rows);
    return status;
}
