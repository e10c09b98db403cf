/* cmd_bench.c - tern bench: what is to be measured comes from the options, the measuring is src/bench.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "bench/bench.h"
#include "cache_folder.h"
#include "model_folder.h"
#include "output.h"
#include "random_model.h"

enum { MAX_LIST = 64, MAX_BATCH = 4096, MAX_CHARS = 1 << 20 };

typedef struct bench_command {
    const char *chars, *batches, *devices, *dtypes, *isa, *output;
    int64_t iterations, warmup, threads, threshold;
    int is_json, is_comparison;
    int64_t chars_list[MAX_LIST], batch_list[MAX_LIST];
    char *device_list[MAX_LIST], *dtype_list[MAX_LIST];
    char *words; /* that the lists of names point into */
    tern_bench_model models[MAX_LIST];
    size_t n_models;
    tern_cli_progress progress;
} bench_command;

static volatile sig_atomic_t is_interrupted;

static void note_interrupt(int number) {
    (void)number;
    is_interrupted = 1;
}

/* ---- Lists: "50,100,200" ---- */

static int read_integers(int64_t *list, size_t *n, const char *option, const char *text, int64_t maximum) {
    *n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        const long long number = strtoll(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0') || errno != 0 || number < 1 || number > maximum || *n == MAX_LIST)
            return tern__cli_usage_error(&tern__cli_bench, "%s: '%s' is not a list such as 16,32 of at most %d whole numbers in 1 ... %lld",
                                         option, text, MAX_LIST, (long long)maximum);
        list[(*n)++] = number;
        at = end;
        if (*at == '\0') return TERN_CLI_GO_ON;
    }
}

/* Cuts the words apart in place. */
static int read_names(char **list, size_t *n, const char *option, char *text) {
    *n = 0;
    for (char *at = text;;) {
        char *comma = strchr(at, ',');
        if (*n == MAX_LIST || *at == '\0' || *at == ',')
            return tern__cli_usage_error(&tern__cli_bench, "%s: '%s' is not a list of at most %d names with a comma between", option, text,
                                         MAX_LIST);
        list[(*n)++] = at;
        if (comma == NULL) return TERN_CLI_GO_ON;
        *comma = '\0';
        at = comma + 1;
    }
}

/* ---- Progress ---- */

static void show_progress(void *user, double fraction, const char *what) {
    bench_command *command = user;
    tern__cli_progress_left(&command->progress, fraction, what);
}

/* ---- The command ---- */

/* Those that are asked for, else the four encoders that the grid is usually run with. */
static int find_models(bench_command *command, char **names, size_t n) {
    static char *const known[] = {"bert-base-uncased", "bert-large-uncased", "roberta-base", "xlm-roberta-base"};
    if (n > MAX_LIST) return tern__cli_usage_error(&tern__cli_bench, "at most %d models, not %zu", MAX_LIST, n);
    const bool is_asked = n > 0;
    if (!is_asked) n = sizeof known / sizeof *known;
    for (size_t i = 0; i < n; i++) {
        tern_bench_model *model = &command->models[i];
        model->name = is_asked ? names[i] : known[i];
        const int code = is_asked ? tern__cli_model_folder(&model->folder, model->name, false)
                                  : tern__cli_known_model(&model->folder, &model->is_random, model->name);
        if (code != TERN_CLI_DONE) return code;
        command->n_models++;
    }
    return TERN_CLI_GO_ON;
}

typedef tern_status measurement(const tern_bench_grid *grid, tern_bench_sink *sink, tern_error *err);

