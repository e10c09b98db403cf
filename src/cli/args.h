/* args.h - the commands of `tern` and the one option parser they share.
 * Long options only: --name VALUE or --name=VALUE, flags without a value, `--` ends options, the last of a repeated option counts. The
 * table that the parser reads is the table that --help prints.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_ARGS_H
#define TERN_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tern.h"

/* Exit codes. */
enum { TERN_CLI_DONE = 0, TERN_CLI_FAILED = 1, TERN_CLI_USAGE = 2 };

typedef struct tern_cli_command {
    const char *name;
    const char *arguments;             /* what follows the name in the usage line */
    const char *summary;               /* one line, for `tern --help` */
    const char *description;           /* paragraphs of --help */
    const char *examples;              /* lines of --help */
    int (*run)(int argc, char **argv); /* arguments after the name; returns an exit code */
} tern_cli_command;

extern const tern_cli_command tern__cli_bench, tern__cli_classify, tern__cli_embed, tern__cli_fill, tern__cli_forward, tern__cli_info,
    tern__cli_init, tern__cli_ner, tern__cli_pull, tern__cli_qa, tern__cli_report, tern__cli_rerank, tern__cli_similarity,
    tern__cli_tokenize, tern__cli_zero_shot;

/* One option of a command. Of flag, string and integer one is set: where its value goes. */
typedef struct tern_cli_option {
    const char *name;  /* with its dashes */
    const char *value; /* what --help calls its value; NULL for a flag */
    const char *help;  /* one line, with unit and default */
    int *flag;
    int flag_value;
    const char **string;
    const char *const *choices; /* NULL-terminated, NULL: any string */
    int64_t *integer;
    int64_t minimum, maximum;
} tern_cli_option;

typedef struct tern_cli_args {
    char **positional; /* a part of argv, reordered */
    size_t n_positional;
} tern_cli_args;

#define TERN_CLI_GO_ON (-1)

/* tern__cli_parse - TERN_CLI_GO_ON when the command is to run, else the code to exit with: help was printed, or a usage error. */
int tern__cli_parse(tern_cli_args *out, const tern_cli_command *command, const tern_cli_option *options, size_t n_options, int argc,
                    char **argv);

/* tern__cli_usage_error - "tern COMMAND: message" and a hint on standard error; returns TERN_CLI_USAGE. command: NULL for `tern` itself. */
int tern__cli_usage_error(const tern_cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* tern__cli_closest - the one of `names` that `word` is a likely misspelling of, or NULL. */
const char *tern__cli_closest(const char *word, const char *const *names, size_t n_names);

/* ---- Options of every command that runs a model ---- */

typedef struct tern_cli_run {
    const char *device, *dtype, *isa; /* NULL: the library's default */
    int64_t threads;                  /* 0: the library's default */
} tern_cli_run;

#define TERN_CLI_RUN_OPTIONS(run)                                                                                                          \
    {.name = "--device",                                                                                                                   \
     .value = "NAME",                                                                                                                      \
     .help = "device that runs the model, as `tern info` lists them (default cpu)",                                                        \
     .string = &(run).device},                                                                                                             \
        {.name = "--dtype", .value = "DTYPE", .help = "dtype of computation (default float32)", .string = &(run).dtype},                   \
        {.name = "--isa",                                                                                                                  \
         .value = "LEVEL",                                                                                                                 \
         .help = "highest ISA level of the CPU: scalar, avx2, avx512 (default the best there is)",                                         \
         .string = &(run).isa},                                                                                                            \
    {                                                                                                                                      \
        .name = "--threads", .value = "N", .help = "threads that compute (default one for each core that the process may use)",            \
        .integer = &(run).threads, .minimum = 1, .maximum = 1024                                                                           \
    }

/* tern__cli_load_folder - tern_model_load of a folder, with the defaults and over them what was chosen. */
tern_status tern__cli_load_folder(tern_model **out, const char *folder, const tern_cli_run *run, tern_error *err);
/* tern__cli_load_model - the model of a MODEL argument; says why on standard error when it fails; returns an exit code. */
int tern__cli_load_model(tern_model **out, const char *model, const tern_cli_run *run);

#endif
