/* mlx_device.hpp - what the files of the MLX device share: the opened device, a compiled program, one run.
 *
 * A run is laid out (mlx_rows.cpp): its form says which arrays it computes, its arrays hold what the batch puts into them. The graph
 * (mlx_graph.cpp) is built of the form, the program and those arrays, and of nothing else of the batch; so MLX can compile it once for
 * all runs of a form (mlx_compile.cpp).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_MLX_MLX_DEVICE_HPP
#define TERN_DEVICE_MLX_MLX_DEVICE_HPP

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <mlx/mlx.h>

extern "C" {
#include "device/plugin.h"
}

namespace tern_mlx {

namespace mx = mlx::core;

struct device {
    mx::Device unit;
    std::string name;                 /* "mlx:gpu" */
    std::string isa;                  /* MLX's version and what it runs on */
    bool can_wrap;                    /* host memory becomes an array without a copy */
    std::optional<mx::Stream> stream; /* that computes; none: the default one of the calling thread */
    int32_t compiles_run;             /* the how many-th run of a form is compiled, where MLX compiles functions; 0: none is */
};

/* How a weight is held. */
struct quantization {
    std::string mode; /* MLX's: "affine", "mxfp4"; empty: not quantized */
    int bits, group_size;
    bool operator==(const quantization &) const = default;
};

/* A linear's or an embedding's weight: as rows [out, in] of the dtype that computes, or quantized by MLX. */
struct weight {
    mx::array rows;
    std::optional<mx::array> scales, biases; /* with scales `rows` is packed */
    quantization quantized = {};
    std::optional<mx::array> turned = {}; /* [in, out]: the same memory, as linears take it; where `rows` is not packed */
};

/* What a node computes from weights and positions alone. */
struct tables {
    std::optional<mx::array> cosines, sines; /* rope: [max_positions, head_dim / 2] */
    std::optional<mx::array> by_distance;    /* relative bias: [2 reach + 1, n_heads]; disentangled: int32 rows of keys, queries */
    std::optional<mx::array> keys, queries;  /* disentangled: [n_rows, width] */
    std::vector<int32_t> rows;               /* disentangled: by_distance on the host */
    int32_t reach = 0;
    std::optional<weight> joined, joined_bias; /* linears of one input, held alike: their weights below each other */
};

/* What MLX compiles. */
using array_function = std::function<std::vector<mx::array>(const std::vector<mx::array> &)>;

/* The rows of a run: lines of one length, each with sequences one behind the other, and then padding. */
struct lines_of_run {
    std::vector<std::vector<int32_t>> sequences; /* of each line; of one that is padding alone none */
    int32_t length;
};

/* What decides which arrays a run computes. */
struct form_of_run {
    int32_t n_lines, line_length, n_rows; /* n_rows: of all lines */
    int32_t n_together;                   /* sequences of a line, at most */
    int32_t span;                         /* largest distance between two columns of a line */
    bool is_counting;                     /* all sequences have the columns 0, 1, 2 ... */
    bool is_masked;                       /* a line has more than one sequence, or padding; else it is a sequence */
    bool is_in_order;                     /* line i has the batch's sequence i and no other one */
    std::vector<int32_t> outputs;         /* asked for */
    int32_t n_sequences, n_picks;
    bool has_prompt;           /* pools that skip it leave rows out */
    bool has_empty, has_short; /* a sequence without rows; one with none behind the prompt */
    bool operator==(const form_of_run &) const = default;
};

/* Where a batch's rows are in a run. */
struct rows_of_run {
    form_of_run form;
    lines_of_run lines;
    std::vector<int32_t> sources; /* of each row of the run: a packed row; of padding any */
    std::vector<int32_t> places;  /* of each packed row, and behind them one for a sequence that has none */
};

