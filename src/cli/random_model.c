/* random_model.c - see random_model.h. A checkpoint is made in a folder beside its own and renamed when it is complete.
 * SPDX-License-Identifier: Apache-2.0 */
#include "random_model.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "cache_folder.h"
#include "output.h"
#include "tern.h"

enum { MAX_PATH = 4096 };

/* The cached folder, NULL when there is none. */
static char *find_cached(const char *name) {
    tern_hub_options options;
    tern_error err;
    char *found = NULL, *folder = NULL;
    if (tern_hub_options_from_environment(&options, &err) != TERN_OK) return NULL;
    if (tern_hub_find(&found, name, &options, &err) == TERN_OK) folder = strdup(found);
    tern_hub_options_free(&options);
    tern_free(found);
    return folder;
}

/* mkdir -p */
static bool make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        const bool ok = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!ok) return false;
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *where) {
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

static int make_checkpoint(const char *parent, const char *folder, const char *name) {
    char part[MAX_PATH + 32];
    snprintf(part, sizeof part, "%s/part-XXXXXX", parent);
    if (mkdtemp(part) == NULL) return tern__cli_fail("%s: no folder can be made in it: %s", parent, strerror(errno));
    fprintf(stderr, "tern: %s is not in the cache; it is measured with random weights, which are written to %s\n", name, folder);
    tern_error err;
    int code = TERN_CLI_DONE;
    if (tern_checkpoint_init(name, 0, part, &err) != TERN_OK) code = tern__cli_fail("%s", err.message);
    else if (rename(part, folder) != 0 && errno != EEXIST && errno != ENOTEMPTY) /* those: another process was first */
        code = tern__cli_fail("%s: cannot be renamed to %s: %s", part, folder, strerror(errno));
    nftw(part, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return code;
}

/* path: MAX_PATH bytes, where the checkpoint's goes. */
static int make_in(char *parent, char *path, const char *name) {
    const int length = snprintf(path, MAX_PATH, "%s/%s-random-0", parent, name);
    if (length < 0 || length >= MAX_PATH) return tern__cli_fail("%s: %s", parent, strerror(ENAMETOOLONG));
    if (!make_folders(parent)) return tern__cli_fail("%s: cannot be made: %s", parent, strerror(errno));
    struct stat facts;
    return stat(path, &facts) == 0 ? TERN_CLI_DONE : make_checkpoint(parent, path, name);
}

int tern__cli_known_model(char **folder, bool *is_random, const char *name) {
    *is_random = false;
    *folder = find_cached(name);
    if (*folder != NULL) return TERN_CLI_DONE;
    *is_random = true;
    char *parent = tern__cli_cache_folder(), path[MAX_PATH];
    if (parent == NULL) return tern__cli_fail("neither XDG_CACHE_HOME nor HOME says where a checkpoint of %s can be kept", name);
    const int code = make_in(parent, path, name);
    free(parent);
    if (code != TERN_CLI_DONE) return code;
    *folder = strdup(path);
    return *folder != NULL ? TERN_CLI_DONE : tern__cli_fail("out of memory");
}
