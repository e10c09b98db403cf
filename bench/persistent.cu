/* persistent.cu - what would one kernel for a whole encoder gain over the graph of kernels that the CUDA device makes of it? This is such a
 * kernel for the case where launches weigh most, one short text: BERT-base's shape at batch 1, up to 32 tokens, bfloat16, random weights,
 * on a GPU of compute capability 9.0. The program compares its result with plain float32 kernels and prints its times beside those of its
 * parts: an empty kernel, the barriers alone, the weights' read alone. The result is in docs/SPEED.md. By cmake, or by hand:
 *
 *     cmake --preset release -DTERN_CUDA=ON -DTERN_CUDA_ARCHITECTURES=90a && cmake --build build/release --target persistent
 *     build/release/bench/persistent
 *
 *     nvcc -O3 -std=c++17 -gencode=arch=compute_90a,code=sm_90a -o persistent bench/persistent.cu && ./persistent
 *
 * The grid is one block of 12 warps a multiprocessor. A layer is four phases, between which the blocks exchange rows through L2, behind a
 * barrier of all blocks. Each block has its share of a product's outputs, of all rows:
 *   QKV   LayerNorm (every block does all of it), then Q, K, V                     up to 18 outputs a block
 *   O     attention (likewise; a warp has a head, in registers), output product, residual           up to 6
 *   UP    LayerNorm (likewise), up product, GELU                                                    up to 24
 *   DOWN  down product, residual                                                                    up to 6
 * Warps split k: warp w has its w-th twelfth, in O head w, so what it needs of the rows goes from L2 straight to its registers, and the
 * twelve parts of a sum meet in shared memory. There a block's weights of a phase have a fixed slot, which cp.async.bulk fills for the next
 * layer as soon as this layer's product is done: 115 KB a block, a whole layer, is always on its way.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <algorithm>
#include <chrono>
#include <vector>

#include "persistent.cuh"

typedef __nv_bfloat16 bf16;
enum phase { QKV, O, UP, DOWN };

#define LAYERS   12
#define HIDDEN   768
#define INTER    3072
#define HEADS    12
#define VOCAB    30522
#define EPS      1e-12f
#define WARPS    HEADS
#define THREADS  (WARPS * 32)
#define ROWS     32
#define RUNS     200
#define LIMIT_NS 2000000000ull /* of a kernel: a wait that lasts longer is an error in it */

/* A layer's weights, each [outputs][k], in elements. */
#define W_QKV  0
#define W_O    (W_QKV + 3 * HIDDEN * HIDDEN)
#define W_UP   (W_O + HIDDEN * HIDDEN)
#define W_DOWN (W_UP + INTER * HIDDEN)
#define W_SIZE (W_DOWN + INTER * HIDDEN)

/* A layer's float32 parameters: biases of its products; weight, then bias of its two LayerNorms, behind O and behind DOWN. */
#define B_QKV  0
#define B_O    (B_QKV + 3 * HIDDEN)
#define B_UP   (B_O + HIDDEN)
#define B_DOWN (B_UP + INTER)
#define NORM_1 (B_DOWN + HIDDEN)
#define NORM_2 (NORM_1 + 2 * HIDDEN)
#define P_SIZE (NORM_2 + 2 * HIDDEN)

/* Shared memory, in bytes: the slots; parts of sums, float [WARPS][ROWS][24 or 8]; a LayerNorm's parts, float2 [ROWS][WARPS], and mean and
 * factor, float2 [ROWS]; an mbarrier and a range a slot. 64 bytes behind each row of weights put neighbouring rows into different banks. */
#define STRIDE   (HIDDEN * 2 + 64)
#define STRIDE_D (INTER * 2 + 64)
#define S_QKV    0
#define S_O      (S_QKV + 18 * STRIDE)
#define S_UP     (S_O + 6 * STRIDE)
#define S_DOWN   (S_UP + 24 * STRIDE)
#define S_PARTS  (S_DOWN + 6 * STRIDE_D)
#define S_RED    (S_PARTS + WARPS * ROWS * 24 * 4)
#define S_STATS  (S_RED + ROWS * WARPS * 8)
#define S_FULL   (S_STATS + ROWS * 8)
#define S_RANGES (S_FULL + 4 * 8)
#define S_SIZE   (S_RANGES + 4 * 8)
static_assert(S_SIZE <= 232448, "fits a block of compute capability 9.0");

struct args {
    const bf16 *weights, *words, *positions, *types;
    const float *params;       /* a layer -1, of which only NORM_2 is used, the embeddings'; then the layers */
    uint32_t *qkv, *h, *u, *x; /* what phases leave: rows of pairs of bfloat16 */
    float *out;                /* [HIDDEN], the mean of the last layer's rows */
    unsigned *counter;         /* the barrier: arrivals of blocks since the program began */
    unsigned *status;          /* of the first wait that took too long: 4 layer + phase + 1, block, what for */
    unsigned base;             /* barriers before this kernel */
    int m;                     /* tokens */
    int ids[ROWS];
};

