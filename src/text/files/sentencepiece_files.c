/* sentencepiece_files.c - tokenizers from a SentencePiece model, as the classes of transformers make them: which tokens stand before and
 * behind the pieces, so that ids are shifted, and what is done to the text. What the model says of spaces counts for none of them.
 * Source: Hugging Face transformers 5, convert_slow_tokenizer.py and tokenization_xlm_roberta.py and the like.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/files/piece_tables.h"
#include "text/files/tokenizer_files.h"

/* ---- The file ---- */

/* The control and the user-defined pieces are the class's additional special tokens, whatever the folder says of these. */
static tern_status set_additional(tern_tokenizer_settings *settings, const tern_sentencepiece *model, tern_error *err) {
    json_t *tokens = json_array();
    bool is_whole = tokens != NULL;
    for (size_t i = 0; is_whole && i < model->n_pieces; i++) {
        const tern_piece *piece = &model->pieces[i];
        if (piece->kind != TERN_PIECE_CONTROL && piece->kind != TERN_PIECE_USER_DEFINED) continue;
        json_t *token = json_pack("{ss%, sb, sb}", "content", piece->text, (size_t)piece->n_bytes, "normalized", 0, "special",
                                  (int)(piece->kind == TERN_PIECE_CONTROL));
        is_whole = json_array_append_new(tokens, token) == 0;
    }
    json_decref(settings->additional);
    settings->additional = tokens;
    return is_whole ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof *tokens);
}

/* tokenizer.model comes before the file that the class names. */
static tern_status find_file(char **path, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls, tern_error *err) {
    *path = tern__path_join(settings->folder, "tokenizer.model");
    if (!*path) return TERN_FAIL_MEMORY(err, strlen(settings->folder) + 17);
    if (tern__file_exists(*path)) return TERN_OK;
    free(*path);
    return tern__tokenizer_file_path(path, settings, cls, cls->vocab_file, err);
}

tern_status tern__plan_sentencepiece(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                     tern_error *err) {
    char *path;
    tern_mapping file;
    tern_sentencepiece model = {0};
    TERN_TRY(find_file(&path, settings, cls, err));
    tern_status status = tern__file_map(&file, path, err);
    if (status == TERN_OK) {
        status = tern__sentencepiece_read(&model, file.data, file.bytes, path, err);
        if (status == TERN_OK) status = set_additional(settings, &model, err);
        if (status == TERN_OK) status = cls->plan_pieces(plan, settings, &model, err);
        tern__sentencepiece_free(&model);
        tern__file_unmap(&file);
    }
    free(path);
    return status;
}

/* ---- Stages that several classes share ---- */

static json_t *simple_stage(const char *type) { return json_pack("{ss}", "type", type); }

/* Words between white space, each with a space before it. */
static void set_word_stages(tern_tokenizer_plan *plan, const char *prepend_scheme) {
    json_t *const stages[] = {simple_stage("WhitespaceSplit"), tern__stage_metaspace(prepend_scheme)};
    plan->pre_tokenizer = tern__stage_sequence("pretokenizers", stages, 2);
    plan->decoder = tern__stage_metaspace(prepend_scheme);
}

static tern_status find_prepend_scheme(const char **out, const tern_tokenizer_settings *settings, const char *without, tern_error *err) {
    bool add_prefix_space = true;
    TERN_TRY(tern__setting_bool(&add_prefix_space, NULL, settings, "add_prefix_space", err));
    *out = add_prefix_space ? "always" : without;
    return TERN_OK;
}

/* The model's charsmap, if there is one, and then `stage`. */
static json_t *charsmap_and(const tern_sentencepiece *model, json_t *stage) {
    bool has_charsmap = model->charsmap.bytes > 0;
    json_t *const stages[] = {has_charsmap ? tern__stage_precompiled(model->charsmap) : stage, has_charsmap ? stage : NULL};
    return tern__stage_sequence("normalizers", stages, 1 + (size_t)has_charsmap);
}

static json_t *charsmap_or_null(const tern_sentencepiece *model) {
    return model->charsmap.bytes > 0 ? tern__stage_precompiled(model->charsmap) : json_null();
}

static json_t *unigram_model(int32_t unk_id, bool byte_fallback) {
    return json_pack("{ss, s[], si, sb}", "type", "Unigram", "vocab", "unk_id", (int)unk_id, "byte_fallback", (int)byte_fallback);
}

