/* thread_pool.h - a few threads that enter one function together, meet at barriers inside it, and share out numbered tasks.
 * One parallel region runs a whole program, so threads wake once per run, not once per op.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_THREAD_POOL_H
#define TERN_BASE_THREAD_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct tern_thread_pool tern_thread_pool;

/* Cores that this process may use: its affinity mask and, in a container, its CPU quota. At least 1. */
int tern__thread_count_default(void);

/* n_threads >= 1 counts the calling thread: n_threads - 1 are started. */
tern_status tern__thread_pool_new(tern_thread_pool **out, int n_threads, tern_error *err);
void tern__thread_pool_free(tern_thread_pool *pool);
int tern__thread_pool_size(const tern_thread_pool *pool);

/* Run function(argument, thread) on every thread, thread 0 being the caller; returns when all have returned. One caller at a time. */
void tern__thread_pool_run(tern_thread_pool *pool, void (*function)(void *argument, int thread), void *argument);

/* Inside the function, by every thread: wait for all. What was written before is visible after. */
void tern__thread_pool_barrier(tern_thread_pool *pool);

#endif
