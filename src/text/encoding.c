/* encoding.c - token lists become the encoding that the caller gets: cut, put into the template, and copied into one block of memory.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/encoding
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/encoding.h"

#include <stdlib.h>
#include <string.h>

/* The block: ids, type ids, word ids, sequence ids, offsets, tokens (pointers), mask, strings. It starts with ids, so freeing ids frees
 * all. */
typedef struct tern_encoding_layout {
    size_t type_ids, word_ids, sequence_ids, offsets, tokens, mask, strings, bytes;
} tern_encoding_layout;

/* What is made at a time: an encoding, whose n counts up, and where its next string goes. */
typedef struct tern_encoding_maker {
    const tern_encoding_parts *parts;
    const size_t *choices; /* the part that each choice of the template takes; NULL: the first, everywhere */
    tern_encoding made;
    char *strings;
} tern_encoding_maker;

static bool plan_encoding(tern_encoding_layout *layout, size_t n, size_t strings_bytes, const tern_encoding_parts *parts) {
    size_t n_even, column, at; /* of an even number of 4 bytes, so that pointers stay aligned */
    if (!tern__size_add(n, n & 1, &n_even) || !tern__size_multiply(n_even, 4, &column)) return false;
    size_t n_columns = parts->with_word_ids ? 6 : 4;
    if (!tern__size_multiply(column, n_columns, &layout->tokens)) return false;
    layout->type_ids = column;
    layout->word_ids = 2 * column;
    layout->sequence_ids = 3 * column;
    layout->offsets = (n_columns - 2) * column;
    if (!tern__size_multiply(parts->with_tokens ? n + 1 : 0, sizeof(char *), &at) || !tern__size_add(layout->tokens, at, &layout->mask))
        return false;
    return tern__size_add(layout->mask, n, &layout->strings) && tern__size_add(layout->strings, strings_bytes, &layout->bytes);
}

/* The part of a piece that is not special tokens. */
static void find_part(const tern_encoding_maker *maker, const tern_template_piece *piece, size_t *first, size_t *end) {
    tern__cut_part(&maker->parts->cuts[piece->sequence], maker->choices ? maker->choices[piece->choice] : 0, first, end);
}

static bool is_overflowing(const tern_encoding_maker *maker, size_t choice) {
    return choice != TERN_NO_CHOICE && maker->choices && maker->choices[choice] > 0;
}

/* ---- Texts of tokens ---- */

/* Reads tokens in their order. */
typedef struct tern_text_cursor {
    const tern_tokenizer *tokenizer;
    const tern_token_list *list;
    size_t next_own_text;
} tern_text_cursor;

static tern_text_cursor cursor_at(const tern_tokenizer *tokenizer, const tern_token_list *list, size_t token) {
    size_t low = 0, high = list->n_own_texts; /* to the first own text of this token or a later one */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list->own_texts[middle].token < token) low = middle + 1;
        else high = middle;
    }
    return (tern_text_cursor){.tokenizer = tokenizer, .list = list, .next_own_text = low};
}

static bool has_own_text(const tern_text_cursor *cursor, size_t token) {
    return cursor->next_own_text < cursor->list->n_own_texts && cursor->list->own_texts[cursor->next_own_text].token == token;
}

