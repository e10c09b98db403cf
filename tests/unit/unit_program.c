/* unit_program.c - building, fusing, lowering and planning of programs, without any device.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program/program.h"

static bool wants_all(const void *device, tern_op op) { return (void)device, (void)op, true; }
static bool wants_none(const void *device, tern_op op) { return (void)device, (void)op, false; }

/* A transformer layer in small: q, k, v, attention, projection, residual, norm, feed-forward with gelu. */
static tern_program *small_layer(void) {
    tern_program *p;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 11, 12, "words");
    tern_value y = tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), 7, 12, "positions");
    x = tern__layer_norm(p, tern__add(p, x, y), 1e-5f, "norm.%d", 0);
    tern_value q = tern__linear(p, x, 12, "q"), k = tern__linear(p, x, 12, "k"), v = tern__linear(p, x, 12, "v");
    tern_value attention = tern__linear(p, tern__attention(p, q, k, v, 3, 0.5f), 12, "o");
    x = tern__layer_norm(p, tern__add(p, attention, x), 1e-5f, "norm.1");
    tern_value wide = tern__activation(p, tern__linear(p, x, 40, "up"), TERN_OP_GELU);
    tern__output(p, x, "middle");
    tern__output(p, tern__add(p, tern__linear(p, wide, 12, "down"), x), "last");
    tern__output(p, tern__normalize(p, tern__pool(p, x, TERN_POOL_MEAN)), "pooled");
    assert_int_equal(tern__program_finish(p, NULL), TERN_OK);
    return p;
}

static int count(const tern_program *p, tern_op op) {
    int n = 0;
    for (int32_t i = 0; i < p->n_nodes; i++) n += p->nodes[i].op == op;
    return n;
}

/* Each value has one producer, which comes before all its readers. */
static void check_order(const tern_program *p) {
    for (int32_t n = 0; n < p->n_nodes; n++) {
        assert_int_equal(tern__value(p, p->nodes[n].output)->producer, n);
        for (int32_t i = 0; i < p->nodes[n].n_inputs; i++) assert_true(tern__value(p, p->nodes[n].inputs[i])->producer < n);
    }
    for (int32_t o = 0; o < p->n_outputs; o++) assert_in_range(tern__value(p, p->outputs[o].value)->producer, 0, p->n_nodes - 1);
}

static void test_weights_are_named_and_shaped(void **state) {
    (void)state;
    tern_program *p = small_layer();
    assert_string_equal(p->weights[0].name, "words.weight");
    assert_int_equal(p->weights[0].shape[0], 11);
    assert_int_equal(p->weights[0].shape[1], 12);
    int found = 0;
    for (int32_t w = 0; w < p->n_weights; w++)
        if (strcmp(p->weights[w].name, "up.weight") == 0) {
            found |= 1;
            assert_int_equal(p->weights[w].rank, 2);
            assert_int_equal(p->weights[w].shape[0], 40); /* [out, in] */
            assert_int_equal(p->weights[w].shape[1], 12);
        } else if (strcmp(p->weights[w].name, "norm.0.bias") == 0) {
            found |= 2;
            assert_int_equal(p->weights[w].rank, 1);
        }
    assert_int_equal(found, 1 | 2);
    tern__program_free(p);
}

static void test_errors_are_sticky(void **state) {
    (void)state;
    tern_program *p;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    tern_value a = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "a");
    tern_value b = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 9, "b");
    const int32_t n_nodes = p->n_nodes;
    tern_value sum = tern__add(p, a, b);
    assert_int_equal(sum.index, 0);
    tern__output(p, tern__linear(p, sum, 3, "never"), "out");
    assert_int_equal(p->n_nodes, n_nodes);
    assert_int_equal(p->n_outputs, 0);
    tern_error err;
    assert_int_equal(tern__program_finish(p, &err), TERN_E_SHAPE);
    assert_non_null(strstr(err.message, "add: widths 8 and 9"));
    tern__program_free(p);
}

static void expect_failure(tern_program *p, tern_status code, const char *part) {
    tern_error err;
    assert_int_equal(tern__program_finish(p, &err), code);
    assert_non_null(strstr(err.message, part));
    tern__program_free(p);
}

