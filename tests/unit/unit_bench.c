/* unit_bench.c - the benchmark's arithmetic against values worked out by hand, its texts, and the costs of a program against an
 * independent count.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/corpus.h"
#include "bench/machine.h"
#include "bench/op_program.h"
#include "bench/peaks.h"
#include "bench/statistics.h"
#include "device/device.h"

#define N_OF(array) (sizeof(array) / sizeof *(array))

#define assert_near(value, wanted, bound) assert_true(fabs((value) - (wanted)) <= (bound))

/* ---- Statistics ---- */

static void test_quantile(void **state) {
    (void)state;
    const double one[] = {7}, four[] = {1, 2, 4, 8};
    assert_near(tern__quantile(one, 1, 0.9), 7, 0);
    assert_near(tern__quantile(four, 4, 0), 1, 0);
    assert_near(tern__quantile(four, 4, 1), 8, 0);
    assert_near(tern__quantile(four, 4, 0.5), 3, 1e-15);   /* rank 1.5: between 2 and 4 */
    assert_near(tern__quantile(four, 4, 0.9), 6.8, 1e-12); /* rank 2.7: 4 + 0.7 * 4 */
    assert_near(tern__quantile(four, 4, 0.1), 1.3, 1e-12); /* rank 0.3 */
}

static void test_median_ranks(void **state) {
    /* n, the rank: of the binomial distribution's tables; 5 samples are too few, since 2 * 2^-5 > 0.05 */
    static const size_t cases[][2] = {{1, 1}, {5, 1}, {6, 1}, {8, 1}, {9, 2}, {10, 2}, {20, 6}, {25, 8}, {50, 18}, {100, 40}};
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        size_t low, high;
        tern__median_ranks(cases[i][0], &low, &high);
        assert_int_equal(low, cases[i][1]);
        assert_int_equal(high, cases[i][0] + 1 - cases[i][1]);
    }
    size_t low, high;
    tern__median_ranks(10000, &low, &high); /* the normal approximation: (10000 - 196) / 2 */
    assert_int_equal(low, 4902);
    assert_int_equal(high, 5099);
}

static void test_summary(void **state) {
    (void)state;
    const double samples[] = {5, 1, 4, 2, 3, 9, 8, 7, 6, 10};
    tern_summary s;
    assert_true(tern__summarize(&s, samples, N_OF(samples)));
    assert_int_equal(s.n, 10);
    assert_near(s.min, 1, 0);
    assert_near(s.max, 10, 0);
    assert_near(s.mean, 5.5, 1e-15);
    assert_near(s.median, 5.5, 1e-15);
    assert_near(s.p10, 1.9, 1e-12);
    assert_near(s.p90, 9.1, 1e-12);
    assert_near(s.p99, 9.91, 1e-12);
    assert_near(s.sd, 3.0276503540974917, 1e-12); /* sqrt(82.5 / 9) */
    assert_near(s.median_low, 2, 0);
    assert_near(s.median_high, 9, 0);
    assert_true(tern__summarize(&s, samples, 1));
    assert_near(s.sd, 0, 0);
    assert_near(s.median_low, 5, 0);
}

