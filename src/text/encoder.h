/* encoder.h - one text, or pair of texts, through all stages, in memory that is reused from text to text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_ENCODER_H
#define TERN_TEXT_ENCODER_H

#include "text/tokenizer.h"

/* Of one thread. */
typedef struct tern_encoder {
    const tern_tokenizer *tokenizer;
    tern_encode_options options;
    bool with_texts; /* tokens that do not read as the vocabulary's get their texts */
    tern_normalized normalized;
    tern_words words;
    tern_model_scratch model_scratch;
    tern_token_list lists[2]; /* the text's, the pair's */
    size_t n_words;           /* of the text so far */
} tern_encoder;

/* `options` may be NULL. TERN_E_ARGUMENT: an option that is none. The encoder is to be freed when this succeeds. */
tern_status tern__encoder_start(tern_encoder *encoder, const tern_tokenizer *tokenizer, const tern_encode_options *options,
                                tern_error *err);
void tern__encoder_free(tern_encoder *encoder);

tern_status tern__encoder_encode(tern_encoding *out, tern_encoder *encoder, tern_text text, const tern_text *pair, tern_error *err);

#endif
