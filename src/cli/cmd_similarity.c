/* cmd_similarity.c - tern similarity: how alike texts are, as a matrix over their vectors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "output.h"
#include "text_input.h"

enum { LABEL_COLUMNS = 40 };

static void print_similarity_json(const tern_cli_texts *texts, const float *matrix, tern_similarity_function function) {
    printf("{\"function\":\"%s\",\"texts\":[", tern_similarity_function_name(function));
    for (size_t i = 0; i < texts->n_texts; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_string(texts->texts[i].data, texts->texts[i].bytes);
    }
    fputs("],\"similarity\":[", stdout);
    for (size_t i = 0; i < texts->n_texts; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_floats(matrix + i * texts->n_texts, texts->n_texts);
    }
    fputs("]}\n", stdout);
}

static void print_similarity(const tern_cli_texts *texts, const float *matrix) {
    const size_t n = texts->n_texts;
    int label = 1;
    for (size_t i = 0; i < n; i++) {
        const int wide = tern__cli_text_columns(texts->texts[i].data, texts->texts[i].bytes);
        if (wide > label) label = wide < LABEL_COLUMNS ? wide : LABEL_COLUMNS;
    }
    int columns = 6;
    for (size_t i = 0; i < n * n; i++) {
        const int needed = snprintf(NULL, 0, "%.3f", (double)matrix[i]);
        if (needed > columns) columns = needed;
    }
    printf("%6s  %-*s", "", label, "");
    for (size_t j = 0; j < n; j++) printf(" %*zu", columns, j);
    putchar('\n');
    for (size_t i = 0; i < n; i++) {
        printf("%6zu  ", i);
        tern__cli_print_snippet(texts->texts[i].data, texts->texts[i].bytes, label, true);
        for (size_t j = 0; j < n; j++) printf(" %*.3f", columns, (double)matrix[i * n + j]);
        putchar('\n');
    }
}

/* Of that name, else what the folder recommends if it is one of these, else the cosine: as sentence-transformers chooses. */
static tern_similarity_function choose_function(const char *name, const tern_model *model) {
    const char *wanted = name != NULL ? name : tern_model_get_info(model).similarity_fn_name;
    const char *known;
    for (int f = 0; wanted != NULL && (known = tern_similarity_function_name((tern_similarity_function)f)) != NULL; f++)
        if (strcmp(wanted, known) == 0) return (tern_similarity_function)f;
    return TERN_SIMILARITY_COSINE;
}

static int compare_texts(tern_model *model, const tern_cli_texts *texts, tern_similarity_function function, size_t truncate_dim,
                         bool is_json) {
    size_t n_truncated = 0;
    tern_embed_options options = tern_embed_options_default();
    options.truncate_dim = truncate_dim;
    options.n_truncated = &n_truncated;
    const size_t n = texts->n_texts, width = tern_model_embed_width(model, &options);
    float *embeddings = calloc(n, width * sizeof *embeddings);
    float *matrix = n <= SIZE_MAX / sizeof *matrix ? calloc(n, n * sizeof *matrix) : NULL;
    int code = TERN_CLI_DONE;
    tern_error err;
    if (n > 0 && (embeddings == NULL || matrix == NULL)) {
        code = tern__cli_fail("out of memory for the similarity of %zu texts", n);
    } else if (tern_model_embed(model, texts->texts, n, &options, embeddings, NULL, &err) != TERN_OK ||
               tern_similarity(matrix, function, embeddings, n, embeddings, n, width, &err) != TERN_OK) {
        code = tern__cli_fail_window(texts, &err);
    } else {
        if (is_json) print_similarity_json(texts, matrix, function);
        else if (n > 0) print_similarity(texts, matrix);
        if (n_truncated > 0)
            fprintf(stderr, "tern: %zu text%s longer than %lld tokens %s cut there\n", n_truncated, n_truncated == 1 ? "" : "s",
                    (long long)tern_model_get_info(model).max_seq_length, n_truncated == 1 ? "was" : "were");
    }
    free(embeddings);
    free(matrix);
    return code;
}

static int run_similarity(int argc, char **argv) {
    static const char *const functions[] = {"cosine", "dot", "euclidean", "manhattan", NULL};
    const char *function = NULL;
    int64_t truncate_dim = 0;
    int is_json = 0;
    tern_cli_run run = {0};
    const tern_cli_option options[] = {
        {.name = "--json", .help = "one JSON document: function, texts, similarity [texts, texts]", .flag = &is_json, .flag_value = 1},
        {.name = "--function",
         .value = "cosine|dot|euclidean|manhattan",
         .help = "of two vectors; distances are negative (default what the folder says, else cosine)",
         .string = &function,
         .choices = functions},
        {.name = "--truncate-dim",
         .value = "N",
         .help = "compare the first N components (default what the folder says, else all)",
         .integer = &truncate_dim,
         .minimum = 1,
         .maximum = INT32_MAX},
        TERN_CLI_RUN_OPTIONS(run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_similarity, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_similarity, "MODEL is missing");
    tern_model *model = NULL;
    code = tern__cli_load_model(&model, args.positional[0], &run);
    if (code != TERN_CLI_DONE) return code;
    tern_cli_texts texts;
    tern__cli_texts_open(&texts, args.positional + 1, args.n_positional - 1);
    tern__cli_texts_next(&texts, true);
    code =
        texts.has_failed ? TERN_CLI_FAILED : compare_texts(model, &texts, choose_function(function, model), (size_t)truncate_dim, is_json);
    tern__cli_texts_close(&texts);
    tern_model_free(model);
    return code;
}

const tern_cli_command tern__cli_similarity = {
    .name = "similarity",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "how alike texts are: a matrix of cosines",
    .description =
        "The cosine of the angle between the vectors of every two texts: 1 for the same direction, 0 for nothing in common; or another of\n"
        "sentence-transformers' functions. The larger, the more alike: euclidean and manhattan are distances times -1. Without TEXT,\n"
        "each line of standard input is a text; they are compared all with all, so memory grows with the square of their number.",
    .examples = "  tern similarity all-MiniLM-L6-v2 'A man is eating food.' 'Someone is having a meal.' 'The rocket reached orbit.'\n"
                "  tern similarity all-MiniLM-L6-v2 --json <texts.txt\n",
    .run = run_similarity,
};
