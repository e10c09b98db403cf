#!/usr/bin/env python3
"""Write tests/golden/tokenizer.json: small tokenizers, one with each component, texts, and what Hugging Face's libraries make of them.

Folders with tokenizer.json are loaded by `tokenizers`, folders with vocab.txt by `transformers`' BertTokenizer.

    python3 scripts/golden-tokenizer.py > tests/golden/tokenizer.json

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys
import tempfile

import tokenizers
import transformers

for folder in ("python", "fuzz"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", folder))
os.environ.setdefault("TERN_LIBRARY", "")
from test_tokenizer_conformance import added_token, bert_json, vocabulary_of  # noqa: E402
from tokenizer_seeds import seeds  # noqa: E402

PIECES = ("the un ##aff ##able ##s a b c e i o n x y ##a ##b ##c ##e ##i ##o ##n ##x ##y hello world naive ##ive na İ é ##é ß ss σ ς ##σ "
          "##ς 中 国 한 ᄒ ##ᅡ ##ᆫ ##ss mask , . ! ? ' - don ##t t [ ] m foo bar foo@ 1 ##2 \u200d ÅÅ").split(" ")
TEXTS = ["", " ", "Hello, world!", "unaffable naïve", "don't  \tdo\r\nnot", "İx ΣΑΣ ß ẞ", "a\u0323\u0301b e\u0301\u0323 \u0301", "中国a国 한",
         "[MASK]x [CLS] [mask]", "x" * 100 + " " + "x" * 101, "a\x00b\x01\ufffdc\x7f\u200d\ue000", "foo bar Foo  BAR [NEW] foo@x",
         "é É e\u0301 Å",
         "\U0001d15e𠀀𠀁😀 ½", "\u2028\u2029\x85\xa0\u3000a\u1680", "the . ' hello ' m ! n't"]
SHAPES = [{}, {"pair": "the hello world [SEP] é"}, {"add_special_tokens": False}, {"max_length": 5},
          {"pair": "unaffable a b c", "max_length": 7}]


def encodings(tokenizer, seed, texts=TEXTS):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for i, text in enumerate(texts):
        shape = {"pair": None, "add_special_tokens": True, "max_length": 0, **SHAPES[(i + seed) % len(SHAPES)]}
        if shape["max_length"]:
            tokenizer.enable_truncation(shape["max_length"])
        made = tokenizer.encode(text, shape["pair"], add_special_tokens=shape["add_special_tokens"])
        tokenizer.no_truncation()
        yield {"text": text, **shape, "ids": made.ids, "tokens": made.tokens, "offsets": made.offsets, "type_ids": made.type_ids,
               "special_tokens_mask": made.special_tokens_mask, "decoded": tokenizer.decode(made.ids, skip_special_tokens=False),
               "decoded_without_special": tokenizer.decode(made.ids, skip_special_tokens=True)}


def golden(name, files, texts=TEXTS):
    with tempfile.TemporaryDirectory() as folder:
        for file_name, content in files.items():
            with open(os.path.join(folder, file_name), "w", encoding="utf-8", newline="") as file:
                file.write(content)
        if "tokenizer.json" in files:
            tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        else:
            tokenizer = transformers.BertTokenizer.from_pretrained(folder).backend_tokenizer
    return {"name": name, "files": files, "vocab_size": tokenizer.get_vocab_size(),
            "encodings": list(encodings(tokenizer, len(name), texts))}


def main():
    vocabulary = vocabulary_of(PIECES)
    tokens = bert_json(vocabulary)["added_tokens"]
    flagged = tokens + [added_token(0, "foo", single_word=True, lstrip=True), added_token(0, "foo bar", rstrip=True, normalized=False),
                        added_token(0, "[NEW]", lstrip=True, rstrip=True), added_token(0, "É", normalized=True, special=True)]
    single = [{"Sequence": {"id": "A", "type_id": 2}}, {"SpecialToken": {"id": "end", "type_id": 3}},
              {"Sequence": {"id": "A", "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": single, "pair": [{"Sequence": {"id": "B", "type_id": 1}}] + single,
                "special_tokens": {"end": {"id": "end", "ids": [3, 4], "tokens": ["[SEP]", "other"]}}}
    parts = {
        "uncased": {},
        "cased": {"lowercase": False},
        "accents kept": {"strip_accents": False},
        "cased, accents dropped": {"lowercase": False, "strip_accents": True},
        "not cleaned": {"clean_text": False, "handle_chinese_chars": False},
        "added tokens": {"added_tokens": flagged},
        "BertProcessing": {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}},
        "own template": {"post_processor": template},
        "model alone": {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None},
        "other prefix": {"decoder": {"type": "WordPiece", "prefix": "", "cleanup": False},
                         "model": {**bert_json(vocabulary)["model"], "continuing_subword_prefix": "", "max_input_chars_per_word": 4}},
    }
    made = [golden(name, {"tokenizer.json": json.dumps(bert_json(vocabulary, **settings), ensure_ascii=i % 2 == 0)})
            for i, (name, settings) in enumerate(parts.items())]
    lines = "\n".join(vocabulary) + "\n"
    config = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False, "tokenizer_class": "BertTokenizer",
              "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": True}}
    made += [
        golden("vocab.txt", {"vocab.txt": lines}),
        golden("vocab.txt with CRLF, a token twice, a blank line", {"vocab.txt": (lines + "the\n\n[NEW] ").replace("\n", "\r\n")}),
        golden("vocab.txt and tokenizer_config.json", {"vocab.txt": lines, "tokenizer_config.json": json.dumps(config)}),
        golden("vocab.txt and the older files", {
            "vocab.txt": lines, "tokenizer_config.json": json.dumps({"additional_special_tokens": ["[NEW]"], "cls_token": "foo"}),
            "special_tokens_map.json": json.dumps({"cls_token": "hello", "sep_token": {"content": "</s>", "rstrip": True}}),
            "added_tokens.json": json.dumps({"foo@": 3, "</s>": 90, "[NEW]": 80, "bar": 100})}),
        golden("vocab.txt and added_tokens_decoder", {"vocab.txt": lines, "tokenizer_config.json": json.dumps({
            "added_tokens_decoder": {"70": {"content": "foo bar", "lstrip": True, "normalized": True},
                                     "4": {"content": "[MASK]", "rstrip": True}},
            "extra_special_tokens": ["[NEW]"]}), "added_tokens.json": "{\"not read\": 7}"}),
    ]
    # One of every component, as the fuzz target of tokenizer.json has them; a few texts of each.
    made += [golden(name, {"tokenizer.json": json.dumps(whole, ensure_ascii=False, separators=(",", ":"))},
                    [*TEXTS[i % 4::4], "the foo ab12 \u2581a  don't", "中 é É\U0001f600"]) for i, (name, whole) in enumerate(seeds())]
    whole = {"made_by": f"scripts/golden-tokenizer.py, tokenizers {tokenizers.__version__}, transformers {transformers.__version__}",
             "tokenizers": made}
    json.dump(whole, sys.stdout, ensure_ascii=True, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
