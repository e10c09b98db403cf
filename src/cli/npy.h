/* npy.h - rows written to a NumPy file as they come, and rows of float32 read from one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_NPY_H
#define TERN_CLI_NPY_H

#include <stddef.h>

#include "output_file.h"
#include "tern.h"

/* Zero: not open. */
typedef struct tern_cli_npy {
    tern_cli_output_file file;
    tern_dtype dtype; /* F32, I8 or U8 */
    size_t width, n_rows;
} tern_cli_npy;

/* These say why on standard error when they fail, and return an exit code. */
int tern__cli_npy_open(tern_cli_npy *out, const char *path, tern_dtype dtype, size_t width);
int tern__cli_npy_append(tern_cli_npy *npy, const void *rows, size_t n_rows);
/* Write the header with the final count, and give the file its name. */
int tern__cli_npy_commit(tern_cli_npy *npy);
/* Close and remove what was not committed; harmless after commit. */
void tern__cli_npy_discard(tern_cli_npy *npy);

/* All rows of a file of float32 [n_rows, width], n_rows > 0, to be freed with free(). Says why on standard error when it fails. */
int tern__cli_npy_read(float **rows, size_t *n_rows, const char *path, size_t width);

#endif
