/* token_classification.c - labels of tokens become entities: token by token, or joined to words and to runs of one label.
 * Source: Hugging Face transformers, the pipeline token-classification.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task/sequence_run.h"
#include "text/tokenizer.h"
#include "text/unicode/unicode.h"

tern_token_classify_options tern_token_classify_options_default(void) {
    return (tern_token_classify_options){.size = sizeof(tern_token_classify_options), .max_batch_tokens = TERN_DEFAULT_BATCH_TOKENS};
}

/* ---- One text ---- */

/* A token, a word of several, or a run of words; the tokens that it stands for are first ... end - 1 of the kept ones. */
typedef struct piece {
    size_t first, end;
    size_t label;
    double score;
    bool is_continued; /* tokens: belongs to the word before it */
} piece;

typedef struct classification {
    const tern_model *model;
    const tern_text *texts;
    const tern_encoding *encodings;
    tern_token_classify_options options;
    size_t n_labels;
    tern_entities *found; /* [n_texts], each text's; put in order at the end */
    /* Of the present text. */
    size_t text;
    size_t *tokens; /* indices in the encoding of those that are not special */
    float *scores;  /* [tokens, n_labels] */
    piece *pieces;
    size_t n_tokens, n_pieces;
} classification;

static void softmax(float *out, const float *logits, size_t n) {
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) most = fmaxf(most, logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - (double)most);
    for (size_t i = 0; i < n; i++) out[i] = (float)(exp((double)logits[i] - (double)most) / sum);
}

static size_t best_of(const float *scores, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

/* Code points [start, end) of a text. */
static tern_text cut_text(tern_text text, uint32_t start, uint32_t end) {
    size_t first, last;
    tern__utf8_find(&first, &last, (const unsigned char *)text.data, text.bytes, start, end);
    return (tern_text){.data = text.data + first, .bytes = last - first};
}

static bool has_continuing_prefix(const tern_token_model *model) {
    return (model->kind == TERN_TOKEN_MODEL_WORDPIECE && model->wordpiece.prefix_bytes > 0) ||
           (model->kind == TERN_TOKEN_MODEL_BPE && model->bpe.prefix_bytes > 0);
}

/* Does the token go on with the word of the token before it? A model that marks continuations shows it by a token that is longer than its
 * text; of others, a token that does not begin at a space is taken for one. */
static bool is_continued(const classification *c, size_t token) {
    const tern_tokenizer *tokenizer = c->model->tokenizer;
    const tern_encoding *encoding = &c->encodings[c->text];
    const uint32_t start = encoding->offsets[token][0], end = encoding->offsets[token][1];
    const char *name = tern_tokenizer_id_to_token(tokenizer, encoding->ids[token]);
    if (encoding->ids[token] == c->model->unk_token_id) return false;
    if (has_continuing_prefix(&tokenizer->model))
        return tern__utf8_count((const unsigned char *)name, strlen(name)) != (size_t)(end - start);
    const tern_text around = cut_text(c->texts[c->text], start > 0 ? start - 1 : 0, start + 1);
    return start > 0 && memchr(around.data, ' ', around.bytes) == NULL;
}

static void make_tokens(classification *c, const float *logits) {
    const tern_encoding *encoding = &c->encodings[c->text];
    c->n_tokens = 0;
    for (size_t i = 0; i < encoding->n; i++) {
        if (encoding->special_tokens_mask[i]) continue;
        float *scores = c->scores + c->n_tokens * c->n_labels;
        softmax(scores, logits + i * c->n_labels, c->n_labels);
        const size_t label = best_of(scores, c->n_labels);
        c->pieces[c->n_tokens] = (piece){.first = c->n_tokens, .end = c->n_tokens + 1, .label = label, .score = (double)scores[label]};
        if (c->options.aggregation > TERN_AGGREGATE_SIMPLE) c->pieces[c->n_tokens].is_continued = is_continued(c, i);
        c->tokens[c->n_tokens++] = i;
    }
    c->n_pieces = c->n_tokens;
}

/* The label and score of a word, in scores[first ...] of its first token. */
static void judge_word(const classification *c, piece *word) {
    const float *scores = c->scores + word->first * c->n_labels;
    if (c->options.aggregation == TERN_AGGREGATE_AVERAGE) {
        word->score = -1;
        for (size_t l = 0; l < c->n_labels; l++) {
            double sum = 0;
            for (size_t t = word->first; t < word->end; t++) sum += (double)c->scores[t * c->n_labels + l];
            if (sum / (double)(word->end - word->first) > word->score) {
                word->score = sum / (double)(word->end - word->first);
                word->label = l;
            }
        }
        return;
    }
    for (size_t t = word->first + 1; t < word->end && c->options.aggregation == TERN_AGGREGATE_MAX; t++) {
        const float *other = c->scores + t * c->n_labels;
        if (other[best_of(other, c->n_labels)] > scores[best_of(scores, c->n_labels)]) scores = other;
    }
    word->label = best_of(scores, c->n_labels);
    word->score = (double)scores[word->label];
}

static void join_words(classification *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_pieces; i++) {
        if (n > 0 && c->pieces[i].is_continued) c->pieces[n - 1].end = c->pieces[i].end;
        else c->pieces[n++] = c->pieces[i];
    }
    c->n_pieces = n;
    for (size_t i = 0; i < n; i++) judge_word(c, &c->pieces[i]);
}

