/* weights.c - weights on their way to the device: from the mapped file through two pinned buffers, so that one is filled while the other
 * is copied, and converted to the storage type there.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "device/cuda/cuda.h"

tern_status tern__cuda_hold(tern_cuda_compiled *c, void **out, size_t bytes, const char *what, tern_error *err) {
    *out = NULL;
    if (!tern__grow(&c->blocks, &c->blocks_capacity, c->n_blocks + 1, sizeof *c->blocks)) return TERN_FAIL_MEMORY(err, sizeof *c->blocks);
    TERN_TRY(tern__cuda_alloc(c->device, out, bytes, what, err));
    c->blocks[c->n_blocks++] = (tern_cuda_block){.data = *out};
    c->packed_bytes += bytes;
    return TERN_OK;
}

/* The next staging buffer, free again. */
static tern_status next_stage(tern_cuda_upload *upload, int *stage, tern_error *err) {
    *stage = upload->turn;
    upload->turn = 1 - upload->turn;
    TERN_CUDA_TRY(upload->compiled->device, cudaEventSynchronize(upload->compiled->device->events[*stage]), "copying weights", err);
    return TERN_OK;
}

/* One weight into rows of `to`. */
static tern_status upload_weight(tern_cuda_upload *upload, tern_cuda_rows to, const tern_weight *weight, int64_t n_rows, int32_t columns,
                                 tern_cuda_type type, tern_error *err) {
    const tern_cuda_device *device = upload->compiled->device;
    const size_t size = tern_dtype_bytes(weight->dtype);
    const int64_t n = n_rows * columns, step = (int64_t)(TERN_CUDA_STAGE_BYTES / size);
    for (int64_t start = 0; start < n; start += step) {
        const int64_t count = n - start < step ? n - start : step;
        int stage;
        TERN_TRY(next_stage(upload, &stage, err));
        memcpy(device->pinned[stage], (const unsigned char *)weight->data + (size_t)start * size, (size_t)count * size);
        TERN_CUDA_TRY(
            device,
            cudaMemcpyAsync(device->scratch[stage], device->pinned[stage], (size_t)count * size, cudaMemcpyHostToDevice, device->stream),
            weight->name, err);
        TERN_CUDA_TRY(device, tern__cuda_convert(device->stream, to, type, device->scratch[stage], weight->dtype, start, count, columns),
                      weight->name, err);
        TERN_CUDA_TRY(device, cudaEventRecord(device->events[stage], device->stream), weight->name, err);
    }
    return TERN_OK;
}

static const tern_cuda_block *find_block(const tern_cuda_compiled *c, const tern_cuda_block *wanted) {
    for (size_t b = 0; b < c->n_blocks; b++)
        if (c->blocks[b].ld == wanted->ld && c->blocks[b].type == wanted->type &&
            memcmp(c->blocks[b].sources, wanted->sources, sizeof wanted->sources) == 0)
            return &c->blocks[b];
    return NULL;
}

tern_status tern__cuda_upload_parts(tern_cuda_upload *upload, tern_cuda_rows *out, const tern_weight *const *parts,
                                    const int64_t *part_rows, int n_parts, int32_t columns, int64_t ld, tern_cuda_type type,
                                    tern_error *err) {
    tern_cuda_compiled *c = upload->compiled;
    tern_cuda_block wanted = {.ld = ld, .type = type};
    const tern_weight *named = NULL;
    size_t n_rows = 0, bytes;
    for (int p = 0; p < n_parts; p++) {
        wanted.sources[p] = parts[p] != NULL ? parts[p]->data : NULL;
        if (parts[p] != NULL) named = parts[p];
        n_rows += (size_t)part_rows[p];
    }
    *out = (tern_cuda_rows){.ld = wanted.ld};
    if (named == NULL) return TERN_OK;
    const tern_cuda_block *present = find_block(c, &wanted);
    if (present != NULL) {
        out->data = present->data;
        return TERN_OK;
    }
    if (!tern__size_multiply(n_rows, (size_t)wanted.ld * tern__cuda_element_bytes(type), &bytes))
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: the weight %s is larger than any memory", c->device->name, named->name);
    TERN_TRY(tern__cuda_hold(c, &out->data, bytes, named->name, err));
    wanted.data = out->data;
    c->blocks[c->n_blocks - 1] = wanted;
    unsigned char *to = out->data;
    for (int p = 0; p < n_parts; p++) {
        if (parts[p] != NULL) TERN_TRY(upload_weight(upload, (tern_cuda_rows){to, wanted.ld}, parts[p], part_rows[p], columns, type, err));
        to += (size_t)part_rows[p] * (size_t)wanted.ld * tern__cuda_element_bytes(type);
    }
    return TERN_OK;
}

tern_status tern__cuda_upload_bytes(tern_cuda_upload *upload, void **out, const void *from, size_t bytes, tern_error *err) {
    const tern_cuda_device *device = upload->compiled->device;
    TERN_TRY(tern__cuda_hold(upload->compiled, out, bytes, "tables", err));
    for (size_t start = 0; start < bytes; start += TERN_CUDA_STAGE_BYTES) {
        const size_t count = bytes - start < TERN_CUDA_STAGE_BYTES ? bytes - start : TERN_CUDA_STAGE_BYTES;
        int stage;
        TERN_TRY(next_stage(upload, &stage, err));
        memcpy(device->pinned[stage], (const unsigned char *)from + start, count);
        TERN_CUDA_TRY(device,
                      cudaMemcpyAsync((unsigned char *)*out + start, device->pinned[stage], count, cudaMemcpyHostToDevice, device->stream),
                      "copying a table", err);
        TERN_CUDA_TRY(device, cudaEventRecord(device->events[stage], device->stream), "copying a table", err);
    }
    return TERN_OK;
}
