#!/usr/bin/env python3
"""Write tests/golden/pre_tokenizers.json: words and offsets of PyPI's `tokenizers` for each pre-tokenizer, over texts that are hard to cut.

    python3 scripts/golden-pre-tokenizers.py > tests/golden/pre_tokenizers.json

SPDX-License-Identifier: Apache-2.0
"""
import json
import random

import tokenizers
from tokenizers import Tokenizer, models

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "Hello, world! It's 12,345.67 --- don't WE'LL \u2019s",
    "  two  spaces\tand\r\n\r\n  lines \n\n end  ",
    "na\u00efve cafe\u0301 \u0130\u0131 \ufb01 \u01c5 stra\u00dfe '\u017f 'S\u017f",
    "\u65e5\u672c\u8a9e\u30ab\u30bf\u30ab\u30ca\u30fc \ud55c\uad6d\uc5b4 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0661\u0662\u0663\u00bd\u2167",
    "\u05e2\u05d1\u05e8\u05d9\u05ea, \u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u0629 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\u2581\u2581x\u2581",
    "\u00a0\u2003\u3000\u0085\u2028 \u200b\ufeff\x00\x1c\x7f",
    "''s'''ll'd 're-'ve a'mb 'T'\n'l 'r",
    "    if x == 10000000:\n\t\treturn foo_bar(a/b)//\r\n}\n",
    "",
    "a",
    " ",
]
ATOMS = list("aabzAZ' \t\r\n019,._-/\u00f1\u0301\u00a0\u2028\u2581\u30fc\u65e5\u0410\u05d0\u0661\u00b2\u2167\u02b0\u01c5") + [
    "'s", "'RE", "'\u017f", "  ", "\r\n", "Hello", "the quick", "1234567", "..", "\U0001f44d\U0001f3fd", "\U0001d7d8"]


def split(kind, pattern, behavior, invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def pre_tokenizers():
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield from ({"type": name} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "UnicodeScripts"))
    yield from ({"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS)
    yield from ({"type": "Digits", "individual_digits": individual} for individual in (False, True))
    yield from ({"type": "CharDelimiterSplit", "delimiter": delimiter} for delimiter in " a\u30fc")
    yield from ([{"type": "FixedLength"}] + [{"type": "FixedLength", "length": length} for length in (1, 3, 1000)])
    for prefix in (False, True):
        for use_regex in (False, True):
            yield {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}
    yield {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    for scheme in ("always", "first", "never"):
        yield from (dict(metaspace, prepend_scheme=scheme, split=is_split) for is_split in (False, True))
    yield from ({"type": "Metaspace", "replacement": replacement} for replacement in "_ a\u30fc")
    yield {"type": "Metaspace", "replacement": "_", "str_rep": "_", "add_prefix_space": True}
    yield {"type": "Metaspace", "replacement": "_", "prepend_scheme": "never", "add_prefix_space": False}
    for behavior in BEHAVIORS:
        for invert in (False, True):
            for string in (" ", "ab", "", "'", "\u30fc", "  "):
                yield split("String", string, behavior, invert)
            for regex in (r"\s+", r"[0-9]", r"", r"a*", r"(?=[A-Z])", r" ?[^\s]+", GPT2):
                yield split("Regex", regex, behavior, invert)
    for regex in (GPT2, CL100K % r"\p{N}{1,3}", CL100K % r"\p{N}", CLIP, O200K):
        yield split("Regex", regex, "Isolated")
        yield split("Regex", regex, "Removed", True)
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    for members in (
        [],
        [{"type": "WhitespaceSplit"}, metaspace],
        [{"type": "WhitespaceSplit"}, dict(metaspace, prepend_scheme="first")],
        [split("Regex", CL100K % r"\p{N}{1,3}", "Isolated"), byte_level],
        [{"type": "Digits", "individual_digits": True}, dict(byte_level, use_regex=True)],
        [{"type": "Whitespace"}, {"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}, {"type": "FixedLength", "length": 2}]}],
        [byte_level, byte_level],
        [metaspace, dict(metaspace, replacement="_"), {"type": "UnicodeScripts"}],
    ):
        yield {"type": "Sequence", "pretokenizers": members}


def word_of(text, word, offsets):
    """[start, end] of a word that stands in the text, [start, end, word] of another."""
    return list(offsets) + ([word] if word != text[slice(*offsets)] else [])


def main():
    random.seed(4)
    texts = TEXTS + ["".join(random.choice(ATOMS) for _ in range(30)) for _ in range(4)]
    texts.append("A long text it's about nothing: 'quoted', numbered 1234567890, and so on... " + "long" * 40)
    out = []
    for config in pre_tokenizers():
        base = json.loads(Tokenizer(models.WordLevel({"a": 0}, "a")).to_str())
        tokenizer = Tokenizer.from_str(json.dumps(dict(base, pre_tokenizer=config)))
        split_of = tokenizer.pre_tokenizer.pre_tokenize_str
        words = [[word_of(text, *word) for word in split_of(text) if word[0]] for text in texts]
        out.append({"pre_tokenizer": config, "words": words})
    print(json.dumps({"tokenizers": tokenizers.__version__, "texts": texts, "cases": out}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
