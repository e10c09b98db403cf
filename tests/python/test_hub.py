#!/usr/bin/env python3
"""test_hub.py - models of a hub: downloading, the cache that is shared with huggingface_hub, and everything that goes wrong on the way.

The hub is hub_server.py on this machine; no test leaves it. Each failure must end in the right files or in one clear message, never with a
half file under its final name. Environment: see command.py. The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import concurrent.futures
import ctypes
import hashlib
import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from command import ROOT, TERN, TINY, Result, check, check_fails, main, tern
from hub_server import Hub, git_sha1

TINY_FILES = {name: (TINY / name).read_bytes() for name in ("config.json", "model.safetensors", "vocab.txt")} | {"README.md": b"a model\n"}
BIG = random.Random(1).randbytes(3_000_000)
COMMANDS = (["info", "org/name"], ["embed", "org/name", "abc"], ["similarity", "org/name", "a", "b"], ["tokenize", "org/name", "abc"])


def closed_port():
    """An address at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def ask(hub, cache, *arguments, **environment):
    """Run the command where it knows this hub and this cache alone."""
    return tern(*arguments, env=hub.environment(cache, **environment))


def folder_of(result):
    return Path(result.out.decode().strip())


def problems_of(cache, repo=None, paths=None, may_be_incomplete=False):
    """What is wrong with a cache: names that lie about their contents, links that lead nowhere, leftovers; files of `repo` that lack."""
    problems = []
    for blob in cache.glob("models--*/blobs/*"):
        data = blob.read_bytes()
        if blob.name.endswith(".incomplete"):
            if not may_be_incomplete:
                problems.append(f"left over: {blob.name}")
        elif blob.name not in (hashlib.sha256(data).hexdigest(), git_sha1(data)):
            problems.append(f"half or wrong: {blob.name}")
    for folder in cache.glob("models--*/snapshots"):
        for path in folder.rglob("*"):
            if path.is_symlink() and (os.path.isabs(os.readlink(path)) or not path.is_file()):
                problems.append(f"bad link: {path}")
            elif not path.is_symlink() and path.is_file():
                problems.append(f"not a link: {path}")
    for path in (repo.files if paths is None else paths) if repo else ():
        file = cache / f"models--{repo.name.replace('/', '--')}" / "snapshots" / repo.commit / path
        if not file.is_file() or file.read_bytes() != repo.files[path]:
            problems.append(f"missing or wrong: {path}")
    return problems


def check_cache(what, cache, repo=None, paths=None, **options):
    problems = problems_of(cache, repo, paths, **options)
    check(not problems, what, problems)


def in_snapshot(cache, repo):
    folder = cache / f"models--{repo.name.replace('/', '--')}" / "snapshots" / repo.commit
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


# ---- What is downloaded -------------------------------------------------------------------------------------------------------------

def test_pull(scratch):
    cache = scratch / "cache"
    with Hub() as hub:
        repo = hub.add("org/name", TINY_FILES, lfs={"model.safetensors"})
        result = ask(hub, cache, "pull", "org/name", HF_TOKEN="hf_abc")
        folder = cache / "models--org--name" / "snapshots" / repo.commit
        check(result.code == 0 and result.err == "" and folder_of(result) == folder, "pull prints the folder and nothing else", result.err)
        wanted = {p for p in TINY_FILES if not p.endswith(".md")}
        check_cache("pull: every file, each a relative link to a blob of its checksum", cache, repo, wanted)
        check((cache / "models--org--name" / "refs" / "main").read_text() == repo.commit, "pull: refs/main is the commit")
        check(len(hub.gets("config.json")) == 1 and len([r for r in hub.log if r.server == "cdn"]) == 1, "pull asks for each file once")
        check(all(("authorization" in r.headers) == (r.server == "hub") for r in hub.log),
              "the token goes to the hub and not to the host it redirects to", hub.log)
        check(all(r.headers["user-agent"].startswith("tern/") for r in hub.log), "the user agent is tern")

        hub.log.clear()
        (report,) = ask(hub, cache, "pull", "org/name", "--json").json()
        check(report == {"repo_id": "org/name", "revision": "main", "commit": repo.commit, "folder": str(folder)}, "pull --json", report)
        check([r.path for r in hub.log] == ["/api/models/org/name/revision/main"], "pull again only asks for the commit", hub.log)

        old = repo.commit
        repo.files["README.md"] += b"more\n"
        repo.files["config.json"] += b"\n"
        hub.log.clear()
        result = ask(hub, cache, "pull", "org/name")
        check(result.code == 0 and folder_of(result).name == repo.commit != old and len(hub.log) == 2, "pull follows a branch that moved, "
              "and fetches only what changed", hub.log)
        check_cache("both commits are whole", cache, repo, wanted)
        result = ask(hub, cache, "pull", "org/name", "--revision", old, HF_ENDPOINT=closed_port())
        check(result.code == 0 and folder_of(result).name == old, "pull of a commit that is cached asks nobody", result.err)
        repo.revisions = ("main", "refs/pr/1", "v1.0")
        for revision in ("v1.0", "refs/pr/1"):
            result = ask(hub, cache, "pull", "org/name", f"--revision={revision}")
            check((cache / "models--org--name" / "refs" / revision).read_text() == repo.commit, f"pull --revision {revision}", result.err)

        hub.add("bare", TINY_FILES)
        result = ask(hub, cache, "embed", "bare", "abc", "--json")
        check(result.code == 0 and result.json() == tern("embed", TINY, "abc", "--json").json(), "a repository without ORG", result.err)
        hub.add("org/old-name", {}).renamed_to = "org/name"
        hub.repos["org/name"].token = "hf_abc"
        result = ask(hub, cache, "embed", "org/old-name", "abc", "--json", HF_TOKEN="hf_abc")
        check(result.code == 0 and result.json() == tern("embed", TINY, "abc", "--json").json(),
              "a renamed repository: redirects within the hub are followed with the token", result.err)