static void test_shape_rules(void **state) {
    (void)state;
    tern_program *p;
    tern__program_new(&p, NULL);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__attention(p, x, x, x, 3, 1.0f);
    expect_failure(p, TERN_E_SHAPE, "does not split into 3 heads");
    tern__program_new(&p, NULL);
    x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__slice(p, x, 5, 4);
    expect_failure(p, TERN_E_SHAPE, "slice: columns 5 ... 9 of a width of 8");
    tern__program_new(&p, NULL);
    tern__linear(p, tern__input(p, TERN_INPUT_IDS), 4, "x");
    expect_failure(p, TERN_E_DTYPE, "linear: takes float rows");
    tern__program_new(&p, NULL);
    tern__embedding(p, tern__input(p, TERN_INPUT_IDS), INT64_MAX, 4, "x");
    expect_failure(p, TERN_E_SHAPE, "embedding: a width of");
    tern__program_new(&p, NULL);
    x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__add(p, x, tern__pool(p, x, TERN_POOL_CLS));
    expect_failure(p, TERN_E_SHAPE, "or their rows, differ");
    tern__program_new(&p, NULL);
    x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__conv1d(p, x, 8, 4, "conv");
    expect_failure(p, TERN_E_SHAPE, "an odd kernel_size, not 4");
    tern__program_new(&p, NULL);
    x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__conv1d(p, tern__pool(p, x, TERN_POOL_CLS), 8, 3, "conv");
    expect_failure(p, TERN_E_SHAPE, "unfold: takes rows of tokens");
}

/* A matrix in the program, three axes in the checkpoint. */
static void test_convolution_weight(void **state) {
    (void)state;
    tern_program *p;
    tern__program_new(&p, NULL);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern__conv1d(p, x, 6, 3, "conv");
    assert_int_equal(tern__program_finish(p, NULL), TERN_OK);
    const tern_weight *weight = &p->weights[1];
    assert_string_equal(weight->name, "conv.weight");
    assert_int_equal(weight->shape[1], 24);
    int64_t shape[TERN_MAX_RANK];
    const int64_t expected[] = {6, 8, 3};
    assert_int_equal(tern__weight_shape(weight, shape), 3);
    assert_memory_equal(shape, expected, sizeof expected);
    assert_int_equal(tern__weight_shape(&p->weights[2], shape), 1);
    assert_int_equal(shape[0], 6);
    tern__program_free(p);
}

static void test_fuse_finds_every_pattern(void **state) {
    (void)state;
    tern_program *p = small_layer();
    assert_int_equal(tern__program_fuse(p, wants_all, NULL, NULL), TERN_OK);
    check_order(p);
    assert_int_equal(count(p, TERN_OP_LINEAR_CONCAT), 1);
    assert_int_equal(count(p, TERN_OP_SLICE), 3);
    assert_int_equal(count(p, TERN_OP_LINEAR_ACTIVATION), 1);
    assert_int_equal(count(p, TERN_OP_LINEAR_ADD), 2);
    assert_int_equal(count(p, TERN_OP_ADD_LAYER_NORM), 1);
    assert_int_equal(count(p, TERN_OP_LINEAR), 0);
    assert_int_equal(count(p, TERN_OP_ADD), 0);
    tern__program_free(p);
}

/* A value that a caller may ask for, or that two nodes read, must still exist. */
static void test_fuse_keeps_outputs_and_shared_values(void **state) {
    (void)state;
    tern_program *p;
    tern__program_new(&p, NULL);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), 4, 8, "x");
    tern_value a = tern__linear(p, x, 8, "a");
    tern__output(p, a, "a");
    tern__output(p, tern__activation(p, a, TERN_OP_RELU), "relu");
    tern_value b = tern__linear(p, tern__activation(p, x, TERN_OP_TANH), 8, "b");
    tern__output(p, tern__add(p, b, b), "twice");
    assert_int_equal(tern__program_fuse(p, wants_all, NULL, NULL), TERN_OK);
    check_order(p);
    assert_int_equal(count(p, TERN_OP_LINEAR), 2);
    assert_int_equal(count(p, TERN_OP_RELU), 1);
    assert_int_equal(count(p, TERN_OP_ADD), 1);
    tern__program_free(p);
}

