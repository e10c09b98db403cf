/* fill_mask.c - the likeliest tokens under the masks of a text. Only masked rows go through the decoder.
 * Source: Hugging Face transformers, the pipeline fill-mask.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task/sequence_run.h"

tern_fill_mask_options tern_fill_mask_options_default(void) {
    return (tern_fill_mask_options){.size = sizeof(tern_fill_mask_options), .top_k = 5, .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

const char *tern_model_mask_token(const tern_model *model) {
    return model->tokenizer != NULL && model->mask_token_id >= 0 ? tern_tokenizer_id_to_token(model->tokenizer, model->mask_token_id)
                                                                 : NULL;
}

typedef struct candidate {
    int32_t token;
    float score;
} candidate;

typedef struct filling {
    tern_model *model;
    const tern_encoding *encodings;
    tern_fill_mask_options options;
    size_t vocab_size;
    candidate *candidates; /* [vocab_size], of one mask */
    int32_t *targets;      /* [n_targets], each once; NULL: every token */
    size_t n_targets, top_k;
    tern_fills *found; /* [n_texts] */
} filling;

static int by_score(const void *left, const void *right) {
    const candidate *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

/* The best top_k to the front, in order: what is better than the worst kept takes its place. */
static void select_best(candidate *candidates, size_t n, size_t top_k) {
    qsort(candidates, top_k, sizeof *candidates, by_score);
    for (size_t i = top_k; i < n; i++) {
        if (by_score(&candidates[i], &candidates[top_k - 1]) > 0) continue;
        size_t at = top_k - 1;
        for (; at > 0 && by_score(&candidates[i], &candidates[at - 1]) < 0; at--) candidates[at] = candidates[at - 1];
        candidates[at] = candidates[i];
    }
}

static void score_tokens(const filling *f, const float *logits) {
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < f->vocab_size; i++) most = fmaxf(most, logits[i]);
    for (size_t i = 0; i < f->vocab_size; i++) sum += exp((double)logits[i] - (double)most);
    for (size_t i = 0; i < f->n_targets; i++) {
        const int32_t token = f->targets != NULL ? f->targets[i] : (int32_t)i;
        f->candidates[i] = (candidate){.token = token, .score = (float)(exp((double)logits[token] - (double)most) / sum)};
    }
    select_best(f->candidates, f->n_targets, f->top_k);
}

/* The text's ids with `token` at `place`, without padding, decoded. */
static tern_status decode_sequence(const filling *f, const tern_encoding *encoding, size_t place, int32_t token, bool skip_special_tokens,
                                   char **out, tern_error *err) {
    int32_t *ids = tern__alloc(encoding->n, sizeof *ids);
    if (ids == NULL) return TERN_FAIL_MEMORY(err, encoding->n * sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; i < encoding->n; i++) {
        const int32_t id = i == place ? token : encoding->ids[i];
        if (id != f->model->pad_token_id) ids[n++] = id;
    }
    const tern_status status = tern_tokenizer_decode(out, NULL, f->model->tokenizer, ids, n, skip_special_tokens, err);
    free(ids);
    return status;
}

static tern_status add_fill(const filling *f, size_t text, size_t mask, size_t place, bool is_single, candidate best, tern_error *err) {
    char *token_str = NULL, *sequence = NULL;
    TERN_TRY(tern_tokenizer_decode(&token_str, NULL, f->model->tokenizer, &best.token, 1, false, err));
    tern_status status = decode_sequence(f, &f->encodings[text], place, best.token, is_single, &sequence, err);
    tern_fills *found = &f->found[text];
    size_t capacity = found->n;
    if (status == TERN_OK && !tern__grow(&found->items, &capacity, found->n + 1, sizeof *found->items))
        status = TERN_FAIL_MEMORY(err, sizeof *found->items);
    if (status != TERN_OK) {
        free(token_str);
        free(sequence);
        return status;
    }
    found->items[found->n++] =
        (tern_fill){.text = text, .mask = mask, .token = best.token, .score = best.score, .token_str = token_str, .sequence = sequence};
    return TERN_OK;
}

static tern_status take_logits(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    const filling *f = context;
    const tern_encoding *encoding = &f->encodings[sequence];
    size_t n_masks = 0, mask = 0;
    for (size_t i = 0; i < encoding->n; i++) n_masks += encoding->ids[i] == f->model->mask_token_id;
    for (size_t i = 0; i < encoding->n; i++) {
        if (encoding->ids[i] != f->model->mask_token_id) continue;
        score_tokens(f, rows[0] + mask * f->vocab_size);
        for (size_t k = 0; k < f->top_k; k++) TERN_TRY(add_fill(f, sequence, mask, i, n_masks == 1, f->candidates[k], err));
        mask++;
    }
    return TERN_OK;
}

/* ---- The call ---- */

