#!/usr/bin/env python3
"""tests/golden/stages.json: post-processors with truncation, and decoders, of random make, and what Hugging Face's tokenizers gives.

    golden-stages.py tests/golden/stages.json        needs tokenizers 0.23.3

SPDX-License-Identifier: Apache-2.0
"""
import itertools
import json
import os
import random
import sys

from tokenizers import Tokenizer

WORDS = "[UNK] [CLS] [SEP] a b c d e f g h \u0120a b\u0120 \u0120\u0120c \u0120".split(" ")
PIECES = ["", "a", " a", "a ", "  ", "\u2581a", "\u2581", "\u2581\u2581b", "##a", "##", "</w>", "b</w>c", "<pad>", "<pad>a", "|", "a|b",
          " do not", " n't", "'", "' ", ".", " .", "<0x41>", "<0xC3>", "<0xA9>", "<0xe2>", "<0xFF>", "<0x+a>", "<0xG1>", "\u0120a", "\u00c3",
          "\u00a9", "\u00e2", "\u0138", "\u0123", "\u0100", "\u00e9\u65e5", "\U0001f600"]
TEXTS = ["a", "b", " ", "  ", "d e", "\u0120a", " [M] ", "\u0120\u0120c", "f", "b\u0120 ", "z", "c", ","]
CLS, SEP = ["[CLS]", 1], ["[SEP]", 2]
SPECIAL = {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]},
           "X": {"id": "X", "ids": [1, 2], "tokens": ["\u0120x", "y"]}}


def tokenizer_json(vocabulary, post_processor=None, decoder=None):
    added = {"id": len(vocabulary), "content": "[M]", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False,
             "special": True}
    model = {"type": "WordPiece", "unk_token": vocabulary[0], "continuing_subword_prefix": "", "max_input_chars_per_word": 100,
             "vocab": {word: i for i, word in enumerate(vocabulary)}}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [added], "normalizer": None,
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": post_processor, "decoder": decoder, "model": model}


def random_template(rng, sequences):
    pieces = []
    for sequence in rng.sample(sequences, len(sequences)) + [None]:
        for _ in range(rng.choice([0, 1, 1, 2])):
            pieces.append({"SpecialToken": {"id": rng.choice(["[CLS]", "[SEP]", "X"]), "type_id": rng.randint(0, 3)}})
        if sequence:
            pieces.append({"Sequence": {"id": sequence, "type_id": rng.randint(0, 3)}})
    return pieces


def random_post_processor(rng, depth=0):
    flags = {"add_prefix_space": rng.random() < 0.5, "trim_offsets": rng.random() < 0.7}
    kind = rng.choice(["TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"] + ["Sequence"] * (depth < 2))
    if kind == "TemplateProcessing":
        return {"type": kind, "single": random_template(rng, ["A"]), "pair": random_template(rng, ["A", "B"]), "special_tokens": SPECIAL}
    if kind == "Sequence":
        return {"type": kind, "processors": [random_post_processor(rng, depth + 1) for _ in range(rng.randint(0, 3))]}
    return {"type": kind} | ({"cls": CLS, "sep": SEP} if kind != "ByteLevel" else {}) | (flags if kind != "BertProcessing" else {})


def adds_before_template(post_processor):
    """What the library cannot run either, or only in some cases: a template of what a template or BERT made."""
    flat = [post_processor]
    while any(p["type"] == "Sequence" for p in flat):
        flat = list(itertools.chain(*(p["processors"] if p["type"] == "Sequence" else [p] for p in flat)))
    kinds = [p["type"] for p in flat]
    return "TemplateProcessing" in kinds[1:] and kinds.index("TemplateProcessing") < len(kinds) - 1 - kinds[::-1].index("TemplateProcessing")


def shown(encoding):
    def token(i):
        word, sequence = (("-" if n is None else n) for n in (encoding.word_ids[i], encoding.sequence_ids[i]))
        return (f"{encoding.tokens[i]}:{encoding.ids[i]}:{encoding.type_ids[i]}:{encoding.special_tokens_mask[i]}:{word}:{sequence}:"
                f"{encoding.offsets[i][0]}-{encoding.offsets[i][1]}")
    return " ".join(map(token, range(len(encoding.ids))))


def is_accepted(tokenizer, case):
    """Whether these settings are no error whatever the text is; where there is no room for the special tokens, the library cuts nothing."""
    tokenizer.no_truncation()
    if case["max_length"] and case["max_length"] < tokenizer.num_special_tokens_to_add(case["pair"] is not None):
        return False
    try:
        if case["max_length"]:
            tokenizer.enable_truncation(case["max_length"], stride=case["stride"], strategy=case["strategy"], direction=case["direction"])
        return True
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return False


def encoded(tokenizer, case):
    try:
        encoding = tokenizer.encode(case["text"], case["pair"], add_special_tokens=case["add_special_tokens"])
    except BaseException as error:  # a panic of the library is a BaseException
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    return [shown(e) for e in [encoding] + encoding.overflowing]


