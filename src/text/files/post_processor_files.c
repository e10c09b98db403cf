/* post_processor_files.c - the post-processors of tokenizer classes: which special tokens go round a text and its pair.
 * Source: Hugging Face transformers 5, the constructors of these classes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/files/tokenizer_files.h"

static tern_status find_word(tern_template_word *out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings,
                             tern_named_token token, char letter, tern_error *err) {
    tern_text text;
    TERN_TRY(tern__named_token_get(&text, settings, token, err));
    *out = (tern_template_word){.letter = letter, .name = text.data, .id = tern_tokenizer_token_to_id(tokenizer, text.data)};
    return TERN_OK;
}

static tern_status two_tokens(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_named_token x,
                              tern_named_token y, const char *single, const char *pair, tern_error *err) {
    tern_template_word words[2];
    TERN_TRY(find_word(&words[0], tokenizer, settings, x, 'x', err));
    TERN_TRY(find_word(&words[1], tokenizer, settings, y, 'y', err));
    *out = tern__stage_template(single, pair, words, 2);
    return TERN_OK;
}

/* RobertaProcessing: `cls` before the text, `sep` behind it. */
static tern_status wrap(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_named_token cls,
                        tern_named_token sep, bool trim_offsets, bool add_prefix_space, tern_error *err) {
    tern_template_word words[2];
    TERN_TRY(find_word(&words[0], tokenizer, settings, cls, 'x', err));
    TERN_TRY(find_word(&words[1], tokenizer, settings, sep, 'y', err));
    *out = json_pack("{ss, s[si], s[si], sb, sb}", "type", "RobertaProcessing", "sep", words[1].name, (int)words[1].id, "cls",
                     words[0].name, (int)words[0].id, "trim_offsets", (int)trim_offsets, "add_prefix_space", (int)add_prefix_space);
    return TERN_OK;
}

tern_status tern__post_bert(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return two_tokens(out, tokenizer, settings, TERN_CLS, TERN_SEP, "x0 A0 y0", "x0 A0 y0 B1 y1", err);
}

tern_status tern__post_mpnet(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return wrap(out, tokenizer, settings, TERN_CLS, TERN_SEP, true, false, err);
}

tern_status tern__post_roberta(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    bool add_prefix_space = false, trim_offsets = true;
    TERN_TRY(tern__setting_bool(&add_prefix_space, NULL, settings, "add_prefix_space", err));
    TERN_TRY(tern__setting_bool(&trim_offsets, NULL, settings, "trim_offsets", err));
    return wrap(out, tokenizer, settings, TERN_CLS, TERN_SEP, trim_offsets, add_prefix_space, err);
}

tern_status tern__post_clip(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return wrap(out, tokenizer, settings, TERN_BOS, TERN_EOS, false, false, err);
}

tern_status tern__post_deberta(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return two_tokens(out, tokenizer, settings, TERN_CLS, TERN_SEP, "x0 A0 y0", "x0 A0 y0 y0 B0 y0", err);
}

tern_status tern__post_xlm_roberta(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings,
                                   tern_error *err) {
    return two_tokens(out, tokenizer, settings, TERN_BOS, TERN_EOS, "x0 A0 y0", "x0 A0 y0 y0 B0 y0", err);
}

/* They read as [CLS] and [SEP] whatever the tokens are, which must be pieces of the model. */
tern_status tern__post_albert(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    tern_template_word words[2];
    TERN_TRY(find_word(&words[0], tokenizer, settings, TERN_CLS, 'x', err));
    TERN_TRY(find_word(&words[1], tokenizer, settings, TERN_SEP, 'y', err));
    for (size_t i = 0; i < 2; i++)
        if (!tern__vocabulary_find(&tokenizer->model.vocabulary, words[i].name, strlen(words[i].name)))
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s, the %s, is no piece of the model", settings->folder, words[i].name,
                             i == 0 ? "cls_token" : "sep_token");
    words[0].name = "[CLS]";
    words[1].name = "[SEP]";
    *out = tern__stage_template("x0 A0 y0", "x0 A0 y0 B1 y1", words, 2);
    return TERN_OK;
}

