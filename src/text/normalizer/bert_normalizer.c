/* bert_normalizer.c - BertNormalizer: clean the text, put spaces round Chinese characters, decompose and drop accents, lower case.
 * The four steps run as one pass over the code points. ASCII goes through a table; text that is all ASCII and loses nothing needs no
 * origins. Source: Hugging Face tokenizers, BertNormalizer; UAX #15 for the canonical ordering.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/memory.h"
#include "text/normalizer/normalizer_stages.h"

/* A code point that waits until the run of combining characters that it belongs to is complete and can be ordered. */
typedef struct tern_waiting {
    uint32_t code_point;
    unsigned char combining_class;
    bool is_first; /* of what its character decomposed to */
} tern_waiting;

/* `origins` are those of the waiting characters whose first code point waits, in the order of the text. Ordering moves code points but not
 * origins: the first code points take them in turn, and the others share the one taken last. */
typedef struct tern_bert_pass {
    tern_normalized *out;
    const tern_normalizer_stage *stage;
    tern_waiting *waiting;
    size_t n_waiting, waiting_capacity;
    uint32_t *origins;
    size_t n_origins, origins_capacity;
    uint32_t last_origin;
    tern_waiting *sorted; /* scratch of order_waiting */
    size_t sorted_capacity;
} tern_bert_pass;

/* The blocks that BERT's own code calls Chinese. */
static bool is_chinese(uint32_t c) {
    if (c < 0x3400) return false;
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool append(tern_normalized *out, uint32_t code_point, uint32_t origin) {
    if (!tern__normalized_reserve(out, TERN_UNICODE_MAX_UTF8, true)) return false;
    size_t n = tern__utf8_encode(out->byte_buffer + out->n_bytes, code_point);
    for (size_t i = 0; i < n; i++) out->origin_buffer[out->n_bytes + i] = origin;
    out->n_bytes += n;
    return true;
}

/* The steps after decomposition: drop nonspacing marks, lower case, write. */
static bool finish_code_point(tern_bert_pass *pass, uint32_t c, uint32_t origin) {
    unsigned flags = tern__unicode_find(c).flags;
    if (pass->stage->strip_accents && (flags & TERN_UNICODE_NONSPACING)) return true;
    if (!pass->stage->lowercase || !(flags & TERN_UNICODE_LOWERED)) return append(pass->out, c, origin);
    uint32_t lower[TERN_UNICODE_MAX_LOWER];
    size_t n = tern__unicode_lower(lower, c);
    for (size_t i = 0; i < n; i++)
        if (!append(pass->out, lower[i], origin)) return false;
    return true;
}

/* Stable, by combining class; runs are short in real text, and long ones must not take quadratic time. */
static bool order_waiting(tern_bert_pass *pass) {
    enum { SHORT_RUN = 16 };
    tern_waiting *waiting = pass->waiting;
    size_t n = pass->n_waiting;
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            tern_waiting moved = waiting[i];
            size_t j = i;
            for (; j > 0 && waiting[j - 1].combining_class > moved.combining_class; j--) waiting[j] = waiting[j - 1];
            waiting[j] = moved;
        }
        return true;
    }
    if (!tern__grow(&pass->sorted, &pass->sorted_capacity, n, sizeof *pass->sorted)) return false;
    size_t starts[257] = {0};
    for (size_t i = 0; i < n; i++) starts[waiting[i].combining_class + 1]++;
    for (size_t c = 1; c < 257; c++) starts[c] += starts[c - 1];
    for (size_t i = 0; i < n; i++) pass->sorted[starts[waiting[i].combining_class]++] = waiting[i];
    for (size_t i = 0; i < n; i++) waiting[i] = pass->sorted[i];
    return true;
}

static bool flush_waiting(tern_bert_pass *pass) {
    if (!order_waiting(pass)) return false;
    size_t next = 0;
    for (size_t i = 0; i < pass->n_waiting; i++) {
        if (pass->waiting[i].is_first) pass->last_origin = pass->origins[next++];
        if (!finish_code_point(pass, pass->waiting[i].code_point, pass->last_origin)) return false;
    }
    pass->n_waiting = pass->n_origins = 0;
    return true;
}

static bool wait_for_order(tern_bert_pass *pass, tern_waiting waiting, uint32_t origin) {
    if (!tern__grow(&pass->waiting, &pass->waiting_capacity, pass->n_waiting + 1, sizeof *pass->waiting)) return false;
    pass->waiting[pass->n_waiting++] = waiting;
    if (!waiting.is_first) return true;
    if (!tern__grow(&pass->origins, &pass->origins_capacity, pass->n_origins + 1, sizeof *pass->origins)) return false;
    pass->origins[pass->n_origins++] = origin;
    return true;
}

/* The steps from decomposition on. */
static bool decompose_code_point(tern_bert_pass *pass, uint32_t c, uint32_t origin) {
    if (!pass->stage->strip_accents) return finish_code_point(pass, c, origin);
    uint32_t parts[TERN_UNICODE_MAX_DECOMPOSITION];
    size_t n = tern__unicode_decompose(parts, c);
    for (size_t i = 0; i < n; i++) {
        unsigned char combining_class = tern__unicode_find(parts[i]).combining_class;
        if (combining_class != 0) {
            tern_waiting waiting = {.code_point = parts[i], .combining_class = combining_class, .is_first = i == 0};
            if (!wait_for_order(pass, waiting, origin)) return false;
            continue;
        }
        if (pass->n_waiting > 0 && !flush_waiting(pass)) return false;
        if (i == 0) pass->last_origin = origin;
        if (!finish_code_point(pass, parts[i], pass->last_origin)) return false;
    }
    return true;
}

