#!/usr/bin/env python3
"""bench_start.py - from process start to the first vector: `tern embed MODEL "text"`, wall time and peak resident memory, with the model
file in the page cache; with --peer, sentence-transformers in a fresh Python process doing the same.

    python bench/peers/bench_start.py [--model FOLDER] [--tern build/release/tern] [--runs 20] [--peer]

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = "The ferry leaves the harbour at half past seven."
PEER = """
import sys
from sentence_transformers import SentenceTransformer
print(SentenceTransformer(sys.argv[1], device="cpu").encode([sys.argv[2]])[0, :4])
"""


def run_once(command):
    """Wall seconds and peak resident bytes of one process: from before fork to after wait."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]}: exit {process.returncode}: {errors.decode()}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(name, command, runs, model_bytes):
    run_once(command)  # the page cache
    results = [run_once(command) for _ in range(runs)]
    times = sorted(seconds * 1e3 for seconds, _ in results)
    peak = max(size for _, size in results)
    row = {"what": "start_to_first_vector", "engine": name, "runs": runs, "median_ms": times[len(times) // 2], "min_ms": times[0],
           "p10_ms": times[len(times) // 10], "p90_ms": times[len(times) * 9 // 10], "peak_bytes": peak,
           "peak_over_model_file": peak / model_bytes}
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--tern", type=Path, default=ROOT / "build" / "release" / "tern")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--peer", action="store_true")
    a = parser.parse_args()
    model_bytes = (a.model / "model.safetensors").stat().st_size
    measure("tern", [str(a.tern), "embed", str(a.model), TEXT], a.runs, model_bytes)
    if a.peer:
        measure("sentence-transformers", [sys.executable, "-c", PEER, str(a.model), TEXT], max(1, a.runs // 5), model_bytes)


main()
