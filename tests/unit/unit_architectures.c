/* unit_architectures.c - what sets architectures apart beside their numbers, which the parity test holds: positions, shared weights, token
 * types.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "model/model.h"

static tern_model *load_from(const char *group, const char *name) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/golden/%s/%s", TERN_TEST_DATA, group, name);
    tern_model *model;
    tern_error err;
    if (tern_model_load(&model, folder, NULL, &err) != TERN_OK) fail_msg("%s", err.message);
    return model;
}

static tern_model *load(const char *name) { return load_from("tiny", name); }

/* Every architecture of this build has tiny checkpoints under each of its model_types. */
static void test_every_architecture_has_tiny_checkpoints(void **state) {
    (void)state;
    for (const tern_arch *const *arch = tern__arch_records(); *arch != NULL; arch++)
        for (const tern_arch_class *class = (*arch)->classes; class->model_type != NULL; class++) {
            char name[64];
            snprintf(name, sizeof name, strcmp(class->model_type, "bert") == 0 ? "gelu-1-layer" : "%s-1", class->model_type);
            tern_model *model = load(name);
            const tern_model_info info = tern_model_get_info(model);
            assert_string_equal(info.model_type, class->model_type);
            assert_string_equal(info.architecture, class->base_class);
            tern_model_free(model);
        }
}

/* Hugging Face's create_position_ids_from_input_ids: cumsum(id != pad) * (id != pad) + pad. */
static void test_positions(void **state) {
    (void)state;
    static const int64_t ids[] = {1, 7, 8, 1, 1, 9, 0};
    static const int32_t after_pad[] = {1, 2, 3, 1, 1, 4, 5};
    tern_arch_facts facts = {.positions = TERN_POSITIONS_AFTER_PAD, .pad_token_id = 1};
    int64_t n_counted = 0;
    for (int64_t i = 0; i < 7; i++) assert_int_equal(tern__position_id(&facts, ids[i], i, &n_counted), after_pad[i]);
    facts.positions = TERN_POSITIONS_FROM_ZERO;
    for (int64_t i = 0; i < 7; i++) assert_int_equal(tern__position_id(&facts, ids[i], i, &n_counted), i);
}

static void test_positions_bound_the_tokens(void **state) {
    (void)state;
    tern_model *model = load("roberta-1"); /* 40 positions, of which 0 and 1 stand before the first token */
    static int64_t ids[39];
    static float data[39 * 60];
    tern_forward_inputs in = {.batch = 1, .tokens = 38, .input_ids = ids};
    const tern_forward_output output = {"last_hidden_state", data};
    tern_error err;
    assert_int_equal(tern_model_get_info(model).max_seq_length, 38);
    assert_int_equal(tern_model_forward(model, &in, &output, 1, &err), TERN_OK);
    in.tokens = 39;
    assert_int_equal(tern_model_forward(model, &in, &output, 1, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "the model takes 38 (max_position_embeddings is 40)"));
    tern_model_free(model);
}

static void test_token_types_of_a_model_without(void **state) {
    (void)state;
    tern_model *model = load("distilbert-1");
    static const int64_t ids[] = {1, 2, 3}, types[] = {0, 0, 0};
    static float data[3 * 60];
    const tern_forward_inputs in = {.batch = 1, .tokens = 3, .input_ids = ids, .token_type_ids = types};
    const tern_forward_output output = {"last_hidden_state", data};
    tern_error err;
    assert_int_equal(tern_model_forward(model, &in, &output, 1, &err), TERN_E_ARGUMENT);
    assert_non_null(strstr(err.message, "token_type_ids: the model has no token types"));
    tern_model_free(model);
}

/* ALBERT's layers have one set of weights: declared, counted, packed once. */
static void test_shared_weights_are_packed_once(void **state) {
    (void)state;
    tern_model *model = load("albert-1"); /* 3 layers of 60 with 77 between, embeddings of 20, one group */
    const tern_model_info info = tern_model_get_info(model);
    const int64_t layer = 4 * (60 * 60 + 60) + 60 * 77 + 77 + 77 * 60 + 60 + 4 * 60;
    assert_int_equal(info.num_hidden_layers, 3);
    assert_int_equal(info.n_parameters, (71 + 40 + 2 + 2) * 20 + 20 * 60 + 60 + layer + 60 * 60 + 60);
    tern_memory_plan plan;
    assert_int_equal(tern_model_plan_memory(model, 1, 4, &plan, NULL), TERN_OK);
    assert_true(plan.packed_bytes < 2 * 4 * info.n_parameters); /* of three sets it would be more, panels being filled up */
    tern_model_free(model);
}

