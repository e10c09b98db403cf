"""tokenizer_folders.py - model folders without tokenizer.json: the files of each of transformers' tokenizer classes, made here of trained
models, with settings from a seed.

Sources: the folders of well-known models on Hugging Face's hub; transformers' tokenization_*.py (which settings each class has).
SPDX-License-Identifier: Apache-2.0
"""
import dataclasses
import functools
import json

import tokenizer_pipelines as pipelines
import tokenizer_sentencepiece as spm

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
PLAIN_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


# ---- files ---------------------------------------------------------------------------------------------------------------------

def ordered(model):
    return sorted(model["vocab"], key=model["vocab"].get)


def vocab_txt(special):
    def files(rng):
        names = dict(zip(pipelines.BERT_SPECIAL, special))
        lines = [names.get(token, token) for token in ordered(pipelines.word_piece_model(rng.random() < 0.5))]
        ending = rng.choice(("\n", "\n", "\r\n"))
        return {"vocab.txt": (ending.join(lines) + rng.choice((ending, ""))).encode()}
    return files


def merges_txt(model_of):
    """model_of: a function that gives the model's part of a tokenizer.json."""
    def files(rng):
        model = model_of()
        merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
        head = ["#version: 0.2"] if rng.random() < 0.7 else []
        return {"vocab.json": json.dumps(model["vocab"], ensure_ascii=rng.random() < 0.5).encode(),
                "merges.txt": ("\n".join(head + merges) + rng.choice(("\n", ""))).encode()}
    return files


def byte_level(*special):
    return merges_txt(lambda: pipelines.byte_level_model(PLAIN_SPLIT, special))


@functools.cache
def trained(model_type, normalization, byte_fallback, options):
    return spm.train(model_type, normalization, byte_fallback=byte_fallback, **dict(options))


def spm_file(name, model_type="unigram", byte_fallback=(False,), normalizations=("nmt_nfkc", "nmt_nfkc_cf", "identity"), **options):
    def files(rng):
        data = trained(model_type, rng.choice(normalizations), rng.choice(byte_fallback), tuple(options.items()))
        return {name if rng.random() < 0.8 else "tokenizer.model": data}
    return files


# ---- classes -------------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class TokenizerClass:
    name: str
    files: object               # (rng) -> {name: bytes}
    tokens: dict                # of NAMED, as the class or the model has them
    model_type: str = ""        # "": tokenizer_class must be given
    switches: tuple = ()        # settings that are true or false
    languages: tuple = ()       # for "src_lang"
    other_names: tuple = ()
    has_placeholders: bool = False
    can_list_tokens: bool = True  # with added_tokens_decoder or added_tokens.json; where not, transformers fails


def tokens(text):
    """From "bos=<s> eos=</s>"."""
    return {f"{name}_token": token for name, token in (part.split("=") for part in text.split())}


BERT = tokens("unk=[UNK] sep=[SEP] pad=[PAD] cls=[CLS] mask=[MASK]")
FAIRSEQ = tokens("bos=<s> eos=</s> unk=<unk> sep=</s> pad=<pad> cls=<s> mask=<mask>")
END_OF_TEXT = "<|endoftext|>"
BERT_SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
BOS_EOS = ("add_bos_token", "add_eos_token")

