/* pattern_syntax.c - from Oniguruma's syntax to PCRE2's.
 *
 * What is alike is passed on. What differs is spelt out: every class becomes a set of code points, by the tables of Hugging Face's library,
 * and a class of PCRE2 that is that set; a letter whose case is ignored becomes a class; so does the dot. Where PCRE2 has nothing of the
 * kind, the construct is refused by name: absence operators, subexpression calls, conditions, callouts, \X, ASCII-only options.
 * Source: Oniguruma's doc/RE, syntax ONIG_SYNTAX_ONIGURUMA; PCRE2's manual, pcre2pattern(3).
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern_syntax.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/pattern_class.h"
#include "text/unicode/pattern_reader.h"
#include "text/unicode/unicode.h"

/* Groups in groups. */
#define MAX_DEPTH 250

static tern_status parse_alternatives(tern_pattern_reader *r, unsigned options, tern_error *err);

/* ---- Literals ---- */

static void write_literal(tern_text_builder *out, uint32_t c) {
    bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (c >= 0x80 || c < 0x20 || c == 0x7F) tern__text_print(out, "\\x{%X}", (unsigned)c);
    else tern__text_print(out, is_word ? "%c" : "\\%c", (int)c);
}

static tern_status write_one(tern_pattern_reader *r, uint32_t c, unsigned options, tern_error *err) {
    if (!(options & TERN_OPTION_IGNORE_CASE)) {
        write_literal(r->out, c);
        return TERN_OK;
    }
    tern_code_set set = {0};
    tern_status status = tern__code_set_add(&set, c, c) && tern__code_set_ignore_case(&set) ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof set);
    if (status == TERN_OK && set.n == 1 && set.ranges[0].first == set.ranges[0].last) write_literal(r->out, c);
    else if (status == TERN_OK) status = tern__class_write(&r->classes, r->out, &set, err);
    tern__code_set_free(&set);
    return status;
}

/* Characters of which several may be one: "ss" and U+00DF. */
static tern_status write_same(tern_pattern_reader *r, const uint32_t *text, size_t n, tern_error *err) {
    uint32_t same[TERN_CLASS_SEVERAL_MAX];
    size_t n_same = n > 1 ? tern__class_several(same, text, n) : 0;
    if (n_same > 0) tern__text_print(r->out, "(?:");
    for (size_t i = 0; i < n; i++) TERN_TRY(write_one(r, text[i], TERN_OPTION_IGNORE_CASE, err));
    for (size_t i = 0; i < n_same; i++) tern__text_print(r->out, "|\\x{%X}", (unsigned)same[i]);
    if (n_same > 0) tern__text_print(r->out, ")");
    return TERN_OK;
}

/* Characters that follow each other, without case: from the left, the most that are one; or one that is several. */
static tern_status write_folded(tern_pattern_reader *r, const uint32_t *text, size_t n, tern_error *err) {
    uint32_t folded[3], same[TERN_CLASS_SEVERAL_MAX];
    for (size_t i = 0, length; i < n; i += length) {
        size_t n_folded = tern__class_fold(folded, text[i]);
        length = n_folded > 0 ? 1 : n - i < 3 ? n - i : 3;
        while (length > 1 && tern__class_several(same, text + i, length) == 0) length--;
        TERN_TRY(write_same(r, n_folded > 0 ? folded : text + i, n_folded > 0 ? n_folded : length, err));
    }
    return TERN_OK;
}

/* The literals that wait. The last one alone when a quantifier follows. */
static tern_status flush_literals(tern_pattern_reader *r, unsigned options, tern_error *err) {
    tern_status status = TERN_OK;
    if (options & TERN_OPTION_IGNORE_CASE) status = write_folded(r, r->literals, r->n_literals, err);
    else
        for (size_t i = 0; i < r->n_literals; i++) write_literal(r->out, r->literals[i]);
    r->n_literals = 0;
    return status;
}

/* ---- Quantifiers ---- */

