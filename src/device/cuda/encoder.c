/* encoder.c - finds the layers of a program that one kernel can do for a short sequence (encoder.cu): those of BERT one after the other,
 * all of the same sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/cuda.h"

/* Nodes of a layer as tern__program_fuse leaves them: queries, keys and values, three slices of them, and then these. */
enum { QKV, ATTENTION = 4, OUTPUT, NORM, UP, DOWN, LAST_NORM, LAYER_NODES };

static bool reads(const tern_node *node, int input, const tern_node *from) { return node->inputs[input].index == from->output.index; }

static bool is_attention(const tern_program *program, const tern_node *layer, int32_t width) {
    const tern_node *attention = &layer[ATTENTION];
    if (layer[QKV].op != TERN_OP_LINEAR_CONCAT || layer[QKV].n_weights != 6 || attention->op != TERN_OP_SCALED_DOT_PRODUCT_ATTENTION)
        return false;
    for (int i = 0; i < 3; i++) {
        const tern_node *slice = &layer[1 + i];
        if (slice->op != TERN_OP_SLICE || !reads(slice, 0, &layer[QKV]) || slice->slice.start != i * width ||
            tern__value(program, slice->output)->width != width || !reads(attention, i, slice))
            return false;
    }
    return attention->n_inputs == 3 && attention->n_weights == 0;
}

static bool has_all_weights(const tern_node *node) {
    for (int32_t w = 0; w < node->n_weights; w++)
        if (node->weights[w] == TERN_NO_WEIGHT) return false;
    return true;
}

/* Do the nodes from `layer` on make a layer of the value x? */
static bool is_layer(const tern_program *program, const tern_node *layer, tern_value x) {
    static const tern_op ops[LAYER_NODES - OUTPUT] = {TERN_OP_LINEAR_ADD, TERN_OP_LAYER_NORM, TERN_OP_LINEAR_ACTIVATION, TERN_OP_LINEAR_ADD,
                                                      TERN_OP_LAYER_NORM};
    for (int i = OUTPUT; i < LAYER_NODES; i++)
        if (layer[i].op != ops[i - OUTPUT] || !reads(&layer[i], 0, &layer[i - 1])) return false;
    for (int i = 0; i < LAYER_NODES; i++)
        if (!has_all_weights(&layer[i])) return false;
    return is_attention(program, layer, tern__value(program, x)->width) && layer[QKV].inputs[0].index == x.index &&
           layer[OUTPUT].inputs[1].index == x.index && reads(&layer[DOWN], 1, &layer[NORM]) && layer[UP].activation == TERN_OP_GELU;
}

/* Like the first layer in what a kernel has once for all? */
static bool is_like(const tern_program *program, const tern_node *layer, const tern_node *first) {
    return layer[ATTENTION].attention.head_dim == first[ATTENTION].attention.head_dim &&
           layer[ATTENTION].attention.scale == first[ATTENTION].attention.scale && layer[NORM].eps == first[NORM].eps &&
           layer[LAST_NORM].eps == first[NORM].eps &&
           tern__value(program, layer[UP].output)->width == tern__value(program, first[UP].output)->width;
}

static bool is_read_elsewhere(const tern_program *program, int32_t first, int32_t last) {
    for (int32_t n = last + 1; n < program->n_nodes; n++)
        for (int32_t i = 0; i < program->nodes[n].n_inputs; i++) {
            const int32_t producer = tern__value(program, program->nodes[n].inputs[i])->producer;
            if (producer >= first && producer < last) return true;
        }
    return false;
}

static tern_cuda_encoder_layer layer_of(const tern_cuda_step *steps) {
    return (tern_cuda_encoder_layer){
        .weights = {steps[QKV].weight.data, steps[OUTPUT].weight.data, steps[UP].weight.data, steps[DOWN].weight.data},
        .biases = {steps[QKV].bias, steps[OUTPUT].bias, steps[UP].bias, steps[DOWN].bias},
        .scales = {steps[NORM].scale, steps[LAST_NORM].scale},
        .shifts = {steps[NORM].shift, steps[LAST_NORM].shift}};
}

/* Layers from node `first` on, as many as the kernel takes. */
static int32_t count_layers(const tern_cuda_compiled *c, int32_t first) {
    const tern_program *program = c->program;
    const tern_node *layer = &program->nodes[first];
    const tern_value x = layer->inputs[0];
    int32_t n = 0;
    if (layer->op != TERN_OP_LINEAR_CONCAT || program->nodes[tern__value(program, x)->producer].op == TERN_OP_SLICE) return 0;
    while (n < TERN_CUDA_ENCODER_LAYERS && first + (n + 1) * LAYER_NODES <= program->n_nodes &&
           is_layer(program, layer + n * LAYER_NODES, n == 0 ? x : layer[n * LAYER_NODES - 1].output) &&
           is_like(program, layer + n * LAYER_NODES, layer))
        n++;
    const bool is_taken =
        n > 0 && c->narrow_type == c->type &&
        tern__cuda_encoder_takes(c->type, tern__value(program, x)->width, tern__value(program, layer[UP].output)->width,
                                 layer[ATTENTION].attention.head_dim, c->device->capability, c->device->n_multiprocessors);
    return is_taken && !is_read_elsewhere(program, first, first + n * LAYER_NODES - 1) ? n : 0;
}

void tern__cuda_encoder_find(tern_cuda_compiled *c) {
    for (int32_t first = 0; first < c->program->n_nodes && c->encoder.n_layers == 0; first++) {
        const tern_node *layer = &c->program->nodes[first];
        tern_cuda_encoder *e = &c->encoder;
        e->n_layers = count_layers(c, first);
        if (e->n_layers == 0) continue;
        for (int32_t l = 0; l < e->n_layers; l++) e->layers[l] = layer_of(&c->steps[first + l * LAYER_NODES]);
        e->head_dim = layer[ATTENTION].attention.head_dim;
        e->scale = layer[ATTENTION].attention.scale;
        e->eps = layer[NORM].eps;
        c->encoder_first = first;
        c->encoder_last = first + e->n_layers * LAYER_NODES - 1;
    }
}

bool tern__cuda_encoder_serves(const tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const tern_run_output *outputs,
                               size_t n_outputs) {
    if (c->encoder.n_layers == 0 || bucket->rows[TERN_SPACE_SEQUENCES] != 1 || bucket->rows[TERN_SPACE_TOKENS] > TERN_CUDA_ENCODER_ROWS)
        return false;
    for (size_t o = 0; o < n_outputs; o++) {
        const int32_t producer = tern__value(c->program, c->program->outputs[outputs[o].output].value)->producer;
        if (producer >= c->encoder_first && producer < c->encoder_last) return false;
    }
    return true;
}
