/* unit_bpe.c - BPE against the textbook: cut into characters, merge the strongest pair, leftmost first, until there is none. Random small
 * vocabularies and words, long words too, in all settings. Values that are asked for were taken from Hugging Face's tokenizers 0.23.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token_model_helper.h"

#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

/* ---- A vocabulary and its textbook ---- */

#define MAX_TOKENS 400
#define MAX_TEXT   64
#define MAX_MERGES 80

typedef struct textbook {
    char tokens[MAX_TOKENS][MAX_TEXT]; /* its index is its id */
    int n_tokens;
    int merges[MAX_MERGES][3]; /* left, right, what they become */
    int n_merges;
    const char *prefix, *suffix;
    int unk; /* -1: none */
    bool fuse_unk, byte_fallback, ignore_merges;
} textbook;

typedef struct textbook_symbol {
    int id;
    size_t n_bytes;
} textbook_symbol;

static int find_token(const textbook *book, const char *text, size_t n_bytes) {
    for (int i = 0; i < book->n_tokens; i++)
        if (strlen(book->tokens[i]) == n_bytes && memcmp(book->tokens[i], text, n_bytes) == 0) return i;
    return -1;
}

static int add_token(textbook *book, const char *text) {
    int known = find_token(book, text, strlen(text));
    if (known >= 0 || book->n_tokens == MAX_TOKENS) return known;
    snprintf(book->tokens[book->n_tokens], MAX_TEXT, "%s", text);
    return book->n_tokens++;
}

static size_t cut_into_characters(const textbook *book, const char *word, size_t n_bytes, textbook_symbol *symbols) {
    size_t n = 0, length, unk_bytes = 0;
    for (size_t at = 0; at < n_bytes; at += length) {
        char text[MAX_TEXT];
        tern__utf8_decode((const unsigned char *)word + at, &length);
        snprintf(text, sizeof text, "%s%.*s%s", at ? book->prefix : "", (int)length, word + at, at + length == n_bytes ? book->suffix : "");
        int id = find_token(book, text, strlen(text)), ids[MAX_TEXT];
        if (id >= 0) {
            if (unk_bytes) symbols[n++] = (textbook_symbol){book->unk, unk_bytes};
            unk_bytes = 0;
            symbols[n++] = (textbook_symbol){id, length};
            continue;
        }
        bool has_bytes = book->byte_fallback;
        for (size_t i = 0; i < strlen(text) && has_bytes; i++) {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned char)text[i]);
            ids[i] = find_token(book, name, 6);
            has_bytes = ids[i] >= 0;
        }
        for (size_t i = 0; i < strlen(text) && has_bytes; i++) symbols[n++] = (textbook_symbol){ids[i], 1};
        if (has_bytes || book->unk < 0) continue;
        if (unk_bytes && !book->fuse_unk) {
            symbols[n++] = (textbook_symbol){book->unk, unk_bytes};
            unk_bytes = 0;
        }
        unk_bytes += length;
    }
    if (unk_bytes) symbols[n++] = (textbook_symbol){book->unk, unk_bytes};
    return n;
}

static int rank_of(const textbook *book, int left, int right) {
    for (int i = book->n_merges; i-- > 0;)
        if (book->merges[i][0] == left && book->merges[i][1] == right) return i;
    return INT32_MAX;
}

static size_t merge_by_the_book(const textbook *book, const char *word, size_t n_bytes, textbook_symbol *symbols) {
    int whole = book->ignore_merges ? find_token(book, word, n_bytes) : -1;
    if (whole >= 0) return symbols[0] = (textbook_symbol){whole, n_bytes}, 1;
    size_t n = cut_into_characters(book, word, n_bytes, symbols);
    for (;;) {
        int best = INT32_MAX;
        size_t place = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            int rank = rank_of(book, symbols[i].id, symbols[i + 1].id);
            if (rank < best) best = rank, place = i;
        }
        if (best == INT32_MAX) return n;
        symbols[place] = (textbook_symbol){book->merges[best][2], symbols[place].n_bytes + symbols[place + 1].n_bytes};
        n--;
        memmove(symbols + place + 1, symbols + place + 2, (n - place - 1) * sizeof *symbols);
    }
}

