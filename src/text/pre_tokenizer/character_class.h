/* character_class.h - the classes of characters at which pre-tokenizers split, as Hugging Face's library sees them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_CHARACTER_CLASS_H
#define TERN_TEXT_CHARACTER_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "text/unicode/unicode.h"

typedef enum tern_character_flag {
    TERN_CHARACTER_LETTER = 1,      /* \p{L} */
    TERN_CHARACTER_NUMBER = 2,      /* \p{N} of a Split's pattern */
    TERN_CHARACTER_SPACE = 4,       /* \s; White_Space */
    TERN_CHARACTER_CASED_HEAD = 8,  /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]: what o200k's words begin with */
    TERN_CHARACTER_CASED_TAIL = 16, /* [\p{Ll}\p{Lm}\p{Lo}\p{M}]: and what they go on with */
    TERN_CHARACTER_WORD = 32,       /* \w of Whitespace */
    TERN_CHARACTER_NUMERIC = 64,    /* of Digits: category N in a newer edition of Unicode than \p{N} */
    TERN_CHARACTER_PUNCTUATION = 128
} tern_character_flag;

/* What the well-known patterns ask: each character is of one of the first four. */
typedef enum tern_character_kind {
    TERN_KIND_LETTER = TERN_CHARACTER_LETTER,
    TERN_KIND_NUMBER = TERN_CHARACTER_NUMBER,
    TERN_KIND_SPACE = TERN_CHARACTER_SPACE,
    TERN_KIND_OTHER = 8,
    TERN_KIND_NEWLINE = 16 /* and \r or \n */
} tern_character_kind;

#define TERN_CHARACTER_BLOCK 128 /* code points; the first block is ASCII and the first of the rows */

extern const unsigned char tern__class_blocks[0x110000 / TERN_CHARACTER_BLOCK];
extern const unsigned char tern__class_rows[];
extern const unsigned char tern__class_kinds[256]; /* tern_character_kind of a byte; 0: not ASCII */

static inline unsigned tern__character_flags(uint32_t code_point) {
    return tern__class_rows[tern__class_blocks[code_point / TERN_CHARACTER_BLOCK] * TERN_CHARACTER_BLOCK +
                            code_point % TERN_CHARACTER_BLOCK];
}

/* Of the character at `bytes`; *n_bytes is its length. */
static inline unsigned tern__character_kind_at(const unsigned char *bytes, size_t *n_bytes) {
    unsigned kind = tern__class_kinds[bytes[0]];
    if (kind != 0) return *n_bytes = 1, kind;
    kind = tern__character_flags(tern__utf8_decode(bytes, n_bytes)) & (TERN_KIND_LETTER | TERN_KIND_NUMBER | TERN_KIND_SPACE);
    return kind != 0 ? kind : TERN_KIND_OTHER;
}

#endif
