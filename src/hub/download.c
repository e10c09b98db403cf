/* download.c - listings, heads and blobs. A blob is written to blobs/<etag>.incomplete under the file lock that huggingface_hub takes too,
 * summed up as it comes, and renamed when it is whole and right. What was written before an interruption is summed up and continued.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "hub/sha.h"

static tern_hub_question question_of(const tern_hub_source *source, const char *path) {
    return (tern_hub_question){.endpoint = source->endpoint,
                               .repo_id = source->repo_id,
                               .revision = source->revision,
                               .path = path,
                               .has_token = source->options->token != NULL};
}

static tern_status fail_url_memory(tern_error *err) { return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the names of a download"); }

/* ---- The list of files ---- */

typedef struct listing_request {
    tern_hub_request request;
    char *bytes;
    size_t n_bytes, capacity;
} listing_request;

static tern_status start_listing(tern_hub_request *request, tern_hub_step *step, tern_error *err) {
    (void)step, (void)err;
    ((listing_request *)request)->n_bytes = 0;
    return TERN_OK;
}

static tern_status receive_listing(tern_hub_request *request, const char *bytes, size_t n_bytes, tern_error *err) {
    listing_request *listing = (listing_request *)request;
    size_t needed;
    if (!tern__size_add(listing->n_bytes, n_bytes, &needed) || needed > TERN_HUB_LISTING_MAX_BYTES)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: the list of files is larger than the %zu bytes that are read", request->question.repo_id,
                         TERN_HUB_LISTING_MAX_BYTES);
    if (!tern__grow(&listing->bytes, &listing->capacity, needed, 1)) return TERN_FAIL_MEMORY(err, needed);
    memcpy(listing->bytes + listing->n_bytes, bytes, n_bytes);
    listing->n_bytes = needed;
    return TERN_OK;
}

static tern_status finish_listing(tern_hub_request *request, tern_error *err) {
    (void)request, (void)err;
    return TERN_OK;
}

static void stop_nothing(tern_hub_request *request) { (void)request; }

static const tern_hub_hooks listing_hooks = {start_listing, receive_listing, finish_listing, stop_nothing};

tern_status tern__hub_fetch_listing(tern_hub_listing *out, const tern_hub_source *source, tern_error *err) {
    *out = (tern_hub_listing){0};
    tern_arena *arena = &source->cache->arena;
    const char *revision = tern__hub_url_quote(arena, source->revision, "");
    const char *url =
        revision ? tern__arena_format(arena, "%s/api/models/%s/revision/%s?blobs=true", source->endpoint, source->repo_id, revision) : NULL;
    const char *name = tern__arena_format(arena, "the list of files of %s at %s", source->repo_id, source->endpoint);
    if (!url || !name) return fail_url_memory(err);
    listing_request listing = {
        .request = {
            .hooks = &listing_hooks, .url = url, .question = question_of(source, NULL), .timeout_s = source->options->etag_timeout_s}};
    tern_status status = tern__hub_client_run(source->client, &listing, sizeof listing, 1, err);
    if (status == TERN_OK) status = tern__hub_listing_parse(out, listing.bytes, listing.n_bytes, name, err);
    free(listing.bytes);
    return status;
}

/* ---- Heads: of files whose blobs the list does not name ---- */

typedef struct head_request {
    tern_hub_request request;
    tern_arena *arena;
    tern_hub_file *file;
} head_request;

static tern_status start_head(tern_hub_request *request, tern_hub_step *step, tern_error *err) {
    (void)request, (void)step, (void)err;
    return TERN_OK;
}

static tern_status receive_head(tern_hub_request *request, const char *bytes, size_t n_bytes, tern_error *err) {
    (void)request, (void)bytes, (void)n_bytes, (void)err; /* a HEAD has no body */
    return TERN_OK;
}

