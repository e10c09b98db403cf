/* tokenizer_class.c - which of transformers' tokenizer classes a folder without tokenizer.json is for, as AutoTokenizer chooses it: the
 * folder's "tokenizer_class", else the class that goes with the model_type of config.json; and, where neither is there, by the files.
 * Source: Hugging Face transformers 5, AutoTokenizer.from_pretrained and the defaults of each class.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text_builder.h"
#include "text/files/tokenizer_files.h"

static const tern_tokenizer_class classes[] = {
    {.name = "BertTokenizer",
     .other_names = " ElectraTokenizer MobileBertTokenizer LayoutLMTokenizer LxmertTokenizer SqueezeBertTokenizer DistilBertTokenizer "
                    "ConvBertTokenizer DPRReaderTokenizer DPRContextEncoderTokenizer DPRQuestionEncoderTokenizer ",
     .model_types =
         " bert distilbert electra align bark blip bros chinese_clip convbert ernie flava git grounding-dino layoutlm lxmert "
         "megatron-bert mm-grounding-dino mobilebert nezha nomic_bert qdqbert realm retribert squeezebert tvp vilt visual_bert dpr ",
     .vocab_file = "vocab.txt",
     .tokens = {[TERN_UNK] = "[UNK]", [TERN_SEP] = "[SEP]", [TERN_PAD] = "[PAD]", [TERN_CLS] = "[CLS]", [TERN_MASK] = "[MASK]"},
     .make_plan = tern__plan_bert,
     .make_post_processor = tern__post_bert},
    {.name = "MPNetTokenizer",
     .other_names = " ",
     .model_types = " mpnet ",
     .vocab_file = "vocab.txt",
     .tokens = {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"},
     .tokens_are_objects = true,
     .mask_takes_space = true,
     .make_plan = tern__plan_bert,
     .make_post_processor = tern__post_mpnet},
    {.name = "RobertaTokenizer",
     .other_names = " LongformerTokenizer BartTokenizer LEDTokenizer MvpTokenizer ",
     .model_types = " roberta roberta-prelayernorm longformer bart bridgetower clap data2vec-text florence2 ibert led lilt mega mra mvp ",
     .vocab_file = "vocab.json",
     .merges_file = "merges.txt",
     .tokens = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .make_plan = tern__plan_gpt2,
     .make_post_processor = tern__post_roberta},
    {.name = "GPT2Tokenizer",
     .other_names = " ",
     .model_types = " gpt2 blip-2 codegen dbrx emu3 gpt_neo gptj instructblip instructblipvideo jais2 opt phi starcoder2 ",
     .vocab_file = "vocab.json",
     .merges_file = "merges.txt",
     .tokens = {[TERN_BOS] = "<|endoftext|>", [TERN_EOS] = "<|endoftext|>", [TERN_UNK] = "<|endoftext|>"},
     .make_plan = tern__plan_gpt2},
    {.name = "Qwen2Tokenizer",
     .other_names = " ",
     .model_types = " qwen2 qwen2_moe qwen2_vl qwen2_5_vl qwen2_5_omni qwen2_audio qwen3 qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe "
                    "qwen3_omni_moe qwen3_asr audioflamingo3 colqwen2 internvl ",
     .vocab_file = "vocab.json",
     .merges_file = "merges.txt",
     .tokens = {[TERN_EOS] = "<|endoftext|>", [TERN_UNK] = "<|endoftext|>", [TERN_PAD] = "<|endoftext|>"},
     .adds_strings_again = true,
     .make_plan = tern__plan_qwen2},
    {.name = "CLIPTokenizer",
     .other_names = " ",
     .model_types = " clip clipseg aimv2 groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip ",
     .vocab_file = "vocab.json",
     .merges_file = "merges.txt",
     .tokens = {[TERN_BOS] = "<|startoftext|>", [TERN_EOS] = "<|endoftext|>", [TERN_UNK] = "<|endoftext|>", [TERN_PAD] = "<|endoftext|>"},
     .make_plan = tern__plan_clip,
     .make_post_processor = tern__post_clip},
    {.name = "DebertaTokenizer",
     .other_names = " ",
     .model_types = " deberta ",
     .vocab_file = "vocab.json",
     .merges_file = "merges.txt",
     .tokens = {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     .make_plan = tern__plan_gpt2,
     .make_post_processor = tern__post_deberta},
    {.name = "XLMRobertaTokenizer",
     .other_names = " ",
     .model_types = " xlm-roberta gte jina_embeddings_v3 metaclip_2 trocr xmod ",
     .vocab_file = "sentencepiece.bpe.model",
     .tokens = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_xlm_roberta,
     .make_post_processor = tern__post_xlm_roberta},
    {.name = "CamembertTokenizer",
     .other_names = " ",
     .model_types = " camembert ",
     .vocab_file = "sentencepiece.bpe.model",
     .tokens = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .mask_takes_space = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_camembert,
     .make_post_processor = tern__post_xlm_roberta},
    {.name = "AlbertTokenizer",
     .other_names = " ",
     .model_types = " albert yoso ",
     .vocab_file = "spiece.model",
     .tokens = {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_albert,
     .make_post_processor = tern__post_albert,
     .bos_and_eos_win = true},
    {.name = "T5Tokenizer",
     .other_names = " ",
     .model_types = " t5 mt5 musicgen musicgen_melody switch_transformers ",
     .vocab_file = "spiece.model",
     .tokens = {[TERN_EOS] = "</s>", [TERN_UNK] = "<unk>", [TERN_PAD] = "<pad>"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_t5,
     .make_post_processor = tern__post_t5},
    {.name = "DebertaV2Tokenizer",
     .other_names = " ",
     .model_types = " deberta-v2 ",
     .vocab_file = "spm.model",
     .tokens = {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_deberta_v2,
     .make_post_processor = tern__post_bert},
    {.name = "LlamaTokenizer",
     .other_names = " ",
     .model_types = " idefics idefics2 ",
     .vocab_file = "tokenizer.model",
     .tokens = {[TERN_BOS] = "<s>", [TERN_EOS] = "</s>", [TERN_UNK] = "<unk>"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_llama},
    {.name = "GemmaTokenizer",
     .other_names = " ",
     .model_types = " gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma ",
     .vocab_file = "tokenizer.model",
     .tokens = {[TERN_BOS] = "<bos>", [TERN_EOS] = "<eos>", [TERN_UNK] = "<unk>", [TERN_PAD] = "<pad>", [TERN_MASK] = "<mask>"},
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_gemma},
    {.name = "MBartTokenizer",
     .other_names = " ",
     .model_types = " mbart ",
     .vocab_file = "sentencepiece.bpe.model",
     .tokens = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .mask_takes_space = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_mbart,
     .make_post_processor = tern__post_mbart},
    {.name = "MBart50Tokenizer",
     .other_names = " ",
     .model_types = " mbart50 ",
     .vocab_file = "sentencepiece.bpe.model",
     .tokens =
         {[TERN_EOS] = "</s>", [TERN_UNK] = "<unk>", [TERN_SEP] = "</s>", [TERN_PAD] = "<pad>", [TERN_CLS] = "<s>", [TERN_MASK] = "<mask>"},
     .mask_takes_space = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_mbart50,
     .make_post_processor = tern__post_mbart50},
    {.name = "NllbTokenizer",
     .other_names = " ",
     .model_types = " nllb nllb-moe ",
     .vocab_file = "sentencepiece.bpe.model",
     .tokens = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .mask_takes_space = true,
     .mask_is_normalized = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_nllb,
     .make_post_processor = tern__post_nllb},
    {.name = "XLNetTokenizer",
     .other_names = " ",
     .model_types = " xlnet ",
     .vocab_file = "spiece.model",
     .tokens = {"<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>"},
     .mask_takes_space = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_xlnet,
     .make_post_processor = tern__post_xlnet},
    {.name = "BigBirdTokenizer",
     .other_names = " ",
     .model_types = " big_bird ",
     .vocab_file = "spiece.model",
     .tokens = {"<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     .tokens_are_objects = true,
     .mask_takes_space = true,
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_big_bird,
     .make_post_processor = tern__post_bert},
    {.name = "TokenizersBackend",
     .other_names = " PreTrainedTokenizerFast PreTrainedTokenizer ",
     .model_types = " mistral mixtral modernbert modernbert-decoder nystromformer phi3 umt5 xlm-roberta-xl ",
     .vocab_file = "tokenizer.model",
     .make_plan = tern__plan_sentencepiece,
     .plan_pieces = tern__pieces_as_backend},
};

#define N_CLASSES (sizeof classes / sizeof *classes)

/* The model type whose folders often name a class that is not theirs. */
static const char often_misnamed[] = "qwen2";

