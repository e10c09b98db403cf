#!/usr/bin/env python3
"""Tern's tokenizer against PyPI's `tokenizers`: ids, tokens, offsets, type ids, masks and decoded text must be the same.

BERT's, over every code point, the Unicode normalisation test file (Debian package unicode-data), 40,000 mixed lines, pairs, truncation and
generated tokenizers with added tokens of every kind. TERN_LIBRARY names the shared library; TERN_TEST_MODEL a folder with BERT's
tokenizer.json, which joins the made-up ones. The other components: test_tokenizer_components.py. UNICODE_FOLDER overrides
/usr/share/unicode.

SPDX-License-Identifier: Apache-2.0
"""
import bz2
import itertools
import json
import os
import random
import sys
import tempfile

import tokenizers
from tern_tokenizer import TernError, Tokenizer

UNICODE_FOLDER = os.environ.get("UNICODE_FOLDER", "/usr/share/unicode")
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
SHOWN_DIFFERENCES = 5


class Report:
    """Counts comparisons and prints the first differences of each check."""

    def __init__(self):
        self.passed = self.failed = 0
        self.name, self.shown = "", 0

    def begin(self, name):
        self.name, self.shown = name, 0

    def check(self, is_same, *details):
        self.passed += is_same
        self.failed += not is_same
        if not is_same and self.shown < SHOWN_DIFFERENCES:
            self.shown += 1
            print(f"DIFFERENT: {self.name}:", *[f"\n    {detail}" for detail in details], flush=True)
        return is_same


REPORT = Report()


def bert_json(vocabulary, lowercase=True, strip_accents=None, clean_text=True, handle_chinese_chars=True, **parts):
    """A tokenizer.json as BERT's; `parts` replaces top-level parts."""
    special = [t for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if t in vocabulary]
    cls, sep = vocabulary.get("[CLS]", 0), vocabulary.get("[SEP]", 0)
    tokens = {name: {"id": name, "ids": [token_id], "tokens": [name]} for name, token_id in (("[CLS]", cls), ("[SEP]", sep))}

    def piece(kind, name, type_id):
        return {kind: {"id": name, "type_id": type_id}}

    single = [piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0), piece("SpecialToken", "[SEP]", 0)]
    whole = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added_token(vocabulary[t], t, special=True, normalized=False) for t in special],
        "normalizer": {"type": "BertNormalizer", "clean_text": clean_text, "handle_chinese_chars": handle_chinese_chars,
                       "strip_accents": strip_accents, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single,
                           "pair": single + [piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)], "special_tokens": tokens},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": vocabulary},
    }
    return {**whole, **parts}


def added_token(token_id, content, **flags):
    return {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
            "special": False, **flags}


def vocabulary_of(pieces):
    return {piece: i for i, piece in enumerate(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]))}


class Both:
    """One tokenizer, loaded by both libraries."""

    def __init__(self, whole=None, folder=None):
        with tempfile.TemporaryDirectory() as made:
            if whole is not None:
                folder = made
                with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as file:
                    json.dump(whole, file, ensure_ascii=False)
            self.tern = Tokenizer(folder)
            self.theirs = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.theirs.no_truncation()
        self.theirs.no_padding()

    def compare(self, text, pair=None, add_special_tokens=True, max_length=0, theirs=None):
        if theirs is None:
            if max_length:
                self.theirs.enable_truncation(max_length)
            theirs = self.theirs.encode(text, pair, add_special_tokens=add_special_tokens)
            if max_length:
                self.theirs.no_truncation()
        ours = self.tern.encode(text, pair, add_special_tokens, max_length)
        same = (ours.ids == theirs.ids and ours.offsets == theirs.offsets and ours.tokens == theirs.tokens and
                ours.type_ids == theirs.type_ids and ours.special_tokens_mask == theirs.special_tokens_mask)
        if not REPORT.check(same, f"text {text!r} pair {pair!r} max_length {max_length}") and REPORT.shown <= SHOWN_DIFFERENCES:
            for name in ("ids", "tokens", "offsets", "type_ids", "special_tokens_mask"):
                if getattr(ours, name) != getattr(theirs, name):
                    print(f"    {name}: Tern {getattr(ours, name)}\n    {name}: theirs {getattr(theirs, name)}")
        return ours

    def compare_all(self, texts):
        for start in range(0, len(texts), 4096):
            chunk = texts[start:start + 4096]
            for text, theirs in zip(chunk, self.theirs.encode_batch(chunk)):
                self.compare(text, theirs=theirs)

    def compare_decoded(self, ids, skip_special_tokens):
        ours, theirs = self.tern.decode(ids, skip_special_tokens), self.theirs.decode(ids, skip_special_tokens=skip_special_tokens)
        REPORT.check(ours == theirs, f"ids {ids}", f"Tern   {ours!r}", f"theirs {theirs!r}")


