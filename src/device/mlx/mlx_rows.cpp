/* mlx_rows.cpp - the rows of a run: how sequences are put into groups and groups into buckets, and the arrays that a batch gives to a run.
 *
 * Row-wise ops work on rows [rows, width]; attention and pooling see [sequences, length, width]. So sequences are put into groups, each
 * padded to its longest and masked. The rows of a run are those of its groups one after the other, of which every group is a slice and a
 * reshape; or the batch's own, without pads, of which attention and pooling gather those of the groups. Groups and either way are chosen so
 * that padding, the number of kernels and moving rows together cost least; where all lengths are equal, both are the packed rows. Where
 * runs are compiled, a group alone is padded up to a bucket, so that batches of about one size are runs of one form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace tern_mlx {

using mx::array;

namespace {

/* ---- Groups ---- */

/* What a unit does: floating-point operations and bytes in a second, roughly, and the seconds that an attention takes longer for a group
 * more (its slices, copies and kernels, started one after the other) and for rows that are gathered and put back. Measured with MLX 0.32.4
 * on an NVIDIA H100, bfloat16 and float32, and with its CPU backend. */
struct speed {
    double flops, bytes, group_seconds, gather_seconds;
};

speed speed_of(const compiled &c) {
    if (c.owner->unit == mx::Device::cpu) return {6e9, 5e9, 1e-3, 1e-4};
    if (c.dtype == mx::float32) return {5e13, 1e12, 5e-5, 5e-5};
    return {4e14, 5e11, 5e-5, 5e-5};
}

/* Of one attention's layer: n sequences of a length, as rows that go through its linears, or that are gathered for attention alone:
 * queries, keys, values and results are read and written once more. */
double padded_seconds(const compiled &c, double n, double length) {
    return n * length * (c.row_flops + length * c.pair_flops) / speed_of(c).flops;
}
double gathered_seconds(const compiled &c, double n, double length) {
    const double bytes = 2 * c.pair_flops * (double)mx::size_of(c.dtype); /* pair_flops is 4 times the width */
    return n * length * (bytes / speed_of(c).bytes + length * c.pair_flops / speed_of(c).flops);
}

int32_t round_up(int32_t x, int32_t step) { return (int32_t)std::min<int64_t>(((int64_t)x + step - 1) / step * step, INT32_MAX); }

int32_t bucket_of_length(int32_t length) { return round_up(length, length <= 64 ? 8 : length <= 256 ? 16 : 32); }

/* Every number to 16, then steps between an eighth and a sixteenth. */
int32_t bucket_of_number(int32_t n) {
    int32_t step = 1;
    while (n >= 16 * (int64_t)step) step *= 2;
    return round_up(n, step);
}

using cost_of_group = double (*)(const compiled &, double n, double length);

/* Pads that a run of another form would not have may cost what one more group would, and no more: where a batch is so large that they
 * would, building its graph anew costs less. */
void pad_to_bucket(const compiled &c, group &g, cost_of_group cost) {
    const int32_t n = bucket_of_number(g.n), length = bucket_of_length(g.length);
    if (cost(c, n, length) - cost(c, g.n, g.length) > speed_of(c).group_seconds) return;
    g.n = n;
    g.length = length;
}

using sequences_by_length = std::map<int32_t, std::vector<int32_t>>;

/* Groups of least cost by the costs of a group, which *seconds is the sum of. */
std::vector<group> cheapest_groups(const compiled &c, const sequences_by_length &by_length, cost_of_group cost, double *seconds) {
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
    for (size_t end = 1; end <= lengths.size(); end++)
        for (size_t begin = 0; begin < end; begin++) {
            const double total = least[begin] + cost(c, before[end] - before[begin], lengths[end - 1]) + speed_of(c).group_seconds;
            if (total < least[end]) least[end] = total, first[end] = begin;
        }
    std::vector<group> groups;
    for (size_t end = lengths.size(); end > 0; end = first[end]) {
        group g = {.sequences = {}, .n = 0, .length = lengths[end - 1]};
        for (size_t i = first[end]; i < end; i++) {
            const std::vector<int32_t> &sequences = by_length.at(lengths[i]);
            g.sequences.insert(g.sequences.end(), sequences.begin(), sequences.end());
        }
        std::sort(g.sequences.begin(), g.sequences.end());
        g.n = (int32_t)g.sequences.size();
        groups.push_back(std::move(g));
    }
    std::reverse(groups.begin(), groups.end());
    *seconds = least.back();
    return groups;
}

} // namespace

