/* cmd_zero_shot.c - tern zero-shot: texts get scores of labels that the model was not trained on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scores.h"
#include "task_run.h"

enum { SNIPPET_COLUMNS = 60 };

typedef struct zero_shot_command {
    tern_cli_task task; /* first: the task's functions get its address */
    const char *labels, *template;
    int is_json, is_multi_label;
    char **names;          /* [n_labels] */
    tern_text *hypotheses; /* [n_labels] */
    size_t n_labels;
} zero_shot_command;

/* `name` in the place of {} in the template; NULL when memory is short. */
static char *make_hypothesis(const char *template, const char *name) {
    const char *place = strstr(template, "{}");
    const size_t n = strlen(template) + strlen(name);
    char *text = malloc(n + 1);
    if (text != NULL) snprintf(text, n + 1, "%.*s%s%s", (int)(place - template), template, name, place + 2);
    return text;
}

/* The labels between commas, without the spaces round them. */
static int read_labels(zero_shot_command *command) {
    size_t most = 1;
    for (const char *at = command->labels; *at != '\0'; at++) most += *at == ',';
    command->names = calloc(most, sizeof *command->names);
    command->hypotheses = calloc(most, sizeof *command->hypotheses);
    if (command->names == NULL || command->hypotheses == NULL) return tern__cli_fail("out of memory for %zu labels", most);
    for (const char *at = command->labels; at != NULL;) {
        const size_t n = strcspn(at, ",");
        size_t start = strspn(at, " "), end = n;
        while (end > start && at[end - 1] == ' ') end--;
        if (start < end) {
            char *name = strndup(at + start, end - start), *hypothesis = name != NULL ? make_hypothesis(command->template, name) : NULL;
            if (hypothesis == NULL) {
                free(name);
                return tern__cli_fail("out of memory for %zu labels", most);
            }
            command->names[command->n_labels] = name;
            command->hypotheses[command->n_labels++] = (tern_text){.data = hypothesis, .bytes = strlen(hypothesis)};
        }
        at = at[n] == ',' ? at + n + 1 : NULL;
    }
    if (command->n_labels > 0) return TERN_CLI_DONE;
    return tern__cli_usage_error(&tern__cli_zero_shot, "--labels has no label");
}

static void free_labels(zero_shot_command *command) {
    for (size_t i = 0; i < command->n_labels; i++) {
        free(command->names[i]);
        free((char *)(uintptr_t)command->hypotheses[i].data);
    }
    free(command->names);
    free(command->hypotheses);
}

static void print_text(const zero_shot_command *command, const float *scores, tern_cli_score *sorted, size_t i) {
    const tern_cli_texts *texts = &command->task.texts;
    for (size_t l = 0; l < command->n_labels; l++)
        sorted[l] = (tern_cli_score){.label = command->names[l], .score = scores[i * command->n_labels + l], .index = l};
    tern__cli_scores_sort(sorted, command->n_labels);
    if (command->is_json) {
        printf("{\"index\":%zu,\"labels\":", texts->first + i);
        tern__cli_scores_json(sorted, command->n_labels);
        puts("}");
        return;
    }
    tern__cli_print_snippet(texts->texts[i].data, texts->texts[i].bytes, SNIPPET_COLUMNS, true);
    fputs("  ", stdout);
    tern__cli_scores_print(sorted, command->n_labels);
    putchar('\n');
}

static int classify_window(tern_cli_task *task) {
    zero_shot_command *command = (zero_shot_command *)task;
    const size_t n = task->texts.n_texts;
    float *scores = calloc(n * command->n_labels + 1, sizeof *scores);
    tern_cli_score *sorted = calloc(command->n_labels + 1, sizeof *sorted);
    tern_classify_options options = tern_classify_options_default();
    options.progress = tern__cli_task_progress;
    options.user = task;
    options.n_truncated = &task->n_truncated;
    tern_error err;
    int code;
    if (scores == NULL || sorted == NULL) {
        code = tern__cli_fail("out of memory for the scores of %zu texts", n);
    } else if (tern_model_zero_shot(task->model, task->texts.texts, n, command->hypotheses, command->n_labels, command->is_multi_label != 0,
                                    &options, scores, &err) != TERN_OK) {
        code = tern__cli_task_fail(task, &err);
    } else {
        for (size_t i = 0; i < n; i++) print_text(command, scores, sorted, i);
        code = tern__cli_flush();
    }
    free(scores);
    free(sorted);
    return code;
}

static int run_zero_shot(int argc, char **argv) {
    zero_shot_command command = {.task = {.window = classify_window, .truncated = "pair"}, .template = "This example is {}."};
    const tern_cli_option options[] = {
        {.name = "--labels", .value = "A,B,...", .help = "candidate labels, with commas between them", .string = &command.labels},
        {.name = "--template",
         .value = "TEXT",
         .help = "the hypothesis, with {} where the label goes (default \"This example is {}.\")",
         .string = &command.template},
        {.name = "--multi-label",
         .help = "labels do not exclude each other: each is scored by itself",
         .flag = &command.is_multi_label,
         .flag_value = 1},
        {.name = "--json", .help = "one JSON document a line: index, labels with scores", .flag = &command.is_json, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_zero_shot, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_zero_shot, "MODEL is missing");
    if (command.labels == NULL) return tern__cli_usage_error(&tern__cli_zero_shot, "--labels is missing");
    if (strstr(command.template, "{}") == NULL) return tern__cli_usage_error(&tern__cli_zero_shot, "--template has no {} for the label");
    code = read_labels(&command);
    if (code == TERN_CLI_DONE) {
        code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 1, args.n_positional - 1);
        tern__cli_task_close(&command.task);
    }
    free_labels(&command);
    return code;
}

const tern_cli_command tern__cli_zero_shot = {
    .name = "zero-shot",
    .arguments = "MODEL [TEXT...] --labels A,B,... [options]",
    .summary = "texts get scores of labels that you name",
    .description =
        "The scores of Hugging Face's zero-shot-classification pipeline: MODEL, made for natural language inference, is asked of each\n"
        "label whether the text entails the hypothesis that the template makes of it. Without TEXT, each line of standard input is a\n"
        "text.",
    .examples =
        "  tern zero-shot nli-model 'Who are you voting for?' --labels politics,economics,sport\n"
        "  tern zero-shot nli-model --labels urgent,billing,praise --multi-label --template 'This mail is about {}.' --json <mails.txt\n",
    .run = run_zero_shot,
};
