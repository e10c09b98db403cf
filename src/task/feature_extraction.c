/* feature_extraction.c - texts become vectors, as sentence-transformers' encode does it: tokenize, truncate, run, pool, normalise.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/feature_extraction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "task/embed_texts.h"

tern_embed_options tern_embed_options_default(void) {
    return (tern_embed_options){.size = sizeof(tern_embed_options), .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

size_t tern_model_embedding_size(const tern_model *model) { return (size_t)model->folder.chain.embedding_size; }

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

/* Where the vectors go. */
typedef struct embeddings {
    float *rows;
    size_t width;
} embeddings;

static tern_status take_embedding(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    (void)err;
    const embeddings *out = context;
    memcpy(out->rows + sequence * out->width, rows[0], out->width * sizeof(float));
    return TERN_OK;
}

tern_status tern_model_embed(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options, float *rows,
                             int32_t *n_tokens, tern_error *err) {
    tern_embed_options chosen;
    int32_t output = -1;
    TERN_TRY(tern__embed_choose(&chosen, &output, model, options, err));
    tern_stage_times times = {0};
    if (chosen.times != NULL) *chosen.times = times;
    if (n_texts == 0) return TERN_OK;
    embeddings out = {.rows = rows, .width = tern_model_embedding_size(model)};
    tern_sequence_run run = {.model = model,
                             .n = n_texts,
                             .outputs = {output},
                             .n_outputs = 1,
                             .max_batch_tokens = chosen.max_batch_tokens,
                             .progress = chosen.progress,
                             .user = chosen.user,
                             .times = &times,
                             .take = take_embedding,
                             .context = &out};
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    if (encodings == NULL) return TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    run.encodings = encodings;
    const int64_t start_ns = tern__clock_ns();
    tern_status status = tern__encode_for_embedding(encodings, &run.n_prompt_rows, model, texts, n_texts, &chosen, err);
    times.tokenize_ns = tern__clock_ns() - start_ns;
    for (size_t t = 0; t < n_texts && n_tokens != NULL && status == TERN_OK; t++) n_tokens[t] = (int32_t)encodings[t].n;
    if (status == TERN_OK) status = tern__sequence_run(&run, err);
    if (status == TERN_OK && chosen.times != NULL) *chosen.times = times;
    tern__encodings_free(encodings, n_texts);
    return status;
}
