/* piece_trie.c - the double array is built from the top: the pieces that share a prefix are sorted by their next byte, which gives the
 * node's children, and each group goes on by itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/piece_trie.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define BLOCK     256u
#define OPEN_MAX  16 /* blocks in which a place is sought for siblings */
#define MAX_NODES ((size_t)1 << 31)

#define HEAD 16

typedef struct tern_trie_key {
    unsigned char head[HEAD]; /* its first bytes, so that the strings, which are all over memory, are seldom needed */
    uint32_t value;           /* index of the piece + 1 */
    uint32_t n_bytes;
    double score;
} tern_trie_key;

/* What is free in a block: bit i of `slots` for slot i, of `links` for the link block * 256 + i. */
typedef struct tern_trie_block {
    uint64_t slots[4], links[4];
    uint32_t index, n_free;
} tern_trie_block;

typedef struct tern_trie_builder {
    tern_piece_trie *trie;
    const tern_vocabulary *vocabulary;
    uint64_t *whole;
    double best_by_first[256];    /* the best score of the pieces that start with a byte */
    tern_trie_key *keys, *sorted; /* [n] each */
    tern_trie_block open[OPEN_MAX];
    size_t n_open;
} tern_trie_builder;

void tern__piece_trie_free(tern_piece_trie *trie) {
    free(trie->nodes);
    *trie = (tern_piece_trie){0};
}

static bool is_set(const uint64_t bits[4], unsigned i) { return bits[i / 64] >> i % 64 & 1; }
static void clear(uint64_t bits[4], unsigned i) { bits[i / 64] &= ~(UINT64_C(1) << i % 64); }

