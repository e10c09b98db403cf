/* sentencepiece.h - a SentencePiece model: pieces with scores, and the few settings that a tokenizer is made of.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_SENTENCEPIECE_H
#define TERN_TEXT_SENTENCEPIECE_H

#include "base/error.h"
#include "base/file.h"

/* Largest file that is read: models of 256,000 pieces have about 5 MB. */
#define TERN_SENTENCEPIECE_MAX_BYTES ((size_t)64 << 20)
/* Longest piece, in bytes: to find the merges of a BPE model takes the square of it. Those of Gemma have up to 93. */
#define TERN_SENTENCEPIECE_MAX_PIECE 1024

/* As the file numbers them; any other kind is TERN_PIECE_NORMAL. */
typedef enum tern_piece_kind {
    TERN_PIECE_NORMAL = 1,
    TERN_PIECE_UNKNOWN = 2,
    TERN_PIECE_CONTROL = 3,
    TERN_PIECE_USER_DEFINED = 4,
    TERN_PIECE_UNUSED = 5,
    TERN_PIECE_BYTE = 6
} tern_piece_kind;

typedef struct tern_piece {
    const char *text; /* UTF-8, not terminated */
    uint32_t n_bytes; /* 1 to TERN_SENTENCEPIECE_MAX_PIECE */
    float score;
    tern_piece_kind kind;
} tern_piece;

/* Zeroed: nothing to free. All texts lie in the bytes that were read. */
typedef struct tern_sentencepiece {
    tern_piece *pieces; /* by id */
    size_t n_pieces, capacity;
    bool is_unigram;                /* else BPE, or one of the kinds that take words or characters whole */
    bool byte_fallback;             /* a character that is no piece becomes the pieces of its bytes */
    int32_t unk_id, bos_id, eos_id; /* below 0: none */
    tern_text unk_piece, bos_piece, eos_piece;
    tern_text charsmap; /* normalizer_spec.precompiled_charsmap; empty: none */
} tern_sentencepiece;

/* `name` is what messages call it. `out` is left to be freed whether it succeeds or not, and lives no longer than the bytes.
 * errors: TERN_E_FORMAT with the place: no protobuf, a length beyond its end, a piece without text, no pieces. TERN_E_UNSUPPORTED: a piece
 * that is too long. */
tern_status tern__sentencepiece_read(tern_sentencepiece *out, const unsigned char *bytes, size_t n_bytes, const char *name,
                                     tern_error *err);
void tern__sentencepiece_free(tern_sentencepiece *model);

#endif
