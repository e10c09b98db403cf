#!/usr/bin/env python3
"""Write src/text/unicode/unicode_data.inc: what the tokenizer needs to know of each code point.

The tables hold what the PyPI package `tokenizers` does, not what one edition of Unicode says, since that library joins tables
of several editions. So each code point is put to the library; Debian's package unicode-data only gives the combining classes'
representatives and the ages for the header.

    python3 scripts/unicode-tables.py [UNICODE_FOLDER] > src/text/unicode/unicode_data.inc       (about 20 seconds)

SPDX-License-Identifier: Apache-2.0
"""
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

FLAGS = ("DROPPED", "SPACE", "PUNCTUATION", "NONSPACING", "WORD", "LOWERED", "DECOMPOSED")
BLOCK, ROW = 16, 64
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)


def bert(**keys):
    settings = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**settings, **keys}).normalize_str


def added_token_probe(**keys):
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_tokens([AddedToken("XX", normalized=False, **keys)])
    return tokenizer


def properties():
    """flags[c], nfd[c] and lower[c] of every code point, as the library behaves."""
    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    nfd, lower = normalizers.NFD().normalize_str, normalizers.Lowercase().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    single_word, rstrip = added_token_probe(single_word=True), added_token_probe(rstrip=True)
    flags, decompositions, lowered = {}, {}, {}
    for c in CODE_POINTS:
        char, found = chr(c), set()
        cleaned, pieces = clean(char), split("a" + char + "b")
        if cleaned == "":
            found.add("DROPPED")
        if len(pieces) == 3:
            found.add("PUNCTUATION")
        if len(pieces) == 2:
            found.add("SPACE")
        # What becomes a space is a space, save those that are dropped before (U+0085 and others).
        assert (cleaned == " ") == ("SPACE" in found and "DROPPED" not in found), hex(c)
        if single_word.encode("XX" + char).ids == [0]:
            found.add("WORD")
        assert (rstrip.encode("XX" + char).offsets == [(0, 3)]) == ("SPACE" in found), hex(c)
        if nfd(char) != char:
            decompositions[c] = [ord(d) for d in nfd(char)]
            if c not in HANGUL:
                found.add("DECOMPOSED")
        elif strip(char) == "":
            found.add("NONSPACING")
        if lower(char) != char:
            lowered[c] = [ord(d) for d in lower(char)]
            found.add("LOWERED")
        flags[c] = found
    return flags, decompositions, lowered


def combining_classes(folder):
    """Class of each code point that normalization moves. One moves behind a lower class and before a higher one."""
    nfd = normalizers.NFD().normalize_str
    lowest, highest = "\u0334", "\u0345"  # of classes 1 and 240

    def moves(char):
        return nfd(char) == char and (nfd(char + lowest) != char + lowest or nfd(highest + char) != highest + char)

    representatives = {}
    for line in open(f"{folder}/UnicodeData.txt", encoding="utf-8"):
        fields = line.split(";")
        if fields[3] != "0" and moves(chr(int(fields[0], 16))):
            representatives.setdefault(int(fields[3]), chr(int(fields[0], 16)))
    classes = {}
    for c in CODE_POINTS:
        char = chr(c)
        if moves(char):
            same = [k for k, r in representatives.items() if nfd(char + r) == char + r and nfd(r + char) == r + char]
            assert len(same) == 1, hex(c)
            classes[c] = same[0]
    assert classes[ord(lowest)] == 1 and classes[ord(highest)] == max(representatives) == 240
    return classes


