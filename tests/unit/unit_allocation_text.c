/* unit_allocation_text.c - tokenizers of every kind, from every kind of folder, survive that any allocation fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include "allocation_failure.h"

#include "base/json.h"
#include "spm_writer.h"
#include "text/normalizer/normalizer.h"

/* Of what the tokenizers below do not have: a charsmap, and patterns whose classes are put to PCRE2. */
static tern_status run_normalizers(tern_error *err) {
    static const char spec[] = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"Regex\":"
                               "\"(?<q>[^\\\\s\\\\p{L}])(?i:stra\xC3\x9F"
                               "e)\\\\k<q>\\\\b|[[:punct:]&&[^!]]\"},\"content\":\"-\"},"
                               "{\"type\":\"ByteLevel\"}]}";
    static const unsigned char text[] = "1STRASSE1? \xC3\xA9!";
    tern_normalizer normalizer = {0};
    tern_normalized out = {0};
    static json_t *golden; /* made by the first run and kept */
    json_t *json;
    if (!golden) TERN_TRY(tern__json_load(&golden, TERN_TEST_DATA "/golden/normalizers.json", err));
    TERN_TRY(tern__json_parse(&json, spec, strlen(spec), "test", err));
    tern_status status = tern__normalizer_read(&normalizer, json, "test", err);
    if (status == TERN_OK) status = tern__normalizer_run(&out, &normalizer, text, sizeof text - 1, 0, err);
    if (status == TERN_OK && (out.n_bytes != 9 || memcmp(out.bytes, "--\xC4\xA0\xC3\x83\xC2\xA9!", 9) != 0)) wrong = "another text";
    tern__normalizer_free(&normalizer);
    json_decref(json);
    for (size_t i = 0; status == TERN_OK && i < json_array_size(golden); i++) {
        const json_t *row = json_array_get(golden, i), *component = json_object_get(row, "normalizer"),
                     *string = json_object_get(row, "text");
        if (strcmp(json_string_value(json_object_get(component, "type")), "Precompiled") != 0) continue;
        status = tern__normalizer_read(&normalizer, component, "test", err);
        if (status == TERN_OK)
            status = tern__normalizer_run(&out, &normalizer, (const unsigned char *)json_string_value(string), json_string_length(string),
                                          0, err);
        tern__normalizer_free(&normalizer);
    }
    tern__normalized_free(&out);
    return status;
}

static tern_status use_tokenizer(const char *name, tern_error *err) {
    static const char text[] = "\xC3\x89"
                               "cole na\xC3\xAFve, \xE4\xB8\xAD[MASK] ab!",
                      other[] = "a b c";
    const tern_text texts[] = {{text, sizeof text - 1}, {other, sizeof other - 1}};
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = true;
    options.max_length = 12;
    tern_tokenizer *tokenizer;
    TERN_TRY(tern_tokenizer_load(&tokenizer, in_folder(name).text, err));
    tern_encoding encoding;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, texts[0], &texts[1], &options, err);
    if (status == TERN_OK) {
        char *decoded;
        if (encoding.n != 12) wrong = "the encoding has another length";
        status = tern_tokenizer_decode(&decoded, NULL, tokenizer, encoding.ids, encoding.n, false, err);
        if (status == TERN_OK) tern_free(decoded);
        tern_encoding_free(&encoding);
    }
    tern_tokenizer_free(tokenizer);
    return status;
}

/* The texts of a batch, cut into overflowing pieces, through post-processors and decoders of every kind. */
static tern_status use_stages(int threads, tern_error *err) {
    static const char text[] = "a b c d e, a  b [M] c d e [M]";
    enum { N = 40, TIMES = 30 };
    static char letters[TIMES * sizeof text];
    tern_text texts[N], pairs[N];
    tern_encoding encodings[N];
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = options.with_word_ids = options.with_overflowing = true;
    options.max_length = 64;
    options.stride = 3;
    options.threads = threads;
    for (size_t i = 0; i < TIMES; i++) memcpy(letters + i * (sizeof text - 1), text, sizeof text - 1);
    for (size_t i = 0; i < N; i++) {
        texts[i] = (tern_text){letters, TIMES * (sizeof text - 1)};
        pairs[i] = (tern_text){letters, i};
    }
    tern_tokenizer *tokenizer;
    TERN_TRY(tern_tokenizer_load(&tokenizer, in_folder("stages").text, err));
    tern_status status = tern_tokenizer_encode_batch(encodings, tokenizer, texts, pairs, N, &options, err);
    if (status == TERN_OK) {
        char *decoded;
        /* Of what a template made, BERT's processor adds one token more than it asks room for. */
        if (encodings[N - 1].n != 65 || encodings[N - 1].n_overflowing == 0) wrong = "the encoding has another length";
        status = tern_tokenizer_decode(&decoded, NULL, tokenizer, encodings[0].ids, encodings[0].n, false, err);
        if (status == TERN_OK) tern_free(decoded);
        for (size_t i = 0; i < N; i++) tern_encoding_free(&encodings[i]);
    } else {
        for (size_t i = 0; i < N; i++)
            if (encodings[i].ids || encodings[i].overflowing) wrong = "an encoding is left";
    }
    tern_tokenizer_free(tokenizer);
    return status;
}

