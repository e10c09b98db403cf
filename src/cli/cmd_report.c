/* cmd_report.c - tern report: rows of tern bench as a page, as tables, or as a line each.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "bench/bench.h"
#include "output.h"

/* By --format, else by the output's name, else a page. */
static tern_report_format format_of(const char *format, const char *output) {
    const char *dot = output != NULL ? strrchr(output, '.') : NULL;
    const char *word = format != NULL ? format : dot != NULL ? dot + 1 : "html";
    if (strcmp(word, "csv") == 0) return TERN_REPORT_CSV;
    return strcmp(word, "markdown") == 0 || strcmp(word, "md") == 0 ? TERN_REPORT_MARKDOWN : TERN_REPORT_HTML;
}

/* Complete under its name, or not there: to a file beside it, then renamed. */
static int write_file(const tern_cli_args *args, tern_report_format format, const char *output) {
    const size_t bytes = strlen(output) + sizeof ".part";
    char *part = malloc(bytes);
    if (part == NULL) return tern__cli_fail("out of memory");
    snprintf(part, bytes, "%s.part", output);
    tern_error err;
    int code = TERN_CLI_DONE;
    FILE *file = fopen(part, "w");
    if (file == NULL) code = tern__cli_fail("%s: cannot be written: %s", output, strerror(errno));
    else if (tern__bench_report(args->positional, args->n_positional, format, file, &err) != TERN_OK)
        code = tern__cli_fail("%s", err.message);
    bool is_written = file != NULL && !ferror(file);
    if (file != NULL && fclose(file) != 0) is_written = false;
    if (code == TERN_CLI_DONE && (!is_written || rename(part, output) != 0))
        code = tern__cli_fail("%s: cannot be written: %s", output, strerror(errno));
    if (code != TERN_CLI_DONE && file != NULL) unlink(part);
    free(part);
    return code;
}

static int run_report(int argc, char **argv) {
    static const char *const formats[] = {"html", "markdown", "csv", NULL};
    const char *format = NULL, *output = NULL;
    const tern_cli_option options[] = {
        {.name = "--output", .value = "FILE", .help = "where the report goes (default standard output)", .string = &output},
        {.name = "--format",
         .value = "html|markdown|csv",
         .help = "a page with plots, tables, or a line a row (default by the name of FILE: .html, .md, .csv; else html)",
         .string = &format,
         .choices = formats},
    };
    tern_cli_args args;
    const int code = tern__cli_parse(&args, &tern__cli_report, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional == 0) return tern__cli_usage_error(&tern__cli_report, "at least one FILE.jsonl is needed");
    const tern_report_format chosen = format_of(format, output);
    if (output != NULL) return write_file(&args, chosen, output);
    tern_error err;
    if (tern__bench_report(args.positional, args.n_positional, chosen, stdout, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    return TERN_CLI_DONE;
}

const tern_cli_command tern__cli_report = {
    .name = "report",
    .arguments = "FILE.jsonl ... [options]",
    .summary = "what tern bench measured, as a page with plots",
    .description =
        "Makes a report of rows that `tern bench` wrote, or other programs in its form: one page that needs no network, with the tables "
        "and\n"
        "with plots of latency against batch and length, memory, warm-up and roofline; or tables in Markdown, or a line a row in CSV.\n"
        "The plots of the page are drawn by gnuplot, which must be installed; the other formats do without.",
    .examples = "  tern report rows.jsonl --output report.html\n"
                "  tern report tern.jsonl peers.jsonl --format markdown\n",
    .run = run_report,
};
