/* unit_op_conformance.c - every op of ops.def on a device, against double arithmetic (reference_ops.h): odd and even sizes, each weight
 * dtype; as core ops and as the fused ops that they become. The CPU device runs at each ISA level that this machine has, with one and two
 * threads; the environment's TERN_TEST_DEVICE names another device ("cuda:0"), and TERN_TEST_DTYPE what it computes in ("bfloat16").
 *
 * A case is a tiny program. Its core form runs in double, for the values and the error that is allowed; then both forms run on every
 * device. What is printed: for each op the most of its bound that any element used. An op that no case ran fails the test.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "reference_ops.h"

#define EPS 1e-5f

/* ---- Devices ---- */

enum { MAX_DEVICES = 6 };
static const tern_device_record *record = &tern__device_cpu;
static const reference_dtype *precision = &reference_dtypes[0];
static void *devices[MAX_DEVICES];
static size_t n_devices;

static int open_cpu(void) {
    static const char *const levels[] = {"scalar", "avx2", "avx512"};
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++)
        for (int threads = 1; threads <= 2; threads++) {
            tern_error err;
            const tern_device_options options = {.threads = threads, .isa = levels[l]};
            if (record->open(&devices[n_devices], &options, &err) != TERN_OK) {
                if (threads == 1) print_message("not run here: %s\n", err.message);
                continue;
            }
            assert_string_equal(record->properties(devices[n_devices]).isa, levels[l]);
            assert_int_equal(record->properties(devices[n_devices]).threads, threads);
            n_devices++;
        }
    return n_devices >= 2 ? 0 : -1;
}

static int open_devices(void **state) {
    (void)state;
    const char *name = getenv("TERN_TEST_DEVICE"), *dtype_name = getenv("TERN_TEST_DTYPE");
    const size_t n_dtypes = sizeof reference_dtypes / sizeof *reference_dtypes;
    size_t d = 0;
    while (dtype_name != NULL && d < n_dtypes && strcmp(reference_dtypes[d].name, dtype_name) != 0) d++;
    if (d == n_dtypes) {
        print_error("TERN_TEST_DTYPE: no bounds for \"%s\"\n", dtype_name);
        return -1;
    }
    precision = &reference_dtypes[d];
    if (name == NULL || strcmp(name, "cpu") == 0) return open_cpu();
    tern_device_options options = {0};
    tern_error err;
    if (tern__device_find(&record, &options.unit, name, &err) != TERN_OK || record->open(&devices[0], &options, &err) != TERN_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    n_devices = 1;
    if (strcmp(name, "mlx:cpu") == 0 && precision->u == UNIT_ROUNDOFF) reference_bounds_of_mlx();
    if (strcmp(name, "mlx:gpu") == 0) reference_bounds_of_mlx_gpu();
    return 0;
}

static int close_devices(void **state) {
    (void)state;
    while (n_devices > 0) record->close(devices[--n_devices]);
    return 0;
}

/* ---- A case ---- */

typedef struct op_case {
    tern_op op;            /* under test; for the report */
    tern_op activation;    /* LINEAR_ACTIVATION */
    tern_pool pool;        /* POOL */
    int64_t kernel_size;   /* UNFOLD */
    int64_t n_prompt_rows; /* POOL: so many are left out; 0: none are asked to be */
    int64_t width, out;    /* of the rows; of linears */
    int64_t n_heads;       /* attention and rope: width is n_heads * head_dim */
    bool has_window;       /* attention: of `window` columns */
    int64_t window;
    int64_t n_buckets; /* attention: of the relative bias, up to a distance of 20; 0: none. Disentangled: 0 for a row each */
    bool has_no_norm, has_no_key, has_no_query; /* DISENTANGLED_ATTENTION */
    bool has_no_bias;                           /* LINEAR, LAYER_NORM */
    tern_dtype dtype;                           /* of the weights */
    bool sweeps;                                /* inputs run through a range instead of being random */
    const int64_t *lengths;                     /* of the sequences */
    int64_t n_sequences;
} op_case;

static double most_used[TERN_N_OPS]; /* of the bound */
static int64_t n_elements[TERN_N_OPS];
static bool is_covered[TERN_N_OPS];

static uint32_t random_state = 1;
static double random_unit(void) { /* -1 ... 1 */
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) / (double)(1 << 23) - 1;
}

