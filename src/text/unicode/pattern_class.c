/* pattern_class.c - what the names of classes mean, and what is the same when case is ignored.
 * Source: Oniguruma's doc/RE for the names; what they hold is in pattern_data.inc, as Hugging Face's library has it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern_class.h"

#include <string.h>

#include "text/unicode/pattern_data.inc"

#define COUNT(array)  (sizeof(array) / sizeof(array)[0])
#define CATEGORY_BITS 0x1Fu

enum { N_CATEGORIES = PATTERN_ZP + 1 };
_Static_assert(N_CATEGORIES == TERN_CLASS_CATEGORIES, "one table");

/* In the order of PATTERN_CN ... PATTERN_ZP; with the long names, without _. */
static const struct {
    const char *name, *long_name;
} CATEGORIES[N_CATEGORIES] = {
    {"cn", "unassigned"},
    {"cc", "control"},
    {"cf", "format"},
    {"co", "privateuse"},
    {"cs", "surrogate"},
    {"lu", "uppercaseletter"},
    {"ll", "lowercaseletter"},
    {"lt", "titlecaseletter"},
    {"lm", "modifierletter"},
    {"lo", "otherletter"},
    {"mn", "nonspacingmark"},
    {"mc", "spacingmark"},
    {"me", "enclosingmark"},
    {"nd", "decimalnumber"},
    {"nl", "letternumber"},
    {"no", "othernumber"},
    {"pc", "connectorpunctuation"},
    {"pd", "dashpunctuation"},
    {"ps", "openpunctuation"},
    {"pe", "closepunctuation"},
    {"pi", "initialpunctuation"},
    {"pf", "finalpunctuation"},
    {"po", "otherpunctuation"},
    {"sm", "mathsymbol"},
    {"sc", "currencysymbol"},
    {"sk", "modifiersymbol"},
    {"so", "othersymbol"},
    {"zs", "spaceseparator"},
    {"zl", "lineseparator"},
    {"zp", "paragraphseparator"},
};

#define BIT(category) (1u << (category))
#define LETTERS       (BIT(PATTERN_LU) | BIT(PATTERN_LL) | BIT(PATTERN_LT) | BIT(PATTERN_LM) | BIT(PATTERN_LO))
#define MARKS         (BIT(PATTERN_MN) | BIT(PATTERN_MC) | BIT(PATTERN_ME))
#define NUMBERS       (BIT(PATTERN_ND) | BIT(PATTERN_NL) | BIT(PATTERN_NO))
#define PUNCTUATION                                                                                                                        \
    (BIT(PATTERN_PC) | BIT(PATTERN_PD) | BIT(PATTERN_PS) | BIT(PATTERN_PE) | BIT(PATTERN_PI) | BIT(PATTERN_PF) | BIT(PATTERN_PO))
#define SYMBOLS    (BIT(PATTERN_SM) | BIT(PATTERN_SC) | BIT(PATTERN_SK) | BIT(PATTERN_SO))
#define SEPARATORS (BIT(PATTERN_ZS) | BIT(PATTERN_ZL) | BIT(PATTERN_ZP))
#define OTHERS     (BIT(PATTERN_CN) | BIT(PATTERN_CC) | BIT(PATTERN_CF) | BIT(PATTERN_CO) | BIT(PATTERN_CS))
#define ALL        (BIT(N_CATEGORIES) - 1)

/* Code points of some categories, or with some of the bits PATTERN_ALPHABETIC .. */
typedef struct tern_property {
    const char *name, *long_name;
    uint32_t categories, bits;
} tern_property;

