/* unit_same_bits.c - the promise that a text gets the same vector, bit for bit, whatever it is batched with: a small transformer on each
 * ISA level, every sequence alone, all together, in fives, in another order each time, with 1, 2 and 5 threads. The environment's
 * TERN_TEST_DEVICE names a CUDA device ("cuda:0") whose batches of one bucket are compared too, and TERN_TEST_DTYPE what it computes in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "random_weights.h"

enum { MAX_WIDTH = 384, VOCABULARY = 50, POSITIONS = 1200, MAX_TOKENS = 4096 };

typedef struct sizes {
    int64_t width, heads, wide;
} sizes;
static const sizes odd = {60, 3, 100}, usual = {MAX_WIDTH, 6, 1536}; /* the latter as models have them, heads of 64 */

/* One tile of rows, a few, many, more keys than one step of attention, and two of the same length. */
static const int64_t lengths[] = {1, 2, 7, 12, 13, 14, 15, 29, 14, 100, 257, 513, 1101, 3};
enum { N_SEQUENCES = sizeof lengths / sizeof *lengths };

static const tern_device_record *record;
static tern_program *program;
static int64_t width;

static float spread;

static float element_of(const tern_weight *weight) { return random_unit() * (weight->rank == 2 ? spread : 1.0f); }

/* `program` of these sizes, for a device of this record. */
static void build_program(const sizes *size, const tern_device_record *of, const void *device) {
    tern_error err;
    assert_int_equal(tern__program_new(&program, &err), TERN_OK);
    tern_program *p = program;
    record = of;
    width = size->width;
    spread = 3.0f / sqrtf((float)width);
    const float scale = 1.0f / sqrtf((float)(width / size->heads));
    tern_value x = tern__add(p, tern__embedding(p, tern__input(p, TERN_INPUT_IDS), VOCABULARY, width, "words"),
                             tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), POSITIONS, width, "positions"));
    x = tern__layer_norm(p, x, 1e-5f, "norm");
    for (int l = 0; l < 2; l++) {
        const tern_value q = tern__linear(p, x, width, "q.%d", l), k = tern__linear(p, x, width, "k.%d", l);
        const tern_value v = tern__linear(p, x, width, "v.%d", l), a = tern__attention(p, q, k, v, size->heads, scale);
        x = tern__layer_norm(p, tern__add(p, tern__linear(p, a, width, "o.%d", l), x), 1e-5f, "norm.a%d", l);
        const tern_value wide = tern__activation(p, tern__linear(p, x, size->wide, "up.%d", l), TERN_OP_GELU);
        x = tern__layer_norm(p, tern__add(p, tern__linear(p, wide, width, "down.%d", l), x), 1e-5f, "norm.f%d", l);
    }
    tern__output(p, x, "last");
    tern__output(p, tern__normalize(p, tern__pool(p, x, TERN_POOL_MEAN)), "mean");
    tern__output(p, tern__activation(p, tern__linear(p, tern__pool(p, x, TERN_POOL_CLS), width, "pooler"), TERN_OP_TANH), "pooler");
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    bind_random_weights(p, element_of);
    if (tern__program_fuse(p, record->supports, device, &err) != TERN_OK) fail_msg("%s", err.message);
}

/* What each sequence came to. */
typedef struct results {
    float *last[N_SEQUENCES]; /* [lengths[s]][width] */
    float mean[N_SEQUENCES][MAX_WIDTH], pooler[N_SEQUENCES][MAX_WIDTH];
} results;

static results *new_results(void) {
    results *r = calloc(1, sizeof *r);
    assert_non_null(r);
    for (size_t s = 0; s < N_SEQUENCES; s++) {
        r->last[s] = calloc((size_t)(lengths[s] * width), sizeof(float));
        assert_non_null(r->last[s]);
    }
    return r;
}

static void free_results(results *r) {
    for (size_t s = 0; s < N_SEQUENCES; s++) free(r->last[s]);
    free(r);
}

/* Run the sequences order[0 ... n - 1] as one batch. */
static void run_batch(void *compiled, const size_t *order, size_t n, results *to) {
    static int32_t ids[MAX_TOKENS], positions[MAX_TOKENS];
    static float last[MAX_TOKENS * MAX_WIDTH], mean[N_SEQUENCES * MAX_WIDTH], pooler[N_SEQUENCES * MAX_WIDTH];
    const size_t row_bytes = (size_t)width * sizeof(float);
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
    if (record->run(compiled, &batch, outputs, 3, &err) != TERN_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++) {
        const size_t s = order[i];
        memcpy(to->last[s], last + row_start[i] * width, (size_t)lengths[s] * row_bytes);
        memcpy(to->mean[s], mean + (int64_t)i * width, row_bytes);
        memcpy(to->pooler[s], pooler + (int64_t)i * width, row_bytes);
    }
}

