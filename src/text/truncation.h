/* truncation.h - which tokens of a text are kept, and into which pieces the rest goes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TRUNCATION_H
#define TERN_TEXT_TRUNCATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A sequence of tokens as overlapping parts: part 0 is kept, the others are overflowing pieces. */
typedef struct tern_cut {
    size_t n_tokens;
    size_t length, step; /* of a part, and from one part to the next; of no use where n_parts is 1 */
    bool is_left;        /* part 0 is the end */
    size_t n_parts;
} tern_cut;

tern_cut tern__cut_none(size_t n_tokens);
/* Tokens [*first, *end) are part `part`. */
void tern__cut_part(const tern_cut *cut, size_t part, size_t *first, size_t *end);

/* The cuts of a text of n_tokens[0] tokens and, where has_pair, its pair of n_tokens[1], max_length in all: Hugging Face's rules.
 * errors: TERN_E_ARGUMENT */
tern_status tern__truncate(tern_cut cuts[2], const size_t n_tokens[2], bool has_pair, size_t max_length, const tern_encode_options *options,
                           tern_error *err);

#endif
