/* normalizer.c - reading the normalizer of tokenizer.json and running its stages.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/normalizers
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/normalizer/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/normalizer/normalizer_stages.h"

/* Sequences in sequences. */
#define MAX_DEPTH 64

void tern__normalizer_free(tern_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->n_stages; i++) {
        tern_normalizer_stage *stage = &normalizer->stages[i];
        free(stage->content);
        tern__pattern_free(stage->pattern);
        tern__charsmap_free(stage->charsmap);
    }
    free(normalizer->stages);
    *normalizer = (tern_normalizer){0};
}

static tern_status read_bert(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    stage->run = tern__normalize_bert;
    TERN_TRY(tern__json_bool(&stage->clean_text, json, "clean_text", place, err));
    TERN_TRY(tern__json_bool(&stage->handle_chinese_chars, json, "handle_chinese_chars", place, err));
    TERN_TRY(tern__json_bool(&stage->lowercase, json, "lowercase", place, err));
    const json_t *accents = json_object_get(json, "strip_accents");
    stage->strip_accents = stage->lowercase;
    if (accents && !json_is_null(accents)) TERN_TRY(tern__json_bool(&stage->strip_accents, json, "strip_accents", place, err));
    for (unsigned c = 0; c < 128; c++) {
        unsigned flags = tern__unicode_find(c).flags;
        unsigned char to = (unsigned char)c;
        if (stage->clean_text && (flags & TERN_UNICODE_DROPPED)) to = TERN_ASCII_DROPPED;
        else if (stage->clean_text && (flags & TERN_UNICODE_SPACE)) to = ' ';
        else if (stage->lowercase && c >= 'A' && c <= 'Z') to = (unsigned char)(c + ('a' - 'A'));
        stage->ascii[c] = to;
    }
    return TERN_OK;
}

static tern_status read_strip(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    stage->run = tern__normalize_strip;
    TERN_TRY(tern__json_bool(&stage->strip_left, json, "strip_left", place, err));
    return tern__json_bool(&stage->strip_right, json, "strip_right", place, err);
}

static tern_status read_content(tern_normalizer_stage *stage, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    tern_text text;
    TERN_TRY(tern__json_text(&text, json, key, place, err));
    stage->content = tern__alloc(text.bytes, 1);
    if (!stage->content) return TERN_FAIL_MEMORY(err, text.bytes);
    memcpy(stage->content, text.data, text.bytes);
    stage->n_content = text.bytes;
    return TERN_OK;
}

static tern_status read_prepend(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    stage->run = tern__normalize_prepend;
    return read_content(stage, json, "prepend", place, err);
}

static tern_status read_replace(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    stage->run = tern__normalize_replace;
    json_t *pattern;
    TERN_TRY(tern__json_object(&pattern, json, "pattern", place, err));
    TERN_TRY(tern__pattern_read(&stage->pattern, pattern, place, err));
    return read_content(stage, json, "content", place, err);
}

static tern_status read_precompiled(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    stage->run = tern__normalize_precompiled;
    tern_text base64;
    TERN_TRY(tern__json_text(&base64, json, "precompiled_charsmap", place, err));
    return tern__charsmap_read(&stage->charsmap, base64, place, err);
}

/* Components with fields, one of which tells them apart where an old file has no "type", and those without. */
static const struct {
    const char *type, *field;
    tern_status (*read)(tern_normalizer_stage *stage, const json_t *json, tern_json_place place, tern_error *err);
    tern_unicode_form form;
    size_t (*map)(uint32_t *out, uint32_t code_point);
    tern_normalize *run;
} COMPONENTS[] = {
    {.type = "BertNormalizer", .field = "clean_text", .read = read_bert},
    {.type = "Strip", .field = "strip_left", .read = read_strip},
    {.type = "Prepend", .field = "prepend", .read = read_prepend},
    {.type = "Replace", .field = "content", .read = read_replace},
    {.type = "Precompiled", .field = "precompiled_charsmap", .read = read_precompiled},
    {.type = "NFC", .run = tern__normalize_form, .form = TERN_UNICODE_NFC},
    {.type = "NFD", .run = tern__normalize_form, .form = TERN_UNICODE_NFD},
    {.type = "NFKC", .run = tern__normalize_form, .form = TERN_UNICODE_NFKC},
    {.type = "NFKD", .run = tern__normalize_form, .form = TERN_UNICODE_NFKD},
    {.type = "Lowercase", .map = tern__map_lowercase},
    {.type = "StripAccents", .map = tern__map_strip_accents},
    {.type = "Nmt", .map = tern__map_nmt},
    {.type = "ByteLevel", .run = tern__normalize_byte_level},
};

