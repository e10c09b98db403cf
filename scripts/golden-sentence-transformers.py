#!/usr/bin/env python3
"""golden-sentence-transformers.py - write tests/golden/sentence-transformers: tiny random models that sentence-transformers saved, one a
module or an option, and what the library's encode gives for some texts.

    python scripts/golden-sentence-transformers.py           write the files
    python scripts/golden-sentence-transformers.py --check   compare them, and many more texts, with Tern (TERN_COMMAND) instead

CASE/ is the folder; CASE/expected.json has the texts, and for each call the arguments of `tern embed` and the library's float32 rows. The
tests need neither torch nor sentence-transformers: they read the files. SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import sentence_transformers
import safetensors.torch
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sparse_encoder.modules import SpladePooling
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SEED = 20241124
VERSIONS = {"sentence_transformers": sentence_transformers.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "written_by": "scripts/golden-sentence-transformers.py", "seed": SEED}
BOUND = 2e-6
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

SENTENCES = [s.replace("\n", " ").replace("\r", " ")
             for group in json.loads((GOLDEN / "sentences.json").read_text(encoding="utf-8")).values() for s in group]
TEXTS = ["A man is eating food.", "", " ", "Search: the QUICK brown Fox", "don't can't won't", "a" * 90, "word " * 60, "naïve café ÉTÉ",
         "1,234.56 (7%) - x_y#z", "x", "שלום עולם", *random.Random(SEED).sample([s for s in SENTENCES if s], 4)]


def wordpiece(lowercase):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(SENTENCES + TEXTS, trainers.WordPieceTrainer(vocab_size=230, special_tokens=special, show_progress=False,
                                                                               limit_alphabet=60))
    cls, sep = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return tokenizer


def bert(folder, name="BertModel", lowercase=True, model_max_length=48, scale=0.35, **settings):
    """A checkpoint of transformers, for sentence-transformers to begin with."""
    tokenizer = transformers.BertTokenizerFast(tokenizer_object=wordpiece(lowercase), do_lower_case=lowercase, model_max_length=model_max_length)
    config = transformers.BertConfig(**{**dict(vocab_size=len(tokenizer), hidden_size=12, num_hidden_layers=1, num_attention_heads=3,
                                               intermediate_size=14, max_position_embeddings=40), **settings})
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, scale)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def randomize(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.1, 0.4)
    return module


def rewrite(path, change):
    """A JSON file as an earlier version of the library wrote it."""
    config = json.loads(path.read_text())
    path.write_text(json.dumps(change(config), indent=2))


# ---- The cases: build(work) gives the model, finish(folder) changes what was saved ----

CASES = {}


def case(calls=((), ), finish=None, **save):
    def add(build):
        CASES[build.__name__.replace("_", "-")] = (build, calls, finish, save)
        return build
    return add


def transformer(work, **settings):
    return modules.Transformer(bert(work / "bert", **settings))


def pooled(work, mode, *more, **options):
    return SentenceTransformer(modules=[transformer(work), modules.Pooling(12, mode, **options), *more])


def old_pooling(config):
    names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
             "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}
    modes = config["pooling_mode"] if isinstance(config["pooling_mode"], list) else [config["pooling_mode"]]
    return {"word_embedding_dimension": config["embedding_dimension"], "include_prompt": config["include_prompt"],
            **{f"pooling_mode_{key}": mode in modes for mode, key in names.items()}}


@case(calls=((), ("--normalize",), ("--pooling", "cls"), ("--pooling", "max", "--normalize")))
def pooling_mean(work):
    return pooled(work, "mean")


@case()
def pooling_cls(work):
    return pooled(work, "cls")


@case(calls=((), ("--no-normalize",)))
def pooling_max_normalize(work):
    return pooled(work, "max", modules.Normalize())


@case()
def pooling_mean_sqrt_len(work):
    return pooled(work, "mean_sqrt_len_tokens")


@case()
def pooling_weightedmean(work):
    return pooled(work, "weightedmean")


@case()
def pooling_lasttoken(work):
    return pooled(work, "lasttoken")


@case()
def pooling_all(work):
    return pooled(work, ("lasttoken", "mean", "cls", "weightedmean", "max", "mean_sqrt_len_tokens"))


@case(finish=lambda folder: rewrite(folder / "1_Pooling" / "config.json", old_pooling))
def pooling_old_form(work):
    return pooled(work, ("max", "mean", "weightedmean"))


def name_folders_as_before(folder):
    """0_Transformer, module classes of version 2, sentence_roberta_config.json, max_seq_length there."""
    (folder / "0_Transformer").mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json", "README.md"):
            path.rename(folder / "0_Transformer" / path.name)
    rewrite(folder / "modules.json", lambda items: [
        {**m, "path": m["path"] or "0_Transformer", "type": "sentence_transformers.models." + m["type"].rsplit(".", 1)[1]} for m in items])
    (folder / "0_Transformer" / "sentence_bert_config.json").unlink()
    (folder / "0_Transformer" / "sentence_roberta_config.json").write_text('{"max_seq_length": 17, "do_lower_case": false}')
    rewrite(folder / "1_Pooling" / "config.json", old_pooling)


@case(finish=name_folders_as_before)
def folders_old(work):
    return pooled(work, "mean", randomize(modules.Dense(12, 9, activation_function=torch.nn.Identity())))


@case(calls=((), ("--normalize",)))
def dense_tanh_normalize(work):
    return pooled(work, "mean", randomize(modules.Dense(12, 21)), modules.Normalize())


@case(calls=((), ("--normalize",)), safe_serialization=False)
def dense_chain_bin(work):
    return pooled(work, ("cls", "mean"), modules.Dropout(0.3),
                  randomize(modules.Dense(24, 7, bias=False, activation_function=torch.nn.GELU())),
                  randomize(modules.Dense(7, 7, activation_function=torch.nn.ReLU(), use_residual=True)),
                  randomize(modules.Dense(7, 11, activation_function=torch.nn.Sigmoid(), use_residual=True)),
                  randomize(modules.LayerNorm(11)), randomize(modules.Dense(11, 10, activation_function=torch.nn.SiLU())))


@case()
def dense_of_tokens(work):
    return SentenceTransformer(modules=[
        transformer(work), randomize(modules.Dense(12, 5, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")),
        modules.Normalize(module_input_name="token_embeddings"), modules.Pooling(5, "mean"), randomize(modules.LayerNorm(5)),
        modules.Normalize(), randomize(modules.Dense(5, 6, activation_function=torch.nn.Tanh()))])


PROMPTS = {"query": "search query: ", "passage": "search passage: ", "classification": "What is it? "}


@case(calls=((), ("--query",), ("--document",), ("--prompt-name", "passage"), ("--prompt-name", "query"), ("--prompt", "In short: "),
             ("--prompt", "")))
def prompts(work):
    model = pooled(work, "mean", modules.Normalize())
    model.prompts.update(PROMPTS)
    model.default_prompt_name = "classification"
    return model


@case(calls=((), ("--query",), ("--document",), ("--prompt", "word " * 50), ("--query", "--prompt", "unbelievable [MASK]")))
def prompts_not_pooled(work):
    model = pooled(work, ("mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"), include_prompt=False)
    model.prompts.update({"query": "search query: "})
    return model


def lower_case(folder):
    rewrite(folder / "sentence_bert_config.json", lambda config: {**config, "do_lower_case": True})


@case(finish=lower_case)
def do_lower_case(work):
    return SentenceTransformer(modules=[transformer(work, lowercase=False), modules.Pooling(12, "mean")])


def layers(work, gives_layers):
    pooling = randomize(modules.WeightedLayerPooling(12, num_hidden_layers=3, layer_start=1))
    with torch.no_grad():
        pooling.layer_weights.copy_(torch.tensor([0.3, -0.2, 1.7]))
    settings = {"output_hidden_states": True} if gives_layers else {}
    return SentenceTransformer(modules=[transformer(work, num_hidden_layers=3, **settings), pooling, modules.Pooling(12, "mean")])


@case(calls=((), ("--token-embeddings",)))
def layers_weighted(work):
    return layers(work, True)


@case()
def layers_not_given(work):
    return layers(work, False)


def static(work, truncation):
    tokenizer = wordpiece(True)
    if truncation:
        tokenizer.enable_truncation(9)
    return randomize(modules.StaticEmbedding(tokenizer, embedding_dim=15))


@case(calls=((), ("--normalize",), ("--prompt", "In short: ")))
def static_embedding(work):
    return SentenceTransformer(modules=[static(work, False)])


@case()
def static_embedding_dense(work):
    return SentenceTransformer(modules=[static(work, True), randomize(modules.Dense(15, 6)), modules.Normalize()])


def model2vec(folder):
    """Another name of the table, as model2vec saves it."""
    path = folder / "0_StaticEmbedding" / "model.safetensors"
    path = path if path.exists() else folder / "model.safetensors"
    table = safetensors.torch.load_file(path)["embedding.weight"]
    safetensors.torch.save_file({"embeddings": table}, path)


@case(finish=model2vec)
def static_embedding_model2vec(work):
    return SentenceTransformer(modules=[static(work, False), modules.Normalize()])


def splade(work, strategy, activation, **options):
    transformer_module = modules.Transformer(bert(work / "bert", "BertForMaskedLM", scale=0.2), transformer_task="fill-mask")
    return SparseEncoder(modules=[transformer_module, SpladePooling(strategy, activation)], **options)


@case(calls=((), ("--max-active-dims", "7"), ("--token-embeddings",)))
def splade_max(work):
    return splade(work, "max", "relu")


@case(calls=((), ("--query",), ("--document",)))
def splade_sum_log1p(work):
    model = splade(work, "sum", "log1p_relu", max_active_dims=11)
    model.prompts.update({"query": "search query: "})
    return model


def mlm_transformer(folder):
    rewrite(folder / "modules.json", lambda items: [
        {**m, "type": "sentence_transformers.sparse_encoder.models." + ("MLMTransformer" if m["idx"] == 0 else "SpladePooling")} for m in items])
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 21, "do_lower_case": false}')


@case(finish=mlm_transformer)
def splade_old_form(work):
    return splade(work, "max", "log1p_relu")


@case(calls=(("--token-embeddings",), ("--token-embeddings", "--query"), ()))
def tokens_projected(work):
    model = SentenceTransformer(modules=[
        transformer(work), randomize(modules.Dense(12, 8, bias=False, activation_function=torch.nn.Identity(),
                                                   module_input_name="token_embeddings")),
        modules.Normalize(module_input_name="token_embeddings"), modules.Pooling(8, "cls")])
    model.prompts["query"] = "[MASK] "
    return model


# ---- Writing ----


def encode(model, arguments, texts):
    """The library's rows for what `tern embed` is asked for; those of the tokens of all texts one below the other."""
    arguments = list(arguments)
    if arguments[:1] == ["--token-embeddings"]:
        if isinstance(model, SparseEncoder):  # its encode does not give them
            return np.concatenate([model(model.preprocess([t]))["token_embeddings"][0].detach().numpy() for t in texts])
        function = model.encode_query if "--query" in arguments else model.encode
        return np.concatenate([rows.numpy() for rows in function(texts, output_value="token_embeddings", batch_size=4)])
    if "--pooling" in arguments:
        at = arguments.index("--pooling")
        model = SentenceTransformer(modules=[model[0], modules.Pooling(model[0].get_embedding_dimension(), arguments[at + 1])])
        del arguments[at:at + 2]
    if "--no-normalize" in arguments:
        model = SentenceTransformer(modules=list(model)[:-1])
        arguments.remove("--no-normalize")
    function, options = model.encode, {}
    while arguments:
        argument = arguments.pop(0)
        if argument == "--normalize":
            options["normalize_embeddings"] = True
        elif argument in ("--query", "--document"):
            function = model.encode_query if argument == "--query" else model.encode_document
        else:
            value = arguments.pop(0)
            name = {"--prompt": "prompt", "--prompt-name": "prompt_name", "--max-active-dims": "max_active_dims"}[argument]
            options[name] = int(value) if name == "max_active_dims" else value
    rows = function(texts, batch_size=4, **options)
    return rows.to_dense().numpy() if isinstance(model, SparseEncoder) else rows.astype(np.float32)


