"""The tokenizer of libtern through ctypes, for the tests and the benchmark. TERN_LIBRARY names the shared library.

SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import functools
import os


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 4096), ("file", ctypes.c_char_p), ("line", ctypes.c_int)]


class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("bytes", ctypes.c_size_t)]


class EncodeOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("add_special_tokens", ctypes.c_bool), ("max_length", ctypes.c_size_t),
                ("truncation_strategy", ctypes.c_int), ("truncation_direction", ctypes.c_int), ("stride", ctypes.c_size_t),
                ("with_overflowing", ctypes.c_bool), ("with_tokens", ctypes.c_bool), ("with_word_ids", ctypes.c_bool),
                ("threads", ctypes.c_int)]


STRATEGIES, DIRECTIONS = ("longest_first", "only_first", "only_second"), ("right", "left")


class EncodingArrays(ctypes.Structure):
    _fields_ = [("n", ctypes.c_size_t), ("ids", ctypes.POINTER(ctypes.c_int32)), ("type_ids", ctypes.POINTER(ctypes.c_int32)),
                ("special_tokens_mask", ctypes.POINTER(ctypes.c_uint8)), ("offsets", ctypes.POINTER(ctypes.c_uint32)),
                ("tokens", ctypes.POINTER(ctypes.c_void_p)), ("word_ids", ctypes.POINTER(ctypes.c_int32)),
                ("sequence_ids", ctypes.POINTER(ctypes.c_int32)), ("overflowing", ctypes.c_void_p), ("n_overflowing", ctypes.c_size_t),
                ("n_truncated", ctypes.c_size_t)]


def tokens_of(arrays, n):
    """They lie one after the other, each with a NUL behind it; a token itself may hold NULs."""
    first, end = arrays.tokens[0], arrays.tokens[n]
    tokens = ctypes.string_at(first, end - first).decode().split("\0")[:-1]
    if len(tokens) == n:
        return tokens
    places = arrays.tokens[:n + 1]
    return [ctypes.string_at(a, b - a - 1).decode() for a, b in zip(places, places[1:])]


class Encoding:
    """As tokenizers.Encoding, copied out of the library's memory."""

    def __init__(self, arrays):
        n = arrays.n
        self.ids, self.type_ids = arrays.ids[:n], arrays.type_ids[:n]
        self.special_tokens_mask = arrays.special_tokens_mask[:n]
        flat = arrays.offsets[:2 * n]
        self.offsets = list(zip(flat[::2], flat[1::2]))
        self.tokens = tokens_of(arrays, n) if arrays.tokens else None
        self.word_ids, self.sequence_ids = ([None if i < 0 else i for i in array[:n]] if array else None
                                            for array in (arrays.word_ids, arrays.sequence_ids))
        pieces = ctypes.cast(arrays.overflowing, ctypes.POINTER(EncodingArrays))
        self.overflowing = [Encoding(pieces[i]) for i in range(arrays.n_overflowing)]


def as_text(text):
    text = text if isinstance(text, bytes) else text.encode()
    return Text(text, len(text))


class TernError(Exception):
    def __init__(self, error):
        super().__init__(error.message.decode())
        self.code = error.code


@functools.cache
def load_library():
    lib = ctypes.CDLL(os.environ["TERN_LIBRARY"])
    lib.tern_tokenizer_encode.argtypes = [ctypes.POINTER(EncodingArrays), ctypes.c_void_p, Text, ctypes.POINTER(Text),
                                          ctypes.POINTER(EncodeOptions), ctypes.POINTER(Error)]
    lib.tern_tokenizer_load.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.POINTER(Error)]
    lib.tern_tokenizer_free.argtypes = [ctypes.c_void_p]
    lib.tern_tokenizer_encode_batch.argtypes = [ctypes.POINTER(EncodingArrays), ctypes.c_void_p, ctypes.POINTER(Text),
                                                ctypes.POINTER(Text), ctypes.c_size_t, ctypes.POINTER(EncodeOptions),
                                                ctypes.POINTER(Error)]
    lib.tern_tokenizer_decode.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t), ctypes.c_void_p,
                                          ctypes.POINTER(ctypes.c_int32),
                                          ctypes.c_size_t, ctypes.c_bool, ctypes.POINTER(Error)]
    lib.tern_free.argtypes = [ctypes.c_void_p]
    lib.tern_tokenizer_vocab_size.argtypes = [ctypes.c_void_p]
    lib.tern_tokenizer_vocab_size.restype = ctypes.c_size_t
    lib.tern_tokenizer_id_to_token.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    lib.tern_tokenizer_id_to_token.restype = ctypes.c_char_p
    lib.tern_tokenizer_token_to_id.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.tern_tokenizer_token_to_id.restype = ctypes.c_int32
    lib.tern_encode_options_default.restype = EncodeOptions
    lib.tern_encoding_free.argtypes = [ctypes.POINTER(EncodingArrays)]
    return lib


