/* unit_base.c - base/: errors, memory, JSON, files and half floats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text_builder.h"

/* ---- Errors, names ---- */

static void test_error_message(void **state) {
    (void)state;
    tern_error err;
    assert_int_equal(TERN_FAIL(&err, TERN_E_IO, "%s: %d", "file", 7), TERN_E_IO);
    assert_string_equal(err.message, "file: 7");
    assert_int_equal(err.code, TERN_E_IO);
    assert_int_equal(err.line, __LINE__ - 3);
    assert_int_equal(TERN_FAIL(NULL, TERN_E_SHAPE, "nobody reads %s", "this"), TERN_E_SHAPE);

    assert_int_equal(tern__fail(&err, TERN_E_IO, "/home/src/tern/src/base/x.c", 1, "again: %s", err.message), TERN_E_IO);
    assert_string_equal(err.message, "again: file: 7");
    assert_string_equal(err.file, "src/base/x.c");

    assert_int_equal(tern__fail_prefix(&err, TERN_E_IO, "path"), TERN_E_IO);
    assert_string_equal(err.message, "path: again: file: 7");
    assert_int_equal(tern__fail_prefix(NULL, TERN_E_IO, "path"), TERN_E_IO);
}

/* A message that does not fit is cut between characters: here two bytes each, at either parity. */
static void test_error_message_cut(void **state) {
    (void)state;
    for (int shift = 0; shift < 2; shift++) {
        char text[5001] = "x";
        for (int i = shift; i + 1 < 5000; i += 2) memcpy(text + i, "\xC3\xA9", 3);
        tern_error err;
        TERN_FAIL(&err, TERN_E_IO, "%s", text);
        size_t n = strlen(err.message);
        assert_true(n < sizeof err.message && n >= sizeof err.message - 5);
        assert_string_equal(err.message + n - 3, "...");
        assert_true(tern__json_is_utf8(err.message, n));
    }
}

static void test_names(void **state) {
    (void)state;
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH);
    assert_string_equal(tern_version(), version);
    assert_string_equal(tern_status_name(TERN_OK), "TERN_OK");
    assert_string_equal(tern_status_name(TERN_E_CANCELLED), "TERN_E_CANCELLED");
    assert_string_equal(tern_status_name((tern_status)99), "unknown status");
    assert_string_equal(tern_dtype_name(TERN_DTYPE_BF16), "BF16");
    assert_null(tern_dtype_name((tern_dtype)(TERN_DTYPE_U32 + 1)));
    assert_null(tern_dtype_name((tern_dtype)-1));
    assert_int_equal(tern_dtype_bytes(TERN_DTYPE_I64), 8);
    assert_int_equal(tern_dtype_bytes((tern_dtype)99), 0);
    tern_tensor tensor = {.rank = 3, .shape = {2, 3, 4}};
    assert_int_equal(tern_tensor_elements(&tensor), 24);
    tensor.rank = 0;
    assert_int_equal(tern_tensor_elements(&tensor), 1);
}

/* ---- Memory ---- */

