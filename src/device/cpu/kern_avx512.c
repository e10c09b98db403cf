/* kern_avx512.c - the kernels in AVX-512: 12 x 32 register tiles, 24 of the 32 registers accumulate. Nothing on other machines.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cpu/kernels.h"

#if defined(__x86_64__)
#include "device/cpu/vec_avx512.h"

#define MR      12
#define NV      2
#define KERN(x) tern__kernels_avx512##x
#define ISA     "avx512"
#include "device/cpu/kern_body.inc"
#endif
