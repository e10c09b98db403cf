/* mlx_device.hpp - what the files of the MLX device share: the opened device, a compiled program, one run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_DEVICE_MLX_MLX_DEVICE_HPP
#define TERN_DEVICE_MLX_MLX_DEVICE_HPP

#include <functional>
#include <map>
#include <memory>
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

/* One array from others: what mx::compile makes one kernel of. */
using fused_op = std::function<std::vector<mx::array>(const std::vector<mx::array> &)>;

struct compiled {
    const device *owner;
    const tern_program *program;
    mx::Dtype dtype;
    quantization quantized;                                 /* what linears' weights become */
    std::vector<std::optional<weight>> weights;             /* [n_weights] */
    std::vector<std::shared_ptr<const tables>> by_node;     /* [n_nodes] */
    std::map<tern_op, fused_op> activations;                /* those that are one kernel; others are one of each of their ops */
    size_t packed_bytes;                                    /* of arrays that are not the mapped file */
    std::unique_ptr<tern_plan, void (*)(tern_plan *)> plan; /* of the activations; tells the memory of a run */
    double row_flops = 0, pair_flops = 0;                   /* of linears for a row and of attention for two, for each attention */
};

/* Sequences that attention and pooling take at once, each padded to the longest. */
struct group {
    std::vector<int32_t> sequences;
    int32_t length; /* of the longest */
    bool is_padded; /* a shorter one is among them */
};

/* Groups of least cost: padding against the number of kernels. Lengths ascend from group to group; in each, sequences stay in order. */
std::vector<group> choose_groups(const compiled &c, const tern_batch &batch);

/* The arrays that compute the outputs asked for, float32 and dense; nothing is evaluated. */
std::vector<mx::array> build_graph(const compiled &c, const tern_batch &batch, const tern_run_output *outputs, size_t n_outputs,
                                   mx::Stream s);

/* Activations of a program as one kernel each, where MLX can without a compiler of C++: on a GPU. */
void fuse_activations(compiled &c);

/* Weights and tables of a program, evaluated. Throws. */
void lay_out_weights(compiled &c, mx::Stream s);

/* x [.., in] times transpose(w) [in, out], plus bias. */
mx::array linear(const mx::array &x, const weight &w, const weight *bias, mx::Stream s);

} // namespace tern_mlx

#endif
