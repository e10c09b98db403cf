/* wgmma.cuh - products of a warpgroup, four warps of 16 rows each, with a tile in shared memory, on GPUs of compute capability 9.0 (PTX
 * ISA, "Asynchronous warpgroup level matrix instructions"). tests/cuda_host has another such file, for the host.
 *
 * A tile has 64 rows of 64 16-bit elements and begins at a multiple of 1024 bytes; the eight pieces of 16 bytes of row r are at places
 * piece ^ (r % 8), so that the pieces of one column lie in different banks ("128-byte swizzle").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_WGMMA_CUH
#define TERN_DEVICE_CUDA_WGMMA_CUH

#include "device/cuda/mma.cuh"

#define WGMMA_ROW  128
#define WGMMA_TILE (64 * WGMMA_ROW)

static __device__ __forceinline__ int wgmma_place(int row, int piece) { return row * WGMMA_ROW + (piece ^ row % 8) * 16; }

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* Matrix descriptor: where the tile is, 1024 bytes from eight rows to the next eight, the swizzle. */
static __device__ __forceinline__ uint64_t wgmma_tile(const char *tile, int offset) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(tile) + (uint32_t)offset;
    return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* What this thread wrote to shared memory may be read by the products of others behind the next barrier. */
static __device__ __forceinline__ void wgmma_publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* c [64][64] = or += a [64][16] b; BY_COLUMN: b's rows are those of the tile, [16][64], else its columns. */
#define WGMMA_64(TYPE)                                                                                                                     \
    asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %37, 0;\n"                                                                        \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " "                                                           \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                                 \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "                                       \
                 "{%32, %33, %34, %35}, %36, adds, 1, 1, %38;\n}"                                                                          \
                 : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]), "+f"(c[1][3]), \
                   "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]), "+f"(c[3][2]), "+f"(c[3][3]), \
                   "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]), "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), \
                   "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]), "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"(BY_COLUMN))

template <int BY_COLUMN> static __device__ __forceinline__ void wgmma(float (*c)[4], const uint32_t *a, uint64_t b, bool adds, f16) {
    WGMMA_64("f16");
}
template <int BY_COLUMN> static __device__ __forceinline__ void wgmma(float (*c)[4], const uint32_t *a, uint64_t b, bool adds, bf16) {
    WGMMA_64("bf16");
}
#undef WGMMA_64

static __device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ __forceinline__ void wgmma_end() {
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* c [64][64] = a [64][64] transpose(tile). A warp has 16 rows of a and c, as mma has them. */
template <typename T>
static __device__ __forceinline__ void wgmma_transposed(float (*c)[4], const uint32_t (*a)[4], const char *tile, T type) {
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < 4; k++) wgmma<0>(c, a[k], wgmma_tile(tile, 32 * k), k > 0, type);
    wgmma_end();
}

/* c [64][64] += a [64][16 STEPS] tile [16 STEPS][64] */
template <int STEPS, typename T>
static __device__ __forceinline__ void wgmma_add(float (*c)[4], const uint32_t (*a)[4], const char *tile, T type) {
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < STEPS; k++) wgmma<1>(c, a[k], wgmma_tile(tile, 16 * WGMMA_ROW * k), true, type);
    wgmma_end();
}

#endif
#endif
