/* torch_file.c - from a torch.save file to tensors: names from the state dict, elements from the storages, in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/torch_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "store/names.h"
#include "store/state_dict.h"
#include "store/torch_container.h"

struct tern_torch_file {
    tern_mapping mapping; /* empty when the bytes are the caller's */
    size_t n_bytes;
    size_t n_tensors;
    tern_tensor *tensors;
    const tern_tensor **by_name; /* into tensors, sorted by name */
    size_t copied_bytes;
    tern_arena arena; /* names, and elements that had to be copied */
};

/* ---- Elements ---- */

/* Are the elements in the storage as they are in a row-major tensor? Strides of dimensions of 1 mean nothing. */
static bool is_contiguous(const tern_pickle_tensor *tensor) {
    int64_t expected = 1;
    for (int axis = tensor->rank; axis-- > 0;) {
        if (tensor->shape[axis] != 1 && tensor->stride[axis] != expected) return false;
        expected *= tensor->shape[axis];
    }
    return true;
}

/* n elements of `bytes` bytes that are `stride` bytes apart. */
static void copy_row(unsigned char *out, const unsigned char *from, int64_t n, size_t stride, size_t bytes) {
    switch (bytes) {
    case 1:
        for (int64_t i = 0; i < n; i++) out[i] = from[(size_t)i * stride];
        break;
    case 2:
        for (int64_t i = 0; i < n; i++) memcpy(out + 2 * i, from + (size_t)i * stride, 2);
        break;
    case 4:
        for (int64_t i = 0; i < n; i++) memcpy(out + 4 * i, from + (size_t)i * stride, 4);
        break;
    default:
        for (int64_t i = 0; i < n; i++) memcpy(out + 8 * i, from + (size_t)i * stride, 8);
    }
}

/* All elements in row-major order: like an odometer over all axes but the last. Rank is at least 1 and no dimension is 0. */
static void copy_elements(unsigned char *out, const unsigned char *first, const tern_pickle_tensor *tensor) {
    const size_t bytes = tern_dtype_bytes(tensor->dtype);
    const int last = tensor->rank - 1;
    int64_t index[TERN_MAX_RANK] = {0};
    const unsigned char *from = first;
    for (;;) {
        copy_row(out, from, tensor->shape[last], (size_t)tensor->stride[last] * bytes, bytes);
        out += (size_t)tensor->shape[last] * bytes;
        int axis = last - 1;
        for (; axis >= 0 && ++index[axis] == tensor->shape[axis]; axis--) index[axis] = 0;
        if (axis < 0) return;
        from = first;
        for (int i = 0; i < last; i++) from += (size_t)index[i] * (size_t)tensor->stride[i] * bytes;
    }
}

/* The extent of the tensor was checked when it was rebuilt, so nothing overflows here. */
static tern_status place_elements(tern_tensor *out, tern_torch_file *file, const tern_pickle *pickle, const tern_pickle_tensor *tensor) {
    const tern_storage *storage = &pickle->storages[tensor->storage];
    const size_t bytes = (size_t)tern_tensor_elements(out) * tern_dtype_bytes(out->dtype);
    const unsigned char *first = storage->data + (bytes > 0 ? tensor->offset * tern_dtype_bytes(out->dtype) : 0);
    out->data = first;
    if (bytes == 0 || is_contiguous(tensor)) return TERN_OK;
    const size_t most = file->n_bytes > (SIZE_MAX >> 3) ? SIZE_MAX : 4 * file->n_bytes + ((size_t)64 << 20);
    if (bytes > most - file->copied_bytes)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: tensor %s repeats its elements over %zu bytes: save x.clone() or none of it",
                         pickle->name, tern__quote(out->name).text, bytes);
    file->copied_bytes += bytes;
    unsigned char *copy = tern__arena_alloc(&file->arena, bytes);
    if (!copy) return TERN_FAIL_MEMORY(pickle->err, bytes);
    copy_elements(copy, first, tensor);
    out->data = copy;
    return TERN_OK;
}