/* ---- Random ones ---- */

static const char *const alphabet[] = {"a", "b", "c", "\xC3\xA9", "\xE4\xB8\xAD", " ", "d", "\xF0\x9F\x98\x80"};

static void make_book(textbook *book, uint64_t *random, bool of_bytes) {
    static const char *const affixes[][2] = {{"", ""}, {"", ""}, {"##", ""}, {"", "</w>"}, {"_", "$"}};
    uint32_t n_alphabet = 2 + test_random(random, 7), affix = test_random(random, of_bytes ? 1 : 5);
    *book = (textbook){.prefix = affixes[affix][0], .suffix = affixes[affix][1], .unk = -1};
    book->fuse_unk = test_random(random, 2);
    book->byte_fallback = !of_bytes && test_random(random, 2);
    book->ignore_merges = test_random(random, 4) == 0;
    if (test_random(random, 2)) book->unk = add_token(book, "<unk>");
    for (uint32_t i = 0; i < (of_bytes ? 256 : n_alphabet * 4); i++) {
        char text[MAX_TEXT], character[8] = "";
        if (of_bytes) tern__utf8_encode((unsigned char *)character, tern__byte_level_character((unsigned char)i));
        else snprintf(character, sizeof character, "%s", alphabet[i / 4]);
        snprintf(text, sizeof text, "%s%s%s", i & 1 ? book->prefix : "", character, i & 2 ? book->suffix : "");
        if (of_bytes || test_random(random, 8)) add_token(book, text);
    }
    for (unsigned byte = 0; byte < 256 && book->byte_fallback; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        if (byte != 'c' && (byte < 128 || affix == 0)) add_token(book, text);
    }
    int n_wanted = (int)test_random(random, MAX_MERGES), n_first = of_bytes ? 97 : 0;
    for (int tries = 0; book->n_merges < n_wanted && tries < 2000; tries++) {
        int left = n_first + (int)test_random(random, (uint32_t)(book->n_tokens - n_first));
        int right = n_first + (int)test_random(random, (uint32_t)(book->n_tokens - n_first));
        size_t n_prefix = strlen(book->prefix);
        char text[2 * MAX_TEXT];
        if (strncmp(book->tokens[right], book->prefix, n_prefix) != 0 || strchr(book->tokens[left], '$') || strchr(book->tokens[left], '<'))
            continue;
        snprintf(text, sizeof text, "%s%s", book->tokens[left], book->tokens[right] + n_prefix);
        int id = strlen(text) < MAX_TEXT && strlen(book->tokens[right]) > n_prefix ? add_token(book, text) : -1;
        if (id < 0) continue;
        memcpy(book->merges[book->n_merges++], (int[3]){left, right, id}, sizeof book->merges[0]);
    }
}

static char *json_of_book(const textbook *book, uint64_t *random) {
    tern_text_builder text = {0};
    bool are_pairs = test_random(random, 2);
    for (int i = 0; i < book->n_tokens; i++) are_pairs |= strchr(book->tokens[i], ' ') != NULL;
    tern__text_print(&text, "{\"model\":{\"type\":\"BPE\",\"unk_token\":%s,\"continuing_subword_prefix\":\"%s\",",
                     book->unk < 0 ? "null" : "\"<unk>\"", book->prefix);
    tern__text_print(&text, "\"end_of_word_suffix\":\"%s\",\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\"merges\":[",
                     book->suffix, book->fuse_unk ? "true" : "false", book->byte_fallback ? "true" : "false",
                     book->ignore_merges ? "true" : "false");
    for (int i = 0; i < book->n_merges; i++) {
        const char *left = book->tokens[book->merges[i][0]], *right = book->tokens[book->merges[i][1]];
        const char *separator = i ? "," : "";
        if (are_pairs) tern__text_print(&text, "%s[\"%s\",\"%s\"]", separator, left, right);
        else tern__text_print(&text, "%s\"%s %s\"", separator, left, right);
    }
    tern__text_print(&text, "],\"vocab\":{");
    for (int i = 0; i < book->n_tokens; i++) {
        const char *escape = strchr("\"\\", book->tokens[i][0]) ? "\\" : "";
        tern__text_print(&text, "%s\"%s%s\":%d", i ? "," : "", escape, book->tokens[i], i);
    }
    tern__text_print(&text, "}}}");
    char *json = tern__text_take(&text);
    assert_non_null(json);
    return json;
}

