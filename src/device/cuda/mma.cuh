/* mma.cuh - the tensor cores' product of one warp, 16 x 8 x 16 or in TF32 16 x 8 x 8, and the loads that bring its operands (PTX ISA,
 * "mma.sync", "ldmatrix", "cp.async"); compute capability 8.0 and up. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_MMA_CUH
#define TERN_DEVICE_CUDA_MMA_CUH

#include "device/cuda/elements.cuh"

/* c [16][8] += a [16][16] b [16][8]. Lane l has of c: rows l / 4 and l / 4 + 8, columns 2 (l % 4) and the next. */
static __device__ __forceinline__ void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, f16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, bf16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* c [16][8] += a [16][8] b [8][8], operands in TF32. */
static __device__ __forceinline__ void mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, float) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* 16 bytes of elements as the product wants them: float32 rounded to TF32, to the nearest. */
template <typename T> static __device__ __forceinline__ uint4 operand(uint4 elements, T) { return elements; }
static __device__ __forceinline__ uint32_t tf32_of(uint32_t x) {
    uint32_t y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(__uint_as_float(x)));
    return y;
}
static __device__ __forceinline__ uint4 operand(uint4 elements, float) {
    return make_uint4(tf32_of(elements.x), tf32_of(elements.y), tf32_of(elements.z), tf32_of(elements.w));
}

/* An 8 x 8 matrix of 16-bit elements, of which lane l has columns 2 (l % 4) and the next of row l / 4 (PTX ISA, "movmatrix"). */
static __device__ __forceinline__ uint32_t transpose(uint32_t a) {
    uint32_t y;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(a));
    return y;
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory; lane l names row l % 8 of matrix l / 8. */
static __device__ __forceinline__ void load_matrices(uint32_t *r, const void *row) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}
static __device__ __forceinline__ void load_matrices_transposed(uint32_t *r, const void *row) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

/* 16 bytes to shared memory without waiting; zeros where `valid` is not. */
static __device__ __forceinline__ void copy_16(void *to, const void *from, bool valid) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(valid ? 16 : 0));
}
static __device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;"); }
template <int LEFT> static __device__ __forceinline__ void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT)); }

/* 16 bytes, of weights 8 or 16, to registers; weights are read once and never written while a kernel runs. */
static __device__ __forceinline__ uint4 load_16(const void *from, bool valid) {
    return valid ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
}
template <typename Bits> __device__ __forceinline__ Bits load_weight(const void *from);
template <> __device__ __forceinline__ uint2 load_weight<uint2>(const void *from) {
    uint2 r;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(r.x), "=r"(r.y) : "l"(from));
    return r;
}
template <> __device__ __forceinline__ uint4 load_weight<uint4>(const void *from) {
    uint4 r;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w) : "l"(from));
    return r;
}
static __device__ __forceinline__ void prefetch(const void *from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

/* 2 to the x, to 2 units of float32's last place; 0 for what would be subnormal (PTX ISA, "ex2.approx"). */
static __device__ __forceinline__ float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ uint32_t pack(float low, float high, f16) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *(const uint32_t *)&pair;
}
static __device__ __forceinline__ uint32_t pack(float low, float high, bf16) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&pair;
}
static __device__ __forceinline__ float2 unpack(uint32_t pair, f16) { return __half22float2(*(const __half2 *)&pair); }
static __device__ __forceinline__ float2 unpack(uint32_t pair, bf16) {
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

#endif
