/* output_file.h - a file of a command's results, which appears under its name only when it is complete.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_OUTPUT_FILE_H
#define TERN_CLI_OUTPUT_FILE_H

#include <stdio.h>

/* Zero: not open. */
typedef struct tern_cli_output_file {
    FILE *stream;
    char *path;
    char *temporary_path; /* NULL: written in place, since the path is a device or a pipe */
} tern_cli_output_file;

/* These say why on standard error when they fail, and return an exit code. One file at a time is open in a process: an interrupt removes
 * its temporary one. */
int tern__cli_output_file_open(tern_cli_output_file *out, const char *path);
/* A write failed with this errno. */
int tern__cli_output_file_fail(const tern_cli_output_file *file, int code);
/* Give the file its name. */
int tern__cli_output_file_commit(tern_cli_output_file *file);
/* Close and remove what was not committed; harmless after commit. */
void tern__cli_output_file_discard(tern_cli_output_file *file);

#endif