/* ---- What a block and a thread have ---- */

static __device__ constexpr int pairs_in(int phase) { return (phase == QKV ? 3 * HIDDEN : phase == UP ? INTER : HIDDEN) / 2; }
static __device__ constexpr int k_of(int phase) { return phase == DOWN ? INTER : HIDDEN; }
static __device__ constexpr int slot_of(int phase) { return phase == QKV ? S_QKV : phase == O ? S_O : phase == UP ? S_UP : S_DOWN; }
static __device__ constexpr int weights_of(int phase) { return phase == QKV ? W_QKV : phase == O ? W_O : phase == UP ? W_UP : W_DOWN; }

struct range {
    int first, n; /* pairs of outputs */
};
struct block {
    char *shared;
    const unsigned long long *deadline; /* in shared memory, which costs no registers */
    unsigned epoch;                     /* barriers so far */
    uint32_t own;                       /* the thread's pair, in O and DOWN, of the rows to normalize next: the residual */
};
/* Sets up barriers and ranges of the slots, if there is shared memory for them, and the watchdog. */
DEVICE block start(char *shared, const args &a) {
    __shared__ unsigned long long deadline;
    if (threadIdx.x == 0) deadline = now_ns() + LIMIT_NS;
    if (shared != NULL && threadIdx.x < 4) {
        const unsigned n = (unsigned)pairs_in((int)threadIdx.x), first = blockIdx.x * n / gridDim.x;
        ((range *)(shared + S_RANGES))[threadIdx.x] = range{(int)first, (int)((blockIdx.x + 1) * n / gridDim.x - first)};
        init_full(shared + S_FULL + 8 * threadIdx.x);
    }
    if (shared != NULL) fence_full();
    __syncthreads();
    return block{shared, &deadline, a.base, 0};
}
DEVICE range range_of(const block &b, int phase) { return ((const range *)(b.shared + S_RANGES))[phase]; }

/* Opaque, so that what follows from it is computed anew in each phase, lest registers hold all of it all the time. */
DEVICE int my_thread() {
    int thread = threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}
/* Of a phase's outputs a thread has one pair of one row. */
struct output {
    int row, pair;  /* of the block's */
    int column, at; /* first output; the pair in the rows */
    bool has;       /* or column is some valid one */
};
DEVICE output output_of(const block &b, int phase, int m) {
    const int thread = my_thread(), wide = phase == QKV || phase == UP ? 12 : 4;
    const range r = range_of(b, phase);
    const int row = thread / wide, pair = thread % wide;
    const bool has = row < m && pair < r.n;
    return output{row, pair, 2 * (r.first + (has ? pair : 0)), row * pairs_in(phase) + r.first + pair, has};
}

/* Called in every turn of a waiting loop: whether to give up. */
DEVICE bool gives_up(const args &a, const block &b, unsigned turn, int step, unsigned what) {
    if ((turn & 255) != 255 || now_ns() < *b.deadline) return false;
    if (atomicCAS(a.status, 0u, (unsigned)step + 1) == 0) a.status[1] = blockIdx.x, a.status[2] = what;
    return true;
}

/* ---- Barrier of all blocks: a counter that only rises ---- */

DEVICE void arrive(const args &a, block &b) {
    b.epoch++;
    __syncthreads();
    if (threadIdx.x == 0) add_release(a.counter);
}
DEVICE void await(const args &a, const block &b) {
    if (threadIdx.x == 0) {
        const unsigned wanted = b.epoch * gridDim.x; /* wraps as the counter does */
        for (unsigned turn = 0; (int)(load_acquire(a.counter) - wanted) < 0 && !gives_up(a, b, turn, (int)(b.epoch - a.base), 0);) turn++;
    }
    __syncthreads();
}

/* ---- Weights ---- */

/* By the last warp: the block's weights of a phase of a layer on their way to their slot. */
DEVICE void send(const args &a, const block &b, int phase, int layer) {
    if (threadIdx.x / 32 != WARPS - 1 || layer >= LAYERS) return;
    const int lane = threadIdx.x % 32, bytes = 2 * k_of(phase);
    const range r = range_of(b, phase);
    const char *from = (const char *)(a.weights + (int64_t)layer * W_SIZE + weights_of(phase));
    char *const full = b.shared + S_FULL + 8 * phase;
    if (lane == 0) expect(full, 2 * r.n * bytes);
    __syncwarp();
    if (lane < 2 * r.n)
        copy_bulk(b.shared + slot_of(phase) + lane * (bytes + 64), from + (int64_t)(2 * r.first + lane) * bytes, bytes, full);
    __syncwarp();
}
DEVICE void await_weights(const args &a, const block &b, int phase, int layer) {
    char *const full = b.shared + S_FULL + 8 * phase;
    /* a turn suspends the thread for a while, so the watchdog looks every 16th time */
    for (unsigned turn = 0; !is_full(full, layer & 1) && !gives_up(a, b, turn * 16 + 15, layer * 4 + phase, 1);) turn++;
    __syncwarp();
}

