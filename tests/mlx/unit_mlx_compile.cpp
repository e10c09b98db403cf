/* unit_mlx_compile.cpp - the form of a run, and compiled runs, on mlx:cpu (compiled_device.cpp): how sequences are put into lines, what is
 * evaluated in parts, which batches share a form, how many are kept, and that what MLX holds for them goes with the program, whichever
 * thread drops it. unit_mlx_device.c and unit_op_conformance.c check the results.
 * SPDX-License-Identifier: Apache-2.0 */
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

extern "C" {
#include <cmocka.h>
}

#include <mlx/primitives.h>
#include <mlx/scheduler.h>

#include "device/mlx/mlx_device.hpp"

namespace {

using tern_mlx::compiled;

constexpr int32_t vocabulary = 200, width = 32, n_heads = 2;

/* A model whose embedding is what `factor` makes of it; two with other factors have other results. With a window the second layer, and each
 * behind it, is attention alone. */
class model {
  public:
    explicit model(float factor, int32_t window = 0, int n_layers = 1) {
        tern_error err;
        if (tern__program_new(&program, &err) != TERN_OK) fail_msg("%s", err.message);
        const tern_value x = tern__embedding(program, tern__input(program, TERN_INPUT_IDS), vocabulary, width, "table");
        const tern_value q = tern__linear(program, x, width, "q"), k = tern__linear(program, x, width, "k");
        tern_value attended = x;
        for (int i = 0; i < n_layers; i++)
            attended = window > 0 ? tern__attention_window(program, q, attended, attended, n_heads, 0.25f, window)
                                  : tern__attention(program, q, k, attended, n_heads, 0.25f);
        const tern_value y = tern__activation(program, attended, TERN_OP_GELU);
        tern__output(program, tern__pool(program, y, TERN_POOL_MEAN), "embedding");
        tern__output(program, y, "tokens");
        if (tern__program_finish(program, &err) != TERN_OK) fail_msg("%s", err.message);
        for (int32_t w = 0; w < program->n_weights; w++) {
            std::vector<float> &elements = weights.emplace_back((size_t)vocabulary * width);
            for (size_t i = 0; i < elements.size(); i++) elements[i] = factor * (float)((i * 37 + (size_t)w * 11) % 101) / 101;
        }
        for (int32_t w = 0; w < program->n_weights; w++) {
            program->weights[w].data = weights[(size_t)w].data();
            program->weights[w].dtype = TERN_DTYPE_F32;
        }
        const tern_device_options options = {"cpu", 0, nullptr};
        if (record->open(&device, &options, &err) != TERN_OK) fail_msg("%s", err.message);
        if (record->compile(&handle, device, program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
    }
    model(const model &) = delete;
    ~model() {
        record->release(handle);
        record->close(device);
        tern__program_free(program);
    }

    compiled &state() { return *static_cast<compiled *>(handle); }

    /* Embeddings of sequences of these lengths. */
    std::vector<float> run(const std::vector<int32_t> &lengths, int32_t output = 0) {
        std::vector<float> y;
        tern_error err;
        if (try_run(lengths, output, y, &err) != TERN_OK) fail_msg("%s", err.message);
        return y;
    }

    tern_status try_run(const std::vector<int32_t> &lengths, int32_t output, std::vector<float> &y, tern_error *err) {
        std::vector<int64_t> row_start = {0};
        for (int32_t length : lengths) row_start.push_back(row_start.back() + length);
        std::vector<int32_t> ids((size_t)row_start.back()), columns;
        for (int32_t length : lengths)
            for (int32_t column = 0; column < length; column++) columns.push_back(column);
        for (size_t i = 0; i < ids.size(); i++) ids[i] = (int32_t)(i * 17 % vocabulary);
        tern_batch batch = {};
        batch.n_sequences = (int64_t)lengths.size();
        batch.n_tokens = row_start.back();
        batch.row_start = row_start.data();
        batch.inputs[TERN_INPUT_IDS] = ids.data();
        batch.inputs[TERN_INPUT_COLUMNS] = columns.data();
        y.resize((output == 0 ? lengths.size() : ids.size()) * width);
        const tern_run_output wanted = {output, y.data()};
        return record->run(handle, &batch, &wanted, 1, err);
    }

    const tern_mlx::form_of_run &last_form() { return state().runs.front().form; }

  private:
    static inline const tern_device_record *const record = tern_device_plugin()->record;
    tern_program *program;
    std::vector<std::vector<float>> weights;
    void *device, *handle;
};

void check_close(const std::vector<float> &a, const std::vector<float> &b) {
    assert_int_equal(a.size(), b.size());
    for (size_t i = 0; i < a.size(); i++)
        if (!(std::abs(a[i] - b[i]) <= 1e-6f)) fail_msg("element %zu: %g, not %g", i, (double)a[i], (double)b[i]);
}

/* Lengths up to 24 are one form behind 16, and masked where they are not 24; numbers up to 16 are as they are. */
void test_buckets(void **) {
    model m(1);
    for (int32_t length = 17; length <= 24; length++) {
        m.run({length});
        assert_int_equal(m.last_form().line_length, 24);
        assert_int_equal(m.last_form().is_masked, length < 24);
    }
    assert_int_equal(m.state().runs.size(), 2);
    for (const tern_mlx::compiled_run &run : m.state().runs) assert_true(run.function != nullptr);
    m.run(std::vector<int32_t>(17, 8));
    assert_int_equal(m.last_form().n_lines, 18);
    assert_true(m.last_form().is_masked);
    m.run(std::vector<int32_t>(18, 8));
    assert_int_equal(m.last_form().n_lines, 18);
    assert_false(m.last_form().is_masked);
}

/* Where pads cost more than a new graph does, there are none. */
void test_no_bucket(void **) {
    model m(1);
    m.state().row_flops = 1e9;
    m.run({1025});
    assert_int_equal(m.last_form().line_length, 1025);
    assert_false(m.last_form().is_masked);
    m.run(std::vector<int32_t>(60, 65));
    assert_int_equal(m.last_form().line_length, 65);
    assert_int_equal(m.last_form().n_lines, 60);
}

/* Sequences fill lines of the longest one's bucket, or of more where that leaves less padding; attention's length has its cost. */
void test_lines(void **) {
    model m(1);
    m.state().row_flops = 1e6;
    const auto check = [&](const std::vector<int32_t> &lengths, int32_t n_lines, int32_t line_length, int32_t n_together) {
        m.run(lengths);
        assert_int_equal(m.last_form().n_lines, n_lines);
        assert_int_equal(m.last_form().line_length, line_length);
        assert_int_equal(m.last_form().n_together, n_together);
        assert_true(m.last_form().is_masked);
    };
    check({100, 12, 60, 52, 112, 40, 24, 48}, 4, 112, 4); /* 112, 100 + 12, 60 + 52, 48 + 40 + 24 */
    check({60, 60, 36, 36}, 1, 192, 4);                   /* not 4 lines of 64 */
    check({500, 3, 4}, 1, 512, 4);
    m.state().pair_flops = 1e6;
    check({60, 36, 60, 36}, 4, 64, 1);
    const int32_t n_runs = m.state().runs.front().n_runs;
    m.run({58, 40, 39, 59});
    assert_int_equal(m.state().runs.front().n_runs, n_runs + 1); /* of one form */
}

/* How often an op is in what the arrays are computed of. */
int count_ops(std::vector<tern_mlx::mx::array> left, const char *name) {
    std::set<std::uintptr_t> seen;
    int n = 0;
    while (!left.empty()) {
        const tern_mlx::mx::array x = left.back();
        left.pop_back();
        if (!x.has_primitive() || x.is_available() || !seen.insert(x.id()).second) continue;
        n += std::string(x.primitive().name()) == name;
        left.insert(left.end(), x.inputs().begin(), x.inputs().end());
    }
    return n;
}

/* Whatever the lengths, there is one attention for each layer (on a CPU of products and a softmax), and what is gathered are embeddings
 * and the sequences' sums. */
void test_one_attention_each_layer(void **) {
    model m(1, 7, 5);
    const std::vector<int64_t> row_start = {0, 100, 103, 150, 151, 400};
    const std::vector<int32_t> inputs(400);
    tern_batch batch = {};
    batch.n_sequences = 5;
    batch.n_tokens = 400;
    batch.row_start = row_start.data();
    batch.inputs[TERN_INPUT_IDS] = batch.inputs[TERN_INPUT_COLUMNS] = inputs.data();
    const auto rows = tern_mlx::lay_out_rows(m.state(), batch, tern_mlx::choose_lines(m.state(), batch), {0});
    tern_mlx::arrays_of_batch given = {{}, {}, [&](const tern_mlx::request &r) { return tern_mlx::array_of_batch(rows, batch, r); }};
    const auto results = tern_mlx::build_graph(m.state(), rows.form, given, *m.state().owner->stream);
    assert_int_equal(results.size(), 3); /* and two parts, of two attentions each */
    assert_int_equal(count_ops({results[0]}, "Softmax"), 5);
    assert_int_equal(count_ops({results[1]}, "Softmax"), 2);
    assert_int_equal(count_ops({results[2]}, "Softmax"), 4);
    assert_int_equal(count_ops({results[0]}, "Gather"), 2);
    assert_int_equal(count_ops({results[0]}, "Concatenate"), 0);
}

/* x, that takes long; or that cannot be computed, which is known when it is given to the unit. */
class slow_or_failing : public tern_mlx::mx::Primitive {
  public:
    slow_or_failing(tern_mlx::mx::Stream s, std::atomic<bool> *has_run) : Primitive(s), done(has_run) {}
    void eval_cpu(const std::vector<tern_mlx::mx::array> &, std::vector<tern_mlx::mx::array> &outputs) override {
        if (done == nullptr) throw std::runtime_error("cannot allocate what was asked for");
        outputs[0].set_data(tern_mlx::mx::allocator::malloc(outputs[0].nbytes()));
        tern_mlx::mx::scheduler::enqueue(stream(), [done = done] {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            *done = true;
        });
    }
    void eval_gpu(const std::vector<tern_mlx::mx::array> &, std::vector<tern_mlx::mx::array> &) override {}
    const char *name() const override { return "SlowOrFailing"; }

  private:
    std::atomic<bool> *done;
};

/* An array of a part fails while another one is computed: that one ends before the error is told, and the next run is as ever. */
void test_part_fails(void **) {
    using tern_mlx::mx::array;
    model m(1, 0, 5);
    const_cast<tern_mlx::device *>(m.state().owner)->compiles_run = 0;
    const std::vector<float> before = m.run({9, 40});
    const tern_mlx::mx::Stream s = *m.state().owner->stream;
    const auto as = [&](const std::optional<tern_mlx::weight> &w, std::atomic<bool> *done) {
        return array(w->turned->shape(), w->turned->dtype(), std::make_shared<slow_or_failing>(s, done), {*w->turned});
    };
    std::atomic<bool> is_done = false;
    std::vector<float> y;
    tern_error err;
    const auto kept = m.state().weights;
    m.state().weights[1]->turned = as(kept[1], nullptr); /* of q, whose bias is the next one; MLX takes k first */
    m.state().weights[3]->turned = as(kept[3], &is_done);
    assert_int_equal(m.try_run({9, 40}, 0, y, &err), TERN_E_MEMORY);
    assert_non_null(std::strstr(err.message, "cannot allocate"));
    assert_true(is_done);
    m.state().weights = kept;
    check_close(m.run({9, 40}), before);
}

/* The arrays of a batch are arguments: other ids, lengths and outputs of one form have their own results. */
void test_reuse(void **) {
    model m(1), plain(1);
    const std::vector<std::vector<int32_t>> batches = {{24}, {19}, {17}, {5, 7, 6}, {8, 1, 8}, {17, 18, 17, 24}, {2, 90}, {3, 95}, {2, 90}};
    for (int32_t output = 0; output < 2; output++)
        for (const std::vector<int32_t> &lengths : batches) {
            const_cast<tern_mlx::device *>(plain.state().owner)->compiles_run = 0;
            check_close(m.run(lengths, output), plain.run(lengths, output));
        }
    assert_int_equal(plain.state().runs.size(), 0);
}

/* Rows that no window joins: padding, and what stands beside a sequence in its line, must not get into its rows in the next layers. */
void test_window(void **) {
    model m(1, 7, 3);
    for (int32_t output = 0; output < 2; output++) {
        const std::vector<float> y = m.run({3, 40, 9, 2, 41}, output);
        assert_true(m.last_form().n_together > 1);
        const std::vector<float> alone = m.run({3}, output);
        check_close(std::vector<float>(y.begin(), y.begin() + (std::ptrdiff_t)alone.size()), alone);
    }
}

/* The second run of a form is compiled, where the device says so. */
void test_first_run_is_not_compiled(void **) {
    model m(1);
    const_cast<tern_mlx::device *>(m.state().owner)->compiles_run = 2;
    const std::vector<float> first = m.run({9});
    assert_false(m.state().runs.front().function != nullptr);
    check_close(m.run({9}), first);
    assert_true(m.state().runs.front().function != nullptr);
    check_close(m.run({9}), first);
    assert_int_equal(m.state().runs.size(), 1);
}

/* Sizes without end: what is kept has an end, and goes with the program. */
void test_runs_are_bounded(void **) {
    const size_t before = tern_mlx::mx::get_active_memory();
    {
        model m(1);
        size_t after_some = 0;
        for (int32_t r = 0; r < 300; r++) {
            m.run(std::vector<int32_t>((size_t)(1 + r % 30), 1 + r));
            assert_true(m.state().runs.size() <= 32);
            if (r == 100) after_some = tern_mlx::mx::get_active_memory();
        }
        assert_int_equal(m.state().runs.size(), 32);
        assert_true(tern_mlx::mx::get_active_memory() <= after_some + 1000000);
        const std::vector<float> y = m.run({300});
        assert_int_equal(m.state().runs.size(), 32);
        check_close(m.run({300}), y);
    }
    assert_true(tern_mlx::mx::get_active_memory() <= before);
}

/* A thread that does what it is told, one thing after the other, and lives on. */
class worker {
  public:
    worker() : thread([this] { work(); }) {}
    worker(const worker &) = delete;
    ~worker() {
        tell(nullptr);
        thread.join();
    }
    void tell(std::function<void()> what) {
        std::unique_lock<std::mutex> guard(lock);
        todo = std::move(what);
        is_told = true;
        changed.notify_all();
        changed.wait(guard, [this] { return !is_told; });
    }

  private:
    void work() {
        for (bool goes_on = true; goes_on;) {
            std::unique_lock<std::mutex> guard(lock);
            changed.wait(guard, [this] { return is_told; });
            goes_on = todo != nullptr;
            if (goes_on) todo();
            is_told = false;
            changed.notify_all();
        }
    }
    std::mutex lock;
    std::condition_variable changed;
    std::function<void()> todo;
    bool is_told = false;
    std::thread thread; /* after what it uses */
};

/* Models that one thread loads and frees and another one runs: each has its own results, and nothing of them stays in the other thread. */
void test_freed_by_another_thread(void **) {
    worker other;
    size_t before = 0;
    for (int i = 0; i < 20; i++) {
        const float factor = 1 + (float)i / 10;
        std::vector<float> here, there;
        {
            model m(factor);
            other.tell([&] { there = m.run({11, 12}); });
            other.tell([&] { there = m.run({11, 12}); });
            here = m.run({11, 12});
            assert_int_equal(m.state().runs.size(), 2);
        }
        check_close(there, here);
        const size_t now = tern_mlx::mx::get_active_memory();
        if (i == 0) before = now;
        else assert_true(now <= before + 1000); /* scalars of kernels; a model has more than 25,000 bytes */
    }
}

} // namespace

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_no_bucket),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_one_attention_each_layer),
        cmocka_unit_test(test_part_fails),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_first_run_is_not_compiled),
        cmocka_unit_test(test_runs_are_bounded),
        cmocka_unit_test(test_freed_by_another_thread),
    };
    return cmocka_run_group_tests_name("mlx compile", tests, nullptr, nullptr);
}
