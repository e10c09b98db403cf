/* launch.cuh - how kernels are launched. tests/cuda_host has another such file, which runs them on the host.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_LAUNCH_CUH
#define TERN_DEVICE_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* Shared memory of the size that the launch says. */
#define DYNAMIC_SHARED(name) extern __shared__ float4 name[]

/* kernel<<<grid, block, shared, stream>>>(arguments...) */
template <typename... Parameters, typename... Arguments>
static cudaError_t launch_kernel(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                 Arguments... arguments) {
    if (shared > 48 * 1024) {
        const cudaError_t error = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
        if (error != cudaSuccess) return error;
    }
    kernel<<<grid, block, shared, stream>>>(Parameters(arguments)...);
    return cudaGetLastError();
}

#endif
