/* pre_tokenizer_json.c - the "pre_tokenizer" of a tokenizer.json into stages.
 * Source: Hugging Face tokenizers, https://huggingface.co/docs/tokenizers/api/pre-tokenizers
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/json_fields.h"
#include "text/pre_tokenizer/character_class.h"
#include "text/pre_tokenizer/stages.h"

#define SEQUENCE_DEPTH_MAX   32
#define FIXED_LENGTH_DEFAULT 5

static tern_status fail_value(tern_json_place place, const char *key, const char *wanted, tern_error *err) {
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s %s: \"%s\" must be %s", place.file, place.part, place.type, key, wanted);
}

/* NULL: memory is short. */
static tern_stage *add_stage(tern_pre_tokenizer *out) {
    if (!tern__grow(&out->stages, &out->capacity, out->n_stages + 1, sizeof *out->stages)) return NULL;
    tern_stage *stage = &out->stages[out->n_stages++];
    *stage = (tern_stage){.delimiter = UINT32_MAX};
    return stage;
}

/* The index of `text` among `names`, which end with NULL; -1: none. */
static int find_choice(tern_text text, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == text.bytes && memcmp(names[i], text.data, text.bytes) == 0) return i;
    return -1;
}

static tern_status read_behavior(tern_split_behavior *out, const json_t *json, tern_json_place place, tern_error *err) {
    static const char *const names[] = {
        [TERN_SPLIT_REMOVED] = "Removed",
        [TERN_SPLIT_ISOLATED] = "Isolated",
        [TERN_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [TERN_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [TERN_SPLIT_CONTIGUOUS] = "Contiguous",
        NULL,
    };
    tern_text text = {0};
    TERN_TRY(tern__json_text(&text, json, "behavior", place, err));
    int found = find_choice(text, names);
    if (found < 0) return fail_value(place, "behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous", err);
    *out = (tern_split_behavior)found;
    return TERN_OK;
}

/* One code point as UTF-8. */
static bool is_single_character(tern_text text) {
    size_t length;
    if (text.bytes == 0) return false;
    (void)tern__utf8_decode((const unsigned char *)text.data, &length);
    return length == text.bytes;
}

static tern_status read_single_character(tern_text *out, const json_t *json, const char *key, tern_json_place place, tern_error *err) {
    TERN_TRY(tern__json_text(out, json, key, place, err));
    return is_single_character(*out) ? TERN_OK : fail_value(place, key, "one character", err);
}

/* What a behavior is to a match of one character. */
static tern_split_action action_of(tern_split_behavior behavior) {
    switch (behavior) {
    case TERN_SPLIT_REMOVED:
        return TERN_ACTION_REMOVE;
    case TERN_SPLIT_ISOLATED:
        return TERN_ACTION_ISOLATE;
    case TERN_SPLIT_MERGED_WITH_PREVIOUS:
        return TERN_ACTION_END;
    case TERN_SPLIT_MERGED_WITH_NEXT:
        return TERN_ACTION_BEGIN;
    case TERN_SPLIT_CONTIGUOUS:
        break;
    }
    return TERN_ACTION_OTHER_RUN;
}

static void set_flag_action(tern_stage *stage, unsigned flag, tern_split_action action) {
    for (unsigned flags = 0; flags < 256; flags++)
        if (flags & flag) stage->action_of_flags[flags] = (unsigned char)action;
}

/* The readers of the types: `stage` is new. */
typedef tern_status read_stage_of_type(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err);

static tern_status read_bert_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    (void)json, (void)place, (void)err;
    set_flag_action(stage, TERN_CHARACTER_PUNCTUATION, TERN_ACTION_ISOLATE);
    set_flag_action(stage, TERN_CHARACTER_SPACE, TERN_ACTION_REMOVE);
    tern__split_classes_set(stage);
    return TERN_OK;
}

static tern_status read_whitespace_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    (void)json, (void)place, (void)err;
    memset(stage->action_of_flags, TERN_ACTION_OTHER_RUN, sizeof stage->action_of_flags);
    set_flag_action(stage, TERN_CHARACTER_SPACE, TERN_ACTION_REMOVE);
    set_flag_action(stage, TERN_CHARACTER_WORD, TERN_ACTION_RUN);
    tern__split_classes_set(stage);
    return TERN_OK;
}

