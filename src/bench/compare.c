/* compare.c - what got faster or slower from one file of rows to another, beyond noise.
 * Rows of one configuration are compared by the rank test of Mann and Whitney over their iterations, since times are no normal
 * distribution, with the Hodges-Lehmann ratio and its interval as the size of the change. Only iterations that the probes saw undisturbed
 * count: what they are chosen by is not their own time. p-values are adjusted for the number of rows (Holm).
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/bench.h"
#include "bench/json_row.h"
#include "bench/rows_file.h"

#define ALPHA           0.05
#define DISTURBED_ABOVE 1.25 /* times the quieter file's shortest probe */
#define LEAST_SAMPLES   5    /* 2 / C(10, 5) is the first p-value below 0.01 */

typedef struct pair {
    const json_t *a, *b;
    double *samples_a, *samples_b;
    size_t n_a, n_b; /* undisturbed */
    tern_shift shift;
    double p; /* adjusted */
    const char *verdict;
} pair;

typedef struct comparison {
    pair *pairs;
    size_t n_pairs, n_only_a, n_only_b;
    double threshold; /* a ratio above 1: smaller changes are called the same */
    size_t n_slower, n_faster, n_noisy, n_failing;
} comparison;

static bool is_ok(const json_t *row) { return strcmp(tern__row_string(row, "status"), "ok") == 0; }

/* Iterations between probes of at most `limit_ms`. */
static double *quiet_samples(const json_t *row, double limit_ms, size_t *n) {
    size_t n_ms, n_probes;
    double *ms = tern__row_numbers(row, "iterations_ms", &n_ms), *probes = tern__row_numbers(row, "probe_ms", &n_probes);
    *n = 0;
    for (size_t i = 0; ms != NULL && i < n_ms; i++)
        if (ms[i] > 0 && (probes == NULL || i >= n_probes || probes[i] <= limit_ms)) ms[(*n)++] = ms[i];
    free(probes);
    return ms;
}

static const char *judge(const comparison *c, const pair *p) {
    if (!is_ok(p->b)) return is_ok(p->a) ? "fails" : "not ok";
    if (!is_ok(p->a)) return "works";
    if (p->n_a < LEAST_SAMPLES || p->n_b < LEAST_SAMPLES) return "noisy";
    if (p->p >= ALPHA) return "same";
    return p->shift.ratio >= c->threshold ? "slower" : p->shift.ratio <= 1 / c->threshold ? "faster" : "same";
}

static bool measure_pair(pair *p) {
    const double quiet_a = tern__row_number(p->a, "quiet_probe_ms", HUGE_VAL), quiet_b = tern__row_number(p->b, "quiet_probe_ms", HUGE_VAL);
    const double limit_ms = DISTURBED_ABOVE * fmin(quiet_a, quiet_b);
    p->p = 1;
    if (!is_ok(p->a) || !is_ok(p->b)) return true;
    p->samples_a = quiet_samples(p->a, limit_ms, &p->n_a);
    p->samples_b = quiet_samples(p->b, limit_ms, &p->n_b);
    if (p->n_a == 0 || p->n_b == 0) return true;
    if (!tern__shift_of(&p->shift, p->samples_a, p->n_a, p->samples_b, p->n_b)) return false;
    p->p = p->shift.p;
    return true;
}

/* Others, such as those of peaks, have no samples. */
static bool is_comparable(const json_t *row) {
    const char *kind = tern__row_string(row, "kind");
    return strcmp(kind, "embed") == 0 || strcmp(kind, "forward") == 0 || strcmp(kind, "op") == 0;
}

static const json_t *find_match(const json_t *rows, const json_t *row) {
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (tern__rows_match(json_array_get(rows, i), row)) return json_array_get(rows, i);
    return NULL;
}

static bool make_pairs(comparison *c, const json_t *rows_a, const json_t *rows_b) {
    c->pairs = calloc(json_array_size(rows_a) + 1, sizeof *c->pairs);
    if (c->pairs == NULL) return false;
    for (size_t i = 0; i < json_array_size(rows_a); i++) {
        const json_t *a = json_array_get(rows_a, i), *b = find_match(rows_b, a);
        if (!is_comparable(a)) continue;
        if (b == NULL) c->n_only_a++;
        else c->pairs[c->n_pairs++] = (pair){.a = a, .b = b};
    }
    for (size_t i = 0; i < json_array_size(rows_b); i++) {
        const json_t *b = json_array_get(rows_b, i);
        c->n_only_b += is_comparable(b) && find_match(rows_a, b) == NULL;
    }
    for (size_t i = 0; i < c->n_pairs; i++)
        if (!measure_pair(&c->pairs[i])) return false;
    return true;
}

/* Only rows with enough samples are tests, so only their number counts. */
static bool adjust(comparison *c) {
    double *p = malloc((c->n_pairs + 1) * sizeof *p);
    if (p == NULL) return false;
    size_t n = 0;
    for (size_t i = 0; i < c->n_pairs; i++)
        if (c->pairs[i].n_a >= LEAST_SAMPLES && c->pairs[i].n_b >= LEAST_SAMPLES) p[n++] = c->pairs[i].p;
    const bool ok = tern__adjust_holm(p, n);
    n = 0;
    for (size_t i = 0; i < c->n_pairs; i++)
        if (c->pairs[i].n_a >= LEAST_SAMPLES && c->pairs[i].n_b >= LEAST_SAMPLES) c->pairs[i].p = p[n++];
    free(p);
    return ok;
}

