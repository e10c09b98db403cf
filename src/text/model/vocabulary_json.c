/* vocabulary_json.c - a scanner that finds model.vocab, and a strict reader of that one object.
 * Source: RFC 8259.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/vocabulary_json.h"

#include <string.h>

#include "text/unicode/unicode.h"

typedef struct tern_json_scan {
    char *bytes;
    size_t n_bytes, at;
    const char *name;
    tern_error *err;
} tern_json_scan;

static tern_status fail_at(const tern_json_scan *scan, size_t at, const char *what) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (scan->bytes[i] == '\n') line++, column = 0;
        if (!tern__utf8_is_continuation((unsigned char)scan->bytes[i])) column++;
    }
    return TERN_FAIL(scan->err, TERN_E_FORMAT, "%s: line %zu, column %zu: model: vocab: %s", scan->name, line, column, what);
}

static int next_byte(tern_json_scan *scan) {
    while (scan->at < scan->n_bytes && strchr(" \t\r\n", scan->bytes[scan->at]) && scan->bytes[scan->at]) scan->at++;
    return scan->at < scan->n_bytes ? (unsigned char)scan->bytes[scan->at] : -1;
}

static bool take_byte(tern_json_scan *scan, char byte) {
    if (next_byte(scan) != (unsigned char)byte) return false;
    scan->at++;
    return true;
}

/* From behind the opening quote to behind the closing one; false when there is none. */
static bool skip_string(tern_json_scan *scan) {
    for (; scan->at < scan->n_bytes; scan->at++) {
        if (scan->bytes[scan->at] == '\\') scan->at++;
        else if (scan->bytes[scan->at] == '"') return scan->at++, true;
    }
    return false;
}

/* Past a value of any kind; what it holds is not checked. */
static bool skip_value(tern_json_scan *scan) {
    size_t depth = 0;
    do {
        int byte = next_byte(scan);
        if (byte < 0) return false;
        scan->at++;
        if (byte == '"' && !skip_string(scan)) return false;
        if (byte == '{' || byte == '[') depth++;
        if (byte == '}' || byte == ']') {
            if (depth == 0) return false;
            depth--;
        }
        if (depth == 0 && byte != '"' && byte != '}' && byte != ']') { /* a number or a name: up to what ends it */
            while (scan->at < scan->n_bytes && !strchr(",]} \t\r\n", scan->bytes[scan->at])) scan->at++;
        }
    } while (depth > 0);
    return true;
}

/* In an object, from behind its brace: to the value of `key`; false when it has none. */
static bool find_key(tern_json_scan *scan, const char *key) {
    size_t n_key = strlen(key);
    do {
        if (!take_byte(scan, '"')) return false;
        size_t start = scan->at;
        if (!skip_string(scan)) return false;
        bool is_found = scan->at - 1 - start == n_key && memcmp(scan->bytes + start, key, n_key) == 0;
        if (!take_byte(scan, ':')) return false;
        if (is_found) return true;
        if (!skip_value(scan)) return false;
    } while (take_byte(scan, ','));
    return false;
}

/* Four hexadecimal digits. */
static bool read_hex(const char *text, size_t n_bytes, uint32_t *value) {
    if (n_bytes < 4) return false;
    *value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = text[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f') digit = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') digit = (uint32_t)(c - 'A' + 10);
        else return false;
        *value = *value << 4 | digit;
    }
    return true;
}

/* The escape at `text`, behind its backslash, as UTF-8; returns bytes read, 0 when it is none. What is written is shorter than what is
 * read. */
static size_t read_escape(const char *text, size_t n_bytes, unsigned char *out, size_t *n_out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *simple = n_bytes > 0 && text[0] ? strchr(names, text[0]) : NULL;
    if (simple) return out[0] = (unsigned char)values[simple - names], *n_out = 1, 1;
    uint32_t code_point, low;
    if (n_bytes == 0 || text[0] != 'u' || !read_hex(text + 1, n_bytes - 1, &code_point)) return 0;
    if (code_point < 0xD800 || code_point > 0xDFFF) return *n_out = tern__utf8_encode(out, code_point), 5;
    if (code_point > 0xDBFF || n_bytes < 11 || text[5] != '\\' || text[6] != 'u' || !read_hex(text + 7, n_bytes - 7, &low) ||
        low < 0xDC00 || low > 0xDFFF)
        return 0;
    *n_out = tern__utf8_encode(out, 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00));
    return 11;
}

