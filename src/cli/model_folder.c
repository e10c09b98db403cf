/* model_folder.c - resolving MODEL, and the progress line of a download.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model_folder.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "output.h"

typedef struct download_line {
    double started_s, drawn_s;
    uint64_t first_bytes; /* there when the line was first drawn: they say nothing about the rate */
} download_line;

static double download_clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* [#####     ]  45%  3/7 files, 120.3/400.0 MB, 25.1 MB/s, 11 s left */
static bool draw_download(void *user, const tern_hub_progress *progress) {
    static const char bar[] = "####################";
    enum { BAR = sizeof bar - 1 };
    download_line *line = user;
    const double now_s = download_clock_s();
    if (progress->n_files == 0 || now_s - line->drawn_s < 0.2) return true;
    if (line->drawn_s == 0) {
        line->started_s = now_s;
        line->first_bytes = progress->n_bytes_done;
    }
    line->drawn_s = now_s;
    const double done = (double)progress->n_bytes_done, all = (double)progress->n_bytes, spent_s = now_s - line->started_s;
    const double fraction = all > 0 ? done / all : 1;
    const double rate = spent_s > 0 && progress->n_bytes_done > line->first_bytes ? (done - (double)line->first_bytes) / spent_s : 0;
    fprintf(stderr, "\r[%-*.*s] %3.0f%%  %zu/%zu files, %.1f/%.1f MB, %.1f MB/s", BAR, (int)(fraction * BAR), bar, 100 * fraction,
            progress->n_files_done, progress->n_files, 1e-6 * done, 1e-6 * all, 1e-6 * rate);
    if (rate > 0) fprintf(stderr, ", %.0f s left", (all - done) / rate);
    fputs("\033[K", stderr);
    return true;
}

tern_status tern__cli_hub_pull(char **folder, const char *repo_id, tern_hub_options *options, tern_error *err) {
    download_line line = {0};
    if (isatty(STDERR_FILENO)) {
        options->progress = draw_download;
        options->user = &line;
    }
    const tern_status status = tern_hub_pull(folder, repo_id, options, err);
    if (line.drawn_s > 0) fputs("\r\033[K", stderr);
    return status;
}

int tern__cli_model_folder(char **folder, const char *model, bool tokenizer_only) {
    struct stat facts;
    *folder = NULL;
    if (stat(model, &facts) == 0) { /* what is there and no folder gets its message from what reads it */
        *folder = strdup(model);
        return *folder != NULL ? TERN_CLI_DONE : tern__cli_fail("out of memory");
    }
    tern_error err;
    tern_hub_options options;
    if (tern_hub_options_from_environment(&options, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    options.tokenizer_only = tokenizer_only;
    const tern_status status = tern__cli_hub_pull(folder, model, &options, &err);
    tern_hub_options_free(&options);
    if (status == TERN_OK) return TERN_CLI_DONE;
    return tern__cli_fail("%s: there is no such folder; and as a repository of the hub: %s", model, err.message);
}
