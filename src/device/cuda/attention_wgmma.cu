/* attention_wgmma.cu - attention of packed sequences with heads of 64, float16 and bfloat16, by a warpgroup's products: on GPUs of compute
 * capability 9.0 these are twice as fast as a warp's, and read keys and values from shared memory by themselves. attention_tile.cuh is how.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/attention_tile.cuh"
#include "device/cuda/wgmma.cuh"

#define HEAD_DIM 64

/* Does this build have the kernel's code? nvcc makes it for sm_90a alone. */
#if defined(TERN_CUDA_HAS_SM_90A)
#define HAS_CODE true
#else
#define HAS_CODE false
#endif

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <typename T> struct warpgroup_core {
    static constexpr int TILE = WGMMA_TILE;
    static __device__ __forceinline__ void copy_rows(char *to, const T *from, int64_t ld, int n, int) {
#pragma unroll
        for (int i = 0; i < KEYS * 8 / THREADS; i++) {
            const int r = (i * THREADS + threadIdx.x) / 8, piece = threadIdx.x % 8;
            copy_16(to + wgmma_place(r, piece), r < n ? from + r * ld + 8 * piece : from, r < n);
        }
    }
    static __device__ __forceinline__ void await_tile() {
        copy_wait<1>();
        wgmma_publish();
    }
    static __device__ __forceinline__ bool takes_part(bool) { return true; }
    static __device__ __forceinline__ void multiply_keys(float (*s)[4], const uint32_t (*q)[4], const char *keys, int) {
        wgmma_transposed(s, q, keys, T());
    }
    static __device__ __forceinline__ void multiply_values(float (*y)[4], const float (*s)[4], const char *values, int n) {
        uint32_t p[KEYS / 16][4];
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++)
#pragma unroll
            for (int i = 0; i < 4; i++) p[k][i] = pack(s[2 * k + i / 2][2 * (i % 2)], s[2 * k + i / 2][2 * (i % 2) + 1], T());
        if (n > 32) wgmma_add<4>(y, p, values, T());
        else wgmma_add<2>(y, p, values, T());
    }
    /* A warp's rows, n of which are there: through its part of shared memory, so that each is written whole. */
    static __device__ __forceinline__ void store_rows(T *to, int64_t ld, const float (*y)[4], int n, int, char *part) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int j = 0; j < HEAD_DIM / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                *(uint32_t *)(part + wgmma_place(lane / 4 + 8 * h, j) + 4 * (lane % 4)) = pack(y[j][2 * h], y[j][2 * h + 1], T());
        __syncwarp();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int r = 4 * i + lane / 8, piece = lane % 8;
            if (r < n) *(uint4 *)(to + r * ld + 8 * piece) = *(const uint4 *)(part + wgmma_place(r, piece));
        }
    }
};

#endif

template <typename T> static __global__ void __launch_bounds__(THREADS, 4) attention_wgmma_kernel(const tern_cuda_attention a) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    DYNAMIC_SHARED(shared);
    char *const halves = (char *)shared + (1024 - (uint32_t)__cvta_generic_to_shared(shared) % 1024) % 1024;
    begin();
    attend<T, HEAD_DIM, warpgroup_core<T>>(a, halves);
#endif
}

bool tern__cuda_attention_wgmma_takes(tern_cuda_type type, int32_t head_dim, int capability) {
    return HAS_CODE && type != TERN_CUDA_F32 && head_dim == HEAD_DIM && capability == 90;
}

cudaError_t tern__cuda_attention_wgmma(cudaStream_t stream, const tern_cuda_attention *a) {
    const dim3 grid((unsigned)a->n_tiles, (unsigned)a->n_heads);
    const size_t shared = 4 * WGMMA_TILE + 1024;
    return launch_kernel(stream, a->type == TERN_CUDA_F16 ? attention_wgmma_kernel<f16> : attention_wgmma_kernel<bf16>, grid, THREADS,
                         shared, *a);
}
