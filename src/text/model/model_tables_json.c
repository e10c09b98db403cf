/* model_tables_json.c - finds the large tables in the bytes of a tokenizer.json and reads them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "text/model/json_scan.h"
#include "text/model/model_tables.h"

/* Back to the token of an entry, for a message. */
static tern_status fail_repeated(tern_json_scan *scan, size_t start, size_t n_before) {
    scan->at = start;
    for (size_t i = 0; i < n_before * 2; i++) { /* keys and ids, with a ':' or ',' behind each */
        tern__json_scan_skip(scan);
        tern__json_scan_next(scan);
        scan->at++;
    }
    tern__json_scan_next(scan);
    return tern__json_scan_fail(scan, scan->at, "a token that was there before");
}

/* {"token": id, ..} from behind the opening brace to behind the closing one. */
static tern_status read_entries(tern_json_scan *scan, tern_vocabulary *out) {
    size_t start = scan->at, repeated;
    if (tern__json_scan_take(scan, '}')) return TERN_OK;
    do {
        const char *token = NULL;
        size_t n_bytes = 0;
        int32_t id = 0;
        scan->n_resolved = 0;
        TERN_TRY(tern__json_scan_string(scan, &token, &n_bytes));
        if (!tern__json_scan_take(scan, ':')) return tern__json_scan_fail(scan, scan->at, "':' is expected");
        TERN_TRY(tern__json_scan_id(scan, &id));
        if (!tern__vocabulary_append(out, token, n_bytes, id)) return TERN_FAIL_MEMORY(scan->err, n_bytes);
    } while (tern__json_scan_take(scan, ','));
    if (!tern__json_scan_take(scan, '}')) return tern__json_scan_fail(scan, scan->at, "',' or '}' is expected");
    if (!tern__vocabulary_index(out, &repeated)) return TERN_FAIL_MEMORY(scan->err, out->n_entries * sizeof *out->slots);
    return repeated == SIZE_MAX ? TERN_OK : fail_repeated(scan, start, repeated);
}

/* [["piece", score], ..] from behind the opening bracket to behind the closing one. */
static tern_status read_pieces(tern_json_scan *scan, tern_model_tables *out) {
    if (tern__json_scan_take(scan, ']')) return TERN_OK;
    do {
        const char *piece = NULL;
        size_t n_bytes = 0;
        double score = 0;
        scan->n_resolved = 0;
        if (!tern__json_scan_take(scan, '[')) return tern__json_scan_fail(scan, scan->at, "a [piece, score] is expected");
        TERN_TRY(tern__json_scan_string(scan, &piece, &n_bytes));
        if (!tern__json_scan_take(scan, ',')) return tern__json_scan_fail(scan, scan->at, "',' is expected");
        TERN_TRY(tern__json_scan_number(scan, &score));
        if (!tern__json_scan_take(scan, ']')) return tern__json_scan_fail(scan, scan->at, "']' is expected");
        if (!tern__model_tables_add_piece(out, piece, n_bytes, score)) return TERN_FAIL_MEMORY(scan->err, n_bytes);
    } while (tern__json_scan_take(scan, ','));
    return tern__json_scan_take(scan, ']') ? TERN_OK : tern__json_scan_fail(scan, scan->at, "',' or ']' is expected");
}

/* "a b", or ["a", "b"]. */
static tern_status read_merge(tern_json_scan *scan, tern_model_tables *out, bool is_pair) {
    const char *left = NULL, *right = NULL;
    size_t left_bytes = 0, right_bytes = 0;
    scan->n_resolved = 0;
    if (is_pair) {
        if (!tern__json_scan_take(scan, '[')) return tern__json_scan_fail(scan, scan->at, "a [left, right] is expected, as before");
        TERN_TRY(tern__json_scan_string(scan, &left, &left_bytes));
        if (!tern__json_scan_take(scan, ',')) return tern__json_scan_fail(scan, scan->at, "',' is expected");
        TERN_TRY(tern__json_scan_string(scan, &right, &right_bytes));
        if (!tern__json_scan_take(scan, ']')) return tern__json_scan_fail(scan, scan->at, "']' is expected");
    } else {
        static const char version[] = "#version";
        tern__json_scan_next(scan);
        size_t start = scan->at, n_bytes = 0;
        TERN_TRY(tern__json_scan_string(scan, &left, &n_bytes));
        if (n_bytes >= sizeof version - 1 && memcmp(left, version, sizeof version - 1) == 0) return TERN_OK;
        right = memchr(left, ' ', n_bytes);
        if (!right || memchr(right + 1, ' ', n_bytes - (size_t)(right + 1 - left)))
            return tern__json_scan_fail(scan, start, "a merge must be two tokens with one space between");
        left_bytes = (size_t)(right++ - left);
        right_bytes = n_bytes - left_bytes - 1;
    }
    return tern__model_tables_add_merge(out, left, left_bytes, right, right_bytes) ? TERN_OK : TERN_FAIL_MEMORY(scan->err, left_bytes);
}

