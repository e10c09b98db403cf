/* report_html.c - the report as one page that needs nothing else: tables, and plots as SVG inside it. Readable on a phone and in print.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "bench/json_row.h"
#include "bench/plot.h"
#include "bench/report.h"

static const char style[] =
    "*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:84rem;margin:0 auto;"
    "padding:1rem}h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:2px solid "
    "#0b6e99;"
    "overflow-wrap:anywhere}p,li{max-width:46rem}.t{overflow-x:auto;margin:1rem 0}"
    "table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #ddd}th{position:sticky;top:0;background:#f4f4f4}"
    "td.l,th.l{text-align:left}td.n{white-space:normal;min-width:9rem;max-width:26rem;text-align:left}tr.bad td{background:#fdeaea}"
    "tr.spoiled td{background:#fff6df}.p{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}"
    ".p img{width:100%;height:auto;border:1px solid #e3e3e3;border-radius:4px;break-inside:avoid}summary{cursor:pointer;padding:.5rem 0}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}dt{color:#555}dd{margin:0;overflow-wrap:anywhere}"
    "@media print{body{max-width:none;font-size:11px;padding:0}table{font-size:7.5px}th,td{padding:.1rem .25rem}.t{overflow:visible}"
    "th{position:static}h2{break-after:avoid}tr{break-inside:avoid}.p{grid-template-columns:1fr 1fr}}";

static void escape(FILE *out, const char *text) {
    for (; *text != '\0'; text++) switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

static void write_base64(FILE *out, const char *data, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        const size_t left = n - i < 3 ? n - i : 3;
        for (size_t b = 0; b < 3; b++) bits = bits << 8 | (b < left ? (unsigned char)data[i + b] : 0u);
        for (size_t d = 0; d < 4; d++) fputc(d <= left ? digits[bits >> (18 - 6 * d) & 63] : '=', out);
    }
}

/* ---- What ran where ---- */

static void definition(FILE *out, const char *name, const char *value) {
    if (value[0] == '\0') return;
    fprintf(out, "<dt>%s</dt><dd>", name);
    escape(out, value);
    fputs("</dd>", out);
}

static void write_machine(FILE *out, const json_t *row) {
    const json_t *machine = json_object_get(row, "machine");
    char text[128];
    fputs("<dl>", out);
    definition(out, "processor", tern__row_string(row, "processor"));
    definition(out, "system", tern__row_string(machine, "system"));
    snprintf(text, sizeof text, "%.0f cores, %.1f GB of memory", tern__row_number(machine, "cores", 0),
             1e-9 * tern__row_number(machine, "memory_bytes", 0));
    definition(out, "machine", machine != NULL ? text : "");
    definition(out, "compiler", tern__row_string(machine, "compiler"));
    definition(out, "started", tern__row_string(row, "started"));
    snprintf(text, sizeof text, "%.1f million parameters, loaded in %.0f ms", 1e-6 * tern__row_number(row, "n_parameters", 0),
             tern__row_number(row, "load_ms", 0));
    definition(out, "model", json_object_get(row, "n_parameters") != NULL ? text : "");
    definition(out, "reference", tern__row_string(row, "reference"));
    fputs("</dl>\n", out);
}

/* ---- Tables ---- */

static void cell(FILE *out, const json_t *row, const tern_report_column *column) {
    const json_t *value = json_object_get(row, column->key);
    if (json_is_number(value)) fprintf(out, "<td>%.*f</td>", column->decimals, json_number_value(value) * column->factor);
    else fputs("<td></td>", out);
}

static void text_cell(FILE *out, const char *text) {
    fputs("<td class=l>", out);
    escape(out, text);
    fputs("</td>", out);
}

