/* needs.c - what Tern reads of a repository, told from the listing if there is one, else from the snapshot and its .no_exist marks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/needs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"

/* Without a listing a snapshot is complete when each of these is there, or known not to exist: another program may have fetched the
 * config and the weights alone. */
static const char *const tokenizer_names[] = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json",  "merges.txt",     "tokenizer.model",       "sentencepiece.bpe.model", "spiece.model"};
static const char *const module_names[] = {"config.json", "sentence_bert_config.json"};
enum { N_TOKENIZER_NAMES = sizeof tokenizer_names / sizeof *tokenizer_names, N_MODULE_NAMES = sizeof module_names / sizeof *module_names };

typedef enum file_state { FILE_PRESENT, FILE_MISSING, FILE_ABSENT, FILE_UNKNOWN } file_state;

typedef struct needs_finder {
    const tern_hub_snapshot *snapshot;
    tern_hub_needs *needs;
    tern_error *err;
} needs_finder;

static tern_status fail_needs_memory(const needs_finder *finder) {
    return TERN_FAIL(finder->err, TERN_E_MEMORY, "out of memory for the list of files");
}

static tern_status add_need(needs_finder *finder, const char *path, tern_hub_file *file) {
    tern_hub_needs *needs = finder->needs;
    if (!tern__grow(&needs->items, &needs->capacity, needs->n + 1, sizeof *needs->items)) return fail_needs_memory(finder);
    needs->items[needs->n++] = (tern_hub_need){.path = path, .file = file};
    return TERN_OK;
}

/* What is known of a path, which lives in the cache's arena or longer. */
static tern_status look_at(file_state *state, needs_finder *finder, const char *path) {
    const tern_hub_snapshot *snapshot = finder->snapshot;
    tern_hub_cache *cache = snapshot->cache;
    const char *link = tern__hub_cache_path(cache, cache->repository, "snapshots", snapshot->commit, path);
    const char *mark = tern__hub_cache_path(cache, cache->repository, ".no_exist", snapshot->commit, path);
    if (!link || !mark) return fail_needs_memory(finder);
    struct stat facts;
    if (stat(link, &facts) == 0 && S_ISREG(facts.st_mode)) {
        *state = FILE_PRESENT;
    } else if (snapshot->listing) {
        *state = tern__hub_listing_find(snapshot->listing, path) ? FILE_MISSING : FILE_ABSENT;
        if (*state == FILE_ABSENT && snapshot->marks_absent && !tern__file_exists(mark))
            TERN_TRY(tern__hub_cache_mark_absent(cache, snapshot->commit, path, finder->err));
    } else {
        *state = tern__file_exists(mark) ? FILE_ABSENT : FILE_UNKNOWN;
    }
    return TERN_OK;
}

/* A file that is wanted if the commit has it. */
static tern_status want(file_state *state, needs_finder *finder, const char *folder, const char *name) {
    const char *path = tern__arena_format(&finder->snapshot->cache->arena, "%s%s", folder, name);
    if (!path) return fail_needs_memory(finder);
    TERN_TRY(look_at(state, finder, path));
    if (*state != FILE_MISSING && *state != FILE_UNKNOWN) return TERN_OK;
    return add_need(finder, path, *state == FILE_MISSING ? tern__hub_listing_find(finder->snapshot->listing, path) : NULL);
}

/* JSON of the snapshot. */
static tern_status load_cached_json(json_t **out, needs_finder *finder, const char *folder, const char *name) {
    const tern_hub_snapshot *snapshot = finder->snapshot;
    tern_hub_cache *cache = snapshot->cache;
    const char *path = tern__arena_format(&cache->arena, "%s/snapshots/%s/%s%s", cache->repository, snapshot->commit, folder, name);
    if (!path) return fail_needs_memory(finder);
    return tern__json_load(out, path, finder->err);
}

/* ---- Weights ---- */

/* The files of {"weight_map": {tensor: file}}, which is in the snapshot. A file that is listed there and not in the repository is left to
 * whoever loads the weights. */
