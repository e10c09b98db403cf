"""tokenizer_texts.py - texts for the tokenizer tests: Unicode at its worst, and any number of lines, the same on every run.

Made of what every machine with Python has: its own sources and docstrings, the names in unicodedata, and mixtures of scripts from a seed.
SPDX-License-Identifier: Apache-2.0
"""
import functools
import os
import random
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

WORDS = ("the of and to in is that for it as with was on be by are this from at an not have or which one all can has had their "
         "I'm don't we'LL naïve café Straße ΑΣΣΟΣ İstanbul ǅungla ﬁnance Żółć Việt Nam điện привет Москва ёлка שלום עולם "
         "مرحبا हिन्दी নমস্কার தமிழ் ไทย 한국어 각 中文 漢字 カタカナ ひらがな が ｶﾞ 𠀀𠀁 👩‍👩‍👧‍👦 🇫🇷 👍🏽 "
         "ｆｕｌｌ Å Ω K ﷺ x² ½ № … — “quoted” "
         "‘it’s’ hello, world! (a) [b] {c} 3.14 $5 50% 1234567 ١٢٣ Ⅷ e-mail a_b #tag @you http://x.yz/?q=1 embedding sentences tokenization unaffable "
         "camelCase ``x''").split()
HARD = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\x80", "\x85", "\xa0", "\xad", "\t", "\n", "\r\n", "\r", "\x0b", "\x0c", "\u1680",
        "\u180e",
        "\u2000", "\u200b", "\u200d", "\u2028", "\u2029", "\u202e", "\u202f", "\u2060", "\u2066", "\u3000", "\ufeff", "\ufffd", "\uffff",
        "\ue000", "\ufdd0", "\U000f0000", "\U0010ffff", "\u0378", "\u0300", "\u0301", "\u0323", "\u0327", "\u0334", "\u0345", "\u0344",
        "\u05b0", "\u0e38", "\u0f71\u0f72", "\u0f73", "\u1100\u1161\u11a8", "\u1161", "\u3099", "\U0001d165", "\U0001d16d\U0001d165",
        "\U0001d15e", "\u0130", "\u1e9e", "\u03a3", "\u03c2", "\u2126", "\u212b", "\uf900", "\U0002f800", "\u4e00", "\u9fff", "\u3400",
        "\U0002b820", "\u0640", "\u094d", "\u09be", "\u302a", "\u302e", "\U00011930", "\u0898", "\u2581", "\u2581\u2581", " ", "  ", "   ",
        "\u0120", "\ufb01", "\u017f", "\u01c5", "\u00df", "\u0149", "\u1f80", "\u3300", "\ufdfa", "\u0bd7", "\ud7b0", "\ufe0f",
        "\U000e0041"]
RUNS = ["x", "é", "中", "😀", "##", " ", "\n", "\u0301", "9", ".", "a ", "\u2581", "\u1161", "'s"]
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[mask]", "[MASK", "<s>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "<|x|>",
           "</w>",
           "<0x41>", "<0xZZ>", "[SEP][SEP]", "foo bar", "Foo"]
# Alphabets of mixtures: first and last code point.
SCRIPTS = [(0x21, 0x7E), (0x61, 0x7A), (0xA1, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x5F4), (0x600, 0x6FF),
           (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF),
           (0x1E00, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0x33FF), (0x4E00, 0x4FFF), (0xAC00, 0xAFFF), (0xF900, 0xFB06), (0xFB1D, 0xFDFF),
           (0xFE00, 0xFFEF), (0x10330, 0x1034A), (0x1D400, 0x1D7FF), (0x1F100, 0x1F6FF), (0x20000, 0x20100)]


@functools.cache
def prose():
    """Lines of Python's own sources and docstrings, the shorter ones; about 40,000."""
    lines = {}
    folder = os.path.dirname(os.__file__)
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                lines.update(dict.fromkeys(line.rstrip("\n") for line in file if 4 < len(line) < 200))
    return list(lines)


@functools.cache
def names():
    """Every 7th character with a name, and its name."""
    return [chr(c) + " " + unicodedata.name(chr(c)).title() for c in CODE_POINTS[::7] if unicodedata.name(chr(c), "")]


def scripts_mixed(rng):
    parts = []
    for _ in range(rng.randrange(1, 7)):
        first, last = rng.choice(SCRIPTS)
        parts.append("".join(chr(rng.randint(first, last)) for _ in range(rng.randrange(1, 9))))
        parts.append(rng.choice((" ", " ", "  ", "", "\n", ", ")))
    return "".join(parts)


