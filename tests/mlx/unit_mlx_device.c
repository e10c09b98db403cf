/* unit_mlx_device.c - the MLX device beyond its ops (unit_op_conformance.c): what is refused, memory over many runs, threads, running out
 * of memory, and that a text's result does not depend on the texts beside it. On mlx:cpu, or where the environment's TERN_TEST_DEVICE says
 * so on mlx:gpu. Built where TERN_MLX is given.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <sys/resource.h>

#include "../unit/random_weights.h"
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

/* ---- Models of two layers, and batches ---- */

typedef enum attention { PLAIN, WINDOW, RELATIVE_BIAS, DISENTANGLED, N_ATTENTIONS } attention;

typedef struct model {
    tern_program *program;
    void *device, *compiled;
} model;

static tern_value attend(tern_program *p, attention kind, tern_value q, tern_value k, tern_value v) {
    const float scale = 0.25f;
    if (kind == WINDOW) return tern__attention_window(p, q, k, v, N_HEADS, scale, 5);
    if (kind == RELATIVE_BIAS) return tern__attention_relative_bias(p, q, k, v, N_HEADS, scale, 16, 40, "bias");
    if (kind == PLAIN) return tern__attention(p, q, k, v, N_HEADS, scale);
    const tern_disentangled_options options = {.n_heads = N_HEADS,
                                               .scale = scale,
                                               .n_buckets = 16,
                                               .max_distance = 40,
                                               .relative_width = WIDTH,
                                               .relative = "relative",
                                               .key = "relative_key",
                                               .query = "relative_query",
                                               .eps = 1e-5f};
    return tern__disentangled_attention(p, q, k, v, &options);
}

static float element_of(const tern_weight *weight) { return (void)weight, 0.25f * random_unit(); }

static tern_program *build(attention kind) {
    tern_program *p;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), VOCABULARY, WIDTH, "table");
    for (int layer = 0; layer < 2; layer++) {
        const tern_value q = tern__linear(p, x, WIDTH, "%d.q", layer), k = tern__linear(p, x, WIDTH, "%d.k", layer);
        const tern_value v = tern__linear(p, x, WIDTH, "%d.v", layer);
        x = tern__layer_norm(p, tern__add(p, x, attend(p, kind, q, k, v)), 1e-5f, "%d.norm", layer);
    }
    tern__output(p, tern__normalize(p, tern__pool(p, x, TERN_POOL_MEAN)), "embedding");
    tern_error err;
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    random_state = 7;
    bind_random_weights(p, element_of);
    return p;
}

