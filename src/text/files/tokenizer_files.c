/* tokenizer_files.c - a BERT tokenizer from a folder that has vocab.txt and no tokenizer.json: what transformers' BertTokenizer makes of
 * vocab.txt, tokenizer_config.json, special_tokens_map.json and added_tokens.json. The last two count only where tokenizer_config.json has
 * no "added_tokens_decoder", as there. Source: Hugging Face transformers 5, BertTokenizer.from_pretrained.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/json_fields.h"
#include "text/tokenizer.h"
#include "text/unicode/unicode.h"

/* The named special tokens, in the order in which they are added. */
enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, N_NAMED };
static const char *const token_keys[N_NAMED] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
static const char *const token_defaults[N_NAMED] = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

/* Classes whose tokens are made as BertTokenizer's; each also with "Fast" behind it. */
static const char *const bert_classes[] = {"BertTokenizer",       "DistilBertTokenizer",        "ElectraTokenizer",
                                           "MobileBertTokenizer", "ConvBertTokenizer",          "LayoutLMTokenizer",
                                           "LxmertTokenizer",     "SqueezeBertTokenizer",       "RetriBertTokenizer",
                                           "DPRReaderTokenizer",  "DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer"};

#define CONFIG_FILE "tokenizer_config.json"
#define MAP_FILE    "special_tokens_map.json"
#define ADDED_FILE  "added_tokens.json"

/* The files as read; NULL where there is none. */
typedef struct tern_vocab_folder {
    const char *folder;
    json_t *config, *map, *added;
} tern_vocab_folder;

/* A token that is to be added. */
typedef struct tern_token_wish {
    tern_added_token token;
    bool has_normalized; /* token.normalized was given; when not, it is the contrary of token.special */
    bool is_string;      /* given as a string: a second string of the same content changes nothing */
    bool is_in_map;      /* named: by special_tokens_map.json, or by a plain string of tokenizer_config.json */
    int32_t index;       /* where the file wants it; only orders them */
} tern_token_wish;

typedef struct tern_token_wishes {
    tern_token_wish *items;
    size_t n, capacity;
} tern_token_wishes;

static tern_status load_if_there(json_t **out, const char *folder, const char *name, tern_error *err) {
    *out = NULL;
    char *path = tern__path_join(folder, name);
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    tern_status status = tern__file_exists(path) ? tern__json_load(out, path, err) : TERN_OK;
    free(path);
    if (status == TERN_OK && *out && !json_is_object(*out))
        status = TERN_FAIL(err, TERN_E_FORMAT, "%s/%s: must hold an object", folder, name);
    return status;
}

/* A line each; white space at its end does not count. A token that stands twice has the number of its last line. */
static tern_status read_vocab_lines(tern_vocabulary *out, const char *text, size_t n_bytes, const char *path, tern_error *err) {
    size_t n_valid = tern__utf8_valid_prefix((const unsigned char *)text, n_bytes);
    if (n_valid < n_bytes) return TERN_FAIL(err, TERN_E_FORMAT, "%s: not UTF-8 at byte %zu", path, n_valid);
    int32_t id = 0;
    for (size_t start = 0; start < n_bytes; id++) {
        const char *newline = memchr(text + start, '\n', n_bytes - start);
        size_t end = newline ? (size_t)(newline - text) : n_bytes, next = newline ? end + 1 : n_bytes;
        while (end > start) {
            size_t last = end - 1, length;
            while (tern__utf8_is_continuation((unsigned char)text[last])) last--;
            if (!(tern__unicode_find(tern__utf8_decode((const unsigned char *)text + last, &length)).flags & TERN_UNICODE_SPACE)) break;
            end = last;
        }
        bool is_new;
        if (id == INT32_MAX) return TERN_FAIL(err, TERN_E_FORMAT, "%s: too many lines", path);
        if (!tern__vocabulary_set(out, text + start, end - start, id, &is_new)) return TERN_FAIL_MEMORY(err, end - start);
        start = next;
    }
    if (!tern__vocabulary_index_ids(out)) return TERN_FAIL_MEMORY(err, out->n_entries * sizeof *out->id_slots);
    return TERN_OK;
}

static tern_status load_vocab(tern_vocabulary *out, const char *folder, tern_error *err) {
    char *path = tern__path_join(folder, "vocab.txt"), *text;
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + 16);
    size_t n_bytes;
    tern_status status;
    if (!tern__file_exists(path)) {
        status = TERN_FAIL(err, TERN_E_IO, "%s: has neither tokenizer.json nor vocab.txt", folder);
    } else {
        status = tern__file_read(&text, &n_bytes, path, TERN_JSON_MAX_BYTES, err);
        if (status == TERN_OK) {
            status = read_vocab_lines(out, text, n_bytes, path, err);
            free(text);
        }
    }
    free(path);
    return status;
}