def words_mixed(rng, pieces=()):
    """Words, hard characters, runs and special tokens, with and without spaces between; `pieces`: of the vocabulary under test."""
    parts = []
    for _ in range(rng.choice((0, 1, 2, 3, 5, 8, 12))):
        kind = rng.random()
        if kind < 0.40:
            parts.append(rng.choice(WORDS))
        elif kind < 0.50 and pieces:
            parts.append(rng.choice(pieces))
        elif kind < 0.70:
            parts.append("".join(rng.choice(HARD) for _ in range(rng.choice((1, 1, 2, 3, 6)))))
        elif kind < 0.76:
            parts.append("".join(rng.choice(WORDS) for _ in range(rng.randrange(2, 5))))
        elif kind < 0.80:
            parts.append(rng.choice("ea가") + "".join(chr(rng.choice((0x300, 0x323, 0x345, 0x591, 0x94D,
                                                                     0x302E))) for _ in range(rng.choice((1, 2, 4)))))
        elif kind < 0.88:
            parts.append(rng.choice(SPECIAL))
        elif kind < 0.91:
            parts.append(rng.choice(RUNS) * rng.choice((2, 3, 7, 33)))
        elif kind < 0.94:
            parts.append(chr(rng.choice(CODE_POINTS)))
        else:
            parts.append(rng.choice(WORDS).upper().swapcase().title())
        parts.append(rng.choice((" ", " ", " ", "  ", "", "\n", "-")))
    return "".join(parts)


def lines(n, seed, pieces=()):
    """n texts: a third of sources, the rest mixtures."""
    rng = random.Random(seed)
    made = []
    for _ in range(n):
        kind = rng.random()
        if kind < 0.30:
            made.append(rng.choice(prose()))
        elif kind < 0.35:
            made.append(rng.choice(names()))
        elif kind < 0.55:
            made.append(scripts_mixed(rng))
        else:
            made.append(words_mixed(rng, pieces))
    return made


def is_alike(c):
    """In a range whose characters are all treated the same: ideographs, Hangul syllables, private use, planes without characters."""
    return (0x3500 <= c < 0x9F00 or 0xAC80 <= c < 0xD700 or 0xE100 <= c < 0xF800 or 0x17100 <= c < 0x18700 or 0x20100 <= c < 0x2F700 or
            0x2FB00 <= c < 0xE0000)


def code_point_texts():
    """All code points, of those that are alike every 61st: 64 a text, each on a line alone and on one between letters."""
    points = [c for c in range(0xE0200) if (c % 61 == 0 or not is_alike(c)) and not 0xD800 <= c <= 0xDFFF] + CODE_POINTS[-0x30000::61]
    made = []
    for start in range(0, len(points), 64):
        chunk = [chr(c) for c in points[start:start + 64]]
        made.append("\n".join([*chunk, *("a" + c + "b" for c in chunk)]))
    return made


def torture():
    """Short texts in which one thing is hard."""
    made = ["", " ", "  ", "\n", "\t", "\x00", "\ufeff", "\u0301", "\u1161", "a", "\u2581", " a", "a ", "  a  ", "a\r\nb\r\n", "\r\r\n\n",
            "'s", " 's"]
    made += [c for c in HARD] + ["a" + c + "b" for c in HARD] + [c + " " + c for c in HARD] + [c * 3 for c in HARD]
    made += list(WORDS) + [" " + w for w in WORDS[-40:]] + list(SPECIAL) + ["a" + s + "b" for s in SPECIAL]
    made += [r * n for r in RUNS for n in (2, 100, 101, 1000)]
    made += ["e\u0323\u0301 e\u0301\u0323 e\u0301\u0323\u0327", "\u1100\u1161\u11a8\u1100\u1161 각\u11a8 가\u11a8\u11a8",
             "👩‍👩‍👧‍👦👨🏿‍⚕️🏳️‍🌈🇫🇷🇩🇪🇫",
             "\u202eabc\u202c \u2067שלום\u2069 \u200fمرحبا\u200e 123", "ΑΣ ΑΣ. ΑΣΑ Σ ΣΣ ὈΔΥΣΣΕΎΣ", "don't DON'T 'S's 'LL'll ''t''re",
             "1,234.56 12:30 ١٢٣٤ ½²",
             "a\u00a0b\u2003c\u3000d\u200be", "\u0041\u030a\u00c5\u212b", "ﬁﬂ ﷺ ㍿ ⑳ ＡＢＣ ｶﾞｷﾞ", "line\u2028sep\u2029par\x0bvt\x0cff\x85nel",
             "\ud7ff\ue000\uf8ff\ufffe\uffff\U0001fffe\U0010fffe", "ก็ำ กำ ເກົ່າ ကျွန်ုပ် ཀྵ ක්‍ෂ", "  leading and trailing\t \n",
             "a  b   c    d     e"]
    return list(dict.fromkeys(made))


def long_texts(n):
    """A text of n letters without a space, and shorter ones: words, only spaces, only marks, a mixture with and without spaces."""
    rng, k = random.Random(9), n // 10
    mixed = "".join(words_mixed(rng) for _ in range(k // 25))
    return ["a" * n, "ab1 " * k, " " * (2 * k), "\u0301" * k, "a\u0323\u0301" * k, "中" * k, "\n" * k, "\u2581" * k, mixed,
            "".join(c for c in mixed if not c.isspace())]
