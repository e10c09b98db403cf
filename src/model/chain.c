/* chain.c - the modules of sentence-transformers as ops: what follows the first module is appended to its program, so that every device
 * runs it. Modules pass values on under names ("token_embeddings", "sentence_embedding"), as the library's pass features. Weights are
 * those of the module's own folder, under names that begin with its path.
 * Follows sentence_transformers/{base,sentence_transformer,sparse_encoder}/modules, version 6.2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

enum { MAX_FEATURES = 8, MAX_POOLS = 16 };

/* Values by name. */
typedef struct features {
    struct {
        const char *name;
        tern_value value;
    } items[MAX_FEATURES];
    size_t n;
} features;

typedef struct chain_builder {
    tern_folder *folder;
    tern_program *program;
    const tern_module *module; /* the present one */
    features features;
    tern_value before_normalize; /* of the sentence_embedding, when all modules since were Normalize or Dropout */
    tern_value pooled_tokens;    /* what the Pooling has read */
    tern_pool pool;              /* its mode, if there is one */
    size_t n_pools;              /* modes of the Pooling; 0: no Pooling yet */
    bool is_plain;               /* no module but Pooling, Normalize and Dropout touched the sentence_embedding */
} chain_builder;

/* The null value when there is none. */
static tern_value find_feature(const chain_builder *b, const char *name) {
    for (size_t i = 0; i < b->features.n; i++)
        if (strcmp(b->features.items[i].name, name) == 0) return b->features.items[i].value;
    return (tern_value){0};
}

static tern_value need_feature(const chain_builder *b, const char *name) {
    const tern_value value = find_feature(b, name);
    if (value.index == 0)
        tern__program_fail(b->program, TERN_E_UNSUPPORTED, "the module reads \"%.60s\", which no module before it makes", name);
    return value;
}

static void set_feature(chain_builder *b, const char *name, tern_value value) {
    size_t i = 0;
    while (i < b->features.n && strcmp(b->features.items[i].name, name) != 0) i++;
    if (i == MAX_FEATURES) {
        tern__program_fail(b->program, TERN_E_UNSUPPORTED, "more than %d names of features", (int)MAX_FEATURES);
        return;
    }
    b->features.items[i].name = name;
    b->features.items[i].value = value;
    if (i == b->features.n) b->features.n++;
    if (strcmp(name, "sentence_embedding") == 0) {
        b->before_normalize = value;
        b->folder->chain.normalize = false;
    }
}

/* ---- Pooling ---- */

static bool pool_by_name(const char *name, tern_pool *pool) {
    for (int p = 0; p < TERN_N_POOLS && name != NULL; p++)
        if (p != TERN_POOL_SUM && strcmp(name, tern__pool_name((tern_pool)p)) == 0) {
            *pool = (tern_pool)p;
            return true;
        }
    return false;
}

static void add_pool(chain_builder *b, tern_pool *pools, const char *name) {
    if (b->n_pools == MAX_POOLS || !pool_by_name(name, &pools[b->n_pools]))
        tern__program_fail(
            b->program, TERN_E_UNSUPPORTED,
            "\"pooling_mode\" \"%.60s\"; known are cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, and lists of "
            "at most %d",
            name != NULL ? name : "", (int)MAX_POOLS);
    else b->n_pools++;
}

/* The modes that a config turns on. In the form before version 6, each has a key, and they are joined in this order. */
static void read_pools(chain_builder *b, tern_pool *pools) {
    static const struct {
        const char *key;
        tern_pool pool;
    } old_keys[] = {{"pooling_mode_cls_token", TERN_POOL_CLS},
                    {"pooling_mode_max_tokens", TERN_POOL_MAX},
                    {"pooling_mode_mean_tokens", TERN_POOL_MEAN},
                    {"pooling_mode_mean_sqrt_len_tokens", TERN_POOL_MEAN_SQRT_LEN},
                    {"pooling_mode_weightedmean_tokens", TERN_POOL_WEIGHTED_MEAN},
                    {"pooling_mode_lasttoken", TERN_POOL_LAST_TOKEN}};
    const json_t *modes = json_object_get(b->module->config, "pooling_mode");
    b->n_pools = 0;
    if (json_is_array(modes)) {
        for (size_t i = 0; i < json_array_size(modes); i++) add_pool(b, pools, json_string_value(json_array_get(modes, i)));
        if (json_array_size(modes) == 0) add_pool(b, pools, "");
    } else if (modes != NULL) {
        add_pool(b, pools, json_string_value(modes));
    } else {
        for (size_t i = 0; i < sizeof old_keys / sizeof *old_keys; i++)
            if (json_is_true(json_object_get(b->module->config, old_keys[i].key))) pools[b->n_pools++] = old_keys[i].pool;
        if (b->n_pools == 0) pools[b->n_pools++] = TERN_POOL_MEAN;
    }
}

