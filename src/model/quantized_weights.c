/* quantized_weights.c - weights of folders that MLX quantized: beside NAME.weight, packed, there are NAME.scales and, but for mxfp4,
 * NAME.biases. How many bits and how large a group, their shapes say: a folder may mix them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <string.h>

/* The tensor beside NAME.weight that is NAME and `ending`. */
static const tern_tensor *find_beside(const tern_checkpoint *checkpoint, const tern_tensor *weight, const char *ending) {
    static const char weight_ending[] = ".weight";
    char name[768];
    const size_t length = strlen(weight->name), n_kept = length - (sizeof weight_ending - 1);
    if (length < sizeof weight_ending - 1 || strcmp(weight->name + n_kept, weight_ending) != 0) return NULL;
    if (n_kept + strlen(ending) >= sizeof name) return NULL;
    memcpy(name, weight->name, n_kept);
    strcpy(name + n_kept, ending);
    return tern__checkpoint_find(checkpoint, name);
}

tern_quantized_tensors tern__quantized_find(const tern_checkpoint *checkpoint, const tern_tensor *weight) {
    if (weight->dtype != TERN_DTYPE_U32) return (tern_quantized_tensors){0};
    return (tern_quantized_tensors){.scales = find_beside(checkpoint, weight, ".scales"),
                                    .biases = find_beside(checkpoint, weight, ".biases")};
}

static bool is_matrix(const tern_tensor *tensor, int64_t rows, int64_t columns) {
    return tensor->rank == 2 && tensor->shape[0] == rows && tensor->shape[1] == columns;
}

/* What mlx.core.quantize makes. */
static bool is_known(const tern_quantized *quantized, bool is_affine) {
    const int32_t bits = quantized->bits, group_size = quantized->group_size;
    if (!is_affine) return quantized->dtype == TERN_DTYPE_U8 && bits == 4 && group_size == 32;
    const bool is_float = quantized->dtype == TERN_DTYPE_F32 || quantized->dtype == TERN_DTYPE_F16 || quantized->dtype == TERN_DTYPE_BF16;
    return is_float && (bits == 8 || (bits >= 2 && bits <= 6)) && (group_size == 32 || group_size == 64 || group_size == 128);
}

bool tern__quantized_describe(tern_quantized *out, const tern_weight *weight, const tern_tensor *packed,
                              const tern_quantized_tensors *tensors) {
    const tern_tensor *scales = tensors->scales, *biases = tensors->biases;
    const int64_t rows = weight->shape[0], in = weight->shape[1];
    if (weight->rank != 2 || weight->kernel_size > 0 || scales == NULL || scales->rank != 2) return false;
    const int64_t n_groups = scales->shape[1];
    if (in <= 0 || n_groups <= 0 || in % n_groups != 0 || in / n_groups > 128 || packed->rank != 2 || packed->shape[1] > in) return false;
    *out = (tern_quantized){.scales = scales->data,
                            .biases = biases != NULL ? biases->data : NULL,
                            .dtype = scales->dtype,
                            .bits = (int32_t)(32 * packed->shape[1] / in),
                            .group_size = (int32_t)(in / n_groups)};
    if (!is_matrix(packed, rows, in * out->bits / 32) || !is_matrix(scales, rows, n_groups)) return false;
    if (biases != NULL && (!is_matrix(biases, rows, n_groups) || biases->dtype != scales->dtype)) return false;
    return is_known(out, biases != NULL);
}

/* Does nothing but linears and embeddings, whose rows it has, read the weight? */
static bool is_read_by_rows(const tern_program *program, int32_t weight) {
    for (int32_t n = 0; n < program->n_nodes; n++) {
        const tern_node *node = &program->nodes[n];
        for (int32_t w = 0; w < node->n_weights; w++) {
            if (node->weights[w] != weight) continue;
            const bool is_rows =
                node->op == TERN_OP_LINEAR_CONCAT ? w % 2 == 0 : w == 0 && (node->op == TERN_OP_LINEAR || node->op == TERN_OP_EMBEDDING);
            if (!is_rows) return false;
        }
    }
    return true;
}

tern_status tern__quantized_expand(tern_model *model, tern_error *err) {
    tern_program *program = model->folder.program;
    for (int32_t w = 0; w < program->n_weights; w++) {
        tern_weight *weight = &program->weights[w];
        if (weight->quantized.scales == NULL || (model->device->takes_quantized && is_read_by_rows(program, w))) continue;
        size_t bytes;
        float *floats = NULL;
        if (tern__size_multiply((size_t)weight->shape[0] * sizeof *floats, (size_t)weight->shape[1], &bytes))
            floats = tern__arena_alloc(&model->copies, bytes);
        if (floats == NULL)
            return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for %s as float32, %lld by %lld", weight->name, (long long)weight->shape[0],
                             (long long)weight->shape[1]);
        tern__weight_dequantize(floats, weight);
        model->expanded_bytes += bytes;
        weight->data = floats;
        weight->dtype = TERN_DTYPE_F32;
        weight->is_mapped = false;
        weight->quantized = (tern_quantized){0};
    }
    return TERN_OK;
}
