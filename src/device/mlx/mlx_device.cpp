/* mlx_device.cpp - libtern_mlx: Apple's MLX as a device, over its C++ API (0.31 or later). mlx:gpu is Metal on a Mac and CUDA where MLX was
 * built for it; mlx:cpu is MLX's own CPU backend. A computation is on one unit alone, never on the other in its place.
 *
 * MLX throws; no exception leaves this library. Its C++ ABI changes with every release, so a library of another version than the headers'
 * is refused. Weights are mlx_weights.cpp's; a run is laid out by mlx_rows.cpp, built by mlx_graph.cpp and compiled by mlx_compile.cpp.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/mlx/mlx_device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>

#include <mlx/primitives.h>
#include <sys/mman.h>
#include <unistd.h>

namespace tern_mlx {
namespace {

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
const char compiled_version[] = TEXT(MLX_VERSION_MAJOR) "." TEXT(MLX_VERSION_MINOR) "." TEXT(MLX_VERSION_PATCH);

/* ---- Errors ---- */

/* MLX tells what failed in words alone, also what one of its own threads threw; of memory in these, the last two Metal's. */
tern_status fail_as(const char *what, tern_error *err) {
    static const char *const words[] = {"allocate", "out of memory", "bad_alloc", "Insufficient Memory", "OutOfMemory"};
    for (const char *word : words)
        if (std::strstr(what, word) != nullptr) return TERN_FAIL(err, TERN_E_MEMORY, "MLX: out of memory: %.800s", what);
    return TERN_FAIL(err, TERN_E_DEVICE, "MLX: %.800s", what);
}

template <class Function> tern_status guarded(tern_error *err, Function function) noexcept {
    try {
        return function();
    } catch (const std::bad_alloc &) { return TERN_FAIL(err, TERN_E_MEMORY, "mlx: out of memory"); } catch (const std::exception &e) {
        return fail_as(e.what(), err);
    } catch (...) { return TERN_FAIL(err, TERN_E_DEVICE, "MLX: an exception that says nothing"); }
}

tern_status check_version(tern_error *err) {
    if (std::strcmp(mx::version(), compiled_version) == 0) return TERN_OK;
    return TERN_FAIL(err, TERN_E_DEVICE, "libtern_mlx was built with MLX %s, and the libmlx found is %.60s: build it with that one",
                     compiled_version, mx::version());
}

/* ---- Units ---- */

std::string text_of(const mx::Device &unit, const char *key) {
    const auto &info = mx::device_info(unit);
    const auto found = info.find(key);
    const std::string *text = found != info.end() ? std::get_if<std::string>(&found->second) : nullptr;
    return text != nullptr ? *text : "";
}

size_t bytes_of(const mx::Device &unit, const char *key) {
    const auto &info = mx::device_info(unit);
    const auto found = info.find(key);
    const size_t *bytes = found != info.end() ? std::get_if<size_t>(&found->second) : nullptr;
    return bytes != nullptr ? *bytes : 0;
}

std::string backend_of(const mx::Device &unit) { return unit == mx::Device::cpu ? "cpu" : mx::metal::is_available() ? "metal" : "cuda"; }

void describe(tern_device_info &info, const mx::Device &unit) {
    const bool is_gpu = unit == mx::Device::gpu;
    std::snprintf(info.name, sizeof info.name, "mlx:%s", is_gpu ? "gpu" : "cpu");
    if (!mx::is_available(unit)) {
        std::snprintf(info.reason, sizeof info.reason, "MLX %s has no GPU here: mlx:cpu is its CPU", compiled_version);
        return;
    }
    info.is_present = true;
    info.threads = is_gpu ? 0 : 1;
    std::snprintf(info.isa, sizeof info.isa, "%s", backend_of(unit).c_str());
    std::string memory;
    const size_t total = std::max(bytes_of(unit, "memory_size"), bytes_of(unit, "total_memory"));
    if (total > 0) memory = ", " + std::to_string(total / 1000000) + " MB";
    std::snprintf(info.description, sizeof info.description, "MLX %s, %s, %s%s, limit %zu MB", compiled_version, info.isa,
                  text_of(unit, "device_name").c_str(), memory.c_str(), mx::get_memory_limit() / 1000000);
}

