/* encoder.cu - all layers of a BERT by one kernel, for one short sequence, where the launches of a kernel for each op would take most of
 * the time. On GPUs of compute capability 9.0, float16 and bfloat16.
 *
 * The grid is one block a multiprocessor, with a warp for each 64 or 128 columns of the hidden state. A layer is four phases, between which
 * the blocks exchange rows through L2, behind a barrier of all blocks. Each block has its share of a product's outputs, of all rows: QKV
 * LayerNorm (every block does all of it; not in the first layer), then queries, keys and values OUTPUT attention (likewise; a warp has the
 * heads in its columns, in registers), output product, residual UP     LayerNorm (likewise), up product, GELU DOWN   down product, residual
 * Warps split the sum: warp w has the w-th part of the columns of a product's rows, in OUTPUT those of its heads, so what it needs of the
 * rows goes from L2 straight to its registers, and the parts of a sum meet in shared memory. There a block's weights of a phase have a slot
 * of their own, which the copy engine fills for the next layer as soon as this layer's product is done: so a whole layer of weights is
 * always on its way. Each of these layers ends with rows that are not normalized yet; after the last one every block does that with its
 * columns of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/activations.cuh"
#include "device/cuda/encoder_warp.cuh"

/* Does this build have the kernel's code? */
#if defined(TERN_CUDA_HAS_SM_90A)
#define HAS_CODE true
#else
#define HAS_CODE false
#endif

#define MIN_BLOCKS 128 /* with fewer, a block's outputs are more than its slots hold */
#define ROWS       TERN_CUDA_ENCODER_ROWS

enum phase { QKV, OUTPUT, UP, DOWN, N_PHASES };

