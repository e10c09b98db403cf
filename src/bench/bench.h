/* bench.h - what the command `tern bench` asks of the benchmark; the one header that src/cli may include.
 * Rows are JSON objects, one a line; docs/BENCHMARK.md lists their keys.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_BENCH_H
#define TERN_BENCH_BENCH_H

#include <signal.h>
#include <stdio.h>

#include "tern.h"

/* Where rows go. */
typedef struct tern_bench_sink {
    FILE *rows[2];   /* JSON lines, each flushed as it is written; NULL: none */
    FILE *table;     /* for people; NULL: none */
    bool has_failed; /* a row could not be written: errno says why */
    size_t n_rows, n_not_ok;
    char block[512]; /* private: whose header the table shows last */
} tern_bench_sink;

/* A checkpoint to measure. */
typedef struct tern_bench_model {
    const char *name; /* as rows tell it */
    char *folder;
    bool is_random; /* its weights are random, made for the measurement */
} tern_bench_model;

/* The grid: every model on every device in every dtype, and there every number of characters in every batch. */
typedef struct tern_bench_grid {
    const tern_bench_model *models;
    size_t n_models;
    char *const *devices, *const *dtypes;
    size_t n_devices, n_dtypes;
    const int64_t *chars, *batches;
    size_t n_chars, n_batches;
    size_t n_warmups, n_iterations;                                  /* n_iterations at least 1 */
    const char *isa;                                                 /* NULL: the best */
    int threads;                                                     /* 0: the library's default */
    const char *cache_folder;                                        /* as in tern_model_options */
    const volatile sig_atomic_t *is_interrupted;                     /* not 0: write the rows as far as they are, and end */
    void (*progress)(void *user, double fraction, const char *what); /* NULL: none */
    void *user;
} tern_bench_grid;

/* tern__bench_grid - measure and write a row for each configuration, those that fail included; sink->n_not_ok counts them.
 * Within a model on a device, iterations of all its configurations are interleaved.
 * errors   TERN_E_MEMORY only: what a model or a device refuses is in its rows */
tern_status tern__bench_run_grid(const tern_bench_grid *grid, tern_bench_sink *sink, tern_error *err);

/* tern__bench_run_ops - the same for single ops, at the shapes that a base and a large encoder give them over the grid (its models are
 * not looked at), and for square products; a row of the device's peaks comes first.
 * errors   TERN_E_MEMORY only, as above */
tern_status tern__bench_run_ops(const tern_bench_grid *grid, tern_bench_sink *sink, tern_error *err);

/* tern__bench_compare - print what changed from the rows of one file to those of another: a table, or with is_json a JSON object a row.
 * percent    changes of less are called the same, however sure
 * *is_worse  a row got slower, or fails and did not
 * errors     TERN_E_IO, TERN_E_FORMAT  a file cannot be read or has a line that is no row     TERN_E_MEMORY */
tern_status tern__bench_compare(const char *path_a, const char *path_b, double percent, FILE *out, bool is_json, bool *is_worse,
                                tern_error *err);

typedef enum tern_report_format { TERN_REPORT_HTML, TERN_REPORT_MARKDOWN, TERN_REPORT_CSV } tern_report_format;

/* tern__bench_report - write the rows of files as one page with plots (HTML), as tables (Markdown), or a line a row (CSV).
 * errors   TERN_E_IO, TERN_E_FORMAT  as tern__bench_compare; gnuplot failed     TERN_E_UNSUPPORTED  HTML, and there is no gnuplot */
tern_status tern__bench_report(char *const *paths, size_t n_paths, tern_report_format format, FILE *out, tern_error *err);

#endif
