/* bpe_words.c - which short words of a vocabulary come out as one token, known before the first text.
 *
 * With merges as training makes them, each token is made by one merge, of tokens that stand before it in the list; so merges happen in the
 * order of their ranks, and what stands on either side of a junction at any time follows from how the two sides were made. A token whose
 * two parts come out as one token each does so itself when no merge across its junction comes first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/model/bpe.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

#define NONE UINT32_MAX

/* The word that an entry of the vocabulary would be the token of: without the suffix, and raw bytes where the model takes them. Returns its
 * length, 0 when there is none or it is too long. */
static size_t word_of_entry(const tern_bpe *bpe, const tern_vocabulary_entry *entry, unsigned char word[TERN_WORD_MAX]) {
    const char *text = tern__vocabulary_string(bpe->vocabulary, entry);
    size_t n_text = entry->n_bytes, n = 0, length;
    bool has_suffix = bpe->suffix_bytes > 0 && !bpe->ignore_merges && n_text >= bpe->suffix_bytes &&
                      memcmp(text + n_text - bpe->suffix_bytes, bpe->suffix, bpe->suffix_bytes) == 0;
    if (has_suffix) n_text -= bpe->suffix_bytes;
    if (!bpe->takes_bytes) {
        if (n_text <= TERN_WORD_MAX) memcpy(word, text, n_text);
        return n_text <= TERN_WORD_MAX ? n_text : 0;
    }
    for (size_t at = 0; at < n_text; at += length) {
        int byte = tern__byte_level_byte(tern__utf8_decode((const unsigned char *)text + at, &length));
        if (byte < 0 || n == TERN_WORD_MAX) return 0;
        word[n++] = (unsigned char)byte;
    }
    return n;
}

/* How a token is made. */
typedef struct tern_bpe_making {
    uint32_t rank; /* NONE: by no merge */
    int32_t left, right;
    bool is_whole; /* its text comes out as this token */
} tern_bpe_making;

/* What each token is made of, by id; false when training does not make such merges. */
static bool find_makings(const tern_bpe *bpe, tern_bpe_making *makings) {
    size_t n_merges = bpe->n_merges;
    for (size_t i = 0; i < bpe->vocabulary->n_entries; i++) makings[i] = (tern_bpe_making){.rank = NONE};
    for (size_t at = 0; at < bpe->n_merge_slots; at++) {
        const tern_bpe_merge *merge = &bpe->merges[at];
        if (merge->pair == TERN_BPE_NO_PAIR) continue;
        if (makings[merge->id].rank != NONE) return false;
        makings[merge->id] =
            (tern_bpe_making){.rank = merge->rank, .left = (int32_t)(merge->pair >> 32), .right = (int32_t)(uint32_t)merge->pair};
        n_merges--;
    }
    for (size_t i = 0; i < bpe->vocabulary->n_entries; i++) {
        const tern_bpe_making *making = &makings[i];
        if (making->rank == NONE) continue;
        uint32_t left = makings[making->left].rank, right = makings[making->right].rank;
        if ((left != NONE && left >= making->rank) || (right != NONE && right >= making->rank)) return false;
    }
    return n_merges == 0;
}

/* Whether some merge joins the end of `left` and the start of `right` before both are made, and before they are merged themselves. Goes
 * back in time: what was made last is taken apart. */
static bool is_crossed(const tern_bpe *bpe, const tern_bpe_making *makings, int32_t left, int32_t right) {
    uint32_t left_until = NONE, right_until = NONE; /* when they become part of another token */
    for (;;) {
        uint32_t left_rank = makings[left].rank, right_rank = makings[right].rank;
        if (left_rank == NONE && right_rank == NONE) return false;
        if (right_rank == NONE || (left_rank != NONE && left_rank > right_rank)) {
            left_until = left_rank;
            left = makings[left].right;
        } else { /* of equal ranks the left one comes first */
            right_until = right_rank;
            right = makings[right].left;
        }
        const tern_bpe_merge *merge = tern__bpe_find_merge(bpe, left, right);
        if (merge && merge->rank < left_until && merge->rank <= right_until) return true;
    }
}

