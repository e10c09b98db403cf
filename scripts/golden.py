#!/usr/bin/env python3
"""golden.py - write tests/golden: reference outputs of transformers and sentence-transformers in float32, on the CPU.

    python scripts/golden.py --model models/all-MiniLM-L6-v2 [--only minilm|tiny|arch|heads]

minilm/texts.json          the texts, made of tests/golden/sentences.json
minilm/golden.safetensors  sequences packed one after the other, as row_start tells; see the function minilm
tiny/CASE/                 a little random checkpoint, inputs.safetensors, outputs.safetensors; see the function tiny_case: BERT in
                           many forms, and three odd configurations of each other model_type
heads/CLASS-N/             the same for the classes with heads; outputs.safetensors has what the head gives

Needs torch, transformers, sentence-transformers, tokenizers (the versions used are written into the files). The tests need none of
them: they read the files. SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SEED = 20240607
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
            "sentence_transformers": sentence_transformers.__version__, "written_by": "scripts/golden.py"}


def written_by(seed, own_error):
    """The files' metadata: one entry, since safetensors writes several in an order that changes from run to run."""
    error = None if math.isnan(own_error) else f"{own_error:.3g}"  # ModernBERT's softmax is float32's, and its masked rows are NaN in float64
    return {"golden": json.dumps({**VERSIONS, "seed": seed, "max_abs_to_float64": error})}


# ---- MiniLM -------------------------------------------------------------------------------------------------------------------

# Lengths, in tokens, of the joined texts: round the truncation (256), the positions (512) and the widths of vectors and tiles.
JOINED_LENGTHS = [12, 15, 16, 17, 20, 24, 27, 31, 32, 33, 36, 40, 44, 47, 48, 49, 52, 56, 60, 63, 64, 65, 70, 75, 80, 90, 95, 96, 97, 100,
                  109, 120, 127, 128, 129, 150, 180, 200, 230, 255, 256, 257, 300, 384, 450, 511, 512, 700]
ALL_ROWS = 4      # so many joined texts of at most 64 tokens have all their rows in the file
LAYER_TEXTS = 3   # so many texts have the rows of every layer in the file
ROWS_PER_TEXT = 8


