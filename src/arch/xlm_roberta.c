/* xlm_roberta.c - XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116): XLMRobertaModel of Hugging Face transformers. RoBERTa's encoder and
 * weight names; what differs is the tokenizer and the size of the vocabulary.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"
#include "arch/common/tokenizers.h"

const tern_arch tern__arch_xlm_roberta = {
    .classes = (const tern_arch_class[]){{"xlm-roberta", "XLMRobertaModel", &tern__tokenizer_xlm_roberta}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "roberta.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored =
        (const char *const[]){"embeddings.position_ids", "roberta.embeddings.position_ids", "lm_head.", "classifier.", "qa_outputs.", NULL},
    .build = tern__roberta_build,
};