static bool normalize_code_point(tern_bert_pass *pass, uint32_t c, uint32_t origin) {
    if (pass->stage->clean_text) {
        unsigned flags = tern__unicode_find(c).flags;
        if (flags & TERN_UNICODE_DROPPED) return true;
        if (flags & TERN_UNICODE_SPACE) c = ' ';
    }
    if (!pass->stage->handle_chinese_chars || !is_chinese(c)) return decompose_code_point(pass, c, origin);
    return decompose_code_point(pass, ' ', origin) && decompose_code_point(pass, c, origin) && decompose_code_point(pass, ' ', origin);
}

/* All ASCII: false when a character is dropped, so that origins are needed after all. Room for n_bytes is there. */
static bool normalize_ascii(unsigned char *out, const tern_normalizer_stage *stage, const unsigned char *text, size_t n_bytes) {
    unsigned char seen = 0;
    for (size_t i = 0; i < n_bytes; i++) seen |= out[i] = stage->ascii[text[i]];
    return seen < 0x80;
}

/* A character that no step changes: as it is, or as a Chinese one of the main block, with spaces round it. *is_written: it was one. */
static bool write_unchanged(tern_bert_pass *pass, uint32_t c, const unsigned char *text, size_t length, uint32_t origin, bool *is_written) {
    static const unsigned changed =
        TERN_UNICODE_DROPPED | TERN_UNICODE_SPACE | TERN_UNICODE_NONSPACING | TERN_UNICODE_LOWERED | TERN_UNICODE_MARK;
    tern_normalized *out = pass->out;
    bool is_han = c >= 0x4E00 && c <= 0x9FFF;
    if (!is_han) {
        tern_unicode_record record = tern__unicode_find(c);
        *is_written = !(record.flags & changed) && !(record.forms & TERN_UNICODE_NFD) && !is_chinese(c);
        if (!*is_written) return true;
    }
    *is_written = true;
    if ((pass->n_waiting > 0 && !flush_waiting(pass)) || !tern__normalized_reserve(out, length + 2, true)) return false;
    pass->last_origin = origin;
    unsigned char *to = out->byte_buffer + out->n_bytes;
    size_t n = 0;
    bool is_spaced = is_han && pass->stage->handle_chinese_chars;
    if (is_spaced) to[n++] = ' ';
    for (size_t i = 0; i < length; i++) to[n++] = text[i];
    if (is_spaced) to[n++] = ' ';
    for (size_t i = 0; i < n; i++) out->origin_buffer[out->n_bytes + i] = origin;
    out->n_bytes += n;
    return true;
}

static bool normalize_any(tern_bert_pass *pass, const tern_normalized *in) {
    tern_normalized *out = pass->out;
    const unsigned char *text = in->bytes;
    uint32_t counter = in->first;
    for (size_t i = 0; i < in->n_bytes;) {
        size_t n_ascii = tern__ascii_prefix(text + i, in->n_bytes - i);
        if (n_ascii > 0) {
            size_t end = i + n_ascii;
            for (; i < end && pass->stage->ascii[text[i]] == TERN_ASCII_DROPPED; i++) counter++;
            if (i < end && pass->n_waiting > 0 && !flush_waiting(pass)) return false;
            if (!tern__normalized_reserve(out, n_ascii, true)) return false;
            for (; i < end; i++, counter++) {
                unsigned char to = pass->stage->ascii[text[i]];
                if (to == TERN_ASCII_DROPPED) continue;
                out->byte_buffer[out->n_bytes] = to;
                out->origin_buffer[out->n_bytes++] = in->origins ? in->origins[i] : counter;
            }
        } else {
            size_t length;
            uint32_t c = tern__utf8_decode(text + i, &length);
            uint32_t origin = in->origins ? in->origins[i] : counter;
            bool is_written;
            if (!write_unchanged(pass, c, text + i, length, origin, &is_written)) return false;
            if (!is_written && !normalize_code_point(pass, c, origin)) return false;
            counter++;
            i += length;
        }
    }
    return flush_waiting(pass);
}

tern_status tern__normalize_bert(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                 tern_error *err) {
    *is_changed = true;
    if (!tern__normalized_reserve(out, in->n_bytes, false)) return TERN_FAIL_NORMALIZED(err, in);
    if (!in->origins && tern__ascii_prefix(in->bytes, in->n_bytes) == in->n_bytes &&
        normalize_ascii(out->byte_buffer, stage, in->bytes, in->n_bytes)) {
        out->n_bytes = in->n_bytes;
        return TERN_OK;
    }
    tern_bert_pass pass = {.out = out, .stage = stage};
    bool is_done = tern__normalized_reserve(out, in->n_bytes, true) && normalize_any(&pass, in);
    free(pass.waiting);
    free(pass.origins);
    free(pass.sorted);
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}