def cut_to_tokens(text, tokenizer, target):
    """The longest beginning of `text` that has at most `target` ids, special tokens counted."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenizer.encode(text[:middle]).ids) <= target:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def make_texts(tokenizer):
    sentences = json.loads((GOLDEN / "sentences.json").read_text(encoding="utf-8"))
    texts = [{"script": script, "text": text} for script, group in sentences.items() for text in group]
    texts += [{"script": "none", "text": ""}, {"script": "none", "text": "  \t "}]
    rng = random.Random(SEED)
    single = list(texts)
    for number, target in enumerate(JOINED_LENGTHS):
        # Every third one stays in English; the others mix scripts.
        pool = [t for t in single if "English" in t["script"]] if number % 3 == 0 else single
        joined = ""
        while len(tokenizer.encode(joined).ids) < target:
            joined += rng.choice(pool)["text"] + " "
        texts.append({"script": "joined", "text": cut_to_tokens(joined, tokenizer, target)})
    return texts


def chosen_rows(length, everything, rng):
    if everything or length <= ROWS_PER_TEXT:
        return list(range(length))
    return [0] + sorted(rng.sample(range(1, length - 1), ROWS_PER_TEXT - 2)) + [length - 1]


@torch.inference_mode()
def minilm(folder):
    """golden.safetensors:
    input_ids      I32 [sum of lengths]     ids of every sequence: the texts first, at most 512 ids each, then a few bare id lists
    row_start      I32 [sequences + 1]
    n_tokens       I32 [texts]              ids that the embedding saw, at most 256
    embeddings     F32 [texts, 384]         SentenceTransformer.encode, each text alone
    rows           F32 [R, 384]             last_hidden_state of BertModel (eager attention), each sequence alone
    row_index      I32 [R]                  which packed row each of them is
    layer_sequence I32 [M]                  sequences whose rows are kept at every layer, all rows, in this order
    hidden_states.K F32 [sum of their lengths, 384]
    """
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = make_texts(tokenizer)
    tokenizer.enable_truncation(512)
    sequences = [tokenizer.encode(t["text"]).ids for t in texts]
    hugging_face = transformers.AutoTokenizer.from_pretrained(folder)
    for text, ids in zip(texts, sequences):
        assert hugging_face(text["text"], truncation=True, max_length=512)["input_ids"] == ids, text
    sequences += [[101], [2003], [101, 102], [1996, 4937]]
    row_start = np.cumsum([0] + [len(s) for s in sequences])

    encoder = sentence_transformers.SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    embeddings = np.concatenate([encoder.encode([t["text"]], normalize_embeddings=True) for t in texts])
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    double = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()

    rng = random.Random(SEED)
    short_joined = [i for i, t in enumerate(texts) if t["script"] == "joined" and len(sequences[i]) <= 64]
    everything = set(rng.sample(short_joined, ALL_ROWS))
    short_single = [i for i, t in enumerate(texts) if t["script"] != "joined" and 6 <= len(sequences[i]) <= 20]
    layer_sequence = sorted(rng.sample(short_single, LAYER_TEXTS))
    rows, row_index, layers, own_error = [], [], {}, 0.0
    for number, ids in enumerate(sequences):
        inputs = torch.tensor([ids])
        out = model(input_ids=inputs, output_hidden_states=True)
        last = out.last_hidden_state[0]
        own_error = max(own_error, (double(input_ids=inputs).last_hidden_state[0] - last).abs().max().item())
        keep = chosen_rows(len(ids), number in everything, rng)
        rows.append(last[keep])
        row_index += [int(row_start[number]) + r for r in keep]
        if number in layer_sequence:
            for k, hidden in enumerate(out.hidden_states):
                layers.setdefault(f"hidden_states.{k}", []).append(hidden[0])
    tensors = {
        "input_ids": torch.tensor([i for s in sequences for i in s], dtype=torch.int32),
        "row_start": torch.tensor(row_start, dtype=torch.int32),
        "n_tokens": torch.tensor([min(len(s), 256) for s in sequences[:len(texts)]], dtype=torch.int32),
        "embeddings": torch.from_numpy(embeddings),
        "rows": torch.cat(rows),
        "row_index": torch.tensor(row_index, dtype=torch.int32),
        "layer_sequence": torch.tensor(layer_sequence, dtype=torch.int32),
        **{name: torch.cat(parts) for name, parts in layers.items()},
    }
    target = GOLDEN / "minilm"
    target.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(t, ensure_ascii=False) for t in texts)
    (target / "texts.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    save_file(tensors, target / "golden.safetensors", metadata=written_by(SEED, own_error))
    scripts = {t["script"].split(" (")[0] for t in texts} - {"none", "joined", "Mixed", "Symbols"}
    print(f"minilm: {len(texts)} texts, {len(scripts)} scripts, {min(map(len, sequences))} to {max(map(len, sequences))} tokens, "
          f"{row_start[-1]} in all; float32 against float64: {own_error:.3g}")


# ---- Tiny random checkpoints --------------------------------------------------------------------------------------------------

# name: (config, what is special). hidden_size / num_attention_heads = head_dim.
TINY = {
    "gelu-1-layer": dict(hidden_size=60, num_attention_heads=3, num_hidden_layers=1, intermediate_size=77, hidden_act="gelu"),
    "gelu-new-3-layers": dict(hidden_size=60, num_attention_heads=3, num_hidden_layers=3, intermediate_size=90, hidden_act="gelu_new"),
    "relu-no-pooler": dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=2, intermediate_size=128, hidden_act="relu",
                           special="no-pooler"),
    "silu-one-head": dict(hidden_size=36, num_attention_heads=1, num_hidden_layers=2, intermediate_size=50, hidden_act="silu"),
    "tanh-odd": dict(hidden_size=35, num_attention_heads=5, num_hidden_layers=2, intermediate_size=33, hidden_act="tanh"),
    "sigmoid-head-dim-1": dict(hidden_size=8, num_attention_heads=8, num_hidden_layers=3, intermediate_size=3, hidden_act="sigmoid"),
    "quick-gelu-long": dict(hidden_size=24, num_attention_heads=2, num_hidden_layers=2, intermediate_size=40, hidden_act="quick_gelu",
                            max_position_embeddings=200, tokens=(163, 70, 1)),
    "linear-wide-head": dict(hidden_size=136, num_attention_heads=1, num_hidden_layers=1, intermediate_size=20, hidden_act="linear"),
    "one-type": dict(hidden_size=48, num_attention_heads=4, num_hidden_layers=2, intermediate_size=64, type_vocab_size=1,
                     layer_norm_eps=1e-5),
    "old-names": dict(hidden_size=40, num_attention_heads=2, num_hidden_layers=2, intermediate_size=56, special="old-names"),
    "f16": dict(hidden_size=72, num_attention_heads=6, num_hidden_layers=1, intermediate_size=100, special="f16"),
    "bf16": dict(hidden_size=72, num_attention_heads=6, num_hidden_layers=1, intermediate_size=100, special="bf16"),
    "sharded": dict(hidden_size=52, num_attention_heads=4, num_hidden_layers=3, intermediate_size=61, special="sharded"),
}
# model_type: (config class, model class, three configurations). The vocabulary has VOCAB_SIZE ids, of which pad_token_id pads.
VOCAB_SIZE = 71
ARCHITECTURES = {
    "roberta": ("RobertaConfig", "RobertaModel", [
        dict(hidden_size=60, num_attention_heads=3, num_hidden_layers=2, intermediate_size=77, type_vocab_size=1, layer_norm_eps=1e-5),
        dict(hidden_size=35, num_attention_heads=5, num_hidden_layers=1, intermediate_size=33, type_vocab_size=2, pad_token_id=0),
        dict(hidden_size=24, num_attention_heads=2, num_hidden_layers=3, intermediate_size=40, type_vocab_size=1, pad_token_id=4,
             hidden_act="relu")]),
    "camembert": ("CamembertConfig", "CamembertModel", [
        dict(hidden_size=36, num_attention_heads=3, num_hidden_layers=2, intermediate_size=50, type_vocab_size=1)]),
    "xlm-roberta": ("XLMRobertaConfig", "XLMRobertaModel", [
        dict(hidden_size=44, num_attention_heads=4, num_hidden_layers=2, intermediate_size=51, type_vocab_size=1, layer_norm_eps=1e-5),
        dict(hidden_size=17, num_attention_heads=1, num_hidden_layers=2, intermediate_size=29, type_vocab_size=3),
        dict(hidden_size=32, num_attention_heads=8, num_hidden_layers=1, intermediate_size=64, type_vocab_size=1, hidden_act="gelu_new")]),
    "electra": ("ElectraConfig", "ElectraModel", [
        dict(embedding_size=20, hidden_size=60, num_attention_heads=3, num_hidden_layers=2, intermediate_size=77),
        dict(embedding_size=40, hidden_size=40, num_attention_heads=5, num_hidden_layers=1, intermediate_size=33, type_vocab_size=1),
        dict(embedding_size=52, hidden_size=24, num_attention_heads=2, num_hidden_layers=3, intermediate_size=90, hidden_act="silu")]),
    "distilbert": ("DistilBertConfig", "DistilBertModel", [
        dict(dim=60, n_heads=3, n_layers=2, hidden_dim=77),
        dict(dim=35, n_heads=5, n_layers=1, hidden_dim=33, activation="relu"),
        dict(dim=24, n_heads=2, n_layers=3, hidden_dim=90, sinusoidal_pos_embds=True)]),
    "albert": ("AlbertConfig", "AlbertModel", [
        dict(embedding_size=20, hidden_size=60, num_attention_heads=3, num_hidden_layers=3, intermediate_size=77),
        dict(embedding_size=35, hidden_size=35, num_attention_heads=5, num_hidden_layers=4, num_hidden_groups=3, intermediate_size=33,
             hidden_act="gelu"),
        dict(embedding_size=13, hidden_size=24, num_attention_heads=2, num_hidden_layers=2, num_hidden_groups=2, inner_group_num=2,
             intermediate_size=40)]),
    "mpnet": ("MPNetConfig", "MPNetModel", [
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=37, max_position_embeddings=202,
             tokens=(190, 70, 7, 1)),  # past the largest distance that has a bucket of its own
        dict(hidden_size=35, num_attention_heads=5, num_hidden_layers=1, intermediate_size=33, hidden_act="relu"),
        dict(hidden_size=36, num_attention_heads=1, num_hidden_layers=3, intermediate_size=50, layer_norm_eps=1e-5)]),
    "modernbert": ("ModernBertConfig", "ModernBertModel", [
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=5, intermediate_size=37, local_attention=6, pad_token_id=0),
        dict(hidden_size=36, num_attention_heads=6, num_hidden_layers=2, intermediate_size=20, local_attention=64,
             max_position_embeddings=202, tokens=(190, 70, 7, 1), pad_token_id=0, norm_bias=True, attention_bias=True, mlp_bias=True),
        dict(hidden_size=20, num_attention_heads=1, num_hidden_layers=3, intermediate_size=33, local_attention=3, pad_token_id=0,
             hidden_activation="silu", layer_types=["sliding_attention", "full_attention", "sliding_attention"])]),
    "deberta-v2": ("DebertaV2Config", "DebertaV2Model", [
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=37, max_position_embeddings=202,
             tokens=(190, 70, 7, 1), relative_attention=True, position_buckets=16, max_relative_positions=-1, share_att_key=True,
             norm_rel_ebd="layer_norm", pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0),  # as -v3
        dict(hidden_size=20, num_attention_heads=5, num_hidden_layers=2, intermediate_size=33, relative_attention=True,
             position_buckets=-1, max_relative_positions=9, pos_att_type=["c2p"], type_vocab_size=2),
        dict(hidden_size=36, num_attention_heads=2, num_hidden_layers=2, intermediate_size=50, relative_attention=True, embedding_size=20,
             position_buckets=8, max_relative_positions=24, pos_att_type=["p2c", "c2p"], type_vocab_size=3, hidden_act="gelu_new")]),
    "nomic_bert": ("NomicBertConfig", "NomicBertModel", [
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=37, pad_token_id=0),
        dict(hidden_size=36, num_attention_heads=6, num_hidden_layers=1, intermediate_size=20, pad_token_id=0, type_vocab_size=1,
             max_position_embeddings=202, tokens=(190, 70, 7, 1), rope_parameters={"rope_type": "default", "rope_theta": 70.0}),
        dict(hidden_size=20, num_attention_heads=1, num_hidden_layers=3, intermediate_size=33, pad_token_id=0, hidden_act="gelu",
             layer_norm_eps=1e-5)]),
    "deberta-v2-conv": ("DebertaV2Config", "DebertaV2Model", [
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=37, relative_attention=True, position_buckets=16,
             share_att_key=True, norm_rel_ebd="layer_norm", pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0,
             conv_kernel_size=3, conv_act="gelu"),  # as the xlarge sizes
        dict(hidden_size=20, num_attention_heads=5, num_hidden_layers=1, intermediate_size=33, max_position_embeddings=202,
             tokens=(190, 70, 7, 1), relative_attention=True, pos_att_type="c2p", type_vocab_size=2, conv_kernel_size=7),
        dict(hidden_size=36, num_attention_heads=2, num_hidden_layers=3, intermediate_size=50, embedding_size=20, type_vocab_size=0,
             conv_kernel_size=5, conv_act="relu")]),
}
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(ord("a"), ord("z") + 1)),
         *("##" + chr(c) for c in range(ord("a"), ord("z") + 1)), "the", "##ing", "##s", "cat", "runn", ".", ",", "!", "?", "你"]


def randomise(model, generator, table=1.0):
    """Weights large enough that every op matters: linear ones keep the size of a row, norms and biases are not trivial. Pre-norm layers
    add to rows that nothing norms, so theirs are smaller: the bound of the parity test is absolute, for values of a few units."""
    gain = 0.7 if model.config.model_type == "modernbert" else 1.5
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1 and name.endswith("weight"):
            parameter.copy_(1 + 0.2 * noise)
        elif name.endswith("bias"):
            parameter.copy_(0.2 * noise)
        elif name.endswith("embeddings.weight"):
            parameter.copy_(noise * table)
        else:
            parameter.copy_(noise * parameter.shape[1] ** -0.5 * gain)


def tiny_inputs(lengths, config, generator, left=2):
    """One row a length: row 1 has a hole, row `left` is padded on the left, the others on the right. Ids and types under a 0 of the mask are
    random too: they must not matter, but where they make positions."""
    batch, width = len(lengths), max(lengths)
    ids = torch.randint(0, config.vocab_size, (batch, width), generator=generator)
    n_types = getattr(config, "type_vocab_size", 0)
    mask = torch.zeros(batch, width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        if row == left:
            mask[row, width - length:] = 1
        else:
            mask[row, :length] = 1
    mask[1, lengths[1] // 2] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    return inputs | {"token_type_ids": torch.randint(0, n_types, (batch, width), generator=generator)} if n_types else inputs


def save_weights(folder, weights, special):
    metadata = {"format": "pt"}
    if special in ("f16", "bf16"):
        weights = {k: v.to(torch.float16 if special == "f16" else torch.bfloat16) for k, v in weights.items()}
    if special == "old-names":
        old_name = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, old in old_name.items():
            weights = {k.replace(new, old): v for k, v in weights.items()}
        weights = {"bert." + k: v for k, v in weights.items()}
        weights["cls.predictions.bias"] = torch.zeros(len(VOCAB))
        weights["cls.predictions.transform.LayerNorm.gamma"] = torch.ones(40)
    if special != "sharded":
        save_file(weights, folder / "model.safetensors", metadata=metadata)
        return
    names, weight_map = sorted(weights), {}
    for number in range(3):
        file = f"model-{number + 1:05}-of-00003.safetensors"
        part = {name: weights[name] for name in names[number::3]}
        save_file(part, folder / file, metadata=metadata)
        weight_map.update({name: file for name in part})
    total = sum(v.numel() * 4 for v in weights.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}, indent=1) + "\n")


def bert_case(name, settings, number):
    settings = dict(settings)
    special, lengths = settings.pop("special", None), settings.pop("tokens", LENGTHS)
    config = transformers.BertConfig(**{"vocab_size": len(VOCAB), "max_position_embeddings": 40, "hidden_act": "gelu", **settings})
    keys = ("hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "model_type",
            "num_attention_heads", "num_hidden_layers", "pad_token_id", "type_vocab_size", "vocab_size")
    tiny_case(name, transformers.BertModel, config, keys, number, lengths, special)
    (GOLDEN / "tiny" / name / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")


def architecture_cases(number):
    for model_type, (config_class, model_class, configurations) in ARCHITECTURES.items():
        for count, settings in enumerate(configurations, 1):
            settings = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": 40, **settings}
            lengths = settings.pop("tokens", LENGTHS)
            config = getattr(transformers, config_class)(**settings)
            tiny_case(f"{model_type}-{count}", getattr(transformers, model_class), config, own_keys(config), number, lengths, None)
            number += 1


# What three configurations of a head's class are made of: those of HEAD_SIZES for its config class, labels, and whether the table of words
# is the decoder too.
HEADS = ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice",
         "ForPreTraining", "ForNextSentencePrediction"]
HEAD_LABELS = [dict(), dict(id2label={0: "one"}, label2id={"one": 0}), dict(id2label=dict(enumerate("abcde")),
                                                                            label2id={c: i for i, c in enumerate("abcde")})]
HEAD_SIZES = [(12, 3, 2, 19), (10, 1, 1, 16), (14, 7, 1, 9)]  # hidden size, heads, layers, intermediate size
HEAD_SETTINGS = {
    "bert": [dict(), dict(hidden_act="relu"), dict()],
    "roberta": [dict(type_vocab_size=1), dict(), dict(type_vocab_size=1)],
    "camembert": [dict(type_vocab_size=1), dict(type_vocab_size=1), dict(type_vocab_size=1)],
    "xlm-roberta": [dict(type_vocab_size=1), dict(type_vocab_size=1), dict(layer_norm_eps=1e-5)],
    "electra": [dict(embedding_size=8), dict(embedding_size=10), dict(embedding_size=6, summary_activation="tanh")],
    "distilbert": [dict(), dict(activation="relu"), dict()],
    "albert": [dict(embedding_size=8), dict(embedding_size=10, hidden_act="gelu"), dict(embedding_size=5)],
    "mpnet": [dict(), dict(hidden_act="relu"), dict(layer_norm_eps=1e-5)],
    "deberta-v2": [dict(relative_attention=True, position_buckets=6, share_att_key=True, norm_rel_ebd="layer_norm", pos_att_type="p2c|c2p",
                        position_biased_input=False, legacy=False),
                   dict(relative_attention=True, pos_att_type="c2p", pooler_hidden_act="tanh"), dict(embedding_size=6)],
    "modernbert": [dict(pad_token_id=0, local_attention=4), dict(pad_token_id=0, classifier_pooling="mean", classifier_bias=True, norm_bias=True),
                   dict(pad_token_id=0, classifier_activation="relu", decoder_bias=False)],
    "nomic_bert": [dict(), dict(hidden_act="relu"), dict(type_vocab_size=1)],
}
HEAD_LENGTHS = (9, 6, 1)


def head_config(model_type, config_class, number):
    hidden, heads, layers, intermediate = HEAD_SIZES[number]
    sizes = (dict(dim=hidden, n_heads=heads, n_layers=layers, hidden_dim=intermediate) if model_type == "distilbert" else
             dict(hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=layers, intermediate_size=intermediate))
    return getattr(transformers, config_class)(vocab_size=23, max_position_embeddings=24, **sizes, **HEAD_SETTINGS[model_type][number],
                                               **HEAD_LABELS[number], tie_word_embeddings=number != 1)


def head_cases(seed):
    classes = {"bert": ("BertConfig", "BertModel"), **{k: v[:2] for k, v in ARCHITECTURES.items()}}
    for model_type, (config_class, base_class) in classes.items():
        for ending in HEADS:
            model_class = getattr(transformers, base_class.removesuffix("Model") + ending, None)
            for number in range(3 if model_class else 0):
                head_case(model_class, head_config(model_type, config_class, number), f"{model_class.__name__}-{number + 1}", seed)
                seed += 1


@torch.inference_mode()
def head_case(model_class, config, name, seed):
    """outputs.safetensors: what transformers' class gives beside the hidden states. Rows of MultipleChoice are given and told one by one.
    Results of tokens are zeros where the mask is 0; row 2 is not padded on the left, since those of sequences are of column 0."""
    config.architectures = [model_class.__name__]
    if model_class.__name__.endswith("QuestionAnswering"):
        config.num_labels = 2
    generator = torch.Generator().manual_seed(seed)
    model = model_class._from_config(config, attn_implementation="eager").eval()
    randomise(model, generator, table=0.5)  # the table of words is a decoder too: logits of a few units
    inputs = tiny_inputs(HEAD_LENGTHS, config, generator, left=None)
    mask = inputs["attention_mask"].bool()
    is_choice = model_class.__name__.endswith("MultipleChoice")
    out = model(**{k: v[:, None] if is_choice else v for k, v in inputs.items()})
    outputs = {k: v for k, v in out.items() if k.endswith("logits")}
    for key, value in outputs.items():
        if value.ndim >= 2 and value.shape[1] == mask.shape[1]:
            outputs[key] = torch.where(mask if value.ndim == 2 else mask[..., None], value, 0.0)
    write_case(GOLDEN / "heads" / name, config, own_keys(config) + HEAD_KEYS, model, inputs, outputs, seed, float("nan"), None)


LENGTHS = (13, 11, 7, 1, 4)
HEAD_KEYS = ["id2label", "label2id", "tie_word_embeddings"]


def own_keys(config):
    """Every key of its own, as transformers writes them; not the hundred of all configurations."""
    return sorted(config.to_dict().keys() - transformers.PreTrainedConfig().to_dict().keys() | {"model_type"})


def write_case(folder, config, keys, model, inputs, outputs, seed, own_error, special):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    values = config.to_dict()
    (folder / "config.json").write_text(json.dumps({k: values[k] for k in ("architectures", *keys) if k in values}, indent=1) + "\n")
    tied = set(getattr(model, "_tied_weights_keys", None) or ()) if config.tie_word_embeddings else set()
    weights = {k: v.float().contiguous() for k, v in model.state_dict().items() if "position_ids" not in k and k not in tied}
    if special == "no-pooler":
        weights = {k: v for k, v in weights.items() if not k.startswith("pooler.")}
    save_weights(folder, weights, special)
    metadata = written_by(seed, own_error)
    save_file(inputs, folder / "inputs.safetensors", metadata=metadata)
    save_file({k: v.float().contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors", metadata=metadata)
    error = "" if math.isnan(own_error) else f", float32 against float64: {own_error:.3g}"
    print(f"{folder.parent.name}/{folder.name}: {tuple(inputs['input_ids'].shape)}{error}")


def tiny_outputs(model, inputs, has_pooler):
    """What outputs.safetensors holds, and how far last_hidden_state is from float64's."""
    mask = inputs["attention_mask"].bool()
    out = model(**inputs, output_hidden_states=True)
    outputs = {f"hidden_states.{k}": h for k, h in enumerate(out.hidden_states)} | {"last_hidden_state": out.last_hidden_state}
    outputs = {k: torch.where(mask[..., None], v, 0.0) for k, v in outputs.items()}
    if has_pooler and getattr(model, "pooler", None) is not None:
        first = torch.stack([out.last_hidden_state[row, int(mask[row].int().argmax())] for row in range(len(mask))])
        outputs["pooler_output"] = torch.tanh(model.pooler(first)) if model.config.model_type == "albert" else model.pooler(first[:, None])
    double = model.double()(**inputs).last_hidden_state
    return outputs, torch.where(mask[..., None], double - out.last_hidden_state, 0.0).abs().max().item()


