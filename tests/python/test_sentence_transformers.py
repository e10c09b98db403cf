#!/usr/bin/env python3
"""test_sentence_transformers.py - folders that sentence-transformers saved (tests/golden/sentence-transformers), one a module or an option:
`tern embed` gives the library's embeddings within 2e-6 at every ISA level, and each text the same bits alone and among the others.

Environment: TERN_COMMAND (default build/release/tern). The last line is "N passed, M failed". scripts/golden-sentence-transformers.py wrote
the files. SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import sys

import numpy as np
from command import ROOT, check, counts, tern

GOLDEN = ROOT / "tests" / "golden" / "sentence-transformers"
BOUND = 2e-6  # of components up to 1, else of the largest; both are float32, whose order of summation is worth up to 1e-6 here
LEVELS = ("scalar", "avx2", "avx512")


def levels_here():
    best = tern("info", "--json").json()[0]["devices"][0]["isa"]
    return list(LEVELS[: LEVELS.index(best) + 1]) if best in LEVELS else [best]


def dense_rows(entries, width):
    """Sparse vectors with their zeros; the heaviest entries come first."""
    rows = np.zeros((len(entries), width), dtype=np.float32)
    for row, vector in zip(rows, entries):
        weights = [entry["weight"] for entry in vector]
        if weights != sorted(weights, reverse=True):
            raise RuntimeError(f"weights out of order: {weights[:20]}")
        row[[entry["id"] for entry in vector]] = weights
    return rows


def rows_of(folder, arguments, texts, width):
    result = tern("embed", folder, "--json", *arguments, stdin="".join(t + "\n" for t in texts).encode())
    if result.code != 0:
        raise RuntimeError(f"{folder.name}: exit {result.code}: {result.err[:500]}")
    lines = result.json()
    if "sparse_embedding" in lines[0]:
        return dense_rows([line["sparse_embedding"] for line in lines], width)
    if "token_embeddings" in lines[0]:
        return np.array([row for line in lines for row in line["token_embeddings"]], dtype=np.float32)
    return np.array([line["embedding"] for line in lines], dtype=np.float32)


def check_call(folder, call, texts, levels):
    expected = np.frombuffer(base64.b64decode(call["rows"]), dtype=np.float32).reshape(-1, call["width"])
    name = " ".join([folder.name, *call["arguments"]])
    for level in levels:
        arguments = [*call["arguments"], "--isa", level]
        found = rows_of(folder, arguments, texts, call["width"])
        if found.shape != expected.shape:
            check(False, f"{name}, {level}", f"shape {found.shape}, expected {expected.shape}")
            continue
        difference = np.abs(found - expected).max() / max(1, np.abs(expected).max())
        check(difference <= BOUND, f"{name}, {level}: {difference:.1e}")
    alone = np.concatenate([rows_of(folder, arguments, [texts[i]], call["width"]) for i in (0, 1, 2)])
    check(alone.tobytes() == found[: len(alone)].tobytes(), f"{name}: the same bits alone")


def main():
    levels = levels_here()
    folders = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
    for folder in folders:
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        info = tern("info", folder, "--json").json()
        check(info and info[0]["max_seq_length"] == expected["max_seq_length"], f"{folder.name}: max_seq_length {expected['max_seq_length']}")
        for call in expected["calls"]:
            try:
                check_call(folder, call, expected["texts"], levels)
            except RuntimeError as error:
                check(False, f"{folder.name} {call['arguments']}", str(error))
    check(len(folders) > 0, "there are folders")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
