/* cuda.h - what the CUDA device's C files share: the open device, a compiled program, products by cuBLASLt.
 *
 * Work goes to one stream. A batch's row counts are rounded up to a bucket; the kernels of a bucket are captured into a graph once, which
 * serves every batch of the bucket, since starts of sequences, ids and tiles are read on the device.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_CUDA_H
#define TERN_DEVICE_CUDA_CUDA_H

#include <cublasLt.h>

#include "device/cuda/kernels.h"
#include "device/device.h"

typedef struct tern_cuda_device {
    int index;
    char name[16], isa[16]; /* "cuda:0", "sm_90" */
    int capability;         /* 90 */
    size_t shared_bytes;    /* most shared memory of a block */
    cudaStream_t stream;
    cublasLtHandle_t lt;
    void *lt_workspace;
    /* Weights on their way, two pieces in turn: pinned, then on the device as the checkpoint has them; free when its event has come. */
    void *pinned[2], *scratch[2];
    cudaEvent_t events[2];
} tern_cuda_device;

#define TERN_CUDA_STAGE_BYTES ((size_t)4 << 20)

/* ---- Errors (cuda.c) ---- */

#define TERN_CUDA_TRY(device, call, what, err)                                                                                             \
    do {                                                                                                                                   \
        const cudaError_t try_error_ = (call);                                                                                             \
        if (try_error_ != cudaSuccess) return tern__cuda_fail((device), try_error_, (what), (err));                                        \
    } while (0)

/* What CUDA says, as Tern says it; `what` was tried. */
tern_status tern__cuda_fail(const tern_cuda_device *device, cudaError_t error, const char *what, tern_error *err);
/* cudaMalloc; a failure names what for, how much, and how much is free. Contents are zeros. */
tern_status tern__cuda_alloc(const tern_cuda_device *device, void **out, size_t bytes, const char *what, tern_error *err);

/* ---- Products (product.c), by cuBLASLt or by a kernel of our own ---- */

/* Algorithms that were measured, one for each kind of product that has been seen. */
typedef struct tern_cuda_algorithms {
    struct tern_cuda_algorithm *entries;
    size_t n, capacity;
} tern_cuda_algorithms;

/* Choose the algorithm: the fastest of cuBLASLt's suggestions, each run on these very operands (y is overwritten). Once for each kind. */
tern_status tern__cuda_product_choose(tern_cuda_algorithms *algorithms, const tern_cuda_device *device, const tern_cuda_product *product,
                                      tern_error *err);
/* Run one for which an algorithm was chosen. */
tern_status tern__cuda_product_run(const tern_cuda_algorithms *algorithms, const tern_cuda_device *device, const tern_cuda_product *product,
                                   tern_error *err);

/* ---- A compiled program ---- */

/* What a node has on the device. */
typedef struct tern_cuda_step {
    bool is_folded;                    /* done by a later node */
    bool is_mma;                       /* attention: on tensor cores */
    tern_cuda_rows weight;             /* linear [out][in], embedding table */
    void *bias;                        /* linear, of the storage type; NULL: none */
    float *scale, *shift;              /* norm; shift NULL: none */
    float *table;                      /* rope: angles; attention: relative bias */
    float *table_keys, *table_queries; /* disentangled; NULL: without */
    int32_t *table_row;
    int32_t reach;
    int n_lookups; /* ADD_LAYER_NORM, LAYER_NORM of a sum of embeddings, which are folded: their nodes */
    int32_t lookups[3];
} tern_cuda_step;

/* A piece of device memory, and what it was made of. */
typedef struct tern_cuda_block {
    void *data;
    const void *sources[TERN_OP_MAX_WEIGHTS];
    int64_t ld;
    tern_cuda_type type;
} tern_cuda_block;

typedef struct tern_cuda_compiled {
    tern_cuda_device *device;
    const tern_program *program;
    tern_cuda_type type;
    bool is_tf32;
    tern_plan plan;
    tern_cuda_step *steps; /* [n_nodes] */
    tern_cuda_block *blocks;
    size_t n_blocks, blocks_capacity, packed_bytes;
    bool uses_mma, uses_simt; /* kernels of attention */
    tern_cuda_algorithms algorithms;

    /* Of runs: memory of the largest so far, and the graphs that were captured over it. */
    uint8_t *needed;                 /* [n_nodes] */
    int32_t *wanted;                 /* [n_outputs] */
    size_t *slot_offsets;            /* [n_slots] */
    unsigned char *workspace, *host; /* on the device; pinned */
    size_t workspace_bytes, host_bytes;
    struct tern_cuda_graph *graphs;
    size_t n_graphs, graphs_capacity;
    uint64_t n_runs;
} tern_cuda_compiled;

static inline size_t tern__cuda_element_bytes(tern_cuda_type type) { return type == TERN_CUDA_F32 ? 4 : 2; }
/* Elements from one row to the next of a matrix so wide: rows begin at multiples of 32 bytes. */
static inline int64_t tern__cuda_stride(int64_t width) { return (width + 15) / 16 * 16; }
static inline bool tern__cuda_is_linear(tern_op op) {
    return op == TERN_OP_LINEAR || op == TERN_OP_LINEAR_CONCAT || op == TERN_OP_LINEAR_ACTIVATION || op == TERN_OP_LINEAR_ADD;
}

tern_status tern__cuda_compile(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err);
void tern__cuda_release(void *compiled);

/* ---- Weights (weights.c) ---- */

/* Uploading for one program; starts as {.compiled = c}, ends when the stream has. */
typedef struct tern_cuda_upload {
    tern_cuda_compiled *compiled;
    int turn; /* of the device's two pieces */
} tern_cuda_upload;

/* Parts one below the other, columns wide, rows ld elements apart (a vector: 1 and 1); a NULL part is part_rows[i] rows of zeros, and
 * where all are NULL out->data is. Equal ones share memory. */
tern_status tern__cuda_upload_parts(tern_cuda_upload *upload, tern_cuda_rows *out, const tern_weight *const *parts,
                                    const int64_t *part_rows, int n_parts, int32_t columns, int64_t ld, tern_cuda_type type,
                                    tern_error *err);
/* Plain bytes of the host. */
tern_status tern__cuda_upload_bytes(tern_cuda_upload *upload, void **out, const void *from, size_t bytes, tern_error *err);
/* Device memory that lives as long as the compiled program. */
tern_status tern__cuda_hold(tern_cuda_compiled *compiled, void **out, size_t bytes, const char *what, tern_error *err);

/* fold.c: keys and queries of the table of a disentangled attention. */
tern_status tern__cuda_fold(tern_cuda_upload *upload, int32_t node, tern_error *err);

/* ---- Running (run.c) ---- */

tern_status tern__cuda_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err);
tern_status tern__cuda_workspace_bytes(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err);
/* Forget graphs and free what runs hold. */
void tern__cuda_run_release(tern_cuda_compiled *compiled);

#endif
