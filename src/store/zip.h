/* zip.h - the entries of a zip file that lies in memory, as torch.save writes it: stored, not compressed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_ZIP_H
#define TERN_STORE_ZIP_H

#include "base/error.h"

/* An entry. Its name has no NUL behind it; name and data point into the file. */
typedef struct tern_zip_entry {
    const char *name;
    size_t n_name;
    const unsigned char *data;
    size_t n_bytes;
    size_t begin; /* of its local header in the file */
} tern_zip_entry;

/* Zeroed: none. */
typedef struct tern_zip {
    tern_zip_entry *entries; /* sorted by name */
    size_t n_entries;
    const char *first_name; /* of the first entry of the central directory */
    size_t n_first_name;
} tern_zip;

/* Check the central directory and every local header: no entry passes the end, overlaps another or has another's name. `bytes` must outlive
 * *out; `name` is what messages call the file.
 * errors   TERN_E_FORMAT       not a zip file, or a broken one
 *          TERN_E_UNSUPPORTED  compressed or encrypted entries, more than one volume */
tern_status tern__zip_open(tern_zip *out, const unsigned char *bytes, size_t n_bytes, const char *name, tern_error *err);
void tern__zip_close(tern_zip *zip);

/* The entry of that name; NULL when there is none. */
const tern_zip_entry *tern__zip_find(const tern_zip *zip, const char *name, size_t n_name);

#endif
