/* question_answering.c - the part of a context that answers a question: by the probabilities of its first and its last token.
 * Source: Hugging Face transformers 4.57, the pipeline question-answering (version 5 has none).
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task/sequence_run.h"
#include "text/unicode/unicode.h"

enum { MAX_SEQ_LEN = 384, DOC_STRIDE = 128, MAX_ANSWER_LEN = 15 };

tern_question_answer_options tern_question_answer_options_default(void) {
    return (tern_question_answer_options){.size = sizeof(tern_question_answer_options),
                                          .top_k = 1,
                                          .doc_stride = TERN_DOC_STRIDE_DEFAULT,
                                          .max_answer_len = MAX_ANSWER_LEN,
                                          .align_to_words = true,
                                          .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

/* Tokens start ... end of a part. */
typedef struct candidate {
    uint32_t start, end;
    float score;
} candidate;

/* A question with a part of its context. */
typedef struct part {
    size_t question;
    candidate *best; /* [n_best], the best first */
    size_t n_best;
    float null_score; /* of the answer "" */
} part;

typedef struct answering {
    const tern_model *model;
    const tern_text *contexts;
    tern_question_answer_options options;
    tern_encoding *parts;  /* [n_parts], borrowed from those of the questions */
    part *found;           /* [n_parts] */
    candidate *candidates; /* found's */
    size_t n_parts, n_kept;
    float *starts, *ends; /* probabilities, of the present part */
    tern_answers answers;
    size_t capacity;
} answering;

/* ---- One part ---- */

/* May the token be in an answer, or stand for none? */
static bool is_asked(const answering *a, const tern_encoding *encoding, size_t token) {
    return encoding->sequence_ids[token] == 1 || (a->model->cls_token_id >= 0 && encoding->ids[token] == a->model->cls_token_id);
}

/* Softmax, in which the tokens that are not asked have no share. */
static void probabilities(float *out, const answering *a, const tern_encoding *encoding, const float *logits) {
    const float never = -10000.0f;
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < encoding->n; i++) {
        out[i] = is_asked(a, encoding, i) ? logits[i] : never;
        most = fmaxf(most, out[i]);
    }
    for (size_t i = 0; i < encoding->n; i++) {
        out[i] = (float)exp((double)out[i] - (double)most);
        sum += (double)out[i];
    }
    for (size_t i = 0; i < encoding->n; i++) out[i] = (float)((double)out[i] / sum);
}

/* Keep it if it is among the best; of equal ones those that came first. */
static void keep(part *into, size_t n_kept, candidate found) {
    if (into->n_best == n_kept && !(found.score > into->best[n_kept - 1].score)) return;
    size_t at = into->n_best < n_kept ? into->n_best++ : n_kept - 1;
    for (; at > 0 && found.score > into->best[at - 1].score; at--) into->best[at] = into->best[at - 1];
    into->best[at] = found;
}

static tern_status take_logits(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    (void)err;
    answering *a = context;
    const tern_encoding *encoding = &a->parts[sequence];
    part *into = &a->found[sequence];
    probabilities(a->starts, a, encoding, rows[0]);
    probabilities(a->ends, a, encoding, rows[1]);
    into->null_score = a->starts[0] * a->ends[0];
    for (size_t s = 1; s < encoding->n; s++) {
        if (!is_asked(a, encoding, s)) continue;
        for (size_t e = s; e < encoding->n && e - s < a->options.max_answer_len; e++) {
            const float score = a->starts[s] * a->ends[e];
            if (score > 0 && is_asked(a, encoding, e))
                keep(into, a->n_kept, (candidate){.start = (uint32_t)s, .end = (uint32_t)e, .score = score});
        }
    }
    return TERN_OK;
}

/* ---- From parts to answers ---- */

/* Code points of the context's word; false when the part has no token of it. */
static bool find_word(const tern_encoding *encoding, int32_t word, uint32_t *start, uint32_t *end) {
    bool is_there = false;
    for (size_t i = 0; i < encoding->n; i++) {
        if (encoding->sequence_ids[i] != 1 || encoding->word_ids[i] != word) continue;
        if (!is_there) *start = encoding->offsets[i][0];
        *end = encoding->offsets[i][1];
        is_there = true;
    }
    return is_there;
}

static void find_place(const answering *a, const tern_encoding *encoding, const candidate *it, uint32_t *start, uint32_t *end) {
    uint32_t unused;
    const int32_t first = encoding->word_ids[it->start], last = encoding->word_ids[it->end];
    if (a->options.align_to_words && first >= 0 && last >= 0 && find_word(encoding, first, start, &unused) &&
        find_word(encoding, last, &unused, end))
        return;
    *start = encoding->offsets[it->start][0];
    *end = encoding->offsets[it->end][1];
}

