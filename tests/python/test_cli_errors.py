#!/usr/bin/env python3
"""test_cli_errors.py - what `tern` does with bad folders and texts, full disks, closed pipes, interrupts; and its progress line.

Every failure is one clear message and exit status 1, with nothing half-written. Environment: see command.py.
The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

from command import MODEL, TERN, TINY, Result, check, check_fails, done, forward, full_device, main, tern


# ---- Bad folders ------------------------------------------------------------------------------------------------------------------

def split_safetensors(data):
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def join_safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class BadFolders:
    """Copies of a tiny checkpoint, each with one thing wrong."""

    def __init__(self, scratch):
        self.scratch, self.n = scratch, 0

    def copy(self):
        self.n += 1
        folder = self.scratch / f"folder-{self.n}"
        shutil.copytree(TINY, folder)
        return folder

    def weights(self, what, change, *needed):
        folder = self.copy()
        path = folder / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))
        check_fails(f"weights: {what}", tern("embed", folder, "abc"), "model.safetensors", *needed)

    def tensor(self, what, key, value, *needed):
        """One entry of the header of one tensor is changed."""
        def change(data):
            header, rest = split_safetensors(data)
            names = [n for n in header if n != "__metadata__"]
            by_offset = sorted(names, key=lambda n: header[n]["data_offsets"])
            header[by_offset[1]][key] = value(header[by_offset[1]][key]) if callable(value) else value
            return join_safetensors(header, rest)
        self.weights(what, change, *needed)

    def config(self, what, change, *needed):
        folder = self.copy()
        text = (folder / "config.json").read_text()
        changed = change(text) if callable(change) else change
        (folder / "config.json").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
        check_fails(f"config: {what}", tern("embed", folder, "abc"), "config.json", *needed)


def test_bad_weights(scratch):
    bad = BadFolders(scratch)
    bad.weights("empty file", lambda d: b"")
    bad.weights("cut in the header", lambda d: d[:100])
    bad.weights("cut in the data", lambda d: d[: len(d) // 2])
    bad.weights("one byte too many", lambda d: d + b"x")
    bad.weights("header length beyond the file", lambda d: struct.pack("<Q", len(d)) + d[8:])
    bad.weights("header length of 2^63", lambda d: struct.pack("<Q", 1 << 63) + d[8:])
    bad.weights("broken JSON", lambda d: d[:8] + b"[" + d[9:])
    bad.weights("duplicate key", lambda d: join_safetensors(json.dumps(split_safetensors(d)[0]).encode()[:-1] + b", " +
                                                            json.dumps(split_safetensors(d)[0]).encode()[1:], split_safetensors(d)[1]))
    bad.tensor("unknown dtype", "dtype", "F33", "F33")
    bad.tensor("overlapping ranges", "data_offsets", lambda o: [o[0] - 4, o[1] - 4])
    bad.tensor("a range beyond the file", "data_offsets", lambda o: [o[0] + (1 << 40), o[1] + (1 << 40)])
    bad.tensor("a range backwards", "data_offsets", lambda o: o[::-1])
    bad.tensor("an overflowing shape", "shape", [1 << 40, 1 << 40])
    bad.tensor("a negative shape", "shape", [-1, -4])


def test_wrong_tensors(scratch):
    """Missing, unexpected and misshapen tensors: all in one message, and in the load report."""
    folder = BadFolders(scratch).copy()
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    missing = [n for n in tensors if n.endswith("attention.self.query.weight") or n.endswith("intermediate.dense.bias")]
    misshapen = [n for n in tensors if n.endswith("embeddings.word_embeddings.weight") or n.endswith("attention.output.dense.weight")]
    unexpected = ["something.else", "encoder.layer.0.attention.self.extra.weight"]
    for name in missing:
        del tensors[name]
    for name in misshapen:
        tensors[name] = np.ascontiguousarray(tensors[name][:, :-1])
    for name in unexpected:
        tensors[name] = np.zeros((2, 3), np.float32)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    check(len(missing) >= 2 and len(misshapen) >= 2, "wrong tensors: the tiny checkpoint has those to break")
    for command in (["embed", folder, "abc"], ["info", folder], ["similarity", folder, "abc"]):
        check_fails(f"wrong tensors: {command[0]} lists them all", tern(*command), *missing, *misshapen, *unexpected)
    result = tern("info", folder, "--weights", "--json")
    check_fails("wrong tensors: info --weights fails", result, *missing)
    (report,) = result.json()
    state = {w["checkpoint_name"] or w["name"]: w["state"] for w in report["weights"]}
    expected = {**dict.fromkeys(missing, "missing"), **dict.fromkeys(misshapen, "misshapen"), **dict.fromkeys(unexpected, "unexpected")}
    check(all(state.get(n) == s for n, s in expected.items()), "wrong tensors: the load report has them", state)
    check(all(report["weight_counts"][s] == list(expected.values()).count(s) for s in set(expected.values())), "wrong tensors: counted")
    people = tern("info", folder, "--weights")
    lines = people.out.decode().splitlines()
    check(people.code == 1 and all(any(s in line and n in line for line in lines) for n, s in expected.items()),
          "wrong tensors: for people")


def test_quantized_tensors(scratch):
    """A folder that MLX quantized: what does not belong together is named; where tensors begin in the file does not matter."""
    quantized = TINY.parent / "mlx-affine4-g32"
    good = safetensors.numpy.load_file(quantized / "model.safetensors")
    stem = "encoder.layer.1.attention.self.key."

    def folder_with(data):
        folder = BadFolders(scratch / "quantized").copy()
        shutil.copy(quantized / "config.json", folder)
        (folder / "model.safetensors").write_bytes(data)
        return folder

    def check_refused(what, ending, change, needed=stem + "weight"):
        tensors = dict(good)
        changed = change(tensors.pop(stem + ending))
        if changed is not None:
            tensors[stem + ending] = np.ascontiguousarray(changed)
        folder = folder_with(safetensors.numpy.save(tensors))
        check_fails(f"quantized: {what}", tern("info", folder), needed)
        shutil.rmtree(folder)

    check_refused("no scales", "scales", lambda a: None)
    check_refused("no biases", "biases", lambda a: None)
    check_refused("scales for a row less", "scales", lambda a: a[:-1])
    check_refused("scales for groups of 64, biases for 32", "scales", lambda a: a[:, :1])
    check_refused("scales for groups of 13", "scales", lambda a: np.zeros((a.shape[0], 5), np.float32))
    check_refused("scales without groups", "scales", lambda a: a[:, :0])
    check_refused("integer scales", "scales", lambda a: a.astype(np.int32))
    check_refused("biases of another dtype", "biases", lambda a: a.astype(np.float16))
    check_refused("one axis too many", "scales", lambda a: a[None])
    check_refused("a column less", "weight", lambda a: a[:, :-1])
    check_refused("of 16 bits", "weight", lambda a: np.tile(a, (1, 4)))
    check_refused("scales beside floats", "weight", lambda a: np.zeros((64, 64), np.float32), needed=stem + "scales")
    check_refused("signed words", "weight", lambda a: a.view(np.int32))

    data = (quantized / "model.safetensors").read_bytes()
    header, rest = split_safetensors(data)
    for n_spaces in (1, 2, 3):
        folder = folder_with(join_safetensors(json.dumps(header).encode() + b" " * n_spaces, rest))
        out = [forward(scratch, f, {"input_ids": np.array([[2, 9, 30, 3]])})["last_hidden_state"] for f in (folder, quantized)]
        check(np.array_equal(*out), f"quantized: data {n_spaces} bytes further on")
        shutil.rmtree(folder)


def test_bad_config(scratch):
    bad = BadFolders(scratch)
    config = json.loads((TINY / "config.json").read_text())

    def without(key):
        return json.dumps({k: v for k, v in config.items() if k != key})

    bad.config("broken JSON", '{\n "model_type": "bert",\n "hidden_size": ,\n}', "line 3", "column")
    bad.config("empty", "")
    bad.config("an array", "[1, 2]")
    bad.config("cut", lambda text: text[:-5], "line")
    bad.config("a duplicate key", '{"model_type": "bert", "model_type": "bert"}', "line 1, column 24")
    bad.config("invalid UTF-8", b'{"model_type": "\xff"}')
    bad.config("nested without end", "[" * 100_000)
    bad.config("no model_type", without("model_type"), "model_type")
    bad.config("an unknown model_type", json.dumps({**config, "model_type": "perceptron-9000"}), "perceptron-9000", "bert")
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        bad.config(f"no {key}", without(key), key)
    bad.config("a hidden_size that is text", json.dumps({**config, "hidden_size": "60"}), "hidden_size")
    bad.config("a negative hidden_size", json.dumps({**config, "hidden_size": -60}), "hidden_size")
    bad.config("heads that do not divide", json.dumps({**config, "num_attention_heads": config["hidden_size"] - 1}), "num_attention_heads")
    bad.config("an unknown activation", json.dumps({**config, "hidden_act": "wiggle"}), "wiggle")


def as_nobody():
    """Run as a user who may read what others may, when we are root, whom permissions do not stop."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_bad_folder(scratch):
    bad = BadFolders(scratch)
    check_fails("no such folder", tern("embed", scratch / "nowhere", "abc"), "nowhere")
    check_fails("a file as the folder", tern("embed", TINY / "config.json", "abc"), "config.json: is no folder")
    check_fails("no such folder for the tokenizer", tern("tokenize", scratch / "nowhere", "abc"), "nowhere")
    folder = bad.copy()
    (folder / "model.safetensors").unlink()
    check_fails("a folder without weights", tern("embed", folder, "abc"), "model.safetensors")
    folder = bad.copy()
    (folder / "config.json").unlink()
    check_fails("a folder without config.json", tern("embed", folder, "abc"), "config.json")
    folder = bad.copy()
    (folder / "vocab.txt").unlink()
    check_fails("a folder without a vocabulary", tern("tokenize", folder, "abc"), "tokenizer.json", "vocab.txt")
    check_fails("embed without a vocabulary", tern("embed", folder, "abc"), "tokenizer.json", "vocab.txt")
    out = forward(scratch, folder, {"input_ids": np.array([[5, 6]])})
    check(out["last_hidden_state"].shape[:2] == (1, 2), "forward needs no vocabulary")
    folder = bad.copy()
    (folder / "tokenizer.json").write_text('{\n "version": 1.0,\n "model": {]\n}')
    check_fails("a broken tokenizer.json", tern("tokenize", folder, "abc"), "tokenizer.json", "line 3")

    copy = scratch / "tern"
    shutil.copy(TERN, copy)
    copy.chmod(0o755)
    for what, path in (("a folder", "."), ("a weight file", "model.safetensors"), ("a config", "config.json"),
                       ("a vocabulary", "vocab.txt")):
        folder = bad.copy()
        for file in folder.iterdir():
            file.chmod(0o644)
        environment = {"executable": str(copy), "preexec_fn": as_nobody}
        check(tern("embed", folder, "abc", **environment).code == 0, f"{what} with read permission is read")
        (folder / path).chmod(0)
        result = tern("embed", folder, "abc", **environment)
        check_fails(f"{what} without read permission", result, Path(path).name, "Permission denied")
        (folder / path).chmod(0o755)


