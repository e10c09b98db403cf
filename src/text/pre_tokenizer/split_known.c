/* split_known.c - the patterns of GPT-2, of cl100k (Llama 3), Qwen2, CLIP and o200k as scanners: what a regular expression finds by
 * trying its alternatives in turn is told here by the first characters. unit_pre_tokenizer.c compares each with the engine.
 * Source: the patterns themselves, KNOWN below; Radford et al. 2019 (GPT-2); https://github.com/openai/tiktoken.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/blocks.h"
#include "text/pre_tokenizer/character_class.h"

#define NUMBER_RUN_MAX 3

/* Where the run of characters of one kind ends. */
static inline size_t kind_end(const unsigned char *bytes, size_t i, size_t end, unsigned kind) {
    for (;;) {
        while (i < end && tern__class_kinds[bytes[i]] & kind) i++;
        size_t length;
        if (i == end || bytes[i] < 0x80 || !(tern__character_kind_at(bytes + i, &length) & kind)) return i;
        i += length;
    }
}

/* 's 't 'm 'd 're 've 'll: bytes of the one at `i`, where an apostrophe stands; 0 when there is none. */
static inline size_t contraction(const unsigned char *bytes, size_t i, size_t end) {
    if (end - i < 2) return 0;
    switch (bytes[i + 1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return 2;
    case 'r':
    case 'v':
        return end - i > 2 && bytes[i + 2] == 'e' ? 3 : 0;
    case 'l':
        return end - i > 2 && bytes[i + 2] == 'l' ? 3 : 0;
    }
    return 0;
}

/* The same in either case; U+017F, the long s, is an S. */
static inline size_t contraction_of_any_case(const unsigned char *bytes, size_t i, size_t end) {
    unsigned char lowered[3] = {'\''};
    size_t n = 1;
    for (; n < 3 && n < end - i; n++) lowered[n] = bytes[i + n] | ('a' - 'A');
    if (end - i > 2 && bytes[i + 1] == 0xC5 && bytes[i + 2] == 0xBF) return 3;
    for (size_t k = 1; k < n; k++)
        if (!(tern__class_kinds[bytes[i + k]] & TERN_KIND_LETTER)) n = k;
    return contraction(lowered, 0, n);
}

/* \s+(?!\S)|\s+ where white space stands at `i`: all of it at the end of the text, else all but the last character, which belongs to what
 * follows; but at least one. */
static inline size_t space_end(const unsigned char *bytes, size_t i, size_t end) {
    size_t stop = kind_end(bytes, i, end, TERN_KIND_SPACE);
    if (stop == end) return stop;
    size_t last = stop - 1;
    while (tern__utf8_is_continuation(bytes[last])) last--;
    return last > i ? last : stop;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ where white space stands at `i`. */
static inline size_t space_or_lines_end(const unsigned char *bytes, size_t i, size_t end) {
    size_t stop = kind_end(bytes, i, end, TERN_KIND_SPACE);
    for (size_t k = stop; k > i; k--)
        if (tern__class_kinds[bytes[k - 1]] & TERN_KIND_NEWLINE) return k;
    return space_end(bytes, i, end);
}

static inline size_t gpt2_end(const unsigned char *bytes, size_t i, size_t end) {
    if (bytes[i] == '\'') {
        size_t length = contraction(bytes, i, end);
        if (length != 0) return i + length;
    }
    size_t word = i + (bytes[i] == ' '), length;
    if (word < end) {
        unsigned kind = tern__character_kind_at(bytes + word, &length);
        if (!(kind & TERN_KIND_SPACE)) return kind_end(bytes, word + length, end, kind);
    }
    return space_end(bytes, i, end);
}

/* Other than white space, letters and numbers, and the line ends (and slashes) behind. */
static inline size_t symbols_end(const unsigned char *bytes, size_t i, size_t end, bool with_slashes) {
    i = kind_end(bytes, i, end, TERN_KIND_OTHER);
    while (i < end && (tern__class_kinds[bytes[i]] & TERN_KIND_NEWLINE || (with_slashes && bytes[i] == '/'))) i++;
    return i;
}

static inline size_t numbers_end(const unsigned char *bytes, size_t i, size_t end, size_t max) {
    size_t length;
    for (size_t n = 0; n < max && i < end && tern__character_kind_at(bytes + i, &length) & TERN_KIND_NUMBER; n++) i += length;
    return i;
}

static inline size_t cl100k_end(const unsigned char *bytes, size_t i, size_t end, size_t max_numbers) {
    size_t length, next_length;
    if (bytes[i] == '\'') {
        length = contraction_of_any_case(bytes, i, end);
        if (length != 0) return i + length;
    }
    unsigned kind = tern__character_kind_at(bytes + i, &length), next = 0;
    if (kind & TERN_KIND_LETTER) return kind_end(bytes, i + length, end, TERN_KIND_LETTER);
    if (kind & TERN_KIND_NUMBER) return numbers_end(bytes, i, end, max_numbers);
    if (i + length < end) next = tern__character_kind_at(bytes + i + length, &next_length);
    if (next & TERN_KIND_LETTER && !(kind & TERN_KIND_NEWLINE)) return kind_end(bytes, i + length + next_length, end, TERN_KIND_LETTER);
    if (kind & TERN_KIND_OTHER || (bytes[i] == ' ' && next & TERN_KIND_OTHER)) return symbols_end(bytes, i + length, end, false);
    return space_or_lines_end(bytes, i, end);
}

/* 0: what stands at `i` is none of the pattern's. */
static inline size_t clip_end(const unsigned char *bytes, size_t i, size_t end) {
    size_t length;
    if (bytes[i] == '\'') {
        length = contraction(bytes, i, end);
        if (length != 0) return i + length;
    }
    unsigned kind = tern__character_kind_at(bytes + i, &length);
    if (kind & TERN_KIND_SPACE) return 0;
    return kind & TERN_KIND_NUMBER ? i + length : kind_end(bytes, i + length, end, kind);
}

static inline unsigned case_flags_at(const unsigned char *bytes, size_t *n_bytes) {
    if (bytes[0] < 0x80) return *n_bytes = 1, tern__class_rows[bytes[0]];
    return tern__character_flags(tern__utf8_decode(bytes, n_bytes));
}

static inline size_t flag_end(const unsigned char *bytes, size_t i, size_t end, unsigned flag) {
    for (;;) {
        while (i < end && bytes[i] < 0x80 && tern__class_rows[bytes[i]] & flag) i++;
        size_t length;
        if (i == end || bytes[i] < 0x80 || !(case_flags_at(bytes + i, &length) & flag)) return i;
        i += length;
    }
}

/* [HEAD]*[TAIL]+|[HEAD]+[TAIL]* from `i`; `i` when there is none. A character may be both, so that the greedy head gives back what the
 * tail needs: its last character that can be one. */
static inline size_t cased_word_end(const unsigned char *bytes, size_t i, size_t end, bool *has_tail) {
    size_t head = i, last_tail = i, length;
    for (unsigned flags; head < end && (flags = case_flags_at(bytes + head, &length)) & TERN_CHARACTER_CASED_HEAD; head += length)
        if (flags & TERN_CHARACTER_CASED_TAIL) last_tail = head + length;
    size_t tail = flag_end(bytes, head, end, TERN_CHARACTER_CASED_TAIL);
    *has_tail = tail > head || last_tail > i;
    return tail > head ? tail : last_tail > i ? last_tail : head;
}

/* The two alternatives of o200k for words, an apostrophe's ending with them; `i` when neither is there. */
static inline size_t o200k_word_end(const unsigned char *bytes, size_t i, size_t end, unsigned kind, size_t length) {
    bool has_tail, has_prefix = !(kind & (TERN_KIND_LETTER | TERN_KIND_NUMBER | TERN_KIND_NEWLINE));
    size_t start = has_prefix ? i + length : i, stop = cased_word_end(bytes, start, end, &has_tail);
    /* Without a tail, a mark that was taken for the prefix is a word before the head is. */
    if (has_prefix && !has_tail && case_flags_at(bytes + i, &length) & TERN_CHARACTER_CASED_TAIL) stop = i + length;
    else if (stop == start) return i;
    return stop < end && bytes[stop] == '\'' ? stop + contraction_of_any_case(bytes, stop, end) : stop;
}

static inline size_t o200k_end(const unsigned char *bytes, size_t i, size_t end) {
    size_t length, next_length;
    unsigned kind = tern__character_kind_at(bytes + i, &length);
    if (kind & TERN_KIND_NUMBER) return numbers_end(bytes, i, end, NUMBER_RUN_MAX);
    size_t word = o200k_word_end(bytes, i, end, kind, length);
    if (word > i) return word;
    if (kind & TERN_KIND_OTHER) return symbols_end(bytes, i + length, end, true);
    if (bytes[i] == ' ' && i + 1 < end && tern__character_kind_at(bytes + i + 1, &next_length) & TERN_KIND_OTHER)
        return symbols_end(bytes, i + 1, end, true);
    return space_or_lines_end(bytes, i, end);
}

/* ---- A block at a time ---- */

/* A blank is the space that a word may begin with. */
enum { CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE, CLASS_BLANK, CLASS_APOSTROPHE, CLASS_NEWLINE, N_CLASSES };

void tern__split_known_set(tern_stage *stage, tern_stage_split *split) {
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned kind = tern__class_kinds[byte];
        stage->class_bits[byte] =
            (kind & TERN_KIND_LETTER ? BLOCK_BIT(8 * CLASS_LETTER) : 0) | (kind & TERN_KIND_NUMBER ? BLOCK_BIT(8 * CLASS_NUMBER) : 0) |
            (kind & TERN_KIND_SPACE ? BLOCK_BIT(8 * CLASS_SPACE) : 0) | (kind & TERN_KIND_NEWLINE ? BLOCK_BIT(8 * CLASS_NEWLINE) : 0) |
            (kind == 0 ? BLOCK_BIT(8 * TERN_STAGE_MAX_CLASSES) : 0);
    }
    stage->class_bits[' '] |= BLOCK_BIT(8 * CLASS_BLANK);
    stage->class_bits['\''] |= BLOCK_BIT(8 * CLASS_APOSTROPHE);
    stage->split = split;
}

/* What the patterns ask of a block. Behind the text's end it is as if it went on with spaces. */
typedef struct known_block {
    tern_block block;
    uint64_t letters, numbers, spaces, others;
    uint64_t continuations; /* bytes that no character begins with */
} known_block;

static inline void read_known_block(known_block *known, const tern_stage *stage, const unsigned char *bytes, size_t at, size_t end) {
    size_t i, length;
    tern_block *block = &known->block;
    block_read(block, stage, N_CLASSES, bytes, at, end);
    known->continuations = 0;
    for (uint32_t c; block->not_ascii != 0 && block_take_character(block, bytes + at, &i, &length, &c);) {
        unsigned flags = tern__character_flags(c);
        uint64_t bits = block_below(length) << i;
        block->masks[CLASS_LETTER] |= flags & TERN_CHARACTER_LETTER ? bits : 0;
        block->masks[CLASS_NUMBER] |= flags & TERN_CHARACTER_NUMBER ? bits : 0;
        block->masks[CLASS_SPACE] |= flags & TERN_CHARACTER_SPACE ? bits : 0;
        known->continuations |= bits & bits << 1;
    }
    known->letters = block->masks[CLASS_LETTER];
    known->numbers = block->masks[CLASS_NUMBER];
    known->spaces = block->masks[CLASS_SPACE] | ~block_below(block->n_bytes);
    known->others = ~(known->letters | known->numbers | known->spaces);
}

/* Where an apostrophe begins a word before byte n_known, the contraction is cut from what follows. */
static inline uint64_t cut_contractions(const known_block *known, uint64_t starts, size_t n_known, const unsigned char *bytes, size_t at,
                                        size_t end, size_t length_of(const unsigned char *, size_t, size_t)) {
    for (uint64_t found = known->block.masks[CLASS_APOSTROPHE] & starts & block_below(n_known); found != 0; found &= found - 1) {
        size_t i = (size_t)__builtin_ctzll(found), length = length_of(bytes, at + i, end);
        if (length == 0) continue;
        starts &= ~(block_below(length - 1) << (i + 1));
        if (i + length < BLOCK_BYTES) starts |= BLOCK_BIT(i + length);
    }
    return starts;
}

/* The bytes at which the pattern's words begin, byte 0 apart; where one cannot be told from the block alone, *n_known becomes less, and the
 * scanner goes on from the word before. */
typedef uint64_t known_starts(const known_block *known, const unsigned char *bytes, size_t at, size_t end, size_t *n_known);
typedef size_t known_end(const unsigned char *bytes, size_t i, size_t end);

static inline uint64_t gpt2_starts(const known_block *known, const unsigned char *bytes, size_t at, size_t end, size_t *n_known) {
    uint64_t letters = known->letters, numbers = known->numbers, spaces = known->spaces;
    uint64_t changes = (letters ^ letters << 1) | (numbers ^ numbers << 1) | (spaces ^ spaces << 1);
    uint64_t last = spaces & ~(spaces >> 1 | BLOCK_BIT(BLOCK_BYTES - 1)); /* character of a run of spaces that something follows */
    while (last & known->continuations) last = (last & ~known->continuations) | (last & known->continuations) >> 1;
    uint64_t starts = (changes & ~(~spaces & known->block.masks[CLASS_BLANK] << 1)) | (last & spaces << 1);
    return cut_contractions(known, starts | 1, *n_known, bytes, at, end, contraction);
}

/* Every NUMBER_RUN_MAX-th number of each run. */
static uint64_t number_groups(uint64_t numbers, uint64_t continuations) {
    uint64_t starts = 0;
    for (size_t i = 0, n = 0; i < BLOCK_BYTES; i++) {
        if (!(numbers >> i & 1)) n = 0;
        else if (!(continuations >> i & 1) && n++ % NUMBER_RUN_MAX == 0) starts |= BLOCK_BIT(i);
    }
    return starts;
}

static inline uint64_t cl100k_starts_of(const known_block *known, size_t max_numbers, const unsigned char *bytes, size_t at, size_t end,
                                        size_t *n_known) {
    uint64_t letters = known->letters, numbers = known->numbers, spaces = known->spaces, others = known->others;
    uint64_t lines = known->block.masks[CLASS_NEWLINE], continuations = known->continuations;
    uint64_t long_spaces = spaces & spaces << 1 & block_below(*n_known); /* rare in prose, and intricate: for the scanner */
    if (long_spaces != 0) *n_known = (size_t)__builtin_ctzll(long_spaces);
    uint64_t symbols = others & ~(others << 1) & ~(known->block.masks[CLASS_BLANK] << 1);
    uint64_t behind_symbol = symbols << 1; /* the character behind the first of each word of symbols */
    while (behind_symbol & continuations) behind_symbol = (behind_symbol & ~continuations) | (behind_symbol & continuations) << 1;
    uint64_t starts =
        symbols | (letters & ~(letters << 1 | (spaces & ~lines) << 1 | behind_symbol)) | (spaces & ~(spaces << 1 | (lines & others << 1)));
    if (max_numbers == 1) starts |= numbers & ~continuations;
    else if (numbers & numbers << 1 & numbers << 2 & numbers << 3) starts |= number_groups(numbers, continuations);
    else starts |= numbers & ~(numbers << 1);
    return cut_contractions(known, starts | 1, *n_known, bytes, at, end, contraction_of_any_case);
}

static inline uint64_t cl100k_starts(const known_block *known, const unsigned char *bytes, size_t at, size_t end, size_t *n_known) {
    return cl100k_starts_of(known, NUMBER_RUN_MAX, bytes, at, end, n_known);
}

static inline uint64_t qwen2_starts(const known_block *known, const unsigned char *bytes, size_t at, size_t end, size_t *n_known) {
    return cl100k_starts_of(known, 1, bytes, at, end, n_known);
}

/* ---- All of a span ---- */

#define BLOCKS_MIN_BYTES 24                          /* a shorter span is sooner scanned */
#define LOOKAHEAD_BYTES  (2 * TERN_UNICODE_MAX_UTF8) /* what tells of a place stands no further behind it */

static inline bool scan_words(tern_spans *out, const unsigned char *bytes, size_t *at, size_t until, size_t end, known_end *end_of) {
    while (*at < until) {
        size_t stop = end_of(bytes, *at, end);
        if (!tern__spans_push(out, *at, stop)) return false;
        *at = stop;
    }
    return true;
}

static inline bool split_blocks(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, size_t at, size_t end,
                                known_starts *starts_of, known_end *end_of) {
    while (at < end) {
        if (end - at < BLOCKS_MIN_BYTES) return scan_words(out, bytes, &at, end, end, end_of);
        known_block known;
        read_known_block(&known, stage, bytes, at, end);
        size_t n_bytes = known.block.n_bytes, n_known = known.block.is_last ? n_bytes : n_bytes - LOOKAHEAD_BYTES, n_before = n_known;
        uint64_t starts = starts_of(&known, bytes, at, end, &n_known);
        if (!block_reserve(out)) return false;
        size_t last = block_emit(out, starts & block_below(n_known), 0, at);
        if (n_known == n_bytes) return tern__spans_push(out, at + last, end);
        size_t until = at + (n_known < n_before ? n_known + 1 : last == 0);
        at += last;
        if (!scan_words(out, bytes, &at, until, end, end_of)) return false;
    }
    return true;
}

#define SPLIT_KNOWN(name, is_split)                                                                                                        \
    tern_status name(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in, tern_error *err) {        \
        for (size_t k = 0; k < in->n; k++) {                                                                                               \
            size_t at = in->items[k].start, end = in->items[k].end;                                                                        \
            (void)stage;                                                                                                                   \
            if (!(is_split)) return TERN_FAIL_SPANS(err, out);                                                                             \
        }                                                                                                                                  \
        return TERN_OK;                                                                                                                    \
    }

static inline size_t llama3_end(const unsigned char *bytes, size_t i, size_t end) { return cl100k_end(bytes, i, end, NUMBER_RUN_MAX); }
static inline size_t qwen2_end(const unsigned char *bytes, size_t i, size_t end) { return cl100k_end(bytes, i, end, 1); }

SPLIT_KNOWN(tern__split_gpt2, split_blocks(stage, out, bytes, at, end, gpt2_starts, gpt2_end))
SPLIT_KNOWN(tern__split_cl100k, split_blocks(stage, out, bytes, at, end, cl100k_starts, llama3_end))
SPLIT_KNOWN(tern__split_qwen2, split_blocks(stage, out, bytes, at, end, qwen2_starts, qwen2_end))
SPLIT_KNOWN(tern__split_o200k, scan_words(out, bytes, &at, end, end, o200k_end))

tern_status tern__split_clip(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in, tern_error *err) {
    for (size_t k = 0; k < in->n; k++) {
        size_t end = in->items[k].end;
        for (size_t i = in->items[k].start, stop; i < end; i = stop) {
            bool is_match = (stop = clip_end(bytes, i, end)) != 0;
            if (!is_match) stop = kind_end(bytes, i, end, TERN_KIND_SPACE);
            if ((is_match || stage->behavior == TERN_SPLIT_ISOLATED) && !tern__spans_push(out, i, stop)) return TERN_FAIL_SPANS(err, out);
        }
    }
    return TERN_OK;
}

#define CL100K(numbers)                                                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"                 \
    "\\s+(?!\\S)|\\s+"
#define O200K_HEAD   "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K_TAIL   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K_ENDING "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"

static const struct {
    const char *pattern;
    tern_stage_split *split;
} KNOWN[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", tern__split_gpt2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", tern__split_gpt2},
    {CL100K("\\p{N}{1,3}"), tern__split_cl100k},
    {CL100K("\\p{N}"), tern__split_qwen2},
    {"'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", tern__split_clip},
    {"[^\\r\\n\\p{L}\\p{N}]?" O200K_HEAD "*" O200K_TAIL "+" O200K_ENDING "[^\\r\\n\\p{L}\\p{N}]?" O200K_HEAD "+" O200K_TAIL "*" O200K_ENDING
     "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     tern__split_o200k},
};

tern_stage_split *tern__split_find_known(tern_text pattern, tern_split_behavior behavior, bool invert) {
    if (behavior != TERN_SPLIT_ISOLATED && !(behavior == TERN_SPLIT_REMOVED && invert)) return NULL;
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (strlen(KNOWN[i].pattern) == pattern.bytes && memcmp(KNOWN[i].pattern, pattern.data, pattern.bytes) == 0) return KNOWN[i].split;
    return NULL;
}
