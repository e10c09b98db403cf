/* pre_tokenizer.c - a stretch of text through the stages of a pre-tokenizer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/pre_tokenizer.h"

#include <stdlib.h>

#include "text/pre_tokenizer/stages.h"

void tern__words_free(tern_words *words) {
    free(words->spans.items);
    free(words->spare_spans.items);
    for (size_t i = 0; i < 2; i++) tern__normalized_free(&words->changed[i]);
    *words = (tern_words){0};
}

void tern__pre_tokenizer_free(tern_pre_tokenizer *pre_tokenizer) {
    for (size_t i = 0; i < pre_tokenizer->n_stages; i++) tern__pattern_free(pre_tokenizer->stages[i].pattern);
    free(pre_tokenizer->stages);
    *pre_tokenizer = (tern_pre_tokenizer){0};
}

bool tern__pre_tokenizer_is_byte_level(const tern_pre_tokenizer *pre_tokenizer) {
    return pre_tokenizer->n_stages != 0 && pre_tokenizer->stages[pre_tokenizer->n_stages - 1].is_byte_level;
}

void tern__pre_tokenizer_skip_byte_mapping(tern_pre_tokenizer *pre_tokenizer) {
    if (tern__pre_tokenizer_is_byte_level(pre_tokenizer)) pre_tokenizer->stages[pre_tokenizer->n_stages - 1].rewrite = NULL;
}

static tern_status run_stage(tern_words *words, const tern_stage *stage, tern_error *err) {
    words->spare_spans.n = 0;
    if (stage->split) {
        TERN_TRY(stage->split(stage, &words->spare_spans, words->text->bytes, &words->spans, err));
    } else {
        tern_normalized *changed = &words->changed[words->text == &words->changed[0]];
        changed->n_bytes = 0;
        changed->first = words->text->first;
        changed->n_code_points = words->text->n_code_points;
        TERN_TRY(stage->rewrite(stage, changed, words, err));
        words->text = changed;
    }
    tern_spans spans = words->spans;
    words->spans = words->spare_spans;
    words->spare_spans = spans;
    return TERN_OK;
}

tern_status tern__pre_tokenize(tern_words *out, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text, size_t start,
                               size_t end, tern_error *err) {
    out->text = text;
    out->spans.n = 0;
    if (!tern__spans_add(&out->spans, start, end)) return TERN_FAIL_SPANS(err, &out->spans);
    for (size_t i = 0; i < pre_tokenizer->n_stages; i++) {
        const tern_stage *stage = &pre_tokenizer->stages[i];
        if (stage->split || stage->rewrite) TERN_TRY(run_stage(out, stage, err));
    }
    return TERN_OK;
}