@torch.inference_mode()
def tiny_case(name, model_class, config, keys, number, lengths, special):
    """inputs.safetensors: input_ids, attention_mask and, where the model has them, token_type_ids, I64 [B, T]. outputs.safetensors:
    hidden_states.0 ..., last_hidden_state [B, T, C], zeros where the mask is 0; where there is a pooler, pooler_output [B, C], of the
    first row whose mask is 1."""
    config.architectures = [model_class.__name__]
    generator = torch.Generator().manual_seed(SEED + number)
    model = model_class._from_config(config, attn_implementation="eager").eval()
    randomise(model, generator)
    if special in ("f16", "bf16"):
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.float16 if special == "f16" else torch.bfloat16))
    inputs = tiny_inputs(lengths, config, generator)
    outputs, own_error = tiny_outputs(model, inputs, special != "no-pooler")
    write_case(GOLDEN / "tiny" / name, config, keys, model, inputs, outputs, SEED + number, own_error, special)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "all-MiniLM-L6-v2")
    parser.add_argument("--only", choices=["minilm", "tiny", "arch", "heads"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation, whatever machine writes the files
    if arguments.only in (None, "tiny"):
        for number, (name, settings) in enumerate(TINY.items()):
            bert_case(name, settings, number)
    if arguments.only in (None, "arch"):
        architecture_cases(1000)
    if arguments.only in (None, "heads"):
        head_cases(5000)
    if arguments.only in (None, "minilm"):
        minilm(arguments.model)


if __name__ == "__main__":
    main()
