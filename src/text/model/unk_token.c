/* unk_token.c - the token of what the vocabulary lacks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/unk_token.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

tern_status tern__unk_token_set(tern_unk_token *out, tern_text text, const tern_vocabulary *vocabulary, tern_error *err) {
    if (!(out->text = tern__alloc(text.bytes + 1, 1))) return TERN_FAIL_MEMORY(err, text.bytes + 1);
    if (text.bytes) memcpy(out->text, text.data, text.bytes);
    out->text[text.bytes] = '\0';
    const tern_vocabulary_entry *entry = tern__vocabulary_find(vocabulary, text.data, text.bytes);
    out->id = entry ? entry->id : -1;
    return TERN_OK;
}

void tern__unk_token_free(tern_unk_token *unk) {
    free(unk->text);
    *unk = (tern_unk_token){0};
}

tern_status tern__unk_token_fail(const tern_unk_token *unk, tern_error *err) {
    return TERN_FAIL(err, TERN_E_FORMAT, "the vocabulary lacks the unk_token \"%s\", which the text needs", unk->text);
}
