/* unit_safetensors.c - .safetensors files: what is read, what is refused with which message, what is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include <sys/resource.h>
#include <signal.h>

#include "store/names.h"
#include "store/safetensors.h"

/* ---- Files in memory ---- */

typedef struct test_bytes {
    unsigned char bytes[4096];
    size_t n;
} test_bytes;

/* A file with this header and n_data bytes 0, 1, 2, ... behind it. */
static test_bytes make_file(const char *header, size_t n_data) {
    test_bytes file = {.n = 8 + strlen(header) + n_data};
    assert_true(file.n <= sizeof file.bytes);
    for (int i = 0; i < 8; i++) file.bytes[i] = (unsigned char)(strlen(header) >> (8 * i));
    memcpy(file.bytes + 8, header, strlen(header));
    for (size_t i = 0; i < n_data; i++) file.bytes[8 + strlen(header) + i] = (unsigned char)i;
    return file;
}

/* Parse a copy of exactly its size, so that ASan sees a read behind it. */
static tern_status parse_exact(tern_safetensors **out, unsigned char **copy, const unsigned char *bytes, size_t n_bytes, tern_error *err) {
    *copy = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(*copy);
    memcpy(*copy, bytes, n_bytes);
    return tern__safetensors_parse(out, *copy, n_bytes, "weights", err);
}

static void check_refused(const unsigned char *bytes, size_t n_bytes, const char *message) {
    tern_safetensors *file;
    unsigned char *copy;
    tern_error err;
    check_failed(parse_exact(&file, &copy, bytes, n_bytes, &err), TERN_E_FORMAT, &err, message);
    assert_null(file);
    assert_true(strncmp(err.message, "weights: ", 9) == 0);
    free(copy);
}

static const char good_header[] = "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"\"},"
                                  "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                                  "\"a\":{\"shape\":[3],\"data_offsets\":[8,14],\"dtype\":\"BF16\"},"
                                  "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[14,22]},"
                                  "\"none\":{\"dtype\":\"F64\",\"shape\":[4,0],\"data_offsets\":[8,8]}}   ";

static void test_read(void **state) {
    (void)state;
    test_bytes good = make_file(good_header, 22);
    tern_safetensors *file;
    unsigned char *copy;
    tern_error err;
    if (parse_exact(&file, &copy, good.bytes, good.n, &err) != TERN_OK) fail_msg("%s", err.message);
    static const char *const names[] = {"b", "none", "a", "scalar"};
    static const tern_dtype dtypes[] = {TERN_DTYPE_F32, TERN_DTYPE_F64, TERN_DTYPE_BF16, TERN_DTYPE_I64};
    static const int ranks[] = {2, 2, 1, 0}, begins[] = {0, 8, 8, 14};
    static const int64_t elements[] = {2, 0, 3, 1};
    assert_int_equal(tern_safetensors_count(file), 4);
    for (size_t i = 0; i < 4; i++) {
        const tern_tensor *tensor = tern_safetensors_get(file, i);
        assert_string_equal(tensor->name, names[i]);
        assert_int_equal(tensor->dtype, dtypes[i]);
        assert_int_equal(tensor->rank, ranks[i]);
        assert_int_equal(tern_tensor_elements(tensor), elements[i]);
        assert_ptr_equal(tensor->data, copy + good.n - 22 + begins[i]);
        assert_ptr_equal(tern_safetensors_find(file, names[i]), tensor);
    }
    assert_int_equal(tern_safetensors_get(file, 0)->shape[0], 2);
    assert_int_equal(tern_safetensors_get(file, 0)->shape[1], 1);
    assert_null(tern_safetensors_get(file, 4));
    assert_null(tern_safetensors_find(file, "c"));
    assert_null(tern_safetensors_find(file, "__metadata__"));
    assert_int_equal(tern__safetensors_bytes(file), good.n);
    tern_safetensors_close(file);
    free(copy);
    tern_safetensors_close(NULL);
}

