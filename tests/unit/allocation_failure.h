/* allocation_failure.h - every allocation of a call fails in turn, and each time the call says so and leaks nothing: for programs that
 * list scenarios, end set_up with test_folder_setup's folder in `folder`, and call run_scenarios.
 *
 * Such a program has its own malloc: it counts the blocks that are out, and refuses the n-th request while a scenario runs. A scenario is
 * run with n = 1, 2, 3 ... until it makes fewer requests than that. Memory, file descriptors, mappings and files must then be as before.
 * What jansson and the C library allocate is refused too. Linux with glibc; not built with sanitizers, which have a malloc of their own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_ALLOCATION_FAILURE_H
#define TERN_TESTS_ALLOCATION_FAILURE_H

#include "temporary_folder.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>

/* ---- An allocator that can fail ---- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *block);

static atomic_bool is_counting;
static atomic_size_t n_requests, refused_request;
static atomic_ptrdiff_t n_blocks;

static bool is_refused(void) {
    if (!atomic_load(&is_counting) || atomic_fetch_add(&n_requests, 1) + 1 != atomic_load(&refused_request)) return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    if (block) atomic_fetch_add(&n_blocks, 1);
    return block;
}

#pragma GCC visibility push(default) /* so that shared libraries, the C library too, call these */

void *malloc(size_t bytes) { return is_refused() ? NULL : counted(__libc_malloc(bytes)); }

void *calloc(size_t count, size_t bytes) { return is_refused() ? NULL : counted(__libc_calloc(count, bytes)); }

void *realloc(void *block, size_t bytes) {
    if (is_refused()) return NULL;
    void *moved = __libc_realloc(block, bytes);
    if (!block) return counted(moved);
    if (!moved && bytes == 0) atomic_fetch_sub(&n_blocks, 1);
    return moved;
}

void *memalign(size_t alignment, size_t bytes) { return is_refused() ? NULL : counted(__libc_memalign(alignment, bytes)); }

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    *block = memalign(alignment, bytes);
    return *block ? 0 : ENOMEM;
}

void free(void *block) {
    if (block) atomic_fetch_sub(&n_blocks, 1);
    __libc_free(block);
}

#pragma GCC visibility pop

/* ---- Scenarios: do something, undo it, return the first status that is not TERN_OK. `wrong` is set when a success is none ---- */

static const test_folder *folder;
static const char *wrong;

static test_path in_folder(const char *name) { return test_path_of(folder, name); }

static void write_text(const char *name, const char *text) { test_file_write(folder, name, text, strlen(text)); }

typedef struct scenario {
    const char *name;
    tern_status (*run)(tern_error *err);
} scenario;

/* What a scenario must leave as it was. */
typedef struct resources {
    ptrdiff_t n_blocks;
    size_t n_descriptors;
    size_t n_mappings; /* of files in the test's folder */
    size_t n_files;
} resources;

static size_t n_found;

static int count_entry(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)path, (void)facts, (void)kind, (void)place;
    n_found++;
    return 0;
}

static resources resources_now(void) {
    static char maps[1 << 20];
    resources now = {0};
    DIR *descriptors = opendir("/proc/self/fd");
    FILE *stream = fopen("/proc/self/maps", "r");
    assert_non_null(descriptors);
    assert_non_null(stream);
    while (readdir(descriptors)) now.n_descriptors++;
    maps[fread(maps, 1, sizeof maps - 1, stream)] = '\0';
    for (const char *at = maps; (at = strstr(at, folder->path)); at++) now.n_mappings++;
    fclose(stream);
    closedir(descriptors);
    n_found = 0;
    assert_int_equal(nftw(folder->path, count_entry, 8, FTW_PHYS), 0);
    now.n_files = n_found;
    now.n_blocks = atomic_load(&n_blocks);
    return now;
}

/* Run with the n-th request refused; true when there was an n-th. */
static bool run_refusing(const scenario *it, size_t n) {
    static tern_error err;
    const resources before = resources_now();
    err = (tern_error){.code = TERN_OK};
    wrong = NULL;
    atomic_store(&n_requests, 0);
    atomic_store(&refused_request, n);
    atomic_store(&is_counting, true);
    const tern_status status = it->run(&err);
    atomic_store(&is_counting, false);
    const size_t n_requested = atomic_load(&n_requests);
    const resources after = resources_now();

    const bool is_hit = n_requested >= n;
    if (wrong) fail_msg("%s: request %zu refused: %s", it->name, n, wrong);
    if (is_hit && (status != TERN_E_MEMORY || err.code != status || err.message[0] == '\0'))
        fail_msg("%s: request %zu refused, but the result is %s \"%s\"", it->name, n, tern_status_name(status), err.message);
    if (!is_hit && status != TERN_OK) fail_msg("%s: %s: %s", it->name, tern_status_name(status), err.message);
    if (after.n_blocks != before.n_blocks)
        fail_msg("%s: request %zu refused: %td blocks leaked", it->name, n, after.n_blocks - before.n_blocks);
    if (after.n_descriptors != before.n_descriptors) fail_msg("%s: request %zu refused: a file is left open", it->name, n);
    if (after.n_mappings != before.n_mappings) fail_msg("%s: request %zu refused: a file is left mapped", it->name, n);
    if (after.n_files != before.n_files) fail_msg("%s: request %zu refused: a file is left in the folder", it->name, n);
    return is_hit;
}

static void test_scenario(void **state) {
    const scenario *it = *state;
    tern_error err;
    /* what is made once and kept: the result's file, buffers of the C library, stacks of ended threads */
    for (int i = 0; i < 2; i++)
        if (it->run(&err) != TERN_OK) fail_msg("%s: %s", it->name, err.message);
    size_t n = 1;
    while (run_refusing(it, n)) n++;
    print_message("%s: each of %zu allocations refused\n", it->name, n - 1);
    assert_true(n > 1);
}

static int tear_down(void **state) {
    (void)state;
    void *made = (void *)(uintptr_t)folder;
    return test_folder_teardown(&made);
}

/* One test for each scenario. The state of the group stays empty, so that each test gets its own, the scenario. */
static int run_scenarios(const char *name, const scenario *scenarios, size_t n, int (*set_up)(void **state)) {
    struct CMUnitTest tests[64];
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++)
        tests[i] =
            (struct CMUnitTest){.name = scenarios[i].name, .test_func = test_scenario, .initial_state = (void *)(uintptr_t)&scenarios[i]};
    return _cmocka_run_group_tests(name, tests, n, set_up, tear_down);
}

#endif