/* unk_token NULL: none. */
static json_t *bpe_model(const tern_text *unk_token, bool byte_fallback) {
    json_t *unk = unk_token ? json_stringn(unk_token->data, unk_token->bytes) : json_null();
    json_t *model = unk ? json_pack("{ss, s{}, s[], sO, sb, sb}", "type", "BPE", "vocab", "merges", "unk_token", unk, "fuse_unk", 1,
                                    "byte_fallback", (int)byte_fallback)
                        : NULL;
    json_decref(unk);
    return model;
}

static json_t *byte_fallback_decoder(bool strips_space) {
    json_t *const decoders[] = {tern__stage_replace("\xE2\x96\x81", " ", false), simple_stage("ByteFallback"), simple_stage("Fuse"),
                                strips_space ? json_pack("{ss, ss, si, si}", "type", "Strip", "content", " ", "start", 1, "stop", 0)
                                             : NULL};
    return tern__stage_sequence("decoders", decoders, strips_space ? 4 : 3);
}

/* ---- Unigram with tokens before and behind the pieces ---- */

static tern_status add_named(tern_model_tables *tables, const tern_tokenizer_settings *settings, tern_named_token token, tern_error *err) {
    tern_text text;
    TERN_TRY(tern__named_token_get(&text, settings, token, err));
    return tern__pieces_add_text(tables, text, 0, err);
}

/* The four that fairseq puts first, then all pieces but its own first three. */
static tern_status add_fairseq_pieces(tern_model_tables *tables, const tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                      tern_named_token first, tern_error *err) {
    TERN_TRY(add_named(tables, settings, first, err));
    TERN_TRY(add_named(tables, settings, TERN_PAD, err));
    TERN_TRY(add_named(tables, settings, TERN_EOS, err));
    TERN_TRY(add_named(tables, settings, TERN_UNK, err));
    return tern__pieces_add(tables, model, 3, err);
}

tern_status tern__pieces_as_xlm_roberta(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                        tern_error *err) {
    const char *scheme;
    TERN_TRY(find_prepend_scheme(&scheme, settings, "never", err));
    TERN_TRY(add_fairseq_pieces(&plan->tables, settings, model, TERN_BOS, err));
    TERN_TRY(add_named(&plan->tables, settings, TERN_MASK, err));
    plan->model = unigram_model(3, false);
    plan->normalizer = charsmap_or_null(model);
    set_word_stages(plan, scheme);
    return TERN_OK;
}

tern_status tern__pieces_as_camembert(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                      tern_error *err) {
    static const struct {
        const char *text; /* NULL: a named token */
        tern_named_token token;
        double score;
    } first[] = {
        {.text = "<s>NOTUSED"}, {.token = TERN_PAD}, {.text = "</s>NOTUSED"}, {.token = TERN_UNK}, {.text = "<unk>NOTUSED", .score = -100}};
    const char *scheme;
    tern_text unk;
    if (!model->is_unigram)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: a CamembertTokenizer needs a Unigram model, not BPE", settings->folder);
    TERN_TRY(find_prepend_scheme(&scheme, settings, "never", err));
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        tern_text text = {.data = first[i].text, .bytes = first[i].text ? strlen(first[i].text) : 0};
        if (!text.data) TERN_TRY(tern__named_token_get(&text, settings, first[i].token, err));
        TERN_TRY(tern__pieces_add_text(&plan->tables, text, first[i].score, err));
    }
    TERN_TRY(tern__pieces_add(&plan->tables, model, 1, err));
    TERN_TRY(add_named(&plan->tables, settings, TERN_MASK, err));
    plan->model = unigram_model(tern__pieces_first(&plan->tables, unk, false, 0), false);
    plan->normalizer = charsmap_or_null(model);
    set_word_stages(plan, scheme);
    return TERN_OK;
}

static tern_status add_languages(tern_model_tables *tables, const char *const *codes, size_t n_codes, tern_error *err) {
    for (size_t i = 0; i < n_codes; i++)
        TERN_TRY(tern__pieces_add_text(tables, (tern_text){.data = codes[i], .bytes = strlen(codes[i])}, 0, err));
    return TERN_OK;
}

