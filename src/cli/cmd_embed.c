/* cmd_embed.c - tern embed: texts become vectors, window by window, so that memory is bounded however long the input is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "npy.h"
#include "output.h"
#include "text_input.h"

enum { SHOWN_COMPONENTS = 4, SNIPPET_COLUMNS = 48 };

typedef struct embed_command {
    const char *output, *pooling;
    int is_json, normalize; /* normalize: a tern_choice */
    tern_cli_run run;
    tern_model *model;
    tern_cli_texts texts;
    tern_cli_npy npy;
    tern_cli_progress progress;
    size_t width;
    float *embeddings; /* [capacity, width] */
    int32_t *n_tokens; /* [capacity] */
    size_t capacity;   /* texts of the largest window yet */
} embed_command;

static bool show_progress(void *user, size_t done, size_t total) {
    embed_command *command = user;
    const double fraction = command->texts.arguments != NULL ? (double)done / (double)total : tern__cli_texts_fraction(&command->texts);
    tern__cli_progress_show(&command->progress, command->texts.first + done, fraction);
    return true;
}

static tern_embed_options make_embed_options(embed_command *command) {
    static const char *const names[] = {"", "mean", "cls", "max"}; /* in the order of tern_pooling */
    tern_embed_options options = tern_embed_options_default();
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (command->pooling != NULL && strcmp(names[i], command->pooling) == 0) options.pooling = (tern_pooling)i;
    options.normalize = (tern_choice)command->normalize;
    options.progress = show_progress;
    options.user = command;
    return options;
}

/* ---- Results ---- */

static void print_json_row(size_t index, int32_t n_tokens, const float *embedding, size_t width) {
    printf("{\"index\":%zu,\"n_tokens\":%" PRId32 ",\"embedding\":", index, n_tokens);
    tern__cli_json_floats(embedding, width);
    fputs("}\n", stdout);
}

static void print_row(size_t index, int32_t n_tokens, const float *embedding, size_t width, tern_text text) {
    printf("%7zu  %6" PRId32 " ", index, n_tokens);
    for (size_t i = 0; i < SHOWN_COMPONENTS; i++) {
        if (i < width) printf(" %9.6f", (double)embedding[i]);
        else printf(" %9s", "");
    }
    printf(" %s  ", width > SHOWN_COMPONENTS ? "..." : "   ");
    tern__cli_print_snippet(text.data, text.bytes, SNIPPET_COLUMNS, false);
    putchar('\n');
}

static int write_window(embed_command *command) {
    const tern_cli_texts *texts = &command->texts;
    if (command->output != NULL) return tern__cli_npy_append(&command->npy, command->embeddings, texts->n_texts);
    if (!command->is_json && texts->first == 0)
        printf("%7s  %6s  %-*s  %s\n", "index", "tokens", 10 * SHOWN_COMPONENTS + 3, "embedding", "text");
    for (size_t i = 0; i < texts->n_texts; i++) {
        const float *embedding = command->embeddings + i * command->width;
        if (command->is_json) print_json_row(texts->first + i, command->n_tokens[i], embedding, command->width);
        else print_row(texts->first + i, command->n_tokens[i], embedding, command->width, texts->texts[i]);
    }
    return tern__cli_flush();
}

/* ---- The run ---- */

static int grow_window(embed_command *command) {
    const size_t n = command->texts.n_texts;
    if (n <= command->capacity) return TERN_CLI_DONE;
    free(command->embeddings);
    free(command->n_tokens);
    command->embeddings = calloc(n, command->width * sizeof *command->embeddings);
    command->n_tokens = calloc(n, sizeof *command->n_tokens);
    command->capacity = n;
    if (command->embeddings != NULL && command->n_tokens != NULL) return TERN_CLI_DONE;
    return tern__cli_fail("out of memory for the embeddings of %zu texts", n);
}