/* The quantifier at r->at, if one is there; *n_bytes is its length, and 0 when there is none. {,n} and {n}? are Oniguruma's: at most n; n
 * times or not at all. */
static tern_status read_quantifier(tern_pattern_reader *r, size_t *n_bytes, tern_error *err) {
    const char *at = r->text + r->at, *end = r->text + r->n_bytes, *digit = at + 1;
    *n_bytes = 0;
    r->repeat = (tern_repeat){0};
    if (at == end) return TERN_OK;
    if (*at == '?' || *at == '*' || *at == '+') {
        r->repeat = (tern_repeat){.low = *at == '+', .high = *at == '?' ? 1 : TERN_REPEAT_ANY};
        bool has_suffix = digit < end && (*digit == '?' || *digit == '+');
        r->repeat.suffix = has_suffix ? *digit : '\0';
        *n_bytes = has_suffix ? 2 : 1;
        return TERN_OK;
    }
    if (*at != '{') return TERN_OK;
    bool has_low = false, has_high = false, has_comma = false;
    unsigned long low = 0, high = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9' && low <= TERN_REPEAT_MAX; digit++)
        low = 10 * low + (unsigned long)(*digit - '0'), has_low = true;
    if (digit < end && *digit == ',') {
        has_comma = true;
        for (digit++; digit < end && *digit >= '0' && *digit <= '9' && high <= TERN_REPEAT_MAX; digit++)
            high = 10 * high + (unsigned long)(*digit - '0'), has_high = true;
    }
    if (digit == end || *digit != '}' || !(has_low || has_high)) {
        bool is_too_big = low > TERN_REPEAT_MAX || high > TERN_REPEAT_MAX;
        return is_too_big ? tern__pattern_refuse(r, "a repetition of more than 65535", err) : TERN_OK;
    }
    if (!has_comma) high = low;
    else if (!has_high) high = TERN_REPEAT_ANY;
    if (low > high || low > TERN_REPEAT_MAX || (high > TERN_REPEAT_MAX && high != TERN_REPEAT_ANY))
        return tern__pattern_refuse(r, low > high ? "a repetition {n,m} with n > m" : "a repetition of more than 65535", err);
    r->repeat = (tern_repeat){.low = low, .high = high};
    *n_bytes = (size_t)(digit + 1 - at);
    if (digit + 1 < end && digit[1] == '?') {
        r->repeat.suffix = '?';
        r->repeat.is_optional = !has_comma;
        *n_bytes += 1;
    }
    return TERN_OK;
}

/* Put "(?:" in front of what was written from byte `start` on, and ")" behind. */
static void wrap(tern_pattern_reader *r, size_t start) {
    tern__text_print(r->out, "(?:)");
    if (r->out->has_failed) return;
    char *data = r->out->data;
    memmove(data + start + 3, data + start, r->out->n_bytes - 4 - start);
    memcpy(data + start, "(?:", 3);
    data[r->out->n_bytes - 1] = ')';
}

/* The quantifiers behind an item that was written from byte `start` on. */
static tern_status parse_quantifiers(tern_pattern_reader *r, size_t start, unsigned options, tern_error *err) {
    for (bool is_first = true;; is_first = false) {
        size_t n_bytes;
        tern__pattern_skip_space(r, options);
        TERN_TRY(read_quantifier(r, &n_bytes, err));
        if (n_bytes == 0) return TERN_OK;
        r->at += n_bytes;
        if (!is_first) wrap(r, start);
        if (r->repeat.high == TERN_REPEAT_ANY) tern__text_print(r->out, "{%lu,}", r->repeat.low);
        else tern__text_print(r->out, "{%lu,%lu}", r->repeat.low, r->repeat.high);
        if (r->repeat.is_optional) {
            wrap(r, start);
            tern__text_print(r->out, "?");
        } else if (r->repeat.suffix) {
            tern__text_print(r->out, "%c", r->repeat.suffix);
        }
    }
}

/* ---- Groups ---- */