static int measure(bench_command *command, measurement *run, const tern_bench_grid *grid) {
    tern_bench_sink sink = {.rows = {NULL, command->is_json ? stdout : NULL}, .table = command->is_json ? NULL : stdout};
    if (command->output != NULL && (sink.rows[0] = fopen(command->output, "w")) == NULL)
        return tern__cli_fail("%s: cannot be written: %s", command->output, strerror(errno));
    struct sigaction old, action = {.sa_handler = note_interrupt};
    sigaction(SIGINT, &action, &old);
    tern__cli_progress_open(&command->progress);
    tern_error err;
    const tern_status status = run(grid, &sink, &err);
    tern__cli_progress_close(&command->progress);
    sigaction(SIGINT, &old, NULL);
    if (sink.rows[0] != NULL && fclose(sink.rows[0]) != 0) sink.has_failed = true;
    if (status != TERN_OK) return tern__cli_fail("%s", err.message);
    if (sink.has_failed) return tern__cli_fail("a row could not be written: %s", strerror(errno));
    if (is_interrupted) return tern__cli_fail("interrupted; %zu rows were written", sink.n_rows);
    return sink.n_not_ok == 0 ? TERN_CLI_DONE : tern__cli_fail("%zu of %zu rows are not ok", sink.n_not_ok, sink.n_rows);
}

static int read_lists(bench_command *command, tern_bench_grid *grid) {
    const size_t device_bytes = strlen(command->devices) + 1, dtype_bytes = strlen(command->dtypes) + 1;
    command->words = malloc(device_bytes + dtype_bytes);
    if (command->words == NULL) return tern__cli_fail("out of memory");
    memcpy(command->words, command->devices, device_bytes);
    memcpy(command->words + device_bytes, command->dtypes, dtype_bytes);
    int code = read_integers(command->chars_list, &grid->n_chars, "--chars", command->chars, MAX_CHARS);
    if (code == TERN_CLI_GO_ON) code = read_integers(command->batch_list, &grid->n_batches, "--batch", command->batches, MAX_BATCH);
    if (code == TERN_CLI_GO_ON) code = read_names(command->device_list, &grid->n_devices, "--device", command->words);
    if (code == TERN_CLI_GO_ON) code = read_names(command->dtype_list, &grid->n_dtypes, "--dtype", command->words + device_bytes);
    return code;
}

static int compare_files(const bench_command *command, const tern_cli_args *args) {
    if (args->n_positional != 2)
        return tern__cli_usage_error(&tern__cli_bench, "--compare needs two files of rows, A.jsonl and B.jsonl, not %zu",
                                     args->n_positional);
    bool is_worse = false;
    tern_error err;
    if (tern__bench_compare(args->positional[0], args->positional[1], (double)command->threshold, stdout, command->is_json != 0, &is_worse,
                            &err) != TERN_OK)
        return tern__cli_fail("%s", err.message);
    return is_worse ? TERN_CLI_FAILED : TERN_CLI_DONE;
}

