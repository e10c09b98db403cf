/* unit_thread_pool.c - the thread pool: all threads enter, barriers hold, tasks are done once and in phases, more threads than cores
 * still move; and how many threads there are by default. Also run under ThreadSanitizer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <cmocka.h>

#include "base/cpu_quota.h"
#include "base/thread_pool.h"
#include "temporary_folder.h"

static tern_thread_pool *new_pool(int n_threads) {
    tern_thread_pool *pool;
    tern_error err;
    if (tern__thread_pool_new(&pool, n_threads, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(tern__thread_pool_size(pool), n_threads);
    return pool;
}

enum { MAX_THREADS = 16, ROUNDS = 200 };

typedef struct rounds {
    tern_thread_pool *pool;
    int n_threads;
    int written[2][MAX_THREADS]; /* plain memory: only the barrier makes it visible */
    atomic_int n_wrong;
} rounds;

/* In each round every thread writes its place and, after the barrier, reads those of all others. */
static void write_and_read(void *argument, int thread) {
    rounds *r = argument;
    for (int round = 1; round <= ROUNDS; round++) {
        int *now = r->written[round % 2];
        now[thread] = round * 100 + thread;
        tern__thread_pool_barrier(r->pool);
        for (int t = 0; t < r->n_threads; t++)
            if (now[t] != round * 100 + t) atomic_fetch_add(&r->n_wrong, 1);
    }
}

static void test_barrier(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 7, MAX_THREADS};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rounds r = {.pool = new_pool(sizes[i]), .n_threads = sizes[i]};
        for (int run = 0; run < 3; run++) tern__thread_pool_run(r.pool, write_and_read, &r);
        assert_int_equal(atomic_load(&r.n_wrong), 0);
        tern__thread_pool_free(r.pool);
    }
}

enum { N_PHASES = 300, MAX_TASKS = 1000 };

typedef struct phases {
    tern_thread_pool *pool;
    int done[2][MAX_TASKS]; /* plain memory: phase that last did the task */
    atomic_int n_wrong, n_taken;
} phases;

static size_t tasks_of(size_t phase) { return phase % 7 == 3 ? 0 : phase % 5 == 1 ? 1 : phase * 37 % MAX_TASKS; }

/* Each phase reads what all tasks of the phase before wrote, which for the others is visible only by the waiting. */
static void work_off(void *argument, int thread) {
    phases *p = argument;
    tern_tasks tasks = tern__tasks_begin(p->pool, thread);
    for (size_t phase = 1; phase <= N_PHASES; phase++) {
        int *now = p->done[phase % 2], *before = p->done[1 - phase % 2];
        tern__tasks_start(&tasks, tasks_of(phase));
        for (size_t task; tern__tasks_take(&tasks, &task);) {
            if (task >= tasks_of(phase) || now[task] == (int)phase) atomic_fetch_add(&p->n_wrong, 1);
            const size_t other = task * 31 % MAX_TASKS;
            if (other < tasks_of(phase - 1) && before[other] != (int)phase - 1) atomic_fetch_add(&p->n_wrong, 1);
            now[task] = (int)phase;
            atomic_fetch_add(&p->n_taken, 1);
        }
        tern__tasks_wait(&tasks);
    }
}

static void test_tasks(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, MAX_THREADS};
    int n_tasks = 0;
    for (size_t phase = 1; phase <= N_PHASES; phase++) n_tasks += (int)tasks_of(phase);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        static phases p;
        memset(&p, 0, sizeof p);
        p.pool = new_pool(sizes[i]);
        for (int run = 1; run <= 3; run++) {
            memset(p.done, 0, sizeof p.done);
            tern__thread_pool_run(p.pool, work_off, &p);
            assert_int_equal(atomic_load(&p.n_wrong), 0);
            assert_int_equal(atomic_load(&p.n_taken), run * n_tasks);
        }
        tern__thread_pool_free(p.pool);
    }
}

typedef struct entries {
    int n_entered[MAX_THREADS];
} entries;

static void enter(void *argument, int thread) { ((entries *)argument)->n_entered[thread]++; }

/* Every run enters on each thread once and has returned from all when it returns; sleeping in between makes the threads sleep too. */
static void test_runs(void **state) {
    (void)state;
    tern_thread_pool *pool = new_pool(4);
    entries e = {{0}};
    for (int run = 1; run <= 500; run++) {
        if (run % 100 == 0) usleep(2000);
        tern__thread_pool_run(pool, enter, &e);
        for (int t = 0; t < 4; t++) assert_int_equal(e.n_entered[t], run);
    }
    assert_int_equal(e.n_entered[4], 0);
    tern__thread_pool_free(pool);
}

static void test_new_and_free(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) tern__thread_pool_free(new_pool(1 + i % 5));
    tern__thread_pool_free(NULL);
    tern_thread_pool *pool;
    tern_error err;
    assert_int_equal(tern__thread_pool_new(&pool, 0, &err), TERN_E_ARGUMENT);
    assert_null(pool);
}

