/* safetensors.c - reading .safetensors files: 8 bytes of header length, a JSON header, then the bytes of the tensors.
 *
 * The whole header is checked when a file is opened, so that what comes after may trust every shape and pointer. A file is refused
 * unless its tensors cover its data exactly, with no overlap and no hole.
 * Source: https://huggingface.co/docs/safetensors, "Format".
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/names.h"

/* A tensor and where its bytes are, counted from the end of the header. */
typedef struct tern_entry {
    tern_tensor tensor;
    size_t begin;
    size_t end;
} tern_entry;

struct tern_safetensors {
    tern_mapping mapping; /* empty when the bytes are the caller's */
    size_t n_bytes;
    size_t n_tensors;
    tern_entry *entries;         /* in the order of their data */
    const tern_tensor **by_name; /* into entries, sorted by name */
    tern_arena names;
};

/* What every check needs to know. */
typedef struct tern_header_reader {
    const char *file_name;
    const unsigned char *data; /* behind the header */
    size_t data_bytes;
    tern_arena *names;
    tern_error *err;
} tern_header_reader;

#define FAIL_TENSOR(reader, name, format, ...)                                                                                             \
    TERN_FAIL((reader)->err, TERN_E_FORMAT, "%s: tensor %s: " format, (reader)->file_name, tern__quote(name).text, __VA_ARGS__)

static const char *json_type_name(const json_t *value) {
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a real number", "true", "false", "null"};
    return value ? names[json_typeof(value)] : "nothing";
}

static tern_status read_dtype(tern_dtype *out, const tern_header_reader *reader, const char *name, const json_t *value) {
    if (!json_is_string(value)) return FAIL_TENSOR(reader, name, "\"dtype\" must be a string, not %s", json_type_name(value));
    const char *dtype_name = json_string_value(value);
    for (tern_dtype dtype = 0; tern_dtype_name(dtype); dtype++) {
        if (strcmp(tern_dtype_name(dtype), dtype_name) != 0) continue;
        *out = dtype;
        return TERN_OK;
    }
    return FAIL_TENSOR(reader, name, "dtype %s is none of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL, U32",
                       tern__quote(dtype_name).text);
}

/* Fills rank and shape, and *n_bytes with the size they and the dtype ask for. The check for overflow takes a dimension of 0 for 1, so
 * that a product of any of the dimensions fits in int64_t whatever their order. */
static tern_status read_shape(tern_tensor *tensor, size_t *n_bytes, const tern_header_reader *reader, const char *name,
                              const json_t *value) {
    if (!json_is_array(value)) return FAIL_TENSOR(reader, name, "\"shape\" must be an array, not %s", json_type_name(value));
    size_t rank = json_array_size(value);
    if (rank > TERN_MAX_RANK) return FAIL_TENSOR(reader, name, "rank %zu is over %d", rank, TERN_MAX_RANK);
    size_t bytes = tern_dtype_bytes(tensor->dtype);
    bool is_empty = false;
    for (size_t axis = 0; axis < rank; axis++) {
        const json_t *dimension = json_array_get(value, axis);
        if (!json_is_integer(dimension))
            return FAIL_TENSOR(reader, name, "shape[%zu] must be an integer, not %s", axis, json_type_name(dimension));
        json_int_t size = json_integer_value(dimension);
        if (size < 0) return FAIL_TENSOR(reader, name, "shape[%zu] is %" JSON_INTEGER_FORMAT ", which is negative", axis, size);
        if (size == 0) is_empty = true;
        if (!tern__size_multiply(bytes, size ? (size_t)size : 1, &bytes) || bytes > INT64_MAX)
            return FAIL_TENSOR(reader, name, "the size of its shape overflows at shape[%zu] = %" JSON_INTEGER_FORMAT, axis, size);
        tensor->shape[axis] = size;
    }
    tensor->rank = (int)rank;
    *n_bytes = is_empty ? 0 : bytes;
    return TERN_OK;
}

