/* fuzz_tokenizer_json.c - any bytes as a tokenizer.json: refused with a message, or a tokenizer that encodes, cuts and decodes. Seeds: a
 * small file of every component, made by tests/fuzz/tokenizer_seeds.py.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(bool is_so) {
    if (!is_so) abort();
}

static void use_encoding(const tern_tokenizer *tokenizer, const tern_encoding *encoding, size_t n_bytes) {
    tern_error err;
    for (size_t i = 0; i < encoding->n; i++) {
        require(encoding->offsets[i][0] <= n_bytes && encoding->offsets[i][1] <= n_bytes);
        require(encoding->special_tokens_mask[i] <= 1 && encoding->tokens[i]);
        const char *token = tern_tokenizer_id_to_token(tokenizer, encoding->ids[i]);
        require(encoding->special_tokens_mask[i] || token);
        char *decoded;
        tern_status status = tern_tokenizer_decode(&decoded, NULL, tokenizer, &encoding->ids[i], 1, false, &err);
        require(status == (token ? TERN_OK : TERN_E_ARGUMENT));
        tern_free(decoded);
    }
    for (size_t i = 0; i < encoding->n_overflowing; i++) use_encoding(tokenizer, &encoding->overflowing[i], n_bytes);
}

static void use_tokenizer(const tern_tokenizer *tokenizer) {
    static const char text[] =
        "a [CLS]b the \xC3\x89t\xC3\xA9 \xE4\xB8\xAD[MASK] x\xCC\x81\xCC\xA3 \xEA\xB0\x81  foo, bar!12 '' \xE2\x96\x81\xF0\x9F\x98\x80\n"
        "don't \xEF\xAC\x81 \xC2\xA0<s>";
    const tern_text texts[2] = {{text, sizeof text - 1}, {text, 12}};
    tern_encode_options options = tern_encode_options_default();
    tern_error err;
    tern_encoding encoding;
    options.with_tokens = options.with_word_ids = options.with_overflowing = true;
    for (size_t max_length = 0; max_length < 18; max_length += 6) {
        options.max_length = max_length;
        options.stride = max_length / 12;
        options.truncation_direction = max_length == 6 ? TERN_CUT_LEFT : TERN_CUT_RIGHT;
        tern_status status = tern_tokenizer_encode(&encoding, tokenizer, texts[0], max_length ? NULL : &texts[1], &options, &err);
        require(status == TERN_OK || err.code == status);
        require(status == TERN_OK || status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED || (max_length && status == TERN_E_ARGUMENT));
        require(status == TERN_OK || encoding.n == 0);
        use_encoding(tokenizer, &encoding, sizeof text);
        tern_encoding_free(&encoding);
    }
    for (int32_t id = 0; id < 4; id++) {
        const char *token = tern_tokenizer_id_to_token(tokenizer, id);
        require(!token || tern_tokenizer_token_to_id(tokenizer, token) >= -1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    tern_tokenizer *tokenizer;
    tern_error err;
    tern_status status = tern__tokenizer_from_json(&tokenizer, (const char *)bytes, n_bytes, "fuzz", &err);
    if (status != TERN_OK) {
        require((status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED) && err.code == status && err.message[0] != '\0' && !tokenizer);
        return 0;
    }
    use_tokenizer(tokenizer);
    tern_tokenizer_free(tokenizer);
    return 0;
}
