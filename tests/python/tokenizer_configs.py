"""tokenizer_configs.py - tokenizer.json files for tests: of each component configurations from a seed, all fields with random values, also
null, left out where the library has a default, and in the older spellings that it still reads; and the models they stand in.

SPDX-License-Identifier: Apache-2.0
"""
import tokenizers

CONTENTS = ["", " ", "_", "▁", "é", "ab", "Á", "\n", "..", "中", "x y", "\u0301", "-"]


def chosen(rng, fields, optional=()):
    """A value of each field; of the optional ones some are left out."""
    made = {name: rng.choice(values) for name, values in fields.items()}
    for name in optional:
        if rng.random() < 0.3:
            del made[name]
    return made


def flag():
    return (True, False)


# ---- patterns --------------------------------------------------------------------------------------------------------------------

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|" + \
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CJK = "[一-龥぀-ゟ゠-ヿ]+"
PATTERNS = [GPT2, LLAMA3, QWEN2, O200K, CLIP, BLOOM, DEEPSEEK, CJK, r"\p{N}{1,3}", r"\s+", r"\d", r"\w+|[^\w\s]+", r"(?<=\S)\s", r"\b",
            r"^", r"$",
            r"(?!\S)", r"[0-9][0-9][0-9]", r" {2,}", r".", r"(?s:.)", r"\X", r"\R", r"a|ab", r"(a|b)*", r"x?", r"[[:alpha:]]+",
            r"[[:punct:]]",
            r"[\p{P}$+<=>^`|~]", r"\p{Han}+|\p{Hiragana}+", r"[^a-z&&[^x]]+", r"(?i)straße|É", r"\h", r"[^\n]", r"(?m:^a)",
            r"\p{Lu}(?=\p{Ll})",
            r"(\w)\1", r"(?<!\d)(?=\d)", r"\p{Emoji}", r"[\x{1F600}-\x{1F64F}]", r"\n|\r\n?", r"(?x) a b # c", r"a{,2}b", r"\s*+\S"]
ATOMS = [r"\p{L}", r"\p{N}", r"\s", r"\S", r"\w", r"\W", r"\d", r"[^\s\p{L}\p{N}]", r"[a-z]", r"[^\r\n]", " ", "a", "'", r"\p{M}",
         r"\p{Lu}", r"\p{P}",
         r".", r"[\p{S}\d]", r"\p{Cyrillic}", r"é", "中", r"[[:space:]]", r"\p{Cf}", r"[A-Z]", r"\p{Cn}", r"\p{Zs}"]


def regex(rng):
    """A pattern in use somewhere, or one made up."""
    if rng.random() < 0.6:
        return rng.choice(PATTERNS)
    def part():
        atom = rng.choice(ATOMS)
        if rng.random() < 0.15:
            atom = "(?i:" + atom + ")"
        if rng.random() < 0.15:
            return rng.choice(("(?=", "(?!", "(?<=", "(?<!")) + atom + ")" + rng.choice(ATOMS)
        return atom + rng.choice(("", "", "+", "*", "?", "{2}", "{1,3}", "+?", "++", "*?"))
    return "|".join("".join(part() for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(1, 4)))


def pattern(rng):
    if rng.random() < 0.4:
        return {"String": rng.choice(CONTENTS[1:] + ["a", "the", ".", "(", "aa", "<s>", "\u200d"])}
    return {"Regex": regex(rng)}


# ---- components: name -> function of rng -----------------------------------------------------------------------------------------

def typed(name, fields=None, optional=()):
    return lambda rng: {"type": name, **chosen(rng, fields or {}, optional)}


def replace_of(rng):
    return {"type": "Replace", "pattern": pattern(rng), "content": rng.choice(CONTENTS)}


def without_type(rng, made):
    """Rarely as the oldest files have it."""
    if len(made) > 1 and rng.random() < 0.05:
        del made["type"]
    return made


NORMALIZERS = {
    "BertNormalizer": typed("BertNormalizer", {"clean_text": flag(), "handle_chinese_chars": flag(), "strip_accents": (None, True, False),
                                               "lowercase": flag()}),
    "NFC": typed("NFC"), "NFD": typed("NFD"), "NFKC": typed("NFKC"), "NFKD": typed("NFKD"), "Lowercase": typed("Lowercase"),
    "StripAccents": typed("StripAccents"), "Nmt": typed("Nmt"),
    "Strip": typed("Strip", {"strip_left": flag(), "strip_right": flag()}),
    "Prepend": typed("Prepend", {"prepend": CONTENTS + ["▁▁"]}),
    "ByteLevel normalizer": typed("ByteLevel"),
    "Replace": replace_of,
}


def metaspace(rng):
    made = {"type": "Metaspace", "replacement": rng.choice("▁▁_é中"), "prepend_scheme": rng.choice(("always", "never", "first")),
            "split": rng.choice(flag())}
    for name in ("split", "prepend_scheme"):
        if rng.random() < 0.2:
            del made[name]
    if rng.random() < 0.25:
        made["add_prefix_space"] = rng.choice(flag())
        made["str_rep"] = made["replacement"]
    return made


