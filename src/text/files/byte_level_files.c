/* byte_level_files.c - tokenizers from vocab.json and merges.txt: byte-level BPE, as GPT2Tokenizer, RobertaTokenizer, DebertaTokenizer,
 * Qwen2Tokenizer and CLIPTokenizer make them. Source: Hugging Face transformers 5, tokenization_gpt2.py and the like.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/files/tokenizer_files.h"
#include "text/unicode/unicode.h"

/* Two tokens a line with one space between; lines that start with "#version" do not count. */
static tern_status read_merge_lines(tern_model_tables *out, const char *text, size_t n_bytes, const char *path, tern_error *err) {
    static const char version[] = "#version";
    size_t n_valid = tern__utf8_valid_prefix((const unsigned char *)text, n_bytes), line = 0;
    if (n_valid < n_bytes) return TERN_FAIL(err, TERN_E_FORMAT, "%s: not UTF-8 at byte %zu", path, n_valid);
    for (size_t start = 0, next; start < n_bytes; start = next) {
        const char *newline = memchr(text + start, '\n', n_bytes - start);
        size_t end = newline ? (size_t)(newline - text) : n_bytes;
        next = newline ? end + 1 : n_bytes;
        line++;
        if (newline && end > start && text[end - 1] == '\r') end--;
        if (end - start >= sizeof version - 1 && memcmp(text + start, version, sizeof version - 1) == 0) continue;
        const char *space = memchr(text + start, ' ', end - start);
        size_t left_bytes = space ? (size_t)(space - text) - start : 0, right_bytes = space ? end - start - left_bytes - 1 : 0;
        if (!space || memchr(space + 1, ' ', right_bytes))
            return TERN_FAIL(err, TERN_E_FORMAT, "%s: line %zu: a merge must be two tokens with one space between", path, line);
        if (!tern__model_tables_add_merge(out, text + start, left_bytes, space + 1, right_bytes)) return TERN_FAIL_MEMORY(err, end - start);
    }
    return TERN_OK;
}

static tern_status load_file(tern_model_tables *out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                             const char *name, bool is_vocab, tern_error *err) {
    char *path, *text;
    size_t n_bytes;
    TERN_TRY(tern__tokenizer_file_path(&path, settings, cls, name, err));
    tern_status status = tern__file_read(&text, &n_bytes, path, TERN_JSON_MAX_BYTES, err);
    if (status == TERN_OK) {
        status = is_vocab ? tern__model_tables_read_vocab(out, text, n_bytes, path, err) : read_merge_lines(out, text, n_bytes, path, err);
        free(text);
    }
    free(path);
    return status;
}

/* The model, its tables and the decoder are those of all classes. */
static tern_status plan_byte_level(tern_tokenizer_plan *plan, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                   const char *unk_token, const char *suffix, tern_error *err) {
    TERN_TRY(load_file(&plan->tables, settings, cls, cls->vocab_file, true, err));
    TERN_TRY(load_file(&plan->tables, settings, cls, cls->merges_file, false, err));
    plan->model = json_pack("{ss, s{}, s[], ss, ss, ss?, sb, sb}", "type", "BPE", "vocab", "merges", "continuing_subword_prefix", "",
                            "end_of_word_suffix", suffix, "unk_token", unk_token, "fuse_unk", 0, "byte_fallback", 0);
    plan->decoder = tern__stage_byte_level(true, true);
    return TERN_OK;
}

/* Also RoBERTa's and DeBERTa's, which differ in the post-processor. */
tern_status tern__plan_gpt2(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                            tern_error *err) {
    bool add_prefix_space = false;
    TERN_TRY(tern__setting_bool(&add_prefix_space, NULL, settings, "add_prefix_space", err));
    TERN_TRY(plan_byte_level(plan, settings, cls, NULL, "", err));
    plan->normalizer = json_null();
    plan->pre_tokenizer = tern__stage_byte_level(add_prefix_space, true);
    return TERN_OK;
}

static json_t *split_stage(const char *pattern, const char *behavior, bool invert) {
    return json_pack("{ss, s{ss}, ss, sb}", "type", "Split", "pattern", "Regex", pattern, "behavior", behavior, "invert", (int)invert);
}

tern_status tern__plan_qwen2(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                             tern_error *err) {
    static const char pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                                  "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    bool add_prefix_space = false;
    TERN_TRY(tern__setting_bool(&add_prefix_space, NULL, settings, "add_prefix_space", err));
    TERN_TRY(plan_byte_level(plan, settings, cls, NULL, "", err));
    json_t *const stages[] = {split_stage(pattern, "Isolated", false), tern__stage_byte_level(add_prefix_space, false)};
    plan->normalizer = json_pack("{ss}", "type", "NFC");
    plan->pre_tokenizer = tern__stage_sequence("pretokenizers", stages, 2);
    return TERN_OK;
}

/* transformers replaces the ends of words in decoded text and cuts off its ends; here two more decoders do so. */
tern_status tern__plan_clip(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                            tern_error *err) {
    static const char pattern[] = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
    enum { ALL = INT32_MAX };
    tern_text unk;
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    TERN_TRY(plan_byte_level(plan, settings, cls, unk.data, "</w>", err));
    json_t *const normalizers[] = {json_pack("{ss}", "type", "NFC"), tern__stage_replace("\\s+", " ", true),
                                   json_pack("{ss}", "type", "Lowercase")};
    json_t *const pre_tokenizers[] = {split_stage(pattern, "Removed", true), tern__stage_byte_level(false, true)};
    json_t *const decoders[] = {plan->decoder, tern__stage_replace("</w>", " ", false),
                                json_pack("{ss, ss, si, si}", "type", "Strip", "content", " ", "start", ALL, "stop", ALL)};
    plan->normalizer = tern__stage_sequence("normalizers", normalizers, 3);
    plan->pre_tokenizer = tern__stage_sequence("pretokenizers", pre_tokenizers, 2);
    plan->decoder = tern__stage_sequence("decoders", decoders, 3);
    return TERN_OK;
}