static model load_attending(attention kind) {
    model m = {.program = build(kind)};
    tern_error err;
    if (mlx->open(&m.device, &(tern_device_options){.unit = unit}, &err) != TERN_OK) fail_msg("%s", err.message);
    if (mlx->compile(&m.compiled, m.device, m.program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
    return m;
}

static model load(void) { return load_attending(PLAIN); }

static void unload(model *m) {
    mlx->release(m->compiled);
    mlx->close(m->device);
    free_random_program(m->program);
}

typedef struct texts {
    int64_t row_start[MAX_SEQUENCES + 1];
    int32_t *ids, *columns;
    tern_batch batch;
} texts;

/* Sequence s has the same ids in every batch, and every third one has holes between its columns. */
static void fill(texts *t, const int32_t *sequences, const int32_t *lengths, int32_t n) {
    t->ids = malloc(MAX_TOKENS * sizeof *t->ids);
    t->columns = malloc(MAX_TOKENS * sizeof *t->columns);
    assert_non_null(t->ids);
    assert_non_null(t->columns);
    int64_t row = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t random = 1000u + (uint32_t)sequences[i];
        t->row_start[i] = row;
        for (int32_t j = 0; j < lengths[sequences[i]]; j++, row++) {
            t->ids[row] = (int32_t)(next_random(&random) >> 8) % VOCABULARY;
            t->columns[row] = j + (sequences[i] % 3 == 2 ? j / 4 * 2 : 0);
        }
    }
    t->row_start[n] = row;
    assert_true(row <= MAX_TOKENS);
    t->batch = (tern_batch){.n_sequences = n, .n_tokens = row, .row_start = t->row_start};
    t->batch.inputs[TERN_INPUT_IDS] = t->ids;
    t->batch.inputs[TERN_INPUT_COLUMNS] = t->columns;
}

static void free_texts(texts *t) {
    free(t->ids);
    free(t->columns);
}

static tern_status run(const model *m, const texts *t, float *out, tern_error *err) {
    return mlx->run(m->compiled, &t->batch, &(tern_run_output){.output = 0, .data = out}, 1, err);
}

static void run_all(const model *m, const int32_t *sequences, const int32_t *lengths, int32_t n, float *out) {
    texts t;
    tern_error err;
    fill(&t, sequences, lengths, n);
    if (run(m, &t, out, &err) != TERN_OK) fail_msg("%s", err.message);
    free_texts(&t);
}

/* Infinite where something is not a number. */
static double largest_difference(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, isnan(a[i] - b[i]) ? INFINITY : fabs((double)a[i] - (double)b[i]));
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

/* One text alone, and among others before and behind it in its line: but for the rounding of other shapes, and of sums in other steps, the
 * same. On mlx:cpu at most 2.1e-7 was seen. */
static void check_alone_and_together(const model *m, const int32_t *lengths, const int32_t *order, int32_t n, const char *what) {
    float together[MAX_SEQUENCES * WIDTH], alone[WIDTH];
    run_all(m, order, lengths, n, together);
    for (int32_t i = 0; i < n; i++) {
        run_all(m, &order[i], lengths, 1, alone);
        const double d = largest_difference(alone, together + i * WIDTH, WIDTH);
        if (!(d <= (is_gpu() ? 5e-7 : 3e-7))) fail_msg("%s, sequence %d of %d tokens: %g", what, order[i], lengths[order[i]], d);
    }
}

/* Vectors are of length 1. One long text and many short ones are a line without padding; many of a few tokens more or less are many lines.
 */
static void test_alone_and_together(void **state) {
    (void)state;
    static const char *const names[N_ATTENTIONS] = {"plain", "window", "relative bias", "disentangled"};
    static const int32_t forms[][6] = {
        {5, 5, 5, 5, 5, 5}, {7, 6, 5, 7, 6, 5}, {300, 2, 300, 2, 300, 2}, {9, 200, 10, 190, 8, 1}, {1, 2, 3, 4, 5, 400}};
    static const int32_t order[] = {3, 0, 5, 1, 4, 2};
    int32_t with_long[MAX_SEQUENCES], alike[MAX_SEQUENCES], in_order[MAX_SEQUENCES];
    for (int32_t i = 0; i < MAX_SEQUENCES; i++) in_order[i] = i, with_long[i] = i == 20 ? 500 : 1 + i % 9, alike[i] = 10 + i * 7 % 23;
    for (int kind = 0; kind < N_ATTENTIONS; kind++) {
        model m = load_attending((attention)kind);
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) check_alone_and_together(&m, forms[f], order, 6, names[kind]);
        check_alone_and_together(&m, with_long, in_order, MAX_SEQUENCES, names[kind]);
        check_alone_and_together(&m, alike, in_order, MAX_SEQUENCES, names[kind]);
        unload(&m);
    }
}

