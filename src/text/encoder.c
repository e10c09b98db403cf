/* encoder.c - a text goes through the stages: added tokens, normalizer, added tokens of normalized text, pre-tokenizer, model; then cutting
 * and the post-processor.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/encoder.h"

#include "text/encoding.h"
#include "text/truncation.h"
#include "text/unicode/unicode.h"

tern_encode_options tern_encode_options_default(void) {
    return (tern_encode_options){.size = sizeof(tern_encode_options), .add_special_tokens = true};
}

tern_status tern__encoder_start(tern_encoder *encoder, const tern_tokenizer *tokenizer, const tern_encode_options *options,
                                tern_error *err) {
    *encoder = (tern_encoder){.tokenizer = tokenizer, .options = options ? *options : tern_encode_options_default()};
    if ((unsigned)encoder->options.truncation_strategy > TERN_ONLY_SECOND)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "truncation_strategy is none of tern_truncation_strategy");
    if ((unsigned)encoder->options.truncation_direction > TERN_CUT_LEFT)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "truncation_direction is none of tern_truncation_direction");
    encoder->with_texts = encoder->options.with_tokens || tokenizer->post_processor.trims_offsets;
    return TERN_OK;
}

void tern__encoder_free(tern_encoder *encoder) {
    tern__normalized_free(&encoder->normalized);
    tern__words_free(&encoder->words);
    tern__model_scratch_free(&encoder->model_scratch);
    for (size_t i = 0; i < 2; i++) tern__token_list_free(&encoder->lists[i]);
}

static tern_status push_added_token(tern_encoder *encoder, tern_token_list *list, const tern_added_token *token, const unsigned char *text,
                                    size_t n_bytes, uint32_t start, uint32_t end, tern_error *err) {
    if (!tern__token_list_reserve(list, 1)) return TERN_FAIL_MEMORY(err, sizeof *list->offsets);
    tern__token_list_push(list, token->id, start, end);
    if (encoder->with_texts && !tern__token_list_set_text(list, text, n_bytes)) return TERN_FAIL_MEMORY(err, n_bytes);
    if (encoder->options.with_word_ids && !tern__token_list_set_words(list, list->n - 1, NULL, encoder->n_words))
        return TERN_FAIL_MEMORY(err, sizeof *list->word_ids);
    encoder->n_words++;
    return TERN_OK;
}

/* Offsets of the tokens from n_before on: bytes of `text` become code points of the whole text. */
static void find_origins(tern_token_list *list, size_t n_before, const tern_normalized *text) {
    if (!text->origins) {
        for (size_t i = n_before; i < list->n; i++) {
            list->offsets[i][0] += text->first;
            list->offsets[i][1] += text->first;
        }
        return;
    }
    for (size_t i = n_before; i < list->n; i++) {
        uint32_t *offsets = list->offsets[i];
        uint32_t last = text->origins[offsets[1] - 1];
        offsets[0] = tern__origin_start(text->origins[offsets[0]]);
        offsets[1] = tern__origin_end(last);
    }
}

/* Words and tokens of bytes [start, end) of the normalized piece. */
static tern_status encode_words(tern_encoder *encoder, tern_token_list *list, size_t start, size_t end, tern_error *err) {
    const tern_tokenizer *tokenizer = encoder->tokenizer;
    tern_words *words = &encoder->words;
    TERN_TRY(tern__pre_tokenize(words, &tokenizer->pre_tokenizer, &encoder->normalized, start, end, err));
    size_t n_before = list->n;
    TERN_TRY(tern__token_model_tokenize(&tokenizer->model, &encoder->model_scratch, list, words->text->bytes, &words->spans,
                                        encoder->with_texts, err));
    if (encoder->options.with_word_ids && !tern__token_list_set_words(list, n_before, &words->spans, encoder->n_words))
        return TERN_FAIL_MEMORY(err, list->n * sizeof *list->word_ids);
    encoder->n_words += words->spans.n;
    find_origins(list, n_before, words->text);
    return TERN_OK;
}

/* A piece of the text between added tokens, which starts at code point `first`. */
static tern_status encode_piece(tern_encoder *encoder, tern_token_list *list, const unsigned char *text, size_t n_bytes, uint32_t first,
                                tern_error *err) {
    tern_normalized *normalized = &encoder->normalized;
    TERN_TRY(tern__normalizer_run(normalized, &encoder->tokenizer->normalizer, text, n_bytes, first, err));
    tern_added_split split = {
        .matcher = &encoder->tokenizer->added_tokens.normalized, .text = normalized->bytes, .n_bytes = normalized->n_bytes};
    for (tern_added_piece piece; tern__added_split_next(&split, &piece);) {
        if (piece.token) {
            TERN_TRY(push_added_token(encoder, list, piece.token, normalized->bytes + piece.start, piece.end - piece.start,
                                      tern__origin_start(tern__normalized_origin(normalized, piece.start)),
                                      tern__origin_end(tern__normalized_origin(normalized, piece.end - 1)), err));
        } else {
            TERN_TRY(encode_words(encoder, list, piece.start, piece.end, err));
        }
    }
    return TERN_OK;
}

