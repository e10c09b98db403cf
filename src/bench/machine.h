/* machine.h - what a row says of where it ran, how much memory there is and was used, and whether the machine was disturbed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_MACHINE_H
#define TERN_BENCH_MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {"system", "cores", "memory_bytes", "compiler", "clock_read_ns"}; NULL when memory is short. */
json_t *tern__machine_describe(void);
/* `git describe` of the source that this binary was built from, "-dirty" when it was changed; "unknown" outside a repository. */
const char *tern__machine_git(void);

/* ---- Memory ---- */

/* Forget the process's peak of resident memory, where the system can (Linux); and the peak since, or of the process's life. */
void tern__peak_memory_reset(void);
int64_t tern__peak_memory_bytes(void);
/* What this process may still take without swapping: of the system, and of its control group. -1: not known. */
int64_t tern__available_memory_bytes(void);

/* ---- Energy ---- */

#define TERN_POWERCAP     "/sys/class/powercap"
#define TERN_MAX_PACKAGES 8

/* What the counters of the processors' packages stand at, microjoules. */
typedef struct tern_energy {
    size_t n_packages;
    uint64_t uj[TERN_MAX_PACKAGES], range_uj[TERN_MAX_PACKAGES]; /* range: where the counter begins anew */
} tern_energy;

/* Linux's powercap folder (https://docs.kernel.org/power/powercap/powercap.html): intel-rapl, which AMD's processors have too. False where
 * there is none, or it may not be read, which many systems leave to root. */
bool tern__energy_read(tern_energy *out, const char *powercap);
/* Joules from `before` to `after`, less than one round of each counter; a counter moves about once a millisecond. */
double tern__energy_joules(const tern_energy *before, const tern_energy *after);

/* ---- Disturbance ---- */

/* tern__probe_ms - the time of a fixed loop of arithmetic that touches no memory, run by `threads` threads at once: longer when another
 * process wants the cores, or when the clock is lower. About 2 ms. */
double tern__probe_ms(int threads);

#endif