static tern_status optional_bool(bool *value, bool *is_there, const json_t *config, const char *key, tern_json_place place,
                                 tern_error *err) {
    const json_t *found = json_object_get(config, key);
    *is_there = found && !json_is_null(found);
    return *is_there ? tern__json_bool(value, config, key, place, err) : TERN_OK;
}

/* A token is a string, or an object with the fields of an added token, of which only the content must be there. */
static tern_status read_wish(tern_token_wish *out, const json_t *json, const char *key, bool is_special, tern_json_place place,
                             tern_error *err) {
    tern_added_token *token = &out->token;
    *out = (tern_token_wish){.token = {.special = is_special, .normalized = !is_special}};
    if (json_is_string(json)) {
        out->is_string = true;
        token->content = (tern_text){.data = json_string_value(json), .bytes = json_string_length(json)};
        return TERN_OK;
    }
    if (!json_is_object(json)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"%s\" must be a string or an object", place.file, key);
    bool is_there;
    TERN_TRY(tern__json_text(&token->content, json, "content", place, err));
    TERN_TRY(optional_bool(&token->single_word, &is_there, json, "single_word", place, err));
    TERN_TRY(optional_bool(&token->lstrip, &is_there, json, "lstrip", place, err));
    TERN_TRY(optional_bool(&token->rstrip, &is_there, json, "rstrip", place, err));
    if (!is_special) TERN_TRY(optional_bool(&token->special, &is_there, json, "special", place, err));
    token->normalized = !token->special;
    return optional_bool(&token->normalized, &out->has_normalized, json, "normalized", place, err);
}

/* Among the first n wishes. */
static tern_token_wish *find_wish(const tern_token_wishes *wishes, size_t n, tern_text content) {
    for (size_t i = 0; i < n; i++) {
        tern_text other = wishes->items[i].token.content;
        if (other.bytes == content.bytes && memcmp(other.data, content.data, content.bytes) == 0) return &wishes->items[i];
    }
    return NULL;
}

static tern_status push_wish(tern_token_wishes *wishes, tern_token_wish wish, tern_error *err) {
    if (!tern__grow(&wishes->items, &wishes->capacity, wishes->n + 1, sizeof *wishes->items))
        return TERN_FAIL_MEMORY(err, sizeof *wishes->items);
    wishes->items[wishes->n++] = wish;
    return TERN_OK;
}

static int compare_wishes(const void *left, const void *right) {
    const tern_token_wish *a = left, *b = right;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* What tokenizer_config.json or special_tokens_map.json calls `key`; the latter wins. NULL: neither has it. */
static const json_t *find_setting(const tern_vocab_folder *files, const char *key, tern_json_place *place) {
    const json_t *value = json_object_get(files->map, key);
    *place = (tern_json_place){.file = value ? MAP_FILE : CONFIG_FILE, .part = key, .type = ""};
    return value ? value : json_object_get(files->config, key);
}

/* Named tokens: of a null or absent one `content.data` is NULL. */
static tern_status read_named_tokens(tern_token_wish named[N_NAMED], const tern_vocab_folder *files, tern_error *err) {
    for (size_t i = 0; i < N_NAMED; i++) {
        tern_json_place place;
        const json_t *value = find_setting(files, token_keys[i], &place);
        named[i] = (tern_token_wish){.token = {.special = true}, .is_string = true};
        if (value && !json_is_null(value)) {
            TERN_TRY(read_wish(&named[i], value, token_keys[i], true, place, err));
            named[i].is_in_map = json_is_string(value) || json_object_get(files->map, token_keys[i]);
        } else if (!value && token_defaults[i]) {
            named[i].token.content = (tern_text){.data = token_defaults[i], .bytes = strlen(token_defaults[i])};
        } else if (value && (i == UNK || i == SEP || i == CLS)) {
            return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/%s: \"%s\" null is not supported", files->folder, place.file, token_keys[i]);
        }
    }
    return TERN_OK;
}