static const tern_op activations[] = {TERN_OP_GELU, TERN_OP_GELU_TANH, TERN_OP_QUICK_GELU, TERN_OP_RELU,
                                      TERN_OP_SILU, TERN_OP_SIGMOID,   TERN_OP_TANH};

static void build_linears(tern_program *p, const op_case *c, tern_value a, tern_value b) {
    if (c->op == TERN_OP_LINEAR_CONCAT) {
        const int64_t outs[] = {c->out, c->width, 5};
        for (int i = 0; i < 3; i++) tern__output(p, tern__linear(p, a, outs[i], "part.%d", i), "part.%d", i);
        return;
    }
    tern_value y = tern__linear_bias(p, a, c->out, !c->has_no_bias, "linear");
    if (c->op == TERN_OP_LINEAR_ACTIVATION) y = tern__activation(p, y, c->activation);
    if (c->op == TERN_OP_LINEAR_ADD) y = c->width % 2 ? tern__add(p, b, y) : tern__add(p, y, b);
    tern__output(p, y, "y");
    if (c->op == TERN_OP_LINEAR) tern__output(p, tern__linear(p, tern__pool(p, a, TERN_POOL_CLS), c->out, "pooler"), "pooler");
}

static tern_value build_disentangled(tern_program *p, const op_case *c, tern_value q, tern_value k, tern_value v) {
    const tern_disentangled_options options = {.n_heads = c->n_heads,
                                               .scale = 0.3f / sqrtf((float)(c->width / c->n_heads)),
                                               .n_buckets = c->n_buckets,
                                               .max_distance = 20,
                                               .relative_width = 31,
                                               .relative = "table",
                                               .norm = c->has_no_norm ? NULL : "norm",
                                               .key = c->has_no_key ? NULL : "key",
                                               .query = c->has_no_query ? NULL : "query",
                                               .eps = EPS};
    return tern__disentangled_attention(p, q, k, v, &options);
}

static tern_value build_attention(tern_program *p, const op_case *c, tern_value q, tern_value k, tern_value v) {
    const float scale = 1.0f / sqrtf((float)(c->width / c->n_heads));
    if (c->has_window) return tern__attention_window(p, q, k, v, c->n_heads, scale, c->window);
    if (c->n_buckets > 0) return tern__attention_relative_bias(p, q, k, v, c->n_heads, scale, c->n_buckets, 20, "bias");
    return tern__attention(p, q, k, v, c->n_heads, scale);
}

