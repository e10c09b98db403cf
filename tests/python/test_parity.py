#!/usr/bin/env python3
"""test_parity.py - `tern forward` and `tern embed` against the golden files of transformers and sentence-transformers, layer by layer,
at every ISA level of this machine and with 1 and 2 threads; and that a text's vector has the same bits whatever it is batched with.
With --device mlx:cpu (or another) the same on that device, within its bounds; a device that is absent is said, and nothing is counted.

Environment: TERN_COMMAND (default build/release/tern), TERN_TEST_MODEL (default models/all-MiniLM-L6-v2).
The last line is "N passed, M failed". scripts/golden.py wrote the files. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
TERN = os.environ.get("TERN_COMMAND", str(ROOT / "build" / "release" / "tern"))
MODEL = os.environ.get("TERN_TEST_MODEL", str(ROOT / "models" / "all-MiniLM-L6-v2"))
# Both sides compute in float32 with sums in their own order. The golden files themselves are up to 3.9e-6 away from float64. Other
# devices than the CPU sum as their libraries do.
BOUNDS = {"cpu": 2e-5, "other": 5e-5}
EMBEDDING_BOUNDS = {"cpu": 2e-6, "other": 5e-6}  # of unit vectors, whose components are about 0.05
LEVELS = ("scalar", "avx2", "avx512")
BATCH = 16

counts = {"passed": 0, "failed": 0}


class Run(NamedTuple):
    """How tern is run: for people, and for tern."""
    name: str
    options: tuple
    bound: float
    embedding_bound: float


def check(ok, what):
    counts["passed" if ok else "failed"] += 1
    print(f"{'ok    ' if ok else 'FAILED'} {what}", flush=True)


def tern(*arguments, stdin=None):
    result = subprocess.run([TERN, *map(str, arguments)], input=stdin, capture_output=True, timeout=600)
    if result.returncode != 0:
        raise RuntimeError(f"tern {' '.join(map(str, arguments))[:200]}: exit {result.returncode}: {result.stderr.decode()[:1000]}")
    return result.stdout


def levels_here():
    """The ISA levels that this processor can run: those up to the one that `tern info` names."""
    best = json.loads(tern("info", MODEL, "--json"))["isa"]
    if best not in LEVELS:
        return [best]
    return list(LEVELS[: LEVELS.index(best) + 1])


def forward(folder, inputs, scratch, *options):
    save_file(inputs, scratch / "in.safetensors")
    (scratch / "out.safetensors").unlink(missing_ok=True)
    tern("forward", folder, "--inputs", scratch / "in.safetensors", "--output", scratch / "out.safetensors", *options)
    return load_file(scratch / "out.safetensors")


def difference(a, b):
    """Largest absolute difference; infinite when shapes differ or a value is not finite."""
    if a.shape != b.shape or a.dtype != np.float32 or not np.isfinite(a).all():
        return float("inf")
    return float(np.abs(a.astype(np.float64) - b).max(initial=0))


def first_different(ladder, bound):
    """Of (name, difference), from the bottom up: the first over the bound, for the message."""
    return next((f"; the first that differs is {name}: {d:.3g}" for name, d in ladder if not d <= bound), "")


# ---- Tiny checkpoints ---------------------------------------------------------------------------------------------------------

def layer_order(name):
    return int(name.split(".")[1]) if name.startswith("hidden_states.") else {"last_hidden_state": 1000, "pooler_output": 1001}[name]


def check_tiny(folder, run, scratch):
    inputs, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    found = forward(folder, inputs, scratch, "--hidden-states", *run.options)
    if set(found) != set(expected):
        check(False, f"tiny {folder.name}, {run.name}: outputs {sorted(found)}, not {sorted(expected)}")
        return 0.0
    ladder = [(name, difference(found[name], expected[name])) for name in sorted(expected, key=layer_order)]
    worst = max(d for _, d in ladder)
    padding = inputs["attention_mask"] == 0
    zeros = all(not found[name][padding].any() for name in found if name != "pooler_output")
    check(worst <= run.bound and zeros,
          f"tiny {folder.name}, {run.name}: {worst:.2e}{first_different(ladder, run.bound)}{'' if zeros else '; padding is not zero'}")
    return worst


def check_head(folder, run, scratch):
    """Every output that the file has; tern gives the hidden states beside."""
    inputs, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    found = forward(folder, inputs, scratch, *run.options)
    missing = sorted(set(expected) - set(found))
    worst = max(difference(found[name], expected[name]) for name in expected) if not missing else float("inf")
    check(worst <= run.bound, f"head {folder.name}, {run.name}: {worst:.2e}{f'; without {missing}' if missing else ''}")
    return worst


# ---- MiniLM -------------------------------------------------------------------------------------------------------------------

class MiniLM:
    """The golden sequences, and what is known of each."""

    def __init__(self):
        self.golden = load_file(GOLDEN / "minilm" / "golden.safetensors")
        self.texts = [t["text"] for t in json.loads((GOLDEN / "minilm" / "texts.json").read_text(encoding="utf-8"))]
        start = self.golden["row_start"]
        self.sequences = [self.golden["input_ids"][a:b] for a, b in zip(start[:-1], start[1:])]
        sequence_of = np.searchsorted(start, self.golden["row_index"], side="right") - 1
        self.known = [np.flatnonzero(sequence_of == i) for i in range(len(self.sequences))]  # rows of golden["rows"]
        self.position = self.golden["row_index"] - start[sequence_of]

    def batch(self, numbers):
        """A padded batch of these sequences, as Hugging Face has them."""
        width = max(len(self.sequences[i]) for i in numbers)
        ids = np.zeros((len(numbers), width), np.int64)
        mask = np.zeros_like(ids)
        for row, i in enumerate(numbers):
            ids[row, : len(self.sequences[i])] = self.sequences[i]
            mask[row, : len(self.sequences[i])] = 1
        return {"input_ids": ids, "attention_mask": mask}


def check_minilm_rows(data, numbers, run, scratch):
    """last_hidden_state of every chosen row, in batches of like length."""
    worst, where = 0.0, ""
    ordered = sorted(numbers, key=lambda i: len(data.sequences[i]))
    for at in range(0, len(ordered), BATCH):
        group = ordered[at : at + BATCH]
        out = forward(MODEL, data.batch(group), scratch, *run.options)["last_hidden_state"]
        for row, i in enumerate(group):
            known = data.known[i]
            d = difference(out[row, data.position[known]], data.golden["rows"][known])
            if not d <= worst:
                worst, where = d, f"sequence {i}, {len(data.sequences[i])} tokens"
    check(worst <= run.bound, f"MiniLM last_hidden_state, {len(numbers)} sequences, {run.name}: {worst:.2e} ({where})")
    return worst


def check_minilm_layers(data, run, scratch):
    numbers = data.golden["layer_sequence"]
    batch = data.batch(numbers)
    out = forward(MODEL, batch, scratch, "--hidden-states", *run.options)
    names = sorted((n for n in data.golden if n.startswith("hidden_states.")), key=layer_order)
    kept = batch["attention_mask"] == 1
    ladder = [(n, difference(out[n][kept], data.golden[n])) for n in names]
    worst = max(d for _, d in ladder)
    what = f"MiniLM, {len(names)} layers of {len(numbers)} sequences, {run.name}"
    check(worst <= run.bound, f"{what}: {worst:.2e}{first_different(ladder, run.bound)}")
    return worst


def embed_npy(texts, scratch, *options):
    path = scratch / "out.npy"
    path.unlink(missing_ok=True)
    tern("embed", MODEL, "--output", path, *options, "--", *texts)
    return np.load(path)


def embed_json(texts, *options):
    return [json.loads(line) for line in tern("embed", MODEL, "--json", *options, "--", *texts).decode().splitlines()]


def check_embeddings(data, numbers, run, scratch):
    texts = [data.texts[i] for i in numbers]
    expected = data.golden["embeddings"][numbers]
    found = embed_npy(texts, scratch, *run.options)
    d = difference(found, expected)
    check(d <= run.embedding_bound, f"MiniLM embeddings, {len(texts)} texts to .npy, {run.name}: {d:.2e}")
    return d


def check_json_embeddings(data, scratch):
    lines = embed_json(data.texts)
    check([line["index"] for line in lines] == list(range(len(data.texts))), "embed --json: one line a text, in order")
    check([line["n_tokens"] for line in lines] == data.golden["n_tokens"].tolist(), "embed --json: n_tokens, cut at 256")
    vectors = np.array([line["embedding"] for line in lines], np.float32)
    d = difference(vectors, data.golden["embeddings"])
    check(d <= EMBEDDING_BOUNDS["cpu"], f"MiniLM embeddings, {len(lines)} texts to JSON: {d:.2e}")
    check(vectors.tobytes() == embed_npy(data.texts, scratch).tobytes(), "the JSON numbers are the .npy numbers, bit for bit")


# ---- The same bits ------------------------------------------------------------------------------------------------------------

def check_same_bits(data, level, scratch):
    """64 texts of 3 to 256 tokens: alone, together, in shuffled batches, with 1 and 2 threads: always the same bytes."""
    rng = random.Random(64)
    numbers = sorted(rng.sample([i for i in range(len(data.texts)) if data.golden["n_tokens"][i] <= 64], 58))
    numbers += [int(i) for i in np.argsort(data.golden["n_tokens"], kind="stable")[-6:]]
    texts = [data.texts[i] for i in numbers]
    together = embed_npy(texts, scratch, "--isa", level, "--threads", 1)
    alone = np.concatenate([embed_npy([t], scratch, "--isa", level, "--threads", 1 + i % 2) for i, t in enumerate(texts)])
    check(alone.tobytes() == together.tobytes(), f"same bits, {level}: {len(texts)} texts alone (1 and 2 threads in turn) and together")
    for threads in (1, 2):
        for size in (64, 7):
            order = rng.sample(range(len(texts)), len(texts))
            parts = [embed_npy([texts[i] for i in order[at : at + size]], scratch, "--isa", level, "--threads", threads)
                     for at in range(0, len(order), size)]
            rows = np.empty_like(together)
            rows[order] = np.concatenate(parts)
            check(rows.tobytes() == together.tobytes(), f"same bits, {level}: shuffled, batches of {size}, {threads} threads")


def guarded(function, *arguments):
    """A check that cannot even run is a failed check; the others go on."""
    try:
        return function(*arguments) or 0.0
    except (RuntimeError, OSError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
        check(False, f"{function.__name__}: {type(error).__name__}: {error}")
        return float("inf")


def check_batching(data, run, scratch):
    """A device whose library chooses kernels by size: texts alone and together differ by rounding only."""
    texts = data.texts[::24]
    together = embed_npy(texts, scratch, *run.options)
    d = difference(np.concatenate([embed_npy([t], scratch, *run.options) for t in texts]), together)
    check(d <= run.embedding_bound, f"{run.name}: {len(texts)} texts alone and together: {d:.2e}")


class Suite:
    """The golden files, and the largest difference of each kind."""

    def __init__(self, scratch):
        self.data, self.scratch = MiniLM(), scratch
        self.worst = {"tiny": 0.0, "head": 0.0, "MiniLM": 0.0, "embedding": 0.0}

    def run(self, run, sequences, with_heads):
        """Everything, with these of MiniLM's sequences."""
        def note(kind, function, *arguments):
            self.worst[kind] = max(self.worst[kind], guarded(function, *arguments, run, self.scratch))

        for case in sorted(p for p in (GOLDEN / "tiny").iterdir() if p.is_dir()):
            note("tiny", check_tiny, case)
        for case in sorted((GOLDEN / "heads").iterdir()) if with_heads else []:
            note("head", check_head, case)
        note("MiniLM", check_minilm_layers, self.data)
        note("MiniLM", check_minilm_rows, self.data, sequences)
        note("embedding", check_embeddings, self.data, [i for i in sequences if i < len(self.data.texts)])

    def some(self, step):
        """Sequences for what is slow: every step-th, and the longest."""
        return [*range(0, len(self.data.sequences), step), int(np.argmax([len(s) for s in self.data.sequences]))]

    def run_cpu(self):
        levels = levels_here()
        print(f"ISA levels here: {', '.join(levels)}")
        for level in levels:
            for threads in (1, 2):
                run = Run(f"{level}, {threads} threads", ("--isa", level, "--threads", threads), BOUNDS["cpu"], EMBEDDING_BOUNDS["cpu"])
                self.run(run, self.some(6) if level == "scalar" else range(len(self.data.sequences)), threads == 1)
        guarded(check_json_embeddings, self.data, self.scratch)
        for level in levels[1:] or levels:
            guarded(check_same_bits, self.data, level, self.scratch)

    def run_device(self, device):
        run = Run(device, ("--device", device), BOUNDS["other"], EMBEDDING_BOUNDS["other"])
        self.run(run, self.some(16), True)
        guarded(check_batching, self.data, run, self.scratch)


def reason_of_absence(device):
    """None when the device is there."""
    devices = {d["name"]: d for d in json.loads(tern("info", "--json"))["devices"]}
    found = devices.get(device) or devices.get(device.split(":")[0]) or {"present": False, "reason": "tern knows no such device"}
    return None if found["present"] else found["reason"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    absent = reason_of_absence(device)
    if absent is not None:
        print(f"not run: {device} is absent: {absent}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            suite = Suite(Path(folder))
            suite.run_cpu() if device == "cpu" else suite.run_device(device)
        print("largest differences: " + ", ".join(f"{name} {d:.2e}" for name, d in suite.worst.items()))
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
