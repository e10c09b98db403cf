/* cuda.h - what the CUDA device's C files share: the open device, a compiled program, products by cuBLASLt.
 *
 * A batch's row counts are rounded up to a bucket; the kernels of a bucket are captured into a graph once, which serves every batch of the
 * bucket, since starts of sequences, ids and tiles are read on the device. Two batches may be under way at once, each on a lane: a stream
 * with memory and graphs of its own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CUDA_CUDA_H
#define TERN_DEVICE_CUDA_CUDA_H

#include <cublasLt.h>
#include <pthread.h>

#include "device/cuda/kernels.h"
#include "device/device.h"

typedef struct tern_cuda_device tern_cuda_device;

/* A stream, and cuBLASLt's scratch memory of the products on it. */
typedef struct tern_cuda_queue {
    const tern_cuda_device *device;
    cudaStream_t stream;
    void *lt_workspace; /* TERN_CUDA_LT_WORKSPACE bytes */
} tern_cuda_queue;

#define TERN_CUDA_LT_WORKSPACE ((size_t)32 << 20)

struct tern_cuda_device {
    int index;
    char name[16], isa[16]; /* "cuda:0", "sm_90" */
    int capability;         /* 90 */
    int n_multiprocessors;
    cublasLtHandle_t lt;
    tern_cuda_queue queue; /* of compiling, and of the first lane */
    /* Weights on their way, two pieces in turn: pinned, then on the device as the checkpoint has them; free when its event has come. */
    void *pinned[2], *scratch[2];
    cudaEvent_t events[2];
    struct tern_cuda_algorithm_cache *algorithm_cache; /* NULL: nothing is kept */
};

#define TERN_CUDA_STAGE_BYTES ((size_t)4 << 20)

/* ---- Errors (cuda.c) ---- */

#define TERN_CUDA_TRY(device, call, what, err)                                                                                             \
    do {                                                                                                                                   \
        const cudaError_t try_error_ = (call);                                                                                             \
        if (try_error_ != cudaSuccess) return tern__cuda_fail((device), try_error_, (what), (err));                                        \
    } while (0)

/* What CUDA says, as Tern says it; `what` was tried. */
tern_status tern__cuda_fail(const tern_cuda_device *device, cudaError_t error, const char *what, tern_error *err);
/* cudaMalloc; a failure names what for, how much, and how much is free. Contents are zeros to what follows on the queue. */
tern_status tern__cuda_alloc(const tern_cuda_queue *queue, void **out, size_t bytes, const char *what, tern_error *err);
/* cudaHostAlloc, for cudaFreeHost. */
tern_status tern__cuda_pin(const tern_cuda_device *device, void **out, size_t bytes, const char *what, tern_error *err);
/* A stream and its scratch memory; queue->device is set. A failure leaves none. */
tern_status tern__cuda_queue_open(tern_cuda_queue *queue, tern_error *err);
void tern__cuda_queue_close(tern_cuda_queue *queue);

/* ---- Products (product.c), by cuBLASLt or by a kernel of our own ---- */

/* What the choice of an algorithm may depend on, in cuBLASLt's numbers. Compared and written to files as bytes: padding is zero. */
typedef struct tern_cuda_product_kind {
    int64_t m, ldx, ldw, ldy, ldr;
    int32_t n, k;
    int32_t operands, result, compute, epilogue, is_scaled;
    uint32_t alignments[4];
} tern_cuda_product_kind;

typedef struct tern_cuda_algorithm {
    tern_cuda_product_kind kind;
    cublasLtMatmulAlgo_t algorithm;
} tern_cuda_algorithm;

/* Algorithms that were chosen, one for each kind of product that has been seen. */
typedef struct tern_cuda_algorithms {
    tern_cuda_algorithm *entries;
    size_t n, capacity;
} tern_cuda_algorithms;

/* Choose the algorithm: the one in the device's cache if it runs, else the fastest of cuBLASLt's suggestions; each is run on these very
 * operands (y is overwritten). Once for each kind. */
tern_status tern__cuda_product_choose(tern_cuda_algorithms *algorithms, const tern_cuda_queue *queue, const tern_cuda_product *product,
                                      tern_error *err);
/* Run one for which an algorithm was chosen. */
tern_status tern__cuda_product_run(const tern_cuda_algorithms *algorithms, const tern_cuda_queue *queue, const tern_cuda_product *product,
                                   tern_error *err);

/* ---- What was measured, from one process to the next (algorithm_cache.c) ---- */

typedef struct tern_cuda_algorithm_cache tern_cuda_algorithm_cache;

