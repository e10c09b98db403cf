/* narrow.cuh - 8-bit elements: float8_e4m3fn (Micikevicius et al. 2022, arXiv:2209.05433) and int8.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_NARROW_CUH
#define TERN_DEVICE_CUDA_NARROW_CUH

#include <cuda_fp8.h>

#include "device/cuda/elements.cuh"

typedef __nv_fp8_e4m3 e4m3;

template <typename Q> struct narrow;

template <> struct narrow<e4m3> {
    static constexpr float LARGEST = 448.0f;
    static __device__ __forceinline__ e4m3 of(float x) {
        e4m3 y;
        y.__x = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
        return y;
    }
    /* Two of them, exactly. */
    static __device__ __forceinline__ float2 pair(uint16_t bits) {
        const __half2_raw halves = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)bits, __NV_E4M3);
        return __half22float2(__half2(halves));
    }
};

template <> struct narrow<int8_t> {
    static constexpr float LARGEST = 127.0f;
    static __device__ __forceinline__ int8_t of(float x) { return (int8_t)rintf(fminf(fmaxf(x, -127.0f), 127.0f)); }
    static __device__ __forceinline__ float2 pair(uint16_t bits) {
        return make_float2((float)(int8_t)(bits & 0xff), (float)(int8_t)(bits >> 8));
    }
};

/* Eight of them as 16-bit elements, exactly. */
template <typename Q, typename T> static __device__ __forceinline__ uint4 widen(uint2 bits, T) {
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 two = narrow<Q>::pair((uint16_t)((i < 2 ? bits.x : bits.y) >> (16 * (i % 2))));
        words[i] = pack(two.x, two.y, T());
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

#endif
