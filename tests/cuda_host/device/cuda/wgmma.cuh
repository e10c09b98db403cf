/* wgmma.cuh - products of a warpgroup on the host: each warp does its 16 rows. In place of src/device/cuda/wgmma.cuh, with the same tiles.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_WGMMA_CUH
#define TERN_TESTS_CUDA_HOST_WGMMA_CUH

#include "device/cuda/mma.cuh"

#define WGMMA_ROW  128
#define WGMMA_TILE (64 * WGMMA_ROW)

static inline int wgmma_place(int row, int piece) { return row * WGMMA_ROW + (piece ^ row % 8) * 16; }
static inline void wgmma_publish() {}

template <typename T> static inline float wgmma_element(const char *tile, unsigned row, unsigned column) {
    T element;
    memcpy((void *)&element, tile + wgmma_place((int)row, (int)column / 8) + column % 8 * 2, sizeof element);
    return to_float(element);
}

/* c [16][64] += a [16][16] and of the tile rows, or by_column columns, 16 k ... 16 k + 15 */
template <typename T> static inline void wgmma(float (*c)[4], const uint32_t *a, const char *tile, unsigned k, bool by_column) {
    uint32_t all[32][4];
    const unsigned char *values = host_exchange(a, sizeof all[0]);
    for (int l = 0; l < 32; l++) memcpy(all[l], values + l * HOST_EXCHANGE_BYTES, sizeof all[l]);
    for (unsigned j = 0; j < 8; j++)
        for (unsigned i = 0; i < 4; i++) {
            const unsigned row = host_lane() / 4 + 8 * (i / 2), column = 8 * j + 2 * (host_lane() % 4) + i % 2;
            for (unsigned e = 0; e < 16; e++) {
                const unsigned at = 16 * k + e;
                c[j][i] += half_of<T>(all[row % 8 * 4 + e % 8 / 2][row / 8 + 2 * (e / 8)], e % 2) *
                           (by_column ? wgmma_element<T>(tile, at, column) : wgmma_element<T>(tile, column, at));
            }
        }
}

template <typename T> static inline void wgmma_transposed(float (*c)[4], const uint32_t (*a)[4], const char *tile, T) {
    memset(c, 0, 8 * sizeof *c);
    for (unsigned k = 0; k < 4; k++) wgmma<T>(c, a[k], tile, k, false);
}

template <int STEPS, typename T> static inline void wgmma_add(float (*c)[4], const uint32_t (*a)[4], const char *tile, T) {
    for (unsigned k = 0; k < STEPS; k++) wgmma<T>(c, a[k], tile, k, true);
}

#endif
