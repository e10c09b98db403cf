/* post_processor.h - special tokens round the sequences, and the type id of each.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_POST_PROCESSOR_H
#define TERN_TEXT_POST_PROCESSOR_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/memory.h"

typedef struct tern_special_token {
    int32_t id;
    tern_text text;
} tern_special_token;

/* One of the two sequences, or some special tokens. */
typedef struct tern_template_piece {
    int sequence; /* 0: the first, 1: the pair, -1: special tokens */
    int32_t type_id;
    const tern_special_token *special_tokens;
    size_t n_special_tokens;
} tern_template_piece;

typedef struct tern_template {
    tern_template_piece *pieces;
    size_t n_pieces;
    size_t n_added; /* special tokens in all of them */
} tern_template;

/* Every kind comes down to two templates. Zeroed: not to be used; read or set it. */
typedef struct tern_post_processor {
    tern_template single, pair;
    tern_arena arena; /* all that they point at */
} tern_post_processor;

/* `json` may be null or absent: no special tokens. `out` is zeroed before, and left to be freed whether it succeeds or not. */
tern_status tern__post_processor_read(tern_post_processor *out, const json_t *json, const char *file, tern_error *err);
/* BERT's: cls A sep, and cls A sep B sep. */
tern_status tern__post_processor_set_bert(tern_post_processor *out, tern_special_token cls, tern_special_token sep, tern_error *err);
void tern__post_processor_free(tern_post_processor *processor);

#endif
