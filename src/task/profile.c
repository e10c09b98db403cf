/* profile.c - what each op of a run takes and costs: the program's cost formulas beside the times that the device measured.
 * Nothing is estimated here; what the numbers say of the machine is for the caller to find.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "task/feature_extraction.h"
#include "task/embed_texts.h"

/* The vectors are not wanted. */
static tern_status drop_rows(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    (void)context, (void)sequence, (void)rows, (void)err;
    return TERN_OK;
}

static tern_op_profile describe_op(const tern_program *program, const tern_node *node, const tern_rows *rows, int64_t ns) {
    const tern_value_info *output = tern__value(program, node->output);
    const tern_cost cost = tern__node_cost(program, node, rows);
    return (tern_op_profile){.op = tern__op_name(node->op),
                             .weight = node->n_weights > 0 ? program->weights[node->weights[0]].name : NULL,
                             .rows = rows->rows[output->space],
                             .in_width = node->n_inputs > 0 ? tern__value(program, node->inputs[0])->width : 0,
                             .out_width = output->width,
                             .flops = cost.flops,
                             .bytes = cost.bytes,
                             .weight_bytes = cost.weight_bytes,
                             .ns = ns};
}

static tern_status describe_run(tern_profile *out, const tern_model *model, const tern_encoding *encodings, size_t n, const uint8_t *needed,
                                const int64_t *node_ns, tern_error *err) {
    const tern_program *program = model->folder.program;
    tern_rows rows = {.rows = {[TERN_SPACE_SEQUENCES] = (int64_t)n}};
    out->n_texts = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const int64_t length = (int64_t)encodings[i].n;
        rows.rows[TERN_SPACE_TOKENS] += length;
        rows.pairs += length * length;
        if (length > out->longest) out->longest = length;
    }
    out->n_tokens = rows.rows[TERN_SPACE_TOKENS];
    out->ops = tern__alloc((size_t)program->n_nodes, sizeof *out->ops);
    if (out->ops == NULL) return TERN_FAIL_MEMORY(err, (size_t)program->n_nodes * sizeof *out->ops);
    for (int32_t i = 0; i < program->n_nodes; i++) {
        const tern_node *node = &program->nodes[i];
        if (!needed[i] || node->op == TERN_OP_INPUT || node->op == TERN_OP_SLICE) continue;
        const tern_op_profile *op = &out->ops[out->n_ops];
        out->ops[out->n_ops++] = describe_op(program, node, &rows, node_ns[i]);
        out->flops += op->flops;
        out->bytes += op->bytes;
        out->is_timed |= node_ns[i] != 0;
    }
    return TERN_OK;
}

static tern_status measure_memory(tern_profile *out, const tern_model *model, const tern_encoding *encodings, size_t n, tern_error *err) {
    int64_t *row_start = tern__alloc(n + 1, sizeof *row_start);
    if (row_start == NULL) return TERN_FAIL_MEMORY(err, (n + 1) * sizeof *row_start);
    row_start[0] = 0;
    for (size_t i = 0; i < n; i++) row_start[i + 1] = row_start[i] + (int64_t)encodings[i].n;
    const tern_batch batch = {.n_sequences = (int64_t)n, .n_tokens = row_start[n], .row_start = row_start};
    size_t bytes = 0;
    const tern_status status = model->device->workspace_bytes(model->compiled, &batch, &bytes, err);
    free(row_start);
    out->workspace_bytes = (int64_t)bytes;
    out->packed_bytes = (int64_t)model->device->packed_bytes(model->compiled);
    return status;
}

/* Run once and describe. */
static tern_status profile_encodings(tern_profile *out, tern_model *model, const tern_encoding *encodings, size_t n, int64_t n_prompt_rows,
                                     int32_t output, tern_error *err) {
    const size_t n_nodes = (size_t)model->folder.program->n_nodes;
    int64_t *node_ns = tern__alloc_zero(n_nodes, sizeof *node_ns);
    uint8_t *needed = tern__alloc_zero(n_nodes, sizeof *needed);
    const tern_sequence_run run = {.model = model,
                                   .encodings = encodings,
                                   .n = n,
                                   .outputs = {output},
                                   .n_outputs = 1,
                                   .n_prompt_rows = n_prompt_rows,
                                   .max_batch_tokens = SIZE_MAX,
                                   .node_ns = node_ns,
                                   .take = drop_rows};
    tern_status status = node_ns != NULL && needed != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, n_nodes * sizeof *node_ns);
    if (status == TERN_OK) status = tern__sequence_run(&run, err);
    if (status == TERN_OK) {
        tern__program_mark_needed(model->folder.program, &output, 1, needed);
        status = describe_run(out, model, encodings, n, needed, node_ns, err);
    }
    if (status == TERN_OK) status = measure_memory(out, model, encodings, n, err);
    free(needed);
    free(node_ns);
    return status;
}

tern_status tern_model_profile(tern_profile *out, tern_model *model, const tern_text *texts, size_t n_texts,
                               const tern_embed_options *options, tern_error *err) {
    *out = (tern_profile){0};
    tern_embed_options chosen;
    int32_t output = -1;
    TERN_TRY(tern__embed_choose(&chosen, &output, model, options, err));
    if (n_texts == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "there is no text to profile");
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    if (encodings == NULL) return TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    int64_t n_prompt_rows = 0;
    tern_status status = tern__encode_for_embedding(encodings, &n_prompt_rows, model, texts, n_texts, &chosen, err);
    if (status == TERN_OK) status = profile_encodings(out, model, encodings, n_texts, n_prompt_rows, output, err);
    tern__encodings_free(encodings, n_texts);
    if (status != TERN_OK) tern_profile_free(out);
    return status;
}

void tern_profile_free(tern_profile *profile) {
    free(profile->ops);
    *profile = (tern_profile){0};
}
