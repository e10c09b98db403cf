/* unit_zip.c - zip files: what is found in them, and which broken ones are refused with which message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zip_writer.h"

#include "store/zip.h"

/* Open a copy of exactly its size, so that ASan sees a read behind it. */
static tern_status open_exact(tern_zip *out, unsigned char **copy, const unsigned char *bytes, size_t n_bytes, tern_error *err) {
    *copy = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(*copy);
    memcpy(*copy, bytes, n_bytes);
    return tern__zip_open(out, *copy, n_bytes, "weights", err);
}

static void check_refused(const zip_writer *zip, size_t n_bytes, tern_status code, const char *message) {
    tern_zip opened;
    unsigned char *copy;
    tern_error err;
    check_failed(open_exact(&opened, &copy, zip->bytes, n_bytes, &err), code, &err, message);
    assert_true(strncmp(err.message, "weights: ", 9) == 0);
    assert_null(opened.entries);
    free(copy);
}

static zip_writer three_entries(bool is_zip64) {
    zip_writer zip = {.n = 0};
    zip_add(&zip, "archive/b", "bytes of b", 10);
    zip_add(&zip, "archive/a", "a", 1);
    zip_add(&zip, "archive/none", "", 0);
    zip_finish(&zip, is_zip64);
    return zip;
}

static void check_read(const unsigned char *bytes, size_t n_bytes) {
    tern_zip opened;
    unsigned char *copy;
    tern_error err;
    if (open_exact(&opened, &copy, bytes, n_bytes, &err) != TERN_OK) fail_msg("%s", err.message);
    static const char *const names[] = {"archive/a", "archive/b", "archive/none"}, *const texts[] = {"a", "bytes of b", ""};
    assert_int_equal(opened.n_entries, 3);
    for (size_t i = 0; i < 3; i++) {
        const tern_zip_entry *entry = tern__zip_find(&opened, names[i], strlen(names[i]));
        assert_ptr_equal(entry, &opened.entries[i]);
        assert_int_equal(entry->n_bytes, strlen(texts[i]));
        assert_memory_equal(entry->data, texts[i], strlen(texts[i]));
        assert_int_equal((entry->data - copy) % 64, 0);
    }
    assert_int_equal(opened.n_first_name, 9);
    assert_memory_equal(opened.first_name, "archive/b", 9);
    assert_null(tern__zip_find(&opened, "archive/", 8));
    assert_null(tern__zip_find(&opened, "archive/c", 9));
    assert_null(tern__zip_find(&opened, "archive/bb", 10));
    tern__zip_close(&opened);
    assert_null(opened.entries);
    free(copy);
}

static void test_read(void **state) {
    (void)state;
    zip_writer plain = three_entries(false), large = three_entries(true);
    check_read(plain.bytes, plain.n);
    check_read(large.bytes, large.n);
    zip_patch(&plain, plain.end + 20, 5, 2);
    zip_put_bytes(&plain, "words", 5);
    check_read(plain.bytes, plain.n);
}

static void test_empty(void **state) {
    (void)state;
    zip_writer zip = {.n = 0};
    tern_zip opened;
    zip_finish(&zip, false);
    assert_int_equal(tern__zip_open(&opened, zip.bytes, zip.n, "weights", NULL), TERN_OK);
    assert_int_equal(opened.n_entries, 0);
    assert_null(tern__zip_find(&opened, "a", 1));
    tern__zip_close(&opened);
}

/* One field of a good file changed: `where` of the end record, of the second entry's directory record, of its local header. */
enum { IN_END, IN_END64, IN_LOCATOR, IN_RECORD, IN_LOCAL };