# ---- Bad texts --------------------------------------------------------------------------------------------------------------------

def test_bad_texts(scratch):
    for command in ("embed", "tokenize", "similarity"):
        options = ["--json"]
        check_fails(f"{command}: invalid UTF-8 in an argument", tern(command, MODEL, *options, "good", b"bad \xff"), "TEXT 2", "UTF-8")
        for what, text in (("a lone continuation byte", b"\x80"), ("an overlong slash", b"\xc0\xaf"), ("a surrogate", b"\xed\xa0\x80"),
                           ("beyond U+10FFFF", b"\xf4\x90\x80\x80"), ("cut", b"abc \xe2\x82")):
            result = tern(command, MODEL, *options, stdin=b"good\n\nline " + text + b"\ngood\n")
            check_fails(f"{command}: {what} in line 3", result, "line 3", "UTF-8")
    path = scratch / "v.npy"
    path.write_bytes(b"what was here before")
    result = tern("embed", TINY, "--output", path, stdin=b"good\n" * 9000 + b"\xff\n")
    check_fails("embed --output: bad text in a later window", result, "line 9001")
    check([p.name for p in scratch.iterdir()] == ["v.npy"] and path.read_bytes() == b"what was here before",
          "embed --output: what was under the name stays, and nothing else", list(scratch.iterdir()))
    path.chmod(0o600)
    safetensors.numpy.save_file({"input_ids": np.full((1, 3), 7)}, scratch / "in.safetensors")
    (scratch / "out.safetensors").touch()
    (scratch / "out.safetensors").chmod(0o606)
    tern("embed", TINY, "abc", "--output", path)
    tern("forward", TINY, "--inputs", scratch / "in.safetensors", "--output", scratch / "out.safetensors")
    check(path.stat().st_mode & 0o777 == 0o600 and (scratch / "out.safetensors").stat().st_mode & 0o777 == 0o606,
          "--output: a file that is replaced keeps its mode", [oct(p.stat().st_mode) for p in scratch.iterdir()])
    check_fails("--pair that is no UTF-8", tern("tokenize", MODEL, "good", "--pair", b"\xff"), "UTF-8")

    result = tern("embed", MODEL, "--json", stdin=b"a\0b\n\0\n\n" + b"x" * 1_000_000 + b"\n" + b"word " * 200_000)
    check(result.code == 0 and result.err.count("\n") == 1 and "1 text longer than 256 tokens was cut there" in result.err,
          "embed: a line of 1 MB is cut, which is said", result.err)
    rows = result.json()
    check([r["n_tokens"] for r in rows][1:] == [2, 2, 3, 256],
          "embed: NUL bytes, an empty line, and lines of 1 MB", [r["n_tokens"] for r in rows])
    check(all(np.isfinite(r["embedding"]).all() for r in rows), "embed: those vectors are finite")
    check(done("embed", MODEL, "--json", "").json()[0]["n_tokens"] == 2, "embed of an empty TEXT")


