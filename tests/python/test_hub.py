#!/usr/bin/env python3
"""test_hub.py - models of a hub: downloading, the cache that is shared with huggingface_hub, places and settings, the library.

The hub is hub_server.py on this machine; no test leaves it. Environment: see command.py. The last line is "N passed, M failed".
SPDX-License-Identifier: Apache-2.0
"""
import concurrent.futures
import ctypes
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from command import ROOT, TERN, TINY, Result, check, check_fails, main, tern
from hub_checks import BIG, COMMANDS, TINY_FILES, ask, check_cache, closed_port, folder_of, in_snapshot
from hub_server import Hub


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
