/* pattern_reader.c - escapes and classes of Oniguruma's syntax.
 * Source: Oniguruma's doc/RE, syntax ONIG_SYNTAX_ONIGURUMA.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern_reader.h"

#include <stdio.h>
#include <string.h>

#include "text/unicode/unicode.h"

/* Classes in classes. */
#define MAX_CLASS_DEPTH 64

#define FAIL_SET(err) TERN_FAIL_MEMORY(err, sizeof(tern_code_set))

tern_status tern__pattern_refuse(const tern_pattern_reader *r, const char *construct, tern_error *err) {
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s %s: %s in a pattern is not supported: \"%.200s\"", r->place.file, r->place.part,
                     r->place.type, construct, r->text);
}

tern_status tern__pattern_wrong(const tern_pattern_reader *r, const char *what, tern_error *err) {
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s %s: the pattern is wrong at byte %zu: %s: \"%.200s\"", r->place.file, r->place.part,
                     r->place.type, r->at, what, r->text);
}

void tern__pattern_skip_space(tern_pattern_reader *r, unsigned options) {
    if (!(options & TERN_OPTION_EXTENDED)) return;
    while (r->at < r->n_bytes) {
        char c = r->text[r->at];
        if (c == '#') {
            const char *end = memchr(r->text + r->at, '\n', r->n_bytes - r->at);
            r->at = end ? (size_t)(end - r->text) : r->n_bytes;
        } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
            r->at++;
        } else {
            return;
        }
    }
}

uint32_t tern__pattern_next(tern_pattern_reader *r) {
    size_t length;
    uint32_t c = tern__utf8_decode((const unsigned char *)r->text + r->at, &length);
    r->at += length;
    return c;
}

/* Up to `max` digits of a base that is 8 or 16; returns how many there are. */
static size_t read_digits(tern_pattern_reader *r, size_t max, unsigned base, uint32_t *value) {
    size_t n = 0;
    *value = 0;
    for (; n < max && r->at < r->n_bytes; n++, r->at++) {
        char c = r->text[r->at];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : base;
        if (digit >= base) break;
        *value = *value * base + digit;
    }
    return n;
}

/* \x41, \x{1F600}, \o{101}: behind the letter. Bytes over 7F would be parts of a character. */
static tern_status read_number(tern_pattern_reader *r, unsigned base, uint32_t *character, tern_error *err) {
    if (tern__pattern_is_at(r, '{')) {
        r->at++;
        size_t n = read_digits(r, base == 16 ? 8 : 10, base, character);
        if (n == 0 || !tern__pattern_is_at(r, '}')) return tern__pattern_refuse(r, "\\x{..} or \\o{..} of anything but one number", err);
        r->at++;
    } else if (base == 8) {
        *character = 'o';
    } else if (read_digits(r, 2, 16, character) == 0) {
        return tern__pattern_refuse(r, "\\x without digits", err);
    } else if (*character > 0x7F) {
        return tern__pattern_refuse(r, "a byte over 7F", err);
    }
    if (*character > TERN_CODE_POINT_MAX || (*character >= 0xD800 && *character <= 0xDFFF))
        return tern__pattern_refuse(r, "a number that is no code point", err);
    return TERN_OK;
}

/* \p{name}, \p{^name}, \P{name}: behind the letter. */
static tern_status read_property(tern_pattern_reader *r, bool is_inverted, bool in_class, tern_code_set *set, tern_error *err) {
    const char *name = r->text + r->at + 1;
    const char *end = memchr(name, '}', r->n_bytes - r->at - 1);
    if (!end) return tern__pattern_wrong(r, "\\p{ without }", err);
    if (*name == '^') name++, is_inverted = !is_inverted;
    tern_code_set found = {0};
    tern_class_found result = tern__class_add_property(&found, name, (size_t)(end - name));
    bool is_word = result == TERN_CLASS_FOUND && end - name == 4 && (name[0] | 0x20) == 'w' && !in_class;
    bool is_done = result == TERN_CLASS_FOUND && (!is_word || tern__pattern_add_word(&found)) &&
                   (!is_inverted || tern__code_set_invert(&found)) && tern__code_set_add_set(set, &found);
    tern__code_set_free(&found);
    if (result == TERN_CLASS_UNKNOWN) {
        char construct[64];
        snprintf(construct, sizeof construct, "the property \\p{%.*s}", (int)(end - name < 40 ? end - name : 40), name);
        return tern__pattern_refuse(r, construct, err);
    }
    r->at = (size_t)(end + 1 - r->text);
    return is_done ? TERN_OK : FAIL_SET(err);
}

