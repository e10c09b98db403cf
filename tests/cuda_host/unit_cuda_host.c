/* unit_cuda_host.c - the CUDA device over the host's runtime (runtime.cpp): what it says when there is no GPU, that a batch's bits do not
 * depend on its company, that buckets share graphs, that two runs may be under way at once, and that every call of CUDA may fail without
 * loss.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "find_host.h"
#include "random_weights.h"

enum { WIDTH = 64, HEADS = 2, VOCABULARY = 50, POSITIONS = 120, OUT_OF_MEMORY = 2 /* cudaErrorMemoryAllocation */, LAUNCH_FAILURE = 719 };

static const tern_device_record *record;
static host_state *host, whole;

static int find_device(void **state) {
    (void)state;
    if (!find_host(&record, &host)) return -1;
    whole = *host;
    return 0;
}

static int make_whole(void **state) {
    (void)state;
    *host = whole;
    return 0;
}

static void *open_device(void) {
    void *device;
    tern_error err;
    if (record->open(&device, &(tern_device_options){0}, &err) != TERN_OK) fail_msg("%s", err.message);
    return device;
}

static void expect_closed(const tern_device_options *options, tern_status code, const char *part) {
    void *device;
    tern_error err;
    assert_int_equal(record->open(&device, options, &err), code);
    assert_null(device);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_int_equal(host->used, 0);
}

/* ---- Absence ---- */

