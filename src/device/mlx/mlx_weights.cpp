/* mlx_weights.cpp - a program's weights as MLX arrays, and what is computed from weights alone.
 *
 * Where MLX takes host memory as its own (unified memory), a weight of the dtype that computes is the mapped checkpoint's pages, without
 * a copy; others are converted. Quantized weights are those of a folder that MLX quantized, or made here (mlx.core.quantize).
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cmath>
#include <new>

#include <unistd.h>

extern "C" {
#include "base/half.h"
}

namespace tern_mlx {

using mx::array;

namespace {

/* Elements where the model has them. */
struct elements {
    const void *data;
    tern_dtype dtype;
    mx::Shape shape; /* of one or two axes */
    bool is_mapped;  /* a part of a mapped file */

    size_t count() const { return (size_t)shape[0] * (shape.size() == 2 ? (size_t)shape[1] : 1); }
};

elements elements_of(const tern_weight &w) {
    if (w.rank == 1) return {w.data, w.dtype, {(int32_t)w.shape[0]}, w.is_mapped};
    return {w.data, w.dtype, {(int32_t)w.shape[0], (int32_t)w.shape[1]}, w.is_mapped};
}

mx::Dtype dtype_of(tern_dtype dtype) {
    switch (dtype) {
    case TERN_DTYPE_F16:
        return mx::float16;
    case TERN_DTYPE_BF16:
        return mx::bfloat16;
    case TERN_DTYPE_U32:
        return mx::uint32;
    case TERN_DTYPE_U8:
        return mx::uint8;
    default:
        return mx::float32;
    }
}

/* The pages that hold `e`, seen as its elements; the mapping outlives the array. */
array wrap_pages(const elements &e, mx::Stream s) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = tern_dtype_bytes(e.dtype), start = (size_t)e.data / page * page;
    const size_t end = tern__align_up((size_t)e.data + e.count() * bytes, page);
    const array pages((void *)start, {(int32_t)((end - start) / bytes)}, dtype_of(e.dtype), [](void *) {});
    mx::Strides strides = {1};
    if (e.shape.size() == 2) strides = {e.shape[1], 1};
    return mx::as_strided(pages, e.shape, strides, ((size_t)e.data - start) / bytes, s);
}

array copy(const device &d, const elements &e) {
    if (!can_have_memory(d, e.count() * sizeof(float))) throw std::bad_alloc();
    switch (e.dtype) {
    case TERN_DTYPE_F32:
        return array((const float *)e.data, e.shape, mx::float32);
    case TERN_DTYPE_F16:
        return array((const mx::float16_t *)e.data, e.shape, mx::float16);
    case TERN_DTYPE_BF16:
        return array((const mx::bfloat16_t *)e.data, e.shape, mx::bfloat16);
    case TERN_DTYPE_U32:
        return array((const uint32_t *)e.data, e.shape, mx::uint32);
    case TERN_DTYPE_U8:
        return array((const uint8_t *)e.data, e.shape, mx::uint8);
    default: {
        std::vector<float> narrow(e.count());
        tern__elements_to_f32(narrow.data(), e.data, e.dtype, 0, narrow.size());
        return array(narrow.data(), e.shape, mx::float32);
    }
    }
}

array evaluated(array a) {
    a.eval();
    return a;
}

bool can_wrap(const compiled &c, const elements &e) { return c.owner->can_wrap && e.is_mapped && e.dtype != TERN_DTYPE_F64; }

array array_of(const compiled &c, const elements &e, mx::Stream s) { return can_wrap(c, e) ? wrap_pages(e, s) : copy(*c.owner, e); }

/* As `dtype`, evaluated. */
array kept(compiled &c, const elements &e, mx::Dtype dtype, mx::Stream s) {
    const array a = evaluated(mx::astype(array_of(c, e, s), dtype, s));
    if (!can_wrap(c, e) || dtype_of(e.dtype) != dtype) c.packed_bytes += a.nbytes();
    return a;
}

weight rows_and_turned(const array &rows, mx::Stream s) {
    return {rows, std::nullopt, std::nullopt, {}, evaluated(mx::transpose(rows, s))};
}

/* Rows of one group are not held quantized: MLX 0.32.4 multiplies them on Hopper by a kernel for them alone, whose results are wrong. */
bool has_groups(int64_t in, int32_t group_size) { return in > group_size && in % group_size == 0; }

/* A folder's own quantized weight. */
weight quantized_weight(compiled &c, const tern_weight &w, mx::Stream s) {
    const tern_quantized &q = w.quantized;
    const int32_t rows = (int32_t)w.shape[0], in = (int32_t)w.shape[1], n_groups = in / q.group_size;
    const bool is_affine = q.biases != nullptr, stays = has_groups(in, q.group_size);
    const auto part = [&](const void *data, tern_dtype held, int32_t columns, mx::Dtype dtype) {
        const elements e = {data, held, {rows, columns}, w.is_mapped && data == w.data};
        return stays ? kept(c, e, dtype, s) : mx::astype(array_of(c, e, s), dtype, s);
    };
    const weight quantized = {part(w.data, TERN_DTYPE_U32, in / 32 * q.bits, mx::uint32),
                              part(q.scales, q.dtype, n_groups, is_affine ? c.dtype : mx::uint8),
                              is_affine ? std::optional(part(q.biases, q.dtype, n_groups, c.dtype)) : std::nullopt,
                              {is_affine ? "affine" : "mxfp4", q.bits, q.group_size}};
    if (stays) return quantized;
    const array whole = evaluated(dequantize(quantized, c.dtype, s));
    c.packed_bytes += whole.nbytes();
    return rows_and_turned(whole, s);
}

