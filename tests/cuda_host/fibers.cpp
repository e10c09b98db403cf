/* fibers.cpp - the threads of a grid, in turns on the host. A fiber runs until a barrier or an exchange of its warp makes it wait for
 * others. A round in which none gets further is a kernel whose threads do not meet, and ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <ucontext.h>
#include <vector>

#include "device/cuda/launch.cuh"

uint3 host_thread, host_block;
dim3 host_block_size, host_grid_size;
void *host_shared;

namespace {

constexpr size_t STACK_BYTES = 128 << 10;
constexpr unsigned LANES = 32;

struct meeting { /* of a warp, or of a block */
    unsigned present, arrived, round;
};

struct warp {
    meeting together;
    unsigned char exchanged[2][LANES][HOST_EXCHANGE_BYTES];
};

struct block {
    uint3 index;
    meeting together;
    std::vector<warp> warps;
    std::vector<float4> shared;
};

struct fiber {
    ucontext_t start;
    void *at[5]; /* where it gave way: __builtin_setjmp's, which asks nothing of the system */
    std::unique_ptr<unsigned char[]> stack;
    bool is_started, is_done;
    block *of;
    unsigned thread;
};

std::vector<std::unique_ptr<fiber>> fibers; /* as many as there ever were at once, block by block */
const std::function<void()> *running;
void *scheduler[5];
fiber *current;
bool got_further; /* any of the block's, in this round */
size_t n_steps;   /* of all blocks, in this round of them */

void get_further() {
    got_further = true;
    n_steps++;
}

__attribute__((noipa)) void to_scheduler() { __builtin_longjmp(scheduler, 1); }
__attribute__((noipa)) void to_fiber(fiber *f) { __builtin_longjmp(f->at, 1); }

__attribute__((noipa)) void give_way() {
    if (__builtin_setjmp(current->at) == 0) to_scheduler();
}

warp *current_warp() { return &current->of->warps[current->thread / LANES]; }

void release(meeting *m) {
    if (m->arrived < m->present || m->present == 0) return;
    m->arrived = 0;
    m->round++;
    get_further();
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
        current->is_done = true;
        get_further();
        leave(&current_warp()->together);
        leave(&current->of->together);
        give_way();
    }
}

void begin_fiber(fiber *f) {
    f->is_started = true;
    f->stack.reset(new unsigned char[STACK_BYTES]);
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = f->stack.get();
    f->start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->start, run_fiber, 0);
    setcontext(&f->start);
}

__attribute__((noipa)) void resume(fiber *f) {
    current = f;
    host_thread.x = f->thread % host_block_size.x, host_thread.y = f->thread / host_block_size.x;
    host_block = f->of->index;
    host_shared = f->of->shared.data();
    if (__builtin_setjmp(scheduler) != 0) return;
    if (f->is_started) to_fiber(f);
    begin_fiber(f);
}

/* Gives the block's threads fibers, from `first` on. */
void begin_block(block *b, unsigned n_threads, size_t first) {
    b->together = {n_threads, 0, 0};
    for (unsigned w = 0; w * LANES < n_threads; w++)
        b->warps[w].together = {n_threads - w * LANES < LANES ? n_threads - w * LANES : LANES, 0, 0};
    while (fibers.size() < first + n_threads) fibers.emplace_back(new fiber());
    for (unsigned n = 0; n < n_threads; n++) {
        fiber *f = fibers[first + n].get();
        f->is_done = false;
        f->of = b;
        f->thread = n;
    }
}

/* Round after round of one block's fibers, until they wait for other blocks or are done; returns how many are not. */
size_t run_block(size_t first, size_t n_threads) {
    size_t n_left = n_threads;
    for (bool goes_on = true; goes_on;) {
        got_further = false;
        n_left = 0;
        for (size_t n = first; n < first + n_threads; n++) {
            if (!fibers[n]->is_done) resume(fibers[n].get());
            n_left += !fibers[n]->is_done;
        }
        goes_on = got_further && n_left > 0;
    }
    return n_left;
}

void run_blocks(size_t n_blocks, size_t n_threads) {
    for (size_t n_left = n_blocks * n_threads; n_left > 0;) {
        n_steps = n_left = 0;
        for (size_t b = 0; b < n_blocks; b++) n_left += run_block(b * n_threads, n_threads);
        if (n_steps > 0 || n_left == 0) continue;
        fprintf(stderr, "cuda_host: %zu threads wait for each other\n", n_left);
        abort();
    }
}

} // namespace

void host_give_way() { give_way(); }
void host_get_further() { get_further(); }
void host_sync_block() { meet(&current->of->together); }

/* Two places in turn: nobody comes to the next but one before all have read this one. */
const unsigned char *host_exchange(const void *value, size_t bytes) {
    warp *w = current_warp();
    const unsigned place = w->together.round % 2;
    memcpy(w->exchanged[place][current->thread % LANES], value, bytes);
    meet(&w->together);
    return w->exchanged[place][0];
}

void host_run_grid(dim3 grid, dim3 size, size_t shared, bool is_together, const std::function<void()> &kernel) {
    const unsigned n_threads = size.x * size.y, n_blocks = grid.x * grid.y;
    std::vector<block> blocks(is_together ? n_blocks : 1);
    host_block_size = size;
    host_grid_size = grid;
    running = &kernel;
    for (block &b : blocks) {
        b.warps.resize((n_threads + LANES - 1) / LANES);
        b.shared.resize(shared / sizeof(float4) + 1);
    }
    for (unsigned n = 0; n < n_blocks; n++) {
        block *b = &blocks[is_together ? n : 0];
        b->index.x = n % grid.x, b->index.y = n / grid.x;
        begin_block(b, n_threads, is_together ? (size_t)n * n_threads : 0);
        if (!is_together) run_blocks(1, n_threads);
    }
    if (is_together) run_blocks(n_blocks, n_threads);
}
