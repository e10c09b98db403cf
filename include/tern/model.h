/* tern/model.h - devices; a checkpoint folder becomes a model that runs; what it is and needs; ids in, hidden states out.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_MODEL_H
#define TERN_MODEL_H

#include "tensor.h"
#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Devices ----------------------------------------------------------------------------------------------------------------- */

typedef struct tern_device_info {
    char name[32];         /* "cpu", "cuda:0"; what tern_model_options.device takes */
    bool is_present;
    char description[256]; /* when present: processor, ISA level, threads */
    char reason[256];      /* when not: why, and what to do */
    char isa[32];          /* when present: the best ISA level, "avx512", or GPU architecture */
    int threads;           /* when present: host threads that would compute; 0 for a GPU */
} tern_device_info;

/* tern_device_list - every device of this machine, and for a kind without one a record that says why.
 * Devices other than the CPU are libraries of their own, libtern_cuda and libtern_mlx: looked for in the folder that the environment's
 * TERN_PLUGIN_PATH names, else beside libtern (or the program that contains it), in the folder tern there, and in ../lib/tern.
 * Writes at most `capacity` records to `infos` and returns how many there are. Loads those libraries, opens no device. */
TERN_API size_t tern_device_list(tern_device_info *infos, size_t capacity);

/* ---- Models ------------------------------------------------------------------------------------------------------------------ */

typedef struct tern_model tern_model;

typedef struct tern_model_options {
    size_t size;        /* sizeof(tern_model_options); set by tern_model_options_default */
    const char *device; /* "cpu" (default), or as tern_device_list names it; "cuda" and "mlx" alone: the first, the default one */
    const char *dtype;  /* dtype of computation: "float32" (default), the only one of the CPU device
                         * cuda also: "tf32", "float16", "bfloat16"; and for linears over tokens "float8_e4m3fn" and "int8", the rest
                         *            being bfloat16 (before compute capability 8.0 float16)
                         * mlx also:  "float16", "bfloat16"; and for weights quantized by MLX "affine8-g64", "affine8-g32",
                         *            "affine4-g64", "affine4-g32", "mxfp4" */
    int threads;        /* 0 (default): one for each core that the process may use */
    const char *isa;    /* highest ISA level of the CPU device: "scalar", "avx2", "avx512"; NULL (default): the best there is */
    const char *cache_folder; /* folder where devices keep what they measured: CUDA the fastest algorithms of its products. Made when
                               * missing; where it cannot be written nothing is kept and nothing fails. NULL (default): nothing is kept */
} tern_model_options;

TERN_API tern_model_options tern_model_options_default(void);

/* tern_model_load - a checkpoint folder becomes a model that runs.
 * Reads config.json, the weights, the tokenizer, and for a sentence-transformers folder modules.json and what it names: the modules
 * Transformer, MLMTransformer, StaticEmbedding, Pooling, Dense, LayerNorm, WeightedLayerPooling, SpladePooling, Normalize and Dropout in
 * any order that fits, as sentence-transformers 6.2 runs them. The weights, also of a module in its own folder, are the first that is
 * there of model.safetensors, the files that model.safetensors.index.json lists, pytorch_model.bin (in either of PyTorch's containers; of
 * its pickle only tensors are read and nothing is run), and the files that pytorch_model.bin.index.json lists. Nothing is downloaded.
 * options  NULL for the defaults
 * errors   TERN_E_IO, TERN_E_FORMAT, TERN_E_CONFIG, TERN_E_DEVICE, TERN_E_MEMORY
 *          TERN_E_WEIGHTS      every missing, unexpected and misshapen tensor is listed
 *          TERN_E_UNSUPPORTED  an unknown model_type (the message lists those known), module, activation, device dtype */
TERN_API tern_status tern_model_load(tern_model **out, const char *folder, const tern_model_options *options, tern_error *err);
TERN_API void tern_model_free(tern_model *model);