/* "added_tokens_decoder" of tokenizer_config.json: {"103": {"content": "[MASK]", ..}, ..} */
static tern_status read_added_tokens_decoder(tern_token_wishes *wishes, json_t *decoder, tern_error *err) {
    tern_json_place place = {.file = CONFIG_FILE, .part = "added_tokens_decoder", .type = ""};
    if (!json_is_object(decoder)) return TERN_FAIL(err, TERN_E_FORMAT, CONFIG_FILE ": \"added_tokens_decoder\" must be an object");
    const char *key;
    json_t *value;
    json_object_foreach(decoder, key, value) {
        char *end;
        long index = strtol(key, &end, 10);
        if (key[0] == '\0' || *end != '\0' || index < 0 || index > INT32_MAX)
            return TERN_FAIL(err, TERN_E_FORMAT, CONFIG_FILE ": added_tokens_decoder: \"%s\" is not an id", key);
        tern_token_wish wish;
        TERN_TRY(read_wish(&wish, value, key, false, place, err));
        wish.index = (int32_t)index;
        TERN_TRY(push_wish(wishes, wish, err));
    }
    return TERN_OK;
}

static bool is_named(const tern_token_wish named[N_NAMED], tern_text content) {
    for (size_t i = 0; i < N_NAMED; i++) {
        tern_text name = named[i].token.content;
        if (named[i].is_in_map && name.bytes == content.bytes && memcmp(name.data, content.data, name.bytes) == 0) return true;
    }
    return false;
}

/* added_tokens.json: {"[NEW]": 30522, ..}; those that are also named or extra special tokens are not normalized. */
static tern_status read_added_file(tern_token_wishes *wishes, json_t *added, const tern_token_wish named[N_NAMED],
                                   const tern_token_wishes *extra, tern_error *err) {
    tern_json_place place = {.file = ADDED_FILE, .part = "added tokens", .type = ""};
    const char *content;
    json_t *value;
    json_object_foreach(added, content, value) {
        tern_token_wish wish = {.token = {.content = {.data = content, .bytes = strlen(content)}}, .has_normalized = true};
        TERN_TRY(tern__json_id_value(&wish.index, value, content, place, err));
        wish.token.special = is_named(named, wish.token.content) || find_wish(extra, extra->n, wish.token.content);
        wish.token.normalized = !wish.token.special;
        TERN_TRY(push_wish(wishes, wish, err));
    }
    return TERN_OK;
}

static tern_status read_extra_tokens(tern_token_wishes *extra, const tern_vocab_folder *files, tern_error *err) {
    static const char *const keys[] = {"extra_special_tokens", "additional_special_tokens"};
    for (size_t k = 0; k < 2 && extra->n == 0; k++) {
        tern_json_place place;
        const json_t *list = find_setting(files, keys[k], &place);
        for (size_t i = 0; i < json_array_size(list); i++) {
            tern_token_wish wish;
            TERN_TRY(read_wish(&wish, json_array_get(list, i), keys[k], true, place, err));
            TERN_TRY(push_wish(extra, wish, err));
        }
    }
    return TERN_OK;
}

static bool repeats_string(const tern_token_wishes *wishes, const tern_token_wish *wish) {
    for (size_t i = 0; wish->is_string && i < wishes->n; i++)
        if (wishes->items[i].is_string && strcmp(wishes->items[i].token.content.data, wish->token.content.data) == 0) return true;
    return false;
}

/* All tokens to add, in order. Of two named ones with one content the later one's flags hold, so both are added. */
static tern_status collect_wishes(tern_token_wishes *wishes, tern_token_wishes *extra, const tern_vocab_folder *files,
                                  const tern_token_wish named[N_NAMED], tern_error *err) {
    json_t *decoder = json_object_get(files->config, "added_tokens_decoder");
    TERN_TRY(read_extra_tokens(extra, files, err));
    if (decoder) TERN_TRY(read_added_tokens_decoder(wishes, decoder, err));
    else TERN_TRY(read_added_file(wishes, files->added, named, extra, err));
    if (wishes->n > 1) qsort(wishes->items, wishes->n, sizeof *wishes->items, compare_wishes);
    size_t n_listed = wishes->n;
    for (size_t i = 0; i < N_NAMED; i++) {
        if (!named[i].token.content.data || repeats_string(wishes, &named[i])) continue;
        tern_token_wish *listed = find_wish(wishes, n_listed, named[i].token.content);
        if (!listed) TERN_TRY(push_wish(wishes, named[i], err));
        else listed->token.special = true;
        if (listed && !listed->has_normalized) listed->token.normalized = false;
    }
    for (size_t i = 0; i < extra->n; i++)
        if (!find_wish(wishes, n_listed, extra->items[i].token.content)) TERN_TRY(push_wish(wishes, extra->items[i], err));
    return TERN_OK;
}

