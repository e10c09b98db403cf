/* cmd_tokenize.c - tern tokenize: texts become ids as Hugging Face's tokenizers give them, or ids become text. Runs no model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "model_folder.h"
#include "output.h"
#include "text_input.h"

typedef struct tokenize_command {
    int is_json, no_special, is_decode;
    const char *pair;
    int64_t truncate; /* 0: never */
} tokenize_command;

/* ---- Encode ---- */

static void print_json_integers(const char *key, const int32_t *values, size_t n) {
    printf(",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) printf("%s%" PRId32, i > 0 ? "," : "", values[i]);
    putchar(']');
}

static void print_encoding_json(const tern_encoding *encoding) {
    const size_t n = encoding->n;
    fputs("{\"ids\":[", stdout);
    for (size_t i = 0; i < n; i++) printf("%s%" PRId32, i > 0 ? "," : "", encoding->ids[i]);
    fputs("],\"tokens\":[", stdout);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_string(encoding->tokens[i], strlen(encoding->tokens[i]));
    }
    fputs("],\"offsets\":[", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s[%" PRIu32 ",%" PRIu32 "]", i > 0 ? "," : "", encoding->offsets[i][0], encoding->offsets[i][1]);
    putchar(']');
    print_json_integers("type_ids", encoding->type_ids, n);
    fputs(",\"special_tokens_mask\":[", stdout);
    for (size_t i = 0; i < n; i++) printf("%s%d", i > 0 ? "," : "", encoding->special_tokens_mask[i]);
    fputs("]}\n", stdout);
}

static void print_encoding(const tern_encoding *encoding, size_t index, tern_text text) {
    enum { TITLE_COLUMNS = 80 };
    int width = (int)strlen("token");
    for (size_t i = 0; i < encoding->n; i++) {
        const int columns = tern__cli_text_columns(encoding->tokens[i], strlen(encoding->tokens[i]));
        if (columns > width) width = columns;
    }
    printf("%stext %zu, %zu tokens: ", index > 0 ? "\n" : "", index, encoding->n);
    tern__cli_print_snippet(text.data, text.bytes, TITLE_COLUMNS, false);
    printf("\n%8s  %-*s  %13s  %4s  %s\n", "id", width, "token", "offsets", "type", "special");
    for (size_t i = 0; i < encoding->n; i++) {
        const char *token = encoding->tokens[i];
        char offsets[32];
        snprintf(offsets, sizeof offsets, "%" PRIu32 "-%" PRIu32, encoding->offsets[i][0], encoding->offsets[i][1]);
        printf("%8" PRId32 "  ", encoding->ids[i]);
        tern__cli_print_snippet(token, strlen(token), width, true);
        printf("  %13s  %4" PRId32 "  %d\n", offsets, encoding->type_ids[i], encoding->special_tokens_mask[i]);
    }
}

static int encode_window(const tern_tokenizer *tokenizer, const tokenize_command *command, const tern_cli_texts *texts) {
    tern_encode_options options = tern_encode_options_default();
    options.add_special_tokens = command->no_special == 0;
    options.max_length = (size_t)command->truncate;
    options.with_tokens = true;
    const tern_text pair = {command->pair, command->pair != NULL ? strlen(command->pair) : 0};
    for (size_t i = 0; i < texts->n_texts; i++) {
        tern_encoding encoding;
        tern_error err;
        if (tern_tokenizer_encode(&encoding, tokenizer, texts->texts[i], command->pair != NULL ? &pair : NULL, &options, &err) != TERN_OK)
            return tern__cli_fail_text(texts, i, err.message);
        if (command->is_json) print_encoding_json(&encoding);
        else print_encoding(&encoding, texts->first + i, texts->texts[i]);
        tern_encoding_free(&encoding);
    }
    return tern__cli_flush();
}

static int encode_all(const tern_tokenizer *tokenizer, const tokenize_command *command, char **arguments, size_t n_arguments) {
    tern_cli_texts texts;
    tern__cli_texts_open(&texts, arguments, n_arguments);
    int code = TERN_CLI_DONE;
    while (code == TERN_CLI_DONE && tern__cli_texts_next(&texts, false)) code = encode_window(tokenizer, command, &texts);
    if (texts.has_failed) code = TERN_CLI_FAILED;
    tern__cli_texts_close(&texts);
    return code;
}

/* ---- Decode ---- */

static int parse_ids(int32_t *ids, char **words, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *end;
        errno = 0;
        const long long id = strtoll(words[i], &end, 10);
        if (end == words[i] || *end != '\0' || errno != 0 || id < 0 || id > INT32_MAX)
            return tern__cli_usage_error(&tern__cli_tokenize, "'%s' is not an id: a whole number in 0 ... %d", words[i], INT32_MAX);
        ids[i] = (int32_t)id;
    }
    return TERN_CLI_DONE;
}