bool tern__pattern_add_word(tern_code_set *set) {
    if (tern__class_add_property(set, "word", 4) != TERN_CLASS_FOUND || !tern__code_set_add(set, 0xB2, 0xB3) ||
        !tern__code_set_add(set, 0xB9, 0xB9) || !tern__code_set_add(set, 0xBC, 0xBE))
        return false;
    tern__code_set_sort(set);
    return true;
}

/* \d \w \s \h and their opposites. */
static tern_status read_set(tern_code_set *set, char letter, bool in_class, tern_error *err) {
    tern_code_set found = {0};
    char lower = (char)(letter | 0x20);
    const char *name = lower == 'd' ? "digit" : lower == 's' ? "space" : lower == 'h' ? "xdigit" : "word";
    bool is_done = lower == 'w' && !in_class ? tern__pattern_add_word(&found)
                                             : tern__class_add_property(&found, name, strlen(name)) == TERN_CLASS_FOUND;
    is_done = is_done && (lower == letter || tern__code_set_invert(&found)) && tern__code_set_add_set(set, &found);
    tern__code_set_free(&found);
    return is_done ? TERN_OK : FAIL_SET(err);
}

/* \cA, \C-A: behind the letter and the -. */
static tern_status read_control(tern_pattern_reader *r, uint32_t *character, tern_error *err) {
    if (r->at == r->n_bytes) return tern__pattern_wrong(r, "it ends in an escape", err);
    uint32_t c = tern__pattern_next(r);
    if (c == '\\' && tern__pattern_is_at(r, '\\')) r->at++;
    else if (c == '\\' || c >= 0x80) return tern__pattern_refuse(r, "\\c of anything but an ASCII character", err);
    *character = c == '?' ? 0x7F : c & 0x9F;
    return TERN_OK;
}

unsigned long tern__pattern_group_number(const tern_pattern_reader *r, size_t *end) {
    unsigned long group = 0;
    size_t i = r->at;
    for (; i < r->n_bytes && r->text[i] >= '0' && r->text[i] <= '9' && group <= 1000; i++)
        group = 10 * group + (unsigned long)(r->text[i] - '0');
    if (i == r->at || r->text[r->at] == '0' || (group > 9 && group > r->n_groups)) return 0;
    *end = i;
    return group;
}

