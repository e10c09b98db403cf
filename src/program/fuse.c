/* fuse.c - core ops become fused ops where the device wants them, and fused ops become core ops again.
 *
 *   linear, activation              -> linear_activation     the product's only reader is the activation
 *   linear, add                     -> linear_add            the product's only reader is the sum
 *   add, layer_norm                 -> add_layer_norm        the sum's only reader is the norm
 *   linear, linear ... of one input -> linear_concat, slice, slice ...
 *
 * A value that is an output of the program counts as read once more, so it stays. Each pass writes a new node list.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PARTS (TERN_OP_MAX_WEIGHTS / 2) /* linears side by side in a linear_concat */

static bool is_activation(tern_op op) { return op >= TERN_OP_GELU && op <= TERN_OP_TANH; }

/* ---- A new node list ---- */

typedef struct rewrite {
    tern_program *program;
    int32_t *n_readers; /* [n_values]: nodes and outputs that read a value */
    int32_t *reader;    /* [n_values]: the last node that reads it, -1: none */
    bool *dropped;      /* [n_nodes]: its work is done by another node */
    tern_node *nodes;   /* the new list */
    int32_t n_nodes;
} rewrite;

static tern_status rewrite_begin(rewrite *r, tern_program *program, tern_error *err) {
    const size_t n_values = (size_t)program->n_values, n_nodes = (size_t)program->n_nodes;
    *r = (rewrite){.program = program,
                   .n_readers = tern__alloc_zero(n_values, sizeof(int32_t)),
                   .reader = tern__alloc_zero(n_values, sizeof(int32_t)),
                   .dropped = tern__alloc_zero(n_nodes, sizeof(bool)),
                   .nodes = tern__alloc(2 * n_nodes, sizeof(tern_node))}; /* a node becomes at most two */
    if (r->n_readers == NULL || r->reader == NULL || r->dropped == NULL || r->nodes == NULL)
        return TERN_FAIL(err, TERN_E_MEMORY, "out of memory while rewriting a program of %d ops", program->n_nodes);
    for (size_t v = 0; v < n_values; v++) r->reader[v] = -1;
    for (int32_t n = 0; n < program->n_nodes; n++)
        for (int32_t i = 0; i < program->nodes[n].n_inputs; i++) {
            const int32_t value = program->nodes[n].inputs[i].index;
            r->n_readers[value]++;
            r->reader[value] = n;
        }
    for (int32_t o = 0; o < program->n_outputs; o++) r->n_readers[program->outputs[o].value.index]++;
    return TERN_OK;
}

/* The old node that alone reads `value`, NULL when it has another reader or none. */
static tern_node *only_reader(const rewrite *r, tern_value value) {
    const int32_t n = r->reader[value.index];
    return n >= 0 && r->n_readers[value.index] == 1 && !r->dropped[n] ? &r->program->nodes[n] : NULL;
}

static void emit(rewrite *r, const tern_node *node) {
    r->program->values[node->output.index].producer = r->n_nodes;
    r->nodes[r->n_nodes++] = *node;
}

static tern_status new_value(rewrite *r, tern_value_info info, tern_value *out, tern_error *err) {
    tern_program *program = r->program;
    if (!tern__grow(&program->values, &program->values_capacity, (size_t)program->n_values + 1, sizeof *program->values))
        return TERN_FAIL(err, TERN_E_MEMORY, "out of memory while rewriting a program of %d ops", program->n_nodes);
    out->index = program->n_values;
    program->values[program->n_values++] = info;
    return TERN_OK;
}

static void rewrite_end(rewrite *r, bool keep) {
    if (keep) {
        free(r->program->nodes);
        r->program->nodes = r->nodes;
        r->program->nodes_capacity = 2 * (size_t)r->program->n_nodes;
        r->program->n_nodes = r->n_nodes;
    } else {
        free(r->nodes);
    }
    free(r->n_readers);
    free(r->reader);
    free(r->dropped);
}

/* ---- Fusing ---- */

