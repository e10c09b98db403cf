/* unit_hub_names.c - checksums, and the names and patterns that come from outside.
 * source of the digests: FIPS 180 example messages; of git's: `git hash-object`
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "hub/names.h"
#include "hub/sha.h"

static void check_digest(tern_sha_kind kind, const char *text, size_t n_bytes, size_t piece, const char *expected) {
    tern_sha sha;
    char hex[TERN_SHA_HEX_BYTES];
    tern__sha_start(&sha, kind);
    for (size_t at = 0; at < n_bytes; at += piece) tern__sha_add(&sha, text + at, n_bytes - at < piece ? n_bytes - at : piece);
    tern__sha_finish(&sha, hex);
    assert_string_equal(hex, expected);
}

static void test_digests(void **state) {
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static char million[1000000];
    (void)state;
    memset(million, 'a', sizeof million);
    static const size_t pieces[] = {1, 3, 55, 56, 63, 64, 65, 1000, 1000000};
    check_digest(TERN_SHA_1, "", 0, 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest(TERN_SHA_256, "", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        check_digest(TERN_SHA_1, "abc", 3, pieces[i], "a9993e364706816aba3e25717850c26c9cd0d89d");
        check_digest(TERN_SHA_256, "abc", 3, pieces[i], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check_digest(TERN_SHA_1, two_blocks, 56, pieces[i], "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        check_digest(TERN_SHA_256, two_blocks, 56, pieces[i], "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        check_digest(TERN_SHA_1, million, sizeof million, pieces[i], "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        check_digest(TERN_SHA_256, million, sizeof million, pieces[i], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    check_digest(TERN_SHA_1, "blob 6\0hello\n", 13, 5, "ce013625030ba8dba906f756967f9e9ca394464a");
}

static void test_repo_ids(void **state) {
    static const char *const good[] = {"bert-base-uncased", "org/name", "A_b.c-d/E.f_g-1", "1/2", "_x/_y", "a/b", "x"};
    static const char *const bad[] = {"",        "/",     "a/",   "/a",   "a/b/c",     "a--b", "a..b", "-a",         "a-",
                                      ".a",      "a.",    "a/.b", "a/b.", "org/a.git", "a b",  "a\nb", "a\\b",       "a:b",
                                      "a/b?c=1", "a%2fb", "../a", "..",   "a/..",      "a#b",  "a@b",  "\xC3\xA4/b", "~/a"};
    char text[98];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!tern__hub_is_repo_id(good[i])) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tern__hub_is_repo_id(bad[i])) fail_msg("taken: %s", bad[i]);
    memset(text, 'x', sizeof text);
    text[96] = '\0';
    assert_true(tern__hub_is_repo_id(text));
    text[96] = 'x';
    text[97] = '\0';
    assert_false(tern__hub_is_repo_id(text));
}

static void test_paths(void **state) {
    static const char *const good[] = {"a", "a/b", "1_Pooling/config.json", ".gitattributes", "..a", "a..", "a/...", "\xC3\xA4 b.json"};
    static const char *const bad[] = {"",       "/",   "/a",  "a/",   "a//b", ".",     "..",   "a/..", "../a",
                                      "a/../b", "./a", "a/.", "a\\b", "a\nb", "a\x7F", "\xFF", "\xC3"};
    char text[1100];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!tern__hub_is_path(good[i], strlen(good[i]))) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (tern__hub_is_path(bad[i], strlen(bad[i]))) fail_msg("taken: %s", bad[i]);
    assert_false(tern__hub_is_path("a\0b", 3));
    memset(text, 'x', sizeof text);
    assert_true(tern__hub_is_path(text, 255));
    assert_false(tern__hub_is_path(text, 256)); /* no file system takes such a name */
    for (size_t i = 200; i < sizeof text; i += 200) text[i] = '/';
    assert_true(tern__hub_is_path(text, 1024));
    assert_false(tern__hub_is_path(text, 1025));
    assert_true(tern__hub_is_revision("refs/pr/1"));
    assert_false(tern__hub_is_revision("-x"));
    assert_true(tern__hub_is_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_false(tern__hub_is_commit("0123456789abcdef0123456789abcdef0123456"));
    assert_false(tern__hub_is_commit("0123456789abcdef0123456789abcdef0123456g"));
    assert_false(tern__hub_is_commit("0123456789ABCDEF0123456789ABCDEF01234567"));
    assert_true(tern__hub_is_etag("5f3a-12_b.c", 11));
    assert_false(tern__hub_is_etag("", 0));
    assert_false(tern__hub_is_etag(".hidden", 7));
    assert_false(tern__hub_is_etag("a/b", 3));
    assert_false(tern__hub_is_etag("a\0b", 3));
    assert_false(tern__hub_is_etag(text, 129));
}

