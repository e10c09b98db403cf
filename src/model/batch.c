/* batch.c - sequences as packed rows, and the one call that runs them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdlib.h>

tern_status tern__rows_new(tern_rows_builder *out, int64_t max_sequences, int64_t max_tokens, tern_error *err) {
    *out = (tern_rows_builder){.row_start = tern__alloc_zero((size_t)max_sequences + 1, sizeof *out->row_start)};
    bool ok = out->row_start != NULL;
    for (int i = 0; i < TERN_N_INPUTS; i++) {
        out->rows[i] = tern__alloc((size_t)max_tokens, sizeof *out->rows[i]);
        out->batch.inputs[i] = out->rows[i];
        ok = ok && out->rows[i] != NULL;
    }
    out->batch.row_start = out->row_start;
    if (ok) return TERN_OK;
    tern__rows_free(out);
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for a batch of %lld sequences with %lld tokens", (long long)max_sequences,
                     (long long)max_tokens);
}

void tern__rows_free(tern_rows_builder *rows) {
    free(rows->row_start);
    for (int i = 0; i < TERN_N_INPUTS; i++) free(rows->rows[i]);
    *rows = (tern_rows_builder){0};
}

void tern__rows_end_sequence(tern_rows_builder *rows) { rows->row_start[++rows->batch.n_sequences] = rows->batch.n_tokens; }

void tern__rows_clear(tern_rows_builder *rows) {
    rows->batch.n_sequences = 0;
    rows->batch.n_tokens = 0;
}

tern_status tern__model_run(tern_model *model, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    pthread_mutex_lock(&model->run_lock);
    while (model->n_running >= model->device->max_concurrent_runs) pthread_cond_wait(&model->run_ended, &model->run_lock);
    model->n_running++;
    pthread_mutex_unlock(&model->run_lock);
    const tern_status status = model->device->run(model->compiled, batch, outputs, n_outputs, err);
    pthread_mutex_lock(&model->run_lock);
    model->n_running--;
    pthread_cond_signal(&model->run_ended);
    pthread_mutex_unlock(&model->run_lock);
    return status;
}
