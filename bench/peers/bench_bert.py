#!/usr/bin/env python3
"""bench_bert.py - one BERT, several engines, one process, interleaved iteration by iteration: from input ids to last_hidden_state.

    python bench/peers/bench_bert.py FOLDER [--engines torch,onnxruntime,tern] [--chars 50,100,200,500] [--batch 1,16,32] [--output F.jsonl]

Texts are the first N characters of src/bench/text.txt, so a row of the grid has no padding and every engine the same work; --varied takes a
different, shorter piece for each text of a batch instead, so that padding is there to be paid for or not. Every engine's output is
compared with PyTorch's before anything is timed; one that is wrong, or fails, has a row that says so, and the others go on. Each line of
the output is a row of tern bench's form, of kind "forward", for `tern report` and `tern bench --compare`. `ratio` of an engine is its time over Tern's, iteration by iteration: above 1, Tern is faster.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tokenizers

from engines import ENGINES, Tern

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAUSE = 0.25        # seconds between calls: the engines' own threads spin for a while after a run (those of Intel's OpenMP, which CTranslate2 has,
                    # for 0.2 s) and must not disturb the next
BOUND = 1e-4        # of the distance from the reference, over its length; float32 engines are within 1e-5 of each other
SETTLE_BELOW = 0.1  # a call shorter than this is timed after one untimed call of the same engine, which wakes its threads


def make_batch(tokenizer, n_chars, batch, varied):
    """int64 [B, T] each: input_ids, attention_mask, token_type_ids."""
    text = (ROOT / "src" / "bench" / "text.txt").read_text(encoding="utf-8")
    pieces = [text[:n_chars]] * batch
    if varied:
        lengths = [max(1, n_chars * (i + 1) // batch) for i in range(batch)]
        pieces = [text[(37 * i) % 400 :][:length] for i, length in enumerate(lengths)]
    rows = [tokenizer.encode(piece).ids for piece in pieces]
    input_ids = np.zeros((batch, max(map(len, rows))), np.int64)
    attention_mask = np.zeros_like(input_ids)
    for i, ids in enumerate(rows):
        input_ids[i, : len(ids)] = ids
        attention_mask[i, : len(ids)] = 1
    return input_ids, attention_mask, np.zeros_like(input_ids)


def timed(engine, inputs, settle):
    time.sleep(PAUSE)
    if settle:
        engine.run(*inputs)
    start = time.perf_counter()
    engine.run(*inputs)
    return time.perf_counter() - start


def median_ranks(n):
    """Ranks, from 1, of the order statistics that enclose the median with at least 95 % confidence, as tern bench takes them."""
    rank, tail = 0, 0.5 ** n
    while 2 * (rank + 1) <= n and 2 * tail <= 0.05:
        rank += 1
        tail += math.comb(n, rank) * 0.5 ** n
    return max(rank, 1), n + 1 - max(rank, 1)


def statistics_of(samples):
    """Milliseconds, under the names of tern bench's rows (docs/BENCHMARK.md)."""
    ms = np.sort(np.array(samples) * 1e3)
    low, high = median_ranks(len(ms))
    p10, median, p90, p99 = np.percentile(ms, [10, 50, 90, 99])
    return {"median_ms": median, "median_low_ms": ms[low - 1], "median_high_ms": ms[high - 1], "p10_ms": p10, "p90_ms": p90, "p99_ms": p99,
            "min_ms": ms[0], "max_ms": ms[-1], "mean_ms": statistics.fmean(ms), "sd_ms": statistics.stdev(ms) if len(ms) > 1 else 0.0}


def first_call(engine, inputs, reference):
    """What the first call in this row took and how far it is from the reference; a failure is told, and does not end the run."""
    start = time.perf_counter()
    try:
        out = engine.run(*inputs)
    except Exception as error:  # noqa: BLE001 - whatever an engine throws is a row
        out_of_memory = isinstance(error, MemoryError) or "memory" in str(error).lower()
        return {"status": "out_of_memory" if out_of_memory else "failed", "message": f"{type(error).__name__}: {error}"[:500]}
    first = time.perf_counter() - start
    kept = inputs[1] == 1
    difference = out[kept] - reference[kept]
    error = float(np.linalg.norm(difference) / np.linalg.norm(reference[kept]))
    row = {"status": "ok", "message": None, "first_ms": first * 1e3, "reference_error": error, "reference_bound": BOUND,
           "max_abs_error": float(np.abs(difference).max())}
    if not error <= BOUND:
        row |= {"status": "wrong", "message": f"off by {error:.2g} of its length from the reference, more than {BOUND:g}"}
    return row


