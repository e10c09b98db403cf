/* modernbert.c - ModernBERT (Warner et al. 2024, arXiv:2412.13663): ModernBertModel of Hugging Face transformers. Pre-norm layers without
 * biases unless the config says otherwise, GeGLU, and rotary positions; most layers attend to a window of local_attention tokens, every
 * global_attn_every_n_layers-th to all, each kind with a theta of its own. The first layer's attention norm is left out, since the
 * embeddings have just been normed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/heads.h"

#include <math.h>
#include <string.h>

typedef struct modernbert_config {
    int64_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, max_position_embeddings;
    int64_t local_attention, global_attn_every_n_layers;
    const json_t *layer_types; /* NULL: by global_attn_every_n_layers */
    float norm_eps, global_rope_theta, local_rope_theta;
    bool norm_bias, attention_bias, mlp_bias;
    tern_op hidden_activation;
} modernbert_config;

/* rope_parameters of one kind of layer, or the key that said it before. */
static float read_theta(const tern_config *config, const char *kind, const char *old_key, float fallback) {
    const tern_config rope = {.json = json_object_get(json_object_get(config->json, "rope_parameters"), kind), .program = config->program};
    const char *type = tern__config_string_or(&rope, "rope_type", "default");
    if (strcmp(type, "default") != 0)
        tern__program_fail(config->program, TERN_E_UNSUPPORTED, "config.json: \"rope_type\" is \"%.60s\"; this version has \"default\"",
                           type);
    return tern__config_float_or(&rope, "rope_theta", tern__config_float_or(config, old_key, fallback));
}

static modernbert_config read_config(const tern_config *config) {
    const json_t *layer_types = json_object_get(config->json, "layer_types");
    const modernbert_config c = {
        .vocab_size = tern__config_size(config, "vocab_size"),
        .hidden_size = tern__config_size(config, "hidden_size"),
        .num_hidden_layers = tern__config_size(config, "num_hidden_layers"),
        .num_attention_heads = tern__config_size(config, "num_attention_heads"),
        .intermediate_size = tern__config_size(config, "intermediate_size"),
        .max_position_embeddings = tern__config_size(config, "max_position_embeddings"),
        .local_attention = tern__config_size_or(config, "local_attention", 128),
        .global_attn_every_n_layers = tern__config_size_or(config, "global_attn_every_n_layers", 3),
        .layer_types = json_is_null(layer_types) ? NULL : layer_types,
        .norm_eps = tern__config_float_or(config, "norm_eps", 1e-5f),
        .global_rope_theta = read_theta(config, "full_attention", "global_rope_theta", 160000.0f),
        .local_rope_theta = read_theta(config, "sliding_attention", "local_rope_theta", 10000.0f),
        .norm_bias = tern__config_bool_or(config, "norm_bias", false),
        .attention_bias = tern__config_bool_or(config, "attention_bias", false),
        .mlp_bias = tern__config_bool_or(config, "mlp_bias", false),
        .hidden_activation = tern__config_activation_or(config, "hidden_activation", "gelu"),
    };
    if (c.hidden_size % c.num_attention_heads != 0)
        tern__program_fail(config->program, TERN_E_CONFIG,
                           "config.json: \"hidden_size\" %lld is not a multiple of \"num_attention_heads\" %lld", (long long)c.hidden_size,
                           (long long)c.num_attention_heads);
    if (c.layer_types != NULL && json_array_size(c.layer_types) != (size_t)c.num_hidden_layers)
        tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"layer_types\" must list %lld layers",
                           (long long)c.num_hidden_layers);
    return c;
}

static bool is_local(tern_program *p, const modernbert_config *c, int l) {
    if (c->layer_types == NULL) return l % c->global_attn_every_n_layers != 0;
    const char *type = json_string_value(json_array_get(c->layer_types, (size_t)l));
    if (type != NULL && strcmp(type, "sliding_attention") == 0) return true;
    if (type == NULL || strcmp(type, "full_attention") != 0)
        tern__program_fail(p, TERN_E_CONFIG, "config.json: \"layer_types\": layer %d is neither full_attention nor sliding_attention", l);
    return false;
}

static tern_value attention(tern_program *p, const modernbert_config *c, tern_value x, int l) {
    const bool local = is_local(p, c, l);
    const float scale = 1.0f / sqrtf((float)(c->hidden_size / c->num_attention_heads));
    const float theta = local ? c->local_rope_theta : c->global_rope_theta;
    tern_value qkv = tern__linear_bias(p, x, 3 * c->hidden_size, c->attention_bias, "layers.%d.attn.Wqkv", l);
    tern_value q = tern__slice(p, qkv, 0, c->hidden_size), k = tern__slice(p, qkv, c->hidden_size, c->hidden_size);
    tern_value v = tern__slice(p, qkv, 2 * c->hidden_size, c->hidden_size);
    q = tern__rope(p, q, c->num_attention_heads, theta, c->max_position_embeddings);
    k = tern__rope(p, k, c->num_attention_heads, theta, c->max_position_embeddings);
    tern_value y = local ? tern__attention_window(p, q, k, v, c->num_attention_heads, scale, c->local_attention / 2)
                         : tern__attention(p, q, k, v, c->num_attention_heads, scale);
    return tern__linear_bias(p, y, c->hidden_size, c->attention_bias, "layers.%d.attn.Wo", l);
}

