/* unit_cpu_device.c - the CPU device as a record: what it lists, opens and refuses; that memory is planned, kept and survives a batch that
 * is too large; that only what is asked for is computed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "device/device.h"

enum { WIDTH = 40, ROWS = 9 };

static float table[ROWS * WIDTH], weights[WIDTH * WIDTH];

static void *open_cpu(int threads, const char *isa) {
    void *device;
    tern_error err;
    const tern_device_options options = {.threads = threads, .isa = isa};
    if (tern__device_cpu.open(&device, &options, &err) != TERN_OK) fail_msg("%s", err.message);
    return device;
}

static void test_list_and_find(void **state) {
    (void)state;
    tern_device_info infos[2] = {0};
    assert_true(tern_device_list(NULL, 0) >= 1);
    assert_int_equal(tern_device_list(infos, 1), tern_device_list(NULL, 0));
    assert_string_equal(infos[0].name, "cpu");
    assert_true(infos[0].is_present);
    assert_non_null(strstr(infos[0].description, " thread"));
    assert_string_equal(infos[1].name, "");
    const tern_device_record *record;
    tern_error err;
    const char *unit;
    assert_int_equal(tern__device_find(&record, &unit, "cpu", &err), TERN_OK);
    assert_ptr_equal(record, &tern__device_cpu);
    assert_null(unit);
    assert_int_equal(tern__device_find(&record, &unit, "cpu:1", &err), TERN_OK);
    assert_string_equal(unit, "1");
    check_failed(tern__device_find(&record, &unit, "abacus", &err), TERN_E_DEVICE, &err, "known are: cpu, cuda, mlx");
    assert_null(record);
}

static void test_open_refuses(void **state) {
    (void)state;
    static const struct {
        tern_device_options options;
        tern_status code;
        const char *part;
    } cases[] = {
        {{.threads = -1}, TERN_E_ARGUMENT, "-1 threads"},
        {{.threads = 1 << 20}, TERN_E_ARGUMENT, "1048576 threads"},
        {{.unit = "1"}, TERN_E_DEVICE, "\"cpu:1\": there is one CPU device"},
        {{.isa = "mmx"}, TERN_E_DEVICE, "\"mmx\"; known are: scalar, avx2, avx512"},
        {{.isa = ""}, TERN_E_DEVICE, "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_error err;
        void *device;
        check_failed(tern__device_cpu.open(&device, &cases[i].options, &err), cases[i].code, &err, cases[i].part);
        assert_null(device);
    }
    void *device = open_cpu(3, "scalar");
    assert_string_equal(tern__device_cpu.properties(device).isa, "scalar");
    assert_int_equal(tern__device_cpu.properties(device).threads, 3);
    tern__device_cpu.close(device);
    tern__device_cpu.close(NULL);
}

/* x -> linear -> pool -> normalize, each an output. */
static tern_program *new_program(void) {
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), ROWS, WIDTH, "table");
    const tern_value y = tern__linear(p, x, WIDTH, "linear"), pooled = tern__pool(p, y, TERN_POOL_MEAN);
    tern__output(p, y, "linear");
    tern__output(p, pooled, "pooled");
    tern__output(p, tern__normalize(p, pooled), "normalized");
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < ROWS * WIDTH; i++) table[i] = (float)(i % 23) - 11;
    for (size_t i = 0; i < WIDTH * WIDTH; i++) weights[i] = (float)(i % 17) - 8;
    for (int32_t w = 0; w < p->n_weights; w++) {
        p->weights[w].data = w == 0 ? table : weights;
        p->weights[w].dtype = TERN_DTYPE_F32;
    }
    return p;
}

static void expect_refusal(void *device, const tern_program *p, const char *dtype, tern_status code, const char *part) {
    tern_error err;
    void *compiled;
    check_failed(tern__device_cpu.compile(&compiled, device, p, dtype, &err), code, &err, part);
    assert_null(compiled);
}

