/* op_run.c - see op_run.h. The time is the device's own, of the op's node in a run: the start of the threads is not in it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/op_run.h"

#include <stdlib.h>
#include <string.h>

enum { COLD_BYTES = 64 << 20, MAX_COPIES = 32, WIDEST = 1024, WARM_TOKENS = 256 };

tern_status tern__op_bench_open(tern_op_bench *out, const char *device, const tern_device_options *options, const char *dtype,
                                tern_error *err) {
    *out = (tern_op_bench){.dtype = dtype, .n_weights = (size_t)TERN_OP_CASE_VOCAB * WIDEST};
    tern_device_options with_unit = *options;
    TERN_TRY(tern__device_find(&out->record, &with_unit.unit, device, err));
    TERN_TRY(out->record->open(&out->device, &with_unit, err));
    out->weights = tern__alloc(out->n_weights, sizeof *out->weights);
    if (out->weights == NULL) {
        tern__op_bench_close(out);
        return TERN_FAIL_MEMORY(err, out->n_weights * sizeof *out->weights);
    }
    uint32_t state = 1; /* small numbers of both signs */
    for (size_t i = 0; i < out->n_weights; i++) {
        state = state * 1664525u + 1013904223u;
        out->weights[i] = ((float)(state >> 8) / (float)(1 << 23) - 1) / 32;
    }
    return TERN_OK;
}

void tern__op_bench_close(tern_op_bench *bench) {
    if (bench->device != NULL) bench->record->close(bench->device);
    free(bench->weights);
    *bench = (tern_op_bench){0};
}

/* ---- A compiled copy ---- */

typedef struct copy {
    tern_program *program;
    void *compiled;
    int32_t node, output;
} copy;

static size_t elements_of(const tern_weight *weight) {
    return (size_t)weight->shape[0] * (weight->rank == 2 ? (size_t)weight->shape[1] : 1);
}

static tern_status open_copy(copy *out, const tern_op_bench *bench, const tern_op_case *c, tern_error *err) {
    tern_value result;
    TERN_TRY(tern__op_program(&out->program, &result, c, err));
    for (int32_t w = 0; w < out->program->n_weights; w++) {
        tern_weight *weight = &out->program->weights[w];
        if (elements_of(weight) > bench->n_weights) return TERN_FAIL(err, TERN_E_SHAPE, "%s is too large", weight->name);
        weight->data = bench->weights;
        weight->dtype = TERN_DTYPE_F32;
    }
    TERN_TRY(tern__program_fuse(out->program, bench->record->supports, bench->device, err));
    out->node = tern__op_node(out->program, result, c->op);
    out->output = tern__program_find_output(out->program, "wanted");
    if (out->node < 0) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s does not fuse %s", bench->record->name, tern__op_name(c->op));
    return bench->record->compile(&out->compiled, bench->device, out->program, bench->dtype, err);
}

static void close_copy(copy *c, const tern_op_bench *bench) {
    if (c->compiled != NULL) bench->record->release(c->compiled);
    tern__program_free(c->program);
    *c = (copy){0};
}

/* ---- Its batch ---- */

typedef struct case_batch {
    tern_batch batch;
    int64_t *row_start;
    int32_t *ids, *positions, *picks;
    float *output;
} case_batch;

