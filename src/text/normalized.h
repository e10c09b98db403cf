/* normalized.h - a piece of text on its way through the normalizer and the pre-tokenizer, with the place each byte came from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_NORMALIZED_H
#define TERN_TEXT_NORMALIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every byte comes from one code point of the original text: origins[i], counted from the start of the whole text. A byte that was put in
 * where there is no character to stand for comes from the empty place before a code point: TERN_ORIGIN_EMPTY is added. Zeroed: empty;
 * reused from piece to piece; bytes may point into the original text. */
typedef struct tern_normalized {
    const unsigned char *bytes; /* well-formed UTF-8 */
    size_t n_bytes;
    const uint32_t *origins; /* [n_bytes]; NULL: byte i is code point first + i */
    uint32_t first;          /* code point of the whole text at which the piece starts */
    uint32_t n_code_points;  /* of the original piece */
    unsigned char *byte_buffer;
    size_t byte_capacity;
    uint32_t *origin_buffer;
    size_t origin_capacity;
} tern_normalized;

#define TERN_ORIGIN_EMPTY UINT32_C(0x80000000)

void tern__normalized_free(tern_normalized *normalized);
/* Room for n_bytes more behind what is there, with origins or without; bytes (and origins) then are the buffers. False: memory is short. */
bool tern__normalized_reserve(tern_normalized *normalized, size_t n_bytes, bool with_origins);

static inline uint32_t tern__normalized_origin(const tern_normalized *normalized, size_t byte) {
    return normalized->origins ? normalized->origins[byte] : normalized->first + (uint32_t)byte;
}
/* The code points [start, end) of the whole text that a byte stands for. */
static inline uint32_t tern__origin_start(uint32_t origin) { return origin & ~TERN_ORIGIN_EMPTY; }
static inline uint32_t tern__origin_end(uint32_t origin) { return (origin & ~TERN_ORIGIN_EMPTY) + !(origin & TERN_ORIGIN_EMPTY); }

/* Bytes [start, end) of a normalized piece; never empty. */
typedef struct tern_span {
    uint32_t start, end;
} tern_span;

/* Zeroed: empty. */
typedef struct tern_spans {
    tern_span *items;
    size_t n, capacity;
} tern_spans;

/* An empty span is not added. False when memory is short. */
bool tern__spans_add(tern_spans *spans, size_t start, size_t end);

#endif
