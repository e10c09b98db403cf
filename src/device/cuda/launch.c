/* launch.c - see launch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/launch.h"

#include <nvtx3/nvToolsExt.h>

/* ---- Values ---- */

/* Elements from one row of a value to the next: a view has its source's. */
static int64_t stride_of(const tern_program *program, tern_value value) {
    const tern_node *node = &program->nodes[tern__value(program, value)->producer];
    while (node->op == TERN_OP_SLICE) {
        value = node->inputs[0];
        node = &program->nodes[tern__value(program, value)->producer];
    }
    return tern__cuda_stride(tern__value(program, value)->width);
}

static tern_cuda_rows rows_of(const tern_cuda_launch *l, tern_value value) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_placement *place = &c->plan.placements[value.index];
    unsigned char *slot = l->lane->workspace + l->lane->slot_offsets[place->slot];
    return (tern_cuda_rows){slot + (size_t)place->column * tern__cuda_element_bytes(c->type), stride_of(c->program, value)};
}

static tern_cuda_shape shape_of(const tern_cuda_launch *l, tern_value value) {
    const tern_value_info *info = tern__value(l->compiled->program, value);
    return (tern_cuda_shape){l->bucket->rows[info->space], info->width, l->compiled->type};
}

static const int32_t *integers_of(const tern_cuda_launch *l, tern_value value) {
    const tern_program *program = l->compiled->program;
    return l->inputs[program->nodes[tern__value(program, value)->producer].input];
}

/* ---- Products ---- */

static bool is_skinny(const tern_cuda_launch *l, const tern_cuda_product *p) {
    return tern__cuda_skinny_takes(p, l->compiled->device->capability);
}

static tern_cuda_product product_of(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_node *node = &c->program->nodes[n];
    const tern_cuda_shape shape = shape_of(l, node->output);
    tern_cuda_product p = {.x = rows_of(l, node->inputs[0]),
                           .weight = c->steps[n].weight,
                           .y = rows_of(l, node->output),
                           .bias = c->steps[n].bias,
                           .activation = TERN_OP_INPUT,
                           .m = shape.n_rows,
                           .n = shape.width,
                           .k = tern__value(c->program, node->inputs[0])->width,
                           .type = c->type,
                           .is_tf32 = c->is_tf32,
                           .weight_type = c->steps[n].weight_type,
                           .weight_scales = c->steps[n].weight_scales,
                           .narrow_x = {l->narrow, tern__value(c->program, node->inputs[0])->width},
                           .narrow_scales = l->narrow_scales,
                           .sums = {l->sums, shape.width}};
    if (node->op == TERN_OP_LINEAR_ADD) p.residual = rows_of(l, node->inputs[1]);
    if (node->op == TERN_OP_LINEAR_ACTIVATION) p.activation = node->activation;
    return p;
}

bool tern__cuda_is_folded(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    return c->steps[n].is_folded || (l->has_encoder && n >= c->encoder_first && n < c->encoder_last);
}

static bool is_launched(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    return l->lane->needed[n] && !tern__cuda_is_folded(l, n) && shape_of(l, c->program->nodes[n].output).n_rows > 0;
}

tern_status tern__cuda_choose_products(const tern_cuda_launch *l, tern_error *err) {
    tern_cuda_compiled *c = l->compiled;
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        if (!is_launched(l, n) || !tern__cuda_is_linear(c->program->nodes[n].op)) continue;
        const tern_cuda_product product = product_of(l, n);
        if (!is_skinny(l, &product)) TERN_TRY(tern__cuda_product_choose(&c->algorithms, &l->lane->queue, &product, err));
    }
    return TERN_OK;
}

static tern_status launch_product(const tern_cuda_launch *l, int32_t n, tern_error *err) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_cuda_product product = product_of(l, n);
    if (!is_skinny(l, &product)) return tern__cuda_product_run(&c->algorithms, &l->lane->queue, &product, err);
    TERN_CUDA_TRY(c->device, tern__cuda_skinny(l->lane->queue.stream, &product), tern__op_name(c->program->nodes[n].op), err);
    return TERN_OK;
}

/* ---- Other ops ---- */

