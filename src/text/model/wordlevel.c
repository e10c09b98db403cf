/* wordlevel.c - each word is one token, or unknown.
 * Source: Hugging Face tokenizers, WordLevel.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "text/model/token_model.h"

tern_status tern__wordlevel_tokenize(const tern_token_model *model, tern_token_list *out, const unsigned char *bytes,
                                     const tern_spans *spans, tern_error *err) {
    if (!tern__token_list_reserve(out, spans->n)) return TERN_FAIL_MEMORY(err, spans->n * 12);
    for (size_t i = 0; i < spans->n; i++) {
        tern_span word = spans->items[i];
        const tern_vocabulary_entry *entry =
            tern__vocabulary_find(&model->vocabulary, (const char *)bytes + word.start, word.end - word.start);
        int32_t id = entry ? entry->id : model->unk.id;
        if (id < 0) return tern__unk_token_fail(&model->unk, err);
        tern__token_list_push(out, id, word.start, word.end);
    }
    return TERN_OK;
}
