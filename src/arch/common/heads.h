/* heads.h - the heads that Hugging Face's classes put on an encoder, as program text. A head is built when config.json's `architectures`
 * names its class and the checkpoint has its weights; its results are outputs under transformers' names.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_ARCH_HEADS_H
#define TERN_ARCH_HEADS_H

#include "arch/arch.h"

/* Masked language modeling: linear, activation, norm, then the table of words as a linear (or one of its own). */
typedef struct tern_lm_head {
    const char *dense, *norm; /* layers */
    bool dense_bias, norm_bias;
    tern_op activation;
    float layer_norm_eps;
    int64_t embedding_size, vocab_size;
    const char *decoder_weight; /* tied: "embeddings.word_embeddings.weight" */
    const char *decoder_bias;   /* NULL: none */
} tern_lm_head;

/* "logits" [tokens, vocab_size], or under the name given; and "picked_logits" [picks, vocab_size], so that filling masks does not cost the
 * logits of every token. */
void tern__lm_head_build(tern_program *p, tern_value x, const tern_lm_head *head, const char *output);

/* "logits" = linear(x): [tokens, n_labels] of tokens, [sequences, n_labels] of pooled rows. */
void tern__classifier_build(tern_program *p, tern_value x, int64_t n_labels, const char *name);
/* linear(x) [tokens, 2] apart: "start_logits" and "end_logits" [tokens]. */
void tern__qa_outputs_build(tern_program *p, tern_value x, const char *name);
/* The first row of each sequence through a linear and an activation. */
tern_value tern__first_row_dense(tern_program *p, tern_value x, int64_t width, tern_op activation, const char *name);

/* The heads that most classes share, on weights of the same names: token classification ("classifier"), question answering
 * ("qa_outputs"), and, where `pooled` is not null, sequence classification and multiple choice ("classifier" of it). Returns the head that
 * was built: config->head, or TERN_HEAD_NONE when it is another or the checkpoint lacks it. */
tern_head tern__plain_head_build(const tern_config *config, tern_value last_hidden_state, tern_value pooled);

#endif
