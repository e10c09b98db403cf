/* unit_unicode.c - the tables of Unicode: decompositions and compositions undo each other, grapheme clusters, scripts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "text/unicode/unicode.h"

/* What composes to a code point is what it decomposes to. */
static void test_compose_all(void **state) {
    (void)state;
    size_t n_composed = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint32_t parts[TERN_UNICODE_MAX_DECOMPOSITION], compatible[TERN_UNICODE_MAX_COMPATIBLE];
        size_t n = tern__unicode_decompose(parts, c), n_compatible = tern__unicode_decompose_compatible(compatible, c);
        tern_unicode_record record = tern__unicode_find(c);
        bool is_changed = n > 1 || parts[0] != c, is_compatible_changed = n_compatible > 1 || compatible[0] != c;
        assert_true(n >= 1 && n <= TERN_UNICODE_MAX_DECOMPOSITION && n_compatible >= 1 && n_compatible <= TERN_UNICODE_MAX_COMPATIBLE);
        if (is_changed || record.combining_class != 0) assert_true(record.forms & TERN_UNICODE_NFD);
        else assert_false(record.forms & TERN_UNICODE_NFD);
        if (is_compatible_changed) assert_true(record.forms & TERN_UNICODE_NFKD && record.forms & TERN_UNICODE_NFKD);
        /* parts are parted as far as they can be */
        for (size_t i = 0; i < n; i++) {
            uint32_t again[TERN_UNICODE_MAX_DECOMPOSITION];
            assert_int_equal(tern__unicode_decompose(again, parts[i]), 1);
            assert_int_equal(again[0], parts[i]);
        }
        if (!is_changed || record.forms & TERN_UNICODE_NFC) continue;
        /* it is in NFC: the parts compose to it, from the left */
        uint32_t composed = parts[0];
        for (size_t i = 1; i < n && composed != 0; i++) composed = tern__unicode_compose(composed, parts[i]);
        assert_int_equal(composed, c);
        n_composed++;
    }
    assert_true(n_composed > 11172 + 800);
}

static void test_compose(void **state) {
    (void)state;
    assert_int_equal(tern__unicode_compose('e', 0x301), 0xE9);
    assert_int_equal(tern__unicode_compose('e', 'e'), 0);
    assert_int_equal(tern__unicode_compose(0x1100, 0x1161), 0xAC00);
    assert_int_equal(tern__unicode_compose(0xAC00, 0x11A8), 0xAC01);
    assert_int_equal(tern__unicode_compose(0xAC01, 0x11A8), 0);
    assert_int_equal(tern__unicode_compose(0xAC00, 0x11A7), 0);
    assert_int_equal(tern__unicode_compose(0x1113, 0x1161), 0);
    assert_int_equal(tern__unicode_compose(0x915, 0x93C), 0); /* excluded */
    assert_int_equal(tern__unicode_compose(0x11099, 0x110BA), 0x1109A);
}

/* | parts the clusters. */
static void test_clusters(void **state) {
    (void)state;
    static const char *const rows[] = {
        "a|b",
        "e\xCC\x81|f",                                                                        /* a mark */
        "\r\n|\n|\r|a|\n|\xCC\x81",                                                                /* GB3, GB4 */
        "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8|\xE1\x84\x80",                                  /* Hangul L V T, L */
        "\xEA\xB0\x80\xE1\x86\xA8|\xEA\xB0\x81\xE1\x86\xA8|\xEA\xB0\x80",                     /* LV T, LVT T, LV */
        "\xF0\x9F\x87\xAB\xF0\x9F\x87\xB7|\xF0\x9F\x87\xAB\xF0\x9F\x87\xB7|\xF0\x9F\x87\xAB", /* flags */
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9|a\xE2\x80\x8D|\xF0\x9F\x91\xA9",        /* ZWJ joins pictographs only */
        "\xF0\x9F\x91\xA8\xCC\x81\xE2\x80\x8D\xF0\x9F\x91\xA9",                               /* with a mark between */
        "\xD8\x80\x61|a\xE0\xA4\x83",                                                         /* a prefix; a spacing mark */
        "\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\x95|\xE0\xA4\x95",                                  /* an Indic conjunct */
        "\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8D\xE0\xA4\x95",                                   /* with ZWJ */
        "\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8C|\xE0\xA4\x95",                                  /* ZWNJ parts it */
        "\xE2\x80\x8B|\xCC\x81",                                                              /* controls stand alone */
    };
    static unsigned char classes[0x110000], values[TERN_GRAPHEME_CLASSES];
    for (unsigned char i = 0; i < TERN_GRAPHEME_CLASSES; i++) values[i] = i;
    tern__unicode_grapheme_classes(classes, values);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char text[100];
        size_t n = 0, ends[20], n_ends = 0;
        for (const char *at = rows[i]; *at; at++) {
            if (*at == '|') ends[n_ends++] = n;
            else text[n++] = (unsigned char)*at;
        }
        ends[n_ends++] = n;
        size_t at = 0;
        for (size_t k = 0; k < n_ends; k++) {
            at += tern__grapheme_cluster(text + at, n - at, classes);
            if (at != ends[k]) fail_msg("row %zu: cluster %zu ends at byte %zu, not %zu", i, k, at, ends[k]);
        }
    }
}

static void test_scripts(void **state) {
    (void)state;
    assert_int_equal(tern__unicode_script('a'), tern__unicode_script(0xE9));
    assert_int_not_equal(tern__unicode_script('a'), tern__unicode_script(0x3B1));
    assert_int_not_equal(tern__unicode_script('a'), tern__unicode_script('1'));
    assert_int_equal(tern__unicode_script(0x4E2D), tern__unicode_script(0x3042)); /* Han, Hiragana */
    assert_int_equal(tern__unicode_script(0x4E2D), tern__unicode_script(0x30AB)); /* Katakana */
    assert_int_equal(tern__unicode_script(' '), TERN_UNICODE_SCRIPT_ANY);
}

static void test_utf8(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        unsigned char bytes[TERN_UNICODE_MAX_UTF8];
        size_t n = tern__utf8_encode(bytes, c), length;
        bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(tern__utf8_valid_prefix(bytes, n), is_surrogate ? 0 : n);
        assert_int_equal(tern__utf8_decode(bytes, &length), c);
        assert_int_equal(length, n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compose_all), cmocka_unit_test(test_compose), cmocka_unit_test(test_clusters),
                                       cmocka_unit_test(test_scripts), cmocka_unit_test(test_utf8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
