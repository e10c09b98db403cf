/* listing.h - the files of a repository at one commit, as the hub or huggingface_hub's cache of its answers tells them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_LISTING_H
#define TERN_HUB_LISTING_H

#include "base/error.h"
#include "base/memory.h"
#include "hub/names.h"

/* Largest answer that is read: about 100,000 files. */
#define TERN_HUB_LISTING_MAX_BYTES ((size_t)64 << 20)

typedef struct tern_hub_file {
    const char *path;
    const char *etag; /* the blob's name: SHA-256 of a file in large file storage, else git's SHA-1; NULL: not told */
    int64_t n_bytes;  /* -1: not told */
} tern_hub_file;

typedef struct tern_hub_listing {
    char commit[TERN_HUB_COMMIT_DIGITS + 1];
    size_t n_files;
    tern_hub_file *files; /* sorted by path, each once */
    tern_arena arena;
} tern_hub_listing;

/* From the answer to GET /api/models/ORG/NAME/revision/REVISION?blobs=true: {"sha", "siblings": [{"rfilename", "size", "blobId",
 * "lfs": {"sha256", "size"}}]}. `name` is what messages call it. Refused whole when one path would leave its folder. */
tern_status tern__hub_listing_parse(tern_hub_listing *out, const char *bytes, size_t n_bytes, const char *name, tern_error *err);
/* From trees/<commit>.json of the cache: {"format_version": 1, "files": {path: {"size", "blob_id", "lfs_sha256", "lfs_size"}}}. The
 * listing's commit stays empty. */
tern_status tern__hub_listing_parse_tree(tern_hub_listing *out, const char *bytes, size_t n_bytes, const char *name, tern_error *err);
/* NULL when there is none of that path. */
tern_hub_file *tern__hub_listing_find(const tern_hub_listing *listing, const char *path);
void tern__hub_listing_free(tern_hub_listing *listing);

#endif
