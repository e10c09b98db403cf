/* mlx_graph.cpp - one run of a program as lazy MLX arrays.
 *
 * Row-wise ops work on rows [rows, width]; attention and pooling see [sequences, length, width]. So sequences are put into groups, each
 * padded to its longest and masked, and the rows of a run are those of its groups one after the other: then every group is a slice and a
 * reshape, and nothing is moved between ops. Groups are chosen so that padding and the number of kernels together cost least; where all
 * lengths are equal, rows are the packed ones. What depends on the batch alone (masks, biases by distance, angles) is made once a run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <tuple>

namespace tern_mlx {

using mx::array;

/* ---- Groups ---- */

/* What the kernels of one attention cost for a group more, in floating-point operations of the others: on a GPU the start of some of them,
 * 15 microseconds at 50 TFLOP/s. */
#define GROUP_FLOPS_GPU 7e8
#define GROUP_FLOPS_CPU 6e6

std::vector<group> choose_groups(const compiled &c, const tern_batch &batch) {
    const double group_flops = c.owner->unit == mx::Device::gpu ? GROUP_FLOPS_GPU : GROUP_FLOPS_CPU;
    std::map<int32_t, std::vector<int32_t>> by_length;
    for (int64_t s = 0; s < batch.n_sequences; s++)
        by_length[std::max(1, (int32_t)(batch.row_start[s + 1] - batch.row_start[s]))].push_back((int32_t)s);
    std::vector<int32_t> lengths;
    std::vector<double> before = {0}; /* sequences shorter than lengths[i] */
    for (const auto &[length, sequences] : by_length) {
        lengths.push_back(length);
        before.push_back(before.back() + (double)sequences.size());
    }
    /* least[i]: cost of the i shortest lengths; the last of their groups begins with length first[i] */
    std::vector<double> least(lengths.size() + 1, std::numeric_limits<double>::infinity());
    std::vector<size_t> first(lengths.size() + 1, 0);
    least[0] = 0;
    for (size_t end = 1; end <= lengths.size(); end++) {
        const double length = lengths[end - 1], each = length * (c.row_flops + length * c.pair_flops);
        for (size_t begin = 0; begin < end; begin++) {
            const double cost = least[begin] + (before[end] - before[begin]) * each + group_flops;
            if (cost < least[end]) least[end] = cost, first[end] = begin;
        }
    }
    std::vector<group> groups;
    for (size_t end = lengths.size(); end > 0; end = first[end]) {
        group g = {.sequences = {}, .length = lengths[end - 1], .is_padded = first[end] + 1 < end};
        for (size_t i = first[end]; i < end; i++)
            g.sequences.insert(g.sequences.end(), by_length[lengths[i]].begin(), by_length[lengths[i]].end());
        std::sort(g.sequences.begin(), g.sequences.end());
        groups.push_back(std::move(g));
    }
    std::reverse(groups.begin(), groups.end());
    return groups;
}

/* ---- Rows of a run ---- */

namespace {

/* A group's rows and arrays. */
struct block {
    int32_t n, length;
    int32_t first;             /* rows first ... first + n * length - 1 are the group's, in order */
    std::optional<array> mask; /* bool [n, length], true: no pad; none where there are no pads */
    std::vector<int32_t> sequences, lengths;
    std::vector<int32_t> columns; /* [n_columns][length] */
    int32_t n_columns;            /* 1 where all sequences have the columns 0, 1, 2 ... */
    int32_t span;                 /* largest distance between two columns */
};

bool has_plain_columns(const int32_t *columns, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++)
        if (columns[i] != (int32_t)(i - first)) return false;
    return true;
}

void set_columns(block &b, const group &g, const tern_batch &batch) {
    const int32_t *columns = batch.inputs[TERN_INPUT_COLUMNS];
    bool is_plain = true;
    for (int32_t s : g.sequences)
        is_plain = is_plain && (columns == nullptr || has_plain_columns(columns, batch.row_start[s], batch.row_start[s + 1]));
    b.n_columns = is_plain ? 1 : b.n;
    b.columns.assign((size_t)b.n_columns * (size_t)b.length, 0);
    b.span = b.length - 1;
    if (is_plain) {
        std::iota(b.columns.begin(), b.columns.end(), 0);
        return;
    }
    for (int32_t i = 0; i < b.n; i++) {
        const int32_t *from = columns + batch.row_start[g.sequences[(size_t)i]];
        int32_t *to = b.columns.data() + (size_t)i * (size_t)b.length;
        for (int32_t t = 0; t < b.length; t++) to[t] = from[t < b.lengths[(size_t)i] ? t : 0];
        b.span = std::max(b.span, from[b.lengths[(size_t)i] - 1] - from[0]);
    }
}

