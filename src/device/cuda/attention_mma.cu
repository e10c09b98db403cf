/* attention_mma.cu - softmax(scale q transpose(k) + bias) v of packed sequences on the tensor cores, float16, bfloat16 and float32 as TF32,
 * with windows and relative biases.
 *
 * A block has 64 queries of one head, a warp 16 of them, whose rows stay in registers; keys and values pass through shared memory 64 at a
 * time, the next ones on their way while these are computed with. Scores, the running maximum and sum (Milakov and Gimelshein 2018,
 * arXiv:1805.02867) and the result are float32 in registers; weights are rounded to the storage type for the second product (Dao 2023,
 * arXiv:2307.08691).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/mma.cuh"

#define WARPS   4
#define THREADS (WARPS * 32)
#define KEYS    64
#define LOG2E   1.4426950408889634f

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* Bytes of a row of a head in shared memory: those of D elements, and 16 more, so that eight rows are in different banks. */
template <typename T, int D> constexpr int ROW = D *(int)sizeof(T) + 16;

/* KEYS rows of one head, D columns of which head_dim are there. */
template <typename T, int D> static __device__ __forceinline__ void copy_rows(char *to, const T *from, int64_t ld, int n, int head_dim) {
    constexpr int EACH = 16 / sizeof(T), PIECES = D / EACH;
#pragma unroll
    for (int i = 0; i < KEYS * PIECES / THREADS; i++) {
        const int piece = i * THREADS + threadIdx.x, r = piece / PIECES, c = piece % PIECES;
        const bool valid = r < n && c * EACH < head_dim;
        copy_16(to + r * ROW<T, D> + c * 16, valid ? from + r * ld + c * EACH : from, valid);
    }
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

/* Scores of two rows and 64 keys, in units of 1 / `unit` of log 2, become powers of two to the difference from the maximum; the sums so far
 * are scaled to it. */
template <int D> static __device__ __forceinline__ void soften(float (*s)[4], float unit, float *most, float *sum, float (*y)[4]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float grown = most[h];
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) grown = fmaxf(grown, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
        grown = quad_max(grown);
        const float base = grown > -INFINITY ? grown * unit : 0.0f, factor = power_of_2(most[h] * unit - base);
        float added = 0;
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++) {
            s[j][2 * h] = power_of_2(s[j][2 * h] * unit - base), s[j][2 * h + 1] = power_of_2(s[j][2 * h + 1] * unit - base);
            added += s[j][2 * h] + s[j][2 * h + 1];
        }
        most[h] = grown;
        sum[h] = sum[h] * factor + added;
#pragma unroll
        for (int j = 0; j < D / 8; j++) y[j][2 * h] *= factor, y[j][2 * h + 1] *= factor;
    }
}

/* No weight for keys that are not there. */
static __device__ __forceinline__ void mask(float (*s)[4], int n) {
#pragma unroll
    for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (8 * j + 2 * (threadIdx.x % 4) + i % 2 >= n) s[j][i] = -INFINITY;
}

/* Window and bias by the keys' columns; scores come out in units of log 2. */
static __device__ __forceinline__ void weigh(float (*s)[4], const tern_cuda_attention &a, int head, int n, const int32_t *key_columns,
                                             const int *query_columns) {
#pragma unroll
    for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int key = 8 * j + 2 * (threadIdx.x % 4) + i % 2;
            if (key >= n) continue;
            const int distance = key_columns[key] - query_columns[i / 2];
            float score = s[j][i] * (a.scale * LOG2E);
            if (abs(distance) > a.window) score = -INFINITY;
            else if (a.bias != NULL)
                score += LOG2E * a.bias[(int64_t)head * (2 * a.reach + 1) + a.reach + max(-a.reach, min(a.reach, distance))];
            s[j][i] = score;
        }
}

/* s [16][KEYS] = q k, for n keys rounded up to 32s; others are left alone. */
template <typename T, int D>
static __device__ __forceinline__ void multiply_keys(float (*s)[4], const uint32_t (*q)[4], const char *keys, int n) {
    const char *row = keys + threadIdx.x % 8 * ROW<T, D> + threadIdx.x % 32 / 8 * 16;
#pragma unroll
    for (int first = 0; first < KEYS / 8; first += 4) {
        if (8 * first >= n) continue;
#pragma unroll
        for (int j = first; j < first + 4; j++) s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0;
#pragma unroll
        for (int c = 0; c < D * (int)sizeof(T) / 64; c++) {
            uint4 b[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                load_matrices((uint32_t *)&b[j], row + 8 * (first + j) * ROW<T, D> + 64 * c);
                b[j] = operand(b[j], T());
            }
#pragma unroll
            for (int j = 0; j < 4; j++) mma(s[first + j], q[2 * c], b[j].x, b[j].y, T());
#pragma unroll
            for (int j = 0; j < 4; j++) mma(s[first + j], q[2 * c + 1], b[j].z, b[j].w, T());
        }
    }
}