static tern_status read_whitespace_split_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    (void)json, (void)place, (void)err;
    set_flag_action(stage, TERN_CHARACTER_SPACE, TERN_ACTION_REMOVE);
    tern__split_classes_set(stage);
    return TERN_OK;
}

static tern_status read_punctuation_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    tern_split_behavior behavior = TERN_SPLIT_ISOLATED;
    if (json_object_get(json, "behavior")) TERN_TRY(read_behavior(&behavior, json, place, err));
    set_flag_action(stage, TERN_CHARACTER_PUNCTUATION, action_of(behavior));
    tern__split_classes_set(stage);
    return TERN_OK;
}

static tern_status read_digits_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    bool individual_digits = false;
    TERN_TRY(tern__json_bool(&individual_digits, json, "individual_digits", place, err));
    set_flag_action(stage, TERN_CHARACTER_NUMERIC, individual_digits ? TERN_ACTION_ISOLATE : TERN_ACTION_OTHER_RUN);
    tern__split_classes_set(stage);
    return TERN_OK;
}

static void set_delimiter(tern_stage *stage, tern_text character, tern_split_behavior behavior) {
    size_t length;
    stage->delimiter = tern__utf8_decode((const unsigned char *)character.data, &length);
    stage->delimiter_action = action_of(behavior);
    tern__split_classes_set(stage);
}

static tern_status read_delimiter_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    tern_text delimiter = {0};
    TERN_TRY(read_single_character(&delimiter, json, "delimiter", place, err));
    set_delimiter(stage, delimiter, TERN_SPLIT_REMOVED);
    return TERN_OK;
}

static tern_status read_split_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    json_t *pattern;
    TERN_TRY(tern__json_object(&pattern, json, "pattern", place, err));
    TERN_TRY(read_behavior(&stage->behavior, json, place, err));
    TERN_TRY(tern__json_bool(&stage->invert, json, "invert", place, err));
    tern_text text = {0};
    if (json_is_string(json_object_get(pattern, "String"))) {
        TERN_TRY(tern__json_text(&text, pattern, "String", place, err));
        if (is_single_character(text) && !stage->invert) {
            set_delimiter(stage, text, stage->behavior);
            return TERN_OK;
        }
    } else if (json_is_string(json_object_get(pattern, "Regex"))) {
        TERN_TRY(tern__json_text(&text, pattern, "Regex", place, err));
        tern_stage_split *known = tern__split_find_known(text, stage->behavior, stage->invert);
        if (known) {
            tern__split_known_set(stage, known);
            return TERN_OK;
        }
    }
    stage->split = tern__split_pattern;
    return tern__pattern_read(&stage->pattern, pattern, place, err);
}

static tern_status read_scripts_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    (void)json, (void)place, (void)err;
    stage->split = tern__split_scripts;
    return TERN_OK;
}

static tern_status read_length_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    const json_t *length = json_object_get(json, "length");
    if (length && (!json_is_integer(length) || json_integer_value(length) < 1))
        return fail_value(place, "length", "a whole number, at least 1", err);
    stage->length = length ? (size_t)json_integer_value(length) : FIXED_LENGTH_DEFAULT;
    stage->split = tern__split_length;
    return TERN_OK;
}

/* Older files have add_prefix_space for prepend_scheme, and str_rep, which must be a string and says nothing. */
static tern_status read_metaspace_stage(tern_stage *stage, const json_t *json, tern_json_place place, tern_error *err) {
    static const char *const schemes[] = {
        [TERN_PREPEND_ALWAYS] = "always", [TERN_PREPEND_FIRST] = "first", [TERN_PREPEND_NEVER] = "never", NULL};
    tern_text replacement = {0}, scheme = {.data = "always", .bytes = 6}, unused;
    const json_t *old_name = json_object_get(json, "str_rep"), *add_prefix_space = json_object_get(json, "add_prefix_space"),
                 *is_split = json_object_get(json, "split");
    bool add = true;
    TERN_TRY(read_single_character(&replacement, json, "replacement", place, err));
    if (json_object_get(json, "prepend_scheme")) TERN_TRY(tern__json_text(&scheme, json, "prepend_scheme", place, err));
    int found = find_choice(scheme, schemes);
    if (found < 0) return fail_value(place, "prepend_scheme", "always, first or never", err);
    if (old_name && !json_is_null(old_name)) TERN_TRY(tern__json_text(&unused, json, "str_rep", place, err));
    if (add_prefix_space && !json_is_null(add_prefix_space)) TERN_TRY(tern__json_bool(&add, json, "add_prefix_space", place, err));
    if (!add && found != TERN_PREPEND_NEVER) return fail_value(place, "prepend_scheme", "never where add_prefix_space is false", err);
    stage->is_split = true;
    if (is_split && !json_is_null(is_split)) TERN_TRY(tern__json_bool(&stage->is_split, json, "split", place, err));
    memcpy(stage->replacement, replacement.data, replacement.bytes);
    stage->n_replacement = replacement.bytes;
    stage->prepend_scheme = (tern_prepend_scheme)found;
    stage->rewrite = tern__rewrite_metaspace;
    return TERN_OK;
}

