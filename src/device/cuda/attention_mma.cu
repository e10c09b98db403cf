/* attention_mma.cu - softmax(scale q transpose(k) + bias) v of packed sequences on the tensor cores, float16 and bfloat16, with windows and
 * relative biases.
 *
 * A block has 64 queries of one head, a warp 16 of them, whose rows stay in registers; keys and values pass through shared memory 64 at a
 * time, values while the scores are computed. Scores, the running maximum and sum (Milakov and Gimelshein 2018, arXiv:1805.02867) and the
 * result are float32 in registers; weights are rounded to the storage type for the second product (Dao 2023, arXiv:2307.08691).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/mma.cuh"

#define WARPS   4
#define THREADS (WARPS * 32)
#define KEYS    64
#define LOG2E   1.4426950408889634f

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* KEYS rows of one head, D columns of which head_dim are there, behind each other with 16 bytes in between. */
template <typename T, int D> static __device__ __forceinline__ void copy_rows(T *to, const T *from, int64_t ld, int n, int head_dim) {
    constexpr int PIECES = D / 8;
#pragma unroll
    for (int i = 0; i < KEYS * PIECES / THREADS; i++) {
        const int piece = i * THREADS + threadIdx.x, r = piece / PIECES, c = piece % PIECES * 8;
        const bool valid = r < n && c < head_dim;
        copy_16(to + r * (D + 8) + c, valid ? from + r * ld + c : from, valid);
    }
    copy_commit();
}

/* Largest and sum over the four lanes that share a row. */
static __device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
static __device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* Scores of two rows and 64 keys become powers of two to the difference from the maximum; the sums so far are scaled to it. */
template <int D> static __device__ __forceinline__ void soften(float (*s)[4], float *most, float *sum, float (*y)[4]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float grown = most[h];
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) grown = fmaxf(grown, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
        grown = quad_max(grown);
        const float base = grown > -INFINITY ? grown : 0.0f, factor = exp2f(most[h] - base);
        float added = 0;
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
            s[j][2 * h] = exp2f(s[j][2 * h] - base), s[j][2 * h + 1] = exp2f(s[j][2 * h + 1] - base);
            added += s[j][2 * h] + s[j][2 * h + 1];
        }
        most[h] = grown;
        sum[h] = sum[h] * factor + added;
#pragma unroll
        for (int j = 0; j < D / 8; j++) y[j][2 * h] *= factor, y[j][2 * h + 1] *= factor;
    }
}

/* Scale, mask and bias; scores come out in units of log 2. */
static __device__ __forceinline__ void weigh(float (*s)[4], const tern_cuda_attention &a, int head, int n, const int32_t *key_columns,
                                             const int *query_columns) {
    const int quad = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int key = 8 * j + 2 * quad + i % 2;
            float score = s[j][i] * (a.scale * LOG2E);
            if (key >= n) {
                score = -INFINITY;
            } else if (key_columns != NULL) {
                const int distance = key_columns[key] - query_columns[i / 2];
                if (abs(distance) > a.window) score = -INFINITY;
                else if (a.bias != NULL)
                    score += LOG2E * a.bias[(int64_t)head * (2 * a.reach + 1) + a.reach + max(-a.reach, min(a.reach, distance))];
            }
            s[j][i] = score;
        }
}

/* s [16][KEYS] = q k */
template <typename T, int D> static __device__ __forceinline__ void multiply_keys(float (*s)[4], const uint32_t (*q)[4], const T *keys) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < KEYS / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) s[j][i] = 0;
#pragma unroll
        for (int c = 0; c < D / 32; c++) {
            uint32_t b[4];
            load_matrices(b, keys + (8 * j + lane % 8) * (D + 8) + 32 * c + lane / 8 * 8);
            mma(s[j], q[2 * c], b[0], b[1], T());
            mma(s[j], q[2 * c + 1], b[2], b[3], T());
        }
    }
}

/* y [16][D] += s v */
template <typename T, int D> static __device__ __forceinline__ void multiply_values(float (*y)[4], const float (*s)[4], const T *values) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        const uint32_t p[4] = {pack(s[2 * k][0], s[2 * k][1], T()), pack(s[2 * k][2], s[2 * k][3], T()),
                               pack(s[2 * k + 1][0], s[2 * k + 1][1], T()), pack(s[2 * k + 1][2], s[2 * k + 1][3], T())};
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            uint32_t b[4];
            load_matrices_transposed(b, values + (16 * k + lane / 8 % 2 * 8 + lane % 8) * (D + 8) + 16 * c + lane / 16 * 8);
            mma(y[2 * c], p, b[0], b[1], T());
            mma(y[2 * c + 1], p, b[2], b[3], T());
        }
    }
}

