/* json.c - a strict JSON reader that builds jansson's values, and their text again.
 *
 * The values are jansson's, the reading is not: when an allocation fails while a string or a number is collected, jansson 2.14's parser
 * can return another value and no error. Here that is TERN_E_MEMORY. Refused beside what RFC 8259 refuses:
 * duplicate keys, NUL characters in keys, lone surrogates, numbers out of range, deep nesting, a document that is no object or array.
 * NUL characters in strings are let through, since vocabularies hold them: use json_string_length.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "base/file.h"
#include "base/memory.h"
#include "base/text_builder.h"

#define JSON_MAX_DEPTH 512

typedef struct tern_json_reader {
    const char *name;
    const char *start, *at, *end;
    const tern_json_hole *holes; /* those that come */
    size_t n_holes;
    int depth;
    char *text; /* a stack: decoded strings and keys that are still needed, each with a NUL */
    size_t n_text, text_capacity;
    locale_t c_locale; /* numbers are read the same whatever the host program's locale is */
    tern_error *err;
} tern_json_reader;

/* Bytes of the character at `at`; 0 when it is not UTF-8: overlong, a surrogate, over U+10FFFF, or cut short. */
static size_t utf8_character_bytes(const char *at, const char *end) {
    const unsigned char *byte = (const unsigned char *)at;
    size_t n_left = (size_t)(end - at);
    if (n_left == 0) return 0;
    if (byte[0] < 0x80) return 1;
    size_t n = byte[0] >= 0xF0 ? 4 : byte[0] >= 0xE0 ? 3 : 2;
    if (byte[0] < 0xC2 || byte[0] > 0xF4 || n > n_left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((byte[i] & 0xC0) != 0x80) return 0;
    bool is_overlong = (byte[0] == 0xE0 && byte[1] < 0xA0) || (byte[0] == 0xF0 && byte[1] < 0x90);
    bool is_too_large = (byte[0] == 0xED && byte[1] > 0x9F) || (byte[0] == 0xF4 && byte[1] > 0x8F);
    return is_overlong || is_too_large ? 0 : n;
}

bool tern__json_is_utf8(const char *text, size_t bytes) {
    const char *end = text + bytes;
    while (text < end) {
        size_t n = utf8_character_bytes(text, end);
        if (n == 0) return false;
        text += n;
    }
    return true;
}

/* ---- Errors ---- */

static tern_status fail_at(const tern_json_reader *reader, const char *at, const char *problem) {
    size_t line = 1, column = 1;
    for (const char *c = reader->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xC0) != 0x80) {
            column++;
        }
    }
    return TERN_FAIL(reader->err, TERN_E_FORMAT, "%s: line %zu, column %zu: %s", reader->name, line, column, problem);
}

static tern_status fail_expected(const tern_json_reader *reader, const char *expected) {
    char found[16], problem[128];
    size_t n = utf8_character_bytes(reader->at, reader->end);
    if (reader->at == reader->end) snprintf(found, sizeof found, "the end");
    else if (n == 0 || (unsigned char)*reader->at < 0x20) snprintf(found, sizeof found, "byte 0x%02X", (unsigned char)*reader->at);
    else snprintf(found, sizeof found, "'%.*s'", (int)n, reader->at);
    snprintf(problem, sizeof problem, "expected %s, found %s", expected, found);
    return fail_at(reader, reader->at, problem);
}

static tern_status fail_memory(const tern_json_reader *reader) {
    return TERN_FAIL(reader->err, TERN_E_MEMORY, "%s: out of memory while reading JSON", reader->name);
}

/* ---- Strings ---- */

static bool push_text(tern_json_reader *reader, const char *bytes, size_t n) {
    if (n == 0) return true;
    if (!tern__grow(&reader->text, &reader->text_capacity, reader->n_text + n, 1)) return false;
    memcpy(reader->text + reader->n_text, bytes, n);
    reader->n_text += n;
    return true;
}

static bool push_code_point(tern_json_reader *reader, uint32_t c) {
    char utf8[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6) utf8[i] = (char)(0x80 | (c & 0x3F));
    utf8[0] = (char)(lead[n] | c);
    return push_text(reader, utf8, n);
}

/* The four digits at `at`; UINT32_MAX when they are not there. */
static uint32_t hex_digits(const char *at, const char *end) {
    uint32_t value = 0;
    if (end - at < 4) return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9') value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f') value = value << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') value = value << 4 | (uint32_t)(c - 'A' + 10);
        else return UINT32_MAX;
    }
    return value;
}