/* A text through a tokenizer that has nothing of BERT's, and back. */
static tern_status use_other_tokenizer(const char *name, tern_error *err) {
    static const char text[] = " Hello, \xC3\xA9t\xC3\xA9 12\xE4\xB8\xAD\xEF\xAC\x81 it's[M]  \xF0\x9F\x98\x80\ttoo ";
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = options.with_word_ids = true;
    tern_tokenizer *tokenizer;
    TERN_TRY(tern_tokenizer_load(&tokenizer, in_folder(name).text, err));
    tern_encoding encoding;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, (tern_text){text, sizeof text - 1}, NULL, &options, err);
    if (status == TERN_OK) {
        char *decoded;
        if (encoding.n < 5) wrong = "the encoding has few tokens";
        status = tern_tokenizer_decode(&decoded, NULL, tokenizer, encoding.ids, encoding.n, false, err);
        if (status == TERN_OK) tern_free(decoded);
        tern_encoding_free(&encoding);
    }
    tern_tokenizer_free(tokenizer);
    return status;
}

static tern_status use_byte_level_bpe(tern_error *err) { return use_other_tokenizer("bpe", err); }

static tern_status use_unigram(tern_error *err) { return use_other_tokenizer("unigram", err); }

static tern_status use_word_level(tern_error *err) { return use_other_tokenizer("word-level", err); }

static tern_status use_stages_alone(tern_error *err) { return use_stages(1, err); }

static tern_status use_stages_threaded(tern_error *err) { return use_stages(2, err); }

static tern_status use_tokenizer_json(tern_error *err) { return use_tokenizer("tokenizer", err); }

static tern_status use_vocab_txt(tern_error *err) { return use_tokenizer("vocab-txt", err); }

static tern_status use_merges_txt(tern_error *err) { return use_other_tokenizer("merges-txt", err); }

static tern_status use_spm_unigram(tern_error *err) { return use_other_tokenizer("spm-unigram", err); }

static tern_status use_spm_bpe(tern_error *err) { return use_other_tokenizer("spm-bpe", err); }

static tern_status use_spm_sentinels(tern_error *err) { return use_other_tokenizer("spm-t5", err); }
static const scenario scenarios[] = {
    {"tokenizer.json: load, encode, decode", use_tokenizer_json},
    {"vocab.txt: load, encode, decode", use_vocab_txt},
    {"vocab.json and merges.txt, added and special tokens: load, encode, decode", use_merges_txt},
    {"SentencePiece, Unigram, as XLM-RoBERTa: load, encode, decode", use_spm_unigram},
    {"SentencePiece, BPE, named by its files: load, encode, decode", use_spm_bpe},
    {"SentencePiece, Unigram with sentinels, as T5, in an inner folder: load, encode, decode", use_spm_sentinels},
    {"tokenizer.json: every post-processor and decoder, a batch with 1 thread", use_stages_alone},
    {"tokenizer.json: every post-processor and decoder, a batch with 2 threads", use_stages_threaded},
    {"tokenizer.json: byte-level BPE", use_byte_level_bpe},
    {"tokenizer.json: Unigram with bytes", use_unigram},
    {"tokenizer.json: WordLevel, every normalizer and pre-tokenizer", use_word_level},
    {"normalizers: a charsmap, patterns with classes", run_normalizers},
};

/* ---- The files ---- */

