/* bert_encoder.h - what BERT and those that took over its encoder and its weight names share: embeddings of words, types and positions,
 * post-norm layers, pooler.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_ARCH_BERT_ENCODER_H
#define TERN_ARCH_BERT_ENCODER_H

#include "arch/common/heads.h"

typedef struct tern_bert_config {
    int64_t vocab_size, embedding_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    int64_t max_position_embeddings, type_vocab_size;
    float layer_norm_eps, initializer_range;
    tern_op hidden_act;
} tern_bert_config;

/* BERT's keys and defaults; embedding_size is hidden_size. Refuses position embeddings other than absolute ones, and decoders. */
tern_bert_config tern__bert_config_read(const tern_config *config);

/* embeddings.* -> [tokens, embedding_size] */
tern_value tern__bert_embeddings(tern_program *p, const tern_bert_config *c);
/* encoder.layer.* ; x [tokens, hidden_size] is hidden_states.0. Offers every hidden state and last_hidden_state, which it returns. */
tern_value tern__bert_layers(tern_program *p, const tern_bert_config *c, tern_value x);
/* pooler.dense and tanh on the first row of each sequence, offered as pooler_output; the null value when the checkpoint has none. */
tern_value tern__bert_pooler(const tern_config *config, const tern_bert_config *c, tern_value last_hidden_state);
/* Positions that count from 0. */
tern_arch_facts tern__bert_facts(const tern_bert_config *c, tern_value last_hidden_state);

/* RoBERTa's heads, on the encoder's results: lm_head, classifier.dense and classifier.out_proj on the first row; the plain ones. */
tern_head tern__roberta_head_build(const tern_config *config, const tern_bert_config *c, tern_value last_hidden_state, tern_value pooled);

/* roberta.c: BERT with positions that count on from the pad token's id (Liu et al. 2019, arXiv:1907.11692). */
void tern__roberta_build(tern_program *p, const tern_config *config, tern_arch_facts *facts);

#endif