/* Read the file that `folder` has for this GPU, driver and cuBLASLt; one that is not there, cannot be read or is not right is an empty one.
 * folder NULL: *out is NULL, which the others take too. */
tern_status tern__cuda_algorithm_cache_open(tern_cuda_algorithm_cache **out, const tern_cuda_device *device, const char *folder,
                                            tern_error *err);
/* NULL when there is none. What comes from a file is to be checked; it is there until the next call. */
const cublasLtMatmulAlgo_t *tern__cuda_algorithm_cache_find(const tern_cuda_algorithm_cache *cache, const tern_cuda_product_kind *kind);
/* In place of what there is of the kind; the oldest goes when there are too many. Without memory for it it is not kept. */
void tern__cuda_algorithm_cache_add(tern_cuda_algorithm_cache *cache, const tern_cuda_algorithm *algorithm);
/* To the file, if any came, with what other processes have written there since. Without the folder, which is made, nothing is kept. */
void tern__cuda_algorithm_cache_write(tern_cuda_algorithm_cache *cache);
void tern__cuda_algorithm_cache_close(tern_cuda_algorithm_cache *cache);

/* ---- A compiled program ---- */

/* What a node has on the device. */
typedef struct tern_cuda_step {
    bool is_folded;                    /* done by a later node */
    bool is_mma;                       /* attention: on tensor cores */
    tern_cuda_rows weight;             /* linear [out][in], embedding table */
    tern_cuda_type weight_type;        /* linear: the storage type, or one of 8 bits */
    float *weight_scales;              /* linear of 8 bits: of each output */
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
    size_t bytes;
    int64_t ld;
    tern_cuda_type type;
} tern_cuda_block;

#define TERN_CUDA_N_LANES 2

/* What a run has to itself: memory of the largest so far, and the graphs that were captured over it. */
typedef struct tern_cuda_lane {
    tern_cuda_queue queue; /* stream NULL: not opened yet */
    bool is_taken;
    uint8_t *needed;                 /* [n_nodes] */
    int32_t *wanted;                 /* [n_outputs] */
    size_t *slot_offsets;            /* [n_slots] */
    unsigned char *workspace, *host; /* on the device; pinned */
    size_t workspace_bytes, host_bytes;
    struct tern_cuda_graph *graphs;
    size_t n_graphs, graphs_capacity;
    uint64_t n_runs;
} tern_cuda_lane;

typedef struct tern_cuda_compiled {
    tern_cuda_device *device;
    const tern_program *program;
    tern_cuda_type type;
    tern_cuda_type narrow_type; /* of the operands of linears over tokens, or `type` */
    bool is_tf32;
    int32_t narrow_k, narrow_n; /* the widest input and output of those with 8 bits */
    tern_plan plan;
    tern_cuda_step *steps; /* [n_nodes] */
    tern_cuda_block *blocks;
    size_t n_blocks, blocks_capacity, packed_bytes;
    bool uses_mma, uses_simt; /* kernels of attention */
    tern_cuda_algorithms algorithms;
    tern_cuda_encoder encoder; /* nodes encoder_first ... encoder_last as one kernel, without what a run has of it; n_layers 0: none */
    int32_t encoder_first, encoder_last;

    /* The first lane has the device's queue; the second is opened when two runs come at once. `lock`: of is_taken, n_lanes and freed. */
    tern_cuda_lane lanes[TERN_CUDA_N_LANES];
    int n_lanes; /* that runs may take: one from when memory was too short for two */
    bool has_locks;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    pthread_rwlock_t running; /* read by a run of a graph; written by one that allocates, chooses algorithms and captures, or is timed,
                               * which wants the GPU for itself and changes `algorithms` */
} tern_cuda_compiled;

static inline size_t tern__cuda_element_bytes(tern_cuda_type type) {
    return type == TERN_CUDA_F32 ? 4 : type == TERN_CUDA_F16 || type == TERN_CUDA_BF16 ? 2 : 1;
}
/* Elements from one row to the next of a matrix so wide: rows begin at multiples of 32 bytes. */
static inline int64_t tern__cuda_stride(int64_t width) { return (width + 15) / 16 * 16; }
static inline bool tern__cuda_is_linear(tern_op op) {
    return op == TERN_OP_LINEAR || op == TERN_OP_LINEAR_CONCAT || op == TERN_OP_LINEAR_ACTIVATION || op == TERN_OP_LINEAR_ADD;
}

tern_status tern__cuda_compile(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err);
void tern__cuda_release(void *compiled);

/* ---- Weights (weights.c) ---- */

