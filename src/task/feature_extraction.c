/* feature_extraction.c - texts become vectors, as sentence-transformers' encode does it: tokenize, truncate, run, pool, normalise.
 * Texts are sorted by length and run in batches under a token budget, so memory is bounded whatever the input; since rows are packed,
 * sorting is for the budget's sake alone: no batch pays for padding, and a text's vector does not depend on its company.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

#define DEFAULT_BATCH_TOKENS 4096

tern_embed_options tern_embed_options_default(void) {
    return (tern_embed_options){.size = sizeof(tern_embed_options), .max_batch_tokens = DEFAULT_BATCH_TOKENS};
}

size_t tern_model_embedding_size(const tern_model *model) { return (size_t)model->folder.facts.hidden_size; }

/* ---- One call's state ---- */

typedef struct sequence {
    tern_encoding encoding;
    size_t text; /* index into the caller's texts */
} sequence;

typedef struct embedding_run {
    tern_model *model;
    tern_embed_options options;
    sequence *sequences; /* [n_texts], longest first once sorted */
    size_t n_texts;
    int32_t output;      /* of the program */
    tern_rows_builder rows;
    float *pooled;       /* [sequences of the largest batch, width] */
} embedding_run;

static int by_length(const void *left, const void *right) {
    const sequence *a = left, *b = right;
    if (a->encoding.n != b->encoding.n) return a->encoding.n > b->encoding.n ? -1 : 1;
    return a->text < b->text ? -1 : 1;
}

/* The tokenizer and the weights are separate files: an id past the tables is an error of the folder, not a crash. */
static tern_status check_ids(const embedding_run *run, const tern_encoding *encoding, size_t text, tern_error *err) {
    const tern_arch_facts *facts = &run->model->folder.facts;
    if (encoding->n == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "text %zu: the tokenizer gives no tokens", text);
    for (size_t i = 0; i < encoding->n; i++)
        if (encoding->ids[i] < 0 || encoding->ids[i] >= facts->vocab_size ||
            (facts->type_vocab_size > 0 && encoding->type_ids[i] >= facts->type_vocab_size))
            return TERN_FAIL(err, TERN_E_CONFIG, "text %zu: the tokenizer gives id %d (type %d); config.json has vocab_size %lld (type_vocab_size %lld)",
                             text, encoding->ids[i], encoding->type_ids[i], (long long)facts->vocab_size, (long long)facts->type_vocab_size);
    return TERN_OK;
}

static tern_status tokenize(embedding_run *run, const tern_text *texts, int32_t *n_tokens, tern_error *err) {
    tern_encode_options options = tern_encode_options_default();
    options.max_length = (size_t)run->model->max_seq_length;
    for (size_t t = 0; t < run->n_texts; t++) {
        tern_encoding *encoding = &run->sequences[t].encoding;
        run->sequences[t].text = t;
        const tern_status status = tern_tokenizer_encode(encoding, run->model->tokenizer, texts[t], NULL, &options, err);
        if (status != TERN_OK) {
            char prefix[48];
            snprintf(prefix, sizeof prefix, "text %zu", t);
            return tern__fail_prefix(err, status, prefix);
        }
        TERN_TRY(check_ids(run, encoding, t, err));
        if (n_tokens != NULL) n_tokens[t] = (int32_t)encoding->n;
    }
    return TERN_OK;
}

/* Sequences from `first` on that fit the budget together; at least one. */
static size_t batch_end(const embedding_run *run, size_t first, size_t *n_tokens) {
    size_t end = first;
    *n_tokens = 0;
    do {
        *n_tokens += run->sequences[end].encoding.n;
        end++;
    } while (end < run->n_texts && *n_tokens + run->sequences[end].encoding.n <= run->options.max_batch_tokens);
    return end;
}