/* ---- Rows and products. M sixteens of rows; r[s * 2 M + i]: of row 8 i + lane / 4 the lane's 8 columns of the s-th 32. Loops over
 * registers have constant bounds; the compiler unrolls them all, or -Xptxas -v would tell of a stack frame ---- */

template <int M, int STEPS> DEVICE void load_rows(uint4 *r, const uint32_t *rows, int ld, int column, int m) {
    const int lane = my_thread() % 32;
    for (int i = 0; i < STEPS * 2 * M; i++) {
        const int row = 8 * (i % (2 * M)) + lane / 4;
        r[i] = make_uint4(0, 0, 0, 0);
        load_if(r[i], (const bf16 *)rows + row * ld + column + i / (2 * M) * 32 + lane % 4 * 8, row < m);
    }
}
/* y [16 M][8 N] += rows times the weights of a slot, from byte `at` of each on. */
template <int M, int N, int STEPS, int PHASE> DEVICE void multiply(float (&y)[M][N][4], const uint4 *r, const block &b, int at) {
    const int lane = threadIdx.x % 32, n = 2 * range_of(b, PHASE).n;
    for (int j = 0; j < N; j++) {
        const char *row = b.shared + slot_of(PHASE) + min(8 * j + lane / 4, n - 1) * (2 * k_of(PHASE) + 64) + at + lane % 4 * 16;
        for (int s = 0; s < STEPS; s++) {
            const uint4 w = *(const uint4 *)(row + 64 * s);
            for (int i = 0; i < M; i++) mma32(y[i][j], r[s * 2 * M + 2 * i], r[s * 2 * M + 2 * i + 1], w);
        }
    }
}
template <int M, int N> DEVICE void put_parts(const block &b, const float (&y)[M][N][4]) {
    const int lane = threadIdx.x % 32;
    float *part = (float *)(b.shared + S_PARTS) + threadIdx.x / 32 * (16 * M * 8 * N) + lane / 4 * (8 * N) + 2 * (lane % 4);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int h = 0; h < 2; h++)
                *(float2 *)(part + (16 * i + 8 * h) * (8 * N) + 8 * j) = make_float2(y[i][j][2 * h], y[i][j][2 * h + 1]);
    __syncthreads();
}
template <int M, int N> DEVICE float2 sum_parts(const block &b, const output &mine, float2 bias) {
    const float *parts = (const float *)(b.shared + S_PARTS) + mine.row * (8 * N) + 2 * mine.pair;
    float2 p[WARPS];
    for (int w = 0; w < WARPS; w++) p[w] = *(const float2 *)(parts + w * 16 * M * 8 * N);
    float2 s = p[0];
    for (int w = 1; w < WARPS; w++) s = make_float2(s.x + p[w].x, s.y + p[w].y);
    return make_float2(s.x + bias.x, s.y + bias.y);
}

/* ---- LayerNorm of rows of which each warp has 64 columns ---- */

struct norm_part {
    float4 weight[4], bias[4]; /* of the lane's 8 columns of the first 32, then of the second */
    __device__ __forceinline__ void load(const float *norm) {
        const int c = threadIdx.x / 32 * 64 + threadIdx.x % 4 * 8;
        for (int i = 0; i < 4; i++) {
            weight[i] = load_parameters(norm + c + i / 2 * 32 + i % 2 * 4);
            bias[i] = load_parameters(norm + HIDDEN + c + i / 2 * 32 + i % 2 * 4);
        }
    }
};
DEVICE uint32_t normalize_pair(uint32_t x, float mean, float factor, float2 weight, float2 bias) {
    return pack((low_of(x) - mean) * factor * weight.x + bias.x, (high_of(x) - mean) * factor * weight.y + bias.y);
}
DEVICE uint2 normalize_four(uint32_t x, uint32_t y, float mean, float factor, float4 weight, float4 bias) {
    return make_uint2(normalize_pair(x, mean, factor, make_float2(weight.x, weight.y), make_float2(bias.x, bias.y)),
                      normalize_pair(y, mean, factor, make_float2(weight.z, weight.w), make_float2(bias.z, bias.w)));
}
/* Leaves mean and factor of each row in S_STATS. */
template <int M> DEVICE void normalize(uint4 (&r)[4 * M], const norm_part &p, const block &b) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane % 4;
    float2 *red = (float2 *)(b.shared + S_RED), *stats = (float2 *)(b.shared + S_STATS);
    for (int i = 0; i < 2 * M; i++) {
        float x[16], sum = 0, squares = 0;
        unpack(x, r[i]), unpack(x + 8, r[2 * M + i]);
        for (int c = 0; c < 16; c++) sum += x[c];
        const float mean = quad_sum(sum) * (1.0f / 64);
        for (int c = 0; c < 16; c++) squares += (x[c] - mean) * (x[c] - mean);
        squares = quad_sum(squares);
        if (quad == 0) red[(8 * i + lane / 4) * WARPS + warp] = make_float2(mean, squares);
    }
    __syncthreads();
    for (int i = 0; i < 2 * M; i++) {
        float2 part[3];
        for (int k = 0; k < 3; k++) part[k] = red[(8 * i + lane / 4) * WARPS + 3 * quad + k];
        const float mean = quad_sum(part[0].x + part[1].x + part[2].x) * (1.0f / WARPS);
        float squares = 0;
        for (int k = 0; k < 3; k++) squares += part[k].y + 64 * (part[k].x - mean) * (part[k].x - mean);
        const float factor = 1.0f / sqrtf(quad_sum(squares) * (1.0f / HIDDEN) + EPS);
        if (warp == 0 && quad == 0) stats[8 * i + lane / 4] = make_float2(mean, factor);
        for (int s = 0; s < 2; s++) {
            uint4 &x = r[s * 2 * M + i];
            const uint2 low = normalize_four(x.x, x.y, mean, factor, p.weight[2 * s], p.bias[2 * s]);
            const uint2 high = normalize_four(x.z, x.w, mean, factor, p.weight[2 * s + 1], p.bias[2 * s + 1]);
            x = make_uint4(low.x, low.y, high.x, high.y);
        }
    }
}
/* The thread's own pair after the last LayerNorm, as all others have it. */
DEVICE float2 normalize_own(const block &b, const output &mine, float2 weight, float2 bias) {
    const float2 stats = ((const float2 *)(b.shared + S_STATS))[mine.row];
    const uint32_t y = normalize_pair(b.own, stats.x, stats.y, weight, bias);
    return make_float2(low_of(y), high_of(y));
}
DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

