/* isa.c - ISA levels by cpuid. A level counts only when the system saves its registers on a switch, which XCR0 tells.
 * Source: Intel SDM volume 1, 13.2 and 14.3; AMD APM volume 3, appendix E.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cpu/isa.h"

#include <stdio.h>
#include <string.h>

static const char *const isa_names[TERN_N_ISAS] = {"scalar", "avx2", "avx512"};

const char *tern__isa_name(tern_isa isa) { return isa_names[isa]; }

#if defined(__x86_64__)
#include <cpuid.h>

#define BITS(a, b, c) (1u << (a) | 1u << (b) | 1u << (c))

static unsigned saved_registers(void) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_all(unsigned value, unsigned bits) { return (value & bits) == bits; }

tern_isa tern__isa_best(void) {
    const unsigned fma_osxsave_avx_f16c = BITS(12, 27, 28) | 1u << 29;
    const unsigned xmm_ymm = 1u << 1 | 1u << 2, opmask_zmm = BITS(5, 6, 7);
    const unsigned avx2 = 1u << 5, f_dq_bw_vl = BITS(16, 17, 30) | 1u << 31;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, fma_osxsave_avx_f16c)) return TERN_ISA_SCALAR;
    const unsigned saved = saved_registers();
    if (!has_all(saved, xmm_ymm) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_all(b, avx2)) return TERN_ISA_SCALAR;
    return has_all(saved, opmask_zmm) && has_all(b, f_dq_bw_vl) ? TERN_ISA_AVX512 : TERN_ISA_AVX2;
}

void tern__isa_kernels(tern_isa isa, tern_kernels *kernels) {
    tern__kernels_scalar(kernels);
    if (isa >= TERN_ISA_AVX2) tern__kernels_avx2(kernels);
    if (isa >= TERN_ISA_AVX512) tern__kernels_avx512(kernels);
}

void tern__processor_name(char *name, size_t capacity) {
    unsigned text[13] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *part = text + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &part[0], &part[1], &part[2], &part[3])) {
            snprintf(name, capacity, "x86_64");
            return;
        }
    }
    const char *start = (const char *)text;
    start += strspn(start, " ");
    size_t length = strlen(start);
    while (length > 0 && start[length - 1] == ' ') length--;
    snprintf(name, capacity, "%.*s", (int)length, length > 0 ? start : "x86_64");
}

#else

tern_isa tern__isa_best(void) { return TERN_ISA_SCALAR; }

void tern__isa_kernels(tern_isa isa, tern_kernels *kernels) {
    (void)isa;
    tern__kernels_scalar(kernels);
}

void tern__processor_name(char *name, size_t capacity) {
#if defined(__aarch64__)
    snprintf(name, capacity, "aarch64");
#else
    snprintf(name, capacity, "unknown processor");
#endif
}

#endif

/* "scalar, avx2", up to and with `last`. */
static void list_names(char *text, size_t capacity, tern_isa last) {
    text[0] = '\0';
    for (int i = 0; i <= (int)last; i++) {
        const size_t length = strlen(text);
        snprintf(text + length, capacity - length, "%s%s", i > 0 ? ", " : "", isa_names[i]);
    }
}

tern_status tern__isa_choose(tern_isa *out, const char *name, tern_error *err) {
    const tern_isa best = tern__isa_best();
    char names[64];
    *out = best;
    if (name == NULL) return TERN_OK;
    for (int i = 0; i < TERN_N_ISAS; i++) {
        if (strcmp(name, isa_names[i]) != 0) continue;
        *out = (tern_isa)i;
        if (*out <= best) return TERN_OK;
        list_names(names, sizeof names, best);
        return TERN_FAIL(err, TERN_E_DEVICE, "cpu: this machine lacks the ISA level %s; it has: %s", name, names);
    }
    list_names(names, sizeof names, TERN_N_ISAS - 1);
    return TERN_FAIL(err, TERN_E_DEVICE, "cpu: no ISA level is called \"%.40s\"; known are: %s", name, names);
}