/* WARPS: each has COLUMNS of the hidden state, 64 or 128, of heads of HEAD_DIM, 64 or 32; the layer within is 4 times as wide. */
template <typename Type, int N_WARPS, int N_COLUMNS, int DIM> struct encoder_shape {
    typedef Type T;
    static constexpr int WARPS = N_WARPS, COLUMNS = N_COLUMNS, HEAD_DIM = DIM, THREADS = WARPS * 32, HIDDEN = WARPS * COLUMNS,
                         WITHIN = 4 * HIDDEN;
    /* Sixteens of rows whose sums are made at a time: the widest shape has no shared memory for more than one. */
    static constexpr int PASS = COLUMNS == 64 ? 2 : 1;
    /* The same where there are M in all, and how often. */
    static constexpr __host__ __device__ int pass_of(int m) { return m < PASS ? m : PASS; }
    static constexpr __host__ __device__ int passes_of(int m) { return m / pass_of(m); }

    static constexpr __host__ __device__ int outputs_of(int phase) { return phase == QKV ? 3 * HIDDEN : phase == UP ? WITHIN : HIDDEN; }
    static constexpr __host__ __device__ int columns_of(int phase) { return phase == DOWN ? WITHIN : HIDDEN; }
    /* The most pairs of outputs of a block. */
    static constexpr __host__ __device__ int pairs_of(int phase) { return (outputs_of(phase) / 2 + MIN_BLOCKS - 1) / MIN_BLOCKS; }
    /* Threads beside each other whose outputs are of one row. */
    static constexpr __host__ __device__ int threads_of(int phase) { return phase == QKV ? pairs_of(UP) : pairs_of(phase); }
    static constexpr __host__ __device__ int tiles_of(int phase) { return (2 * pairs_of(phase) + 7) / 8; }
    /* Shared memory, in bytes: the slots; parts of sums, float [WARPS][16 PASS][8 tiles]; of a LayerNorm: parts, float2 [ROWS][WARPS], and
     * mean and factor, float2 [ROWS]; an arrival and a range a slot. 64 bytes behind each row of weights put neighbours into different
     * banks. */
    static constexpr __host__ __device__ int stride_of(int phase) { return 2 * columns_of(phase) + 64; }
    static constexpr __host__ __device__ int slot_of(int phase) {
        return phase == 0 ? 0 : slot_of(phase - 1) + 2 * pairs_of(phase - 1) * stride_of(phase - 1);
    }
    static constexpr int PARTS = slot_of(N_PHASES), NORM_PARTS = PARTS + WARPS * 16 * PASS * 8 * tiles_of(UP) * 4,
                         MOMENTS = NORM_PARTS + ROWS * WARPS * 8, ARRIVALS = MOMENTS + ROWS * 8, RANGES = ARRIVALS + N_PHASES * 8,
                         SHARED = RANGES + N_PHASES * 8;
    static_assert(pairs_of(UP) * 16 * PASS <= THREADS, "a thread for each pair of outputs");
    static_assert(SHARED <= 227 << 10, "shared memory of a block");
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct range {
    int first, n; /* pairs of outputs */
};

/* What a block and a thread have of a run. */
struct encoder_block {
    char *shared;
    const tern_cuda_encoder *encoder;
    int n_rows;
    uint32_t n_arrivals;  /* at the barrier, of all blocks together when this one has done its part */
    uint32_t residual[2]; /* the thread's pair, in OUTPUT and DOWN, of the rows that the product is added to, in each pass */
};

template <typename S> static __device__ __forceinline__ range range_of(const encoder_block &b, int phase) {
    return ((const range *)(b.shared + S::RANGES))[phase];
}
template <typename S> static __device__ __forceinline__ char *arrival_of(const encoder_block &b, int phase) {
    return b.shared + S::ARRIVALS + 8 * phase;
}

template <typename S> static __device__ __forceinline__ void begin_block(const encoder_block &b) {
    if (threadIdx.x < N_PHASES) {
        const int phase = (int)threadIdx.x, n = S::outputs_of(phase) / 2;
        const int first = (int)blockIdx.x * n / (int)gridDim.x, end = ((int)blockIdx.x + 1) * n / (int)gridDim.x;
        ((range *)(b.shared + S::RANGES))[phase] = range{first, end - first};
        arrival_init(arrival_of<S>(b, phase));
    }
    arrival_publish();
    __syncthreads();
}

static __device__ __forceinline__ void arrive(encoder_block &b) {
    b.n_arrivals += gridDim.x;
    arrive_at_barrier(b.encoder->barrier);
}
static __device__ __forceinline__ void await(const encoder_block &b) { await_barrier(b.encoder->barrier, b.n_arrivals); }

/* Of a phase's outputs a thread has in each pass one pair of one row. */
struct output {
    int row, row_of_pass, pair; /* the pair: of the block's */
    int column;                 /* of its first; where it has none, some valid one; the same in every pass */
    bool has;
};
template <typename S, int M, int PHASE> static __device__ __forceinline__ output output_of(const encoder_block &b, int pass) {
    constexpr int N_ROWS = 16 * S::pass_of(M);
    const range r = range_of<S>(b, PHASE);
    const int thread = this_thread();
    const int row = thread / S::threads_of(PHASE), pair = thread % S::threads_of(PHASE);
    return output{pass * N_ROWS + row, row, pair, 2 * (r.first + (pair < r.n ? pair : 0)),
                  row < N_ROWS && pass * N_ROWS + row < b.n_rows && pair < r.n};
}
template <typename S> static __device__ __forceinline__ void *place_of(const output &mine, void *rows, int ld) {
    return (typename S::T *)rows + mine.row * ld + mine.column;
}

template <typename T> static __device__ __forceinline__ float2 load_pair(const void *from, int column, T) {
    return unpack(*(const uint32_t *)((const T *)from + column), T());
}

/* ---- Weights ---- */

/* By the last warp: the block's weights of a phase of a layer on their way to their slot. */
template <typename S> static __device__ __forceinline__ void send_weights(const encoder_block &b, int phase, int layer) {
    if (threadIdx.x / 32 != S::WARPS - 1 || layer >= b.encoder->n_layers) return;
    const int lane = (int)threadIdx.x % 32, bytes = 2 * S::columns_of(phase);
    const range r = range_of<S>(b, phase);
    if (lane == 0) arrival_announce(arrival_of<S>(b, phase), 2 * r.n * bytes);
    __syncwarp();
    if (lane < 2 * r.n)
        copy_piece(b.shared + S::slot_of(phase) + lane * S::stride_of(phase),
                   (const char *)b.encoder->layers[layer].weights[phase] + (int64_t)(2 * r.first + lane) * bytes, bytes,
                   arrival_of<S>(b, phase));
    __syncwarp();
}

/* By the last warp but one: the vectors of a layer on their way to L2, a line a block of each. */
template <typename S> static __device__ __forceinline__ void send_vectors(const encoder_block &b, int layer) {
    const int lane = (int)threadIdx.x % 32;
    if (threadIdx.x / 32 != S::WARPS - 2 || layer >= b.encoder->n_layers || lane >= N_PHASES + 4) return;
    const tern_cuda_encoder_layer &l = b.encoder->layers[layer];
    const char *vector = (const char *)(lane < N_PHASES ? l.biases[lane] : lane < N_PHASES + 2 ? l.scales[lane % 2] : l.shifts[lane % 2]);
    const int bytes = lane < N_PHASES ? 2 * S::outputs_of(lane) : 4 * S::HIDDEN;
    for (int at = 128 * (int)blockIdx.x; at < bytes; at += 128 * (int)gridDim.x) prefetch(vector + at);
}

/* ---- Sums, of which each warp has a part ---- */

template <typename S, int M, int N>
static __device__ __forceinline__ void put_parts(const encoder_block &b, const float (&y)[M][N][4], int pass) {
    constexpr int PASS = S::pass_of(M);
    const int lane = (int)threadIdx.x % 32;
    float *part = (float *)(b.shared + S::PARTS) + (int)threadIdx.x / 32 * (16 * PASS * 8 * N) + lane / 4 * (8 * N) + 2 * (lane % 4);
    if (pass > 0) __syncthreads(); /* those of the pass before have been read */
#pragma unroll
    for (int i = 0; i < PASS; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float *of = &y[pass * PASS + i][j][2 * h];
                *(float2 *)(part + (16 * i + 8 * h) * (8 * N) + 8 * j) = make_float2(of[0], of[1]);
            }
    __syncthreads();
}
template <typename S, int M, int N>
static __device__ __forceinline__ float2 sum_parts(const encoder_block &b, const output &mine, float2 bias) {
    const float *parts = (const float *)(b.shared + S::PARTS) + mine.row_of_pass * (8 * N) + 2 * mine.pair;
    float2 p[S::WARPS], sum = bias;
#pragma unroll
    for (int w = 0; w < S::WARPS; w++) p[w] = *(const float2 *)(parts + w * 16 * S::pass_of(M) * 8 * N);
#pragma unroll
    for (int w = 0; w < S::WARPS; w++) sum = make_float2(sum.x + p[w].x, sum.y + p[w].y);
    return sum;
}

/* ---- LayerNorm of rows, of which each warp has COLUMNS ---- */

struct layer_norm {
    const float *scale, *shift; /* NULL: rows stay as they are */
};

/* Of the lane's 8 columns of each 32. */
template <int K> struct norm_columns { float4 scale[2 * K], shift[2 * K]; };
template <typename S> static __device__ __forceinline__ norm_columns<S::COLUMNS / 32> load_norm(layer_norm of) {
    const int column = (int)threadIdx.x / 32 * S::COLUMNS + (int)threadIdx.x % 4 * 8;
    norm_columns<S::COLUMNS / 32> p = {};
    if (of.scale == NULL) return p;
#pragma unroll
    for (int i = 0; i < S::COLUMNS / 16; i++) {
        p.scale[i] = *(const float4 *)(of.scale + column + i / 2 * 32 + i % 2 * 4);
        p.shift[i] = *(const float4 *)(of.shift + column + i / 2 * 32 + i % 2 * 4);
    }
    return p;
}

template <typename T>
static __device__ __forceinline__ uint32_t normalize_pair(uint32_t x, float mean, float factor, float2 scale, float2 shift, T) {
    const float2 pair = unpack(x, T());
    return pack((pair.x - mean) * factor * scale.x + shift.x, (pair.y - mean) * factor * scale.y + shift.y, T());
}
template <typename T>
static __device__ __forceinline__ uint2 normalize_four(uint32_t x, uint32_t y, float mean, float factor, float4 scale, float4 shift, T) {
    return make_uint2(normalize_pair(x, mean, factor, make_float2(scale.x, scale.y), make_float2(shift.x, shift.y), T()),
                      normalize_pair(y, mean, factor, make_float2(scale.z, scale.w), make_float2(shift.z, shift.w), T()));
}

/* Mean of a row's columns of the warp, and the sum of squared distances from it. row: the lane's of each 32, STEP apart. */
template <int K, int STEP, typename T> static __device__ __forceinline__ float2 moments_of(const uint4 *row, T) {
    float sum = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < 4 * K; i++) {
        const float2 pair = unpack(word_of(row[i / 4 * STEP], i % 4), T());
        sum += pair.x + pair.y;
    }
    const float mean = quad_sum(sum) * (1.0f / (32 * K));
#pragma unroll
    for (int i = 0; i < 4 * K; i++) {
        const float2 pair = unpack(word_of(row[i / 4 * STEP], i % 4), T());
        squares += (pair.x - mean) * (pair.x - mean) + (pair.y - mean) * (pair.y - mean);
    }
    return make_float2(mean, quad_sum(squares));
}