static tern_status want_shards(needs_finder *finder, const char *folder, const char *index_name) {
    json_t *index, *file;
    TERN_TRY(load_cached_json(&index, finder, folder, index_name));
    const char *tensor, *last = "";
    tern_status status = TERN_OK;
    json_object_foreach(json_object_get(index, "weight_map"), tensor, file) {
        const char *name = json_string_value(file);
        if (!name || strcmp(name, last) == 0 || status != TERN_OK) continue;
        last = name;
        file_state state;
        if (!tern__hub_is_path(name, json_string_length(file)))
            status = TERN_FAIL(finder->err, TERN_E_FORMAT, "%s%s: names a file outside the repository: \"%s\"", folder, index_name,
                               tern__hub_clean(name, strlen(name)).text);
        else status = want(&state, finder, folder, name);
    }
    json_decref(index);
    return status;
}

/* One way of keeping weights: whole, or in parts. *is_settled: nothing else is to be looked for. */
static tern_status want_weight_files(bool *is_settled, needs_finder *finder, const char *folder, const char *whole, const char *index) {
    size_t n_before = finder->needs->n;
    file_state whole_state, index_state;
    TERN_TRY(want(&whole_state, finder, folder, whole));
    *is_settled = whole_state == FILE_PRESENT || whole_state == FILE_MISSING;
    if (*is_settled) return TERN_OK;
    TERN_TRY(want(&index_state, finder, folder, index));
    *is_settled = whole_state != FILE_ABSENT || index_state != FILE_ABSENT;
    if (index_state != FILE_PRESENT) return TERN_OK;
    finder->needs->n = n_before; /* with the index there, it does not matter whether there might be one file too */
    return want_shards(finder, folder, index);
}

static tern_status want_weights(needs_finder *finder, const char *folder) {
    bool is_settled;
    TERN_TRY(want_weight_files(&is_settled, finder, folder, "model.safetensors", "model.safetensors.index.json"));
    if (is_settled) return TERN_OK;
    return want_weight_files(&is_settled, finder, folder, "pytorch_model.bin", "pytorch_model.bin.index.json");
}

/* ---- Configs and tokenizers ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

/* Of the files in one folder: is it small and something that Tern reads, or may read later? Indexes come with their weights. */
static bool is_small_file(const char *name) {
    if (ends_with(name, ".index.json") || strcmp(name, "trainer_state.json") == 0) return false;
    return ends_with(name, ".json") || ends_with(name, ".model") || strcmp(name, "vocab.txt") == 0 || strcmp(name, "merges.txt") == 0;
}

/* What the listing has directly in `folder`, which is "" or ends in '/'. */
static tern_status want_small_files(needs_finder *finder, const char *folder) {
    const tern_hub_listing *listing = finder->snapshot->listing;
    size_t n_folder = strlen(folder);
    for (size_t i = 0; i < (listing ? listing->n_files : 0); i++) {
        const char *path = listing->files[i].path, *name = path + n_folder;
        file_state state;
        if (strncmp(path, folder, n_folder) == 0 && !strchr(name, '/') && is_small_file(name)) TERN_TRY(want(&state, finder, folder, name));
    }
    return TERN_OK;
}

static tern_status want_names(needs_finder *finder, const char *folder, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        file_state state;
        TERN_TRY(want(&state, finder, folder, names[i]));
    }
    return TERN_OK;
}

/* The folders that modules.json names, and the settings that stand beside it. */
static tern_status want_modules(needs_finder *finder) {
    file_state state;
    TERN_TRY(want(&state, finder, "", "modules.json"));
    if (state != FILE_PRESENT) return TERN_OK;
    TERN_TRY(want(&state, finder, "", "config_sentence_transformers.json"));
    json_t *modules;
    TERN_TRY(load_cached_json(&modules, finder, "", "modules.json"));
    tern_status status = TERN_OK;
    for (size_t i = 0; status == TERN_OK && i < json_array_size(modules); i++) {
        const json_t *path = json_object_get(json_array_get(modules, i), "path");
        if (!json_is_string(path) || json_string_length(path) == 0) continue;
        if (!tern__hub_is_path(json_string_value(path), json_string_length(path))) {
            status = TERN_FAIL(finder->err, TERN_E_FORMAT, "modules.json: names a folder outside the repository: \"%s\"",
                               tern__hub_clean(json_string_value(path), json_string_length(path)).text);
            break;
        }
        const char *folder = tern__arena_format(&finder->snapshot->cache->arena, "%s/", json_string_value(path));
        status = folder ? want_small_files(finder, folder) : fail_needs_memory(finder);
        if (status == TERN_OK) status = want_names(finder, folder, module_names, N_MODULE_NAMES);
        if (status == TERN_OK) status = want_weights(finder, folder);
    }
    json_decref(modules);
    return status;
}