static void test_compile_refuses(void **state) {
    (void)state;
    void *device = open_cpu(1, NULL);
    tern_program *p = new_program();
    expect_refusal(device, p, "bfloat16", TERN_E_DTYPE, "\"bfloat16\": the CPU device");
    p->weights[1].dtype = TERN_DTYPE_I8;
    expect_refusal(device, p, "float32", TERN_E_DTYPE, "linear.weight is I8");
    p->weights[1].dtype = TERN_DTYPE_F32;
    p->weights[2].data = NULL;
    expect_refusal(device, p, "float32", TERN_E_WEIGHTS, "linear.bias is not bound");
    p->weights[2].data = weights;
    p->nodes[0].op = TERN_N_OPS;
    expect_refusal(device, p, "float32", TERN_E_UNSUPPORTED, "op");
    p->nodes[0].op = TERN_OP_INPUT;
    tern__output(p, p->nodes[0].output, "ids");
    expect_refusal(device, p, "float32", TERN_E_UNSUPPORTED, "the output ids is of integers");
    tern__program_free(p);
    p = new_program();
    tern__pool(p, p->outputs[1].value, TERN_POOL_CLS);
    expect_refusal(device, p, "float32", TERN_E_UNSUPPORTED, "pool of rows that are not tokens");
    tern__program_free(p);
    tern__device_cpu.release(NULL);
    tern__device_cpu.close(device);
}

/* A batch of equal sequences. */
typedef struct test_batch {
    int64_t row_start[65];
    int32_t ids[1024];
    tern_batch batch;
} test_batch;

static void fill_batch(test_batch *b, int64_t n_sequences, int64_t length) {
    for (int64_t s = 0; s <= n_sequences; s++) b->row_start[s] = s * length;
    for (int64_t i = 0; i < n_sequences * length; i++) b->ids[i] = (int32_t)(i * 5 % ROWS);
    b->batch = (tern_batch){.n_sequences = n_sequences, .n_tokens = n_sequences * length, .row_start = b->row_start, .inputs = {b->ids}};
}

static size_t workspace_of(void *compiled, const tern_batch *batch) {
    size_t bytes;
    assert_int_equal(tern__device_cpu.workspace_bytes(compiled, batch, &bytes, NULL), TERN_OK);
    return bytes;
}

static void test_memory(void **state) {
    (void)state;
    static test_batch small, large;
    static float first[1024 * WIDTH], second[1024 * WIDTH];
    void *device = open_cpu(2, NULL), *compiled;
    tern_program *p = new_program();
    tern_error err;
    assert_int_equal(tern__device_cpu.compile(&compiled, device, p, "float32", &err), TERN_OK);
    assert_true(tern__device_cpu.packed_bytes(compiled) >= sizeof weights + WIDTH * sizeof(float));
    fill_batch(&small, 3, 5);
    fill_batch(&large, 64, 16);
    assert_true(workspace_of(compiled, &large.batch) > workspace_of(compiled, &small.batch));
    tern_run_output output = {.output = 0, .data = first};
    assert_int_equal(tern__device_cpu.run(compiled, &small.batch, &output, 1, &err), TERN_OK);
    output.data = second;
    assert_int_equal(tern__device_cpu.run(compiled, &large.batch, &output, 1, &err), TERN_OK);
    assert_memory_equal(first, second, 15 * WIDTH * sizeof(float)); /* the same ids come first */

    const int64_t row_start[] = {0, INT64_MAX / 2}; /* refused before an id is read */
    const tern_batch too_large = {.n_sequences = 1, .n_tokens = INT64_MAX / 2, .row_start = row_start, .inputs = {small.ids}};
    size_t bytes;
    check_failed(tern__device_cpu.run(compiled, &too_large, &output, 1, &err), TERN_E_MEMORY, &err, "more than any memory");
    check_failed(tern__device_cpu.workspace_bytes(compiled, &too_large, &bytes, &err), TERN_E_MEMORY, &err, "more than any memory");
    memset(second, 0xFF, sizeof second);
    assert_int_equal(tern__device_cpu.run(compiled, &small.batch, &output, 1, &err), TERN_OK);
    assert_memory_equal(first, second, 15 * WIDTH * sizeof(float));
    tern__device_cpu.release(compiled);
    tern__program_free(p);
    tern__device_cpu.close(device);
}