block make_block(const group &g, const tern_batch &batch, int32_t first) {
    block b = {};
    b.n = (int32_t)g.sequences.size();
    b.length = g.length;
    b.first = first;
    b.sequences = g.sequences;
    for (int32_t s : g.sequences) b.lengths.push_back((int32_t)(batch.row_start[s + 1] - batch.row_start[s]));
    if (g.is_padded) {
        std::unique_ptr<bool[]> mask(new bool[(size_t)b.n * (size_t)b.length]);
        for (int32_t i = 0; i < b.n * b.length; i++) mask[(size_t)i] = i % b.length < b.lengths[(size_t)(i / b.length)];
        b.mask = array(mask.get(), {b.n, b.length}, mx::bool_);
    }
    set_columns(b, g, batch);
    return b;
}

/* Where the batch's packed rows are among those of the run. */
struct rows_of_run {
    std::vector<block> blocks;
    std::vector<int32_t> sources; /* of each row of the run, at least one: a packed row; a pad's is the first of its sequence */
    std::vector<int32_t> places;  /* of each packed row, and behind them one for a sequence that has none */
    bool is_packed;               /* both are 0, 1, 2 ... */
};

rows_of_run lay_out_rows(const compiled &c, const tern_batch &batch) {
    rows_of_run rows = {{}, {}, std::vector<int32_t>((size_t)batch.n_tokens + 1), false};
    const int64_t last = std::max<int64_t>(0, batch.n_tokens - 1);
    for (const group &g : choose_groups(c, batch)) {
        rows.blocks.push_back(make_block(g, batch, (int32_t)rows.sources.size()));
        for (int32_t s : g.sequences) {
            const int64_t first = batch.row_start[s], length = batch.row_start[s + 1] - first;
            for (int64_t t = 0; t < g.length; t++) {
                if (t < length) rows.places[(size_t)(first + t)] = (int32_t)rows.sources.size();
                rows.sources.push_back((int32_t)(t < length ? first + t : std::min(first, last)));
            }
        }
    }
    if (rows.sources.empty()) rows.sources.push_back(0);
    rows.is_packed = rows.sources.size() == (size_t)std::max<int64_t>(1, batch.n_tokens);
    for (size_t i = 0; i < rows.sources.size() && rows.is_packed; i++) rows.is_packed = rows.sources[i] == (int32_t)i;
    return rows;
}

/* ---- Activations ---- */

array activation(tern_op op, const array &x, mx::Dtype dtype, mx::Stream s) {
    const auto scalar = [&](double y) { return array((float)y, dtype); };
    const auto times = [&](const array &y, double factor) { return mx::multiply(y, scalar(factor), s); };
    switch (op) {
    case TERN_OP_GELU:
        return mx::multiply(times(x, 0.5), mx::add(scalar(1), mx::erf(times(x, std::sqrt(0.5)), s), s), s);
    case TERN_OP_GELU_TANH: {
        const array cubic = mx::add(scalar(1), times(mx::multiply(x, x, s), 0.044715), s);
        const array inner = times(mx::multiply(x, cubic, s), std::sqrt(2 / std::acos(-1.0)));
        return mx::multiply(times(x, 0.5), mx::add(scalar(1), mx::tanh(inner, s), s), s);
    }
    case TERN_OP_QUICK_GELU:
        return mx::multiply(x, mx::sigmoid(times(x, 1.702), s), s);
    case TERN_OP_RELU:
        return mx::maximum(x, scalar(0), s);
    case TERN_OP_SILU:
        return mx::multiply(x, mx::sigmoid(x, s), s);
    case TERN_OP_LOG1P:
        return mx::log1p(x, s);
    case TERN_OP_SIGMOID: /* not MLX's own, which is 1 - sigmoid(-x) for negative x and loses small results */
        return mx::divide(scalar(1), mx::add(scalar(1), mx::exp(mx::negative(x, s), s), s), s);
    default:
        return mx::tanh(x, s);
    }
}