static cudaError_t launch_attention(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_node *node = &c->program->nodes[n];
    const tern_cuda_step *step = &c->steps[n];
    const tern_cuda_attention attention = {.q = rows_of(l, node->inputs[0]),
                                           .k = rows_of(l, node->inputs[1]),
                                           .v = rows_of(l, node->inputs[2]),
                                           .y = rows_of(l, node->output),
                                           .type = c->type,
                                           .n_heads = node->attention.n_heads,
                                           .head_dim = node->attention.head_dim,
                                           .scale = node->attention.scale,
                                           .tiles = l->tiles[step->is_mma],
                                           .n_tiles = (int32_t)l->bucket->n_tiles[step->is_mma],
                                           .columns = node->n_inputs > 3 ? integers_of(l, node->inputs[3]) : NULL,
                                           .window = node->attention.window,
                                           .bias = step->table,
                                           .reach = step->reach,
                                           .table_keys = step->table_keys,
                                           .table_queries = step->table_queries,
                                           .table_row = step->table_row};
    if (!step->is_mma) return tern__cuda_attention(l->lane->queue.stream, &attention);
    return tern__cuda_attention_wgmma_takes(c->type, node->attention.head_dim, c->device->capability)
               ? tern__cuda_attention_wgmma(l->lane->queue.stream, &attention)
               : tern__cuda_attention_mma(l->lane->queue.stream, &attention);
}

static cudaError_t launch_norm(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_node *node = &c->program->nodes[n];
    const tern_cuda_step *step = &c->steps[n];
    const tern_cuda_rows y = rows_of(l, node->output);
    const tern_cuda_shape shape = shape_of(l, node->output);
    if (step->n_lookups > 0) {
        tern_cuda_lookup lookups[3];
        for (int i = 0; i < step->n_lookups; i++)
            lookups[i] =
                (tern_cuda_lookup){c->steps[step->lookups[i]].weight, integers_of(l, c->program->nodes[step->lookups[i]].inputs[0])};
        return tern__cuda_embedding_layer_norm(l->lane->queue.stream, y, lookups, step->n_lookups, step->scale, step->shift, node->eps,
                                               shape);
    }
    const tern_cuda_rows b = node->n_inputs > 1 ? rows_of(l, node->inputs[1]) : (tern_cuda_rows){0};
    return tern__cuda_layer_norm(l->lane->queue.stream, y, rows_of(l, node->inputs[0]), b, step->scale, step->shift, node->eps, shape);
}

/* The layers up to node n. */
static cudaError_t launch_encoder(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_value x = c->program->nodes[c->encoder_first].inputs[0], y = c->program->nodes[n].output;
    tern_cuda_encoder encoder = c->encoder;
    encoder.x = rows_of(l, x);
    encoder.y = rows_of(l, y);
    encoder.row_start = l->row_start;
    encoder.barrier = l->barrier;
    encoder.exchange = l->exchange;
    return tern__cuda_encode(l->lane->queue.stream, &encoder, shape_of(l, y), c->device->n_multiprocessors);
}

static cudaError_t launch_concat(const tern_cuda_launch *l, const tern_node *node) {
    const tern_cuda_rows y = rows_of(l, node->output);
    int32_t column = 0;
    cudaError_t error = cudaSuccess;
    for (int32_t i = 0; i < 2 && error == cudaSuccess; i++) {
        const tern_cuda_shape shape = shape_of(l, node->inputs[i]);
        error = tern__cuda_scale(l->lane->queue.stream, y, column, rows_of(l, node->inputs[i]), 1.0f, shape);
        column += shape.width;
    }
    return error;
}