typedef struct fusing {
    rewrite rewrite;
    bool (*wants)(const void *device, tern_op op);
    const void *device;
} fusing;

static bool wants(const fusing *f, tern_op op) { return f->wants(f->device, op); }

/* The reader of a linear takes the product over: it becomes the fused op and the linear is dropped. */
static bool fuse_linear_into_reader(fusing *f, int32_t n) {
    rewrite *r = &f->rewrite;
    const tern_node *linear = &r->program->nodes[n];
    tern_node *reader = only_reader(r, linear->output);
    if (reader == NULL) return false;
    tern_node fused = *linear;
    fused.output = reader->output;
    if (is_activation(reader->op) && wants(f, TERN_OP_LINEAR_ACTIVATION)) {
        fused.op = TERN_OP_LINEAR_ACTIVATION;
        fused.activation = reader->op;
    } else if (reader->op == TERN_OP_ADD && wants(f, TERN_OP_LINEAR_ADD)) {
        fused.op = TERN_OP_LINEAR_ADD;
        fused.inputs[1] = reader->inputs[reader->inputs[0].index == linear->output.index ? 1 : 0];
        fused.n_inputs = 2;
    } else {
        return false;
    }
    *reader = fused;
    r->dropped[n] = true;
    return true;
}

static void fuse_add_into_layer_norm(fusing *f, int32_t n) {
    rewrite *r = &f->rewrite;
    const tern_node *add = &r->program->nodes[n];
    tern_node *reader = only_reader(r, add->output);
    if (reader == NULL || reader->op != TERN_OP_LAYER_NORM || !wants(f, TERN_OP_ADD_LAYER_NORM)) return;
    reader->op = TERN_OP_ADD_LAYER_NORM;
    reader->n_inputs = 2;
    reader->inputs[0] = add->inputs[0];
    reader->inputs[1] = add->inputs[1];
    r->dropped[n] = true;
}

/* Emits one linear_concat for the linears from node n on that read the same input, and turns each of them into a slice of it. */
static tern_status fuse_linears(fusing *f, int32_t n, tern_error *err) {
    rewrite *r = &f->rewrite;
    tern_program *program = r->program;
    tern_node concat = program->nodes[n];
    concat.op = TERN_OP_LINEAR_CONCAT;
    concat.n_weights = 0;
    int32_t parts[MAX_PARTS], n_parts = 0;
    tern_value_info info = *tern__value(program, concat.output);
    info.width = 0;
    for (int32_t i = n; i < program->n_nodes && n_parts < MAX_PARTS; i++) {
        const tern_node *node = &program->nodes[i];
        if (node->op != TERN_OP_LINEAR || r->dropped[i] || node->inputs[0].index != concat.inputs[0].index) continue;
        concat.weights[concat.n_weights++] = node->weights[0];
        concat.weights[concat.n_weights++] = node->weights[1];
        info.width += tern__value(program, node->output)->width;
        parts[n_parts++] = i;
    }
    if (n_parts < 2) return TERN_OK;
    TERN_TRY(new_value(r, info, &concat.output, err));
    emit(r, &concat);
    int32_t start = 0;
    for (int32_t p = 0; p < n_parts; p++) {
        tern_node *node = &program->nodes[parts[p]];
        *node = (tern_node){.op = TERN_OP_SLICE, .n_inputs = 1, .inputs = {concat.output}, .output = node->output};
        node->slice.start = start;
        start += tern__value(program, node->output)->width;
    }
    return TERN_OK;
}

static tern_status fuse_nodes(fusing *f, tern_error *err) {
    rewrite *r = &f->rewrite;
    tern_program *program = r->program;
    for (int32_t n = 0; n < program->n_nodes; n++)
        if (program->nodes[n].op == TERN_OP_LINEAR) fuse_linear_into_reader(f, n);
    for (int32_t n = 0; n < program->n_nodes; n++)
        if (program->nodes[n].op == TERN_OP_ADD && !r->dropped[n]) fuse_add_into_layer_norm(f, n);
    for (int32_t n = 0; n < program->n_nodes; n++) {
        if (r->dropped[n]) continue;
        if (program->nodes[n].op == TERN_OP_LINEAR && wants(f, TERN_OP_LINEAR_CONCAT)) TERN_TRY(fuse_linears(f, n, err));
        emit(r, &program->nodes[n]);
    }
    return TERN_OK;
}

