/* attention.cu - softmax(scale q transpose(k) + bias) v of packed sequences in float32 arithmetic, for every kind of mask and bias: what
 * float32 and tf32 run, and the other types where the tensor cores' kernel does not apply.
 *
 * A block has a tile of queries of one head. A warp has four of them; in the scores a lane has one key of 32, in the sums every 32nd
 * column. The softmax keeps a running maximum and sum for each query (Milakov and Gimelshein 2018, arXiv:1805.02867). Keys are taken from
 * the sequence's first on, 32 at a time, so a query's result depends on its sequence alone.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/elements.cuh"

#define QUERIES 4 /* of a warp */
#define WARPS   (TERN_CUDA_TILE / QUERIES)
#define THREADS (WARPS * 32)
#define KEYS    32

/* Shared memory, in floats: queries [TILE][stride], keys or values [KEYS][stride], weights [WARPS][QUERIES][KEYS]. The stride is a multiple
 * of 4 that is odd in 16 bytes, so that neighbouring rows begin in different banks. */
static __host__ __device__ int stride_of(int head_dim) {
    return (head_dim + 3) / 4 % 2 == 0 ? (head_dim + 3) / 4 * 4 + 4 : (head_dim + 3) / 4 * 4;
}
static size_t shared_bytes(int head_dim) {
    return sizeof(float) * ((size_t)(TERN_CUDA_TILE + KEYS) * (size_t)stride_of(head_dim) + WARPS * QUERIES * KEYS);
}

/* Rows first ... first + n - 1, one head of them, times scale; zeros behind n and behind head_dim. */
template <typename T>
static __device__ void load_rows(float *to, int stride, const T *from, int64_t ld, int n, int rows, int head_dim, float scale) {
    for (int i = threadIdx.x; i < rows * stride; i += THREADS) {
        const int r = i / stride, c = i % stride;
        to[i] = r < n && c < head_dim ? to_float(from[r * ld + c]) * scale : 0.0f;
    }
}

static __device__ __forceinline__ int clamp_to(int distance, int reach) { return max(-reach, min(reach, distance)); }

