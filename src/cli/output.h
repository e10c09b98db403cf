/* output.h - what the commands write: results and JSON on standard output, messages and progress on standard error.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_OUTPUT_H
#define TERN_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tern.h"

/* tern__cli_fail - "tern: message" on standard error; returns TERN_CLI_FAILED. */
int tern__cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* tern__cli_flush - what was printed has arrived, or else says why not (a full disk); returns an exit code. */
int tern__cli_flush(void);

/* ---- JSON, one document a line ---- */

/* A string with its quotes. Bytes that are not UTF-8 (a path may hold such) become U+FFFD. */
void tern__cli_json_string(const char *data, size_t bytes);
/* The number with as many digits as restore the float32; null when it is infinite or no number, which JSON cannot say. */
void tern__cli_json_float(float value);
/* [1, 2, 3] without the spaces. */
void tern__cli_json_floats(const float *values, size_t n);

/* ---- For people ---- */

/* One line of text in exactly `columns` columns of a terminal, or in as few as it takes when is_padded is false. What does not fit is cut
 * and ends in "...", what cannot be printed (line feeds, NUL, escape characters) is shown as a middle dot. */
void tern__cli_print_snippet(const char *data, size_t bytes, int columns, bool is_padded);
/* Columns that a text takes when it is not cut. */
int tern__cli_text_columns(const char *data, size_t bytes);

/* A progress line on standard error; shows itself only there where a person watches and no results run over the same screen. */
typedef struct tern_cli_progress {
    bool is_shown;
    double started_s, drawn_s; /* CLOCK_MONOTONIC */
} tern_cli_progress;

void tern__cli_progress_open(tern_cli_progress *progress);
/* fraction: of the input, 0 to 1; less than 0 when it is not known. */
void tern__cli_progress_show(tern_cli_progress *progress, size_t n_texts, double fraction);
/* The same for work that is no texts: its share, what is done now, and the time left. */
void tern__cli_progress_left(tern_cli_progress *progress, double fraction, const char *what);
void tern__cli_progress_close(tern_cli_progress *progress);

#endif
