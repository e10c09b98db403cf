#!/usr/bin/env python3
"""bench_embed.py - from texts to vectors, tokenizer and pooling included: sentence-transformers (PyTorch) beside Tern through its library,
one process, call by call in turns.

    python bench/peers/bench_embed.py FOLDER [--device cpu|cuda:0] [--dtype float32] [--chars 50,200,500] [--batch 1,16,32] [--output F.jsonl]

FOLDER is a sentence-transformers model. Texts are the first N characters of src/bench/text.txt. A batch is one call of both. Vectors are
compared with sentence-transformers' in float32 on the CPU before anything is timed. Each line of the output is a row of tern bench's form,
of kind "embed", for `tern report` and `tern bench --compare`. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

import tern
from bench_bert import BOUND, ROOT, git_version, processor, ratio_of, statistics_of, timed


class SentenceTransformers:
    name = "sentence-transformers"

    def __init__(self, folder, device, dtype, threads):
        import sentence_transformers
        import torch
        torch.set_num_threads(threads)
        self.version = sentence_transformers.__version__
        self.model = sentence_transformers.SentenceTransformer(str(folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)})

    def run(self, texts):
        return self.model.encode(texts, batch_size=len(texts), show_progress_bar=False)


class Tern:
    name = "tern"

    def __init__(self, folder, device, dtype, threads):
        library = tern.Library()
        self.version = library.version()
        self.model = tern.Model(library, folder, threads if device == "cpu" else 0, device=device, dtype=dtype)

    def run(self, texts):
        return self.model.embed(texts)


def first_call(engine, texts, reference, bound):
    start = time.perf_counter()
    try:
        vectors = np.asarray(engine.run(texts), np.float32)
    except Exception as error:  # noqa: BLE001 - whatever an engine throws is a row
        return {"status": "out_of_memory" if "memory" in str(error).lower() else "failed", "message": f"{type(error).__name__}: {error}"[:500]}
    first = time.perf_counter() - start
    error = float(np.linalg.norm(vectors - reference) / np.linalg.norm(reference))
    row = {"status": "ok", "message": None, "first_ms": first * 1e3, "reference_error": error, "reference_bound": bound,
           "max_abs_error": float(np.abs(vectors - reference).max())}
    if not error <= bound:
        row |= {"status": "wrong", "message": f"off by {error:.2g} of its length from the reference, more than {bound:g}"}
    return row


def measure(engines, texts, reference, bound, seconds, max_runs):
    """engine -> its row's own part, and its samples in seconds."""
    rows = {e.name: first_call(e, texts, reference, bound) for e in engines}
    engines = [e for e in engines if rows[e.name]["status"] == "ok"]
    samples = {e.name: [] for e in engines}
    deadline, run = time.perf_counter() + seconds, 0
    while run < 5 or (run < max_runs and time.perf_counter() < deadline):
        for i in range(len(engines)):
            engine = engines[(i + run) % len(engines)]
            samples[engine.name].append(timed(engine, (texts,), True))
        run += 1
    return rows, samples


def main():
    integers = lambda text: [int(x) for x in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--chars", type=integers, default=[50, 200, 500])
    parser.add_argument("--batch", type=integers, default=[1, 16, 32])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--seconds", type=float, default=15, help="of measuring a row of the grid; at least 5 runs, at most --runs")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--output", type=Path, help="JSON lines are appended to this file")
    a = parser.parse_args()
    bound = BOUND if a.dtype == "float32" else 1e-1
    reference = SentenceTransformers(a.folder, "cpu", "float32", a.threads)
    engines = [e(a.folder, a.device, a.dtype, a.threads) for e in (SentenceTransformers, Tern)]
    about = {"schema": "tern-bench-1", "kind": "embed", "model": a.folder.resolve().name, "is_random": False, "dtype": a.dtype, "device": a.device,
             "threads": a.threads, "processor": processor(), "git": git_version(), "varied": False, "n_warmups": 0,
             "machine": {"system": f"{platform.system()} {platform.release()} {platform.machine()}", "cores": os.cpu_count(),
                         "compiler": f"Python {platform.python_version()}"},
             "reference": f"sentence-transformers {reference.version}, cpu float32", "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    print(f"{about['model']}, {a.device} {a.dtype}; " + ", ".join(f"{e.name} {e.version}" for e in engines))
    print("chars batch  engine                   median ms       p10       p90     error  time / Tern's [p10 p90]")
    corpus = (ROOT / "src" / "bench" / "text.txt").read_text(encoding="utf-8")
    for chars in a.chars:
        for batch in a.batch:
            texts = [corpus[:chars]] * batch
            rows, samples = measure(engines, texts, np.asarray(reference.run(texts), np.float32), bound, a.seconds, a.runs)
            for engine in engines:
                row = {**about, "engine": engine.name, "engine_version": engine.version, "chars": chars, "batch": batch, "n_iterations": a.runs,
                       **rows[engine.name]}
                ratio = ""
                if engine.name in samples:
                    row |= {"n_iterations": len(samples[engine.name]), **statistics_of(samples[engine.name])}
                    row |= {"texts_per_s": 1e3 * batch / row["median_ms"], "iterations_ms": [1e3 * s for s in samples[engine.name]]}
                    if "tern" in samples and engine.name != "tern":
                        r = row["ratio"] = ratio_of(samples[engine.name], samples["tern"])
                        ratio = f"  {r['median']:5.2f} [{r['p10']:.2f} {r['p90']:.2f}]"
                if row["status"] == "ok":
                    print(f"{chars:5} {batch:5}  {engine.name:22} {row['median_ms']:9.2f} {row['p10_ms']:9.2f} {row['p90_ms']:9.2f}  "
                          f"{row['reference_error']:8.1e}{ratio}", flush=True)
                else:
                    print(f"{chars:5} {batch:5}  {engine.name:22} {row['status']}: {row['message']}", flush=True)
                if a.output:
                    with open(a.output, "a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
