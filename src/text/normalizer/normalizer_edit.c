/* normalizer_edit.c - normalizers that cut off, put in front and replace: Strip, Prepend, Replace; and ByteLevel, which shows each byte as
 * one of GPT-2's characters.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/normalizers
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/normalizer/normalizer_stages.h"
#include "text/unicode/byte_level.h"

static bool is_space(const unsigned char *bytes, size_t *length) {
    return tern__unicode_find(tern__utf8_decode(bytes, length)).flags & TERN_UNICODE_SPACE;
}

tern_status tern__normalize_strip(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                  tern_error *err) {
    size_t start = 0, end = in->n_bytes, length;
    if (stage->strip_left)
        while (start < end && is_space(in->bytes + start, &length)) start += length;
    while (stage->strip_right && end > start) {
        size_t last = end - 1;
        while (tern__utf8_is_continuation(in->bytes[last])) last--;
        if (!is_space(in->bytes + last, &length)) break;
        end = last;
    }
    *is_changed = start > 0 || end < in->n_bytes;
    if (!*is_changed) return TERN_OK;
    tern_normalizing work = tern__normalizing_start(out, in);
    bool is_done = tern__normalizing_drop(&work, start) && tern__normalizing_copy(&work, end);
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}

tern_status tern__normalize_prepend(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                    tern_error *err) {
    *is_changed = in->n_bytes > 0;
    if (!*is_changed) return TERN_OK;
    tern_normalizing work = tern__normalizing_start(out, in);
    size_t length;
    (void)tern__utf8_decode(in->bytes, &length);
    /* With nothing to prepend, the first character counts as inserted before the text. */
    uint32_t origin = stage->n_content > 0 ? tern__normalizing_origin(&work) : work.last_origin;
    bool is_done = tern__normalized_reserve(out, in->n_bytes + stage->n_content, true) &&
                   tern__normalizing_put_bytes(&work, stage->content, stage->n_content, origin) &&
                   tern__normalizing_put_bytes(&work, in->bytes, length, origin) && tern__normalizing_drop(&work, length) &&
                   tern__normalizing_copy(&work, in->n_bytes);
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}

static tern_status replace_matches(tern_normalizing *work, tern_pattern_search *search, const tern_normalizer_stage *stage,
                                   bool *is_changed, tern_error *err) {
    const tern_normalized *in = work->in;
    for (;;) {
        size_t start, end;
        bool is_found;
        TERN_TRY(tern__pattern_search_next(search, &start, &end, &is_found, err));
        if (!is_found) break;
        *is_changed = true;
        if (!tern__normalizing_copy(work, start) || !tern__normalizing_drop(work, end) ||
            !tern__normalizing_put_bytes(work, stage->content, stage->n_content, work->last_origin))
            return TERN_FAIL_NORMALIZED(err, in);
    }
    if (*is_changed && !tern__normalizing_copy(work, in->n_bytes)) return TERN_FAIL_NORMALIZED(err, in);
    return TERN_OK;
}

/* A character for a character: no place changes. */
static bool replace_character(tern_normalized *out, const tern_normalized *in, unsigned char old, const tern_normalizer_stage *stage,
                              bool *is_changed) {
    const unsigned char *bytes = in->bytes, *end = bytes + in->n_bytes;
    size_t n_old = 0, n_new = stage->n_content;
    for (const unsigned char *at = bytes; (at = memchr(at, old, (size_t)(end - at))); at++) n_old++;
    *is_changed = n_old > 0;
    if (n_old == 0) return true;
    if (!tern__normalized_reserve(out, in->n_bytes + n_old * (n_new - 1), in->origins != NULL)) return false;
    for (const unsigned char *at = bytes, *next; at < end; at = next) {
        if (*at == old) {
            for (size_t i = 0; i < n_new; i++) out->byte_buffer[out->n_bytes + i] = stage->content[i];
            for (size_t i = 0; in->origins && i < n_new; i++) out->origin_buffer[out->n_bytes + i] = in->origins[at - bytes];
            out->n_bytes += n_new;
            next = at + 1;
            continue;
        }
        next = memchr(at, old, (size_t)(end - at));
        if (!next) next = end;
        size_t n = (size_t)(next - at);
        memcpy(out->byte_buffer + out->n_bytes, at, n);
        if (in->origins) memcpy(out->origin_buffer + out->n_bytes, in->origins + (at - bytes), n * sizeof *in->origins);
        out->n_bytes += n;
    }
    return true;
}

/* What is put in stands where the last character of the match, or before an empty one, stands. */
tern_status tern__normalize_replace(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                    tern_error *err) {
    *is_changed = false;
    int old = tern__pattern_character(stage->pattern);
    if (old >= 0 && in->n_bytes > 0 && tern__utf8_count(stage->content, stage->n_content) == 1) {
        bool is_done = replace_character(out, in, (unsigned char)old, stage, is_changed);
        return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
    }
    tern_normalizing work = tern__normalizing_start(out, in);
    tern_pattern_search search;
    TERN_TRY(tern__pattern_search_start(&search, stage->pattern, in->bytes, in->n_bytes, err));
    tern_status status = replace_matches(&work, &search, stage, is_changed, err);
    tern__pattern_search_end(&search);
    return status;
}

tern_status tern__normalize_byte_level(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage,
                                       bool *is_changed, tern_error *err) {
    (void)stage;
    *is_changed = in->n_bytes > 0;
    if (!*is_changed) return TERN_OK;
    tern_normalizing work = tern__normalizing_start(out, in);
    bool is_done = tern__normalized_reserve(out, in->n_bytes + in->n_bytes / 2, true);
    while (is_done && work.at < in->n_bytes) {
        unsigned char to[2 * TERN_UNICODE_MAX_UTF8];
        size_t length, n = 0;
        (void)tern__utf8_decode(in->bytes + work.at, &length);
        for (size_t i = 0; i < length; i++) n += tern__utf8_encode(to + n, tern__byte_level_character(in->bytes[work.at + i]));
        is_done =
            tern__normalizing_put_bytes(&work, to, n, tern__normalizing_origin(&work)) && tern__normalizing_drop(&work, work.at + length);
    }
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}
