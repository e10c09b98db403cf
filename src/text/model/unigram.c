/* unigram.c - the best way through a word, piece by piece from the left. Where no piece crosses, all ways meet, and what is behind can be
 * written out: a text that is one long word takes little memory.
 * Source: Kudo 2018, "Subword Regularization"; Hugging Face tokenizers, Unigram.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/unigram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"
#include "text/unicode/unicode.h"

#define NONE        UINT32_MAX
#define USUAL_WORD  64   /* nodes; most words need fewer */
#define UNK_PENALTY 10.0 /* an unknown character scores so much less than the worst piece */

void tern__unigram_free(tern_unigram *unigram) {
    tern__piece_trie_free(&unigram->trie);
    free(unigram->whole);
    *unigram = (tern_unigram){0};
}

static tern_status read_fields(tern_unigram *out, const json_t *json, size_t n_pieces, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = "Unigram"};
    const json_t *unk_id = json_object_get(json, "unk_id"), *byte_fallback = json_object_get(json, "byte_fallback");
    out->unk_id = -1;
    if (unk_id && !json_is_null(unk_id)) {
        TERN_TRY(tern__json_id(&out->unk_id, json, "unk_id", place, err));
        if ((size_t)out->unk_id >= n_pieces)
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: model Unigram: unk_id is %d, but there are %zu pieces", file, (int)out->unk_id,
                             n_pieces);
    }
    if (byte_fallback && !json_is_null(byte_fallback)) return tern__json_bool(&out->byte_fallback, json, "byte_fallback", place, err);
    return TERN_OK;
}

static tern_status check_scores(const tern_model_tables *tables, size_t n_pieces, double *lowest, double *highest, const char *file,
                                tern_error *err) {
    *lowest = INFINITY;
    *highest = -INFINITY;
    if (tables->n_scores != n_pieces)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: model Unigram: %zu pieces, but %zu scores", file, n_pieces, tables->n_scores);
    for (size_t i = 0; i < n_pieces; i++) {
        if (!isfinite(tables->scores[i])) return TERN_FAIL(err, TERN_E_FORMAT, "%s: model Unigram: a score is no finite number", file);
        if (tables->scores[i] < *lowest) *lowest = tables->scores[i];
        if (tables->scores[i] > *highest) *highest = tables->scores[i];
    }
    return TERN_OK;
}

tern_status tern__unigram_read(tern_unigram *out, const tern_vocabulary *vocabulary, const json_t *json, const tern_model_tables *tables,
                               const char *file, tern_error *err) {
    size_t n = vocabulary->n_entries, n_words = n / 64 + 1;
    double lowest, highest;
    out->vocabulary = vocabulary;
    TERN_TRY(read_fields(out, json, n, file, err));
    TERN_TRY(check_scores(tables, n, &lowest, &highest, file, err));
    out->unk_score = lowest - UNK_PENALTY;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        int n_name = snprintf(name, sizeof name, "<0x%02X>", byte);
        const tern_vocabulary_entry *entry = tern__vocabulary_find(vocabulary, name, (size_t)n_name);
        out->fallback_ids[byte] = entry ? entry->id : -1;
    }
    if (!(out->whole = tern__alloc_zero(n_words, sizeof *out->whole))) return TERN_FAIL_MEMORY(err, n_words * sizeof *out->whole);
    TERN_TRY(tern__piece_trie_build(&out->trie, vocabulary, tables->scores, out->whole, err));
    if (highest > 0 || out->unk_id < 0) memset(out->whole, 0, n_words * sizeof *out->whole);
    else out->whole[out->unk_id / 64] &= ~(UINT64_C(1) << out->unk_id % 64); /* it joins with others */
    return TERN_OK;
}

/* A word on its way. Nodes are those of bytes `first` and later, as far as `reached`. */
typedef struct tern_unigram_run {
    const tern_unigram *unigram;
    tern_model_scratch *scratch;
    tern_token_list *out;
    const unsigned char *bytes;
    tern_span word;
    uint32_t first;     /* all ways meet here; what is before has been written */
    uint32_t reached;   /* the furthest end of a piece; nodes up to here are set */
    uint32_t unk_start; /* unknown characters that end at `first` and may go on; NONE: there are none */
    bool with_texts;
    tern_error *err;
} tern_unigram_run;

/* ---- Writing tokens ---- */