/* Whether the text of a single token is that token: by merging it. */
static tern_status merge_whole(bool *is_whole, const tern_bpe *bpe, tern_model_scratch *scratch, tern_token_list *tokens,
                               const unsigned char *word, size_t n_bytes, int32_t id, tern_error *err) {
    tokens->n = 0;
    tern_status status = tern__bpe_merge_word(bpe, scratch, tokens, word, (tern_span){.start = 0, .end = (uint32_t)n_bytes}, NULL);
    if (status != TERN_OK && status != TERN_E_FORMAT) return TERN_FAIL_MEMORY(err, n_bytes); /* E_FORMAT: it needs an unk_token */
    *is_whole = status == TERN_OK && tokens->n == 1 && tokens->offsets[0][1] == n_bytes && tokens->ids[0] == id && id != bpe->unk.id;
    return TERN_OK;
}

static bool is_one_character(const tern_vocabulary *vocabulary, const tern_vocabulary_entry *entry) {
    size_t n_bytes = 0;
    if (entry->n_bytes > 0) tern__utf8_decode((const unsigned char *)tern__vocabulary_string(vocabulary, entry), &n_bytes);
    return n_bytes > 0 && n_bytes == entry->n_bytes;
}

/* With merges as training makes them: all tokens in the order in which they are made, parts first. */
static void find_whole(const tern_bpe *bpe, tern_bpe_making *makings) {
    const tern_vocabulary *vocabulary = bpe->vocabulary;
    for (size_t i = 0; i < vocabulary->n_entries; i++)
        makings[i].is_whole = makings[i].rank == NONE && is_one_character(vocabulary, &vocabulary->entries[i]);
    for (size_t rank = 0; rank < bpe->n_merges; rank++) {
        tern_bpe_making *making = &makings[bpe->id_of_rank[rank]];
        making->is_whole =
            makings[making->left].is_whole && makings[making->right].is_whole && !is_crossed(bpe, makings, making->left, making->right);
    }
}

tern_status tern__bpe_find_words(tern_bpe *bpe, tern_error *err) {
    const tern_vocabulary *vocabulary = bpe->vocabulary;
    size_t n_entries = vocabulary->n_entries;
    tern_model_scratch scratch = {0};
    tern_token_list tokens = {0};
    tern_status status = TERN_OK;
    tern_bpe_making *makings = NULL;
    bool is_plain =
        !bpe->ignore_merges && !bpe->needs_heap && bpe->prefix_bytes == 0 && bpe->suffix_bytes == 0 && vocabulary->ids_are_indices;
    tern__word_table_free(&bpe->words);
    if (!tern__word_table_make(&bpe->words, n_entries)) return TERN_FAIL_MEMORY(err, n_entries * 48);
    if (is_plain && !(makings = tern__alloc(n_entries, sizeof *makings))) return TERN_FAIL_MEMORY(err, n_entries * sizeof *makings);
    is_plain = is_plain && find_makings(bpe, makings);
    if (is_plain) find_whole(bpe, makings);
    for (size_t i = 0; i < n_entries && status == TERN_OK; i++) {
        unsigned char word[TERN_WORD_MAX];
        const tern_vocabulary_entry *entry = &vocabulary->entries[i];
        size_t n_bytes = word_of_entry(bpe, entry, word);
        bool is_whole = n_bytes > 0 && bpe->ignore_merges;
        if (n_bytes > 0 && is_plain) is_whole = makings[i].is_whole;
        else if (n_bytes > 0 && !is_whole) status = merge_whole(&is_whole, bpe, &scratch, &tokens, word, n_bytes, entry->id, err);
        if (is_whole) tern__word_table_add(&bpe->words, word, n_bytes, entry->id);
    }
    free(makings);
    tern__token_list_free(&tokens);
    tern__model_scratch_free(&scratch);
    return status;
}
