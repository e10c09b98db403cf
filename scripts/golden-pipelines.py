#!/usr/bin/env python3
"""golden-pipelines.py - write tests/golden/pipelines: what transformers' pipelines (and sentence-transformers' CrossEncoder) give for 200
texts, with tiny random models.

    python scripts/golden-pipelines.py

pipelines/CASE/    a model folder with its tokenizer, and cases.json: task, options, texts, results, versions. The tests need neither torch
nor transformers: they read the files. SPDX-License-Identifier: Apache-2.0
"""
import json
import random
import shutil
import warnings
from pathlib import Path

import tokenizers
import torch
import transformers
from sentence_transformers import CrossEncoder
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SEED = 20241123
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
            "written_by": "scripts/golden-pipelines.py", "seed": SEED}
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def make_texts():
    sentences = [s.replace("\n", " ").replace("\r", " ") for group in json.loads((GOLDEN / "sentences.json").read_text(encoding="utf-8")).values() for s in group]
    rng = random.Random(SEED)
    texts = [" ".join(rng.sample(sentences, 2)) if i % 5 == 4 else s for i, s in enumerate(rng.choices(sentences, k=190))]
    return texts + ["", " ", "😀😀😀 👩‍👩‍👧‍👦", "שלום עולם, مرحبا بالعالم", "a" * 400, "word " * 90, "Wolfgang lives in Berlin.", "don't can't won't",
                    "e\u0301té naïve café", "1,234.56 (7%) - x_y#z"]


def wordpiece(texts):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts[:120], trainers.WordPieceTrainer(vocab_size=700, special_tokens=special, show_progress=False))
    cls, sep = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, pad_token="[PAD]", unk_token="[UNK]",
                                                cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def byte_level(texts):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(texts[:120], trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False,
                                                                   initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, pad_token="<pad>", unk_token="<unk>",
                                                cls_token="<s>", sep_token="</s>", mask_token="<mask>", bos_token="<s>", eos_token="</s>")


def make_model(folder, ending, tokenizer, is_roberta, **settings):
    torch.manual_seed(SEED)
    stem = "Roberta" if is_roberta else "Bert"
    config = getattr(transformers, stem + "Config")(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
        max_position_embeddings=66, pad_token_id=tokenizer.pad_token_id, **settings)
    model = getattr(transformers, stem + ending)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.35)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"  # as those of BERT's tokenizers: the general class alone gives no token types
    config = json.loads(path.read_text())
    config["model_input_names"] = ["input_ids", *(() if is_roberta else ("token_type_ids",)), "attention_mask"]
    path.write_text(json.dumps(config, indent=1) + "\n")


def labels(names):
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


