/* spm_writer.h - writes SentencePiece models for tests, field by field.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_SPM_WRITER_H
#define TERN_TESTS_SPM_WRITER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct spm_writer {
    unsigned char bytes[4096];
    size_t n;
} spm_writer;

enum { SPM_NORMAL = 1, SPM_UNKNOWN, SPM_CONTROL, SPM_USER_DEFINED, SPM_UNUSED, SPM_BYTE };
enum { SPM_UNIGRAM = 1, SPM_BPE };

static inline void spm_put(spm_writer *out, const void *bytes, size_t n) {
    if (n > sizeof out->bytes - out->n) abort();
    if (n > 0) memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
}

static inline void spm_put_varint(spm_writer *out, uint64_t value) {
    do {
        unsigned char byte = (unsigned char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        spm_put(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static inline void spm_put_number(spm_writer *out, unsigned field, uint64_t value) {
    spm_put_varint(out, field << 3);
    spm_put_varint(out, value);
}

static inline void spm_put_bytes(spm_writer *out, unsigned field, const void *bytes, size_t n) {
    spm_put_varint(out, field << 3 | 2);
    spm_put_varint(out, n);
    spm_put(out, bytes, n);
}

static inline void spm_put_text(spm_writer *out, unsigned field, const char *text) { spm_put_bytes(out, field, text, strlen(text)); }

static inline void spm_put_float(spm_writer *out, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const unsigned char bytes[4] = {(unsigned char)bits, (unsigned char)(bits >> 8), (unsigned char)(bits >> 16),
                                    (unsigned char)(bits >> 24)};
    spm_put_varint(out, field << 3 | 5);
    spm_put(out, bytes, sizeof bytes);
}

static inline void spm_put_piece(spm_writer *out, const char *text, float score, int kind) {
    spm_writer piece = {.n = 0};
    spm_put_text(&piece, 1, text);
    spm_put_float(&piece, 2, score);
    if (kind != SPM_NORMAL) spm_put_number(&piece, 3, (uint64_t)kind);
    spm_put_bytes(out, 1, piece.bytes, piece.n);
}

static inline void spm_put_trainer(spm_writer *out, int model_type, int unk_id, int byte_fallback) {
    spm_writer spec = {.n = 0};
    spm_put_number(&spec, 3, (uint64_t)model_type);
    spm_put_number(&spec, 35, (uint64_t)byte_fallback);
    spm_put_number(&spec, 40, (uint64_t)unk_id);
    spm_put_bytes(out, 2, spec.bytes, spec.n);
}

#define SPM_UNDERLINE "\xE2\x96\x81"

/* <unk> <s> </s> and five pieces, ids 3 to 7. As BPE, "_ab" comes of "_a" and "b". */
static inline void spm_put_small_model(spm_writer *out, int model_type) {
    spm_put_piece(out, "<unk>", 0, SPM_UNKNOWN);
    spm_put_piece(out, "<s>", 0, SPM_CONTROL);
    spm_put_piece(out, "</s>", 0, SPM_CONTROL);
    spm_put_piece(out, SPM_UNDERLINE, -3.5F, SPM_NORMAL);
    spm_put_piece(out, "a", -4, SPM_NORMAL);
    spm_put_piece(out, "b", -4.5F, SPM_NORMAL);
    spm_put_piece(out, SPM_UNDERLINE "a", -2, SPM_NORMAL);
    spm_put_piece(out, SPM_UNDERLINE "ab", -9, SPM_NORMAL);
    spm_put_trainer(out, model_type, 0, 0);
}

#endif
