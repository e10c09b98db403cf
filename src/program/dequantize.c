/* dequantize.c - a quantized weight as float32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

/* Element `i` of a row of packed elements: its bits follow those of element i - 1, the lowest first, through the row's bytes. */
static uint32_t unpack(const uint8_t *row, int64_t i, int32_t bits) {
    const int64_t first = i * bits;
    uint32_t window = row[first / 8];
    if (first % 8 + bits > 8) window |= (uint32_t)row[first / 8 + 1] << 8;
    return window >> (first % 8) & ((1u << bits) - 1);
}

/* The float of 4 bits: sign, 2 bits of exponent, 1 of mantissa (Open Compute Project, Microscaling Formats 1.0, E2M1). */
static float e2m1_to_f32(uint32_t bits) {
    static const float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return bits & 8 ? -magnitudes[bits & 7] : magnitudes[bits & 7];
}

static void dequantize_row(float *out, const tern_weight *weight, int64_t row) {
    const tern_quantized *quantized = &weight->quantized;
    const int64_t in = weight->shape[1], n_groups = in / quantized->group_size;
    const uint8_t *packed = (const uint8_t *)weight->data + row * (in * quantized->bits / 8);
    for (int64_t i = 0; i < in; i++) {
        const size_t group = (size_t)(row * n_groups + i / quantized->group_size);
        const uint32_t element = unpack(packed, i, quantized->bits);
        if (quantized->biases == NULL) out[i] = ldexpf(e2m1_to_f32(element), ((const uint8_t *)quantized->scales)[group] - 127);
        else
            out[i] = tern__element_to_f32(quantized->scales, quantized->dtype, group) * (float)element +
                     tern__element_to_f32(quantized->biases, quantized->dtype, group);
    }
}

void tern__weight_dequantize(float *out, const tern_weight *weight) {
    for (int64_t row = 0; row < weight->shape[0]; row++) dequantize_row(out + row * weight->shape[1], weight, row);
}
