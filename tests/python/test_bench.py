#!/usr/bin/env python3
"""test_bench.py - tern bench on tiny models: rows are complete and add up, what fails has a row that says so, the output can be read
by programs. The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import base64
import csv
import io
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from xml.etree import ElementTree

import jsonschema
import numpy as np
import safetensors.numpy

from command import MODEL, ROOT, TERN, TINY, check, check_fails, done, full_device, main, tern

SMALL = ("--chars", "50,100", "--batch", "1,3", "--iterations", "7", "--warmup", "2")
STAGES = ("tokenize_ms", "pack_ms", "compute_ms", "result_ms")


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def faults_of(row):
    """What docs/bench-row.schema.json has against a row; "" when nothing."""
    schema = json.loads((ROOT / "docs" / "bench-row.schema.json").read_text())
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(row))
    return f"{list(error.absolute_path)}: {error.message[:200]}" if error else ""


def check_schema(what, rows):
    faults = [f"{row.get('kind')} {row.get('status')} {fault}" for row in rows if (fault := faults_of(row))]
    check(rows and not faults, f"{what}: {len(rows)} rows are valid against the schema", "; ".join(faults[:3]))


def test_schema_refuses():
    """A row that lacks something, has something else, or a value of another type."""
    rows = done("bench", TINY, "--chars", "20,30,40", "--batch", "1", "--iterations", "3", "--json").json()
    rows += done("bench", "ops", "--chars", "9", "--batch", "1", "--iterations", "2", "--json").json()[:2]
    check_schema("embed, scaling, peaks and op", rows)
    check({row["kind"] for row in rows} == {"embed", "scaling", "peaks", "op"}, "of every kind that tern bench writes")
    for row in (rows[0], rows[3], rows[4], rows[5]):
        for broken in ({**row, "surplus": 1}, {**row, "schema": "tern-bench-2"}, {**row, "kind": "other"}, {**row, "message": "why"},
                       {**row, "started": "yesterday"}, {**row, "machine": {}}, {**row, "status": "fine"},
                       {k: v for k, v in row.items() if k != "git"}):
            changed = next((k for k in broken if broken[k] != row.get(k)), "git is missing")
            check(faults_of(broken) != "", f"{row['kind']}: {changed}")
    for key in ("reference_error", "iterations_ms", "probe_ms", "stages", "median_ms", "chars"):
        check(faults_of({k: v for k, v in rows[0].items() if k != key}) != "", f"embed without {key}")
    check(faults_of({**rows[0], "status": "failed", "message": "why"}) != "", "times of a row that failed")
    check(faults_of({**rows[0], "iterations_ms": [-1.0]}) != "", "a negative time")


def test_clock():
    """A call holds two readings of the clock and its stages up to eight: together below 1 % of the shortest row of the smallest
    model in use."""
    row = done("bench", MODEL, "--chars", "50", "--batch", "1", "--iterations", "20", "--json").json()[0]
    cost_ms = 10e-6 * row["machine"]["clock_read_ns"]
    check(0 < cost_ms < 0.01 * row["min_ms"], "reading the clock", f"{cost_ms} of {row['min_ms']} ms")


def test_rows(scratch):
    result = done("bench", TINY, *SMALL, "--output", scratch / "rows.jsonl", "--threads", "2")
    rows = rows_of(scratch / "rows.jsonl")
    check_schema("a run", rows)
    check([(r["chars"], r["batch"]) for r in rows] == [(50, 1), (50, 3), (100, 1), (100, 3)], "a row for each configuration", str(rows))
    check(len(result.out.decode().splitlines()) == 2 + 4, "and a line in the table", result.out.decode())
    for row in rows:
        what = f"{row['chars']} x {row['batch']}: "
        ms = row["iterations_ms"]
        check(row["status"] == "ok" and row["message"] is None, what + "ok", str(row["message"]))
        check(len(ms) == 7 and len(row["warmup_ms"]) == 2 and row["first_ms"] > 0, what + "every sample is kept")
        check(all(len(row["stages"][s]) == 7 for s in STAGES) and len(row["probe_ms"]) == 7, what + "and its stages and probe")
        sums = [sum(row["stages"][s][i] for s in STAGES) for i in range(7)]
        check(all(a <= b * 1.0000001 for a, b in zip(sums, ms)), what + "stages are parts of the whole", f"{sums} {ms}")
        check(np.isclose(row["median_ms"], statistics.median(ms)) and np.isclose(row["p90_ms"], np.quantile(ms, 0.9)) and
              np.isclose(row["mean_ms"], statistics.fmean(ms)) and np.isclose(row["sd_ms"], statistics.stdev(ms)) and
              row["min_ms"] == min(ms) and row["median_low_ms"] == min(ms) and row["median_high_ms"] == max(ms),
              what + "statistics are those of the samples", str(row))
        calls = [row["first_ms"], *row["warmup_ms"]]
        settled = next((i + 1 for i, call in enumerate(calls) if call <= row["p90_ms"]), None)
        check(row["settled_call"] == settled, what + "when the warm-up was over", f"{row['settled_call']} {settled}")
        check(np.isclose(row["texts_per_s"], 1e3 * row["batch"] / row["median_ms"]) and
              np.isclose(row["flop_per_s"], 1e3 * row["flops"] / statistics.median(row["stages"]["compute_ms"])), what + "rates")
        check(np.isclose(row["limit_ms"], sum(op["limit_ms"] for op in row["ops"])) and 0 < row["share"] and
              np.isclose(row["share"], row["limit_ms"] / statistics.median(row["stages"]["compute_ms"])), what + "share of the limit")
        check(np.isclose(sum(op["flops"] for op in row["ops"]), row["flops"]) and
              np.isclose(sum(op["bytes"] for op in row["ops"]), row["bytes"]) and all(op["ms"] > 0 for op in row["ops"]),
              what + "the ops add up", str(row["ops"]))
        padded = row["longest_tokens"] * row["batch"]
        check(np.isclose(row["padding_waste"], 1 - row["tokens"] / padded) and (row["batch"] > 1 or row["padding_waste"] == 0),
              what + "padding of a padded engine")
        check(0 <= row["reference_error"] < 1e-5 and row["reference"] == "cpu scalar float32", what + "compared with the reference")
        check(row["threads"] == 2 and row["device"] == "cpu" and row["isa"] and row["git"] and row["engine_version"] and
              row["machine"]["cores"] > 0 and row["peak_memory_bytes"] > row["workspace_bytes"] > 0, what + "says what ran where")


def count_of_bert(config, tokens, norms_vector):
    """FLOPs, and bytes that must move at least, of one text, counted from a BERT's config alone: every addition, multiplication and call of
    a function in the paper's formulas is one, an erf with what is around it four, a norm eight an element; of bytes, each operand once."""
    width, inner, layers, heads = (config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"))
    flops = bytes_ = 0

    def op(n_flops, n_floats):
        nonlocal flops, bytes_
        flops += n_flops
        bytes_ += 4 * n_floats

    def linear(n_in, n_out, extra_flops=0, extra_floats=0):
        op(tokens * n_out * (2 * n_in + 1 + extra_flops), tokens * (n_in + n_out + extra_floats) + n_in * n_out + n_out)

    for _ in range(3):                                              # words, positions, types: a row and its number each
        op(0, tokens * (2 * width + 1))
    op(tokens * width, 3 * tokens * width)                          # words + types
    op(tokens * width * 9, 3 * tokens * width)                      # + positions, and the norm
    for _ in range(layers):
        op(3 * tokens * width * (2 * width + 1), tokens * (width + 3 * width) + 3 * (width * width + width))   # q, k, v: x is read once
        op(tokens * tokens * (4 * width + 5 * heads), 4 * tokens * width)  # scores, softmax, sums of values
        linear(width, width, 1, width)                              # and the residual
        op(tokens * width * 8, 2 * tokens * width)
        linear(width, inner, 4)                                     # and GELU
        linear(inner, width, 1, width)
        op(tokens * width * 8, 2 * tokens * width)
    op(tokens * width, tokens * width + width)                      # the mean
    if norms_vector:
        op(3 * width, 2 * width)
    return flops, bytes_


def test_costs_against_a_count():
    """Costs of whole runs, counted once more from the config."""
    tiny = ROOT / "tests" / "golden" / "tiny" / "gelu-1-layer"
    for folder, norms_vector in ((MODEL, True), (tiny, False)):
        config = json.loads((folder / "config.json").read_text())
        for chars in (9, 60):
            row = done("bench", folder, "--chars", chars, "--batch", "1", "--iterations", "1", "--warmup", "0", "--json").json()[0]
            flops, bytes_ = count_of_bert(config, row["tokens"], norms_vector)
            check(row["flops"] == flops, f"{folder.name}, {chars} characters: operations", f"{row['flops']}, counted {flops}")
            check(row["bytes"] == bytes_, f"{folder.name}, {chars} characters: bytes", f"{row['bytes']}, counted {bytes_}")


def test_scaling(scratch):
    result = done("bench", TINY, "--chars", "20,40,80", "--batch", "1,2,4", "--iterations", "3", "--output", scratch / "rows.jsonl")
    rows = rows_of(scratch / "rows.jsonl")
    measured, fits = [r for r in rows if r["kind"] == "embed"], [r for r in rows if r["kind"] == "scaling"]
    check(len(measured) == 9 and [f["by"] for f in fits] == ["batch"] * 3 + ["tokens"] * 3, "a fit for each length and each batch")
    for fit in fits:
        fixed = "chars" if fit["by"] == "batch" else "batch"
        points = [(r["batch"] if fit["by"] == "batch" else r["tokens"] / r["batch"], r["median_ms"]) for r in measured
                  if r[fixed] == fit[fixed]]
        exponent = np.polyfit(*np.log(np.array(points).T), 1)[0]
        check(len(points) == 3 == fit["n_points"] and np.isclose(fit["exponent"], exponent), f"by {fit['by']}, {fixed} {fit[fixed]}")
    check("latency grows as the batch" in result.out.decode(), "and people are told")
    text = done("report", scratch / "rows.jsonl", "--format", "markdown").out.decode()
    check(text.count("latency grows as") == 6, "in reports too", text[-800:])


def test_json():
    rows = done("bench", TINY, "--chars", "20", "--batch", "2", "--iterations", "3", "--warmup", "0", "--json").json()
    check(len(rows) == 1 and rows[0]["schema"] == "tern-bench-1" and rows[0]["warmup_ms"] == [], "--json prints the rows", str(rows))


def test_ops(scratch):
    """Every op that computes, at two shapes, and square products."""
    done("bench", "ops", "--chars", "9", "--batch", "2", "--iterations", "3", "--warmup", "1", "--output", scratch / "rows.jsonl")
    peaks, *rows = rows_of(scratch / "rows.jsonl")
    check_schema("bench ops", [peaks, *rows])
    bandwidth = peaks["peaks"]["bandwidth"]
    check(peaks["kind"] == "peaks" and peaks["peaks"]["flop_per_s"] > 1e8 and len(bandwidth) == 8 and
          all(b["bytes_per_s"] > 0 for b in bandwidth), "the machine's peaks come first", str(peaks))
    table = (ROOT / "src" / "program" / "ops.def").read_text()
    ops = set(re.findall(r"^TERN_OP\(\w+, (\w+),", table, re.M)) - {"input", "slice"}
    check({r["op"] for r in rows} == ops and len(rows) == 2 * len(ops) + 6, "every op of ops.def", str({r["op"] for r in rows} ^ ops))
    check(all(r["status"] == "ok" and len(r["iterations_ms"]) == 3 and len(r["warmup_ms"]) == 1 and r["first_ms"] > 0 and
              r["median_ms"] == statistics.median(r["iterations_ms"]) for r in rows), "every sample is kept")
    check(all(0 < r["limit_ms"] and np.isclose(r["share"], r["limit_ms"] / r["median_ms"]) and
              r["bound"] in ("compute", "memory", "overhead", "neither") for r in rows), "a share of the limit, and a verdict")
    linear = next(r for r in rows if r["op"] == "linear" and r["shape"] == "base")
    check(linear["tokens"] == 4 and linear["rows"] == 8 and linear["flops"] == 8 * 768 * (2 * 768 + 1) and
          linear["bytes"] == 4 * (768 * 768 + 768 + 8 * 2 * 768) and linear["n_copies"] > 20, "a product and its cost", str(linear))
    result = tern("bench", "ops", "--chars", "9", "--batch", "1", "--device", "nowhere", "--json")
    check(result.code == 1 and [r["status"] for r in result.json()] == ["device_absent"], "an absent device", result.err)
    check_schema("bench ops, an absent device", result.json())


def test_failures(scratch):
    result = tern("bench", TINY, TINY, *SMALL[:4], "--iterations", "1", "--device", "nowhere:0,cpu", "--output", scratch / "rows.jsonl")
    rows = rows_of(scratch / "rows.jsonl")
    check_fails("an absent device is an error", result, "8 of 16 rows")
    check_schema("an absent device", rows)
    check([r["status"] for r in rows] == (["device_absent"] * 4 + ["ok"] * 4) * 2, "and the run goes on", str([r["status"] for r in rows]))
    check("nowhere" in rows[0]["message"] and "iterations_ms" not in rows[0] and rows[0]["device"] == "nowhere:0", "the row says why")
    result = tern("bench", TINY, *SMALL[:4], "--iterations", "1", "--dtype", "float31", "--json")
    check(result.code == 1 and all(r["status"] == "unsupported" for r in result.json()), "a dtype that is none", result.err)
    check_schema("a dtype that is none", result.json())
    result = tern("bench", scratch / "empty", "--json")
    check_fails("no such model", result, "empty")
    (scratch / "broken").mkdir()
    result = tern("bench", scratch / "broken", "--chars", "50", "--batch", "1", "--json")
    check(result.code == 1 and result.json()[0]["status"] == "failed", "a folder without a model has a row", result.err)
    check_schema("a folder without a model", result.json())
    check_fails("a file that cannot be written", tern("bench", TINY, "--output", scratch / "no" / "rows.jsonl"), "no/rows.jsonl")
    with open("/dev/full", "wb") as full:
        result = tern("bench", TINY, "--iterations", "1", "--chars", "9", "--batch", "1", "--json", stdout=full)
    check(result.code == 1 and "could not be written" in result.err, "a full disk", result.err)


def test_other_device():
    """MLX's CPU, where it was built: the row proves the device; no op is timed apart, and costs are there all the same."""
    devices = {d["name"]: d for d in json.loads(done("info", "--json").out)["devices"]}
    if not devices.get("mlx:cpu", {}).get("present"):
        check(True, "skipped: there is no mlx:cpu here")
        return
    rows = done("bench", TINY, "--device", "mlx:cpu,cpu", "--chars", "50", "--batch", "3", "--iterations", "3", "--json").json()
    check_schema("mlx:cpu", rows)
    other, own = rows
    check(other["device"] == "mlx:cpu" and "MLX" in other["processor"] and own["device"] == "cpu", "rows name their devices", str(other)[:300])
    check("ops" not in other and "peaks" not in other and all(other[k] == own[k] for k in ("tokens", "flops", "longest_tokens")) and
          other["bytes"] >= own["bytes"] > 0, "the same costs (more bytes where fewer ops are fused), none of them timed")


def test_wrong_vectors(scratch):
    """A weight that is no number makes vectors that are none."""
    shutil.copytree(TINY, scratch / "model")
    path = scratch / "model" / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = next(n for n in tensors if n.endswith("output.dense.weight"))
    tensors[name] = np.full_like(tensors[name], np.nan)
    safetensors.numpy.save_file(tensors, path)
    result = tern("bench", scratch / "model", "--chars", "50", "--batch", "1", "--iterations", "2", "--json")
    row = result.json()[0]
    check(result.code == 1 and row["status"] == "wrong" and "iterations_ms" not in row, "a wrong vector is no measurement", str(row))
    check_schema("a wrong vector", [row])


def row_of(chars, ms, probe_ms=1.0, status="ok"):
    probes = [probe_ms] * len(ms) if np.isscalar(probe_ms) else list(probe_ms)
    return {"schema": "tern-bench-1", "kind": "embed", "engine": "tern", "model": "m", "device": "cpu", "dtype": "float32", "threads": 2,
            "chars": chars, "batch": 1, "status": status, "iterations_ms": list(ms), "probe_ms": probes, "quiet_probe_ms": min(probes),
            "median_ms": float(np.median(ms))}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def compare(scratch, a, b, *options):
    return tern("bench", "--compare", write_rows(scratch / "a.jsonl", a), write_rows(scratch / "b.jsonl", b), *options)


def test_compare_finds_what_is_there(scratch):
    """12 rows of 20 iterations that scatter by 2 %, now and then far: 20 tries with a row a tenth slower, 20 with none."""
    random = np.random.default_rng(6)

    def run(slow_row):
        rows = []
        for i in range(12):
            ms = 10 * (i + 1) * np.exp(0.02 * random.standard_normal(20)) * np.where(random.random(20) < 0.05, 1.5, 1)
            rows.append(row_of(50 * (i + 1), ms * (1.1 if i == slow_row else 1)))
        return rows

    found = alarms = others = 0
    for attempt in range(20):
        result = compare(scratch, run(None), run(attempt % 12), "--json")
        verdicts = [line["verdict"] for line in result.json()]
        found += verdicts[attempt % 12] == "slower" and result.code == 1
        others += sum(v != "same" for i, v in enumerate(verdicts) if i != attempt % 12)
        result = compare(scratch, run(None), run(None), "--json")
        alarms += result.code != 0
    check(found == 20, "a slowdown of 10 % is found", f"{found} of 20")
    check(alarms == 0 and others == 0, "and none where there is none", f"{alarms} alarms, {others} other rows")


def test_compare(scratch):
    ms = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10.7]
    slow = [1.2 * x for x in ms]
    result = compare(scratch, [row_of(50, ms), row_of(100, ms)], [row_of(50, ms), row_of(100, slow)])
    check(result.code == 1 and not result.err and "1 slower, 0 faster" in result.out.decode() and "1.200 [" in result.out.decode(),
          "slower: exit 1", result.out.decode() + result.err)
    result = compare(scratch, [row_of(50, slow)], [row_of(50, ms)], "--json")
    line = result.json()[0]
    check(result.code == 0 and line["verdict"] == "faster" and np.isclose(line["ratio"], 1 / 1.2, atol=0.01) and
          line["ratio_low"] < line["ratio"] < line["ratio_high"] and np.isclose(line["p"], 2 / 12870), "faster: exit 0", str(line))
    result = compare(scratch, [row_of(50, ms)], [row_of(50, slow)], "--threshold", "25")
    check(result.code == 0, "not beyond the threshold", result.out.decode())
    # 4 of 8 iterations were disturbed, and slow for that: what is left is too little to tell, and never a slowdown
    result = compare(scratch, [row_of(50, ms)], [row_of(50, slow, probe_ms=[1, 2] * 4)], "--json")
    check(result.code == 0 and result.json()[0]["verdict"] == "noisy" and result.json()[0]["n_b"] == 4, "disturbed iterations", str(result.out))
    # All of B is disturbed, by the measure of A
    result = compare(scratch, [row_of(50, ms)], [row_of(50, slow, probe_ms=2)], "--json")
    check(result.json()[0]["verdict"] == "noisy", "a machine that is busy all the time", str(result.out))
    failing = {**row_of(50, ms), "status": "out_of_memory"}
    result = compare(scratch, [row_of(50, ms)], [failing])
    check(result.code == 1 and "1 fail now" in result.out.decode(), "a row that fails now")
    long = {**row_of(50, ms), "model": "/somewhere/in/a/deep/folder/all-MiniLM-L6-v2"}
    check("folder/all-MiniLM-L6-v2 " in compare(scratch, [long], [long]).out.decode(), "of a long name the end is shown")
    result = compare(scratch, [failing], [row_of(50, ms), row_of(99, ms)])
    check(result.code == 0 and "0 only in A, 1 only in B" in result.out.decode(), "rows of one file alone", result.out.decode())


