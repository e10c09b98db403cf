/* cmd_embed.c - tern embed: texts become vectors, window by window, so that memory is bounded however long the input is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "task_run.h"

enum { SHOWN_COMPONENTS = 4, SNIPPET_COLUMNS = 48, SHOWN_ENTRIES = 8, FEW_TEXTS = 100 };

typedef struct embed_command {
    tern_cli_task task; /* first: the task's functions get its address */
    const char *output, *pooling, *prompt, *prompt_name;
    int is_json, normalize, embed_task; /* a tern_choice, a tern_embed_task */
    tern_cli_npy npy;
    size_t width;
    float *embeddings; /* [capacity, width] */
    const char *precision_name, *calibration;
    tern_precision precision;
    float *ranges;                /* [2, width] of the calibration; NULL: of the embeddings themselves */
    void *quantized;              /* [capacity] vectors; NULL: float32 */
    int64_t truncate_dim, stride; /* stride -1: no windows */
    int is_tokens;                /* a vector for each token */
    bool is_sparse;               /* of a sparse model, where no file of dense vectors is asked for */
    int64_t max_active_dims;
    float **token_embeddings;    /* [capacity] */
    tern_sparse_vector *vectors; /* [capacity] */
    int32_t *n_tokens;           /* [capacity] */
    size_t capacity;             /* texts of the largest window yet */
} embed_command;

static tern_embed_options make_embed_options(embed_command *command) {
    static const char *const names[] = {"", "mean", "cls", "max"}; /* in the order of tern_pooling */
    tern_embed_options options = tern_embed_options_default();
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (command->pooling != NULL && strcmp(names[i], command->pooling) == 0) options.pooling = (tern_pooling)i;
    options.normalize = (tern_choice)command->normalize;
    options.task = (tern_embed_task)command->embed_task;
    options.prompt = command->prompt;
    options.prompt_name = command->prompt_name;
    options.truncate_dim = (size_t)command->truncate_dim;
    options.with_windows = command->stride >= 0;
    options.stride = command->stride >= 0 ? (size_t)command->stride : 0;
    options.progress = tern__cli_task_progress;
    options.user = &command->task;
    return options;
}

/* ---- Results ---- */

/* A component of a quantized vector. */
static int quantized_component(const embed_command *command, size_t text, size_t c) {
    const size_t at = text * tern_precision_width(command->precision, command->width) + c;
    const uint8_t *bytes = command->quantized;
    return tern_precision_dtype(command->precision) == TERN_DTYPE_I8 ? ((const int8_t *)command->quantized)[at] : bytes[at];
}

static void print_json_row(const embed_command *command, size_t index, size_t text) {
    printf("{\"index\":%zu,\"n_tokens\":%" PRId32 ",\"embedding\":", index, command->n_tokens[text]);
    if (command->quantized == NULL) {
        tern__cli_json_floats(command->embeddings + text * command->width, command->width);
    } else {
        const size_t width = tern_precision_width(command->precision, command->width);
        for (size_t c = 0; c < width; c++) printf("%c%d", c == 0 ? '[' : ',', quantized_component(command, text, c));
        putchar(']');
    }
    fputs("}\n", stdout);
}

static void print_row(const embed_command *command, size_t index, size_t text) {
    const size_t width = tern_precision_width(command->precision, command->width);
    const tern_text shown = command->task.texts.texts[text];
    printf("%7zu  %6" PRId32 " ", index, command->n_tokens[text]);
    for (size_t c = 0; c < SHOWN_COMPONENTS; c++) {
        if (c >= width) printf(" %9s", "");
        else if (command->quantized != NULL) printf(" %9d", quantized_component(command, text, c));
        else printf(" %9.6f", (double)command->embeddings[text * width + c]);
    }
    printf(" %s  ", width > SHOWN_COMPONENTS ? "..." : "   ");
    tern__cli_print_snippet(shown.data, shown.bytes, SNIPPET_COLUMNS, false);
    putchar('\n');
}