size_t probe(tern_device_info *infos, size_t capacity) {
    static const mx::Device::DeviceType units[] = {mx::Device::gpu, mx::Device::cpu};
    tern_error err;
    tern_status status = TERN_OK;
    for (size_t i = 0; i < 2 && i < capacity && status == TERN_OK; i++) {
        infos[i] = tern_device_info{};
        status = guarded(&err, [&] {
            describe(infos[i], mx::Device(units[i]));
            return TERN_OK;
        });
    }
    if (status == TERN_OK) return 2;
    if (capacity == 0) return 1;
    infos[0] = tern_device_info{};
    std::snprintf(infos[0].name, sizeof infos[0].name, "mlx");
    std::snprintf(infos[0].reason, sizeof infos[0].reason, "%.*s", (int)sizeof infos[0].reason - 1, err.message);
    return 1;
}

/* ---- Streams ---- */

/* A stream has a thread (on the CPU) or a queue for as long as the process lives, so one that a closed device leaves is taken again. */
struct stream_shelf {
    std::mutex lock;
    std::vector<mx::Stream> free;
    size_t n_made;
};

stream_shelf &shelf() {
    static stream_shelf *const streams = new stream_shelf{}; /* never destroyed: devices may be closed while the process ends */
    return *streams;
}

/* A stream that any thread may use, one at a time. MLX 0.31 has none: there, each thread has its own. */
template <class Unit> std::optional<mx::Stream> stream_for_all_threads(const Unit &unit) {
    if constexpr (requires { new_thread_unsafe_stream(unit); }) return new_thread_unsafe_stream(unit);
    else return std::nullopt;
}

std::optional<mx::Stream> take_stream(const mx::Device &unit) {
    stream_shelf &streams = shelf();
    const std::lock_guard<std::mutex> guard(streams.lock);
    for (size_t i = 0; i < streams.free.size(); i++) {
        if (streams.free[i].device != unit) continue;
        const mx::Stream stream = streams.free[i];
        streams.free.erase(streams.free.begin() + (std::ptrdiff_t)i);
        return stream;
    }
    streams.free.reserve(streams.n_made + 1); /* so that giving back never fails */
    const std::optional<mx::Stream> stream = stream_for_all_threads(unit);
    streams.n_made += stream ? 1 : 0;
    return stream;
}

void give_stream_back(const std::optional<mx::Stream> &stream) {
    if (!stream) return;
    stream_shelf &streams = shelf();
    const std::lock_guard<std::mutex> guard(streams.lock);
    streams.free.push_back(*stream);
}

mx::Stream stream_of(const device &d) { return d.stream ? *d.stream : mx::default_stream(d.unit); }

/* Does MLX take a mapped page as its own? Metal takes mapped memory alone, none of malloc's. */
bool can_wrap_pages() {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const auto unmap = [page](void *memory) { munmap(memory, page); };
    void *memory = mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED) return false;
    const std::unique_ptr<void, decltype(unmap)> mapped(memory, unmap);
    const mx::array wrapped(memory, {(int32_t)page}, mx::uint8, [](void *) {});
    return wrapped.data<uint8_t>() == memory;
}

/* That MLX may keep of freed arrays, in the process; malloc keeps some by itself. */
#define CACHE_BYTES_GPU ((size_t)1 << 30)
#define CACHE_BYTES_CPU ((size_t)32 << 20)

/* Once the GPU is open, its limit stays. */
void limit_cache(const mx::Device &unit) {
    const size_t before = mx::set_cache_limit(unit == mx::Device::gpu ? CACHE_BYTES_GPU : CACHE_BYTES_CPU);
    if (before == CACHE_BYTES_GPU) mx::set_cache_limit(before);
}

/* MLX multiplies float32 as TF32 where a GPU can, unless this variable, which it reads once, says otherwise; what the user set stays. */
void keep_float32() { setenv("MLX_ENABLE_TF32", "0", 0); }