def test_compare_of_measured_rows(scratch):
    done("bench", TINY, *SMALL, "--output", scratch / "a.jsonl")
    rows = rows_of(scratch / "a.jsonl")
    result = compare(scratch, rows, rows, "--json")
    check(result.code == 0 and [line["verdict"] in ("same", "noisy") for line in result.json()] == [True] * 4, "a run is as fast as itself")


def test_compare_refuses(scratch):
    good = write_rows(scratch / "good.jsonl", [row_of(50, [1.0, 2.0])])
    bad = scratch / "bad.jsonl"
    check_fails("one file", tern("bench", "--compare", good), "A.jsonl and B.jsonl", code=2)
    check_fails("no file", tern("bench", "--compare", good, scratch / "none.jsonl"), "none.jsonl")
    check_fails("a folder", tern("bench", "--compare", good, scratch), "cannot be read")
    for text, message in (("", "no row"), ('{"schema": ', "line 1"), ("[]\n", "schema"), ('{"schema": "tern-bench-9"}\n', "tern-bench-9"),
                          (good.read_text() + "{}", "line 2"), ('{"schema": "tern-bench-1"}\n', 'line 1: it has no "kind"')):
        bad.write_text(text)
        check_fails(f"a file of {text[-30:]!r}", tern("bench", "--compare", good, bad), "bad.jsonl", message)
    for what, key, value in (("threads", "threads", 99), ("dtype", "dtype", "float16"), ("kind", "kind", "?")):
        check_fails(f"no row in common but for {what}", compare(scratch, [row_of(50, [1.0])], [{**row_of(50, [1.0]), key: value}]),
                    "a.jsonl", "b.jsonl", "no row in common", what)
    odd = {**row_of(50, [1.0]), "iterations_ms": ["x", None, -1, 0], "probe_ms": 7, "median_ms": "fast"}
    result = compare(scratch, [odd, {"schema": "tern-bench-1", "kind": "embed"}, {"schema": "tern-bench-1", "kind": "?"}], [odd])
    check(result.code == 0 and "1 only in A" in result.out.decode(), "values of other types are as if not there", result.out.decode() + result.err)