/* What follows "B-" or "I-"; *begins tells "B-". */
static const char *tag_of(const char *label, bool *begins) {
    *begins = strncmp(label, "B-", 2) == 0;
    return *begins || strncmp(label, "I-", 2) == 0 ? label + 2 : label;
}

/* ---- Entities ---- */

static bool is_ignored(const classification *c, const char *label) {
    if (c->options.ignore_labels == NULL) return strcmp(label, "O") == 0;
    for (size_t i = 0; i < c->options.n_ignore_labels; i++)
        if (strcmp(label, c->options.ignore_labels[i]) == 0) return true;
    return false;
}

/* The token as the vocabulary has it; an unknown one as it stands in the text. */
static tern_text token_text(const classification *c, size_t token) {
    const tern_encoding *encoding = &c->encodings[c->text];
    if (encoding->ids[token] == c->model->unk_token_id)
        return cut_text(c->texts[c->text], encoding->offsets[token][0], encoding->offsets[token][1]);
    const char *name = tern_tokenizer_id_to_token(c->model->tokenizer, encoding->ids[token]);
    return (tern_text){.data = name, .bytes = strlen(name)};
}

/* Tokens of pieces first ... end - 1 as a text: words by the decoder one by one, and those by it again, as the pipeline does it. */
static tern_status decode_words(const classification *c, size_t first, size_t end, char **out, size_t *n_bytes, tern_error *err) {
    const tern_decoder *decoder = &c->model->tokenizer->decoder;
    const size_t n = end - first;
    tern_text *words = tern__alloc_zero(n, sizeof *words);
    tern_text *tokens = tern__alloc(c->n_tokens, sizeof *tokens);
    tern_status status = words != NULL && tokens != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, (n + c->n_tokens) * sizeof *words);
    for (size_t w = 0; w < n && status == TERN_OK; w++) {
        const piece *word = &c->pieces[first + w];
        for (size_t t = word->first; t < word->end; t++) tokens[t - word->first] = token_text(c, c->tokens[t]);
        char *text = NULL;
        if (c->options.aggregation == TERN_AGGREGATE_SIMPLE) {
            words[w] = tokens[0];
            continue;
        }
        status = tern__decoder_join(&text, &words[w].bytes, decoder, tokens, word->end - word->first, err);
        words[w].data = text;
    }
    if (status == TERN_OK) status = tern__decoder_join(out, n_bytes, decoder, words, n, err);
    for (size_t w = 0; w < n && words != NULL && c->options.aggregation != TERN_AGGREGATE_SIMPLE; w++)
        free((char *)(uintptr_t)words[w].data);
    free(words);
    free(tokens);
    return status;
}

