/* mlx_graph.cpp - a run of a program as lazy MLX arrays, of the run's form and the batch's arrays (mlx_rows.cpp). What depends on the batch
 * alone (masks, biases by distance, angles) is made once a run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>

#include <mlx/compile_impl.h>

namespace tern_mlx {

using mx::array;

namespace {

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
    case TERN_OP_TANH:
        return mx::tanh(x, s);
    default:
        throw std::logic_error(std::string("no activation: ") + tern__op_name(op));
    }
}

bool has_many_ops(tern_op op) {
    return op == TERN_OP_GELU || op == TERN_OP_GELU_TANH || op == TERN_OP_QUICK_GELU || op == TERN_OP_SILU || op == TERN_OP_SIGMOID;
}

/* ---- The graph ---- */

#define ATTENTIONS_OF_PART 2 /* of a run that is evaluated in parts */

class graph {
  public:
    graph(const compiled &compiled_program, const form_of_run &form_of_this, arrays_of_batch &of_batch, mx::Stream on)
        : c(compiled_program), form(form_of_this), given(of_batch), s(on), values((size_t)c.program->n_values) {}

    void add(int32_t n);
    array output(tern_value v);
    const std::vector<array> &parts() const { return ends_of_parts; }

  private:
    const compiled &c;
    const form_of_run &form;
    arrays_of_batch &given;
    const mx::Stream s;
    std::vector<std::optional<array>> values;                      /* [n_values] */
    std::map<std::pair<const void *, int32_t>, array> by_distance; /* what attentions of all layers share, by table and window */
    std::map<std::pair<int32_t, int32_t>, array> by_head;          /* values that attention sees, by width of a head */
    std::vector<array> ends_of_parts;
    int32_t n_attentions = 0;
    std::map<const tables *, std::pair<array, array>> angles;
    std::map<double, array> scalars;

    const tern_node &maker(tern_value v) const { return c.program->nodes[tern__value(c.program, v)->producer]; }
    const weight &weight_of(const tern_node &node, int w) const { return *c.weights[(size_t)node.weights[w]]; }
    const weight *weight_or_none(const tern_node &node, int w) const {
        return w < node.n_weights && node.weights[w] != TERN_NO_WEIGHT ? &weight_of(node, w) : nullptr;
    }
    array scalar(double x) {
        const auto found = scalars.find(x);
        return found != scalars.end() ? found->second : scalars.emplace(x, array((float)x, c.dtype)).first->second;
    }
    int32_t width(tern_value v) const { return tern__value(c.program, v)->width; }
    array times(const array &x, double y) { return mx::multiply(x, scalar(y), s); }

    const array &value(tern_value v);
    array of_batch(const request &r);
    array slice(const tern_node &node);
    array embedding(const tern_node &node);
    array layer_norm(const tern_node &node);
    array linears(const tern_node &node, const tables &t);
    array rope(const tern_node &node, const tables &t);
    array normalize(const array &x) const;

    array distances();
    array all_heads(tern_value v, int32_t head_dim);
    array heads(tern_value v, const tern_node &node);
    std::optional<array> counts(const tern_node &node);
    std::optional<array> attention_mask(const tern_node &node, const tables *t);
    array attend(const tern_node &node, const tables *t);
    array distance_rows(const tables &t, int32_t *first, int32_t *end);
    array attend_disentangled(const tern_node &node, const tables &t);
    array attention(const tern_node &node, const tables *t);
    bool counts_all_rows(const tern_node &pool) const { return !form.is_masked && !(form.has_prompt && pool.skips_prompt); }
    array pool_one_row(const tern_node &node);
    array pool_max(const tern_node &node);
    array pool_sum(const tern_node &node);
    array pool(const tern_node &node);
    array unfold(const tern_node &node);
    array compute(const tern_node &node, const tables *t);
};

array graph::of_batch(const request &r) {
    const auto found = std::find(given.requests.begin(), given.requests.end(), r);
    if (found != given.requests.end()) return given.arrays[(size_t)(found - given.requests.begin())];
    given.arrays.push_back(given.make(r));
    given.requests.push_back(r);
    return given.arrays.back();
}

/* Inputs and slices are made where they are first read: attention reads some of them otherwise. */
const array &graph::value(tern_value v) {
    std::optional<array> &held = values[(size_t)v.index];
    const tern_node &node = maker(v);
    if (!held) held = node.op == TERN_OP_INPUT ? of_batch({.what = request::INPUT, .node = &node}) : slice(node);
    return *held;
}

array graph::slice(const tern_node &node) {
    const array &x = value(node.inputs[0]);
    return mx::slice(x, {0, node.slice.start}, {x.shape(0), node.slice.start + width(node.output)}, s);
}

