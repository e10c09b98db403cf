/* rows.cu - kernels that work on rows: lookups, elementwise ops, norms, rotary embedding, pooling, and the way in and out.
 * A block has one row, a part of one, or in norms several; widths and strides that are multiples of 16 bytes are read 16 bytes at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/activations.cuh"
#include "device/cuda/elements.cuh"

#define THREADS 128
#define WARPS   (THREADS / 32)

static inline unsigned blocks_of(int64_t n, int64_t each) { return (unsigned)((n + each - 1) / each); }

static bool is_vector(tern_cuda_rows rows, tern_cuda_shape shape) {
    return shape.width % 8 == 0 && is_aligned_16(rows.data, rows.ld, shape.type);
}

/* ---- In and out ---- */

template <typename T, typename S>
static __global__ void convert_kernel(T *to, int64_t ld, const S *from, int64_t start, int64_t n, int32_t columns) {
    begin();
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const int64_t at = start + i;
    to[at / columns * ld + at % columns] = from_float<T>((float)from[i]);
}

template <typename T, typename S>
static cudaError_t convert(cudaStream_t stream, tern_cuda_rows to, const void *from, int64_t start, int64_t n, int32_t columns) {
    return launch_kernel(stream, convert_kernel<T, S>, blocks_of(n, 256), 256, 0, (T *)to.data, to.ld, (const S *)from, start, n, columns);
}

template <typename T>
static cudaError_t convert_from(cudaStream_t stream, tern_cuda_rows to, const void *from, tern_dtype dtype, int64_t start, int64_t n,
                                int32_t columns) {
    if (dtype == TERN_DTYPE_F64) return convert<T, double>(stream, to, from, start, n, columns);
    if (dtype == TERN_DTYPE_F16) return convert<T, f16>(stream, to, from, start, n, columns);
    if (dtype == TERN_DTYPE_BF16) return convert<T, bf16>(stream, to, from, start, n, columns);
    return convert<T, float>(stream, to, from, start, n, columns);
}

cudaError_t tern__cuda_convert(cudaStream_t stream, tern_cuda_rows to, tern_cuda_type type, const void *from, tern_dtype dtype,
                               int64_t start, int64_t n, int32_t columns) {
#define CALL(T) convert_from<T>(stream, to, from, dtype, start, n, columns)
    TERN_CUDA_RETURN_FOR_TYPE(type, CALL);
#undef CALL
}

template <typename T> static __global__ void store_kernel(float *to, const T *x, int64_t ld, int32_t width) {
    begin();
    const int32_t c = blockIdx.y * THREADS + threadIdx.x;
    if (c < width) to[(int64_t)blockIdx.x * width + c] = to_float(x[blockIdx.x * ld + c]);
}

cudaError_t tern__cuda_store(cudaStream_t stream, float *to, tern_cuda_rows x, tern_cuda_shape shape) {
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width, THREADS));
#define CALL(T) launch_kernel(stream, store_kernel<T>, grid, THREADS, 0, to, (const T *)x.data, x.ld, shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Lookups ---- */

template <typename T>
static __global__ void lookup_kernel(T *y, int64_t ldy, const T *table, int64_t ld, const int32_t *ids, int32_t width) {
    begin();
    const int32_t c = blockIdx.y * THREADS + threadIdx.x;
    if (c < width) y[blockIdx.x * ldy + c] = table[ids[blockIdx.x] * ld + c];
}

cudaError_t tern__cuda_embedding(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows table, const int32_t *ids, tern_cuda_shape shape) {
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width, THREADS));
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, lookup_kernel<T>, grid, THREADS, 0, (T *)y.data, y.ld, (const T *)table.data, table.ld, ids, shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

cudaError_t tern__cuda_take(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *picks, tern_cuda_shape shape) {
    return tern__cuda_embedding(stream, y, x, picks, shape);
}

/* ---- Elementwise ---- */