/* It reads as </s> whatever the token is. */
tern_status tern__post_t5(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    tern_template_word word;
    TERN_TRY(find_word(&word, tokenizer, settings, TERN_EOS, 'x', err));
    word.name = "</s>";
    *out = tern__stage_template("A0 x0", "A0 x0 B0 x0", &word, 1);
    return TERN_OK;
}

tern_status tern__post_xlnet(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return two_tokens(out, tokenizer, settings, TERN_CLS, TERN_SEP, "A0 y0 x2", "A0 y0 B1 y1 x2", err);
}

/* ---- Translation models: the token of the source language ---- */

/* "src_lang" of tokenizer_config.json. A language that is no token has the id of the unknown token. */
static tern_status find_language(tern_template_word *out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings,
                                 const char *default_language, tern_error *err) {
    const json_t *value = json_object_get(settings->config, "src_lang");
    if (value && !json_is_string(value) && !json_is_null(value))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s/" TERN_CONFIG_FILE ": \"src_lang\" must be a string", settings->folder);
    TERN_TRY(find_word(out, tokenizer, settings, TERN_UNK, 'l', err));
    const char *language = json_is_string(value) ? json_string_value(value) : default_language;
    int32_t id = tern_tokenizer_token_to_id(tokenizer, language);
    *out = (tern_template_word){.letter = 'l', .name = language, .id = id >= 0 ? id : out->id};
    return TERN_OK;
}

/* Language codes read as the token of their id. */
static tern_status post_language(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings,
                                 const char *default_language, bool reads_as_token, const char *single, const char *pair, tern_error *err) {
    tern_template_word words[2];
    TERN_TRY(find_word(&words[0], tokenizer, settings, TERN_EOS, 'y', err));
    TERN_TRY(find_language(&words[1], tokenizer, settings, default_language, err));
    const char *token = reads_as_token ? tern_tokenizer_id_to_token(tokenizer, words[1].id) : NULL;
    if (token) words[1].name = token;
    *out = tern__stage_template(single, pair, words, 2);
    return TERN_OK;
}

tern_status tern__post_mbart(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return post_language(out, tokenizer, settings, "en_XX", true, "A0 y0 l0", "A0 B0 y0 l0", err);
}

tern_status tern__post_mbart50(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    return post_language(out, tokenizer, settings, "en_XX", true, "l0 A0 y0", "l0 A0 B0 y0", err);
}

tern_status tern__post_nllb(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    bool is_legacy = false;
    TERN_TRY(tern__setting_bool(&is_legacy, NULL, settings, "legacy_behaviour", err));
    return post_language(out, tokenizer, settings, "eng_Latn", false, is_legacy ? "A0 y0 l0" : "l0 A0 y0",
                         is_legacy ? "A0 B0 y0 l0" : "l0 A0 B0 y0", err);
}

/* ---- As add_bos_token and add_eos_token say; neither where they are not set ---- */

tern_status tern__post_bos_eos(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings, tern_error *err) {
    static const char *const singles[] = {"A0", "x0 A0", "A0 y0", "x0 A0 y0"};
    static const char *const pairs[] = {"A0 B1", "x0 A0 x1 B1", "A0 y0 B1 y1", "x0 A0 y0 x1 B1 y1"};
    bool adds[2] = {false, false};
    tern_template_word words[2];
    size_t n_words = 0;
    TERN_TRY(tern__setting_bool(&adds[0], NULL, settings, "add_bos_token", err));
    TERN_TRY(tern__setting_bool(&adds[1], NULL, settings, "add_eos_token", err));
    for (size_t i = 0; i < 2; i++) {
        tern_named_token token = i == 0 ? TERN_BOS : TERN_EOS;
        adds[i] = adds[i] && settings->named[token].token.content.data;
        if (adds[i]) TERN_TRY(find_word(&words[n_words++], tokenizer, settings, token, i == 0 ? 'x' : 'y', err));
    }
    size_t kind = (size_t)adds[0] + 2 * (size_t)adds[1];
    *out = tern__stage_template(singles[kind], pairs[kind], words, n_words);
    return TERN_OK;
}
