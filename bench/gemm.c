/* gemm.c - the matrix product of the CPU device against what the processor can do: GFLOP/s for the shapes of BERT-base and MiniLM and the
 * share of the peak, which is measured too, by multiply-adds that touch no memory.
 *
 *     gemm [ISA [THREADS [SECONDS]]]        default: the best level, 1 thread, 0.5 s a shape
 *
 * With one thread, time is the thread's processor time, so that other work on the machine disturbs less; with more, it is wall time.
 * With few rows the weights come from memory (as many copies are used in turn as make 64 MB), with many from the caches.
 * Median, best, and the 10th and 90th percentile of the samples.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/peaks.h"
#include "device/cpu/cpu.h"
#include "device/cpu/isa.h"

enum { MAX_SAMPLES = 2000, MIN_SAMPLES = 5 };

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- The peak ---- */

/* GFLOP/s of one thread, the median of many short tries: clocks rise and fall, so it is measured anew beside each shape. */
static double measure_peak(tern_isa isa) {
    double rates[301];
    for (int i = 0; i < 301; i++) {
        const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        const double flops = tern__peak_multiply_adds(tern__isa_name(isa));
        rates[i] = flops / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - start) * 1e-9;
    }
    qsort(rates, 301, sizeof *rates, by_value);
    return rates[150];
}

/* ---- A shape ---- */

typedef struct product {
    const tern_kernels *kernels;
    tern_isa isa;
    tern_thread_pool *pool;
    tern_gemm gemm;
    size_t n_rows, panel_floats, n_copies;
} product;

static void multiply_copies(void *argument, int thread) {
    const product *p = argument;
    tern_tasks tasks = tern__tasks_begin(p->pool, thread);
    for (size_t copy = 0; copy < p->n_copies; copy++) {
        tern_gemm g = p->gemm;
        g.panels += copy * p->panel_floats;
        tern__cpu_gemm(p->kernels, &g, p->n_rows, &tasks);
        tern__tasks_wait(&tasks);
    }
}

static float *new_floats(size_t n) {
    float *floats = tern__cpu_alloc(n * sizeof *floats);
    if (floats == NULL) {
        fprintf(stderr, "gemm: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++) floats[i] = (float)(i * 2654435761u % 1024) / 1024.0f - 0.5f;
    return floats;
}

/* The stride that the planner gives to rows. */
static size_t row_stride(size_t width) {
    const size_t stride = (width + 15) / 16 * 16;
    return stride % 256 == 0 ? stride + 16 : stride;
}

static void measure(product *p, size_t m, size_t n, size_t k, double max_seconds) {
    static double times[MAX_SAMPLES];
    const size_t nr = p->kernels->nr, n_panels = (n + nr - 1) / nr;
    const clockid_t clock = tern__thread_pool_size(p->pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    p->n_rows = m;
    p->panel_floats = n_panels * nr * k;
    p->n_copies = m < 32 ? ((size_t)16 << 20) / p->panel_floats + 1 : 1;
    float *x = new_floats(m * row_stride(k)), *y = new_floats(m * row_stride(n)), *bias = new_floats(n_panels * nr);
    float *panels = new_floats(p->panel_floats * p->n_copies);
    p->gemm = (tern_gemm){.x = x,
                          .ldx = row_stride(k),
                          .panels = panels,
                          .bias = bias,
                          .k = k,
                          .n = n,
                          .y = y,
                          .ldy = row_stride(n),
                          .activation = TERN_OP_INPUT};
    size_t n_samples = 0;
    const double begin = seconds_of(CLOCK_MONOTONIC);
    tern__thread_pool_run(p->pool, multiply_copies, p);
    while (n_samples < MAX_SAMPLES && (n_samples < MIN_SAMPLES || seconds_of(CLOCK_MONOTONIC) - begin < max_seconds)) {
        const double start = seconds_of(clock);
        tern__thread_pool_run(p->pool, multiply_copies, p);
        times[n_samples++] = (seconds_of(clock) - start) / (double)p->n_copies;
    }
    qsort(times, n_samples, sizeof *times, by_value);
    const double peak = measure_peak(p->isa) * tern__thread_pool_size(p->pool);
    const double flops = 2.0 * (double)m * (double)n * (double)k * 1e-9;
    printf("%5zu %5zu %5zu %8.1f %8.1f %6.1f%% %8.1f %8.1f %8.1f %7.1f\n", m, n, k, peak, flops / times[n_samples / 2],
           100 * flops / times[n_samples / 2] / peak, flops / times[0], flops / times[n_samples * 9 / 10], flops / times[n_samples / 10],
           (double)(n * k) * 4e-9 / times[n_samples / 2]);
    free(x);
    free(y);
    free(bias);
    free(panels);
}

int main(int argc, char **argv) {
    static const size_t shapes[][3] = {{1, 768, 768},    {4, 768, 768},    {12, 768, 768},   {12, 2304, 768},  {12, 768, 3072},
                                       {12, 3072, 768},  {14, 3072, 768},  {23, 3072, 768},  {28, 3072, 768},  {100, 768, 768},
                                       {300, 768, 768},  {300, 2304, 768}, {300, 3072, 768}, {300, 768, 3072}, {512, 384, 384},
                                       {512, 1536, 384}, {512, 384, 1536}};
    tern_isa isa;
    tern_error err;
    tern_kernels kernels;
    product p = {.kernels = &kernels};
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    if (tern__isa_choose(&isa, argc > 1 ? argv[1] : NULL, &err) != TERN_OK || tern__thread_pool_new(&p.pool, threads, &err) != TERN_OK) {
        fprintf(stderr, "gemm: %s\n", err.message);
        return 1;
    }
    tern__isa_kernels(isa, &kernels);
    char processor[64];
    tern__processor_name(processor, sizeof processor);
    p.isa = isa;
    printf("%s, %s, %d thread%s, tile %zu x %zu\n", processor, kernels.isa, threads, threads == 1 ? "" : "s", kernels.mr, kernels.nr);
    printf("%5s %5s %5s %8s %8s %7s %8s %8s %8s %7s\n", "m", "n", "k", "peak", "GFLOP/s", "of peak", "best", "p10", "p90", "GB/s");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        measure(&p, shapes[s][0], shapes[s][1], shapes[s][2], argc > 3 ? atof(argv[3]) : 0.5);
    tern__thread_pool_free(p.pool);
    return 0;
}