static tern_status no_memory(const tern_unigram_run *run) { return TERN_FAIL_MEMORY(run->err, run->word.end - run->word.start); }

static tern_status push_token(tern_unigram_run *run, int32_t id, uint32_t start, uint32_t end) {
    if (run->out->n == run->out->capacity && !tern__token_list_reserve(run->out, 1)) return no_memory(run);
    tern__token_list_push(run->out, id, start, end);
    return TERN_OK;
}

/* Unknown characters [unk_start, end), as one token: it may be a piece after all, when the unknown piece itself stood in the text. */
static tern_status flush_unk(tern_unigram_run *run, uint32_t end) {
    const tern_unigram *unigram = run->unigram;
    uint32_t start = run->unk_start;
    if (start == NONE) return TERN_OK;
    run->unk_start = NONE;
    const unsigned char *text = run->bytes + start;
    const tern_vocabulary_entry *entry = tern__vocabulary_find(unigram->vocabulary, (const char *)text, end - start);
    if (entry) return push_token(run, entry->id, start, end);
    bool has_bytes = unigram->byte_fallback;
    for (uint32_t i = 0; has_bytes && i < end - start; i++) has_bytes = unigram->fallback_ids[text[i]] >= 0;
    for (uint32_t i = 0; has_bytes && i < end - start; i++) TERN_TRY(push_token(run, unigram->fallback_ids[text[i]], start, end));
    if (has_bytes) return TERN_OK;
    TERN_TRY(push_token(run, unigram->unk_id, start, end));
    if (run->with_texts && !tern__token_list_set_text(run->out, text, end - start)) return no_memory(run);
    return TERN_OK;
}

/* Write out the best way from `first` to `end`, where all ways meet. */
static tern_status write_way(tern_unigram_run *run, uint32_t end) {
    tern_unigram_node *nodes = run->scratch->nodes;
    uint32_t first = run->first, next = NONE;
    for (uint32_t at = end; at != first;) { /* turn the links round: a node then has the end of the piece behind it */
        uint32_t start = nodes[at - first].start;
        nodes[at - first].start = next;
        next = at;
        at = start;
    }
    for (uint32_t at = first; next != NONE; at = next, next = nodes[at - first].start) {
        int32_t id = nodes[next - first].id;
        if (id == run->unigram->unk_id) {
            if (run->unk_start == NONE) run->unk_start = at;
        } else {
            TERN_TRY(flush_unk(run, at));
            TERN_TRY(push_token(run, id, at, next));
        }
    }
    nodes[0] = (tern_unigram_node){.score = nodes[end - first].score};
    run->first = run->reached = end;
    return TERN_OK;
}

/* ---- Finding the way ---- */

static inline void relax(tern_unigram_run *run, uint32_t start, uint32_t end, double score, int32_t id) {
    tern_unigram_node *nodes = run->scratch->nodes;
    while (run->reached < end) nodes[++run->reached - run->first].start = NONE;
    tern_unigram_node *node = &nodes[end - run->first];
    if (node->start == NONE || score > node->score) *node = (tern_unigram_node){.score = score, .start = start, .id = id};
}

/* All pieces that start at the character [start, start + n_bytes), which is unknown when none is the character itself. */
static tern_status add_pieces(tern_unigram_run *run, uint32_t start, uint32_t n_bytes) {
    const tern_unigram *unigram = run->unigram;
    const tern_trie_node *trie = unigram->trie.nodes;
    const unsigned char *bytes = run->bytes;
    tern_unigram_node *nodes = run->scratch->nodes;
    uint32_t first = run->first;
    double score = nodes[start - first].score;
    uint32_t link = unigram->trie.root_link, reached = run->reached, word_end = run->word.end;
    bool is_known = false;
    for (uint32_t at = start; at < word_end;) {
        tern_trie_node node = trie[link ^ bytes[at]];
        if ((node.fields & TERN_TRIE_LABEL) != bytes[at] + 1u) break;
        at++;
        uint32_t value = node.fields >> TERN_TRIE_VALUE_SHIFT;
        link = node.link;
        if (value == 0) continue;
        if (node.fields & TERN_TRIE_TAIL) {
            size_t n_rest;
            if (!tern__trie_match_tail(node, unigram->vocabulary, at - start, bytes + at, word_end - at, &n_rest)) break;
            at += (uint32_t)n_rest;
        }
        double sum = score + node.score;
        while (reached < at) nodes[++reached - first].start = NONE;
        tern_unigram_node *end = &nodes[at - first];
        if (end->start == NONE || sum > end->score) *end = (tern_unigram_node){.score = sum, .start = start, .id = (int32_t)value - 1};
        is_known |= at - start == n_bytes;
        if (node.fields & TERN_TRIE_TAIL) break;
    }
    run->reached = reached;
    if (is_known) return TERN_OK;
    uint32_t end = start + n_bytes;
    score += unigram->unk_score;
    const tern_unigram_node *node = &run->scratch->nodes[end - run->first];
    if (run->reached >= end && node->start != NONE && !(score > node->score)) return TERN_OK;
    if (unigram->unk_id < 0) return TERN_FAIL(run->err, TERN_E_FORMAT, "the text needs the unk_token, but the model has no unk_id");
    relax(run, start, end, score, unigram->unk_id);
    return TERN_OK;
}

