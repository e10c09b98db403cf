#!/usr/bin/env python3
"""golden-quantized.py - write tests/golden/tiny/mlx-*: little random checkpoints as MLX leaves them when it quantizes a model
(mlx.core.quantize: NAME.weight packed, NAME.scales, NAME.biases), and what transformers makes of the same weights in float32.

    python scripts/golden-quantized.py

The files are those of golden.py's tiny cases. Needs what golden.py needs, and mlx. SPDX-License-Identifier: Apache-2.0
"""
import importlib.metadata
import itertools
import json
import shutil

import mlx.core as mx
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

import golden

AFFINE_BITS = (4, 8, 6, 3, 5, 2)
BERT = dict(vocab_size=golden.VOCAB_SIZE, max_position_embeddings=40, hidden_size=64, num_attention_heads=4, num_hidden_layers=2,
            intermediate_size=128)
DEBERTA = dict(vocab_size=golden.VOCAB_SIZE, max_position_embeddings=40, hidden_size=64, num_attention_heads=2, num_hidden_layers=2,
               intermediate_size=96, relative_attention=True, position_buckets=16, share_att_key=True, norm_rel_ebd="layer_norm",
               pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0)
# name: (configuration, ways that the weights are quantized in, in turn: mode, bits, group size; dtype of what is not packed)
CASES = {
    "mlx-affine4-g32": (transformers.BertConfig(**BERT), [("affine", 4, 32)], mx.float32),
    "mlx-affine8-g64": (transformers.BertConfig(**BERT), [("affine", 8, 64)], mx.float16),
    "mlx-mxfp4": (transformers.BertConfig(**BERT), [("mxfp4", 4, 32)], mx.bfloat16),
    "mlx-mixed": (transformers.BertConfig(**BERT), [("affine", bits, 32) for bits in AFFINE_BITS], mx.bfloat16),
    "mlx-deberta-v2": (transformers.DebertaV2Config(**DEBERTA), [("affine", 8, 32), ("affine", 4, 32)], mx.float16),
}


def as_torch(array):
    return torch.from_numpy(np.array(array.astype(mx.float32)))


def dequantized(parts, mode, bits, group_size):
    """In float32, whatever the dtype of scales and biases."""
    packed, *others = parts
    if mode == "affine":
        others = [part.astype(mx.float32) for part in others]
    return mx.dequantize(packed, *others, group_size=group_size, bits=bits, mode=mode, dtype=mx.float32)


@torch.inference_mode()
def quantize(model, ways, dtype):
    """The weights as MLX saves them; those of the model become what they stand for."""
    ways, weights = itertools.cycle(ways), {}
    quantizable = {name + ".weight" for name, module in model.named_modules()
                   if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)) and module.weight.shape[1] % 32 == 0}
    for name, parameter in model.named_parameters():
        array = mx.array(parameter.numpy()).astype(dtype)
        if name not in quantizable:
            weights[name] = array
            parameter.copy_(as_torch(array))
            continue
        mode, bits, group_size = next(ways)
        parts = mx.quantize(array, group_size=group_size, bits=bits, mode=mode)
        stem = name.removesuffix("weight")
        weights |= {stem + ending: part for ending, part in zip(("weight", "scales", "biases"), parts)}
        parameter.copy_(as_torch(dequantized(parts, mode, bits, group_size)))
    return weights


@torch.inference_mode()
def write(name, config, ways, dtype, seed):
    folder = golden.GOLDEN / "tiny" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    golden.randomise(model, generator)
    mx.save_safetensors(str(folder / "model.safetensors"), quantize(model, ways, dtype), metadata={"format": "mlx"})
    values = config.to_dict()
    settings = {key: values[key] for key in golden.own_keys(config) if key in values}
    mode, bits, group_size = ways[0]
    settings["quantization"] = {"group_size": group_size, "bits": bits, "mode": mode}
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    inputs = golden.tiny_inputs((9, 12, 5, 1), config, generator)
    outputs, own_error = golden.tiny_outputs(model, inputs, True)
    metadata = golden.written_by(seed, own_error)
    versions = json.loads(metadata["golden"]) | {"written_by": "scripts/golden-quantized.py", "mlx": importlib.metadata.version("mlx")}
    metadata["golden"] = json.dumps(versions)
    save_file(inputs, folder / "inputs.safetensors", metadata=metadata)
    save_file({key: value.float().contiguous() for key, value in outputs.items()}, folder / "outputs.safetensors", metadata=metadata)
    print(f"{name}: float32 against float64: {own_error:.3g}")


def main():
    torch.set_num_threads(1)
    for number, (name, (config, ways, dtype)) in enumerate(CASES.items()):
        write(name, config, ways, dtype, golden.SEED + 9000 + number)


main()