static int run_bench(int argc, char **argv) {
    bench_command command = {.chars = "50,100,200,500",
                             .batches = "1,16,32",
                             .devices = "cpu",
                             .dtypes = "float32",
                             .iterations = 10,
                             .warmup = 3,
                             .threshold = 5};
    const tern_cli_option options[] = {
        {.name = "--chars", .value = "LIST", .help = "characters of a text (default 50,100,200,500)", .string = &command.chars},
        {.name = "--batch", .value = "LIST", .help = "texts in a batch, which is one run (default 1,16,32)", .string = &command.batches},
        {.name = "--device", .value = "LIST", .help = "devices, as `tern info` lists them (default cpu)", .string = &command.devices},
        {.name = "--dtype", .value = "LIST", .help = "dtypes of computation (default float32)", .string = &command.dtypes},
        {.name = "--iterations",
         .value = "N",
         .help = "timed calls of each configuration, all configurations in turns (default 10)",
         .integer = &command.iterations,
         .minimum = 1,
         .maximum = 100000},
        {.name = "--warmup",
         .value = "N",
         .help = "calls before them, of which the times are kept too; the first call is none of these (default 3)",
         .integer = &command.warmup,
         .maximum = 100000},
        {.name = "--isa",
         .value = "LEVEL",
         .help = "highest ISA level of the CPU device: scalar, avx2, avx512 (default the best there is)",
         .string = &command.isa},
        {.name = "--threads",
         .value = "N",
         .help = "threads that compute (default one for each core that the process may use)",
         .integer = &command.threads,
         .minimum = 1,
         .maximum = 1024},
        {.name = "--output",
         .value = "FILE.jsonl",
         .help = "write a row for each configuration, with every sample",
         .string = &command.output},
        {.name = "--compare",
         .help = "measure nothing: say what got slower or faster from the rows of A.jsonl to those of B.jsonl",
         .flag = &command.is_comparison,
         .flag_value = 1},
        {.name = "--threshold",
         .value = "PERCENT",
         .help = "changes of less are called the same (default 5)",
         .integer = &command.threshold,
         .maximum = 1000},
        {.name = "--json", .help = "print rows, or changes, as JSON instead of a table", .flag = &command.is_json, .flag_value = 1},
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_bench, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (command.is_comparison) return compare_files(&command, &args);
    const bool is_ops = args.n_positional > 0 && strcmp(args.positional[0], "ops") == 0;
    if (is_ops && args.n_positional > 1)
        return tern__cli_usage_error(&tern__cli_bench, "ops takes no MODEL; a folder of that name is ./ops");
    char *cache = tern__cli_cache_folder();
    tern_bench_grid grid = {.models = command.models,
                            .devices = command.device_list,
                            .dtypes = command.dtype_list,
                            .chars = command.chars_list,
                            .batches = command.batch_list,
                            .n_warmups = (size_t)command.warmup,
                            .n_iterations = (size_t)command.iterations,
                            .isa = command.isa,
                            .threads = (int)command.threads,
                            .cache_folder = cache,
                            .is_interrupted = &is_interrupted,
                            .progress = show_progress,
                            .user = &command};
    code = read_lists(&command, &grid);
    if (code == TERN_CLI_GO_ON && !is_ops) code = find_models(&command, args.positional, args.n_positional);
    grid.n_models = command.n_models;
    if (code == TERN_CLI_GO_ON) code = measure(&command, is_ops ? tern__bench_run_ops : tern__bench_run_grid, &grid);
    for (size_t i = 0; i < command.n_models; i++) tern_free(command.models[i].folder);
    free(command.words);
    free(cache);
    return code;
}

const tern_cli_command tern__cli_bench = {
    .name = "bench",
    .arguments =
        "[MODEL ...] [options]\n       tern bench ops [options]\n       tern bench --compare A.jsonl B.jsonl [--threshold PERCENT]",
    .summary = "how long models take, stage by stage",
    .description =
        "Measures the way from texts to vectors over a grid of text lengths and batches. Texts have exactly the number of characters "
        "asked for.\n"
        "Without MODEL: bert-base-uncased, bert-large-uncased, roberta-base and xlm-roberta-base, from the cache, else with random "
        "weights,\n"
        "which are made once (3 GB in ~/.cache/tern).\n\n"
        "Every configuration is called once, warmed up, and then iterated in turns with the others of its model, between probes that see "
        "whether\n"
        "the machine was disturbed: such rows are marked as spoiled. Every vector of text 0 is compared with that of the scalar kernels. A "
        "row that\n"
        "fails (out of memory, a device that is not there, a wrong vector) says so, and the others go on; the exit status then is 1.\n\n"
        "`tern bench ops` measures every op by itself at the shapes that a base and a large encoder give it over the grid, and what the "
        "machine can\n"
        "do at most: multiply-adds, bytes from each level of memory. Of each op it tells the share of that limit, and what bounds it.\n\n"
        "--compare tests each row by ranks (Mann and Whitney) over the iterations that nothing disturbed, adjusts for the number of rows, "
        "and\n"
        "tells the ratio of times with its 95 % interval. The exit status is 1 when a row got slower, or fails and did not.",
    .examples = "  tern bench --output rows.jsonl\n"
                "  tern bench bert-base-uncased --output rows.jsonl\n"
                "  tern bench all-MiniLM-L6-v2 --chars 100,500 --batch 1,32 --iterations 30 --threads 1\n"
                "  tern bench --compare before.jsonl after.jsonl\n",
    .run = run_bench,
};
