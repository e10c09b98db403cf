/* report_plots.c - the plots of a block of rows. See report.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/json_row.h"
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/rows_file.h"

enum { MAX_SERIES = 12 };

static double of(const json_t *row, const char *key) { return tern__row_number(row, key, 0); }

/* Different values of a key among the measured rows, ascending. */
static size_t distinct(double values[MAX_SERIES], const tern_report_block *block, const char *key) {
    size_t n = 0;
    for (size_t r = 0; r < block->n_rows; r++) {
        const double value = of(block->rows[r], key);
        size_t at = 0;
        while (at < n && values[at] < value) at++;
        if (!tern__report_is_measured(block->rows[r]) || (at < n && values[at] <= value) || n == MAX_SERIES) continue;
        memmove(values + at + 1, values + at, (n - at) * sizeof *values);
        values[at] = value;
        n++;
    }
    return n;
}

static bool is_in(const json_t *row, const char *key, double value) {
    return tern__report_is_measured(row) && fabs(of(row, key) - value) < 0.5;
}

/* ---- Lines with a band: x, middle, low, high; a series for each value of `by` ---- */

typedef struct lines {
    const char *title, *x_label, *y_label;
    const char *by, *before, *after; /* "chars", "", " characters" */
    double (*x)(const json_t *row);
    const char *middle, *low, *high; /* keys; low NULL: no band */
    double factor;
    bool is_linear; /* y, from 0; else logarithmic */
} lines;

static double batch_of(const json_t *row) { return of(row, "batch"); }
static double tokens_of(const json_t *row) { return of(row, "batch") > 0 ? of(row, "tokens") / of(row, "batch") : 0; }

static size_t write_series(FILE *script, const tern_report_block *block, const lines *l, double value, size_t number) {
    size_t n = 0;
    fprintf(script, "$s%zu << END\n", number);
    for (size_t r = 0; r < block->n_rows; r++) {
        const json_t *row = block->rows[r];
        if (!is_in(row, l->by, value) || !(l->x(row) > 0) || !(of(row, l->middle) > 0)) continue;
        fprintf(script, "%.9g %.9g %.9g %.9g\n", l->x(row), l->factor * of(row, l->middle),
                l->factor * of(row, l->low != NULL ? l->low : l->middle), l->factor * of(row, l->high != NULL ? l->high : l->middle));
        n++;
    }
    fputs("END\n", script);
    return n;
}

/* Ticks where samples are, unless they would run into each other. */
static void mark_x(FILE *script, const tern_report_block *block, const lines *l) {
    double least = HUGE_VAL, most = 0, last = 0;
    fputs("set xtics (", script);
    for (;;) {
        double next = HUGE_VAL;
        for (size_t r = 0; r < block->n_rows; r++) {
            if (!tern__report_is_measured(block->rows[r])) continue;
            const double x = l->x(block->rows[r]);
            if (x > 0 && x > 1.3 * last && x < next) next = x;
            if (x > 0 && x < least) least = x;
            if (x > most) most = x;
        }
        if (isinf(next)) break;
        fprintf(script, "%s'%.0f' %.9g", last > 0 ? ", " : "", next, next);
        last = next;
    }
    fprintf(script, ")\nset xrange [%.9g:%.9g]\n", least / 1.1, most * 1.1);
}

static tern_status draw_lines(char **svg, size_t *bytes, const tern_report_block *block, const lines *l, tern_error *err) {
    double values[MAX_SERIES];
    const size_t n_series = distinct(values, block, l->by);
    tern_plot plot;
    tern_status status = tern__plot_begin(&plot, l->title, l->x_label, l->y_label, err);
    size_t most = 0;
    for (size_t s = 0; s < n_series && status == TERN_OK; s++) {
        const size_t n = write_series(plot.script, block, l, values[s], s);
        if (n > most) most = n;
    }
    if (status != TERN_OK || most < 2) {
        tern__plot_end(&plot, NULL, NULL, err);
        return status;
    }
    mark_x(plot.script, block, l);
    fputs(l->is_linear ? "set logscale x\nset yrange [0:*]\nplot " : "set logscale xy\nplot ", plot.script);
    for (size_t s = 0; s < n_series; s++) {
        const size_t color = s % 8 + 1;
        if (l->low != NULL) fprintf(plot.script, "$s%zu using 1:3:4 with filledcurves lt %zu notitle, ", s, color);
        fprintf(plot.script, "$s%zu using 1:2 with linespoints lt %zu title '%s%.0f%s', ", s, color, l->before, values[s], l->after);
    }
    fputs("NaN notitle\n", plot.script);
    return tern__plot_end(&plot, svg, bytes, err);
}

