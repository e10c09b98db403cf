/* rank_test.c - two groups of samples compared by ranks. See statistics.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/statistics.h"

enum { MAX_EXACT = 60, MAX_SIDE = 2000 };

/* ---- The distribution of U ---- */

/* cumulative[u] = P(U <= u) for u = 0 ... n_a n_b, all orders of the n_a + n_b samples being equally likely. Counted by rank sums: one
 * sample after the other belongs to group a or not. NULL when memory is short. */
static double *distribution_of(size_t n_a, size_t n_b) {
    const size_t n = n_a + n_b, max_sum = n * (n + 1) / 2, lowest = n_a * (n_a + 1) / 2, n_u = n_a * n_b + 1;
    double *counts = calloc((n_a + 1) * (max_sum + 1), sizeof *counts), *cumulative = malloc(n_u * sizeof *cumulative);
    if (counts == NULL || cumulative == NULL) {
        free(counts);
        free(cumulative);
        return NULL;
    }
    counts[0] = 1;
    for (size_t rank = 1; rank <= n; rank++)
        for (size_t k = rank < n_a ? rank : n_a; k > 0; k--)
            for (size_t sum = max_sum; sum >= rank; sum--) counts[k * (max_sum + 1) + sum] += counts[(k - 1) * (max_sum + 1) + sum - rank];
    double total = 0;
    for (size_t u = 0; u < n_u; u++) cumulative[u] = total += counts[n_a * (max_sum + 1) + lowest + u];
    for (size_t u = 0; u < n_u; u++) cumulative[u] /= total;
    free(counts);
    return cumulative;
}

/* ---- The test ---- */

typedef struct ranked {
    double value;
    bool is_a;
} ranked;

static int by_sample(const void *left, const void *right) {
    const double a = ((const ranked *)left)->value, b = ((const ranked *)right)->value;
    return (a > b) - (a < b);
}

/* U of group a, ties counting a half, and the sum of t^3 - t over groups of t equal samples. */
static bool rank_samples(double *u, double *ties, const double *a, size_t n_a, const double *b, size_t n_b) {
    const size_t n = n_a + n_b;
    ranked *all = malloc(n * sizeof *all);
    if (all == NULL) return false;
    for (size_t i = 0; i < n; i++) all[i] = (ranked){i < n_a ? a[i] : b[i - n_a], i < n_a};
    qsort(all, n, sizeof *all, by_sample);
    double rank_sum = 0;
    *ties = 0;
    for (size_t first = 0, end; first < n; first = end) {
        size_t n_of_a = 0;
        for (end = first; end < n && all[end].value <= all[first].value; end++) n_of_a += all[end].is_a;
        const double t = (double)(end - first);
        rank_sum += (double)n_of_a * ((double)(first + end + 1) / 2);
        *ties += t * t * t - t;
    }
    free(all);
    *u = rank_sum - (double)n_a * (double)(n_a + 1) / 2;
    return true;
}

static double normal_p(double u, double ties, size_t n_a, size_t n_b) {
    const double a = (double)n_a, b = (double)n_b, n = a + b;
    const double variance = a * b / 12 * (n + 1 - (n > 1 ? ties / (n * (n - 1)) : 0));
    const double distance = fmax(0, fabs(u - a * b / 2) - 0.5);
    return variance > 0 ? erfc(distance / sqrt(2 * variance)) : 1;
}

/* ---- The interval ---- */

/* At most MAX_SIDE of sorted samples, evenly spread. */
static size_t thin_out(double *sorted, size_t n) {
    if (n <= MAX_SIDE) return n;
    for (size_t i = 0; i < MAX_SIDE; i++) sorted[i] = sorted[(2 * i + 1) * n / (2 * MAX_SIDE)];
    return MAX_SIDE;
}

/* The median of the ratios, and those `rank` from the ends (from 1; 0: the ends). */
static bool find_ratios(tern_shift *out, double *a, size_t n_a, double *b, size_t n_b, double rank_share) {
    tern__sort(a, n_a);
    tern__sort(b, n_b);
    n_a = thin_out(a, n_a);
    n_b = thin_out(b, n_b);
    const size_t n = n_a * n_b;
    double *ratios = malloc(n * sizeof *ratios);
    if (ratios == NULL) return false;
    for (size_t i = 0; i < n; i++) ratios[i] = b[i % n_b] / a[i / n_b];
    tern__sort(ratios, n);
    const size_t rank = (size_t)(rank_share * (double)n), at = rank > 0 ? rank - 1 : 0;
    out->ratio = tern__quantile(ratios, n, 0.5);
    out->low = ratios[at];
    out->high = ratios[n - 1 - at];
    free(ratios);
    return true;
}

static bool compare_copies(tern_shift *out, double *a, size_t n_a, double *b, size_t n_b) {
    double u, ties, rank;
    const double pairs = (double)n_a * (double)n_b;
    if (!rank_samples(&u, &ties, a, n_a, b, n_b)) return false;
    if (n_a + n_b <= MAX_EXACT) {
        double *cumulative = distribution_of(n_a, n_b);
        if (cumulative == NULL) return false;
        const double least = fmin(u, pairs - u);
        out->p = ties > 0 ? normal_p(u, ties, n_a, n_b) : fmin(1, 2 * cumulative[(size_t)least]);
        size_t k = 0; /* P(U < k) <= 0.025 */
        while (cumulative[k] <= 0.025) k++;
        rank = (double)k;
        free(cumulative);
    } else {
        out->p = normal_p(u, ties, n_a, n_b);
        rank = fmax(0, pairs / 2 - 1.96 * sqrt(pairs * (double)(n_a + n_b + 1) / 12));
    }
    return find_ratios(out, a, n_a, b, n_b, (rank + 1e-6) / pairs);
}

bool tern__shift_of(tern_shift *out, const double *a, size_t n_a, const double *b, size_t n_b) {
    double *copy = malloc((n_a + n_b) * sizeof *copy);
    if (copy == NULL) return false;
    memcpy(copy, a, n_a * sizeof *copy);
    memcpy(copy + n_a, b, n_b * sizeof *copy);
    const bool ok = compare_copies(out, copy, n_a, copy + n_a, n_b);
    free(copy);
    return ok;
}

/* ---- Many tests ---- */

bool tern__adjust_holm(double *p, size_t n) {
    double *sorted = malloc((n + 1) * sizeof *sorted), *adjusted = malloc((n + 1) * sizeof *adjusted);
    const bool ok = sorted != NULL && adjusted != NULL;
    if (ok) {
        double most = 0;
        memcpy(sorted, p, n * sizeof *p);
        tern__sort(sorted, n);
        for (size_t i = 0; i < n; i++) adjusted[i] = most = fmax(most, fmin(1, (double)(n - i) * sorted[i]));
        for (size_t i = 0; i < n; i++) {
            size_t at = 0;
            while (sorted[at] < p[i]) at++;
            p[i] = adjusted[at];
        }
    }
    free(sorted);
    free(adjusted);
    return ok;
}
