/* isa.h - which instruction sets this processor and its system offer, as levels, each of which holds those before it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CPU_ISA_H
#define TERN_DEVICE_CPU_ISA_H

#include <stddef.h>

#include "device/cpu/kernels.h"

typedef enum tern_isa { TERN_ISA_SCALAR, TERN_ISA_AVX2, TERN_ISA_AVX512, TERN_N_ISAS } tern_isa;

/* The highest level that the processor has and the system saves the registers of. */
tern_isa tern__isa_best(void);
const char *tern__isa_name(tern_isa isa);
/* The level called `name`, NULL for the best. Fails when no level has that name, or this machine lacks it. */
tern_status tern__isa_choose(tern_isa *out, const char *name, tern_error *err);
/* The kernels of a level that is there. */
void tern__isa_kernels(tern_isa isa, tern_kernels *kernels);
/* "AMD EPYC 9R14 96-Core Processor"; where the processor does not tell, its architecture. */
void tern__processor_name(char *name, size_t capacity);

#endif
