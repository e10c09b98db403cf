/* unit_mlx_device.c - the MLX device beyond its ops (unit_op_conformance.c): what is refused, memory over many runs, threads, running out
 * of memory, and that a text's result does not depend on the texts beside it. On mlx:cpu, or where the environment's TERN_TEST_DEVICE says
 * so on mlx:gpu. Built where TERN_MLX is given.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <sys/resource.h>

#include "../unit/temporary_folder.h"

#include "device/plugin.h"

enum { VOCABULARY = 500, WIDTH = 64, N_HEADS = 4, MAX_TOKENS = 200000, MAX_SEQUENCES = 64 };

static const tern_device_record *mlx;
static const char *unit; /* "cpu" or "gpu" */

static bool is_gpu(void) { return strcmp(unit, "gpu") == 0; }

static int find_mlx(void **state) {
    (void)state;
    const char *name = getenv("TERN_TEST_DEVICE");
    tern_error err;
    if (tern__device_find(&mlx, &unit, name != NULL ? name : "mlx:cpu", &err) == TERN_OK) return 0;
    print_error("%s\n", err.message);
    return -1;
}

/* ---- A model of one layer, and batches ---- */

typedef struct model {
    tern_program *program;
    void *device, *compiled;
} model;

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static tern_program *build(void) {
    tern_program *p;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), VOCABULARY, WIDTH, "table");
    const tern_value q = tern__linear(p, x, WIDTH, "q"), k = tern__linear(p, x, WIDTH, "k"), v = tern__linear(p, x, WIDTH, "v");
    x = tern__layer_norm(p, tern__add(p, x, tern__attention(p, q, k, v, N_HEADS, 0.25f)), 1e-5f, "norm");
    tern__output(p, tern__normalize(p, tern__pool(p, x, TERN_POOL_MEAN)), "embedding");
    tern_error err;
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    uint32_t random = 7;
    for (int32_t w = 0; w < p->n_weights; w++) {
        const size_t n = (size_t)p->weights[w].shape[0] * (p->weights[w].rank == 2 ? (size_t)p->weights[w].shape[1] : 1);
        float *data = malloc(n * sizeof *data);
        assert_non_null(data);
        for (size_t i = 0; i < n; i++) data[i] = (float)(next_random(&random) >> 8) / (float)(1 << 25) - 0.25f;
        p->weights[w].data = data;
        p->weights[w].dtype = TERN_DTYPE_F32;
    }
    return p;
}

