/* model.h - a checkpoint folder as a running model: the only place where text, store, arch and device meet.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_MODEL_MODEL_H
#define TERN_MODEL_MODEL_H

#include <jansson.h>
#include <pthread.h>

#include "arch/arch.h"
#include "device/device.h"
#include "store/checkpoint.h"

/* ---- What a folder says beside its weights (modules.c) ---- */

typedef enum tern_module_kind {
    TERN_MODULE_TRANSFORMER,
    TERN_MODULE_STATIC_EMBEDDING,
    TERN_MODULE_POOLING,
    TERN_MODULE_DENSE,
    TERN_MODULE_LAYER_NORM,
    TERN_MODULE_WEIGHTED_LAYER_POOLING,
    TERN_MODULE_SPLADE_POOLING,
    TERN_MODULE_NORMALIZE,
    TERN_MODULE_DROPOUT
} tern_module_kind;

typedef struct tern_module {
    tern_module_kind kind;
    char *prefix;                /* of its weights in the program: its path in modules.json and a slash, "2_Dense/" */
    char *folder;
    json_t *config;              /* its config.json, of a Transformer its sentence_bert_config.json; NULL: none */
    tern_checkpoint *checkpoint; /* of its own weights; NULL: it has none, or is the first module */
    bool is_idle;                /* it does nothing, as in the library; its weights are not needed */
} tern_module;

/* sentence-transformers' modules.json with what it names; for a plain folder what the library takes: a Transformer and a mean. */
typedef struct tern_modules {
    bool is_present;    /* there is a modules.json */
    tern_module *items; /* [n], n >= 1; the first one, and no other, takes texts: config.json, weights and tokenizer are in its folder */
    size_t n;
    int64_t max_seq_length; /* 0: not said */
    bool is_masked_lm;      /* token_embeddings are the logits of the head for masked words */
    bool is_cross_encoder;  /* made for scores of pairs: the head for sequence classification */
    bool gives_layers;      /* all hidden states are passed on */
    int64_t query_length, document_length; /* what texts of that task are cut to; 0: to max_seq_length */
    bool expands_queries;   /* pads queries with tokens that count: not done */
    bool do_lower_case;     /* texts go through Lowercase first, if the tokenizer has none */
} tern_modules;

tern_status tern__modules_read(tern_modules *out, const char *folder, tern_error *err);
void tern__modules_free(tern_modules *modules);

/* config_sentence_transformers.json (prompts.c). */
typedef struct tern_prompts {
    json_t *texts;                  /* of all prompts, by name */
    const char *default_name;       /* NULL: none */
    const char *similarity_fn_name; /* NULL: not said */
    json_t *settings;               /* the file; NULL: there is none */
} tern_prompts;

tern_status tern__prompts_read(tern_prompts *out, const char *folder, tern_error *err);
void tern__prompts_free(tern_prompts *prompts);
/* The prompt of that name, which must be there, or for NULL that of the default name, or "". */
tern_status tern__prompt_find(const char **text, const tern_prompts *prompts, const char *name, tern_error *err);

/* ---- An opened folder: config, program and checkpoint, before any device (load.c) ---- */

/* Where the weights of the program whose names begin with `prefix` are: under the rest of the name in a checkpoint. */
typedef struct tern_weight_source {
    const char *prefix; /* "", or a module's path and a slash, "2_Dense/" */
    const tern_arch *arch;
    const tern_checkpoint *checkpoint;
} tern_weight_source;

/* What the modules behind the first one make (chain.c). */
typedef struct tern_chain {
    char pooling[96];          /* "mean", "cls, max", "none" */
    bool can_pool_otherwise;   /* the width does not depend on how token vectors become one, and nothing but Normalize follows */
    bool normalize;            /* the last module is Normalize */
    bool is_sparse;            /* most components of the sentence_embedding, one for each token of the vocabulary, are 0 */
    int64_t embedding_size;    /* 0: there is no sentence_embedding */
    int64_t token_embedding_size; /* 0: there are no token_embeddings */
    bool skips_prompt;         /* the Pooling has include_prompt false */
} tern_chain;

