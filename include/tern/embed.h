/* tern/embed.h - feature extraction: texts in, embeddings out, dense or sparse; their quantization and similarity.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_EMBED_H
#define TERN_EMBED_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

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

/* tern_model_embed_width - W, components of a vector that tern_model_embed writes with these options: C, or truncate_dim where it is less.
 * options  NULL for the defaults */
TERN_API size_t tern_model_embed_width(const tern_model *model, const tern_embed_options *options);

/* tern_model_embed - one vector a text, as sentence-transformers' encode gives them.
 * Texts are cut to max_seq_length tokens, sorted by length and run in batches of at most max_batch_tokens tokens. A call that fails may
 * have written some of the embeddings.
 *
 * On the CPU a text's vector is the same bits whatever it is embedded with; on CUDA it is in batches of one size; on MLX nearly the same.
 * On CUDA two batches are under way at once, which takes the memory of both where there is enough, and of many texts the first ones run
 * while others are tokenized.
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

#ifdef __cplusplus
}
#endif
#endif
