/* rows_file.h - rows of a file, read back.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_ROWS_FILE_H
#define TERN_BENCH_ROWS_FILE_H

#include <jansson.h>

#include "tern.h"

/* Append the file's rows to the array *rows, which is made when it is NULL.
 * errors   TERN_E_IO  cannot be read     TERN_E_FORMAT  a line that is no row of this schema (says which); no row at all */
tern_status tern__rows_load(json_t **rows, const char *path, tern_error *err);

/* The numbers of an array of a row; NULL when there is none, or when memory is short. Freed with free(). */
double *tern__row_numbers(const json_t *row, const char *key, size_t *n);

/* Do two rows tell of the same configuration: engine, model, device, dtype, threads, chars, batch; of an op: its shape too? */
bool tern__rows_match(const json_t *a, const json_t *b);
bool tern__rows_match_but_engine(const json_t *a, const json_t *b);

#endif