/* Room for the largest batch: the longest sequences come first, so a later batch may hold more of them, but not more tokens. */
static tern_status allocate_batch(embedding_run *run, tern_error *err) {
    size_t most_sequences = 0, most_tokens = 0, n_tokens;
    for (size_t first = 0, end; first < run->n_texts; first = end) {
        end = batch_end(run, first, &n_tokens);
        if (end - first > most_sequences) most_sequences = end - first;
        if (n_tokens > most_tokens) most_tokens = n_tokens;
    }
    size_t elements;
    if (!tern__size_multiply(most_sequences, tern_model_embedding_size(run->model), &elements)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    run->pooled = tern__alloc(elements, sizeof *run->pooled);
    if (run->pooled == NULL) return TERN_FAIL_MEMORY(err, elements * sizeof *run->pooled);
    return tern__rows_new(&run->rows, (int64_t)most_sequences, (int64_t)most_tokens, err);
}

static tern_status run_batch(embedding_run *run, size_t first, size_t end, float *embeddings, tern_error *err) {
    const size_t width = tern_model_embedding_size(run->model);
    tern__rows_clear(&run->rows);
    for (size_t s = first; s < end; s++) {
        const tern_encoding *encoding = &run->sequences[s].encoding;
        int64_t n_counted = 0;
        for (size_t i = 0; i < encoding->n; i++)
            tern__rows_add(&run->rows, encoding->ids[i], encoding->type_ids[i],
                           tern__position_id(&run->model->folder.facts, encoding->ids[i], (int64_t)i, &n_counted), (int32_t)i);
        tern__rows_end_sequence(&run->rows);
    }
    const tern_run_output output = {.output = run->output, .data = run->pooled};
    TERN_TRY(tern__model_run(run->model, &run->rows.batch, &output, 1, err));
    for (size_t s = first; s < end; s++)
        memcpy(embeddings + run->sequences[s].text * width, run->pooled + (s - first) * width, width * sizeof *embeddings);
    return TERN_OK;
}

static tern_status run_batches(embedding_run *run, float *embeddings, tern_error *err) {
    qsort(run->sequences, run->n_texts, sizeof *run->sequences, by_length);
    TERN_TRY(allocate_batch(run, err));
    for (size_t first = 0, end, n_tokens; first < run->n_texts; first = end) {
        end = batch_end(run, first, &n_tokens);
        TERN_TRY(run_batch(run, first, end, embeddings, err));
        if (run->options.progress != NULL && !run->options.progress(run->options.user, end, run->n_texts))
            return TERN_FAIL(err, TERN_E_CANCELLED, "stopped after %zu of %zu texts", end, run->n_texts);
    }
    return TERN_OK;
}

/* ---- The call ---- */

static tern_status choose_output(embedding_run *run, tern_error *err) {
    const tern_modules *modules = &run->model->folder.modules;
    tern_pool pool = modules->pooling;
    switch (run->options.pooling) {
    case TERN_POOLING_DEFAULT: break;
    case TERN_POOLING_MEAN: pool = TERN_POOL_MEAN; break;
    case TERN_POOLING_CLS: pool = TERN_POOL_CLS; break;
    case TERN_POOLING_MAX: pool = TERN_POOL_MAX; break;
    default: return TERN_FAIL(err, TERN_E_ARGUMENT, "options: pooling is %d, which is no tern_pooling", (int)run->options.pooling);
    }
    const bool normalize = run->options.normalize == TERN_CHOICE_DEFAULT ? modules->normalize : run->options.normalize == TERN_CHOICE_YES;
    run->output = tern__program_find_output(run->model->folder.program, tern__embedding_output(pool, normalize));
    return TERN_OK;
}

static tern_status embed(embedding_run *run, const tern_text *texts, float *embeddings, int32_t *n_tokens, tern_error *err) {
    if (run->model->tokenizer == NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "the model's folder has no tokenizer (tokenizer.json or vocab.txt); embedding text needs one");
    TERN_TRY(choose_output(run, err));
    run->sequences = tern__alloc_zero(run->n_texts, sizeof *run->sequences);
    if (run->sequences == NULL) return TERN_FAIL_MEMORY(err, run->n_texts * sizeof *run->sequences);
    TERN_TRY(tokenize(run, texts, n_tokens, err));
    return run_batches(run, embeddings, err);
}

tern_status tern_model_embed(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                             float *embeddings, int32_t *n_tokens, tern_error *err) {
    if (options != NULL && options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_embed_options_default()", options->size,
                         sizeof *options);
    embedding_run run = {.model = model, .options = options != NULL ? *options : tern_embed_options_default(), .n_texts = n_texts};
    if (run.options.max_batch_tokens == 0) run.options.max_batch_tokens = DEFAULT_BATCH_TOKENS;
    const tern_status status = n_texts == 0 ? TERN_OK : embed(&run, texts, embeddings, n_tokens, err);
    for (size_t s = 0; run.sequences != NULL && s < n_texts; s++) tern_encoding_free(&run.sequences[s].encoding);
    free(run.sequences);
    free(run.pooled);
    tern__rows_free(&run.rows);
    return status;
}

/* ---- Similarity ---- */

static double dot(const float *a, const float *b, size_t width) {
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

void tern_cosine_similarity(float *out, const float *a, size_t n_a, const float *b, size_t n_b, size_t width) {
    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++) {
            const float *left = a + i * width, *right = b + j * width;
            const double lengths = sqrt(dot(left, left, width)) * sqrt(dot(right, right, width));
            out[i * n_b + j] = lengths > 0 ? (float)(dot(left, right, width) / lengths) : 0.0f;
        }
}
