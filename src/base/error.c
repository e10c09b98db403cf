/* error.c - filling a tern_error: the message is formatted apart first, so that its arguments may point into the error itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* __FILE__ from its last "src/" on, so that messages do not carry the path of the machine that built the library. */
static const char *short_source_name(const char *file) {
    const char *name = file;
    for (const char *at = strstr(file, "src/"); at; at = strstr(at + 1, "src/")) name = at;
    return name;
}

/* Copy `text`, of which `length` bytes were wanted; what does not fit is cut before a whole character and ends in "...". */
static void store_message(tern_error *err, const char *text, int length) {
    size_t keep = length < 0 ? 0 : (size_t)length;
    if (keep < sizeof err->message) {
        memcpy(err->message, text, keep);
        err->message[keep] = '\0';
        return;
    }
    keep = sizeof err->message - sizeof "...";
    while (keep > 0 && ((unsigned char)text[keep] & 0xC0) == 0x80) keep--;
    memcpy(err->message, text, keep);
    memcpy(err->message + keep, "...", sizeof "...");
}

tern_status tern__fail(tern_error *err, tern_status code, const char *file, int line, const char *format, ...) {
    if (!err) return code;
    char text[sizeof err->message];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    store_message(err, text, length);
    err->code = code;
    err->file = short_source_name(file);
    err->line = line;
    return code;
}

tern_status tern__fail_prefix(tern_error *err, tern_status code, const char *prefix) {
    if (!err) return code;
    char text[sizeof err->message];
    int length = snprintf(text, sizeof text, "%s: %s", prefix, err->message);
    store_message(err, text, length);
    err->code = code;
    return code;
}