static const tern_property PROPERTIES[] = {
    {"l", "letter", LETTERS, 0},
    {"m", "mark", MARKS, 0},
    {"n", "number", NUMBERS, 0},
    {"p", "punctuation", PUNCTUATION, 0},
    {"s", "symbol", SYMBOLS, 0},
    {"z", "separator", SEPARATORS, 0},
    {"c", "other", OTHERS, 0},
    {"lc", "casedletter", BIT(PATTERN_LU) | BIT(PATTERN_LL) | BIT(PATTERN_LT), 0},
    {"combiningmark", "combiningmark", MARKS, 0},
    {"any", "any", ALL, 0},
    {"assigned", "assigned", ALL & ~BIT(PATTERN_CN), 0},
    {"alpha", "alphabetic", 0, PATTERN_ALPHABETIC},
    {"lower", "lowercase", 0, PATTERN_LOWERCASE},
    {"upper", "uppercase", 0, PATTERN_UPPERCASE},
    {"alnum", "alnum", BIT(PATTERN_ND), PATTERN_ALPHABETIC},
    {"word", "word", MARKS | BIT(PATTERN_ND) | BIT(PATTERN_NL) | BIT(PATTERN_PC) | LETTERS, PATTERN_ALPHABETIC},
    {"digit", "digit", BIT(PATTERN_ND), 0},
    {"cntrl", "cntrl", BIT(PATTERN_CC), 0},
    {"punct", "punct", PUNCTUATION, 0},
    {"graph", "graph", ALL & ~(SEPARATORS | BIT(PATTERN_CN) | BIT(PATTERN_CC) | BIT(PATTERN_CS)), 0},
    {"print", "print", ALL & ~(BIT(PATTERN_ZL) | BIT(PATTERN_ZP) | BIT(PATTERN_CN) | BIT(PATTERN_CC) | BIT(PATTERN_CS)), 0},
};

static uint32_t run_end(size_t run) { return run + 1 < COUNT(pattern_runs) ? pattern_runs[run + 1].first - 1 : TERN_CODE_POINT_MAX; }

static bool add_categories(tern_code_set *set, uint32_t categories, uint32_t bits) {
    for (size_t i = 0; i < COUNT(pattern_runs); i++) {
        unsigned kind = pattern_kinds[pattern_runs[i].kind][0];
        if ((BIT(kind & CATEGORY_BITS) & categories || kind & bits) && !tern__code_set_add(set, pattern_runs[i].first, run_end(i)))
            return false;
    }
    return true;
}

static bool add_script(tern_code_set *set, size_t script) {
    for (size_t i = 0; i < COUNT(pattern_runs); i++)
        if (pattern_kinds[pattern_runs[i].kind][1] == script && !tern__code_set_add(set, pattern_runs[i].first, run_end(i))) return false;
    return true;
}

static bool add_ranges(tern_code_set *set, const tern_code_range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!tern__code_set_add(set, ranges[i].first, ranges[i].last)) return false;
    return true;
}

/* One of the words of `words`, parted by spaces. */
static bool has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

/* In lower case, without spaces, - and _; false when it is no name. */
static bool plain_name(char *out, size_t size, const char *name, size_t n_name) {
    size_t n = 0;
    for (size_t i = 0; i < n_name; i++) {
        char c = name[i];
        if (c == ' ' || c == '-' || c == '_') continue;
        if (c >= 'A' && c <= 'Z') c = (char)(c + ('a' - 'A'));
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) || n + 1 == size) return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

static const tern_code_range SPACES[] = {{0x09, 0x0D}, {0x85, 0x85}}, BLANKS[] = {{0x09, 0x09}}, ASCII[] = {{0, 0x7F}},
                             HEX_DIGITS[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

tern_class_found tern__class_add_property(tern_code_set *set, const char *name, size_t n_name) {
    char plain[64];
    bool is_found = true, is_added = false;
    if (!plain_name(plain, sizeof plain, name, n_name)) return TERN_CLASS_UNKNOWN;
    if (strcmp(plain, "space") == 0 || strcmp(plain, "whitespace") == 0)
        is_added = add_ranges(set, SPACES, COUNT(SPACES)) && add_categories(set, SEPARATORS, 0);
    else if (strcmp(plain, "blank") == 0) is_added = add_ranges(set, BLANKS, COUNT(BLANKS)) && add_categories(set, BIT(PATTERN_ZS), 0);
    else if (strcmp(plain, "ascii") == 0) is_added = add_ranges(set, ASCII, COUNT(ASCII));
    else if (strcmp(plain, "xdigit") == 0) is_added = add_ranges(set, HEX_DIGITS, COUNT(HEX_DIGITS));
    else {
        is_found = false;
        for (size_t i = 0; i < COUNT(PROPERTIES) && !is_found; i++)
            if (strcmp(plain, PROPERTIES[i].name) == 0 || strcmp(plain, PROPERTIES[i].long_name) == 0)
                is_found = true, is_added = add_categories(set, PROPERTIES[i].categories, PROPERTIES[i].bits);
        for (size_t i = 0; i < N_CATEGORIES && !is_found; i++)
            if (strcmp(plain, CATEGORIES[i].name) == 0 || strcmp(plain, CATEGORIES[i].long_name) == 0)
                is_found = true, is_added = add_categories(set, BIT(i), 0);
        for (size_t i = 0; i < COUNT(pattern_scripts) && !is_found; i++)
            if (has_word(pattern_scripts[i], plain)) is_found = true, is_added = add_script(set, i);
    }
    if (!is_found) return TERN_CLASS_UNKNOWN;
    tern__code_set_sort(set);
    return is_added ? TERN_CLASS_FOUND : TERN_CLASS_NO_MEMORY;
}

/* As properties, but that symbols are [:punct:] too. */
tern_class_found tern__class_add_posix(tern_code_set *set, const char *name, size_t n_name) {
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit",  "graph",
                                        "lower", "print", "punct", "space", "upper", "xdigit", "word"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strlen(names[i]) != n_name || memcmp(names[i], name, n_name) != 0) continue;
        if (strcmp(names[i], "punct") == 0 && !add_categories(set, SYMBOLS, 0)) return TERN_CLASS_NO_MEMORY;
        return tern__class_add_property(set, name, n_name);
    }
    return TERN_CLASS_UNKNOWN;
}

