/* stages.h - what a pre-tokenizer is made of. A stage either cuts spans into smaller ones or writes a new text; each span is a text of
 * its own, so that nothing sees what is beside it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_STAGES_H
#define TERN_TEXT_STAGES_H

#include "base/memory.h"
#include "text/pre_tokenizer/pre_tokenizer.h"
#include "text/unicode/pattern.h"
#include "text/unicode/unicode.h"

typedef struct tern_pre_tokenizer_stage tern_stage;

/* Adds to `out` what is left of the spans `in` of `bytes`. */
typedef tern_status tern_stage_split(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in,
                                     tern_error *err);
/* Writes the spans of words->text to `out`, and where they are there to words->spare_spans; both are empty before. */
typedef tern_status tern_stage_rewrite(const tern_stage *stage, tern_normalized *out, tern_words *words, tern_error *err);

/* What becomes of the matches and of what stands between them. */
typedef enum tern_split_behavior {
    TERN_SPLIT_REMOVED,
    TERN_SPLIT_ISOLATED,
    TERN_SPLIT_MERGED_WITH_PREVIOUS,
    TERN_SPLIT_MERGED_WITH_NEXT,
    TERN_SPLIT_CONTIGUOUS
} tern_split_behavior;

/* What a split by classes does at a character. */
typedef enum tern_split_action {
    TERN_ACTION_RUN,       /* one span with its neighbours of the same action */
    TERN_ACTION_OTHER_RUN, /* likewise */
    TERN_ACTION_REMOVE,
    TERN_ACTION_ISOLATE,
    TERN_ACTION_END,      /* the last of the run before it */
    TERN_ACTION_BEGIN,    /* the first of the run behind it */
    TERN_ACTION_NOT_ASCII /* of a byte: the character tells */
} tern_split_action;

typedef enum tern_prepend_scheme { TERN_PREPEND_ALWAYS, TERN_PREPEND_FIRST, TERN_PREPEND_NEVER } tern_prepend_scheme;

/* Classes of bytes that a block is read by, see blocks.h. */
#define TERN_STAGE_MAX_CLASSES 6

struct tern_pre_tokenizer_stage {
    tern_stage_split *split;     /* NULL: it writes a new text */
    tern_stage_rewrite *rewrite; /* with both NULL, nothing is done */

    uint64_t class_bits[256]; /* bit 8 k: the byte is of class k; bit 8 TERN_STAGE_MAX_CLASSES: it is not ASCII */

    unsigned char ascii[256];           /* split by classes: tern_split_action of a byte */
    unsigned char action_of_flags[256]; /* of a tern_character_flag set */
    uint32_t delimiter;                 /* a code point that has an action of its own; UINT32_MAX: none */
    tern_split_action delimiter_action;

    tern_pattern *pattern; /* split by pattern */
    tern_split_behavior behavior;
    bool invert;

    size_t length; /* split by length: code points */

    unsigned char replacement[TERN_UNICODE_MAX_UTF8]; /* metaspace: what a space becomes */
    size_t n_replacement;
    tern_prepend_scheme prepend_scheme;
    bool is_split; /* at each replacement */

    bool is_byte_level; /* the last of the stages that ByteLevel is made of */
};

/* split_classes.c */
tern_stage_split tern__split_classes;
void tern__split_classes_set(tern_stage *stage); /* to be called when the actions are set */
/* split_pattern.c */
tern_stage_split tern__split_pattern;
/* split_scripts.c */
tern_stage_split tern__split_scripts, tern__split_length;
/* split_known.c: the patterns that most checkpoints have. A Split by one of them, its matches kept one by one. */
tern_stage_split tern__split_gpt2, tern__split_cl100k, tern__split_qwen2, tern__split_clip, tern__split_o200k;
void tern__split_known_set(tern_stage *stage, tern_stage_split *split);
/* NULL: not one of them. */
tern_stage_split *tern__split_find_known(tern_text pattern, tern_split_behavior behavior, bool invert);
/* rewrite.c */
tern_stage_rewrite tern__rewrite_metaspace, tern__rewrite_byte_level;

#define TERN_FAIL_SPANS(err, spans) TERN_FAIL_MEMORY(err, ((spans)->capacity + 1) * 2 * sizeof *(spans)->items)

static inline bool tern__spans_push(tern_spans *spans, size_t start, size_t end) {
    if (spans->n == spans->capacity && !tern__grow(&spans->items, &spans->capacity, spans->n + 1, sizeof *spans->items)) return false;
    spans->items[spans->n++] = (tern_span){.start = (uint32_t)start, .end = (uint32_t)end};
    return true;
}

#endif
