/* fuzz_tokenizer_text.c - any bytes as a text: refused where they are not UTF-8, else encoded so that what comes out fits together: offsets
 * in order and inside the text, ids of the vocabulary, and the same with truncation, whose encoding is a prefix. The first byte chooses the
 * tokenizer. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode/unicode.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

enum { N_TOKENIZERS = 8 };
static tern_tokenizer *tokenizers[N_TOKENIZERS];

static void require(bool is_so) {
    if (!is_so) abort();
}

/* All ways of BertNormalizer, with added tokens of several kinds. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    static const char form[] =
        "{\"added_tokens\":["
        "{\"id\":0,\"content\":\"[M]\",\"single_word\":false,\"lstrip\":true,\"rstrip\":false,\"normalized\":false,\"special\":true},"
        "{\"id\":0,\"content\":\"[M\",\"single_word\":true,\"lstrip\":false,\"rstrip\":true,\"normalized\":false,\"special\":false},"
        "{\"id\":0,\"content\":\"\xC3\x89t\",\"single_word\":true,\"lstrip\":true,\"rstrip\":true,\"normalized\":true,\"special\":false},"
        "{\"id\":0,\"content\":\"no\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":false}],"
        "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":%s,\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s},"
        "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
        "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":20,"
        "\"vocab\":{\"[UNK]\":0,\"a\":1,\"##a\":2,\"ab\":3,\"##ab\":4,\"e\":5,\"##e\":6,\"\xC3\xA9\":7,\"##\xC3\xA9\":8,\"\xE4\xB8\xAD\":9,"
        "\"i\":10,\"##\xCC\x87\":11,\"n't\":12,\".\":13}}}";
    for (unsigned i = 0; i < N_TOKENIZERS; i++) {
        char text[2048];
        int n = snprintf(text, sizeof text, form, i & 1 ? "true" : "false", i & 1 ? "true" : "false", i & 2 ? "true" : "false",
                         i & 4 ? "true" : "false");
        require(n > 0 && (size_t)n < sizeof text);
        require(tern__tokenizer_from_json(&tokenizers[i], text, (size_t)n, "fuzz", NULL) == TERN_OK);
    }
    return 0;
}

static void check_encoding(const tern_encoding *encoding, const tern_tokenizer *tokenizer, size_t n_code_points) {
    for (size_t i = 0; i < encoding->n; i++) {
        require(encoding->offsets[i][0] < encoding->offsets[i][1] && encoding->offsets[i][1] <= n_code_points);
        require(i == 0 || encoding->offsets[i][0] >= encoding->offsets[i - 1][0]);
        require(encoding->type_ids[i] == 0 && encoding->special_tokens_mask[i] == 0);
        require(tern_tokenizer_id_to_token(tokenizer, encoding->ids[i]) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes == 0) return 0;
    const tern_tokenizer *tokenizer = tokenizers[bytes[0] % N_TOKENIZERS];
    const tern_text text = {.data = (const char *)bytes + 1, .bytes = n_bytes - 1};
    const size_t n_valid = tern__utf8_valid_prefix(bytes + 1, text.bytes);
    tern_encode_options options = tern_encode_options_default();
    tern_encoding encoding, cut;
    options.with_tokens = bytes[0] & 8;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, text, NULL, &options, NULL);
    require(status == (n_valid == text.bytes ? TERN_OK : TERN_E_ARGUMENT));
    if (status != TERN_OK) return 0;
    check_encoding(&encoding, tokenizer, tern__utf8_count(bytes + 1, text.bytes));

    options.max_length = 1 + bytes[0] / 16;
    require(tern_tokenizer_encode(&cut, tokenizer, text, NULL, &options, NULL) == TERN_OK);
    require(cut.n == (encoding.n < options.max_length ? encoding.n : options.max_length));
    require(memcmp(cut.ids, encoding.ids, cut.n * sizeof *cut.ids) == 0);
    require(memcmp(cut.offsets, encoding.offsets, cut.n * sizeof *cut.offsets) == 0);
    char *decoded;
    require(tern_tokenizer_decode(&decoded, NULL, tokenizer, encoding.ids, encoding.n, bytes[0] & 8, NULL) == TERN_OK);
    require(tern__utf8_valid_prefix((unsigned char *)decoded, strlen(decoded)) == strlen(decoded));
    tern_free(decoded);
    tern_encoding_free(&cut);
    tern_encoding_free(&encoding);
    return 0;
}
