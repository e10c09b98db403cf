/* pickle.h - reading a pickle that holds tensors, without running anything: a small stack machine whose values are plain data.
 *
 * Containers may hold themselves, and one value may be held many times: what looks at values does not recurse.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_PICKLE_H
#define TERN_STORE_PICKLE_H

#include "base/error.h"
#include "base/memory.h"

/* What the values of one file may take together: a state dict takes about 1 KB a tensor, so more than 100,000 tensors. */
#define TERN_PICKLE_MAX_MEMORY ((size_t)128 << 20)
#define TERN_PICKLE_MAX_BYTES  ((size_t)100000000) /* of one pickle, without the storages; 30,000 tensors take 4 MB */
#define TERN_PICKLE_MAX_STACK  ((size_t)1 << 16)
#define TERN_PICKLE_MAX_MARKS  ((size_t)256)

typedef enum tern_value_kind {
    TERN_VALUE_NONE,
    TERN_VALUE_BOOL,
    TERN_VALUE_INT,
    TERN_VALUE_LONG, /* an integer that needs more than 64 bits: bytes, as the pickle has them */
    TERN_VALUE_FLOAT,
    TERN_VALUE_STRING,
    TERN_VALUE_BYTES,
    TERN_VALUE_TUPLE,
    TERN_VALUE_LIST,
    TERN_VALUE_DICT, /* dict or OrderedDict: key, value, key, value ... in the order in which they were set */
    TERN_VALUE_SET,
    TERN_VALUE_GLOBAL,
    TERN_VALUE_STORAGE,
    TERN_VALUE_TENSOR
} tern_value_kind;

typedef struct tern_value {
    tern_value_kind kind;
    uint32_t n_bytes; /* STRING, BYTES, LONG */
    union {
        int64_t integer;              /* BOOL, INT */
        const unsigned char *bytes;   /* STRING, BYTES, LONG: in the pickle */
        struct tern_value_list *list; /* TUPLE, LIST, DICT, SET */
        const struct tern_global *global;
        size_t index; /* STORAGE, TENSOR: into the pickle's arrays */
    };
} tern_value;

typedef struct tern_value_list {
    tern_value *items;
    size_t n, capacity;
} tern_value_list;

/* One mention of a storage. */
typedef struct tern_storage {
    const unsigned char *key; /* n_key bytes in the pickle */
    size_t n_key;
    bool is_untyped; /* counted in bytes; dtype is U8 then */
    tern_dtype dtype;
    size_t n_elements;
    size_t view_begin, n_view_elements; /* the part that is meant; all of it except in old legacy files */
    size_t at;                          /* in the pickle */
    const unsigned char *data;          /* NULL until the container has found it */
} tern_storage;

typedef struct tern_pickle_tensor {
    size_t storage; /* index */
    tern_dtype dtype;
    int rank;
    size_t offset; /* in elements */
    int64_t shape[TERN_MAX_RANK];
    int64_t stride[TERN_MAX_RANK]; /* in elements, >= 0 */
    size_t at;                     /* in the pickle */
    bool is_named;                 /* set by whoever reads the dict */
} tern_pickle_tensor;

/* Set bytes, n_bytes, name and err and zero the rest. */
typedef struct tern_pickle {
    const unsigned char *bytes; /* must outlive the values */
    size_t n_bytes;
    size_t at;        /* of what is read next */
    size_t opcode_at; /* of the opcode that is being run */
    const char *name; /* of the file, for messages */
    tern_error *err;

    tern_value *stack;
    size_t n_stack, stack_capacity;
    size_t marks[TERN_PICKLE_MAX_MARKS]; /* heights of the stack */
    size_t n_marks;
    tern_value *memo;
    size_t n_memo, memo_capacity;

    tern_storage *storages;
    size_t n_storages, storages_capacity;
    tern_pickle_tensor *tensors;
    size_t n_tensors, tensors_capacity;

    tern_arena arena;
    size_t used_memory;
} tern_pickle;

/* Run the pickle that begins at `at`, which then stands behind its STOP. *out lives as long as the tern_pickle.
 * errors   TERN_E_FORMAT       broken: cut short, a stack that is empty, sizes and ranges that cannot be
 *          TERN_E_UNSUPPORTED  an opcode or a global that tensors do not need, a kind of tensor that Tern does not read, too much memory
 *          TERN_E_MEMORY */
tern_status tern__pickle_run(tern_pickle *pickle, tern_value *out);
void tern__pickle_free(tern_pickle *pickle);

/* "an int", "a tensor". */
const char *tern__value_kind_name(tern_value_kind kind);

#endif
