/* op_program.c - see op_program.h. A device may run ops that work row by row in one pass; a product before the op and a pooling after it
 * end such a pass on either side. The product has so few columns that it costs little, and its value is marked as an output, which keeps it
 * from being fused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/op_program.h"

#include <math.h>

#define EPS 1e-12f
enum { NARROW = 16, BUCKETS = 256, MAX_DISTANCE = 512 };

/* ---- Which ops, and their shapes ---- */

typedef enum width { HIDDEN, INTERMEDIATE, TWO_HIDDEN, THREE_HIDDEN } width;

static const struct {
    tern_op op;
    width in, out;
} shapes[] = {{TERN_OP_EMBEDDING, HIDDEN, HIDDEN},
              {TERN_OP_ADD, HIDDEN, HIDDEN},
              {TERN_OP_MULTIPLY, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_LAYER_NORM, HIDDEN, HIDDEN},
              {TERN_OP_LINEAR, HIDDEN, HIDDEN},
              {TERN_OP_GELU, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_GELU_TANH, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_QUICK_GELU, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_RELU, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_SILU, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_SIGMOID, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_TANH, HIDDEN, HIDDEN},
              {TERN_OP_LOG1P, INTERMEDIATE, INTERMEDIATE},
              {TERN_OP_SCALE, HIDDEN, HIDDEN},
              {TERN_OP_ROPE, HIDDEN, HIDDEN},
              {TERN_OP_SCALED_DOT_PRODUCT_ATTENTION, HIDDEN, HIDDEN},
              {TERN_OP_DISENTANGLED_ATTENTION, HIDDEN, HIDDEN},
              {TERN_OP_POOL, HIDDEN, HIDDEN},
              {TERN_OP_CONCAT, HIDDEN, TWO_HIDDEN},
              {TERN_OP_UNFOLD, HIDDEN, THREE_HIDDEN},
              {TERN_OP_TAKE, HIDDEN, HIDDEN},
              {TERN_OP_NORMALIZE, HIDDEN, HIDDEN},
              {TERN_OP_LINEAR_CONCAT, HIDDEN, THREE_HIDDEN},
              {TERN_OP_LINEAR_ACTIVATION, HIDDEN, INTERMEDIATE},
              {TERN_OP_LINEAR_ADD, INTERMEDIATE, HIDDEN},
              {TERN_OP_ADD_LAYER_NORM, HIDDEN, HIDDEN}};
_Static_assert(sizeof shapes / sizeof *shapes == TERN_N_OPS - 2, "every op but input and slice, which compute nothing");

size_t tern__op_cases(tern_op_case cases[TERN_N_OPS], const char *shape, int64_t hidden, int64_t intermediate, int64_t heads) {
    const int64_t widths[] = {hidden, intermediate, 2 * hidden, 3 * hidden};
    const size_t n = sizeof shapes / sizeof *shapes;
    for (size_t i = 0; i < n; i++)
        cases[i] =
            (tern_op_case){.op = shapes[i].op, .shape = shape, .in = widths[shapes[i].in], .out = widths[shapes[i].out], .heads = heads};
    return n;
}

/* ---- Programs ---- */

/* A value of this width that a product makes. */
static tern_value source(tern_program *p, tern_value narrow, int64_t columns, const char *name) {
    const tern_value x = tern__linear(p, narrow, columns, "%s", name);
    tern__output(p, x, "%s", name);
    return x;
}

static tern_value attend(tern_program *p, const tern_op_case *c, tern_value narrow) {
    const tern_value q = source(p, narrow, c->in, "q"), k = source(p, narrow, c->in, "k"), v = source(p, narrow, c->in, "v");
    const float scale = 1.0f / sqrtf((float)(c->in / c->heads));
    if (c->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION) return tern__attention(p, q, k, v, c->heads, scale);
    const tern_disentangled_options options = {.n_heads = c->heads,
                                               .scale = scale,
                                               .n_buckets = BUCKETS,
                                               .max_distance = MAX_DISTANCE,
                                               .relative_width = c->in,
                                               .relative = "table",
                                               .norm = "norm",
                                               .key = "key",
                                               .query = "query",
                                               .eps = EPS};
    return tern__disentangled_attention(p, q, k, v, &options);
}

