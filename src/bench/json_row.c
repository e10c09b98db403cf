/* json_row.c - see json_row.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/json_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/machine.h"
#include "bench/table.h"

json_t *tern__row_begin(const char *kind) {
    char started[32];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "schema", TERN_ROW_SCHEMA, "kind", kind, "engine", "tern", "engine_version",
                     tern_version(), "git", tern__machine_git(), "started", started, "machine", tern__machine_describe());
}

const char *tern__row_status(tern_status status) {
    switch (status) {
    case TERN_OK:
        return "ok";
    case TERN_E_MEMORY:
        return "out_of_memory";
    case TERN_E_DEVICE:
        return "device_absent";
    case TERN_E_UNSUPPORTED:
    case TERN_E_DTYPE:
        return "unsupported";
    default:
        return "failed";
    }
}

void tern__row_add_summary(json_t *row, const tern_summary *s) {
    json_t *part = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "median_ms", s->median, "median_low_ms", s->median_low,
                             "median_high_ms", s->median_high, "p10_ms", s->p10, "p90_ms", s->p90, "p99_ms", s->p99, "min_ms", s->min,
                             "max_ms", s->max, "mean_ms", s->mean, "sd_ms", s->sd);
    json_object_update(row, part);
    json_decref(part);
}

double tern__row_number(const json_t *row, const char *key, double otherwise) {
    const json_t *value = json_object_get(row, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

const char *tern__row_string(const json_t *row, const char *key) {
    const char *value = json_string_value(json_object_get(row, key));
    return value != NULL ? value : "";
}

static void add_to(json_t *object, const char *key, double value) {
    json_object_set_new(object, key, json_real(tern__row_number(object, key, 0) + value));
}

void tern__row_add_op(json_t *list, const char *name, double ms, const tern_work *work, const tern_peaks *peaks) {
    json_t *entry = NULL;
    for (size_t i = 0; i < json_array_size(list) && entry == NULL; i++)
        if (strcmp(tern__row_string(json_array_get(list, i), "op"), name) == 0) entry = json_array_get(list, i);
    if (entry == NULL) {
        entry = json_pack("{s:s, s:i}", "op", name, "n", 0);
        json_array_append_new(list, entry);
    }
    json_object_set_new(entry, "n", json_integer(json_integer_value(json_object_get(entry, "n")) + 1));
    add_to(entry, "ms", ms);
    add_to(entry, "flops", work->flops);
    add_to(entry, "bytes", work->weight_bytes + work->other_bytes);
    if (peaks->flop_per_s <= 0) return;
    add_to(entry, "limit_ms", 1e-6 * tern__peaks_limit_ns(peaks, work));
    json_object_set_new(entry, "share", json_real(tern__row_number(entry, "limit_ms", 0) / tern__row_number(entry, "ms", 1)));
}

void tern__sink_row(tern_bench_sink *sink, json_t *row) {
    char *line = row != NULL ? json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (line == NULL) errno = ENOMEM;
    sink->n_rows++;
    sink->n_not_ok += row == NULL || strcmp(tern__row_string(row, "status"), "ok") != 0;
    sink->has_failed |= line == NULL;
    for (int i = 0; i < 2 && line != NULL; i++) {
        FILE *file = sink->rows[i];
        sink->has_failed |= file != NULL && (fputs(line, file) < 0 || fputc('\n', file) < 0 || fflush(file) != 0);
    }
    if (sink->table != NULL && row != NULL) tern__table_row(sink, row);
    free(line);
    json_decref(row);
}