CLASSES = [
    TokenizerClass("BertTokenizer", vocab_txt(pipelines.BERT_SPECIAL), BERT, "bert", BERT_SWITCHES,
                   other_names=("DistilBertTokenizer", "ElectraTokenizer", "ConvBertTokenizer", "MobileBertTokenizer")),
    TokenizerClass("MPNetTokenizer", vocab_txt(("<pad>", "[UNK]", "<s>", "</s>", "<mask>")), FAIRSEQ | {"unk_token": "[UNK]"}, "mpnet", BERT_SWITCHES),
    TokenizerClass("RobertaTokenizer", byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>"), FAIRSEQ, "roberta", ("add_prefix_space", "trim_offsets"),
                   other_names=("LongformerTokenizer", "BartTokenizer")),
    TokenizerClass("GPT2Tokenizer", byte_level(END_OF_TEXT), dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT), "gpt2",
                   ("add_prefix_space", *BOS_EOS)),
    TokenizerClass("DebertaTokenizer", byte_level("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"), BERT | tokens("bos=[CLS] eos=[SEP]"), "deberta",
                   ("add_prefix_space",)),
    TokenizerClass("Qwen2Tokenizer", byte_level(END_OF_TEXT, "<|im_start|>"), dict.fromkeys(("eos_token", "unk_token", "pad_token"), END_OF_TEXT), "qwen2",
                   ("add_prefix_space", *BOS_EOS)),
    TokenizerClass("CLIPTokenizer", merges_txt(lambda: pipelines.clip()["model"]),
                   tokens("bos=<|startoftext|> eos=<|endoftext|> unk=<|endoftext|> pad=<|endoftext|>"), "clip"),
    TokenizerClass("XLMRobertaTokenizer", spm_file("sentencepiece.bpe.model"), FAIRSEQ, "xlm-roberta", ("add_prefix_space",)),
    TokenizerClass("CamembertTokenizer", spm_file("sentencepiece.bpe.model"), FAIRSEQ, "camembert", ("add_prefix_space",)),
    TokenizerClass("AlbertTokenizer", spm_file("spiece.model", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"),
                   tokens("bos=[CLS] eos=[SEP] unk=<unk> sep=[SEP] pad=<pad> cls=[CLS] mask=[MASK]"), "albert",
                   ("do_lower_case", "keep_accents", "add_prefix_space")),
    TokenizerClass("T5Tokenizer", spm_file("spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1), tokens("eos=</s> unk=<unk> pad=<pad>"), "t5"),
    TokenizerClass("DebertaV2Tokenizer",
                   spm_file("spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]"),
                   BERT | tokens("bos=[CLS] eos=[SEP]"), "deberta-v2", ("do_lower_case", "split_by_punct", "add_prefix_space")),
    TokenizerClass("LlamaTokenizer", spm_file("tokenizer.model", "bpe", (True, False), ("identity", "nmt_nfkc"), user_defined_symbols="<x>,foo"),
                   tokens("bos=<s> eos=</s> unk=<unk>"), "", ("add_prefix_space", "legacy", *BOS_EOS)),
    TokenizerClass("GemmaTokenizer", spm_file("tokenizer.model", "bpe", (True,), ("identity",), pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
                                              eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols="<mask>,<unused0>,\n\n"),
                   tokens("bos=<bos> eos=<eos> unk=<unk> pad=<pad> mask=<mask>"), "gemma", BOS_EOS),
    TokenizerClass("MBartTokenizer", spm_file("sentencepiece.bpe.model"), FAIRSEQ, "mbart", languages=("ro_RO", "en_XX", "xx_XX")),
    TokenizerClass("MBart50Tokenizer", spm_file("sentencepiece.bpe.model"), FAIRSEQ, "", languages=("ro_RO", "gl_ES")),
    TokenizerClass("NllbTokenizer", spm_file("sentencepiece.bpe.model", "bpe"), FAIRSEQ, "", ("legacy_behaviour",), languages=("ron_Latn",)),
    TokenizerClass("XLNetTokenizer", spm_file("spiece.model", control_symbols="<cls>,<sep>,<pad>,<mask>,<eod>", user_defined_symbols="<eop>"),
                   tokens("bos=<s> eos=</s> unk=<unk> sep=<sep> pad=<pad> cls=<cls> mask=<mask>"), "xlnet", ("do_lower_case",)),
    TokenizerClass("BigBirdTokenizer", spm_file("spiece.model", pad_id=0, eos_id=1, bos_id=2, unk_id=3, control_symbols="[CLS],[SEP],[MASK]"),
                   tokens("bos=<s> eos=</s> unk=<unk> sep=[SEP] pad=<pad> cls=[CLS] mask=[MASK]"), "big_bird", ("add_prefix_space",)),
    TokenizerClass("PreTrainedTokenizerFast", spm_file("tokenizer.model", "bpe", (True, False), user_defined_symbols="<x>,<y>"), {}, "", BOS_EOS, has_placeholders=True),
    TokenizerClass("TokenizersBackend", spm_file("tokenizer.model", "unigram", (True, False), user_defined_symbols="<x>"), {}, "", BOS_EOS,
                   can_list_tokens=False),
]


# ---- settings ------------------------------------------------------------------------------------------------------------------

EXTRA = ("<extra>", "new token", "Ünï", "[X]", "<|x|>", "foo")


def as_object(rng, content, is_mask, in_config):
    flags = {"content": content, "lstrip": is_mask or rng.random() < 0.2, "rstrip": rng.random() < 0.2, "single_word": rng.random() < 0.2,
             "normalized": rng.random() < 0.3}
    return flags | {"__type": "AddedToken"} if in_config else flags


def named_settings(rng, cls, in_config):
    """Some of the tokens, as they are or renamed, as strings or objects."""
    made = {}
    for key, content in cls.tokens.items():
        chance = rng.random()
        if chance < 0.4:
            made[key] = content
        elif chance < 0.6:
            made[key] = as_object(rng, content, key == "mask_token", in_config)
    if rng.random() < 0.2 and cls.tokens:
        made[rng.choice(list(cls.tokens))] = rng.choice(("<renamed>", "[UNK]", "the"))
    return made


def decoder_settings(rng, cls, size):
    """added_tokens_decoder: the named tokens, and new ones behind the vocabulary."""
    contents = list(dict.fromkeys(cls.tokens.values())) + rng.sample(EXTRA, rng.randrange(4))
    made = {}
    for i, content in enumerate(contents):
        flags = as_object(rng, content, False, False)
        if rng.random() < 0.8:
            flags["special"] = content in cls.tokens.values() or rng.random() < 0.5
        made[str(i if content in cls.tokens.values() else size + i)] = flags
    return made


def placeholder_settings(rng):
    """Names of pieces that only keep a place free, and one that there is already."""
    return {str(i): {"content": content, "special": rng.random() < 0.5} for i, content in ((3, "<new>"), (4, "<x>"))}


def extra_settings(rng, in_config):
    made = {}
    if rng.random() < 0.4:
        key = rng.choice(("additional_special_tokens", "extra_special_tokens"))
        names = rng.sample(EXTRA, rng.randrange(4))
        if in_config:
            made[key] = [as_object(rng, name, False, True) if rng.random() < 0.3 else name for name in names]
        else:
            made[key] = names if key[0] == "a" else [as_object(rng, name, False, False) if rng.random() < 0.3 else name for name in names]
    if rng.random() < 0.1:
        made["extra_special_tokens"] = {"image_token": "<image>"}
    if in_config and rng.random() < 0.1:
        made["audio_token"] = "<audio>"
    return made


def settings_files(rng, cls):
    """tokenizer_config.json, config.json and the older ones: name -> value."""
    config = {switch: rng.random() < 0.5 for switch in cls.switches if rng.random() < 0.5}
    files = {"config.json": {}}
    if cls.languages and rng.random() < 0.5:
        config["src_lang"] = rng.choice(cls.languages)
    if cls.model_type and rng.random() < 0.6:
        files["config.json"]["model_type"] = cls.model_type
    else:
        config["tokenizer_class"] = rng.choice((cls.name, *cls.other_names)) + rng.choice(("", "", "Fast")) * (not cls.name.startswith(("Pre", "Tok")))
    style = rng.choice(("plain", "decoder", "legacy", "legacy") if cls.can_list_tokens else ("plain", "legacy"))
    config |= named_settings(rng, cls, True) | extra_settings(rng, True)
    if style == "decoder":
        config["added_tokens_decoder"] = decoder_settings(rng, cls, 5000) | (placeholder_settings(rng) if cls.has_placeholders else {})
    if style == "legacy":
        files["special_tokens_map.json"] = named_settings(rng, cls, False) | extra_settings(rng, False)
        if cls.can_list_tokens and rng.random() < 0.6:
            names = rng.sample(EXTRA + tuple(cls.tokens.values()), 4)
            files["added_tokens.json"] = {name: 5000 + i for i, name in enumerate(names)}
    if config or rng.random() < 0.5:
        files["tokenizer_config.json"] = config
    return files


def folder_files(rng, cls, is_plain=False):
    """All files of one folder: name -> bytes. is_plain: only what names the class."""
    files = cls.files(rng)
    values = {"config.json": {}, "tokenizer_config.json": {"tokenizer_class": cls.name}} if is_plain else settings_files(rng, cls)
    return files | {name: json.dumps(value, indent=1, ensure_ascii=False).encode() for name, value in values.items()}