static void judge_all(comparison *c) {
    for (size_t i = 0; i < c->n_pairs; i++) {
        pair *p = &c->pairs[i];
        p->verdict = judge(c, p);
        c->n_slower += strcmp(p->verdict, "slower") == 0;
        c->n_faster += strcmp(p->verdict, "faster") == 0;
        c->n_noisy += strcmp(p->verdict, "noisy") == 0;
        c->n_failing += strcmp(p->verdict, "fails") == 0;
    }
}

/* ---- Telling ---- */

static double median_of(const json_t *row) { return tern__row_number(row, "median_ms", 0); }

/* The end of a long name, which tells a model from others of its folder. */
static const char *end_of(const char *name, size_t columns) {
    const size_t n = strlen(name);
    return n > columns ? name + n - columns : name;
}

static void print_pair(FILE *out, const pair *p) {
    const bool is_op = strcmp(tern__row_string(p->a, "kind"), "op") == 0;
    fprintf(out, "%-24s %-8s %5.0f %5.0f  ", end_of(tern__row_string(p->a, is_op ? "op" : "model"), 24), tern__row_string(p->a, "device"),
            tern__row_number(p->a, is_op ? "tokens" : "chars", 0), tern__row_number(p->a, "batch", 0));
    if (p->n_a > 0 && p->n_b > 0)
        fprintf(out, "%9.2f %9.2f  %5.3f [%5.3f %5.3f] %8.1e %3zu %3zu  ", median_of(p->a), median_of(p->b), p->shift.ratio, p->shift.low,
                p->shift.high, p->p, p->n_a, p->n_b);
    else fprintf(out, "%9.2f %9.2f  %39s", median_of(p->a), median_of(p->b), "");
    fprintf(out, "%s\n", p->verdict);
}

static void print_table(FILE *out, const comparison *c) {
    fprintf(out, "%-24s %-8s %5s %5s  %9s %9s  %-21s %8s %3s %3s\n", "model", "device", "chars", "batch", "A ms", "B ms", "B / A [95 %]",
            "p", "nA", "nB");
    for (size_t i = 0; i < c->n_pairs; i++) print_pair(out, &c->pairs[i]);
    fprintf(out, "%zu rows: %zu slower, %zu faster, %zu too noisy to tell, %zu fail now; %zu only in A, %zu only in B\n", c->n_pairs,
            c->n_slower, c->n_faster, c->n_noisy, c->n_failing, c->n_only_a, c->n_only_b);
}

static void print_json(FILE *out, const comparison *c) {
    static const char *const keys[] = {"kind",  "engine", "model", "device", "dtype", "threads", "chars",
                                       "batch", "op",     "shape", "in",     "out",   "tokens"};
    for (size_t i = 0; i < c->n_pairs; i++) {
        const pair *p = &c->pairs[i];
        json_t *line = json_object();
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (json_object_get(p->a, keys[k]) != NULL) json_object_set(line, keys[k], json_object_get(p->a, keys[k]));
        json_object_set_new(line, "verdict", json_string(p->verdict));
        json_object_set_new(line, "a_median_ms", json_real(median_of(p->a)));
        json_object_set_new(line, "b_median_ms", json_real(median_of(p->b)));
        json_object_set_new(line, "n_a", json_integer((json_int_t)p->n_a));
        json_object_set_new(line, "n_b", json_integer((json_int_t)p->n_b));
        if (p->n_a > 0 && p->n_b > 0) {
            json_object_set_new(line, "ratio", json_real(p->shift.ratio));
            json_object_set_new(line, "ratio_low", json_real(p->shift.low));
            json_object_set_new(line, "ratio_high", json_real(p->shift.high));
            json_object_set_new(line, "p", json_real(p->p));
        }
        json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputc('\n', out);
        json_decref(line);
    }
}

tern_status tern__bench_compare(const char *path_a, const char *path_b, double percent, FILE *out, bool is_json, bool *is_worse,
                                tern_error *err) {
    comparison c = {.threshold = 1 + percent / 100};
    json_t *rows_a = NULL, *rows_b = NULL;
    tern_status status = tern__rows_load(&rows_a, path_a, err);
    if (status == TERN_OK) status = tern__rows_load(&rows_b, path_b, err);
    if (status == TERN_OK && !(make_pairs(&c, rows_a, rows_b) && adjust(&c))) status = TERN_FAIL(err, TERN_E_MEMORY, "out of memory");
    if (status == TERN_OK && c.n_pairs == 0)
        status = TERN_FAIL(err, TERN_E_ARGUMENT,
                           "%.1000s and %.1000s have no row in common: rows are of one configuration where kind, engine, model, device, "
                           "dtype, threads, chars and batch (of ops the op and its sizes) are the same",
                           path_a, path_b);
    if (status == TERN_OK) {
        judge_all(&c);
        if (is_json) print_json(out, &c);
        else print_table(out, &c);
        *is_worse = c.n_slower > 0 || c.n_failing > 0;
    }
    for (size_t i = 0; c.pairs != NULL && i < c.n_pairs; i++) {
        free(c.pairs[i].samples_a);
        free(c.pairs[i].samples_b);
    }
    free(c.pairs);
    json_decref(rows_a);
    json_decref(rows_b);
    return status;
}
