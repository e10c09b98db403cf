/* fold.c - what a program computes from weights alone is computed once, when it is compiled: the keys and queries of the table of
 * distances that disentangled attention reads. In float32, whatever the program computes in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "device/cuda/cuda.h"

/* One node's table while it is folded. */
typedef struct fold {
    tern_cuda_upload *upload;
    const tern_node *node;
    tern_cuda_rows rows; /* the table, normed */
    int64_t n_rows;
    int32_t k, width;
} fold;

static const tern_weight *weight_of(const fold *f, int w) {
    const int32_t index = f->node->weights[w];
    return index != TERN_NO_WEIGHT ? &f->upload->compiled->program->weights[index] : NULL;
}

static tern_status upload_vector(const fold *f, float **out, int w, tern_error *err) {
    const tern_weight *weight = weight_of(f, w);
    tern_cuda_rows rows = {0};
    if (weight != NULL) TERN_TRY(tern__cuda_upload_parts(f->upload, &rows, &weight, &weight->shape[0], 1, 1, 1, TERN_CUDA_F32, err));
    *out = rows.data;
    return TERN_OK;
}

static tern_status norm_rows(fold *f, tern_error *err) {
    const tern_cuda_device *device = f->upload->compiled->device;
    const tern_weight *table = weight_of(f, 0);
    float *scale, *shift;
    TERN_TRY(tern__cuda_upload_parts(f->upload, &f->rows, &table, &f->n_rows, 1, f->k, tern__cuda_stride(f->k), TERN_CUDA_F32, err));
    if (weight_of(f, 1) == NULL) return TERN_OK;
    TERN_TRY(upload_vector(f, &scale, 1, err));
    TERN_TRY(upload_vector(f, &shift, 2, err));
    const tern_cuda_rows table_rows = f->rows;
    TERN_TRY(tern__cuda_hold(f->upload->compiled, &f->rows.data, (size_t)f->n_rows * (size_t)f->rows.ld * sizeof(float), table->name, err));
    TERN_CUDA_TRY(device,
                  tern__cuda_layer_norm(device->queue.stream, f->rows, table_rows, (tern_cuda_rows){0}, scale, shift,
                                        f->node->attention.eps, (tern_cuda_shape){f->n_rows, f->k, TERN_CUDA_F32}),
                  table->name, err);
    return TERN_OK;
}

/* out [n_rows][width] = linear(rows, weight w, bias w + 1) */
static tern_status fold_linear(const fold *f, float **out, int w, tern_error *err) {
    tern_cuda_compiled *c = f->upload->compiled;
    const tern_weight *weight = weight_of(f, w);
    const int64_t n = f->width;
    float *bias;
    *out = NULL;
    if (weight == NULL) return TERN_OK;
    tern_cuda_product p = {.x = f->rows, .activation = TERN_OP_INPUT, .m = f->n_rows, .n = f->width, .k = f->k, .type = TERN_CUDA_F32};
    TERN_TRY(tern__cuda_upload_parts(f->upload, &p.weight, &weight, &n, 1, f->k, tern__cuda_stride(f->k), TERN_CUDA_F32, err));
    TERN_TRY(upload_vector(f, &bias, w + 1, err));
    p.bias = bias;
    TERN_TRY(tern__cuda_hold(c, &p.y.data, (size_t)f->n_rows * (size_t)f->width * sizeof(float), weight->name, err));
    p.y.ld = f->width;
    *out = p.y.data;
    TERN_TRY(tern__cuda_product_choose(&c->algorithms, &c->device->queue, &p, err));
    return tern__cuda_product_run(&c->algorithms, &c->device->queue, &p, err);
}

tern_status tern__cuda_fold(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    tern_cuda_compiled *c = upload->compiled;
    const tern_node *node = &c->program->nodes[n];
    const tern_weight *table = &c->program->weights[node->weights[0]];
    tern_cuda_step *step = &c->steps[n];
    fold f = {.upload = upload,
              .node = node,
              .n_rows = table->shape[0],
              .k = (int32_t)table->shape[1],
              .width = tern__value(c->program, node->output)->width};
    TERN_TRY(norm_rows(&f, err));
    TERN_TRY(fold_linear(&f, &step->table_keys, 3, err));
    TERN_TRY(fold_linear(&f, &step->table_queries, 5, err));
    step->reach = 4 * node->attention.max_distance; /* where the rows have come to their ends: steps of the logarithm overshoot a little */
    const size_t n_distances = 2 * (size_t)step->reach + 1;
    int32_t *by_distance = tern__alloc(n_distances, sizeof *by_distance);
    if (by_distance == NULL) return TERN_FAIL_MEMORY(err, n_distances * sizeof *by_distance);
    for (int32_t d = -step->reach; d <= step->reach; d++)
        by_distance[d + step->reach] = tern__log_bucket(d, node->attention.n_buckets, node->attention.max_distance, (int32_t)f.n_rows);
    void *on_device;
    const tern_status status = tern__cuda_upload_bytes(upload, &on_device, by_distance, n_distances * sizeof *by_distance, err);
    step->table_row = on_device;
    free(by_distance);
    return status;
}