/* From behind the opening bracket to behind the closing one. */
static tern_status read_merges(tern_json_scan *scan, tern_model_tables *out) {
    if (tern__json_scan_take(scan, ']')) return TERN_OK;
    bool is_pair = tern__json_scan_next(scan) == '[';
    do TERN_TRY(read_merge(scan, out, is_pair));
    while (tern__json_scan_take(scan, ','));
    return tern__json_scan_take(scan, ']') ? TERN_OK : tern__json_scan_fail(scan, scan->at, "',' or ']' is expected");
}

/* The table at the value that comes, if it is one: from then on there is one of its kind, unless it is empty. */
static tern_status read_table(tern_json_scan *scan, tern_model_tables *tables, bool is_vocab) {
    int opening = tern__json_scan_next(scan);
    if (opening != '[' && !(opening == '{' && is_vocab)) return tern__json_scan_skip(scan), TERN_OK;
    size_t start = ++scan->at;
    scan->part = is_vocab ? "model: vocab" : "model: merges";
    if (!is_vocab) TERN_TRY(read_merges(scan, tables));
    else if (opening == '[') TERN_TRY(read_pieces(scan, tables));
    else TERN_TRY(read_entries(scan, &tables->vocabulary));
    if (is_vocab ? tables->vocabulary.n_entries > 0 : tables->n_merges > 0)
        tables->holes[tables->n_holes++] = (tern_json_hole){.start = start, .end = scan->at - 1};
    return TERN_OK;
}

/* The key at its opening quote, on to its value; false where there is none, and in broken JSON. */
static bool take_key(tern_json_scan *scan, const char **key, size_t *n_key) {
    scan->n_resolved = 0;
    return tern__json_scan_next(scan) == '"' && tern__json_scan_string(scan, key, n_key) == TERN_OK && tern__json_scan_take(scan, ':');
}

static bool is_key(const char *key, size_t n_key, const char *name) { return n_key == strlen(name) && memcmp(key, name, n_key) == 0; }

static tern_status find_tables(tern_json_scan *scan, tern_model_tables *tables) {
    const char *key = NULL;
    size_t n_key = 0;
    bool is_model = false; /* keys are those of the model, not of the file */
    if (!tern__json_scan_take(scan, '{')) return TERN_OK;
    while (take_key(scan, &key, &n_key)) {
        if (!is_model && is_key(key, n_key, "model") && tern__json_scan_take(scan, '{')) {
            is_model = true;
            continue;
        }
        bool is_vocab =
            is_model && tables->vocabulary.n_entries == 0 && is_key(key, n_key, "vocab"); /* the JSON library refuses a second */
        bool is_merges = is_model && tables->n_merges == 0 && is_key(key, n_key, "merges");
        if (is_vocab || is_merges) TERN_TRY(read_table(scan, tables, is_vocab));
        else if (!tern__json_scan_skip(scan)) return TERN_OK;
        if (!tern__json_scan_take(scan, ',')) return TERN_OK; /* the end of the model, or of the file */
    }
    return TERN_OK;
}

tern_status tern__model_tables_read_json(tern_model_tables *tables, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    tern_json_scan scan = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .part = "model", .err = err};
    tern_status status = find_tables(&scan, tables);
    tern__json_scan_free(&scan);
    return status;
}

tern_status tern__model_tables_read_vocab(tern_model_tables *tables, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    tern_json_scan scan = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .part = "vocab", .err = err};
    tern_status status = tern__json_scan_take(&scan, '{') ? read_entries(&scan, &tables->vocabulary)
                                                          : tern__json_scan_fail(&scan, scan.at, "'{' is expected");
    if (status == TERN_OK && tern__json_scan_next(&scan) != -1) status = tern__json_scan_fail(&scan, scan.at, "nothing more is expected");
    tern__json_scan_free(&scan);
    return status;
}
