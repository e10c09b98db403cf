/* mlx_rows.cpp - the rows of a run: how sequences are put into lines, and the arrays that a batch gives to a run.
 *
 * Row-wise ops work on rows [rows, width]; attention and pooling see the same rows as lines [lines, length, width]. Sequences are put one
 * behind the other into lines of one length, so that few rows are padding; attention is masked, and a sequence sees itself alone. A row of
 * padding sees the padding of its line: of a row that sees nothing softmax is not a number. Where all lengths are equal a line is a
 * sequence, and nothing is masked. Attention's scores are rows times length of a line, which is at least the longest sequence's: that is
 * dear where one is much longer than all others together. Where runs are compiled, numbers are padded up to a bucket, so that batches of
 * about one size are runs of one form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace tern_mlx {

using mx::array;

namespace {

/* ---- Lines ---- */

int32_t round_up(int64_t x, int64_t step) { return (int32_t)std::min<int64_t>((x + step - 1) / step * step, INT32_MAX); }

int32_t bucket_of_length(int64_t length) { return round_up(length, length <= 64 ? 8 : length <= 256 ? 16 : 32); }

/* Every number to 16, then steps between an eighth and a sixteenth. */
int32_t bucket_of_number(int64_t n) {
    int64_t step = 1;
    while (n >= 16 * step) step *= 2;
    return round_up(n, step);
}

/* Of one attention's layer. */
double flops_of(const compiled &c, double n_lines, double length) { return n_lines * length * (c.row_flops + length * c.pair_flops); }

/* What a GPU multiplies in the 50 us that an attention's layer takes longer when a run's graph is built anew, roughly. Measured with MLX
 * 0.32.4 on an NVIDIA H100. */
double flops_of_new_graph(const compiled &c) { return c.dtype == mx::float32 ? 2.5e9 : 2e10; }

/* Pads that a run of another form would not have may cost what building its graph would, and no more. */
void pad_to_bucket(const compiled &c, lines_of_run &lines) {
    const auto n = (int32_t)lines.sequences.size(), more = bucket_of_number(n), length = bucket_of_length(lines.length);
    if (flops_of(c, more, length) - flops_of(c, n, lines.length) > flops_of_new_graph(c)) return;
    lines.sequences.resize((size_t)more);
    lines.length = length;
}

using sequences_by_length = std::map<int32_t, std::vector<int32_t>>;

/* The longest first, each into the fullest line that has room. */
lines_of_run pack(const sequences_by_length &by_length, int32_t length) {
    lines_of_run lines = {{}, length};
    std::multimap<int32_t, size_t> by_room;
    for (auto by = by_length.rbegin(); by != by_length.rend(); ++by)
        for (const int32_t s : by->second) {
            const auto found = by_room.lower_bound(by->first);
            const auto [room, line] = found != by_room.end() ? *found : std::pair<const int32_t, size_t>(length, lines.sequences.size());
            if (found != by_room.end()) by_room.erase(found);
            else lines.sequences.emplace_back();
            lines.sequences[line].push_back(s);
            if (room > by->first) by_room.emplace(room - by->first, line);
        }
    return lines;
}

#define MAX_FACTOR 8 /* length of a line by that of the longest sequence */

} // namespace

/* A sequence without rows takes one of padding: so a line has no more sequences than rows. */
lines_of_run choose_lines(const compiled &c, const tern_batch &batch) {
    sequences_by_length by_length;
    int64_t n_rows = 0;
    for (int64_t s = 0; s < batch.n_sequences; s++) {
        const auto length = (int32_t)std::max<int64_t>(1, batch.row_start[s + 1] - batch.row_start[s]);
        by_length[length].push_back((int32_t)s);
        n_rows += length;
    }
    const int32_t longest = by_length.rbegin()->first;
    lines_of_run best = {{}, 0};
    for (int64_t factor = 1; factor <= MAX_FACTOR && best.length < n_rows; factor *= 2) {
        const int64_t length = by_length.size() == 1 ? longest : std::min<int64_t>(bucket_of_length(longest * factor), n_rows);
        lines_of_run lines = pack(by_length, (int32_t)length);
        const auto flops = [&](const lines_of_run &of) { return flops_of(c, (double)of.sequences.size(), of.length); };
        if (factor == 1 || flops(lines) < flops(best)) best = std::move(lines);
        if (by_length.size() == 1) break;
    }
    if (c.owner->compiles_run > 0) pad_to_bucket(c, best);
    return best;
}