static model load(void) {
    model m = {.program = build()};
    tern_error err;
    if (mlx->open(&m.device, &(tern_device_options){.unit = unit}, &err) != TERN_OK) fail_msg("%s", err.message);
    if (mlx->compile(&m.compiled, m.device, m.program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
    return m;
}

static void unload(model *m) {
    mlx->release(m->compiled);
    mlx->close(m->device);
    for (int32_t w = 0; w < m->program->n_weights; w++) free((void *)(uintptr_t)m->program->weights[w].data);
    tern__program_free(m->program);
}

typedef struct texts {
    int64_t row_start[MAX_SEQUENCES + 1];
    int32_t *ids;
    tern_batch batch;
} texts;

/* Sequence s has the same ids in every batch. */
static void fill(texts *t, const int32_t *sequences, const int32_t *lengths, int32_t n) {
    t->ids = malloc(MAX_TOKENS * sizeof *t->ids);
    assert_non_null(t->ids);
    int64_t row = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t random = 1000u + (uint32_t)sequences[i];
        t->row_start[i] = row;
        for (int32_t j = 0; j < lengths[sequences[i]]; j++) t->ids[row++] = (int32_t)(next_random(&random) >> 8) % VOCABULARY;
    }
    t->row_start[n] = row;
    assert_true(row <= MAX_TOKENS);
    t->batch = (tern_batch){.n_sequences = n, .n_tokens = row, .row_start = t->row_start, .inputs = {t->ids}};
}

static tern_status run(const model *m, const texts *t, float *out, tern_error *err) {
    return mlx->run(m->compiled, &t->batch, &(tern_run_output){.output = 0, .data = out}, 1, err);
}

static void run_all(const model *m, const int32_t *sequences, const int32_t *lengths, int32_t n, float *out) {
    texts t;
    tern_error err;
    fill(&t, sequences, lengths, n);
    if (run(m, &t, out, &err) != TERN_OK) fail_msg("%s", err.message);
    free(t.ids);
}

static double largest_difference(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* ---- Tests ---- */

static void test_units(void **state) {
    (void)state;
    tern_device_info infos[2] = {0};
    assert_int_equal(mlx->probe(NULL, 0), 2);
    assert_int_equal(mlx->probe(infos, 2), 2);
    assert_string_equal(infos[0].name, "mlx:gpu");
    assert_string_equal(infos[1].name, "mlx:cpu");
    assert_true(infos[1].is_present);
    assert_non_null(strstr(infos[1].description, "MLX 0."));
    if (infos[0].is_present) return;
    assert_non_null(strstr(infos[0].reason, "no GPU"));
    void *device;
    tern_error err;
    check_failed(mlx->open(&device, &(tern_device_options){0}, &err), TERN_E_DEVICE, &err, "mlx:cpu is its CPU"); /* not in its place */
    assert_null(device);
}

static void test_refused(void **state) {
    (void)state;
    void *device, *compiled;
    tern_error err;
    check_failed(mlx->open(&device, &(tern_device_options){.unit = "tpu"}, &err), TERN_E_DEVICE, &err, "there are mlx:gpu and mlx:cpu");
    check_failed(mlx->open(&device, &(tern_device_options){.unit = unit, .threads = 2}, &err), TERN_E_ARGUMENT, &err, "threads");
    check_failed(mlx->open(&device, &(tern_device_options){.unit = unit, .isa = "avx2"}, &err), TERN_E_ARGUMENT, &err, "ISA");
    model m = load();
    check_failed(mlx->compile(&compiled, m.device, m.program, "int7", &err), TERN_E_DTYPE, &err, "mlx has float32, float16");
    const void *data = m.program->weights[0].data;
    m.program->weights[0].data = NULL;
    check_failed(mlx->compile(&compiled, m.device, m.program, "float32", &err), TERN_E_WEIGHTS, &err, "table.weight is not bound");
    m.program->weights[0].data = data;
    m.program->nodes[1].op = TERN_OP_LINEAR_ADD;
    check_failed(mlx->compile(&compiled, m.device, m.program, "float32", &err), TERN_E_UNSUPPORTED, &err, "linear_add");
    m.program->nodes[1].op = TERN_OP_EMBEDDING;
    assert_null(compiled);
    unload(&m);
}

/* Lengths that are grouped, padded, or both, in no order: as when alone, but for the rounding of other shapes. */
static void test_alone_and_together(void **state) {
    (void)state;
    static const int32_t forms[][6] = {
        {5, 5, 5, 5, 5, 5}, {7, 6, 5, 7, 6, 5}, {300, 2, 300, 2, 300, 2}, {9, 200, 10, 190, 8, 1}, {1, 2, 3, 4, 5, 400}};
    model m = load();
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        static const int32_t order[] = {3, 0, 5, 1, 4, 2};
        float together[6 * WIDTH], alone[WIDTH];
        run_all(&m, order, forms[f], 6, together);
        for (int i = 0; i < 6; i++) {
            run_all(&m, &order[i], forms[f], 1, alone);
            const double d = largest_difference(alone, together + i * WIDTH, WIDTH);
            if (!(d <= (is_gpu() ? 5e-7 : 2e-7))) fail_msg("form %zu, sequence %d: %g", f, (int)order[i], d); /* of unit vectors */
        }
    }
    unload(&m);
}

static size_t resident_bytes(void) {
    unsigned long pages = 0, resident = 0;
    FILE *stream = fopen("/proc/self/statm", "r");
    if (stream == NULL || fscanf(stream, "%lu %lu", &pages, &resident) != 2) fail_msg("no /proc/self/statm");
    fclose(stream);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* In use on the GPU that this thread computes on; 0 where it is not CUDA's. */
static size_t gpu_bytes(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_LAZY);
    if (cuda == NULL) return 0;
    int (*query)(size_t *, size_t *);
    *(void **)&query = dlsym(cuda, "cuMemGetInfo_v2");
    size_t left = 0, total = 0;
    if (query == NULL || query(&left, &total) != 0) fail_msg("cuMemGetInfo");
    return total - left;
}

/* On a GPU MLX keeps some hundred CUDA graphs and, of arrays that were freed, up to 1 GiB, of which these runs fill little. */
static void test_memory_is_flat(void **state) {
    (void)state;
    model m = load();
    uint32_t random = 3;
    size_t before = 0, gpu_before = 0;
    for (int r = 0; r < 1000; r++) {
        int32_t lengths[8], sequences[8];
        const int32_t n = 1 + (int32_t)((next_random(&random) >> 8) % 8);
        for (int32_t i = 0; i < n; i++) sequences[i] = i, lengths[i] = 1 + (int32_t)((next_random(&random) >> 8) % 120);
        float out[8 * WIDTH];
        run_all(&m, sequences, lengths, n, out);
        if (r == 200) before = resident_bytes(), gpu_before = is_gpu() ? gpu_bytes() : 0;
    }
    const size_t after = resident_bytes(), gpu_after = is_gpu() ? gpu_bytes() : 0;
    print_message("resident after 200 runs %zu kB, after 1000 %zu kB\n", before / 1000, after / 1000);
    if (is_gpu()) print_message("on the GPU %zu kB, then %zu kB\n", gpu_before / 1000, gpu_after / 1000);
    assert_true(after <= before + (is_gpu() ? 64000000 : 8000000));
    assert_true(gpu_after <= gpu_before + 64000000);
    unload(&m);
}

typedef struct worker {
    const model *m;
    float out[4 * WIDTH];
    int n_runs;
} worker;

static void *work(void *argument) {
    worker *w = argument;
    static const int32_t sequences[] = {0, 1, 2, 3}, lengths[] = {40, 3, 75, 41};
    for (int r = 0; r < w->n_runs; r++) run_all(w->m, sequences, lengths, 4, w->out);
    return NULL;
}

/* The last of several runs is compared: where runs are compiled, the first of a thread is not. */
static void test_threads_and_models(void **state) {
    (void)state;
    model models[2] = {load(), load()};
    worker first = {.m = &models[0], .n_runs = 3};
    work(&first);
    pthread_t threads[2];
    worker workers[2] = {{.m = &models[0], .n_runs = 50}, {.m = &models[1], .n_runs = 50}};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) assert_memory_equal(workers[i].out, first.out, sizeof first.out);
    for (int i = 0; i < 2; i++) unload(&models[i]);
}