static tern_status finish_head(tern_hub_request *request, tern_error *err) {
    head_request *head = (head_request *)request;
    const tern_hub_answer *answer = &request->answer;
    int64_t n_bytes = answer->linked_bytes >= 0 ? answer->linked_bytes : answer->content_bytes;
    if (answer->etag[0] == '\0' || n_bytes < 0)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s: %s tells no ETag and size of it", request->question.repo_id, head->file->path,
                         request->question.endpoint);
    char *etag = tern__arena_copy(head->arena, answer->etag, strlen(answer->etag));
    if (!etag) return TERN_FAIL_MEMORY(err, strlen(answer->etag) + 1);
    head->file->etag = etag;
    head->file->n_bytes = n_bytes;
    return TERN_OK;
}

static const tern_hub_hooks head_hooks = {start_head, receive_head, finish_head, stop_nothing};

static const char *resolve_url(const tern_hub_source *source, const char *commit, const char *path) {
    tern_arena *arena = &source->cache->arena;
    const char *quoted = tern__hub_url_quote(arena, path, "/");
    return quoted ? tern__arena_format(arena, "%s/%s/resolve/%s/%s", source->endpoint, source->repo_id, commit, quoted) : NULL;
}

static tern_status fetch_heads(const tern_hub_source *source, const char *commit, const tern_hub_needs *needs, tern_error *err) {
    head_request *heads = tern__alloc_zero(needs->n, sizeof *heads);
    if (!heads) return TERN_FAIL_MEMORY(err, needs->n * sizeof *heads);
    size_t n = 0;
    tern_status status = TERN_OK;
    for (size_t i = 0; i < needs->n && status == TERN_OK; i++) {
        tern_hub_file *file = needs->items[i].file;
        if (file->etag) continue;
        const char *url = resolve_url(source, commit, file->path);
        if (!url) status = fail_url_memory(err);
        heads[n++] = (head_request){.request = {.hooks = &head_hooks,
                                                .url = url,
                                                .question = question_of(source, file->path),
                                                .is_head = true,
                                                .timeout_s = source->options->etag_timeout_s},
                                    .arena = &source->cache->arena,
                                    .file = file};
    }
    if (status == TERN_OK) status = tern__hub_client_run(source->client, heads, sizeof *heads, n, err);
    free(heads);
    return status;
}

/* ---- Blobs ---- */

typedef struct blob_request {
    tern_hub_request request;
    const tern_hub_source *source;
    const char *commit;
    const tern_hub_file *file;
    const char *blob, *incomplete, *lock;
    int descriptor, lock_descriptor; /* -1: closed */
    bool has_checksum;               /* the etag is one */
    bool is_wrong;                   /* what is kept cannot be continued */
    bool is_first_piece;             /* none has come in this attempt */
    unsigned n_wrong;                /* times that something wrong came */
    int64_t n_written, n_shown;      /* bytes in the file, and those that progress knows of */
    tern_sha sha;
} blob_request;

static tern_status fail_blob(const blob_request *blob, const char *what, int code, tern_error *err) {
    return TERN_FAIL(err, TERN_E_IO, "%s: cannot be %s: %s", blob->incomplete, what, strerror(code));
}

static void show_blob(blob_request *blob) {
    tern_hub_progress *progress = &blob->source->client->progress;
    progress->n_bytes_done += (uint64_t)blob->n_written; /* in two steps: it may have become less */
    progress->n_bytes_done -= (uint64_t)blob->n_shown;
    blob->n_shown = blob->n_written;
}

/* The sum of a file of this etag begins: git's over "blob <size>" and a NUL. */
static void start_sum(blob_request *blob) {
    bool is_sha_256 = strlen(blob->file->etag) == 64;
    tern__sha_start(&blob->sha, is_sha_256 ? TERN_SHA_256 : TERN_SHA_1);
    if (is_sha_256) return;
    char header[32];
    int n = snprintf(header, sizeof header, "blob %lld", (long long)blob->file->n_bytes);
    tern__sha_add(&blob->sha, header, (size_t)n + 1);
}

