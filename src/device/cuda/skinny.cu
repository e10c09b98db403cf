/* skinny.cu - y = activation(x transpose(weight) + bias) + residual for up to 32 rows, where reading the weights is the work: float16,
 * bfloat16 and float32 as TF32, on the tensor cores. Weights of 8 bits are widened on the way, which is exact.
 *
 * A block has 8 or 16 outputs of all rows, and its warps take turns along k; operands go from memory straight to registers, 16 bytes a
 * lane, which may be since the order along k within a step is the same for both. The first weights are on their way before the kernel in
 * front is done. Warps' sums are added in order, so a row has the same bits whatever the other rows are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/activations.cuh"
#include "device/cuda/mma.cuh"
#include "device/cuda/narrow.cuh"

#define WARPS      8
#define THREADS    (WARPS * 32)
#define STEP_BYTES 64 /* of k, at a time */
#define MAX_ROWS   32

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* What a lane reads of a weight's row in a step, and the same as the product wants it. W: T itself, or of 8 bits. */
template <typename T, typename W> struct piece {
    typedef uint2 bits;
    static __device__ __forceinline__ uint4 operand_of(uint2 piece) { return widen<W>(piece, T()); }
};
template <typename T> struct piece<T, T> {
    typedef uint4 bits;
    static __device__ __forceinline__ uint4 operand_of(uint4 piece) { return operand(piece, T()); }
};

/* M: of 16 rows, N: of 8 outputs, AHEAD: steps whose weights are loaded in advance, BATCH: steps whose rows of x are loaded at once. */
template <typename T, typename W, int M, int N, int AHEAD, int BATCH>
static __device__ __forceinline__ void multiply(const tern_cuda_product &p, float *parts) {
    constexpr int STEP = STEP_BYTES / (int)sizeof(T), PIECE = STEP / 4;
    static_assert(AHEAD % BATCH == 0, "batches of x fill the steps");
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = lane / 4, quad = lane % 4;
    const int first = blockIdx.x * 8 * N, n_steps = p.k / STEP;
    typedef typename piece<T, W>::bits bits;
    const W *weights[N];
#pragma unroll
    for (int j = 0; j < N; j++)
        weights[j] = (const W *)p.weight.data + (int64_t)min(first + 8 * j + row, p.n - 1) * p.weight.ld + PIECE * quad;
    bits w[AHEAD][N];
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
#pragma unroll
        for (int j = 0; j < N; j++)
            if (warp + a * WARPS < n_steps) w[a][j] = load_weight<bits>(weights[j] + (warp + a * WARPS) * STEP);
    for (int step = warp + AHEAD * WARPS; step < n_steps; step += WARPS)
#pragma unroll
        for (int j = 0; j < N; j++) prefetch(weights[j] + step * STEP);
    await_previous();
    const T *x[2 * M];
    bool valid[2 * M];
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        valid[i] = 8 * i + row < p.m;
        x[i] = (const T *)p.x.data + (valid[i] ? 8 * i + row : 0) * p.x.ld + PIECE * quad;
    }
    float y[M][N][4] = {};
    for (int base = warp; base < n_steps; base += AHEAD * WARPS)
#pragma unroll
        for (int batch = 0; batch < AHEAD; batch += BATCH) {
            uint4 r[BATCH][2 * M];
#pragma unroll
            for (int b = 0; b < BATCH; b++)
#pragma unroll
                for (int i = 0; i < 2 * M; i++) {
                    const int step = base + (batch + b) * WARPS;
                    r[b][i] = load_16(x[i] + step * STEP, valid[i] && step < n_steps);
                }
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const int a = batch + b, step = base + a * WARPS;
                if (step >= n_steps) break;
#pragma unroll
                for (int i = 0; i < 2 * M; i++) r[b][i] = operand(r[b][i], T());
#pragma unroll
                for (int j = 0; j < N; j++) {
                    const uint4 column = piece<T, W>::operand_of(w[a][j]);
                    if (step + AHEAD * WARPS < n_steps) w[a][j] = load_weight<bits>(weights[j] + (step + AHEAD * WARPS) * STEP);
#pragma unroll
                    for (int i = 0; i < M; i++) {
                        const uint4 *rows = &r[b][2 * i];
                        const uint32_t low[4] = {rows[0].x, rows[1].x, rows[0].y, rows[1].y};
                        const uint32_t high[4] = {rows[0].z, rows[1].z, rows[0].w, rows[1].w};
                        mma(y[i][j], low, column.x, column.y, T());
                        mma(y[i][j], high, column.z, column.w, T());
                    }
                }
            }
        }
    float *part = parts + warp * (16 * M * 8 * N);
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float *to = part + (16 * i + 8 * h + row) * (8 * N) + 8 * j + 2 * quad;
                *(float2 *)to = make_float2(y[i][j][2 * h], y[i][j][2 * h + 1]);
            }
}

