/* bpe.c - reading a BPE model, and what is worked out of it before the first word.
 * Source: Hugging Face tokenizers, BPE.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/json_fields.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

void tern__bpe_free(tern_bpe *bpe) {
    free(bpe->merges);
    free(bpe->id_of_rank);
    tern__unk_token_free(&bpe->unk);
    free(bpe->prefix);
    free(bpe->suffix);
    tern__word_table_free(&bpe->words);
    *bpe = (tern_bpe){0};
}

/* ---- Fields ---- */

static tern_status read_flag(bool *out, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    const json_t *value = json_object_get(json, key);
    *out = false;
    return !value || json_is_null(value) ? TERN_OK : tern__json_bool(out, json, key, place, err);
}

/* A copy; "" where there is none. */
static tern_status read_affix(char **out, size_t *n_bytes, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    const json_t *value = json_object_get(json, key);
    tern_text text = {.data = "", .bytes = 0};
    if (value && !json_is_null(value)) TERN_TRY(tern__json_text(&text, json, key, place, err));
    if (!(*out = tern__alloc(text.bytes + 1, 1))) return TERN_FAIL_MEMORY(err, text.bytes + 1);
    memcpy(*out, text.data, text.bytes + 1);
    *n_bytes = text.bytes;
    return TERN_OK;
}

static tern_status read_unk_token(tern_bpe *out, const json_t *json, tern_json_place place, tern_error *err) {
    const json_t *value = json_object_get(json, "unk_token");
    out->unk.id = -1;
    if (!value || json_is_null(value)) return TERN_OK;
    tern_text text;
    TERN_TRY(tern__json_text(&text, json, "unk_token", place, err));
    return tern__unk_token_set(&out->unk, text, out->vocabulary, err);
}

static tern_status check_dropout(const json_t *json, tern_json_place place, tern_error *err) {
    const json_t *dropout = json_object_get(json, "dropout");
    if (!dropout || json_is_null(dropout) || (json_is_number(dropout) && json_number_value(dropout) == 0)) return TERN_OK;
    double value = json_number_value(dropout);
    if (!json_is_number(dropout) || value < 0 || value > 1)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: model BPE: \"dropout\" must be null or a number from 0 to 1", place.file);
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: model BPE: dropout other than 0 is not supported", place.file);
}

static tern_status read_fields(tern_bpe *out, const json_t *json, const char *file, tern_error *err) {
    tern_json_place place = {.file = file, .part = "model", .type = "BPE"};
    TERN_TRY(check_dropout(json, place, err));
    TERN_TRY(read_unk_token(out, json, place, err));
    TERN_TRY(read_affix(&out->prefix, &out->prefix_bytes, json, "continuing_subword_prefix", place, err));
    TERN_TRY(read_affix(&out->suffix, &out->suffix_bytes, json, "end_of_word_suffix", place, err));
    TERN_TRY(read_flag(&out->fuse_unk, json, "fuse_unk", place, err));
    TERN_TRY(read_flag(&out->byte_fallback, json, "byte_fallback", place, err));
    return read_flag(&out->ignore_merges, json, "ignore_merges", place, err);
}

/* ---- Merges ---- */

static bool make_merges(tern_bpe *out, size_t n_merges) {
    out->n_merge_slots = 16;
    out->merge_shift = 60;
    for (; out->n_merge_slots / 2 < n_merges; out->n_merge_slots *= 2) out->merge_shift--;
    out->merges = tern__alloc(out->n_merge_slots, sizeof *out->merges);
    out->id_of_rank = tern__alloc(n_merges, sizeof *out->id_of_rank);
    if (!out->merges || !out->id_of_rank) return false;
    out->n_merges = n_merges;
    memset(out->merges, 0xFF, out->n_merge_slots * sizeof *out->merges);
    return true;
}

/* Of two merges of one pair, the later one holds. */
static void set_merge(tern_bpe *out, int32_t left, int32_t right, uint32_t rank, int32_t id) {
    tern_bpe_merge merge = {.pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, .rank = rank, .id = id};
    size_t at = tern__bpe_merge_slot(out, merge.pair);
    while (out->merges[at].pair != TERN_BPE_NO_PAIR && out->merges[at].pair != merge.pair) at = (at + 1) & (out->n_merge_slots - 1);
    out->merges[at] = merge;
}

static int shown_bytes(uint32_t n_bytes) { return n_bytes < 100 ? (int)n_bytes : 100; }

/* The hashes of a merge's texts: left, right, and what they become. */
typedef struct tern_merge_hashes {
    uint64_t left, right, merged;
} tern_merge_hashes;

