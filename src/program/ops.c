/* ops.c - what ops.def says of each op, as functions: its name, its kind, its cost.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

static const char *const op_names[TERN_N_OPS] = {
#define TERN_OP(ENUM, name, ...) #name,
#include "program/ops.def"
#undef TERN_OP
};

const char *tern__op_name(tern_op op) { return (unsigned)op < TERN_N_OPS ? op_names[op] : "unknown op"; }

bool tern__op_is_fused(tern_op op) {
    enum { CORE, FUSED };
    static const unsigned char kinds[TERN_N_OPS] = {
#define TERN_OP(ENUM, name, kind, ...) kind,
#include "program/ops.def"
#undef TERN_OP
    };
    return (unsigned)op < TERN_N_OPS && kinds[op] == FUSED;
}

const char *tern__pool_name(tern_pool pool) {
    static const char *const names[TERN_N_POOLS] = {"cls", "mean", "max", "sum", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};
    return (unsigned)pool < TERN_N_POOLS ? names[pool] : "unknown pooling";
}

int tern__weight_shape(const tern_weight *weight, int64_t *shape) {
    int rank = 0;
    shape[rank++] = weight->shape[0];
    if (weight->rank == 2) shape[rank++] = weight->kernel_size > 0 ? weight->shape[1] / weight->kernel_size : weight->shape[1];
    if (weight->kernel_size > 0) shape[rank++] = weight->kernel_size;
    return rank;
}

float tern__scale_factor(const tern_program *program, const tern_node *node) {
    const tern_weight *weight = &program->weights[node->weights[0]];
    float sum = 0;
    for (int64_t i = 0; i < weight->shape[0]; i++) sum += tern__element_to_f32(weight->data, weight->dtype, (size_t)i);
    return tern__element_to_f32(weight->data, weight->dtype, (size_t)node->element) / sum;
}

int32_t tern__program_find_output(const tern_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_outputs; i++)
        if (strcmp(program->outputs[i].name, name) == 0) return i;
    return -1;
}

float tern__rope_frequency(float theta, int32_t i, int32_t head_dim) {
    const float exponent = (float)(2 * i) / (float)head_dim;
    return 1.0f / (float)pow((double)theta, (double)exponent);
}

int32_t tern__relative_bucket(int64_t distance, int32_t n_buckets, int32_t max_distance) {
    const int32_t half = n_buckets / 2, n_exact = half / 2, side = distance > 0 ? half : 0;
    const int64_t n = llabs(distance);
    if (n < n_exact) return side + (int32_t)n;
    if (n >= max_distance) return side + half - 1;
    const float steps = logf((float)n / (float)n_exact) / (float)log((double)max_distance / n_exact) * (float)(half - n_exact);
    const int32_t bucket = n_exact + (int32_t)steps;
    return side + (bucket < half ? bucket : half - 1);
}

int32_t tern__log_bucket(int64_t distance, int32_t n_buckets, int32_t max_distance, int32_t n_rows) {
    const int32_t middle = n_buckets / 2, span = n_rows / 2;
    int64_t bucket = distance;
    if (n_buckets > 0 && llabs(distance) > middle) {
        const float steps = logf((float)llabs(distance) / (float)middle) / logf((float)(max_distance - 1) / (float)middle);
        bucket = (int64_t)ceilf(steps * (float)(middle - 1)) + middle;
        if (distance < 0) bucket = -bucket;
    }
    return (int32_t)(bucket < -span ? 0 : bucket >= span ? 2 * span - 1 : bucket + span);
}

static double weight_bytes_of(const tern_program *program, const tern_node *node) {
    double bytes = 0;
    for (int32_t i = 0; i < node->n_weights; i++) {
        if (node->weights[i] == TERN_NO_WEIGHT) continue;
        const tern_weight *weight = &program->weights[node->weights[i]];
        bytes += 4.0 * (double)weight->shape[0] * (weight->rank == 2 ? (double)weight->shape[1] : 1.0);
    }
    return bytes;
}

static tern_cost cost_with(const tern_program *program, const tern_node *node, const tern_rows *batch, double weight_bytes) {
    const tern_value_info *output = tern__value(program, node->output);
    const tern_value_info *input = node->n_inputs > 0 ? tern__value(program, node->inputs[0]) : output;
    const double rows = (double)batch->rows[output->space], input_rows = (double)batch->rows[input->space];
    const double in = input->width, out = output->width, pairs = (double)batch->pairs;
    const bool is_attention = node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || node->op == TERN_OP_DISENTANGLED_ATTENTION;
    const double n_heads = is_attention ? node->attention.n_heads : 0;
    const double table_rows = node->op == TERN_OP_DISENTANGLED_ATTENTION ? (double)program->weights[node->weights[0]].shape[0] : 0;
    switch (node->op) {
#define TERN_OP(ENUM, name, kind, n_inputs, weights, flops, bytes, formula)                                                                \
    case TERN_OP_##ENUM:                                                                                                                   \
        return (tern_cost){(double)(flops), (double)(bytes), 0};
#include "program/ops.def"
#undef TERN_OP
    case TERN_N_OPS:
        break;
    }
    (void)rows, (void)input_rows, (void)in, (void)pairs, (void)weight_bytes, (void)n_heads, (void)table_rows;
    return (tern_cost){0};
}

tern_cost tern__node_cost(const tern_program *program, const tern_node *node, const tern_rows *batch) {
    tern_cost cost = cost_with(program, node, batch, weight_bytes_of(program, node));
    cost.weight_bytes = cost.bytes - cost_with(program, node, batch, 0).bytes;
    return cost;
}
