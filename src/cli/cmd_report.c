/* cmd_report.c - tern report: rows of tern bench as a page, as tables, or as a line each.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "args.h"
#include "bench/bench.h"
#include "output.h"
#include "output_file.h"

/* By --format, else by the output's name, else a page. */
static tern_report_format format_of(const char *format, const char *output) {
    const char *dot = output != NULL ? strrchr(output, '.') : NULL;
    const char *word = format != NULL ? format : dot != NULL ? dot + 1 : "html";
    if (strcmp(word, "csv") == 0) return TERN_REPORT_CSV;
    return strcmp(word, "markdown") == 0 || strcmp(word, "md") == 0 ? TERN_REPORT_MARKDOWN : TERN_REPORT_HTML;
}

static int write_file(const tern_cli_args *args, tern_report_format format, const char *path) {
    tern_cli_output_file file;
    tern_error err;
    int code = tern__cli_output_file_open(&file, path);
    if (code == TERN_CLI_DONE && tern__bench_report(args->positional, args->n_positional, format, file.stream, &err) != TERN_OK)
        code = tern__cli_fail("%s", err.message);
    if (code == TERN_CLI_DONE) code = tern__cli_output_file_commit(&file);
    tern__cli_output_file_discard(&file);
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
