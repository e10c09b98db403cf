/* text_input.c - lines of standard input as texts. A line ends at a line feed, and a carriage return before it belongs to the line's end;
 * every other byte, NUL too, is text, and an empty line is an empty text, so text N always is line N + 1. A last line needs no line feed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_input.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "output.h"

enum { WINDOW_TEXTS = 4096, WINDOW_BYTES = 4 << 20, READ_BYTES = 1 << 18 };

void tern__cli_texts_open(tern_cli_texts *texts, char **arguments, size_t n_arguments) {
    *texts = (tern_cli_texts){.arguments = n_arguments > 0 ? arguments : NULL, .n_arguments = n_arguments};
    if (texts->arguments != NULL) return;
    struct stat facts;
    if (fstat(STDIN_FILENO, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0) texts->file_bytes = (uint64_t)facts.st_size;
    if (isatty(STDIN_FILENO)) fputs("tern: reading texts from the terminal, one a line; Ctrl-D ends them\n", stderr);
}

void tern__cli_texts_close(tern_cli_texts *texts) {
    free(texts->buffer);
    free(texts->slots);
    free(texts->starts);
    *texts = (tern_cli_texts){0};
}

static bool fail_reading(tern_cli_texts *texts, const char *reason) {
    tern__cli_fail("standard input cannot be read: %s", reason);
    texts->has_failed = true;
    return false;
}

/* ---- One window ---- */

static bool add_slot(tern_cli_texts *texts, size_t start, size_t bytes) {
    if (texts->n_texts == texts->n_slots) {
        const size_t n = texts->n_slots != 0 ? 2 * texts->n_slots : 256;
        tern_text *slots = realloc(texts->slots, n * sizeof *slots);
        if (slots != NULL) texts->slots = slots;
        size_t *starts = realloc(texts->starts, n * sizeof *starts);
        if (starts != NULL) texts->starts = starts;
        if (slots == NULL || starts == NULL) return fail_reading(texts, "out of memory");
        texts->n_slots = n;
    }
    texts->starts[texts->n_texts] = start;
    texts->slots[texts->n_texts++].bytes = bytes;
    return true;
}

static bool is_window_full(const tern_cli_texts *texts, bool all) {
    return !all && (texts->n_texts >= WINDOW_TEXTS || texts->begin >= WINDOW_BYTES);
}

/* Whole lines of the buffer become slots. */
static bool take_lines(tern_cli_texts *texts, bool all) {
    while (!is_window_full(texts, all) && texts->scanned < texts->end) {
        const char *line_feed = memchr(texts->buffer + texts->scanned, '\n', texts->end - texts->scanned);
        if (line_feed == NULL) {
            texts->scanned = texts->end;
            break;
        }
        const size_t at = (size_t)(line_feed - texts->buffer);
        const bool has_return = at > texts->begin && texts->buffer[at - 1] == '\r';
        if (!add_slot(texts, texts->begin, at - texts->begin - has_return)) return false;
        texts->begin = texts->scanned = at + 1;
    }
    return true;
}

/* More bytes behind those there are; the end of the input is noted. */
static bool read_bytes(tern_cli_texts *texts) {
    if (texts->capacity - texts->end < READ_BYTES) {
        const size_t capacity = 2 * texts->capacity + READ_BYTES;
        char *buffer = capacity > texts->capacity ? realloc(texts->buffer, capacity) : NULL;
        if (buffer == NULL) return fail_reading(texts, "out of memory");
        texts->buffer = buffer;
        texts->capacity = capacity;
    }
    ssize_t got;
    do got = read(STDIN_FILENO, texts->buffer + texts->end, texts->capacity - texts->end);
    while (got < 0 && errno == EINTR);
    if (got < 0) return fail_reading(texts, strerror(errno));
    texts->end += (size_t)got;
    texts->read_bytes += (uint64_t)got;
    texts->is_at_end = got == 0;
    return true;
}

static bool is_input_ready(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static bool fill_window(tern_cli_texts *texts, bool all) {
    if (texts->begin > 0) memmove(texts->buffer, texts->buffer + texts->begin, texts->end - texts->begin);
    texts->scanned -= texts->begin;
    texts->end -= texts->begin;
    texts->begin = 0;
    for (;;) {
        if (!take_lines(texts, all)) return false;
        if (is_window_full(texts, all)) return true;
        if (texts->is_at_end) break;
        if (!all && texts->n_texts > 0 && !is_input_ready()) return true;
        if (!read_bytes(texts)) return false;
    }
    if (texts->begin == texts->end) return true;
    if (!add_slot(texts, texts->begin, texts->end - texts->begin)) return false;
    texts->begin = texts->scanned = texts->end;
    return true;
}

/* Arguments are in memory already: they are one window. */
static bool take_arguments(tern_cli_texts *texts) {
    if (texts->is_at_end) return false;
    texts->is_at_end = true;
    for (size_t i = 0; i < texts->n_arguments; i++) {
        if (!add_slot(texts, 0, strlen(texts->arguments[i]))) return false;
        texts->slots[i].data = texts->arguments[i];
    }
    texts->texts = texts->slots;
    return true;
}

bool tern__cli_texts_next(tern_cli_texts *texts, bool all) {
    texts->first += texts->n_texts;
    texts->n_texts = 0;
    if (texts->arguments != NULL) return take_arguments(texts);
    if (!fill_window(texts, all)) return false;
    for (size_t i = 0; i < texts->n_texts; i++) texts->slots[i].data = texts->buffer + texts->starts[i];
    texts->texts = texts->slots;
    return texts->n_texts > 0;
}

double tern__cli_texts_fraction(const tern_cli_texts *texts) {
    if (texts->file_bytes == 0) return -1;
    const double fraction = (double)(texts->read_bytes - (texts->end - texts->begin)) / (double)texts->file_bytes;
    return fraction < 1 ? fraction : 1;
}

/* ---- Errors about a text ---- */

int tern__cli_fail_text(const tern_cli_texts *texts, size_t text, const char *message) {
    const size_t index = texts->first + text;
    if (texts->arguments == NULL) return tern__cli_fail("standard input, line %zu (index %zu): %s", index + 1, index, message);
    return tern__cli_fail("TEXT %zu (index %zu): %s", index + 1, index, message);
}

int tern__cli_fail_window(const tern_cli_texts *texts, const tern_error *err) {
    size_t text = 0;
    int n = 0;
    if (sscanf(err->message, "text %zu: %n", &text, &n) == 1 && n > 0 && text < texts->n_texts)
        return tern__cli_fail_text(texts, text, err->message + n);
    return tern__cli_fail("%s", err->message);
}
