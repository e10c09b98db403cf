/* cuda.c - the record of the device "cuda": NVIDIA GPUs of compute capability 7.5 and up, through the CUDA runtime and cuBLASLt.
 * Computes in float32, tf32 (float32 whose products have operands of 11 bits), float16 and bfloat16, and with linears' operands in
 * float8_e4m3fn or int8; sums are float32 in all but the last, where they are int32.
 *
 * The runtime is linked in; the driver, libcuda, is found by it, and a machine without one has an absent device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/plugin.h"

#define MIN_CAPABILITY 75

/* ---- Errors ---- */

tern_status tern__cuda_fail(const tern_cuda_device *device, cudaError_t error, const char *what, tern_error *err) {
    cudaGetLastError(); /* errors of a call are over with it; those of the GPU stay and come again */
    if (error == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, total = 0;
        cudaMemGetInfo(&free_bytes, &total);
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: out of memory: %s; %zu MiB of %zu are free", device->name, what, free_bytes >> 20,
                         total >> 20);
    }
    return TERN_FAIL(err, TERN_E_DEVICE, "%s: %s: %s (%s)", device->name, what, cudaGetErrorString(error), cudaGetErrorName(error));
}

tern_status tern__cuda_alloc(const tern_cuda_queue *queue, void **out, size_t bytes, const char *what, tern_error *err) {
    const tern_cuda_device *device = queue->device;
    *out = NULL;
    const cudaError_t error = cudaMalloc(out, bytes);
    if (error == cudaErrorMemoryAllocation) {
        char message[200];
        snprintf(message, sizeof message, "%zu MiB for %.100s", (bytes + ((size_t)1 << 20) - 1) >> 20, what);
        return tern__cuda_fail(device, error, message, err);
    }
    if (error != cudaSuccess) return tern__cuda_fail(device, error, what, err);
    const cudaError_t cleared = cudaMemsetAsync(*out, 0, bytes, queue->stream);
    if (cleared == cudaSuccess) return TERN_OK;
    cudaFree(*out);
    *out = NULL;
    return tern__cuda_fail(device, cleared, what, err);
}

tern_status tern__cuda_pin(const tern_cuda_device *device, void **out, size_t bytes, const char *what, tern_error *err) {
    *out = NULL;
    const cudaError_t error = cudaHostAlloc(out, bytes, cudaHostAllocDefault);
    if (error != cudaErrorMemoryAllocation) return error == cudaSuccess ? TERN_OK : tern__cuda_fail(device, error, what, err);
    cudaGetLastError();
    return TERN_FAIL(err, TERN_E_MEMORY, "%s: out of pinned host memory: %zu KiB for %s", device->name, (bytes + 1023) >> 10, what);
}

tern_status tern__cuda_queue_open(tern_cuda_queue *queue, tern_error *err) {
    TERN_CUDA_TRY(queue->device, cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking), "making a stream", err);
    const tern_status status = tern__cuda_alloc(queue, &queue->lt_workspace, TERN_CUDA_LT_WORKSPACE, "the scratch memory of cuBLASLt", err);
    if (status != TERN_OK) tern__cuda_queue_close(queue);
    return status;
}

void tern__cuda_queue_close(tern_cuda_queue *queue) {
    if (queue->lt_workspace != NULL) cudaFree(queue->lt_workspace);
    if (queue->stream != NULL) cudaStreamDestroy(queue->stream);
    queue->lt_workspace = NULL, queue->stream = NULL;
}

/* Why there is no device, for a person. */
static void explain_absence(char *reason, size_t bytes, cudaError_t error) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) snprintf(reason, bytes, "no NVIDIA driver is installed (libcuda.so.1)");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(reason, bytes, "the NVIDIA driver is for CUDA %d.%d; this build needs %d.%d", driver / 1000, driver % 1000 / 10,
                 runtime / 1000, runtime % 1000 / 10);
    else if (error == cudaSuccess || error == cudaErrorNoDevice) snprintf(reason, bytes, "there is no NVIDIA GPU");
    else snprintf(reason, bytes, "CUDA does not start: %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    cudaGetLastError();
}

/* ---- The units ---- */

static int capability_of(int index) {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    return 10 * major + minor;
}

static void describe(tern_device_info *info, int index) {
    struct cudaDeviceProp properties;
    int driver = 0, runtime = 0;
    *info = (tern_device_info){.is_present = true};
    snprintf(info->name, sizeof info->name, "cuda:%d", index);
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    const int capability = error == cudaSuccess ? 10 * properties.major + properties.minor : 0;
    if (capability < MIN_CAPABILITY) {
        info->is_present = false;
        if (error != cudaSuccess) explain_absence(info->reason, sizeof info->reason, error);
        else
            snprintf(info->reason, sizeof info->reason, "%.100s has compute capability %d.%d; 7.5 and up are supported", properties.name,
                     properties.major, properties.minor);
        return;
    }
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    snprintf(info->isa, sizeof info->isa, "sm_%d", capability);
    snprintf(info->description, sizeof info->description, "%.100s, %s, %zu MiB, driver for CUDA %d.%d, runtime %d.%d, cuBLASLt %zu",
             properties.name, info->isa, properties.totalGlobalMem >> 20, driver / 1000, driver % 1000 / 10, runtime / 1000,
             runtime % 1000 / 10, cublasLtGetVersion());
}

