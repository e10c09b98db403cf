/* json.h - reading JSON that nobody vouches for, into jansson's values: strict, duplicate keys refused, errors with file, line and column.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_JSON_H
#define TERN_BASE_JSON_H

#include <jansson.h>

#include "base/error.h"

/* Largest JSON file that is read: a tokenizer.json of 262,144 entries with merges has about 34 MB. */
#define TERN_JSON_MAX_BYTES ((size_t)256 << 20)

/* Parse bytes / a whole file: an object or an array. `name` is what messages call it. *out is a new reference: json_decref it.
 * Strings may hold NUL characters (json_string_length), keys do not. */
tern_status tern__json_parse(json_t **out, const char *bytes, size_t n_bytes, const char *name, tern_error *err);
tern_status tern__json_load(json_t **out, const char *path, tern_error *err);

/* From behind the opening bracket of an object or array to its closing one. */
typedef struct tern_json_hole {
    size_t start, end;
} tern_json_hole;

/* The same, but what is in the holes, which are in order, is not looked at: those objects and arrays are empty. */
tern_status tern__json_parse_around(json_t **out, const char *bytes, size_t n_bytes, const tern_json_hole *holes, size_t n_holes,
                                    const char *name, tern_error *err);

/* JSON text of a value, with jansson's JSON_COMPACT, JSON_INDENT(n) ... as flags; free with free(). json_dumps is not used, since it drops
 * keys without an error when memory is short. */
tern_status tern__json_dump(char **out, const json_t *json, size_t flags, tern_error *err);

/* Is it UTF-8, as JSON text must be? */
bool tern__json_is_utf8(const char *text, size_t bytes);

#endif
