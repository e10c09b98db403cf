/* weight_file.c - each call goes to the reader of the file's format.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/weight_file.h"

#include <stdlib.h>

tern_status tern__weight_file_open(tern_weight_file *out, const char *path, tern_weight_format format, tern_error *err) {
    *out = (tern_weight_file){0};
    return format == TERN_WEIGHT_TORCH ? tern__torch_open(&out->torch, path, err) : tern_safetensors_open(&out->safetensors, path, err);
}

void tern__weight_file_close(tern_weight_file *file) {
    tern_safetensors_close(file->safetensors);
    tern__torch_close(file->torch);
    *file = (tern_weight_file){0};
}

size_t tern__weight_file_count(const tern_weight_file *file) {
    return file->torch ? tern__torch_count(file->torch) : tern_safetensors_count(file->safetensors);
}

const tern_tensor *tern__weight_file_get(const tern_weight_file *file, size_t index) {
    return file->torch ? tern__torch_get(file->torch, index) : tern_safetensors_get(file->safetensors, index);
}

const tern_tensor *tern__weight_file_find(const tern_weight_file *file, const char *name) {
    return file->torch ? tern__torch_find(file->torch, name) : tern_safetensors_find(file->safetensors, name);
}

size_t tern__weight_file_bytes(const tern_weight_file *file) {
    return file->torch ? tern__torch_bytes(file->torch) : tern__safetensors_bytes(file->safetensors);
}

bool tern__weight_file_is_mapped(const tern_weight_file *file, const void *data) {
    return file->torch ? tern__torch_is_mapped(file->torch, data) : tern__safetensors_is_mapped(file->safetensors, data);
}

void tern__weight_files_close(tern_weight_files *files) {
    for (size_t i = 0; i < files->n; i++) tern__weight_file_close(&files->items[i]);
    free(files->items);
    *files = (tern_weight_files){0};
}