/* The languages of mBART; mBART-50's are these and more. */
static const char *const languages[] = {"ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT",
                                        "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK",
                                        "tr_TR", "vi_VN", "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE",
                                        "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN",
                                        "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};
enum { N_MBART_LANGUAGES = 25, N_MBART50_LANGUAGES = sizeof languages / sizeof *languages };

/* The additional special tokens are the languages and what was there, the languages before or behind it. */
static tern_status join_languages(tern_tokenizer_settings *settings, size_t n_languages, bool languages_first, tern_error *err) {
    json_t *codes = json_array(), *joined = json_array();
    bool is_whole = codes && joined;
    for (size_t i = 0; is_whole && i < n_languages; i++) is_whole = json_array_append_new(codes, json_string(languages[i])) == 0;
    if (is_whole)
        is_whole = json_array_extend(joined, languages_first ? codes : settings->additional) == 0 &&
                   json_array_extend(joined, languages_first ? settings->additional : codes) == 0;
    json_decref(codes);
    json_decref(settings->additional);
    settings->additional = joined;
    return is_whole ? TERN_OK : TERN_FAIL_MEMORY(err, n_languages * sizeof *joined);
}

tern_status tern__pieces_as_mbart(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                  tern_error *err) {
    TERN_TRY(add_fairseq_pieces(&plan->tables, settings, model, TERN_BOS, err));
    TERN_TRY(add_languages(&plan->tables, languages, N_MBART_LANGUAGES, err));
    TERN_TRY(add_named(&plan->tables, settings, TERN_MASK, err));
    TERN_TRY(join_languages(settings, N_MBART_LANGUAGES, true, err));
    plan->model = unigram_model(3, false);
    plan->normalizer = json_null();
    set_word_stages(plan, "always");
    return TERN_OK;
}

tern_status tern__pieces_as_mbart50(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                    tern_error *err) {
    TERN_TRY(add_fairseq_pieces(&plan->tables, settings, model, TERN_CLS, err));
    TERN_TRY(add_languages(&plan->tables, languages, N_MBART50_LANGUAGES, err));
    TERN_TRY(add_named(&plan->tables, settings, TERN_MASK, err));
    TERN_TRY(join_languages(settings, N_MBART50_LANGUAGES, false, err));
    plan->model = unigram_model(3, false);
    plan->normalizer = charsmap_and(model, tern__stage_replace(" {2,}", " ", true));
    plan->pre_tokenizer = tern__stage_metaspace("always");
    plan->decoder = tern__stage_metaspace("always");
    return TERN_OK;
}

/* ---- Unigram with ids as they are ---- */

/* Quotes, accents, case, then the model's own. */
static tern_status set_albert_normalizer(tern_tokenizer_plan *plan, const tern_tokenizer_settings *settings,
                                         const tern_sentencepiece *model, bool lowercase, bool keep_accents, tern_error *err) {
    json_t *stages[6];
    size_t n = 0;
    TERN_TRY(tern__setting_bool(&lowercase, NULL, settings, "do_lower_case", err));
    stages[n++] = tern__stage_replace("``", "\"", false);
    stages[n++] = tern__stage_replace("''", "\"", false);
    if (!keep_accents) {
        stages[n++] = simple_stage("NFKD");
        stages[n++] = simple_stage("StripAccents");
    }
    if (lowercase) stages[n++] = simple_stage("Lowercase");
    if (model->charsmap.bytes > 0) stages[n++] = tern__stage_precompiled(model->charsmap);
    plan->normalizer = tern__stage_sequence("normalizers", stages, n);
    return TERN_OK;
}

tern_status tern__pieces_as_albert(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                   tern_error *err) {
    bool keep_accents = false;
    const char *scheme;
    TERN_TRY(tern__setting_bool(&keep_accents, NULL, settings, "keep_accents", err));
    TERN_TRY(find_prepend_scheme(&scheme, settings, "never", err));
    TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
    TERN_TRY(set_albert_normalizer(plan, settings, model, true, keep_accents, err));
    plan->model = unigram_model(1, false);
    set_word_stages(plan, scheme);
    return TERN_OK;
}

tern_status tern__pieces_as_xlnet(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                  tern_error *err) {
    TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
    TERN_TRY(set_albert_normalizer(plan, settings, model, false, false, err));
    plan->model = unigram_model(model->unk_id, false);
    set_word_stages(plan, "always");
    return TERN_OK;
}

/* T5's sentinels: how many, and with which of them the additional special tokens come. */
static tern_status add_sentinels(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, tern_error *err) {
    enum { MOST = 10000 };
    const json_t *count = json_object_get(settings->config, "extra_ids");
    if (count && (!json_is_integer(count) || json_integer_value(count) < 0 || json_integer_value(count) > MOST))
        return TERN_FAIL(err, TERN_E_FORMAT, "%s/" TERN_CONFIG_FILE ": \"extra_ids\" must be a whole number from 0 to %d", settings->folder,
                         MOST);
    size_t n = count ? (size_t)json_integer_value(count) : 100, n_there = 0;
    for (size_t i = 0; i < json_array_size(settings->additional); i++) {
        const char *content = json_string_value(json_object_get(json_array_get(settings->additional, i), "content"));
        n_there += content && strstr(content, "<extra_id_") ? 1 : 0;
    }
    if (n_there > 0 && n > 0 && n_there != n)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"extra_ids\" is %zu, but the model has %zu pieces <extra_id_..>", settings->folder, n,
                         n_there);
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "<extra_id_%zu>", n - 1 - i);
        TERN_TRY(tern__pieces_add_text(&plan->tables, (tern_text){.data = name, .bytes = strlen(name)}, 0, err));
        snprintf(name, sizeof name, "<extra_id_%zu>", i);
        if (n_there == 0 && json_array_append_new(settings->additional, json_string(name)) != 0) return TERN_FAIL_MEMORY(err, sizeof name);
    }
    return TERN_OK;
}

