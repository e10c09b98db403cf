/* peaks.c - see peaks.h. The loops are written with the compiler's vectors, once, and compiled for each ISA level.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/peaks.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "bench/statistics.h"

enum { CHAINS = 12, STEPS = 20000, LANES = 16, ROUNDS = 3, TRIES = 4, N_SUMS = 8 };

/* ---- Loops ----
 * Independent chains, enough to hide the latency of a multiply-add; and sums over a block, read in order. `contract` lets the compiler make
 * one instruction of a product and a sum where the level has it. */

#define DEFINE_LOOPS(level, attributes, width)                                                                                             \
    typedef float lanes_##level __attribute__((vector_size(4 * width), aligned(4 * width), may_alias));                                    \
    attributes static double chains_##level(volatile float *kept) {                                                                        \
        lanes_##level a[CHAINS], x, y;                                                                                                     \
        for (int l = 0; l < width; l++) x[l] = 0.999f, y[l] = 0.001f;                                                                      \
        for (int c = 0; c < CHAINS; c++) a[c] = x * (float)c;                                                                              \
        for (int s = 0; s < STEPS; s++) { _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) a[c] = a[c] * x + y; }                 \
        for (int c = 1; c < CHAINS; c++) a[0] += a[c];                                                                                     \
        *kept = a[0][0];                                                                                                                   \
        return 2.0 * width * CHAINS * STEPS;                                                                                               \
    }                                                                                                                                      \
    attributes static void sum_##level(volatile float *kept, const float *data, size_t n) {                                                \
        const lanes_##level *v = (const lanes_##level *)(const void *)data;                                                                \
        lanes_##level sums[N_SUMS];                                                                                                        \
        memset(sums, 0, sizeof sums);                                                                                                      \
        for (size_t i = 0; i + N_SUMS <= n / width; i += N_SUMS) {                                                                         \
            _Pragma("GCC unroll 8") for (int s = 0; s < N_SUMS; s++) sums[s] += v[i + (size_t)s];                                          \
        }                                                                                                                                  \
        for (int s = 1; s < N_SUMS; s++) sums[0] += sums[s];                                                                               \
        *kept = sums[0][0];                                                                                                                \
    }

DEFINE_LOOPS(baseline, , 4)
#if defined(__x86_64__)
DEFINE_LOOPS(avx2, __attribute__((target("avx2,fma"))), 8)
DEFINE_LOOPS(avx512, __attribute__((target("avx512f"))), 16)
#endif

typedef struct loops {
    double (*chains)(volatile float *kept);
    void (*sum)(volatile float *kept, const float *data, size_t n);
} loops;

static loops loops_of(const char *isa) {
#if defined(__x86_64__)
    if (strcmp(isa, "avx512") == 0) return (loops){chains_avx512, sum_avx512};
    if (strcmp(isa, "avx2") == 0) return (loops){chains_avx2, sum_avx2};
#endif
    (void)isa;
    return (loops){chains_baseline, sum_baseline};
}

double tern__peak_multiply_adds(const char *isa) {
    volatile float kept;
    return loops_of(isa).chains(&kept);
}

/* ---- All threads at once ---- */

typedef struct stress {
    loops loops;
    tern_thread_pool *pool;
    const float *data;   /* NULL: multiply-adds */
    size_t n, n_threads; /* floats of all threads together */
    size_t repeats;
    double flops; /* of a thread */
    int64_t ns;
} stress;

static void stress_thread(void *argument, int thread) {
    stress *s = argument;
    volatile float kept;
    const size_t share = s->n / s->n_threads / (N_SUMS * LANES) * (N_SUMS * LANES);
    tern__thread_pool_barrier(s->pool);
    const int64_t start_ns = tern__clock_ns();
    double flops = 0;
    for (size_t r = 0; r < s->repeats; r++) {
        if (s->data == NULL) flops += s->loops.chains(&kept);
        else s->loops.sum(&kept, s->data + (size_t)thread * share, share);
    }
    tern__thread_pool_barrier(s->pool);
    if (thread != 0) return;
    s->flops = flops;
    s->ns = tern__clock_ns() - start_ns;
}

/* The best of a few tries: what disturbs makes it less. `work`: per second, of all threads. */
static double best_rate(stress *s, bool is_flops) {
    double best = 0;
    for (int t = 0; t < TRIES; t++) {
        tern__thread_pool_run(s->pool, stress_thread, s);
        const size_t share = s->n / s->n_threads / (N_SUMS * LANES) * (N_SUMS * LANES);
        const double work = is_flops ? s->flops : (double)(share * sizeof(float) * s->repeats);
        best = fmax(best, work * (double)s->n_threads / (1e-9 * (double)s->ns));
    }
    return best;
}