/* What a loaded model is. Strings live as long as the model. */
typedef struct tern_model_info {
    const char *model_type;          /* config.json's, such as "bert" */
    const char *architecture;        /* config.json's first of `architectures`, or the base class */
    const char *const *tasks;        /* Hugging Face task names, NULL-terminated */
    int64_t n_parameters;            /* elements of the weights that the program uses */
    tern_dtype checkpoint_dtype;     /* dtype of most of them */
    int64_t checkpoint_bytes;        /* size of the weight files */
    int64_t hidden_size;
    int64_t num_hidden_layers;
    int64_t vocab_size;
    int64_t max_position_embeddings;
    int64_t max_seq_length;          /* texts are cut to so many tokens by tern_model_embed; 0: they are not cut */
    const char *pooling;             /* default of tern_model_embed: "mean", "cls, max" ..., "none" */
    bool normalize;                  /* default of tern_model_embed */
    bool is_sparse;                  /* most components of an embedding are 0: see tern_model_embed_sparse */
    bool is_sentence_transformer;    /* the folder has modules.json */
    const char *default_prompt_name; /* the prompt of texts for which none is asked; NULL: none */
    const char *similarity_fn_name;  /* that the folder recommends: "cosine", "dot" ...; NULL: it does not say */
    int64_t n_labels;                /* of a classifier's head; 0: none */
    const char *device;              /* the device that runs it: "cpu", "cuda:0" */
    const char *isa;                 /* the ISA level that runs it */
    const char *dtype;               /* dtype of computation */
    int threads;
} tern_model_info;

TERN_API tern_model_info tern_model_get_info(const tern_model *model);
/* The name of a label, 0 ... n_labels - 1: config.json's id2label, else "LABEL_0" and so on. NULL past the last. Owned by the model. */
TERN_API const char *tern_model_label(const tern_model *model, int64_t label);
/* NULL when the folder has no tokenizer. Owned by the model. */
TERN_API const tern_tokenizer *tern_model_get_tokenizer(const tern_model *model);

/* Memory that a run of `batch` sequences of `tokens` tokens each needs, known before it runs. */
typedef struct tern_memory_plan {
    int64_t mapped_bytes;    /* weight files, mapped: of them only what is read after packing, as embedding tables are, stays in memory,
                              * shared with other processes and reclaimable */
    int64_t packed_bytes;    /* weights laid out for the device, and those of a folder that MLX quantized which became float32 before; on
                              * the CPU a head's come to them when it is first asked for */
    int64_t workspace_bytes; /* activations and per-thread scratch of one run, on the CPU of one that asks for no head */
} tern_memory_plan;

TERN_API tern_status tern_model_plan_memory(const tern_model *model, int64_t batch, int64_t tokens, tern_memory_plan *out,
                                            tern_error *err);

/* tern_model_dump - the program as text, an op a line; free with tern_free. For people: the form may change. */
TERN_API tern_status tern_model_dump(const tern_model *model, char **out, tern_error *err);

/* ---- The load report --------------------------------------------------------------------------------------------------------- */

typedef enum tern_weight_state {
    TERN_WEIGHT_USED,       /* in the checkpoint and used */
    TERN_WEIGHT_MISSING,    /* needed, and not in the checkpoint: an error */
    TERN_WEIGHT_ABSENT,     /* optional, and not in the checkpoint */
    TERN_WEIGHT_UNEXPECTED, /* in the checkpoint, and no weight of this architecture: an error */
    TERN_WEIGHT_IGNORED,    /* in the checkpoint, known, and not needed, such as the head of another task */
    TERN_WEIGHT_MISSHAPEN   /* in the checkpoint with another shape or an unusable dtype: an error */
} tern_weight_state;

/* tern_weight_state_name - "used", "missing" ...; NULL for a value that is not one. */
TERN_API const char *tern_weight_state_name(tern_weight_state state);

typedef struct tern_weight_entry {
    const char *name;            /* as the architecture names it */
    const char *checkpoint_name; /* as the checkpoint names it; NULL when it is not there */
    tern_weight_state state;
    int expected_rank;           /* 0 when the architecture does not know it */
    int64_t expected_shape[TERN_MAX_RANK];
    int found_rank;              /* 0 when it is not there */
    int64_t found_shape[TERN_MAX_RANK];
    tern_dtype found_dtype;
} tern_weight_entry;

