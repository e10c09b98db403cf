/* task_run.c - see task_run.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task_run.h"

#include <stdio.h>

bool tern__cli_task_progress(void *user, size_t done, size_t total) {
    tern_cli_task *task = user;
    const double fraction = task->texts.arguments != NULL ? (double)done / (double)total : tern__cli_texts_fraction(&task->texts);
    tern__cli_progress_show(&task->progress, task->texts.first + done, fraction);
    return true;
}

int tern__cli_task_fail(tern_cli_task *task, const tern_error *err) {
    tern__cli_progress_close(&task->progress);
    return tern__cli_fail_window(&task->texts, err);
}

/* Once a run, whatever the number of texts. */
static void tell_truncation(const tern_cli_task *task, size_t n) {
    if (n == 0) return;
    fprintf(stderr, "tern: %zu %s%s longer than %lld tokens %s cut there%s%s\n", n, task->truncated != NULL ? task->truncated : "text",
            n == 1 ? "" : "s", (long long)tern_model_get_info(task->model).max_seq_length, n == 1 ? "was" : "were",
            task->cut_advice != NULL ? "; " : "", task->cut_advice != NULL ? task->cut_advice : "");
}

int tern__cli_task_run(tern_cli_task *task, const char *folder, char **texts, size_t n_texts) {
    tern__cli_texts_open(&task->texts, texts, n_texts);
    int code = tern__cli_load_model(&task->model, folder, &task->run);
    if (code == TERN_CLI_DONE && task->begin != NULL) code = task->begin(task);
    if (code != TERN_CLI_DONE) return code;
    tern__cli_progress_open(&task->progress);
    size_t n_truncated = 0;
    while (code == TERN_CLI_DONE && tern__cli_texts_next(&task->texts, task->reads_all)) {
        task->n_truncated = 0;
        code = task->window(task);
        n_truncated += task->n_truncated;
    }
    tern__cli_progress_close(&task->progress);
    tell_truncation(task, n_truncated);
    return code == TERN_CLI_DONE && task->texts.has_failed ? TERN_CLI_FAILED : code;
}

void tern__cli_task_close(tern_cli_task *task) {
    tern__cli_texts_close(&task->texts);
    tern_model_free(task->model);
}
