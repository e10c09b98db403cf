/* json_fields.c - required fields and what is said when they are not there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/json_fields.h"

/* "tokenizer.json: normalizer BertNormalizer: \"lowercase\" must be true or false". */
static tern_status fail_field(tern_json_place place, const char *key, const char *wanted, const json_t *value, tern_error *err) {
    const char *space = place.type[0] ? " " : "";
    if (!value) return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s%s%s: \"%s\" is missing", place.file, place.part, space, place.type, key);
    return TERN_FAIL(err, TERN_E_FORMAT, "%s: %s%s%s: \"%s\" must be %s", place.file, place.part, space, place.type, key, wanted);
}

tern_status tern__json_bool(bool *out, const json_t *object, const char *key, tern_json_place place, tern_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) return fail_field(place, key, "true or false", value, err);
    *out = json_is_true(value);
    return TERN_OK;
}

tern_status tern__json_id_value(int32_t *out, const json_t *value, const char *key, tern_json_place place, tern_error *err) {
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
        return fail_field(place, key, "a whole number from 0 to 2147483647", value, err);
    *out = (int32_t)json_integer_value(value);
    return TERN_OK;
}

tern_status tern__json_id(int32_t *out, const json_t *object, const char *key, tern_json_place place, tern_error *err) {
    return tern__json_id_value(out, json_object_get(object, key), key, place, err);
}

tern_status tern__json_text(tern_text *out, const json_t *object, const char *key, tern_json_place place, tern_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return fail_field(place, key, "a string", value, err);
    *out = (tern_text){.data = json_string_value(value), .bytes = json_string_length(value)};
    return TERN_OK;
}

tern_status tern__json_object(json_t **out, const json_t *object, const char *key, tern_json_place place, tern_error *err) {
    *out = json_object_get(object, key);
    return json_is_object(*out) ? TERN_OK : fail_field(place, key, "an object", *out, err);
}

tern_status tern__json_array(json_t **out, const json_t *object, const char *key, tern_json_place place, tern_error *err) {
    *out = json_object_get(object, key);
    return json_is_array(*out) ? TERN_OK : fail_field(place, key, "an array", *out, err);
}

tern_status tern__json_type(const char **out, const json_t *component, tern_json_place place, tern_error *err) {
    if (!json_is_object(component)) return TERN_FAIL(err, TERN_E_FORMAT, "%s: \"%s\" must be an object or null", place.file, place.part);
    tern_text type = {0};
    TERN_TRY(tern__json_text(&type, component, "type", place, err));
    *out = type.data;
    return TERN_OK;
}

tern_status tern__json_fail_type(tern_json_place place, tern_error *err) {
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "%s: %s %s is not supported", place.file, place.part, place.type);
}
