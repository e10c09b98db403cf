#!/usr/bin/env python3
"""bench_bulk.py - many texts of mixed lengths to a file of vectors: `tern embed`, from process start to the end, beside
sentence-transformers' encode with the model loaded and warm, at several batch sizes.

    bench_bulk.py FOLDER [--texts 100000] [--device cuda:0] [--dtype bfloat16] [--engines tern,sentence-transformers]

Texts are 5 to 150 words of LICENSE. Prints a line a run: seconds, texts/s; last the least cosine between the two. TERN_COMMAND names the
command (default: tern on the path). SPDX-License-Identifier: Apache-2.0
"""
import argparse
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np


def make_texts(n):
    words = (Path(__file__).resolve().parents[2] / "LICENSE").read_text().split()
    rng = random.Random(3)
    texts = []
    for _ in range(n):
        length = rng.choice([5, 8, 12, 16, 20, 30, 40, 60, 90, 150])
        start = rng.randrange(len(words) - length)
        texts.append(" ".join(words[start:start + length]))
    return texts


def run_tern(options, texts):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "texts").write_text("\n".join(texts) + "\n")
        for _ in range(3):
            with open(Path(folder) / "texts") as stdin:
                start = time.perf_counter()
                subprocess.run([os.environ.get("TERN_COMMAND", "tern"), "embed", options.folder, "--device", options.device, "--dtype",
                                options.dtype, "--output", Path(folder) / "vectors.npy"], stdin=stdin, check=True)
                seconds = time.perf_counter() - start
            print(f"tern, {options.dtype}: {seconds:.2f} s, {len(texts) / seconds:.0f} texts/s", flush=True)
        return np.load(Path(folder) / "vectors.npy")


def run_sentence_transformers(options, texts):
    import torch
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(options.folder, device=options.device, model_kwargs={"dtype": getattr(torch, options.dtype)})
    model.encode(texts[:1000], batch_size=256)
    for batch in (32, 256, 1024):
        some = texts[:len(texts) // 4 if batch == 32 else None]
        start = time.perf_counter()
        vectors = model.encode(some, batch_size=batch, show_progress_bar=False)
        seconds = time.perf_counter() - start
        print(f"sentence-transformers, {options.dtype}, batch {batch}: {seconds:.2f} s, {len(some) / seconds:.0f} texts/s", flush=True)
    return np.asarray(vectors, np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--engines", default="tern,sentence-transformers")
    options = parser.parse_args()
    texts = make_texts(options.texts)
    runs = {"tern": run_tern, "sentence-transformers": run_sentence_transformers}
    vectors = [runs[name](options, texts) for name in options.engines.split(",")]
    if len(vectors) == 2:
        print(f"least cosine: {(vectors[0] * vectors[1]).sum(axis=1).min():.4f}")


if __name__ == "__main__":
    main()
