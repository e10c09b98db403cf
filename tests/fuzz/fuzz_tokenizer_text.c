/* fuzz_tokenizer_text.c - any bytes as a text: refused where they are not UTF-8, else encoded so that what comes out fits together: offsets
 * inside the text (and for BERT in order), ids of the vocabulary, and the same with truncation, whose encoding and overflowing pieces are
 * the whole again. The first byte chooses the tokenizer: BERT's with all ways of BertNormalizer, or one of the other pipelines below.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode/unicode.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

enum { N_BERT = 8, N_OTHERS = 8, N_TOKENIZERS = N_BERT + N_OTHERS };
static tern_tokenizer *tokenizers[N_TOKENIZERS];

static void require(bool is_so) {
    if (!is_so) abort();
}

/* clang-format off */
/* JSON in which ` stands for ". */
#define ADDED_LSTRIP(token) \
    "{`id`:0,`content`:`" token "`,`single_word`:false,`lstrip`:true,`rstrip`:false,`normalized`:false,`special`:true}"
#define ADDED_WORD(token) \
    "{`id`:0,`content`:`" token "`,`single_word`:true,`lstrip`:false,`rstrip`:true,`normalized`:false,`special`:false}"
#define ADDED_NORMAL(token) \
    "{`id`:0,`content`:`" token "`,`single_word`:true,`lstrip`:true,`rstrip`:true,`normalized`:true,`special`:false}"
#define UNDERLINE "\xE2\x96\x81"
#define E_ACUTE   "\xC3\xA9"
#define CHINESE   "\xE4\xB8\xAD"
#define GPT_SPACE "\xC4\xA0"
#define PIECES                                                                                                                    \
    "`vocab`:{`<unk>`:0,`a`:1,`b`:2,`" UNDERLINE "`:3,`" E_ACUTE "`:4,`ab`:5,`" UNDERLINE "a`:6,`" CHINESE "`:7,`<0x20>`:8,`<0xC3>`:9," \
    "`<0xCC>`:10,`<0x81>`:11,`aa`:12}"
#define BYTE_PIECES                                                                                                                   \
    "`model`:{`type`:`BPE`,`unk_token`:`!`,`vocab`:{`!`:0,`a`:1,`b`:2,`" GPT_SPACE "`:3,`\xC3\x83`:4,`\xC2\xA9`:5,`ab`:6,`" GPT_SPACE \
    "a`:7,`\xC4\x8A`:8},`merges`:[[`a`,`b`],[`" GPT_SPACE "`,`a`]]}"
#define UNIGRAM                                                                                                          \
    "`model`:{`type`:`Unigram`,`unk_id`:0,`vocab`:[[`<unk>`,0],[`a`,-1.5],[`b`,-2],[`" UNDERLINE "`,-2.5],[`ab`,-3],[`" \
    UNDERLINE "a`,-3],[`" E_ACUTE "`,-4],[`" CHINESE "`,-4],[`aa`,-2.9]]}"
#define BYTE_LEVEL     "{`type`:`ByteLevel`,`add_prefix_space`:false,`trim_offsets`:true,`use_regex`:false}"
#define METASPACE      "{`type`:`Metaspace`,`replacement`:`" UNDERLINE "`,`prepend_scheme`:`always`,`split`:true}"
#define SPLIT(pattern) "{`type`:`Split`,`pattern`:{`Regex`:`" pattern "`},`behavior`:`Isolated`,`invert`:false}"
#define LLAMA3                                                                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*" \
    "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const char gpt2[] =
    "{`added_tokens`:[" ADDED_LSTRIP("<s>") "],"
    "`pre_tokenizer`:{`type`:`ByteLevel`,`add_prefix_space`:true,`trim_offsets`:true},"
    "`post_processor`:{`type`:`RobertaProcessing`,`sep`:[`b`,2],`cls`:[`a`,1],`trim_offsets`:true,`add_prefix_space`:true},"
    "`decoder`:" BYTE_LEVEL "," BYTE_PIECES "}";
static const char llama3[] =
    "{`added_tokens`:[],`pre_tokenizer`:{`type`:`Sequence`,`pretokenizers`:[" SPLIT(LLAMA3) "," BYTE_LEVEL "]},"
    "`decoder`:" BYTE_LEVEL "," BYTE_PIECES "}";