static tern_status open_batch(case_batch *out, const tern_op_case *c, tern_error *err) {
    const size_t batch = (size_t)c->batch, n = batch * (size_t)c->tokens;
    const uint32_t n_ids = c->op == TERN_OP_EMBEDDING ? TERN_OP_CASE_VOCAB : TERN_OP_CASE_IDS;
    *out = (case_batch){.row_start = tern__alloc(batch + 1, sizeof(int64_t)),
                        .ids = tern__alloc(n, sizeof(int32_t)),
                        .positions = tern__alloc(n, sizeof(int32_t)),
                        .picks = tern__alloc(batch, sizeof(int32_t)),
                        .output = tern__alloc(batch * (size_t)c->out, sizeof(float))};
    if (out->row_start == NULL || out->ids == NULL || out->positions == NULL || out->picks == NULL || out->output == NULL)
        return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for a batch of %zu tokens", n);
    for (size_t s = 0; s <= batch; s++) out->row_start[s] = (int64_t)s * c->tokens;
    for (size_t s = 0; s < batch; s++) out->picks[s] = (int32_t)out->row_start[s];
    for (size_t i = 0; i < n; i++) {
        out->ids[i] = (int32_t)((uint32_t)i * 2654435761u % n_ids);
        out->positions[i] = (int32_t)((int64_t)i % c->tokens);
    }
    out->batch = (tern_batch){.n_sequences = c->batch,
                              .n_tokens = (int64_t)n,
                              .row_start = out->row_start,
                              .n_picks = c->batch,
                              .picks = out->picks,
                              .inputs = {[TERN_INPUT_IDS] = out->ids,
                                         [TERN_INPUT_TOKEN_TYPE_IDS] = out->ids,
                                         [TERN_INPUT_POSITION_IDS] = out->positions,
                                         [TERN_INPUT_COLUMNS] = out->positions}};
    return TERN_OK;
}

static void close_batch(case_batch *b) {
    free(b->row_start);
    free(b->ids);
    free(b->positions);
    free(b->picks);
    free(b->output);
}

/* ---- Runs ---- */

static tern_status call(double *ms, const tern_op_bench *bench, const copy *c, case_batch *b, int64_t *node_ns, tern_error *err) {
    const tern_run_output output = {.output = c->output, .data = b->output};
    memset(node_ns, 0, (size_t)c->program->n_nodes * sizeof *node_ns);
    b->batch.node_ns = node_ns;
    TERN_TRY(bench->record->run(c->compiled, &b->batch, &output, 1, err));
    if (node_ns[c->node] <= 0) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s does not time this op apart", bench->record->name);
    *ms = 1e-6 * (double)node_ns[c->node];
    return TERN_OK;
}

static tern_status run_copies(tern_op_run *out, const tern_op_bench *bench, const copy *copies, case_batch *b, tern_error *err) {
    int64_t *node_ns = tern__alloc((size_t)copies[0].program->n_nodes, sizeof *node_ns);
    tern_status status = node_ns != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, 64);
    for (size_t n = 0; n < out->n_calls && status == TERN_OK; n++) {
        out->ms[n] = 0;
        for (size_t i = 0; i < out->n_copies && status == TERN_OK; i++) {
            double ms = 0;
            status = call(&ms, bench, &copies[i], b, node_ns, err);
            out->ms[n] += ms / (double)out->n_copies;
        }
    }
    free(node_ns);
    return status;
}

static void describe(tern_op_run *out, const copy *c, const tern_op_case *of) {
    const tern_node *node = &c->program->nodes[c->node];
    const tern_rows rows = {
        .rows = {[TERN_SPACE_TOKENS] = of->batch * of->tokens, [TERN_SPACE_SEQUENCES] = of->batch, [TERN_SPACE_PICKS] = of->batch},
        .pairs = of->batch * of->tokens * of->tokens};
    out->rows = rows.rows[tern__value(c->program, node->output)->space];
    out->cost = tern__node_cost(c->program, node, &rows);
}

tern_status tern__op_bench_run(tern_op_run *out, const tern_op_bench *bench, const tern_op_case *c, tern_error *err) {
    copy copies[MAX_COPIES] = {0};
    case_batch batch;
    out->n_copies = 0;
    tern_status status = open_batch(&batch, c, err);
    size_t n_wanted = 1;
    while (status == TERN_OK && out->n_copies < n_wanted) {
        status = open_copy(&copies[out->n_copies++], bench, c, err);
        if (status != TERN_OK || out->n_copies > 1) continue;
        describe(out, &copies[0], c);
        if (c->batch * c->tokens <= WARM_TOKENS && out->cost.weight_bytes > 1 << 20)
            n_wanted = (size_t)(COLD_BYTES / out->cost.weight_bytes) + 1;
        if (n_wanted > MAX_COPIES) n_wanted = MAX_COPIES;
    }
    if (status == TERN_OK) status = run_copies(out, bench, copies, &batch, err);
    for (size_t i = 0; i < out->n_copies; i++) close_copy(&copies[i], bench);
    close_batch(&batch);
    return status;
}