def measure_row(engines, inputs, seconds, max_runs):
    """engine name -> the parts of its row, and its samples in seconds: as many for each, in interleaved and rotating order."""
    reference = engines[0].run(*inputs).copy()
    rows = {engine.name: first_call(engine, inputs, reference) for engine in engines}
    engines = [e for e in engines if rows[e.name]["status"] == "ok"]
    settle = {e.name: rows[e.name]["first_ms"] < SETTLE_BELOW * 1e3 for e in engines}
    samples = {e.name: [] for e in engines}
    deadline, run = time.perf_counter() + seconds, 0
    while run < 5 or (run < max_runs and time.perf_counter() < deadline):
        for i in range(len(engines)):
            engine = engines[(i + run) % len(engines)]
            samples[engine.name].append(timed(engine, inputs, settle[engine.name]))
        run += 1
    return rows, samples


def ratio_of(samples, tern):
    r = np.percentile(np.array(samples) / np.array(tern), [10, 50, 90])
    return {"p10": r[0], "median": r[1], "p90": r[2]}


def processor():
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def git_version():
    command = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def show(row):
    ratio = row.get("ratio")
    tail = f"  {ratio['median']:5.2f} [{ratio['p10']:.2f} {ratio['p90']:.2f}]" if ratio else ""
    start = f"{row['chars']:5} {row['longest_tokens']:6} {row['batch']:5}  {row['engine']:18} "
    if row["status"] != "ok":
        print(f"{start}{row['status']}: {row['message']}", flush=True)
        return
    print(f"{start}{row['median_ms']:9.2f} {row['min_ms']:9.2f} {row['p10_ms']:9.2f} {row['p90_ms']:9.2f}  {row['reference_error']:8.1e}{tail}",
          flush=True)


def arguments_of_command():
    integers = lambda text: [int(x) for x in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a BERT checkpoint folder, such as tern init makes")
    parser.add_argument("--engines", default="torch,onnxruntime,tern", help=f"of {', '.join(ENGINES)}; torch is always the reference")
    parser.add_argument("--chars", type=integers, default=[50, 100, 200, 500])
    parser.add_argument("--batch", type=integers, default=[1, 16, 32])
    parser.add_argument("--varied", action="store_true", help="texts of different lengths in a batch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores)
    parser.add_argument("--seconds", type=float, default=15, help="of measuring a row of the grid; at least 5 runs, at most --runs")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2" / "tokenizer.json")
    parser.add_argument("--library", type=Path, help="libtern.so (default: of build/release)")
    parser.add_argument("--isa", help="highest ISA level of Tern")
    parser.add_argument("--cache", type=Path, default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tern-peers",
                        help="folder of the exported ONNX files")
    parser.add_argument("--output", type=Path, help="JSON lines are appended to this file")
    return parser.parse_args()


def main():
    a = arguments_of_command()
    names = ["torch"] + [n for n in a.engines.split(",") if n != "torch"]
    Tern.library_path, Tern.isa = a.library, a.isa
    tokenizer = tokenizers.Tokenizer.from_file(str(a.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    engines = [ENGINES[name](a.folder, a.threads, a.cache) for name in names]
    about = {"schema": "tern-bench-1", "kind": "forward", "model": a.folder.resolve().name, "dtype": "float32", "device": "cpu",
             "threads": a.threads, "processor": processor(), "git": git_version(), "varied": a.varied,
             "machine": {"system": f"{platform.system()} {platform.release()} {platform.machine()}", "cores": os.cpu_count(),
                         "compiler": f"Python {platform.python_version()}"},
             "reference": f"torch eager {engines[0].version}", "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    print(f"{about['model']}, float32, {a.threads} threads, {about['processor']}; " + ", ".join(f"{e.name} {e.version}" for e in engines))
    print("chars tokens batch  engine                median ms    min ms       p10       p90     error  time / Tern's [p10 p90]")
    for n_chars in a.chars:
        for batch in a.batch:
            inputs = make_batch(tokenizer, n_chars, batch, a.varied)
            rows, samples = measure_row(engines, inputs, a.seconds, a.runs)
            tokens = int(inputs[1].sum())
            for engine in engines:
                row = {**about, "engine": engine.name, "engine_version": engine.version, "isa": getattr(engine, "isa", None), "chars": n_chars,
                       "batch": batch, "tokens": tokens, "longest_tokens": inputs[0].shape[1],
                       "padding_waste": 1 - tokens / inputs[0].size, **rows[engine.name]}
                if engine.name in samples:
                    row |= {"n_iterations": len(samples[engine.name]), **statistics_of(samples[engine.name])}
                    row |= {"texts_per_s": 1e3 * batch / row["median_ms"], "tokens_per_s": 1e3 * tokens / row["median_ms"]}
                    if "tern" in samples and engine.name != "tern":
                        row["ratio"] = ratio_of(samples[engine.name], samples["tern"])
                    row["iterations_ms"] = [s * 1e3 for s in samples[engine.name]]
                show(row)
                if a.output:
                    with open(a.output, "a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())
