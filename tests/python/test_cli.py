#!/usr/bin/env python3
"""test_cli.py - every command and option of `tern` on real input. What it does with bad input is in test_cli_errors.py.

Numbers are compared with one another and with Hugging Face's tokenizers; test_parity.py compares them with transformers.
Environment: see command.py. The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer

from command import MODEL, NO_POOLER, ROOT, TERN, TINY, as_float32, check, check_fails, done, forward, lines_of, main, tern

TEXTS = ["A man is eating food.", "Someone is having a meal!", "Crème brûlée à Zürich", "東京は日本の首都です。", "Привет, мир", "नमस्ते दुनिया",
         "a" * 150, "unaffable 🙂 don't\tstop", "", "hello"]


# ---- The command itself, its help, its manual page --------------------------------------------------------------------------------

def options_of(page):
    return set(re.findall(r"^  (--[a-z-]+)", page, re.MULTILINE))


def manual_sections():
    """Options that the manual page describes, by section."""
    text = (ROOT / "docs" / "tern.1").read_text().replace("\\-", "-")
    sections, name = {}, ""
    for line in text.splitlines():
        if line.startswith((".SH ", ".SS ")):
            name = line[4:]
        sections.setdefault(name, []).append(line)
    described = {}
    for name, lines in sections.items():
        heads = [after for before, after in itertools.pairwise(lines) if before == ".TP"]
        described[name] = {o for head in [name, *heads] for o in re.findall(r"--[a-z-]+", head)}
    return described


def test_help():
    top = done("--help").out.decode()
    version = done("--version").out.decode()
    header = (ROOT / "include" / "tern" / "base.h").read_text()
    expected = ".".join(re.search(rf"TERN_VERSION_{p} (\d+)", header)[1] for p in ("MAJOR", "MINOR", "PATCH"))
    check(version == f"tern {expected}\n", "--version says what tern/base.h says", version)
    manual = manual_sections()
    shared = manual["Options of every command that runs a model"]
    general = manual["OPTIONS"]
    check(options_of(top) == general, "--help and the manual page have the same general options", f"{options_of(top)} {general}")
    commands = re.findall(r"^  ([a-z-]+)  ", top.split("commands:")[1].split("options:")[0], re.MULTILINE)
    check(len(commands) == 15, "--help lists the commands", commands)
    for command in commands:
        page = done(command, "--help").out.decode()
        check(page.startswith(f"usage: tern {command} ") and "\nexamples:\n  tern " in page, f"{command} --help: usage and examples")
        own = set().union(*(o for name, o in manual.items() if name.startswith(f"tern {command}")))
        runs_model = command not in ("tokenize", "pull", "init", "bench", "report")
        expected = own | (shared if runs_model else set()) | {"--help"}
        check(options_of(page) == expected, f"{command} --help and the manual page have the same options", options_of(page) ^ expected)
        too_long = [line for line in page.splitlines() if len(line) > 140]
        check(not too_long, f"{command} --help: no line over 140 columns", too_long)


def test_info_keys():
    """The manual page names every key of `info --json`."""
    text = (ROOT / "docs" / "tern.1").read_text().split(".SS tern info")[1].split(".SS ")[0]
    info = done("info", MODEL, "--json", "--weights").json()[0]
    missing = {key for key in [*info, *info["memory"]] if not re.search(rf"\b{key}\b", text)}
    check(not missing, "the manual page has the keys of info --json", missing)


def test_usage():
    check(tern().code == 2 and not tern().out, "no command: exit 2, nothing on standard output")
    for what, arguments, needed in (
        ("an unknown command", ["embd"], "did you mean 'embed'"),
        ("an unknown command like no other", ["zzzzzz"], "unknown command 'zzzzzz'"),
        ("an unknown option", ["embed", MODEL, "--jsn", "a"], "did you mean '--json'"),
        ("an unknown option with a value", ["embed", MODEL, "--outptu=x", "a"], "'--outptu'; did you mean '--output'"),
        ("a text that begins with a hyphen", ["embed", MODEL, "-5 degrees"], "goes after '--'"),
        ("a missing value", ["embed", MODEL, "a", "--output"], "--output needs a value"),
        ("a flag with a value", ["embed", MODEL, "a", "--json=1"], "--json takes no value"),
        ("an unknown pooling", ["embed", MODEL, "a", "--pooling", "sum"], "mean, cls, max"),
        ("threads 0", ["embed", MODEL, "a", "--threads", "0"], "1 ... 1024"),
        ("threads that are no number", ["embed", MODEL, "a", "--threads", "two"], "'two'"),
        ("threads with more behind the number", ["embed", MODEL, "a", "--threads", "2x"], "'2x'"),
        ("an empty number", ["embed", MODEL, "a", "--threads="], "--threads"),
        ("--json with --output", ["embed", MODEL, "a", "--json", "--output", "x.npy"], "exclude"),
        ("embed without MODEL", ["embed"], "MODEL is missing"), ("similarity without MODEL", ["similarity"], "MODEL is missing"),
        ("tokenize without MODEL", ["tokenize"], "MODEL is missing"), ("--decode without ids", ["tokenize", MODEL, "--decode"], "ID"),
        ("--decode of a word", ["tokenize", MODEL, "--decode", "12", "x7"], "'x7'"),
        ("--decode of a number beyond ids", ["tokenize", MODEL, "--decode", "99999999999"], "99999999999"),
        ("--decode with --pair", ["tokenize", MODEL, "--decode", "1", "--pair", "b"], "--pair"),
        ("--stride without --max-length", ["tokenize", MODEL, "a", "--stride", "1"], "--max-length"),
        ("--truncation of another name", ["tokenize", MODEL, "a", "--max-length", "9", "--truncation", "longest"], "'longest'"),
        ("--truncate 0", ["tokenize", MODEL, "a", "--truncate", "0"], "--truncate"),
        ("info with two models", ["info", MODEL, MODEL], "one MODEL at most"), ("--weights without MODEL", ["info", "--weights"], "MODEL"),
        ("--batch without MODEL", ["info", "--batch", "2"], "MODEL"), ("--device without MODEL", ["info", "--device", "cpu"], "MODEL"),
        ("--truncation-side of another name", ["tokenize", MODEL, "a", "--truncation-side", "up"], "'up' is none of right, left"),
        ("an option before the command", ["-h"], "'-h'; there are --help"), ("ops with a model", ["bench", "ops", MODEL], "ops takes no MODEL"),
        ("--targets of nothing", ["fill", MODEL, "a", "--targets", ","], "--targets"),
        ("forward without --inputs", ["forward", MODEL, "--output", "x"], "--inputs"),
        ("forward without --output", ["forward", MODEL, "--inputs", "x"], "--output"), ("forward without MODEL", ["forward"], "MODEL"),
        ("init without --output", ["init", MODEL / "config.json"], "--output"),
        ("init without CONFIG", ["init", "--output", "x"], "CONFIG"),
        ("a negative seed", ["init", "c.json", "--output", "x", "--seed", "-1"], "--seed"),
    ):
        result = tern(*arguments)
        check_fails(f"usage: {what}", result, needed, "--help", code=2)
        check(result.out == b"", f"usage: {what}: nothing on standard output")


def test_library_by_a_relative_path(scratch):
    """Devices are looked for beside libtern also where the program named it by a path that is not whole."""
    library = Path(os.environ.get("TERN_LIBRARY", ROOT / "build" / "release" / "src" / "libtern.so"))
    (scratch / "lib").mkdir()
    shutil.copy(library, scratch / "lib" / library.name)
    (scratch / "lib" / f"libtern_mlx{library.suffix}").write_text("no library")
    program = f"""
