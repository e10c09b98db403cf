#!/usr/bin/env python3
"""Write tests/golden/normalizers.json and patterns.json: what PyPI's tokenizers makes of texts.

    python3 scripts/golden-text.py

Of a normalizer: the text and the place of each of its characters. Of a pattern: the text with "<>" in the place of each match.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import random
import struct

from tokenizers import Regex, Tokenizer, models, normalizers

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden")
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LINES = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}""" + LINES
QWEN2 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}""" + LINES
HEAD, TAIL, END = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
O200K = (r"[^\r\n\p{L}\p{N}]?" + HEAD + "*" + TAIL + "+" + END + r"[^\r\n\p{L}\p{N}]?" + HEAD + "+" + TAIL + "*" + END +
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
DEEPSEEK = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|"""
            r"\s+(?!\S)|\s+")
PATTERNS = [GPT2, LLAMA3, QWEN2, O200K, CLIP, DEEPSEEK, "[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"\d", " {2,}", r"[\r\n]", r"\w+|[^\w\s]+",
            r"\b", r"\B", "x*", "a|", r"(?=(\d{3})+(?!\d))", r"[[:punct:]]", r"\p{Punct}", r"[^[:alnum:]]", r"[\w]", r"\w", r"\h+", r"^", r"$",
            r"\Aa|b\Z|c\z", r"a.b", r"(?m)a.b", r"(?m:.)+.", r"a(?i)b|c", r"(?i)first|straße|office", r"(?i)[^s]+", r"(?i)[α-ω]+",
            r"(?x) a \s # c" "\n b+", r"[a-z&&[^aeiou]]+", r"[^a-z&&b-d]+", r"[a[^a]]+", r"[]a]+", r"[a-c-e]", r"a{,2}b", r"xa{2}?y",
            r"xa{2,3}+y", r"a{", r"a**", r"a?+a", r"(?>a|ab)c", r"(a)(b)?\k<1>", r"""(?<q>['"]).*?\k<q>""", r"(a)|b\1", r"\101\x41\x{42}\u0043",
            r"\R", r"\p{^Lu}+", r"[^\P{L}]+", r"\p{Han}|\p{greek}|\p{Cyrl}", r"(?<=\s|,)\S", r"(?<!\d)\d{2}(?!\d)", r"a\Kb", r"\Gb", r"\Q\E", r"\c@",
            r"\p{Cn}", r"[\p{P}\p{S}&&[^'\-]]"]
PIECES = ["a", "b", "ab", "c", "x", "y", "aa", "aaa", " ", "  ", "\n", "\r\n", "\t", "'s", "'S", "'ſ", "'LL", "'re", "1", "12", "123", "1234", "²", "٣",
          "Ⅷ", "é", "É", "e\u0301", "ß", "ſ", "K", "ﬁ", "first", "FIRﬆ", "STRASSE", "oﬃce", "中文", "ひ", "カ", "한", "ก", "α", "Σ", "ς", "я", "，", ".",
          ",", "!", "?", "-", "_", "'", '"', "$+<", "\u200d", "\xa0", "\u2028", "\x85", "\u0301", "😀", "\u1c89", "\ua7dc", "\U00016d50", "\u20c0",
          "\u0378", "A", "B", "C", "ABC", "xaay", "xaaaay"]


def charsmap(keys):
    """SentencePiece's: the trie's bytes, the trie, the texts."""
    root, blob, starts = {}, b"", {}
    for key, text in keys.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = starts[text] = starts.get(text, len(blob))
        if starts[text] == len(blob):
            blob += text.encode() + b"\0"
    units, used = {0: 0}, {0}

    def place(node, at):
        base = next(b for b in range(1, 1 << 16) if not any((b ^ (label or 0)) in used for label in node))
        used.update(base ^ (label or 0) for label in node)
        units[at] |= (at ^ base) << 10 | (None in node) << 8
        for label, child in node.items():
            units[base ^ (label or 0)] = 1 << 31 | child if label is None else label
        for label, child in node.items():
            if label is not None:
                place(child, base ^ label)

    place(root, 0)
    size = (max(units) // 256 + 1) * 256  # whichever byte is looked up, its unit is there
    trie = struct.pack("<%dI" % size, *[units.get(i, 0) for i in range(size)])
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + blob).decode()


def of(kind, **fields):
    return {"type": kind, **fields}


def bert(clean, chinese, accents, lower):
    return of("BertNormalizer", clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower)


