/* attention_mma.cu - attention of packed sequences on the tensor cores by a warp's products, float16, bfloat16 and float32 as TF32, with
 * windows and relative biases. attention_tile.cuh is how; here is how a warp multiplies. From compute capability 8.0 on.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/attention_tile.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* Bytes of a row of a head in shared memory: those of D elements, and 16 more, so that eight rows are in different banks. */
template <typename T, int D> constexpr int ROW = D *(int)sizeof(T) + 16;

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

static __device__ __forceinline__ void store_pair(float *to, float low, float high) { *(float2 *)to = make_float2(low, high); }
template <typename T> static __device__ __forceinline__ void store_pair(T *to, float low, float high) {
    *(uint32_t *)to = pack(low, high, T());
}

template <typename T, int D> struct warp_core {
    static constexpr int TILE = KEYS * ROW<T, D>;
    /* KEYS rows of one head, D columns of which head_dim are there. */
    static __device__ __forceinline__ void copy_rows(char *to, const T *from, int64_t ld, int n, int head_dim) {
        constexpr int EACH = 16 / sizeof(T), PIECES = D / EACH;
#pragma unroll
        for (int i = 0; i < KEYS * PIECES / THREADS; i++) {
            const int piece = i * THREADS + threadIdx.x, r = piece / PIECES, c = piece % PIECES;
            const bool valid = r < n && c * EACH < head_dim;
            copy_16(to + r * ROW<T, D> + c * 16, valid ? from + r * ld + c * EACH : from, valid);
        }
    }
    static __device__ __forceinline__ void await_tile() { copy_wait<1>(); }
    static __device__ __forceinline__ bool takes_part(bool has_queries) { return has_queries; }
    /* s [16][KEYS] = q k, for n keys rounded up to 32s; others are left alone. */
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
    /* y [16][D] += s v, over n keys rounded up to 32s. */
    static __device__ __forceinline__ void multiply_values(float (*y)[4], const float (*s)[4], const char *values, int n) {
#pragma unroll
        for (int k = 0; k < KEYS / 16; k += 2) {
            if (16 * k >= n) continue;
            multiply_16_values<T, D>(y, s, values, k, T());
            multiply_16_values<T, D>(y, s, values, k + 1, T());
        }
    }
    /* A warp's rows, n of which are there. */
    static __device__ __forceinline__ void store_rows(T *to, int64_t ld, const float (*y)[4], int n, int head_dim, char *) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if (lane / 4 + 8 * h >= n) continue;
#pragma unroll
            for (int j = 0; j < D / 8; j++)
                if (8 * j < head_dim) store_pair(to + (lane / 4 + 8 * h) * ld + 8 * j + 2 * (lane % 4), y[j][2 * h], y[j][2 * h + 1]);
        }
    }
};

#endif

template <typename T, int D>
static __global__ void __launch_bounds__(THREADS, D > 64           ? 1
                                                  : sizeof(T) == 4 ? 3
                                                                   : 4) attention_mma_kernel(const tern_cuda_attention a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    DYNAMIC_SHARED(halves);
    begin();
    attend<T, D, warp_core<T, D>>(a, (char *)halves);
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