static void test_lower_undoes_fuse(void **state) {
    (void)state;
    tern_program *core = small_layer(), *p = small_layer();
    assert_int_equal(tern__program_fuse(p, wants_all, NULL, NULL), TERN_OK);
    assert_int_equal(tern__program_lower(p, NULL), TERN_OK);
    check_order(p);
    for (int op = 0; op < TERN_N_OPS; op++) assert_int_equal(count(p, (tern_op)op), count(core, (tern_op)op));
    assert_int_equal(tern__program_fuse(core, wants_none, NULL, NULL), TERN_OK);
    assert_int_equal(core->n_nodes, p->n_nodes);
    tern__program_free(p);
    tern__program_free(core);
}

/* Walk the program and watch who lives where: nobody may write over a value that is still to be read. */
static void check_plan(const tern_program *p) {
    tern_plan plan;
    assert_int_equal(tern__plan_make(&plan, p, NULL), TERN_OK);
    int32_t *tenant = calloc((size_t)p->n_values, sizeof *tenant);
    for (int32_t n = 0; n < p->n_nodes; n++) {
        const tern_node *node = &p->nodes[n];
        const tern_placement *out = &plan.placements[node->output.index];
        for (int32_t i = 0; i < node->n_inputs; i++) {
            const tern_placement *in = &plan.placements[node->inputs[i].index];
            if (in->slot < 0) continue;
            int32_t owner = node->inputs[i].index;
            while (p->nodes[p->values[owner].producer].op == TERN_OP_SLICE) owner = p->nodes[p->values[owner].producer].inputs[0].index;
            assert_int_equal(tenant[in->slot], owner);
            if (node->op != TERN_OP_SLICE) assert_int_not_equal(in->slot, out->slot);
            assert_true(in->column + tern__value(p, node->inputs[i])->width <= in->row_stride);
        }
        if (out->slot < 0 || node->op == TERN_OP_SLICE) continue;
        tenant[out->slot] = node->output.index;
        assert_true(out->row_stride >= tern__value(p, node->output)->width);
        assert_int_equal(out->row_stride % 16, 0);
        assert_true(plan.slot_strides[out->slot][tern__value(p, node->output)->space] >= out->row_stride);
    }
    free(tenant);
    tern__plan_free(&plan);
}

static void test_plan_never_overwrites_what_is_read_later(void **state) {
    (void)state;
    tern_program *p = small_layer();
    check_plan(p);
    assert_int_equal(tern__program_fuse(p, wants_all, NULL, NULL), TERN_OK);
    check_plan(p);
    tern__program_free(p);
}

static void test_plan_bytes(void **state) {
    (void)state;
    tern_program *p = small_layer();
    tern_plan plan;
    assert_int_equal(tern__plan_make(&plan, p, NULL), TERN_OK);
    size_t one, ten, slot, sum = 0;
    assert_true(tern__plan_bytes(&plan, &(tern_rows){.rows = {16, 1}}, &one));
    assert_true(tern__plan_bytes(&plan, &(tern_rows){.rows = {160, 1}}, &ten));
    assert_true(ten > 9 * one && ten <= 10 * one);
    for (int32_t s = 0; s < plan.n_slots; s++) {
        assert_true(tern__plan_slot_bytes(&plan, s, &(tern_rows){.rows = {16, 1}}, &slot));
        assert_int_equal(slot % TERN_ALIGNMENT, 0);
        sum += slot;
    }
    assert_int_equal(sum, one);
    assert_false(tern__plan_bytes(&plan, &(tern_rows){.rows = {INT64_MAX, 1}}, &one));
    tern__plan_free(&plan);
    tern__program_free(p);
}