static size_t make_word(const textbook *book, uint64_t *random, char *word, size_t capacity) {
    static const uint32_t lengths[] = {1, 3, 8, 16, 17, 31, 32, 33, 40, 200, 900};
    uint32_t wanted = lengths[test_random(random, sizeof lengths / sizeof *lengths)];
    size_t n_bytes = 0;
    while (n_bytes < wanted && n_bytes + MAX_TEXT < capacity) {
        const char *part = alphabet[test_random(random, 8)];
        if (test_random(random, 3) == 0) part = book->tokens[test_random(random, (uint32_t)book->n_tokens)];
        for (uint32_t repeat = test_random(random, 10) ? 1 : 20; repeat > 0 && n_bytes + MAX_TEXT < capacity; repeat--)
            n_bytes += (size_t)snprintf(word + n_bytes, capacity - n_bytes, "%s", part);
    }
    return n_bytes;
}

static void check_word(const textbook *book, const tern_token_model *model, const char *word, size_t n_bytes, uint32_t seed) {
    static textbook_symbol symbols[4096];
    tern_token_list tokens = {0};
    tern_error err;
    if (test_tokenize(&tokens, model, word, n_bytes, &err)) fail_msg("seed %u: %s", seed, err.message);
    size_t n = merge_by_the_book(book, word, n_bytes, symbols), position = 0;
    if (tokens.n != n) fail_msg("seed %u: \"%.*s\": %zu tokens, not %zu", seed, (int)n_bytes, word, tokens.n, n);
    for (size_t i = 0; i < n; i++) {
        size_t end = position + symbols[i].n_bytes;
        if (tokens.ids[i] != symbols[i].id)
            fail_msg("seed %u: \"%.*s\": token %zu is %d, not %d", seed, (int)n_bytes, word, i, tokens.ids[i], symbols[i].id);
        if (end > n_bytes) break; /* bytes of a prefix or suffix count, and lead out of the word */
        assert_int_equal(tokens.offsets[i][0], position);
        assert_int_equal(tokens.offsets[i][1], end);
        position = end;
    }
    tern__token_list_free(&tokens);
}

static void test_textbook(void **state) {
    (void)state;
    static textbook book;
    for (uint32_t seed = 0; seed < 600; seed++) {
        uint64_t random = seed;
        make_book(&book, &random, false);
        char *json = json_of_book(&book, &random), word[1024];
        tern_token_model model;
        test_model_must_read(&model, json);
        for (int i = 0; i < 12; i++) check_word(&book, &model, word, make_word(&book, &random, word, sizeof word), seed);
        for (int i = 0; i < book.n_tokens; i++) check_word(&book, &model, book.tokens[i], strlen(book.tokens[i]), seed);
        tern__token_model_free(&model);
        free(json);
    }
}

