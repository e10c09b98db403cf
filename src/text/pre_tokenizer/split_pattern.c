/* split_pattern.c - Split by whatever a pattern finds.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/stages.h"

/* Parts of a span, matches and what is between them, from the left; empty matches count too, since behaviors go by what a match is beside.
 */
typedef struct tern_split_parts {
    tern_spans *out;
    tern_split_behavior behavior;
    bool has_last, was_match; /* `last` may still grow; the part before was a match */
    size_t start, end;        /* `last` */
} tern_split_parts;

static bool flush_part(tern_split_parts *parts) {
    if (!parts->has_last) return true;
    parts->has_last = false;
    return tern__spans_add(parts->out, parts->start, parts->end);
}

static bool add_part(tern_split_parts *parts, size_t start, size_t end, bool is_match) {
    bool is_joined = false, was_match = parts->was_match;
    parts->was_match = is_match;
    switch (parts->behavior) {
    case TERN_SPLIT_REMOVED:
        return is_match || tern__spans_add(parts->out, start, end);
    case TERN_SPLIT_ISOLATED:
        return tern__spans_add(parts->out, start, end);
    case TERN_SPLIT_MERGED_WITH_PREVIOUS:
        is_joined = is_match && !was_match;
        break;
    case TERN_SPLIT_MERGED_WITH_NEXT:
        is_joined = !is_match && was_match;
        break;
    case TERN_SPLIT_CONTIGUOUS:
        is_joined = is_match == was_match;
        break;
    }
    if (is_joined && parts->has_last) {
        parts->end = end;
        return true;
    }
    if (!flush_part(parts)) return false;
    parts->has_last = true;
    parts->start = start;
    parts->end = end;
    return true;
}

/* Byte `base` of the text is where the searched text starts. */
static tern_status split_matches(const tern_stage *stage, tern_split_parts *parts, tern_pattern_search *search, size_t base, size_t end,
                                 tern_error *err) {
    size_t at = base;
    for (;;) {
        size_t start, stop;
        bool is_found, is_added = true;
        TERN_TRY(tern__pattern_search_next(search, &start, &stop, &is_found, err));
        if (!is_found) break;
        if (at != base + start) is_added = add_part(parts, at, base + start, stage->invert);
        if (!is_added || !add_part(parts, base + start, base + stop, !stage->invert)) return TERN_FAIL_SPANS(err, parts->out);
        at = base + stop;
    }
    if ((at != end && !add_part(parts, at, end, stage->invert)) || !flush_part(parts)) return TERN_FAIL_SPANS(err, parts->out);
    return TERN_OK;
}

tern_status tern__split_pattern(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                                tern_error *err) {
    tern_pattern_search search;
    TERN_TRY(tern__pattern_search_start(&search, stage->pattern, bytes, 0, err));
    tern_status status = TERN_OK;
    for (size_t i = 0; i < in->n && status == TERN_OK; i++) {
        tern_span span = in->items[i];
        tern_split_parts parts = {.out = out, .behavior = stage->behavior};
        tern__pattern_search_move(&search, bytes + span.start, span.end - span.start);
        status = split_matches(stage, &parts, &search, span.start, span.end, err);
    }
    tern__pattern_search_end(&search);
    return status;
}
