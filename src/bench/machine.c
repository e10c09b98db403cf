/* machine.c - see machine.h. What a system does not tell is left out, never guessed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/machine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench_git.inc"

/* Nanoseconds that one reading of the clock takes. */
static double clock_read_ns(void) {
    enum { READINGS = 1000 };
    const int64_t start_ns = tern__clock_ns();
    for (int i = 1; i < READINGS; i++) tern__clock_ns();
    return (double)(tern__clock_ns() - start_ns) / READINGS;
}

json_t *tern__machine_describe(void) {
    struct utsname name = {0};
    uname(&name);
    char system[sizeof name.sysname + sizeof name.release + sizeof name.machine + 2];
    snprintf(system, sizeof system, "%s %s %s", name.sysname, name.release, name.machine);
    const json_int_t page_bytes = sysconf(_SC_PAGESIZE), n_pages = sysconf(_SC_PHYS_PAGES);
    return json_pack("{s:s, s:I, s:I, s:s, s:f}", "system", system, "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
                     page_bytes * n_pages, "compiler", __VERSION__, "clock_read_ns", clock_read_ns());
}

const char *tern__machine_git(void) { return TERN_GIT; }

/* ---- Memory ---- */

/* The number after `key` in a file of lines such as "VmHWM:  123 kB"; -1: none. */
static int64_t read_number(const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    char line[256];
    long long number = -1;
    while (number < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) != 0 || sscanf(line + strlen(key), "%lld", &number) != 1) number = -1;
    fclose(file);
    return number;
}

void tern__peak_memory_reset(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file == NULL) return;
    fputs("5", file);
    fclose(file);
}

int64_t tern__peak_memory_bytes(void) {
    const int64_t peak_kb = read_number("/proc/self/status", "VmHWM:");
    if (peak_kb >= 0) return peak_kb * 1024;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return -1;
#if defined(__APPLE__)
    return usage.ru_maxrss;
#else
    return (int64_t)usage.ru_maxrss * 1024;
#endif
}

int64_t tern__available_memory_bytes(void) {
    const int64_t available_kb = read_number("/proc/meminfo", "MemAvailable:");
    int64_t available = available_kb < 0 ? -1 : available_kb * 1024;
    const int64_t limit = read_number("/sys/fs/cgroup/memory.max", ""), used = read_number("/sys/fs/cgroup/memory.current", "");
    const int64_t cache = read_number("/sys/fs/cgroup/memory.stat", "file ");
    if (limit >= 0 && used >= 0) { /* pages of files are given back when memory is short */
        const int64_t left = limit - used + (cache > 0 ? cache : 0);
        if (available < 0 || left < available) available = left;
    }
    return available;
}

/* ---- Energy ---- */

/* A file of one number, "intel-rapl:<package>/<file>". */
static bool read_counter(uint64_t *out, const char *powercap, size_t package, const char *file) {
    char path[512];
    snprintf(path, sizeof path, "%s/intel-rapl:%zu/%s", powercap, package, file);
    const int64_t number = read_number(path, "");
    *out = (uint64_t)number;
    return number >= 0;
}

/* A zone beside the packages is the whole platform, of which they are parts. */
static bool is_package(const char *powercap, size_t zone) {
    char path[512];
    snprintf(path, sizeof path, "%s/intel-rapl:%zu/name", powercap, zone);
    return read_number(path, "package-") >= 0;
}

bool tern__energy_read(tern_energy *out, const char *powercap) {
    *out = (tern_energy){0};
    for (size_t zone = 0; zone < TERN_MAX_PACKAGES; zone++) {
        const size_t n = out->n_packages;
        if (is_package(powercap, zone) && read_counter(&out->uj[n], powercap, zone, "energy_uj") &&
            read_counter(&out->range_uj[n], powercap, zone, "max_energy_range_uj"))
            out->n_packages++;
    }
    return out->n_packages > 0;
}

double tern__energy_joules(const tern_energy *before, const tern_energy *after) {
    double joules = 0;
    for (size_t i = 0; i < before->n_packages && i < after->n_packages; i++) {
        const uint64_t round = after->uj[i] < before->uj[i] ? before->range_uj[i] : 0;
        joules += 1e-6 * ((double)after->uj[i] + (double)round - (double)before->uj[i]);
    }
    return joules;
}

/* ---- Disturbance ---- */

enum { PROBE_STEPS = 1000000, MAX_PROBES = 64 };

static void *run_probe(void *argument) {
    double *result = argument;
    double x = *result;
    for (int i = 0; i < PROBE_STEPS; i++) x = x * 0.999999 + 1e-6; /* each step waits for the one before */
    *result = x;
    return NULL;
}

/* Each on a core of its own: a new thread may else stay beside its maker for as long as the loop takes. */
static bool start_probe(pthread_t *thread, int index, double *result) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
#if defined(__linux__)
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    int seen = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &allowed) && seen++ == index) CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1) pthread_attr_setaffinity_np(&attributes, sizeof one, &one);
#else
    (void)index;
#endif
    const bool ok = pthread_create(thread, &attributes, run_probe, result) == 0;
    pthread_attr_destroy(&attributes);
    return ok;
}

double tern__probe_ms(int threads) {
    pthread_t started[MAX_PROBES];
    double results[MAX_PROBES] = {0};
    int n = 0;
    const int64_t start_ns = tern__clock_ns();
    while (n < threads && n < MAX_PROBES && start_probe(&started[n], n, &results[n])) n++;
    for (int i = 0; i < n; i++) pthread_join(started[i], NULL);
    return 1e-6 * (double)(tern__clock_ns() - start_ns);
}
