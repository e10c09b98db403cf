/* class_writer.c - a set of code points as a class of PCRE2.
 *
 * A large set is mostly made of whole general categories, which PCRE2 finds faster than hundreds of ranges. But PCRE2's categories are
 * those of its own edition of Unicode. So the class of categories is put to PCRE2 with nearly all code points, and where it errs, ranges
 * correct it. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/pattern_class.h"
#include "text/unicode/pattern_engine.h"
#include "text/unicode/unicode.h"

/* Ranges that are written as they are. */
#define FEW_RANGES 40

struct tern_class_text {
    tern_code_set set;
    char *text;
};

void tern__class_writer_free(tern_class_writer *writer) {
    for (size_t i = 0; i < writer->n_kept; i++) {
        tern__code_set_free(&writer->kept[i].set);
        free(writer->kept[i].text);
    }
    free(writer->kept);
    free(writer->sample);
    *writer = (tern_class_writer){0};
}

/* But for planes 4 to 13, private use, Hangul, and the Han characters that each edition of Unicode since 6.0 has. */
static const tern_code_range SAMPLED[] = {{0, 0x33FF},        {0x4DB0, 0x4DFF},   {0x9F00, 0xABFF},   {0xD7A4, 0xD7FF},
                                          {0xF8F0, 0x1FFFF},  {0x2A6D0, 0x2A6FF}, {0x2B730, 0x2B73F}, {0x2B810, 0x2F7FF},
                                          {0x2FA10, 0x33FFF}, {0xE0000, 0xE0FFF}};

static bool make_sample(tern_class_writer *writer) {
    size_t n = 0;
    if (writer->sample) return true;
    for (size_t i = 0; i < sizeof SAMPLED / sizeof SAMPLED[0]; i++) n += SAMPLED[i].last - SAMPLED[i].first + 1;
    writer->sample = tern__alloc(n, TERN_UNICODE_MAX_UTF8);
    if (!writer->sample) return false;
    for (size_t i = 0; i < sizeof SAMPLED / sizeof SAMPLED[0]; i++)
        for (uint32_t c = SAMPLED[i].first; c <= SAMPLED[i].last; c++)
            writer->n_sample += tern__utf8_encode(writer->sample + writer->n_sample, c);
    return true;
}

static void write_code_point(tern_text_builder *out, uint32_t c) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_plain) tern__text_print(out, "%c", (int)c);
    else tern__text_print(out, "\\x{%X}", (unsigned)c);
}

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

/* Surrogates are in no text, and PCRE2 refuses them as ends of a range. False when nothing is left. */
static bool clip_range(tern_code_range *range) {
    if (range->first >= SURROGATE_FIRST && range->first <= SURROGATE_LAST) range->first = SURROGATE_LAST + 1;
    if (range->last >= SURROGATE_FIRST && range->last <= SURROGATE_LAST) range->last = SURROGATE_FIRST - 1;
    return range->first <= range->last;
}

static bool is_empty(const tern_code_set *set) {
    for (size_t i = 0; i < set->n; i++) {
        tern_code_range range = set->ranges[i];
        if (clip_range(&range)) return false;
    }
    return true;
}

static void write_ranges(tern_text_builder *out, const tern_code_set *set) {
    for (size_t i = 0; i < set->n; i++) {
        tern_code_range range = set->ranges[i];
        if (!clip_range(&range)) continue;
        write_code_point(out, range.first);
        if (range.last == range.first) continue;
        if (range.last > range.first + 1) tern__text_append(out, "-", 1);
        write_code_point(out, range.last);
    }
}

/* The categories of which the set has more than half; major categories as one. */
static void write_categories(tern_text_builder *out, const tern_code_set *set) {
    uint32_t in_set[TERN_CLASS_CATEGORIES] = {0}, in_all[TERN_CLASS_CATEGORIES] = {0};
    tern__class_count_categories(in_set, in_all, set);
    for (size_t i = 0, end; i < TERN_CLASS_CATEGORIES; i = end) {
        char major = tern__class_category(i)[0];
        bool has_all = true;
        for (end = i; end < TERN_CLASS_CATEGORIES && tern__class_category(end)[0] == major; end++)
            has_all = has_all && in_set[end] > in_all[end] / 2;
        if (has_all) tern__text_print(out, "\\p{%c}", major - ('a' - 'A'));
        for (size_t k = i; k < end && !has_all; k++)
            if (in_set[k] > in_all[k] / 2) tern__text_print(out, "\\p{%c%c}", major - ('a' - 'A'), tern__class_category(k)[1]);
    }
}

