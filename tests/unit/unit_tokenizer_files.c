/* unit_tokenizer_files.c - folders without tokenizer.json: which class is chosen, where its ids start, and what is said when it fails.
 * Ids are what Hugging Face transformers 5.23 gives. SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "spm_writer.h"

#define MAX_FILES 6

/* Of one folder: name and content; content NULL: the small SentencePiece model, or as BPE. */
typedef struct folder_file {
    const char *name, *content;
} folder_file;

static const char vocab_txt[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n##ab\n";
static const char vocab_json[] = "{\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, \"ab\": 6, \"<mask>\": 7}";
static const char merges_txt[] = "#version: 0.2\na b\n";
#define SPM_UNIGRAM_FILE NULL
static const char spm_bpe_file[] = "BPE";

static void write_files(const test_folder *folder, const folder_file files[MAX_FILES]) {
    for (size_t i = 0; i < MAX_FILES && files[i].name; i++) {
        const char *content = files[i].content;
        if (content && content != spm_bpe_file) {
            test_file_write(folder, files[i].name, content, strlen(content));
            continue;
        }
        spm_writer model = {.n = 0};
        spm_put_small_model(&model, content ? SPM_BPE : SPM_UNIGRAM);
        test_file_write(folder, files[i].name, model.bytes, model.n);
    }
}

static void remove_files(const test_folder *folder, const folder_file files[MAX_FILES]) {
    for (size_t i = 0; i < MAX_FILES && files[i].name; i++) assert_int_equal(unlink(test_path_of(folder, files[i].name).text), 0);
}

static void check_ids(const tern_tokenizer *tokenizer, const char *text, const int32_t *wanted, size_t n) {
    tern_encoding encoding;
    tern_error err;
    const tern_encode_options options = tern_encode_options_default();
    const tern_text bytes = {.data = text, .bytes = strlen(text)};
    assert_int_equal(tern_tokenizer_encode(&encoding, tokenizer, bytes, NULL, &options, &err), TERN_OK);
    assert_int_equal(encoding.n, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(encoding.ids[i], wanted[i]);
    tern_encoding_free(&encoding);
}

#define MAX_IDS     8
#define CLASS(name) "{\"tokenizer_class\": \"" name "\"}"
#define TYPE(name)  "{\"model_type\": \"" name "\"}"

static void test_classes(void **state) {
    static const struct {
        folder_file files[MAX_FILES];
        const char *text;
        size_t n;
        int32_t ids[MAX_IDS];
    } cases[] = {
        {{{"vocab.txt", vocab_txt}}, "aab", 4, {2, 5, 7, 3}},
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", CLASS("ElectraTokenizerFast")}}, "AB", 4, {2, 5, 6, 3}},
        {{{"vocab.txt", vocab_txt}, {"config.json", TYPE("distilbert")}}, "aab", 4, {2, 5, 7, 3}},
        /* a class of the folder comes before the model's */
        {{{"vocab.txt", vocab_txt}, {"config.json", TYPE("roberta")}, {"tokenizer_config.json", CLASS("BertTokenizer")}},
         "a",
         3,
         {2, 5, 3}},
        {{{"vocab.txt", vocab_txt}, {"config.json", "{\"model_type\": \"roberta\", \"tokenizer_class\": \"BertTokenizer\"}"}},
         "a",
         3,
         {2, 5, 3}},
        /* added behind the vocabulary: MPNet's tokens, which this one lacks */
        {{{"vocab.txt", vocab_txt}, {"config.json", TYPE("mpnet")}}, "a <mask>", 4, {8, 5, 11, 9}},
        {{{"vocab.json", vocab_json}, {"merges.txt", merges_txt}, {"config.json", TYPE("roberta")}}, "ab<mask>", 4, {0, 6, 7, 2}},
        {{{"vocab.json", vocab_json}, {"merges.txt", merges_txt}, {"config.json", TYPE("longformer")}}, "ba", 4, {0, 5, 4, 2}},
        {{{"vocab.json", vocab_json}, {"merges.txt", merges_txt}, {"config.json", TYPE("gpt2")}}, "ab<|endoftext|>", 2, {6, 8}},
        {{{"vocab.json", vocab_json},
          {"merges.txt", merges_txt},
          {"tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_bos_token\": true}"}},
         "ab",
         2,
         {8, 6}},
        /* qwen2 folders often have another class */
        {{{"vocab.json", vocab_json},
          {"merges.txt", merges_txt},
          {"config.json", TYPE("qwen2")},
          {"tokenizer_config.json", CLASS("RobertaTokenizer")}},
         "ab",
         1,
         {6}},
        {{{"sentencepiece.bpe.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("xlm-roberta")}}, "ab<mask>", 5, {0, 7, 6, 9, 2}},
        {{{"sentencepiece.bpe.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("camembert")}}, "ab <mask>", 5, {5, 10, 9, 12, 6}},
        {{{"spiece.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("t5")}}, "ab<extra_id_0><extra_id_99>", 5, {6, 5, 107, 8, 2}},
        {{{"spiece.model", SPM_UNIGRAM_FILE}, {"tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\", \"extra_ids\": 2}"}},
         "a<extra_id_0>",
         3,
         {6, 9, 2}},
        {{{"spiece.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("xlnet")}}, "ab", 4, {6, 5, 8, 10}},
        {{{"spm.model", SPM_UNIGRAM_FILE}}, "ab", 4, {8, 6, 5, 9}},
        {{{"sentencepiece.bpe.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("mbart")}}, "ab", 4, {7, 6, 2, 12}},
        {{{"sentencepiece.bpe.model", SPM_UNIGRAM_FILE},
          {"tokenizer_config.json", "{\"tokenizer_class\": \"MBartTokenizer\", \"src_lang\": \"ar_AR\"}"}},
         "ab",
         4,
         {7, 6, 2, 9}},
        {{{"tokenizer.model", spm_bpe_file}, {"tokenizer_config.json", CLASS("LlamaTokenizer")}}, "ab", 1, {7}},
        {{{"tokenizer.model", spm_bpe_file},
          {"tokenizer_config.json", "{\"tokenizer_class\": \"LlamaTokenizer\", \"add_bos_token\": true, \"add_eos_token\": true}"}},
         "ab",
         3,
         {1, 7, 2}},
        {{{"tokenizer.model", spm_bpe_file}, {"config.json", TYPE("mistral")}, {"tokenizer_config.json", CLASS("LlamaTokenizer")}},
         " ab",
         1,
         {7}},
    };
    const test_folder *folder = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_tokenizer *tokenizer;
        tern_error err;
        write_files(folder, cases[i].files);
        if (tern_tokenizer_load(&tokenizer, folder->path, &err) != TERN_OK) fail_msg("case %zu: %s", i, err.message);
        check_ids(tokenizer, cases[i].text, cases[i].ids, cases[i].n);
        tern_tokenizer_free(tokenizer);
        remove_files(folder, cases[i].files);
    }
}

static void test_refused(void **state) {
    static const struct {
        folder_file files[MAX_FILES];
        const char *message;
        tern_status code;
    } cases[] = {
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", CLASS("ByT5Tokenizer")}},
         "tokenizer_class ByT5Tokenizer",
         TERN_E_UNSUPPORTED},
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", CLASS("ByT5Tokenizer")}},
         "BertTokenizer, MPNetTokenizer, ",
         TERN_E_UNSUPPORTED},
        {{{"vocab.txt", vocab_txt}, {"config.json", TYPE("whisper")}}, "model_type whisper", TERN_E_UNSUPPORTED},
        {{{"vocab.txt", vocab_txt}, {"config.json", TYPE("roberta")}}, "nor vocab.json, which a RobertaTokenizer", TERN_E_IO},
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", CLASS("PreTrainedTokenizerFast")}}, "nor tokenizer.model, which", TERN_E_IO},
        {{{"spiece.model", SPM_UNIGRAM_FILE}}, "spiece.model alone does not tell", TERN_E_UNSUPPORTED},
        {{{"vocab.json", vocab_json}}, "vocab.json alone does not tell", TERN_E_UNSUPPORTED},
        {{{"vocab.json", vocab_json}, {"config.json", TYPE("gpt2")}}, "nor merges.txt, which", TERN_E_IO},
        {{{"vocab.json", "{\"a\": 0} x"}, {"merges.txt", ""}, {"config.json", TYPE("gpt2")}},
         "vocab.json: line 1, column 10",
         TERN_E_FORMAT},
        {{{"vocab.json", "[]"}, {"merges.txt", ""}, {"config.json", TYPE("gpt2")}}, "'{' is expected", TERN_E_FORMAT},
        {{{"vocab.json", vocab_json}, {"merges.txt", "a b\nab\n"}, {"config.json", TYPE("gpt2")}}, "merges.txt: line 2", TERN_E_FORMAT},
        {{{"vocab.json", vocab_json}, {"merges.txt", "a b c\n"}, {"config.json", TYPE("gpt2")}}, "merges.txt: line 1", TERN_E_FORMAT},
        {{{"vocab.json", vocab_json}, {"merges.txt", "a\xFF b\n"}, {"config.json", TYPE("gpt2")}}, "merges.txt: not UTF-8", TERN_E_FORMAT},
        {{{"spm.model", "\x0A\x7F"}}, "spm.model: byte 0: a field goes beyond the end", TERN_E_FORMAT},
        {{{"sentencepiece.bpe.model", spm_bpe_file}, {"config.json", TYPE("camembert")}}, "needs a Unigram model", TERN_E_UNSUPPORTED},
        {{{"spiece.model", SPM_UNIGRAM_FILE}, {"tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\", \"extra_ids\": 1e9}"}},
         "\"extra_ids\" must be",
         TERN_E_FORMAT},
        {{{"spiece.model", SPM_UNIGRAM_FILE}, {"config.json", TYPE("albert")}}, "[CLS], the cls_token, is no piece", TERN_E_UNSUPPORTED},
        {{{"sentencepiece.bpe.model", SPM_UNIGRAM_FILE},
          {"tokenizer_config.json", "{\"tokenizer_class\": \"MBartTokenizer\", \"src_lang\": 5}"}},
         "\"src_lang\" must be a string",
         TERN_E_FORMAT},
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", "{\"extra_special_tokens\": 5}"}},
         "must be a list or an object",
         TERN_E_FORMAT},
        {{{"vocab.txt", vocab_txt}, {"tokenizer_config.json", "{\"cls_token\": \"\"}"}}, "\"cls_token\" is empty", TERN_E_UNSUPPORTED},
        {{{"vocab.txt", vocab_txt}, {"config.json", "[]"}}, "config.json: must hold an object", TERN_E_FORMAT},
        {{{"modules.json", "[{\"path\": \"../x\"}]"}}, "neither tokenizer.json nor vocab.txt", TERN_E_IO},
        {{{"modules.json", "[{\"path\": \"/tmp\"}]"}}, "neither tokenizer.json nor vocab.txt", TERN_E_IO},
        {{{"modules.json", "["}}, "modules.json: line 1", TERN_E_FORMAT},
    };
    const test_folder *folder = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_tokenizer *tokenizer;
        tern_error err;
        write_files(folder, cases[i].files);
        check_failed(tern_tokenizer_load(&tokenizer, folder->path, &err), cases[i].code, &err, cases[i].message);
        assert_null(tokenizer);
        remove_files(folder, cases[i].files);
    }
}

/* sentence-transformers once put a model's files into a folder of their own. */
static void test_inner_folder(void **state) {
    static const char modules[] = "[{\"idx\": 0, \"name\": \"0\", \"path\": \"0_Transformer\", \"type\": \"x.Transformer\"}]";
    static const int32_t ids[] = {2, 5, 3};
    const test_folder *folder = *state;
    tern_tokenizer *tokenizer;
    tern_error err;
    assert_int_equal(mkdir(test_path_of(folder, "0_Transformer").text, 0755), 0);
    test_file_write(folder, "0_Transformer/vocab.txt", vocab_txt, strlen(vocab_txt));
    test_file_write(folder, "modules.json", modules, strlen(modules));
    assert_int_equal(tern_tokenizer_load(&tokenizer, folder->path, &err), TERN_OK);
    check_ids(tokenizer, "a", ids, 3);
    tern_tokenizer_free(tokenizer);
}

/* Which tokens there are, by which file. */
static void test_special_tokens(void **state) {
    static const folder_file files[MAX_FILES] = {
        {"vocab.txt", vocab_txt},
        {"tokenizer_config.json",
         "{\"mask_token\": {\"__type\": \"AddedToken\", \"content\": \"<m>\", \"lstrip\": true, \"normalized\": false},"
         " \"image_token\": \"<i>\", \"additional_special_tokens\": [\"<e>\"]}"},
        {"special_tokens_map.json",
         "{\"pad_token\": \"<p>\", \"extra_special_tokens\": [{\"content\": \"<f>\", \"rstrip\": true}, \"<e>\"]}"},
        {"added_tokens.json", "{\"NEW\": 9, \"<q>\": 8}"}};
    static const int32_t ids[] = {2, 8, 9, 11, 12, 13, 14, 5, 3};
    const test_folder *folder = *state;
    tern_tokenizer *tokenizer;
    tern_error err;
    write_files(folder, files);
    assert_int_equal(tern_tokenizer_load(&tokenizer, folder->path, &err), TERN_OK);
    assert_int_equal(tern_tokenizer_vocab_size(tokenizer), 15);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "<p>"), 10);
    assert_int_equal(tern_tokenizer_token_to_id(tokenizer, "<m>"), 11);
    check_ids(tokenizer, "<q>new <m><i><e><f> a", ids, 9); /* NEW is sought as the text is: in lower case */
    tern_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_classes, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_refused, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_inner_folder, test_folder_setup, test_folder_teardown),
        cmocka_unit_test_setup_teardown(test_special_tokens, test_folder_setup, test_folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