/* What tells a process's memory and threads, and a limit of its memory that counts, are Linux's. */
static bool is_linux(void) {
#ifdef __linux__
    return true;
#else
    return false;
#endif
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
    if (!is_linux()) skip();
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
    if (!is_linux()) skip();
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

/* The pool of rows first ... end - 1 of the table, of which the first n_prompt do not count. */
static float pool_of(tern_pool pool, const float *table, int64_t first, int64_t end, int64_t n_prompt, int e) {
    double sum = 0, weights = 0;
    float most = -INFINITY;
    for (int64_t row = first + n_prompt; row < end; row++) {
        const double weight = pool == TERN_POOL_WEIGHTED_MEAN ? (double)(row - first + 1) : 1;
        sum += weight * (double)table[row * 2 + e];
        weights += weight;
        most = fmaxf(most, table[row * 2 + e]);
    }
    if (pool == TERN_POOL_MAX) return most;
    if (pool == TERN_POOL_LAST_TOKEN) return weights > 0 ? table[(end - 1) * 2 + e] : 0;
    if (pool == TERN_POOL_CLS) return first == end ? 0 : table[(weights > 0 ? first + n_prompt : first) * 2 + e];
    return (float)(weights == 0 || pool == TERN_POOL_SUM ? sum : sum / (pool == TERN_POOL_MEAN_SQRT_LEN ? sqrt(weights) : weights));
}

/* Texts of many lengths, some without tokens, of a model in which nothing attends; without a prompt and behind one. */
static void test_pools_and_empty_texts(void **state) {
    (void)state;
    static const tern_pool pools[] = {TERN_POOL_CLS,           TERN_POOL_MEAN,          TERN_POOL_MAX,       TERN_POOL_SUM,
                                      TERN_POOL_MEAN_SQRT_LEN, TERN_POOL_WEIGHTED_MEAN, TERN_POOL_LAST_TOKEN};
    enum { N_POOLS = sizeof pools / sizeof *pools };
    static const int64_t starts[][6] = {{0, 0, 2, 2, 2, 2}, {0, 0, 0, 0, 0, 0}, {0, 9, 9, 10, 12, 15}, {0, 1, 1, 12, 14, 15}};
    int32_t ids[15];
    float table[30];
    for (int i = 0; i < 30; i++) ids[i / 2] = i / 2, table[i] = (float)(i * 7 % 11) - 8;
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 15, 2, "table");
    for (int i = 0; i < N_POOLS; i++) tern__output(p, tern__pool_without_prompt(p, x, pools[i]), "%d", i);
    p->weights[0].data = table;
    p->weights[0].dtype = TERN_DTYPE_F32;
    model m = {.program = p};
    assert_int_equal(mlx->open(&m.device, &(tern_device_options){.unit = unit}, &err), TERN_OK);
    assert_int_equal(mlx->compile(&m.compiled, m.device, p, "float32", &err), TERN_OK);
    for (int64_t s = 0; s < 8; s++) {
        float y[N_POOLS][10];
        tern_run_output outputs[N_POOLS];
        for (int i = 0; i < N_POOLS; i++) outputs[i] = (tern_run_output){.output = i, .data = y[i]};
        const int64_t *start = starts[s % 4];
        const tern_batch batch = {.n_sequences = 5, .n_tokens = start[5], .row_start = start, .n_prompt_rows = s / 4, .inputs = {ids}};
        if (mlx->run(m.compiled, &batch, outputs, N_POOLS, &err) != TERN_OK) fail_msg("%s", err.message);
        for (int i = 0; i < N_POOLS; i++)
            for (int e = 0; e < 10; e++) {
                const float expected = pool_of(pools[i], table, start[e / 2], start[e / 2 + 1], batch.n_prompt_rows, e % 2);
                if (!(y[i][e] == expected || fabsf(y[i][e] - expected) <= 2e-6f))
                    fail_msg("form %d, pool %d, element %d: %g, not %g", (int)s, i, e, (double)y[i][e], (double)expected);
            }
    }
    mlx->release(m.compiled);
    mlx->close(m.device);
    tern__program_free(p);
}

/* Of host memory a limit of the process leaves too little; of a GPU's there is none, so that the batch has to be larger than any has. */
static void test_out_of_memory(void **state) {
    (void)state;
    if (!is_linux()) skip();
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
    free_texts(&t);
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
        cmocka_unit_test(test_pools_and_empty_texts),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("mlx device", tests, find_mlx, NULL);
}
