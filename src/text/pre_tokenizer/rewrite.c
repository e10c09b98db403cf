/* rewrite.c - pre-tokenizers that write a new text: Metaspace, ByteLevel's leading space (a metaspace that is a space), and ByteLevel's
 * characters for bytes.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/pre_tokenizer/stages.h"
#include "text/unicode/byte_level.h"

static tern_status fail_too_long(tern_error *err) {
    return TERN_FAIL(err, TERN_E_ARGUMENT, "the text has more than %zu bytes when it is pre-tokenized", (size_t)UINT32_MAX);
}

/* What is written, and from where. */
typedef struct tern_rewriter {
    const unsigned char *bytes;
    const uint32_t *origins; /* NULL: byte i is code point first + i */
    uint32_t first;
    unsigned char *out;
    uint32_t *out_origins;
    size_t n; /* written */
} tern_rewriter;

static tern_rewriter rewriter_start(tern_normalized *out, const tern_normalized *text) {
    return (tern_rewriter){
        .bytes = text->bytes, .origins = text->origins, .first = text->first, .out = out->byte_buffer, .out_origins = out->origin_buffer};
}

static inline uint32_t origin_of(const tern_rewriter *w, size_t i) { return w->origins ? w->origins[i] : w->first + (uint32_t)i; }

static inline void put(tern_rewriter *w, const unsigned char *bytes, size_t n_bytes, uint32_t origin) {
    unsigned char *out = w->out + w->n;
    uint32_t *out_origins = w->out_origins + w->n;
    w->n += n_bytes;
    for (size_t k = 0; k < n_bytes; k++) out_origins[k] = origin;
    for (size_t k = 0; k < n_bytes; k++) out[k] = bytes[k];
}

static inline void copy_bytes(tern_rewriter *w, size_t i, size_t end) {
    unsigned char *out = w->out + w->n;
    uint32_t *out_origins = w->out_origins + w->n;
    const unsigned char *bytes = w->bytes + i;
    size_t n_bytes = end - i;
    w->n += n_bytes;
    if (w->origins) {
        for (size_t k = 0; k < n_bytes; k++) out_origins[k] = w->origins[i + k];
    } else {
        for (size_t k = 0; k < n_bytes; k++) out_origins[k] = w->first + (uint32_t)(i + k);
    }
    for (size_t k = 0; k < n_bytes; k++) out[k] = bytes[k];
}

/* Bytes that metaspace writes at most: each space grows, each span gets a replacement. */
static bool metaspace_size(size_t *out, const tern_stage *stage, const unsigned char *bytes, const tern_spans *spans) {
    size_t total = 0, n_replaced = spans->n, added;
    for (size_t k = 0; k < spans->n; k++) {
        for (size_t i = spans->items[k].start; i < spans->items[k].end; i++) n_replaced += bytes[i] == ' ';
        total += spans->items[k].end - spans->items[k].start;
    }
    return tern__size_multiply(n_replaced, stage->n_replacement, &added) && tern__size_add(total, added, out);
}

static bool starts_with_replacement(const tern_stage *stage, const unsigned char *bytes, size_t start, size_t end) {
    return bytes[start] == ' ' ||
           (end - start >= stage->n_replacement && memcmp(bytes + start, stage->replacement, stage->n_replacement) == 0);
}

static bool rewrite_span(tern_rewriter *w, const tern_stage *stage, tern_spans *spans, size_t i, size_t end) {
    bool starts_at_zero = tern__origin_start(origin_of(w, i)) == 0;
    size_t start = w->n;
    if ((stage->prepend_scheme == TERN_PREPEND_ALWAYS || (stage->prepend_scheme == TERN_PREPEND_FIRST && starts_at_zero)) &&
        !starts_with_replacement(stage, w->bytes, i, end))
        put(w, stage->replacement, stage->n_replacement, origin_of(w, i));
    unsigned char first = stage->replacement[0];
    while (i < end) {
        size_t word = i;
        while (i < end && w->bytes[i] != ' ' && w->bytes[i] != first) i++;
        copy_bytes(w, word, i);
        if (i == end) break;
        if (!starts_with_replacement(stage, w->bytes, i, end)) {
            copy_bytes(w, i, i + 1);
            i++;
            continue;
        }
        if (stage->is_split && w->n > start) {
            if (!tern__spans_push(spans, start, w->n)) return false;
            start = w->n;
        }
        if (w->bytes[i] == ' ') {
            put(w, stage->replacement, stage->n_replacement, origin_of(w, i));
            i++;
        } else {
            copy_bytes(w, i, i + stage->n_replacement);
            i += stage->n_replacement;
        }
    }
    return tern__spans_push(spans, start, w->n);
}

tern_status tern__rewrite_metaspace(const tern_stage *stage, tern_normalized *out, tern_words *words, tern_error *err) {
    size_t size;
    if (!metaspace_size(&size, stage, words->text->bytes, &words->spans) || size > UINT32_MAX) return fail_too_long(err);
    if (!tern__normalized_reserve(out, size, true)) return TERN_FAIL_MEMORY(err, size * 5);
    tern_rewriter w = rewriter_start(out, words->text);
    for (size_t k = 0; k < words->spans.n; k++)
        if (!rewrite_span(&w, stage, &words->spare_spans, words->spans.items[k].start, words->spans.items[k].end))
            return TERN_FAIL_SPANS(err, &words->spare_spans);
    out->n_bytes = w.n;
    return TERN_OK;
}

tern_status tern__rewrite_byte_level(const tern_stage *stage, tern_normalized *out, tern_words *words, tern_error *err) {
    (void)stage;
    unsigned char characters[256][2], n_bytes[256];
    size_t size = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned char encoded[TERN_UNICODE_MAX_UTF8];
        n_bytes[byte] = (unsigned char)tern__utf8_encode(encoded, tern__byte_level_character((unsigned char)byte));
        memcpy(characters[byte], encoded, sizeof characters[byte]);
    }
    for (size_t k = 0; k < words->spans.n; k++)
        for (size_t i = words->spans.items[k].start; i < words->spans.items[k].end; i++) size += n_bytes[words->text->bytes[i]];
    if (size > UINT32_MAX) return fail_too_long(err);
    if (!tern__normalized_reserve(out, size, true)) return TERN_FAIL_MEMORY(err, size * 5);
    tern_rewriter w = rewriter_start(out, words->text);
    for (size_t k = 0; k < words->spans.n; k++) {
        size_t start = w.n;
        for (size_t i = words->spans.items[k].start; i < words->spans.items[k].end; i++)
            put(&w, characters[w.bytes[i]], n_bytes[w.bytes[i]], origin_of(&w, i));
        if (!tern__spans_push(&words->spare_spans, start, w.n)) return TERN_FAIL_SPANS(err, &words->spare_spans);
    }
    out->n_bytes = w.n;
    return TERN_OK;
}
