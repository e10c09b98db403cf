#!/usr/bin/env python3
"""bench_ops.py - the operations that MLX's benchmarks measure, by PyTorch and MLX on the CPU (or MLX's GPU), call by call in turns in one
process, at the shapes that an encoder gives them over the grid. Tern's own ops, at the same shapes, are `tern bench ops`.

    python bench/peers/bench_ops.py [--engines torch,mlx] [--chars 50,100,200,500] [--batch 1,16,32] [--iterations 5] [--output F.jsonl]

Inputs are made once, in the engine's memory; a call ends when its result is there (mlx.core.eval), and follows untimed ones of the
same engine, since threads that were asleep take milliseconds to come. Each result is compared with NumPy's in
double precision before anything is timed. Each line of the output is a row of tern bench's form, of kind "op", for `tern report`.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from bench_bert import git_version, processor, statistics_of

HIDDEN, INTERMEDIATE, VOCABULARY = 768, 3072, 4096
BOUND = 1e-5   # of the distance from the reference, over its length
SETTLE = 0.02  # seconds of untimed calls before each timed one
PAUSE = 0.02   # seconds between calls, in which the other engine's threads go to sleep


def erf(x):
    import math
    return np.vectorize(math.erf)(x)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def conv1d(x, w):
    """x [N, L, C], w [out, k, C], zeros around."""
    k = w.shape[1]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (0, 0)))
    return sum(padded[:, i : i + x.shape[1]] @ w[:, i].T for i in range(k))


def conv2d(x, w):
    """x [N, H, W, C], w [out, k, k, C], zeros around."""
    k = w.shape[1]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    return sum(padded[:, i : i + x.shape[1], j : j + x.shape[2]] @ w[:, i, j].T for i in range(k) for j in range(k))


def scatter(table, rows, values):
    out = table.copy()
    np.add.at(out, rows, values)
    return out


def cases(batch, tokens, rng):
    """name -> inputs, NumPy's function, width in, width out."""
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    n = batch * tokens
    x, wide, rows = f(n, HIDDEN), f(n, INTERMEDIATE), rng.integers(0, VOCABULARY, n)
    weight, bias, table = f(INTERMEDIATE, HIDDEN) / 28, f(INTERMEDIATE), f(VOCABULARY, HIDDEN)
    side = max(1, round(tokens ** 0.5))
    return {
        "argmax": ((x,), lambda x: x.argmax(axis=-1), HIDDEN, 1),
        "concatenate": ((x, x), lambda x, y: np.concatenate((x, y), axis=-1), HIDDEN, 2 * HIDDEN),
        "conv1d": ((f(batch, tokens, HIDDEN), f(HIDDEN, 3, HIDDEN) / 48), conv1d, HIDDEN, HIDDEN),
        "conv2d": ((f(batch, side, side, 64), f(64, 3, 3, 64) / 24), conv2d, 64, 64),
        "gather": ((table, rows), lambda table, rows: table[rows], HIDDEN, HIDDEN),
        "scatter": ((table, rows, x), scatter, HIDDEN, HIDDEN),
        "sort": ((x,), lambda x: np.sort(x, axis=-1), HIDDEN, HIDDEN),
        "sum": ((x,), lambda x: x.sum(axis=-1), HIDDEN, 1),
        "softmax": ((x,), softmax, HIDDEN, HIDDEN),
        "sigmoid": ((wide,), lambda x: 1 / (1 + np.exp(-x)), INTERMEDIATE, INTERMEDIATE),
        "relu": ((wide,), lambda x: np.maximum(x, 0), INTERMEDIATE, INTERMEDIATE),
        "leaky_relu": ((wide,), lambda x: np.where(x > 0, x, 0.01 * x), INTERMEDIATE, INTERMEDIATE),
        "silu": ((wide,), lambda x: x / (1 + np.exp(-x)), INTERMEDIATE, INTERMEDIATE),
        "gelu": ((wide,), lambda x: x * 0.5 * (1 + erf(x / 2 ** 0.5)), INTERMEDIATE, INTERMEDIATE),
        "matmul": ((x, np.ascontiguousarray(weight.T)), lambda x, w: x @ w, HIDDEN, INTERMEDIATE),
        "linear": ((x, weight, bias), lambda x, w, b: x @ w.T + b, HIDDEN, INTERMEDIATE),
    }


class Torch:
    name = "torch"

    def __init__(self, _device, threads):
        import torch
        torch.set_num_threads(threads)
        self.torch, self.version, self.device = torch, torch.__version__, "cpu"
        f = torch.nn.functional
        self.functions = {
            "argmax": lambda x: x.argmax(-1), "concatenate": lambda x, y: torch.cat((x, y), -1),
            "conv1d": lambda x, w: f.conv1d(x.transpose(1, 2), w.transpose(1, 2), padding="same").transpose(1, 2),
            "conv2d": lambda x, w: f.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), padding="same").permute(0, 2, 3, 1),
            "gather": lambda table, rows: table[rows], "scatter": lambda table, rows, x: table.index_add(0, rows, x),
            "sort": lambda x: x.sort(-1).values, "sum": lambda x: x.sum(-1), "softmax": lambda x: f.softmax(x, -1), "sigmoid": torch.sigmoid,
            "relu": f.relu, "leaky_relu": f.leaky_relu, "silu": f.silu, "gelu": f.gelu, "matmul": torch.matmul, "linear": f.linear}

    def prepare(self, name, inputs):
        function, tensors = self.functions[name], [self.torch.from_numpy(a) for a in inputs]

        def run():
            with self.torch.inference_mode():
                return function(*tensors)
        return run, lambda y: y.numpy()


