/* character_map.c - normalizers that look at one character at a time: Lowercase, StripAccents, Nmt.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/normalizers
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/normalizer/normalizer_stages.h"

size_t tern__map_lowercase(uint32_t *out, uint32_t c) {
    if (tern__unicode_find(c).flags & TERN_UNICODE_LOWERED) return tern__unicode_lower(out, c);
    return out[0] = c, 1;
}

size_t tern__map_strip_accents(uint32_t *out, uint32_t c) {
    out[0] = c;
    return tern__unicode_find(c).flags & TERN_UNICODE_MARK ? 0 : 1;
}

/* Controls go, and what takes the place of a space becomes one. */
size_t tern__map_nmt(uint32_t *out, uint32_t c) {
    out[0] = c;
    switch (c) {
    case 0x09:
    case 0x0A:
    case 0x0C:
    case 0x0D:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x2581:
    case 0xFEFF:
    case 0xFFFD:
        out[0] = ' ';
        return 1;
    case 0x0B:
    case 0x7F:
    case 0x8F:
    case 0x9F:
        return 0;
    }
    if ((c >= 0x01 && c <= 0x08) || (c >= 0x0E && c <= 0x1F)) return 0;
    if (c >= 0x200B && c <= 0x200F) out[0] = ' ';
    return 1;
}

void tern__normalizer_stage_set_map(tern_normalizer_stage *stage, size_t (*map)(uint32_t *out, uint32_t code_point)) {
    stage->run = tern__normalize_map;
    stage->map = map;
    for (uint32_t c = 0; c < 128; c++) {
        uint32_t to[TERN_UNICODE_MAX_LOWER];
        stage->ascii[c] = map(to, c) == 0 ? TERN_ASCII_DROPPED : (unsigned char)to[0];
        stage->drops_ascii = stage->drops_ascii || stage->ascii[c] == TERN_ASCII_DROPPED;
    }
}

/* Where the characters end that stay as they are. */
static size_t unchanged_end(const tern_normalizer_stage *stage, const unsigned char *bytes, size_t i, size_t end) {
    while (i < end) {
        while (i < end && bytes[i] < 0x80 && stage->ascii[bytes[i]] == bytes[i]) i++;
        if (i == end || bytes[i] < 0x80) return i;
        uint32_t to[TERN_UNICODE_MAX_LOWER];
        size_t length;
        uint32_t c = tern__utf8_decode(bytes + i, &length);
        if (stage->map(to, c) != 1 || to[0] != c) return i;
        i += length;
    }
    return i;
}

/* A run of ASCII from work->at to `end`. */
static bool map_ascii(tern_normalizing *work, const tern_normalizer_stage *stage, size_t end) {
    const unsigned char *in = work->in->bytes;
    if (!stage->drops_ascii) return tern__normalizing_map_ascii(work, end, stage->ascii);
    while (work->at < end) {
        size_t i = work->at;
        while (i < end && stage->ascii[in[i]] != TERN_ASCII_DROPPED) i++;
        if (!tern__normalizing_map_ascii(work, i, stage->ascii)) return false;
        while (i < end && stage->ascii[in[i]] == TERN_ASCII_DROPPED) i++;
        if (!tern__normalizing_drop(work, i)) return false;
    }
    return true;
}

/* A character that is not ASCII and does not stay as it is. */
static bool map_character(tern_normalizing *work, const tern_normalizer_stage *stage) {
    uint32_t to[TERN_UNICODE_MAX_LOWER];
    size_t length, n = stage->map(to, tern__utf8_decode(work->in->bytes + work->at, &length));
    if (n == 0) return tern__normalizing_drop(work, work->at + length);
    for (size_t i = 0; i < n; i++)
        if (!tern__normalizing_put(work, to[i], i > 0)) return false;
    return true;
}

static bool map_characters(tern_normalizing *work, const tern_normalizer_stage *stage) {
    const tern_normalized *in = work->in;
    while (work->at < in->n_bytes) {
        size_t end = work->at + tern__ascii_prefix(in->bytes + work->at, in->n_bytes - work->at);
        if (!map_ascii(work, stage, end)) return false;
        end = unchanged_end(stage, in->bytes, end, in->n_bytes);
        if (!tern__normalizing_copy(work, end)) return false;
        if (end < in->n_bytes && in->bytes[end] >= 0x80 && !map_character(work, stage)) return false;
    }
    return true;
}

tern_status tern__normalize_map(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                tern_error *err) {
    size_t same = unchanged_end(stage, in->bytes, 0, in->n_bytes);
    *is_changed = same < in->n_bytes;
    if (!*is_changed) return TERN_OK;
    tern_normalizing work = tern__normalizing_start(out, in);
    bool is_done = tern__normalized_reserve(out, in->n_bytes, false) && tern__normalizing_copy(&work, same) && map_characters(&work, stage);
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}