static int embed_window(embed_command *command, const tern_embed_options *options) {
    if (grow_window(command) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    tern_error err;
    const tern_cli_texts *texts = &command->texts;
    if (tern_model_embed(command->model, texts->texts, texts->n_texts, options, command->embeddings, command->n_tokens, &err) != TERN_OK) {
        tern__cli_progress_close(&command->progress);
        return tern__cli_fail_window(texts, &err);
    }
    return write_window(command);
}

static int embed_all(embed_command *command, const char *folder) {
    int code = tern__cli_load_model(&command->model, folder, &command->run);
    if (code != TERN_CLI_DONE) return code;
    command->width = tern_model_embedding_size(command->model);
    if (command->output != NULL) code = tern__cli_npy_open(&command->npy, command->output, command->width);
    const tern_embed_options options = make_embed_options(command);
    tern__cli_progress_open(&command->progress);
    while (code == TERN_CLI_DONE && tern__cli_texts_next(&command->texts, false)) code = embed_window(command, &options);
    tern__cli_progress_close(&command->progress);
    if (code == TERN_CLI_DONE && command->texts.has_failed) code = TERN_CLI_FAILED;
    if (code == TERN_CLI_DONE && command->output != NULL) code = tern__cli_npy_commit(&command->npy);
    return code;
}

static int run_embed(int argc, char **argv) {
    static const char *const poolings[] = {"mean", "cls", "max", NULL};
    embed_command command = {.normalize = TERN_CHOICE_DEFAULT};
    const tern_cli_option options[] = {
        {.name = "--json", .help = "one JSON document a line: index, n_tokens, embedding", .flag = &command.is_json, .flag_value = 1},
        {.name = "--output",
         .value = "FILE.npy",
         .help = "write the vectors to a NumPy file, float32 [texts, width], instead of standard output",
         .string = &command.output},
        {.name = "--pooling",
         .value = "mean|cls|max",
         .help = "how token vectors become one (default what the folder says, else mean)",
         .string = &command.pooling,
         .choices = poolings},
        {.name = "--normalize",
         .help = "scale vectors to length 1 (default when the folder says so)",
         .flag = &command.normalize,
         .flag_value = TERN_CHOICE_YES},
        {.name = "--no-normalize", .help = "leave vectors as pooling gives them", .flag = &command.normalize, .flag_value = TERN_CHOICE_NO},
        TERN_CLI_RUN_OPTIONS(command.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_embed, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_embed, "MODEL is missing");
    if (command.output != NULL && command.is_json)
        return tern__cli_usage_error(&tern__cli_embed, "--json and --output exclude each other: the vectors go to one place");
    tern__cli_texts_open(&command.texts, args.positional + 1, args.n_positional - 1);
    code = embed_all(&command, args.positional[0]);
    tern__cli_npy_discard(&command.npy);
    tern__cli_texts_close(&command.texts);
    tern_model_free(command.model);
    free(command.embeddings);
    free(command.n_tokens);
    return code;
}

const tern_cli_command tern__cli_embed = {
    .name = "embed",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "texts become vectors",
    .description =
        "One vector a text, as sentence-transformers gives them. Without TEXT, each line of standard input is a text, read as a stream:\n"
        "ten million lines need no more memory than ten thousand. A line may hold NUL bytes and be empty; its end is a line feed, or a\n"
        "carriage return and a line feed. Texts are cut to the model's max_seq_length tokens (tern info MODEL). A text's vector has the\n"
        "same bits whatever it is embedded with, and with any number of threads. A FILE.npy appears under its name when it is complete.\n"
        "A component that is infinite or not a number is null in JSON.",
    .examples = "  tern embed all-MiniLM-L6-v2 'A man is eating food.' 'Someone is having a meal.'\n"
                "  tern embed all-MiniLM-L6-v2 --json <texts.txt >vectors.jsonl\n"
                "  tern embed all-MiniLM-L6-v2 --output vectors.npy --threads 4 <texts.txt\n"
                "  tern embed bert-base-uncased --pooling cls --no-normalize -- '-5 degrees'\n",
    .run = run_embed,
};
