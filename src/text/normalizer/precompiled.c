/* precompiled.c - SentencePiece's charsmap: a double-array trie over the bytes of what is replaced, and the texts it is replaced by.
 *
 * A grapheme cluster of less than six bytes is looked up whole, and of all keys it begins with the shortest wins and stands for all of the
 * cluster; else its characters are looked up one by one. That is what Hugging Face's library does, and not what SentencePiece does. A table
 * of all code points tells which ones stay as they are and stand alone, so that most text is copied in runs.
 * Source: Hugging Face's crate spm_precompiled; S. Yata's Darts-clone for the trie.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/normalizer/normalizer_stages.h"

#define CODE_POINTS 0x110000
/* Of classes[], over the tern_grapheme_class in the low bits. */
#define MAPPED 0x40 /* a key is a prefix of it */
#define PLAIN  0x80 /* not mapped, and no part of a cluster of more characters when what is before it and behind it is plain too */

/* The longest cluster that is looked up whole, in bytes. */
#define CLUSTER_MAX 5

struct tern_charsmap {
    uint32_t *units;
    size_t n_units;
    unsigned char *texts; /* each ended by a NUL, or by the end */
    size_t n_texts;
    bool is_printable_plain; /* all of 0x20 ... 0x7E are PLAIN */
    unsigned char classes[CODE_POINTS];
};

/* A unit has a label in bits 0-7 (and 31), a flag that a value follows in bit 8, an offset in bits 10-30, times 256 with bit 9. A value has
 * bit 31, which is not part of it. */
static size_t unit_offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6); }

static size_t root_of(const tern_charsmap *map) { return map->n_units > 0 ? unit_offset(map->units[0]) : 0; }

/* From the place of a node's children to that of the child's; false when there is none. */
static bool find_child(const tern_charsmap *map, size_t *at, unsigned char label, bool *has_value) {
    size_t child = *at ^ label;
    if (child >= map->n_units) return false;
    uint32_t unit = map->units[child];
    if ((unit & ((1u << 31) | 0xFF)) != label) return false;
    *at = child ^ unit_offset(unit);
    *has_value = unit >> 8 & 1 && *at < map->n_units;
    return true;
}

/* The text of the shortest key that `bytes` begin with; NULL: no key. */
static const unsigned char *find_prefix(const tern_charsmap *map, const unsigned char *bytes, size_t n_bytes, size_t *n_text) {
    size_t at = root_of(map);
    bool has_value;
    for (size_t i = 0; i < n_bytes && bytes[i] != 0 && find_child(map, &at, bytes[i], &has_value); i++) {
        if (!has_value) continue;
        size_t start = map->units[at] & 0x7FFFFFFF;
        if (start > map->n_texts || (start < map->n_texts && tern__utf8_is_continuation(map->texts[start]))) start = map->n_texts;
        const unsigned char *text = map->texts + start, *end = memchr(text, 0, map->n_texts - start);
        *n_text = end ? (size_t)(end - text) : map->n_texts - start;
        return text;
    }
    return NULL;
}

/* ---- Reading ---- */

#define NO_BASE64 64

static void make_base64_table(unsigned char values[256]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(values, NO_BASE64, 256);
    for (unsigned char i = 0; i < 64; i++) values[(unsigned char)digits[i]] = i;
}

/* Bytes written; SIZE_MAX when it is not base64 with its padding. Room for 3 bytes per 4 characters is there. */
static size_t decode_base64(unsigned char *out, tern_text text) {
    unsigned char values[256];
    if (text.bytes % 4 != 0) return SIZE_MAX;
    make_base64_table(values);
    size_t n = 0;
    for (size_t i = 0; i < text.bytes; i += 4) {
        const char *four = text.data + i;
        bool is_last = i + 4 == text.bytes;
        int padding = is_last && four[3] == '=' ? 1 + (four[2] == '=') : 0;
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            unsigned value = k >= 4 - padding ? 0 : values[(unsigned char)four[k]];
            if (value == NO_BASE64) return SIZE_MAX;
            bits = bits << 6 | value;
        }
        if (bits & ((1u << 8 * padding) - 1)) return SIZE_MAX;
        for (int k = 0; k < 3 - padding; k++) out[n++] = (unsigned char)(bits >> (16 - 8 * k));
    }
    return n;
}