static tern_value mlp(tern_program *p, const modernbert_config *c, tern_value x, int l) {
    tern_value both = tern__linear_bias(p, x, 2 * c->intermediate_size, c->mlp_bias, "layers.%d.mlp.Wi", l);
    tern_value input = tern__activation(p, tern__slice(p, both, 0, c->intermediate_size), c->hidden_activation);
    tern_value gate = tern__slice(p, both, c->intermediate_size, c->intermediate_size);
    return tern__linear_bias(p, tern__multiply(p, input, gate), c->hidden_size, c->mlp_bias, "layers.%d.mlp.Wo", l);
}

/* Every head starts with the same linear, activation and norm. */
static tern_head build_head(tern_program *p, const tern_config *config, const modernbert_config *c, tern_value x) {
    const bool dense_bias = tern__config_bool_or(config, "classifier_bias", false);
    const tern_op activation = tern__config_activation_or(config, "classifier_activation", "gelu");
    if (config->head == TERN_HEAD_NONE || !tern__config_has_weight(config, "head.dense.weight")) return TERN_HEAD_NONE;
    if (config->head == TERN_HEAD_MASKED_LM) {
        const bool is_tied = tern__config_bool_or(config, "tie_word_embeddings", true);
        const tern_lm_head head = {.dense = "head.dense",
                                   .norm = "head.norm",
                                   .dense_bias = dense_bias,
                                   .norm_bias = c->norm_bias,
                                   .activation = activation,
                                   .layer_norm_eps = c->norm_eps,
                                   .embedding_size = c->hidden_size,
                                   .vocab_size = c->vocab_size,
                                   .decoder_weight = is_tied ? "embeddings.tok_embeddings.weight" : "decoder.weight",
                                   .decoder_bias = tern__config_bool_or(config, "decoder_bias", true) ? "decoder.bias" : NULL};
        tern__lm_head_build(p, x, &head, "logits");
        return config->head;
    }
    if (config->head == TERN_HEAD_PRE_TRAINING || config->head == TERN_HEAD_NEXT_SENTENCE_PREDICTION) return TERN_HEAD_NONE;
    if (config->head == TERN_HEAD_SEQUENCE_CLASSIFICATION || config->head == TERN_HEAD_MULTIPLE_CHOICE) {
        const char *pooling = tern__config_string_or(config, "classifier_pooling", "cls");
        if (strcmp(pooling, "cls") != 0 && strcmp(pooling, "mean") != 0)
            tern__program_fail(p, TERN_E_CONFIG, "config.json: \"classifier_pooling\" is \"%.60s\"; known are cls and mean", pooling);
        x = tern__pool(p, x, strcmp(pooling, "mean") == 0 ? TERN_POOL_MEAN : TERN_POOL_CLS);
    }
    x = tern__activation(p, tern__linear_bias(p, x, c->hidden_size, dense_bias, "head.dense"), activation);
    x = tern__layer_norm_bias(p, x, c->norm_eps, c->norm_bias, "head.norm");
    if (config->head == TERN_HEAD_QUESTION_ANSWERING) tern__qa_outputs_build(p, x, "classifier");
    else tern__classifier_build(p, x, config->head == TERN_HEAD_MULTIPLE_CHOICE ? 1 : tern__config_num_labels(config), "classifier");
    return config->head;
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const modernbert_config c = read_config(config);
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c.vocab_size, c.hidden_size, "embeddings.tok_embeddings");
    x = tern__layer_norm_bias(p, x, c.norm_eps, c.norm_bias, "embeddings.norm");
    for (int l = 0; l < c.num_hidden_layers && p->error.code == TERN_OK; l++) {
        tern__output(p, x, "hidden_states.%d", l);
        tern_value normed = l == 0 ? x : tern__layer_norm_bias(p, x, c.norm_eps, c.norm_bias, "layers.%d.attn_norm", l);
        x = tern__add(p, attention(p, &c, normed, l), x);
        x = tern__add(p, mlp(p, &c, tern__layer_norm_bias(p, x, c.norm_eps, c.norm_bias, "layers.%d.mlp_norm", l), l), x);
    }
    x = tern__layer_norm_bias(p, x, c.norm_eps, c.norm_bias, "final_norm");
    tern__output(p, x, "hidden_states.%lld", (long long)c.num_hidden_layers);
    tern__output(p, x, "last_hidden_state");
    *facts = (tern_arch_facts){.hidden_size = c.hidden_size,
                               .num_hidden_layers = c.num_hidden_layers,
                               .vocab_size = c.vocab_size,
                               .max_position_embeddings = c.max_position_embeddings,
                               .max_tokens = c.max_position_embeddings,
                               .initializer_range = tern__config_float_or(config, "initializer_range", 0.02f),
                               .last_hidden_state = x};
    facts->head = build_head(p, config, &c, x);
}

static const tern_arch_tokenizer modernbert_tokenizer = {.vocabulary = TERN_VOCABULARY_BYTE_LEVEL_BPE,
                                                         .pad = "[PAD]",
                                                         .unk = "[UNK]",
                                                         .cls = "[CLS]",
                                                         .sep = "[SEP]",
                                                         .mask = "[MASK]",
                                                         .cls_key = "cls_token_id",
                                                         .sep_key = "sep_token_id",
                                                         .n_between = 1};

const tern_arch tern__arch_modernbert = {
    .classes = (const tern_arch_class[]){{"modernbert", "ModernBertModel", &modernbert_tokenizer}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "model.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"head.", "decoder.", "classifier.", NULL},
    .build = build,
};