tern_status tern__pieces_as_t5(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                               tern_error *err) {
    TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
    TERN_TRY(add_sentinels(plan, settings, err));
    plan->model = unigram_model(2, false);
    plan->normalizer = charsmap_or_null(model);
    set_word_stages(plan, "always");
    return TERN_OK;
}

tern_status tern__pieces_as_deberta_v2(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                       tern_error *err) {
    bool lowercase = false, split_by_punct = false;
    const char *scheme;
    tern_text unk;
    TERN_TRY(tern__setting_bool(&lowercase, NULL, settings, "do_lower_case", err));
    TERN_TRY(tern__setting_bool(&split_by_punct, NULL, settings, "split_by_punct", err));
    TERN_TRY(find_prepend_scheme(&scheme, settings, "first", err));
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
    json_t *normalizers[4], *pre_tokenizers[2];
    size_t n = 0, n_pre = 0;
    if (lowercase) normalizers[n++] = simple_stage("Lowercase");
    normalizers[n++] = tern__stage_replace("\\s{2,}|[\\n\\r\\t]", " ", true);
    normalizers[n++] = simple_stage("NFC");
    normalizers[n++] = json_pack("{ss, sb, sb}", "type", "Strip", "strip_left", 0, "strip_right", 1);
    if (split_by_punct) pre_tokenizers[n_pre++] = json_pack("{ss, ss}", "type", "Punctuation", "behavior", "Isolated");
    pre_tokenizers[n_pre++] = tern__stage_metaspace(scheme);
    plan->model = unigram_model(tern__pieces_first(&plan->tables, unk, true, model->unk_id), false);
    plan->normalizer = tern__stage_sequence("normalizers", normalizers, n);
    plan->pre_tokenizer = tern__stage_sequence("pretokenizers", pre_tokenizers, n_pre);
    plan->decoder = tern__stage_metaspace(scheme);
    return TERN_OK;
}

tern_status tern__pieces_as_big_bird(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                     tern_error *err) {
    enum { UNK_ID = 100 };
    const char *scheme;
    tern_text unk;
    TERN_TRY(find_prepend_scheme(&scheme, settings, "never", err));
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
    plan->model = unigram_model(tern__pieces_first(&plan->tables, unk, true, UNK_ID), false);
    plan->normalizer = tern__stage_replace(" {2,}", "\xE2\x96\x81", true);
    plan->pre_tokenizer = tern__stage_metaspace(scheme);
    plan->decoder = tern__stage_metaspace(scheme);
    return TERN_OK;
}

/* ---- BPE ---- */

tern_status tern__pieces_as_llama(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                  tern_error *err) {
    bool add_prefix_space = true, is_legacy = false;
    TERN_TRY(tern__setting_bool(&add_prefix_space, NULL, settings, "add_prefix_space", err));
    TERN_TRY(tern__setting_bool(&is_legacy, NULL, settings, "legacy", err));
    TERN_TRY(tern__pieces_to_bpe(&plan->tables, model, err));
    plan->model = bpe_model(NULL, true);
    plan->normalizer = json_null();
    plan->pre_tokenizer = tern__stage_metaspace(!add_prefix_space ? "never" : is_legacy ? "always" : "first");
    if (plan->pre_tokenizer && json_object_set_new(plan->pre_tokenizer, "split", json_false()) != 0)
        return TERN_FAIL_MEMORY(err, sizeof *plan->pre_tokenizer);
    plan->decoder = byte_fallback_decoder(add_prefix_space);
    return TERN_OK;
}

