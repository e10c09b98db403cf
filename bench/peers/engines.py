"""engines.py - one record an engine: load a BERT checkpoint folder, then run(input_ids, attention_mask, token_type_ids) ->
last_hidden_state, float32 numpy [B, T, C]. Every engine computes in float32 with the same number of threads and from the same weights.
SPDX-License-Identifier: Apache-2.0
"""
import hashlib
from pathlib import Path

import numpy as np


class PyTorch:
    """Eager, torch.inference_mode, transformers' default attention (sdpa)."""
    name = "torch"

    def __init__(self, folder, threads, _cache):
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        torch.set_num_threads(threads)
        self.torch, self.version = torch, torch.__version__
        self.model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False).eval()

    def run(self, input_ids, attention_mask, token_type_ids):
        t = self.torch.from_numpy
        with self.torch.inference_mode():
            out = self.model(input_ids=t(input_ids), attention_mask=t(attention_mask), token_type_ids=t(token_type_ids))
            return out.last_hidden_state.numpy()


class PyTorchCompiled(PyTorch):
    """torch.compile with its default back end (inductor, which needs a C++ compiler), shapes dynamic."""
    name = "torch-compile"

    def __init__(self, folder, threads, cache):
        super().__init__(folder, threads, cache)
        self.model = self.torch.compile(self.model, dynamic=True)


def cached(folder, cache, name):
    """A path in the cache for what is made of this checkpoint."""
    stamp = f"{Path(folder).resolve()} {(Path(folder) / 'model.safetensors').stat().st_mtime_ns}"
    return Path(cache) / hashlib.sha256(stamp.encode()).hexdigest()[:16] / name


def export_onnx(folder, path):
    import torch
    import transformers

    class LastHiddenState(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False,
                                                                attn_implementation="eager")

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    # Three tensors: one tensor given three times would be exported as one input.
    examples = (torch.full((2, 7), 5), torch.ones(2, 7, dtype=torch.int64), torch.zeros(2, 7, dtype=torch.int64))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(LastHiddenState().eval(), examples, str(path), input_names=names, output_names=["last_hidden_state"],
                      dynamic_shapes={name: axes for name in names}, dynamo=True, external_data=True)


class OnnxRuntime:
    """The model exported once by torch.onnx; all graph optimisations; all threads in one operator."""
    name = "onnxruntime"
    fused = False

    def __init__(self, folder, threads, cache):
        import onnxruntime
        self.version = onnxruntime.__version__
        path = cached(folder, cache, "model.onnx")
        if not path.exists():
            export_onnx(folder, path)
        if self.fused:
            path = self.fuse(folder, path)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Its threads spin while a run lasts, as always, but not after it, where they would take the next engine's cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name for i in self.session.get_inputs()}

    @staticmethod
    def fuse(_folder, path):
        raise NotImplementedError

    def run(self, input_ids, attention_mask, token_type_ids):
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.session.run(["last_hidden_state"], {k: v for k, v in feeds.items() if k in self.inputs})[0]


class OnnxRuntimeFused(OnnxRuntime):
    """The same graph after onnxruntime.transformers' optimiser: attention and layer norms fused into operators of its own."""
    name = "onnxruntime-fused"
    fused = True

    @staticmethod
    def fuse(folder, path):
        import json

        from onnxruntime.transformers import optimizer
        target = path.with_name("fused.onnx")
        if not target.exists():
            config = json.loads((Path(folder) / "config.json").read_text())
            model = optimizer.optimize_model(str(path), model_type="bert", num_heads=config["num_attention_heads"],
                                             hidden_size=config["hidden_size"], opt_level=1)
            print("onnxruntime-fused:", {k: v for k, v in model.get_fused_operator_statistics().items() if v})
            model.save_model_to_file(str(target), use_external_data_format=True)
        return target


class OpenVino:
    """The same exported graph, compiled by OpenVINO for latency, in float32."""
    name = "openvino"

    def __init__(self, folder, threads, cache):
        import openvino
        self.version = openvino.__version__.split("-")[0]
        path = cached(folder, cache, "model.onnx")
        if not path.exists():
            export_onnx(folder, path)
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self.model = openvino.Core().compile_model(str(path), "CPU", options)
        self.inputs = {name for i in self.model.inputs for name in i.names}

    def run(self, input_ids, attention_mask, token_type_ids):
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return self.model({k: v for k, v in feeds.items() if k in self.inputs})[self.model.output(0)]


class CTranslate2:
    """Converted once by ctranslate2's own converter; float32."""
    name = "ctranslate2"

    def __init__(self, folder, threads, cache):
        import ctranslate2
        self.ctranslate2, self.version = ctranslate2, ctranslate2.__version__
        path = cached(folder, cache, "ctranslate2")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            ctranslate2.converters.TransformersConverter(str(folder)).convert(str(path), force=True)
        self.model = ctranslate2.Encoder(str(path), device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads)

    def run(self, input_ids, attention_mask, token_type_ids):
        view = self.ctranslate2.StorageView.from_array
        ids, lengths = input_ids.astype(np.int32), attention_mask.sum(axis=1).astype(np.int32)
        output = self.model.forward_batch(view(ids), view(lengths), token_type_ids=token_type_ids.tolist())
        return np.array(output.last_hidden_state)


class Mlx:
    """The encoder in MLX's own ops (mlx_encoder.py), on its CPU backend, which takes the threads that it wants."""
    name = "mlx"

    def __init__(self, folder, _threads, _cache):
        import mlx.core
        from mlx_encoder import MlxBert
        self.version = mlx.core.__version__
        self.model = MlxBert(folder)

    def run(self, input_ids, attention_mask, token_type_ids):
        return self.model.run(input_ids, attention_mask, token_type_ids)


class Tern:
    name = "tern"
    library_path = None
    isa = None

    def __init__(self, folder, threads, _cache):
        import tern
        library = tern.Library(self.library_path)
        self.version = library.version()
        self.model = tern.Model(library, folder, threads, self.isa)
        self.isa = self.model.info.isa.decode()
        self.out = {}

    def run(self, input_ids, attention_mask, token_type_ids):
        shape = (*input_ids.shape, self.model.info.hidden_size)
        out = self.out.setdefault(shape, np.empty(shape, np.float32))
        return self.model.forward(input_ids, attention_mask, token_type_ids, out)


ENGINES = {e.name: e for e in (PyTorch, PyTorchCompiled, OnnxRuntime, OnnxRuntimeFused, OpenVino, CTranslate2, Mlx, Tern)}
