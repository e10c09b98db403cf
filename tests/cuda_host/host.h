/* host.h - the GPU that runtime.cpp plays, as a test sets it up while no other thread calls.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_HOST_H
#define TERN_TESTS_CUDA_HOST_HOST_H

#include <stddef.h>

typedef struct host_state {
    int n_devices, driver, capability, multiprocessors; /* driver: the CUDA version that it is for, 13000; 0: none is installed */
    size_t memory, used;               /* bytes */
    long n_calls, fail_at;             /* calls so far of those that can fail; the number of the one that does, -1: none */
    long n_refused;                    /* allocations for which memory was too short */
    int fail_with;                     /* its cudaError_t */
    int is_lost;                       /* and of all calls after it: the device is lost */
    void (*on_graph)(void);            /* called by each thread that launches a graph, before it runs; NULL: none */
    long n_graphs;                     /* instantiated, not destroyed */
    int n_busy;                        /* threads that launch a graph or choose an algorithm */
    long n_disturbed;                  /* choices while another thread did either, which could not have measured anything */
    /* cuBLASLt's two algorithms: which is the faster, what both say they want, does it refuse them when they are checked, and how many
     * products fail yet; how often they were suggested, and products that each did. */
    int fastest, refuses, n_failing;
    size_t workspace;
    unsigned reduction;
    long n_suggestions, n_products[2];
    long lag_ms;     /* that the clock of events is ahead, for products that only seem to be slow */
    const char *gpu; /* its name; NULL: "host" */
    size_t cublaslt; /* cuBLASLt's version */
} host_state;

#ifdef __cplusplus
extern "C"
#endif
    __attribute__((visibility("default"))) host_state *
    tern_cuda_host(void);
typedef host_state *tern_cuda_host_function(void);

#endif
