/* main.c - the command `tern`: finds the command named by the first word and runs it. Everything it does goes through tern.h.
 * Exit codes: 0 done, 1 failed, 2 usage.
 * SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "output.h"

static const tern_cli_command *const commands[] = {&tern__cli_info,     &tern__cli_tokenize, &tern__cli_embed,     &tern__cli_similarity,
                                                   &tern__cli_classify, &tern__cli_rerank,   &tern__cli_zero_shot, &tern__cli_ner,
                                                   &tern__cli_fill,     &tern__cli_qa,       &tern__cli_forward,   &tern__cli_pull,
                                                   &tern__cli_init,     &tern__cli_bench,    &tern__cli_report};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_main_help(FILE *stream) {
    fputs("usage: tern COMMAND [arguments]\n\nRuns Hugging Face transformer checkpoints.\n\ncommands:\n", stream);
    for (size_t i = 0; i < N_COMMANDS; i++) fprintf(stream, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\noptions:\n"
          "  --help      print this page; after a command, the page of the command\n"
          "  --version   print the version\n\n"
          "MODEL is a checkpoint folder as the hub has it: config.json, model.safetensors, tokenizer.json or vocab.txt; or else a\n"
          "repository of the hub, ORG/NAME, which is downloaded once to the cache that Hugging Face's Python libraries use too.\n"
          "Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 usage.\n",
          stream);
}

static int unknown_command(const char *word) {
    if (word[0] == '-') return tern__cli_usage_error(NULL, "unknown option '%s'; there are --help and --version", word);
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) names[i] = commands[i]->name;
    const char *closest = tern__cli_closest(word, names, N_COMMANDS);
    if (closest != NULL) return tern__cli_usage_error(NULL, "unknown command '%s'; did you mean '%s'?", word, closest);
    return tern__cli_usage_error(NULL, "unknown command '%s'", word);
}

static int run_command(int argc, char **argv) {
    if (argc < 2) {
        print_main_help(stderr);
        return TERN_CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0) {
        print_main_help(stdout);
        return TERN_CLI_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tern %s\n", tern_version());
        return TERN_CLI_DONE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0) return commands[i]->run(argc - 2, argv + 2);
    return unknown_command(argv[1]);
}

int main(int argc, char **argv) {
    /* Only the widths of characters come from the locale; numbers stay as C writes them. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) setlocale(LC_CTYPE, "");
    const int code = run_command(argc, argv);
    if (code != TERN_CLI_DONE) {
        fflush(stdout);
        return code;
    }
    return tern__cli_flush();
}