/* Outputs in any order, one of them twice, none at all; what is not asked for is not written. */
static void test_outputs(void **state) {
    (void)state;
    static test_batch b;
    static float linear[15 * WIDTH], again[15 * WIDTH], normalized[3 * WIDTH], pooled[3 * WIDTH];
    void *device = open_cpu(2, NULL), *compiled;
    tern_program *p = new_program();
    tern_error err;
    assert_int_equal(tern__device_cpu.compile(&compiled, device, p, "float32", &err), TERN_OK);
    fill_batch(&b, 3, 5);
    const tern_run_output outputs[] = {{2, normalized}, {0, linear}, {1, pooled}, {0, again}};
    assert_int_equal(tern__device_cpu.run(compiled, &b.batch, outputs, 4, &err), TERN_OK);
    assert_memory_equal(linear, again, sizeof linear);
    for (size_t c = 0; c < WIDTH; c++) { /* small integers: exact */
        float sum = 0;
        for (size_t r = 0; r < 5; r++) sum += linear[(5 + r) * WIDTH + c];
        if (pooled[WIDTH + c] < sum * 0.2f - 1e-3f || pooled[WIDTH + c] > sum * 0.2f + 1e-3f)
            fail_msg("the mean of column %zu is wrong", c);
    }
    memset(linear, 0, sizeof linear);
    assert_int_equal(tern__device_cpu.run(compiled, &b.batch, NULL, 0, &err), TERN_OK);
    assert_int_equal(tern__device_cpu.run(compiled, &b.batch, outputs, 1, &err), TERN_OK);
    for (size_t i = 0; i < 15 * WIDTH; i++) assert_true(linear[i] <= 0 && linear[i] >= 0);
    tern__device_cpu.release(compiled);
    tern__program_free(p);
    tern__device_cpu.close(device);
}

/* A value lives where a wider one was: while one thread writes its rows, no other may still be at the wide rows in the same memory. They
 * would meet a quarter of the way, so there are many tries. */
static void test_reused_memory(void **state) {
    (void)state;
    enum { WIDE = 960, THIRD = WIDE / 3, MANY = 1024, TRIES = 500 };
    static float wide[ROWS * WIDE], found[MANY * THIRD], expected[MANY * THIRD];
    static test_batch b;
    void *device = open_cpu(2, NULL), *compiled;
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), ROWS, WIDE, "wide");
    const tern_value y = tern__add(p, tern__slice(p, x, 0, THIRD), tern__slice(p, x, THIRD, THIRD));
    tern__output(p, tern__activation(p, y, TERN_OP_RELU), "y");
    assert_int_equal(tern__program_finish(p, NULL), TERN_OK);
    for (size_t i = 0; i < ROWS * WIDE; i++) wide[i] = (float)(i % 101);
    p->weights[0].data = wide;
    p->weights[0].dtype = TERN_DTYPE_F32;
    assert_int_equal(tern__device_cpu.compile(&compiled, device, p, "float32", &err), TERN_OK);
    fill_batch(&b, 64, MANY / 64);
    const tern_run_output output = {.output = 0, .data = found};
    for (size_t i = 0; i < MANY * THIRD; i++) {
        const float *row = wide + (size_t)b.ids[i / THIRD] * WIDE;
        expected[i] = row[i % THIRD] + row[THIRD + i % THIRD];
    }
    for (int try = 0; try < TRIES; try++) { /* quickly, so that the second thread is still awake */
        assert_int_equal(tern__device_cpu.run(compiled, &b.batch, &output, 1, &err), TERN_OK);
        if (memcmp(found, expected, sizeof found) != 0) fail_msg("try %d has other bits", try);
    }
    tern__device_cpu.release(compiled);
    tern__program_free(p);
    tern__device_cpu.close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_and_find), cmocka_unit_test(test_open_refuses), cmocka_unit_test(test_compile_refuses),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_outputs),      cmocka_unit_test(test_reused_memory),
    };
    return cmocka_run_group_tests_name("CPU device", tests, NULL, NULL);
}
