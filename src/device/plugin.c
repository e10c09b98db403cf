/* plugin.c - finding and opening libtern_<name>.
 * SPDX-License-Identifier: Apache-2.0 */
#include "device/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* The file that holds libtern: the shared library, or the program that it is linked into. Free with free(); NULL: not known. */
static char *own_file(void) {
    Dl_info info;
    if (dladdr(TERN_DEVICE_PLUGIN_SYMBOL, &info) == 0 || info.dli_fname == NULL) return NULL;
    char *path = strchr(info.dli_fname, '/') != NULL ? realpath(info.dli_fname, NULL) : NULL;
    if (path != NULL) return path;
    return realpath("/proc/self/exe", NULL); /* the loader names a program as it was called, in PATH or before chdir */
}

/* *path: folder/subfolder/file when it is there, else NULL. */
static tern_status look_in(char **path, const char *folder, const char *subfolder, const char *file, tern_error *err) {
    *path = NULL;
    char *inner = tern__path_join(folder, subfolder), *whole = inner != NULL ? tern__path_join(inner, file) : NULL;
    free(inner);
    if (whole == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(subfolder) + strlen(file) + 3);
    if (tern__file_exists(whole)) *path = whole;
    else free(whole);
    return TERN_OK;
}

static tern_status find_file(char **path, const char *file, tern_error *err) {
    static const char *const subfolders[] = {".", "tern", "../lib/tern", "../" TERN_LIBDIR "/tern"};
    const char *chosen = getenv("TERN_PLUGIN_PATH");
    *path = NULL;
    if (chosen != NULL && chosen[0] != '\0') {
        TERN_TRY(look_in(path, chosen, ".", file, err));
        if (*path != NULL) return TERN_OK;
        return TERN_FAIL(err, TERN_E_DEVICE, "%.200s: no %s there, where TERN_PLUGIN_PATH says that devices are", chosen, file);
    }
    char *own = own_file(), *slash = own != NULL ? strrchr(own, '/') : NULL;
    tern_status status = TERN_OK;
    if (slash != NULL) *slash = '\0';
    for (size_t i = 0; i < sizeof subfolders / sizeof *subfolders && slash != NULL && *path == NULL && status == TERN_OK; i++)
        status = look_in(path, own, subfolders[i], file, err);
    free(own);
    if (status == TERN_OK && *path == NULL)
        status = TERN_FAIL(err, TERN_E_DEVICE, "%s is not installed; the environment's TERN_PLUGIN_PATH may name its folder", file);
    return status;
}

/* What the library exports; NULL when it is no device of Tern. */
static const tern_device_plugin_info *info_of(void *library) {
    tern_device_plugin_function *function; /* POSIX's way to a function from dlsym */
    *(void **)&function = dlsym(library, TERN_DEVICE_PLUGIN_SYMBOL);
    return function != NULL ? function() : NULL;
}

static bool is_of_this_build(const tern_device_plugin_info *info) {
    static const tern_device_contract ours = TERN_DEVICE_CONTRACT;
    return memcmp(&info->contract, &ours, sizeof ours) == 0;
}

/* Why dlopen refused it. One that lacks symbols can tell itself which library it wants, since it can be opened when they are looked up only
 * as they are called. */
static tern_status fail_to_load(const char *path, tern_error *err) {
    const char *told = dlerror();
    TERN_FAIL(err, TERN_E_DEVICE, "%.300s cannot be loaded: %.400s", path, told != NULL ? told : "no reason given");
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    const tern_device_plugin_info *info = library != NULL ? info_of(library) : NULL;
    tern_error mismatch;
    if (info != NULL && is_of_this_build(info) && info->check_libraries != NULL && info->check_libraries(&mismatch) != TERN_OK &&
        err != NULL)
        *err = mismatch;
    return TERN_E_DEVICE;
}

static tern_status open_file(const tern_device_record **out, const char *path, const char *name, tern_error *err) {
    static const tern_device_contract ours = TERN_DEVICE_CONTRACT;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return fail_to_load(path, err);
    const tern_device_plugin_info *info = info_of(library);
    if (info == NULL) return TERN_FAIL(err, TERN_E_DEVICE, "%.300s is no device of Tern: it has no %s", path, TERN_DEVICE_PLUGIN_SYMBOL);
    if (!is_of_this_build(info))
        return TERN_FAIL(err, TERN_E_DEVICE,
                         "%.300s is of another build of Tern (%u.%u.%u; this is %u.%u.%u): build both from the same sources", path,
                         info->contract.version[0], info->contract.version[1], info->contract.version[2], ours.version[0], ours.version[1],
                         ours.version[2]);
    if (strcmp(info->record->name, name) != 0)
        return TERN_FAIL(err, TERN_E_DEVICE, "%.300s holds the device \"%.40s\", not \"%s\"", path, info->record->name, name);
    if (info->check_libraries != NULL) TERN_TRY(info->check_libraries(err));
    *out = info->record;
    return TERN_OK;
}

tern_status tern__device_plugin_open(const tern_device_record **out, const char *name, tern_error *err) {
    char file[64], *path;
    *out = NULL;
    snprintf(file, sizeof file, "libtern_%.32s" TERN_PLUGIN_SUFFIX, name);
    TERN_TRY(find_file(&path, file, err));
    const tern_status status = open_file(out, path, name, err);
    free(path);
    return status;
}
