/* elements.cuh - elements of the storage types as float32, one or eight at a time; sums over a block.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_ELEMENTS_CUH
#define TERN_DEVICE_CUDA_ELEMENTS_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "device/cuda/kernels.h"
#include "device/cuda/launch.cuh"

#define LOG2E 1.4426950408889634f

typedef __half f16;
typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(f16 x) { return __half2float(x); }
static __device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ f16 from_float<f16>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }

/* V elements, V = 1 or 8; 8 must lie at a multiple of 16 bytes. */
template <int V> static __device__ __forceinline__ void load(float *to, const float *from) {
    if (V == 1) {
        to[0] = from[0];
    } else {
        *(float4 *)to = *(const float4 *)from;
        *(float4 *)(to + 4) = *(const float4 *)(from + 4);
    }
}
template <int V, typename T> static __device__ __forceinline__ void load(float *to, const T *from) {
    if (V == 1) {
        to[0] = to_float(from[0]);
    } else {
        uint4 raw = *(const uint4 *)from;
        const T *elements = (const T *)&raw;
#pragma unroll
        for (int i = 0; i < V; i++) to[i] = to_float(elements[i]);
    }
}
template <int V> static __device__ __forceinline__ void store(float *to, const float *from) {
    if (V == 1) {
        to[0] = from[0];
    } else {
        *(float4 *)to = *(const float4 *)from;
        *(float4 *)(to + 4) = *(const float4 *)(from + 4);
    }
}
template <int V, typename T> static __device__ __forceinline__ void store(T *to, const float *from) {
    if (V == 1) {
        to[0] = from_float<T>(from[0]);
    } else {
        uint4 raw;
        T *elements = (T *)&raw;
#pragma unroll
        for (int i = 0; i < V; i++) elements[i] = from_float<T>(from[i]);
        *(uint4 *)to = raw;
    }
}

static __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

/* Of four lanes beside each other, which in a product's tile share a row. */
static __device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
static __device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

/* Of all threads of a block of WARPS warps; every thread gets it. */
template <int WARPS> static __device__ __forceinline__ float block_sum(float x) {
    __shared__ float parts[WARPS];
    x = warp_sum(x);
    __syncthreads(); /* an earlier sum has been read */
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) x += parts[w];
    return x;
}

template <int WARPS> static __device__ __forceinline__ float block_max(float x) {
    __shared__ float parts[WARPS];
    x = warp_max(x);
    __syncthreads(); /* an earlier maximum has been read */
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < WARPS; w++) x = fmaxf(x, parts[w]);
    return x;
}

/* Of all threads of a team of WARPS warps: one, or those of a block. */
template <int WARPS> static __device__ __forceinline__ float team_sum(float x) { return WARPS == 1 ? warp_sum(x) : block_sum<WARPS>(x); }

/* Return CALL(T) for the type. */
#define TERN_CUDA_RETURN_FOR_TYPE(type, CALL)                                                                                              \
    do {                                                                                                                                   \
        if ((type) == TERN_CUDA_F32) return CALL(float);                                                                                   \
        if ((type) == TERN_CUDA_F16) return CALL(f16);                                                                                     \
        return CALL(bf16);                                                                                                                 \
    } while (0)

static inline bool is_aligned_16(const void *data, int64_t ld, tern_cuda_type type) {
    const int64_t bytes = type == TERN_CUDA_F32 ? 4 : 2;
    return (uintptr_t)data % 16 == 0 && ld * bytes % 16 == 0;
}

#endif