static void print_sparse_json(const embed_command *command, size_t index, size_t text) {
    const tern_tokenizer *tokenizer = tern_model_get_tokenizer(command->task.model);
    const tern_sparse_vector *vector = &command->vectors[text];
    printf("{\"index\":%zu,\"n_tokens\":%" PRId32 ",\"sparse_embedding\":[", index, command->n_tokens[text]);
    for (size_t i = 0; i < vector->n; i++) {
        const char *token = tern_tokenizer_id_to_token(tokenizer, vector->entries[i].id);
        printf("%s{\"id\":%" PRId32 ",\"token\":", i > 0 ? "," : "", vector->entries[i].id);
        if (token != NULL) tern__cli_json_string(token, strlen(token));
        else fputs("null", stdout);
        fputs(",\"weight\":", stdout);
        tern__cli_json_float(vector->entries[i].weight);
        putchar('}');
    }
    fputs("]}\n", stdout);
}

static void print_sparse_row(const embed_command *command, size_t index, size_t text) {
    const tern_tokenizer *tokenizer = tern_model_get_tokenizer(command->task.model);
    const tern_sparse_vector *vector = &command->vectors[text];
    printf("%7zu  %6" PRId32 "  %6zu  ", index, command->n_tokens[text], vector->n);
    for (size_t i = 0; i < vector->n && i < SHOWN_ENTRIES; i++) {
        const char *token = tern_tokenizer_id_to_token(tokenizer, vector->entries[i].id);
        tern__cli_print_snippet(token != NULL ? token : "?", token != NULL ? strlen(token) : 1, SNIPPET_COLUMNS, false);
        printf(" %.3f%s", (double)vector->entries[i].weight, i + 1 < vector->n ? ", " : "");
    }
    puts(vector->n > SHOWN_ENTRIES ? "..." : "");
}

static void print_tokens_json(const embed_command *command, size_t index, size_t text) {
    printf("{\"index\":%zu,\"n_tokens\":%" PRId32 ",\"token_embeddings\":[", index, command->n_tokens[text]);
    for (int32_t i = 0; i < command->n_tokens[text]; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_floats(command->token_embeddings[text] + (size_t)i * command->width, command->width);
    }
    fputs("]}\n", stdout);
}

static void print_token_rows(const embed_command *command, size_t index, size_t text) {
    for (int32_t i = 0; i < command->n_tokens[text]; i++) {
        const float *row = command->token_embeddings[text] + (size_t)i * command->width;
        printf("%7zu  %6" PRId32 " ", index, i);
        for (size_t c = 0; c < SHOWN_COMPONENTS && c < command->width; c++) printf(" %9.6f", (double)row[c]);
        puts(command->width > SHOWN_COMPONENTS ? " ..." : "");
    }
}

/* Rows of other shapes than one dense vector a text. */
static int write_other_window(embed_command *command) {
    const tern_cli_texts *texts = &command->task.texts;
    if (!command->is_json && texts->first == 0)
        puts(command->is_tokens ? "  index   token  embedding" : "  index  tokens  active  heaviest tokens of the vocabulary");
    for (size_t i = 0; i < texts->n_texts; i++) {
        if (command->is_tokens && command->is_json) print_tokens_json(command, texts->first + i, i);
        else if (command->is_tokens) print_token_rows(command, texts->first + i, i);
        else if (command->is_json) print_sparse_json(command, texts->first + i, i);
        else print_sparse_row(command, texts->first + i, i);
    }
    return tern__cli_flush();
}

static int write_window(embed_command *command) {
    const tern_cli_texts *texts = &command->task.texts;
    if (command->output != NULL)
        return tern__cli_npy_append(&command->npy, command->quantized != NULL ? command->quantized : command->embeddings, texts->n_texts);
    if (!command->is_json && texts->first == 0)
        printf("%7s  %6s  %-*s  %s\n", "index", "tokens", 10 * SHOWN_COMPONENTS + 3, "embedding", "text");
    for (size_t i = 0; i < texts->n_texts; i++) {
        if (command->is_json) print_json_row(command, texts->first + i, i);
        else print_row(command, texts->first + i, i);
    }
    return tern__cli_flush();
}

