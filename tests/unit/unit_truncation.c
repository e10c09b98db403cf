/* unit_truncation.c - cuts against a plain model of what they are, what is refused, and batches by several threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_stages.h"

#include "text/truncation.h"

static const char bert[] = "{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]}";

/* Every token is in a part, a part is as long as can be, and follows the one before it by length - stride. */
static void check_cut(const tern_cut *cut, size_t n, size_t length, size_t stride, bool is_left) {
    size_t first, end, before = 0;
    for (size_t part = 0; part < cut->n_parts; part++, before = is_left ? end : first) {
        tern__cut_part(cut, part, &first, &end);
        assert_true(first < end && end <= n);
        size_t wanted = part == 0 ? (is_left ? n : 0) : is_left ? before - (length - stride) : before + (length - stride);
        assert_int_equal(is_left ? end : first, wanted);
        size_t room = is_left ? end : n - first;
        assert_int_equal(end - first, room < length ? room : length);
        assert_int_equal(part + 1 == cut->n_parts, is_left ? first == 0 : end == n);
    }
}

static void test_parts(void **state) {
    (void)state;
    tern_encode_options options = tern_encode_options_default();
    for (size_t n = 1; n < 30; n++)
        for (size_t length = 1; length < n + 2; length++)
            for (size_t stride = 0; stride < length; stride++)
                for (int is_left = 0; is_left < 2; is_left++) {
                    tern_cut cuts[2];
                    const size_t n_tokens[2] = {n, 0};
                    options.stride = stride;
                    options.truncation_direction = is_left ? TERN_CUT_LEFT : TERN_CUT_RIGHT;
                    assert_int_equal(tern__truncate(cuts, n_tokens, false, length, &options, NULL), TERN_OK);
                    if (length >= n) assert_int_equal(cuts[0].n_parts, 1);
                    else check_cut(&cuts[0], n, length, stride, is_left);
                }
    options.stride = 7; /* of no use where nothing is kept */
    tern_cut cuts[2];
    const size_t n_tokens[2] = {5, 0};
    size_t first, end;
    assert_int_equal(tern__truncate(cuts, n_tokens, true, 0, &options, NULL), TERN_OK);
    assert_int_equal(cuts[0].n_parts, 2);
    assert_int_equal(cuts[1].n_parts, 1);
    tern__cut_part(&cuts[0], 0, &first, &end);
    assert_true(first == 0 && end == 0);
    tern__cut_part(&cuts[0], 1, &first, &end);
    assert_true(first == 0 && end == 5);
}

/* The longer text makes room for the shorter one while that has no more than a half; then each has a half, the longer one the odd one over.
 */
static void test_longest_first(void **state) {
    (void)state;
    const tern_encode_options options = tern_encode_options_default();
    for (size_t a = 0; a < 12; a++)
        for (size_t b = 0; b < 12; b++)
            for (size_t max_length = 1; max_length < 24; max_length++) {
                tern_cut cuts[2];
                const size_t n_tokens[2] = {a, b};
                assert_int_equal(tern__truncate(cuts, n_tokens, true, max_length, &options, NULL), TERN_OK);
                size_t kept[2], shorter = a > b, first; /* the text, where both are of one length */
                for (size_t i = 0; i < 2; i++) {
                    tern__cut_part(&cuts[i], 0, &first, &kept[i]);
                    assert_int_equal(first, 0);
                }
                size_t half = max_length / 2, n_shorter = n_tokens[shorter] <= half ? n_tokens[shorter] : half;
                if (a + b <= max_length) n_shorter = n_tokens[shorter];
                assert_int_equal(kept[shorter], n_shorter);
                assert_int_equal(kept[!shorter], a + b <= max_length ? n_tokens[!shorter] : max_length - n_shorter);
            }
}