# ---- Full disks, closed pipes, interrupts, terminals --------------------------------------------------------------------------------

def with_file_limit(bytes_allowed):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))
    return limit


def test_full_disk(scratch):
    if os.path.exists("/dev/full"):
        for arguments in (["--help"], ["--version"], ["embed", "--help"], ["info"], ["info", MODEL, "--json", "--weights"],
                          ["embed", MODEL, "abc"], ["embed", MODEL, "--json", "abc"], ["tokenize", MODEL, "abc"], ["tokenize", MODEL, "--json", "abc"],
                          ["tokenize", MODEL, "--decode", "101"], ["similarity", MODEL, "a", "b"],
                          ["similarity", MODEL, "--json", "a", "b"]):
            with open("/dev/full", "wb") as full:
                result = tern(*arguments, stdout=full)
            check_fails(f"full disk under standard output: {' '.join(map(str, arguments))}", result, "standard output",
                        "No space left on device")
        device = full_device(scratch)
        check_fails("a full device as --output", tern("embed", MODEL, "abc", "--output", device), "full", "No space left on device")
        check(device.is_char_device(), "a device given as --output stays a device")
        (scratch / "full").unlink(missing_ok=True)
    else:
        check(True, "skipped: there is no /dev/full here")

    target = scratch / "v.npy"
    result = tern("embed", MODEL, "--output", target, stdin=b"text\n" * 100, preexec_fn=with_file_limit(20_000), restore_signals=False)
    check_fails("embed --output to a disk that fills up", result, "v.npy", "cannot be written")
    check(not any(scratch.iterdir()), "embed --output: nothing is left", list(scratch.iterdir()))
    safetensors.numpy.save_file({"input_ids": np.full((4, 30), 7)}, scratch / "in.safetensors")
    result = tern("forward", TINY, "--inputs", scratch / "in.safetensors", "--output", scratch / "out.safetensors",
                  preexec_fn=with_file_limit(10_000), restore_signals=False)
    check_fails("forward --output to a disk that fills up", result, "out.safetensors", "cannot be written")
    check([p.name for p in scratch.iterdir()] == ["in.safetensors"], "forward --output: nothing is left", list(scratch.iterdir()))
    result = tern("init", TINY / "config.json", "--output", scratch / "random", preexec_fn=with_file_limit(10_000), restore_signals=False)
    check_fails("init on a disk that fills up", result, "model.safetensors", "cannot be written")
    check(not (scratch / "random" / "model.safetensors").exists(), "init: no half-written weights")
    for what, path, reason in (("a folder that is not there", scratch / "no" / "where.npy", "No such file"),
                               ("a folder", scratch, "directory")):
        check_fails(f"embed --output to {what}", tern("embed", TINY, "abc", "--output", path), reason)
    os.mkfifo(scratch / "pipe")
    reader = os.open(scratch / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    check_fails("embed --output to a pipe", tern("embed", TINY, "abc", "--output", scratch / "pipe"), "pipe cannot go back")
    os.close(reader)


def test_pipes(scratch):
    process = subprocess.Popen([TERN, "tokenize", str(MODEL), "--json", *["some text"] * 20_000],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    check(process.wait(60) == -signal.SIGPIPE and err == b"", "a reader that leaves ends the command by SIGPIPE, in silence", err)
    process.stderr.close()
    with open(os.devnull, "wb") as write_only:
        result = Result(subprocess.run([TERN, "embed", str(TINY)], stdin=write_only, capture_output=True, timeout=60))
    check_fails("standard input that cannot be read", result, "standard input")

    for number in (signal.SIGINT, signal.SIGTERM) * 20:
        process = subprocess.Popen([TERN, "embed", str(TINY), "--output", str(scratch / "v.npy")],
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"abc\n")
        process.stdin.flush()
        until = time.monotonic() + 60
        while not any(scratch.iterdir()) and time.monotonic() < until:  # no sleep: the signal comes as early as it can
            pass
        check(list(scratch.glob("v.npy.*")) != [] and not (scratch / "v.npy").exists(),
              "embed --output has another name until it is complete")
        process.send_signal(number)
        check(process.wait(60) == -number and not any(scratch.iterdir()), f"{number.name} ends embed and removes what it wrote")
        process.stdin.close()
        process.stderr.close()


def test_progress(scratch):
    """A bar where a person watches, nothing where the results go over the same screen."""
    def shown(*arguments, stdin, on_terminal):
        main, side = pty.openpty()
        with open(scratch / "out", "wb") as out:
            process = subprocess.Popen([TERN, *map(str, arguments)], stdin=stdin, stdout=side if on_terminal else out, stderr=side)
        os.close(side)
        text = b""
        try:
            while chunk := os.read(main, 65536):
                text += chunk
        except OSError:  # the other side is closed
            pass
        os.close(main)
        return process.wait(60), text.decode(errors="replace")

    (scratch / "texts").write_bytes(b"a text of some length to embed\n" * 20_000)
    with open(scratch / "texts", "rb") as texts:
        code, text = shown("embed", TINY, "--output", scratch / "v.npy", stdin=texts, on_terminal=False)
    check(code == 0 and re.search(r"\[#* *\] +\d+%  \d+ texts, \d+ texts/s", text) is not None,
          "embed shows progress on a terminal", text[:300])
    check(text.endswith("\r\x1b[K"), "embed takes the progress line away at the end", text[-60:])
    with open(os.devnull, "rb") as nothing:
        code, text = shown("embed", TINY, "abc", stdin=nothing, on_terminal=True)
    check(code == 0 and "texts/s" not in text and "abc" in text, "embed shows none where the results are shown", text)


if __name__ == "__main__":
    sys.exit(main(globals()))
