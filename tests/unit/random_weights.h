/* random_weights.h - a program's weights for tests: float32, drawn one after the other from the same numbers in each process.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_UNIT_RANDOM_WEIGHTS_H
#define TERN_TESTS_UNIT_RANDOM_WEIGHTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "program/program.h"

static uint32_t random_state = 7;

static inline uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* -1 ... 1 */
static inline float random_unit(void) { return (float)(next_random(&random_state) >> 8) / (float)(1 << 23) - 1.0f; }

/* Each element of a weight is what `element` says of it. */
static inline void bind_random_weights(tern_program *p, float (*element)(const tern_weight *weight)) {
    for (int32_t w = 0; w < p->n_weights; w++) {
        tern_weight *weight = &p->weights[w];
        const size_t n = (size_t)weight->shape[0] * (weight->rank == 2 ? (size_t)weight->shape[1] : 1);
        float *data = malloc(n * sizeof *data);
        assert_non_null(data);
        for (size_t i = 0; i < n; i++) data[i] = element(weight);
        weight->data = data;
        weight->dtype = TERN_DTYPE_F32;
    }
}

/* With its weights. */
static inline void free_random_program(tern_program *p) {
    for (int32_t w = 0; w < p->n_weights; w++) free((void *)(uintptr_t)p->weights[w].data);
    tern__program_free(p);
}

#endif
