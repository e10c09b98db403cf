#!/usr/bin/env python3
"""Whole tokenizers as well-known models have them, against PyPI's `tokenizers`: 100,000 lines, hard texts, pairs, truncation, text decoded,
and texts of a megabyte.

    TERN_LIBRARY=build/release/src/libtern.so python tests/python/test_tokenizer_pipelines.py [NAME ...]

Environment: TOKENIZER_SEED, SHOWN_FAILURES, as for test_tokenizer_components.py. SPDX-License-Identifier: Apache-2.0
"""
import os
import random
import sys
import time

import tokenizer_configs as configs
import tokenizer_texts as texts
from tokenizer_compare import REPORT, Both
from tokenizer_pipelines import PIPELINES

SEED = int(os.environ.get("TOKENIZER_SEED", "1"))
LINES = 100000
MEGABYTE = 1000000
LONG = {"BERT uncased": MEGABYTE, "RoBERTa": MEGABYTE, "Llama 3": MEGABYTE, "XLM-RoBERTa": MEGABYTE, "Llama 2": MEGABYTE, "Gemma": MEGABYTE}


def compare_decoded(both, rng, n):
    ids = both.known_ids()
    words = texts.lines(n, rng.randrange(2 ** 32))
    for i, text in enumerate(words):
        both.compare_decoded(both.theirs.encode(text).ids, i % 2 == 0)
        both.compare_decoded([rng.choice(ids) for _ in range(rng.randrange(12))], i % 2 == 1)


def test_pipeline(name, whole, n_lines, rng):
    both = Both(whole)
    if not both.loads:
        return
    both.compare_vocabulary(rng, 500)
    pieces = sorted(both.theirs.get_vocab())[::11] + [t["content"] for t in whole["added_tokens"]]
    lines = texts.lines(n_lines, rng.randrange(2 ** 32), pieces)
    both.compare_batch(texts.torture())
    both.compare_batch(lines)
    share = n_lines // 10
    both.compare_batch(lines[:share], lines[share:2 * share])
    both.compare_batch(lines[:share], add_special_tokens=False)
    for start in range(0, share, 50):
        is_pair = rng.random() < 0.5
        cut = [line[: 12 if is_pair else 120] for line in lines[start:start + 50]]  # a pair's pieces are combined, each with each
        both.compare_batch(cut, cut[::-1] if is_pair else None, add_special_tokens=rng.random() < 0.8, **configs.truncation(rng))
    compare_decoded(both, rng, n_lines // 20)
    for text in texts.long_texts(LONG.get(name, 20000)):
        both.compare(text)


def main():
    chosen = sys.argv[1:] or list(PIPELINES)
    for name in chosen:
        start = time.monotonic()
        REPORT.begin(name)
        rng = random.Random(f"{SEED} {name}")
        test_pipeline(name, PIPELINES[name](), LINES // len(PIPELINES), rng)
        print(f"-- {name}: {REPORT.passed[name]} same, {REPORT.failed[name]} different, {time.monotonic() - start:.1f} s", flush=True)
    return REPORT.end()


if __name__ == "__main__":
    sys.exit(main())