static bool has_word(const char *words, const char *word, size_t n_word) {
    for (const char *at = words; n_word > 0 && (at = strstr(at, " ")) != NULL; at++)
        if (strncmp(at + 1, word, n_word) == 0 && at[1 + n_word] == ' ') return true;
    return false;
}

static const tern_tokenizer_class *class_of_name(const char *name, size_t n_name) {
    for (size_t i = 0; i < N_CLASSES; i++) {
        bool is_name = strlen(classes[i].name) == n_name && memcmp(classes[i].name, name, n_name) == 0;
        if (is_name || has_word(classes[i].other_names, name, n_name)) return &classes[i];
    }
    return NULL;
}

static const tern_tokenizer_class *class_of_model_type(const char *model_type) {
    for (size_t i = 0; i < N_CLASSES; i++)
        if (has_word(classes[i].model_types, model_type, strlen(model_type))) return &classes[i];
    return NULL;
}

/* "BertTokenizer" of "BertTokenizerFast". */
static size_t length_without_fast(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, "Fast") == 0 ? n - 4 : n;
}

static const char *string_of(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static tern_status fail_class(const tern_tokenizer_settings *settings, const char *what, const char *value, tern_error *err) {
    tern_text_builder names = {0};
    for (size_t i = 0; i < N_CLASSES; i++) tern__text_print(&names, "%s%s", i > 0 ? ", " : "", classes[i].name);
    char *text = tern__text_take(&names);
    tern_status status = text ? TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s %.80s without a tokenizer.json is not supported; read are %s",
                                          settings->folder, what, value, text)
                              : TERN_FAIL_MEMORY(err, 64);
    free(text);
    return status;
}