/* ---- The kernel ---- */

template <int M> DEVICE void embed(uint4 *r, const args &a, int column) {
    const int lane = my_thread() % 32;
    for (int i = 0; i < 4 * M; i++) {
        const int row = 8 * (i % (2 * M)) + lane / 4, c = column + i / (2 * M) * 32 + lane % 4 * 8;
        r[i] = make_uint4(0, 0, 0, 0);
        if (row >= a.m) continue;
        const uint4 x = *(const uint4 *)(a.words + (int64_t)a.ids[row] * HIDDEN + c), y = *(const uint4 *)(a.positions + row * HIDDEN + c);
        const uint4 z = *(const uint4 *)(a.types + c);
        r[i] = make_uint4(add3(x.x, y.x, z.x), add3(x.y, y.y, z.y), add3(x.z, y.z, z.z), add3(x.w, y.w, z.w));
    }
}
/* QKV and UP. norm: the LayerNorm of the rows `from`; bias: of the product. */
template <int M, int PHASE>
DEVICE void normed_product(const args &a, block &b, int layer, const float *norm, const float *bias, const uint32_t *from, uint32_t *to) {
    const output mine = output_of(b, PHASE, a.m);
    const int warp = my_thread() / 32;
    norm_part p;
    p.load(norm);
    const float2 my_bias = load_pair(bias + mine.column);
    uint4 r[4 * M];
    if (PHASE == QKV && layer == 0) {
        embed<M>(r, a, 64 * warp);
    } else {
        await(a, b);
        load_rows<M, 2>(r, from, HIDDEN, 64 * warp, a.m);
    }
    normalize<M>(r, p, b);
    float y[M][3][4] = {};
    await_weights(a, b, PHASE, layer);
    multiply<M, 3, 2, PHASE>(y, r, b, 128 * warp);
    put_parts(b, y);
    if (mine.has) {
        const float2 s = sum_parts<M, 3>(b, mine, my_bias);
        store_word(to + mine.at, PHASE == UP ? pack(gelu(s.x), gelu(s.y)) : pack(s.x, s.y));
    }
    send(a, b, PHASE, layer + 1);
    arrive(a, b);
}
/* The end of O and DOWN: rows `to` = product + bias + LayerNorm of the rows before. */
template <int M, int PHASE>
DEVICE void add_residual(const args &a, block &b, int layer, const output &mine, const float (&y)[M][1][4], float2 bias, float2 norm_weight,
                         float2 norm_bias, uint32_t *to) {
    put_parts(b, y);
    if (mine.has) {
        const float2 s = sum_parts<M, 1>(b, mine, bias), z = normalize_own(b, mine, norm_weight, norm_bias);
        b.own = pack(s.x + z.x, s.y + z.y);
        store_word(to + mine.at, b.own);
    }
    send(a, b, PHASE, layer + 1);
    arrive(a, b);
}
template <int M> DEVICE void attention_product(const args &a, block &b, int layer, const float *norm, const float *bias) {
    const output mine = output_of(b, O, a.m);
    const int warp = my_thread() / 32;
    await(a, b);
    uint4 r[12 * M], o[4 * M];
    for (int kind = 0; kind < 3; kind++) load_rows<M, 2>(r + kind * 4 * M, a.qkv, 3 * HIDDEN, kind * HIDDEN + 64 * warp, a.m);
    const float2 my_bias = load_pair(bias + mine.column);
    const float2 norm_weight = load_pair(norm + mine.column), norm_bias = load_pair(norm + HIDDEN + mine.column);
    attend<M>(o, r, a.m);
    float y[M][1][4] = {};
    await_weights(a, b, O, layer);
    multiply<M, 1, 2, O>(y, o, b, 128 * warp);
    add_residual<M, O>(a, b, layer, mine, y, my_bias, norm_weight, norm_bias, a.h);
}
template <int M> DEVICE void down_product(const args &a, block &b, int layer, const float *norm, const float *bias) {
    constexpr int BATCH = M == 1 ? 8 : 4; /* of the warp's eight 32 of k at a time, as many as registers hold */
    const output mine = output_of(b, DOWN, a.m);
    const int warp = my_thread() / 32;
    const float2 my_bias = load_pair(bias + mine.column);
    const float2 norm_weight = load_pair(norm + mine.column), norm_bias = load_pair(norm + HIDDEN + mine.column);
    await(a, b);
    float y[M][1][4] = {};
#pragma unroll
    for (int first = 0; first < 8; first += BATCH) {
        uint4 r[BATCH * 2 * M];
        load_rows<M, BATCH>(r, a.u, INTER, 256 * warp + 32 * first, a.m);
        if (first == 0) await_weights(a, b, DOWN, layer);
        multiply<M, 1, BATCH, DOWN>(y, r, b, 512 * warp + 64 * first);
    }
    add_residual<M, DOWN>(a, b, layer, mine, y, my_bias, norm_weight, norm_bias, a.x);
}
/* The last LayerNorm, and the mean of the rows; the block's columns of them in S_PARTS, [ROWS][8]. */
template <int M> DEVICE void pool(const args &a, block &b, const float *norm) {
    const output mine = output_of(b, DOWN, a.m);
    norm_part p;
    p.load(norm);
    const float2 norm_weight = load_pair(norm + mine.column), norm_bias = load_pair(norm + HIDDEN + mine.column);
    await(a, b);
    uint4 r[4 * M];
    load_rows<M, 2>(r, a.x, HIDDEN, my_thread() / 32 * 64, a.m);
    normalize<M>(r, p, b);
    __syncthreads();
    float *rows = (float *)(b.shared + S_PARTS);
    if (mine.has) *(float2 *)(rows + mine.row * 8 + 2 * mine.pair) = normalize_own(b, mine, norm_weight, norm_bias);
    __syncthreads();
    const range thin = range_of(b, DOWN);
    if ((int)threadIdx.x < 2 * thin.n) {
        float sum = 0;
        for (int i = 0; i < a.m; i++) sum += rows[i * 8 + threadIdx.x];
        a.out[2 * thin.first + threadIdx.x] = sum / (float)a.m;
    }
}
template <int M> static __global__ void __launch_bounds__(THREADS, 1) encoder(const __grid_constant__ args a) {
    extern __shared__ __align__(128) char shared[];
    block b = start(shared, a);
    for (int phase = 0; phase < 4; phase++) send(a, b, phase, 0);
    const output mine = output_of(b, DOWN, a.m);
    if (mine.has)
        b.own = add3(*(const uint32_t *)(a.words + (int64_t)a.ids[mine.row] * HIDDEN + mine.column),
                     *(const uint32_t *)(a.positions + mine.row * HIDDEN + mine.column), *(const uint32_t *)(a.types + mine.column));
#pragma unroll 1
    for (int layer = 0; layer < LAYERS; layer++) {
        const float *before = a.params + (int64_t)layer * P_SIZE, *params = before + P_SIZE;
        if (threadIdx.x / 32 == WARPS - 2 && layer + 1 < LAYERS) /* the next layer's parameters to L2 */
            for (int line = blockIdx.x + threadIdx.x % 32 * gridDim.x; line < P_SIZE / 32; line += 32 * gridDim.x)
                prefetch(params + P_SIZE + line * 32);
        normed_product<M, QKV>(a, b, layer, before + NORM_2, params + B_QKV, a.x, a.qkv);
        attention_product<M>(a, b, layer, before + NORM_2, params + B_O);
        normed_product<M, UP>(a, b, layer, params + NORM_1, params + B_UP, a.h, a.u);
        down_product<M>(a, b, layer, params + NORM_1, params + B_DOWN);
    }
    pool<M>(a, b, a.params + (int64_t)LAYERS * P_SIZE + NORM_2);
}

