/* wordpiece.c - WordPiece: the longest entry that starts the word, then the longest continuation, until the word is used up.
 * Source: Schuster and Nakajima 2012, "Japanese and Korean voice search"; Hugging Face tokenizers, WordPiece.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "text/model/token_model.h"
#include "text/unicode/unicode.h"

tern_status tern__wordpiece_set(tern_token_model *out, tern_text unk_token, tern_text prefix, int32_t max_input_chars_per_word,
                                tern_error *err) {
    out->kind = TERN_TOKEN_MODEL_WORDPIECE;
    tern_wordpiece *wordpiece = &out->wordpiece;
    TERN_TRY(tern__unk_token_set(&out->unk, unk_token, &out->vocabulary, err));
    if (!(wordpiece->prefix = tern__alloc(prefix.bytes + 1, 1))) return TERN_FAIL_MEMORY(err, prefix.bytes + 1);
    if (prefix.bytes) memcpy(wordpiece->prefix, prefix.data, prefix.bytes);
    wordpiece->prefix[prefix.bytes] = '\0';
    wordpiece->prefix_bytes = prefix.bytes;
    wordpiece->prefix_hash = tern__hash_bytes(TERN_HASH_START, prefix.data, prefix.bytes);
    wordpiece->max_input_chars_per_word = max_input_chars_per_word;
    return TERN_OK;
}

/* The longest entry `prefix` + a prefix of `rest`; its length without `prefix` is *n_matched. The whole of `rest` is tried first, since
 * most words are entries. */
static const tern_vocabulary_entry *find_longest(size_t *n_matched, const tern_vocabulary *vocabulary, uint64_t hash, const char *prefix,
                                                 size_t n_prefix, const unsigned char *rest, size_t n_rest) {
    if (vocabulary->longest_bytes <= n_prefix) return NULL;
    size_t longest = vocabulary->longest_bytes - n_prefix;
    const tern_vocabulary_entry *best = NULL;
    if (n_rest <= longest) {
        best = tern__vocabulary_find_hashed(vocabulary, tern__hash_bytes(hash, (const char *)rest, n_rest), prefix, n_prefix,
                                            (const char *)rest, n_rest);
        *n_matched = n_rest;
        if (best) return best;
        longest = n_rest - 1;
    }
    for (size_t n = 1; n <= longest; n++) {
        hash = tern__hash_byte(hash, rest[n - 1]);
        if (tern__utf8_is_continuation(rest[n])) continue; /* rest[longest] is inside the word: longest < n_rest */
        const tern_vocabulary_entry *entry = tern__vocabulary_find_hashed(vocabulary, hash, prefix, n_prefix, (const char *)rest, n);
        if (!entry) continue;
        best = entry;
        *n_matched = n;
    }
    return best;
}

/* Room for a token a byte is there. False when a part of the word has no entry; what was pushed is taken back. */
static bool tokenize_word(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes, tern_span word) {
    const tern_wordpiece *wordpiece = &model->wordpiece;
    uint32_t n_bytes = word.end - word.start;
    if (n_bytes > (uint32_t)wordpiece->max_input_chars_per_word &&
        tern__utf8_count(bytes + word.start, n_bytes) > (size_t)wordpiece->max_input_chars_per_word)
        return false;
    size_t n_before = out->n, n_matched = 0;
    uint64_t hash = TERN_HASH_START;
    size_t n_prefix = 0;
    for (uint32_t at = word.start; at < word.end; at += (uint32_t)n_matched) {
        const tern_vocabulary_entry *entry =
            find_longest(&n_matched, &model->vocabulary, hash, wordpiece->prefix, n_prefix, bytes + at, word.end - at);
        if (!entry) {
            out->n = n_before;
            return false;
        }
        tern__token_list_push(out, entry->id, at, at + (uint32_t)n_matched);
        hash = wordpiece->prefix_hash;
        n_prefix = wordpiece->prefix_bytes;
    }
    return true;
}

tern_status tern__wordpiece_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                     const tern_spans *spans, tern_error *err) {
    size_t expected; /* about what prose needs */
    if (!tern__size_add(spans->n, spans->n / 4 + 16, &expected) || !tern__token_list_reserve(out, expected))
        return TERN_FAIL_MEMORY(err, expected * 12);
    for (size_t i = 0; i < spans->n; i++) {
        tern_span word = spans->items[i];
        size_t n_bytes = word.end - word.start;
        if (out->capacity - out->n < n_bytes && !tern__token_list_reserve(out, n_bytes)) return TERN_FAIL_MEMORY(err, n_bytes * 12);
        if (tokenize_word(model, out, bytes, word)) continue;
        if (model->unk.id < 0) return tern__unk_token_fail(&model->unk, err);
        tern__token_list_push(out, model->unk.id, word.start, word.end);
    }
    return TERN_OK;
}