static tern_value pool_by(const chain_builder *b, tern_pool pool) {
    return b->folder->chain.skips_prompt ? tern__pool_without_prompt(b->program, b->pooled_tokens, pool)
                                         : tern__pool(b->program, b->pooled_tokens, pool);
}

static void build_pooling(chain_builder *b, const tern_config *config) {
    tern_pool pools[MAX_POOLS] = {TERN_POOL_MEAN};
    tern_chain *chain = &b->folder->chain;
    read_pools(b, pools);
    chain->skips_prompt = !tern__config_bool_or(config, "include_prompt", true);
    b->pooled_tokens = need_feature(b, "token_embeddings");
    tern_value all = pool_by(b, pools[0]);
    size_t used = (size_t)snprintf(chain->pooling, sizeof chain->pooling, "%s", tern__pool_name(pools[0]));
    for (size_t i = 1; i < b->n_pools; i++) {
        all = tern__concat(b->program, all, pool_by(b, pools[i]));
        if (used < sizeof chain->pooling)
            used += (size_t)snprintf(chain->pooling + used, sizeof chain->pooling - used, ", %s", tern__pool_name(pools[i]));
    }
    b->pool = pools[0];
    b->is_plain = true;
    set_feature(b, "sentence_embedding", all);
}

/* A row a text with a weight for each token of the vocabulary (Formal et al. 2021, arXiv:2109.10086). log(1 + x) of x >= 0 grows with x, so
 * that the maximum may come first, before a row for each token is worked on. */
static void build_splade_pooling(chain_builder *b, const tern_config *config) {
    tern_program *p = b->program;
    tern_chain *chain = &b->folder->chain;
    const char *strategy = tern__config_string_or(config, "pooling_strategy", "max");
    const char *activation = tern__config_string_or(config, "activation_function", "relu");
    const bool is_max = strcmp(strategy, "max") == 0;
    if (!is_max && strcmp(strategy, "sum") != 0)
        tern__program_fail(p, TERN_E_UNSUPPORTED, "\"pooling_strategy\" is \"%.40s\"; known are max and sum", strategy);
    if (strcmp(activation, "relu") != 0 && strcmp(activation, "log1p_relu") != 0)
        tern__program_fail(p, TERN_E_UNSUPPORTED, "\"activation_function\" is \"%.40s\"; known are relu and log1p_relu", activation);
    tern_value x = need_feature(b, "token_embeddings");
    if (is_max) x = tern__pool(p, x, TERN_POOL_MAX);
    x = tern__activation(p, tern__activation(p, x, TERN_OP_RELU), TERN_OP_LOG1P);
    if (strcmp(activation, "log1p_relu") == 0) x = tern__activation(p, x, TERN_OP_LOG1P);
    if (!is_max) x = tern__pool(p, x, TERN_POOL_SUM);
    snprintf(chain->pooling, sizeof chain->pooling, "splade %s", is_max ? "max" : "sum");
    chain->is_sparse = true;
    set_feature(b, "sentence_embedding", x);
}

