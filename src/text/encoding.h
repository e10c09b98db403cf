/* encoding.h - token lists become the encoding that the caller gets.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_ENCODING_H
#define TERN_TEXT_ENCODING_H

#include "text/token_list.h"
#include "text/tokenizer.h"
#include "text/truncation.h"

/* What an encoding is made of. */
typedef struct tern_encoding_parts {
    const tern_tokenizer *tokenizer;
    const tern_template *template;
    const tern_token_list *lists; /* [2] */
    const tern_cut *cuts;         /* [2] */
    bool with_tokens, with_word_ids, with_overflowing;
} tern_encoding_parts;

tern_status tern__encoding_build(tern_encoding *out, const tern_encoding_parts *parts, tern_error *err);

#endif