static tern_merge_hashes hash_merge(const tern_bpe *bpe, const tern_model_tables *tables, const tern_merge *merge) {
    const char *left = tables->merge_strings + merge->start, *right = left + merge->left_bytes;
    size_t n_prefix = merge->right_bytes < bpe->prefix_bytes ? merge->right_bytes : bpe->prefix_bytes;
    tern_merge_hashes hashes = {.left = tern__hash_bytes(TERN_HASH_START, left, merge->left_bytes),
                                .right = tern__hash_bytes(TERN_HASH_START, right, merge->right_bytes)};
    hashes.merged = tern__hash_bytes(hashes.left, right + n_prefix, merge->right_bytes - n_prefix);
    tern__vocabulary_prefetch(bpe->vocabulary, hashes.left);
    tern__vocabulary_prefetch(bpe->vocabulary, hashes.right);
    tern__vocabulary_prefetch(bpe->vocabulary, hashes.merged);
    return hashes;
}

static tern_status read_merge(tern_bpe *out, const tern_model_tables *tables, size_t rank, tern_merge_hashes hashes, const char *file,
                              tern_error *err) {
    const tern_merge *merge = &tables->merges[rank];
    const tern_vocabulary *vocabulary = out->vocabulary;
    const char *left = tables->merge_strings + merge->start, *right = left + merge->left_bytes;
    const tern_vocabulary_entry *left_entry = tern__vocabulary_find_hashed(vocabulary, hashes.left, "", 0, left, merge->left_bytes);
    const tern_vocabulary_entry *right_entry = tern__vocabulary_find_hashed(vocabulary, hashes.right, "", 0, right, merge->right_bytes);
    const tern_vocabulary_entry *entry = NULL;
    if (merge->right_bytes >= out->prefix_bytes) {
        size_t n_rest = merge->right_bytes - out->prefix_bytes;
        entry = tern__vocabulary_find_hashed(vocabulary, hashes.merged, left, merge->left_bytes, right + out->prefix_bytes, n_rest);
        if (merge->left_bytes == 0 || n_rest == 0) out->needs_heap = true;
    }
    if (!left_entry || !right_entry || !entry)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: model BPE: merge %zu, \"%.*s\" and \"%.*s\": %s is not in the vocabulary", file, rank,
                         shown_bytes(merge->left_bytes), left, shown_bytes(merge->right_bytes), right,
                         !left_entry    ? "the left token"
                         : !right_entry ? "the right token"
                                        : "what they become");
    out->id_of_rank[rank] = entry->id;
    set_merge(out, left_entry->id, right_entry->id, (uint32_t)rank, entry->id);
    return TERN_OK;
}

#define BATCH 16 /* merges that are fetched from memory at the same time */

static tern_status read_merges(tern_bpe *out, const tern_model_tables *tables, const char *file, tern_error *err) {
    tern_merge_hashes hashes[BATCH];
    if (!make_merges(out, tables->n_merges)) return TERN_FAIL_MEMORY(err, tables->n_merges * sizeof *out->merges);
    for (size_t rank = 0; rank < tables->n_merges; rank += BATCH) {
        size_t n = tables->n_merges - rank < BATCH ? tables->n_merges - rank : BATCH;
        for (size_t i = 0; i < n; i++) hashes[i] = hash_merge(out, tables, &tables->merges[rank + i]);
        for (size_t i = 0; i < n; i++) TERN_TRY(read_merge(out, tables, rank + i, hashes[i], file, err));
    }
    return TERN_OK;
}

/* ---- Characters ---- */

static void find_fallback_ids(tern_bpe *out) {
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", byte);
        const tern_vocabulary_entry *entry = tern__vocabulary_find(out->vocabulary, name, (size_t)n);
        out->fallback_ids[byte] = entry ? entry->id : -1;
    }
}

/* The tokens of single characters in each place of a word: of ASCII's, or of those that stand for bytes. False when memory is short. */
static bool find_single_ids(const tern_bpe *bpe, int32_t ids[4][256], bool of_bytes) {
    char *text = tern__alloc(bpe->prefix_bytes + TERN_UNICODE_MAX_UTF8 + bpe->suffix_bytes, 1);
    if (!text) return false;
    for (unsigned place = 0; place < 4; place++) {
        size_t n_prefix = place & 1 ? bpe->prefix_bytes : 0, n_suffix = place & 2 ? bpe->suffix_bytes : 0;
        memcpy(text, bpe->prefix, n_prefix);
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t character = of_bytes ? tern__byte_level_character((unsigned char)byte) : byte;
            size_t n = n_prefix + tern__utf8_encode((unsigned char *)text + n_prefix, character);
            memcpy(text + n, bpe->suffix, n_suffix);
            const tern_vocabulary_entry *entry = tern__vocabulary_find(bpe->vocabulary, text, n + n_suffix);
            ids[place][byte] = entry ? entry->id : -1;
        }
    }
    free(text);
    return true;
}

