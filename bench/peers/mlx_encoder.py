"""mlx_encoder.py - BERT written with the ops of mlx.core, the straightforward way: a padded batch, an additive mask, one op after the other.
SPDX-License-Identifier: Apache-2.0
"""
import json
from pathlib import Path

import numpy as np


class MlxBert:
    """device: "cpu" or "gpu"; dtype: a name of mlx.core's; is_compiled: the whole encoder through mlx.core.compile, once for each shape."""

    def __init__(self, folder, device="cpu", dtype="float32", is_compiled=False):
        import mlx.core as mx
        self.mx = mx
        mx.set_default_device(getattr(mx, device))
        self.config = json.loads((Path(folder) / "config.json").read_text())
        weights = mx.load(str(Path(folder) / "model.safetensors"))
        self.dtype = getattr(mx, dtype)
        self.weights = {name.removeprefix("bert."): w.astype(self.dtype) for name, w in weights.items() if mx.issubdtype(w.dtype, mx.floating)}
        mx.eval(list(self.weights.values()))
        self.call = mx.compile(self.encode) if is_compiled else self.encode

    def linear(self, x, name):
        return self.mx.addmm(self.weights[name + ".bias"], x, self.weights[name + ".weight"].T)

    def norm(self, x, name):
        return self.mx.fast.layer_norm(x, self.weights[name + ".weight"], self.weights[name + ".bias"], self.config["layer_norm_eps"])

    def attention(self, x, mask, name):
        batch, tokens, width = x.shape
        heads = self.config["num_attention_heads"]
        q, k, v = (self.linear(x, f"{name}.self.{part}").reshape(batch, tokens, heads, -1).transpose(0, 2, 1, 3)
                   for part in ("query", "key", "value"))
        y = self.mx.fast.scaled_dot_product_attention(q, k, v, scale=(width // heads) ** -0.5, mask=mask)
        y = self.linear(y.transpose(0, 2, 1, 3).reshape(batch, tokens, width), name + ".output.dense")
        return self.norm(y + x, name + ".output.LayerNorm")

    def encode(self, input_ids, attention_mask, token_type_ids):
        mx, w = self.mx, self.weights
        mask = mx.where(attention_mask[:, None, None, :] == 1, 0.0, -1e9).astype(self.dtype)
        x = w["embeddings.word_embeddings.weight"][input_ids] + w["embeddings.token_type_embeddings.weight"][token_type_ids]
        x = self.norm(x + w["embeddings.position_embeddings.weight"][: input_ids.shape[1]], "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.attention(x, mask, name + ".attention")
            y = self.linear(x, name + ".intermediate.dense")
            y = y * (1 + mx.erf(y * 2 ** -0.5)) * 0.5
            x = self.norm(self.linear(y, name + ".output.dense") + x, name + ".output.LayerNorm")
        return x

    def run(self, input_ids, attention_mask, token_type_ids):
        """int64 numpy [B, T] each; last_hidden_state, float32 numpy [B, T, C]."""
        out = self.call(*(self.mx.array(a.astype(np.int32)) for a in (input_ids, attention_mask, token_type_ids)))
        return np.array(out.astype(self.mx.float32))