/* Mean and factor of a row from its warps' moments. */
template <typename S> static __device__ __forceinline__ float2 combine_moments(const float2 *parts, float eps) {
    const int quad = (int)threadIdx.x % 4;
    float2 part[(S::WARPS + 3) / 4];
    float sum = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < (S::WARPS + 3) / 4; i++) {
        part[i] = 4 * i + quad < S::WARPS ? parts[4 * i + quad] : make_float2(0, 0);
        sum += part[i].x;
    }
    const float mean = quad_sum(sum) * (1.0f / S::WARPS);
#pragma unroll
    for (int i = 0; i < (S::WARPS + 3) / 4; i++)
        squares += 4 * i + quad < S::WARPS ? part[i].y + S::COLUMNS * (part[i].x - mean) * (part[i].x - mean) : 0;
    return make_float2(mean, 1.0f / sqrtf(quad_sum(squares) * (1.0f / S::HIDDEN) + eps));
}

/* Leaves mean and factor of each row in MOMENTS, to be read behind the next barrier of the block. */
template <typename S, int M>
static __device__ __forceinline__ void normalize(uint4 (&r)[S::COLUMNS / 32 * 2 * M], const norm_columns<S::COLUMNS / 32> &p,
                                                 const encoder_block &b) {
    typedef typename S::T T;
    constexpr int K = S::COLUMNS / 32;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    float2 *parts = (float2 *)(b.shared + S::NORM_PARTS), *moments = (float2 *)(b.shared + S::MOMENTS);
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        const float2 part = moments_of<K, 2 * M>(r + i, T());
        if (lane % 4 == 0) parts[(8 * i + lane / 4) * S::WARPS + warp] = part;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        const float2 m = combine_moments<S>(parts + (8 * i + lane / 4) * S::WARPS, b.encoder->eps);
        if (warp == 0 && lane % 4 == 0) moments[8 * i + lane / 4] = m;
#pragma unroll
        for (int k = 0; k < K; k++) {
            uint4 &x = r[k * 2 * M + i];
            const uint2 low = normalize_four(x.x, x.y, m.x, m.y, p.scale[2 * k], p.shift[2 * k], T());
            const uint2 high = normalize_four(x.z, x.w, m.x, m.y, p.scale[2 * k + 1], p.shift[2 * k + 1], T());
            x = make_uint4(low.x, low.y, high.x, high.y);
        }
    }
}