static void test_shift(void **state) {
    (void)state;
    /* a's rank sum is 1 + 2 + 4 + 5 + 8 = 20, so U = 20 - 15 = 5; of the C(11, 5) = 462 orders 1 + 1 + 2 + 3 + 5 + 7 = 19 have at most
     * that: p = 38 / 462. U <= 3 has probability 7 / 462 <= 0.025, U <= 4 has 12 / 462: the interval goes from the 4th ratio to the 27th.
     */
    const double a[] = {5.1, 1.1, 2.3, 3.7, 2.9}, b[] = {7.2, 2.5, 8.1, 3.9, 4.4, 6.0};
    tern_shift s;
    assert_true(tern__shift_of(&s, a, N_OF(a), b, N_OF(b)));
    assert_near(s.p, 38.0 / 462, 1e-12);
    assert_near(s.ratio, (3.9 / 2.3 + 4.4 / 2.3) / 2, 1e-12);
    assert_near(s.low, 2.5 / 2.9, 1e-12);
    assert_near(s.high, 4.4 / 1.1, 1e-12);
    /* Ties: U = 5, group sizes 3, 2 (of the 2s and 4s): variance 5 * 6 / 12 (12 - (24 + 6) / 110); z = (15 - 5 - 0.5) / 5.41... */
    const double c[] = {1, 2, 2, 3, 5}, d[] = {2, 4, 4, 6, 7, 8};
    assert_true(tern__shift_of(&s, c, N_OF(c), d, N_OF(d)));
    assert_near(s.p, 0.07934368319771502, 1e-12); /* scipy.stats.mannwhitneyu, asymptotic */
    assert_true(tern__shift_of(&s, a, N_OF(a), a, N_OF(a)));
    assert_near(s.p, 1, 0);
    assert_near(s.ratio, 1, 0.1);
    assert_true(tern__shift_of(&s, a, 1, b, 1)); /* nothing to be said of one each */
    assert_near(s.p, 1, 0);
}

/* Many samples, by the approximation: b is a tenth slower. */
static void test_shift_of_many(void **state) {
    enum { N = 5000 };
    (void)state;
    static double a[N], b[N];
    for (int i = 0; i < N; i++) {
        a[i] = 1 + (double)(i * 7919 % N) / N;
        b[i] = 1.1 * (1 + (double)(i * 104729 % N) / N);
    }
    tern_shift s;
    assert_true(tern__shift_of(&s, a, N, b, N));
    assert_near(s.ratio, 1.1, 0.002);
    assert_true(s.low < s.ratio && s.ratio < s.high && s.high - s.low < 0.03 && s.p < 1e-10);
    assert_true(tern__shift_of(&s, a, N, a, N));
    assert_near(s.p, 1, 1e-12);
}

static void test_power_law(void **state) {
    (void)state;
    const double x[] = {1, 2, 4, 8}, exact[] = {3, 3 * 2.8284271247461903, 24, 3 * 22.627416997969522}, bent[] = {1, 1, 4, 4};
    tern_power_law law;
    assert_true(tern__fit_power_law(&law, x, exact, 4)); /* 3 x^1.5 */
    assert_near(law.exponent, 1.5, 1e-12);
    assert_near(law.factor, 3, 1e-12);
    assert_near(law.r_squared, 1, 1e-12);
    /* In units of log 2: x 0 1 2 3, y 0 0 2 2; sums of products about the means 1.5 and 1: xy 4, xx 5, yy 4 */
    assert_true(tern__fit_power_law(&law, x, bent, 4));
    assert_near(law.exponent, 0.8, 1e-12);
    assert_near(law.r_squared, 0.8, 1e-12);
    const double same[] = {2, 2, 2, 8};
    assert_false(tern__fit_power_law(&law, same, exact, 4)); /* two values of x make any line */
    assert_false(tern__fit_power_law(&law, x, exact, 2));
}

static void test_holm(void **state) {
    (void)state;
    double p[] = {0.01, 0.04, 0.03, 0.005, 0.9};
    assert_true(tern__adjust_holm(p, 5)); /* 0.005 * 5, 0.01 * 4, 0.03 * 3, max(0.09, 0.04 * 2), 0.9 */
    const double wanted[] = {0.04, 0.09, 0.09, 0.025, 0.9};
    for (size_t i = 0; i < 5; i++) assert_near(p[i], wanted[i], 1e-15);
    double one = 0.3;
    assert_true(tern__adjust_holm(&one, 1) && tern__adjust_holm(&one, 0));
    assert_near(one, 0.3, 0);
}

/* ---- Texts ---- */

static size_t count_chars(tern_text text) {
    size_t n = 0;
    for (size_t i = 0; i < text.bytes; i++) n += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return n;
}

