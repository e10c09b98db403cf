/* find_host.h - the CUDA device over the host's runtime, for its tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_CUDA_HOST_FIND_HOST_H
#define TERN_TESTS_CUDA_HOST_FIND_HOST_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "device/device.h"
#include "host.h"

/* The device's record and what its runtime plays; false, with a line on standard error, when it is not there. */
static inline bool find_host(const tern_device_record **record, host_state **host) {
    const char *unit;
    tern_error err;
    if (setenv("TERN_PLUGIN_PATH", TERN_TEST_CUDA_HOST, 1) != 0) return false;
    if (tern__device_find(record, &unit, "cuda", &err) != TERN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    void *library = dlopen(TERN_TEST_CUDA_HOST "/libtern_cuda" TERN_TEST_PLUGIN_SUFFIX, RTLD_NOW);
    tern_cuda_host_function *function;
    if (library == NULL) return false;
    *(void **)&function = dlsym(library, "tern_cuda_host");
    if (function == NULL) return false;
    *host = function();
    return true;
}

#endif
