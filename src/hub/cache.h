/* cache.h - Hugging Face's cache on disk, as huggingface_hub's Python library lays it out and shares it:
 *
 *     <cache>/models--ORG--NAME/refs/<revision>              the commit's 40 digits
 *                               snapshots/<commit>/<path>    a relative link to ../../blobs/<etag>
 *                               blobs/<etag>, <etag>.incomplete
 *                               .no_exist/<commit>/<path>    empty: the commit has no such file
 *                               trees/<commit>.json          all files of the commit; read here, never written
 *     <cache>/.locks/models--ORG--NAME/<etag>.lock           flock(2) while the blob is being downloaded
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_CACHE_H
#define TERN_HUB_CACHE_H

#include "base/error.h"
#include "base/memory.h"
#include "hub/listing.h"

/* The paths of one repository. One thread at a time. */
typedef struct tern_hub_cache {
    const char *repository; /* <cache>/models--ORG--NAME */
    const char *locks;      /* <cache>/.locks/models--ORG--NAME */
    tern_arena arena;
} tern_hub_cache;

/* Computes names; touches nothing. repo_id has been checked. */
tern_status tern__hub_cache_open(tern_hub_cache *out, const char *cache_folder, const char *repo_id, tern_error *err);
void tern__hub_cache_close(tern_hub_cache *cache);

/* A path in the cache's arena: "<folder>/<part>/<part>/<name>", empty parts left out; NULL when memory is short. */
const char *tern__hub_cache_path(tern_hub_cache *cache, const char *folder, const char *part_1, const char *part_2, const char *name);

/* The commit of a revision: itself when it is one, else what refs/ says. *is_known is false when refs/ says nothing. */
tern_status tern__hub_cache_find_commit(char commit[TERN_HUB_COMMIT_DIGITS + 1], bool *is_known, tern_hub_cache *cache,
                                        const char *revision, tern_error *err);
/* The listing that huggingface_hub left; *is_known is false when there is none that can be read. */
tern_status tern__hub_cache_read_tree(tern_hub_listing *out, bool *is_known, tern_hub_cache *cache, const char *commit, tern_error *err);

/* Put the snapshot's link to a blob in place, over what was there if that leads nowhere. */
tern_status tern__hub_cache_link(tern_hub_cache *cache, const char *commit, const char *path, const char *etag, tern_error *err);
/* refs/<revision> says `commit`; nothing to do when the revision is a commit or refs/ says so already. */
tern_status tern__hub_cache_write_ref(tern_hub_cache *cache, const char *revision, const char *commit, tern_error *err);
/* .no_exist/<commit>/<path>. */
tern_status tern__hub_cache_mark_absent(tern_hub_cache *cache, const char *commit, const char *path, tern_error *err);

/* Take a lock file's flock without waiting: *descriptor is -1 when another process has it. Closing the descriptor gives it back; the file
 * stays, as filelock's does, so that all who wait look at the same one. */
tern_status tern__hub_lock(int *descriptor, const char *path, tern_error *err);

#endif
