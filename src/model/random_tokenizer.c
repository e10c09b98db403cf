/* random_tokenizer.c - a tokenizer for a random checkpoint, of the kind that the architecture's checkpoints have and of the config's
 * vocab_size. Its vocabulary is nobody's: special tokens, single characters, then all strings of 2, 3 ... letters in the order of the
 * alphabet, as beginnings of words and as continuations, until it is full. English takes about one token for three letters.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_builder.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

enum { PAD, UNK, CLS, SEP, MASK, N_SPECIAL, MAX_LETTERS = 7, MAX_PIECE = 16 };

typedef struct vocabulary_writer {
    const tern_arch_tokenizer *kind;
    tern_text_builder vocab;  /* inside of the JSON value: "piece": id, ... or ["piece", score], ... */
    tern_text_builder merges; /* of BPE: ["left", "right"], ... */
    const char *special[N_SPECIAL];
    int64_t special_id[N_SPECIAL];
    int64_t n, size; /* pieces so far, and in all */
} vocabulary_writer;

/* ---- Special tokens ---- */

static bool is_taken(const vocabulary_writer *w, int n_placed, const int *placed, int64_t id) {
    for (int i = 0; i < n_placed; i++)
        if (w->special_id[placed[i]] == id) return true;
    return false;
}

/* Each at the id that the config has for it, else at the lowest that is free. */
static void place_special(vocabulary_writer *w, const json_t *config) {
    const char *const keys[N_SPECIAL] = {"pad_token_id", NULL, w->kind->cls_key, w->kind->sep_key, NULL};
    int placed[N_SPECIAL], n_placed = 0;
    for (int i = 0; i < N_SPECIAL; i++) {
        const json_t *value = keys[i] != NULL ? json_object_get(config, keys[i]) : NULL;
        const int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        w->special_id[i] = -1;
        if (id < 0 || id >= w->size || is_taken(w, n_placed, placed, id)) continue;
        w->special_id[i] = id;
        placed[n_placed++] = i;
    }
    for (int i = 0; i < N_SPECIAL; i++) {
        if (w->special_id[i] >= 0) continue;
        int64_t id = 0;
        while (is_taken(w, n_placed, placed, id)) id++;
        w->special_id[i] = id;
        placed[n_placed++] = i;
    }
}

/* ---- Pieces ---- */

static void append_quoted(tern_text_builder *text, const char *piece) {
    tern__text_append(text, "\"", 1);
    for (; *piece != '\0'; piece++) {
        if (*piece == '"' || *piece == '\\') tern__text_append(text, "\\", 1);
        tern__text_append(text, piece, 1);
    }
    tern__text_append(text, "\"", 1);
}

/* Unigram: a longer piece costs less than two, and of equally many the first. */
static void append_piece(vocabulary_writer *w, const char *piece) {
    tern_text_builder *out = &w->vocab;
    const bool is_unigram = w->kind->vocabulary == TERN_VOCABULARY_UNIGRAM;
    tern__text_print(out, "%s%s", w->n > 0 ? "," : "", is_unigram ? "[" : "");
    append_quoted(out, piece);
    if (is_unigram) tern__text_print(out, ",-%lld.%06lld]", (long long)(10 + w->n / w->size), (long long)(w->n * 1000000 / w->size));
    else tern__text_print(out, ":%lld", (long long)w->n);
    w->n++;
}

/* The special tokens that come next. */
static void append_special(vocabulary_writer *w) {
    for (int i = 0; i < N_SPECIAL; i++)
        if (w->special_id[i] == w->n) {
            append_piece(w, w->special[i]);
            i = -1;
        }
}

static bool is_full(vocabulary_writer *w) {
    append_special(w);
    return w->n >= w->size;
}

/* What marks the beginning of a word, or a continuation. */
static const char *mark_of(const vocabulary_writer *w, bool is_word) {
    static const char *const marks[][2] = {[TERN_VOCABULARY_WORDPIECE] = {"##", ""},
                                           [TERN_VOCABULARY_BYTE_LEVEL_BPE] = {"", "\u0120"},
                                           [TERN_VOCABULARY_UNIGRAM] = {"", "\u2581"}};
    return marks[w->kind->vocabulary][is_word];
}

/* The i-th string of `letters` letters a ... z, marked. BPE makes it of all but its last letter, and that. */
static void append_string(vocabulary_writer *w, bool is_word, int letters, int64_t i) {
    char piece[MAX_PIECE];
    const int n_mark = snprintf(piece, sizeof piece, "%s", mark_of(w, is_word)), end = n_mark + letters;
    for (int at = end - 1; at >= n_mark; at--, i /= 26) piece[at] = (char)('a' + i % 26);
    piece[end] = '\0';
    append_piece(w, piece);
    if (w->kind->vocabulary != TERN_VOCABULARY_BYTE_LEVEL_BPE) return;
    const char last[2] = {piece[end - 1], '\0'};
    piece[end - 1] = '\0';
    tern__text_print(&w->merges, "%s[\"%s\",\"%s\"]", w->merges.n_bytes > 0 ? "," : "", piece, last);
}

