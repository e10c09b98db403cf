/* checkpoint.c - opening the weights of a folder, whole: every file that the index names, and no tensor more or less than it lists.
 * Source: the index that Hugging Face's save_pretrained writes, {"metadata": {...}, "weight_map": {tensor: file}}.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/safetensors.h"

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

struct tern_checkpoint {
    size_t n_files;
    tern_safetensors **files;
    size_t n_tensors;
    tern_tensor *tensors;        /* copies of the files' records, so that an index is a difference of pointers */
    const tern_tensor **by_name; /* into tensors, sorted by name */
};

/* ---- Names for a message: as many as fit, then how many more there are ---- */

typedef struct tern_name_list {
    char text[1536];
    size_t n_text;
    size_t n_names;
    size_t n_left_out;
} tern_name_list;

static void name_list_add(tern_name_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void name_list_add(tern_name_list *list, const char *format, ...) {
    char line[384] = "\n  ";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + 3, sizeof line - 3, format, arguments);
    va_end(arguments);
    size_t n = strlen(line);
    list->n_names++;
    if (n >= sizeof list->text - list->n_text) {
        list->n_left_out++;
        return;
    }
    memcpy(list->text + list->n_text, line, n + 1);
    list->n_text += n;
}

/* "\n  and 5 more", or nothing. */
static tern_quoted name_list_rest(const tern_name_list *list) {
    tern_quoted rest = {""};
    if (list->n_left_out > 0) snprintf(rest.text, sizeof rest.text, "\n  and %zu more", list->n_left_out);
    return rest;
}

/* ---- The files ---- */

static tern_status open_file(tern_checkpoint *checkpoint, const char *folder, const char *name, tern_error *err) {
    char *path = tern__path_join(folder, name);
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    tern_status status = tern_safetensors_open(&checkpoint->files[checkpoint->n_files], path, err);
    if (status == TERN_OK) checkpoint->n_files++;
    free(path);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tern_tensor *const *)a)->name, (*(const tern_tensor *const *)b)->name);
}

/* Gather the tensors of all files. */
static tern_status collect_tensors(tern_checkpoint *checkpoint, tern_error *err) {
    size_t n = 0;
    for (size_t f = 0; f < checkpoint->n_files; f++) n += tern_safetensors_count(checkpoint->files[f]);
    checkpoint->tensors = tern__alloc(n, sizeof *checkpoint->tensors);
    checkpoint->by_name = tern__alloc(n, sizeof *checkpoint->by_name);
    if (!checkpoint->tensors || !checkpoint->by_name) return TERN_FAIL_MEMORY(err, n * sizeof *checkpoint->tensors);
    for (size_t f = 0; f < checkpoint->n_files; f++)
        for (size_t i = 0; i < tern_safetensors_count(checkpoint->files[f]); i++) {
            tern_tensor *tensor = &checkpoint->tensors[checkpoint->n_tensors];
            *tensor = *tern_safetensors_get(checkpoint->files[f], i);
            checkpoint->by_name[checkpoint->n_tensors++] = tensor;
        }
    qsort(checkpoint->by_name, n, sizeof *checkpoint->by_name, compare_names);
    return TERN_OK;
}

/* ---- The index ---- */

/* A relative path that does not climb. A link in the folder may point anywhere: whoever made the folder made it. */
static bool is_inside_folder(const char *name, size_t n_name) {
    if (n_name == 0 || name[0] == '/' || strlen(name) != n_name) return false;
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.') return false;
        part += n;
        if (*part == '\0') return true;
    }
}

/* Open each file that weight_map names, once, in the order in which they are first named. `opened` maps a file's name to its number. */
static tern_status open_listed(tern_checkpoint *checkpoint, json_t *opened, json_t *weight_map, const char *folder, const char *index_path,
                               tern_error *err) {
    checkpoint->files = tern__alloc_zero(json_object_size(weight_map), sizeof(tern_safetensors *));
    if (!checkpoint->files) return TERN_FAIL_MEMORY(err, json_object_size(weight_map) * sizeof(tern_safetensors *));
    const char *name;
    json_t *file;
    json_object_foreach(weight_map, name, file) {
        const char *file_name = json_string_value(file);
        if (!file_name) return TERN_FAIL(err, TERN_E_FORMAT, "%s: the file of %s must be a string", index_path, tern__quote(name).text);
        if (!is_inside_folder(file_name, json_string_length(file)))
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: the file of %s, %s, is not inside the folder", index_path, tern__quote(name).text,
                             tern__quote(file_name).text);
        if (json_object_get(opened, file_name)) continue;
        if (json_object_set_new_nocheck(opened, file_name, json_integer((json_int_t)checkpoint->n_files)) != 0)
            return TERN_FAIL_MEMORY(err, strlen(file_name));
        TERN_TRY(open_file(checkpoint, folder, file_name, err));
    }
    return TERN_OK;
}

