/* unicode.h - UTF-8 and what the tokenizer needs to know of a code point. The tables follow Hugging Face's library, which joins several
 * editions of Unicode; see unicode_data.inc.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_UNICODE_H
#define TERN_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERN_UNICODE_MAX_UTF8          4  /* bytes of one code point */
#define TERN_UNICODE_MAX_DECOMPOSITION 4  /* code points */
#define TERN_UNICODE_MAX_COMPATIBLE    18 /* code points of a compatibility decomposition */
#define TERN_UNICODE_MAX_LOWER         2  /* code points */

/* Bytes of the longest prefix of `text` that is well-formed UTF-8 (no surrogates, nothing overlong); n_bytes when all is. */
size_t tern__utf8_valid_prefix(const unsigned char *text, size_t n_bytes);
/* Bytes of the prefix that is ASCII. */
size_t tern__ascii_prefix(const unsigned char *text, size_t n_bytes);
/* Code points of well-formed text. */
size_t tern__utf8_count(const unsigned char *text, size_t n_bytes);
/* Code points [start, end) of well-formed text, as far as they are there: bytes [*first, *last). */
void tern__utf8_find(size_t *first, size_t *last, const unsigned char *text, size_t n_bytes, uint32_t start, uint32_t end);
/* Writes 1 to 4 bytes and returns how many. */
size_t tern__utf8_encode(unsigned char *out, uint32_t code_point);

/* The code point at `text`, well-formed; *n_bytes is its length. */
static inline uint32_t tern__utf8_decode(const unsigned char *text, size_t *n_bytes) {
    if (text[0] < 0x80) return *n_bytes = 1, text[0];
    if (text[0] < 0xE0) return *n_bytes = 2, ((text[0] & 0x1Fu) << 6) | (text[1] & 0x3Fu);
    if (text[0] < 0xF0) return *n_bytes = 3, ((text[0] & 0x0Fu) << 12) | ((text[1] & 0x3Fu) << 6) | (text[2] & 0x3Fu);
    return *n_bytes = 4, ((text[0] & 0x07u) << 18) | ((text[1] & 0x3Fu) << 12) | ((text[2] & 0x3Fu) << 6) | (text[3] & 0x3Fu);
}

static inline bool tern__utf8_is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/* What is known of a code point. The questions are Hugging Face's, so some differ from today's Unicode. */
typedef enum tern_unicode_flag {
    TERN_UNICODE_DROPPED = 1,     /* BertNormalizer's clean_text removes it: controls, formats, private use, NUL, U+FFFD */
    TERN_UNICODE_SPACE = 2,       /* White_Space */
    TERN_UNICODE_PUNCTUATION = 4, /* BertPreTokenizer's: category P, and ASCII symbols */
    TERN_UNICODE_NONSPACING = 8,  /* category Mn; only told of what does not decompose */
    TERN_UNICODE_WORD = 16,       /* \w of a regular expression */
    TERN_UNICODE_LOWERED = 32,    /* tern__unicode_lower changes it */
    TERN_UNICODE_DECOMPOSED = 64, /* tern__unicode_decompose changes it, and it is no Hangul syllable */
    TERN_UNICODE_MARK = 128       /* StripAccents removes it: category M */
} tern_unicode_flag;

/* The normal forms, as a set: those that may change a text because a code point is in it. Text between two code points without the flag is
 * normalized on its own. */
typedef enum tern_unicode_form {
    TERN_UNICODE_NFD = 1,
    TERN_UNICODE_NFKD = 2,
    TERN_UNICODE_NFC = 4,
    TERN_UNICODE_NFKC = 8
} tern_unicode_form;

typedef struct tern_unicode_record {
    unsigned char flags;           /* tern_unicode_flag */
    unsigned char forms;           /* tern_unicode_form */
    unsigned char combining_class; /* canonical */
} tern_unicode_record;

tern_unicode_record tern__unicode_find(uint32_t code_point);
/* Lower case of one code point, without context; returns how many code points it has. */
size_t tern__unicode_lower(uint32_t out[TERN_UNICODE_MAX_LOWER], uint32_t code_point);
/* Full canonical decomposition, itself when it has none; returns how many code points it has. */
size_t tern__unicode_decompose(uint32_t out[TERN_UNICODE_MAX_DECOMPOSITION], uint32_t code_point);
/* Likewise the full compatibility decomposition. */
size_t tern__unicode_decompose_compatible(uint32_t out[TERN_UNICODE_MAX_COMPATIBLE], uint32_t code_point);
/* What two code points compose to; 0: nothing. */
uint32_t tern__unicode_compose(uint32_t first, uint32_t second);

#define TERN_UNICODE_SCRIPT_ANY 0 /* joins what is before */

/* The number of the script that UnicodeScripts sees; Han, Hiragana and Katakana are one. */
unsigned tern__unicode_script(uint32_t code_point);

/* Classes of the rules for grapheme clusters, UAX #29. */
typedef enum tern_grapheme_class {
    TERN_GRAPHEME_OTHER,
    TERN_GRAPHEME_CR,
    TERN_GRAPHEME_LF,
    TERN_GRAPHEME_CONTROL,
    TERN_GRAPHEME_EXTEND,      /* both Extend and InCB=Extend */
    TERN_GRAPHEME_EXTEND_ONLY, /* not InCB=Extend */
    TERN_GRAPHEME_LINKER,
    TERN_GRAPHEME_ZWJ,
    TERN_GRAPHEME_REGIONAL,
    TERN_GRAPHEME_PREPEND,
    TERN_GRAPHEME_SPACING,
    TERN_GRAPHEME_L,
    TERN_GRAPHEME_V,
    TERN_GRAPHEME_T,
    TERN_GRAPHEME_LV,
    TERN_GRAPHEME_LVT,
    TERN_GRAPHEME_PICTOGRAPHIC,
    TERN_GRAPHEME_CONSONANT
} tern_grapheme_class;

#define TERN_GRAPHEME_CLASSES 32 /* less than */

/* Sets classes[code_point] to values[its class], where the class is not OTHER. */
void tern__unicode_grapheme_classes(unsigned char classes[0x110000], const unsigned char values[TERN_GRAPHEME_CLASSES]);
/* Bytes of the cluster that starts at `text`, well-formed, and is not cut by its end; `classes` has the class of each code point in its low
 * bits. */
size_t tern__grapheme_cluster(const unsigned char *text, size_t n_bytes, const unsigned char *classes);

#endif