static tern_program *build(const op_case *c) {
    tern_program *p;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const int64_t n_tokens = c->lengths[c->n_sequences];
    const bool adds_linear = c->op == TERN_OP_LINEAR_ADD;
    const bool attends = c->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || c->op == TERN_OP_DISENTANGLED_ATTENTION;
    const tern_value a = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), n_tokens, c->width, "a");
    tern_value b = {0}, d = {0};
    if (c->op == TERN_OP_ADD || c->op == TERN_OP_MULTIPLY || c->op == TERN_OP_ADD_LAYER_NORM || c->op == TERN_OP_CONCAT ||
        c->op == TERN_OP_SCALE || attends || adds_linear)
        b = tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), n_tokens, adds_linear ? c->out : c->width, "b");
    if (attends) d = tern__embedding(p, tern__input(p, TERN_INPUT_TOKEN_TYPE_IDS), n_tokens, c->width, "d");
    switch (c->op) {
    case TERN_OP_EMBEDDING:
        tern__output(p, a, "y");
        break;
    case TERN_OP_ADD:
        tern__output(p, tern__add(p, a, b), "y");
        break;
    case TERN_OP_CONCAT: /* of tokens, and of sequences with another width in front */
        tern__output(p, tern__concat(p, a, tern__slice(p, b, c->width / 3, (c->width + 1) / 2)), "y");
        tern__output(
            p, tern__concat(p, tern__pool(p, tern__slice(p, a, 0, (c->width + 1) / 2), TERN_POOL_CLS), tern__pool(p, b, TERN_POOL_MAX)),
            "pooled");
        break;
    case TERN_OP_SCALE:
        tern__output(p, tern__add(p, tern__scale(p, a, 3, 0, "scales"), tern__scale(p, b, 3, 2, "scales")), "y");
        break;
    case TERN_OP_LOG1P: /* takes no x below 0 */
        tern__output(p, tern__activation(p, tern__activation(p, a, TERN_OP_RELU), TERN_OP_LOG1P), "y");
        break;
    case TERN_OP_MULTIPLY:
        tern__output(p, tern__multiply(p, a, b), "y");
        break;
    case TERN_OP_ROPE:
        tern__output(p, tern__rope(p, a, c->n_heads, 10000.0f, n_tokens), "y");
        break;
    case TERN_OP_LAYER_NORM:
        tern__output(p, tern__layer_norm_bias(p, a, EPS, !c->has_no_bias, "norm"), "y");
        break;
    case TERN_OP_ADD_LAYER_NORM:
        tern__output(p, tern__layer_norm(p, tern__add(p, a, b), EPS, "norm"), "y");
        break;
    case TERN_OP_SLICE:
        tern__output(p, tern__slice(p, a, c->width / 3, (c->width + 1) / 2), "y");
        break;
    case TERN_OP_TAKE: /* and what follows it works on picks */
        tern__output(p, tern__take(p, a), "y");
        tern__output(p, tern__linear(p, tern__take(p, a), c->out, "linear"), "of picks");
        break;
    case TERN_OP_POOL:
        tern__output(p, c->n_prompt_rows > 0 ? tern__pool_without_prompt(p, a, c->pool) : tern__pool(p, a, c->pool), "y");
        break;
    case TERN_OP_UNFOLD: /* of what the neighbours' rows have just become */
        tern__output(p, tern__unfold(p, tern__add(p, a, a), c->kernel_size), "y");
        tern__output(p, tern__conv1d(p, a, c->out, c->kernel_size, "linear"), "convolved");
        break;
    case TERN_OP_NORMALIZE:
        tern__output(p, tern__normalize(p, a), "y");
        tern__output(p, tern__normalize(p, tern__pool(p, a, TERN_POOL_MEAN)), "pooled");
        break;
    case TERN_OP_SCALED_DOT_PRODUCT_ATTENTION:
        tern__output(p, build_attention(p, c, a, b, d), "y");
        break;
    case TERN_OP_DISENTANGLED_ATTENTION:
        tern__output(p, build_disentangled(p, c, a, b, d), "y");
        break;
    case TERN_OP_LINEAR:
    case TERN_OP_LINEAR_CONCAT:
    case TERN_OP_LINEAR_ACTIVATION:
    case TERN_OP_LINEAR_ADD:
        build_linears(p, c, a, b);
        break;
    default:
        tern__output(p, tern__activation(p, a, c->op), "y");
        break;
    }
    tern_error err;
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    return p;
}

/* ---- Weights ---- */

static void store_element(void *data, tern_dtype dtype, size_t i, double value) {
    switch (dtype) {
    case TERN_DTYPE_F64:
        ((double *)data)[i] = value;
        break;
    case TERN_DTYPE_F16:
        ((uint16_t *)data)[i] = tern__f32_to_f16((float)value);
        break;
    case TERN_DTYPE_BF16:
        ((uint16_t *)data)[i] = tern__f32_to_bf16((float)value);
        break;
    default:
        ((float *)data)[i] = (float)value;
        break;
    }
}

/* From -100 to 100, densest at 0, where the vectors' polynomials change over; far tails and tiny values are in it. */
static double sweep(size_t i, size_t n) {
    const double t = 2 * ((double)i + 0.5) / (double)n - 1;
    return i % 17 == 0 ? t * 1e-6 : i % 3 == 0 ? 100 * t : 12 * t * fabs(t);
}

/* Embedding tables are rows of activations, off zero on average so that norms have something to cancel; others are weights. What SCALE
 * takes its factors of is one of two sets, since a device may compile factors into its kernels, and each new one takes it a second. */
static double weight_element(const op_case *c, const char *name, size_t i, size_t n) {
    static const double scales[2][3] = {{0.9, 0.3, -0.4}, {0.1, -0.8, 0.6}};
    if (strcmp(name, "scales") == 0) return scales[c->width % 2][i];
    if (name[1] != '.') return random_unit();
    return c->sweeps ? sweep(i, n) : 2 * random_unit() + 0.5;
}