/* The mean of hidden states, weighted. Without the hidden states it does nothing, as in the library. */
static void build_weighted_layer_pooling(chain_builder *b, const tern_config *config, tern_module *module) {
    tern_program *p = b->program;
    const int64_t n_layers = tern__config_size_or(config, "num_hidden_layers", 12), start = tern__config_id_or(config, "layer_start", 4);
    module->is_idle = !b->folder->modules.gives_layers && !json_is_true(json_object_get(b->folder->config, "output_hidden_states"));
    if (module->is_idle || p->error.code != TERN_OK) return;
    if (n_layers != b->folder->facts.num_hidden_layers || start > n_layers) {
        tern__program_fail(p, TERN_E_CONFIG, "\"num_hidden_layers\" is %lld and \"layer_start\" %lld; the model has %lld layers",
                           (long long)n_layers, (long long)start, (long long)b->folder->facts.num_hidden_layers);
        return;
    }
    tern_value sum = {0};
    for (int64_t l = start; l <= n_layers; l++) {
        char name[40];
        snprintf(name, sizeof name, "hidden_states.%lld", (long long)l);
        const int32_t output = tern__program_find_output(p, name);
        const tern_value layer = tern__scale(p, output >= 0 ? p->outputs[output].value : (tern_value){0}, n_layers + 1 - start, l - start,
                                             "%slayer_weights", module->prefix);
        sum = l == start ? layer : tern__add(p, sum, layer);
    }
    set_feature(b, "token_embeddings", sum);
}

/* ---- The others ---- */

static tern_op read_torch_activation(chain_builder *b, const tern_config *config) {
    static const struct {
        const char *name;
        tern_op op;
    } known[] = {{"Tanh", TERN_OP_TANH}, {"Identity", TERN_OP_INPUT}, {"ReLU", TERN_OP_RELU},
                 {"GELU", TERN_OP_GELU}, {"SiLU", TERN_OP_SILU},      {"Sigmoid", TERN_OP_SIGMOID}};
    const char *path = tern__config_string_or(config, "activation_function", "torch.nn.modules.activation.Tanh");
    const char *name = strrchr(path, '.');
    for (size_t i = 0; i < sizeof known / sizeof *known && name != NULL && strncmp(path, "torch.nn.", 9) == 0; i++)
        if (strcmp(name + 1, known[i].name) == 0) return known[i].op;
    tern__program_fail(b->program, TERN_E_UNSUPPORTED,
                       "\"activation_function\" is \"%.80s\"; known are torch.nn's Identity, Tanh, ReLU, GELU, SiLU, Sigmoid", path);
    return TERN_OP_INPUT;
}

static void build_dense(chain_builder *b, const tern_config *config) {
    tern_program *p = b->program;
    const char *from = tern__config_string_or(config, "module_input_name", "sentence_embedding");
    const char *to = tern__config_string_or(config, "module_output_name", from);
    const int64_t in_features = tern__config_size(config, "in_features"), out_features = tern__config_size(config, "out_features");
    const tern_value x = need_feature(b, from);
    if (p->error.code == TERN_OK && tern__value(p, x)->width != in_features)
        tern__program_fail(p, TERN_E_CONFIG, "\"in_features\" is %lld; \"%.60s\" has a width of %d", (long long)in_features, from,
                           tern__value(p, x)->width);
    const bool has_bias = tern__config_bool_or(config, "bias", true);
    tern_value y = tern__linear_bias(p, x, out_features, has_bias, "%slinear", b->module->prefix);
    y = tern__activation(p, y, read_torch_activation(b, config));
    if (tern__config_bool_or(config, "use_residual", false))
        y = tern__add(p, y,
                      in_features == out_features ? x : tern__linear_bias(p, x, out_features, false, "%sresidual", b->module->prefix));
    b->is_plain = b->is_plain && strcmp(to, "sentence_embedding") != 0;
    set_feature(b, to, y);
}

static void build_layer_norm(chain_builder *b, const tern_config *config) {
    const tern_value x = need_feature(b, "sentence_embedding");
    const int64_t dimension = tern__config_size(config, "dimension");
    if (b->program->error.code == TERN_OK && tern__value(b->program, x)->width != dimension)
        tern__program_fail(b->program, TERN_E_CONFIG, "\"dimension\" is %lld; \"sentence_embedding\" has a width of %d",
                           (long long)dimension, tern__value(b->program, x)->width);
    b->is_plain = false;
    set_feature(b, "sentence_embedding", tern__layer_norm(b->program, x, 1e-5f, "%snorm", b->module->prefix));
}

