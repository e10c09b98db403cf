/* template.c - what each kind of post-processor does to the list of encodings, done to places for them, and the lists as templates.
 * Source: Hugging Face tokenizers 0.23, PostProcessor::process_encodings of each kind, and Encoding::merge.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/post_processor/post_processor.h"

/* [n] of `size` bytes, zeroed; NULL when memory is short. */
static void *make(tern_arena *arena, size_t n, size_t size) {
    size_t bytes;
    if (!tern__size_multiply(n, size, &bytes)) return NULL;
    void *block = tern__arena_alloc(arena, bytes);
    if (block && bytes) memset(block, 0, bytes);
    return block;
}

/* A place with room for n_more pieces before those that `place` (or none, NULL) has, and as many behind them. */
static bool copy_place(tern_template_maker *maker, tern_place *out, const tern_place *place, size_t n_before, size_t n_behind) {
    size_t n_inside = place ? place->n_pieces : 0;
    *out = (tern_place){.n_pieces = n_before + n_inside + n_behind};
    out->pieces = make(&maker->arena, out->n_pieces, sizeof *out->pieces);
    if (!out->pieces) return false;
    if (n_inside) memcpy(out->pieces + n_before, place->pieces, n_inside * sizeof *out->pieces);
    for (size_t kind = 0; place && kind < 2; kind++) {
        out->ranges[kind] = place->ranges[kind];
        out->n_ranges[kind] = place->n_ranges[kind];
    }
    return true;
}

/* Say that pieces [first, end) are of sequence `id`; what was said of it before does not count. */
static bool set_range(tern_template_maker *maker, tern_place *place, bool is_overflowing, size_t id, size_t first, size_t end) {
    size_t n = place->n_ranges[is_overflowing];
    tern_sequence_range *ranges = make(&maker->arena, n + 1, sizeof *ranges);
    if (!ranges) return false;
    if (n) memcpy(ranges, place->ranges[is_overflowing], n * sizeof *ranges);
    ranges[n] = (tern_sequence_range){.id = id, .first = first, .end = end, .is_overflowing = is_overflowing};
    place->ranges[is_overflowing] = ranges;
    place->n_ranges[is_overflowing] = n + 1;
    return true;
}

static void set_type_ids(tern_place *place, bool is_overflowing, int32_t type_id) {
    for (size_t i = 0; i < place->n_pieces; i++) place->pieces[i].type_ids[is_overflowing] = type_id;
}

tern_status tern__template_start(tern_template_maker *maker, bool has_processor, tern_error *err) {
    for (size_t l = 0; l < 4; l++) {
        tern_places *list = &maker->lists[l / 2][l % 2];
        list->n = l / 2 + 1;
        list->items = make(&maker->arena, list->n, sizeof *list->items);
        if (!list->items) return TERN_FAIL_MEMORY(err, list->n * sizeof *list->items);
        for (size_t i = 0; i < list->n; i++) {
            tern_place *place = &list->items[i];
            if (!copy_place(maker, place, NULL, 1, 0) || !set_range(maker, place, false, i, 0, 1) ||
                (has_processor && !set_range(maker, place, true, i, 0, 1)))
                return TERN_FAIL_MEMORY(err, sizeof *place->pieces);
            place->pieces[0] = (tern_template_piece){.sequence = (int)i, .type_ids = {(int32_t)i, (int32_t)i}};
        }
    }
    return TERN_OK;
}

/* `rules` is a list of places of one piece: a sequence, or special tokens. */
static tern_status apply_rules(tern_template_maker *maker, tern_places *list, const tern_places *rules, bool with_special_tokens,
                               tern_error *err) {
    tern_places made = {.is_broken = list->is_broken, .items = make(&maker->arena, rules->n, sizeof *made.items)};
    if (!made.items) return TERN_FAIL_MEMORY(err, rules->n * sizeof *made.items);
    for (size_t i = 0; i < rules->n; i++) {
        const tern_template_piece *rule = &rules->items[i].pieces[0];
        tern_place *place = &made.items[made.n];
        if (rule->sequence < 0 && !with_special_tokens) continue;
        if (rule->sequence < 0) {
            *place = rules->items[i];
        } else {
            if (!copy_place(maker, place, &list->items[rule->sequence], 0, 0) ||
                !set_range(maker, place, false, (size_t)rule->sequence, 0, place->n_pieces))
                return TERN_FAIL_MEMORY(err, sizeof *place->pieces);
            set_type_ids(place, false, rule->type_ids[0]);
        }
        made.n++;
    }
    *list = made;
    return TERN_OK;
}

tern_status tern__template_apply(tern_template_maker *maker, const tern_places rules[2], tern_error *err) {
    for (size_t l = 0; l < 4; l++) {
        tern_places *list = &maker->lists[l / 2][l % 2];
        if (list->n == 1 || list->n == 2) TERN_TRY(apply_rules(maker, list, &rules[list->n - 1], l % 2, err));
        else *list = (tern_places){.is_broken = true};
    }
    return TERN_OK;
}