/* i, m, x and - behind "(?", up to : or ), which is not read. */
static tern_status read_options(tern_pattern_reader *r, unsigned *options, tern_error *err) {
    bool is_on = true;
    for (; r->at < r->n_bytes && !tern__pattern_is_at(r, ':') && !tern__pattern_is_at(r, ')'); r->at++) {
        unsigned option = 0;
        switch (r->text[r->at]) {
        case '-':
            is_on = false;
            continue;
        case 'i':
            option = TERN_OPTION_IGNORE_CASE;
            break;
        case 'm':
            option = TERN_OPTION_DOT_ALL;
            break;
        case 'x':
            option = TERN_OPTION_EXTENDED;
            break;
        case 'W':
        case 'D':
        case 'S':
        case 'P':
        case 'C':
        case 'I':
        case 'L':
        case 'y':
            return tern__pattern_refuse(r, "an option but i, m and x", err);
        default:
            return tern__pattern_wrong(r, "an unknown option", err);
        }
        *options = is_on ? *options | option : *options & ~option;
    }
    return r->at < r->n_bytes ? TERN_OK : tern__pattern_wrong(r, "a group does not end", err);
}

/* The name behind (?< or \k<, up to the closing mark, which is read. */
static tern_status read_name(tern_pattern_reader *r, char closing, tern_group_name *name, tern_error *err) {
    const char *start = r->text + r->at, *end = memchr(start, closing, r->n_bytes - r->at);
    if (!end || end == start) return tern__pattern_wrong(r, "a group's name", err);
    *name = (tern_group_name){.name = start, .n_bytes = (size_t)(end - start)};
    r->at = (size_t)(end + 1 - r->text);
    return TERN_OK;
}

static const tern_group_name *find_name(const tern_pattern_reader *r, const tern_group_name *name) {
    for (size_t i = 0; i < r->n_names; i++)
        if (r->names[i].n_bytes == name->n_bytes && memcmp(r->names[i].name, name->name, name->n_bytes) == 0) return &r->names[i];
    return NULL;
}

static tern_status add_name(tern_pattern_reader *r, tern_group_name name, tern_error *err) {
    if (find_name(r, &name)) return tern__pattern_refuse(r, "a name that two groups have", err);
    if (name.name[0] >= '0' && name.name[0] <= '9') return tern__pattern_wrong(r, "a group's name", err);
    if (!tern__grow(&r->names, &r->names_capacity, r->n_names + 1, sizeof *r->names))
        return TERN_FAIL_MEMORY(err, (r->n_names + 1) * sizeof *r->names);
    name.group = ++r->n_groups;
    r->names[r->n_names++] = name;
    return TERN_OK;
}

/* The alternatives of a group whose beginning is written, and its ). */
static tern_status finish_group(tern_pattern_reader *r, unsigned options, tern_error *err) {
    TERN_TRY(parse_alternatives(r, options, err));
    if (!tern__pattern_is_at(r, ')')) return tern__pattern_wrong(r, "a group does not end", err);
    r->at++;
    tern__text_print(r->out, ")");
    return TERN_OK;
}

static tern_status open_group(tern_pattern_reader *r, size_t n_read, const char *opening, unsigned options, tern_error *err) {
    r->at += n_read;
    tern__text_print(r->out, "%s", opening);
    return finish_group(r, options, err);
}

/* (?i) holds up to the end of the group that it stands in, over its alternatives: a(?i)b|c is a(?i:b|c). */
static tern_status parse_options(tern_pattern_reader *r, unsigned options, tern_error *err) {
    TERN_TRY(read_options(r, &options, err));
    bool is_group = tern__pattern_is_at(r, ':');
    r->at++;
    tern__text_print(r->out, "(?:");
    if (is_group) return finish_group(r, options, err);
    TERN_TRY(parse_alternatives(r, options, err));
    tern__text_print(r->out, ")");
    return TERN_OK;
}

