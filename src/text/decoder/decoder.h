/* decoder.h - tokens back into text: a chain of steps, each of which makes a list of strings of a list of strings.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_DECODER_H
#define TERN_TEXT_DECODER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text_builder.h"
#include "text/unicode/pattern.h"

typedef enum tern_decoder_kind {
    TERN_DECODER_BYTE_LEVEL,
    TERN_DECODER_WORDPIECE,
    TERN_DECODER_METASPACE,
    TERN_DECODER_BPE,
    TERN_DECODER_CTC,
    TERN_DECODER_BYTE_FALLBACK,
    TERN_DECODER_FUSE,
    TERN_DECODER_STRIP,
    TERN_DECODER_REPLACE
} tern_decoder_kind;

typedef struct tern_decoder_step {
    tern_decoder_kind kind;
    tern_text from; /* WordPiece's prefix, BPEDecoder's suffix, CTC's pad_token, Metaspace's replacement, Strip's and Replace's string */
    tern_text to;   /* CTC's word_delimiter_token, Replace's content */
    tern_pattern *pattern; /* Replace's regular expression; NULL: `from` */
    bool cleanup;          /* WordPiece and CTC: take out spaces before punctuation and inside contractions */
    bool drops_first;      /* Metaspace: replacements in the first string become nothing, not spaces */
    size_t start, stop;    /* Strip: at most so many characters off each end */
} tern_decoder_step;

/* Zeroed: none, tokens are joined with spaces. */
typedef struct tern_decoder {
    bool is_chain; /* what comes out of the steps is joined without spaces */
    tern_decoder_step *steps;
    size_t n_steps, steps_capacity;
    tern_arena arena; /* texts of the steps */
} tern_decoder;

/* `json` may be null or absent: none. `out` is left to be freed whether it succeeds or not. */
tern_status tern__decoder_read(tern_decoder *out, const json_t *json, const char *file, tern_error *err);
tern_status tern__decoder_set_wordpiece(tern_decoder *out, tern_text prefix, bool cleanup, tern_error *err);
void tern__decoder_free(tern_decoder *decoder);

/* *out is NUL-terminated plain memory; *n_bytes its length. */
tern_status tern__decoder_join(char **out, size_t *n_bytes, const tern_decoder *decoder, const tern_text *tokens, size_t n_tokens,
                               tern_error *err);

/* ---- decoder_steps.c ---- */

/* Strings one after the other. Running out of memory is remembered. Zeroed: none. */
typedef struct tern_strings {
    tern_text_builder text;
    size_t *ends; /* [n], in the text */
    size_t n, capacity;
} tern_strings;

void tern__strings_clear(tern_strings *strings); /* memory is kept */
void tern__strings_free(tern_strings *strings);
tern_text tern__strings_get(const tern_strings *strings, size_t index);
void tern__strings_add(tern_strings *strings, tern_text string);

/* Fill `out`, which is empty, with what the step makes of `in`. */
tern_status tern__decoder_step_run(tern_strings *out, const tern_strings *in, const tern_decoder_step *step, tern_error *err);

#endif