static void expect_absent(const char *part) {
    tern_device_info info = {0};
    assert_int_equal(record->probe(&info, 1), 1);
    assert_false(info.is_present);
    if (strstr(info.reason, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", info.reason, part);
    expect_closed(&(tern_device_options){0}, TERN_E_DEVICE, part);
}

static void test_absence(void **state) {
    (void)state;
    host->driver = 0;
    expect_absent("no NVIDIA driver is installed");
    host->driver = 11040;
    expect_absent("for CUDA 11.4");
    host->driver = whole.driver, host->n_devices = 0;
    expect_absent("there is no NVIDIA GPU");
    host->n_devices = 1, host->capability = 70;
    expect_absent("compute capability 7.0");
}

static void test_units(void **state) {
    (void)state;
    tern_device_info infos[3] = {0};
    void *device;
    host->n_devices = 2;
    assert_int_equal(record->probe(infos, 3), 2);
    assert_string_equal(infos[1].name, "cuda:1");
    assert_string_equal(infos[1].isa, "sm_90");
    assert_int_equal(record->open(&device, &(tern_device_options){.unit = "1"}, NULL), TERN_OK);
    assert_string_equal(record->properties(device).name, "cuda:1");
    record->close(device);
    static const char *const others[] = {"2", "-1", "x", "", "0x1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_closed(&(tern_device_options){.unit = others[i]}, TERN_E_DEVICE, "cuda:1");
    expect_closed(&(tern_device_options){.threads = 2}, TERN_E_ARGUMENT, "threads");
    expect_closed(&(tern_device_options){.isa = "avx2"}, TERN_E_ARGUMENT, "ISA");
}

/* ---- A small transformer ---- */

static float element_of(const tern_weight *weight) { return random_unit() * (weight->rank == 2 ? 0.4f : 1.0f); }

static tern_program *build(void) {
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    tern_value x = tern__add(p, tern__embedding(p, tern__input(p, TERN_INPUT_IDS), VOCABULARY, WIDTH, "words"),
                             tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), POSITIONS, WIDTH, "positions"));
    x = tern__layer_norm(p, x, 1e-5f, "norm");
    const tern_value q = tern__linear(p, x, WIDTH, "q"), k = tern__linear(p, x, WIDTH, "k"), v = tern__linear(p, x, WIDTH, "v");
    const tern_value a = tern__attention(p, q, k, v, HEADS, 0.2f);
    x = tern__layer_norm(p, tern__add(p, tern__linear(p, a, WIDTH, "o"), x), 1e-5f, "norm.a");
    const tern_value wide = tern__activation(p, tern__linear(p, x, 2 * WIDTH, "up"), TERN_OP_GELU);
    x = tern__layer_norm(p, tern__add(p, tern__linear(p, wide, WIDTH, "down"), x), 1e-5f, "norm.f");
    tern__output(p, x, "last");
    tern__output(p, tern__pool(p, x, TERN_POOL_MEAN), "mean");
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    bind_random_weights(p, element_of);
    assert_int_equal(tern__program_fuse(p, record->supports, NULL, NULL), TERN_OK);
    return p;
}

/* Sequences first ... end - 1 of lengths 1, 4, 7 ..., their means to out [end - first][WIDTH]. */
static tern_status run_sequences(void *compiled, int first, int end, float *out, tern_error *err) {
    int32_t ids[POSITIONS * 4], positions[POSITIONS * 4];
    int64_t row_start[16] = {0};
    int n = 0;
    for (int s = first; s < end; s++) {
        for (int i = 0; i < 1 + 3 * s; i++, n++) ids[n] = (5 * s + 3 * i) % VOCABULARY, positions[n] = i;
        row_start[s - first + 1] = n;
    }
    const tern_batch batch = {.n_sequences = end - first,
                              .n_tokens = n,
                              .row_start = row_start,
                              .inputs = {[TERN_INPUT_IDS] = ids, [TERN_INPUT_POSITION_IDS] = positions}};
    return record->run(compiled, &batch, &(tern_run_output){.output = 1, .data = out}, 1, err);
}

static void *compile(void *device, const tern_program *p, const char *dtype) {
    void *compiled;
    tern_error err;
    if (record->compile(&compiled, device, p, dtype, &err) != TERN_OK) fail_msg("%s", err.message);
    return compiled;
}

static void test_dtypes(void **state) {
    (void)state;
    tern_program *p = build();
    void *device = open_device(), *compiled;
    tern_error err;
    assert_int_equal(record->compile(&compiled, device, p, "float64", &err), TERN_E_DTYPE);
    assert_non_null(strstr(err.message, "bfloat16"));
    record->close(device);
    host->capability = 75;
    device = open_device();
    assert_int_equal(record->compile(&compiled, device, p, "bfloat16", &err), TERN_E_DTYPE);
    assert_non_null(strstr(err.message, "sm_75"));
    record->release(compile(device, p, "float16"));
    record->close(device);
    free_random_program(p);
    assert_int_equal(host->used, 0);
}

/* Sequences of 1 to 16 tokens, alone and together: the same bits whatever the bucket, since all products here have one kernel. */
static void test_same_bits(void **state) {
    (void)state;
    static const char *const dtypes[] = {"float32", "float16", "bfloat16"};
    enum { N = 6 };
    float alone[N][WIDTH], together[N][WIDTH];
    tern_program *p = build();
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        void *device = open_device(), *compiled = compile(device, p, dtypes[d]);
        for (int s = 0; s < N; s++) assert_int_equal(run_sequences(compiled, s, s + 1, alone[s], NULL), TERN_OK);
        /* 22 and 29 rows: the few that a kernel of our own takes */
        assert_int_equal(run_sequences(compiled, 0, 4, together[0], NULL), TERN_OK);
        assert_int_equal(run_sequences(compiled, 4, N, together[4], NULL), TERN_OK);
        for (int s = 0; s < N; s++)
            if (memcmp(alone[s], together[s], sizeof alone[s]) != 0) fail_msg("%s: sequence %d", dtypes[d], s);
        record->release(compiled);
        record->close(device);
    }
    free_random_program(p);
}

static void test_graphs(void **state) {
    (void)state;
    float out[16 * WIDTH], again[16 * WIDTH];
    tern_program *p = build();
    void *device = open_device(), *compiled = compile(device, p, "bfloat16");
    assert_int_equal(run_sequences(compiled, 2, 3, out, NULL), TERN_OK); /* 7 tokens */
    const long n_graphs = host->n_graphs;
    assert_int_equal(run_sequences(compiled, 1, 2, again, NULL), TERN_OK); /* 4, of the same bucket */
    assert_int_equal(host->n_graphs, n_graphs);
    assert_memory_not_equal(out, again, WIDTH * sizeof(float));
    assert_int_equal(run_sequences(compiled, 3, 4, again, NULL), TERN_OK); /* 10: more memory, so the first goes too */
    assert_int_equal(run_sequences(compiled, 2, 3, again, NULL), TERN_OK);
    assert_memory_equal(out, again, WIDTH * sizeof(float));
    record->release(compiled);
    assert_int_equal(host->n_graphs, 0);
    record->close(device);
    free_random_program(p);
    assert_int_equal(host->used, 0);
}

