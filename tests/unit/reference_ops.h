/* reference_ops.h - core ops in double precision, node by node, with an error budget: the arithmetic that devices are compared with.
 *
 * Beside each value y comes e, the error that a dtype is allowed there, in units of its u, 2^-24 for float32. An op adds its own share, the
 * constant `bound` times the size of what it sums, to what it passes on of the error of its inputs (running error analysis: Higham,
 * Accuracy and Stability of Numerical Algorithms, 3.3). So a fused op is held to the budget of the core ops that it is lowered to. The same
 * shares serve the 16-bit dtypes, which round weights and results to u and add up in float32.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_REFERENCE_OPS_H
#define TERN_TESTS_REFERENCE_OPS_H

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "device/device.h"

#define UNIT_ROUNDOFF 0x1p-24

/* The share of each op, in u; measured (the test prints the most that was used), then rounded up. 0: exact. What it is relative to:
 *   linear     of reference_dtypes: sum |x w| + |bias|: k products are summed in order, whose roundings mostly cancel, so k u is never near
 *   add        |y|: one rounding; two where linear_add adds the bias and then the residual
 *   layer_norm |w| ((|x| + |mean|) / sd + 1) + |bias|: mean and variance are sums of n terms in 4 vectors, then x - mean cancels
 *   gelu, quick_gelu, silu, gelu_tanh   |x|: the factor of x is off by so much (gelu_tanh: and by u times its cubic argument)
 *   sigmoid, tanh   |y|: the error is relative even where the result is tiny; it holds exp to 2 ulp
 *   attention  sum p |v| (1 + largest sum |q k| scale + |bias|): an error in a score is one of its weight's exponent
 *   disentangled_attention   as attention, the sum with the distances' products; of the bounds of the
 *              tables' elements (linear, layer_norm), which cannot all point one way, a fiftieth is passed on
 *   multiply   |y|       rope  |a cos| + |b sin|: two products and a sum; the angles are rounded as Hugging Face rounds them
 *   pool       the sum's |x| (weighted), divided as the sum is; cls, lasttoken and max are exact
 *   normalize, log1p  |y|; scale  |y|, times what the sum of the weights cancels; log1p is the C library's, within an ulp
 *   concat, unfold   exact */
static double op_bound[TERN_N_OPS] = {[TERN_OP_ADD] = 2,
                                      [TERN_OP_LAYER_NORM] = 4,
                                      [TERN_OP_MULTIPLY] = 1,
                                      [TERN_OP_ROPE] = 3,
                                      [TERN_OP_GELU] = 2,
                                      [TERN_OP_GELU_TANH] = 2,
                                      [TERN_OP_QUICK_GELU] = 2.5,
                                      [TERN_OP_SILU] = 2.5,
                                      [TERN_OP_SIGMOID] = 3,
                                      [TERN_OP_TANH] = 3,
                                      [TERN_OP_SCALED_DOT_PRODUCT_ATTENTION] = 4,
                                      [TERN_OP_POOL] = 5,
                                      [TERN_OP_NORMALIZE] = 4,
                                      [TERN_OP_DISENTANGLED_ATTENTION] = 4,
                                      [TERN_OP_SCALE] = 3,
                                      [TERN_OP_LOG1P] = 2};

/* MLX's CPU kernels in float32 add up one after the other, in no vectors, and have an exp and an erf of fewer digits. */
static inline void reference_bounds_of_mlx(void) {
    op_bound[TERN_OP_LAYER_NORM] = 8;
    op_bound[TERN_OP_GELU] = 5;
    op_bound[TERN_OP_GELU_TANH] = 2.5;
    op_bound[TERN_OP_SIGMOID] = 64;
    op_bound[TERN_OP_SCALED_DOT_PRODUCT_ATTENTION] = 6;
    op_bound[TERN_OP_POOL] = 10;
    op_bound[TERN_OP_NORMALIZE] = 12;
}

/* CUDA's tanhf is within 2 units of the last place (CUDA C++ Programming Guide, "Mathematical Functions"), which are up to 4 u |y|. */
static inline void reference_bounds_of_mlx_gpu(void) { op_bound[TERN_OP_TANH] = 4; }

