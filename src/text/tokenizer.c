/* tokenizer.c - the public calls of a tokenizer: a text goes through the stages, ids go back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/unicode/unicode.h"

void tern_tokenizer_free(tern_tokenizer *tokenizer) {
    if (!tokenizer) return;
    tern__added_tokens_free(&tokenizer->added_tokens);
    tern__normalizer_free(&tokenizer->normalizer);
    tern__pre_tokenizer_free(&tokenizer->pre_tokenizer);
    tern__token_model_free(&tokenizer->model);
    tern__post_processor_free(&tokenizer->post_processor);
    tern__decoder_free(&tokenizer->decoder);
    free(tokenizer);
}

tern_status tern_tokenizer_load(tern_tokenizer **out, const char *folder, tern_error *err) {
    *out = NULL;
    if (!tern__folder_exists(folder)) return TERN_FAIL(err, TERN_E_IO, "%s: there is no such folder", folder);
    char *path = tern__path_join(folder, "tokenizer.json");
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + 16);
    tern_status status;
    if (tern__file_exists(path)) {
        char *bytes;
        size_t n_bytes;
        status = tern__file_read(&bytes, &n_bytes, path, TERN_JSON_MAX_BYTES, err);
        if (status == TERN_OK) {
            status = tern__tokenizer_from_json(out, bytes, n_bytes, path, err);
            free(bytes);
        }
    } else {
        status = tern__tokenizer_from_vocab(out, folder, err);
    }
    free(path);
    return status;
}

size_t tern_tokenizer_vocab_size(const tern_tokenizer *tokenizer) {
    const tern_vocabulary *vocabulary = &tokenizer->model.vocabulary, *names = &tokenizer->added_tokens.names;
    size_t n = vocabulary->n_entries;
    for (size_t i = 0; i < names->n_entries; i++)
        n += !tern__vocabulary_find(vocabulary, tern__vocabulary_string(names, &names->entries[i]), names->entries[i].n_bytes);
    return n;
}

/* data NULL when no token has that id. An added token reads as its normalized form, which is what was found in the text. */
static tern_text text_of_id(const tern_tokenizer *tokenizer, int32_t id) {
    const tern_added_token *added = tern__added_tokens_find_id(&tokenizer->added_tokens, id);
    if (added) return added->normalized_form.data ? added->normalized_form : added->content;
    const tern_vocabulary *vocabulary = &tokenizer->model.vocabulary;
    const tern_vocabulary_entry *entry = tern__vocabulary_find_id(vocabulary, id);
    if (!entry) return (tern_text){0};
    return (tern_text){.data = tern__vocabulary_string(vocabulary, entry), .bytes = entry->n_bytes};
}

const char *tern_tokenizer_id_to_token(const tern_tokenizer *tokenizer, int32_t id) { return text_of_id(tokenizer, id).data; }

int32_t tern_tokenizer_token_to_id(const tern_tokenizer *tokenizer, const char *token) {
    const tern_vocabulary_entry *entry = tern__vocabulary_find(&tokenizer->added_tokens.names, token, strlen(token));
    if (!entry) entry = tern__vocabulary_find(&tokenizer->model.vocabulary, token, strlen(token));
    return entry ? entry->id : -1;
}

tern_encode_options tern_encode_options_default(void) {
    return (tern_encode_options){.size = sizeof(tern_encode_options), .add_special_tokens = true, .max_length = 0, .with_tokens = false};
}

/* What the stages work in, reused from piece to piece. */
typedef struct tern_encoder {
    const tern_tokenizer *tokenizer;
    bool with_tokens;
    tern_normalized normalized;
    tern_words words;
    tern_model_scratch scratch;
} tern_encoder;

static tern_status push_added_token(tern_token_list *list, const tern_added_token *token, const unsigned char *text, size_t n_bytes,
                                    uint32_t start, uint32_t end, bool with_tokens, tern_error *err) {
    if (!tern__token_list_reserve(list, 1)) return TERN_FAIL_MEMORY(err, sizeof *list->offsets);
    tern__token_list_push(list, token->id, start, end);
    if (with_tokens && !tern__token_list_set_text(list, text, n_bytes)) return TERN_FAIL_MEMORY(err, n_bytes);
    return TERN_OK;
}

