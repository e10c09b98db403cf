/* feature_extraction.h - which output of the program holds the vector of a text; for tern_model_embed and tern_model_profile.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TASK_FEATURE_EXTRACTION_H
#define TERN_TASK_FEATURE_EXTRACTION_H

#include "model/model.h"

/* Checks the options, or takes the defaults for NULL; *output is an index into the program's outputs. */
tern_status tern__embed_choose(tern_embed_options *chosen, int32_t *output, const tern_model *model, const tern_embed_options *options,
                               tern_error *err);

#endif
