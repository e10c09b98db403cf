/* peaks.h - what a processor can do at most, measured: multiply-adds in registers, bytes from each level of memory, and what it costs to
 * have an op at all. The limits of a roofline (Williams, Waterman, Patterson 2009).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_PEAKS_H
#define TERN_BENCH_PEAKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "tern.h"

enum { TERN_N_BANDWIDTHS = 8 };

typedef struct tern_peaks {
    double flop_per_s;                     /* float32, all threads; 0: not known */
    double sizes[TERN_N_BANDWIDTHS];       /* bytes that all threads together read over and over, ascending */
    double bytes_per_s[TERN_N_BANDWIDTHS]; /* by which they read them; never rising with the size */
    double overhead_ns;                    /* of an op that has nothing to do; 0: not known */
} tern_peaks;

/* Measure the host for an ISA level ("avx512", "avx2", else the baseline); about a second. overhead_ns is left 0.
 * errors   TERN_E_MEMORY */
tern_status tern__peaks_measure(tern_peaks *out, const char *isa, int threads, tern_error *err);

/* Independent multiply-adds by the calling thread, about a tenth of a millisecond; returns their floating-point operations. */
double tern__peak_multiply_adds(const char *isa);

/* What a thing costs, and from where its bytes come: the least memory that holds all that is read in turn. */
typedef struct tern_work {
    double flops;
    double weight_bytes, weight_set;
    double other_bytes, other_set;
} tern_work;

typedef enum tern_bound {
    TERN_BOUND_COMPUTE,  /* at least half of the limit, which is that of the multiply-adds */
    TERN_BOUND_MEMORY,   /* at least half of the limit, which is that of the bytes */
    TERN_BOUND_OVERHEAD, /* under three times what an op takes that has nothing to do */
    TERN_BOUND_NEITHER   /* far from all of them: other instructions, latencies, threads that wait */
} tern_bound;
const char *tern__bound_name(tern_bound bound);

/* The least time for the work. */
double tern__peaks_limit_ns(const tern_peaks *peaks, const tern_work *work);
/* What bounds the work, when it took `ns`. */
tern_bound tern__peaks_bound(const tern_peaks *peaks, const tern_work *work, double ns);

/* {"flop_per_s", "overhead_us", "bandwidth": [{"bytes", "bytes_per_s"} ...]} */
json_t *tern__peaks_describe(const tern_peaks *peaks);

#endif
