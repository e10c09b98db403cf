/* albert.c - ALBERT (Lan et al. 2019, arXiv:1909.11942): AlbertModel of Hugging Face transformers, with its pooler. Small embeddings, one
 * linear up to hidden_size, and layers that share their weights: layer l of num_hidden_layers runs the inner_group_num layers of group
 * l * num_hidden_groups / num_hidden_layers. Post-norm, like BERT.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"

#include <math.h>

typedef struct albert_config {
    tern_bert_config bert;
    int64_t num_hidden_groups, inner_group_num;
} albert_config;

static albert_config read_config(const tern_config *config) {
    albert_config c = {
        .bert = tern__bert_config_read(config),
        .num_hidden_groups = tern__config_size_or(config, "num_hidden_groups", 1),
        .inner_group_num = tern__config_size_or(config, "inner_group_num", 1),
    };
    c.bert.embedding_size = tern__config_size_or(config, "embedding_size", 128);
    c.bert.hidden_act = tern__config_activation_or(config, "hidden_act", "gelu_new");
    if (c.num_hidden_groups > c.bert.num_hidden_layers)
        tern__program_fail(config->program, TERN_E_CONFIG,
                           "config.json: \"num_hidden_groups\" %lld is more than \"num_hidden_layers\" %lld",
                           (long long)c.num_hidden_groups, (long long)c.bert.num_hidden_layers);
    return c;
}

#define LAYER "encoder.albert_layer_groups.%d.albert_layers.%d."

static tern_value layer(tern_program *p, const tern_bert_config *c, tern_value x, int group, int inner) {
    const float scale = 1.0f / sqrtf((float)(c->hidden_size / c->num_attention_heads));
    tern_value q = tern__linear(p, x, c->hidden_size, LAYER "attention.query", group, inner);
    tern_value k = tern__linear(p, x, c->hidden_size, LAYER "attention.key", group, inner);
    tern_value v = tern__linear(p, x, c->hidden_size, LAYER "attention.value", group, inner);
    tern_value attention = tern__attention(p, q, k, v, c->num_attention_heads, scale);
    attention = tern__linear(p, attention, c->hidden_size, LAYER "attention.dense", group, inner);
    x = tern__layer_norm(p, tern__add(p, attention, x), c->layer_norm_eps, LAYER "attention.LayerNorm", group, inner);

    tern_value output = tern__activation(p, tern__linear(p, x, c->intermediate_size, LAYER "ffn", group, inner), c->hidden_act);
    output = tern__linear(p, output, c->hidden_size, LAYER "ffn_output", group, inner);
    return tern__layer_norm(p, tern__add(p, output, x), c->layer_norm_eps, LAYER "full_layer_layer_norm", group, inner);
}

static void build_lm_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x, const char *output) {
    const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
    const tern_lm_head head = {.dense = "predictions.dense",
                               .norm = "predictions.LayerNorm",
                               .dense_bias = true,
                               .norm_bias = true,
                               .activation = c->hidden_act,
                               .layer_norm_eps = c->layer_norm_eps,
                               .embedding_size = c->embedding_size,
                               .vocab_size = c->vocab_size,
                               .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "predictions.decoder.weight",
                               .decoder_bias = is_tied ? "predictions.bias" : "predictions.decoder.bias"};
    tern__lm_head_build(p, x, &head, output);
}

static tern_head build_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x, tern_value pooled) {
    const bool is_lm = config->head == TERN_HEAD_PRE_TRAINING || config->head == TERN_HEAD_MASKED_LM;
    if (is_lm && !tern__config_has_weight(config, "predictions.dense.weight")) return TERN_HEAD_NONE;
    switch (config->head) {
    case TERN_HEAD_PRE_TRAINING:
        if (pooled.index == 0 || !tern__config_has_weight(config, "sop_classifier.classifier.weight")) return TERN_HEAD_NONE;
        build_lm_head(p, config, c, x, "prediction_logits");
        tern__output(p, tern__linear(p, pooled, tern__config_num_labels(config), "sop_classifier.classifier"), "sop_logits");
        return config->head;
    case TERN_HEAD_MASKED_LM:
        build_lm_head(p, config, c, x, "logits");
        return config->head;
    default:
        return tern__plain_head_build(config, x, pooled);
    }
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const albert_config c = read_config(config);
    tern_value x = tern__linear(p, tern__bert_embeddings(p, &c.bert), c.bert.hidden_size, "encoder.embedding_hidden_mapping_in");
    tern__output(p, x, "hidden_states.0");
    int n_run = 0;
    for (int64_t l = 0; l < c.bert.num_hidden_layers; l++)
        for (int inner = 0; inner < c.inner_group_num && p->error.code == TERN_OK; inner++) {
            x = layer(p, &c.bert, x, (int)(l * c.num_hidden_groups / c.bert.num_hidden_layers), inner);
            tern__output(p, x, "hidden_states.%d", ++n_run);
        }
    tern__output(p, x, "last_hidden_state");
    tern_value pooled = {0};
    if (tern__config_has_weight(config, "pooler.weight")) {
        pooled = tern__first_row_dense(p, x, c.bert.hidden_size, TERN_OP_TANH, "pooler");
        tern__output(p, pooled, "pooler_output");
    }
    *facts = tern__bert_facts(&c.bert, x);
    facts->head = build_head(p, config, &c.bert, x, pooled);
}

static const tern_arch_tokenizer albert_tokenizer = {.vocabulary = TERN_VOCABULARY_UNIGRAM,
                                                     .lowercase = true,
                                                     .pad = "<pad>",
                                                     .unk = "<unk>",
                                                     .cls = "[CLS]",
                                                     .sep = "[SEP]",
                                                     .mask = "[MASK]",
                                                     .cls_key = "bos_token_id",
                                                     .sep_key = "eos_token_id",
                                                     .n_between = 1};

const tern_arch tern__arch_albert = {
    .classes = (const tern_arch_class[]){{"albert", "AlbertModel", &albert_tokenizer}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "albert.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "albert.embeddings.position_ids", "predictions.", "sop_classifier.",
                                     "classifier.", "qa_outputs.", NULL},
    .build = build,
};
