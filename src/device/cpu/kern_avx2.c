/* kern_avx2.c - the kernels in AVX2 with FMA: 6 x 16 register tiles, 12 of the 16 registers accumulate. Nothing on other machines.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cpu/kernels.h"

#if defined(__x86_64__)
#include "device/cpu/vec_avx2.h"

#define MR      6
#define NV      2
#define KERN(x) tern__kernels_avx2##x
#define ISA     "avx2"
#include "device/cpu/kern_body.inc"
#endif
