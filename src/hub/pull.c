/* pull.c - tern_hub_find and tern_hub_pull: what the cache has, and else what the hub must be asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "hub/download.h"

static const char default_endpoint[] = "https://huggingface.co";

enum { MAX_ROUNDS = 4 }; /* configs; weights' index and modules; their files */

/* One call. */
typedef struct hub_call {
    const char *repo_id, *revision, *endpoint, *cache_folder;
    const tern_hub_options *options;
    tern_hub_cache cache;
    char commit[TERN_HUB_COMMIT_DIGITS + 1]; /* what the cache has of the revision; "" when it has none */
    bool is_complete;                        /* all of it is there */
    bool is_usable;                          /* it will do */
    char missing[256];                       /* when not complete: what, for a message */
    tern_error *err;
} hub_call;

/* ---- Arguments ---- */

static bool is_header_value(const char *text) {
    for (; *text; text++)
        if (*text <= 0x20 || *text > 0x7E) return false;
    return true;
}

static tern_status check_options(const tern_hub_options *options, tern_error *err) {
    if (!options || options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_hub_options_default()",
                         options ? options->size : 0, sizeof *options);
    if (!options->cache_folder || !options->cache_folder[0])
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: cache_folder is missing; tern_hub_options_from_environment() finds it");
    if (options->token && (!options->token[0] || !is_header_value(options->token)))
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: token is empty or has characters that no token has");
    if (options->etag_timeout_s < 1 || options->download_timeout_s < 1)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: a timeout is less than 1 second");
    if (options->revision && !tern__hub_is_revision(options->revision))
        return TERN_FAIL(err, TERN_E_ARGUMENT, "revision: not the name of a branch, a tag or a commit: \"%s\"",
                         tern__hub_clean(options->revision, strlen(options->revision)).text);
    return TERN_OK;
}

static tern_status open_call(hub_call *call, const char *repo_id, const tern_hub_options *options, tern_error *err) {
    *call = (hub_call){.repo_id = repo_id, .options = options, .err = err};
    if (!tern__hub_is_repo_id(repo_id))
        return TERN_FAIL(
            err, TERN_E_ARGUMENT,
            "\"%s\" is not a repository id: it is ORG/NAME or NAME, of letters, digits and single . _ -, at most 96 characters",
            tern__hub_clean(repo_id, strlen(repo_id)).text);
    TERN_TRY(check_options(options, err));
    call->revision = options->revision ? options->revision : "main";
    call->cache_folder = options->cache_folder;
    TERN_TRY(tern__hub_cache_open(&call->cache, call->cache_folder, repo_id, err));
    const char *endpoint = options->endpoint && options->endpoint[0] ? options->endpoint : default_endpoint;
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/') n--;
    call->endpoint = tern__arena_copy(&call->cache.arena, endpoint, n);
    if (call->endpoint) return TERN_OK;
    tern__hub_cache_close(&call->cache);
    return TERN_FAIL_MEMORY(err, n + 1);
}

/* ---- What the cache has ---- */

static void describe_missing(hub_call *call, const tern_hub_needs *needs) {
    const char *first = needs->items[0].path;
    size_t n = strlen(first);
    int shown = (int)(n < 100 ? n : 100);
    if (needs->n == 1) snprintf(call->missing, sizeof call->missing, "%.*s", shown, first);
    else snprintf(call->missing, sizeof call->missing, "%.*s and %zu more", shown, first, needs->n - 1);
}

static tern_status look_at_snapshot(hub_call *call, const tern_hub_snapshot *snapshot) {
    tern_hub_needs needs;
    tern_status status = tern__hub_find_needs(&needs, snapshot, call->options, call->err);
    call->is_complete = status == TERN_OK && needs.n == 0;
    if (status == TERN_OK && needs.n > 0) describe_missing(call, &needs);
    free(needs.items);
    if (status != TERN_OK || call->is_complete) return status;
    return tern__hub_is_usable(&call->is_usable, snapshot, call->options, call->err);
}

static const char *snapshot_folder(hub_call *call, const char *commit) {
    return tern__hub_cache_path(&call->cache, call->cache.repository, "snapshots", "", commit);
}

static tern_status fail_call_memory(const hub_call *call) {
    return TERN_FAIL(call->err, TERN_E_MEMORY, "out of memory for the names of a download");
}

static tern_status look_at_cache(hub_call *call) {
    bool is_known;
    TERN_TRY(tern__hub_cache_find_commit(call->commit, &is_known, &call->cache, call->revision, call->err));
    const char *folder = is_known ? snapshot_folder(call, call->commit) : NULL;
    if (is_known && !folder) return fail_call_memory(call);
    if (!is_known || !tern__folder_exists(folder)) {
        call->commit[0] = '\0';
        return TERN_OK;
    }
    tern_hub_listing tree;
    TERN_TRY(tern__hub_cache_read_tree(&tree, &is_known, &call->cache, call->commit, call->err));
    const tern_hub_snapshot snapshot = {.cache = &call->cache, .commit = call->commit, .listing = is_known ? &tree : NULL};
    tern_status status = look_at_snapshot(call, &snapshot);
    tern__hub_listing_free(&tree);
    return status;
}

