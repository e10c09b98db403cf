/* plot.h - a plot by gnuplot, as SVG. The script goes to a temporary file; gnuplot is a program of its own, found in PATH.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_PLOT_H
#define TERN_BENCH_PLOT_H

#include <stdio.h>

#include "tern.h"

typedef struct tern_plot {
    FILE *script;
    char folder[64]; /* temporary */
} tern_plot;

/* Is gnuplot there? TERN_E_UNSUPPORTED says what to do. */
tern_status tern__plot_check(tern_error *err);

/* Begin a script that has its terminal, style and titles; the caller adds data blocks and one plot command. */
tern_status tern__plot_begin(tern_plot *plot, const char *title, const char *x_label, const char *y_label, tern_error *err);
/* 'text' as gnuplot quotes it, nothing in which is a command; characters that could end it become '_'. */
void tern__plot_quote(FILE *script, const char *text);
/* Run the script; *svg is freed with free(). svg NULL: drop the plot. */
tern_status tern__plot_end(tern_plot *plot, char **svg, size_t *bytes, tern_error *err);

#endif