import ctypes
class Info(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 32), ("is_present", ctypes.c_bool), ("description", ctypes.c_char * 256),
                ("reason", ctypes.c_char * 256), ("isa", ctypes.c_char * 32), ("threads", ctypes.c_int)]
infos = (Info * 16)()
n = ctypes.CDLL("lib/{library.name}").tern_device_list(infos, 16)
print([i.reason.decode() for i in infos[:n] if i.name == b"mlx"])
"""
    environment = {k: v for k, v in os.environ.items() if k != "TERN_PLUGIN_PATH"}
    result = subprocess.run([sys.executable, "-c", program], cwd=scratch, env=environment, capture_output=True, text=True)
    check("cannot be loaded" in result.stdout, "a device beside a library of a relative path is found", result.stdout + result.stderr)


# ---- info -----------------------------------------------------------------------------------------------------------------------

def test_info():
    (bare,) = done("info", "--json").json()
    cpu = [d for d in bare["devices"] if d["name"] == "cpu"]
    check(len(cpu) == 1 and cpu[0]["present"] and cpu[0]["description"], "info: the cpu device is present", bare)
    check(all(d["present"] or d["reason"] for d in bare["devices"]), "info: an absent device has its reason")
    check(cpu[0]["isa"] in ("scalar", "avx2", "avx512") and cpu[0]["threads"] >= 1, "info: the CPU tells its ISA level and threads")
    people = done("info").out.decode()
    check(bare["version"] in people and cpu[0]["description"] in people, "info for people says the same")

    (info,) = done("info", MODEL, "--json", "--weights").json()
    config = json.loads((MODEL / "config.json").read_text())
    same = ["model_type", "hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings"]
    check(all(info[k] == config[k] for k in same) and info["architecture"] == config["architectures"][0],
          "info: what config.json says", info)
    used = [w for w in info["weights"] if w["state"] == "used"]
    check(info["n_parameters"] == sum(int(np.prod(w["found_shape"])) for w in used), "info: parameters are those of the used weights")
    check(info["checkpoint_bytes"] == (MODEL / "model.safetensors").stat().st_size, "info: bytes of the weight file")
    states = [w["state"] for w in info["weights"]]
    check(all(states.count(s) == n for s, n in info["weight_counts"].items()) and sum(info["weight_counts"].values()) == len(states),
          "info --weights: the counts count")
    with safetensors.safe_open(MODEL / "model.safetensors", "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    check({w["checkpoint_name"]: w["found_shape"] for w in info["weights"] if w["checkpoint_name"]} == shapes,
          "info --weights: every tensor of the file, with its shape")
    check("feature-extraction" in info["tasks"] and info["is_sentence_transformer"] and info["normalize"] and info["pooling"] == "mean",
          "info: tasks and modules of a sentence-transformers folder", info)
    check(info["memory"]["batch"] == 1 and info["memory"]["tokens"] == info["max_seq_length"] == 256, "info: memory of one longest text")
    (large,) = done("info", MODEL, "--json", "--batch", "32", "--tokens=128", "--threads", "1", "--isa", "scalar").json()
    check((large["memory"]["batch"], large["memory"]["tokens"]) == (32, 128), "info --batch --tokens")
    check(large["memory"]["workspace_bytes"] > info["memory"]["workspace_bytes"] / 4 and large["memory"]["mapped_bytes"] > 0,
          "info: memory grows with the batch", large["memory"])
    check(large["threads"] == 1 and large["isa"] == "scalar" and large["device"] == "cpu" and large["dtype"] == "float32",
          "info: --threads and --isa choose what runs", large)
    people = done("info", MODEL, "--weights").out.decode()
    needed = [config["model_type"], f"{info['n_parameters']}", f"{info['memory']['workspace_bytes']} bytes", f"{len(used)} used"]
    check(all(n in people for n in needed) and all(w["name"] in people for w in info["weights"]), "info for people says the same", people)
    check_fails("an unknown ISA level", tern("info", MODEL, "--isa", "sse9"), "sse9", "scalar")
    check_fails("an unknown device", tern("info", MODEL, "--device", "abacus"), "abacus", "cpu")
    # Not installed, without a GPU or driver, or without so many.
    check_fails("a GPU that is not there", tern("embed", MODEL, "--device", "cuda:99", "abc"), "cuda")
    check_fails("an unknown dtype", tern("info", MODEL, "--dtype", "float3"), "float3", "float32")


# ---- tokenize -------------------------------------------------------------------------------------------------------------------

def expected_encoding(tokenizer, text, pair=None, special=True):
    e = tokenizer.encode(text, pair, add_special_tokens=special)
    return {"ids": e.ids, "tokens": e.tokens, "offsets": [list(o) for o in e.offsets], "type_ids": e.type_ids,
            "special_tokens_mask": e.special_tokens_mask}


def whole_encoding(e):
    return {"ids": e.ids, "tokens": e.tokens, "offsets": [list(o) for o in e.offsets], "type_ids": e.type_ids,
            "special_tokens_mask": e.special_tokens_mask, "word_ids": e.word_ids, "sequence_ids": e.sequence_ids}


def test_tokenize():
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = done("tokenize", MODEL, "--json", "--", *TEXTS).json()
    check(all(list(f) == ["ids", "tokens", "offsets", "type_ids", "special_tokens_mask"] for f in found), "tokenize --json: the keys")
    check(found == [expected_encoding(tokenizer, t) for t in TEXTS], "tokenize --json: what Hugging Face's tokenizers give")
    plain = zip(found[0]["tokens"], found[0]["offsets"], found[0]["special_tokens_mask"])
    check(all(TEXTS[0][a:b].lower() == t.removeprefix("##") for t, (a, b), special in plain if not special),
          "tokenize: offsets cut tokens out")
    check(done("tokenize", MODEL, "--json", stdin=lines_of(TEXTS)).json() == found, "tokenize: lines of standard input give the same")
    check(done("tokenize", MODEL, "--json", "--no-special", "--", *TEXTS).json() ==
          [expected_encoding(tokenizer, t, special=False) for t in TEXTS], "tokenize --no-special")
    check(done("tokenize", MODEL, "--json", "--pair", "the passage", "--", *TEXTS).json() ==
          [expected_encoding(tokenizer, t, "the passage") for t in TEXTS], "tokenize --pair")
    for length in (3, 6, 40):
        tokenizer.enable_truncation(length, strategy="longest_first")
        cut = done("tokenize", MODEL, "--json", "--truncate", length, "--", *TEXTS).json()
        check(cut == [expected_encoding(tokenizer, t) for t in TEXTS], f"tokenize --truncate {length}")
        pairs = done("tokenize", MODEL, "--json", f"--truncate={length + 3}", "--pair", TEXTS[1], "--", *TEXTS).json()
        tokenizer.enable_truncation(length + 3, strategy="longest_first")
        check(pairs == [expected_encoding(tokenizer, t, TEXTS[1]) for t in TEXTS], f"tokenize --truncate {length + 3} of pairs")
    check_fails("--truncate below the special tokens", tern("tokenize", MODEL, "a", "--truncate", "1"), "TEXT 1")
    for length, stride, strategy, side, pair in ((8, 0, "longest_first", "right", None), (9, 3, "only_first", "left", "the passage"),
                                                 (200, 2, "only_second", "right", "word " * 300), (12, 1, "longest_first", "left", TEXTS[1])):
        tokenizer.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
        options = ["--max-length", length, "--stride", stride, "--truncation", strategy, "--truncation-side", side, "--overflowing",
                   "--word-ids"] + (["--pair", pair] if pair else [])
        found_cut = done("tokenize", MODEL, "--json", *options, "--", *TEXTS).json()
        wanted = [tokenizer.encode(t, pair) for t in TEXTS]
        check(found_cut == [whole_encoding(e) | {"overflowing": [whole_encoding(o) for o in e.overflowing]} for e in wanted],
              f"tokenize {' '.join(map(str, options[:9]))}")
        check(any(f["overflowing"] for f in found_cut), "something was cut off")
    tokenizer.no_truncation()
    many = [f"line {i} of many, {'word ' * (i % 40)}" for i in range(3000)]
    for threads in (1, 2, 5):
        lines = done("tokenize", MODEL, "--json", "--threads", threads, stdin=lines_of(many)).json()
        check(lines == [expected_encoding(tokenizer, t) for t in many], f"tokenize of 3,000 lines with --threads {threads}")
    result = tern("tokenize", MODEL, "--json", "--threads", "2", stdin=lines_of(many[:2000]) + b"\xff\n" + lines_of(many))
    check_fails("a bad line among many", result, "line 2001", "UTF-8")
    check(len(result.json()) == 2000, "the lines before a bad one are answered", len(result.json()))
    people = done("tokenize", MODEL, TEXTS[0], TEXTS[3]).out.decode()
    check(all(t in people for f in (found[0], found[3]) for t in f["tokens"]), "tokenize for people shows every token", people)


def test_decode():
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    for text in ("hello world", "How do I reset my password, please?", "unaffable don't stop", "東京 and Zürich"):
        ids = tokenizer.encode(text).ids
        decoded = done("tokenize", MODEL, "--decode", *ids).out.decode()
        check(decoded == tokenizer.decode(ids) + "\n", f"tokenize --decode of {text!r}", decoded)
        check(done("tokenize", "--decode", "--json", MODEL, *ids).json() == [{"text": tokenizer.decode(ids)}],
              f"--decode --json of {text!r}")
    check_fails("--decode of an id that is none", tern("tokenize", MODEL, "--decode", "999999"), "999999")


def test_lines():
    """What a line is."""
    def ids(data):
        return [f["ids"] for f in done("tokenize", MODEL, "--json", "--no-special", stdin=data).json()]

    one, two = ids(b"one two\nthree\n")
    check(ids(b"one two\r\nthree\r\n") == [one, two] and ids(b"one two\nthree") == [one, two], "lines: CRLF, and a last line without end")
    check(ids(b"") == [] and ids(b"\n") == [[]] and ids(b"\n\none two\n\n") == [[], [], one, []], "lines: an empty line is an empty text")
    texts = [f["offsets"][-1][1] for f in done("tokenize", MODEL, "--json", "--no-special", stdin=b"a\0b c\nab\0\0c\n\0\n x\n").json()
             if f["offsets"]]
    check(texts == [5, 5, 2], "lines: NUL bytes are text and count in offsets", texts)
    (found,) = done("similarity", MODEL, "--json", stdin=b"a\r\nb\rc\r\n\r\r\nlast\r").json()
    check(found["texts"] == ["a", "b\rc", "\r", "last\r"], "lines: one carriage return before a line feed is not text", found["texts"])
    long = b"word " * 200_000
    (f,) = done("tokenize", MODEL, "--json", stdin=long).json()
    check(len(f["ids"]) == 200_002 and f["offsets"][-2] == [999_995, 999_999], "lines: one line of 1 MB", len(f["ids"]))


# ---- embed, similarity ----------------------------------------------------------------------------------------------------------

def embed(folder, texts, *options):
    return as_float32([row["embedding"] for row in done("embed", folder, "--json", *options, "--", *texts).json()])


def pool_by_hand(scratch, texts):
    """The three poolings of each text, from `tern tokenize` and `tern forward`."""
    rows = {"mean": [], "cls": [], "max": []}
    for encoding in done("tokenize", MODEL, "--json", "--truncate", 256, "--", *texts).json():
        states = forward(scratch, MODEL, {"input_ids": np.array([encoding["ids"]], np.int64)})["last_hidden_state"][0].astype(np.float64)
        rows["mean"].append(states.mean(axis=0))
        rows["cls"].append(states[0])
        rows["max"].append(states.max(axis=0))
    return {name: np.array(r) for name, r in rows.items()}


def test_embed(scratch):
    rows = done("embed", MODEL, "--json", "--", *TEXTS).json()
    check(all(list(r) == ["index", "n_tokens", "embedding"] for r in rows) and [r["index"] for r in rows] == list(range(len(TEXTS))),
          "embed --json: the keys, in order")
    lengths = [len(f["ids"]) for f in done("tokenize", MODEL, "--json", "--", *TEXTS).json()]
    check([r["n_tokens"] for r in rows] == lengths, "embed --json: n_tokens is what tokenize counts")
    vectors = as_float32([r["embedding"] for r in rows])
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    check(vectors.shape == (len(TEXTS), 384) and np.abs(norms - 1).max() < 1e-6, "embed: vectors of length 1", norms)

    path = scratch / "vectors.npy"
    check(done("embed", MODEL, "--output", path, "--", *TEXTS).out == b"", "embed --output prints nothing")
    array = np.load(path)
    check(array.dtype == np.dtype("<f4") and array.flags.c_contiguous and array.tobytes() == vectors.tobytes(),
          "embed --output: the numbers of --json, bit for bit")
    check(path.read_bytes()[:8] == b"\x93NUMPY\x01\x00" and len(path.read_bytes()) == 128 + array.nbytes,
          "embed --output: NumPy format 1.0")
    check([p.name for p in scratch.iterdir()] == ["vectors.npy"], "embed --output leaves no other file", list(scratch.iterdir()))
    done("embed", MODEL, f"--output={path}", "one")
    check(np.load(path).shape == (1, 384), "embed --output replaces a file")
    done("embed", MODEL, "--output", path)
    check(np.load(path).shape == (0, 384), "embed --output of no texts")

    check(embed(MODEL, TEXTS, "--threads", "2").tobytes() == embed(MODEL, TEXTS, "--threads=1").tobytes(),
          "embed: 1 and 2 threads, the same bits")
    check(embed(MODEL, TEXTS, "--device", "cpu", "--dtype", "float32").tobytes() == vectors.tobytes(), "embed --device cpu --dtype float32")
    scalar = embed(MODEL, TEXTS, "--isa", "scalar")
    check(np.abs(scalar - vectors).max() < 2e-6, "embed --isa scalar is within 2e-6", np.abs(scalar - vectors).max())

    # Forward and embed run the same program; only the order of the sums over tokens differs.
    for pooling, expected in pool_by_hand(scratch, TEXTS).items():
        found = embed(MODEL, TEXTS, "--pooling", pooling, "--no-normalize")
        check(np.abs(found - expected).max() < 2e-6,
              f"embed --pooling {pooling} --no-normalize is that of forward", np.abs(found - expected).max())
        unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        found = embed(MODEL, TEXTS, "--pooling", pooling, "--no-normalize", "--normalize")
        check(np.abs(found - unit).max() < 1e-6,
              f"embed --pooling {pooling} --normalize; the last option counts", np.abs(found - unit).max())
    plain = embed(TINY, ["abc"])
    check(np.array_equal(plain, embed(TINY, ["abc"], "--pooling", "mean", "--no-normalize")),
          "embed: a plain folder is mean, not normalised")

    (found,) = done("similarity", MODEL, "--json", "-", "--", "-5 degrees", "--json", "--").json()
    check(found["texts"] == ["-", "-5 degrees", "--json", "--"], "what follows -- is text, and a lone hyphen too", found["texts"])

    people = done("embed", MODEL, "--", *TEXTS).out.decode().splitlines()
    check(len(people) == len(TEXTS) + 1 and f"{vectors[0][0]:.6f}" in people[1] and TEXTS[0] in people[1] and TEXTS[3] in people[4],
          "embed for people: a line a text", people)
    terminal = done("embed", TINY, b"a\x1b[31mb\tc\x07").out
    check(not set(terminal) & {0x1B, 0x07, 0x09}, "embed for people: no control character reaches the terminal", terminal)


def test_numbers(scratch):
    """The last layer's norm of weight 0: embeddings are its bias. A weight of -0 beside a bias of -0 gives -0 where the input is above 0."""
    shutil.copytree(TINY, scratch / "model")
    weights = safetensors.numpy.load_file(TINY / "model.safetensors")
    last = max(k for k in weights if k.endswith("output.LayerNorm.weight"))
    bias = np.full(weights[last].shape, -0.0, np.float32)
    numbers = [0, 1, -1, 0.1, 1 / 3, -2 / 3, 9.9999994, 9.9999999e-5, -1e-4, 1e-38, -1e-45, 16777217, 99999992, 1e8, -3.4028235e38]
    bias[:len(numbers)] = numbers
    weights |= {last: np.where(np.arange(bias.size) < len(numbers), 0, np.float32(-0.0)), last.replace("weight", "bias"): bias}
    safetensors.numpy.save_file(weights, scratch / "model" / "model.safetensors")
    options = ("--pooling", "cls", "--no-normalize")
    done("embed", scratch / "model", "--output", scratch / "v.npy", *options, "--", "abc")
    (array,) = np.load(scratch / "v.npy")
    check((array[:len(numbers)] == bias[:len(numbers)]).all() and (np.signbit(array) & (array == 0)).any(), "embed: numbers of all sizes", array)
    check(embed(scratch / "model", ["abc"], *options).tobytes() == array.tobytes(), "embed --json: numbers of all sizes and -0, bit for bit")


