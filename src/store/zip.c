/* zip.c - reading the directory of a zip file; the entries stay where they are.
 *
 * Only what torch.save needs: stored entries of one volume, zip64 or not. Checksums are not computed: torch itself can be told to leave
 * them out, and to read every weight once more would undo the mapping.
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/names.h"

enum {
    LOCAL_BYTES = 30,         /* fixed part of a local header */
    CENTRAL_BYTES = 46,       /* fixed part of a central directory record */
    END_BYTES = 22,           /* fixed part of the end record */
    END64_BYTES = 56,         /* fixed part of the zip64 end record */
    LOCATOR64_BYTES = 20,     /* zip64 locator, right before the end record */
    MAX_COMMENT_BYTES = 65535 /* behind the end record */
};

static const unsigned char local_mark[4] = {'P', 'K', 3, 4}, central_mark[4] = {'P', 'K', 1, 2}, end_mark[4] = {'P', 'K', 5, 6},
                           end64_mark[4] = {'P', 'K', 6, 6}, locator64_mark[4] = {'P', 'K', 6, 7};

typedef struct zip_reader {
    const unsigned char *bytes;
    size_t n_bytes;
    size_t directory, directory_end; /* offsets of the central directory */
    const char *name;
    tern_error *err;
} zip_reader;

static uint64_t read_little(const unsigned char *bytes, int n) {
    uint64_t value = 0;
    while (n-- > 0) value = value << 8 | bytes[n];
    return value;
}

static bool has_mark(const unsigned char *bytes, const unsigned char mark[4]) { return memcmp(bytes, mark, 4) == 0; }

#define FAIL_ZIP(reader, ...) fail_zip((reader), __LINE__, __VA_ARGS__)

static tern_status fail_zip(const zip_reader *reader, int line, const char *problem) {
    return tern__fail(reader->err, TERN_E_FORMAT, __FILE__, line, "%s: broken zip file: %s", reader->name, problem);
}

/* The end record is the last thing in the file but for a comment, whose length it has. */
static tern_status find_end(size_t *end, const zip_reader *reader) {
    for (size_t tail = END_BYTES; tail <= reader->n_bytes && tail <= END_BYTES + MAX_COMMENT_BYTES; tail++) {
        const unsigned char *at = reader->bytes + reader->n_bytes - tail;
        if (!has_mark(at, end_mark) || read_little(at + 20, 2) != tail - END_BYTES) continue;
        *end = reader->n_bytes - tail;
        return TERN_OK;
    }
    return FAIL_ZIP(reader, "it has no end record; was it cut short?");
}

/* What the end record says, or the zip64 end record where there is one. */
static tern_status read_end(zip_reader *reader, uint64_t *n_entries) {
    size_t end = 0;
    TERN_TRY(find_end(&end, reader));
    const unsigned char *record = reader->bytes + end;
    bool is_one_volume = read_little(record + 4, 2) == 0 && read_little(record + 6, 2) == 0;
    *n_entries = read_little(record + 10, 2);
    uint64_t directory_bytes = read_little(record + 12, 4), directory = read_little(record + 16, 4);
    if (end >= LOCATOR64_BYTES && has_mark(record - LOCATOR64_BYTES, locator64_mark)) {
        const uint64_t end64 = read_little(record - LOCATOR64_BYTES + 8, 8);
        end -= LOCATOR64_BYTES;
        if (end < END64_BYTES || end64 > end - END64_BYTES || !has_mark(reader->bytes + end64, end64_mark))
            return FAIL_ZIP(reader, "its zip64 end record is not where it should be");
        record = reader->bytes + end64;
        end = (size_t)end64;
        is_one_volume = read_little(record + 16, 4) == 0 && read_little(record + 20, 4) == 0;
        *n_entries = read_little(record + 32, 8);
        directory_bytes = read_little(record + 40, 8);
        directory = read_little(record + 48, 8);
    }
    if (!is_one_volume) return TERN_FAIL(reader->err, TERN_E_UNSUPPORTED, "%s: a zip file of several volumes", reader->name);
    if (directory > end || directory_bytes > end - directory) return FAIL_ZIP(reader, "its directory passes the end");
    if (*n_entries > directory_bytes / CENTRAL_BYTES)
        return FAIL_ZIP(reader, "it says that it has more entries than its directory can hold");
    reader->directory = (size_t)directory;
    reader->directory_end = (size_t)(directory + directory_bytes);
    return TERN_OK;
}

/* The zip64 field of a record, which has the values that do not fit in 32 bits, in this order. */
static bool read_extra64(const unsigned char *extra, size_t n_extra, uint64_t *wanted[], size_t n_wanted) {
    if (n_wanted == 0) return true;
    while (n_extra >= 4) {
        const uint64_t kind = read_little(extra, 2);
        const size_t n = (size_t)read_little(extra + 2, 2);
        if (n > n_extra - 4) return false;
        if (kind == 1) {
            if (n < 8 * n_wanted) return false;
            for (size_t i = 0; i < n_wanted; i++) *wanted[i] = read_little(extra + 4 + 8 * i, 8);
            return true;
        }
        extra += 4 + n;
        n_extra -= 4 + n;
    }
    return false;
}

