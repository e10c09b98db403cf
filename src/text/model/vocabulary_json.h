/* vocabulary_json.h - the vocabulary of a tokenizer.json, read straight from its bytes: a JSON library takes most of a load's time to
 * build a tree of 30,000 to 250,000 numbers that is then read once.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_VOCABULARY_JSON_H
#define TERN_TEXT_VOCABULARY_JSON_H

#include "base/error.h"
#include "text/model/vocabulary.h"

/* Read the object model.vocab, {"token": id, ..}, and overwrite what is between its braces with spaces, so that what is left is the same
 * JSON with an empty vocabulary, every position as it was. Nothing is read when there is no such object, or where the JSON is broken before
 * it, which the JSON library then tells. errors: TERN_E_FORMAT with line and column: not JSON, a token twice, an id out of range. */
tern_status tern__vocabulary_take_json(tern_vocabulary *out, char *bytes, size_t n_bytes, const char *name, tern_error *err);

#endif
