/* json_fields.h - fields of a tokenizer's JSON objects, with messages that name the file, the component and the field.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_JSON_FIELDS_H
#define TERN_TEXT_JSON_FIELDS_H

#include <jansson.h>

#include "base/error.h"

/* Where an object stands: "tokenizer.json: normalizer BertNormalizer". */
typedef struct tern_json_place {
    const char *file;
    const char *part; /* "normalizer" */
    const char *type; /* "BertNormalizer"; "" where there is none */
} tern_json_place;

/* A required field; TERN_E_FORMAT when it is missing or of another kind. What is read lives as long as the object. */
tern_status tern__json_bool(bool *out, const json_t *object, const char *key, tern_json_place place, tern_error *err);
/* An id or a count: 0 to INT32_MAX. */
tern_status tern__json_id(int32_t *out, const json_t *object, const char *key, tern_json_place place, tern_error *err);
tern_status tern__json_id_value(int32_t *out, const json_t *value, const char *key, tern_json_place place, tern_error *err);
tern_status tern__json_text(tern_text *out, const json_t *object, const char *key, tern_json_place place, tern_error *err);
tern_status tern__json_object(json_t **out, const json_t *object, const char *key, tern_json_place place, tern_error *err);
tern_status tern__json_array(json_t **out, const json_t *object, const char *key, tern_json_place place, tern_error *err);

/* The "type" of a component. */
tern_status tern__json_type(const char **out, const json_t *component, tern_json_place place, tern_error *err);
/* "tokenizer.json: normalizer NFC is not supported". */
tern_status tern__json_fail_type(tern_json_place place, tern_error *err);

#endif
