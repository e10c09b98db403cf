/* sequence_run.c - see sequence_run.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/sequence_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread_pool.h"

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
    tern_space spaces[TERN_RUN_MAX_OUTPUTS];
    size_t widths[TERN_RUN_MAX_OUTPUTS];
} batches;

/* Of one batch at a time. */
typedef struct batch_memory {
    tern_rows_builder rows;
    tern_run_output outputs[TERN_RUN_MAX_OUTPUTS];
    int32_t *picks; /* rows; NULL: no output is of picks */
} batch_memory;

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
static tern_status allocate(const batches *b, batch_memory *m, tern_error *err) {
    batch_size most = {0}, size;
    for (size_t first = 0, end; first < b->run->n; first = end) {
        end = batch_end(b, first, &size);
        if (size.n_sequences > most.n_sequences) most.n_sequences = size.n_sequences;
        if (size.n_tokens > most.n_tokens) most.n_tokens = size.n_tokens;
        if (size.n_picks > most.n_picks) most.n_picks = size.n_picks;
    }
    m->picks = tern__alloc(most.n_picks, sizeof *m->picks);
    if (m->picks == NULL) return TERN_FAIL_MEMORY(err, most.n_picks * sizeof *m->picks);
    for (size_t o = 0; o < b->run->n_outputs; o++) {
        size_t elements;
        m->outputs[o].output = b->run->outputs[o];
        if (!tern__size_multiply(rows_in(b->spaces[o], &most), b->widths[o], &elements)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
        m->outputs[o].data = tern__alloc(elements, sizeof(float));
        if (m->outputs[o].data == NULL) return TERN_FAIL_MEMORY(err, elements * sizeof(float));
    }
    return tern__rows_new(&m->rows, (int64_t)most.n_sequences, (int64_t)most.n_tokens, err);
}

static void free_memory(batch_memory *m) {
    for (size_t o = 0; o < TERN_RUN_MAX_OUTPUTS; o++) free(m->outputs[o].data);
    free(m->picks);
    tern__rows_free(&m->rows);
}

static void fill_rows(const batches *b, batch_memory *m, size_t first, size_t end) {
    const tern_arch_facts *facts = &b->run->model->folder.facts;
    size_t n_picks = 0;
    tern__rows_clear(&m->rows);
    for (size_t s = first; s < end; s++) {
        b->sequences[s].first_pick = n_picks;
        const tern_encoding *encoding = b->sequences[s].encoding;
        int64_t n_counted = 0;
        for (size_t i = 0; i < encoding->n; i++) {
            if (b->sequences[s].n_picks > 0 && encoding->ids[i] == b->run->pick_id) m->picks[n_picks++] = (int32_t)m->rows.batch.n_tokens;
            const int32_t type = b->run->model->uses_token_types ? encoding->type_ids[i] : 0;
            tern__rows_add(&m->rows, encoding->ids[i], type, tern__position_id(facts, encoding->ids[i], (int64_t)i, &n_counted),
                           (int32_t)i);
        }
        tern__rows_end_sequence(&m->rows);
    }
    m->rows.batch.n_picks = (int64_t)n_picks;
    m->rows.batch.picks = m->picks;
    m->rows.batch.n_prompt_rows = b->run->n_prompt_rows;
    m->rows.batch.node_ns = b->run->node_ns;
}

/* The row of output o at which the part of sequence s begins, in the batch that begins with sequence `first`. */
static size_t first_row(const batches *b, const batch_memory *m, size_t o, size_t first, size_t s) {
    return b->spaces[o] == TERN_SPACE_TOKENS  ? (size_t)m->rows.row_start[s - first]
           : b->spaces[o] == TERN_SPACE_PICKS ? b->sequences[s].first_pick
                                              : s - first;
}

static tern_status hand_on(const batches *b, const batch_memory *m, size_t first, size_t end, tern_error *err) {
    const tern_sequence_run *run = b->run;
    for (size_t s = first; s < end; s++) {
        const float *rows[TERN_RUN_MAX_OUTPUTS];
        for (size_t o = 0; o < run->n_outputs; o++) rows[o] = m->outputs[o].data + first_row(b, m, o, first, s) * b->widths[o];
        TERN_TRY(run->take(run->context, b->sequences[s].index, rows, err));
    }
    return TERN_OK;
}

static tern_status report_progress(const tern_sequence_run *run, size_t done, tern_error *err) {
    if (run->progress == NULL || run->progress(run->user, done, run->n)) return TERN_OK;
    return TERN_FAIL(err, TERN_E_CANCELLED, "stopped after %zu of %zu texts", done, run->n);
}

/* ---- One batch after another ---- */

static tern_status run_batch(const batches *b, batch_memory *m, size_t first, size_t end, tern_error *err) {
    const tern_sequence_run *run = b->run;
    const int64_t start_ns = tern__clock_ns();
    fill_rows(b, m, first, end);
    const int64_t packed_ns = tern__clock_ns();
    TERN_TRY(tern__model_run(run->model, &m->rows.batch, m->outputs, run->n_outputs, err));
    const int64_t computed_ns = tern__clock_ns();
    TERN_TRY(hand_on(b, m, first, end, err));
    if (run->times != NULL) {
        run->times->pack_ns += packed_ns - start_ns;
        run->times->compute_ns += computed_ns - packed_ns;
        run->times->result_ns += tern__clock_ns() - computed_ns;
    }
    return TERN_OK;
}

static tern_status run_in_turn(const batches *b, tern_error *err) {
    batch_memory memory = {0};
    batch_size size;
    const int64_t start_ns = tern__clock_ns();
    tern_status status = allocate(b, &memory, err);
    if (b->run->times != NULL) b->run->times->pack_ns += tern__clock_ns() - start_ns;
    for (size_t first = 0, end; first < b->run->n && status == TERN_OK; first = end) {
        end = batch_end(b, first, &size);
        status = run_batch(b, &memory, first, end, err);
        if (status == TERN_OK) status = report_progress(b->run, end, err);
    }
    free_memory(&memory);
    return status;
}

/* ---- Two batches at once: two threads pack and run every other batch, and the caller hands their results on in the order of one ---- */

#define N_WORKERS 2

typedef struct batch_worker {
    batch_memory memory;
    bool is_full; /* a batch is computed and not handed on yet */
    tern_status status;
    tern_error error;
} batch_worker;

typedef struct overlap {
    const batches *batches;
    batch_worker workers[N_WORKERS];
    tern_stage_times times;
    int n_running; /* runs under way */
    int64_t running_since_ns;
    bool is_stopping;
    tern_status status; /* the caller's */
    tern_error *err;
    pthread_mutex_t lock; /* of all that both sides write, and of the workers' memory by is_full */
    pthread_cond_t changed;
} overlap;

static void compute_batch(overlap *o, batch_worker *worker, size_t first, size_t end) {
    const tern_sequence_run *run = o->batches->run;
    const int64_t start_ns = tern__clock_ns();
    fill_rows(o->batches, &worker->memory, first, end);
    pthread_mutex_lock(&o->lock);
    const int64_t packed_ns = tern__clock_ns();
    o->times.pack_ns += packed_ns - start_ns;
    if (o->n_running++ == 0) o->running_since_ns = packed_ns;
    pthread_mutex_unlock(&o->lock);
    const tern_status status =
        tern__model_run(run->model, &worker->memory.rows.batch, worker->memory.outputs, run->n_outputs, &worker->error);
    pthread_mutex_lock(&o->lock);
    if (--o->n_running == 0) o->times.compute_ns += tern__clock_ns() - o->running_since_ns;
    worker->status = status;
    worker->is_full = status == TERN_OK;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
}

static void compute_batches(overlap *o, size_t w) {
    batch_worker *worker = &o->workers[w];
    batch_size size;
    size_t end;
    for (size_t first = 0, n = 0; first < o->batches->run->n; first = end, n++) {
        end = batch_end(o->batches, first, &size);
        if (n % N_WORKERS != w) continue;
        pthread_mutex_lock(&o->lock);
        while (worker->is_full && !o->is_stopping) pthread_cond_wait(&o->changed, &o->lock);
        const bool goes_on = !o->is_stopping && worker->status == TERN_OK;
        pthread_mutex_unlock(&o->lock);
        if (!goes_on) return;
        compute_batch(o, worker, first, end);
    }
}

/* Wait for the worker's batch. */
static tern_status await_batch(overlap *o, batch_worker *worker) {
    pthread_mutex_lock(&o->lock);
    while (!worker->is_full && worker->status == TERN_OK) pthread_cond_wait(&o->changed, &o->lock);
    const tern_status status = worker->status;
    pthread_mutex_unlock(&o->lock);
    if (status != TERN_OK && o->err != NULL) *o->err = worker->error;
    return status;
}

static void hand_all_on(overlap *o) {
    const batches *b = o->batches;
    batch_size size;
    size_t end;
    for (size_t first = 0, n = 0; first < b->run->n && o->status == TERN_OK; first = end, n++) {
        batch_worker *worker = &o->workers[n % N_WORKERS];
        end = batch_end(b, first, &size);
        o->status = await_batch(o, worker);
        const int64_t start_ns = tern__clock_ns();
        if (o->status == TERN_OK) o->status = hand_on(b, &worker->memory, first, end, o->err);
        const int64_t end_ns = tern__clock_ns();
        if (o->status == TERN_OK) o->status = report_progress(b->run, end, o->err);
        pthread_mutex_lock(&o->lock);
        o->times.result_ns += end_ns - start_ns;
        worker->is_full = false;
        o->is_stopping = o->status != TERN_OK;
        pthread_cond_broadcast(&o->changed);
        pthread_mutex_unlock(&o->lock);
    }
}

static void run_part(void *argument, int thread) {
    if (thread == 0) hand_all_on(argument);
    else compute_batches(argument, (size_t)thread - 1);
}

static tern_status run_overlapping(overlap *o, tern_error *err) {
    tern_thread_pool *pool;
    const int64_t start_ns = tern__clock_ns();
    for (int w = 0; w < N_WORKERS; w++) TERN_TRY(allocate(o->batches, &o->workers[w].memory, err));
    TERN_TRY(tern__thread_pool_new(&pool, 1 + N_WORKERS, err));
    o->times.pack_ns += tern__clock_ns() - start_ns;
    tern__thread_pool_run(pool, run_part, o);
    tern__thread_pool_free(pool);
    return o->status;
}

static tern_status run_two_at_once(const batches *b, tern_error *err) {
    overlap o = {.batches = b, .err = err};
    const bool has_lock = pthread_mutex_init(&o.lock, NULL) == 0, has_condition = pthread_cond_init(&o.changed, NULL) == 0;
    const tern_status status =
        has_lock && has_condition ? run_overlapping(&o, err) : TERN_FAIL(err, TERN_E_MEMORY, "locks could not be made");
    if (has_lock) pthread_mutex_destroy(&o.lock);
    if (has_condition) pthread_cond_destroy(&o.changed);
    for (int w = 0; w < N_WORKERS; w++) free_memory(&o.workers[w].memory);
    if (b->run->times != NULL) {
        b->run->times->pack_ns += o.times.pack_ns;
        b->run->times->compute_ns += o.times.compute_ns;
        b->run->times->result_ns += o.times.result_ns;
    }
    return status;
}

/* ---- The run ---- */

/* What the outputs are like; are there rows of picks? */
static bool describe_outputs(batches *b) {
    const tern_program *program = b->run->model->folder.program;
    bool has_picks = false;
    for (size_t o = 0; o < b->run->n_outputs; o++) {
        const tern_value_info *info = tern__value(program, program->outputs[b->run->outputs[o]].value);
        b->spaces[o] = info->space;
        b->widths[o] = (size_t)info->width;
        has_picks |= info->space == TERN_SPACE_PICKS;
    }
    return has_picks;
}

static tern_status run_batches(batches *b, tern_error *err) {
    const tern_sequence_run *run = b->run;
    const int64_t start_ns = tern__clock_ns();
    b->sequences = tern__alloc(run->n, sizeof *b->sequences);
    if (b->sequences == NULL) return TERN_FAIL_MEMORY(err, run->n * sizeof *b->sequences);
    const bool has_picks = describe_outputs(b);
    for (size_t i = 0; i < run->n; i++) {
        b->sequences[i] = (sequence){.encoding = &run->encodings[i], .index = i};
        for (size_t t = 0; t < run->encodings[i].n && has_picks; t++) b->sequences[i].n_picks += run->encodings[i].ids[t] == run->pick_id;
    }
    qsort(b->sequences, run->n, sizeof *b->sequences, by_length);
    if (run->times != NULL) run->times->pack_ns += tern__clock_ns() - start_ns;
    batch_size size;
    const bool overlaps = run->model->device->max_concurrent_runs > 1 && batch_end(b, 0, &size) < run->n;
    return overlaps ? run_two_at_once(b, err) : run_in_turn(b, err);
}

tern_status tern__sequence_run(const tern_sequence_run *run, tern_error *err) {
    if (run->n_truncated != NULL) *run->n_truncated = 0;
    if (run->n == 0) return TERN_OK;
    batches b = {.run = run, .budget = run->max_batch_tokens != 0 ? run->max_batch_tokens : TERN_DEFAULT_BATCH_TOKENS};
    const tern_status status = run_batches(&b, err);
    for (size_t i = 0; i < run->n && run->n_truncated != NULL && status == TERN_OK; i++)
        *run->n_truncated += run->encodings[i].n_truncated > 0;
    free(b.sequences);
    return status;
}
