/* unit_hub_cache.c - finding a repository in a cache that this test lays out by hand; links, refs and locks. Nothing is asked of a network.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"
#include "hub/cache.h"

#define COMMIT   "0123456789abcdef0123456789abcdef01234567"
#define SNAPSHOT "hub/models--org--name/snapshots/" COMMIT "/"
#define NO_EXIST "hub/models--org--name/.no_exist/" COMMIT "/"
#define TREE     "hub/models--org--name/trees/" COMMIT ".json"

/* A file with the folders it needs. */
static void put(const test_folder *folder, const char *name, const char *text) {
    test_path path = test_path_of(folder, name);
    assert_int_equal(tern__file_make_folders(path.text, NULL), TERN_OK);
    test_file_write(folder, name, text, strlen(text));
}

static void take_away(const test_folder *folder, const char *name) { assert_int_equal(unlink(test_path_of(folder, name).text), 0); }

static test_path cache_path;

static tern_hub_options options_of(const test_folder *folder) {
    tern_hub_options options = tern_hub_options_default();
    cache_path = test_path_of(folder, "hub");
    options.cache_folder = cache_path.text;
    options.offline = true;
    return options;
}

/* tern_hub_find succeeds, or fails and says this. */
static void check_find(const test_folder *folder, const tern_hub_options *options, const char *problem) {
    tern_error err;
    char *found;
    tern_status status = tern_hub_find(&found, "org/name", options, &err);
    if (problem) {
        check_failed(status, TERN_E_IO, &err, problem);
        assert_null(found);
        return;
    }
    if (status != TERN_OK) fail_msg("not found: %s", err.message);
    assert_string_equal(found, test_path_of(folder, "hub/models--org--name/snapshots/" COMMIT).text);
    tern_free(found);
}

static const char *const tokenizer_names[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",     "tokenizer.model",       "sentencepiece.bpe.model", "spiece.model"};

static void mark_absent(const test_folder *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, NO_EXIST "%s", name);
    put(folder, path, "");
}

/* A model that is whole, as .no_exist knows. */
static void put_model(const test_folder *folder) {
    put(folder, "hub/models--org--name/refs/main", COMMIT);
    put(folder, SNAPSHOT "config.json", "{}");
    put(folder, SNAPSHOT "vocab.txt", "a\n");
    put(folder, SNAPSHOT "model.safetensors", "x");
    for (size_t i = 0; i < sizeof tokenizer_names / sizeof *tokenizer_names; i++) mark_absent(folder, tokenizer_names[i]);
    mark_absent(folder, "modules.json");
    mark_absent(folder, "sentence_bert_config.json");
}

static void test_find(void **state) {
    const test_folder *folder = *state;
    tern_hub_options options = options_of(folder);
    check_find(folder, &options, "is not in the cache");
    put_model(folder);
    check_find(folder, &options, NULL);
    options.revision = COMMIT;
    check_find(folder, &options, NULL);
    options.revision = "v1";
    check_find(folder, &options, "revision \"v1\" is not in the cache");
    put(folder, "hub/models--org--name/refs/v1", COMMIT "\n");
    check_find(folder, &options, NULL);
    put(folder, "hub/models--org--name/refs/v1", "../../../etc");
    check_find(folder, &options, "not in the cache");
    put(folder, "hub/models--org--name/refs/v1", "");
    check_find(folder, &options, "not in the cache");
    options.revision = NULL;
    take_away(folder, SNAPSHOT "model.safetensors");
    check_find(folder, &options, "lacks model.safetensors");
    options.tokenizer_only = true;
    check_find(folder, &options, NULL);
    take_away(folder, SNAPSHOT "vocab.txt");
    check_find(folder, &options, "lacks vocab.txt");
    mark_absent(folder, "vocab.txt");
    check_find(folder, &options, NULL);
    assert_int_equal(symlink("../../blobs/gone", test_path_of(folder, SNAPSHOT "vocab.txt").text), 0);
    take_away(folder, NO_EXIST "vocab.txt");
    check_find(folder, &options, "lacks vocab.txt"); /* a link that leads nowhere is no file */
}