/* The best of several rounds, since what disturbs may last longer than the tries of one. */
static tern_status measure_on(tern_peaks *out, stress *s, tern_error *err) {
    static const double kib[TERN_N_BANDWIDTHS] = {16, 64, 256, 1024, 4096, 16384, 65536, 131072}; /* of a thread */
    const size_t most = (size_t)kib[TERN_N_BANDWIDTHS - 1] * 1024; /* of all threads together, like the two before it */
    float *data = tern__alloc_aligned(most);
    if (data == NULL) return TERN_FAIL_MEMORY(err, most);
    for (size_t i = 0; i < most / sizeof *data; i++) data[i] = 1e-3f;
    for (int round = 0; round < ROUNDS; round++) {
        s->data = NULL;
        s->repeats = 20;
        out->flop_per_s = fmax(out->flop_per_s, best_rate(s, true));
        s->data = data;
        for (int i = 0; i < TERN_N_BANDWIDTHS; i++) {
            out->sizes[i] = fmin(kib[i] * 1024 * (double)(kib[i] < 4096 ? s->n_threads : 1), (double)most);
            s->n = (size_t)out->sizes[i] / sizeof *data;
            s->repeats = (size_t)fmax(1, 32e6 / out->sizes[i]);
            out->bytes_per_s[i] = fmax(out->bytes_per_s[i], best_rate(s, false));
        }
    }
    for (int i = TERN_N_BANDWIDTHS - 2; i >= 0; i--) out->bytes_per_s[i] = fmax(out->bytes_per_s[i], out->bytes_per_s[i + 1]);
    free(data);
    return TERN_OK;
}

tern_status tern__peaks_measure(tern_peaks *out, const char *isa, int threads, tern_error *err) {
    *out = (tern_peaks){0};
    stress s = {.loops = loops_of(isa), .n_threads = (size_t)threads};
    TERN_TRY(tern__thread_pool_new(&s.pool, threads, err));
    const tern_status status = measure_on(out, &s, err);
    tern__thread_pool_free(s.pool);
    return status;
}

/* ---- The roofline ---- */

const char *tern__bound_name(tern_bound bound) {
    static const char *const names[] = {"compute", "memory", "overhead", "neither"};
    return names[bound];
}

/* Between two sizes that were measured, in proportion to the logarithm. */
static double bandwidth_of(const tern_peaks *p, double size) {
    int i = 0;
    if (size <= p->sizes[0]) return p->bytes_per_s[0];
    while (i + 1 < TERN_N_BANDWIDTHS && size > p->sizes[i + 1]) i++;
    if (i + 1 == TERN_N_BANDWIDTHS) return p->bytes_per_s[i];
    const double t = log(size / p->sizes[i]) / log(p->sizes[i + 1] / p->sizes[i]);
    return p->bytes_per_s[i] + t * (p->bytes_per_s[i + 1] - p->bytes_per_s[i]);
}

static double compute_ns_of(const tern_peaks *peaks, const tern_work *work) { return 1e9 * work->flops / peaks->flop_per_s; }

static double memory_ns_of(const tern_peaks *peaks, const tern_work *work) {
    return 1e9 * (work->weight_bytes / bandwidth_of(peaks, work->weight_set) + work->other_bytes / bandwidth_of(peaks, work->other_set));
}

double tern__peaks_limit_ns(const tern_peaks *peaks, const tern_work *work) {
    return fmax(compute_ns_of(peaks, work), memory_ns_of(peaks, work));
}

tern_bound tern__peaks_bound(const tern_peaks *peaks, const tern_work *work, double ns) {
    if (ns < 3 * peaks->overhead_ns) return TERN_BOUND_OVERHEAD;
    if (tern__peaks_limit_ns(peaks, work) < 0.5 * ns) return TERN_BOUND_NEITHER;
    return compute_ns_of(peaks, work) >= memory_ns_of(peaks, work) ? TERN_BOUND_COMPUTE : TERN_BOUND_MEMORY;
}

json_t *tern__peaks_describe(const tern_peaks *peaks) {
    json_t *list = json_array();
    for (int i = 0; i < TERN_N_BANDWIDTHS; i++)
        json_array_append_new(list, json_pack("{s:f, s:f}", "bytes", peaks->sizes[i], "bytes_per_s", peaks->bytes_per_s[i]));
    return json_pack("{s:f, s:f, s:o}", "flop_per_s", peaks->flop_per_s, "overhead_us", 1e-3 * peaks->overhead_ns, "bandwidth", list);
}
