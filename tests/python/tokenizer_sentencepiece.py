"""tokenizer_sentencepiece.py - models trained by PyPI's `sentencepiece`, and the tokenizer.json that transformers' converters make of them.

Sources: sentencepiece_model.proto (field numbers), transformers' convert_slow_tokenizer.py (what becomes of what).
SPDX-License-Identifier: Apache-2.0
"""
import base64
import io
import struct

import sentencepiece
import tokenizer_configs as configs
import tokenizer_pipelines as pipelines

NORMALIZATIONS = ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity")
USER_DEFINED, BYTE, CONTROL = 4, 6, 3


def train(model_type, normalization, vocab_size=1500, byte_fallback=False, sentences=None, **options):
    """The bytes of a sentencepiece.model."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences or [line for line in pipelines.corpus() if "\n" not in line]), model_writer=out,
        model_type=model_type,
        vocab_size=vocab_size, normalization_rule_name=normalization, byte_fallback=byte_fallback, character_coverage=0.9995,
        hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    return out.getvalue()


def protobuf_fields(data):
    """(number, value) of each field: int, or bytes."""
    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
    at = 0
    while at < len(data):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
        else:
            size, at = varint(at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def read(data):
    """(pieces as [piece, score, type], charsmap, whether it adds a space before the text, whether it drops doubled spaces)."""
    pieces, charsmap, adds_prefix, drops_spaces = [], b"", True, True
    for number, value in protobuf_fields(data):
        if number == 1:
            piece = dict(protobuf_fields(value))
            pieces.append([piece[1].decode(), struct.unpack("<f", piece[2])[0] if 2 in piece else 0.0, piece.get(3, 1)])
        elif number == 3:
            spec = dict(protobuf_fields(value))
            charsmap, adds_prefix, drops_spaces = spec.get(2, b""), bool(spec.get(3, 1)), bool(spec.get(4, 1))
    return pieces, charsmap, adds_prefix, drops_spaces


def converted_normalizer(charsmap, drops_spaces=True):
    parts = [{"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}] if charsmap else []
    if drops_spaces:
        parts.append(pipelines.replace(" {2,}", "▁", "Regex"))
    return {"type": "Sequence", "normalizers": parts} if parts else None


def unigram_json(data, post_processor=None):
    """As SpmConverter does it."""
    pieces, charsmap, adds_prefix, drops_spaces = read(data)
    scheme = "always" if adds_prefix else "never"
    model = {"type": "Unigram", "unk_id": 0, "vocab": [[piece, score] for piece, score, _ in pieces],
             "byte_fallback": any(kind == BYTE for _, _, kind in pieces)}
    tokens = [configs.added_token(i, piece, special=kind == CONTROL, normalized=False) for i, (piece, _, kind) in enumerate(pieces)
              if kind in (CONTROL, USER_DEFINED)]
    decoder = pipelines.sequence("decoders", {"type": "ByteFallback"},
                                 pipelines.metaspace(scheme)) if model["byte_fallback"] else pipelines.metaspace(scheme)
    return configs.whole(model, normalizer=converted_normalizer(charsmap, drops_spaces), pre_tokenizer=pipelines.metaspace(scheme),
                         decoder=decoder,
                         post_processor=post_processor, added_tokens=tokens)


def bpe_json(data):
    """As LlamaConverter does it: merges are all pairs of pieces that make a piece, best first."""
    pieces, charsmap, _, _ = read(data)
    vocabulary = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    merges = []
    for piece, score, _ in pieces:
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
        merges += [(left, right, score) for left, right in sorted(local, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))]
    merges.sort(key=lambda m: m[2], reverse=True)
    normalizers = [{"type": "Prepend", "prepend": "▁"}, pipelines.replace(" ", "▁")]
    if charsmap:
        normalizers.insert(0, converted_normalizer(charsmap, False)["normalizers"][0])
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocabulary,
             "merges": [[left, right] for left, right, _ in merges]}
    decoder = pipelines.sequence("decoders", pipelines.replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return configs.whole(model, normalizer=pipelines.sequence("normalizers", *normalizers), decoder=decoder,
                         added_tokens=[configs.added_token(i, p, special=True, normalized=False) for i,
                                       p in enumerate(("<unk>", "<s>", "</s>"))])
