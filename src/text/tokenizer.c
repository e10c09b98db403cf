/* tokenizer.c - what is made ready for encoding, tokens and ids, and ids back into text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

void tern_tokenizer_free(tern_tokenizer *tokenizer) {
    if (!tokenizer) return;
    tern__added_tokens_free(&tokenizer->added_tokens);
    tern__normalizer_free(&tokenizer->normalizer);
    tern__pre_tokenizer_free(&tokenizer->pre_tokenizer);
    tern__token_model_free(&tokenizer->model);
    tern__post_processor_free(&tokenizer->post_processor);
    tern__decoder_free(&tokenizer->decoder);
    free(tokenizer->edge_spaces);
    free(tokenizer);
}

/* ---- Made ready ---- */

/* White space, and the character that stands for a space in byte-level vocabularies. */
static bool is_edge_space(uint32_t code_point) {
    return code_point == tern__byte_level_character(' ') || (tern__unicode_find(code_point).flags & TERN_UNICODE_SPACE);
}

void tern__count_edge_spaces(tern_text text, size_t *leading, size_t *trailing) {
    const unsigned char *bytes = (const unsigned char *)text.data;
    *leading = *trailing = 0;
    for (size_t at = 0, n; at < text.bytes && is_edge_space(tern__utf8_decode(bytes + at, &n)); at += n) ++*leading;
    for (size_t end = text.bytes, n; end > 0; ++*trailing) {
        do end--;
        while (tern__utf8_is_continuation(bytes[end]));
        if (!is_edge_space(tern__utf8_decode(bytes + end, &n))) break;
    }
}

/* Where ids leave no large gaps. */
static tern_status count_all_edge_spaces(tern_tokenizer *tokenizer, tern_error *err) {
    const tern_vocabulary *vocabulary = &tokenizer->model.vocabulary;
    size_t n_ids = 0;
    for (size_t i = 0; i < vocabulary->n_entries; i++)
        if ((size_t)vocabulary->entries[i].id >= n_ids) n_ids = (size_t)vocabulary->entries[i].id + 1;
    if (n_ids / 4 > vocabulary->n_entries) return TERN_OK;
    tokenizer->edge_spaces = tern__alloc_zero(n_ids, sizeof *tokenizer->edge_spaces);
    if (!tokenizer->edge_spaces) return TERN_FAIL_MEMORY(err, n_ids * sizeof *tokenizer->edge_spaces);
    tokenizer->n_edge_spaces = n_ids;
    for (size_t id = 0; id < n_ids; id++) {
        const tern_vocabulary_entry *entry = tern__vocabulary_find_id(vocabulary, (int32_t)id);
        if (!entry) continue;
        size_t leading, trailing;
        tern__count_edge_spaces((tern_text){.data = tern__vocabulary_string(vocabulary, entry), .bytes = entry->n_bytes}, &leading,
                                &trailing);
        tokenizer->edge_spaces[id] =
            (tern_edge_spaces){.leading = (uint8_t)(leading < TERN_MANY_EDGE_SPACES ? leading : TERN_MANY_EDGE_SPACES),
                               .trailing = (uint8_t)(trailing < TERN_MANY_EDGE_SPACES ? trailing : TERN_MANY_EDGE_SPACES)};
    }
    return TERN_OK;
}

/* Where words end as bytes in GPT-2's characters and the model can read bytes, nobody needs the characters. */
static tern_status join_byte_level(tern_tokenizer *tokenizer, tern_error *err) {
    bool can;
    if (!tern__pre_tokenizer_is_byte_level(&tokenizer->pre_tokenizer)) return TERN_OK;
    TERN_TRY(tern__token_model_take_bytes(&tokenizer->model, &can, err));
    if (can) tern__pre_tokenizer_skip_byte_mapping(&tokenizer->pre_tokenizer);
    return TERN_OK;
}

tern_status tern__tokenizer_finish(tern_tokenizer *tokenizer, tern_error *err) {
    TERN_TRY(tern__added_tokens_finish(&tokenizer->added_tokens, err));
    TERN_TRY(join_byte_level(tokenizer, err));
    if (tokenizer->post_processor.trims_offsets) TERN_TRY(count_all_edge_spaces(tokenizer, err));
    return TERN_OK;
}

/* ---- Tokens and ids ---- */

size_t tern_tokenizer_vocab_size(const tern_tokenizer *tokenizer) {
    const tern_vocabulary *vocabulary = &tokenizer->model.vocabulary, *names = &tokenizer->added_tokens.names;
    size_t n = vocabulary->n_entries;
    for (size_t i = 0; i < names->n_entries; i++)
        n += !tern__vocabulary_find(vocabulary, tern__vocabulary_string(names, &names->entries[i]), names->entries[i].n_bytes);
    return n;
}

/* data NULL when no token has that id. An added token reads as its normalized form, which is what was found in the text. */
static tern_text text_of_id(const tern_tokenizer *tokenizer, int32_t id) {
    const tern_added_token *added = tern__added_tokens_find_id(&tokenizer->added_tokens, id);
    if (added) return added->normalized_form.data ? added->normalized_form : added->content;
    const tern_vocabulary *vocabulary = &tokenizer->model.vocabulary;
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(vocabulary, id);
    if (!entry) return (tern_text){0};
    return (tern_text){.data = tern__vocabulary_string(vocabulary, entry), .bytes = entry->n_bytes};
}

const char *tern_tokenizer_id_to_token(const tern_tokenizer *tokenizer, int32_t id) { return text_of_id(tokenizer, id).data; }

int32_t tern_tokenizer_token_to_id(const tern_tokenizer *tokenizer, const char *token) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find(&tokenizer->added_tokens.names, token, strlen(token));
    if (!entry) entry = tern__vocabulary_find(&tokenizer->model.vocabulary, token, strlen(token));
    return entry ? entry->id : -1;
}

tern_status tern_tokenizer_decode(char **out, size_t *n_bytes, const tern_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                  bool skip_special_tokens, tern_error *err) {
    *out = NULL;
    if (n_bytes) *n_bytes = 0;
    tern_text *tokens = tern__alloc(n_ids, sizeof *tokens);
    if (!tokens) return TERN_FAIL_MEMORY(err, n_ids * sizeof *tokens);
    size_t n_tokens = 0;
    for (size_t i = 0; i < n_ids; i++) {
        tern_text token = text_of_id(tokenizer, ids[i]);
        if (!token.data) {
            free(tokens);
            return TERN_FAIL(err, TERN_E_ARGUMENT, "id %d (number %zu) is not in the vocabulary", (int)ids[i], i);
        }
        if (skip_special_tokens && tern__added_tokens_is_special(&tokenizer->added_tokens, token)) continue;
        tokens[n_tokens++] = token;
    }
    size_t length;
    tern_status status = tern__decoder_join(out, &length, &tokenizer->decoder, tokens, n_tokens, err);
    free(tokens);
    if (status == TERN_OK && n_bytes) *n_bytes = length;
    return status;
}