bool has_many_ops(tern_op op) {
    return op == TERN_OP_GELU || op == TERN_OP_GELU_TANH || op == TERN_OP_QUICK_GELU || op == TERN_OP_SILU || op == TERN_OP_SIGMOID;
}

/* ---- The graph ---- */

class graph {
  public:
    graph(const compiled &compiled_program, const tern_batch &tokens, mx::Stream on)
        : c(compiled_program), batch(tokens), s(on), values((size_t)c.program->n_values), run(lay_out_rows(c, tokens)) {}

    void add(int32_t n);
    const array &value(tern_value v) const { return *values[(size_t)v.index]; }
    array output(tern_value v) const;

  private:
    const compiled &c;
    const tern_batch &batch;
    const mx::Stream s;
    std::vector<std::optional<array>> values; /* [n_values] */
    const rows_of_run run;
    std::map<std::tuple<const void *, int32_t, size_t>, array> by_block; /* what attentions of all layers share */
    std::map<const tables *, std::pair<array, array>> angles;

    const weight &weight_of(const tern_node &node, int w) const { return *c.weights[(size_t)node.weights[w]]; }
    const weight *weight_or_none(const tern_node &node, int w) const {
        return w < node.n_weights && node.weights[w] != TERN_NO_WEIGHT ? &weight_of(node, w) : nullptr;
    }
    array scalar(double x) const { return array((float)x, c.dtype); }
    int32_t width(tern_value v) const { return tern__value(c.program, v)->width; }
    array times(const array &x, double y) const { return mx::multiply(x, scalar(y), s); }

    array integers(tern_input input) const;
    array embedding(const tern_node &node) const;
    array layer_norm(const tern_node &node) const;
    array linears(const tern_node &node, const tables &t) const;
    array rope(const tern_node &node, const tables &t);
    array normalize(const array &x) const;

    array rows_of(const array &x, const block &b) const;
    array distances(const block &b) const;
    array heads(const array &x, const block &b, const tern_node &node) const;
    std::optional<array> counts(const tern_node &node, size_t i);
    std::optional<array> attention_mask(const tern_node &node, const tables *t, size_t i);
    array attend(const tern_node &node, const tables *t, size_t i);
    array distance_rows(const tables &t, size_t i, int32_t *first, int32_t *end);
    array attend_disentangled(const tern_node &node, const tables &t, size_t i);
    array attention(const tern_node &node, const tables *t);
    array pool_one_row(const tern_node &node) const;
    array pool_block(const tern_node &node, const block &b) const;
    array pool(const tern_node &node) const;
    array unfold(const tern_node &node) const;
    array compute(const tern_node &node, const tables *t);
};

/* A batch without any token has one here, which nothing counts: not every op of MLX takes arrays without rows. */
array graph::integers(tern_input input) const {
    std::vector<int32_t> integers;
    for (int32_t source : run.sources) integers.push_back(batch.n_tokens > 0 ? batch.inputs[input][source] : 0);
    return array(integers.begin(), {(int32_t)integers.size()}, mx::int32);
}

array graph::embedding(const tern_node &node) const {
    const weight &w = weight_of(node, 0);
    const array &ids = value(node.inputs[0]);
    if (!w.scales) return mx::take(w.rows, ids, 0, s);
    const std::optional<array> biases = w.biases ? std::optional(mx::take(*w.biases, ids, 0, s)) : std::nullopt;
    return mx::dequantize(mx::take(w.rows, ids, 0, s), mx::take(*w.scales, ids, 0, s), biases, w.quantized.group_size, w.quantized.bits,
                          w.quantized.mode, std::nullopt, c.dtype, s);
}

array graph::layer_norm(const tern_node &node) const {
    const weight *bias = weight_or_none(node, 1);
    return mx::fast::layer_norm(value(node.inputs[0]), weight_of(node, 0).rows, bias ? std::optional(bias->rows) : std::nullopt, node.eps,
                                s);
}

/* Of one input, beside each other. */
array graph::linears(const tern_node &node, const tables &t) const {
    const array &x = value(node.inputs[0]);
    if (t.joined) return linear(x, *t.joined, t.joined_bias ? &*t.joined_bias : nullptr, s);
    std::vector<array> parts;
    for (int32_t p = 0; p < node.n_weights; p += 2) parts.push_back(linear(x, weight_of(node, p), weight_or_none(node, p + 1), s));
    return mx::concatenate(parts, 1, s);
}

