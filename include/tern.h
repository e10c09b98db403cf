/* tern.h - run Hugging Face transformer checkpoints from C.
 *
 * The whole public interface: what is not declared here is not API.
 *
 *     tern_model *model = NULL;
 *     tern_error err;
 *     if (tern_model_load(&model, "all-MiniLM-L6-v2", NULL, &err)) { fprintf(stderr, "%s\n", err.message); return 1; }
 *     float *embeddings = malloc(n * tern_model_embedding_size(model) * sizeof *embeddings);
 *     if (tern_model_embed(model, texts, n, NULL, embeddings, NULL, &err)) ...
 *     tern_model_free(model);
 *
 * Conventions, for every function below unless it says otherwise:
 *   errors   a function that can fail returns tern_status, TERN_OK (0) on success. `err` may be NULL; when it is not and the call
 *            fails it is filled. On failure outputs are left NULL or unwritten and nothing is leaked.
 *   owner    what a _load, _open or _encode call returns is freed by the caller with the matching function; freeing NULL is allowed.
 *            Pointers inside a returned object live as long as that object.
 *   threads  every object may be read by many threads at once. Calls that run one model from several threads are safe. On the CPU and
 *            on MLX their runs are served one after the other, since a single one already uses every thread of the model; on CUDA two
 *            are under way at once. The bits of a result do not depend on it.
 *   text     UTF-8 with an explicit length in bytes; NUL bytes are text.
 *   arrays   row-major, last axis contiguous. Sizes in bytes end in _bytes; everything else counts elements.
 *   globals  the library has no mutable globals, prints nothing and never ends the process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_H
#define TERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define TERN_API
#else
#define TERN_API __attribute__((visibility("default")))
#endif

/* ---- Version, status, errors ------------------------------------------------------------------------------------------------- */

#define TERN_VERSION_MAJOR 0
#define TERN_VERSION_MINOR 1
#define TERN_VERSION_PATCH 0

/* tern_version - the version of the linked library, "major.minor.patch". */
TERN_API const char *tern_version(void);

typedef enum tern_status {
    TERN_OK = 0,
    TERN_E_ARGUMENT,    /* an argument is not what the function takes, such as text that is not UTF-8 */
    TERN_E_MEMORY,      /* an allocation failed, on the host or on a device; the caller may go on with less */
    TERN_E_IO,          /* a file could not be opened, read, mapped or written */
    TERN_E_FORMAT,      /* a file breaks its format: JSON, safetensors, tokenizer.json */
    TERN_E_CONFIG,      /* config.json lacks a key or holds a value out of range */
    TERN_E_WEIGHTS,     /* tensors are missing, unexpected or misshapen */
    TERN_E_SHAPE,       /* shapes do not fit together */
    TERN_E_DTYPE,       /* a dtype that the operation does not take */
    TERN_E_UNSUPPORTED, /* known, but not done by this version: a model_type, a tokenizer component, an op on a device */
    TERN_E_DEVICE,      /* a device is absent or failed */
    TERN_E_CANCELLED    /* the caller's progress function asked to stop */
} tern_status;

/* tern_status_name - "TERN_E_IO" for TERN_E_IO; "unknown status" for a value that is not one. */
TERN_API const char *tern_status_name(tern_status status);

/* What went wrong, for a person. `message` names the file, tensor or argument and is one or more lines without a final newline. */
typedef struct tern_error {
    tern_status code;
    char message[4096];
    const char *file; /* where in Tern's source it was noticed; a string constant */
    int line;
} tern_error;

/* tern_free - free memory that the library handed out as plain memory (decoded text). */
TERN_API void tern_free(void *memory);

/* ---- Tensors and safetensors ------------------------------------------------------------------------------------------------- */

/* Values carry the names that safetensors writes. */
typedef enum tern_dtype {
    TERN_DTYPE_F64,
    TERN_DTYPE_F32,
    TERN_DTYPE_F16,
    TERN_DTYPE_BF16,
    TERN_DTYPE_I64,
    TERN_DTYPE_I32,
    TERN_DTYPE_I16,
    TERN_DTYPE_I8,
    TERN_DTYPE_U8,
    TERN_DTYPE_BOOL,
    TERN_DTYPE_U32
} tern_dtype;

/* tern_dtype_name - "F32" and so on; NULL for a value that is not one. */
TERN_API const char *tern_dtype_name(tern_dtype dtype);
/* tern_dtype_bytes - bytes of one element; 0 for a value that is not one. */
TERN_API size_t tern_dtype_bytes(tern_dtype dtype);

#define TERN_MAX_RANK 8

/* A named array that somebody else owns. `data` may be unaligned: it points into a file. */
typedef struct tern_tensor {
    const char *name;
    tern_dtype dtype;
    int rank;
    int64_t shape[TERN_MAX_RANK]; /* outermost first, as PyTorch prints it */
    const void *data;             /* product(shape) elements, little-endian */
} tern_tensor;

/* tern_tensor_elements - product(shape); 1 for rank 0. */
TERN_API int64_t tern_tensor_elements(const tern_tensor *tensor);

/* One mapped .safetensors file, fully checked when opened. Read-only, shareable by threads. */
typedef struct tern_safetensors tern_safetensors;

