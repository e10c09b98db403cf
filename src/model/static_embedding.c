/* static_embedding.c - StaticEmbedding of sentence-transformers, and what model2vec saves: a table of vectors, one a token, and their mean.
 * There is no config.json; the tensor's shape says how many tokens there are and how wide they are. Special tokens are not added.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

const tern_arch tern__static_embedding = {
    .classes = (const tern_arch_class[]){{"static_embedding", "StaticEmbedding", NULL}, {NULL, NULL, NULL}},
    .prefixes = (const char *const[]){"", NULL},
    .aliases = (const tern_weight_alias[]){{"embedding.weight", "embeddings"}, {NULL, NULL}},
    .ignored = (const char *const[]){NULL},
};

tern_status tern__static_embedding_build(tern_folder *folder, tern_error *err) {
    const tern_tensor *table = tern__weight_find(&tern__static_embedding, folder->checkpoint, "embedding.weight");
    if (table == NULL || table->rank != 2) return TERN_FAIL(err, TERN_E_WEIGHTS, "there is no matrix embedding.weight (or embeddings)");
    tern_program *p = folder->program;
    folder->facts = (tern_arch_facts){.hidden_size = table->shape[1], .vocab_size = table->shape[0], .max_tokens = INT64_MAX};
    folder->facts.last_hidden_state = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), table->shape[0], table->shape[1], "embedding");
    return TERN_OK;
}