def sequence(*members):
    return of("Sequence", normalizers=list(members))


def normalizer_cases():
    precompiled = of("Precompiled", precompiled_charsmap=charsmap(
        {"\x01": "", "\n": " ", "ﬁ": "fi", "é": "e", "e\u0301": "E", "\u00a0": " ", "ab": "x", "\r": " "}))
    space, strip = of("Replace", pattern={"String": " "}, content="▁"), of("Strip", strip_left=True, strip_right=True)
    yield from ((of(form), text) for form in ("NFC", "NFD", "NFKC", "NFKD") for text in (
        "plain", "e\u0301o\u0323\u0302 é", "\u1100\u1161\u11a8\u1112각", "\u0344\u0958 \u0f73", "é\u0301\u0323", "ﬁ½ｶﾞ①", "ﷺ", "a" + "\u0301\u0323" * 12,
        "\u0301", "Å", "中文", "a\u0315\u0300\u05ae\u0315b", "\u0b47\u0b3e\u0b3e"))
    yield from ((of(kind), text) for kind in ("Lowercase", "StripAccents", "Nmt", "ByteLevel") for text in (
        "abc", "AÉİß Σ", "e\u0301a\u0903x", "a\x01\tb\u200bc\ufffd\x7f", "\u0301\u0301", "a é\u2581", ""))
    yield from [(strip, " \u3000ab c\t\n"), (strip, " \n "), (strip, "ab"), (of("Strip", strip_left=False, strip_right=True), " é "),
                (of("Strip", strip_left=True, strip_right=False), " é "), (of("Prepend", prepend="▁"), "ab"), (of("Prepend", prepend="xy"), ""),
                (of("Prepend", prepend="xy"), "é"), (space, "a b  é"), (of("Replace", pattern={"Regex": " {2,}"}, content="--"), "a b   c"),
                (of("Replace", pattern={"Regex": "x*"}, content="-"), "axxb"), (of("Replace", pattern={"String": "ab"}, content=""), "abcab"),
                (of("Replace", pattern={"String": "a"}, content="éé"), "baé"), (of("Replace", pattern={"String": ""}, content="-"), "ab")]
    yield from ((bert(clean, chinese, accents, lower), text) for clean in (True, False) for chinese in (True, False)
                for accents in (True, False, None) for lower in (True, False) for text in ("Éa\x02中 \u200dB", "é\u0327\u0301\xa0İ"))
    yield from [(sequence(), "é"), (sequence(of("NFD"), of("StripAccents"), of("Lowercase")), "ÉCOLE Ǆ"),
                (sequence(of("Prepend", prepend="▁"), space), "Hey you"), (sequence(of("Lowercase"), strip, of("NFC")), " \u3000E\u0301ß"),
                (sequence(sequence(strip), of("NFKC"), bert(True, True, False, True)), " ﬁ中\u0301"), (sequence(of("NFC"), of("NFC")), "e\u0301"),
                (sequence(precompiled, of("Lowercase")), "xABÉ\x01ﬁ")]
    yield from ((precompiled, text) for text in (
        "plain", "a\nﬁn\u00a0é", "ae\u0301e\u0301\u0301\u0301 \x01", "\x01\x01abc\x01d\x01", "\r\n\n", "abé", "é\u200d", "\u0600é", "한é각\u0301",
        "\u1100é\u1161", "क\u094dकé", "🇫🇷é🇫", "👨\u200d👩ﬁ", "\x01"))


def normalized(spec, text):
    tokenizer = json.loads(Tokenizer(models.WordLevel({"?": 0}, unk_token="?")).to_str())
    tokenizer["normalizer"] = spec
    tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(?m)."}, "behavior": "Isolated", "invert": False}
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer))
    return {"normalizer": spec, "text": text, "normalized": tokenizer.normalizer.normalize_str(text), "offsets": tokenizer.encode(text).offsets}


def replaced(pattern, random_number):
    text = "".join(random_number.choice(PIECES) for _ in range(40))
    return {"pattern": pattern, "text": text, "replaced": normalizers.Replace(Regex(pattern), "<>").normalize_str(text)}


def write(name, rows):
    with open(os.path.join(GOLDEN, name), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def main():
    random_number = random.Random(4)
    write("normalizers.json", [normalized(spec, text) for spec, text in normalizer_cases()])
    write("patterns.json", [replaced(pattern, random_number) for pattern in PATTERNS for _ in range(3)])


if __name__ == "__main__":
    main()