/* Two neighbouring elements; zeros where they are not there. */
template <typename T> static __device__ __forceinline__ uint32_t pair_at(const T *row, int c, bool valid) {
    return valid ? *(const uint32_t *)(row + c) : 0u;
}

template <typename T, int D> static __device__ __forceinline__ void attend(const tern_cuda_attention &a, T *keys, T *values) {
    const tern_cuda_tile tile = a.tiles[blockIdx.x];
    if (tile.sequence < 0) return;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y;
    const int start = a.row_start[tile.sequence], n_keys = a.row_start[tile.sequence + 1] - start;
    const int n_queries = min(TERN_CUDA_TILE_MMA, n_keys - tile.first);
    const int64_t column = (int64_t)head * a.head_dim;
    const T *k = (const T *)a.k.data + start * a.k.ld + column, *v = (const T *)a.v.data + start * a.v.ld + column;
    const int rows[2] = {warp * 16 + lane / 4, warp * 16 + lane / 4 + 8}; /* of the tile */
    uint32_t q[D / 16][4];
    const T *q_rows = (const T *)a.q.data + (start + tile.first) * a.q.ld + column;
#pragma unroll
    for (int c = 0; c < D / 16; c++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = 16 * c + 8 * (i / 2) + 2 * (lane % 4);
            q[c][i] = pair_at(q_rows + rows[i % 2] * a.q.ld, at, rows[i % 2] < n_queries && at < a.head_dim);
        }
    const int32_t *columns = a.columns != NULL ? a.columns + start : NULL;
    int query_columns[2] = {}, low = 0, high = 0;
    if (columns != NULL) {
        low = columns[tile.first], high = columns[tile.first + n_queries - 1];
        for (int h = 0; h < 2; h++) query_columns[h] = columns[tile.first + min(rows[h], n_queries - 1)];
    }
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {}, y[D / 8][4] = {};
    for (int key = 0; key < n_keys; key += KEYS) {
        const int n = min(KEYS, n_keys - key);
        if (columns != NULL && ((int64_t)columns[key] - high > a.window || (int64_t)low - columns[key + n - 1] > a.window)) continue;
        __syncthreads();
        copy_rows<T, D>(keys, k + key * a.k.ld, a.k.ld, n, a.head_dim);
        copy_rows<T, D>(values, v + key * a.v.ld, a.v.ld, n, a.head_dim);
        copy_wait<1>();
        __syncthreads();
        float s[KEYS / 8][4];
        const bool works = warp * 16 < n_queries;
        if (works) {
            multiply_keys<T, D>(s, q, keys);
            weigh(s, a, head, n, columns != NULL ? columns + key : NULL, query_columns);
            soften<D>(s, most, sum, y);
        }
        copy_wait<0>();
        __syncthreads();
        if (works) multiply_values<T, D>(y, s, values);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float total = quad_sum(sum[h]);
        if (rows[h] >= n_queries) continue;
        T *to = (T *)a.y.data + (start + tile.first + rows[h]) * a.y.ld + column;
#pragma unroll
        for (int j = 0; j < D / 8; j++)
            if (8 * j < a.head_dim) *(uint32_t *)(to + 8 * j + 2 * (lane % 4)) = pack(y[j][2 * h] / total, y[j][2 * h + 1] / total, T());
    }
}

#endif

template <typename T, int D> static __global__ void __launch_bounds__(THREADS) attention_mma_kernel(const tern_cuda_attention a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    __shared__ __align__(16) T keys[KEYS * (D + 8)], values[KEYS * (D + 8)];
    begin();
    attend<T, D>(a, keys, values);
#endif
}

template <typename T> static cudaError_t launch(cudaStream_t stream, const tern_cuda_attention *a) {
    const dim3 grid((unsigned)a->n_tiles, (unsigned)a->n_heads);
    if (a->head_dim <= 32) return launch_kernel(stream, attention_mma_kernel<T, 32>, grid, THREADS, 0, *a);
    if (a->head_dim <= 64) return launch_kernel(stream, attention_mma_kernel<T, 64>, grid, THREADS, 0, *a);
    if (a->head_dim <= 96) return launch_kernel(stream, attention_mma_kernel<T, 96>, grid, THREADS, 0, *a);
    return launch_kernel(stream, attention_mma_kernel<T, 128>, grid, THREADS, 0, *a);
}

bool tern__cuda_attention_mma_takes(tern_cuda_type type, int32_t head_dim, int capability) {
    return type != TERN_CUDA_F32 && head_dim % 8 == 0 && head_dim <= 128 && capability >= 80;
}

cudaError_t tern__cuda_attention_mma(cudaStream_t stream, const tern_cuda_attention *a) {
    return a->type == TERN_CUDA_F16 ? launch<f16>(stream, a) : launch<bf16>(stream, a);
}
