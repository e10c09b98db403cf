"""tokenizer_compare.py - one tokenizer.json in Tern and in PyPI's `tokenizers`, and everything that both say about texts, compared.

Nothing may differ. ACCEPTED lists what Tern does otherwise on purpose. SPDX-License-Identifier: Apache-2.0
"""
import faulthandler
import json
import os
import sys
import tempfile

# The library panics where it refuses an argument, and then prints to standard error by itself: that goes nowhere, Python's own stays.
os.environ["RUST_BACKTRACE"] = "0"
sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
faulthandler.enable(sys.stderr)

import tokenizers  # noqa: E402
from tern_tokenizer import Tokenizer  # noqa: E402

SHOWN_FAILURES = int(os.environ.get("SHOWN_FAILURES", "1"))  # of a component


def spells_affixes(model):
    return (model.get("byte_fallback") and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")) and
            any(token.startswith("<0x") for token in model["vocab"]))


def makes_of_nothing(both):
    """A Replace in the normalizer, and text at an empty place before the first character."""
    if '"Replace"' not in json.dumps(both.whole["normalizer"]):
        return False
    for text in ("a", " "):  # a pattern may see what follows
        encoding = attempt(lambda text=text: both.theirs.encode(text, add_special_tokens=False))[0]
        if encoding is None or (0, 0) in encoding.offsets:
            return True
    return False


# What differs on purpose, each with the function that tells when: (Both, is_pair, add_special_tokens, options) -> bool. Nothing is compared
# then; REPORT counts how often. docs/ARCHITECTURE.md gives the reasons.
ACCEPTED = {
    "a stride over max_length less the special tokens: the library refuses the setting, Tern the text that it cannot cut so":
        lambda both, is_pair, add_special_tokens, options: both.refuses_truncation(**options),
    "the library gives more than max_length ids when there are more special tokens; Tern refuses":
        lambda both, is_pair, add_special_tokens, options: add_special_tokens and options and
        both.theirs.num_special_tokens_to_add(is_pair) > options["max_length"],
    "Replace makes text of nothing before the text: the library has that twice where pre-tokenizers cut it off and change it":
        lambda both, is_pair, add_special_tokens, options: both.whole["pre_tokenizer"] and makes_of_nothing(both),
}

# Faults of the library itself: it panics where Tern has an answer. What it says -> when.
PANICS = {
    "index out of bounds": "panic: Strip decodes a token shorter than what it strips; Replace finds nothing at all at the end of a text",
    "slice index starts at": "panic: Strip decodes a token shorter than what it strips",
    "AddedVocabulary bad split": "panic: an added token takes the spaces before it, which the one before has taken",
}

# Files that the library loads and Tern refuses: what Tern says -> when.
REFUSALS = {
    "of which the normalizer leaves nothing": "an added token that normalises to nothing is refused",
    "in a pattern is not supported": "patterns with \\X, \\y, \\Y or one of Unicode's rarer properties are refused",
}
AFFIXES = "byte_fallback with a prefix or suffix of words: the library gives their bytes offsets that the text lacks (offsets not compared)"
AMBIGUOUS = "of two added tokens that normalise to the same text the first wins; the library takes either, from run to run"


class Report:
    """Counts comparisons, by component; prints the first failure of each."""

    def __init__(self):
        self.passed, self.failed, self.accepted = {}, {}, {}
        self.component = ""

    def begin(self, component):
        self.component = component
        self.passed.setdefault(component, 0)
        self.failed.setdefault(component, 0)

    def check(self, is_same, describe=lambda: ""):
        """One comparison. `describe` is called when it fails and is to be shown."""
        (self.passed if is_same else self.failed)[self.component] += 1
        if not is_same and self.failed[self.component] <= SHOWN_FAILURES:
            print(f"DIFFERENT: {self.component}\n{describe()}", flush=True)
        return is_same

    def accept(self, name):
        self.accepted[name] = self.accepted.get(name, 0) + 1

    def end(self):
        for component in self.passed:
            print(f"{'FAILED' if self.failed[component] else 'ok    '} {component}: {self.passed[component]} same, "
                  f"{self.failed[component]} different")
        for name, n in self.accepted.items():
            print(f"accepted: {name}: {n}")
        failed = sum(self.failed.values())
        print(f"tokenizers {tokenizers.__version__}: {sum(self.passed.values())} passed, {failed} failed")
        return failed != 0


REPORT = Report()


def shown(whole):
    """A configuration as JSON, its long vocabularies and merges cut."""
    def cut(value):
        if isinstance(value, dict):
            return {k: (dict(list(v.items())[:3]) | {"...": len(v)} if k == "vocab" and isinstance(v, dict) and len(v) > 60 else
                        v[:3] + ["...", len(v)] if k in ("vocab", "merges") and len(v) > 60 else
                        v[:80] + "..." if k == "precompiled_charsmap" else cut(v)) for k, v in value.items()}
        return [cut(v) for v in value] if isinstance(value, list) else value
    return json.dumps(cut(whole), ensure_ascii=True)


