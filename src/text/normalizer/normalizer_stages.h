/* normalizer_stages.h - what a normalizer is made of. A stage reads a text and writes another, or says that it changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_NORMALIZER_STAGES_H
#define TERN_TEXT_NORMALIZER_STAGES_H

#include "text/json_fields.h"
#include "text/normalizer/normalizer.h"
#include "text/unicode/pattern.h"
#include "text/unicode/unicode.h"

typedef struct tern_normalizer_stage tern_normalizer_stage;

/* Between stages, origins NULL means that code point k of the text is code point first + k of the whole. `out` is empty; where the stage
 * changes nothing, *is_changed is set to false and `out` has no meaning. */
typedef tern_status tern_normalize(tern_normalized *out, const tern_normalized *in, const tern_normalizer_stage *stage, bool *is_changed,
                                   tern_error *err);

/* What an ASCII character becomes. */
#define TERN_ASCII_DROPPED 0xFF

typedef struct tern_charsmap tern_charsmap;

struct tern_normalizer_stage {
    tern_normalize *run;
    unsigned char ascii[128];                                                 /* Bert, Lowercase, StripAccents, Nmt */
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;          /* Bert */
    size_t (*map)(uint32_t out[TERN_UNICODE_MAX_LOWER], uint32_t code_point); /* how many; 0: dropped */
    bool drops_ascii;
    tern_unicode_form form;       /* NFC, NFD, NFKC, NFKD */
    bool strip_left, strip_right; /* Strip */
    unsigned char *content;       /* Prepend, Replace */
    size_t n_content;
    tern_pattern *pattern; /* Replace */
    tern_charsmap *charsmap;
};

/* bert_normalizer.c */
tern_normalize tern__normalize_bert;
/* character_map.c */
tern_normalize tern__normalize_map;
void tern__normalizer_stage_set_map(tern_normalizer_stage *stage, size_t (*map)(uint32_t *out, uint32_t code_point));
size_t tern__map_lowercase(uint32_t *out, uint32_t code_point);
size_t tern__map_strip_accents(uint32_t *out, uint32_t code_point);
size_t tern__map_nmt(uint32_t *out, uint32_t code_point);
/* normal_form.c */
tern_normalize tern__normalize_form;
/* normalizer_edit.c */
tern_normalize tern__normalize_strip, tern__normalize_prepend, tern__normalize_replace, tern__normalize_byte_level;
/* precompiled.c */
tern_normalize tern__normalize_precompiled;
tern_status tern__charsmap_read(tern_charsmap **out, tern_text base64, tern_json_place place, tern_error *err);
void tern__charsmap_free(tern_charsmap *charsmap);

/* A stage at work: `out` is written while `in` is read. As long as each code point of the text read so far gave one, there are no origins
 * to write. */
typedef struct tern_normalizing {
    tern_normalized *out;
    const tern_normalized *in;
    size_t at;            /* byte of `in` that is read next */
    uint32_t counter;     /* its origin, where `in` has no origins */
    uint32_t last_origin; /* of what was read before it; at the start, the empty place before the text */
} tern_normalizing;

/* Give a text that has none its origins, counted. */
bool tern__normalized_fill_origins(tern_normalized *normalized);

tern_normalizing tern__normalizing_start(tern_normalized *out, const tern_normalized *in);
/* Read up to byte `end`, where a code point ends, and write what was read. False when memory is short; so below. */
bool tern__normalizing_copy(tern_normalizing *work, size_t end);
/* Likewise where all is ASCII, and write table[byte] for each byte. */
bool tern__normalizing_map_ascii(tern_normalizing *work, size_t end, const unsigned char table[128]);
/* Read up to byte `end` and write nothing. */
bool tern__normalizing_drop(tern_normalizing *work, size_t end);
/* Write a code point: with `change` 0 in place of the one that is read, with -n in place of it and of n more; with 1 one more, that stands
 * where what was read last stands. */
bool tern__normalizing_put(tern_normalizing *work, uint32_t code_point, long change);
/* Write bytes, of whole characters, that all stand at one origin. */
bool tern__normalizing_put_bytes(tern_normalizing *work, const unsigned char *bytes, size_t n_bytes, uint32_t origin);
static inline uint32_t tern__normalizing_origin(const tern_normalizing *work) {
    return work->in->origins ? work->in->origins[work->at] : work->counter;
}

#define TERN_FAIL_NORMALIZED(err, in) TERN_FAIL_MEMORY(err, (in)->n_bytes *(1 + sizeof *(in)->origins))

#endif
