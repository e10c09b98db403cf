/* registry.c - the devices of this build.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "device/device.h"

const tern_device_record *const *tern__device_records(void) {
    static const tern_device_record *const records[] = {&tern__device_cpu, NULL};
    return records;
}

tern_status tern__device_find(const tern_device_record **out, const char *name, tern_error *err) {
    char known[256] = "";
    *out = NULL;
    for (const tern_device_record *const *record = tern__device_records(); *record != NULL; record++) {
        if (strcmp((*record)->name, name) == 0) {
            *out = *record;
            return TERN_OK;
        }
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", length > 0 ? ", " : "", (*record)->name);
    }
    return TERN_FAIL(err, TERN_E_DEVICE, "no device is called \"%.80s\"; this build has: %s", name, known);
}

size_t tern_device_list(tern_device_info *infos, size_t capacity) {
    size_t n = 0;
    for (const tern_device_record *const *record = tern__device_records(); *record != NULL; record++, n++) {
        if (n >= capacity) continue;
        infos[n] = (tern_device_info){0};
        snprintf(infos[n].name, sizeof infos[n].name, "%s", (*record)->name);
        (*record)->probe(&infos[n]);
    }
    return n;
}
