/* grid.cuh - the barrier of all blocks, and pieces that come at once, on the host. In place of src/device/cuda/grid.cuh.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_GRID_CUH
#define TERN_TESTS_CUDA_HOST_GRID_CUH

#include "device/cuda/mma.cuh"

static inline uint4 load_exchanged(const void *from, bool valid) { return load_16(from, valid); }
static inline void store_exchanged(void *to, uint32_t x) { memcpy(to, &x, sizeof x); }

static inline void arrive_at_barrier(uint32_t *counter) {
    __syncthreads();
    if (threadIdx.x == 0) ++*counter, host_get_further();
}
static inline void await_barrier(const uint32_t *counter, uint32_t n_arrivals) {
    while (threadIdx.x == 0 && *counter < n_arrivals) host_give_way();
    __syncthreads();
}

/* Bytes that are announced and have not come, and whether the phase that is now has been announced: pieces come at once. */
struct host_arrival {
    int32_t n_bytes;
    int16_t phase; /* that has ended last; 1: none */
    bool is_announced;
};
static inline void host_end_phase(host_arrival *a) {
    if (!a->is_announced || a->n_bytes != 0) return;
    a->phase ^= 1;
    a->is_announced = false;
    host_get_further();
}
static inline void arrival_init(char *arrival) { *(host_arrival *)arrival = {0, 1, false}; }
static inline void arrival_publish() {}
static inline void arrival_announce(char *arrival, int bytes) {
    ((host_arrival *)arrival)->n_bytes += bytes;
    ((host_arrival *)arrival)->is_announced = true;
    host_end_phase((host_arrival *)arrival);
}
static inline void copy_piece(char *to, const char *from, int bytes, char *arrival) {
    memcpy(to, from, (size_t)bytes);
    ((host_arrival *)arrival)->n_bytes -= bytes;
    host_end_phase((host_arrival *)arrival);
}
static inline void arrival_await(char *arrival, int phase) {
    while (((const host_arrival *)arrival)->phase != phase) host_give_way();
    __syncwarp();
}

#endif
