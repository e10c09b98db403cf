/* compile.c - a program for the GPU: checked, its weights uploaded in the storage type, memory planned, sums of embeddings folded into the
 * norm that follows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "device/cuda/cuda.h"

static bool is_attention(tern_op op) { return op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || op == TERN_OP_DISENTANGLED_ATTENTION; }

static bool is_norm(tern_op op) { return op == TERN_OP_LAYER_NORM || op == TERN_OP_ADD_LAYER_NORM; }

/* ---- What is refused ---- */

static tern_status check_weight(const tern_cuda_device *device, const tern_weight *weight, tern_error *err) {
    if (weight->data == NULL) return TERN_FAIL(err, TERN_E_WEIGHTS, "%s: the weight %s is not bound", device->name, weight->name);
    switch (weight->dtype) {
    case TERN_DTYPE_F64:
    case TERN_DTYPE_F32:
    case TERN_DTYPE_F16:
    case TERN_DTYPE_BF16:
        return TERN_OK;
    default:
        return TERN_FAIL(err, TERN_E_DTYPE, "%s: the weight %s is %s", device->name, weight->name, tern_dtype_name(weight->dtype));
    }
}

static tern_status check_node(const tern_cuda_device *device, const tern_program *program, const tern_node *node, tern_error *err) {
    if ((unsigned)node->op >= TERN_N_OPS) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: op %d is unknown", device->name, (int)node->op);
    for (int32_t w = 0; w < node->n_weights; w++)
        if (node->weights[w] != TERN_NO_WEIGHT) TERN_TRY(check_weight(device, &program->weights[node->weights[w]], err));
    if (is_attention(node->op) && node->attention.head_dim > TERN_CUDA_MAX_HEAD_DIM)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s with heads of %d; %d is the most", device->name, tern__op_name(node->op),
                         node->attention.head_dim, TERN_CUDA_MAX_HEAD_DIM);
    if (node->op != TERN_OP_POOL && node->op != TERN_OP_TAKE && node->op != TERN_OP_UNFOLD && !is_attention(node->op)) return TERN_OK;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (tern__value(program, node->inputs[i])->space != TERN_SPACE_TOKENS)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s of rows that are not tokens", device->name, tern__op_name(node->op));
    return TERN_OK;
}

static tern_status check_program(const tern_cuda_device *device, const tern_program *program, tern_error *err) {
    for (int32_t n = 0; n < program->n_nodes; n++) TERN_TRY(check_node(device, program, &program->nodes[n], err));
    for (int32_t o = 0; o < program->n_outputs; o++)
        if (tern__value(program, program->outputs[o].value)->is_integer)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: the output %s is of integers", device->name, program->outputs[o].name);
    return TERN_OK;
}

/* 8-bit operands: activations are stored as the widest range of 16 bits that the GPU has. */
static tern_status choose_narrow_type(tern_cuda_compiled *c, const char *dtype, tern_error *err) {
    const int capability = c->device->capability;
    c->narrow_type = strcmp(dtype, "int8") == 0 ? TERN_CUDA_I8 : TERN_CUDA_E4M3;
    c->type = capability >= 80 ? TERN_CUDA_BF16 : TERN_CUDA_F16;
    if (c->narrow_type == TERN_CUDA_I8 || capability >= 89) return TERN_OK;
    return TERN_FAIL(err, TERN_E_DTYPE, "%s: %s has no %s, which begins with sm_89; it has int8", c->device->name, c->device->isa, dtype);
}

static tern_status choose_type(tern_cuda_compiled *c, const char *dtype, tern_error *err) {
    if (strcmp(dtype, "float8_e4m3fn") == 0 || strcmp(dtype, "int8") == 0) return choose_narrow_type(c, dtype, err);
    c->is_tf32 = strcmp(dtype, "tf32") == 0;
    if (strcmp(dtype, "float32") == 0 || c->is_tf32) c->type = TERN_CUDA_F32;
    else if (strcmp(dtype, "float16") == 0) c->type = TERN_CUDA_F16;
    else if (strcmp(dtype, "bfloat16") == 0) c->type = TERN_CUDA_BF16;
    else
        return TERN_FAIL(err, TERN_E_DTYPE, "dtype \"%.40s\": cuda computes in float32, tf32, float16, bfloat16, float8_e4m3fn and int8",
                         dtype);
    c->narrow_type = c->type;
    if (c->device->capability < 80 && (c->is_tf32 || c->type == TERN_CUDA_BF16))
        return TERN_FAIL(err, TERN_E_DTYPE, "%s: %s has no %s; it computes in float32 and float16", c->device->name, c->device->isa, dtype);
    return TERN_OK;
}

