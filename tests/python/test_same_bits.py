#!/usr/bin/env python3
"""test_same_bits.py - every architecture gives a sequence the same bytes, in every layer and in its head, alone, in a batch and in shuffled
batches, with 1 and 2 threads, at every ISA level of this machine. test_parity.py shows the same of texts of a real model.

Environment: as test_parity.py. The last line is "N passed, M failed". scripts/golden.py and
scripts/golden-pipelines.py wrote the checkpoints. SPDX-License-Identifier: Apache-2.0
"""
import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import test_parity as parity

N_SEQUENCES = 18
# An encoder of each architecture, where it has them with a window, with buckets of distance, with a pad id that is not 0.
ENCODERS = ("gelu-1-layer", "roberta-3", "camembert-1", "xlm-roberta-2", "electra-2", "distilbert-2", "albert-2", "mpnet-1",
            "modernbert-2", "deberta-v2-1", "deberta-v2-conv-2", "nomic_bert-2")
CLASSES = ("Bert", "Roberta", "Camembert", "XLMRoberta", "Electra", "DistilBert", "Albert", "MPNet", "ModernBert", "DebertaV2",
           "NomicBert")
HEADS = ("ForMaskedLM-1", "ForSequenceClassification-1")  # one answer a token, one a sequence


class Case:
    def __init__(self, folder):
        self.folder = folder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.pad = config.get("pad_token_id") or 0
        longest = min(config["max_position_embeddings"] - 8, 140)
        rng = random.Random(folder.name)
        lengths = [1, longest] + [rng.randint(2, longest) for _ in range(N_SEQUENCES - 2)]
        self.sequences = [[rng.randint(5, config["vocab_size"] - 1) for _ in range(n)] for n in lengths]

    def batch(self, numbers):
        width = max(len(self.sequences[i]) for i in numbers)
        ids = np.full((len(numbers), width), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, i in enumerate(numbers):
            ids[row, : len(self.sequences[i])] = self.sequences[i]
            mask[row, : len(self.sequences[i])] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def run(self, numbers, level, threads, scratch):
        """The bytes of each of these sequences, by output."""
        out = parity.forward(self.folder, self.batch(numbers), scratch, "--hidden-states", "--isa", level, "--threads", threads)
        return [{name: (a[row, : len(self.sequences[i])] if a.ndim == 3 else a[row]).tobytes() for name, a in out.items()}
                for row, i in enumerate(numbers)]


def first_different(found, expected):
    return next((f"; sequence {i}, {name}" for i, row in enumerate(expected) for name in row if found[i].get(name) != row[name]), "")


def check_case(case, level, scratch):
    together = case.run(range(N_SEQUENCES), level, 1, scratch)
    outputs = sorted(name for name in together[0] if not name.startswith("hidden_states."))
    rng = random.Random(1)
    ways = {"2 threads": case.run(range(N_SEQUENCES), level, 2, scratch),
            "alone": [case.run([i], level, 1 + i % 2, scratch)[0] for i in range(N_SEQUENCES)]}
    for threads in (1, 2):
        order = rng.sample(range(N_SEQUENCES), N_SEQUENCES)
        rows = {}
        for at in range(0, N_SEQUENCES, 5):
            rows |= dict(zip(order[at : at + 5], case.run(order[at : at + 5], level, threads, scratch)))
        ways[f"shuffled, batches of 5, {threads} threads"] = [rows[i] for i in range(N_SEQUENCES)]
    wrong = [f"{way}{first_different(rows, together)}" for way, rows in ways.items() if rows != together]
    parity.check(not wrong, f"same bits, {case.folder.name} ({', '.join(outputs)}), {level}{': ' if wrong else ''}{'; '.join(wrong)}")


def main():
    cases = [Case(parity.GOLDEN / "tiny" / name) for name in ENCODERS]
    cases += [Case(parity.GOLDEN / "heads" / (name + head)) for name in CLASSES for head in HEADS]
    with tempfile.TemporaryDirectory() as scratch:
        for level in parity.levels_here():
            for case in cases:
                parity.guarded(check_case, case, level, Path(scratch))
    print(f"{parity.counts['passed']} passed, {parity.counts['failed']} failed")
    return parity.counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