static tern_status add_entity(classification *c, tern_entity entity, tern_text word, tern_error *err) {
    tern_entities *found = &c->found[c->text];
    size_t capacity = found->n; /* it grows one by one: entities are few */
    if (!tern__grow(&found->items, &capacity, found->n + 1, sizeof *found->items)) return TERN_FAIL_MEMORY(err, sizeof entity);
    char *copy = tern__alloc(word.bytes + 1, 1);
    if (copy == NULL) return TERN_FAIL_MEMORY(err, word.bytes + 1);
    memcpy(copy, word.data, word.bytes);
    copy[word.bytes] = '\0';
    entity.word = copy;
    entity.text = c->text;
    found->items[found->n++] = entity;
    return TERN_OK;
}

static tern_entity entity_of(const classification *c, const piece *first, const piece *last, const char *label, double score) {
    const tern_encoding *encoding = &c->encodings[c->text];
    return (tern_entity){.label = label,
                         .score = (float)score,
                         .start = encoding->offsets[c->tokens[first->first]][0],
                         .end = encoding->offsets[c->tokens[last->end - 1]][1],
                         .index = -1};
}

static tern_status add_tokens(classification *c, tern_error *err) {
    for (size_t i = 0; i < c->n_pieces; i++) {
        const char *label = c->model->folder.labels[c->pieces[i].label];
        if (is_ignored(c, label)) continue;
        tern_entity entity = entity_of(c, &c->pieces[i], &c->pieces[i], label, c->pieces[i].score);
        entity.index = (int64_t)c->tokens[i];
        TERN_TRY(add_entity(c, entity, token_text(c, c->tokens[i]), err));
    }
    return TERN_OK;
}

static tern_status add_run(classification *c, size_t first, size_t end, tern_error *err) {
    const char *label = c->model->folder.labels[c->pieces[first].label], *dash = strchr(label, '-');
    if (dash != NULL) label = dash + 1;
    if (is_ignored(c, label)) return TERN_OK;
    double score = 0;
    for (size_t i = first; i < end; i++) score += c->pieces[i].score / (double)(end - first);
    char *word;
    size_t n_bytes;
    TERN_TRY(decode_words(c, first, end, &word, &n_bytes, err));
    const tern_status status =
        add_entity(c, entity_of(c, &c->pieces[first], &c->pieces[end - 1], label, score), (tern_text){.data = word, .bytes = n_bytes}, err);
    free(word);
    return status;
}

static tern_status add_runs(classification *c, tern_error *err) {
    size_t first = 0;
    for (size_t i = 1; i <= c->n_pieces; i++) {
        bool begins = false, unused;
        if (i < c->n_pieces &&
            strcmp(tag_of(c->model->folder.labels[c->pieces[i].label], &begins),
                   tag_of(c->model->folder.labels[c->pieces[i - 1].label], &unused)) == 0 &&
            !begins)
            continue;
        TERN_TRY(add_run(c, first, i, err));
        first = i;
    }
    return TERN_OK;
}

static tern_status take_logits(void *context, size_t sequence, const float *const *rows, tern_error *err) {
    classification *c = context;
    c->text = sequence;
    make_tokens(c, rows[0]);
    if (c->options.aggregation == TERN_AGGREGATE_NONE) return add_tokens(c, err);
    if (c->options.aggregation != TERN_AGGREGATE_SIMPLE) join_words(c);
    return add_runs(c, err);
}

/* ---- The call ---- */

void tern_entities_free(tern_entities *entities) {
    if (entities == NULL) return;
    for (size_t i = 0; i < entities->n; i++) free((char *)(uintptr_t)entities->items[i].word);
    free(entities->items);
    *entities = (tern_entities){0};
}