/* At a (. */
static tern_status parse_group(tern_pattern_reader *r, unsigned options, tern_error *err) {
    static const char *const passed[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    const char *at = r->text + r->at;
    size_t left = r->n_bytes - r->at;
    if (left < 2 || at[1] != '?') {
        if (!r->has_names) r->n_groups++;
        return open_group(r, 1, r->has_names ? "(?:" : "(", options, err);
    }
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        if (left >= strlen(passed[i]) && memcmp(at, passed[i], strlen(passed[i])) == 0)
            return open_group(r, strlen(passed[i]), passed[i], options, err);
    char kind = left > 2 ? at[2] : '\0';
    r->at += 2;
    switch (kind) {
    case '<':
    case '\'': {
        tern_group_name name = {0};
        r->at++;
        TERN_TRY(read_name(r, kind == '<' ? '>' : '\'', &name, err));
        TERN_TRY(add_name(r, name, err));
        return open_group(r, 0, "(", options, err);
    }
    case '~':
        return tern__pattern_refuse(r, "an absence operator (?~", err);
    case '(':
        return tern__pattern_refuse(r, "a condition (?(", err);
    case '{':
        return tern__pattern_refuse(r, "a callout (?{", err);
    case ')':
        return tern__pattern_wrong(r, "an empty option", err);
    }
    return parse_options(r, options, err);
}

/* ---- Escapes ---- */

static tern_status write_boundary(tern_pattern_reader *r, bool is_inverted, tern_error *err) {
    tern_code_set word = {0};
    tern_text_builder builder = {0};
    tern_status status = tern__pattern_add_word(&word) ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof word);
    if (status == TERN_OK) status = tern__class_write(&r->classes, &builder, &word, err);
    tern__code_set_free(&word);
    char *w = tern__text_take(&builder);
    if (status == TERN_OK && !w) status = TERN_FAIL_MEMORY(err, sizeof builder);
    if (status == TERN_OK && is_inverted) tern__text_print(r->out, "(?:(?<=%s)(?=%s)|(?<!%s)(?!%s))", w, w, w, w);
    else if (status == TERN_OK) tern__text_print(r->out, "(?:(?<=%s)(?!%s)|(?<!%s)(?=%s))", w, w, w, w);
    free(w);
    return status;
}

static void write_reference(tern_pattern_reader *r, unsigned long group, unsigned options) {
    tern__text_print(r->out, options & TERN_OPTION_IGNORE_CASE ? "(?i:\\g{%lu})" : "(?:\\g{%lu})", group);
}

/* \1: behind the backslash. */
static tern_status parse_number(tern_pattern_reader *r, unsigned options, tern_error *err) {
    if (r->has_names) return tern__pattern_wrong(r, "a reference by number where groups have names", err);
    write_reference(r, tern__pattern_group_number(r, &r->at), options);
    return TERN_OK;
}

/* \k<name>, \k<1>, \k<-1>: behind the k. */
static tern_status parse_reference(tern_pattern_reader *r, unsigned options, tern_error *err) {
    tern_group_name name = {0};
    if (!tern__pattern_is_at(r, '<') && !tern__pattern_is_at(r, '\'')) return tern__pattern_refuse(r, "\\k without a name", err);
    char closing = tern__pattern_is_at(r, '<') ? '>' : '\'';
    r->at++;
    TERN_TRY(read_name(r, closing, &name, err));
    const tern_group_name *known = find_name(r, &name);
    bool is_relative = name.name[0] == '-';
    unsigned long number = 0;
    for (size_t i = is_relative; i < name.n_bytes && !known; i++) {
        if (name.name[i] < '0' || name.name[i] > '9' || number > 1000)
            return tern__pattern_refuse(r, "\\k of a group behind it, or of a level", err);
        number = 10 * number + (unsigned long)(name.name[i] - '0');
    }
    if (!known && is_relative) number = number <= r->n_groups ? r->n_groups + 1 - number : 0;
    if (!known && (number == 0 || r->has_names)) return tern__pattern_wrong(r, "no such group", err);
    write_reference(r, known ? known->group : number, options);
    return TERN_OK;
}