array graph::embedding(const tern_node &node) {
    const weight &w = weight_of(node, 0);
    const array &ids = value(node.inputs[0]);
    if (!w.scales) return mx::take(w.rows, ids, 0, s);
    const auto taken = [&](const array &part) { return mx::take(part, ids, 0, s); };
    const std::optional<array> biases = w.biases ? std::optional(taken(*w.biases)) : std::nullopt;
    return dequantize({taken(w.rows), taken(*w.scales), biases, w.quantized}, c.dtype, s);
}

array graph::layer_norm(const tern_node &node) {
    const weight *bias = weight_or_none(node, 1);
    return mx::fast::layer_norm(value(node.inputs[0]), weight_of(node, 0).rows, bias ? std::optional(bias->rows) : std::nullopt, node.eps,
                                s);
}

/* Of one input, beside each other. */
array graph::linears(const tern_node &node, const tables &t) {
    const array &x = value(node.inputs[0]);
    if (t.joined) return linear(x, *t.joined, t.joined_bias ? &*t.joined_bias : nullptr, s);
    std::vector<array> parts;
    for (int32_t p = 0; p < node.n_weights; p += 2) parts.push_back(linear(x, weight_of(node, p), weight_or_none(node, p + 1), s));
    return mx::concatenate(parts, 1, s);
}

array graph::rope(const tern_node &node, const tables &t) {
    const int32_t n = form.n_rows, half = node.rope.head_dim / 2;
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

/* Of columns, key - query: int32 [n_lines or 1, line_length (queries), line_length (keys)]. */
array graph::distances() {
    const array keys = form.is_counting && !form.is_masked ? mx::reshape(mx::arange(form.line_length, s), {1, 1, form.line_length}, s)
                                                           : of_batch({.what = request::COLUMNS});
    return mx::subtract(keys, mx::swapaxes(keys, 1, 2, s), s);
}

/* [n_lines, width / head_dim, line_length, head_dim] */
array graph::all_heads(tern_value v, int32_t head_dim) {
    const auto key = std::pair(v.index, head_dim);
    const auto found = by_head.find(key);
    if (found != by_head.end()) return found->second;
    const array rows = mx::reshape(value(v), {form.n_lines, form.line_length, width(v) / head_dim, head_dim}, s);
    return by_head.emplace(key, mx::transpose(rows, {0, 2, 1, 3}, s)).first->second;
}

/* [n_lines, n_heads, line_length, head_dim]; of a slice that is whole heads of its source, which others slice too, a slice of the
 * source's. */
array graph::heads(tern_value v, const tern_node &node) {
    const int32_t n_heads = node.attention.n_heads, d = node.attention.head_dim;
    const tern_node &from = maker(v);
    if (from.op != TERN_OP_SLICE || from.slice.start % d != 0 || width(from.inputs[0]) % d != 0) return all_heads(v, d);
    const array whole = all_heads(from.inputs[0], d);
    const int32_t first = from.slice.start / d;
    return mx::slice(whole, {0, first, 0, 0}, {whole.shape(0), first + n_heads, whole.shape(2), d}, s);
}

/* Which keys count, bool [n_lines or 1, 1, line_length, line_length]; none: all. Each row sees at least itself. */
std::optional<array> graph::counts(const tern_node &node) {
    std::optional<array> in_window;
    if (node.attention.window < form.span)
        in_window = mx::expand_dims(mx::less_equal(mx::abs(distances(), s), array(node.attention.window), s), 1, s);
    if (!form.is_masked) return in_window;
    const array segments = of_batch({.what = request::SEGMENTS});
    const array of_one = mx::equal(mx::expand_dims(segments, {1, 3}, s), mx::expand_dims(segments, {1, 2}, s), s);
    return in_window ? mx::logical_and(*in_window, of_one, s) : of_one;
}

/* What is added to scores, so that it need not be made of a bool in each layer: [n_lines or 1, n_heads or 1, line_length, line_length] */
std::optional<array> graph::attention_mask(const tern_node &node, const tables *t) {
    const auto key = std::pair((const void *)t, node.attention.window);
    const auto found = by_distance.find(key);
    if (found != by_distance.end()) return found->second;
    std::optional<array> mask = counts(node);
    const auto left_out = [&] { return scalar(-std::numeric_limits<float>::infinity()); };
    if (t == nullptr && mask) mask = mx::where(*mask, scalar(0), left_out(), s);
    if (t != nullptr) {
        const array at = mx::add(mx::clip(distances(), array(-t->reach), array(t->reach), s), array(t->reach), s);
        const array bias = mx::transpose(mx::take(*t->by_distance, at, 0, s), {0, 3, 1, 2}, s);
        mask = mask ? mx::where(*mask, bias, left_out(), s) : bias;
    }
    if (mask) by_distance.emplace(key, *mask);
    return mask;
}

/* MLX 0.32 has one more argument than 0.31. */
template <class... Mask> array fused_attention(const array &q, const array &k, const array &v, float scale, mx::Stream s, Mask... mask) {
    if constexpr (requires { mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, false, s); })
        return mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, false, s);
    else return mx::fast::scaled_dot_product_attention(q, k, v, scale, mask..., std::nullopt, s);
}