int32_t most_together(const lines_of_run &lines) {
    size_t most = 1;
    for (const std::vector<int32_t> &line : lines.sequences)
        while (most < line.size()) most *= 4;
    return (int32_t)most;
}

int32_t number_of_run(const compiled &c, int64_t n) { return c.owner->compiles_run > 0 ? bucket_of_number(n) : (int32_t)n; }

/* ---- Rows ---- */

namespace {

int64_t length_of(const tern_batch &batch, int32_t sequence) { return batch.row_start[sequence + 1] - batch.row_start[sequence]; }

bool counts_up(const int32_t *columns, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++)
        if (columns[i] != (int32_t)(i - first)) return false;
    return true;
}

/* Padding has column 0, and columns ascend: no two are further apart than the last one of a sequence is from 0. */
void describe_columns(form_of_run &form, const tern_batch &batch) {
    const int32_t *columns = batch.inputs[TERN_INPUT_COLUMNS];
    form.span = form.line_length - 1;
    form.is_counting = true;
    for (int32_t s = 0; s < batch.n_sequences && columns != nullptr; s++) {
        if (length_of(batch, s) == 0) continue;
        form.span = std::max(form.span, columns[batch.row_start[s + 1] - 1]);
        form.is_counting = form.is_counting && counts_up(columns, batch.row_start[s], batch.row_start[s + 1]);
    }
}

bool is_in_order(const lines_of_run &lines, int64_t n_sequences) {
    if (most_together(lines) > 1 || (int64_t)lines.sequences.size() < n_sequences) return false;
    for (size_t i = 0; i < (size_t)n_sequences; i++)
        if (lines.sequences[i].empty() || lines.sequences[i][0] != (int32_t)i) return false;
    return true;
}

} // namespace