/* Each call of CUDA fails in turn, from opening to the second run; then all of it works. */
static void test_faults(void **state) {
    (void)state;
    float expected[4 * WIDTH], out[4 * WIDTH];
    tern_program *p = build();
    void *device = open_device(), *compiled = compile(device, p, "bfloat16");
    assert_int_equal(run_sequences(compiled, 0, 4, expected, NULL), TERN_OK);
    record->release(compiled);
    record->close(device);
    bool is_reached = true;
    for (long call = 0; is_reached; call++) {
        tern_error err = {.code = TERN_OK};
        host->fail_at = host->n_calls + call;
        host->fail_with = OUT_OF_MEMORY;
        bool failed = record->open(&device, &(tern_device_options){0}, &err) != TERN_OK;
        if (!failed) {
            failed = record->compile(&compiled, device, p, "bfloat16", &err) != TERN_OK;
            if (!failed) {
                failed = run_sequences(compiled, 0, 4, out, &err) != TERN_OK;
                is_reached = host->n_calls > host->fail_at;
                host->fail_at = -1;
                assert_int_equal(run_sequences(compiled, 0, 4, out, NULL), TERN_OK);
                assert_memory_equal(out, expected, sizeof out);
                record->release(compiled);
            }
            record->close(device);
        }
        if (failed && err.code != TERN_E_MEMORY && err.code != TERN_E_DEVICE) fail_msg("call %ld: %s", call, err.message);
        if (host->used != 0 || host->n_graphs != 0)
            fail_msg("call %ld: %zu bytes and %ld graphs are left", call, host->used, host->n_graphs);
    }
    free_random_program(p);
}

static void test_full(void **state) {
    (void)state;
    tern_program *p = build();
    void *device = open_device(), *compiled;
    tern_error err;
    host->memory = host->used + 1000;
    assert_int_equal(record->compile(&compiled, device, p, "float32", &err), TERN_E_MEMORY);
    assert_null(compiled);
    if (strstr(err.message, "MiB") == NULL || strstr(err.message, "free") == NULL) fail_msg("%s", err.message);
    record->close(device);
    free_random_program(p);
    assert_int_equal(host->used, 0);
}

/* ---- Two runs at once ---- */

enum { SCRATCH_BYTES = 32 << 20 /* what the second lane takes beside its batches */, N_RUNS = 6, N_FIRST = 4, N_ALL = 6 };

/* Sequences first ... end - 1 in a thread of their own, n_runs times, each compared with `expected`. */
typedef struct runner {
    void *compiled;
    const float *expected;
    int first, end, n_runs, n_wrong;
    tern_status status; /* of the last */
    tern_error err;
    pthread_t thread;
} runner;

/* Where a thread that launches a graph waits a moment for another one that does. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_inside, n_met;
} meeting = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void wait_for_other(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5000000;
    until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&meeting.lock);
    const int n_met = meeting.n_met;
    if (++meeting.n_inside == 2) meeting.n_met++;
    pthread_cond_broadcast(&meeting.changed);
    for (int error = 0; error == 0 && meeting.n_met == n_met;) error = pthread_cond_timedwait(&meeting.changed, &meeting.lock, &until);
    meeting.n_inside--;
    pthread_mutex_unlock(&meeting.lock);
}

static void *run_thread(void *argument) {
    runner *r = argument;
    float out[16 * WIDTH];
    for (int i = 0; i < r->n_runs; i++) {
        r->status = run_sequences(r->compiled, r->first, r->end, out, &r->err);
        if (r->status == TERN_OK) r->n_wrong += memcmp(out, r->expected, (size_t)(r->end - r->first) * WIDTH * sizeof *out) != 0;
    }
    return NULL;
}

static void start(runner *r) { assert_int_equal(pthread_create(&r->thread, NULL, run_thread, r), 0); }

static void expect_right(runner *r) {
    pthread_join(r->thread, NULL);
    if (r->status != TERN_OK) fail_msg("%s", r->err.message);
    assert_int_equal(r->n_wrong, 0);
}

/* A program, and what its sequences are alone. */
typedef struct fixture {
    tern_program *program;
    void *device, *compiled;
    float expected[N_ALL * WIDTH];
    runner first, second;
} fixture;