def measured_and_not(scratch):
    """A file with rows of every kind, names that a format could trip over, and rows that failed."""
    path = scratch / "rows.jsonl"
    tern("bench", TINY, *SMALL, "--device", "cpu,nowhere", "--output", path)
    rows = rows_of(path)
    done("bench", "ops", "--chars", "9", "--batch", "1", "--iterations", "2", "--warmup", "0", "--output", scratch / "ops.jsonl")
    nasty = {**rows[0], "model": "a|b<script>`touch x`'\"&,\n$(touch x)", "status": "failed", "message": 'a, "b"\n<i>'}
    return write_rows(path, rows + rows_of(scratch / "ops.jsonl") + [nasty, {"schema": "tern-bench-1", "kind": "embed"}]), rows


def test_report_tables(scratch):
    path, rows = measured_and_not(scratch)
    out = done("report", path, "--format", "csv").out.decode()
    lines = list(csv.DictReader(io.StringIO(out, newline="")))
    check(len(lines) == len(rows_of(path)) and lines[0]["model"] == str(TINY) and float(lines[0]["median_ms"]) == rows[0]["median_ms"] and
          lines[0]["is_spoiled"] in "01", "CSV: a line a row", out[:300])
    check(lines[-2]["message"] == 'a, "b"\n<i>' and lines[4]["status"] == "device_absent" and lines[4]["median_ms"] == "",
          "CSV: quoted text, empty numbers")
    done("report", path, "--output", scratch / "report.md")
    text = (scratch / "report.md").read_text()
    check(f"{rows[0]['median_ms']:.2f} |" in text and "device_absent: " in text and "## Ops" in text and "\\<script>" in text,
          "Markdown by the name of the output", text[:500])
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|") and "cpu" not in line}
    check(len(widths) <= 3, "Markdown: every table has its columns", str(widths))


