/* json_scan.c - strings, numbers, and what is skipped.
 * Source: RFC 8259. Numbers: the reader of Rust's serde_json 1.0 in its default form, whose doubles may differ from the nearest ones in the
 * last bit; scores that differ would break ties in another way.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/json_scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/unicode.h"

void tern__json_scan_free(tern_json_scan *scan) { free(scan->resolved); }

tern_status tern__json_scan_fail(const tern_json_scan *scan, size_t at, const char *what) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (scan->bytes[i] == '\n') line++, column = 0;
        if (!tern__utf8_is_continuation((unsigned char)scan->bytes[i])) column++;
    }
    return TERN_FAIL(scan->err, TERN_E_FORMAT, "%s: line %zu, column %zu: %s: %s", scan->name, line, column, scan->part, what);
}

#define LOW_BITS  UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Non-zero when a byte of `word` is zero. */
static inline uint64_t has_zero(uint64_t word) { return (word - LOW_BITS) & ~word & HIGH_BITS; }

/* From `at` to the first quote, backslash or control character, or the end; *high gathers the bytes' high bits. */
static inline size_t plain_end(const char *bytes, size_t at, size_t n_bytes, uint64_t *high) {
    for (uint64_t word; n_bytes - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        uint64_t is_control = (word - LOW_BITS * 0x20) & ~word & HIGH_BITS;
        if (has_zero(word ^ LOW_BITS * '"') | has_zero(word ^ LOW_BITS * '\\') | is_control) break;
        *high |= word;
    }
    for (; at < n_bytes; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        if (byte == '"' || byte == '\\' || byte < 0x20) break;
        *high |= byte;
    }
    return at;
}

/* From behind the opening quote to behind the closing one; false when there is none. */
static bool skip_string(tern_json_scan *scan) {
    uint64_t high;
    while (scan->at < scan->n_bytes) {
        scan->at = plain_end(scan->bytes, scan->at, scan->n_bytes, &high);
        if (scan->at == scan->n_bytes) return false;
        char byte = scan->bytes[scan->at++];
        if (byte == '"') return true;
        if (byte == '\\' && scan->at < scan->n_bytes) scan->at++;
    }
    return false;
}

