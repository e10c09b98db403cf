/* launch.cuh - the .cu files compiled as C++ for the host: a block's threads are fibers, which give way to each other at barriers and where
 * a warp exchanges values. In place of src/device/cuda/launch.cuh.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_LAUNCH_CUH
#define TERN_TESTS_CUDA_HOST_LAUNCH_CUH

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cuda_runtime.h>
#include <functional>

#define __launch_bounds__(...)
#undef __grid_constant__
#define __grid_constant__
#undef __shared__
#define __shared__           static /* one block runs at a time */
#define DYNAMIC_SHARED(name) float4 *const name = (float4 *)host_shared
#define threadIdx            host_thread
#define blockIdx             host_block
#define blockDim             host_block_size
#define gridDim              host_grid_size

extern uint3 host_thread, host_block;
extern dim3 host_block_size, host_grid_size;
extern void *host_shared;

/* fibers.cpp */
void host_sync_block();
/* Every lane's `value` of `bytes` bytes; what comes back holds until the warp's next exchange. [32][HOST_EXCHANGE_BYTES] */
enum { HOST_EXCHANGE_BYTES = 48 };
const unsigned char *host_exchange(const void *value, size_t bytes);
/* Let other fibers run, in a loop that waits for what they do; and tell those that wait that something was done. */
void host_give_way();
void host_get_further();
/* One block after the other, or all together. */
void host_run_grid(dim3 grid, dim3 block, size_t shared, bool is_together, const std::function<void()> &kernel);
/* runtime.cpp: now, or into the graph that is captured. */
cudaError_t host_submit(cudaStream_t stream, const std::function<void()> &work);
/* An algorithm is asked for, which takes a moment. */
void host_note_choice();

static inline void __syncthreads() { host_sync_block(); }
static inline float __shfl_xor_sync(unsigned, float x, int mask) {
    const unsigned lane = (threadIdx.y * blockDim.x + threadIdx.x) % 32;
    return *(const float *)(host_exchange(&x, sizeof x) + (lane ^ (unsigned)mask) * HOST_EXCHANGE_BYTES);
}
static inline void __syncwarp() {
    const char nothing = 0;
    host_exchange(&nothing, sizeof nothing);
}
static inline size_t __cvta_generic_to_shared(const void *address) { return (size_t)address; }
static inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }

static inline void allow_next() {}
static inline void await_previous() {}
static inline void begin() {}

template <typename... Parameters, typename... Arguments>
static cudaError_t launch_with(bool is_together, cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                               Arguments... arguments) {
    if (grid.x == 0 || grid.y == 0 || block.x * block.y > 1024) return cudaErrorInvalidConfiguration;
    return host_submit(stream, [=] { host_run_grid(grid, block, shared, is_together, [=] { kernel(Parameters(arguments)...); }); });
}
template <typename... Parameters, typename... Arguments>
static cudaError_t launch_kernel(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                 Arguments... arguments) {
    return launch_with(false, stream, kernel, grid, block, shared, arguments...);
}

#endif