def plain(value):
    """Without NumPy's and torch's numbers."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def write(folder, task, options, texts, results):
    cases = [{"text": t, "result": plain(r)} for t, r in zip(texts, results, strict=True)]
    lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
    parts = (k if isinstance(v, list) or " " in str(v) or v is True and k == "pairs" else str(v) for k, v in options.items() if k != "query")
    (folder / f"cases-{'-'.join([task, *parts])}.json").write_text(
        f'{{"task": {json.dumps(task)}, "options": {json.dumps(options)}, "versions": {json.dumps(VERSIONS)},\n"cases": [\n{lines}\n]}}\n',
        encoding="utf-8")
    print(f"{folder.name}: {task} {options}: {len(cases)} texts")


def classification(texts, words):
    for name, settings in {"single": labels(["negative", "neutral", "positive"]), "regression": {"num_labels": 1},
                           "multi": {**labels(list("abcd")), "problem_type": "multi_label_classification"}}.items():
        folder = GOLDEN / "pipelines" / name
        make_model(folder, "ForSequenceClassification", words, False, **settings)
        pipe = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
        write(folder, "classify", {}, texts, pipe(texts, truncation=True))
        if name == "single":
            firsts = [t.replace("\t", " ") for t in texts]  # a tab parts the two
            others = firsts[1:] + firsts[:1]
            write(folder, "classify", {"pairs": True}, [f"{a}\t{b}" for a, b in zip(firsts, others)],
                  [pipe({"text": a, "text_pair": b}, truncation=True) for a, b in zip(firsts, others)])
            for options in ({"function_to_apply": "sigmoid"}, {"function_to_apply": "none", "top_k": 2}):
                write(folder, "classify", options, texts, pipe(texts, truncation=True, **options))
    encoder = CrossEncoder(str(GOLDEN / "pipelines" / "regression"), device="cpu")
    query = "how tall is the mountain"
    ranks = encoder.rank(query, texts)
    write(GOLDEN / "pipelines" / "regression", "rerank", {"query": query}, texts,
          [next(r["score"] for r in ranks if r["corpus_id"] == i) for i in range(len(texts))])


def zero_shot(texts, words):
    folder = GOLDEN / "pipelines" / "inference"
    make_model(folder, "ForSequenceClassification", words, False, **labels(["contradiction", "neutral", "entailment"]))
    pipe = transformers.pipeline("zero-shot-classification", model=str(folder), device="cpu")
    candidates = ["politics", "public health", "sport"]
    texts = [t for t in texts if t]  # the pipeline refuses empty ones
    for options in ({"multi_label": False}, {"multi_label": True}, {"hypothesis_template": "It is about {}, 😀 or so."}):
        write(folder, "zero-shot", options, texts, [
            {"labels": r["labels"], "scores": r["scores"]} for r in (pipe(t, candidates, **options) for t in texts)])


def entities(texts, tokenizer, is_roberta):
    folder = GOLDEN / "pipelines" / ("ner-roberta" if is_roberta else "ner")
    make_model(folder, "ForTokenClassification", tokenizer, is_roberta, **labels(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]))
    for strategy in ("none", "simple", "first", "average", "max"):
        pipe = transformers.pipeline("token-classification", model=str(folder), aggregation_strategy=strategy, device="cpu")
        write(folder, "ner", {"strategy": strategy}, texts, [pipe(t) if t else [] for t in texts])


def masks(texts, tokenizer, is_roberta):
    folder = GOLDEN / "pipelines" / ("mask-roberta" if is_roberta else "mask")
    make_model(folder, "ForMaskedLM", tokenizer, is_roberta)
    pipe = transformers.pipeline("fill-mask", model=str(folder), device="cpu")
    rng, masked = random.Random(SEED), []
    for text in texts:
        words = text.split(" ")[:12]
        for _ in range(rng.choice([1, 1, 2])):
            words[rng.randrange(len(words))] = tokenizer.mask_token
        masked.append(" ".join(words))
    masked = [t for t in masked if tokenizer(t, truncation=True)["input_ids"].count(tokenizer.mask_token_id) and len(tokenizer(t)["input_ids"]) <= 64]
    targets = rng.sample([t for t in tokenizer.get_vocab() if t.isascii() and t.isalpha()], 4)
    for options in ({"top_k": 3}, {"targets": targets}):
        results = [pipe(t, **options) for t in masked]
        write(folder, "fill", options, masked, [r if isinstance(r[0], list) else [r] for r in results])


def question_models(words, pieces):
    """Version 5 has no question-answering pipeline: scripts/golden-question-answering.py writes its cases, with a version 4."""
    make_model(GOLDEN / "pipelines" / "qa", "ForQuestionAnswering", words, False)
    make_model(GOLDEN / "pipelines" / "qa-roberta", "ForQuestionAnswering", pieces, True)


def main():
    torch.set_num_threads(1)
    texts = make_texts()
    words, pieces = wordpiece(texts), byte_level(texts)
    classification(texts, words)
    zero_shot(texts, words)
    for tokenizer, is_roberta in ((words, False), (pieces, True)):
        entities(texts, tokenizer, is_roberta)
        masks(texts, tokenizer, is_roberta)
    question_models(words, pieces)


if __name__ == "__main__":
    main()
