/* statistics.h - what is said of samples: order statistics, spread, rank tests, power laws. Nothing here knows what was measured.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_STATISTICS_H
#define TERN_BENCH_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ascending; samples are not NaN. */
void tern__sort(double *samples, size_t n);

/* The p-quantile, 0 <= p <= 1, of ascending samples, n >= 1: linear between the neighbours of rank p (n - 1), as numpy.quantile's default
 * (Hyndman and Fan 1996, type 7). */
double tern__quantile(const double *sorted, size_t n, double p);

typedef struct tern_summary {
    size_t n;
    double min, p10, median, p90, p99, max, mean;
    double sd;                      /* of the samples, n - 1; 0 for one */
    double median_low, median_high; /* of which the median of what was sampled is between with at least 95 % confidence, whatever its
                                     * distribution; for less than 6 samples, that confidence is not to be had and these are min and max */
} tern_summary;

/* Of samples in any order, n >= 1. False when memory is short. */
bool tern__summarize(tern_summary *out, const double *samples, size_t n);

/* Ranks (from 1) of the order statistics that enclose the median with a confidence of at least 95 %: the largest l with
 * 2 P(X < l) <= 0.05, X binomial(n, 1/2), and n + 1 - l; 1 and n when there is none. */
void tern__median_ranks(size_t n, size_t *low, size_t *high);

#endif