tern_status open_unit(void **out, const tern_device_options *options, tern_error *err) {
    const std::string unit_name = options->unit != nullptr ? options->unit : "gpu";
    if (unit_name != "gpu" && unit_name != "cpu")
        return TERN_FAIL(err, TERN_E_DEVICE, "device \"mlx:%.40s\": there are mlx:gpu and mlx:cpu", unit_name.c_str());
    if (options->threads != 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "mlx: threads are MLX's own; leave the option out");
    if (options->isa != nullptr) return TERN_FAIL(err, TERN_E_ARGUMENT, "mlx: there are no ISA levels; leave the option out");
    const mx::Device unit(unit_name == "gpu" ? mx::Device::gpu : mx::Device::cpu);
    if (!mx::is_available(unit))
        return TERN_FAIL(err, TERN_E_DEVICE, "mlx:%s: MLX %s has no GPU here; mlx:cpu is its CPU", unit_name.c_str(), compiled_version);
    limit_cache(unit);
    if (unit == mx::Device::gpu) keep_float32();
    std::unique_ptr<device> d(new device{unit, "mlx:" + unit_name, backend_of(unit), can_wrap_pages(), std::nullopt, 0});
    d->stream = take_stream(unit);
    d->compiles_run = first_compiled_run(unit, d->stream);
    *out = d.release();
    return TERN_OK;
}

tern_status open(void **out, const tern_device_options *options, tern_error *err) {
    *out = nullptr;
    return guarded(err, [&] { return open_unit(out, options, err); });
}

void close(void *opened) {
    device *d = static_cast<device *>(opened);
    if (d != nullptr) give_stream_back(d->stream);
    delete d;
}

tern_device_properties properties(const void *opened) {
    const device *d = static_cast<const device *>(opened);
    return {.name = d->name.c_str(), .isa = d->isa.c_str(), .threads = d->unit == mx::Device::gpu ? 0 : 1};
}

/* Linears of one input are one where weights are copied in any case. */
bool supports(const void *opened, tern_op op) {
    if (op == TERN_OP_LINEAR_CONCAT) return !static_cast<const device *>(opened)->can_wrap;
    return (unsigned)op < TERN_N_OPS && !tern__op_is_fused(op);
}

/* ---- Memory ---- */

/* Scores of attention: they, and their softmax; of disentangled attention, also both tables' shares; with a relative bias, that and what it
 * is a transposition of. Beside them the distances of pairs, a few times over, or which pairs count. */
double score_bytes(const compiled &c, const lines_of_run &lines) {
    double most = 0;
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        const tern_node &node = c.program->nodes[n];
        const bool is_disentangled = node.op == TERN_OP_DISENTANGLED_ATTENTION;
        if (!is_disentangled && node.op != TERN_OP_SCALED_DOT_PRODUCT_ATTENTION) continue;
        const bool has_tables = is_disentangled || node.attention.n_buckets > 0;
        const bool has_distances = has_tables || node.attention.window < lines.length;
        const double by_head = has_tables ? 4 : 2, by_pair = has_distances ? 4 * sizeof(int32_t) : sizeof(float);
        most = std::max(most, by_head * node.attention.n_heads * (double)mx::size_of(c.dtype) + by_pair);
    }
    return most * (double)lines.sequences.size() * lines.length * lines.length;
}

/* MLX allocates ahead of what it computes, and frees behind it: it holds so many times the arrays that a plan has, in the dtype that
 * computes and, of norms and softmax, in float32. On mlx:cpu the golden checkpoints take at most 0.92 of their sum (unit_mlx_memory.cpp).
 */
#define ARRAYS_OF_DTYPE   4.0
#define ARRAYS_OF_FLOAT32 1.5

/* What a pool of sums has: the weights of rows, and the sums of each step of them. */
double pool_bytes(const compiled &c, const lines_of_run &lines) {
    double most = 0;
    for (int32_t n = 0; n < c.program->n_nodes; n++)
        if (c.program->nodes[n].op == TERN_OP_POOL)
            most = std::max(most, (double)tern__value(c.program, c.program->nodes[n].output)->width);
    return (double)lines.sequences.size() * lines.length * most_together(lines) * (1 + most / pool_step(lines.length)) * sizeof(float);
}

