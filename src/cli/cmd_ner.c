/* cmd_ner.c - tern ner: the entities that texts name, or labels of any other kind of token classification.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "task_run.h"

typedef struct ner_command {
    tern_cli_task task; /* first: the task's functions get its address */
    const char *aggregation;
    int is_json;
} ner_command;

static void print_json(const tern_entity *entity, bool is_token) {
    fputs(is_token ? "{\"entity\":" : "{\"entity_group\":", stdout);
    tern__cli_json_string(entity->label, strlen(entity->label));
    fputs(",\"score\":", stdout);
    tern__cli_json_float(entity->score);
    if (is_token) printf(",\"index\":%" PRId64, entity->index);
    fputs(",\"word\":", stdout);
    tern__cli_json_string(entity->word, strlen(entity->word));
    printf(",\"start\":%" PRIu32 ",\"end\":%" PRIu32 "}", entity->start, entity->end);
}

static void print_text(const ner_command *command, const tern_entities *entities, size_t *next, size_t text) {
    const size_t first = *next, number = command->task.texts.first + text;
    while (*next < entities->n && entities->items[*next].text == text) ++*next;
    if (command->is_json) {
        printf("{\"index\":%zu,\"entities\":[", number);
        for (size_t i = first; i < *next; i++) {
            if (i > first) putchar(',');
            print_json(&entities->items[i], entities->items[i].index >= 0);
        }
        puts("]}");
        return;
    }
    for (size_t i = first; i < *next; i++) {
        const tern_entity *entity = &entities->items[i];
        printf("%7zu  %-12s %.4f  %5" PRIu32 " %5" PRIu32 "  ", number, entity->label, (double)entity->score, entity->start, entity->end);
        tern__cli_print_snippet(entity->word, strlen(entity->word), 80, false);
        putchar('\n');
    }
}

static int find_entities(tern_cli_task *task) {
    static const char *const names[] = {"none", "simple", "first", "average", "max"}; /* in the order of tern_aggregation_strategy */
    ner_command *command = (ner_command *)task;
    tern_token_classify_options options = tern_token_classify_options_default();
    options.aggregation = TERN_AGGREGATE_SIMPLE;
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (command->aggregation != NULL && strcmp(names[i], command->aggregation) == 0) options.aggregation = (tern_aggregation_strategy)i;
    options.progress = tern__cli_task_progress;
    options.user = task;
    options.n_truncated = &task->n_truncated;
    tern_entities entities;
    tern_error err;
    if (tern_model_token_classify(&entities, task->model, task->texts.texts, task->texts.n_texts, &options, &err) != TERN_OK)
        return tern__cli_task_fail(task, &err);
    size_t next = 0;
    for (size_t i = 0; i < task->texts.n_texts; i++) print_text(command, &entities, &next, i);
    tern_entities_free(&entities);
    return tern__cli_flush();
}

static int run_ner(int argc, char **argv) {
    static const char *const strategies[] = {"none", "simple", "first", "average", "max", NULL};
    ner_command command = {.task = {.window = find_entities}};
    const tern_cli_option options[] = {
        {.name = "--aggregation-strategy",
         .value = "none|simple|first|average|max",
         .help = "how tokens become entities (default simple); none: tokens as they are",
         .string = &command.aggregation,
         .choices = strategies},
        {.name = "--json", .help = "one JSON document a line: index, entities", .flag = &command.is_json, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_ner, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_ner, "MODEL is missing");
    code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 1, args.n_positional - 1);
    tern__cli_task_close(&command.task);
    return code;
}

const tern_cli_command tern__cli_ner = {
    .name = "ner",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "the entities that texts name",
    .description =
        "What Hugging Face's token-classification pipeline finds, for models with a head for token classification. Without TEXT, each\n"
        "line of standard input is a text. Texts are cut to the model's max_seq_length tokens (tern info MODEL). start and end count\n"
        "characters of the text. What has the label O is left out.",
    .examples = "  tern ner ner-model 'My name is Sarah and I live in London.'\n"
                "  tern ner ner-model --aggregation-strategy first --json <articles.txt\n",
    .run = run_ner,
};