def test_report_page(scratch):
    path, _ = measured_and_not(scratch)
    done("report", path, "--output", scratch / "report.html", cwd=scratch)
    page = (scratch / "report.html").read_text()
    images = re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)">', page)
    check(len(images) == 5 and page.count("<img") == 5, "a plot of each kind, for the rows that were measured", str([i[0] for i in images]))
    for title, data in images:
        svg = ElementTree.fromstring(base64.b64decode(data, validate=True))
        check(svg.tag.endswith("svg") and len(list(svg.iter())) > 30, f"{title}: is a plot")
    body = re.sub(r'src="data:[^"]*"', "", page)
    check("http" not in body and "src=" not in body and "@import" not in body, "needs nothing from anywhere")
    check("<script" not in page and "a|b&lt;script&gt;" in page and not (scratch / "x").exists(), "names are text")
    check("viewport" in page and "@media print" in page and "device_absent" in page and "Single ops" in page, "phone, print, failures, ops")
    check({f.name for f in scratch.iterdir()} == {"rows.jsonl", "ops.jsonl", "report.html"}, "leaves nothing else")
    result = tern("report", path, "--output", scratch / "other.html", env={"PATH": "/nonexistent"})
    check_fails("no gnuplot", result, "gnuplot", "--format markdown")
    check(not (scratch / "other.html").exists() and not (scratch / "other.html.part").exists(), "and no page")