array graph::rope(const tern_node &node, const tables &t) {
    const int32_t n = (int32_t)run.sources.size(), half = node.rope.head_dim / 2;
    auto found = angles.find(&t);
    if (found == angles.end()) {
        const array &positions = value(node.inputs[1]);
        const auto taken = [&](const array &table) { return mx::reshape(mx::take(table, positions, 0, s), {n, 1, half}, s); };
        found = angles.emplace(&t, std::pair(taken(*t.cosines), taken(*t.sines))).first;
    }
    const auto &[cosine, sine] = found->second;
    const array x = mx::reshape(value(node.inputs[0]), {n, node.rope.n_heads, node.rope.head_dim}, s);
    const array a = mx::slice(x, {0, 0, 0}, {n, node.rope.n_heads, half}, s);
    const array b = mx::slice(x, {0, 0, half}, {n, node.rope.n_heads, 2 * half}, s);
    const array y = mx::concatenate({mx::subtract(mx::multiply(a, cosine, s), mx::multiply(b, sine, s), s),
                                     mx::add(mx::multiply(b, cosine, s), mx::multiply(a, sine, s), s)},
                                    2, s);
    return mx::reshape(y, {n, width(node.output)}, s);
}

array graph::normalize(const array &x) const {
    const array wide = mx::astype(x, mx::float32, s);
    const array norm = mx::sqrt(mx::sum(mx::multiply(wide, wide, s), -1, true, s), s);
    return mx::astype(mx::divide(wide, mx::maximum(norm, array(1e-12f), s), s), c.dtype, s);
}

/* ---- Attention ---- */

/* [n, length, width] */
array graph::rows_of(const array &x, const block &b) const {
    const int32_t w = x.shape(1);
    return mx::reshape(mx::slice(x, {b.first, 0}, {b.first + b.n * b.length, w}, s), {b.n, b.length, w}, s);
}

/* Of columns, key - query: int32 [n_columns, length (queries), length (keys)] */
array graph::distances(const block &b) const {
    const array keys(b.columns.begin(), {b.n_columns, 1, b.length}, mx::int32);
    return mx::subtract(keys, mx::reshape(keys, {b.n_columns, b.length, 1}, s), s);
}

/* [n, n_heads, length, head_dim] */
array graph::heads(const array &x, const block &b, const tern_node &node) const {
    const array rows = mx::reshape(rows_of(x, b), {b.n, b.length, node.attention.n_heads, node.attention.head_dim}, s);
    return mx::transpose(rows, {0, 2, 1, 3}, s);
}

/* Which keys count, bool [n or 1, 1, length or 1, length]; none: all. */
std::optional<array> graph::counts(const tern_node &node, size_t i) {
    const block &b = run.blocks[i];
    std::optional<array> in_window;
    if (node.op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node.attention.window < b.span)
        in_window = mx::expand_dims(mx::less_equal(mx::abs(distances(b), s), array(node.attention.window), s), 1, s);
    if (!b.mask) return in_window;
    const array no_pad = mx::reshape(*b.mask, {b.n, 1, 1, b.length}, s);
    return in_window ? mx::logical_and(*in_window, no_pad, s) : no_pad;
}

/* bool, or what is added to scores: [n or 1, n_heads or 1, length or 1, length] */
std::optional<array> graph::attention_mask(const tern_node &node, const tables *t, size_t i) {
    const auto key = std::tuple((const void *)t, node.attention.window, i);
    const auto found = by_block.find(key);
    if (found != by_block.end()) return found->second;
    std::optional<array> mask = counts(node, i);
    if (t != nullptr) {
        const array at = mx::add(mx::clip(distances(run.blocks[i]), array(-t->reach), array(t->reach), s), array(t->reach), s);
        const array bias = mx::transpose(mx::take(*t->by_distance, at, 0, s), {0, 3, 1, 2}, s);
        mask = mask ? mx::where(*mask, bias, scalar(-std::numeric_limits<float>::infinity()), s) : bias;
    }
    if (mask) by_block.emplace(key, *mask);
    return mask;
}

/* MLX 0.32 has one more argument than 0.31. */
template <class... Mask> array fused_attention(const array &q, const array &k, const array &v, float scale, mx::Stream s, Mask... mask) {
    if constexpr (requires { mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, false, s); })
        return mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, false, s);
    else return mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, s);
}

