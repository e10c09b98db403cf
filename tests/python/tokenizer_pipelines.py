"""tokenizer_pipelines.py - whole tokenizers put together as well-known models have them, with models trained here by PyPI's `tokenizers` on
a mixture of prose and scripts; name -> function that makes the tokenizer.json.

Sources: the tokenizer.json files of the models named, as transformers' converters write them. SPDX-License-Identifier: Apache-2.0
"""
import functools
import json
import random

import tokenizers
import tokenizer_configs as configs
import tokenizer_texts as texts
from tokenizers import models, trainers
from tokenizers import pre_tokenizers as pre

VOCABULARY_SIZE = 3000


@functools.cache
def corpus():
    rng = random.Random(4)
    return rng.sample(texts.prose(), 6000) + [" ".join(rng.choice(texts.WORDS) for _ in range(12)) for _ in range(1500)]


def trained(model, trainer, normalizer=None, pre_tokenizer=None):
    """The model's part of the trained tokenizer's file."""
    tokenizer = tokenizers.Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())["model"]


def added(model, names, **flags):
    """Special tokens by their ids in the vocabulary, or behind it."""
    vocabulary = model["vocab"] if isinstance(model["vocab"], dict) else {p: i for i, (p, _) in enumerate(model["vocab"])}
    made = []
    for name in names:
        made.append(configs.added_token(vocabulary.get(name, len(vocabulary) + len(made)), name,
                                        **{"special": True, "normalized": False, **flags}))
    return made


def template(single, pair, ids):
    """From "<s> $A </s> $B:1", as the library's own notation."""
    def pieces(text):
        made = []
        for word in text.split():
            name, _, type_id = word.partition(":")
            kind = {"Sequence": {"id": name[1:]}} if name[0] == "$" else {"SpecialToken": {"id": name}}
            next(iter(kind.values()))["type_id"] = int(type_id or 0)
            made.append(kind)
        return made
    return {"type": "TemplateProcessing", "single": pieces(single), "pair": pieces(pair),
            "special_tokens": {name: {"id": name, "ids": [token_id], "tokens": [name]} for name, token_id in ids.items()}}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def byte_level(add_prefix_space=False, trim_offsets=True, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": trim_offsets, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def metaspace(prepend_scheme="always", split_too=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend_scheme, "split": split_too}


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


# ---- models ----------------------------------------------------------------------------------------------------------------------

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@functools.cache
def word_piece_model(lowercase):
    return trained(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100),
                   trainers.WordPieceTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=BERT_SPECIAL, show_progress=False),
                   tokenizers.normalizers.BertNormalizer(lowercase=lowercase), pre.BertPreTokenizer())


@functools.cache
def byte_level_model(pattern, special):
    chain = pre.Sequence([pre.Split(tokenizers.Regex(pattern), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    return trained(models.BPE(), trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=list(special), show_progress=False,
                                                     initial_alphabet=configs.byte_alphabet()), None, chain)


@functools.cache
def sentence_model(special, with_bytes, splits):
    """BPE over ▁ and characters, with bytes for what is rare, as Llama's and Gemma's."""
    chain = pre.Metaspace(prepend_scheme="always") if splits else pre.Sequence([pre.Split(" ", "merged_with_previous"),
                                                                                pre.FixedLength(12)])
    model = trained(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True), trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, limit_alphabet=300, show_progress=False,
        special_tokens=list(special) + ([f"<0x{b:02X}>" for b in range(256)] if with_bytes else [])),
        None if splits else tokenizers.normalizers.Replace(" ", "▁"), chain)
    return model


@functools.cache
def unigram_model(special, unk):
    model = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=list(special), unk_token=unk,
                                                             show_progress=False),
                    tokenizers.normalizers.NFKC(), pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()]))
    return model


# ---- pipelines -------------------------------------------------------------------------------------------------------------------

def bert(lowercase=True):
    model = word_piece_model(lowercase)
    ids = {name: model["vocab"][name] for name in ("[CLS]", "[SEP]")}
    return configs.whole(model, added_tokens=added(model, BERT_SPECIAL), pre_tokenizer={"type": "BertPreTokenizer"},
                         normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                                     "lowercase": lowercase},
                         post_processor=template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ids),
                         decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})


ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def roberta(add_prefix_space=False, trim_offsets=True):
    model = byte_level_model(configs.GPT2, ROBERTA_SPECIAL)
    tokens = added(model, ROBERTA_SPECIAL)
    tokens[-1]["lstrip"] = True
    post = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": trim_offsets,
            "add_prefix_space": add_prefix_space}
    return configs.whole(model, added_tokens=tokens, pre_tokenizer=byte_level(add_prefix_space), post_processor=post,
                         decoder=byte_level(True))


