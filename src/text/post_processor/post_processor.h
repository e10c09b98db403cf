/* post_processor.h - special tokens round the sequences, the type id of each, and white space cut off offsets.
 *
 * In Hugging Face's library a post-processor turns a list of encodings (the text, the pair) into another list, which then is joined. What a
 * processor, or a sequence of them, does to the list does not depend on the texts, so it is done once, at load, to a list of empty places;
 * what comes out is a template for each of four cases: with a pair or without, with special tokens or without.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_POST_PROCESSOR_H
#define TERN_TEXT_POST_PROCESSOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

typedef struct tern_special_token {
    int32_t id;
    tern_text text;
} tern_special_token;

/* White space at both ends of a token does not count in its offsets. */
typedef struct tern_offset_trim {
    bool add_prefix_space; /* a single leading space of the first token was not in the text */
    bool is_first;         /* the sequence's first token is the first of its encoding */
} tern_offset_trim;

/* One of the two sequences, or some special tokens. */
typedef struct tern_template_piece {
    int sequence;        /* 0: the first, 1: the pair, -1: special tokens */
    int32_t type_ids[2]; /* [1]: where `choice` is an overflowing piece */
    size_t choice;       /* the sequence piece, counted from 0, that these special tokens go with; TERN_NO_CHOICE: with none */
    const tern_special_token *special_tokens;
    size_t n_special_tokens;
    uint8_t special_tokens_mask;   /* of each: 1, or 0 where a later processor took them for text */
    const tern_offset_trim *trims; /* one after the other */
    size_t n_trims;
} tern_template_piece;

#define TERN_NO_CHOICE SIZE_MAX

/* Pieces [first, end) are of sequence `id`; of two ranges of one id the later counts. */
typedef struct tern_sequence_range {
    size_t id;
    size_t first, end;
    size_t choice;       /* as a piece's */
    bool is_overflowing; /* counts where the choice is an overflowing piece; else where it is not */
} tern_sequence_range;

typedef struct tern_template {
    tern_template_piece *pieces;
    size_t n_pieces, n_choices;
    tern_sequence_range *ranges;
    size_t n_ranges;
    bool is_broken; /* TemplateProcessing met a list that it has no rule for, and so does the library, when it is to encode */
} tern_template;

/* Zeroed: not to be used; read or set it. */
typedef struct tern_post_processor {
    tern_template templates[2][2]; /* [is pair][with special tokens] */
    size_t n_added[2];             /* [is pair]: what truncation leaves room for */
    bool trims_offsets;
    tern_arena arena; /* all that they point at */
} tern_post_processor;

/* `json` may be null or absent: no special tokens. `out` is zeroed before, and left to be freed whether it succeeds or not. */
tern_status tern__post_processor_read(tern_post_processor *out, const json_t *json, const char *file, tern_error *err);
/* BERT's: cls A sep, and cls A sep B sep. */
tern_status tern__post_processor_set_bert(tern_post_processor *out, tern_special_token cls, tern_special_token sep, tern_error *err);
void tern__post_processor_free(tern_post_processor *processor);

/* ---- How it is made: post_processor.c reads, template.c does what each kind of processor does to the four lists ---- */

/* An encoding of the list: pieces, at most one of them a sequence. */
typedef struct tern_place {
    tern_template_piece *pieces;
    size_t n_pieces;
    tern_sequence_range *ranges[2]; /* [1]: of an overflowing piece; first and end count pieces of this place */
    size_t n_ranges[2];
} tern_place;

typedef struct tern_places {
    tern_place *items;
    size_t n;
    bool is_broken;
} tern_places;

typedef struct tern_template_maker {
    tern_post_processor *out;
    tern_places lists[2][2]; /* [is pair][with special tokens] */
    tern_arena arena;        /* of the lists */
} tern_template_maker;

/* has_processor false: nothing will be done to the lists. */
tern_status tern__template_start(tern_template_maker *maker, bool has_processor, tern_error *err);
/* rules[n - 1]: what TemplateProcessing makes of a list of n encodings. */
tern_status tern__template_apply(tern_template_maker *maker, const tern_places rules[2], tern_error *err);
/* RoBERTa's has a `sep` before the pair too, and type id 0 everywhere. */
tern_status tern__template_wrap(tern_template_maker *maker, const tern_special_token *cls, const tern_special_token *sep, bool is_roberta,
                                tern_error *err);
tern_status tern__template_trim(tern_template_maker *maker, bool add_prefix_space, tern_error *err);
/* Every encoding of the list becomes a sequence of its own. */
tern_status tern__template_number(tern_template_maker *maker, tern_error *err);
/* The lists become the templates. */
tern_status tern__template_finish(tern_template_maker *maker, tern_error *err);

#endif
