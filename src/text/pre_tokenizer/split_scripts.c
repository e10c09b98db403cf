/* split_scripts.c - UnicodeScripts: where the script changes; FixedLength: every so many characters.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/stages.h"
#include "text/unicode/unicode.h"

/* A span begins at the first character that has a script, and at each whose script is not that of the last one that had one. What stands
 * before the first goes, as in Hugging Face's library. */
static bool split_span_by_script(tern_spans *out, const unsigned char *bytes, size_t i, size_t end) {
    unsigned last = TERN_UNICODE_SCRIPT_ANY;
    size_t start = end;
    for (size_t length; i < end; i += length) {
        unsigned script = tern__unicode_script(tern__utf8_decode(bytes + i, &length));
        if (script == TERN_UNICODE_SCRIPT_ANY || script == last) continue;
        if (start < i && !tern__spans_push(out, start, i)) return false;
        last = script;
        start = i;
    }
    return start == end || tern__spans_push(out, start, end);
}

tern_status tern__split_scripts(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                                tern_error *err) {
    (void)stage;
    for (size_t i = 0; i < in->n; i++)
        if (!split_span_by_script(out, bytes, in->items[i].start, in->items[i].end)) return TERN_FAIL_SPANS(err, out);
    return TERN_OK;
}

tern_status tern__split_length(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                               tern_error *err) {
    for (size_t k = 0; k < in->n; k++) {
        size_t start = in->items[k].start, end = in->items[k].end, n = 0;
        for (size_t i = start; i < end; n++) {
            if (n == stage->length) {
                if (!tern__spans_push(out, start, i)) return TERN_FAIL_SPANS(err, out);
                start = i;
                n = 0;
            }
            size_t length;
            (void)tern__utf8_decode(bytes + i, &length);
            i += length;
        }
        if (!tern__spans_push(out, start, end)) return TERN_FAIL_SPANS(err, out);
    }
    return TERN_OK;
}