static tern_status empty_blob(blob_request *blob, tern_error *err) {
    blob->n_written = 0;
    show_blob(blob);
    start_sum(blob);
    return ftruncate(blob->descriptor, 0) == 0 ? TERN_OK : fail_blob(blob, "emptied", errno, err);
}

/* Sum up what an interrupted download left. */
static tern_status sum_up_written(blob_request *blob, tern_error *err) {
    enum { PIECE = 1 << 16 };
    char *piece = tern__alloc(PIECE, 1);
    if (!piece) return TERN_FAIL_MEMORY(err, PIECE);
    start_sum(blob);
    int code = 0;
    for (int64_t at = 0; at < blob->n_written && code == 0;) {
        ssize_t n = pread(blob->descriptor, piece, PIECE, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) code = n < 0 ? errno : EIO;
        else tern__sha_add(&blob->sha, piece, (size_t)n);
        at += n;
    }
    free(piece);
    return code == 0 ? TERN_OK : fail_blob(blob, "read", code, err);
}

static bool blob_is_there(const blob_request *blob) {
    struct stat facts;
    return stat(blob->blob, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* What comes is not what the list says: once more from the beginning, since a cache on the way may have been wrong. */
#define FAIL_WRONG(blob, err, ...)                                                                                                         \
    ((blob)->is_wrong = true, (blob)->request.may_retry = ++(blob)->n_wrong < 2, TERN_FAIL((err), TERN_E_FORMAT, __VA_ARGS__))

/* All bytes are there: check them and give the file its name. */
static tern_status commit_blob(blob_request *blob, tern_error *err) {
    char digest[TERN_SHA_HEX_BYTES];
    tern__sha_finish(&blob->sha, digest);
    if (blob->has_checksum && strcmp(digest, blob->file->etag) != 0)
        return FAIL_WRONG(blob, err, "%s: %s: what came has the checksum %s, not %s", blob->source->repo_id, blob->file->path, digest,
                          blob->file->etag);
    if (fsync(blob->descriptor) != 0) return fail_blob(blob, "written", errno, err);
    if (rename(blob->incomplete, blob->blob) == 0) return TERN_OK;
    int code = errno;
    if (code == ENOENT && blob_is_there(blob)) return TERN_OK; /* where locks do nothing, another process has renamed it */
    return fail_blob(blob, "renamed", code, err);
}

/* The blob is there: link it into the snapshot and count it. */
static tern_status place_blob(blob_request *blob, tern_error *err) {
    tern_hub_progress *progress = &blob->source->client->progress;
    TERN_TRY(tern__hub_cache_link(blob->source->cache, blob->commit, blob->file->path, blob->file->etag, err));
    blob->n_written = blob->file->n_bytes;
    show_blob(blob);
    progress->n_files_done++;
    return TERN_OK;
}

static tern_status open_incomplete(blob_request *blob, tern_error *err) {
    struct stat facts;
    blob->descriptor = open(blob->incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (blob->descriptor < 0 || fstat(blob->descriptor, &facts) != 0) return fail_blob(blob, "written", errno, err);
    blob->n_written = (int64_t)facts.st_size;
    bool is_past_end = blob->request.answer.status == 416 || blob->n_written > blob->file->n_bytes;
    if (blob->is_wrong || is_past_end || !blob->has_checksum) TERN_TRY(empty_blob(blob, err));
    blob->is_wrong = false;
    show_blob(blob);
    return sum_up_written(blob, err);
}

static tern_status start_blob(tern_hub_request *request, tern_hub_step *step, tern_error *err) {
    blob_request *blob = (blob_request *)request;
    TERN_TRY(tern__hub_lock(&blob->lock_descriptor, blob->lock, err));
    if (blob->lock_descriptor < 0) {
        *step = TERN_HUB_WAIT;
        return TERN_OK;
    }
    if (!blob_is_there(blob)) {
        TERN_TRY(open_incomplete(blob, err));
        request->from = blob->n_written;
        blob->is_first_piece = true;
        if (blob->n_written < blob->file->n_bytes) return TERN_OK;
        tern_status status = commit_blob(blob, err);
        if (status == TERN_E_FORMAT && blob->n_wrong < 2) { /* bytes of an earlier run, as a loss of power may leave them */
            blob->is_wrong = false;
            request->from = 0;
            return empty_blob(blob, err);
        }
        TERN_TRY(status);
    }
    *step = TERN_HUB_DONE;
    return place_blob(blob, err);
}

/* The headers of the answer fit what was asked for. */
static tern_status check_answer(blob_request *blob, tern_error *err) {
    const tern_hub_answer *answer = &blob->request.answer;
    const char *repo_id = blob->source->repo_id, *path = blob->file->path;
    int64_t wanted = blob->file->n_bytes, from = blob->request.from;
    if (answer->status == 206) {
        if (answer->range_start != from || (answer->range_total >= 0 && answer->range_total != wanted))
            return FAIL_WRONG(blob, err, "%s: %s: asked for bytes from %lld of %lld on, and got others", repo_id, path, (long long)from,
                              (long long)wanted);
    } else if (blob->n_written > 0) {
        TERN_TRY(empty_blob(blob, err)); /* the server does not know ranges: the file comes from its beginning */
    }
    int64_t comes = answer->content_bytes;
    if (comes >= 0 && comes != wanted - blob->n_written)
        return FAIL_WRONG(blob, err, "%s: %s: has %lld bytes by its list of files, and %lld come", repo_id, path, (long long)wanted,
                          (long long)(comes + blob->n_written));
    return TERN_OK;
}

static tern_status receive_blob(tern_hub_request *request, const char *bytes, size_t n_bytes, tern_error *err) {
    blob_request *blob = (blob_request *)request;
    if (blob->is_first_piece) TERN_TRY(check_answer(blob, err));
    blob->is_first_piece = false;
    if ((uint64_t)n_bytes > (uint64_t)(blob->file->n_bytes - blob->n_written))
        return FAIL_WRONG(blob, err, "%s: %s: more than its %lld bytes come", blob->source->repo_id, blob->file->path,
                          (long long)blob->file->n_bytes);
    tern__sha_add(&blob->sha, bytes, n_bytes);
    for (size_t at = 0; at < n_bytes;) {
        ssize_t n = pwrite(blob->descriptor, bytes + at, n_bytes - at, (off_t)blob->n_written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_blob(blob, "written", n < 0 ? errno : ENOSPC, err);
        at += (size_t)n;
        blob->n_written += n;
    }
    show_blob(blob);
    return TERN_OK;
}

static tern_status finish_blob(tern_hub_request *request, tern_error *err) {
    blob_request *blob = (blob_request *)request;
    if (blob->n_written < blob->file->n_bytes) {
        request->may_retry = true;
        return TERN_FAIL(err, TERN_E_IO, "%s: %s: ended after %lld of %lld bytes", blob->source->repo_id, blob->file->path,
                         (long long)blob->n_written, (long long)blob->file->n_bytes);
    }
    TERN_TRY(commit_blob(blob, err));
    return place_blob(blob, err);
}

static void stop_blob(tern_hub_request *request) {
    blob_request *blob = (blob_request *)request;
    if (blob->descriptor >= 0) close(blob->descriptor);
    if (blob->lock_descriptor >= 0) close(blob->lock_descriptor);
    blob->descriptor = blob->lock_descriptor = -1;
}

static const tern_hub_hooks blob_hooks = {start_blob, receive_blob, finish_blob, stop_blob};

/* ---- All of them ---- */

static tern_status make_blob_request(blob_request *out, const tern_hub_source *source, const char *commit, const tern_hub_file *file,
                                     tern_error *err) {
    tern_hub_cache *cache = source->cache;
    size_t n_etag = strlen(file->etag);
    *out = (blob_request){.request = {.hooks = &blob_hooks,
                                      .url = resolve_url(source, commit, file->path),
                                      .question = question_of(source, file->path),
                                      .timeout_s = source->options->download_timeout_s},
                          .source = source,
                          .commit = commit,
                          .file = file,
                          .blob = tern__hub_cache_path(cache, cache->repository, "blobs", "", file->etag),
                          .descriptor = -1,
                          .lock_descriptor = -1,
                          .has_checksum = (n_etag == 40 || n_etag == 64) && strspn(file->etag, "0123456789abcdef") == n_etag};
    out->incomplete = out->blob ? tern__arena_format(&cache->arena, "%s.incomplete", out->blob) : NULL;
    out->lock = tern__arena_format(&cache->arena, "%s/%s.lock", cache->locks, file->etag);
    return out->request.url && out->incomplete && out->lock ? TERN_OK : fail_url_memory(err);
}

/* Say that the disk is too small before it is full. */
static tern_status check_free_space(const blob_request *blobs, size_t n, tern_error *err) {
    uint64_t needed = 0;
    struct statvfs disk;
    struct stat facts;
    for (size_t i = 0; i < n; i++) {
        uint64_t there = blob_is_there(&blobs[i])                 ? (uint64_t)blobs[i].file->n_bytes
                         : stat(blobs[i].incomplete, &facts) == 0 ? (uint64_t)facts.st_size
                                                                  : 0;
        uint64_t wanted = (uint64_t)blobs[i].file->n_bytes;
        needed += wanted > there ? wanted - there : 0;
        if (needed > INT64_MAX) needed = INT64_MAX;
    }
    if (statvfs(blobs[0].source->cache->repository, &disk) != 0 || disk.f_blocks == 0) return TERN_OK;
    uint64_t unit = disk.f_frsize ? disk.f_frsize : 1, free_bytes = disk.f_bavail > UINT64_MAX / unit ? UINT64_MAX : disk.f_bavail * unit;
    if (needed <= free_bytes) return TERN_OK;
    return TERN_FAIL(err, TERN_E_IO, "%s: needs %llu MB more, and its disk has %llu MB free", blobs[0].source->cache->repository,
                     (unsigned long long)(needed / 1000000 + 1), (unsigned long long)(free_bytes / 1000000));
}

static tern_status fetch_blobs(blob_request *blobs, size_t n, const tern_hub_source *source, tern_error *err) {
    tern_hub_progress *progress = &source->client->progress;
    TERN_TRY(tern__file_make_folders(blobs[0].blob, err));
    TERN_TRY(tern__file_make_folders(blobs[0].lock, err));
    TERN_TRY(check_free_space(blobs, n, err));
    progress->n_files += n;
    for (size_t i = 0; i < n; i++) progress->n_bytes += (uint64_t)blobs[i].file->n_bytes;
    return tern__hub_client_run(source->client, blobs, sizeof *blobs, n, err);
}

tern_status tern__hub_fetch_files(const tern_hub_source *source, const char *commit, const tern_hub_needs *needs, tern_error *err) {
    TERN_TRY(fetch_heads(source, commit, needs, err));
    blob_request *blobs = tern__alloc_zero(needs->n, sizeof *blobs);
    if (!blobs) return TERN_FAIL_MEMORY(err, needs->n * sizeof *blobs);
    tern_status status = TERN_OK;
    for (size_t i = 0; i < needs->n && status == TERN_OK; i++)
        status = make_blob_request(&blobs[i], source, commit, needs->items[i].file, err);
    if (status == TERN_OK && needs->n > 0) status = fetch_blobs(blobs, needs->n, source, err);
    free(blobs);
    return status;
}
