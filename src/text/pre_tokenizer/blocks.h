/* blocks.h - 64 bytes at a time: which of them are of which class, as one mask for each class, so that the places where words begin come
 * out of a few bit operations and not of a branch for each character.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_BLOCKS_H
#define TERN_TEXT_BLOCKS_H

#include <string.h>

#include "text/pre_tokenizer/stages.h"

#define BLOCK_BYTES  64
#define BLOCK_BIT(i) (UINT64_C(1) << (i))

/* The bits below n, n from 0 to 64. */
static inline uint64_t block_below(size_t n) { return n < BLOCK_BYTES ? BLOCK_BIT(n) - 1 : ~UINT64_C(0); }

/* The block at byte `at` of a text that ends at `end`. */
typedef struct tern_block {
    uint64_t masks[TERN_STAGE_MAX_CLASSES]; /* bit i: byte i is of the class; non-ASCII ones are of none until they are looked up */
    uint64_t not_ascii;
    size_t n_bytes; /* of the text */
    bool is_last;
} tern_block;

static inline void block_read(tern_block *block, const tern_stage *stage, size_t n_classes, const unsigned char *bytes, size_t at,
                              size_t end) {
    unsigned char rest[BLOCK_BYTES] = {0};
    const unsigned char *from = bytes + at;
    block->n_bytes = end - at;
    block->is_last = end - at <= BLOCK_BYTES;
    if (end - at < BLOCK_BYTES) from = memcpy(rest, from, end - at);
    else block->n_bytes = BLOCK_BYTES;
    for (size_t k = 0; k < n_classes; k++) block->masks[k] = 0;
    block->not_ascii = 0;
    for (size_t group = 0; group < BLOCK_BYTES; group += 8) {
        uint64_t lanes = 0; /* a byte for each class, of which bit i is the group's byte i */
        for (size_t i = 0; i < 8; i++) lanes |= stage->class_bits[from[group + i]] << i;
        for (size_t k = 0; k < n_classes; k++) block->masks[k] |= (lanes >> (8 * k) & 0xFF) << group;
        block->not_ascii |= (lanes >> (8 * TERN_STAGE_MAX_CLASSES)) << group;
    }
    block->not_ascii &= block_below(block->n_bytes);
}

/* Takes the first non-ASCII character out of not_ascii; false when it goes beyond the block, which then ends before it. */
static inline bool block_take_character(tern_block *block, const unsigned char *bytes, size_t *i, size_t *length, uint32_t *code_point) {
    *i = (size_t)__builtin_ctzll(block->not_ascii);
    *code_point = tern__utf8_decode(bytes + *i, length);
    if (*i + *length > block->n_bytes) {
        block->n_bytes = *i;
        block->not_ascii = 0;
        return false;
    }
    block->not_ascii &= ~(block_below(*length) << *i);
    return true;
}

/* Room for the spans of a block. */
static inline bool block_reserve(tern_spans *spans) {
    return spans->capacity - spans->n > BLOCK_BYTES ||
           tern__grow(&spans->items, &spans->capacity, spans->n + BLOCK_BYTES + 1, sizeof *spans->items);
}

/* Spans between neighbouring bits of `starts`, the lowest of which is 0, but for those that start at a bit of `removed`; returns the
 * highest bit. */
static inline size_t block_emit(tern_spans *out, uint64_t starts, uint64_t removed, size_t at) {
    tern_span *items = out->items;
    size_t n = out->n, start = 0;
    for (starts &= starts - 1; starts != 0; starts &= starts - 1) {
        size_t stop = (size_t)__builtin_ctzll(starts);
        items[n] = (tern_span){.start = (uint32_t)(at + start), .end = (uint32_t)(at + stop)};
        n += !(removed >> start & 1);
        start = stop;
    }
    out->n = n;
    return start;
}

#endif
