/* kern_scalar.c - the kernels for any machine; the level that fills every slot of the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cpu/vec_scalar.h"

#define MR      4
#define NV      2
#define KERN(x) tern__kernels_scalar##x
#define ISA     "scalar"
#include "device/cpu/kern_body.inc"