typedef struct tern_load_report {
    size_t n_entries;
    tern_weight_entry *entries;
    void *storage; /* private: what the strings live in */
} tern_load_report;

/* tern_load_report_make - compare a folder's weights with what its config.json asks for, without loading a model; a report that lists
 * errors is itself a success. Free with tern_load_report_free. */
TERN_API tern_status tern_load_report_make(tern_load_report *out, const char *folder, tern_error *err);
TERN_API void tern_load_report_free(tern_load_report *report);

/* ---- Forward: ids in, hidden states out --------------------------------------------------------------------------------------- */

typedef struct tern_forward_inputs {
    int64_t batch;                 /* B */
    int64_t tokens;                /* T */
    const int64_t *input_ids;      /* [B, T] */
    const int64_t *attention_mask; /* [B, T] of 0 and 1, each row with at least one 1; NULL: all 1 */
    const int64_t *token_type_ids; /* [B, T]; NULL: all 0 */
} tern_forward_inputs;

typedef struct tern_forward_output {
    const char *name; /* one of tern_model_output_name */
    float *data;      /* the caller's, of the shape that tern_model_output_shape tells */
} tern_forward_output;

/* Names are Hugging Face's: last_hidden_state, pooler_output (if the checkpoint has a pooler), hidden_states.0 (the embeddings) to
 * hidden_states.{num_hidden_layers}; and what the head of the class gives that config.json's `architectures` names, if the checkpoint has
 * it: logits, or start_logits and end_logits (question answering), or prediction_logits and seq_relationship_logits (sop_logits)
 * (pre-training). Rows of multiple choice are told one by one, [B, 1]. NULL past the last. */
TERN_API const char *tern_model_output_name(const tern_model *model, size_t index);
/* Writes the shape, returns its rank; 0 when there is no output of that name. */
TERN_API int tern_model_output_shape(const tern_model *model, const char *name, int64_t batch, int64_t tokens,
                                     int64_t shape[TERN_MAX_RANK]);

/* tern_model_forward - run the encoder once over a batch and write the outputs asked for.
 * Rows whose mask is 0 are not computed and come back as zeros; pooler_output reads the first row whose mask is 1. Positions count from
 * the first column as Hugging Face's do, masked or not.
 * errors   TERN_E_ARGUMENT  an id, type id or mask value out of range (says where), a row without a 1, T over
 *                           max_position_embeddings, an unknown output
 *          TERN_E_MEMORY    the batch does not fit */
TERN_API tern_status tern_model_forward(tern_model *model, const tern_forward_inputs *inputs, const tern_forward_output *outputs,
                                        size_t n_outputs, tern_error *err);

/* ---- Random checkpoints ------------------------------------------------------------------------------------------------------- */

/* tern_checkpoint_init - write a folder with config.json, model.safetensors and a tokenizer for any config of a known model_type, its
 * weights drawn as Hugging Face initialises them (normal of initializer_range, norms 1, biases 0). The same bytes for the same seed on
 * any machine. The tokenizer is of the kind that the model's checkpoints have (WordPiece, byte-level BPE or Unigram) and has vocab_size
 * tokens, which are special ones, characters and strings of letters in alphabetical order: no published vocabulary.
 * config  the path of a config.json, or one of the built-in names, each with the settings that its publisher gives: "bert-base-uncased",
 *         "bert-large-uncased", "roberta-base", "xlm-roberta-base", "distilbert-base-uncased", "albert-base-v2",
 *         "sentence-transformers/all-MiniLM-L6-v2" (its encoder), "google/electra-base-discriminator", "microsoft/mpnet-base",
 *         "microsoft/deberta-v3-base", "answerdotai/ModernBERT-base"     (a file of such a name: "./roberta-base")
 * folder  created if it is not there
 * errors  TERN_E_IO  cannot be written, or it already holds a checkpoint; no such file and no such name */
TERN_API tern_status tern_checkpoint_init(const char *config, uint64_t seed, const char *folder, tern_error *err);

#ifdef __cplusplus
}
#endif
#endif