/* Both ways: each listed tensor is in the file that it is listed in, and each tensor of a file is listed there. */
static tern_status check_listed(const tern_checkpoint *checkpoint, json_t *opened, json_t *weight_map, const char *index_path,
                                tern_error *err) {
    tern_name_list problems = {0};
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        json_int_t file = json_integer_value(json_object_get(opened, json_string_value(value)));
        if (!tern_safetensors_find(checkpoint->files[file], name))
            name_list_add(&problems, "listed, but not in %s: %s", tern__quote(json_string_value(value)).text, tern__quote(name).text);
    }
    json_object_foreach(opened, name, value) {
        const tern_safetensors *file = checkpoint->files[json_integer_value(value)];
        for (size_t i = 0; i < tern_safetensors_count(file); i++) {
            const char *tensor = tern_safetensors_get(file, i)->name;
            const char *listed_in = json_string_value(json_object_get(weight_map, tensor));
            if (!listed_in || strcmp(listed_in, name) != 0)
                name_list_add(&problems, "in %s, but not listed there: %s", tern__quote(name).text, tern__quote(tensor).text);
        }
    }
    if (problems.n_names == 0) return TERN_OK;
    return TERN_FAIL(err, TERN_E_WEIGHTS, "%s: %zu tensors are not where the index says:%s%s", index_path, problems.n_names, problems.text,
                     name_list_rest(&problems).text);
}

static tern_status open_index(tern_checkpoint *checkpoint, const char *folder, const char *index_path, tern_error *err) {
    json_t *index;
    TERN_TRY(tern__json_load(&index, index_path, err));
    json_t *weight_map = json_object_get(index, "weight_map");
    json_t *opened = json_object();
    tern_status status;
    if (!opened) status = TERN_FAIL_MEMORY(err, sizeof(json_t));
    else if (!json_is_object(weight_map)) status = TERN_FAIL(err, TERN_E_FORMAT, "%s: has no object \"weight_map\"", index_path);
    else status = open_listed(checkpoint, opened, weight_map, folder, index_path, err);
    if (status == TERN_OK) status = check_listed(checkpoint, opened, weight_map, index_path, err);
    json_decref(opened);
    json_decref(index);
    return status;
}

/* ---- No weights that this version reads ---- */

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

static tern_status fail_no_weights(const char *folder, tern_error *err) {
    struct dirent **found;
    int n = scandir(folder, &found, is_weight_file, alphasort);
    if (n < 0) return TERN_FAIL(err, errno == ENOMEM ? TERN_E_MEMORY : TERN_E_IO, "%s: cannot be read: %s", folder, strerror(errno));
    tern_name_list names = {0};
    for (int i = 0; i < n; i++) {
        name_list_add(&names, "%s", tern__quote(found[i]->d_name).text);
        free(found[i]);
    }
    free(found);
    if (n == 0) return TERN_FAIL(err, TERN_E_IO, "%s: has no weights: neither %s nor %s is there", folder, single_name, index_name);
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: has neither %s nor %s, which are what this version reads, but:%s%s", folder, single_name,
                     index_name, names.text, name_list_rest(&names).text);
}

/* ---- The set ---- */

static tern_status open_folder(tern_checkpoint *checkpoint, const char *folder, const char *single_path, const char *index_path,
                               tern_error *err) {
    if (tern__file_exists(single_path)) {
        checkpoint->files = tern__alloc_zero(1, sizeof(tern_safetensors *));
        if (!checkpoint->files) return TERN_FAIL_MEMORY(err, sizeof(tern_safetensors *));
        TERN_TRY(open_file(checkpoint, folder, single_name, err));
    } else if (tern__file_exists(index_path)) {
        TERN_TRY(open_index(checkpoint, folder, index_path, err));
    } else {
        return fail_no_weights(folder, err);
    }
    return collect_tensors(checkpoint, err);
}

tern_status tern__checkpoint_open(tern_checkpoint **out, const char *folder, tern_error *err) {
    *out = NULL;
    tern_checkpoint *checkpoint = tern__alloc_zero(1, sizeof *checkpoint);
    char *single_path = tern__path_join(folder, single_name), *index_path = tern__path_join(folder, index_name);
    tern_status status = checkpoint && single_path && index_path ? open_folder(checkpoint, folder, single_path, index_path, err)
                                                                 : TERN_FAIL_MEMORY(err, sizeof *checkpoint);
    free(single_path);
    free(index_path);
    if (status == TERN_OK) *out = checkpoint;
    else tern__checkpoint_close(checkpoint);
    return status;
}

void tern__checkpoint_close(tern_checkpoint *checkpoint) {
    if (!checkpoint) return;
    for (size_t f = 0; f < checkpoint->n_files; f++) tern_safetensors_close(checkpoint->files[f]);
    free(checkpoint->files);
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
    for (size_t f = 0; f < checkpoint->n_files; f++) bytes += tern__safetensors_bytes(checkpoint->files[f]);
    return bytes;
}
