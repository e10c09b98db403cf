/* tokenizer_files.h - a tokenizer from the files of a folder without tokenizer.json, as the classes of Hugging Face's transformers make it.
 *
 * tokenizer_class.c chooses the class; special_settings.c reads what the folder says of special and added tokens; wordpiece_files.c,
 * byte_level_files.c and sentencepiece_files.c make the stages of the class as the JSON that tokenizer.json would hold, and fill the
 * model's tables; tokenizer_files.c reads these stages and adds the tokens.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_TOKENIZER_FILES_H
#define TERN_TEXT_TOKENIZER_FILES_H

#include <jansson.h>

#include "text/json_fields.h"
#include "text/tokenizer.h"

#define TERN_CONFIG_FILE "tokenizer_config.json"
#define TERN_MAP_FILE    "special_tokens_map.json"
#define TERN_ADDED_FILE  "added_tokens.json"
#define TERN_MODEL_FILE  "config.json"

/* The named special tokens, in the order in which they are added. */
typedef enum tern_named_token { TERN_BOS, TERN_EOS, TERN_UNK, TERN_SEP, TERN_PAD, TERN_CLS, TERN_MASK, TERN_N_NAMED } tern_named_token;

/* A token that is to be added. Its content lies in the settings' JSON. */
typedef struct tern_token_wish {
    tern_added_token token; /* content.data NULL: none */
    bool has_normalized;    /* token.normalized was given; when not, it is the contrary of token.special */
    bool is_string;         /* given as a string, and so special */
    bool is_setting;        /* a named one: from the files, not the class's default */
    int32_t index;          /* where the file wants it; only orders them */
} tern_token_wish;

typedef struct tern_token_wishes {
    tern_token_wish *items;
    size_t n, capacity;
} tern_token_wishes;

/* What the folder's JSON files say. Zeroed: nothing to free. */
typedef struct tern_tokenizer_settings {
    const char *folder;
    json_t *config, *map, *added, *model; /* the files; NULL: not there. map and added count only without "added_tokens_decoder" */
    json_t *extra, *additional;           /* "extra_special_tokens", "additional_special_tokens"; NULL: not there, which is not null */
    json_t *kept[2];                      /* objects "extra_special_tokens", whose texts are in `specific` */
    tern_token_wish named[TERN_N_NAMED];
    tern_token_wishes specific; /* settings of other names that end in "_token", and those of an object "extra_special_tokens" */
} tern_tokenizer_settings;

/* The stages of a tokenizer as JSON, null where there is none. Zeroed: nothing to free. */
typedef struct tern_tokenizer_plan {
    json_t *normalizer, *pre_tokenizer, *decoder, *model;
    tern_model_tables tables;
} tern_tokenizer_plan;

struct tern_tokenizer_class;
struct tern_sentencepiece;

/* Fills the plan; it may change the settings. */
typedef tern_status tern_plan_maker(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings, const struct tern_tokenizer_class *cls,
                                    tern_error *err);
/* The same from a SentencePiece model. */
typedef tern_status tern_pieces_planner(tern_tokenizer_plan *plan, tern_tokenizer_settings *settings,
                                        const struct tern_sentencepiece *model, tern_error *err);
/* The post-processor's JSON, once all tokens are in; *out NULL when memory is short. */
typedef tern_status tern_post_processor_maker(json_t **out, const tern_tokenizer *tokenizer, const tern_tokenizer_settings *settings,
                                              tern_error *err);

typedef struct tern_tokenizer_class {
    const char *name;
    const char *other_names; /* with spaces round each */
    const char *model_types; /* of config.json that go with it, with spaces round each */
    const char *vocab_file;
    const char *merges_file;          /* NULL: none */
    const char *tokens[TERN_N_NAMED]; /* defaults; NULL: none */
    bool tokens_are_objects;          /* strings become tokens of their own, not yet special */
    bool mask_takes_space;            /* a mask token that is a string takes the space before it */
    bool mask_is_normalized;          /* and is sought in the normalized text */
    bool adds_strings_again;          /* all special tokens are added once more, as plain strings */
    tern_plan_maker *make_plan;
    tern_pieces_planner *plan_pieces;               /* where make_plan is tern__plan_sentencepiece */
    tern_post_processor_maker *make_post_processor; /* NULL: bos and eos, as add_bos_token and add_eos_token say .. */
    bool bos_and_eos_win;                           /* .. and these two, where they are set, come before it */
} tern_tokenizer_class;