/* "not in the cache", or which part of it. */
static tern_status fail_not_cached(const hub_call *call, const char *what_to_do) {
    if (call->commit[0] == '\0')
        return TERN_FAIL(call->err, TERN_E_IO, "%s: revision \"%s\" is not in the cache %s%s", call->repo_id, call->revision,
                         call->cache_folder, what_to_do);
    return TERN_FAIL(call->err, TERN_E_IO, "%s: revision \"%s\" is not whole in the cache %s: it lacks %s%s", call->repo_id, call->revision,
                     call->cache_folder, call->missing, what_to_do);
}

static tern_status give_folder(char **folder, hub_call *call, const char *commit) {
    const char *path = snapshot_folder(call, commit);
    *folder = path ? strdup(path) : NULL;
    return *folder ? TERN_OK : fail_call_memory(call);
}

tern_status tern_hub_find(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err) {
    hub_call call;
    *folder = NULL;
    TERN_TRY(open_call(&call, repo_id, options, err));
    tern_status status = look_at_cache(&call);
    if (status == TERN_OK) status = call.is_complete ? give_folder(folder, &call, call.commit) : fail_not_cached(&call, "");
    tern__hub_cache_close(&call.cache);
    return status;
}

/* ---- What the hub has ---- */

/* Fetch until nothing is missing: what comes in one round may name the files of the next. */
static tern_status fetch_snapshot(const tern_hub_source *source, tern_hub_listing *listing, tern_error *err) {
    const tern_hub_snapshot snapshot = {.cache = source->cache, .commit = listing->commit, .listing = listing};
    for (int round = 0; round < MAX_ROUNDS; round++) {
        tern_hub_needs needs;
        tern_status status = tern__hub_find_needs(&needs, &snapshot, source->options, err);
        size_t n = needs.n;
        if (status == TERN_OK && n > 0) status = tern__hub_fetch_files(source, listing->commit, &needs, err);
        free(needs.items);
        if (status != TERN_OK || n == 0) return status;
    }
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: its files name more files without end", source->repo_id);
}

/* For the next call: what the commit does not have, and the commit of the revision. A cache that cannot be written does without. */
static tern_status remember(const tern_hub_source *source, const tern_hub_listing *listing, tern_error *err) {
    const tern_hub_snapshot snapshot = {.cache = source->cache, .commit = listing->commit, .listing = listing, .marks_absent = true};
    tern_hub_needs needs = {0};
    tern_status status = TERN_OK;
    if (source->options->n_include == 0) status = tern__hub_find_needs(&needs, &snapshot, source->options, err);
    free(needs.items);
    if (status != TERN_E_MEMORY) status = tern__hub_cache_write_ref(source->cache, source->revision, listing->commit, err);
    return status == TERN_E_MEMORY ? status : TERN_OK;
}

static tern_status pull_with(char **folder, hub_call *call, tern_hub_client *client) {
    const tern_hub_source source = {.client = client,
                                    .cache = &call->cache,
                                    .options = call->options,
                                    .endpoint = call->endpoint,
                                    .repo_id = call->repo_id,
                                    .revision = call->revision};
    tern_hub_listing listing;
    bool will_do = call->is_complete || call->is_usable;
    unsigned max_failures = client->max_failures;
    if (will_do) client->max_failures = 2;
    tern_status status = tern__hub_fetch_listing(&listing, &source, call->err);
    if (status != TERN_OK && client->is_unreachable && will_do) return give_folder(folder, call, call->commit);
    TERN_TRY(status);
    client->max_failures = max_failures;
    status = fetch_snapshot(&source, &listing, call->err);
    const char *path = snapshot_folder(call, listing.commit);
    if (status == TERN_OK && !path) status = fail_call_memory(call);
    if (status == TERN_OK && !tern__folder_exists(path))
        status =
            TERN_FAIL(call->err, TERN_E_IO, "%s: %s", call->repo_id,
                      call->options->n_include > 0 ? "no file matches what is to be included" : "has none of the files that Tern reads");
    if (status == TERN_OK) status = remember(&source, &listing, call->err);
    if (status == TERN_OK) status = give_folder(folder, call, listing.commit);
    tern__hub_listing_free(&listing);
    return status;
}

static tern_status pull_what_is_missing(char **folder, hub_call *call) {
    const tern_hub_options *options = call->options;
    if (call->is_complete && (!options->update || options->offline || tern__hub_is_commit(call->revision)))
        return give_folder(folder, call, call->commit);
    if (options->offline && call->is_usable) return give_folder(folder, call, call->commit);
    if (options->offline) return fail_not_cached(call, ", and the hub is not asked, since offline mode is on (HF_HUB_OFFLINE)");
    tern_hub_client client;
    tern_status status = tern__hub_client_open(&client, call->endpoint, options, call->err);
    if (status == TERN_E_UNSUPPORTED && (call->is_complete || call->is_usable)) return give_folder(folder, call, call->commit);
    TERN_TRY(status);
    status = pull_with(folder, call, &client);
    tern__hub_client_close(&client);
    return status;
}

tern_status tern_hub_pull(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err) {
    hub_call call;
    *folder = NULL;
    TERN_TRY(open_call(&call, repo_id, options, err));
    tern_status status = look_at_cache(&call);
    if (status == TERN_OK) status = pull_what_is_missing(folder, &call);
    tern__hub_cache_close(&call.cache);
    return status;
}
