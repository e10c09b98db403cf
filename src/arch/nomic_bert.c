/* nomic_bert.c - Nomic BERT (Nussbaum et al. 2024, arXiv:2402.01613): NomicBertModel of Hugging Face transformers. BERT's post-norm encoder
 * with rotary positions in place of learned ones, no biases in its layers' linears, and a gate in the feed-forward part (SwiGLU).
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/bert_encoder.h"
#include "arch/common/tokenizers.h"

#include <math.h>
#include <string.h>

#define THETA 1000.0f

static float read_theta(const tern_config *config) {
    const tern_config rope = {.json = json_object_get(config->json, "rope_parameters"), .program = config->program};
    const char *type = tern__config_string_or(&rope, "rope_type", "default");
    if (strcmp(type, "default") != 0)
        tern__program_fail(config->program, TERN_E_UNSUPPORTED, "config.json: \"rope_type\" is \"%.60s\"; this version has \"default\"",
                           type);
    return tern__config_float_or(&rope, "rope_theta", THETA);
}

static tern_value layer(tern_program *p, const tern_bert_config *c, float theta, tern_value x, int l) {
    const float scale = 1.0f / sqrtf((float)(c->hidden_size / c->num_attention_heads));
    tern_value q = tern__linear_bias(p, x, c->hidden_size, false, "layers.%d.self_attn.q_proj", l);
    tern_value k = tern__linear_bias(p, x, c->hidden_size, false, "layers.%d.self_attn.k_proj", l);
    tern_value v = tern__linear_bias(p, x, c->hidden_size, false, "layers.%d.self_attn.v_proj", l);
    q = tern__rope(p, q, c->num_attention_heads, theta, c->max_position_embeddings);
    k = tern__rope(p, k, c->num_attention_heads, theta, c->max_position_embeddings);
    tern_value attention = tern__attention(p, q, k, v, c->num_attention_heads, scale);
    attention = tern__linear_bias(p, attention, c->hidden_size, false, "layers.%d.self_attn.o_proj", l);
    x = tern__layer_norm(p, tern__add(p, attention, x), c->layer_norm_eps, "layers.%d.post_attention_layernorm", l);

    tern_value gate =
        tern__activation(p, tern__linear_bias(p, x, c->intermediate_size, false, "layers.%d.mlp.gate_proj", l), c->hidden_act);
    tern_value up = tern__linear_bias(p, x, c->intermediate_size, false, "layers.%d.mlp.up_proj", l);
    tern_value down = tern__linear_bias(p, tern__multiply(p, gate, up), c->hidden_size, false, "layers.%d.mlp.down_proj", l);
    return tern__layer_norm(p, tern__add(p, down, x), c->layer_norm_eps, "layers.%d.post_mlp_layernorm", l);
}

static tern_value embeddings(tern_program *p, const tern_bert_config *c) {
    tern_value words = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c->vocab_size, c->hidden_size, "embeddings.word_embeddings");
    tern_value types = tern__embedding(p, tern__input(p, TERN_INPUT_TOKEN_TYPE_IDS), c->type_vocab_size, c->hidden_size,
                                       "embeddings.token_type_embeddings");
    return tern__layer_norm(p, tern__add(p, words, types), c->layer_norm_eps, "embeddings.LayerNorm");
}

static tern_head build_head(tern_program *p, const tern_config *config, const tern_bert_config *c, tern_value x, tern_value pooled) {
    if (config->head != TERN_HEAD_MASKED_LM) return tern__plain_head_build(config, x, pooled);
    if (!tern__config_has_weight(config, "cls.predictions.transform.dense.weight")) return TERN_HEAD_NONE;
    const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
    const tern_lm_head head = {.dense = "cls.predictions.transform.dense",
                               .norm = "cls.predictions.transform.layer_norm",
                               .dense_bias = true,
                               .norm_bias = true,
                               .activation = c->hidden_act,
                               .layer_norm_eps = c->layer_norm_eps,
                               .embedding_size = c->hidden_size,
                               .vocab_size = c->vocab_size,
                               .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "cls.predictions.decoder.weight",
                               .decoder_bias = is_tied ? "cls.predictions.bias" : "cls.predictions.decoder.bias"};
    tern__lm_head_build(p, x, &head, "logits");
    return config->head;
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    tern_bert_config c = tern__bert_config_read(config);
    c.hidden_act = tern__config_activation_or(config, "hidden_act", "silu");
    const float theta = read_theta(config);
    tern_value x = embeddings(p, &c);
    tern__output(p, x, "hidden_states.0");
    for (int l = 0; l < c.num_hidden_layers && p->error.code == TERN_OK; l++) {
        x = layer(p, &c, theta, x, l);
        tern__output(p, x, "hidden_states.%d", l + 1);
    }
    tern__output(p, x, "last_hidden_state");
    *facts = tern__bert_facts(&c, x);
    facts->head = build_head(p, config, &c, x, tern__bert_pooler(config, &c, x));
}

const tern_arch tern__arch_nomic_bert = {
    .classes = (const tern_arch_class[]){{"nomic_bert", "NomicBertModel", &tern__tokenizer_bert}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "nomic_bert.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "cls.", "classifier.", NULL},
    .build = build,
};