/* A leading space, GPT-2's pattern, characters for bytes: each a stage. */
static tern_status read_byte_level_stage(tern_pre_tokenizer *out, const json_t *json, tern_json_place place, tern_error *err) {
    bool add_prefix_space = false, trim_offsets, use_regex = true;
    TERN_TRY(tern__json_bool(&add_prefix_space, json, "add_prefix_space", place, err));
    TERN_TRY(tern__json_bool(&trim_offsets, json, "trim_offsets", place, err));
    if (json_object_get(json, "use_regex")) TERN_TRY(tern__json_bool(&use_regex, json, "use_regex", place, err));
    if (!tern__grow(&out->stages, &out->capacity, out->n_stages + 3, sizeof *out->stages))
        return TERN_FAIL_MEMORY(err, (out->n_stages + 3) * sizeof *out->stages);
    if (add_prefix_space) {
        tern_stage *stage = add_stage(out);
        stage->replacement[0] = ' ';
        stage->n_replacement = 1;
        stage->rewrite = tern__rewrite_metaspace;
    }
    if (use_regex) tern__split_known_set(add_stage(out), tern__split_gpt2);
    tern_stage *mapping = add_stage(out);
    mapping->rewrite = tern__rewrite_byte_level;
    mapping->is_byte_level = true;
    return TERN_OK;
}

static const struct {
    const char *type;
    read_stage_of_type *read;
} TYPES[] = {
    {"BertPreTokenizer", read_bert_stage}, {"CharDelimiterSplit", read_delimiter_stage},
    {"Digits", read_digits_stage},         {"FixedLength", read_length_stage},
    {"Metaspace", read_metaspace_stage},   {"Punctuation", read_punctuation_stage},
    {"Split", read_split_stage},           {"UnicodeScripts", read_scripts_stage},
    {"Whitespace", read_whitespace_stage}, {"WhitespaceSplit", read_whitespace_split_stage},
};

static tern_status add_stages(tern_pre_tokenizer *out, const json_t *json, const char *file, int depth, tern_error *err) {
    tern_json_place place = {.file = file, .part = "pre_tokenizer", .type = ""};
    TERN_TRY(tern__json_type(&place.type, json, place, err));
    if (strcmp(place.type, "ByteLevel") == 0) return read_byte_level_stage(out, json, place, err);
    if (strcmp(place.type, "Sequence") == 0) {
        json_t *members;
        TERN_TRY(tern__json_array(&members, json, "pretokenizers", place, err));
        if (depth == SEQUENCE_DEPTH_MAX)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: pre_tokenizer: more than %d Sequences in one another", file, SEQUENCE_DEPTH_MAX);
        for (size_t i = 0; i < json_array_size(members); i++) TERN_TRY(add_stages(out, json_array_get(members, i), file, depth + 1, err));
        return TERN_OK;
    }
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(place.type, TYPES[i].type) != 0) continue;
        tern_stage *stage = add_stage(out);
        if (!stage) return TERN_FAIL_MEMORY(err, (out->n_stages + 1) * sizeof *out->stages);
        return TYPES[i].read(stage, json, place, err);
    }
    return tern__json_fail_type(place, err);
}

tern_status tern__pre_tokenizer_read(tern_pre_tokenizer *out, const json_t *json, const char *file, tern_error *err) {
    *out = (tern_pre_tokenizer){0};
    if (!json || json_is_null(json)) return TERN_OK;
    return add_stages(out, json, file, 0, err);
}
