/* mpnet.c - MPNet (Song et al. 2020, arXiv:2004.09297): MPNetModel of Hugging Face transformers, with its pooler. BERT's post-norm encoder
 * without token types; positions count on from the pad token as RoBERTa's, and every layer adds the same relative bias to its scores.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"

#include <math.h>

#define PAD_TOKEN_ID 1 /* of the positions; transformers does not ask config.json */
#define N_BUCKETS    32
#define MAX_DISTANCE 128

static tern_value embeddings(tern_program *p, const tern_bert_config *c) {
    tern_value words = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c->vocab_size, c->hidden_size, "embeddings.word_embeddings");
    tern_value positions = tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), c->max_position_embeddings, c->hidden_size,
                                           "embeddings.position_embeddings");
    return tern__layer_norm(p, tern__add(p, words, positions), c->layer_norm_eps, "embeddings.LayerNorm");
}

static tern_value layer(tern_program *p, const tern_bert_config *c, tern_value x, int l) {
    const float scale = 1.0f / sqrtf((float)(c->hidden_size / c->num_attention_heads));
    tern_value q = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.attn.q", l);
    tern_value k = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.attn.k", l);
    tern_value v = tern__linear(p, x, c->hidden_size, "encoder.layer.%d.attention.attn.v", l);
    tern_value attention = tern__attention_relative_bias(p, q, k, v, c->num_attention_heads, scale, N_BUCKETS, MAX_DISTANCE,
                                                         "encoder.relative_attention_bias");
    attention = tern__linear(p, attention, c->hidden_size, "encoder.layer.%d.attention.attn.o", l);
    x = tern__layer_norm(p, tern__add(p, attention, x), c->layer_norm_eps, "encoder.layer.%d.attention.LayerNorm", l);

    tern_value output =
        tern__activation(p, tern__linear(p, x, c->intermediate_size, "encoder.layer.%d.intermediate.dense", l), c->hidden_act);
    output = tern__linear(p, output, c->hidden_size, "encoder.layer.%d.output.dense", l);
    return tern__layer_norm(p, tern__add(p, output, x), c->layer_norm_eps, "encoder.layer.%d.output.LayerNorm", l);
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const tern_bert_config c = tern__bert_config_read(config);
    const int64_t n_buckets = tern__config_size_or(config, "relative_attention_num_buckets", N_BUCKETS);
    if (n_buckets != N_BUCKETS)
        tern__program_fail(p, TERN_E_UNSUPPORTED, "config.json: \"relative_attention_num_buckets\" is %lld; mpnet has %d",
                           (long long)n_buckets, N_BUCKETS);
    tern_value x = embeddings(p, &c);
    tern__output(p, x, "hidden_states.0");
    for (int l = 0; l < c.num_hidden_layers && p->error.code == TERN_OK; l++) {
        x = layer(p, &c, x, l);
        tern__output(p, x, "hidden_states.%d", l + 1);
    }
    tern__output(p, x, "last_hidden_state");
    tern_value pooled = tern__bert_pooler(config, &c, x);
    *facts = tern__bert_facts(&c, x);
    facts->type_vocab_size = 0;
    tern__positions_after_pad(facts, config, PAD_TOKEN_ID);
    facts->head = tern__roberta_head_build(config, &c, x, pooled);
}

static const tern_arch_tokenizer mpnet_tokenizer = {.vocabulary = TERN_VOCABULARY_WORDPIECE,
                                                    .lowercase = true,
                                                    .pad = "<pad>",
                                                    .unk = "[UNK]",
                                                    .cls = "<s>",
                                                    .sep = "</s>",
                                                    .mask = "<mask>",
                                                    .cls_key = "bos_token_id",
                                                    .sep_key = "eos_token_id",
                                                    .n_between = 2};

const tern_arch tern__arch_mpnet = {
    .classes = (const tern_arch_class[]){{"mpnet", "MPNetModel", &mpnet_tokenizer}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "mpnet.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored =
        (const char *const[]){"embeddings.position_ids", "mpnet.embeddings.position_ids", "lm_head.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
