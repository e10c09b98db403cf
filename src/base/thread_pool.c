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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "base/cpu_quota.h"
#include "base/memory.h"

#define SPINS 4000 /* looks at a counter before sleeping: 50 to 100 microseconds */

/* A counter that threads wait for. `sleepers` lets whoever advances it skip the lock when nobody sleeps. */
typedef struct gate {
    _Alignas(TERN_ALIGNMENT) atomic_uint count;
    _Alignas(TERN_ALIGNMENT) atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t opened;
} gate;

typedef struct pool_worker {
    tern_thread_pool *pool;
    pthread_t id;
    int thread;
} pool_worker;

struct tern_thread_pool {
    gate start;   /* advanced once a region, and once to end */
    gate barrier; /* advanced when all have arrived */
    _Alignas(TERN_ALIGNMENT) atomic_int arrived;
    int n_threads;
    int n_started; /* workers that run */
    int spins;
    bool is_ending; /* written before start advances, like the next two */
    void (*function)(void *argument, int thread);
    void *argument;
    pool_worker *workers; /* [n_threads - 1] */
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* ---- Gates ---- */

static bool gate_init(gate *g) {
    atomic_init(&g->count, 0);
    atomic_init(&g->sleepers, 0);
    if (pthread_mutex_init(&g->lock, NULL) != 0) return false;
    if (pthread_cond_init(&g->opened, NULL) == 0) return true;
    pthread_mutex_destroy(&g->lock);
    return false;
}

static void gate_destroy(gate *g) {
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->lock);
}

/* Wait until the count is no longer `old`. */
static void gate_wait(gate *g, unsigned old, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&g->count, memory_order_acquire) != old) return;
        relax();
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->sleepers, 1); /* sequentially consistent, as in gate_advance: one of both sees the other */
    while (atomic_load(&g->count) == old) pthread_cond_wait(&g->opened, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

static void gate_advance(gate *g) {
    atomic_fetch_add(&g->count, 1);
    if (atomic_load(&g->sleepers) == 0) return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->opened);
    pthread_mutex_unlock(&g->lock);
}

/* ---- The pool ---- */

static void *work(void *argument) {
    const pool_worker *self = argument;
    tern_thread_pool *pool = self->pool;
    for (unsigned region = 0;; region++) {
        gate_wait(&pool->start, region, pool->spins);
        if (pool->is_ending) return NULL;
        pool->function(pool->argument, self->thread);
        tern__thread_pool_barrier(pool);
    }
}

tern_status tern__thread_pool_new(tern_thread_pool **out, int n_threads, tern_error *err) {
    *out = NULL;
    if (n_threads < 1) return TERN_FAIL(err, TERN_E_ARGUMENT, "a pool of %d threads", n_threads);
    tern_thread_pool *pool = tern__alloc_aligned(sizeof *pool);
    if (pool == NULL) return TERN_FAIL_MEMORY(err, sizeof *pool);
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->spins = n_threads <= tern__thread_count_default() ? SPINS : 0;
    pool->workers = tern__alloc_zero((size_t)n_threads - 1, sizeof *pool->workers);
    const bool has_start = gate_init(&pool->start), has_barrier = gate_init(&pool->barrier);
    if (pool->workers == NULL || !has_start || !has_barrier) {
        if (has_start) gate_destroy(&pool->start);
        if (has_barrier) gate_destroy(&pool->barrier);
        free(pool->workers);
        free(pool);
        return TERN_FAIL_MEMORY(err, (size_t)n_threads * sizeof *pool->workers);
    }
    atomic_init(&pool->arrived, 0);
    for (int w = 0; w < n_threads - 1; w++) {
        pool->workers[w] = (pool_worker){.pool = pool, .thread = w + 1};
        const int error = pthread_create(&pool->workers[w].id, NULL, work, &pool->workers[w]);
        if (error != 0) {
            tern__thread_pool_free(pool);
            return TERN_FAIL(err, TERN_E_MEMORY, "thread %d of %d could not be started: %s", w + 2, n_threads, strerror(error));
        }
        pool->n_started++;
    }
    *out = pool;
    return TERN_OK;
}

void tern__thread_pool_free(tern_thread_pool *pool) {
    if (pool == NULL) return;
    pool->is_ending = true;
    gate_advance(&pool->start);
    for (int w = 0; w < pool->n_started; w++) pthread_join(pool->workers[w].id, NULL);
    gate_destroy(&pool->start);
    gate_destroy(&pool->barrier);
    free(pool->workers);
    free(pool);
}

int tern__thread_pool_size(const tern_thread_pool *pool) { return pool->n_threads; }

void tern__thread_pool_run(tern_thread_pool *pool, void (*function)(void *argument, int thread), void *argument) {
    if (pool->n_threads == 1) {
        function(argument, 0);
        return;
    }
    pool->function = function;
    pool->argument = argument;
    gate_advance(&pool->start);
    function(argument, 0);
    tern__thread_pool_barrier(pool);
}

void tern__thread_pool_barrier(tern_thread_pool *pool) {
    if (pool->n_threads == 1) return;
    const unsigned passed = atomic_load_explicit(&pool->barrier.count, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 < pool->n_threads) {
        gate_wait(&pool->barrier, passed, pool->spins);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed); /* nobody arrives again before the gate opens */
    gate_advance(&pool->barrier);
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
