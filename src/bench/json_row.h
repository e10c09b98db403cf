/* json_row.h - the parts of rows that several measurements share, and writing them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_JSON_ROW_H
#define TERN_BENCH_JSON_ROW_H

#include <jansson.h>

#include "bench/bench.h"
#include "bench/peaks.h"
#include "bench/statistics.h"

#define TERN_ROW_SCHEMA "tern-bench-1"

/* {"schema", "kind", "engine", "engine_version", "git", "started", "machine"}; NULL when memory is short. */
json_t *tern__row_begin(const char *kind);
/* median_ms, median_low_ms, median_high_ms, p10_ms, p90_ms, p99_ms, min_ms, max_ms, mean_ms, sd_ms. */
void tern__row_add_summary(json_t *row, const tern_summary *summary);
/* Add to the list's entry {"op", "n", "ms", "flops", "bytes", "limit_ms", "share"} of that name, or make it; the last two only where peaks
 * are known. */
void tern__row_add_op(json_t *list, const char *name, double ms, const tern_work *work, const tern_peaks *peaks);
/* "ok", "out_of_memory", "device_absent", "unsupported", "failed". */
const char *tern__row_status(tern_status status);
/* The row's number, or `otherwise`. */
double tern__row_number(const json_t *row, const char *key, double otherwise);
/* "" where there is none. */
const char *tern__row_string(const json_t *row, const char *key);

/* Take the row (NULL: memory was short) and write it to the sink's file. */
void tern__sink_row(tern_bench_sink *sink, json_t *row);

#endif