/* The next code points in lower case; 0 at the end. */
static size_t next_lower(uint32_t out[TERN_UNICODE_MAX_LOWER], const char **text) {
    size_t n_bytes;
    if (**text == '\0') return 0;
    const uint32_t code_point = tern__utf8_decode((const unsigned char *)*text, &n_bytes);
    *text += n_bytes;
    return tern__unicode_lower(out, code_point);
}

static bool is_same_but_for_case(const char *a, const char *b) {
    for (;;) {
        uint32_t x[TERN_UNICODE_MAX_LOWER], y[TERN_UNICODE_MAX_LOWER];
        const size_t n = next_lower(x, &a), m = next_lower(y, &b);
        if (n != m || memcmp(x, y, n * sizeof *x) != 0) return false;
        if (n == 0) return true;
    }
}

/* Takes the text over, also when it fails. */
static tern_status add_answer(answering *a, tern_answer answer, char *text, tern_error *err) {
    answer.answer = text;
    if (text == NULL || !tern__grow(&a->answers.items, &a->capacity, a->answers.n + 1, sizeof *a->answers.items)) {
        free(text);
        return TERN_FAIL_MEMORY(err, sizeof answer);
    }
    a->answers.items[a->answers.n++] = answer;
    return TERN_OK;
}

/* An answer of the question, whose first is answers[first]; one that is there already gains its score. */
static tern_status join_answer(answering *a, size_t first, size_t which, const candidate *it, tern_error *err) {
    tern_answer answer = {.question = a->found[which].question, .score = it->score};
    const tern_text context = a->contexts[answer.question];
    size_t start, end;
    find_place(a, &a->parts[which], it, &answer.start, &answer.end);
    tern__utf8_find(&start, &end, (const unsigned char *)context.data, context.bytes, answer.start, answer.end);
    char *text = strndup(context.data + start, end - start);
    for (size_t i = first; i < a->answers.n && text != NULL; i++) {
        if (!is_same_but_for_case(a->answers.items[i].answer, text)) continue;
        a->answers.items[i].score += it->score;
        free(text);
        return TERN_OK;
    }
    return add_answer(a, answer, text, err);
}

/* The best first, equal ones as they were, and no more than are wanted. */
static void sort_answers(answering *a, size_t first) {
    tern_answer *items = a->answers.items;
    for (size_t i = first + 1; i < a->answers.n; i++) {
        const tern_answer answer = items[i];
        size_t at = i;
        for (; at > first && items[at - 1].score < answer.score; at--) items[at] = items[at - 1];
        items[at] = answer;
    }
    while (a->answers.n - first > a->options.top_k) free((char *)(uintptr_t)items[--a->answers.n].answer);
}

/* Parts stand in the order of their questions; returns where those of the next question begin. */
static tern_status answer_question(answering *a, size_t *next, tern_error *err) {
    const size_t question = a->found[*next].question, first = a->answers.n;
    float null_score = INFINITY;
    for (; *next < a->n_parts && a->found[*next].question == question; ++*next) {
        const part *it = &a->found[*next];
        null_score = fminf(null_score, it->null_score);
        for (size_t i = 0; i < it->n_best; i++) TERN_TRY(join_answer(a, first, *next, &it->best[i], err));
    }
    if (a->options.handle_impossible_answer)
        TERN_TRY(add_answer(a, (tern_answer){.question = question, .score = null_score}, strdup(""), err));
    sort_answers(a, first);
    return TERN_OK;
}

/* ---- The call ---- */

static tern_status check_call(const tern_model *model, const tern_text *questions, const tern_text *contexts, size_t n,
                              const tern_question_answer_options *options, tern_error *err) {
    if (options->size != sizeof *options)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_question_answer_options_default()",
                         options->size, sizeof *options);
    if (options->top_k < 1 || options->max_answer_len < 1)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: %s is 0", options->top_k < 1 ? "top_k" : "max_answer_len");
    if (model->folder.facts.head != TERN_HEAD_QUESTION_ANSWERING)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s has no head for question answering", model->folder.architecture);
    if (options->max_seq_len > (size_t)model->max_seq_length)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: max_seq_len is %zu; the model takes %lld tokens", options->max_seq_len,
                         (long long)model->max_seq_length);
    for (size_t i = 0; i < n; i++)
        if (questions[i].bytes == 0 || contexts[i].bytes == 0)
            return TERN_FAIL(err, TERN_E_ARGUMENT, "text %zu: the %s is empty", i, questions[i].bytes == 0 ? "question" : "context");
    return TERN_OK;
}