static void test_broken(void **state) {
    (void)state;
    static const struct {
        bool is_zip64;
        int where, at;
        uint64_t value;
        int width;
        tern_status code;
        const char *message;
    } cases[] = {
        {false, IN_END, 0, 0, 4, TERN_E_FORMAT, "broken zip file: it has no end record; was it cut short?"},
        {false, IN_END, 20, 1, 2, TERN_E_FORMAT, "it has no end record"},
        {false, IN_END, 4, 1, 2, TERN_E_UNSUPPORTED, "a zip file of several volumes"},
        {false, IN_END, 6, 1, 2, TERN_E_UNSUPPORTED, "a zip file of several volumes"},
        {false, IN_END, 10, 4, 2, TERN_E_FORMAT, "more entries than its directory can hold"},
        {false, IN_END, 10, 2, 2, TERN_E_FORMAT, "its directory has more entries than it says"},
        {false, IN_END, 10, 65535, 2, TERN_E_FORMAT, "more entries than its directory can hold"},
        {false, IN_END, 12, 0xFFFFFFFE, 4, TERN_E_FORMAT, "its directory passes the end"},
        {false, IN_END, 16, 0xFFFFFFFE, 4, TERN_E_FORMAT, "its directory passes the end"},
        {false, IN_END, 16, 0, 4, TERN_E_FORMAT, "its directory has fewer entries than it says"},
        {true, IN_LOCATOR, 8, UINT64_MAX, 8, TERN_E_FORMAT, "its zip64 end record is not where it should be"},
        {true, IN_LOCATOR, 8, 0, 8, TERN_E_FORMAT, "its zip64 end record is not where it should be"},
        {true, IN_LOCATOR, 0, 0, 4, TERN_E_FORMAT, "its directory passes the end"}, /* no locator: the 32-bit fields count */
        {true, IN_END64, 16, 1, 4, TERN_E_UNSUPPORTED, "a zip file of several volumes"},
        {true, IN_END64, 32, UINT64_MAX, 8, TERN_E_FORMAT, "more entries than its directory can hold"},
        {true, IN_END64, 40, UINT64_MAX, 8, TERN_E_FORMAT, "its directory passes the end"},
        {true, IN_END64, 48, UINT64_MAX, 8, TERN_E_FORMAT, "its directory passes the end"},
        {false, IN_RECORD, 0, 0, 4, TERN_E_FORMAT, "its directory has fewer entries than it says"},
        {false, IN_RECORD, 8, 9, 2, TERN_E_UNSUPPORTED, "entry \"archive/a\" is encrypted: unpack it"},
        {false, IN_RECORD, 10, 8, 2, TERN_E_UNSUPPORTED, "entry \"archive/a\" is compressed, which torch.save never does: unpack it"},
        {false, IN_RECORD, 20, 2, 4, TERN_E_FORMAT, "a stored entry has two sizes"},
        {false, IN_RECORD, 28, 65535, 2, TERN_E_FORMAT, "its directory passes the end"},
        {false, IN_RECORD, 42, 0xFFFFFFFE, 4, TERN_E_FORMAT, "an entry passes the end"},
        {false, IN_RECORD, 42, 1, 4, TERN_E_FORMAT, "an entry is not where the directory says"},
        {false, IN_RECORD, 42, 0, 4, TERN_E_FORMAT, "an entry has two names"},
        {false, IN_RECORD, 46, 'A', 1, TERN_E_FORMAT, "an entry has two names"},
        {false, IN_RECORD, 24, UINT32_MAX, 4, TERN_E_FORMAT, "an entry lacks its zip64 sizes"},
        {true, IN_RECORD, 46 + 9 + 4, 2, 2, TERN_E_FORMAT, "an entry lacks its zip64 sizes"},
        {true, IN_RECORD, 46 + 9 + 6, 16, 2, TERN_E_FORMAT, "an entry lacks its zip64 sizes"},
        {true, IN_RECORD, 46 + 9 + 6, 25, 2, TERN_E_FORMAT, "an entry lacks its zip64 sizes"},
        {true, IN_RECORD, 46 + 9 + 8, UINT64_MAX, 8, TERN_E_FORMAT, "a stored entry has two sizes"},
        {true, IN_RECORD, 46 + 9 + 24, UINT64_MAX, 8, TERN_E_FORMAT, "an entry passes the end"},
        {false, IN_LOCAL, 0, 0, 4, TERN_E_FORMAT, "an entry is not where the directory says"},
        {false, IN_LOCAL, 26, 8, 2, TERN_E_FORMAT, "an entry has two names"},
        {false, IN_LOCAL, 28, 65535, 2, TERN_E_FORMAT, "an entry passes the end"},
        {false, IN_LOCAL, 30, 'A', 1, TERN_E_FORMAT, "an entry has two names"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        zip_writer zip = three_entries(cases[i].is_zip64);
        const size_t begins[] = {zip.end, zip.locator - 56, zip.locator, zip.entries[1].record, zip.entries[1].begin};
        zip_patch(&zip, begins[cases[i].where] + (size_t)cases[i].at, cases[i].value, cases[i].width);
        check_refused(&zip, zip.n, cases[i].code, cases[i].message);
    }
}

/* Two sizes that agree, but pass into the next entry or the directory. */
static void test_overlap(void **state) {
    (void)state;
    zip_writer zip = three_entries(false);
    const size_t sizes[] = {1 + 16 + 1 /* one more than data and descriptor */, zip.directory - zip.entries[1].begin, zip.n,
                            UINT32_MAX - 1};
    static const char *const messages[] = {"two entries overlap", "an entry passes the end", "an entry passes the end",
                                           "an entry passes the end"};
    for (size_t i = 0; i < 4; i++) {
        zip_patch(&zip, zip.entries[1].record + 20, sizes[i], 4);
        zip_patch(&zip, zip.entries[1].record + 24, sizes[i], 4);
        check_refused(&zip, zip.n, TERN_E_FORMAT, messages[i]);
    }
}

static void test_one_name_twice(void **state) {
    (void)state;
    zip_writer zip = {.n = 0};
    zip_add(&zip, "archive/a", "1", 1);
    zip_add(&zip, "archive/a", "2", 1);
    zip_finish(&zip, false);
    check_refused(&zip, zip.n, TERN_E_FORMAT, "two entries have one name");
}

static void test_cut_short(void **state) {
    (void)state;
    for (int is_zip64 = 0; is_zip64 < 2; is_zip64++) {
        const zip_writer zip = three_entries(is_zip64);
        for (size_t n = 0; n < zip.n; n++) check_refused(&zip, n, TERN_E_FORMAT, "it has no end record");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_empty),          cmocka_unit_test(test_broken),
        cmocka_unit_test(test_overlap), cmocka_unit_test(test_one_name_twice), cmocka_unit_test(test_cut_short),
    };
    return cmocka_run_group_tests_name("zip", tests, NULL, NULL);
}
