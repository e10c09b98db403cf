#!/usr/bin/env python3
"""golden-torch.py - write tests/golden/torch: small files of torch.save, and what is in them as safetensors; or compare at random.

    python scripts/golden-torch.py             write CASE.CONTAINER-PROTOCOL.bin, CASE.safetensors and written_by.json
    python scripts/golden-torch.py --check N   save N random objects with PyTorch, read them with Tern, compare every byte

Tern's reader of these files is no public function, so --check compiles src/store and src/base into a library of its own (with $CC, else
cc). Needs torch and safetensors (the versions used are written into written_by.json). The tests need neither: they read the files.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import collections
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "torch"
SEED = 20240611
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32,
          "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def random_tensor(shape, dtype, generator):
    """Any bit pattern that the dtype has, NaN too; of bools 0 and 1."""
    n = dtype.itemsize
    for size in shape:
        n *= size
    high = 2 if dtype == torch.bool else 256
    return torch.randint(0, high, (n,), dtype=torch.uint8, generator=generator).view(dtype).reshape(shape)


def save(value, path, container, protocol):
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=container == "zip")


def raw_bytes(tensor):
    elements = torch.empty(tensor.numel(), dtype=tensor.dtype)
    elements.view(tensor.shape).copy_(tensor.detach())
    return bytes(elements.view(torch.uint8).numpy())


# ---- Golden files -------------------------------------------------------------------------------------------------------------


def dtypes_case(g):
    return {name: random_tensor((2, 3), dtype, g) for name, dtype in DTYPES.items()}


def shapes_case(g):
    shapes = {"scalar": (), "one": (1,), "none": (0,), "no rows": (0, 5), "no columns": (3, 0), "rank 8": (1, 2, 1, 2, 1, 2, 1, 2)}
    return {name: random_tensor(shape, torch.float32, g) for name, shape in shapes.items()}


def views_case(g):
    x = random_tensor((4, 6), torch.float32, g)
    h = random_tensor((3, 4, 5), torch.float16, g)
    return {"whole": x, "rows": x[1:3], "columns": x[:, 1:4], "every second": x[:, ::2], "transposed": x.t(), "diagonal": x.diagonal(),
            "element": x[2, 3], "expanded": x[1:2].expand(3, 6), "stride 0": x[0, 0].expand(2, 2), "permuted": h.permute(2, 0, 1),
            "last of half": h[2], "unsqueezed": h[1].unsqueeze(0).transpose(0, 1), "no elements": x[4:]}


def tied_case(g):
    x = random_tensor((5, 3), torch.bfloat16, g)
    y = random_tensor((4,), torch.int64, g)
    return {"encoder.weight": x, "decoder.weight": x, "decoder.transposed": x.t(), "ids": y, "some ids": y[1:3]}


def parameters_case(g):
    state = torch.nn.Parameter(random_tensor((3,), torch.float32, g))
    state.note = "an attribute"
    buffer = torch.nn.parameter.Buffer(random_tensor((2,), torch.float32, g))
    return {"plain": torch.nn.Parameter(random_tensor((2, 2), torch.float32, g)), "with state": state, "buffer": buffer,
            "frozen": torch.nn.Parameter(random_tensor((2,), torch.float16, g), requires_grad=False),
            "requires grad": random_tensor((3,), torch.float64, g).requires_grad_()}


def module_case(g):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.LayerNorm(4))
    for parameter in module.parameters():
        parameter.data = random_tensor(parameter.shape, torch.float32, g)
    return module.state_dict()


def extras_case(g):
    return collections.OrderedDict([
        ("weight", random_tensor((2, 2), torch.float32, g)), ("epoch", 3), ("step", 2**40), ("large", 2**70), ("negative", -5),
        ("loss", 0.25), ("name", "a name"), ("none", None), ("is_best", True), ("is_last", False), ("bytes", b"\x00\xff"),
        ("list", [1, [2], {}]),
        ("tuple", (1, 2, 3, 4)), ("dtype", torch.float16), ("size", torch.Size([2, 2])), ("dict", {"a": {"b": ()}}),
        ("k\u00e4se \u4e2d\U0001f600", random_tensor((1,), torch.int8, g)), ("", random_tensor((2,), torch.uint8, g))])


def nested_case(g):
    model = collections.OrderedDict((f"layer.{i}.weight", random_tensor((3,), torch.float32, g)) for i in range(4))
    optimizer = {"state": {0: {"exp_avg": random_tensor((3,), torch.float32, g)}}, "groups": [{"lr": 0.1}]}
    return {"epoch": 7, "state_dict": model, "optimizer": optimizer}


def many_case(g):
    """More memo entries than one byte counts."""
    return {f"encoder.layer.{i}.weight": random_tensor((i % 3,), torch.float16, g) for i in range(70)}


CASES = {"dtypes": dtypes_case, "shapes": shapes_case, "views": views_case, "tied": tied_case, "parameters": parameters_case,
         "module": module_case, "extras": extras_case, "nested": nested_case, "many": many_case, "empty": lambda g: {}}
CONTAINERS = {"views": [("zip", 2), ("zip", 4), ("zip", 5), ("legacy", 2), ("legacy", 4)], "many": [("legacy", 2)],
              "extras": [("zip", 2), ("zip", 1), ("zip", 3), ("legacy", 1), ("legacy", 5)]}


def tensors_of(value):
    """What Tern should read of a golden case."""
    flat = value.get("state_dict", value)
    return {name: tensor.detach() for name, tensor in flat.items() if isinstance(tensor, torch.Tensor)}


def write_golden():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    files = []
    for number, (name, make) in enumerate(CASES.items()):
        value = make(torch.Generator().manual_seed(SEED + number))
        save_file({k: v.contiguous().clone() for k, v in tensors_of(value).items()}, GOLDEN / f"{name}.safetensors")
        for container, protocol in CONTAINERS.get(name, [("zip", 2), ("legacy", 2)]):
            files.append(f"{name}.{container}-{protocol}.bin")
            save(value, GOLDEN / files[-1], container, protocol)
    written_by = {"written_by": "scripts/golden-torch.py", "torch": torch.__version__, "python": sys.version.split()[0], "seed": SEED,
                  "files": files}
    (GOLDEN / "written_by.json").write_text(json.dumps(written_by, indent=1) + "\n")
    print(f"{len(files)} files, {sum(p.stat().st_size for p in GOLDEN.iterdir())} bytes")


# ---- Random comparison --------------------------------------------------------------------------------------------------------


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int), ("shape", ctypes.c_int64 * 8),
                ("data", ctypes.c_void_p)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 4096), ("file", ctypes.c_char_p), ("line", ctypes.c_int)]


def build_reader(folder):
    library = Path(folder) / "reader.so"
    sources = [str(p) for part in ("store", "base") for p in sorted((ROOT / "src" / part).glob("*.c"))]
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", f"-I{ROOT / 'src'}",
                    f"-I{ROOT / 'include'}", *sources, "-o", str(library), "-ljansson", "-lpthread", "-lm"], check=True)
    reader = ctypes.CDLL(str(library))
    reader.tern__checkpoint_count.restype = ctypes.c_size_t
    reader.tern__checkpoint_get.restype = ctypes.POINTER(Tensor)
    reader.tern_tensor_elements.restype = ctypes.c_int64
    return reader


def read_with_tern(reader, folder):
    """{name: (dtype, shape, bytes)} in Tern's order, or the error's message."""
    checkpoint, err = ctypes.c_void_p(), Error()
    if reader.tern__checkpoint_open(ctypes.byref(checkpoint), os.fsencode(folder), ctypes.byref(err)) != 0:
        return err.message.decode()
    names = list(DTYPES)
    tensors = {}
    for i in range(reader.tern__checkpoint_count(checkpoint)):
        tensor = reader.tern__checkpoint_get(checkpoint, ctypes.c_size_t(i)).contents
        dtype = names[tensor.dtype]
        n_bytes = reader.tern_tensor_elements(ctypes.byref(tensor)) * DTYPES[dtype].itemsize
        tensors[tensor.name.decode()] = (dtype, tuple(tensor.shape[: tensor.rank]), ctypes.string_at(tensor.data, n_bytes))
    reader.tern__checkpoint_close(checkpoint)
    return tensors


def random_view(tensor, rng):
    for _ in range(rng.randrange(5)):
        kind = rng.randrange(8)
        axis = rng.randrange(tensor.dim()) if tensor.dim() else 0
        if kind == 0 and tensor.dim() and tensor.shape[axis]:
            begin = rng.randrange(tensor.shape[axis])
            tensor = tensor.narrow(axis, begin, rng.randint(0, tensor.shape[axis] - begin))
        elif kind == 1 and tensor.dim() > 1:
            tensor = tensor.permute(*rng.sample(range(tensor.dim()), tensor.dim()))
        elif kind == 2 and tensor.dim() and tensor.shape[axis]:
            tensor = tensor.select(axis, rng.randrange(tensor.shape[axis]))
        elif kind == 3 and tensor.dim() < 8:
            tensor = tensor.unsqueeze(rng.randint(0, tensor.dim()))
        elif kind == 4 and tensor.dim():
            tensor = tensor[tuple(slice(None, None, rng.randint(1, 3)) for _ in range(tensor.dim()))]
        elif kind == 5 and tensor.dim() < 8 and tensor.numel() < 2000:
            tensor = tensor.expand(rng.randint(0, 4), *tensor.shape)
        elif kind == 6 and tensor.dim() > 1 and tensor.shape[0] == tensor.shape[1]:
            tensor = tensor.diagonal()
        elif kind == 7 and 0 < tensor.dim() < 8 and tensor.shape[axis] > 1 and tensor.numel() < 2000:
            tensor = tensor.unfold(axis, rng.randint(1, tensor.shape[axis]), rng.randint(1, 2))
    return tensor


def random_name(rng):
    parts = ["encoder", "layer", "weight", "bias", str(rng.randrange(30)), "\u00e9", "\u4e2d\u6587", "a b", "\U0001f600"]
    return ".".join(rng.choice(parts) for _ in range(rng.randint(1, 5))) + rng.choice(["", "", "x" * rng.randrange(300)])


def random_state_dict(rng, generator):
    roots, tensors = [], {}
    for _ in range(rng.choice([0, 1, 2, 3, 5, 10, 30, 30, 400])):
        if not roots or rng.random() < 0.7:
            shape = [rng.choice([0, 1, 1, 2, 3, 4, 7, 9]) for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3, 4]))]
            roots.append(random_tensor(shape, rng.choice(list(DTYPES.values())), generator))
        tensor = rng.choice(roots[-3:])
        tensor = random_view(tensor, rng) if rng.random() < 0.6 else tensor
        if tensor.is_floating_point() and rng.random() < 0.2:
            tensor = torch.nn.Parameter(tensor, requires_grad=rng.random() < 0.5)
            if rng.random() < 0.3:
                tensor.attribute = rng.choice([1, "x", None, [1, 2]])
        tensors[random_name(rng)] = tensor
    return tensors


def random_extra(rng, depth=0):
    scalars = [None, True, 0, -1, 255, 256, 65536, -(2**31), 2**31, 2**63, -(2**63), 2**200, 1.5, float("nan"), "",
               "text" * rng.randrange(80), b"", b"x" * rng.randrange(300), torch.float32, torch.Size([1, 2])]
    if depth < 4 and rng.random() < 0.4:
        items = [random_extra(rng, depth + 1) for _ in range(rng.randrange(6))]
        kinds = [list, tuple, lambda v: dict(enumerate(v)), lambda v: collections.OrderedDict((str(k), x) for k, x in enumerate(v))]
        return rng.choice(kinds)(items)
    return rng.choice(scalars)


def random_object(rng, generator, protocol):
    """What is saved, and the tensors that are meant."""
    tensors = random_state_dict(rng, generator)
    value = collections.OrderedDict(tensors) if rng.random() < 0.5 else dict(tensors)
    if isinstance(value, collections.OrderedDict) and rng.random() < 0.5:
        value._metadata = collections.OrderedDict((random_name(rng), {"version": rng.randrange(4)}) for _ in range(5))
    extras = {}
    if rng.random() < 0.3:
        extras = {f"extra {i}": random_extra(rng) for i in range(rng.randrange(5))}
    if protocol < 3:  # Python pickles empty bytes as a call of bytes there, which is refused
        extras = {k: v for k, v in extras.items() if "b''" not in repr(v)}
    if tensors and rng.random() < 0.2:
        return {**extras, rng.choice(["model", "state_dict", "module"]): value}, tensors
    value.update(extras if tensors else {})
    return value, tensors


def check_random(n):
    rng, generator = random.Random(SEED), torch.Generator().manual_seed(SEED)
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        reader = build_reader(scratch)
        folder = Path(scratch) / "checkpoint"
        folder.mkdir()
        for number in range(n):
            container, protocol = rng.choice(["zip", "legacy"]), rng.choice([1, 2, 2, 2, 3, 4, 5])
            value, tensors = random_object(rng, generator, protocol)
            torch.serialization.set_crc32_options(rng.random() < 0.8)
            torch.utils.serialization.config.save.storage_alignment = rng.choice([64, 64, 64, 1, 8, 4096])
            parts = [value]
            if tensors and value.keys() == tensors.keys() and rng.random() < 0.2:
                names = list(tensors)
                cuts = sorted(rng.randrange(len(names) + 1) for _ in range(2))
                parts = [{k: value[k] for k in part} for part in (names[: cuts[0]], names[cuts[0] : cuts[1]], names[cuts[1] :]) if part]
                counts["sharded"] += 1
            for old in folder.iterdir():
                old.unlink()
            if len(parts) == 1:
                save(value, folder / "pytorch_model.bin", container, protocol)
            else:
                weight_map = {k: f"pytorch_model-{i}.bin" for i, part in enumerate(parts) for k in part}
                for i, part in enumerate(parts):
                    save(part, folder / f"pytorch_model-{i}.bin", container, protocol)
                (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
            read = read_with_tern(reader, folder)
            expected = {k: (NAMES[v.dtype], tuple(v.shape), raw_bytes(v)) for k, v in tensors.items()}
            if read != expected:
                kept = Path(tempfile.mkdtemp(prefix="tern-golden-torch-"))
                for file in folder.iterdir():
                    (kept / file.name).write_bytes(file.read_bytes())
                what = read if isinstance(read, str) else [k for k in {**read, **expected} if read.get(k) != expected.get(k)][:5]
                print(f"file {number} ({container}, protocol {protocol}) differs, kept in {kept}: {what}")
                counts["different"] += 1
            counts[f"{container}, protocol {protocol}"] += 1
            counts["tensors"] += len(expected)
            counts["not contiguous"] += sum(not v.is_contiguous() for v in tensors.values())
            counts["bytes"] += sum(len(v[2]) for v in expected.values())
    print(f"{n} files: " + ", ".join(f"{v} {k}" for k, v in sorted(counts.items())))
    return counts["different"] > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", type=int, metavar="N")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # torch warns of each storage that a legacy file holds
    if arguments.check:
        sys.exit(check_random(arguments.check))
    write_golden()


main()