CONFIGURATIONS = [
    {},
    {"lowercase": False},
    {"strip_accents": False},
    {"lowercase": False, "strip_accents": True},
    {"clean_text": False, "handle_chinese_chars": False},
]


def sampled_assigned():
    """Assigned code points without private use, and of ideographs and Hangul syllables, which are all alike, every 16th."""
    return [c for c in ASSIGNED if not (0xE000 <= c < 0xF900 or c >= 0xF0000) and
            (c % 16 == 3 or not (0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xD7B0 or 0x17000 <= c < 0x18D00 or 0x20000 <= c < 0x32000))]


def every_character_vocabulary():
    """Most code points that a word can hold, at the start and inside: so the ids tell what a text was normalized to."""
    characters = [chr(c) for c in sampled_assigned() if c > 0x20]
    return vocabulary_of(itertools.chain(characters, ("##" + c for c in characters)))


def read_assigned():
    """From UnicodeData.txt, whose ranges are pairs of lines named <.., First> and <.., Last>."""
    assigned, first = set(), None
    for line in open(f"{UNICODE_FOLDER}/UnicodeData.txt", encoding="utf-8"):
        c, name = int(line.split(";")[0], 16), line.split(";")[1]
        if name.endswith("First>"):
            first = c
        elif name.endswith("Last>"):
            assigned.update(range(first, c + 1))
        else:
            assigned.add(c)
    return sorted(assigned - set(range(0xD800, 0xE000)))


def test_code_points(both, settings):
    """All code points, 64 a text, a line each alone and between letters; and in one configuration, each assigned one a text of its own."""
    REPORT.begin(f"every code point by lines, {settings}")
    texts = []
    for start in range(0, len(CODE_POINTS), 64):
        chunk = [chr(c) for c in CODE_POINTS[start:start + 64]]
        texts.append("\n".join([*chunk, *("a" + c + "b" for c in chunk)]))
    both.compare_all(texts)
    if not settings:
        REPORT.begin("every assigned code point as a text")
        assigned = [chr(c) for c in sampled_assigned()]
        both.compare_all(assigned + ["a" + c + "b" for c in assigned])


def read_normalization_test():
    path = f"{UNICODE_FOLDER}/NormalizationTest.txt"
    file = open(path, encoding="utf-8") if os.path.exists(path) else bz2.open(path + ".bz2", "rt", encoding="utf-8")
    texts = []
    with file:
        for line in file:
            if line[0] not in "#@\n":
                texts += ["".join(chr(int(c, 16)) for c in column.split()) for column in line.split(";")[:5]]
    return list(dict.fromkeys(texts))


def test_normalization_file(both, settings):
    REPORT.begin(f"NormalizationTest.txt, {settings}")
    texts = read_normalization_test()
    both.compare_all(texts + ["x" + text + "y" for text in texts[::7]])


WORDS = ("the of and to in is that for it as with was on be by are this from at an not have or which one all can has had their "
         "I'm don't naïve café Straße ΑΣΣΟΣ İstanbul ǅungla ﬁnance Żółć Việt Nam điện привет Москва ёлка שלום עולם مرحبا हिन्दी নমস্কার "
         "தமிழ் ไทย 한국어 각 中文 漢字 カタカナ ひらがな が ｶﾞ 𠀀𠀁 👩‍👩‍👧‍👦 🇫🇷 ｆｕｌｌ Å Ω Ω K ﷺ x² ½ № … — “quoted” ‘it’s’ hello, world! (a) [b] {c} "
         "3.14 $5 50% e-mail a_b #tag @you http://x.yz/?q=1 embedding sentences tokenization unaffable").split()