/* y [16][D] += s v for keys 16 k ... 16 k + 15 */
template <typename T, int D>
static __device__ __forceinline__ void multiply_16_values(float (*y)[4], const float (*s)[4], const char *values, int k, T) {
    const int lane = threadIdx.x % 32;
    const uint32_t p[4] = {pack(s[2 * k][0], s[2 * k][1], T()), pack(s[2 * k][2], s[2 * k][3], T()),
                           pack(s[2 * k + 1][0], s[2 * k + 1][1], T()), pack(s[2 * k + 1][2], s[2 * k + 1][3], T())};
#pragma unroll
    for (int c = 0; c < D / 16; c++) {
        uint32_t b[4];
        load_matrices_transposed(b, values + (16 * k + lane / 8 % 2 * 8 + lane % 8) * ROW<T, D> + 32 * c + lane / 16 * 16);
        mma(y[2 * c], p, b[0], b[1], T());
        mma(y[2 * c + 1], p, b[2], b[3], T());
    }
}

/* The same in TF32. Which key is which column of the product is free: lanes multiply those that they hold scores of. */
template <typename T, int D>
static __device__ __forceinline__ void multiply_16_values(float (*y)[4], const float (*s)[4], const char *values, int k, float) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 2 * k; j < 2 * k + 2; j++) {
        const uint4 p = operand(
            make_uint4(__float_as_uint(s[j][0]), __float_as_uint(s[j][2]), __float_as_uint(s[j][1]), __float_as_uint(s[j][3])), T());
        const uint32_t a[4] = {p.x, p.y, p.z, p.w};
        const char *row = values + (8 * j + 2 * (lane % 4)) * ROW<T, D> + lane / 4 * 4;
#pragma unroll
        for (int c = 0; c < D / 8; c += 2) {
            const uint32_t *even = (const uint32_t *)(row + 32 * c), *odd = (const uint32_t *)(row + ROW<T, D> + 32 * c);
            const uint4 b = operand(make_uint4(even[0], odd[0], even[8], odd[8]), T());
            mma(y[c], a, b.x, b.y, T());
            mma(y[c + 1], a, b.z, b.w, T());
        }
    }
}

/* y [16][D] += s v, over n keys rounded up to 32s. */
template <typename T, int D>
static __device__ __forceinline__ void multiply_values(float (*y)[4], const float (*s)[4], const char *values, int n) {
#pragma unroll
    for (int k = 0; k < KEYS / 16; k += 2) {
        if (16 * k >= n) continue;
        multiply_16_values<T, D>(y, s, values, k, T());
        multiply_16_values<T, D>(y, s, values, k + 1, T());
    }
}

/* Four bytes of elements; zeros where they are not there. */
template <typename T> static __device__ __forceinline__ uint32_t word_at(const T *row, int word, bool valid) {
    return valid ? ((const uint32_t *)row)[word] : 0u;
}

/* Rows of 16 queries as the product wants them. */
template <typename T, int D>
static __device__ __forceinline__ void load_queries(uint32_t (*q)[4], const T *from, int64_t ld, const int *rows, int n, int head_dim) {
#pragma unroll
    for (int c = 0; c < D * (int)sizeof(T) / 32; c++) {
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int word = 8 * c + 4 * (i / 2) + threadIdx.x % 4;
            words[i] = word_at(from + rows[i % 2] * ld, word, rows[i % 2] < n && word * 4 < head_dim * (int)sizeof(T));
        }
        const uint4 rounded = operand(make_uint4(words[0], words[1], words[2], words[3]), T());
        q[c][0] = rounded.x, q[c][1] = rounded.y, q[c][2] = rounded.z, q[c][3] = rounded.w;
    }
}

static __device__ __forceinline__ void store_pair(float *to, float low, float high) { *(float2 *)to = make_float2(low, high); }
template <typename T> static __device__ __forceinline__ void store_pair(T *to, float low, float high) {
    *(uint32_t *)to = pack(low, high, T());
}

/* What a block reads and where it is there. */
template <typename T> struct key_rows {
    const T *k, *v;
    int n, head_dim;
    int64_t ldk, ldv;
    const int32_t *columns; /* NULL: all keys are seen */
    int low, high, window;  /* columns of the block's queries */
};

/* The first key from `key` on of a tile that a query of the block sees; n or more: none. */
template <typename T> static __device__ __forceinline__ int seen_from(const key_rows<T> &rows, int key) {
    if (rows.columns == NULL) return key;
    while (key < rows.n && ((int64_t)rows.columns[key] - rows.high > rows.window ||
                            (int64_t)rows.low - rows.columns[min(key + KEYS, rows.n) - 1] > rows.window))
        key += KEYS;
    return key;
}

/* Keys and values to one of the two halves of shared memory; a group also when there are none. */
template <typename T, int D> static __device__ __forceinline__ void begin_copy(char *to, const key_rows<T> &rows, int key) {
    if (key < rows.n) {
        const int n = min(KEYS, rows.n - key);
        copy_rows<T, D>(to, rows.k + key * rows.ldk, rows.ldk, n, rows.head_dim);
        copy_rows<T, D>(to + KEYS * ROW<T, D>, rows.v + key * rows.ldv, rows.ldv, n, rows.head_dim);
    }
    copy_commit();
}