static tern_text token_text(tern_text_cursor *cursor, size_t token) {
    const tern_token_list *list = cursor->list;
    if (has_own_text(cursor, token)) {
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

/* ---- Offsets without white space ---- */

static void trim_offsets(uint32_t offsets[2], size_t leading, size_t trailing, tern_offset_trim trim, bool is_first_token) {
    if (leading > 0) {
        bool is_first = (is_first_token && trim.is_first) || offsets[0] == 0;
        if (is_first && trim.add_prefix_space && leading == 1) leading = 0;
        offsets[0] = offsets[1] - offsets[0] > leading ? offsets[0] + (uint32_t)leading : offsets[1];
    }
    if (trailing > 0 && offsets[1] >= trailing)
        offsets[1] = offsets[1] - offsets[0] > trailing ? offsets[1] - (uint32_t)trailing : offsets[0];
}

/* White space at the ends of a token's text: most texts are the vocabulary's, whose spaces have been counted. */
static void find_edge_spaces(tern_text_cursor *cursor, size_t token, size_t *leading, size_t *trailing) {
    const tern_tokenizer *tokenizer = cursor->tokenizer;
    size_t id = (size_t)cursor->list->ids[token];
    if (!has_own_text(cursor, token) && id < tokenizer->n_edge_spaces) {
        *leading = tokenizer->edge_spaces[id].leading;
        *trailing = tokenizer->edge_spaces[id].trailing;
        if (*leading != TERN_MANY_EDGE_SPACES && *trailing != TERN_MANY_EDGE_SPACES) return;
    }
    tern__count_edge_spaces(token_text(cursor, token), leading, trailing);
}

/* Of the tokens that the encoding ends with, [first, end) of the list. */
static void trim_piece(tern_encoding_maker *maker, const tern_template_piece *piece, size_t first, size_t end) {
    tern_text_cursor cursor = cursor_at(maker->parts->tokenizer, &maker->parts->lists[piece->sequence], first);
    uint32_t(*offsets)[2] = maker->made.offsets + maker->made.n - (end - first);
    for (size_t i = first; i < end; i++) {
        size_t leading, trailing;
        find_edge_spaces(&cursor, i, &leading, &trailing);
        if (leading == 0 && trailing == 0) continue;
        for (size_t t = 0; t < piece->n_trims; t++) trim_offsets(offsets[i - first], leading, trailing, piece->trims[t], i == first);
    }
}

/* ---- One encoding ---- */

static void put_sequence(tern_encoding_maker *maker, const tern_template_piece *piece) {
    const tern_encoding_parts *parts = maker->parts;
    const tern_token_list *list = &parts->lists[piece->sequence];
    tern_encoding *made = &maker->made;
    size_t first, end;
    find_part(maker, piece, &first, &end);
    size_t n = end - first;
    if (n == 0) return;
    memcpy(made->ids + made->n, list->ids + first, n * sizeof *made->ids);
    memcpy(made->offsets + made->n, list->offsets + first, n * sizeof *made->offsets);
    memset(made->special_tokens_mask + made->n, 0, n);
    int32_t type_id = piece->type_ids[is_overflowing(maker, piece->choice)];
    for (size_t i = 0; i < n; i++) made->type_ids[made->n + i] = type_id;
    if (parts->with_word_ids) memcpy(made->word_ids + made->n, list->word_ids + first, n * sizeof *made->word_ids);
    if (parts->with_tokens) {
        tern_text_cursor cursor = cursor_at(parts->tokenizer, list, first);
        for (size_t i = 0; i < n; i++) made->tokens[made->n + i] = put_string(&maker->strings, token_text(&cursor, first + i));
    }
    made->n += n;
    if (piece->n_trims) trim_piece(maker, piece, first, end);
}

static void put_special_tokens(tern_encoding_maker *maker, const tern_template_piece *piece) {
    tern_encoding *made = &maker->made;
    for (size_t i = 0; i < piece->n_special_tokens; i++, made->n++) {
        made->ids[made->n] = piece->special_tokens[i].id;
        made->type_ids[made->n] = piece->type_ids[is_overflowing(maker, piece->choice)];
        made->offsets[made->n][0] = made->offsets[made->n][1] = 0;
        made->special_tokens_mask[made->n] = piece->special_tokens_mask;
        if (made->word_ids) made->word_ids[made->n] = -1;
        if (made->tokens) made->tokens[made->n] = put_string(&maker->strings, piece->special_tokens[i].text);
    }
}

/* Tokens of pieces [first, end). */
static size_t count_tokens(const tern_encoding_maker *maker, size_t first, size_t end) {
    size_t n = 0;
    for (size_t p = first; p < end; p++) {
        const tern_template_piece *piece = &maker->parts->template->pieces[p];
        size_t part_first = 0, part_end = piece->n_special_tokens;
        if (piece->sequence >= 0) find_part(maker, piece, &part_first, &part_end);
        n += part_end - part_first;
    }
    return n;
}

/* The range of sequence `id`: the last one that counts; NULL when there is none. */
static const tern_sequence_range *find_range(const tern_encoding_maker *maker, size_t id) {
    const tern_template *template = maker->parts->template;
    for (size_t r = template->n_ranges; r-- > 0;) {
        const tern_sequence_range *range = &template->ranges[r];
        if (range->id == id && range->is_overflowing == is_overflowing(maker, range->choice)) return range;
    }
    return NULL;
}

/* As the library tells them: of as many sequences as have a range, at least of one; a sequence without a range is everything. */
static void put_sequence_ids(tern_encoding_maker *maker) {
    const tern_template *template = maker->parts->template;
    tern_encoding *made = &maker->made;
    size_t n_sequences = 0;
    for (size_t r = 0; r < template->n_ranges; r++) n_sequences += find_range(maker, template->ranges[r].id) == &template->ranges[r];
    if (n_sequences == 0) n_sequences = 1;
    for (size_t i = 0; i < made->n; i++) made->sequence_ids[i] = -1;
    for (size_t id = 0; id < n_sequences; id++) {
        const tern_sequence_range *range = find_range(maker, id);
        size_t first = range ? count_tokens(maker, 0, range->first) : 0;
        size_t end = range ? first + count_tokens(maker, range->first, range->end) : made->n;
        for (size_t i = first; i < end; i++) made->sequence_ids[i] = (int32_t)id;
    }
}

/* Tokens of all pieces, and bytes of their strings; false on overflow. */
static bool count_pieces(size_t *n, size_t *strings_bytes, const tern_encoding_maker *maker) {
    const tern_encoding_parts *parts = maker->parts;
    *n = *strings_bytes = 0;
    for (size_t p = 0; p < parts->template->n_pieces; p++) {
        const tern_template_piece *piece = &parts->template->pieces[p];
        size_t first = 0, end = piece->n_special_tokens;
        tern_text_cursor cursor = {0};
        if (piece->sequence >= 0) {
            find_part(maker, piece, &first, &end);
            cursor = cursor_at(parts->tokenizer, &parts->lists[piece->sequence], first);
        }
        if (!tern__size_add(*n, end - first, n)) return false;
        for (size_t i = first; parts->with_tokens && i < end; i++) {
            tern_text text = piece->sequence >= 0 ? token_text(&cursor, i) : piece->special_tokens[i].text;
            if (!tern__size_add(*strings_bytes, text.bytes + 1, strings_bytes)) return false;
        }
    }
    return true;
}

static tern_status build_one(tern_encoding *out, const tern_encoding_parts *parts, const size_t *choices, tern_error *err) {
    tern_encoding_maker maker = {.parts = parts, .choices = choices};
    size_t n, strings_bytes;
    tern_encoding_layout layout;
    if (!count_pieces(&n, &strings_bytes, &maker) || !plan_encoding(&layout, n, strings_bytes, parts))
        return TERN_FAIL_MEMORY(err, SIZE_MAX);
    unsigned char *block = tern__alloc(layout.bytes, 1);
    if (!block) return TERN_FAIL_MEMORY(err, layout.bytes);
    maker.made = (tern_encoding){.ids = (int32_t *)(void *)block,
                                 .type_ids = (int32_t *)(void *)(block + layout.type_ids),
                                 .word_ids = parts->with_word_ids ? (int32_t *)(void *)(block + layout.word_ids) : NULL,
                                 .sequence_ids = parts->with_word_ids ? (int32_t *)(void *)(block + layout.sequence_ids) : NULL,
                                 .offsets = (uint32_t(*)[2])(void *)(block + layout.offsets),
                                 .tokens = parts->with_tokens ? (char **)(void *)(block + layout.tokens) : NULL,
                                 .special_tokens_mask = block + layout.mask};
    maker.strings = (char *)(block + layout.strings);
    for (size_t p = 0; p < parts->template->n_pieces; p++) {
        const tern_template_piece *piece = &parts->template->pieces[p];
        if (piece->sequence >= 0) put_sequence(&maker, piece);
        else put_special_tokens(&maker, piece);
    }
    if (parts->with_tokens) maker.made.tokens[n] = maker.strings;
    if (parts->with_word_ids) put_sequence_ids(&maker);
    *out = maker.made;
    return TERN_OK;
}

/* ---- Overflowing pieces ---- */

/* n_parts[c] of each choice; the combinations less the one without overflowing pieces. False on overflow. */
static bool count_combinations(size_t *n, const tern_encoding_parts *parts, size_t *n_parts) {
    const tern_template *template = parts->template;
    *n = 1;
    for (size_t p = 0; p < template->n_pieces; p++) {
        const tern_template_piece *piece = &template->pieces[p];
        if (piece->sequence < 0) continue;
        n_parts[piece->choice] = parts->cuts[piece->sequence].n_parts;
        if (!tern__size_multiply(*n, n_parts[piece->choice], n)) return false;
    }
    --*n;
    return true;
}

/* The choices of combination `index`, in the order in which the library joins encodings: of each overflowing piece so far, the joined one's
 * own text and then its overflowing pieces; at last what has no overflowing piece so far, and the joined one's overflowing pieces. */
static void choose(size_t *choices, const size_t *n_parts, size_t n_choices, size_t n_combinations, size_t index) {
    size_t n_last = n_combinations + 1; /* that and the one without overflowing pieces, which stands last */
    for (size_t c = n_choices; c-- > 0;) {
        n_last /= n_parts[c];
        choices[c] = index % n_parts[c];
        index /= n_parts[c];
        if (index == n_last - 1) choices[c] = (choices[c] + 1) % n_parts[c];
    }
}

static tern_status build_overflowing(tern_encoding *out, const tern_encoding_parts *parts, tern_error *err) {
    size_t n_choices = parts->template->n_choices, n;
    size_t *n_parts = tern__alloc(n_choices, 2 * sizeof *n_parts);
    if (!n_parts) return TERN_FAIL_MEMORY(err, n_choices * 2 * sizeof *n_parts);
    size_t *choices = n_parts + n_choices;
    tern_status status = TERN_OK;
    if (!count_combinations(&n, parts, n_parts)) status = TERN_FAIL_MEMORY(err, SIZE_MAX);
    if (status == TERN_OK && n > 0) {
        out->overflowing = tern__alloc_zero(n, sizeof *out->overflowing);
        if (!out->overflowing) status = TERN_FAIL_MEMORY(err, n * sizeof *out->overflowing);
    }
    for (size_t i = 0; status == TERN_OK && i < n; i++) {
        choose(choices, n_parts, n_choices, n, i);
        status = build_one(&out->overflowing[i], parts, choices, err);
        out->n_overflowing += status == TERN_OK;
    }
    free(n_parts);
    return status;
}

static size_t count_truncated(const tern_encoding_parts *parts) {
    size_t n = 0;
    for (size_t c = 0; c < 2; c++) n += parts->cuts[c].n_parts > 1 ? parts->cuts[c].n_tokens - parts->cuts[c].length : 0;
    return n;
}

tern_status tern__encoding_build(tern_encoding *out, const tern_encoding_parts *parts, tern_error *err) {
    tern_status status = build_one(out, parts, NULL, err);
    if (status == TERN_OK) out->n_truncated = count_truncated(parts);
    if (status == TERN_OK && parts->with_overflowing) status = build_overflowing(out, parts, err);
    if (status != TERN_OK) tern_encoding_free(out);
    return status;
}

void tern_encoding_free(tern_encoding *encoding) {
    if (!encoding) return;
    for (size_t i = 0; i < encoding->n_overflowing; i++) free(encoding->overflowing[i].ids);
    free(encoding->overflowing);
    free(encoding->ids);
    *encoding = (tern_encoding){0};
}
