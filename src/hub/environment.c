/* environment.c - huggingface_hub's environment variables as options; the only place of the library that reads the environment for them.
 * source: huggingface_hub 2.4's constants.py and _auth.py. Their expansion of $NAME in paths is not done; that of ~ is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum { DEFAULT_TIMEOUT_S = 10, MAX_TIMEOUT_S = 86400 };

/* NULL when it is not set, or empty. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static bool is_true(const char *value) {
    static const char *const words[] = {"1", "on", "yes", "true"};
    for (size_t i = 0; value && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(value, words[i]) == 0) return true;
    return false;
}

static tern_status fail_environment_memory(tern_error *err) {
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the settings of the hub");
}

/* "<folder>/<name>" with ~ expanded. */
static tern_status make_path(const char **out, tern_arena *arena, const char *folder, const char *name, tern_error *err) {
    const char *home = "";
    if (folder[0] == '~' && (folder[1] == '/' || folder[1] == '\0')) {
        home = variable("HOME");
        if (!home)
            return TERN_FAIL(err, TERN_E_CONFIG, "HOME is not set, so there is no place for the hub's cache: set HF_HUB_CACHE to a folder");
        folder++;
    }
    *out = tern__arena_format(arena, "%s%s%s%s", home, folder, name[0] ? "/" : "", name);
    return *out ? TERN_OK : fail_environment_memory(err);
}

/* HF_HOME, else where programs keep their caches. */
static tern_status find_home(const char **out, tern_arena *arena, tern_error *err) {
    const char *home = variable("HF_HOME"), *caches = variable("XDG_CACHE_HOME");
    if (home) return make_path(out, arena, home, "", err);
    return make_path(out, arena, caches ? caches : "~/.cache", "huggingface", err);
}

static tern_status find_cache(const char **out, tern_arena *arena, tern_error *err) {
    const char *cache = variable("HF_HUB_CACHE");
    if (!cache) cache = variable("HUGGINGFACE_HUB_CACHE");
    if (cache) return make_path(out, arena, cache, "", err);
    const char *home;
    TERN_TRY(find_home(&home, arena, err));
    return make_path(out, arena, home, "hub", err);
}

/* A token without the white space around it; NULL when nothing is left. */
static tern_status keep_token(const char **out, tern_arena *arena, const char *text, tern_error *err) {
    static const char space[] = " \t\r\n";
    text += strspn(text, space);
    size_t n = strlen(text);
    while (n > 0 && strchr(space, text[n - 1])) n--;
    if (n == 0) return TERN_OK;
    *out = tern__arena_copy(arena, text, n);
    return *out ? TERN_OK : fail_environment_memory(err);
}

static tern_status find_token(const char **out, tern_arena *arena, tern_error *err) {
    if (is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return TERN_OK;
    const char *token = variable("HF_TOKEN");
    if (!token) token = variable("HUGGING_FACE_HUB_TOKEN");
    if (token) return keep_token(out, arena, token, err);
    const char *path = variable("HF_TOKEN_PATH"), *home;
    if (path) {
        TERN_TRY(make_path(&path, arena, path, "", err));
    } else {
        TERN_TRY(find_home(&home, arena, err));
        TERN_TRY(make_path(&path, arena, home, "token", err));
    }
    if (!tern__file_exists(path)) return TERN_OK;
    char *text;
    size_t n;
    TERN_TRY(tern__file_read(&text, &n, path, 1 << 16, err));
    tern_status status = keep_token(out, arena, text, err);
    free(text);
    return status;
}

static tern_status find_timeout(int *out, const char *name, tern_error *err) {
    const char *value = variable(name);
    if (!value) return TERN_OK;
    char *end;
    errno = 0;
    long seconds = strtol(value, &end, 10);
    if (*end != '\0' || errno != 0 || seconds < 1 || seconds > MAX_TIMEOUT_S)
        return TERN_FAIL(err, TERN_E_CONFIG, "%s: not a number of seconds in 1 ... %d: \"%.40s\"", name, MAX_TIMEOUT_S, value);
    *out = (int)seconds;
    return TERN_OK;
}

static tern_status find_endpoint(const char **out, tern_arena *arena, tern_error *err) {
    const char *endpoint = variable("HF_ENDPOINT");
    if (!endpoint) return TERN_OK;
    *out = tern__arena_copy(arena, endpoint, strlen(endpoint));
    return *out ? TERN_OK : fail_environment_memory(err);
}

tern_hub_options tern_hub_options_default(void) {
    return (tern_hub_options){
        .size = sizeof(tern_hub_options), .etag_timeout_s = DEFAULT_TIMEOUT_S, .download_timeout_s = DEFAULT_TIMEOUT_S};
}

tern_status tern_hub_options_from_environment(tern_hub_options *out, tern_error *err) {
    *out = tern_hub_options_default();
    tern_arena *arena = tern__alloc_zero(1, sizeof *arena);
    if (!arena) return fail_environment_memory(err);
    out->storage = arena;
    const char *offline = variable("HF_HUB_OFFLINE");
    out->offline = is_true(offline ? offline : variable("TRANSFORMERS_OFFLINE"));
    tern_status status = find_cache(&out->cache_folder, arena, err);
    if (status == TERN_OK) status = find_endpoint(&out->endpoint, arena, err);
    if (status == TERN_OK) status = find_token(&out->token, arena, err);
    if (status == TERN_OK) status = find_timeout(&out->etag_timeout_s, "HF_HUB_ETAG_TIMEOUT", err);
    if (status == TERN_OK) status = find_timeout(&out->download_timeout_s, "HF_HUB_DOWNLOAD_TIMEOUT", err);
    if (status != TERN_OK) tern_hub_options_free(out);
    return status;
}

void tern_hub_options_free(tern_hub_options *options) {
    if (!options) return;
    if (options->storage) tern__arena_free(options->storage);
    free(options->storage);
    *options = tern_hub_options_default();
}