def gpt2():
    model = byte_level_model(configs.GPT2, ("<|endoftext|>",))
    return configs.whole(model, added_tokens=added(model, ["<|endoftext|>"]), pre_tokenizer=byte_level(),
                         post_processor=byte_level(True, False),
                         decoder=byte_level(True))


def gpt_neox():
    """Runs of spaces as added tokens."""
    whole = gpt2()
    whole["normalizer"] = {"type": "NFC"}
    n = max(whole["model"]["vocab"].values()) + 1
    whole["added_tokens"] += [configs.added_token(n + i, " " * i) for i in range(2, 25)]
    return whole


def split_byte_level(pattern, special, bos=None, normalizer=None, ignore_merges=False, before=()):
    """Llama 3, Qwen2 and others."""
    model = {**byte_level_model(pattern, special), "ignore_merges": ignore_merges}
    post = byte_level(True, False, True)
    if bos:
        post = sequence("processors", post, template(f"{bos} $A", f"{bos} $A {bos}:1 $B:1", {bos: model["vocab"][bos]}))
    return configs.whole(model, added_tokens=added(model, special), normalizer=normalizer, post_processor=post, decoder=byte_level(),
                         pre_tokenizer=sequence("pretokenizers", *before, split(pattern), byte_level(False, False, False)))


def clip():
    special = ["<|startoftext|>", "<|endoftext|>"]
    lower = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFC(), tokenizers.normalizers.Lowercase()])
    pattern = r"<\|startoftext\|>|<\|endoftext\|>|" + configs.CLIP
    chain = pre.Sequence([pre.Split(tokenizers.Regex(pattern), "removed", invert=True), pre.ByteLevel(add_prefix_space=False)])
    model = trained(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""),
                    trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=special, end_of_word_suffix="</w>", show_progress=False,
                                        initial_alphabet=configs.byte_alphabet()), lower, chain)
    post = {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 1], "cls": ["<|startoftext|>", 0], "trim_offsets": False,
            "add_prefix_space": False}
    normalizer = sequence("normalizers", {"type": "NFC"}, replace(r"\s+", " ", "Regex"), {"type": "Lowercase"})
    return configs.whole(model, added_tokens=added(model, special), normalizer=normalizer, post_processor=post, decoder=byte_level(),
                         pre_tokenizer=sequence("pretokenizers", split(pattern, "Removed", True), byte_level(False)))


def llama2():
    special = ("<unk>", "<s>", "</s>")
    model = sentence_model(special, True, True)
    decoder = sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                       {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return configs.whole(model, added_tokens=added(model, special), decoder=decoder,
                         normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")),
                         post_processor=template("<s> $A", "<s> $A <s>:1 $B:1", {"<s>": 1}))


def llama2_metaspace():
    """As newer files: Metaspace, only before the first word."""
    whole = llama2()
    whole["normalizer"], whole["pre_tokenizer"] = None, metaspace("first", False)
    return whole


def gemma():
    special = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>")
    model = sentence_model(special, True, False)
    tokens = added(model, special)
    n = max(model["vocab"].values()) + 1
    tokens += [configs.added_token(n + i, "\n" * i, normalized=False) for i in range(2, 12)]
    tokens += [configs.added_token(n + 12 + i, "▁" * i, normalized=False) for i in range(2, 12)]
    return configs.whole(model, added_tokens=tokens, normalizer=replace(" ", "▁"),
                         pre_tokenizer=split(" ", "MergedWithPrevious", kind="String"),
                         post_processor=template("<bos> $A", "<bos> $A <bos>:1 $B:1", {"<bos>": model["vocab"]["<bos>"]}),
                         decoder=sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}))


def sentence_pieces(special, unk, post, normalizer, pre_tokenizer, mask=None):
    model = unigram_model(special, unk)
    tokens = added(model, special)
    if mask:
        tokens.append(configs.added_token(len(model["vocab"]), mask, special=True, lstrip=True))
    return configs.whole(model, added_tokens=tokens, normalizer=normalizer, pre_tokenizer=pre_tokenizer, post_processor=post,
                         decoder=metaspace())


