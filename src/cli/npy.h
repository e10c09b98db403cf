/* npy.h - rows of float32 written to a NumPy file as they come.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_NPY_H
#define TERN_CLI_NPY_H

#include <stddef.h>
#include <stdio.h>

/* A file that appears under its name only when it is complete. Zero: not open. */
typedef struct tern_cli_npy {
    FILE *stream;
    char *path;
    char *temporary_path; /* NULL: written in place, since the path is a device */
    size_t width, n_rows;
} tern_cli_npy;

/* These say why on standard error when they fail, and return an exit code. One file at a time is open in a process. */
int tern__cli_npy_open(tern_cli_npy *out, const char *path, size_t width);
int tern__cli_npy_append(tern_cli_npy *npy, const float *rows, size_t n_rows);
/* Write the header with the final count, and give the file its name. */
int tern__cli_npy_commit(tern_cli_npy *npy);
/* Close and remove what was not committed; harmless after commit. */
void tern__cli_npy_discard(tern_cli_npy *npy);

#endif
