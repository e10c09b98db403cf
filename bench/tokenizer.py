#!/usr/bin/env python3
"""tokenizer.py - encoding English prose on one thread: Tern and PyPI's `tokenizers`, round by round in one process, and loading.

    TERN_LIBRARY=build/release/src/libtern.so python bench/tokenizer.py [--model FOLDER] [--text FILE] [--rounds 15]

The text is cut into lines, into paragraphs, and not at all; each piece is one call, with special tokens, without truncation. Ids, type
ids, masks and offsets are made, token strings are not asked of Tern (`tokenizers` always makes them). That both agree is checked first.
Both are called from Python, which takes Tern about 1 us a call; the column `calls` is the share of Tern's time that as many calls with
an empty text take. MB are 10^6 bytes of UTF-8. A row is the median, and the 10th and 90th percentile, of the rounds; `times` is that of
the ratio within a round, above 1: Tern is faster.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import ctypes
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("TERN_LIBRARY", str(ROOT / "build" / "release" / "src" / "libtern.so"))
sys.path.insert(0, str(ROOT / "tests" / "python"))

import tokenizers  # noqa: E402
from tern_tokenizer import EncodingArrays, Text, Tokenizer  # noqa: E402


def spread(values):
    ordered = sorted(values)
    n = len(ordered)
    return ordered[n // 2], ordered[n // 10], ordered[n * 9 // 10]


def shown(values, unit):
    return "%9.1f %s (%.1f .. %.1f)" % (spread(values)[0], unit, *spread(values)[1:])


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def tern_encoder(tern, pieces):
    """Encodes all pieces when called; nothing is copied into Python objects."""
    arrays = EncodingArrays()
    handle, out = tern.handle, ctypes.byref(arrays)
    encode, free = tern.lib.tern_tokenizer_encode, tern.lib.tern_encoding_free
    texts = [Text(piece, len(piece)) for piece in (p.encode() for p in pieces)]

    def run():
        for text in texts:
            if encode(out, handle, text, None, None, None):
                raise SystemExit("tern_tokenizer_encode failed")
            free(out)
    return run


def their_encoder(theirs, pieces):
    def run():
        for piece in pieces:
            theirs.encode(piece)
    return run


def check_agreement(tern, theirs, pieces):
    for piece in pieces:
        ours, other = tern.encode(piece, with_tokens=False), theirs.encode(piece)
        if (ours.ids, ours.offsets, ours.type_ids) != (other.ids, other.offsets, other.type_ids):
            raise SystemExit(f"different: {piece!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--text", type=Path, default=Path("/usr/share/common-licenses/GPL-3"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=20, help="times that the text is gone through in a round")
    a = parser.parse_args()
    text = a.text.read_text(encoding="utf-8")
    tern, theirs = Tokenizer(a.model), tokenizers.Tokenizer.from_file(str(a.model / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    print(f"{a.text}, {len(text.encode())} bytes; tokenizers {tokenizers.__version__}; {a.rounds} rounds")
    pieces_of = {"lines": text.split("\n"), "paragraphs": text.split("\n\n"), "whole": [text]}
    for name, pieces in pieces_of.items():
        check_agreement(tern, theirs, pieces)
        pieces = pieces * a.repeats
        size = sum(len(piece.encode()) for piece in pieces)
        ours, other, empty = tern_encoder(tern, pieces), their_encoder(theirs, pieces), tern_encoder(tern, [""] * len(pieces))
        ours(), other(), empty()
        rounds = [(seconds(ours), seconds(other), seconds(empty)) for _ in range(a.rounds)]
        rates = [[size / r[i] / 1e6 for r in rounds] for i in range(2)]
        print(f"{name:10} Tern {shown(rates[0], 'MB/s')}   tokenizers {shown(rates[1], 'MB/s')}   "
              f"{shown([r[1] / r[0] for r in rounds], 'times')}   calls {spread([r[2] / r[0] for r in rounds])[0]:.0%}")
    path = str(a.model / "tokenizer.json")
    loads = [(seconds(lambda: Tokenizer(a.model)) * 1e3, seconds(lambda: tokenizers.Tokenizer.from_file(path)) * 1e3)
             for _ in range(a.rounds)]
    print(f"{'load':10} Tern {shown([t for t, _ in loads], 'ms')}   tokenizers {shown([t for _, t in loads], 'ms')}   "
          f"{shown([u / t for t, u in loads], 'times')}")


if __name__ == "__main__":
    main()
