/* unit_checkpoint.c - the weights of a folder: one file, several with an index, and folders that hold something else.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include <jansson.h>
#include <sys/wait.h>

#include "store/checkpoint.h"

#define INDEX       "model.safetensors.index.json"
#define TORCH_INDEX "pytorch_model.bin.index.json"
#define GOLDEN      TERN_TEST_DATA "/golden/torch/"

/* Write tensors of one F32 element each; its value is the first letter of its name. */
static size_t write_weights(const test_folder *folder, const char *name, const char *const *tensor_names, size_t n) {
    tern_tensor tensors[8];
    float values[8];
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)tensor_names[i][0];
        tensors[i] = (tern_tensor){.name = tensor_names[i], .dtype = TERN_DTYPE_F32, .data = &values[i]};
    }
    test_path path = test_path_of(folder, name);
    tern_error err;
    struct stat facts;
    if (tern_safetensors_save(path.text, tensors, n, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(stat(path.text, &facts), 0);
    return (size_t)facts.st_size;
}

static void write_text(const test_folder *folder, const char *name, const char *text) { test_file_write(folder, name, text, strlen(text)); }

static void check_refused(const test_folder *folder, tern_status code, const char *message) {
    tern_checkpoint *checkpoint;
    tern_error err;
    check_failed(tern__checkpoint_open(&checkpoint, folder->path, &err), code, &err, message);
    assert_null(checkpoint);
    assert_int_equal(tern__checkpoint_open(&checkpoint, folder->path, NULL), code);
}

static tern_checkpoint *open_checked(const test_folder *folder, const char *const *names, size_t n, size_t bytes) {
    tern_checkpoint *checkpoint;
    tern_error err;
    if (tern__checkpoint_open(&checkpoint, folder->path, &err) != TERN_OK) fail_msg("%s", err.message);
    assert_int_equal(tern__checkpoint_count(checkpoint), n);
    assert_int_equal(tern__checkpoint_bytes(checkpoint), bytes);
    for (size_t i = 0; i < n; i++) {
        const tern_tensor *tensor = tern__checkpoint_get(checkpoint, i);
        float value;
        assert_string_equal(tensor->name, names[i]);
        memcpy(&value, tensor->data, sizeof value);
        assert_true(value == (float)names[i][0]);
        assert_ptr_equal(tern__checkpoint_find(checkpoint, names[i]), tensor);
        assert_int_equal(tern__checkpoint_index(checkpoint, tensor), i);
    }
    assert_null(tern__checkpoint_get(checkpoint, n));
    assert_null(tern__checkpoint_find(checkpoint, "not there"));
    return checkpoint;
}

static void test_single(void **state) {
    const test_folder *folder = *state;
    static const char *const names[] = {"c", "a", "b"};
    size_t bytes = write_weights(folder, "model.safetensors", names, 3);
    write_text(folder, INDEX, "not read when there is a single file");
    tern__checkpoint_close(open_checked(folder, names, 3, bytes));
    tern__checkpoint_close(NULL);
}

static const char *const first_names[] = {"c", "a"}, *const second_names[] = {"d", "b"};
static const char first_file[] = "model-00001-of-00002.safetensors", second_file[] = "model-00002-of-00002.safetensors";

static size_t write_two(const test_folder *folder) {
    return write_weights(folder, first_file, first_names, 2) + write_weights(folder, second_file, second_names, 2);
}

static void test_index(void **state) {
    const test_folder *folder = *state;
    static const char *const names[] = {"d", "b", "c", "a"};
    size_t bytes = write_two(folder);
    write_text(folder, INDEX,
               "{\"metadata\": {\"total_size\": 16}, \"weight_map\": {\"b\": \"model-00002-of-00002.safetensors\","
               " \"a\": \"model-00001-of-00002.safetensors\", \"c\": \"model-00001-of-00002.safetensors\","
               " \"d\": \"model-00002-of-00002.safetensors\"}}");
    tern__checkpoint_close(open_checked(folder, names, 4, bytes));
}

/* A hub cache holds links to files elsewhere, and a folder may have folders. */
static void test_index_links(void **state) {
    const test_folder *folder = *state;
    assert_int_equal(mkdir(test_path_of(folder, "snapshot").text, 0755), 0);
    assert_int_equal(mkdir(test_path_of(folder, "snapshot/parts").text, 0755), 0);
    size_t bytes = write_two(folder);
    assert_int_equal(symlink("../model-00001-of-00002.safetensors", test_path_of(folder, "snapshot/one.safetensors").text), 0);
    assert_int_equal(symlink("../../model-00002-of-00002.safetensors", test_path_of(folder, "snapshot/parts/..two").text), 0);
    write_text(
        folder, "snapshot/" INDEX,
        "{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"./parts/..two\", \"c\": \"one.safetensors\", \"d\": \"./parts/..two\"}}");
    test_folder snapshot;
    snprintf(snapshot.path, sizeof snapshot.path, "%.40s/snapshot", folder->path);
    static const char *const names[] = {"c", "a", "d", "b"};
    tern__checkpoint_close(open_checked(&snapshot, names, 4, bytes));
}

static void test_bad_index(void **state) {
    const test_folder *folder = *state;
    write_two(folder);
    static const struct {
        const char *index;
        tern_status code;
        const char *message;
    } cases[] = {
        {"{\n  \"weight_map\": {\n    \"a\" \"b\"}}", TERN_E_FORMAT, INDEX ": line 3, column 9: expected ':'"},
        {"{}", TERN_E_FORMAT, INDEX ": has no object \"weight_map\""},
        {"[]", TERN_E_FORMAT, INDEX ": has no object \"weight_map\""},
        {"{\"weight_map\": {\"a\": 1}}", TERN_E_FORMAT, "the file of \"a\" must be a string"},
        {"{\"weight_map\": {\"a\": \"\"}}", TERN_E_FORMAT, "the file of \"a\", \"\", is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", TERN_E_FORMAT, "\"/etc/passwd\", is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"..\"}}", TERN_E_FORMAT, "\"..\", is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"../x.safetensors\"}}", TERN_E_FORMAT, "\"../x.safetensors\", is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"x/../../y.safetensors\"}}", TERN_E_FORMAT, "is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"x\\u0000y\"}}", TERN_E_FORMAT, "is not inside the folder"},
        {"{\"weight_map\": {\"a\": \"gone.safetensors\"}}", TERN_E_IO, "gone.safetensors: cannot be opened: No such file"},
        {"{\"weight_map\": {\"a\": \"" INDEX "\"}}", TERN_E_FORMAT, INDEX ": header length"},
        {"{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"model-00001-of-00002.safetensors\","
         " \"x\": \"model-00001-of-00002.safetensors\"}}",
         TERN_E_WEIGHTS,
         INDEX ": 3 tensors are not where the index says:\n"
               "  listed, but not in \"model-00001-of-00002.safetensors\": \"b\"\n"
               "  listed, but not in \"model-00001-of-00002.safetensors\": \"x\"\n"
               "  in \"model-00001-of-00002.safetensors\", but not listed there: \"c\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(folder, INDEX, cases[i].index);
        check_refused(folder, cases[i].code, cases[i].message);
    }
}

/* One name in two files is an error whichever of them the index names. */
static void test_duplicate(void **state) {
    const test_folder *folder = *state;
    write_weights(folder, "1.safetensors", (const char *const[]){"a", "b"}, 2);
    write_weights(folder, "2.safetensors", (const char *const[]){"b", "c"}, 2);
    write_text(folder, INDEX, "{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\", \"c\": \"2.safetensors\"}}");
    check_refused(folder, TERN_E_WEIGHTS, "1 tensors are not where the index says:\n  in \"1.safetensors\", but not listed there: \"b\"");
}

/* ---- pytorch_model.bin ---- */

static size_t copy_golden(const test_folder *folder, const char *name, const char *golden) {
    static unsigned char bytes[1 << 16];
    char path[512];
    snprintf(path, sizeof path, GOLDEN "%s", golden);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    const size_t n = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    assert_true(n > 0 && n < sizeof bytes);
    test_file_write(folder, name, bytes, n);
    return n;
}

/* The folder has the tensors of these golden files, each the same bytes. */
static void check_golden(const test_folder *folder, const char *const *names, size_t n_names, size_t n_bytes) {
    tern_checkpoint *checkpoint;
    tern_error err;
    if (tern__checkpoint_open(&checkpoint, folder->path, &err) != TERN_OK) fail_msg("%s", err.message);
    size_t n = 0;
    for (size_t f = 0; f < n_names; f++) {
        char path[512];
        tern_safetensors *expected;
        snprintf(path, sizeof path, GOLDEN "%s.safetensors", names[f]);
        assert_int_equal(tern_safetensors_open(&expected, path, NULL), TERN_OK);
        for (size_t i = 0; i < tern_safetensors_count(expected); i++) {
            const tern_tensor *other = tern_safetensors_get(expected, i), *tensor = tern__checkpoint_find(checkpoint, other->name);
            assert_non_null(tensor);
            assert_int_equal(tensor->dtype, other->dtype);
            assert_memory_equal(tensor->shape, other->shape, sizeof tensor->shape);
            assert_memory_equal(tensor->data, other->data, (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype));
            assert_ptr_equal(tern__checkpoint_get(checkpoint, tern__checkpoint_index(checkpoint, tensor)), tensor);
            n++;
        }
        tern_safetensors_close(expected);
    }
    assert_int_equal(tern__checkpoint_count(checkpoint), n);
    assert_int_equal(tern__checkpoint_bytes(checkpoint), n_bytes);
    tern__checkpoint_close(checkpoint);
}

/* Of several formats the first of safetensors, its index, pytorch_model.bin, its index is read. */
static void test_order(void **state) {
    const test_folder *folder = *state;
    static const char *const names[] = {"dtypes"};
    write_text(folder, TORCH_INDEX, "not an index");
    write_text(folder, "model.onnx", "");
    check_refused(folder, TERN_E_FORMAT, TORCH_INDEX ": line 1");
    write_text(folder, "pytorch_model.bin", "not of torch.save");
    check_refused(folder, TERN_E_FORMAT, "/pytorch_model.bin: is not of torch.save: neither a zip file nor a pickle");
    const size_t n_bytes = copy_golden(folder, "pytorch_model.bin", "dtypes.legacy-2.bin");
    check_golden(folder, names, 1, n_bytes);
    write_text(folder, INDEX, "not an index");
    check_refused(folder, TERN_E_FORMAT, "/" INDEX ": line 1");
    write_text(folder, "model.safetensors", "not a safetensors file");
    check_refused(folder, TERN_E_FORMAT, "/model.safetensors: header length");
}

/* The shards may be in both containers. */
static void test_torch_index(void **state) {
    const test_folder *folder = *state;
    static const char *const names[] = {"tied", "module"};
    json_t *weight_map = json_object();
    size_t n_bytes = copy_golden(folder, "pytorch_model-00001-of-00002.bin", "tied.zip-2.bin");
    n_bytes += copy_golden(folder, "pytorch_model-00002-of-00002.bin", "module.legacy-2.bin");
    for (size_t f = 0; f < 2; f++) {
        char path[512], shard[64];
        tern_safetensors *golden;
        snprintf(path, sizeof path, GOLDEN "%s.safetensors", names[f]);
        snprintf(shard, sizeof shard, "pytorch_model-0000%zu-of-00002.bin", f + 1);
        assert_int_equal(tern_safetensors_open(&golden, path, NULL), TERN_OK);
        for (size_t i = 0; i < tern_safetensors_count(golden); i++)
            json_object_set_new(weight_map, tern_safetensors_get(golden, i)->name, json_string(shard));
        tern_safetensors_close(golden);
    }
    json_t *index = json_pack("{s:o}", "weight_map", weight_map);
    assert_int_equal(json_dump_file(index, test_path_of(folder, TORCH_INDEX).text, 0), 0);
    check_golden(folder, names, 2, n_bytes);

    json_object_set_new(weight_map, "encoder.weight", json_string("pytorch_model-00002-of-00002.bin"));
    assert_int_equal(json_dump_file(index, test_path_of(folder, TORCH_INDEX).text, 0), 0);
    check_refused(folder, TERN_E_WEIGHTS,
                  TORCH_INDEX ": 2 tensors are not where the index says:\n"
                              "  listed, but not in \"pytorch_model-00002-of-00002.bin\": \"encoder.weight\"\n"
                              "  in \"pytorch_model-00001-of-00002.bin\", but not listed there: \"encoder.weight\"");
    json_object_set_new(weight_map, "encoder.weight", json_string("../pytorch_model.bin"));
    assert_int_equal(json_dump_file(index, test_path_of(folder, TORCH_INDEX).text, 0), 0);
    check_refused(folder, TERN_E_FORMAT, "\"../pytorch_model.bin\", is not inside the folder");
    json_decref(index);
}

/* A long list is cut at a whole line, and the rest is counted. */
static void test_long_list(void **state) {
    const test_folder *folder = *state;
    char index[20000] = "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"";
    write_two(folder);
    for (int i = 0; i < 200; i++) {
        size_t n = strlen(index);
        snprintf(index + n, sizeof index - n, ", \"x%03d\": \"model-00001-of-00002.safetensors\"", i);
    }
    strcat(index, "}}");
    write_text(folder, INDEX, index);
    tern_checkpoint *checkpoint;
    tern_error err;
    assert_int_equal(tern__checkpoint_open(&checkpoint, folder->path, &err), TERN_E_WEIGHTS);
    int shown = 0, rest = 0;
    for (const char *at = err.message; (at = strstr(at, "\n  listed, but")); at++) shown++;
    const char *more = strstr(err.message, "\n  and ");
    assert_non_null(more);
    assert_int_equal(sscanf(more, "\n  and %d more", &rest), 1);
    assert_int_equal(shown + rest, 201);
    assert_true(shown >= 20);
}

static void test_broken_file(void **state) {
    const test_folder *folder = *state;
    write_text(folder, "model.safetensors", "not a safetensors file");
    check_refused(folder, TERN_E_FORMAT, "/model.safetensors: header length");
}

static void test_no_weights(void **state) {
    const test_folder *folder = *state;
    check_refused(folder, TERN_E_IO, "has no weights; Tern reads model.safetensors, pytorch_model.bin, or the shards that the .index.json");
    write_text(folder, "config.json", "{}");
    check_refused(folder, TERN_E_IO, "has no weights");
    write_text(folder, "tf_model.h5", "");
    check_refused(folder, TERN_E_UNSUPPORTED, "has no weights in a format that Tern reads, which are model.safetensors, pytorch_model.bin");
    check_refused(folder, TERN_E_UNSUPPORTED, "of either lists, but:\n  \"tf_model.h5\"");
    write_text(folder, "flax_model.msgpack", "");
    write_text(folder, "model.onnx", "");
    write_text(folder, "model-q4.gguf", "");
    check_refused(folder, TERN_E_UNSUPPORTED, "but:\n  \"flax_model.msgpack\"\n  \"model-q4.gguf\"\n  \"model.onnx\"\n  \"tf_model.h5\"");
    test_folder absent;
    snprintf(absent.path, sizeof absent.path, "%.40s/absent", folder->path);
    check_refused(&absent, TERN_E_IO, "/absent: cannot be read: No such file or directory");
    snprintf(absent.path, sizeof absent.path, "%.40s/config.json", folder->path);
    check_refused(&absent, TERN_E_IO, "/config.json: cannot be read: Not a directory");
}

/* In a child that is nobody, since root may read everything. */
static void test_no_permission(void **state) {
    const test_folder *folder = *state;
    write_weights(folder, "model.safetensors", first_names, 2);
    assert_int_equal(chmod(folder->path, geteuid() == 0 ? 0700 : 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        tern_checkpoint *checkpoint;
        tern_error err;
        if (geteuid() == 0 && setuid(65534) != 0) _exit(10);
        if (tern__checkpoint_open(&checkpoint, folder->path, &err) != TERN_E_IO) _exit(11);
        _exit(strstr(err.message, "model.safetensors: cannot be opened: Permission denied") ? 0 : 12);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(chmod(folder->path, 0700), 0);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_folder_setup, test_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_single),        TEST(test_index),     TEST(test_index_links), TEST(test_bad_index),
        TEST(test_duplicate),     TEST(test_long_list), TEST(test_broken_file), TEST(test_no_weights),
        TEST(test_no_permission), TEST(test_order),     TEST(test_torch_index),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
