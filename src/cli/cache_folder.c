/* cache_folder.c - see cache_folder.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cache_folder.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *tern__cli_cache_folder(void) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool has_cache = cache != NULL && cache[0] == '/'; /* the XDG specification: others are to be ignored */
    if (!has_cache && (home == NULL || home[0] != '/')) return NULL;
    const char *base = has_cache ? cache : home, *rest = has_cache ? "/tern" : "/.cache/tern";
    const size_t bytes = strlen(base) + strlen(rest) + 1;
    char *folder = malloc(bytes);
    if (folder != NULL) snprintf(folder, bytes, "%s%s", base, rest);
    return folder;
}