/* ---- Folding sums of embeddings into their norm ---- */

/* The node that makes `value` when nobody else reads it and it is no output, else NULL. */
static const tern_node *only_maker(const tern_program *program, tern_value value) {
    int32_t n_readers = 0;
    for (int32_t n = 0; n < program->n_nodes; n++)
        for (int32_t i = 0; i < program->nodes[n].n_inputs; i++) n_readers += program->nodes[n].inputs[i].index == value.index;
    for (int32_t o = 0; o < program->n_outputs; o++) n_readers += program->outputs[o].value.index == value.index;
    return n_readers == 1 ? &program->nodes[tern__value(program, value)->producer] : NULL;
}

/* Collects the embeddings that `value` is the sum of, and the nodes in between; false when it is no such sum. */
static bool collect_lookups(const tern_program *program, tern_value value, int32_t *embeddings, int *n_embeddings, int32_t *adds,
                            int *n_adds) {
    const tern_node *node = only_maker(program, value);
    if (node == NULL) return false;
    const int32_t n = (int32_t)(node - program->nodes);
    if (node->op == TERN_OP_EMBEDDING && *n_embeddings < 3) {
        embeddings[(*n_embeddings)++] = n;
        return true;
    }
    if (node->op != TERN_OP_ADD || *n_adds == 2) return false;
    adds[(*n_adds)++] = n;
    return collect_lookups(program, node->inputs[0], embeddings, n_embeddings, adds, n_adds) &&
           collect_lookups(program, node->inputs[1], embeddings, n_embeddings, adds, n_adds);
}

static void fold_lookups(tern_cuda_compiled *c, int32_t n) {
    const tern_node *node = &c->program->nodes[n];
    int32_t embeddings[3], adds[2];
    int n_embeddings = 0, n_adds = 0;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (!collect_lookups(c->program, node->inputs[i], embeddings, &n_embeddings, adds, &n_adds)) return;
    for (int e = 0; e < n_embeddings; e++) {
        c->steps[embeddings[e]].is_folded = true;
        c->steps[n].lookups[e] = embeddings[e];
    }
    for (int a = 0; a < n_adds; a++) c->steps[adds[a]].is_folded = true;
    c->steps[n].n_lookups = n_embeddings;
}

/* ---- Weights ---- */

static const tern_weight *weight_at(const tern_program *program, const tern_node *node, int w) {
    return w < node->n_weights && node->weights[w] != TERN_NO_WEIGHT ? &program->weights[node->weights[w]] : NULL;
}

/* Linears over tokens, whose rows tensor cores take as they are; heads keep the storage type. */
static bool is_narrow(const tern_cuda_compiled *c, const tern_node *node) {
    const tern_value_info *output = tern__value(c->program, node->output);
    return c->narrow_type != c->type && output->space == TERN_SPACE_TOKENS && output->width % 16 == 0 &&
           tern__value(c->program, node->inputs[0])->width % 16 == 0;
}

static tern_status upload_linear(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    tern_cuda_compiled *c = upload->compiled;
    const tern_node *node = &c->program->nodes[n];
    tern_cuda_step *step = &c->steps[n];
    const int n_parts = node->op == TERN_OP_LINEAR_CONCAT ? node->n_weights / 2 : 1;
    const int32_t k = tern__value(c->program, node->inputs[0])->width, width = tern__value(c->program, node->output)->width;
    const tern_weight *weights[TERN_OP_MAX_WEIGHTS / 2], *biases[TERN_OP_MAX_WEIGHTS / 2];
    int64_t rows[TERN_OP_MAX_WEIGHTS / 2];
    tern_cuda_rows bias;
    for (int p = 0; p < n_parts; p++) {
        weights[p] = weight_at(c->program, node, 2 * p);
        biases[p] = weight_at(c->program, node, 2 * p + 1);
        rows[p] = weights[p]->shape[0];
    }
    step->weight_type = is_narrow(c, node) ? c->narrow_type : c->type;
    if (step->weight_type == c->type) {
        TERN_TRY(tern__cuda_upload_parts(upload, &step->weight, weights, rows, n_parts, k, tern__cuda_stride(k), c->type, err));
    } else {
        TERN_TRY(tern__cuda_upload_narrow(upload, &step->weight, &step->weight_scales, weights, rows, n_parts, k, c->narrow_type, err));
        if (c->narrow_k < k) c->narrow_k = k;
        if (c->narrow_n < width) c->narrow_n = width;
    }
    TERN_TRY(tern__cuda_upload_parts(upload, &bias, biases, rows, n_parts, 1, 1, c->type, err));
    step->bias = bias.data;
    return TERN_OK;
}

