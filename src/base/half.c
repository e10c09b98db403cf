/* half.c - float16 (IEEE 754 binary16) and bfloat16 by integer arithmetic on the bits: exact widening, narrowing to nearest even.
 * A NaN stays a NaN of the same sign and leading payload bits, and comes out quiet when narrowed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tern__f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1Fu;
    uint32_t fraction = half & 0x3FFu;
    if (exponent == 31) return float_of(sign | 0x7F800000u | fraction << 13);
    if (exponent != 0) return float_of(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* zero or subnormal: a whole number of 2^-24, exact in float32 */
    return float_of(sign | bits_of(magnitude));
}

/* bits >> shift, rounded to nearest, ties to even; 0 < shift < 32. */
static uint32_t shift_right_rounded(uint32_t bits, unsigned shift) {
    uint32_t kept = bits >> shift;
    uint32_t rest = bits & ((1u << shift) - 1);
    uint32_t half_way = 1u << (shift - 1);
    return kept + (rest > half_way || (rest == half_way && (kept & 1u)));
}

uint16_t tern__f32_to_f16(float value) {
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* 65520 and more rounds to infinity */
    if (magnitude >= 0x38800000u)                                    /* 2^-14: a normal half; a carry goes into the exponent as it should */
        return (uint16_t)(sign | (shift_right_rounded(magnitude, 13) - ((127u - 15u) << 10)));
    if (magnitude < 0x33000000u) return (uint16_t)sign; /* below 2^-25, half of the least half */
    unsigned shift = 126u - (magnitude >> 23);          /* 14 to 24: the fraction becomes a whole number of 2^-24 */
    return (uint16_t)(sign | shift_right_rounded((magnitude & 0x7FFFFFu) | 0x800000u, shift));
}

float tern__bf16_to_f32(uint16_t half) { return float_of((uint32_t)half << 16); }

uint16_t tern__f32_to_bf16(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)shift_right_rounded(bits, 16); /* the sign cannot be reached by a carry: infinity is the largest magnitude */
}

float tern__element_to_f32(const void *data, tern_dtype dtype, size_t index) {
    float value;
    tern__elements_to_f32(&value, data, dtype, index, 1);
    return value;
}

void tern__elements_to_f32(float *out, const void *data, tern_dtype dtype, size_t start, size_t n) {
    const unsigned char *from = (const unsigned char *)data + start * tern_dtype_bytes(dtype);
    if (n == 0) return;
    if (dtype == TERN_DTYPE_F32) {
        memcpy(out, from, n * sizeof *out);
    } else if (dtype == TERN_DTYPE_F64) {
        for (size_t i = 0; i < n; i++) {
            double value;
            memcpy(&value, from + i * sizeof value, sizeof value);
            out[i] = (float)value;
        }
    } else {
        bool is_f16 = dtype == TERN_DTYPE_F16;
        for (size_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, from + i * sizeof half, sizeof half);
            out[i] = is_f16 ? tern__f16_to_f32(half) : tern__bf16_to_f32(half);
        }
    }
}