/* tern_safetensors_open - map a file and check its whole header.
 * errors   TERN_E_IO      cannot be opened or mapped
 *          TERN_E_FORMAT  not safetensors: header length, JSON, duplicate key, unknown dtype, a size that overflows or does not equal
 *                         product(shape) x dtype, ranges that overlap, leave a hole, or pass the end of the file
 * source   https://huggingface.co/docs/safetensors, "Format" */
TERN_API tern_status tern_safetensors_open(tern_safetensors **out, const char *path, tern_error *err);
TERN_API void tern_safetensors_close(tern_safetensors *file);
/* Tensors in the order of their data. */
TERN_API size_t tern_safetensors_count(const tern_safetensors *file);
TERN_API const tern_tensor *tern_safetensors_get(const tern_safetensors *file, size_t index);
/* NULL when there is none of that name. */
TERN_API const tern_tensor *tern_safetensors_find(const tern_safetensors *file, const char *name);

/* tern_safetensors_save - write tensors, in the order given, to `path`, complete or not at all: to a temporary file beside it, then
 * renamed.
 * errors   TERN_E_ARGUMENT  two tensors of one name, a rank or a dimension out of range     TERN_E_IO  cannot be written, disk full */
TERN_API tern_status tern_safetensors_save(const char *path, const tern_tensor *tensors, size_t n_tensors, tern_error *err);

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

/* ---- Tokenizer --------------------------------------------------------------------------------------------------------------- */

/* Bytes of UTF-8. Not owned. */
typedef struct tern_text {
    const char *data;
    size_t bytes;
} tern_text;

/* A tokenizer as a checkpoint folder has it. Read-only after load: many threads may encode with one. */
typedef struct tern_tokenizer tern_tokenizer;

/* tern_tokenizer_load - from a folder with tokenizer.json, or else from the files that Hugging Face's transformers makes the same tokenizer
 * of: vocab.txt; vocab.json and merges.txt; or a SentencePiece model (sentencepiece.bpe.model, spiece.model, spm.model, tokenizer.model). What
 * they are for say "tokenizer_class" in tokenizer_config.json and "model_type" in config.json; special_tokens_map.json and
 * added_tokens.json are read as transformers reads them. docs/ARCHITECTURE.md lists the classes. A sentence-transformers folder may have
 * all this in the folder of its first module.
 * errors   TERN_E_IO  none of the files is there     TERN_E_FORMAT  broken     TERN_E_UNSUPPORTED  names the component */
TERN_API tern_status tern_tokenizer_load(tern_tokenizer **out, const char *folder, tern_error *err);
TERN_API void tern_tokenizer_free(tern_tokenizer *tokenizer);
/* Entries of the vocabulary with added tokens. */
TERN_API size_t tern_tokenizer_vocab_size(const tern_tokenizer *tokenizer);
/* NULL when no token has that id. */
TERN_API const char *tern_tokenizer_id_to_token(const tern_tokenizer *tokenizer, int32_t id);
/* -1 when the vocabulary lacks it. */
TERN_API int32_t tern_tokenizer_token_to_id(const tern_tokenizer *tokenizer, const char *token);

/* Which of the two texts is cut when a pair is too long. */
typedef enum tern_truncation_strategy { TERN_LONGEST_FIRST, TERN_ONLY_FIRST, TERN_ONLY_SECOND } tern_truncation_strategy;
/* Where a text is cut: TERN_CUT_RIGHT keeps its beginning. */
typedef enum tern_truncation_direction { TERN_CUT_RIGHT, TERN_CUT_LEFT } tern_truncation_direction;

typedef struct tern_encode_options {
    size_t size;             /* sizeof(tern_encode_options); set by tern_encode_options_default */
    bool add_special_tokens; /* default true */
    size_t max_length;       /* truncate to so many ids, special tokens counted; 0 (default): never */
    tern_truncation_strategy truncation_strategy;   /* default TERN_LONGEST_FIRST */
    tern_truncation_direction truncation_direction; /* default TERN_CUT_RIGHT */
    size_t stride;           /* tokens that a piece shares with the piece before it; default 0 */
    bool with_overflowing;   /* fill tern_encoding.overflowing; default false */
    bool with_tokens;        /* fill tern_encoding.tokens; default false */
    bool with_word_ids;      /* fill tern_encoding.word_ids and sequence_ids; default false */
    int threads;             /* of tern_tokenizer_encode_batch; 0 (default): one for each core that the process may use */
} tern_encode_options;

TERN_API tern_encode_options tern_encode_options_default(void);

/* One encoded text, or pair of texts. Arrays of n entries; freed with tern_encoding_free. */
typedef struct tern_encoding {
    size_t n;
    int32_t *ids;
    int32_t *type_ids;
    uint8_t *special_tokens_mask; /* 1: added by the post-processor */
    uint32_t (*offsets)[2];       /* start and end in code points of the text it came from; 0, 0 for special tokens */
    char **tokens;                /* NULL unless asked for. [n + 1]: token i has tokens[i + 1] - tokens[i] - 1 bytes, and a NUL */
    int32_t *word_ids;            /* NULL unless asked for. The word of its text; -1 for special tokens */
    int32_t *sequence_ids;        /* NULL unless asked for. 0: the text, 1: the pair; -1 for special tokens */
    struct tern_encoding *overflowing; /* NULL unless asked for. What truncation cut off, piece by piece, each as an encoding without
                                          overflowing of its own; of a pair that is cut twice, the pieces combined */
    size_t n_overflowing;
    size_t n_truncated;           /* tokens that truncation cut off */
} tern_encoding;

