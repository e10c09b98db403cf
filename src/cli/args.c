/* args.c - the option parser that all commands share, the help pages made from its tables, and the hints of usage errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache_folder.h"
#include "model_folder.h"
#include "output.h"

/* ---- Usage errors ---- */

int tern__cli_usage_error(const tern_cli_command *command, const char *format, ...) {
    const char *space = command != NULL ? " " : "", *name = command != NULL ? command->name : "";
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "tern%s%s: ", space, name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\ntry: tern%s%s --help\n", space, name);
    va_end(arguments);
    return TERN_CLI_USAGE;
}

enum { MAX_WORD = 32 };

/* Levenshtein distance of two words of at most MAX_WORD bytes. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[MAX_WORD + 1];
    const size_t n_a = strlen(a), n_b = strlen(b);
    for (size_t j = 0; j <= n_b; j++) row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            const size_t insert_or_delete = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replace < insert_or_delete ? replace : insert_or_delete;
        }
    }
    return row[n_b];
}

const char *tern__cli_closest(const char *word, const char *const *names, size_t n_names) {
    const char *closest = NULL;
    size_t best = 3; /* more than two slips are another word */
    if (strlen(word) > MAX_WORD) return NULL;
    for (size_t i = 0; i < n_names; i++) {
        const size_t distance = strlen(names[i]) <= MAX_WORD ? edit_distance(word, names[i]) : best;
        if (distance < best) {
            best = distance;
            closest = names[i];
        }
    }
    return closest;
}

/* ---- Help ---- */

static int print_command_help(const tern_cli_command *command, const tern_cli_option *options, size_t n_options) {
    printf("usage: tern %s %s\n\n%s\n\noptions:\n", command->name, command->arguments, command->description);
    int width = (int)strlen("--help");
    for (size_t i = 0; i < n_options; i++) {
        const int length = (int)(strlen(options[i].name) + 1 + (options[i].value != NULL ? strlen(options[i].value) : 0));
        if (length > width) width = length;
    }
    for (size_t i = 0; i < n_options; i++) {
        const char *value = options[i].value;
        printf("  %s %-*s  %s\n", options[i].name, width - (int)strlen(options[i].name) - 1, value != NULL ? value : "", options[i].help);
    }
    printf("  %-*s  print this page\n\nexamples:\n%s", width, "--help", command->examples);
    return TERN_CLI_DONE;
}

/* ---- Parsing ---- */

static int unknown_option(const tern_cli_command *command, const tern_cli_option *options, size_t n_options, const char *name) {
    const char *names[64];
    size_t n = 0;
    for (; n < n_options && n < sizeof names / sizeof *names - 1; n++) names[n] = options[n].name;
    names[n++] = "--help";
    const char *closest = tern__cli_closest(name, names, n);
    if (closest != NULL) return tern__cli_usage_error(command, "unknown option '%s'; did you mean '%s'?", name, closest);
    return tern__cli_usage_error(command, "unknown option '%s' (an argument that begins with '-' goes after '--')", name);
}

static int store_integer(const tern_cli_command *command, const tern_cli_option *option, const char *value) {
    char *end;
    errno = 0;
    const long long number = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || number < option->minimum || number > option->maximum)
        return tern__cli_usage_error(command, "%s: '%s' is not a whole number in %lld ... %lld", option->name, value,
                                     (long long)option->minimum, (long long)option->maximum);
    *option->integer = number;
    return TERN_CLI_GO_ON;
}

static int fail_choice(const tern_cli_command *command, const tern_cli_option *option, const char *value) {
    char words[256] = "";
    for (size_t i = 0, used = 0; option->choices[i] != NULL && used < sizeof words; i++)
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    return tern__cli_usage_error(command, "%s: '%s' is none of %s", option->name, value, words);
}

static int store_string(const tern_cli_command *command, const tern_cli_option *option, const char *value) {
    bool is_choice = option->choices == NULL;
    for (size_t i = 0; !is_choice && option->choices[i] != NULL; i++) is_choice = strcmp(option->choices[i], value) == 0;
    if (!is_choice) return fail_choice(command, option, value);
    *option->string = value;
    return TERN_CLI_GO_ON;
}

/* One option at argv[*at]; *at moves on to its last word. */
static int parse_option(const tern_cli_command *command, const tern_cli_option *options, size_t n_options, int argc, char **argv, int *at) {
    char *word = argv[*at], *equals = strchr(word, '=');
    const size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const tern_cli_option *option = NULL;
    for (size_t i = 0; i < n_options && option == NULL; i++)
        if (strlen(options[i].name) == length && memcmp(options[i].name, word, length) == 0) option = &options[i];
    if (option == NULL) {
        if (strcmp(word, "--help") == 0) return print_command_help(command, options, n_options);
        word[length] = '\0';
        return unknown_option(command, options, n_options, word);
    }
    if (option->value == NULL) {
        if (equals != NULL) return tern__cli_usage_error(command, "%s takes no value", option->name);
        *option->flag = option->flag_value;
        return TERN_CLI_GO_ON;
    }
    if (equals == NULL && *at + 1 >= argc) return tern__cli_usage_error(command, "%s needs a value: %s", option->name, option->value);
    const char *value = equals != NULL ? equals + 1 : argv[++*at];
    return option->integer != NULL ? store_integer(command, option, value) : store_string(command, option, value);
}

int tern__cli_parse(tern_cli_args *out, const tern_cli_command *command, const tern_cli_option *options, size_t n_options, int argc,
                    char **argv) {
    *out = (tern_cli_args){.positional = argv};
    bool has_ended = false;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (has_ended || word[0] != '-' || word[1] == '\0') {
            out->positional[out->n_positional++] = word;
        } else if (strcmp(word, "--") == 0) {
            has_ended = true;
        } else {
            const int code = parse_option(command, options, n_options, argc, argv, &i);
            if (code != TERN_CLI_GO_ON) return code;
        }
    }
    return TERN_CLI_GO_ON;
}

tern_status tern__cli_load_folder(tern_model **out, const char *folder, const tern_cli_run *run, tern_error *err) {
    tern_model_options options = tern_model_options_default();
    if (run->device != NULL) options.device = run->device;
    if (run->dtype != NULL) options.dtype = run->dtype;
    if (run->isa != NULL) options.isa = run->isa;
    if (run->threads != 0) options.threads = (int)run->threads;
    char *cache = tern__cli_cache_folder();
    options.cache_folder = cache;
    const tern_status status = tern_model_load(out, folder, &options, err);
    free(cache);
    return status;
}

int tern__cli_load_model(tern_model **out, const char *model, const tern_cli_run *run) {
    tern_error err;
    char *folder = NULL;
    int code = tern__cli_model_folder(&folder, model, false);
    if (code == TERN_CLI_DONE && tern__cli_load_folder(out, folder, run, &err) != TERN_OK) code = tern__cli_fail("%s", err.message);
    tern_free(folder);
    return code;
}
