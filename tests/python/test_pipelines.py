#!/usr/bin/env python3
"""test_pipelines.py - classify, rerank, zero-shot, ner, fill and qa against what transformers' pipelines gave (tests/golden/pipelines): labels,
words, offsets and order equal, scores within 1e-5; from arguments and from standard input, at every ISA level.

Environment: TERN_COMMAND (default build/release/tern). The last line is "N passed, M failed". scripts/golden-pipelines.py and
golden-question-answering.py wrote the files.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "pipelines"
TERN = os.environ.get("TERN_COMMAND", str(ROOT / "build" / "release" / "tern"))
BOUND = 1e-5  # of scores; the golden files' own error is that of float32
LEVELS = ("scalar", "avx2", "avx512")

counts = {"passed": 0, "failed": 0}


def check(ok, what):
    counts["passed" if ok else "failed"] += 1
    if not ok:
        print(f"FAILED {what}", flush=True)


def tern(arguments, texts, from_stdin):
    given = [] if from_stdin else ["--", *texts]
    stdin = "".join(t + "\n" for t in texts).encode() if from_stdin else b""
    result = subprocess.run([TERN, *arguments, "--json", *given], input=stdin, capture_output=True, timeout=600)
    if result.returncode != 0:
        raise RuntimeError(f"tern {' '.join(arguments)}: exit {result.returncode}: {result.stderr.decode()[:1000]}")
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def levels_here():
    best = json.loads(subprocess.run([TERN, "info", "--json"], capture_output=True, check=True).stdout)["devices"][0]["isa"]
    return list(LEVELS[: LEVELS.index(best) + 1]) if best in LEVELS else [best]


def difference(expected, found, what):
    """Largest difference of numbers that are not whole; what else differs is told. Expected's keys count."""
    if isinstance(expected, dict):
        return max((difference(v, found.get(k), f"{what}.{k}") for k, v in expected.items()), default=0.0)
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise ValueError(f"{what}: {found!r}, expected {expected!r}")
        return max((difference(e, f, f"{what}[{i}]") for i, (e, f) in enumerate(zip(expected, found))), default=0.0)
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(expected - found)
    if expected != found:
        raise ValueError(f"{what}: {found!r}, expected {expected!r}")
    return 0.0


def arguments_of(folder, task, options):
    arguments = [task, str(folder)]
    if task == "zero-shot":
        arguments += ["--labels", "politics,public health,sport"] + (["--multi-label"] if options.get("multi_label") else [])
        arguments += ["--template", options["hypothesis_template"]] if "hypothesis_template" in options else []
    if task == "classify":
        arguments += ["--pairs"] if options.get("pairs") else []
        arguments += ["--function-to-apply", options["function_to_apply"]] if "function_to_apply" in options else []
        arguments += ["--top-k", str(options["top_k"])] if "top_k" in options else []
    if task == "ner":
        arguments += ["--aggregation-strategy", options["strategy"]]
    if task == "fill":
        arguments += ["--targets", ",".join(options["targets"])] if "targets" in options else ["--top-k", str(options["top_k"])]
    if task == "rerank":
        arguments += [options["query"]]
    if task == "qa":
        for name, value in options.items():
            flag = "--no-align-to-words" if (name, value) == ("align_to_words", False) else "--" + name.replace("_", "-")
            arguments += [flag] if isinstance(value, bool) else [flag, str(value)]
    return arguments


def result_of(task, line):
    """A line of tern's as the pipeline's result."""
    if task == "classify":
        return line["labels"]
    if task == "zero-shot":
        return {"labels": [s["label"] for s in line["labels"]], "scores": [s["score"] for s in line["labels"]]}
    return line[{"ner": "entities", "fill": "masks", "qa": "answers"}[task]]


def check_file(path, level, from_stdin):
    data = json.loads(path.read_text(encoding="utf-8"))
    task, cases = data["task"], data["cases"]
    texts = [c["text"] for c in cases]
    found = tern([*arguments_of(path.parent, task, data["options"]), "--isa", level], texts, from_stdin)
    if task == "rerank":
        check([f["score"] for f in found] == sorted((f["score"] for f in found), reverse=True), f"{path.parent.name}: rerank sorts")
        scores = {f["index"]: f["score"] for f in found}
        results = [scores[i] for i in range(len(texts))]
    else:
        check([f["index"] for f in found] == list(range(len(texts))), f"{path.parent.name}: one line a text, in order")
        results = [result_of(task, f) for f in found]
    worst, n = 0.0, 0
    for case, result in zip(cases, results):
        what = f"{path.parent.name}/{path.name}, {level}, {case['text'][:60]!r}"
        try:
            d = difference(case["result"], result, "result")
            worst = max(worst, d)
            n += d <= BOUND
            check(d <= BOUND, f"{what}: a score is off by {d:.2e}")
        except ValueError as error:
            check(False, f"{what}: {error}")
    print(f"{path.parent.name}/{path.name}, {level}{', standard input' if from_stdin else ''}: {n} of {len(cases)} texts, {worst:.2e}", flush=True)