static fixture *open_fixture(const char *dtype) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->program = build();
    f->device = open_device();
    f->compiled = compile(f->device, f->program, dtype);
    assert_int_equal(run_sequences(f->compiled, 0, N_FIRST, f->expected, NULL), TERN_OK);
    assert_int_equal(run_sequences(f->compiled, N_FIRST, N_ALL, f->expected + N_FIRST * WIDTH, NULL), TERN_OK);
    f->first = (runner){.compiled = f->compiled, .expected = f->expected, .end = N_FIRST, .n_runs = N_RUNS};
    f->second =
        (runner){.compiled = f->compiled, .expected = f->expected + N_FIRST * WIDTH, .first = N_FIRST, .end = N_ALL, .n_runs = N_RUNS};
    meeting.n_met = 0;
    return f;
}

static void compile_again(fixture *f, const char *dtype) {
    record->release(f->compiled);
    f->compiled = f->first.compiled = f->second.compiled = compile(f->device, f->program, dtype);
}

static void close_fixture(fixture *f) {
    host->on_graph = NULL;
    record->release(f->compiled);
    record->close(f->device);
    free_random_program(f->program);
    free(f);
    assert_int_equal(host->used, 0);
    assert_int_equal(host->n_graphs, 0);
}

static void run_both(fixture *f) {
    host->on_graph = wait_for_other;
    start(&f->first);
    start(&f->second);
    expect_right(&f->first);
    expect_right(&f->second);
    host->on_graph = NULL;
}

/* Two threads' runs are under way together; the memory of a second lane is taken only then. */
static void test_two_at_once(void **state) {
    (void)state;
    static const char *const dtypes[] = {"float32", "bfloat16"};
    assert_int_equal(record->max_concurrent_runs, 2);
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        fixture *f = open_fixture(dtypes[d]);
        float out[N_FIRST * WIDTH];
        const size_t one = host->used;
        for (int i = 0; i < 3; i++) assert_int_equal(run_sequences(f->compiled, 0, N_FIRST, out, NULL), TERN_OK);
        assert_int_equal(host->used, one);
        for (int i = 0; i < 3; i++) run_both(f);
        assert_true(meeting.n_met > 0);
        assert_true(host->used > one + SCRATCH_BYTES && host->used < one + SCRATCH_BYTES + (4 << 20));
        close_fixture(f);
    }
}

/* More threads than lanes, of a program that has not run yet: no algorithm is measured while another run is under way. */
static void test_many_threads(void **state) {
    (void)state;
    fixture *f = open_fixture("float32");
    runner runners[5];
    compile_again(f, "float32");
    host->on_graph = wait_for_other;
    for (int i = 0; i < 5; i++) {
        runners[i] = i % 2 == 0 ? f->first : f->second;
        start(&runners[i]);
    }
    for (int i = 0; i < 5; i++) expect_right(&runners[i]);
    assert_int_equal(host->n_disturbed, 0);
    close_fixture(f);
}

/* No memory for a second lane: its run waits for the first, and no other asks for it again. */
static void test_no_memory_for_a_second_lane(void **state) {
    (void)state;
    fixture *f = open_fixture("bfloat16");
    const size_t one = host->used;
    host->memory = one + SCRATCH_BYTES + 1000; /* its scratch memory, but not its activations */
    run_both(f);
    run_both(f);
    assert_int_equal(host->n_refused, 1);
    assert_int_equal(host->used, one);
    assert_int_equal(meeting.n_met, 0);
    close_fixture(f);
}

