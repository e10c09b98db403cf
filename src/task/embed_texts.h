/* embed_texts.h - texts behind their prompt; for embedding, to ids, of which some poolings leave the prompt's out.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TASK_EMBED_TEXTS_H
#define TERN_TASK_EMBED_TEXTS_H

#include "task/sequence_run.h"

/* Encode prompt + text for each text, the prompt being what the options name; *n_prompt_rows: how many tokens of each a pooling that skips
 * the prompt leaves out. On failure the encodings are empty. */
tern_status tern__encode_for_embedding(tern_encoding *encodings, int64_t *n_prompt_rows, const tern_model *model, const tern_text *texts,
                                       size_t n_texts, const tern_embed_options *options, tern_error *err);

/* Texts with the prompt in front; all in one block, to be freed with both, also on failure. */
tern_status tern__prepend_prompt(tern_text **out, char **block, tern_text prompt, const tern_text *texts, size_t n_texts, tern_error *err);

#endif
