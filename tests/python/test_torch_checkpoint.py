#!/usr/bin/env python3
"""test_torch_checkpoint.py - pytorch_model.bin through the command: the same numbers as from safetensors, and pickles that want to do harm.

There is no PyTorch here: Python's own pickle module writes the files, with stand-ins for the few names of torch that a state dict mentions.
Files that PyTorch wrote are in tests/golden/torch and tests/unit/unit_torch_file.c reads them.
Environment: TERN_COMMAND (see command.py). The last line is "N passed, M failed". SPDX-License-Identifier: Apache-2.0
"""
import collections
import io
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import safetensors.numpy

from command import MODEL, TINY, check, check_fails, done, forward, main, tern

MAX_SECONDS = 10          # a refusal takes less than a second; the rest is for a busy machine
MAX_BYTES = 512 << 20     # of a refusing process' addresses: values of 128 MB, arrays that grow, the file, the program

# ---- A writer ------------------------------------------------------------------------------------------------------------------


class Storage:
    def __init__(self, array, key):
        self.array, self.key = np.ascontiguousarray(array).reshape(-1), key


class Tensor:
    """A view of a storage: `array` is stored in memory order, so a transposed array has the strides of its transpose."""

    def __init__(self, array, key):
        order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        self.storage = Storage(array.transpose(order), key)
        self.size = array.shape
        self.stride = tuple(s // array.itemsize for s in array.strides)

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (self.storage, 0, self.size, self.stride, False, collections.OrderedDict())


def make_torch():
    """Stand-ins, which pickle names and never calls."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch._utils = utils
    for name in ("FloatStorage", "HalfStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def rebuild():
        raise AssertionError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
    return {np.dtype(np.float32): torch.FloatStorage, np.dtype(np.float16): torch.HalfStorage, np.dtype(np.int64): torch.LongStorage}


STORAGE_TYPES = make_torch()


class Pickler(pickle.Pickler):
    def __init__(self, stream, protocol, is_legacy):
        super().__init__(stream, protocol)
        self.storages, self.is_legacy = {}, is_legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value.array
        parts = ("storage", STORAGE_TYPES[value.array.dtype], value.key, "cpu", value.array.size)
        return (*parts, None) if self.is_legacy else parts


def pickled(value, protocol, is_legacy):
    stream = io.BytesIO()
    pickler = Pickler(stream, protocol, is_legacy)
    pickler.dump(value)
    return stream.getvalue(), pickler.storages


def write_zip(path, value, protocol=2, compression=zipfile.ZIP_STORED):
    data, storages = pickled(value, protocol, False)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("pytorch_model/data.pkl", data)
        file.writestr("pytorch_model/byteorder", "little")
        for key, array in storages.items():
            file.writestr(f"pytorch_model/data/{key}", array.tobytes())
        file.writestr("pytorch_model/version", "3\n")


def write_legacy(path, value, protocol=2):
    data, storages = pickled(value, protocol, True)
    with open(path, "wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}):
            pickle.dump(head, file, protocol)
        file.write(data)
        pickle.dump(sorted(storages), file, protocol)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())


def state_dict(arrays, transposed=False):
    """An OrderedDict with _metadata; storages are numbered. Two-dimensional arrays may be stored transposed."""
    tensors = collections.OrderedDict()
    for number, (name, array) in enumerate(arrays.items()):
        tensors[name] = Tensor(np.asfortranarray(array) if transposed and array.ndim == 2 else array, str(number))
    tensors._metadata = collections.OrderedDict([("", {"version": 1})])
    return tensors


def folder_without_weights(scratch, name, source=TINY):
    folder = scratch / name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "onnx", "openvino"))
    return folder


# ---- The same numbers ----------------------------------------------------------------------------------------------------------


def test_same_bits(scratch):
    arrays = safetensors.numpy.load_file(TINY / "model.safetensors")
    inputs = safetensors.numpy.load_file(TINY / "inputs.safetensors")
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs}
    expected = forward(scratch, TINY, inputs)
    prefixed = {f"bert.{name}": array for name, array in arrays.items()}
    old = {name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array for name, array in prefixed.items()}
    training = {"epoch": 3, "model": state_dict(arrays), "args": {"lr": 0.1, "tags": ["a", None]}}
    cases = {
        "zip": lambda path: write_zip(path, state_dict(arrays)),
        "zip, protocol 5": lambda path: write_zip(path, state_dict(arrays), 5),
        "legacy": lambda path: write_legacy(path, state_dict(arrays)),
        "legacy, protocol 4": lambda path: write_legacy(path, state_dict(arrays), 4),
        "legacy, protocol 1": lambda path: write_legacy(path, state_dict(arrays), 1),
        "transposed storages": lambda path: write_zip(path, state_dict(arrays, transposed=True)),
        "legacy, transposed storages": lambda path: write_legacy(path, state_dict(arrays, transposed=True)),
        "with a prefix": lambda path: write_zip(path, state_dict(prefixed)),
        "names of 2018": lambda path: write_legacy(path, state_dict(old)),
        "a training checkpoint": lambda path: write_zip(path, training),
    }
    for name, write in cases.items():
        folder = folder_without_weights(scratch, name)
        write(folder / "pytorch_model.bin")
        outputs = forward(scratch, folder, inputs)
        same = outputs.keys() == expected.keys() and all(outputs[k].tobytes() == expected[k].tobytes() for k in expected)
        check(same, f"{name}: the same bits as from safetensors")

    folder = folder_without_weights(scratch, "sharded")
    names = list(arrays)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for (shard, of), write in zip(shards.items(), (write_zip, write_legacy)):
        write(folder / shard, state_dict({name: arrays[name] for name in of}))
    weight_map = {name: shard for shard, of in shards.items() for name in of}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    outputs = forward(scratch, folder, inputs)
    check(all(outputs[k].tobytes() == expected[k].tobytes() for k in expected), "two shards, one of each container: the same bits")


def test_real_model(scratch):
    """all-MiniLM-L6-v2 saved again: the same embeddings, bit for bit."""
    arrays = safetensors.numpy.load_file(MODEL / "model.safetensors")
    text = "A ship has sailed.\n\u4e2d\u6587\n\n".encode()
    expected = done("embed", MODEL, stdin=text).out
    for name, write in (("zip", write_zip), ("legacy", write_legacy)):
        folder = folder_without_weights(scratch, name, MODEL)
        write(folder / "pytorch_model.bin", state_dict(arrays))
        check(done("embed", folder, stdin=text).out == expected, f"all-MiniLM-L6-v2 as {name}: the same embeddings")


def test_which_file(scratch):
    folder = folder_without_weights(scratch, "both")
    shutil.copy(TINY / "model.safetensors", folder)
    (folder / "pytorch_model.bin").write_bytes(b"not read, since safetensors come first")
    check(tern("info", folder).code == 0, "safetensors are read before pytorch_model.bin")
    for name in ("tf_model.h5", "flax_model.msgpack", "model.gguf", "model.onnx"):
        folder = folder_without_weights(scratch, name)
        (folder / name).write_bytes(b"\0")
        check_fails(f"a folder with only {name}", tern("info", folder), f'"{name}"', "Tern reads", "pytorch_model.bin")


# ---- Harm ----------------------------------------------------------------------------------------------------------------------


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def limit_memory():
    if sys.platform != "darwin":  # which has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))


def refused(scratch, what, *needed):
    """The command refuses scratch/evil at once and in little memory: with more it would say that it has none."""
    begin = time.monotonic()
    result = tern("info", scratch / "evil", preexec_fn=limit_memory)
    seconds = time.monotonic() - begin
    missing = [n for n in needed if n not in result.err]
    ok = result.code == 1 and not result.out and not missing and seconds < MAX_SECONDS
    check(ok, f"{what}: refused in {seconds:.2f} s", f"exit {result.code}, lacks {missing}: {result.err}")


def put(scratch, write, value, **options):
    shutil.rmtree(scratch / "evil", ignore_errors=True)
    write(folder_without_weights(scratch, "evil") / "pytorch_model.bin", value, **options)


def put_pickle(scratch, data):
    """A zip file with this pickle."""
    shutil.rmtree(scratch / "evil", ignore_errors=True)
    with zipfile.ZipFile(folder_without_weights(scratch, "evil") / "pytorch_model.bin", "w") as file:
        file.writestr("archive/data.pkl", data)


def test_code(scratch):
    marker = scratch / "was here"
    weight = Tensor(np.zeros(2, np.float32), "0")
    calls = {"posix.system": Call(os.system, f"touch '{marker}'"), "builtins.eval": Call(eval, f"open({str(marker)!r}, 'w')"),
             "builtins.exec": Call(exec, f"open({str(marker)!r}, 'w')"), "subprocess.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
             "builtins.getattr": Call(getattr, "", "join"), "builtins.print": Call(print, "harm")}
    for name, call in calls.items():
        for write in (write_zip, write_legacy):
            put(scratch, write, {"weight": weight, "x": call}, protocol=4)
            refused(scratch, f"{name} in {write.__name__[6:]}", f" of the pickle: refuses to load {name}: only tensors are read")
    put_pickle(scratch, b"cos\nsystem\n(X" + struct.pack("<I", 4) + b"true" + b"tR.")
    refused(scratch, "os.system", "byte 0 of the pickle: refuses to load os.system")
    check(not marker.exists(), "nothing was run")
    put(scratch, write_zip, {"weight": weight}, compression=zipfile.ZIP_DEFLATED)
    refused(scratch, "a compressed entry", "is compressed, which torch.save never does", "zip -0")


def test_bombs(scratch):
    n = 20 << 20
    laughs = b"".join(b"q%c0(" % i + b"h%c" % i * 10 + b"l" for i in range(200))
    bombs = {
        "a string of 2 GB": (b"X\xff\xff\xff\x7fx.", "passes the end"),
        "a string of 2^63 bytes": (b"\x8d" + b"\xff" * 7 + b"\x7fx.", "passes the end"),
        "an int of 2 GB": (b"\x8b\xff\xff\xff\x7fx.", "passes the end"),
        "a memo of 2^32 entries": (b"Nr\xff\xff\xff\xff.", "memo 4294967295"),
        "20 million lists in each other": (b"]" * n + b"a" * n + b".", "values are on the stack"),
        "20 million tuples in each other": (b")" + b"\x85" * n + b".", "need more than 128 MB"),
        "20 million marks": (b"(" * n + b"t" * n + b".", "nested deeper than 256"),
        "20 million lists that are dropped": (b"]0" * (n // 2) + b"N.", "need more than 128 MB"),
        "20 million values in one list": (b"](" + b"N" * n + b"e.", "values are on the stack"),
        "100 million opcodes that do nothing": (b"N0" * 50_000_001 + b"N.", "longer than 100000000 bytes"),
        "a billion laughs": (b"(" + b"N" * 10 + b"l" + laughs + b".", "holds a list"),
        "5 million storages": (b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0NK\x02tq\x00" + b"Q0h\x00" * (n // 4) + b".",
                               "need more than 128 MB"),
    }
    for name, (data, message) in bombs.items():
        put_pickle(scratch, data)
        refused(scratch, name, message)


def test_expanded(scratch):
    """One element with stride 0 seen as 2^40 elements."""
    weight = Tensor(np.zeros(1, np.float32), "0")
    weight.size, weight.stride = (1 << 20, 1 << 20), (0, 0)
    put(scratch, write_zip, {"weight": weight})
    refused(scratch, "a tensor of 4 TB that repeats one element", "repeats its elements over 4398046511104 bytes")


def test_cut_short(scratch):
    arrays = safetensors.numpy.load_file(TINY / "model.safetensors")
    for write in (write_zip, write_legacy):
        put(scratch, write, state_dict(arrays))
        path = scratch / "evil" / "pytorch_model.bin"
        data = path.read_bytes()
        for n in (0, 1, 2, 100, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:n])
            refused(scratch, f"{write.__name__[6:]} cut to {n} of {len(data)} bytes", "pytorch_model.bin: ")


if __name__ == "__main__":
    sys.exit(main(globals()))
