/* sentencepiece.c - reads the protobuf of a SentencePiece model, and of protobuf only what that needs: fields in any order, the last of
 * several values, unknown fields skipped by their wire type. Groups, which have not been written for long, are refused.
 * Source: sentencepiece_model.proto; Protocol Buffers, Encoding, https://protobuf.dev/programming-guides/encoding
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/files/sentencepiece.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/unicode.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Field numbers. */
enum { MODEL_PIECES = 1, MODEL_TRAINER_SPEC = 2, MODEL_NORMALIZER_SPEC = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_KIND = 3 };
enum {
    TRAINER_MODEL_TYPE = 3,
    TRAINER_BYTE_FALLBACK = 35,
    TRAINER_UNK_ID = 40,
    TRAINER_BOS_ID = 41,
    TRAINER_EOS_ID = 42,
    TRAINER_UNK_PIECE = 45,
    TRAINER_BOS_PIECE = 46,
    TRAINER_EOS_PIECE = 47
};
enum { NORMALIZER_CHARSMAP = 2 };
enum { MODEL_TYPE_UNIGRAM = 1, MODEL_TYPE_LAST = 4 };

/* A walk through the fields of a message, which are bytes [at, end) of the file. */
typedef struct tern_protobuf {
    const unsigned char *bytes;
    size_t at, end;
    const char *name;
    tern_error *err;
} tern_protobuf;

typedef struct tern_field {
    uint32_t number;
    unsigned wire;
    uint64_t value;      /* WIRE_VARINT, WIRE_FIXED32, WIRE_FIXED64 */
    size_t start, bytes; /* WIRE_BYTES */
} tern_field;

static tern_status fail_at(const tern_protobuf *scan, size_t at, const char *what) {
    return TERN_FAIL(scan->err, TERN_E_FORMAT, "%s: byte %zu: %s; not a SentencePiece model", scan->name, at, what);
}

static tern_status read_varint(tern_protobuf *scan, uint64_t *value) {
    size_t start = scan->at;
    *value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (scan->at == scan->end) return fail_at(scan, start, "a number without an end");
        unsigned char byte = scan->bytes[scan->at++];
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return TERN_OK;
    }
    return fail_at(scan, start, "a number of more than 10 bytes");
}

static tern_status read_fixed(tern_protobuf *scan, size_t n_bytes, uint64_t *value) {
    if (scan->end - scan->at < n_bytes) return fail_at(scan, scan->at, "a number without an end");
    *value = 0;
    for (size_t i = 0; i < n_bytes; i++) *value |= (uint64_t)scan->bytes[scan->at + i] << 8 * i;
    scan->at += n_bytes;
    return TERN_OK;
}

static tern_status next_field(tern_protobuf *scan, tern_field *field) {
    size_t start = scan->at;
    uint64_t key, length;
    TERN_TRY(read_varint(scan, &key));
    *field = (tern_field){.number = (uint32_t)(key >> 3), .wire = key & 7};
    if (key > UINT32_MAX || field->number == 0) return fail_at(scan, start, "no field has that number");
    switch (field->wire) {
    case WIRE_VARINT:
        return read_varint(scan, &field->value);
    case WIRE_FIXED64:
        return read_fixed(scan, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(scan, 4, &field->value);
    case WIRE_BYTES:
        TERN_TRY(read_varint(scan, &length));
        if (length > scan->end - scan->at) return fail_at(scan, start, "a field goes beyond the end");
        field->start = scan->at;
        field->bytes = (size_t)length;
        scan->at += field->bytes;
        return TERN_OK;
    default:
        return fail_at(scan, start, "a field of a kind that is not read");
    }
}

static bool is_field(const tern_field *field, uint32_t number, unsigned wire) { return field->number == number && field->wire == wire; }

static tern_protobuf inner_scan(const tern_protobuf *scan, const tern_field *field) {
    tern_protobuf inner = *scan;
    inner.at = field->start;
    inner.end = field->start + field->bytes;
    return inner;
}

static tern_status read_text(const tern_protobuf *scan, const tern_field *field, tern_text *out) {
    const unsigned char *bytes = scan->bytes + field->start;
    size_t n_valid = tern__utf8_valid_prefix(bytes, field->bytes);
    if (n_valid < field->bytes) return fail_at(scan, field->start + n_valid, "not UTF-8");
    *out = (tern_text){.data = (const char *)bytes, .bytes = field->bytes};
    return TERN_OK;
}

static float float_of_bits(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof value);
    return value;
}

/* An int32 is written as 64 bits; what is beyond counts no more than in other readers. */
static int32_t int32_of(uint64_t value) {
    uint32_t low = (uint32_t)value;
    int32_t out;
    memcpy(&out, &low, sizeof out);
    return out;
}

