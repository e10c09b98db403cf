/* torch_container.c - where torch.save put the pickle and the storages.
 *
 * Zip: <archive>/data.pkl, one stored entry <archive>/data/<key> a storage, and <archive>/byteorder. Legacy: the pickles of a magic number,
 * a protocol version, facts about the machine, the object, and a list of keys; then for each key 8 bytes of element count and the elements.
 * Source: torch/serialization.py (_save, _legacy_save, _load, _legacy_load) and caffe2/serialize/inline_container.h of PyTorch.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/torch_container.h"

#include <stdlib.h>
#include <string.h>

#include "store/names.h"
#include "store/zip.h"

/* ---- Storages by key ---- */

/* The storages of a pickle, sorted by key: several mentions of one storage stand together. */
typedef struct storage_set {
    tern_storage **sorted;
    size_t n;
} storage_set;

static int compare_keys(const void *a, const void *b) {
    const tern_storage *x = *(const tern_storage *const *)a, *y = *(const tern_storage *const *)b;
    const int order = memcmp(x->key, y->key, x->n_key < y->n_key ? x->n_key : y->n_key);
    return order != 0 ? order : (x->n_key > y->n_key) - (x->n_key < y->n_key);
}

#define FAIL_STORAGE(pickle, code, storage, format, ...)                                                                                   \
    TERN_FAIL((pickle)->err, (code), "%s: storage %s: " format, (pickle)->name, tern__quote_bytes((storage)->key, (storage)->n_key).text,  \
              __VA_ARGS__)

static size_t storage_bytes(const tern_storage *storage) { return storage->n_elements * tern_dtype_bytes(storage->dtype); }

/* Every mention of a storage must say the same of it. Free set->sorted whether this succeeds or not. */
static tern_status sort_storages(storage_set *set, tern_pickle *pickle) {
    *set = (storage_set){.sorted = tern__alloc(pickle->n_storages, sizeof *set->sorted), .n = pickle->n_storages};
    if (!set->sorted) return TERN_FAIL_MEMORY(pickle->err, set->n * sizeof *set->sorted);
    for (size_t i = 0; i < set->n; i++) set->sorted[i] = &pickle->storages[i];
    qsort(set->sorted, set->n, sizeof *set->sorted, compare_keys);
    for (size_t i = 1; i < set->n; i++) {
        const tern_storage *a = set->sorted[i - 1], *b = set->sorted[i];
        if (compare_keys(&a, &b) != 0) continue;
        if (a->dtype != b->dtype || a->is_untyped != b->is_untyped || a->n_elements != b->n_elements)
            return FAIL_STORAGE(pickle, TERN_E_FORMAT, a, "is %zu %s and also %zu %s", a->n_elements, tern_dtype_name(a->dtype),
                                b->n_elements, tern_dtype_name(b->dtype));
    }
    return TERN_OK;
}

/* The mentions of one storage: set->sorted[first] to [return value - 1]. */
static size_t end_of_group(const storage_set *set, size_t first) {
    size_t end = first + 1;
    while (end < set->n && compare_keys(&set->sorted[first], &set->sorted[end]) == 0) end++;
    return end;
}

static void set_data(const storage_set *set, size_t first, const unsigned char *data) {
    const size_t end = end_of_group(set, first);
    for (size_t i = first; i < end; i++) set->sorted[i]->data = data + set->sorted[i]->view_begin * tern_dtype_bytes(set->sorted[i]->dtype);
}

/* ---- The zip container ---- */

/* The entry "<archive>/<part><key>"; NULL when there is none, or no memory. The archive is what the first entry's name begins with. */
static const tern_zip_entry *find_entry(const tern_zip *zip, const char *part, const void *key, size_t n_key, bool *has_memory) {
    const char *slash = zip->n_entries ? memchr(zip->first_name, '/', zip->n_first_name) : NULL;
    if (!slash) return NULL;
    const size_t n_archive = (size_t)(slash - zip->first_name) + 1, n_part = strlen(part);
    char *name = tern__alloc(n_archive + n_part + n_key, 1); /* three lengths of at most 65535 */
    *has_memory = name != NULL;
    if (!name) return NULL;
    memcpy(name, zip->first_name, n_archive);
    memcpy(name + n_archive, part, n_part);
    if (n_key > 0) memcpy(name + n_archive + n_part, key, n_key);
    const tern_zip_entry *entry = tern__zip_find(zip, name, n_archive + n_part + n_key);
    free(name);
    return entry;
}

/* Find an entry; *out is NULL when there is none. */
static tern_status look_up(const tern_zip_entry **out, const tern_pickle *pickle, const tern_zip *zip, const char *part, const void *key,
                           size_t n_key) {
    bool has_memory = true;
    *out = find_entry(zip, part, key, n_key, &has_memory);
    return has_memory ? TERN_OK : TERN_FAIL_MEMORY(pickle->err, strlen(part) + n_key);
}

