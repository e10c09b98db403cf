/* weights.c - weights on their way to the device: from the mapped file through two pinned buffers, so that one is filled while the other
 * is copied, and converted to the storage type there.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "device/cuda/cuda.h"

tern_status tern__cuda_hold(tern_cuda_compiled *c, void **out, size_t bytes, const char *what, tern_error *err) {
    *out = NULL;
    if (!tern__grow(&c->blocks, &c->blocks_capacity, c->n_blocks + 1, sizeof *c->blocks)) return TERN_FAIL_MEMORY(err, sizeof *c->blocks);
    TERN_TRY(tern__cuda_alloc(&c->device->queue, out, bytes, what, err));
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

/* n_rows rows of a weight, from `first` on, into rows of `to`. */
static tern_status upload_weight(tern_cuda_upload *upload, tern_cuda_rows to, const tern_weight *weight, int64_t first, int64_t n_rows,
                                 int32_t columns, tern_cuda_type type, tern_error *err) {
    const tern_cuda_device *device = upload->compiled->device;
    const size_t size = tern_dtype_bytes(weight->dtype);
    const unsigned char *from = (const unsigned char *)weight->data + (size_t)(first * columns) * size;
    const int64_t n = n_rows * columns, step = (int64_t)(TERN_CUDA_STAGE_BYTES / size);
    for (int64_t start = 0; start < n; start += step) {
        const int64_t count = n - start < step ? n - start : step;
        int stage;
        TERN_TRY(next_stage(upload, &stage, err));
        memcpy(device->pinned[stage], from + (size_t)start * size, (size_t)count * size);
        TERN_CUDA_TRY(device,
                      cudaMemcpyAsync(device->scratch[stage], device->pinned[stage], (size_t)count * size, cudaMemcpyHostToDevice,
                                      device->queue.stream),
                      weight->name, err);
        TERN_CUDA_TRY(device,
                      tern__cuda_convert(device->queue.stream, to, type, device->scratch[stage], weight->dtype, start, count, columns),
                      weight->name, err);
        TERN_CUDA_TRY(device, cudaEventRecord(device->events[stage], device->queue.stream), weight->name, err);
    }
    return TERN_OK;
}

static const tern_cuda_block *find_block(const tern_cuda_compiled *c, const tern_cuda_block *wanted) {
    for (size_t b = 0; b < c->n_blocks; b++)
        if (c->blocks[b].bytes == wanted->bytes && c->blocks[b].ld == wanted->ld && c->blocks[b].type == wanted->type &&
            memcmp(c->blocks[b].sources, wanted->sources, sizeof wanted->sources) == 0)
            return &c->blocks[b];
    return NULL;
}

/* Memory for parts below each other, rows of row_bytes; that which has the same parts already, else *is_new. NULL: all parts are. */
static tern_status find_or_hold(tern_cuda_compiled *c, void **data, bool *is_new, tern_cuda_block *wanted, const tern_weight *const *parts,
                                const int64_t *part_rows, int n_parts, size_t row_bytes, tern_error *err) {
    const tern_weight *named = NULL;
    size_t n_rows = 0;
    for (int p = 0; p < n_parts; p++) {
        wanted->sources[p] = parts[p] != NULL ? parts[p]->data : NULL;
        if (parts[p] != NULL) named = parts[p];
        n_rows += (size_t)part_rows[p];
    }
    *data = NULL, *is_new = false;
    if (named == NULL) return TERN_OK;
    if (!tern__size_multiply(n_rows, row_bytes, &wanted->bytes))
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: the weight %s is larger than any memory", c->device->name, named->name);
    const tern_cuda_block *present = find_block(c, wanted);
    if (present != NULL) {
        *data = present->data;
        return TERN_OK;
    }
    TERN_TRY(tern__cuda_hold(c, data, wanted->bytes, named->name, err));
    wanted->data = *data, *is_new = true;
    c->blocks[c->n_blocks - 1] = *wanted;
    return TERN_OK;
}

tern_status tern__cuda_upload_parts(tern_cuda_upload *upload, tern_cuda_rows *out, const tern_weight *const *parts,
                                    const int64_t *part_rows, int n_parts, int32_t columns, int64_t ld, tern_cuda_type type,
                                    tern_error *err) {
    tern_cuda_block wanted = {.ld = ld, .type = type};
    const size_t row_bytes = (size_t)ld * tern__cuda_element_bytes(type);
    bool is_new;
    out->ld = ld;
    TERN_TRY(find_or_hold(upload->compiled, &out->data, &is_new, &wanted, parts, part_rows, n_parts, row_bytes, err));
    unsigned char *to = out->data;
    for (int p = 0; p < n_parts && is_new; p++) {
        if (parts[p] != NULL) TERN_TRY(upload_weight(upload, (tern_cuda_rows){to, ld}, parts[p], 0, part_rows[p], columns, type, err));
        to += (size_t)part_rows[p] * row_bytes;
    }
    return TERN_OK;
}