/* A dtype that a device computes in. */
typedef struct reference_dtype {
    const char *name;
    double u;         /* half the distance from 1 to the next number */
    double smallest;  /* half the smallest number above 0, or what results below it may be off by */
    double linear;    /* the share of linear */
    double attention; /* what the share of attention is multiplied with */
    double lookup;    /* of rows that come from a table: 1 where the table was rounded */
    int64_t group;    /* linears' weights are quantized in groups of so many, where those are whole; 0: not */
    double step;      /* what an element of such a weight, within -1 ... 1, may be off by */
    /* Of 8-bit operands of linears, where rows are whole sixteens, what an element may be off by: */
    double row_step; /* times the largest of its row */
    double relative; /* times itself */
} reference_dtype;

/* tf32 is float32 whose products have operands of 11 bits, cut or rounded, so 2^-10 of each at most, which do not all point one way.
 * float32: exp gives 0 below 2.5e-38. */
static const reference_dtype reference_dtypes[] = {{"float32", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 0, 0, 0, 0},
                                                   {"tf32", UNIT_ROUNDOFF, 1e-37, 0x1p14, 0x1p11, 0, 0, 0, 0, 0},
                                                   {"float16", 0x1p-11, 0x1p-25, 8, 1, 1, 0, 0, 0, 0},
                                                   {"bfloat16", 0x1p-8, 1e-37, 8, 1, 1, 0, 0, 0, 0},
                                                   /* beside linears as bfloat16; half of a step of 1 / 127, half of the last of 4 bits */
                                                   {"int8", 0x1p-8, 1e-37, 8, 1, 1, 0, 0, 0.5 / 127, 0},
                                                   {"float8_e4m3fn", 0x1p-8, 1e-37, 8, 1, 1, 0, 0, 0, 0x1p-4},
                                                   /* half of a step of 2 / 255 or 2 / 15, which grows by a tenth so that 0 is exact;
                                                    * mxfp4: of the largest, 4 or 6 times a power of 2, a quarter */
                                                   {"affine8-g64", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 64, 1.1 / 255, 0, 0},
                                                   {"affine8-g32", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 32, 1.1 / 255, 0, 0},
                                                   {"affine4-g64", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 64, 1.1 / 15, 0, 0},
                                                   {"affine4-g32", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 32, 1.1 / 15, 0, 0},
                                                   {"mxfp4", UNIT_ROUNDOFF, 1e-37, 8, 1, 0, 32, 0.25, 0, 0}};

typedef struct reference {
    const tern_program *program; /* core ops only */
    const reference_dtype *dtype;
    const tern_batch *batch;
    double **y, **e; /* [n_values][rows * width] */
} reference;

static inline size_t reference_rows(const reference *r, tern_value value) {
    const tern_space space = tern__value(r->program, value)->space;
    return (size_t)(space == TERN_SPACE_TOKENS  ? r->batch->n_tokens
                    : space == TERN_SPACE_PICKS ? r->batch->n_picks
                                                : r->batch->n_sequences);
}

static inline double reference_weight(const reference *r, const tern_node *node, int w, size_t index) {
    const tern_weight *weight = &r->program->weights[node->weights[w]];
    if (weight->dtype == TERN_DTYPE_F64) return (double)(float)((const double *)weight->data)[index]; /* narrowed once, as documented */
    return (double)tern__element_to_f32(weight->data, weight->dtype, index);
}

