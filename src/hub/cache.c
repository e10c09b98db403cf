/* cache.c - paths, refs, links and locks of Hugging Face's cache.
 * source: huggingface_hub 2.4's file_download.py and _tree_cache.py; filelock's _unix.py
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

static tern_status fail_cache(tern_error *err, const char *path, const char *what, int code) {
    if (code == ENOMEM) return TERN_FAIL(err, TERN_E_MEMORY, "%s: cannot be %s: out of memory", path, what);
    return TERN_FAIL(err, TERN_E_IO, "%s: cannot be %s: %s", path, what, strerror(code));
}

tern_status tern__hub_cache_open(tern_hub_cache *out, const char *cache_folder, const char *repo_id, tern_error *err) {
    *out = (tern_hub_cache){0};
    const char *slash = strchr(repo_id, '/'), *dashes = slash ? "--" : "", *name = slash ? slash + 1 : repo_id;
    int n_org = slash ? (int)(slash - repo_id) : 0;
    size_t n_folder = strlen(cache_folder);
    while (n_folder > 0 && cache_folder[n_folder - 1] == '/') n_folder--;
    char *folder = tern__arena_copy(&out->arena, cache_folder, n_folder);
    out->repository = tern__arena_format(&out->arena, "%s/models--%.*s%s%s", folder ? folder : "", n_org, repo_id, dashes, name);
    out->locks = tern__arena_format(&out->arena, "%s/.locks/models--%.*s%s%s", folder ? folder : "", n_org, repo_id, dashes, name);
    if (folder && out->repository && out->locks) return TERN_OK;
    tern__hub_cache_close(out);
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
}

void tern__hub_cache_close(tern_hub_cache *cache) {
    tern__arena_free(&cache->arena);
    *cache = (tern_hub_cache){0};
}

const char *tern__hub_cache_path(tern_hub_cache *cache, const char *folder, const char *part_1, const char *part_2, const char *name) {
    return tern__arena_format(&cache->arena, "%s/%s%s%s%s%s", folder, part_1, *part_1 ? "/" : "", part_2, *part_2 ? "/" : "", name);
}

tern_status tern__hub_cache_find_commit(char commit[TERN_HUB_COMMIT_DIGITS + 1], bool *is_known, tern_hub_cache *cache,
                                        const char *revision, tern_error *err) {
    *is_known = tern__hub_is_commit(revision);
    if (*is_known) memcpy(commit, revision, TERN_HUB_COMMIT_DIGITS + 1);
    if (*is_known) return TERN_OK;
    const char *path = tern__hub_cache_path(cache, cache->repository, "refs", "", revision);
    if (!path) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
    struct stat facts;
    if (stat(path, &facts) != 0 && (errno == ENOENT || errno == ENOTDIR)) return TERN_OK;
    char *text;
    size_t n;
    TERN_TRY(tern__file_read(&text, &n, path, 4096, err));
    while (n > 0 && strchr(" \r\n", text[n - 1])) text[--n] = '\0';
    *is_known = strlen(text) == n && tern__hub_is_commit(text);
    if (*is_known) memcpy(commit, text, TERN_HUB_COMMIT_DIGITS + 1);
    free(text);
    return TERN_OK;
}

tern_status tern__hub_cache_read_tree(tern_hub_listing *out, bool *is_known, tern_hub_cache *cache, const char *commit, tern_error *err) {
    *out = (tern_hub_listing){0};
    *is_known = false;
    char *file = tern__arena_format(&cache->arena, "%s/trees/%s.json", cache->repository, commit);
    if (!file) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
    if (!tern__file_exists(file)) return TERN_OK;
    char *bytes;
    size_t n;
    tern_status status = tern__file_read(&bytes, &n, file, TERN_HUB_LISTING_MAX_BYTES, err);
    if (status == TERN_OK) {
        status = tern__hub_listing_parse_tree(out, bytes, n, file, err);
        free(bytes);
    }
    *is_known = status == TERN_OK;
    return status == TERN_E_MEMORY ? status : TERN_OK; /* one that cannot be read, or of a later format, is as good as none */
}

/* ---- Writing ---- */

/* "../../blobs/<etag>", with one more "../" for each folder of the path: relative, so that the cache may be moved. */
static char *link_target(tern_hub_cache *cache, const char *path, const char *etag) {
    size_t n_up = 2;
    for (const char *c = path; *c; c++) n_up += *c == '/';
    char *target = tern__arena_format(&cache->arena, "%*sblobs/%s", (int)(3 * n_up), "", etag);
    for (size_t i = 0; target && i < n_up; i++) memcpy(target + 3 * i, "../", 3);
    return target;
}

tern_status tern__hub_cache_link(tern_hub_cache *cache, const char *commit, const char *path, const char *etag, tern_error *err) {
    const char *link = tern__hub_cache_path(cache, cache->repository, "snapshots", commit, path), *target = link_target(cache, path, etag);
    if (!link || !target) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
    TERN_TRY(tern__file_make_folders(link, err));
    if (symlink(target, link) == 0) return TERN_OK;
    struct stat facts;
    if (errno == EEXIST && stat(link, &facts) == 0 && S_ISREG(facts.st_mode)) return TERN_OK; /* another process was here */
    unlink(link);
    return symlink(target, link) == 0 ? TERN_OK : fail_cache(err, link, "linked", errno);
}

tern_status tern__hub_cache_write_ref(tern_hub_cache *cache, const char *revision, const char *commit, tern_error *err) {
    char there[TERN_HUB_COMMIT_DIGITS + 1];
    bool is_known;
    TERN_TRY(tern__hub_cache_find_commit(there, &is_known, cache, revision, err));
    if (is_known && strcmp(there, commit) == 0) return TERN_OK;
    const char *path = tern__hub_cache_path(cache, cache->repository, "refs", "", revision);
    if (!path) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
    TERN_TRY(tern__file_make_folders(path, err));
    tern_writer writer;
    TERN_TRY(tern__writer_open(&writer, path, err));
    tern_status status = tern__writer_write(&writer, commit, TERN_HUB_COMMIT_DIGITS, err);
    if (status == TERN_OK) return tern__writer_commit(&writer, err);
    tern__writer_discard(&writer);
    return status;
}

tern_status tern__hub_cache_mark_absent(tern_hub_cache *cache, const char *commit, const char *path, tern_error *err) {
    const char *mark = tern__hub_cache_path(cache, cache->repository, ".no_exist", commit, path);
    if (!mark) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the paths of the cache");
    TERN_TRY(tern__file_make_folders(mark, err));
    int descriptor = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return fail_cache(err, mark, "written", errno);
    close(descriptor);
    return TERN_OK;
}

/* ---- Locks ---- */

tern_status tern__hub_lock(int *descriptor, const char *path, tern_error *err) {
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0664);
    if (*descriptor < 0) return fail_cache(err, path, "opened", errno);
    if (flock(*descriptor, LOCK_EX | LOCK_NB) == 0) return TERN_OK;
    int code = errno;
    /* Without locks two processes may write the same bytes to the same places; the checksum still guards the blob. */
    if (code == ENOSYS || code == ENOLCK || code == EOPNOTSUPP) return TERN_OK;
    close(*descriptor);
    *descriptor = -1;
    if (code == EWOULDBLOCK || code == EACCES || code == EINTR) return TERN_OK;
    return fail_cache(err, path, "locked", code);
}
