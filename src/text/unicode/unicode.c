/* unicode.c - UTF-8, and the tables of unicode_data.inc.
 * Source: The Unicode Standard, chapter 3: well-formed UTF-8 (table 3-7), Hangul syllable decomposition (section 3.12).
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/unicode.h"

#include <string.h>

#include "text/unicode/unicode_data.inc"

_Static_assert(UNICODE_DROPPED == TERN_UNICODE_DROPPED && UNICODE_SPACE == TERN_UNICODE_SPACE &&
                   UNICODE_PUNCTUATION == TERN_UNICODE_PUNCTUATION && UNICODE_NONSPACING == TERN_UNICODE_NONSPACING &&
                   UNICODE_WORD == TERN_UNICODE_WORD && UNICODE_LOWERED == TERN_UNICODE_LOWERED &&
                   UNICODE_DECOMPOSED == TERN_UNICODE_DECOMPOSED && UNICODE_MARK == TERN_UNICODE_MARK &&
                   UNICODE_CHANGED_BY_NFD == TERN_UNICODE_NFD && UNICODE_CHANGED_BY_NFKD == TERN_UNICODE_NFKD &&
                   UNICODE_CHANGED_BY_NFC == TERN_UNICODE_NFC && UNICODE_CHANGED_BY_NFKC == TERN_UNICODE_NFKC,
               "the flags of unicode_data.inc are those of unicode.h");
_Static_assert(UNICODE_GRAPHEME_CR == TERN_GRAPHEME_CR && UNICODE_GRAPHEME_EXTEND == TERN_GRAPHEME_EXTEND &&
                   UNICODE_GRAPHEME_EXTEND_ONLY == TERN_GRAPHEME_EXTEND_ONLY && UNICODE_GRAPHEME_LINKER == TERN_GRAPHEME_LINKER &&
                   UNICODE_GRAPHEME_ZWJ == TERN_GRAPHEME_ZWJ && UNICODE_GRAPHEME_PREPEND == TERN_GRAPHEME_PREPEND &&
                   UNICODE_GRAPHEME_L == TERN_GRAPHEME_L && UNICODE_GRAPHEME_LVT == TERN_GRAPHEME_LVT &&
                   UNICODE_GRAPHEME_CONSONANT == TERN_GRAPHEME_CONSONANT,
               "and so are the classes");

#define HIGH_BITS UINT64_C(0x8080808080808080)

size_t tern__ascii_prefix(const unsigned char *text, size_t n_bytes) {
    size_t i = 0;
    for (uint64_t word; n_bytes - i >= sizeof word; i += sizeof word) {
        memcpy(&word, text + i, sizeof word);
        if (word & HIGH_BITS) break;
    }
    while (i < n_bytes && text[i] < 0x80) i++;
    return i;
}

/* Bytes of the well-formed sequence at `text`, whose first byte is not ASCII; 0 when there is none. */
static size_t utf8_sequence(const unsigned char *text, size_t n_bytes) {
    unsigned char first = text[0];
    size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || length > n_bytes) return 0;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (!tern__utf8_is_continuation(text[i])) return 0;
    return length;
}

size_t tern__utf8_valid_prefix(const unsigned char *text, size_t n_bytes) {
    for (size_t i = 0;;) {
        i += tern__ascii_prefix(text + i, n_bytes - i);
        if (i == n_bytes) return n_bytes;
        do {
            size_t length = utf8_sequence(text + i, n_bytes - i);
            if (length == 0) return i;
            i += length;
        } while (i < n_bytes && text[i] >= 0x80);
    }
}

size_t tern__utf8_count(const unsigned char *text, size_t n_bytes) {
    size_t count = 0;
    for (size_t i = 0; i < n_bytes; i++) count += !tern__utf8_is_continuation(text[i]);
    return count;
}

void tern__utf8_find(size_t *first, size_t *last, const unsigned char *text, size_t n_bytes, uint32_t start, uint32_t end) {
    size_t at = 0;
    *first = n_bytes;
    for (uint32_t c = 0; at < n_bytes; c++) {
        if (c == start) *first = at;
        if (c == end) break;
        at++;
        while (at < n_bytes && tern__utf8_is_continuation(text[at])) at++;
    }
    if (*first > at) *first = at;
    *last = at;
}

