/* checkpoint.c - the weights of a folder: which of its files are read, and their tensors as one set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/index.h"
#include "store/names.h"
#include "store/weight_file.h"

/* What is read, in this order: the first that the folder has. */
static const struct {
    const char *name;
    tern_weight_format format;
    bool is_index;
} sources[] = {
    {"model.safetensors", TERN_WEIGHT_SAFETENSORS, false},
    {"model.safetensors.index.json", TERN_WEIGHT_SAFETENSORS, true},
    {"pytorch_model.bin", TERN_WEIGHT_TORCH, false},
    {"pytorch_model.bin.index.json", TERN_WEIGHT_TORCH, true},
};

struct tern_checkpoint {
    tern_weight_files files;
    size_t n_tensors;
    tern_tensor *tensors;        /* copies of the files' records, so that an index is a difference of pointers */
    const tern_tensor **by_name; /* into tensors, sorted by name */
};

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tern_tensor *const *)a)->name, (*(const tern_tensor *const *)b)->name);
}

/* Gather the tensors of all files. */
static tern_status collect_tensors(tern_checkpoint *checkpoint, tern_error *err) {
    const tern_weight_files *files = &checkpoint->files;
    size_t n = 0;
    for (size_t f = 0; f < files->n; f++) n += tern__weight_file_count(&files->items[f]);
    checkpoint->tensors = tern__alloc(n, sizeof *checkpoint->tensors);
    checkpoint->by_name = tern__alloc(n, sizeof *checkpoint->by_name);
    if (!checkpoint->tensors || !checkpoint->by_name) return TERN_FAIL_MEMORY(err, n * sizeof *checkpoint->tensors);
    for (size_t f = 0; f < files->n; f++)
        for (size_t i = 0; i < tern__weight_file_count(&files->items[f]); i++) {
            tern_tensor *tensor = &checkpoint->tensors[checkpoint->n_tensors];
            *tensor = *tern__weight_file_get(&files->items[f], i);
            checkpoint->by_name[checkpoint->n_tensors++] = tensor;
        }
    qsort(checkpoint->by_name, n, sizeof *checkpoint->by_name, compare_names);
    return TERN_OK;
}

/* ---- No weights that are read ---- */

static bool has_ending(const char *name, const char *ending) {
    size_t n_name = strlen(name), n_ending = strlen(ending);
    return n_name > n_ending && strcmp(name + n_name - n_ending, ending) == 0;
}

static int is_weight_file(const struct dirent *entry) {
    static const char *const endings[] = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (has_ending(entry->d_name, endings[i])) return 1;
    return 0;
}

#define WHAT_IS_READ "model.safetensors, pytorch_model.bin, or the shards that the .index.json of either lists"

static tern_status fail_no_weights(const char *folder, tern_error *err) {
    struct dirent **found;
    int n = scandir(folder, &found, is_weight_file, alphasort);
    if (n < 0) return TERN_FAIL(err, errno == ENOMEM ? TERN_E_MEMORY : TERN_E_IO, "%s: cannot be read: %s", folder, strerror(errno));
    tern_name_list names = {0};
    for (int i = 0; i < n; i++) {
        tern__name_list_add(&names, "%s", tern__quote(found[i]->d_name).text);
        free(found[i]);
    }
    free(found);
    if (n == 0) return TERN_FAIL(err, TERN_E_IO, "%s: has no weights; Tern reads " WHAT_IS_READ, folder);
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: has no weights in a format that Tern reads, which are " WHAT_IS_READ ", but:%s%s",
                     folder, names.text, tern__name_list_rest(&names).text);
}

/* ---- The set ---- */

static tern_status open_source(tern_weight_files *files, const char *folder, const char *path, size_t source, tern_error *err) {
    if (sources[source].is_index) return tern__index_open(files, folder, sources[source].name, sources[source].format, err);
    files->items = tern__alloc_zero(1, sizeof *files->items);
    if (!files->items) return TERN_FAIL_MEMORY(err, sizeof *files->items);
    TERN_TRY(tern__weight_file_open(&files->items[0], path, sources[source].format, err));
    files->n = 1;
    return TERN_OK;
}

static tern_status open_folder(tern_checkpoint *checkpoint, const char *folder, tern_error *err) {
    for (size_t source = 0; source < sizeof sources / sizeof sources[0]; source++) {
        char *path = tern__path_join(folder, sources[source].name);
        if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(sources[source].name) + 2);
        const bool is_there = tern__file_exists(path);
        const tern_status status = is_there ? open_source(&checkpoint->files, folder, path, source, err) : TERN_OK;
        free(path);
        TERN_TRY(status);
        if (is_there) return collect_tensors(checkpoint, err);
    }
    return fail_no_weights(folder, err);
}

tern_status tern__checkpoint_open(tern_checkpoint **out, const char *folder, tern_error *err) {
    *out = NULL;
    tern_checkpoint *checkpoint = tern__alloc_zero(1, sizeof *checkpoint);
    const tern_status status = checkpoint ? open_folder(checkpoint, folder, err) : TERN_FAIL_MEMORY(err, sizeof *checkpoint);
    if (status == TERN_OK) *out = checkpoint;
    else tern__checkpoint_close(checkpoint);
    return status;
}

void tern__checkpoint_close(tern_checkpoint *checkpoint) {
    if (!checkpoint) return;
    tern__weight_files_close(&checkpoint->files);
    free(checkpoint->tensors);
    free(checkpoint->by_name);
    free(checkpoint);
}

size_t tern__checkpoint_count(const tern_checkpoint *checkpoint) { return checkpoint->n_tensors; }

const tern_tensor *tern__checkpoint_get(const tern_checkpoint *checkpoint, size_t index) {
    return index < checkpoint->n_tensors ? &checkpoint->tensors[index] : NULL;
}

const tern_tensor *tern__checkpoint_find(const tern_checkpoint *checkpoint, const char *name) {
    const tern_tensor key = {.name = name};
    const tern_tensor *const wanted = &key;
    const tern_tensor **found = bsearch(&wanted, checkpoint->by_name, checkpoint->n_tensors, sizeof *checkpoint->by_name, compare_names);
    return found ? *found : NULL;
}

size_t tern__checkpoint_index(const tern_checkpoint *checkpoint, const tern_tensor *tensor) {
    return (size_t)(tensor - checkpoint->tensors);
}

size_t tern__checkpoint_bytes(const tern_checkpoint *checkpoint) {
    size_t bytes = 0;
    for (size_t f = 0; f < checkpoint->files.n; f++) bytes += tern__weight_file_bytes(&checkpoint->files.items[f]);
    return bytes;
}

bool tern__checkpoint_is_mapped(const tern_checkpoint *checkpoint, const void *data) {
    for (size_t f = 0; f < checkpoint->files.n; f++)
        if (tern__weight_file_is_mapped(&checkpoint->files.items[f], data)) return true;
    return false;
}