/* Of a name that nothing has made it makes nothing, as in the library. */
static void build_normalize(chain_builder *b, const tern_config *config) {
    const char *from = tern__config_string_or(config, "module_input_name", "sentence_embedding");
    const char *to = tern__config_string_or(config, "module_output_name", from);
    const tern_value x = find_feature(b, from), before = b->before_normalize;
    if (x.index == 0) return;
    set_feature(b, to, tern__normalize(b->program, x));
    if (strcmp(to, "sentence_embedding") != 0) return;
    const bool is_in_place = strcmp(from, to) == 0;
    if (is_in_place) b->before_normalize = before;
    b->is_plain = b->is_plain && is_in_place;
    b->folder->chain.normalize = is_in_place;
}

/* What the first module makes. */
static tern_value first_value(const chain_builder *b) {
    const int32_t logits = b->folder->modules.is_masked_lm ? tern__program_find_output(b->program, "logits") : -1;
    return logits >= 0 ? b->program->outputs[logits].value : b->folder->facts.last_hidden_state;
}

static void build_module(chain_builder *b, tern_module *module) {
    b->module = module;
    const tern_config config = {.json = b->module->config, .program = b->program};
    switch (b->module->kind) {
    case TERN_MODULE_TRANSFORMER:
        set_feature(b, "token_embeddings", first_value(b));
        break;
    case TERN_MODULE_STATIC_EMBEDDING:
        snprintf(b->folder->chain.pooling, sizeof b->folder->chain.pooling, "mean");
        set_feature(b, "sentence_embedding", tern__pool(b->program, first_value(b), TERN_POOL_MEAN));
        break;
    case TERN_MODULE_WEIGHTED_LAYER_POOLING:
        build_weighted_layer_pooling(b, &config, module);
        break;
    case TERN_MODULE_SPLADE_POOLING:
        build_splade_pooling(b, &config);
        break;
    case TERN_MODULE_POOLING:
        build_pooling(b, &config);
        break;
    case TERN_MODULE_DENSE:
        build_dense(b, &config);
        break;
    case TERN_MODULE_LAYER_NORM:
        build_layer_norm(b, &config);
        break;
    case TERN_MODULE_NORMALIZE:
        build_normalize(b, &config);
        break;
    case TERN_MODULE_DROPOUT: /* of training */
        break;
    }
}

/* ---- The outputs ---- */

static void add_outputs(chain_builder *b) {
    tern_program *p = b->program;
    tern_chain *chain = &b->folder->chain;
    const tern_value embedding = find_feature(b, "sentence_embedding"), tokens = find_feature(b, "token_embeddings");
    if (tokens.index != 0) {
        tern__output(p, tokens, "token_embeddings");
        chain->token_embedding_size = tern__value(p, tokens)->width;
    }
    if (embedding.index == 0) return;
    tern__output(p, b->before_normalize, "sentence_embedding");
    tern__output(p, chain->normalize ? embedding : tern__normalize(p, embedding), "sentence_embedding.normalized");
    chain->embedding_size = tern__value(p, embedding)->width;
    chain->can_pool_otherwise = b->is_plain && b->n_pools == 1;
    static const tern_pool others[] = {TERN_POOL_CLS, TERN_POOL_MEAN, TERN_POOL_MAX};
    for (size_t i = 0; i < sizeof others / sizeof *others && chain->can_pool_otherwise; i++) {
        const tern_value pooled = pool_by(b, others[i]);
        tern__output(p, pooled, "sentence_embedding.%s", tern__pool_name(others[i]));
        tern__output(p, tern__normalize(p, pooled), "sentence_embedding.%s.normalized", tern__pool_name(others[i]));
    }
}

tern_status tern__chain_build(tern_folder *folder, tern_error *err) {
    chain_builder b = {.folder = folder, .program = folder->program};
    folder->chain = (tern_chain){.pooling = "none"};
    for (size_t i = 0; i < folder->modules.n; i++) {
        build_module(&b, &folder->modules.items[i]);
        const tern_status status = tern__program_finish(folder->program, err);
        if (status != TERN_OK) return tern__fail_prefix(err, status, b.module->folder);
    }
    add_outputs(&b);
    return tern__program_finish(folder->program, err);
}
