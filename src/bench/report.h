/* report.h - rows of files, sorted into blocks: what one engine did with one model on one device. What the formats of the report share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_REPORT_H
#define TERN_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "bench/bench.h"

typedef struct tern_report_block {
    char title[512];     /* model, engine, device ... */
    const json_t **rows; /* [n_rows] of kind "embed" or "forward", by chars, then batch. Borrowed */
    size_t n_rows;
} tern_report_block;

typedef struct tern_report {
    json_t *rows; /* all */
    tern_report_block *blocks;
    size_t n_blocks;
    const json_t **ops; /* [n_ops] of kind "op" */
    size_t n_ops;
    const json_t **peaks; /* [n_peaks] of kind "peaks" */
    size_t n_peaks;
} tern_report;

/* A column of the table of a block, and of the files of every format. */
typedef struct tern_report_column {
    const char *title, *key;
    double factor; /* of the number */
    int decimals;
} tern_report_column;
extern const tern_report_column tern__report_columns[];
extern const size_t tern__report_n_columns;

bool tern__report_is_measured(const json_t *row); /* it has times */
/* "ok", "spoiled", or what went wrong with its message. */
void tern__report_note(char *out, size_t capacity, const json_t *row);

/* "latency grows as the batch to the power of 0.97 at 50 characters"; false for a row of another kind, or of another block. */
bool tern__report_scaling(char *out, size_t capacity, const json_t *row, const tern_report_block *block);

/* How a format writes a table. */
typedef void tern_report_cell(FILE *out, const char *text);
typedef struct tern_report_table {
    const char *begin; /* with its heading */
    tern_report_cell *head;
    const char *end_head;
    const char *rule; /* for each column, under the head; NULL: none */
    const char *begin_row;
    tern_report_cell *cell;
    const char *end_row, *end;
} tern_report_table;
/* Engines side by side; nothing when no configuration was run by two. */
void tern__report_sides(FILE *out, const tern_report *report, const tern_report_table *table);

/* The formats. err is filled on failure; a full disk is the caller's to see. */
void tern__report_csv(FILE *out, const tern_report *report);
void tern__report_markdown(FILE *out, const tern_report *report);
tern_status tern__report_html(FILE *out, const tern_report *report, tern_error *err);

/* report_plots.c: SVG of a plot, NULL when there is nothing to draw (fewer than two points); freed with free(). */
typedef enum tern_report_plot {
    TERN_PLOT_BATCH,    /* latency against batch */
    TERN_PLOT_TOKENS,   /* latency against tokens of a text */
    TERN_PLOT_MEMORY,   /* peak memory against batch */
    TERN_PLOT_WARMUP,   /* every call over the median of its row */
    TERN_PLOT_ROOFLINE, /* operations a second against operations a byte, of the ops of the runs */
    TERN_N_PLOTS
} tern_report_plot;
tern_status tern__report_draw(char **svg, size_t *bytes, const tern_report_block *block, tern_report_plot kind, tern_error *err);

#endif