/* A pair of the row likewise. */
template <typename S>
static __device__ __forceinline__ uint32_t normalize_own(const encoder_block &b, uint32_t x, int row, float2 scale, float2 shift) {
    const float2 m = ((const float2 *)(b.shared + S::MOMENTS))[row];
    return normalize_pair(x, m.x, m.y, scale, shift, typename S::T());
}

/* ---- The phases ---- */

/* QKV and UP: to = product of the rows `from`, normed, which become the residual of the next phase. */
template <typename S, int M, int PHASE>
static __device__ __forceinline__ void normed_product(encoder_block &b, int layer, layer_norm of, const void *from, void *to) {
    typedef typename S::T T;
    constexpr int K = S::COLUMNS / 32, N = S::tiles_of(PHASE);
    const int warp = this_thread() / 32, own_column = output_of<S, M, OUTPUT>(b, 0).column;
    const norm_columns<K> p = load_norm<S>(of);
    const float2 bias = load_pair(b.encoder->layers[layer].biases[PHASE], output_of<S, M, PHASE>(b, 0).column, T());
    float2 own_scale = make_float2(1, 1), own_shift = make_float2(0, 0);
    if (of.scale != NULL) own_scale = *(const float2 *)(of.scale + own_column), own_shift = *(const float2 *)(of.shift + own_column);
    await(b);
    uint4 r[K * 2 * M];
    load_rows<M, K>(r, from, S::HIDDEN, S::COLUMNS * warp, b.n_rows, T());
    if (of.scale != NULL) normalize<S, M>(r, p, b);
    float y[M][N][4] = {};
    arrival_await(arrival_of<S>(b, PHASE), layer & 1);
    multiply_weights<M, N, K>(y, r, b.shared + S::slot_of(PHASE) + 2 * S::COLUMNS * warp, S::stride_of(PHASE), 2 * range_of<S>(b, PHASE).n,
                              T());
#pragma unroll
    for (int pass = 0; pass < S::passes_of(M); pass++) {
        put_parts<S>(b, y, pass);
        const output mine = output_of<S, M, PHASE>(b, pass), own = output_of<S, M, OUTPUT>(b, pass);
        if (mine.has) {
            const float2 s = sum_parts<S, M, N>(b, mine, bias);
            store_exchanged(place_of<S>(mine, to, S::outputs_of(PHASE)),
                            PHASE == UP ? pack(apply(TERN_OP_GELU, s.x, 0), apply(TERN_OP_GELU, s.y, 0), T()) : pack(s.x, s.y, T()));
        }
        if (of.scale != NULL && own.has) b.residual[pass] = normalize_own<S>(b, b.residual[pass], own.row, own_scale, own_shift);
    }
    send_weights<S>(b, PHASE, layer + 1);
    arrive(b);
}

