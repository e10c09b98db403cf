/* feature_extraction.c - texts become vectors, as sentence-transformers' encode does it: tokenize, truncate, run, pool, normalise.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/feature_extraction.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task/sequence_run.h"

tern_embed_options tern_embed_options_default(void) {
    return (tern_embed_options){.size = sizeof(tern_embed_options), .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

size_t tern_model_embed_width(const tern_model *model, const tern_embed_options *options) {
    const size_t width = (size_t)model->folder.chain.embedding_size;
    const json_int_t folder_dim = json_integer_value(json_object_get(model->folder.prompts.settings, "truncate_dim"));
    size_t kept = options != NULL ? options->truncate_dim : 0;
    if (kept == 0 && folder_dim > 0) kept = (size_t)folder_dim;
    return kept > 0 && kept < width ? kept : width;
}

size_t tern_model_embedding_size(const tern_model *model) { return tern_model_embed_width(model, NULL); }

/* ---- The call ---- */

tern_status tern__embed_choose(tern_embed_options *chosen, int32_t *output, const tern_model *model, const tern_embed_options *options,
                               tern_error *err) {
    static const char *const poolings[] = {"", ".mean", ".cls", ".max"}; /* in the order of tern_pooling */
    const tern_chain *chain = &model->folder.chain;
    *chosen = options != NULL ? *options : tern_embed_options_default();
    if (chosen->size != sizeof *chosen)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_embed_options_default()", chosen->size,
                         sizeof *chosen);
    if ((unsigned)chosen->pooling >= sizeof poolings / sizeof *poolings)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: pooling is %d, which is no tern_pooling", (int)chosen->pooling);
    if (chosen->pooling != TERN_POOLING_DEFAULT && !chain->can_pool_otherwise)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: pooling is asked for; the folder's modules have one (%s) that others build upon",
                         chain->pooling);
    const bool normalize = chosen->normalize == TERN_CHOICE_DEFAULT ? chain->normalize : chosen->normalize == TERN_CHOICE_YES;
    char name[64];
    snprintf(name, sizeof name, "sentence_embedding%s%s", poolings[chosen->pooling], normalize ? ".normalized" : "");
    *output = tern__program_find_output(model->folder.program, name);
    if (*output < 0) return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the folder's modules make no sentence_embedding");
    return TERN_OK;
}

void tern__scale_to_unit_length(float *vector, size_t width) {
    double squares = 0;
    for (size_t i = 0; i < width; i++) squares += (double)vector[i] * (double)vector[i];
    const double length = fmax(sqrt(squares), 1e-12);
    for (size_t i = 0; i < width; i++) vector[i] = (float)((double)vector[i] / length);
}

/* Where the vectors go. */
typedef struct embeddings {
    float *rows;
    size_t width;
    bool is_scaled; /* to unit length again, since components were cut off */
} embeddings;

static tern_status take_embedding(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    (void)err;
    const embeddings *out = context;
    float *row = out->rows + sequence * out->width;
    memcpy(row, rows[0], out->width * sizeof(float));
    if (out->is_scaled) tern__scale_to_unit_length(row, out->width);
    return TERN_OK;
}

tern_status tern_model_embed(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options, float *rows,
                             int32_t *n_tokens, tern_error *err) {
    tern_embed_options chosen;
    int32_t outputs[2] = {-1, -1};
    TERN_TRY(tern__embed_choose(&chosen, &outputs[1], model, options, err));
    embeddings out = {.rows = rows, .width = tern_model_embed_width(model, &chosen)};
    out.is_scaled = chosen.normalize == TERN_CHOICE_YES && out.width < (size_t)model->folder.chain.embedding_size;
    const tern_embed_taker taker = {take_embedding, &out};
    if (!chosen.with_windows) return tern__embed_run(model, texts, n_texts, &chosen, outputs[1], &taker, n_tokens, err);
    tern_embed_options plain = chosen;
    plain.normalize = TERN_CHOICE_NO;
    TERN_TRY(tern__embed_choose(&plain, &outputs[0], model, &plain, err));
    return tern__embed_windows(model, texts, n_texts, &chosen, outputs, &taker, n_tokens, err);
}