/* A run needs no room for what is not computed. */
static void test_strides_of_needed_nodes(void **state) {
    (void)state;
    tern_program *p = small_layer();
    tern_plan plan;
    assert_int_equal(tern__plan_make(&plan, p, NULL), TERN_OK);
    uint8_t *needed = malloc((size_t)p->n_nodes);
    int32_t(*strides)[TERN_N_SPACES] = malloc((size_t)plan.n_slots * sizeof *strides);
    const size_t bytes = (size_t)plan.n_slots * sizeof *strides;
    memset(needed, 1, (size_t)p->n_nodes);
    tern__plan_needed_strides(&plan, p, needed, strides);
    assert_memory_equal(strides, plan.slot_strides, bytes);
    const int32_t middle = tern__program_find_output(p, "middle");
    tern__program_mark_needed(p, &middle, 1, needed);
    tern__plan_needed_strides(&plan, p, needed, strides);
    for (int32_t s = 0; s < plan.n_slots; s++) assert_int_equal(strides[s][TERN_SPACE_SEQUENCES], 0); /* of pooled rows */
    const tern_placement *place = &plan.placements[p->outputs[middle].value.index];
    assert_true(strides[place->slot][TERN_SPACE_TOKENS] >= place->row_stride);
    free(needed);
    free(strides);
    tern__plan_free(&plan);
    tern__program_free(p);
}

static void test_only_needed_nodes_are_marked(void **state) {
    (void)state;
    tern_program *p = small_layer();
    uint8_t *needed = malloc((size_t)p->n_nodes);
    const int32_t middle = tern__program_find_output(p, "middle"), last = tern__program_find_output(p, "last");
    assert_int_equal(tern__program_find_output(p, "nothing"), -1);
    tern__program_mark_needed(p, &middle, 1, needed);
    for (int32_t n = 0; n < p->n_nodes; n++) {
        const tern_op op = p->nodes[n].op;
        if (op == TERN_OP_GELU || op == TERN_OP_POOL || op == TERN_OP_NORMALIZE) assert_false(needed[n]);
        if (op == TERN_OP_EMBEDDING || op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION) assert_true(needed[n]);
    }
    tern__program_mark_needed(p, &last, 1, needed);
    assert_true(needed[tern__value(p, p->outputs[last].value)->producer]);
    free(needed);
    tern__program_free(p);
}

static void test_costs_are_counted(void **state) {
    (void)state;
    tern_program *p = small_layer();
    const tern_rows rows = {.rows = {10, 2}, .pairs = 52}; /* sequences of 4 and 6 tokens */
    for (int32_t n = 0; n < p->n_nodes; n++) {
        const tern_node *node = &p->nodes[n];
        const tern_cost cost = tern__node_cost(p, node, &rows);
        if (node->op == TERN_OP_LINEAR && p->weights[node->weights[0]].shape[0] == 40) {
            assert_true(cost.flops == 10.0 * 40 * (2 * 12 + 1));
            assert_true(cost.bytes == 4.0 * (10 * (12 + 40) + 40 * 12 + 40));
        }
        if (node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION) assert_true(cost.flops == 52.0 * 12 * 4 + 52 * 3 * 5);
        if (node->op == TERN_OP_SLICE) assert_true(cost.flops == 0 && cost.bytes == 0);
    }
    tern__program_free(p);
}

static void test_dump_names_every_op(void **state) {
    (void)state;
    tern_program *p = small_layer();
    assert_int_equal(tern__program_fuse(p, wants_all, NULL, NULL), TERN_OK);
    char *text;
    assert_int_equal(tern__program_dump(p, &text, NULL), TERN_OK);
    assert_non_null(strstr(text, "linear_concat %6 \"q.weight\" \"q.bias\" \"k.weight\""));
    assert_non_null(strstr(text, "scaled_dot_product_attention"));
    assert_non_null(strstr(text, "heads=3 head_dim=4 scale=0.5 [tokens, 12]"));
    assert_non_null(strstr(text, "linear_activation"));
    assert_non_null(strstr(text, "pooled = %"));
    free(text);
    tern__program_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_are_named_and_shaped),
        cmocka_unit_test(test_errors_are_sticky),
        cmocka_unit_test(test_shape_rules),
        cmocka_unit_test(test_convolution_weight),
        cmocka_unit_test(test_fuse_finds_every_pattern),
        cmocka_unit_test(test_fuse_keeps_outputs_and_shared_values),
        cmocka_unit_test(test_lower_undoes_fuse),
        cmocka_unit_test(test_plan_never_overwrites_what_is_read_later),
        cmocka_unit_test(test_plan_bytes),
        cmocka_unit_test(test_strides_of_needed_nodes),
        cmocka_unit_test(test_only_needed_nodes_are_marked),
        cmocka_unit_test(test_costs_are_counted),
        cmocka_unit_test(test_dump_names_every_op),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
