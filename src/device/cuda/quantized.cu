/* quantized.cu - rows as 8-bit elements with a float32 scale each, and what comes of their products: the operands of dtypes float8_e4m3fn
 * and int8. A row's scale takes its largest element to the type's largest.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/activations.cuh"
#include "device/cuda/elements.cuh"
#include "device/cuda/narrow.cuh"

#define WARPS   8
#define THREADS (WARPS * 32)

/* A team of TEAM warps has a row, each thread PARTS times V elements of it; more are read a second time. */
template <typename T, typename Q, int TEAM, int PARTS, int V>
static __global__ void __launch_bounds__(THREADS)
    quantize_kernel(Q *q, int64_t ldq, float *scales, const T *x, int64_t ldx, int64_t n_rows, int32_t width) {
    constexpr int STEP = TEAM * 32 * V;
    begin();
    const int64_t row = (int64_t)blockIdx.x * (WARPS / TEAM) + threadIdx.y;
    if (row >= n_rows) return;
    float held[PARTS][V], more[V], most = 0;
    const auto put = [&](const float *values, int32_t c, float factor) {
        Q rounded[V];
#pragma unroll
        for (int i = 0; i < V; i++) rounded[i] = narrow<Q>::of(values[i] * factor);
        if (V == 8) *(uint2 *)(q + row * ldq + c) = *(const uint2 *)rounded;
        else q[row * ldq + c] = rounded[0];
    };
    const int32_t first = threadIdx.x * V;
#pragma unroll
    for (int p = 0; p < PARTS; p++) {
        if (first + p * STEP >= width) continue;
        load<V>(held[p], x + row * ldx + first + p * STEP);
#pragma unroll
        for (int i = 0; i < V; i++) most = fmaxf(most, fabsf(held[p][i]));
    }
    for (int32_t c = first + PARTS * STEP; c < width; c += STEP) {
        load<V>(more, x + row * ldx + c);
#pragma unroll
        for (int i = 0; i < V; i++) most = fmaxf(most, fabsf(more[i]));
    }
    most = TEAM == 1 ? warp_max(most) : block_max<WARPS>(most);
    const float factor = most > 1e-30f ? narrow<Q>::LARGEST / most : 0.0f; /* less becomes zeros, and none infinite */
#pragma unroll
    for (int p = 0; p < PARTS; p++)
        if (first + p * STEP < width) put(held[p], first + p * STEP, factor);
    for (int32_t c = first + PARTS * STEP; c < width; c += STEP) {
        load<V>(more, x + row * ldx + c);
        put(more, c, factor);
    }
    if (threadIdx.x == 0) scales[row] = most / narrow<Q>::LARGEST;
}

template <typename T, typename Q>
static cudaError_t launch_quantize(cudaStream_t stream, tern_cuda_rows q, float *scales, tern_cuda_rows x, tern_cuda_shape shape) {
    const bool is_vector = shape.width % 8 == 0 && is_aligned_16(x.data, x.ld, shape.type) && q.ld % 8 == 0 && (uintptr_t)q.data % 8 == 0;
    const unsigned n_rows = (unsigned)shape.n_rows;
#define LAUNCH(TEAM, PARTS, V)                                                                                                             \
    launch_kernel(stream, quantize_kernel<T, Q, TEAM, PARTS, V>, (n_rows + WARPS / TEAM - 1) / (WARPS / TEAM),                             \
                  dim3(32 * TEAM, WARPS / TEAM), 0, (Q *)q.data, q.ld, scales, (const T *)x.data, x.ld, shape.n_rows, shape.width)
    if (!is_vector) return LAUNCH(WARPS, 1, 1);
    return shape.width <= 1024 ? LAUNCH(1, 4, 8) : LAUNCH(WARPS, 2, 8);
#undef LAUNCH
}

cudaError_t tern__cuda_quantize(cudaStream_t stream, tern_cuda_rows q, float *scales, tern_cuda_type narrow_type, tern_cuda_rows x,
                                tern_cuda_shape shape) {
#define CALL(T)                                                                                                                            \
    narrow_type == TERN_CUDA_I8 ? launch_quantize<T, int8_t>(stream, q, scales, x, shape)                                                  \
                                : launch_quantize<T, e4m3>(stream, q, scales, x, shape)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* Four columns a thread. */
template <typename T, typename Sum> static __global__ void scale_sums_kernel(const tern_cuda_product p, const Sum *sums, int32_t ld) {
    begin();
    const int32_t row = blockIdx.x, first = 4 * (blockIdx.y * THREADS + threadIdx.x);
    if (first >= p.n) return;
    const float row_scale = p.narrow_scales[row];
    Sum s[4];
    *(uint4 *)s = *(const uint4 *)(sums + (int64_t)row * ld + first);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int32_t column = first + i;
        if (column >= p.n) return;
        float y = (float)s[i] * (row_scale * p.weight_scales[column]);
        if (p.bias != NULL) y += to_float(((const T *)p.bias)[column]);
        if (p.activation != TERN_OP_INPUT) y = apply(p.activation, y, 0.0f);
        if (p.residual.data != NULL) y += to_float(((const T *)p.residual.data)[row * p.residual.ld + column]);
        ((T *)p.y.data)[row * p.y.ld + column] = from_float<T>(y);
    }
}

cudaError_t tern__cuda_scale_sums(cudaStream_t stream, const tern_cuda_product *p) {
    const dim3 grid((unsigned)p->m, (unsigned)((p->n + 4 * THREADS - 1) / (4 * THREADS)));
    const int32_t ld = (int32_t)p->sums.ld;
#define CALL(T)                                                                                                                            \
    p->weight_type == TERN_CUDA_I8                                                                                                         \
        ? launch_kernel(stream, scale_sums_kernel<T, int32_t>, grid, THREADS, 0, *p, (const int32_t *)p->sums.data, ld)                    \
        : launch_kernel(stream, scale_sums_kernel<T, float>, grid, THREADS, 0, *p, (const float *)p->sums.data, ld)
    TERN_CUDA_RETURN_FOR_TYPE(p->type, CALL);
#undef CALL
}