static tern_status check_class(const tern_vocab_folder *files, tern_error *err) {
    const json_t *value = json_object_get(files->config, "tokenizer_class");
    if (!value || json_is_null(value)) return TERN_OK;
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    for (size_t i = 0; i < sizeof bert_classes / sizeof *bert_classes; i++) {
        size_t n = strlen(bert_classes[i]);
        if (strncmp(name, bert_classes[i], n) == 0 && (name[n] == '\0' || strcmp(name + n, "Fast") == 0)) return TERN_OK;
    }
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s/" CONFIG_FILE ": tokenizer_class %s without a tokenizer.json is not supported",
                     files->folder, name);
}

static tern_status set_stages(tern_tokenizer *out, const tern_vocab_folder *files, const tern_token_wish named[N_NAMED],
                              const tern_token_wishes *wishes, tern_error *err) {
    static const tern_text prefix = {.data = "##", .bytes = 2};
    tern_json_place place = {.file = CONFIG_FILE, .part = "tokenizer", .type = ""};
    bool lowercase = true, chinese = true, accents = false, is_there, has_accents;
    TERN_TRY(optional_bool(&lowercase, &is_there, files->config, "do_lower_case", place, err));
    TERN_TRY(optional_bool(&chinese, &is_there, files->config, "tokenize_chinese_chars", place, err));
    TERN_TRY(optional_bool(&accents, &has_accents, files->config, "strip_accents", place, err));
    json_t *normalizer = json_pack("{ss, sb, sb, sb, so}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars", (int)chinese,
                                   "lowercase", (int)lowercase, "strip_accents", has_accents ? json_boolean(accents) : json_null());
    if (!normalizer) return TERN_FAIL_MEMORY(err, sizeof *normalizer);
    tern_status read = tern__normalizer_read(&out->normalizer, normalizer, CONFIG_FILE, err);
    json_decref(normalizer);
    TERN_TRY(read);
    json_t *pre_tokenizer = json_pack("{ss}", "type", "BertPreTokenizer");
    if (!pre_tokenizer) return TERN_FAIL_MEMORY(err, sizeof *pre_tokenizer);
    tern_status status = tern__pre_tokenizer_read(&out->pre_tokenizer, pre_tokenizer, CONFIG_FILE, err);
    json_decref(pre_tokenizer);
    TERN_TRY(status);
    TERN_TRY(tern__decoder_set_wordpiece(&out->decoder, prefix, true, err));
    TERN_TRY(load_vocab(&out->model.vocabulary, files->folder, err));
    TERN_TRY(tern__wordpiece_set(&out->model, named[UNK].token.content, prefix, 100, err));
    int32_t next_id = (int32_t)out->model.vocabulary.n_entries;
    for (size_t i = 0; i < wishes->n; i++)
        TERN_TRY(tern__added_tokens_add(&out->added_tokens, &wishes->items[i].token, &out->model.vocabulary, &out->normalizer, &next_id,
                                        files->folder, err));
    tern_special_token cls = {.id = tern_tokenizer_token_to_id(out, named[CLS].token.content.data), .text = named[CLS].token.content};
    tern_special_token sep = {.id = tern_tokenizer_token_to_id(out, named[SEP].token.content.data), .text = named[SEP].token.content};
    if (cls.id < 0 || sep.id < 0)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: cls_token or sep_token is empty or holds a NUL", files->folder);
    TERN_TRY(tern__post_processor_set_bert(&out->post_processor, cls, sep, err));
    return tern__tokenizer_finish(out, err);
}

static tern_status read_folder(tern_tokenizer *out, tern_vocab_folder *files, tern_error *err) {
    TERN_TRY(load_if_there(&files->config, files->folder, CONFIG_FILE, err));
    TERN_TRY(check_class(files, err));
    if (!json_object_get(files->config, "added_tokens_decoder")) {
        TERN_TRY(load_if_there(&files->map, files->folder, MAP_FILE, err));
        TERN_TRY(load_if_there(&files->added, files->folder, ADDED_FILE, err));
    }
    tern_token_wish named[N_NAMED];
    TERN_TRY(read_named_tokens(named, files, err));
    tern_token_wishes wishes = {0}, extra = {0};
    tern_status status = collect_wishes(&wishes, &extra, files, named, err);
    if (status == TERN_OK) status = set_stages(out, files, named, &wishes, err);
    free(wishes.items);
    free(extra.items);
    return status;
}

tern_status tern__tokenizer_from_vocab(tern_tokenizer **out, const char *folder, tern_error *err) {
    *out = NULL;
    tern_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return TERN_FAIL_MEMORY(err, sizeof *tokenizer);
    tern_vocab_folder files = {.folder = folder};
    tern_status status = read_folder(tokenizer, &files, err);
    json_decref(files.config);
    json_decref(files.map);
    json_decref(files.added);
    if (status == TERN_OK) *out = tokenizer;
    else tern_tokenizer_free(tokenizer);
    return status;
}
