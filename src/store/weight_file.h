/* weight_file.h - one file of weights, in whichever format it is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_WEIGHT_FILE_H
#define TERN_STORE_WEIGHT_FILE_H

#include "store/safetensors.h"
#include "store/torch_file.h"

typedef enum tern_weight_format { TERN_WEIGHT_SAFETENSORS, TERN_WEIGHT_TORCH } tern_weight_format;

/* One of the two is not NULL; zeroed: none. */
typedef struct tern_weight_file {
    tern_safetensors *safetensors;
    tern_torch_file *torch;
} tern_weight_file;

tern_status tern__weight_file_open(tern_weight_file *out, const char *path, tern_weight_format format, tern_error *err);
void tern__weight_file_close(tern_weight_file *file);
size_t tern__weight_file_count(const tern_weight_file *file);
const tern_tensor *tern__weight_file_get(const tern_weight_file *file, size_t index);
/* NULL when there is none of that name. */
const tern_tensor *tern__weight_file_find(const tern_weight_file *file, const char *name);
size_t tern__weight_file_bytes(const tern_weight_file *file);
bool tern__weight_file_is_mapped(const tern_weight_file *file, const void *data);

/* The files of a checkpoint. Zeroed: none. */
typedef struct tern_weight_files {
    tern_weight_file *items;
    size_t n;
} tern_weight_files;

void tern__weight_files_close(tern_weight_files *files);

#endif