static void test_heads(void **state) {
    (void)state;
    static const struct {
        const char *folder, *task, *output;
        int rank;
        int64_t last; /* axis */
    } cases[] = {{"BertForMaskedLM-1", "fill-mask", "logits", 3, 23},
                 {"RobertaForSequenceClassification-3", "text-classification", "logits", 2, 5},
                 {"DistilBertForTokenClassification-2", "token-classification", "logits", 3, 1},
                 {"ModernBertForQuestionAnswering-1", "question-answering", "end_logits", 2, 7},
                 {"AlbertForMultipleChoice-1", "multiple-choice", "logits", 2, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_model *model = load_from("heads", cases[i].folder);
        assert_string_equal(tern_model_get_info(model).tasks[1], cases[i].task);
        int64_t shape[TERN_MAX_RANK];
        assert_int_equal(tern_model_output_shape(model, cases[i].output, 3, 7, shape), cases[i].rank);
        assert_int_equal(shape[0], 3);
        assert_int_equal(shape[cases[i].rank - 1], cases[i].last);
        tern_model_free(model);
    }
}

/* A class with a head over a checkpoint that has none: the encoder alone. The head of another class is not built. */
static void test_heads_that_are_not_there(void **state) {
    (void)state;
    static const tern_arch_class bert = {"bert", "BertModel", NULL};
    assert_int_equal(tern__arch_head(&bert, "BertForMaskedLM"), TERN_HEAD_MASKED_LM);
    assert_int_equal(tern__arch_head(&bert, "RobertaForMaskedLM"), TERN_HEAD_NONE);
    assert_int_equal(tern__arch_head(&bert, "BertModel"), TERN_HEAD_NONE);
    assert_int_equal(tern__arch_head(&bert, "BertLMHeadModel"), TERN_HEAD_NONE);
    assert_int_equal(tern__arch_head(&bert, NULL), TERN_HEAD_NONE);
    tern_model *model = load("gelu-1-layer");
    int64_t shape[TERN_MAX_RANK];
    assert_int_equal(tern_model_output_shape(model, "logits", 1, 1, shape), 0);
    assert_null(tern_model_get_info(model).tasks[1]);
    tern_model_free(model);
}

/* A head is packed in the first run that asks for it, and gives then and later the same. */
static void test_heads_are_packed_when_asked_for(void **state) {
    (void)state;
    tern_model *model = load_from("heads", "BertForMaskedLM-2");
    static const int64_t ids[] = {1, 2, 3, 4};
    static float encoder[4 * 10], first[4 * 23], second[4 * 23];
    const tern_forward_inputs in = {.batch = 1, .tokens = 4, .input_ids = ids};
    const tern_forward_output hidden = {"last_hidden_state", encoder}, logits[] = {{"logits", first}, {"logits", second}};
    assert_int_equal(tern_model_forward(model, &in, &hidden, 1, NULL), TERN_OK);
    assert_int_equal(tern_model_forward(model, &in, &logits[0], 1, NULL), TERN_OK);
    assert_int_equal(tern_model_forward(model, &in, &logits[1], 1, NULL), TERN_OK);
    assert_memory_equal(first, second, sizeof first);
    float most = 0;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) most = fmaxf(most, fabsf(first[i]));
    assert_true(most > 0.1f);
    tern_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_architecture_has_tiny_checkpoints), cmocka_unit_test(test_positions),
        cmocka_unit_test(test_positions_bound_the_tokens),              cmocka_unit_test(test_token_types_of_a_model_without),
        cmocka_unit_test(test_shared_weights_are_packed_once),          cmocka_unit_test(test_heads),
        cmocka_unit_test(test_heads_that_are_not_there),                cmocka_unit_test(test_heads_are_packed_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