static const char tokenizer_json[] =
    "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": ["
    "{\"id\": 0, \"content\": \"[PAD]\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
    "true},"
    "{\"id\": 1, \"content\": \"[UNK]\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
    "true},"
    "{\"id\": 2, \"content\": \"[CLS]\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
    "true},"
    "{\"id\": 3, \"content\": \"[SEP]\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
    "true},"
    "{\"id\": 4, \"content\": \"[MASK]\", \"single_word\": false, \"lstrip\": true, \"rstrip\": false, \"normalized\": false, \"special\": "
    "true}],"
    "\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, \"strip_accents\": null,"
    " \"lowercase\": true}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"TemplateProcessing\","
    "\"single\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},"
    " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}],"
    "\"pair\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},"
    " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}},"
    " {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 1}}],"
    "\"special_tokens\": {\"[CLS]\": {\"id\": \"[CLS]\", \"ids\": [2], \"tokens\": [\"[CLS]\"]},"
    " \"[SEP]\": {\"id\": \"[SEP]\", \"ids\": [3], \"tokens\": [\"[SEP]\"]}}},"
    "\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},"
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\","
    " \"max_input_chars_per_word\": 100, \"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"[MASK]\": 4, \"a\": 5, "
    "\"b\": 6,"
    " \"##b\": 7, \"c\": 8, \"ecole\": 9, \"na\": 10, \"##ive\": 11, \",\": 12, \"!\": 13}}}";

static const char stages_json[] =
    "{\"version\": \"1.0\", \"added_tokens\": ["
    "{\"id\": 8, \"content\": \"[M]\", \"single_word\": false, \"lstrip\": true, \"rstrip\": true, \"normalized\": false, \"special\": "
    "true}],"
    "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"Sequence\", \"processors\": ["
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true},"
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
    " \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"[S]\", \"type_id\": 0}},"
    " {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],"
    " \"special_tokens\": {\"[S]\": {\"id\": \"[S]\", \"ids\": [1], \"tokens\": [\"[S]\"]}}},"
    "{\"type\": \"BertProcessing\", \"cls\": [\"[S]\", 1], \"sep\": [\"[S]\", 1]}]},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": "
    "\"<0xFF>\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"b+\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"},"
    "{\"type\": \"BPEDecoder\", \"suffix\": \"d\"}, {\"type\": \"Metaspace\", \"replacement\": \"e\"},"
    "{\"type\": \"CTC\", \"pad_token\": \"c\", \"word_delimiter_token\": \"|\", \"cleanup\": true},"
    "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 1}, {\"type\": \"Fuse\"},"
    "{\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true}, {\"type\": \"ByteLevel\"}]},"
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[U]\", \"continuing_subword_prefix\": \"\","
    " \"max_input_chars_per_word\": 100, \"vocab\": {\"[U]\": 0, \"[S]\": 1, \"a\": 2, \"b\": 3, \"c\": 4, \"d\": 5, \"e\": 6, \",\": 7}}}";

#define ADDED_TOKEN                                                                                                                        \
    "\"added_tokens\": [{\"id\": 0, \"content\": \"[M]\", \"single_word\": false, \"lstrip\": false, \"rstrip\": true,"                    \
    " \"normalized\": true, \"special\": true}],"