/* ---- Patterns ---- */

static tern_status want_pattern_unlisted(needs_finder *finder, const char *pattern) {
    file_state state = FILE_UNKNOWN;
    bool is_name = tern__hub_is_path(pattern, strlen(pattern)) && !strpbrk(pattern, "*?[");
    if (is_name) TERN_TRY(look_at(&state, finder, pattern));
    return state == FILE_PRESENT || state == FILE_ABSENT ? TERN_OK : add_need(finder, pattern, NULL);
}

static tern_status want_patterns(needs_finder *finder, const char *const *patterns, size_t n_patterns) {
    const tern_hub_listing *listing = finder->snapshot->listing;
    for (size_t p = 0; !listing && p < n_patterns; p++) TERN_TRY(want_pattern_unlisted(finder, patterns[p]));
    for (size_t i = 0; i < (listing ? listing->n_files : 0); i++) {
        bool is_taken = false;
        for (size_t p = 0; p < n_patterns && !is_taken; p++) is_taken = tern__hub_matches(patterns[p], listing->files[i].path);
        file_state state;
        if (is_taken) TERN_TRY(want(&state, finder, "", listing->files[i].path));
    }
    return TERN_OK;
}

static tern_status want_what_tern_reads(needs_finder *finder, bool tokenizer_only) {
    TERN_TRY(want_small_files(finder, ""));
    TERN_TRY(want_names(finder, "", tokenizer_names, N_TOKENIZER_NAMES));
    if (tokenizer_only) return TERN_OK;
    TERN_TRY(want_names(finder, "", module_names, N_MODULE_NAMES));
    TERN_TRY(want_weights(finder, ""));
    return want_modules(finder);
}

static int compare_needs(const void *a, const void *b) {
    return strcmp(((const tern_hub_need *)a)->path, ((const tern_hub_need *)b)->path);
}

/* Each path once: a name may come from a list, from an index and from the listing. */
static void drop_repeated_needs(tern_hub_needs *needs) {
    size_t n = 0;
    if (needs->n > 0) qsort(needs->items, needs->n, sizeof *needs->items, compare_needs);
    for (size_t i = 0; i < needs->n; i++)
        if (n == 0 || compare_needs(&needs->items[n - 1], &needs->items[i]) != 0) needs->items[n++] = needs->items[i];
    needs->n = n;
}

tern_status tern__hub_find_needs(tern_hub_needs *out, const tern_hub_snapshot *snapshot, const tern_hub_options *options, tern_error *err) {
    *out = (tern_hub_needs){0};
    needs_finder finder = {.snapshot = snapshot, .needs = out, .err = err};
    if (options->n_include > 0) TERN_TRY(want_patterns(&finder, options->include, options->n_include));
    else TERN_TRY(want_what_tern_reads(&finder, options->tokenizer_only));
    drop_repeated_needs(out);
    return TERN_OK;
}

/* Tokenizers have one of these; tokenizer_config.json alone is none. */
static tern_status has_tokenizer(bool *has_one, needs_finder *finder) {
    static const char *const names[] = {"tokenizer.json",          "vocab.txt",   "vocab.json", "tokenizer.model",
                                        "sentencepiece.bpe.model", "spiece.model"};
    *has_one = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !*has_one; i++) {
        file_state state;
        TERN_TRY(look_at(&state, finder, names[i]));
        *has_one = state == FILE_PRESENT;
    }
    return TERN_OK;
}

tern_status tern__hub_is_usable(bool *is_usable, const tern_hub_snapshot *snapshot, const tern_hub_options *options, tern_error *err) {
    *is_usable = false;
    if (options->n_include > 0) return TERN_OK; /* then only the caller knows what would do */
    tern_hub_needs weights = {0};
    needs_finder finder = {.snapshot = snapshot, .needs = &weights, .err = err};
    if (options->tokenizer_only) return has_tokenizer(is_usable, &finder);
    file_state config;
    tern_status status = look_at(&config, &finder, "config.json");
    if (status == TERN_OK) status = want_weights(&finder, "");
    *is_usable = status == TERN_OK && config == FILE_PRESENT && weights.n == 0;
    free(weights.items);
    return status;
}