def random_case(rng):
    def text():
        return "".join(rng.choice(TEXTS) for _ in range(rng.randint(0, 7)))
    return {"text": text(), "pair": rng.choice([None, text()]), "add_special_tokens": rng.random() < 0.7,
            "max_length": rng.choice([0, 3, 5, 6, 7, 8, 9, 10, 11, 12]), "stride": rng.choice([0, 0, 1, 2]),
            "strategy": rng.choice(["longest_first", "only_first", "only_second"]), "direction": rng.choice(["right", "left"])}


def chosen_post_processors(rng):
    """No post-processor, and sequences in which one takes what another made for text."""
    template = {"type": "TemplateProcessing", "single": random_template(rng, ["A"]), "pair": random_template(rng, ["A", "B"]),
                "special_tokens": SPECIAL}
    bert, trim = {"type": "BertProcessing", "cls": CLS, "sep": SEP}, {"add_prefix_space": True, "trim_offsets": True}
    byte_level, roberta = {"type": "ByteLevel"} | trim, {"type": "RobertaProcessing", "cls": CLS, "sep": SEP} | trim
    orders = [[template, bert], [template, byte_level], [bert, byte_level], [byte_level, bert], [bert, roberta], [roberta, byte_level]]
    return [None] * 4 + [{"type": "Sequence", "processors": order} for order in orders]


def make_encodings(rng):
    for post_processor in chosen_post_processors(rng) + [random_post_processor(rng) for _ in range(54)]:
        if post_processor and adds_before_template(post_processor):
            continue
        tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json(WORDS, post_processor=post_processor)))
        cases = [random_case(rng) for _ in range(10)]
        yield {"post_processor": post_processor,
               "cases": [case | {"encodings": encoded(tokenizer, case)} for case in cases if is_accepted(tokenizer, case)]}


def random_decoder(rng, depth=0):
    def text():
        return rng.choice(["", "a", " ", "\u2581", "##", "</w>", "<pad>", "|", "\u00e9", " do"])
    flag = rng.random() < 0.5
    kind = rng.choice(["ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "CTC", "ByteFallback", "Fuse", "Strip", "Replace"] +
                      ["Sequence"] * (4 * (depth < 2)))
    fields = {"ByteLevel": lambda: {"add_prefix_space": flag, "trim_offsets": flag},
              "WordPiece": lambda: {"prefix": text(), "cleanup": flag},
              "Metaspace": lambda: {"replacement": rng.choice("\u2581a"), "prepend_scheme": rng.choice(["always", "first", "never"])},
              "BPEDecoder": lambda: {"suffix": text()},
              "CTC": lambda: {"pad_token": text(), "word_delimiter_token": text(), "cleanup": flag},
              "Strip": lambda: {"content": rng.choice(" \u2581a"), "start": rng.randint(0, 2), "stop": rng.choice([0, 0, 1])},
              "Replace": lambda: {"pattern": rng.choice([{"String": text()}, {"Regex": "[ab]+|\\s"}]), "content": text()},
              "Sequence": lambda: {"decoders": [random_decoder(rng, depth + 1) for _ in range(rng.randint(0, 4))]}}
    return {"type": kind} | fields.get(kind, dict)()


def decoded(tokenizer, ids):
    try:
        return tokenizer.decode(ids, skip_special_tokens=False)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def make_decodings(rng):
    everywhere = {"type": "Replace", "pattern": {"String": ""}, "content": "-"}
    for decoder in [None, everywhere] + [random_decoder(rng) for _ in range(98)]:
        tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json(PIECES, decoder=decoder)))
        lists = [[], [0]] + [[rng.randrange(len(PIECES)) for _ in range(rng.randint(1, 14))] for _ in range(5)]
        cases = [{"ids": ids, "text": decoded(tokenizer, ids)} for ids in lists]
        yield {"decoder": decoder, "cases": [c for c in cases if c["text"] is not None]}


def byte_characters():
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(256 + hidden.index(b)) for b in range(256)]


def make_bytes(rng):
    """Bytes that are nearly UTF-8, as ids, and the text that the ByteLevel decoder makes of them."""
    decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json(byte_characters(), decoder=decoder)))
    edges = [0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
    for _ in range(200):
        ids = [rng.choice(edges) for _ in range(12)]
        yield {"ids": ids, "text": decoded(tokenizer, ids)}


def main():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the library's panics print
    rng = random.Random(4)
    golden = {"words": tokenizer_json(WORDS), "encodings": list(make_encodings(rng)), "pieces": tokenizer_json(PIECES),
              "decodings": list(make_decodings(rng)), "byte_characters": tokenizer_json(byte_characters()), "bytes": list(make_bytes(rng))}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=True, indent=0, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    sys.exit(main())
