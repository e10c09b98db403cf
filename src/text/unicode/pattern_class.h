/* pattern_class.h - sets of code points, as the classes of a regular expression name them, and a class of PCRE2 that is just such a set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PATTERN_CLASS_H
#define TERN_TEXT_PATTERN_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text_builder.h"

#define TERN_CODE_POINT_MAX 0x10FFFF

typedef struct tern_code_range {
    uint32_t first, last;
} tern_code_range;

/* Zeroed: empty. The ranges are in order and do not touch, except between tern__code_set_add and tern__code_set_sort. */
typedef struct tern_code_set {
    tern_code_range *ranges;
    size_t n, capacity;
} tern_code_set;

void tern__code_set_free(tern_code_set *set);
/* False when memory is short; so below. */
bool tern__code_set_add(tern_code_set *set, uint32_t first, uint32_t last);
void tern__code_set_sort(tern_code_set *set);
bool tern__code_set_add_set(tern_code_set *set, const tern_code_set *other);
bool tern__code_set_invert(tern_code_set *set);
bool tern__code_set_intersect(tern_code_set *set, const tern_code_set *other);
bool tern__code_set_has(const tern_code_set *set, uint32_t code_point);
/* With each code point those that differ from it in case. */
bool tern__code_set_ignore_case(tern_code_set *set);

typedef enum tern_class_found { TERN_CLASS_FOUND, TERN_CLASS_UNKNOWN, TERN_CLASS_NO_MEMORY } tern_class_found;

/* Adds what \p{name} names: a general category, a script, or a property that POSIX has; and what [:name:] names. */
tern_class_found tern__class_add_property(tern_code_set *set, const char *name, size_t n_name);
tern_class_found tern__class_add_posix(tern_code_set *set, const char *name, size_t n_name);

/* Code points that are several characters when case is ignored: those that the n characters of `text` are. Returns how many. */
#define TERN_CLASS_SEVERAL_MAX 8
size_t tern__class_several(uint32_t out[TERN_CLASS_SEVERAL_MAX], const uint32_t *text, size_t n);
/* The 2 or 3 characters that a code point is; 0: it is none such. */
size_t tern__class_fold(uint32_t out[3], uint32_t code_point);
/* The characters of the next one that is in the set, from *row on, which starts at 0; returns how many, 0 behind the last. */
size_t tern__class_next_several(uint32_t out[3], const tern_code_set *set, size_t *row);

#define TERN_CLASS_CATEGORIES 30

/* The general categories: "lu"; and how many code points of each are in the set, and how many there are, added to what is there. */
const char *tern__class_category(size_t category);
void tern__class_count_categories(uint32_t in_set[TERN_CLASS_CATEGORIES], uint32_t in_all[TERN_CLASS_CATEGORIES], const tern_code_set *set);

/* class_writer.c. Sets are written with PCRE2's properties where that is shorter. Since PCRE2 may know another edition of Unicode, it is
 * asked what it makes of them, and what it gets wrong is spelt out. What was written is kept: the same set is not tried twice. Zeroed:
 * empty. */
typedef struct tern_class_writer {
    struct tern_class_text *kept;
    size_t n_kept, kept_capacity;
    unsigned char *sample; /* UTF-8 of the code points that PCRE2 is asked about */
    size_t n_sample;
} tern_class_writer;

void tern__class_writer_free(tern_class_writer *writer);
tern_status tern__class_write(tern_class_writer *writer, tern_text_builder *out, const tern_code_set *set, tern_error *err);

#endif
