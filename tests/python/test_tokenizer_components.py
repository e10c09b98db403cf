#!/usr/bin/env python3
"""Every tokenizer component against PyPI's `tokenizers`, each with configurations from a seed, and chains of several.

Most stand in a tokenizer whose ids are the bytes of the normalized text, so that ids, offsets and word numbers tell all that a component
does. Compared is everything an encoding says (tokenizer_compare.py), on hard texts and on lines, also as pairs and truncated.

    TERN_LIBRARY=build/release/src/libtern.so python tests/python/test_tokenizer_components.py [COMPONENT ...]

Environment: TOKENIZER_SEED (default 1), TOKENIZER_SCALE (default 1): times as many configurations. SHOWN_FAILURES:
see tokenizer_compare.py.
SPDX-License-Identifier: Apache-2.0
"""
import os
import random
import sys
import time

import tokenizer_configs as configs
import tokenizer_texts as texts
from tokenizer_compare import REPORT, Both

SEED, SCALE = int(os.environ.get("TOKENIZER_SEED", "1")), float(os.environ.get("TOKENIZER_SCALE", "1"))
TORTURE = texts.torture()
CODE_POINTS = texts.code_point_texts()


def compare_texts(both, rng, n_torture, n_lines):
    """Hard texts and lines, then some lines as pairs and some cut."""
    if not both.loads:
        return
    both.compare_batch(rng.sample(TORTURE, min(n_torture, len(TORTURE))), add_special_tokens=rng.random() < 0.7)
    lines = texts.lines(n_lines, rng.randrange(2 ** 32), both_pieces(both))
    both.compare_batch(lines)
    share = max(1, n_lines // 8)
    both.compare_batch(lines[:share], lines[-share:], add_special_tokens=rng.random() < 0.8)
    is_pair = rng.random() < 0.5
    # A pair's pieces are combined, each with each, and a normalizer may lengthen them.
    cut = [line[: 6 if is_pair else 24] for line in lines]
    both.compare_batch(cut[:share], cut[-share:] if is_pair else None, add_special_tokens=rng.random() < 0.8, **configs.truncation(rng))


def both_pieces(both):
    return sorted(both.theirs.get_vocab())[::7] + [token["content"] for token in both.whole["added_tokens"]] * 5


def times(n):
    return range(max(1, round(n * SCALE)))


def test_normalizers(name, make, rng):
    n = 3 if len({str(make(random.Random(i))) for i in range(9)}) == 1 else 14
    for i in times(n):
        both = Both(configs.whole(configs.byte_model(), normalizer=configs.without_type(rng, make(rng))))
        if i == 0 and both.loads:
            both.compare_batch(CODE_POINTS)
            both.compare_batch(TORTURE)
        compare_texts(both, rng, 150, 250)


def test_pre_tokenizers(name, make, rng):
    for i in times(3 if name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts") else 60 if name == "Split" else 14):
        both = Both(configs.whole(configs.byte_model(), pre_tokenizer=configs.without_type(rng, make(rng))))
        if i == 0 and both.loads:
            both.compare_batch(CODE_POINTS)
            both.compare_batch(TORTURE)
        compare_texts(both, rng, 120, 150)


def test_chains(name, parts, key, rng):
    """Sequences of normalizers or of pre-tokenizers, alone and with the other."""
    for _ in times(50):
        made = {name: configs.sequence(rng, parts, key, 4)}
        if rng.random() < 0.3:
            made.setdefault("normalizer", rng.choice(list(configs.NORMALIZERS.values()))(rng))
        if rng.random() < 0.3:
            made.setdefault("pre_tokenizer", rng.choice(list(configs.PRE_TOKENIZERS.values()))(rng))
        compare_texts(Both(configs.whole(configs.byte_model(), **made)), rng, 100, 100)


WORDS = [w.lower() for w in texts.WORDS] + list(texts.WORDS) + ["hello", "world", "self", "return", "aaa", "banana", "mississippi"]


def test_models(name, make, rng):
    for _ in times(30):
        words = rng.sample(WORDS, 40)
        if rng.random() < 0.5:
            words += rng.sample(texts.prose(), 10) + rng.sample(texts.HARD, 20)
        kind = rng.random()
        pre = None if kind < 0.2 else {"type": "WhitespaceSplit"} if kind < 0.4 else rng.choice(list(configs.PRE_TOKENIZERS.values()))(rng)
        both = Both(configs.whole(make(rng, words), pre_tokenizer=pre, normalizer={"type": "Lowercase"} if rng.random() < 0.3 else None))
        both.compare_vocabulary(rng)
        compare_texts(both, rng, 100, 150)
        mixed = ["".join(rng.choice(words)[:rng.randrange(1, 9)] for _ in range(rng.randrange(8))) for _ in range(100)]
        both.compare_batch(mixed)


def bert_whole(rng, **parts):
    model = configs.word_piece(rng, rng.sample(WORDS, 60))
    made = configs.whole(model, normalizer=configs.NORMALIZERS["BertNormalizer"](rng), pre_tokenizer={"type": "BertPreTokenizer"})
    return {**made, **parts}


def test_post_processors(name, make, rng):
    for _ in times(25):
        whole = bert_whole(rng) if rng.random() < 0.4 else configs.whole(configs.byte_model(), pre_tokenizer=configs.byte_level(rng))
        whole["post_processor"] = make(rng, whole["model"]["vocab"])
        both = Both(whole)
        compare_texts(both, rng, 60, 80)
        for _ in range(6):
            is_pair = rng.random() < 0.5
            lines = [line[: 6 if is_pair else 24] for line in texts.lines(12, rng.randrange(2 ** 32))]
            both.compare_batch(lines, lines[::-1] if is_pair else None, add_special_tokens=rng.random() < 0.8, **configs.truncation(rng))


def test_truncation(rng):
    """Every setting on short texts, so that all edges of lengths are met."""
    for _ in times(4):
        whole = bert_whole(rng)
        whole["post_processor"] = rng.choice((None, configs.bert_processing(rng, whole["model"]["vocab"]),
                                              configs.template_of(rng, whole["model"]["vocab"])))
        both = Both(whole)
        for max_length in range(1, 10):
            for stride in (0, 1, 2, 4, 9):
                for strategy in ("longest_first", "only_first", "only_second"):
                    for direction in ("right", "left"):
                        first = ["", "a", "the of", " ".join(rng.sample(WORDS, 3)), " ".join(rng.sample(WORDS, 7))]
                        second = [" ".join(rng.sample(WORDS, rng.randrange(6))) for _ in first]
                        for pairs in (None, second):
                            both.compare_batch(first, pairs, add_special_tokens=rng.random() < 0.7, max_length=max_length, stride=stride,
                                               strategy=strategy, direction=direction)


def decodable_vocabulary(rng):
    """Pieces of every decoder's kind: byte-level characters, <0xXX>, ##, </w>, ▁, CTC's."""
    pieces = ["<pad>", "|", "[UNK]", "##a", "##ing", "the", "a", "b", "ab</w>", "b</w>", "</w>", "b@@", "@", "▁", "▁the", "▁▁a", "_x", "é",
              "É", "中", " ", "  ",
              "", "n't", "'s", "'m", "'ve", "'re", " n't", "do not", ".", ",", "?", "!", "a b", "##", "<0x", "<0x4>", "<0x4g>", "<0xzz>",
              "\u0301"]
    pieces += [f"<0x{b:02X}>" for b in rng.sample(range(256), 60)] + ["<0xe4>", "<0xE4>", "<0xB8>", "<0xAD>", "<0xF0>", "<0x9F>", "<0x98>",
                                                                      "<0x80>"]
    pieces += configs.byte_alphabet() + ["ä¸Ń", "ä¸", "Ġthe", "ĠĠ", "ðŁĺ", "Ģ", "ðŁĺĢ"]
    return {piece: i for i, piece in enumerate(configs.unique(pieces))}


def test_decoders(name, make, rng):
    for _ in times(14):
        vocabulary = decodable_vocabulary(rng)
        whole = configs.whole({"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
                              decoder=configs.without_type(rng, make(rng)))
        whole["added_tokens"] = configs.added_tokens(rng, rng.randrange(4), len(vocabulary))
        both = Both(whole)
        ids = both.known_ids()
        for _ in range(250 if ids else 0):
            # now and then of a few kinds only, so that they stand together
            few = rng.sample(ids, 3) if rng.random() < 0.5 else ids
            both.compare_decoded([rng.choice(few) for _ in range(rng.choice((0, 1, 2, 3, 5, 9)))], rng.random() < 0.5)


def test_added_tokens(rng):
    """All flags, with every kind of normalizer and pre-tokenizer."""
    for _ in times(120):
        normalizer = None if rng.random() < 0.3 else rng.choice(list(configs.NORMALIZERS.values()))(rng)
        pre = None if rng.random() < 0.3 else rng.choice(list(configs.PRE_TOKENIZERS.values()))(rng)
        whole = configs.whole(configs.byte_model(), normalizer=normalizer, pre_tokenizer=pre)
        if rng.random() < 0.3:
            whole = bert_whole(rng)
        whole["added_tokens"] = configs.added_tokens(rng, rng.randrange(1, 9), max(whole["model"]["vocab"].values()) + 1)
        both = Both(whole)
        both.compare_vocabulary(rng)
        compare_texts(both, rng, 40, 60)
        contents = [t["content"] for t in whole["added_tokens"]]
        pieces = contents * 2 + ["a", "_", "-", " ", "  ", "\u3000", "\t", "\u0301", "9", "x", "É", "e\u0301", "foo"]
        both.compare_batch(["".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9))) for _ in range(100)])
        ids = both.known_ids()
        for _ in range(20 if ids else 0):
            both.compare_decoded([rng.choice(ids[-12:]) for _ in range(4)], rng.random() < 0.5)