HARD = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\x80", "\x85", "\xa0", "\xad", "\t", "\n", "\r\n", "\r", "\x0b", "\x0c", "\u1680",
        "\u180e",
        "\u2000", "\u200b", "\u200d", "\u2028", "\u2029", "\u202e", "\u202f", "\u2060", "\u3000", "\ufeff", "\ufffd", "\uffff", "\ue000",
        "\U000f0000", "\U0010ffff", "\u0378", "\u0300", "\u0301", "\u0323", "\u0327", "\u0334", "\u0345", "\u0344", "\u05b0", "\u0e38",
        "\u0f71\u0f72", "\u0f73", "\u1100\u1161\u11a8", "\u1161", "\u3099", "\U0001d165", "\U0001d16d\U0001d165", "\U0001d15e", "\u0130",
        "\u1e9e", "\u03a3", "\u03c2", "\u2126", "\u212b", "\uf900", "\U0002f800", "\u4e00", "\u9fff", "\u3400", "\U0002b820", "\U0002ceaf",
        "\u0640", "\u094d", "\u09be", "\u0dcf", "\u302a", "\u302e", "\U00011930", "\u1dfa", "\u0898"]
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[mask]", "[MASK", "MASK]", "[[MASK]]", "[SEP][SEP]"]


def mixed_line(rng, pieces):
    parts = []
    for _ in range(rng.choice((0, 1, 2, 3, 5, 8, 12, 20))):
        kind = rng.random()
        if kind < 0.45:
            parts.append(rng.choice(WORDS))
        elif kind < 0.60:
            parts.append(rng.choice(pieces).removeprefix("##"))
        elif kind < 0.75:
            parts.append("".join(rng.choice(HARD) for _ in range(rng.choice((1, 1, 2, 3, 6)))))
        elif kind < 0.80:
            parts.append("".join(rng.choice(WORDS) for _ in range(rng.randrange(2, 6))))
        elif kind < 0.84:
            parts.append("".join(chr(rng.choice(ASSIGNED)) for _ in range(rng.randrange(1, 5))))
        elif kind < 0.87:
            parts.append("e" + "".join(chr(rng.choice(MARKS)) for _ in range(rng.choice((1, 2, 4, 20)))))
        elif kind < 0.92:
            parts.append(rng.choice(SPECIAL))
        elif kind < 0.93:
            parts.append(rng.choice(("x", "é", "中", "😀", "##")) * rng.choice((99, 100, 101, 150)))
        else:
            parts.append(rng.choice(WORDS).upper().swapcase().title())
        parts.append(rng.choice((" ", " ", " ", " ", "  ", "", "\n", "-")))
    return "".join(parts)


def small_vocabulary():
    """Letters, pieces of the words above and some whole words: a vocabulary with which words fall apart in many ways."""
    rng = random.Random(5)
    pieces = [c for word in WORDS for c in word.lower()] + ["##" + c for word in WORDS for c in word.lower() if rng.random() < 0.9]
    for word in WORDS:
        lower = word.lower()
        cut = rng.randrange(len(lower) + 1)
        pieces += [lower] if rng.random() < 0.5 else [lower[:cut] or "a", "##" + (lower[cut:] or "a")]
    contractions = [".", "?", "!", ",", "' ", "n't", "'m", "do not", "x do not y", "'s", "'ve", "'re", "##n't", "## ' ##", "a . b"]
    return vocabulary_of(pieces + contractions)


def test_lines(name, whole_json, n_lines, seed):
    """Single texts, pairs, with and without special tokens, truncated, and decoded back."""
    REPORT.begin(f"{n_lines} mixed lines, {name}")
    rng, both = random.Random(seed), Both(whole_json)
    pieces = list(whole_json["model"]["vocab"])
    for i in range(n_lines):
        text = mixed_line(rng, pieces)
        pair = mixed_line(rng, pieces) if i % 4 == 1 else None
        max_length = rng.choice((3, 4, 5, 8, 16, 32, 33)) if i % 4 >= 2 or (pair is not None and i % 8 == 1) else 0
        ours = both.compare(text, pair, i % 5 != 0, max_length)
        if i % 8 == 0:
            both.compare_decoded(ours.ids, i % 16 == 0)
    REPORT.begin(f"ids at random decoded, {name}")
    for _ in range(2000):
        both.compare_decoded([rng.randrange(len(pieces)) for _ in range(rng.randrange(12))], rng.random() < 0.5)