def check_truncation():
    """Said once, whatever the number of texts."""
    long = "word " * 90
    for arguments, texts, what in ((["classify", "single"], [long, "short", long], "2 texts longer than 64 tokens were cut there"),
                                   (["classify", "single", "--pairs"], [f"{long}\t{long}", "a\tb"], "1 pair longer than 64 tokens was cut there"),
                                   (["ner", "ner"], [long] * 5000, "5000 texts longer than 64 tokens were cut there"),  # several windows
                                   (["fill", "mask"], ["[MASK] " + long], "1 text longer than 64 tokens was cut there"),
                                   (["rerank", "regression", "query"], ["short", long], "1 pair longer than 64 tokens was cut there"),
                                   (["zero-shot", "inference", "--labels", "a,b"], [long], "2 pairs longer than 64 tokens were cut there")):
        command = [TERN, arguments[0], str(GOLDEN / arguments[1]), *arguments[2:]]
        result = subprocess.run(command, input="".join(t + "\n" for t in texts).encode(), capture_output=True, timeout=120)
        said = result.stderr.decode()
        check(result.returncode == 0 and said == f"tern: {what}\n", f"{arguments}: {said[:200]}")
    short = subprocess.run([TERN, "ner", str(GOLDEN / "ner"), "short"], capture_output=True, timeout=60)
    check(short.returncode == 0 and short.stderr == b"", f"nothing is cut: {short.stderr[:200]}")


def check_questions():
    """One question of many contexts is what it is of each alone."""
    data = json.loads((GOLDEN / "qa" / "cases-qa-0.json").read_text(encoding="utf-8"))
    contexts = [c["text"].split("\t")[1] for c in data["cases"][:12]]
    together = tern(["qa", str(GOLDEN / "qa"), "who?", "--doc-stride", "6"], contexts, False)
    alone = [tern(["qa", str(GOLDEN / "qa"), "--doc-stride", "6"], [f"who?\t{c}"], True)[0] for c in contexts]
    check([t["answers"] for t in together] == [a["answers"] for a in alone], "qa: one question of many contexts")
    result = subprocess.run([TERN, "qa", str(GOLDEN / "qa")], input=b"no tab\n", capture_output=True, timeout=60)
    check(result.returncode == 1 and b"line 1 (index 0): has no tab" in result.stderr, f"qa without a tab: {result.stderr[:200]}")


def check_refusals():
    single, mask, qa = (str(GOLDEN / name) for name in ("single", "mask", "qa"))
    for arguments, part in ([(["classify", mask, "x"], "has no labels"), (["ner", single, "x"], "no head for token classification"),
                             (["fill", single, "x"], "no head for masked language modeling"), (["fill", mask, "--", "no mask"], "[MASK]"),
                             (["rerank", single, "query", "x"], "this model has 3 labels"),
                             (["qa", single, "who", "x"], "BertForSequenceClassification has no head for question answering"),
                             (["qa", qa, "", "x"], "the question is empty"), (["qa", qa, "who", ""], "the context is empty"),
                             (["qa", qa, "who", "x", "--max-seq-len", "65"], "the model takes 64 tokens"),
                             (["qa", qa, "word " * 61, "x"], "too short to be cut"),
                             (["zero-shot", str(GOLDEN / "regression"), "x", "--labels", "a"], "natural language inference"),
                             (["fill", mask, "--targets", "", "a [MASK]"], "no targets")]):
        result = subprocess.run([TERN, *arguments], capture_output=True, timeout=60)
        check(result.returncode == 1 and part in result.stderr.decode(), f"{arguments}: {result.returncode} {result.stderr.decode()[:200]}")


def main():
    levels = levels_here()
    files = sorted(GOLDEN.glob("*/cases-*.json"))
    check(len(files) >= 34, "the golden files are there")
    for path in files:
        for level in levels:
            check_file(path, level, from_stdin=level == levels[0] or path.name.startswith("cases-qa"))
    check_truncation()
    check_questions()
    check_refusals()
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
