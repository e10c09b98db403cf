/* needs.h - which files of a repository are wanted, and which of them are not in the snapshot yet.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_NEEDS_H
#define TERN_HUB_NEEDS_H

#include "hub/cache.h"

/* A snapshot and what is known about it. */
typedef struct tern_hub_snapshot {
    tern_hub_cache *cache;
    const char *commit;
    const tern_hub_listing *listing; /* NULL: not known; then .no_exist tells what the commit lacks */
    bool marks_absent;               /* write to .no_exist what the listing lacks */
} tern_hub_snapshot;

typedef struct tern_hub_need {
    const char *path;    /* a pattern of options.include, when the listing is not known */
    tern_hub_file *file; /* NULL when the listing is not known */
} tern_hub_need;

typedef struct tern_hub_needs {
    size_t n, capacity;
    tern_hub_need *items;
} tern_hub_needs;

/* tern__hub_find_needs - what is wanted and not there. Empty: the snapshot is complete. The weights' index and modules.json name more
 * files, so after a download it is asked again. Free with free(out->items), after a failure too. Without options.include the files are
 * those that Tern reads: at the top of the repository *.json (but of other frameworks), *.model, vocab.txt, merges.txt; the weights:
 * model.safetensors, else what model.safetensors.index.json lists, else pytorch_model.bin, else what its index lists; and of each folder
 * that modules.json names the same. */
tern_status tern__hub_find_needs(tern_hub_needs *out, const tern_hub_snapshot *snapshot, const tern_hub_options *options, tern_error *err);

/* Will the snapshot do for want of the hub: a config and whole weights, or with options.tokenizer_only a tokenizer? */
tern_status tern__hub_is_usable(bool *is_usable, const tern_hub_snapshot *snapshot, const tern_hub_options *options, tern_error *err);

#endif
