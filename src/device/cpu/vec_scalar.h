/* vec_scalar.h - the vector set for any machine: four floats side by side in the compiler's own vector type, so that the baseline of the
 * architecture (SSE2 on x86-64, Advanced SIMD on AArch64) does them at once. The same functions as vec_avx2.h and vec_avx512.h.
 *
 *   vf      VW floats                          v_load_n, v_store_n   the first n of them, 1 <= n <= VW; the rest loads as 0
 *   v_fma   a * b + c, here in two roundings   v_min, v_max          b where either is a NaN
 *   v_scale2(y, n)   y * 2^n, n a whole number in -125 ... 128, exact unless it overflows
 *   v_pick_less(a, b, x, y)   a < b ? x : y, lane by lane      v_sum, v_max_of   over the lanes, in a fixed order
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_CPU_VEC_SCALAR_H
#define TERN_DEVICE_CPU_VEC_SCALAR_H

#include <stdint.h>
#include <string.h>

#define VW 4
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf v_set(float x) { return (vf){x, x, x, x}; }
static inline vf v_load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
static inline vf v_load_n(const float *p, int n) {
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
static inline void v_store_n(float *p, vf v, int n) { memcpy(p, &v, (size_t)n * sizeof *p); }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vf v_choose(vi mask, vf x, vf y) { return (vf)(((vi)x & mask) | ((vi)y & ~mask)); }
static inline vf v_min(vf a, vf b) { return v_choose((vi)(a < b), a, b); }
static inline vf v_max(vf a, vf b) { return v_choose((vi)(a > b), a, b); }
static inline vf v_pick_less(vf a, vf b, vf x, vf y) { return v_choose((vi)(a < b), x, y); }
static inline vf v_abs(vf x) { return (vf)((vi)x & 0x7FFFFFFF); }
static inline vf v_copysign(vf magnitude, vf sign) { return (vf)(((vi)magnitude & 0x7FFFFFFF) | ((vi)sign & INT32_MIN)); }
/* Nearest whole number, |x| < 2^22: what is added drops the fraction. */
static inline vf v_round(vf x) { return (x + 0x1.8p23f) - 0x1.8p23f; }
/* 2^(n-1), then once more times 2, since 2^128 is no float; n + 2^23 + 126 has n - 1 + 127 in its low bits. */
static inline vf v_scale2(vf y, vf n) { return y * (vf)((vi)(n + (0x1p23f + 126.0f)) << 23) * 2.0f; }
static inline float v_sum(vf v) { return (v[0] + v[2]) + (v[1] + v[3]); }
static inline float v_max_of(vf v) {
    const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
}

#endif