/* Behind a backslash: what is no character and no set. */
static tern_status parse_other_escape(tern_pattern_reader *r, unsigned options, tern_error *err) {
    char c = r->text[r->at];
    if (c >= '1' && c <= '9') return parse_number(r, options, err);
    r->at++;
    switch (c) {
    case 'b':
    case 'B':
        return write_boundary(r, c == 'B', err);
    case 'N':
        tern__text_print(r->out, "[^\\n]");
        return TERN_OK;
    case 'O':
        tern__text_print(r->out, "(?s:.)");
        return TERN_OK;
    case 'k':
        return parse_reference(r, options, err);
    case 'X':
    case 'y':
    case 'Y':
        return tern__pattern_refuse(r, "\\X, \\y or \\Y", err);
    case 'g':
        return tern__pattern_refuse(r, "a call \\g", err);
    }
    tern__text_print(r->out, "\\%c", c); /* A z Z G K R */
    return TERN_OK;
}

/* ---- Items ---- */

static tern_status push_literal(tern_pattern_reader *r, uint32_t c, tern_error *err) {
    if (!tern__grow(&r->literals, &r->literals_capacity, r->n_literals + 1, sizeof *r->literals))
        return TERN_FAIL_MEMORY(err, (r->n_literals + 1) * sizeof *r->literals);
    r->literals[r->n_literals++] = c;
    return TERN_OK;
}

/* A character that may be one of several that follow each other: it is written when something else comes. */
static tern_status parse_literal(tern_pattern_reader *r, uint32_t c, unsigned options, tern_error *err) {
    size_t n_bytes;
    tern__pattern_skip_space(r, options);
    TERN_TRY(read_quantifier(r, &n_bytes, err));
    if (n_bytes == 0) return push_literal(r, c, err);
    TERN_TRY(flush_literals(r, options, err));
    size_t start = r->out->n_bytes;
    bool is_folded = options & TERN_OPTION_IGNORE_CASE; /* may be several characters */
    if (is_folded) tern__text_print(r->out, "(?:");
    TERN_TRY(push_literal(r, c, err));
    TERN_TRY(flush_literals(r, options, err));
    if (is_folded) tern__text_print(r->out, ")");
    return parse_quantifiers(r, start, options, err);
}

static tern_status write_set(tern_pattern_reader *r, const tern_code_set *set, tern_error *err) {
    return tern__class_write(&r->classes, r->out, set, err);
}

/* Behind a [. Without case, a class that has U+00DF finds "ss" too, after its characters. */
static tern_status parse_class(tern_pattern_reader *r, unsigned options, tern_code_set *set, tern_error *err) {
    uint32_t text[3];
    size_t row = 0, n;
    bool is_inverted = tern__pattern_is_at(r, '^');
    TERN_TRY(tern__pattern_read_class(r, options, set, err));
    n = options & TERN_OPTION_IGNORE_CASE && !is_inverted ? tern__class_next_several(text, set, &row) : 0;
    if (n == 0) return write_set(r, set, err);
    tern__text_print(r->out, "(?:");
    TERN_TRY(write_set(r, set, err));
    for (; n > 0; n = tern__class_next_several(text, set, &row)) {
        tern__text_print(r->out, "|");
        for (size_t i = 0; i < n; i++) TERN_TRY(write_one(r, text[i], options, err));
    }
    tern__text_print(r->out, ")");
    return TERN_OK;
}

/* What is no literal: at r->at. */
static tern_status parse_compound(tern_pattern_reader *r, unsigned options, tern_error *err) {
    tern_code_set set = {0};
    tern_status status = TERN_OK;
    switch (r->text[r->at]) {
    case '(':
        return parse_group(r, options, err);
    case '.':
        r->at++;
        tern__text_print(r->out, options & TERN_OPTION_DOT_ALL ? "(?s:.)" : "[^\\n]");
        return TERN_OK;
    case '^':
    case '$':
        tern__text_print(r->out, "%c", r->text[r->at++]);
        return TERN_OK;
    case '[':
        r->at++;
        status = parse_class(r, options, &set, err);
        break;
    }
    tern__code_set_free(&set);
    return status;
}