def xlm_roberta(normalizer=None):
    special = ("<s>", "<pad>", "</s>", "<unk>")
    return sentence_pieces(special, "<unk>", template("<s> $A </s>", "<s> $A </s> </s> $B </s>", {"<s>": 0, "</s>": 2}),
                           normalizer or {"type": "NFKC"}, sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace()), "<mask>")


def albert():
    special = ("<pad>", "<unk>", "[CLS]", "[SEP]")
    normalizer = sequence("normalizers", replace("``", "\""), replace("''", "\""), {"type": "NFKD"}, {"type": "StripAccents"},
                          {"type": "Lowercase"}, replace(" {2,}", " ", "Regex"))
    return sentence_pieces(special, "<unk>", template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", {"[CLS]": 2, "[SEP]": 3}),
                           normalizer,
                           metaspace(), "[MASK]")


def t5():
    special = ("<pad>", "</s>", "<unk>")
    whole = sentence_pieces(special, "<unk>", template("$A </s>", "$A </s> $B </s>", {"</s>": 1}), {"type": "NFKC"}, metaspace())
    n = len(whole["model"]["vocab"])
    whole["added_tokens"] += [configs.added_token(n + i, f"<extra_id_{99 - i}>", special=True, normalized=False) for i in range(100)]
    return whole


def deberta_v3():
    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    normalizer = sequence("normalizers", {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFKC"},
                          replace(" {2,}", " ", "Regex"))
    pre_tokenizer = sequence("pretokenizers", {"type": "Punctuation", "behavior": "Isolated"}, metaspace())
    return sentence_pieces(special, "[UNK]", template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", {"[CLS]": 1, "[SEP]": 2}),
                           normalizer,
                           pre_tokenizer, "[MASK]")


def whisper():
    special = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>")
    model = byte_level_model(configs.GPT2, special)
    ids = {name: model["vocab"][name] for name in special}
    tokens = added(model, special)
    tokens += [configs.added_token(len(model["vocab"]) + i, f"<|{i / 50:.2f}|>", normalized=False) for i in range(1501)]
    start = "<|startoftranscript|> <|notimestamps|>"
    return configs.whole(model, added_tokens=tokens, pre_tokenizer=byte_level(), decoder=byte_level(),
                         post_processor=template(f"{start} $A <|endoftext|>", f"{start} $A $B:1 <|endoftext|>:1", ids))


def wav2vec2():
    """Characters and CTC's decoder."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVKXJQZ'"]
    model = {"type": "WordLevel", "vocab": {c: i for i, c in enumerate(letters)}, "unk_token": "<unk>"}
    return configs.whole(model, added_tokens=added(model, letters[:4]), normalizer=replace(" ", "|"),
                         pre_tokenizer=split(".", kind="Regex"),
                         decoder={"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True})


def falcon():
    whole = gpt2()
    whole["pre_tokenizer"] = sequence("pretokenizers", {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(),
                                      {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))
    return whole


def deepseek():
    before = (split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(configs.CJK), {"type": "Digits", "individual_digits": True})
    return split_byte_level(configs.DEEPSEEK, ("<bos>", "<eos>"), "<bos>", before=before)


PIPELINES = {
    "BERT uncased": bert, "BERT cased": lambda: bert(False), "RoBERTa": roberta, "RoBERTa with a space before": lambda: roberta(True),
    "RoBERTa, offsets whole": lambda: roberta(True, False), "GPT-2": gpt2, "GPT-NeoX": gpt_neox, "CLIP": clip, "Llama 2": llama2,
    "Llama 2 with Metaspace": llama2_metaspace, "Gemma": gemma,
    "Llama 3": lambda: split_byte_level(configs.LLAMA3, ("<|begin_of_text|>", "<|eot_id|>"), "<|begin_of_text|>", ignore_merges=True),
    "Qwen2": lambda: split_byte_level(configs.QWEN2, ("<|endoftext|>", "<|im_start|>"), normalizer={"type": "NFC"}),
    "GPT-4o": lambda: split_byte_level(configs.O200K, ("<|endoftext|>",), ignore_merges=True),
    "BLOOM": lambda: split_byte_level(configs.BLOOM, ("<unk>", "<s>", "</s>", "<pad>")),
    "StarCoder": lambda: split_byte_level(configs.GPT2, ("<|endoftext|>",), before=({"type": "Digits", "individual_digits": True},)),
    "DeepSeek": deepseek, "Falcon": falcon, "Whisper": whisper, "XLM-RoBERTa": xlm_roberta, "ALBERT": albert, "T5": t5,
    "DeBERTa-v3": deberta_v3, "wav2vec2": wav2vec2,
}