bool tern__json_scan_skip(tern_json_scan *scan) {
    size_t depth = 0;
    do {
        int byte = tern__json_scan_next(scan);
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

/* The escape at `text`, behind its backslash, as UTF-8, which is shorter; returns bytes read, 0 when it is none. */
static size_t read_escape(const char *text, size_t n_bytes, char *out, size_t *n_out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *simple = n_bytes > 0 && text[0] ? strchr(names, text[0]) : NULL;
    if (simple) return out[0] = values[simple - names], *n_out = 1, 1;
    uint32_t code_point, low;
    size_t n_read = 5;
    if (n_bytes == 0 || text[0] != 'u' || !read_hex(text + 1, n_bytes - 1, &code_point)) return 0;
    if (code_point >= 0xD800 && code_point <= 0xDFFF) {
        if (code_point > 0xDBFF || n_bytes < 11 || text[5] != '\\' || text[6] != 'u' || !read_hex(text + 7, n_bytes - 7, &low) ||
            low < 0xDC00 || low > 0xDFFF)
            return 0;
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
        n_read = 11;
    }
    *n_out = tern__utf8_encode((unsigned char *)out, code_point);
    return n_read;
}

/* The rest of a string whose first escape is at scan->at, its beginning at `start`. */
static tern_status resolve_string(tern_json_scan *scan, size_t start, const char **string, size_t *n_bytes) {
    if (!scan->resolved && !(scan->resolved = tern__alloc(scan->n_bytes, 1))) return TERN_FAIL_MEMORY(scan->err, scan->n_bytes);
    char *out = scan->resolved + scan->n_resolved;
    const char *bytes = scan->bytes;
    size_t n = 0, at = start, end = scan->at;
    for (uint64_t high = 0;; end = plain_end(bytes, at, scan->n_bytes, &high)) {
        if (tern__utf8_valid_prefix((const unsigned char *)bytes + at, end - at) < end - at)
            return tern__json_scan_fail(scan, at, "not UTF-8");
        memcpy(out + n, bytes + at, end - at);
        n += end - at;
        at = end;
        if (at == scan->n_bytes) return tern__json_scan_fail(scan, start, "a string without an end");
        if (bytes[at] == '"') break;
        if (bytes[at] != '\\') return tern__json_scan_fail(scan, at, "a control character must be escaped");
        size_t n_utf8 = 0, n_read = read_escape(bytes + at + 1, scan->n_bytes - at - 1, out + n, &n_utf8);
        if (n_read == 0) return tern__json_scan_fail(scan, at, "an escape that is none");
        n += n_utf8;
        at += 1 + n_read;
    }
    scan->at = at + 1;
    scan->n_resolved += n;
    *string = out;
    *n_bytes = n;
    return TERN_OK;
}

tern_status tern__json_scan_string(tern_json_scan *scan, const char **string, size_t *n_bytes) {
    if (!tern__json_scan_take(scan, '"')) return tern__json_scan_fail(scan, scan->at, "a string is expected");
    size_t start = scan->at;
    uint64_t high = 0;
    scan->at = plain_end(scan->bytes, start, scan->n_bytes, &high);
    if (scan->at == scan->n_bytes || scan->bytes[scan->at] != '"') return resolve_string(scan, start, string, n_bytes);
    *string = scan->bytes + start;
    *n_bytes = scan->at - start;
    if (high & HIGH_BITS) {
        size_t n_valid = tern__utf8_valid_prefix((const unsigned char *)*string, *n_bytes);
        if (n_valid < *n_bytes) return tern__json_scan_fail(scan, start + n_valid, "not UTF-8");
    }
    scan->at++;
    return TERN_OK;
}

static inline bool is_digit(const tern_json_scan *scan) {
    return scan->at < scan->n_bytes && scan->bytes[scan->at] >= '0' && scan->bytes[scan->at] <= '9';
}

tern_status tern__json_scan_id(tern_json_scan *scan, int32_t *id) {
    int64_t value = 0;
    int first = tern__json_scan_next(scan);
    size_t start = scan->at;
    while (is_digit(scan) && value <= INT32_MAX) value = value * 10 + (scan->bytes[scan->at++] - '0');
    size_t n_digits = scan->at - start;
    int behind = scan->at < scan->n_bytes ? (unsigned char)scan->bytes[scan->at] : -1;
    if (n_digits == 0 || value > INT32_MAX || (first == '0' && n_digits > 1) || behind == '.' || behind == 'e' || behind == 'E')
        return tern__json_scan_fail(scan, start, "an id must be a whole number from 0 to 2147483647");
    *id = (int32_t)value;
    return TERN_OK;
}

/* A number while it is read: digits * 10^exponent. */
typedef struct tern_decimal {
    uint64_t digits; /* the first that fit */
    int exponent;
    bool is_full; /* digits that did not fit have been left out */
} tern_decimal;

/* Digits before or behind the point; false when there are none. */
static bool read_digits(tern_json_scan *scan, tern_decimal *decimal, bool is_fraction) {
    const char *start = scan->bytes + scan->at, *end = scan->bytes + scan->n_bytes, *at = start;
    uint64_t digits = decimal->digits;
    for (unsigned digit; !decimal->is_full && at < end && (digit = (unsigned)(*at - '0')) < 10; at++) {
        decimal->is_full = digits >= UINT64_MAX / 10 && (digits > UINT64_MAX / 10 || digit > UINT64_MAX % 10);
        if (decimal->is_full) break;
        digits = digits * 10 + digit;
    }
    decimal->digits = digits;
    if (is_fraction) decimal->exponent -= (int)(at - start); /* no file is long enough to overflow it */
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (!is_fraction && decimal->exponent < INT32_MAX / 2) decimal->exponent++;
    scan->at = (size_t)(at - scan->bytes);
    return at > start;
}

static bool read_exponent(tern_json_scan *scan, tern_decimal *decimal) {
    bool is_negative = scan->at < scan->n_bytes && scan->bytes[scan->at] == '-';
    if (is_negative || (scan->at < scan->n_bytes && scan->bytes[scan->at] == '+')) scan->at++;
    size_t start = scan->at;
    int value = 0;
    for (; is_digit(scan); scan->at++)
        if (value < INT32_MAX / 20) value = value * 10 + (scan->bytes[scan->at] - '0');
    decimal->exponent += is_negative ? -value : value;
    return scan->at > start;
}

/* 10^n for n of 0 to 308. */
static double power_of_ten(int n) {
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (n < (int)(sizeof exact / sizeof *exact)) return exact[n];
    char text[16]; /* without a point, so that the locale does not matter */
    snprintf(text, sizeof text, "1e%d", n);
    return strtod(text, NULL);
}

/* Infinite when it is out of range. */
static double decimal_value(tern_decimal decimal) {
    double value = (double)decimal.digits;
    for (; decimal.exponent < -308 && value != 0; decimal.exponent += 308) value /= 1e308;
    if (value == 0 || decimal.exponent < -308) return value;
    if (decimal.exponent > 308) return INFINITY;
    return decimal.exponent < 0 ? value / power_of_ten(-decimal.exponent) : value * power_of_ten(decimal.exponent);
}

tern_status tern__json_scan_number(tern_json_scan *scan, double *number) {
    bool is_negative = tern__json_scan_take(scan, '-');
    size_t start = scan->at;
    tern_decimal decimal = {0};
    bool is_zero_first = is_digit(scan) && scan->bytes[start] == '0';
    bool is_number = read_digits(scan, &decimal, false) && !(is_zero_first && scan->at - start > 1);
    if (is_number && scan->at < scan->n_bytes && scan->bytes[scan->at] == '.') {
        scan->at++;
        is_number = read_digits(scan, &decimal, true);
    }
    if (is_number && scan->at < scan->n_bytes && (scan->bytes[scan->at] == 'e' || scan->bytes[scan->at] == 'E')) {
        scan->at++;
        is_number = read_exponent(scan, &decimal);
    }
    double value = is_number ? decimal_value(decimal) : 0;
    if (!is_number || isinf(value)) return tern__json_scan_fail(scan, start, is_number ? "a number out of range" : "a number is expected");
    *number = is_negative ? -value : value;
    return TERN_OK;
}