static const char llama2[] =
    "{`added_tokens`:[" ADDED_WORD("<s>") "],`normalizer`:{`type`:`Sequence`,`normalizers`:["
    "{`type`:`Prepend`,`prepend`:`" UNDERLINE "`},{`type`:`Replace`,`pattern`:{`String`:` `},`content`:`" UNDERLINE "`}]},"
    "`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`ByteFallback`},{`type`:`Fuse`},{`type`:`Strip`,`content`:` `,`start`:1,`stop`:0}]},"
    "`model`:{`type`:`BPE`," PIECES ",`merges`:[`a b`,`" UNDERLINE " a`],`unk_token`:`<unk>`,`fuse_unk`:true,`byte_fallback`:true}}";
static const char gemma[] =
    "{`added_tokens`:[" ADDED_LSTRIP("\\n") "," ADDED_NORMAL("no") "],`normalizer`:{`type`:`NFC`},"
    "`pre_tokenizer`:{`type`:`Split`,`pattern`:{`String`:` `},`behavior`:`MergedWithPrevious`,`invert`:false},"
    "`decoder`:{`type`:`BPEDecoder`,`suffix`:`b`},"
    "`model`:{`type`:`BPE`," PIECES ",`merges`:[`a a`],`unk_token`:`<unk>`,`ignore_merges`:true}}";
static const char xlm_roberta[] =
    "{`added_tokens`:[" ADDED_LSTRIP("[M]") "],`normalizer`:{`type`:`NFKC`},"
    "`pre_tokenizer`:{`type`:`Sequence`,`pretokenizers`:[{`type`:`WhitespaceSplit`}," METASPACE "]},"
    "`decoder`:" METASPACE "," UNIGRAM "}";
static const char albert[] =
    "{`added_tokens`:[],`normalizer`:{`type`:`Sequence`,`normalizers`:[{`type`:`NFKD`},{`type`:`StripAccents`},{`type`:`Lowercase`},"
    "{`type`:`Strip`,`strip_left`:true,`strip_right`:true},{`type`:`Replace`,`pattern`:{`Regex`:` {2,}`},`content`:` `}]},"
    "`pre_tokenizer`:" METASPACE ",`decoder`:" METASPACE "," UNIGRAM "}";
static const char classes[] =
    "{`added_tokens`:[],`normalizer`:{`type`:`Sequence`,`normalizers`:[{`type`:`Nmt`},{`type`:`NFD`}]},"
    "`pre_tokenizer`:{`type`:`Sequence`,`pretokenizers`:[{`type`:`Whitespace`},{`type`:`Digits`,`individual_digits`:true},"
    "{`type`:`UnicodeScripts`},{`type`:`Punctuation`,`behavior`:`Contiguous`}]},"
    "`model`:{`type`:`WordLevel`,`unk_token`:`<unk>`," PIECES "}}";
static const char lengths[] =
    "{`added_tokens`:[],`normalizer`:{`type`:`ByteLevel`},"
    "`pre_tokenizer`:{`type`:`Sequence`,`pretokenizers`:[{`type`:`FixedLength`,`length`:5},"
    "{`type`:`CharDelimiterSplit`,`delimiter`:`a`}," SPLIT("\\\\b|\\\\w+?(?=b)|(?<!a)\\\\d{1,3}") "]},"
    "`decoder`:{`type`:`CTC`,`pad_token`:`a`,`word_delimiter_token`:`b`,`cleanup`:true}," BYTE_PIECES "}";
static const char *const others[N_OTHERS] = {gpt2, llama3, llama2, gemma, xlm_roberta, albert, classes, lengths};
/* clang-format on */

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
    for (unsigned i = 0; i < N_BERT; i++) {
        char text[2048];
        int n = snprintf(text, sizeof text, form, i & 1 ? "true" : "false", i & 1 ? "true" : "false", i & 2 ? "true" : "false",
                         i & 4 ? "true" : "false");
        require(n > 0 && (size_t)n < sizeof text);
        require(tern__tokenizer_from_json(&tokenizers[i], text, (size_t)n, "fuzz", NULL) == TERN_OK);
    }
    for (unsigned i = 0; i < N_OTHERS; i++) {
        char text[4096]; /* it is read destructively */
        const size_t n = strlen(others[i]);
        require(n < sizeof text);
        for (size_t at = 0; at <= n; at++) text[at] = others[i][at] == '`' ? '"' : others[i][at];
        tern_error err;
        const tern_status status = tern__tokenizer_from_json(&tokenizers[N_BERT + i], text, n, "fuzz", &err);
        if (status != TERN_OK) fprintf(stderr, "tokenizer %u: %s\n", i, err.message);
        require(status == TERN_OK);
    }
    return 0;
}

