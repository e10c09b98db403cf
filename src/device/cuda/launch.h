/* launch.h - the kernels of a program for one bucket, put on its lane's stream in the order of its nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_LAUNCH_H
#define TERN_DEVICE_CUDA_LAUNCH_H

#include "device/cuda/cuda.h"

typedef struct tern_cuda_launch {
    tern_cuda_compiled *compiled;
    const tern_cuda_lane *lane; /* with `needed` and `slot_offsets` set */
    const tern_cuda_bucket *bucket;
    /* On the device. */
    const int32_t *row_start, *picks, *inputs[TERN_N_INPUTS];
    const tern_cuda_tile *tiles[2];
    void *narrow, *sums; /* scratch memory of linears with 8-bit operands */
    float *narrow_scales;
    bool has_encoder; /* one kernel does the layers, with these */
    uint32_t *barrier;
    void *exchange;
    float *output_data; /* outputs one after the other, at multiples of 256 bytes; may be pinned memory of the host */
    const tern_run_output *outputs;
    size_t n_outputs;
    cudaEvent_t *events; /* [n_nodes + 1], NULL before: recorded behind each node, the last in front of all; NULL: not wanted */
} tern_cuda_launch;

/* Is it done by a later node? */
bool tern__cuda_is_folded(const tern_cuda_launch *launch, int32_t node);
/* Choose cuBLASLt's kernels for all products that are needed; not while a graph is captured. */
tern_status tern__cuda_choose_products(const tern_cuda_launch *launch, tern_error *err);
tern_status tern__cuda_launch(const tern_cuda_launch *launch, tern_error *err);

#endif
