/* distilbert.c - DistilBERT (Sanh et al. 2019, arXiv:1910.01108): DistilBertModel of Hugging Face transformers. BERT's post-norm encoder
 * with names of its own for keys and weights, no token types and no pooler. The norms' eps is fixed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/heads.h"
#include "arch/common/tokenizers.h"

#include <math.h>

#define LAYER_NORM_EPS 1e-12f

typedef struct distilbert_config {
    int64_t vocab_size, dim, n_layers, n_heads, hidden_dim, max_position_embeddings;
    tern_op activation;
} distilbert_config;

static distilbert_config read_config(const tern_config *config) {
    const distilbert_config c = {
        .vocab_size = tern__config_size(config, "vocab_size"),
        .dim = tern__config_size(config, "dim"),
        .n_layers = tern__config_size(config, "n_layers"),
        .n_heads = tern__config_size(config, "n_heads"),
        .hidden_dim = tern__config_size(config, "hidden_dim"),
        .max_position_embeddings = tern__config_size(config, "max_position_embeddings"),
        .activation = tern__config_activation_or(config, "activation", "gelu"),
    };
    if (c.dim % c.n_heads != 0)
        tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"dim\" %lld is not a multiple of \"n_heads\" %lld",
                           (long long)c.dim, (long long)c.n_heads);
    return c;
}

static tern_value embeddings(tern_program *p, const distilbert_config *c) {
    tern_value words = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c->vocab_size, c->dim, "embeddings.word_embeddings");
    tern_value positions =
        tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), c->max_position_embeddings, c->dim, "embeddings.position_embeddings");
    return tern__layer_norm(p, tern__add(p, words, positions), LAYER_NORM_EPS, "embeddings.LayerNorm");
}

static tern_value layer(tern_program *p, const distilbert_config *c, tern_value x, int l) {
    const float scale = 1.0f / sqrtf((float)(c->dim / c->n_heads));
    tern_value q = tern__linear(p, x, c->dim, "transformer.layer.%d.attention.q_lin", l);
    tern_value k = tern__linear(p, x, c->dim, "transformer.layer.%d.attention.k_lin", l);
    tern_value v = tern__linear(p, x, c->dim, "transformer.layer.%d.attention.v_lin", l);
    tern_value attention = tern__attention(p, q, k, v, c->n_heads, scale);
    attention = tern__linear(p, attention, c->dim, "transformer.layer.%d.attention.out_lin", l);
    x = tern__layer_norm(p, tern__add(p, attention, x), LAYER_NORM_EPS, "transformer.layer.%d.sa_layer_norm", l);

    tern_value output = tern__activation(p, tern__linear(p, x, c->hidden_dim, "transformer.layer.%d.ffn.lin1", l), c->activation);
    output = tern__linear(p, output, c->dim, "transformer.layer.%d.ffn.lin2", l);
    return tern__layer_norm(p, tern__add(p, output, x), LAYER_NORM_EPS, "transformer.layer.%d.output_layer_norm", l);
}

static tern_head build_head(tern_program *p, const tern_config *config, const distilbert_config *c, tern_value x) {
    tern_value pooled = {0};
    if (config->head == TERN_HEAD_MASKED_LM && tern__config_has_weight(config, "vocab_transform.weight")) {
        const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
        const tern_lm_head head = {.dense = "vocab_transform",
                                   .norm = "vocab_layer_norm",
                                   .dense_bias = true,
                                   .norm_bias = true,
                                   .activation = c->activation,
                                   .layer_norm_eps = LAYER_NORM_EPS,
                                   .embedding_size = c->dim,
                                   .vocab_size = c->vocab_size,
                                   .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "vocab_projector.weight",
                                   .decoder_bias = "vocab_projector.bias"};
        tern__lm_head_build(p, x, &head, "logits");
        return config->head;
    }
    const bool pools = config->head == TERN_HEAD_SEQUENCE_CLASSIFICATION || config->head == TERN_HEAD_MULTIPLE_CHOICE;
    if (pools && tern__config_has_weight(config, "pre_classifier.weight"))
        pooled = tern__first_row_dense(p, x, c->dim, TERN_OP_RELU, "pre_classifier");
    return tern__plain_head_build(config, x, pooled);
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const distilbert_config c = read_config(config);
    tern_value x = embeddings(p, &c);
    tern__output(p, x, "hidden_states.0");
    for (int l = 0; l < c.n_layers && p->error.code == TERN_OK; l++) {
        x = layer(p, &c, x, l);
        tern__output(p, x, "hidden_states.%d", l + 1);
    }
    tern__output(p, x, "last_hidden_state");
    *facts = (tern_arch_facts){.hidden_size = c.dim,
                               .num_hidden_layers = c.n_layers,
                               .vocab_size = c.vocab_size,
                               .max_position_embeddings = c.max_position_embeddings,
                               .max_tokens = c.max_position_embeddings,
                               .initializer_range = tern__config_float_or(config, "initializer_range", 0.02f),
                               .last_hidden_state = x};
    facts->head = build_head(p, config, &c, x);
}

const tern_arch tern__arch_distilbert = {
    .classes = (const tern_arch_class[]){{"distilbert", "DistilBertModel", &tern__tokenizer_bert}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "distilbert.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "distilbert.embeddings.position_ids", "vocab_transform.",
                                     "vocab_layer_norm.", "vocab_projector.", "pre_classifier.", "classifier.", "qa_outputs.", NULL},
    .build = build,
};
