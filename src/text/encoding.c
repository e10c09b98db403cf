/* encoding.c - token lists become the encoding that the caller gets: cut, put into the template, and copied into one block of memory.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/encoding
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

/* Hugging Face's rule: the longer list is cut to what the shorter leaves; when that would be shorter than the shorter one, both get a half,
 * and an odd one over goes to the longer. */
void tern__truncate_longest_first(tern_token_list *first, tern_token_list *second, size_t max_length) {
    if (!second) {
        if (first->n > max_length) first->n = max_length;
        return;
    }
    if (first->n <= max_length && second->n <= max_length - first->n) return;
    tern_token_list *shorter = first->n > second->n ? second : first, *longer = shorter == first ? second : first;
    size_t n_short = shorter->n, n_long = max_length > n_short && max_length - n_short > n_short ? max_length - n_short : n_short;
    if (n_short > max_length || n_long > max_length - n_short) {
        n_short = max_length / 2;
        n_long = n_short + max_length % 2;
    }
    if (shorter->n > n_short) shorter->n = n_short;
    if (longer->n > n_long) longer->n = n_long;
}

/* The block: ids, type ids, offsets, tokens (pointers), mask, strings. It starts with ids, so freeing ids frees all. */
typedef struct tern_encoding_layout {
    size_t type_ids, offsets, tokens, mask, strings, bytes;
} tern_encoding_layout;

static bool plan_encoding(tern_encoding_layout *layout, size_t n, size_t strings_bytes, bool with_tokens) {
    size_t n_even, at;
    if (!tern__size_add(n, n & 1, &n_even) || !tern__size_multiply(n_even, 4, &layout->type_ids)) return false; /* pointers stay aligned */
    if (!tern__size_multiply(layout->type_ids, 2, &layout->offsets)) return false;
    if (!tern__size_multiply(layout->type_ids, 4, &layout->tokens)) return false;
    if (!tern__size_multiply(with_tokens ? n + 1 : 0, sizeof(char *), &at) || !tern__size_add(layout->tokens, at, &layout->mask)) return false;
    return tern__size_add(layout->mask, n, &layout->strings) && tern__size_add(layout->strings, strings_bytes, &layout->bytes);
}

/* Texts of tokens, in their order. */
typedef struct tern_text_cursor {
    const tern_tokenizer *tokenizer;
    const tern_token_list *list;
    size_t next_own_text;
} tern_text_cursor;

static tern_text token_text(tern_text_cursor *cursor, size_t token) {
    const tern_token_list *list = cursor->list;
    if (cursor->next_own_text < list->n_own_texts && list->own_texts[cursor->next_own_text].token == token) {
        const tern_token_text *own = &list->own_texts[cursor->next_own_text++];
        return (tern_text){.data = list->texts + own->start, .bytes = own->n_bytes};
    }
    const tern_vocabulary *vocabulary = &cursor->tokenizer->model.vocabulary;
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(vocabulary, list->ids[token]);
    return (tern_text){.data = tern__vocabulary_string(vocabulary, entry), .bytes = entry->n_bytes};
}

static char *put_string(char **strings, tern_text text) {
    char *copy = *strings;
    if (text.bytes) memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    *strings += text.bytes + 1;
    return copy;
}

/* Append a sequence to the encoding; `strings` NULL: without tokens. */
static void put_sequence(tern_encoding *out, const tern_tokenizer *tokenizer, const tern_token_list *list, int32_t type_id,
                         char **strings) {
    size_t n = list->n;
    if (n == 0) return;
    memcpy(out->ids + out->n, list->ids, n * sizeof *out->ids);
    memcpy(out->offsets + out->n, list->offsets, n * sizeof *out->offsets);
    memset(out->special_tokens_mask + out->n, 0, n);
    for (size_t i = 0; i < n; i++) out->type_ids[out->n + i] = type_id;
    tern_text_cursor cursor = {.tokenizer = tokenizer, .list = list};
    for (size_t i = 0; strings && i < n; i++) out->tokens[out->n + i] = put_string(strings, token_text(&cursor, i));
    out->n += n;
}

static void put_special_tokens(tern_encoding *out, const tern_template_piece *piece, char **strings) {
    for (size_t i = 0; i < piece->n_special_tokens; i++, out->n++) {
        out->ids[out->n] = piece->special_tokens[i].id;
        out->type_ids[out->n] = piece->type_id;
        out->offsets[out->n][0] = out->offsets[out->n][1] = 0;
        out->special_tokens_mask[out->n] = 1;
        if (strings) out->tokens[out->n] = put_string(strings, piece->special_tokens[i].text);
    }
}

/* Tokens of all pieces, and bytes of their strings; false on overflow. */
static bool count_pieces(size_t *n, size_t *strings_bytes, const tern_tokenizer *tokenizer, const tern_template *template,
                         const tern_token_list lists[2], bool add_special_tokens, bool with_tokens) {
    *n = *strings_bytes = 0;
    for (size_t p = 0; p < template->n_pieces; p++) {
        const tern_template_piece *piece = &template->pieces[p];
        if (piece->sequence < 0 && !add_special_tokens) continue;
        const tern_token_list *list = piece->sequence < 0 ? NULL : &lists[piece->sequence];
        size_t n_piece = list ? list->n : piece->n_special_tokens;
        if (!tern__size_add(*n, n_piece, n)) return false;
        tern_text_cursor cursor = {.tokenizer = tokenizer, .list = list};
        for (size_t i = 0; with_tokens && i < n_piece; i++) {
            tern_text text = list ? token_text(&cursor, i) : piece->special_tokens[i].text;
            if (!tern__size_add(*strings_bytes, text.bytes + 1, strings_bytes)) return false;
        }
    }
    return true;
}

tern_status tern__encoding_build(tern_encoding *out, const tern_tokenizer *tokenizer, const tern_template *template,
                                 const tern_token_list lists[2], bool add_special_tokens, bool with_tokens, tern_error *err) {
    size_t n, strings_bytes;
    tern_encoding_layout layout;
    if (!count_pieces(&n, &strings_bytes, tokenizer, template, lists, add_special_tokens, with_tokens) ||
        !plan_encoding(&layout, n, strings_bytes, with_tokens))
        return TERN_FAIL_MEMORY(err, SIZE_MAX);
    unsigned char *block = tern__alloc(layout.bytes, 1);
    if (!block) return TERN_FAIL_MEMORY(err, layout.bytes);
    tern_encoding encoding = {.ids = (int32_t *)(void *)block,
                              .type_ids = (int32_t *)(void *)(block + layout.type_ids),
                              .offsets = (uint32_t(*)[2])(void *)(block + layout.offsets),
                              .tokens = with_tokens ? (char **)(void *)(block + layout.tokens) : NULL,
                              .special_tokens_mask = block + layout.mask};
    char *strings = (char *)(block + layout.strings);
    for (size_t p = 0; p < template->n_pieces; p++) {
        const tern_template_piece *piece = &template->pieces[p];
        if (piece->sequence >= 0) {
            put_sequence(&encoding, tokenizer, &lists[piece->sequence], piece->type_id, with_tokens ? &strings : NULL);
        } else if (add_special_tokens) {
            put_special_tokens(&encoding, piece, with_tokens ? &strings : NULL);
        }
    }
    if (with_tokens) encoding.tokens[encoding.n] = strings;
    *out = encoding;
    return TERN_OK;
}

void tern_encoding_free(tern_encoding *encoding) {
    if (!encoding) return;
    free(encoding->ids);
    *encoding = (tern_encoding){0};
}