static uint32_t read_u32(const unsigned char *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Code points first ... last, of which the first `n` bytes are the path to a trie's node. */
static void mark_mapped(tern_charsmap *map, uint32_t first, uint32_t last) {
    for (uint32_t c = first; c <= last && c < CODE_POINTS; c++) map->classes[c] = (unsigned char)((map->classes[c] & ~PLAIN) | MAPPED);
}

/* Below a node on the path of a character's bytes, n_more of which follow; `c` has the bits of those that are there. */
static void mark_below(tern_charsmap *map, size_t at, uint32_t c, int n_more) {
    for (unsigned byte = 0x80; byte < 0xC0; byte++) {
        size_t child = at;
        bool has_value;
        if (!find_child(map, &child, (unsigned char)byte, &has_value)) continue;
        uint32_t next = c << 6 | (byte & 0x3F);
        if (has_value) mark_mapped(map, next << 6 * (n_more - 1), ((next + 1) << 6 * (n_more - 1)) - 1);
        else if (n_more > 1) mark_below(map, child, next, n_more - 1);
    }
}

static void mark_all(tern_charsmap *map) {
    for (unsigned byte = 1; byte < 0xF5; byte++) {
        size_t child = root_of(map);
        bool has_value;
        int n_more = byte < 0x80 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
        if ((byte >= 0x80 && byte < 0xC2) || !find_child(map, &child, (unsigned char)byte, &has_value)) continue;
        uint32_t c = n_more == 0 ? byte : byte & (0x3Fu >> n_more);
        if (has_value) mark_mapped(map, c << 6 * n_more, ((c + 1) << 6 * n_more) - 1);
        else if (n_more > 0) mark_below(map, child, c, n_more);
    }
}

/* Two characters of these classes are two clusters. */
static bool is_alone(unsigned grapheme_class) {
    switch (grapheme_class) {
    case TERN_GRAPHEME_OTHER:
    case TERN_GRAPHEME_CONTROL:
    case TERN_GRAPHEME_LV:
    case TERN_GRAPHEME_LVT:
    case TERN_GRAPHEME_PICTOGRAPHIC:
    case TERN_GRAPHEME_CONSONANT:
        return true;
    }
    return false;
}

static void classify(tern_charsmap *map) {
    unsigned char plain_other = PLAIN | TERN_GRAPHEME_OTHER, first_classes[TERN_GRAPHEME_CLASSES];
    memset(map->classes, plain_other, sizeof map->classes);
    for (unsigned i = 0; i < TERN_GRAPHEME_CLASSES; i++) first_classes[i] = (unsigned char)(is_alone(i) ? i | PLAIN : i);
    tern__unicode_grapheme_classes(map->classes, first_classes);
    mark_all(map);
    map->is_printable_plain = true;
    for (unsigned c = 0x20; c < 0x7F; c++) map->is_printable_plain = map->is_printable_plain && map->classes[c] & PLAIN;
}

void tern__charsmap_free(tern_charsmap *map) {
    if (!map) return;
    free(map->units);
    free(map->texts);
    free(map);
}

static tern_status fail_charsmap(tern_json_place place, const char *what, tern_error *err) {
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s %s: \"precompiled_charsmap\" %s", place.file, place.part, place.type, what);
}

/* Bytes of the trie, little-endian, the trie, the texts. */
static tern_status split_charsmap(tern_charsmap *map, const unsigned char *bytes, size_t n, tern_json_place place, tern_error *err) {
    if (n < 4) return fail_charsmap(place, "is too short", err);
    size_t trie_bytes = read_u32(bytes);
    map->n_units = trie_bytes / 4;
    if (map->n_units * 4 > n - 4) return fail_charsmap(place, "is shorter than its trie", err);
    if (map->n_units == 0) return fail_charsmap(place, "has no trie", err);
    map->n_texts = n - 4 - map->n_units * 4;
    const unsigned char *texts = bytes + 4 + map->n_units * 4;
    if (tern__utf8_valid_prefix(texts, map->n_texts) != map->n_texts) return fail_charsmap(place, "has a text that is not UTF-8", err);
    map->units = tern__alloc(map->n_units, sizeof *map->units);
    map->texts = tern__alloc(map->n_texts, 1);
    if (!map->units || !map->texts) return TERN_FAIL_MEMORY(err, n);
    for (size_t i = 0; i < map->n_units; i++) map->units[i] = read_u32(bytes + 4 + 4 * i);
    memcpy(map->texts, texts, map->n_texts);
    return TERN_OK;
}

tern_status tern__charsmap_read(tern_charsmap **out, tern_text base64, tern_json_place place, tern_error *err) {
    *out = NULL;
    tern_charsmap *map = calloc(1, sizeof *map);
    unsigned char *bytes = tern__alloc(base64.bytes / 4 + 1, 3);
    tern_status status = map && bytes ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof *map + base64.bytes);
    size_t n = status == TERN_OK ? decode_base64(bytes, base64) : 0;
    if (status == TERN_OK) status = n == SIZE_MAX ? fail_charsmap(place, "is not base64", err) : split_charsmap(map, bytes, n, place, err);
    free(bytes);
    if (status != TERN_OK) return tern__charsmap_free(map), status;
    classify(map);
    *out = map;
    return TERN_OK;
}

/* ---- Running ---- */

/* The code point written last waits, since what is removed behind it is counted to it. */
typedef struct tern_precompiling {
    tern_normalizing work;
    const tern_charsmap *map;
    size_t kept; /* byte of the text from which on nothing is written yet, since nothing changes */
    bool is_changed;
    bool has_last;
    uint32_t last;
    long change;
} tern_precompiling;

static bool flush_last(tern_precompiling *pass) {
    if (!pass->has_last) return true;
    pass->has_last = false;
    return tern__normalizing_put(&pass->work, pass->last, pass->change);
}