#endif

template <typename T, typename W, int M, int N, int AHEAD, int BATCH>
static __global__ void __launch_bounds__(THREADS, 2) skinny_kernel(const tern_cuda_product p) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    __shared__ __align__(16) float parts[WARPS * 16 * M * 8 * N];
    allow_next();
    multiply<T, W, M, N, AHEAD, BATCH>(p, parts);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * M * 8 * N; i += THREADS) {
        const int row = i / (8 * N), column = blockIdx.x * 8 * N + i % (8 * N);
        if (row >= p.m || column >= p.n) continue;
        float sum = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += parts[w * (16 * M * 8 * N) + i];
        if (p.weight_scales != NULL) sum *= p.weight_scales[column];
        if (p.bias != NULL) sum += to_float(((const T *)p.bias)[column]);
        if (p.activation != TERN_OP_INPUT) sum = apply(p.activation, sum, 0.0f);
        if (p.residual.data != NULL) sum += to_float(((const T *)p.residual.data)[row * p.residual.ld + column]);
        ((T *)p.y.data)[row * p.y.ld + column] = from_float<T>(sum);
    }
#endif
}

template <typename T, typename W, int M, int N, int AHEAD, int BATCH>
static cudaError_t launch(cudaStream_t stream, const tern_cuda_product *p) {
    return launch_kernel(stream, skinny_kernel<T, W, M, N, AHEAD, BATCH>, (unsigned)((p->n + 8 * N - 1) / (8 * N)), THREADS, 0, *p);
}

template <typename T, typename W> static cudaError_t launch_type(cudaStream_t stream, const tern_cuda_product *p) {
    const bool is_wide = p->n > 1024; /* enough blocks for all multiprocessors with 16 outputs each */
    if (p->m <= 16) return is_wide ? launch<T, W, 1, 2, 4, 4>(stream, p) : launch<T, W, 1, 1, 6, 6>(stream, p);
    return is_wide ? launch<T, W, 2, 2, 4, 2>(stream, p) : launch<T, W, 2, 1, 6, 3>(stream, p);
}

bool tern__cuda_skinny_takes(const tern_cuda_product *p, int capability) {
    const int32_t step = STEP_BYTES / (p->type == TERN_CUDA_F32 ? 4 : 2);
    const bool is_narrow = p->weight_type != p->type; /* with bfloat16: what GPUs that have it store beside 8 bits */
    return (p->type != TERN_CUDA_F32 || p->is_tf32) && capability >= (p->weight_type == TERN_CUDA_E4M3 ? 89 : 80) && p->m <= MAX_ROWS &&
           p->k % step == 0 && is_aligned_16(p->x.data, p->x.ld, p->type) &&
           (is_narrow ? (uintptr_t)p->weight.data % 16 == 0 && p->weight.ld % 16 == 0
                      : is_aligned_16(p->weight.data, p->weight.ld, p->type));
}

cudaError_t tern__cuda_skinny(cudaStream_t stream, const tern_cuda_product *p) {
    if (p->weight_type == TERN_CUDA_I8) return launch_type<bf16, int8_t>(stream, p);
    if (p->weight_type == TERN_CUDA_E4M3) return launch_type<bf16, e4m3>(stream, p);
#define CALL(T) launch_type<T, T>(stream, p)
    TERN_CUDA_RETURN_FOR_TYPE(p->type, CALL);
#undef CALL
}