/* ---- Parts alone ---- */

#define BARRIERS 60

static __global__ void __launch_bounds__(THREADS, 1) barriers_alone(const __grid_constant__ args a) {
    block b = start(NULL, a);
    for (int i = 0; i < BARRIERS; i++) arrive(a, b), await(a, b);
}
static __global__ void __launch_bounds__(THREADS, 1) weights_alone(const __grid_constant__ args a) {
    extern __shared__ __align__(128) char shared[];
    const block b = start(shared, a);
    for (int phase = 0; phase < 4; phase++) send(a, b, phase, 0);
    for (int i = 0; i < 4 * LAYERS; i++) {
        await_weights(a, b, i % 4, i / 4);
        __syncthreads();
        send(a, b, i % 4, i / 4 + 1);
    }
}
static __global__ void __launch_bounds__(THREADS, 1) empty(const __grid_constant__ args) {}

/* ---- Reference: the same in float32, rounded to bfloat16 where the kernel rounds if `rounds` ---- */

static __device__ float maybe(float x, int rounds) { return rounds ? __bfloat162float(__float2bfloat16(x)) : x; }
static __device__ float warp_sum(float x) {
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}
static __global__ void ref_embed(float *x, const args a, int rounds) {
    const int r = blockIdx.x;
    for (int i = threadIdx.x; i < HIDDEN; i += blockDim.x) {
        const float word = __bfloat162float(a.words[(int64_t)a.ids[r] * HIDDEN + i]);
        x[r * HIDDEN + i] = maybe(word + __bfloat162float(a.positions[r * HIDDEN + i]) + __bfloat162float(a.types[i]), rounds);
    }
}
static __global__ void ref_norm(float *y, const float *x, const float *norm, int rounds) { /* a warp a row */
    const int r = blockIdx.x, lane = threadIdx.x;
    float mean = 0, var = 0;
    for (int i = lane; i < HIDDEN; i += 32) mean += x[r * HIDDEN + i];
    mean = warp_sum(mean) / HIDDEN;
    for (int i = lane; i < HIDDEN; i += 32) var += (x[r * HIDDEN + i] - mean) * (x[r * HIDDEN + i] - mean);
    const float factor = 1.0f / sqrtf(warp_sum(var) / HIDDEN + EPS);
    for (int i = lane; i < HIDDEN; i += 32)
        y[r * HIDDEN + i] = maybe((x[r * HIDDEN + i] - mean) * factor * norm[i] + norm[HIDDEN + i], rounds);
}
static __global__ void ref_product(float *y, const float *x, const bf16 *w, const float *bias, const float *residual, int k, int act,
                                   int rounds) { /* a warp an output of a row; n is 8 gridDim.x */
    const int n = 8 * gridDim.x, c = blockIdx.x * 8 + threadIdx.x / 32, r = blockIdx.y, lane = threadIdx.x % 32;
    float sum = 0;
    for (int i = lane; i < k; i += 32) sum += x[r * k + i] * __bfloat162float(w[(int64_t)c * k + i]);
    sum = warp_sum(sum) + bias[c];
    if (act) sum = gelu(sum);
    if (residual != NULL) sum += residual[r * n + c];
    if (lane == 0) y[r * n + c] = maybe(sum, rounds);
}
static __global__ void ref_attention(float *y, const float *qkv, int m, int rounds) { /* a thread a column of a row */
    const int r = blockIdx.x, column = blockIdx.y * 64 + threadIdx.x;
    const float *q = qkv + r * 3 * HIDDEN + blockIdx.y * 64;
    float s[ROWS], most = -INFINITY, sum = 0, out = 0;
    for (int j = 0; j < m; j++) {
        const float *k = qkv + (j * 3 + 1) * HIDDEN + blockIdx.y * 64;
        float dot = 0;
        for (int i = 0; i < 64; i++) dot += q[i] * k[i];
        s[j] = dot * 0.125f;
        most = fmaxf(most, s[j]);
    }
    for (int j = 0; j < m; j++) {
        const float e = expf(s[j] - most);
        sum += e;
        out += maybe(e, rounds) * qkv[(j * 3 + 2) * HIDDEN + column];
    }
    y[r * HIDDEN + column] = maybe(out / sum, rounds);
}

