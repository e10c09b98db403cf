/* cpu_quota.h - how much processor time a control group leaves this process (Linux).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_CPU_QUOTA_H
#define TERN_BASE_CPU_QUOTA_H

/* Cores' worth of time, the least of all groups around the process; 0 when there is no limit or none can be read. `membership` is what
 * /proc/self/cgroup has, `mount` where control groups are mounted, /sys/fs/cgroup. Reads both versions of control groups. */
double tern__cpu_quota(const char *membership, const char *mount);

#endif