def test_whole(rng):
    """Everything at random at once."""
    for _ in times(150):
        words = rng.sample(WORDS, 50)
        model = rng.choice(list(configs.MODELS.values()))(rng, words)
        whole = configs.whole(model)
        vocabulary = model["vocab"] if isinstance(model["vocab"], dict) else {p: i for i, (p, _) in enumerate(model["vocab"])}
        if rng.random() < 0.7:
            whole["normalizer"] = configs.sequence(rng, configs.NORMALIZERS, "normalizers", 3)
        if rng.random() < 0.8:
            whole["pre_tokenizer"] = configs.sequence(rng, configs.PRE_TOKENIZERS, "pretokenizers", 3)
        if rng.random() < 0.8:
            whole["post_processor"] = configs.post_sequence(rng, vocabulary)
        if rng.random() < 0.8:
            whole["decoder"] = configs.sequence(rng, configs.DECODERS, "decoders", 4)
        whole["added_tokens"] = configs.added_tokens(rng, rng.randrange(5), len(vocabulary))
        both = Both(whole)
        both.compare_vocabulary(rng, 10)
        compare_texts(both, rng, 50, 60)
        ids = both.known_ids()
        for _ in range(20 if ids else 0):
            both.compare_decoded([rng.choice(ids) for _ in range(rng.randrange(12))], rng.random() < 0.5)


