/* build.c - writing a program: one function an op, each checks shapes and appends a node.
 * Sticky: after the first error every call returns the null value and changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WIDTH   (INT32_MAX / 8) /* so that products of two widths and a dtype stay far inside int64 */
#define MAX_BUCKETS (1 << 20)

tern_status tern__program_new(tern_program **out, tern_error *err) {
    *out = NULL;
    tern_program *program = tern__alloc_zero(1, sizeof *program);
    if (program == NULL) return TERN_FAIL_MEMORY(err, sizeof *program);
    if (!tern__grow(&program->values, &program->values_capacity, 64, sizeof *program->values)) {
        tern__program_free(program);
        return TERN_FAIL_MEMORY(err, 64 * sizeof *program->values);
    }
    program->values[0] = (tern_value_info){.producer = -1};
    program->n_values = 1;
    *out = program;
    return TERN_OK;
}

void tern__program_free(tern_program *program) {
    if (program == NULL) return;
    tern__arena_free(&program->arena);
    free(program->nodes);
    free(program->values);
    free(program->weights);
    free(program->outputs);
    free(program);
}

void tern__program_fail(tern_program *program, tern_status code, const char *format, ...) {
    if (program->error.code != TERN_OK) return;
    char message[sizeof program->error.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    TERN_FAIL(&program->error, code, "%s", message);
}

tern_status tern__program_finish(const tern_program *program, tern_error *err) {
    if (program->error.code != TERN_OK && err != NULL) *err = program->error;
    return program->error.code;
}

static bool failed(const tern_program *program) { return program->error.code != TERN_OK; }

static bool fail_memory(tern_program *program) {
    tern__program_fail(program, TERN_E_MEMORY, "out of memory while building the program");
    return false;
}

/* A null value where one is needed means that an earlier call failed, or that the architecture file forgot one. */
static bool check_value(tern_program *program, tern_op op, tern_value value, bool wants_integer) {
    if (failed(program)) return false;
    if (value.index <= 0 || value.index >= program->n_values) {
        tern__program_fail(program, TERN_E_SHAPE, "%s: an input is the null value", tern__op_name(op));
        return false;
    }
    if (tern__value(program, value)->is_integer != wants_integer) {
        tern__program_fail(program, TERN_E_DTYPE, "%s: takes %s rows", tern__op_name(op), wants_integer ? "integer" : "float");
        return false;
    }
    return true;
}

static bool check_width(tern_program *program, tern_op op, int64_t width) {
    if (width < 1 || width > MAX_WIDTH) {
        tern__program_fail(program, TERN_E_SHAPE, "%s: a width of %lld is not in 1 ... %d", tern__op_name(op), (long long)width, MAX_WIDTH);
        return false;
    }
    return true;
}

static tern_value append(tern_program *program, tern_node node, tern_space space, int64_t width, bool is_integer) {
    const tern_value null = {0};
    if (!tern__grow(&program->nodes, &program->nodes_capacity, (size_t)program->n_nodes + 1, sizeof *program->nodes) ||
        !tern__grow(&program->values, &program->values_capacity, (size_t)program->n_values + 1, sizeof *program->values)) {
        fail_memory(program);
        return null;
    }
    node.output.index = program->n_values;
    program->values[program->n_values++] =
        (tern_value_info){.space = space, .width = (int32_t)width, .is_integer = is_integer, .producer = program->n_nodes};
    program->nodes[program->n_nodes++] = node;
    return node.output;
}

static int32_t find_weight(const tern_program *program, const char *name, const char *ending) {
    const size_t n_name = strlen(name);
    for (int32_t w = 0; w < program->n_weights; w++)
        if (strncmp(program->weights[w].name, name, n_name) == 0 && strcmp(program->weights[w].name + n_name, ending) == 0) return w;
    return TERN_NO_WEIGHT;
}

/* Declares a weight `name``ending`; its index, or -1 when the program has failed. Layers that share a weight declare it once each. */
static int32_t declare_weight(tern_program *program, const char *name, const char *ending, int32_t rank, int64_t rows, int64_t columns) {
    if (failed(program)) return TERN_NO_WEIGHT;
    const int32_t known = find_weight(program, name, ending);
    if (known != TERN_NO_WEIGHT) {
        const tern_weight *weight = &program->weights[known];
        if (weight->rank == rank && weight->shape[0] == rows && weight->shape[1] == columns) return known;
        tern__program_fail(program, TERN_E_SHAPE, "the weight %s is declared with two shapes", weight->name);
        return TERN_NO_WEIGHT;
    }
    if (!tern__grow(&program->weights, &program->weights_capacity, (size_t)program->n_weights + 1, sizeof *program->weights)) {
        fail_memory(program);
        return TERN_NO_WEIGHT;
    }
    tern_weight weight = {.name = tern__arena_format(&program->arena, "%s%s", name, ending), .rank = rank, .shape = {rows, columns}};
    if (weight.name == NULL) {
        fail_memory(program);
        return TERN_NO_WEIGHT;
    }
    program->weights[program->n_weights] = weight;
    return program->n_weights++;
}

/* The formatted name, in the arena; NULL when the program has failed. */
static char *format_name(tern_program *program, const char *format, va_list arguments) {
    if (failed(program)) return NULL;
    char name[512];
    const int n = vsnprintf(name, sizeof name, format, arguments);
    if (n < 0 || (size_t)n >= sizeof name) {
        tern__program_fail(program, TERN_E_ARGUMENT, "a weight name is longer than %zu bytes", sizeof name - 1);
        return NULL;
    }
    char *copy = tern__arena_copy(&program->arena, name, (size_t)n);
    if (copy == NULL) fail_memory(program);
    return copy;
}

tern_value tern__input(tern_program *program, tern_input input) {
    if (failed(program)) return (tern_value){0};
    return append(program, (tern_node){.op = TERN_OP_INPUT, .input = input}, TERN_SPACE_TOKENS, 1, true);
}

tern_value tern__embedding(tern_program *program, tern_value ids, int64_t n_embeddings, int64_t width, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *name = format_name(program, format, arguments);
    va_end(arguments);
    if (!check_value(program, TERN_OP_EMBEDDING, ids, true) || !check_width(program, TERN_OP_EMBEDDING, width) ||
        !check_width(program, TERN_OP_EMBEDDING, n_embeddings))
        return (tern_value){0};
    tern_node node = {.op = TERN_OP_EMBEDDING, .n_inputs = 1, .inputs = {ids}, .n_weights = 1};
    node.weights[0] = declare_weight(program, name, ".weight", 2, n_embeddings, width);
    if (failed(program)) return (tern_value){0};
    return append(program, node, tern__value(program, ids)->space, width, false);
}

static tern_value combine(tern_program *program, tern_op op, tern_value a, tern_value b) {
    if (!check_value(program, op, a, false) || !check_value(program, op, b, false)) return (tern_value){0};
    const tern_value_info *left = tern__value(program, a), *right = tern__value(program, b);
    if (left->width != right->width || left->space != right->space) {
        tern__program_fail(program, TERN_E_SHAPE, "%s: widths %d and %d, or their rows, differ", tern__op_name(op), left->width,
                           right->width);
        return (tern_value){0};
    }
    return append(program, (tern_node){.op = op, .n_inputs = 2, .inputs = {a, b}}, left->space, left->width, false);
}

tern_value tern__add(tern_program *program, tern_value a, tern_value b) { return combine(program, TERN_OP_ADD, a, b); }

tern_value tern__multiply(tern_program *program, tern_value a, tern_value b) { return combine(program, TERN_OP_MULTIPLY, a, b); }

static tern_value layer_norm(tern_program *program, tern_value x, float eps, bool has_bias, const char *format, va_list arguments) {
    const char *name = format_name(program, format, arguments);
    if (!check_value(program, TERN_OP_LAYER_NORM, x, false)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    tern_node node = {.op = TERN_OP_LAYER_NORM, .n_inputs = 1, .inputs = {x}, .n_weights = 2, .eps = eps};
    node.weights[0] = declare_weight(program, name, ".weight", 1, info.width, 0);
    node.weights[1] = has_bias ? declare_weight(program, name, ".bias", 1, info.width, 0) : TERN_NO_WEIGHT;
    if (failed(program)) return (tern_value){0};
    return append(program, node, info.space, info.width, false);
}

tern_value tern__layer_norm(tern_program *program, tern_value x, float eps, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const tern_value y = layer_norm(program, x, eps, true, format, arguments);
    va_end(arguments);
    return y;
}

tern_value tern__layer_norm_bias(tern_program *program, tern_value x, float eps, bool has_bias, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const tern_value y = layer_norm(program, x, eps, has_bias, format, arguments);
    va_end(arguments);
    return y;
}

static tern_value linear(tern_program *program, tern_value x, int64_t out_features, bool has_bias, const char *format, va_list arguments) {
    const char *name = format_name(program, format, arguments);
    if (!check_value(program, TERN_OP_LINEAR, x, false) || !check_width(program, TERN_OP_LINEAR, out_features)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    tern_node node = {.op = TERN_OP_LINEAR, .n_inputs = 1, .inputs = {x}, .n_weights = 2};
    node.weights[0] = declare_weight(program, name, ".weight", 2, out_features, info.width);
    node.weights[1] = has_bias ? declare_weight(program, name, ".bias", 1, out_features, 0) : TERN_NO_WEIGHT;
    if (failed(program)) return (tern_value){0};
    return append(program, node, info.space, out_features, false);
}

tern_value tern__linear(tern_program *program, tern_value x, int64_t out_features, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const tern_value y = linear(program, x, out_features, true, format, arguments);
    va_end(arguments);
    return y;
}

tern_value tern__linear_bias(tern_program *program, tern_value x, int64_t out_features, bool has_bias, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const tern_value y = linear(program, x, out_features, has_bias, format, arguments);
    va_end(arguments);
    return y;
}

tern_value tern__linear_named(tern_program *program, tern_value x, int64_t out_features, const char *weight, const char *bias) {
    if (!check_value(program, TERN_OP_LINEAR, x, false) || !check_width(program, TERN_OP_LINEAR, out_features)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    tern_node node = {.op = TERN_OP_LINEAR, .n_inputs = 1, .inputs = {x}, .n_weights = 2};
    node.weights[0] = declare_weight(program, weight, "", 2, out_features, info.width);
    node.weights[1] = bias != NULL ? declare_weight(program, bias, "", 1, out_features, 0) : TERN_NO_WEIGHT;
    if (failed(program)) return (tern_value){0};
    return append(program, node, info.space, out_features, false);
}

tern_value tern__unfold(tern_program *program, tern_value x, int64_t kernel_size) {
    const tern_op op = TERN_OP_UNFOLD;
    if (!check_value(program, op, x, false)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    if (kernel_size < 1 || kernel_size % 2 == 0 || kernel_size > MAX_WIDTH || info.space != TERN_SPACE_TOKENS) {
        tern__program_fail(program, TERN_E_SHAPE, "unfold: takes rows of tokens and an odd kernel_size, not %lld", (long long)kernel_size);
        return (tern_value){0};
    }
    if (!check_width(program, op, info.width * kernel_size)) return (tern_value){0};
    tern_node node = {.op = op, .n_inputs = 2, .inputs = {x, tern__input(program, TERN_INPUT_COLUMNS)}};
    if (failed(program)) return (tern_value){0};
    node.kernel_size = (int32_t)kernel_size;
    return append(program, node, info.space, info.width * kernel_size, false);
}

tern_value tern__conv1d(tern_program *program, tern_value x, int64_t out_features, int64_t kernel_size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *name = format_name(program, format, arguments);
    va_end(arguments);
    const tern_value y = tern__linear(program, tern__unfold(program, x, kernel_size), out_features, "%s", name);
    if (!failed(program)) program->weights[program->nodes[program->n_nodes - 1].weights[0]].kernel_size = kernel_size;
    return y;
}

tern_value tern__activation(tern_program *program, tern_value x, tern_op op) {
    if (op == TERN_OP_INPUT) return x;
    if (!check_value(program, op, x, false)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    return append(program, (tern_node){.op = op, .n_inputs = 1, .inputs = {x}}, info.space, info.width, false);
}

tern_value tern__slice(tern_program *program, tern_value x, int64_t start, int64_t width) {
    if (!check_value(program, TERN_OP_SLICE, x, false) || !check_width(program, TERN_OP_SLICE, width)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    if (start < 0 || start > info.width - width) {
        tern__program_fail(program, TERN_E_SHAPE, "slice: columns %lld ... %lld of a width of %d", (long long)start,
                           (long long)(start + width), info.width);
        return (tern_value){0};
    }
    tern_node node = {.op = TERN_OP_SLICE, .n_inputs = 1, .inputs = {x}};
    node.slice.start = (int32_t)start;
    return append(program, node, info.space, width, false);
}

/* Heads of equal width? */
static bool check_heads(tern_program *program, tern_op op, int32_t width, int64_t n_heads) {
    if (n_heads >= 1 && n_heads <= width && width % n_heads == 0) return true;
    tern__program_fail(program, TERN_E_SHAPE, "%s: a width of %d does not split into %lld heads", tern__op_name(op), width,
                       (long long)n_heads);
    return false;
}

/* The node without window and bias; its op is INPUT when the program has failed. */
static tern_node attention_node(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale) {
    const tern_op op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION;
    tern_node node = {.op = TERN_OP_INPUT};
    if (!check_value(program, op, q, false) || !check_value(program, op, k, false) || !check_value(program, op, v, false)) return node;
    const int32_t width = tern__value(program, q)->width;
    if (tern__value(program, k)->width != width || tern__value(program, v)->width != width) {
        tern__program_fail(program, TERN_E_SHAPE, "%s: widths %d, %d, %d differ", tern__op_name(op), width, tern__value(program, k)->width,
                           tern__value(program, v)->width);
        return node;
    }
    if (!check_heads(program, op, width, n_heads)) return node;
    node = (tern_node){.op = op, .n_inputs = 3, .inputs = {q, k, v}};
    node.attention.n_heads = (int32_t)n_heads;
    node.attention.head_dim = (int32_t)(width / n_heads);
    node.attention.scale = scale;
    node.attention.window = TERN_NO_WINDOW;
    return node;
}

static tern_value append_attention(tern_program *program, tern_node node) {
    if (failed(program)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, node.inputs[0]);
    return append(program, node, info.space, info.width, false);
}

tern_value tern__attention(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale) {
    return append_attention(program, attention_node(program, q, k, v, n_heads, scale));
}

tern_value tern__attention_window(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale,
                                  int64_t window) {
    tern_node node = attention_node(program, q, k, v, n_heads, scale);
    if (window < 0 || window >= TERN_NO_WINDOW)
        tern__program_fail(program, TERN_E_SHAPE, "%s: a window of %lld columns", tern__op_name(node.op), (long long)window);
    node.inputs[node.n_inputs++] = tern__input(program, TERN_INPUT_COLUMNS);
    node.attention.window = (int32_t)window;
    return append_attention(program, node);
}

tern_value tern__attention_relative_bias(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale,
                                         int64_t n_buckets, int64_t max_distance, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *name = format_name(program, format, arguments);
    va_end(arguments);
    tern_node node = attention_node(program, q, k, v, n_heads, scale);
    if (n_buckets < 4 || n_buckets > MAX_BUCKETS || max_distance <= n_buckets / 4 || max_distance > MAX_BUCKETS)
        tern__program_fail(program, TERN_E_SHAPE, "%s: %lld buckets up to a distance of %lld", tern__op_name(node.op), (long long)n_buckets,
                           (long long)max_distance);
    node.inputs[node.n_inputs++] = tern__input(program, TERN_INPUT_COLUMNS);
    node.attention.n_buckets = (int32_t)n_buckets;
    node.attention.max_distance = (int32_t)max_distance;
    node.n_weights = 1;
    node.weights[0] = declare_weight(program, name, ".weight", 2, n_buckets, n_heads);
    return append_attention(program, node);
}

/* Weight and bias of a linear of the table's rows; both TERN_NO_WEIGHT without a name. */
static void declare_table_linear(tern_program *program, int32_t *weights, const char *name, int64_t rows, int64_t columns) {
    weights[0] = name != NULL ? declare_weight(program, name, ".weight", 2, rows, columns) : TERN_NO_WEIGHT;
    weights[1] = name != NULL ? declare_weight(program, name, ".bias", 1, rows, 0) : TERN_NO_WEIGHT;
}

tern_value tern__disentangled_attention(tern_program *program, tern_value q, tern_value k, tern_value v,
                                        const tern_disentangled_options *options) {
    tern_node node = attention_node(program, q, k, v, options->n_heads, options->scale);
    if (failed(program)) return (tern_value){0};
    node.op = TERN_OP_DISENTANGLED_ATTENTION;
    const int64_t span = options->n_buckets > 0 ? options->n_buckets : options->max_distance;
    const int64_t width = tern__value(program, q)->width, table_width = options->relative_width;
    if (options->n_buckets == 1 || span < 1 || span > MAX_BUCKETS || options->max_distance > MAX_BUCKETS ||
        options->max_distance - 1 <= options->n_buckets / 2)
        tern__program_fail(program, TERN_E_SHAPE, "%s: %lld buckets up to a distance of %lld", tern__op_name(node.op),
                           (long long)options->n_buckets, (long long)options->max_distance);
    if (!check_width(program, node.op, table_width)) return (tern_value){0};
    node.inputs[node.n_inputs++] = tern__input(program, TERN_INPUT_COLUMNS);
    node.attention.n_buckets = (int32_t)options->n_buckets;
    node.attention.max_distance = (int32_t)options->max_distance;
    node.attention.eps = options->eps;
    node.n_weights = 7;
    node.weights[0] = declare_weight(program, options->relative, ".weight", 2, 2 * span, table_width);
    node.weights[1] = options->norm != NULL ? declare_weight(program, options->norm, ".weight", 1, table_width, 0) : TERN_NO_WEIGHT;
    node.weights[2] = options->norm != NULL ? declare_weight(program, options->norm, ".bias", 1, table_width, 0) : TERN_NO_WEIGHT;
    declare_table_linear(program, &node.weights[3], options->key, width, table_width);
    declare_table_linear(program, &node.weights[5], options->query, width, table_width);
    return append_attention(program, node);
}

tern_value tern__rope(tern_program *program, tern_value x, int64_t n_heads, float theta, int64_t max_positions) {
    const tern_op op = TERN_OP_ROPE;
    if (!check_value(program, op, x, false) || !check_heads(program, op, tern__value(program, x)->width, n_heads)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    const int64_t head_dim = info.width / n_heads;
    if (head_dim % 2 != 0 || max_positions < 1 || max_positions > MAX_WIDTH) {
        tern__program_fail(program, TERN_E_SHAPE, "rope: head_dim %lld must be even, %lld positions", (long long)head_dim,
                           (long long)max_positions);
        return (tern_value){0};
    }
    tern_node node = {.op = op, .n_inputs = 2, .inputs = {x, tern__input(program, TERN_INPUT_POSITION_IDS)}};
    node.rope.n_heads = (int32_t)n_heads;
    node.rope.head_dim = (int32_t)head_dim;
    node.rope.max_positions = (int32_t)max_positions;
    node.rope.theta = theta;
    return append(program, node, info.space, info.width, false);
}

static tern_value append_pool(tern_program *program, tern_value x, tern_pool pool, bool skips_prompt) {
    if (!check_value(program, TERN_OP_POOL, x, false)) return (tern_value){0};
    const int32_t width = tern__value(program, x)->width;
    const tern_node node = {.op = TERN_OP_POOL, .n_inputs = 1, .inputs = {x}, .pool = pool, .skips_prompt = skips_prompt};
    return append(program, node, TERN_SPACE_SEQUENCES, width, false);
}

tern_value tern__pool(tern_program *program, tern_value x, tern_pool pool) { return append_pool(program, x, pool, false); }

tern_value tern__pool_without_prompt(tern_program *program, tern_value x, tern_pool pool) { return append_pool(program, x, pool, true); }

tern_value tern__concat(tern_program *program, tern_value a, tern_value b) {
    const tern_op op = TERN_OP_CONCAT;
    if (!check_value(program, op, a, false) || !check_value(program, op, b, false)) return (tern_value){0};
    const tern_value_info left = *tern__value(program, a), right = *tern__value(program, b);
    const int64_t width = (int64_t)left.width + right.width;
    if (left.space != right.space) tern__program_fail(program, TERN_E_SHAPE, "concat: rows differ");
    if (!check_width(program, op, width)) return (tern_value){0};
    return append(program, (tern_node){.op = op, .n_inputs = 2, .inputs = {a, b}}, left.space, width, false);
}

tern_value tern__scale(tern_program *program, tern_value x, int64_t n_elements, int64_t element, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *name = format_name(program, format, arguments);
    va_end(arguments);
    if (!check_value(program, TERN_OP_SCALE, x, false) || !check_width(program, TERN_OP_SCALE, n_elements)) return (tern_value){0};
    if (element < 0 || element >= n_elements)
        tern__program_fail(program, TERN_E_SHAPE, "scale: element %lld of %lld", (long long)element, (long long)n_elements);
    const tern_value_info info = *tern__value(program, x);
    tern_node node = {.op = TERN_OP_SCALE, .n_inputs = 1, .inputs = {x}, .n_weights = 1, .element = (int32_t)element};
    node.weights[0] = declare_weight(program, name, "", 1, n_elements, 0);
    if (failed(program)) return (tern_value){0};
    return append(program, node, info.space, info.width, false);
}

tern_value tern__take(tern_program *program, tern_value x) {
    if (!check_value(program, TERN_OP_TAKE, x, false)) return (tern_value){0};
    const int32_t width = tern__value(program, x)->width;
    return append(program, (tern_node){.op = TERN_OP_TAKE, .n_inputs = 1, .inputs = {x}}, TERN_SPACE_PICKS, width, false);
}

tern_value tern__normalize(tern_program *program, tern_value x) {
    if (!check_value(program, TERN_OP_NORMALIZE, x, false)) return (tern_value){0};
    const tern_value_info info = *tern__value(program, x);
    return append(program, (tern_node){.op = TERN_OP_NORMALIZE, .n_inputs = 1, .inputs = {x}}, info.space, info.width, false);
}

void tern__output(tern_program *program, tern_value value, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *name = format_name(program, format, arguments);
    va_end(arguments);
    if (failed(program)) return;
    if (value.index <= 0 || value.index >= program->n_values) {
        tern__program_fail(program, TERN_E_SHAPE, "output %s: the null value", name);
        return;
    }
    if (!tern__grow(&program->outputs, &program->outputs_capacity, (size_t)program->n_outputs + 1, sizeof *program->outputs)) {
        fail_memory(program);
        return;
    }
    program->outputs[program->n_outputs++] = (tern_output){.name = name, .value = value};
}

void tern__output_squeezed(tern_program *program, tern_value value, const char *name) {
    if (!failed(program) && tern__value(program, value)->width != 1)
        tern__program_fail(program, TERN_E_SHAPE, "output %s: a width of %d cannot be squeezed", name, tern__value(program, value)->width);
    tern__output(program, value, "%s", name);
    if (!failed(program)) program->outputs[program->n_outputs - 1].is_squeezed = true;
}
