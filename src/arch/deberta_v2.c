/* deberta_v2.c - DeBERTa-v2 and -v3 (He et al. 2020, arXiv:2006.03654; 2021, arXiv:2111.09543): DebertaV2Model of Hugging Face
 * transformers. BERT's post-norm encoder whose scores add, to content with content, content with the distance and the distance with
 * content; distances share one table of embeddings, bucketed in logarithmic steps. No pooler. In the xlarge sizes a
 * convolution runs beside the first layer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/common/heads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct deberta_config {
    int64_t vocab_size, embedding_size, hidden_size, num_hidden_layers, num_attention_heads, attention_head_size, intermediate_size;
    int64_t max_position_embeddings, type_vocab_size, position_buckets, max_relative_positions;
    int64_t conv_kernel_size; /* 0: none */
    float layer_norm_eps;
    bool position_biased_input, relative_attention, share_att_key, norm_rel_ebd, c2p, p2c;
    tern_op hidden_act, conv_act;
} deberta_config;

/* A list of words, or one string of words between bars. */
static bool has_word(const tern_config *config, const char *key, const char *word) {
    const json_t *value = json_object_get(config->json, key);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *item = json_string_value(json_array_get(value, i));
        if (item != NULL && strcmp(item, word) == 0) return true;
    }
    for (const char *at = json_string_value(value); at != NULL && *at != '\0';) {
        at += strspn(at, " |");
        const size_t n = strcspn(at, " |");
        if (n == strlen(word) && memcmp(at, word, n) == 0) return true;
        at += n;
    }
    return false;
}

/* An integer where anything below 1 stands for `fallback`. */
static int64_t read_positive(const tern_config *config, const char *key, int64_t fallback) {
    const json_t *value = json_object_get(config->json, key);
    if (json_is_integer(value) && json_integer_value(value) < 1) return fallback;
    return value == NULL ? fallback : tern__config_size_or(config, key, fallback);
}

static deberta_config read_config(const tern_config *config) {
    tern_program *p = config->program;
    deberta_config c = {
        .vocab_size = tern__config_size(config, "vocab_size"),
        .hidden_size = tern__config_size(config, "hidden_size"),
        .num_hidden_layers = tern__config_size(config, "num_hidden_layers"),
        .num_attention_heads = tern__config_size(config, "num_attention_heads"),
        .intermediate_size = tern__config_size(config, "intermediate_size"),
        .max_position_embeddings = tern__config_size(config, "max_position_embeddings"),
        .type_vocab_size = tern__config_size_or(config, "type_vocab_size", 0),
        .position_buckets = read_positive(config, "position_buckets", 0),
        .layer_norm_eps = tern__config_float_or(config, "layer_norm_eps", 1e-7f),
        .position_biased_input = tern__config_bool_or(config, "position_biased_input", true),
        .relative_attention = tern__config_bool_or(config, "relative_attention", false),
        .share_att_key = tern__config_bool_or(config, "share_att_key", false),
        .norm_rel_ebd = has_word(config, "norm_rel_ebd", "layer_norm"),
        .c2p = has_word(config, "pos_att_type", "c2p"),
        .p2c = has_word(config, "pos_att_type", "p2c"),
        .hidden_act = tern__config_activation_or(config, "hidden_act", "gelu"),
        .conv_kernel_size = read_positive(config, "conv_kernel_size", 0),
        .conv_act = tern__config_activation_or(config, "conv_act", "tanh"),
    };
    c.max_relative_positions = read_positive(config, "max_relative_positions", c.max_position_embeddings);
    c.embedding_size = tern__config_size_or(config, "embedding_size", c.hidden_size);
    c.attention_head_size = tern__config_size_or(config, "attention_head_size", c.hidden_size / c.num_attention_heads);
    if (c.hidden_size % c.num_attention_heads != 0)
        tern__program_fail(p, TERN_E_CONFIG, "config.json: \"hidden_size\" %lld is not a multiple of \"num_attention_heads\" %lld",
                           (long long)c.hidden_size, (long long)c.num_attention_heads);
    if (c.conv_kernel_size > 0 && (c.conv_kernel_size % 2 == 0 || read_positive(config, "conv_groups", 1) != 1))
        tern__program_fail(
            p, TERN_E_UNSUPPORTED,
            "config.json: a convolution with \"conv_kernel_size\" %lld and \"conv_groups\" %lld; known is an odd size in one group",
            (long long)c.conv_kernel_size, (long long)read_positive(config, "conv_groups", 1));
    return c;
}

