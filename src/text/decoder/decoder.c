/* decoder.c - the WordPiece decoder, and joining with spaces where there is none.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/decoders
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/decoder/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"

void tern__decoder_free(tern_decoder *decoder) {
    free(decoder->prefix);
    *decoder = (tern_decoder){0};
}

tern_status tern__decoder_set_wordpiece(tern_decoder *out, tern_text prefix, bool cleanup, tern_error *err) {
    out->kind = TERN_DECODER_WORDPIECE;
    out->prefix = malloc(prefix.bytes + 1);
    if (!out->prefix) return TERN_FAIL_MEMORY(err, prefix.bytes + 1);
    memcpy(out->prefix, prefix.data, prefix.bytes);
    out->prefix[prefix.bytes] = '\0';
    out->prefix_bytes = prefix.bytes;
    out->cleanup = cleanup;
    return TERN_OK;
}

tern_status tern__decoder_read(tern_decoder *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_decoder){.kind = TERN_DECODER_NONE};
    if (!json || json_is_null(json)) return TERN_OK;
    tern_json_place place = {.file = file, .part = "decoder", .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "WordPiece") != 0) return tern__json_fail_type(place, err);
    tern_text prefix;
    bool cleanup;
    TERN_TRY(tern__json_text(&prefix, json, "prefix", place, err));
    TERN_TRY(tern__json_bool(&cleanup, json, "cleanup", place, err));
    return tern__decoder_set_wordpiece(out, prefix, cleanup, err);
}

/* Replace every `from` by `to`, which is not longer, from the left; returns the new length. */
static size_t replace_in_place(char *text, size_t n_bytes, const char *from, const char *to) {
    size_t n_from = strlen(from), n_to = strlen(to), written = 0;
    for (size_t i = 0; i < n_bytes;) {
        if (n_bytes - i >= n_from && memcmp(text + i, from, n_from) == 0) {
            memcpy(text + written, to, n_to);
            written += n_to;
            i += n_from;
        } else {
            text[written++] = text[i++];
        }
    }
    return written;
}

/* The rules run one after the other over one token with the space before it. */
static size_t clean_up_token(char *text, size_t n_bytes) {
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    if (!memchr(text, ' ', n_bytes)) return n_bytes;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) n_bytes = replace_in_place(text, n_bytes, rules[i][0], rules[i][1]);
    return n_bytes;
}

static size_t write_wordpiece(char *out, const tern_decoder *decoder, tern_text token, bool is_first) {
    size_t n = 0;
    const char *text = token.data;
    size_t n_text = token.bytes;
    if (!is_first) {
        if (n_text >= decoder->prefix_bytes && memcmp(text, decoder->prefix, decoder->prefix_bytes) == 0) {
            text += decoder->prefix_bytes;
            n_text -= decoder->prefix_bytes;
        } else {
            out[n++] = ' ';
        }
    }
    memcpy(out + n, text, n_text);
    n += n_text;
    return decoder->cleanup ? clean_up_token(out, n) : n;
}

tern_status tern__decoder_join(char **out, const tern_decoder *decoder, const tern_text *tokens, size_t n_tokens, tern_error *err) {
    size_t bytes = 1;
    for (size_t i = 0; i < n_tokens; i++)
        if (!tern__size_add(bytes, 1, &bytes) || !tern__size_add(bytes, tokens[i].bytes, &bytes)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    char *text = malloc(bytes);
    if (!text) return TERN_FAIL_MEMORY(err, bytes);
    size_t n = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        switch (decoder->kind) {
        case TERN_DECODER_WORDPIECE:
            n += write_wordpiece(text + n, decoder, tokens[i], i == 0);
            break;
        case TERN_DECODER_NONE:
            if (i > 0) text[n++] = ' ';
            memcpy(text + n, tokens[i].data, tokens[i].bytes);
            n += tokens[i].bytes;
            break;
        }
    }
    text[n] = '\0';
    *out = text;
    return TERN_OK;
}