/* The end of OUTPUT and DOWN: rows `to` = product + residual. */
template <typename S, int M, int PHASE>
static __device__ __forceinline__ void add_residual(encoder_block &b, int layer, const float (&y)[M][1][4], float2 bias, void *to) {
    typedef typename S::T T;
#pragma unroll
    for (int pass = 0; pass < S::passes_of(M); pass++) {
        put_parts<S>(b, y, pass);
        const output mine = output_of<S, M, PHASE>(b, pass);
        if (!mine.has) continue;
        const float2 s = sum_parts<S, M, 1>(b, mine, bias), x = unpack(b.residual[pass], T());
        b.residual[pass] = pack(s.x + x.x, s.y + x.y, T());
        store_exchanged(place_of<S>(mine, to, S::HIDDEN), b.residual[pass]);
    }
    send_weights<S>(b, PHASE, layer + 1);
    arrive(b);
}

template <typename S, int M>
static __device__ __forceinline__ void attention_product(encoder_block &b, int layer, const void *qkv, void *to) {
    typedef typename S::T T;
    /* A head's 32 columns, the warp's, and of these as many at a time as registers hold rows of. */
    constexpr int HEAD = S::HEAD_DIM / 32, ALL = S::COLUMNS / 32, BATCH = ALL == 2 || M == 1 ? ALL : HEAD;
    const int warp = this_thread() / 32;
    const float2 bias = load_pair(b.encoder->layers[layer].biases[OUTPUT], output_of<S, M, OUTPUT>(b, 0).column, T());
    await(b);
    float y[M][1][4] = {};
#pragma unroll
    for (int first = 0; first < ALL; first += BATCH) {
        uint4 r[3][BATCH * 2 * M], out[BATCH * 2 * M];
        const int column = S::COLUMNS * warp + 32 * first;
#pragma unroll
        for (int i = 0; i < 3; i++) load_rows<M, BATCH>(r[i], qkv, 3 * S::HIDDEN, i * S::HIDDEN + column, b.n_rows, T());
#pragma unroll
        for (int at = 0; at < BATCH * 2 * M; at += HEAD * 2 * M)
            attend<M, HEAD>(out + at, r[0] + at, r[1] + at, r[2] + at, b.encoder->scale * LOG2E, b.n_rows, T());
        if (first == 0) arrival_await(arrival_of<S>(b, OUTPUT), layer & 1);
        multiply_weights<M, 1, BATCH>(y, out, b.shared + S::slot_of(OUTPUT) + 2 * column, S::stride_of(OUTPUT),
                                      2 * range_of<S>(b, OUTPUT).n, T());
    }
    add_residual<S, M, OUTPUT>(b, layer, y, bias, to);
}