static void bind_weights(tern_program *p, const op_case *c) {
    for (int32_t w = 0; w < p->n_weights; w++) {
        tern_weight *weight = &p->weights[w];
        const size_t n = (size_t)weight->shape[0] * (weight->rank == 2 ? (size_t)weight->shape[1] : 1);
        void *data = malloc(n * sizeof(double));
        assert_non_null(data);
        for (size_t i = 0; i < n; i++) store_element(data, c->dtype, i, weight_element(c, weight->name, i, n));
        weight->data = data;
        weight->dtype = c->dtype;
    }
}

static void free_program(tern_program *p, bool owns_weights) {
    for (int32_t w = 0; w < p->n_weights && owns_weights; w++) free((void *)(uintptr_t)p->weights[w].data);
    tern__program_free(p);
}

/* ---- Running and comparing ---- */

static void fail_case(const op_case *c, const void *device, const char *what, double found, double expected, double allowed) {
    const tern_device_properties properties = record->properties(device);
    fail_msg("%s, width %lld, out %lld, %lld heads, %lld tokens, %s in %s, %s, %d threads: %s: %.9g, expected %.9g +- %.3g",
             tern__op_name(c->op), (long long)c->width, (long long)c->out, (long long)c->n_heads, (long long)c->lengths[c->n_sequences],
             tern_dtype_name(c->dtype), precision->name, properties.isa, properties.threads, what, found, expected, allowed);
}

static void compare(const op_case *c, const void *device, const char *name, const float *found, const double *y, const double *e,
                    size_t n) {
    for (size_t i = 0; i < n; i++) {
        const double error = (double)found[i] == y[i] ? 0 : fabs((double)found[i] - y[i]),
                     allowed = e[i] * precision->u + precision->smallest;
        if (!(error <= allowed)) fail_case(c, device, name, (double)found[i], y[i], allowed);
        if (e[i] > 0 && error / allowed > most_used[c->op]) most_used[c->op] = error / allowed;
    }
    n_elements[c->op] += (int64_t)n;
}

static void run_on(const op_case *c, void *device, const tern_program *p, const reference *r) {
    tern_error err;
    void *compiled;
    if (record->compile(&compiled, device, p, precision->name, &err) != TERN_OK) fail_msg("%s", err.message);
    tern_run_output outputs[4];
    for (int32_t o = 0; o < p->n_outputs; o++) {
        const tern_value value = r->program->outputs[o].value;
        const size_t bytes = reference_rows(r, value) * (size_t)tern__value(r->program, value)->width * sizeof(float);
        outputs[o] = (tern_run_output){.output = o, .data = malloc(bytes)};
        memset(outputs[o].data, 0xFF, bytes); /* NaN, should something not be written */
    }
    if (record->run(compiled, r->batch, outputs, (size_t)p->n_outputs, &err) != TERN_OK) fail_msg("%s", err.message);
    for (int32_t o = 0; o < p->n_outputs; o++) {
        const tern_value value = r->program->outputs[o].value;
        const size_t n = reference_rows(r, value) * (size_t)tern__value(r->program, value)->width;
        compare(c, device, p->outputs[o].name, outputs[o].data, r->y[value.index], r->e[value.index], n);
        free(outputs[o].data);
    }
    record->release(compiled);
    for (int32_t n = 0; n < p->n_nodes; n++) is_covered[p->nodes[n].op] = true;
}

static bool has_op(const tern_program *p, tern_op op) {
    for (int32_t n = 0; n < p->n_nodes; n++)
        if (p->nodes[n].op == op) return true;
    return false;
}