array graph::attend(const tern_node &node, const tables *t) {
    const std::optional<array> mask = attention_mask(node, t);
    return fused_attention(heads(node.inputs[0], node), heads(node.inputs[1], node), heads(node.inputs[2], node), node.attention.scale, s,
                           std::string(mask ? "array" : ""), mask);
}

/* Rows of the table for each pair, int32 [n_lines or 1, 1, line_length (queries), line_length (keys)], counted from *first; the run's are
 * *first ... *end - 1. */
array graph::distance_rows(const tables &t, int32_t *first, int32_t *end) {
    const int32_t most = std::min(form.span, t.reach);
    *first = t.rows[(size_t)(t.reach - most)];
    *end = t.rows[(size_t)(t.reach + most)] + 1;
    const auto key = std::pair((const void *)t.by_distance->id(), -1); /* of all layers' tables */
    const auto found = by_distance.find(key);
    if (found != by_distance.end()) return found->second;
    const array clipped = mx::clip(mx::negative(distances(), s), array(-t.reach), array(t.reach), s);
    const array rows = mx::take(*t.by_distance, mx::add(clipped, array(t.reach), s), 0, s);
    const array shifted = mx::expand_dims(mx::subtract(rows, array(*first), s), 1, s);
    by_distance.emplace(key, shifted);
    return shifted;
}

