/* listing.c - reading the hub's list of files. Nothing in it is trusted: paths, names of blobs and sizes are checked here, once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

typedef struct listing_reader {
    tern_hub_listing *listing;
    const char *name;
    tern_error *err;
} listing_reader;

static tern_status fail_listing(const listing_reader *reader, const char *problem, const char *detail, size_t n_detail) {
    return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: %s: \"%s\"", reader->name, problem, tern__hub_clean(detail, n_detail).text);
}

/* The blob's name and size from a sha (a string, or absent) and a size (an integer, or absent). */
static tern_status set_blob(tern_hub_file *file, listing_reader *reader, const json_t *sha, const json_t *size) {
    if (!json_is_string(sha)) return TERN_OK;
    const char *text = json_string_value(sha);
    size_t n = json_string_length(sha);
    if (!tern__hub_is_etag(text, n)) return fail_listing(reader, "this cannot be a checksum", text, n);
    if (!json_is_integer(size)) return TERN_OK;
    if (json_integer_value(size) < 0) return fail_listing(reader, "a file of negative size", file->path, strlen(file->path));
    char *etag = tern__arena_copy(&reader->listing->arena, text, n);
    if (!etag) return TERN_FAIL_MEMORY(reader->err, n + 1);
    file->etag = etag;
    file->n_bytes = json_integer_value(size);
    return TERN_OK;
}

static tern_status add_file(listing_reader *reader, const char *path, size_t n_path, tern_hub_file **out) {
    tern_hub_listing *listing = reader->listing;
    if (!tern__hub_is_path(path, n_path)) return fail_listing(reader, "a path that Tern does not write to", path, n_path);
    char *copy = tern__arena_copy(&listing->arena, path, n_path);
    if (!copy) return TERN_FAIL_MEMORY(reader->err, n_path + 1);
    *out = &listing->files[listing->n_files++];
    **out = (tern_hub_file){.path = copy, .n_bytes = -1};
    return TERN_OK;
}

static tern_status make_files(listing_reader *reader, size_t n) {
    size_t bytes;
    bool fits = tern__size_multiply(n, sizeof *reader->listing->files, &bytes);
    reader->listing->files = fits ? tern__arena_alloc(&reader->listing->arena, bytes) : NULL;
    return reader->listing->files ? TERN_OK : TERN_FAIL_MEMORY(reader->err, n * sizeof *reader->listing->files);
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const tern_hub_file *)a)->path, ((const tern_hub_file *)b)->path);
}

static tern_status sort_files(listing_reader *reader) {
    tern_hub_listing *listing = reader->listing;
    for (size_t i = 1; i < listing->n_files; i++) { /* already in order, as a rule; qsort would take memory of its own */
        if (compare_paths(&listing->files[i - 1], &listing->files[i]) <= 0) continue;
        qsort(listing->files, listing->n_files, sizeof *listing->files, compare_paths);
        break;
    }
    for (size_t i = 1; i < listing->n_files; i++) {
        const char *path = listing->files[i].path;
        if (strcmp(listing->files[i - 1].path, path) == 0) return fail_listing(reader, "a file that is listed twice", path, strlen(path));
    }
    return TERN_OK;
}

static tern_status read_answer(listing_reader *reader, const json_t *json) {
    const json_t *sha = json_object_get(json, "sha"), *siblings = json_object_get(json, "siblings");
    if (!json_is_string(sha) || json_string_length(sha) != TERN_HUB_COMMIT_DIGITS || !tern__hub_is_commit(json_string_value(sha)))
        return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: \"sha\" is not a commit", reader->name);
    memcpy(reader->listing->commit, json_string_value(sha), TERN_HUB_COMMIT_DIGITS + 1);
    if (!json_is_array(siblings)) return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: \"siblings\" is not a list", reader->name);
    TERN_TRY(make_files(reader, json_array_size(siblings)));
    for (size_t i = 0; i < json_array_size(siblings); i++) {
        const json_t *entry = json_array_get(siblings, i), *path = json_object_get(entry, "rfilename");
        if (!json_is_string(path))
            return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: \"siblings\": entry %zu has no \"rfilename\"", reader->name, i);
        tern_hub_file *file;
        TERN_TRY(add_file(reader, json_string_value(path), json_string_length(path), &file));
        const json_t *lfs = json_object_get(entry, "lfs");
        if (json_is_object(lfs)) TERN_TRY(set_blob(file, reader, json_object_get(lfs, "sha256"), json_object_get(lfs, "size")));
        else TERN_TRY(set_blob(file, reader, json_object_get(entry, "blobId"), json_object_get(entry, "size")));
    }
    return sort_files(reader);
}

static tern_status read_tree(listing_reader *reader, json_t *json) {
    json_t *files = json_object_get(json, "files"), *entry;
    const json_t *version = json_object_get(json, "format_version");
    if (!json_is_integer(version) || json_integer_value(version) != 1 || !json_is_object(files))
        return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: not a list of files in format 1", reader->name);
    TERN_TRY(make_files(reader, json_object_size(files)));
    const char *path;
    json_object_foreach(files, path, entry) {
        tern_hub_file *file;
        TERN_TRY(add_file(reader, path, strlen(path), &file));
        const json_t *sha256 = json_object_get(entry, "lfs_sha256");
        if (json_is_string(sha256)) TERN_TRY(set_blob(file, reader, sha256, json_object_get(entry, "lfs_size")));
        else TERN_TRY(set_blob(file, reader, json_object_get(entry, "blob_id"), json_object_get(entry, "size")));
    }
    return sort_files(reader);
}

static tern_status parse_listing(tern_hub_listing *out, const char *bytes, size_t n_bytes, const char *name, bool is_tree,
                                 tern_error *err) {
    *out = (tern_hub_listing){0};
    listing_reader reader = {.listing = out, .name = name, .err = err};
    json_t *json;
    TERN_TRY(tern__json_parse(&json, bytes, n_bytes, name, err));
    tern_status status = is_tree ? read_tree(&reader, json) : read_answer(&reader, json);
    json_decref(json);
    if (status != TERN_OK) tern__hub_listing_free(out);
    return status;
}

tern_status tern__hub_listing_parse(tern_hub_listing *out, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    return parse_listing(out, bytes, n_bytes, name, false, err);
}

tern_status tern__hub_listing_parse_tree(tern_hub_listing *out, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    return parse_listing(out, bytes, n_bytes, name, true, err);
}

tern_hub_file *tern__hub_listing_find(const tern_hub_listing *listing, const char *path) {
    if (listing->n_files == 0) return NULL;
    const tern_hub_file key = {.path = path};
    return bsearch(&key, listing->files, listing->n_files, sizeof *listing->files, compare_paths);
}

void tern__hub_listing_free(tern_hub_listing *listing) {
    tern__arena_free(&listing->arena);
    *listing = (tern_hub_listing){0};
}
