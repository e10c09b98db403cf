/* tokenizer_stages.h - what the unit tests of post-processors, truncation and decoders share: a tokenizer out of JSON, the golden file of
 * scripts/golden-stages.py, and encodings as text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TESTS_TOKENIZER_STAGES_H
#define TERN_TESTS_TOKENIZER_STAGES_H

#include "temporary_folder.h"

#include "base/json.h"
#include "text/tokenizer.h"

static inline tern_text test_text_of(const json_t *string) {
    return (tern_text){.data = json_string_value(string), .bytes = json_string_length(string)};
}

/* The tokenizer `base` with one of its parts as given. */
static inline tern_tokenizer *test_tokenizer_of(const json_t *base, const char *key, json_t *part) {
    tern_tokenizer *tokenizer;
    tern_error err;
    json_t *json = json_copy((json_t *)(uintptr_t)base);
    json_object_set(json, key, part);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_non_null(text);
    if (tern__tokenizer_from_json(&tokenizer, text, strlen(text), "tokenizer.json", &err) != TERN_OK) fail_msg("%s", err.message);
    free(text);
    json_decref(json);
    return tokenizer;
}

/* To be released. */
static inline json_t *test_golden_stages(void) {
    json_t *golden;
    tern_error err;
    if (tern__json_load(&golden, TERN_TEST_DATA "/golden/stages.json", &err) != TERN_OK) fail_msg("%s", err.message);
    return golden;
}

/* A tokenizer.json of single letters a to h, [UNK], [CLS] 1 and [SEP] 2, with this post-processor and this decoder. */
static inline tern_status test_letters_load(tern_tokenizer **out, const char *post_processor, const char *decoder, tern_error *err) {
    char text[8192];
    int n = snprintf(text, sizeof text,
                     "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":%s,\"decoder\":%s,"
                     "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"\","
                     "\"max_input_chars_per_word\":100,\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"b\":4,\"c\":5,\"d\":6,"
                     "\"e\":7,\"f\":8,\"g\":9,\"h\":10}}}",
                     post_processor, decoder);
    assert_in_range(n, 1, sizeof text - 1);
    return tern__tokenizer_from_json(out, text, (size_t)n, "tokenizer.json", err);
}

static inline tern_tokenizer *test_letters(const char *post_processor, const char *decoder) {
    tern_tokenizer *tokenizer;
    tern_error err;
    if (test_letters_load(&tokenizer, post_processor, decoder, &err) != TERN_OK) fail_msg("%s", err.message);
    return tokenizer;
}

/* "token:id:type:mask:word:sequence:start-end", with spaces between. */
static inline const char *test_shown(const tern_encoding *encoding) {
    static char text[16384];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < encoding->n; i++) {
        char word[16] = "-", sequence[16] = "-";
        if (encoding->word_ids[i] >= 0) snprintf(word, sizeof word, "%d", (int)encoding->word_ids[i]);
        if (encoding->sequence_ids[i] >= 0) snprintf(sequence, sizeof sequence, "%d", (int)encoding->sequence_ids[i]);
        assert_int_equal(encoding->tokens[i + 1] - encoding->tokens[i], strlen(encoding->tokens[i]) + 1);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s:%d:%d:%d:%s:%s:%u-%u", i > 0 ? " " : "", encoding->tokens[i],
                              (int)encoding->ids[i], (int)encoding->type_ids[i], encoding->special_tokens_mask[i], word, sequence,
                              (unsigned)encoding->offsets[i][0], (unsigned)encoding->offsets[i][1]);
        assert_true(n < sizeof text);
    }
    return text;
}

#endif
