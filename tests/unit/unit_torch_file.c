/* unit_torch_file.c - files of torch.save: golden ones byte for byte, what else the dict may hold, and damaged ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zip_writer.h"

#include <jansson.h>

#include "store/safetensors.h"
#include "store/torch_file.h"

#define GOLDEN TERN_TEST_DATA "/golden/torch/"

/* Parse a copy of exactly its size, so that ASan sees a read behind it. */
static tern_status parse_exact(tern_torch_file **out, unsigned char **copy, const void *bytes, size_t n_bytes, tern_error *err) {
    *copy = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(*copy);
    memcpy(*copy, bytes, n_bytes);
    return tern__torch_parse(out, *copy, n_bytes, "weights", err);
}

static void check_refused(const void *bytes, size_t n_bytes, tern_status code, const char *message) {
    tern_torch_file *file;
    unsigned char *copy;
    tern_error err;
    check_failed(parse_exact(&file, &copy, bytes, n_bytes, &err), code, &err, message);
    assert_true(strncmp(err.message, "weights: ", 9) == 0);
    assert_null(file);
    free(copy);
}

/* ---- Golden files ---- */

/* The tensors of a file are those of a safetensors file, by name, dtype, shape and every byte. */
static void check_same(const tern_torch_file *file, const tern_safetensors *expected, const char *name) {
    if (tern__torch_count(file) != tern_safetensors_count(expected)) fail_msg("%s: %zu tensors", name, tern__torch_count(file));
    for (size_t i = 0; i < tern__torch_count(file); i++) {
        const tern_tensor *tensor = tern__torch_get(file, i), *other = tern_safetensors_find(expected, tensor->name);
        if (!other) fail_msg("%s: %s is not expected", name, tensor->name);
        if (tensor->dtype != other->dtype || tensor->rank != other->rank || memcmp(tensor->shape, other->shape, sizeof tensor->shape) != 0)
            fail_msg("%s: %s has another dtype or shape", name, tensor->name);
        const size_t n_bytes = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
        if (n_bytes > 0 && memcmp(tensor->data, other->data, n_bytes) != 0) fail_msg("%s: %s has other bytes", name, tensor->name);
        assert_ptr_equal(tern__torch_find(file, tensor->name), tensor);
    }
    assert_null(tern__torch_get(file, tern__torch_count(file)));
    assert_null(tern__torch_find(file, "not there"));
}

static void check_golden(const char *name) {
    char path[512];
    tern_torch_file *file;
    tern_safetensors *expected;
    tern_error err;
    struct stat facts;
    snprintf(path, sizeof path, GOLDEN "%.*s.safetensors", (int)strcspn(name, "."), name);
    if (tern_safetensors_open(&expected, path, &err) != TERN_OK) fail_msg("%s", err.message);
    snprintf(path, sizeof path, GOLDEN "%s", name);
    if (tern__torch_open(&file, path, &err) != TERN_OK) fail_msg("%s", err.message);
    check_same(file, expected, name);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(tern__torch_bytes(file), facts.st_size);
    tern__torch_close(file);
    tern_safetensors_close(expected);
}

static void test_golden(void **state) {
    (void)state;
    json_t *written_by = json_load_file(GOLDEN "written_by.json", 0, NULL), *files = json_object_get(written_by, "files"), *file;
    size_t i;
    assert_true(json_array_size(files) >= 20);
    json_array_foreach(files, i, file) check_golden(json_string_value(file));
    json_decref(written_by);
}

/* ---- Files made here ---- */

typedef struct test_bytes {
    unsigned char bytes[4096];
    size_t n;
} test_bytes;

static test_bytes golden_bytes(const char *name) {
    test_bytes file = {.n = 0};
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    file.n = fread(file.bytes, 1, sizeof file.bytes, stream);
    assert_true(file.n > 0 && feof(stream));
    fclose(stream);
    return file;
}

/* Pages of a copy must not be given back: is_mapped tells it from what is in the file. */
static void test_copies_are_not_mapped(void **state) {
    (void)state;
    tern_torch_file *file;
    assert_int_equal(tern__torch_open(&file, TERN_TEST_DATA "/golden/torch/views.zip-2.bin", NULL), TERN_OK);
    assert_true(tern__torch_is_mapped(file, tern__torch_find(file, "whole")->data));
    assert_true(tern__torch_is_mapped(file, tern__torch_find(file, "rows")->data));
    assert_false(tern__torch_is_mapped(file, tern__torch_find(file, "transposed")->data));
    assert_false(tern__torch_is_mapped(file, tern__torch_find(file, "columns")->data));
    tern__torch_close(file);
}

