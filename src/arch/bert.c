/* bert.c - BERT (Devlin et al. 2018, arXiv:1810.04805): BertModel of Hugging Face transformers, with its pooler.
 * Learned absolute positions that count from 0. Checkpoints name their weights bare ("encoder.layer...") or, saved from a model with a
 * head, behind "bert."; the first ones say gamma and beta for LayerNorm's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts,
                  bool (*has_weight)(void *context, const char *name), void *context) {
    const tern_bert_config c = tern__bert_config_read(config);
    tern_value x = tern__bert_layers(p, &c, tern__bert_embeddings(p, &c));
    tern__bert_pooler(p, &c, x, has_weight, context);
    *facts = tern__bert_facts(&c, x);
}

const tern_arch tern__arch_bert = {
    .classes = (const tern_arch_class[]){{"bert", "BertModel"}, {NULL, NULL}},
    .prefixes = (const char *const[]){"", "bert.", NULL},
    .aliases = (const tern_weight_alias[]){{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}, {NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "bert.embeddings.position_ids", "cls.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