class Tokenizer:
    def __init__(self, folder):
        self.lib, self.error = load_library(), Error()
        self.handle = ctypes.c_void_p()
        self.check(self.lib.tern_tokenizer_load(ctypes.byref(self.handle), os.fsencode(folder), ctypes.byref(self.error)))

    def __del__(self):
        self.lib.tern_tokenizer_free(self.handle)

    def check(self, status):
        if status:
            raise TernError(self.error)

    def options(self, add_special_tokens=True, max_length=0, with_tokens=True, strategy="longest_first", direction="right", stride=0,
                with_overflowing=False, with_word_ids=False, threads=0):
        options = self.lib.tern_encode_options_default()
        options.add_special_tokens, options.max_length, options.with_tokens = add_special_tokens, max_length, with_tokens
        options.truncation_strategy, options.truncation_direction = STRATEGIES.index(strategy), DIRECTIONS.index(direction)
        options.stride, options.with_overflowing, options.with_word_ids = stride, with_overflowing, with_word_ids
        options.threads = threads
        return ctypes.byref(options)

    def encode(self, text, pair=None, add_special_tokens=True, max_length=0, **options):
        """`text` and `pair`: str, or bytes as they are."""
        options = self.options(add_special_tokens, max_length, **options)
        texts = [None if t is None else as_text(t) for t in (text, pair)]
        arrays = EncodingArrays()
        self.check(self.lib.tern_tokenizer_encode(ctypes.byref(arrays), self.handle, texts[0],
                                                  None if texts[1] is None else ctypes.byref(texts[1]), options,
                                                  ctypes.byref(self.error)))
        encoding = Encoding(arrays)
        self.lib.tern_encoding_free(ctypes.byref(arrays))
        return encoding

    def encode_batch(self, texts, pairs=None, **options):
        arrays = (EncodingArrays * len(texts))()
        pairs = pairs and (Text * len(texts))(*map(as_text, pairs))
        self.check(self.lib.tern_tokenizer_encode_batch(arrays, self.handle, (Text * len(texts))(*map(as_text, texts)), pairs, len(texts),
                                                        self.options(**options), ctypes.byref(self.error)))
        encodings = [Encoding(a) for a in arrays]
        for a in arrays:
            self.lib.tern_encoding_free(ctypes.byref(a))
        return encodings

    def decode(self, ids, skip_special_tokens=True):
        out, n_bytes = ctypes.c_void_p(), ctypes.c_size_t()
        self.check(self.lib.tern_tokenizer_decode(ctypes.byref(out), ctypes.byref(n_bytes), self.handle, (ctypes.c_int32 * len(ids))(*ids),
                                                  len(ids), skip_special_tokens, ctypes.byref(self.error)))
        text = ctypes.string_at(out, n_bytes.value).decode()
        self.lib.tern_free(out)
        return text

    def vocab_size(self):
        return self.lib.tern_tokenizer_vocab_size(self.handle)

    def id_to_token(self, token_id):
        token = self.lib.tern_tokenizer_id_to_token(self.handle, token_id)
        return None if token is None else token.decode()

    def token_to_id(self, token):
        token_id = self.lib.tern_tokenizer_token_to_id(self.handle, token.encode())
        return None if token_id < 0 else token_id
