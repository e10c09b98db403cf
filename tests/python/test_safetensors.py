#!/usr/bin/env python3
"""test_safetensors.py - .safetensors files between Tern and the reference implementation: each reads what the other wrote, and of files
with random damage Tern accepts none that the reference refuses, and reads the same from those that both accept.

Calls the shared library through ctypes. Environment: TERN_LIBRARY (default build/release/src/libtern.so).
The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import os
import random
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent.parent
LIBRARY = os.environ.get("TERN_LIBRARY", str(ROOT / "build" / "release" / "src" / "libtern.so"))
DTYPES = ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "U32"]  # in the order of tern_dtype
NUMPY = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
         "U8": np.uint8, "BOOL": np.bool_, "U32": np.uint32}
BYTES = [8, 4, 2, 2, 8, 4, 2, 1, 1, 1, 4]
N_DAMAGED = 20000

counts = {"passed": 0, "failed": 0}


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int), ("shape", ctypes.c_int64 * 8),
                ("data", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 4096), ("file", ctypes.c_char_p), ("line", ctypes.c_int)]


tern = ctypes.CDLL(LIBRARY)
tern.tern_safetensors_count.restype = ctypes.c_size_t
tern.tern_safetensors_get.restype = ctypes.POINTER(Tensor)
tern.tern_tensor_elements.restype = ctypes.c_int64


def check(ok, what):
    counts["passed" if ok else "failed"] += 1
    print(f"{'ok    ' if ok else 'FAILED'} {what}", flush=True)


def read(path):
    """{name: (dtype, shape, bytes)}, or None and the message."""
    file, err = ctypes.c_void_p(), Error()
    if tern.tern_safetensors_open(ctypes.byref(file), os.fsencode(path), ctypes.byref(err)) != 0:
        return None, err.message.decode()
    tensors = {}
    for i in range(tern.tern_safetensors_count(file)):
        tensor = tern.tern_safetensors_get(file, ctypes.c_size_t(i))
        n_bytes = tern.tern_tensor_elements(tensor) * BYTES[tensor.contents.dtype]
        tensors[tensor.contents.name.decode()] = (DTYPES[tensor.contents.dtype], tuple(tensor.contents.shape[: tensor.contents.rank]),
                                                  ctypes.string_at(tensor.contents.data, n_bytes))
    tern.tern_safetensors_close(file)
    return tensors, None


def write(path, arrays):
    tensors = (Tensor * len(arrays))()
    for tensor, (name, array) in zip(tensors, arrays.items()):
        dtype = next(i for i, d in enumerate(DTYPES) if NUMPY.get(d) == array.dtype.type)
        tensor.name, tensor.dtype, tensor.rank, tensor.data = name.encode(), dtype, array.ndim, array.ctypes.data
        tensor.shape[: array.ndim] = array.shape
    err = Error()
    if tern.tern_safetensors_save(os.fsencode(path), tensors, ctypes.c_size_t(len(arrays)), ctypes.byref(err)) != 0:
        raise RuntimeError(err.message.decode())


def reference(data):
    """What the reference implementation reads, or None."""
    try:
        return {name: (info["dtype"], tuple(info["shape"]), bytes(info["data"])) for name, info in safetensors.deserialize(data)}
    except Exception:  # its own error, or UTF-8 that Python refuses
        return None


def as_written(arrays):
    names = {v: k for k, v in NUMPY.items()}
    return {name: (names[a.dtype.type], a.shape, a.tobytes()) for name, a in arrays.items()}


def damage(rng, data):
    """One to three changes to a file; the length before the header follows most of them."""
    data = bytearray(data)
    n_header = struct.unpack("<Q", data[:8])[0]
    header, rest = data[8 : 8 + n_header], data[8 + n_header :]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(header))
        kind = rng.randrange(6)
        if kind == 0:
            header[at] = rng.randrange(256)
        elif kind == 1:
            header[at:at] = rng.choice([b"0", b"1", b"-", b",", b" ", b"[", b"]", b"{}", b'"', b"\\u0000", b"1e3", b"null", b"9" * 19])
        elif kind == 2:
            del header[at : at + rng.randint(1, 8)]
        elif kind == 3:
            digits = [i for i, c in enumerate(header) if 48 <= c <= 57] or [0]
            header[rng.choice(digits)] = 48 + rng.randrange(10)
        elif kind == 4:
            rest = rest[: -rng.randint(1, 4)] if rng.random() < 0.5 else rest + bytes(rng.randint(1, 4))
        else:
            end = min(len(header), at + rng.randint(1, 60))
            header[at:at] = header[at:end]
        if not header:
            header = bytearray(b"{}")
    length = len(header) if rng.random() < 0.9 else rng.choice([0, 7, len(header) - 1, len(header) + 1, 2**63, 2**64 - 1])
    return struct.pack("<Q", length) + bytes(header) + bytes(rest)


def main():
    rng = np.random.default_rng(1)
    arrays = {f"layer.{name.lower()}": rng.integers(0, 2, (3, 2)).astype(kind) for name, kind in NUMPY.items()}
    arrays |= {"scalar": np.array(3.5, np.float32), 'é"\\\n\x01😀': np.zeros((0, 4), np.float16), "rank8": np.ones((1, 2) * 4, np.int8)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        write(path, arrays)
        loaded = load_file(path)
        check(as_written(loaded) == as_written(arrays), "the reference reads what Tern writes")
        with safetensors.safe_open(path, "np") as file:
            check(file.metadata() == {"format": "pt"}, "with the metadata that transformers asks for")
        save_file(arrays, path, metadata={"format": "pt", "é": "\n"})
        check(read(path)[0] == as_written(arrays), "Tern reads what the reference writes")
        save_file({}, path)
        check(read(path)[0] == {}, "Tern reads a file without tensors")

        small = {"a": np.arange(3, dtype=np.float32), "b": np.zeros((2, 2), np.int8), "c": np.zeros((0, 7), np.float16)}
        save_file(small, path, metadata={"format": "pt"})
        good = path.read_bytes()
        source = random.Random(2)
        both = stricter = 0
        wrong = []
        for _ in range(N_DAMAGED):
            data = damage(source, good)
            path.write_bytes(data)
            ours, message = read(path)
            theirs = reference(data)
            if ours is not None and ours != theirs:
                wrong.append(f"{data!r}: {ours} instead of {theirs}")
            both += ours is not None
            stricter += ours is None and theirs is not None
        for line in wrong[:5]:
            print(line[:600])
        check(not wrong, f"{N_DAMAGED} damaged files: {both} read alike, {stricter} refused by Tern alone, {len(wrong)} read otherwise")
        check(both > 100, "some of the damage is harmless")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