/* All texts' in one list. */
static tern_status gather(tern_entities *out, tern_entities *found, size_t n_texts, tern_error *err) {
    size_t n = 0;
    for (size_t t = 0; t < n_texts; t++) n += found[t].n;
    out->items = tern__alloc(n, sizeof *out->items);
    if (out->items == NULL) return TERN_FAIL_MEMORY(err, n * sizeof *out->items);
    for (size_t t = 0; t < n_texts; t++) {
        if (found[t].n > 0) memcpy(out->items + out->n, found[t].items, found[t].n * sizeof *out->items);
        out->n += found[t].n;
        found[t].n = 0; /* their words are out's now */
    }
    return TERN_OK;
}

static tern_status run_all(classification *c, tern_encoding *encodings, size_t n_texts, tern_error *err) {
    TERN_TRY(tern__encode_texts(encodings, c->model, c->texts, NULL, n_texts, tern_encode_options_default(), err));
    size_t longest = 1, n_scores;
    for (size_t t = 0; t < n_texts; t++)
        if (encodings[t].n > longest) longest = encodings[t].n;
    if (!tern__size_multiply(longest, c->n_labels, &n_scores)) return TERN_FAIL_MEMORY(err, SIZE_MAX);
    c->tokens = tern__alloc(longest, sizeof *c->tokens);
    c->pieces = tern__alloc(longest, sizeof *c->pieces);
    c->scores = tern__alloc(n_scores, sizeof *c->scores);
    if (c->tokens == NULL || c->pieces == NULL || c->scores == NULL) return TERN_FAIL_MEMORY(err, n_scores * sizeof *c->scores);
    const tern_sequence_run run = {.model = (tern_model *)(uintptr_t)c->model,
                                   .encodings = encodings,
                                   .n = n_texts,
                                   .outputs = {tern__program_find_output(c->model->folder.program, "logits")},
                                   .n_outputs = 1,
                                   .max_batch_tokens = c->options.max_batch_tokens,
                                   .progress = c->options.progress,
                                   .user = c->options.user,
                                   .n_truncated = c->options.n_truncated,
                                   .take = take_logits,
                                   .context = c};
    return tern__sequence_run(&run, err);
}

tern_status tern_model_token_classify(tern_entities *out, tern_model *model, const tern_text *texts, size_t n_texts,
                                      const tern_token_classify_options *options, tern_error *err) {
    *out = (tern_entities){0};
    const tern_token_classify_options chosen = options != NULL ? *options : tern_token_classify_options_default();
    if (chosen.size != sizeof chosen)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: size is %zu, not %zu; start from tern_token_classify_options_default()",
                         chosen.size, sizeof chosen);
    if ((unsigned)chosen.aggregation > TERN_AGGREGATE_MAX)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: aggregation is %d, which is none", (int)chosen.aggregation);
    if (model->folder.facts.head != TERN_HEAD_TOKEN_CLASSIFICATION)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s has no head for token classification", model->folder.architecture);
    if (chosen.n_truncated != NULL) *chosen.n_truncated = 0;
    if (n_texts == 0) return TERN_OK;
    tern_encoding *encodings = tern__alloc_zero(n_texts, sizeof *encodings);
    classification c = {.model = model,
                        .texts = texts,
                        .encodings = encodings,
                        .options = chosen,
                        .n_labels = (size_t)model->folder.n_labels,
                        .found = tern__alloc_zero(n_texts, sizeof *c.found)};
    tern_status status = encodings != NULL && c.found != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, n_texts * sizeof *encodings);
    if (status == TERN_OK) status = run_all(&c, encodings, n_texts, err);
    if (status == TERN_OK) status = gather(out, c.found, n_texts, err);
    for (size_t t = 0; t < n_texts && c.found != NULL; t++) tern_entities_free(&c.found[t]);
    free(c.found);
    free(c.tokens);
    free(c.pieces);
    free(c.scores);
    tern__encodings_free(encodings, n_texts);
    return status;
}