static __device__ float dot(const float *a, const float *b, int n) {
    float sum = 0;
    for (int c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

/* What the distance of a query and a key adds to their score: -infinity where the key does not count. */
static __device__ float distance_score(const tern_cuda_attention &a, int head, int distance, const float *q, const float *k) {
    if (abs(distance) > a.window) return -INFINITY;
    float score = 0;
    if (a.bias != NULL) score += a.bias[(int64_t)head * (2 * a.reach + 1) + a.reach + clamp_to(distance, a.reach)];
    if (a.table_row != NULL) {
        const int64_t row = a.table_row[a.reach + clamp_to(-distance, a.reach)];
        const int64_t at = row * a.n_heads * a.head_dim + head * a.head_dim;
        if (a.table_keys != NULL) score += dot(q, a.table_keys + at, a.head_dim);
        if (a.table_queries != NULL) score += dot(k, a.table_queries + at, a.head_dim) * a.scale;
    }
    return score;
}

/* COLUMNS: head_dim in steps of 32. */
template <typename T, int COLUMNS> static __global__ void __launch_bounds__(THREADS) attention_kernel(const tern_cuda_attention a) {
    DYNAMIC_SHARED(shared);
    begin();
    const tern_cuda_tile tile = a.tiles[blockIdx.x];
    if (tile.n_rows == 0) return;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y, stride = stride_of(a.head_dim);
    float *queries = (float *)shared, *rows = queries + TERN_CUDA_TILE * stride;
    float *weights = rows + KEYS * stride + warp * QUERIES * KEYS;
    const int start = tile.start, n_keys = tile.n_rows;
    const int n_queries = min(TERN_CUDA_TILE, n_keys - tile.first), first_query = warp * QUERIES;
    const int64_t column = (int64_t)head * a.head_dim, first_row = start + tile.first;
    load_rows(queries, stride, (const T *)a.q.data + first_row * a.q.ld + column, a.q.ld, n_queries, TERN_CUDA_TILE, a.head_dim, a.scale);
    const int32_t *columns = a.columns != NULL ? a.columns + start : NULL;
    int query_column[QUERIES], tile_low = 0, tile_high = 0;
    if (columns != NULL) {
        tile_low = columns[tile.first], tile_high = columns[tile.first + n_queries - 1];
#pragma unroll
        for (int i = 0; i < QUERIES; i++) query_column[i] = columns[tile.first + min(first_query + i, n_queries - 1)];
    }
    float most[QUERIES], sum[QUERIES], y[QUERIES][COLUMNS];
#pragma unroll
    for (int i = 0; i < QUERIES; i++) {
        most[i] = -INFINITY, sum[i] = 0;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) y[i][j] = 0;
    }
    for (int key = 0; key < n_keys; key += KEYS) {
        const int n = min(KEYS, n_keys - key);
        if (columns != NULL && ((int64_t)columns[key] - tile_high > a.window || (int64_t)tile_low - columns[key + n - 1] > a.window))
            continue;
        __syncthreads();
        load_rows(rows, stride, (const T *)a.k.data + (int64_t)(start + key) * a.k.ld + column, a.k.ld, n, KEYS, a.head_dim, 1.0f);
        __syncthreads();
        float s[QUERIES] = {};
        for (int c = 0; c < (a.head_dim + 3) / 4; c++) {
            const float4 k = *(const float4 *)(rows + lane * stride + 4 * c);
#pragma unroll
            for (int i = 0; i < QUERIES; i++) {
                const float4 q = *(const float4 *)(queries + (first_query + i) * stride + 4 * c);
                s[i] += q.x * k.x, s[i] += q.y * k.y, s[i] += q.z * k.z, s[i] += q.w * k.w;
            }
        }
#pragma unroll
        for (int i = 0; i < QUERIES; i++) {
            if (columns != NULL && lane < n)
                s[i] += distance_score(a, head, columns[key + lane] - query_column[i], queries + (first_query + i) * stride,
                                       rows + lane * stride);
            if (lane >= n) s[i] = -INFINITY;
            const float grown = fmaxf(most[i], warp_max(s[i])), base = grown > -INFINITY ? grown : 0.0f;
            const float e = expf(s[i] - base), factor = expf(most[i] - base);
            most[i] = grown;
            sum[i] = sum[i] * factor + warp_sum(e);
            weights[i * KEYS + lane] = e;
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) y[i][j] *= factor;
        }
        __syncthreads();
        load_rows(rows, stride, (const T *)a.v.data + (int64_t)(start + key) * a.v.ld + column, a.v.ld, n, KEYS, a.head_dim, 1.0f);
        __syncthreads();
        for (int r = 0; r < n; r++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                const int c = lane + 32 * j;
                const float v = c < stride ? rows[r * stride + c] : 0.0f;
#pragma unroll
                for (int i = 0; i < QUERIES; i++) y[i][j] += weights[i * KEYS + r] * v;
            }
    }
#pragma unroll
    for (int i = 0; i < QUERIES; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            const int c = lane + 32 * j, query = first_query + i;
            if (c < a.head_dim && query < n_queries)
                ((T *)a.y.data)[(first_row + query) * a.y.ld + column + c] = from_float<T>(y[i][j] / sum[i]);
        }
}

template <typename T, int COLUMNS> static cudaError_t launch(cudaStream_t stream, const tern_cuda_attention *a) {
    return launch_kernel(stream, attention_kernel<T, COLUMNS>, dim3((unsigned)a->n_tiles, (unsigned)a->n_heads), THREADS,
                         shared_bytes(a->head_dim), *a);
}

template <typename T> static cudaError_t launch_type(cudaStream_t stream, const tern_cuda_attention *a) {
    if (a->head_dim <= 32) return launch<T, 1>(stream, a);
    if (a->head_dim <= 64) return launch<T, 2>(stream, a);
    if (a->head_dim <= 128) return launch<T, 4>(stream, a);
    return launch<T, 8>(stream, a);
}

cudaError_t tern__cuda_attention(cudaStream_t stream, const tern_cuda_attention *a) {
    if (a->type == TERN_CUDA_F32) return launch_type<float>(stream, a);
    if (a->type == TERN_CUDA_F16) return launch_type<f16>(stream, a);
    return launch_type<bf16>(stream, a);
}
