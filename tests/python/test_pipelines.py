#!/usr/bin/env python3
"""test_pipelines.py - classify, rerank, zero-shot, ner, fill and qa against what transformers' pipelines gave (tests/golden/pipelines): labels,
words, offsets and order equal, scores within 1e-5; from arguments and from standard input, at every ISA level.

Environment: TERN_COMMAND (default build/release/tern). The last line is "N passed, M failed". scripts/golden-pipelines.py and
golden-question-answering.py wrote the files.
SPDX-License-Identifier: Apache-2.0
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
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


def check_targets():
    """A target that is no token is said to be none."""
    for targets, said in (("a", ""), ("a,qqqq", "tern: the target 'qqqq' is no token; its first token stands for it\n")):
        result = subprocess.run([TERN, "fill", str(GOLDEN / "mask"), "--targets", targets, "a [MASK]"], capture_output=True, timeout=60)
        check(result.returncode == 0 and result.stderr.decode() == said, f"fill --targets {targets}: {result.stderr[:200]}")


def check_questions():
    """One question of many contexts is what it is of each alone."""
    data = json.loads((GOLDEN / "qa" / "cases-qa-0.json").read_text(encoding="utf-8"))
    contexts = [c["text"].split("\t")[1] for c in data["cases"][:12]]
    together = tern(["qa", str(GOLDEN / "qa"), "who?", "--doc-stride", "6"], contexts, False)
    alone = [tern(["qa", str(GOLDEN / "qa"), "--doc-stride", "6"], [f"who?\t{c}"], True)[0] for c in contexts]
    check([t["answers"] for t in together] == [a["answers"] for a in alone], "qa: one question of many contexts")
    result = subprocess.run([TERN, "qa", str(GOLDEN / "qa")], input=b"no tab\n", capture_output=True, timeout=60)
    check(result.returncode == 1 and b"line 1 (index 0): has no tab" in result.stderr, f"qa without a tab: {result.stderr[:200]}")


def cross_encoder(scratch, config=None, settings=None, transformer=None, modules=("Transformer",)):
    """A copy of "regression" with more in its config.json, saved as sentence-transformers 6.2 saves a CrossEncoder if there are settings."""
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "saved"
    shutil.copytree(GOLDEN / "regression", folder)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**saved, **(config or {})}))
    if settings is not None:
        text = {"modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}, "module_output_name": "scores"}
        (folder / "sentence_bert_config.json").write_text(
            json.dumps({"transformer_task": "sequence-classification", **text, **(transformer or {})}))
        (folder / "config_sentence_transformers.json").write_text(
            json.dumps({"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None, **settings}))
        (folder / "modules.json").write_text(json.dumps(
            [{"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{name}", "type": f"sentence_transformers.base.modules.{name}"}
             for i, name in enumerate(modules)]))
    return str(folder)


def check_cross_encoders(scratch):
    """The function of the scores is the one that CrossEncoder takes, from the place where it looks first."""
    identity, sigmoid, relu = (f"torch.nn.modules.{name}" for name in ("linear.Identity", "activation.Sigmoid", "activation.ReLU"))
    query, texts = "how tall is the mountain", ["K2 has 8,611 metres.", "", "a recipe"]

    def ranked(folder, *options, of=query):
        return {f["index"]: f["score"] for f in tern(["rerank", folder, of, *options], texts, False)}

    raw, plain = (ranked(str(GOLDEN / "regression"), *options) for options in (["--raw"], []))
    check(all(abs(plain[i] - 1 / (1 + math.exp(-raw[i]))) < 1e-6 for i in raw), f"a plain folder: sigmoid: {raw} {plain}")
    for what, expected, config, settings in (
            ("config.json's Identity", raw, {"sentence_transformers": {"activation_fn": identity}}, None),
            ("the name before 4.0", raw, {"sbert_ce_default_activation_function": identity}, None),
            ("both", plain, {"sentence_transformers": {"activation_fn": sigmoid}, "sbert_ce_default_activation_function": identity}, None),
            ("a class of somebody's", plain, {"sentence_transformers": {"activation_fn": "somebody.Identity"}}, None),
            ("a saved CrossEncoder", plain, None, {"activation_fn": sigmoid}),
            ("a saved CrossEncoder's Identity", raw, None, {"activation_fn": identity}),
            ("settings go before config.json", raw, {"sentence_transformers": {"activation_fn": sigmoid}}, {"activation_fn": identity}),
            ("settings that do not say", raw, {"sentence_transformers": {"activation_fn": identity}}, {"activation_fn": None})):
        folder = cross_encoder(scratch, config, settings)
        check(ranked(folder) == expected and ranked(folder, "--raw") == raw, f"rerank, {what}: {ranked(folder)}")
    folder = cross_encoder(scratch, None, {"prompts": {"ask": "Q: "}, "default_prompt_name": "ask"})
    check(ranked(folder) == ranked(str(GOLDEN / "regression"), of=f"Q: {query}"), "rerank: the default prompt is put before the query")
    folder = cross_encoder(scratch, None, {"activation_fn": identity})
    for command in ("embed", "classify"):
        lines = [tern([command, f], texts, False) for f in (folder, str(GOLDEN / "regression"))]
        check(lines[0] == lines[1], f"{command} takes a saved CrossEncoder as a plain folder")
    for what, folder, part in (
            ("a function that is not known", cross_encoder(scratch, {"sentence_transformers": {"activation_fn": relu}}), "ReLU"),
            ("a module behind it", cross_encoder(scratch, None, {}, None, ("Transformer", "Normalize")), "module 1 stands behind"),
            ("another output", cross_encoder(scratch, None, {}, {"module_output_name": "token_embeddings"}), "is scores"),
            ("another task", cross_encoder(scratch, None, {}, {"transformer_task": "text-generation"}), "sequence-classification")):
        result = subprocess.run([TERN, "rerank", folder, query, "x"], capture_output=True, timeout=60)
        check(result.returncode == 1 and part in result.stderr.decode(), f"rerank, {what}: {result.stderr.decode()[:200]}")


def check_refusals():
    single, mask, qa = (str(GOLDEN / name) for name in ("single", "mask", "qa"))
    for arguments, part in ([(["classify", mask, "x"], "has no labels"), (["ner", single, "x"], "no head for token classification"),
                             (["fill", single, "x"], "no head for masked language modeling"), (["fill", mask, "--", "no mask"], "[MASK]"),
                             (["rerank", single, "query", "x"], "this model has 3 labels"),
                             (["qa", single, "who", "x"], "BertForSequenceClassification has no head for question answering"),
                             (["qa", qa, "", "x"], "the question is empty"), (["qa", qa, "who", ""], "the context is empty"),
                             (["qa", qa, "who", "x", "--max-seq-len", "65"], "the model takes 64 tokens"),
                             (["qa", qa, "word " * 61, "x"], "too short to be cut"),
                             (["zero-shot", str(GOLDEN / "regression"), "x", "--labels", "a"], "natural language inference")]):
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
    check_targets()
    check_questions()
    check_refusals()
    with tempfile.TemporaryDirectory() as scratch:
        check_cross_encoders(scratch)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