/* Words and tokens of bytes [start, end) of the normalized piece. */
static tern_status encode_words(tern_encoder *encoder, tern_token_list *list, size_t start, size_t end, tern_error *err) {
    tern_words *words = &encoder->words;
    TERN_TRY(tern__pre_tokenize(words, &encoder->tokenizer->pre_tokenizer, &encoder->normalized, start, end, err));
    size_t n_before = list->n;
    TERN_TRY(tern__token_model_tokenize(&encoder->tokenizer->model, &encoder->scratch, list, words->text->bytes, &words->spans,
                                        encoder->with_tokens, err));
    for (size_t i = n_before; i < list->n; i++) {
        uint32_t *offsets = list->offsets[i];
        uint32_t last = tern__normalized_origin(words->text, offsets[1] - 1);
        offsets[0] = tern__origin_start(tern__normalized_origin(words->text, offsets[0]));
        offsets[1] = tern__origin_end(last);
    }
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
            TERN_TRY(push_added_token(list, piece.token, normalized->bytes + piece.start, piece.end - piece.start,
                                      tern__origin_start(tern__normalized_origin(normalized, piece.start)),
                                      tern__origin_end(tern__normalized_origin(normalized, piece.end - 1)), encoder->with_tokens, err));
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

static tern_status encode_text(tern_encoder *encoder, tern_token_list *list, const unsigned char *text, size_t n_bytes, tern_error *err) {
    tern_added_split split = {.matcher = &encoder->tokenizer->added_tokens.raw, .text = text, .n_bytes = n_bytes};
    tern_text_place place = {.text = text};
    for (tern_added_piece piece; tern__added_split_next(&split, &piece);) {
        uint32_t start = move_place(&place, piece.start);
        if (piece.token) {
            TERN_TRY(push_added_token(list, piece.token, text + piece.start, piece.end - piece.start, start, move_place(&place, piece.end),
                                      encoder->with_tokens, err));
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

tern_status tern_tokenizer_encode(tern_encoding *out, const tern_tokenizer *tokenizer, tern_text text, const tern_text *pair,
                                  const tern_encode_options *options, tern_error *err) {
    tern_encode_options chosen = options ? *options : tern_encode_options_default();
    *out = (tern_encoding){0};
    TERN_TRY(check_text(text, "the text", err));
    if (pair) TERN_TRY(check_text(*pair, "the pair", err));
    const tern_template *template = pair ? &tokenizer->post_processor.pair : &tokenizer->post_processor.single;
    size_t n_added = chosen.add_special_tokens ? template->n_added : 0;
    if (chosen.max_length != 0 && chosen.max_length < n_added)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "max_length is %zu, less than the %zu special tokens", chosen.max_length, n_added);

    tern_encoder encoder = {.tokenizer = tokenizer, .with_tokens = chosen.with_tokens};
    tern_token_list lists[2] = {{0}, {0}};
    tern_status status = encode_text(&encoder, &lists[0], (const unsigned char *)text.data, text.bytes, err);
    if (status == TERN_OK && pair) status = encode_text(&encoder, &lists[1], (const unsigned char *)pair->data, pair->bytes, err);
    if (status == TERN_OK) {
        if (chosen.max_length != 0) tern__truncate_longest_first(&lists[0], pair ? &lists[1] : NULL, chosen.max_length - n_added);
        status = tern__encoding_build(out, tokenizer, template, lists, chosen.add_special_tokens, chosen.with_tokens, err);
    }
    tern__token_list_free(&lists[0]);
    tern__token_list_free(&lists[1]);
    tern__normalized_free(&encoder.normalized);
    tern__words_free(&encoder.words);
    tern__model_scratch_free(&encoder.scratch);
    return status;
}

tern_status tern_tokenizer_decode(char **out, size_t *n_bytes, const tern_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                  bool skip_special_tokens, tern_error *err) {
    *out = NULL;
    if (n_bytes) *n_bytes = 0;
    tern_text *tokens = tern__alloc(n_ids, sizeof *tokens);
    if (!tokens) return TERN_FAIL_MEMORY(err, n_ids * sizeof *tokens);
    size_t n_tokens = 0;
    for (size_t i = 0; i < n_ids; i++) {
        tern_text token = text_of_id(tokenizer, ids[i]);
        if (!token.data) {
            free(tokens);
            return TERN_FAIL(err, TERN_E_ARGUMENT, "id %d (number %zu) is not in the vocabulary", (int)ids[i], i);
        }
        if (skip_special_tokens && tern__added_tokens_is_special(&tokenizer->added_tokens, token)) continue;
        tokens[n_tokens++] = token;
    }
    tern_status status = tern__decoder_join(out, &tokenizer->decoder, tokens, n_tokens, err);
    free(tokens);
    if (status == TERN_OK && n_bytes) *n_bytes = strlen(*out);
    return status;
}
