/* bert_encoder.c - BERT's embeddings, layers and pooler as program text (Devlin et al. 2018, arXiv:1810.04805).
 * Post-norm: LayerNorm follows each residual sum.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"

#include <math.h>
#include <string.h>

tern_bert_config tern__bert_config_read(const tern_config *config) {
    tern_program *p = config->program;
    const int64_t hidden_size = tern__config_size(config, "hidden_size");
    const tern_bert_config c = {
        .vocab_size = tern__config_size(config, "vocab_size"),
        .embedding_size = hidden_size,
        .hidden_size = hidden_size,
        .num_hidden_layers = tern__config_size(config, "num_hidden_layers"),
        .num_attention_heads = tern__config_size(config, "num_attention_heads"),
        .intermediate_size = tern__config_size(config, "intermediate_size"),
        .max_position_embeddings = tern__config_size(config, "max_position_embeddings"),
        .type_vocab_size = tern__config_size_or(config, "type_vocab_size", 2),
        .layer_norm_eps = tern__config_float_or(config, "layer_norm_eps", 1e-12f),
        .initializer_range = tern__config_float_or(config, "initializer_range", 0.02f),
        .hidden_act = tern__config_activation_or(config, "hidden_act", "gelu"),
    };
    const char *positions = tern__config_string_or(config, "position_embedding_type", "absolute");
    if (strcmp(positions, "absolute") != 0)
        tern__program_fail(p, TERN_E_UNSUPPORTED, "config.json: \"position_embedding_type\" is \"%.60s\"; this version has \"absolute\"",
                           positions);
    if (tern__config_bool_or(config, "is_decoder", false))
        tern__program_fail(p, TERN_E_UNSUPPORTED, "config.json: \"is_decoder\" is true; the model is an encoder here");
    if (c.hidden_size % c.num_attention_heads != 0)
        tern__program_fail(p, TERN_E_CONFIG, "config.json: \"hidden_size\" %lld is not a multiple of \"num_attention_heads\" %lld",
                           (long long)c.hidden_size, (long long)c.num_attention_heads);
    return c;
}

tern_value tern__bert_embeddings(tern_program *p, const tern_bert_config *c) {
    tern_value words = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c->vocab_size, c->embedding_size, "embeddings.word_embeddings");
    tern_value types = tern__embedding(p, tern__input(p, TERN_INPUT_TOKEN_TYPE_IDS), c->type_vocab_size, c->embedding_size,
                                       "embeddings.token_type_embeddings");
    tern_value positions = tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), c->max_position_embeddings, c->embedding_size,
                                           "embeddings.position_embeddings");
    tern_value sum = tern__add(p, tern__add(p, words, types), positions);
    return tern__layer_norm(p, sum, c->layer_norm_eps, "embeddings.LayerNorm");
}

static tern_value layer(tern_program *p, const tern_bert_config *c, tern_value x, int l) {
    const float scale = 1.0f / sqrtf((float)(c->hidden_size / c->num_attention_heads));
    tern_value q = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.self.query", l);
    tern_value k = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.self.key", l);
    tern_value v = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.self.value", l);
    tern_value attention = tern__attention(p, q, k, v, c->num_attention_heads, scale);
    attention = tern__linear(p, attention, c->hidden_size, "encoder.layer.%d.attention.output.dense", l);
    x = tern__layer_norm(p, tern__add(p, attention, x), c->layer_norm_eps, "encoder.layer.%d.attention.output.LayerNorm", l);

    tern_value intermediate = tern__linear(p, x, c->intermediate_size, "encoder.layer.%d.intermediate.dense", l);
    intermediate = tern__activation(p, intermediate, c->hidden_act);
    tern_value output = tern__linear(p, intermediate, c->hidden_size, "encoder.layer.%d.output.dense", l);
    return tern__layer_norm(p, tern__add(p, output, x), c->layer_norm_eps, "encoder.layer.%d.output.LayerNorm", l);
}

tern_value tern__bert_layers(tern_program *p, const tern_bert_config *c, tern_value x) {
    tern__output(p, x, "hidden_states.0");
    for (int l = 0; l < c->num_hidden_layers && p->error.code == TERN_OK; l++) {
        x = layer(p, c, x, l);
        tern__output(p, x, "hidden_states.%d", l + 1);
    }
    tern__output(p, x, "last_hidden_state");
    return x;
}

tern_value tern__bert_pooler(const tern_config *config, const tern_bert_config *c, tern_value last_hidden_state) {
    if (!tern__config_has_weight(config, "pooler.dense.weight")) return (tern_value){0};
    tern_value pooled = tern__first_row_dense(config->program, last_hidden_state, c->hidden_size, TERN_OP_TANH, "pooler.dense");
    tern__output(config->program, pooled, "pooler_output");
    return pooled;
}

tern_head tern__roberta_head_build(const tern_config *config, const tern_bert_config *c, tern_value last_hidden_state, tern_value pooled) {
    tern_program *p = config->program;
    if (config->head == TERN_HEAD_MASKED_LM && tern__config_has_weight(config, "lm_head.dense.weight")) {
        const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
        const tern_lm_head head = {.dense = "lm_head.dense",
                                   .norm = "lm_head.layer_norm",
                                   .dense_bias = true,
                                   .norm_bias = true,
                                   .activation = TERN_OP_GELU,
                                   .layer_norm_eps = c->layer_norm_eps,
                                   .embedding_size = c->hidden_size,
                                   .vocab_size = c->vocab_size,
                                   .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "lm_head.decoder.weight",
                                   .decoder_bias = is_tied ? "lm_head.bias" : "lm_head.decoder.bias"};
        tern__lm_head_build(p, last_hidden_state, &head, "logits");
        return config->head;
    }
    if (config->head != TERN_HEAD_SEQUENCE_CLASSIFICATION) return tern__plain_head_build(config, last_hidden_state, pooled);
    if (!tern__config_has_weight(config, "classifier.dense.weight")) return TERN_HEAD_NONE;
    tern_value x = tern__first_row_dense(p, last_hidden_state, c->hidden_size, TERN_OP_TANH, "classifier.dense");
    tern__classifier_build(p, x, tern__config_num_labels(config), "classifier.out_proj");
    return config->head;
}

tern_arch_facts tern__bert_facts(const tern_bert_config *c, tern_value last_hidden_state) {
    return (tern_arch_facts){.hidden_size = c->hidden_size,
                             .num_hidden_layers = c->num_hidden_layers,
                             .vocab_size = c->vocab_size,
                             .max_position_embeddings = c->max_position_embeddings,
                             .max_tokens = c->max_position_embeddings,
                             .type_vocab_size = c->type_vocab_size,
                             .initializer_range = c->initializer_range,
                             .last_hidden_state = last_hidden_state};
}
