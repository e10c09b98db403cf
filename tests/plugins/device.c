/* device.c - libtern_cuda as unit_device_plugin.c wants it: two units of which one is absent, of another build, of another name, with
 * another library than its own, without what it calls of that, or no device at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "device/plugin.h"

#ifndef PLUGIN_NO_SYMBOL
static size_t probe(tern_device_info *infos, size_t capacity) {
    for (size_t i = 0; i < 2 && i < capacity; i++) {
        infos[i] = (tern_device_info){.is_present = i == 0};
        snprintf(infos[i].name, sizeof infos[i].name, "cuda:%zu", i);
        snprintf(i == 0 ? infos[i].description : infos[i].reason, sizeof infos[i].reason, "unit %zu", i);
    }
    return 2;
}

static const tern_device_record record = {
#ifdef PLUGIN_OTHER_NAME
    .name = "abacus",
#else
    .name = "cuda",
#endif
    .max_concurrent_runs = 1,
    .probe = probe,
};

#if defined(PLUGIN_OTHER_LIBRARY) || defined(PLUGIN_NO_LIBRARY)
static tern_status refuse_library(tern_error *err) {
    snprintf(err->message, sizeof err->message, "made for libabacus 2, and here is 1");
    return err->code = TERN_E_DEVICE;
}
#endif
#ifdef PLUGIN_NO_LIBRARY
int tern_is_not_there(void);
TERN_API int tern_use_library(void);
int tern_use_library(void) { return tern_is_not_there(); }
#endif

TERN_API const tern_device_plugin_info *tern_device_plugin(void) {
    static const tern_device_plugin_info info = {
        .contract = TERN_DEVICE_CONTRACT,
        .record = &record,
#if defined(PLUGIN_OTHER_LIBRARY) || defined(PLUGIN_NO_LIBRARY)
        .check_libraries = refuse_library
#endif
    };
#ifdef PLUGIN_OTHER_BUILD
    static tern_device_plugin_info other;
    other = info;
    other.contract.version[1] += 6;
    other.contract.node++;
    return &other;
#else
    return &info;
#endif
}
#else
TERN_API int tern_is_no_device(void);
int tern_is_no_device(void) { return 0; }
#endif
