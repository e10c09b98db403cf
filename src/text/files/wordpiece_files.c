/* wordpiece_files.c - tokenizers from vocab.txt, as BertTokenizer and MPNetTokenizer make them.
 * Source: Hugging Face transformers 5, tokenization_bert.py, tokenization_mpnet.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/files/tokenizer_files.h"
#include "text/unicode/unicode.h"

/* A line each; white space at its end does not count. A token that stands twice has the number of its last line. */
static tern_status read_vocab_lines(tern_vocabulary *out, const char *text, size_t n_bytes, const char *path, tern_error *err) {
    size_t n_valid = tern__utf8_valid_prefix((const unsigned char *)text, n_bytes);
    if (n_valid < n_bytes) return TERN_FAIL(err, TERN_E_FORMAT, "%s: not UTF-8 at byte %zu", path, n_valid);
    int32_t id = 0;
    for (size_t start = 0; start < n_bytes; id++) {
        const char *newline = memchr(text + start, '\n', n_bytes - start);
        size_t end = newline ? (size_t)(newline - text) : n_bytes, next = newline ? end + 1 : n_bytes;
        while (end > start) {
            size_t last = end - 1, length;
            while (tern__utf8_is_continuation((unsigned char)text[last])) last--;
            if (!(tern__unicode_find(tern__utf8_decode((const unsigned char *)text + last, &length)).flags & TERN_UNICODE_SPACE)) break;
            end = last;
        }
        bool is_new;
        if (id == INT32_MAX) return TERN_FAIL(err, TERN_E_FORMAT, "%s: too many lines", path);
        if (!tern__vocabulary_set(out, text + start, end - start, id, &is_new)) return TERN_FAIL_MEMORY(err, end - start);
        start = next;
    }
    return TERN_OK;
}

static tern_status load_vocab(tern_vocabulary *out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                              tern_error *err) {
    char *path, *text;
    size_t n_bytes;
    TERN_TRY(tern__tokenizer_file_path(&path, settings, cls, cls->vocab_file, err));
    tern_status status = tern__file_read(&text, &n_bytes, path, TERN_JSON_MAX_BYTES, err);
    if (status == TERN_OK) {
        status = read_vocab_lines(out, text, n_bytes, path, err);
        free(text);
    }
    free(path);
    return status;
}

tern_status tern__plan_bert(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                            tern_error *err) {
    bool lowercase = true, chinese = true, accents = false, has_accents = false;
    tern_text unk;
    TERN_TRY(tern__setting_bool(&lowercase, NULL, settings, "do_lower_case", err));
    TERN_TRY(tern__setting_bool(&chinese, NULL, settings, "tokenize_chinese_chars", err));
    TERN_TRY(tern__setting_bool(&accents, &has_accents, settings, "strip_accents", err));
    TERN_TRY(tern__named_token_get(&unk, settings, TERN_UNK, err));
    TERN_TRY(load_vocab(&plan->tables.vocabulary, settings, cls, err));
    plan->normalizer = json_pack("{ss, sb, sb, sb, so}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", (int)chinese,
                                 "lowercase", (int)lowercase, "strip_accents", has_accents ? json_boolean(accents) : json_null());
    plan->pre_tokenizer = json_pack("{ss}", "type", "BertPreTokenizer");
    plan->decoder = json_pack("{ss, ss, sb}", "type", "WordPiece", "prefix", "##", "cleanup", 1);
    plan->model = json_pack("{ss, s{}, ss, ss, si}", "type", "WordPiece", "vocab", "unk_token", unk.data, "continuing_subword_prefix", "##",
                            "max_input_chars_per_word", 100);
    return TERN_OK;
}
