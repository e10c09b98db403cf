/* state_dict.c - from the object that torch.save wrote to names and tensors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/state_dict.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "store/names.h"

#define MAX_NAME_BYTES 1024

static size_t count_tensors(const tern_value_list *dict) {
    size_t n = 0;
    for (size_t i = 0; i + 1 < dict->n; i += 2) n += dict->items[i + 1].kind == TERN_VALUE_TENSOR;
    return n;
}

static void add_key(tern_name_list *names, const tern_value *key) {
    if (key->kind == TERN_VALUE_STRING) tern__name_list_add(names, "%s", tern__quote_bytes(key->bytes, key->n_bytes).text);
    else tern__name_list_add(names, "%s", tern__value_kind_name(key->kind));
}

/* The one dict with tensors among the values of `outer`. A pickle can mention one dict many times, and each look counts its items: `left`
 * bounds the looks to more than any pickle that repeats no dict needs. */
static tern_status find_inner(const tern_value_list **out, const tern_pickle *pickle, const tern_value_list *outer) {
    tern_name_list found = {0};
    size_t left = TERN_PICKLE_MAX_MEMORY / sizeof(tern_value);
    for (size_t i = 0; i + 1 < outer->n; i += 2) {
        const tern_value *value = &outer->items[i + 1];
        if (value->kind != TERN_VALUE_DICT) continue;
        if (value->list->n > left) return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: holds one large dict very often", pickle->name);
        left -= value->list->n;
        if (count_tensors(value->list) == 0) continue;
        add_key(&found, &outer->items[i]);
        *out = value->list;
    }
    if (found.n_names == 1) return TERN_OK;
    if (found.n_names > 1)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: holds %zu dicts of tensors; save the one that is meant, alone:%s%s",
                         pickle->name, found.n_names, found.text, tern__name_list_rest(&found).text);
    for (size_t i = 0; i + 1 < outer->n; i += 2) add_key(&found, &outer->items[i]);
    return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: is a dict that holds no tensors, but:%s%s", pickle->name, found.text,
                     tern__name_list_rest(&found).text);
}

/* The name of a tensor, copied with a NUL behind it. */
static tern_status read_name(const char **out, tern_pickle *pickle, const tern_value *key) {
    if (key->kind != TERN_VALUE_STRING)
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: the name of a tensor is %s, not a string", pickle->name,
                         tern__value_kind_name(key->kind));
    const char *bytes = (const char *)key->bytes;
    if (key->n_bytes > MAX_NAME_BYTES || !tern__json_is_utf8(bytes, key->n_bytes) || memchr(bytes, '\0', key->n_bytes))
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: the name of a tensor, %s, is longer than %d bytes, holds NUL, or is not UTF-8",
                         pickle->name, tern__quote_bytes(bytes, key->n_bytes).text, MAX_NAME_BYTES);
    pickle->used_memory += key->n_bytes; /* a key that many entries share is copied for each */
    if (pickle->used_memory > TERN_PICKLE_MAX_MEMORY)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: the names of its tensors are very long", pickle->name);
    *out = tern__arena_copy(&pickle->arena, bytes, key->n_bytes);
    return *out ? TERN_OK : TERN_FAIL_MEMORY(pickle->err, key->n_bytes);
}

static int compare_entry_names(const void *a, const void *b) {
    return strcmp((*(const tern_state_entry *const *)a)->name, (*(const tern_state_entry *const *)b)->name);
}

static tern_status check_unique(const tern_pickle *pickle, const tern_state_entry *entries, size_t n_entries) {
    const tern_state_entry **sorted = tern__alloc(n_entries, sizeof *sorted);
    if (!sorted) return TERN_FAIL_MEMORY(pickle->err, n_entries * sizeof *sorted);
    for (size_t i = 0; i < n_entries; i++) sorted[i] = &entries[i];
    qsort(sorted, n_entries, sizeof *sorted, compare_entry_names);
    tern_status status = TERN_OK;
    for (size_t i = 1; status == TERN_OK && i < n_entries; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: holds tensor %s twice", pickle->name, tern__quote(sorted[i]->name).text);
    free(sorted);
    return status;
}

static tern_status read_entries(tern_state_entry *entries, size_t *n_entries, tern_pickle *pickle, const tern_value_list *dict) {
    for (size_t i = 0; i + 1 < dict->n; i += 2) {
        const tern_value *value = &dict->items[i + 1];
        if (value->kind != TERN_VALUE_TENSOR) continue;
        tern_state_entry *entry = &entries[*n_entries];
        TERN_TRY(read_name(&entry->name, pickle, &dict->items[i]));
        entry->tensor = value->index;
        pickle->tensors[value->index].is_named = true;
        ++*n_entries;
    }
    return check_unique(pickle, entries, *n_entries);
}

/* No tensor of the file may be left over. */
static tern_status check_all_named(const tern_pickle *pickle) {
    for (size_t i = 0; i < pickle->n_tensors; i++)
        if (!pickle->tensors[i].is_named)
            return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED,
                             "%s: byte %zu of the pickle: a tensor that is not an entry of the dict of tensors, but of something in it",
                             pickle->name, pickle->tensors[i].at);
    return TERN_OK;
}

tern_status tern__state_dict_read(tern_state_entry **out, size_t *n_entries, tern_pickle *pickle, const tern_value *object) {
    *out = NULL;
    *n_entries = 0;
    if (object->kind != TERN_VALUE_DICT)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: holds %s, not a dict of tensors such as model.state_dict()", pickle->name,
                         tern__value_kind_name(object->kind));
    const tern_value_list *dict = object->list;
    const bool is_flat = dict->n == 0 || count_tensors(dict) > 0;
    if (!is_flat) TERN_TRY(find_inner(&dict, pickle, object->list));
    const size_t n_tensors = count_tensors(dict);
    tern_state_entry *entries = tern__alloc(n_tensors, sizeof *entries);
    if (!entries) return TERN_FAIL_MEMORY(pickle->err, n_tensors * sizeof *entries);
    tern_status status = read_entries(entries, n_entries, pickle, dict);
    if (status == TERN_OK && is_flat) status = check_all_named(pickle);
    if (status == TERN_OK) *out = entries;
    else free(entries);
    return status;
}