/* ---- Host ---- */

#define CHECK(call) check(call, #call, __LINE__)
static void check(cudaError_t error, const char *call, int line) {
    if (error == cudaSuccess) return;
    fprintf(stderr, "line %d: %s: %s\n", line, call, cudaGetErrorString(error));
    exit(2);
}

typedef void (*kernel)(args);
static cudaStream_t stream;
static int blocks;
static args now; /* of the next kernel */

/* Cooperatively, so that all blocks run at once, as the barrier needs; it has `barriers` of them. */
static void launch(kernel k, size_t shared, unsigned barriers) {
    void *parameters[] = {&now};
    CHECK(cudaLaunchCooperativeKernel((const void *)k, dim3((unsigned)blocks), dim3(THREADS), parameters, shared, stream));
    now.base += barriers;
}
/* Waits for the kernels; leaves the program where the watchdog barked. */
static void finish(const char *what) {
    unsigned status[3];
    CHECK(cudaMemcpyAsync(status, now.status, sizeof status, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    if (status[0] == 0) return;
    fprintf(stderr, "%s: block %u waited %s too long in layer %u, phase %u\n", what, status[1], status[2] ? "for weights" : "at a barrier",
            (status[0] - 1) / 4, (status[0] - 1) % 4);
    exit(1);
}

static float uniform() { /* -1 ... 1 */
    static uint32_t state = 1;
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return (float)(state >> 8) * (2.0f / 16777216.0f) - 1.0f;
}
template <typename T> static T *upload(const std::vector<T> &x) {
    T *to;
    CHECK(cudaMalloc(&to, x.size() * sizeof(T)));
    CHECK(cudaMemcpy(to, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice));
    return to;
}
static const bf16 *random_bf16(size_t n, float scale) {
    std::vector<bf16> x(n);
    for (bf16 &v : x) v = __float2bfloat16(scale * uniform());
    return upload(x);
}
static void make_inputs() {
    now.weights = random_bf16((size_t)LAYERS * W_SIZE, 0.035f); /* a deviation of 0.02 */
    now.words = random_bf16((size_t)VOCAB * HIDDEN, 0.05f);
    now.positions = random_bf16(ROWS * HIDDEN, 0.05f);
    now.types = random_bf16(HIDDEN, 0.05f);
    std::vector<float> params((LAYERS + 1) * P_SIZE);
    for (size_t i = 0; i < params.size(); i++) {
        const int at = (int)(i % P_SIZE);
        params[i] = 0.1f * uniform() + (at >= NORM_1 && (at - NORM_1) / HIDDEN % 2 == 0 ? 1.0f : 0.0f);
    }
    now.params = upload(params);
    for (int i = 0; i < ROWS; i++) now.ids[i] = (101 + 7919 * i * i + 31 * i) % VOCAB;
    uint32_t **const rows[] = {&now.qkv, &now.h, &now.u, &now.x};
    for (uint32_t **p : rows) CHECK(cudaMalloc(p, ROWS * INTER * 2));
    CHECK(cudaHostAlloc(&now.out, HIDDEN * 4, cudaHostAllocMapped)); /* the kernel writes the host's memory */
    CHECK(cudaMalloc(&now.counter, 1024));                           /* a line of its own */
    CHECK(cudaMemset(now.counter, 0, 1024));
    now.status = now.counter + 128;
}

struct result {
    std::vector<float> rows, mean; /* before the last LayerNorm, and after it their mean */
};
static result reference(const args &a, int rounds) {
    float *x, *y, *qkv, *att, *h, *hn, *u;
    const unsigned m = (unsigned)a.m;
    for (float **p : {&x, &y, &qkv, &att, &h, &hn, &u}) CHECK(cudaMalloc(p, ROWS * INTER * 4));
    ref_embed<<<m, 256, 0, stream>>>(x, a, rounds);
    ref_norm<<<m, 32, 0, stream>>>(y, x, a.params + NORM_2, rounds);
    for (int l = 0; l < LAYERS; l++) {
        const bf16 *w = a.weights + (int64_t)l * W_SIZE;
        const float *p = a.params + (int64_t)(l + 1) * P_SIZE;
        ref_product<<<dim3(3 * HIDDEN / 8, m), 256, 0, stream>>>(qkv, y, w + W_QKV, p + B_QKV, NULL, HIDDEN, 0, rounds);
        ref_attention<<<dim3(m, HEADS), 64, 0, stream>>>(att, qkv, a.m, rounds);
        ref_product<<<dim3(HIDDEN / 8, m), 256, 0, stream>>>(h, att, w + W_O, p + B_O, y, HIDDEN, 0, rounds);
        ref_norm<<<m, 32, 0, stream>>>(hn, h, p + NORM_1, rounds);
        ref_product<<<dim3(INTER / 8, m), 256, 0, stream>>>(u, hn, w + W_UP, p + B_UP, NULL, HIDDEN, 1, rounds);
        ref_product<<<dim3(HIDDEN / 8, m), 256, 0, stream>>>(x, u, w + W_DOWN, p + B_DOWN, hn, INTER, 0, rounds);
        ref_norm<<<m, 32, 0, stream>>>(y, x, p + NORM_2, rounds);
    }
    CHECK(cudaGetLastError());
    CHECK(cudaStreamSynchronize(stream));
    std::vector<float> rows((size_t)m * HIDDEN), normed(rows.size()), mean(HIDDEN);
    CHECK(cudaMemcpy(rows.data(), x, rows.size() * 4, cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(normed.data(), y, rows.size() * 4, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < rows.size(); i++) mean[i % HIDDEN] += normed[i] / (float)m;
    for (float *p : {x, y, qkv, att, h, hn, u}) CHECK(cudaFree(p));
    return {rows, mean};
}
static void run_encoder() { launch(now.m > 16 ? encoder<2> : encoder<1>, S_SIZE, 4 * LAYERS); }
static result run_once() {
    memset(now.out, 0xff, HIDDEN * 4); /* NaN */
    run_encoder();
    finish("encoder");
    std::vector<bf16> rows((size_t)now.m * HIDDEN);
    CHECK(cudaMemcpy(rows.data(), now.x, rows.size() * 2, cudaMemcpyDeviceToHost));
    result r = {{}, std::vector<float>(now.out, now.out + HIDDEN)};
    for (bf16 x : rows) r.rows.push_back(__bfloat162float(x));
    return r;
}
/* Length of the difference over length; NaN where there is one. */
static double distance(const std::vector<float> &a, const std::vector<float> &b) {
    double d = 0, n = 0;
    for (size_t i = 0; i < a.size(); i++) d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]), n += (double)b[i] * b[i];
    return sqrt(d / n);
}
/* The bound: roundings to bfloat16 move the result by what the table's brackets say, at most 0.02; another order of sums moves a few of
 * them. */
static bool is_right(int m) {
    now.m = m;
    const result rounded = reference(now, 1), exact = reference(now, 0), first = run_once(), r = run_once();
    const double rows = distance(r.rows, rounded.rows), mean = distance(r.mean, rounded.mean), full = distance(r.mean, exact.mean);
    const bool same = first.rows == r.rows && first.mean == r.mean, right = rows < 0.02 && mean < 0.02 && full < 0.02 && same;
    printf("%2d tokens: rows %.5f, mean %.5f, mean from float32 %.5f (rounded reference from float32: rows %.5f, mean %.5f) %s\n", m, rows,
           mean, full, distance(rounded.rows, exact.rows), distance(rounded.mean, exact.mean),
           right  ? "ok"
           : same ? "WRONG"
                  : "WRONG: other bits in a second run");
    return right;
}

static double quantile(std::vector<double> v, double q) {
    std::sort(v.begin(), v.end());
    return v[(size_t)(q * (double)(v.size() - 1) + 0.5)];
}
/* A row of the table: between events behind each other, and on the host from the launch until the result is there. Returns the first's
 * median. */
template <typename Go> static double print_times(const char *name, Go go) {
    std::vector<cudaEvent_t> events(RUNS + 1);
    std::vector<double> device, host;
    for (int i = 0; i < 5; i++) go();
    for (cudaEvent_t &event : events) {
        CHECK(cudaEventCreate(&event));
        if (&event != &events[0]) go();
        CHECK(cudaEventRecord(event, stream));
    }
    finish(name);
    for (size_t i = 0; i < RUNS; i++) {
        float ms;
        CHECK(cudaEventElapsedTime(&ms, events[i], events[i + 1]));
        device.push_back(ms * 1000.0);
    }
    for (cudaEvent_t event : events) CHECK(cudaEventDestroy(event));
    for (int i = 0; i < RUNS; i++) {
        const auto t0 = std::chrono::steady_clock::now();
        go();
        CHECK(cudaStreamSynchronize(stream));
        host.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - t0).count());
    }
    finish(name);
    printf("%-24s %8.1f %8.1f %8.1f | %8.1f %8.1f %8.1f\n", name, quantile(device, 0.5), quantile(device, 0.1), quantile(device, 0.9),
           quantile(host, 0.5), quantile(host, 0.1), quantile(host, 0.9));
    return quantile(device, 0.5);
}