static tern_status encode(const tern_tokenizer *tokenizer, const char *text, const char *pair, const tern_encode_options *options,
                          tern_error *err) {
    tern_encoding encoding;
    tern_text second = {.data = pair, .bytes = pair ? strlen(pair) : 0};
    tern_status status =
        tern_tokenizer_encode(&encoding, tokenizer, (tern_text){.data = text, .bytes = strlen(text)}, pair ? &second : NULL, options, err);
    if (status != TERN_OK) assert_true(!encoding.ids && !encoding.overflowing);
    tern_encoding_free(&encoding);
    return status;
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *text, *pair, *message; /* NULL: no error */
        tern_truncation_strategy strategy;
        size_t max_length, stride;
    } cases[] = {
        {"a b c d", NULL, "max_length is 1, less than the 2 special tokens", TERN_LONGEST_FIRST, 1, 0},
        {"a b c d", "a", "max_length is 2, less than the 3 special tokens", TERN_LONGEST_FIRST, 2, 0},
        {"a b c d", NULL, NULL, TERN_LONGEST_FIRST, 2, 9},
        {"a b c d", NULL, "stride is 2, which must be less than the 2 tokens that the text keeps", TERN_LONGEST_FIRST, 4, 2},
        {"a b c d", NULL, NULL, TERN_LONGEST_FIRST, 4, 1},
        {"a b c d", NULL, NULL, TERN_LONGEST_FIRST, 6, 9},
        {"a b c d", "a b c d", "the 1 tokens that the text keeps", TERN_LONGEST_FIRST, 6, 1},
        {"a", "a b c d", "the 2 tokens that the pair keeps", TERN_LONGEST_FIRST, 6, 2},
        {"a b c d", NULL, "only_second is to cut the pair, and there is none", TERN_ONLY_SECOND, 4, 0},
        {"a b c d", "a b", NULL, TERN_ONLY_SECOND, 8, 0},
        {"a b c d", "a b", "the pair, of 2 tokens, is too short to be cut: the other text has 4, and there is room for 4", TERN_ONLY_SECOND,
         7, 0},
        {"a b", "a b c d", "the text, of 2 tokens, is too short to be cut", TERN_ONLY_FIRST, 7, 0},
        {"a b", NULL, "truncation_strategy is none", (tern_truncation_strategy)3, 7, 0},
    };
    tern_tokenizer *tokenizer = test_letters(bert, "null");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_error err;
        tern_encode_options options = tern_encode_options_default();
        options.truncation_strategy = cases[i].strategy;
        options.max_length = cases[i].max_length;
        options.stride = cases[i].stride;
        options.with_overflowing = true;
        tern_status status = encode(tokenizer, cases[i].text, cases[i].pair, &options, &err);
        if (cases[i].message) check_failed(status, TERN_E_ARGUMENT, &err, cases[i].message);
        else assert_int_equal(status, TERN_OK);
    }
    tern_error err;
    tern_encode_options options = tern_encode_options_default();
    options.truncation_direction = (tern_truncation_direction)2;
    check_failed(encode(tokenizer, "a", NULL, &options, &err), TERN_E_ARGUMENT, &err, "truncation_direction is none");
    tern_tokenizer_free(tokenizer);
}

/* ---- Batches ---- */

enum { N_TEXTS = 3000 };

typedef struct batch_texts {
    tern_text texts[N_TEXTS], pairs[N_TEXTS];
    char *letters;
} batch_texts;

/* Text i is i % 97 letters, with spaces. */
static void make_texts(batch_texts *made) {
    enum { LONGEST = 97 };
    made->letters = malloc(2 * LONGEST + 2);
    assert_non_null(made->letters);
    for (size_t i = 0; i < 2 * LONGEST + 2; i++) made->letters[i] = i % 2 ? ' ' : (char)('a' + i / 2 % 8);
    for (size_t i = 0; i < N_TEXTS; i++) {
        made->texts[i] = (tern_text){.data = made->letters + i % 2, .bytes = 2 * (i % LONGEST)};
        made->pairs[i] = (tern_text){.data = made->letters, .bytes = 2 * (i % 13)};
    }
}

