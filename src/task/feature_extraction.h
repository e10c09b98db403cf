/* feature_extraction.h - which output of the program holds the vector of a text; for tern_model_embed and tern_model_profile.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TASK_FEATURE_EXTRACTION_H
#define TERN_TASK_FEATURE_EXTRACTION_H

#include "model/model.h"

/* Checks the options, or takes the defaults for NULL; *output is an index into the program's outputs. */
tern_status tern__embed_choose(tern_embed_options *chosen, int32_t *output, const tern_model *model, const tern_embed_options *options,
                               tern_error *err);

/* What becomes of each text's rows; see tern_sequence_run. */
typedef struct tern_embed_taker {
    tern_status (*take)(void *context, size_t text, const float *const *rows, tern_error *err);
    void *context;
} tern_embed_taker;

/* embed_run.c: encode, run for one output, hand each text's rows to the taker. n_tokens: NULL, or [n_texts], filled before the taker gets
 * the text. */
tern_status tern__embed_run(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options, int32_t output,
                            const tern_embed_taker *taker, int32_t *n_tokens, tern_error *err);

/* window_embedding.c: the same for tern_model_embed with windows. outputs: the vector before a last scaling to unit length, and after what
 * scaling there is; the same index where there is none. take gets the rows of texts that fit one window as they are, [0] being the vector
 * that counts, and those of longer ones combined. */
tern_status tern__embed_windows(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                const int32_t outputs[2], const tern_embed_taker *taker, int32_t *n_tokens, tern_error *err);

/* Divide by the length, or by 1e-12 where that is more. */
void tern__scale_to_unit_length(float *vector, size_t width);

#endif
