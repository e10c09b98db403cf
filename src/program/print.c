/* print.c - a program as text: an op a line, in order, as `%7 = linear %5 "encoder.layer.0..." [tokens, 768]`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include "base/text_builder.h"

static const char *space_name(tern_space space) {
    static const char *const names[TERN_N_SPACES] = {"tokens", "sequences", "picks"};
    return names[space];
}

static void print_attributes(tern_text_builder *text, const tern_node *node) {
    static const char *const inputs[] = {"input_ids", "token_type_ids", "position_ids", "columns"};
    switch (node->op) {
    case TERN_OP_INPUT: tern__text_print(text, " %s", inputs[node->input]); break;
    case TERN_OP_LAYER_NORM:
    case TERN_OP_ADD_LAYER_NORM: tern__text_print(text, " eps=%g", (double)node->eps); break;
    case TERN_OP_LINEAR_ACTIVATION: tern__text_print(text, " %s", tern__op_name(node->activation)); break;
    case TERN_OP_ROPE:
        tern__text_print(text, " heads=%d head_dim=%d theta=%g", node->rope.n_heads, node->rope.head_dim, (double)node->rope.theta);
        break;
    case TERN_OP_POOL: tern__text_print(text, " %s%s", tern__pool_name(node->pool), node->skips_prompt ? " without_prompt" : ""); break;
    case TERN_OP_UNFOLD: tern__text_print(text, " kernel_size=%d", node->kernel_size); break;
    case TERN_OP_SCALE: tern__text_print(text, " element=%d", node->element); break;
    case TERN_OP_SLICE: tern__text_print(text, " start=%d", node->slice.start); break;
    case TERN_OP_DISENTANGLED_ATTENTION:
    case TERN_OP_SCALED_DOT_PRODUCT_ATTENTION:
        tern__text_print(text, " heads=%d head_dim=%d scale=%.9g", node->attention.n_heads, node->attention.head_dim,
                         (double)node->attention.scale);
        if (node->attention.window != TERN_NO_WINDOW) tern__text_print(text, " window=%d", node->attention.window);
        if (node->attention.n_buckets > 0)
            tern__text_print(text, " buckets=%d max_distance=%d", node->attention.n_buckets, node->attention.max_distance);
        break;
    default: break;
    }
}

static void print_node(tern_text_builder *text, const tern_program *program, const tern_node *node) {
    const tern_value_info *output = tern__value(program, node->output);
    tern__text_print(text, "%%%d = %s", node->output.index, tern__op_name(node->op));
    for (int32_t i = 0; i < node->n_inputs; i++) tern__text_print(text, " %%%d", node->inputs[i].index);
    for (int32_t i = 0; i < node->n_weights; i++)
        if (node->weights[i] != TERN_NO_WEIGHT) tern__text_print(text, " \"%s\"", program->weights[node->weights[i]].name);
    print_attributes(text, node);
    tern__text_print(text, " [%s, %d]\n", space_name(output->space), output->width);
}

tern_status tern__program_dump(const tern_program *program, char **out, tern_error *err) {
    tern_text_builder text = {0};
    for (int32_t n = 0; n < program->n_nodes; n++) print_node(&text, program, &program->nodes[n]);
    for (int32_t o = 0; o < program->n_outputs; o++)
        tern__text_print(&text, "%s = %%%d\n", program->outputs[o].name, program->outputs[o].value.index);
    *out = tern__text_take(&text);
    return *out != NULL ? TERN_OK : TERN_FAIL(err, TERN_E_MEMORY, "out of memory while printing a program");
}