static void test_corpus(void **state) {
    enum { N = 300 };
    static const size_t lengths[] = {1, 2, 50, 500, 3256, 10000};
    (void)state;
    tern_text texts[N], alone;
    for (size_t l = 0; l < N_OF(lengths); l++) {
        char *storage, *other;
        const size_t n = lengths[l] > 1000 ? 3 : N;
        assert_true(tern__corpus_cut(texts, &storage, n, lengths[l]));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(count_chars(texts[i]), lengths[l]);
            assert_true(((unsigned char)texts[i].data[0] & 0xC0) != 0x80); /* whole code points only */
        }
        assert_memory_equal(texts[0].data, "The night train to the coast", lengths[l] < 28 ? lengths[l] : 28);
        assert_true(tern__corpus_cut(&alone, &other, 1, lengths[l])); /* a text does not depend on its company */
        assert_int_equal(alone.bytes, texts[0].bytes);
        assert_memory_equal(alone.data, texts[0].data, alone.bytes);
        free(storage);
        free(other);
    }
    char *storage;
    assert_true(tern__corpus_cut(texts, &storage, 2, 50));
    assert_true(memcmp(texts[0].data, texts[1].data, 50) != 0);
    free(storage);
    assert_false(tern__corpus_cut(texts, &storage, 2, SIZE_MAX / 2));
}

/* ---- The roofline ---- */

static const tern_peaks flat = {.flop_per_s = 1e9,
                                .sizes = {1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10},
                                .bytes_per_s = {8e9, 7e9, 6e9, 5e9, 4e9, 3e9, 2e9, 1e9},
                                .overhead_ns = 10};

static void test_roofline(void **state) {
    (void)state;
    const tern_work sums = {.flops = 1e6, .other_bytes = 1e3, .other_set = 1e3}; /* 1 ms against 125 ns */
    assert_near(tern__peaks_limit_ns(&flat, &sums), 1e6, 1e-6);
    assert_int_equal(tern__peaks_bound(&flat, &sums, 1.9e6), TERN_BOUND_COMPUTE);
    assert_int_equal(tern__peaks_bound(&flat, &sums, 2.1e6), TERN_BOUND_NEITHER); /* less than half of the limit */
    const tern_work reads = {.flops = 1, .weight_bytes = 4e6, .weight_set = 1e7, .other_bytes = 8e3, .other_set = 10};
    assert_near(tern__peaks_limit_ns(&flat, &reads), 1e6 + 1e3, 1e-6); /* 4 GB/s where the weights fit, 8 GB/s below the first size */
    assert_int_equal(tern__peaks_bound(&flat, &reads, 1.1e6), TERN_BOUND_MEMORY);
    const tern_work far = {.other_bytes = 1e3, .other_set = 1e12}, between = {.other_bytes = 6.5e3, .other_set = 3.1622776601683795e4};
    assert_near(tern__peaks_limit_ns(&flat, &far), 1e3, 1e-6);     /* beyond the last size: the last */
    assert_near(tern__peaks_limit_ns(&flat, &between), 1e3, 1e-6); /* half way between 1e4 and 1e5 in the logarithm */
    assert_int_equal(tern__peaks_bound(&flat, &sums, 29), TERN_BOUND_OVERHEAD);
}

static void test_peaks(void **state) {
    (void)state;
    tern_peaks peaks;
    tern_error err;
    assert_int_equal(tern__peaks_measure(&peaks, "none that is known", 2, &err), TERN_OK); /* the baseline */
    assert_true(peaks.flop_per_s > 1e8);
    for (int i = 0; i < TERN_N_BANDWIDTHS; i++) {
        assert_true(peaks.bytes_per_s[i] > 1e7);
        if (i > 0) assert_true(peaks.bytes_per_s[i] <= peaks.bytes_per_s[i - 1] && peaks.sizes[i] >= peaks.sizes[i - 1]);
    }
}

