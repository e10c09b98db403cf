/* fibers.cpp - the threads of one block, in turns on the host. A fiber runs until a barrier or an exchange of its warp makes it wait for
 * others. A round in which none gets further is a kernel whose threads do not meet, and ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#include "device/cuda/launch.cuh"

uint3 host_thread, host_block;
dim3 host_block_size;
void *host_shared;

namespace {

constexpr size_t STACK_BYTES = 128 << 10;
constexpr unsigned LANES = 32, MAX_THREADS = 1024;

struct meeting { /* of a warp, or of the block */
    unsigned present, arrived, round;
};

struct fiber {
    ucontext_t start;
    void *at[5]; /* where it gave way: __builtin_setjmp's, which asks nothing of the system */
    unsigned char *stack;
    bool is_started, is_done;
};

fiber fibers[MAX_THREADS];
meeting block_meeting, warp_meetings[MAX_THREADS / LANES];
unsigned char exchanged[2][MAX_THREADS][HOST_EXCHANGE_BYTES];
const std::function<void()> *running;
void *scheduler[5];
unsigned current;
bool got_further;

__attribute__((noipa)) void to_scheduler() { __builtin_longjmp(scheduler, 1); }
__attribute__((noipa)) void to_fiber(unsigned n) { __builtin_longjmp(fibers[n].at, 1); }

__attribute__((noipa)) void give_way() {
    if (__builtin_setjmp(fibers[current].at) == 0) to_scheduler();
}

void release(meeting *m) {
    if (m->arrived < m->present || m->present == 0) return;
    m->arrived = 0;
    m->round++;
    got_further = true;
}

void meet(meeting *m) {
    const unsigned round = m->round;
    m->arrived++;
    release(m);
    while (m->round == round) give_way();
}

/* A fiber that ends is waited for no more. */
void leave(meeting *m) {
    m->present--;
    release(m);
}

void run_fiber() {
    for (;;) {
        (*running)();
        fibers[current].is_done = got_further = true;
        leave(&warp_meetings[current / LANES]);
        leave(&block_meeting);
        give_way();
    }
}

void begin_fiber(unsigned n) {
    fiber *f = &fibers[n];
    f->is_started = true;
    f->stack = (unsigned char *)malloc(STACK_BYTES);
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = f->stack;
    f->start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->start, run_fiber, 0);
    setcontext(&f->start);
}

__attribute__((noipa)) void resume(unsigned n) {
    current = n;
    host_thread.x = n % host_block_size.x, host_thread.y = n / host_block_size.x;
    if (__builtin_setjmp(scheduler) != 0) return;
    if (fibers[n].is_started) to_fiber(n);
    begin_fiber(n);
}

void run_block(unsigned n_threads) {
    block_meeting = {n_threads, 0, 0};
    for (unsigned w = 0; w * LANES < n_threads; w++)
        warp_meetings[w] = {n_threads - w * LANES < LANES ? n_threads - w * LANES : LANES, 0, 0};
    for (unsigned n = 0; n < n_threads; n++) fibers[n].is_done = false;
    for (unsigned n_left = n_threads; n_left > 0;) {
        got_further = false;
        n_left = 0;
        for (unsigned n = 0; n < n_threads; n++) {
            if (!fibers[n].is_done) resume(n);
            n_left += !fibers[n].is_done;
        }
        if (got_further || n_left == 0) continue;
        fprintf(stderr, "cuda_host: %u threads of a block wait for each other\n", n_left);
        abort();
    }
}

} // namespace

void host_sync_block() { meet(&block_meeting); }

/* Two places in turn: nobody comes to the next but one before all have read this one. */
const unsigned char *host_exchange(const void *value, size_t bytes) {
    meeting *warp = &warp_meetings[current / LANES];
    const unsigned place = warp->round % 2;
    memcpy(exchanged[place][current], value, bytes);
    meet(warp);
    return exchanged[place][current / LANES * LANES];
}

void host_run_grid(dim3 grid, dim3 block, size_t shared, const std::function<void()> &kernel) {
    std::vector<float4> memory(shared / sizeof(float4) + 1);
    host_shared = memory.data();
    host_block_size = block;
    running = &kernel;
    for (host_block.y = 0; host_block.y < grid.y; host_block.y++)
        for (host_block.x = 0; host_block.x < grid.x; host_block.x++) run_block(block.x * block.y);
}