static tern_status upload_norm(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    const tern_program *program = upload->compiled->program;
    const int64_t width = tern__value(program, program->nodes[n].output)->width;
    tern_cuda_rows vectors[2];
    for (int w = 0; w < 2; w++) {
        const tern_weight *weight = weight_at(program, &program->nodes[n], w);
        TERN_TRY(tern__cuda_upload_parts(upload, &vectors[w], &weight, &width, 1, 1, 1, TERN_CUDA_F32, err));
    }
    upload->compiled->steps[n].scale = vectors[0].data;
    upload->compiled->steps[n].shift = vectors[1].data;
    return TERN_OK;
}

static tern_status upload_table(tern_cuda_upload *upload, int32_t n, float *table, size_t n_floats, tern_error *err) {
    void *on_device;
    const tern_status status = tern__cuda_upload_bytes(upload, &on_device, table, n_floats * sizeof *table, err);
    upload->compiled->steps[n].table = on_device;
    free(table);
    return status;
}

static bool is_same_rope(const tern_node *a, const tern_node *b) {
    return b->op == TERN_OP_ROPE && a->rope.head_dim == b->rope.head_dim && a->rope.theta == b->rope.theta &&
           a->rope.max_positions == b->rope.max_positions;
}

/* [position][head_dim]: cosines, then sines. */
static tern_status upload_angles(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    const tern_program *program = upload->compiled->program;
    const tern_node *node = &program->nodes[n];
    for (int32_t m = 0; m < n; m++)
        if (is_same_rope(node, &program->nodes[m])) {
            upload->compiled->steps[n].table = upload->compiled->steps[m].table;
            return TERN_OK;
        }
    const size_t n_positions = (size_t)node->rope.max_positions, d = (size_t)node->rope.head_dim;
    float *table = tern__alloc(n_positions * d, sizeof *table);
    if (table == NULL) return TERN_FAIL_MEMORY(err, n_positions * d * sizeof *table);
    for (size_t i = 0; i < d / 2; i++) {
        const float frequency = tern__rope_frequency(node->rope.theta, (int32_t)i, node->rope.head_dim);
        for (size_t position = 0; position < n_positions; position++) {
            const float angle = (float)position * frequency;
            table[position * d + i] = cosf(angle);
            table[position * d + d / 2 + i] = sinf(angle);
        }
    }
    return upload_table(upload, n, table, n_positions * d, err);
}

/* [head][2 reach + 1], by key's column - query's. */
static tern_status upload_relative_bias(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    const tern_program *program = upload->compiled->program;
    const tern_node *node = &program->nodes[n];
    const tern_weight *weight = weight_at(program, node, 0);
    const int32_t reach = node->attention.max_distance, n_heads = node->attention.n_heads;
    const size_t n_floats = (size_t)n_heads * (2 * (size_t)reach + 1);
    for (int32_t m = 0; m < n; m++)
        if (program->nodes[m].op == node->op && upload->compiled->steps[m].reach == reach && program->nodes[m].n_weights > 0 &&
            program->nodes[m].weights[0] == node->weights[0] && program->nodes[m].attention.n_buckets == node->attention.n_buckets) {
            upload->compiled->steps[n].table = upload->compiled->steps[m].table;
            upload->compiled->steps[n].reach = reach;
            return TERN_OK;
        }
    float *table = tern__alloc(n_floats, sizeof *table), *to = table;
    if (table == NULL) return TERN_FAIL_MEMORY(err, n_floats * sizeof *table);
    for (int32_t head = 0; head < n_heads; head++)
        for (int32_t distance = -reach; distance <= reach; distance++) {
            const int32_t bucket = tern__relative_bucket(distance, node->attention.n_buckets, node->attention.max_distance);
            *to++ = tern__element_to_f32(weight->data, weight->dtype, (size_t)bucket * (size_t)n_heads + (size_t)head);
        }
    upload->compiled->steps[n].reach = reach;
    return upload_table(upload, n, table, n_floats, err);
}

