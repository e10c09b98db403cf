/* zip_writer.h - what the unit tests of zip files and of torch.save's files share: writing a zip file in memory, and breaking it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_ZIP_WRITER_H
#define TERN_TESTS_ZIP_WRITER_H

#include "temporary_folder.h"

#define ZIP_MAX_ENTRIES 8

typedef struct zip_writer {
    unsigned char bytes[8192];
    size_t n;
    struct {
        const char *name;
        size_t begin, n_bytes, record; /* record: where its directory record begins */
    } entries[ZIP_MAX_ENTRIES];
    size_t n_entries;
    size_t directory, locator, end; /* set by zip_finish */
} zip_writer;

static inline void zip_put(zip_writer *zip, uint64_t value, int width) {
    assert_true(zip->n + 8 <= sizeof zip->bytes);
    for (int i = 0; i < width; i++) zip->bytes[zip->n++] = (unsigned char)(value >> (8 * i));
}

static inline void zip_put_bytes(zip_writer *zip, const void *bytes, size_t n_bytes) {
    assert_true(zip->n + n_bytes <= sizeof zip->bytes);
    memcpy(zip->bytes + zip->n, bytes, n_bytes);
    zip->n += n_bytes;
}

/* A stored entry with a data descriptor and padding to 64 bytes, as torch.save writes it. */
static inline void zip_add(zip_writer *zip, const char *name, const void *bytes, size_t n_bytes) {
    const size_t begin = zip->n, n_name = strlen(name), padding = (64 - (begin + 30 + n_name + 4) % 64) % 64;
    assert_true(zip->n_entries < ZIP_MAX_ENTRIES);
    zip->entries[zip->n_entries].name = name;
    zip->entries[zip->n_entries].begin = begin;
    zip->entries[zip->n_entries++].n_bytes = n_bytes;
    zip_put(zip, 0x04034B50, 4);
    zip_put(zip, 0, 2);
    zip_put(zip, 8, 2); /* the sizes stand behind the data */
    for (int i = 0; i < 9; i++) zip_put(zip, 0, 2);
    zip_put(zip, n_name, 2);
    zip_put(zip, 4 + padding, 2);
    zip_put_bytes(zip, name, n_name);
    zip_put(zip, 'F' | 'B' << 8, 2);
    zip_put(zip, padding, 2);
    for (size_t i = 0; i < padding; i++) zip_put(zip, 'Z', 1);
    zip_put_bytes(zip, bytes, n_bytes);
    zip_put(zip, 0x08074B50, 4);
    zip_put(zip, 0, 4);
    zip_put(zip, n_bytes, 4);
    zip_put(zip, n_bytes, 4);
}

/* The directory and the end record; in zip64 all sizes and offsets stand in zip64 fields alone. */
static inline void zip_finish(zip_writer *zip, bool is_zip64) {
    zip->directory = zip->n;
    for (size_t i = 0; i < zip->n_entries; i++) {
        const size_t n_name = strlen(zip->entries[i].name);
        zip->entries[i].record = zip->n;
        zip_put(zip, 0x02014B50, 4);
        for (int j = 0; j < 6; j++) zip_put(zip, j == 2 ? 8 : 0, 2);
        zip_put(zip, 0, 4); /* checksum */
        zip_put(zip, is_zip64 ? UINT32_MAX : zip->entries[i].n_bytes, 4);
        zip_put(zip, is_zip64 ? UINT32_MAX : zip->entries[i].n_bytes, 4);
        zip_put(zip, n_name, 2);
        zip_put(zip, is_zip64 ? 32 : 0, 2);
        for (int j = 0; j < 5; j++) zip_put(zip, 0, 2);
        zip_put(zip, is_zip64 ? UINT32_MAX : zip->entries[i].begin, 4);
        zip_put_bytes(zip, zip->entries[i].name, n_name);
        if (!is_zip64) continue;
        zip_put(zip, 0x7777, 2); /* a field of another kind, which is passed over */
        zip_put(zip, 0, 2);
        zip_put(zip, 1, 2);
        zip_put(zip, 24, 2);
        zip_put(zip, zip->entries[i].n_bytes, 8);
        zip_put(zip, zip->entries[i].n_bytes, 8);
        zip_put(zip, zip->entries[i].begin, 8);
    }
    const size_t directory_bytes = zip->n - zip->directory, end64 = zip->n;
    if (is_zip64) {
        zip_put(zip, 0x06064B50, 4);
        zip_put(zip, 44, 8);
        zip_put(zip, 0, 4);
        zip_put(zip, 0, 8); /* disks */
        zip_put(zip, zip->n_entries, 8);
        zip_put(zip, zip->n_entries, 8);
        zip_put(zip, directory_bytes, 8);
        zip_put(zip, zip->directory, 8);
        zip->locator = zip->n;
        zip_put(zip, 0x07064B50, 4);
        zip_put(zip, 0, 4);
        zip_put(zip, end64, 8);
        zip_put(zip, 1, 4);
    }
    zip->end = zip->n;
    zip_put(zip, 0x06054B50, 4);
    zip_put(zip, 0, 4); /* disks */
    zip_put(zip, is_zip64 ? UINT16_MAX : zip->n_entries, 2);
    zip_put(zip, is_zip64 ? UINT16_MAX : zip->n_entries, 2);
    zip_put(zip, is_zip64 ? UINT32_MAX : directory_bytes, 4);
    zip_put(zip, is_zip64 ? UINT32_MAX : zip->directory, 4);
    zip_put(zip, 0, 2);
}

/* Write over what is there. */
static inline void zip_patch(zip_writer *zip, size_t at, uint64_t value, int width) {
    for (int i = 0; i < width; i++) zip->bytes[at + (size_t)i] = (unsigned char)(value >> (8 * i));
}

#endif