/* A place in the text that is known in bytes and in code points. */
typedef struct tern_text_place {
    const unsigned char *text;
    size_t byte;
    size_t code_point;
} tern_text_place;

static uint32_t move_place(tern_text_place *place, size_t byte) {
    if (byte >= place->byte) place->code_point += tern__utf8_count(place->text + place->byte, byte - place->byte);
    else place->code_point -= tern__utf8_count(place->text + byte, place->byte - byte);
    place->byte = byte;
    return (uint32_t)place->code_point;
}

static tern_status encode_text(tern_encoder *encoder, tern_token_list *list, tern_text whole, tern_error *err) {
    const unsigned char *text = (const unsigned char *)whole.data;
    tern_added_split split = {.matcher = &encoder->tokenizer->added_tokens.raw, .text = text, .n_bytes = whole.bytes};
    tern_text_place place = {.text = text};
    tern__token_list_clear(list);
    encoder->n_words = 0;
    for (tern_added_piece piece; tern__added_split_next(&split, &piece);) {
        uint32_t start = move_place(&place, piece.start);
        if (piece.token) {
            TERN_TRY(push_added_token(encoder, list, piece.token, text + piece.start, piece.end - piece.start, start,
                                      move_place(&place, piece.end), err));
        } else {
            TERN_TRY(encode_piece(encoder, list, text + piece.start, piece.end - piece.start, start, err));
        }
    }
    return TERN_OK;
}

static tern_status check_text(tern_text text, const char *what, tern_error *err) {
    if (text.bytes > TERN_TEXT_MAX_BYTES)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "%s has %zu bytes; at most %zu are taken", what, text.bytes, TERN_TEXT_MAX_BYTES);
    size_t n_valid = tern__utf8_valid_prefix((const unsigned char *)text.data, text.bytes);
    if (n_valid == text.bytes) return TERN_OK;
    return TERN_FAIL(err, TERN_E_ARGUMENT, "%s is not UTF-8: invalid byte 0x%02X at byte %zu", what, (unsigned char)text.data[n_valid],
                     n_valid);
}

tern_status tern__encoder_encode(tern_encoding *out, tern_encoder *encoder, tern_text text, const tern_text *pair, tern_error *err) {
    const tern_encode_options *options = &encoder->options;
    const tern_post_processor *processor = &encoder->tokenizer->post_processor;
    bool has_pair = pair != NULL;
    *out = (tern_encoding){0};
    TERN_TRY(check_text(text, "the text", err));
    if (pair) TERN_TRY(check_text(*pair, "the pair", err));
    const tern_template *template = &processor->templates[has_pair][options->add_special_tokens];
    if (template->is_broken)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "post_processor Sequence: TemplateProcessing has no rule for what comes before it makes");
    size_t n_added = options->add_special_tokens ? processor->n_added[has_pair] : 0;
    if (options->max_length != 0 && options->max_length < n_added)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "max_length is %zu, less than the %zu special tokens", options->max_length, n_added);
    TERN_TRY(encode_text(encoder, &encoder->lists[0], text, err));
    if (pair) TERN_TRY(encode_text(encoder, &encoder->lists[1], *pair, err));
    size_t n_tokens[2] = {encoder->lists[0].n, has_pair ? encoder->lists[1].n : 0};
    tern_cut cuts[2] = {tern__cut_none(n_tokens[0]), tern__cut_none(n_tokens[1])};
    if (options->max_length != 0) TERN_TRY(tern__truncate(cuts, n_tokens, has_pair, options->max_length - n_added, options, err));
    tern_encoding_parts parts = {.tokenizer = encoder->tokenizer,
                                 .template = template,
                                 .lists = encoder->lists,
                                 .cuts = cuts,
                                 .with_tokens = options->with_tokens,
                                 .with_word_ids = options->with_word_ids,
                                 .with_overflowing = options->with_overflowing};
    return tern__encoding_build(out, &parts, err);
}

tern_status tern_tokenizer_encode(tern_encoding *out, const tern_tokenizer *tokenizer, tern_text text, const tern_text *pair,
                                  const tern_encode_options *options, tern_error *err) {
    *out = (tern_encoding){0};
    tern_encoder encoder;
    TERN_TRY(tern__encoder_start(&encoder, tokenizer, options, err));
    tern_status status = tern__encoder_encode(out, &encoder, text, pair, err);
    tern__encoder_free(&encoder);
    return status;
}