/* tern_tokenizer_encode - ids as Hugging Face's `tokenizers` gives them, neither padded nor (unless asked) truncated.
 * pair     NULL for a single text. options: NULL for the defaults.
 * errors   TERN_E_ARGUMENT  text is not UTF-8 (says at which byte); max_length is less than the special tokens need; the text that the
 *                           strategy cuts is not there or too short; stride is not less than what is kept of a text */
TERN_API tern_status tern_tokenizer_encode(tern_encoding *out, const tern_tokenizer *tokenizer, tern_text text, const tern_text *pair,
                                           const tern_encode_options *options, tern_error *err);
TERN_API void tern_encoding_free(tern_encoding *encoding);

/* tern_tokenizer_encode_batch - many texts at once, by several threads: encodings[i] is that of texts[i].
 * pairs    NULL, or [n_texts]; one whose data is NULL leaves its text single.
 * errors   as tern_tokenizer_encode, of the first text that cannot be encoded: the message begins "text 7: ", counted from 0. The
 *          encodings then are empty. */
TERN_API tern_status tern_tokenizer_encode_batch(tern_encoding *encodings, const tern_tokenizer *tokenizer, const tern_text *texts,
                                                 const tern_text *pairs, size_t n_texts, const tern_encode_options *options,
                                                 tern_error *err);

/* tern_tokenizer_decode - text of ids, NUL-terminated; free with tern_free.
 * n_bytes  NULL, or where its length goes: the text itself may hold NULs.
 * errors   TERN_E_ARGUMENT  an id is not in the vocabulary */
TERN_API tern_status tern_tokenizer_decode(char **out, size_t *n_bytes, const tern_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                           bool skip_special_tokens, tern_error *err);

/* ---- Models ------------------------------------------------------------------------------------------------------------------ */

typedef struct tern_model tern_model;

typedef struct tern_model_options {
    size_t size;        /* sizeof(tern_model_options); set by tern_model_options_default */
    const char *device; /* "cpu" (default), or as tern_device_list names it; "cuda" and "mlx" alone: the first, the default one */
    const char *dtype;  /* dtype of computation: "float32" (default); the CPU device has no other; cuda also has "tf32", "float16", "bfloat16"
                         * and, for linears over tokens, "float8_e4m3fn" and "int8" (the rest is bfloat16, before compute capability 8.0 float16); mlx also has "float16",
                         * "bfloat16" and weights quantized by MLX: "affine8-g64", "affine8-g32", "affine4-g64", "affine4-g32", "mxfp4" */
    int threads;        /* 0 (default): one for each core that the process may use */
    const char *isa;    /* highest ISA level of the CPU device: "scalar", "avx2", "avx512"; NULL (default): the best there is */
    const char *cache_folder; /* folder where devices keep what they measured: CUDA the fastest algorithms of its products. Made when
                               * missing; where it cannot be written nothing is kept and nothing fails. NULL (default): nothing is kept */
} tern_model_options;

TERN_API tern_model_options tern_model_options_default(void);

/* tern_model_load - a checkpoint folder becomes a model that runs.
 * Reads config.json, the weights, the tokenizer, and for a sentence-transformers folder modules.json and what it names: the modules
 * Transformer, MLMTransformer, StaticEmbedding, Pooling, Dense, LayerNorm, WeightedLayerPooling, SpladePooling, Normalize and Dropout in any order that fits, as sentence-transformers 6.2 runs them. The weights,
 * also of a module in its own folder, are the first that is there of model.safetensors, the files that model.safetensors.index.json lists, pytorch_model.bin (in either of
 * PyTorch's containers; of its pickle only tensors are read and nothing is run), and the files that pytorch_model.bin.index.json lists.
 * Nothing is downloaded.
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
 * hidden_states.{num_hidden_layers}; and what the head of the class gives that config.json's `architectures` names, if the checkpoint has it:
 * logits, or start_logits and end_logits (question answering), or prediction_logits and seq_relationship_logits (sop_logits)
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

/* ---- Feature extraction: texts in, embeddings out ------------------------------------------------------------------------------ */

typedef enum tern_pooling {
    TERN_POOLING_DEFAULT, /* what the folder's modules do, else mean */
    TERN_POOLING_MEAN,    /* instead of the folder's own, where it has one of one mode and nothing but Normalize behind it */
    TERN_POOLING_CLS,
    TERN_POOLING_MAX
} tern_pooling;

typedef enum tern_choice { TERN_CHOICE_DEFAULT, TERN_CHOICE_YES, TERN_CHOICE_NO } tern_choice;

/* Where the time of a call went, in nanoseconds of a clock that never goes back; what it took beyond their sum is not in them. On a device
 * that takes two runs at once (CUDA), stages of different texts overlap: a call of several batches may take less than the sum. */
typedef struct tern_stage_times {
    int64_t tokenize_ns; /* texts to ids */
    int64_t pack_ns;     /* ids to the rows of batches, room for the results, checks; of each thread that does so */
    int64_t compute_ns;  /* the device's runs, with transfers to and from it: the time in which at least one was under way */
    int64_t result_ns;   /* rows to the caller's memory */
} tern_stage_times;

