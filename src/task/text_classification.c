/* text_classification.c - texts, or pairs of texts, become scores of labels; and zero-shot classification, which asks such a model about
 * labels that it was not trained on. Source: Hugging Face transformers, the pipelines text-classification and zero-shot-classification.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "task/sequence_run.h"

tern_classify_options tern_classify_options_default(void) {
    return (tern_classify_options){.size = sizeof(tern_classify_options), .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

/* ---- Logits to scores ---- */

static tern_function_to_apply default_function(const tern_model *model) {
    const char *problem_type = json_string_value(json_object_get(model->folder.config, "problem_type"));
    if (problem_type != NULL && strcmp(problem_type, "regression") == 0) return TERN_APPLY_NONE;
    if (problem_type != NULL && strcmp(problem_type, "multi_label_classification") == 0) return TERN_APPLY_SIGMOID;
    return model->folder.n_labels == 1 ? TERN_APPLY_SIGMOID : TERN_APPLY_SOFTMAX;
}

static void softmax(float *scores, size_t n) {
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) most = fmaxf(most, scores[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)scores[i] - (double)most);
    for (size_t i = 0; i < n; i++) scores[i] = (float)(exp((double)scores[i] - (double)most) / sum);
}

static void apply(tern_function_to_apply function, float *scores, size_t n) {
    if (function == TERN_APPLY_SOFTMAX) softmax(scores, n);
    for (size_t i = 0; i < n && function == TERN_APPLY_SIGMOID; i++) scores[i] = (float)(1 / (1 + exp(-(double)scores[i])));
}

/* ---- The run ---- */

typedef struct classification {
    float *scores; /* [n_texts, n_labels] */
    size_t n_labels;
    tern_function_to_apply function;
} classification;

static tern_status take_logits(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    (void)err;
    const classification *out = context;
    float *scores = out->scores + sequence * out->n_labels;
    memcpy(scores, rows[0], out->n_labels * sizeof *scores);
    apply(out->function, scores, out->n_labels);
    return TERN_OK;
}

static tern_status check_call(const tern_model *model, const tern_classify_options *options, tern_error *err) {
    if (options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_classify_options_default()", options->size,
                         sizeof *options);
    if ((unsigned)options->function_to_apply > TERN_APPLY_SOFTMAX)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: function_to_apply is %d, which is none", (int)options->function_to_apply);
    if (model->folder.facts.head != TERN_HEAD_SEQUENCE_CLASSIFICATION)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s has no head for sequence classification", model->folder.architecture);
    return TERN_OK;
}

tern_status tern_model_classify(tern_model *model, const tern_text *texts, const tern_text *pairs, size_t n_texts,
                                const tern_classify_options *options, float *scores, int32_t *n_tokens, tern_error *err) {
    const tern_classify_options chosen = options != NULL ? *options : tern_classify_options_default();
    TERN_TRY(check_call(model, &chosen, err));
    if (chosen.n_truncated != NULL) *chosen.n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    classification out = {.scores = scores, .n_labels = (size_t)model->folder.n_labels, .function = chosen.function_to_apply};
    if (out.function == TERN_APPLY_DEFAULT) out.function = default_function(model);
    tern_encode_options encode_options = tern_encode_options_default();
    encode_options.truncation_strategy = chosen.truncation_strategy;
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    if (encodings == NULL) return TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    const tern_sequence_run run = {.model = model,
                                   .encodings = encodings,
                                   .n = n_texts,
                                   .outputs = {tern__program_find_output(model->folder.program, "logits")},
                                   .n_outputs = 1,
                                   .max_batch_tokens = chosen.max_batch_tokens,
                                   .progress = chosen.progress,
                                   .user = chosen.user,
                                   .n_truncated = chosen.n_truncated,
                                   .take = take_logits,
                                   .context = &out};
    tern_status status = tern__encode_texts(encodings, model, texts, pairs, n_texts, encode_options, err);
    for (size_t t = 0; t < n_texts && n_tokens != NULL && status == TERN_OK; t++) n_tokens[t] = (int32_t)encodings[t].n;
    if (status == TERN_OK) status = tern__sequence_run(&run, err);
    tern__encodings_free(encodings, n_texts);
    return status;
}

/* ---- Zero-shot ---- */

/* Which label means entailment, and which contradiction. */
static void find_inference_labels(const tern_model *model, size_t *entailment, size_t *contradiction) {
    const size_t n = (size_t)model->folder.n_labels;
    *entailment = n - 1;
    for (size_t i = n; i-- > 0;)
        if (strncasecmp(model->folder.labels[i], "entail", strlen("entail")) == 0) *entailment = i;
    *contradiction = *entailment == 0 ? n - 1 : 0;
}

/* logits [n_labels, model's labels] of one text to its scores. */
static void score_text(const tern_model *model, const float *logits, size_t n_labels, bool is_multi_label, float *scores) {
    const size_t n = (size_t)model->folder.n_labels;
    size_t entailment, contradiction;
    find_inference_labels(model, &entailment, &contradiction);
    for (size_t l = 0; l < n_labels; l++) {
        float both[2] = {logits[l * n + contradiction], logits[l * n + entailment]};
        if (is_multi_label) softmax(both, 2);
        scores[l] = both[1];
    }
    if (!is_multi_label) softmax(scores, n_labels);
}

tern_status tern_model_zero_shot(tern_model *model, const tern_text *texts, size_t n_texts, const tern_text *hypotheses, size_t n_labels,
                                 bool is_multi_label, const tern_classify_options *options, float *scores, tern_error *err) {
    tern_classify_options chosen = options != NULL ? *options : tern_classify_options_default();
    TERN_TRY(check_call(model, &chosen, err));
    if (model->folder.n_labels < 2)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                         "zero-shot classification needs a model of natural language inference; this one has %lld label",
                         (long long)model->folder.n_labels);
    if (n_labels == 0) return TERN_FAIL(err, TERN_E_ARGUMENT, "no labels are given");
    if (chosen.n_truncated != NULL) *chosen.n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    chosen.function_to_apply = TERN_APPLY_NONE;
    chosen.truncation_strategy = TERN_ONLY_FIRST; /* never the hypothesis */
    const size_t n_classes = (size_t)model->folder.n_labels;
    size_t n_pairs, n_logits;
    if (!tern__size_multiply(n_texts, n_labels, &n_pairs) || !tern__size_multiply(n_pairs, n_classes, &n_logits))
        return TERN_FAIL_MEMORY(err, SIZE_MAX);
    tern_text *premises = tern__alloc(n_pairs, sizeof *premises), *pairs = tern__alloc(n_pairs, sizeof *pairs);
    float *logits = tern__alloc(n_logits, sizeof *logits);
    tern_status status =
        premises != NULL && pairs != NULL && logits != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, n_pairs * 2 * sizeof *pairs + n_logits * 4);
    for (size_t i = 0; i < n_pairs && status == TERN_OK; i++) {
        premises[i] = texts[i / n_labels];
        pairs[i] = hypotheses[i % n_labels];
    }
    if (status == TERN_OK) status = tern_model_classify(model, premises, pairs, n_pairs, &chosen, logits, NULL, err);
    for (size_t t = 0; t < n_texts && status == TERN_OK; t++)
        score_text(model, logits + t * n_labels * n_classes, n_labels, is_multi_label || n_labels == 1, scores + t * n_labels);
    free(premises);
    free(pairs);
    free(logits);
    return status;
}
