/* unit_unigram.c - Unigram against all ways to cut a short word, and the trie against looking for each piece. Values that are asked for
 * were taken from Hugging Face's tokenizers 0.23.3. SPDX-License-Identifier: Apache-2.0 */
#include "token_model_helper.h"

#include "text/unicode/unicode.h"

#define MAX_PIECES 60
#define MAX_PIECE  24
#define MAX_WORD   12 /* characters: 2048 ways to cut them */

typedef struct piece_book {
    char pieces[MAX_PIECES][MAX_PIECE];
    double scores[MAX_PIECES];
    int n_pieces;
} piece_book;

static const char *const alphabet[] = {"a", "b", "\xC3\xA9", "\xE4\xB8\xAD", "c"};

/* Pieces are all different; scores are multiples of 2^-16, so that sums are exact. */
static void make_book(piece_book *book, uint64_t *random) {
    *book = (piece_book){.n_pieces = 1};
    snprintf(book->pieces[0], MAX_PIECE, "<unk>");
    uint32_t n_alphabet = 2 + test_random(random, 4), n_wanted = 3 + test_random(random, MAX_PIECES - 4);
    for (uint32_t tries = 0; tries < 500 && (uint32_t)book->n_pieces < n_wanted; tries++) {
        char piece[MAX_PIECE] = "";
        for (uint32_t n = 1 + test_random(random, 5); n > 0; n--)
            snprintf(piece + strlen(piece), sizeof piece - strlen(piece), "%s", alphabet[test_random(random, n_alphabet)]);
        bool is_new = true;
        for (int i = 0; i < book->n_pieces; i++) is_new &= strcmp(book->pieces[i], piece) != 0;
        if (!is_new) continue;
        snprintf(book->pieces[book->n_pieces], MAX_PIECE, "%s", piece);
        book->scores[book->n_pieces++] = -1.0 - test_random(random, 1 << 20) / 65536.0;
    }
}

static char *json_of_book(const piece_book *book) {
    tern_text_builder text = {0};
    tern__text_print(&text, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[");
    for (int i = 0; i < book->n_pieces; i++) tern__text_print(&text, "%s[\"%s\",%.20g]", i ? "," : "", book->pieces[i], book->scores[i]);
    tern__text_print(&text, "]}}");
    char *json = tern__text_take(&text);
    assert_non_null(json);
    return json;
}

static int find_piece(const piece_book *book, const char *text, size_t n_bytes) {
    for (int i = 1; i < book->n_pieces; i++)
        if (strlen(book->pieces[i]) == n_bytes && memcmp(book->pieces[i], text, n_bytes) == 0) return i;
    return 0;
}

/* The score of a way: bit i of `cuts` is a cut behind character i. -1e300: a part of several characters is no piece. */
static double score_way(const piece_book *book, const char *word, const size_t *starts, size_t n, uint32_t cuts, double unk_score) {
    double score = 0;
    for (size_t i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && !(cuts >> i & 1)) continue;
        int piece = find_piece(book, word + starts[from], starts[i + 1] - starts[from]);
        if (piece == 0 && i > from) return -1e300;
        score += piece ? book->scores[piece] : unk_score;
        from = i + 1;
    }
    return score;
}

static void test_all_ways(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 400; seed++) {
        static piece_book book;
        uint64_t random = seed;
        make_book(&book, &random);
        char *json = json_of_book(&book), word[MAX_WORD * 4 + 1];
        tern_token_model model;
        test_model_must_read(&model, json);
        double unk_score = 0;
        for (int i = 0; i < book.n_pieces; i++) unk_score = book.scores[i] < unk_score ? book.scores[i] : unk_score;
        unk_score -= 10;
        for (int t = 0; t < 10; t++) {
            size_t starts[MAX_WORD + 1] = {0}, n = 1 + test_random(&random, MAX_WORD);
            for (size_t i = 0; i < n; i++) {
                const char *character = test_random(&random, 20) ? alphabet[test_random(&random, 5)] : "x";
                snprintf(word + starts[i], sizeof word - starts[i], "%s", character);
                starts[i + 1] = starts[i] + strlen(character);
            }
            double best = -1e300;
            for (uint32_t cuts = 0; cuts < 1u << (n - 1); cuts++) {
                double score = score_way(&book, word, starts, n, cuts, unk_score);
                if (score > best) best = score;
            }
            tern_token_list tokens = {0};
            tern_error err;
            assert_int_equal(test_tokenize(&tokens, &model, word, strlen(word), &err), TERN_OK);
            double found = 0;
            uint32_t position = 0;
            for (size_t i = 0; i < tokens.n; i++) {
                uint32_t start = tokens.offsets[i][0], end = tokens.offsets[i][1];
                assert_int_equal(start, position);
                assert_int_equal(tokens.ids[i], find_piece(&book, word + start, end - start));
                double n_unknown = (double)tern__utf8_count((const unsigned char *)word + start, end - start);
                found += tokens.ids[i] ? book.scores[tokens.ids[i]] : n_unknown * unk_score;
                position = end;
            }
            assert_int_equal(position, strlen(word));
            if (found != best) fail_msg("seed %u: \"%s\": %.17g, but the best way has %.17g", seed, word, found, best);
            tern__token_list_free(&tokens);
        }
        tern__token_model_free(&model);
        free(json);
    }
}

