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

struct tern_tokenizer {
    tern_added_tokens added_tokens;
    tern_normalizer normalizer;
    tern_pre_tokenizer pre_tokenizer;
    tern_token_model model;
    tern_post_processor post_processor;
    tern_decoder decoder;
};

/* Longest text, in bytes: what it grows to when normalized must fit 32-bit places. */
#define TERN_TEXT_MAX_BYTES ((size_t)1 << 29)

/* tokenizer_json.c: from the bytes of a tokenizer.json, which are changed on the way. `name` is what messages call it. */
tern_status tern__tokenizer_from_json(tern_tokenizer **out, char *bytes, size_t n_bytes, const char *name, tern_error *err);
/* tokenizer_files.c: from a folder with vocab.txt. */
tern_status tern__tokenizer_from_vocab(tern_tokenizer **out, const char *folder, tern_error *err);

/* encoding.c: keep the first tokens of both lists (the second may be NULL), max_length in all, the longer one cut first. */
void tern__truncate_longest_first(tern_token_list *first, tern_token_list *second, size_t max_length);
/* encoding.c: put the template round the sequences and copy all into one block. */
tern_status tern__encoding_build(tern_encoding *out, const tern_tokenizer *tokenizer, const tern_template *template,
                                 const tern_token_list lists[2], bool add_special_tokens, bool with_tokens, tern_error *err);

#endif
