/* index.c - a sharded checkpoint, whole: every file that the index names, and no tensor more or less than it lists.
 * Source: the index that Hugging Face's save_pretrained writes, {"metadata": {...}, "weight_map": {tensor: file}}.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/names.h"

static tern_status open_file(tern_weight_files *files, const char *folder, const char *name, tern_weight_format format, tern_error *err) {
    char *path = tern__path_join(folder, name);
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    const tern_status status = tern__weight_file_open(&files->items[files->n], path, format, err);
    if (status == TERN_OK) files->n++;
    free(path);
    return status;
}

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
static tern_status open_listed(tern_weight_files *files, json_t *opened, json_t *weight_map, const char *folder, const char *index_path,
                               tern_weight_format format, tern_error *err) {
    files->items = tern__alloc_zero(json_object_size(weight_map), sizeof *files->items);
    if (!files->items) return TERN_FAIL_MEMORY(err, json_object_size(weight_map) * sizeof *files->items);
    const char *name;
    json_t *file;
    json_object_foreach(weight_map, name, file) {
        const char *file_name = json_string_value(file);
        if (!file_name) return TERN_FAIL(err, TERN_E_FORMAT, "%s: the file of %s must be a string", index_path, tern__quote(name).text);
        if (!is_inside_folder(file_name, json_string_length(file)))
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: the file of %s, %s, is not inside the folder", index_path, tern__quote(name).text,
                             tern__quote(file_name).text);
        if (json_object_get(opened, file_name)) continue;
        if (json_object_set_new_nocheck(opened, file_name, json_integer((json_int_t)files->n)) != 0)
            return TERN_FAIL_MEMORY(err, strlen(file_name));
        TERN_TRY(open_file(files, folder, file_name, format, err));
    }
    return TERN_OK;
}

/* Both ways: each listed tensor is in the file that it is listed in, and each tensor of a file is listed there. */
static tern_status check_listed(const tern_weight_files *files, json_t *opened, json_t *weight_map, const char *index_path,
                                tern_error *err) {
    tern_name_list problems = {0};
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value) {
        json_int_t file = json_integer_value(json_object_get(opened, json_string_value(value)));
        if (!tern__weight_file_find(&files->items[file], name))
            tern__name_list_add(&problems, "listed, but not in %s: %s", tern__quote(json_string_value(value)).text, tern__quote(name).text);
    }
    json_object_foreach(opened, name, value) {
        const tern_weight_file *file = &files->items[json_integer_value(value)];
        for (size_t i = 0; i < tern__weight_file_count(file); i++) {
            const char *tensor = tern__weight_file_get(file, i)->name;
            const char *listed_in = json_string_value(json_object_get(weight_map, tensor));
            if (!listed_in || strcmp(listed_in, name) != 0)
                tern__name_list_add(&problems, "in %s, but not listed there: %s", tern__quote(name).text, tern__quote(tensor).text);
        }
    }
    if (problems.n_names == 0) return TERN_OK;
    return TERN_FAIL(err, TERN_E_WEIGHTS, "%s: %zu tensors are not where the index says:%s%s", index_path, problems.n_names, problems.text,
                     tern__name_list_rest(&problems).text);
}

tern_status tern__index_open(tern_weight_files *out, const char *folder, const char *index_name, tern_weight_format format,
                             tern_error *err) {
    char *index_path = tern__path_join(folder, index_name);
    if (!index_path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(index_name) + 2);
    json_t *index, *opened = NULL;
    tern_status status = tern__json_load(&index, index_path, err);
    if (status == TERN_OK) {
        json_t *weight_map = json_object_get(index, "weight_map");
        opened = json_object();
        if (!opened) status = TERN_FAIL_MEMORY(err, sizeof(json_t));
        else if (!json_is_object(weight_map)) status = TERN_FAIL(err, TERN_E_FORMAT, "%s: has no object \"weight_map\"", index_path);
        else status = open_listed(out, opened, weight_map, folder, index_path, format, err);
        if (status == TERN_OK) status = check_listed(out, opened, weight_map, index_path, err);
        json_decref(opened);
        json_decref(index);
    }
    free(index_path);
    return status;
}
