/* program.h - a model as a straight list of ops over rows, built once at load.
 *
 * A value is a matrix whose row count comes with the batch (its row space) and whose width is fixed. So everything but the number of
 * rows is known when a program is built: shapes are checked, ops fused, memory planned and weights laid out once, for every batch.
 *
 * Building is sticky: the first bad op stores its message, later calls return the null value, and tern__program_finish reports it;
 * architecture files stay free of error branches.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_PROGRAM_PROGRAM_H
#define TERN_PROGRAM_PROGRAM_H

#include "base/error.h"
#include "base/memory.h"

typedef enum tern_op {
#define TERN_OP(ENUM, ...) TERN_OP_##ENUM,
#include "program/ops.def"
#undef TERN_OP
    TERN_N_OPS
} tern_op;

/* What the rows of a value stand for. */
typedef enum tern_space {
    TERN_SPACE_TOKENS,    /* one row a token; the sequences stand one after the other, without padding */
    TERN_SPACE_SEQUENCES, /* one row a sequence */
    TERN_SPACE_PICKS,     /* one row a token that the caller picks, such as the masked ones; outputs of it are for tasks */
    TERN_N_SPACES
} tern_space;

/* The integer rows that a batch brings. */
typedef enum tern_input {
    TERN_INPUT_IDS,
    TERN_INPUT_TOKEN_TYPE_IDS,
    TERN_INPUT_POSITION_IDS,
    TERN_INPUT_COLUMNS, /* where the token stands in its sequence, padding counted; ascending */
    TERN_N_INPUTS
} tern_input;

/* How the rows of a sequence become one; names (tern__pool_name) are sentence-transformers'. */
typedef enum tern_pool {
    TERN_POOL_CLS,           /* the first row */
    TERN_POOL_MEAN,
    TERN_POOL_MAX,
    TERN_POOL_SUM,
    TERN_POOL_MEAN_SQRT_LEN, /* the sum, divided by the square root of the number of rows */
    TERN_POOL_WEIGHTED_MEAN, /* the n-th row of the sequence weighs n, n from 1 on */
    TERN_POOL_LAST_TOKEN,    /* the last row */
    TERN_N_POOLS
} tern_pool;

/* A handle. {0} is the null value: the result of a failed call, and "none" where that is allowed. */
typedef struct tern_value { int32_t index; } tern_value;

#define TERN_OP_MAX_INPUTS 4
#define TERN_OP_MAX_WEIGHTS 8
#define TERN_NO_WEIGHT (-1)
#define TERN_NO_WINDOW INT32_MAX

/* What ops have beside inputs and weights; not inside the union below, where C++ has no structs without a name. */
struct tern_slice_settings { int32_t start; }; /* first column */
struct tern_rope_settings { int32_t n_heads; int32_t head_dim; int32_t max_positions; float theta; };
struct tern_attention_settings {
    int32_t n_heads, head_dim;
    float scale;
    int32_t window;                  /* keys further away than so many columns do not count; TERN_NO_WINDOW: all do */
    int32_t n_buckets, max_distance; /* of the relative bias, weight [n_buckets, n_heads]; 0: none. DISENTANGLED_ATTENTION: of
                                      * tern__log_bucket */
    float eps;                       /* DISENTANGLED_ATTENTION: of its norm */
};

typedef struct tern_node {
    tern_op op;
    int32_t n_inputs;
    tern_value inputs[TERN_OP_MAX_INPUTS];
    int32_t n_weights;                    /* LINEAR_CONCAT: 2 for each part; absent biases are TERN_NO_WEIGHT */
    int32_t weights[TERN_OP_MAX_WEIGHTS]; /* indices into tern_program.weights */
    tern_value output;
    bool skips_prompt;                    /* POOL: without the batch's n_prompt_rows */
    union {
        tern_input input;                                    /* INPUT */
        float eps;                                           /* LAYER_NORM, ADD_LAYER_NORM */
        tern_op activation;                                  /* LINEAR_ACTIVATION: GELU ... TANH */
        tern_pool pool;                                      /* POOL */
        int32_t element;                                     /* SCALE: of the weight */
        int32_t kernel_size;                                 /* UNFOLD: odd; input 1 is TERN_INPUT_COLUMNS */
        struct tern_slice_settings slice;                    /* SLICE */
        struct tern_rope_settings rope;                      /* ROPE */
        struct tern_attention_settings attention;            /* with a window, a bias, or disentangled, input 3 is TERN_INPUT_COLUMNS */
    };
} tern_node;