class Mlx:
    name = "mlx"

    def __init__(self, device, _threads):
        import mlx.core as mx
        import mlx.nn as nn
        mx.set_default_device(getattr(mx, device))
        self.mx, self.version, self.device = mx, mx.__version__, f"mlx:{device}"
        self.functions = {
            "argmax": lambda x: mx.argmax(x, -1), "concatenate": lambda x, y: mx.concatenate((x, y), -1),
            "conv1d": lambda x, w: mx.conv1d(x, w, padding=w.shape[1] // 2), "conv2d": lambda x, w: mx.conv2d(x, w, padding=w.shape[1] // 2),
            "gather": lambda table, rows: table[rows], "scatter": lambda table, rows, x: table.at[rows].add(x), "sort": lambda x: mx.sort(x, -1),
            "sum": lambda x: x.sum(-1), "softmax": lambda x: mx.softmax(x, -1), "sigmoid": mx.sigmoid, "relu": nn.relu,
            "leaky_relu": nn.leaky_relu, "silu": nn.silu, "gelu": nn.gelu, "matmul": mx.matmul, "linear": lambda x, w, b: mx.addmm(b, x, w.T)}

    def prepare(self, name, inputs):
        function, arrays = self.functions[name], [self.mx.array(a) for a in inputs]
        self.mx.eval(arrays)

        def run():
            y = function(*arrays)
            self.mx.eval(y)
            return y
        return run, np.array


ENGINES = {e.name: e for e in (Torch, Mlx)}


def timed(run):
    time.sleep(PAUSE)
    end = time.perf_counter() + SETTLE
    run()
    while time.perf_counter() < end:
        run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def first_call(run, to_numpy, reference):
    start = time.perf_counter()
    try:
        y = run()
        first = time.perf_counter() - start
        error = float(np.linalg.norm(to_numpy(y) - reference) / max(np.linalg.norm(reference), 1e-30))
    except Exception as error:  # noqa: BLE001 - whatever an engine throws is a row
        return {"status": "failed", "message": f"{type(error).__name__}: {error}"[:500]}
    row = {"status": "ok", "message": None, "reference_error": error, "reference_bound": BOUND, "first_ms": first * 1e3}
    if not error <= BOUND:
        row |= {"status": "wrong", "message": f"off by {error:.2g} of its length from the reference, more than {BOUND:g}"}
    return row


def measure(engines, name, inputs, reference, warmup, iterations):
    """engine -> its row's own part."""
    runs = {engine.name: engine.prepare(name, inputs) for engine in engines}
    rows = {n: first_call(*run, reference) for n, run in runs.items()}
    samples = {n: [] for n, row in rows.items() if row["status"] == "ok"}
    for _ in range(warmup + iterations):
        for n in samples:
            samples[n].append(timed(runs[n][0]))
    for n, s in samples.items():
        rows[n] |= {"warmup_ms": [1e3 * x for x in s[:warmup]], "iterations_ms": [1e3 * x for x in s[warmup:]], **statistics_of(s[warmup:])}
    return rows


def main():
    integers = lambda text: [int(x) for x in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engines", default="torch,mlx", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--mlx-device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--chars", type=integers, default=[50, 100, 200, 500])
    parser.add_argument("--batch", type=integers, default=[1, 16, 32])
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--output", type=Path, help="JSON lines are appended to this file")
    a = parser.parse_args()
    engines = [ENGINES[name](a.mlx_device, a.threads) for name in a.engines.split(",")]
    about = {"schema": "tern-bench-1", "kind": "op", "dtype": "float32", "threads": a.threads, "processor": processor(), "git": git_version(),
             "machine": {"system": f"{platform.system()} {platform.release()} {platform.machine()}", "cores": os.cpu_count(),
                         "compiler": f"Python {platform.python_version()}"},
             "reference": f"numpy {np.__version__} in float64", "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    print("op            tokens batch  " + "".join(f"{e.name + ' ' + e.version:>34}" for e in engines) + "   median ms [p10 p90]")
    for chars in a.chars:
        for batch in a.batch:
            tokens = round(chars / 4.5) + 2  # as tern bench ops
            for name, (inputs, function, n_in, n_out) in cases(batch, tokens, np.random.default_rng(3)).items():
                reference = function(*(x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs))
                rows = measure(engines, name, inputs, reference, a.warmup, a.iterations)
                cells = ""
                for engine in engines:
                    row = {**about, "engine": engine.name, "engine_version": engine.version, "device": engine.device, "op": name, "shape": "base",
                           "in": n_in, "out": n_out, "tokens": tokens, "batch": batch, "rows": batch * tokens, **rows[engine.name]}
                    cells += f"{row['median_ms']:14.3f} [{row['p10_ms']:8.3f} {row['p90_ms']:8.3f}]" if row["status"] == "ok" else f"{row['status']:>34}"
                    if a.output:
                        with open(a.output, "a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
                print(f"{name:13} {tokens:6} {batch:5}  {cells}", flush=True)


if __name__ == "__main__":
    main()
