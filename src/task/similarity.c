/* similarity.c - how alike vectors are: the functions of sentence-transformers, with sums in double.
 * Source: sentence-transformers 6.2, sentence_transformers/util/similarity.py. Sums run over eight places at once, in an order that depends
 * on the width alone. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/error.h"
#include "tern.h"

static const char *const function_names[] = {"cosine", "dot", "euclidean", "manhattan"}; /* in the order of tern_similarity_function */

static bool is_similarity(tern_similarity_function function) { return (unsigned)function < sizeof function_names / sizeof *function_names; }

const char *tern_similarity_function_name(tern_similarity_function function) {
    return is_similarity(function) ? function_names[function] : NULL;
}

/* ---- Sums over two vectors ---- */

enum { LANES = 8 };

static double sum_lanes(const double lanes[LANES]) {
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

/* Of term(x, y) over the places of a and b. */
#define DEFINE_SUM(name, term)                                                                                                             \
    static double name(const float *a, const float *b, size_t width) {                                                                     \
        double lanes[LANES] = {0};                                                                                                         \
        size_t i = 0;                                                                                                                      \
        for (; i + LANES <= width; i += LANES)                                                                                             \
            for (size_t l = 0; l < LANES; l++) {                                                                                           \
                const double x = (double)a[i + l], y = (double)b[i + l];                                                                   \
                lanes[l] += term;                                                                                                          \
            }                                                                                                                              \
        for (size_t l = 0; i < width; i++, l++) {                                                                                          \
            const double x = (double)a[i], y = (double)b[i];                                                                               \
            lanes[l] += term;                                                                                                              \
        }                                                                                                                                  \
        return sum_lanes(lanes);                                                                                                           \
    }

DEFINE_SUM(sum_products, x *y)
DEFINE_SUM(sum_squared_differences, (x - y) * (x - y))
DEFINE_SUM(sum_absolute_differences, fabs(x - y))

static double vector_length(const float *a, size_t width) { return sqrt(sum_products(a, a, width)); }

/* lengths: the product of those of a and b; of the cosine only. */
static float compare_vectors(tern_similarity_function function, const float *a, const float *b, size_t width, double lengths) {
    switch (function) {
    case TERN_SIMILARITY_COSINE:
        return lengths > 0 ? (float)(sum_products(a, b, width) / lengths) : 0.0f;
    case TERN_SIMILARITY_DOT:
        return (float)sum_products(a, b, width);
    case TERN_SIMILARITY_EUCLIDEAN:
        return (float)(0.0 - sqrt(sum_squared_differences(a, b, width)));
    case TERN_SIMILARITY_MANHATTAN:
        return (float)(0.0 - sum_absolute_differences(a, b, width));
    }
    return 0.0f;
}

/* ---- The calls ---- */

static tern_status check_similarity(tern_similarity_function function, tern_error *err) {
    if (is_similarity(function)) return TERN_OK;
    return TERN_FAIL(err, TERN_E_ARGUMENT, "function is %d, which is no tern_similarity_function", (int)function);
}

tern_status tern_similarity(float *out, tern_similarity_function function, const float *a, size_t n_a, const float *b, size_t n_b,
                            size_t width, tern_error *err) {
    TERN_TRY(check_similarity(function, err));
    const bool is_cosine = function == TERN_SIMILARITY_COSINE;
    for (size_t j = 0; j < n_b; j++) {
        const float *right = b + j * width;
        const double right_length = is_cosine ? vector_length(right, width) : 0;
        for (size_t i = 0; i < n_a; i++) {
            const float *left = a + i * width;
            const double lengths = is_cosine ? vector_length(left, width) * right_length : 0;
            out[i * n_b + j] = compare_vectors(function, left, right, width, lengths);
        }
    }
    return TERN_OK;
}

tern_status tern_pairwise_similarity(float *out, tern_similarity_function function, const float *a, const float *b, size_t n, size_t width,
                                     tern_error *err) {
    TERN_TRY(check_similarity(function, err));
    for (size_t i = 0; i < n; i++) {
        const float *left = a + i * width, *right = b + i * width;
        const double lengths = function == TERN_SIMILARITY_COSINE ? vector_length(left, width) * vector_length(right, width) : 0;
        out[i] = compare_vectors(function, left, right, width, lengths);
    }
    return TERN_OK;
}

float tern_maxsim(const float *query, size_t n_query_tokens, const float *document, size_t n_document_tokens, size_t width) {
    if (n_document_tokens == 0) return -1e9f;
    double sum = 0;
    for (size_t q = 0; q < n_query_tokens; q++) {
        double best = -INFINITY;
        for (size_t d = 0; d < n_document_tokens; d++) best = fmax(best, sum_products(query + q * width, document + d * width, width));
        sum += best;
    }
    return (float)sum;
}
