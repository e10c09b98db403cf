/* rerank.c - how well documents answer a query: pairs of texts scored by a cross-encoder, with the function of the scores that the folder
 * names. Source: sentence-transformers 6.2, CrossEncoder.predict. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "task/embed_texts.h"

/* The class behind the last dot of "torch.nn.modules.activation.Sigmoid"; classes of other packages are not run, and do not count. */
static const char *find_torch_class(const json_t *activation_fn) {
    const char *path = json_string_value(activation_fn);
    return path != NULL && strncmp(path, "torch.", 6) == 0 ? strrchr(path, '.') + 1 : NULL;
}

/* What config_sentence_transformers.json says goes before what config.json says, in its present form or that of versions before 4. */
static tern_status find_activation(tern_function_to_apply *out, const tern_model *model, tern_error *err) {
    const json_t *saved = json_object_get(model->folder.config, "sentence_transformers");
    const char *name = find_torch_class(json_object_get(model->folder.prompts.settings, "activation_fn"));
    if (name == NULL)
        name = find_torch_class(json_object_get(saved, "activation_fn") != NULL
                                    ? json_object_get(saved, "activation_fn")
                                    : json_object_get(model->folder.config, "sbert_ce_default_activation_function"));
    if (name == NULL || strcmp(name, "Sigmoid") == 0) *out = TERN_APPLY_SIGMOID;
    else if (strcmp(name, "Identity") == 0) *out = TERN_APPLY_NONE;
    else return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the model's \"activation_fn\" is torch's %.80s; known are Sigmoid and Identity", name);
    return TERN_OK;
}

tern_status tern_model_rerank(tern_model *model, tern_text query, const tern_text *documents, size_t n_documents,
                              const tern_classify_options *options, float *scores, tern_error *err) {
    tern_classify_options chosen = options != NULL ? *options : tern_classify_options_default();
    if (model->folder.n_labels != 1)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "a cross-encoder gives one score to a pair; this model has %lld labels",
                         (long long)model->folder.n_labels);
    if (chosen.function_to_apply == TERN_APPLY_DEFAULT) TERN_TRY(find_activation(&chosen.function_to_apply, model, err));
    tern_text prompt = {0}, *prompted = NULL;
    TERN_TRY(tern__prompt_find(&prompt.data, &model->folder.prompts, NULL, err));
    prompt.bytes = strlen(prompt.data);
    char *block = NULL;
    tern_text *queries = tern__alloc(n_documents, sizeof *queries);
    tern_status status = queries != NULL ? tern__prepend_prompt(&prompted, &block, prompt, &query, 1, err)
                                         : TERN_FAIL_MEMORY(err, n_documents * sizeof *queries);
    for (size_t i = 0; i < n_documents && status == TERN_OK; i++) queries[i] = prompted[0];
    if (status == TERN_OK) status = tern_model_classify(model, queries, documents, n_documents, &chosen, scores, NULL, err);
    free(queries);
    free(prompted);
    free(block);
    return status;
}
