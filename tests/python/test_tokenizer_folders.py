#!/usr/bin/env python3
"""Model folders without tokenizer.json, in Tern and in PyPI's `transformers` (AutoTokenizer): ids, tokens, offsets, masks, decoded text.

    TERN_LIBRARY=build/release/src/libtern.so python tests/python/test_tokenizer_folders.py

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import random
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import tokenizer_folders as folders  # noqa: E402
import tokenizer_texts as texts  # noqa: E402
from tern_tokenizer import Tokenizer  # noqa: E402
from tokenizer_compare import REPORT, Both, attempt  # noqa: E402

import transformers  # noqa: E402

N_FOLDERS = int(os.environ.get("FOLDERS", "8"))  # of each class


class BothOfFolder(Both):
    """One folder, loaded by both."""

    def __init__(self, files):  # pylint: disable=super-init-not-called
        self.files = files
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
            made, their_error = attempt(lambda: transformers.AutoTokenizer.from_pretrained(folder))
            self.tern, our_error = attempt(Tokenizer, folder)
        self.theirs = made and made.backend_tokenizer
        self.loads, self.with_offsets = self.theirs is not None and self.tern is not None, True
        self.whole = json.loads(self.theirs.to_str()) if self.theirs else {}
        self.name = type(made).__name__
        settings = {name: data.decode() for name, data in files.items() if name.endswith("json") and name != "vocab.json"}
        REPORT.check((self.theirs is None) == (self.tern is None),
                     lambda: f"    {settings}\n    Tern   {our_error or 'loads'}\n    theirs {their_error or 'loads'}")
        if self.theirs is not None:
            self.theirs.no_truncation()
            self.theirs.no_padding()
            self.whole["files"] = settings

    def compare_decoded(self, ids, skip_special_tokens=False):
        """CLIPTokenizer cuts white space of all kinds off the ends; Tern spaces only."""
        if self.name == "CLIPTokenizer" and self.loads:
            ours, theirs = (attempt(lambda which=which: which.decode(ids, skip_special_tokens=skip_special_tokens))[0]
                            for which in (self.tern, self.theirs))
            if ours is not None and ours != theirs and ours.strip() == theirs:
                REPORT.accept("CLIPTokenizer: decoded text may start or end with tabs and newlines")
                return
        super().compare_decoded(ids, skip_special_tokens)


def compare(both, rng, n_lines):
    if not both.loads:
        return
    vocabulary = both.theirs.get_vocab(with_added_tokens=True)
    added = [token["content"] for token in both.whole["added_tokens"]]
    lines = texts.lines(n_lines, rng.randrange(2 ** 32), sorted(vocabulary)[::7] + added)
    both.compare_batch(texts.torture())
    both.compare_batch(lines)
    both.compare_batch(lines[:n_lines // 8], lines[-(n_lines // 8):])
    both.compare_batch(lines[:n_lines // 8], add_special_tokens=False)
    both.compare_batch([a + rng.choice(("", " ", "  ", "x")) + b for a in added for b in rng.sample(added, min(4, len(added)))])
    ids = both.known_ids()
    for text in lines[:n_lines // 10]:
        encoded, _ = attempt(both.theirs.encode, text)  # refused where the unknown token is not in the vocabulary
        both.compare_decoded(encoded.ids if encoded else [], rng.random() < 0.5)
        both.compare_decoded([rng.choice(ids) for _ in range(6)])
    both.compare_vocabulary(rng)


def main():
    only = sys.argv[1:]
    for cls in folders.CLASSES:
        if only and cls.name not in only:
            continue
        start = time.monotonic()
        REPORT.begin(cls.name)
        for number in range(N_FOLDERS):
            rng = random.Random(f"{cls.name} {number}")
            compare(BothOfFolder(folders.folder_files(rng, cls, number == 0)), rng, 300)
        print(f"-- {cls.name}: {REPORT.passed[cls.name]} same, {REPORT.failed[cls.name]} different, {time.monotonic() - start:.1f} s", flush=True)
    print(f"transformers {transformers.__version__}")
    return REPORT.end()


if __name__ == "__main__":
    sys.exit(main())
