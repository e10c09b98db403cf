/* ops.c - the op benchmark: every op at the shapes of the models and the grid, and square products, each with its share of what the machine
 * can do at most.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/json_row.h"
#include "bench/op_run.h"
#include "bench/peaks.h"

#define CHARS_PER_TOKEN 4.5 /* of src/bench/text.txt in BERT's vocabulary; and two special tokens */

/* One device in one dtype. */
typedef struct op_block {
    const tern_bench_grid *grid;
    tern_bench_sink *sink;
    tern_op_bench bench;
    tern_peaks peaks;
    json_t *common;
    tern_op_case *cases;
    size_t n_cases;
    double done, all; /* of all blocks: cases */
    double *ms;
} op_block;

/* ---- The cases ---- */

static void add_case(op_block *b, tern_op_case c, int64_t tokens, int64_t batch) {
    c.tokens = tokens;
    c.batch = batch;
    b->cases[b->n_cases++] = c;
}

static const int64_t squares[] = {64, 128, 256, 512, 1024, 2048};
enum { N_SQUARES = sizeof squares / sizeof *squares, N_SHAPES = 2 };

static size_t count_cases(const tern_bench_grid *g) { return N_SHAPES * TERN_N_OPS * g->n_chars * g->n_batches + N_SQUARES; }

static bool list_cases(op_block *b) {
    const tern_bench_grid *g = b->grid;
    tern_op_case ops[N_SHAPES][TERN_N_OPS];
    const size_t n_ops = tern__op_cases(ops[0], "base", 768, 3072, 12);
    tern__op_cases(ops[1], "large", 1024, 4096, 16);
    b->cases = calloc(count_cases(g), sizeof *b->cases);
    if (b->cases == NULL) return false;
    for (size_t o = 0; o < n_ops; o++)
        for (size_t s = 0; s < N_SHAPES; s++)
            for (size_t i = 0; i < g->n_chars * g->n_batches; i++) {
                const double tokens = (double)g->chars[i / g->n_batches] / CHARS_PER_TOKEN + 2;
                add_case(b, ops[s][o], (int64_t)tokens, g->batches[i % g->n_batches]);
            }
    for (size_t i = 0; i < N_SQUARES; i++)
        add_case(b, (tern_op_case){.op = TERN_OP_LINEAR, .shape = "square", .in = squares[i], .out = squares[i], .heads = 1}, squares[i],
                 1);
    return true;
}

/* ---- Overhead: the shortest of many runs of an addition of 16 numbers ---- */

static tern_status measure_overhead(op_block *b, tern_error *err) {
    enum { RUNS = 300 };
    double ms[RUNS];
    const tern_op_case nothing = {.op = TERN_OP_ADD, .shape = "nothing", .in = 16, .out = 16, .heads = 1, .tokens = 1, .batch = 1};
    tern_op_run run = {.ms = ms, .n_calls = RUNS};
    const tern_status status = tern__op_bench_run(&run, &b->bench, &nothing, err);
    if (status != TERN_OK) return status;
    tern__sort(ms, RUNS);
    b->peaks.overhead_ns = 1e6 * tern__quantile(ms, RUNS, 0.1);
    return TERN_OK;
}

/* ---- Rows ---- */

static json_t *list_ms(const double *ms, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(ms[i]));
    return list;
}

static void add_roofline(json_t *row, const op_block *b, const tern_op_run *run, double median_ms) {
    json_object_set_new(row, "flops", json_real(run->cost.flops));
    json_object_set_new(row, "bytes", json_real(run->cost.bytes));
    json_object_set_new(row, "flop_per_s", json_real(1e3 * run->cost.flops / median_ms));
    json_object_set_new(row, "bytes_per_s", json_real(1e3 * run->cost.bytes / median_ms));
    if (b->peaks.flop_per_s <= 0) return;
    const double weights = run->cost.weight_bytes, others = run->cost.bytes - weights;
    const tern_work work = {run->cost.flops, weights, weights * (double)run->n_copies, others, others};
    const double limit_ns = tern__peaks_limit_ns(&b->peaks, &work);
    json_object_set_new(row, "limit_ms", json_real(1e-6 * limit_ns));
    json_object_set_new(row, "share", json_real(1e-6 * limit_ns / median_ms));
    json_object_set_new(row, "bound", json_string(tern__bound_name(tern__peaks_bound(&b->peaks, &work, 1e6 * median_ms))));
}

static bool add_result(json_t *row, const op_block *b, const tern_op_run *run) {
    const size_t n_warmups = b->grid->n_warmups;
    tern_summary summary;
    if (!tern__summarize(&summary, run->ms + 1 + n_warmups, b->grid->n_iterations)) return false;
    json_object_set_new(row, "rows", json_integer((json_int_t)run->rows));
    json_object_set_new(row, "n_copies", json_integer((json_int_t)run->n_copies));
    json_object_set_new(row, "first_ms", json_real(run->ms[0]));
    json_object_set_new(row, "warmup_ms", list_ms(run->ms + 1, n_warmups));
    json_object_set_new(row, "iterations_ms", list_ms(run->ms + 1 + n_warmups, b->grid->n_iterations));
    tern__row_add_summary(row, &summary);
    add_roofline(row, b, run, summary.median);
    return true;
}

