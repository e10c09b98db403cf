/* added_tokens.c - the table of added tokens, and splitting a text at them.
 * A text is split twice: at the tokens that are sought as they are, and, each piece being normalized, at those that are sought normalized.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/added-tokens
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode/unicode.h"

void tern__added_tokens_free(tern_added_tokens *added) {
    tern__vocabulary_free(&added->names);
    free(added->tokens);
    free(added->was_special);
    free(added->turns);
    free(added->winners);
    free(added->raw.sorted);
    free(added->normalized.sorted);
    tern__arena_free(&added->arena);
    *added = (tern_added_tokens){0};
}

static bool copy_into_arena(tern_arena *arena, tern_text *out, const unsigned char *text, size_t n_bytes) {
    out->data = tern__arena_copy(arena, (const char *)text, n_bytes);
    out->bytes = n_bytes;
    return out->data != NULL;
}

/* Set token->normalized_form when it differs from the content. */
static tern_status normalize_content(tern_added_tokens *added, tern_added_token *token, const tern_normalizer *normalizer, const char *file,
                                     tern_error *err) {
    tern_normalized form = {0};
    const unsigned char *content = (const unsigned char *)token->content.data;
    tern_status status = tern__normalizer_run(&form, normalizer, content, token->content.bytes, 0, err);
    if (status == TERN_OK && form.n_bytes == 0)
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: added token \"%s\", of which the normalizer leaves nothing, is not supported",
                           file, token->content.data);
    if (status == TERN_OK && (form.n_bytes != token->content.bytes || memcmp(form.bytes, content, form.n_bytes) != 0) &&
        !copy_into_arena(&added->arena, &token->normalized_form, form.bytes, form.n_bytes))
        status = TERN_FAIL_MEMORY(err, form.n_bytes);
    tern__normalized_free(&form);
    return status;
}

tern_status tern__added_tokens_add(tern_added_tokens *added, const tern_added_token *token, const tern_vocabulary *vocabulary,
                                   const tern_normalizer *normalizer, int32_t *next_id, const char *file, tern_error *err) {
    if (token->content.bytes == 0) return TERN_OK;
    tern_added_token copy = *token;
    const tern_vocabulary_entry *known = tern__vocabulary_find(&added->names, token->content.data, token->content.bytes);
    const tern_vocabulary_entry *entry = known ? known : tern__vocabulary_find(vocabulary, token->content.data, token->content.bytes);
    if (!entry && *next_id == INT32_MAX) return TERN_FAIL(err, TERN_E_FORMAT, "%s: too many added tokens", file);
    copy.id = entry ? entry->id : (*next_id)++;
    size_t index = known ? (size_t)(known - added->names.entries) : added->names.n_entries;
    copy.normalized_form = known ? added->tokens[index].normalized_form : (tern_text){0};
    if (!copy_into_arena(&added->arena, &copy.content, (const unsigned char *)token->content.data, token->content.bytes) ||
        !tern__grow(&added->tokens, &added->capacity, index + 1, sizeof *added->tokens) ||
        !tern__grow(&added->was_special, &added->was_special_capacity, index + 1, sizeof *added->was_special) ||
        !tern__grow(&added->turns, &added->turns_capacity, index + 1, sizeof *added->turns))
        return TERN_FAIL_MEMORY(err, token->content.bytes + sizeof copy);
    if (copy.normalized) TERN_TRY(normalize_content(added, &copy, normalizer, file, err));
    bool is_new;
    if (!tern__vocabulary_set(&added->names, copy.content.data, copy.content.bytes, copy.id, &is_new))
        return TERN_FAIL_MEMORY(err, copy.content.bytes);
    added->tokens[index] = copy;
    added->turns[index] = added->n_turns++;
    added->was_special[index] = copy.special || (known && added->was_special[index]);
    return TERN_OK;
}

static tern_text pattern_of(const tern_added_token *token) {
    return token->normalized && token->normalized_form.data ? token->normalized_form : token->content;
}

/* By pattern; of equal ones the token that was added first comes first. */
static int compare_patterns(const void *left, const void *right) {
    const tern_added_token *a = *(const tern_added_token *const *)left, *b = *(const tern_added_token *const *)right;
    tern_text p = pattern_of(a), q = pattern_of(b);
    size_t common = p.bytes < q.bytes ? p.bytes : q.bytes;
    int order = memcmp(p.data, q.data, common);
    if (order != 0) return order;
    if (p.bytes != q.bytes) return p.bytes < q.bytes ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool build_matcher(tern_added_matcher *matcher, const tern_added_tokens *added, bool normalized) {
    matcher->sorted = tern__alloc(added->names.n_entries, sizeof *matcher->sorted);
    if (!matcher->sorted) return false;
    matcher->only_first_byte = -1;
    for (size_t i = 0; i < added->names.n_entries; i++) {
        const tern_added_token *token = &added->tokens[i];
        if (token->normalized != normalized || tern__added_tokens_find_id(added, token->id) != token) continue;
        unsigned char first = (unsigned char)pattern_of(token).data[0];
        matcher->only_first_byte = matcher->n == 0 || matcher->only_first_byte == first ? first : -1;
        matcher->is_first_byte[first] = true;
        matcher->sorted[matcher->n++] = token;
    }
    if (matcher->n > 1) qsort(matcher->sorted, matcher->n, sizeof *matcher->sorted, compare_patterns);
    return true;
}

/* Several tokens may have one id: the one that was given last is what it stands for. */
static bool find_winners(tern_added_tokens *added) {
    size_t n = added->names.n_entries;
    added->winners = tern__alloc(n, sizeof *added->winners);
    if (!added->winners || !tern__vocabulary_index_ids(&added->names)) return false;
    for (size_t i = 0; i < n; i++) added->winners[i] = i;
    for (size_t i = 0; i < n; i++) {
        size_t *winner = &added->winners[tern__vocabulary_find_id(&added->names, added->tokens[i].id) - added->names.entries];
        if (added->turns[i] > added->turns[*winner]) *winner = i;
    }
    return true;
}

tern_status tern__added_tokens_finish(tern_added_tokens *added, tern_error *err) {
    if (!find_winners(added) || !build_matcher(&added->raw, added, false) || !build_matcher(&added->normalized, added, true))
        return TERN_FAIL_MEMORY(err, added->names.n_entries * sizeof *added->raw.sorted);
    return TERN_OK;
}

const tern_added_token *tern__added_tokens_find_id(const tern_added_tokens *added, int32_t id) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(&added->names, id);
    return entry ? &added->tokens[added->winners[entry - added->names.entries]] : NULL;
}