template <typename T, int V>
static __global__ void elementwise_kernel(tern_op op, T *y, int64_t ldy, const T *a, int64_t lda, const T *b, int64_t ldb, int32_t width) {
    begin();
    const int32_t c = (blockIdx.y * THREADS + threadIdx.x) * V;
    if (c >= width) return;
    float x[V], z[V] = {};
    load<V>(x, a + blockIdx.x * lda + c);
    if (op == TERN_OP_ADD || op == TERN_OP_MULTIPLY) load<V>(z, b + blockIdx.x * ldb + c);
#pragma unroll
    for (int i = 0; i < V; i++) x[i] = apply(op, x[i], z[i]);
    store<V>(y + blockIdx.x * ldy + c, x);
}

cudaError_t tern__cuda_elementwise(cudaStream_t stream, tern_op op, tern_cuda_rows y, tern_cuda_rows a, tern_cuda_rows b,
                                   tern_cuda_shape shape) {
    const bool vector = is_vector(y, shape) && is_vector(a, shape) && (b.data == NULL || is_vector(b, shape));
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width, vector ? 8 * THREADS : THREADS));
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, vector ? elementwise_kernel<T, 8> : elementwise_kernel<T, 1>, grid, THREADS, 0, op, (T *)y.data, y.ld,           \
                  (const T *)a.data, a.ld, (const T *)b.data, b.ld, shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Norms. A row is a warp's or, when it is long, a block's; where it fits, each thread keeps its part in registers: PARTS times V
 * elements. ---- */

/* Where the elements of a row come from: one row, the sum of two, or of rows of tables. */
template <typename T> struct two_rows {
    const T *a, *b;
    int64_t lda, ldb;
    template <int V> __device__ __forceinline__ void get(float *x, int64_t row, int32_t c) const {
        load<V>(x, a + row * lda + c);
        if (b == NULL) return;
        float z[V];
        load<V>(z, b + row * ldb + c);
#pragma unroll
        for (int i = 0; i < V; i++) x[i] += z[i];
    }
};

template <typename T> struct table_rows {
    const T *tables[3];
    const int32_t *ids[3];
    int64_t ld;
    int n;
    template <int V> __device__ __forceinline__ void get(float *x, int64_t row, int32_t c) const {
        load<V>(x, tables[0] + ids[0][row] * ld + c);
        for (int t = 1; t < n; t++) {
            float z[V];
            load<V>(z, tables[t] + ids[t][row] * ld + c);
#pragma unroll
            for (int i = 0; i < V; i++) x[i] += z[i];
        }
    }
};

/* A block is TEAM warps wide and as many rows high as fit. */
template <typename T, int TEAM, int PARTS, typename Source>
static __global__ void __launch_bounds__(THREADS)
    layer_norm_kernel(T *y, int64_t ldy, Source source, const float *weight, const float *bias, float eps, int64_t n_rows, int32_t width) {
    constexpr int V = 8, STEP = TEAM * 32 * V;
    begin();
    const int64_t row = (int64_t)blockIdx.x * (WARPS / TEAM) + threadIdx.y;
    if (row >= n_rows) return;
    float x[PARTS][V], sum = 0;
#pragma unroll
    for (int p = 0; p < PARTS; p++) {
        const int32_t c = p * STEP + threadIdx.x * V;
        if (c >= width) continue;
        source.template get<V>(x[p], row, c);
#pragma unroll
        for (int i = 0; i < V; i++) sum += x[p][i];
    }
    const float mean = team_sum<TEAM>(sum) / (float)width;
    sum = 0;
#pragma unroll
    for (int p = 0; p < PARTS; p++)
        if (p * STEP + threadIdx.x * V < width) {
#pragma unroll
            for (int i = 0; i < V; i++) sum += (x[p][i] - mean) * (x[p][i] - mean);
        }
    const float factor = 1.0f / sqrtf(team_sum<TEAM>(sum) / (float)width + eps);
#pragma unroll
    for (int p = 0; p < PARTS; p++) {
        const int32_t c = p * STEP + threadIdx.x * V;
        if (c >= width) continue;
        float w[V], b[V] = {};
        load<V>(w, weight + c);
        if (bias != NULL) load<V>(b, bias + c);
#pragma unroll
        for (int i = 0; i < V; i++) x[p][i] = (x[p][i] - mean) * factor * w[i] + b[i];
        store<V>(y + row * ldy + c, x[p]);
    }
}