# Run in a small process of its own: a child's peak starts with that of the process it was forked from.
PEAK = """
import os, subprocess, sys
with open(sys.argv[1], "rb") as file:
    process = subprocess.Popen(sys.argv[2:], stdin=file, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def peak_bytes(*arguments, stdin):
    command = [sys.executable, "-E", "-S", "-c", PEAK, stdin, TERN, *arguments]
    code, peak = map(int, subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True, timeout=600).stdout.split())
    if code != 0:
        raise RuntimeError(f"tern {arguments}: exit {code}")
    return peak


def test_stream(scratch):
    words = ["abc", "a b c d e f g h", "", "zebra crossing", "x"]
    few, many = scratch / "few.txt", scratch / "many.txt"
    few.write_bytes(lines_of(itertools.islice(itertools.cycle(words), 10_000)))
    many.write_bytes(lines_of(itertools.islice(itertools.cycle(words), 100_000)))
    rows = done("embed", TINY, "--json", stdin=few.read_bytes()).json()
    check([r["index"] for r in rows] == list(range(10_000)), "embed of 10,000 lines: every index once, in order")
    vectors = as_float32([r["embedding"] for r in rows])
    check(all((vectors[i::5] == vectors[i]).all() for i in range(5)) and len({v.tobytes() for v in vectors[:5]}) == 5,
          "embed of 10,000 lines: each line its own vector, the same in every window")
    done("embed", TINY, "--output", scratch / "v.npy", stdin=few.read_bytes())
    check(np.load(scratch / "v.npy").tobytes() == vectors.tobytes(), "embed of 10,000 lines to .npy: the same bits")
    for options in (["--json"], ["--output", scratch / "v.npy"], []):
        small, large = (peak_bytes("embed", TINY, *options, stdin=p) for p in (few, many))
        check(large < small + 4e6,
              f"embed {(options or ['for people'])[0]}: ten times the lines, no more memory ({small / 1e6:.1f} and {large / 1e6:.1f} MB)")
    check(np.load(scratch / "v.npy").shape[0] == 100_000, "embed of 100,000 lines to .npy")

    for arguments in (["embed", TINY, "--json"], ["tokenize", TINY, "--json"]):
        process = subprocess.Popen([TERN, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        answers = []
        for word in words:
            process.stdin.write(word.encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 30)
            if not ready:
                break
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        check(process.wait(60) == 0 and len(answers) == len(words) and process.stdout.read() == b"",
              f"{arguments[0]}: a line written is answered while the pipe stays open")
        process.stdout.close()


def test_similarity():
    (found,) = done("similarity", MODEL, "--json", "--", *TEXTS).json()
    matrix = as_float32(found["similarity"])
    vectors = embed(MODEL, TEXTS).astype(np.float64)
    check(list(found) == ["function", "texts", "similarity"] and found["texts"] == TEXTS, "similarity --json: the texts")
    check(matrix.shape == (len(TEXTS),) * 2 and (matrix == matrix.T).all() and np.abs(np.diag(matrix) - 1).max() < 1e-6,
          "similarity: symmetric, 1 on the diagonal")
    check(np.abs(matrix - vectors @ vectors.T).max() < 1e-6, "similarity: the cosines of embed's vectors")
    check(matrix[0, 1] > matrix[0, 6], "similarity: eating food is more like having a meal than a row of letters", matrix)
    check(done("similarity", MODEL, "--json", stdin=lines_of(TEXTS)).json() == [found], "similarity: lines of standard input give the same")
    people = done("similarity", MODEL, "--threads", "1", "--", *TEXTS[:3]).out.decode().splitlines()
    check(len(people) == 4 and all(f"{matrix[0, j]:.3f}" in people[1] for j in range(3)) and TEXTS[2] in people[3],
          "similarity for people", people)
    (tricky,) = done("similarity", TINY, "--json", 'quote " backslash \\', "\u2028 \x7f \x01", stdin=b"").json()
    check(tricky["texts"] == ['quote " backslash \\', "\u2028 \x7f \x01"], "similarity --json: strings are escaped", tricky["texts"])
    check(done("similarity", MODEL, "--json").json() == [{"function": "cosine", "texts": [], "similarity": []}], "similarity of no texts")


# ---- forward, init --------------------------------------------------------------------------------------------------------------

def same_tensors(a, b):
    return set(a) == set(b) and all(a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


def test_forward(scratch):
    inputs = safetensors.numpy.load_file(TINY / "inputs.safetensors")
    config = json.loads((TINY / "config.json").read_text())
    (batch, tokens), width, layers = inputs["input_ids"].shape, config["hidden_size"], config["num_hidden_layers"]
    out = forward(scratch, TINY, inputs)
    check({n: t.shape for n, t in out.items()} == {"last_hidden_state": (batch, tokens, width), "pooler_output": (batch, width)},
          "forward: last_hidden_state and pooler_output", {n: t.shape for n, t in out.items()})
    everything = forward(scratch, TINY, inputs, "--hidden-states", "--device", "cpu", "--dtype=float32")
    check(set(everything) == set(out) | {f"hidden_states.{i}" for i in range(layers + 1)}, "forward --hidden-states", set(everything))
    check(everything[f"hidden_states.{layers}"].tobytes() == out["last_hidden_state"].tobytes(),
          "forward: the last hidden state is the last")
    check(not out["last_hidden_state"][inputs["attention_mask"] == 0].any() and (inputs["attention_mask"] == 0).any(),
          "forward: masked rows are 0")
    narrow = {name: t.astype(np.int32) for name, t in inputs.items()}
    check(same_tensors(forward(scratch, TINY, narrow), out), "forward: I32 inputs give the same bits")
    ids = {"input_ids": inputs["input_ids"]}
    ones = {**ids, "attention_mask": np.ones((batch, tokens), np.int64), "token_type_ids": np.zeros((batch, tokens), np.int64)}
    check(same_tensors(forward(scratch, TINY, ids), forward(scratch, TINY, ones)), "forward: mask and types may be left out")
    check(set(forward(scratch, NO_POOLER, ids | {"input_ids": ids["input_ids"] % 60})) == {"last_hidden_state"},
          "forward: no pooler, no pooler_output")
    check(not any(scratch.iterdir()), "forward leaves no other file")


def test_forward_errors(scratch):
    ids = np.full((2, 5), 7, np.int64)
    config = json.loads((TINY / "config.json").read_text())

    def fails(what, tensors, *needed):
        safetensors.numpy.save_file(tensors, scratch / "in.safetensors")
        result = tern("forward", TINY, "--inputs", scratch / "in.safetensors", "--output", scratch / "out.safetensors")
        check_fails(f"forward: {what}", result, *needed)
        check(not (scratch / "out.safetensors").exists(), f"forward: {what}: no output")

    fails("input_ids missing", {"attention_mask": ids}, "input_ids")
    fails("float ids", {"input_ids": ids.astype(np.float32)}, "input_ids", "F32", "I64 or I32")
    fails("ids of rank 1", {"input_ids": ids[0]}, "input_ids", "[5]", "[batch, tokens]")
    fails("ids of rank 3", {"input_ids": ids[None]}, "input_ids", "[1, 2, 5]")
    fails("a mask of another shape", {"input_ids": ids, "attention_mask": ids[:, :4]}, "attention_mask", "[2, 4]", "[2, 5]")
    fails("types of another dtype", {"input_ids": ids, "token_type_ids": ids.astype(np.int16)}, "token_type_ids", "I16")
    fails("a tensor that is no input", {"input_ids": ids, "position_ids": ids}, "position_ids")
    fails("an empty batch", {"input_ids": ids[:0]}, "[0, 5]")
    fails("an id out of range", {"input_ids": ids * 0 + config["vocab_size"]}, "input_ids[0, 0]", str(config["vocab_size"]))
    fails("a negative id", {"input_ids": ids * -1}, "input_ids[0, 0]", "-7")
    fails("a mask of 2", {"input_ids": ids, "attention_mask": ids * 0 + 2}, "attention_mask[0, 0]")
    fails("a row without a token", {"input_ids": ids, "attention_mask": np.array([[1] * 5, [0] * 5])}, "attention_mask[1]")
    fails("a type out of range", {"input_ids": ids, "token_type_ids": ids}, "token_type_ids[0, 0]")
    too_many = config["max_position_embeddings"] + 1
    fails("too many tokens", {"input_ids": np.full((1, too_many), 7, np.int64)}, str(too_many), str(too_many - 1))
    check_fails("forward: no such input file", tern("forward", TINY, "--inputs", scratch / "none", "--output", scratch / "o"), "none")
    (scratch / "in.safetensors").write_bytes(b"not safetensors at all")
    check_fails("forward: an input that is no safetensors file",
                tern("forward", TINY, "--inputs", scratch / "in.safetensors", "--output", scratch / "o"), "in.safetensors")


def folder_bytes(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_init(scratch):
    config = TINY / "config.json"
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        done("init", config, "--seed", seed, "--output", scratch / name)
    done("init", config, "--output", scratch / "d")
    done("init", config, "--seed=0", "--output", scratch / "e")
    a, b, c, d, e = (folder_bytes(scratch / n) for n in "abcde")
    check({"config.json", "model.safetensors"} < set(a), "init writes a full folder", set(a))
    check(a == b and d == e, "init: the same bytes for the same seed; the default is 0")
    check(a["model.safetensors"] != c["model.safetensors"] != d["model.safetensors"], "init: other bytes for another seed")
    (report,) = done("info", scratch / "a", "--json", "--weights").json()
    check(report["weight_counts"]["used"] == len(report["weights"]), "init: every weight is there and used", report["weight_counts"])
    vectors = embed(scratch / "a", ["1 + 2", "(73)"])
    check(np.isfinite(vectors).all() and (vectors[0] != vectors[1]).any(), "init: the folder embeds")
    check_fails("init into a folder that holds a checkpoint", tern("init", config, "--output", scratch / "a"), "already holds")
    check(folder_bytes(scratch / "a") == a, "init leaves that folder alone")
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "vocab.txt"):
        (scratch / "other").mkdir(exist_ok=True)
        (scratch / "other" / name).write_text("")
        check_fails(f"init beside {name}", tern("init", config, "--output", scratch / "other"), f"already holds {name}")
        (scratch / "other" / name).unlink()
        check(not any((scratch / "other").iterdir()), f"init beside {name}: nothing is written")
    check_fails("init from a config that is not there", tern("init", scratch / "none.json", "--output", scratch / "f"), "none.json")
    check(not (scratch / "f").exists(), "init: no folder when the config is bad")
    small = scratch / "small.json"
    small.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 4}))
    check_fails("init with less words than special tokens", tern("init", small, "--output", scratch / "f"), "vocab_size")


def test_init_configs(scratch):
    """Every built-in config with a narrow encoder of one layer and its own tokenizer, which Hugging Face's library reads alike."""
    configs = json.loads((ROOT / "src" / "model" / "configs.json").read_text())
    page = done("init", "--help").out.decode()
    unknown = tern("init", "bert-base-unknown", "--output", scratch / "none").err
    narrow = {"hidden_size": 24, "dim": 24, "embedding_size": 24, "num_attention_heads": 2, "n_heads": 2, "num_hidden_layers": 1,
              "n_layers": 1, "intermediate_size": 16, "hidden_dim": 16}
    texts = [t for t in TEXTS if t] + ["It's 12 o'clock: THE \"quick\" brown\\fox", "<s> [CLS] <mask> [MASK] </s>", "  two  spaces "]
    for number, (name, config) in enumerate(configs.items()):
        check(name in page and name in unknown, f"init --help and the error of an unknown name list {name}")
        path, folder = scratch / "config.json", scratch / str(number)
        path.write_text(json.dumps(config | {key: narrow[key] for key in narrow if key in config}))
        done("init", path, "--output", folder)
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        check(reference.get_vocab_size() == config["vocab_size"], f"init {name}: vocab_size tokens", reference.get_vocab_size())
        found = [line["ids"] for line in done("tokenize", folder, "--json", "--", *texts).json()]
        expected = [encoding.ids for encoding in reference.encode_batch(texts)]
        check(found == expected, f"init {name}: the ids of Hugging Face's library")
        special = [config.get(key) for key in ("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id") if key in config]
        check(set(special) <= {found[0][0], found[0][-1]}, f"init {name}: special tokens where the config has them", found[0])
        letters = sum(map(len, TEXTS[:2]))
        check(letters / 4 < sum(map(len, found[:2])) < letters / 1.5, f"init {name}: tokens of several letters", [found[:2], letters])
        vectors = embed(folder, texts[:2])
        check(np.isfinite(vectors).all() and (vectors[0] != vectors[1]).any(), f"init {name}: the folder embeds")


if __name__ == "__main__":
    sys.exit(main(globals()))