/* In every case the op is there, core or fused, and costs what a count by hand gives. */
static void test_op_cases(void **state) {
    (void)state;
    tern_op_case cases[TERN_N_OPS];
    const size_t n = tern__op_cases(cases, "tiny", 32, 64, 4);
    assert_int_equal(n, TERN_N_OPS - 2);
    for (size_t i = 0; i < n; i++) {
        tern_program *program;
        tern_value result;
        tern_error err;
        cases[i].tokens = 5;
        cases[i].batch = 3;
        assert_int_equal(tern__op_program(&program, &result, &cases[i], &err), TERN_OK);
        assert_int_equal(tern__program_fuse(program, tern__device_cpu.supports, NULL, &err), TERN_OK);
        const int32_t node = tern__op_node(program, result, cases[i].op);
        assert_true(node >= 0);
        const tern_rows rows = {.rows = {15, 3, 3}, .pairs = 75};
        const tern_cost cost = tern__node_cost(program, &program->nodes[node], &rows);
        if (cases[i].op == TERN_OP_LINEAR_ADD) { /* [15, 64] x [64, 32], a bias and a residual; 2048 + 32 weights */
            assert_near(cost.flops, 15 * 32 * (2 * 64 + 2), 0);
            assert_near(cost.weight_bytes, 4 * (64 * 32 + 32), 0);
            assert_near(cost.bytes, cost.weight_bytes + 4 * 15 * (64 + 32 + 32), 0);
        }
        if (cases[i].op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION) assert_near(cost.flops, 75 * 32 * 4 + 75 * 4 * 5, 0);
        assert_true(cost.bytes > 0 && cost.weight_bytes <= cost.bytes);
        tern__program_free(program);
    }
}

/* ---- Costs ---- */

static tern_profile profile_of(const char *folder, size_t n_texts, size_t n_chars) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TERN_TEST_DATA, folder);
    tern_model *model;
    tern_error err;
    assert_int_equal(tern_model_load(&model, path, NULL, &err), TERN_OK);
    tern_text texts[8];
    char *storage;
    tern_profile profile;
    assert_true(tern__corpus_cut(texts, &storage, n_texts, n_chars));
    assert_int_equal(tern_model_profile(&profile, model, texts, n_texts, NULL, &err), TERN_OK);
    free(storage);
    tern_model_free(model);
    return profile;
}

static void test_profile(void **state) {
    (void)state;
    tern_profile profile = profile_of("golden/tiny/gelu-1-layer", 3, 40);
    assert_int_equal(profile.n_texts, 3);
    assert_true(profile.n_tokens > 3 && profile.longest <= profile.n_tokens && profile.n_tokens <= 3 * profile.longest);
    double flops = 0, bytes = 0;
    int64_t ns = 0;
    for (size_t i = 0; i < profile.n_ops; i++) {
        assert_true(profile.ops[i].rows == profile.n_tokens || profile.ops[i].rows == 3);
        flops += profile.ops[i].flops;
        bytes += profile.ops[i].bytes;
        assert_true(profile.ops[i].ns >= -1);
        ns += profile.ops[i].ns > 0 ? profile.ops[i].ns : 0;
    }
    assert_true(profile.ops[profile.n_ops - 1].ns >= 0); /* no time is left over */
    assert_true(profile.is_timed && ns > 0);
    assert_near(profile.flops, flops, 0);
    assert_near(profile.bytes, bytes, 0);
    assert_true(profile.packed_bytes > 0 && profile.workspace_bytes > 0);
    tern_profile_free(&profile);
    assert_null(profile.ops);
}

