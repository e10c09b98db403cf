/* launch.cuh - how kernels are launched: from compute capability 9.0 on, while the kernel in front still runs (programmatic dependent
 * launch; CUDA C++ Programming Guide). So each kernel calls begin() first, behind which all that earlier kernels wrote is there; only
 * weights may be read before. tests/cuda_host has another such file, which runs kernels on the host.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_LAUNCH_CUH
#define TERN_DEVICE_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* Shared memory of the size that the launch says. */
#define DYNAMIC_SHARED(name) extern __shared__ float4 name[]

/* The next kernel may start as soon as all blocks of this one have come here. */
static __device__ __forceinline__ void allow_next() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/* Wait until the kernels in front are done. */
static __device__ __forceinline__ void await_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
static __device__ __forceinline__ void begin() {
    allow_next();
    await_previous();
}

/* kernel<<<grid, block, shared, stream>>>(arguments...), early where the GPU can; together: a kernel whose blocks wait for each other, so
 * that all of them must run at once (Programming Guide, "Cooperative Groups"). */
template <typename... Parameters, typename... Arguments>
static cudaError_t launch_with(bool is_together, cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                               Arguments... arguments) {
    int device = 0, major = 0;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (error == cudaSuccess && shared > 48 * 1024)
        error = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (error != cudaSuccess) return error;
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};
    if (major >= 9) {
        attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (is_together) {
        attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
        attributes[config.numAttrs++].val.cooperative = 1;
    }
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = attributes;
    return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

template <typename... Parameters, typename... Arguments>
static cudaError_t launch_kernel(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
                                 Arguments... arguments) {
    return launch_with(false, stream, kernel, grid, block, shared, arguments...);
}
#endif