/* ---- The trie ---- */

/* Which pieces a text starts with, by the trie. */
static size_t find_all(const tern_piece_trie *trie, const tern_vocabulary *vocabulary, const char *text, size_t n_bytes, uint32_t *found) {
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t link = trie->root_link;
    size_t n = 0;
    for (size_t at = 0; at < n_bytes;) {
        tern_trie_node node = trie->nodes[link ^ bytes[at]];
        if ((node.fields & TERN_TRIE_LABEL) != bytes[at] + 1u) break;
        at++;
        if (node.fields & TERN_TRIE_TAIL) {
            size_t n_rest;
            if (tern__trie_match_tail(node, vocabulary, at, bytes + at, n_bytes - at, &n_rest))
                found[n++] = (node.fields >> TERN_TRIE_VALUE_SHIFT) - 1;
            break;
        }
        if (node.fields >> TERN_TRIE_VALUE_SHIFT) found[n++] = (node.fields >> TERN_TRIE_VALUE_SHIFT) - 1;
        link = node.link;
    }
    return n;
}

/* Pieces of any bytes, NUL too, some very long, some twice, some that share long beginnings. */
static void test_trie(void **state) {
    (void)state;
    enum { N_PIECES = 3000, LONGEST = 700 };
    for (uint32_t seed = 0; seed < 6; seed++) {
        uint64_t random = seed;
        uint32_t n_bytes_used = seed % 3 == 0 ? 256 : seed % 3 == 1 ? 3 : 20;
        tern_vocabulary vocabulary = {0};
        tern_piece_trie trie = {0};
        tern_error err;
        size_t repeated;
        for (int i = 0; i < N_PIECES; i++) {
            char piece[LONGEST];
            size_t n = test_random(&random, 50) ? test_random(&random, 12) : test_random(&random, LONGEST - 20), n_shared = 0;
            if (i > 0 && test_random(&random, 4) == 0) { /* begins as another */
                const tern_vocabulary_entry *other = &vocabulary.entries[test_random(&random, (uint32_t)i)];
                n_shared = other->n_bytes < LONGEST - 20 ? other->n_bytes : LONGEST - 20;
                memcpy(piece, vocabulary.strings + other->start, n_shared);
                n = test_random(&random, 6);
            }
            for (size_t k = 0; k < n; k++) piece[n_shared + k] = (char)test_random(&random, n_bytes_used);
            assert_true(tern__vocabulary_append(&vocabulary, piece, n_shared + n, i));
        }
        assert_true(tern__vocabulary_index(&vocabulary, &repeated));
        assert_int_not_equal(repeated, SIZE_MAX);
        double *scores = calloc(N_PIECES, sizeof *scores);
        uint64_t *whole = calloc(N_PIECES / 64 + 1, sizeof *whole);
        assert_true(scores && whole);
        assert_int_equal(tern__piece_trie_build(&trie, &vocabulary, scores, whole, &err), TERN_OK);
        free(scores);
        free(whole);
        for (uint32_t i = 0; i < N_PIECES; i++) {
            const tern_vocabulary_entry *entry = &vocabulary.entries[i];
            const char *text = tern__vocabulary_string(&vocabulary, entry);
            uint32_t found[LONGEST];
            size_t n = find_all(&trie, &vocabulary, text, entry->n_bytes, found), n_wanted = 0;
            for (size_t length = 1; length <= entry->n_bytes; length++) {
                const tern_vocabulary_entry *piece = tern__vocabulary_find(&vocabulary, text, length);
                if (!piece) continue;
                assert_true(n_wanted < n);
                assert_int_equal(found[n_wanted++], piece - vocabulary.entries);
            }
            assert_int_equal(n, n_wanted);
        }
        tern__piece_trie_free(&trie);
        tern__vocabulary_free(&vocabulary);
    }
}