static tern_status read_component(tern_normalizer *out, const json_t *json, tern_json_place place, tern_error *err) {
    for (size_t i = 0; i < sizeof COMPONENTS / sizeof COMPONENTS[0]; i++) {
        if (strcmp(place.type, COMPONENTS[i].type) != 0) continue;
        if (!tern__grow(&out->stages, &out->capacity, out->n_stages + 1, sizeof *out->stages))
            return TERN_FAIL_MEMORY(err, (out->n_stages + 1) * sizeof *out->stages);
        tern_normalizer_stage *stage = &out->stages[out->n_stages++];
        *stage = (tern_normalizer_stage){.run = COMPONENTS[i].run, .form = COMPONENTS[i].form};
        if (COMPONENTS[i].map) tern__normalizer_stage_set_map(stage, COMPONENTS[i].map);
        return COMPONENTS[i].read ? COMPONENTS[i].read(stage, json, place, err) : TERN_OK;
    }
    return tern__json_fail_type(place, err);
}

/* By its fields; NULL when no component has them. */
static const char *type_of_fields(const json_t *json) {
    if (json_object_get(json, "normalizers")) return "Sequence";
    for (size_t i = 0; i < sizeof COMPONENTS / sizeof COMPONENTS[0]; i++)
        if (COMPONENTS[i].field && json_object_get(json, COMPONENTS[i].field)) return COMPONENTS[i].type;
    return NULL;
}

static tern_status read_normalizer(tern_normalizer *out, const json_t *json, tern_json_place place, int depth, tern_error *err) {
    const char *type = json_object_get(json, "type") ? NULL : type_of_fields(json);
    if (type) place.type = type;
    else TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "Sequence") != 0) return read_component(out, json, place, err);
    if (depth == MAX_DEPTH) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s: sequences nest too deeply", place.file, place.part);
    json_t *members;
    TERN_TRY(tern__json_array(&members, json, "normalizers", place, err));
    for (size_t i = 0; i < json_array_size(members); i++) TERN_TRY(read_normalizer(out, json_array_get(members, i), place, depth + 1, err));
    return TERN_OK;
}

tern_status tern__normalizer_read(tern_normalizer *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_normalizer){0};
    if (!json || json_is_null(json)) return TERN_OK;
    return read_normalizer(out, json, (tern_json_place){.file = file, .part = "normalizer", .type = ""}, 0, err);
}

tern_status tern__normalizer_lower_first(tern_normalizer *normalizer, tern_error *err) {
    for (size_t i = 0; i < normalizer->n_stages; i++)
        if (normalizer->stages[i].map == tern__map_lowercase) return TERN_OK;
    if (!tern__grow(&normalizer->stages, &normalizer->capacity, normalizer->n_stages + 1, sizeof *normalizer->stages))
        return TERN_FAIL_MEMORY(err, (normalizer->n_stages + 1) * sizeof *normalizer->stages);
    memmove(normalizer->stages + 1, normalizer->stages, normalizer->n_stages++ * sizeof *normalizer->stages);
    normalizer->stages[0] = (tern_normalizer_stage){0};
    tern__normalizer_stage_set_map(&normalizer->stages[0], tern__map_lowercase);
    return TERN_OK;
}

/* The stages read and write `out` and `spare` in turn; *last is what the last one that changed anything wrote. */
static tern_status run_stages(const tern_normalized **last, tern_normalized *out, tern_normalized *spare, const tern_normalizer *normalizer,
                              tern_error *err) {
    for (size_t i = 0; i < normalizer->n_stages; i++) {
        const tern_normalized *in = *last;
        tern_normalized *to = in == out ? spare : out;
        bool is_changed;
        to->first = in->first;
        to->bytes = NULL;
        to->n_bytes = 0;
        to->origins = NULL;
        TERN_TRY(normalizer->stages[i].run(to, in, &normalizer->stages[i], &is_changed, err));
        if (is_changed) *last = to;
    }
    return TERN_OK;
}

tern_status tern__normalizer_run(tern_normalized *out, const tern_normalizer *normalizer, const unsigned char *text, size_t n_bytes,
                                 uint32_t first, tern_error *err) {
    const tern_normalized original = {.bytes = text, .n_bytes = n_bytes, .first = first};
    const tern_normalized *last = &original;
    tern_normalized spare = {0};
    tern_status status = run_stages(&last, out, &spare, normalizer, err);
    if (last == &spare) {
        tern_normalized swapped = *out;
        *out = spare;
        spare = swapped;
    } else if (last == &original) {
        out->first = first;
        out->bytes = text;
        out->n_bytes = n_bytes;
        out->origins = NULL;
    }
    tern__normalized_free(&spare);
    TERN_TRY(status);
    if (out->n_bytes == 0) out->bytes = text; /* not NULL */
    out->n_code_points = (uint32_t)tern__utf8_count(text, n_bytes);
    bool is_counted = !out->origins && tern__ascii_prefix(out->bytes, out->n_bytes) < out->n_bytes;
    return is_counted && !tern__normalized_fill_origins(out) ? TERN_FAIL_NORMALIZED(err, out) : TERN_OK;
}
