/* mlx_compile.cpp - when MLX compiles a run, and which compiled runs are kept.
 *
 * A compiled run is a function of the batch's arrays: MLX traces its graph once and makes one kernel of ops where it can; each call copies
 * what was traced instead of building it anew. Weights are constants of it, which are not copied; they are there as long as the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>

#include <mlx/version.h>

namespace tern_mlx {

using mx::array;

namespace {

#define MAX_RUNS 32 /* forms that a program remembers, compiled or not; the one not run for longest goes */

/* One of each thread, never that of an ended one as long as somebody has it. */
std::shared_ptr<const char> this_thread() {
    thread_local const auto mark = std::make_shared<const char>();
    return mark;
}

/* The run of that form in this thread, in front of the others. */
compiled_run &find_run(compiled &c, const form_of_run &form) {
    const std::shared_ptr<const char> thread = this_thread();
    const auto found =
        std::find_if(c.runs.begin(), c.runs.end(), [&](const compiled_run &r) { return r.thread == thread && r.form == form; });
    if (found != c.runs.end()) {
        c.runs.splice(c.runs.begin(), c.runs, found);
        return c.runs.front();
    }
    if (c.runs.size() == MAX_RUNS) c.runs.pop_back();
    c.runs.push_front({.form = form, .thread = thread, .n_runs = 0, .requests = {}, .function = {}});
    return c.runs.front();
}

/* A form that comes once is not worth a trace. */
bool should_compile(const compiled &c, const compiled_run &run) { return run.n_runs >= c.owner->compiles_run; }

array_function compile_run(const compiled &c, const form_of_run &form, const std::vector<request> &requests, mx::Stream s) {
    return mx::compile([&c, form, requests, s](const std::vector<array> &arrays) {
        arrays_of_batch given = {requests, arrays, {}};
        return build_graph(c, form, given, s);
    });
}

} // namespace

/* MLX on a CPU compiles with a compiler of C++, which need not be there. A stream that changes from thread to thread could not be kept in
 * what is compiled. Before 0.32.4, a function that another thread drops stays in MLX's cache of the thread that ran it, where a later one
 * at the same address would find it. */
int32_t first_compiled_run(const mx::Device &unit, const std::optional<mx::Stream> &stream) {
    return unit == mx::Device::gpu && stream && MLX_VERSION_NUMERIC >= 32004 ? 2 : 0;
}

std::vector<array> outputs_of_run(compiled &c, const rows_of_run &rows, const tern_batch &batch, mx::Stream s) {
    arrays_of_batch given = {{}, {}, [&](const request &r) { return array_of_batch(rows, batch, r); }};
    if (c.owner->compiles_run == 0) return build_graph(c, rows.form, given, s);
    compiled_run &run = find_run(c, rows.form);
    run.n_runs++;
    if (run.function) {
        for (const request &r : run.requests) given.arrays.push_back(given.make(r));
        return run.function(given.arrays);
    }
    std::vector<array> results = build_graph(c, rows.form, given, s);
    if (!should_compile(c, run)) return results;
    const array_function function = compile_run(c, rows.form, given.requests, s);
    results = function(given.arrays); /* traces: the function is kept if nothing was thrown */
    run.requests = given.requests;
    run.function = function;
    return results;
}

} // namespace tern_mlx
