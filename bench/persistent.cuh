/* persistent.cuh - what a warp of persistent.cu does in its registers: instructions, pairs of bfloat16, attention of a head.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_PERSISTENT_CUH
#define TERN_BENCH_PERSISTENT_CUH

#include <cuda_bf16.h>
#include <math.h>
#include <stdint.h>

#define DEVICE static __device__ __forceinline__

/* ---- Instructions (PTX ISA, "mma.sync", "movmatrix", "mbarrier", "cp.async.bulk"). `full` is an mbarrier, 8 bytes of shared memory, whose
 * phase is complete when one arrival and the bytes that this expects have come ---- */

DEVICE void mma(float *c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
DEVICE uint32_t transpose(uint32_t a) {
    uint32_t d;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(a));
    return d;
}
/* Rows: relaxed at the GPU's scope, since other multiprocessors' L1 is not coherent. */
DEVICE void load_if(uint4 &r, const void *from, bool wanted) {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0; @p ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
                 : "+r"(r.x), "+r"(r.y), "+r"(r.z), "+r"(r.w)
                 : "l"(from), "r"((int)wanted));
}
DEVICE void store_word(uint32_t *to, uint32_t x) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(x)); }
DEVICE float4 load_parameters(const float *from) {
    float4 r;
    asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(r.x), "=f"(r.y), "=f"(r.z), "=f"(r.w) : "l"(from));
    return r;
}
DEVICE float2 load_pair(const float *from) {
    float2 r;
    asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(r.x), "=f"(r.y) : "l"(from));
    return r;
}
DEVICE void prefetch(const void *from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }
DEVICE unsigned load_acquire(const unsigned *from) {
    unsigned r;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(r) : "l"(from) : "memory");
    return r;
}
DEVICE void add_release(unsigned *to) { asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(to) : "memory"); }
DEVICE unsigned long long now_ns() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}
DEVICE uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
DEVICE void init_full(char *full) { asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(full)) : "memory"); }
DEVICE void fence_full() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
DEVICE void expect(char *full, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(full)), "r"(bytes) : "memory");
}
DEVICE void copy_bulk(char *to, const char *from, int bytes, char *full) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(full))
                 : "memory");
}
DEVICE bool is_full(char *full, int parity) {
    uint32_t done;
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(shared_address(full)), "r"(parity)
                 : "memory");
    return done != 0;
}

/* ---- Pairs of bfloat16, the one of lower address in the low half ---- */

DEVICE uint32_t pack(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&pair;
}
DEVICE float low_of(uint32_t x) { return __uint_as_float(x << 16); }
DEVICE float high_of(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }
DEVICE void unpack(float *x, uint4 r) {
    x[0] = low_of(r.x), x[1] = high_of(r.x), x[2] = low_of(r.y), x[3] = high_of(r.y);
    x[4] = low_of(r.z), x[5] = high_of(r.z), x[6] = low_of(r.w), x[7] = high_of(r.w);
}
DEVICE uint32_t add3(uint32_t x, uint32_t y, uint32_t z) {
    return pack(low_of(x) + low_of(y) + low_of(z), high_of(x) + high_of(y) + high_of(z));
}

/* ---- Attention of a head by a warp ---- */

DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}
/* 32 of k, the lane's 8 of it each in any order: rows of a lane / 4 and + 8, column of b lane / 4. */
DEVICE void mma32(float *c, uint4 a, uint4 a8, uint4 b) {
    mma(c, a.x, a8.x, a.y, a8.y, b.x, b.y);
    mma(c, a.z, a8.z, a.w, a8.w, b.z, b.w);
}
/* Scores become weights, to be multiplied with `inverse`. */
template <int M> DEVICE void softmax(float (&s)[M][2 * M][4], float (&inverse)[M][2], int m) {
    const int quad = threadIdx.x % 4;
    for (int i = 0; i < M; i++)
        for (int h = 0; h < 2; h++) {
            float most = -INFINITY, sum = 0;
            for (int j = 0; j < 4 * M; j++) {
                float &x = s[i][j / 2][2 * h + j % 2];
                x = 8 * (j / 2) + 2 * quad + j % 2 < m ? x * (0.125f * 1.44269504f) : -INFINITY;
                most = fmaxf(most, x);
            }
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
            for (int j = 0; j < 4 * M; j++) {
                float &x = s[i][j / 2][2 * h + j % 2];
                x = exp2f(x - most);
                sum += x;
            }
            inverse[i][h] = 1.0f / quad_sum(sum);
        }
}
/* r: 64 columns of q, of k, of v. out: the operand of the output product. */
template <int M> DEVICE void attend(uint4 (&out)[4 * M], const uint4 (&r)[12 * M], int m) {
    const uint4 *q = r, *k = r + 4 * M, *v = r + 8 * M;
    float s[M][2 * M][4] = {}, y[M][8][4] = {}, inverse[M][2];
    uint32_t p[M][M][4];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < 2 * M; j++)
            for (int c = 0; c < 2; c++) mma32(s[i][j], q[c * 2 * M + 2 * i], q[c * 2 * M + 2 * i + 1], k[c * 2 * M + j]);
    softmax<M>(s, inverse, m);
    for (int i = 0; i < M; i++)
        for (int t = 0; t < 4 * M; t++) p[i][t / 4][t % 4] = pack(s[i][t / 2][t % 2 * 2], s[i][t / 2][t % 2 * 2 + 1]);
    /* tile 4 c + t: columns 32 c + 8 quad + 2 t and the next, which are those that the lane has to have as an operand */
    for (int kk = 0; kk < M; kk++)
        for (int c = 0; c < 2; c++) {
            const uint4 v0 = v[c * 2 * M + 2 * kk], v8 = v[c * 2 * M + 2 * kk + 1];
            const uint32_t low[4] = {v0.x, v0.y, v0.z, v0.w}, high[4] = {v8.x, v8.y, v8.z, v8.w};
            for (int t = 0; t < 4; t++) {
                const uint32_t b0 = transpose(low[t]), b1 = transpose(high[t]);
                for (int i = 0; i < M; i++) mma(y[i][4 * c + t], p[i][kk][0], p[i][kk][1], p[i][kk][2], p[i][kk][3], b0, b1);
            }
        }
    for (int j = 0; j < 4 * M; j++) {
        const int c = j / (2 * M), i = j % (2 * M) / 2, h = j % 2;
        uint32_t word[4];
        for (int t = 0; t < 4; t++) word[t] = pack(y[i][4 * c + t][2 * h] * inverse[i][h], y[i][4 * c + t][2 * h + 1] * inverse[i][h]);
        out[j] = make_uint4(word[0], word[1], word[2], word[3]);
    }
}

#endif
