/* kernels.h - what the .cu files offer to the C files: a function a kernel, which launches it on a stream and reports what the launch
 * says. Rows are packed; ld is in elements. Rows past the batch's own, up to the bucket's, hold anything and are computed like others.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_KERNELS_H
#define TERN_DEVICE_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "program/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What activations and weights are stored as. Sums are float32 in the first three. The last two, float8_e4m3fn and int8, are for operands
 * of products alone: each row, of weights or of activations, has a float32 scale. */
typedef enum tern_cuda_type { TERN_CUDA_F32, TERN_CUDA_F16, TERN_CUDA_BF16, TERN_CUDA_E4M3, TERN_CUDA_I8 } tern_cuda_type;

/* A matrix on the device. */
typedef struct tern_cuda_rows {
    void *data;
    int64_t ld;
} tern_cuda_rows;

typedef struct tern_cuda_shape {
    int64_t n_rows;
    int32_t width;
    tern_cuda_type type;
} tern_cuda_shape;

/* Elements start ... start + n - 1 of a dense matrix of `columns` columns, from `dtype`, which `from` holds from element `start` on, into
 * rows of ld elements. */
cudaError_t tern__cuda_convert(cudaStream_t stream, tern_cuda_rows to, tern_cuda_type type, const void *from, tern_dtype dtype,
                               int64_t start, int64_t n, int32_t columns);

/* y[r] = table[ids[r]] */
cudaError_t tern__cuda_embedding(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows table, const int32_t *ids, tern_cuda_shape shape);
/* op: ADD, MULTIPLY, or an activation, of which b is ignored. y may be a or b. */
cudaError_t tern__cuda_elementwise(cudaStream_t stream, tern_op op, tern_cuda_rows y, tern_cuda_rows a, tern_cuda_rows b,
                                   tern_cuda_shape shape);
/* y = layer_norm(a) or, where b.data is not NULL, layer_norm(a + b). weight, bias (NULL: none): float32. */
cudaError_t tern__cuda_layer_norm(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows a, tern_cuda_rows b, const float *weight,
                                  const float *bias, float eps, tern_cuda_shape shape);
/* y = layer_norm of the sum of n rows, 1 to 3, each of a table. */
typedef struct tern_cuda_lookup {
    tern_cuda_rows table;
    const int32_t *ids;
} tern_cuda_lookup;
cudaError_t tern__cuda_embedding_layer_norm(cudaStream_t stream, tern_cuda_rows y, const tern_cuda_lookup *lookups, int n,
                                            const float *weight, const float *bias, float eps, tern_cuda_shape shape);
cudaError_t tern__cuda_normalize(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, tern_cuda_shape shape);
/* table [position][head_dim]: cosines, then sines, of half a head each. */
cudaError_t tern__cuda_rope(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const float *table, const int32_t *positions,
                            int32_t head_dim, tern_cuda_shape shape);
/* n_sequences sequences; shape: y's. */
cudaError_t tern__cuda_unfold(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *row_start, int64_t n_sequences,
                              const int32_t *columns, int32_t kernel_size, tern_cuda_shape shape);
/* shape.n_rows sequences, each without its first n_prompt rows. */
cudaError_t tern__cuda_pool(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *row_start, tern_pool pool,
                            int32_t n_prompt, tern_cuda_shape shape);
/* x times factor to the columns of y from `column` on; shape: x's. */
cudaError_t tern__cuda_scale(cudaStream_t stream, tern_cuda_rows y, int32_t column, tern_cuda_rows x, float factor, tern_cuda_shape shape);
cudaError_t tern__cuda_take(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *picks, tern_cuda_shape shape);
/* Dense float32 rows. */
cudaError_t tern__cuda_store(cudaStream_t stream, float *to, tern_cuda_rows x, tern_cuda_shape shape);

/* A tile: queries first ... first + TILE - 1, as far as they are there, of the sequence of n_rows rows from row `start` on. */
typedef struct tern_cuda_tile {
    int32_t start, n_rows, first;
} tern_cuda_tile;

#define TERN_CUDA_MAX_HEAD_DIM 256

typedef struct tern_cuda_attention {
    tern_cuda_rows q, k, v, y;
    tern_cuda_type type;
    int32_t n_heads, head_dim;
    float scale;
    const tern_cuda_tile *tiles; /* [n_tiles]; n_rows 0: none */
    int32_t n_tiles;
    const int32_t *columns; /* NULL: neither window nor bias nor table */
    int32_t window;
    const float *bias; /* [n_heads][2 reach + 1], by key's column - query's; NULL: none */
    int32_t reach;
    /* Disentangled: float32 tables [n_table_rows][n_heads * head_dim], NULL: without, and their row by query's column - key's. */
    const float *table_keys, *table_queries;
    const int32_t *table_row; /* [2 reach + 1] */
} tern_cuda_attention;

