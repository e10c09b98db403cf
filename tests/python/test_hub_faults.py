#!/usr/bin/env python3
"""test_hub_faults.py - everything that goes wrong on the way from a hub, interruptions and several processes: each failure must end in the
right files or in one clear message, never with a half file under its final name.

The hub is hub_server.py on this machine; no test leaves it. Environment: see command.py. The last line is "N passed, M failed".
SPDX-License-Identifier: Apache-2.0
"""
import concurrent.futures
import json
import shutil
import signal
import subprocess
import sys
import time

from command import TERN, check, check_fails, main, tern
from hub_checks import BIG, TINY_FILES, ask, check_cache, closed_port, problems_of
from hub_server import Hub


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

if __name__ == "__main__":
    sys.exit(main(globals()))
