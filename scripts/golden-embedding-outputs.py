#!/usr/bin/env python3
"""golden-embedding-outputs.py - write tests/golden/embedding-outputs.json: what sentence-transformers makes of vectors after the model.

Quantization and similarity of vectors drawn with a seed; truncate_dim and normalize_embeddings of encode; and the vectors of the windows of
long texts, before Normalize, with the number of tokens that are new in each. The model is a folder of tests/golden/sentence-transformers.

Needs sentence-transformers (with torch). Run from anywhere; it takes some seconds. SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import random
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.util.quantization import quantize_embeddings

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
FOLDER = "dense-tanh-normalize"
SEED = 20261123
PRECISIONS = ("int8", "uint8", "binary", "ubinary")
STRIDES = (0, 3, 7)


def packed(array):
    array = np.ascontiguousarray(array)
    return {"dtype": array.dtype.str, "shape": array.shape, "data": base64.b64encode(array.tobytes()).decode()}


def quantized(rng):
    vectors = rng.normal(0, 1, (130, 21)).astype(np.float32)
    vectors[:, 4] = 0.25  # a range that is a point
    vectors[:, 7] *= 1e-20
    vectors[3, :5] = 0
    calibration = rng.normal(0.1, 0.7, (110, 21)).astype(np.float32)
    own = {p: packed(quantize_embeddings(vectors, p)) for p in PRECISIONS}
    other = {p: packed(quantize_embeddings(vectors, p, calibration_embeddings=calibration)) for p in PRECISIONS}
    return {"vectors": packed(vectors), "calibration": packed(calibration), "own": own, "calibrated": other}


def similarities(rng):
    a, b = rng.normal(0, 1, (7, 21)).astype(np.float32), rng.normal(0, 1, (5, 21)).astype(np.float32)
    a[2] = 0
    functions = {"cosine": (util.cos_sim, util.pairwise_cos_sim), "dot": (util.dot_score, util.pairwise_dot_score),
                 "euclidean": (util.euclidean_sim, util.pairwise_euclidean_sim), "manhattan": (util.manhattan_sim, util.pairwise_manhattan_sim)}
    results = {name: {"matrix": packed(matrix(a, b).numpy()), "pairs": packed(pairs(a[:5], b).numpy())} for name, (matrix, pairs) in functions.items()}
    return {"a": packed(a), "b": packed(b), "functions": results, "maxsim": float(util.similarity.maxsim(a, b)[0, 0])}


def texts_of(length, seed=SEED):
    words = ["the", "a", "man", "meal", "cat", "is", "on", "of"]
    draw = random.Random(seed + length)
    return " ".join(draw.choice(words) for _ in range(length))


def windows(model, text, stride):
    """The tokenizer's pieces, each through the modules before Normalize: [vector], [tokens new in it]."""
    pieces = model.tokenizer(text, truncation=True, max_length=model.max_seq_length, stride=stride, return_overflowing_tokens=True,
                             return_special_tokens_mask=True)
    vectors, n_new = [], []
    for k, (ids, special) in enumerate(zip(pieces["input_ids"], pieces["special_tokens_mask"])):
        features = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
        with torch.inference_mode():
            for module in list(model)[:-1]:
                features = module(features)
        vectors.append(features["sentence_embedding"][0].numpy())
        n_new.append(special.count(0) - (stride if k > 0 else 0))
    return {"text": text, "stride": stride, "vectors": packed(np.array(vectors)), "n_new": n_new}


def main():
    rng = np.random.default_rng(SEED)
    model = SentenceTransformer(str(GOLDEN / "sentence-transformers" / FOLDER), device="cpu")
    texts = [texts_of(n) for n in (1, 3, 6)]
    calls = [{"arguments": ["--truncate-dim", str(dim)] + (["--normalize"] if normalize else []),
              "rows": packed(model.encode(texts, truncate_dim=dim, normalize_embeddings=normalize))}
             for dim in (5, 8, 10000) for normalize in (False, True)]
    long_texts = [windows(model, texts_of(n), stride) for n in (20, 90) for stride in STRIDES]
    golden = {"sentence_transformers": sentence_transformers.__version__, "torch": torch.__version__, "numpy": np.__version__, "seed": SEED,
              "folder": FOLDER, "texts": texts, "quantization": quantized(rng), "similarity": similarities(rng), "truncate_dim": calls,
              "windows": long_texts}
    (GOLDEN / "embedding-outputs.json").write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
