/* grapheme.c - where a grapheme cluster ends: what a reader sees as one character.
 * Source: Unicode Standard Annex #29, rules GB3 to GB999 for extended grapheme clusters (with GB9c, conjuncts of Indic scripts).
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/unicode.h"

/* What the rules need to know of the cluster so far. */
typedef struct tern_cluster {
    unsigned last;      /* class of the last code point */
    bool is_odd_flag;   /* an odd number of regional indicators stands at the end: GB12, GB13 */
    bool is_pictograph; /* ends in a pictograph and what extends it, before the last code point: GB11 */
    bool has_consonant; /* ends in a consonant and what extends it: GB9c */
    bool has_linker;    /* and a linker is among that */
} tern_cluster;

static void add_to_cluster(tern_cluster *cluster, unsigned next) {
    bool is_extend = next == TERN_GRAPHEME_EXTEND || next == TERN_GRAPHEME_EXTEND_ONLY || next == TERN_GRAPHEME_LINKER;
    cluster->is_odd_flag = next == TERN_GRAPHEME_REGIONAL && !cluster->is_odd_flag;
    cluster->is_pictograph = next == TERN_GRAPHEME_PICTOGRAPHIC ||
                             (cluster->is_pictograph && cluster->last != TERN_GRAPHEME_ZWJ && (is_extend || next == TERN_GRAPHEME_ZWJ));
    bool keeps_conjunct = next == TERN_GRAPHEME_EXTEND || next == TERN_GRAPHEME_LINKER || next == TERN_GRAPHEME_ZWJ;
    cluster->has_linker = cluster->has_consonant && keeps_conjunct && (cluster->has_linker || next == TERN_GRAPHEME_LINKER);
    cluster->has_consonant = next == TERN_GRAPHEME_CONSONANT || (cluster->has_consonant && keeps_conjunct);
    cluster->last = next;
}

static bool is_joined(const tern_cluster *cluster, unsigned next) {
    switch (cluster->last) {
    case TERN_GRAPHEME_CR:
        return next == TERN_GRAPHEME_LF; /* GB3, GB4 */
    case TERN_GRAPHEME_LF:
    case TERN_GRAPHEME_CONTROL:
        return false; /* GB4 */
    case TERN_GRAPHEME_L:
        if (next == TERN_GRAPHEME_L || next == TERN_GRAPHEME_V || next == TERN_GRAPHEME_LV || next == TERN_GRAPHEME_LVT)
            return true; /* GB6 */
        break;
    case TERN_GRAPHEME_LV:
    case TERN_GRAPHEME_V:
        if (next == TERN_GRAPHEME_V || next == TERN_GRAPHEME_T) return true; /* GB7 */
        break;
    case TERN_GRAPHEME_LVT:
    case TERN_GRAPHEME_T:
        if (next == TERN_GRAPHEME_T) return true; /* GB8 */
        break;
    }
    switch (next) {
    case TERN_GRAPHEME_CR:
    case TERN_GRAPHEME_LF:
    case TERN_GRAPHEME_CONTROL:
        return false; /* GB5 */
    case TERN_GRAPHEME_EXTEND:
    case TERN_GRAPHEME_EXTEND_ONLY:
    case TERN_GRAPHEME_LINKER:
    case TERN_GRAPHEME_ZWJ:
    case TERN_GRAPHEME_SPACING:
        return true; /* GB9, GB9a */
    }
    if (cluster->last == TERN_GRAPHEME_PREPEND) return true;                                                     /* GB9b */
    if (next == TERN_GRAPHEME_CONSONANT && cluster->has_linker) return true;                                     /* GB9c */
    if (next == TERN_GRAPHEME_PICTOGRAPHIC) return cluster->is_pictograph && cluster->last == TERN_GRAPHEME_ZWJ; /* GB11 */
    return next == TERN_GRAPHEME_REGIONAL && cluster->is_odd_flag;                                               /* GB12, GB13, GB999 */
}

size_t tern__grapheme_cluster(const unsigned char *text, size_t n_bytes, const unsigned char *classes) {
    tern_cluster cluster = {0};
    size_t i, length;
    add_to_cluster(&cluster, classes[tern__utf8_decode(text, &i)] % TERN_GRAPHEME_CLASSES);
    for (; i < n_bytes; i += length) {
        unsigned next = classes[tern__utf8_decode(text + i, &length)] % TERN_GRAPHEME_CLASSES;
        if (!is_joined(&cluster, next)) break;
        add_to_cluster(&cluster, next);
    }
    return i;
}
