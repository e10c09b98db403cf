/* unit_pre_tokenizer.c - pre-tokenizers against golden words (scripts/golden-pre-tokenizers.py), the scanners of well-known patterns
 * against the engine, long texts, words from a stretch, byte-level models, and what must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "base/json.h"
#include "base/memory.h"
#include "text/normalizer/normalizer.h"
#include "text/pre_tokenizer/pre_tokenizer.h"
#include "text/unicode/unicode.h"

static tern_status read_pre_tokenizer(tern_pre_tokenizer *out, const char *json, tern_error *err) {
    json_t *root;
    *out = (tern_pre_tokenizer){0};
    TERN_TRY(tern__json_parse(&root, json, strlen(json), "tokenizer.json", err));
    tern_status status = tern__pre_tokenizer_read(out, json_object_get(root, "pre_tokenizer"), "tokenizer.json", err);
    json_decref(root);
    return status;
}

static tern_pre_tokenizer pre_tokenizer_of(const json_t *json) {
    tern_pre_tokenizer out;
    tern_error err;
    if (tern__pre_tokenizer_read(&out, json, "tokenizer.json", &err) != TERN_OK) fail_msg("%s", err.message);
    return out;
}

/* {"type": "Split", ..} by this pattern. */
static tern_pre_tokenizer split_by(const char *pattern) {
    json_t *json = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated", "invert", 0);
    assert_non_null(json);
    tern_pre_tokenizer out = pre_tokenizer_of(json);
    json_decref(json);
    return out;
}

/* A text that no normalizer has changed, which starts at code point `first` of the whole. */
static tern_normalized normalized_of(const unsigned char *text, size_t n_bytes, uint32_t first) {
    tern_normalized out = {.bytes = text, .n_bytes = n_bytes, .first = first, .n_code_points = (uint32_t)tern__utf8_count(text, n_bytes)};
    if (out.n_code_points == n_bytes) return out;
    out.n_bytes = 0;
    assert_true(tern__normalized_reserve(&out, n_bytes, true));
    memcpy(out.byte_buffer, text, n_bytes);
    for (size_t i = 0, n = first; i < n_bytes; i++) {
        n += i > 0 && !tern__utf8_is_continuation(text[i]);
        out.origin_buffer[i] = (uint32_t)n;
    }
    out.n_bytes = n_bytes;
    return out;
}

static void pre_tokenize(tern_words *words, const tern_pre_tokenizer *pre_tokenizer, const tern_normalized *text) {
    tern_error err;
    if (tern__pre_tokenize(words, pre_tokenizer, text, 0, text->n_bytes, &err) != TERN_OK) fail_msg("%s", err.message);
}

static void word_places(const tern_words *words, size_t i, uint32_t places[2]) {
    tern_span span = words->spans.items[i];
    places[0] = tern__origin_start(tern__normalized_origin(words->text, span.start));
    places[1] = tern__origin_end(tern__normalized_origin(words->text, span.end - 1));
}

/* ---- Golden words ---- */

