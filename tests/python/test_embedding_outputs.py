#!/usr/bin/env python3
"""test_embedding_outputs.py - what becomes of vectors after the model: tests/golden/embedding-outputs.json has the library's numbers
(scripts/golden-embedding-outputs.py). Quantized vectors are equal to the last bit; similarities, cut vectors and windows are within bounds.

Environment: TERN_COMMAND, TERN_LIBRARY. The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import base64
import ctypes
import json
import os
import sys

import numpy as np
from command import ROOT, check, check_fails, lines_of, main, tern

GOLDEN = json.loads((ROOT / "tests" / "golden" / "embedding-outputs.json").read_text(encoding="utf-8"))
FOLDER = ROOT / "tests" / "golden" / "sentence-transformers" / GOLDEN["folder"]
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FUNCTIONS = ("cosine", "dot", "euclidean", "manhattan")
BOUND = 2e-6  # of vectors of unit length, and of sums of 21 products relative to their size: float32, in another order
LIB = ctypes.CDLL(os.environ.get("TERN_LIBRARY", str(ROOT / "build" / "release" / "src" / "libtern.so")))
LIB.tern_maxsim.restype = ctypes.c_float


def array(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), dtype=packed["dtype"]).reshape(packed["shape"])


def pointer(values):
    return values.ctypes.data_as(ctypes.c_void_p)


def size(n):
    return ctypes.c_size_t(n)


def quantize(precision, vectors, calibration):
    n, width = vectors.shape
    ranges = np.zeros((2, width), np.float32)
    assert LIB.tern_quantization_ranges(pointer(ranges), pointer(calibration), size(len(calibration)), size(width), None) == 0
    bits = precision.endswith("binary")
    out = np.zeros((n, (width + 7) // 8 if bits else width), np.int8 if precision in ("int8", "binary") else np.uint8)
    assert LIB.tern_quantize(pointer(out), PRECISIONS.index(precision), pointer(vectors), size(n), size(width), pointer(ranges), None) == 0
    return out


def test_quantized_vectors_are_equal():
    golden = GOLDEN["quantization"]
    vectors, calibration = array(golden["vectors"]), array(golden["calibration"])
    for name, source in (("own", vectors), ("calibrated", calibration)):
        for precision, expected in golden[name].items():
            expected, found = array(expected), quantize(precision, vectors, source)
            check(found.dtype == expected.dtype and np.array_equal(found, expected), f"{precision}, {name} ranges")


def test_similarities():
    golden = GOLDEN["similarity"]
    a, b = array(golden["a"]), array(golden["b"])
    for f, name in enumerate(FUNCTIONS):
        matrix, pairs = array(golden["functions"][name]["matrix"]), array(golden["functions"][name]["pairs"])
        found, found_pairs = np.zeros_like(matrix), np.zeros_like(pairs)
        LIB.tern_similarity(pointer(found), f, pointer(a), size(7), pointer(b), size(5), size(21), None)
        LIB.tern_pairwise_similarity(pointer(found_pairs), f, pointer(a), pointer(b), size(5), size(21), None)
        for what, one, other in (("matrix", found, matrix), ("pairs", found_pairs, pairs)):
            difference = np.abs(one - other).max() / max(1, np.abs(other).max())
            check(difference <= BOUND, f"{name}, {what}: {difference:.1e}")
    found = LIB.tern_maxsim(pointer(a), size(7), pointer(b), size(5), size(21))
    check(abs(found - golden["maxsim"]) <= BOUND * abs(golden["maxsim"]), f"maxsim {found}")


def embed(texts, *arguments):
    result = tern("embed", FOLDER, "--json", *arguments, stdin=lines_of(texts))
    if result.code != 0:
        raise RuntimeError(result.err)
    return np.array([line["embedding"] for line in result.json()]), result


def test_truncate_dim():
    for call in GOLDEN["truncate_dim"]:
        expected, (found, _) = array(call["rows"]), embed(GOLDEN["texts"], *call["arguments"])
        difference = np.abs(found - expected).max() if found.shape == expected.shape else np.inf
        check(difference <= BOUND, f"{' '.join(call['arguments'])}: {difference:.1e}")


def test_precision_of_the_command(scratch):
    texts = GOLDEN["texts"] * 2
    floats = embed(texts)[0].astype(np.float32)
    calibration = np.concatenate([floats[:2] * np.float32(0.5), floats[:2] * np.float32(-0.25)])
    np.save(scratch / "calibration.npy", calibration)
    for precision in PRECISIONS[1:]:
        given = ["--precision", precision]
        has_ranges = precision.endswith("int8")
        for extra, source in [([], floats)] + ([(["--calibration", scratch / "calibration.npy"], calibration)] if has_ranges else []):
            expected = quantize(precision, floats, source)
            found, _ = embed(texts, *given, *extra)
            tern("embed", FOLDER, *given, *extra, "--output", scratch / "out.npy", stdin=lines_of(texts))
            saved = np.load(scratch / "out.npy")
            check(np.array_equal(found, expected), f"{precision} in JSON, calibrated: {bool(extra)}")
            check(saved.dtype == expected.dtype and np.array_equal(saved, expected), f"{precision} in a file, calibrated: {bool(extra)}")
    check_fails("ranges of one text", tern("embed", FOLDER, "a", "--precision", "int8"), "--calibration")
    np.save(scratch / "wide.npy", np.zeros((3, 999), np.float32))
    for file, needed in (("wide.npy", "999"), ("none.npy", "cannot be read"), ("out.npy", "float32")):
        result = tern("embed", FOLDER, "a", "b", "--precision", "int8", "--calibration", scratch / file)
        check_fails(f"calibration {file}", result, file, needed)


def test_windows():
    for case in GOLDEN["windows"]:
        vectors, n_new = array(case["vectors"]).astype(np.float64), np.array(case["n_new"], np.float64)
        expected = (vectors * n_new[:, None]).sum(0) / n_new.sum()
        expected /= np.linalg.norm(expected)
        found, result = embed(["a man", case["text"]], "--window", case["stride"])
        difference = np.abs(found[1] - expected).max()
        check(difference <= BOUND and not result.err, f"{len(n_new)} windows, stride {case['stride']}: {difference:.1e}")
        check(np.array_equal(found[0], embed(["a man"])[0][0]), "a text of one window has the bits that it has without")
    check_fails("a stride that is too long", tern("embed", FOLDER, "a", "--window", "9999"), "stride is 9999")


def test_truncation_is_said_once():
    long_text = GOLDEN["windows"][-1]["text"]
    _, result = embed([long_text, "a man"] * 3)
    check(result.err.count("\n") == 1 and "3 texts" in result.err, "once, with the number of texts", result.err)


if __name__ == "__main__":
    sys.exit(main(globals()))
