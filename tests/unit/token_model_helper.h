/* token_model_helper.h - a tokenizer's model from JSON text, and the tokens it makes of one word.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEST_TOKEN_MODEL_HELPER_H
#define TERN_TEST_TOKEN_MODEL_HELPER_H

#include "temporary_folder.h"

#include "base/json.h"
#include "base/text_builder.h"
#include "text/model/token_model.h"

/* `text` is a whole file, {"model": {..}}; the model is to be freed whether it succeeds or not. */
static inline tern_status test_model_read(tern_token_model *out, const char *text, tern_error *err) {
    size_t n_bytes = strlen(text);
    tern_model_tables tables = {0};
    json_t *root = NULL;
    *out = (tern_token_model){0};
    tern_status status = tern__model_tables_read_json(&tables, text, n_bytes, "file", err);
    if (status == TERN_OK) status = tern__json_parse_around(&root, text, n_bytes, tables.holes, tables.n_holes, "file", err);
    if (status == TERN_OK) status = tern__token_model_read(out, json_object_get(root, "model"), &tables, "file", err);
    json_decref(root);
    tern__model_tables_free(&tables);
    return status;
}

static inline void test_model_must_read(tern_token_model *out, const char *text) {
    tern_error err;
    if (test_model_read(out, text, &err)) fail_msg("%s\n%.2000s", err.message, text);
}

static inline tern_status test_tokenize(tern_token_list *out, const tern_token_model *model, const char *word, size_t n_bytes,
                                        tern_error *err) {
    tern_span span = {.start = 0, .end = (uint32_t)n_bytes};
    tern_spans spans = {.items = &span, .n = 1};
    tern_model_scratch scratch = {0};
    out->n = out->n_own_texts = out->texts_bytes = 0;
    tern_status status = tern__token_model_tokenize(model, &scratch, out, (const unsigned char *)word, &spans, true, err);
    tern__model_scratch_free(&scratch);
    return status;
}

/* "3(0,2) 7(2,5)"; of a token with a text of its own "3(0,2)'text'". */
static inline void test_check_tokens(const tern_token_model *model, const char *word, const char *wanted) {
    tern_token_list tokens = {0};
    tern_error err;
    if (test_tokenize(&tokens, model, word, strlen(word), &err)) fail_msg("\"%s\": %s", word, err.message);
    tern_text_builder text = {0};
    for (size_t i = 0, own = 0; i < tokens.n; i++) {
        tern__text_print(&text, "%s%d(%u,%u)", i ? " " : "", (int)tokens.ids[i], tokens.offsets[i][0], tokens.offsets[i][1]);
        if (own == tokens.n_own_texts || tokens.own_texts[own].token != i) continue;
        tern__text_print(&text, "'%.*s'", (int)tokens.own_texts[own].n_bytes, tokens.texts + tokens.own_texts[own].start);
        own++;
    }
    char *found = tern__text_take(&text);
    assert_non_null(found);
    assert_string_equal(found, wanted);
    free(found);
    tern__token_list_free(&tokens);
}

/* A small generator of numbers below n, the same on every machine. */
static inline uint32_t test_random(uint64_t *state, uint32_t n) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % n);
}

#endif
