/* split_classes.c - splits that ask each character for its class: Bert, Whitespace, WhitespaceSplit, Punctuation, Digits,
 * CharDelimiterSplit, and Split by a single character.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/blocks.h"
#include "text/pre_tokenizer/character_class.h"

static inline unsigned action_at(const tern_stage *stage, const unsigned char *bytes, size_t *n_bytes) {
    unsigned action = stage->ascii[bytes[0]];
    if (action != TERN_ACTION_NOT_ASCII) return *n_bytes = 1, action;
    uint32_t code_point = tern__utf8_decode(bytes, n_bytes);
    if (code_point == stage->delimiter) return stage->delimiter_action;
    return stage->action_of_flags[tern__character_flags(code_point)];
}

/* Where the run of characters of one action ends. */
static inline size_t action_end(const tern_stage *stage, const unsigned char *bytes, size_t i, size_t end, unsigned action) {
    for (;;) {
        while (i < end && stage->ascii[bytes[i]] == action) i++;
        size_t length;
        if (i == end || bytes[i] < 0x80 || action_at(stage, bytes + i, &length) != action) return i;
        i += length;
    }
}

/* The span, or what is removed, that starts at `at`. */
static bool split_one(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, size_t *at, size_t end) {
    size_t i = *at, start = i, length;
    unsigned action = action_at(stage, bytes + i, &length);
    i += length;
    if (action == TERN_ACTION_RUN || action == TERN_ACTION_OTHER_RUN) {
        i = action_end(stage, bytes, i, end, action);
        if (i < end && action_at(stage, bytes + i, &length) == TERN_ACTION_END) i += length;
    } else if (action == TERN_ACTION_BEGIN) {
        i = action_end(stage, bytes, i, end, TERN_ACTION_RUN);
    }
    *at = i;
    return action == TERN_ACTION_REMOVE || tern__spans_push(out, start, i);
}

/* Classes of a block; a run has none. */
enum { CLASS_OTHER_RUN, CLASS_REMOVED, CLASS_BEGINS, CLASS_ENDS, N_CLASSES };

void tern__split_classes_set(tern_stage *stage) {
    static const uint64_t bits[] = {
        [TERN_ACTION_RUN] = 0,
        [TERN_ACTION_OTHER_RUN] = BLOCK_BIT(8 * CLASS_OTHER_RUN),
        [TERN_ACTION_REMOVE] = BLOCK_BIT(8 * CLASS_REMOVED),
        [TERN_ACTION_ISOLATE] = BLOCK_BIT(8 * CLASS_BEGINS) | BLOCK_BIT(8 * CLASS_ENDS),
        [TERN_ACTION_END] = BLOCK_BIT(8 * CLASS_ENDS),
        [TERN_ACTION_BEGIN] = BLOCK_BIT(8 * CLASS_BEGINS),
        [TERN_ACTION_NOT_ASCII] = BLOCK_BIT(8 * TERN_STAGE_MAX_CLASSES),
    };
    for (unsigned byte = 0; byte < 256; byte++) {
        stage->ascii[byte] = byte < 0x80 ? stage->action_of_flags[tern__character_flags(byte)] : TERN_ACTION_NOT_ASCII;
        if (byte < 0x80 && byte == stage->delimiter) stage->ascii[byte] = (unsigned char)stage->delimiter_action;
        stage->class_bits[byte] = bits[stage->ascii[byte]];
    }
    stage->split = tern__split_classes;
}

static void class_characters(tern_block *block, const tern_stage *stage, const unsigned char *bytes) {
    size_t i, length;
    for (uint32_t c; block->not_ascii != 0 && block_take_character(block, bytes, &i, &length, &c);) {
        unsigned action = c == stage->delimiter ? stage->delimiter_action : stage->action_of_flags[tern__character_flags(c)];
        if (action == TERN_ACTION_OTHER_RUN) block->masks[CLASS_OTHER_RUN] |= block_below(length) << i;
        if (action == TERN_ACTION_REMOVE) block->masks[CLASS_REMOVED] |= block_below(length) << i;
        if (action == TERN_ACTION_ISOLATE || action == TERN_ACTION_BEGIN) block->masks[CLASS_BEGINS] |= BLOCK_BIT(i);
        if (action == TERN_ACTION_ISOLATE || action == TERN_ACTION_END) block->masks[CLASS_ENDS] |= BLOCK_BIT(i + length - 1);
    }
}

static bool split_span(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, size_t at, size_t end) {
    while (at < end) {
        tern_block block;
        block_read(&block, stage, N_CLASSES, bytes, at, end);
        class_characters(&block, stage, bytes + at);
        const uint64_t *masks = block.masks, other = masks[CLASS_OTHER_RUN], removed = masks[CLASS_REMOVED];
        uint64_t starts = (other ^ other << 1) | (removed ^ removed << 1) | masks[CLASS_BEGINS] | masks[CLASS_ENDS] << 1 | 1;
        if (!block_reserve(out)) return false;
        size_t last = block_emit(out, starts & block_below(block.n_bytes), removed, at);
        if (block.is_last) return removed >> last & 1 || tern__spans_push(out, at + last, end);
        at += last;
        if (last == 0 && !split_one(stage, out, bytes, &at, end)) return false;
    }
    return true;
}

tern_status tern__split_classes(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                                tern_error *err) {
    for (size_t i = 0; i < in->n; i++)
        if (!split_span(stage, out, bytes, in->items[i].start, in->items[i].end)) return TERN_FAIL_SPANS(err, out);
    return TERN_OK;
}
