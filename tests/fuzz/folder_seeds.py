#!/usr/bin/env python3
"""folder_seeds.py - write the seeds of fuzz_sentencepiece and fuzz_tokenizer_files.

    python tests/fuzz/folder_seeds.py

SPDX-License-Identifier: Apache-2.0
"""
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from tokenizer_seeds import charsmap  # noqa: E402

import base64  # noqa: E402

N_CLASSES = 13  # of fuzz_sentencepiece.c
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


# ---- Protocol Buffers -----------------------------------------------------------------------------------------------------------

def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def piece(text, score=0.0, kind=NORMAL):
    return data(1, data(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + (number(3, kind) if kind != NORMAL else b""))


def model(first, is_unigram, byte_fallback, with_charsmap, unk_id=0):
    pieces = [piece(*row) for row in first]
    pieces += [piece(t, -1.0 - i) for i, t in enumerate(["▁", "a", "b", "A", "é", "▁a", "ab", "▁ab", "s", "M"])]
    pieces += [piece("<extra_id_0>", 0.0, USER_DEFINED), piece("free", 0.0, UNUSED)]
    if byte_fallback:
        pieces += [piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in (0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80)]
    trainer = number(3, 1 if is_unigram else 2) + number(35, int(byte_fallback)) + number(40, unk_id) + number(41, 1) + number(42, 2)
    trainer += data(45, b"<unk>") + data(46, b"<s>") + data(47, b"</s>")
    normalizer = data(1, b"nmt_nfkc") + (data(2, base64.b64decode(charsmap())) if with_charsmap else b"")
    return b"".join(pieces) + data(2, trainer) + data(3, normalizer)


def sentencepiece_seeds():
    usual = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<pad>", 0.0, CONTROL)]
    bert = [("<pad>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("[CLS]", 0.0, CONTROL), ("[SEP]", 0.0, CONTROL), ("[MASK]", 0.0, CONTROL)]
    for number_of_class in range(N_CLASSES):
        for i, first in enumerate((usual, bert)):
            is_unigram = number_of_class not in (5, 6, 9)
            content = model(first, is_unigram, not is_unigram, is_unigram and i == 0, unk_id=i)
            yield f"class-{number_of_class}-{i}", bytes([number_of_class]) + content
    yield "bpe-by-its-files", bytes([12]) + model(usual, False, True, False)
    yield "a-number-without-an-end", b"\0\x0a\x80"
    yield "a-group", b"\0\x0b\x0c"


# ---- Folders ---------------------------------------------------------------------------------------------------------------------

def folder(**files):
    return "".join(f"== {name.replace('__', '.')}\n{text}\n" for name, text in files.items()).encode()


def folder_seeds():
    words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nab"
    vocab = json.dumps({t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab", "Ġ", "Ġa", "<mask>", "a</w>", "s"])},
                       ensure_ascii=False)
    merges = "#version: 0.2\na b\nĠ a"
    for kind in ("bert", "distilbert", "mpnet"):
        yield kind, folder(vocab__txt=words, config__json=json.dumps({"model_type": kind}))
    for kind in ("roberta", "gpt2", "qwen2", "clip", "deberta"):
        yield kind, folder(vocab__json=vocab, merges__txt=merges, config__json=json.dumps({"model_type": kind}))
    yield "settings", folder(vocab__txt=words, tokenizer_config__json=json.dumps({
        "tokenizer_class": "BertTokenizerFast", "do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False,
        "mask_token": {"content": "<m>", "lstrip": True}, "image_token": "<i>", "extra_special_tokens": {"audio_token": "<a>"},
        "additional_special_tokens": ["<e>", {"content": "<f>", "rstrip": True}]}))
    yield "map", folder(vocab__txt=words, special_tokens_map__json=json.dumps({"pad_token": "<p>", "extra_special_tokens": ["<e>"]}),
                        added_tokens__json=json.dumps({"NEW": 8, "<q>": 9}))
    yield "decoder", folder(vocab__json=vocab, merges__txt=merges, tokenizer_config__json=json.dumps({
        "tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": True,
        "added_tokens_decoder": {"12": {"content": "<x>", "special": True}, "3": {"content": "<unk>", "normalized": False}}}))
    yield "inner", folder(modules__json=json.dumps([{"path": "0_Transformer"}]), vocab__txt=words)


def main():
    for name, seeds in (("sentencepiece", sentencepiece_seeds), ("tokenizer_files", folder_seeds)):
        corpus = HERE / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        for seed, content in seeds():
            (corpus / f"seed-{seed}").write_bytes(content)


if __name__ == "__main__":
    main()
