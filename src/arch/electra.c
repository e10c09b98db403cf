/* electra.c - ELECTRA (Clark et al. 2020, arXiv:2003.10555): ElectraModel of Hugging Face transformers. BERT's encoder without a pooler;
 * where embedding_size differs from hidden_size, one linear stands between the embeddings and the layers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"
#include "arch/common/tokenizers.h"

/* The generator's head goes back to embedding_size; the discriminator's (ElectraForPreTraining) tells replaced tokens. */
static tern_head build_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x) {
    switch (config->head) {
    case TERN_HEAD_PRE_TRAINING:
        if (!tern__config_has_weight(config, "discriminator_predictions.dense.weight")) return TERN_HEAD_NONE;
        x = tern__activation(p, tern__linear(p, x, c->hidden_size, "discriminator_predictions.dense"), c->hidden_act);
        tern__output_squeezed(p, tern__linear(p, x, 1, "discriminator_predictions.dense_prediction"), "logits");
        return config->head;
    case TERN_HEAD_MASKED_LM: {
        if (!tern__config_has_weight(config, "generator_predictions.dense.weight")) return TERN_HEAD_NONE;
        const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
        const tern_lm_head head = {.dense = "generator_predictions.dense",
                                   .norm = "generator_predictions.LayerNorm",
                                   .dense_bias = true,
                                   .norm_bias = true,
                                   .activation = TERN_OP_GELU,
                                   .layer_norm_eps = c->layer_norm_eps,
                                   .embedding_size = c->embedding_size,
                                   .vocab_size = c->vocab_size,
                                   .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "generator_lm_head.weight",
                                   .decoder_bias = "generator_lm_head.bias"};
        tern__lm_head_build(p, x, &head, "logits");
        return config->head;
    }
    case TERN_HEAD_SEQUENCE_CLASSIFICATION:
        if (!tern__config_has_weight(config, "classifier.dense.weight")) return TERN_HEAD_NONE;
        x = tern__first_row_dense(p, x, c->hidden_size, TERN_OP_GELU, "classifier.dense");
        tern__classifier_build(p, x, tern__config_num_labels(config), "classifier.out_proj");
        return config->head;
    case TERN_HEAD_MULTIPLE_CHOICE:
        if (!tern__config_has_weight(config, "sequence_summary.summary.weight")) return TERN_HEAD_NONE;
        x = tern__first_row_dense(p, x, c->hidden_size, tern__config_activation_or(config, "summary_activation", "gelu"),
                                  "sequence_summary.summary");
        tern__classifier_build(p, x, 1, "classifier");
        return config->head;
    default:
        return tern__plain_head_build(config, x, (tern_value){0});
    }
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    tern_bert_config c = tern__bert_config_read(config);
    c.embedding_size = tern__config_size_or(config, "embedding_size", 128);
    tern_value x = tern__bert_embeddings(p, &c);
    if (c.embedding_size != c.hidden_size) x = tern__linear(p, x, c.hidden_size, "embeddings_project");
    x = tern__bert_layers(p, &c, x);
    *facts = tern__bert_facts(&c, x);
    facts->head = build_head(p, config, &c, x);
}

const tern_arch tern__arch_electra = {
    .classes = (const tern_arch_class[]){{"electra", "ElectraModel", &tern__tokenizer_bert}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "electra.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored =
        (const char *const[]){"embeddings.position_ids", "electra.embeddings.position_ids", "discriminator_predictions.",
                              "generator_predictions.", "generator_lm_head.", "sequence_summary.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
