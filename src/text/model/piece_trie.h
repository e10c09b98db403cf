/* piece_trie.h - all pieces that a text starts with, found byte by byte: a double array whose children are placed by exclusive or, so that
 * a step is one look at one place.
 * Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure"; Yata et al. 2007, "A compact static
 * double-array keeping character codes".
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PIECE_TRIE_H
#define TERN_TEXT_PIECE_TRIE_H

#include "base/error.h"
#include "text/model/vocabulary.h"

/* The child of a node by `byte` is nodes[node.base ^ byte], if that node's label is byte + 1. No two nodes have the same base, except those
 * without children, whose base is 0. */
typedef struct tern_trie_node {
    uint32_t base;
    uint32_t label_and_value; /* label in the low 9 bits, 0: no node is here; above them the index of the piece that ends here + 1, or 0 */
} tern_trie_node;

#define TERN_TRIE_MAX_PIECES ((size_t)1 << 22)

/* Zeroed: nothing to free. */
typedef struct tern_piece_trie {
    tern_trie_node *nodes; /* whole blocks of 256 */
    size_t n_nodes, capacity;
    uint32_t root_base;
} tern_piece_trie;

/* All strings of the vocabulary but the empty one; a piece that is there twice has the later index. */
tern_status tern__piece_trie_build(tern_piece_trie *out, const tern_vocabulary *vocabulary, tern_error *err);
void tern__piece_trie_free(tern_piece_trie *trie);

/* Step from `base` on; false when no piece goes on so. *value: index + 1 of the piece that ends here, or 0. */
static inline bool tern__trie_step(const tern_piece_trie *trie, uint32_t *base, unsigned char byte, uint32_t *value) {
    tern_trie_node node = trie->nodes[*base ^ byte];
    if ((node.label_and_value & 0x1FF) != byte + 1u) return false;
    *base = node.base;
    *value = node.label_and_value >> 9;
    return true;
}

#endif
