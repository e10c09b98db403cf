/* op_program.h - a program in which one op stands so that its time can be told from that of what surrounds it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_OP_PROGRAM_H
#define TERN_BENCH_OP_PROGRAM_H

#include "program/program.h"

typedef struct tern_op_case {
    tern_op op;
    const char *shape;      /* "base", "large", "square" */
    int64_t in, out, heads; /* columns of input and output; heads of attention and rope */
    int64_t tokens, batch;  /* of a sequence; sequences */
} tern_op_case;

enum { TERN_OP_CASE_IDS = 64, TERN_OP_CASE_VOCAB = 30522 };

/* Every op that computes, at the shape that a model of this hidden and intermediate size gives it. Returns how many it wrote, at most
 * TERN_N_OPS. */
size_t tern__op_cases(tern_op_case cases[TERN_N_OPS], const char *shape, int64_t hidden, int64_t intermediate, int64_t heads);

/* Build the case's core ops, not fused yet; *result is the value that the op makes. The output "wanted" depends on the op and
 * is cheap. Weights are not bound. Ids are below TERN_OP_CASE_IDS, for EMBEDDING below TERN_OP_CASE_VOCAB. */
tern_status tern__op_program(tern_program **out, tern_value *result, const tern_op_case *c, tern_error *err);

/* After fusing: the index of the node that computes the value, -1 when the device did not make the case's op of it. */
int32_t tern__op_node(const tern_program *program, tern_value result, tern_op op);

#endif