/* Rows of any width, read three times. */
template <typename T, typename Source>
static __global__ void layer_norm_long_kernel(T *y, int64_t ldy, Source source, const float *weight, const float *bias, float eps,
                                              int32_t width) {
    begin();
    const int64_t row = blockIdx.x;
    float x, sum = 0;
    for (int32_t c = threadIdx.x; c < width; c += THREADS) {
        source.template get<1>(&x, row, c);
        sum += x;
    }
    const float mean = block_sum<WARPS>(sum) / (float)width;
    sum = 0;
    for (int32_t c = threadIdx.x; c < width; c += THREADS) {
        source.template get<1>(&x, row, c);
        sum += (x - mean) * (x - mean);
    }
    const float factor = 1.0f / sqrtf(block_sum<WARPS>(sum) / (float)width + eps);
    for (int32_t c = threadIdx.x; c < width; c += THREADS) {
        source.template get<1>(&x, row, c);
        y[row * ldy + c] = from_float<T>((x - mean) * factor * weight[c] + (bias != NULL ? bias[c] : 0.0f));
    }
}

template <typename T, typename Source>
static cudaError_t launch_layer_norm(cudaStream_t stream, tern_cuda_rows y, const Source &source, bool vector, const float *weight,
                                     const float *bias, float eps, tern_cuda_shape shape) {
    const unsigned blocks = (unsigned)shape.n_rows;
    T *to = (T *)y.data;
#define LAUNCH(TEAM, PARTS)                                                                                                                \
    if (vector && shape.width <= TEAM * PARTS * 32 * 8)                                                                                    \
    return launch_kernel(stream, layer_norm_kernel<T, TEAM, PARTS, Source>, blocks_of(shape.n_rows, WARPS / TEAM),                         \
                         dim3(32 * TEAM, WARPS / TEAM), 0, to, y.ld, source, weight, bias, eps, shape.n_rows, shape.width)
    LAUNCH(1, 2);
    LAUNCH(1, 4);
    LAUNCH(WARPS, 4);
#undef LAUNCH
    return launch_kernel(stream, layer_norm_long_kernel<T, Source>, blocks, THREADS, 0, to, y.ld, source, weight, bias, eps, shape.width);
}