bool tern__added_tokens_is_special(const tern_added_tokens *added, tern_text token) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find(&added->names, token.data, token.bytes);
    return entry && added->was_special[entry - added->names.entries];
}

/* The longest pattern at `text`: the candidates are the sorted ones that agree so far, narrowed byte by byte. */
static const tern_added_token *match_here(const tern_added_matcher *matcher, const unsigned char *text, size_t n_bytes) {
    const tern_added_token *best = NULL;
    size_t low = 0, high = matcher->n;
    for (size_t depth = 0; low < high; depth++) {
        if (pattern_of(matcher->sorted[low]).bytes == depth) {
            best = matcher->sorted[low];
            while (low < high && pattern_of(matcher->sorted[low]).bytes == depth) low++;
        }
        if (depth == n_bytes) break;
        size_t left = low, right = high; /* to the first whose byte at depth is at least text[depth] .. */
        while (left < right) {
            size_t middle = (left + right) / 2;
            if ((unsigned char)pattern_of(matcher->sorted[middle]).data[depth] < text[depth]) left = middle + 1;
            else right = middle;
        }
        low = left;
        right = high; /* .. and to the first whose byte is greater */
        while (left < right) {
            size_t middle = (left + right) / 2;
            if ((unsigned char)pattern_of(matcher->sorted[middle]).data[depth] <= text[depth]) left = middle + 1;
            else right = middle;
        }
        high = left;
    }
    return best;
}

static const tern_added_token *find_match(const tern_added_matcher *matcher, const unsigned char *text, size_t n_bytes, size_t *at) {
    for (size_t i = *at; i < n_bytes; i++) {
        if (matcher->only_first_byte >= 0) {
            const unsigned char *found = memchr(text + i, matcher->only_first_byte, n_bytes - i);
            if (!found) return NULL;
            i = (size_t)(found - text);
        } else {
            while (i < n_bytes && !matcher->is_first_byte[text[i]]) i++;
            if (i == n_bytes) return NULL;
        }
        const tern_added_token *token = match_here(matcher, text + i, n_bytes - i);
        if (token) {
            *at = i;
            return token;
        }
    }
    return NULL;
}

/* Flags of the code point that ends before `end` (end > 0); *start is where it starts. */
static unsigned flags_before(const unsigned char *text, size_t end, size_t *start) {
    size_t at = end - 1, length;
    while (tern__utf8_is_continuation(text[at])) at--;
    *start = at;
    return tern__unicode_find(tern__utf8_decode(text + at, &length)).flags;
}

static unsigned flags_at(const unsigned char *text, size_t at, size_t *length) {
    return tern__unicode_find(tern__utf8_decode(text + at, length)).flags;
}

static bool stands_alone(const tern_added_split *split, size_t start, size_t end) {
    size_t unused;
    return (start == 0 || !(flags_before(split->text, start, &unused) & TERN_UNICODE_WORD)) &&
           (end == split->n_bytes || !(flags_at(split->text, end, &unused) & TERN_UNICODE_WORD));
}

static size_t strip_left(const tern_added_split *split, size_t start) {
    for (size_t before; start > split->piece_start; start = before)
        if (!(flags_before(split->text, start, &before) & TERN_UNICODE_SPACE)) return start;
    return split->piece_start;
}

static size_t strip_right(const tern_added_split *split, size_t end) {
    for (size_t length; end < split->n_bytes; end += length)
        if (!(flags_at(split->text, end, &length) & TERN_UNICODE_SPACE)) return end;
    return end;
}

bool tern__added_split_next(tern_added_split *split, tern_added_piece *piece) {
    if (split->pending.token) {
        *piece = split->pending;
        split->pending = (tern_added_piece){0};
        return true;
    }
    while (split->matcher->n > 0) {
        size_t start = split->search_from;
        const tern_added_token *token = find_match(split->matcher, split->text, split->n_bytes, &start);
        if (!token) break;
        size_t end = start + pattern_of(token).bytes;
        split->search_from = end;
        if (token->single_word && !stands_alone(split, start, end)) continue;
        if (token->lstrip) start = strip_left(split, start);
        if (token->rstrip) end = strip_right(split, end);
        if (start >= end) continue; /* spaces, which the token before took */
        tern_added_piece found = {.token = token, .start = start, .end = end};
        *piece = found;
        if (split->piece_start < start) {
            *piece = (tern_added_piece){.start = split->piece_start, .end = start};
            split->pending = found;
        }
        split->piece_start = end;
        return true;
    }
    split->search_from = split->n_bytes;
    *piece = (tern_added_piece){.start = split->piece_start, .end = split->n_bytes};
    split->piece_start = split->n_bytes;
    return piece->start < piece->end;
}