static tern_value embeddings(tern_program *p, const deberta_config *c) {
    tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), c->vocab_size, c->embedding_size, "embeddings.word_embeddings");
    if (c->position_biased_input)
        x = tern__add(p, x,
                      tern__embedding(p, tern__input(p, TERN_INPUT_POSITION_IDS), c->max_position_embeddings, c->embedding_size,
                                      "embeddings.position_embeddings"));
    if (c->type_vocab_size > 0)
        x = tern__add(p, x,
                      tern__embedding(p, tern__input(p, TERN_INPUT_TOKEN_TYPE_IDS), c->type_vocab_size, c->embedding_size,
                                      "embeddings.token_type_embeddings"));
    if (c->embedding_size != c->hidden_size) x = tern__linear_bias(p, x, c->hidden_size, false, "embeddings.embed_proj");
    return tern__layer_norm(p, x, c->layer_norm_eps, "embeddings.LayerNorm");
}

#define ATTENTION "encoder.layer.%d.attention.self."

static tern_value attention(tern_program *p, const deberta_config *c, tern_value x, int l) {
    const int64_t width = c->num_attention_heads * c->attention_head_size;
    const float scale = 1.0f / sqrtf((float)c->attention_head_size * (float)(1 + c->c2p + c->p2c));
    tern_value q = tern__linear(p, x, width, ATTENTION "query_proj", l);
    tern_value k = tern__linear(p, x, width, ATTENTION "key_proj", l);
    tern_value v = tern__linear(p, x, width, ATTENTION "value_proj", l);
    if (!c->relative_attention) return tern__attention(p, q, k, v, c->num_attention_heads, scale);
    char key[96], query[96];
    snprintf(key, sizeof key, ATTENTION "%s", l, c->share_att_key ? "key_proj" : "pos_key_proj");
    snprintf(query, sizeof query, ATTENTION "%s", l, c->share_att_key ? "query_proj" : "pos_query_proj");
    const tern_disentangled_options options = {.n_heads = c->num_attention_heads,
                                               .scale = scale,
                                               .n_buckets = c->position_buckets,
                                               .max_distance = c->max_relative_positions,
                                               .relative_width = c->hidden_size,
                                               .relative = "encoder.rel_embeddings",
                                               .norm = c->norm_rel_ebd ? "encoder.LayerNorm" : NULL,
                                               .key = c->c2p ? key : NULL,
                                               .query = c->p2c ? query : NULL,
                                               .eps = c->layer_norm_eps};
    return tern__disentangled_attention(p, q, k, v, &options);
}

static tern_value layer(tern_program *p, const deberta_config *c, tern_value x, int l) {
    tern_value y = tern__linear(p, attention(p, c, x, l), c->hidden_size, "encoder.layer.%d.attention.output.dense", l);
    x = tern__layer_norm(p, tern__add(p, y, x), c->layer_norm_eps, "encoder.layer.%d.attention.output.LayerNorm", l);
    y = tern__activation(p, tern__linear(p, x, c->intermediate_size, "encoder.layer.%d.intermediate.dense", l), c->hidden_act);
    y = tern__linear(p, y, c->hidden_size, "encoder.layer.%d.output.dense", l);
    return tern__layer_norm(p, tern__add(p, y, x), c->layer_norm_eps, "encoder.layer.%d.output.LayerNorm", l);
}

/* Beside the first layer: of its input x, added to its output y. */
static tern_value convolve(tern_program *p, const deberta_config *c, tern_value x, tern_value y) {
    x = tern__activation(p, tern__conv1d(p, x, c->hidden_size, c->conv_kernel_size, "encoder.conv.conv"), c->conv_act);
    return tern__layer_norm(p, tern__add(p, y, x), c->layer_norm_eps, "encoder.conv.LayerNorm");
}

