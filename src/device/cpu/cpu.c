/* cpu.c - the record of the device "cpu": float32 on the processor's best instruction set and on all cores the process may use.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>

#include "device/cpu/isa.h"

#define MAX_THREADS 4096

static size_t cpu_probe(tern_device_info *infos, size_t capacity) {
    if (capacity == 0) return 1;
    tern_device_info *info = infos;
    *info = (tern_device_info){.name = "cpu"};
    char name[64];
    const int threads = tern__thread_count_default();
    tern__processor_name(name, sizeof name);
    info->is_present = true;
    info->threads = threads;
    snprintf(info->isa, sizeof info->isa, "%s", tern__isa_name(tern__isa_best()));
    snprintf(info->description, sizeof info->description, "%s, %s, %d thread%s", name, info->isa, threads, threads == 1 ? "" : "s");
    return 1;
}

static tern_status cpu_open(void **device, const tern_device_options *options, tern_error *err) {
    *device = NULL;
    if (options->unit != NULL)
        return TERN_FAIL(err, TERN_E_DEVICE, "device \"cpu:%.40s\": there is one CPU device, called cpu", options->unit);
    if (options->threads < 0 || options->threads > MAX_THREADS)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "cpu: %d threads; 0 (one a core) ... %d can be had", options->threads, MAX_THREADS);
    tern_isa isa;
    TERN_TRY(tern__isa_choose(&isa, options->isa, err));
    tern_cpu_device *cpu = tern__alloc_zero(1, sizeof *cpu);
    if (cpu == NULL) return TERN_FAIL_MEMORY(err, sizeof *cpu);
    tern__isa_kernels(isa, &cpu->kernels);
    const int threads = options->threads > 0 ? options->threads : tern__thread_count_default();
    const tern_status status = tern__thread_pool_new(&cpu->pool, threads, err);
    if (status == TERN_OK) *device = cpu;
    else free(cpu);
    return status;
}

static void cpu_close(void *device) {
    tern_cpu_device *cpu = device;
    if (cpu == NULL) return;
    tern__thread_pool_free(cpu->pool);
    free(cpu);
}

static tern_device_properties cpu_properties(const void *device) {
    const tern_cpu_device *cpu = device;
    return (tern_device_properties){.name = "cpu", .isa = cpu->kernels.isa, .threads = tern__thread_pool_size(cpu->pool)};
}

static bool cpu_supports(const void *device, tern_op op) {
    (void)device;
    return (unsigned)op < TERN_N_OPS;
}

static size_t cpu_packed_bytes(const void *compiled) { return ((const tern_cpu_compiled *)compiled)->packed_bytes; }

const tern_device_record tern__device_cpu = {
    .name = "cpu",
    .max_concurrent_runs = 1,
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .properties = cpu_properties,
    .supports = cpu_supports,
    .compile = tern__cpu_compile,
    .release = tern__cpu_release,
    .run = tern__cpu_run,
    .packed_bytes = cpu_packed_bytes,
    .workspace_bytes = tern__cpu_workspace_bytes,
};