/* A linear's weight is quantized where its rows are whole groups, and more than one. */
bool is_to_quantize(const compiled &c, int32_t index) {
    const tern_weight &w = c.program->weights[index];
    if (c.quantized.mode.empty() || w.rank != 2 || !has_groups(w.shape[1], c.quantized.group_size)) return false;
    bool is_linear = false;
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        const tern_node &node = c.program->nodes[n];
        if (node.op == TERN_OP_LINEAR_CONCAT)
            for (int32_t p = 0; p < node.n_weights; p += 2) is_linear = is_linear || node.weights[p] == index;
        if (node.n_weights == 0 || node.weights[0] != index || node.op == TERN_OP_LINEAR_CONCAT) continue;
        if (node.op != TERN_OP_LINEAR) return false;
        is_linear = true;
    }
    return is_linear;
}

weight quantize(compiled &c, const array &rows, mx::Stream s) {
    const quantization &how = c.quantized;
    std::vector<array> parts = mx::quantize(rows, how.group_size, how.bits, how.mode, std::nullopt, s);
    mx::eval(parts);
    for (const array &part : parts) c.packed_bytes += part.nbytes();
    return {parts[0], parts[1], parts.size() > 2 ? std::optional(parts[2]) : std::nullopt, how};
}

weight lay_out(compiled &c, int32_t index, mx::Stream s) {
    const tern_weight &w = c.program->weights[index];
    if (w.quantized.scales != nullptr) return quantized_weight(c, w, s);
    if (is_to_quantize(c, index)) return quantize(c, mx::astype(array_of(c, elements_of(w), s), c.dtype, s), s);
    return rows_and_turned(kept(c, elements_of(w), c.dtype, s), s);
}

/* ---- Tables ---- */

bool has_bias(const tern_node &node) { return node.op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node.attention.n_buckets > 0; }

bool has_same_tables(const tern_node &a, const tern_node &b) {
    if (a.op != b.op) return false;
    if (a.op == TERN_OP_ROPE)
        return a.rope.head_dim == b.rope.head_dim && a.rope.theta == b.rope.theta && a.rope.max_positions == b.rope.max_positions;
    return has_bias(a) && has_bias(b) && a.weights[0] == b.weights[0] && a.attention.n_buckets == b.attention.n_buckets &&
           a.attention.max_distance == b.attention.max_distance;
}

array table_of(compiled &c, const std::vector<float> &elements, mx::Shape shape, mx::Stream s) {
    const array table = evaluated(mx::astype(array(elements.data(), shape, mx::float32), c.dtype, s));
    c.packed_bytes += table.nbytes();
    return table;
}

/* Angles are rounded as Hugging Face rounds them. */
void fill_angles(tables &t, compiled &c, const tern_node &node, mx::Stream s) {
    const int32_t half = node.rope.head_dim / 2, n = node.rope.max_positions;
    std::vector<float> cosines, sines;
    for (int32_t position = 0; position < n; position++)
        for (int32_t i = 0; i < half; i++) {
            const float angle = (float)position * tern__rope_frequency(node.rope.theta, i, node.rope.head_dim);
            cosines.push_back(std::cos(angle));
            sines.push_back(std::sin(angle));
        }
    t.cosines = table_of(c, cosines, {n, half}, s);
    t.sines = table_of(c, sines, {n, half}, s);
}

void fill_bias(tables &t, compiled &c, const tern_node &node, mx::Stream s) {
    const tern_weight &w = c.program->weights[node.weights[0]];
    const int32_t n_heads = node.attention.n_heads;
    std::vector<float> by_distance;
    t.reach = node.attention.max_distance;
    for (int32_t distance = -t.reach; distance <= t.reach; distance++) {
        const int32_t bucket = tern__relative_bucket(distance, node.attention.n_buckets, node.attention.max_distance);
        for (int32_t head = 0; head < n_heads; head++)
            by_distance.push_back(tern__element_to_f32(w.data, w.dtype, (size_t)bucket * (size_t)n_heads + (size_t)head));
    }
    t.by_distance = table_of(c, by_distance, {2 * t.reach + 1, n_heads}, s);
}

