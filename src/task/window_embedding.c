/* window_embedding.c - long texts whole: a text becomes the overlapping windows that its tokenizer's overflowing pieces are, each window a
 * vector, and these one vector, their mean weighted by the tokens that are new in each. The mean is of vectors before a last scaling to
 * unit length, so that with mean pooling it is the mean over the tokens of the text, as a short text's vector is. SPDX-License-Identifier:
 * Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "task/embed_texts.h"
#include "task/feature_extraction.h"

typedef struct window {
    size_t text;
    size_t n_new; /* tokens that no window of the text before has */
    double *sum;  /* [width] of the text; NULL: its only window */
} window;

typedef struct window_run {
    const tern_embed_options *options;
    const tern_embed_taker *taker;
    tern_encoding *encodings; /* [n_windows]; borrowed from the texts' */
    window *windows;          /* [n_windows] */
    double *sums;             /* [n_long, width] of the texts with several windows */
    float *combined;          /* [width] */
    size_t n_windows, n_texts, n_long, width;
    bool is_scaled; /* to unit length */
} window_run;

static size_t count_own_tokens(const tern_encoding *encoding) {
    size_t n = 0;
    for (size_t i = 0; i < encoding->n; i++) n += encoding->special_tokens_mask[i] == 0;
    return n;
}

static tern_status make_windows(window_run *run, const tern_encoding *texts, size_t n_texts, int32_t *n_tokens, tern_error *err) {
    for (size_t t = 0; t < n_texts; t++) {
        run->n_windows += 1 + texts[t].n_overflowing;
        run->n_long += texts[t].n_overflowing > 0;
    }
    run->encodings = tern__alloc(run->n_windows, sizeof *run->encodings);
    run->windows = tern__alloc(run->n_windows, sizeof *run->windows);
    run->combined = tern__alloc(run->width, sizeof *run->combined);
    size_t n_sums;
    run->sums = tern__size_multiply(run->n_long, run->width, &n_sums) ? tern__alloc_zero(n_sums, sizeof *run->sums) : NULL;
    if (run->encodings == NULL || run->windows == NULL || run->combined == NULL || run->sums == NULL)
        return TERN_FAIL_MEMORY(err, run->n_windows * sizeof *run->encodings);
    size_t at = 0, n_sums_used = 0;
    for (size_t t = 0; t < n_texts; t++) {
        double *sum = texts[t].n_overflowing > 0 ? run->sums + n_sums_used++ * run->width : NULL;
        size_t n_all = texts[t].n;
        for (size_t w = 0; w <= texts[t].n_overflowing; w++, at++) {
            run->encodings[at] = w == 0 ? texts[t] : texts[t].overflowing[w - 1];
            run->windows[at] = (window){.text = t, .n_new = count_own_tokens(&run->encodings[at]), .sum = sum};
            if (w > 0) n_all += run->windows[at].n_new -= run->options->stride;
        }
        if (n_tokens != NULL) n_tokens[t] = n_all < INT32_MAX ? (int32_t)n_all : INT32_MAX;
    }
    return TERN_OK;
}

/* Windows of a text come in their order: all but the last are equally long, and that is not longer. */
static tern_status take_window(void *context, size_t index, const float *const *rows, tern_error *err) {
    const window_run *run = context;
    const window *taken = &run->windows[index];
    if (taken->sum == NULL) return run->taker->take(run->taker->context, taken->text, run->is_scaled ? rows + 1 : rows, err);
    for (size_t c = 0; c < run->width; c++) taken->sum[c] += (double)taken->n_new * (double)rows[0][c];
    return TERN_OK;
}

static tern_status combine_windows(const window_run *run, tern_error *err) {
    const float *combined = run->combined;
    size_t end;
    for (size_t first = 0; first < run->n_windows; first = end) {
        const window *taken = &run->windows[first];
        size_t n_own = 0;
        for (end = first; end < run->n_windows && run->windows[end].text == taken->text; end++) n_own += run->windows[end].n_new;
        if (taken->sum == NULL) continue;
        for (size_t c = 0; c < run->width; c++) run->combined[c] = (float)(taken->sum[c] / (double)n_own);
        if (run->is_scaled) tern__scale_to_unit_length(run->combined, run->width);
        TERN_TRY(run->taker->take(run->taker->context, taken->text, &combined, err));
    }
    return TERN_OK;
}

/* The caller counts texts. */
static bool show_progress(void *user, size_t done, size_t total) {
    const window_run *run = user;
    const double share = (double)done / (double)total;
    return run->options->progress(run->options->user, (size_t)(share * (double)run->n_texts), run->n_texts);
}

static tern_status run_windows(window_run *run, tern_model *model, const tern_encoding *texts, const int32_t outputs[2], int32_t *n_tokens,
                               tern_stage_times *times, tern_error *err) {
    TERN_TRY(make_windows(run, texts, run->n_texts, n_tokens, err));
    const tern_sequence_run sequences = {.model = model,
                                         .encodings = run->encodings,
                                         .n = run->n_windows,
                                         .outputs = {outputs[0], outputs[1]},
                                         .n_outputs = run->is_scaled ? 2 : 1,
                                         .max_batch_tokens = run->options->max_batch_tokens,
                                         .progress = run->options->progress != NULL ? show_progress : NULL,
                                         .user = run,
                                         .times = times,
                                         .take = take_window,
                                         .context = run};
    TERN_TRY(tern__sequence_run(&sequences, err));
    return combine_windows(run, err);
}

tern_status tern__embed_windows(tern_model *model, const tern_text *texts, size_t n_texts, const tern_embed_options *options,
                                const int32_t outputs[2], const tern_embed_taker *taker, int32_t *n_tokens, tern_error *err) {
    tern_stage_times times = {0};
    if (options->times != NULL) *options->times = times;
    if (options->n_truncated != NULL) *options->n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    window_run run = {.options = options,
                      .taker = taker,
                      .n_texts = n_texts,
                      .width = (size_t)model->folder.chain.embedding_size,
                      .is_scaled = outputs[0] != outputs[1]};
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    if (encodings == NULL) return TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    int64_t n_prompt_rows;
    const int64_t start_ns = tern__clock_ns();
    tern_status status = tern__encode_for_embedding(encodings, &n_prompt_rows, model, texts, n_texts, options, err);
    times.tokenize_ns = tern__clock_ns() - start_ns;
    if (status == TERN_OK && n_prompt_rows > 0)
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED,
                           "options: with_windows, and the Pooling leaves the prompt out, which the first window alone has");
    if (status == TERN_OK) status = run_windows(&run, model, encodings, outputs, n_tokens, &times, err);
    if (status == TERN_OK && options->times != NULL) *options->times = times;
    free(run.encodings);
    free(run.windows);
    free(run.sums);
    free(run.combined);
    tern__encodings_free(encodings, n_texts);
    return status;
}