#define TERN_CUDA_TILE 32 /* queries of a tile in tern__cuda_attention */
cudaError_t tern__cuda_attention(cudaStream_t stream, const tern_cuda_attention *attention);
/* On tensor cores: float16, bfloat16 and float32 as TF32, rows at multiples of 16 bytes, no table of distances. Does it take such heads? */
#define TERN_CUDA_TILE_MMA 64
bool tern__cuda_attention_mma_takes(tern_cuda_type type, bool is_tf32, int32_t head_dim, int capability);
cudaError_t tern__cuda_attention_mma(cudaStream_t stream, const tern_cuda_attention *attention);
/* The same by Hopper's instructions of a warpgroup, where this build has them. */
bool tern__cuda_attention_wgmma_takes(tern_cuda_type type, int32_t head_dim, int capability);
cudaError_t tern__cuda_attention_wgmma(cudaStream_t stream, const tern_cuda_attention *attention);

/* All layers of a BERT, for one sequence (encoder.cu). Each is
 *   h = layer_norm(x + linear(attention(linear(x)))), y = layer_norm(h + linear(gelu(linear(h)))) */
#define TERN_CUDA_ENCODER_ROWS   32 /* at most */
#define TERN_CUDA_ENCODER_LAYERS 24
typedef struct tern_cuda_encoder_layer {
    /* Of its linears, [out][in] and [out]: queries, keys and values one below the other, then as above; of its norms. */
    const void *weights[4], *biases[4];
    const float *scales[2], *shifts[2];
} tern_cuda_encoder_layer;
typedef struct tern_cuda_encoder {
    tern_cuda_encoder_layer layers[TERN_CUDA_ENCODER_LAYERS];
    int32_t n_layers, head_dim;
    float scale, eps;         /* of attention, of the norms */
    tern_cuda_rows x, y;      /* rows without gaps */
    void *exchange;           /* tern__cuda_encoder_exchange_bytes */
    const int32_t *row_start; /* [2] */
    uint32_t *barrier;        /* 0 when the kernel begins */
} tern_cuda_encoder;
/* within: the width between the last two linears. */
bool tern__cuda_encoder_takes(tern_cuda_type type, int32_t width, int32_t within, int32_t head_dim, int capability, int n_multiprocessors);
size_t tern__cuda_encoder_exchange_bytes(int32_t width);
/* shape: y's, of at most TERN_CUDA_ENCODER_ROWS rows. */
cudaError_t tern__cuda_encode(cudaStream_t stream, const tern_cuda_encoder *encoder, tern_cuda_shape shape, int n_multiprocessors);

/* y = activation(x transpose(weight) + bias) + residual */
typedef struct tern_cuda_product {
    tern_cuda_rows x, weight, y, residual; /* residual.data NULL: none */
    const void *bias;                      /* of the storage type; NULL: none */
    tern_op activation;                    /* INPUT: none */
    int64_t m;
    int32_t n, k;
    tern_cuda_type type;
    bool is_tf32;
    /* Weights of 8 bits, else weight_type is `type` and the rest is empty. */
    tern_cuda_type weight_type;
    const float *weight_scales; /* [n] */
    tern_cuda_rows narrow_x;    /* room for x in weight_type, rows at multiples of 16 bytes */
    float *narrow_scales;       /* [m]: room for its scales */
    tern_cuda_rows sums;        /* room for sums, [m][n]: float32 or, of int8, int32 */
} tern_cuda_product;

/* x as rows of 8-bit elements, each with a scale. shape: x's. */
cudaError_t tern__cuda_quantize(cudaStream_t stream, tern_cuda_rows q, float *scales, tern_cuda_type narrow_type, tern_cuda_rows x,
                                tern_cuda_shape shape);
/* y = activation(sums scaled by row and column + bias) + residual */
cudaError_t tern__cuda_scale_sums(cudaStream_t stream, const tern_cuda_product *product);

/* On tensor cores, with few rows: float16, bfloat16 and TF32, weights also of 8 bits. Does it take this one on a GPU of such a capability?
 */
bool tern__cuda_skinny_takes(const tern_cuda_product *product, int capability);
cudaError_t tern__cuda_skinny(cudaStream_t stream, const tern_cuda_product *product);

#ifdef __cplusplus
}
#endif

#endif