static void test_sizes(void **state) {
    (void)state;
    size_t out = 5;
    assert_true(tern__size_add(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    out = 5;
    assert_false(tern__size_add(SIZE_MAX, 1, &out));
    assert_false(tern__size_multiply(SIZE_MAX / 2 + 1, 2, &out));
    assert_int_equal(out, 5);
    assert_true(tern__size_multiply(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
    assert_true(tern__size_multiply(SIZE_MAX, 0, &out));
    assert_int_equal(out, 0);
    assert_int_equal(tern__align_up(65, 64), 128);
    assert_int_equal(tern__align_up(64, 64), 64);
}

static void test_blocks(void **state) {
    (void)state;
    assert_null(tern__alloc(SIZE_MAX / 2, 3));
    assert_null(tern__alloc_aligned(SIZE_MAX));
    void *blocks[] = {tern__alloc(0, 8), tern__alloc(3, 8), tern__alloc_zero(0, 8), tern__alloc_aligned(0), tern__alloc_aligned(100)};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) assert_non_null(blocks[i]);
    assert_int_equal((uintptr_t)blocks[4] % TERN_ALIGNMENT, 0);
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) free(blocks[i]);

    int *array = NULL;
    size_t capacity = 0;
    for (size_t n = 0; n < 1000; n++) {
        assert_true(tern__grow(&array, &capacity, n + 1, sizeof *array));
        assert_true(capacity > n);
        array[n] = (int)n;
    }
    for (int n = 0; n < 1000; n++) assert_int_equal(array[n], n);
    assert_false(tern__grow(&array, &capacity, SIZE_MAX / 2, sizeof *array));
    assert_int_equal(array[999], 999);
    free(array);
}

static void test_arena(void **state) {
    (void)state;
    tern_arena arena = {0};
    unsigned char *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        size_t bytes = i * i * 7 % 5000;
        blocks[i] = tern__arena_alloc(&arena, bytes);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, bytes);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t b = 0; b < i * i * 7 % 5000; b++) assert_int_equal(blocks[i][b], i);
    assert_string_equal(tern__arena_copy(&arena, "abcdef", 3), "abc");
    assert_string_equal(tern__arena_copy(&arena, NULL, 0), "");
    assert_string_equal(tern__arena_format(&arena, "%s.%d", "layer", 11), "layer.11");
    assert_null(tern__arena_alloc(&arena, SIZE_MAX));
    tern__arena_free(&arena);
    assert_null(arena.blocks);
}

static void test_text_builder(void **state) {
    (void)state;
    tern_text_builder text = {0};
    char expected[4000] = "", *taken = tern__text_take(&text);
    assert_string_equal(taken, "");
    free(taken);
    for (int i = 0; i < 500; i++) {
        tern__text_print(&text, "%d,", i);
        tern__text_append(&text, ";...", 1);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%d,;", i);
    }
    taken = tern__text_take(&text);
    assert_string_equal(taken, expected);
    assert_null(text.data);
    free(taken);
    tern__text_print(&text, "lost");
    tern__text_append(&text, "", SIZE_MAX);
    tern__text_print(&text, "more");
    assert_null(tern__text_take(&text));
    assert_false(text.has_failed);
}

/* ---- JSON ---- */

static void check_json_fails(const char *text, const char *message) {
    json_t *json = NULL;
    tern_error err;
    tern_status status = tern__json_parse(&json, text, strlen(text), "config.json", &err);
    check_failed(status, TERN_E_FORMAT, &err, message);
    assert_null(json);
}