static void test_empty_set(void **state) {
    (void)state;
    test_bytes empty = make_file("{}", 0);
    tern_safetensors *file;
    assert_int_equal(tern__safetensors_parse(&file, empty.bytes, empty.n, "empty", NULL), TERN_OK);
    assert_int_equal(tern_safetensors_count(file), 0);
    assert_null(tern_safetensors_find(file, ""));
    tern_safetensors_close(file);
}

static void test_every_truncation(void **state) {
    (void)state;
    test_bytes good = make_file(good_header, 22);
    size_t n_header = strlen(good_header);
    for (size_t n = 0; n < good.n; n++)
        check_refused(good.bytes, n,
                      n < 8              ? "are too few for a safetensors file"
                      : n < 8 + n_header ? "passes the end of the file"
                                         : "pass the end of the");
    check_refused(good.bytes, good.n + 1, "holds 23 bytes of data, but its tensors end at 22");
}

static void test_header_length(void **state) {
    (void)state;
    test_bytes file = make_file("{}", 0);
    file.bytes[0] = 3;
    check_refused(file.bytes, file.n, "header length 3 passes the end of the file, which has 10 bytes");
    file.bytes[0] = 0;
    check_refused(file.bytes, file.n, "header: line 1, column 1: expected '{' or '[', found the end");
    file.bytes[0] = 1;
    check_refused(file.bytes, file.n, "header: line 1, column 2: expected a key in double quotes, found the end");
    memcpy(file.bytes, "\x00\xE1\xF5\x05\0\0\0\0", 8); /* 100,000,000 */
    check_refused(file.bytes, file.n, "header length 100000000 passes the end");
    file.bytes[0] = 1;
    check_refused(file.bytes, file.n, "header length 100000001 is over the limit of 100000000 bytes");
    memset(file.bytes, 0xFF, 8);
    check_refused(file.bytes, file.n, "header length 18446744073709551615 is over the limit");
}

