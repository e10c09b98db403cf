/* device.h - a device is one record of functions that compiles a program and runs batches.
 *
 * Nothing else in Tern knows what a device is made of; none knows another. An op that a device cannot run is refused by name when a
 * program is compiled, never moved elsewhere. docs/ADD-A-DEVICE.md walks through a new one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_DEVICE_H
#define TERN_DEVICE_DEVICE_H

#include "program/program.h"

typedef struct tern_device_options {
    const char *unit;         /* what follows the colon of "cuda:1", "mlx:cpu"; NULL: the device's default */
    int threads;              /* 0: one for each core that the process may use */
    const char *isa;          /* highest ISA level, NULL: the best there is */
    const char *cache_folder; /* where it may keep what it measured; made when missing, and a run does not fail for want of it. NULL:
                               * nothing is kept */
} tern_device_options;

/* A batch of sequences as packed rows. All arrays are borrowed for the run. */
typedef struct tern_batch {
    int64_t n_sequences;                  /* at least 1 */
    int64_t n_tokens;                     /* sum of the lengths */
    const int64_t *row_start;             /* [n_sequences + 1]: sequence s has rows row_start[s] ... row_start[s + 1] - 1, at least one
                                             unless nothing attends */
    int64_t n_prompt_rows;                /* of each sequence, at its start: left out by pools that skip the prompt */
    int64_t n_picks;                      /* 0 unless an output of TERN_SPACE_PICKS is asked for */
    const int32_t *picks;                 /* [n_picks]: rows */
    int64_t *node_ns;                     /* [n_nodes], 0 before: where `run` puts what each node took, -1 for one that ran in one
                                           * pass with the next that has a time; NULL: not wanted. A device that cannot leaves it */
    const int32_t *inputs[TERN_N_INPUTS]; /* [n_tokens] each; checked against the tables' sizes by the caller, columns ascending in a
                                             sequence; NULL when unused */
} tern_batch;

/* Where one output of the program goes: dense rows [rows of its space, its width]. */
typedef struct tern_run_output {
    int32_t output; /* index into program->outputs */
    float *data;
} tern_run_output;

/* What a device says of itself, once open. Strings live as long as it is. */
typedef struct tern_device_properties {
    const char *name; /* of the unit that is open: "cpu", "cuda:0" */
    const char *isa;  /* ISA level or GPU architecture that runs */
    int threads;      /* host threads that compute; 0 for a GPU */
} tern_device_properties;

typedef struct tern_device_record {
    const char *name;        /* "cpu" */
    bool takes_quantized;    /* weights that are quantized, of linears and embeddings; without it they come as float32 */
    int max_concurrent_runs; /* of one compiled program, from different threads; at least 1 */

    /* Which units are there? Writes at most `capacity` records and returns how many there are, at least one: a device that is absent has
     * a record that says why. Opens nothing, is quick. */
    size_t (*probe)(tern_device_info *infos, size_t capacity);

    tern_status (*open)(void **device, const tern_device_options *options, tern_error *err);
    void (*close)(void *device);
    tern_device_properties (*properties)(const void *device);

    /* Can / does it want to run this op? Every device supports the core ops; `supports` tells the fused ones that it has too. */
    bool (*supports)(const void *device, tern_op op);

    /* Lay out the weights (all bound) and plan. `program` (already fused for this device) must outlive *compiled. dtype: of the
     * computation, by PyTorch's name ("float32", "bfloat16"). Refuses by name an op or a dtype that it does not have. */
    tern_status (*compile)(void **compiled, void *device, const tern_program *program, const char *dtype, tern_error *err);
    void (*release)(void *compiled);

    /* Run one batch and write the outputs asked for. Only what they depend on is computed. Of one compiled program as many runs as
     * max_concurrent_runs may be under way at once, and their results have the same bits as alone; otherwise calls for a device come one
     * at a time. A failure leaves the device and the program as they can be: after TERN_E_MEMORY a smaller batch runs, and a device that
     * is lost fails every call with TERN_E_DEVICE until it is released and closed. */
    tern_status (*run)(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err);

    /* Bytes of the laid-out weights, and of the memory that one run of such a batch needs. */
    size_t (*packed_bytes)(const void *compiled);
    tern_status (*workspace_bytes)(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err);
} tern_device_record;

/* The record for "cpu", "cuda:1" and so on; *unit: what follows the colon, NULL without one. An unknown name fails and lists those known;
 * a plug-in that cannot be used fails and says why. */
tern_status tern__device_find(const tern_device_record **out, const char **unit, const char *name, tern_error *err);

extern const tern_device_record tern__device_cpu;

#endif