array graph::attend(const tern_node &node, const tables *t, size_t i) {
    const block &b = run.blocks[i];
    const std::optional<array> mask = attention_mask(node, t, i);
    return fused_attention(heads(value(node.inputs[0]), b, node), heads(value(node.inputs[1]), b, node),
                           heads(value(node.inputs[2]), b, node), node.attention.scale, s, std::string(mask ? "array" : ""), mask);
}

/* Rows of the table for each pair, int32 [n_columns, 1, length (queries), length (keys)], counted from *first; a block's are *first ...
 * *end - 1. */
array graph::distance_rows(const tables &t, size_t i, int32_t *first, int32_t *end) {
    const block &b = run.blocks[i];
    const int32_t most = std::min(b.span, t.reach);
    *first = t.rows[(size_t)(t.reach - most)];
    *end = t.rows[(size_t)(t.reach + most)] + 1;
    const auto key = std::tuple((const void *)&t, -1, i);
    const auto found = by_block.find(key);
    if (found != by_block.end()) return found->second;
    const array clipped = mx::clip(mx::negative(distances(b), s), array(-t.reach), array(t.reach), s);
    const array rows = mx::take(*t.by_distance, mx::add(clipped, array(t.reach), s), 0, s);
    const array shifted = mx::expand_dims(mx::subtract(rows, array(*first), s), 1, s);
    by_block.emplace(key, shifted);
    return shifted;
}

array graph::attend_disentangled(const tern_node &node, const tables &t, size_t i) {
    const block &b = run.blocks[i];
    const int32_t n_heads = node.attention.n_heads, d = node.attention.head_dim;
    const array q = times(heads(value(node.inputs[0]), b, node), node.attention.scale);
    const array k = heads(value(node.inputs[1]), b, node), v = heads(value(node.inputs[2]), b, node);
    int32_t first, end;
    const array rows = distance_rows(t, i, &first, &end);
    const mx::Shape pairs = {b.n, n_heads, b.length, b.length};
    const auto table = [&](const array &whole) { /* [1, n_heads, head_dim, rows of the block] */
                                                 const array part = mx::slice(whole, {first, 0}, {end, whole.shape(1)}, s);
                                                 return mx::transpose(mx::reshape(part, {1, end - first, n_heads, d}, s), {0, 2, 3, 1}, s);
    };
    array scores = mx::matmul(q, mx::swapaxes(k, 2, 3, s), s);
    if (t.keys) scores = mx::add(scores, mx::take_along_axis(mx::matmul(q, table(*t.keys), s), mx::broadcast_to(rows, pairs, s), 3, s), s);
    if (t.queries) {
        const array by_key = mx::matmul(times(k, node.attention.scale), table(*t.queries), s);
        const array at = mx::broadcast_to(mx::swapaxes(rows, 2, 3, s), pairs, s);
        scores = mx::add(scores, mx::swapaxes(mx::take_along_axis(by_key, at, 3, s), 2, 3, s), s);
    }
    const std::optional<array> mask = counts(node, i);
    if (mask) scores = mx::where(*mask, scores, scalar(-std::numeric_limits<float>::infinity()), s);
    return mx::matmul(mx::softmax(scores, -1, true, s), v, s);
}

array graph::attention(const tern_node &node, const tables *t) {
    std::vector<array> parts;
    for (size_t i = 0; i < run.blocks.size(); i++) {
        const array y = node.op == TERN_OP_DISENTANGLED_ATTENTION ? attend_disentangled(node, *t, i) : attend(node, t, i);
        const int32_t n_rows = run.blocks[i].n * run.blocks[i].length;
        parts.push_back(mx::reshape(mx::transpose(y, {0, 2, 1, 3}, s), {n_rows, width(node.output)}, s));
    }
    return parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0, s);
}

/* ---- Pooling ---- */

/* The first row of each sequence behind the prompt, or its last one; zeros for the last of none. */
array graph::pool_one_row(const tern_node &node) const {
    const array &x = value(node.inputs[0]);
    const int64_t n_prompt = node.skips_prompt ? batch.n_prompt_rows : 0;
    std::vector<int32_t> taken;
    std::vector<float> is_there;
    for (int64_t i = 0; i < batch.n_sequences; i++) {
        const int64_t first = batch.row_start[i], last = batch.row_start[i + 1] - 1;
        const bool has_rows = first + n_prompt <= last;
        const bool is_empty = last < first;
        const int64_t row = is_empty ? batch.n_tokens : node.pool == TERN_POOL_LAST_TOKEN ? last : has_rows ? first + n_prompt : first;
        taken.push_back(run.places[(size_t)row]);
        is_there.push_back(!is_empty && (node.pool == TERN_POOL_CLS || has_rows) ? 1 : 0);
    }
    const int32_t n = (int32_t)taken.size();
    const array y = mx::take(x, array(taken.begin(), {n}, mx::int32), 0, s);
    if (std::find(is_there.begin(), is_there.end(), 0.0f) == is_there.end()) return y;
    return mx::multiply(y, mx::astype(array(is_there.begin(), {n, 1}, mx::float32), c.dtype, s), s);
}