typedef struct tern_value_info {
    tern_space space;
    int32_t width;      /* columns; 1 for integer rows */
    bool is_integer;    /* int32 rows of a batch input; else float rows */
    int32_t producer;   /* index of the node that makes it */
} tern_value_info;

/* How MLX quantized the rows of a weight, [out, in], in groups of neighbours (mlx.core.quantize). Elements are packed one after the other,
 * the lowest bits first: data is U32 [out, in bits / 32]. Affine: an element is scale q + bias, with those of its group. mxfp4: it is
 * 2^(scale - 127) q, q a float of 4 bits. */
typedef struct tern_quantized {
    const void *scales; /* [out, in / group_size]; NULL: the weight is not quantized */
    const void *biases; /* the same; NULL: mxfp4 */
    tern_dtype dtype;   /* of both: F32, F16 or BF16; mxfp4: U8 */
    int32_t bits, group_size;
} tern_quantized;

/* A weight that the program reads. The builder sets what it wants; the model sets where it is. */
typedef struct tern_weight {
    char *name;                    /* the architecture's name, without checkpoint prefixes; in the program's arena */
    int32_t rank;
    int64_t shape[2];
    int64_t kernel_size;           /* above 0: the checkpoint has three axes, [shape[0], shape[1] / kernel_size, kernel_size] */
    const void *data;              /* NULL until the model binds it; aligned to its dtype */
    tern_dtype dtype;              /* as the checkpoint has it: F32, F16, BF16 (or F64); U32: quantized */
    bool is_mapped;                /* data is a part of a mapped file: tern__file_forget may follow when it has been copied */
    tern_quantized quantized;      /* of a rank of 2; a device that does not take such weights never sees one */
} tern_weight;

/* The floats of a quantized weight (dequantize.c); out: [shape[0], shape[1]]. */
void tern__weight_dequantize(float *out, const tern_weight *weight);

/* The shape that the checkpoint has; returns the rank. shape: room for 3. */
int tern__weight_shape(const tern_weight *weight, int64_t *shape);

/* A value that a caller may ask for, by name. */
typedef struct tern_output {
    char *name;
    tern_value value;
    bool is_squeezed; /* of width 1, and told without that axis: [B, T] instead of [B, T, 1] */
} tern_output;

typedef struct tern_program {
    tern_arena arena;              /* strings */
    tern_node *nodes;
    tern_value_info *values;       /* values[0] is the null value */
    tern_weight *weights;
    tern_output *outputs;
    int32_t n_nodes, n_values, n_weights, n_outputs;
    size_t nodes_capacity, values_capacity, weights_capacity, outputs_capacity;
    tern_error error;              /* sticky; code TERN_OK: none */
} tern_program;

/* ---- Building (build.c). `name` is a printf format for the checkpoint name without ".weight" / ".bias". ---- */

tern_status tern__program_new(tern_program **out, tern_error *err);
void tern__program_free(tern_program *program);

