/* attention_tile.cuh - softmax(scale q transpose(k) + bias) v of 64 queries of one head, by four warps with 16 of them each: what does not
 * depend on which of the tensor cores' instructions multiply. Scores, the running maximum and sum (Milakov and Gimelshein 2018,
 * arXiv:1805.02867) and the result are float32 in registers; weights are rounded to the storage type for the second product (Dao 2023,
 * arXiv:2307.08691). Keys and values pass through shared memory 64 at a time, the next ones on their way while these are computed with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_ATTENTION_TILE_CUH
#define TERN_DEVICE_CUDA_ATTENTION_TILE_CUH

#include "device/cuda/mma.cuh"

#define WARPS   4
#define THREADS (WARPS * 32)
#define KEYS    64

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
template <typename T, typename Core> static __device__ __forceinline__ void begin_copy(char *to, const key_rows<T> &rows, int key) {
    if (key < rows.n) {
        const int n = min(KEYS, rows.n - key);
        Core::copy_rows(to, rows.k + key * rows.ldk, rows.ldk, n, rows.head_dim);
        Core::copy_rows(to + Core::TILE, rows.v + key * rows.ldv, rows.ldv, n, rows.head_dim);
    }
    copy_commit();
}

/* Core: how rows lie in shared memory (TILE bytes for 64 of them), and the two products. halves [2][2 TILE]: keys and values in turn. */
template <typename T, int D, typename Core> static __device__ __forceinline__ void attend(const tern_cuda_attention &a, char *halves) {
    constexpr int HALF = 2 * Core::TILE;
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
    begin_copy<T, Core>(halves, keys, key);
    uint32_t q[D * (int)sizeof(T) / 32][4];
    load_queries<T, D>(q, (const T *)a.q.data + (start + tile.first) * a.q.ld + column, a.q.ld, rows, n_queries, a.head_dim);
    const float unit = a.columns != NULL ? 1.0f : a.scale * LOG2E;
    float most[2] = {-INFINITY, -INFINITY}, sum[2] = {}, y[D / 8][4] = {};
    for (int turn = 0; key < n_keys; turn ^= 1) {
        const char *half = halves + turn * HALF;
        const int n = min(KEYS, n_keys - key), next = seen_from(keys, key + KEYS);
        begin_copy<T, Core>(halves + (turn ^ 1) * HALF, keys, next);
        Core::await_tile();
        __syncthreads();
        if (Core::takes_part(warp * 16 < n_queries)) {
            float s[KEYS / 8][4];
            Core::multiply_keys(s, q, half, n);
            if (a.columns != NULL) weigh(s, a, head, n, keys.columns + key, query_columns);
            if (n < KEYS) mask(s, n);
            soften<D>(s, unit, most, sum, y);
            Core::multiply_values(y, s, half + Core::TILE, n);
        }
        __syncthreads();
        key = next;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float scale = 1.0f / quad_sum(sum[h]);
#pragma unroll
        for (int j = 0; j < D / 8; j++) y[j][2 * h] *= scale, y[j][2 * h + 1] *= scale;
    }
    Core::store_rows((T *)a.y.data + (start + tile.first + warp * 16) * a.y.ld + column, a.y.ld, y, n_queries - warp * 16, a.head_dim,
                     halves + warp * 16 * (Core::TILE / KEYS));
}

#endif
