/* piece_trie.h - all pieces that a text starts with, found byte by byte: a double array whose children are placed by exclusive or, so that
 * a step is one look at one place.
 * Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure"; Yata et al. 2007, "A compact static
 * double-array keeping character codes".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PIECE_TRIE_H
#define TERN_TEXT_PIECE_TRIE_H

#include <string.h>

#include "base/error.h"
#include "text/model/vocabulary.h"

/* The child of a node by `byte` is nodes[node.link ^ byte], if that node's label is byte + 1. No two nodes have the same link, except those
 * without children, whose link is 0.
 * A node whose way on is one piece's alone is a tail: `link` then has the length of the rest of that piece (255: or more) in its low byte
 * and the rest's first three bytes above, so that most of what does not match is told at once. */
typedef struct tern_trie_node {
    uint32_t link;
    uint32_t fields; /* bits 0..8: label, 0: no node is here; 9: a tail; 10..31: index of the piece that ends here, or of the tail's + 1 */
    double score;    /* of that piece: in the place where it is needed, not one more away */
} tern_trie_node;

#define TERN_TRIE_LABEL       0x1FFu
#define TERN_TRIE_TAIL        0x200u
#define TERN_TRIE_VALUE_SHIFT 10
#define TERN_TRIE_MAX_PIECES  (((size_t)1 << 22) - 2)

/* Zeroed: nothing to free. */
typedef struct tern_piece_trie {
    tern_trie_node *nodes; /* whole blocks of 256 */
    size_t n_nodes, capacity;
    uint32_t root_link;
} tern_piece_trie;

/* All strings of the vocabulary but the empty one; a piece that is there twice has the later index.
 * scores  [n_entries], of the pieces, none above 0
 * whole   [n_entries / 64 + 1], zeroed: a bit is set for each piece that scores more than any two or more pieces that make up its text */
tern_status tern__piece_trie_build(tern_piece_trie *out, const tern_vocabulary *vocabulary, const double *scores, uint64_t *whole,
                                   tern_error *err);
void tern__piece_trie_free(tern_piece_trie *trie);

/* Whether `text` goes on with the rest of a tail's piece, whose first `depth` bytes have been read; *n_rest is its length. */
static inline bool tern__trie_match_tail(tern_trie_node node, const tern_vocabulary *vocabulary, size_t depth, const unsigned char *text,
                                         size_t n_bytes, size_t *n_rest) {
    size_t n = node.link & 0xFF;
    if (n == 255) n = vocabulary->entries[(node.fields >> TERN_TRIE_VALUE_SHIFT) - 1].n_bytes - depth;
    if (n > n_bytes || text[0] != (node.link >> 8 & 0xFF)) return false; /* a rest has at least one byte */
    if (n > 1 && text[1] != (node.link >> 16 & 0xFF)) return false;
    if (n > 2 && text[2] != node.link >> 24) return false;
    *n_rest = n;
    if (n <= 3) return true;
    const tern_vocabulary_entry *entry = &vocabulary->entries[(node.fields >> TERN_TRIE_VALUE_SHIFT) - 1];
    return memcmp(text + 3, vocabulary->strings + entry->start + depth + 3, n - 3) == 0;
}

#endif