/* All sequences of a block: the maximum, or the sum of the rows times their weights, divided. */
array graph::pool_block(const tern_node &node, const block &b) const {
    const int32_t n_prompt = node.skips_prompt ? (int32_t)std::min<int64_t>(batch.n_prompt_rows, b.length) : 0;
    std::vector<float> weights, divisors;
    for (int32_t length : b.lengths) {
        double sum = 0;
        for (int32_t t = 0; t < b.length; t++) {
            weights.push_back(t < n_prompt || t >= length ? 0 : node.pool == TERN_POOL_WEIGHTED_MEAN ? (float)(t + 1) : 1);
            sum += weights.back();
        }
        const bool is_plain_sum = node.pool == TERN_POOL_SUM || sum == 0;
        divisors.push_back((float)(is_plain_sum ? 1 : node.pool == TERN_POOL_MEAN_SQRT_LEN ? std::sqrt(sum) : sum));
    }
    const array tokens = rows_of(value(node.inputs[0]), b), factors = array(weights.begin(), {b.n, b.length, 1}, mx::float32);
    if (node.pool == TERN_POOL_MAX) {
        const array counted = mx::greater(factors, array(0.0f), s);
        return mx::max(mx::where(counted, tokens, scalar(-std::numeric_limits<float>::infinity()), s), 1, false, s);
    }
    const array wide = mx::astype(tokens, mx::float32, s);
    const bool is_weighted = std::any_of(weights.begin(), weights.end(), [](float weight) { return weight != 1; });
    const array sum = mx::sum(is_weighted ? mx::multiply(wide, factors, s) : wide, 1, false, s);
    return mx::astype(mx::divide(sum, array(divisors.begin(), {b.n, 1}, mx::float32), s), c.dtype, s);
}

array graph::pool(const tern_node &node) const {
    if (node.pool == TERN_POOL_CLS || node.pool == TERN_POOL_LAST_TOKEN) return pool_one_row(node);
    std::vector<array> parts;
    std::vector<int32_t> places((size_t)batch.n_sequences);
    int32_t place = 0;
    for (const block &b : run.blocks) {
        parts.push_back(pool_block(node, b));
        for (int32_t sequence : b.sequences) places[(size_t)sequence] = place++;
    }
    const array all = parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0, s);
    return std::is_sorted(places.begin(), places.end()) ? all : mx::take(all, array(places.begin(), {place}, mx::int32), 0, s);
}

/* Rows that are not there are the one behind the last, which is zeros. */
array graph::unfold(const tern_node &node) const {
    const array &x = value(node.inputs[0]);
    const int32_t n_rows = x.shape(0), n = node.kernel_size, width = x.shape(1);
    std::vector<int32_t> neighbour((size_t)n_rows * (size_t)n, n_rows);
    for (int64_t sequence = 0; sequence < batch.n_sequences; sequence++)
        for (int64_t row = batch.row_start[sequence]; row < batch.row_start[sequence + 1]; row++)
            for (int32_t i = 0; i < n; i++) {
                const int64_t at = tern__row_at(batch.inputs[TERN_INPUT_COLUMNS], batch.row_start[sequence], batch.row_start[sequence + 1],
                                                row, i - n / 2);
                if (at >= 0) neighbour[(size_t)(run.places[(size_t)row] * n + i)] = run.places[(size_t)at];
            }
    const array padded = mx::concatenate({x, mx::zeros({1, width}, c.dtype, s)}, 0, s);
    const array neighbours = mx::take(padded, array(neighbour.begin(), {n_rows, n}, mx::int32), 0, s);
    return mx::reshape(mx::transpose(neighbours, {0, 2, 1}, s), {n_rows, width * n}, s);
}

/* ---- Nodes ---- */