def make(name, target):
    build, calls, finish, save = CASES[name]
    torch.manual_seed(SEED)
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        build(Path(work)).eval().save(str(target), create_model_card=False, **save)
    if finish is not None:
        finish(target)
    config = json.loads((target / "config_sentence_transformers.json").read_text())
    return (SparseEncoder if config.get("model_type") == "SparseEncoder" else SentenceTransformer)(str(target), device="cpu"), calls


def max_seq_length(model):
    """0: none. A static embedding's tokenizer may cut, of which the library's own max_seq_length, infinity, knows nothing."""
    if isinstance(model[0], modules.StaticEmbedding):
        return (model.tokenizer.truncation or {}).get("max_length", 0)
    return model.max_seq_length


def write(name):
    target = GOLDEN / "sentence-transformers" / name
    model, calls = make(name, target)
    results = []
    for arguments in calls:
        rows = encode(model, arguments, TEXTS)
        results.append({"arguments": list(arguments), "width": rows.shape[1], "rows": base64.b64encode(rows.tobytes()).decode()})
    expected = {"versions": VERSIONS, "max_seq_length": max_seq_length(model), "texts": TEXTS, "calls": results}
    (target / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def check(name):
    tern = os.environ.get("TERN_COMMAND", str(ROOT / "build" / "release" / "tern"))
    rng = random.Random(name)
    words = [w for s in SENTENCES for w in s.split()]
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 60))) for _ in range(200)]
    with tempfile.TemporaryDirectory() as work:
        model, calls = make(name, Path(work) / "model")
        for arguments in calls:
            expected = encode(model, arguments, texts)
            out = subprocess.run([tern, "embed", str(Path(work) / "model"), "--json", *arguments], input="\n".join(texts).encode(),
                                 capture_output=True, check=True).stdout
            lines = [json.loads(line) for line in out.splitlines()]
            if "embedding" in lines[0]:
                found = np.array([line["embedding"] for line in lines], dtype=np.float32)
            elif "token_embeddings" in lines[0]:
                found = np.array([row for line in lines for row in line["token_embeddings"]], dtype=np.float32)
            else:
                found = np.zeros_like(expected)
                for row, line in zip(found, lines):
                    for entry in line["sparse_embedding"]:
                        row[entry["id"]] = entry["weight"]
            worst = float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))
            print(f"{'ok    ' if worst <= BOUND else 'FAILED'} {name} {' '.join(arguments)}: {worst:.2g}", flush=True)


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("--")] or list(CASES)
    for name in names:
        (check if "--check" in sys.argv else write)(name)


if __name__ == "__main__":
    main()
