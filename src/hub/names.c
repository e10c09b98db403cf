/* names.c - what a repository id, a revision, a path, an etag and a pattern are.
 * source: huggingface_hub's validate_repo_id and filter_repo_objects; Python's fnmatch
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/names.h"

#include <string.h>

#include "base/json.h"

/* Letters by their codes, since ctype.h asks the locale. */
static bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

static bool is_repo_id_part(const char *text, size_t n) {
    if (n == 0 || strchr("-.", text[0]) || strchr("-.", text[n - 1])) return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_letter_or_digit(text[i]) && (!text[i] || !strchr("._-", text[i]))) return false;
        if (i > 0 && text[i] == text[i - 1] && strchr("-.", text[i])) return false;
    }
    return true;
}

bool tern__hub_is_repo_id(const char *text) {
    size_t n = strlen(text);
    if (n > 96 || (n >= 4 && strcmp(text + n - 4, ".git") == 0)) return false;
    const char *slash = strchr(text, '/');
    if (!slash) return is_repo_id_part(text, n);
    size_t n_org = (size_t)(slash - text);
    return is_repo_id_part(text, n_org) && is_repo_id_part(slash + 1, n - n_org - 1);
}

bool tern__hub_is_commit(const char *text) {
    return strlen(text) == TERN_HUB_COMMIT_DIGITS && strspn(text, "0123456789abcdef") == TERN_HUB_COMMIT_DIGITS;
}

bool tern__hub_is_path(const char *text, size_t bytes) {
    if (bytes == 0 || bytes > 1024 || !tern__json_is_utf8(text, bytes)) return false;
    for (size_t i = 0, part = 0; i <= bytes; i++) {
        if (i < bytes && text[i] != '/') {
            if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F || text[i] == '\\') return false;
            continue;
        }
        size_t n = i - part;
        if (n == 0 || n > 255 || (n == 1 && text[part] == '.') || (n == 2 && text[part] == '.' && text[part + 1] == '.')) return false;
        part = i + 1;
    }
    return true;
}

/* git check-ref-format has more rules; these keep the path and the URL what they look like. */
bool tern__hub_is_revision(const char *text) { return strlen(text) <= 255 && text[0] != '-' && tern__hub_is_path(text, strlen(text)); }

bool tern__hub_is_etag(const char *text, size_t bytes) {
    if (bytes == 0 || bytes > 128 || text[0] == '.') return false;
    for (size_t i = 0; i < bytes; i++)
        if (!is_letter_or_digit(text[i]) && (!text[i] || !strchr("._-", text[i]))) return false;
    return true;
}

/* ---- Patterns ---- */

/* Bytes of the UTF-8 character at `text`, which is well-formed or else taken byte by byte. */
static size_t character_bytes(const char *text) {
    size_t n = 1;
    if ((unsigned char)text[0] >= 0xC0)
        while (n < 4 && ((unsigned char)text[n] & 0xC0) == 0x80) n++;
    return n;
}

/* Do two characters stand in order, by code point? Of UTF-8 the bytes tell. */
static bool is_at_most(const char *a, const char *b) {
    size_t n_a = character_bytes(a), n_b = character_bytes(b);
    int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order < 0 || (order == 0 && n_a <= n_b);
}

/* At the '[' of a pattern: does the set take the character? *pattern moves behind the set. A '[' without its ']' is itself. */
static bool set_matches(const char **pattern, const char *character) {
    const char *at = *pattern + 1;
    bool is_negated = *at == '!', is_taken = false;
    at += is_negated;
    const char *closing = *at ? strchr(at + 1, ']') : NULL; /* a ']' that comes first is a member */
    if (!closing) {
        *pattern += 1;
        return *character == '[';
    }
    while (at < closing) {
        const char *low = at, *high = at;
        at += character_bytes(at);
        if (*at == '-' && at + 1 < closing) {
            high = at + 1;
            at = high + character_bytes(high);
        }
        is_taken = is_taken || (is_at_most(low, character) && is_at_most(character, high));
    }
    *pattern = closing + 1;
    return is_taken != is_negated;
}

/* Iterative: after a mismatch only the last `*` can take more, so the work is at most |pattern| x |path|. */
bool tern__hub_matches(const char *pattern, const char *path) {
    const char *star = NULL, *star_path = NULL;
    size_t n = strlen(pattern);
    bool is_folder = n > 0 && pattern[n - 1] == '/';
    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            star_path = path;
            continue;
        }
        if (!*path) return !*pattern;
        if (!*pattern && is_folder && path[-1] == '/') return true;
        const char *next = pattern;
        size_t n_path = character_bytes(path);
        bool is_taken = false;
        if (*pattern == '?') {
            next++;
            is_taken = true;
        } else if (*pattern == '[') {
            is_taken = set_matches(&next, path);
        } else if (*pattern) {
            next += character_bytes(pattern);
            is_taken = (size_t)(next - pattern) == n_path && memcmp(pattern, path, n_path) == 0;
        }
        if (is_taken) {
            pattern = next;
            path += n_path;
        } else if (star) {
            pattern = star;
            star_path += character_bytes(star_path);
            path = star_path;
        } else {
            return false;
        }
    }
}

/* ---- Text ---- */

char *tern__hub_url_quote(tern_arena *arena, const char *text, const char *keep) {
    static const char digits[] = "0123456789ABCDEF";
    size_t n = strlen(text), capacity;
    if (!tern__size_multiply(n, 3, &capacity) || !tern__size_add(capacity, 1, &capacity)) return NULL;
    char *quoted = tern__arena_alloc(arena, capacity), *out = quoted;
    if (!quoted) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (is_letter_or_digit(text[i]) || strchr("-._~", text[i]) || strchr(keep, text[i])) {
            *out++ = text[i];
        } else {
            *out++ = '%';
            *out++ = digits[(unsigned char)text[i] >> 4];
            *out++ = digits[(unsigned char)text[i] & 15];
        }
    }
    *out = '\0';
    return quoted;
}

tern_hub_cleaned tern__hub_clean(const char *text, size_t bytes) {
    tern_hub_cleaned cleaned = {""};
    size_t room = sizeof cleaned.text - 1, n = bytes < room ? bytes : room;
    for (size_t i = 0; i < n; i++) cleaned.text[i] = text[i];
    for (size_t i = 0; i < n; i++)
        if (cleaned.text[i] < 0x20 || cleaned.text[i] > 0x7E) cleaned.text[i] = '?';
    if (bytes > room) memcpy(cleaned.text + room - 3, "...", 3);
    return cleaned;
}