/* What is contiguous in its storage is not copied, whatever the strides of its dimensions of 1 say. */
static void test_no_copies(void **state) {
    (void)state;
    static const char *const in_place[] = {"whole", "rows", "element", "last of half", "unsqueezed", "no elements"},
                             *const copied[] = {"columns", "every second", "transposed", "diagonal", "expanded", "stride 0", "permuted"};
    const test_bytes golden = golden_bytes("views.zip-2.bin");
    tern_torch_file *file;
    unsigned char *copy;
    assert_int_equal(parse_exact(&file, &copy, golden.bytes, golden.n, NULL), TERN_OK);
    for (size_t i = 0; i < sizeof in_place / sizeof in_place[0]; i++) {
        const unsigned char *data = tern__torch_find(file, in_place[i])->data;
        if (data < copy || data > copy + golden.n) fail_msg("%s is a copy", in_place[i]);
    }
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        const unsigned char *data = tern__torch_find(file, copied[i])->data;
        if (data >= copy && data <= copy + golden.n) fail_msg("%s is no copy", copied[i]);
        assert_int_equal((uintptr_t)data % 8, 0);
    }
    assert_int_equal(tern__torch_count(file), sizeof in_place / sizeof in_place[0] + sizeof copied / sizeof copied[0]);
    tern__torch_close(file);
    free(copy);
}

static void add(test_bytes *file, const void *bytes, size_t n_bytes) {
    assert_true(file->n + n_bytes <= sizeof file->bytes);
    memcpy(file->bytes + file->n, bytes, n_bytes);
    file->n += n_bytes;
}

#define ADD(file, literal) add((file), (literal), sizeof(literal) - 1)

/* A F32 storage of key `key`, one character, and n elements, n one byte; and a tensor of its first `n` elements. */
#define STORAGE(key, n)                                                                                                                    \
    "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" key "X\x03\x00\x00\x00"                                             \
    "cpuK" n "tQ"
#define TENSOR(key, n)  "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(key, n) "K\x00K" n "\x85K\x01\x85\x89}tR"
#define NAME(character) "X\x01\x00\x00\x00" character

#define MAGIC       "\x80\x02\x8A\x0Al\xFC\x9C\x46\xF9 j\xA8P\x19."
#define LEGACY_HEAD MAGIC "\x80\x02M\xE9\x03.\x80\x02}(X\x0D\x00\x00\x00little_endian\x88u."

static const float values[4] = {1, -2, 3.5F, 4};

/* A legacy file with this object and the storages "0" of 2 and "1" of 3 elements. */
static test_bytes legacy_file(const char *object, size_t n_object) {
    test_bytes file = {.n = 0};
    ADD(&file, LEGACY_HEAD);
    add(&file, object, n_object);
    ADD(&file, "](" NAME("0") NAME("1") "e.");
    ADD(&file, "\x02\x00\x00\x00\x00\x00\x00\x00");
    add(&file, values, 8);
    ADD(&file, "\x03\x00\x00\x00\x00\x00\x00\x00");
    add(&file, values + 1, 12);
    return file;
}

#define LEGACY(literal) legacy_file(literal ".", sizeof(literal))

static zip_writer zip_file(const char *object, size_t n_object) {
    zip_writer zip = {.n = 0};
    zip_add(&zip, "archive/data.pkl", object, n_object);
    zip_add(&zip, "archive/byteorder", "little", 6);
    zip_add(&zip, "archive/data/0", values, 8);
    zip_add(&zip, "archive/data/1", values + 1, 12);
    zip_finish(&zip, false);
    return zip;
}

#define ZIP(literal) zip_file(literal ".", sizeof(literal))

#define TWO NAME("a") TENSOR("0", "\x02") "s" NAME("b") TENSOR("1", "\x03") "s"

