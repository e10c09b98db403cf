/* tern/tokenizer.h - a text becomes ids, and ids a text.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TOKENIZER_H
#define TERN_TOKENIZER_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of UTF-8. Not owned. */
typedef struct tern_text {
    const char *data;
    size_t bytes;
} tern_text;

/* A tokenizer as a checkpoint folder has it. Read-only after load: many threads may encode with one. */
typedef struct tern_tokenizer tern_tokenizer;

/* tern_tokenizer_load - from a folder with tokenizer.json, or else from the files that Hugging Face's transformers makes the same tokenizer
 * of: vocab.txt; vocab.json and merges.txt; or a SentencePiece model (sentencepiece.bpe.model, spiece.model, spm.model, tokenizer.model).
 * What they are for say "tokenizer_class" in tokenizer_config.json and "model_type" in config.json; special_tokens_map.json and
 * added_tokens.json are read as transformers reads them. docs/ARCHITECTURE.md lists the classes. A sentence-transformers folder may have
 * all this in the folder of its first module.
 * errors   TERN_E_IO  none of the files is there     TERN_E_FORMAT  broken     TERN_E_UNSUPPORTED  names the component */
TERN_API tern_status tern_tokenizer_load(tern_tokenizer **out, const char *folder, tern_error *err);
TERN_API void tern_tokenizer_free(tern_tokenizer *tokenizer);
/* Entries of the vocabulary with added tokens. */
TERN_API size_t tern_tokenizer_vocab_size(const tern_tokenizer *tokenizer);
/* NULL when no token has that id. */
TERN_API const char *tern_tokenizer_id_to_token(const tern_tokenizer *tokenizer, int32_t id);
/* -1 when the vocabulary lacks it. */
TERN_API int32_t tern_tokenizer_token_to_id(const tern_tokenizer *tokenizer, const char *token);

/* Which of the two texts is cut when a pair is too long. */
typedef enum tern_truncation_strategy { TERN_LONGEST_FIRST, TERN_ONLY_FIRST, TERN_ONLY_SECOND } tern_truncation_strategy;
/* Where a text is cut: TERN_CUT_RIGHT keeps its beginning. */
typedef enum tern_truncation_direction { TERN_CUT_RIGHT, TERN_CUT_LEFT } tern_truncation_direction;

typedef struct tern_encode_options {
    size_t size;             /* sizeof(tern_encode_options); set by tern_encode_options_default */
    bool add_special_tokens; /* default true */
    size_t max_length;       /* truncate to so many ids, special tokens counted; 0 (default): never */
    tern_truncation_strategy truncation_strategy;   /* default TERN_LONGEST_FIRST */
    tern_truncation_direction truncation_direction; /* default TERN_CUT_RIGHT */
    size_t stride;           /* tokens that a piece shares with the piece before it; default 0 */
    bool with_overflowing;   /* fill tern_encoding.overflowing; default false */
    bool with_tokens;        /* fill tern_encoding.tokens; default false */
    bool with_word_ids;      /* fill tern_encoding.word_ids and sequence_ids; default false */
    int threads;             /* of tern_tokenizer_encode_batch; 0 (default): one for each core that the process may use */
} tern_encode_options;

TERN_API tern_encode_options tern_encode_options_default(void);

/* One encoded text, or pair of texts. Arrays of n entries; freed with tern_encoding_free. */
typedef struct tern_encoding {
    size_t n;
    int32_t *ids;
    int32_t *type_ids;
    uint8_t *special_tokens_mask; /* 1: added by the post-processor */
    uint32_t (*offsets)[2];       /* start and end in code points of the text it came from; 0, 0 for special tokens */
    char **tokens;                /* NULL unless asked for. [n + 1]: token i has tokens[i + 1] - tokens[i] - 1 bytes, and a NUL */
    int32_t *word_ids;            /* NULL unless asked for. The word of its text; -1 for special tokens */
    int32_t *sequence_ids;        /* NULL unless asked for. 0: the text, 1: the pair; -1 for special tokens */
    struct tern_encoding *overflowing; /* NULL unless asked for. What truncation cut off, piece by piece, each as an encoding without
                                          overflowing of its own; of a pair that is cut twice, the pieces combined */
    size_t n_overflowing;
    size_t n_truncated;           /* tokens that truncation cut off */
} tern_encoding;

/* tern_tokenizer_encode - ids as Hugging Face's `tokenizers` gives them, neither padded nor (unless asked) truncated.
 * pair     NULL for a single text. options: NULL for the defaults.
 * errors   TERN_E_ARGUMENT  text is not UTF-8 (says at which byte); max_length is less than the special tokens need; the text that the
 *                           strategy cuts is not there or too short; stride is not less than what is kept of a text */
TERN_API tern_status tern_tokenizer_encode(tern_encoding *out, const tern_tokenizer *tokenizer, tern_text text, const tern_text *pair,
                                           const tern_encode_options *options, tern_error *err);
TERN_API void tern_encoding_free(tern_encoding *encoding);

/* tern_tokenizer_encode_batch - many texts at once, by several threads: encodings[i] is that of texts[i].
 * pairs    NULL, or [n_texts]; one whose data is NULL leaves its text single.
 * errors   as tern_tokenizer_encode, of the first text that cannot be encoded: the message begins "text 7: ", counted from 0. The
 *          encodings then are empty. */
TERN_API tern_status tern_tokenizer_encode_batch(tern_encoding *encodings, const tern_tokenizer *tokenizer, const tern_text *texts,
                                                 const tern_text *pairs, size_t n_texts, const tern_encode_options *options,
                                                 tern_error *err);

/* tern_tokenizer_decode - text of ids, NUL-terminated; free with tern_free.
 * n_bytes  NULL, or where its length goes: the text itself may hold NULs.
 * errors   TERN_E_ARGUMENT  an id is not in the vocabulary */
TERN_API tern_status tern_tokenizer_decode(char **out, size_t *n_bytes, const tern_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                           bool skip_special_tokens, tern_error *err);

#ifdef __cplusplus
}
#endif
#endif
