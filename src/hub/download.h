/* download.h - the three things that are asked of a hub: the list of files, what a file's blob is called, and the blob.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_DOWNLOAD_H
#define TERN_HUB_DOWNLOAD_H

#include "hub/cache.h"
#include "hub/client.h"
#include "hub/needs.h"

/* One repository at one hub. */
typedef struct tern_hub_source {
    tern_hub_client *client;
    tern_hub_cache *cache;
    const tern_hub_options *options;
    const char *endpoint, *repo_id, *revision;
} tern_hub_source;

/* What the revision is now. */
tern_status tern__hub_fetch_listing(tern_hub_listing *out, const tern_hub_source *source, tern_error *err);

/* Download what is needed of a listing's commit, and link it into the snapshot. */
tern_status tern__hub_fetch_files(const tern_hub_source *source, const char *commit, const tern_hub_needs *needs, tern_error *err);

#endif
