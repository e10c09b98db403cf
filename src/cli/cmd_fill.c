/* cmd_fill.c - tern fill: what stands under the masks of texts.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task_run.h"

typedef struct fill_command {
    tern_cli_task task; /* first: the task's functions get its address */
    const char *targets;
    int64_t top_k;
    int is_json;
    char *target_texts; /* the targets, each with a NUL */
    const char **target_list;
    size_t n_targets;
} fill_command;

static void print_json(const tern_fill *fill) {
    fputs("{\"score\":", stdout);
    tern__cli_json_float(fill->score);
    printf(",\"token\":%" PRId32 ",\"token_str\":", fill->token);
    tern__cli_json_string(fill->token_str, strlen(fill->token_str));
    fputs(",\"sequence\":", stdout);
    tern__cli_json_string(fill->sequence, strlen(fill->sequence));
    putchar('}');
}

/* One line of JSON a text: its masks, each a list of fills. */
static void print_text(const fill_command *command, const tern_fills *fills, size_t *next, size_t text) {
    const size_t first = *next, number = command->task.texts.first + text;
    while (*next < fills->n && fills->items[*next].text == text) ++*next;
    if (command->is_json) {
        printf("{\"index\":%zu,\"masks\":[", number);
        for (size_t i = first; i < *next; i++) {
            if (i == first || fills->items[i].mask != fills->items[i - 1].mask) fputs(i == first ? "[" : "],[", stdout);
            else putchar(',');
            print_json(&fills->items[i]);
        }
        puts(*next > first ? "]]}" : "]}");
        return;
    }
    for (size_t i = first; i < *next; i++) {
        const tern_fill *fill = &fills->items[i];
        printf("%7zu  %4zu  %.4f  ", number, fill->mask, (double)fill->score);
        tern__cli_print_snippet(fill->token_str, strlen(fill->token_str), 16, true);
        fputs("  ", stdout);
        tern__cli_print_snippet(fill->sequence, strlen(fill->sequence), 80, false);
        putchar('\n');
    }
}

static int fill_window(tern_cli_task *task) {
    fill_command *command = (fill_command *)task;
    tern_fill_mask_options options = tern_fill_mask_options_default();
    if (command->top_k > 0) options.top_k = (size_t)command->top_k;
    options.targets = command->target_list;
    options.n_targets = command->n_targets;
    options.progress = tern__cli_task_progress;
    options.user = task;
    options.n_truncated = &task->n_truncated;
    tern_fills fills;
    tern_error err;
    if (tern_model_fill_mask(&fills, task->model, task->texts.texts, task->texts.n_texts, &options, &err) != TERN_OK)
        return tern__cli_task_fail(task, &err);
    size_t next = 0;
    for (size_t i = 0; i < task->texts.n_texts; i++) print_text(command, &fills, &next, i);
    tern_fills_free(&fills);
    return tern__cli_flush();
}

/* As Hugging Face's pipeline, say so where the first token of a target stands for it. */
static int begin(tern_cli_task *task) {
    const fill_command *command = (const fill_command *)task;
    const tern_tokenizer *tokenizer = tern_model_get_tokenizer(task->model);
    for (size_t i = 0; i < command->n_targets && tokenizer != NULL; i++)
        if (tern_tokenizer_token_to_id(tokenizer, command->target_list[i]) < 0)
            fprintf(stderr, "tern: the target '%s' is no token; its first token stands for it\n", command->target_list[i]);
    return TERN_CLI_DONE;
}

static int read_targets(fill_command *command) {
    if (command->targets == NULL) return TERN_CLI_DONE;
    if (command->targets[strspn(command->targets, ",")] == '\0') return tern__cli_usage_error(&tern__cli_fill, "--targets names no token");
    size_t n = 1;
    for (const char *at = command->targets; *at != '\0'; at++) n += *at == ',';
    command->target_texts = strdup(command->targets);
    command->target_list = calloc(n, sizeof *command->target_list);
    if (command->target_texts == NULL || command->target_list == NULL) return tern__cli_fail("out of memory for %zu targets", n);
    for (char *at = command->target_texts; at != NULL;) {
        char *comma = strchr(at, ',');
        if (comma != NULL) *comma = '\0';
        if (*at != '\0') command->target_list[command->n_targets++] = at;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return TERN_CLI_DONE;
}

static int run_fill(int argc, char **argv) {
    fill_command command = {.task = {.begin = begin, .window = fill_window}};
    const tern_cli_option options[] = {
        {.name = "--top-k",
         .value = "K",
         .help = "fills of each mask (default 5)",
         .integer = &command.top_k,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--targets", .value = "A,B,...", .help = "only these tokens, with commas between them", .string = &command.targets},
        {.name = "--json", .help = "one JSON document a line: index, masks with fills", .flag = &command.is_json, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_fill, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_fill, "MODEL is missing");
    code = read_targets(&command);
    if (code == TERN_CLI_DONE) {
        code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 1, args.n_positional - 1);
        tern__cli_task_close(&command.task);
    }
    free(command.target_texts);
    free(command.target_list);
    return code;
}

const tern_cli_command tern__cli_fill = {
    .name = "fill",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "the tokens that fit under the masks of texts",
    .description =
        "What Hugging Face's fill-mask pipeline gives, for models with a head for masked language modeling. A TEXT holds the model's\n"
        "mask token, such as [MASK] or <mask>, once or several times. Without TEXT, each line of standard input is a text.",
    .examples = "  tern fill bert-base-uncased 'Paris is the [MASK] of France.'\n"
                "  tern fill roberta-base --top-k 1 --json <texts.txt\n"
                "  tern fill bert-base-uncased --targets capital,heart 'Paris is the [MASK] of France.'\n",
    .run = run_fill,
};