template <typename T, int D> static __device__ __forceinline__ void attend(const tern_cuda_attention &a, char *halves) {
    constexpr int HALF = 2 * KEYS * ROW<T, D>;
    const tern_cuda_tile tile = a.tiles[blockIdx.x];
    if (tile.n_rows == 0) return;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, head = blockIdx.y;
    const int start = tile.start, n_keys = tile.n_rows;
    const int n_queries = min(TERN_CUDA_TILE_MMA, n_keys - tile.first);
    const int64_t column = (int64_t)head * a.head_dim;
    key_rows<T> keys = {(const T *)a.k.data + start * a.k.ld + column,
                        (const T *)a.v.data + start * a.v.ld + column,
                        n_keys,
                        a.head_dim,
                        a.k.ld,
                        a.v.ld,
                        NULL,
                        0,
                        0,
                        a.window};
    const int rows[2] = {warp * 16 + lane / 4, warp * 16 + lane / 4 + 8}; /* of the tile */
    int query_columns[2] = {};
    if (a.columns != NULL) {
        keys.columns = a.columns + start;
        keys.low = keys.columns[tile.first], keys.high = keys.columns[tile.first + n_queries - 1];
        for (int h = 0; h < 2; h++) query_columns[h] = keys.columns[tile.first + min(rows[h], n_queries - 1)];
    }
    int key = seen_from(keys, 0);
    begin_copy<T, D>(halves, keys, key);
    uint32_t q[D * (int)sizeof(T) / 32][4];
    load_queries<T, D>(q, (const T *)a.q.data + (start + tile.first) * a.q.ld + column, a.q.ld, rows, n_queries, a.head_dim);
    const float unit = a.columns != NULL ? 1.0f : a.scale * LOG2E;
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {}, y[D / 8][4] = {};
    for (int turn = 0; key < n_keys; turn ^= 1) {
        const char *half = halves + turn * HALF;
        const int n = min(KEYS, n_keys - key), next = seen_from(keys, key + KEYS);
        begin_copy<T, D>(halves + (turn ^ 1) * HALF, keys, next);
        copy_wait<1>();
        __syncthreads();
        if (warp * 16 < n_queries) {
            float s[KEYS / 8][4];
            multiply_keys<T, D>(s, q, half, n);
            if (a.columns != NULL) weigh(s, a, head, n, keys.columns + key, query_columns);
            if (n < KEYS) mask(s, n);
            soften<D>(s, unit, most, sum, y);
            multiply_values<T, D>(y, s, half + HALF / 2, n);
        }
        __syncthreads();
        key = next;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float scale = 1.0f / quad_sum(sum[h]);
        if (rows[h] >= n_queries) continue;
        T *to = (T *)a.y.data + (start + tile.first + rows[h]) * a.y.ld + column + 2 * (lane % 4);
#pragma unroll
        for (int j = 0; j < D / 8; j++)
            if (8 * j < a.head_dim) store_pair(to + 8 * j, y[j][2 * h] * scale, y[j][2 * h + 1] * scale);
    }
}

#endif

template <typename T, int D>
static __global__ void __launch_bounds__(THREADS, D > 64           ? 1
                                                  : sizeof(T) == 4 ? 3
                                                                   : 4) attention_mma_kernel(const tern_cuda_attention a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    DYNAMIC_SHARED(halves);
    begin();
    attend<T, D>(a, (char *)halves);
#endif
}

template <typename T, int D> static cudaError_t launch_heads(cudaStream_t stream, const tern_cuda_attention *a) {
    const dim3 grid((unsigned)a->n_tiles, (unsigned)a->n_heads);
    return launch_kernel(stream, attention_mma_kernel<T, D>, grid, THREADS, sizeof(T) * 4 * KEYS * (D + 16 / sizeof(T)), *a);
}

template <typename T> static cudaError_t launch(cudaStream_t stream, const tern_cuda_attention *a) {
    if (a->head_dim <= 32) return launch_heads<T, 32>(stream, a);
    if (a->head_dim <= 64) return launch_heads<T, 64>(stream, a);
    if (a->head_dim <= 96) return launch_heads<T, 96>(stream, a);
    return launch_heads<T, 128>(stream, a);
}

/* In TF32, heads as wide as any GPU's shared memory takes. */
bool tern__cuda_attention_mma_takes(tern_cuda_type type, bool is_tf32, int32_t head_dim, int capability) {
    return (type != TERN_CUDA_F32 || is_tf32) && head_dim % 8 == 0 && head_dim <= (is_tf32 ? 64 : 128) && capability >= 80;
}

cudaError_t tern__cuda_attention_mma(cudaStream_t stream, const tern_cuda_attention *a) {
    if (a->type == TERN_CUDA_F32) return a->head_dim <= 32 ? launch_heads<float, 32>(stream, a) : launch_heads<float, 64>(stream, a);
    return a->type == TERN_CUDA_F16 ? launch<f16>(stream, a) : launch<bf16>(stream, a);
}