/* [start, end] of a word that stands in the text, [start, end, word] of another. */
static void check_word(const tern_words *words, size_t i, const json_t *wanted, const unsigned char *text, const char *name) {
    uint32_t places[2];
    word_places(words, i, places);
    const json_t *own = json_array_get(wanted, 2);
    long long start = json_integer_value(json_array_get(wanted, 0)), end = json_integer_value(json_array_get(wanted, 1));
    if (places[0] != start || places[1] != end)
        fail_msg("%s: \"%s\": word %zu is at %u-%u, not at %lld-%lld", name, text, i, places[0], places[1], start, end);
    tern_span span = words->spans.items[i];
    const unsigned char *bytes = words->text->bytes + span.start, *wanted_bytes = text;
    size_t n_bytes;
    if (own) {
        wanted_bytes = (const unsigned char *)json_string_value(own);
        n_bytes = json_string_length(own);
    } else {
        long long n = 0;
        for (size_t length; n < start; n++, wanted_bytes += length) (void)tern__utf8_decode(wanted_bytes, &length);
        const unsigned char *stop = wanted_bytes;
        for (size_t length; n < end; n++, stop += length) (void)tern__utf8_decode(stop, &length);
        n_bytes = (size_t)(stop - wanted_bytes);
    }
    if (n_bytes != span.end - span.start || memcmp(bytes, wanted_bytes, n_bytes) != 0)
        fail_msg("%s: \"%s\": word %zu is \"%.*s\"", name, text, i, (int)(span.end - span.start), (const char *)bytes);
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden;
    tern_error err;
    if (tern__json_load(&golden, TERN_TEST_DATA "/golden/pre_tokenizers.json", &err) != TERN_OK) fail_msg("%s", err.message);
    const json_t *cases = json_object_get(golden, "cases"), *texts = json_object_get(golden, "texts");
    size_t n_words = 0;
    tern_words words = {0};
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *config = json_object_get(json_array_get(cases, c), "pre_tokenizer");
        char *name = json_dumps(config, JSON_COMPACT);
        tern_pre_tokenizer pre_tokenizer = pre_tokenizer_of(config);
        for (size_t t = 0; t < json_array_size(texts); t++) {
            const json_t *string = json_array_get(texts, t),
                         *wanted = json_array_get(json_object_get(json_array_get(cases, c), "words"), t);
            const unsigned char *text = (const unsigned char *)json_string_value(string);
            tern_normalized normalized = normalized_of(text, json_string_length(string), 0);
            pre_tokenize(&words, &pre_tokenizer, &normalized);
            if (words.spans.n != json_array_size(wanted))
                fail_msg("%s: \"%s\" has %zu words, not %zu", name, text, words.spans.n, json_array_size(wanted));
            for (size_t i = 0; i < words.spans.n; i++) check_word(&words, i, json_array_get(wanted, i), text, name);
            n_words += words.spans.n;
            tern__normalized_free(&normalized);
        }
        tern__pre_tokenizer_free(&pre_tokenizer);
        free(name);
    }
    assert_true(json_array_size(cases) > 150 && n_words > 20000);
    tern__words_free(&words);
    json_decref(golden);
}

/* ---- Well-known patterns ---- */

#define CL100K(numbers)                                                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"                 \
    "\\s+(?!\\S)|\\s+"
#define HEAD   "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAIL   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define ENDING "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"

static const char *const known_patterns[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    CL100K("\\p{N}{1,3}"),
    CL100K("\\p{N}"),
    "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
    "[^\\r\\n\\p{L}\\p{N}]?" HEAD "*" TAIL "+" ENDING "[^\\r\\n\\p{L}\\p{N}]?" HEAD "+" TAIL "*" ENDING
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};
#define N_KNOWN (sizeof known_patterns / sizeof *known_patterns)

/* A scanner, and the same pattern in a group, which is not known. */
typedef struct scanner_and_engine {
    tern_pre_tokenizer scanner, engine;
    tern_words found, wanted;
} scanner_and_engine;

static scanner_and_engine compare_start(const char *pattern) {
    char group[1024];
    int n = snprintf(group, sizeof group, "(?:%s)", pattern);
    assert_in_range(n, 1, sizeof group - 1);
    return (scanner_and_engine){.scanner = split_by(pattern), .engine = split_by(group)};
}

static void compare_end(scanner_and_engine *it) {
    tern__pre_tokenizer_free(&it->scanner);
    tern__pre_tokenizer_free(&it->engine);
    tern__words_free(&it->found);
    tern__words_free(&it->wanted);
}

static void compare(scanner_and_engine *it, const unsigned char *text, size_t n_bytes, const char *pattern) {
    tern_normalized normalized = {.bytes = text, .n_bytes = n_bytes};
    pre_tokenize(&it->found, &it->scanner, &normalized);
    pre_tokenize(&it->wanted, &it->engine, &normalized);
    size_t n = it->wanted.spans.n;
    if (it->found.spans.n == n && memcmp(it->found.spans.items, it->wanted.spans.items, n * sizeof(tern_span)) == 0) return;
    for (size_t i = 0; i < n && i < it->found.spans.n; i++) {
        tern_span found = it->found.spans.items[i], wanted = it->wanted.spans.items[i];
        if (found.start == wanted.start && found.end == wanted.end) continue;
        fail_msg("%s: byte %u: the scanner's word is \"%.*s\", the engine's \"%.*s\"", pattern, found.start, (int)(found.end - found.start),
                 (const char *)text + found.start, (int)(wanted.end - wanted.start), (const char *)text + wanted.start);
    }
    fail_msg("%s: %zu words, not %zu", pattern, it->found.spans.n, n);
}

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % n);
}