int main() {
    static const int lengths[] = {12, 23};
    CHECK(cudaSetDeviceFlags(cudaDeviceScheduleSpin | cudaDeviceMapHost));
    cudaDeviceProp prop;
    CHECK(cudaGetDeviceProperties(&prop, 0));
    blocks = prop.multiProcessorCount;
    /* with fewer blocks than 128 a block's outputs are more than its slots hold */
    if (prop.major != 9 || blocks < 128)
        return fprintf(stderr, "%s: this needs compute capability 9.0, 128 multiprocessors\n", prop.name), 2;
    printf("%s, %d multiprocessors; a block has %d threads, %d bytes of shared memory\n", prop.name, blocks, THREADS, S_SIZE);
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (kernel k : {(kernel)encoder<1>, (kernel)encoder<2>, (kernel)weights_alone})
        CHECK(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, S_SIZE));
    make_inputs();

    printf("\nDistance from the reference, rounded where the kernel rounds (at most 0.02; the same bits twice)\n");
    bool right = true;
    for (int m : lengths) right &= is_right(m);
    if (!right) return 1;

    printf("\n%-24s %8s %8s %8s | %8s %8s %8s\n", "microseconds", "events", "p10", "p90", "host", "p10", "p90");
    print_times("empty kernel", [] { launch(empty, 0, 0); });
    print_times("60 barriers", [] { launch(barriers_alone, 0, BARRIERS); });
    const double us = print_times("weights alone", [] { launch(weights_alone, S_SIZE, 0); });
    for (int m : lengths) {
        char name[32];
        snprintf(name, sizeof name, "encoder, %d tokens", m);
        now.m = m;
        print_times(name, run_encoder);
    }
    printf("\nWeights of %.1f MB alone: %.2f TB/s\n", (double)LAYERS * W_SIZE * 2e-6, (double)LAYERS * W_SIZE * 2e-6 / us);
    return 0;
}