/* tokenizer_class.c: by tokenizer_class, else by config.json, else by the files. */
tern_status tern__tokenizer_class_find(const tern_tokenizer_class **out, const tern_tokenizer_settings *settings, tern_error *err);

/* special_settings.c */
tern_status tern__tokenizer_settings_load(tern_tokenizer_settings *out, const char *folder, tern_error *err);
void tern__tokenizer_settings_free(tern_tokenizer_settings *settings);
/* A token is a string, or an object with the fields of an added token, of which only "content" must be there. */
tern_status tern__token_wish_read(tern_token_wish *out, const json_t *json, const char *key, const char *file, tern_error *err);
tern_status tern__token_wish_push(tern_token_wishes *wishes, const tern_token_wish *wish, tern_error *err);
tern_status tern__named_tokens_read(tern_tokenizer_settings *settings, const tern_tokenizer_class *cls, tern_error *err);
/* The content of a named token; TERN_E_UNSUPPORTED when there is none. */
tern_status tern__named_token_get(tern_text *out, const tern_tokenizer_settings *settings, tern_named_token token, tern_error *err);
/* What tokenizer_config.json has under a key, or special_tokens_map.json, which wins. */
const json_t *tern__setting_find(const tern_tokenizer_settings *settings, const char *key, tern_json_place *place);
/* *value stays as it is where there is no such key, or null, as *is_there tells. */
tern_status tern__json_optional_bool(bool *value, bool *is_there, const json_t *object, const char *key, tern_json_place place,
                                     tern_error *err);
/* *value stays as it is where there is no such key, or null; *is_there (may be NULL) tells. */
tern_status tern__setting_bool(bool *value, bool *is_there, const tern_tokenizer_settings *settings, const char *key, tern_error *err);
/* token_wishes.c: all tokens to add, in order, with their flags. */
tern_status tern__tokens_collect(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                 tern_error *err);
/* Those that the files list by id, in the order of these. */
tern_status tern__tokens_listed(tern_token_wishes *wishes, const tern_tokenizer_settings *settings, tern_error *err);

/* stage_json.c. Each gives a new reference, NULL when memory is short; what is given to them is taken over, also then. */
json_t *tern__stage_sequence(const char *key, json_t *const stages[], size_t n);
json_t *tern__stage_replace(const char *pattern, const char *content, bool is_regex);
json_t *tern__stage_metaspace(const char *prepend_scheme);
json_t *tern__stage_precompiled(tern_text charsmap);
json_t *tern__stage_byte_level(bool add_prefix_space, bool use_regex);

/* A token of a template, called by a letter. */
typedef struct tern_template_word {
    char letter;
    const char *name; /* what the token reads as */
    int32_t id;
} tern_template_word;

/* TemplateProcessing: "c0 A0 s0" is the token called c with type id 0, the text with 0, the token called s with 0; B is the pair. */
json_t *tern__stage_template(const char *single, const char *pair, const tern_template_word *words, size_t n_words);

/* *out is the path of a file of the folder, to be freed; TERN_E_IO with what the class reads when there is no such file. */
tern_status tern__tokenizer_file_path(char **out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                      const char *name, tern_error *err);
bool tern__text_equals(tern_text a, tern_text b);

/* wordpiece_files.c, byte_level_files.c, sentencepiece_files.c; post_processor_files.c */
tern_plan_maker tern__plan_bert, tern__plan_gpt2, tern__plan_qwen2, tern__plan_clip, tern__plan_sentencepiece;
tern_pieces_planner tern__pieces_as_xlm_roberta, tern__pieces_as_camembert, tern__pieces_as_mbart, tern__pieces_as_mbart50,
    tern__pieces_as_albert, tern__pieces_as_xlnet, tern__pieces_as_t5, tern__pieces_as_deberta_v2, tern__pieces_as_big_bird,
    tern__pieces_as_llama, tern__pieces_as_gemma, tern__pieces_as_nllb, tern__pieces_as_backend;
tern_post_processor_maker tern__post_bos_eos, tern__post_bert, tern__post_roberta, tern__post_mpnet, tern__post_clip, tern__post_deberta;
tern_post_processor_maker tern__post_xlm_roberta, tern__post_albert, tern__post_t5, tern__post_xlnet, tern__post_mbart, tern__post_mbart50,
    tern__post_nllb;

#endif