/* What Python's fnmatch.fnmatchcase says, and huggingface_hub of a pattern that ends in a slash. */
static void test_patterns(void **state) {
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        {"*", "a/b.json", true},
        {"*.json", "a/b.json", true},
        {"*.json", "b.jso", false},
        {"config.json", "config.json", true},
        {"config.json", "a/config.json", false},
        {"?.json", "a.json", true},
        {"?.json", ".json", false},
        {"?", "\xC3\xA9", true},
        {"a?b", "a/b", true},
        {"[abc].x", "b.x", true},
        {"[!abc].x", "b.x", false},
        {"[!abc].x", "d.x", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[]]", "]", true},
        {"[!]]", "]", false},
        {"[", "[", true},
        {"a[b", "a[b", true},
        {"[a", "a", false},
        {"[\xC3\xA0-\xC3\xB6]", "\xC3\xA9", true},
        {"[a-z]", "\xC3\xA9", false},
        {"onnx/", "onnx/a/b", true},
        {"onnx/", "onnx2/a", false},
        {"onnx/", "onnx", false},
        {"*a*b*c*", "xaybzc", true},
        {"*a*b*c*", "xaybz", false},
        {"", "a", false},
        {"**", "a", true},
        {"A*", "a", false},
        {"\\*", "*", false},
        {"a]", "a]", true},
        {"[a-]", "-", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (tern__hub_matches(cases[i].pattern, cases[i].path) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\": expected %d", cases[i].pattern, cases[i].path, cases[i].matches);
    assert_false(tern__hub_matches("\xC3", "\xC3\xA9")); /* half a character is not a character */
    assert_false(tern__hub_matches("\xFF\xFF", "\xFF\xAB\xFF"));
    char pattern[201], path[1001];
    for (size_t i = 0; i < 200; i++) pattern[i] = i % 2 ? 'a' : '*';
    pattern[200] = '\0';
    memset(path, 'a', 1000);
    path[1000] = '\0';
    path[999] = 'b';
    assert_false(tern__hub_matches(pattern, path)); /* at once: an exponential matcher would not come back */
}

static void test_text(void **state) {
    tern_arena arena = {0};
    (void)state;
    assert_string_equal(tern__hub_url_quote(&arena, "refs/pr/1", ""), "refs%2Fpr%2F1");
    assert_string_equal(tern__hub_url_quote(&arena, "a b/\xC3\xA4?#%.json", "/"), "a%20b/%C3%A4%3F%23%25.json");
    assert_string_equal(tern__hub_url_quote(&arena, "", "/"), "");
    tern__arena_free(&arena);
    assert_string_equal(tern__hub_clean("a\x1b[31m\n\xC3\xA4", 9).text, "a?[31m???");
    assert_string_equal(tern__hub_clean("", 0).text, "");
    char text[500];
    memset(text, 'x', sizeof text);
    tern_hub_cleaned cleaned = tern__hub_clean(text, sizeof text);
    assert_int_equal(strlen(cleaned.text), sizeof cleaned.text - 1);
    assert_string_equal(cleaned.text + sizeof cleaned.text - 5, "x...");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),  cmocka_unit_test(test_repo_ids), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests_name("hub names", tests, NULL, NULL);
}
