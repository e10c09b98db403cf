/* mma.cuh - what a warp does together on the tensor cores, on the host. In place of src/device/cuda/mma.cuh; the layouts are those of the
 * PTX ISA's "mma.m16n8k16", "mma.m16n8k8" and "ldmatrix".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_MMA_CUH
#define TERN_TESTS_CUDA_HOST_MMA_CUH

#include <cstring>

#include "device/cuda/elements.cuh"

static inline unsigned host_lane() { return threadIdx.x % 32; }

template <typename T> static inline float half_of(uint32_t pair, int which) {
    T elements[2];
    memcpy((void *)elements, &pair, sizeof pair);
    return to_float(elements[which]);
}

template <typename T> static inline void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, T) {
    const uint32_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    float mine[12];
    for (int i = 0; i < 12; i++) mine[i] = half_of<T>(words[i / 2], i % 2);
    const unsigned char *values = host_exchange(mine, sizeof mine);
    const auto of_lane = [=](unsigned lane, unsigned i) {
        return *(const float *)(values + lane * HOST_EXCHANGE_BYTES + i * sizeof(float));
    };
    for (int i = 0; i < 4; i++) {
        const unsigned row = host_lane() / 4 + 8 * (i / 2), column = 2 * (host_lane() % 4) + i % 2;
        for (unsigned k = 0; k < 16; k++)
            c[i] += of_lane(row % 8 * 4 + k % 8 / 2, 2 * (row / 8 + 2 * (k / 8)) + k % 2) *
                    of_lane(column * 4 + k % 8 / 2, 2 * (4 + k / 8) + k % 2);
    }
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, float) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    uint32_t all[32][6];
    const unsigned char *values = host_exchange(mine, sizeof mine);
    for (int l = 0; l < 32; l++) memcpy(all[l], values + l * HOST_EXCHANGE_BYTES, sizeof mine);
    for (int i = 0; i < 4; i++) {
        const unsigned row = host_lane() / 4 + 8 * (i / 2), column = 2 * (host_lane() % 4) + i % 2;
        for (unsigned k = 0; k < 8; k++)
            c[i] += float_of(all[row % 8 * 4 + k % 4][row / 8 + 2 * (k / 4)]) * float_of(all[column * 4 + k % 4][4 + k / 4]);
    }
}

template <typename T> static inline uint4 operand(uint4 elements, T) { return elements; }
/* To the nearest of 10 bits of fraction, ties away from zero. */
static inline uint4 operand(uint4 e, float) {
    uint32_t *bits[] = {&e.x, &e.y, &e.z, &e.w};
    for (uint32_t *b : bits) *b = (*b + 0x1000u) & ~0x1fffu;
    return e;
}

static inline void load_matrices_of(uint32_t *r, const void *row, bool transposed) {
    const uint16_t *rows[32];
    const unsigned char *values = host_exchange(&row, sizeof row);
    for (int l = 0; l < 32; l++) memcpy(&rows[l], values + l * HOST_EXCHANGE_BYTES, sizeof rows[l]);
    const unsigned major = host_lane() / 4, minor = 2 * (host_lane() % 4);
    for (unsigned m = 0; m < 4; m++) {
        const uint32_t low = transposed ? rows[8 * m + minor][major] : rows[8 * m + major][minor];
        const uint32_t high = transposed ? rows[8 * m + minor + 1][major] : rows[8 * m + major][minor + 1];
        r[m] = low | high << 16;
    }
}
static inline void load_matrices(uint32_t *r, const void *row) { load_matrices_of(r, row, false); }
static inline void load_matrices_transposed(uint32_t *r, const void *row) { load_matrices_of(r, row, true); }

static inline uint32_t transpose(uint32_t a) {
    uint16_t elements[2];
    const unsigned char *values = host_exchange(&a, sizeof a);
    for (unsigned i = 0; i < 2; i++)
        memcpy(&elements[i], values + (8 * (host_lane() % 4) + 4 * i + host_lane() / 8) * HOST_EXCHANGE_BYTES + host_lane() / 4 % 2 * 2, 2);
    return elements[0] | (uint32_t)elements[1] << 16;
}

static inline void copy_16(void *to, const void *from, bool valid) {
    if (valid) memcpy(to, from, 16);
    else memset(to, 0, 16);
}
static inline void copy_commit() {}
template <int LEFT> static inline void copy_wait() {}

static inline float power_of_2(float x) { return exp2f(x); }

static inline uint4 load_16(const void *from, bool valid) { return valid ? *(const uint4 *)from : make_uint4(0, 0, 0, 0); }
template <typename Bits> static inline Bits load_weight(const void *from) { return *(const Bits *)from; }
static inline void prefetch(const void *) {}

template <typename T> static inline uint32_t pack(float low, float high, T) {
    const T elements[2] = {from_float<T>(low), from_float<T>(high)};
    uint32_t pair;
    memcpy(&pair, elements, sizeof pair);
    return pair;
}

template <typename T> static inline float2 unpack(uint32_t pair, T) { return make_float2(half_of<T>(pair, 0), half_of<T>(pair, 1)); }

#endif
