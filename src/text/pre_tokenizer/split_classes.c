/* split_classes.c - splits that ask each character for its class: Bert, Whitespace, WhitespaceSplit, Punctuation, Digits,
 * CharDelimiterSplit, and Split by a single character.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/character_class.h"
#include "text/pre_tokenizer/stages.h"

static inline unsigned action_at(const tern_stage *stage, const unsigned char *bytes, size_t *n_bytes) {
    unsigned action = stage->ascii[bytes[0]];
    if (action != TERN_ACTION_NOT_ASCII) return *n_bytes = 1, action;
    uint32_t code_point = tern__utf8_decode(bytes, n_bytes);
    if (code_point == stage->delimiter) return stage->delimiter_action;
    return stage->action_of_flags[tern__character_flags(code_point)];
}

/* Where the run of characters of one action ends. */
static inline size_t run_end(const tern_stage *stage, const unsigned char *bytes, size_t i, size_t end, unsigned action) {
    for (;;) {
        while (i < end && stage->ascii[bytes[i]] == action) i++;
        size_t length;
        if (i == end || bytes[i] < 0x80 || action_at(stage, bytes + i, &length) != action) return i;
        i += length;
    }
}

static bool split_span(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, size_t i, size_t end) {
    while (i < end) {
        size_t start = i, length;
        unsigned action = action_at(stage, bytes + i, &length);
        i += length;
        if (action == TERN_ACTION_REMOVE) continue;
        if (action == TERN_ACTION_RUN || action == TERN_ACTION_OTHER_RUN) {
            i = run_end(stage, bytes, i, end, action);
            if (i < end && action_at(stage, bytes + i, &length) == TERN_ACTION_END) i += length;
        } else if (action == TERN_ACTION_BEGIN) {
            i = run_end(stage, bytes, i, end, TERN_ACTION_RUN);
        }
        if (!tern__spans_push(out, start, i)) return false;
    }
    return true;
}

tern_status tern__split_classes(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                                tern_error *err) {
    for (size_t i = 0; i < in->n; i++)
        if (!split_span(stage, out, bytes, in->items[i].start, in->items[i].end)) return TERN_FAIL_SPANS(err, out);
    return TERN_OK;
}
