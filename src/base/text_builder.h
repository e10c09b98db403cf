/* text_builder.h - text that grows as it is printed. Running out of memory is remembered and told once, at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_TEXT_BUILDER_H
#define TERN_BASE_TEXT_BUILDER_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: empty. (open_memstream is not used, since glibc's can lose its text without an error.) */
typedef struct tern_text_builder {
    char *data;
    size_t n_bytes, capacity;
    bool has_failed;
} tern_text_builder;

void tern__text_append(tern_text_builder *text, const char *bytes, size_t n_bytes);
void tern__text_print(tern_text_builder *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text, with a NUL behind it, to be freed with free(); NULL when memory was short. The builder is empty again. */
char *tern__text_take(tern_text_builder *text);

#endif
