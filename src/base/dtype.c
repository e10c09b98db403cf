/* dtype.c - names and sizes of dtypes, and the element count of a tensor.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tern.h"

typedef struct tern_dtype_row {
    const char *name;
    size_t bytes;
} tern_dtype_row;

static const tern_dtype_row dtypes[] = {
    [TERN_DTYPE_F64] = {"F64", 8}, [TERN_DTYPE_F32] = {"F32", 4},   [TERN_DTYPE_F16] = {"F16", 2}, [TERN_DTYPE_BF16] = {"BF16", 2},
    [TERN_DTYPE_I64] = {"I64", 8}, [TERN_DTYPE_I32] = {"I32", 4},   [TERN_DTYPE_I16] = {"I16", 2}, [TERN_DTYPE_I8] = {"I8", 1},
    [TERN_DTYPE_U8] = {"U8", 1},   [TERN_DTYPE_BOOL] = {"BOOL", 1}, [TERN_DTYPE_U32] = {"U32", 4},
};

static bool is_dtype(tern_dtype dtype) { return (size_t)dtype < sizeof dtypes / sizeof dtypes[0]; }

const char *tern_dtype_name(tern_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].name : NULL; }

size_t tern_dtype_bytes(tern_dtype dtype) { return is_dtype(dtype) ? dtypes[dtype].bytes : 0; }

int64_t tern_tensor_elements(const tern_tensor *tensor) {
    int64_t elements = 1;
    for (int axis = 0; axis < tensor->rank; axis++) elements *= tensor->shape[axis];
    return elements;
}