static double seconds_now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* An idle pool must not use processor time: threads look for 0.1 ms or so, then sleep. */
static void test_idle_pool_sleeps(void **state) {
    (void)state;
    tern_thread_pool *pool = new_pool(4);
    entries e = {{0}};
    tern__thread_pool_run(pool, enter, &e);
    usleep(20000);
    const double before = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
    usleep(200000);
    const double used = seconds_now(CLOCK_PROCESS_CPUTIME_ID) - before;
    print_message("4 idle threads used %.2f ms of 200 ms\n", used * 1e3);
    assert_true(used < 0.02);
    tern__thread_pool_free(pool);
}

#if defined(__linux__)
/* Two threads on one core: 400 barriers must not take a scheduler's time slice each (that would be a second and more). */
static void test_more_threads_than_cores(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t c = 0; c < CPU_SETSIZE && CPU_COUNT(&one) == 0; c++)
        if (CPU_ISSET(c, &before)) CPU_SET(c, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(tern__thread_count_default(), 1);
    rounds r = {.pool = new_pool(2), .n_threads = 2};
    const double start = seconds_now(CLOCK_MONOTONIC), used_before = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
    for (int run = 0; run < 2; run++) tern__thread_pool_run(r.pool, write_and_read, &r);
    const double used = seconds_now(CLOCK_PROCESS_CPUTIME_ID) - used_before;
    print_message("2 threads on 1 core: %d barriers in %.1f ms, %.1f ms of them computing\n", 2 * ROUNDS + 2,
                  (seconds_now(CLOCK_MONOTONIC) - start) * 1e3, used * 1e3);
    assert_true(used < 0.2);
    assert_int_equal(atomic_load(&r.n_wrong), 0);
    tern__thread_pool_free(r.pool);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}
#endif

/* ---- Quotas ---- */

static double quota_of(const test_folder *folder, const char *membership) {
    test_file_write(folder, "membership", membership, strlen(membership));
    return tern__cpu_quota(test_path_of(folder, "membership").text, folder->path);
}

static void write_file(const test_folder *folder, const char *name, const char *text) { test_file_write(folder, name, text, strlen(text)); }

static void make_folder(const test_folder *folder, const char *name) { assert_int_equal(mkdir(test_path_of(folder, name).text, 0755), 0); }

static void assert_quota(double found, double expected) {
    if (found < expected || found > expected) fail_msg("a quota of %g, not %g", found, expected);
}

static void test_quota(void **state) {
    const test_folder *folder = *state;
    assert_quota(tern__cpu_quota("/nonexistent", folder->path), 0);
    assert_quota(quota_of(folder, "0::/\n"), 0); /* no cpu.max at all: the root group has none */
    make_folder(folder, "outer");
    make_folder(folder, "outer/inner");
    write_file(folder, "outer/inner/cpu.max", "max 100000\n");
    assert_quota(quota_of(folder, "0::/outer/inner\n"), 0);
    write_file(folder, "outer/cpu.max", "250000 100000\n"); /* a group around it counts too */
    assert_quota(quota_of(folder, "0::/outer/inner\n"), 2.5);
    write_file(folder, "outer/inner/cpu.max", "50000 100000\n");
    assert_quota(quota_of(folder, "0::/outer/inner\n"), 0.5);
    write_file(folder, "cpu.max", "300000 100000\n"); /* the path of a host that is not mounted here */
    assert_quota(quota_of(folder, "0::/host/only\n"), 3);
    make_folder(folder, "cpu");
    make_folder(folder, "cpu/group");
    write_file(folder, "cpu/group/cpu.cfs_quota_us", "-1\n");
    write_file(folder, "cpu/group/cpu.cfs_period_us", "100000\n");
    assert_quota(quota_of(folder, "5:cpuset:/group\n4:cpu,cpuacct:/group\n"), 0);
    write_file(folder, "cpu/group/cpu.cfs_quota_us", "150000\n");
    assert_quota(quota_of(folder, "5:cpuset:/group\n4:cpuacct,cpu:/group\n"), 1.5);
    assert_quota(quota_of(folder, "5:cpuset:/group\n4:cpuacct:/group\n"), 0);
    write_file(folder, "cpu/group/cpu.cfs_period_us", "0\n");
    assert_quota(quota_of(folder, "4:cpu:/group\n"), 0);
    assert_quota(quota_of(folder, "no colon\n:\n"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_new_and_free),
        cmocka_unit_test(test_idle_pool_sleeps),
#if defined(__linux__)
        cmocka_unit_test(test_more_threads_than_cores),
#endif
        cmocka_unit_test_setup_teardown(test_quota, test_folder_setup, test_folder_teardown),
    };
    return cmocka_run_group_tests_name("thread pool", tests, NULL, NULL);
}
