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
    int is_json, no_special, is_decode, with_word_ids, with_overflowing;
    const char *pair, *strategy, *side; /* NULL: the default */
    int64_t max_length;                 /* 0: never cut */
    int64_t stride, threads;
} tokenize_command;

static const char *const strategies[] = {
    [TERN_LONGEST_FIRST] = "longest_first", [TERN_ONLY_FIRST] = "only_first", [TERN_ONLY_SECOND] = "only_second", NULL};
static const char *const sides[] = {[TERN_CUT_RIGHT] = "right", [TERN_CUT_LEFT] = "left", NULL};

/* ---- Encode ---- */

static void print_json_integers(const char *key, const int32_t *values, size_t n) {
    printf(",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) printf("%s%" PRId32, i > 0 ? "," : "", values[i]);
    putchar(']');
}

/* Words and sequences: what belongs to none has null. */
static void print_json_numbers_or_null(const char *key, const int32_t *values, size_t n) {
    printf(",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putchar(',');
        if (values[i] < 0) fputs("null", stdout);
        else printf("%" PRId32, values[i]);
    }
    putchar(']');
}

static size_t token_bytes(const tern_encoding *encoding, size_t i) { return (size_t)(encoding->tokens[i + 1] - encoding->tokens[i]) - 1; }

static void print_encoding_json(const tern_encoding *encoding) {
    const size_t n = encoding->n;
    fputs("{\"ids\":[", stdout);
    for (size_t i = 0; i < n; i++) printf("%s%" PRId32, i > 0 ? "," : "", encoding->ids[i]);
    fputs("],\"tokens\":[", stdout);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_string(encoding->tokens[i], token_bytes(encoding, i));
    }
    fputs("],\"offsets\":[", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s[%" PRIu32 ",%" PRIu32 "]", i > 0 ? "," : "", encoding->offsets[i][0], encoding->offsets[i][1]);
    putchar(']');
    print_json_integers("type_ids", encoding->type_ids, n);
    fputs(",\"special_tokens_mask\":[", stdout);
    for (size_t i = 0; i < n; i++) printf("%s%d", i > 0 ? "," : "", encoding->special_tokens_mask[i]);
    putchar(']');
    if (encoding->word_ids != NULL) {
        print_json_numbers_or_null("word_ids", encoding->word_ids, n);
        print_json_numbers_or_null("sequence_ids", encoding->sequence_ids, n);
    }
}

static void print_document(const tern_encoding *encoding, bool with_overflowing) {
    print_encoding_json(encoding);
    if (with_overflowing) fputs(",\"overflowing\":[", stdout);
    for (size_t i = 0; i < encoding->n_overflowing; i++) {
        if (i > 0) putchar(',');
        print_encoding_json(&encoding->overflowing[i]);
        putchar('}');
    }
    puts(with_overflowing ? "]}" : "}");
}

static void print_table(const tern_encoding *encoding) {
    int width = (int)strlen("token");
    for (size_t i = 0; i < encoding->n; i++) {
        const int columns = tern__cli_text_columns(encoding->tokens[i], token_bytes(encoding, i));
        if (columns > width) width = columns;
    }
    printf("%8s  %-*s  %13s  %4s  %s%s\n", "id", width, "token", "offsets", "type", "special", encoding->word_ids ? "  word" : "");
    for (size_t i = 0; i < encoding->n; i++) {
        char offsets[32];
        snprintf(offsets, sizeof offsets, "%" PRIu32 "-%" PRIu32, encoding->offsets[i][0], encoding->offsets[i][1]);
        printf("%8" PRId32 "  ", encoding->ids[i]);
        tern__cli_print_snippet(encoding->tokens[i], token_bytes(encoding, i), width, true);
        printf("  %13s  %4" PRId32 "  %d", offsets, encoding->type_ids[i], encoding->special_tokens_mask[i]);
        if (encoding->word_ids != NULL && encoding->word_ids[i] >= 0) printf("  %10" PRId32, encoding->word_ids[i]);
        putchar('\n');
    }
}

static void print_encoding(const tern_encoding *encoding, size_t index, tern_text text) {
    enum { TITLE_COLUMNS = 80 };
    printf("%stext %zu, %zu tokens: ", index > 0 ? "\n" : "", index, encoding->n);
    tern__cli_print_snippet(text.data, text.bytes, TITLE_COLUMNS, false);
    putchar('\n');
    print_table(encoding);
    for (size_t i = 0; i < encoding->n_overflowing; i++) {
        printf("text %zu, overflowing piece %zu, %zu tokens:\n", index, i, encoding->overflowing[i].n);
        print_table(&encoding->overflowing[i]);
    }
}

static tern_encode_options encode_options(const tokenize_command *command) {
    tern_encode_options options = tern_encode_options_default();
    options.add_special_tokens = command->no_special == 0;
    options.max_length = (size_t)command->max_length;
    options.stride = (size_t)command->stride;
    options.threads = (int)command->threads;
    options.with_tokens = true;
    options.with_word_ids = command->with_word_ids != 0;
    options.with_overflowing = command->with_overflowing != 0;
    for (int i = 0; command->strategy != NULL && strategies[i] != NULL; i++)
        if (strcmp(command->strategy, strategies[i]) == 0) options.truncation_strategy = (tern_truncation_strategy)i;
    for (int i = 0; command->side != NULL && sides[i] != NULL; i++)
        if (strcmp(command->side, sides[i]) == 0) options.truncation_direction = (tern_truncation_direction)i;
    return options;
}

/* The first n_texts of the window, whose pairs, if there are any, are `pairs`. */
static tern_status encode_texts(const tern_tokenizer *tokenizer, const tokenize_command *command, const tern_cli_texts *texts,
                                const tern_text *pairs, size_t n_texts, tern_encoding *encodings, tern_error *err) {
    const tern_encode_options options = encode_options(command);
    const tern_status status = tern_tokenizer_encode_batch(encodings, tokenizer, texts->texts, pairs, n_texts, &options, err);
    for (size_t i = 0; status == TERN_OK && i < n_texts; i++) {
        if (command->is_json) print_document(&encodings[i], command->with_overflowing != 0);
        else print_encoding(&encodings[i], texts->first + i, texts->texts[i]);
        tern_encoding_free(&encodings[i]);
    }
    return status;
}

/* What comes before a text that cannot be encoded is printed. */
static int encode_window(const tern_tokenizer *tokenizer, const tokenize_command *command, const tern_cli_texts *texts) {
    tern_encoding *encodings = calloc(texts->n_texts, sizeof *encodings);
    tern_text *pairs = command->pair != NULL ? calloc(texts->n_texts, sizeof *pairs) : NULL;
    int code = TERN_CLI_DONE;
    if (encodings == NULL || (command->pair != NULL && pairs == NULL)) {
        code = tern__cli_fail("out of memory");
    } else {
        tern_error err, unused;
        size_t n_good = 0;
        for (size_t i = 0; pairs != NULL && i < texts->n_texts; i++) pairs[i] = (tern_text){command->pair, strlen(command->pair)};
        if (encode_texts(tokenizer, command, texts, pairs, texts->n_texts, encodings, &err) != TERN_OK) {
            if (sscanf(err.message, "text %zu: ", &n_good) == 1 && n_good < texts->n_texts)
                encode_texts(tokenizer, command, texts, pairs, n_good, encodings, &unused);
            code = tern__cli_fail_window(texts, &err);
        }
    }
    free(pairs);
    free(encodings);
    return code == TERN_CLI_DONE ? tern__cli_flush() : code;
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
    size_t n_bytes;
    tern_error err;
    if (tern_tokenizer_decode(&text, &n_bytes, tokenizer, ids, n, true, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    if (is_json) {
        fputs("{\"text\":", stdout);
        tern__cli_json_string(text, n_bytes);
        fputs("}\n", stdout);
    } else {
        fwrite(text, 1, n_bytes, stdout);
        putchar('\n');
    }
    tern_free(text);
    return TERN_CLI_DONE;
}

/* ---- The command ---- */

static int check_tokenize_usage(const tokenize_command *command, const tern_cli_args *args) {
    if (args->n_positional == 0) return tern__cli_usage_error(&tern__cli_tokenize, "MODEL is missing");
    if (command->is_decode && (command->pair != NULL || command->no_special || command->max_length != 0 || command->with_word_ids))
        return tern__cli_usage_error(&tern__cli_tokenize,
                                     "--decode takes ids: --pair, --no-special, --max-length and --word-ids are for texts");
    if (command->max_length == 0 &&
        (command->stride != 0 || command->strategy != NULL || command->side != NULL || command->with_overflowing))
        return tern__cli_usage_error(
            &tern__cli_tokenize,
            "--truncation, --truncation-side, --stride and --overflowing say how texts are cut: --max-length N is missing");
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
        {.name = "--max-length",
         .value = "N",
         .help = "cut to N ids, special tokens counted (default never)",
         .integer = &command.max_length,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--truncate",
         .value = "N",
         .help = "the same as --max-length N",
         .integer = &command.max_length,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--truncation",
         .value = "STRATEGY",
         .help = "what is cut of a pair: longest_first (default), only_first, only_second",
         .string = &command.strategy,
         .choices = strategies},
        {.name = "--truncation-side",
         .value = "SIDE",
         .help = "where a text is cut: right (default) or left",
         .string = &command.side,
         .choices = sides},
        {.name = "--stride",
         .value = "N",
         .help = "tokens that an overflowing piece shares with the one before it (default 0)",
         .integer = &command.stride,
         .minimum = 0,
         .maximum = INT32_MAX},
        {.name = "--overflowing", .help = "also what was cut off, piece by piece", .flag = &command.with_overflowing, .flag_value = 1},
        {.name = "--word-ids",
         .help = "also the number of each token's word; with --json: word_ids, sequence_ids",
         .flag = &command.with_word_ids,
         .flag_value = 1},
        {.name = "--threads",
         .value = "N",
         .help = "threads that encode (default one for each core that the process may use)",
         .integer = &command.threads,
         .minimum = 1,
         .maximum = 1024},
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
        "special tokens have 0-0. Texts are not padded, and cut only with --max-length.",
    .examples = "  tern tokenize all-MiniLM-L6-v2 'How do I reset my password?'\n"
                "  tern tokenize all-MiniLM-L6-v2 --json --max-length 128 <texts.txt\n"
                "  tern tokenize all-MiniLM-L6-v2 'a question' --pair 'a passage'\n"
                "  tern tokenize all-MiniLM-L6-v2 --decode 101 7592 2088 102\n",
    .run = run_tokenize,
};
