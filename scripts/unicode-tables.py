#!/usr/bin/env python3
"""Write src/text/unicode/unicode_data.inc: what the tokenizer needs to know of each code point.

The tables hold what the PyPI package `tokenizers` does, not what one edition of Unicode says, since that library joins tables
of several editions. So each code point is put to the library; Debian's package unicode-data only gives the combining classes'
representatives, the names of scripts and the ages for the header.

    python3 scripts/unicode-tables.py [UNICODE_FOLDER] > src/text/unicode/unicode_data.inc       (about a minute)

SPDX-License-Identifier: Apache-2.0
"""
import struct
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

FLAGS = ("DROPPED", "SPACE", "PUNCTUATION", "NONSPACING", "WORD", "LOWERED", "DECOMPOSED", "MARK")
FORMS = ("NFD", "NFKD", "NFC", "NFKC")
GRAPHEMES = ("OTHER", "CR", "LF", "CONTROL", "EXTEND", "EXTEND_ONLY", "LINKER", "ZWJ", "REGIONAL", "PREPEND", "SPACING", "L", "V", "T", "LV",
             "LVT", "PICTOGRAPHIC", "CONSONANT")
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
    strip_marks = normalizers.StripAccents().normalize_str
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
        if strip_marks(char) == "":
            found.add("MARK")
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


def compositions(decompositions):
    """composed[first, second] = code point, of all but Hangul syllables."""
    nfc = normalizers.NFC().normalize_str
    composed = {}
    for c, parts in decompositions.items():
        if c in HANGUL or nfc("".join(map(chr, parts))) != chr(c):
            continue
        first = nfc("".join(map(chr, parts[:-1])))
        assert len(first) == 1 and nfc(first + chr(parts[-1])) == chr(c), hex(c)
        composed[ord(first), parts[-1]] = c
    return composed


def compatible(decompositions):
    """Compatibility decompositions, of what has one that is not its canonical decomposition."""
    nfkd = normalizers.NFKD().normalize_str
    return {c: [ord(d) for d in nfkd(chr(c))] for c in CODE_POINTS if nfkd(chr(c)) != "".join(map(chr, decompositions.get(c, [c])))}


def forms_of(flags, classes, composed):
    """forms[c]: the normal forms that may change a text because c is in it."""
    seconds = {second for _, second in composed} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    forms = {}
    for name in FORMS:
        normalize = getattr(normalizers, name)().normalize_str
        for c in CODE_POINTS:
            if normalize(chr(c)) != chr(c) or c in classes or (name in ("NFC", "NFKC") and c in seconds):
                forms.setdefault(c, set()).add(name)
    return forms


def scripts():
    """The script of each code point as UnicodeScripts sees it: 0 is what joins any, others are numbered as they come."""
    split = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    representatives, found, last = [], [], None
    for c in CODE_POINTS:
        if split(chr(c)) == []:
            found.append((c, 0))
            continue
        if last is None or len(split(representatives[last] + chr(c))) != 1:
            same = [i for i, r in enumerate(representatives) if len(split(r + chr(c))) == 1]
            assert len(same) <= 1, hex(c)
            if not same:
                representatives.append(chr(c))
                same = [len(representatives) - 1]
            last = same[0]
        found.append((c, last + 1))
    assert len(representatives) < 256
    return ranges_of(found)


def cluster_counter():
    """How many grapheme clusters Precompiled sees: with a trie that knows each byte, a cluster of less than 6 bytes becomes one character,
    a longer one as many as it has."""
    units = [0] * 1024
    units[0] = 256 << 10
    for byte in range(1, 256):
        at, value = 256 ^ byte, 512 + byte
        units[at] = (at ^ value) << 10 | 1 << 8 | byte
        units[value] = 1 << 31
    trie = struct.pack("<1024I", *units)
    normalize = normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"1\0").normalize_str
    return lambda text: len(normalize(text))