static tern_status read_offsets(tern_entry *entry, size_t n_bytes, const tern_header_reader *reader, const char *name,
                                const json_t *value) {
    if (!json_is_array(value) || json_array_size(value) != 2 || !json_is_integer(json_array_get(value, 0)) ||
        !json_is_integer(json_array_get(value, 1)))
        return FAIL_TENSOR(reader, name, "\"data_offsets\" must be an array of two integers%s", value ? "" : ", and is missing");
    json_int_t begin = json_integer_value(json_array_get(value, 0)), end = json_integer_value(json_array_get(value, 1));
    if (begin < 0 || begin > end)
        return FAIL_TENSOR(reader, name, "data_offsets [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT "] are no range", begin, end);
    if ((uint64_t)end > reader->data_bytes)
        return FAIL_TENSOR(reader, name,
                           "data_offsets [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT "] pass the end of the %zu bytes of data", begin,
                           end, reader->data_bytes);
    if ((size_t)(end - begin) != n_bytes)
        return FAIL_TENSOR(reader, name,
                           "data_offsets [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                           "] hold %zu bytes, but its shape and dtype need %zu",
                           begin, end, (size_t)(end - begin), n_bytes);
    entry->begin = (size_t)begin;
    entry->end = (size_t)end;
    return TERN_OK;
}

static tern_status read_entry(tern_entry *entry, const tern_header_reader *reader, const char *name, const json_t *value) {
    *entry = (tern_entry){0};
    if (!json_is_object(value))
        return FAIL_TENSOR(reader, name, "must be an object with dtype, shape and data_offsets, not %s", json_type_name(value));
    size_t n_bytes = 0;
    TERN_TRY(read_dtype(&entry->tensor.dtype, reader, name, json_object_get(value, "dtype")));
    TERN_TRY(read_shape(&entry->tensor, &n_bytes, reader, name, json_object_get(value, "shape")));
    TERN_TRY(read_offsets(entry, n_bytes, reader, name, json_object_get(value, "data_offsets")));
    entry->tensor.name = tern__arena_copy(reader->names, name, strlen(name));
    if (!entry->tensor.name) return TERN_FAIL_MEMORY(reader->err, strlen(name));
    entry->tensor.data = reader->data + entry->begin;
    return TERN_OK;
}

static tern_status check_metadata(const tern_header_reader *reader, json_t *metadata) {
    if (!json_is_object(metadata))
        return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: \"__metadata__\" must be an object, not %s", reader->file_name,
                         json_type_name(metadata));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: \"__metadata__\": the value of %s must be a string, not %s",
                             reader->file_name, tern__quote(key).text, json_type_name(value));
    }
    return TERN_OK;
}

static int compare_sizes(size_t a, size_t b) { return (a > b) - (a < b); }

/* By range. Empty tensors that begin where another does come before it, by name. */
static int compare_entries(const void *a, const void *b) {
    const tern_entry *x = a, *y = b;
    int order = compare_sizes(x->begin, y->begin);
    if (order == 0) order = compare_sizes(x->end, y->end);
    return order != 0 ? order : strcmp(x->tensor.name, y->tensor.name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tern_tensor *const *)a)->name, (*(const tern_tensor *const *)b)->name);
}

/* Entries are sorted: each must begin where the one before it ends, and the last end with the file. */
static tern_status check_ranges(const tern_safetensors *file, const tern_header_reader *reader) {
    size_t covered = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const tern_entry *entry = &file->entries[i];
        if (entry->begin < covered)
            return FAIL_TENSOR(reader, entry->tensor.name, "data_offsets [%zu, %zu] overlap those of %s, [%zu, %zu]", entry->begin,
                               entry->end, tern__quote(entry[-1].tensor.name).text, entry[-1].begin, entry[-1].end);
        if (entry->begin > covered)
            return FAIL_TENSOR(reader, entry->tensor.name, "data_offsets [%zu, %zu] leave a hole of %zu bytes before them", entry->begin,
                               entry->end, entry->begin - covered);
        covered = entry->end;
    }
    if (covered == reader->data_bytes) return TERN_OK;
    return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: holds %zu bytes of data, but its tensors end at %zu", reader->file_name,
                     reader->data_bytes, covered);
}

