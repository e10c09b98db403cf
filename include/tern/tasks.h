/* tern/tasks.h - texts in; labels, entities, answers and fills out, as Hugging Face's pipelines give them.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TASKS_H
#define TERN_TASKS_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Text classification: a score for each label --------------------------------------------------------------------------------- */

typedef enum tern_function_to_apply {
    TERN_APPLY_DEFAULT, /* by config.json's problem_type: none for regression, sigmoid for several labels at once or a single label, else
                         * softmax */
    TERN_APPLY_NONE,
    TERN_APPLY_SIGMOID,
    TERN_APPLY_SOFTMAX
} tern_function_to_apply;

typedef struct tern_classify_options {
    size_t size;                             /* sizeof(tern_classify_options); set by tern_classify_options_default */
    tern_function_to_apply function_to_apply;
    tern_truncation_strategy truncation_strategy; /* of a pair that is longer than max_seq_length */
    size_t max_batch_tokens;                 /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;                     /* set on success: how many texts or pairs were cut; NULL (default): not wanted */
} tern_classify_options;

TERN_API tern_classify_options tern_classify_options_default(void);

/* tern_model_classify - scores of every label for each text, or pair of texts, as Hugging Face's text-classification pipeline computes
 * them. Texts are cut to max_seq_length tokens.
 * pairs     NULL, or [n_texts]; one whose data is NULL leaves its text single, as the pipeline does with one that is empty
 * scores    [n_texts, n_labels], in the order of the texts and of the labels
 * n_tokens  [n_texts], ids of each text (with its pair) after truncation; NULL: not wanted
 * errors    TERN_E_UNSUPPORTED  the model has no head for sequence classification     others as tern_model_embed
 * matches   transformers.pipeline("text-classification", top_k=None), before it sorts */
TERN_API tern_status tern_model_classify(tern_model *model, const tern_text *texts, const tern_text *pairs, size_t n_texts,
                                         const tern_classify_options *options, float *scores, int32_t *n_tokens, tern_error *err);

/* tern_model_rerank - how well each document answers the query, by a cross-encoder: a model with a head for sequence classification that
 * has one label. The query, behind the folder's default prompt if it has one, is the first text of each pair and the document the second.
 * scores   [n_documents], in the order of the documents
 * options  NULL for the defaults; of function_to_apply the default here is the folder's "activation_fn", and sigmoid where it names none
 * errors   TERN_E_UNSUPPORTED  the model is no cross-encoder; its activation_fn is neither Sigmoid nor Identity
 *          others as tern_model_classify
 * matches  sentence_transformers.CrossEncoder.predict */
TERN_API tern_status tern_model_rerank(tern_model *model, tern_text query, const tern_text *documents, size_t n_documents,
                                       const tern_classify_options *options, float *scores, tern_error *err);

/* tern_model_zero_shot - how well each of some labels fits each text: the model, made for natural language inference, is asked whether the
 * text entails the label's hypothesis.
 * hypotheses  [n_labels], such as "This example is about politics."
 * is_multi_label  false: scores of a text sum to 1 (softmax of the entailments); true, or with a single label: each by itself (softmax
 *             of entailment and contradiction)
 * scores      [n_texts, n_labels]
 * options     NULL for the defaults; function_to_apply and truncation_strategy are not used: only the text is cut
 * errors      TERN_E_UNSUPPORTED  the model has no head for sequence classification of at least two labels     others as tern_model_embed
 * matches     transformers.pipeline("zero-shot-classification"), before it sorts: the label whose name begins with "entail" is the
 *             entailment, else the last one; the contradiction is the first one, or the last when the first is the entailment */
TERN_API tern_status tern_model_zero_shot(tern_model *model, const tern_text *texts, size_t n_texts, const tern_text *hypotheses,
                                          size_t n_labels, bool is_multi_label, const tern_classify_options *options, float *scores,
                                          tern_error *err);

/* ---- Token classification: labels of tokens, words, or runs of words -------------------------------------------------------------- */

typedef enum tern_aggregation_strategy {
    TERN_AGGREGATE_NONE,    /* every token by itself */
    TERN_AGGREGATE_SIMPLE,  /* neighbours of one label become one entity; "B-" begins a new one */
    TERN_AGGREGATE_FIRST,   /* as SIMPLE, of whole words: a word has the label of its first token, */
    TERN_AGGREGATE_AVERAGE, /* the best label of its tokens' average, */
    TERN_AGGREGATE_MAX      /* or the label of its surest token */
} tern_aggregation_strategy;

typedef struct tern_token_classify_options {
    size_t size;                           /* sizeof(tern_token_classify_options); set by tern_token_classify_options_default */
    tern_aggregation_strategy aggregation; /* default TERN_AGGREGATE_NONE */
    const char *const *ignore_labels;      /* n_ignore_labels names that are left out; NULL (default): "O" */
    size_t n_ignore_labels;
    size_t max_batch_tokens;               /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;                   /* set on success: how many texts were cut; NULL (default): not wanted */
} tern_token_classify_options;

TERN_API tern_token_classify_options tern_token_classify_options_default(void);

typedef struct tern_entity {
    size_t text;        /* index of its text */
    const char *label;  /* "B-PER"; of an aggregated entity "PER". Owned by the model */
    float score;        /* softmax of the token; the mean where there are several */
    const char *word;   /* the token, or the tokens joined by the decoder. Owned by the entities */
    uint32_t start, end; /* code points of the text */
    int64_t index;      /* of the token in its text's encoding; -1 where aggregated */
} tern_entity;

