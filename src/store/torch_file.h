/* torch_file.h - the tensors of a pytorch_model.bin: a state dict as torch.save writes it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_TORCH_FILE_H
#define TERN_STORE_TORCH_FILE_H

#include "base/error.h"

typedef struct tern_torch_file tern_torch_file;

/* Map a file and check it whole. Contiguous tensors point into the mapping, the others into copies of their elements in order, which
 * together may take at most 4 times the file and 64 MB.
 * errors   TERN_E_IO           cannot be opened or mapped
 *          TERN_E_FORMAT       not of torch.save, or broken
 *          TERN_E_UNSUPPORTED  what tensors do not need (any code), and tensors that Tern does not read (sparse, quantized, complex ...) */
tern_status tern__torch_open(tern_torch_file **out, const char *path, tern_error *err);
/* The same of a file that lies in memory. `bytes` must outlive *out; `name` is what messages call it. */
tern_status tern__torch_parse(tern_torch_file **out, const void *bytes, size_t n_bytes, const char *name, tern_error *err);
void tern__torch_close(tern_torch_file *file);

/* Tensors in the order of the dict. */
size_t tern__torch_count(const tern_torch_file *file);
const tern_tensor *tern__torch_get(const tern_torch_file *file, size_t index);
/* NULL when there is none of that name. */
const tern_tensor *tern__torch_find(const tern_torch_file *file, const char *name);
/* Size of the file. */
size_t tern__torch_bytes(const tern_torch_file *file);
/* Is this a tensor's data in the mapped file, rather than a copy? */
bool tern__torch_is_mapped(const tern_torch_file *file, const void *data);

#endif
