/* pattern_reader.h - the parts that pattern_syntax.c's translation shares with pattern_reader.c: escapes and classes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PATTERN_READER_H
#define TERN_TEXT_PATTERN_READER_H

#include "base/text_builder.h"
#include "text/json_fields.h"
#include "text/unicode/pattern_class.h"

enum { TERN_OPTION_IGNORE_CASE = 1, TERN_OPTION_DOT_ALL = 2, TERN_OPTION_EXTENDED = 4 };

#define TERN_REPEAT_MAX 65535UL /* PCRE2's */
#define TERN_REPEAT_ANY (TERN_REPEAT_MAX + 1)

typedef struct tern_repeat {
    unsigned long low, high;
    char suffix;      /* ? + or NUL */
    bool is_optional; /* {n}? */
} tern_repeat;

typedef struct tern_group_name {
    const char *name;
    size_t n_bytes;
    unsigned group;
} tern_group_name;

typedef struct tern_pattern_reader {
    const char *text; /* well-formed UTF-8 */
    size_t n_bytes, at;
    tern_json_place place;
    tern_text_builder *out;
    tern_class_writer classes;
    uint32_t *literals; /* characters that are not written yet, since several may be one when case is ignored */
    size_t n_literals, literals_capacity;
    tern_repeat repeat;
    int depth;
    bool has_names; /* then groups without a name do not capture */
    unsigned n_groups;
    tern_group_name *names;
    size_t n_names, names_capacity;
} tern_pattern_reader;

/* "tokenizer.json: pre_tokenizer Split: \X in a pattern is not supported" */
tern_status tern__pattern_refuse(const tern_pattern_reader *r, const char *construct, tern_error *err);
/* "tokenizer.json: pre_tokenizer Split: the pattern is wrong at byte 7: .." */
tern_status tern__pattern_wrong(const tern_pattern_reader *r, const char *what, tern_error *err);

static inline bool tern__pattern_is_at(const tern_pattern_reader *r, char c) { return r->at < r->n_bytes && r->text[r->at] == c; }
/* Over white space and comments, where the option (?x) is on. */
void tern__pattern_skip_space(tern_pattern_reader *r, unsigned options);
/* The character at r->at. */
uint32_t tern__pattern_next(tern_pattern_reader *r);

typedef enum tern_escape { TERN_ESCAPE_CHARACTER, TERN_ESCAPE_SET, TERN_ESCAPE_OTHER } tern_escape;

/* Behind a backslash: a character, a set that is added to `set`, or something else, which is not read. */
tern_status tern__pattern_read_escape(tern_pattern_reader *r, bool in_class, tern_escape *found, uint32_t *character, tern_code_set *set,
                                      tern_error *err);
/* The group that a number at r->at refers to, and where the number ends; 0: none, since a number of two digits and more groups than there
 * are so far is a character, in octal. */
unsigned long tern__pattern_group_number(const tern_pattern_reader *r, size_t *end);
/* \w and \b: unlike [\w], with the digits of Latin-1 that are no decimal digits. */
bool tern__pattern_add_word(tern_code_set *set);
/* Behind the [ of a class, up to behind its ]. */
tern_status tern__pattern_read_class(tern_pattern_reader *r, unsigned options, tern_code_set *set, tern_error *err);

#endif