/* A batch for which there is memory once the second lane gives up its own; then one for which there is none. */
static void test_first_lane_takes_all(void **state) {
    (void)state;
    float all[12 * WIDTH], expected[9 * WIDTH];
    tern_error err;
    fixture *f = open_fixture("bfloat16");
    void *other = compile(f->device, f->program, "bfloat16");
    assert_int_equal(run_sequences(other, 0, 9, expected, NULL), TERN_OK);
    record->release(other);
    run_both(f);
    assert_true(host->used > SCRATCH_BYTES * 2);
    const size_t two = host->used;
    host->memory = two;
    assert_int_equal(run_sequences(f->compiled, 0, 9, all, NULL), TERN_OK);
    assert_memory_equal(all, expected, sizeof expected);
    assert_true(host->used < two - SCRATCH_BYTES / 2);
    host->memory = host->used;
    assert_int_equal(run_sequences(f->compiled, 0, 12, all, &err), TERN_E_MEMORY);
    if (strstr(err.message, "MiB for the activations of a batch") == NULL || strstr(err.message, "free") == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(run_sequences(f->compiled, 0, N_FIRST, all, NULL), TERN_OK);
    close_fixture(f);
}

/* Each call of CUDA fails in turn while two threads run, whichever of them it hits. */
static void expect_faults_survived(int fail_with, tern_status code) {
    fixture *f = open_fixture("bfloat16");
    runner *const both[] = {&f->first, &f->second};
    bool reached = true;
    for (long call = 0; reached; call++) {
        compile_again(f, "bfloat16");
        host->fail_with = fail_with;
        host->fail_at = host->n_calls + call;
        host->on_graph = wait_for_other;
        for (int i = 0; i < 2; i++) {
            both[i]->n_runs = 1;
            start(both[i]);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(both[i]->thread, NULL);
            if (both[i]->status != TERN_OK && both[i]->status != code) fail_msg("call %ld: %s", call, both[i]->err.message);
            assert_int_equal(both[i]->n_wrong, 0);
        }
        reached = host->n_calls > host->fail_at;
        host->fail_at = -1;
        run_both(f);
    }
    close_fixture(f);
}

static void test_faults_of_two(void **state) {
    (void)state;
    expect_faults_survived(LAUNCH_FAILURE, TERN_E_DEVICE);
    expect_faults_survived(OUT_OF_MEMORY, TERN_E_MEMORY);
}

/* From each call on, the device is lost: every call says so, and all is freed. */
static void test_lost(void **state) {
    (void)state;
    float out[4 * WIDTH];
    tern_program *p = build();
    bool reached = true;
    for (long call = 0; reached; call++) {
        void *device, *compiled;
        tern_error err = {.code = TERN_OK};
        *host = whole;
        host->n_calls = 0, host->fail_at = call, host->fail_with = LAUNCH_FAILURE, host->is_lost = 1;
        tern_status status = record->open(&device, &(tern_device_options){0}, &err);
        if (status == TERN_OK) {
            status = record->compile(&compiled, device, p, "bfloat16", &err);
            if (status == TERN_OK) {
                for (int i = 0; i < 3 && status == TERN_OK; i++) status = run_sequences(compiled, 0, 4, out, &err);
                reached = status != TERN_OK;
                for (int i = 0; i < 3 && reached; i++) assert_int_equal(run_sequences(compiled, 0, 2 + i, out, &err), TERN_E_DEVICE);
                record->release(compiled);
            }
            record->close(device);
        }
        if (status != TERN_OK && status != TERN_E_DEVICE) fail_msg("call %ld: %s", call, err.message);
        if (host->used != 0 || host->n_graphs != 0)
            fail_msg("call %ld: %zu bytes and %ld graphs are left", call, host->used, host->n_graphs);
    }
    free_random_program(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_absence, make_whole),
        cmocka_unit_test_teardown(test_units, make_whole),
        cmocka_unit_test_teardown(test_dtypes, make_whole),
        cmocka_unit_test_teardown(test_same_bits, make_whole),
        cmocka_unit_test_teardown(test_graphs, make_whole),
        cmocka_unit_test_teardown(test_faults, make_whole),
        cmocka_unit_test_teardown(test_full, make_whole),
        cmocka_unit_test_teardown(test_two_at_once, make_whole),
        cmocka_unit_test_teardown(test_many_threads, make_whole),
        cmocka_unit_test_teardown(test_no_memory_for_a_second_lane, make_whole),
        cmocka_unit_test_teardown(test_first_lane_takes_all, make_whole),
        cmocka_unit_test_teardown(test_faults_of_two, make_whole),
        cmocka_unit_test_teardown(test_lost, make_whole),
    };
    return cmocka_run_group_tests_name("CUDA on the host", tests, find_device, NULL);
}