/* What texts are for, as in sentence-transformers' encode, encode_query and encode_document: it chooses the prompt where none is given. */
typedef enum tern_embed_task {
    TERN_EMBED_TEXT,    /* that of default_prompt_name, if the folder has one */
    TERN_EMBED_QUERY,   /* "query" */
    TERN_EMBED_DOCUMENT /* "document" */
} tern_embed_task;

typedef struct tern_embed_options {
    size_t size;              /* sizeof(tern_embed_options); set by tern_embed_options_default */
    tern_pooling pooling;
    tern_choice normalize;    /* to unit length; default: whether the last module is Normalize */
    size_t max_batch_tokens;  /* token budget of one run, which bounds memory; default 4096; a longer text runs alone; where
                               * embeddings are sparse an eighth of it, as each token then has a row as wide as the vocabulary */
    bool (*progress)(void *user, size_t done, size_t total); /* after each run, from the calling thread; false stops; NULL: none */
    void *user;
    tern_stage_times *times;  /* set on success; NULL (default): not wanted */
    tern_embed_task task;     /* default TERN_EMBED_TEXT */
    const char *prompt;       /* put in front of every text; "": none; NULL (default): the one of prompt_name */
    const char *prompt_name;  /* one of tern_model_prompt_name; NULL (default): as the task says */
    size_t truncate_dim;      /* of tern_model_embed: keep the first so many components; 0 (default): what the folder says, else all */
    bool with_windows;        /* of tern_model_embed: a longer text is embedded whole, window by window; default false: it is cut */
    size_t stride;            /* tokens that a window shares with the one before it; default 0 */
    size_t *n_truncated;      /* set on success: how many texts were cut; NULL (default): not wanted */
} tern_embed_options;

TERN_API tern_embed_options tern_embed_options_default(void);
/* Names of the prompts that config_sentence_transformers.json has, and "query" and "document", which are empty where it does not have them.
 * NULL past the last. Owned by the model, like tern_model_prompt: the prompt of that name, NULL when there is none. */
TERN_API const char *tern_model_prompt_name(const tern_model *model, size_t index);
TERN_API const char *tern_model_prompt(const tern_model *model, const char *name);
/* C, the width of one embedding: what the last module makes. */
TERN_API size_t tern_model_embedding_size(const tern_model *model);

/* tern_model_embed_width - W, components of a vector that tern_model_embed writes with these options: C, or truncate_dim where that is less.
 * options  NULL for the defaults */
TERN_API size_t tern_model_embed_width(const tern_model *model, const tern_embed_options *options);

/* tern_model_embed - one vector a text, as sentence-transformers' encode gives them.
 * Texts are cut to max_seq_length tokens, sorted by length and run in batches of at most max_batch_tokens tokens; a text's vector is
 * the same bits whatever it is embedded with; on other devices than the CPU only in batches of one size (CUDA), or nearly (MLX). On CUDA two batches are under way at once, which takes the memory of both where there is
 * enough, and of many texts the first ones run while others are tokenized; a call that fails may have written some of the embeddings.
 *
 * truncate_dim cuts what the modules made, a last Normalize among them; such a vector is scaled to unit length again only where normalize
 * is TERN_CHOICE_YES.
 *
 * with_windows: a text of more than max_seq_length tokens becomes windows of max_seq_length tokens, special tokens around each, that share
 * `stride` tokens: the tokenizer's overflowing pieces. Its vector is
 *
 *   v = sum_k n_k v_k / sum_k n_k        scaled to unit length where a short text's is
 *
 * with v_k the vector of window k before any scaling to unit length and n_k the tokens in it that no window before has, special tokens not
 * counted. With mean pooling and no stride that is the mean over the tokens of the text, as for a short one, but that each token sees its
 * window alone and special tokens are in every window. A text that fits one window has the same bits as without windows. Of a prompt, the
 * first window has it.
 *
 * embeddings  [n_texts, W], in the order of the texts
 * n_tokens    [n_texts], ids of each text after truncation, or of all of it with windows; NULL: not wanted
 * errors      TERN_E_ARGUMENT  text N is not UTF-8, or the model has no tokenizer, a pooling is asked for that others build upon, both
 *                              prompt and prompt_name are given, or there is no prompt_name of that name (the message lists those known)
 *                              stride is not less than the tokens of a text that a window has room for
 *             TERN_E_UNSUPPORTED  windows with a prompt that the Pooling leaves out
 *             TERN_E_CANCELLED */
TERN_API tern_status tern_model_embed(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                      float *embeddings, int32_t *n_tokens, tern_error *err);

/* One op of a run. */
typedef struct tern_op_profile {
    const char *op;              /* as docs/OPS.md names it, such as "linear_add" */
    const char *weight;          /* the architecture's name of its first weight; NULL: it has none */
    int64_t rows;                /* of its output */
    int64_t in_width, out_width; /* columns of its first input and of its output */
    double flops, bytes;         /* floating-point operations, and bytes that must move at least: the formulas of docs/OPS.md, float32 */
    double weight_bytes;         /* of the bytes, those that are weights */
    int64_t ns;                  /* -1: it runs in one pass with ops after it, and its time is in that of the next op that has one */
} tern_op_profile;

/* What a run of some texts costs, op by op in the order of the program. Freed with tern_profile_free. */
typedef struct tern_profile {
    size_t n_ops;
    tern_op_profile *ops;    /* only those that the vectors depend on, without inputs and views */
    int64_t n_texts;
    int64_t n_tokens;        /* of all texts */
    int64_t longest;         /* tokens of the longest text: a padded batch would have n_texts * longest */
    double flops, bytes;     /* sums over the ops */
    int64_t packed_bytes;    /* weights laid out for the device */
    int64_t workspace_bytes; /* activations and scratch of this run */
    bool is_timed;           /* false: the device cannot time ops apart, and every ns is 0 */
} tern_profile;