static size_t cuda_probe(tern_device_info *infos, size_t capacity) {
    int n = 0;
    const cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess || n <= 0) {
        if (capacity == 0) return 1;
        *infos = (tern_device_info){.name = "cuda", .is_present = false};
        explain_absence(infos->reason, sizeof infos->reason, error);
        return 1;
    }
    for (int i = 0; i < n && (size_t)i < capacity; i++) describe(&infos[i], i);
    return (size_t)n;
}

/* ---- Opening ---- */

static tern_status choose_index(int *index, const char *unit, tern_error *err) {
    int n = 0;
    const cudaError_t error = cudaGetDeviceCount(&n);
    *index = 0;
    if (error != cudaSuccess || n <= 0) {
        char reason[256];
        explain_absence(reason, sizeof reason, error);
        return TERN_FAIL(err, TERN_E_DEVICE, "cuda: %s", reason);
    }
    if (unit == NULL) return TERN_OK;
    char *end;
    const long number = strtol(unit, &end, 10);
    if (unit[0] < '0' || unit[0] > '9' || *end != '\0' || number >= n)
        return TERN_FAIL(err, TERN_E_DEVICE, "device \"cuda:%.40s\": this machine has cuda:0%s%.0d", unit, n > 1 ? " ... cuda:" : "",
                         n > 1 ? n - 1 : 0);
    *index = (int)number;
    return TERN_OK;
}

static tern_status open_into(tern_cuda_device *device, const char *cache_folder, tern_error *err) {
    device->capability = capability_of(device->index);
    if (device->capability < MIN_CAPABILITY)
        return TERN_FAIL(err, TERN_E_DEVICE, "%s has compute capability %d.%d; 7.5 and up are supported", device->name,
                         device->capability / 10, device->capability % 10);
    snprintf(device->isa, sizeof device->isa, "sm_%d", device->capability);
    TERN_CUDA_TRY(device, cudaSetDevice(device->index), "opening it", err);
    TERN_CUDA_TRY(device, cudaDeviceGetAttribute(&device->n_multiprocessors, cudaDevAttrMultiProcessorCount, device->index), "opening it",
                  err);
    TERN_TRY(tern__cuda_queue_open(&device->queue, err));
    for (int i = 0; i < 2; i++) {
        TERN_TRY(tern__cuda_pin(device, &device->pinned[i], TERN_CUDA_STAGE_BYTES, "weights on their way", err));
        TERN_TRY(tern__cuda_alloc(&device->queue, &device->scratch[i], TERN_CUDA_STAGE_BYTES, "weights on their way", err));
        TERN_CUDA_TRY(device, cudaEventCreateWithFlags(&device->events[i], cudaEventDisableTiming), "opening it", err);
    }
    const cublasStatus_t status = cublasLtCreate(&device->lt);
    if (status != CUBLAS_STATUS_SUCCESS)
        return TERN_FAIL(err, TERN_E_DEVICE, "%s: cuBLASLt does not start: %s", device->name, cublasLtGetStatusString(status));
    return tern__cuda_algorithm_cache_open(&device->algorithm_cache, device, cache_folder, err);
}

static void cuda_close(void *opened) {
    tern_cuda_device *device = opened;
    if (device == NULL) return;
    tern__cuda_algorithm_cache_close(device->algorithm_cache);
    cudaSetDevice(device->index);
    if (device->lt != NULL) cublasLtDestroy(device->lt);
    for (int i = 0; i < 2; i++) {
        if (device->pinned[i] != NULL) cudaFreeHost(device->pinned[i]);
        if (device->scratch[i] != NULL) cudaFree(device->scratch[i]);
        if (device->events[i] != NULL) cudaEventDestroy(device->events[i]);
    }
    tern__cuda_queue_close(&device->queue);
    free(device);
}

static tern_status cuda_open(void **out, const tern_device_options *options, tern_error *err) {
    int index;
    *out = NULL;
    TERN_TRY(choose_index(&index, options->unit, err));
    if (options->threads != 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "cuda: a number of threads is for the CPU device");
    if (options->isa != NULL) return TERN_FAIL(err, TERN_E_ARGUMENT, "cuda: an ISA level is for the CPU device");
    tern_cuda_device *device = tern__alloc_zero(1, sizeof *device);
    if (device == NULL) return TERN_FAIL_MEMORY(err, sizeof *device);
    device->index = index;
    device->queue.device = device;
    snprintf(device->name, sizeof device->name, "cuda:%d", index);
    const tern_status status = open_into(device, options->cache_folder, err);
    if (status == TERN_OK) *out = device;
    else cuda_close(device);
    return status;
}

static tern_device_properties cuda_properties(const void *opened) {
    const tern_cuda_device *device = opened;
    return (tern_device_properties){.name = device->name, .isa = device->isa};
}

static bool cuda_supports(const void *device, tern_op op) {
    (void)device;
    return (unsigned)op < TERN_N_OPS;
}

static size_t cuda_packed_bytes(const void *compiled) { return ((const tern_cuda_compiled *)compiled)->packed_bytes; }

static const tern_device_record record = {
    .name = "cuda",
    .max_concurrent_runs = TERN_CUDA_N_LANES,
    .probe = cuda_probe,
    .open = cuda_open,
    .close = cuda_close,
    .properties = cuda_properties,
    .supports = cuda_supports,
    .compile = tern__cuda_compile,
    .release = tern__cuda_release,
    .run = tern__cuda_run,
    .packed_bytes = cuda_packed_bytes,
    .workspace_bytes = tern__cuda_workspace_bytes,
};

TERN_API const tern_device_plugin_info *tern_device_plugin(void) {
    static const tern_device_plugin_info info = {.contract = TERN_DEVICE_CONTRACT, .record = &record};
    return &info;
}