/* The first free slot from `from` on; BLOCK when there is none. */
static unsigned next_free(const tern_trie_block *block, unsigned from) {
    for (unsigned word = from / 64; word < 4; word++) {
        uint64_t bits = block->slots[word];
        if (word == from / 64) bits &= ~UINT64_C(0) << from % 64;
        if (bits) return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return BLOCK;
}

/* A new block takes the place of the fullest open one. NULL when memory is short. */
static tern_trie_block *open_block(tern_trie_builder *builder) {
    tern_piece_trie *trie = builder->trie;
    if (trie->n_nodes > MAX_NODES - BLOCK || !tern__grow(&trie->nodes, &trie->capacity, trie->n_nodes + BLOCK, sizeof *trie->nodes))
        return NULL;
    memset(trie->nodes + trie->n_nodes, 0, BLOCK * sizeof *trie->nodes);
    size_t place = builder->n_open;
    if (place == OPEN_MAX) {
        place = 0;
        for (size_t i = 1; i < OPEN_MAX; i++)
            if (builder->open[i].n_free < builder->open[place].n_free) place = i;
    } else {
        builder->n_open++;
    }
    tern_trie_block *block = &builder->open[place];
    memset(block, 0xFF, sizeof *block);
    block->index = (uint32_t)(trie->n_nodes / BLOCK);
    block->n_free = BLOCK;
    if (block->index == 0) clear(block->links, 0); /* the link of nodes without children */
    trie->n_nodes += BLOCK;
    return block;
}

static bool fits(const tern_trie_block *block, unsigned link, const unsigned char *labels, unsigned n_labels) {
    if (!is_set(block->links, link)) return false;
    for (unsigned i = 1; i < n_labels; i++)
        if (!is_set(block->slots, link ^ labels[i])) return false;
    return true;
}

#define TRIES_MAX 32 /* slots that are tried in a block */

/* A link in the block; BLOCK when none was found. */
static unsigned find_link(const tern_trie_block *block, const unsigned char *labels, unsigned n_labels) {
    if (block->n_free < n_labels) return BLOCK;
    unsigned slot = next_free(block, 0);
    for (unsigned i = 0; i < TRIES_MAX && slot < BLOCK; i++, slot = next_free(block, slot + 1))
        if (fits(block, slot ^ labels[0], labels, n_labels)) return slot ^ labels[0];
    return BLOCK;
}

/* A link for these children: in an open block, else in a new one. Their slots are taken. False when memory is short. */
static bool place_children(tern_trie_builder *builder, const unsigned char *labels, unsigned n_labels, uint32_t *link) {
    tern_trie_block *block = NULL;
    unsigned found = BLOCK;
    for (size_t b = builder->n_open; b-- > 0 && found == BLOCK;) {
        block = &builder->open[b];
        found = find_link(block, labels, n_labels);
    }
    if (found == BLOCK) {
        if (!(block = open_block(builder))) return false;
        found = block->index == 0; /* any but that of nodes without children */
    }
    for (unsigned i = 0; i < n_labels; i++) clear(block->slots, found ^ labels[i]);
    clear(block->links, found);
    block->n_free -= n_labels;
    *link = block->index * BLOCK + found;
    return true;
}

/* Pieces that share their first `depth` bytes, which lead to `node`. */
typedef struct tern_trie_range {
    size_t start, end;
    size_t depth;
    size_t node;  /* SIZE_MAX: the root, which is no node */
    double bound; /* no text of theirs that is cut where a piece ends among those bytes scores more; see is_whole */
} tern_trie_range;

/* The children of a node: the bytes, and where the keys of each start; starts[n] is the end. */
typedef struct tern_trie_children {
    unsigned n;
    unsigned char labels[256];
    size_t starts[257];
} tern_trie_children;

static inline unsigned char byte_of(const tern_trie_builder *builder, const tern_trie_key *key, size_t depth) {
    if (depth < HEAD) return key->head[depth];
    const tern_vocabulary *vocabulary = builder->vocabulary;
    return (unsigned char)vocabulary->strings[vocabulary->entries[key->value - 1].start + depth];
}

#define FEW_KEYS 24 /* are sorted by insertion */

static void sort_few(const tern_trie_builder *builder, tern_trie_key *keys, size_t n, size_t depth) {
    for (size_t i = 1; i < n; i++) {
        tern_trie_key key = keys[i];
        unsigned char byte = byte_of(builder, &key, depth);
        size_t at = i;
        for (; at > 0 && byte_of(builder, &keys[at - 1], depth) > byte; at--) keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static void sort_many(tern_trie_builder *builder, size_t start, size_t end, size_t depth) {
    size_t counts[256] = {0}, at = start;
    tern_trie_key *keys = builder->keys;
    for (size_t i = start; i < end; i++) counts[byte_of(builder, &keys[i], depth)]++;
    for (unsigned byte = 0; byte < 256; byte++) {
        size_t n = counts[byte];
        counts[byte] = at;
        at += n;
    }
    for (size_t i = start; i < end; i++) builder->sorted[counts[byte_of(builder, &keys[i], depth)]++] = keys[i];
    memcpy(keys + start, builder->sorted + start, (end - start) * sizeof *keys);
}

/* Sort the range by its next byte. */
static void find_children(tern_trie_children *out, tern_trie_builder *builder, size_t start, size_t end, size_t depth) {
    const tern_trie_key *keys = builder->keys;
    if (end - start <= FEW_KEYS) sort_few(builder, builder->keys + start, end - start, depth);
    else sort_many(builder, start, end, depth);
    out->n = 0;
    for (size_t i = start; i < end; i++) {
        unsigned char label = byte_of(builder, &keys[i], depth);
        if (out->n > 0 && label == out->labels[out->n - 1]) continue;
        out->labels[out->n] = label;
        out->starts[out->n++] = i;
    }
    out->starts[out->n] = end;
}

/* Cut into pieces, a text's first one is a piece that it starts with, and all others together score no more than the best that starts with
 * the byte behind. (Sums are rounded, but rounding keeps their order.) */
static void mark_whole(tern_trie_builder *builder, const tern_trie_key *key, double bound) {
    if (key->score > bound) builder->whole[(key->value - 1) / 64] |= UINT64_C(1) << (key->value - 1) % 64;
}

/* Take out the keys that end here; the last of them is the node's, *ended (its value 0: there is none). Returns where the others start. */
static size_t take_ended(tern_trie_builder *builder, const tern_trie_range *range, tern_trie_key *ended) {
    tern_trie_key *keys = builder->keys;
    size_t first = range->end;
    ended->value = 0;
    for (size_t i = range->end; i-- > range->start;) {
        if (keys[i].n_bytes != range->depth) {
            if (--first != i) keys[first] = keys[i];
        } else if (keys[i].value > ended->value) {
            *ended = keys[i];
        }
    }
    if (ended->value) {
        builder->trie->nodes[range->node].fields |= ended->value << TERN_TRIE_VALUE_SHIFT;
        builder->trie->nodes[range->node].score = ended->score;
        mark_whole(builder, ended, range->bound);
    }
    return first;
}

static bool set_children(tern_trie_builder *builder, size_t node, const unsigned char *labels, unsigned n_labels, uint32_t *link) {
    if (!place_children(builder, labels, n_labels, link)) return false;
    tern_trie_node *nodes = builder->trie->nodes;
    if (node == SIZE_MAX) builder->trie->root_link = *link;
    else nodes[node].link = *link;
    for (unsigned i = 0; i < n_labels; i++) nodes[*link ^ labels[i]].fields = labels[i] + 1u;
    return true;
}

/* The one piece that goes on from a node at which none ends. */
static void set_tail(tern_trie_builder *builder, const tern_trie_key *key, size_t depth, size_t node) {
    size_t n_rest = key->n_bytes - depth;
    uint32_t link = n_rest < 255 ? (uint32_t)n_rest : 255;
    for (size_t i = 0; i < 3 && i < n_rest; i++) link |= (uint32_t)byte_of(builder, key, depth + i) << (8 + 8 * i);
    tern_trie_node *to = &builder->trie->nodes[node];
    to->link = link;
    to->score = key->score;
    to->fields |= TERN_TRIE_TAIL | key->value << TERN_TRIE_VALUE_SHIFT;
}

static bool build(tern_trie_builder *builder, size_t n_keys) {
    tern_trie_children children;
    tern_trie_range *ranges = NULL, range = {.start = 0, .end = n_keys, .node = SIZE_MAX, .bound = -INFINITY};
    size_t n = 0, capacity = 0;
    bool is_done = n_keys == 0 || tern__grow(&ranges, &capacity, 1, sizeof *ranges);
    if (is_done && n_keys > 0) ranges[n++] = range;
    while (n > 0 && is_done) {
        range = ranges[--n];
        tern_trie_key ended = {.value = 0};
        size_t start = range.depth > 0 ? take_ended(builder, &range, &ended) : range.start;
        if (start == range.end) continue;
        if (range.end - start == 1 && start == range.start && range.depth > 0) {
            set_tail(builder, &builder->keys[start], range.depth, range.node);
            mark_whole(builder, &builder->keys[start], range.bound);
            continue;
        }
        uint32_t link;
        find_children(&children, builder, start, range.end, range.depth);
        is_done = set_children(builder, range.node, children.labels, children.n, &link) &&
                  tern__grow(&ranges, &capacity, n + children.n, sizeof *ranges);
        for (unsigned i = children.n; i-- > 0 && is_done;) {
            tern_trie_range *child = &ranges[n++];
            *child = (tern_trie_range){.start = children.starts[i], .end = children.starts[i + 1], .bound = range.bound};
            child->depth = range.depth + 1;
            child->node = link ^ children.labels[i];
            double cut = ended.value ? ended.score + builder->best_by_first[children.labels[i]] : -INFINITY;
            if (cut > child->bound) child->bound = cut;
        }
    }
    free(ranges);
    return is_done;
}

tern_status tern__piece_trie_build(tern_piece_trie *out, const tern_vocabulary *vocabulary, const double *scores, uint64_t *whole,
                                   tern_error *err) {
    size_t n = vocabulary->n_entries, n_keys = 0;
    if (n > TERN_TRIE_MAX_PIECES)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "a Unigram model of %zu pieces is not supported; at most %zu are", n,
                         TERN_TRIE_MAX_PIECES);
    tern_trie_builder builder = {.trie = out,
                                 .vocabulary = vocabulary,
                                 .whole = whole,
                                 .keys = tern__alloc(n, sizeof *builder.keys),
                                 .sorted = tern__alloc(n, sizeof *builder.keys)};
    bool is_done = builder.keys && builder.sorted;
    for (unsigned byte = 0; byte < 256; byte++) builder.best_by_first[byte] = -INFINITY;
    for (size_t i = 0; i < n && is_done; i++) {
        const tern_vocabulary_entry *entry = &vocabulary->entries[i];
        if (entry->n_bytes == 0) continue;
        tern_trie_key *key = &builder.keys[n_keys++];
        *key = (tern_trie_key){.value = (uint32_t)i + 1, .n_bytes = entry->n_bytes, .score = scores[i]};
        memcpy(key->head, tern__vocabulary_string(vocabulary, entry), entry->n_bytes < HEAD ? entry->n_bytes : HEAD);
        if (scores[i] > builder.best_by_first[key->head[0]]) builder.best_by_first[key->head[0]] = scores[i];
    }
    is_done = is_done && open_block(&builder) && build(&builder, n_keys);
    free(builder.keys);
    free(builder.sorted);
    return is_done ? TERN_OK : TERN_FAIL_MEMORY(err, n * 2 * sizeof *builder.keys);
}
