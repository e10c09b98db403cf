#!/usr/bin/env python3
"""parity.py - Tern against the live libraries, everything at once: last_hidden_state of every token of every golden text against
transformers, embeddings against sentence-transformers, float32, at every ISA level that this machine has. The tests compare with files
instead (tests/python/test_parity.py), and so can hold only chosen rows; this holds all, and tells each side's distance to float64.

    python bench/peers/parity.py [--model FOLDER] [--library libtern.so]

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers

import tern

ROOT = Path(__file__).resolve().parent.parent.parent
BOUND, EMBEDDING_BOUND = 2e-5, 2e-6


def levels_of(library, folder):
    """The ISA levels that load, lowest first; a level above the processor's is refused or capped."""
    levels = []
    for level in ("scalar", "avx2", "avx512"):
        try:
            model = tern.Model(library, folder, isa=level)
        except RuntimeError as error:
            print(f"{level}: {error}")
            continue
        if model.info.isa.decode() == level:
            levels.append(level)
        model.close()
    return levels


def tern_rows(model, ids):
    array = np.array([ids], np.int64)
    out = np.empty((1, len(ids), model.info.hidden_size), np.float32)
    return model.forward(array, np.ones_like(array), np.zeros_like(array), out)[0]


@torch.inference_mode()
def references(folder, sequences):
    """last_hidden_state of each sequence in float32 and float64."""
    models = [transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=d).eval()
              for d in (torch.float32, torch.float64)]
    return [[m(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy() for m in models] for ids in sequences]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--library", type=Path)
    a = parser.parse_args()
    transformers.logging.set_verbosity_error()
    library = tern.Library(a.library)
    texts = [t["text"] for t in json.loads((ROOT / "tests" / "golden" / "minilm" / "texts.json").read_text(encoding="utf-8"))]
    tokenizer = tokenizers.Tokenizer.from_file(str(a.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    sequences = [tokenizer.encode(t).ids for t in texts]
    expected = references(a.model, sequences)
    encoder = sentence_transformers.SentenceTransformer(str(a.model), device="cpu")
    embeddings = np.concatenate([encoder.encode([t], normalize_embeddings=True) for t in texts])
    print(f"{len(texts)} texts, {sum(map(len, sequences))} tokens; transformers float32 to float64: "
          f"{max(np.abs(single - double).max() for single, double in expected):.2e}")
    failed = False
    for level in levels_of(library, a.model):
        model = tern.Model(library, a.model, isa=level)
        found = [tern_rows(model, ids) for ids in sequences]
        to_single = max(float(np.abs(f - single).max()) for f, (single, _) in zip(found, expected))
        to_double = max(float(np.abs(f - double).max()) for f, (_, double) in zip(found, expected))
        embedding = float(np.abs(model.embed(texts) - embeddings).max())
        failed |= not (to_single <= BOUND and embedding <= EMBEDDING_BOUND)
        print(f"{level:7} last_hidden_state to transformers float32 {to_single:.2e}, to float64 {to_double:.2e}; "
              f"embeddings to sentence-transformers {embedding:.2e}", flush=True)
        model.close()
    return failed


sys.exit(main())