static void test_find_weights(void **state) {
    const test_folder *folder = *state;
    const tern_hub_options options = options_of(folder);
    put_model(folder);
    take_away(folder, SNAPSHOT "model.safetensors");
    put(folder, SNAPSHOT "model.safetensors.index.json",
        "{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\", \"c\": 3}}");
    check_find(folder, &options, "lacks 1.safetensors and 1 more");
    put(folder, SNAPSHOT "1.safetensors", "");
    check_find(folder, &options, "lacks 2.safetensors");
    put(folder, SNAPSHOT "2.safetensors", "");
    check_find(folder, &options, NULL);
    take_away(folder, SNAPSHOT "model.safetensors.index.json");
    put(folder, SNAPSHOT "pytorch_model.bin", "");
    check_find(folder, &options, "model.safetensors"); /* there might be safetensors, which go before */
    mark_absent(folder, "model.safetensors");
    mark_absent(folder, "model.safetensors.index.json");
    check_find(folder, &options, NULL);
    take_away(folder, SNAPSHOT "pytorch_model.bin");
    check_find(folder, &options, "lacks pytorch_model.bin");
    mark_absent(folder, "pytorch_model.bin");
    mark_absent(folder, "pytorch_model.bin.index.json");
    check_find(folder, &options, NULL);
    take_away(folder, NO_EXIST "pytorch_model.bin.index.json");
    put(folder, SNAPSHOT "pytorch_model.bin.index.json", "{\"weight_map\": {\"a\": \"../../../../secret\"}}");
    tern_error err;
    char *found;
    check_failed(tern_hub_find(&found, "org/name", &options, &err), TERN_E_FORMAT, &err, "outside the repository");
    put(folder, SNAPSHOT "pytorch_model.bin.index.json", "{\"weight_map\": 7}");
    check_find(folder, &options, NULL);
    put(folder, SNAPSHOT "pytorch_model.bin.index.json", "not JSON");
    check_failed(tern_hub_find(&found, "org/name", &options, &err), TERN_E_FORMAT, &err, "pytorch_model.bin.index.json");
}

static void test_find_modules(void **state) {
    const test_folder *folder = *state;
    const tern_hub_options options = options_of(folder);
    put_model(folder);
    take_away(folder, NO_EXIST "modules.json");
    check_find(folder, &options, "lacks modules.json");
    put(folder, SNAPSHOT "modules.json", "[{\"path\": \"\"}, {\"path\": \"1_Pooling\"}, 5, {\"path\": 6}]");
    check_find(folder, &options, "1_Pooling/config.json and 4 more");
    mark_absent(folder, "config_sentence_transformers.json");
    check_find(folder, &options, "1_Pooling/config.json and 3 more");
    put(folder, SNAPSHOT "1_Pooling/config.json", "{}");
    static const char *const absent[] = {"sentence_bert_config.json", "model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        char name[64];
        check_find(folder, &options, "lacks 1_Pooling/");
        snprintf(name, sizeof name, "1_Pooling/%s", absent[i]);
        mark_absent(folder, name);
    }
    check_find(folder, &options, NULL);
    put(folder, SNAPSHOT "modules.json", "[{\"path\": \"../up\"}]");
    tern_error err;
    char *found;
    check_failed(tern_hub_find(&found, "org/name", &options, &err), TERN_E_FORMAT, &err, "outside the repository: \"../up\"");
}

static void test_find_with_tree(void **state) {
    const test_folder *folder = *state;
    tern_hub_options options = options_of(folder);
    static const char tree[] =
        "{\"format_version\": 1, \"files\": {\"config.json\": {}, \"vocab.txt\": {}, \"model.safetensors\": {}, \"README.md\": {},"
        "\"extra.json\": {}, \"onnx/model.onnx\": {}}}";
    put(folder, "hub/models--org--name/refs/main", COMMIT);
    put(folder, SNAPSHOT "config.json", "{}");
    put(folder, SNAPSHOT "vocab.txt", "a\n");
    put(folder, SNAPSHOT "model.safetensors", "x");
    check_find(folder, &options, "more");
    put(folder, TREE, tree);
    check_find(folder, &options, "lacks extra.json");
    put(folder, SNAPSHOT "extra.json", "{}");
    check_find(folder, &options, NULL);
    const char *const patterns[] = {"*.onnx", "config.json"};
    options.include = patterns;
    options.n_include = 2;
    check_find(folder, &options, "lacks onnx/model.onnx");
    put(folder, SNAPSHOT "onnx/model.onnx", "");
    check_find(folder, &options, NULL);
    put(folder, TREE, "{\"format_version\": 9}"); /* of a later library: as good as none */
    check_find(folder, &options, "lacks *.onnx");
    options.include = patterns + 1;
    options.n_include = 1;
    check_find(folder, &options, NULL);
    options.n_include = 0;
    options.include = NULL;
    check_find(folder, &options, "lacks");
    tern_error err;
    char *found;
    assert_int_equal(tern_hub_pull(&found, "org/name", &options, &err), TERN_OK); /* offline: a config and weights will do */
    tern_free(found);
    take_away(folder, SNAPSHOT "model.safetensors");
    check_failed(tern_hub_pull(&found, "org/name", &options, &err), TERN_E_IO, &err, "offline mode is on");
    assert_null(found);
}