typedef struct tern_folder {
    tern_modules modules;
    tern_prompts prompts;
    json_t *config;
    const tern_arch *arch;
    const tern_arch_class *arch_class;
    tern_checkpoint *checkpoint;
    tern_program *program; /* weights not bound yet */
    tern_arch_facts facts;
    tern_chain chain;
    tern_weight_source *sources; /* [n_sources]: the first module's, whose prefix is "", then those of others with weights */
    size_t n_sources;
    int32_t n_outputs;   /* of Hugging Face's names; those of the chain follow */
    const char **labels; /* [n_labels] of a classifier's head, in label_names; 0: none */
    int64_t n_labels;
    tern_arena label_names;
    char *architecture;      /* first of config.json's `architectures`, else the base class */
    tern_load_report report; /* of all weights */
} tern_folder;

tern_status tern__folder_open(tern_folder *out, const char *folder, tern_error *err);
void tern__folder_close(tern_folder *folder);

/* Parse folder/config.json or any config file; finds the architecture. */
tern_status tern__config_load(json_t **config, const tern_arch **arch, const tern_arch_class **arch_class, const char *path,
                              tern_error *err);

/* The arch of a config, which `path` names in errors. */
tern_status tern__config_find_arch(const tern_arch **arch, const tern_arch_class **arch_class, const json_t *config, const char *path,
                                   tern_error *err);

/* special_tokens.c: the ids of the folder's tokenizer, which is loaded. */
tern_status tern__special_tokens_read(tern_model *model, const char *folder, tern_error *err);

/* labels.c: n_labels and their names from the config. */
tern_status tern__labels_read(tern_folder *folder, tern_error *err);

/* static_embedding.c: the program of a StaticEmbedding, which has no config.json: a table, whose shape is that of its tensor. */
extern const tern_arch tern__static_embedding;
tern_status tern__static_embedding_build(tern_folder *folder, tern_error *err);

/* chain.c: append the modules behind the first one to the program, in which "last_hidden_state" is. Outputs are "sentence_embedding",
 * which a last Normalize has not seen, and "sentence_embedding.normalized", "token_embeddings"; where can_pool_otherwise, also
 * "sentence_embedding.cls" and so on. */
tern_status tern__chain_build(tern_folder *folder, tern_error *err);

/* ---- Weights (weights.c) ---- */

/* The checkpoint's tensor for an architecture's weight, through prefixes and aliases; NULL when there is none. */
const tern_tensor *tern__weight_find(const tern_arch *arch, const tern_checkpoint *checkpoint, const char *name);
/* Fill the report: every weight of the folder's program, the optional ones that are `absent`, every tensor of its checkpoints. */
tern_status tern__weights_report(tern_load_report *out, const tern_folder *folder, const char *const *absent, size_t n_absent,
                                 tern_error *err);
/* Fail with all missing, unexpected and misshapen tensors in one message, or succeed when there is none. */
tern_status tern__weights_check(const tern_load_report *report, const char *folder, tern_error *err);
/* Point the program's weights at the checkpoint. Tensors that the file does not align to their dtype are copied to `copies`. */
tern_status tern__weights_bind(tern_folder *folder, tern_arena *copies, tern_error *err);
/* ---- Quantized weights (quantized_weights.c) ---- */

/* What belongs to a packed NAME.weight; NULL: not there. */
typedef struct tern_quantized_tensors { const tern_tensor *scales, *biases; } tern_quantized_tensors;
tern_quantized_tensors tern__quantized_find(const tern_checkpoint *checkpoint, const tern_tensor *weight);
/* Is `packed`, with its tensors, the weight as MLX quantizes it, and how? */
bool tern__quantized_describe(tern_quantized *out, const tern_weight *weight, const tern_tensor *packed,
                              const tern_quantized_tensors *tensors);