/* ---- 8 bits ---- */

#define WIDE_BYTES ((size_t)16 << 20)

static tern_status hold_wide(tern_cuda_upload *upload, size_t row_bytes, tern_error *err) {
    const size_t bytes = row_bytes > WIDE_BYTES ? row_bytes : WIDE_BYTES;
    if (upload->wide_bytes >= bytes) return TERN_OK;
    tern__cuda_upload_end(upload);
    TERN_TRY(tern__cuda_alloc(&upload->compiled->device->queue, &upload->wide, bytes, "weights on their way to 8 bits", err));
    upload->wide_bytes = bytes;
    return TERN_OK;
}

static tern_status upload_narrow_part(tern_cuda_upload *upload, tern_cuda_rows to, float *scales, const tern_weight *weight, int64_t n_rows,
                                      int32_t columns, tern_cuda_type type, tern_error *err) {
    const tern_cuda_device *device = upload->compiled->device;
    const size_t row_bytes = (size_t)columns * sizeof(float);
    TERN_TRY(hold_wide(upload, row_bytes, err));
    const int64_t step = (int64_t)(upload->wide_bytes / row_bytes);
    const tern_cuda_rows wide = {upload->wide, columns};
    for (int64_t first = 0; first < n_rows; first += step) {
        const int64_t n = n_rows - first < step ? n_rows - first : step;
        const tern_cuda_rows rows = {(unsigned char *)to.data + first * to.ld, to.ld};
        TERN_TRY(upload_weight(upload, wide, weight, first, n, columns, TERN_CUDA_F32, err));
        TERN_CUDA_TRY(
            device,
            tern__cuda_quantize(device->queue.stream, rows, scales + first, type, wide, (tern_cuda_shape){n, columns, TERN_CUDA_F32}),
            weight->name, err);
    }
    return TERN_OK;
}

tern_status tern__cuda_upload_narrow(tern_cuda_upload *upload, tern_cuda_rows *out, float **scales, const tern_weight *const *parts,
                                     const int64_t *part_rows, int n_parts, int32_t columns, tern_cuda_type type, tern_error *err) {
    const int64_t ld = tern__cuda_stride(columns);
    tern_cuda_block wanted = {.ld = ld, .type = type};
    int64_t n_rows = 0, row = 0;
    bool is_new;
    for (int p = 0; p < n_parts; p++) n_rows += part_rows[p];
    out->ld = ld;
    TERN_TRY(find_or_hold(upload->compiled, &out->data, &is_new, &wanted, parts, part_rows, n_parts, (size_t)ld + sizeof **scales, err));
    *scales = (float *)(void *)((unsigned char *)out->data + n_rows * ld);
    for (int p = 0; p < n_parts && is_new; p++) {
        const tern_cuda_rows to = {(unsigned char *)out->data + row * ld, ld};
        TERN_TRY(upload_narrow_part(upload, to, *scales + row, parts[p], part_rows[p], columns, type, err));
        row += part_rows[p];
    }
    return TERN_OK;
}

void tern__cuda_upload_end(tern_cuda_upload *upload) {
    if (upload->wide != NULL) cudaFree(upload->wide);
    upload->wide = NULL, upload->wide_bytes = 0;
}

tern_status tern__cuda_upload_bytes(tern_cuda_upload *upload, void **out, const void *from, size_t bytes, tern_error *err) {
    const tern_cuda_device *device = upload->compiled->device;
    TERN_TRY(tern__cuda_hold(upload->compiled, out, bytes, "tables", err));
    for (size_t start = 0; start < bytes; start += TERN_CUDA_STAGE_BYTES) {
        const size_t count = bytes - start < TERN_CUDA_STAGE_BYTES ? bytes - start : TERN_CUDA_STAGE_BYTES;
        int stage;
        TERN_TRY(next_stage(upload, &stage, err));
        memcpy(device->pinned[stage], (const unsigned char *)from + start, count);
        TERN_CUDA_TRY(
            device,
            cudaMemcpyAsync((unsigned char *)*out + start, device->pinned[stage], count, cudaMemcpyHostToDevice, device->queue.stream),
            "copying a table", err);
        TERN_CUDA_TRY(device, cudaEventRecord(device->events[stage], device->queue.stream), "copying a table", err);
    }
    return TERN_OK;
}