def test_report_side_by_side(scratch):
    """Peers write rows of their own; the ratio that was measured in turns counts, else that of the medians."""
    def peer(engine, ms, **more):
        return {**row_of(50, [ms]), "kind": "forward", "engine": engine, **more}

    rows = [peer("tern", 10.0), peer("torch", 30.0, ratio={"median": 2.5}), peer("other", 15.0), peer("broken", 1.0, status="failed"),
            {**peer("torch", 7.0), "chars": 99}]
    path = write_rows(scratch / "rows.jsonl", rows)
    text = done("report", path, "--format", "markdown").out.decode()
    line = next(line for line in text.splitlines() if "forward cpu" in line)
    check([c.strip() for c in line.strip("|").split("|")] ==
          ["m", "forward cpu float32, 2 threads", "50", "1", "10.00", "30.00 (2.50 x)", "15.00 (1.50 x)", "failed"], "Markdown", line)
    check(text.count("forward cpu") == 1, "what one engine ran alone is not compared", text)
    page = done("report", path, "--format", "html").out.decode()
    check("Side by side" in page and "30.00 (2.50 x)" in page, "the page")
    check("Side by side" not in done("report", write_rows(path, rows[:1]), "--format", "html").out.decode(), "nothing for one engine")
    check(compare(scratch, rows, rows, "--json").code == 0, "and --compare takes such rows")