static void run_case(const op_case *c) {
    const size_t n_tokens = (size_t)c->lengths[c->n_sequences];
    int32_t *ids = malloc(n_tokens * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < n_tokens; i++) ids[i] = (int32_t)(n_tokens - 1 - i); /* not the identity, so that a lookup must look */
    int32_t *columns = malloc(n_tokens * sizeof *columns);
    assert_non_null(columns);
    for (int64_t s = 0; s < c->n_sequences; s++)
        for (int64_t i = c->lengths[s]; i < c->lengths[s + 1]; i++) /* with holes after every fifth token of every second sequence */
            columns[i] = (int32_t)(i - c->lengths[s] + (s % 2 == 1 ? (i - c->lengths[s]) / 5 * 3 : 0));
    const tern_batch batch = {.n_sequences = c->n_sequences,
                              .n_tokens = (int64_t)n_tokens,
                              .row_start = c->lengths,
                              .n_prompt_rows = c->n_prompt_rows,
                              .inputs = {ids, ids, ids, columns},
                              .n_picks = (int64_t)(n_tokens + 1) / 2,
                              .picks = ids}; /* from the last row backwards */
    tern_program *core = build(c), *fused = build(c);
    bind_weights(core, c);
    for (int32_t w = 0; w < core->n_weights; w++) {
        fused->weights[w].data = core->weights[w].data;
        fused->weights[w].dtype = core->weights[w].dtype;
    }
    assert_int_equal(tern__program_fuse(fused, record->supports, devices[0], NULL), TERN_OK);
    const bool is_had = record->supports(devices[0], c->op); /* what has no fused op of that name gets the core ops */
    if (is_had && !has_op(fused, c->op)) fail_msg("the case of %s holds none", tern__op_name(c->op));
    reference r = reference_run(core, &batch, precision);
    for (size_t d = 0; d < n_devices; d++) {
        run_on(c, devices[d], core, &r);
        run_on(c, devices[d], fused, &r);
    }
    reference_free(&r);
    free_program(fused, false);
    free_program(core, true);
    free(columns);
    free(ids);
}

/* ---- The cases. Sequences are given by where they start, and the end of the last. ---- */

#define SEQUENCES(...) .lengths = (const int64_t[]){0, __VA_ARGS__}, .n_sequences = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static const int64_t widths[] = {1, 3, 20, 60, 384, 768, 1023};
static const int64_t row_counts[] = {1, 2, 13, 14, 15, 29, 100};
static const tern_dtype dtypes[] = {TERN_DTYPE_F32, TERN_DTYPE_F16, TERN_DTYPE_BF16, TERN_DTYPE_F64};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* An op over all widths, over all row counts at some widths. */
static void run_shapes(op_case c) {
    for (size_t w = 0; w < COUNT(widths); w++)
        for (size_t r = 0; r < COUNT(row_counts); r++) {
            if (widths[w] > 60 && r % 3 != 2) continue;
            const int64_t starts[] = {0, row_counts[r]};
            c.width = widths[w];
            c.out = widths[(w + r + 1) % COUNT(widths)];
            c.lengths = starts;
            c.n_sequences = 1;
            run_case(&c);
        }
}

static void test_row_ops(void **state) {
    (void)state;
    static const tern_op ops[] = {TERN_OP_ADD,       TERN_OP_MULTIPLY, TERN_OP_LAYER_NORM, TERN_OP_ADD_LAYER_NORM, TERN_OP_SLICE,
                                  TERN_OP_NORMALIZE, TERN_OP_TAKE,     TERN_OP_CONCAT,     TERN_OP_LOG1P};
    for (size_t o = 0; o < COUNT(ops); o++) run_shapes((op_case){.op = ops[o], .dtype = TERN_DTYPE_F32});
    for (size_t d = 0; d < COUNT(dtypes); d++) {
        run_shapes((op_case){.op = TERN_OP_EMBEDDING, .dtype = dtypes[d]});
        run_case(&(op_case){.op = TERN_OP_LAYER_NORM, .width = 60, .dtype = dtypes[d], SEQUENCES(7)});
        run_shapes((op_case){.op = TERN_OP_SCALE, .dtype = dtypes[d]});
    }
    run_case(&(op_case){.op = TERN_OP_LAYER_NORM, .width = 60, .has_no_bias = true, .dtype = TERN_DTYPE_F32, SEQUENCES(7)});
}

static void test_unfold(void **state) {
    (void)state;
    for (int64_t kernel_size = 1; kernel_size <= 9; kernel_size += 2)
        for (size_t w = 0; w < 3; w++)
            run_case(&(op_case){.op = TERN_OP_UNFOLD,
                                .width = widths[w],
                                .out = 20,
                                .kernel_size = kernel_size,
                                .dtype = TERN_DTYPE_F32,
                                SEQUENCES(1, 3, 44, 46, 146)});
}