/* tern_model_profile - tern_model_embed of all texts in one run, with each op timed apart where the device can; the vectors are dropped.
 * The clock is read between ops, so the sum is that of an ordinary run but for some 0.1 microseconds an op.
 * options  NULL for the defaults; max_batch_tokens is not used
 * errors   as tern_model_embed; TERN_E_ARGUMENT without a text */
TERN_API tern_status tern_model_profile(tern_profile *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                        const tern_embed_options *options, tern_error *err);
TERN_API void tern_profile_free(tern_profile *profile);

/* ---- Sparse vectors (SPLADE) and vectors of tokens (late interaction) --------------------------------------------------------- */

typedef struct tern_sparse_entry {
    int32_t id;   /* of a token of the vocabulary */
    float weight; /* above 0 */
} tern_sparse_entry;

/* The entries that are not 0, the heaviest first, of equal ones the lower id. */
typedef struct tern_sparse_vector {
    tern_sparse_entry *entries;
    size_t n;
} tern_sparse_vector;

/* tern_model_embed_sparse - one sparse vector a text, as sentence-transformers' SparseEncoder gives them; tern_model_embed gives the same
 * with its zeros.
 * max_active_dims  keep so many of the heaviest entries; 0: as many as the folder says, else all
 * vectors          [n_texts]; free with tern_sparse_vectors_free
 * n_tokens         [n_texts], ids of each text after truncation; NULL: not wanted
 * errors           as tern_model_embed     TERN_E_UNSUPPORTED  the folder has no SpladePooling */
TERN_API tern_status tern_model_embed_sparse(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                             size_t max_active_dims, tern_sparse_vector *vectors, int32_t *n_tokens, tern_error *err);
TERN_API void tern_sparse_vectors_free(tern_sparse_vector *vectors, size_t n);

/* The width of a token's vector; 0: the folder's modules make none. */
TERN_API size_t tern_model_token_embedding_size(const tern_model *model);

/* tern_model_embed_tokens - a vector for each token of each text, special tokens and those of the prompt among them, as
 * sentence-transformers' encode gives them with output_value="token_embeddings": what the last module that makes token_embeddings made.
 * options     pooling and normalize are not used
 * embeddings  [n_texts], each [n_tokens[i], width]; free each with tern_free
 * n_tokens    [n_texts], not NULL: ids of each text after truncation
 * errors      as tern_model_embed     TERN_E_UNSUPPORTED  the folder's modules make no token_embeddings (StaticEmbedding) */
TERN_API tern_status tern_model_embed_tokens(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                             float **embeddings, int32_t *n_tokens, tern_error *err);

/* ---- Quantization: vectors as bytes or bits ------------------------------------------------------------------------------------- */

typedef enum tern_precision {
    TERN_PRECISION_FLOAT32,
    TERN_PRECISION_INT8,   /* a bucket of 256 in the component's range, -128 ... 127 */
    TERN_PRECISION_UINT8,  /* the same, 0 ... 255 */
    TERN_PRECISION_BINARY, /* a bit a component: is it above 0? Eight in a byte, the first the highest, less 128 as int8 */
    TERN_PRECISION_UBINARY /* the same as uint8 */
} tern_precision;

/* tern_precision_name - "float32", "int8", "uint8", "binary", "ubinary"; NULL for a value that is not one. */
TERN_API const char *tern_precision_name(tern_precision precision);
/* tern_precision_dtype - of the elements of a quantized vector: F32, I8 or U8. */
TERN_API tern_dtype tern_precision_dtype(tern_precision precision);
/* tern_precision_width - elements of a quantized vector of `width` components: width, or for bits width / 8 rounded up. */
TERN_API size_t tern_precision_width(tern_precision precision, size_t width);

/* tern_quantization_ranges - the lowest and the highest value of each component over vectors that stand for those to come.
 * ranges       [2, width]: the lowest, then the highest
 * calibration  [n, width]
 * errors       TERN_E_ARGUMENT  n is 0; a component is not finite */
TERN_API tern_status tern_quantization_ranges(float *ranges, const float *calibration, size_t n, size_t width, tern_error *err);

/* tern_quantize - vectors in a lower precision, equal to the library's.
 *
 *   uint8    min(max(floor((x - lowest) / step), 0), 255), step = (highest - lowest) / 255, or 1 where that is 0; all in float32
 *   int8     that less 128
 *   ubinary  bits x > 0, the first component in the highest bit of the first byte; bits behind the last component are 0
 *   binary   those bytes less 128
 *
 * out         [n, tern_precision_width(precision, width)] of tern_precision_dtype(precision)
 * embeddings  [n, width]
 * ranges      [2, width] for int8 and uint8; of no use for the others
 * errors      TERN_E_ARGUMENT  ranges are needed and NULL; a component that is not a number, for int8 and uint8
 * matches     sentence_transformers.util.quantization.quantize_embeddings(embeddings, precision, ranges) */
TERN_API tern_status tern_quantize(void *out, tern_precision precision, const float *embeddings, size_t n, size_t width,
                                   const float *ranges, tern_error *err);

