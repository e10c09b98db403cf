/* grid.cuh - what the blocks of one grid do together: rows that they exchange, a barrier of them all; and pieces of memory that the copy
 * engine brings to a block while it computes (PTX ISA, "ld.relaxed", "red.release", "mbarrier", "cp.async.bulk"). Compute capability 9.0.
 * tests/cuda_host has another such file, for the host.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_GRID_CUH
#define TERN_DEVICE_CUDA_GRID_CUH

#include "device/cuda/mma.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- Rows, and the barrier behind which all blocks see what each has stored. The L1 of a multiprocessor is not coherent with others' ----
 */

static __device__ __forceinline__ uint4 load_exchanged(const void *from, bool valid) {
    uint4 r = make_uint4(0, 0, 0, 0);
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0; @p ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4]; }"
                 : "+r"(r.x), "+r"(r.y), "+r"(r.z), "+r"(r.w)
                 : "l"(from), "r"((int)valid));
    return r;
}
static __device__ __forceinline__ void store_exchanged(void *to, uint32_t x) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(x));
}
/* By all threads of a block. *counter is 0 when the kernel begins. */
static __device__ __forceinline__ void arrive_at_barrier(uint32_t *counter) {
    __syncthreads();
    if (threadIdx.x == 0) asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}
/* Until the blocks have arrived n_arrivals times together. */
static __device__ __forceinline__ void await_barrier(const uint32_t *counter, uint32_t n_arrivals) {
    uint32_t n = 0;
    while (threadIdx.x == 0 && n < n_arrivals) asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(n) : "l"(counter) : "memory");
    __syncthreads();
}

/* ---- Pieces on their way. An arrival is 8 bytes of shared memory, whose phase ends when the bytes that were announced have come ---- */

static __device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
static __device__ __forceinline__ void arrival_init(char *arrival) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(arrival)) : "memory");
}
/* By the threads that did that, before a barrier of the block. */
static __device__ __forceinline__ void arrival_publish() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}
static __device__ __forceinline__ void arrival_announce(char *arrival, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(arrival)), "r"(bytes) : "memory");
}
/* bytes: a multiple of 16, as both addresses. */
static __device__ __forceinline__ void copy_piece(char *to, const char *from, int bytes, char *arrival) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(arrival))
                 : "memory");
}
/* phase: 0, 1, 0 ... in turn. */
static __device__ __forceinline__ void arrival_await(char *arrival, int phase) {
    for (uint32_t done = 0; done == 0;)
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                     : "=r"(done)
                     : "r"(shared_address(arrival)), "r"(phase)
                     : "memory");
    __syncwarp();
}

#endif
#endif
