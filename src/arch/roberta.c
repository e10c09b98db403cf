/* roberta.c - RoBERTa (Liu et al. 2019, arXiv:1907.11692) and CamemBERT (Martin et al. 2020, arXiv:1911.03894): RobertaModel and
 * CamembertModel of Hugging Face transformers. BERT's encoder; what differs are the positions: the first token that is not the pad token
 * has pad_token_id + 1, and a pad token pad_token_id itself, so that max_position_embeddings - pad_token_id - 1 tokens fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"
#include "arch/common/tokenizers.h"

void tern__roberta_build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const tern_bert_config c = tern__bert_config_read(config);
    tern_value x = tern__bert_layers(p, &c, tern__bert_embeddings(p, &c));
    tern_value pooled = tern__bert_pooler(config, &c, x);
    *facts = tern__bert_facts(&c, x);
    tern__positions_after_pad(facts, config, tern__config_id_or(config, "pad_token_id", 1));
    facts->head = tern__roberta_head_build(config, &c, x, pooled);
}

static const tern_arch_tokenizer roberta_tokenizer = {.vocabulary = TERN_VOCABULARY_BYTE_LEVEL_BPE,
                                                      .pad = "<pad>",
                                                      .unk = "<unk>",
                                                      .cls = "<s>",
                                                      .sep = "</s>",
                                                      .mask = "<mask>",
                                                      .cls_key = "bos_token_id",
                                                      .sep_key = "eos_token_id",
                                                      .n_between = 2};

const tern_arch tern__arch_roberta = {
    .classes = (const tern_arch_class[]){{"roberta", "RobertaModel", &roberta_tokenizer},
                                         {"camembert", "CamembertModel", &tern__tokenizer_xlm_roberta},
                                         {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "roberta.", NULL},
    .aliases = (const tern_weight_alias[]){{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}, {NULL, NULL}},
    .ignored =
        (const char *const[]){"embeddings.position_ids", "roberta.embeddings.position_ids", "lm_head.", "classifier.", "qa_outputs.", NULL},
    .build = tern__roberta_build,
};