/* Make float32 of quantized weights, in model->copies: of all, or where the device takes them of those that are not just a linear's or an
 * embedding's. */
tern_status tern__quantized_expand(tern_model *model, tern_error *err);

/* Size of all weight files. */
size_t tern__weights_bytes(const tern_folder *folder);

/* ---- The model ---- */

struct tern_model {
    tern_folder folder;
    tern_arena copies;                                 /* tensors that had to be aligned, or that the device wants as float32 */
    size_t expanded_bytes;                             /* of the latter */
    tern_tokenizer *tokenizer;                         /* NULL: the folder has none */
    int32_t unk_token_id, mask_token_id, pad_token_id, cls_token_id; /* -1: not known */
    bool uses_token_types; /* the tokenizer's type ids go into the model, as transformers lets them; else all are 0 */
    const tern_device_record *device;
    void *opened;   /* the device */
    void *compiled; /* the program on it */
    char dtype[16]; /* of the computation */
    int64_t n_parameters;
    tern_dtype checkpoint_dtype;
    int64_t max_seq_length;
    /* Runs under way, no more than the device takes at once. */
    int n_running;
    pthread_mutex_t run_lock;
    pthread_cond_t run_ended;
};

/* ---- Batches (batch.c) ---- */

/* Packed rows under construction. */
typedef struct tern_rows_builder {
    tern_batch batch;
    int64_t *row_start;           /* [n_sequences + 1] */
    int32_t *rows[TERN_N_INPUTS]; /* [n_tokens] each */
} tern_rows_builder;

tern_status tern__rows_new(tern_rows_builder *out, int64_t max_sequences, int64_t max_tokens, tern_error *err);
void tern__rows_free(tern_rows_builder *rows);
/* Add one row to the current sequence; end the current sequence, which must have a row. Inline: a batch may have many thousands of tokens,
 * and a GPU waits for them. */
static inline void tern__rows_add(tern_rows_builder *rows, int32_t id, int32_t token_type_id, int32_t position_id, int32_t column) {
    const int64_t row = rows->batch.n_tokens++;
    rows->rows[TERN_INPUT_IDS][row] = id;
    rows->rows[TERN_INPUT_TOKEN_TYPE_IDS][row] = token_type_id;
    rows->rows[TERN_INPUT_POSITION_IDS][row] = position_id;
    rows->rows[TERN_INPUT_COLUMNS][row] = column;
}
/* position_id of the token at `column` of a row; to be asked of every token of the row in turn, masked ones too. *n_counted is 0 before. */
static inline int32_t tern__position_id(const tern_arch_facts *facts, int64_t id, int64_t column, int64_t *n_counted) {
    if (facts->positions == TERN_POSITIONS_FROM_ZERO) return (int32_t)column;
    if (id == facts->pad_token_id) return (int32_t)id;
    return (int32_t)(facts->pad_token_id + ++*n_counted);
}
void tern__rows_end_sequence(tern_rows_builder *rows);
/* Start again, keeping the memory. */
void tern__rows_clear(tern_rows_builder *rows);

/* Run when the device takes one more. */
tern_status tern__model_run(tern_model *model, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err);

/* ---- Random checkpoints ---- */

/* builtin_config.c: a copy of the config of that name. NULL when it is a file's path; fails when it is neither. */
tern_status tern__builtin_config_load(json_t **out, const char *name, tern_error *err);
/* random_tokenizer.c: tokenizer.json and tokenizer_config.json, to be freed with free(); NULL when memory was short. vocab_size: at least
 * TERN_RANDOM_TOKENIZER_MIN. has_types: the second text of a pair has type 1. */
#define TERN_RANDOM_TOKENIZER_MIN 5
char *tern__random_tokenizer(const tern_arch_tokenizer *kind, const json_t *config, int64_t vocab_size, bool has_types);
char *tern__random_tokenizer_config(const tern_arch_tokenizer *kind, int64_t max_tokens, bool has_types);

#endif