static void append_characters(vocabulary_writer *w) {
    if (w->kind->vocabulary == TERN_VOCABULARY_UNIGRAM && !is_full(w)) append_piece(w, mark_of(w, true));
    for (char c = '!'; c <= '~' && !is_full(w); c++) {
        if (w->kind->lowercase && c >= 'A' && c <= 'Z') continue;
        for (int is_word = 1; is_word >= 0 && !is_full(w); is_word--) {
            char piece[MAX_PIECE];
            snprintf(piece, sizeof piece, "%s%c", mark_of(w, is_word), c);
            append_piece(w, piece);
        }
    }
}

static void append_bytes(vocabulary_writer *w) {
    for (int byte = 0; byte < 256 && !is_full(w); byte++) {
        unsigned char piece[5] = {0};
        tern__utf8_encode(piece, tern__byte_level_character((unsigned char)byte));
        append_piece(w, (const char *)piece);
    }
}

/* Merges apply in the order of the list: first words of up to three letters, so that words are cut from the left; then what is left of
 * them. */
static void append_byte_level_strings(vocabulary_writer *w) {
    static const struct {
        int letters;
        bool is_word;
    } order[] = {{1, true}, {2, true}, {3, true}, {2, false}, {3, false}, {4, true}, {4, false}, {5, true}, {5, false}};
    for (size_t o = 0; o < sizeof order / sizeof *order; o++) {
        int64_t count = 1;
        for (int l = 0; l < order[o].letters; l++) count *= 26;
        for (int64_t i = 0; i < count && !is_full(w); i++) append_string(w, order[o].is_word, order[o].letters, i);
    }
}

static void append_strings(vocabulary_writer *w) {
    int64_t count = 26 * 26;
    for (int letters = 2; letters <= MAX_LETTERS && !is_full(w); letters++, count *= 26)
        for (int64_t i = 0; i < 2 * count && !is_full(w); i++) append_string(w, i % 2 == 0, letters, i / 2);
}

static void append_vocabulary(vocabulary_writer *w) {
    if (w->kind->vocabulary == TERN_VOCABULARY_BYTE_LEVEL_BPE) {
        append_bytes(w);
        append_byte_level_strings(w);
    } else {
        append_characters(w);
        append_strings(w);
    }
}

/* ---- tokenizer.json ---- */

static void append_added_tokens(tern_text_builder *out, const vocabulary_writer *w) {
    tern__text_print(out, "  \"added_tokens\": [");
    int n = 0;
    for (int64_t id = 0; id < w->size && n < N_SPECIAL; id++)
        for (int i = 0; i < N_SPECIAL; i++)
            if (w->special_id[i] == id)
                tern__text_print(out,
                                 "%s\n    {\"id\": %lld, \"content\": \"%s\", \"single_word\": false, \"lstrip\": %s, \"rstrip\": false, "
                                 "\"normalized\": false, \"special\": true}",
                                 n++ > 0 ? "," : "", (long long)id, w->special[i],
                                 i == MASK && w->kind->vocabulary != TERN_VOCABULARY_WORDPIECE ? "true" : "false");
    tern__text_print(out, "\n  ],\n");
}

static const char *normalizer_of(const tern_arch_tokenizer *kind) {
    switch (kind->vocabulary) {
    case TERN_VOCABULARY_WORDPIECE:
        return kind->lowercase ? "{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, "
                                 "\"strip_accents\": null, \"lowercase\": true}"
                               : "{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, "
                                 "\"strip_accents\": null, \"lowercase\": false}";
    case TERN_VOCABULARY_UNIGRAM:
        return kind->lowercase ? "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}, {\"type\": \"Lowercase\"}]}"
                               : "{\"type\": \"NFKC\"}";
    default:
        return "null";
    }
}