def graphemes():
    """The class of each code point in the rules for grapheme clusters, told by where clusters end. Hangul syllables are left to arithmetic."""
    count = cluster_counter()
    acute, grave, zwj, copyright_sign, watch, ka, virama = "\u0301", "\u0300", "\u200d", "\u00a9", "\u231a", "\u0915", "\u094d"
    lead, vowel, trail = "\u1100", "\u1161", "\u11a8"

    def joins(before, after):
        return count(before + after + grave) != count(before) + count(after + grave)

    def class_of(char):
        if char == zwj:
            return "ZWJ"
        if 0x1F1E6 <= ord(char) <= 0x1F1FF:
            assert joins("\U0001f1e6" + char, grave)
            return "REGIONAL"
        if count("x" + char) == 1:
            if not joins(copyright_sign + char + zwj, watch):
                return "SPACING"
            if joins(ka + char, ka):
                return "LINKER"
            return "EXTEND" if joins(ka + virama + char, ka) else "EXTEND_ONLY"
        if count(char + acute + grave) == 2:
            return "CONTROL"
        if count(char + "x") == 1:
            return "PREPEND"
        if joins(char + zwj, watch):
            return "PICTOGRAPHIC"
        if joins(char + virama, ka):
            return "CONSONANT"
        if 0x7FF < ord(char) < 0x10000:
            if joins(lead, char):
                return "L" if joins(char, lead) else "V" if joins(vowel, char) else "LV" if joins(char, vowel) else "LVT"
            if joins(vowel, char):
                return "T"
        return "OTHER"

    assert count("\r\n") == 1 and count("\r\r") == count("\n\r") == count("\n\n") == 2
    classes = [(0, "CONTROL")] + [(c, class_of(chr(c))) for c in CODE_POINTS[1:]]
    for c, name in classes:
        assert (name in ("LV", "LVT")) == (c in HANGUL) and (name == "LV") == (c in HANGUL and (c - 0xAC00) % 28 == 0), hex(c)
    values = {c: GRAPHEMES.index(name) for c, name in classes if c not in HANGUL}
    values[0x0D], values[0x0A] = GRAPHEMES.index("CR"), GRAPHEMES.index("LF")
    return ranges_of(sorted(values.items()))


def ranges_of(values):
    """(first, last, value) of (code point, value), those of value 0 left out."""
    ranges = []
    for c, value in values:
        if value == 0:
            continue
        if ranges and ranges[-1][1:] == (c - 1, value):
            ranges[-1] = (ranges[-1][0], c, value)
        else:
            ranges.append((c, c, value))
    return ranges


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


def pool_of(code_points, parts):
    pool, starts = [], []
    for c in code_points:
        starts.append(len(pool))
        pool += parts[c]
    return pool, starts + [len(pool)]


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
    composed = compositions(decompositions)
    compatibility = compatible(decompositions)
    forms = forms_of(flags, classes, composed)
    decomposed = sorted(c for c in decompositions if c not in HANGUL)

    records, numbers = [], []
    index_of = {}
    for c in range(0x110000):
        found = flags.get(c, set())
        changed = forms.get(c, set())
        record = (sum(1 << i for i, name in enumerate(FLAGS) if name in found),
                  sum(1 << i for i, name in enumerate(FORMS) if name in changed), classes.get(c, 0))
        if record not in index_of:
            index_of[record] = len(records)
            records.append(record)
        numbers.append(index_of[record])
    assert len(records) <= 256
    middle, blocks = stage(numbers, BLOCK)
    top, rows = stage(middle, ROW)
    assert max(len(records), len(rows) // ROW) <= 256

    pool, starts = pool_of(decomposed, decompositions)
    compatibles = sorted(compatibility)
    compatible_pool, compatible_starts = pool_of(compatibles, compatibility)
    assert max(len(decompositions[c]) for c in decomposed) <= 4 and max(len(compatibility[c]) for c in compatibles) <= 18

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
    for i, name in enumerate(FORMS):
        out(f"#define UNICODE_CHANGED_BY_{name} {1 << i}\n")
    for i, name in enumerate(GRAPHEMES):
        out(f"#define UNICODE_GRAPHEME_{name} {i}\n")
    out(f"#define UNICODE_BLOCK {BLOCK}\n#define UNICODE_ROW {ROW}\n\n")
    out("/* Flags, the normal forms that may change a text that has it, and canonical combining class. */\n")
    out("static const unsigned char " + rows_of("unicode_records", ["{%d, %d, %d}" % r for r in records]).replace("] =", "][3] ="))
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
    out("/* Compatibility decompositions, in full, where they differ from the canonical ones. */\n")
    out(array("unsigned", "unicode_compatible", compatibles, "0x%X"))
    out(array("unsigned short", "unicode_compatible_start", compatible_starts))
    out(array("unsigned", "unicode_compatible_pool", compatible_pool, "0x%X"))
    out("/* Compositions but of Hangul: first, second, composed; sorted. */\n")
    pairs = ["{0x%X, 0x%X, 0x%X}" % (*pair, c) for pair, c in sorted(composed.items())]
    out("static const unsigned " + rows_of("unicode_composed", pairs).replace("] =", "][3] ="))
    out("/* Scripts: first, last, the number of a script; what is in none joins any. */\n")
    out("static const unsigned " + rows_of("unicode_scripts", ["{0x%X, 0x%X, %d}" % r for r in scripts()]).replace("] =", "][3] ="))
    out("/* Classes of the rules for grapheme clusters: first, last, UNICODE_GRAPHEME_; others are OTHER, or Hangul syllables. */\n")
    out("static const unsigned " + rows_of("unicode_graphemes", ["{0x%X, 0x%X, %d}" % r for r in graphemes()]).replace("] =", "][3] ="))


if __name__ == "__main__":
    main()
