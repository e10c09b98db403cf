/* fuzz_sentencepiece.c - any bytes as the SentencePiece model of every class that is read from one: the first byte chooses the class.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_folder.h"

#include "text/files/sentencepiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const struct {
    const char *tokenizer_class, *file;
} classes[] = {{"XLMRobertaTokenizer", "sentencepiece.bpe.model"},
               {"CamembertTokenizer", "sentencepiece.bpe.model"},
               {"AlbertTokenizer", "spiece.model"},
               {"T5Tokenizer", "spiece.model"},
               {"DebertaV2Tokenizer", "spm.model"},
               {"LlamaTokenizer", "tokenizer.model"},
               {"GemmaTokenizer", "tokenizer.model"},
               {"MBartTokenizer", "sentencepiece.bpe.model"},
               {"MBart50Tokenizer", "sentencepiece.bpe.model"},
               {"NllbTokenizer", "sentencepiece.bpe.model"},
               {"XLNetTokenizer", "spiece.model"},
               {"BigBirdTokenizer", "spiece.model"},
               {"PreTrainedTokenizerFast", "tokenizer.model"}};
enum { N_CLASSES = sizeof classes / sizeof *classes };

/* Every text lies in the bytes, and none is empty. */
static void read_model(const uint8_t *bytes, size_t n_bytes) {
    tern_sentencepiece model = {0};
    if (tern__sentencepiece_read(&model, bytes, n_bytes, "fuzz", NULL) == TERN_OK) {
        require(model.n_pieces > 0);
        for (size_t i = 0; i < model.n_pieces; i++) {
            const tern_piece *piece = &model.pieces[i];
            const uint8_t *start = (const uint8_t *)piece->text;
            require(piece->n_bytes > 0 && start >= bytes && piece->n_bytes <= n_bytes - (size_t)(start - bytes));
            require(piece->kind >= TERN_PIECE_NORMAL && piece->kind <= TERN_PIECE_BYTE);
        }
    }
    tern__sentencepiece_free(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    char config[128];
    if (n_bytes == 0) return 0;
    read_model(bytes + 1, n_bytes - 1);
    const size_t chosen = bytes[0] % N_CLASSES;
    snprintf(config, sizeof config, "{\"tokenizer_class\": \"%s\"}", classes[chosen].tokenizer_class);
    fuzz_write("tokenizer_config.json", config, strlen(config));
    fuzz_write(classes[chosen].file, bytes + 1, n_bytes - 1);
    fuzz_use();
    fuzz_write(classes[chosen].file, NULL, 0);
    fuzz_write("tokenizer_config.json", NULL, 0);
    return 0;
}