static void append_template(tern_text_builder *out, const vocabulary_writer *w, bool has_types) {
    const char *cls = w->kind->cls, *sep = w->kind->sep;
    const int b = has_types ? 1 : 0;
#define SPECIAL  "{\"SpecialToken\": {\"id\": \"%s\", \"type_id\": %d}}"
#define SEQUENCE "{\"Sequence\": {\"id\": \"%s\", \"type_id\": %d}}"
    tern__text_print(
        out, "  \"post_processor\": {\"type\": \"TemplateProcessing\",\n    \"single\": [" SPECIAL ", " SEQUENCE ", " SPECIAL "],\n", cls,
        0, "A", 0, sep, 0);
    tern__text_print(out, "    \"pair\": [" SPECIAL ", " SEQUENCE, cls, 0, "A", 0);
    for (int i = 0; i < w->kind->n_between; i++) tern__text_print(out, ", " SPECIAL, sep, i == 0 ? 0 : b);
    tern__text_print(out, ", " SEQUENCE ", " SPECIAL "],\n    \"special_tokens\": {", "B", b, sep, b);
#undef SPECIAL
#undef SEQUENCE
    tern__text_print(out, "\"%s\": {\"id\": \"%s\", \"ids\": [%lld], \"tokens\": [\"%s\"]}, ", cls, cls, (long long)w->special_id[CLS],
                     cls);
    tern__text_print(out, "\"%s\": {\"id\": \"%s\", \"ids\": [%lld], \"tokens\": [\"%s\"]}}},\n", sep, sep, (long long)w->special_id[SEP],
                     sep);
}

/* Pre-tokenizer, decoder and the beginning of the model, by kind of vocabulary. */
static const struct {
    const char *pre_tokenizer, *decoder, *model;
} stages[] = {
    [TERN_VOCABULARY_WORDPIECE] = {"{\"type\": \"BertPreTokenizer\"}", "{\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true}",
                                   "{\"type\": \"WordPiece\", \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100"},
    [TERN_VOCABULARY_BYTE_LEVEL_BPE] =
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}",
         "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}",
         "{\"type\": \"BPE\", \"dropout\": null, \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
         "\"byte_fallback\": false"},
    [TERN_VOCABULARY_UNIGRAM] = {"{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"always\", \"split\": true}",
                                 "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\", \"prepend_scheme\": \"always\", \"split\": true}",
                                 "{\"type\": \"Unigram\", \"byte_fallback\": false"},
};

static void append_model(tern_text_builder *out, vocabulary_writer *w) {
    const tern_vocabulary_kind kind = w->kind->vocabulary;
    tern__text_print(out, "  \"model\": %s", stages[kind].model);
    if (kind == TERN_VOCABULARY_UNIGRAM) tern__text_print(out, ", \"unk_id\": %lld", (long long)w->special_id[UNK]);
    else if (kind == TERN_VOCABULARY_WORDPIECE) tern__text_print(out, ", \"unk_token\": \"%s\"", w->kind->unk);
    else tern__text_print(out, ", \"unk_token\": null");
    tern__text_print(out, ",\n    \"vocab\": %c", kind == TERN_VOCABULARY_UNIGRAM ? '[' : '{');
    tern__text_append(out, w->vocab.data, w->vocab.n_bytes);
    tern__text_print(out, "%c", kind == TERN_VOCABULARY_UNIGRAM ? ']' : '}');
    if (kind == TERN_VOCABULARY_BYTE_LEVEL_BPE) {
        tern__text_print(out, ",\n    \"merges\": [");
        if (w->merges.n_bytes > 0) tern__text_append(out, w->merges.data, w->merges.n_bytes);
        tern__text_print(out, "]");
    }
    tern__text_print(out, "}\n}\n");
}

char *tern__random_tokenizer(const tern_arch_tokenizer *kind, const json_t *config, int64_t vocab_size, bool has_types) {
    vocabulary_writer w = {.kind = kind, .size = vocab_size, .special = {kind->pad, kind->unk, kind->cls, kind->sep, kind->mask}};
    place_special(&w, config);
    append_vocabulary(&w);
    tern_text_builder out = {.has_failed = w.vocab.has_failed || w.merges.has_failed};
    if (!out.has_failed) {
        tern__text_print(&out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
        append_added_tokens(&out, &w);
        tern__text_print(&out, "  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n", normalizer_of(kind),
                         stages[kind->vocabulary].pre_tokenizer);
        append_template(&out, &w, has_types);
        tern__text_print(&out, "  \"decoder\": %s,\n", stages[kind->vocabulary].decoder);
        append_model(&out, &w);
    }
    free(w.vocab.data);
    free(w.merges.data);
    return tern__text_take(&out);
}

char *tern__random_tokenizer_config(const tern_arch_tokenizer *kind, int64_t max_tokens, bool has_types) {
    tern_text_builder out = {0};
    tern__text_print(
        &out,
        "{\n  \"cls_token\": \"%s\",\n  \"mask_token\": \"%s\",\n  \"model_input_names\": [\"input_ids\", %s\"attention_mask\"],"
        "\n  \"model_max_length\": %lld,\n  \"pad_token\": \"%s\",\n  \"sep_token\": \"%s\",\n"
        "  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"unk_token\": \"%s\"\n}\n",
        kind->cls, kind->mask, has_types ? "\"token_type_ids\", " : "", (long long)max_tokens, kind->pad, kind->sep, kind->unk);
    return tern__text_take(&out);
}
