/* cmd_rerank.c - tern rerank: documents sorted by how well they answer a query, by a cross-encoder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scores.h"
#include "task_run.h"

enum { SNIPPET_COLUMNS = 90 };

typedef struct rerank_command {
    tern_cli_task task; /* first: the task's functions get its address */
    tern_text query;
    int64_t top_k;
    int is_json, is_raw;
} rerank_command;

static tern_classify_options options_of(const rerank_command *command) {
    tern_classify_options options = tern_classify_options_default();
    if (command->is_raw) options.function_to_apply = TERN_APPLY_NONE;
    return options;
}

/* A call without documents says whether the model can. */
static int begin(tern_cli_task *task) {
    const rerank_command *command = (const rerank_command *)task;
    const tern_classify_options options = options_of(command);
    tern_error err;
    if (tern_model_rerank(task->model, command->query, NULL, 0, &options, NULL, &err) == TERN_OK) return TERN_CLI_DONE;
    return tern__cli_fail("%s", err.message);
}

static void print_documents(const rerank_command *command, tern_cli_score *sorted, const float *scores) {
    const tern_cli_texts *texts = &command->task.texts;
    for (size_t i = 0; i < texts->n_texts; i++) sorted[i] = (tern_cli_score){.score = scores[i], .index = i};
    tern__cli_scores_sort(sorted, texts->n_texts);
    const size_t n = command->top_k > 0 && (size_t)command->top_k < texts->n_texts ? (size_t)command->top_k : texts->n_texts;
    for (size_t i = 0; i < n; i++) {
        const tern_text text = texts->texts[sorted[i].index];
        if (command->is_json) {
            printf("{\"index\":%zu,\"score\":", sorted[i].index);
            tern__cli_json_float(sorted[i].score);
            fputs(",\"text\":", stdout);
            tern__cli_json_string(text.data, text.bytes);
            puts("}");
        } else {
            printf("%10.6f  %6zu  ", (double)sorted[i].score, sorted[i].index);
            tern__cli_print_snippet(text.data, text.bytes, SNIPPET_COLUMNS, false);
            putchar('\n');
        }
    }
}

static int rerank_window(tern_cli_task *task) {
    rerank_command *command = (rerank_command *)task;
    const size_t n = task->texts.n_texts;
    float *scores = calloc(n + 1, sizeof *scores);
    tern_cli_score *sorted = calloc(n + 1, sizeof *sorted);
    tern_classify_options options = options_of(command);
    options.progress = tern__cli_task_progress;
    options.user = task;
    options.n_truncated = &task->n_truncated;
    tern_error err;
    int code = TERN_CLI_DONE;
    if (scores == NULL || sorted == NULL) {
        code = tern__cli_fail("out of memory for %zu documents", n);
    } else if (tern_model_rerank(task->model, command->query, task->texts.texts, n, &options, scores, &err) != TERN_OK) {
        code = tern__cli_task_fail(task, &err);
    } else {
        tern__cli_progress_close(&task->progress);
        print_documents(command, sorted, scores);
        code = tern__cli_flush();
    }
    free(scores);
    free(sorted);
    return code;
}

static int run_rerank(int argc, char **argv) {
    rerank_command command = {.task = {.begin = begin, .window = rerank_window, .reads_all = true, .truncated = "pair"}};
    const tern_cli_option options[] = {
        {.name = "--top-k",
         .value = "K",
         .help = "print the K best documents (default all)",
         .integer = &command.top_k,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--raw",
         .help = "scores as the model gives them (default: what its activation_fn makes of them, else their sigmoid)",
         .flag = &command.is_raw,
         .flag_value = 1},
        {.name = "--json", .help = "one JSON document a line: index, score, text", .flag = &command.is_json, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_rerank, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_rerank, "MODEL is missing");
    if (args.n_positional == 1) return tern__cli_usage_error(&tern__cli_rerank, "QUERY is missing");
    command.query = (tern_text){.data = args.positional[1], .bytes = strlen(args.positional[1])};
    code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 2, args.n_positional - 2);
    tern__cli_task_close(&command.task);
    return code;
}

const tern_cli_command tern__cli_rerank = {
    .name = "rerank",
    .arguments = "MODEL QUERY [DOCUMENT...] [options]",
    .summary = "documents sorted by how well they answer a query",
    .description =
        "Each document is given to the model together with the query, as sentence-transformers' CrossEncoder does it: for models with a\n"
        "head for sequence classification that has one label. Without DOCUMENT, each line of standard input is a document; all are read\n"
        "before the first is printed. What is printed: the score, the number of the document from 0, its text; the best first.",
    .examples = "  tern rerank cross-encoder 'how tall is K2' 'K2 has 8,611 metres.' 'K2 is a mountain.'\n"
                "  tern rerank cross-encoder 'how tall is K2' --top-k 10 --json <documents.txt\n",
    .run = run_rerank,
};