#define T(name, dtype, shape, begin, end) "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void test_bad_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } cases[] = {
        {"[]", 0, "header must be a JSON object, not an array"},
        {"{\n\"a\": 1,,}", 0, "header: line 2, column 8: expected a key in double quotes, found ','"},
        {"{" T("a", "\"U8\"", "[1]", 0, 1) "," T("a", "\"U8\"", "[1]", 1, 2) "}", 2, "a key that is there already"},
        {"{\"__metadata__\":[]}", 0, "\"__metadata__\" must be an object, not an array"},
        {"{\"__metadata__\":{\"x\":1}}", 0, "\"__metadata__\": the value of \"x\" must be a string, not an integer"},
        {"{\"a\":1}", 0, "tensor \"a\": must be an object with dtype, shape and data_offsets, not an integer"},
        {"{\"a\":{}}", 0, "tensor \"a\": \"dtype\" must be a string, not nothing"},
        {"{" T("a", "\"F33\"", "[1]", 0, 4) "}", 4, "tensor \"a\": dtype \"F33\" is none of F64, F32"},
        {"{" T("a", "\"f32\"", "[1]", 0, 4) "}", 4, "tensor \"a\": dtype \"f32\" is none of F64, F32"},
        {"{" T("a", "4", "[1]", 0, 4) "}", 4, "tensor \"a\": \"dtype\" must be a string, not an integer"},
        {"{" T("a", "\"F16\"", "[2]", 0, 8) "}", 8, "tensor \"a\": data_offsets [0, 8] hold 8 bytes, but its shape and dtype need 4"},
        {"{" T("a", "\"F32\"", "{}", 0, 4) "}", 4, "tensor \"a\": \"shape\" must be an array, not an object"},
        {"{" T("a", "\"F32\"", "[1.0]", 0, 4) "}", 4, "tensor \"a\": shape[0] must be an integer, not a real number"},
        {"{" T("a", "\"F32\"", "[1,-1]", 0, 4) "}", 4, "tensor \"a\": shape[1] is -1, which is negative"},
        {"{" T("a", "\"U8\"", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "tensor \"a\": rank 9 is over 8"},
        {"{" T("a", "\"F32\"", "[4611686018427387904,4]", 0, 0) "}", 0, "tensor \"a\": the size of its shape overflows at shape[0]"},
        {"{" T("a", "\"U8\"", "[4294967296,4294967296]", 0, 0) "}", 0, "tensor \"a\": the size of its shape overflows at shape[1]"},
        {"{" T("a", "\"U8\"", "[4294967296,2147483648]", 0, 0) "}", 0, "tensor \"a\": the size of its shape overflows at shape[1]"},
        {"{" T("a", "\"U8\"", "[0,4294967296,4294967296]", 0, 0) "}", 0, "tensor \"a\": the size of its shape overflows at shape[2]"},
        {"{" T("a", "\"U8\"", "[4294967296,4294967296,0]", 0, 0) "}", 0, "tensor \"a\": the size of its shape overflows at shape[1]"},
        {"{" T("a", "\"U8\"", "[9223372036854775808]", 0, 0) "}", 0, "tensor \"a\": shape[0] must be an integer, not a real number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "tensor \"a\": \"data_offsets\" must be an array of two integers, and is missing"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "\"data_offsets\" must be an array of two integers"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "\"data_offsets\" must be an array of two integers"},
        {"{" T("a", "\"U8\"", "[1]", 0, 1.0) "}", 1, "\"data_offsets\" must be an array of two integers"},
        {"{" T("a", "\"U8\"", "[1]", -1, 0) "}", 1, "tensor \"a\": data_offsets [-1, 0] are no range"},
        {"{" T("a", "\"U8\"", "[1]", 2, 1) "}", 2, "tensor \"a\": data_offsets [2, 1] are no range"},
        {"{" T("a", "\"U8\"", "[1]", 1, 2) "}", 1, "tensor \"a\": data_offsets [1, 2] pass the end of the 1 bytes of data"},
        {"{" T("a", "\"U8\"", "[1]", 9223372036854775806, 9223372036854775807) "}", 1, "pass the end of the 1 bytes of data"},
        {"{" T("a", "\"U8\"", "[4]", 0, 4) "," T("b", "\"U8\"", "[4]", 3, 7) "}", 7,
         "tensor \"b\": data_offsets [3, 7] overlap those of \"a\", [0, 4]"},
        {"{" T("a", "\"U8\"", "[4]", 0, 4) "," T("b", "\"U8\"", "[4]", 0, 4) "}", 4,
         "tensor \"b\": data_offsets [0, 4] overlap those of \"a\", [0, 4]"},
        {"{" T("a", "\"U8\"", "[4]", 0, 4) "," T("e", "\"U8\"", "[0]", 2, 2) "}", 4,
         "tensor \"e\": data_offsets [2, 2] overlap those of \"a\", [0, 4]"},
        {"{" T("b", "\"U8\"", "[3]", 5, 8) "," T("a", "\"U8\"", "[4]", 0, 4) "}", 8,
         "tensor \"b\": data_offsets [5, 8] leave a hole of 1 bytes before them"},
        {"{" T("a", "\"U8\"", "[3]", 1, 4) "}", 4, "tensor \"a\": data_offsets [1, 4] leave a hole of 1 bytes before them"},
        {"{" T("a", "\"U8\"", "[3]", 0, 3) "}", 4, "holds 4 bytes of data, but its tensors end at 3"},
        {"{}", 4, "holds 4 bytes of data, but its tensors end at 0"},
        {"{\"a\\u001b[31m\\n\":1}", 0, "tensor \"a?[31m?\": must be an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_bytes file = make_file(cases[i].header, cases[i].n_data);
        check_refused(file.bytes, file.n, cases[i].message);
    }
}

