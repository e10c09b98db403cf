/* forward.c - padded ids in, padded hidden states out: the batch is packed, run, and its rows go back to where the mask had them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* ---- In: [B, T] with a mask becomes packed rows ---- */

static tern_status check_inputs(const tern_model *model, const tern_forward_inputs *in, tern_error *err) {
    const tern_arch_facts *facts = &model->folder.facts;
    if (in->batch < 1 || in->tokens < 1 || in->input_ids == NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "input_ids: [%lld, %lld] is empty", (long long)in->batch, (long long)in->tokens);
    if (in->tokens > facts->max_tokens)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "input_ids: %lld tokens a row; the model takes %lld (max_position_embeddings is %lld)",
                         (long long)in->tokens, (long long)facts->max_tokens, (long long)facts->max_position_embeddings);
    if (in->token_type_ids != NULL && facts->type_vocab_size == 0)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "token_type_ids: the model has no token types; leave them out");
    size_t elements;
    if (!tern__size_multiply((size_t)in->batch, (size_t)in->tokens, &elements) || elements > INT32_MAX)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "input_ids: [%lld, %lld] is more than %d tokens", (long long)in->batch,
                         (long long)in->tokens, INT32_MAX);
    return TERN_OK;
}

static tern_status check_element(const char *name, int64_t value, int64_t limit, int64_t row, int64_t column, tern_error *err) {
    if (value >= 0 && value < limit) return TERN_OK;
    return TERN_FAIL(err, TERN_E_ARGUMENT, "%s[%lld, %lld] is %lld, not in 0 ... %lld", name, (long long)row, (long long)column,
                     (long long)value, (long long)limit - 1);
}

/* Does the row have no 0 in its mask and nothing out of range, and do its positions count from 0? In loops that compilers vectorise: a GPU
 * waits for them. */
static bool is_plain_row(const tern_arch_facts *facts, const tern_forward_inputs *in, int64_t row) {
    const int64_t first = row * in->tokens;
    bool is_plain = facts->positions == TERN_POSITIONS_FROM_ZERO;
    for (int64_t at = first; at < first + in->tokens; at++) is_plain &= (uint64_t)in->input_ids[at] < (uint64_t)facts->vocab_size;
    for (int64_t at = first; at < first + in->tokens && in->attention_mask != NULL; at++) is_plain &= in->attention_mask[at] == 1;
    for (int64_t at = first; at < first + in->tokens && in->token_type_ids != NULL; at++)
        is_plain &= (uint64_t)in->token_type_ids[at] < (uint64_t)facts->type_vocab_size;
    return is_plain;
}

static void pack_plain_row(tern_rows_builder *rows, const tern_forward_inputs *in, int64_t row) {
    const int64_t first = row * in->tokens, to = rows->batch.n_tokens;
    int32_t *const ids = rows->rows[TERN_INPUT_IDS] + to, *const types = rows->rows[TERN_INPUT_TOKEN_TYPE_IDS] + to;
    int32_t *const positions = rows->rows[TERN_INPUT_POSITION_IDS] + to, *const columns = rows->rows[TERN_INPUT_COLUMNS] + to;
    for (int64_t i = 0; i < in->tokens; i++) ids[i] = (int32_t)in->input_ids[first + i];
    for (int64_t i = 0; i < in->tokens; i++) types[i] = in->token_type_ids != NULL ? (int32_t)in->token_type_ids[first + i] : 0;
    for (int64_t i = 0; i < in->tokens; i++) positions[i] = columns[i] = (int32_t)i;
    rows->batch.n_tokens += in->tokens;
}

static tern_status pack_masked_row(tern_rows_builder *rows, const tern_model *model, const tern_forward_inputs *in, int64_t row,
                                   tern_error *err) {
    const tern_arch_facts *facts = &model->folder.facts;
    const int64_t before = rows->batch.n_tokens;
    int64_t n_counted = 0;
    for (int64_t column = 0; column < in->tokens; column++) {
        const int64_t at = row * in->tokens + column;
        const int64_t mask = in->attention_mask != NULL ? in->attention_mask[at] : 1;
        TERN_TRY(check_element("attention_mask", mask, 2, row, column, err));
        const int64_t id = in->input_ids[at], type = in->token_type_ids != NULL ? in->token_type_ids[at] : 0;
        const int32_t position = tern__position_id(facts, id, column, &n_counted);
        if (mask == 0) continue;
        TERN_TRY(check_element("input_ids", id, facts->vocab_size, row, column, err));
        if (facts->type_vocab_size > 0) TERN_TRY(check_element("token_type_ids", type, facts->type_vocab_size, row, column, err));
        tern__rows_add(rows, (int32_t)id, (int32_t)type, position, (int32_t)column);
    }
    if (rows->batch.n_tokens == before) return TERN_FAIL(err, TERN_E_ARGUMENT, "attention_mask[%lld]: the row has no 1", (long long)row);
    return TERN_OK;
}

