/* unit_embedding_outputs.c - what becomes of vectors: quantization and similarity, by numbers worked out by hand. Equality with
 * sentence-transformers is tests/python/test_embedding_outputs.py's.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tern.h"

/* ---- Quantization ---- */

static void test_precisions_have_names_and_sizes(void **state) {
    (void)state;
    assert_string_equal(tern_precision_name(TERN_PRECISION_UBINARY), "ubinary");
    assert_null(tern_precision_name((tern_precision)5));
    assert_int_equal(tern_precision_dtype(TERN_PRECISION_FLOAT32), TERN_DTYPE_F32);
    assert_int_equal(tern_precision_dtype(TERN_PRECISION_INT8), TERN_DTYPE_I8);
    assert_int_equal(tern_precision_dtype(TERN_PRECISION_UINT8), TERN_DTYPE_U8);
    assert_int_equal(tern_precision_dtype(TERN_PRECISION_BINARY), TERN_DTYPE_I8);
    assert_int_equal(tern_precision_dtype(TERN_PRECISION_UBINARY), TERN_DTYPE_U8);
    assert_int_equal(tern_precision_width(TERN_PRECISION_INT8, 9), 9);
    assert_int_equal(tern_precision_width(TERN_PRECISION_BINARY, 8), 1);
    assert_int_equal(tern_precision_width(TERN_PRECISION_BINARY, 9), 2);
    assert_int_equal(tern_precision_width(TERN_PRECISION_UBINARY, SIZE_MAX), SIZE_MAX / 8 + 1);
}

static void test_ranges_are_the_extremes(void **state) {
    (void)state;
    const float calibration[] = {1, -2, 3, 5, -7, 3};
    float ranges[6];
    assert_int_equal(tern_quantization_ranges(ranges, calibration, 2, 3, NULL), TERN_OK);
    const float expected[] = {1, -7, 3, 5, -2, 3};
    assert_memory_equal(ranges, expected, sizeof expected);
    tern_error err;
    assert_int_equal(tern_quantization_ranges(ranges, calibration, 0, 3, &err), TERN_E_ARGUMENT);
    const float bad[] = {1, 2, 3, INFINITY};
    assert_int_equal(tern_quantization_ranges(ranges, bad, 2, 2, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "vector 1: component 1"));
}

/* The range 0 ... 255 has steps of 1, and a range that is a point has steps of 1 from there. The highest value need not be in the last
 * bucket: in float32, 255 steps of 2 / 255 are more than 2. */
static void test_bytes_are_buckets(void **state) {
    (void)state;
    const float ranges[] = {0, -1, 0, 255, 1, 0}, vectors[] = {0, -1, 0, 254.99f, 1, 2.5f, 300, 0, -3, -5, -0.999f, 0.5f};
    const uint8_t expected[] = {0, 0, 0, 254, 254, 2, 255, 127, 0, 0, 0, 0};
    uint8_t bytes[12];
    int8_t signed_bytes[12];
    assert_int_equal(tern_quantize(bytes, TERN_PRECISION_UINT8, vectors, 4, 3, ranges, NULL), TERN_OK);
    assert_memory_equal(bytes, expected, sizeof expected);
    assert_int_equal(tern_quantize(signed_bytes, TERN_PRECISION_INT8, vectors, 4, 3, ranges, NULL), TERN_OK);
    for (int i = 0; i < 12; i++) assert_int_equal(signed_bytes[i], (int)expected[i] - 128);
    const float far[] = {INFINITY, -INFINITY, 1};
    assert_int_equal(tern_quantize(bytes, TERN_PRECISION_UINT8, far, 1, 3, ranges, NULL), TERN_OK);
    assert_true(bytes[0] == 255 && bytes[1] == 0 && bytes[2] == 1);
}

