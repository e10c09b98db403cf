/* fuzz_tokenizer_json.c - any bytes as a tokenizer.json: refused with a message, or a tokenizer that encodes and decodes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(bool is_so) {
    if (!is_so) abort();
}

static void use_tokenizer(const tern_tokenizer *tokenizer) {
    static const char text[] = "a [CLS]b the \xC3\x89t\xC3\xA9 \xE4\xB8\xAD[MASK] x\xCC\x81\xCC\xA3 \xEA\xB0\x81 foo, bar!";
    const tern_text texts[2] = {{text, sizeof text - 1}, {text, 12}};
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = true;
    tern_error err;
    tern_encoding encoding;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, texts[0], &texts[1], &options, &err);
    require(status == TERN_OK || (status == TERN_E_FORMAT && strstr(err.message, "unk_token")));
    for (size_t i = 0; i < encoding.n; i++) {
        require(encoding.offsets[i][0] <= encoding.offsets[i][1] && encoding.offsets[i][1] < sizeof text);
        require(encoding.special_tokens_mask[i] <= 1 && encoding.tokens[i]);
        const char *token = tern_tokenizer_id_to_token(tokenizer, encoding.ids[i]);
        require(encoding.special_tokens_mask[i] || token);
        int32_t id = encoding.ids[i];
        char *decoded;
        status = tern_tokenizer_decode(&decoded, NULL, tokenizer, &id, 1, false, &err);
        require(status == (token ? TERN_OK : TERN_E_ARGUMENT));
        tern_free(decoded);
    }
    tern_encoding_free(&encoding);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    char *copy = malloc(n_bytes + 1); /* it is read destructively */
    if (!copy) return 0;
    memcpy(copy, bytes, n_bytes);
    tern_tokenizer *tokenizer;
    tern_error err;
    tern_status status = tern__tokenizer_from_json(&tokenizer, copy, n_bytes, "fuzz", &err);
    free(copy);
    if (status != TERN_OK) {
        require((status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED) && err.code == status && err.message[0] != '\0' && !tokenizer);
        return 0;
    }
    use_tokenizer(tokenizer);
    tern_tokenizer_free(tokenizer);
    return 0;
}
