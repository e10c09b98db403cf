/* heads.c - the heads' common pieces.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/heads.h"

static tern_value lm_logits(tern_program *p, tern_value x, const tern_lm_head *head) {
    x = tern__linear_bias(p, x, head->embedding_size, head->dense_bias, "%s", head->dense);
    x = tern__activation(p, x, head->activation);
    x = tern__layer_norm_bias(p, x, head->layer_norm_eps, head->norm_bias, "%s", head->norm);
    return tern__linear_named(p, x, head->vocab_size, head->decoder_weight, head->decoder_bias);
}

void tern__lm_head_build(tern_program *p, tern_value x, const tern_lm_head *head, const char *output) {
    tern__output(p, lm_logits(p, x, head), "%s", output);
    tern__output(p, lm_logits(p, tern__take(p, x), head), "picked_logits");
}

void tern__classifier_build(tern_program *p, tern_value x, int64_t n_labels, const char *name) {
    tern__output(p, tern__linear(p, x, n_labels, "%s", name), "logits");
}

void tern__qa_outputs_build(tern_program *p, tern_value x, const char *name) {
    tern_value logits = tern__linear(p, x, 2, "%s", name);
    tern__output_squeezed(p, tern__slice(p, logits, 0, 1), "start_logits");
    tern__output_squeezed(p, tern__slice(p, logits, 1, 1), "end_logits");
}

tern_value tern__first_row_dense(tern_program *p, tern_value x, int64_t width, tern_op activation, const char *name) {
    return tern__activation(p, tern__linear(p, tern__pool(p, x, TERN_POOL_CLS), width, "%s", name), activation);
}

tern_head tern__plain_head_build(const tern_config *config, tern_value last_hidden_state, tern_value pooled) {
    tern_program *p = config->program;
    switch (config->head) {
    case TERN_HEAD_TOKEN_CLASSIFICATION:
        if (!tern__config_has_weight(config, "classifier.weight")) return TERN_HEAD_NONE;
        tern__classifier_build(p, last_hidden_state, tern__config_num_labels(config), "classifier");
        return config->head;
    case TERN_HEAD_QUESTION_ANSWERING:
        if (!tern__config_has_weight(config, "qa_outputs.weight")) return TERN_HEAD_NONE;
        tern__qa_outputs_build(p, last_hidden_state, "qa_outputs");
        return config->head;
    case TERN_HEAD_SEQUENCE_CLASSIFICATION:
    case TERN_HEAD_MULTIPLE_CHOICE:
        if (pooled.index == 0 || !tern__config_has_weight(config, "classifier.weight")) return TERN_HEAD_NONE;
        tern__classifier_build(p, pooled, config->head == TERN_HEAD_MULTIPLE_CHOICE ? 1 : tern__config_num_labels(config), "classifier");
        return config->head;
    default:
        return TERN_HEAD_NONE;
    }
}