static tern_status pack(tern_rows_builder *rows, const tern_model *model, const tern_forward_inputs *in, tern_error *err) {
    TERN_TRY(check_inputs(model, in, err));
    TERN_TRY(tern__rows_new(rows, in->batch, in->batch * in->tokens, err));
    for (int64_t row = 0; row < in->batch; row++) {
        if (is_plain_row(&model->folder.facts, in, row)) pack_plain_row(rows, in, row);
        else TERN_TRY(pack_masked_row(rows, model, in, row, err));
        tern__rows_end_sequence(rows);
    }
    return TERN_OK;
}

/* ---- Out: packed rows at the front of `data` move to their places, from the last on, and the others become zeros ---- */

static void unpack(float *data, int64_t width, const tern_forward_inputs *in, int64_t n_tokens) {
    const int64_t elements = in->batch * in->tokens;
    if (n_tokens == elements) return;
    const size_t row_bytes = (size_t)width * sizeof *data;
    int64_t from = n_tokens;
    for (int64_t at = elements - 1; at >= 0; at--) {
        if (in->attention_mask[at] != 0) memmove(data + at * width, data + --from * width, row_bytes);
        else memset(data + at * width, 0, row_bytes);
    }
}

/* ---- The call ---- */

/* Of Hugging Face's names, and of rows that a caller of tern_model_forward gives. */
static bool is_public(const tern_folder *folder, int32_t output) {
    return output < folder->n_outputs && tern__value(folder->program, folder->program->outputs[output].value)->space != TERN_SPACE_PICKS;
}

const char *tern_model_output_name(const tern_model *model, size_t index) {
    for (int32_t o = 0; o < model->folder.n_outputs; o++)
        if (is_public(&model->folder, o) && index-- == 0) return model->folder.program->outputs[o].name;
    return NULL;
}

/* Index of an output that callers may name, -1: none. */
static int32_t find_output(const tern_model *model, const char *name) {
    const int32_t index = tern__program_find_output(model->folder.program, name);
    return index >= 0 && is_public(&model->folder, index) ? index : -1;
}

int tern_model_output_shape(const tern_model *model, const char *name, int64_t batch, int64_t tokens, int64_t shape[TERN_MAX_RANK]) {
    const int32_t index = find_output(model, name);
    if (index < 0) return 0;
    const tern_value_info *info = tern__value(model->folder.program, model->folder.program->outputs[index].value);
    int rank = 0;
    shape[rank++] = batch;
    if (info->space == TERN_SPACE_TOKENS) shape[rank++] = tokens;
    if (!model->folder.program->outputs[index].is_squeezed) shape[rank++] = info->width;
    return rank;
}

static tern_status run_packed(tern_model *model, const tern_rows_builder *rows, const tern_forward_inputs *in,
                              const tern_forward_output *outputs, size_t n_outputs, tern_error *err) {
    const tern_program *program = model->folder.program;
    tern_run_output *wanted = tern__alloc(n_outputs, sizeof *wanted);
    if (wanted == NULL) return TERN_FAIL_MEMORY(err, n_outputs * sizeof *wanted);
    tern_status status = TERN_OK;
    for (size_t i = 0; i < n_outputs && status == TERN_OK; i++) {
        wanted[i] = (tern_run_output){.output = find_output(model, outputs[i].name), .data = outputs[i].data};
        if (wanted[i].output < 0)
            status = TERN_FAIL(err, TERN_E_ARGUMENT, "output \"%.80s\": the model has none of that name", outputs[i].name);
    }
    if (status == TERN_OK) status = tern__model_run(model, &rows->batch, wanted, n_outputs, err);
    for (size_t i = 0; i < n_outputs && status == TERN_OK; i++) {
        const tern_value_info *info = tern__value(program, program->outputs[wanted[i].output].value);
        if (info->space == TERN_SPACE_TOKENS) unpack(outputs[i].data, info->width, in, rows->batch.n_tokens);
    }
    free(wanted);
    return status;
}

tern_status tern_model_forward(tern_model *model, const tern_forward_inputs *inputs, const tern_forward_output *outputs, size_t n_outputs,
                               tern_error *err) {
    tern_rows_builder rows = {0};
    tern_status status = pack(&rows, model, inputs, err);
    if (status == TERN_OK) status = run_packed(model, &rows, inputs, outputs, n_outputs, err);
    tern__rows_free(&rows);
    return status;
}
