/* tokenizer.h - the stages of a tokenizer, in the order in which a text goes through them:
 *
 *     added tokens -> normalizer -> added tokens (normalized) -> pre_tokenizer -> model -> post_processor        and back: decoder
 *
 * Each stage is a small record, chosen when the file is read, that knows nothing of the others.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TOKENIZER_H
#define TERN_TEXT_TOKENIZER_H

#include "text/added_tokens.h"
#include "text/decoder/decoder.h"
#include "text/normalizer/normalizer.h"
#include "text/post_processor/post_processor.h"
#include "text/pre_tokenizer/pre_tokenizer.h"
#include "text/token_list.h"
#include "text/model/token_model.h"

/* White space characters at the ends of a token's text, for the post-processor's trim_offsets. */
typedef struct tern_edge_spaces {
    uint8_t leading, trailing; /* TERN_MANY_EDGE_SPACES: to be counted */
} tern_edge_spaces;

#define TERN_MANY_EDGE_SPACES UINT8_MAX

struct tern_tokenizer {
    tern_added_tokens added_tokens;
    tern_normalizer normalizer;
    tern_pre_tokenizer pre_tokenizer;
    tern_token_model model;
    tern_post_processor post_processor;
    tern_decoder decoder;
    tern_edge_spaces *edge_spaces; /* by id, where offsets are trimmed: those of ids beyond are to be counted */
    size_t n_edge_spaces;
};

/* Longest text, in bytes: what it grows to when normalized must fit 32-bit places. */
#define TERN_TEXT_MAX_BYTES ((size_t)1 << 29)

/* tokenizer_json.c: from the bytes of a tokenizer.json. `name` is what messages call it. */
tern_status tern__tokenizer_from_json(tern_tokenizer **out, const char *bytes, size_t n_bytes, const char *name, tern_error *err);
/* tokenizer_files.c: has the folder a file that a tokenizer is read from? */
tern_status tern__tokenizer_is_there(bool *is_there, const char *folder, tern_error *err);

/* tokenizer.c: to be called when all stages are set and all added tokens are in. */
tern_status tern__tokenizer_finish(tern_tokenizer *tokenizer, tern_error *err);
/* tokenizer.c: of a token's text. */
void tern__count_edge_spaces(tern_text text, size_t *leading, size_t *trailing);

#endif
