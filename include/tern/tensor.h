/* tern/tensor.h - dtypes, tensors, and files of them: safetensors.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TENSOR_H
#define TERN_TENSOR_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values carry the names that safetensors writes. */
typedef enum tern_dtype {
    TERN_DTYPE_F64,
    TERN_DTYPE_F32,
    TERN_DTYPE_F16,
    TERN_DTYPE_BF16,
    TERN_DTYPE_I64,
    TERN_DTYPE_I32,
    TERN_DTYPE_I16,
    TERN_DTYPE_I8,
    TERN_DTYPE_U8,
    TERN_DTYPE_BOOL,
    TERN_DTYPE_U32
} tern_dtype;

/* tern_dtype_name - "F32" and so on; NULL for a value that is not one. */
TERN_API const char *tern_dtype_name(tern_dtype dtype);
/* tern_dtype_bytes - bytes of one element; 0 for a value that is not one. */
TERN_API size_t tern_dtype_bytes(tern_dtype dtype);

#define TERN_MAX_RANK 8

/* A named array that somebody else owns. `data` may be unaligned: it points into a file. */
typedef struct tern_tensor {
    const char *name;
    tern_dtype dtype;
    int rank;
    int64_t shape[TERN_MAX_RANK]; /* outermost first, as PyTorch prints it */
    const void *data;             /* product(shape) elements, little-endian */
} tern_tensor;

/* tern_tensor_elements - product(shape); 1 for rank 0. */
TERN_API int64_t tern_tensor_elements(const tern_tensor *tensor);

/* One mapped .safetensors file, fully checked when opened. Read-only, shareable by threads. */
typedef struct tern_safetensors tern_safetensors;

/* tern_safetensors_open - map a file and check its whole header.
 * errors   TERN_E_IO      cannot be opened or mapped
 *          TERN_E_FORMAT  not safetensors: header length, JSON, duplicate key, unknown dtype, a size that overflows or does not equal
 *                         product(shape) x dtype, ranges that overlap, leave a hole, or pass the end of the file
 * source   https://huggingface.co/docs/safetensors, "Format" */
TERN_API tern_status tern_safetensors_open(tern_safetensors **out, const char *path, tern_error *err);
TERN_API void tern_safetensors_close(tern_safetensors *file);
/* Tensors in the order of their data. */
TERN_API size_t tern_safetensors_count(const tern_safetensors *file);
TERN_API const tern_tensor *tern_safetensors_get(const tern_safetensors *file, size_t index);
/* NULL when there is none of that name. */
TERN_API const tern_tensor *tern_safetensors_find(const tern_safetensors *file, const char *name);

/* tern_safetensors_save - write tensors, in the order given, to `path`, complete or not at all: to a temporary file beside it, then
 * renamed.
 * errors   TERN_E_ARGUMENT  two tensors of one name, a rank or a dimension out of range     TERN_E_IO  cannot be written, disk full */
TERN_API tern_status tern_safetensors_save(const char *path, const tern_tensor *tensors, size_t n_tensors, tern_error *err);

#ifdef __cplusplus
}
#endif
#endif