/* A mix of what the patterns tell apart; one in eight is any code point. */
static size_t random_text(unsigned char *out, size_t n_code_points, uint64_t *state) {
    static const char *const often[] = {
        "a",
        "b",
        "Z",
        "s",
        "t",
        "S",
        "re",
        "VE",
        "ll",
        "d",
        "'",
        "'",
        " ",
        " ",
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "0",
        "1",
        "12345",
        ".",
        ",",
        "!",
        "/",
        "-",
        "_",
        "\xC3\xA9",
        "\xC3\x89",
        "\xC5\xBF",
        "\xCC\x81",
        "\xC2\xA0",
        "\xE3\x80\x80",
        "\xE2\x80\xA8",
        "\xD9\xA1",
        "\xC2\xB2",
        "\xE6\x97\xA5",
        "\xCA\xB0",
        "\xC7\x85",
        "\xF0\x9F\x91\x8D",
        "\xE2\x80\x8D",
        "hello world it's",
    };
    size_t n = 0;
    for (size_t i = 0; i < n_code_points; i++) {
        uint32_t any = random_below(state, 0x110000);
        if (random_below(state, 8) != 0 || (any >= 0xD800 && any < 0xE000)) {
            const char *text = often[random_below(state, sizeof often / sizeof *often)];
            memcpy(out + n, text, strlen(text));
            n += strlen(text);
        } else {
            n += tern__utf8_encode(out + n, random_below(state, 2) ? any : any % 0x3000);
        }
    }
    return n;
}

static void test_known_random(void **state) {
    (void)state;
    enum { N_TEXTS = 3000, LONGEST = 160, MOST_BYTES = 20 };
    static unsigned char text[LONGEST * MOST_BYTES];
    for (size_t p = 0; p < N_KNOWN; p++) {
        uint64_t seed = p + 1;
        scanner_and_engine it = compare_start(known_patterns[p]);
        for (size_t i = 0; i < N_TEXTS; i++) compare(&it, text, random_text(text, random_below(&seed, LONGEST), &seed), known_patterns[p]);
        compare_end(&it);
    }
}

/* Planes 3 to 16 hold nothing but what is unassigned or private, and the tags of plane 14. */
static bool is_dull(uint32_t c) { return c >= 0x33480 && !(c >= 0xE0000 && c < 0xE0200); }

/* Each code point between others of each kind; a dull one between one pair of them. */
static void test_known_code_points(void **state) {
    (void)state;
    static const char *const before[] = {"a", " ", "1", "\n", "'", "."}, *const behind[] = {"b", "  c", "2", "\n", "'s", "\xCC\x81"};
    enum { N = 6, STEP = 0x1000, MOST_BYTES = N * 16 };
    static unsigned char text[STEP * MOST_BYTES];
    for (size_t p = 0; p < N_KNOWN; p++) {
        scanner_and_engine it = compare_start(known_patterns[p]);
        for (uint32_t base = 0; base < 0x110000; base += STEP) {
            size_t n = 0;
            for (uint32_t c = base; c < base + STEP; c++) {
                if (c >= 0xD800 && c < 0xE000) continue;
                for (size_t k = is_dull(c) ? c % N : 0; k < (is_dull(c) ? c % N + 1 : N); k++) {
                    size_t n_before = strlen(before[k]), n_behind = strlen(behind[k]);
                    memcpy(text + n, before[k], n_before);
                    n += n_before;
                    n += tern__utf8_encode(text + n, c);
                    memcpy(text + n, behind[k], n_behind);
                    n += n_behind;
                }
            }
            compare(&it, text, n, known_patterns[p]);
        }
        compare_end(&it);
    }
}

/* ---- Words of a stretch ---- */

/* A stretch is a text of its own, but "first" and places go by the whole. */
static void test_stretch(void **state) {
    (void)state;
    static const char text[] = "x one two";
    tern_pre_tokenizer pre_tokenizer;
    tern_words words = {0};
    tern_error err;
    for (uint32_t first = 0; first < 2; first++) {
        assert_int_equal(read_pre_tokenizer(&pre_tokenizer,
                                            "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},"
                                            "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\"}]}}",
                                            &err),
                         TERN_OK);
        tern_normalized normalized = normalized_of((const unsigned char *)text + 2 * first, 9 - 2 * first, 2 * first);
        pre_tokenize(&words, &pre_tokenizer, &normalized);
        assert_int_equal(words.spans.n, 3 - first);
        assert_int_equal(words.text->bytes[0], first == 0 ? '_' : 'o');
        uint32_t places[2];
        word_places(&words, words.spans.n - 1, places);
        assert_int_equal(places[0], 6);
        assert_int_equal(places[1], 9);
        assert_int_equal(tern__pre_tokenize(&words, &pre_tokenizer, &normalized, 2, 4, &err), TERN_OK);
        assert_int_equal(words.spans.n, 1);
        word_places(&words, 0, places);
        assert_int_equal(places[0], 2 + 2 * first);
        assert_int_equal(places[1], 4 + first);
        tern__pre_tokenizer_free(&pre_tokenizer);
    }
    tern__words_free(&words);
}