/* ---- Quantization ---- */

static bool needs_ranges(const embed_command *command) {
    return command->precision == TERN_PRECISION_INT8 || command->precision == TERN_PRECISION_UINT8;
}

static int read_calibration(embed_command *command) {
    float *rows;
    size_t n;
    if (command->calibration == NULL) return TERN_CLI_DONE;
    if (tern__cli_npy_read(&rows, &n, command->calibration, command->width) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    tern_error err;
    command->ranges = calloc(2, command->width * sizeof *command->ranges);
    int code = TERN_CLI_DONE;
    if (command->ranges == NULL) code = tern__cli_fail("out of memory for the ranges");
    else if (tern_quantization_ranges(command->ranges, rows, n, command->width, &err) != TERN_OK)
        code = tern__cli_fail("%s: %s", command->calibration, err.message);
    free(rows);
    return code;
}

/* Without a calibration the ranges are those of the embeddings, which then are all in this one window. */
static int take_own_ranges(embed_command *command) {
    const size_t n = command->task.texts.n_texts;
    if (n == 1)
        return tern__cli_fail("the ranges of %s cannot be taken from a single text; --calibration FILE.npy gives vectors to take them from",
                              command->precision_name);
    if (n < FEW_TEXTS)
        fprintf(stderr, "tern: %s ranges are taken from these %zu texts; vectors of more (--calibration FILE.npy) make them stable\n",
                command->precision_name, n);
    command->ranges = calloc(2, command->width * sizeof *command->ranges);
    if (command->ranges == NULL) return tern__cli_fail("out of memory for the ranges");
    tern_error err;
    if (tern_quantization_ranges(command->ranges, command->embeddings, n, command->width, &err) == TERN_OK) return TERN_CLI_DONE;
    return tern__cli_fail("%s", err.message);
}

static int quantize_window(embed_command *command) {
    const size_t n = command->task.texts.n_texts;
    tern_error err;
    if (command->quantized == NULL) return TERN_CLI_DONE;
    if (needs_ranges(command) && command->ranges == NULL && take_own_ranges(command) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    if (tern_quantize(command->quantized, command->precision, command->embeddings, n, command->width, command->ranges, &err) == TERN_OK)
        return TERN_CLI_DONE;
    return tern__cli_fail("%s", err.message);
}

/* ---- The run ---- */

static void free_window(embed_command *command) {
    free(command->embeddings);
    free(command->token_embeddings);
    free(command->vectors);
    free(command->n_tokens);
    free(command->quantized);
}

static int grow_window(embed_command *command) {
    const size_t n = command->task.texts.n_texts;
    if (n <= command->capacity) return TERN_CLI_DONE;
    free_window(command);
    const bool is_dense = !command->is_tokens && !command->is_sparse;
    command->embeddings = is_dense ? calloc(n, command->width * sizeof *command->embeddings) : NULL;
    command->token_embeddings = command->is_tokens ? calloc(n, sizeof *command->token_embeddings) : NULL;
    command->vectors = command->is_sparse ? calloc(n, sizeof *command->vectors) : NULL;
    command->n_tokens = calloc(n, sizeof *command->n_tokens);
    const bool is_quantized = command->precision != TERN_PRECISION_FLOAT32;
    command->quantized = is_quantized ? calloc(n, tern_precision_width(command->precision, command->width)) : NULL;
    if (is_quantized && command->quantized == NULL) return tern__cli_fail("out of memory for the embeddings of %zu texts", n);
    command->capacity = n;
    if ((command->embeddings != NULL || command->token_embeddings != NULL || command->vectors != NULL) && command->n_tokens != NULL)
        return TERN_CLI_DONE;
    return tern__cli_fail("out of memory for the embeddings of %zu texts", n);
}

/* Results that are freed text by text. */
static int embed_other_window(embed_command *command, const tern_embed_options *options) {
    const tern_cli_texts *texts = &command->task.texts;
    tern_error err;
    const tern_status status = command->is_tokens
                                   ? tern_model_embed_tokens(command->task.model, texts->texts, texts->n_texts, options,
                                                             command->token_embeddings, command->n_tokens, &err)
                                   : tern_model_embed_sparse(command->task.model, texts->texts, texts->n_texts, options,
                                                             (size_t)command->max_active_dims, command->vectors, command->n_tokens, &err);
    if (status != TERN_OK) return tern__cli_task_fail(&command->task, &err);
    const int code = write_other_window(command);
    for (size_t i = 0; i < texts->n_texts && command->is_tokens; i++) tern_free(command->token_embeddings[i]);
    if (command->is_sparse) tern_sparse_vectors_free(command->vectors, texts->n_texts);
    return code;
}

static int embed_window(tern_cli_task *task) {
    embed_command *command = (embed_command *)task;
    if (grow_window(command) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    tern_embed_options options = make_embed_options(command);
    options.n_truncated = &task->n_truncated;
    int code = TERN_CLI_DONE;
    if (command->is_tokens || command->is_sparse) {
        code = embed_other_window(command, &options);
    } else {
        const tern_cli_texts *texts = &task->texts;
        tern_error err;
        if (tern_model_embed(task->model, texts->texts, texts->n_texts, &options, command->embeddings, command->n_tokens, &err) != TERN_OK)
            return tern__cli_task_fail(task, &err);
        code = quantize_window(command);
        if (code == TERN_CLI_DONE) code = write_window(command);
    }
    return code;
}

static int begin(tern_cli_task *task) {
    embed_command *command = (embed_command *)task;
    const tern_embed_options options = make_embed_options(command);
    const bool is_dense = command->output != NULL || command->precision != TERN_PRECISION_FLOAT32;
    command->width = command->is_tokens ? tern_model_token_embedding_size(task->model) : tern_model_embed_width(task->model, &options);
    command->is_sparse = tern_model_get_info(task->model).is_sparse && !command->is_tokens && !is_dense;
    if (read_calibration(command) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    task->reads_all = needs_ranges(command) && command->ranges == NULL;
    if (command->output == NULL) return TERN_CLI_DONE;
    return tern__cli_npy_open(&command->npy, command->output, tern_precision_dtype(command->precision),
                              tern_precision_width(command->precision, command->width));
}

/* A usage error of options that do not go together, or TERN_CLI_GO_ON. */
static int check_embed_options(embed_command *command) {
    while (command->precision_name != NULL && strcmp(tern_precision_name(command->precision), command->precision_name) != 0)
        command->precision = (tern_precision)((int)command->precision + 1);
    if (command->output != NULL && command->is_json)
        return tern__cli_usage_error(&tern__cli_embed, "--json and --output exclude each other: the vectors go to one place");
    if (command->output != NULL && command->is_tokens)
        return tern__cli_usage_error(&tern__cli_embed,
                                     "--token-embeddings and --output exclude each other: texts have as many vectors as tokens");
    if (command->is_tokens && (command->precision_name != NULL || command->truncate_dim > 0 || command->stride >= 0))
        return tern__cli_usage_error(&tern__cli_embed, "--token-embeddings goes with none of --precision, --truncate-dim, --window");
    if (command->calibration != NULL && !needs_ranges(command))
        return tern__cli_usage_error(&tern__cli_embed, "--calibration is of use with --precision int8 and uint8 only");
    if (command->prompt != NULL && command->prompt_name != NULL)
        return tern__cli_usage_error(&tern__cli_embed, "--prompt and --prompt-name exclude each other");
    return TERN_CLI_GO_ON;
}

static int run_embed(int argc, char **argv) {
    static const char *const poolings[] = {"mean", "cls", "max", NULL};
    static const char *const precisions[] = {"float32", "int8", "uint8", "binary", "ubinary", NULL};
    embed_command command = {.task = {.begin = begin, .window = embed_window, .cut_advice = "--window STRIDE embeds texts whole"},
                             .normalize = TERN_CHOICE_DEFAULT,
                             .stride = -1};
    const tern_cli_option options[] = {
        {.name = "--json", .help = "one JSON document a line: index, n_tokens, embedding", .flag = &command.is_json, .flag_value = 1},
        {.name = "--output",
         .value = "FILE.npy",
         .help = "write the vectors to a NumPy file, [texts, width], instead of standard output",
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
        {.name = "--truncate-dim",
         .value = "N",
         .help = "keep the first N components (default what the folder says, else all)",
         .integer = &command.truncate_dim,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--precision",
         .value = "float32|int8|uint8|binary|ubinary",
         .help = "quantize the vectors to bytes or to packed bits (default float32)",
         .string = &command.precision_name,
         .choices = precisions},
        {.name = "--calibration",
         .value = "FILE.npy",
         .help = "vectors that the ranges of int8 and uint8 are taken from (default all texts of this run)",
         .string = &command.calibration},
        {.name = "--window",
         .value = "STRIDE",
         .help = "embed long texts whole, by windows of max_seq_length tokens that share STRIDE tokens",
         .integer = &command.stride,
         .minimum = 0,
         .maximum = INT32_MAX},
        {.name = "--token-embeddings",
         .help = "a vector for each token instead of one for each text",
         .flag = &command.is_tokens,
         .flag_value = 1},
        {.name = "--max-active-dims",
         .value = "N",
         .help = "of sparse vectors: the N heaviest tokens (default what the folder says, else all)",
         .integer = &command.max_active_dims,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--query",
         .help = "texts are queries: the folder's prompt \"query\" goes in front",
         .flag = &command.embed_task,
         .flag_value = TERN_EMBED_QUERY},
        {.name = "--document",
         .help = "texts are documents: the folder's prompt \"document\" goes in front",
         .flag = &command.embed_task,
         .flag_value = TERN_EMBED_DOCUMENT},
        {.name = "--prompt", .value = "TEXT", .help = "put TEXT in front of every text; '' for no prompt", .string = &command.prompt},
        {.name = "--prompt-name",
         .value = "NAME",
         .help = "the folder's prompt of that name (default its default_prompt_name, if it has one)",
         .string = &command.prompt_name},
        TERN_CLI_RUN_OPTIONS(command.task.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_embed, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_embed, "MODEL is missing");
    code = check_embed_options(&command);
    if (code != TERN_CLI_GO_ON) return code;
    code = tern__cli_task_run(&command.task, args.positional[0], args.positional + 1, args.n_positional - 1);
    if (code == TERN_CLI_DONE && command.output != NULL) code = tern__cli_npy_commit(&command.npy);
    tern__cli_npy_discard(&command.npy);
    free(command.ranges);
    tern__cli_task_close(&command.task);
    free_window(&command);
    return code;
}

const tern_cli_command tern__cli_embed = {
    .name = "embed",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "texts become vectors",
    .description =
        "One vector a text, as sentence-transformers gives them. Without TEXT, each line of standard input is a text, read as a stream:\n"
        "ten million lines need no more memory than ten thousand. A line may hold NUL bytes and be empty; its end is a line feed, or a\n"
        "carriage return and a line feed. Texts are cut to the model's max_seq_length tokens (tern info MODEL), which is said once; with\n"
        "--window they are embedded whole, as the mean of windows weighted by the tokens that are new in each. A text's vector has the\n"
        "same bits whatever it is embedded with, and with any number of threads. A FILE.npy appears under its name when it is complete.\n"
        "A sparse model (SPLADE) gives the tokens of the vocabulary that count, with their weights; with --output, dense vectors.\n"
        "A component that is infinite or not a number is null in JSON.",
    .examples = "  tern embed all-MiniLM-L6-v2 'A man is eating food.' 'Someone is having a meal.'\n"
                "  tern embed all-MiniLM-L6-v2 --json <texts.txt >vectors.jsonl\n"
                "  tern embed all-MiniLM-L6-v2 --output vectors.npy --threads 4 <texts.txt\n"
                "  tern embed all-MiniLM-L6-v2 --precision int8 --calibration vectors.npy --output bytes.npy <texts.txt\n"
                "  tern embed bert-base-uncased --pooling cls --no-normalize -- '-5 degrees'\n",
    .run = run_embed,
};