static tern_status read_piece(tern_sentencepiece *out, tern_protobuf scan) {
    size_t start = scan.at;
    tern_piece piece = {.kind = TERN_PIECE_NORMAL};
    tern_text text = {0};
    while (scan.at < scan.end) {
        tern_field field;
        TERN_TRY(next_field(&scan, &field));
        if (is_field(&field, PIECE_TEXT, WIRE_BYTES)) TERN_TRY(read_text(&scan, &field, &text));
        else if (is_field(&field, PIECE_SCORE, WIRE_FIXED32)) piece.score = float_of_bits(field.value);
        else if (is_field(&field, PIECE_KIND, WIRE_VARINT) && field.value >= TERN_PIECE_NORMAL && field.value <= TERN_PIECE_BYTE)
            piece.kind = (tern_piece_kind)field.value;
    }
    if (text.bytes == 0) return fail_at(&scan, start, "a piece without text");
    if (text.bytes > TERN_SENTENCEPIECE_MAX_PIECE)
        return TERN_FAIL(scan.err, TERN_E_UNSUPPORTED, "%s: byte %zu: a piece of %zu bytes; at most %d are supported", scan.name, start,
                         text.bytes, TERN_SENTENCEPIECE_MAX_PIECE);
    piece.text = text.data;
    piece.n_bytes = (uint32_t)text.bytes;
    if (!tern__grow(&out->pieces, &out->capacity, out->n_pieces + 1, sizeof *out->pieces))
        return TERN_FAIL_MEMORY(scan.err, sizeof *out->pieces);
    out->pieces[out->n_pieces++] = piece;
    return TERN_OK;
}

static tern_status read_trainer_number(tern_sentencepiece *out, const tern_field *field) {
    switch (field->number) {
    case TRAINER_MODEL_TYPE:
        if (field->value >= MODEL_TYPE_UNIGRAM && field->value <= MODEL_TYPE_LAST) out->is_unigram = field->value == MODEL_TYPE_UNIGRAM;
        break;
    case TRAINER_BYTE_FALLBACK:
        out->byte_fallback = field->value != 0;
        break;
    case TRAINER_UNK_ID:
        out->unk_id = int32_of(field->value);
        break;
    case TRAINER_BOS_ID:
        out->bos_id = int32_of(field->value);
        break;
    case TRAINER_EOS_ID:
        out->eos_id = int32_of(field->value);
        break;
    default:
        break;
    }
    return TERN_OK;
}

static tern_status read_trainer_text(tern_sentencepiece *out, const tern_protobuf *scan, const tern_field *field) {
    switch (field->number) {
    case TRAINER_UNK_PIECE:
        return read_text(scan, field, &out->unk_piece);
    case TRAINER_BOS_PIECE:
        return read_text(scan, field, &out->bos_piece);
    case TRAINER_EOS_PIECE:
        return read_text(scan, field, &out->eos_piece);
    default:
        return TERN_OK;
    }
}

static tern_status read_trainer_spec(tern_sentencepiece *out, tern_protobuf scan) {
    while (scan.at < scan.end) {
        tern_field field;
        TERN_TRY(next_field(&scan, &field));
        if (field.wire == WIRE_VARINT) TERN_TRY(read_trainer_number(out, &field));
        else if (field.wire == WIRE_BYTES) TERN_TRY(read_trainer_text(out, &scan, &field));
    }
    return TERN_OK;
}

static tern_status read_normalizer_spec(tern_sentencepiece *out, tern_protobuf scan) {
    while (scan.at < scan.end) {
        tern_field field;
        TERN_TRY(next_field(&scan, &field));
        if (is_field(&field, NORMALIZER_CHARSMAP, WIRE_BYTES))
            out->charsmap = (tern_text){.data = (const char *)scan.bytes + field.start, .bytes = field.bytes};
    }
    return TERN_OK;
}

tern_status tern__sentencepiece_read(tern_sentencepiece *out, const unsigned char *bytes, size_t n_bytes, const char *name,
                                     tern_error *err) {
    *out = (tern_sentencepiece){.is_unigram = true,
                                .bos_id = 1,
                                .eos_id = 2,
                                .unk_piece = {.data = "<unk>", .bytes = 5},
                                .bos_piece = {.data = "<s>", .bytes = 3},
                                .eos_piece = {.data = "</s>", .bytes = 4}};
    tern_protobuf scan = {.bytes = bytes, .end = n_bytes, .name = name, .err = err};
    if (n_bytes > TERN_SENTENCEPIECE_MAX_BYTES)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: has %zu bytes; SentencePiece models of at most %zu are read", name, n_bytes,
                         TERN_SENTENCEPIECE_MAX_BYTES);
    while (scan.at < scan.end) {
        tern_field field;
        TERN_TRY(next_field(&scan, &field));
        if (is_field(&field, MODEL_PIECES, WIRE_BYTES)) TERN_TRY(read_piece(out, inner_scan(&scan, &field)));
        else if (is_field(&field, MODEL_TRAINER_SPEC, WIRE_BYTES)) TERN_TRY(read_trainer_spec(out, inner_scan(&scan, &field)));
        else if (is_field(&field, MODEL_NORMALIZER_SPEC, WIRE_BYTES)) TERN_TRY(read_normalizer_spec(out, inner_scan(&scan, &field)));
    }
    return out->n_pieces > 0 ? TERN_OK : fail_at(&scan, scan.at, "there are no pieces");
}

void tern__sentencepiece_free(tern_sentencepiece *model) {
    free(model->pieces);
    *model = (tern_sentencepiece){0};
}