/* A string, from its quote on, its escapes resolved in place. */
static tern_status read_string(tern_json_scan *scan, char **string, size_t *n_bytes) {
    if (!take_byte(scan, '"')) return fail_at(scan, scan->at, "a string is expected");
    char *out = *string = scan->bytes + scan->at;
    size_t at = scan->at;
    while (at < scan->n_bytes && scan->bytes[at] != '"') {
        if ((unsigned char)scan->bytes[at] < 0x20) return fail_at(scan, at, "a control character must be escaped");
        if (scan->bytes[at] != '\\') {
            *out++ = scan->bytes[at++];
            continue;
        }
        unsigned char utf8[TERN_UNICODE_MAX_UTF8];
        size_t n_utf8 = 0, n_read = read_escape(scan->bytes + at + 1, scan->n_bytes - at - 1, utf8, &n_utf8);
        if (n_read == 0) return fail_at(scan, at, "an escape that is none");
        memcpy(out, utf8, n_utf8);
        out += n_utf8;
        at += 1 + n_read;
    }
    if (at == scan->n_bytes) return fail_at(scan, scan->at, "a string without an end");
    scan->at = at + 1;
    *n_bytes = (size_t)(out - *string);
    return TERN_OK;
}

static tern_status read_id(tern_json_scan *scan, int32_t *id) {
    int64_t value = 0;
    int first = next_byte(scan);
    size_t start = scan->at;
    while (scan->at < scan->n_bytes && scan->bytes[scan->at] >= '0' && scan->bytes[scan->at] <= '9' && value <= INT32_MAX)
        value = value * 10 + (scan->bytes[scan->at++] - '0');
    size_t n_digits = scan->at - start;
    int behind = scan->at < scan->n_bytes ? (unsigned char)scan->bytes[scan->at] : -1;
    if (n_digits == 0 || value > INT32_MAX || (first == '0' && n_digits > 1) || behind == '.' || behind == 'e' || behind == 'E')
        return fail_at(scan, start, "an id must be a whole number from 0 to 2147483647");
    *id = (int32_t)value;
    return TERN_OK;
}

/* From behind the opening brace to behind the closing one. */
static tern_status read_entries(tern_json_scan *scan, tern_vocabulary *out) {
    if (take_byte(scan, '}')) return TERN_OK;
    do {
        char *token = NULL;
        size_t n_bytes = 0;
        int32_t id = 0;
        bool is_new;
        next_byte(scan);
        size_t start = scan->at;
        TERN_TRY(read_string(scan, &token, &n_bytes));
        if (!take_byte(scan, ':')) return fail_at(scan, scan->at, "':' is expected");
        TERN_TRY(read_id(scan, &id));
        if (!tern__vocabulary_set(out, token, n_bytes, id, &is_new)) return TERN_FAIL_MEMORY(scan->err, n_bytes);
        if (!is_new) return fail_at(scan, start, "a token that was there before");
    } while (take_byte(scan, ','));
    return take_byte(scan, '}') ? TERN_OK : fail_at(scan, scan->at, "',' or '}' is expected");
}

tern_status tern__vocabulary_take_json(tern_vocabulary *out, char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    tern_json_scan scan = {.bytes = bytes, .n_bytes = n_bytes, .name = name, .err = err};
    if (!take_byte(&scan, '{') || !find_key(&scan, "model") || !take_byte(&scan, '{') || !find_key(&scan, "vocab") ||
        !take_byte(&scan, '{'))
        return TERN_OK;
    size_t start = scan.at;
    size_t n_valid = tern__utf8_valid_prefix((unsigned char *)bytes + start, n_bytes - start);
    if (n_valid < n_bytes - start) return fail_at(&scan, start + n_valid, "not UTF-8");
    /* An entry takes at least 12 bytes of a file of any size; more only where tokens are longer. */
    if (!tern__vocabulary_reserve(out, (n_bytes - start) / 16, (n_bytes - start) / 2)) return TERN_FAIL_MEMORY(err, n_bytes);
    TERN_TRY(read_entries(&scan, out));
    for (size_t i = start; i < scan.at - 1; i++)
        if (bytes[i] != '\n') bytes[i] = ' ';
    return TERN_OK;
}