/* An array that the graph wants of the batch. */
struct request {
    enum {
        INPUT,           /* int32 [n_rows], of an INPUT node */
        SEGMENTS,        /* int32 [n_lines, line_length]: the sequence that a row is of, and -1 for padding */
        COLUMNS,         /* int32 [n_lines, 1, line_length] */
        POOLED_ROWS,     /* int32 [n_sequences], of a POOL node that takes one row */
        POOLED_FACTORS,  /* float32 [n_sequences, 1], of such a node: 0 where there is no row */
        POOL_WEIGHTS,    /* float32 [n_lines, n_together, line_length], of a POOL node: of rows in the sum of each sequence of their line */
        POOL_DIVISORS,   /* float32 [n_sequences, 1], of a POOL node: what the sum is divided by */
        POOL_SEQUENCES,  /* int32 [n_rows], of a POOL node: the sequence that a row counts for, and n_sequences for one that does not */
        SEQUENCE_PLACES, /* int32 [n_sequences]: of the batch's sequences among n_together of each line */
        NEIGHBOURS,      /* int32 [n_rows, kernel_size], of an UNFOLD node */
        PICKS,           /* int32 [n_picks] */
    } what;
    const tern_node *node = nullptr;
    bool operator==(const request &) const = default;
};

/* The arrays that a graph has asked for, and how to make one that it had not yet. */
struct arrays_of_batch {
    std::vector<request> requests;
    std::vector<mx::array> arrays; /* of the requests */
    std::function<mx::array(const request &)> make;
};

/* Runs of one form in one thread: MLX keeps what it compiled for the thread that called it. */
struct compiled_run {
    form_of_run form;
    std::shared_ptr<const char> thread; /* stands for it */
    int32_t n_runs;
    std::vector<request> requests; /* the function's arguments */
    array_function function;       /* none: not compiled yet */
};

struct compiled {
    const device *owner;
    const tern_program *program;
    mx::Dtype dtype;
    quantization quantized;                                 /* what linears' weights become */
    std::vector<std::optional<weight>> weights;             /* [n_weights] */
    std::vector<std::shared_ptr<const tables>> by_node;     /* [n_nodes] */
    std::map<tern_op, array_function> activations;          /* those that are one kernel; others are one of each of their ops */
    size_t packed_bytes;                                    /* of arrays that are not the mapped file */
    std::unique_ptr<tern_plan, void (*)(tern_plan *)> plan; /* of the activations; tells the memory of a run */
    double row_flops = 0, pair_flops = 0;                   /* of linears for a row and of attention for two, for each attention */
    std::list<compiled_run> runs = {};                      /* the last one first */
};

/* Can so many bytes of the host's memory be had? MLX's CPU backend does not look at what it is given, and would crash. */
bool can_have_memory(const device &d, size_t bytes);

/* Lines of the length that costs least. */
lines_of_run choose_lines(const compiled &c, const tern_batch &batch);

/* Sequences that a line has, at most: rounded up, so that forms come again. */
int32_t most_together(const lines_of_run &lines);

/* Rows of a line that a pool adds up one after the other, before their sums. */
inline int32_t pool_step(int32_t line_length) { return std::gcd(line_length, 32); }

/* Sequences or picks of a run: the batch's, and as many more as make the number one that comes often. */
int32_t number_of_run(const compiled &c, int64_t n);

/* chosen: for the batch; outputs: asked for, indices of the program's. */
rows_of_run lay_out_rows(const compiled &c, const tern_batch &batch, lines_of_run chosen, const std::vector<int32_t> &outputs);

mx::array array_of_batch(const rows_of_run &rows, const tern_batch &batch, const request &r);

/* The arrays that compute the form's outputs, float32 and dense, a row for each of the run's rows, sequences or picks; behind them those
 * that part the run: evaluated one after the other before the outputs, each is about as much as the one before. Nothing is evaluated yet.
 */
std::vector<mx::array> build_graph(const compiled &c, const form_of_run &form, arrays_of_batch &given, mx::Stream s);

/* The same, for this batch, of a compiled function where there is one or it is time to have one. */
std::vector<mx::array> outputs_of_run(compiled &c, const rows_of_run &rows, const tern_batch &batch, mx::Stream s);

/* The run of a form from which on MLX compiles it on such a unit, 0: never. */
int32_t first_compiled_run(const mx::Device &unit, const std::optional<mx::Stream> &stream);

/* Activations of a program as one kernel each in runs that are not compiled, where MLX compiles. */
void fuse_activations(compiled &c);

/* Weights and tables of a program, evaluated. Throws. */
void lay_out_weights(compiled &c, mx::Stream s);

/* The rows of a quantized weight. */
mx::array dequantize(const weight &w, mx::Dtype dtype, mx::Stream s);

/* x [.., in] times transpose(w) [in, out], plus bias. */
mx::array linear(const mx::array &x, const weight &w, const weight *bias, mx::Stream s);

} // namespace tern_mlx

#endif
