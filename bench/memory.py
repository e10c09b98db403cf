#!/usr/bin/env python3
"""memory.py - is the memory that `tern info` plans what a run takes? For full-size models with random weights (tern init), the grid of
text lengths and batches; each cell in a process of its own.

    python bench/memory.py [MODEL ...] [--chars 50,100,200,500] [--batch 1,16,32] [--threads N]

planned    packed_bytes + workspace_bytes of tern_model_plan_memory, which is what `tern info MODEL --batch B --tokens T --json` says, for
           the longest of the cell's texts
measured   of /proc/self/status, when the texts are embedded: VmHWM, the peak since before the model was loaded, less VmRSS at that
           moment (Python, numpy and the library were there by then), less what RssFile has grown: weights, activations, tokenizer,
           and whatever of the weight file was in memory while it was packed
file       what RssFile has grown: pages of the mapped weight file that were read, mostly of embedding tables. They are the page cache's,
           shared with other processes and given back when memory is short; how many come with one read is the kernel's choice

MODEL is a name that tern init knows. Checkpoints are made in --folder (default: a temporary one), one at a time, and removed. Prints a
table of Markdown; the exit status is 1 when a cell is off by more than 10%. Linux only. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import ctypes
import multiprocessing
import re
import sys
import tempfile
from ctypes import byref, c_int64, c_void_p
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench" / "peers"))
MODELS = ("bert-large-uncased", "roberta-base", "xlm-roberta-base")
BOUND = 0.10


class MemoryPlan(ctypes.Structure):
    _fields_ = [("mapped_bytes", c_int64), ("packed_bytes", c_int64), ("workspace_bytes", c_int64)]


class EmbedOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("pooling", ctypes.c_int), ("normalize", ctypes.c_int), ("max_batch_tokens", c_int64),
                ("progress", c_void_p), ("user", c_void_p), ("times", c_void_p), ("task", ctypes.c_int), ("prompt", ctypes.c_char_p),
                ("prompt_name", ctypes.c_char_p), ("truncate_dim", ctypes.c_size_t), ("with_windows", ctypes.c_bool),
                ("stride", ctypes.c_size_t), ("n_truncated", c_void_p)]


def status(key):
    return int(re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1]) * 1024


def texts_of(n_chars, n_texts):
    """Texts of exactly n_chars characters, each from another word of the benchmark's text on."""
    text = " ".join((ROOT / "src" / "bench" / "text.txt").read_text(encoding="utf-8").split())
    starts = [0] + [m.end() for m in re.finditer(" ", text)]
    return [(text[starts[7 * i % len(starts)]:] + " " + text)[:n_chars] for i in range(n_texts)]


def measure(folder, n_chars, batch, threads, answer):
    import numpy as np

    import tern
    library, err = tern.Library(), tern.Error()
    texts = [t.encode() for t in texts_of(n_chars, batch)]
    array = (tern.Text * batch)(*(tern.Text(t, len(t)) for t in texts))
    library.c.tern_embed_options_default.restype = EmbedOptions
    options = library.c.tern_embed_options_default()
    assert options.size == ctypes.sizeof(options), "tern_embed_options has changed"
    options.max_batch_tokens = 2**31 - 1  # one batch
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here on
    before, file_before = status("VmRSS"), status("RssFile")
    model = tern.Model(library, folder, threads=threads)
    out, n_tokens = np.empty((batch, model.info.hidden_size), np.float32), np.empty(batch, np.int32)
    for _ in range(2):
        floats, integers = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int32)
        library.check(library.c.tern_model_embed(model.handle, array, batch, byref(options), out.ctypes.data_as(floats),
                                                 n_tokens.ctypes.data_as(integers), byref(err)), err)
    file = status("RssFile") - file_before
    measured = status("VmHWM") - before - file
    plan = MemoryPlan()
    library.c.tern_model_plan_memory.argtypes = [c_void_p, c_int64, c_int64, ctypes.POINTER(MemoryPlan), ctypes.POINTER(tern.Error)]
    library.check(library.c.tern_model_plan_memory(model.handle, batch, int(n_tokens.max()), byref(plan), byref(err)), err)
    assert np.isfinite(out).all()
    answer.put({"tokens": int(n_tokens.max()), "packed": plan.packed_bytes, "workspace": plan.workspace_bytes,
                "planned": plan.packed_bytes + plan.workspace_bytes, "measured": measured, "file": file, "version": library.version(),
                "threads": model.info.threads, "isa": model.info.isa.decode()})


def cell(*arguments):
    """measure() in a new process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=measure, args=(*arguments, answer))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"memory.py: {arguments}: exit {process.exitcode}")
    return answer.get()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS)
    parser.add_argument("--chars", default="50,100,200,500")
    parser.add_argument("--batch", default="1,16,32")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    a = parser.parse_args()
    worst = 0.0
    import tern
    print("| model | characters | batch | tokens | packed MB | workspace MB | planned MB | measured MB | measured / planned | file MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in a.models:
        with tempfile.TemporaryDirectory(dir=a.folder) as scratch:
            folder = Path(scratch) / "model"
            tern.Library().init_checkpoint(name, 1, folder)
            for n_chars in map(int, a.chars.split(",")):
                for batch in map(int, a.batch.split(",")):
                    row = cell(folder, n_chars, batch, a.threads)
                    ratio = row["measured"] / row["planned"]
                    worst = max(worst, abs(ratio - 1))
                    sizes = " | ".join(f"{row[key] / 1e6:.1f}" for key in ("packed", "workspace", "planned", "measured"))
                    print(f"| {name} | {n_chars} | {batch} | {row['tokens']} | {sizes} | {ratio:.3f} | {row['file'] / 1e6:.1f} |", flush=True)
    print(f"\ntern {row['version']}, {row['isa']}, {row['threads']} threads; furthest from the plan: {worst:.1%}")
    return worst > BOUND


if __name__ == "__main__":
    sys.exit(main())
