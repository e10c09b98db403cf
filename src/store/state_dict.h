/* state_dict.h - which tensors of a torch.save file are meant, and by which names.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_STATE_DICT_H
#define TERN_STORE_STATE_DICT_H

#include "store/pickle.h"

/* A named tensor of the dict. */
typedef struct tern_state_entry {
    const char *name; /* in the pickle's arena */
    size_t tensor;    /* index into the pickle's tensors */
} tern_state_entry;

/* The entries of the object that was saved, in its order; free *out with free().
 *
 * A dict of tensors is read as it is, as transformers reads it; entries that are no tensors (an epoch, a name) are passed over, but tensors
 * deeper in it are refused rather than dropped. A dict without tensors of its own stands for the one dict in it that has some: {"model":
 * {...}, "epoch": 3}. Two of those are refused, since which is meant cannot be told. */
tern_status tern__state_dict_read(tern_state_entry **out, size_t *n_entries, tern_pickle *pickle, const tern_value *object);

#endif
