/* unit_same_bits.c - the promise that a text gets the same vector, bit for bit, whatever it is batched with: a small transformer on each
 * ISA level, every sequence alone, all together, in fives, in another order each time, with 1, 2 and 5 threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"

enum { WIDTH = 60, HEADS = 3, WIDE = 100, VOCABULARY = 50, POSITIONS = 1200, MAX_TOKENS = 4096 };

/* One tile of rows, a few, many, more keys than one step of attention, and two of the same length. */
static const int64_t lengths[] = {1, 2, 7, 12, 13, 14, 15, 29, 14, 100, 257, 513, 1101, 3};
enum { N_SEQUENCES = sizeof lengths / sizeof *lengths };

static tern_program *program;

static uint32_t random_state = 7;
static float random_unit(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1.0f;
}

static int build_program(void **state) {
    (void)state;
    tern_error err;
    if (tern__program_new(&program, &err) != TERN_OK) return -1;
    tern_program *p = program;
    tern_value x = tern__add(p, tern__embedding(p, tern__input(p, TERN_INPUT_IDS), VOCABULARY, WIDTH, "words"),
                             tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), POSITIONS, WIDTH, "positions"));
    x = tern__layer_norm(p, x, 1e-5f, "norm");
    for (int l = 0; l < 2; l++) {
        const tern_value q = tern__linear(p, x, WIDTH, "q.%d", l), k = tern__linear(p, x, WIDTH, "k.%d", l);
        const tern_value v = tern__linear(p, x, WIDTH, "v.%d", l), a = tern__attention(p, q, k, v, HEADS, 0.25f);
        x = tern__layer_norm(p, tern__add(p, tern__linear(p, a, WIDTH, "o.%d", l), x), 1e-5f, "norm.a%d", l);
        const tern_value wide = tern__activation(p, tern__linear(p, x, WIDE, "up.%d", l), TERN_OP_GELU);
        x = tern__layer_norm(p, tern__add(p, tern__linear(p, wide, WIDTH, "down.%d", l), x), 1e-5f, "norm.f%d", l);
    }
    tern__output(p, x, "last");
    tern__output(p, tern__normalize(p, tern__pool(p, x, TERN_POOL_MEAN)), "mean");
    tern__output(p, tern__activation(p, tern__linear(p, tern__pool(p, x, TERN_POOL_CLS), WIDTH, "pooler"), TERN_OP_TANH), "pooler");
    if (tern__program_finish(p, &err) != TERN_OK) return -1;
    for (int32_t w = 0; w < p->n_weights; w++) {
        const size_t n = (size_t)p->weights[w].shape[0] * (p->weights[w].rank == 2 ? (size_t)p->weights[w].shape[1] : 1);
        float *data = malloc(n * sizeof *data);
        if (data == NULL) return -1;
        for (size_t i = 0; i < n; i++) data[i] = random_unit() * (p->weights[w].rank == 2 ? 0.4f : 1.0f);
        p->weights[w].data = data;
        p->weights[w].dtype = TERN_DTYPE_F32;
    }
    return tern__program_fuse(p, tern__device_cpu.supports, NULL, &err) == TERN_OK ? 0 : -1;
}

static int free_program(void **state) {
    (void)state;
    for (int32_t w = 0; w < program->n_weights; w++) free((void *)(uintptr_t)program->weights[w].data);
    tern__program_free(program);
    return 0;
}

/* What each sequence came to. */
typedef struct results {
    float *last[N_SEQUENCES]; /* [lengths[s]][WIDTH] */
    float mean[N_SEQUENCES][WIDTH], pooler[N_SEQUENCES][WIDTH];
} results;

static results *new_results(void) {
    results *r = calloc(1, sizeof *r);
    for (size_t s = 0; s < N_SEQUENCES; s++) r->last[s] = calloc((size_t)lengths[s] * WIDTH, sizeof(float));
    return r;
}

static void free_results(results *r) {
    for (size_t s = 0; s < N_SEQUENCES; s++) free(r->last[s]);
    free(r);
}

