/* unit_mlx_memory.cpp - on mlx:cpu: what a run takes of MLX is no more than was told before it; what weights take is that of the dtype
 * asked for, and the results are those of another dtype.
 * SPDX-License-Identifier: Apache-2.0 */
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include <mlx/memory.h>

#include "tern.h"

namespace {

using model = std::unique_ptr<tern_model, decltype(&tern_model_free)>;

model load(const std::string &folder, const char *dtype) {
    tern_model_options options = tern_model_options_default();
    options.device = "mlx:cpu";
    options.dtype = dtype;
    tern_model *loaded = nullptr;
    tern_error err;
    if (tern_model_load(&loaded, folder.c_str(), &options, &err) != TERN_OK) fail_msg("%s", err.message);
    return {loaded, tern_model_free};
}

tern_memory_plan plan_of(const model &m, int64_t batch, int64_t tokens) {
    tern_memory_plan plan;
    tern_error err;
    if (tern_model_plan_memory(m.get(), batch, tokens, &plan, &err) != TERN_OK) fail_msg("%s", err.message);
    return plan;
}

/* last_hidden_state of equal rows. */
std::vector<float> forward(const model &m, int64_t batch, int64_t tokens) {
    std::vector<int64_t> ids((size_t)(batch * tokens));
    for (size_t i = 0; i < ids.size(); i++) ids[i] = 4 + (int64_t)(i * 7 % (size_t)tokens) % 20;
    std::vector<float> y(ids.size() * (size_t)tern_model_get_info(m.get()).hidden_size);
    const tern_forward_inputs inputs = {batch, tokens, ids.data(), nullptr, nullptr};
    const tern_forward_output output = {"last_hidden_state", y.data()};
    tern_error err;
    if (tern_model_forward(m.get(), &inputs, &output, 1, &err) != TERN_OK) fail_msg("%s", err.message);
    return y;
}

/* ---- Runs ---- */

/* Of every golden checkpoint; batches that take little are left out, as MLX's least allocation counts there. */
void test_plans_are_from_above(void **) {
    static const int64_t shapes[][2] = {{1, 250}, {100, 8}};
    double most = 0;
    int n = 0;
    for (const auto &entry : std::filesystem::directory_iterator(TERN_TEST_DATA "/golden/tiny"))
        for (const char *dtype : {"float32", "float16", "affine8-g32"}) {
            const model m = load(entry.path(), dtype);
            const int64_t longest = tern_model_get_info(m.get()).max_seq_length;
            for (const auto &[batch, tokens] : shapes) {
                const int64_t length = std::min(tokens, longest);
                const int64_t planned = plan_of(m, batch, length).workspace_bytes;
                const size_t before = mlx::core::get_active_memory();
                mlx::core::reset_peak_memory();
                forward(m, batch, length);
                const auto taken = (int64_t)(mlx::core::get_peak_memory() - before);
                if (taken < 1000000) continue;
                n++;
                most = std::max(most, (double)taken / (double)planned);
                if (taken > planned)
                    fail_msg("%s in %s, %lld x %lld: %lld bytes taken, %lld planned", entry.path().c_str(), dtype, (long long)batch,
                             (long long)length, (long long)taken, (long long)planned);
            }
        }
    print_message("runs take at most %.2f of their plan, of %d\n", most, n);
    assert_true(n > 100);
    assert_true(most > 0.7); /* and it is no wild guess */
}

/* ---- Weights ---- */

constexpr int64_t hidden = 128, intermediate = 256;

/* A random model whose linears' rows are whole groups of every size. */
std::string make_model() {
    const std::string root = std::filesystem::temp_directory_path() / "tern_unit_mlx_memory_XXXXXX";
    std::vector<char> path(root.begin(), root.end());
    path.push_back('\0');
    assert_non_null(mkdtemp(path.data()));
    const std::string folder = path.data(), config = folder + "/config.json", model_folder = folder + "/model";
    std::ofstream(config)
        << R"({"model_type": "bert", "vocab_size": 100, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": )" << hidden
        << R"(, "intermediate_size": )" << intermediate << R"(, "max_position_embeddings": 40, "type_vocab_size": 2})";
    tern_error err;
    if (tern_checkpoint_init(config.c_str(), 3, model_folder.c_str(), &err) != TERN_OK) fail_msg("%s", err.message);
    return folder;
}

void test_dtypes_are_what_they_say(void **) {
    /* Bits of a weight of a linear, and bytes of a group's scale and bias: those are float32, and of mxfp4 a byte. */
    static const struct {
        const char *dtype;
        double bits, bytes_of_group;
        int group_size;
        double least, most; /* relative to the largest element, the difference from float32: rounding, not another model */
    } dtypes[] = {{"float16", 16, 0, 1, 1e-5, 5e-3},     {"bfloat16", 16, 0, 1, 1e-4, 5e-2},    {"affine8-g64", 8, 8, 64, 1e-4, 5e-2},
                  {"affine8-g32", 8, 8, 32, 1e-4, 5e-2}, {"affine4-g64", 4, 8, 64, 1e-3, 5e-1}, {"affine4-g32", 4, 8, 32, 1e-3, 5e-1},
                  {"mxfp4", 4, 1, 32, 1e-3, 5e-1}};
    const std::string folder = make_model();
    const model reference = load(folder + "/model", "float32");
    const auto all = (double)plan_of(reference, 1, 8).packed_bytes;
    const double linears = 2 * (4 * hidden * hidden + 2 * hidden * intermediate) + hidden * hidden; /* the last is the pooler's */
    assert_true(all == 4 * (double)tern_model_get_info(reference.get()).n_parameters);
    const std::vector<float> expected = forward(reference, 2, 30);
    for (const auto &d : dtypes) {
        const model m = load(folder + "/model", d.dtype);
        const auto packed = (double)plan_of(m, 1, 8).packed_bytes;
        const double quantized = linears * d.bits / 8 + linears / d.group_size * d.bytes_of_group;
        const double wanted = d.group_size == 1 ? all * d.bits / 32 : all - 4 * linears + quantized;
        if (packed != wanted) fail_msg("%s: %.0f bytes of weights, not %.0f", d.dtype, packed, wanted);
        const std::vector<float> y = forward(m, 2, 30);
        float largest = 0, difference = 0;
        for (size_t i = 0; i < y.size(); i++) {
            largest = std::max(largest, std::abs(expected[i]));
            difference = std::max(difference, std::abs(y[i] - expected[i]));
        }
        print_message("%s: %.1e from float32\n", d.dtype, (double)(difference / largest));
        if (!(difference > d.least * largest && difference < d.most * largest))
            fail_msg("%s: %.1e from float32, not in %.0e ... %.0e", d.dtype, (double)(difference / largest), d.least, d.most);
    }
    std::filesystem::remove_all(folder);
}

} // namespace

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_are_from_above),
        cmocka_unit_test(test_dtypes_are_what_they_say),
    };
    return cmocka_run_group_tests_name("mlx memory", tests, nullptr, nullptr);
}