/* ---- Warm-up: every call of a row, in order, over the row's median ---- */

static size_t write_calls(FILE *script, const json_t *row, size_t number) {
    size_t n_warmups = 0, n_iterations = 0, call = 1;
    double *warmups = tern__row_numbers(row, "warmup_ms", &n_warmups), *iterations = tern__row_numbers(row, "iterations_ms", &n_iterations);
    const double median = of(row, "median_ms");
    fprintf(script, "$s%zu << END\n", number);
    if (of(row, "first_ms") > 0) fprintf(script, "%zu %.9g\n", call++, of(row, "first_ms") / median);
    for (size_t i = 0; warmups != NULL && i < n_warmups; i++) fprintf(script, "%zu %.9g\n", call++, warmups[i] / median);
    for (size_t i = 0; iterations != NULL && i < n_iterations; i++) fprintf(script, "%zu %.9g\n", call++, iterations[i] / median);
    fputs("END\n", script);
    free(warmups);
    free(iterations);
    return call - 1;
}

static tern_status draw_warmup(char **svg, size_t *bytes, const tern_report_block *block, tern_error *err) {
    double chars[MAX_SERIES];
    const size_t n_chars = distinct(chars, block, "chars");
    tern_plot plot;
    const tern_status status = tern__plot_begin(&plot, "Warm-up: every call over the median of its row",
                                                "call: the first, the warm-ups, the iterations", "time / median", err);
    size_t most = 0;
    for (size_t r = 0; r < block->n_rows && status == TERN_OK; r++) {
        if (!tern__report_is_measured(block->rows[r])) continue;
        const size_t n = write_calls(plot.script, block->rows[r], r);
        if (n > most) most = n;
    }
    if (status != TERN_OK || most < 2) {
        tern__plot_end(&plot, NULL, NULL, err);
        return status;
    }
    fputs("set logscale y\nset xrange [0.5:*]\nplot 1 lc '#999999' lw 1 notitle", plot.script);
    for (size_t r = 0; r < block->n_rows; r++) {
        if (!tern__report_is_measured(block->rows[r])) continue;
        size_t series = 0;
        while (series < n_chars && !is_in(block->rows[r], "chars", chars[series])) series++;
        const bool is_first = r == 0 || !is_in(block->rows[r - 1], "chars", of(block->rows[r], "chars"));
        fprintf(plot.script, ", $s%zu using 1:2 with linespoints lt %zu lw 1 ps 0.3 ", r, series % 8 + 1);
        if (is_first) fprintf(plot.script, "title '%.0f characters'", of(block->rows[r], "chars"));
        else fputs("notitle", plot.script);
    }
    fputc('\n', plot.script);
    return tern__plot_end(&plot, svg, bytes, err);
}

/* ---- Roofline ---- */

/* Operations a byte, GFLOP/s of each of a run's ops that has operations. */
static size_t write_points(FILE *script, const json_t *row, size_t number) {
    const json_t *ops = json_object_get(row, "ops");
    size_t n = 0;
    fprintf(script, "$s%zu << END\n", number);
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        if (!(of(op, "flops") > 0) || !(of(op, "bytes") > 0) || !(of(op, "ms") > 0)) continue;
        fprintf(script, "%.9g %.9g\n", of(op, "flops") / of(op, "bytes"), 1e-6 * of(op, "flops") / of(op, "ms"));
        n++;
    }
    fputs("END\n", script);
    return n;
}