/* Keys and queries of the table of distances; its rows' numbers, which all layers share, are at their ends beyond 4 max_distance. */
void fill_disentangled(tables &t, compiled &c, const tern_node &node, mx::Stream s) {
    const auto given = [&](int w) { return node.weights[w] != TERN_NO_WEIGHT ? &*c.weights[(size_t)node.weights[w]] : nullptr; };
    array rows = given(0)->rows;
    if (given(1) != nullptr) rows = mx::fast::layer_norm(rows, given(1)->rows, given(2)->rows, node.attention.eps, s);
    if (given(3) != nullptr) t.keys = evaluated(linear(rows, *given(3), given(4), s));
    if (given(5) != nullptr) t.queries = evaluated(linear(rows, *given(5), given(6), s));
    c.packed_bytes += (t.keys ? t.keys->nbytes() : 0) + (t.queries ? t.queries->nbytes() : 0);
    t.reach = 4 * node.attention.max_distance;
    for (int32_t distance = -t.reach; distance <= t.reach; distance++)
        t.rows.push_back(tern__log_bucket(distance, node.attention.n_buckets, node.attention.max_distance, rows.shape(0)));
    for (const auto &layer : c.by_node)
        if (layer != nullptr && layer->rows == t.rows) t.by_distance = layer->by_distance;
    if (!t.by_distance) t.by_distance = array(t.rows.begin(), {(int32_t)t.rows.size()}, mx::int32);
}

/* Weights of a LINEAR_CONCAT below each other; where a folder holds them in different ways they stay apart. */
void join(tables &t, compiled &c, const tern_node &node, mx::Stream s) {
    const quantization &how = c.weights[(size_t)node.weights[0]]->quantized;
    std::vector<array> rows, scales, biases, shifts;
    bool has_shift = false;
    for (int32_t p = 0; p < node.n_weights; p += 2) {
        const weight &part = *c.weights[(size_t)node.weights[p]];
        const bool is_shifted = node.weights[p + 1] != TERN_NO_WEIGHT;
        if (!(part.quantized == how)) return;
        rows.push_back(part.rows);
        if (part.scales) scales.push_back(*part.scales);
        if (part.biases) biases.push_back(*part.biases);
        shifts.push_back(is_shifted ? c.weights[(size_t)node.weights[p + 1]]->rows : mx::zeros({part.rows.shape(0)}, c.dtype, s));
        has_shift = has_shift || is_shifted;
    }
    const auto below = [&](const std::vector<array> &parts) { return evaluated(mx::concatenate(parts, 0, s)); };
    if (scales.empty()) t.joined = rows_and_turned(below(rows), s);
    else t.joined = weight{below(rows), below(scales), biases.empty() ? std::nullopt : std::optional(below(biases)), how};
    if (has_shift) t.joined_bias = weight{below(shifts), std::nullopt, std::nullopt};
}

std::shared_ptr<const tables> tables_of(compiled &c, int32_t n, mx::Stream s) {
    const tern_node &node = c.program->nodes[n];
    for (int32_t m = 0; m < n; m++)
        if (has_same_tables(c.program->nodes[m], node)) return c.by_node[(size_t)m];
    auto t = std::make_shared<tables>();
    if (node.op == TERN_OP_ROPE) fill_angles(*t, c, node, s);
    else if (has_bias(node)) fill_bias(*t, c, node, s);
    else if (node.op == TERN_OP_DISENTANGLED_ATTENTION) fill_disentangled(*t, c, node, s);
    else if (node.op == TERN_OP_LINEAR_CONCAT) join(*t, c, node, s);
    else return nullptr;
    return t;
}

/* Weights that node n has joined and no other node reads. */
void drop_joined(compiled &c, int32_t n) {
    const tern_node &node = c.program->nodes[n];
    const bool has_joined = c.by_node[(size_t)n] != nullptr && c.by_node[(size_t)n]->joined;
    for (int32_t w = 0; w < node.n_weights && has_joined; w++) {
        if (node.weights[w] == TERN_NO_WEIGHT) continue;
        int32_t n_readers = 0;
        for (int32_t m = 0; m < c.program->n_nodes; m++)
            n_readers += (int32_t)std::count(c.program->nodes[m].weights, c.program->nodes[m].weights + c.program->nodes[m].n_weights,
                                             node.weights[w]);
        if (n_readers == 1) c.weights[(size_t)node.weights[w]].reset();
    }
}

} // namespace

array dequantize(const weight &w, mx::Dtype dtype, mx::Stream s) {
    return mx::dequantize(w.rows, *w.scales, w.biases, w.quantized.group_size, w.quantized.bits, w.quantized.mode, std::nullopt, dtype, s);
}

array linear(const array &x, const weight &w, const weight *bias, mx::Stream s) {
    if (w.scales) {
        const array y =
            mx::quantized_matmul(x, w.rows, *w.scales, w.biases, true, w.quantized.group_size, w.quantized.bits, w.quantized.mode, s);
        return bias != nullptr ? mx::add(y, bias->rows, s) : y;
    }
    return bias != nullptr ? mx::addmm(bias->rows, x, *w.turned, 1.0f, 1.0f, s) : mx::matmul(x, *w.turned, s);
}

void lay_out_weights(compiled &c, mx::Stream s) {
    for (int32_t w = 0; w < c.program->n_weights; w++) c.weights.push_back(lay_out(c, w, s));
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        c.by_node.push_back(tables_of(c, n, s));
        drop_joined(c, n);
    }
}

} // namespace tern_mlx