/* ---- The file ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tern_tensor *const *)a)->name, (*(const tern_tensor *const *)b)->name);
}

static tern_status make_tensors(tern_torch_file *file, const tern_pickle *pickle, const tern_state_entry *entries, size_t n_entries) {
    file->tensors = tern__alloc(n_entries, sizeof *file->tensors);
    file->by_name = tern__alloc(n_entries, sizeof *file->by_name);
    if (!file->tensors || !file->by_name) return TERN_FAIL_MEMORY(pickle->err, n_entries * sizeof *file->tensors);
    for (size_t i = 0; i < n_entries; i++) {
        const tern_pickle_tensor *from = &pickle->tensors[entries[i].tensor];
        tern_tensor *tensor = &file->tensors[i];
        *tensor = (tern_tensor){.name = entries[i].name, .dtype = from->dtype, .rank = from->rank};
        memcpy(tensor->shape, from->shape, sizeof tensor->shape);
        TERN_TRY(place_elements(tensor, file, pickle, from));
        tensor->name = tern__arena_copy(&file->arena, entries[i].name, strlen(entries[i].name));
        if (!tensor->name) return TERN_FAIL_MEMORY(pickle->err, strlen(entries[i].name));
        file->by_name[i] = tensor;
    }
    file->n_tensors = n_entries;
    qsort(file->by_name, n_entries, sizeof *file->by_name, compare_names);
    return TERN_OK;
}

static tern_status read_file(tern_torch_file *file, tern_pickle *pickle, const unsigned char *bytes, size_t n_bytes) {
    tern_value object = {0};
    tern_state_entry *entries = NULL;
    size_t n_entries = 0;
    TERN_TRY(tern__torch_container_read(pickle, &object, bytes, n_bytes));
    TERN_TRY(tern__state_dict_read(&entries, &n_entries, pickle, &object));
    file->n_bytes = n_bytes;
    const tern_status status = make_tensors(file, pickle, entries, n_entries);
    free(entries);
    return status;
}

tern_status tern__torch_parse(tern_torch_file **out, const void *bytes, size_t n_bytes, const char *name, tern_error *err) {
    *out = NULL;
    tern_torch_file *file = tern__alloc_zero(1, sizeof *file);
    if (!file) return TERN_FAIL_MEMORY(err, sizeof *file);
    tern_pickle pickle = {.name = name, .err = err};
    const tern_status status = read_file(file, &pickle, bytes, n_bytes);
    tern__pickle_free(&pickle);
    if (status == TERN_OK) *out = file;
    else tern__torch_close(file);
    return status;
}

tern_status tern__torch_open(tern_torch_file **out, const char *path, tern_error *err) {
    *out = NULL;
    tern_mapping mapping;
    TERN_TRY(tern__file_map(&mapping, path, err));
    const tern_status status = tern__torch_parse(out, mapping.data, mapping.bytes, path, err);
    if (status == TERN_OK) (*out)->mapping = mapping;
    else tern__file_unmap(&mapping);
    return status;
}

void tern__torch_close(tern_torch_file *file) {
    if (!file) return;
    tern__file_unmap(&file->mapping);
    tern__arena_free(&file->arena);
    free(file->by_name);
    free(file->tensors);
    free(file);
}

size_t tern__torch_count(const tern_torch_file *file) { return file->n_tensors; }

const tern_tensor *tern__torch_get(const tern_torch_file *file, size_t index) {
    return index < file->n_tensors ? &file->tensors[index] : NULL;
}

const tern_tensor *tern__torch_find(const tern_torch_file *file, const char *name) {
    const tern_tensor key = {.name = name};
    const tern_tensor *const wanted = &key;
    const tern_tensor **found = bsearch(&wanted, file->by_name, file->n_tensors, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

size_t tern__torch_bytes(const tern_torch_file *file) { return file->n_bytes; }

bool tern__torch_is_mapped(const tern_torch_file *file, const void *data) { return tern__mapping_holds(&file->mapping, data); }
