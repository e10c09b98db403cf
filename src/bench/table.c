/* table.c - see table.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/table.h"

#include <stdbool.h>
#include <string.h>

#include "bench/json_row.h"
#include "bench/scaling.h"

static double of(const json_t *row, const char *key) { return tern__row_number(row, key, 0); }

/* Is `block` another than that of the line before? Then there is an empty line between. */
static bool begin_block(tern_bench_sink *sink, const char *block) {
    if (strcmp(block, sink->block) == 0) return false;
    if (sink->block[0] != '\0') fputc('\n', sink->table);
    snprintf(sink->block, sizeof sink->block, "%s", block);
    return true;
}

/* ---- The grid ---- */

static void print_header(tern_bench_sink *sink, const json_t *row) {
    char block[sizeof sink->block];
    snprintf(block, sizeof block, "%s%s: %s %s %s, %.0f threads", tern__row_string(row, "model"),
             json_is_true(json_object_get(row, "is_random")) ? " (random weights)" : "", tern__row_string(row, "device"),
             tern__row_string(row, "isa"), tern__row_string(row, "dtype"), of(row, "threads"));
    if (!begin_block(sink, block)) return;
    fprintf(sink->table, "%s; loaded in %.0f ms; times in ms\n", block, of(row, "load_ms"));
    fprintf(sink->table, "%5s %5s %6s  %9s %9s %9s %9s %9s  %9s %9s %8s %6s\n", "chars", "batch", "tokens", "first", "median", "p10", "p90",
            "p99", "texts/s", "GFLOP/s", "MB peak", "error");
}

/* Why a row has no times. */
static void print_failure(tern_bench_sink *sink, const json_t *row) {
    const char *message = tern__row_string(row, "message");
    fprintf(sink->table, "%s%s%s\n", tern__row_string(row, "status"), message[0] != '\0' ? ": " : "", message);
}

static void print_embed(tern_bench_sink *sink, const json_t *row) {
    print_header(sink, row);
    fprintf(sink->table, "%5.0f %5.0f ", of(row, "chars"), of(row, "batch"));
    if (json_object_get(row, "median_ms") == NULL) {
        fputs("        ", sink->table);
        print_failure(sink, row);
        return;
    }
    const char *status = tern__row_string(row, "status");
    const char *spoiled = json_is_true(json_object_get(row, "is_spoiled")) ? "spoiled" : "";
    fprintf(sink->table, "%6.0f  %9.2f %9.2f %9.2f %9.2f %9.2f  %9.1f %9.1f %8.0f ", of(row, "tokens"), of(row, "first_ms"),
            of(row, "median_ms"), of(row, "p10_ms"), of(row, "p90_ms"), of(row, "p99_ms"), of(row, "texts_per_s"),
            1e-9 * of(row, "flop_per_s"), 1e-6 * of(row, "peak_memory_bytes"));
    const double error = tern__row_number(row, "reference_error", -1);
    if (error >= 0) fprintf(sink->table, "%6.0e", error);
    else fprintf(sink->table, "%6s", "-");
    fprintf(sink->table, "  %s%s\n", strcmp(status, "ok") == 0 ? "" : status, spoiled);
}

static void print_scaling(tern_bench_sink *sink, const json_t *row) {
    char text[256];
    tern__scaling_say(text, sizeof text, row);
    fprintf(sink->table, "%s\n", text);
}

/* ---- Ops ---- */

static void print_peaks(tern_bench_sink *sink, const json_t *row) {
    char block[sizeof sink->block];
    snprintf(block, sizeof block, "%s %s %s, %.0f threads", tern__row_string(row, "device"), tern__row_string(row, "isa"),
             tern__row_string(row, "dtype"), of(row, "threads"));
    begin_block(sink, block);
    const json_t *peaks = json_object_get(row, "peaks"), *bandwidths = json_object_get(peaks, "bandwidth");
    if (peaks == NULL) {
        fprintf(sink->table, "%s: ", block);
        print_failure(sink, row);
        return;
    }
    fprintf(sink->table, "%s: at most %.0f GFLOP/s; an op that does nothing takes %.1f us; GB/s by working set:", block,
            1e-9 * of(peaks, "flop_per_s"), of(peaks, "overhead_us"));
    for (size_t i = 0; i < json_array_size(bandwidths); i++) {
        const json_t *at = json_array_get(bandwidths, i);
        fprintf(sink->table, " %.0fK %.0f", of(at, "bytes") / 1024, 1e-9 * of(at, "bytes_per_s"));
    }
    fprintf(sink->table, "\n%-28s %-6s %5s %5s %6s %5s  %10s %10s %10s  %8s %7s %6s  %s\n", "op", "shape", "in", "out", "tokens", "batch",
            "median us", "p10", "p90", "GFLOP/s", "GB/s", "limit", "bound by");
}

static void print_op(tern_bench_sink *sink, const json_t *row) {
    fprintf(sink->table, "%-28s %-6s %5.0f %5.0f %6.0f %5.0f  ", tern__row_string(row, "op"), tern__row_string(row, "shape"), of(row, "in"),
            of(row, "out"), of(row, "tokens"), of(row, "batch"));
    if (json_object_get(row, "median_ms") == NULL) {
        print_failure(sink, row);
        return;
    }
    fprintf(sink->table, "%10.2f %10.2f %10.2f  %8.1f %7.1f %5.0f%%  %s\n", 1e3 * of(row, "median_ms"), 1e3 * of(row, "p10_ms"),
            1e3 * of(row, "p90_ms"), 1e-9 * of(row, "flop_per_s"), 1e-9 * of(row, "bytes_per_s"), 100 * of(row, "share"),
            tern__row_string(row, "bound"));
}

void tern__table_row(tern_bench_sink *sink, const json_t *row) {
    const char *kind = tern__row_string(row, "kind");
    if (strcmp(kind, "peaks") == 0) print_peaks(sink, row);
    else if (strcmp(kind, "op") == 0) print_op(sink, row);
    else if (strcmp(kind, "scaling") == 0) print_scaling(sink, row);
    else print_embed(sink, row);
}