static int print_decoded(const tern_tokenizer *tokenizer, const int32_t *ids, size_t n, bool is_json) {
    char *text;
    tern_error err;
    if (tern_tokenizer_decode(&text, NULL, tokenizer, ids, n, true, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    if (is_json) {
        fputs("{\"text\":", stdout);
        tern__cli_json_string(text, strlen(text));
        fputs("}\n", stdout);
    } else {
        puts(text);
    }
    tern_free(text);
    return TERN_CLI_DONE;
}

/* ---- The command ---- */

static int check_tokenize_usage(const tokenize_command *command, const tern_cli_args *args) {
    if (args->n_positional == 0) return tern__cli_usage_error(&tern__cli_tokenize, "MODEL is missing");
    if (command->is_decode && (command->pair != NULL || command->no_special || command->truncate != 0))
        return tern__cli_usage_error(&tern__cli_tokenize, "--decode takes ids: --pair, --no-special and --truncate are for texts");
    if (command->is_decode && args->n_positional == 1) return tern__cli_usage_error(&tern__cli_tokenize, "--decode needs at least one ID");
    return TERN_CLI_DONE;
}

static int tokenize_all(const tokenize_command *command, const tern_cli_args *args) {
    const size_t n = args->n_positional - 1;
    char **words = args->positional + 1;
    int32_t *ids = NULL;
    int code = TERN_CLI_DONE;
    if (command->is_decode) {
        ids = calloc(n, sizeof *ids);
        code = ids != NULL ? parse_ids(ids, words, n) : tern__cli_fail("out of memory");
    }
    tern_tokenizer *tokenizer = NULL;
    char *folder = NULL;
    tern_error err;
    if (code == TERN_CLI_DONE) code = tern__cli_model_folder(&folder, args->positional[0], true);
    if (code == TERN_CLI_DONE && tern_tokenizer_load(&tokenizer, folder, &err) != TERN_OK) code = tern__cli_fail("%s", err.message);
    tern_free(folder);
    if (code == TERN_CLI_DONE)
        code = command->is_decode ? print_decoded(tokenizer, ids, n, command->is_json != 0) : encode_all(tokenizer, command, words, n);
    tern_tokenizer_free(tokenizer);
    free(ids);
    return code;
}

static int run_tokenize(int argc, char **argv) {
    tokenize_command command = {0};
    const tern_cli_option options[] = {
        {.name = "--json",
         .help = "one JSON document a line: ids, tokens, offsets, type_ids, special_tokens_mask; with --decode: text",
         .flag = &command.is_json,
         .flag_value = 1},
        {.name = "--pair", .value = "B", .help = "encode each text as the first of a pair with B", .string = &command.pair},
        {.name = "--no-special", .help = "add no special tokens", .flag = &command.no_special, .flag_value = 1},
        {.name = "--truncate",
         .value = "N",
         .help = "cut to N ids, special tokens counted, the longest text first (default never)",
         .integer = &command.truncate,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--decode",
         .help = "the arguments are ids: print their text without special tokens",
         .flag = &command.is_decode,
         .flag_value = 1},
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_tokenize, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    code = check_tokenize_usage(&command, &args);
    return code == TERN_CLI_DONE ? tokenize_all(&command, &args) : code;
}

const tern_cli_command tern__cli_tokenize = {
    .name = "tokenize",
    .arguments = "MODEL [TEXT...] [options]\n       tern tokenize MODEL --decode ID...",
    .summary = "texts become ids and tokens, or ids become text",
    .description =
        "The ids, tokens and offsets that Hugging Face's tokenizers give. Without TEXT, each line of standard input is a text (its end is "
        "a\n"
        "line feed, or a carriage return and a line feed). Offsets count Unicode code points of the text, from start to before end;\n"
        "special tokens have 0-0. Texts are neither cut nor padded.",
    .examples = "  tern tokenize all-MiniLM-L6-v2 'How do I reset my password?'\n"
                "  tern tokenize all-MiniLM-L6-v2 --json --truncate 128 <texts.txt\n"
                "  tern tokenize all-MiniLM-L6-v2 'a question' --pair 'a passage'\n"
                "  tern tokenize all-MiniLM-L6-v2 --decode 101 7592 2088 102\n",
    .run = run_tokenize,
};