cudaError_t tern__cuda_layer_norm(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows a, tern_cuda_rows b, const float *weight,
                                  const float *bias, float eps, tern_cuda_shape shape) {
    const bool vector = is_vector(y, shape) && is_vector(a, shape) && (b.data == NULL || is_vector(b, shape));
#define CALL(T)                                                                                                                            \
    launch_layer_norm<T>(stream, y, two_rows<T>{(const T *)a.data, (const T *)b.data, a.ld, b.ld}, vector, weight, bias, eps, shape)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

template <typename T>
static cudaError_t launch_embedding_layer_norm(cudaStream_t stream, tern_cuda_rows y, const tern_cuda_lookup *lookups, int n, bool vector,
                                               const float *weight, const float *bias, float eps, tern_cuda_shape shape) {
    table_rows<T> source = {};
    source.ld = lookups[0].table.ld;
    source.n = n;
    for (int t = 0; t < n; t++) {
        source.tables[t] = (const T *)lookups[t].table.data;
        source.ids[t] = lookups[t].ids;
    }
    return launch_layer_norm<T>(stream, y, source, vector, weight, bias, eps, shape);
}

cudaError_t tern__cuda_embedding_layer_norm(cudaStream_t stream, tern_cuda_rows y, const tern_cuda_lookup *lookups, int n,
                                            const float *weight, const float *bias, float eps, tern_cuda_shape shape) {
    const bool vector = is_vector(y, shape) && is_vector(lookups[0].table, shape);
#define CALL(T) launch_embedding_layer_norm<T>(stream, y, lookups, n, vector, weight, bias, eps, shape)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

template <typename T> static __global__ void normalize_kernel(T *y, int64_t ldy, const T *x, int64_t ldx, int32_t width) {
    begin();
    const T *from = x + blockIdx.x * ldx;
    T *to = y + blockIdx.x * ldy;
    float sum = 0;
    for (int32_t c = threadIdx.x; c < width; c += THREADS) sum += to_float(from[c]) * to_float(from[c]);
    const float norm = fmaxf(sqrtf(block_sum<WARPS>(sum)), 1e-12f);
    for (int32_t c = threadIdx.x; c < width; c += THREADS) to[c] = from_float<T>(to_float(from[c]) / norm);
}

cudaError_t tern__cuda_normalize(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, tern_cuda_shape shape) {
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, normalize_kernel<T>, (unsigned)shape.n_rows, THREADS, 0, (T *)y.data, y.ld, (const T *)x.data, x.ld, shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Columns of other rows, times a factor ---- */

template <typename T>
static __global__ void scale_kernel(T *y, int64_t ldy, int32_t column, const T *x, int64_t ldx, float factor, int32_t width) {
    begin();
    const int32_t c = blockIdx.y * THREADS + threadIdx.x;
    if (c < width) y[blockIdx.x * ldy + column + c] = from_float<T>(to_float(x[blockIdx.x * ldx + c]) * factor);
}

cudaError_t tern__cuda_scale(cudaStream_t stream, tern_cuda_rows y, int32_t column, tern_cuda_rows x, float factor, tern_cuda_shape shape) {
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width, THREADS));
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, scale_kernel<T>, grid, THREADS, 0, (T *)y.data, y.ld, column, (const T *)x.data, x.ld, factor, shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Rotary embedding: a thread has a pair ---- */

template <typename T>
static __global__ void rope_kernel(T *y, int64_t ldy, const T *x, int64_t ldx, const float *table, const int32_t *positions,
                                   int32_t head_dim, int32_t n_pairs) {
    begin();
    const int32_t pair = blockIdx.y * THREADS + threadIdx.x, half = head_dim / 2;
    if (pair >= n_pairs) return;
    const int32_t c = pair / half * head_dim + pair % half;
    const float *angles = table + (int64_t)positions[blockIdx.x] * head_dim + pair % half;
    const float cosine = angles[0], sine = angles[half];
    const float a = to_float(x[blockIdx.x * ldx + c]), b = to_float(x[blockIdx.x * ldx + c + half]);
    y[blockIdx.x * ldy + c] = from_float<T>(a * cosine - b * sine);
    y[blockIdx.x * ldy + c + half] = from_float<T>(b * cosine + a * sine);
}

cudaError_t tern__cuda_rope(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const float *table, const int32_t *positions,
                            int32_t head_dim, tern_cuda_shape shape) {
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width / 2, THREADS));
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, rope_kernel<T>, grid, THREADS, 0, (T *)y.data, y.ld, (const T *)x.data, x.ld, table, positions, head_dim,        \
                  shape.width / 2)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Unfold: a thread has a column of all rows of a sequence ---- */

/* tern__row_at, from rows behind `first`. */
static __device__ __forceinline__ int32_t row_at(const int32_t *columns, int32_t n, int32_t row, int32_t distance) {
    const int32_t wanted = columns[row] + distance, step = distance < 0 ? -1 : 1;
    while (row >= 0 && row < n && (wanted - columns[row]) * step > 0) row += step;
    return row >= 0 && row < n && columns[row] == wanted ? row : -1;
}

template <typename T>
static __global__ void unfold_kernel(T *y, int64_t ldy, const T *x, int64_t ldx, const int32_t *row_start, const int32_t *columns,
                                     int32_t kernel_size, int32_t width) {
    begin();
    const int32_t c = blockIdx.y * THREADS + threadIdx.x, first = row_start[blockIdx.x], n = row_start[blockIdx.x + 1] - first;
    if (c >= width) return;
    for (int32_t r = 0; r < n; r++) {
        const int32_t row = row_at(columns + first, n, r, c % kernel_size - kernel_size / 2);
        y[(first + r) * ldy + c] = row < 0 ? from_float<T>(0.0f) : x[(first + row) * ldx + c / kernel_size];
    }
}

