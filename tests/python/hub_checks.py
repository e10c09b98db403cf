"""hub_checks.py - what the tests of the hub have in common: small repositories, the command asking one hub, and what is wrong with a cache.
SPDX-License-Identifier: Apache-2.0 """
import hashlib
import os
import random
import socket
from pathlib import Path

from command import TINY, check, tern
from hub_server import git_sha1

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