static void test_arguments(void **state) {
    const test_folder *folder = *state;
    tern_error err;
    char *found = NULL;
    tern_hub_options good = options_of(folder), options;
    check_failed(tern_hub_find(&found, "a/b/c", &good, &err), TERN_E_ARGUMENT, &err, "not a repository id");
    check_failed(tern_hub_pull(&found, "a\n\x1b", &good, &err), TERN_E_ARGUMENT, &err, "\"a??\" is not a repository id");
    check_failed(tern_hub_find(&found, "a", NULL, &err), TERN_E_ARGUMENT, &err, "tern_hub_options_default()");
    options = good, options.size--;
    check_failed(tern_hub_find(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "size");
    options = good, options.cache_folder = NULL;
    check_failed(tern_hub_find(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "cache_folder");
    options = good, options.revision = "../x";
    check_failed(tern_hub_find(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "\"../x\"");
    options = good, options.token = "a\r\nHost: b";
    check_failed(tern_hub_find(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "token");
    options = good, options.download_timeout_s = 0;
    check_failed(tern_hub_find(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "timeout");
    options = good, options.endpoint = "gopher://x", options.offline = false;
    check_failed(tern_hub_pull(&found, "a", &options, &err), TERN_E_ARGUMENT, &err, "gopher");
    tern_hub_options_free(NULL);
}

static void test_links_and_refs(void **state) {
    const test_folder *folder = *state;
    tern_hub_cache cache;
    tern_error err;
    char text[256] = "";
    assert_int_equal(tern__hub_cache_open(&cache, test_path_of(folder, "hub").text, "org/name", &err), TERN_OK);
    put(folder, "hub/models--org--name/blobs/abc", "blob");
    for (int i = 0; i < 2; i++) { /* the second time it is there */
        assert_int_equal(tern__hub_cache_link(&cache, COMMIT, "a/b/c.json", "abc", &err), TERN_OK);
        assert_int_equal(readlink(test_path_of(folder, SNAPSHOT "a/b/c.json").text, text, sizeof text - 1),
                         strlen("../../../../blobs/abc"));
        assert_string_equal(text, "../../../../blobs/abc");
    }
    assert_int_equal(symlink("../../blobs/gone", test_path_of(folder, SNAPSHOT "d").text), 0);
    assert_int_equal(tern__hub_cache_link(&cache, COMMIT, "d", "abc", &err), TERN_OK);
    assert_int_equal(access(test_path_of(folder, SNAPSHOT "d").text, R_OK), 0); /* a dead link is replaced */
    put(folder, SNAPSHOT "file", "mine");
    assert_int_equal(tern__hub_cache_link(&cache, COMMIT, "file", "abc", &err), TERN_OK);
    struct stat facts;
    assert_int_equal(lstat(test_path_of(folder, SNAPSHOT "file").text, &facts), 0);
    assert_true(S_ISREG(facts.st_mode)); /* a copy, as caches without links have it, stays */
    check_failed(tern__hub_cache_link(&cache, COMMIT, "file/below", "abc", &err), TERN_E_IO, &err, "cannot be made");
    char commit[TERN_HUB_COMMIT_DIGITS + 1];
    bool is_known;
    assert_int_equal(tern__hub_cache_write_ref(&cache, "refs/pr/1", COMMIT, &err), TERN_OK);
    assert_int_equal(tern__hub_cache_find_commit(commit, &is_known, &cache, "refs/pr/1", &err), TERN_OK);
    assert_true(is_known);
    assert_string_equal(commit, COMMIT);
    assert_int_equal(tern__hub_cache_write_ref(&cache, COMMIT, COMMIT, &err), TERN_OK); /* a commit needs no ref */
    assert_false(tern__file_exists(test_path_of(folder, "hub/models--org--name/refs/" COMMIT).text));
    tern__hub_cache_close(&cache);
    assert_int_equal(tern__hub_cache_open(&cache, "/c//", "bare", &err), TERN_OK);
    assert_string_equal(cache.repository, "/c/models--bare");
    assert_string_equal(cache.locks, "/c/.locks/models--bare");
    tern__hub_cache_close(&cache);
}

static void test_locks(void **state) {
    const test_folder *folder = *state;
    test_path path = test_path_of(folder, "x.lock");
    tern_error err;
    int first, second;
    assert_int_equal(tern__hub_lock(&first, path.text, &err), TERN_OK);
    assert_true(first >= 0);
    assert_int_equal(tern__hub_lock(&second, path.text, &err), TERN_OK);
    assert_int_equal(second, -1);
    close(first);
    int other = open(path.text, O_RDWR); /* as filelock takes it */
    assert_true(other >= 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
    assert_int_equal(tern__hub_lock(&second, path.text, &err), TERN_OK);
    assert_int_equal(second, -1);
    close(other);
    assert_int_equal(tern__hub_lock(&second, path.text, &err), TERN_OK);
    assert_true(second >= 0);
    close(second);
    assert_int_equal(symlink("x.lock", test_path_of(folder, "link.lock").text), 0);
    check_failed(tern__hub_lock(&second, test_path_of(folder, "link.lock").text, &err), TERN_E_IO, &err, "link.lock");
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, test_folder_setup, test_folder_teardown)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_find),      WITH_FOLDER(test_find_weights),   WITH_FOLDER(test_find_modules), WITH_FOLDER(test_find_with_tree),
        WITH_FOLDER(test_arguments), WITH_FOLDER(test_links_and_refs), WITH_FOLDER(test_locks),
    };
    return cmocka_run_group_tests_name("hub cache", tests, NULL, NULL);
}