static tern_status find_storages(tern_pickle *pickle, const tern_zip *zip, const storage_set *set) {
    for (size_t first = 0; first < set->n; first = end_of_group(set, first)) {
        const tern_storage *storage = set->sorted[first];
        const tern_zip_entry *entry = NULL;
        TERN_TRY(look_up(&entry, pickle, zip, "data/", storage->key, storage->n_key));
        if (!entry) return FAIL_STORAGE(pickle, TERN_E_FORMAT, storage, "is not in the %s", "file");
        if (entry->n_bytes < storage_bytes(storage))
            return FAIL_STORAGE(pickle, TERN_E_FORMAT, storage, "should have %zu bytes, but has %zu", storage_bytes(storage),
                                entry->n_bytes);
        set_data(set, first, entry->data);
    }
    return TERN_OK;
}

static tern_status check_byte_order(const tern_pickle *pickle, const tern_zip *zip) {
    const tern_zip_entry *entry = NULL;
    TERN_TRY(look_up(&entry, pickle, zip, "byteorder", NULL, 0));
    if (!entry || (entry->n_bytes == 6 && memcmp(entry->data, "little", 6) == 0)) return TERN_OK; /* files before 2.1 do not say */
    return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: its byte order is %s; only little is read", pickle->name,
                     tern__quote_bytes(entry->data, entry->n_bytes).text);
}

static tern_status read_zip_entries(tern_pickle *pickle, tern_value *out, const tern_zip *zip) {
    const tern_zip_entry *entry = NULL;
    TERN_TRY(look_up(&entry, pickle, zip, "constants.pkl", NULL, 0));
    if (entry)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: is a TorchScript program; save its state_dict() with torch.save",
                         pickle->name);
    TERN_TRY(look_up(&entry, pickle, zip, "data.pkl", NULL, 0));
    if (!entry) return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: is a zip file without data.pkl, so not of torch.save", pickle->name);
    TERN_TRY(check_byte_order(pickle, zip));
    pickle->bytes = entry->data;
    pickle->n_bytes = entry->n_bytes;
    TERN_TRY(tern__pickle_run(pickle, out));
    storage_set set;
    tern_status status = sort_storages(&set, pickle);
    if (status == TERN_OK) status = find_storages(pickle, zip, &set);
    free(set.sorted);
    return status;
}

static tern_status read_zip(tern_pickle *pickle, tern_value *out, const unsigned char *bytes, size_t n_bytes) {
    tern_zip zip;
    TERN_TRY(tern__zip_open(&zip, bytes, n_bytes, pickle->name, pickle->err));
    const tern_status status = read_zip_entries(pickle, out, &zip);
    tern__zip_close(&zip);
    return status;
}

/* ---- The legacy container ---- */

/* 0x1950a86a20f9469cfc6c, as protocols 2 and 1 write it. */
static bool is_magic_number(const tern_value *value) {
    static const unsigned char bytes[] = {0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19};
    static const char digits[] = "119547037146038801333356";
    if (value->kind != TERN_VALUE_LONG) return false;
    return (value->n_bytes == sizeof bytes && memcmp(value->bytes, bytes, sizeof bytes) == 0) ||
           (value->n_bytes == sizeof digits - 1 && memcmp(value->bytes, digits, sizeof digits - 1) == 0);
}

/* The value of a key in a dict; NULL when there is none. */
static const tern_value *find_item(const tern_value *dict, const char *key) {
    for (size_t i = 0; dict->kind == TERN_VALUE_DICT && i + 1 < dict->list->n; i += 2) {
        const tern_value *item = &dict->list->items[i];
        if (item->kind == TERN_VALUE_STRING && item->n_bytes == strlen(key) && memcmp(item->bytes, key, item->n_bytes) == 0)
            return item + 1;
    }
    return NULL;
}

/* Magic number, protocol version, facts about the machine. */
static tern_status read_legacy_head(tern_pickle *pickle) {
    tern_value magic = {0}, version = {0}, machine = {0};
    TERN_TRY(tern__pickle_run(pickle, &magic));
    if (!is_magic_number(&magic))
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: is a pickle, but not of torch.save: it does not begin with its magic number",
                         pickle->name);
    TERN_TRY(tern__pickle_run(pickle, &version));
    if (version.kind != TERN_VALUE_INT || version.integer != 1001)
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: its protocol version is not 1001", pickle->name);
    TERN_TRY(tern__pickle_run(pickle, &machine));
    const tern_value *is_little = find_item(&machine, "little_endian");
    if (is_little && is_little->kind == TERN_VALUE_BOOL && is_little->integer) return TERN_OK;
    return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED, "%s: does not say that its byte order is little, the only one that is read",
                     pickle->name);
}