tern_status tern__pieces_as_gemma(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                  tern_error *err) {
    tern_text unk;
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    TERN_TRY(tern__pieces_to_bpe(&plan->tables, model, err));
    plan->model = bpe_model(&unk, true);
    plan->normalizer = tern__stage_replace(" ", "\xE2\x96\x81", false);
    plan->pre_tokenizer =
        json_pack("{ss, s{ss}, ss, sb}", "type", "Split", "pattern", "String", " ", "behavior", "MergedWithPrevious", "invert", 0);
    plan->decoder = byte_fallback_decoder(false);
    return TERN_OK;
}

/* Ids start anew behind the four first tokens. */
tern_status tern__pieces_as_nllb(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                 tern_error *err) {
    static const tern_named_token first[] = {TERN_BOS, TERN_PAD, TERN_EOS, TERN_UNK};
    tern_text texts[4];
    for (size_t i = 0; i < 4; i++) TERN_TRY(tern__named_token_get(&texts[i], settings, first[i], err));
    TERN_TRY(tern__pieces_to_bpe(&plan->tables, model, err));
    TERN_TRY(tern__pieces_renumber(&plan->tables.vocabulary, model, texts, 4, err));
    plan->model = bpe_model(&texts[3], false);
    plan->normalizer = model->charsmap.bytes > 0 ? charsmap_and(model, tern__stage_replace(" {2,}", " ", true)) : json_null();
    plan->pre_tokenizer = tern__stage_metaspace("always");
    plan->decoder = tern__stage_metaspace("always");
    return TERN_OK;
}

/* ---- The general class ---- */

/* What the model calls a token, where the settings say nothing of it. */
static tern_status set_default(tern_tokenizer_settings *settings, tern_named_token token, const char *key, tern_text piece,
                               tern_error *err) {
    tern_json_place place;
    if (tern__setting_find(settings, key, &place)) return TERN_OK;
    if (!settings->config) settings->config = json_object();
    json_t *text = json_stringn(piece.data, piece.bytes);
    if (json_object_set_new(settings->config, key, text) != 0) return TERN_FAIL_MEMORY(err, piece.bytes);
    tern_text content = {.data = json_string_value(text), .bytes = json_string_length(text)};
    settings->named[token] = (tern_token_wish){.token = {.content = content, .special = true}, .is_string = true};
    return TERN_OK;
}

/* Pieces that only keep a place free get the names of the tokens that the files have there. */
static tern_status rename_pieces(tern_tokenizer_plan *plan, const tern_tokenizer_settings *settings, tern_error *err) {
    tern_token_wishes wishes = {0};
    tern_status status = tern__tokens_listed(&wishes, settings, err);
    if (status == TERN_OK && wishes.n > 0) status = tern__pieces_rename(&plan->tables.vocabulary, wishes.items, wishes.n, err);
    free(wishes.items);
    return status;
}

tern_status tern__pieces_as_backend(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_sentencepiece *model,
                                    tern_error *err) {
    if (model->is_unigram) {
        TERN_TRY(tern__pieces_add(&plan->tables, model, 0, err));
        plan->model = unigram_model(model->unk_id, model->byte_fallback);
    } else {
        TERN_TRY(tern__pieces_to_bpe(&plan->tables, model, err));
        TERN_TRY(rename_pieces(plan, settings, err));
        plan->model = bpe_model(&model->unk_piece, model->byte_fallback);
    }
    plan->normalizer = charsmap_and(model, tern__stage_replace(" ", "\xE2\x96\x81", false));
    plan->pre_tokenizer = json_null();
    plan->decoder = model->byte_fallback ? byte_fallback_decoder(false) : tern__stage_replace("\xE2\x96\x81", " ", false);
    if (model->bos_id >= 0) TERN_TRY(set_default(settings, TERN_BOS, "bos_token", model->bos_piece, err));
    if (model->eos_id >= 0) TERN_TRY(set_default(settings, TERN_EOS, "eos_token", model->eos_piece, err));
    if (model->unk_id >= 0) TERN_TRY(set_default(settings, TERN_UNK, "unk_token", model->unk_piece, err));
    return TERN_OK;
}