static void measure_case(op_block *b, const tern_op_case *c) {
    tern_error err;
    tern_op_run run = {.ms = b->ms, .n_calls = 1 + b->grid->n_warmups + b->grid->n_iterations};
    const tern_status status = tern__op_bench_run(&run, &b->bench, c, &err);
    json_t *row = json_object();
    json_object_update(row, b->common);
    json_object_set_new(row, "status", json_string(tern__row_status(status)));
    json_object_set_new(row, "message", status != TERN_OK ? json_string(err.message) : json_null());
    json_object_set_new(row, "op", json_string(tern__op_name(c->op)));
    json_object_set_new(row, "shape", json_string(c->shape));
    json_object_set_new(row, "in", json_integer((json_int_t)c->in));
    json_object_set_new(row, "out", json_integer((json_int_t)c->out));
    json_object_set_new(row, "tokens", json_integer((json_int_t)c->tokens));
    json_object_set_new(row, "batch", json_integer((json_int_t)c->batch));
    if (status == TERN_OK && !add_result(row, b, &run)) {
        json_decref(row);
        row = NULL;
    }
    tern__sink_row(b->sink, row);
}

static json_t *describe_device(const op_block *b, const char *device, const char *kind) {
    json_t *row = tern__row_begin(kind);
    json_object_set_new(row, "dtype", json_string(b->bench.dtype));
    json_object_set_new(row, "device", json_string(device));
    if (b->bench.device == NULL) return row;
    const tern_device_properties properties = b->bench.record->properties(b->bench.device);
    json_object_set_new(row, "device", json_string(properties.name));
    json_object_set_new(row, "isa", json_string(properties.isa));
    json_object_set_new(row, "threads", json_integer(properties.threads));
    return row;
}

/* ---- A block ---- */

static bool is_stopped(const op_block *b) { return b->grid->is_interrupted != NULL && *b->grid->is_interrupted != 0; }

static tern_status prepare(op_block *b, const char *device, const char *dtype, tern_error *err) {
    const tern_device_options options = {.threads = b->grid->threads, .isa = b->grid->isa, .cache_folder = b->grid->cache_folder};
    tern_status status = tern__op_bench_open(&b->bench, device, &options, dtype, err);
    if (status != TERN_OK) return status;
    const tern_device_properties properties = b->bench.record->properties(b->bench.device);
    if (b->grid->progress != NULL) b->grid->progress(b->grid->user, b->done / b->all, "peaks");
    const bool is_ours = strcmp(properties.name, "cpu") == 0; /* whose loops measure the peaks */
    if (is_ours) status = tern__peaks_measure(&b->peaks, properties.isa, properties.threads, err);
    return status == TERN_OK ? measure_overhead(b, err) : status;
}

/* What the device can do at most, or why it cannot be asked. */
static void write_peaks(op_block *b, const char *device, tern_status status, const tern_error *err) {
    json_t *row = describe_device(b, device, "peaks");
    json_object_set_new(row, "status", json_string(tern__row_status(status)));
    json_object_set_new(row, "message", status != TERN_OK ? json_string(err->message) : json_null());
    if (status == TERN_OK) json_object_set_new(row, "peaks", tern__peaks_describe(&b->peaks));
    tern__sink_row(b->sink, row);
}

static void run_op_block(op_block *b, const char *device, const char *dtype) {
    tern_error err;
    const tern_status status = prepare(b, device, dtype, &err);
    write_peaks(b, device, status, &err);
    if (status == TERN_OK) {
        b->common = describe_device(b, device, "op");
        for (size_t i = 0; i < b->n_cases && !is_stopped(b); i++) {
            if (b->grid->progress != NULL) b->grid->progress(b->grid->user, (b->done + (double)i) / b->all, tern__op_name(b->cases[i].op));
            measure_case(b, &b->cases[i]);
        }
        json_decref(b->common);
    }
    tern__op_bench_close(&b->bench);
}

tern_status tern__bench_run_ops(const tern_bench_grid *grid, tern_bench_sink *sink, tern_error *err) {
    const size_t n_blocks = grid->n_devices * grid->n_dtypes;
    op_block b = {.grid = grid, .sink = sink};
    b.ms = calloc(1 + grid->n_warmups + grid->n_iterations, sizeof *b.ms);
    const bool ok = b.ms != NULL && list_cases(&b);
    b.all = (double)(n_blocks * b.n_cases);
    for (size_t i = 0; i < n_blocks && ok && !is_stopped(&b); i++) {
        b.done = (double)(i * b.n_cases);
        run_op_block(&b, grid->devices[i / grid->n_dtypes], grid->dtypes[i % grid->n_dtypes]);
    }
    free(b.ms);
    free(b.cases);
    if (ok) return TERN_OK;
    *err = (tern_error){.code = TERN_E_MEMORY, .message = "out of memory for the cases of the op benchmark"};
    return TERN_E_MEMORY;
}
