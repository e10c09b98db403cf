/* unit_mlx_compile.cpp - compiled runs, on mlx:cpu (compiled_device.cpp): which batches share one, how many are kept, and that what MLX
 * holds for them goes with the program, whichever thread drops it. unit_mlx_device.c and unit_op_conformance.c check their results.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cmath>
#include <condition_variable>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

extern "C" {
#include <cmocka.h>
}

#include "device/mlx/mlx_device.hpp"

namespace {

using tern_mlx::compiled;

constexpr int32_t vocabulary = 200, width = 32, n_heads = 2;

/* A model of one layer, whose embedding is what `factor` makes of it; two with other factors have other results. With a window it has two
 * layers of attention. */
class model {
  public:
    explicit model(float factor, int32_t window = 0) {
        tern_error err;
        if (tern__program_new(&program, &err) != TERN_OK) fail_msg("%s", err.message);
        const tern_value x = tern__embedding(program, tern__input(program, TERN_INPUT_IDS), vocabulary, width, "table");
        const tern_value q = tern__linear(program, x, width, "q"), k = tern__linear(program, x, width, "k");
        const auto attend = [&](tern_value v) {
            return window > 0 ? tern__attention_window(program, q, v, v, n_heads, 0.25f, window)
                              : tern__attention(program, q, k, v, n_heads, 0.25f);
        };
        const tern_value y = tern__activation(program, window > 0 ? attend(attend(x)) : attend(x), TERN_OP_GELU);
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
        std::vector<float> y((output == 0 ? lengths.size() : ids.size()) * width);
        const tern_run_output wanted = {output, y.data()};
        tern_error err;
        if (record->run(handle, &batch, &wanted, 1, &err) != TERN_OK) fail_msg("%s", err.message);
        return y;
    }

    const tern_mlx::form_of_run &last_form() { return state().runs.front().form; }
    const tern_mlx::block &last_block() { return last_form().blocks[0]; }

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
        assert_int_equal(m.last_block().length, 24);
        assert_int_equal(m.last_block().is_masked, length < 24);
    }
    assert_int_equal(m.state().runs.size(), 2);
    for (const tern_mlx::compiled_run &run : m.state().runs) assert_true(run.function != nullptr);
    m.run({20, 21, 24});
    assert_int_equal(m.last_block().n, 3);
    m.run(std::vector<int32_t>(17, 8));
    assert_int_equal(m.last_block().n, 18);
    assert_true(m.last_block().is_masked);
    m.run(std::vector<int32_t>(18, 8));
    assert_int_equal(m.last_block().n, 18);
    assert_false(m.last_block().is_masked);
}

/* Where pads cost more than kernels do, there are none. */
void test_no_bucket(void **) {
    model m(1);
    m.run({1025});
    assert_int_equal(m.last_block().length, 1025);
    assert_false(m.last_block().is_masked);
    m.run(std::vector<int32_t>(60, 65));
    assert_int_equal(m.last_block().length, 65);
    assert_int_equal(m.last_block().n, 60);
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

/* Rows of the batch, gathered for attention and pooling, give what rows of padded groups give; each way where it costs less. */
void test_ways(void **) {
    const std::vector<std::vector<int32_t>> batches = {{5, 7, 6}, {8, 1, 8, 40}, {17, 18, 2, 24}, {2, 90, 3}, {4, 4, 5}};
    model padded(1), gathered(1);
    padded.state().row_flops = 0;
    gathered.state().row_flops = 1e9;
    for (int32_t output = 0; output < 2; output++)
        for (const std::vector<int32_t> &lengths : batches) {
            check_close(gathered.run(lengths, output), padded.run(lengths, output));
            assert_true(gathered.last_form().is_gathered);
            assert_false(padded.last_form().is_gathered);
        }
    gathered.run({6, 6, 6});
    assert_false(gathered.last_form().is_gathered); /* nothing to gain */
    gathered.run({20, 3});
    gathered.run({18, 5});
    assert_int_equal(gathered.state().runs.front().n_runs, 2); /* of one form */
}

/* Pads far behind a short sequence see a key in any window; what they are must not get into its rows in the next layer. */
void test_window(void **) {
    model padded(1, 7), gathered(1, 7);
    padded.state().row_flops = 0;
    gathered.state().row_flops = 1e9;
    for (int32_t output = 0; output < 2; output++) {
        const std::vector<float> y = padded.run({3, 40}, output);
        assert_true(padded.last_block().is_masked);
        check_close(y, gathered.run({3, 40}, output));
        const std::vector<float> alone = padded.run({3}, output);
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
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_first_run_is_not_compiled),
        cmocka_unit_test(test_runs_are_bounded),
        cmocka_unit_test(test_freed_by_another_thread),
    };
    return cmocka_run_group_tests_name("mlx compile", tests, nullptr, nullptr);
}