/* At the 'u' of an escape. Characters over U+FFFF are written as two, a high and a low surrogate. */
static tern_status read_unicode_escape(tern_json_reader *reader) {
    uint32_t c = hex_digits(reader->at + 1, reader->end);
    if (c == UINT32_MAX) return fail_at(reader, reader->at - 1, "\\u must be followed by four hexadecimal digits");
    const char *escape = reader->at - 1;
    reader->at += 5;
    if (c >= 0xD800 && c <= 0xDFFF) {
        bool has_low = c < 0xDC00 && reader->end - reader->at >= 2 && reader->at[0] == '\\' && reader->at[1] == 'u';
        uint32_t low = has_low ? hex_digits(reader->at + 2, reader->end) : UINT32_MAX;
        if (low < 0xDC00 || low > 0xDFFF) return fail_at(reader, escape, "a surrogate without its other half");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        reader->at += 6;
    }
    return push_code_point(reader, c) ? TERN_OK : fail_memory(reader);
}

/* Behind a backslash. */
static tern_status read_escape(tern_json_reader *reader) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end) return fail_expected(reader, "an escape");
    if (*reader->at == 'u') return read_unicode_escape(reader);
    const char *letter = *reader->at ? strchr(letters, *reader->at) : NULL;
    if (!letter) return fail_expected(reader, "an escape");
    reader->at++;
    return push_text(reader, &meanings[letter - letters], 1) ? TERN_OK : fail_memory(reader);
}

/* At the opening quote. The decoded string is pushed: text[*offset], *n_bytes long and a NUL. The caller pops it. */
static tern_status read_string(tern_json_reader *reader, size_t *offset, size_t *n_bytes) {
    const char *quote = reader->at++;
    *offset = reader->n_text;
    for (;;) {
        const char *run = reader->at;
        while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\' && (unsigned char)*reader->at >= 0x20) {
            size_t n = utf8_character_bytes(reader->at, reader->end);
            if (n == 0) return fail_expected(reader, "UTF-8");
            reader->at += n;
        }
        if (!push_text(reader, run, (size_t)(reader->at - run))) return fail_memory(reader);
        if (reader->at == reader->end) return fail_at(reader, quote, "a string without its closing quote");
        if (*reader->at == '"') break;
        if (*reader->at != '\\') return fail_expected(reader, "the rest of a string");
        reader->at++;
        TERN_TRY(read_escape(reader));
    }
    reader->at++;
    *n_bytes = reader->n_text - *offset;
    return push_text(reader, "", 1) ? TERN_OK : fail_memory(reader);
}

/* ---- Numbers ---- */

static bool is_digit(const tern_json_reader *reader) { return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; }

static bool is_one_of(const tern_json_reader *reader, char a, char b) {
    return reader->at < reader->end && (*reader->at == a || *reader->at == b);
}

static tern_status skip_digits(tern_json_reader *reader) {
    if (!is_digit(reader)) return fail_expected(reader, "a digit");
    while (is_digit(reader)) reader->at++;
    return TERN_OK;
}

static tern_status make_real(json_t **out, tern_json_reader *reader, const char *number) {
    size_t offset = reader->n_text;
    if (!push_text(reader, number, (size_t)(reader->at - number)) || !push_text(reader, "", 1)) return fail_memory(reader);
    double value = strtod_l(reader->text + offset, NULL, reader->c_locale);
    reader->n_text = offset;
    if (!isfinite(value)) return fail_at(reader, number, "a number out of range");
    *out = json_real(value);
    return *out ? TERN_OK : fail_memory(reader);
}

/* Digit by digit as a negative number, of which there is one more. Past int64_t it becomes a real number, as 10^30 does, which
 * transformers writes where there is no limit. */
static tern_status make_integer(json_t **out, tern_json_reader *reader, const char *number) {
    bool is_negative = *number == '-';
    int64_t value = 0;
    for (const char *c = number + is_negative; c < reader->at; c++) {
        int digit = *c - '0';
        if (value < (INT64_MIN + digit) / 10) return make_real(out, reader, number);
        value = value * 10 - digit;
    }
    if (!is_negative && value == INT64_MIN) return make_real(out, reader, number);
    *out = json_integer(is_negative ? value : -value);
    return *out ? TERN_OK : fail_memory(reader);
}

static tern_status read_number(json_t **out, tern_json_reader *reader) {
    const char *number = reader->at;
    bool is_integer = true;
    if (*reader->at == '-') reader->at++;
    if (is_one_of(reader, '0', '0')) reader->at++;
    else TERN_TRY(skip_digits(reader));
    if (is_one_of(reader, '.', '.')) {
        is_integer = false;
        reader->at++;
        TERN_TRY(skip_digits(reader));
    }
    if (is_one_of(reader, 'e', 'E')) {
        is_integer = false;
        reader->at++;
        if (is_one_of(reader, '+', '-')) reader->at++;
        TERN_TRY(skip_digits(reader));
    }
    return is_integer ? make_integer(out, reader, number) : make_real(out, reader, number);
}

/* ---- Values ---- */

static tern_status read_value(json_t **out, tern_json_reader *reader);

/* Skip white space; the next character, or 0 at the end (and for a NUL, which no rule of the grammar takes). */
static char next_character(tern_json_reader *reader) {
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
    return reader->at < reader->end ? *reader->at : '\0';
}

