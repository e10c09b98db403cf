/* cpu.h - what the files of the CPU device share: the opened device, a compiled program, one run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CPU_CPU_H
#define TERN_DEVICE_CPU_CPU_H

#include <stdatomic.h>

#include "base/thread_pool.h"
#include "device/cpu/kernels.h"
#include "device/device.h"

typedef struct tern_cpu_device {
    tern_kernels kernels;
    tern_thread_pool *pool;
} tern_cpu_device;

/* What a node's weights became. */
typedef struct tern_cpu_step {
    const float *panels; /* linear ops: tern_gemm's */
    const float *bias;   /* linear ops: tern_gemm's; norms: [width] */
    const float
        *weight;   /* norms: [width]; rope: [max_positions][head_dim], cosines before sines; a relative bias: [n_heads][2 reach + 1] */
    int32_t reach; /* of a relative bias: distances beyond have the last one's */
    float factor;  /* scale */
    size_t n_panels;
    bool is_shared; /* an earlier step packs them */
    bool is_packed; /* heads are packed when they are first asked for; until then they have addresses, and no memory */
    float *folded;  /* disentangled attention: the block of the tables; freed by tern__cpu_unfold, like rows_by_distance */
    float *table_keys, *table_queries; /* [n_rows][width]; NULL: without */
    int32_t *rows_by_distance;         /* [2 reach + 1] */
} tern_cpu_step;

typedef enum tern_cpu_phase_kind { TERN_CPU_ROWS, TERN_CPU_GEMM, TERN_CPU_ATTENTION } tern_cpu_phase_kind;

/* Nodes first ... end - 1, in one phase of tasks. Nodes that work row by row share a phase, in which a thread takes some rows through all
 * of them; a product or an attention has a phase of its own. */
typedef struct tern_cpu_phase {
    tern_cpu_phase_kind kind;
    tern_space space; /* of the outputs */
    int32_t first, end;
} tern_cpu_phase;

typedef struct tern_cpu_compiled {
    tern_cpu_device *device;
    const tern_program *program;
    tern_plan plan;
    tern_plan run_plan, encoder_plan; /* plan, with room for what the present run needs / what a run needs that asks for no head */
    tern_cpu_step *steps; /* [n_nodes] */
    tern_cpu_phase *phases;
    int32_t n_phases;
    _Atomic int64_t *phase_end_ns; /* [n_phases + 1], of a run whose ops are timed: when the phase was done; last, when the run began */
    float *packed;
    size_t packed_bytes; /* without a head's */
    uint8_t *needed;          /* [n_nodes], of the present run, like the next two */
    int32_t *wanted;          /* [n_outputs of the program]: those asked for, each once */
    size_t *slot_offsets;     /* [n_slots], bytes into the workspace */
    unsigned char *workspace; /* kept from run to run; NULL at first and when it could not grow */
    size_t workspace_bytes;
} tern_cpu_compiled;

/* A block for `bytes`, in large pages where it is worth it; free with free(). NULL when memory is short. */
void *tern__cpu_alloc(size_t bytes);

/* One phase of tasks: all of a product of n_rows rows, by every thread of a pool (see tern_tasks); it is left to the caller to wait. */
void tern__cpu_gemm(const tern_kernels *kernels, const tern_gemm *g, size_t n_rows, tern_tasks *tasks);

/* compile.c: rows panel * nr ... of a linear node's weight [.., k], turned, with their biases. */
void tern__cpu_pack_panel(const tern_program *program, const tern_node *node, size_t k, size_t nr, size_t panel, float *to, float *bias);

/* The node's weights have been read and will not be again. */
void tern__cpu_forget_weights(const tern_program *program, const tern_node *node);

/* Pack what is needed (nodes of c->needed) and not packed yet. */
void tern__cpu_pack_needed(tern_cpu_compiled *c);

/* fold.c: compute what depends on weights alone; release it. */
tern_status tern__cpu_fold(tern_cpu_compiled *c, tern_error *err);
void tern__cpu_unfold(tern_cpu_compiled *c);

tern_status tern__cpu_compile(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err);
void tern__cpu_release(void *compiled);
tern_status tern__cpu_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err);
tern_status tern__cpu_workspace_bytes(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err);

#endif