static cudaError_t launch_op(const tern_cuda_launch *l, int32_t n) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_node *node = &c->program->nodes[n];
    const tern_cuda_step *step = &c->steps[n];
    const cudaStream_t stream = l->lane->queue.stream;
    const tern_cuda_shape shape = shape_of(l, node->output);
    const tern_cuda_rows y = rows_of(l, node->output);
    switch (node->op) {
    case TERN_OP_EMBEDDING:
        return tern__cuda_embedding(stream, y, step->weight, integers_of(l, node->inputs[0]), shape);
    case TERN_OP_LAYER_NORM:
    case TERN_OP_ADD_LAYER_NORM:
        return launch_norm(l, n);
    case TERN_OP_SCALED_DOT_PRODUCT_ATTENTION:
    case TERN_OP_DISENTANGLED_ATTENTION:
        return launch_attention(l, n);
    case TERN_OP_ROPE:
        return tern__cuda_rope(stream, y, rows_of(l, node->inputs[0]), step->table, integers_of(l, node->inputs[1]), node->rope.head_dim,
                               shape);
    case TERN_OP_POOL:
        return tern__cuda_pool(stream, y, rows_of(l, node->inputs[0]), l->row_start, node->pool,
                               node->skips_prompt ? (int32_t)l->bucket->n_prompt_rows : 0, shape);
    case TERN_OP_UNFOLD:
        return tern__cuda_unfold(stream, y, rows_of(l, node->inputs[0]), l->row_start, l->bucket->rows[TERN_SPACE_SEQUENCES],
                                 integers_of(l, node->inputs[1]), node->kernel_size, shape);
    case TERN_OP_TAKE:
        return tern__cuda_take(stream, y, rows_of(l, node->inputs[0]), l->picks, shape);
    case TERN_OP_CONCAT:
        return launch_concat(l, node);
    case TERN_OP_SCALE:
        return tern__cuda_scale(stream, y, 0, rows_of(l, node->inputs[0]), tern__scale_factor(c->program, node), shape);
    case TERN_OP_NORMALIZE:
        return tern__cuda_normalize(stream, y, rows_of(l, node->inputs[0]), shape);
    case TERN_OP_ADD:
    case TERN_OP_MULTIPLY:
        return tern__cuda_elementwise(stream, node->op, y, rows_of(l, node->inputs[0]), rows_of(l, node->inputs[1]), shape);
    default:
        return tern__cuda_elementwise(stream, node->op, y, rows_of(l, node->inputs[0]), (tern_cuda_rows){0}, shape);
    }
}

/* A node's output to wherever it was asked for. */
static tern_status launch_outputs(const tern_cuda_launch *l, const tern_node *node, tern_error *err) {
    const tern_cuda_compiled *c = l->compiled;
    unsigned char *to = (unsigned char *)l->output_data;
    for (size_t o = 0; o < l->n_outputs; o++) {
        const tern_value value = c->program->outputs[l->outputs[o].output].value;
        const tern_cuda_shape shape = shape_of(l, value);
        if (value.index == node->output.index && shape.n_rows > 0)
            TERN_CUDA_TRY(c->device, tern__cuda_store(l->lane->queue.stream, (float *)(void *)to, rows_of(l, value), shape),
                          "copying results", err);
        to += tern__align_up((size_t)shape.n_rows * (size_t)shape.width * sizeof(float), 256);
    }
    return TERN_OK;
}

static tern_status note_time(const tern_cuda_launch *l, int32_t n, tern_error *err) {
    TERN_CUDA_TRY(l->compiled->device, cudaEventCreate(&l->events[n]), "making an event", err);
    TERN_CUDA_TRY(l->compiled->device, cudaEventRecord(l->events[n], l->lane->queue.stream), "timing", err);
    return TERN_OK;
}

static tern_status launch_node(const tern_cuda_launch *l, int32_t n, tern_error *err) {
    const tern_cuda_compiled *c = l->compiled;
    const tern_node *node = &c->program->nodes[n];
    if (l->has_encoder && n == c->encoder_last) TERN_CUDA_TRY(c->device, launch_encoder(l, n), "running layers", err);
    else if (tern__cuda_is_linear(node->op)) TERN_TRY(launch_product(l, n, err));
    else if (node->op != TERN_OP_SLICE) TERN_CUDA_TRY(c->device, launch_op(l, n), tern__op_name(node->op), err);
    return launch_outputs(l, node, err);
}

/* What a profiler shows: the op, and in it the first of its weights. */
static void open_ranges(const tern_program *program, const tern_node *node) {
    nvtxRangePushA(tern__op_name(node->op));
    if (node->n_weights > 0 && node->weights[0] != TERN_NO_WEIGHT) nvtxRangePushA(program->weights[node->weights[0]].name);
}

static void close_ranges(const tern_node *node) {
    if (node->n_weights > 0 && node->weights[0] != TERN_NO_WEIGHT) nvtxRangePop();
    nvtxRangePop();
}

tern_status tern__cuda_launch(const tern_cuda_launch *l, tern_error *err) {
    const tern_cuda_compiled *c = l->compiled;
    if (l->events != NULL) TERN_TRY(note_time(l, c->program->n_nodes, err));
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        if (!is_launched(l, n) || node->op == TERN_OP_INPUT) continue;
        open_ranges(c->program, node);
        const tern_status status = launch_node(l, n, err);
        close_ranges(node);
        if (status != TERN_OK) return status;
        if (l->events != NULL && node->op != TERN_OP_SLICE) TERN_TRY(note_time(l, n, err));
    }
    return TERN_OK;
}
