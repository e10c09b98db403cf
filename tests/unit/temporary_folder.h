/* temporary_folder.h - what the unit tests of files share: a folder of their own, files in it, and checks of messages.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_TEMPORARY_FOLDER_H
#define TERN_TESTS_TEMPORARY_FOLDER_H

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tern.h"

/* The folder of one test, without a final slash; made by setup, removed with all that is in it by teardown. */
typedef struct test_folder {
    char path[64];
} test_folder;

static inline int test_folder_setup(void **state) {
    test_folder *folder = malloc(sizeof *folder);
    if (!folder) return -1;
    snprintf(folder->path, sizeof folder->path, "/tmp/tern-test-XXXXXX");
    if (!mkdtemp(folder->path)) return -1;
    if (chmod(folder->path, 0755) != 0) return -1;
    *state = folder;
    return 0;
}

static inline int test_remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts, (void)kind, (void)place;
    return remove(path);
}

static inline int test_folder_teardown(void **state) {
    test_folder *folder = *state;
    nftw(folder->path, test_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return 0;
}

typedef struct test_path {
    char text[512];
} test_path;

/* test_path_of(folder, "name").text lives to the end of the full expression. */
static inline test_path test_path_of(const test_folder *folder, const char *name) {
    test_path path;
    snprintf(path.text, sizeof path.text, "%s/%s", folder->path, name);
    return path;
}

static inline test_path test_file_write(const test_folder *folder, const char *name, const void *bytes, size_t n_bytes) {
    test_path path = test_path_of(folder, name);
    FILE *stream = fopen(path.text, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, n_bytes, stream), n_bytes);
    assert_int_equal(fclose(stream), 0);
    return path;
}

/* A device that is always full: one of the folder's own where that can be made, so that a fault under test run by root cannot harm
 * /dev/full; else that. */
static inline test_path test_full_device(const test_folder *folder) {
    test_path path = test_path_of(folder, "full");
    struct stat facts;
    if (stat("/dev/full", &facts) != 0) fail_msg("there is no /dev/full");
    if (mknod(path.text, S_IFCHR | 0666, facts.st_rdev) == 0 && access(path.text, W_OK) == 0) {
        FILE *stream = fopen(path.text, "wb"); /* refused where the folder's file system takes no devices */
        if (stream) {
            fclose(stream);
            return path;
        }
    }
    unlink(path.text);
    snprintf(path.text, sizeof path.text, "/dev/full");
    return path;
}

static inline size_t test_folder_entries(const test_folder *folder) {
    size_t n = 0;
    DIR *stream = opendir(folder->path);
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) n += entry->d_name[0] != '.';
    closedir(stream);
    return n;
}

/* The call failed with this code and its message says this. */
static inline void check_failed(tern_status status, tern_status code, const tern_error *err, const char *part) {
    if (status == code && err->code == code && strstr(err->message, part)) return;
    fail_msg("expected %s \"...%s...\", got %s \"%s\"", tern_status_name(code), part, tern_status_name(status),
             status == TERN_OK ? "" : err->message);
}

#endif
