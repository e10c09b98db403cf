/* report_sides.c - engines side by side: for each configuration that several engines ran, the time of each and how many times Tern's it is.
 * See report.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "bench/json_row.h"
#include "bench/report.h"
#include "bench/rows_file.h"

enum { MAX_ENGINES = 16 };

typedef struct sides {
    const tern_report *report;
    const char *engines[MAX_ENGINES]; /* in the order of the rows, Tern first */
    size_t n_engines;
} sides;

static bool is_side(const json_t *row) {
    const char *kind = tern__row_string(row, "kind");
    return strcmp(kind, "embed") == 0 || strcmp(kind, "forward") == 0;
}

static void list_engines(sides *s) {
    s->engines[s->n_engines++] = "tern";
    for (size_t i = 0; i < json_array_size(s->report->rows); i++) {
        const json_t *row = json_array_get(s->report->rows, i);
        size_t at = 0;
        while (at < s->n_engines && strcmp(s->engines[at], tern__row_string(row, "engine")) != 0) at++;
        if (is_side(row) && at == s->n_engines && at < MAX_ENGINES) s->engines[s->n_engines++] = tern__row_string(row, "engine");
    }
}

/* The first row of an engine with the configuration of `like`; NULL: none. */
static const json_t *row_of(const sides *s, const json_t *like, const char *engine) {
    for (size_t i = 0; i < json_array_size(s->report->rows); i++) {
        const json_t *row = json_array_get(s->report->rows, i);
        if (is_side(row) && strcmp(tern__row_string(row, "engine"), engine) == 0 && tern__rows_match_but_engine(row, like)) return row;
    }
    return NULL;
}

/* Is it the first row of its configuration, and are there other engines' rows? */
static bool begins(const sides *s, const json_t *row, size_t at) {
    size_t n = 0;
    for (size_t e = 0; e < s->n_engines; e++) n += row_of(s, row, s->engines[e]) != NULL;
    for (size_t i = 0; i < at && n > 1; i++) {
        const json_t *before = json_array_get(s->report->rows, i);
        if (is_side(before) && tern__rows_match_but_engine(before, row)) return false;
    }
    return n > 1;
}

/* "12.30 (1.45 x)", the ratio that was measured round by round where the row has it; "failed" and so on. */
static void say_side(char *out, size_t capacity, const json_t *row, const json_t *tern) {
    out[0] = '\0';
    if (row == NULL) return;
    if (!tern__report_is_measured(row)) {
        snprintf(out, capacity, "%s", tern__row_string(row, "status"));
        return;
    }
    const double ms = tern__row_number(row, "median_ms", 0), of_tern = tern != NULL ? tern__row_number(tern, "median_ms", 0) : 0;
    const double ratio = tern__row_number(json_object_get(row, "ratio"), "median", of_tern > 0 ? ms / of_tern : 0);
    if (row == tern || ratio <= 0) snprintf(out, capacity, "%.2f", ms);
    else snprintf(out, capacity, "%.2f (%.2f x)", ms, ratio);
}

/* The cells of a configuration: model, what was run, characters, batch, and each engine. */
static void write_line(FILE *out, const sides *s, const json_t *row, tern_report_cell *cell) {
    char text[128];
    const json_t *tern = row_of(s, row, "tern");
    cell(out, tern__row_string(row, "model"));
    snprintf(text, sizeof text, "%s %s %s, %.0f threads", tern__row_string(row, "kind"), tern__row_string(row, "device"),
             tern__row_string(row, "dtype"), tern__row_number(row, "threads", 0));
    cell(out, text);
    snprintf(text, sizeof text, "%.0f", tern__row_number(row, "chars", 0));
    cell(out, text);
    snprintf(text, sizeof text, "%.0f", tern__row_number(row, "batch", 0));
    cell(out, text);
    for (size_t e = 0; e < s->n_engines; e++) {
        say_side(text, sizeof text, row_of(s, row, s->engines[e]), tern);
        cell(out, text);
    }
}

void tern__report_sides(FILE *out, const tern_report *report, const tern_report_table *table) {
    static const char *const titles[] = {"model", "", "chars", "batch"};
    sides s = {.report = report};
    bool has_begun = false;
    list_engines(&s);
    for (size_t i = 0; i < json_array_size(report->rows); i++) {
        const json_t *row = json_array_get(report->rows, i);
        if (!is_side(row) || !begins(&s, row, i)) continue;
        if (!has_begun) {
            fputs(table->begin, out);
            for (size_t t = 0; t < 4; t++) table->head(out, titles[t]);
            for (size_t e = 0; e < s.n_engines; e++) table->head(out, s.engines[e]);
            fputs(table->end_head, out);
            for (size_t e = 0; e < 4 + s.n_engines && table->rule != NULL; e++) fputs(table->rule, out);
            if (table->rule != NULL) fputs("\n", out);
            has_begun = true;
        }
        fputs(table->begin_row, out);
        write_line(out, &s, row, table->cell);
        fputs(table->end_row, out);
    }
    if (has_begun) fputs(table->end, out);
}