/* MLX allocates as it goes: the activations that live at once, the scores of attention, and what pools need. */
double workspace_of(const compiled &c, const lines_of_run &lines, const tern_batch &batch) {
    const auto n_lines = (int64_t)lines.sequences.size(), n_rows = n_lines * lines.length;
    const int64_t n_sequences = std::max<int64_t>(n_lines, number_of_run(c, batch.n_sequences));
    const tern_rows rows = {.rows = {n_rows, n_sequences, number_of_run(c, batch.n_picks)}, .pairs = 0};
    size_t activations;
    if (!tern__plan_bytes(c.plan.get(), &rows, &activations)) return std::numeric_limits<double>::infinity();
    const double bytes = ARRAYS_OF_DTYPE * (double)mx::size_of(c.dtype) + ARRAYS_OF_FLOAT32 * sizeof(float);
    return bytes * (double)activations / sizeof(float) + score_bytes(c, lines) + pool_bytes(c, lines);
}

tern_status check_memory(const device &d, double bytes, const char *what, tern_error *err) {
    const double limit = (double)mx::get_memory_limit();
    if (bytes > limit)
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: out of memory: %s take %.0f MB, and MLX's limit is %.0f MB", d.name.c_str(), what,
                         bytes / 1e6, limit / 1e6);
    if (can_have_memory(d, (size_t)bytes)) return TERN_OK;
    return TERN_FAIL(err, TERN_E_MEMORY, "%s: out of memory: %s take %.0f MB, which the system does not give", d.name.c_str(), what,
                     bytes / 1e6);
}

/* ---- Compiling ---- */

struct dtype_choice {
    const char *name;
    mx::Dtype dtype;
    quantization quantized;
};

std::optional<dtype_choice> find_dtype(const char *name) {
    const dtype_choice choices[] = {
        {"float32", mx::float32, {}},
        {"float16", mx::float16, {}},
        {"bfloat16", mx::bfloat16, {}},
        {"affine8-g64", mx::float32, {"affine", 8, 64}},
        {"affine8-g32", mx::float32, {"affine", 8, 32}},
        {"affine4-g64", mx::float32, {"affine", 4, 64}},
        {"affine4-g32", mx::float32, {"affine", 4, 32}},
        {"mxfp4", mx::float32, {"mxfp4", 4, 32}},
    };
    for (const dtype_choice &choice : choices)
        if (std::strcmp(choice.name, name) == 0) return choice;
    return std::nullopt;
}
#define DTYPES "float32, float16, bfloat16, affine8-g64, affine8-g32, affine4-g64, affine4-g32, mxfp4"

tern_status check_node(const device *d, const tern_program *program, const tern_node *node, tern_error *err) {
    if (!supports(d, node->op)) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "mlx: the op %s is not had", tern__op_name(node->op));
    for (int32_t w = 0; w < node->n_weights; w++) {
        if (node->weights[w] == TERN_NO_WEIGHT) continue;
        const tern_weight *weight = &program->weights[node->weights[w]];
        if (weight->data == nullptr) return TERN_FAIL(err, TERN_E_WEIGHTS, "mlx: the weight %s is not bound", weight->name);
        if (weight->quantized.scales == nullptr && weight->dtype != TERN_DTYPE_F64 && weight->dtype != TERN_DTYPE_F32 &&
            weight->dtype != TERN_DTYPE_F16 && weight->dtype != TERN_DTYPE_BF16)
            return TERN_FAIL(err, TERN_E_DTYPE, "mlx: the weight %s is %s", weight->name, tern_dtype_name(weight->dtype));
    }
    const bool is_of_sequences = node->op == TERN_OP_POOL || node->op == TERN_OP_TAKE || node->op == TERN_OP_UNFOLD ||
                                 node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || node->op == TERN_OP_DISENTANGLED_ATTENTION;
    for (int32_t i = 0; i < node->n_inputs && is_of_sequences; i++)
        if (tern__value(program, node->inputs[i])->space != TERN_SPACE_TOKENS)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "mlx: %s of rows that are not tokens", tern__op_name(node->op));
    return TERN_OK;
}