/* The code points of the sample that a class of PCRE2 finds. */
static tern_status find_members(tern_code_set *found, const tern_class_writer *writer, const char *categories, tern_error *err) {
    tern_text_builder builder = {0};
    tern__text_print(&builder, "[%s]+", categories);
    char *pattern = tern__text_take(&builder);
    if (!pattern) return TERN_FAIL_MEMORY(err, strlen(categories));
    tern_engine *engine = NULL;
    tern_status status = tern__engine_new(&engine, pattern, err);
    free(pattern);
    void *scratch = tern__engine_scratch_new();
    if (status == TERN_OK && !scratch) status = TERN_FAIL_MEMORY(err, sizeof(size_t));
    for (size_t at = 0, start, end, length; status == TERN_OK && at < writer->n_sample; at = end) {
        bool is_found;
        status = tern__engine_find(engine, scratch, writer->sample, writer->n_sample, at, &start, &end, &is_found, err);
        if (status != TERN_OK || !is_found) break;
        size_t last = end - 1;
        while (tern__utf8_is_continuation(writer->sample[last])) last--;
        if (!tern__code_set_add(found, tern__utf8_decode(writer->sample + start, &length),
                                tern__utf8_decode(writer->sample + last, &length)))
            status = TERN_FAIL_MEMORY(err, found->capacity * sizeof *found->ranges);
    }
    if (scratch) tern__engine_scratch_free(scratch);
    tern__engine_free(engine);
    return status;
}

/* What is in `set` and not in `other`, of the code points of the sample. */
static bool subtract(tern_code_set *out, const tern_code_set *set, const tern_code_set *other) {
    const tern_code_set sampled = {.ranges = (tern_code_range *)SAMPLED, .n = sizeof SAMPLED / sizeof SAMPLED[0]};
    return tern__code_set_add_set(out, other) && tern__code_set_invert(out) && tern__code_set_intersect(out, set) &&
           tern__code_set_intersect(out, &sampled);
}

static tern_status write_large(tern_class_writer *writer, tern_text_builder *out, const tern_code_set *set, tern_error *err) {
    tern_text_builder builder = {0};
    write_categories(&builder, set);
    char *categories = tern__text_take(&builder);
    tern_code_set found = {0}, missing = {0}, wrong = {0};
    tern_status status = categories && make_sample(writer) ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof SAMPLED);
    if (status == TERN_OK && categories[0] != '\0') status = find_members(&found, writer, categories, err);
    tern__code_set_sort(&found);
    if (status == TERN_OK && !(subtract(&missing, set, &found) && subtract(&wrong, &found, set)))
        status = TERN_FAIL_MEMORY(err, (set->n + found.n) * sizeof *set->ranges);
    if (status == TERN_OK) {
        if (wrong.n > 0) {
            tern__text_print(out, "(?:(?![");
            write_ranges(out, &wrong);
            tern__text_print(out, "])");
        }
        tern__text_print(out, "[%s", categories);
        write_ranges(out, &missing);
        tern__text_print(out, wrong.n > 0 ? "])" : "]");
    }
    free(categories);
    tern__code_set_free(&found);
    tern__code_set_free(&missing);
    tern__code_set_free(&wrong);
    return status;
}

static tern_status write_set(tern_class_writer *writer, tern_text_builder *out, const tern_code_set *set, tern_error *err) {
    if (set->n <= FEW_RANGES && !is_empty(set)) {
        tern__text_print(out, "[");
        write_ranges(out, set);
        tern__text_print(out, "]");
        return TERN_OK;
    }
    tern_code_set others = {0};
    if (!tern__code_set_add_set(&others, set) || !tern__code_set_invert(&others)) {
        tern__code_set_free(&others);
        return TERN_FAIL_MEMORY(err, set->n * sizeof *set->ranges);
    }
    tern_status status = TERN_OK;
    if (is_empty(set)) {
        tern__text_print(out, "[^\\x{0}-\\x{10FFFF}]");
    } else if (others.n <= FEW_RANGES) {
        tern__text_print(out, "[^");
        write_ranges(out, &others);
        tern__text_print(out, "]");
    } else {
        status = write_large(writer, out, set, err);
    }
    tern__code_set_free(&others);
    return status;
}

static const char *find_kept(const tern_class_writer *writer, const tern_code_set *set) {
    for (size_t i = 0; i < writer->n_kept; i++) {
        const tern_code_set *kept = &writer->kept[i].set;
        if (kept->n == set->n && (set->n == 0 || memcmp(kept->ranges, set->ranges, set->n * sizeof *set->ranges) == 0))
            return writer->kept[i].text;
    }
    return NULL;
}

static bool keep(tern_class_writer *writer, const tern_code_set *set, const char *text) {
    if (!tern__grow(&writer->kept, &writer->kept_capacity, writer->n_kept + 1, sizeof *writer->kept)) return false;
    struct tern_class_text *kept = &writer->kept[writer->n_kept++];
    *kept = (struct tern_class_text){.text = tern__alloc(strlen(text) + 1, 1)};
    if (kept->text) memcpy(kept->text, text, strlen(text) + 1);
    return kept->text && tern__code_set_add_set(&kept->set, set);
}

tern_status tern__class_write(tern_class_writer *writer, tern_text_builder *out, const tern_code_set *set, tern_error *err) {
    const char *kept = find_kept(writer, set);
    if (!kept) {
        tern_text_builder builder = {0};
        tern_status status = write_set(writer, &builder, set, err);
        char *text = tern__text_take(&builder);
        if (status == TERN_OK && (!text || !keep(writer, set, text))) status = TERN_FAIL_MEMORY(err, set->n * sizeof *set->ranges);
        free(text);
        TERN_TRY(status);
        kept = writer->kept[writer->n_kept - 1].text;
    }
    tern__text_append(out, kept, strlen(kept));
    return TERN_OK;
}
