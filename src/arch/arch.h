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

/* What a class has on top of the encoder, by the end of its name. */
typedef enum tern_head {
    TERN_HEAD_NONE,                     /* BertModel, or a class that is not known here */
    TERN_HEAD_PRE_TRAINING,             /* BertForPreTraining */
    TERN_HEAD_MASKED_LM,                /* BertForMaskedLM */
    TERN_HEAD_NEXT_SENTENCE_PREDICTION, /* BertForNextSentencePrediction */
    TERN_HEAD_SEQUENCE_CLASSIFICATION,  /* BertForSequenceClassification */
    TERN_HEAD_TOKEN_CLASSIFICATION,     /* BertForTokenClassification */
    TERN_HEAD_QUESTION_ANSWERING,       /* BertForQuestionAnswering */
    TERN_HEAD_MULTIPLE_CHOICE           /* BertForMultipleChoice */
} tern_head;

/* config.json under a sticky reader: the first bad key stores its message in the program, later reads return a harmless value. */
typedef struct tern_config {
    const json_t *json;
    tern_program *program;
    tern_head head; /* of the class that `architectures` names first */
    bool (*has_weight)(void *context, const char *name);
    void *context;
} tern_config;

/* A key that must be there / that has Hugging Face's default. Sizes are integers of at least 1 (or 0 for _or with fallback 0) and at
 * most 2^31 - 1. null counts as absent. */
int64_t tern__config_size(const tern_config *config, const char *key);
int64_t tern__config_size_or(const tern_config *config, const char *key, int64_t fallback);
/* An id: 0 ... 2^31 - 1. */
int64_t tern__config_id_or(const tern_config *config, const char *key, int64_t fallback);
float tern__config_float_or(const tern_config *config, const char *key, float fallback); /* finite, > 0 */
bool tern__config_bool_or(const tern_config *config, const char *key, bool fallback);
const char *tern__config_string_or(const tern_config *config, const char *key, const char *fallback);
/* hidden_act and its kin: Hugging Face's activation names; INPUT for "linear". */
tern_op tern__config_activation_or(const tern_config *config, const char *key, const char *fallback);

/* Whether the checkpoint has a weight, for optional parts. */
bool tern__config_has_weight(const tern_config *config, const char *name);
/* Labels of a classifier: those of id2label, else num_labels, else 2. */
int64_t tern__config_num_labels(const tern_config *config);

typedef struct tern_weight_alias { const char *name, *in_checkpoint; } tern_weight_alias;

/* How Hugging Face numbers the rows of a sequence. */
typedef enum tern_position_rule {
    TERN_POSITIONS_FROM_ZERO, /* the column of the (padded) row, from 0 on */
    TERN_POSITIONS_AFTER_PAD  /* a pad token has pad_token_id, the n-th other token of the row pad_token_id + n, n from 1 on */
} tern_position_rule;

/* What build reports of a model beside its program. */
typedef struct tern_arch_facts {
    int64_t hidden_size;
    int64_t num_hidden_layers;
    int64_t vocab_size;
    int64_t max_position_embeddings;
    int64_t max_tokens;      /* of one sequence */
    int64_t type_vocab_size; /* 0: the model has no token types */
    tern_position_rule positions;
    int64_t pad_token_id;    /* of TERN_POSITIONS_AFTER_PAD */
    float initializer_range;
    tern_value last_hidden_state;
    tern_head head; /* that was built */
} tern_arch_facts;

/* TERN_POSITIONS_AFTER_PAD; max_tokens is what the positions leave. */
void tern__positions_after_pad(tern_arch_facts *facts, const tern_config *config, int64_t pad_token_id);

/* What the tokenizers of an architecture's checkpoints are like: tern init makes one of that kind (model/random_tokenizer.c). */
typedef enum tern_vocabulary_kind {
    TERN_VOCABULARY_WORDPIECE,
    TERN_VOCABULARY_BYTE_LEVEL_BPE,
    TERN_VOCABULARY_UNIGRAM
} tern_vocabulary_kind;

typedef struct tern_arch_tokenizer {
    tern_vocabulary_kind vocabulary;
    bool lowercase;
    const char *pad, *unk, *cls, *sep, *mask; /* special tokens */
    const char *cls_key, *sep_key;            /* config.json's keys of their ids; pad's is "pad_token_id" */
    int n_between;                            /* how many `sep` stand between the texts of a pair */
} tern_arch_tokenizer;

/* A model_type of config.json, Hugging Face's class of its bare encoder, and its tokenizer. */
typedef struct tern_arch_class {
    const char *model_type, *base_class;
    const tern_arch_tokenizer *tokenizer;
} tern_arch_class;

typedef struct tern_arch {
    const tern_arch_class *classes;      /* that are computed alike, {NULL, NULL, NULL}-terminated */
    const char *const *prefixes;         /* of checkpoint names, NULL-terminated; "" among them */
    const tern_weight_alias *aliases;    /* other endings of names, {NULL, NULL}-terminated */
    const char *const *ignored;          /* beginnings of checkpoint names (prefix included) that are known and not needed */
    /* Write the program: inputs, layers, head, outputs. */
    void (*build)(tern_program *program, const tern_config *config, tern_arch_facts *facts);
} tern_arch;

/* All architectures of this build, NULL-terminated (registry.c; the list is made by CMake from the file names). */
const tern_arch *const *tern__arch_records(void);
/* The head of a class: "BertForMaskedLM" where the encoder's is "BertModel". NULL stands for the encoder. */
tern_head tern__arch_head(const tern_arch_class *arch_class, const char *architecture);
/* The record for a model_type, and the class in it; an unknown one fails and lists those known. */
tern_status tern__arch_find(const tern_arch **out, const tern_arch_class **arch_class, const char *model_type, tern_error *err);

#endif