/* The storage of the key at `*at`, behind which *at moves. */
static tern_status read_legacy_storage(tern_pickle *pickle, const storage_set *set, const tern_value *key, size_t *at) {
    if (key->kind != TERN_VALUE_STRING)
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: the key of a storage is %s", pickle->name, tern__value_kind_name(key->kind));
    const tern_storage wanted = {.key = key->bytes, .n_key = key->n_bytes};
    const tern_storage *const wanted_at = &wanted;
    tern_storage **found = set->n ? bsearch(&wanted_at, set->sorted, set->n, sizeof *set->sorted, compare_keys) : NULL;
    if (!found) return FAIL_STORAGE(pickle, TERN_E_FORMAT, &wanted, "is listed, but no %s has it", "tensor");
    while (found > set->sorted && compare_keys(found - 1, found) == 0) found--;
    const tern_storage *storage = *found;
    if (storage->data) return FAIL_STORAGE(pickle, TERN_E_FORMAT, storage, "is listed %s", "twice");
    const size_t room = pickle->n_bytes - *at, n_bytes = storage_bytes(storage);
    if (room < 8 || n_bytes > room - 8)
        return FAIL_STORAGE(pickle, TERN_E_FORMAT, storage, "its %zu bytes pass the end of the file; was it cut short?", n_bytes);
    uint64_t n_elements = 0;
    for (size_t i = 8; i-- > 0;) n_elements = n_elements << 8 | pickle->bytes[*at + i];
    if (n_elements != storage->n_elements)
        return FAIL_STORAGE(pickle, TERN_E_FORMAT, storage, "should have %zu elements, but has %llu", storage->n_elements,
                            (unsigned long long)n_elements);
    set_data(set, (size_t)(found - set->sorted), pickle->bytes + *at + 8);
    *at += 8 + n_bytes;
    return TERN_OK;
}

static tern_status read_legacy_storages(tern_pickle *pickle, const storage_set *set, const tern_value_list *keys) {
    size_t at = pickle->at;
    for (size_t i = 0; i < keys->n; i++) TERN_TRY(read_legacy_storage(pickle, set, &keys->items[i], &at));
    for (size_t i = 0; i < set->n; i++)
        if (!set->sorted[i]->data) return FAIL_STORAGE(pickle, TERN_E_FORMAT, set->sorted[i], "is not in the %s", "file");
    return TERN_OK;
}

static tern_status read_legacy(tern_pickle *pickle, tern_value *out, const unsigned char *bytes, size_t n_bytes) {
    pickle->bytes = bytes;
    pickle->n_bytes = n_bytes;
    TERN_TRY(read_legacy_head(pickle));
    tern_value keys = {0};
    TERN_TRY(tern__pickle_run(pickle, out));
    TERN_TRY(tern__pickle_run(pickle, &keys));
    if (keys.kind != TERN_VALUE_LIST)
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: the keys of the storages are %s, not a list", pickle->name,
                         tern__value_kind_name(keys.kind));
    storage_set set; /* made when no pickle is run any more, so that the array of storages stays where it is */
    tern_status status = sort_storages(&set, pickle);
    if (status == TERN_OK) status = read_legacy_storages(pickle, &set, keys.list);
    free(set.sorted);
    return status;
}

/* ---- Which it is ---- */

static bool begins_with(const unsigned char *bytes, size_t n_bytes, const char *beginning) {
    return n_bytes >= strlen(beginning) && memcmp(bytes, beginning, strlen(beginning)) == 0;
}

tern_status tern__torch_container_read(tern_pickle *pickle, tern_value *out, const unsigned char *bytes, size_t n_bytes) {
    if (begins_with(bytes, n_bytes, "PK")) return read_zip(pickle, out, bytes, n_bytes);
    if (begins_with(bytes, n_bytes, "\x80") || begins_with(bytes, n_bytes, "L")) return read_legacy(pickle, out, bytes, n_bytes);
    if (begins_with(bytes, n_bytes, "version https://git-lfs"))
        return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: is a Git LFS pointer, not the file itself: fetch it with \"git lfs pull\"",
                         pickle->name);
    if (n_bytes > 512 && begins_with(bytes + 257, n_bytes - 257, "ustar"))
        return TERN_FAIL(pickle->err, TERN_E_UNSUPPORTED,
                         "%s: is in the tar container of PyTorch before 0.1.10; load it with PyTorch and save it again", pickle->name);
    return TERN_FAIL(pickle->err, TERN_E_FORMAT, "%s: is not of torch.save: neither a zip file nor a pickle", pickle->name);
}