static bool has_same_rows(const results *a, const results *b, size_t s) {
    return memcmp(a->last[s], b->last[s], (size_t)(lengths[s] * width) * sizeof(float)) == 0 &&
           memcmp(a->mean[s], b->mean[s], sizeof a->mean[s]) == 0;
}

static void check_same(const results *found, const results *expected, const char *what, int threads, size_t batch) {
    for (size_t s = 0; s < N_SEQUENCES; s++)
        if (!has_same_rows(found, expected, s) || memcmp(found->pooler[s], expected->pooler[s], sizeof found->pooler[s]) != 0)
            fail_msg("%s: the sequence of %lld tokens has other bits with %d threads in batches of %zu", what, (long long)lengths[s],
                     threads, batch);
}

static void shuffle(size_t *order) {
    for (size_t i = N_SEQUENCES - 1; i > 0; i--) {
        const size_t j = (next_random(&random_state) >> 8) % (i + 1), kept = order[i];
        order[i] = order[j], order[j] = kept;
    }
}

static void check_level(const char *isa) {
    static const int thread_counts[] = {1, 2, 5};
    static const size_t batches[] = {1, 5, N_SEQUENCES};
    size_t order[N_SEQUENCES];
    results *expected = NULL;
    build_program(&odd, &tern__device_cpu, NULL);
    for (size_t i = 0; i < N_SEQUENCES; i++) order[i] = i;
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        void *device, *compiled;
        tern_error err;
        const tern_device_options options = {.threads = thread_counts[t], .isa = isa};
        if (tern__device_cpu.open(&device, &options, &err) != TERN_OK) {
            print_message("not run here: %s\n", err.message);
            break;
        }
        if (tern__device_cpu.compile(&compiled, device, program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            shuffle(order);
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
    if (expected != NULL) free_results(expected);
    free_random_program(program);
}

/* ---- CUDA ---- */

/* A long sequence among others that leave the batch in the bucket that it has alone: of 1152, 576, 320, 112 and 32 tokens. What comes
 * from linears of sequences is not compared, since one sequence and several are two buckets. */
static void check_company(void *compiled, const char *what) {
    static const struct {
        size_t sequence, n, order[6];
    } batches[] = {{12, 6, {3, 12, 6, 4, 2, 13}}, {11, 5, {7, 0, 11, 5, 8}}, {10, 4, {6, 7, 3, 10}}, {9, 3, {2, 9, 13}}, {7, 2, {13, 7}}};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        results *alone = new_results(), *together = new_results();
        const size_t s = batches[b].sequence;
        run_batch(compiled, &s, 1, alone);
        run_batch(compiled, batches[b].order, batches[b].n, together);
        if (!has_same_rows(together, alone, s))
            fail_msg("%s: the sequence of %lld tokens has other bits alone", what, (long long)lengths[s]);
        free_results(alone);
        free_results(together);
    }
}

/* All sequences, in other places of the batch each time. */
static void check_places(void *compiled, const char *what) {
    enum { N_ORDERS = 6 };
    size_t order[N_SEQUENCES];
    results *expected = new_results();
    for (size_t i = 0; i < N_SEQUENCES; i++) order[i] = i;
    run_batch(compiled, order, N_SEQUENCES, expected);
    for (int i = 0; i < N_ORDERS; i++) {
        results *found = new_results();
        shuffle(order);
        run_batch(compiled, order, N_SEQUENCES, found);
        check_same(found, expected, what, 1, N_SEQUENCES);
        free_results(found);
    }
    free_results(expected);
}

static void check_device(const sizes *size) {
    const char *name = getenv("TERN_TEST_DEVICE"), *dtype = getenv("TERN_TEST_DTYPE");
    if (name == NULL || strncmp(name, "cuda", 4) != 0) skip();
    const tern_device_record *found;
    tern_device_options options = {0};
    tern_error err;
    void *device, *compiled;
    if (dtype == NULL) dtype = "float32";
    if (tern__device_find(&found, &options.unit, name, &err) != TERN_OK || found->open(&device, &options, &err) != TERN_OK)
        fail_msg("%s", err.message);
    build_program(size, found, device);
    if (record->compile(&compiled, device, program, dtype, &err) != TERN_OK) fail_msg("%s", err.message);
    check_company(compiled, dtype);
    check_places(compiled, dtype);
    record->release(compiled);
    record->close(device);
    free_random_program(program);
}

static void test_scalar(void **state) { (void)state, check_level("scalar"); }
static void test_avx2(void **state) { (void)state, check_level("avx2"); }
static void test_avx512(void **state) { (void)state, check_level("avx512"); }

static void test_device_odd(void **state) { (void)state, check_device(&odd); }
static void test_device_usual(void **state) { (void)state, check_device(&usual); }

/* unit_same_bits [PATTERN]: tests whose names match, * and ? as in a shell. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scalar), cmocka_unit_test(test_avx2), cmocka_unit_test(test_avx512),
                                       cmocka_unit_test(test_device_odd), cmocka_unit_test(test_device_usual)};
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests_name("same bits", tests, NULL, NULL);
}