def test_choice(scratch):
    """Which files come by default, and with --include."""
    small = {"config.json": b"{}", "tokenizer.json": b"{}", "vocab.txt": b"a", "merges.txt": b"", "spiece.model": b"x",
             "preprocessor_config.json": b"{}"}
    other = {"README.md": b"x", "LICENSE": b"x", "onnx/model.onnx": b"x", "onnx/config.json": b"x", "openvino/openvino_model.bin": b"x",
             "tf_model.h5": b"x", "flax_model.msgpack": b"x", "rust_model.ot": b"x", "model.gguf": b"x", "optimizer.pt": b"x",
             "coreml/model.mlpackage/x.json": b"x", "trainer_state.json": b"x", "tf_model.h5.index.json": b"x", "picture.png": b"x",
             "model.fp16.safetensors": b"x", "consolidated.safetensors": b"x", ".gitattributes": b"x", "runs/x.json": b"x"}
    index = {"model.safetensors.index.json": json.dumps({"weight_map": {"a": "w1.safetensors", "b": "deep/w2.safetensors",
                                                                        "c": "w1.safetensors"}}).encode()}
    bin_index = {"pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": "pytorch_model-1.bin",
                                                                            "b": "pytorch_model-2.bin"}}).encode()}
    shards = {"w1.safetensors": b"1", "deep/w2.safetensors": b"2"}
    bin_shards = {"pytorch_model-1.bin": b"1", "pytorch_model-2.bin": b"2"}
    one, one_bin = {"model.safetensors": b"w"}, {"pytorch_model.bin": b"p"}
    modules = [{"idx": 0, "path": "0_Transformer", "type": "x"}, {"idx": 1, "path": "1_Pooling"}, {"idx": 2, "path": "2_Dense"}]
    sentence = {"modules.json": json.dumps(modules).encode(), "0_Transformer/config.json": b"{}", "0_Transformer/tokenizer.json": b"{}",
                "0_Transformer/model.safetensors": b"s", "1_Pooling/config.json": b"{}", "2_Dense/config.json": b"{}",
                "2_Dense/pytorch_model.bin": b"d"}
    cases = {
        "one safetensors file": (one, {**one_bin, **index, **shards}),
        "safetensors in parts": ({**index, **shards}, one_bin),
        "a pickle": (one_bin, {}),
        "a pickle in parts": ({**bin_index, **bin_shards}, {"pytorch_model-3.bin": b"x"}),
        "no weights": ({}, {}),
        "sentence-transformers": ({**sentence, **one}, {"0_Transformer/pytorch_model.bin": b"x", "3_Other/config.json": b"x"}),
    }
    with Hub() as hub:
        for number, (what, (wanted, unwanted)) in enumerate(cases.items()):
            cache = scratch / f"choice-{number}"
            repo = hub.add(f"org/choice-{number}", {**small, **other, **wanted, **unwanted},
                           lfs={p for p in wanted if "model" in p and p[-1] != "n"})
            result = ask(hub, cache, "pull", repo.name)
            found = in_snapshot(cache, repo)
            check(result.code == 0 and found == {*small, *wanted}, f"choice: {what}", f"{result.err} {found ^ {*small, *wanted}}")
            hub.log.clear()
            result = ask(hub, cache, "tokenize", repo.name, "a")
            check(hub.log == [], f"choice: {what}: all that is read is known to be there", hub.log)

        everything = {*small, *other, *one}
        repo = hub.add("org/include", {**small, **other, **one})
        for pattern, wanted in (("*", everything), ("*.json", {p for p in everything if p.endswith(".json")}),
                                ("onnx/", {"onnx/model.onnx", "onnx/config.json"}),
                                ("vocab.txt,[m-p]*[!t]",
                                 {"vocab.txt", "onnx/model.onnx", "onnx/config.json", "model.gguf", "preprocessor_config.json",
                                                          "openvino/openvino_model.bin", "model.fp16.safetensors", "model.safetensors",
                                                          "picture.png"}),
                                ("?onfig.json", {"config.json"})):
            cache = scratch / f"include-{len(list(scratch.iterdir()))}"
            result = ask(hub, cache, "pull", repo.name, "--include", pattern)
            check(result.code == 0 and in_snapshot(cache, repo) == wanted, f"--include '{pattern}'",
                  f"{result.err} {in_snapshot(cache, repo) ^ wanted}")
        check_fails("--include that matches nothing", ask(hub, scratch / "none", "pull", repo.name, "--include", "*.zip"),
                    "no file matches")
        check_fails("--include without a pattern", ask(hub, cache, "pull", repo.name, "--include", ","), "no pattern", code=2)
        hub.add("org/nothing", {"README.md": b"x"})
        check_fails("a repository of nothing that Tern reads", ask(hub, cache, "pull", "org/nothing"), "none of the files that Tern reads")

        cache = scratch / "tokenizer"
        repo = hub.add("org/name", TINY_FILES)
        hub.log.clear()
        result = ask(hub, cache, "tokenize", "org/name", "abc")
        found = in_snapshot(cache, repo)
        check(result.code == 0 and "vocab.txt" in found and "model.safetensors" not in found, "tokenize downloads no weights", found)
        result = ask(hub, cache, "embed", "org/name", "abc")
        check(result.code == 0 and len(hub.gets("vocab.txt")) == 1 and len(hub.gets("model.safetensors")) == 1,
              "embed then downloads the weights alone", result.err)


