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

/* ---- Power laws ---- */

typedef struct tern_power_law {
    double exponent, factor; /* y = factor x^exponent */
    double r_squared;        /* share of the variance of log y that it explains */
} tern_power_law;

/* Least squares through the logarithms. False for fewer than 3 points, or when fewer than 3 values of x differ; all are over 0. */
bool tern__fit_power_law(tern_power_law *out, const double *x, const double *y, size_t n);

/* ---- Two groups of samples ---- */

/* How far b is from a, without a word on how either is distributed. Times of a machine have long tails to one side, and now and then
 * clusters; a t-test of means, or of their logarithms, would answer another question. */
typedef struct tern_shift {
    double ratio;     /* the median of b[j] / a[i] over all pairs (Hodges and Lehmann 1963): how many times a's time b takes */
    double low, high; /* of its interval with at least 95 % confidence, by inverting the test */
    double p;         /* two-sided, of the rank test of Mann and Whitney (1947): exact for up to 60 samples without ties, else by its normal
                       * approximation with corrections for ties and continuity */
} tern_shift;

/* n_a and n_b at least 1, samples over 0. False when memory is short. */
bool tern__shift_of(tern_shift *out, const double *a, size_t n_a, const double *b, size_t n_b);

/* Holm's (1979) adjustment of n p-values for their number, in place: those below alpha then hold together with an error below alpha. */
bool tern__adjust_holm(double *p, size_t n);

#endif
