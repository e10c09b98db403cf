/* text_input.h - the texts of a command: its TEXT arguments, or else the lines of standard input, in bounded windows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_TEXT_INPUT_H
#define TERN_CLI_TEXT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tern.h"

typedef struct tern_cli_texts {
    const tern_text *texts; /* [n_texts], until the next window */
    size_t n_texts;
    size_t first;    /* index of texts[0] in the whole input */
    bool has_failed; /* why was said */

    /* Private. */
    char **arguments; /* NULL: standard input */
    size_t n_arguments;
    bool is_at_end;
    char *buffer; /* [begin, end) is read and in no text yet; in [begin, scanned) there is no line feed */
    size_t begin, scanned, end, capacity;
    tern_text *slots;
    size_t *starts; /* of each slot in buffer, which moves when it grows */
    size_t n_slots;
    uint64_t read_bytes, file_bytes; /* file_bytes 0: not a regular file */
} tern_cli_texts;

void tern__cli_texts_open(tern_cli_texts *texts, char **arguments, size_t n_arguments);
/* The next window; false at the end and when reading failed. At most 4096 texts and about 4 MiB, and from a pipe or a terminal what there
 * is, so that a program can write a line and wait for its answer. all: everything that comes, in one window. */
bool tern__cli_texts_next(tern_cli_texts *texts, bool all);
/* Share of the input that is in windows so far, 0 to 1; -1 when its size is not known. */
double tern__cli_texts_fraction(const tern_cli_texts *texts);
void tern__cli_texts_close(tern_cli_texts *texts);

/* tern__cli_fail_text - an error about one text of the window, told by its line; returns TERN_CLI_FAILED. */
int tern__cli_fail_text(const tern_cli_texts *texts, size_t text, const char *message);
/* The same for an error of tern_model_embed, which counts texts within one call. */
int tern__cli_fail_window(const tern_cli_texts *texts, const tern_error *err);

#endif
