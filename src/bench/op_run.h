/* op_run.h - one op, timed on a device.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_OP_RUN_H
#define TERN_BENCH_OP_RUN_H

#include "bench/op_program.h"
#include "device/device.h"

/* An opened device and what the cases share. */
typedef struct tern_op_bench {
    const tern_device_record *record;
    void *device;
    const char *dtype;
    float *weights; /* of any weight: [TERN_OP_CASE_VOCAB * widest] */
    size_t n_weights;
} tern_op_bench;

typedef struct tern_op_run {
    double *ms; /* [n_calls]: of the op, the mean over the copies */
    size_t n_calls;
    size_t n_copies; /* of its program, run in turn, so that weights come from memory as in a model of many layers */
    int64_t rows;    /* of its output */
    tern_cost cost;
} tern_op_run;

tern_status tern__op_bench_open(tern_op_bench *out, const char *device, const tern_device_options *options, const char *dtype,
                                tern_error *err);
void tern__op_bench_close(tern_op_bench *bench);

/* Run the case n_calls times; out->ms is the caller's.
 * errors   TERN_E_UNSUPPORTED  the device does not fuse this op, or cannot time ops apart     others as the device's */
tern_status tern__op_bench_run(tern_op_run *out, const tern_op_bench *bench, const tern_op_case *c, tern_error *err);

#endif