static void test_rope(void **state) {
    (void)state;
    static const int64_t head_dims[] = {2, 6, 32, 64, 80};
    for (size_t d = 0; d < COUNT(head_dims); d++)
        run_case(
            &(op_case){.op = TERN_OP_ROPE, .width = 3 * head_dims[d], .n_heads = 3, .dtype = TERN_DTYPE_F32, SEQUENCES(1, 6, 39, 641)});
}

static void test_activations(void **state) {
    (void)state;
    for (size_t a = 0; a < COUNT(activations); a++) {
        run_shapes((op_case){.op = activations[a], .dtype = TERN_DTYPE_F32});
        run_case(&(op_case){.op = activations[a], .width = 1023, .dtype = TERN_DTYPE_F32, .sweeps = true, SEQUENCES(100)});
    }
    run_case(&(op_case){.op = TERN_OP_LOG1P, .width = 1023, .dtype = TERN_DTYPE_F32, .sweeps = true, SEQUENCES(100)});
}

static void test_linears(void **state) {
    (void)state;
    static const tern_op ops[] = {TERN_OP_LINEAR, TERN_OP_LINEAR_CONCAT, TERN_OP_LINEAR_ADD};
    for (size_t o = 0; o < COUNT(ops); o++) {
        run_shapes((op_case){.op = ops[o], .dtype = TERN_DTYPE_F32});
        for (size_t d = 1; d < COUNT(dtypes); d++)
            run_case(&(op_case){.op = ops[o], .width = 60, .out = 70, .dtype = dtypes[d], SEQUENCES(3, 20, 31)});
        /* rows and outputs as devices with 8-bit operands take them */
        run_case(&(op_case){.op = ops[o], .width = 384, .out = 96, .dtype = TERN_DTYPE_F32, SEQUENCES(70)});
        run_case(&(op_case){.op = ops[o], .width = 64, .out = 96, .dtype = TERN_DTYPE_F32, SEQUENCES(70)}); /* a group a row */
    }
    run_case(&(op_case){
        .op = TERN_OP_LINEAR_ACTIVATION, .activation = TERN_OP_GELU, .width = 384, .out = 96, .dtype = TERN_DTYPE_F32, SEQUENCES(70)});
    run_shapes((op_case){.op = TERN_OP_LINEAR_ACTIVATION, .activation = TERN_OP_GELU, .dtype = TERN_DTYPE_F32});
    for (size_t a = 0; a < COUNT(activations); a++)
        run_case(&(op_case){
            .op = TERN_OP_LINEAR_ACTIVATION, .activation = activations[a], .width = 60, .out = 70, SEQUENCES(17), .dtype = TERN_DTYPE_F32});
    run_case(&(op_case){.op = TERN_OP_LINEAR, .width = 384, .out = 96, .dtype = TERN_DTYPE_F32, SEQUENCES(600)}); /* blocks of rows */
    run_case(&(op_case){.op = TERN_OP_LINEAR, .width = 60, .out = 70, .has_no_bias = true, .dtype = TERN_DTYPE_F32, SEQUENCES(17)});
}

static void test_attention(void **state) {
    (void)state;
    static const int64_t head_dims[] = {1, 20, 32, 64, 80};
    for (size_t d = 0; d < COUNT(head_dims); d++) {
        for (size_t r = 0; r < COUNT(row_counts); r++) {
            const int64_t starts[] = {0, row_counts[r]};
            run_case(&(op_case){.op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION,
                                .width = 3 * head_dims[d],
                                .n_heads = 3,
                                .lengths = starts,
                                .n_sequences = 1,
                                .dtype = TERN_DTYPE_F32});
        }
        const op_case mixed = {.op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION,
                               .width = 2 * head_dims[d],
                               .n_heads = 2,
                               .dtype = TERN_DTYPE_F32,
                               SEQUENCES(1, 6, 39, 41, 101, 102)};
        run_case(&mixed);
    }
    /* 512 keys are one step; 513 two, the second of one key; 1100 three */
    run_case(&(op_case){
        .op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION, .width = 32, .n_heads = 1, .dtype = TERN_DTYPE_F32, SEQUENCES(512, 1025, 2125)});
}

