/* kernels.h - the CPU's kernels as a table of functions: filled by the scalar level, then overwritten upward by each level that the
 * machine has. Kernels allocate nothing, know no thread and no program; rows are float, `ld` floats apart, of any alignment.
 *
 * Every reduction runs in an order that depends on its length and the level alone, so a row has the same bits however rows are split.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CPU_KERNELS_H
#define TERN_DEVICE_CPU_KERNELS_H

#include <stddef.h>

#include "program/program.h"

/* Keys of one attention step: a sequence of at most so many has its softmax in one piece, a longer one piece by piece. */
#define TERN_ATTENTION_KEYS 512

/* y = activation(x * transpose(weight) + bias) + residual. The weight is packed: panels of nr columns (rows of the weight), each k-major
 * [k][nr], the last one filled up with zeros; so is the bias, to n_panels * nr floats. */
typedef struct tern_gemm {
    const float *x;
    size_t ldx;
    const float *panels;   /* [n_panels][k][nr] */
    const float *bias;     /* [n_panels * nr] */
    size_t k, n;           /* n: columns of y */
    const float *residual; /* NULL: none */
    size_t ld_residual;
    float *y;
    size_t ldy;
    tern_op activation; /* TERN_OP_INPUT: none */
} tern_gemm;

/* One head of one sequence. q, k, v, y: its first row, at the head's first column. */
typedef struct tern_attention_head {
    const float *q, *k, *v;
    size_t ldq, ldk, ldv;
    float *y;
    size_t ldy;
    size_t n_tokens, head_dim;
    float scale;
    const int32_t *columns; /* [n_tokens], ascending; NULL: neither window nor bias */
    int32_t window;         /* keys further away do not count */
    const float *bias;      /* of a key `distance` columns behind the query: bias[distance], -reach ... reach; NULL: none */
    int32_t reach;
    /* Disentangled: rows of the head's part of K and Q (NULL: without), ld_table floats apart; the row for a key `distance` columns before
     * the query is table_row[distance], -reach ... reach, which never falls as the distance grows. */
    const float *table_keys, *table_queries;
    size_t ld_table, n_table_rows; /* 0 rows: not disentangled */
    const int32_t *table_row;
    float *scratch; /* attention_scratch(head_dim, ..) floats, aligned */
} tern_attention_head;

typedef struct tern_kernels {
    const char *isa;
    size_t mr, nr; /* rows and columns of the GEMM's register tile */
    /* Rows row ... row + n_rows - 1 of panels panel ... panel + n_panels - 1. */
    void (*gemm)(const tern_gemm *g, size_t row, size_t n_rows, size_t panel, size_t n_panels);
    /* Queries query ... query + n_queries - 1. */
    void (*attention)(const tern_attention_head *h, size_t query, size_t n_queries);
    size_t (*attention_scratch)(size_t head_dim, size_t n_tokens, size_t n_queries, size_t n_table_rows);
    /* One row each; y may be a or x. */
    void (*add)(float *y, const float *a, const float *b, size_t n);
    void (*multiply)(float *y, const float *a, const float *b, size_t n);
    /* Heads of head_dim floats; angles: head_dim / 2 cosines, then as many sines. */
    void (*rope)(float *y, const float *x, const float *angles, size_t n_heads, size_t head_dim);
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, size_t n, float eps);
    void (*activation)(float *y, const float *x, size_t n, tern_op op);
    void (*normalize)(float *y, const float *x, size_t n);
    void (*scale)(float *y, const float *x, size_t n, float factor);
    /* Rows of one sequence, of which n_before come before x, to one row. */
    void (*pool)(float *y, const float *x, size_t ldx, size_t n_rows, size_t n, tern_pool pool, size_t n_before);
} tern_kernels;

void tern__kernels_scalar(tern_kernels *kernels);
#if defined(__x86_64__)
void tern__kernels_avx2(tern_kernels *kernels);
void tern__kernels_avx512(tern_kernels *kernels);
#endif

#endif