static void check_same(const tern_encoding *a, const tern_encoding *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
    assert_memory_equal(a->type_ids, b->type_ids, a->n * sizeof *a->type_ids);
    assert_memory_equal(a->offsets, b->offsets, a->n * sizeof *a->offsets);
    assert_memory_equal(a->special_tokens_mask, b->special_tokens_mask, a->n);
    assert_memory_equal(a->word_ids, b->word_ids, a->n * sizeof *a->word_ids);
    assert_memory_equal(a->sequence_ids, b->sequence_ids, a->n * sizeof *a->sequence_ids);
    for (size_t i = 0; i < a->n; i++) assert_string_equal(a->tokens[i], b->tokens[i]);
    assert_int_equal(a->n_overflowing, b->n_overflowing);
    for (size_t i = 0; i < a->n_overflowing; i++) check_same(&a->overflowing[i], &b->overflowing[i]);
}

static void test_batch(void **state) {
    (void)state;
    static tern_encoding batch[N_TEXTS];
    batch_texts made;
    make_texts(&made);
    tern_tokenizer *tokenizer = test_letters(bert, "null");
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = options.with_word_ids = options.with_overflowing = true;
    options.max_length = 20;
    options.stride = 2;
    for (int with_pairs = 0; with_pairs < 2; with_pairs++)
        for (options.threads = 0; options.threads < 6; options.threads++) {
            tern_error err;
            if (tern_tokenizer_encode_batch(batch, tokenizer, made.texts, with_pairs ? made.pairs : NULL, N_TEXTS, &options, &err) !=
                TERN_OK)
                fail_msg("%s", err.message);
            for (size_t i = 0; i < N_TEXTS; i++) {
                tern_encoding alone;
                assert_int_equal(
                    tern_tokenizer_encode(&alone, tokenizer, made.texts[i], with_pairs ? &made.pairs[i] : NULL, &options, &err), TERN_OK);
                check_same(&batch[i], &alone);
                tern_encoding_free(&alone);
                tern_encoding_free(&batch[i]);
            }
        }
    assert_int_equal(tern_tokenizer_encode_batch(NULL, tokenizer, NULL, NULL, 0, NULL, NULL), TERN_OK);
    tern_tokenizer_free(tokenizer);
    free(made.letters);
}

/* The first bad text is told, whoever comes to which first, and nothing is left. */
static void test_bad_batch(void **state) {
    (void)state;
    static tern_encoding batch[N_TEXTS];
    batch_texts made;
    tern_error err;
    make_texts(&made);
    tern_tokenizer *tokenizer = test_letters(bert, "null");
    tern_encode_options options = tern_encode_options_default();
    const size_t bad[] = {N_TEXTS - 1, 2000, 1503, 1500, 0};
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) { /* one more each time, before the others */
        char message[64];
        made.texts[bad[b]] = (tern_text){.data = "ab\xFF", .bytes = 3};
        snprintf(message, sizeof message, "text %zu: the text is not UTF-8: invalid byte 0xFF at byte 2", bad[b]);
        for (options.threads = 1; options.threads < 6; options.threads++) {
            tern_status status = tern_tokenizer_encode_batch(batch, tokenizer, made.texts, NULL, N_TEXTS, &options, &err);
            check_failed(status, TERN_E_ARGUMENT, &err, message);
            assert_int_equal(strncmp(err.message, message, strlen(message)), 0);
            for (size_t i = 0; i < N_TEXTS; i++) assert_null(batch[i].ids);
            assert_int_equal(tern_tokenizer_encode_batch(batch, tokenizer, made.texts, NULL, N_TEXTS, &options, NULL), TERN_E_ARGUMENT);
        }
    }
    options.threads = -1;
    check_failed(tern_tokenizer_encode_batch(batch, tokenizer, made.texts, NULL, 3, &options, &err), TERN_E_ARGUMENT, &err,
                 "threads is -1, which must be 0 or more");
    options.threads = 1;
    options.truncation_strategy = (tern_truncation_strategy)9;
    check_failed(tern_tokenizer_encode_batch(batch, tokenizer, made.texts, NULL, 3, &options, &err), TERN_E_ARGUMENT, &err,
                 "truncation_strategy is none");
    tern_tokenizer_free(tokenizer);
    free(made.letters);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts), cmocka_unit_test(test_longest_first), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_batch), cmocka_unit_test(test_bad_batch),
    };
    return cmocka_run_group_tests_name("truncation", tests, NULL, NULL);
}
