#!/usr/bin/env python3
"""test_check_includes.py - scripts/check-includes sees each fault that it is there for, and nothing in a tree without faults.
The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).resolve().parent.parent.parent / "scripts" / "check-includes"
SOUND = {
    "base/error.h": '#include "tern.h"\n#include <stdio.h>\n',
    "program/program.h": '#include "base/error.h"\n',
    "device/device.h": '#include "program/program.h"\n',
    "device/cpu/gemm.h": '#include "device/device.h"\n',
    "device/cpu/gemm.c": '#include "gemm.h"\n#include "device/cpu/gemm.h"\n',
    "device/cuda/run.h": "",
    "arch/registry.c": '#include "arch_list.inc"\n#include "program/program.h"\n',
    "model/model.h": '#include "device/device.h"\n#include <jansson.h>\n',
    "task/embed.c": '#include "model/model.h"\n',
    "cli/main.c": '#include "tern.h"\n#include "cli/args.h"\n#include <jansson.h>\n',
    "cli/args.h": "",
    "cli/cmd_bench.c": '#include "bench/bench.h"\n',
    "bench/bench.h": '#include "tern.h"\n',
    "bench/ops.c": '#include "bench/bench.h"\n#include "device/device.h"\n#include <jansson.h>\n',
    "bench/samples.h": "",
    "text/long.c": "\n" * 700,
    "text/long_data.inc": "\n" * 2000,
    "include/tern.h": "\n" * 700,
}
# file, its text, a piece of the message
FAULTS = [
    ("base/up.c", '#include "model/model.h"\n', 'src/base/up.c:1: #include "model/model.h"'),
    ("program/up.c", "\n# include \"device/device.h\"\n", "src/program/up.c:2"),
    ("arch/up.c", '#include "device/device.h"\n', "src/arch/up.c:1"),
    ("text/sideways.c", '#include "program/program.h"\n', "src/text/sideways.c:1"),
    ("model/inside.c", '#include "device/cpu/gemm.h"\n', "the device cpu"),
    ("device/cpu/other.c", '#include "device/cuda/run.h"\n', "the device cuda"),
    ("device/registry.c", '#include "cpu/gemm.h"\n', "the device cpu"),
    ("cli/deep.c", '#include "base/error.h"\n', "src/cli/deep.c:1"),
    ("cli/inside.c", '#include "bench/samples.h"\n', "src/cli/inside.c:1"),
    ("bench/up.c", '#include "model/model.h"\n', "src/bench/up.c:1"),
    ("cli/library.c", "#include <curl/curl.h>\n", "does not use this library"),
    ("task/dots.c", '#include "../model/model.h"\n', "goes up with .."),
    ("task/unknown.c", '#include "nowhere.h"\n', "is no file"),
    ("task/computed.c", "#include NAME\n", "cannot be checked"),
    ("text/longer.c", "\n" * 701, "src/text/longer.c: 701 lines"),
    ("include/tern/longer.h", "\n" * 701, "include/tern/longer.h: 701 lines"),
    ("extra/new.c", "", "lacks"),
]


def run(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / ("" if name.startswith("include/") else "src") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        result = subprocess.run([CHECK, folder], capture_output=True, text=True)
        return result.returncode, result.stdout


def main():
    status, output = run(SOUND)
    results = [(status == 0, "a tree without faults", output)]
    for name, text, message in FAULTS:
        status, output = run({**SOUND, name: text})
        results.append((status == 1 and message in output and output.count("\n") == 1, f"{name}: {message}", output))
    for ok, what, output in results:
        print("ok    " + what if ok else f"FAILED {what}\n{output}")
    failed = sum(not ok for ok, _, _ in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
