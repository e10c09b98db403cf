/* names.h - names that come from outside, checked before they become parts of a path or a URL; and outside text made fit for a message.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_NAMES_H
#define TERN_HUB_NAMES_H

#include "base/error.h"
#include "base/memory.h"

#define TERN_HUB_COMMIT_DIGITS 40

/* "NAME" or "ORG/NAME", by the rules of huggingface_hub: at most 96 characters [A-Za-z0-9._-], neither part beginning or ending in '-' or
 * '.', no "--", no "..", no ".git" at the end. */
bool tern__hub_is_repo_id(const char *text);
/* 40 lower-case hexadecimal digits. */
bool tern__hub_is_commit(const char *text);
/* A branch, tag or commit that may be a path under refs/. */
bool tern__hub_is_revision(const char *text);
/* A path of `bytes` bytes that stays in its folder: parts between single slashes, none of them "." or "..", no backslash, no control
 * character, at most 1024 bytes of UTF-8. */
bool tern__hub_is_path(const char *text, size_t bytes);
/* What may name a blob: [A-Za-z0-9._-], 1 to 128 characters, not beginning with '.'. */
bool tern__hub_is_etag(const char *text, size_t bytes);

/* Python's fnmatchcase: `*` and `?` take any character, '/' too; [seq], [!seq]. A pattern that ends in '/' takes all below that folder. */
bool tern__hub_matches(const char *pattern, const char *path);

/* `text` percent-encoded for a URL, but for letters, digits, "-._~" and what `keep` lists; NULL when memory is short. */
char *tern__hub_url_quote(tern_arena *arena, const char *text, const char *keep);

/* Outside text for a message: what is not printable ASCII becomes '?', and it is cut. */
typedef struct tern_hub_cleaned {
    char text[200];
} tern_hub_cleaned;

tern_hub_cleaned tern__hub_clean(const char *text, size_t bytes);

#endif
