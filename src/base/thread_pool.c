/* thread_pool.c - the pool on POSIX threads and C11 atomics.
 *
 * Waiting is the same everywhere: look at a counter for some microseconds, since the others are usually a moment away, then sleep on a
 * condition variable, so that an idle pool costs nothing and a machine with more threads than cores does not spend its time on looking.
 * A pool larger than the cores it may use does not look at all.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/thread_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/cpu_quota.h"
#include "base/memory.h"

/* Looks at a counter before sleeping; one takes 20 ns or so. Between regions, where the next is often a moment away, and inside one,
 * where a long wait means that the other thread is not running and may need this very core. */
#define SPINS_OUTSIDE 4000
#define SPINS_INSIDE  1000

#define TASK_BITS 40 /* of a share's counter; the phase is in those above */

/* Where threads sleep. `sleepers` lets whoever changes what they wait for skip the lock when nobody sleeps. */
typedef struct bed {
    _Alignas(TERN_ALIGNMENT) atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t woken;
} bed;

/* Tasks taken of one thread's share: phase << TASK_BITS | count. */
typedef struct task_share {
    _Alignas(TERN_ALIGNMENT) atomic_uint_least64_t taken;
} task_share;

typedef struct pool_worker {
    tern_thread_pool *pool;
    pthread_t id;
    int thread;
} pool_worker;

struct tern_thread_pool {
    _Alignas(TERN_ALIGNMENT) atomic_size_t n_started;  /* regions, and one more to end */
    _Alignas(TERN_ALIGNMENT) atomic_size_t n_passed;   /* barriers */
    _Alignas(TERN_ALIGNMENT) atomic_size_t n_finished; /* tasks of the present region */
    _Alignas(TERN_ALIGNMENT) atomic_int n_arrived;     /* at the barrier */
    bed between, inside;
    int n_threads;
    int n_workers; /* that run */
    int spins_outside, spins_inside;
    bool is_ending; /* written before n_started is advanced, like the next two */
    void (*function)(void *argument, int thread);
    void *argument;
    pool_worker *workers; /* [n_threads - 1] */
    task_share *shares;   /* [n_threads] */
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* ---- Waiting ---- */

static bool bed_init(bed *b) {
    atomic_init(&b->sleepers, 0);
    if (pthread_mutex_init(&b->lock, NULL) != 0) return false;
    if (pthread_cond_init(&b->woken, NULL) == 0) return true;
    pthread_mutex_destroy(&b->lock);
    return false;
}

static void bed_destroy(bed *b) {
    pthread_cond_destroy(&b->woken);
    pthread_mutex_destroy(&b->lock);
}

/* Wait until the counter, which only grows, is at least `target`. */
static void wait_for(bed *b, atomic_size_t *counter, size_t target, int spins) {
    for (int i = 0; i <= spins; i++) {
        if (atomic_load_explicit(counter, memory_order_acquire) >= target) return;
        if (i < spins) relax();
    }
    pthread_mutex_lock(&b->lock);
    atomic_fetch_add(&b->sleepers, 1); /* sequentially consistent, as in advance: one of both sees the other */
    while (atomic_load(counter) < target) pthread_cond_wait(&b->woken, &b->lock);
    atomic_fetch_sub(&b->sleepers, 1);
    pthread_mutex_unlock(&b->lock);
}

/* Add to the counter; wake those who wait for what it is then, if somebody may. */
static size_t advance(bed *b, atomic_size_t *counter, size_t count, size_t target) {
    const size_t now = atomic_fetch_add(counter, count) + count;
    if (now < target || atomic_load(&b->sleepers) == 0) return now;
    pthread_mutex_lock(&b->lock);
    pthread_cond_broadcast(&b->woken);
    pthread_mutex_unlock(&b->lock);
    return now;
}

/* ---- The pool ---- */

static void *work(void *argument) {
    const pool_worker *self = argument;
    tern_thread_pool *pool = self->pool;
    for (size_t region = 1;; region++) {
        wait_for(&pool->between, &pool->n_started, region, pool->spins_outside);
        if (pool->is_ending) return NULL;
        pool->function(pool->argument, self->thread);
        tern__thread_pool_barrier(pool);
    }
}

/* Signals sent to the process are the host program's: they go to threads of its own. Faults of a thread stay with it. */
static void block_signals(sigset_t *before) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t signals;
    sigfillset(&signals);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&signals, faults[i]);
    pthread_sigmask(SIG_BLOCK, &signals, before);
}

