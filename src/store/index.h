/* index.h - the files of a sharded checkpoint, from the index that lists which tensor is in which.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_INDEX_H
#define TERN_STORE_INDEX_H

#include "store/weight_file.h"

/* Open every file that folder/index_name lists, all of one format, and check that each listed tensor is in the file it is listed in and
 * that no file holds another. `out` is zeroed; close it with tern__weight_files_close whether this succeeds or not.
 * errors   TERN_E_FORMAT   a broken index, or one that names a file outside the folder
 *          TERN_E_WEIGHTS  the index and the files do not hold the same tensors; the message lists them
 *          those of opening a file */
tern_status tern__index_open(tern_weight_files *out, const char *folder, const char *index_name, tern_weight_format format,
                             tern_error *err);

#endif