static tern_status parse_escape(tern_pattern_reader *r, unsigned options, tern_error *err) {
    tern_code_set set = {0};
    tern_escape found;
    uint32_t character = 0;
    r->at++;
    tern_status status = tern__pattern_read_escape(r, false, &found, &character, &set, err);
    if (status == TERN_OK && found == TERN_ESCAPE_CHARACTER) status = parse_literal(r, character, options, err);
    else if (status == TERN_OK) {
        status = flush_literals(r, options, err);
        size_t start = r->out->n_bytes;
        if (status == TERN_OK) status = found == TERN_ESCAPE_SET ? write_set(r, &set, err) : parse_other_escape(r, options, err);
        if (status == TERN_OK) status = parse_quantifiers(r, start, options, err);
    }
    tern__code_set_free(&set);
    return status;
}

/* (?#..) at r->at. */
static bool skip_comment(tern_pattern_reader *r) {
    if (r->n_bytes - r->at < 3 || memcmp(r->text + r->at, "(?#", 3) != 0) return false;
    size_t i = r->at + 3;
    for (; i < r->n_bytes && r->text[i] != ')'; i++) i += r->text[i] == '\\';
    r->at = i < r->n_bytes ? i + 1 : r->n_bytes;
    return true;
}

static tern_status parse_item(tern_pattern_reader *r, unsigned options, tern_error *err) {
    char c = r->text[r->at];
    if (skip_comment(r)) return TERN_OK;
    if (c == '\\') return parse_escape(r, options, err);
    if (c == '*' || c == '+' || c == '?') return tern__pattern_wrong(r, "nothing to repeat", err);
    if (c == '\0' || !strchr("(.^$[", c)) return parse_literal(r, tern__pattern_next(r), options, err);
    TERN_TRY(flush_literals(r, options, err));
    size_t start = r->out->n_bytes;
    TERN_TRY(parse_compound(r, options, err));
    return parse_quantifiers(r, start, options, err);
}

/* Up to the end, or a ) that is not read. */
static tern_status parse_alternatives(tern_pattern_reader *r, unsigned options, tern_error *err) {
    if (++r->depth > MAX_DEPTH) return tern__pattern_refuse(r, "a group nested so deeply", err);
    for (tern__pattern_skip_space(r, options); r->at < r->n_bytes && !tern__pattern_is_at(r, ')'); tern__pattern_skip_space(r, options)) {
        if (tern__pattern_is_at(r, '|')) {
            TERN_TRY(flush_literals(r, options, err));
            tern__text_print(r->out, "|");
            r->at++;
        } else {
            TERN_TRY(parse_item(r, options, err));
        }
    }
    r->depth--;
    return flush_literals(r, options, err);
}

/* (?<name> or (?'name' somewhere. */
static bool has_named_group(tern_text regex) {
    for (size_t i = 0; i + 3 < regex.bytes; i++) {
        const char *at = regex.data + i;
        if (at[0] == '\\') i++;
        else if (memcmp(at, "(?'", 3) == 0 || (memcmp(at, "(?<", 3) == 0 && at[3] != '=' && at[3] != '!')) return true;
    }
    return false;
}

tern_status tern__pattern_translate(tern_text_builder *out, tern_text regex, tern_json_place place, tern_error *err) {
    tern_pattern_reader r = {.text = regex.data, .n_bytes = regex.bytes, .place = place, .out = out, .has_names = has_named_group(regex)};
    tern_status status = parse_alternatives(&r, 0, err);
    if (status == TERN_OK && r.at < r.n_bytes) status = tern__pattern_wrong(&r, "a ) without a (", err);
    tern__class_writer_free(&r.classes);
    free(r.literals);
    free(r.names);
    return status;
}
