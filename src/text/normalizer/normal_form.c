/* normal_form.c - the normal forms NFC, NFD, NFKC and NFKD. Most text is in its form already: only what stands between two code points that
 * no form touches is taken apart.
 * Source: Unicode Standard Annex #15.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/memory.h"
#include "text/normalizer/normalizer_stages.h"

/* A code point of a stretch that is taken apart. */
typedef struct tern_form_part {
    uint32_t code_point;
    int32_t change; /* of tern__normalizing_put */
    unsigned char combining_class;
} tern_form_part;

typedef struct tern_form_parts {
    tern_form_part *items, *sorted; /* sorted: scratch */
    size_t n, capacity, sorted_capacity;
} tern_form_parts;

static bool decompose(tern_form_parts *parts, uint32_t c, bool is_compatible) {
    uint32_t to[TERN_UNICODE_MAX_COMPATIBLE];
    size_t n = is_compatible ? tern__unicode_decompose_compatible(to, c) : tern__unicode_decompose(to, c);
    if (parts->capacity - parts->n < n && !tern__grow(&parts->items, &parts->capacity, parts->n + n, sizeof *parts->items)) return false;
    for (size_t i = 0; i < n; i++)
        parts->items[parts->n++] =
            (tern_form_part){.code_point = to[i], .change = i > 0, .combining_class = tern__unicode_find(to[i]).combining_class};
    return true;
}

/* Stable, by combining class. Runs are short in real text, and long ones must not take quadratic time. */
static bool order_run(tern_form_parts *parts, size_t start, size_t n) {
    enum { SHORT_RUN = 16 };
    tern_form_part *run = parts->items + start;
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            tern_form_part moved = run[i];
            size_t j = i;
            for (; j > 0 && run[j - 1].combining_class > moved.combining_class; j--) run[j] = run[j - 1];
            run[j] = moved;
        }
        return true;
    }
    if (!tern__grow(&parts->sorted, &parts->sorted_capacity, n, sizeof *parts->sorted)) return false;
    size_t starts[257] = {0};
    for (size_t i = 0; i < n; i++) starts[run[i].combining_class + 1]++;
    for (size_t c = 1; c < 257; c++) starts[c] += starts[c - 1];
    for (size_t i = 0; i < n; i++) parts->sorted[starts[run[i].combining_class]++] = run[i];
    for (size_t i = 0; i < n; i++) run[i] = parts->sorted[i];
    return true;
}

static bool order(tern_form_parts *parts) {
    for (size_t i = 0; i < parts->n; i++) {
        size_t start = i;
        while (i < parts->n && parts->items[i].combining_class != 0) i++;
        if (i - start > 1 && !order_run(parts, start, i - start)) return false;
    }
    return true;
}

/* A part joins the last starter when nothing of its class or above, and no starter, stands between. */
static void compose(tern_form_parts *parts) {
    size_t n = 0;
    tern_form_part *starter = NULL;
    for (size_t i = 0; i < parts->n; i++) {
        tern_form_part part = parts->items[i], *last = n > 0 ? &parts->items[n - 1] : NULL;
        bool is_blocked = !starter || (last != starter && last->combining_class >= part.combining_class);
        uint32_t composed = is_blocked ? 0 : tern__unicode_compose(starter->code_point, part.code_point);
        if (composed != 0) {
            starter->code_point = composed;
            starter->change += part.change - 1;
            continue;
        }
        parts->items[n] = part;
        if (part.combining_class == 0) starter = &parts->items[n];
        n++;
    }
    parts->n = n;
}

/* From work->at on, up to the first code point behind byte `touched` that the form does not touch. */
static bool normalize_stretch(tern_normalizing *work, tern_form_parts *parts, tern_unicode_form form, size_t touched) {
    const tern_normalized *in = work->in;
    bool is_compatible = form & (TERN_UNICODE_NFKC | TERN_UNICODE_NFKD);
    parts->n = 0;
    for (size_t i = work->at, length; i < in->n_bytes; i += length) {
        uint32_t c = tern__utf8_decode(in->bytes + i, &length);
        if (i > touched && !(tern__unicode_find(c).forms & form)) break;
        if (!decompose(parts, c, is_compatible)) return false;
    }
    if (!order(parts)) return false;
    if (form & (TERN_UNICODE_NFC | TERN_UNICODE_NFKC)) compose(parts);
    for (size_t i = 0; i < parts->n; i++)
        if (!tern__normalizing_put(work, parts->items[i].code_point, parts->items[i].change)) return false;
    return true;
}

/* No form touches Latin characters below the first that it does, or Han characters of the main block. */
static bool is_touched(uint32_t c, tern_unicode_form form) {
    uint32_t first = form == TERN_UNICODE_NFC ? 0x300 : form == TERN_UNICODE_NFD ? 0xC0 : 0xA0;
    if (c < first || (c >= 0x4E00 && c <= 0x9FFF)) return false;
    return tern__unicode_find(c).forms & form;
}

/* The first character from byte `i` on that the form may touch; *start is where the one before it starts, from `i` on. */
static size_t find_touched(const tern_normalized *in, size_t i, tern_unicode_form form, size_t *start) {
    const unsigned char *bytes = in->bytes;
    size_t last = i;
    while (i < in->n_bytes) {
        if (bytes[i] < 0x80) {
            i += tern__ascii_prefix(bytes + i, in->n_bytes - i);
            last = i - 1;
            continue;
        }
        size_t length;
        if (is_touched(tern__utf8_decode(bytes + i, &length), form)) break;
        last = i;
        i += length;
    }
    *start = last;
    return i;
}

tern_status tern__normalize_form(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                 tern_error *err) {
    size_t start, touched = find_touched(in, 0, stage->form, &start);
    *is_changed = touched < in->n_bytes;
    if (!*is_changed) return TERN_OK;
    tern_normalizing work = tern__normalizing_start(out, in);
    tern_form_parts parts = {0};
    bool is_done = tern__normalized_reserve(out, in->n_bytes, false);
    while (is_done && work.at < in->n_bytes) {
        is_done = tern__normalizing_copy(&work, start) && (start == in->n_bytes || normalize_stretch(&work, &parts, stage->form, touched));
        touched = find_touched(in, work.at, stage->form, &start);
        if (touched == in->n_bytes) start = touched;
    }
    free(parts.items);
    free(parts.sorted);
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}