def test_report_output(scratch):
    """What stands under the name is replaced only by a whole report, and only where it is a file."""
    path = write_rows(scratch / "rows.jsonl", [row_of(50, [1.0])])
    expected = done("report", path, "--format", "csv").out
    (scratch / "target.csv").touch()
    (scratch / "target.csv").chmod(0o600)
    (scratch / "link.csv").symlink_to("target.csv")
    (scratch / "link.csv.part").write_text("somebody's")
    done("report", path, "--output", scratch / "link.csv")
    check((scratch / "link.csv").is_symlink() and (scratch / "target.csv").read_bytes() == expected, "a link is followed")
    check((scratch / "target.csv").stat().st_mode & 0o777 == 0o600, "the file keeps its mode")
    (scratch / "broken.jsonl").write_text("{")
    check_fails("broken rows", tern("report", scratch / "broken.jsonl", "--output", scratch / "target.csv"), "broken.jsonl")
    check((scratch / "target.csv").read_bytes() == expected, "what was there stays")
    os.mkfifo(scratch / "pipe.csv")
    reader = subprocess.Popen(["cat", scratch / "pipe.csv"], stdout=subprocess.PIPE)
    done("report", path, "--output", scratch / "pipe.csv")
    check(reader.communicate(timeout=60)[0] == expected, "a pipe is written to")
    if os.path.exists("/dev/full"):
        device = full_device(scratch)
        check_fails("a full device", tern("report", path, "--output", device, "--format", "csv"), "full", "No space left on device")
        check(device.is_char_device(), "a device stays a device")
        (scratch / "full").unlink(missing_ok=True)
    left = {f.name for f in scratch.iterdir()}
    check(left == {"rows.jsonl", "broken.jsonl", "target.csv", "link.csv", "link.csv.part", "pipe.csv"}, "nothing else is left", left)


