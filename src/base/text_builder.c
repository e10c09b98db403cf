/* text_builder.c - text that grows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/text_builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Room for n_bytes and a NUL. */
static bool make_room(tern_text_builder *text, size_t n_bytes) {
    size_t needed;
    bool has_room =
        !text->has_failed && tern__size_add(text->n_bytes + 1, n_bytes, &needed) && tern__grow(&text->data, &text->capacity, needed, 1);
    text->has_failed = !has_room;
    return has_room;
}

void tern__text_append(tern_text_builder *text, const char *bytes, size_t n_bytes) {
    if (!make_room(text, n_bytes)) return;
    if (n_bytes > 0) memcpy(text->data + text->n_bytes, bytes, n_bytes);
    text->n_bytes += n_bytes;
}

void tern__text_print(tern_text_builder *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) text->has_failed = true;
    if (length < 0 || !make_room(text, (size_t)length)) return;
    va_start(arguments, format);
    vsnprintf(text->data + text->n_bytes, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->n_bytes += (size_t)length;
}

char *tern__text_take(tern_text_builder *text) {
    char *data = NULL;
    if (make_room(text, 0)) {
        data = text->data;
        data[text->n_bytes] = '\0';
    } else {
        free(text->data);
    }
    *text = (tern_text_builder){0};
    return data;
}