def without_offsets(said):
    return (*said[:2], None, *said[3:7], [without_offsets(piece) for piece in said[7]])


def fields(encoding, with_overflowing=True):
    """All that an encoding says. Of a pair that is cut twice the library hangs overflowing pieces under overflowing ones, pieces that it
    gives a second time beside them; tern.h has them once."""
    return (encoding.ids, encoding.tokens, encoding.offsets, encoding.type_ids, encoding.special_tokens_mask, encoding.word_ids,
            encoding.sequence_ids, [fields(piece, False) for piece in encoding.overflowing] if with_overflowing else [])


FIELD_NAMES = ("ids", "tokens", "offsets", "type_ids", "special_tokens_mask", "word_ids", "sequence_ids", "overflowing")


def attempt(function, *arguments):
    """(result, None) or (None, what was said). The library's panics are no Exception."""
    try:
        return function(*arguments), None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # pylint: disable=broad-except
        return None, f"{type(error).__name__}: {error}"


class Both:
    """One tokenizer.json, loaded by both libraries. `loads` is False when both refuse it; one alone refusing it is a failure."""

    def __init__(self, whole):
        self.whole = whole
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/tokenizer.json"
            with open(path, "w", encoding="utf-8") as file:
                json.dump(whole, file, ensure_ascii=False)
            self.theirs, their_error = attempt(tokenizers.Tokenizer.from_file, path)
            self.tern, our_error = attempt(Tokenizer, folder)
        self.loads = self.theirs is not None and self.tern is not None
        if self.panicked(their_error):
            return
        refusals = [name for fragment, name in REFUSALS.items() if our_error and fragment in our_error and self.theirs is not None]
        if refusals or (self.loads and self.has_ambiguous_added_tokens()):
            self.loads = False
            REPORT.accept(refusals[0] if refusals else AMBIGUOUS)
            return
        self.with_offsets = not spells_affixes(whole["model"])
        if self.loads and not self.with_offsets:
            REPORT.accept(AFFIXES)
        REPORT.check((self.theirs is None) == (self.tern is None),
                     lambda: f"    configuration {shown(whole)}\n    Tern   {our_error or 'loads'}\n    theirs {their_error or 'loads'}")
        if self.theirs is not None:
            self.theirs.no_truncation()
            self.theirs.no_padding()

    def said(self, encoding):
        return fields(encoding) if self.with_offsets else without_offsets(fields(encoding))

    def has_ambiguous_added_tokens(self):
        last, seen = {t["content"]: t for t in self.whole["added_tokens"]}, set()
        for token in last.values():
            form = token["content"]
            if token["normalized"] and self.theirs.normalizer is not None:
                form = attempt(self.theirs.normalizer.normalize_str, form)[0]
            if (token["normalized"], form) in seen:
                return True
            seen.add((token["normalized"], form))
        return False

    def accepted(self, is_pair, add_special_tokens, options):
        for name, applies in ACCEPTED.items():
            if applies(self, is_pair, add_special_tokens, options):
                REPORT.accept(name)
                return True
        return False

    def their_truncation(self, max_length=0, strategy="longest_first", direction="right", stride=0, **_):
        if max_length:
            self.theirs.enable_truncation(max_length, stride=stride, strategy=strategy, direction=direction)

    @staticmethod
    def panicked(their_error):
        """A fault of the library, listed above."""
        for fragment, name in PANICS.items():
            if their_error and their_error.startswith("PanicException") and fragment in their_error:
                REPORT.accept(name)
                return True
        return False

    def refuses_truncation(self, **options):
        """The library refuses the setting."""
        error = attempt(lambda: self.their_truncation(**options))[1]
        self.theirs.no_truncation()
        return error is not None

    def each(self, text, pair, add_special_tokens, options):
        """What both say, alone: (ours, theirs), each (fields, error)."""
        def encode_theirs():
            try:
                self.their_truncation(**options)
                return self.said(self.theirs.encode(text, pair, add_special_tokens=add_special_tokens))
            finally:
                self.theirs.no_truncation()
        ours = attempt(lambda: self.said(self.tern.encode(text, pair, add_special_tokens=add_special_tokens, with_word_ids=True,
                                                       with_overflowing=True, **options)))
        return ours, attempt(encode_theirs)

    def differs(self, text, pair, add_special_tokens, options):
        (ours, our_error), (theirs, their_error) = self.each(text, pair, add_special_tokens, options)
        return ours != theirs or (our_error is None) != (their_error is None)

    def shrunk(self, text, differs, steps=400):
        """A short text that still differs: halves, quarters, .. single characters are left out while that holds."""
        size = max(1, len(text) // 2)
        while size and steps:
            start = 0
            while start < len(text) and steps:
                shorter = text[:start] + text[start + size:]
                steps -= 1
                if differs(shorter):
                    text = shorter
                else:
                    start += size
            size //= 2
        return text

    def failure(self, text, pair, add_special_tokens, options):
        if not self.differs(text, pair, add_special_tokens, options):
            return f"    configuration {shown(self.whole)}\n    text {text!r} pair {pair!r}: encode_batch differs from encode"
        text = self.shrunk(text, lambda t: self.differs(t, pair, add_special_tokens, options))
        if pair is not None:
            pair = self.shrunk(pair, lambda p: self.differs(text, p, add_special_tokens, options))
        (ours, our_error), (theirs, their_error) = self.each(text, pair, add_special_tokens, options)
        lines = [f"    configuration {shown(self.whole)}",
                 f"    text {text!r:.2000} pair {pair!r:.2000} add_special_tokens {add_special_tokens} {options}"]
        if our_error or their_error:
            lines += [f"    Tern   {our_error or ours}", f"    theirs {their_error or theirs}"]
        else:
            lines += [f"    {name}\n        Tern   {str(a):.3000}\n        theirs {str(b):.3000}"
                      for name, a, b in zip(FIELD_NAMES, ours, theirs) if a != b]
        return "\n".join(lines)

    def compare(self, text, pair=None, add_special_tokens=True, **options):
        """One text; the ids when both agree."""
        if not self.loads or self.accepted(pair is not None, add_special_tokens, options):
            return []
        (ours, our_error), (theirs, their_error) = self.each(text, pair, add_special_tokens, options)
        if self.panicked(their_error):
            return []
        same = ours == theirs and (our_error is None) == (their_error is None)
        REPORT.check(same, lambda: self.failure(text, pair, add_special_tokens, options))
        return ours[0] if same and ours else []

    def compare_batch(self, texts, pairs=None, add_special_tokens=True, **options):
        """Many texts through encode_batch of both; one by one when a batch is refused."""
        if not self.loads or self.accepted(pairs is not None, add_special_tokens, options):
            return
        inputs = texts if pairs is None else list(zip(texts, pairs))

        def encode_theirs():
            try:
                self.their_truncation(**options)
                return self.theirs.encode_batch(inputs, add_special_tokens=add_special_tokens)
            finally:
                self.theirs.no_truncation()
        theirs, error = attempt(encode_theirs)
        ours, our_error = attempt(lambda: self.tern.encode_batch(texts, pairs, add_special_tokens=add_special_tokens, with_word_ids=True,
                                                                 with_overflowing=True, **options))
        if error is not None or our_error is not None:
            for i, text in enumerate(texts):
                self.compare(text, pairs and pairs[i], add_special_tokens, **options)
            return
        for i, (a, b) in enumerate(zip(ours, theirs)):
            pair = pairs and pairs[i]
            REPORT.check(self.said(a) == self.said(b), lambda i=i, pair=pair: self.failure(texts[i], pair, add_special_tokens, options))

    def compare_decoded(self, ids, skip_special_tokens=False):
        if not self.loads:
            return
        ours, our_error = attempt(self.tern.decode, ids, skip_special_tokens)
        theirs, their_error = attempt(lambda: self.theirs.decode(ids, skip_special_tokens=skip_special_tokens))
        if self.panicked(their_error):
            return
        REPORT.check(ours == theirs and (our_error is None) == (their_error is None),
                     lambda: f"    configuration {shown(self.whole)}\n    decode {ids} {[self.theirs.id_to_token(i) for i in ids]} "
                             f"skip_special_tokens {skip_special_tokens}\n"
                             f"    Tern   {our_error or ours!r}\n    theirs {their_error or theirs!r}")

    def compare_vocabulary(self, rng, n=50):
        """Its size, some tokens by id and ids by token, and tokens and ids that are not there."""
        if not self.loads:
            return
        vocabulary = self.theirs.get_vocab(with_added_tokens=True)
        tokens = rng.sample(sorted(vocabulary), min(n, len(vocabulary))) + ["", "absent token", "\x00"]
        ids = list(vocabulary.values())
        ids = [rng.choice(ids) for _ in range(min(n, len(ids)))] + [max(ids, default=0) + 1, 2 ** 31 - 1]
        facts = [("vocab_size", self.tern.vocab_size(), self.theirs.get_vocab_size(with_added_tokens=True))]
        facts += [(f"token_to_id {t!r}", self.tern.token_to_id(t), self.theirs.token_to_id(t)) for t in tokens if "\x00" not in t]
        facts += [(f"id_to_token {i}", self.tern.id_to_token(i), self.theirs.id_to_token(i)) for i in ids
                  if "\x00" not in (self.theirs.id_to_token(i) or "")]
        for what, ours, theirs in facts:
            REPORT.check(ours == theirs, lambda: f"    configuration {shown(self.whole)}\n    {what}: Tern {ours!r} theirs {theirs!r}")

    def known_ids(self):
        return sorted(set(self.theirs.get_vocab(with_added_tokens=True).values())) if self.loads else []
