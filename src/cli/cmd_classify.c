/* cmd_classify.c - tern classify: texts, or pairs of texts, get scores of labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scores.h"
#include "task_run.h"

enum { SNIPPET_COLUMNS = 60 };

typedef struct classify_command {
    tern_cli_task task; /* first: the task's functions get its address */
    const char *function;
    int64_t top_k;
    int is_json, has_pairs;
    size_t n_labels;
} classify_command;

/* What a window needs. */
typedef struct classify_window {
    tern_text *firsts, *seconds; /* of pairs */
    float *scores;               /* [n_texts, n_labels] */
    int32_t *n_tokens;
    tern_cli_score *sorted; /* [n_labels] */
} classify_window;

static int begin(tern_cli_task *task) {
    classify_command *command = (classify_command *)task;
    command->n_labels = (size_t)tern_model_get_info(task->model).n_labels;
    if (command->has_pairs) task->truncated = "pair";
    if (command->n_labels == 0) return tern__cli_fail("%s has no labels", tern_model_get_info(task->model).architecture);
    if (command->top_k == 0 || (size_t)command->top_k > command->n_labels) command->top_k = (int64_t)command->n_labels;
    return TERN_CLI_DONE;
}

static void print_text(const classify_command *command, const classify_window *window, size_t i) {
    const tern_cli_texts *texts = &command->task.texts;
    for (size_t l = 0; l < command->n_labels; l++)
        window->sorted[l] = (tern_cli_score){
            .label = tern_model_label(command->task.model, (int64_t)l), .score = window->scores[i * command->n_labels + l], .index = l};
    tern__cli_scores_sort(window->sorted, command->n_labels);
    if (command->is_json) {
        printf("{\"index\":%zu,\"n_tokens\":%" PRId32 ",\"labels\":", texts->first + i, window->n_tokens[i]);
        tern__cli_scores_json(window->sorted, (size_t)command->top_k);
        puts("}");
        return;
    }
    tern__cli_print_snippet(texts->texts[i].data, texts->texts[i].bytes, SNIPPET_COLUMNS, true);
    fputs("  ", stdout);
    tern__cli_scores_print(window->sorted, (size_t)command->top_k);
    putchar('\n');
}

static int classify(classify_command *command, classify_window *window) {
    static const char *const names[] = {"", "none", "sigmoid", "softmax"}; /* in the order of tern_function_to_apply */
    const tern_cli_texts *texts = &command->task.texts;
    tern_classify_options options = tern_classify_options_default();
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (command->function != NULL && strcmp(names[i], command->function) == 0) options.function_to_apply = (tern_function_to_apply)i;
    options.progress = tern__cli_task_progress;
    options.user = &command->task;
    options.n_truncated = &command->task.n_truncated;
    size_t without;
    if (command->has_pairs && !tern__cli_split_pairs(window->firsts, window->seconds, texts->texts, texts->n_texts, &without))
        return tern__cli_fail_text(texts, without, "has no tab between two texts, which --pairs wants");
    for (size_t i = 0; command->has_pairs && i < texts->n_texts; i++)
        if (window->seconds[i].bytes == 0) window->seconds[i].data = NULL; /* the pipeline takes nothing for no second text */
    tern_error err;
    if (tern_model_classify(command->task.model, command->has_pairs ? window->firsts : texts->texts,
                            command->has_pairs ? window->seconds : NULL, texts->n_texts, &options, window->scores, window->n_tokens,
                            &err) != TERN_OK)
        return tern__cli_task_fail(&command->task, &err);
    for (size_t i = 0; i < texts->n_texts; i++) print_text(command, window, i);
    return tern__cli_flush();
}

static int classify_window_of(tern_cli_task *task) {
    classify_command *command = (classify_command *)task;
    const size_t n = task->texts.n_texts;
    classify_window window = {.firsts = calloc(n + 1, sizeof(tern_text)),
                              .seconds = calloc(n + 1, sizeof(tern_text)),
                              .scores = calloc(n * command->n_labels + 1, sizeof(float)),
                              .n_tokens = calloc(n + 1, sizeof(int32_t)),
                              .sorted = calloc(command->n_labels + 1, sizeof(tern_cli_score))};
    const bool ok =
        window.firsts != NULL && window.seconds != NULL && window.scores != NULL && window.n_tokens != NULL && window.sorted != NULL;
    const int code = ok ? classify(command, &window) : tern__cli_fail("out of memory for the scores of %zu texts", n);
    free(window.firsts);
    free(window.seconds);
    free(window.scores);
    free(window.n_tokens);
    free(window.sorted);
    return code;
}

static int run_classify(int argc, char **argv) {
    static const char *const functions[] = {"none", "sigmoid", "softmax", NULL};
    classify_command command = {.task = {.begin = begin, .window = classify_window_of}};
    const tern_cli_option options[] = {
        {.name = "--json",
         .help = "one JSON document a line: index, n_tokens, labels with scores",
         .flag = &command.is_json,
         .flag_value = 1},
        {.name = "--top-k",
         .value = "K",
         .help = "print the K best labels (default all)",
         .integer = &command.top_k,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--function-to-apply",
         .value = "none|sigmoid|softmax",
         .help = "what makes scores of logits (default by the config, as Hugging Face's pipeline)",
         .string = &command.function,
         .choices = functions},
        {.name = "--pairs", .help = "a TEXT is a pair: two texts with a tab between them", .flag = &command.has_pairs, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_classify, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_classify, "MODEL is missing");
    code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 1, args.n_positional - 1);
    tern__cli_task_close(&command.task);
    return code;
}

const tern_cli_command tern__cli_classify = {
    .name = "classify",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "texts get scores of labels",
    .description =
        "The scores of Hugging Face's text-classification pipeline, for models with a head for sequence classification. Without\n"
        "TEXT, each line of standard input is a text. Texts are cut to the model's max_seq_length tokens (tern info MODEL).",
    .examples = "  tern classify sentiment-model 'What a day!' 'I want my money back.'\n"
                "  tern classify sentiment-model --top-k 1 --json <reviews.txt\n"
                "  printf 'a premise\\ta hypothesis\\n' | tern classify nli-model --pairs\n",
    .run = run_classify,
};