/* Uploading for one program; starts as {.compiled = c}, and ends, on failure too, with tern__cuda_upload_end. */
typedef struct tern_cuda_upload {
    tern_cuda_compiled *compiled;
    int turn;   /* of the device's two pieces */
    void *wide; /* float32 rows on their way to 8 bits; NULL: none yet */
    size_t wide_bytes;
} tern_cuda_upload;

/* Parts one below the other, columns wide, rows ld elements apart (a vector: 1 and 1); a NULL part is part_rows[i] rows of zeros, and
 * where all are NULL out->data is. Equal ones share memory. */
tern_status tern__cuda_upload_parts(tern_cuda_upload *upload, tern_cuda_rows *out, const tern_weight *const *parts,
                                    const int64_t *part_rows, int n_parts, int32_t columns, int64_t ld, tern_cuda_type type,
                                    tern_error *err);
/* The same as rows of 8 bits, all parts present, with a scale for each row. */
tern_status tern__cuda_upload_narrow(tern_cuda_upload *upload, tern_cuda_rows *out, float **scales, const tern_weight *const *parts,
                                     const int64_t *part_rows, int n_parts, int32_t columns, tern_cuda_type type, tern_error *err);
void tern__cuda_upload_end(tern_cuda_upload *upload);
/* Plain bytes of the host. */
tern_status tern__cuda_upload_bytes(tern_cuda_upload *upload, void **out, const void *from, size_t bytes, tern_error *err);
/* Device memory that lives as long as the compiled program. */
tern_status tern__cuda_hold(tern_cuda_compiled *compiled, void **out, size_t bytes, const char *what, tern_error *err);

/* fold.c: keys and queries of the table of a disentangled attention. */
tern_status tern__cuda_fold(tern_cuda_upload *upload, int32_t node, tern_error *err);

/* ---- Lanes (lane.c) ---- */

/* Locks, and what lanes have on the host. */
tern_status tern__cuda_lanes_init(tern_cuda_compiled *compiled, tern_error *err);
void tern__cuda_lanes_free(tern_cuda_compiled *compiled);
/* Wait for a lane, the first if it is free; to be given back. */
tern_cuda_lane *tern__cuda_lane_take(tern_cuda_compiled *compiled);
void tern__cuda_lane_give(tern_cuda_compiled *compiled, tern_cuda_lane *lane);
/* Memory was short on *lane: from now on there is one lane. Frees what the second has when no run is on it, and makes *lane the first one.
 * False when that changes nothing. */
bool tern__cuda_lane_fall_back(tern_cuda_compiled *compiled, tern_cuda_lane **lane);
/* Open the lane, and see that its blocks are at least so large; graphs over one that moves are dropped. */
tern_status tern__cuda_lane_hold(tern_cuda_lane *lane, size_t workspace_bytes, size_t host_bytes, tern_error *err);

/* Row counts that a graph is made for. */
typedef struct tern_cuda_bucket {
    int64_t rows[TERN_N_SPACES];
    int64_t n_prompt_rows; /* of the batch; few values ever occur */
    int64_t n_tiles[2];    /* of TERN_CUDA_TILE and of TERN_CUDA_TILE_MMA queries; 0: no node wants them */
} tern_cuda_bucket;

/* One captured bucket. */
typedef struct tern_cuda_graph {
    tern_cuda_bucket bucket;
    int32_t *outputs; /* [n_outputs]: those that it computes, in order */
    size_t n_outputs;
    cudaGraphExec_t exec;
    uint64_t last_run;
} tern_cuda_graph;

/* NULL: there is none. One that is found is over the lane's present memory. */
tern_cuda_graph *tern__cuda_graph_find(const tern_cuda_lane *lane, const tern_cuda_bucket *bucket, const tern_run_output *outputs,
                                       size_t n_outputs);
/* A new one without exec, the last of the lane's; the one that was not run for longest makes room. */
tern_status tern__cuda_graph_add(tern_cuda_graph **out, tern_cuda_lane *lane, const tern_cuda_bucket *bucket,
                                 const tern_run_output *outputs, size_t n_outputs, tern_error *err);
void tern__cuda_graph_drop_last(tern_cuda_lane *lane);

/* ---- Layers as one kernel (encoder.c) ---- */

/* Sets compiled->encoder, when weights are on the device. */
void tern__cuda_encoder_find(tern_cuda_compiled *compiled);
/* Is it what runs in this bucket, for these outputs? */
bool tern__cuda_encoder_serves(const tern_cuda_compiled *compiled, const tern_cuda_bucket *bucket, const tern_run_output *outputs,
                               size_t n_outputs);

/* ---- Running (run.c) ---- */

/* Two at once, from different threads. */
tern_status tern__cuda_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err);
/* Of one lane. */
tern_status tern__cuda_workspace_bytes(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err);

#endif
