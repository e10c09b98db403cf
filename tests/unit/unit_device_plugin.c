/* unit_device_plugin.c - devices in libraries of their own: found where TERN_PLUGIN_PATH says, and refused with the reason.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "device/plugin.h"

static void use_plugins(const char *folder) { assert_int_equal(setenv("TERN_PLUGIN_PATH", folder, 1), 0); }

static void expect_refused(const char *folder, const char *part) {
    const tern_device_record *record;
    const char *unit;
    tern_error err;
    use_plugins(folder);
    check_failed(tern__device_find(&record, &unit, "cuda:1", &err), TERN_E_DEVICE, &err, part);
    assert_null(record);
}

static void test_good(void **state) {
    (void)state;
    const tern_device_record *record;
    const char *unit;
    tern_error err;
    use_plugins(TERN_TEST_PLUGINS "/good");
    if (tern__device_find(&record, &unit, "cuda:1", &err) != TERN_OK) fail_msg("%s", err.message);
    assert_string_equal(record->name, "cuda");
    assert_string_equal(unit, "1");
    assert_int_equal(tern__device_find(&record, &unit, "cuda", &err), TERN_OK);
    assert_null(unit);
}

static void test_refused(void **state) {
    (void)state;
    expect_refused(TERN_TEST_PLUGINS "/other_build", "is of another build of Tern (0.7.0; this is 0.1.0)");
    expect_refused(TERN_TEST_PLUGINS "/other_name", "holds the device \"abacus\", not \"cuda\"");
    expect_refused(TERN_TEST_PLUGINS "/no_symbol", "is no device of Tern");
    expect_refused(TERN_TEST_PLUGINS "/other_library", "made for libabacus 2, and here is 1");
    expect_refused(TERN_TEST_PLUGINS "/no_library", "made for libabacus 2, and here is 1");
    expect_refused(TERN_TEST_PLUGINS "/none", "/none: no libtern_cuda" TERN_TEST_PLUGIN_SUFFIX " there");
}

static void test_broken_file(void **state) {
    const test_folder *folder = *state;
    test_file_write(folder, "libtern_cuda" TERN_TEST_PLUGIN_SUFFIX, "no library", 10);
    expect_refused(folder->path, "cannot be loaded");
}

static void test_list(void **state) {
    (void)state;
    tern_device_info infos[5] = {0};
    use_plugins(TERN_TEST_PLUGINS "/good");
    assert_int_equal(tern_device_list(NULL, 0), 4);
    assert_int_equal(tern_device_list(infos, 2), 4);
    assert_string_equal(infos[2].name, "");
    assert_int_equal(tern_device_list(infos, 5), 4);
    assert_string_equal(infos[1].name, "cuda:0");
    assert_true(infos[1].is_present);
    assert_string_equal(infos[1].description, "unit 0");
    assert_string_equal(infos[2].name, "cuda:1");
    assert_false(infos[2].is_present);
    assert_string_equal(infos[2].reason, "unit 1");
    assert_string_equal(infos[3].name, "mlx");
    assert_false(infos[3].is_present);
    assert_non_null(strstr(infos[3].reason, "no libtern_mlx"));
    use_plugins(TERN_TEST_PLUGINS "/other_build");
    assert_int_equal(tern_device_list(infos, 5), 3);
    assert_string_equal(infos[1].name, "cuda");
    assert_non_null(strstr(infos[1].reason, "another build"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test_setup_teardown(test_broken_file, test_folder_setup, test_folder_teardown),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