array graph::attend_disentangled(const tern_node &node, const tables &t) {
    const int32_t n_heads = node.attention.n_heads, d = node.attention.head_dim;
    const array q = times(heads(node.inputs[0], node), node.attention.scale);
    const array k = heads(node.inputs[1], node), v = heads(node.inputs[2], node);
    int32_t first, end;
    const array rows = distance_rows(t, &first, &end);
    const mx::Shape pairs = {form.n_lines, n_heads, form.line_length, form.line_length};
    const auto table = [&](const array &whole) { /* [1, n_heads, head_dim, rows of the run] */
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
    const std::optional<array> mask = attention_mask(node, nullptr);
    if (mask) scores = mx::add(scores, *mask, s);
    return mx::matmul(mx::softmax(scores, -1, true, s), v, s);
}

array graph::attention(const tern_node &node, const tables *t) {
    const array y = node.op == TERN_OP_DISENTANGLED_ATTENTION ? attend_disentangled(node, *t) : attend(node, t);
    return mx::reshape(mx::transpose(y, {0, 2, 1, 3}, s), {form.n_rows, width(node.output)}, s);
}

/* ---- Pooling ---- */

/* Zeros for the last row of none, and for sequences without rows. */
array graph::pool_one_row(const tern_node &node) {
    const array y = mx::take(value(node.inputs[0]), of_batch({.what = request::POOLED_ROWS, .node = &node}), 0, s);
    if (!form.has_empty && !(form.has_short && node.skips_prompt && node.pool == TERN_POOL_LAST_TOKEN)) return y;
    return mx::multiply(y, mx::astype(of_batch({.what = request::POOLED_FACTORS, .node = &node}), c.dtype, s), s);
}

array graph::pool_max(const tern_node &node) {
    const array &x = value(node.inputs[0]);
    const int32_t n = width(node.inputs[0]);
    if (counts_all_rows(node)) return mx::max(mx::reshape(x, {form.n_lines, form.line_length, n}, s), 1, false, s);
    const array lowest = mx::full({form.n_sequences + 1, n}, array(-std::numeric_limits<float>::infinity()), s);
    const array rows = mx::reshape(mx::astype(x, mx::float32, s), {form.n_rows, 1, n}, s);
    const array all = mx::scatter_max(lowest, of_batch({.what = request::POOL_SEQUENCES, .node = &node}), rows, 0, s);
    return mx::astype(mx::slice(all, {0, 0}, {form.n_sequences, n}, s), c.dtype, s);
}

/* The sum of each sequence's rows, or of them times their weights: float32 [n_sequences, width]. Products add one row after
 * the other, and roundings grow with their number: so they are of some rows each, and then their sums are added. */
array graph::pool_sum(const tern_node &node) {
    const int32_t n = width(node.inputs[0]), length = form.line_length, step = pool_step(length);
    const array rows = mx::astype(value(node.inputs[0]), mx::float32, s);
    if (counts_all_rows(node) && node.pool != TERN_POOL_WEIGHTED_MEAN)
        return mx::sum(mx::reshape(rows, {form.n_lines, length, n}, s), 1, false, s);
    const array lines = mx::reshape(rows, {form.n_lines, length / step, step, n}, s);
    const array weights = of_batch({.what = request::POOL_WEIGHTS, .node = &node});
    const array by_step = mx::swapaxes(mx::reshape(weights, {form.n_lines, form.n_together, length / step, step}, s), 1, 2, s);
    const array sums = mx::sum(mx::matmul(by_step, lines, s), 1, false, s);
    const array all = mx::reshape(sums, {form.n_lines * form.n_together, n}, s);
    return form.is_in_order ? all : mx::take(all, of_batch({.what = request::SEQUENCE_PLACES}), 0, s);
}

array graph::pool(const tern_node &node) {
    if (node.pool == TERN_POOL_CLS || node.pool == TERN_POOL_LAST_TOKEN) return pool_one_row(node);
    if (node.pool == TERN_POOL_MAX) return pool_max(node);
    const array sum = pool_sum(node);
    if (node.pool == TERN_POOL_SUM) return mx::astype(sum, c.dtype, s);
    return mx::astype(mx::divide(sum, of_batch({.what = request::POOL_DIVISORS, .node = &node}), s), c.dtype, s);
}

/* Behind the last row is one of zeros. */
array graph::unfold(const tern_node &node) {
    const array &x = value(node.inputs[0]);
    const array padded = mx::concatenate({x, mx::zeros({1, x.shape(1)}, c.dtype, s)}, 0, s);
    const array neighbours = mx::take(padded, of_batch({.what = request::NEIGHBOURS, .node = &node}), 0, s);
    return mx::reshape(mx::transpose(neighbours, {0, 2, 1}, s), {form.n_rows, x.shape(1) * node.kernel_size}, s);
}

/* ---- Nodes ---- */

array graph::compute(const tern_node &node, const tables *t) {
    switch (node.op) {
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
        return mx::take(value(node.inputs[0]), of_batch({.what = request::PICKS}), 0, s);
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
    if (node.op == TERN_OP_INPUT || node.op == TERN_OP_SLICE) return;
    values[(size_t)node.output.index] = compute(node, c.by_node[(size_t)n].get());
    if (node.op != TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node.op != TERN_OP_DISENTANGLED_ATTENTION) return;
    if (++n_attentions % ATTENTIONS_OF_PART == 0) ends_of_parts.push_back(*values[(size_t)node.output.index]);
}

array graph::output(tern_value v) { return mx::contiguous(mx::astype(value(v), mx::float32, s), false, s); }

/* An address for each op. */
const char function_ids[TERN_N_OPS] = {};

} // namespace

/* What is compiled is kept in each thread that runs it, by function, stream and dtype, and never dropped: a handful of small graphs. So
 * functions are told apart by what they do: one told by its address, as mx::compile does, may be taken for an earlier one that was there.
 */
void fuse_activations(compiled &c) {
    if (c.owner->compiles_run == 0) return;
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        const tern_op op = c.program->nodes[n].op;
        if (!has_many_ops(op) || c.activations.count(op) > 0) continue;
        const array_function of_one = [op, dtype = c.dtype, s = *c.owner->stream](const std::vector<array> &x) {
            return std::vector<array>{activation(op, x[0], dtype, s)};
        };
        const auto id = (std::uintptr_t)&function_ids[op];
        c.activations.emplace(op, mx::detail::compile(of_one, id, true, {(uint64_t)c.owner->stream->index, (uint64_t)c.dtype.val()}));
    }
}

std::vector<array> build_graph(const compiled &c, const form_of_run &form, arrays_of_batch &given, mx::Stream s) {
    std::vector<uint8_t> needed((size_t)c.program->n_nodes);
    tern__program_mark_needed(c.program, form.outputs.data(), form.outputs.size(), needed.data());
    graph g(c, form, given, s);
    for (int32_t n = 0; n < c.program->n_nodes; n++)
        if (needed[(size_t)n]) g.add(n);
    std::vector<array> results;
    for (int32_t output : form.outputs) results.push_back(g.output(c.program->outputs[output].value));
    results.insert(results.end(), g.parts().begin(), g.parts().end());
    return results;
}

} // namespace tern_mlx
