/* embed_run.c - many texts through a model. Where the device takes two runs at once, ids are made of some texts while others are computed;
 * elsewhere, where the same cores do both, of all texts first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "task/embed_texts.h"
#include "task/feature_extraction.h"

#define SPARSE_SHARE 8    /* of the token budget */
#define CHUNK_TEXTS  2048 /* a dozen batches of short texts */

/* Some of the texts, as ids. */
typedef struct chunk {
    size_t first, n;
    tern_encoding *encodings; /* [n] */
    int64_t n_prompt_rows, tokenize_ns;
    tern_status status;
    tern_error error;
} chunk;

typedef struct embed_run {
    tern_model *model;
    const tern_text *texts;
    size_t n_texts;
    const tern_embed_options *options;
    int32_t output;
    const tern_embed_taker *taker;
    int32_t *n_tokens; /* NULL: not wanted */
    tern_stage_times times;
    size_t n_truncated, n_done;
    chunk now, next; /* the one that runs; the one behind it, n 0 behind the last */
    tern_status status;
    tern_error *err;
} embed_run;

/* ---- Texts to ids ---- */

/* "text 3: ..." of a chunk's texts becomes the number of the caller's. */
static void renumber(tern_error *err, size_t first) {
    char message[sizeof err->message];
    size_t text;
    int n = 0;
    if (sscanf(err->message, "text %zu%n", &text, &n) != 1) return;
    snprintf(message, sizeof message, "text %zu%s", first + text, err->message + n);
    memcpy(err->message, message, sizeof message);
}

static void encode_chunk(const embed_run *run, chunk *c) {
    const int64_t start_ns = tern__clock_ns();
    tern_embed_options options = *run->options;
    options.with_windows = false;
    c->encodings = tern__alloc_zero(c->n, sizeof *c->encodings);
    c->status = c->encodings != NULL ? tern__encode_for_embedding(c->encodings, &c->n_prompt_rows, run->model, run->texts + c->first, c->n,
                                                                  &options, &c->error)
                                     : TERN_FAIL_MEMORY(&c->error, c->n * sizeof *c->encodings);
    if (c->status != TERN_OK) renumber(&c->error, c->first);
    c->tokenize_ns = tern__clock_ns() - start_ns;
}

static void free_chunk(chunk *c) {
    tern__encodings_free(c->encodings, c->n);
    *c = (chunk){0};
}

/* ---- Ids to rows ---- */

static tern_status take_text(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    const embed_run *run = context;
    return run->taker->take(run->taker->context, run->now.first + sequence, rows, err);
}

static bool show_progress(void *user, size_t done, size_t total) {
    embed_run *run = user;
    (void)total;
    run->n_done = run->now.first + done;
    return run->options->progress(run->options->user, run->n_done, run->n_texts);
}

static tern_status compute_chunk(embed_run *run) {
    const chunk *c = &run->now;
    /* Each token of a sparse model has a row as wide as the vocabulary. */
    const size_t share = run->model->folder.chain.is_sparse ? SPARSE_SHARE : 1;
    size_t n_truncated = 0;
    const tern_sequence_run sequences = {
        .model = run->model,
        .encodings = c->encodings,
        .n = c->n,
        .outputs = {run->output},
        .n_outputs = 1,
        .n_prompt_rows = c->n_prompt_rows,
        .max_batch_tokens = (run->options->max_batch_tokens != 0 ? run->options->max_batch_tokens : TERN_DEFAULT_BATCH_TOKENS) / share,
        .progress = run->options->progress != NULL ? show_progress : NULL,
        .user = run,
        .n_truncated = &n_truncated,
        .times = &run->times,
        .take = take_text,
        .context = run};
    run->times.tokenize_ns += c->tokenize_ns;
    for (size_t t = 0; t < c->n && run->n_tokens != NULL; t++) run->n_tokens[c->first + t] = (int32_t)c->encodings[t].n;
    const tern_status status = tern__sequence_run(&sequences, run->err);
    run->n_truncated += n_truncated;
    return status != TERN_E_CANCELLED ? status
                                      : TERN_FAIL(run->err, TERN_E_CANCELLED, "stopped after %zu of %zu texts", run->n_done, run->n_texts);
}

/* The caller computes; the other thread makes ids. */
static void run_part(void *argument, int thread) {
    embed_run *run = argument;
    if (thread == 0) run->status = compute_chunk(run);
    else encode_chunk(run, &run->next);
}

/* ---- The run ---- */

static tern_status run_chunks(embed_run *run, size_t chunk_texts, tern_thread_pool *pool) {
    run->now.n = chunk_texts;
    encode_chunk(run, &run->now);
    while (run->now.n > 0) {
        if (run->now.status != TERN_OK) {
            if (run->err != NULL) *run->err = run->now.error;
            return run->now.status;
        }
        run->next.first = run->now.first + run->now.n;
        run->next.n = run->n_texts - run->next.first < chunk_texts ? run->n_texts - run->next.first : chunk_texts;
        if (run->next.n > 0) tern__thread_pool_run(pool, run_part, run);
        else run_part(run, 0);
        if (run->status != TERN_OK) return run->status;
        free_chunk(&run->now);
        run->now = run->next;
        run->next = (chunk){0};
    }
    return TERN_OK;
}

tern_status tern__embed_run(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options, int32_t output,
                            const tern_embed_taker *taker, int32_t *n_tokens, tern_error *err) {
    if (options->times != NULL) *options->times = (tern_stage_times){0};
    if (options->n_truncated != NULL) *options->n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    const bool overlaps = model->device->max_concurrent_runs > 1 && n_texts > CHUNK_TEXTS;
    embed_run run = {.model = model,
                     .texts = texts,
                     .n_texts = n_texts,
                     .options = options,
                     .output = output,
                     .taker = taker,
                     .n_tokens = n_tokens,
                     .err = err};
    tern_thread_pool *pool = NULL;
    if (overlaps) TERN_TRY(tern__thread_pool_new(&pool, 2, err));
    const tern_status status = run_chunks(&run, overlaps ? CHUNK_TEXTS : n_texts, pool);
    tern__thread_pool_free(pool);
    if (status == TERN_OK && options->times != NULL) *options->times = run.times;
    if (status == TERN_OK && options->n_truncated != NULL) *options->n_truncated = run.n_truncated;
    free_chunk(&run.now);
    free_chunk(&run.next);
    return status;
}
