/* token_embeddings.c - a vector for each token of a text, for late interaction: sentence-transformers' encode with
 * output_value="token_embeddings".
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "task/feature_extraction.h"

typedef struct token_rows {
    float **out;
    const int32_t *n_tokens;
    size_t width;
} token_rows;

static tern_status take_tokens(void *context, size_t text, const float *const *rows, tern_error *err) {
    const token_rows *all = context;
    const size_t elements = (size_t)all->n_tokens[text] * all->width; /* no more than were computed */
    all->out[text] = tern__alloc(elements, sizeof(float));
    if (all->out[text] == NULL) return TERN_FAIL_MEMORY(err, elements * sizeof(float));
    memcpy(all->out[text], rows[0], elements * sizeof(float));
    return TERN_OK;
}

size_t tern_model_token_embedding_size(const tern_model *model) { return (size_t)model->folder.chain.token_embedding_size; }

tern_status tern_model_embed_tokens(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                    float **embeddings, int32_t *n_tokens, tern_error *err) {
    const tern_embed_options chosen = options != NULL ? *options : tern_embed_options_default();
    memset(embeddings, 0, n_texts * sizeof *embeddings);
    if (chosen.size != sizeof chosen)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_embed_options_default()", chosen.size,
                         sizeof chosen);
    const int32_t output = tern__program_find_output(model->folder.program, "token_embeddings");
    if (output < 0) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the folder's modules make no token_embeddings");
    token_rows out = {.out = embeddings, .n_tokens = n_tokens, .width = tern_model_token_embedding_size(model)};
    const tern_status status =
        tern__embed_run(model, texts, n_texts, &chosen, output, &(tern_embed_taker){take_tokens, &out}, n_tokens, err);
    for (size_t t = 0; t < n_texts && status != TERN_OK; t++) {
        free(embeddings[t]);
        embeddings[t] = NULL;
    }
    return status;
}