def test_cached_needs_no_network(scratch):
    cache = scratch / "cache"
    dead = closed_port()
    with Hub() as hub:
        repo = hub.add("org/name", TINY_FILES, lfs={"model.safetensors"})
        first = ask(hub, cache, "embed", "org/name", "abc", "--json")
        check(first.code == 0 and first.err == "" and first.json() == tern("embed", TINY, "abc", "--json").json(),
              "embed downloads the model", first.err)
        hub.log.clear()
        for arguments in COMMANDS:
            result = ask(hub, cache, *arguments)
            check(result.code == 0 and result.err == "" and hub.log == [], f"{arguments[0]} of a cached model asks nobody",
                  f"{result.err} {hub.log}")
            result = ask(hub, cache, *arguments, HF_ENDPOINT=dead, LD_LIBRARY_PATH=no_libcurl(scratch))
            check(result.code == 0 and result.err == "", f"{arguments[0]} of a cached model with a dead endpoint and no libcurl",
                  result.err)
        result = ask(hub, cache, "info", "org/name")
        shown = [line.split() for line in result.out.decode().splitlines()]
        check(["model", "org/name"] in shown and ["folder", f"{cache}/models--org--name/snapshots/{repo.commit}"] in shown,
              "info tells the folder", shown)
        (info,) = ask(hub, cache, "info", "org/name", "--json").json()
        check(info["model"] == "org/name" and Path(info["folder"]).name == repo.commit, "info --json tells the folder", info)
        before = time.monotonic()
        result = ask(hub, cache, "pull", "org/name", HF_ENDPOINT=dead)
        check(result.code == 0 and folder_of(result).name == repo.commit and time.monotonic() - before < 5,
              "pull takes what is cached when nobody answers", result.err)
        result = ask(hub, cache, "pull", "org/name", LD_LIBRARY_PATH=no_libcurl(scratch))
        check(result.code == 0, "pull takes what is cached when there is no libcurl", result.err)
        for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "yes"), ("TRANSFORMERS_OFFLINE", "true")):
            result = ask(hub, cache, "pull", "org/name", **{name: value})
            check(result.code == 0 and hub.log == [], f"{name}={value}: pull asks nobody", hub.log)
            check_fails(f"{name}={value}: what is not cached", ask(hub, cache, "embed", "org/none", "abc", **{name: value}),
                        "not in the cache", "offline", "no such folder")
        for path in (cache / "models--org--name" / "blobs").iterdir():
            if path.stat().st_size == len(TINY_FILES["vocab.txt"]):
                path.unlink()
        check_fails("offline, and a file is gone", ask(hub, cache, "tokenize", "org/name", "abc", HF_HUB_OFFLINE="1"), "lacks vocab.txt")
        result = ask(hub, cache, "tokenize", "org/name", "abc")
        check(result.code == 0 and len(hub.gets("vocab.txt")) == 1, "a file that is gone is fetched again", result.err)
        check_cache("and the link leads to it", cache, repo, ["vocab.txt"])

        os.chmod(cache, 0o555)
        result = ask(hub, cache, "embed", "org/name", "abc")
        check(result.code == 0, "a cache that cannot be written serves what it has", result.err)
        os.chmod(cache, 0o755)


def no_libcurl(scratch):
    """A folder of libraries that look like libcurl and cannot be opened."""
    folder = scratch / "no-libcurl"
    folder.mkdir(exist_ok=True)
    for name in ("libcurl.so.4", "libcurl-gnutls.so.4"):
        (folder / name).write_bytes(b"not a library")
    return str(folder)


def test_no_libcurl(scratch):
    with Hub() as hub:
        hub.add("org/name", TINY_FILES)
        result = ask(hub, scratch / "cache", "pull", "org/name", LD_LIBRARY_PATH=no_libcurl(scratch))
        check_fails("a download without libcurl", result, "libcurl is needed", "install")
        result = ask(hub, scratch / "cache", "embed", TINY, "abc", LD_LIBRARY_PATH=no_libcurl(scratch))
        check(result.code == 0 and result.err == "", "a folder needs no libcurl", result.err)


# ---- What goes wrong ----------------------------------------------------------------------------------------------------------------

def far_future(seconds):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))


# Name, faults (times, part, path, what), and None when the files must come all the same, or what the message says.
FAULTS = (
    ("503 twice, at the list", [(2, "api", "", {"status": 503})], None),
    ("500, 502, 504 and 408, at a file", [(1, "resolve", "config.json", {"status": s}) for s in (500, 502, 504, 408)], None),
    ("429 with Retry-After in seconds", [(1, "resolve", "vocab.txt", {"status": 429, "headers": {"Retry-After": 1}})], None),
    ("429 with Retry-After as a date", [(1, "cdn", "model.safetensors", {"status": 429, "headers": {"Retry-After": lambda: far_future(3)}})], None),
    ("429 with RateLimit", [(1, "api", "", {"status": 429, "headers": {"RateLimit": '"api";r=0;t=1'}})], None),
    ("429 with an hour to wait", [(9, "api", "", {"status": 429, "headers": {"Retry-After": 3600}})], ["429", "3600 seconds"]),
    ("429 for ever", [(99, "api", "", {"status": 429, "headers": {"Retry-After": 0}})], ["429", "too many requests", "5 attempts"]),
    ("503 for ever, at a file", [(99, "resolve", "vocab.txt", {"status": 503})], ["503", "vocab.txt", "5 attempts"]),
    ("403 from the storage", [(99, "cdn", "", {"status": 403})], ["model.safetensors: the storage http://localhost", "403"]),
    ("a cut of the list", [(1, "api", "", {"cut": 20})], None),
    ("a cut before the headers", [(2, "resolve", "config.json", {"hang_up": 1})], None),
    ("three cuts of a large file", [(3, "cdn", "model.safetensors", {"cut": 700_000})], None),
    ("a cut, then a server that ignores ranges", [(1, "cdn", "model.safetensors", {"cut": 700_000}), (9, "cdn", "", {"ignore_range": 1})],
     None),
    ("a cut, then other bytes than asked for", [(1, "cdn", "model.safetensors", {"cut": 700_000}), (1, "cdn", "", {"range_off_by": 1})],
     None),
    ("a cut, then 416", [(1, "cdn", "model.safetensors", {"cut": 700_000}), (1, "cdn", "", {"status": 416})], None),
    ("cuts without a byte, for ever", [(99, "cdn", "model.safetensors", {"cut": 0})], ["model.safetensors", "5 attempts"]),
    ("a damaged byte, once, in storage", [(1, "cdn", "model.safetensors", {"damage": 1})], None),
    ("a damaged byte, once, in a small file", [(1, "resolve", "config.json", {"damage": 1})], None),
    ("a damaged byte, always, in storage", [(99, "cdn", "model.safetensors", {"damage": 1})], ["model.safetensors", "checksum"]),
    ("a damaged byte, always, in a small file", [(99, "resolve", "config.json", {"damage": 1})], ["config.json", "checksum"]),
    ("more bytes than listed, once", [(1, "cdn", "", {"extra": 5})], None),
    ("more bytes than listed, always", [(99, "cdn", "", {"extra": 5})], ["model.safetensors", "3000005"]),
    ("more bytes than listed, in chunks", [(99, "cdn", "", {"extra": 5, "chunked": 1})], ["model.safetensors", "more than its 3000000"]),
    ("an end before the end, once", [(1, "cdn", "", {"end_early": 2_000_000})], None),
    ("another Content-Length than listed, once", [(1, "cdn", "", {"length_off_by": 10})], None),
    ("another Content-Length than listed, always", [(99, "cdn", "", {"length_off_by": -10})], ["model.safetensors", "2999990"]),
    ("an end before the end, in chunks", [(2, "cdn", "", {"end_early": 1_000_000, "chunked": 1})], None),
    ("chunks, without a length", [(99, "cdn", "", {"chunked": 1, "step": 10_000})], None),
    ("a slow drip", [(99, "resolve", "vocab.txt", {"step": 40, "pause": 0.1})], None),
    ("silence, once", [(1, "resolve", "vocab.txt", {"silence": 60})], None),
    ("silence in the middle", [(1, "cdn", "", {"step": 1_000_000, "pause": 60})], None),
    ("silence, always", [(99, "api", "", {"silence": 60})], ["has been silent for 2 seconds", "3 attempts"]),
    ("a redirect loop", [(99, "resolve", "vocab.txt", {"redirect": "vocab.txt"})], ["redirects without end"]),
    ("a redirect to a file", [(99, "resolve", "vocab.txt", {"redirect": "file:///etc/passwd"})], ["not a URL of the web"]),
)