/* ---- Similarity ------------------------------------------------------------------------------------------------------------------ */

typedef enum tern_similarity_function {
    TERN_SIMILARITY_COSINE,    /* <a, b> / (|a| |b|); 0 where a length is 0 */
    TERN_SIMILARITY_DOT,       /* <a, b> */
    TERN_SIMILARITY_EUCLIDEAN, /* -|a - b|: the larger, the more alike, as for the others */
    TERN_SIMILARITY_MANHATTAN  /* -sum |a_i - b_i| */
} tern_similarity_function;

/* tern_similarity_function_name - "cosine", "dot", "euclidean", "manhattan"; NULL for a value that is not one. */
TERN_API const char *tern_similarity_function_name(tern_similarity_function function);

/* tern_similarity - out[i][j] = function(a[i], b[j]). a [n_a, width], b [n_b, width], out [n_a, n_b]; sums in double.
 * errors   TERN_E_ARGUMENT  no tern_similarity_function
 * matches  sentence_transformers.util's cos_sim, dot_score, euclidean_sim, manhattan_sim */
TERN_API tern_status tern_similarity(float *out, tern_similarity_function function, const float *a, size_t n_a, const float *b, size_t n_b,
                                     size_t width, tern_error *err);

/* tern_pairwise_similarity - out[i] = function(a[i], b[i]). a and b [n, width], out [n].
 * errors   as tern_similarity
 * matches  sentence_transformers.util's pairwise_cos_sim, pairwise_dot_score, pairwise_euclidean_sim, pairwise_manhattan_sim */
TERN_API tern_status tern_pairwise_similarity(float *out, tern_similarity_function function, const float *a, const float *b, size_t n,
                                              size_t width, tern_error *err);

/* tern_maxsim - the score of late interaction: the sum over the query's tokens of the largest dot product with a token of the document.
 * query [n_query_tokens, width], document [n_document_tokens, width]. A document without tokens has -1e9, below any other.
 * matches  sentence_transformers.util.maxsim
 * source   Khattab, Zaharia 2020, arXiv:2004.12832, eq. 3 */
TERN_API float tern_maxsim(const float *query, size_t n_query_tokens, const float *document, size_t n_document_tokens, size_t width);

/* ---- Text classification: a score for each label --------------------------------------------------------------------------------- */

typedef enum tern_function_to_apply {
    TERN_APPLY_DEFAULT, /* by config.json's problem_type: none for regression, sigmoid for several labels at once or a single label, else
                         * softmax */
    TERN_APPLY_NONE,
    TERN_APPLY_SIGMOID,
    TERN_APPLY_SOFTMAX
} tern_function_to_apply;

typedef struct tern_classify_options {
    size_t size;                             /* sizeof(tern_classify_options); set by tern_classify_options_default */
    tern_function_to_apply function_to_apply;
    tern_truncation_strategy truncation_strategy; /* of a pair that is longer than max_seq_length */
    size_t max_batch_tokens;                 /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;                     /* set on success: how many texts or pairs were cut; NULL (default): not wanted */
} tern_classify_options;

TERN_API tern_classify_options tern_classify_options_default(void);

/* tern_model_classify - scores of every label for each text, or pair of texts, as Hugging Face's text-classification pipeline computes
 * them. Texts are cut to max_seq_length tokens.
 * pairs     NULL, or [n_texts]; one whose data is NULL leaves its text single, as the pipeline does with one that is empty
 * scores    [n_texts, n_labels], in the order of the texts and of the labels
 * n_tokens  [n_texts], ids of each text (with its pair) after truncation; NULL: not wanted
 * errors    TERN_E_UNSUPPORTED  the model has no head for sequence classification     others as tern_model_embed
 * matches   transformers.pipeline("text-classification", top_k=None), before it sorts */
TERN_API tern_status tern_model_classify(tern_model *model, const tern_text *texts, const tern_text *pairs, size_t n_texts,
                                         const tern_classify_options *options, float *scores, int32_t *n_tokens, tern_error *err);

/* tern_model_zero_shot - how well each of some labels fits each text: the model, made for natural language inference, is asked whether the
 * text entails the label's hypothesis.
 * hypotheses  [n_labels], such as "This example is about politics."
 * is_multi_label  false: scores of a text sum to 1 (softmax of the entailments); true, or with a single label: each by itself (softmax
 *             of entailment and contradiction)
 * scores      [n_texts, n_labels]
 * options     NULL for the defaults; function_to_apply and truncation_strategy are not used: only the text is cut
 * errors      TERN_E_UNSUPPORTED  the model has no head for sequence classification of at least two labels     others as tern_model_embed
 * matches     transformers.pipeline("zero-shot-classification"), before it sorts: the label whose name begins with "entail" is the
 *             entailment, else the last one; the contradiction is the first one, or the last when the first is the entailment */
TERN_API tern_status tern_model_zero_shot(tern_model *model, const tern_text *texts, size_t n_texts, const tern_text *hypotheses,
                                          size_t n_labels, bool is_multi_label, const tern_classify_options *options, float *scores,
                                          tern_error *err);

/* ---- Token classification: labels of tokens, words, or runs of words -------------------------------------------------------------- */