array graph::compute(const tern_node &node, const tables *t) {
    switch (node.op) {
    case TERN_OP_INPUT:
        return integers(node.input);
    case TERN_OP_EMBEDDING:
        return embedding(node);
    case TERN_OP_ADD:
        return mx::add(value(node.inputs[0]), value(node.inputs[1]), s);
    case TERN_OP_MULTIPLY:
        return mx::multiply(value(node.inputs[0]), value(node.inputs[1]), s);
    case TERN_OP_LAYER_NORM:
        return layer_norm(node);
    case TERN_OP_LINEAR:
        return linear(value(node.inputs[0]), weight_of(node, 0), weight_or_none(node, 1), s);
    case TERN_OP_LINEAR_CONCAT:
        return linears(node, *t);
    case TERN_OP_SLICE: {
        const array &x = value(node.inputs[0]);
        return mx::slice(x, {0, node.slice.start}, {x.shape(0), node.slice.start + width(node.output)}, s);
    }
    case TERN_OP_ROPE:
        return rope(node, *t);
    case TERN_OP_SCALED_DOT_PRODUCT_ATTENTION:
    case TERN_OP_DISENTANGLED_ATTENTION:
        return attention(node, t);
    case TERN_OP_POOL:
        return pool(node);
    case TERN_OP_UNFOLD:
        return unfold(node);
    case TERN_OP_TAKE: {
        std::vector<int32_t> picks;
        for (int64_t i = 0; i < batch.n_picks; i++) picks.push_back(run.places[(size_t)batch.picks[i]]);
        return mx::take(value(node.inputs[0]), array(picks.begin(), {(int32_t)picks.size()}, mx::int32), 0, s);
    }
    case TERN_OP_CONCAT:
        return mx::concatenate({value(node.inputs[0]), value(node.inputs[1])}, 1, s);
    case TERN_OP_SCALE: /* the factor is float32 in any dtype */
        return mx::astype(mx::multiply(mx::astype(value(node.inputs[0]), mx::float32, s), array(tern__scale_factor(c.program, &node)), s),
                          c.dtype, s);
    case TERN_OP_NORMALIZE:
        return normalize(value(node.inputs[0]));
    default: {
        const auto fused = c.activations.find(node.op);
        if (fused != c.activations.end()) return fused->second({value(node.inputs[0])})[0];
        return activation(node.op, value(node.inputs[0]), c.dtype, s);
    }
    }
}

void graph::add(int32_t n) {
    const tern_node &node = c.program->nodes[n];
    values[(size_t)node.output.index] = compute(node, c.by_node[(size_t)n].get());
}

/* Dense float32 rows, a token's where the batch has it. */
array graph::output(tern_value v) const {
    array y = value(v);
    if (tern__value(c.program, v)->space == TERN_SPACE_TOKENS && !run.is_packed)
        y = mx::take(y, array(run.places.begin(), {(int32_t)batch.n_tokens}, mx::int32), 0, s);
    return mx::contiguous(mx::astype(y, mx::float32, s), false, s);
}

} // namespace

/* The stream is the device's own: one that changes from thread to thread could not be kept in what is compiled. */
void fuse_activations(compiled &c) {
    if (c.owner->unit != mx::Device::gpu || !c.owner->stream) return;
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        const tern_op op = c.program->nodes[n].op;
        if (!has_many_ops(op) || c.activations.count(op) > 0) continue;
        const fused_op of_one = [op, dtype = c.dtype, s = *c.owner->stream](const std::vector<array> &x) {
            return std::vector<array>{activation(op, x[0], dtype, s)};
        };
        c.activations.emplace(op, mx::compile(of_one, true));
    }
}

std::vector<array> build_graph(const compiled &c, const tern_batch &batch, const tern_run_output *outputs, size_t n_outputs, mx::Stream s) {
    std::vector<int32_t> wanted;
    for (size_t i = 0; i < n_outputs; i++) wanted.push_back(outputs[i].output);
    std::vector<uint8_t> needed((size_t)c.program->n_nodes);
    tern__program_mark_needed(c.program, wanted.data(), wanted.size(), needed.data());
    graph g(c, batch, s);
    for (int32_t n = 0; n < c.program->n_nodes; n++)
        if (needed[(size_t)n]) g.add(n);
    std::vector<array> results;
    for (int32_t output : wanted) results.push_back(g.output(c.program->outputs[output].value));
    return results;
}

} // namespace tern_mlx