static void write_table(FILE *out, const tern_report_block *block) {
    fputs("<div class=t><table><thead><tr>", out);
    for (size_t i = 0; i < tern__report_n_columns; i++) fprintf(out, "<th>%s</th>", tern__report_columns[i].title);
    fputs("<th>error</th><th class=l></th></tr></thead><tbody>\n", out);
    for (size_t r = 0; r < block->n_rows; r++) {
        const json_t *row = block->rows[r], *error = json_object_get(row, "reference_error");
        char note[1024];
        tern__report_note(note, sizeof note, row);
        const char *class = strcmp(tern__row_string(row, "status"), "ok") != 0 ? " class=bad" : note[0] != '\0' ? " class=spoiled" : "";
        fprintf(out, "<tr%s>", class);
        if (!tern__report_is_measured(row)) { /* the first two columns are what was asked for */
            cell(out, row, &tern__report_columns[0]);
            cell(out, row, &tern__report_columns[1]);
            fprintf(out, "<td class=n colspan=%zu>", tern__report_n_columns);
            escape(out, note);
            fputs("</td></tr>\n", out);
            continue;
        }
        for (size_t i = 0; i < tern__report_n_columns; i++) cell(out, row, &tern__report_columns[i]);
        if (json_is_number(error)) fprintf(out, "<td>%.1e</td>", json_number_value(error));
        else fputs("<td></td>", out);
        fputs("<td class=n>", out);
        escape(out, note);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void write_ops(FILE *out, const tern_report *report) {
    static const tern_report_column columns[] = {{"in", "in", 1, 0},
                                                 {"out", "out", 1, 0},
                                                 {"tokens", "tokens", 1, 0},
                                                 {"batch", "batch", 1, 0},
                                                 {"median us", "median_ms", 1e3, 2},
                                                 {"p10", "p10_ms", 1e3, 2},
                                                 {"p90", "p90_ms", 1e3, 2},
                                                 {"GFLOP/s", "flop_per_s", 1e-9, 1},
                                                 {"GB/s", "bytes_per_s", 1e-9, 1},
                                                 {"% of limit", "share", 100, 0}};
    enum { N_COLUMNS = sizeof columns / sizeof *columns };
    static const char *const strings[] = {"engine", "device", "isa", "op", "shape"};
    enum { N_STRINGS = sizeof strings / sizeof *strings };
    fprintf(out, "<h2>Single ops</h2><details><summary>%zu measurements</summary><div class=t><table><thead><tr>", report->n_ops);
    for (size_t i = 0; i < N_STRINGS; i++) fprintf(out, "<th class=l>%s</th>", strings[i]);
    for (size_t i = 0; i < N_COLUMNS; i++) fprintf(out, "<th>%s</th>", columns[i].title);
    fputs("<th class=l>bound by</th></tr></thead><tbody>\n", out);
    for (size_t r = 0; r < report->n_ops; r++) {
        const json_t *row = report->ops[r];
        fputs(strcmp(tern__row_string(row, "status"), "ok") != 0 ? "<tr class=bad>" : "<tr>", out);
        for (size_t i = 0; i < N_STRINGS; i++) text_cell(out, tern__row_string(row, strings[i]));
        for (size_t i = 0; i < N_COLUMNS; i++) cell(out, row, &columns[i]);
        text_cell(out, tern__row_string(row, strcmp(tern__row_string(row, "status"), "ok") != 0 ? "message" : "bound"));
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div></details>\n", out);
}

static void head_cell(FILE *out, const char *text) {
    fputs("<th class=l>", out);
    escape(out, text);
    fputs("</th>", out);
}

static const tern_report_table html_sides = {.begin =
                                                 "<h2>Side by side</h2><p>Milliseconds (median), and how many times Tern's: round by round "
                                                 "where engines were measured in turns.</p><div class=t><table><thead><tr>",
                                             .head = head_cell,
                                             .end_head = "</tr></thead><tbody>\n",
                                             .begin_row = "<tr>",
                                             .cell = text_cell,
                                             .end_row = "</tr>\n",
                                             .end = "</tbody></table></div>\n"};

/* ---- The page ---- */

static tern_status write_plots(FILE *out, const tern_report_block *block, tern_error *err) {
    static const char *const names[] = {"Latency against batch", "Latency against the length of a text", "Peak memory", "Warm-up",
                                        "Roofline of the ops"};
    fputs("<div class=p>\n", out);
    for (int kind = 0; kind < TERN_N_PLOTS; kind++) {
        char *svg = NULL;
        size_t bytes = 0;
        const tern_status status = tern__report_draw(&svg, &bytes, block, (tern_report_plot)kind, err);
        if (status != TERN_OK) return status;
        if (svg == NULL) continue;
        fprintf(out, "<img alt=\"%s: ", names[kind]);
        escape(out, block->title);
        fputs("\" src=\"data:image/svg+xml;base64,", out);
        write_base64(out, svg, bytes);
        fputs("\">\n", out);
        free(svg);
    }
    fputs("</div>\n", out);
    return TERN_OK;
}

static void write_head(FILE *out, const tern_report *report) {
    size_t n_rows = report->n_ops, n_bad = 0, n_spoiled = 0;
    for (size_t i = 0; i < json_array_size(report->rows); i++) {
        const json_t *row = json_array_get(report->rows, i);
        n_bad += strcmp(tern__row_string(row, "status"), "ok") != 0;
        n_spoiled += json_is_true(json_object_get(row, "is_spoiled"));
    }
    for (size_t i = 0; i < report->n_blocks; i++) n_rows += report->blocks[i].n_rows;
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">"
            "<title>Benchmark of encoders</title><style>%s</style></head><body>\n<h1>Benchmark of encoders</h1>\n",
            style);
    fprintf(
        out,
        "<p>%zu rows, %zu of them not ok, %zu spoiled by other work on the machine. Times are milliseconds of a call from texts to "
        "vectors. <i>low</i> and <i>high</i> enclose the median with 95&nbsp;%% confidence; bands in plots go from the 10th to the 90th "
        "percentile. <i>%% of limit</i> is the least time by the measured peaks of the machine over the time taken; <i>error</i> the "
        "distance of a vector from the reference, over its length.</p>\n",
        n_rows, n_bad, n_spoiled);
}

tern_status tern__report_html(FILE *out, const tern_report *report, tern_error *err) {
    const tern_status there = tern__plot_check(err);
    if (there != TERN_OK) return there;
    write_head(out, report);
    tern__report_sides(out, report, &html_sides);
    for (size_t i = 0; i < report->n_blocks; i++) {
        const tern_report_block *block = &report->blocks[i];
        fputs("<h2>", out);
        escape(out, block->title);
        fputs("</h2>\n", out);
        write_machine(out, block->rows[0]);
        write_table(out, block);
        const tern_status status = write_plots(out, block, err);
        if (status != TERN_OK) return status;
        fputs("<ul>\n", out);
        for (size_t r = 0; r < json_array_size(report->rows); r++) {
            char text[256];
            if (tern__report_scaling(text, sizeof text, json_array_get(report->rows, r), block)) fprintf(out, "<li>%s</li>\n", text);
        }
        fputs("</ul>\n", out);
    }
    if (report->n_ops > 0) write_ops(out, report);
    fputs("</body></html>\n", out);
    return TERN_OK;
}