static void test_json_errors(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "config.json: line 1, column 1: expected '{' or '[', found the end"},
        {"{\n  \"a\": 1,\n}", "line 3, column 1: expected a key in double quotes, found '}'"},
        {"{\n  \"a\": 1\n  \"b\": 2}", "line 3, column 3: expected ',' or '}', found '\"'"},
        {"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
        {"[1,]", "line 1, column 4: expected a value, found ']'"},
        {"{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
        {"{\"a\": 1, \"a\": 2}", "line 1, column 10: a key that is there already"},
        {"{\"a\": {\"x\": 1, \"\\u0078\": 2}}", "line 1, column 16: a key that is there already"},
        {"{\"a\\u0000\": 1}", "line 1, column 2: a key with a NUL character"},
        {"{\"a\": \"x", "line 1, column 7: a string without its closing quote"},
        {"{\"a\": \"x\ny\"}", "line 1, column 9: expected the rest of a string, found byte 0x0A"},
        {"[\"\xC3\xA9\xC3\xA9\xFF\"]", "line 1, column 5: expected UTF-8, found byte 0xFF"},
        {"[\"\xC0\x80\"]", "column 3: expected UTF-8, found byte 0xC0"},
        {"[\"\xE0\x9F\xBF\"]", "column 3: expected UTF-8, found byte 0xE0"},
        {"[\"\xF0\x8F\xBF\xBF\"]", "column 3: expected UTF-8, found byte 0xF0"},
        {"[\"\xED\xA0\x80\"]", "column 3: expected UTF-8, found byte 0xED"},
        {"[\"\xF4\x90\x80\x80\"]", "column 3: expected UTF-8, found byte 0xF4"},
        {"[\"\xE2\x82\"]", "column 3: expected UTF-8, found byte 0xE2"},
        {"[\"\\x\"]", "column 4: expected an escape, found 'x'"},
        {"[\"\\u12g4\"]", "column 3: \\u must be followed by four hexadecimal digits"},
        {"[\"\\ud83d\"]", "column 3: a surrogate without its other half"},
        {"[\"\\ud83d\\u0041\"]", "column 3: a surrogate without its other half"},
        {"[\"\\ude00\"]", "column 3: a surrogate without its other half"},
        {"[01]", "column 3: expected ',' or ']', found '1'"},
        {"[1.]", "column 4: expected a digit, found ']'"},
        {"[.5]", "column 2: expected a value, found '.'"},
        {"[-]", "column 3: expected a digit, found ']'"},
        {"[1e]", "column 4: expected a digit, found ']'"},
        {"[+1]", "column 2: expected a value, found '+'"},
        {"[1e999]", "column 2: a number out of range"},
        {"[NaN]", "column 2: expected a value, found 'N'"},
        {"[nul]", "column 2: expected a value, found 'n'"},
        {"[truex]", "column 6: expected ',' or ']', found 'x'"},
        {"{\"a\": 1} x", "column 10: expected nothing more, found 'x'"},
        {"\"text\"", "column 1: expected '{' or '[', found '\"'"},
        {"\xEF\xBB\xBF{}", "column 1: expected '{' or '['"},
        {"{'a': 1}", "column 2: expected a key in double quotes, found '''"},
        {"[1, // no\n2]", "column 5: expected a value, found '/'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_json_fails(cases[i][0], cases[i][1]);
}

static void test_json_depth(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    static char text[2 * DEPTH + 1];
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    check_json_fails(text, "line 1, column 513: nested too deeply");
    json_t *json;
    assert_int_equal(tern__json_parse(&json, text + DEPTH - 512, 1024, "x", NULL), TERN_OK);
    json_decref(json);
    text[0] = '[';
    for (size_t i = 1; i <= 2998; i += 3) memcpy(text + i, "[],", 3); /* many beside each other are not deep */
    memcpy(text + 3001, "0]", 2);
    assert_int_equal(tern__json_parse(&json, text, 3003, "x", NULL), TERN_OK);
    assert_int_equal(json_array_size(json), 1001);
    json_decref(json);
}

/* What jansson's own parser accepts is read to an equal value. */
static void test_json_values(void **state) {
    (void)state;
    static const char *const documents[] = {
        "{}",
        "[]",
        " \t\r\n[ ] \n",
        "[true, false, null]",
        "{\"a\": {\"b\": [1, {\"c\": []}]}, \"\": 0}",
        "[0, -0, 1, -1, 9223372036854775807, -9223372036854775808, 1234567890123]",
        "[0.0, -0.5, 1e5, 1E+5, 1.5e-7, 1e-320, 1e-400, 0.1, 3.141592653589793238462643, 1.7976931348623157e308]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"]",
        "[\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\", \"a\\u0000b\"]",
        "{\"hidden_size\": 384, \"layer_norm_eps\": 1e-12, \"architectures\": [\"BertModel\"], \"k\\u00e9y\": \"v\"}",
    };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        tern_error err;
        json_t *read = NULL, *expected = json_loads(documents[i], JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        assert_non_null(expected);
        if (tern__json_parse(&read, documents[i], strlen(documents[i]), "x", &err) != TERN_OK)
            fail_msg("%s: %s", documents[i], err.message);
        if (!json_equal(read, expected)) fail_msg("%s is read as another value", documents[i]);
        json_decref(read);
        json_decref(expected);
    }
    json_t *json;
    assert_int_equal(tern__json_parse(&json, "[\"a\\u0000b\"]", 12, "x", NULL), TERN_OK);
    assert_int_equal(json_string_length(json_array_get(json, 0)), 3);
    json_decref(json);
}

/* Integers that int64_t cannot hold become real numbers; the largest that it can do not. */
static void test_json_large_integers(void **state) {
    (void)state;
    static const char document[] = "[9223372036854775807, -9223372036854775808, 9223372036854775808, -9223372036854775809,"
                                   " 1000000000000000019884624838656]";
    static const double reals[] = {0x1p63, -0x1p63, 1e30};
    json_t *json;
    assert_int_equal(tern__json_parse(&json, document, strlen(document), "x", NULL), TERN_OK);
    assert_true(json_integer_value(json_array_get(json, 0)) == INT64_MAX);
    assert_true(json_integer_value(json_array_get(json, 1)) == INT64_MIN);
    for (size_t i = 0; i < 3; i++) {
        assert_true(json_is_real(json_array_get(json, i + 2)));
        assert_true(json_real_value(json_array_get(json, i + 2)) == reals[i]);
    }
    json_decref(json);
}

/* Every way to cut a document short is an error with the right end, and nothing is read behind it. */
static void test_json_truncated(void **state) {
    (void)state;
    static const char document[] = "{\"a\\u00e9\\ud83d\\ude00\xC3\xA9\": [1.5e-3, -2, true, null, {\"b\": \"\\n\"}]}";
    for (size_t n = 0; n < sizeof document - 1; n++) {
        char *exact = malloc(n ? n : 1); /* ASan sees a read behind it */
        assert_non_null(exact);
        memcpy(exact, document, n);
        json_t *json;
        tern_error err;
        check_failed(tern__json_parse(&json, exact, n, "cut", &err), TERN_E_FORMAT, &err, "cut: line 1, column ");
        free(exact);
    }
}

static void test_json_dump(void **state) {
    (void)state;
    static const char document[] = "{\"b\":[1,-2.5,null],\"a\":{\"\xC3\xA9\\n\":\"\"}}";
    json_t *json;
    char *text;
    assert_int_equal(tern__json_parse(&json, document, strlen(document), "x", NULL), TERN_OK);
    assert_int_equal(tern__json_dump(&text, json, JSON_COMPACT, NULL), TERN_OK);
    assert_string_equal(text, document);
    free(text);
    json_decref(json);
}

static void test_json_load(void **state) {
    const test_folder *folder = *state;
    test_path path = test_file_write(folder, "config.json", "{\n\"a\": tru}", 11);
    json_t *json;
    tern_error err;
    char expected[600];
    snprintf(expected, sizeof expected, "%s: line 2, column 6: expected a value, found 't'", path.text);
    check_failed(tern__json_load(&json, path.text, &err), TERN_E_FORMAT, &err, expected);
    check_failed(tern__json_load(&json, test_path_of(folder, "absent").text, &err), TERN_E_IO, &err,
                 "absent: cannot be opened: No such file");
    check_failed(tern__json_load(&json, folder->path, &err), TERN_E_IO, &err, "Is a directory");
    test_file_write(folder, "config.json", "{\"a\": true}", 11);
    assert_int_equal(tern__json_load(&json, path.text, &err), TERN_OK);
    assert_true(json_is_true(json_object_get(json, "a")));
    json_decref(json);
}

/* ---- Files ---- */

static void test_file_read_and_map(void **state) {
    const test_folder *folder = *state;
    tern_error err;
    tern_mapping mapping;
    char *bytes;
    size_t n_bytes;

    test_path path = test_file_write(folder, "bytes", "ab\0cd", 5);
    assert_int_equal(tern__file_read(&bytes, &n_bytes, path.text, 5, &err), TERN_OK);
    assert_int_equal(n_bytes, 5);
    assert_memory_equal(bytes, "ab\0cd\0", 6);
    free(bytes);
    check_failed(tern__file_read(&bytes, &n_bytes, path.text, 4, &err), TERN_E_IO, &err, "has 5 bytes; at most 4 are read");
    assert_null(bytes);
    assert_int_equal(tern__file_map(&mapping, path.text, &err), TERN_OK);
    assert_int_equal(mapping.bytes, 5);
    assert_memory_equal(mapping.data, "ab\0cd", 5);
    tern__file_unmap(&mapping);
    assert_null(mapping.data);

    path = test_file_write(folder, "empty", "", 0);
    assert_int_equal(tern__file_map(&mapping, path.text, &err), TERN_OK);
    assert_null(mapping.data);
    tern__file_unmap(&mapping);
    assert_int_equal(tern__file_read(&bytes, &n_bytes, path.text, 0, &err), TERN_OK);
    assert_string_equal(bytes, "");
    free(bytes);

    /* a file that says that it has no bytes, and has */
    assert_int_equal(tern__file_read(&bytes, &n_bytes, "/proc/self/status", 1 << 20, &err), TERN_OK);
    assert_true(n_bytes > 100 && strlen(bytes) == n_bytes);
    free(bytes);
    check_failed(tern__file_read(&bytes, &n_bytes, "/dev/zero", 10000, &err), TERN_E_IO, &err, "larger than the 10000 bytes");

    check_failed(tern__file_map(&mapping, folder->path, &err), TERN_E_IO, &err, "cannot be read: Is a directory");
    check_failed(tern__file_map(&mapping, "/dev/null", &err), TERN_E_IO, &err, "/dev/null: cannot be mapped: not a regular file");
    path = test_path_of(folder, "pipe");
    assert_int_equal(mkfifo(path.text, 0600), 0);
    check_failed(tern__file_map(&mapping, path.text, &err), TERN_E_IO, &err, "pipe: cannot be mapped: not a regular file");
}

static void test_paths(void **state) {
    const test_folder *folder = *state;
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < 4; i++) {
        char *path = tern__path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
    assert_true(tern__folder_exists(folder->path));
    assert_true(tern__file_exists(folder->path));
    assert_false(tern__file_exists(test_path_of(folder, "x").text));
    test_path path = test_file_write(folder, "x", "", 0);
    assert_true(tern__file_exists(path.text));
    assert_false(tern__folder_exists(path.text));
    assert_false(tern__file_exists(test_path_of(folder, "x/below-a-file").text));
    assert_int_equal(symlink("nowhere", test_path_of(folder, "link").text), 0);
    assert_true(tern__file_exists(test_path_of(folder, "link").text)); /* so that opening it fails and says why */
}

static void write_text(const char *path, const char *text, bool is_kept) {
    tern_writer writer;
    tern_error err;
    assert_int_equal(tern__writer_open(&writer, path, &err), TERN_OK);
    assert_int_equal(tern__writer_write(&writer, text, strlen(text), &err), TERN_OK);
    if (is_kept) assert_int_equal(tern__writer_commit(&writer, &err), TERN_OK);
    tern__writer_discard(&writer);
}

static void check_file(const char *path, const char *text) {
    char *bytes;
    size_t n_bytes;
    assert_int_equal(tern__file_read(&bytes, &n_bytes, path, 1 << 20, NULL), TERN_OK);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void test_writer(void **state) {
    const test_folder *folder = *state;
    test_path path = test_path_of(folder, "out");
    tern_writer writer;
    tern_error err;
    write_text(path.text, "first", true);
    check_file(path.text, "first");
    struct stat facts;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path.text, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0666 & ~mask);
    write_text(path.text, "second", false);
    check_file(path.text, "first");
    write_text(path.text, "second", true);
    check_file(path.text, "second");
    assert_int_equal(test_folder_entries(folder), 1);

    /* a link stays one, and what it names is replaced */
    assert_int_equal(symlink("out", test_path_of(folder, "link").text), 0);
    write_text(test_path_of(folder, "link").text, "third", true);
    check_file(path.text, "third");
    assert_int_equal(lstat(test_path_of(folder, "link").text, &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_int_equal(test_folder_entries(folder), 2);

    check_failed(tern__writer_open(&writer, folder->path, &err), TERN_E_IO, &err, "cannot be written: Is a directory");
    check_failed(tern__writer_open(&writer, test_path_of(folder, "no/out").text, &err), TERN_E_IO, &err,
                 "no/out: cannot be written: No such file");
    tern__writer_discard(&writer);
}

/* A full device: the error comes from the write or the commit, and the device is still one afterwards. */
static void test_writer_full(void **state) {
    const test_folder *folder = *state;
    test_path path = test_full_device(folder);
    tern_writer writer;
    tern_error err;
    struct stat facts;
    assert_int_equal(tern__writer_open(&writer, path.text, &err), TERN_OK);
    assert_int_equal(tern__writer_write(&writer, "text", 4, &err), TERN_OK);
    check_failed(tern__writer_commit(&writer, &err), TERN_E_IO, &err, "/full: cannot be written: No space left on device");
    assert_int_equal(stat(path.text, &facts), 0);
    assert_true(S_ISCHR(facts.st_mode));
}

/* A limit on the size of files stands for a disk that fills up: the old file stays, and nothing is left beside it. */
static void test_writer_limit(void **state) {
    const test_folder *folder = *state;
    test_path path = test_path_of(folder, "out");
    write_text(path.text, "old", true);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    tern_writer writer;
    tern_error err;
    static const char block[300000];
    tern_status opened = tern__writer_open(&writer, path.text, &err);
    tern_status written = tern__writer_write(&writer, block, sizeof block, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(opened, TERN_OK);
    check_failed(written, TERN_E_IO, &err, "out: cannot be written: File too large");
    tern__writer_discard(&writer);
    check_file(path.text, "old");
    assert_int_equal(test_folder_entries(folder), 1);
}

/* In a child that is nobody, since root may read and write everything. */
static void test_no_permission(void **state) {
    const test_folder *folder = *state;
    test_path inner = test_path_of(folder, "inner"), path = test_path_of(folder, "inner/file");
    assert_int_equal(mkdir(inner.text, 0700), 0);
    test_file_write(folder, "inner/file", "text", 4);
    if (geteuid() != 0) assert_int_equal(chmod(inner.text, 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0) _exit(10);
        char *bytes;
        size_t n_bytes;
        tern_error err;
        tern_writer writer;
        if (!tern__file_exists(path.text)) _exit(11);
        if (tern__file_read(&bytes, &n_bytes, path.text, 100, &err) != TERN_E_IO || !strstr(err.message, "Permission denied")) _exit(12);
        if (tern__writer_open(&writer, path.text, &err) != TERN_E_IO || !strstr(err.message, "Permission denied")) _exit(13);
        _exit(0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(chmod(inner.text, 0700), 0);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

/* ---- Half floats ---- */

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One of the two formats: sign, exponent, fraction_bits. */
typedef struct half_format {
    int fraction_bits;
    int max_exponent; /* of a finite value */
    float (*widen)(uint16_t half);
    uint16_t (*narrow)(float value);
} half_format;

static const half_format half_formats[] = {{10, 15, tern__f16_to_f32, tern__f32_to_f16}, {7, 127, tern__bf16_to_f32, tern__f32_to_bf16}};

/* The value of the bits, by the definition of the format and double arithmetic. */
static double half_value(const half_format *format, uint16_t half) {
    int fraction = half & ((1 << format->fraction_bits) - 1), exponent = (half & 0x7FFF) >> format->fraction_bits;
    int bias = format->max_exponent, n = format->fraction_bits;
    double magnitude;
    if (exponent == 0) magnitude = ldexp(fraction, 1 - bias - n);
    else if (exponent == 2 * bias + 1) magnitude = fraction ? (double)NAN : (double)INFINITY;
    else magnitude = ldexp((1 << n) + fraction, exponent - bias - n);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* The nearest value of the format, ties to even, infinity past the largest. */
static double half_rounded(const half_format *format, float value) {
    int exponent, least = 1 - format->max_exponent;
    if (value == 0 || !isfinite(value)) return (double)value;
    frexp((double)value, &exponent);
    exponent = exponent - 1 < least ? least : exponent - 1;
    double rounded = ldexp(nearbyint(ldexp((double)value, format->fraction_bits - exponent)), exponent - format->fraction_bits);
    return fabs(rounded) >= ldexp(1, format->max_exponent + 1) ? copysign(INFINITY, (double)value) : rounded;
}

static bool same_double(double a, double b) { return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b)); }

static void check_narrow(const half_format *format, float value) {
    double got = half_value(format, format->narrow(value)), expected = half_rounded(format, value);
    if (!same_double(got, expected))
        fail_msg("%d fraction bits: %a becomes %a, not %a", format->fraction_bits, (double)value, got, expected);
}

static void test_half_all(void **state) {
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        const half_format *format = &half_formats[f];
        for (uint32_t half = 0; half < 65536; half++) {
            float wide = format->widen((uint16_t)half);
            double expected = half_value(format, (uint16_t)half);
            if (!same_double((double)wide, expected)) fail_msg("0x%04X becomes %a, not %a", half, (double)wide, expected);
            uint16_t back = format->narrow(wide);
            bool is_quieted = isnan(wide) && back == (half | 1u << (format->fraction_bits - 1));
            if (back != half && !is_quieted) fail_msg("0x%04X comes back as 0x%04X", half, back);
        }
    }
}

/* Every tie between neighbours with the floats beside it, and floats spread over all bit patterns. */
static void test_half_rounding(void **state) {
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        const half_format *format = &half_formats[f];
        for (uint32_t half = 0; isfinite(format->widen((uint16_t)half)); half++) {
            double next = half_value(format, (uint16_t)(half + 1));
            if (isinf(next)) next = ldexp(1, format->max_exponent + 1);
            float tie = (float)((half_value(format, (uint16_t)half) + next) / 2);
            for (int32_t step = -1; step <= 1; step++) {
                float value = float_of(bits_of(tie) + (uint32_t)step);
                check_narrow(format, value);
                check_narrow(format, -value);
            }
        }
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4099) check_narrow(format, float_of((uint32_t)bits));
        check_narrow(format, float_of(0x7F800001)); /* a NaN whose payload is all in the bits that are lost */
        check_narrow(format, float_of(0xFFC00000));
    }
}

static void test_half_elements(void **state) {
    (void)state;
    unsigned char bytes[1 + 3 * 8];
    static const double f64[3] = {1.5, -2.25, 1e-3};
    static const float f32[3] = {1.5f, -2.25f, 1e-3f};
    static const uint16_t f16[3] = {0x3E00, 0xC080, 0x0001}, bf16[3] = {0x3FC0, 0xC010, 0x0001};
    const void *const arrays[] = {f64, f32, f16, bf16};
    static const float lasts[] = {1e-3f, 1e-3f, 0x1p-24f, 0x1p-133f};
    for (tern_dtype dtype = TERN_DTYPE_F64; dtype <= TERN_DTYPE_BF16; dtype++) {
        memcpy(bytes + 1, arrays[dtype], 3 * tern_dtype_bytes(dtype)); /* unaligned */
        float out[2];
        tern__elements_to_f32(out, bytes + 1, dtype, 1, 2);
        assert_true(out[0] == -2.25f);
        assert_true(out[1] == lasts[dtype]);
        assert_true(tern__element_to_f32(bytes + 1, dtype, 0) == 1.5f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_message),
        cmocka_unit_test(test_error_message_cut),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_text_builder),
        cmocka_unit_test(test_json_errors),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_json_large_integers),
        cmocka_unit_test(test_json_truncated),
        cmocka_unit_test(test_json_dump),
        cmocka_unit_test_setup_teardown(test_json_load, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_file_read_and_map, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_paths, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_writer, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_writer_full, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_writer_limit, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_no_permission, test_folder_setup, test_folder_teardown),
        cmocka_unit_test(test_half_all),
        cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_half_elements),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
