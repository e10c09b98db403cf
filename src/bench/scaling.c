/* scaling.c - see scaling.h. A power law is a line through the logarithms; the exponent says how the whole range goes, not where it bends.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/json_row.h"
#include "bench/statistics.h"

static double tokens_of_text(const json_t *row) { return tern__row_number(row, "tokens", 0) / tern__row_number(row, "batch", 1); }
static double batch_size(const json_t *row) { return tern__row_number(row, "batch", 0); }

/* Of the rows whose `fixed` is that of `like`; is `like` the first of them? */
static size_t collect(double *x, double *y, bool *is_first, const json_t *rows, const json_t *like, const char *fixed,
                      double (*variable)(const json_t *row)) {
    size_t n = 0;
    *is_first = true;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!json_equal(json_object_get(row, fixed), json_object_get(like, fixed)) || tern__row_number(row, "median_ms", 0) <= 0) continue;
        if (n == 0) *is_first = row == like;
        x[n] = variable(row);
        y[n++] = tern__row_number(row, "median_ms", 0);
    }
    return n;
}

static void write_fits(tern_bench_sink *sink, const json_t *rows, const json_t *common, const char *fixed, const char *by,
                       double (*variable)(const json_t *row)) {
    const size_t n_rows = json_array_size(rows);
    double *x = malloc((n_rows + 1) * sizeof *x), *y = malloc((n_rows + 1) * sizeof *y);
    for (size_t i = 0; x != NULL && y != NULL && i < n_rows; i++) {
        bool is_first;
        tern_power_law law;
        const json_t *like = json_array_get(rows, i);
        const size_t n = collect(x, y, &is_first, rows, like, fixed, variable);
        if (!is_first || tern__row_number(like, "median_ms", 0) <= 0 || !tern__fit_power_law(&law, x, y, n)) continue;
        json_t *row = json_object();
        json_object_update(row, (json_t *)(uintptr_t)common);
        json_object_set_new(row, "kind", json_string("scaling"));
        json_object_set_new(row, "status", json_string("ok"));
        json_object_set_new(row, "message", json_null());
        json_object_set_new(row, "by", json_string(by));
        json_object_set(row, fixed, json_object_get(like, fixed));
        json_object_set_new(row, "exponent", json_real(law.exponent));
        json_object_set_new(row, "r_squared", json_real(law.r_squared));
        json_object_set_new(row, "n_points", json_integer((json_int_t)n));
        tern__sink_row(sink, row);
    }
    free(x);
    free(y);
}

void tern__scaling_write(tern_bench_sink *sink, const json_t *rows, const json_t *common) {
    write_fits(sink, rows, common, "chars", "batch", batch_size);
    write_fits(sink, rows, common, "batch", "tokens", tokens_of_text);
}

void tern__scaling_say(char *out, size_t capacity, const json_t *row) {
    const bool is_batch = strcmp(tern__row_string(row, "by"), "batch") == 0;
    char fixed[64];
    snprintf(fixed, sizeof fixed, is_batch ? "at %.0f characters" : "in batches of %.0f",
             tern__row_number(row, is_batch ? "chars" : "batch", 0));
    snprintf(out, capacity, "latency grows as %s to the power of %.2f %s (r2 %.3f)", is_batch ? "the batch" : "the tokens of a text",
             tern__row_number(row, "exponent", 0), fixed, tern__row_number(row, "r_squared", 0));
}
