/* pickle_internal.h - what the parts of the pickle reader share: pickle.c runs opcodes, pickle_globals.c knows names and what calling
 * them means.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_STORE_PICKLE_INTERNAL_H
#define TERN_STORE_PICKLE_INTERNAL_H

#include "store/names.h"
#include "store/pickle.h"

/* "file: byte N of the pickle: problem". */
#define FAIL_PICKLE(pickle, code, format, ...)                                                                                             \
    TERN_FAIL((pickle)->err, (code), "%s: byte %zu of the pickle: " format, (pickle)->name, (pickle)->opcode_at, __VA_ARGS__)

/* Count `bytes` against what a file may take. */
tern_status tern__pickle_charge(tern_pickle *pickle, size_t bytes);
tern_status tern__pickle_new_list(tern_pickle *pickle, tern_value *out, tern_value_kind kind, const tern_value *items, size_t n);
tern_status tern__pickle_append(tern_pickle *pickle, tern_value_list *list, const tern_value *items, size_t n);

/* Look up a global by its name; what is not in the table is refused. */
tern_status tern__pickle_find_global(tern_pickle *pickle, tern_value *out, const unsigned char *module, size_t n_module,
                                     const unsigned char *name, size_t n_name);
/* Call `callable` with `arguments`. */
tern_status tern__pickle_reduce(tern_pickle *pickle, tern_value *out, const tern_value *callable, const tern_value *arguments);
/* The storage that a persistent id names. */
tern_status tern__pickle_load_storage(tern_pickle *pickle, tern_value *out, const tern_value *id);

#endif