/* What a row and a pair of rows cost in the linears and the attention of one layer. */
void count_flops(compiled &c) {
    double row = 0, pair = 0;
    int32_t n_attentions = 0;
    for (int32_t n = 0; n < c.program->n_nodes; n++) {
        const tern_node &node = c.program->nodes[n];
        const double in = node.n_inputs > 0 ? tern__value(c.program, node.inputs[0])->width : 0,
                     out = tern__value(c.program, node.output)->width;
        if (node.op == TERN_OP_LINEAR || node.op == TERN_OP_LINEAR_CONCAT) row += 2 * in * out;
        if (node.op != TERN_OP_SCALED_DOT_PRODUCT_ATTENTION && node.op != TERN_OP_DISENTANGLED_ATTENTION) continue;
        pair += 4 * out;
        n_attentions++;
    }
    c.row_flops = row / std::max(1, n_attentions);
    c.pair_flops = pair / std::max(1, n_attentions);
}

void free_plan(tern_plan *plan) {
    tern__plan_free(plan);
    delete plan;
}

/* While weights are laid out: all of them, a conversion of one from float32, and the largest linears below each other beside themselves. */
double bytes_of_weights(const tern_program *program, size_t element_bytes) {
    const auto count = [](const tern_weight &w) { return (double)w.shape[0] * (w.rank == 2 ? (double)w.shape[1] : 1); };
    double all = 0, largest = 0, joined = 0;
    for (int32_t w = 0; w < program->n_weights; w++) {
        all += count(program->weights[w]);
        largest = std::max(largest, count(program->weights[w]));
    }
    for (int32_t n = 0; n < program->n_nodes; n++) {
        double parts = 0;
        const tern_node &node = program->nodes[n];
        for (int32_t p = 0; p < node.n_weights && node.op == TERN_OP_LINEAR_CONCAT; p += 2)
            parts += count(program->weights[node.weights[p]]);
        joined = std::max(joined, parts);
    }
    return (all + joined) * (double)element_bytes + (element_bytes < sizeof(float) ? largest * sizeof(float) : 0);
}

tern_status compile_program(void **out, device *d, const tern_program *program, const char *dtype, tern_error *err) {
    const std::optional<dtype_choice> choice = find_dtype(dtype);
    if (!choice) return TERN_FAIL(err, TERN_E_DTYPE, "dtype \"%.40s\": mlx has " DTYPES, dtype);
    for (int32_t n = 0; n < program->n_nodes; n++) TERN_TRY(check_node(d, program, &program->nodes[n], err));
    for (int32_t o = 0; o < program->n_outputs; o++)
        if (tern__value(program, program->outputs[o].value)->is_integer)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "mlx: the output %s is of integers", program->outputs[o].name);
    TERN_TRY(check_memory(*d, d->can_wrap ? 0 : bytes_of_weights(program, mx::size_of(choice->dtype)), "the weights", err));
    std::unique_ptr<compiled> c(new compiled{d, program, choice->dtype, choice->quantized, {}, {}, {}, 0, {new tern_plan{}, free_plan}});
    TERN_TRY(tern__plan_make(c->plan.get(), program, err));
    lay_out_weights(*c, stream_of(*d));
    fuse_activations(*c);
    count_flops(*c);
    *out = c.release();
    return TERN_OK;
}

tern_status compile(void **out, void *opened, const tern_program *program, const char *dtype, tern_error *err) {
    *out = nullptr;
    return guarded(err, [&] { return compile_program(out, static_cast<device *>(opened), program, dtype, err); });
}

void release(void *program) { delete static_cast<compiled *>(program); }

/* ---- Running ---- */

