#!/usr/bin/env python3
"""tokenizer_seeds.py - write the seeds of fuzz_tokenizer_json: a small tokenizer.json of every component, and its dictionary.

    python tests/fuzz/tokenizer_seeds.py

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import random
import re
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))
import tokenizer_configs as configs  # noqa: E402

LETTERS = ["a", "b", "e", "h", "t", "é", "中", "1", "x", "f", "o", "▁", "Ġ", "'", ",", "n", "d"]
SPECIAL = ["[UNK]", "<unk>", "[CLS]", "[SEP]"]


def small_models():
    vocabulary = {p: i for i, p in enumerate(SPECIAL + LETTERS + ["##a", "##b", "##e", "th", "the", "##he", "foo", "##</w>", "a</w>", "he",
                                                                  "oo", "▁the"])}
    with_bytes = vocabulary | {f"<0x{b:02X}>": len(vocabulary) + b for b in (0x20, 0xC3, 0xCC, 0x81, 0xF0)}
    bpe = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
           "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": with_bytes,
           "merges": [["h", "e"], ["t", "he"], ["o", "o"]]}
    return [
        {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
         "vocab": vocabulary},
        {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}, bpe,
        bpe | {"merges": ["h e", "t he"], "byte_fallback": False, "fuse_unk": False, "ignore_merges": True, "end_of_word_suffix": "</w>"},
        {"type": "Unigram", "unk_id": 1, "byte_fallback": False, "vocab": [[p, -float(i)] for p, i in vocabulary.items()]},
    ]


def charsmap():
    """SentencePiece's: the size of a double array, its units, and texts. This one makes e of é, whose bytes are C3 A9."""
    units = [0] * 256
    units[0] = 1 << 10                                  # offset 1
    units[1 ^ 0xC3] = 0xC3 | 2 << 10
    leads_to_leaf = 1 ^ 0xC3 ^ 2 ^ 0xA9
    units[leads_to_leaf] = 0xA9 | 1 << 8 | 1 << 10
    units[leads_to_leaf ^ 1] = 1 << 31                  # the text at 0
    return base64.b64encode(struct.pack("<257I", 1024, *units) + b"e\0").decode()


def seeds():
    rng, models = random.Random(1), small_models()
    for i, model in enumerate(models):
        yield f"model-{i}", configs.whole(model, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                                                                "split": True})
    for part, parts, key in (("normalizer", configs.NORMALIZERS, "normalizers"), ("pre_tokenizer", configs.PRE_TOKENIZERS, "pretokenizers"),
                             ("decoder", configs.DECODERS, "decoders")):
        for i, make in enumerate(parts.values()):
            yield f"{part}-{i}", configs.whole(rng.choice(models), **{part: make(rng)})
        yield f"{part}-sequence", configs.whole(rng.choice(models), **{part: configs.sequence(rng, parts, key, 3)})
    yield "normalizer-precompiled", configs.whole(models[4], normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap()})
    vocabulary = models[0]["vocab"]
    for i, make in enumerate([*configs.POST_PROCESSORS.values(), configs.post_sequence]):
        yield f"post_processor-{i}", configs.whole(models[0], post_processor=make(rng, vocabulary),
                                                   pre_tokenizer={"type": "BertPreTokenizer"})
    for i in range(4):
        yield f"added_tokens-{i}", configs.whole(models[i], added_tokens=configs.added_tokens(rng, 4, len(vocabulary)),
                                                 normalizer={"type": "Lowercase"} if i % 2 else None)
    yield "truncation", configs.whole(models[0], truncation={"direction": "Right", "max_length": 8, "strategy": "LongestFirst",
                                                             "stride": 1},
                                      padding={"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                                               "pad_type_id": 0, "pad_token": "[UNK]"})


def main():
    folder, words = HERE / "corpus" / "tokenizer_json", set()
    folder.mkdir(parents=True, exist_ok=True)
    for name, whole in seeds():
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        (folder / f"seed-{name}").write_text(text, encoding="utf-8")
        words |= set(re.findall(r'"[A-Za-z_]{3,}"', text))
    words |= {'"' + name + '"' for name in ("Removed", "MergedWithNext", "Contiguous", "first", "never", "str_rep", "Regex", "String",
                                            "Sequence")}
    words |= {"null", "true", "false", "[[", "]]", "{}", "[]", "-0.0", "1e308", "2147483647", "\\u0000", "\\ud83d\\ude00", "##", "<0xC3>",
              "</w>",
              r"\\p{L}+", r"\\s+(?!\\S)", "(?i:", "(?<!", "[^", "{1,3}", "|", "[[:alpha:]]", "&&", r"\\w", r"\\b"}
    quoted = sorted('"' + w.replace("\\", "\\\\").replace('"', '\\"') + '"' for w in words)
    (HERE / "fuzz_tokenizer_json.dict").write_text("# Words of tokenizer.json, for libFuzzer's -dict.\n" + "\n".join(quoted) + "\n",
                                                   encoding="utf-8")


if __name__ == "__main__":
    main()