/* Windows smaller and larger than a sequence, and some in which whole steps of keys fall away; biases of few and many buckets. */
static void test_attention_by_distance(void **state) {
    (void)state;
    static const int64_t windows[] = {0, 1, 7, 64, 600};
    static const int64_t buckets[] = {4, 8, 32};
    op_case c = {.op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION, .width = 60, .n_heads = 3, .dtype = TERN_DTYPE_F32, SEQUENCES(1, 6, 39, 141)};
    c.has_window = true;
    for (size_t w = 0; w < COUNT(windows); w++) {
        c.window = windows[w];
        run_case(&c);
    }
    c.has_window = false;
    for (size_t b = 0; b < COUNT(buckets); b++) {
        c.n_buckets = buckets[b];
        run_case(&c);
    }
    op_case large = {.op = TERN_OP_SCALED_DOT_PRODUCT_ATTENTION, .width = 32, .n_heads = 1, .dtype = TERN_DTYPE_F32, SEQUENCES(513, 2113)};
    large.has_window = true;
    large.window = 64;
    run_case(&large);
    large.has_window = false;
    large.n_buckets = 16;
    run_case(&large);
}

static void test_disentangled_attention(void **state) {
    (void)state;
    op_case c = {.op = TERN_OP_DISENTANGLED_ATTENTION, .width = 60, .n_heads = 3, .dtype = TERN_DTYPE_F32, SEQUENCES(1, 6, 39, 141)};
    for (int form = 0; form < 5; form++) {
        c.n_buckets = form == 1 ? 0 : 8;
        c.has_no_norm = form == 2;
        c.has_no_key = form == 3;
        c.has_no_query = form == 4;
        run_case(&c);
    }
    for (size_t d = 1; d < COUNT(dtypes); d++) {
        op_case small = {
            .op = TERN_OP_DISENTANGLED_ATTENTION, .width = 40, .n_heads = 1, .n_buckets = 6, .dtype = dtypes[d], SEQUENCES(3, 20)};
        run_case(&small);
    }
    run_case(&(op_case){
        .op = TERN_OP_DISENTANGLED_ATTENTION, .width = 32, .n_heads = 1, .n_buckets = 16, .dtype = TERN_DTYPE_F32, SEQUENCES(512, 1125)});
}

static void test_pools(void **state) {
    (void)state;
    for (int pool = 0; pool < TERN_N_POOLS; pool++)
        for (size_t w = 0; w < COUNT(widths); w++)
            for (int64_t n_prompt_rows = 0; n_prompt_rows <= 14; n_prompt_rows += 7) /* of the first sequence and the third all */
                run_case(&(op_case){.op = TERN_OP_POOL,
                                    .pool = (tern_pool)pool,
                                    .n_prompt_rows = n_prompt_rows,
                                    .width = widths[w],
                                    .dtype = TERN_DTYPE_F32,
                                    SEQUENCES(1, 15, 44, 46, 146)});
}

/* After all cases. */
static void test_every_op_was_run(void **state) {
    (void)state;
    for (int op = 0; op < TERN_N_OPS; op++) {
        if (n_elements[op] > 0)
            print_message("%-30s bound %g u: %5.1f%% of what is allowed, %lld elements\n", tern__op_name((tern_op)op),
                          op == TERN_OP_LINEAR ? precision->linear : op_bound[op], 100 * most_used[op], (long long)n_elements[op]);
        if (!is_covered[op] && record->supports(devices[0], (tern_op)op)) fail_msg("%s was not run", tern__op_name((tern_op)op));
        if (n_elements[op] == 0 && op != TERN_OP_INPUT) fail_msg("no case is of %s", tern__op_name((tern_op)op));
    }
}

/* unit_op_conformance [PATTERN]: tests whose names match, * and ? as in a shell. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_ops),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_linears),
        cmocka_unit_test(test_unfold),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_by_distance),
        cmocka_unit_test(test_disentangled_attention),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_every_op_was_run),
    };
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests_name("op conformance", tests, open_devices, close_devices);
}
