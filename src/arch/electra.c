/* electra.c - ELECTRA (Clark et al. 2020, arXiv:2003.10555): ElectraModel of Hugging Face transformers. BERT's encoder without a pooler;
 * where embedding_size differs from hidden_size, one linear stands between the embeddings and the layers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts,
                  bool (*has_weight)(void *context, const char *name), void *context) {
    (void)has_weight, (void)context;
    tern_bert_config c = tern__bert_config_read(config);
    c.embedding_size = tern__config_size_or(config, "embedding_size", 128);
    tern_value x = tern__bert_embeddings(p, &c);
    if (c.embedding_size != c.hidden_size) x = tern__linear(p, x, c.hidden_size, "embeddings_project");
    x = tern__bert_layers(p, &c, x);
    *facts = tern__bert_facts(&c, x);
}

const tern_arch tern__arch_electra = {
    .classes = (const tern_arch_class[]){{"electra", "ElectraModel"}, {NULL, NULL}},
    .prefixes = (const char *const[]){"", "electra.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "electra.embeddings.position_ids", "discriminator_predictions.",
                                     "generator_predictions.", "generator_lm_head.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
