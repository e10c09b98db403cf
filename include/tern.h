/* tern.h - run Hugging Face transformer checkpoints from C.
 *
 * The whole public interface: what is not declared in the headers below is not API.
 *
 *     tern_model *model = NULL;
 *     tern_error err;
 *     if (tern_model_load(&model, "all-MiniLM-L6-v2", NULL, &err)) { fprintf(stderr, "%s\n", err.message); return 1; }
 *     float *embeddings = malloc(n * tern_model_embedding_size(model) * sizeof *embeddings);
 *     if (tern_model_embed(model, texts, n, NULL, embeddings, NULL, &err)) ...
 *     tern_model_free(model);
 *
 * Conventions, for every function unless it says otherwise:
 *   errors   a function that can fail returns tern_status, TERN_OK (0) on success. `err` may be NULL; when it is not and the call
 *            fails it is filled. On failure outputs are left NULL or unwritten and nothing is leaked.
 *   owner    what a _load, _open or _encode call returns is freed by the caller with the matching function; freeing NULL is allowed.
 *            Pointers inside a returned object live as long as that object.
 *   threads  every object may be read by many threads at once. Calls that run one model from several threads are safe. On the CPU and
 *            on MLX their runs are served one after the other, since a single one already uses every thread of the model; on CUDA two
 *            are under way at once. The bits of a result do not depend on it.
 *   text     UTF-8 with an explicit length in bytes; NUL bytes are text.
 *   arrays   row-major, last axis contiguous. Sizes in bytes end in _bytes; everything else counts elements.
 *   globals  the library has no mutable globals, prints nothing and never ends the process.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_H
#define TERN_H

#include "tern/base.h"      /* version, status, errors */
#include "tern/tensor.h"    /* dtypes, tensors, safetensors */
#include "tern/tokenizer.h" /* a text becomes ids, and ids a text */
#include "tern/model.h"     /* devices, models, the load report, forward, random checkpoints */
#include "tern/embed.h"     /* embeddings, dense and sparse; their quantization and similarity */
#include "tern/tasks.h"     /* classification, entities, question answering, fill-mask */
#include "tern/hub.h"       /* repositories of the hub */

#endif
