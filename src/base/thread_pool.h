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

/* Numbered tasks in phases, inside the function: what a barrier is for, but waiting for work to be done instead of for threads to come,
 * so that a thread that the system holds up delays the others only while it has a task. Every thread goes through all phases in the same
 * order with the same numbers of tasks:
 *
 *     tern_tasks tasks = tern__tasks_begin(pool, thread);
 *     for (each phase) {
 *         tern__tasks_start(&tasks, n_tasks);
 *         for (size_t task; tern__tasks_take(&tasks, &task);) ...
 *         tern__tasks_wait(&tasks);      all tasks of the phase are done, and what they wrote is visible
 *     }
 *
 * A thread takes the tasks of its own share, n_tasks / n_threads that follow each other, then helps with the others'. */
typedef struct tern_tasks {
    tern_thread_pool *pool;
    size_t thread, n_threads;
    size_t n_tasks, n_done, n_helped; /* of this phase: all; done by this thread; shares looked at so far */
    size_t phase, n_finished;         /* this phase's number, from 1; tasks of all phases up to this one */
} tern_tasks;

tern_tasks tern__tasks_begin(tern_thread_pool *pool, int thread);
void tern__tasks_start(tern_tasks *tasks, size_t n_tasks); /* less than 2^40 */
bool tern__tasks_take(tern_tasks *tasks, size_t *task);
void tern__tasks_wait(tern_tasks *tasks);

#endif