def random_tokenizer(rng, vocabulary):
    """BERT's with every part that can vary chosen at random."""
    settings = {name: rng.random() < 0.5 for name in ("lowercase", "clean_text", "handle_chinese_chars")}
    whole = bert_json(vocabulary, strip_accents=rng.choice((None, True, False)), **settings)
    contents = ["[MASK]", "[NEW]", "foo", "Foo", "foo bar", "fo", "é", "É", "İx", " lead", "trail ", "中", "[new]", "o", "a.b", "\u0301z"]
    for content in rng.sample(contents, rng.randrange(8)):
        flags = {name: rng.random() < 0.4 for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        whole["added_tokens"].append(added_token(rng.randrange(100000), content, **flags))
    if rng.random() < 0.15:
        whole["normalizer"] = None
    if rng.random() < 0.15:
        whole["pre_tokenizer"] = None
    if rng.random() < 0.3:
        whole["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    elif rng.random() < 0.2:
        whole["post_processor"] = None
    elif rng.random() < 0.3:
        whole["post_processor"]["special_tokens"]["[SEP]"] = {"id": "[SEP]", "ids": [3, 1], "tokens": ["[SEP]", "<two>"]}
        whole["post_processor"]["single"].append({"Sequence": {"id": "A", "type_id": 5}})
        whole["post_processor"]["pair"].reverse()
    whole["decoder"] = rng.choice((None, whole["decoder"], {"type": "WordPiece", "prefix": rng.choice(("##", "@", "")), "cleanup": False}))
    whole["model"]["max_input_chars_per_word"] = rng.choice((0, 3, 10, 100))
    whole["model"]["continuing_subword_prefix"] = rng.choice(("##", "##", "##", "", "@@"))
    if rng.random() < 0.1:
        del whole["model"]["type"]
    return whole


def has_ambiguous_added_tokens(whole):
    """Two added tokens that are the same once normalized: which of them `tokenizers` finds changes from run to run."""
    seen = set()
    plain = tokenizers.normalizers.BertNormalizer(**{k: v for k,
                                                     v in whole["normalizer"].items() if k != "type"}) if whole["normalizer"] else None
    last = {token["content"]: token for token in whole["added_tokens"]}
    for token in last.values():
        form = plain.normalize_str(token["content"]) if plain and token["normalized"] else token["content"]
        if (token["normalized"], form) in seen or not form:
            return True
        seen.add((token["normalized"], form))
    return False


def test_random_tokenizers(vocabulary, n_tokenizers, seed):
    REPORT.begin("generated tokenizers")
    rng = random.Random(seed)
    words = ["foo", "Foo", "FOO", "foo bar", "bar", "é", "É", "e\u0301", "İx", "i\u0307x", "lead", " lead", "trail ", "中", "[NEW]",
             "[new]", "[MASK]",
             "o", "fo", "a.b", "a", "_", "-", " ", "  ", "\u3000", "\t", "z", "\u0301z", "\u0301", "x", "\x00", "\u200d", "9"]
    for _ in range(n_tokenizers):
        whole = random_tokenizer(rng, vocabulary)
        if has_ambiguous_added_tokens(whole):
            continue
        both = Both(whole)
        REPORT.check(both.tern.vocab_size() == both.theirs.get_vocab_size(), "vocab_size", json.dumps(whole["added_tokens"]))
        for token in [t["content"] for t in whole["added_tokens"]] + ["the", "##e", "absent"]:
            ours = both.tern.token_to_id(token)
            REPORT.check(ours == both.theirs.token_to_id(token), f"token_to_id {token!r}: {ours}")
            if ours is not None:
                REPORT.check(both.tern.id_to_token(ours) == both.theirs.id_to_token(ours), f"id_to_token {ours}")
        for _ in range(40):
            text = "".join(rng.choice(words) for _ in range(rng.randrange(10)))
            pair = "".join(rng.choice(words) for _ in range(rng.randrange(6))) if rng.random() < 0.3 else None
            before = REPORT.failed
            ours = both.compare(text, pair, rng.random() < 0.7, rng.choice((0, 0, 8)))
            if REPORT.failed > before and REPORT.shown <= SHOWN_DIFFERENCES:
                print("    " + json.dumps({**whole, "model": {**whole["model"], "vocab": "..."}}))
            known = [i for i in ours.ids if both.theirs.id_to_token(i) is not None]
            both.compare_decoded(known, rng.random() < 0.5)


def test_errors(vocabulary):
    """What must not load or encode, and what the message must say."""
    REPORT.begin("errors")
    good = bert_json(vocabulary)

    def must_fail(what, code, *words, **parts):
        try:
            Both({**good, **parts})
            REPORT.check(False, f"{what}: loads")
        except TernError as error:
            REPORT.check(error.code == code and all(word in str(error) for word in words), f"{what}: code {error.code}", str(error))

    unsupported, broken = 9, 4
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder", "model"):
        must_fail(part, unsupported, "tokenizer.json", part, "NoSuch", **{part: {"type": "NoSuch"}})
    must_fail("pre_tokenizer without a field", broken, "ByteLevel", "add_prefix_space", pre_tokenizer={"type": "ByteLevel"})
    must_fail("post_processor without a field", broken, "RobertaProcessing", "cls", post_processor={"type": "RobertaProcessing"})
    must_fail("merge of a token that is not there", broken, "merge", model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]})
    must_fail("scores", broken, "vocab", model={"type": "Unigram", "unk_id": 0, "vocab": [["a"]]})
    must_fail("unk_id", broken, "unk_id", model={"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.0]]})
    must_fail("pattern", broken, "pattern", pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Removed",
                                                           "invert": False})
    must_fail("charsmap", broken, "precompiled_charsmap", normalizer={"type": "Precompiled", "precompiled_charsmap": "!!"})
    must_fail("Sequence", broken, "normalizers", normalizer={"type": "Sequence"})
    must_fail("version", unsupported, "version", version="2.0")
    must_fail("field", broken, "lowercase", normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True})
    must_fail("id", broken, "vocab", "whole number", model={**good["model"], "vocab": {"a": -1}})
    must_fail("template", broken, "[CLS]", post_processor={**good["post_processor"], "special_tokens": {}})
    must_fail("added token", broken, "content", added_tokens=[{"id": 1}])

    both = Both(good)
    rng = random.Random(3)
    for _ in range(3000):
        text = bytearray("".join(rng.choice(WORDS + HARD) for _ in range(4)).encode())
        for _ in range(rng.randrange(1, 3)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        try:
            bytes(text).decode()
            continue
        except UnicodeDecodeError as error:
            start = error.start
        try:
            both.tern.encode(bytes(text))
            REPORT.check(False, f"invalid UTF-8 is taken: {bytes(text)!r}")
        except TernError as error:
            REPORT.check(error.code == 1 and str(error).endswith(f"at byte {start}"), f"{bytes(text)!r}: {error}")
    for text in (b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"a\x80", b"\xe2\x82", b"\xf0\x80\x80\x80"):
        try:
            both.tern.encode(text)
            REPORT.check(False, f"invalid UTF-8 is taken: {text!r}")
        except TernError as error:
            REPORT.check(error.code == 1, str(error))
    for call in (lambda: both.tern.encode("a", max_length=1), lambda: both.tern.encode("a", "b", max_length=2),
                 lambda: both.tern.decode([10 ** 6])):
        try:
            call()
            REPORT.check(False, "an argument that cannot be met is taken")
        except TernError as error:
            REPORT.check(error.code == 1, str(error))


def test_long_texts(vocabulary):
    REPORT.begin("long texts")
    both = Both(bert_json(vocabulary))
    rng = random.Random(9)
    pieces = list(vocabulary)
    for text in ("a" * 1000000, "\u0301" * 300000, "a\u0323\u0301" * 100000, "中" * 300000, "\x00" * 1000000, " " * 1000000,
                 "[MASK]" * 150000, "[" * 1000000, "".join(mixed_line(rng, pieces) for _ in range(10000))):
        both.compare(text)


ASSIGNED = read_assigned()
MARKS = [c for c in ASSIGNED if 0x300 <= c < 0x370 or 0x591 <= c < 0x5C8 or 0x1DC0 <= c < 0x1E00 or c in (0x94D, 0x9BE, 0xE38, 0x302E,
                                                                                                          0x1D165)]


def main():
    characters = every_character_vocabulary()
    for settings in CONFIGURATIONS:
        both = Both(bert_json(characters, **settings))
        test_code_points(both, settings)
        test_normalization_file(both, settings)
    small = small_vocabulary()
    lines = [("uncased", bert_json(small)), ("cased, accents kept", bert_json(small, lowercase=False)),
             ("uncased, accents kept", bert_json(small, strip_accents=False)), ("every character", bert_json(characters))]
    model = os.environ.get("TERN_TEST_MODEL")
    if model:
        with open(f"{model}/tokenizer.json", encoding="utf-8") as file:
            lines.append((model, json.load(file)))
    for i, (name, whole) in enumerate(lines):
        test_lines(name, whole, 40000 // len(lines), i)
    test_random_tokenizers(small, 400, 11)
    test_errors(small)
    test_long_texts(small)
    print(f"tokenizers {tokenizers.__version__}: {REPORT.passed} passed, {REPORT.failed} failed")
    return REPORT.failed != 0


if __name__ == "__main__":
    sys.exit(main())
