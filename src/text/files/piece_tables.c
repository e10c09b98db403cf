/* piece_tables.c - the pieces of a SentencePiece model as the tables of a Unigram or BPE model. The file has no merges: any two pieces that
 * make a third may be merged, those of smaller ids first, as Hugging Face's transformers 5 (generate_merges) has it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/files/piece_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/unicode.h"

/* ---- Unigram ---- */

tern_status tern__pieces_add_text(tern_model_tables *tables, tern_text text, double score, tern_error *err) {
    return tern__model_tables_add_piece(tables, text.data, text.bytes, score) ? TERN_OK : TERN_FAIL_MEMORY(err, text.bytes);
}

tern_status tern__pieces_add(tern_model_tables *tables, const tern_sentencepiece *model, size_t first, tern_error *err) {
    for (size_t i = first; i < model->n_pieces; i++) {
        const tern_piece *piece = &model->pieces[i];
        if (!tern__model_tables_add_piece(tables, piece->text, piece->n_bytes, (double)piece->score))
            return TERN_FAIL_MEMORY(err, piece->n_bytes);
    }
    return TERN_OK;
}

int32_t tern__pieces_first(const tern_model_tables *tables, tern_text text, bool is_zero, int32_t otherwise) {
    const tern_vocabulary *vocabulary = &tables->vocabulary;
    for (size_t i = 0; i < vocabulary->n_entries; i++) {
        const tern_vocabulary_entry *entry = &vocabulary->entries[i];
        if (entry->n_bytes == text.bytes && memcmp(tern__vocabulary_string(vocabulary, entry), text.data, text.bytes) == 0 &&
            !(is_zero && tables->scores[i] != 0))
            return entry->id;
    }
    return otherwise;
}

/* ---- BPE ---- */

static bool add_merges(tern_model_tables *tables, const tern_piece *piece) {
    for (uint32_t at = 1; at < piece->n_bytes; at++) {
        const char *right = piece->text + at;
        if (tern__utf8_is_continuation((unsigned char)*right)) continue;
        if (tern__vocabulary_find(&tables->vocabulary, piece->text, at) &&
            tern__vocabulary_find(&tables->vocabulary, right, piece->n_bytes - at) &&
            !tern__model_tables_add_merge(tables, piece->text, at, right, piece->n_bytes - at))
            return false;
    }
    return true;
}

tern_status tern__pieces_to_bpe(tern_model_tables *tables, const tern_sentencepiece *model, tern_error *err) {
    bool is_new;
    for (size_t i = 0; i < model->n_pieces; i++)
        if (!tern__vocabulary_set(&tables->vocabulary, model->pieces[i].text, model->pieces[i].n_bytes, (int32_t)i, &is_new))
            return TERN_FAIL_MEMORY(err, model->pieces[i].n_bytes);
    for (size_t i = 0; i < model->n_pieces; i++) {
        const tern_piece *piece = &model->pieces[i];
        const tern_vocabulary_entry *entry = tern__vocabulary_find(&tables->vocabulary, piece->text, piece->n_bytes);
        bool is_last = entry && (size_t)entry->id == i; /* of those with its text */
        if (is_last && !add_merges(tables, piece)) return TERN_FAIL_MEMORY(err, piece->n_bytes);
    }
    return TERN_OK;
}

tern_status tern__pieces_renumber(tern_vocabulary *vocabulary, const tern_sentencepiece *model, const tern_text *texts, size_t n_texts,
                                  tern_error *err) {
    bool is_new, is_whole = true;
    tern__vocabulary_free(vocabulary);
    *vocabulary = (tern_vocabulary){0};
    for (size_t i = 0; i < n_texts && is_whole; i++)
        is_whole = tern__vocabulary_set(vocabulary, texts[i].data, texts[i].bytes, (int32_t)i, &is_new);
    for (size_t i = 0; i < model->n_pieces && is_whole; i++) {
        const tern_piece *piece = &model->pieces[i];
        if (!tern__vocabulary_find(vocabulary, piece->text, piece->n_bytes))
            is_whole = tern__vocabulary_set(vocabulary, piece->text, piece->n_bytes, (int32_t)vocabulary->n_entries, &is_new);
    }
    return is_whole ? TERN_OK : TERN_FAIL_MEMORY(err, model->n_pieces * sizeof *vocabulary->entries);
}

/* Is there a piece of that name, with the new names that some have? */
static bool is_taken(const tern_vocabulary *vocabulary, const tern_text *names, tern_text name) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find(vocabulary, name.data, name.bytes);
    if (entry && !names[entry - vocabulary->entries].data) return true;
    for (size_t i = 0; i < vocabulary->n_entries; i++)
        if (names[i].data && tern__text_equals(names[i], name)) return true;
    return false;
}

tern_status tern__pieces_rename(tern_vocabulary *vocabulary, const tern_token_wish *wishes, size_t n, tern_error *err) {
    tern_vocabulary renamed = {0};
    bool is_new, is_whole = tern__vocabulary_index_ids(vocabulary);
    size_t n_entries = vocabulary->n_entries;
    tern_text *names = is_whole ? tern__alloc_zero(n_entries, sizeof *names) : NULL;
    if (!names) return TERN_FAIL_MEMORY(err, n_entries * sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const tern_vocabulary_entry *entry = tern__vocabulary_find_id(vocabulary, wishes[i].index);
        if (entry && !is_taken(vocabulary, names, wishes[i].token.content)) names[entry - vocabulary->entries] = wishes[i].token.content;
    }
    for (size_t i = 0; i < n_entries && is_whole; i++) {
        const tern_vocabulary_entry *entry = &vocabulary->entries[i];
        tern_text name = {.data = tern__vocabulary_string(vocabulary, entry), .bytes = entry->n_bytes};
        if (names[i].data) name = names[i];
        is_whole = tern__vocabulary_set(&renamed, name.data, name.bytes, entry->id, &is_new);
    }
    free(names);
    tern__vocabulary_free(vocabulary);
    *vocabulary = renamed;
    return is_whole ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof *renamed.entries);
}
