/* quantize.c - float32 vectors as bytes or bits. Every step is one float32 operation, in the order of the library, so that results are
 * equal and not merely close. Source: sentence-transformers 6.2, sentence_transformers/util/quantization.py, quantize_embeddings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "tern.h"

static const struct {
    const char *name;
    tern_dtype dtype;
    bool is_bits;
} precisions[] = {{"float32", TERN_DTYPE_F32, false}, /* in the order of tern_precision */
                  {"int8", TERN_DTYPE_I8, false},
                  {"uint8", TERN_DTYPE_U8, false},
                  {"binary", TERN_DTYPE_I8, true},
                  {"ubinary", TERN_DTYPE_U8, true}};

static bool is_precision(tern_precision precision) { return (unsigned)precision < sizeof precisions / sizeof *precisions; }

const char *tern_precision_name(tern_precision precision) { return is_precision(precision) ? precisions[precision].name : NULL; }

tern_dtype tern_precision_dtype(tern_precision precision) { return is_precision(precision) ? precisions[precision].dtype : TERN_DTYPE_F32; }

size_t tern_precision_width(tern_precision precision, size_t width) {
    return is_precision(precision) && precisions[precision].is_bits ? width / 8 + (width % 8 != 0) : width;
}

tern_status tern_quantization_ranges(float *ranges, const float *calibration, size_t n, size_t width, tern_error *err) {
    if (n == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "ranges are asked for, and there is no vector to take them from");
    float *lowest = ranges, *highest = ranges + width;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < width; c++) {
            const float value = calibration[i * width + c];
            if (!isfinite(value))
                return TERN_FAIL(err, TERN_E_ARGUMENT, "vector %zu: component %zu is not finite; a range needs numbers", i, c);
            if (i == 0 || value < lowest[c]) lowest[c] = value;
            if (i == 0 || value > highest[c]) highest[c] = value;
        }
    return TERN_OK;
}

/* ---- One vector ---- */

/* A bucket of 0 ... 255; false when the component is not a number, or is infinite in a range of infinite width. */
static bool find_bucket(float *bucket, float value, float lowest, float highest) {
    const float range_step = (highest - lowest) / 255.0f, step = range_step == 0 ? 1.0f : range_step;
    const float place = floorf((value - lowest) / step);
    *bucket = place < 0 ? 0.0f : place > 255 ? 255.0f : place;
    return !isnan(place);
}

static tern_status quantize_bytes(uint8_t *out, tern_precision precision, const float *vector, size_t index, size_t width,
                                  const float *ranges, tern_error *err) {
    for (size_t c = 0; c < width; c++) {
        float bucket;
        if (!find_bucket(&bucket, vector[c], ranges[c], ranges[width + c]))
            return TERN_FAIL(err, TERN_E_ARGUMENT, "vector %zu: component %zu is %g, for which the range %g ... %g has no bucket", index, c,
                             (double)vector[c], (double)ranges[c], (double)ranges[width + c]);
        out[c] = (uint8_t)bucket;
        if (precision == TERN_PRECISION_INT8) out[c] ^= 0x80; /* less 128, as two's complement */
    }
    return TERN_OK;
}

/* The first component is the highest bit; bits behind the last are 0. */
static void quantize_bits(uint8_t *out, tern_precision precision, const float *vector, size_t width) {
    const size_t n_bytes = tern_precision_width(precision, width);
    memset(out, 0, n_bytes);
    for (size_t c = 0; c < width; c++) out[c / 8] |= (uint8_t)((vector[c] > 0) << (7 - c % 8));
    for (size_t b = 0; b < n_bytes && precision == TERN_PRECISION_BINARY; b++) out[b] ^= 0x80;
}

tern_status tern_quantize(void *out, tern_precision precision, const float *embeddings, size_t n, size_t width, const float *ranges,
                          tern_error *err) {
    if (!is_precision(precision)) return TERN_FAIL(err, TERN_E_ARGUMENT, "precision is %d, which is no tern_precision", (int)precision);
    const bool needs_ranges = precision == TERN_PRECISION_INT8 || precision == TERN_PRECISION_UINT8;
    if (needs_ranges && ranges == NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "precision %s needs ranges: tern_quantization_ranges makes them of representative vectors",
                         tern_precision_name(precision));
    if (precision == TERN_PRECISION_FLOAT32) {
        if (n > 0) memcpy(out, embeddings, n * width * sizeof *embeddings);
        return TERN_OK;
    }
    const size_t n_bytes = tern_precision_width(precision, width);
    for (size_t i = 0; i < n; i++) {
        uint8_t *to = (uint8_t *)out + i * n_bytes;
        const float *vector = embeddings + i * width;
        if (needs_ranges) TERN_TRY(quantize_bytes(to, precision, vector, i, width, ranges, err));
        else quantize_bits(to, precision, vector, width);
    }
    return TERN_OK;
}
