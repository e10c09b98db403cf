/* split_known.c - the patterns of GPT-2, of cl100k (Llama 3), Qwen2, CLIP and o200k as scanners: what a regular expression finds by
 * trying its alternatives in turn is told here by the first characters. unit_pre_tokenizer.c compares each with the engine.
 * Source: the patterns themselves, KNOWN below; Radford et al. 2019 (GPT-2); https://github.com/openai/tiktoken.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/pre_tokenizer/character_class.h"
#include "text/pre_tokenizer/stages.h"

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

static inline unsigned flags_at(const unsigned char *bytes, size_t *n_bytes) {
    if (bytes[0] < 0x80) return *n_bytes = 1, tern__class_rows[bytes[0]];
    return tern__character_flags(tern__utf8_decode(bytes, n_bytes));
}

static inline size_t flag_end(const unsigned char *bytes, size_t i, size_t end, unsigned flag) {
    size_t length;
    while (i < end && flags_at(bytes + i, &length) & flag) i += length;
    return i;
}

/* [HEAD]*[TAIL]+|[HEAD]+[TAIL]* from `i`; `i` when there is none. A character may be both, so that the greedy head gives back what the
 * tail needs: its last character that can be one. */
static inline size_t cased_word_end(const unsigned char *bytes, size_t i, size_t end, bool *has_tail) {
    size_t head = i, last_tail = i, length;
    for (unsigned flags; head < end && (flags = flags_at(bytes + head, &length)) & TERN_CHARACTER_CASED_HEAD; head += length)
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
    if (has_prefix && !has_tail && flags_at(bytes + i, &length) & TERN_CHARACTER_CASED_TAIL) stop = i + length;
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

/* Spans from each place to where `end_of` says. */
#define SPLIT_KNOWN(name, end_of)                                                                                                          \
    tern_status name(const tern_stage *stage, tern_spans *out, const unsigned char *bytes, const tern_spans *in, tern_error *err) {        \
        (void)stage;                                                                                                                       \
        for (size_t k = 0; k < in->n; k++) {                                                                                               \
            size_t end = in->items[k].end;                                                                                                 \
            for (size_t i = in->items[k].start, stop; i < end; i = stop) {                                                                 \
                stop = end_of;                                                                                                             \
                if (!tern__spans_push(out, i, stop)) return TERN_FAIL_SPANS(err, out);                                                     \
            }                                                                                                                              \
        }                                                                                                                                  \
        return TERN_OK;                                                                                                                    \
    }

SPLIT_KNOWN(tern__split_gpt2, gpt2_end(bytes, i, end))
SPLIT_KNOWN(tern__split_cl100k, cl100k_end(bytes, i, end, NUMBER_RUN_MAX))
SPLIT_KNOWN(tern__split_qwen2, cl100k_end(bytes, i, end, 1))
SPLIT_KNOWN(tern__split_o200k, o200k_end(bytes, i, end))

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
