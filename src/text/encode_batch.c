/* encode_batch.c - many texts by several threads, each with an encoder of its own, which share the texts out in runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/thread_pool.h"
#include "text/encoder.h"

/* What a thread works with. */
typedef struct tern_batch_worker {
    tern_encoder encoder;
    size_t failed_text; /* SIZE_MAX: none */
    tern_status status;
    tern_error err;
} tern_batch_worker;

typedef struct tern_batch {
    tern_encoding *encodings;
    const tern_text *texts, *pairs;
    size_t n_texts, run_length; /* texts of a run, which one thread takes at once */
    tern_thread_pool *pool;     /* NULL: the caller alone */
    tern_batch_worker *workers; /* [threads] */
    atomic_size_t failed_text;  /* the first so far: those behind it need not be encoded */
} tern_batch;

static void note_failure(tern_batch *batch, tern_batch_worker *worker, size_t text, tern_status status) {
    worker->failed_text = text;
    worker->status = status;
    size_t first = atomic_load(&batch->failed_text);
    while (text < first && !atomic_compare_exchange_weak(&batch->failed_text, &first, text)) {}
}

static void encode_run(tern_batch *batch, tern_batch_worker *worker, size_t run) {
    size_t first = run * batch->run_length;
    for (size_t t = first; t < batch->n_texts && t - first < batch->run_length; t++) {
        if (t > atomic_load(&batch->failed_text)) return;
        tern_status status = tern__encoder_encode(&batch->encodings[t], &worker->encoder, batch->texts[t],
                                                  batch->pairs && batch->pairs[t].data ? &batch->pairs[t] : NULL, &worker->err);
        if (status != TERN_OK) note_failure(batch, worker, t, status);
    }
}

static size_t count_runs(const tern_batch *batch) { return (batch->n_texts - 1) / batch->run_length + 1; }

static void run_worker(void *argument, int thread) {
    tern_batch *batch = argument;
    tern_tasks tasks = tern__tasks_begin(batch->pool, thread);
    tern__tasks_start(&tasks, count_runs(batch));
    for (size_t run; tern__tasks_take(&tasks, &run);) encode_run(batch, &batch->workers[thread], run);
    tern__tasks_wait(&tasks);
}

/* Threads that this much text is worth: to start one takes as long as to encode some thousand bytes. */
static int count_threads(const tern_batch *batch, int threads) {
    enum { BYTES_PER_THREAD = 16384 };
    if (threads == 0) threads = tern__thread_count_default();
    size_t bytes = 0;
    for (size_t t = 0; t < batch->n_texts; t++) {
        bytes += batch->texts[t].bytes + (batch->pairs ? batch->pairs[t].bytes : 0);
        if (bytes / BYTES_PER_THREAD >= (size_t)threads) break;
    }
    size_t worth = 1 + bytes / BYTES_PER_THREAD;
    if (worth > batch->n_texts) worth = batch->n_texts;
    return worth < (size_t)threads ? (int)worth : threads;
}

/* The encoders have been started. */
static tern_status run_batch(tern_batch *batch, int n_threads, tern_error *err) {
    if (n_threads == 1) {
        for (size_t run = 0; run < count_runs(batch); run++) encode_run(batch, &batch->workers[0], run);
    } else {
        TERN_TRY(tern__thread_pool_new(&batch->pool, n_threads, err));
        tern__thread_pool_run(batch->pool, run_worker, batch);
        tern__thread_pool_free(batch->pool);
    }
    size_t failed = atomic_load(&batch->failed_text);
    for (int i = 0; failed != SIZE_MAX && i < n_threads; i++) {
        if (batch->workers[i].failed_text != failed) continue;
        char prefix[32];
        snprintf(prefix, sizeof prefix, "text %zu", failed);
        if (err) *err = batch->workers[i].err;
        return tern__fail_prefix(err, batch->workers[i].status, prefix);
    }
    return TERN_OK;
}

tern_status tern_tokenizer_encode_batch(tern_encoding *encodings, const tern_tokenizer *tokenizer, const tern_text *texts,
                                        const tern_text *pairs, size_t n_texts, const tern_encode_options *options, tern_error *err) {
    enum { RUNS_PER_THREAD = 16, LONGEST_RUN = 64 };
    tern_batch batch = {.encodings = encodings, .texts = texts, .pairs = pairs, .n_texts = n_texts};
    int threads = options ? options->threads : 0;
    atomic_init(&batch.failed_text, SIZE_MAX);
    for (size_t t = 0; t < n_texts; t++) encodings[t] = (tern_encoding){0};
    if (threads < 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "threads is %d, which must be 0 or more", threads);
    if (n_texts == 0) return TERN_OK;
    threads = count_threads(&batch, threads);
    batch.run_length = n_texts / ((size_t)threads * RUNS_PER_THREAD) + 1;
    if (batch.run_length > LONGEST_RUN) batch.run_length = LONGEST_RUN;
    batch.workers = tern__alloc_zero((size_t)threads, sizeof *batch.workers);
    if (!batch.workers) return TERN_FAIL_MEMORY(err, (size_t)threads * sizeof *batch.workers);
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < threads; i++) {
        batch.workers[i].failed_text = SIZE_MAX;
        status = tern__encoder_start(&batch.workers[i].encoder, tokenizer, options, err);
    }
    if (status == TERN_OK) status = run_batch(&batch, threads, err);
    for (int i = 0; i < threads; i++) tern__encoder_free(&batch.workers[i].encoder);
    free(batch.workers);
    for (size_t t = 0; status != TERN_OK && t < n_texts; t++) tern_encoding_free(&encodings[t]);
    return status;
}