grouping choose_groups(const compiled &c, const tern_batch &batch) {
    sequences_by_length by_length;
    for (int64_t s = 0; s < batch.n_sequences; s++)
        by_length[std::max(1, (int32_t)(batch.row_start[s + 1] - batch.row_start[s]))].push_back((int32_t)s);
    double padded;
    grouping rows = {cheapest_groups(c, by_length, padded_seconds, &padded), false, 0};
    if (by_length.size() > 1 && batch.n_tokens > 0) { /* else there is nothing to gain */
        double gathered;
        std::vector<group> groups = cheapest_groups(c, by_length, gathered_seconds, &gathered);
        gathered += (double)batch.n_tokens * c.row_flops / speed_of(c).flops + speed_of(c).gather_seconds;
        if (gathered < padded) rows = {std::move(groups), true, batch.n_tokens};
    }
    const bool is_bucketed = c.owner->compiles_run > 0 && rows.groups.size() == 1;
    if (is_bucketed) pad_to_bucket(c, rows.groups[0], rows.is_gathered ? gathered_seconds : padded_seconds);
    if (is_bucketed && rows.is_gathered) rows.n_rows = bucket_of_number((int32_t)rows.n_rows);
    if (!rows.is_gathered)
        for (const group &g : rows.groups) rows.n_rows += (int64_t)g.n * g.length;
    return rows;
}

/* ---- Rows ---- */

namespace {

int64_t length_of(const tern_batch &batch, int32_t sequence) { return batch.row_start[sequence + 1] - batch.row_start[sequence]; }

/* A sequence that only fills the group is the first row of another one. */
int32_t length_in(const group &g, const tern_batch &batch, size_t i) {
    return i < g.sequences.size() ? (int32_t)length_of(batch, g.sequences[i]) : 1;
}

int32_t sequence_in(const group &g, size_t i) { return g.sequences[i < g.sequences.size() ? i : 0]; }

bool counts_up(const int32_t *columns, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++)
        if (columns[i] != (int32_t)(i - first)) return false;
    return true;
}

block block_of(const group &g, const tern_batch &batch, int32_t first) {
    block b = {.n = g.n, .length = g.length, .first = first, .span = g.length - 1, .is_counting = true, .is_masked = false};
    const int32_t *columns = batch.inputs[TERN_INPUT_COLUMNS];
    for (size_t i = 0; i < (size_t)g.n; i++) b.is_masked = b.is_masked || length_in(g, batch, i) < g.length;
    for (int32_t s : g.sequences) {
        const int64_t begin = batch.row_start[s], end = batch.row_start[s + 1];
        if (columns == nullptr || counts_up(columns, begin, end)) continue;
        b.is_counting = false;
        b.span = std::max(b.span, columns[end - 1] - columns[begin]);
    }
    return b;
}

bool is_in_order(const std::vector<group> &groups) {
    int32_t next = 0;
    for (const group &g : groups)
        for (int32_t s : g.sequences)
            if (s != next++) return false;
    return true;
}

/* The rows of the run are the batch's own, and those that make their number one that comes often. */
void keep_own_rows(rows_of_run &rows, const tern_batch &batch, size_t n_rows) {
    rows.slots = std::move(rows.sources);
    rows.slot_places.assign(n_rows, 0);
    std::copy_n(rows.places.begin(), batch.n_tokens, rows.slot_places.begin());
    rows.sources.assign(n_rows, 0);
    std::iota(rows.sources.begin(), rows.sources.begin() + batch.n_tokens, 0);
    std::iota(rows.places.begin(), rows.places.end() - 1, 0);
}

} // namespace

int64_t picks_of_run(const compiled &c, const tern_batch &batch) {
    return c.owner->compiles_run > 0 ? bucket_of_number((int32_t)batch.n_picks) : batch.n_picks;
}

