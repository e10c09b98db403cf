/* compiled_device.cpp - the MLX device with each run compiled, and fused activations, on its CPU too: what only a GPU does in use.
 * SPDX-License-Identifier: Apache-2.0 */
#define tern_device_plugin tern_device_plugin_in_use
#include "device/mlx/mlx_device.cpp"
#undef tern_device_plugin

namespace {

tern_status open_compiling(void **out, const tern_device_options *options, tern_error *err) {
    TERN_TRY(tern_device_plugin_in_use()->record->open(out, options, err));
    static_cast<tern_mlx::device *>(*out)->compiles_run = 1;
    return TERN_OK;
}

} // namespace

extern "C" TERN_API const tern_device_plugin_info *tern_device_plugin(void) {
    static const tern_device_record record = [] {
        tern_device_record compiling = *tern_device_plugin_in_use()->record;
        compiling.open = open_compiling;
        return compiling;
    }();
    static const tern_device_plugin_info info = {
        .contract = TERN_DEVICE_CONTRACT, .record = &record, .check_libraries = tern_device_plugin_in_use()->check_libraries};
    return &info;
}