typedef enum tern_aggregation_strategy {
    TERN_AGGREGATE_NONE,    /* every token by itself */
    TERN_AGGREGATE_SIMPLE,  /* neighbours of one label become one entity; "B-" begins a new one */
    TERN_AGGREGATE_FIRST,   /* as SIMPLE, of whole words: a word has the label of its first token, */
    TERN_AGGREGATE_AVERAGE, /* the best label of its tokens' average, */
    TERN_AGGREGATE_MAX      /* or the label of its surest token */
} tern_aggregation_strategy;

typedef struct tern_token_classify_options {
    size_t size;                           /* sizeof(tern_token_classify_options); set by tern_token_classify_options_default */
    tern_aggregation_strategy aggregation; /* default TERN_AGGREGATE_NONE */
    const char *const *ignore_labels;      /* n_ignore_labels names that are left out; NULL (default): "O" */
    size_t n_ignore_labels;
    size_t max_batch_tokens;               /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;                   /* set on success: how many texts were cut; NULL (default): not wanted */
} tern_token_classify_options;

TERN_API tern_token_classify_options tern_token_classify_options_default(void);

typedef struct tern_entity {
    size_t text;        /* index of its text */
    const char *label;  /* "B-PER"; of an aggregated entity "PER". Owned by the model */
    float score;        /* softmax of the token; the mean where there are several */
    const char *word;   /* the token, or the tokens joined by the decoder. Owned by the entities */
    uint32_t start, end; /* code points of the text */
    int64_t index;      /* of the token in its text's encoding; -1 where aggregated */
} tern_entity;

/* In the order of the texts, and in a text from left to right. Freed with tern_entities_free. */
typedef struct tern_entities {
    tern_entity *items;
    size_t n;
    void *storage; /* private */
} tern_entities;

/* tern_model_token_classify - entities of each text as Hugging Face's token-classification pipeline finds them. Texts are cut to
 * max_seq_length tokens.
 * errors   TERN_E_UNSUPPORTED  the model has no head for token classification     others as tern_model_embed
 * matches  transformers.pipeline("token-classification") */
TERN_API tern_status tern_model_token_classify(tern_entities *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                               const tern_token_classify_options *options, tern_error *err);
TERN_API void tern_entities_free(tern_entities *entities);

/* ---- Question answering: the part of a text that answers a question ---------------------------------------------------------------- */

#define TERN_DOC_STRIDE_DEFAULT SIZE_MAX

typedef struct tern_question_answer_options {
    size_t size;                   /* sizeof(tern_question_answer_options); set by tern_question_answer_options_default */
    size_t top_k;                  /* answers of each question at most; default 1 */
    size_t max_seq_len;            /* ids of the question and a part of its context; 0 (default): 384, or max_seq_length if that is less */
    size_t doc_stride;             /* tokens that two parts of a longer context share; TERN_DOC_STRIDE_DEFAULT (default): 128, or half of
                                      max_seq_len if that is less */
    size_t max_answer_len;         /* tokens of an answer at most; default 15 */
    bool handle_impossible_answer; /* also the answer "", whose score is what the model gives its first token; default false */
    bool align_to_words;           /* answers are whole words; default true */
    size_t max_batch_tokens;       /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total); /* parts of contexts */
    void *user;
} tern_question_answer_options;

TERN_API tern_question_answer_options tern_question_answer_options_default(void);

typedef struct tern_answer {
    size_t question;     /* index of its question */
    float score;         /* softmax of the starts times softmax of the ends, over the part of the context; summed over answers that read
                            the same but for case */
    uint32_t start, end; /* code points of the context */
    const char *answer;  /* that part of the context. Owned by the answers */
} tern_answer;

/* In the order of the questions, the best answer first. Freed with tern_answers_free. */
typedef struct tern_answers {
    tern_answer *items;
    size_t n;
} tern_answers;

/* tern_model_question_answer - extracts the answer to questions[i] from contexts[i], as Hugging Face's question-answering pipeline does it.
 * A context that is longer than a run may be is asked part by part. There are fewer than top_k answers when the context has no more.
 * errors   TERN_E_ARGUMENT     a question or a context is empty; a question leaves no room for its context
 *          TERN_E_UNSUPPORTED  the model has no head for question answering     others as tern_model_embed
 * matches  pipeline("question-answering") of transformers 4.57; version 5 has none. Spans of no probability are no answers here */
TERN_API tern_status tern_model_question_answer(tern_answers *out, tern_model *model, const tern_text *questions, const tern_text *contexts,
                                                size_t n_questions, const tern_question_answer_options *options, tern_error *err);
TERN_API void tern_answers_free(tern_answers *answers);

/* ---- Fill-mask: what stands under a mask ------------------------------------------------------------------------------------------ */

typedef struct tern_fill_mask_options {
    size_t size;                 /* sizeof(tern_fill_mask_options); set by tern_fill_mask_options_default */
    size_t top_k;                /* fills of each mask; default 5 */
    const char *const *targets;  /* only these n_targets tokens; a text that is no token stands for its first; NULL (default): all */
    size_t n_targets;
    size_t max_batch_tokens;     /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;         /* set on success: how many texts were cut; NULL (default): not wanted */
} tern_fill_mask_options;

TERN_API tern_fill_mask_options tern_fill_mask_options_default(void);

typedef struct tern_fill {
    size_t text;           /* index of its text */
    size_t mask;           /* number of the mask in the text, from 0 */
    int32_t token;
    float score;           /* softmax over the vocabulary */
    const char *token_str; /* the token, decoded. Owned by the fills, like the next */
    const char *sequence;  /* the text with the token in place of this mask, decoded; special tokens are left out unless the text has
                              several masks */
} tern_fill;