tern_status tern__pattern_read_escape(tern_pattern_reader *r, bool in_class, tern_escape *found, uint32_t *character, tern_code_set *set,
                                      tern_error *err) {
    static const char escapes[] = "tnrfaev", meanings[] = "\t\n\r\f\a\033\v";
    if (r->at == r->n_bytes) return tern__pattern_wrong(r, "it ends in an escape", err);
    char c = r->text[r->at];
    const char *known = c != '\0' ? strchr(escapes, c) : NULL;
    *found = TERN_ESCAPE_CHARACTER;
    if (c != '\0' && strchr("dDwWsShH", c)) {
        *found = TERN_ESCAPE_SET;
        r->at++;
        return read_set(set, c, in_class, err);
    }
    if ((c == 'p' || c == 'P') && r->at + 1 < r->n_bytes && r->text[r->at + 1] == '{') {
        *found = TERN_ESCAPE_SET;
        r->at++;
        return read_property(r, c == 'P', in_class, set, err);
    }
    size_t unused;
    if (!in_class && (tern__pattern_group_number(r, &unused) > 0 || (c != '\0' && strchr("bBAzZGKRXNOyYkg", c)))) {
        *found = TERN_ESCAPE_OTHER;
        return TERN_OK;
    }
    if (c >= '0' && c <= '7') {
        (void)read_digits(r, 3, 8, character);
        return *character > 0x7F ? tern__pattern_refuse(r, "a byte over 7F", err) : TERN_OK;
    }
    *character = tern__pattern_next(r);
    if (known) *character = (unsigned char)meanings[known - escapes];
    else if (c == 'b' && in_class) *character = '\b';
    else if (c == 'x' || (c == 'o' && tern__pattern_is_at(r, '{'))) return read_number(r, c == 'x' ? 16 : 8, character, err);
    else if (c == 'u' && read_digits(r, 4, 16, character) != 4) return tern__pattern_wrong(r, "\\u without four digits", err);
    else if (c == 'u' && *character >= 0xD800 && *character <= 0xDFFF)
        return tern__pattern_refuse(r, "a number that is no code point", err);
    else if (c == 'c') return read_control(r, character, err);
    else if (c == 'C' && tern__pattern_is_at(r, '-')) return r->at++, read_control(r, character, err);
    else if (c == 'M' && tern__pattern_is_at(r, '-')) return tern__pattern_refuse(r, "\\M-", err);
    return TERN_OK;
}

/* ---- Classes ---- */

/* [:name:] and [:^name:] at r->at, the first [. *is_found: it was one. */
static tern_status read_posix(tern_pattern_reader *r, tern_code_set *set, bool *is_found, tern_error *err) {
    *is_found = false;
    if (r->n_bytes - r->at < 2 || r->text[r->at + 1] != ':') return TERN_OK;
    const char *name = r->text + r->at + 2, *limit = r->text + r->n_bytes;
    bool is_inverted = name < limit && *name == '^';
    name += is_inverted;
    const char *end = name;
    while (end < limit && *end >= 'a' && *end <= 'z') end++;
    if (limit - end < 2 || end[0] != ':' || end[1] != ']') return TERN_OK;
    tern_code_set found = {0};
    tern_class_found result = tern__class_add_posix(&found, name, (size_t)(end - name));
    bool is_done = result == TERN_CLASS_FOUND && (!is_inverted || tern__code_set_invert(&found)) && tern__code_set_add_set(set, &found);
    tern__code_set_free(&found);
    if (result == TERN_CLASS_UNKNOWN) return tern__pattern_wrong(r, "no such [:class:]", err);
    r->at = (size_t)(end + 2 - r->text);
    *is_found = true;
    return is_done ? TERN_OK : FAIL_SET(err);
}

/* One character or set of a class. */
static tern_status read_member(tern_pattern_reader *r, int depth, tern_escape *found, uint32_t *character, tern_code_set *set,
                               tern_error *err);

static tern_status read_nested_class(tern_pattern_reader *r, int depth, tern_code_set *set, tern_error *err);

/* What follows a first character: the end of a range, or nothing. */
static tern_status read_range_end(tern_pattern_reader *r, int depth, uint32_t first, tern_code_set *set, tern_error *err) {
    uint32_t last = first;
    bool is_range = r->n_bytes - r->at >= 2 && r->text[r->at] == '-' && r->text[r->at + 1] != ']' &&
                    !(r->n_bytes - r->at >= 3 && r->text[r->at + 1] == '&' && r->text[r->at + 2] == '&');
    if (is_range) {
        tern_escape found;
        r->at++;
        if (tern__pattern_is_at(r, '[')) return tern__pattern_refuse(r, "a class at the end of a range", err);
        TERN_TRY(read_member(r, depth, &found, &last, set, err));
        if (found != TERN_ESCAPE_CHARACTER) return tern__pattern_wrong(r, "a class at the end of a range", err);
        if (last < first) return tern__pattern_wrong(r, "a range that ends before it starts", err);
    }
    return tern__code_set_add(set, first, last) ? TERN_OK : FAIL_SET(err);
}