/* Put `before` (or nothing, NULL) and `behind` round a place; what is inside then counts as text. */
static bool wrap_place(tern_template_maker *maker, tern_place *place, const tern_special_token *before, const tern_special_token *behind,
                       int32_t type_id, size_t id) {
    tern_place wrapped;
    if (!copy_place(maker, &wrapped, place, before != NULL, 1)) return false;
    size_t last = wrapped.n_pieces - 1;
    for (size_t i = 0; i < last; i++) wrapped.pieces[i].special_tokens_mask = 0;
    tern_template_piece token = {.sequence = -1, .type_ids = {type_id, type_id}, .n_special_tokens = 1, .special_tokens_mask = 1};
    if (before) {
        wrapped.pieces[0] = token;
        wrapped.pieces[0].special_tokens = before;
    }
    wrapped.pieces[last] = token;
    wrapped.pieces[last].special_tokens = behind;
    wrapped.n_ranges[0] = wrapped.n_ranges[1] = 0;
    *place = wrapped;
    return set_range(maker, place, false, id, before != NULL, last) && set_range(maker, place, true, id, before != NULL, last);
}

tern_status tern__template_wrap(tern_template_maker *maker, const tern_special_token *cls, const tern_special_token *sep, bool is_roberta,
                                tern_error *err) {
    for (size_t l = 0; l < 4; l++) {
        tern_places *list = &maker->lists[l / 2][l % 2];
        bool with_special_tokens = l % 2;
        for (size_t i = 0; i < list->n; i++) {
            const tern_special_token *before = i == 0 ? cls : is_roberta ? sep : NULL;
            if (with_special_tokens && !wrap_place(maker, &list->items[i], before, sep, i > 0, i > 0))
                return TERN_FAIL_MEMORY(err, sizeof(tern_template_piece));
            if (is_roberta) set_type_ids(&list->items[i], false, 0);
            if (is_roberta && with_special_tokens) set_type_ids(&list->items[i], true, 0);
        }
    }
    return TERN_OK;
}

tern_status tern__template_trim(tern_template_maker *maker, bool add_prefix_space, tern_error *err) {
    maker->out->trims_offsets = true;
    for (size_t l = 0; l < 4; l++) {
        tern_places *list = &maker->lists[l / 2][l % 2];
        for (size_t i = 0; i < list->n; i++) {
            bool is_first = true;
            for (size_t p = 0; p < list->items[i].n_pieces; p++) {
                tern_template_piece *piece = &list->items[i].pieces[p];
                if (piece->sequence < 0) {
                    is_first = is_first && piece->n_special_tokens == 0;
                    continue;
                }
                tern_offset_trim *trims = make(&maker->out->arena, piece->n_trims + 1, sizeof *trims);
                if (!trims) return TERN_FAIL_MEMORY(err, sizeof *trims);
                if (piece->n_trims) memcpy(trims, piece->trims, piece->n_trims * sizeof *trims);
                trims[piece->n_trims++] = (tern_offset_trim){.add_prefix_space = add_prefix_space, .is_first = is_first};
                piece->trims = trims;
            }
        }
    }
    return TERN_OK;
}

tern_status tern__template_number(tern_template_maker *maker, tern_error *err) {
    for (size_t l = 0; l < 4; l++) {
        tern_places *list = &maker->lists[l / 2][l % 2];
        for (size_t i = 0; i < list->n; i++)
            if (!set_range(maker, &list->items[i], false, i, 0, list->items[i].n_pieces))
                return TERN_FAIL_MEMORY(err, sizeof(tern_sequence_range));
    }
    return TERN_OK;
}

static bool has_sequence(const tern_place *place) {
    for (size_t i = 0; i < place->n_pieces; i++)
        if (place->pieces[i].sequence >= 0) return true;
    return false;
}

static void append_place(tern_template *out, const tern_place *place) {
    size_t choice = has_sequence(place) ? out->n_choices++ : TERN_NO_CHOICE;
    for (size_t kind = 0; kind < 2; kind++) {
        if (kind == 1 && choice == TERN_NO_CHOICE) continue;
        for (size_t r = 0; r < place->n_ranges[kind]; r++) {
            tern_sequence_range range = place->ranges[kind][r];
            range.first += out->n_pieces;
            range.end += out->n_pieces;
            range.choice = choice;
            out->ranges[out->n_ranges++] = range;
        }
    }
    for (size_t p = 0; p < place->n_pieces; p++) {
        out->pieces[out->n_pieces] = place->pieces[p];
        out->pieces[out->n_pieces++].choice = choice;
    }
}

tern_status tern__template_finish(tern_template_maker *maker, tern_error *err) {
    for (size_t l = 0; l < 4; l++) {
        const tern_places *list = &maker->lists[l / 2][l % 2];
        tern_template *template = &maker->out->templates[l / 2][l % 2];
        size_t n_pieces = 0, n_ranges = 0;
        for (size_t i = 0; i < list->n; i++) {
            n_pieces += list->items[i].n_pieces;
            n_ranges += list->items[i].n_ranges[0] + list->items[i].n_ranges[1];
        }
        *template = (tern_template){.pieces = make(&maker->out->arena, n_pieces, sizeof *template->pieces),
                                    .ranges = make(&maker->out->arena, n_ranges, sizeof *template->ranges)};
        if (!template->pieces || !template->ranges) return TERN_FAIL_MEMORY(err, n_pieces * sizeof *template->pieces);
        for (size_t i = 0; i < list->n; i++) append_place(template, &list->items[i]);
        template->is_broken = list->is_broken;
    }
    return TERN_OK;
}