rows_of_run lay_out_rows(const compiled &c, const tern_batch &batch, grouping chosen, const std::vector<int32_t> &outputs) {
    rows_of_run rows = {.form = {}, .groups = std::move(chosen.groups), .sources = {}, .places = {}, .slots = {}, .slot_places = {}};
    form_of_run &form = rows.form;
    rows.places.resize((size_t)batch.n_tokens + 1);
    const int64_t last = std::max<int64_t>(0, batch.n_tokens - 1);
    for (const group &g : rows.groups) {
        form.blocks.push_back(block_of(g, batch, (int32_t)rows.sources.size()));
        form.n_sequences += g.n;
        for (size_t i = 0; i < (size_t)g.n; i++) {
            const int64_t first = batch.row_start[sequence_in(g, i)];
            const int32_t length = length_in(g, batch, i);
            for (int32_t t = 0; t < g.length; t++) {
                if (t < length && i < g.sequences.size()) rows.places[(size_t)(first + t)] = (int32_t)rows.sources.size();
                rows.sources.push_back((int32_t)std::min(t < length ? first + t : first, last));
            }
            form.has_empty = form.has_empty || length == 0;
            form.has_short = form.has_short || length <= batch.n_prompt_rows;
        }
    }
    if (chosen.is_gathered) keep_own_rows(rows, batch, (size_t)chosen.n_rows);
    form.outputs = outputs;
    form.is_gathered = chosen.is_gathered;
    form.n_rows = (int32_t)rows.sources.size();
    form.n_picks = (int32_t)picks_of_run(c, batch);
    form.has_prompt = batch.n_prompt_rows > 0;
    form.is_in_order = is_in_order(rows.groups);
    return rows;
}

/* ---- Arrays of a batch ---- */