static void check_encoding(const tern_encoding *encoding, const tern_tokenizer *tokenizer, size_t n_code_points, bool is_bert) {
    for (size_t i = 0; i < encoding->n; i++) {
        require(encoding->offsets[i][0] <= n_code_points && encoding->offsets[i][1] <= n_code_points);
        require(!is_bert || encoding->offsets[i][0] < encoding->offsets[i][1]);
        require(!is_bert || i == 0 || encoding->offsets[i][0] >= encoding->offsets[i - 1][0]);
        require(encoding->type_ids[i] == 0 && encoding->special_tokens_mask[i] == 0);
        require(tern_tokenizer_id_to_token(tokenizer, encoding->ids[i]) != NULL);
    }
}

/* Without a stride the pieces, one behind the other, are the whole. Roberta's post-processor trims offsets by where a token stands in its
 * piece: they are not compared then. */
static void check_pieces(const tern_encoding *whole, const tern_encoding *cut, bool is_left, bool trims_offsets) {
    size_t done = 0;
    for (size_t p = 0; p <= cut->n_overflowing; p++) {
        const tern_encoding *piece = p == 0 ? cut : &cut->overflowing[p - 1];
        require(piece->n <= whole->n - done);
        const size_t at = is_left ? whole->n - done - piece->n : done;
        require(piece->n == 0 || memcmp(piece->ids, whole->ids + at, piece->n * sizeof *piece->ids) == 0);
        require(piece->n == 0 || trims_offsets || memcmp(piece->offsets, whole->offsets + at, piece->n * sizeof *piece->offsets) == 0);
        done += piece->n;
    }
    require(done == whole->n);
}

static void check_batch(const tern_encoding *whole, const tern_tokenizer *tokenizer, tern_text text) {
    const tern_text texts[2] = {text, text};
    tern_encoding both[2];
    tern_encode_options options = tern_encode_options_default();
    options.threads = 1;
    options.add_special_tokens = false;
    require(tern_tokenizer_encode_batch(both, tokenizer, texts, NULL, 2, &options, NULL) == TERN_OK);
    for (size_t i = 0; i < 2; i++) {
        require(both[i].n == whole->n && (whole->n == 0 || memcmp(both[i].ids, whole->ids, whole->n * sizeof *whole->ids) == 0));
        tern_encoding_free(&both[i]);
    }
}

static void check_truncation(const tern_encoding *whole, const tern_tokenizer *tokenizer, tern_text text, unsigned chosen,
                             unsigned variant) {
    tern_encode_options options = tern_encode_options_default();
    tern_encoding cut;
    options.add_special_tokens = false;
    options.max_length = 1 + variant;
    options.with_overflowing = true;
    options.truncation_direction = variant & 2 ? TERN_CUT_LEFT : TERN_CUT_RIGHT;
    require(tern_tokenizer_encode(&cut, tokenizer, text, NULL, &options, NULL) == TERN_OK);
    require(cut.n == (whole->n < options.max_length ? whole->n : options.max_length));
    check_pieces(whole, &cut, variant & 2, chosen == N_BERT);
    tern_encoding_free(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes == 0) return 0;
    const unsigned chosen = bytes[0] % N_TOKENIZERS, variant = bytes[0] / N_TOKENIZERS;
    const tern_tokenizer *tokenizer = tokenizers[chosen];
    const tern_text text = {.data = (const char *)bytes + 1, .bytes = n_bytes - 1};
    const size_t n_valid = tern__utf8_valid_prefix(bytes + 1, text.bytes);
    tern_encode_options options = tern_encode_options_default();
    tern_encoding encoding;
    options.add_special_tokens = false;
    options.with_tokens = options.with_word_ids = variant & 1;
    tern_status status = tern_tokenizer_encode(&encoding, tokenizer, text, NULL, &options, NULL);
    require(status == (n_valid == text.bytes ? TERN_OK : TERN_E_ARGUMENT));
    if (status != TERN_OK) return 0;
    check_encoding(&encoding, tokenizer, tern__utf8_count(bytes + 1, text.bytes), chosen < N_BERT);
    check_batch(&encoding, tokenizer, text);
    check_truncation(&encoding, tokenizer, text, chosen, variant);
    char *decoded;
    size_t n_decoded;
    require(tern_tokenizer_decode(&decoded, &n_decoded, tokenizer, encoding.ids, encoding.n, variant & 1, NULL) == TERN_OK);
    require(tern__utf8_valid_prefix((unsigned char *)decoded, n_decoded) == n_decoded);
    tern_free(decoded);
    tern_encoding_free(&encoding);
    return 0;
}