def check_hangul(decompositions):
    for c in HANGUL:
        index = c - 0xAC00
        parts = [0x1100 + index // 588, 0x1161 + index % 588 // 28] + ([0x11A7 + index % 28] if index % 28 else [])
        assert decompositions[c] == parts, hex(c)


def lower_ranges(lowered):
    """(first, last, stride, delta): c in the range, (c - first) % stride == 0, becomes c + delta."""
    ranges = []
    for c, to in sorted(lowered.items()):
        if len(to) > 1:
            assert (c, to) == (0x130, [0x69, 0x307]), hex(c)  # the one that grows; unicode.c has it
            continue
        delta = to[0] - c
        if ranges and ranges[-1][3] == delta:
            first, last, stride, _ = ranges[-1]
            if (first == last and c - last in (1, 2)) or (first != last and c - last == stride):
                ranges[-1] = (first, c, c - last, delta)
                continue
        ranges.append((c, c, 1, delta))
    return ranges


def stage(values, size):
    """Cut into blocks of `size`; (the number of each block, the different blocks one after the other)."""
    numbers, blocks = [], {}
    for start in range(0, len(values), size):
        numbers.append(blocks.setdefault(tuple(values[start:start + size]), len(blocks)))
    return numbers, [value for block in blocks for value in block]


def rows_of(name, values):
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > 140:
            lines.append(line)
            line = "   "
        line += " " + value + ","
    return "%s[%d] = {\n%s\n};\n" % (name, len(values), "\n".join(lines + [line]))


def array(kind, name, values, form="%d"):
    return f"static const {kind} " + rows_of(name, [form % value for value in values])


def newest(folder, code_points):
    """The edition of Unicode that brought the newest of these code points."""
    wanted, best = set(code_points), (0, 0)
    for line in open(f"{folder}/DerivedAge.txt", encoding="utf-8"):
        line = line.split("#")[0].strip()
        if line:
            span, age = (part.strip() for part in line.split(";"))
            bounds = [int(part, 16) for part in span.split("..")]
            if not wanted.isdisjoint(range(bounds[0], bounds[-1] + 1)):
                best = max(best, tuple(int(part) for part in age.split(".")))
    return "%d.%d" % best


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode"
    flags, decompositions, lowered = properties()
    classes = combining_classes(folder)
    check_hangul(decompositions)
    decomposed = sorted(c for c in decompositions if c not in HANGUL)

    records, numbers = [], []
    index_of = {}
    for c in range(0x110000):
        found = flags.get(c, set())
        record = (sum(1 << i for i, name in enumerate(FLAGS) if name in found), classes.get(c, 0))
        if record not in index_of:
            index_of[record] = len(records)
            records.append(record)
        numbers.append(index_of[record])
    assert len(records) <= 256
    middle, blocks = stage(numbers, BLOCK)
    top, rows = stage(middle, ROW)
    assert max(len(records), len(rows) // ROW) <= 256

    pool, starts = [], []
    for c in decomposed:
        starts.append(len(pool))
        pool += decompositions[c]
    starts.append(len(pool))

    out = sys.stdout.write
    out(f"""/* unicode_data.inc - written by scripts/unicode-tables.py; not to be edited. Included by unicode.c only.
 * What PyPI's tokenizers {tokenizers.__version__} does with each code point. Newest code points, by edition of Unicode (of those that
 * the Debian package knows): dropped {newest(folder, [c for c in flags if "DROPPED" in flags[c]])}, punctuation """
        f"""{newest(folder, [c for c in flags if "PUNCTUATION" in flags[c]])}, nonspacing """
        f"""{newest(folder, [c for c in flags if "NONSPACING" in flags[c]])}, word """
        f"""{newest(folder, [c for c in flags if "WORD" in flags[c]])}, lower case {newest(folder, lowered)},
 * decompositions {newest(folder, decomposed)}, combining classes {newest(folder, classes)}.
 * SPDX-License-Identifier: Apache-2.0 */
""")
    for i, name in enumerate(FLAGS):
        out(f"#define UNICODE_{name} {1 << i}\n")
    out(f"#define UNICODE_BLOCK {BLOCK}\n#define UNICODE_ROW {ROW}\n\n")
    out("/* Flags and canonical combining class. */\n")
    out("static const unsigned char " + rows_of("unicode_records", ["{%d, %d}" % r for r in records]).replace("] =", "][2] ="))
    out("/* The record of c: unicode_blocks at [unicode_rows at [unicode_top at [c / BLOCK / ROW], c / BLOCK % ROW], c % BLOCK]. */\n")
    out(array("unsigned char", "unicode_top", top))
    out(array("unsigned short", "unicode_rows", rows))
    out(array("unsigned char", "unicode_blocks", blocks))
    out("/* Lower case: every `stride`th code point from first to last becomes itself + delta. */\n")
    out("static const struct {\n    unsigned first, last, stride;\n    int delta;\n} ")
    out(rows_of("unicode_lower", ["{0x%X, 0x%X, %d, %d}" % r for r in lower_ranges(lowered)]))
    out("/* Canonical decompositions, in full, of all but Hangul syllables: sorted code points, where each starts, the code points. */\n")
    out(array("unsigned", "unicode_decomposed", decomposed, "0x%X"))
    out(array("unsigned short", "unicode_decomposition_start", starts))
    out(array("unsigned", "unicode_decomposition", pool, "0x%X"))


if __name__ == "__main__":
    main()
