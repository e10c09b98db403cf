/* table.c - see table.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/table.h"

#include <string.h>

#include "bench/json_row.h"

static void print_header(tern_bench_sink *sink, const json_t *row) {
    char block[sizeof sink->block];
    snprintf(block, sizeof block, "%s%s: %s %s %s, %.0f threads", tern__row_string(row, "model"),
             json_is_true(json_object_get(row, "is_random")) ? " (random weights)" : "", tern__row_string(row, "device"),
             tern__row_string(row, "isa"), tern__row_string(row, "dtype"), tern__row_number(row, "threads", 0));
    if (strcmp(block, sink->block) == 0) return;
    fprintf(sink->table, "%s%s; loaded in %.0f ms; times in ms\n", sink->block[0] != '\0' ? "\n" : "", block,
            tern__row_number(row, "load_ms", 0));
    fprintf(sink->table, "%5s %5s %6s  %9s %9s %9s %9s %9s  %9s %9s %8s %6s  %s\n", "chars", "batch", "tokens", "first", "median", "p10",
            "p90", "p99", "texts/s", "GFLOP/s", "MB peak", "error", "");
    memcpy(sink->block, block, sizeof block);
}

static double of(const json_t *row, const char *key) { return tern__row_number(row, key, 0); }

void tern__table_row(tern_bench_sink *sink, const json_t *row) {
    print_header(sink, row);
    const char *status = tern__row_string(row, "status"), *message = tern__row_string(row, "message");
    fprintf(sink->table, "%5.0f %5.0f ", of(row, "chars"), of(row, "batch"));
    if (json_object_get(row, "median_ms") == NULL) {
        fprintf(sink->table, "        %s: %s\n", status, message);
        return;
    }
    const char *spoiled = json_is_true(json_object_get(row, "is_spoiled")) ? "spoiled" : "";
    fprintf(sink->table, "%6.0f  %9.2f %9.2f %9.2f %9.2f %9.2f  %9.1f %9.1f %8.0f ", of(row, "tokens"), of(row, "first_ms"),
            of(row, "median_ms"), of(row, "p10_ms"), of(row, "p90_ms"), of(row, "p99_ms"), of(row, "texts_per_s"),
            1e-9 * of(row, "flop_per_s"), 1e-6 * of(row, "peak_memory_bytes"));
    const double error = tern__row_number(row, "reference_error", -1);
    if (error >= 0) fprintf(sink->table, "%6.0e", error);
    else fprintf(sink->table, "%6s", "-");
    fprintf(sink->table, "  %s%s\n", strcmp(status, "ok") == 0 ? "" : status, spoiled);
}
