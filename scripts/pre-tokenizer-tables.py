#!/usr/bin/env python3
"""Write src/text/pre_tokenizer/character_class_data.inc: the classes of characters at which pre-tokenizers split.

As for scripts/unicode-tables.py, each code point is put to the PyPI package `tokenizers`, which joins tables of several editions of
Unicode: Oniguruma's for patterns, the Rust library's for digits, the Rust regex crate's for \\w.

    python3 scripts/pre-tokenizer-tables.py > src/text/pre_tokenizer/character_class_data.inc       (about 20 seconds)

SPDX-License-Identifier: Apache-2.0
"""
import sys

import tokenizers
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
LETTER, NUMBER, SPACE, CASED_HEAD, CASED_TAIL, WORD, NUMERIC, PUNCTUATION = (1 << i for i in range(8))
BLOCK = 128
KIND_OTHER, KIND_NEWLINE = 8, 16


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS))) for c in piece}


def alone(split):
    """The code points that `split` parts from an "a" before and keeps."""
    text = "".join("a" + chr(c) for c in CODE_POINTS)
    return {ord(piece) for piece, _ in split.pre_tokenize_str(text) if len(piece) == 1} - {ord("a")}


def word_characters():
    """The code points that Whitespace keeps joined to an "a"."""
    text = " ".join("a" + chr(c) for c in CODE_POINTS)
    return {ord(piece[1]) for piece, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text) if len(piece) == 2} | {ord("a")}


def flags_of_code_points():
    flags = [0] * 0x110000
    digits = alone(pre_tokenizers.Digits(individual_digits=True))
    for flag, members in (
        (LETTER, matching(r"\p{L}")),
        (NUMBER, matching(r"\p{N}")),
        (SPACE, matching(r"\s")),
        (CASED_HEAD, matching(r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]")),
        (CASED_TAIL, matching(r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]")),
        (WORD, word_characters()),
        (NUMERIC, digits),
        (PUNCTUATION, alone(pre_tokenizers.Punctuation("isolated"))),
    ):
        for c in members:
            flags[c] |= flag
    return flags


def kind_of_byte(flags, byte):
    kind = flags[byte] & (LETTER | NUMBER | SPACE)
    return 0 if byte >= 128 else (kind or KIND_OTHER) | (KIND_NEWLINE if byte in b"\r\n" else 0)


def rows_of(name, values):
    lines, line = [], "   "
    for value in map(str, values):
        if len(line) + len(value) + 2 > 140:
            lines.append(line)
            line = "   "
        line += " " + value + ","
    return "%s[%d] = {\n%s\n};\n" % (name, len(values), "\n".join(lines + [line]))


def main():
    flags = flags_of_code_points()
    numbers, blocks = [], {}
    for start in range(0, len(flags), BLOCK):
        numbers.append(blocks.setdefault(tuple(flags[start:start + BLOCK]), len(blocks)))
    out = sys.stdout.write
    out(f"""/* character_class_data.inc - written by scripts/pre-tokenizer-tables.py; not to be edited. Included by character_class.c only.
 * How PyPI's tokenizers {tokenizers.__version__} sees each code point.
 * SPDX-License-Identifier: Apache-2.0 */
#define CLASS_BLOCK {BLOCK}

/* The flags of c: tern__class_rows at [tern__class_blocks at [c / CLASS_BLOCK] * CLASS_BLOCK + c % CLASS_BLOCK]. */
""")
    assert len(blocks) <= 256
    out("const unsigned char " + rows_of("tern__class_blocks", numbers))
    out("const unsigned char " + rows_of("tern__class_rows", [value for block in blocks for value in block]))
    out("/* The tern_character_kind of a byte; 0: not ASCII. */\n")
    out("const unsigned char " + rows_of("tern__class_kinds", [kind_of_byte(flags, byte) for byte in range(256)]))


if __name__ == "__main__":
    main()
