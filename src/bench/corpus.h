/* corpus.h - the committed text that every benchmark's inputs are cut from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_CORPUS_H
#define TERN_BENCH_CORPUS_H

#include "tern.h"

/* n_texts texts of exactly n_chars code points each: text 0 is the beginning of src/bench/text.txt, each later one begins a few words
 * on, so that texts differ as they do in use; the text is repeated where it ends. *storage, freed by the caller, holds them.
 * Text i depends on n_chars and i alone. False when memory is short. */
bool tern__corpus_cut(tern_text *texts, char **storage, size_t n_texts, size_t n_chars);

#endif