/* The ids of the targets, each once. */
static tern_status find_targets(filling *f, tern_error *err) {
    f->n_targets = f->vocab_size;
    if (f->options.targets == NULL) return TERN_OK;
    f->targets = tern__alloc(f->options.n_targets, sizeof *f->targets);
    if (f->targets == NULL) return TERN_FAIL_MEMORY(err, f->options.n_targets * sizeof *f->targets);
    f->n_targets = 0;
    for (size_t i = 0; i < f->options.n_targets; i++) {
        const char *target = f->options.targets[i];
        int32_t id = tern_tokenizer_token_to_id(f->model->tokenizer, target);
        if (id < 0) {
            tern_encode_options options = tern_encode_options_default();
            options.add_special_tokens = false;
            tern_encoding encoding;
            TERN_TRY(tern_tokenizer_encode(&encoding, f->model->tokenizer, (tern_text){.data = target, .bytes = strlen(target)}, NULL,
                                           &options, err));
            if (encoding.n > 0) id = encoding.ids[0];
            tern_encoding_free(&encoding);
        }
        if (id < 0 || (size_t)id >= f->vocab_size)
            return TERN_FAIL(err, TERN_E_ARGUMENT, "the target \"%.80s\" is no token and holds none", target);
        bool is_there = false;
        for (size_t t = 0; t < f->n_targets; t++) is_there |= f->targets[t] == id;
        if (!is_there) f->targets[f->n_targets++] = id;
    }
    return f->n_targets > 0 ? TERN_OK : TERN_FAIL(err, TERN_E_ARGUMENT, "no targets are given");
}

static tern_status check_masks(const filling *f, size_t n_texts, tern_error *err) {
    for (size_t t = 0; t < n_texts; t++) {
        bool has_mask = false;
        for (size_t i = 0; i < f->encodings[t].n; i++) has_mask |= f->encodings[t].ids[i] == f->model->mask_token_id;
        if (!has_mask)
            return TERN_FAIL(err, TERN_E_ARGUMENT, "text %zu: has no mask token (%s) in its first %lld tokens", t,
                             tern_model_mask_token(f->model), (long long)f->model->max_seq_length);
    }
    return TERN_OK;
}

static tern_status run_all(filling *f, tern_encoding *encodings, const tern_text *texts, size_t n_texts, tern_error *err) {
    TERN_TRY(find_targets(f, err));
    f->top_k = f->options.top_k < f->n_targets ? f->options.top_k : f->n_targets;
    if (f->top_k == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "options: top_k is 0");
    TERN_TRY(tern__encode_texts(encodings, f->model, texts, NULL, n_texts, tern_encode_options_default(), err));
    TERN_TRY(check_masks(f, n_texts, err));
    f->candidates = tern__alloc(f->n_targets, sizeof *f->candidates);
    if (f->candidates == NULL) return TERN_FAIL_MEMORY(err, f->n_targets * sizeof *f->candidates);
    const tern_sequence_run run = {.model = f->model,
                                   .encodings = encodings,
                                   .n = n_texts,
                                   .outputs = {tern__program_find_output(f->model->folder.program, "picked_logits")},
                                   .n_outputs = 1,
                                   .pick_id = f->model->mask_token_id,
                                   .max_batch_tokens = f->options.max_batch_tokens,
                                   .progress = f->options.progress,
                                   .user = f->options.user,
                                   .n_truncated = f->options.n_truncated,
                                   .take = take_logits,
                                   .context = f};
    return tern__sequence_run(&run, err);
}

void tern_fills_free(tern_fills *fills) {
    if (fills == NULL) return;
    for (size_t i = 0; i < fills->n; i++) {
        free((char *)(uintptr_t)fills->items[i].token_str);
        free((char *)(uintptr_t)fills->items[i].sequence);
    }
    free(fills->items);
    *fills = (tern_fills){0};
}

static tern_status gather(tern_fills *out, tern_fills *found, size_t n_texts, tern_error *err) {
    size_t n = 0;
    for (size_t t = 0; t < n_texts; t++) n += found[t].n;
    out->items = tern__alloc(n, sizeof *out->items);
    if (out->items == NULL) return TERN_FAIL_MEMORY(err, n * sizeof *out->items);
    for (size_t t = 0; t < n_texts; t++) {
        if (found[t].n > 0) memcpy(out->items + out->n, found[t].items, found[t].n * sizeof *out->items);
        out->n += found[t].n;
        found[t].n = 0; /* their strings are out's now */
    }
    return TERN_OK;
}

static tern_status check_call(const tern_model *model, const tern_fill_mask_options *options, tern_error *err) {
    if (options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_fill_mask_options_default()", options->size,
                         sizeof *options);
    if (tern__program_find_output(model->folder.program, "picked_logits") < 0)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s has no head for masked language modeling", model->folder.architecture);
    if (model->tokenizer != NULL && model->mask_token_id < 0)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                         "the folder does not say what the mask token is (\"mask_token\" of tokenizer_config.json)");
    return TERN_OK;
}

tern_status tern_model_fill_mask(tern_fills *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                 const tern_fill_mask_options *options, tern_error *err) {
    *out = (tern_fills){0};
    const tern_fill_mask_options chosen = options != NULL ? *options : tern_fill_mask_options_default();
    TERN_TRY(check_call(model, &chosen, err));
    if (chosen.n_truncated != NULL) *chosen.n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    filling f = {.model = model,
                 .encodings = encodings,
                 .options = chosen,
                 .vocab_size = (size_t)model->folder.facts.vocab_size,
                 .found = tern__alloc_zero(n_texts, sizeof *f.found)};
    tern_status status = encodings != NULL && f.found != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    if (status == TERN_OK) status = run_all(&f, encodings, texts, n_texts, err);
    if (status == TERN_OK) status = gather(out, f.found, n_texts, err);
    for (size_t t = 0; t < n_texts && f.found != NULL; t++) tern_fills_free(&f.found[t]);
    free(f.found);
    free(f.candidates);
    free(f.targets);
    tern__encodings_free(encodings, n_texts);
    return status;
}