/* An output's rows are those of the run; where they are tokens, the batch's are among them, a sequence's one after the other. */
void copy_rows(float *to, const float *from, const rows_of_run &rows, const tern_batch &batch, const tern_value_info &info) {
    const size_t width = (size_t)info.width;
    if (info.space != TERN_SPACE_TOKENS) {
        const int64_t n = info.space == TERN_SPACE_SEQUENCES ? batch.n_sequences : batch.n_picks;
        std::memcpy(to, from, (size_t)n * width * sizeof(float));
        return;
    }
    for (int64_t s = 0; s < batch.n_sequences; s++) {
        const size_t first = (size_t)batch.row_start[s], n = (size_t)batch.row_start[s + 1] - first;
        std::memcpy(to + first * width, from + (size_t)rows.places[first] * width, n * width * sizeof(float));
    }
}

/* The unit begins with the first part while the host prepares the next one. What has begun ends before an exception leaves, whether MLX
 * waits for it (0.32 does where an op throws) or not: it reads weights, which may be the mapped file's memory. */
void evaluate(std::vector<mx::array> &results, size_t n_outputs, mx::Stream s) {
    try {
        for (size_t i = n_outputs; i < results.size(); i++) mx::async_eval({std::move(results[i])});
        results.erase(results.begin() + (std::ptrdiff_t)n_outputs, results.end());
        mx::eval(results);
    } catch (...) {
        try {
            mx::synchronize(s);
        } catch (...) { /* the first one is told */
        }
        throw;
    }
}

tern_status run_batch(compiled &c, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    lines_of_run chosen = choose_lines(c, *batch);
    TERN_TRY(check_memory(*c.owner, workspace_of(c, chosen, *batch), "a batch of this size and its attention", err));
    std::vector<int32_t> wanted;
    for (size_t i = 0; i < n_outputs; i++) wanted.push_back(outputs[i].output);
    const rows_of_run rows = lay_out_rows(c, *batch, std::move(chosen), wanted);
    std::vector<mx::array> results = outputs_of_run(c, rows, *batch, stream_of(*c.owner));
    for (const mx::array &result : results)
        if (!result.has_primitive() || result.primitive().device() != c.owner->unit)
            return TERN_FAIL(err, TERN_E_DEVICE, "%s: an output is computed elsewhere", c.owner->name.c_str());
    evaluate(results, n_outputs, stream_of(*c.owner));
    for (size_t i = 0; i < n_outputs; i++)
        copy_rows(outputs[i].data, results[i].data<float>(), rows, *batch, *tern__value(c.program, c.program->outputs[wanted[i]].value));
    return TERN_OK;
}

tern_status run(void *program, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    return guarded(err, [&] { return run_batch(*static_cast<compiled *>(program), batch, outputs, n_outputs, err); });
}

size_t packed_bytes(const void *program) { return static_cast<const compiled *>(program)->packed_bytes; }

tern_status workspace_bytes(const void *program, const tern_batch *batch, size_t *bytes, tern_error *err) {
    *bytes = 0;
    return guarded(err, [&] {
        const compiled &c = *static_cast<const compiled *>(program);
        const double workspace = workspace_of(c, choose_lines(c, *batch), *batch);
        if (workspace > 1e18)
            return TERN_FAIL(err, TERN_E_MEMORY, "mlx: %lld tokens take more than any memory", (long long)batch->n_tokens);
        *bytes = (size_t)workspace;
        return TERN_OK;
    });
}

const tern_device_record record = {
    .name = "mlx",
    .takes_quantized = true,
    .max_concurrent_runs = 1,
    .probe = probe,
    .open = open,
    .close = close,
    .properties = properties,
    .supports = supports,
    .compile = compile,
    .release = release,
    .run = run,
    .packed_bytes = packed_bytes,
    .workspace_bytes = workspace_bytes,
};

} // namespace

bool can_have_memory(const device &d, size_t bytes) {
    return d.unit == mx::Device::gpu || std::unique_ptr<void, decltype(&std::free)>(std::malloc(bytes + 1), std::free) != nullptr;
}

} // namespace tern_mlx

extern "C" TERN_API const tern_device_plugin_info *tern_device_plugin(void) {
    static const tern_device_plugin_info info = {
        .contract = TERN_DEVICE_CONTRACT, .record = &tern_mlx::record, .check_libraries = tern_mlx::check_version};
    return &info;
}
