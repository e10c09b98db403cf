/* truncation.c - how many tokens each of two texts keeps, and the pieces of the rest. Nothing is copied: a cut is arithmetic.
 * Source: Hugging Face tokenizers 0.23, truncate_encodings and Encoding::truncate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/truncation.h"

tern_cut tern__cut_none(size_t n_tokens) { return (tern_cut){.n_tokens = n_tokens, .length = n_tokens, .step = 1, .n_parts = 1}; }

void tern__cut_part(const tern_cut *cut, size_t part, size_t *first, size_t *end) {
    if (cut->length == 0) { /* nothing is kept: all is one overflowing piece */
        *first = 0;
        *end = part == 0 ? 0 : cut->n_tokens;
        return;
    }
    size_t skipped = part * cut->step, left = cut->n_tokens - skipped;
    size_t n = left < cut->length ? left : cut->length;
    *first = cut->is_left ? left - n : skipped;
    *end = *first + n;
}

static tern_status cut_to(tern_cut *cut, size_t length, const tern_encode_options *options, const char *what, tern_error *err) {
    if (length >= cut->n_tokens) return TERN_OK;
    cut->is_left = options->truncation_direction == TERN_CUT_LEFT;
    cut->length = length;
    cut->n_parts = 2;
    if (length == 0) return TERN_OK;
    if (options->stride >= length)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "stride is %zu, which must be less than the %zu tokens that %s keeps", options->stride,
                         length, what);
    cut->step = length - options->stride;
    cut->n_parts = 1 + (cut->n_tokens - length + cut->step - 1) / cut->step;
    return TERN_OK;
}

/* The longer text is cut to what the shorter leaves; when that would be shorter than the shorter one, both get a half, and an odd one over
 * goes to the longer. */
static tern_status cut_longest_first(tern_cut cuts[2], size_t max_length, const tern_encode_options *options, tern_error *err) {
    size_t shorter = cuts[0].n_tokens > cuts[1].n_tokens, n_short = cuts[shorter].n_tokens;
    size_t n_long = max_length > n_short && max_length - n_short > n_short ? max_length - n_short : n_short;
    if (n_short > max_length || n_long > max_length - n_short) {
        n_short = max_length / 2;
        n_long = n_short + max_length % 2;
    }
    TERN_TRY(cut_to(&cuts[0], shorter == 0 ? n_short : n_long, options, "the text", err));
    return cut_to(&cuts[1], shorter == 1 ? n_short : n_long, options, "the pair", err);
}

tern_status tern__truncate(tern_cut cuts[2], const size_t n_tokens[2], bool has_pair, size_t max_length, const tern_encode_options *options,
                           tern_error *err) {
    for (size_t i = 0; i < 2; i++) cuts[i] = tern__cut_none(n_tokens[i]);
    size_t n_pair = has_pair ? n_tokens[1] : 0;
    if (n_tokens[0] <= max_length && n_pair <= max_length - n_tokens[0]) return TERN_OK;
    if (max_length == 0) {
        for (size_t i = 0; i < 2; i++) TERN_TRY(cut_to(&cuts[i], 0, options, "the text", err));
        return TERN_OK;
    }
    if (options->truncation_strategy == TERN_LONGEST_FIRST)
        return has_pair ? cut_longest_first(cuts, max_length, options, err) : cut_to(&cuts[0], max_length, options, "the text", err);
    size_t target = options->truncation_strategy == TERN_ONLY_SECOND;
    const char *what = target ? "the pair" : "the text";
    if (target && !has_pair) return TERN_FAIL(err, TERN_E_ARGUMENT, "only_second is to cut the pair, and there is none");
    size_t n_other = target ? n_tokens[0] : n_pair;
    if (n_other >= max_length)
        return TERN_FAIL(err, TERN_E_ARGUMENT,
                         "%s, of %zu tokens, is too short to be cut: the other text has %zu, and there is room for %zu", what,
                         n_tokens[target], n_other, max_length);
    return cut_to(&cuts[target], max_length - n_other, options, what, err);
}