/* ---- Case ---- */

bool tern__code_set_ignore_case(tern_code_set *set) {
    size_t n = set->n;                                        /* its own; what is added stands behind */
    for (size_t i = 0, k = 0; i < COUNT(pattern_same); i++) { /* both are in order */
        const unsigned own = pattern_same[i][0];
        while (k < n && set->ranges[k].last < own) k++;
        if (k < n && set->ranges[k].first <= own && !tern__code_set_add(set, pattern_same[i][1], pattern_same[i][1])) return false;
    }
    tern__code_set_sort(set);
    return true;
}

static bool is_same(uint32_t a, uint32_t b) {
    if (a == b) return true;
    size_t low = 0, high = COUNT(pattern_same);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (pattern_same[middle][0] < a) low = middle + 1;
        else high = middle;
    }
    for (; low < COUNT(pattern_same) && pattern_same[low][0] == a; low++)
        if (pattern_same[low][1] == b) return true;
    return false;
}

static size_t several_length(const unsigned *row) { return row[3] != 0 ? 3 : 2; }

size_t tern__class_several(uint32_t out[TERN_CLASS_SEVERAL_MAX], const uint32_t *text, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < COUNT(pattern_several) && count < TERN_CLASS_SEVERAL_MAX; i++) {
        const unsigned *row = pattern_several[i];
        size_t k = 0;
        if (several_length(row) != n) continue;
        while (k < n && is_same(text[k], row[1 + k])) k++;
        if (k == n) out[count++] = row[0];
    }
    return count;
}

size_t tern__class_fold(uint32_t out[3], uint32_t code_point) {
    for (size_t i = 0; i < COUNT(pattern_several); i++) {
        const unsigned *row = pattern_several[i];
        if (row[0] != code_point) continue;
        for (size_t k = 0; k < 3; k++) out[k] = row[1 + k];
        return several_length(row);
    }
    return 0;
}

size_t tern__class_next_several(uint32_t out[3], const tern_code_set *set, size_t *row) {
    while (*row < COUNT(pattern_several)) {
        const unsigned *found = pattern_several[(*row)++];
        if (!tern__code_set_has(set, found[0])) continue;
        for (size_t k = 0; k < 3; k++) out[k] = found[1 + k];
        return several_length(found);
    }
    return 0;
}

/* ---- Categories ---- */

const char *tern__class_category(size_t category) { return CATEGORIES[category].name; }

void tern__class_count_categories(uint32_t in_set[TERN_CLASS_CATEGORIES], uint32_t in_all[TERN_CLASS_CATEGORIES],
                                  const tern_code_set *set) {
    size_t k = 0;
    for (size_t i = 0; i < COUNT(pattern_runs); i++) {
        unsigned category = pattern_kinds[pattern_runs[i].kind][0] & CATEGORY_BITS;
        uint32_t first = pattern_runs[i].first, last = run_end(i);
        in_all[category] += last - first + 1;
        for (; k < set->n && set->ranges[k].first <= last; k++) {
            uint32_t from = set->ranges[k].first > first ? set->ranges[k].first : first;
            uint32_t to = set->ranges[k].last < last ? set->ranges[k].last : last;
            in_set[category] += to - from + 1;
            if (set->ranges[k].last > last) break;
        }
    }
}
