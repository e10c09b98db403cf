/* statistics.c - see statistics.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void tern__sort(double *samples, size_t n) { qsort(samples, n, sizeof *samples, ascending); }

double tern__quantile(const double *sorted, size_t n, double p) {
    const double rank = p * (double)(n - 1);
    const size_t below = (size_t)rank;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (rank - (double)below) * (sorted[below + 1] - sorted[below]);
}

void tern__median_ranks(size_t n, size_t *low, size_t *high) {
    size_t rank = 0;
    if (n > 1000) { /* the normal approximation, before the powers of 1/2 underflow */
        *low = (size_t)(((double)n - 1.96 * sqrt((double)n)) / 2);
        *high = n + 1 - *low;
        return;
    }
    double term = exp2(-(double)n), tail = term; /* P(X = 0), P(X <= rank) */
    while (2 * (rank + 1) <= n && 2 * tail <= 0.05) {
        rank++;
        term *= (double)(n - rank + 1) / (double)rank;
        tail += term;
    }
    *low = rank > 0 ? rank : 1;
    *high = n + 1 - *low;
}

bool tern__summarize(tern_summary *out, const double *samples, size_t n) {
    double *sorted = malloc(n * sizeof *sorted);
    if (sorted == NULL) return false;
    memcpy(sorted, samples, n * sizeof *sorted);
    tern__sort(sorted, n);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += sorted[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (sorted[i] - mean) * (sorted[i] - mean);
    size_t low, high;
    tern__median_ranks(n, &low, &high);
    *out = (tern_summary){.n = n,
                          .min = sorted[0],
                          .p10 = tern__quantile(sorted, n, 0.10),
                          .median = tern__quantile(sorted, n, 0.50),
                          .p90 = tern__quantile(sorted, n, 0.90),
                          .p99 = tern__quantile(sorted, n, 0.99),
                          .max = sorted[n - 1],
                          .mean = mean,
                          .sd = n > 1 ? sqrt(squares / (double)(n - 1)) : 0,
                          .median_low = sorted[low - 1],
                          .median_high = sorted[high - 1]};
    free(sorted);
    return true;
}

/* ---- Power laws ---- */

static bool has_three_values(const double *x, size_t n) {
    size_t n_values = 0;
    for (size_t i = 0; i < n && n_values < 3; i++) {
        bool is_new = true;
        for (size_t j = 0; j < i; j++) is_new &= fabs(x[j] - x[i]) > 1e-9 * x[i];
        n_values += is_new;
    }
    return n_values == 3;
}

bool tern__fit_power_law(tern_power_law *out, const double *x, const double *y, size_t n) {
    if (!has_three_values(x, n)) return false;
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        mean_x += log(x[i]) / (double)n;
        mean_y += log(y[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        const double dx = log(x[i]) - mean_x, dy = log(y[i]) - mean_y;
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    out->exponent = xy / xx;
    out->factor = exp(mean_y - out->exponent * mean_x);
    out->r_squared = yy > 0 ? xy * xy / (xx * yy) : 1;
    return true;
}
