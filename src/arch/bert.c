/* bert.c - BERT (Devlin et al. 2018, arXiv:1810.04805): BertModel of Hugging Face transformers, with its pooler.
 * Learned absolute positions that count from 0. Checkpoints name their weights bare ("encoder.layer...") or, saved from a model with a
 * head, behind "bert."; the first ones say gamma and beta for LayerNorm's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"
#include "arch/common/tokenizers.h"

static void build_lm_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x, const char *output) {
    const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
    const tern_lm_head head = {.dense = "cls.predictions.transform.dense",
                               .norm = "cls.predictions.transform.LayerNorm",
                               .dense_bias = true,
                               .norm_bias = true,
                               .activation = c->hidden_act,
                               .layer_norm_eps = c->layer_norm_eps,
                               .embedding_size = c->hidden_size,
                               .vocab_size = c->vocab_size,
                               .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "cls.predictions.decoder.weight",
                               .decoder_bias = is_tied ? "cls.predictions.bias" : "cls.predictions.decoder.bias"};
    tern__lm_head_build(p, x, &head, output);
}

static bool has_lm_head(const tern_config *config) { return tern__config_has_weight(config, "cls.predictions.transform.dense.weight"); }

static bool has_seq_relationship(const tern_config *config) { return tern__config_has_weight(config, "cls.seq_relationship.weight"); }

static tern_head build_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x, tern_value pooled) {
    switch (config->head) {
    case TERN_HEAD_PRE_TRAINING:
        if (!has_lm_head(config) || !has_seq_relationship(config) || pooled.index == 0) return TERN_HEAD_NONE;
        build_lm_head(p, config, c, x, "prediction_logits");
        tern__output(p, tern__linear(p, pooled, 2, "cls.seq_relationship"), "seq_relationship_logits");
        return config->head;
    case TERN_HEAD_MASKED_LM:
        if (!has_lm_head(config)) return TERN_HEAD_NONE;
        build_lm_head(p, config, c, x, "logits");
        return config->head;
    case TERN_HEAD_NEXT_SENTENCE_PREDICTION:
        if (!has_seq_relationship(config) || pooled.index == 0) return TERN_HEAD_NONE;
        tern__classifier_build(p, pooled, 2, "cls.seq_relationship");
        return config->head;
    default:
        return tern__plain_head_build(config, x, pooled);
    }
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const tern_bert_config c = tern__bert_config_read(config);
    tern_value x = tern__bert_layers(p, &c, tern__bert_embeddings(p, &c));
    tern_value pooled = tern__bert_pooler(config, &c, x);
    *facts = tern__bert_facts(&c, x);
    facts->head = build_head(p, config, &c, x, pooled);
}

const tern_arch tern__arch_bert = {
    .classes = (const tern_arch_class[]){{"bert", "BertModel", &tern__tokenizer_bert}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "bert.", NULL},
    .aliases = (const tern_weight_alias[]){{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}, {NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "bert.embeddings.position_ids", "cls.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
