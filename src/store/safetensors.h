/* safetensors.h - what the rest of store/ and the fuzzer use of safetensors beside tern.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_SAFETENSORS_H
#define TERN_STORE_SAFETENSORS_H

#include "tern.h"

#define TERN_SAFETENSORS_MAX_HEADER_BYTES 100000000 /* the reference implementation's limit */

/* Check a whole file that lies in memory. `bytes` must outlive *out; `name` is what messages call it. Close with
 * tern_safetensors_close, which leaves the bytes alone. */
tern_status tern__safetensors_parse(tern_safetensors **out, const void *bytes, size_t n_bytes, const char *name, tern_error *err);

/* Size of the file. */
size_t tern__safetensors_bytes(const tern_safetensors *file);
/* Is this data in the mapped file? */
bool tern__safetensors_is_mapped(const tern_safetensors *file, const void *data);

#endif
