/* host.h - the GPU that runtime.cpp plays, as a test sets it up.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_HOST_H
#define TERN_TESTS_CUDA_HOST_HOST_H

#include <stddef.h>

typedef struct host_state {
    int n_devices, driver, capability; /* driver: the CUDA version that it is for, 13000; 0: none is installed */
    size_t memory, used;               /* bytes */
    long n_calls, fail_at;             /* calls so far of those that can fail; the number of the one that does, -1: none */
    int fail_with;                     /* its cudaError_t */
    long n_graphs;                     /* instantiated, not destroyed */
} host_state;

#ifdef __cplusplus
extern "C"
#endif
    __attribute__((visibility("default"))) host_state *
    tern_cuda_host(void);
typedef host_state *tern_cuda_host_function(void);

#endif
