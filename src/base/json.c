/* json.c - jansson with what untrusted files need: duplicate keys refused and a message that says where.
 * NUL characters are let through inside strings, since vocabularies hold them: use json_string_length. Keys cannot hold one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <stdlib.h>

#include "base/file.h"

tern_status tern__json_parse(json_t **out, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    json_error_t where;
    *out = json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (*out) return TERN_OK;
    /* jansson leaves the text empty where it noticed nothing but a failed allocation. */
    if (where.text[0] == '\0' || json_error_code(&where) == json_error_out_of_memory)
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: out of memory while reading JSON", name);
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: line %d, column %d: %s", name, where.line, where.column, where.text);
}

tern_status tern__json_load(json_t **out, const char *path, tern_error *err) {
    char *bytes;
    size_t n_bytes;
    *out = NULL;
    TERN_TRY(tern__file_read(&bytes, &n_bytes, path, TERN_JSON_MAX_BYTES, err));
    tern_status status = tern__json_parse(out, bytes, n_bytes, path, err);
    free(bytes);
    return status;
}