/* In the order of the texts and masks, the best first. Freed with tern_fills_free. */
typedef struct tern_fills {
    tern_fill *items;
    size_t n;
} tern_fills;

/* tern_model_fill_mask - tokens for each mask token of each text, as Hugging Face's fill-mask pipeline gives them. Texts are cut to
 * max_seq_length tokens.
 * errors   TERN_E_ARGUMENT     a text without a mask token; a target of which the tokenizer makes nothing
 *          TERN_E_UNSUPPORTED  the model has no head for masked language modeling, or the folder does not say what the mask token is
 *          others as tern_model_embed
 * matches  transformers.pipeline("fill-mask") */
TERN_API tern_status tern_model_fill_mask(tern_fills *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                          const tern_fill_mask_options *options, tern_error *err);
TERN_API void tern_fills_free(tern_fills *fills);
/* The token that stands for what is to be filled in, such as "[MASK]"; NULL when it is not known. Owned by the model. */
TERN_API const char *tern_model_mask_token(const tern_model *model);

/* ---- The hub ------------------------------------------------------------------------------------------------------------------- */

/* How far a download is. What was there already counts as neither. */
typedef struct tern_hub_progress {
    size_t n_files, n_files_done;
    uint64_t n_bytes, n_bytes_done; /* done: with what an interrupted download had left */
} tern_hub_progress;

/* Where models come from and where they are kept. But for TERN_PLUGIN_PATH (tern_device_list), the library reads the
 * environment in tern_hub_options_from_environment only. */
typedef struct tern_hub_options {
    size_t size;                /* sizeof(tern_hub_options); set by tern_hub_options_default */
    const char *revision;       /* a branch, a tag or a commit's 40 digits; NULL (default): "main" */
    const char *const *include; /* n_include patterns of paths, as Python's fnmatch: `*` also takes '/'; NULL (default): what Tern reads */
    size_t n_include;
    bool tokenizer_only;        /* without include: leave the weights out; default false */
    bool update;                /* ask what the revision's commit is now, cached or not; default false */
    bool offline;               /* default false: what is not cached is downloaded */
    const char *cache_folder;   /* the cache that huggingface_hub uses too; no default */
    const char *endpoint;       /* NULL (default): "https://huggingface.co" */
    const char *token;          /* sent to the endpoint's host and to no other; NULL (default): none */
    int etag_timeout_s;         /* a question is given up after so many seconds without an answer, and asked again; default 10 */
    int download_timeout_s;     /* and a download after so many without a byte, and taken up again; default 10 */
    bool (*progress)(void *user, const tern_hub_progress *progress); /* a few times a second, from the calling thread; false stops */
    void *user;
    void *storage;              /* private: what the strings of tern_hub_options_from_environment live in */
} tern_hub_options;

TERN_API tern_hub_options tern_hub_options_default(void);

/* tern_hub_options_from_environment - the defaults, and what huggingface_hub's environment variables say: HF_HUB_CACHE (or
 * HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub), HF_ENDPOINT, HF_TOKEN (or the file
 * HF_TOKEN_PATH or HF_HOME/token; none with HF_HUB_DISABLE_IMPLICIT_TOKEN), HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE), HF_HUB_ETAG_TIMEOUT,
 * HF_HUB_DOWNLOAD_TIMEOUT. Free with tern_hub_options_free.
 * errors   TERN_E_CONFIG  a timeout that is no number, or none of the variables and no home folder says where the cache is
 *          TERN_E_IO      the token file cannot be read */
TERN_API tern_status tern_hub_options_from_environment(tern_hub_options *out, tern_error *err);
TERN_API void tern_hub_options_free(tern_hub_options *options);

/* tern_hub_find - the cached folder of a repository, if all that was asked for is in it. Never touches the network.
 * folder   a path that tern_model_load takes; free with tern_free
 * repo_id  "ORG/NAME", or a bare "NAME" such as "bert-base-uncased"
 * errors   TERN_E_ARGUMENT  not a repository id, a revision or an option that cannot be     TERN_E_IO  not cached, or not all of it */
TERN_API tern_status tern_hub_find(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err);

/* tern_hub_pull - tern_hub_find, else download what is missing, several files at once.
 * A file appears under its name when it is complete and its checksum is right; what an interruption leaves is used by the next call.
 * Cuts, busy servers and silence are tried again, a bounded number of times. Processes that pull the same share the work. When the hub
 * cannot be reached, or offline is set, what is cached of the revision is taken if it has a config and whole weights (a tokenizer, with
 * tokenizer_only), though other files may be missing.
 * Proxies are those of libcurl's environment variables. libcurl is opened when there is something to ask; its versions before 7.84 take
 * one pull at a time.
 * errors   TERN_E_ARGUMENT     as tern_hub_find
 *          TERN_E_IO           the hub cannot be reached or refuses (the message says what to do: a missing, private or gated repository,
 *                              a missing revision, too many requests), the cache cannot be written, the disk is full
 *          TERN_E_FORMAT       an answer or a file that is not what the hub said it is
 *          TERN_E_UNSUPPORTED  something must be downloaded and there is no libcurl     TERN_E_CANCELLED */
TERN_API tern_status tern_hub_pull(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err);

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