static inline double reference_activation(tern_op op, double x) {
    switch (op) {
    case TERN_OP_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case TERN_OP_GELU_TANH:
        return x / (1 + exp(-2 * sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case TERN_OP_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case TERN_OP_RELU:
        return x > 0 ? x : 0;
    case TERN_OP_SILU:
        return x / (1 + exp(-x));
    case TERN_OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case TERN_OP_LOG1P:
        return log1p(x);
    default:
        return tanh(x);
    }
}

/* y and e of one element; slopes of all activations lie within -1.2 ... 1.2. */
static inline void reference_activate(tern_op op, double x, double ex, double *y, double *e) {
    *y = reference_activation(op, x);
    const double size = op == TERN_OP_SIGMOID || op == TERN_OP_TANH || op == TERN_OP_LOG1P
                            ? fabs(*y)
                            : fabs(x) * (op == TERN_OP_GELU_TANH ? 1 + fabs(x) / 8 : 1);
    *e = 1.2 * ex + op_bound[op] * size;
}

static inline void reference_linear(const reference *r, const tern_node *node) {
    const int x = node->inputs[0].index, to = node->output.index;
    const size_t k = (size_t)r->program->values[x].width, n = (size_t)r->program->values[to].width;
    const bool has_bias = node->n_weights > 1 && node->weights[1] != TERN_NO_WEIGHT;
    const bool is_quantized = r->dtype->group > 0 && k % (size_t)r->dtype->group == 0;
    double *row = malloc(k * sizeof *row);
    for (size_t j = 0; j < n; j++) {
        double most_w = 0, squares_w = 0;
        for (size_t c = 0; c < k; c++) {
            row[c] = reference_weight(r, node, 0, j * k + c);
            most_w = fmax(most_w, fabs(row[c])), squares_w += row[c] * row[c];
        }
        const double bias = has_bias ? reference_weight(r, node, 1, j) : 0;
        for (size_t i = 0; i < reference_rows(r, node->output); i++) {
            double sum = bias, size = fabs(bias), passed = 0, squares = 0, most = 0, products = 0;
            for (size_t c = 0; c < k; c++) {
                sum += r->y[x][i * k + c] * row[c];
                size += fabs(r->y[x][i * k + c] * row[c]);
                passed += r->e[x][i * k + c] * fabs(row[c]);
                squares += r->y[x][i * k + c] * r->y[x][i * k + c];
                most = fmax(most, fabs(r->y[x][i * k + c]));
                products += r->y[x][i * k + c] * r->y[x][i * k + c] * row[c] * row[c];
            }
            if (is_quantized) passed += 6 * sqrt(squares / 3) * r->dtype->step / r->dtype->u; /* 6 standard deviations */
            if (k % 16 == 0) {                                                                /* of both operands */
                const double steps = (squares * most_w * most_w + squares_w * most * most) * r->dtype->row_step * r->dtype->row_step;
                passed += 6 * sqrt((steps + 2 * products * r->dtype->relative * r->dtype->relative) / 3) / r->dtype->u;
            }
            r->y[to][i * n + j] = sum;
            r->e[to][i * n + j] = passed + r->dtype->linear * size;
        }
    }
    free(row);
}

static inline void reference_layer_norm(const reference *r, const tern_node *node, size_t i) {
    const int from = node->inputs[0].index, to = node->output.index;
    const size_t n = (size_t)r->program->values[to].width;
    const double *x = r->y[from] + i * n, *ex = r->e[from] + i * n;
    double mean = 0, variance = 0, mean_error = 0, most = 0;
    for (size_t c = 0; c < n; c++) mean += x[c] / (double)n, mean_error += ex[c] / (double)n, most = fmax(most, ex[c]);
    for (size_t c = 0; c < n; c++) variance += (x[c] - mean) * (x[c] - mean) / (double)n;
    const double sd = sqrt(variance + (double)node->eps);
    for (size_t c = 0; c < n; c++) {
        const double w = reference_weight(r, node, 0, c), z = (x[c] - mean) / sd;
        const double b = node->weights[1] != TERN_NO_WEIGHT ? reference_weight(r, node, 1, c) : 0;
        r->y[to][i * n + c] = z * w + b;
        r->e[to][i * n + c] = fabs(w) / sd * (ex[c] + mean_error + fabs(z) * most) +
                              op_bound[TERN_OP_LAYER_NORM] * (fabs(w) * ((fabs(x[c]) + fabs(mean)) / sd + 1) + fabs(b));
    }
}

/* The batch's integers that an integer value stands for. */
static inline const int32_t *reference_integers(const reference *r, tern_value value) {
    return r->batch->inputs[r->program->nodes[r->program->values[value.index].producer].input];
}

/* What a distance adds to a score: -infinity outside the window. */
static inline double reference_bias(const reference *r, const tern_node *node, int64_t distance, size_t head) {
    if (llabs(distance) > node->attention.window) return -INFINITY;
    if (node->attention.n_buckets == 0) return 0;
    const int32_t bucket = tern__relative_bucket(distance, node->attention.n_buckets, node->attention.max_distance);
    return reference_weight(r, node, 0, (size_t)bucket * (size_t)node->attention.n_heads + head);
}

/* Disentangled: a row of K or Q (weights w and w + 1) at the head's columns, and the error of each element. */
static inline void reference_table_row(const reference *r, const tern_node *node, int w, size_t row, size_t head, double *y, double *e) {
    const tern_weight *table = &r->program->weights[node->weights[0]];
    const size_t n = (size_t)table->shape[1], d = (size_t)node->attention.head_dim;
    double *x = malloc(n * sizeof *x), mean = 0, variance = 0;
    for (size_t c = 0; c < n; c++) x[c] = reference_weight(r, node, 0, row * n + c), mean += x[c] / (double)n;
    for (size_t c = 0; c < n; c++) variance += (x[c] - mean) * (x[c] - mean) / (double)n;
    const double sd = sqrt(variance + (double)node->attention.eps);
    const bool is_normed = node->weights[1] != TERN_NO_WEIGHT;
    for (size_t j = 0; j < d; j++) {
        const size_t column = head * d + j;
        y[j] = reference_weight(r, node, w + 1, column), e[j] = r->dtype->linear * fabs(y[j]);
        for (size_t c = 0; c < n; c++) {
            const double weight = reference_weight(r, node, w, column * n + c);
            const double scale = is_normed ? reference_weight(r, node, 1, c) : 1, bias = is_normed ? reference_weight(r, node, 2, c) : 0;
            const double value = is_normed ? (x[c] - mean) / sd * scale + bias : x[c];
            const double error =
                is_normed ? op_bound[TERN_OP_LAYER_NORM] * (fabs(scale) * ((fabs(x[c]) + fabs(mean)) / sd + 1) + fabs(bias)) : 0;
            y[j] += value * weight;
            e[j] += error * fabs(weight) + r->dtype->linear * fabs(value * weight);
        }
    }
    free(x);
}

/* What the distance adds to a score, *size what it sums, *passed the error of the table. `by_row` keeps the rows: [2][n_rows][2][d]. */
static inline double reference_disentangled(const reference *r, const tern_node *node, const double *q, const double *k, int64_t distance,
                                            const double *by_row, double *size, double *passed) {
    const size_t d = (size_t)node->attention.head_dim, n_rows = (size_t)r->program->weights[node->weights[0]].shape[0];
    const size_t row = (size_t)tern__log_bucket(distance, node->attention.n_buckets, node->attention.max_distance, (int32_t)n_rows);
    double sum = 0;
    for (int t = 0; t < 2; t++) {
        if (node->weights[3 + 2 * t] == TERN_NO_WEIGHT) continue;
        const double *y = by_row + ((size_t)t * n_rows + row) * 2 * d, *e = y + d, *x = t == 0 ? q : k;
        for (size_t c = 0; c < d; c++) {
            const double product = x[c] * y[c] * (double)node->attention.scale;
            sum += product, *size += fabs(product), *passed += fabs(x[c] * e[c] * (double)node->attention.scale);
        }
    }
    return sum;
}

/* The rows of one head, for reference_disentangled. */
static inline double *reference_table(const reference *r, const tern_node *node, size_t head) {
    if (node->op != TERN_OP_DISENTANGLED_ATTENTION) return NULL;
    const size_t d = (size_t)node->attention.head_dim, n_rows = (size_t)r->program->weights[node->weights[0]].shape[0];
    double *by_row = calloc(2 * n_rows * 2 * d, sizeof *by_row);
    for (int t = 0; t < 2; t++)
        for (size_t row = 0; row < n_rows && node->weights[3 + 2 * t] != TERN_NO_WEIGHT; row++) {
            double *y = by_row + ((size_t)t * n_rows + row) * 2 * d;
            reference_table_row(r, node, 3 + 2 * t, row, head, y, y + d);
        }
    return by_row;
}

/* One query of one head; inputs are taken as exact, which the test's are, or right to u, which the bound has room for. */
static inline void reference_attend(const reference *r, const tern_node *node, size_t first, size_t end, size_t query, size_t head,
                                    const double *by_row) {
    const size_t d = (size_t)node->attention.head_dim, ld = d * (size_t)node->attention.n_heads, column = head * d, n = end - first;
    const double *q = r->y[node->inputs[0].index], *k = r->y[node->inputs[1].index], *v = r->y[node->inputs[2].index];
    const int32_t *columns = node->n_inputs > 3 ? reference_integers(r, node->inputs[3]) : NULL;
    double *p = malloc(n * sizeof *p), most = -INFINITY, largest = 0, total = 0, passed = 0;
    for (size_t j = 0; j < n; j++) {
        double size = 0;
        p[j] = columns != NULL && by_row == NULL ? reference_bias(r, node, (int64_t)columns[first + j] - columns[query], head) : 0;
        if (isinf(p[j])) continue;
        size += fabs(p[j]);
        for (size_t c = 0; c < d; c++) {
            const double product = q[query * ld + column + c] * k[(first + j) * ld + column + c] * (double)node->attention.scale;
            p[j] += product;
            size += fabs(product);
        }
        if (by_row != NULL) {
            double from_table = 0;
            p[j] += reference_disentangled(r, node, q + query * ld + column, k + (first + j) * ld + column,
                                           (int64_t)columns[query] - columns[first + j], by_row, &size, &from_table);
            passed = fmax(passed, from_table);
        }
        most = fmax(most, p[j]), largest = fmax(largest, size);
    }
    for (size_t j = 0; j < n; j++) total += p[j] = exp(p[j] - most);
    for (size_t c = 0; c < d; c++) {
        double sum = 0, size = 0;
        for (size_t j = 0; j < n; j++) {
            const double term = p[j] / total * v[(first + j) * ld + column + c];
            sum += term, size += fabs(term);
        }
        r->y[node->output.index][query * ld + column + c] = sum;
        r->e[node->output.index][query * ld + column + c] =
            size * (r->dtype->attention * op_bound[node->op] * (1 + largest) + 0.02 * passed);
    }
    free(p);
}

static inline void reference_pool(const reference *r, const tern_node *node, size_t s) {
    const int from = node->inputs[0].index, to = node->output.index;
    const tern_pool pool = node->pool;
    const size_t n = (size_t)r->program->values[to].width, start = (size_t)r->batch->row_start[s], end = (size_t)r->batch->row_start[s + 1];
    size_t first = start + (node->skips_prompt ? (size_t)r->batch->n_prompt_rows : 0);
    if (first > end) first = end;
    if (first == end && pool == TERN_POOL_CLS) first = start;
    for (size_t c = 0; c < n; c++) {
        double y = pool == TERN_POOL_MAX ? -INFINITY : 0, e = 0, size = 0, weights = 0;
        for (size_t i = first; i < end; i++) {
            if (pool == TERN_POOL_CLS && i > first) break;
            if (pool == TERN_POOL_LAST_TOKEN && i + 1 < end) continue;
            const double weight = pool == TERN_POOL_WEIGHTED_MEAN ? (double)(i - start + 1) : 1;
            const double x = r->y[from][i * n + c], ex = r->e[from][i * n + c];
            if (pool == TERN_POOL_MAX) y = fmax(y, x), e = fmax(e, ex);
            else y += weight * x, e += weight * ex;
            size += weight * fabs(x);
            weights += weight;
        }
        const bool is_exact = pool == TERN_POOL_MAX || pool == TERN_POOL_CLS || pool == TERN_POOL_LAST_TOKEN;
        const double divisor = is_exact || pool == TERN_POOL_SUM || first == end ? 1
                               : pool == TERN_POOL_MEAN_SQRT_LEN                 ? sqrt(weights)
                                                                                 : weights;
        r->y[to][s * n + c] = y / divisor;
        r->e[to][s * n + c] = is_exact ? e : (e + op_bound[TERN_OP_POOL] * size) / divisor;
    }
}

static inline void reference_normalize(const reference *r, const tern_node *node, size_t i) {
    const int from = node->inputs[0].index, to = node->output.index;
    const size_t n = (size_t)r->program->values[to].width;
    double squares = 0, most = 0;
    for (size_t c = 0; c < n; c++) squares += r->y[from][i * n + c] * r->y[from][i * n + c], most = fmax(most, r->e[from][i * n + c]);
    const double norm = fmax(sqrt(squares), 1e-12);
    for (size_t c = 0; c < n; c++) {
        const double y = r->y[from][i * n + c] / norm;
        r->y[to][i * n + c] = y;
        r->e[to][i * n + c] = (r->e[from][i * n + c] + fabs(y) * sqrt((double)n) * most) / norm + op_bound[TERN_OP_NORMALIZE] * fabs(y);
    }
}

static inline void reference_rope(const reference *r, const tern_node *node, size_t i) {
    const int from = node->inputs[0].index, to = node->output.index;
    const size_t n = (size_t)r->program->values[to].width, d = (size_t)node->rope.head_dim, half = d / 2;
    const float position = (float)reference_integers(r, node->inputs[1])[i];
    for (size_t c = 0; c < n; c++) {
        const size_t at = c % d, pair = at < half ? c + half : c - half;
        const double angle = (double)(position * tern__rope_frequency(node->rope.theta, (int32_t)(at % half), node->rope.head_dim));
        const double x = r->y[from][i * n + c] * cos(angle), other = r->y[from][i * n + pair] * sin(angle);
        r->y[to][i * n + c] = at < half ? x - other : x + other;
        r->e[to][i * n + c] = r->e[from][i * n + c] + r->e[from][i * n + pair] + op_bound[TERN_OP_ROPE] * (fabs(x) + fabs(other));
    }
}

static inline void reference_row(const reference *r, const tern_node *node, size_t i) {
    const int a = node->n_inputs > 0 ? node->inputs[0].index : 0, b = node->n_inputs > 1 ? node->inputs[1].index : 0,
              to = node->output.index;
    const size_t n = (size_t)r->program->values[to].width, n_a = (size_t)r->program->values[a].width;
    double *y = r->y[to] + i * n, *e = r->e[to] + i * n;
    for (size_t c = 0; c < n; c++) {
        if (node->op == TERN_OP_EMBEDDING) {
            y[c] = reference_weight(r, node, 0, (size_t)reference_integers(r, node->inputs[0])[i] * n + c);
            e[c] = r->dtype->lookup * fabs(y[c]) + (r->dtype->lookup > 0 ? r->dtype->smallest / r->dtype->u : 0);
        } else if (node->op == TERN_OP_ADD) {
            y[c] = r->y[a][i * n + c] + r->y[b][i * n + c];
            e[c] = r->e[a][i * n + c] + r->e[b][i * n + c] + op_bound[TERN_OP_ADD] * fabs(y[c]);
        } else if (node->op == TERN_OP_MULTIPLY) {
            y[c] = r->y[a][i * n + c] * r->y[b][i * n + c];
            e[c] = r->e[a][i * n + c] * fabs(r->y[b][i * n + c]) + r->e[b][i * n + c] * fabs(r->y[a][i * n + c]) +
                   op_bound[TERN_OP_MULTIPLY] * fabs(y[c]);
        } else if (node->op == TERN_OP_SCALE) {
            double sum = 0, size = 0;
            for (size_t k = 0; k < (size_t)r->program->weights[node->weights[0]].shape[0]; k++) {
                const double weight = reference_weight(r, node, 0, k);
                sum += weight, size += fabs(weight);
            }
            const double factor = reference_weight(r, node, 0, (size_t)node->element) / sum;
            y[c] = r->y[a][i * n + c] * factor;
            e[c] = r->e[a][i * n + c] * fabs(factor) + op_bound[TERN_OP_SCALE] * fabs(y[c]) * size / fabs(sum);
        } else if (node->op == TERN_OP_CONCAT) {
            const int from = c < n_a ? a : b;
            const size_t at = c < n_a ? i * n_a + c : i * (n - n_a) + c - n_a;
            y[c] = r->y[from][at];
            e[c] = r->e[from][at];
        } else if (node->op == TERN_OP_TAKE) {
            y[c] = r->y[a][(size_t)r->batch->picks[i] * n + c];
            e[c] = r->e[a][(size_t)r->batch->picks[i] * n + c];
        } else if (node->op == TERN_OP_UNFOLD) {
            int64_t s = 0;
            while (r->batch->row_start[s + 1] <= (int64_t)i) s++;
            y[c] = e[c] = 0;
            for (int64_t j = r->batch->row_start[s]; j < r->batch->row_start[s + 1]; j++) {
                const int32_t *columns = reference_integers(r, node->inputs[1]);
                if (columns[j] - columns[i] != (int32_t)(c % (size_t)node->kernel_size) - node->kernel_size / 2) continue;
                y[c] = r->y[a][(size_t)j * n_a + c / (size_t)node->kernel_size];
                e[c] = r->e[a][(size_t)j * n_a + c / (size_t)node->kernel_size];
            }
        } else if (node->op == TERN_OP_SLICE) {
            y[c] = r->y[a][i * n_a + (size_t)node->slice.start + c];
            e[c] = r->e[a][i * n_a + (size_t)node->slice.start + c];
        } else {
            reference_activate(node->op, r->y[a][i * n + c], r->e[a][i * n + c], &y[c], &e[c]);
        }
    }
}

static inline void reference_node(const reference *r, const tern_node *node) {
    if (node->op == TERN_OP_INPUT) return;
    if (node->op == TERN_OP_LINEAR) {
        reference_linear(r, node);
        return;
    }
    const size_t n_rows = reference_rows(r, node->output);
    if (node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || node->op == TERN_OP_DISENTANGLED_ATTENTION) {
        for (size_t h = 0; h < (size_t)node->attention.n_heads; h++) {
            double *by_row = reference_table(r, node, h);
            for (int64_t s = 0; s < r->batch->n_sequences; s++)
                for (int64_t i = r->batch->row_start[s]; i < r->batch->row_start[s + 1]; i++)
                    reference_attend(r, node, (size_t)r->batch->row_start[s], (size_t)r->batch->row_start[s + 1], (size_t)i, h, by_row);
            free(by_row);
        }
        return;
    }
    for (size_t i = 0; i < n_rows; i++) {
        if (node->op == TERN_OP_LAYER_NORM) reference_layer_norm(r, node, i);
        else if (node->op == TERN_OP_POOL) reference_pool(r, node, i);
        else if (node->op == TERN_OP_NORMALIZE) reference_normalize(r, node, i);
        else if (node->op == TERN_OP_ROPE) reference_rope(r, node, i);
        else reference_row(r, node, i);
    }
}

/* Run a program of core ops; reference_free releases what it made. */
static inline reference reference_run(const tern_program *program, const tern_batch *batch, const reference_dtype *dtype) {
    reference r = {.program = program, .dtype = dtype, .batch = batch};
    r.y = calloc((size_t)program->n_values, sizeof *r.y);
    r.e = calloc((size_t)program->n_values, sizeof *r.e);
    for (int32_t v = 1; v < program->n_values; v++) {
        const size_t elements = reference_rows(&r, (tern_value){v}) * (size_t)program->values[v].width;
        r.y[v] = calloc(elements, sizeof(double));
        r.e[v] = calloc(elements, sizeof(double));
    }
    for (int32_t n = 0; n < program->n_nodes; n++) reference_node(&r, &program->nodes[n]);
    return r;
}

static inline void reference_free(reference *r) {
    for (int32_t v = 0; v < r->program->n_values; v++) {
        free(r->y[v]);
        free(r->e[v]);
    }
    free(r->y);
    free(r->e);
}

#endif
