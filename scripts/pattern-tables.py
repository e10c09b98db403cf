#!/usr/bin/env python3
"""Write src/text/unicode/pattern_data.inc: the properties of each code point that a regular expression may ask for.

As for scripts/unicode-tables.py, the tables hold what the PyPI package `tokenizers` does, here with Oniguruma's tables: each property is put
to it as a pattern. Names of scripts come from the Debian package unicode-data, and NEW_SCRIPTS.

    python3 scripts/pattern-tables.py [UNICODE_FOLDER] > src/text/unicode/pattern_data.inc       (about 2 minutes)

SPDX-License-Identifier: Apache-2.0
"""
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = ("Cn Cc Cf Co Cs Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp").split()
BITS = {"Alphabetic": 32, "Lowercase": 64, "Uppercase": 128}
NEW_SCRIPTS = (("Gara", "Garay"), ("Gukh", "Gurung_Khema"), ("Krai", "Kirat_Rai"), ("Onao", "Ol_Onal"), ("Sunu", "Sunuwar"),
               ("Todr", "Todhri"), ("Tutg", "Tulu_Tigalari"))


def matching(pattern, code_points):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str("".join(map(chr, code_points))) for c in piece}


def partition(patterns):
    """The index of the pattern that matches each code point; each matches one. Large ones first are faster."""
    found, rest = {}, CODE_POINTS
    for index, pattern in patterns:
        members = matching(pattern, rest)
        found.update((c, index) for c in members)
        rest = [c for c in rest if c not in members]
    return found, rest


def scripts(folder):
    """[(short name, other names ..)], as Unicode lists them."""
    names = []
    for line in open(f"{folder}/PropertyValueAliases.txt", encoding="utf-8"):
        fields = [field.strip() for field in line.split("#")[0].split(";")]
        if fields[0] == "sc" and fields[1] not in ("Hrkt",):
            names.append(fields[1:])
    return names + [list(pair) for pair in NEW_SCRIPTS]


def same_but_case(flags):
    """same[c]: the code points that c stands for when case is ignored."""
    lower = normalizers.Lowercase().normalize_str
    cased = {c for c in CODE_POINTS if flags[c] & (BITS["Lowercase"] | BITS["Uppercase"]) or lower(chr(c)) != chr(c)}
    cased |= matching(r"\p{Lt}", CODE_POINTS) | {ord(lower(chr(c))[0]) for c in cased} | {0x345}
    # Georgian, Cherokee and Greek letters with iota have partners that are neither.
    cased |= set(range(0x10A0, 0x1100)) | set(range(0x13A0, 0x1400)) | set(range(0x1C80, 0x1CC0)) | set(range(0x1F00, 0x2000))
    cased = sorted(cased - set(range(0xD800, 0xE000)))
    same = {}
    for c in cased:
        members = matching("(?i)[\\x{%x}]" % c, cased)
        if len(members) > 1:
            same[c] = sorted(members)
    return same


def several(code_points):
    """What a code point stands for when case is ignored, if that is several characters."""
    found = {}
    for c in code_points:
        folded = chr(c).casefold()
        split = pre_tokenizers.Split(Regex("(?i)\\x{%x}" % c), "removed", invert=True)
        if len(folded) > 1 and [piece for piece, _ in split.pre_tokenize_str("0" + folded + "0")] == [folded]:
            found[c] = [ord(d) for d in folded]
    return found


def rows_of(name, values):
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > 140:
            lines.append(line)
            line = "   "
        line += " " + value + ","
    return "%s[%d] = {\n%s\n};\n" % (name, len(values), "\n".join(lines + [line]))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode"
    order = ["Cn", "Co", "Lo"] + [name for name in CATEGORIES if name not in ("Cn", "Co", "Lo", "Cs")]
    categories, rest = partition([(CATEGORIES.index(name), r"\p{%s}" % name) for name in order])
    assert not rest
    flags = dict(categories)
    assigned = [c for c in CODE_POINTS if categories[c] != 0]
    for name, bit in BITS.items():
        for c in matching(r"\p{%s}" % name, assigned):
            flags[c] |= bit
    names = scripts(folder)
    first = [i for short in ("Zzzz", "Hani", "Hang", "Zyyy") for i, row in enumerate(names) if row[0] == short]
    order = first + [i for i in range(len(names)) if i not in first]
    script_of, rest = partition([(i, r"\p{%s}" % names[i][1]) for i in order])
    assert not rest, rest[:10]
    same = same_but_case(flags)
    folds = several(same.keys() | {c for c in assigned if len(chr(c).casefold()) > 1})

    for c in range(0xD800, 0xE000):
        flags[c], script_of[c] = CATEGORIES.index("Cs"), script_of[0x10FFFF]
    values = [(flags[c], script_of[c]) for c in range(0x110000)]
    kinds = sorted(set(values))
    runs, start = [], 0
    for c in range(1, 0x110001):
        if c == 0x110000 or values[c] != values[start]:
            runs.append((start, kinds.index(values[start])))
            start = c

    out = sys.stdout.write
    out(f"""/* pattern_data.inc - written by scripts/pattern-tables.py; not to be edited. Included by pattern_class.c only.
 * How the patterns of PyPI's tokenizers {tokenizers.__version__} see each code point.
 * SPDX-License-Identifier: Apache-2.0 */
""")
    for i, name in enumerate(CATEGORIES):
        out(f"#define PATTERN_{name.upper()} {i}\n")
    for name, bit in BITS.items():
        out(f"#define PATTERN_{name.upper()} {bit}\n")
    out("/* General category and bits, script. */\n")
    out("static const unsigned char " + rows_of("pattern_kinds", ["{%d, %d}" % kind for kind in kinds]).replace("] =", "][2] ="))
    out("/* From which code point on the code points are of which kind. */\n")
    out("static const struct {\n    unsigned first : 22, kind : 10;\n} " + rows_of("pattern_runs", ["{0x%X, %d}" % run for run in runs]))
    out("/* The names of each script, in lower case without _, parted by spaces. */\n")
    plain = [" ".join(name.lower().replace("_", "") for name in row) for row in names]
    out("static const char *const " + rows_of("pattern_scripts", ['"%s"' % row for row in plain]))
    pairs = [(c, other) for c in sorted(same) for other in sorted(same[c]) if other != c]
    out("/* When case is ignored, the first stands for the second too; sorted. */\n")
    out("static const unsigned " + rows_of("pattern_same", ["{0x%X, 0x%X}" % pair for pair in pairs]).replace("] =", "][2] ="))
    out("/* Likewise for two or three characters: code point, characters. */\n")
    rows = ["{0x%X, 0x%X, 0x%X, 0x%X}" % tuple([c] + folds[c] + [0] * (3 - len(folds[c]))) for c in sorted(folds)]
    out("static const unsigned " + rows_of("pattern_several", rows).replace("] =", "][4] ="))


if __name__ == "__main__":
    main()
