/* config.c - config.json's keys for architecture files: typed, ranged, sticky like the program that they build.
 * SPDX-License-Identifier: Apache-2.0 */
#include "arch/arch.h"

#include <math.h>
#include <string.h>

static const json_t *find(const tern_config *config, const char *key) {
    const json_t *value = json_object_get(config->json, key);
    return json_is_null(value) ? NULL : value;
}

static int64_t read_size(const tern_config *config, const char *key, const json_t *value, int64_t least) {
    const json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= least && number <= INT32_MAX) return number;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"%s\" is %.60s, not an integer in %lld ... %d", key,
                       text != NULL ? text : "unreadable", (long long)least, INT32_MAX);
    free(text);
    return 1;
}

int64_t tern__config_size(const tern_config *config, const char *key) {
    const json_t *value = find(config, key);
    if (value != NULL) return read_size(config, key, value, 1);
    tern__program_fail(config->program, TERN_E_CONFIG, "config.json: the key \"%s\" is missing; this model_type needs it", key);
    return 1;
}

int64_t tern__config_size_or(const tern_config *config, const char *key, int64_t fallback) {
    const json_t *value = find(config, key);
    return value == NULL ? fallback : read_size(config, key, value, fallback == 0 ? 0 : 1);
}

int64_t tern__config_id_or(const tern_config *config, const char *key, int64_t fallback) {
    const json_t *value = find(config, key);
    return value == NULL ? fallback : read_size(config, key, value, 0);
}

float tern__config_float_or(const tern_config *config, const char *key, float fallback) {
    const json_t *value = find(config, key);
    if (value == NULL) return fallback;
    const double number = json_number_value(value);
    if (json_is_number(value) && number > 0 && isfinite((float)number)) return (float)number;
    tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"%s\" is not a finite number above 0", key);
    return fallback;
}

bool tern__config_bool_or(const tern_config *config, const char *key, bool fallback) {
    const json_t *value = find(config, key);
    if (value == NULL) return fallback;
    if (!json_is_boolean(value)) tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"%s\" is not true or false", key);
    return json_is_true(value);
}

const char *tern__config_string_or(const tern_config *config, const char *key, const char *fallback) {
    const json_t *value = find(config, key);
    if (value == NULL) return fallback;
    if (json_is_string(value)) return json_string_value(value);
    tern__program_fail(config->program, TERN_E_CONFIG, "config.json: \"%s\" is not a string", key);
    return fallback;
}

tern_op tern__config_activation_or(const tern_config *config, const char *key, const char *fallback) {
    /* transformers/activations.py, ACT2FN: several names are one function. gelu_fast and gelu_new are the tanh form written apart. */
    static const struct {
        const char *name;
        tern_op op;
    } known[] = {
        {"gelu", TERN_OP_GELU},
        {"gelu_python", TERN_OP_GELU},
        {"gelu_new", TERN_OP_GELU_TANH},
        {"gelu_fast", TERN_OP_GELU_TANH},
        {"gelu_accurate", TERN_OP_GELU_TANH},
        {"gelu_pytorch_tanh", TERN_OP_GELU_TANH},
        {"gelu_python_tanh", TERN_OP_GELU_TANH},
        {"quick_gelu", TERN_OP_QUICK_GELU},
        {"relu", TERN_OP_RELU},
        {"silu", TERN_OP_SILU},
        {"swish", TERN_OP_SILU},
        {"sigmoid", TERN_OP_SIGMOID},
        {"tanh", TERN_OP_TANH},
        {"linear", TERN_OP_INPUT},
    };
    const char *name = tern__config_string_or(config, key, fallback);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].op;
    char names[256] = "";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "", known[i].name);
    }
    tern__program_fail(config->program, TERN_E_UNSUPPORTED, "config.json: \"%s\" is \"%.60s\"; known are %s", key, name, names);
    return TERN_OP_INPUT;
}

bool tern__config_has_weight(const tern_config *config, const char *name) { return config->has_weight(config->context, name); }

int64_t tern__config_num_labels(const tern_config *config) {
    const json_t *labels = json_object_get(config->json, "id2label");
    if (json_is_object(labels) && json_object_size(labels) > 0) return (int64_t)json_object_size(labels);
    return tern__config_size_or(config, "num_labels", 2);
}

void tern__positions_after_pad(tern_arch_facts *facts, const tern_config *config, int64_t pad_token_id) {
    facts->positions = TERN_POSITIONS_AFTER_PAD;
    facts->pad_token_id = pad_token_id;
    facts->max_tokens = facts->max_position_embeddings - facts->pad_token_id - 1;
    if (facts->max_tokens < 1)
        tern__program_fail(config->program, TERN_E_CONFIG,
                           "config.json: \"max_position_embeddings\" %lld leaves no position behind \"pad_token_id\" %lld",
                           (long long)facts->max_position_embeddings, (long long)facts->pad_token_id);
}