template <typename S, int M> static __device__ __forceinline__ void down_product(encoder_block &b, int layer, const void *from, void *to) {
    typedef typename S::T T;
    constexpr int ALL = S::WITHIN / S::WARPS / 32, BATCH = M == 1 ? 8 : 4; /* as above */
    const int warp = this_thread() / 32;
    const float2 bias = load_pair(b.encoder->layers[layer].biases[DOWN], output_of<S, M, DOWN>(b, 0).column, T());
    await(b);
    float y[M][1][4] = {};
#pragma unroll
    for (int first = 0; first < ALL; first += BATCH) {
        uint4 r[BATCH * 2 * M];
        const int column = 32 * (ALL * warp + first);
        load_rows<M, BATCH>(r, from, S::WITHIN, column, b.n_rows, T());
        if (first == 0) arrival_await(arrival_of<S>(b, DOWN), layer & 1);
        multiply_weights<M, 1, BATCH>(y, r, b.shared + S::slot_of(DOWN) + 2 * column, S::stride_of(DOWN), 2 * range_of<S>(b, DOWN).n, T());
    }
    add_residual<S, M, DOWN>(b, layer, y, bias, to);
}

/* y = the last rows, normed. */
template <typename S, int M>
static __device__ __forceinline__ void final_norm(encoder_block &b, layer_norm of, const void *from, void *to) {
    const int column = output_of<S, M, DOWN>(b, 0).column;
    const float2 scale = *(const float2 *)(of.scale + column), shift = *(const float2 *)(of.shift + column);
    const norm_columns<S::COLUMNS / 32> p = load_norm<S>(of);
    await(b);
    uint4 r[S::COLUMNS / 32 * 2 * M];
    load_rows<M, S::COLUMNS / 32>(r, from, S::HIDDEN, S::COLUMNS * ((int)threadIdx.x / 32), b.n_rows, typename S::T());
    normalize<S, M>(r, p, b);
    __syncthreads();
#pragma unroll
    for (int pass = 0; pass < S::passes_of(M); pass++) {
        const output mine = output_of<S, M, DOWN>(b, pass);
        if (mine.has) *(uint32_t *)place_of<S>(mine, to, S::HIDDEN) = normalize_own<S>(b, b.residual[pass], mine.row, scale, shift);
    }
}

