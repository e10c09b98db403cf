"""command.py - what the tests of the command share: running it, counting checks.
Environment: TERN_COMMAND (default build/release/tern), TERN_TEST_MODEL (default models/all-MiniLM-L6-v2).
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import safetensors.numpy

ROOT = Path(__file__).resolve().parent.parent.parent
TERN = os.environ.get("TERN_COMMAND", str(ROOT / "build" / "release" / "tern"))
MODEL = Path(os.environ.get("TERN_TEST_MODEL", ROOT / "models" / "all-MiniLM-L6-v2"))
TINY = ROOT / "tests" / "golden" / "tiny" / "gelu-1-layer"
NO_POOLER = ROOT / "tests" / "golden" / "tiny" / "relu-no-pooler"
counts = {"passed": 0, "failed": 0}


def check(ok, what, detail=""):
    counts["passed" if ok else "failed"] += 1
    print(f"{'ok    ' if ok else 'FAILED'} {what}{'' if ok or not detail else f': {detail}'[:1500]}", flush=True)


class Result:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr.decode(errors="replace")

    def json(self):
        return [json.loads(line) for line in self.out.split(b"\n") if line]


def tern(*arguments, stdin=b"", **options):
    """Run the command, whatever it returns."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300, **options}
    return Result(subprocess.run([TERN, *(a if isinstance(a, bytes) else str(a) for a in arguments)], input=stdin, **options))


def done(*arguments, **options):
    """Run the command, which must succeed in silence on standard error."""
    result = tern(*arguments, **options)
    if result.code != 0 or result.err:
        raise RuntimeError(f"tern {' '.join(map(str, arguments))[:200]}: exit {result.code}: {result.err[:1000]}")
    return result


def check_fails(what, result, *needed, code=1):
    """It ended with this code, one message that says all this, and no sign of a crash."""
    missing = [n for n in needed if n not in result.err]
    ok = result.code == code and not missing and result.err.startswith("tern") and "Sanitizer" not in result.err
    check(ok, what, f"exit {result.code}, message lacks {missing}: {result.err}")


def full_device(scratch):
    """A device that is always full: one of our own where that can be made, so that a fault under test run by root cannot harm /dev/full."""
    device = scratch / "full"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.stat("/dev/full").st_rdev)
        with open(device, "wb"):
            return device
    except PermissionError:  # not root, or a file system without devices
        device.unlink(missing_ok=True)
        return Path("/dev/full")


def lines_of(texts):
    return "".join(t + "\n" for t in texts).encode()


def as_float32(rows):
    return np.array(rows, np.float32)


def forward(scratch, folder, tensors, *options):
    safetensors.numpy.save_file(tensors, scratch / "in.safetensors")
    done("forward", folder, "--inputs", scratch / "in.safetensors", "--output", scratch / "out.safetensors", *options)
    outputs = safetensors.numpy.load_file(scratch / "out.safetensors")
    for name in ("in.safetensors", "out.safetensors"):
        (scratch / name).unlink()
    return outputs


def main(tests):
    """Run the functions test_* of a module's globals, or those named on the command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored, and would hand that on
    chosen = sys.argv[1:]
    for name, function in tests.items():
        if not name.startswith("test_") or not callable(function) or (chosen and name not in chosen):
            continue
        print(f"-- {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            try:
                function(*[Path(folder)][: function.__code__.co_argcount])
            except Exception:  # a test that cannot go on has failed; the others go on
                check(False, name, traceback.format_exc())
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] > 0