/* The piece that the whole word is, when that is the best way; -1: it has to be found. */
static int32_t find_whole(const tern_unigram *unigram, const unsigned char *bytes, tern_span word) {
    const tern_trie_node *nodes = unigram->trie.nodes;
    uint32_t link = unigram->trie.root_link, at = word.start;
    tern_trie_node node;
    do {
        node = nodes[link ^ bytes[at]];
        if ((node.fields & TERN_TRIE_LABEL) != bytes[at] + 1u) return -1;
        at++;
        link = node.link;
    } while (at < word.end && !(node.fields & TERN_TRIE_TAIL));
    if (node.fields & TERN_TRIE_TAIL) {
        size_t n_rest, n_left = word.end - at;
        if (n_left == 0 || !tern__trie_match_tail(node, unigram->vocabulary, at - word.start, bytes + at, n_left, &n_rest) ||
            n_rest != n_left)
            return -1;
    }
    uint32_t value = node.fields >> TERN_TRIE_VALUE_SHIFT;
    return value && unigram->whole[(value - 1) / 64] >> (value - 1) % 64 & 1 ? (int32_t)value - 1 : -1;
}

static tern_status tokenize_word(tern_unigram_run *run) {
    const tern_unigram *unigram = run->unigram;
    run->first = run->reached = run->word.start;
    run->unk_start = NONE;
    size_t longest = unigram->vocabulary->longest_bytes > 4 ? unigram->vocabulary->longest_bytes : 4;
    for (uint32_t at = run->word.start; at < run->word.end;) {
        size_t n_bytes, left = run->word.end - at, needed = (size_t)(at - run->first) + (longest < left ? longest : left) + 1;
        tern__utf8_decode(run->bytes + at, &n_bytes);
        if (needed > run->scratch->nodes_capacity && !tern__grow(&run->scratch->nodes, &run->scratch->nodes_capacity,
                                                                 needed < USUAL_WORD ? USUAL_WORD : needed, sizeof *run->scratch->nodes))
            return no_memory(run);
        if (at == run->word.start) run->scratch->nodes[0] = (tern_unigram_node){.score = 0};
        TERN_TRY(add_pieces(run, at, (uint32_t)n_bytes));
        at += (uint32_t)n_bytes;
        if (run->reached == at) TERN_TRY(write_way(run, at));
    }
    return flush_unk(run, run->word.end);
}

tern_status tern__unigram_tokenize(const tern_unigram *unigram, tern_model_scratch *scratch, tern_token_list *out,
                                   const unsigned char *bytes, const tern_spans *spans, bool with_texts, tern_error *err) {
    tern_unigram_run run = {.unigram = unigram, .scratch = scratch, .out = out, .bytes = bytes, .with_texts = with_texts, .err = err};
    size_t expected; /* about what prose needs */
    if (!tern__size_add(spans->n, spans->n / 4 + 16, &expected) || !tern__token_list_reserve(out, expected))
        return TERN_FAIL_MEMORY(err, expected * 12);
    for (size_t i = 0; i < spans->n; i++) {
        run.word = spans->items[i];
        int32_t whole = find_whole(unigram, bytes, run.word);
        if (whole >= 0) TERN_TRY(push_token(&run, whole, run.word.start, run.word.end));
        else TERN_TRY(tokenize_word(&run));
    }
    return TERN_OK;
}