def byte_level(rng):
    return {"type": "ByteLevel", **chosen(rng, {"add_prefix_space": flag(), "trim_offsets": flag(), "use_regex": flag()}, ["use_regex"])}


BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
PRE_TOKENIZERS = {
    "BertPreTokenizer": typed("BertPreTokenizer"), "Whitespace": typed("Whitespace"), "WhitespaceSplit": typed("WhitespaceSplit"),
    "UnicodeScripts": typed("UnicodeScripts"), "ByteLevel": byte_level, "Metaspace": metaspace,
    "Punctuation": typed("Punctuation", {"behavior": BEHAVIORS}, ["behavior"]),
    "Digits": typed("Digits", {"individual_digits": flag()}),
    "CharDelimiterSplit": typed("CharDelimiterSplit", {"delimiter": (" ", "a", "▁", "é", "\n", "中")}),
    "FixedLength": typed("FixedLength", {"length": (1, 2, 3, 5, 100)}, ["length"]),
    "Split": lambda rng: {"type": "Split", "pattern": pattern(rng), "behavior": rng.choice(BEHAVIORS), "invert": rng.choice(flag())},
}
DECODERS = {
    "ByteLevel decoder": byte_level, "Metaspace decoder": metaspace, "ByteFallback": typed("ByteFallback"), "Fuse": typed("Fuse"),
    "WordPiece decoder": typed("WordPiece", {"prefix": ("##", "", "@", "a"), "cleanup": flag()}),
    "BPEDecoder": typed("BPEDecoder", {"suffix": ("</w>", "", "b", "@@")}),
    "CTC": typed("CTC", {"pad_token": ("<pad>", "a", ""), "word_delimiter_token": ("|", "a", "▁", ""), "cleanup": flag()}),
    "Strip decoder": typed("Strip", {"content": (" ", "▁", "a", "é"), "start": (0, 1, 2, 9), "stop": (0, 1, 2)}),
    "Replace decoder": replace_of,
}


def sequence(rng, parts, key, longest):
    """A chain of random parts, now and then with a chain in it."""
    made = [rng.choice(list(parts.values()))(rng) for _ in range(rng.randrange(0 if rng.random() < 0.1 else 1, longest + 1))]
    if len(made) > 1 and rng.random() < 0.15:
        made = [{"type": "Sequence", key: made[:1]}, *made[1:]]
    return {"type": "Sequence", key: made}


# ---- post-processors -------------------------------------------------------------------------------------------------------------

def template_of(rng, vocabulary):
    """Pieces in any order; special tokens with several ids and with names that the vocabulary lacks."""
    names = ["[CLS]", "[SEP]", "end"]
    tokens = {}
    for name in names:
        ids = [rng.choice(list(vocabulary.values())) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        tokens[name] = {"id": name, "ids": ids, "tokens": [name + str(i) if len(ids) > 1 else name for i in range(len(ids))]}

    def pieces(sequences):
        made = [{"Sequence": {"id": s, "type_id": rng.choice((0, 0, 1, 2, 7))}} for s in sequences]
        made += [{"SpecialToken": {"id": rng.choice(names), "type_id": rng.choice((0, 1, 3))}} for _ in range(rng.randrange(4))]
        if rng.random() < 0.1:
            made.append({"Sequence": {"id": rng.choice(sequences), "type_id": 4}})
        rng.shuffle(made)
        return made
    return {"type": "TemplateProcessing", "single": pieces("A"), "pair": pieces("AB"), "special_tokens": tokens}


def bert_processing(rng, vocabulary):
    return {"type": "BertProcessing", **{name: [token, vocabulary.get(token, 5)] for name, token in (("sep", "[SEP]"), ("cls", "[CLS]"))}}


def roberta_processing(rng, vocabulary):
    return {"type": "RobertaProcessing", "sep": ["</s>", rng.choice((1, 2))], "cls": ["<s>", rng.choice((0, 3))],
            "trim_offsets": rng.choice(flag()), "add_prefix_space": rng.choice(flag())}


POST_PROCESSORS = {"TemplateProcessing": template_of, "BertProcessing": bert_processing, "RobertaProcessing": roberta_processing,
                   "ByteLevel post-processor": lambda rng, vocabulary: byte_level(rng)}


def post_sequence(rng, vocabulary):
    return {"type": "Sequence", "processors": [rng.choice(list(POST_PROCESSORS.values()))(rng,
                                                                                          vocabulary) for _ in range(rng.randrange(1, 4))]}


# ---- added tokens ----------------------------------------------------------------------------------------------------------------

ADDED = ["[MASK]", "[NEW]", "foo", "Foo", "foo bar", "fo", "é", "É", "İx", " lead", "trail ", "中", "<s>", "o", "a.b", "\u0301z", "<|x|>",
         "  ", "the",
         "\n", "▁", "Ġ", "<0x41>", "ﬁ", "12", "\u200d"]


def added_token(token_id, content, **flags):
    return {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
            "special": False, **flags}


def added_tokens(rng, n, first_id):
    """With any flags; ids as a library's own file has them, going on after the vocabulary."""
    return [added_token(first_id + i, content, **{name: rng.random() < 0.4 for name in ("single_word", "lstrip", "rstrip", "normalized",
                                                                                        "special")})
            for i, content in enumerate(rng.sample(ADDED, n))]


# ---- models ----------------------------------------------------------------------------------------------------------------------

def whole(model, **parts):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
            "post_processor": None, "decoder": None, "model": model, **parts}


