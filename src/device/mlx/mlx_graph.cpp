/* mlx_graph.cpp - one run of a program as lazy MLX arrays.
 *
 * Row-wise ops work on packed rows [rows, width]. Attention and pooling see [sequences, length, width]: sequences of one length are a
 * reshape; otherwise they are gathered into groups that are padded and masked, chosen so that padding and the number of kernels together
 * cost least. What depends on the batch alone (masks, biases by distance, angles) is made once a run.
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

/* A group of n sequences costs n length (length + ROW_COST), in pairs of tokens, and its kernels' start: a GPU starts those of another
 * group in the time of some rows of 1,000 tokens. */
#define ROW_COST       64.0
#define GROUP_COST_GPU 1e6
#define GROUP_COST_CPU 4e3

std::vector<group> choose_groups(const device &d, const tern_batch &batch) {
    const double group_cost = d.unit == mx::Device::gpu ? GROUP_COST_GPU : GROUP_COST_CPU;
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
        const double length = lengths[end - 1], each = length * (length + ROW_COST);
        for (size_t begin = 0; begin < end; begin++) {
            const double cost = least[begin] + (before[end] - before[begin]) * each + group_cost;
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

/* ---- Rows between their packed order and the groups' ---- */

namespace {

/* A group's arrays. */
struct block {
    int32_t n, length;
    int32_t first;             /* rows first ... first + n * length - 1 are the group's, in order; -1: they are gathered */
    std::optional<array> rows; /* int32 [n * length]; a pad's is the first of its sequence */
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

block make_block(const group &g, const tern_batch &batch) {
    block b = {};
    b.n = (int32_t)g.sequences.size();
    b.length = g.length;
    b.sequences = g.sequences;
    const int32_t start = (int32_t)batch.row_start[g.sequences[0]];
    const int32_t last_row = std::max(0, (int32_t)batch.n_tokens - 1);
    bool is_in_order = true;
    std::vector<int32_t> rows;
    std::unique_ptr<bool[]> mask(new bool[(size_t)b.n * (size_t)b.length]);
    for (int32_t s : g.sequences) {
        const int32_t first = (int32_t)batch.row_start[s], length = (int32_t)batch.row_start[s + 1] - first;
        b.lengths.push_back(length);
        for (int32_t t = 0; t < g.length; t++) {
            const int32_t row = t < length ? first + t : std::min(first, last_row);
            is_in_order = is_in_order && row == start + (int32_t)rows.size();
            mask[rows.size()] = t < length;
            rows.push_back(row);
        }
    }
    b.first = is_in_order ? start : -1;
    if (!is_in_order) b.rows = array(rows.begin(), {(int32_t)rows.size()}, mx::int32);
    if (g.is_padded) b.mask = array(mask.get(), {b.n, b.length}, mx::bool_);
    set_columns(b, g, batch);
    return b;
}

/* ---- The graph ---- */

class graph {
  public:
    graph(const compiled &compiled_program, const tern_batch &tokens, mx::Stream on)
        : c(compiled_program), batch(tokens), s(on), values((size_t)c.program->n_values) {}

    void add(int32_t n);
    const array &value(tern_value v) const { return *values[(size_t)v.index]; }

  private:
    const compiled &c;
    const tern_batch &batch;
    const mx::Stream s;
    std::vector<std::optional<array>> values; /* [n_values] */
    std::vector<block> blocks;                /* of attention and pooling; made when first needed */
    std::optional<array> back;                /* int32 [tokens]: where the groups have a token; none: in packed order */
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
    array activation(tern_op op, const array &x) const;
    array rope(const tern_node &node, const tables &t);
    array normalize(const array &x) const;

    void make_blocks();
    array gather(const array &x, const block &b) const;
    array to_rows(const std::vector<array> &parts) const;
    array distances(const block &b) const;
    array heads(const array &x, const block &b, const tern_node &node) const;
    std::optional<array> counts(const tern_node &node, size_t i);
    std::optional<array> attention_mask(const tern_node &node, const tables *t, size_t i);
    array attend(const tern_node &node, const tables *t, size_t i);
    array distance_rows(const tables &t, size_t i, int32_t *first, int32_t *end);
    array attend_disentangled(const tern_node &node, const tables &t, size_t i);
    array attention(const tern_node &node, const tables *t);
    array pool_one_row(const tern_node &node);
    array pool_block(const tern_node &node, const block &b) const;
    array pool(const tern_node &node);
    array unfold(const tern_node &node) const;
    array compute(const tern_node &node, const tables *t);
};

/* A batch without any token has one here, which nothing counts: not every op of MLX takes arrays without rows. */
array graph::integers(tern_input input) const {
    static const int32_t none = 0;
    const int32_t n = (int32_t)batch.n_tokens;
    return array(n > 0 ? batch.inputs[input] : &none, {std::max(n, 1)}, mx::int32);
}

array graph::embedding(const tern_node &node) const {
    const weight &w = weight_of(node, 0);
    const array &ids = value(node.inputs[0]);
    if (!w.scales) return mx::take(w.rows, ids, 0, s);
    const std::optional<array> biases = w.biases ? std::optional(mx::take(*w.biases, ids, 0, s)) : std::nullopt;
    return mx::dequantize(mx::take(w.rows, ids, 0, s), mx::take(*w.scales, ids, 0, s), biases, c.quantized.group_size, c.quantized.bits,
                          c.quantized.mode, std::nullopt, c.dtype, s);
}

array graph::layer_norm(const tern_node &node) const {
    const weight *bias = weight_or_none(node, 1);
    return mx::fast::layer_norm(value(node.inputs[0]), weight_of(node, 0).rows, bias ? std::optional(bias->rows) : std::nullopt, node.eps,
                                s);
}

array graph::activation(tern_op op, const array &x) const {
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

array graph::rope(const tern_node &node, const tables &t) {
    const int32_t n = (int32_t)batch.n_tokens, half = node.rope.head_dim / 2;
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

void graph::make_blocks() {
    if (!blocks.empty()) return;
    for (const group &g : choose_groups(*c.owner, batch)) blocks.push_back(make_block(g, batch));
    std::vector<int32_t> places((size_t)batch.n_tokens);
    int32_t start = 0;
    bool is_in_order = true;
    for (const block &b : blocks) is_in_order = is_in_order && b.first == start, start += b.n * b.length;
    if (is_in_order) return;
    start = 0;
    for (const block &b : blocks)
        for (int32_t sequence : b.sequences) {
            for (int64_t row = batch.row_start[sequence]; row < batch.row_start[sequence + 1]; row++)
                places[(size_t)row] = start + (int32_t)(row - batch.row_start[sequence]);
            start += b.length;
        }
    back = array(places.begin(), {(int32_t)batch.n_tokens}, mx::int32);
}

/* [n, length, width] */
array graph::gather(const array &x, const block &b) const {
    const int32_t w = x.shape(1);
    if (b.first < 0) return mx::reshape(mx::take(x, *b.rows, 0, s), {b.n, b.length, w}, s);
    return mx::reshape(mx::slice(x, {b.first, 0}, {b.first + b.n * b.length, w}, s), {b.n, b.length, w}, s);
}

/* The inverse: [n * length, width] of all groups to packed rows. */
array graph::to_rows(const std::vector<array> &parts) const {
    const array all = parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0, s);
    return back ? mx::take(all, *back, 0, s) : all;
}

/* Of columns, key - query: int32 [n_columns, length (queries), length (keys)] */
array graph::distances(const block &b) const {
    const array keys(b.columns.begin(), {b.n_columns, 1, b.length}, mx::int32);
    return mx::subtract(keys, mx::reshape(keys, {b.n_columns, b.length, 1}, s), s);
}

/* [n, n_heads, length, head_dim] */
array graph::heads(const array &x, const block &b, const tern_node &node) const {
    const array rows = mx::reshape(gather(x, b), {b.n, b.length, node.attention.n_heads, node.attention.head_dim}, s);
    return mx::transpose(rows, {0, 2, 1, 3}, s);
}

/* Which keys count, bool [n or 1, 1, length or 1, length]; none: all. */
std::optional<array> graph::counts(const tern_node &node, size_t i) {
    const block &b = blocks[i];
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
        const array at = mx::add(mx::clip(distances(blocks[i]), array(-t->reach), array(t->reach), s), array(t->reach), s);
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
    const block &b = blocks[i];
    const std::optional<array> mask = attention_mask(node, t, i);
    return fused_attention(heads(value(node.inputs[0]), b, node), heads(value(node.inputs[1]), b, node),
                           heads(value(node.inputs[2]), b, node), node.attention.scale, s, std::string(mask ? "array" : ""), mask);
}

/* Rows of the table for each pair, int32 [n_columns, 1, length (queries), length (keys)], counted from *first; a block's are *first ...
 * *end - 1. */
array graph::distance_rows(const tables &t, size_t i, int32_t *first, int32_t *end) {
    const block &b = blocks[i];
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
    const block &b = blocks[i];
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
    make_blocks();
    for (size_t i = 0; i < blocks.size(); i++) {
        const array y = node.op == TERN_OP_DISENTANGLED_ATTENTION ? attend_disentangled(node, *t, i) : attend(node, t, i);
        parts.push_back(mx::reshape(mx::transpose(y, {0, 2, 1, 3}, s), {blocks[i].n * blocks[i].length, width(node.output)}, s));
    }
    return to_rows(parts);
}

/* ---- Pooling ---- */

/* The first row of each sequence behind the prompt, or its last one; zeros for the last of none. */
array graph::pool_one_row(const tern_node &node) {
    const array &x = value(node.inputs[0]);
    const int64_t n_prompt = node.skips_prompt ? batch.n_prompt_rows : 0;
    std::vector<int32_t> rows;
    std::vector<float> is_there;
    for (int64_t i = 0; i < batch.n_sequences; i++) {
        const int64_t first = batch.row_start[i], last = batch.row_start[i + 1] - 1;
        const bool has_rows = first + n_prompt <= last;
        const bool is_empty = last < first;
        rows.push_back((int32_t)(is_empty ? 0 : node.pool == TERN_POOL_LAST_TOKEN ? last : has_rows ? first + n_prompt : first));
        is_there.push_back(!is_empty && (node.pool == TERN_POOL_CLS || has_rows) ? 1 : 0);
    }
    const int32_t n = (int32_t)rows.size();
    const array y = mx::take(x, array(rows.begin(), {n}, mx::int32), 0, s);
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
    const array rows = gather(value(node.inputs[0]), b), factors = array(weights.begin(), {b.n, b.length, 1}, mx::float32);
    if (node.pool == TERN_POOL_MAX) {
        const array counted = mx::greater(factors, array(0.0f), s);
        return mx::max(mx::where(counted, rows, scalar(-std::numeric_limits<float>::infinity()), s), 1, false, s);
    }
    const array wide = mx::astype(rows, mx::float32, s);
    const bool is_weighted = std::any_of(weights.begin(), weights.end(), [](float weight) { return weight != 1; });
    const array sum = mx::sum(is_weighted ? mx::multiply(wide, factors, s) : wide, 1, false, s);
    return mx::astype(mx::divide(sum, array(divisors.begin(), {b.n, 1}, mx::float32), s), c.dtype, s);
}

array graph::pool(const tern_node &node) {
    if (node.pool == TERN_POOL_CLS || node.pool == TERN_POOL_LAST_TOKEN) return pool_one_row(node);
    make_blocks();
    std::vector<array> parts;
    std::vector<int32_t> places((size_t)batch.n_sequences);
    int32_t place = 0;
    for (const block &b : blocks) {
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
    std::vector<int32_t> rows;
    for (int64_t sequence = 0; sequence < batch.n_sequences; sequence++)
        for (int64_t row = batch.row_start[sequence]; row < batch.row_start[sequence + 1]; row++)
            for (int32_t i = 0; i < n; i++) {
                const int64_t at = tern__row_at(batch.inputs[TERN_INPUT_COLUMNS], batch.row_start[sequence], batch.row_start[sequence + 1],
                                                row, i - n / 2);
                rows.push_back(at < 0 ? n_rows : (int32_t)at);
            }
    rows.resize((size_t)n_rows * (size_t)n, n_rows); /* a batch without tokens has a row */
    const array padded = mx::concatenate({x, mx::zeros({1, width}, c.dtype, s)}, 0, s);
    const array neighbours = mx::take(padded, array(rows.begin(), {n_rows, n}, mx::int32), 0, s);
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
        return linear(c, value(node.inputs[0]), weight_of(node, 0), weight_or_none(node, 1), s);
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
    case TERN_OP_TAKE:
        return mx::take(value(node.inputs[0]), array(batch.picks, {(int32_t)batch.n_picks}, mx::int32), 0, s);
    case TERN_OP_CONCAT:
        return mx::concatenate({value(node.inputs[0]), value(node.inputs[1])}, 1, s);
    case TERN_OP_SCALE: /* the factor is float32 in any dtype */
        return mx::astype(mx::multiply(mx::astype(value(node.inputs[0]), mx::float32, s), array(tern__scale_factor(c.program, &node)), s),
                          c.dtype, s);
    case TERN_OP_NORMALIZE:
        return normalize(value(node.inputs[0]));
    default:
        return activation(node.op, value(node.inputs[0]));
    }
}

void graph::add(int32_t n) {
    const tern_node &node = c.program->nodes[n];
    values[(size_t)node.output.index] = compute(node, c.by_node[(size_t)n].get());
}

} // namespace

std::vector<array> build_graph(const compiled &c, const tern_batch &batch, const tern_run_output *outputs, size_t n_outputs, mx::Stream s) {
    std::vector<int32_t> wanted;
    for (size_t i = 0; i < n_outputs; i++) wanted.push_back(outputs[i].output);
    std::vector<uint8_t> needed((size_t)c.program->n_nodes);
    tern__program_mark_needed(c.program, wanted.data(), wanted.size(), needed.data());
    graph g(c, batch, s);
    for (int32_t n = 0; n < c.program->n_nodes; n++)
        if (needed[(size_t)n]) g.add(n);
    std::vector<array> results;
    for (int32_t output : wanted)
        results.push_back(mx::contiguous(mx::astype(g.value(c.program->outputs[output].value), mx::float32, s), false, s));
    return results;
}

} // namespace tern_mlx