/* The same words again take no new memory. */
static void test_steady_state(void **state) {
    (void)state;
    static const unsigned char text[] = "some words, 12 of them: don't split (all) of these at once!";
    tern_pre_tokenizer pre_tokenizer;
    tern_error err;
    assert_int_equal(read_pre_tokenizer(&pre_tokenizer,
                                        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Whitespace\"},"
                                        "{\"type\":\"Metaspace\",\"replacement\":\"_\"},"
                                        "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true}]}}",
                                        &err),
                     TERN_OK);
    tern_words words = {0};
    tern_normalized normalized = normalized_of(text, sizeof text - 1, 0);
    pre_tokenize(&words, &pre_tokenizer, &normalized);
    pre_tokenize(&words, &pre_tokenizer, &normalized);
    tern_words before = words;
    for (int i = 0; i < 4; i++) pre_tokenize(&words, &pre_tokenizer, &normalized);
    assert_int_equal(words.spans.capacity, before.spans.capacity);
    assert_int_equal(words.spare_spans.capacity, before.spare_spans.capacity);
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(words.changed[i].byte_buffer, before.changed[i].byte_buffer);
        assert_ptr_equal(words.changed[i].origin_buffer, before.changed[i].origin_buffer);
    }
    tern__words_free(&words);
    tern__pre_tokenizer_free(&pre_tokenizer);
}

/* ---- Byte-level models ---- */

static void test_byte_level(void **state) {
    (void)state;
    static const struct {
        const char *json;
        bool is_byte_level;
    } cases[] = {
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true}", true},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
         "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}",
         true},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true},"
         "{\"type\":\"Whitespace\"}]}",
         false},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[]}", false},
        {"null", false},
    };
    static const unsigned char text[] = "\xC3\xA9t\xC3\xA9 7";
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        tern_pre_tokenizer mapped, raw;
        tern_words mapped_words = {0}, raw_words = {0};
        tern_error err;
        char json[512];
        snprintf(json, sizeof json, "{\"pre_tokenizer\":%s}", cases[c].json);
        assert_int_equal(read_pre_tokenizer(&mapped, json, &err), TERN_OK);
        assert_int_equal(read_pre_tokenizer(&raw, json, &err), TERN_OK);
        assert_int_equal(tern__pre_tokenizer_is_byte_level(&raw), cases[c].is_byte_level);
        tern__pre_tokenizer_skip_byte_mapping(&raw);
        tern_normalized normalized = normalized_of(text, sizeof text - 1, 0);
        pre_tokenize(&mapped_words, &mapped, &normalized);
        pre_tokenize(&raw_words, &raw, &normalized);
        assert_int_equal(mapped_words.spans.n, raw_words.spans.n);
        for (size_t i = 0; i < raw_words.spans.n; i++) {
            uint32_t mapped_places[2], raw_places[2];
            word_places(&mapped_words, i, mapped_places);
            word_places(&raw_words, i, raw_places);
            assert_memory_equal(mapped_places, raw_places, sizeof raw_places);
        }
        if (cases[c].is_byte_level) {
            tern_span last = raw_words.spans.items[raw_words.spans.n - 1];
            assert_int_equal(raw_words.text->bytes[last.end - 1], '7');
            assert_memory_equal(raw_words.text->bytes + (c == 0), text, sizeof text - 1); /* a space before */
        }
        tern__normalized_free(&normalized);
        tern__words_free(&mapped_words);
        tern__words_free(&raw_words);
        tern__pre_tokenizer_free(&mapped);
        tern__pre_tokenizer_free(&raw);
    }
}

/* ---- What must be refused ---- */

