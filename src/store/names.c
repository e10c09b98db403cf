/* names.c - names from untrusted files, made fit for a message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "store/names.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* The marks around a name that messages show. */
static tern_quoted name_between(const char *name, size_t n_name, const char *mark) {
    tern_quoted quoted;
    const size_t n_mark = strlen(mark), room = sizeof quoted.text - sizeof "..." - 2 * n_mark;
    const bool is_cut = n_name > room;
    size_t keep = is_cut ? room : n_name;
    while (is_cut && keep > 0 && ((unsigned char)name[keep] & 0xC0) == 0x80) keep--;
    const bool is_utf8 = tern__json_is_utf8(name, keep);
    char *out = quoted.text;
    memcpy(out, mark, n_mark);
    out += n_mark;
    for (size_t i = 0; i < keep; i++) {
        const unsigned char c = (unsigned char)name[i];
        *out++ = c < 0x20 || c == 0x7F || (c >= 0x80 && !is_utf8) ? '?' : name[i];
    }
    snprintf(out, (size_t)(quoted.text + sizeof quoted.text - out), "%s%s", is_cut ? "..." : "", mark);
    return quoted;
}

tern_quoted tern__quote(const char *name) { return name_between(name, strlen(name), "\""); }

tern_quoted tern__quote_bytes(const void *bytes, size_t n_bytes) { return name_between(bytes, n_bytes, "\""); }

tern_quoted tern__printable(const void *bytes, size_t n_bytes) { return name_between(bytes, n_bytes, ""); }

void tern__name_list_add(tern_name_list *list, const char *format, ...) {
    char line[384] = "\n  ";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + 3, sizeof line - 3, format, arguments);
    va_end(arguments);
    const size_t n = strlen(line);
    list->n_names++;
    if (n >= sizeof list->text - list->n_text) {
        list->n_left_out++;
        return;
    }
    memcpy(list->text + list->n_text, line, n + 1);
    list->n_text += n;
}

tern_quoted tern__name_list_rest(const tern_name_list *list) {
    tern_quoted rest = {""};
    if (list->n_left_out > 0) snprintf(rest.text, sizeof rest.text, "\n  and %zu more", list->n_left_out);
    return rest;
}
