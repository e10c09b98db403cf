#!/usr/bin/env python3
"""tokenizer.py - Tern and PyPI's `tokenizers` on prose, round by round in turn: WordPiece, byte-level BPE and Unigram with 250,000 entries.

    cmake --build --preset release
    python bench/tokenizer.py [--build build/release] [--rounds 21] [--text FILE] [--models FOLDER ...] [--only NAME]

Needs tokenizers and sentencepiece (tests/python/requirements.txt). The three tokenizers are made in build/bench-tokenizers the first time
(minutes): WordPiece and BPE with 30,000 and 50,000 entries trained on Python's documentation and sources, Unigram as XLM-RoBERTa's with
Precompiled, WhitespaceSplit and Metaspace. --models measures other folders with a tokenizer.json instead.

The text, Python's documentation of its statements (pydoc_data), is cut into lines and into paragraphs. A row is one way to encode all of
them, with special tokens, without truncation: MB/s of Tern, of the library, and how many times as fast Tern is, each the median of the
rounds and its 10th to 90th percentile. MB are 10^6 bytes of UTF-8. In each round one goes right after the other, who is first alternates.
`encode`: a call for each text. `batch N`: one call for all, N threads. Tern is called from C (bench/encode.c), the library from Python:
of encode_batch and encode_batch_fast (which makes no offsets; Tern does) the faster one counts, and is named. That both give the same ids
and offsets is checked first. `load` is reading tokenizer.json. The last rows of `batch 2` compare Tern with itself, on ten times the texts.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))


def spread(values):
    ordered = sorted(values)
    n = len(ordered)
    return ordered[n // 2], ordered[n // 10], ordered[n * 9 // 10]


def shown(values, unit):
    return "%8.1f %s (%.1f .. %.1f)" % (spread(values)[0], unit, *spread(values)[1:])


def documentation():
    from pydoc_data.topics import topics
    return "\n\n".join(topics[name] for name in sorted(topics))


# ---- the three tokenizers --------------------------------------------------------------------------------------------------------

def training_texts():
    import tokenizer_texts
    return documentation().split("\n") + tokenizer_texts.prose()


def made_unigram(size):
    """XLM-RoBERTa's parts around a vocabulary of its size: trained pieces, and pieces of seeded syllables of several scripts."""
    import tokenizer_pipelines as pipelines
    import tokenizer_sentencepiece as spm
    sentences = [t for t in training_texts() if t.strip() and len(t) < 4000]
    pieces, charsmap, _, _ = spm.read(spm.train("unigram", "nmt_nfkc", vocab_size=30000, sentences=sentences))
    rng, known = random.Random(1), {"<s>": 0.0, "<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    known |= {piece: score for piece, score, kind in pieces if kind == 1}
    alphabets = ["aeioubcdfghklmnprstvz", "аеиоукнтрслвмпдб", "αειοτνσρκλπμ", "अआइकतनरसमप", "אבגדהולמנרש", "عالمنتريبو", "가나다라마바사아자",
                 "日本中文国人大学生語"]
    while len(known) < size:
        alphabet = rng.choice(alphabets)
        piece = rng.choice(("▁", "")) + "".join(rng.choice(alphabet) for _ in range(rng.randrange(2, 9)))
        known.setdefault(piece, -9 - 6 * rng.random())
    whole = pipelines.xlm_roberta()
    whole["model"] = {"type": "Unigram", "unk_id": 3, "byte_fallback": False, "vocab": [list(item) for item in known.items()]}
    whole["added_tokens"] = [{**token, "id": list(known).index(token["content"]) if token["content"] in known else size}
                             for token in whole["added_tokens"]]
    whole["normalizer"] = spm.converted_normalizer(charsmap, False)["normalizers"][0]
    return whole


def made_tokenizer(name, folder):
    import tokenizer_pipelines as pipelines
    pipelines.corpus = training_texts
    if name == "WordPiece":
        pipelines.VOCABULARY_SIZE = 30000
        whole = pipelines.bert()
    elif name == "BPE":
        pipelines.VOCABULARY_SIZE = 50000
        whole = pipelines.roberta()
    else:
        whole = made_unigram(250000)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


# ---- measuring -------------------------------------------------------------------------------------------------------------------

class TernRounds:
    """bench/encode.c, waiting for rounds."""

    def __init__(self, program, folder, texts, threads):
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(b"".join(t.encode() + b"\0" for t in texts))
        self.file.flush()
        self.process = subprocess.Popen([program, folder, self.file.name, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def seconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit("bench/encode failed")


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternating(first, second, n_rounds):
    """(seconds of first, of second) of each round."""
    first(), second()
    made = []
    for i in range(n_rounds):
        if i % 2:
            b = second()
            made.append((first(), b))
        else:
            a = first()
            made.append((a, second()))
    return made


def check_agreement(folder, theirs, texts):
    from tern_tokenizer import Tokenizer
    for text, a, b in zip(texts, Tokenizer(folder).encode_batch(texts), theirs.encode_batch(texts)):
        if (a.ids, a.offsets, a.type_ids) != (b.ids, b.offsets, b.type_ids):
            raise SystemExit(f"{folder}: the two differ on {text!r}")


def measure_encoding(program, name, folder, theirs, texts_of, threads, n_rounds):
    for kind, texts in texts_of.items():
        size = sum(len(t.encode()) for t in texts)
        tern = TernRounds(program, folder, texts, threads)
        ways = {"encode": lambda: [theirs.encode(t) for t in texts]}
        if threads:
            ways = {"encode_batch": lambda: theirs.encode_batch(texts), "encode_batch_fast": lambda: theirs.encode_batch_fast(texts)}
        fastest = min(ways, key=lambda w: min(seconds(ways[w]) for _ in range(4)))
        rounds = alternating(tern.seconds, lambda: seconds(ways[fastest]), n_rounds)
        tern.close()
        rates = [[size / r[i] / 1e6 for r in rounds] for i in range(2)]
        print(f"{name:10} {kind:10} {'batch ' + str(threads) if threads else 'encode':8} Tern {shown(rates[0], 'MB/s')}   {fastest} "
              f"{shown(rates[1], 'MB/s')}   {shown([b / a for a, b in rounds], 'times')}", flush=True)


def measure_scaling(program, name, folder, texts_of, n_rounds):
    """Two threads against one, on batches of some megabytes: what is shorter than the machine's own hiccups tells nothing."""
    for kind, texts in texts_of.items():
        one, two = (TernRounds(program, folder, texts * 10, threads) for threads in (1, 2))
        rounds = alternating(one.seconds, two.seconds, n_rounds)
        one.close(), two.close()
        print(f"{name:10} {kind:10} batch 2  Tern {shown([a / b for a, b in rounds], 'times')} its own rate with one thread", flush=True)


def measure(program, name, folder, texts_of, n_rounds, thread_counts):
    import tokenizers
    from tern_tokenizer import Tokenizer
    path = str(folder / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(path)
    theirs.no_truncation()
    theirs.no_padding()
    for texts in texts_of.values():
        check_agreement(folder, theirs, texts)
    for threads in thread_counts:
        measure_encoding(program, name, folder, theirs, texts_of, threads, n_rounds)
    if 2 in thread_counts:
        measure_scaling(program, name, folder, texts_of, n_rounds)
    else:
        rounds = alternating(lambda: seconds(lambda: Tokenizer(folder)), lambda: seconds(lambda: tokenizers.Tokenizer.from_file(path)),
                             max(5, n_rounds // 2))
        print(f"{name:10} load, {theirs.get_vocab_size()} tokens   Tern {shown([a * 1e3 for a, _ in rounds], 'ms')}   tokenizers "
              f"{shown([b * 1e3 for _, b in rounds], 'ms')}   {shown([b / a for a, b in rounds], 'times')}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--text", type=Path, help="UTF-8, instead of Python's documentation")
    parser.add_argument("--models", type=Path, nargs="+")
    parser.add_argument("--only", help="the name of one tokenizer")
    parser.add_argument("--threads", type=int, choices=(1, 2), help=argparse.SUPPRESS)  # of the library: fixed for a process
    a = parser.parse_args()
    folders = {f.name: f for f in a.models} if a.models else {n: ROOT / "build" / "bench-tokenizers" / n for n in ("WordPiece", "BPE",
                                                                                                                   "Unigram")}
    if a.threads is None:
        for name, folder in folders.items():
            if not (folder / "tokenizer.json").exists():
                made_tokenizer(name, folder)
        for threads in ("1", "2"):
            environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true" if threads == "2" else "false", "RAYON_NUM_THREADS": threads,
                           "TERN_LIBRARY": str(a.build / "src" / "libtern.so")}
            subprocess.run([sys.executable, *sys.argv, "--threads", threads], env=environment, check=True)
        return
    text = a.text.read_text(encoding="utf-8") if a.text else documentation()
    texts_of = {"lines": [t for t in text.split("\n") if t], "paragraphs": [t for t in text.split("\n\n") if t]}
    if a.threads == 1:
        import tokenizers
        print(f"{len(text.encode())} bytes, {', '.join(f'{len(t)} {k}' for k, t in texts_of.items())}; tokenizers "
              f"{tokenizers.__version__}; {a.rounds} rounds", flush=True)
    for name, folder in folders.items():
        if not a.only or name == a.only:
            measure(str(a.build / "bench" / "encode"), name, folder, texts_of, a.rounds, (0, 1) if a.threads == 1 else (2,))


if __name__ == "__main__":
    main()