static tern_status start_workers(tern_thread_pool *pool, tern_error *err) {
    tern_status status = TERN_OK;
    sigset_t before;
    block_signals(&before); /* a new thread has the mask of its maker */
    for (int w = 0; w < pool->n_threads - 1 && status == TERN_OK; w++) {
        pool->workers[w] = (pool_worker){.pool = pool, .thread = w + 1};
        const int error = pthread_create(&pool->workers[w].id, NULL, work, &pool->workers[w]);
        if (error == 0) pool->n_workers++;
        else status = TERN_FAIL(err, TERN_E_MEMORY, "thread %d of %d could not be started: %s", w + 2, pool->n_threads, strerror(error));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

tern_status tern__thread_pool_new(tern_thread_pool **out, int n_threads, tern_error *err) {
    *out = NULL;
    if (n_threads < 1) return TERN_FAIL(err, TERN_E_ARGUMENT, "a pool of %d threads", n_threads);
    tern_thread_pool *pool = tern__alloc_aligned(sizeof *pool);
    if (pool == NULL) return TERN_FAIL_MEMORY(err, sizeof *pool);
    memset(pool, 0, sizeof *pool); /* all counters 0 */
    const bool has_cores = n_threads <= tern__thread_count_default();
    pool->n_threads = n_threads;
    pool->spins_outside = has_cores ? SPINS_OUTSIDE : 0;
    pool->spins_inside = has_cores ? SPINS_INSIDE : 0;
    pool->workers = tern__alloc_zero((size_t)n_threads - 1, sizeof *pool->workers);
    pool->shares = tern__alloc_aligned((size_t)n_threads * sizeof *pool->shares);
    const bool has_between = bed_init(&pool->between), has_inside = bed_init(&pool->inside);
    tern_status status = TERN_OK;
    if (pool->workers == NULL || pool->shares == NULL || !has_between || !has_inside) {
        if (has_between) bed_destroy(&pool->between);
        if (has_inside) bed_destroy(&pool->inside);
        free(pool->workers);
        free(pool->shares);
        free(pool);
        return TERN_FAIL_MEMORY(err, (size_t)n_threads * (sizeof *pool->workers + sizeof *pool->shares));
    }
    status = start_workers(pool, err);
    if (status == TERN_OK) *out = pool;
    else tern__thread_pool_free(pool);
    return status;
}

void tern__thread_pool_free(tern_thread_pool *pool) {
    if (pool == NULL) return;
    pool->is_ending = true;
    advance(&pool->between, &pool->n_started, 1, 0);
    for (int w = 0; w < pool->n_workers; w++) pthread_join(pool->workers[w].id, NULL);
    bed_destroy(&pool->between);
    bed_destroy(&pool->inside);
    free(pool->workers);
    free(pool->shares);
    free(pool);
}

int tern__thread_pool_size(const tern_thread_pool *pool) { return pool->n_threads; }

void tern__thread_pool_run(tern_thread_pool *pool, void (*function)(void *argument, int thread), void *argument) {
    atomic_store_explicit(&pool->n_finished, 0, memory_order_relaxed);
    for (int t = 0; t < pool->n_threads; t++) atomic_init(&pool->shares[t].taken, 0);
    if (pool->n_threads == 1) {
        function(argument, 0);
        return;
    }
    pool->function = function;
    pool->argument = argument;
    advance(&pool->between, &pool->n_started, 1, 0);
    function(argument, 0);
    tern__thread_pool_barrier(pool);
}

void tern__thread_pool_barrier(tern_thread_pool *pool) {
    if (pool->n_threads == 1) return;
    const size_t n_passed = atomic_load_explicit(&pool->n_passed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->n_arrived, 1, memory_order_acq_rel) + 1 < pool->n_threads) {
        wait_for(&pool->inside, &pool->n_passed, n_passed + 1, pool->spins_inside);
        return;
    }
    atomic_store_explicit(&pool->n_arrived, 0, memory_order_relaxed); /* nobody arrives again before the others may pass */
    advance(&pool->inside, &pool->n_passed, 1, 0);
}

/* ---- Tasks ---- */

tern_tasks tern__tasks_begin(tern_thread_pool *pool, int thread) {
    return (tern_tasks){.pool = pool, .thread = (size_t)thread, .n_threads = (size_t)pool->n_threads};
}

void tern__tasks_start(tern_tasks *tasks, size_t n_tasks) {
    tasks->phase++;
    tasks->n_tasks = n_tasks;
    tasks->n_finished += n_tasks;
    tasks->n_done = tasks->n_helped = 0;
}

/* The next number of a share, from 0; SIZE_MAX when the share has moved on to a later phase, all tasks of this one being done. */
static size_t take_of_share(task_share *share, size_t phase) {
    const uint64_t mine = (uint64_t)phase << TASK_BITS;
    uint64_t taken = atomic_load_explicit(&share->taken, memory_order_relaxed), after;
    do {
        if (taken >> TASK_BITS > phase) return SIZE_MAX;
        after = (taken < mine ? mine : taken) + 1;
    } while (!atomic_compare_exchange_weak_explicit(&share->taken, &taken, after, memory_order_relaxed, memory_order_relaxed));
    return (size_t)(after - 1 - mine);
}

bool tern__tasks_take(tern_tasks *tasks, size_t *task) {
    const size_t n = tasks->n_tasks, n_threads = tasks->n_threads;
    for (; tasks->n_helped < n_threads; tasks->n_helped++) {
        const size_t owner = (tasks->thread + tasks->n_helped) % n_threads;
        const size_t first = n / n_threads * owner + n % n_threads * owner / n_threads;
        const size_t end = n / n_threads * (owner + 1) + n % n_threads * (owner + 1) / n_threads;
        if (first == end) continue;
        const size_t number = take_of_share(&tasks->pool->shares[owner], tasks->phase);
        if (number >= end - first) continue;
        *task = first + number;
        tasks->n_done++;
        return true;
    }
    return false;
}

void tern__tasks_wait(tern_tasks *tasks) {
    tern_thread_pool *pool = tasks->pool;
    if (tasks->n_done > 0) advance(&pool->inside, &pool->n_finished, tasks->n_done, tasks->n_finished);
    wait_for(&pool->inside, &pool->n_finished, tasks->n_finished, pool->spins_inside);
}

/* ---- How many ---- */

static int affinity_count(void) {
#if defined(__linux__)
    cpu_set_t sets[16]; /* of 1,024 processors each: the kernel refuses a mask shorter than its own, which has 8,192 at most */
    const int count = sched_getaffinity(0, sizeof sets, sets) == 0 ? CPU_COUNT_S(sizeof sets, sets) : 0;
    if (count > 0) return count;
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int tern__thread_count_default(void) {
    const int count = affinity_count();
    const double quota = tern__cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota <= 0 || quota >= count) return count;
    return quota < 2 ? 1 : (int)quota; /* whole cores only: a thread that is throttled stalls all others at the next barrier */
}