namespace {

array integers(const std::vector<int32_t> &elements, mx::Shape shape) { return array(elements.begin(), std::move(shape), mx::int32); }

array floats(const std::vector<float> &elements, mx::Shape shape) { return array(elements.begin(), std::move(shape), mx::float32); }

/* A batch without any token has rows of zeros, which nothing counts: not every op of MLX takes arrays without rows. */
array input_rows(const rows_of_run &rows, const tern_batch &batch, tern_input input) {
    std::vector<int32_t> elements;
    for (int32_t source : rows.sources) elements.push_back(batch.n_tokens > 0 ? batch.inputs[input][source] : 0);
    return integers(elements, {rows.form.n_rows});
}

array mask_of(const group &g, const tern_batch &batch) {
    std::unique_ptr<bool[]> mask(new bool[(size_t)g.n * (size_t)g.length]);
    for (size_t i = 0; i < (size_t)g.n; i++)
        for (int32_t t = 0; t < g.length; t++) mask[i * (size_t)g.length + (size_t)t] = t < length_in(g, batch, i);
    return array(mask.get(), {g.n, g.length}, mx::bool_);
}

array columns_of(const group &g, const tern_batch &batch) {
    std::vector<int32_t> elements;
    for (size_t i = 0; i < (size_t)g.n; i++) {
        const int32_t *from = batch.inputs[TERN_INPUT_COLUMNS] + batch.row_start[sequence_in(g, i)];
        for (int32_t t = 0; t < g.length; t++) elements.push_back(from[t < length_in(g, batch, i) ? t : 0]);
    }
    return integers(elements, {g.n, 1, g.length});
}

/* The first row of each sequence behind the prompt, or its last one. */
array pooled_rows(const rows_of_run &rows, const tern_batch &batch, const tern_node &pool) {
    const int64_t n_prompt = pool.skips_prompt ? batch.n_prompt_rows : 0;
    std::vector<int32_t> taken((size_t)rows.form.n_sequences);
    for (int32_t i = 0; i < batch.n_sequences; i++) {
        const int64_t first = batch.row_start[i], length = length_of(batch, i);
        const int64_t row = pool.pool == TERN_POOL_LAST_TOKEN ? length - 1 : n_prompt < length ? n_prompt : 0;
        taken[(size_t)i] = rows.places[(size_t)(length > 0 ? first + row : batch.n_tokens)];
    }
    return integers(taken, {rows.form.n_sequences});
}

/* 0 for the last row of none, and for any row of an empty sequence; else 1. */
array pooled_factors(const rows_of_run &rows, const tern_batch &batch, const tern_node &pool) {
    const int64_t n_prompt = pool.skips_prompt && pool.pool == TERN_POOL_LAST_TOKEN ? batch.n_prompt_rows : 0;
    std::vector<float> factors((size_t)rows.form.n_sequences);
    for (int32_t i = 0; i < batch.n_sequences; i++) factors[(size_t)i] = length_of(batch, i) > n_prompt ? 1 : 0;
    return floats(factors, {rows.form.n_sequences, 1});
}

/* What each row of a group weighs in the sum of its sequence. */
std::vector<float> pool_weights(const group &g, const tern_batch &batch, const tern_node &pool) {
    const int64_t n_prompt = pool.skips_prompt ? batch.n_prompt_rows : 0;
    std::vector<float> weights;
    for (size_t i = 0; i < (size_t)g.n; i++)
        for (int32_t t = 0; t < g.length; t++)
            weights.push_back(t < n_prompt || t >= length_in(g, batch, i) ? 0 : pool.pool == TERN_POOL_WEIGHTED_MEAN ? (float)(t + 1) : 1);
    return weights;
}

array pool_divisors(const group &g, const tern_batch &batch, const tern_node &pool) {
    const std::vector<float> weights = pool_weights(g, batch, pool);
    std::vector<float> divisors;
    for (auto row = weights.begin(); row != weights.end(); row += g.length) {
        const double sum = std::accumulate(row, row + g.length, 0.0);
        divisors.push_back((float)(sum == 0 ? 1 : pool.pool == TERN_POOL_MEAN_SQRT_LEN ? std::sqrt(sum) : sum));
    }
    return floats(divisors, {g.n, 1});
}

/* Where each sequence of the batch is among those of the groups. */
array sequence_places(const rows_of_run &rows) {
    std::vector<int32_t> places((size_t)rows.form.n_sequences);
    int32_t place = 0;
    for (const group &g : rows.groups)
        for (int32_t s : g.sequences) places[(size_t)s] = place++;
    return integers(places, {rows.form.n_sequences});
}

/* Rows that are not there are the one behind the last. */
array neighbours_of(const rows_of_run &rows, const tern_batch &batch, const tern_node &unfold) {
    const int32_t n_rows = rows.form.n_rows, n = unfold.kernel_size;
    std::vector<int32_t> neighbours((size_t)n_rows * (size_t)n, n_rows);
    for (int64_t s = 0; s < batch.n_sequences; s++) {
        const int64_t first = batch.row_start[s], end = batch.row_start[s + 1];
        for (int64_t row = first; row < end; row++)
            for (int32_t i = 0; i < n; i++) {
                const int64_t at = tern__row_at(batch.inputs[TERN_INPUT_COLUMNS], first, end, row, i - n / 2);
                if (at >= 0) neighbours[(size_t)(rows.places[(size_t)row] * n + i)] = rows.places[(size_t)at];
            }
    }
    return integers(neighbours, {n_rows, n});
}

array picked_rows(const rows_of_run &rows, const tern_batch &batch) {
    std::vector<int32_t> picks((size_t)rows.form.n_picks);
    for (int64_t i = 0; i < batch.n_picks; i++) picks[(size_t)i] = rows.places[(size_t)batch.picks[i]];
    return integers(picks, {rows.form.n_picks});
}

} // namespace

array array_of_batch(const rows_of_run &rows, const tern_batch &batch, const request &r) {
    switch (r.what) {
    case request::INPUT:
        return input_rows(rows, batch, r.node->input);
    case request::SLOTS:
        return integers(rows.slots, {(int32_t)rows.slots.size()});
    case request::SLOT_PLACES:
        return integers(rows.slot_places, {rows.form.n_rows});
    case request::MASK:
        return mask_of(rows.groups[r.block], batch);
    case request::COLUMNS:
        return columns_of(rows.groups[r.block], batch);
    case request::POOLED_ROWS:
        return pooled_rows(rows, batch, *r.node);
    case request::POOLED_FACTORS:
        return pooled_factors(rows, batch, *r.node);
    case request::POOL_WEIGHTS: {
        const group &g = rows.groups[r.block];
        return floats(pool_weights(g, batch, *r.node), {g.n, g.length, 1});
    }
    case request::POOL_DIVISORS:
        return pool_divisors(rows.groups[r.block], batch, *r.node);
    case request::SEQUENCE_PLACES:
        return sequence_places(rows);
    case request::NEIGHBOURS:
        return neighbours_of(rows, batch, *r.node);
    default:
        return picked_rows(rows, batch);
    }
}

} // namespace tern_mlx
