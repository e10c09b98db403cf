/* unit_overlapping_runs.c - embedding on a device that takes two runs at once, which here is the CPU device behind a record of its own: the
 * vectors are those of one run after another, progress is the caller's, and nothing is lost when a run fails or the caller stops.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/clock.h"
#include "model/model.h"

enum { HIDDEN = 24, N_TEXTS = 5000, BUDGET = 700 };

static char root[64], folder[96];
static tern_text texts[N_TEXTS];
static char storage[N_TEXTS * 64];

/* ---- The device ---- */

static struct {
    pthread_mutex_t lock; /* of what follows */
    pthread_mutex_t one;  /* the CPU device takes one run at a time */
    pthread_cond_t begun; /* a run */
    int n_running, n_most;
    bool waits_for_two;   /* no run ends before two have been under way at once: however slowly the second thread is scheduled */
    long n_runs, fail_at; /* the number of the run that fails, -1: none */
} device = {.lock = PTHREAD_MUTEX_INITIALIZER, .one = PTHREAD_MUTEX_INITIALIZER, .begun = PTHREAD_COND_INITIALIZER, .fail_at = -1};

/* With the lock held. It gives up after a minute, so that what never overlaps is a failed check of n_most, not a hang. */
static void wait_for_two(void) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 60;
    while (device.n_most < 2 && device.waits_for_two)
        if (pthread_cond_timedwait(&device.begun, &device.lock, &deadline) != 0) device.waits_for_two = false;
}

static tern_status run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    pthread_mutex_lock(&device.lock);
    const bool fails = device.n_runs++ == device.fail_at;
    if (++device.n_running > device.n_most) device.n_most = device.n_running;
    pthread_cond_broadcast(&device.begun);
    if (device.waits_for_two) wait_for_two();
    pthread_mutex_unlock(&device.lock);
    tern_status status = TERN_OK;
    if (fails) {
        status = TERN_FAIL(err, TERN_E_DEVICE, "run %ld fails", device.fail_at);
    } else {
        pthread_mutex_lock(&device.one);
        status = tern__device_cpu.run(compiled, batch, outputs, n_outputs, err);
        pthread_mutex_unlock(&device.one);
    }
    pthread_mutex_lock(&device.lock);
    device.n_running--;
    pthread_mutex_unlock(&device.lock);
    return status;
}

static tern_model *load(tern_device_record *record) {
    tern_model *model;
    tern_error err;
    tern_model_options options = tern_model_options_default();
    options.threads = 1;
    if (tern_model_load(&model, folder, &options, &err) != TERN_OK) fail_msg("%s", err.message);
    if (record != NULL) {
        *record = tern__device_cpu;
        record->max_concurrent_runs = 2;
        record->run = run;
        model->device = record;
    }
    device.n_most = 0, device.n_runs = 0, device.fail_at = -1, device.waits_for_two = false;
    return model;
}

/* ---- The texts: 1 to 12 words in no order, so that lengths and batches differ ---- */

static void make_texts(void) {
    uint32_t random = 5;
    char *to = storage;
    for (size_t t = 0; t < N_TEXTS; t++) {
        texts[t].data = to;
        random = random * 1664525u + 1013904223u;
        for (uint32_t w = 0; w < 1 + (random >> 24) % 12; w++) *to++ = (char)('a' + (random >> (w + 3)) % 26), *to++ = ' ';
        texts[t].bytes = (size_t)(to - texts[t].data);
    }
    assert_true((size_t)(to - storage) <= sizeof storage);
}