static tern_status draw_roofline(char **svg, size_t *bytes, const tern_report_block *block, tern_error *err) {
    const json_t *peaks = NULL;
    for (size_t r = 0; r < block->n_rows && peaks == NULL; r++) peaks = json_object_get(block->rows[r], "peaks");
    const json_t *bandwidth = json_object_get(peaks, "bandwidth");
    const size_t n_sizes = json_array_size(bandwidth);
    const double peak = 1e-9 * of(peaks, "flop_per_s");
    if (!(peak > 0) || n_sizes < 2) return TERN_OK;
    double chars[MAX_SERIES];
    const size_t n_chars = distinct(chars, block, "chars");
    tern_plot plot;
    const tern_status status =
        tern__plot_begin(&plot, "Roofline: the ops of every run", "floating-point operations a byte", "GFLOP/s", err);
    if (status != TERN_OK) {
        tern__plot_end(&plot, NULL, NULL, err);
        return status;
    }
    const json_t *nearest = json_array_get(bandwidth, 0), *farthest = json_array_get(bandwidth, n_sizes - 1);
    size_t n = 0;
    for (size_t r = 0; r < block->n_rows; r++)
        if (tern__report_is_measured(block->rows[r])) n += write_points(plot.script, block->rows[r], r);
    if (n < 2) return tern__plot_end(&plot, NULL, NULL, err);
    fprintf(plot.script,
            "set bmargin 8\nnear = %.9g\nfar = %.9g\npeak = %.9g\nset logscale xy\nset samples 400\nset xrange [0.05:2000]\nset yrange "
            "[*:%.9g]\n",
            1e-9 * of(nearest, "bytes_per_s"), 1e-9 * of(farthest, "bytes_per_s"), peak, 2 * peak);
    fputs("plot (x * near < peak ? x * near : peak) lc '#999999' lw 2 title 'first cache', "
          "(x * far < peak ? x * far : peak) lc '#000000' lw 2 title 'memory'",
          plot.script);
    for (size_t r = 0; r < block->n_rows; r++) {
        if (!tern__report_is_measured(block->rows[r])) continue;
        size_t series = 0;
        while (series < n_chars && !is_in(block->rows[r], "chars", chars[series])) series++;
        const bool is_first = r == 0 || !is_in(block->rows[r - 1], "chars", of(block->rows[r], "chars"));
        fprintf(plot.script, ", $s%zu using 1:2 with points lt %zu ", r, series % 8 + 1);
        if (is_first) fprintf(plot.script, "title '%.0f characters'", of(block->rows[r], "chars"));
        else fputs("notitle", plot.script);
    }
    fputc('\n', plot.script);
    return tern__plot_end(&plot, svg, bytes, err);
}

tern_status tern__report_draw(char **svg, size_t *bytes, const tern_report_block *block, tern_report_plot kind, tern_error *err) {
    static const lines all[] = {[TERN_PLOT_BATCH] = {.title = "Latency against batch: median, and p10 to p90",
                                                     .x_label = "texts in a batch",
                                                     .y_label = "milliseconds",
                                                     .by = "chars",
                                                     .before = "",
                                                     .after = " characters",
                                                     .x = batch_of,
                                                     .middle = "median_ms",
                                                     .low = "p10_ms",
                                                     .high = "p90_ms",
                                                     .factor = 1},
                                [TERN_PLOT_TOKENS] = {.title = "Latency against length: median, and p10 to p90",
                                                      .x_label = "tokens of a text",
                                                      .y_label = "milliseconds",
                                                      .by = "batch",
                                                      .before = "batch ",
                                                      .after = "",
                                                      .x = tokens_of,
                                                      .middle = "median_ms",
                                                      .low = "p10_ms",
                                                      .high = "p90_ms",
                                                      .factor = 1},
                                [TERN_PLOT_MEMORY] = {.title = "Peak memory of the process",
                                                      .x_label = "texts in a batch",
                                                      .y_label = "MB",
                                                      .by = "chars",
                                                      .before = "",
                                                      .after = " characters",
                                                      .x = batch_of,
                                                      .middle = "peak_memory_bytes",
                                                      .factor = 1e-6,
                                                      .is_linear = true}};
    *svg = NULL;
    *bytes = 0;
    if (kind == TERN_PLOT_WARMUP) return draw_warmup(svg, bytes, block, err);
    if (kind == TERN_PLOT_ROOFLINE) return draw_roofline(svg, bytes, block, err);
    return draw_lines(svg, bytes, block, &all[kind], err);
}
