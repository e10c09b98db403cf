/* cpu_quota.c - the CPU quota of control groups, version 2 (cpu.max) and version 1 (cpu.cfs_quota_us over cpu.cfs_period_us).
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
 * Nothing is allocated, so that the answer does not depend on the memory that is left.
 * Inside a container the path that /proc names may be one of the host's, which is not mounted: then the mount's own files count.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu_quota.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The first bytes of a file as a string. */
static bool read_start(char *out, size_t n_bytes, const char *path) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n<n_bytes - 1; n += got> 0 ? (size_t)got : 0) got = read(descriptor, out + n, n_bytes - 1 - n);
    close(descriptor);
    out[n] = '\0';
    return true;
}

/* "QUOTA PERIOD", the second from a file of its own when period_name is given. 0: no limit. */
static double quota_in(const char *folder, const char *quota_name, const char *period_name) {
    char path[1200], text[64];
    long long quota = -1, period = -1;
    snprintf(path, sizeof path, "%s/%s", folder, quota_name);
    if (!read_start(text, sizeof text, path) || sscanf(text, "%lld %lld", &quota, &period) < 1) return 0; /* "max" */
    if (period_name != NULL) {
        snprintf(path, sizeof path, "%s/%s", folder, period_name);
        if (!read_start(text, sizeof text, path) || sscanf(text, "%lld", &period) != 1) return 0;
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The least quota from mount/path up to the mount itself. */
static double least_quota(const char *mount, const char *path, bool is_version_2) {
    char folder[1100];
    double least = 0;
    if (snprintf(folder, sizeof folder, "%s%s", mount, path) >= (int)sizeof folder) return 0;
    const size_t mount_length = strlen(mount);
    for (;;) {
        const double quota = is_version_2 ? quota_in(folder, "cpu.max", NULL) : quota_in(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us");
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= mount_length || slash == NULL) return least;
        *slash = '\0';
    }
}

/* Is "cpu" one of the comma-separated names? */
static bool has_cpu(const char *controllers) {
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ',')) return true;
    }
    return false;
}

double tern__cpu_quota(const char *membership, const char *mount) {
    char text[8192], folder[1100];
    double least = 0;
    if (!read_start(text, sizeof text, membership)) return 0;
    for (char *line = text, *next; *line != '\0'; line = next) { /* "0::/path", or "4:cpu,cpuacct:/path" */
        next = line + strcspn(line, "\n");
        if (*next == '\n') *next++ = '\0';
        char *controllers = strchr(line, ':'), *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL) continue;
        *path++ = '\0';
        controllers++;
        const bool is_version_2 = *controllers == '\0';
        if (!is_version_2 && !has_cpu(controllers)) continue;
        if (is_version_2) snprintf(folder, sizeof folder, "%s", mount);
        else snprintf(folder, sizeof folder, "%s/cpu", mount);
        const double quota = least_quota(folder, strcmp(path, "/") == 0 ? "" : path, is_version_2);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    return least;
}