static void test_profile_refuses(void **state) {
    (void)state;
    tern_model *model;
    tern_error err;
    assert_int_equal(tern_model_load(&model, TERN_TEST_DATA "/golden/tiny/gelu-1-layer", NULL, &err), TERN_OK);
    tern_profile profile;
    assert_int_equal(tern_model_profile(&profile, model, NULL, 0, NULL, &err), TERN_E_ARGUMENT);
    const tern_text bad = {"a\xff", 2};
    assert_int_equal(tern_model_profile(&profile, model, &bad, 1, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "text 0"));
    assert_null(profile.ops);
    tern_model_free(model);
}

/* The stages of a call are parts of it. */
static void test_stage_times(void **state) {
    (void)state;
    tern_model *model;
    tern_error err;
    assert_int_equal(tern_model_load(&model, TERN_TEST_DATA "/golden/tiny/gelu-1-layer", NULL, &err), TERN_OK);
    tern_text texts[8];
    char *storage;
    assert_true(tern__corpus_cut(texts, &storage, 8, 100));
    float *vectors = malloc(8 * tern_model_embedding_size(model) * sizeof *vectors);
    assert_non_null(vectors);
    tern_stage_times times = {.tokenize_ns = -1};
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = 1; /* a run for each text: their times are added */
    options.times = &times;
    assert_int_equal(tern_model_embed(model, texts, 8, &options, vectors, NULL, &err), TERN_OK);
    assert_true(times.tokenize_ns > 0 && times.pack_ns > 0 && times.compute_ns > 0 && times.result_ns >= 0);
    free(vectors);
    free(storage);
    tern_model_free(model);
}

/* ---- Energy ---- */

static void write_counter(const char *root, const char *zone, const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, zone);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", root, zone, file);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void write_zone(const char *root, const char *zone, const char *name, const char *uj) {
    write_counter(root, zone, "name", name);
    write_counter(root, zone, "energy_uj", uj);
    write_counter(root, zone, "max_energy_range_uj", "1000000\n");
}

static void remove_zone(const char *root, const char *zone) {
    static const char *const files[] = {"/name", "/energy_uj", "/max_energy_range_uj", ""};
    char path[256];
    for (size_t i = 0; i < N_OF(files); i++) {
        snprintf(path, sizeof path, "%s/%s%s", root, zone, files[i]);
        assert_int_equal(remove(path), 0);
    }
}

/* Two packages, of which one begins anew; the platform's own zone is not counted beside them. */
static void test_energy(void **state) {
    (void)state;
    char root[] = "/tmp/tern-powercap-XXXXXX";
    assert_non_null(mkdtemp(root));
    tern_energy before, after;
    assert_false(tern__energy_read(&before, root));
    write_zone(root, "intel-rapl:0", "package-0\n", "250000\n");
    write_zone(root, "intel-rapl:1", "psys\n", "5\n");
    write_zone(root, "intel-rapl:2", "package-1\n", "900000\n");
    assert_true(tern__energy_read(&before, root));
    assert_int_equal(before.n_packages, 2);
    write_counter(root, "intel-rapl:0", "energy_uj", "750000\n");
    write_counter(root, "intel-rapl:1", "energy_uj", "900000\n");
    write_counter(root, "intel-rapl:2", "energy_uj", "100000\n");
    assert_true(tern__energy_read(&after, root));
    assert_near(tern__energy_joules(&before, &after), 0.5 + 0.2, 1e-12);
    for (int zone = 0; zone < 3; zone++) {
        char name[32];
        snprintf(name, sizeof name, "intel-rapl:%d", zone);
        remove_zone(root, name);
    }
    assert_int_equal(remove(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantile),        cmocka_unit_test(test_median_ranks),  cmocka_unit_test(test_summary),
        cmocka_unit_test(test_shift),           cmocka_unit_test(test_shift_of_many), cmocka_unit_test(test_holm),
        cmocka_unit_test(test_power_law),       cmocka_unit_test(test_roofline),      cmocka_unit_test(test_peaks),
        cmocka_unit_test(test_op_cases),        cmocka_unit_test(test_corpus),        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_profile_refuses), cmocka_unit_test(test_stage_times),   cmocka_unit_test(test_energy),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