/* Where the data are, from the local header: its name and extra field may be of other lengths than the directory's. */
static tern_status read_local(tern_zip_entry *entry, const zip_reader *reader, uint64_t begin, uint64_t n_bytes) {
    if (begin > reader->directory || reader->directory - begin < LOCAL_BYTES) return FAIL_ZIP(reader, "an entry passes the end");
    const unsigned char *record = reader->bytes + begin;
    if (!has_mark(record, local_mark)) return FAIL_ZIP(reader, "an entry is not where the directory says");
    const uint64_t n_name = read_little(record + 26, 2), n_head = LOCAL_BYTES + n_name + read_little(record + 28, 2);
    const uint64_t room = reader->directory - begin;
    if (n_head > room || n_bytes > room - n_head) return FAIL_ZIP(reader, "an entry passes the end");
    if (n_name != entry->n_name || memcmp(record + LOCAL_BYTES, entry->name, entry->n_name) != 0)
        return FAIL_ZIP(reader, "an entry has two names");
    entry->begin = (size_t)begin;
    entry->data = record + n_head;
    entry->n_bytes = (size_t)n_bytes;
    return TERN_OK;
}

/* The record of the central directory at *offset, which moves behind it. */
static tern_status read_record(tern_zip_entry *entry, size_t *offset, const zip_reader *reader) {
    const unsigned char *record = reader->bytes + *offset;
    const size_t room = reader->directory_end - *offset;
    if (room < CENTRAL_BYTES || !has_mark(record, central_mark)) return FAIL_ZIP(reader, "its directory has fewer entries than it says");
    const size_t n_name = (size_t)read_little(record + 28, 2), n_extra = (size_t)read_little(record + 30, 2);
    const size_t n_record = CENTRAL_BYTES + n_name + n_extra + (size_t)read_little(record + 32, 2);
    if (n_record > room) return FAIL_ZIP(reader, "its directory passes the end");
    *entry = (tern_zip_entry){.name = (const char *)record + CENTRAL_BYTES, .n_name = n_name};

    uint64_t n_stored = read_little(record + 20, 4), n_bytes = read_little(record + 24, 4), begin = read_little(record + 42, 4);
    uint64_t *wanted[3];
    size_t n_wanted = 0;
    if (n_bytes == UINT32_MAX) wanted[n_wanted++] = &n_bytes;
    if (n_stored == UINT32_MAX) wanted[n_wanted++] = &n_stored;
    if (begin == UINT32_MAX) wanted[n_wanted++] = &begin;
    if (!read_extra64(record + CENTRAL_BYTES + n_name, n_extra, wanted, n_wanted))
        return FAIL_ZIP(reader, "an entry lacks its zip64 sizes");

    if (read_little(record + 8, 2) & 1)
        return TERN_FAIL(reader->err, TERN_E_UNSUPPORTED, "%s: entry %s is encrypted: unpack it, and save its content with torch.save",
                         reader->name, tern__quote_bytes(entry->name, n_name).text);
    if (read_little(record + 10, 2) != 0)
        return TERN_FAIL(reader->err, TERN_E_UNSUPPORTED,
                         "%s: entry %s is compressed, which torch.save never does: unpack it, and pack it again with \"zip -0\"",
                         reader->name, tern__quote_bytes(entry->name, n_name).text);
    if (n_stored != n_bytes) return FAIL_ZIP(reader, "a stored entry has two sizes");
    *offset += n_record;
    return read_local(entry, reader, begin, n_bytes);
}

static int compare_name(const tern_zip_entry *entry, const char *name, size_t n_name) {
    const int order = memcmp(entry->name, name, entry->n_name < n_name ? entry->n_name : n_name);
    return order != 0 ? order : (entry->n_name > n_name) - (entry->n_name < n_name);
}

static int compare_entry_names(const void *a, const void *b) {
    const tern_zip_entry *y = b;
    return compare_name(a, y->name, y->n_name);
}

static int compare_begins(const void *a, const void *b) {
    const tern_zip_entry *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static tern_status read_directory(tern_zip *zip, const zip_reader *reader, size_t n_entries) {
    size_t offset = reader->directory;
    for (; zip->n_entries < n_entries; zip->n_entries++) TERN_TRY(read_record(&zip->entries[zip->n_entries], &offset, reader));
    if (offset != reader->directory_end) return FAIL_ZIP(reader, "its directory has more entries than it says");
    if (n_entries == 0) return TERN_OK;
    zip->first_name = zip->entries[0].name;
    zip->n_first_name = zip->entries[0].n_name;
    qsort(zip->entries, n_entries, sizeof *zip->entries, compare_begins);
    for (size_t i = 1; i < n_entries; i++) {
        const tern_zip_entry *before = &zip->entries[i - 1];
        if (zip->entries[i].begin < (size_t)(before->data - reader->bytes) + before->n_bytes)
            return FAIL_ZIP(reader, "two entries overlap");
    }
    qsort(zip->entries, n_entries, sizeof *zip->entries, compare_entry_names);
    for (size_t i = 1; i < n_entries; i++)
        if (compare_entry_names(&zip->entries[i - 1], &zip->entries[i]) == 0) return FAIL_ZIP(reader, "two entries have one name");
    return TERN_OK;
}

tern_status tern__zip_open(tern_zip *out, const unsigned char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    *out = (tern_zip){0};
    zip_reader reader = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .err = err};
    uint64_t n_entries = 0;
    TERN_TRY(read_end(&reader, &n_entries));
    tern_zip zip = {.entries = tern__alloc((size_t)n_entries, sizeof *zip.entries)};
    if (!zip.entries) return TERN_FAIL_MEMORY(err, (size_t)n_entries * sizeof *zip.entries);
    const tern_status status = read_directory(&zip, &reader, (size_t)n_entries);
    if (status == TERN_OK) *out = zip;
    else tern__zip_close(&zip);
    return status;
}

void tern__zip_close(tern_zip *zip) {
    free(zip->entries);
    *zip = (tern_zip){0};
}

const tern_zip_entry *tern__zip_find(const tern_zip *zip, const char *name, size_t n_name) {
    const tern_zip_entry key = {.name = name, .n_name = n_name};
    return bsearch(&key, zip->entries, zip->n_entries, sizeof key, compare_entry_names);
}