/* Run the sequences order[0 ... n - 1] as one batch. */
static void run_batch(void *compiled, const size_t *order, size_t n, results *to) {
    static int32_t ids[MAX_TOKENS], positions[MAX_TOKENS];
    static float last[MAX_TOKENS * WIDTH], mean[N_SEQUENCES * WIDTH], pooler[N_SEQUENCES * WIDTH];
    int64_t row_start[N_SEQUENCES + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        const int64_t length = lengths[order[i]];
        row_start[i + 1] = row_start[i] + length;
        for (int64_t t = 0; t < length; t++) {
            ids[row_start[i] + t] = (int32_t)(((int64_t)order[i] * 31 + t * t) % VOCABULARY);
            positions[row_start[i] + t] = (int32_t)t;
        }
    }
    const tern_batch batch = {
        .n_sequences = (int64_t)n, .n_tokens = row_start[n], .row_start = row_start, .inputs = {ids, NULL, positions}};
    const tern_run_output outputs[] = {{0, last}, {1, mean}, {2, pooler}};
    tern_error err;
    if (tern__device_cpu.run(compiled, &batch, outputs, 3, &err) != TERN_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        const size_t s = order[i];
        memcpy(to->last[s], last + row_start[i] * WIDTH, (size_t)lengths[s] * WIDTH * sizeof(float));
        memcpy(to->mean[s], mean + i * WIDTH, sizeof to->mean[s]);
        memcpy(to->pooler[s], pooler + i * WIDTH, sizeof to->pooler[s]);
    }
}

static void check_same(const results *found, const results *expected, const char *isa, int threads, size_t batch) {
    for (size_t s = 0; s < N_SEQUENCES; s++)
        if (memcmp(found->last[s], expected->last[s], (size_t)lengths[s] * WIDTH * sizeof(float)) != 0 ||
            memcmp(found->mean[s], expected->mean[s], sizeof found->mean[s]) != 0 ||
            memcmp(found->pooler[s], expected->pooler[s], sizeof found->pooler[s]) != 0)
            fail_msg("%s: the sequence of %lld tokens has other bits with %d threads in batches of %zu", isa, (long long)lengths[s],
                     threads, batch);
}

static void check_level(const char *isa) {
    static const int thread_counts[] = {1, 2, 5};
    static const size_t batches[] = {1, 5, N_SEQUENCES};
    size_t order[N_SEQUENCES];
    results *expected = NULL;
    for (size_t i = 0; i < N_SEQUENCES; i++) order[i] = i;
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        void *device, *compiled;
        tern_error err;
        const tern_device_options options = {.threads = thread_counts[t], .isa = isa};
        if (tern__device_cpu.open(&device, &options, &err) != TERN_OK) {
            print_message("not run here: %s\n", err.message);
            return;
        }
        if (tern__device_cpu.compile(&compiled, device, program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            for (size_t i = N_SEQUENCES - 1; i > 0; i--) { /* shuffle */
                random_state = random_state * 1664525u + 1013904223u;
                const size_t j = (random_state >> 8) % (i + 1), kept = order[i];
                order[i] = order[j], order[j] = kept;
            }
            results *found = new_results();
            for (size_t i = 0; i < N_SEQUENCES; i += batches[b])
                run_batch(compiled, order + i, N_SEQUENCES - i < batches[b] ? N_SEQUENCES - i : batches[b], found);
            if (expected == NULL) {
                expected = found;
                continue;
            }
            check_same(found, expected, isa, thread_counts[t], batches[b]);
            free_results(found);
        }
        tern__device_cpu.release(compiled);
        tern__device_cpu.close(device);
    }
    free_results(expected);
}

static void test_scalar(void **state) { (void)state, check_level("scalar"); }
static void test_avx2(void **state) { (void)state, check_level("avx2"); }
static void test_avx512(void **state) { (void)state, check_level("avx512"); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scalar), cmocka_unit_test(test_avx2), cmocka_unit_test(test_avx512)};
    return cmocka_run_group_tests_name("same bits", tests, build_program, free_program);
}