static tern_encode_options encode_options(const answering *a) {
    const size_t most = (size_t)a->model->max_seq_length;
    tern_encode_options options = tern_encode_options_default();
    options.max_length = a->options.max_seq_len > 0 ? a->options.max_seq_len : most < MAX_SEQ_LEN ? most : MAX_SEQ_LEN;
    options.stride = a->options.doc_stride;
    if (options.stride == TERN_DOC_STRIDE_DEFAULT)
        options.stride = options.max_length / 2 < DOC_STRIDE ? options.max_length / 2 : DOC_STRIDE;
    options.truncation_strategy = TERN_ONLY_SECOND;
    options.with_overflowing = options.with_word_ids = true;
    return options;
}

/* The parts of all contexts, and room for what is found in them. */
static tern_status list_parts(answering *a, const tern_encoding *encodings, size_t n_questions, tern_error *err) {
    size_t n_candidates, longest = 0;
    a->n_parts = n_questions;
    for (size_t q = 0; q < n_questions; q++) a->n_parts += encodings[q].n_overflowing;
    a->n_kept = a->options.align_to_words ? a->options.top_k * 2 + 10 : a->options.top_k; /* words may join several */
    if (!tern__size_multiply(a->n_parts, a->n_kept, &n_candidates)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    a->parts = tern__alloc(a->n_parts, sizeof *a->parts);
    a->found = tern__alloc_zero(a->n_parts, sizeof *a->found);
    a->candidates = tern__alloc(n_candidates, sizeof *a->candidates);
    if (a->parts == NULL || a->found == NULL || a->candidates == NULL) return TERN_FAIL_MEMORY(err, n_candidates * sizeof *a->candidates);
    for (size_t q = 0, at = 0; q < n_questions; q++)
        for (size_t o = 0; o <= encodings[q].n_overflowing; o++, at++) {
            a->parts[at] = o == 0 ? encodings[q] : encodings[q].overflowing[o - 1];
            a->found[at] = (part){.question = q, .best = a->candidates + at * a->n_kept};
            if (a->parts[at].n > longest) longest = a->parts[at].n;
        }
    a->starts = tern__alloc(longest, sizeof *a->starts);
    a->ends = tern__alloc(longest, sizeof *a->ends);
    return a->starts != NULL && a->ends != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, longest * sizeof *a->starts);
}

static tern_status answer_all(answering *a, tern_model *model, tern_encoding *encodings, const tern_text *questions, size_t n_questions,
                              tern_error *err) {
    const tern_program *program = model->folder.program;
    TERN_TRY(tern__encode_texts(encodings, model, questions, a->contexts, n_questions, encode_options(a), err));
    TERN_TRY(list_parts(a, encodings, n_questions, err));
    const tern_sequence_run run = {
        .model = model,
        .encodings = a->parts,
        .n = a->n_parts,
        .outputs = {tern__program_find_output(program, "start_logits"), tern__program_find_output(program, "end_logits")},
        .n_outputs = 2,
        .max_batch_tokens = a->options.max_batch_tokens,
        .progress = a->options.progress,
        .user = a->options.user,
        .take = take_logits,
        .context = a};
    TERN_TRY(tern__sequence_run(&run, err));
    for (size_t next = 0; next < a->n_parts;) TERN_TRY(answer_question(a, &next, err));
    return TERN_OK;
}

void tern_answers_free(tern_answers *answers) {
    if (answers == NULL) return;
    for (size_t i = 0; i < answers->n; i++) free((char *)(uintptr_t)answers->items[i].answer);
    free(answers->items);
    *answers = (tern_answers){0};
}

tern_status tern_model_question_answer(tern_answers *out, tern_model *model, const tern_text *questions, const tern_text *contexts,
                                       size_t n_questions, const tern_question_answer_options *options, tern_error *err) {
    *out = (tern_answers){0};
    const tern_question_answer_options chosen = options != NULL ? *options : tern_question_answer_options_default();
    TERN_TRY(check_call(model, questions, contexts, n_questions, &chosen, err));
    if (n_questions == 0) return TERN_OK;
    answering a = {.model = model, .contexts = contexts, .options = chosen};
    tern_encoding *encodings = tern__alloc_zero(n_questions, sizeof *encodings);
    tern_status status = encodings != NULL ? answer_all(&a, model, encodings, questions, n_questions, err)
                                           : TERN_FAIL_MEMORY(err, n_questions * sizeof *encodings);
    if (status == TERN_OK) *out = a.answers;
    else tern_answers_free(&a.answers);
    free(a.parts);
    free(a.found);
    free(a.candidates);
    free(a.starts);
    free(a.ends);
    tern__encodings_free(encodings, n_questions);
    return status;
}
