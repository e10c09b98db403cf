/* task_run.h - a command that sends texts through a model, window by window: what embed, classify and their kin share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_TASK_RUN_H
#define TERN_CLI_TASK_RUN_H

#include "args.h"
#include "output.h"
#include "text_input.h"

typedef struct tern_cli_task {
    tern_cli_run run; /* options */
    tern_model *model;
    tern_cli_texts texts;
    tern_cli_progress progress;
    bool reads_all;         /* one window, of all texts */
    size_t n_truncated;     /* of the window: where the option n_truncated of its call points; what was cut is told at the end */
    const char *truncated;  /* what is counted; NULL: "text" */
    const char *cut_advice; /* what else can be done; NULL: nothing */
    /* After the model is loaded, before the first window; NULL: nothing to do. Returns an exit code. */
    int (*begin)(struct tern_cli_task *task);
    /* A window: texts.texts. Returns an exit code. */
    int (*window)(struct tern_cli_task *task);
} tern_cli_task;

/* Load the model, read every window, close all but the model and the texts, which tern__cli_task_close frees. */
int tern__cli_task_run(tern_cli_task *task, const char *folder, char **texts, size_t n_texts);
void tern__cli_task_close(tern_cli_task *task);
/* The progress function of a task's options; user is the tern_cli_task. */
bool tern__cli_task_progress(void *user, size_t done, size_t total);
/* An error of a call over the window's texts; returns TERN_CLI_FAILED. */
int tern__cli_task_fail(tern_cli_task *task, const tern_error *err);

#endif
