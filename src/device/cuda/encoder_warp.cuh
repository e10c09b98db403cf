/* encoder_warp.cuh - what a warp of encoder.cu does in its registers: rows, products with a slot of weights, attention of its heads.
 *
 * r [K][2 M], 16 bytes each: r[k * 2 M + i] has of row 8 i + lane / 4 the lane's 8 columns of the k-th 32; so r is both the left operand of
 * a product of M sixteens of rows and, of keys, the right one, as the sum over columns may go in any order. Loops over registers have
 * constant bounds, and the compiler unrolls them all.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_ENCODER_WARP_CUH
#define TERN_DEVICE_CUDA_ENCODER_WARP_CUH

#include "device/cuda/grid.cuh"

/* Opaque, so that what follows from it is computed anew where it is needed, lest registers hold all of it all the time. */
static __device__ __forceinline__ int this_thread() {
    int thread = (int)threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}

static __device__ __forceinline__ uint32_t word_of(uint4 words, int i) {
    return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

/* Columns `column` ... of n rows; zeros for those up to 16 M. */
template <int M, int K, typename T>
static __device__ __forceinline__ void load_rows(uint4 *r, const void *rows, int ld, int column, int n, T) {
    const int lane = this_thread() % 32;
#pragma unroll
    for (int i = 0; i < K * 2 * M; i++) {
        const int row = 8 * (i % (2 * M)) + lane / 4;
        r[i] = load_exchanged((const T *)rows + row * ld + column + i / (2 * M) * 32 + lane % 4 * 8, row < n);
    }
}

/* Over 32 columns: rows lane / 4 and 8 more of the left operand, column lane / 4 of the right one. */
template <typename T> static __device__ __forceinline__ void multiply_32(float *c, uint4 a, uint4 a8, uint4 b, T) {
    const uint32_t first[4] = {a.x, a8.x, a.y, a8.y}, second[4] = {a.z, a8.z, a.w, a8.w};
    mma(c, first, b.x, b.y, T());
    mma(c, second, b.z, b.w, T());
}

/* y [16 M][8 N] += r times n rows of weights in shared memory, stride bytes apart; what y has of further ones is no sum of anything. */
template <int M, int N, int K, typename T>
static __device__ __forceinline__ void multiply_weights(float (&y)[M][N][4], const uint4 *r, const char *weights, int stride, int n, T) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < N; j++) {
        const char *row = weights + min(8 * j + lane / 4, max(n - 1, 0)) * stride + lane % 4 * 16;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const uint4 w = *(const uint4 *)(row + 64 * k);
#pragma unroll
            for (int i = 0; i < M; i++) multiply_32(y[i][j], r[k * 2 * M + 2 * i], r[k * 2 * M + 2 * i + 1], w, T());
        }
    }
}

/* Scores of n keys become weights, to be multiplied with `inverse`; unit: of the scores, in those of log 2. */
template <int M> static __device__ __forceinline__ void softmax(float (&s)[M][2 * M][4], float (&inverse)[M][2], float unit, int n) {
    const int quad = (int)threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float most = -INFINITY, sum = 0;
#pragma unroll
            for (int j = 0; j < 4 * M; j++) {
                float &x = s[i][j / 2][2 * h + j % 2];
                x = 8 * (j / 2) + 2 * quad + j % 2 < n ? x * unit : -INFINITY;
                most = fmaxf(most, x);
            }
            most = quad_max(most);
#pragma unroll
            for (int j = 0; j < 4 * M; j++) {
                float &x = s[i][j / 2][2 * h + j % 2];
                x = power_of_2(x - most);
                sum += x;
            }
            inverse[i][h] = 1.0f / quad_sum(sum);
        }
}

/* y = weights v, of a head in K times 32 columns; y[i][4 k + t] has of these the lane's columns 2 t and the next in their 8. */
template <int M, int K, typename T>
static __device__ __forceinline__ void multiply_values(float (&y)[M][4 * K][4], const float (&s)[M][2 * M][4], const uint4 *v, T) {
#pragma unroll
    for (int kk = 0; kk < M; kk++) {
        uint32_t p[M][4];
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int t = 0; t < 4; t++) p[i][t] = pack(s[i][2 * kk + t / 2][t % 2 * 2], s[i][2 * kk + t / 2][t % 2 * 2 + 1], T());
#pragma unroll
        for (int k = 0; k < K; k++) {
            const uint4 v0 = v[k * 2 * M + 2 * kk], v8 = v[k * 2 * M + 2 * kk + 1];
            const uint32_t low[4] = {v0.x, v0.y, v0.z, v0.w}, high[4] = {v8.x, v8.y, v8.z, v8.w};
#pragma unroll
            for (int t = 0; t < 4; t++) {
                const uint32_t b0 = transpose(low[t]), b1 = transpose(high[t]);
#pragma unroll
                for (int i = 0; i < M; i++) mma(y[i][4 * k + t], p[i], b0, b1, T());
            }
        }
    }
}

/* out = softmax(q transpose(k)) v of one head of 32 K columns and n rows. */
template <int M, int K, typename T>
static __device__ __forceinline__ void attend(uint4 *out, const uint4 *q, const uint4 *k, const uint4 *v, float unit, int n, T) {
    float s[M][2 * M][4] = {}, y[M][4 * K][4] = {}, inverse[M][2];
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < 2 * M; j++)
#pragma unroll
            for (int c = 0; c < K; c++) multiply_32(s[i][j], q[c * 2 * M + 2 * i], q[c * 2 * M + 2 * i + 1], k[c * 2 * M + j], T());
    softmax<M>(s, inverse, unit, n);
    multiply_values<M, K>(y, s, v, T());
#pragma unroll
    for (int j = 0; j < K * 2 * M; j++) {
        const int c = j / (2 * M), i = j % (2 * M) / 2, h = j % 2;
        uint32_t word[4];
#pragma unroll
        for (int t = 0; t < 4; t++) word[t] = pack(y[i][4 * c + t][2 * h] * inverse[i][h], y[i][4 * c + t][2 * h + 1] * inverse[i][h], T());
        out[j] = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

#endif
