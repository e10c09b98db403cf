/* embed_texts.c - see embed_texts.h. Which prompt is taken, and what counts as its tokens, follows sentence_transformers/base/model.py and
 * base/modules/transformer.py, version 6.2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "task/embed_texts.h"

#include <stdlib.h>
#include <string.h>

/* *prompt is not NULL; "": none. */
static tern_status choose_prompt(const char **prompt, const tern_model *model, const tern_embed_options *options, tern_error *err) {
    static const char *const names[] = {NULL, "query", "document"}; /* in the order of tern_embed_task */
    if ((unsigned)options->task >= sizeof names / sizeof *names)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: task is %d, which is no tern_embed_task", (int)options->task);
    if (options->prompt != NULL && options->prompt_name != NULL)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "options: prompt and prompt_name exclude each other");
    *prompt = options->prompt;
    if (options->prompt != NULL) return TERN_OK;
    const char *name = options->prompt_name != NULL ? options->prompt_name : names[options->task];
    return tern__prompt_find(prompt, &model->folder.prompts, name, err);
}

/* Asked of every call, not of that alone which has a long text. */
static tern_status check_stride(const tern_model *model, const tern_encode_options *encode, tern_error *err) {
    const size_t length = encode->max_length != 0 ? encode->max_length : (size_t)model->max_seq_length;
    if (model->tokenizer == NULL || length == 0) return TERN_OK;
    tern_encoding special_tokens;
    TERN_TRY(tern_tokenizer_encode(&special_tokens, model->tokenizer, (tern_text){"", 0}, NULL, NULL, err));
    const size_t n = special_tokens.n;
    tern_encoding_free(&special_tokens);
    if (n < length && encode->stride < length - n) return TERN_OK;
    return TERN_FAIL(err, TERN_E_ARGUMENT, "options: stride is %zu; windows of %zu tokens, %zu of them special, share less than %zu",
                     encode->stride, length, n, n < length ? length - n : 0);
}

/* Texts of a task may have a length of their own. */
static tern_status choose_length(tern_encode_options *encode, const tern_model *model, const tern_embed_options *options, tern_error *err) {
    const tern_modules *modules = &model->folder.modules;
    *encode = tern_encode_options_default();
    if (options->task == TERN_EMBED_QUERY && modules->expands_queries)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED, "options: the folder's \"query_expansion\" is not done by this version");
    if (options->task == TERN_EMBED_QUERY) encode->max_length = (size_t)modules->query_length;
    if (options->task == TERN_EMBED_DOCUMENT) encode->max_length = (size_t)modules->document_length;
    encode->with_overflowing = options->with_windows;
    encode->stride = options->with_windows ? options->stride : 0;
    return options->with_windows ? check_stride(model, encode, err) : TERN_OK;
}

/* The prompt's own tokens with those in front, without a special one behind. */
static tern_status count_prompt_rows(int64_t *n, const tern_model *model, tern_text prompt, tern_error *err) {
    tern_encoding encoding = {0};
    TERN_TRY(tern__encode_texts(&encoding, model, &prompt, NULL, 1, tern_encode_options_default(), err));
    *n = (int64_t)encoding.n;
    if (encoding.n > 0) {
        const int32_t last = encoding.ids[encoding.n - 1];
        if (encoding.special_tokens_mask[encoding.n - 1] != 0 || last == model->unk_token_id || last == model->mask_token_id ||
            last == model->pad_token_id)
            --*n;
    }
    tern_encoding_free(&encoding);
    return TERN_OK;
}

tern_status tern__prepend_prompt(tern_text **out, char **block, tern_text prompt, const tern_text *texts, size_t n_texts, tern_error *err) {
    size_t bytes;
    bool fits = tern__size_multiply(prompt.bytes, n_texts, &bytes);
    for (size_t t = 0; t < n_texts && fits; t++) fits = tern__size_add(bytes, texts[t].bytes, &bytes);
    *out = tern__alloc(n_texts, sizeof **out);
    *block = fits ? tern__alloc(bytes, 1) : NULL;
    if (*out == NULL || *block == NULL) return TERN_FAIL_MEMORY(err, fits ? bytes : SIZE_MAX);
    char *to = *block;
    for (size_t t = 0; t < n_texts; t++) {
        (*out)[t] = (tern_text){to, prompt.bytes + texts[t].bytes};
        memcpy(to, prompt.data, prompt.bytes);
        if (texts[t].bytes > 0) memcpy(to + prompt.bytes, texts[t].data, texts[t].bytes);
        to += (*out)[t].bytes;
    }
    return TERN_OK;
}

tern_status tern__encode_for_embedding(tern_encoding *encodings, int64_t *n_prompt_rows, const tern_model *model, const tern_text *texts,
                                       size_t n_texts, const tern_embed_options *options, tern_error *err) {
    tern_text prompt = {0};
    *n_prompt_rows = 0;
    TERN_TRY(choose_prompt(&prompt.data, model, options, err));
    prompt.bytes = strlen(prompt.data);
    tern_encode_options encode;
    TERN_TRY(choose_length(&encode, model, options, err));
    if (prompt.bytes == 0) return tern__encode_texts(encodings, model, texts, NULL, n_texts, encode, err);
    tern_text *prompted = NULL;
    char *block = NULL;
    tern_status status = tern__prepend_prompt(&prompted, &block, prompt, texts, n_texts, err);
    if (status == TERN_OK && model->folder.chain.skips_prompt) status = count_prompt_rows(n_prompt_rows, model, prompt, err);
    if (status == TERN_OK) status = tern__encode_texts(encodings, model, prompted, NULL, n_texts, encode, err);
    free(prompted);
    free(block);
    return status;
}
