#!/usr/bin/env python3
"""Models trained by PyPI's `sentencepiece` with each of its normalisations, converted to tokenizer.json as transformers does it, in Tern
and in `tokenizers`: Precompiled, Unigram and BPE with bytes.

    TERN_LIBRARY=build/release/src/libtern.so python tests/python/test_tokenizer_sentencepiece.py

SPDX-License-Identifier: Apache-2.0
"""
import random
import sys
import time

import tokenizer_configs as configs
import tokenizer_sentencepiece as spm
import tokenizer_texts as texts
from tokenizer_compare import REPORT, Both
from tokenizer_pipelines import metaspace, sequence, template


def compare_all(both, rng, n_lines, with_code_points):
    if not both.loads:
        return
    if with_code_points:
        both.compare_batch(texts.code_point_texts())
    pieces = sorted(both.theirs.get_vocab())[::5]
    lines = texts.lines(n_lines, rng.randrange(2 ** 32), pieces)
    both.compare_batch(texts.torture())
    both.compare_batch(lines)
    cut = [line[:12] for line in lines[:n_lines // 4]]
    both.compare_batch(lines[:n_lines // 8], lines[-(n_lines // 8):])
    both.compare_batch(cut, cut[::-1], **configs.truncation(rng))
    ids = both.known_ids()
    for text in lines[:n_lines // 10]:
        both.compare_decoded(both.theirs.encode(text).ids, rng.random() < 0.5)
        both.compare_decoded([rng.choice(ids) for _ in range(6)])
    both.compare_vocabulary(rng)
    for text in texts.long_texts(20000):
        both.compare(text)


def main():
    for normalization in spm.NORMALIZATIONS:
        start = time.monotonic()
        REPORT.begin(f"sentencepiece, {normalization}")
        rng = random.Random(normalization)
        for byte_fallback in (False, True):
            whole = spm.unigram_json(spm.train("unigram", normalization, byte_fallback=byte_fallback,
                                               user_defined_symbols=["<x>", "foo bar"]))
            compare_all(Both(whole), rng, 2500, False)
            whole["pre_tokenizer"] = sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace())
            whole["post_processor"] = template("<s> $A </s>", "<s> $A </s> </s> $B </s>", {"<s>": 1, "</s>": 2})
            compare_all(Both(whole), rng, 1500, False)
        compare_all(Both(configs.whole(configs.byte_model(), normalizer=whole["normalizer"])), rng, 1500, True)
        compare_all(Both(spm.bpe_json(spm.train("bpe", normalization, byte_fallback=True))), rng, 2500, False)
        name = REPORT.component
        print(f"-- {name}: {REPORT.passed[name]} same, {REPORT.failed[name]} different, {time.monotonic() - start:.1f} s", flush=True)
    return REPORT.end()


if __name__ == "__main__":
    sys.exit(main())