def test_report_refuses(scratch):
    check_fails("no file", tern("report"), "FILE.jsonl", code=2)
    check_fails("a format that is none", tern("report", "x", "--format", "pdf"), "pdf", code=2)
    check_fails("a file that is not there", tern("report", scratch / "none.jsonl", "--format", "csv"), "none.jsonl")
    path = write_rows(scratch / "rows.jsonl", [row_of(50, [1.0])])
    check_fails("a folder that is not there", tern("report", path, "--output", scratch / "no" / "r.csv"), "no/r.csv")


def test_usage():
    for option, value in (("--chars", "0"), ("--chars", "5,"), ("--chars", "5,x"), ("--batch", "-1"), ("--batch", "1,,2"),
                          ("--device", "cpu,,"), ("--dtype", ""), ("--iterations", "0")):
        check_fails(f"{option} '{value}'", tern("bench", TINY, option, value), option, code=2)
    check_fails("an option of another command", tern("bench", TINY, "--tokens", "5"), "--tokens", code=2)


def test_models_without_a_name(scratch):
    """Where no random checkpoint can be kept, there is none."""
    away = {"HF_HUB_CACHE": str(scratch / "hub"), "PATH": "/nonexistent"}
    check_fails("no folder for them", tern("bench", env=away), "XDG_CACHE_HOME", "bert-base-uncased")
    (scratch / "file").write_text("")
    check_fails("a file in the way", tern("bench", env={**away, "XDG_CACHE_HOME": str(scratch / "file")}), "file/tern")


def test_interrupt(scratch):
    path = scratch / "rows.jsonl"
    process = subprocess.Popen([TERN, "bench", TINY, "--chars", "200", "--batch", "16", "--iterations", "100000", "--output", path],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    rows = rows_of(path)
    check(process.returncode == 1 and b"interrupted" in err, "an interrupt ends the run", str(err))
    check_schema("an interrupt", rows)
    check(len(rows) == 1 and rows[0]["status"] == "interrupted" and 0 < len(rows[0]["iterations_ms"]) < 100000, "and keeps the rows so far")


if __name__ == "__main__":
    sys.exit(main(globals()))