static tern_value apply(tern_program *p, const tern_op_case *c, tern_value narrow) {
    if (c->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || c->op == TERN_OP_DISENTANGLED_ATTENTION) return attend(p, c, narrow);
    const tern_value x = source(p, narrow, c->in, "x");
    switch (c->op) {
    case TERN_OP_ADD:
        return tern__add(p, x, source(p, narrow, c->in, "other"));
    case TERN_OP_MULTIPLY:
        return tern__multiply(p, x, source(p, narrow, c->in, "other"));
    case TERN_OP_CONCAT:
        return tern__concat(p, x, source(p, narrow, c->in, "other"));
    case TERN_OP_SCALE:
        return tern__scale(p, x, 1, 0, "scale");
    case TERN_OP_LOG1P: /* takes nothing below 0 */
        return tern__activation(p, tern__activation(p, x, TERN_OP_RELU), c->op);
    case TERN_OP_LAYER_NORM:
        return tern__layer_norm(p, x, EPS, "norm");
    case TERN_OP_ADD_LAYER_NORM:
        return tern__layer_norm(p, tern__add(p, x, source(p, narrow, c->in, "other")), EPS, "norm");
    case TERN_OP_ROPE:
        return tern__rope(p, x, c->heads, 10000.0f, c->tokens);
    case TERN_OP_POOL:
        return tern__pool(p, x, TERN_POOL_MEAN);
    case TERN_OP_UNFOLD:
        return tern__unfold(p, x, c->out / c->in);
    case TERN_OP_TAKE:
        return tern__take(p, x);
    case TERN_OP_NORMALIZE:
        return tern__normalize(p, x);
    case TERN_OP_LINEAR:
        return tern__linear(p, x, c->out, "linear");
    case TERN_OP_LINEAR_ACTIVATION:
        return tern__activation(p, tern__linear(p, x, c->out, "linear"), TERN_OP_GELU);
    case TERN_OP_LINEAR_ADD:
        return tern__add(p, tern__linear(p, x, c->out, "linear"), source(p, narrow, c->out, "other"));
    case TERN_OP_LINEAR_CONCAT: {
        const tern_value first = tern__linear(p, x, c->out / 3, "part.0");
        for (int i = 1; i < 3; i++) tern__output(p, tern__linear(p, x, c->out / 3, "part.%d", i), "part.%d", i);
        return first;
    }
    default:
        return tern__activation(p, x, c->op);
    }
}

static void build(tern_program *p, tern_value *result, const tern_op_case *c) {
    const tern_value ids = tern__input(p, TERN_INPUT_IDS);
    if (c->op == TERN_OP_EMBEDDING) *result = tern__embedding(p, ids, TERN_OP_CASE_VOCAB, c->out, "table");
    else *result = apply(p, c, tern__embedding(p, ids, TERN_OP_CASE_IDS, NARROW, "narrow"));
    const bool is_small = c->op == TERN_OP_POOL || c->op == TERN_OP_TAKE;
    tern__output(p, is_small ? *result : tern__pool(p, *result, TERN_POOL_CLS), "wanted");
}

tern_status tern__op_program(tern_program **out, tern_value *result, const tern_op_case *c, tern_error *err) {
    TERN_TRY(tern__program_new(out, err));
    build(*out, result, c);
    const tern_status status = tern__program_finish(*out, err);
    if (status == TERN_OK) return TERN_OK;
    tern__program_free(*out);
    *out = NULL;
    return status;
}

int32_t tern__op_node(const tern_program *program, tern_value result, tern_op op) {
    int32_t n = tern__value(program, result)->producer;
    if (program->nodes[n].op == TERN_OP_SLICE && op != TERN_OP_SLICE) n = tern__value(program, program->nodes[n].inputs[0])->producer;
    return program->nodes[n].op == op ? n : -1;
}
