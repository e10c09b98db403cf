/* normalizing.c - what the stages of a normalizer have in common: reading one text while another is written, with origins where they are
 * needed. The rules for origins are those of Hugging Face's NormalizedString.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "text/normalizer/normalizer_stages.h"

/* Origins of n bytes of text whose first code point is `first`; returns that of the code point behind. */
static uint32_t count_origins(uint32_t *origins, const unsigned char *bytes, size_t n, uint32_t first) {
    for (size_t i = 0; i < n; i++) {
        first += !tern__utf8_is_continuation(bytes[i]);
        origins[i] = first - 1;
    }
    return first;
}

bool tern__normalized_fill_origins(tern_normalized *normalized) {
    size_t n_origins = normalized->n_bytes + 1; /* one at least, so that origins that are needed are not NULL */
    if (!tern__grow(&normalized->origin_buffer, &normalized->origin_capacity, n_origins, sizeof *normalized->origin_buffer)) return false;
    normalized->origins = normalized->origin_buffer;
    count_origins(normalized->origin_buffer, normalized->bytes, normalized->n_bytes, normalized->first);
    return true;
}

tern_normalizing tern__normalizing_start(tern_normalized *out, const tern_normalized *in) {
    return (tern_normalizing){.out = out, .in = in, .counter = in->first, .last_origin = in->first | TERN_ORIGIN_EMPTY};
}

/* Room for n_bytes more, with origins when they are needed or there already. */
static bool reserve(tern_normalizing *work, size_t n_bytes, bool with_origins) {
    tern_normalized *out = work->out;
    if (out->origins) return tern__normalized_reserve(out, n_bytes, true);
    if (!with_origins && !work->in->origins) return tern__normalized_reserve(out, n_bytes, false);
    return tern__normalized_reserve(out, n_bytes, false) && tern__normalized_fill_origins(out) &&
           tern__normalized_reserve(out, n_bytes, true);
}

bool tern__normalizing_copy(tern_normalizing *work, size_t end) {
    const tern_normalized *in = work->in;
    tern_normalized *out = work->out;
    size_t n = end - work->at;
    if (n == 0) return true;
    if (!reserve(work, n, false)) return false;
    memcpy(out->byte_buffer + out->n_bytes, in->bytes + work->at, n);
    if (in->origins) memcpy(out->origin_buffer + out->n_bytes, in->origins + work->at, n * sizeof *in->origins);
    else if (out->origins) work->counter = count_origins(out->origin_buffer + out->n_bytes, in->bytes + work->at, n, work->counter);
    else work->counter += (uint32_t)tern__utf8_count(in->bytes + work->at, n);
    work->last_origin = in->origins ? in->origins[end - 1] : work->counter - 1;
    out->n_bytes += n;
    work->at = end;
    return true;
}

bool tern__normalizing_map_ascii(tern_normalizing *work, size_t end, const unsigned char table[128]) {
    size_t start = work->at, place = work->out->n_bytes;
    if (!tern__normalizing_copy(work, end)) return false;
    const unsigned char *in = work->in->bytes + start;
    unsigned char *out = work->out->byte_buffer + place;
    for (size_t i = 0; i < end - start; i++) out[i] = table[in[i]];
    return true;
}

static void read_to(tern_normalizing *work, size_t end) {
    const tern_normalized *in = work->in;
    if (!in->origins) work->counter += (uint32_t)tern__utf8_count(in->bytes + work->at, end - work->at);
    work->last_origin = in->origins ? in->origins[end - 1] : work->counter - 1;
    work->at = end;
}

bool tern__normalizing_drop(tern_normalizing *work, size_t end) {
    if (end == work->at) return true;
    if (!reserve(work, 0, true)) return false;
    read_to(work, end);
    return true;
}

bool tern__normalizing_put(tern_normalizing *work, uint32_t code_point, long change) {
    const tern_normalized *in = work->in;
    tern_normalized *out = work->out;
    if (!reserve(work, TERN_UNICODE_MAX_UTF8, change != 0)) return false;
    uint32_t origin = work->last_origin;
    size_t n = tern__utf8_encode(out->byte_buffer + out->n_bytes, code_point), end = work->at, length;
    if (change <= 0 && end < in->n_bytes) {
        origin = tern__normalizing_origin(work);
        for (long i = change; i <= 0 && end < in->n_bytes; i++, end += length) (void)tern__utf8_decode(in->bytes + end, &length);
        read_to(work, end);
    }
    if (out->origins)
        for (size_t i = 0; i < n; i++) out->origin_buffer[out->n_bytes + i] = origin;
    out->n_bytes += n;
    return true;
}

bool tern__normalizing_put_bytes(tern_normalizing *work, const unsigned char *bytes, size_t n_bytes, uint32_t origin) {
    tern_normalized *out = work->out;
    if (n_bytes == 0) return true;
    if (!reserve(work, n_bytes, true)) return false;
    memcpy(out->byte_buffer + out->n_bytes, bytes, n_bytes);
    for (size_t i = 0; i < n_bytes; i++) out->origin_buffer[out->n_bytes + i] = origin;
    out->n_bytes += n_bytes;
    return true;
}
