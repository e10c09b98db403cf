#!/usr/bin/env python3
"""bench_cuda.py - a BERT checkpoint on one NVIDIA GPU: Tern's CUDA device beside PyTorch, eager and compiled (reduce-overhead), calls
interleaved in one process. Both go from ids in host memory to the pooled vectors (pooler_output) in host memory; no padding, so PyTorch
needs no mask. With --mixed, lengths vary and PyTorch gets the padded batch and its mask.

    bench_cuda.py FOLDER --rows 12x1,23x32,103x128 --dtype bfloat16 [--engines tern,eager,compiled] [--rounds 50]

Prints a line a row and engine: median milliseconds [10th, 90th percentile], the median of its time over Tern's call by call, and the
largest difference from the first PyTorch engine, or without one from the first. --output appends rows of tern bench's form, of kind
"forward", in which `tokens` of the longest text stands for its characters. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import ctypes
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tern  # noqa: E402
from bench_bert import git_version, processor, ratio_of, statistics_of  # noqa: E402


class Tern:
    def __init__(self, folder, dtype, library, device):
        self.library = tern.Library(library)
        options, err = self.library.c.tern_model_options_default(), tern.Error()
        options.device, options.dtype = device.encode(), dtype.encode()
        self.handle = ctypes.c_void_p()
        start = time.perf_counter()
        self.library.check(self.library.c.tern_model_load(ctypes.byref(self.handle), str(folder).encode(), ctypes.byref(options),
                                                          ctypes.byref(err)), err)
        self.load_seconds = time.perf_counter() - start
        self.version = self.library.version()
        self.hidden_size = self.library.c.tern_model_get_info(self.handle).hidden_size

    def prepare(self, ids, mask):
        out = np.empty((len(ids), self.hidden_size), np.float32)
        types, err = np.zeros_like(ids), tern.Error()
        inputs = tern.ForwardInputs(*ids.shape, ids.ctypes.data, mask.ctypes.data, types.ctypes.data)
        output = tern.ForwardOutput(b"pooler_output", out.ctypes.data)
        keep = (ids, mask, types)

        def run():
            assert keep
            self.library.check(self.library.c.tern_model_forward(self.handle, ctypes.byref(inputs), ctypes.byref(output), 1,
                                                                 ctypes.byref(err)), err)
            return out
        return run


class PyTorch:
    def __init__(self, folder, dtype, compiled):
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        self.torch, self.version = torch, torch.__version__
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
        if dtype == "tf32":
            torch.set_float32_matmul_precision("high")
        kind = {"tf32": torch.float32}.get(dtype) or getattr(torch, dtype)
        self.model = transformers.BertModel.from_pretrained(folder, dtype=kind).eval().cuda()
        self.call = torch.compile(self.model, mode="reduce-overhead", dynamic=False) if compiled else self.model

    def prepare(self, ids, mask):
        torch = self.torch
        ids = torch.from_numpy(ids).pin_memory()
        masked = not mask.all()
        mask = torch.from_numpy(mask).pin_memory()

        def run():
            with torch.inference_mode():
                arguments = {"attention_mask": mask.to("cuda", non_blocking=True)} if masked else {}
                return self.call(input_ids=ids.to("cuda", non_blocking=True), **arguments).pooler_output.float().cpu().numpy()
        return run


def batch_of(row, mixed, vocabulary, rng):
    tokens, batch = (int(n) for n in row.split("x"))
    ids = rng.integers(1, vocabulary, (batch, tokens), dtype=np.int64)
    mask = np.ones_like(ids)
    if mixed:  # lengths of which few are long: the mean is about 0.35 of the longest
        lengths = np.clip((tokens * rng.beta(1.5, 2.8, batch)).astype(int), 3, tokens)
        lengths[0] = tokens
        for i, n in enumerate(lengths):
            ids[i, n:] = 0
            mask[i, n:] = 0
    return ids, mask


def append_rows(options, engines, ids, mask, times, first, errors):
    """A row for each engine: times in seconds, errors relative and absolute."""
    about = {"schema": "tern-bench-1", "kind": "forward", "model": Path(options.folder).resolve().name, "dtype": options.dtype,
             "device": options.device, "processor": processor(), "git": git_version(), "varied": options.mixed, "status": "ok", "message": None,
             "machine": {"system": f"{platform.system()} {platform.release()} {platform.machine()}", "cores": os.cpu_count(),
                         "compiler": f"Python {platform.python_version()}"},
             "reference": f"{errors['reference']} {options.dtype}", "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
             "chars": ids.shape[1], "batch": ids.shape[0], "tokens": int(mask.sum()), "longest_tokens": ids.shape[1],
             "padding_waste": 1 - float(mask.mean())}
    with open(options.output, "a", encoding="utf-8") as file:
        for name, seconds in times.items():
            line = {**about, "engine": {"eager": "torch", "compiled": "torch-compile"}.get(name, name), "engine_version": engines[name].version,
                    "first_ms": 1e3 * first[name], "n_iterations": len(seconds), **statistics_of(seconds), "reference_bound": 1e-1,
                    "reference_error": errors[name][0], "max_abs_error": errors[name][1], "iterations_ms": [1e3 * s for s in seconds]}
            line |= {"texts_per_s": 1e3 * len(ids) / line["median_ms"], "tokens_per_s": 1e3 * line["tokens"] / line["median_ms"]}
            if name != "tern" and "tern" in times:
                line["ratio"] = ratio_of(seconds, times["tern"])
            file.write(json.dumps(line) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--rows", default="12x1,23x1,23x32,103x128")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--engines", default="tern,eager,compiled")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--library", default=None)
    parser.add_argument("--output", type=Path, help="JSON lines are appended to this file")
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    makers = {"tern": lambda: Tern(options.folder, options.dtype, options.library, options.device),
              "eager": lambda: PyTorch(options.folder, options.dtype, False),
              "compiled": lambda: PyTorch(options.folder, options.dtype, True)}
    engines = {name: makers[name]() for name in options.engines.split(",")}
    if "tern" in engines:
        print(f"tern: loaded in {engines['tern'].load_seconds:.2f} s")
    for row in options.rows.split(","):
        ids, mask = batch_of(row, options.mixed, 30000, rng)
        runs = {name: engine.prepare(ids, mask) for name, engine in engines.items()}
        results, first = {}, {}
        for name, run in runs.items():
            start = time.perf_counter()
            for _ in range(4):
                results[name] = np.array(run())
                first[name] = first.get(name, time.perf_counter() - start)
            print(f"{row} {name}: first four calls {time.perf_counter() - start:.2f} s", file=sys.stderr)
        times = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
        chosen = next((n for n in ("eager", "compiled") if n in results), next(iter(results)))
        reference = results[chosen]
        errors = {n: (float(np.linalg.norm(y - reference) / np.linalg.norm(reference)), float(np.abs(y - reference).max()))
                  for n, y in results.items()}
        if options.output:
            append_rows(options, engines, ids, mask, times, first, {**errors, "reference": chosen})
        for name, t in times.items():
            t = 1e3 * np.array(t)
            ratio = f"{np.median(t / (1e3 * np.array(times['tern']))):6.2f} of tern's" if "tern" in times else ""
            print(f"{options.dtype:9} {row:8} {int(mask.sum()):6} tokens {name:9} {np.median(t):8.3f} ms "
                  f"[{np.percentile(t, 10):.3f} {np.percentile(t, 90):.3f}] {ratio}, difference to {chosen} {errors[name][1]:.1e}", flush=True)


if __name__ == "__main__":
    main()