tern_status tern__program_fuse(tern_program *program, bool (*device_wants)(const void *device, tern_op op), const void *device,
                               tern_error *err) {
    fusing f = {.wants = device_wants, .device = device};
    tern_status status = rewrite_begin(&f.rewrite, program, err);
    if (status == TERN_OK) status = fuse_nodes(&f, err);
    rewrite_end(&f.rewrite, status == TERN_OK);
    return status;
}

/* ---- Lowering ---- */

/* A slice of a linear_concat that is exactly one of its parts becomes that linear. */
static tern_status lower_slice(rewrite *r, const tern_node *slice, const tern_node *concat, tern_error *err) {
    int32_t start = 0;
    for (int32_t w = 0; w < concat->n_weights; w += 2) {
        const int32_t width = (int32_t)r->program->weights[concat->weights[w]].shape[0];
        if (start == slice->slice.start && width == tern__value(r->program, slice->output)->width) {
            tern_node linear = {.op = TERN_OP_LINEAR, .n_inputs = 1, .inputs = {concat->inputs[0]}, .n_weights = 2,
                                .weights = {concat->weights[w], concat->weights[w + 1]}, .output = slice->output};
            emit(r, &linear);
            return TERN_OK;
        }
        start += width;
    }
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "linear_concat: a slice at column %d is none of its parts", slice->slice.start);
}

/* first -> new value -> second, which ends in the fused node's output. */
static tern_status lower_pair(rewrite *r, tern_node first, tern_node second, tern_error *err) {
    const tern_value_info info = {.space = tern__value(r->program, second.output)->space,
                                  .width = tern__value(r->program, second.output)->width};
    TERN_TRY(new_value(r, info, &first.output, err));
    second.inputs[0] = first.output;
    emit(r, &first);
    emit(r, &second);
    return TERN_OK;
}

static tern_status lower_node(rewrite *r, const tern_node *node, tern_error *err) {
    tern_node first = *node, second = {.n_inputs = 1, .output = node->output};
    switch (node->op) {
    case TERN_OP_LINEAR_ACTIVATION:
        first.op = TERN_OP_LINEAR;
        second.op = node->activation;
        return lower_pair(r, first, second, err);
    case TERN_OP_LINEAR_ADD:
        first.op = TERN_OP_LINEAR;
        first.n_inputs = 1;
        second.op = TERN_OP_ADD;
        second.n_inputs = 2;
        second.inputs[1] = node->inputs[1];
        return lower_pair(r, first, second, err);
    case TERN_OP_ADD_LAYER_NORM:
        first.op = TERN_OP_ADD;
        first.n_weights = 0;
        second = *node;
        second.op = TERN_OP_LAYER_NORM;
        second.n_inputs = 1;
        return lower_pair(r, first, second, err);
    case TERN_OP_LINEAR_CONCAT: return TERN_OK; /* its slices become linears */
    case TERN_OP_SLICE:
        for (int32_t n = 0; n < r->program->n_nodes; n++) {
            const tern_node *source = &r->program->nodes[n];
            if (source->output.index == node->inputs[0].index && source->op == TERN_OP_LINEAR_CONCAT)
                return lower_slice(r, node, source, err);
        }
        break;
    default: break;
    }
    emit(r, node);
    return TERN_OK;
}

tern_status tern__program_lower(tern_program *program, tern_error *err) {
    rewrite r;
    tern_status status = rewrite_begin(&r, program, err);
    for (int32_t n = 0; status == TERN_OK && n < program->n_nodes; n++) status = lower_node(&r, &program->nodes[n], err);
    rewrite_end(&r, status == TERN_OK);
    return status;
}