static int count_threads(void) {
    char line[256];
    int n = -1;
    FILE *stream = fopen("/proc/self/status", "r");
    assert_non_null(stream);
    while (fgets(line, sizeof line, stream) != NULL)
        if (sscanf(line, "Threads: %d", &n) == 1) break;
    fclose(stream);
    return n;
}

/* A model loaded here, run once by each of many threads, one after the other: what MLX keeps for a thread goes with it. */
static void test_threads_that_end(void **state) {
    (void)state;
    model m = load();
    worker first = {.m = &m, .n_runs = 1};
    work(&first);
    const int before = count_threads();
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        worker w = {.m = &m, .n_runs = 1};
        assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
        pthread_join(thread, NULL);
        assert_memory_equal(w.out, first.out, sizeof first.out);
    }
    print_message("threads before %d, after %d\n", before, count_threads());
    assert_true(count_threads() <= before + 2);
    unload(&m);
}

/* Texts without tokens, of a model in which nothing attends. */
static void test_empty_texts(void **state) {
    (void)state;
    static const tern_pool pools[] = {TERN_POOL_CLS, TERN_POOL_MEAN, TERN_POOL_MAX, TERN_POOL_LAST_TOKEN};
    static const int64_t starts[][4] = {{0, 0, 2, 2}, {0, 0, 0, 0}};
    static const int32_t ids[] = {1, 1};
    const float table[] = {5, 6, 7, 8};
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 2, 2, "table");
    for (int i = 0; i < 4; i++) tern__output(p, tern__pool(p, x, pools[i]), "%d", i);
    p->weights[0].data = table;
    p->weights[0].dtype = TERN_DTYPE_F32;
    model m = {.program = p};
    assert_int_equal(mlx->open(&m.device, &(tern_device_options){.unit = unit}, &err), TERN_OK);
    assert_int_equal(mlx->compile(&m.compiled, m.device, p, "float32", &err), TERN_OK);
    for (int s = 0; s < 2; s++) {
        float y[4][6];
        tern_run_output outputs[4];
        for (int i = 0; i < 4; i++) outputs[i] = (tern_run_output){.output = i, .data = y[i]};
        const tern_batch batch = {.n_sequences = 3, .n_tokens = starts[s][3], .row_start = starts[s], .inputs = {ids}};
        if (mlx->run(m.compiled, &batch, outputs, 4, &err) != TERN_OK) fail_msg("%s", err.message);
        for (int i = 0; i < 4; i++)
            for (int e = 0; e < 6; e++) {
                const float expected = s == 0 && (e == 2 || e == 3) ? (float)(5 + e) : pools[i] == TERN_POOL_MAX ? -INFINITY : 0;
                if (y[i][e] != expected) fail_msg("form %d, pool %d, element %d: %g, not %g", s, i, e, (double)y[i][e], (double)expected);
            }
    }
    mlx->release(m.compiled);
    mlx->close(m.device);
    tern__program_free(p);
}

/* Of host memory a limit of the process leaves too little; of a GPU's there is none, so that the batch has to be larger than any has. */
static void test_out_of_memory(void **state) {
    (void)state;
    model m = load();
    const int32_t sequence = 0, long_length = is_gpu() ? MAX_TOKENS : 8000, short_length = 20;
    float out[WIDTH], expected[WIDTH];
    tern_error err;
    texts t;
    run_all(&m, &sequence, &short_length, 1, expected);
    fill(&t, &sequence, &long_length, 1);
    size_t bytes;
    assert_int_equal(mlx->workspace_bytes(m.compiled, &t.batch, &bytes, &err), TERN_OK);
    assert_true(bytes >= (size_t)4 * N_HEADS * (size_t)long_length * (size_t)long_length);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    small = before;
    if (!is_gpu()) small.rlim_cur = (rlim_t)1 << 30;
    assert_int_equal(setrlimit(RLIMIT_AS, &small), 0);
    const tern_status status = run(&m, &t, out, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    check_failed(status, TERN_E_MEMORY, &err, "out of memory: a batch of this size");
    run_all(&m, &sequence, &short_length, 1, out);
    assert_memory_equal(out, expected, sizeof out);
    free(t.ids);
    unload(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_alone_and_together),
        cmocka_unit_test(test_memory_is_flat),
        cmocka_unit_test(test_threads_and_models),
        cmocka_unit_test(test_threads_that_end),
        cmocka_unit_test(test_empty_texts),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("mlx device", tests, find_mlx, NULL);
}
