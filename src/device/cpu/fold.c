/* fold.c - what a program computes from weights alone is computed once, when it is compiled: the keys and queries of the table of
 * distances that disentangled attention reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "device/cpu/cpu.h"

/* One node's table while it is folded. */
typedef struct fold {
    tern_cpu_compiled *c;
    int32_t node;
    float *rows;          /* [n_rows][table_width], normed */
    float *norm;          /* [2][table_width]: weight, bias */
    float *panels, *bias; /* of one linear */
} fold;

static const tern_weight *weight_of(const fold *f, int w) {
    const tern_node *node = &f->c->program->nodes[f->node];
    return node->weights[w] != TERN_NO_WEIGHT ? &f->c->program->weights[node->weights[w]] : NULL;
}

static size_t width_of(const fold *f) {
    const tern_program *program = f->c->program;
    return (size_t)tern__value(program, program->nodes[f->node].output)->width;
}

static void fill_rows(const fold *f, tern_tasks *tasks) {
    const tern_weight *table = weight_of(f, 0);
    const size_t n_rows = (size_t)table->shape[0], width = (size_t)table->shape[1];
    const float eps = f->c->program->nodes[f->node].attention.eps;
    size_t row;
    tern__tasks_start(tasks, n_rows);
    while (tern__tasks_take(tasks, &row)) {
        float *to = f->rows + row * width;
        tern__elements_to_f32(to, table->data, table->dtype, row * width, width);
        if (weight_of(f, 1) != NULL) f->c->device->kernels.layer_norm(to, to, f->norm, f->norm + width, width, eps);
    }
    tern__tasks_wait(tasks);
}

/* out [n_rows][width] = linear(rows, weight w, bias w + 1) */
static void fold_linear(const fold *f, int w, float *out, tern_tasks *tasks) {
    const tern_kernels *kernels = &f->c->device->kernels;
    const tern_weight *table = weight_of(f, 0);
    const size_t width = width_of(f), k = (size_t)table->shape[1], n_panels = (width + kernels->nr - 1) / kernels->nr;
    const tern_node *node = &f->c->program->nodes[f->node];
    const tern_node linear = {.op = TERN_OP_LINEAR, .n_weights = 2, .weights = {node->weights[w], node->weights[w + 1]}};
    size_t panel;
    tern__tasks_start(tasks, n_panels);
    while (tern__tasks_take(tasks, &panel))
        tern__cpu_pack_panel(f->c->program, &linear, k, kernels->nr, panel, f->panels + panel * k * kernels->nr,
                             f->bias + panel * kernels->nr);
    tern__tasks_wait(tasks);
    const tern_gemm g = {.x = f->rows,
                         .ldx = k,
                         .panels = f->panels,
                         .bias = f->bias,
                         .k = k,
                         .n = width,
                         .y = out,
                         .ldy = width,
                         .activation = TERN_OP_INPUT};
    tern__cpu_gemm(kernels, &g, (size_t)table->shape[0], tasks);
    tern__tasks_wait(tasks);
}

static void fold_region(void *argument, int thread) {
    const fold *f = argument;
    tern_tasks tasks = tern__tasks_begin(f->c->device->pool, thread);
    const tern_cpu_step *step = &f->c->steps[f->node];
    fill_rows(f, &tasks);
    if (step->table_keys != NULL) fold_linear(f, 3, step->table_keys, &tasks);
    if (step->table_queries != NULL) fold_linear(f, 5, step->table_queries, &tasks);
}

static tern_status fold_node(fold *f, tern_error *err) {
    const tern_kernels *kernels = &f->c->device->kernels;
    const tern_node *node = &f->c->program->nodes[f->node];
    tern_cpu_step *step = &f->c->steps[f->node];
    const size_t n_rows = (size_t)weight_of(f, 0)->shape[0], k = (size_t)weight_of(f, 0)->shape[1], width = width_of(f);
    const size_t panels = (width + kernels->nr - 1) / kernels->nr * kernels->nr,
                 n_tables = (size_t)(weight_of(f, 3) != NULL) + (weight_of(f, 5) != NULL);
    step->reach = 4 * node->attention.max_distance; /* where the rows have come to their ends: steps of the logarithm overshoot a little */
    const size_t n_distances = 2 * (size_t)step->reach + 1;
    size_t scratch, table;
    if (!tern__size_multiply(n_rows + 2 + panels, k, &scratch) || !tern__size_multiply(n_rows * n_tables, width, &table))
        return TERN_FAIL(err, TERN_E_MEMORY, "cpu: the table %s is larger than any memory", weight_of(f, 0)->name);
    f->rows = tern__alloc(scratch + panels, sizeof(float));
    float *tables = tern__alloc(table + 1, sizeof(float));
    int32_t *rows_by_distance = tern__alloc(n_distances, sizeof *rows_by_distance);
    step->folded = tables;
    step->rows_by_distance = rows_by_distance;
    if (f->rows == NULL || tables == NULL || rows_by_distance == NULL) {
        free(f->rows);
        return TERN_FAIL_MEMORY(err, (scratch + table + n_distances) * sizeof(float));
    }
    f->norm = f->rows + n_rows * k;
    f->panels = f->norm + 2 * k;
    f->bias = f->panels + panels * k;
    for (int w = 1; w <= 2 && weight_of(f, w) != NULL; w++)
        tern__elements_to_f32(f->norm + (size_t)(w - 1) * k, weight_of(f, w)->data, weight_of(f, w)->dtype, 0, k);
    if (weight_of(f, 3) != NULL) step->table_keys = tables;
    if (weight_of(f, 5) != NULL) step->table_queries = tables + (n_tables - 1) * n_rows * width;
    for (int32_t distance = -step->reach; distance <= step->reach; distance++)
        rows_by_distance[distance + step->reach] =
            tern__log_bucket(distance, node->attention.n_buckets, node->attention.max_distance, (int32_t)n_rows);
    f->c->packed_bytes += (table + n_distances) * sizeof(float);
    tern__thread_pool_run(f->c->device->pool, fold_region, f);
    tern__cpu_forget_weights(f->c->program, node);
    free(f->rows);
    return TERN_OK;
}

tern_status tern__cpu_fold(tern_cpu_compiled *c, tern_error *err) {
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        if (c->program->nodes[n].op != TERN_OP_DISENTANGLED_ATTENTION) continue;
        fold f = {.c = c, .node = n};
        TERN_TRY(fold_node(&f, err));
    }
    return TERN_OK;
}

void tern__cpu_unfold(tern_cpu_compiled *c) {
    for (int32_t n = 0; c->steps != NULL && n < c->program->n_nodes; n++) {
        free(c->steps[n].folded);
        free(c->steps[n].rows_by_distance);
    }
}