/* ---- Junctions ---- */

/* The character at the start or at the end of a token: as a model that takes bytes sees it, a byte. */
static uint32_t edge_of(const tern_bpe *bpe, int32_t id, bool at_end) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(bpe->vocabulary, id);
    const unsigned char *text = (const unsigned char *)tern__vocabulary_string(bpe->vocabulary, entry);
    size_t at = at_end ? entry->n_bytes - 1 : 0, n_bytes;
    while (tern__utf8_is_continuation(text[at])) at--;
    uint32_t character = tern__utf8_decode(text + at, &n_bytes);
    return bpe->takes_bytes ? (uint32_t)tern__byte_level_byte(character) : character;
}

/* Not what an unknown character or its bytes become. */
static bool stands_for_itself(const tern_bpe *bpe, int32_t id) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(bpe->vocabulary, id);
    bool may_be_byte = bpe->byte_fallback && entry->n_bytes == sizeof "<0x00>" - 1;
    for (unsigned byte = 0; may_be_byte && byte < 256; byte++)
        if (bpe->fallback_ids[byte] == id) return false;
    return !bpe->unk.text || id != bpe->unk.id;
}

/* No character is dropped, so that neighbours in a word are neighbours among its tokens. */
static bool keeps_all(const tern_bpe *bpe) {
    if (bpe->takes_bytes || bpe->unk.text) return true;
    for (unsigned byte = 0; byte < 256; byte++)
        if (bpe->fallback_ids[byte] < 0) return false;
    return bpe->byte_fallback;
}

/* Merges join two neighbours only where the last character of one and the first of the other meet in some pair of the list; elsewhere a
 * word can be cut. That is so when each token reads as the text that it stands for. */
static void find_junctions(tern_bpe *bpe) {
    memset(bpe->junctions, 0, sizeof bpe->junctions);
    bpe->can_split = !bpe->needs_heap && bpe->prefix_bytes == 0 && bpe->suffix_bytes == 0 && keeps_all(bpe);
    for (size_t i = 0; i < bpe->n_merge_slots && bpe->can_split; i++) {
        if (bpe->merges[i].pair == TERN_BPE_NO_PAIR) continue;
        int32_t left = (int32_t)(bpe->merges[i].pair >> 32), right = (int32_t)(uint32_t)bpe->merges[i].pair;
        unsigned junction = tern__bpe_junction(edge_of(bpe, left, true), edge_of(bpe, right, false));
        bpe->junctions[junction / 64] |= UINT64_C(1) << junction % 64;
        bpe->can_split = stands_for_itself(bpe, left) && stands_for_itself(bpe, right);
    }
}

/* ---- The whole ---- */

/* Every byte that UTF-8 has, in every place of a word, is a token. */
static bool has_all_bytes(int32_t ids[4][256]) {
    for (unsigned byte = 0; byte < 0xF5; byte++) {
        if (byte == 0xC0 || byte == 0xC1) continue;
        for (unsigned place = 0; place < 4; place++)
            if (ids[place][byte] < 0) return false;
    }
    return true;
}

tern_status tern__bpe_read(tern_bpe *out, const tern_vocabulary *vocabulary, const json_t *json, const tern_model_tables *tables,
                           const char *file, tern_error *err) {
    int32_t ids[4][256];
    out->vocabulary = vocabulary;
    TERN_TRY(read_fields(out, json, file, err));
    out->needs_heap = vocabulary->has_shared_ids;
    TERN_TRY(read_merges(out, tables, file, err));
    if (!find_single_ids(out, out->single_ids, false) || !find_single_ids(out, ids, true))
        return TERN_FAIL_MEMORY(err, out->prefix_bytes + out->suffix_bytes);
    find_fallback_ids(out);
    if (!tern__word_table_make(&out->words, 0)) return TERN_FAIL_MEMORY(err, sizeof *out->words.slots);
    if (has_all_bytes(ids)) return TERN_OK; /* the rest is worth its time when bytes are taken */
    find_junctions(out);
    return tern__bpe_find_words(out, err);
}

tern_status tern__bpe_take_bytes(tern_bpe *bpe, bool *can, tern_error *err) {
    int32_t ids[4][256];
    if (!find_single_ids(bpe, ids, true)) return TERN_FAIL_MEMORY(err, bpe->prefix_bytes + bpe->suffix_bytes);
    *can = has_all_bytes(ids);
    if (!*can) return TERN_OK;
    memcpy(bpe->single_ids, ids, sizeof ids);
    bpe->takes_bytes = true;
    find_junctions(bpe);
    return tern__bpe_find_words(bpe, err);
}