size_t tern__utf8_encode(unsigned char *out, uint32_t c) {
    if (c < 0x80) return out[0] = (unsigned char)c, 1;
    if (c < 0x800) {
        out[0] = (unsigned char)(0xC0 | (c >> 6));
        out[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xE0 | (c >> 12));
        out[1] = (unsigned char)(0x80 | ((c >> 6) & 0x3F));
        out[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | (c >> 18));
    out[1] = (unsigned char)(0x80 | ((c >> 12) & 0x3F));
    out[2] = (unsigned char)(0x80 | ((c >> 6) & 0x3F));
    out[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

tern_unicode_record tern__unicode_find(uint32_t c) {
    size_t block = c / UNICODE_BLOCK;
    size_t row = unicode_rows[(size_t)unicode_top[block / UNICODE_ROW] * UNICODE_ROW + block % UNICODE_ROW];
    const unsigned char *record = unicode_records[unicode_blocks[row * UNICODE_BLOCK + c % UNICODE_BLOCK]];
    return (tern_unicode_record){.flags = record[0], .forms = record[1], .combining_class = record[2]};
}

size_t tern__unicode_lower(uint32_t out[TERN_UNICODE_MAX_LOWER], uint32_t c) {
    out[0] = c;
    if (c == 0x130) return out[0] = 'i', out[1] = 0x307, 2; /* capital i with dot above: the one that grows */
    size_t low = 0, high = sizeof unicode_lower / sizeof unicode_lower[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (unicode_lower[middle].last < c) low = middle + 1;
        else high = middle;
    }
    if (low == sizeof unicode_lower / sizeof unicode_lower[0] || c < unicode_lower[low].first) return 1;
    if ((c - unicode_lower[low].first) % unicode_lower[low].stride == 0) out[0] = (uint32_t)((int64_t)c + unicode_lower[low].delta);
    return 1;
}

/* Hangul syllables are composed by arithmetic: 19 leading consonants, 21 vowels, 27 trailing consonants or none. */
enum { HANGUL_FIRST = 0xAC00, HANGUL_LAST = 0xD7A3, HANGUL_LEADING = 19, HANGUL_VOWELS = 21, HANGUL_TRAILING = 28 };
enum { LEADING_FIRST = 0x1100, VOWEL_FIRST = 0x1161, TRAILING_NONE = 0x11A7 };

static size_t decompose_hangul(uint32_t *out, uint32_t c) {
    uint32_t index = c - HANGUL_FIRST, trailing = index % HANGUL_TRAILING;
    out[0] = LEADING_FIRST + index / (HANGUL_TRAILING * HANGUL_VOWELS);
    out[1] = VOWEL_FIRST + index / HANGUL_TRAILING % HANGUL_VOWELS;
    out[2] = TRAILING_NONE + trailing;
    return trailing == 0 ? 2 : 3;
}

/* Where c is in a sorted list of n; n when it is not. */
static size_t find_sorted(const unsigned *sorted, size_t n, uint32_t c) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sorted[middle] < c) low = middle + 1;
        else high = middle;
    }
    return low < n && sorted[low] == c ? low : n;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

size_t tern__unicode_decompose(uint32_t out[TERN_UNICODE_MAX_DECOMPOSITION], uint32_t c) {
    if (c >= HANGUL_FIRST && c <= HANGUL_LAST) return decompose_hangul(out, c);
    size_t at = find_sorted(unicode_decomposed, COUNT(unicode_decomposed), c);
    if (at == COUNT(unicode_decomposed)) return out[0] = c, 1;
    size_t start = unicode_decomposition_start[at], count = unicode_decomposition_start[at + 1] - start;
    for (size_t i = 0; i < count; i++) out[i] = unicode_decomposition[start + i];
    return count;
}

size_t tern__unicode_decompose_compatible(uint32_t out[TERN_UNICODE_MAX_COMPATIBLE], uint32_t c) {
    size_t at = find_sorted(unicode_compatible, COUNT(unicode_compatible), c);
    if (at == COUNT(unicode_compatible)) return tern__unicode_decompose(out, c);
    size_t start = unicode_compatible_start[at], count = unicode_compatible_start[at + 1] - start;
    for (size_t i = 0; i < count; i++) out[i] = unicode_compatible_pool[start + i];
    return count;
}

uint32_t tern__unicode_compose(uint32_t first, uint32_t second) {
    if (first - LEADING_FIRST < HANGUL_LEADING && second - VOWEL_FIRST < HANGUL_VOWELS)
        return HANGUL_FIRST + ((first - LEADING_FIRST) * HANGUL_VOWELS + (second - VOWEL_FIRST)) * HANGUL_TRAILING;
    if (first >= HANGUL_FIRST && first <= HANGUL_LAST && (first - HANGUL_FIRST) % HANGUL_TRAILING == 0 && second > TRAILING_NONE &&
        second < TRAILING_NONE + HANGUL_TRAILING)
        return first + (second - TRAILING_NONE);
    size_t low = 0, high = COUNT(unicode_composed);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const unsigned *pair = unicode_composed[middle];
        if (pair[0] < first || (pair[0] == first && pair[1] < second)) low = middle + 1;
        else high = middle;
    }
    bool is_found = low < COUNT(unicode_composed) && unicode_composed[low][0] == first && unicode_composed[low][1] == second;
    return is_found ? unicode_composed[low][2] : 0;
}

unsigned tern__unicode_script(uint32_t c) {
    size_t low = 0, high = COUNT(unicode_scripts);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (unicode_scripts[middle][1] < c) low = middle + 1;
        else high = middle;
    }
    return low < COUNT(unicode_scripts) && unicode_scripts[low][0] <= c ? unicode_scripts[low][2] : TERN_UNICODE_SCRIPT_ANY;
}

void tern__unicode_grapheme_classes(unsigned char classes[0x110000], const unsigned char values[TERN_GRAPHEME_CLASSES]) {
    for (size_t i = 0; i < COUNT(unicode_graphemes); i++) {
        const unsigned *range = unicode_graphemes[i];
        memset(classes + range[0], values[range[2]], range[1] - range[0] + 1);
    }
    memset(classes + HANGUL_FIRST, values[TERN_GRAPHEME_LVT], HANGUL_LAST - HANGUL_FIRST + 1);
    for (uint32_t c = HANGUL_FIRST; c <= HANGUL_LAST; c += HANGUL_TRAILING) classes[c] = values[TERN_GRAPHEME_LV];
}
