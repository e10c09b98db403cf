/* report.c - reads rows, sorts them into blocks, writes CSV and Markdown. See report.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/json_row.h"
#include "bench/rows_file.h"
#include "bench/scaling.h"

const tern_report_column tern__report_columns[] = {{"chars", "chars", 1, 0},
                                                   {"batch", "batch", 1, 0},
                                                   {"tokens", "tokens", 1, 0},
                                                   {"first ms", "first_ms", 1, 2},
                                                   {"median ms", "median_ms", 1, 2},
                                                   {"low", "median_low_ms", 1, 2},
                                                   {"high", "median_high_ms", 1, 2},
                                                   {"p10", "p10_ms", 1, 2},
                                                   {"p90", "p90_ms", 1, 2},
                                                   {"p99", "p99_ms", 1, 2},
                                                   {"mean ms", "mean_ms", 1, 2},
                                                   {"texts/s", "texts_per_s", 1, 1},
                                                   {"tokens/s", "tokens_per_s", 1, 0},
                                                   {"GFLOP/s", "flop_per_s", 1e-9, 1},
                                                   {"% of limit", "share", 100, 0},
                                                   {"peak MB", "peak_memory_bytes", 1e-6, 0},
                                                   {"padding %", "padding_waste", 100, 1}};
const size_t tern__report_n_columns = sizeof tern__report_columns / sizeof *tern__report_columns;

/* ---- Blocks ---- */

static void title_of(char *out, size_t capacity, const json_t *row) {
    const bool is_forward = strcmp(tern__row_string(row, "kind"), "forward") == 0;
    snprintf(out, capacity, "%s%s%s: %s %s, %s %s %s, %.0f threads", tern__row_string(row, "model"),
             is_forward ? " from ids to hidden states" : "", json_is_true(json_object_get(row, "is_random")) ? " (random weights)" : "",
             tern__row_string(row, "engine"), tern__row_string(row, "engine_version"), tern__row_string(row, "device"),
             tern__row_string(row, "isa"), tern__row_string(row, "dtype"), tern__row_number(row, "threads", 0));
    const char *git = tern__row_string(row, "git");
    const size_t length = strlen(out);
    if (git[0] != '\0' && length < capacity) snprintf(out + length, capacity - length, ", git %s", git);
}

static int by_configuration(const void *left, const void *right) {
    const json_t *a = *(const json_t *const *)left, *b = *(const json_t *const *)right;
    const double x = tern__row_number(a, "chars", 0), y = tern__row_number(b, "chars", 0);
    if (x < y || x > y) return x < y ? -1 : 1;
    const double i = tern__row_number(a, "batch", 0), j = tern__row_number(b, "batch", 0);
    return (i > j) - (i < j);
}

static tern_report_block *find_block(tern_report *report, const char *title, size_t capacity) {
    for (size_t i = 0; i < report->n_blocks; i++)
        if (strcmp(report->blocks[i].title, title) == 0) return &report->blocks[i];
    tern_report_block *block = &report->blocks[report->n_blocks];
    block->rows = calloc(capacity, sizeof *block->rows);
    if (block->rows == NULL) return NULL;
    memcpy(block->title, title, sizeof block->title);
    report->n_blocks++;
    return block;
}

static bool sort_rows(tern_report *report) {
    const size_t n = json_array_size(report->rows);
    report->blocks = calloc(n, sizeof *report->blocks);
    report->ops = calloc(n, sizeof *report->ops);
    report->peaks = calloc(n, sizeof *report->peaks);
    if (report->blocks == NULL || report->ops == NULL || report->peaks == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(report->rows, i);
        const char *kind = tern__row_string(row, "kind");
        char title[sizeof report->blocks->title] = {0};
        if (strcmp(kind, "op") == 0) report->ops[report->n_ops++] = row;
        if (strcmp(kind, "peaks") == 0) report->peaks[report->n_peaks++] = row;
        if (strcmp(kind, "embed") != 0 && strcmp(kind, "forward") != 0) continue;
        title_of(title, sizeof title, row);
        tern_report_block *block = find_block(report, title, n);
        if (block == NULL) return false;
        block->rows[block->n_rows++] = row;
    }
    for (size_t i = 0; i < report->n_blocks; i++)
        qsort(report->blocks[i].rows, report->blocks[i].n_rows, sizeof *report->blocks[i].rows, by_configuration);
    return true;
}