static void test_quote(void **state) {
    (void)state;
    assert_string_equal(tern__quote("encoder.layer.0").text, "\"encoder.layer.0\"");
    char name[1000];
    for (int shift = 0; shift < 2; shift++) { /* cut between characters of two bytes */
        memset(name, 'x', sizeof name);
        for (size_t i = (size_t)shift; i + 1 < sizeof name; i += 2) memcpy(name + i, "\xC3\xA9", 2);
        name[sizeof name - 1] = '\0';
        tern_quoted quoted = tern__quote(name);
        size_t n = strlen(quoted.text);
        assert_true(n >= sizeof quoted.text - 3 && n < sizeof quoted.text);
        assert_string_equal(quoted.text + n - 5, "\xA9...\"");
    }
}

/* ---- Files on disk ---- */

static void test_open(void **state) {
    const test_folder *folder = *state;
    test_bytes good = make_file(good_header, 22);
    test_path path = test_file_write(folder, "model.safetensors", good.bytes, good.n);
    tern_safetensors *file;
    tern_error err;
    assert_int_equal(tern_safetensors_open(&file, path.text, &err), TERN_OK);
    assert_memory_equal(tern_safetensors_find(file, "a")->data, "\x08\x09\x0A\x0B\x0C\x0D", 6);
    tern_safetensors_close(file);

    test_file_write(folder, "model.safetensors", good.bytes, good.n - 1);
    check_failed(tern_safetensors_open(&file, path.text, &err), TERN_E_FORMAT, &err, path.text);
    assert_null(file);
    test_file_write(folder, "model.safetensors", "", 0);
    check_failed(tern_safetensors_open(&file, path.text, &err), TERN_E_FORMAT, &err, "0 bytes are too few");
    check_failed(tern_safetensors_open(&file, folder->path, &err), TERN_E_IO, &err, "Is a directory");
    check_failed(tern_safetensors_open(&file, test_path_of(folder, "no").text, &err), TERN_E_IO, &err,
                 "no: cannot be opened: No such file");
}

/* ---- Writing ---- */