static bool push_code_point(tern_precompiling *pass, uint32_t c, long change) {
    if (!flush_last(pass)) return false;
    pass->has_last = true;
    pass->last = c;
    pass->change = change;
    return true;
}

/* What does not change, up to byte `end`. It is read where it stands, or where the places are off, further to the left. */
static bool flush_kept(tern_precompiling *pass, size_t end) {
    const unsigned char *bytes = pass->work.in->bytes;
    size_t i = pass->kept, length;
    if (i == end) return true;
    if (!flush_last(pass)) return false;
    if (pass->work.at == i) {
        i = end - 1;
        while (tern__utf8_is_continuation(bytes[i])) i--;
        if (!tern__normalizing_copy(&pass->work, i)) return false;
    }
    for (; i < end; i += length)
        if (!push_code_point(pass, tern__utf8_decode(bytes + i, &length), 0)) return false;
    return true;
}

/* Bytes [start, end) become a text. Of its code points those too many are insertions, and those too few are taken by the last one, be it
 * from before; when there is none before, the places of all that follows are off by as much. */
static bool replace_bytes(tern_precompiling *pass, size_t start, size_t end, const unsigned char *text, size_t n_text) {
    size_t n_old = tern__utf8_count(pass->work.in->bytes + start, end - start), n_new = 0, length;
    if (!flush_kept(pass, start)) return false;
    pass->is_changed = true;
    pass->kept = end;
    for (size_t i = 0; i < n_text; i += length, n_new++)
        if (!push_code_point(pass, tern__utf8_decode(text + i, &length), n_new >= n_old)) return false;
    if (n_new < n_old && pass->has_last) pass->change -= (long)(n_old - n_new);
    return true;
}

static bool normalize_cluster(tern_precompiling *pass, size_t start, size_t end) {
    const unsigned char *bytes = pass->work.in->bytes, *text;
    size_t n_text, length;
    if (end - start <= CLUSTER_MAX) {
        text = find_prefix(pass->map, bytes + start, end - start, &n_text);
        if (text) return replace_bytes(pass, start, end, text, n_text);
    }
    for (size_t i = start; i < end; i += length) {
        if (!(pass->map->classes[tern__utf8_decode(bytes + i, &length)] & MAPPED)) continue;
        text = find_prefix(pass->map, bytes + i, length, &n_text);
        if (text && !replace_bytes(pass, i, i + length, text, n_text)) return false;
    }
    return true;
}

/* Bytes at the start that are 0x20 ... 0x7E, eight at a time. Such a byte has no high bit, nor has it after 0x20 is taken or 1 is added. */
static size_t printable_prefix(const unsigned char *bytes, size_t n) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (uint64_t word; n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        if ((word | (word - 0x20 * ones) | (word + ones)) & 0x80 * ones) break;
    }
    return i;
}

/* Where the next cluster starts that is not plain. A plain character before what may join it is not passed. */
static size_t plain_end(const tern_charsmap *map, const unsigned char *bytes, size_t i, size_t end) {
    size_t last = i, length;
    for (;;) {
        if (map->is_printable_plain && bytes[i < end ? i : 0] < 0x80) {
            size_t n = printable_prefix(bytes + i, end - i);
            if (n > 0) last = (i += n) - 1;
        }
        while (i < end && bytes[i] < 0x80 && map->classes[bytes[i]] & PLAIN) last = i++;
        if (i == end) return i;
        unsigned found = map->classes[tern__utf8_decode(bytes + i, &length)];
        if (!(found & PLAIN)) {
            found %= TERN_GRAPHEME_CLASSES;
            return is_alone(found) || found == TERN_GRAPHEME_CR || found == TERN_GRAPHEME_LF ? i : last;
        }
        last = i;
        i += length;
    }
}

/* Most often a character alone, with another behind it. */
static size_t cluster_bytes(const tern_charsmap *map, const unsigned char *bytes, size_t n) {
    size_t length, next;
    if (is_alone(map->classes[tern__utf8_decode(bytes, &length)] % TERN_GRAPHEME_CLASSES) &&
        (length == n || is_alone(map->classes[tern__utf8_decode(bytes + length, &next)] % TERN_GRAPHEME_CLASSES)))
        return length;
    return tern__grapheme_cluster(bytes, n, map->classes);
}

static bool normalize_clusters(tern_precompiling *pass) {
    const tern_normalized *in = pass->work.in;
    for (size_t i = 0; (i = plain_end(pass->map, in->bytes, i, in->n_bytes)) < in->n_bytes;) {
        size_t end = i + cluster_bytes(pass->map, in->bytes + i, in->n_bytes - i);
        if (!normalize_cluster(pass, i, end)) return false;
        i = end;
    }
    return !pass->is_changed || (flush_kept(pass, in->n_bytes) && flush_last(pass));
}

tern_status tern__normalize_precompiled(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage,
                                        bool *is_changed, tern_error *err) {
    tern_precompiling pass = {.work = tern__normalizing_start(out, in), .map = stage->charsmap};
    bool is_done = normalize_clusters(&pass);
    *is_changed = pass.is_changed;
    return is_done ? TERN_OK : TERN_FAIL_NORMALIZED(err, in);
}