bool tern__report_is_measured(const json_t *row) {
    const char *status = tern__row_string(row, "status");
    return (strcmp(status, "ok") == 0 || strcmp(status, "interrupted") == 0) && tern__row_number(row, "median_ms", 0) > 0;
}

void tern__report_note(char *out, size_t capacity, const json_t *row) {
    const char *status = tern__row_string(row, "status"), *message = tern__row_string(row, "message");
    const bool is_spoiled = json_is_true(json_object_get(row, "is_spoiled"));
    if (strcmp(status, "ok") == 0) snprintf(out, capacity, "%s", is_spoiled ? "spoiled" : "");
    else snprintf(out, capacity, "%s%s%s%s", status, message[0] != '\0' ? ": " : "", message, is_spoiled ? ", spoiled" : "");
}

bool tern__report_scaling(char *out, size_t capacity, const json_t *row, const tern_report_block *block) {
    char title[sizeof block->title];
    if (strcmp(tern__row_string(row, "kind"), "scaling") != 0) return false;
    title_of(title, sizeof title, row);
    if (strcmp(title, block->title) != 0) return false;
    tern__scaling_say(out, capacity, row);
    return true;
}

/* ---- CSV (RFC 4180) ---- */

static void csv_text(FILE *out, const char *text) {
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void tern__report_csv(FILE *out, const tern_report *report) {
    static const char *const strings[] = {"kind",  "engine", "engine_version", "git",    "started", "processor", "model", "device", "isa",
                                          "dtype", "op",     "shape",          "status", "message", "bound"};
    static const char *const numbers[] = {"threads",         "in",    "out",    "n_iterations", "load_ms",
                                          "limit_ms",        "flops", "bytes",  "packed_bytes", "workspace_bytes",
                                          "reference_error", "sd_ms", "min_ms", "max_ms",       "n_disturbed"};
    enum { N_STRINGS = sizeof strings / sizeof *strings, N_NUMBERS = sizeof numbers / sizeof *numbers };
    for (size_t i = 0; i < N_STRINGS; i++) fprintf(out, "%s%s", i > 0 ? "," : "", strings[i]);
    for (size_t i = 0; i < N_NUMBERS; i++) fprintf(out, ",%s", numbers[i]);
    for (size_t i = 0; i < tern__report_n_columns; i++) fprintf(out, ",%s", tern__report_columns[i].key);
    fputs(",is_spoiled\r\n", out);
    for (size_t r = 0; r < json_array_size(report->rows); r++) {
        const json_t *row = json_array_get(report->rows, r);
        for (size_t i = 0; i < N_STRINGS; i++) {
            if (i > 0) fputc(',', out);
            csv_text(out, tern__row_string(row, strings[i]));
        }
        for (size_t i = 0; i < N_NUMBERS + tern__report_n_columns; i++) {
            const json_t *value = json_object_get(row, i < N_NUMBERS ? numbers[i] : tern__report_columns[i - N_NUMBERS].key);
            fputc(',', out);
            if (json_is_number(value)) fprintf(out, "%.9g", json_number_value(value));
        }
        fprintf(out, ",%s\r\n", json_is_true(json_object_get(row, "is_spoiled")) ? "1" : "0");
    }
}

/* ---- Markdown ---- */

static void markdown_text(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '|' || *text == '\\' || *text == '<' || *text == '*' || *text == '`') fputc('\\', out);
        fputc(*text == '\n' || *text == '\r' ? ' ' : *text, out);
    }
}

static void markdown_number(FILE *out, const json_t *row, const tern_report_column *column) {
    const json_t *value = json_object_get(row, column->key);
    if (json_is_number(value)) fprintf(out, " %.*f |", column->decimals, json_number_value(value) * column->factor);
    else fputs(" |", out);
}