/* In the order of the texts, and in a text from left to right. Freed with tern_entities_free. */
typedef struct tern_entities {
    tern_entity *items;
    size_t n;
    void *storage; /* private */
} tern_entities;

/* tern_model_token_classify - entities of each text as Hugging Face's token-classification pipeline finds them. Texts are cut to
 * max_seq_length tokens.
 * errors   TERN_E_UNSUPPORTED  the model has no head for token classification     others as tern_model_embed
 * matches  transformers.pipeline("token-classification") */
TERN_API tern_status tern_model_token_classify(tern_entities *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                               const tern_token_classify_options *options, tern_error *err);
TERN_API void tern_entities_free(tern_entities *entities);

/* ---- Question answering: the part of a text that answers a question ---------------------------------------------------------------- */

#define TERN_DOC_STRIDE_DEFAULT SIZE_MAX

typedef struct tern_question_answer_options {
    size_t size;                   /* sizeof(tern_question_answer_options); set by tern_question_answer_options_default */
    size_t top_k;                  /* answers of each question at most; default 1 */
    size_t max_seq_len;            /* ids of the question and a part of its context; 0 (default): 384, or max_seq_length if that is less */
    size_t doc_stride;             /* tokens that two parts of a longer context share; TERN_DOC_STRIDE_DEFAULT (default): 128, or half of
                                      max_seq_len if that is less */
    size_t max_answer_len;         /* tokens of an answer at most; default 15 */
    bool handle_impossible_answer; /* also the answer "", whose score is what the model gives its first token; default false */
    bool align_to_words;           /* answers are whole words; default true */
    size_t max_batch_tokens;       /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total); /* parts of contexts */
    void *user;
} tern_question_answer_options;

TERN_API tern_question_answer_options tern_question_answer_options_default(void);

typedef struct tern_answer {
    size_t question;     /* index of its question */
    float score;         /* softmax of the starts times softmax of the ends, over the part of the context; summed over answers that read
                            the same but for case */
    uint32_t start, end; /* code points of the context */
    const char *answer;  /* that part of the context. Owned by the answers */
} tern_answer;

/* In the order of the questions, the best answer first. Freed with tern_answers_free. */
typedef struct tern_answers {
    tern_answer *items;
    size_t n;
} tern_answers;

/* tern_model_question_answer - extracts the answer to questions[i] from contexts[i], as Hugging Face's question-answering pipeline does it.
 * A context that is longer than a run may be is asked part by part. There are fewer than top_k answers when the context has no more.
 * errors   TERN_E_ARGUMENT     a question or a context is empty; a question leaves no room for its context
 *          TERN_E_UNSUPPORTED  the model has no head for question answering     others as tern_model_embed
 * matches  pipeline("question-answering") of transformers 4.57; version 5 has none. Spans of no probability are no answers here */
TERN_API tern_status tern_model_question_answer(tern_answers *out, tern_model *model, const tern_text *questions, const tern_text *contexts,
                                                size_t n_questions, const tern_question_answer_options *options, tern_error *err);
TERN_API void tern_answers_free(tern_answers *answers);

/* ---- Fill-mask: what stands under a mask ------------------------------------------------------------------------------------------ */

typedef struct tern_fill_mask_options {
    size_t size;                 /* sizeof(tern_fill_mask_options); set by tern_fill_mask_options_default */
    size_t top_k;                /* fills of each mask; default 5 */
    const char *const *targets;  /* only these n_targets tokens; a text that is no token stands for its first; NULL (default): all */
    size_t n_targets;
    size_t max_batch_tokens;     /* as in tern_embed_options, like the next two */
    bool (*progress)(void *user, size_t done, size_t total);
    void *user;
    size_t *n_truncated;         /* set on success: how many texts were cut; NULL (default): not wanted */
} tern_fill_mask_options;

TERN_API tern_fill_mask_options tern_fill_mask_options_default(void);

typedef struct tern_fill {
    size_t text;           /* index of its text */
    size_t mask;           /* number of the mask in the text, from 0 */
    int32_t token;
    float score;           /* softmax over the vocabulary */
    const char *token_str; /* the token, decoded. Owned by the fills, like the next */
    const char *sequence;  /* the text with the token in place of this mask, decoded; special tokens are left out unless the text has
                              several masks */
} tern_fill;

/* In the order of the texts and masks, the best first. Freed with tern_fills_free. */
typedef struct tern_fills {
    tern_fill *items;
    size_t n;
} tern_fills;

/* tern_model_fill_mask - tokens for each mask token of each text, as Hugging Face's fill-mask pipeline gives them. Texts are cut to
 * max_seq_length tokens.
 * errors   TERN_E_ARGUMENT     a text without a mask token; a target of which the tokenizer makes nothing
 *          TERN_E_UNSUPPORTED  the model has no head for masked language modeling, or the folder does not say what the mask token is
 *          others as tern_model_embed
 * matches  transformers.pipeline("fill-mask") */
TERN_API tern_status tern_model_fill_mask(tern_fills *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                          const tern_fill_mask_options *options, tern_error *err);
TERN_API void tern_fills_free(tern_fills *fills);
/* The token that stands for what is to be filled in, such as "[MASK]"; NULL when it is not known. Owned by the model. */
TERN_API const char *tern_model_mask_token(const tern_model *model);

#ifdef __cplusplus
}
#endif
#endif