/* Behind an opening bracket: to the closing one, when a hole is between. */
static void skip_hole(tern_json_reader *reader) {
    if (reader->n_holes == 0 || (size_t)(reader->at - reader->start) != reader->holes->start) return;
    reader->at = reader->start + reader->holes->end;
    reader->holes++;
    reader->n_holes--;
}

static tern_status read_word(json_t **out, tern_json_reader *reader) {
    static const char *const words[] = {"true", "false", "null"};
    json_t *const values[] = {json_true(), json_false(), json_null()};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(reader->end - reader->at) < n || memcmp(reader->at, words[i], n) != 0) continue;
        reader->at += n;
        *out = values[i];
        return TERN_OK;
    }
    return fail_expected(reader, "a value");
}

/* At the opening quote of a key. */
static tern_status read_member(json_t *object, tern_json_reader *reader) {
    const char *quote = reader->at;
    size_t key, n_key;
    TERN_TRY(read_string(reader, &key, &n_key));
    if (strlen(reader->text + key) != n_key) return fail_at(reader, quote, "a key with a NUL character");
    if (json_object_get(object, reader->text + key)) return fail_at(reader, quote, "a key that is there already");
    if (next_character(reader) != ':') return fail_expected(reader, "':'");
    reader->at++;
    json_t *value = NULL;
    TERN_TRY(read_value(&value, reader));
    if (json_object_set_new_nocheck(object, reader->text + key, value) != 0) return fail_memory(reader);
    reader->n_text = key;
    return TERN_OK;
}

/* At the opening bracket of a `closing` one. `container` belongs to the caller. */
static tern_status read_members(json_t *container, tern_json_reader *reader, char closing) {
    bool is_object = closing == '}';
    reader->at++;
    skip_hole(reader);
    if (next_character(reader) != closing) {
        for (;;) {
            if (is_object) {
                if (next_character(reader) != '"') return fail_expected(reader, "a key in double quotes");
                TERN_TRY(read_member(container, reader));
            } else {
                json_t *value = NULL;
                TERN_TRY(read_value(&value, reader));
                if (json_array_append_new(container, value) != 0) return fail_memory(reader);
            }
            char c = next_character(reader);
            if (c == closing) break;
            if (c != ',') return fail_expected(reader, is_object ? "',' or '}'" : "',' or ']'");
            reader->at++;
        }
    }
    reader->at++;
    return TERN_OK;
}

static tern_status read_container(json_t **out, tern_json_reader *reader, char closing) {
    if (reader->depth == JSON_MAX_DEPTH) return fail_at(reader, reader->at, "nested too deeply");
    json_t *container = closing == '}' ? json_object() : json_array();
    if (!container) return fail_memory(reader);
    reader->depth++;
    tern_status status = read_members(container, reader, closing);
    reader->depth--;
    if (status == TERN_OK) *out = container;
    else json_decref(container);
    return status;
}

static tern_status read_value(json_t **out, tern_json_reader *reader) {
    char c = next_character(reader);
    if (c == '{') return read_container(out, reader, '}');
    if (c == '[') return read_container(out, reader, ']');
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(out, reader);
    if (c != '"') return read_word(out, reader);
    size_t text, n_text;
    TERN_TRY(read_string(reader, &text, &n_text));
    *out = json_stringn_nocheck(reader->text + text, n_text);
    reader->n_text = text;
    return *out ? TERN_OK : fail_memory(reader);
}

tern_status tern__json_parse_around(json_t **out, const char *bytes, size_t n_bytes, const tern_json_hole *holes, size_t n_holes,
                                    const char *name, tern_error *err) {
    *out = NULL;
    tern_json_reader reader = {
        .name = name, .start = bytes, .at = bytes, .end = bytes + n_bytes, .holes = holes, .n_holes = n_holes, .err = err};
    reader.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!reader.c_locale) return fail_memory(&reader);
    char c = next_character(&reader);
    tern_status status = c == '{' || c == '[' ? read_value(out, &reader) : fail_expected(&reader, "'{' or '['");
    if (status == TERN_OK && (next_character(&reader), reader.at != reader.end)) {
        status = fail_expected(&reader, "nothing more");
        json_decref(*out);
        *out = NULL;
    }
    free(reader.text);
    freelocale(reader.c_locale);
    return status;
}

tern_status tern__json_parse(json_t **out, const char *bytes, size_t n_bytes, const char *name, tern_error *err) {
    return tern__json_parse_around(out, bytes, n_bytes, NULL, 0, name, err);
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

/* ---- Writing ---- */

static int append_text(const char *bytes, size_t n_bytes, void *text) {
    tern__text_append(text, bytes, n_bytes);
    return 0; /* a failure is kept by the builder: jansson does not look at every result */
}

tern_status tern__json_dump(char **out, const json_t *json, size_t flags, tern_error *err) {
    tern_text_builder text = {0};
    if (json_dump_callback(json, append_text, &text, flags) != 0) text.has_failed = true;
    *out = tern__text_take(&text);
    return *out ? TERN_OK : TERN_FAIL(err, TERN_E_MEMORY, "out of memory while writing JSON");
}