static int set_up(void **state) {
    (void)state;
    char path[96];
    snprintf(root, sizeof root, "/tmp/tern_unit_overlap_XXXXXX");
    if (mkdtemp(root) == NULL) return -1;
    snprintf(folder, sizeof folder, "%s/tiny", root);
    snprintf(path, sizeof path, "%s/config.json", root);
    FILE *stream = fopen(path, "w");
    if (stream == NULL) return -1;
    fprintf(stream,
            "{\"model_type\": \"bert\", \"vocab_size\": 100, \"hidden_size\": %d, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
            " \"intermediate_size\": 32, \"max_position_embeddings\": 10, \"type_vocab_size\": 2}",
            HIDDEN);
    fclose(stream);
    make_texts();
    return tern_checkpoint_init(path, 7, folder, NULL) == TERN_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* ---- A call ---- */

typedef struct call {
    pthread_t caller;
    size_t n_done, n_total, n_reports, stop_at; /* stop_at 0: never */
    tern_stage_times times;
    size_t n_truncated;
    int32_t n_tokens[N_TEXTS];
    float rows[N_TEXTS * HIDDEN];
    tern_error err;
    tern_model *model; /* of a thread */
} call;

static bool note_progress(void *user, size_t done, size_t total) {
    call *c = user;
    assert_true(pthread_equal(pthread_self(), c->caller));
    assert_true(done > c->n_done && done <= total);
    c->n_done = done, c->n_total = total, c->n_reports++;
    return c->stop_at == 0 || done < c->stop_at;
}

static tern_status embed(call *c, tern_model *model) {
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = BUDGET;
    options.progress = note_progress;
    options.user = c;
    options.times = &c->times;
    options.n_truncated = &c->n_truncated;
    c->caller = pthread_self();
    c->n_done = c->n_reports = 0;
    return tern_model_embed(model, texts, N_TEXTS, &options, c->rows, c->n_tokens, &c->err);
}

static call *new_call(void) {
    call *c = calloc(1, sizeof *c);
    assert_non_null(c);
    return c;
}

static call *expected(void) {
    tern_model *model = load(NULL);
    call *c = new_call();
    assert_int_equal(embed(c, model), TERN_OK);
    assert_true(c->n_truncated > 0 && c->n_truncated < N_TEXTS);
    tern_model_free(model);
    return c;
}

static void expect_same(const call *c, const call *alone) {
    assert_memory_equal(c->rows, alone->rows, sizeof c->rows);
    assert_memory_equal(c->n_tokens, alone->n_tokens, sizeof c->n_tokens);
    assert_int_equal(c->n_truncated, alone->n_truncated);
    assert_int_equal(c->n_done, N_TEXTS);
    assert_int_equal(c->n_total, N_TEXTS);
}

/* ---- Tests ---- */

static void test_same_vectors(void **state) {
    (void)state;
    tern_device_record record;
    call *alone = expected(), *c = new_call();
    tern_model *model = load(&record);
    device.waits_for_two = true;
    const int64_t start_ns = tern__clock_ns();
    if (embed(c, model) != TERN_OK) fail_msg("%s", c->err.message);
    const int64_t took_ns = tern__clock_ns() - start_ns;
    expect_same(c, alone);
    assert_int_equal(device.n_most, 2);
    assert_int_equal(c->n_reports, device.n_runs);
    assert_true(c->times.tokenize_ns > 0 && c->times.pack_ns > 0 && c->times.result_ns > 0);
    assert_true(c->times.compute_ns > 0 && c->times.compute_ns <= took_ns);
    tern_model_free(model);
    free(alone);
    free(c);
}

static void *embed_in_thread(void *argument) {
    call *c = argument;
    if (embed(c, c->model) != TERN_OK) c->n_done = 0;
    return NULL;
}

static void test_many_callers(void **state) {
    (void)state;
    enum { N = 3 };
    tern_device_record record;
    call *alone = expected(), *calls[N];
    pthread_t threads[N];
    tern_model *model = load(&record);
    device.waits_for_two = true;
    for (int i = 0; i < N; i++) {
        calls[i] = new_call();
        calls[i]->model = model;
        assert_int_equal(pthread_create(&threads[i], NULL, embed_in_thread, calls[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        expect_same(calls[i], alone);
        free(calls[i]);
    }
    assert_int_equal(device.n_most, 2);
    tern_model_free(model);
    free(alone);
}

static void test_stopping(void **state) {
    (void)state;
    static const size_t stops[] = {1, 1500, 2048, 2049, 4999};
    tern_device_record record;
    call *c = new_call();
    tern_model *model = load(&record);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        char message[64];
        c->stop_at = stops[i];
        assert_int_equal(embed(c, model), TERN_E_CANCELLED);
        snprintf(message, sizeof message, "stopped after %zu of %d texts", c->n_done, N_TEXTS);
        assert_string_equal(c->err.message, message);
        assert_true(c->n_done >= stops[i]);
        assert_int_equal(device.n_running, 0);
    }
    tern_model_free(model);
    free(c);
}

static void test_failing_runs(void **state) {
    (void)state;
    tern_device_record record;
    call *alone = expected(), *c = new_call();
    tern_model *model = load(&record);
    assert_int_equal(embed(c, model), TERN_OK);
    const long n_runs = device.n_runs;
    assert_true(n_runs > 20);
    for (long run_at = 0; run_at < n_runs; run_at += run_at < 4 || run_at > n_runs - 4 ? 1 : 7) {
        char message[64];
        device.n_runs = 0, device.fail_at = run_at;
        assert_int_equal(embed(c, model), TERN_E_DEVICE);
        snprintf(message, sizeof message, "run %ld fails", run_at);
        assert_string_equal(c->err.message, message);
        assert_int_equal(device.n_running, 0);
    }
    device.fail_at = -1;
    assert_int_equal(embed(c, model), TERN_OK);
    expect_same(c, alone);
    tern_model_free(model);
    free(alone);
    free(c);
}

/* A text of a later chunk: its number is the caller's, and nothing of its chunk has run. */
static void test_text_that_cannot_be_encoded(void **state) {
    (void)state;
    tern_device_record record;
    call *c = new_call();
    tern_model *model = load(&record);
    const tern_text good = texts[3000];
    texts[3000] = (tern_text){"\xff", 1};
    assert_int_equal(embed(c, model), TERN_E_ARGUMENT);
    texts[3000] = good;
    if (strncmp(c->err.message, "text 3000: ", 11) != 0) fail_msg("%s", c->err.message);
    assert_int_equal(c->n_done, 2048);
    tern_model_free(model);
    free(c);
}

/* Results that are allocated text by text. */
static void test_token_embeddings(void **state) {
    (void)state;
    enum { N = 400 };
    tern_device_record record;
    tern_model *models[] = {load(NULL), load(&record)};
    float *rows[2][N];
    int32_t n_tokens[2][N];
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = BUDGET;
    for (int m = 0; m < 2; m++)
        assert_int_equal(tern_model_embed_tokens(models[m], texts, N, &options, rows[m], n_tokens[m], NULL), TERN_OK);
    for (int t = 0; t < N; t++) {
        assert_int_equal(n_tokens[0][t], n_tokens[1][t]);
        assert_memory_equal(rows[0][t], rows[1][t], (size_t)n_tokens[0][t] * HIDDEN * sizeof(float));
        tern_free(rows[0][t]);
        tern_free(rows[1][t]);
    }
    device.n_runs = 0, device.fail_at = 1;
    assert_int_equal(tern_model_embed_tokens(models[1], texts, N, &options, rows[1], n_tokens[1], NULL), TERN_E_DEVICE);
    for (int t = 0; t < N; t++) assert_null(rows[1][t]);
    for (int m = 0; m < 2; m++) tern_model_free(models[m]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_vectors),
        cmocka_unit_test(test_many_callers),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_failing_runs),
        cmocka_unit_test(test_text_that_cannot_be_encoded),
        cmocka_unit_test(test_token_embeddings),
    };
    return cmocka_run_group_tests_name("Overlapping runs", tests, set_up, tear_down);
}
