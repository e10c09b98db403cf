/* half.h - float16 and bfloat16 to float32 and back, exact and round-to-nearest-even, without special instructions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_HALF_H
#define TERN_BASE_HALF_H

#include <stddef.h>
#include <stdint.h>

#include "tern.h"

float tern__f16_to_f32(uint16_t half);
uint16_t tern__f32_to_f16(float value);
float tern__bf16_to_f32(uint16_t half);
uint16_t tern__f32_to_bf16(float value);

/* Element `index` of `data` (may be unaligned) as float; dtype F64, F32, F16 or BF16. */
float tern__element_to_f32(const void *data, tern_dtype dtype, size_t index);
/* `n` elements from element `start` on. */
void tern__elements_to_f32(float *out, const void *data, tern_dtype dtype, size_t start, size_t n);

#endif
