/* stage_json.c - stages of a tokenizer as the JSON that tokenizer.json would hold.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/text_builder.h"
#include "text/files/tokenizer_files.h"

json_t *tern__stage_sequence(const char *key, json_t *const stages[], size_t n) {
    json_t *list = json_array();
    bool is_whole = list != NULL;
    for (size_t i = 0; i < n; i++) is_whole = stages[i] && json_array_append(list, stages[i]) == 0 && is_whole;
    for (size_t i = 0; i < n; i++) json_decref(stages[i]);
    json_t *sequence = is_whole ? json_pack("{ss, sO}", "type", "Sequence", key, list) : NULL;
    json_decref(list);
    return sequence;
}

json_t *tern__stage_replace(const char *pattern, const char *content, bool is_regex) {
    return json_pack("{ss, s{ss}, ss}", "type", "Replace", "pattern", is_regex ? "Regex" : "String", pattern, "content", content);
}

json_t *tern__stage_metaspace(const char *prepend_scheme) {
    return json_pack("{ss, ss, ss, sb}", "type", "Metaspace", "replacement", "\xE2\x96\x81", "prepend_scheme", prepend_scheme, "split", 1);
}

json_t *tern__stage_byte_level(bool add_prefix_space, bool use_regex) {
    return json_pack("{ss, sb, sb, sb}", "type", "ByteLevel", "add_prefix_space", (int)add_prefix_space, "trim_offsets", 1, "use_regex",
                     (int)use_regex);
}

/* In base64, as the JSON has it. */
json_t *tern__stage_precompiled(tern_text charsmap) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = (const unsigned char *)charsmap.data;
    tern_text_builder text = {0};
    for (size_t i = 0; i < charsmap.bytes; i += 3) {
        size_t n = charsmap.bytes - i < 3 ? charsmap.bytes - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)(n > 1 ? bytes[i + 1] : 0) << 8 | (uint32_t)(n > 2 ? bytes[i + 2] : 0);
        char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63], n > 1 ? digits[bits >> 6 & 63] : '=',
                         n > 2 ? digits[bits & 63] : '='};
        tern__text_append(&text, group, sizeof group);
    }
    char *base64 = tern__text_take(&text);
    if (!base64) return NULL;
    json_t *stage = json_pack("{ss, ss}", "type", "Precompiled", "precompiled_charsmap", base64);
    free(base64);
    return stage;
}

/* ---- TemplateProcessing ---- */

static const tern_template_word *find_word(const tern_template_word *words, size_t n_words, char letter) {
    for (size_t i = 0; i < n_words; i++)
        if (words[i].letter == letter) return &words[i];
    return NULL;
}

static json_t *template_pieces(const char *pattern, const tern_template_word *words, size_t n_words) {
    json_t *pieces = json_array();
    for (const char *at = pattern; *at; at += at[2] ? 3 : 2) {
        const tern_template_word *word = find_word(words, n_words, at[0]);
        const char name[2] = {at[0], '\0'};
        json_t *piece =
            json_pack("{s{ss, si}}", word ? "SpecialToken" : "Sequence", "id", word ? word->name : name, "type_id", at[1] - '0');
        if (json_array_append_new(pieces, piece) == 0) continue;
        json_decref(pieces);
        return NULL;
    }
    return pieces;
}

json_t *tern__stage_template(const char *single, const char *pair, const tern_template_word *words, size_t n_words) {
    json_t *pieces[2] = {template_pieces(single, words, n_words), template_pieces(pair, words, n_words)}, *tokens = json_object();
    bool is_whole = pieces[0] && pieces[1] && tokens;
    for (size_t i = 0; is_whole && i < n_words; i++) {
        json_t *token = json_pack("{ss, s[i], s[s]}", "id", words[i].name, "ids", (int)words[i].id, "tokens", words[i].name);
        is_whole = json_object_set_new(tokens, words[i].name, token) == 0;
    }
    json_t *stage = is_whole ? json_pack("{ss, sO, sO, sO}", "type", "TemplateProcessing", "single", pieces[0], "pair", pieces[1],
                                         "special_tokens", tokens)
                             : NULL;
    json_decref(pieces[0]);
    json_decref(pieces[1]);
    json_decref(tokens);
    return stage;
}