/* Raw bytes give what the characters that stand for them give. */
static void test_bytes(void **state) {
    (void)state;
    static textbook book;
    static textbook_symbol symbols[4096];
    for (uint32_t seed = 0; seed < 100; seed++) {
        uint64_t random = seed + 1000;
        make_book(&book, &random, true);
        char *json = json_of_book(&book, &random), word[1024], shown[2048];
        tern_token_model model;
        tern_error err;
        bool can = false;
        test_model_must_read(&model, json);
        assert_int_equal(tern__token_model_take_bytes(&model, &can, &err), TERN_OK);
        assert_true(can);
        for (int i = 0; i < 12; i++) {
            size_t n_bytes = make_word(&book, &random, word, sizeof word), n_shown = 0, start = 0;
            for (size_t k = 0; k < n_bytes; k++)
                n_shown += tern__utf8_encode((unsigned char *)shown + n_shown, tern__byte_level_character((unsigned char)word[k]));
            size_t n = merge_by_the_book(&book, shown, n_shown, symbols);
            tern_token_list tokens = {0};
            assert_int_equal(test_tokenize(&tokens, &model, word, n_bytes, &err), TERN_OK);
            assert_int_equal(tokens.n, n);
            for (size_t k = 0; k < n; k++) {
                size_t n_characters = tern__utf8_count((unsigned char *)shown, symbols[k].n_bytes);
                memmove(shown, shown + symbols[k].n_bytes, n_shown -= symbols[k].n_bytes);
                assert_int_equal(tokens.ids[k], symbols[k].id);
                assert_int_equal(tokens.offsets[k][0], start);
                assert_int_equal(tokens.offsets[k][1], start + n_characters);
                start += n_characters;
            }
            tern__token_list_free(&tokens);
        }
        tern__token_model_free(&model);
        free(json);
    }
}

/* ---- Quirks ---- */

static void test_quirks(void **state) {
    (void)state;
    tern_token_model model;
    /* of two merges of one pair the later one's place in the list holds */
    test_model_must_read(&model, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},"
                                 "\"merges\":[\"a b\",\"b c\",\"a b\"]}}");
    test_check_tokens(&model, "abc", "0(0,1) 4(1,3)");
    test_check_tokens(&model, "axb", "3(0,2)"); /* no unk_token: x is dropped, and its place is forgotten */
    tern__token_model_free(&model);
    /* an unknown token comes behind the bytes that follow it */
    test_model_must_read(&model, "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"byte_fallback\":true,"
                                 "\"vocab\":{\"?\":0,\"a\":1,\"<0x78>\":2},\"merges\":[]}}");
    test_check_tokens(&model, "ayxa", "1(0,1) 2(1,2) 0(2,3) 1(3,4)");
    tern__token_model_free(&model);
    test_model_must_read(&model,
                         "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"fuse_unk\":true,\"vocab\":{\"?\":0,\"a\":1},\"merges\":[]}}");
    test_check_tokens(&model, "xya\xC3\xA9", "0(0,2) 1(2,3) 0(3,5)");
    tern__token_model_free(&model);
    test_model_must_read(&model, "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":1},\"merges\":[]}}");
    tern_token_list tokens = {0};
    tern_error err;
    check_failed(test_tokenize(&tokens, &model, "ab", 2, &err), TERN_E_FORMAT, &err, "lacks the unk_token \"?\"");
    tern__token_list_free(&tokens);
    tern__token_model_free(&model);
}

/* A megabyte without a place to cut takes well under a second; quadratic it would take hours. */
static void test_long_word(void **state) {
    (void)state;
    enum { N_BYTES = 1 << 20 };
    tern_token_model model;
    tern_error err;
    test_model_must_read(&model, "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"b\",\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2,\"b\":3},"
                                 "\"merges\":[\"a a\",\"aa aa\"]}}");
    char *word = malloc(N_BYTES);
    assert_non_null(word);
    memset(word, 'a', N_BYTES);
    tern_token_list tokens = {0};
    assert_int_equal(test_tokenize(&tokens, &model, word, N_BYTES, &err), TERN_OK);
    assert_int_equal(tokens.n, N_BYTES / 4);
    for (size_t i = 0; i < tokens.n; i++) assert_int_equal(tokens.ids[i], 2);
    assert_int_equal(tokens.offsets[tokens.n - 1][1], N_BYTES);
    tern__token_list_free(&tokens);
    tern__token_model_free(&model);
    free(word);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_textbook),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_quirks),
        cmocka_unit_test(test_long_word),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
