/* runtime.cpp - as much of the CUDA runtime as the device calls, on the host: memory of the device is memory of the host, a stream does its
 * work at once, a graph is a list of what was captured. One GPU of compute capability 9.0, which a test can make absent, fill up or lose.
 * Threads take turns, one piece of work after another.
 * SPDX-License-Identifier: Apache-2.0 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "host.h"

#include "device/cuda/launch.cuh"

struct CUstream_st {
    std::vector<std::function<void()>> *captured; /* nullptr: not capturing */
};
struct CUevent_st {
    std::chrono::steady_clock::time_point time;
};
struct CUgraph_st {
    std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> work;
};

static host_state state = {/* n_devices */ 1,
                           /* driver */ 13000,
                           /* capability */ 90,
                           /* multiprocessors */ 132,
                           /* memory */ (size_t)1 << 32,
                           /* used */ 0,
                           /* n_calls */ 0,
                           /* fail_at */ -1,
                           /* n_refused */ 0,
                           /* fail_with */ 0,
                           /* is_lost */ 0,
                           /* on_graph */ nullptr,
                           /* n_graphs */ 0,
                           /* n_busy */ 0,
                           /* n_disturbed */ 0};
static std::map<void *, size_t> allocations;
static thread_local cudaError_t last_error;
static std::recursive_mutex turns; /* of `state`, `allocations`, and the one block that runs */
typedef const std::lock_guard<std::recursive_mutex> turn;

host_state *tern_cuda_host(void) { return &state; }

static cudaError_t result(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

/* The error of a call that a test has chosen to fail. */
static cudaError_t fault(cudaError_t otherwise) {
    turn mine(turns);
    state.n_calls++;
    const bool fails = state.fail_at >= 0 && (state.is_lost ? state.n_calls > state.fail_at : state.n_calls == state.fail_at + 1);
    return fails ? result((cudaError_t)state.fail_with) : otherwise;
}

cudaError_t host_submit(cudaStream_t stream, const std::function<void()> &work) {
    turn mine(turns);
    const cudaError_t error = fault(cudaSuccess);
    if (error != cudaSuccess) return error;
    if (stream->captured != nullptr) stream->captured->push_back(work);
    else work();
    return cudaSuccess;
}

void host_note_choice() {
    {
        turn mine(turns);
        state.n_busy++;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    turn mine(turns);
    state.n_disturbed += --state.n_busy > 0;
}

extern "C" {

/* ---- Devices ---- */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = state.n_devices;
    if (state.driver == 0 || state.driver < CUDART_VERSION) return result(cudaErrorInsufficientDriver);
    return state.n_devices > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = state.driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return fault(cudaSuccess); }
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? state.capability / 10
             : attribute == cudaDevAttrComputeCapabilityMinor ? state.capability % 10
             : attribute == cudaDevAttrMultiProcessorCount    ? state.multiprocessors
                                                              : 0;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int) {
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "%s", state.gpu != nullptr ? state.gpu : "host");
    properties->major = state.capability / 10, properties->minor = state.capability % 10;
    properties->totalGlobalMem = state.memory;
    return fault(cudaSuccess);
}
const char *cudaGetErrorName(cudaError_t) { return "cudaErrorOfTheHost"; }
const char *cudaGetErrorString(cudaError_t) { return "an error of the host's runtime"; }
cudaError_t cudaGetLastError(void) {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

/* ---- Memory ---- */

static cudaError_t allocate(void **out, size_t bytes) {
    turn mine(turns);
    const bool fits = state.used + bytes <= state.memory;
    state.n_refused += !fits;
    const cudaError_t error = fault(fits ? cudaSuccess : result(cudaErrorMemoryAllocation));
    if (error != cudaSuccess) return error;
    *out = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(*out, 0xAB, bytes);
    allocations[*out] = bytes;
    state.used += bytes;
    return cudaSuccess;
}
/* What a lost device had is gone, whatever it says. */
static cudaError_t release(void *memory) {
    turn mine(turns);
    if (allocations.count(memory) == 0) {
        fprintf(stderr, "cuda_host: memory is freed that is none\n");
        abort();
    }
    state.used -= allocations[memory];
    allocations.erase(memory);
    free(memory);
    return state.is_lost ? fault(cudaSuccess) : cudaSuccess;
}
cudaError_t cudaMalloc(void **out, size_t bytes) { return allocate(out, bytes); }
cudaError_t cudaFree(void *memory) { return release(memory); }
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned int) { return allocate(out, bytes); }
cudaError_t cudaFreeHost(void *memory) { return release(memory); }
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    turn mine(turns);
    *free_bytes = state.memory - state.used;
    *total = state.memory;
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    return host_submit(stream, [=] { memset(memory, value, bytes); });
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind, cudaStream_t stream) {
    return host_submit(stream, [=] { memcpy(to, from, bytes); });
}

/* ---- Streams, events, graphs ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int) {
    const cudaError_t error = fault(cudaSuccess);
    if (error == cudaSuccess) *stream = new CUstream_st();
    return error;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return fault(cudaSuccess); }
cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = new CUevent_st();
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    event->time = std::chrono::steady_clock::now() + std::chrono::milliseconds(state.lag_ms);
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode) {
    const cudaError_t error = fault(cudaSuccess);
    if (error == cudaSuccess) stream->captured = new std::vector<std::function<void()>>();
    return error;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = new CUgraph_st{*stream->captured};
    delete stream->captured;
    stream->captured = nullptr;
    return fault(cudaSuccess);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
    turn mine(turns);
    const cudaError_t error = fault(cudaSuccess);
    if (error == cudaSuccess) *exec = new CUgraphExec_st{graph->work}, state.n_graphs++;
    return error;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (exec == nullptr) return cudaErrorInvalidValue;
    turn mine(turns);
    delete exec;
    state.n_graphs--;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
    {
        turn mine(turns);
        state.n_busy++;
    }
    if (state.on_graph != nullptr) state.on_graph();
    turn mine(turns);
    const cudaError_t error = fault(cudaSuccess);
    for (const std::function<void()> &work : exec->work)
        if (error == cudaSuccess) work();
    state.n_busy--;
    return error;
}
}