static void check_two(const void *bytes, size_t n_bytes) {
    tern_torch_file *file;
    unsigned char *copy;
    tern_error err;
    if (parse_exact(&file, &copy, bytes, n_bytes, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(tern__torch_count(file), 2);
    assert_string_equal(tern__torch_get(file, 0)->name, "a");
    assert_memory_equal(tern__torch_get(file, 0)->data, values, 8);
    assert_string_equal(tern__torch_get(file, 1)->name, "b");
    assert_memory_equal(tern__torch_get(file, 1)->data, values + 1, 12);
    const unsigned char *data = tern__torch_get(file, 0)->data;
    assert_true(data > copy && data < copy + n_bytes); /* not a copy */
    tern__torch_close(file);
    free(copy);
}

static void test_made(void **state) {
    (void)state;
    const test_bytes legacy = LEGACY("}" TWO), nested = LEGACY("}" NAME("e") "K\x03s" NAME("m") "}" TWO "s");
    const zip_writer zip = ZIP("}" TWO);
    check_two(legacy.bytes, legacy.n);
    check_two(nested.bytes, nested.n);
    check_two(zip.bytes, zip.n);
    tern__torch_close(NULL);
}

/* Which dict is meant. */
static void test_dicts(void **state) {
    (void)state;
    static const struct {
        const char *object;
        size_t n_object;
        tern_status code;
        const char *message;
    } cases[] = {
#define CASE(literal, code, message) {literal ".", sizeof(literal), TERN_E_##code, message}
        CASE("N", UNSUPPORTED, "holds None, not a dict of tensors such as model.state_dict()"),
        CASE(TENSOR("0", "\x02"), UNSUPPORTED, "holds a tensor, not a dict of tensors"),
        CASE("]" TENSOR("0", "\x02") "a", UNSUPPORTED, "holds a list, not a dict of tensors"),
        CASE("}" NAME("e") "K\x03s" NAME("x") "}s", FORMAT, "is a dict that holds no tensors, but:\n  \"e\"\n  \"x\""),
        CASE("}" NAME("e") "}" TWO "s" NAME("m") "}" NAME("c") TENSOR("0", "\x02") "ss", UNSUPPORTED,
             "holds 2 dicts of tensors; save the one that is meant, alone:\n  \"e\"\n  \"m\""),
        CASE("}" NAME("e") "}" NAME("x") "}" TWO "ss", FORMAT, "is a dict that holds no tensors, but:\n  \"e\""),
        CASE("}K\x01}s", FORMAT, "is a dict that holds no tensors, but:\n  an int"),
        CASE("}" TWO NAME("o") "}" NAME("c") TENSOR("0", "\x02") "ss", UNSUPPORTED, "a tensor that is not an entry of the dict of tensors"),
        CASE("}" TWO NAME("o") "]" TENSOR("0", "\x02") "as", UNSUPPORTED, "a tensor that is not an entry of the dict of tensors"),
        CASE("}" TWO "K\x01" TENSOR("0", "\x02") "s", FORMAT, "the name of a tensor is an int, not a string"),
        CASE("}" TWO NAME("a") TENSOR("0", "\x02") "s", FORMAT, "holds tensor \"a\" twice"),
        CASE("}" TWO NAME("\x00") TENSOR("0", "\x02") "s", FORMAT, "holds NUL, or is not UTF-8"),
        CASE("}" TWO NAME("\xFF") TENSOR("0", "\x02") "s", FORMAT, "the name of a tensor, \"?\", is longer than"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const zip_writer zip = zip_file(cases[i].object, cases[i].n_object);
        check_refused(zip.bytes, zip.n, cases[i].code, cases[i].message);
    }
}

static void test_storages(void **state) {
    (void)state;
    const test_bytes absent = LEGACY("}" TWO NAME("c") TENSOR("7", "\x02") "s");
    check_refused(absent.bytes, absent.n, TERN_E_FORMAT, "storage \"7\": is not in the file");
    const test_bytes unknown = LEGACY("}" NAME("a") TENSOR("0", "\x02") "s");
    check_refused(unknown.bytes, unknown.n, TERN_E_FORMAT, "storage \"1\": is listed, but no tensor has it");
    const test_bytes larger = LEGACY("}" TWO NAME("c") TENSOR("0", "\x03") "s");
    check_refused(larger.bytes, larger.n, TERN_E_FORMAT, "storage \"0\": is 2 F32 and also 3 F32");
    const test_bytes lying = LEGACY("}" NAME("a") TENSOR("0", "\x03") "s" NAME("b") TENSOR("1", "\x03") "s");
    check_refused(lying.bytes, lying.n, TERN_E_FORMAT, "storage \"0\": should have 3 elements, but has 2");
    const test_bytes huge = LEGACY("}" NAME("a") TENSOR("0", "\x02") "s" NAME("b") TENSOR("1", "\xFF") "s");
    check_refused(huge.bytes, huge.n, TERN_E_FORMAT, "storage \"1\": its 1020 bytes pass the end of the file; was it cut short?");
    test_bytes twice = {.n = 0};
    ADD(&twice, LEGACY_HEAD "}" NAME("a") TENSOR("0", "\x01") "s.](" NAME("0") NAME("0") "e.");
    ADD(&twice, "\x01\x00\x00\x00\x00\x00\x00\x00____\x01\x00\x00\x00\x00\x00\x00\x00____");
    check_refused(twice.bytes, twice.n, TERN_E_FORMAT, "storage \"0\": is listed twice");
    test_bytes no_list = {.n = 0}, no_string = {.n = 0};
    ADD(&no_list, LEGACY_HEAD "}.N.");
    check_refused(no_list.bytes, no_list.n, TERN_E_FORMAT, "the keys of the storages are None, not a list");
    ADD(&no_string, LEGACY_HEAD "}.]K\x01"
                                "a.");
    check_refused(no_string.bytes, no_string.n, TERN_E_FORMAT, "the key of a storage is an int");
    const zip_writer zip_absent = ZIP("}" TWO NAME("c") TENSOR("7", "\x02") "s");
    check_refused(zip_absent.bytes, zip_absent.n, TERN_E_FORMAT, "storage \"7\": is not in the file");
    const zip_writer zip_lying = ZIP("}" NAME("a") TENSOR("0", "\x03") "s");
    check_refused(zip_lying.bytes, zip_lying.n, TERN_E_FORMAT, "storage \"0\": should have 12 bytes, but has 8");
}

/* One element seen as 2^20 x 2^20: 4 TB of copies. One seen as 2^20 x 12 is read, but not a second one: 96 MB. */
static void test_expanded(void **state) {
    (void)state;
#define EXPANDED(n) "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("0", "\x02") "K\x00J\x00\x00\x10\x00" n "\x86K\x00K\x00\x86\x89}tR"
    const zip_writer huge = ZIP("}" NAME("a") EXPANDED("J\x00\x00\x10\x00") "s");
    check_refused(huge.bytes, huge.n, TERN_E_UNSUPPORTED, "tensor \"a\" repeats its elements over 4398046511104 bytes");
    const zip_writer twice = ZIP("}" NAME("a") EXPANDED("K\x0C") "s" NAME("b") EXPANDED("K\x0C") "s");
    check_refused(twice.bytes, twice.n, TERN_E_UNSUPPORTED, "tensor \"b\" repeats its elements over 50331648 bytes");
}

static void test_containers(void **state) {
    (void)state;
    check_refused("", 0, TERN_E_FORMAT, "is not of torch.save: neither a zip file nor a pickle");
    check_refused("<html>", 6, TERN_E_FORMAT, "is not of torch.save");
    check_refused("version https://git-lfs.github.com/spec/v1\n", 43, TERN_E_FORMAT, "is a Git LFS pointer, not the file itself");
    unsigned char tar[1024] = "sys_info";
    memcpy(tar + 257, "ustar", 5);
    check_refused(tar, sizeof tar, TERN_E_UNSUPPORTED, "is in the tar container of PyTorch before 0.1.10; load it with PyTorch and save");
    check_refused("\x80\x02N.", 4, TERN_E_FORMAT, "is a pickle, but not of torch.save: it does not begin with its magic number");
    check_refused("\x80\x02"
                  "cposix\nsystem\n(X\x02\x00\x00\x00idtR.",
                  28, TERN_E_UNSUPPORTED,
                  "weights: byte 2 of the pickle: refuses to load posix.system: only tensors are read, and nothing is run");
    check_refused(MAGIC "K\x07.", sizeof MAGIC + 2, TERN_E_UNSUPPORTED, "its protocol version is not 1001");
    check_refused(MAGIC "M\xE9\x03.}.", sizeof MAGIC + 5, TERN_E_UNSUPPORTED, "does not say that its byte order is little");

    zip_writer none = {.n = 0}, other = {.n = 0}, script = {.n = 0}, big = {.n = 0}, evil = {.n = 0};
    zip_finish(&none, false);
    check_refused(none.bytes, none.n, TERN_E_FORMAT, "is a zip file without data.pkl, so not of torch.save");
    zip_add(&other, "word/document.xml", "<", 1);
    zip_finish(&other, false);
    check_refused(other.bytes, other.n, TERN_E_FORMAT, "is a zip file without data.pkl, so not of torch.save");
    zip_add(&script, "model/data.pkl", "N.", 2);
    zip_add(&script, "model/constants.pkl", "N.", 2);
    zip_finish(&script, false);
    check_refused(script.bytes, script.n, TERN_E_UNSUPPORTED, "is a TorchScript program; save its state_dict() with torch.save");
    zip_add(&big, "model/data.pkl", "}.", 2);
    zip_add(&big, "model/byteorder", "big", 3);
    zip_finish(&big, false);
    check_refused(big.bytes, big.n, TERN_E_UNSUPPORTED, "its byte order is \"big\"; only little is read");
    static const char system[] = "\x80\x02"
                                 "cos\nsystem\nX\x02\x00\x00\x00id\x85R.";
    zip_add(&evil, "model/data.pkl", system, sizeof system - 1);
    zip_finish(&evil, false);
    check_refused(evil.bytes, evil.n, TERN_E_UNSUPPORTED, "weights: byte 2 of the pickle: refuses to load os.system");
}

/* ---- Damage ---- */

/* Refused with a message, or every byte of every tensor can be read. */
static size_t read_damaged(const unsigned char *bytes, size_t n_bytes) {
    tern_torch_file *file;
    unsigned char *copy;
    tern_error err = {.message = ""};
    const tern_status status = parse_exact(&file, &copy, bytes, n_bytes, &err);
    if (status == TERN_OK) {
        for (size_t i = 0; i < tern__torch_count(file); i++) {
            const tern_tensor *tensor = tern__torch_get(file, i);
            const unsigned char *data = tensor->data;
            const size_t n = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
            size_t n_zero = 0;
            for (size_t j = 0; j < n; j++) n_zero += data[j] == 0;
            assert_true(n_zero <= n);
        }
        tern__torch_close(file);
    } else if ((status != TERN_E_FORMAT && status != TERN_E_UNSUPPORTED) || err.code != status ||
               strncmp(err.message, "weights: ", 9) != 0) {
        fail_msg("%s \"%s\"", tern_status_name(status), err.message);
    }
    free(copy);
    return status == TERN_OK;
}

static void check_damage(const char *name) {
    test_bytes file = golden_bytes(name);
    size_t n_whole = 0, n_flipped = 0;
    for (size_t n = 0; n < file.n; n++) n_whole += read_damaged(file.bytes, n);
    assert_int_equal(n_whole, 0);
    for (size_t at = 0; at < file.n; at++) {
        const unsigned char right = file.bytes[at];
        static const unsigned char masks[] = {0x01, 0x04, 0x80, 0xFF};
        for (size_t i = 0; i < sizeof masks; i++) {
            file.bytes[at] = right ^ masks[i];
            n_flipped += read_damaged(file.bytes, file.n);
        }
        file.bytes[at] = right;
    }
    print_message("%s: %zu bytes; %zu of %zu flips do no harm\n", name, file.n, n_flipped, 4 * file.n);
    assert_true(n_flipped > 0 && n_flipped < 4 * file.n);
}

static void test_damage(void **state) {
    (void)state;
    check_damage("views.legacy-2.bin");
    check_damage("tied.zip-2.bin");
    check_damage("parameters.legacy-2.bin");
    check_damage("extras.legacy-5.bin");
    check_damage("views.zip-4.bin");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_no_copies),  cmocka_unit_test(test_copies_are_not_mapped),
        cmocka_unit_test(test_made),     cmocka_unit_test(test_dicts),      cmocka_unit_test(test_storages),
        cmocka_unit_test(test_expanded), cmocka_unit_test(test_containers), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests_name("torch files", tests, NULL, NULL);
}