cudaError_t tern__cuda_unfold(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *row_start, int64_t n_sequences,
                              const int32_t *columns, int32_t kernel_size, tern_cuda_shape shape) {
    const dim3 grid((unsigned)n_sequences, blocks_of(shape.width, THREADS));
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, unfold_kernel<T>, grid, THREADS, 0, (T *)y.data, y.ld, (const T *)x.data, x.ld, row_start, columns, kernel_size, \
                  shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}

/* ---- Pooling: a block has 32 columns of a sequence, a warp every eighth row ---- */

#define POOL_ROWS 8

/* Rows begin ... end - 1 of a sequence of n, of which the first n_prompt may be left out. */
static __device__ __forceinline__ void pooled_rows(tern_pool pool, int32_t n, int32_t n_prompt, int32_t *begin, int32_t *end) {
    const int32_t first = min(n_prompt, n);
    *begin = pool == TERN_POOL_LAST_TOKEN ? max(first, n - 1) : pool == TERN_POOL_CLS && first == n ? 0 : first;
    *end = pool == TERN_POOL_CLS ? min(n, *begin + 1) : n;
}

static __device__ __forceinline__ float pool_divisor(tern_pool pool, int32_t begin, int32_t end) {
    const float n = (float)(end - begin);
    if (pool == TERN_POOL_MEAN) return n;
    if (pool == TERN_POOL_MEAN_SQRT_LEN) return sqrtf(n);
    return pool == TERN_POOL_WEIGHTED_MEAN ? n * (float)(begin + end + 1) * 0.5f : 1.0f;
}

template <typename T>
static __global__ void pool_kernel(T *y, int64_t ldy, const T *x, int64_t ldx, const int32_t *row_start, tern_pool pool, int32_t n_prompt,
                                   int32_t width) {
    begin();
    __shared__ float parts[POOL_ROWS][33];
    const int32_t c = blockIdx.y * 32 + threadIdx.x, first = row_start[blockIdx.x], n = row_start[blockIdx.x + 1] - first;
    int32_t begin, end;
    pooled_rows(pool, n, n_prompt, &begin, &end);
    float part = pool == TERN_POOL_MAX ? -INFINITY : 0.0f;
    for (int32_t r = begin + threadIdx.y; r < end && c < width; r += POOL_ROWS) {
        const float value = to_float(x[(first + r) * ldx + c]);
        part = pool == TERN_POOL_MAX ? fmaxf(part, value) : part + (pool == TERN_POOL_WEIGHTED_MEAN ? (float)(r + 1) * value : value);
    }
    parts[threadIdx.y][threadIdx.x] = part;
    __syncthreads();
    if (threadIdx.y > 0 || c >= width) return;
    for (int32_t r = 1; r < POOL_ROWS; r++)
        part = pool == TERN_POOL_MAX ? fmaxf(part, parts[r][threadIdx.x]) : part + parts[r][threadIdx.x];
    y[blockIdx.x * ldy + c] = from_float<T>(end > begin ? part / pool_divisor(pool, begin, end) : part);
}

cudaError_t tern__cuda_pool(cudaStream_t stream, tern_cuda_rows y, tern_cuda_rows x, const int32_t *row_start, tern_pool pool,
                            int32_t n_prompt, tern_cuda_shape shape) {
    const dim3 grid((unsigned)shape.n_rows, blocks_of(shape.width, 32)), block(32, POOL_ROWS);
#define CALL(T)                                                                                                                            \
    launch_kernel(stream, pool_kernel<T>, grid, block, 0, (T *)y.data, y.ld, (const T *)x.data, x.ld, row_start, pool, n_prompt,           \
                  shape.width)
    TERN_CUDA_RETURN_FOR_TYPE(shape.type, CALL);
#undef CALL
}