static void test_bad_files(void **state) {
    (void)state;
#define SPLIT(pattern, behavior, invert) "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":" behavior ",\"invert\":" invert "}"
    static const struct {
        const char *json, *message;
        tern_status code;
    } cases[] = {
        {"7", "tokenizer.json: \"pre_tokenizer\" must be an object or null", TERN_E_FORMAT},
        {"{}", "tokenizer.json: pre_tokenizer: \"type\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Other\"}", "tokenizer.json: pre_tokenizer Other is not supported", TERN_E_UNSUPPORTED},
        {"{\"type\":\"ByteLevel\",\"trim_offsets\":true}", "pre_tokenizer ByteLevel: \"add_prefix_space\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "pre_tokenizer ByteLevel: \"trim_offsets\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":null}",
         "ByteLevel: \"use_regex\" must be true or false", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\"}", "pre_tokenizer Metaspace: \"replacement\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "Metaspace: \"replacement\" must be one character", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"\"}", "Metaspace: \"replacement\" must be one character", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}", "\"prepend_scheme\" must be always, first or never",
         TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":null}", "\"prepend_scheme\" must be a string", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}",
         "\"prepend_scheme\" must be never where add_prefix_space is false", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"str_rep\":3}", "Metaspace: \"str_rep\" must be a string", TERN_E_FORMAT},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"split\":3}", "Metaspace: \"split\" must be true or false", TERN_E_FORMAT},
        {"{\"type\":\"Punctuation\",\"behavior\":\"isolated\"}", "Punctuation: \"behavior\" must be Removed, Isolated", TERN_E_FORMAT},
        {"{\"type\":\"Digits\"}", "pre_tokenizer Digits: \"individual_digits\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"CharDelimiterSplit\"}", "CharDelimiterSplit: \"delimiter\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"  \"}", "CharDelimiterSplit: \"delimiter\" must be one character",
         TERN_E_FORMAT},
        {"{\"type\":\"FixedLength\",\"length\":0}", "FixedLength: \"length\" must be a whole number, at least 1", TERN_E_FORMAT},
        {"{\"type\":\"FixedLength\",\"length\":null}", "FixedLength: \"length\" must be a whole number", TERN_E_FORMAT},
        {SPLIT("\"a\"", "\"Removed\"", "true"), "pre_tokenizer Split: \"pattern\" must be an object", TERN_E_FORMAT},
        {SPLIT("{\"String\":\"a\"}", "\"removed\"", "true"), "Split: \"behavior\" must be Removed, Isolated", TERN_E_FORMAT},
        {SPLIT("{\"String\":\"a\"}", "\"Removed\"", "null"), "Split: \"invert\" must be true or false", TERN_E_FORMAT},
        {SPLIT("{\"Other\":\"a\"}", "\"Removed\"", "false"), "pre_tokenizer Split: \"pattern\" must be", TERN_E_FORMAT},
        {SPLIT("{\"Regex\":\"(\"}", "\"Removed\"", "false"), "pre_tokenizer Split", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\"}", "pre_tokenizer Sequence: \"pretokenizers\" is missing", TERN_E_FORMAT},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT("{\"Regex\":\"a\"}", "\"Removed\"", "false") ",null]}",
         "\"pre_tokenizer\" must be an object", TERN_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_pre_tokenizer pre_tokenizer;
        tern_error err;
        char json[512];
        snprintf(json, sizeof json, "{\"pre_tokenizer\":%s}", cases[i].json);
        tern_status status = read_pre_tokenizer(&pre_tokenizer, json, &err);
        tern__pre_tokenizer_free(&pre_tokenizer);
        if (status != cases[i].code || !strstr(err.message, cases[i].message))
            fail_msg("%s: %s \"%s\"", cases[i].json, tern_status_name(status), status == TERN_OK ? "" : err.message);
    }
}

static void test_deep_sequence(void **state) {
    (void)state;
    for (int depth = 1; depth < 200; depth += 31) { /* 1 and 32 in one another are taken, 63 and more are not */
        char json[16384];
        size_t n = (size_t)snprintf(json, sizeof json, "{\"pre_tokenizer\":");
        for (int i = 0; i < depth; i++) n += (size_t)snprintf(json + n, sizeof json - n, "{\"type\":\"Sequence\",\"pretokenizers\":[");
        for (int i = 0; i < depth; i++) n += (size_t)snprintf(json + n, sizeof json - n, "]}");
        snprintf(json + n, sizeof json - n, "}");
        tern_pre_tokenizer pre_tokenizer;
        tern_error err;
        tern_status status = read_pre_tokenizer(&pre_tokenizer, json, &err);
        tern__pre_tokenizer_free(&pre_tokenizer);
        if (depth > 100) assert_true(status != TERN_OK); /* JSON this deep is not read at all */
        else assert_int_equal(status, depth <= 32 ? TERN_OK : TERN_E_UNSUPPORTED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_known_random),  cmocka_unit_test(test_known_code_points),
        cmocka_unit_test(test_stretch),   cmocka_unit_test(test_steady_state),  cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_deep_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
