/* registry.c - the devices that there are: the CPU's, which is part of the library, and those that plug in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "device/plugin.h"

static const char *const plugins[] = {"cuda", "mlx"};
#define KNOWN "cpu, cuda, mlx"
enum { N_PLUGINS = sizeof plugins / sizeof *plugins };

tern_status tern__device_find(const tern_device_record **out, const char **unit, const char *name, tern_error *err) {
    const char *colon = strchr(name, ':');
    const size_t length = colon != NULL ? (size_t)(colon - name) : strlen(name);
    *out = NULL;
    *unit = colon != NULL ? colon + 1 : NULL;
    if (length == strlen(tern__device_cpu.name) && memcmp(name, tern__device_cpu.name, length) == 0) {
        *out = &tern__device_cpu;
        return TERN_OK;
    }
    for (size_t i = 0; i < N_PLUGINS; i++)
        if (length == strlen(plugins[i]) && memcmp(name, plugins[i], length) == 0) return tern__device_plugin_open(out, plugins[i], err);
    return TERN_FAIL(err, TERN_E_DEVICE, "no device is called \"%.80s\"; known are: " KNOWN, name);
}

/* A plug-in that cannot be used is one absent device. */
static size_t list_plugin(tern_device_info *infos, size_t capacity, const char *name) {
    const tern_device_record *record;
    tern_error err;
    if (tern__device_plugin_open(&record, name, &err) == TERN_OK) return record->probe(infos, capacity);
    if (capacity == 0) return 1;
    *infos = (tern_device_info){.is_present = false};
    snprintf(infos->name, sizeof infos->name, "%s", name);
    snprintf(infos->reason, sizeof infos->reason, "%.*s", (int)sizeof infos->reason - 1, err.message);
    return 1;
}

size_t tern_device_list(tern_device_info *infos, size_t capacity) {
    size_t n = tern__device_cpu.probe(infos, capacity);
    for (size_t i = 0; i < N_PLUGINS; i++) {
        const size_t room = capacity > n ? capacity - n : 0;
        n += list_plugin(room > 0 ? infos + n : NULL, room, plugins[i]);
    }
    return n;
}