rows_of_run lay_out_rows(const compiled &c, const tern_batch &batch, lines_of_run chosen, const std::vector<int32_t> &outputs) {
    rows_of_run rows = {.form = {}, .lines = std::move(chosen), .sources = {}, .places = {}};
    form_of_run &form = rows.form;
    const size_t length = (size_t)rows.lines.length, n_lines = rows.lines.sequences.size();
    rows.places.resize((size_t)batch.n_tokens + 1);
    for (size_t i = 0; i < n_lines; i++) {
        const std::vector<int32_t> &line = rows.lines.sequences[i];
        for (const int32_t s : line)
            for (int64_t row = batch.row_start[s]; row < batch.row_start[s + 1]; row++) {
                rows.places[(size_t)row] = (int32_t)rows.sources.size();
                rows.sources.push_back((int32_t)row);
            }
        form.is_masked = form.is_masked || line.size() != 1 || rows.sources.size() < (i + 1) * length;
        rows.sources.resize((i + 1) * length, 0);
    }
    for (int32_t s = 0; s < batch.n_sequences; s++) {
        form.has_empty = form.has_empty || length_of(batch, s) == 0;
        form.has_short = form.has_short || length_of(batch, s) <= batch.n_prompt_rows;
    }
    form.n_lines = (int32_t)n_lines;
    form.line_length = rows.lines.length;
    form.n_rows = (int32_t)rows.sources.size();
    form.n_together = most_together(rows.lines);
    describe_columns(form, batch);
    form.is_in_order = is_in_order(rows.lines, batch.n_sequences);
    form.outputs = outputs;
    form.n_sequences = form.is_in_order ? form.n_lines : number_of_run(c, batch.n_sequences);
    form.n_picks = number_of_run(c, batch.n_picks);
    form.has_prompt = batch.n_prompt_rows > 0;
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

array segments_of(const rows_of_run &rows, const tern_batch &batch) {
    std::vector<int32_t> elements((size_t)rows.form.n_rows, -1);
    for (int32_t s = 0; s < batch.n_sequences; s++)
        std::fill_n(elements.begin() + rows.places[(size_t)batch.row_start[s]], length_of(batch, s), s);
    return integers(elements, {rows.form.n_lines, rows.form.line_length});
}

array columns_of(const rows_of_run &rows, const tern_batch &batch) {
    std::vector<int32_t> elements((size_t)rows.form.n_rows, 0);
    for (size_t row = 0; row < (size_t)batch.n_tokens; row++) elements[(size_t)rows.places[row]] = batch.inputs[TERN_INPUT_COLUMNS][row];
    return integers(elements, {rows.form.n_lines, 1, rows.form.line_length});
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

/* What a sequence's row weighs in its sum. */
float pool_weight(const tern_batch &batch, const tern_node &pool, int64_t row) {
    if (pool.skips_prompt && row < batch.n_prompt_rows) return 0;
    return pool.pool == TERN_POOL_WEIGHTED_MEAN ? (float)(row + 1) : 1;
}

array pool_weights(const rows_of_run &rows, const tern_batch &batch, const tern_node &pool) {
    const form_of_run &form = rows.form;
    const size_t length = (size_t)form.line_length, n_together = (size_t)form.n_together;
    std::vector<float> weights((size_t)form.n_lines * n_together * length);
    for (size_t i = 0; i < rows.lines.sequences.size(); i++) {
        const std::vector<int32_t> &line = rows.lines.sequences[i];
        for (size_t at = 0, column = 0; at < line.size(); at++)
            for (int64_t row = 0; row < length_of(batch, line[at]); row++)
                weights[(i * n_together + at) * length + column++] = pool_weight(batch, pool, row);
    }
    return floats(weights, {form.n_lines, form.n_together, form.line_length});
}

array pool_divisors(const rows_of_run &rows, const tern_batch &batch, const tern_node &pool) {
    std::vector<float> divisors((size_t)rows.form.n_sequences, 1);
    for (int32_t s = 0; s < batch.n_sequences; s++) {
        double sum = 0;
        for (int64_t row = 0; row < length_of(batch, s); row++) sum += pool_weight(batch, pool, row);
        if (sum > 0) divisors[(size_t)s] = (float)(pool.pool == TERN_POOL_MEAN_SQRT_LEN ? std::sqrt(sum) : sum);
    }
    return floats(divisors, {rows.form.n_sequences, 1});
}

array pool_sequences(const rows_of_run &rows, const tern_batch &batch, const tern_node &pool) {
    std::vector<int32_t> sequences((size_t)rows.form.n_rows, rows.form.n_sequences);
    for (int32_t s = 0; s < batch.n_sequences; s++)
        for (int64_t row = 0; row < length_of(batch, s); row++)
            if (pool_weight(batch, pool, row) > 0) sequences[(size_t)rows.places[(size_t)(batch.row_start[s] + row)]] = s;
    return integers(sequences, {rows.form.n_rows});
}

array sequence_places(const rows_of_run &rows) {
    std::vector<int32_t> places((size_t)rows.form.n_sequences);
    for (size_t i = 0; i < rows.lines.sequences.size(); i++)
        for (size_t at = 0; at < rows.lines.sequences[i].size(); at++)
            places[(size_t)rows.lines.sequences[i][at]] = (int32_t)(i * (size_t)rows.form.n_together + at);
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
    case request::SEGMENTS:
        return segments_of(rows, batch);
    case request::COLUMNS:
        return columns_of(rows, batch);
    case request::POOLED_ROWS:
        return pooled_rows(rows, batch, *r.node);
    case request::POOLED_FACTORS:
        return pooled_factors(rows, batch, *r.node);
    case request::POOL_WEIGHTS:
        return pool_weights(rows, batch, *r.node);
    case request::POOL_DIVISORS:
        return pool_divisors(rows, batch, *r.node);
    case request::POOL_SEQUENCES:
        return pool_sequences(rows, batch, *r.node);
    case request::SEQUENCE_PLACES:
        return sequence_places(rows);
    case request::NEIGHBOURS:
        return neighbours_of(rows, batch, *r.node);
    default:
        return picked_rows(rows, batch);
    }
}

} // namespace tern_mlx
