/* file.h - files and folders: map, read whole, write whole or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_FILE_H
#define TERN_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* A file mapped read-only. bytes may be 0 with data NULL. */
typedef struct tern_mapping {
    const unsigned char *data;
    size_t bytes;
} tern_mapping;

tern_status tern__file_map(tern_mapping *out, const char *path, tern_error *err);
void tern__file_unmap(tern_mapping *mapping);
static inline bool tern__mapping_holds(const tern_mapping *mapping, const void *data) {
    return mapping->data != NULL && (uintptr_t)data - (uintptr_t)mapping->data < mapping->bytes;
}
/* A part of a mapping that will hardly be read again: its whole pages leave the process's memory and come back when they are read. */
void tern__file_forget(const void *data, size_t bytes);

/* The whole file, NUL-terminated behind its last byte; free with free(). Refuses more than max_bytes. */
tern_status tern__file_read(char **out, size_t *n_bytes, const char *path, size_t max_bytes, tern_error *err);

/* "folder/name"; NULL when memory is short. Free with free(). */
char *tern__path_join(const char *folder, const char *name);
/* There is something of that name, readable or not. */
bool tern__file_exists(const char *path);
bool tern__folder_exists(const char *path);
/* Make the folders that a file of this path needs. */
tern_status tern__file_make_folders(const char *path, tern_error *err);

/* A file that appears under its name only when committed. */
typedef struct tern_writer {
    FILE *stream;
    char *buffer; /* the stream's */
    char *path;
    char *temporary_path;
} tern_writer;

tern_status tern__writer_open(tern_writer *out, const char *path, tern_error *err);
tern_status tern__writer_write(tern_writer *writer, const void *data, size_t bytes, tern_error *err);
/* Flush, fsync, rename; closes the writer whether it succeeds or not. */
tern_status tern__writer_commit(tern_writer *writer, tern_error *err);
/* Close and remove the temporary file. Harmless after commit. */
void tern__writer_discard(tern_writer *writer);

#endif