/* `legacy` says which of two masked-language heads the checkpoint has. */
static tern_head build_lm_head(tern_program *p, const tern_config *config, const deberta_config *c, tern_value x) {
    const bool is_legacy = tern__config_bool_or(config, "legacy", true);
    const bool is_tied = !is_legacy || tern__config_bool_or(config, "tie_word_embeddings", true);
    if (!tern__config_has_weight(config, is_legacy ? "cls.predictions.transform.dense.weight" : "lm_predictions.lm_head.dense.weight"))
        return TERN_HEAD_NONE;
    const tern_lm_head head = {.dense = is_legacy ? "cls.predictions.transform.dense" : "lm_predictions.lm_head.dense",
                               .norm = is_legacy ? "cls.predictions.transform.LayerNorm" : "lm_predictions.lm_head.LayerNorm",
                               .dense_bias = true,
                               .norm_bias = true,
                               .activation = c->hidden_act,
                               .layer_norm_eps = c->layer_norm_eps,
                               .embedding_size = is_legacy ? c->embedding_size : c->hidden_size,
                               .vocab_size = c->vocab_size,
                               .decoder_weight = is_tied ? "embeddings.word_embeddings.weight" : "cls.predictions.decoder.weight",
                               .decoder_bias = !is_legacy ? "lm_predictions.lm_head.bias"
                                               : is_tied  ? "cls.predictions.bias"
                                                          : "cls.predictions.decoder.bias"};
    tern__lm_head_build(p, x, &head, "logits");
    return config->head;
}

static tern_head build_head(tern_program *p, const tern_config *config, const deberta_config *c, tern_value x) {
    if (config->head == TERN_HEAD_MASKED_LM) return build_lm_head(p, config, c, x);
    tern_value pooled = {0};
    const bool pools = config->head == TERN_HEAD_SEQUENCE_CLASSIFICATION || config->head == TERN_HEAD_MULTIPLE_CHOICE;
    if (pools && tern__config_has_weight(config, "pooler.dense.weight"))
        pooled = tern__first_row_dense(p, x, tern__config_size_or(config, "pooler_hidden_size", c->hidden_size),
                                       tern__config_activation_or(config, "pooler_hidden_act", "gelu"), "pooler.dense");
    return tern__plain_head_build(config, x, pooled);
}

static void build(tern_program *p, const tern_config *config, tern_arch_facts *facts) {
    const deberta_config c = read_config(config);
    tern_value x = embeddings(p, &c);
    tern__output(p, x, "hidden_states.0");
    for (int l = 0; l < c.num_hidden_layers && p->error.code == TERN_OK; l++) {
        const tern_value y = layer(p, &c, x, l);
        x = l == 0 && c.conv_kernel_size > 0 ? convolve(p, &c, x, y) : y;
        tern__output(p, x, "hidden_states.%d", l + 1);
    }
    tern__output(p, x, "last_hidden_state");
    *facts = (tern_arch_facts){.hidden_size = c.hidden_size,
                               .num_hidden_layers = c.num_hidden_layers,
                               .vocab_size = c.vocab_size,
                               .max_position_embeddings = c.max_position_embeddings,
                               .max_tokens = c.max_position_embeddings,
                               .type_vocab_size = c.type_vocab_size,
                               .initializer_range = tern__config_float_or(config, "initializer_range", 0.02f),
                               .last_hidden_state = x};
    facts->head = build_head(p, config, &c, x);
}

static const tern_arch_tokenizer deberta_v2_tokenizer = {.vocabulary = TERN_VOCABULARY_UNIGRAM,
                                                         .pad = "[PAD]",
                                                         .unk = "[UNK]",
                                                         .cls = "[CLS]",
                                                         .sep = "[SEP]",
                                                         .mask = "[MASK]",
                                                         .cls_key = "cls_token_id",
                                                         .sep_key = "sep_token_id",
                                                         .n_between = 1};

const tern_arch tern__arch_deberta_v2 = {
    .classes = (const tern_arch_class[]){{"deberta-v2", "DebertaV2Model", &deberta_v2_tokenizer}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", "deberta.", NULL},
    .aliases = (const tern_weight_alias[]){{NULL, NULL}},
    .ignored = (const char *const[]){"embeddings.position_ids", "deberta.embeddings.position_ids", "embeddings.position_embeddings.",
                                     "deberta.embeddings.position_embeddings.", "lm_predictions.", "mask_predictions.", "cls.", "pooler.",
                                     "classifier.", "qa_outputs.", NULL},
    .build = build,
};