static tern_status has_file(bool *has, const char *folder, const char *name, tern_error *err) {
    char *path = tern__path_join(folder, name);
    if (!path) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    *has = tern__file_exists(path);
    free(path);
    return TERN_OK;
}

/* Where nothing names a class, a file that only one family has does. */
static tern_status class_of_files(const tern_tokenizer_class **out, const tern_tokenizer_settings *settings, tern_error *err) {
    static const struct {
        const char *file, *class_name;
    } telling[] = {{"vocab.txt", "BertTokenizer"}, {"spm.model", "DebertaV2Tokenizer"}};
    bool has = false;
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        TERN_TRY(has_file(&has, settings->folder, telling[i].file, err));
        if (!has) continue;
        *out = class_of_name(telling[i].class_name, strlen(telling[i].class_name));
        return TERN_OK;
    }
    for (size_t i = 0; i < N_CLASSES; i++) {
        TERN_TRY(has_file(&has, settings->folder, classes[i].vocab_file, err));
        if (has)
            return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                             "%s: %s alone does not tell what tokenizer it is for; \"tokenizer_class\" in " TERN_CONFIG_FILE
                             " or \"model_type\" in " TERN_MODEL_FILE " does",
                             settings->folder, classes[i].vocab_file);
    }
    return TERN_FAIL(err, TERN_E_IO,
                     "%s: has neither tokenizer.json nor vocab.txt, vocab.json with merges.txt, or a SentencePiece model "
                     "(sentencepiece.bpe.model, spiece.model, spm.model, tokenizer.model)",
                     settings->folder);
}

tern_status tern__tokenizer_class_find(const tern_tokenizer_class **out, const tern_tokenizer_settings *settings, tern_error *err) {
    const char *model_type = string_of(settings->model, "model_type"), *name = string_of(settings->config, "tokenizer_class");
    if (name[0] == '\0') name = string_of(settings->model, "tokenizer_class");
    const tern_tokenizer_class *backend = &classes[N_CLASSES - 1];
    *out = class_of_model_type(model_type);
    if (name[0] == '\0' && model_type[0] == '\0') return class_of_files(out, settings, err);
    if (name[0] == '\0') return *out ? TERN_OK : fail_class(settings, "the tokenizer of model_type", model_type, err);
    if (*out && (*out == backend || strcmp(model_type, often_misnamed) == 0)) return TERN_OK;
    *out = class_of_name(name, length_without_fast(name));
    return *out ? TERN_OK : fail_class(settings, "tokenizer_class", name, err);
}

tern_status tern__tokenizer_file_path(char **out, const tern_tokenizer_settings *settings, const tern_tokenizer_class *cls,
                                      const char *name, tern_error *err) {
    *out = tern__path_join(settings->folder, name);
    if (!*out) return TERN_FAIL_MEMORY(err, strlen(settings->folder) + strlen(name) + 2);
    if (tern__file_exists(*out)) return TERN_OK;
    free(*out);
    *out = NULL;
    return TERN_FAIL(err, TERN_E_IO, "%s: has neither tokenizer.json nor %s, which a %s is read from", settings->folder, name, cls->name);
}