static void markdown_block(FILE *out, const tern_report *report, const tern_report_block *block) {
    fputs("\n## ", out);
    markdown_text(out, block->title);
    fputs("\n\n|", out);
    for (size_t i = 0; i < tern__report_n_columns; i++) fprintf(out, " %s |", tern__report_columns[i].title);
    fputs(" error | |\n|", out);
    for (size_t i = 0; i < tern__report_n_columns; i++) fputs("---:|", out);
    fputs("---:|---|\n", out);
    for (size_t r = 0; r < block->n_rows; r++) {
        char note[1024];
        const json_t *error = json_object_get(block->rows[r], "reference_error");
        tern__report_note(note, sizeof note, block->rows[r]);
        fputc('|', out);
        for (size_t i = 0; i < tern__report_n_columns; i++) markdown_number(out, block->rows[r], &tern__report_columns[i]);
        if (json_is_number(error)) fprintf(out, " %.1e | ", json_number_value(error));
        else fputs(" | ", out);
        markdown_text(out, note);
        fputs(" |\n", out);
    }
    fputc('\n', out);
    for (size_t i = 0; i < json_array_size(report->rows); i++) {
        char text[256];
        if (tern__report_scaling(text, sizeof text, json_array_get(report->rows, i), block)) fprintf(out, "- %s\n", text);
    }
}

static void markdown_cell(FILE *out, const char *text) {
    fputc(' ', out);
    markdown_text(out, text);
    fputs(" |", out);
}

static const tern_report_table markdown_sides = {.begin = "\n## Side by side\n\nMilliseconds (median), and how many times Tern's.\n\n|",
                                                 .head = markdown_cell,
                                                 .end_head = "\n|",
                                                 .rule = "---|",
                                                 .begin_row = "|",
                                                 .cell = markdown_cell,
                                                 .end_row = "\n",
                                                 .end = ""};

void tern__report_markdown(FILE *out, const tern_report *report) {
    fputs("# Benchmark\n\nTimes in milliseconds of a call from texts to vectors; low and high enclose the median with 95 % confidence. "
          "Keys are explained in Tern's docs/BENCHMARK.md.\n",
          out);
    for (size_t i = 0; i < report->n_blocks; i++) markdown_block(out, report, &report->blocks[i]);
    tern__report_sides(out, report, &markdown_sides);
    if (report->n_ops == 0) return;
    fputs("\n## Ops\n\n| engine | device | op | shape | in | out | tokens | batch | median us | GFLOP/s | GB/s | % of limit | bound by |\n"
          "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
          out);
    for (size_t i = 0; i < report->n_ops; i++) {
        static const tern_report_column columns[] = {
            {"", "in", 1, 0},          {"", "out", 1, 0},           {"", "tokens", 1, 0},         {"", "batch", 1, 0},
            {"", "median_ms", 1e3, 2}, {"", "flop_per_s", 1e-9, 1}, {"", "bytes_per_s", 1e-9, 1}, {"", "share", 100, 0}};
        static const char *const strings[] = {"engine", "device", "op", "shape"};
        fputc('|', out);
        for (size_t s = 0; s < sizeof strings / sizeof *strings; s++) {
            fputc(' ', out);
            markdown_text(out, tern__row_string(report->ops[i], strings[s]));
            fputs(" |", out);
        }
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) markdown_number(out, report->ops[i], &columns[c]);
        fprintf(out, " %s |\n", tern__row_string(report->ops[i], "bound"));
    }
}

/* ---- The report ---- */

static tern_status write_report(FILE *out, const tern_report *report, tern_report_format format, tern_error *err) {
    if (format == TERN_REPORT_HTML) return tern__report_html(out, report, err);
    if (format == TERN_REPORT_CSV) tern__report_csv(out, report);
    else tern__report_markdown(out, report);
    return TERN_OK;
}

tern_status tern__bench_report(char *const *paths, size_t n_paths, tern_report_format format, FILE *out, tern_error *err) {
    tern_report report = {0};
    tern_status status = TERN_OK;
    for (size_t i = 0; i < n_paths && status == TERN_OK; i++) status = tern__rows_load(&report.rows, paths[i], err);
    if (status == TERN_OK && !sort_rows(&report)) status = TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the rows");
    if (status == TERN_OK) status = write_report(out, &report, format, err);
    for (size_t i = 0; i < report.n_blocks; i++) free(report.blocks[i].rows);
    free(report.blocks);
    free(report.ops);
    free(report.peaks);
    json_decref(report.rows);
    return status;
}