template <typename S, int M> static __device__ __forceinline__ void encode(const tern_cuda_encoder &e, char *shared) {
    typedef typename S::T T;
    encoder_block b = {shared, &e, 0, 0, {0, 0}};
    begin_block<S>(b);
    for (int phase = 0; phase < N_PHASES; phase++) send_weights<S>(b, phase, 0);
    send_vectors<S>(b, 0);
    begin();
    b.n_rows = min(e.row_start[1], 16 * M);
#pragma unroll
    for (int pass = 0; pass < S::passes_of(M); pass++) {
        const output mine = output_of<S, M, OUTPUT>(b, pass);
        if (mine.has) b.residual[pass] = *(const uint32_t *)place_of<S>(mine, e.x.data, S::HIDDEN);
    }
    T *const qkv = (T *)e.exchange, *const h = qkv + ROWS * 3 * S::HIDDEN, *const u = h + ROWS * S::HIDDEN, *const x = u + ROWS * S::WITHIN;
    layer_norm before = {NULL, NULL};
    const void *from = e.x.data;
#pragma unroll 1
    for (int layer = 0; layer < e.n_layers; layer++) {
        const tern_cuda_encoder_layer &l = e.layers[layer];
        send_vectors<S>(b, layer + 1);
        normed_product<S, M, QKV>(b, layer, before, from, qkv);
        attention_product<S, M>(b, layer, qkv, h);
        normed_product<S, M, UP>(b, layer, layer_norm{l.scales[0], l.shifts[0]}, h, u);
        down_product<S, M>(b, layer, u, x);
        before = layer_norm{l.scales[1], l.shifts[1]}, from = x;
    }
    final_norm<S, M>(b, before, x, e.y.data);
}

#endif

template <typename S, int M>
static __global__ void __launch_bounds__(S::THREADS, 1) encoder_kernel(const __grid_constant__ tern_cuda_encoder e) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    DYNAMIC_SHARED(shared);
    encode<S, M>(e, (char *)shared);
#endif
}

/* ---- Which shapes there are ---- */

/* CALL(S) for the shape of the encoder, or NONE where there is no kernel for it. */
#define RETURN_FOR_SHAPE(type, width, head_dim, CALL, NONE)                                                                                \
    do {                                                                                                                                   \
        if ((type) == TERN_CUDA_F16) RETURN_FOR_SIZES(f16, width, head_dim, CALL);                                                         \
        if ((type) == TERN_CUDA_BF16) RETURN_FOR_SIZES(bf16, width, head_dim, CALL);                                                       \
        return NONE;                                                                                                                       \
    } while (0)
#define RETURN_FOR_SIZES(T, width, head_dim, CALL)                                                                                         \
    do {                                                                                                                                   \
        if ((width) == 128 && (head_dim) == 64) return CALL(T, 2, 64, 64);                                                                 \
        if ((width) == 384 && (head_dim) == 32) return CALL(T, 6, 64, 32);                                                                 \
        if ((width) == 768 && (head_dim) == 64) return CALL(T, 12, 64, 64);                                                                \
        if ((width) == 1024 && (head_dim) == 64) return CALL(T, 8, 128, 64);                                                               \
    } while (0)

bool tern__cuda_encoder_takes(tern_cuda_type type, int32_t width, int32_t within, int32_t head_dim, int capability, int n_multiprocessors) {
    if (!HAS_CODE || capability != 90 || n_multiprocessors < MIN_BLOCKS || within != 4 * width) return false;
#define YES(T, WARPS, COLUMNS, DIM) true
    RETURN_FOR_SHAPE(type, width, head_dim, YES, false);
#undef YES
}

/* Rows of queries, keys and values, of h, within, and of y before its norm. */
size_t tern__cuda_encoder_exchange_bytes(int32_t width) { return (size_t)ROWS * 9 * (size_t)width * 2; }

template <typename S>
static cudaError_t launch_encoder(cudaStream_t stream, const tern_cuda_encoder &e, unsigned n_blocks, int64_t n_rows) {
    return launch_with(true, stream, n_rows <= 16 ? encoder_kernel<S, 1> : encoder_kernel<S, 2>, dim3(n_blocks), dim3(S::THREADS),
                       S::SHARED, e);
}

cudaError_t tern__cuda_encode(cudaStream_t stream, const tern_cuda_encoder *e, tern_cuda_shape shape, int n_multiprocessors) {
#define LAUNCH(T, WARPS, COLUMNS, DIM)                                                                                                     \
    launch_encoder<encoder_shape<T, WARPS, COLUMNS, DIM>>(stream, *e, (unsigned)n_multiprocessors, shape.n_rows)
    RETURN_FOR_SHAPE(shape.type, shape.width, e->head_dim, LAUNCH, cudaErrorInvalidValue);
#undef LAUNCH
}
