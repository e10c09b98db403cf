/* latency.c - a small table for people: how long tern_model_embed takes, from texts to vectors, for short and long texts, alone and in
 * batches. The library in one process, so no process start is in it; the comparison with other engines is in bench/peers.
 *
 *     latency MODEL [THREADS]
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tern.h"

enum { MAX_BATCH = 16, WARM_UPS = 2, MAX_RUNS = 25, MIN_RUNS = 5 };
static const double max_seconds = 2.0; /* of one row of the table */

static const char short_text[] = "The ferry leaves the harbour at half past seven.";
static const char long_text[] =
    "The ferry leaves the harbour at half past seven, and whoever stands on its deck in time sees the town grow small behind the "
    "lighthouse. In winter the water is grey and the seats are cold, so most people stay below, drink their coffee and read yesterday's "
    "paper. In summer nobody does: children count jellyfish over the railing, a man with an accordion plays the three songs that he "
    "knows, and the crossing, which takes forty minutes in any season, is over before anyone has found what they were looking for.";

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One row: `batch` copies of a text, embedded until enough runs or seconds are spent. */
static tern_status measure(tern_model *model, const char *name, const char *text, size_t batch, float *embeddings, tern_error *err) {
    tern_text texts[MAX_BATCH];
    int32_t n_tokens[MAX_BATCH];
    double times[MAX_RUNS];
    for (size_t i = 0; i < batch; i++) texts[i] = (tern_text){text, strlen(text)};
    size_t n = 0;
    double spent = 0;
    for (int run = -WARM_UPS; run < MAX_RUNS && (run < MIN_RUNS || spent < max_seconds); run++) {
        const double start = now_seconds();
        const tern_status status = tern_model_embed(model, texts, batch, NULL, embeddings, n_tokens, err);
        if (status != TERN_OK) return status;
        const double seconds = now_seconds() - start;
        if (run < 0) continue;
        times[n++] = seconds;
        spent += seconds;
    }
    qsort(times, n, sizeof *times, by_value);
    const double median = times[n / 2], tokens = (double)batch * n_tokens[0];
    printf("%-6s %6zu %7d %6zu %11.2f %9.2f %10.0f\n", name, batch, (int)n_tokens[0], n, median * 1e3, times[0] * 1e3, tokens / median);
    return TERN_OK;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: latency MODEL [THREADS]\n");
        return 2;
    }
    tern_model_options options = tern_model_options_default();
    if (argc == 3) options.threads = atoi(argv[2]);
    tern_model *model = NULL;
    tern_error err;
    const double start = now_seconds();
    if (tern_model_load(&model, argv[1], &options, &err) != TERN_OK) {
        fprintf(stderr, "latency: %s\n", err.message);
        return 1;
    }
    const double load = now_seconds() - start;
    const tern_model_info info = tern_model_get_info(model);
    printf("%s, %s, %s, %d threads; loaded in %.0f ms\n", argv[1], info.dtype, info.isa, info.threads, load * 1e3);
    printf("%-6s %6s %7s %6s %11s %9s %10s\n", "text", "batch", "tokens", "runs", "median ms", "min ms", "tokens/s");
    float *embeddings = malloc(MAX_BATCH * tern_model_embedding_size(model) * sizeof *embeddings);
    if (embeddings == NULL) {
        tern_model_free(model);
        fprintf(stderr, "latency: out of memory\n");
        return 1;
    }
    tern_status status = TERN_OK;
    for (size_t batch = 1; batch <= MAX_BATCH && status == TERN_OK; batch *= MAX_BATCH) {
        status = measure(model, "short", short_text, batch, embeddings, &err);
        if (status == TERN_OK) status = measure(model, "long", long_text, batch, embeddings, &err);
    }
    if (status != TERN_OK) fprintf(stderr, "latency: %s\n", err.message);
    free(embeddings);
    tern_model_free(model);
    return status == TERN_OK ? 0 : 1;
}
