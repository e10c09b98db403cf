/* checkpoint.h - the weights of a checkpoint folder as one set of tensors, from one file or from several with an index.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_CHECKPOINT_H
#define TERN_STORE_CHECKPOINT_H

#include "tern.h"

typedef struct tern_checkpoint tern_checkpoint;

/* Map the weights of a folder: the first that it has of model.safetensors, the files that model.safetensors.index.json names,
 * pytorch_model.bin, and the files that pytorch_model.bin.index.json names. Names are unique in the set.
 * errors   TERN_E_IO           no weights in the folder, or a file cannot be read
 *          TERN_E_UNSUPPORTED  weights of other formats only (the message names their files); of a pytorch_model.bin, what is no tensor
 *          TERN_E_FORMAT       a broken file or index, or an index that names a file outside the folder
 *          TERN_E_WEIGHTS      the index and the files do not hold the same tensors; the message lists them */
tern_status tern__checkpoint_open(tern_checkpoint **out, const char *folder, tern_error *err);
void tern__checkpoint_close(tern_checkpoint *checkpoint);

/* Tensors in the order of the files, and in a file in the order of their data (safetensors) or of the dict (pytorch_model.bin). */
size_t tern__checkpoint_count(const tern_checkpoint *checkpoint);
const tern_tensor *tern__checkpoint_get(const tern_checkpoint *checkpoint, size_t index);
/* NULL when there is none of that name. */
const tern_tensor *tern__checkpoint_find(const tern_checkpoint *checkpoint, const char *name);
/* The index of a tensor that _get or _find gave. */
size_t tern__checkpoint_index(const tern_checkpoint *checkpoint, const tern_tensor *tensor);
/* Size of the weight files together. */
size_t tern__checkpoint_bytes(const tern_checkpoint *checkpoint);
/* Is this a tensor's data in one of the mapped files, rather than a copy? */
bool tern__checkpoint_is_mapped(const tern_checkpoint *checkpoint, const void *data);

#endif
