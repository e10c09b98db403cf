"""tern.py - the parts of include/tern.h that the peer benchmark needs, through ctypes: load a model, run it, embed texts.
Not a Python package of Tern's: it follows the header by hand. SPDX-License-Identifier: Apache-2.0
"""
import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent


class Error(Structure):
    _fields_ = [("code", c_int), ("message", c_char * 4096), ("file", c_char_p), ("line", c_int)]


class ModelOptions(Structure):
    _fields_ = [("size", c_size_t), ("device", c_char_p), ("dtype", c_char_p), ("threads", c_int), ("isa", c_char_p),
                ("cache_folder", c_char_p)]


class ModelInfo(Structure):
    _fields_ = [("model_type", c_char_p), ("architecture", c_char_p), ("tasks", POINTER(c_char_p)), ("n_parameters", c_int64),
                ("checkpoint_dtype", c_int), ("checkpoint_bytes", c_int64), ("hidden_size", c_int64), ("num_hidden_layers", c_int64),
                ("vocab_size", c_int64), ("max_position_embeddings", c_int64), ("max_seq_length", c_int64), ("pooling", c_char_p),
                ("normalize", c_bool), ("is_sparse", c_bool), ("is_sentence_transformer", c_bool), ("default_prompt_name", c_char_p),
                ("similarity_fn_name", c_char_p), ("n_labels", c_int64), ("device", c_char_p), ("isa", c_char_p), ("dtype", c_char_p),
                ("threads", c_int)]


class ForwardInputs(Structure):
    _fields_ = [("batch", c_int64), ("tokens", c_int64), ("input_ids", c_void_p), ("attention_mask", c_void_p),
                ("token_type_ids", c_void_p)]


class ForwardOutput(Structure):
    _fields_ = [("name", c_char_p), ("data", c_void_p)]


class Text(Structure):
    _fields_ = [("data", c_char_p), ("bytes", c_size_t)]


class Library:
    def __init__(self, path=None):
        self.path = Path(path) if path else ROOT / "build" / "release" / "src" / "libtern.so"
        c = self.c = ctypes.CDLL(str(self.path))
        c.tern_version.restype = c_char_p
        c.tern_model_options_default.restype = ModelOptions
        c.tern_model_get_info.restype = ModelInfo
        c.tern_model_get_info.argtypes = [c_void_p]
        c.tern_model_load.argtypes = [POINTER(c_void_p), c_char_p, POINTER(ModelOptions), POINTER(Error)]
        c.tern_model_free.argtypes = [c_void_p]
        c.tern_model_free.restype = None
        c.tern_model_forward.argtypes = [c_void_p, POINTER(ForwardInputs), POINTER(ForwardOutput), c_size_t, POINTER(Error)]
        c.tern_model_embed.argtypes = [c_void_p, POINTER(Text), c_size_t, c_void_p, POINTER(c_float), POINTER(c_int32), POINTER(Error)]
        c.tern_checkpoint_init.argtypes = [c_char_p, ctypes.c_uint64, c_char_p, POINTER(Error)]

    def version(self):
        return self.c.tern_version().decode()

    def check(self, status, err):
        if status != 0:
            raise RuntimeError(err.message.decode())

    def init_checkpoint(self, config, seed, folder):
        err = Error()
        self.check(self.c.tern_checkpoint_init(str(config).encode(), seed, str(folder).encode(), byref(err)), err)


class Model:
    def __init__(self, library, folder, threads=0, isa=None, device=None, dtype=None):
        self.library, self.handle = library, c_void_p()
        options, err = library.c.tern_model_options_default(), Error()
        options.threads = threads
        options.isa = isa.encode() if isa else None
        if device:
            options.device = device.encode()
        if dtype:
            options.dtype = dtype.encode()
        library.check(library.c.tern_model_load(byref(self.handle), str(folder).encode(), byref(options), byref(err)), err)
        self.info = library.c.tern_model_get_info(self.handle)

    def close(self):
        self.library.c.tern_model_free(self.handle)
        self.handle = c_void_p()

    def forward(self, input_ids, attention_mask, token_type_ids, out):
        """last_hidden_state into `out`, float32 [B, T, C]; the others int64 [B, T], C-contiguous."""
        err = Error()
        inputs = ForwardInputs(*input_ids.shape, input_ids.ctypes.data, attention_mask.ctypes.data, token_type_ids.ctypes.data)
        output = ForwardOutput(b"last_hidden_state", out.ctypes.data)
        self.library.check(self.library.c.tern_model_forward(self.handle, byref(inputs), byref(output), 1, byref(err)), err)
        return out

    def embed(self, texts):
        data = [t.encode() for t in texts]
        array = (Text * len(data))(*(Text(d, len(d)) for d in data))
        out, err = np.empty((len(data), self.info.hidden_size), np.float32), Error()
        pointer = out.ctypes.data_as(POINTER(c_float))
        self.library.check(self.library.c.tern_model_embed(self.handle, array, len(data), None, pointer, None, byref(err)), err)
        return out
