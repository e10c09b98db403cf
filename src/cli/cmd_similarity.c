/* cmd_similarity.c - tern similarity: how alike texts are, as the matrix of the cosines of their vectors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "output.h"
#include "text_input.h"

enum { LABEL_COLUMNS = 40 };

static void print_similarity_json(const tern_cli_texts *texts, const float *matrix) {
    fputs("{\"texts\":[", stdout);
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
        const int columns = tern__cli_text_columns(texts->texts[i].data, texts->texts[i].bytes);
        if (columns > label) label = columns < LABEL_COLUMNS ? columns : LABEL_COLUMNS;
    }
    printf("%6s  %-*s", "", label, "");
    for (size_t j = 0; j < n; j++) printf(" %6zu", j);
    putchar('\n');
    for (size_t i = 0; i < n; i++) {
        printf("%6zu  ", i);
        tern__cli_print_snippet(texts->texts[i].data, texts->texts[i].bytes, label, true);
        for (size_t j = 0; j < n; j++) printf(" %6.3f", (double)matrix[i * n + j]);
        putchar('\n');
    }
}

static int compare_texts(tern_model *model, const tern_cli_texts *texts, bool is_json) {
    const size_t n = texts->n_texts, width = tern_model_embedding_size(model);
    float *embeddings = calloc(n, width * sizeof *embeddings);
    float *matrix = n <= SIZE_MAX / sizeof *matrix ? calloc(n, n * sizeof *matrix) : NULL;
    int code = TERN_CLI_DONE;
    tern_error err;
    if (n > 0 && (embeddings == NULL || matrix == NULL)) {
        code = tern__cli_fail("out of memory for the similarity of %zu texts", n);
    } else if (tern_model_embed(model, texts->texts, n, NULL, embeddings, NULL, &err) != TERN_OK) {
        code = tern__cli_fail_window(texts, &err);
    } else {
        tern_similarity(matrix, TERN_SIMILARITY_COSINE, embeddings, n, embeddings, n, width, &err);
        if (is_json) print_similarity_json(texts, matrix);
        else if (n > 0) print_similarity(texts, matrix);
    }
    free(embeddings);
    free(matrix);
    return code;
}

static int run_similarity(int argc, char **argv) {
    int is_json = 0;
    tern_cli_run run = {0};
    const tern_cli_option options[] = {
        {.name = "--json", .help = "one JSON document: {\"texts\":[...],\"similarity\":[[...],...]}", .flag = &is_json, .flag_value = 1},
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
    code = texts.has_failed ? TERN_CLI_FAILED : compare_texts(model, &texts, is_json);
    tern__cli_texts_close(&texts);
    tern_model_free(model);
    return code;
}

const tern_cli_command tern__cli_similarity = {
    .name = "similarity",
    .arguments = "MODEL [TEXT...] [options]",
    .summary = "how alike texts are: the matrix of cosines",
    .description =
        "The cosine of the angle between the vectors of every two texts: 1 for the same direction, 0 for nothing in common. Without TEXT,\n"
        "each line of standard input is a text; they are compared all with all, so memory grows with the square of their number.",
    .examples = "  tern similarity all-MiniLM-L6-v2 'A man is eating food.' 'Someone is having a meal.' 'The rocket reached orbit.'\n"
                "  tern similarity all-MiniLM-L6-v2 --json <texts.txt\n",
    .run = run_similarity,
};