static tern_status read_entries(tern_safetensors *file, const tern_header_reader *reader, json_t *header) {
    size_t capacity = json_object_size(header);
    file->entries = tern__alloc(capacity, sizeof *file->entries);
    file->by_name = tern__alloc(capacity, sizeof *file->by_name);
    if (!file->entries || !file->by_name) return TERN_FAIL_MEMORY(reader->err, capacity * sizeof *file->entries);
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            TERN_TRY(check_metadata(reader, value));
        } else {
            TERN_TRY(read_entry(&file->entries[file->n_tensors], reader, name, value));
            file->n_tensors++;
        }
    }
    qsort(file->entries, file->n_tensors, sizeof *file->entries, compare_entries);
    for (size_t i = 0; i < file->n_tensors; i++) file->by_name[i] = &file->entries[i].tensor;
    qsort(file->by_name, file->n_tensors, sizeof *file->by_name, compare_names);
    return check_ranges(file, reader);
}

/* *n_header bytes of JSON stand behind the first 8 bytes. */
static tern_status read_header_length(size_t *n_header, const unsigned char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    if (n_bytes < 8) return TERN_FAIL(err, TERN_E_FORMAT, "%s: %zu bytes are too few for a safetensors file", name, n_bytes);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > TERN_SAFETENSORS_MAX_HEADER_BYTES)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: header length %llu is over the limit of %d bytes: not a safetensors file?", name,
                         (unsigned long long)length, TERN_SAFETENSORS_MAX_HEADER_BYTES);
    if (length > n_bytes - 8)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: header length %llu passes the end of the file, which has %zu bytes: truncated?", name,
                         (unsigned long long)length, n_bytes);
    *n_header = (size_t)length;
    return TERN_OK;
}

tern_status tern__safetensors_parse(tern_safetensors **out, const void *bytes, size_t n_bytes, const char *name, tern_error *err) {
    *out = NULL;
    size_t n_header = 0;
    TERN_TRY(read_header_length(&n_header, bytes, n_bytes, name, err));
    const char *header_bytes = (const char *)bytes + 8;
    json_t *header;
    tern_status status = tern__json_parse(&header, header_bytes, n_header, "header", err);
    if (status != TERN_OK) return tern__fail_prefix(err, status, name);

    tern_safetensors *file = tern__alloc_zero(1, sizeof *file);
    if (!file) {
        status = TERN_FAIL_MEMORY(err, sizeof *file);
    } else if (!json_is_object(header)) {
        status = TERN_FAIL(err, TERN_E_FORMAT, "%s: header must be a JSON object, not %s", name, json_type_name(header));
    } else {
        file->n_bytes = n_bytes;
        tern_header_reader reader = {.file_name = name,
                                     .data = (const unsigned char *)bytes + 8 + n_header,
                                     .data_bytes = n_bytes - 8 - n_header,
                                     .names = &file->names,
                                     .err = err};
        status = read_entries(file, &reader, header);
    }
    json_decref(header);
    if (status != TERN_OK) {
        tern_safetensors_close(file);
        return status;
    }
    *out = file;
    return TERN_OK;
}

tern_status tern_safetensors_open(tern_safetensors **out, const char *path, tern_error *err) {
    *out = NULL;
    tern_mapping mapping;
    TERN_TRY(tern__file_map(&mapping, path, err));
    tern_status status = tern__safetensors_parse(out, mapping.data, mapping.bytes, path, err);
    if (status == TERN_OK) (*out)->mapping = mapping;
    else tern__file_unmap(&mapping);
    return status;
}

void tern_safetensors_close(tern_safetensors *file) {
    if (!file) return;
    tern__file_unmap(&file->mapping);
    tern__arena_free(&file->names);
    free(file->by_name);
    free(file->entries);
    free(file);
}

size_t tern_safetensors_count(const tern_safetensors *file) { return file->n_tensors; }

const tern_tensor *tern_safetensors_get(const tern_safetensors *file, size_t index) {
    return index < file->n_tensors ? &file->entries[index].tensor : NULL;
}

const tern_tensor *tern_safetensors_find(const tern_safetensors *file, const char *name) {
    const tern_tensor key = {.name = name};
    const tern_tensor *const wanted = &key;
    const tern_tensor **found = bsearch(&wanted, file->by_name, file->n_tensors, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

size_t tern__safetensors_bytes(const tern_safetensors *file) { return file->n_bytes; }

bool tern__safetensors_is_mapped(const tern_safetensors *file, const void *data) { return tern__mapping_holds(&file->mapping, data); }