/* ---- Unknown characters, ties ---- */

static void test_quirks(void **state) {
    (void)state;
    tern_token_model model;
    tern_error err;
    test_model_must_read(&model,
                         "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",-1],[\"<unk>\",-2],[\"b\",-1],[\"ab\",-2],"
                         "[\"ba\",-2],[\"c\",-9],[\"c\",-1],[\"\",5]]}}");
    test_check_tokens(&model, "ab", "3(0,2)"); /* as good as a + b: the way found first stays */
    test_check_tokens(&model, "aba", "0(0,1) 4(1,3)");
    test_check_tokens(&model, "c", "6(0,1)"); /* of two pieces with one text the later */
    test_check_tokens(&model, "xya\xC3\xA9", "1(0,2)'xy' 0(2,3) 1(3,5)'\xC3\xA9'");
    test_check_tokens(&model, "<unk>", "1(0,5)");
    test_check_tokens(&model, "x<unk>", "1(0,6)'x<unk>'");
    assert_int_equal(tern__vocabulary_find_id(&model.vocabulary, 5)->n_bytes, 1);
    tern__token_model_free(&model);
    test_model_must_read(&model, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
                                 "[\"<0xC3>\",0],[\"<0xA9>\",0],[\"<0x78>\",0]]}}");
    test_check_tokens(&model, "a\xC3\xA9", "1(0,1) 2(1,3) 3(1,3)");
    test_check_tokens(&model, "x\xC3\xA9", "4(0,3) 2(0,3) 3(0,3)"); /* unknown characters are joined first */
    test_check_tokens(&model, "xy", "0(0,2)'xy'");
    tern__token_model_free(&model);
    test_model_must_read(&model, "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"ab\",-1],[\"a\",-3]]}}");
    test_check_tokens(&model, "ab", "0(0,2)");
    tern_token_list tokens = {0};
    check_failed(test_tokenize(&tokens, &model, "aab\xC3\xA9", 5, &err), TERN_E_FORMAT, &err, "has no unk_id");
    tern__token_list_free(&tokens);
    tern__token_model_free(&model);
}

/* A megabyte of one letter, and one of words: time grows with the length alone; memory only where pieces cross everywhere. */
static void test_long_word(void **state) {
    (void)state;
    enum { N_BYTES = 1 << 20 };
    tern_token_model model;
    tern_error err;
    test_model_must_read(&model,
                         "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-2],[\"aa\",-3],[\"b\",-1]]}}");
    char *word = malloc(N_BYTES);
    assert_non_null(word);
    memset(word, 'a', N_BYTES);
    tern_token_list tokens = {0};
    assert_int_equal(test_tokenize(&tokens, &model, word, N_BYTES, &err), TERN_OK);
    assert_int_equal(tokens.n, N_BYTES / 2);
    for (size_t i = 0; i < N_BYTES; i += 2) word[i] = 'b';
    assert_int_equal(test_tokenize(&tokens, &model, word, N_BYTES, &err), TERN_OK);
    assert_int_equal(tokens.n, N_BYTES);
    assert_int_equal(tokens.offsets[N_BYTES - 1][0], N_BYTES - 1);
    tern_span span = {.start = 0, .end = N_BYTES};
    tern_spans spans = {.items = &span, .n = 1};
    tern_model_scratch scratch = {0};
    assert_int_equal(tern__token_model_tokenize(&model, &scratch, &tokens, (const unsigned char *)word, &spans, false, &err), TERN_OK);
    assert_in_range(scratch.nodes_capacity, 1, 64);
    tern__model_scratch_free(&scratch);
    tern__token_list_free(&tokens);
    tern__token_model_free(&model);
    free(word);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ways),
        cmocka_unit_test(test_trie),
        cmocka_unit_test(test_quirks),
        cmocka_unit_test(test_long_word),
    };
    return cmocka_run_group_tests_name("unigram", tests, NULL, NULL);
}