tern_value tern__input(tern_program *program, tern_input input);
/* weight `name`.weight [n_embeddings, width] */
tern_value tern__embedding(tern_program *program, tern_value ids, int64_t n_embeddings, int64_t width, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
tern_value tern__add(tern_program *program, tern_value a, tern_value b);
tern_value tern__multiply(tern_program *program, tern_value a, tern_value b);
/* weights `name`.weight and `name`.bias [width of x] */
tern_value tern__layer_norm(tern_program *program, tern_value x, float eps, const char *name, ...) __attribute__((format(printf, 4, 5)));
/* The same, `name`.bias only when has_bias. */
tern_value tern__layer_norm_bias(tern_program *program, tern_value x, float eps, bool has_bias, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* weights `name`.weight [out_features, width of x] and `name`.bias [out_features] */
tern_value tern__linear(tern_program *program, tern_value x, int64_t out_features, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, `name`.bias only when has_bias. */
tern_value tern__linear_bias(tern_program *program, tern_value x, int64_t out_features, bool has_bias, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* The same under full names, which another op may share; bias NULL: none. */
tern_value tern__linear_named(tern_program *program, tern_value x, int64_t out_features, const char *weight, const char *bias);
/* The rows of tokens (kernel_size - 1) / 2 columns in front to as many behind, in one; kernel_size odd. As torch.nn.functional.unfold
 * orders them: the columns of one feature beside each other. */
tern_value tern__unfold(tern_program *program, tern_value x, int64_t kernel_size);
/* torch.nn.Conv1d along each sequence, of stride 1 with zeros around it, kernel_size odd: an UNFOLD and a LINEAR with the weights
 * `name`.weight [out_features, width of x, kernel_size] and `name`.bias [out_features]. */
tern_value tern__conv1d(tern_program *program, tern_value x, int64_t out_features, int64_t kernel_size, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* op: one of GELU GELU_TANH QUICK_GELU RELU SILU SIGMOID TANH LOG1P; INPUT stands for the identity and returns x. */
tern_value tern__activation(tern_program *program, tern_value x, tern_op op);
tern_value tern__slice(tern_program *program, tern_value x, int64_t start, int64_t width);
/* Full attention within each sequence; q, k, v [tokens, n_heads * head_dim], head h in columns h * head_dim ... */
tern_value tern__attention(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale);
/* Of keys that are at most `window` columns away. */
tern_value tern__attention_window(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale,
                                  int64_t window);
/* Scores are scale q k + `name`.weight[tern__relative_bucket(key's column - query's column)][head], weight [n_buckets, n_heads]. */
tern_value tern__attention_relative_bias(tern_program *program, tern_value q, tern_value k, tern_value v, int64_t n_heads, float scale,
                                         int64_t n_buckets, int64_t max_distance, const char *name, ...)
    __attribute__((format(printf, 9, 10)));
/* DeBERTa's attention (He et al. 2020, arXiv:2006.03654, eq. 4). Names are those of layer l of a checkpoint; NULL: without. */
typedef struct tern_disentangled_options {
    int64_t n_heads;
    float scale;
    int64_t n_buckets;              /* position_buckets; 0: a row for each distance */
    int64_t max_distance;           /* max_relative_positions */
    int64_t relative_width;         /* of the table `relative`, which has 2 n_buckets (or 2 max_distance) rows */
    const char *relative, *norm;    /* norm: a layer_norm of the table's rows */
    const char *key, *query;        /* linears of the table's rows */
    float eps;
} tern_disentangled_options;
tern_value tern__disentangled_attention(tern_program *program, tern_value q, tern_value k, tern_value v,
                                        const tern_disentangled_options *options);
/* Rotary position embedding on heads whose halves are paired (Su et al. 2021, arXiv:2104.09864, in GPT-NeoX's order); positions are
 * TERN_INPUT_POSITION_IDS below max_positions. */
tern_value tern__rope(tern_program *program, tern_value x, int64_t n_heads, float theta, int64_t max_positions);
tern_value tern__pool(tern_program *program, tern_value x, tern_pool pool);
/* The same, of the rows behind the prompt (tern_batch.n_prompt_rows). */
tern_value tern__pool_without_prompt(tern_program *program, tern_value x, tern_pool pool);
/* b's columns behind a's. */
tern_value tern__concat(tern_program *program, tern_value a, tern_value b);
/* x times an element of the weight `name`, which has n_elements, divided by their sum. */
tern_value tern__scale(tern_program *program, tern_value x, int64_t n_elements, int64_t element, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
/* Rows of tokens at the batch's picks. */
tern_value tern__take(tern_program *program, tern_value x);
tern_value tern__normalize(tern_program *program, tern_value x);
/* Offer `value` to callers under a name. */
void tern__output(tern_program *program, tern_value value, const char *name, ...) __attribute__((format(printf, 3, 4)));
/* The same for a value of width 1 whose last axis callers do not see. */
void tern__output_squeezed(tern_program *program, tern_value value, const char *name);
/* Report a fault of the architecture file itself, sticky like any other. */
void tern__program_fail(tern_program *program, tern_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The first error of the building, if any. */
tern_status tern__program_finish(const tern_program *program, tern_error *err);

/* ---- Reading ---- */

const char *tern__op_name(tern_op op);
bool tern__op_is_fused(tern_op op);
const char *tern__pool_name(tern_pool pool);
/* The factor of a SCALE node whose weight is bound. */
float tern__scale_factor(const tern_program *program, const tern_node *node);
static inline const tern_value_info *tern__value(const tern_program *program, tern_value value) { return &program->values[value.index]; }
/* Index into outputs, -1 when there is none of that name. */
int32_t tern__program_find_output(const tern_program *program, const char *name);

/* theta^(-2i/head_dim), rounded to float32 step by step as Hugging Face computes it; the angle is its float32 product with the position. */
float tern__rope_frequency(float theta, int32_t i, int32_t head_dim);
/* T5's bucket of a distance, key - query: half of the buckets for keys that follow; small distances have a bucket each, larger ones share
 * in logarithmic steps up to max_distance (Raffel et al. 2020, arXiv:1910.10683, section 2.1). */
int32_t tern__relative_bucket(int64_t distance, int32_t n_buckets, int32_t max_distance);

/* DeBERTa-v2's row of a table of n_rows for a distance, query - key: up to n_buckets / 2 a row each, then in logarithmic steps up to
 * max_distance; n_buckets 0: a row each. */
int32_t tern__log_bucket(int64_t distance, int32_t n_buckets, int32_t max_distance, int32_t n_rows);

/* The row of first ... end - 1, a sequence, that stands `distance` columns behind `row`; -1: none does. */
static inline int64_t tern__row_at(const int32_t *columns, int64_t first, int64_t end, int64_t row, int64_t distance) {
    const int64_t wanted = columns[row] + distance, step = distance < 0 ? -1 : 1;
    while (row >= first && row < end && (wanted - columns[row]) * step > 0) row += step;
    return row >= first && row < end && columns[row] == wanted ? row : -1;
}

/* What the cost formulas of ops.def need of a batch. */
typedef struct tern_rows {
    int64_t rows[TERN_N_SPACES];
    int64_t pairs; /* sum over sequences of tokens squared */
} tern_rows;

typedef struct tern_cost { double flops, bytes, weight_bytes; } tern_cost; /* weight_bytes: of the bytes, those that are weights */
tern_cost tern__node_cost(const tern_program *program, const tern_node *node, const tern_rows *rows);

/* ---- Fusing (fuse.c): core ops become the fused ops that the device wants. Values that are outputs stay.
 * After a failure (memory) the program can only be freed. ---- */
tern_status tern__program_fuse(tern_program *program, bool (*wants)(const void *device, tern_op op), const void *device, tern_error *err);
/* The inverse, op by op: every fused op becomes the core ops of its formula. */
tern_status tern__program_lower(tern_program *program, tern_error *err);

/* ---- Planning (plan.c): which values share memory. ---- */

/* Activations live in slots; a slot holds one value at a time, and a view lives in its source's slot. The output of a node never shares
 * a slot with that node's inputs. */
typedef struct tern_placement {
    int32_t slot;       /* -1: integer rows, which live in the batch */
    int32_t column;     /* first column inside the slot's rows; not 0 for slices */
    int32_t row_stride; /* floats from one row to the next: at least the tenant's width, a multiple of 16 */
} tern_placement;

typedef struct tern_plan {
    tern_placement *placements;                   /* [n_values] */
    int32_t (*slot_strides)[TERN_N_SPACES];       /* [n_slots]: floats a row that its widest tenant of each space takes; 0: none */
    int32_t n_slots;
} tern_plan;

/* Plan a finished (and fused) program. */
tern_status tern__plan_make(tern_plan *out, const tern_program *program, tern_error *err);
void tern__plan_free(tern_plan *plan);
/* Bytes of a slot, a multiple of TERN_ALIGNMENT, and of all slots together, for so many rows; false when the size overflows. */
bool tern__plan_slot_bytes(const tern_plan *plan, int32_t slot, const tern_rows *rows, size_t *bytes);
bool tern__plan_bytes(const tern_plan *plan, const tern_rows *rows, size_t *bytes);
/* strides[n_slots]: slot_strides of a run in which only the nodes marked work, so that it need not have room for the others' results. */
void tern__plan_needed_strides(const tern_plan *plan, const tern_program *program, const uint8_t *needed,
                               int32_t (*strides)[TERN_N_SPACES]);
/* needed[n] = 1 for the nodes that the outputs listed (indices) depend on, else 0. needed: n_nodes bytes. */
void tern__program_mark_needed(const tern_program *program, const int32_t *outputs, size_t n_outputs, uint8_t *needed);

/* ---- Printing (print.c): an op a line; *out is freed with free(). ---- */
tern_status tern__program_dump(const tern_program *program, char **out, tern_error *err);

#endif