def sections():
    """name -> function of rng."""
    made = {name: lambda rng, n=name, m=make: test_normalizers(n, m, rng) for name, make in configs.NORMALIZERS.items()}
    made |= {name: lambda rng, n=name, m=make: test_pre_tokenizers(n, m, rng) for name, make in configs.PRE_TOKENIZERS.items()}
    made["normalizer Sequence"] = lambda rng: test_chains("normalizer", configs.NORMALIZERS, "normalizers", rng)
    made["pre-tokenizer Sequence"] = lambda rng: test_chains("pre_tokenizer", configs.PRE_TOKENIZERS, "pretokenizers", rng)
    made |= {name: lambda rng, n=name, m=make: test_models(n, m, rng) for name, make in configs.MODELS.items()}
    made |= {name: lambda rng, n=name, m=make: test_post_processors(n, m, rng) for name, make in configs.POST_PROCESSORS.items()}
    made["post-processor Sequence"] = lambda rng: test_post_processors("Sequence", configs.post_sequence, rng)
    made["truncation"] = test_truncation
    made |= {name: lambda rng, n=name, m=make: test_decoders(n, m, rng) for name, make in configs.DECODERS.items()}
    made["decoder Sequence"] = lambda rng: test_decoders("Sequence", lambda r: configs.sequence(r, configs.DECODERS, "decoders", 4), rng)
    made["added tokens"] = test_added_tokens
    made["whole tokenizers"] = test_whole
    return made


def main():
    chosen = sys.argv[1:]
    for name, function in sections().items():
        if chosen and name not in chosen:
            continue
        start = time.monotonic()
        REPORT.begin(name)
        function(random.Random(f"{SEED} {name}"))
        print(f"-- {name}: {REPORT.passed[name]} same, {REPORT.failed[name]} different, {time.monotonic() - start:.1f} s", flush=True)
    return REPORT.end()


if __name__ == "__main__":
    sys.exit(main())
