/* fuzz_hub.c - any bytes as a hub's answer: a list of files, a cached list, headers, and a pattern with a path. The first byte says which.
 * What is let through may become a path: it must not leave its folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "hub/answer.h"
#include "hub/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(bool is_so) {
    if (!is_so) abort();
}

/* Does one of its parts lead up? */
static bool climbs(const char *path) {
    size_t n = strlen(path);
    return path[0] == '/' || strncmp(path, "../", 3) == 0 || strstr(path, "/../") || strcmp(path, "..") == 0 ||
           (n >= 3 && strcmp(path + n - 3, "/..") == 0);
}

static bool is_printable(const char *text) {
    for (; *text; text++)
        if ((*text < 0x20 || *text > 0x7E) && *text != '\n') return false;
    return true;
}

static void use_listing(const char *bytes, size_t n_bytes, bool is_tree) {
    tern_hub_listing listing;
    tern_error err;
    tern_status status = is_tree ? tern__hub_listing_parse_tree(&listing, bytes, n_bytes, "fuzz", &err)
                                 : tern__hub_listing_parse(&listing, bytes, n_bytes, "fuzz", &err);
    if (status != TERN_OK) {
        require(status == TERN_E_FORMAT && err.code == status && err.message[0] != '\0' && !listing.files);
        return;
    }
    require(is_tree || tern__hub_is_commit(listing.commit));
    for (size_t i = 0; i < listing.n_files; i++) {
        const tern_hub_file *file = &listing.files[i];
        require(!climbs(file->path) && !strchr(file->path, '\\'));
        require(!file->etag || (!strchr(file->etag, '/') && file->etag[0] != '.' && file->etag[0] != '\0' && file->n_bytes >= 0));
        require(i == 0 || strcmp(listing.files[i - 1].path, file->path) < 0);
        require(tern__hub_listing_find(&listing, file->path) == file);
    }
    tern__hub_listing_free(&listing);
}

static void use_headers(const char *bytes, size_t n_bytes) {
    tern_hub_answer answer = {0};
    tern__hub_answer_line(&answer, "HTTP/2 200\r\n", 12, 1000000000);
    const char *end = bytes + n_bytes;
    while (bytes < end) {
        const char *feed = memchr(bytes, '\n', (size_t)(end - bytes)), *next = feed ? feed + 1 : end;
        tern__hub_answer_line(&answer, bytes, (size_t)(next - bytes), 1000000000);
        bytes = next;
    }
    require(answer.etag[0] == '\0' || tern__hub_is_etag(answer.etag, strlen(answer.etag)));
    require(answer.content_bytes >= -1 && answer.linked_bytes >= -1 && answer.range_start >= -1 && answer.range_total >= -1);
    require(answer.retry_after_s >= -1 && answer.status >= 0 && answer.status <= 999);
    tern_hub_question question = {.endpoint = "https://hub", .repo_id = "org/name", .revision = "main"};
    tern_error err;
    for (int i = 0; i < 4; i++) {
        question.path = i & 1 ? "config.json" : NULL;
        question.has_token = i & 2;
        require(tern__hub_answer_fail(&answer, &question, &err) == TERN_E_IO && is_printable(err.message) && strlen(err.message) < 1000);
    }
}

static void use_pattern(const char *bytes, size_t n_bytes) {
    char *text = malloc(n_bytes + 2);
    if (!text) return;
    memcpy(text, bytes, n_bytes);
    text[n_bytes] = text[n_bytes + 1] = '\0';
    const char *path = text + strlen(text) + (strlen(text) < n_bytes);
    bool matches = tern__hub_matches(text, path);
    require(matches || strcmp(text, "*") != 0);
    if (!strpbrk(text, "*?[") && !strchr(text, '/')) require(matches == (strcmp(text, path) == 0));
    require(!tern__hub_is_repo_id(text) || !strstr(text, ".."));
    require(!tern__hub_is_revision(text) || !climbs(text));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes == 0) return 0;
    const char *rest = (const char *)bytes + 1;
    switch (bytes[0] % 4) {
    case 0:
        use_listing(rest, n_bytes - 1, false);
        break;
    case 1:
        use_listing(rest, n_bytes - 1, true);
        break;
    case 2:
        use_headers(rest, n_bytes - 1);
        break;
    default:
        use_pattern(rest, n_bytes - 1);
        break;
    }
    return 0;
}