static const char bpe_json[] =
    "{\"version\": \"1.0\", " ADDED_TOKEN
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\d{1,2}|,\"},"
    " \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true,"
    " \"use_regex\": true}]}, \"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": [\"H\", 0], \"sep\": [\"e\", 1],"
    " \"trim_offsets\": true, \"add_prefix_space\": true}, \"decoder\": {\"type\": \"ByteLevel\"},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"H\", \"fuse_unk\": true, \"byte_fallback\": false, \"vocab\": {\"H\": 0, \"e\": 1,"
    " \"l\": 2, \"o\": 3, \"\xC4\xA0\": 4, \"ll\": 5, \"He\": 6, \"llo\": 7, \"\xC4\xA0He\": 8, \"t\": 9},"
    " \"merges\": [\"l l\", \"H e\", \"ll o\", \"\xC4\xA0 He\"]}}";

static const char unigram_json[] =
    "{\"version\": \"1.0\", " ADDED_TOKEN
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}, {\"type\": \"Replace\","
    " \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \" \"}]}, \"pre_tokenizer\": {\"type\": \"Metaspace\","
    " \"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": \"always\", \"split\": true}, \"decoder\": {\"type\": \"Metaspace\","
    " \"replacement\": \"\xE2\x96\x81\"}, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"byte_fallback\": true, \"vocab\": ["
    "[\"<unk>\", 0], [\"\xE2\x96\x81\", -1.5], [\"Hello\", -2.5], [\"l\", -3], [\"fi\", -3.25], [\"t\", -1e1], [\"<0xE4>\", -4],"
    " [\"<0xB8>\", -4], [\"<0xAD>\", -4]]}}";

static const char word_level_json[] =
    "{\"version\": \"1.0\", " ADDED_TOKEN
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFD\"}, {\"type\": \"StripAccents\"}, {\"type\": \"NFC\"},"
    " {\"type\": \"Nmt\"}, {\"type\": \"Lowercase\"}, {\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true},"
    " {\"type\": \"Prepend\", \"prepend\": \"_\"}, {\"type\": \"NFKD\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \"_\"},"
    " \"content\": \"a \"}]}, \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"WhitespaceSplit\"},"
    " {\"type\": \"Punctuation\", \"behavior\": \"Isolated\"}, {\"type\": \"Digits\", \"individual_digits\": true},"
    " {\"type\": \"UnicodeScripts\"}, {\"type\": \"CharDelimiterSplit\", \"delimiter\": \"x\"}, {\"type\": \"Whitespace\"},"
    " {\"type\": \"FixedLength\", \"length\": 3}, {\"type\": \"Split\", \"pattern\": {\"String\": \"l\"}, \"behavior\":"
    " \"MergedWithPrevious\", \"invert\": false}, {\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"first\"}]},"
    "\"decoder\": {\"type\": \"BPEDecoder\", \"suffix\": \"l\"}, \"model\": {\"type\": \"WordLevel\", \"unk_token\": \"a\","
    " \"vocab\": {\"a\": 0, \"hel\": 1, \"lo\": 2, \"ete\": 3}}}";
static const char vocab_txt[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\nc\necole\nna\n##ive\n,\n!\n";

static void write_spm(const char *name, int model_type) {
    spm_writer model = {.n = 0};
    spm_put_small_model(&model, model_type);
    test_file_write(folder, name, model.bytes, model.n);
}

static void make_folders(void) {
    static const char *const names[] = {"vocab-txt", "merges-txt", "spm-unigram", "spm-bpe", "spm-t5", "spm-t5/0_Transformer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_int_equal(mkdir(in_folder(names[i]).text, 0755), 0);
    write_text("vocab-txt/vocab.txt", vocab_txt);
    write_text("merges-txt/vocab.json", "{\"<s>\": 0, \"</s>\": 1, \"<unk>\": 2, \"l\": 3, \"o\": 4, \"lo\": 5, \"t\": 6, \"\\u0120\": 7}");
    write_text("merges-txt/merges.txt", "#version: 0.2\nl o\n");
    write_text("merges-txt/config.json", "{\"model_type\": \"roberta\"}");
    write_text("merges-txt/tokenizer_config.json",
               "{\"add_prefix_space\": true, \"mask_token\": {\"content\": \"[M]\", \"lstrip\": true}, \"image_token\": \"<i>\","
               " \"additional_special_tokens\": [\"<e>\"]}");
    write_text("merges-txt/special_tokens_map.json",
               "{\"pad_token\": \"<p>\", \"extra_special_tokens\": [{\"content\": \"too\"}, \"<e>\"]}");
    write_text("merges-txt/added_tokens.json", "{\"NEW\": 11, \"it\": 10}");
    write_spm("spm-unigram/sentencepiece.bpe.model", SPM_UNIGRAM);
    write_text("spm-unigram/config.json", "{\"model_type\": \"xlm-roberta\"}");
    write_spm("spm-bpe/tokenizer.model", SPM_BPE);
    write_text(
        "spm-bpe/tokenizer_config.json",
        "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"added_tokens_decoder\": {\"8\": {\"content\": \"[M]\", \"special\": true}}}");
    write_text("spm-t5/modules.json", "[{\"path\": \"0_Transformer\"}]");
    write_spm("spm-t5/0_Transformer/spiece.model", SPM_UNIGRAM);
    write_text("spm-t5/0_Transformer/tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\", \"extra_ids\": 3}");
}

static int set_up(void **state) {
    (void)state;
    void *made;
    if (test_folder_setup(&made) != 0) return -1;
    folder = made;
    assert_int_equal(mkdir(in_folder("tokenizer").text, 0755), 0);
    write_text("tokenizer/tokenizer.json", tokenizer_json);
    assert_int_equal(mkdir(in_folder("stages").text, 0755), 0);
    write_text("stages/tokenizer.json", stages_json);
    assert_int_equal(mkdir(in_folder("bpe").text, 0755), 0);
    write_text("bpe/tokenizer.json", bpe_json);
    assert_int_equal(mkdir(in_folder("unigram").text, 0755), 0);
    write_text("unigram/tokenizer.json", unigram_json);
    assert_int_equal(mkdir(in_folder("word-level").text, 0755), 0);
    write_text("word-level/tokenizer.json", word_level_json);
    make_folders();
    return 0;
}

int main(void) { return run_scenarios("allocation, text", scenarios, sizeof scenarios / sizeof *scenarios, set_up); }
