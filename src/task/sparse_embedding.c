/* sparse_embedding.c - texts become sparse vectors, as sentence-transformers' SparseEncoder gives them: a weight for each token of the
 * vocabulary that counts.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "task/feature_extraction.h"

typedef struct sparse_vectors {
    tern_sparse_vector *out;
    tern_sparse_entry *scratch; /* [width] */
    size_t width, most;         /* most entries of a vector */
} sparse_vectors;

/* The heaviest first; of equals the lower id. */
static bool comes_before(const tern_sparse_entry *a, const tern_sparse_entry *b) {
    return a->weight != b->weight ? a->weight > b->weight : a->id < b->id;
}

/* Heap of n entries whose last is at 0, all but `at` in place. */
static void sift_down(tern_sparse_entry *heap, size_t n, size_t at) {
    const tern_sparse_entry entry = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && comes_before(&heap[child], &heap[child + 1])) child++;
        if (!comes_before(&entry, &heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = entry;
}

/* In place: glibc's qsort takes memory of its own. */
static void sort_entries(tern_sparse_entry *entries, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift_down(entries, n, i);
    for (size_t end = n; end > 1; end--) {
        const tern_sparse_entry last = entries[0];
        entries[0] = entries[end - 1];
        entries[end - 1] = last;
        sift_down(entries, end - 1, 0);
    }
}

static tern_status take_sparse(void *context, size_t text, const float *const *rows, tern_error *err) {
    sparse_vectors *vectors = context;
    size_t n = 0;
    for (size_t i = 0; i < vectors->width; i++)
        if (rows[0][i] != 0) vectors->scratch[n++] = (tern_sparse_entry){(int32_t)i, rows[0][i]};
    sort_entries(vectors->scratch, n);
    if (n > vectors->most) n = vectors->most;
    tern_sparse_entry *entries = tern__alloc(n, sizeof *entries);
    if (entries == NULL) return TERN_FAIL_MEMORY(err, n * sizeof *entries);
    memcpy(entries, vectors->scratch, n * sizeof *entries);
    vectors->out[text] = (tern_sparse_vector){entries, n};
    return TERN_OK;
}

static size_t choose_most(const tern_model *model, size_t max_active_dims) {
    const json_int_t saved = json_integer_value(json_object_get(model->folder.prompts.settings, "max_active_dims"));
    if (max_active_dims > 0) return max_active_dims;
    return saved > 0 ? (size_t)saved : SIZE_MAX;
}

tern_status tern_model_embed_sparse(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                    size_t max_active_dims, tern_sparse_vector *vectors, int32_t *n_tokens, tern_error *err) {
    tern_embed_options chosen;
    int32_t output = -1;
    memset(vectors, 0, n_texts * sizeof *vectors);
    TERN_TRY(tern__embed_choose(&chosen, &output, model, options, err));
    if (!model->folder.chain.is_sparse)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the folder's modules make no sparse vectors (there is no SpladePooling)");
    sparse_vectors out = {.out = vectors, .width = (size_t)model->folder.chain.embedding_size, .most = choose_most(model, max_active_dims)};
    out.scratch = tern__alloc(out.width, sizeof *out.scratch);
    if (out.scratch == NULL) return TERN_FAIL_MEMORY(err, out.width * sizeof *out.scratch);
    const tern_status status =
        tern__embed_run(model, texts, n_texts, &chosen, output, &(tern_embed_taker){take_sparse, &out}, n_tokens, err);
    free(out.scratch);
    if (status != TERN_OK) tern_sparse_vectors_free(vectors, n_texts);
    return status;
}

void tern_sparse_vectors_free(tern_sparse_vector *vectors, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(vectors[i].entries);
        vectors[i] = (tern_sparse_vector){0};
    }
}
