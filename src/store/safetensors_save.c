/* safetensors_save.c - writing a .safetensors file, complete or not at all.
 *
 * The header is compact JSON padded with spaces to a multiple of 8 bytes, so that the data begin aligned, as the reference implementation
 * writes it. Its metadata say "format": "pt", without which Hugging Face's `transformers` refuses a checkpoint.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/names.h"
#include "store/safetensors.h"

#define FAIL_ARGUMENT(err, path, name, format, ...)                                                                                        \
    TERN_FAIL((err), TERN_E_ARGUMENT, "%s: tensor %s cannot be written: " format, (path), tern__quote(name).text, __VA_ARGS__)

/* Size of the data, from a shape that nobody has checked. */
static tern_status checked_bytes(size_t *n_bytes, const tern_tensor *tensor, const char *path, tern_error *err) {
    size_t bytes = tern_dtype_bytes(tensor->dtype);
    if (bytes == 0) return FAIL_ARGUMENT(err, path, tensor->name, "dtype %d is none", (int)tensor->dtype);
    if (tensor->rank < 0 || tensor->rank > TERN_MAX_RANK)
        return FAIL_ARGUMENT(err, path, tensor->name, "rank %d is not 0 to %d", tensor->rank, TERN_MAX_RANK);
    bool is_empty = false;
    for (int axis = 0; axis < tensor->rank; axis++) {
        int64_t size = tensor->shape[axis];
        if (size == 0) is_empty = true;
        if (size < 0 || !tern__size_multiply(bytes, size ? (size_t)size : 1, &bytes) || bytes > INT64_MAX)
            return FAIL_ARGUMENT(err, path, tensor->name, "shape[%d] is %lld", axis, (long long)size);
    }
    *n_bytes = is_empty ? 0 : bytes;
    if (*n_bytes > 0 && !tensor->data) return FAIL_ARGUMENT(err, path, tensor->name, "it has no %s", "data");
    return TERN_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}; NULL when memory is short. */
static json_t *make_entry(const tern_tensor *tensor, size_t begin, size_t end) {
    json_t *shape = json_array();
    bool is_made = shape != NULL;
    for (int axis = 0; is_made && axis < tensor->rank; axis++)
        is_made = json_array_append_new(shape, json_integer(tensor->shape[axis])) == 0;
    json_t *entry = is_made ? json_pack("{s:s, s:O, s:[I, I]}", "dtype", tern_dtype_name(tensor->dtype), "shape", shape, "data_offsets",
                                        (json_int_t)begin, (json_int_t)end)
                            : NULL;
    json_decref(shape);
    return entry;
}

static tern_status add_entry(json_t *header, const tern_tensor *tensor, size_t *offset, const char *path, tern_error *err) {
    if (!tensor->name) return TERN_FAIL(err, TERN_E_ARGUMENT, "%s: a tensor without a name cannot be written", path);
    if (!tern__json_is_utf8(tensor->name, strlen(tensor->name)))
        return FAIL_ARGUMENT(err, path, tensor->name, "its name is not %s", "UTF-8");
    if (json_object_get(header, tensor->name)) return FAIL_ARGUMENT(err, path, tensor->name, "its name is already %s", "taken");
    size_t bytes = 0, end;
    TERN_TRY(checked_bytes(&bytes, tensor, path, err));
    if (!tern__size_add(*offset, bytes, &end) || end > INT64_MAX)
        return FAIL_ARGUMENT(err, path, tensor->name, "with it the file would pass %lld bytes", (long long)INT64_MAX);
    if (json_object_set_new_nocheck(header, tensor->name, make_entry(tensor, *offset, end)) != 0)
        return TERN_FAIL_MEMORY(err, strlen(tensor->name));
    *offset = end;
    return TERN_OK;
}

static tern_status make_header(char **out, const tern_tensor *tensors, size_t n_tensors, const char *path, tern_error *err) {
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (!header) return TERN_FAIL_MEMORY(err, sizeof "__metadata__");
    tern_status status = TERN_OK;
    size_t offset = 0;
    for (size_t i = 0; status == TERN_OK && i < n_tensors; i++) status = add_entry(header, &tensors[i], &offset, path, err);
    if (status == TERN_OK) status = tern__json_dump(out, header, JSON_COMPACT, err);
    json_decref(header);
    return status;
}

static tern_status write_file(tern_writer *writer, const char *header, const tern_tensor *tensors, size_t n_tensors, tern_error *err) {
    static const char spaces[8] = "        ";
    size_t header_bytes = strlen(header);
    size_t padding = tern__align_up(header_bytes, 8) - header_bytes;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)(header_bytes + padding) >> (8 * i));
    TERN_TRY(tern__writer_write(writer, length, sizeof length, err));
    TERN_TRY(tern__writer_write(writer, header, header_bytes, err));
    TERN_TRY(tern__writer_write(writer, spaces, padding, err));
    for (size_t i = 0; i < n_tensors; i++) {
        size_t bytes = (size_t)tern_tensor_elements(&tensors[i]) * tern_dtype_bytes(tensors[i].dtype);
        TERN_TRY(tern__writer_write(writer, tensors[i].data, bytes, err));
    }
    return TERN_OK;
}

tern_status tern_safetensors_save(const char *path, const tern_tensor *tensors, size_t n_tensors, tern_error *err) {
    char *header = NULL;
    TERN_TRY(make_header(&header, tensors, n_tensors, path, err));
    if (strlen(header) + 8 > TERN_SAFETENSORS_MAX_HEADER_BYTES) {
        free(header);
        return TERN_FAIL(err, TERN_E_ARGUMENT, "%s: the header of %zu tensors passes %d bytes", path, n_tensors,
                         TERN_SAFETENSORS_MAX_HEADER_BYTES);
    }
    tern_writer writer;
    tern_status status = tern__writer_open(&writer, path, err);
    if (status == TERN_OK) {
        status = write_file(&writer, header, tensors, n_tensors, err);
        if (status == TERN_OK) status = tern__writer_commit(&writer, err);
        else tern__writer_discard(&writer);
    }
    free(header);
    return status;
}