def byte_model():
    """Every byte of the text a token of its own: ids tell the bytes, offsets where each comes from, word_ids the words."""
    vocabulary = {f"<0x{b:02X}>": b for b in range(256)}
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True, "ignore_merges": False, "vocab": vocabulary, "merges": []}


def byte_alphabet():
    return sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def unique(pieces):
    return list(dict.fromkeys(pieces))


def pieces_of(rng, words, n):
    """Random pieces of words: single characters first, then n longer ones."""
    characters = unique(c for word in words for c in word)
    longer = []
    for _ in range(n):
        word = rng.choice(words)
        start = rng.randrange(len(word) + 1)
        longer.append(word[start:start + rng.choice((2, 2, 3, 4, 8, 99))] or word)
    return unique(characters + longer)


def word_piece(rng, words):
    prefix = rng.choice(("##", "##", "##", "", "@@"))
    pieces = [(prefix if rng.random() < 0.6 else "") + p for p in pieces_of(rng, words, 400)]
    vocabulary = {p: i for i, p in enumerate(unique(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]))}
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": rng.choice((0, 3, 10, 100)), "vocab": vocabulary}


def word_level(rng, words):
    made = {"type": "WordLevel", "vocab": {p: i for i, p in enumerate(unique(["[UNK]", "<s>", *pieces_of(rng, words, 300), *words]))},
            "unk_token": rng.choice(("[UNK]", "[UNK]", "[UNK]", "absent"))}
    return made


def unigram(rng, words):
    """Scores at random, some the same; with and without an unknown token, with and without bytes."""
    pieces = unique(["<unk>", "<s>", *pieces_of(rng, words, 500), *("▁" + w for w in words)])
    byte_fallback = rng.choice((True, False, None))
    if byte_fallback and rng.random() < 0.8:
        pieces += [f"<0x{b:02X}>" for b in range(256)]
    made = {"type": "Unigram", "unk_id": rng.choice((0, 0, 0, 1, None)), "byte_fallback": byte_fallback,
            "vocab": [[p, round(-rng.random() * 12, rng.choice((0, 2, 12)))] for p in pieces]}
    if byte_fallback is None:
        del made["byte_fallback"]
    return made


def bpe(rng, words):
    """Merges at random over the characters of words, with a prefix and a suffix now and then."""
    prefix, suffix = rng.choice((None, None, "", "##", "@")), rng.choice((None, None, "", "</w>", "e"))
    characters = unique(c for word in words for c in word if rng.random() < 0.97)
    pieces = characters + [prefix + c for c in characters if prefix] + [c + suffix for c in characters if suffix]
    pieces += [prefix + c + suffix for c in characters if prefix and suffix]
    pieces, merges = unique(["<unk>", *pieces]), []
    known = set(pieces)
    for _ in range(600):  # left + right, the right one without its prefix, is what a merge makes
        word = rng.choice(words)
        at = rng.randrange(1, len(word)) if len(word) > 1 else 1
        left = rng.choice((word[max(0, at - rng.randrange(1, 4)):at], (prefix or "") + word[at - 1:at]))
        right = (prefix or "") + word[at:at + rng.randrange(1, 4)] + rng.choice(("", "", suffix or ""))
        made = left + right[len(prefix or ""):]
        if left in known and right in known and (left, right) not in merges:
            merges.append((left, right))
            if made not in known:
                known.add(made)
                pieces.append(made)
    if rng.random() < 0.5:
        pieces += [p for p in (f"<0x{b:02X}>" for b in range(256)) if rng.random() < 0.98]
    as_strings = rng.random() < 0.4
    model = {"type": "BPE", "dropout": None, "unk_token": rng.choice((None, "<unk>", "<unk>")), "continuing_subword_prefix": prefix,
             "end_of_word_suffix": suffix, "fuse_unk": rng.choice(flag()), "byte_fallback": rng.choice(flag()),
             "ignore_merges": rng.choice(flag()), "vocab": {p: i for i, p in enumerate(unique(pieces))},
             "merges": [a + " " + b if as_strings else [a, b] for a, b in merges if not as_strings or " " not in a + b]}
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges", "byte_fallback", "fuse_unk", "unk_token"):
        if rng.random() < 0.1:
            model.pop(name)
    return model


MODELS = {"WordPiece": word_piece, "WordLevel": word_level, "Unigram": unigram, "BPE": bpe}


def truncation(rng):
    return {"max_length": rng.choice((1, 2, 3, 4, 5, 8, 16, 33)), "stride": rng.choice((0, 0, 1, 2, 5)),
            "strategy": rng.choice(("longest_first", "longest_first", "only_first", "only_second")),
            "direction": rng.choice(("right", "left"))}