static void test_save(void **state) {
    const test_folder *folder = *state;
    static const float matrix[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t ids[2] = {-1, 7};
    static const unsigned char byte = 200;
    const tern_tensor tensors[] = {
        {.name = "byte", .dtype = TERN_DTYPE_U8, .rank = 0, .data = &byte},
        {.name = "matrix", .dtype = TERN_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = matrix},
        {.name = "empty", .dtype = TERN_DTYPE_F16, .rank = 2, .shape = {3, 0}},
        {.name = "na\"\\m\xC3\xA9\n", .dtype = TERN_DTYPE_I64, .rank = 1, .shape = {2}, .data = ids},
    };
    test_path path = test_path_of(folder, "out.safetensors");
    tern_error err;
    if (tern_safetensors_save(path.text, tensors, 4, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(test_folder_entries(folder), 1);
    tern_safetensors *file;
    if (tern_safetensors_open(&file, path.text, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(tern_safetensors_count(file), 4);
    for (size_t i = 0; i < 4; i++) {
        const tern_tensor *read = tern_safetensors_get(file, i);
        assert_string_equal(read->name, tensors[i].name);
        assert_int_equal(read->dtype, tensors[i].dtype);
        assert_int_equal(read->rank, tensors[i].rank);
        for (int axis = 0; axis < read->rank; axis++) assert_int_equal(read->shape[axis], tensors[i].shape[axis]);
        size_t bytes = (size_t)tern_tensor_elements(read) * tern_dtype_bytes(read->dtype);
        if (bytes > 0) assert_memory_equal(read->data, tensors[i].data, bytes);
    }
    assert_int_equal((uintptr_t)tern_safetensors_get(file, 0)->data % 8, 0);
    tern_safetensors_close(file);

    assert_int_equal(tern_safetensors_save(path.text, NULL, 0, &err), TERN_OK);
    assert_int_equal(tern_safetensors_open(&file, path.text, &err), TERN_OK);
    assert_int_equal(tern_safetensors_count(file), 0);
    tern_safetensors_close(file);
}

/* Byte for byte: length, compact JSON, spaces to a multiple of 8, data. */
static void test_save_bytes(void **state) {
    const test_folder *folder = *state;
    static const unsigned char data[2] = {7, 9};
    const tern_tensor tensor = {.name = "t", .dtype = TERN_DTYPE_U8, .rank = 1, .shape = {2}, .data = data};
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    test_path path = test_path_of(folder, "out.safetensors");
    assert_int_equal(tern_safetensors_save(path.text, &tensor, 1, NULL), TERN_OK);
    unsigned char bytes[256], expected[256];
    FILE *stream = fopen(path.text, "rb");
    assert_non_null(stream);
    size_t n = fread(bytes, 1, sizeof bytes, stream), n_padded = (strlen(header) + 7) / 8 * 8;
    fclose(stream);
    memset(expected, ' ', sizeof expected);
    memset(expected, 0, 8);
    expected[0] = (unsigned char)n_padded;
    memcpy(expected + 8, header, strlen(header));
    memcpy(expected + 8 + n_padded, data, 2);
    assert_int_equal(n, 8 + n_padded + 2);
    assert_memory_equal(bytes, expected, n);
}

static void test_save_refuses(void **state) {
    const test_folder *folder = *state;
    static const float data[4] = {0};
    static const struct {
        tern_tensor tensor;
        const char *message;
    } cases[] = {
        {{.name = "ok", .dtype = TERN_DTYPE_F32, .data = data}, "tensor \"ok\" cannot be written: its name is already taken"},
        {{.name = NULL, .dtype = TERN_DTYPE_F32, .data = data}, "a tensor without a name"},
        {{.name = "__metadata__", .dtype = TERN_DTYPE_F32, .data = data}, "its name is already taken"},
        {{.name = "\xFF", .dtype = TERN_DTYPE_F32, .data = data}, "its name is not UTF-8"},
        {{.name = "x", .dtype = (tern_dtype)99, .data = data}, "dtype 99 is none"},
        {{.name = "x", .rank = -1, .data = data}, "rank -1 is not 0 to 8"},
        {{.name = "x", .rank = 9, .data = data}, "rank 9 is not 0 to 8"},
        {{.name = "x", .rank = 2, .shape = {4, -2}, .data = data}, "shape[1] is -2"},
        {{.name = "x", .rank = 2, .shape = {INT64_MAX, 2}, .data = data}, "shape[0] is 9223372036854775807"},
        {{.name = "x", .rank = 3, .shape = {0, INT64_MAX, 2}, .data = data}, "shape[1] is 9223372036854775807"},
        {{.name = "x", .rank = 1, .shape = {2}}, "it has no data"},
    };
    test_path path = test_path_of(folder, "out.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const tern_tensor tensors[] = {{.name = "ok", .dtype = TERN_DTYPE_F32, .data = data}, cases[i].tensor};
        tern_error err;
        check_failed(tern_safetensors_save(path.text, tensors, 2, &err), TERN_E_ARGUMENT, &err, cases[i].message);
        assert_int_equal(test_folder_entries(folder), 0);
    }
}

static void test_save_full(void **state) {
    const test_folder *folder = *state;
    static const float data[50000];
    const tern_tensor tensor = {.name = "x", .dtype = TERN_DTYPE_F32, .rank = 1, .shape = {50000}, .data = data};
    tern_error err;
    test_path full = test_full_device(folder);
    check_failed(tern_safetensors_save(full.text, &tensor, 1, &err), TERN_E_IO, &err, "/full: cannot be written: No space left on device");
    unlink(test_path_of(folder, "full").text);
    check_failed(tern_safetensors_save(folder->path, &tensor, 1, &err), TERN_E_IO, &err, "Is a directory");

    /* a limit on the size of files stands for a disk that fills up */
    test_path path = test_path_of(folder, "out.safetensors");
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    tern_status status = tern_safetensors_save(path.text, &tensor, 1, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    check_failed(status, TERN_E_IO, &err, "out.safetensors: cannot be written: File too large");
    assert_int_equal(test_folder_entries(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_empty_set),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_quote),
        cmocka_unit_test_setup_teardown(test_open, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_save, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_save_bytes, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_save_refuses, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_save_full, test_folder_setup, test_folder_teardown),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