static void test_bits_are_packed_from_the_highest(void **state) {
    (void)state;
    const float vectors[] = {1, 0, -1, 0.5f, 0, 0, 0, 2, 3, -0.0f, -1, -1, -1, -1, -1, -1, -1, -1, NAN, 1};
    const uint8_t expected[] = {0x91, 0x80, 0x00, 0x40};
    uint8_t bits[4];
    int8_t signed_bits[4];
    assert_int_equal(tern_quantize(bits, TERN_PRECISION_UBINARY, vectors, 2, 10, NULL, NULL), TERN_OK);
    assert_memory_equal(bits, expected, sizeof expected);
    assert_int_equal(tern_quantize(signed_bits, TERN_PRECISION_BINARY, vectors, 2, 10, NULL, NULL), TERN_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(signed_bits[i], (int)expected[i] - 128);
    float copy[20];
    assert_int_equal(tern_quantize(copy, TERN_PRECISION_FLOAT32, vectors, 2, 10, NULL, NULL), TERN_OK);
    assert_memory_equal(copy, vectors, sizeof vectors);
}

static void test_quantization_refuses(void **state) {
    (void)state;
    const float vectors[] = {1, 2, NAN, 4}, ranges[] = {0, 0, 5, 5};
    uint8_t bytes[4];
    tern_error err;
    assert_int_equal(tern_quantize(bytes, TERN_PRECISION_INT8, vectors, 1, 2, NULL, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "tern_quantization_ranges"));
    assert_int_equal(tern_quantize(bytes, TERN_PRECISION_UINT8, vectors, 2, 2, ranges, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "vector 1: component 0"));
    assert_int_equal(tern_quantize(bytes, (tern_precision)7, vectors, 1, 2, ranges, &err), TERN_E_ARGUMENT);
    assert_int_equal(tern_quantize(bytes, TERN_PRECISION_UINT8, vectors, 0, 2, ranges, &err), TERN_OK);
}

/* ---- Similarity ---- */

static void test_similarity_functions(void **state) {
    (void)state;
    const float a[] = {1, 0, 0, 3, 4, 0}, b[] = {2, 0, 0, 0, 0, 0};
    static const float expected[4][4] = {{1, 0, 0.6f, 0}, {2, 0, 6, 0}, {-1, -1, -4.1231056f, -5}, {-1, -1, -5, -7}};
    float out[4], pairs[2];
    for (int f = 0; f < 4; f++) {
        assert_int_equal(tern_similarity(out, (tern_similarity_function)f, a, 2, b, 2, 3, NULL), TERN_OK);
        for (int i = 0; i < 4; i++) assert_true(out[i] == expected[f][i]);
        assert_int_equal(tern_pairwise_similarity(pairs, (tern_similarity_function)f, a, b, 2, 3, NULL), TERN_OK);
        assert_true(pairs[0] == expected[f][0] && pairs[1] == expected[f][3]);
    }
    tern_error err;
    assert_int_equal(tern_similarity(out, (tern_similarity_function)4, a, 2, b, 2, 3, &err), TERN_E_ARGUMENT);
    assert_int_equal(tern_pairwise_similarity(out, (tern_similarity_function)-1, a, b, 2, 3, &err), TERN_E_ARGUMENT);
    assert_string_equal(tern_similarity_function_name(TERN_SIMILARITY_MANHATTAN), "manhattan");
    assert_null(tern_similarity_function_name((tern_similarity_function)4));
}

/* Not a multiple of the sums' lanes, and a matrix that is not square. */
static void test_similarity_of_any_width(void **state) {
    (void)state;
    float a[3 * 21], b[21], out[3];
    for (int i = 0; i < 63; i++) a[i] = (float)(i % 21 + 1);
    for (int i = 0; i < 21; i++) b[i] = 1;
    assert_int_equal(tern_similarity(out, TERN_SIMILARITY_DOT, a, 3, b, 1, 21, NULL), TERN_OK);
    for (int i = 0; i < 3; i++) assert_true(out[i] == 231); /* 1 + 2 + ... + 21 */
    assert_int_equal(tern_similarity(out, TERN_SIMILARITY_MANHATTAN, b, 1, a, 3, 21, NULL), TERN_OK);
    for (int i = 0; i < 3; i++) assert_true(out[i] == -210);
}

static void test_maxsim(void **state) {
    (void)state;
    const float query[] = {1, 0, 0, -1}, document[] = {0.5f, 2, -3, 1, 0.25f, 0.5f};
    assert_true(tern_maxsim(query, 2, document, 3, 2) == 0.5f - 0.5f);
    assert_true(tern_maxsim(query, 1, document, 2, 2) == 0.5f);
    assert_true(tern_maxsim(query + 2, 1, document, 1, 2) == -2); /* the largest may be negative */
    assert_true(tern_maxsim(query, 2, document, 0, 2) == -1e9f);
    assert_true(tern_maxsim(query, 0, document, 2, 2) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precisions_have_names_and_sizes),
        cmocka_unit_test(test_ranges_are_the_extremes),
        cmocka_unit_test(test_bytes_are_buckets),
        cmocka_unit_test(test_bits_are_packed_from_the_highest),
        cmocka_unit_test(test_quantization_refuses),
        cmocka_unit_test(test_similarity_functions),
        cmocka_unit_test(test_similarity_of_any_width),
        cmocka_unit_test(test_maxsim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