static tern_status read_member(tern_pattern_reader *r, int depth, tern_escape *found, uint32_t *character, tern_code_set *set,
                               tern_error *err) {
    *found = TERN_ESCAPE_CHARACTER;
    if (tern__pattern_is_at(r, '[')) {
        bool is_posix;
        *found = TERN_ESCAPE_SET;
        TERN_TRY(read_posix(r, set, &is_posix, err));
        if (is_posix) return TERN_OK;
        tern_code_set nested = {0};
        r->at++;
        tern_status status = read_nested_class(r, depth + 1, &nested, err);
        if (status == TERN_OK && !tern__code_set_add_set(set, &nested)) status = FAIL_SET(err);
        tern__code_set_free(&nested);
        return status;
    }
    if (!tern__pattern_is_at(r, '\\')) {
        *character = tern__pattern_next(r);
        return TERN_OK;
    }
    r->at++;
    return tern__pattern_read_escape(r, true, found, character, set, err);
}

/* Members up to && or ], which is not read. */
static tern_status read_members(tern_pattern_reader *r, int depth, bool is_first, tern_code_set *set, tern_error *err) {
    for (;; is_first = false) {
        if (r->at == r->n_bytes) return tern__pattern_wrong(r, "a class does not end", err);
        bool is_end = tern__pattern_is_at(r, ']');
        if (is_end && is_first) {
            const char *rest = memchr(r->text + r->at + 1, ']', r->n_bytes - r->at - 1);
            if (!rest) return tern__pattern_wrong(r, "a class is empty", err);
            is_end = false;
        }
        if (is_end || (r->n_bytes - r->at >= 2 && r->text[r->at] == '&' && r->text[r->at + 1] == '&')) {
            tern__code_set_sort(set);
            return TERN_OK;
        }
        tern_escape found;
        uint32_t character;
        TERN_TRY(read_member(r, depth, &found, &character, set, err));
        if (found == TERN_ESCAPE_CHARACTER) {
            TERN_TRY(read_range_end(r, depth, character, set, err));
        } else if (r->n_bytes - r->at >= 2 && r->text[r->at] == '-' && r->text[r->at + 1] != ']') {
            return tern__pattern_refuse(r, "a range that starts with a class", err);
        }
    }
}

/* Without the options, up to behind the ]; `is_inverted` is whether it starts with ^, which then is left to the caller. */
static tern_status read_intersections(tern_pattern_reader *r, int depth, tern_code_set *set, bool *is_inverted, tern_error *err) {
    if (depth > MAX_CLASS_DEPTH) return tern__pattern_refuse(r, "a class nested so deeply", err);
    *is_inverted = tern__pattern_is_at(r, '^');
    r->at += *is_inverted;
    TERN_TRY(read_members(r, depth, true, set, err));
    while (tern__pattern_is_at(r, '&')) {
        tern_code_set other = {0};
        r->at += 2;
        tern_status status = read_members(r, depth, false, &other, err);
        if (status == TERN_OK && !tern__code_set_intersect(set, &other)) status = FAIL_SET(err);
        tern__code_set_free(&other);
        TERN_TRY(status);
    }
    r->at++;
    return TERN_OK;
}

static tern_status read_nested_class(tern_pattern_reader *r, int depth, tern_code_set *set, tern_error *err) {
    bool is_inverted = false;
    TERN_TRY(read_intersections(r, depth, set, &is_inverted, err));
    return !is_inverted || tern__code_set_invert(set) ? TERN_OK : FAIL_SET(err);
}

tern_status tern__pattern_read_class(tern_pattern_reader *r, unsigned options, tern_code_set *set, tern_error *err) {
    bool is_inverted = false;
    TERN_TRY(read_intersections(r, 0, set, &is_inverted, err));
    if (options & TERN_OPTION_IGNORE_CASE && !tern__code_set_ignore_case(set)) return FAIL_SET(err);
    return !is_inverted || tern__code_set_invert(set) ? TERN_OK : FAIL_SET(err);
}
