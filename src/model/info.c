/* info.c - what a loaded model is, what memory it needs, what its program says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdlib.h>

/* Hugging Face's names of what the folder's modules and head are for. */
static const char *const *tasks_of(const tern_folder *folder) {
    static const char *const features[] = {"feature-extraction", NULL};
    static const char *const sentences[] = {"feature-extraction", "sentence-similarity", NULL};
    static const char *const heads[][3] = {[TERN_HEAD_PRE_TRAINING] = {"feature-extraction", NULL},
                                           [TERN_HEAD_MASKED_LM] = {"feature-extraction", "fill-mask", NULL},
                                           [TERN_HEAD_NEXT_SENTENCE_PREDICTION] = {"feature-extraction", NULL},
                                           [TERN_HEAD_SEQUENCE_CLASSIFICATION] = {"feature-extraction", "text-classification", NULL},
                                           [TERN_HEAD_TOKEN_CLASSIFICATION] = {"feature-extraction", "token-classification", NULL},
                                           [TERN_HEAD_QUESTION_ANSWERING] = {"feature-extraction", "question-answering", NULL},
                                           [TERN_HEAD_MULTIPLE_CHOICE] = {"feature-extraction", "multiple-choice", NULL}};
    if (folder->modules.is_present) return sentences;
    return folder->facts.head == TERN_HEAD_NONE ? features : heads[folder->facts.head];
}

tern_model_info tern_model_get_info(const tern_model *model) {
    const tern_folder *folder = &model->folder;
    const tern_device_properties device = model->device->properties(model->opened);
    return (tern_model_info){.model_type = folder->arch_class->model_type,
                             .architecture = folder->architecture,
                             .tasks = tasks_of(folder),
                             .n_parameters = model->n_parameters,
                             .checkpoint_dtype = model->checkpoint_dtype,
                             .checkpoint_bytes = (int64_t)tern__weights_bytes(folder),
                             .hidden_size = folder->facts.hidden_size,
                             .num_hidden_layers = folder->facts.num_hidden_layers,
                             .vocab_size = folder->facts.vocab_size,
                             .max_position_embeddings = folder->facts.max_position_embeddings,
                             .max_seq_length = model->max_seq_length != INT64_MAX ? model->max_seq_length : 0,
                             .is_sparse = folder->chain.is_sparse,
                             .pooling = folder->chain.pooling,
                             .normalize = folder->chain.normalize,
                             .is_sentence_transformer = folder->modules.is_present,
                             .default_prompt_name = folder->prompts.default_name,
                             .similarity_fn_name = folder->prompts.similarity_fn_name,
                             .n_labels = folder->n_labels,
                             .device = device.name,
                             .isa = device.isa,
                             .dtype = model->dtype,
                             .threads = device.threads};
}

const tern_tokenizer *tern_model_get_tokenizer(const tern_model *model) { return model->tokenizer; }

tern_status tern_model_plan_memory(const tern_model *model, int64_t batch, int64_t tokens, tern_memory_plan *out, tern_error *err) {
    *out = (tern_memory_plan){0};
    size_t n_tokens;
    if (batch < 1 || tokens < 1 || !tern__size_multiply((size_t)batch, (size_t)tokens, &n_tokens) || n_tokens > INT32_MAX)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "a batch of %lld sequences of %lld tokens is not in 1 ... %d tokens", (long long)batch,
                         (long long)tokens, INT32_MAX);
    if (tokens > model->folder.facts.max_tokens)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "tokens is %lld; the model takes %lld", (long long)tokens,
                         (long long)model->folder.facts.max_tokens);
    int64_t *row_start = tern__alloc((size_t)batch + 1, sizeof *row_start);
    if (row_start == NULL) return TERN_FAIL_MEMORY(err, ((size_t)batch + 1) * sizeof *row_start);
    for (int64_t s = 0; s <= batch; s++) row_start[s] = s * tokens;
    const tern_batch shape = {.n_sequences = batch, .n_tokens = (int64_t)n_tokens, .row_start = row_start};
    size_t workspace_bytes = 0;
    const tern_status status = model->device->workspace_bytes(model->compiled, &shape, &workspace_bytes, err);
    free(row_start);
    TERN_TRY(status);
    *out = (tern_memory_plan){.mapped_bytes = (int64_t)tern__weights_bytes(&model->folder),
                              .packed_bytes = (int64_t)(model->device->packed_bytes(model->compiled) + model->expanded_bytes),
                              .workspace_bytes = (int64_t)workspace_bytes};
    return TERN_OK;
}

tern_status tern_model_dump(const tern_model *model, char **out, tern_error *err) {
    return tern__program_dump(model->folder.program, out, err);
}
