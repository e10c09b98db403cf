/* decoder.h - tokens back into text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_DECODER_H
#define TERN_TEXT_DECODER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

typedef enum tern_decoder_kind { TERN_DECODER_NONE, TERN_DECODER_WORDPIECE } tern_decoder_kind;

/* Zeroed: none, tokens are joined with spaces. */
typedef struct tern_decoder {
    tern_decoder_kind kind;
    char *prefix; /* "##" */
    size_t prefix_bytes;
    bool cleanup; /* take out spaces before punctuation and inside contractions */
} tern_decoder;

/* `json` may be null or absent: none. */
tern_status tern__decoder_read(tern_decoder *out, const json_t *json, const char *file, tern_error *err);
tern_status tern__decoder_set_wordpiece(tern_decoder *out, tern_text prefix, bool cleanup, tern_error *err);
void tern__decoder_free(tern_decoder *decoder);

/* *out is NUL-terminated plain memory. */
tern_status tern__decoder_join(char **out, const tern_decoder *decoder, const tern_text *tokens, size_t n_tokens, tern_error *err);

#endif
