/* arch.h - what an architecture file provides: one constant record whose build function turns a config into a program.
 *
 * A file src/arch/<model_type>.c defines `const tern_arch tern__arch_<model_type>`; the build finds it by its name, nothing else is
 * edited. docs/ADD-A-MODEL.md walks through one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_ARCH_ARCH_H
#define TERN_ARCH_ARCH_H

#include <jansson.h>

#include "program/program.h"

/* config.json under a sticky reader: the first bad key stores its message in the program, later reads return a harmless value. */
typedef struct tern_config {
    const json_t *json;
    tern_program *program;
} tern_config;

/* A key that must be there / that has Hugging Face's default. Sizes are integers of at least 1 (or 0 for _or with fallback 0) and at
 * most 2^31 - 1. null counts as absent. */
int64_t tern__config_size(const tern_config *config, const char *key);
int64_t tern__config_size_or(const tern_config *config, const char *key, int64_t fallback);
float tern__config_float_or(const tern_config *config, const char *key, float fallback); /* finite, > 0 */
bool tern__config_bool_or(const tern_config *config, const char *key, bool fallback);
const char *tern__config_string_or(const tern_config *config, const char *key, const char *fallback);
/* hidden_act and its kin: Hugging Face's activation names; INPUT for "linear". */
tern_op tern__config_activation_or(const tern_config *config, const char *key, const char *fallback);

typedef struct tern_weight_alias { const char *name, *in_checkpoint; } tern_weight_alias;

/* What build reports of a model beside its program. */
typedef struct tern_arch_facts {
    int64_t hidden_size;
    int64_t num_hidden_layers;
    int64_t vocab_size;
    int64_t max_position_embeddings;
    int64_t type_vocab_size;
    float initializer_range;
    tern_value last_hidden_state;
} tern_arch_facts;

typedef struct tern_arch {
    const char *model_type;              /* config.json's */
    const char *base_class;              /* Hugging Face's class of the bare encoder */
    const char *const *prefixes;         /* of checkpoint names, NULL-terminated; "" among them */
    const tern_weight_alias *aliases;    /* other endings of names, {NULL, NULL}-terminated */
    const char *const *ignored;          /* beginnings of checkpoint names (prefix included) that are known and not needed */
    /* Write the program: inputs, layers, outputs. `has_weight(context, name)` tells optional parts. */
    void (*build)(tern_program *program, const tern_config *config, tern_arch_facts *facts,
                  bool (*has_weight)(void *context, const char *name), void *context);
} tern_arch;

/* All architectures of this build, NULL-terminated (registry.c; the list is made by CMake from the file names). */
const tern_arch *const *tern__arch_records(void);
/* The record for a model_type; an unknown one fails and lists those known. */
tern_status tern__arch_find(const tern_arch **out, const char *model_type, tern_error *err);

#endif
