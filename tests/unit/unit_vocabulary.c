/* unit_vocabulary.c - strings and ids found both ways, however they were put in; the table of short words.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token_model_helper.h"

#include "text/model/word_table.h"

enum { N_WORDS = 5000 };

static size_t write_word(char word[16], int i) { return (size_t)snprintf(word, 16, "%x", (unsigned)i * 7919u); }

static void test_set_and_append(void **state) {
    (void)state;
    tern_vocabulary vocabulary = {0};
    char word[16];
    bool is_new;
    for (int i = 0; i < N_WORDS; i++) {
        size_t n = write_word(word, i);
        if (i % 3) assert_true(tern__vocabulary_append(&vocabulary, word, n, i * 2));
        else assert_true(tern__vocabulary_set(&vocabulary, word, n, i * 2, &is_new) && is_new);
    }
    assert_true(tern__vocabulary_set(&vocabulary, "0", 1, 1, &is_new));
    assert_false(is_new);
    assert_true(tern__vocabulary_index_ids(&vocabulary));
    assert_false(vocabulary.has_shared_ids);
    assert_false(vocabulary.ids_are_indices);
    for (int i = 0; i < N_WORDS; i++) {
        size_t n = write_word(word, i);
        const tern_vocabulary_entry *entry = tern__vocabulary_find(&vocabulary, word, n);
        assert_non_null(entry);
        assert_int_equal(entry->id, i ? i * 2 : 1);
        assert_ptr_equal(tern__vocabulary_find_id(&vocabulary, entry->id), entry);
        assert_null(tern__vocabulary_find_id(&vocabulary, i * 2 + 3));
        word[n] = 'g';
        assert_null(tern__vocabulary_find(&vocabulary, word, n + 1));
    }
    tern__vocabulary_free(&vocabulary);
}

static void test_repeated(void **state) {
    (void)state;
    static const char *const words[] = {"a", "b", "c", "b", "a"};
    tern_vocabulary vocabulary = {0};
    size_t repeated;
    assert_true(tern__vocabulary_index(&vocabulary, &repeated));
    assert_null(tern__vocabulary_find(&vocabulary, "a", 1));
    for (int i = 0; i < 40; i++) {
        char word[16];
        assert_true(tern__vocabulary_append(&vocabulary, word, write_word(word, i), i));
    }
    for (int i = 0; i < 5; i++) assert_true(tern__vocabulary_append(&vocabulary, words[i], 1, 40 + i));
    assert_true(tern__vocabulary_index(&vocabulary, &repeated));
    assert_int_equal(repeated, 43);
    assert_int_equal(tern__vocabulary_find(&vocabulary, "a", 1)->id, 44);
    assert_int_equal(tern__vocabulary_find(&vocabulary, "b", 1)->id, 43);
    assert_true(tern__vocabulary_index_ids(&vocabulary));
    assert_true(vocabulary.ids_are_indices);
    for (int i = 0; i < 45; i++) assert_ptr_equal(tern__vocabulary_find_id(&vocabulary, i), &vocabulary.entries[i]);
    assert_null(tern__vocabulary_find_id(&vocabulary, 45));
    assert_null(tern__vocabulary_find_id(&vocabulary, -1));
    tern__vocabulary_free(&vocabulary);
}

static void test_shared_ids(void **state) {
    (void)state;
    tern_vocabulary vocabulary = {0};
    bool is_new;
    assert_true(tern__vocabulary_set(&vocabulary, "a", 1, 7, &is_new));
    assert_true(tern__vocabulary_set(&vocabulary, "b", 1, 7, &is_new));
    assert_true(tern__vocabulary_index_ids(&vocabulary));
    assert_true(vocabulary.has_shared_ids);
    assert_string_equal(tern__vocabulary_string(&vocabulary, tern__vocabulary_find_id(&vocabulary, 7)), "b");
    tern__vocabulary_free(&vocabulary);
}

/* Words of each length, of bytes that differ in one place only. */
static void test_word_table(void **state) {
    (void)state;
    unsigned char word[TERN_WORD_MAX];
    tern_word_table table = {0};
    assert_true(tern__word_table_make(&table, TERN_WORD_MAX * (TERN_WORD_MAX + 1)));
    for (int pass = 0; pass < 2; pass++) {
        for (size_t n = 1; n <= TERN_WORD_MAX; n++) {
            for (size_t place = 0; place <= n; place++) {
                memset(word, 0, sizeof word);
                if (place < n) word[place] = 1;
                int32_t id = (int32_t)(n * 100 + place);
                if (pass == 0) tern__word_table_add(&table, word, n, id);
                else assert_int_equal(tern__word_table_find(&table, tern__word_key(word, n)), id);
                word[0] = 2;
                if (pass == 1) assert_int_equal(tern__word_table_find(&table, tern__word_key(word, n)), -1);
            }
        }
    }
    tern__word_table_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_append),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_shared_ids),
        cmocka_unit_test(test_word_table),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
