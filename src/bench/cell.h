/* cell.h - one configuration of the grid: its texts, every sample of it, and the row that it becomes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_CELL_H
#define TERN_BENCH_CELL_H

#include <jansson.h>

#include "bench/bench.h"
#include "bench/peaks.h"

enum { TERN_STAGE_TOKENIZE, TERN_STAGE_PACK, TERN_STAGE_COMPUTE, TERN_STAGE_RESULT, TERN_N_STAGES };

/* One timed call. */
typedef struct tern_sample {
    double ms; /* of the whole call */
    double stage_ms[TERN_N_STAGES];
    double probe_ms; /* the slower of the probes before and after it; 0: none */
    double energy_j; /* of the processors meanwhile; -1: not known */
} tern_sample;

typedef struct tern_cell {
    int64_t chars, batch;
    tern_text *texts;       /* [batch] */
    char *storage;          /* of the texts */
    float *vectors;         /* [batch][C] */
    const float *reference; /* [C], of text 0; NULL: none. Owned by the block */
    tern_status status;     /* of the first call that failed */
    char message[4096];     /* why */
    bool is_wrong, is_interrupted;
    double reference_error; /* |vector - reference| / |reference| of text 0; -1: not compared */
    double reference_bound; /* above which it is wrong */
    int64_t peak_memory_bytes;
    tern_profile profile;
    tern_sample first, *warmups, *iterations;
    size_t n_warmups, n_iterations; /* so far */
} tern_cell;

bool tern__cell_open(tern_cell *cell, int64_t chars, int64_t batch, size_t n_warmups, size_t n_iterations, size_t width);
void tern__cell_close(tern_cell *cell);

/* Embed the cell's texts in one run; a failure is noted in the cell. */
bool tern__cell_call(tern_cell *cell, tern_model *model, tern_sample *sample);
/* Compare the vectors of the last call with the reference. */
void tern__cell_check(tern_cell *cell, size_t width, const char *dtype);
void tern__cell_fail(tern_cell *cell, tern_status status, const char *message);
bool tern__cell_is_running(const tern_cell *cell);

/* A row: `common` (what all cells of the block share) and the cell's own. peaks: what the machine can do at most; quiet_ms: the probe
 * when nothing disturbs. NULL when memory is short. */
json_t *tern__cell_row(const tern_cell *cell, const json_t *common, const tern_peaks *peaks, double quiet_ms);

#endif