def run_fault(scratch, number):
    """One row of FAULTS in a hub and a cache of its own."""
    what, faults, message = FAULTS[number]
    cache = scratch / f"fault-{number}"
    outcome = []
    with Hub() as hub:
        files = {**TINY_FILES, "model.safetensors": BIG}
        repo = hub.add("org/name", files, lfs={"model.safetensors"})
        for times, part, path, fault in faults:
            hub.break_times(times, part, path, **fault)
        environment = hub.environment(cache, HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2", HF_TOKEN="hf_abc")
        result = tern("pull", "org/name", env=environment)
        wanted = [p for p in files if not p.endswith(".md")]
        if message is None:
            problems = problems_of(cache, repo, wanted)
            outcome.append((result.code == 0 and result.err == "" and not problems, f"{what}: the files come", f"{result.err} {problems}"))
        else:
            missing = [m for m in message if m not in result.err]
            problems = problems_of(cache, may_be_incomplete=True)
            outcome.append((result.code == 1 and result.out == b"" and not missing and not problems, f"{what}: one clear message",
                            f"exit {result.code}: {result.err} lacks {missing}; {problems}"))
            hub.faults.clear()
            result = tern("pull", "org/name", env=environment)
            problems = problems_of(cache, repo, wanted)
            outcome.append((result.code == 0 and not problems, f"{what}: the next pull mends it", f"{result.err} {problems}"))
        token_at_cdn = [r for r in hub.log if r.server == "cdn" and "authorization" in r.headers]
        outcome.append((not token_at_cdn, f"{what}: no token at another host", token_at_cdn))
        if what == "a cut, then a server that ignores ranges":
            outcome.append((len([r for r in hub.log if r.server == "cdn"]) == 2, f"{what}: the whole file is taken at once", hub.log))
        if what.startswith("429 with") and message is None:
            _, part, path, _ = faults[0]
            first, second = [r.time for r in hub.log if r.path.endswith(path) and (r.server == "cdn") == (part == "cdn")][:2]
            outcome.append((0.9 <= second - first < 10, f"{what}: that long is waited", second - first))
        resumed = [r.range for r in hub.log if r.server == "cdn" and r.range]
        if what.startswith("three cuts"):
            outcome.append((len(resumed) == 3 and resumed == sorted(resumed, key=lambda r: int(r[6:-1])), f"{what}: continued by ranges",
                            resumed))
    return outcome


def test_faults(scratch):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for outcome in pool.map(lambda number: run_fault(scratch, number), range(len(FAULTS))):
            for row in outcome:
                check(*row)


def test_refusals(scratch):
    cache = scratch / "cache"
    with Hub() as hub:
        hub.add("org/name", TINY_FILES)
        hub.add("org/secret", TINY_FILES, token="hf_good")
        hub.add("org/gated", TINY_FILES, gated=True, token="hf_good")

        def pull(*arguments, **environment):
            return ask(hub, cache, "pull", *arguments, **environment)

        check_fails("no such repository", pull("org/none"), "org/none", "no such repository", "HF_TOKEN")
        hub.missing_is_404 = True
        check_fails("no such repository, as 404", pull("org/none"), "org/none", "no such repository")
        check_fails("a private repository without a token", pull("org/secret"), "org/secret", "private", "set HF_TOKEN")
        check_fails("a private repository with a wrong token", pull("org/secret", HF_TOKEN="hf_bad"), "org/secret", "private", "HF_TOKEN")
        check_fails("a gated repository without a token", pull("org/gated"), f"accept its terms at {hub.endpoint}/org/gated", "HF_TOKEN")
        check_fails("a gated repository with a token that is not allowed", pull("org/gated", HF_TOKEN="hf_bad"),
                    f"accept its terms at {hub.endpoint}/org/gated", "HF_TOKEN")
        check_fails("no such revision", pull("org/name", "--revision", "v9"), 'no revision "v9"')
        check_fails("no such commit", pull("org/name", "--revision", "0" * 40), "no revision")
        check_fails("embed: no such repository", ask(hub, cache, "embed", "org/none", "x"), "no such folder", "no such repository")
        for name in ("org/secret", "org/gated"):
            result = pull(name, HF_TOKEN="hf_good")
            check(result.code == 0 and result.err == "", f"{name} with the right token", result.err)
        hub.break_once("api", "", status=403, headers={"X-Error-Message": "\x1b[31mno \xe9" + "x" * 500})
        result = pull("org/name")
        check_fails("403 with an unclean message", result, "the hub says: ?[31mno ?xxx", "...")
        check("\x1b" not in result.err and len(result.err) < 600, "what the hub says is cleaned and cut", result.err)
        hub.break_once("api", "", status=418)
        check_fails("a status that nobody knows", pull("org/name"), "418")
        hub.break_once("resolve", "vocab.txt", status=404, headers={"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        check_fails("a listed file that is not there", pull("org/name"), "no file vocab.txt")
        hub.break_once("resolve", "vocab.txt", redirect=f"{hub.cdn}/blob/none/vocab.txt")
        check_fails("a storage that has lost the file", pull("org/name"), "404", "vocab.txt")
        before = time.monotonic()
        check_fails("nobody answers", pull("org/other", HF_ENDPOINT=closed_port()), "cannot be reached")
        check(time.monotonic() - before < 5, "nobody answers: it does not take long")
        check_fails("no such host", pull("org/other", HF_ENDPOINT="http://no-such-host.invalid"), "no-such-host.invalid cannot be reached")
        for endpoint in ("ftp://127.0.0.1", "127.0.0.1", "http://"):
            check_fails(f"HF_ENDPOINT={endpoint}", pull("org/other", HF_ENDPOINT=endpoint), "endpoint")
        for name in ("a/b/c", "../up", "org/..", "org/a--b", ".hidden", "org/", "/org", "org/name.git", "org/na me", "org/n\u00e4me",
                     "x" * 97, "-x/y", "", "a..b"):
            result = ask(hub, cache, "pull", "--", name)
            check_fails(f"pull of {name[:20]!r}", result, "is not a repository id")
        for revision in ("../main", "/main", "a//b", "", "a\\b", "x" * 300, "-x"):
            check_fails(f"--revision {revision[:20]!r}", pull("org/name", f"--revision={revision}"), "revision: not the name")
        check_cache("nothing half is left after all this", cache, may_be_incomplete=True)
        check_fails("pull without a name", pull(), "ORG/NAME", code=2)


def test_bad_lists(scratch):
    with Hub() as hub:
        repo = hub.add("org/name", TINY_FILES)
        good = {"sha": repo.commit, "siblings": [repo.sibling(p) for p in repo.files]}

        def with_path(path):
            return json.dumps({**good, "siblings": [*good["siblings"], {**repo.sibling("config.json"), "rfilename": path}]}).encode()

        def with_entry(**changed):
            return json.dumps({**good, "siblings": [{**repo.sibling("config.json"), **changed}]}).encode()

        cases = {
            "no JSON": (b"<html>", "expected"), "cut JSON": (json.dumps(good).encode()[:-9], "org/name"), "a list": (b"[]", "sha"),
            "empty": (b"", "org/name"), "no sha": (json.dumps({"siblings": []}).encode(), "sha"), "no UTF-8": (b'{"sha": "\xff"}', "UTF-8"),
            "a sha that climbs": (json.dumps({**good, "sha": "../" * 13 + "x"}).encode(),
                                  "sha"), "a sha in capitals": (json.dumps({**good, "sha": "A" * 40}).encode(), "sha"),
            "no siblings": (json.dumps({"sha": repo.commit}).encode(),
                            "siblings"), "siblings of another kind": (json.dumps({**good, "siblings": [1]}).encode(), "rfilename"),
            "a file twice": (with_path("config.json"), "twice"), "deep nesting": (b"[" * 100_000, "nested"),
            "a negative size": (with_entry(size=-1), "negative"), "a blob that climbs": (with_entry(blobId="../../x"), "checksum"),
            "a sha256 that climbs": (with_entry(lfs={"sha256": "../../../x", "size": 3}), "checksum"),
        }
        for path in ("../evil.json", "a/../../evil.json", "/etc/evil.json", "..", ".", "a//b.json", "a\\b.json", "nul\0.json",
                     "a/./b.json", "line\nfeed.json", "", "x" * 300 + ".json"):
            cases[f"the path {path[:20]!r}"] = (with_path(path), "a path that Tern does not write to")
        for what, (answer, message) in cases.items():
            repo.answer = answer
            result = ask(hub, scratch / "cache", "pull", "org/name")
            check_fails(f"a list with {what}", result, message)
        check(not (scratch / "cache").exists() and {p.name for p in scratch.iterdir()} <= {"cache-home"}, "nothing was written",
              list(scratch.rglob("*")))

        repo.answer = json.dumps({**good,
                                  "siblings": [*good["siblings"],
                                               *({"rfilename": f"data/{i}.bin", "size": i,
                                                  "blobId": "0" * 40} for i in range(100_000))]}).encode()
        before = time.monotonic()
        result = ask(hub, scratch / "cache", "pull", "org/name")
        check(result.code == 0 and time.monotonic() - before < 20, "a list of 100,000 files", result.err)
        repo.answer = b'{"sha": "' + b"x" * (70 << 20) + b'"}'
        check_fails("a list of 70 MB", ask(hub, scratch / "cache", "pull", "org/name"), "larger than")

        repo = hub.add("org/heads", {**TINY_FILES, "model.safetensors": BIG}, lfs={"model.safetensors"}, lists_blobs=False)
        hub.log.clear()
        result = ask(hub, scratch / "cache", "pull", "org/heads", HF_TOKEN="hf_abc")
        check(result.code == 0 and len(hub.gets("model.safetensors", "HEAD")) == 1, "a list without sizes: HEAD tells them", result.err)
        check_cache("and the files are right", scratch / "cache", repo, [p for p in repo.files if not p.endswith(".md")])
        check(not [r for r in hub.log if r.server == "cdn" and r.method == "HEAD"], "HEAD does not go on to the storage")
        repo.files["config.json"] += b" "
        hub.break_always("resolve", "config.json", status=200)
        check_fails("a HEAD without an ETag", ask(hub, scratch / "cache", "pull", "org/heads"), "config.json", "no ETag")


# ---- Interruptions and neighbours -----------------------------------------------------------------------------------------------------

def start(*arguments, **options):
    return subprocess.Popen([TERN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_interrupted(scratch):
    """Killed in the middle: the next run goes on where the last one was."""
    for number in (signal.SIGKILL, signal.SIGINT):
        cache = scratch / number.name
        with Hub() as hub:
            repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": BIG}, lfs={"model.safetensors"})
            hub.break_once("cdn", "model.safetensors", step=100_000, pause=0.1)
            incomplete = cache / "models--org--name" / "blobs" / f"{repo.etag('model.safetensors')}.incomplete"
            process = start("pull", "org/name", env=hub.environment(cache))
            check(wait_for(lambda: incomplete.exists() and incomplete.stat().st_size >= 300_000), f"{number.name}: the download runs")
            process.send_signal(number)
            check(process.wait(30) == -number, f"{number.name} ends pull at once")
            process.communicate()
            kept = incomplete.stat().st_size
            check(300_000 <= kept < len(BIG), f"{number.name}: what came is kept", kept)
            check_cache(f"{number.name}: nothing half under a final name", cache, may_be_incomplete=True)
            check_fails(f"{number.name}: what is not whole is not used", ask(hub, cache, "embed", "org/name", "x", HF_HUB_OFFLINE="1"),
                        "not in the cache")
            hub.log.clear()
            result = ask(hub, cache, "pull", "org/name")
            ranges = [r.range for r in hub.log if r.server == "cdn"]
            check(result.code == 0 and ranges == [f"bytes={kept}-"], f"{number.name}: the next run asks for the rest",
                  f"{result.err} {ranges} {kept}")
            check_cache(f"{number.name}: and the file is right", cache, repo)

    cache = scratch / "leftovers"
    with Hub() as hub:
        repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": BIG}, lfs={"model.safetensors"})
        blobs = cache / "models--org--name" / "blobs"
        for what, data, wanted in (("the whole file", BIG, []), ("damaged bytes", b"x" * 1000, ["bytes=1000-", None]),
                                   ("more than the file", BIG + b"x", [None]),
                                   ("as many damaged bytes as the file has", bytes(len(BIG)), [None]), ("nothing", b"", [None])):
            shutil.rmtree(cache, ignore_errors=True)
            blobs.mkdir(parents=True)
            (blobs / f"{repo.etag('model.safetensors')}.incomplete").write_bytes(data)
            hub.log.clear()
            result = ask(hub, cache, "pull", "org/name")
            ranges = [r.range for r in hub.log if r.server == "cdn"]
            check(result.code == 0 and ranges == wanted, f"an incomplete file with {what}", f"{result.err} {ranges}")
            check_cache(f"an incomplete file with {what}: the file is right", cache, repo)


def test_two_processes(scratch):
    cache = scratch / "cache"
    with Hub() as hub:
        repo = hub.add("org/name", {**TINY_FILES, "model.safetensors": BIG, "same.json": TINY_FILES["config.json"]},
                       lfs={"model.safetensors"})
        hub.break_always("cdn", "model.safetensors", step=200_000, pause=0.1)
        hub.break_always("resolve", "vocab.txt", step=200, pause=0.05)
        wanted = [p for p in repo.files if not p.endswith(".md")]
        processes = [start("pull", "org/name", env=hub.environment(cache)) for _ in range(3)]
        results = [(p.communicate(), p.returncode) for p in processes]
        check(all(code == 0 and err == b"" for (_, err), code in results), "three processes at once all succeed", results)
        check_cache("and the files are right", cache, repo, wanted)
        gets = [r.path for r in hub.log if r.method == "GET" and not r.path.startswith("/api/")]
        blobs = {repo.etag(p) for p in wanted}
        check(len([p for p in gets if p.startswith("/blob/")]) == 1 and len([p for p in gets if not p.startswith("/blob/")]) == len(blobs),
              "each blob is downloaded once", gets)
        hub.faults.clear()

        # The lock is the one that huggingface_hub takes.
        import filelock
        repo.files["config.json"] += b"\n"
        lock = cache / ".locks" / "models--org--name" / f"{repo.etag('config.json')}.lock"
        with filelock.FileLock(lock):
            process = start("pull", "org/name", env=hub.environment(cache))
            time.sleep(1)
            asked = [r for r in hub.gets("config.json") if repo.commit in r.path]
            check(process.poll() is None and asked == [],
                  "pull waits while Python holds the lock of a file")
        process.communicate()
        check(process.returncode == 0, "and goes on when it lets go")
        check_cache("and the file is right", cache, repo, wanted)


# ---- Python's huggingface_hub -----------------------------------------------------------------------------------------------------------

DOWNLOAD = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download("org/name", **eval(sys.argv[1])))
"""
SCAN_CACHE = """
import sys, huggingface_hub
cache = huggingface_hub.scan_cache_dir(sys.argv[1])
print(len(cache.repos), len(cache.warnings), [len(r.revisions) for r in cache.repos])
"""
LOOK_UP = """
from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
print(try_to_load_from_cache("org/name", "added_tokens.json") is _CACHED_NO_EXIST, try_to_load_from_cache("org/name", "vocab.txt"))
"""


def python(code, environment, *arguments):
    return Result(subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, timeout=120))


def python_download(environment, **arguments):
    return python(DOWNLOAD, environment, repr(arguments))


def test_python_reads_ours(scratch):
    cache = scratch / "cache"
    with Hub() as hub:
        repo = hub.add("org/name", TINY_FILES, lfs={"model.safetensors"})
        pulled = folder_of(ask(hub, cache, "pull", "org/name"))
        hub.log.clear()
        result = python_download(hub.environment(cache), local_files_only=True)
        check(result.code == 0 and folder_of(result) == pulled and hub.log == [],
              "snapshot_download(local_files_only=True) finds what pull left", result.err)
        result = python_download(hub.environment(cache), allow_patterns=["*.json", "*.safetensors", "vocab.txt"])
        check(result.code == 0 and folder_of(result) == pulled, "snapshot_download goes over what pull left", result.err)
        fetched = [r.path for r in hub.log if r.method == "GET" and "/api/" not in r.path]
        check(fetched == [], "and downloads none of it again", fetched)
        check_cache("the cache is right", cache, repo, [p for p in repo.files if not p.endswith(".md")])
        result = python(SCAN_CACHE, hub.environment(cache), cache)
        check(result.out == b"1 0 [1]\n", "scan_cache_dir sees one repository and nothing strange", f"{result.out} {result.err}")
        result = python(LOOK_UP, hub.environment(cache))
        check(result.out.decode().split() == ["True", str(pulled / "vocab.txt")], "what the commit lacks is known to Python too",
              f"{result.out} {result.err}")


def test_we_read_pythons(scratch):
    with Hub() as hub:
        repo = hub.add("org/name", TINY_FILES, lfs={"model.safetensors"})
        expected = tern("embed", TINY, "abc", "--json").json()
        cache = scratch / "all"
        result = python_download(hub.environment(cache))
        check(result.code == 0, "snapshot_download of everything", result.err)
        hub.log.clear()
        result = ask(hub, cache, "embed", "org/name", "abc", "--json")
        check(result.code == 0 and result.json() == expected and hub.log == [], "Tern runs what Python downloaded, and asks nobody",
              f"{result.err} {hub.log}")

        cache = scratch / "part"
        result = python_download(hub.environment(cache), allow_patterns=["*.json"])
        check(result.code == 0, "snapshot_download of a part", result.err)
        check_fails("offline, the part does not do", ask(hub, cache, "embed", "org/name", "abc", HF_HUB_OFFLINE="1"), "lacks", "offline")
        hub.log.clear()
        result = ask(hub, cache, "embed", "org/name", "abc", "--json")
        fetched = sorted(Path(r.path).name for r in hub.log if r.server == "hub" and "/api/" not in r.path)
        check(result.code == 0 and fetched == ["model.safetensors", "vocab.txt"], "Tern fetches the rest", f"{result.err} {fetched}")

        # As transformers leaves it: files without a list of what there is.
        cache = scratch / "unlisted"
        python_download(hub.environment(cache), allow_patterns=["config.json", "model.safetensors", "vocab.txt"])
        shutil.rmtree(cache / "models--org--name" / "trees")
        result = ask(hub, cache, "embed", "org/name", "abc", "--json", HF_HUB_OFFLINE="1")
        check(result.code == 0 and result.json() == expected, "offline, a config and weights will do", result.err)
        result = ask(hub, cache, "embed", "org/name", "abc", "--json", HF_ENDPOINT=closed_port())
        check(result.code == 0 and result.json() == expected, "and so when nobody answers", result.err)
        hub.log.clear()
        result = ask(hub, cache, "embed", "org/name", "abc", "--json")
        check(result.code == 0 and len(hub.gets("revision/main")) == 1, "else the hub is asked once whether there is more", hub.log)
        hub.log.clear()
        result = ask(hub, cache, "embed", "org/name", "abc", "--json")
        check(result.code == 0 and hub.log == [], "and never again", hub.log)
        check_cache("the cache is right", cache, repo, ["config.json", "model.safetensors", "vocab.txt"])


# ---- The place and the settings ---------------------------------------------------------------------------------------------------------

def as_nobody():
    """Run as a user whom permissions stop, when we are root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_full_disk(scratch):
    cache = scratch / "cache"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    with Hub() as hub:
        repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": BIG}, lfs={"model.safetensors"})
        result = tern("pull", "org/name", env=hub.environment(cache), preexec_fn=limit, restore_signals=False)
        check_fails("a disk that fills up", result, ".incomplete", "cannot be written")
        check_cache("nothing half under a final name", cache, may_be_incomplete=True)
        hub.log.clear()
        result = ask(hub, cache, "pull", "org/name")
        check(result.code == 0 and [r.range for r in hub.log if r.server == "cdn"] == ["bytes=1000000-"], "with room again it goes on",
              result.err)
        check_cache("and the file is right", cache, repo)
        repo = hub.add("org/huge", {"config.json": b"{}"})
        repo.answer = json.dumps({"sha": repo.commit,
                                  "siblings": [{"rfilename": "config.json", "size": 1 << 60, "blobId": "0" * 40}]}).encode()
        check_fails("more than the disk has", ask(hub, cache, "pull", "org/huge"), "MB free")

        copy = scratch / "tern"
        shutil.copy(TERN, copy)
        copy.chmod(0o755)
        locked = scratch / "locked"
        locked.mkdir()
        locked.chmod(0o555)
        result = tern("pull", "org/name", env=hub.environment(locked), executable=str(copy), preexec_fn=as_nobody)
        check_fails("a cache that cannot be written", result, "locked/models--org--name", "Permission denied")
        (scratch / "file").write_bytes(b"")
        check_fails("a file where the cache is to be", ask(hub, scratch / "file", "pull", "org/name"), "cannot be made", "file")


def test_environment(scratch):
    with Hub() as hub:
        hub.add("org/name", TINY_FILES)
        base = {k: v for k, v in hub.environment("x").items() if k not in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")}
        home = scratch / "home"
        for what, settings, place in (
                ("HF_HUB_CACHE", {"HF_HUB_CACHE": scratch / "a", "HUGGINGFACE_HUB_CACHE": "/nowhere", "HF_HOME": "/nowhere"},
                 scratch / "a"),
                ("HUGGINGFACE_HUB_CACHE", {"HUGGINGFACE_HUB_CACHE": scratch / "b", "HF_HOME": "/nowhere"}, scratch / "b"),
                ("HF_HOME", {"HF_HOME": scratch / "c", "XDG_CACHE_HOME": "/nowhere"}, scratch / "c" / "hub"),
                ("XDG_CACHE_HOME", {"XDG_CACHE_HOME": scratch / "d"}, scratch / "d" / "huggingface" / "hub"),
                ("HOME", {}, home / ".cache" / "huggingface" / "hub"),
                ("~", {"HF_HOME": "~/e"}, home / "e" / "hub"),
                ("a path with spaces", {"HF_HUB_CACHE": scratch / "f g"}, scratch / "f g")):
            environment = {**base, "HOME": str(home), **{k: str(v) for k, v in settings.items()}}
            result = tern("pull", "org/name", env=environment)
            check(result.code == 0 and folder_of(result).is_relative_to(place / "models--org--name"), f"the cache is where {what} says",
                  f"{result.err} {result.out}")
            theirs = python("import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)", environment).out.decode().strip()
            check(theirs == str(place), f"and where Python's library has it ({what})", theirs)

        def token_of(**settings):
            hub.log.clear()
            result = ask(hub, scratch / "t", "pull", "org/name", **settings)
            return hub.log[0].headers.get("authorization") if hub.log else result.err

        (scratch / "token").write_text(" hf_file\n")
        (scratch / "t-home").mkdir()
        check(token_of() is None, "no token is sent when there is none")
        check(token_of(HF_TOKEN=" hf_a\n") == "Bearer hf_a", "HF_TOKEN is sent, without white space")
        check(token_of(HF_TOKEN_PATH=str(scratch / "token")) == "Bearer hf_file", "the token of HF_TOKEN_PATH is sent")
        check(token_of(HF_TOKEN="hf_a", HF_TOKEN_PATH=str(scratch / "token")) == "Bearer hf_a", "HF_TOKEN goes before HF_TOKEN_PATH")
        (scratch / "t-home" / "token").write_text("hf_home")
        check(token_of() == "Bearer hf_home", "the token of HF_HOME/token is sent")
        check(token_of(HF_HUB_DISABLE_IMPLICIT_TOKEN="1") is None, "HF_HUB_DISABLE_IMPLICIT_TOKEN")
        check("token" in token_of(HF_TOKEN="a\nX-Evil: 1"), "a token that would be a header is refused")
        check(token_of(HF_ENDPOINT=hub.endpoint + "//") == "Bearer hf_home", "slashes behind HF_ENDPOINT do no harm")
        for value in ("0", "x", "-1", "1e9"):
            check_fails(f"HF_HUB_DOWNLOAD_TIMEOUT={value}", ask(hub, scratch / "t", "pull", "org/name", HF_HUB_DOWNLOAD_TIMEOUT=value),
                        "HF_HUB_DOWNLOAD_TIMEOUT")
        environment = {k: v for k, v in base.items() if k != "HOME"}
        check_fails("no HOME", tern("pull", "org/name", env=environment), "HF_HUB_CACHE")
        check(tern("embed", TINY, "abc", env=environment).code == 0, "a folder needs no HOME")

        proxied = {**hub.environment(scratch / "p"), "http_proxy": hub.endpoint, "HF_ENDPOINT": "http://hub.invalid"}
        del proxied["NO_PROXY"]
        hub.log.clear()
        result = tern("pull", "org/name", env=proxied)
        check(result.code == 0 and all(r.headers["host"] == "hub.invalid" for r in hub.log) and hub.log, "http_proxy is used", result.err)
        proxied["no_proxy"] = "hub.invalid"
        check_fails("no_proxy is kept", tern("pull", "org/name", env={**proxied, "HF_HUB_CACHE": str(scratch / "q")}),
                    "hub.invalid cannot be reached")


def test_model_arguments(scratch):
    """A folder goes before a repository of the same name."""
    cache = scratch / "cache"
    with Hub() as hub:
        hub.add("org/name", TINY_FILES)
        shutil.copytree(TINY, scratch / "org" / "name")
        result = tern("embed", "org/name", "abc", env=hub.environment(cache), cwd=scratch)
        check(result.code == 0 and hub.log == [], "a folder of that name is taken", result.err)
        for arguments in (["embed", "no/where", "x"], ["tokenize", "no/where", "x"], ["info", "no/where"],
                          ["similarity", "no/where", "a", "b"]):
            check_fails(f"{arguments[0]} of neither", ask(hub, cache, *arguments), "no/where: there is no such folder",
                        "no such repository")
        hub.log.clear()
        check_fails("a path that is no repository id", ask(hub, cache, "embed", scratch / "no" / "where", "x"), "no such folder",
                    "not a repository id")
        check(hub.log == [], "which asks nobody", hub.log)


def test_progress(scratch):
    with Hub() as hub:
        hub.add("org/name", {"config.json": b"{}", "model.safetensors": BIG}, lfs={"model.safetensors"})
        hub.break_always("cdn", "", step=300_000, pause=0.1)
        terminal, side = pty.openpty()
        with open(scratch / "out", "wb") as out:
            process = subprocess.Popen([TERN, "pull", "org/name"], stdout=out, stderr=side, env=hub.environment(scratch / "cache"))
        os.close(side)
        text = b""
        try:
            while chunk := os.read(terminal, 65536):
                text += chunk
        except OSError:  # the other side is closed
            pass
        os.close(terminal)
        text = text.decode()
        check(process.wait(60) == 0, "pull on a terminal")
        check(re.search(r"\[#+ *\] +\d+%  \d/\d files, \d\.\d/3\.0 MB, \d+\.\d MB/s, \d+ s left", text) is not None,
              "pull shows progress on a terminal", text[:400])
        check(text.endswith("\r\x1b[K"), "and takes it away at the end", text[-80:])
        check(len((scratch / "out").read_text().split("\n")) == 2, "the folder alone is on standard output")


# ---- The library -----------------------------------------------------------------------------------------------------------------------

class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 4096), ("file", ctypes.c_char_p), ("line", ctypes.c_int)]


class Progress(ctypes.Structure):
    _fields_ = [("n_files", ctypes.c_size_t), ("n_files_done", ctypes.c_size_t), ("n_bytes", ctypes.c_uint64),
                ("n_bytes_done", ctypes.c_uint64)]


ON_PROGRESS = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(Progress))


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("revision", ctypes.c_char_p), ("include", ctypes.c_void_p), ("n_include", ctypes.c_size_t),
                ("tokenizer_only", ctypes.c_bool), ("update", ctypes.c_bool), ("offline", ctypes.c_bool), ("cache_folder", ctypes.c_char_p),
                ("endpoint", ctypes.c_char_p), ("token", ctypes.c_char_p), ("etag_timeout_s", ctypes.c_int), ("download_timeout_s",
                                                                                                              ctypes.c_int),
                ("progress", ON_PROGRESS), ("user", ctypes.c_void_p), ("storage", ctypes.c_void_p)]


def test_library(scratch):
    """What the command does not show: cancelling, and two pulls in one process."""
    library = ctypes.CDLL(os.environ.get("TERN_LIBRARY", str(ROOT / "build" / "release" / "src" / "libtern.so")))
    library.tern_hub_options_default.restype = Options
    (E_IO, E_CANCELLED) = (3, 11)

    def call(function, cache, progress=lambda p: True):
        options = library.tern_hub_options_default()
        options.cache_folder, options.endpoint = str(cache).encode(), hub.endpoint.encode()
        callback = options.progress = ON_PROGRESS(lambda user, p: progress(p.contents))
        folder, error = ctypes.c_char_p(), Error()
        code = function(ctypes.byref(folder), b"org/name", ctypes.byref(options), ctypes.byref(error))
        del callback
        return code, (folder.value or b"").decode(), error.message.decode()

    with Hub() as hub:
        repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": BIG}, lfs={"model.safetensors"})
        hub.break_always("cdn", "", step=200_000, pause=0.05)
        cache = scratch / "cache"
        code, folder, message = call(library.tern_hub_pull, cache, lambda p: p.n_bytes_done < 1_000_000)
        check(code == E_CANCELLED and folder == "" and "stopped" in message, "a progress function that says no cancels", (code, message))
        check_cache("cancelled: nothing half under a final name", cache, may_be_incomplete=True)
        check(call(library.tern_hub_find, cache)[0] == E_IO, "cancelled: not found in the cache")
        seen = []
        hub.log.clear()
        code, folder, message = call(library.tern_hub_pull, cache,
                                     lambda p: seen.append((p.n_files_done, p.n_bytes_done, p.n_files, p.n_bytes)) or True)
        check(code == 0 and message == "" and [r.range for r in hub.log if r.server == "cdn"] != [None], "the next pull goes on",
              (code, message))
        rising = all(a[:2] <= b[:2] for a, b in zip(seen, seen[1:]))
        check(rising and len(seen) > 3 and seen[-1] == (1, len(BIG), 1, len(BIG)), "progress rises to the end", seen)
        check(call(library.tern_hub_find, cache) == (0, folder, ""), "then it is found in the cache")
        check_cache("and the cache is right", cache, repo)

        cache = scratch / "threads"
        hub.log.clear()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: call(library.tern_hub_pull, cache), range(4)))
        check(len(set(results)) == 1 and results[0][0] == 0, "four threads pull the same", results)
        check(len([r for r in hub.log if r.server == "cdn"]) == 1, "and download it once", hub.log)
        check_cache("and the cache is right", cache, repo)


if __name__ == "__main__":
    sys.exit(main(globals()))
