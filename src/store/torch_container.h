/* torch_container.h - the two containers of torch.save: a zip file, and before PyTorch 1.6 pickles with the storages behind them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_TORCH_CONTAINER_H
#define TERN_STORE_TORCH_CONTAINER_H

#include "store/pickle.h"

/* Run the pickle of a whole file that lies in memory and find the data of every storage that it mentions. `pickle` has a name and an err
 * and is otherwise zeroed; the bytes must outlive it. The caller frees it whether this succeeds or not. */
tern_status tern__torch_container_read(tern_pickle *pickle, tern_value *out, const unsigned char *bytes, size_t n_bytes);

#endif