static tern_status upload_node(tern_cuda_upload *upload, int32_t n, tern_error *err) {
    tern_cuda_compiled *c = upload->compiled;
    const tern_node *node = &c->program->nodes[n];
    if (tern__cuda_is_linear(node->op)) return upload_linear(upload, n, err);
    if (is_norm(node->op)) return upload_norm(upload, n, err);
    if (node->op == TERN_OP_EMBEDDING) {
        const tern_weight *table = weight_at(c->program, node, 0);
        const int32_t width = tern__value(c->program, node->output)->width;
        return tern__cuda_upload_parts(upload, &c->steps[n].weight, &table, &table->shape[0], 1, width, tern__cuda_stride(width), c->type,
                                       err);
    }
    if (node->op == TERN_OP_ROPE) return upload_angles(upload, n, err);
    if (node->op == TERN_OP_DISENTANGLED_ATTENTION) return tern__cuda_fold(upload, n, err);
    if (node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node->attention.n_buckets > 0) return upload_relative_bias(upload, n, err);
    return TERN_OK;
}

static tern_status upload_all(tern_cuda_compiled *c, tern_error *err) {
    tern_cuda_upload upload = {.compiled = c};
    tern_status status = TERN_OK;
    for (int32_t n = 0; n < c->program->n_nodes && status == TERN_OK; n++) status = upload_node(&upload, n, err);
    tern__cuda_upload_end(&upload);
    if (status != TERN_OK) return status;
    TERN_CUDA_TRY(c->device, cudaStreamSynchronize(c->device->queue.stream), "copying weights", err);
    return TERN_OK;
}

/* ---- Compiling ---- */

static void choose_attention(tern_cuda_compiled *c, int32_t n) {
    const tern_node *node = &c->program->nodes[n];
    if (!is_attention(node->op)) return;
    bool is_aligned = true;
    for (int i = 0; i < 3; i++) is_aligned &= c->plan.placements[node->inputs[i].index].column % 8 == 0;
    c->steps[n].is_mma = is_aligned && node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION &&
                         tern__cuda_attention_mma_takes(c->type, c->is_tf32, node->attention.head_dim, c->device->capability);
    if (c->steps[n].is_mma) c->uses_mma = true;
    else c->uses_simt = true;
}

static tern_status compile_into(tern_cuda_compiled *c, const char *dtype, tern_error *err) {
    const size_t n_nodes = (size_t)c->program->n_nodes;
    TERN_CUDA_TRY(c->device, cudaSetDevice(c->device->index), "compiling", err);
    TERN_TRY(choose_type(c, dtype, err));
    TERN_TRY(check_program(c->device, c->program, err));
    TERN_TRY(tern__plan_make(&c->plan, c->program, err));
    c->steps = tern__alloc_zero(n_nodes, sizeof *c->steps);
    if (c->steps == NULL) return TERN_FAIL_MEMORY(err, n_nodes * sizeof *c->steps);
    TERN_TRY(tern__cuda_lanes_init(c, err));
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        choose_attention(c, n);
        if (is_norm(c->program->nodes[n].op)) fold_lookups(c, n);
    }
    TERN_TRY(upload_all(c, err));
    tern__cuda_encoder_find(c);
    return TERN_OK;
}

tern_status tern__cuda_compile(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err) {
    *compiled = NULL;
    tern_cuda_compiled *c = tern__alloc_zero(1, sizeof *c);
    if (c == NULL) return TERN_FAIL_MEMORY(err, sizeof *c);
    c->device = device;
    c->program = program;
    const tern_status status = compile_into(c, dtype, err);
    if (status == TERN_OK) *compiled = c;
    else tern__cuda_release(c);
    return status;
}

void tern__cuda_release(void *compiled) {
    tern_cuda_compiled *c = compiled;
    if (c == NULL) return;
    cudaSetDevice(c->device->index);
    cudaStreamSynchronize(c->device->queue.stream);
    tern__cuda_lanes_free(c);
    tern__cuda_algorithm_cache_write(c->device->algorithm_cache);
    for (size_t b = 0; b < c->n_blocks; b++) cudaFree(c->blocks[b].data);
    tern__plan_free(&c->plan);
    free(c->blocks);
    free(c->algorithms.entries);
    free(c->steps);
    free(c);
}
