/* cmd_qa.c - tern qa: the part of a text that answers a question.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scores.h"
#include "task_run.h"

typedef struct qa_command {
    tern_cli_task task;   /* first: the task's functions get its address */
    const char *question; /* NULL: each text has its own */
    int64_t top_k, doc_stride, max_seq_len, max_answer_len;
    int is_json, handle_impossible_answer, keeps_offsets;
} qa_command;

static void print_json(const tern_answer *answer) {
    fputs("{\"score\":", stdout);
    tern__cli_json_float(answer->score);
    printf(",\"start\":%" PRIu32 ",\"end\":%" PRIu32 ",\"answer\":", answer->start, answer->end);
    tern__cli_json_string(answer->answer, strlen(answer->answer));
    putchar('}');
}

static void print_question(const qa_command *command, const tern_answers *answers, size_t *next, size_t question) {
    const size_t first = *next, number = command->task.texts.first + question;
    while (*next < answers->n && answers->items[*next].question == question) ++*next;
    if (command->is_json) {
        printf("{\"index\":%zu,\"answers\":[", number);
        for (size_t i = first; i < *next; i++) {
            if (i > first) putchar(',');
            print_json(&answers->items[i]);
        }
        puts("]}");
        return;
    }
    for (size_t i = first; i < *next; i++) {
        const tern_answer *answer = &answers->items[i];
        printf("%7zu  %.4f  %5" PRIu32 " %5" PRIu32 "  ", number, (double)answer->score, answer->start, answer->end);
        tern__cli_print_snippet(answer->answer, strlen(answer->answer), 80, false);
        putchar('\n');
    }
}

static tern_question_answer_options answer_options(qa_command *command) {
    tern_question_answer_options options = tern_question_answer_options_default();
    options.top_k = (size_t)command->top_k;
    options.max_seq_len = (size_t)command->max_seq_len;
    if (command->doc_stride >= 0) options.doc_stride = (size_t)command->doc_stride;
    options.max_answer_len = (size_t)command->max_answer_len;
    options.handle_impossible_answer = command->handle_impossible_answer;
    options.align_to_words = !command->keeps_offsets;
    options.progress = tern__cli_task_progress;
    options.user = &command->task;
    return options;
}

static int answer(qa_command *command, tern_text *questions, tern_text *contexts) {
    const tern_cli_texts *texts = &command->task.texts;
    size_t without;
    for (size_t i = 0; i < texts->n_texts && command->question != NULL; i++) {
        questions[i] = (tern_text){.data = command->question, .bytes = strlen(command->question)};
        contexts[i] = texts->texts[i];
    }
    if (command->question == NULL && !tern__cli_split_pairs(questions, contexts, texts->texts, texts->n_texts, &without))
        return tern__cli_fail_text(texts, without, "has no tab between a question and its context");
    const tern_question_answer_options options = answer_options(command);
    tern_answers answers;
    tern_error err;
    if (tern_model_question_answer(&answers, command->task.model, questions, contexts, texts->n_texts, &options, &err) != TERN_OK)
        return tern__cli_task_fail(&command->task, &err);
    size_t next = 0;
    for (size_t i = 0; i < texts->n_texts; i++) print_question(command, &answers, &next, i);
    tern_answers_free(&answers);
    return tern__cli_flush();
}

static int answer_window(tern_cli_task *task) {
    const size_t n = task->texts.n_texts;
    tern_text *questions = calloc(n + 1, sizeof *questions), *contexts = calloc(n + 1, sizeof *contexts);
    const int code = questions != NULL && contexts != NULL ? answer((qa_command *)task, questions, contexts)
                                                           : tern__cli_fail("out of memory for %zu questions", n);
    free(questions);
    free(contexts);
    return code;
}

static int run_qa(int argc, char **argv) {
    qa_command command = {.task = {.window = answer_window}, .top_k = 1, .doc_stride = -1, .max_answer_len = 15};
    const tern_cli_option options[] = {
        {.name = "--top-k",
         .value = "K",
         .help = "print the K best answers (default 1)",
         .integer = &command.top_k,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--max-answer-len",
         .value = "N",
         .help = "tokens of an answer at most (default 15)",
         .integer = &command.max_answer_len,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--max-seq-len",
         .value = "N",
         .help = "tokens of the question and a part of its context (default 384, or what the model takes)",
         .integer = &command.max_seq_len,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--doc-stride",
         .value = "N",
         .help = "tokens that two parts of a longer context share (default 128, or half of --max-seq-len)",
         .integer = &command.doc_stride,
         .minimum = 0,
         .maximum = INT32_MAX},
        {.name = "--handle-impossible-answer",
         .help = "let \"\" be an answer: the context has none",
         .flag = &command.handle_impossible_answer,
         .flag_value = 1},
        {.name = "--no-align-to-words", .help = "answers may begin and end within words", .flag = &command.keeps_offsets, .flag_value = 1},
        {.name = "--json", .help = "one JSON document a line: index, answers", .flag = &command.is_json, .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_qa, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_qa, "MODEL is missing");
    const size_t n_named = args.n_positional > 1 ? 2 : 1;
    if (n_named == 2) command.question = args.positional[1];
    code = tern__cli_task_run(&command.task, args.positional[0], args.positional + n_named, args.n_positional - n_named);
    tern__cli_task_close(&command.task);
    return code;
}

const tern_cli_command tern__cli_qa = {
    .name = "qa",
    .arguments = "MODEL [QUESTION [CONTEXT...]] [options]",
    .summary = "the part of a text that answers a question",
    .description =
        "What Hugging Face's question-answering pipeline extracts, for models with a head for question answering. Without CONTEXT, each\n"
        "line of standard input is a context; without QUESTION, each line is a question and its context with a tab between. A context\n"
        "that is too long for one run is asked in parts. What is printed: the number of the context from 0, the score, where the answer\n"
        "starts and ends in characters of the context, the answer. Scores of answers that read the same are summed, even above 1.",
    .examples = "  tern qa qa-model 'Where does Sarah live?' 'My name is Sarah and I live in London.'\n"
                "  tern qa qa-model 'What was agreed?' --top-k 3 --json <minutes.txt\n",
    .run = run_qa,
};
