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

#define CHUNK_BYTES  8 /* copied at once; the buffers have room for as many behind what is written */
#define EACH_BYTE(b) ((b)*UINT64_C(0x0101010101010101))

/* What is written, and from where. */
typedef struct tern_rewriter {
    const unsigned char *bytes;
    size_t n_bytes;
    const uint32_t *origins; /* NULL: byte i is code point first + i */
    uint32_t first;
    unsigned char *out;
    uint32_t *out_origins;
    size_t n; /* written */
} tern_rewriter;

static tern_status rewriter_start(tern_rewriter *w, tern_normalized *out, const tern_normalized *text, size_t size, tern_error *err) {
    if (size > UINT32_MAX) return fail_too_long(err);
    if (!tern__normalized_reserve(out, size + CHUNK_BYTES, true)) return TERN_FAIL_MEMORY(err, (size + CHUNK_BYTES) * 5);
    *w = (tern_rewriter){.bytes = text->bytes,
                         .n_bytes = text->n_bytes,
                         .origins = text->origins,
                         .first = text->first,
                         .out = out->byte_buffer,
                         .out_origins = out->origin_buffer};
    return TERN_OK;
}

static inline uint32_t origin_of(const tern_rewriter *w, size_t i) { return w->origins ? w->origins[i] : w->first + (uint32_t)i; }

/* n_bytes bytes of one character, at most TERN_UNICODE_MAX_UTF8, which is what `bytes` has room for. */
static inline void put(tern_rewriter *w, const unsigned char *bytes, size_t n_bytes, uint32_t origin) {
    memcpy(w->out + w->n, bytes, TERN_UNICODE_MAX_UTF8);
    for (size_t k = 0; k < TERN_UNICODE_MAX_UTF8; k++) w->out_origins[w->n + k] = origin;
    w->n += n_bytes;
}

static inline void copy_byte(tern_rewriter *w, size_t i) {
    w->out[w->n] = w->bytes[i];
    w->out_origins[w->n++] = origin_of(w, i);
}

/* Nonzero where a byte of `chunk` is zero; its lowest bit is in the first such byte. */
static inline uint64_t zero_bytes(uint64_t chunk) { return (chunk - EACH_BYTE(0x01)) & ~chunk & EACH_BYTE(0x80); }

/* Copies up to a space, a byte `stop`, or the end, and returns where. */
static inline size_t copy_word(tern_rewriter *w, size_t i, size_t end, unsigned char stop) {
    while (i < end && w->n_bytes - i >= CHUNK_BYTES) {
        uint64_t chunk, found;
        uint32_t *origins = w->out_origins + w->n;
        memcpy(&chunk, w->bytes + i, CHUNK_BYTES);
        memcpy(w->out + w->n, &chunk, CHUNK_BYTES);
        if (w->origins) memcpy(origins, w->origins + i, CHUNK_BYTES * sizeof *origins);
        else
            for (size_t k = 0; k < CHUNK_BYTES; k++) origins[k] = w->first + (uint32_t)(i + k);
        found = zero_bytes(chunk ^ EACH_BYTE((uint64_t)' ')) | zero_bytes(chunk ^ EACH_BYTE((uint64_t)stop));
        size_t n = found ? (size_t)__builtin_ctzll(found) / 8 : CHUNK_BYTES;
        if (n > end - i) n = end - i;
        w->n += n;
        i += n;
        if (n < CHUNK_BYTES) return i;
    }
    for (; i < end && w->bytes[i] != ' ' && w->bytes[i] != stop; i++) copy_byte(w, i);
    return i;
}

/* Bytes that metaspace writes at most: each space grows, those between the spans counted too, and each span gets a replacement. */
static bool metaspace_size(size_t *out, const tern_stage *stage, const unsigned char *bytes, const tern_spans *spans) {
    size_t start = spans->items[0].start, end = spans->items[spans->n - 1].end, n_replaced = spans->n, added;
    for (size_t i = start; i < end; i++) n_replaced += bytes[i] == ' ';
    return tern__size_multiply(n_replaced, stage->n_replacement, &added) && tern__size_add(end - start, added, out);
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
    while ((i = copy_word(w, i, end, stage->replacement[0])) < end) {
        bool is_space = w->bytes[i] == ' ';
        if (is_space || starts_with_replacement(stage, w->bytes, i, end)) {
            if (stage->is_split && w->n > start) {
                if (!tern__spans_push(spans, start, w->n)) return false;
                start = w->n;
            }
            put(w, stage->replacement, stage->n_replacement, origin_of(w, i));
            i += is_space ? 1 : stage->n_replacement;
        } else {
            copy_byte(w, i++);
        }
    }
    return tern__spans_push(spans, start, w->n);
}

tern_status tern__rewrite_metaspace(const tern_stage *stage, tern_normalized *out, tern_words *words, tern_error *err) {
    size_t size = 0;
    tern_rewriter w = {0};
    if (words->spans.n != 0 && !metaspace_size(&size, stage, words->text->bytes, &words->spans)) return fail_too_long(err);
    TERN_TRY(rewriter_start(&w, out, words->text, size, err));
    for (size_t k = 0; k < words->spans.n; k++)
        if (!rewrite_span(&w, stage, &words->spare_spans, words->spans.items[k].start, words->spans.items[k].end))
            return TERN_FAIL_SPANS(err, &words->spare_spans);
    out->n_bytes = w.n;
    return TERN_OK;
}

tern_status tern__rewrite_byte_level(const tern_stage *stage, tern_normalized *out, tern_words *words, tern_error *err) {
    (void)stage;
    unsigned char characters[256][TERN_UNICODE_MAX_UTF8] = {{0}}, n_bytes[256];
    size_t size = 0;
    tern_rewriter w = {0};
    for (unsigned byte = 0; byte < 256; byte++)
        n_bytes[byte] = (unsigned char)tern__utf8_encode(characters[byte], tern__byte_level_character((unsigned char)byte));
    for (size_t k = 0; k < words->spans.n; k++)
        for (size_t i = words->spans.items[k].start; i < words->spans.items[k].end; i++) size += n_bytes[words->text->bytes[i]];
    TERN_TRY(rewriter_start(&w, out, words->text, size, err));
    for (size_t k = 0; k < words->spans.n; k++) {
        size_t start = w.n;
        for (size_t i = words->spans.items[k].start; i < words->spans.items[k].end; i++)
            put(&w, characters[w.bytes[i]], n_bytes[w.bytes[i]], origin_of(&w, i));
        if (!tern__spans_push(&words->spare_spans, start, w.n)) return TERN_FAIL_SPANS(err, &words->spare_spans);
    }
    out->n_bytes = w.n;
    return TERN_OK;
}
