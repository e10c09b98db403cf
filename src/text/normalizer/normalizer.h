/* normalizer.h - text to the form that the vocabulary was made from, with the place each byte came from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_NORMALIZER_H
#define TERN_TEXT_NORMALIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "text/normalized.h"

struct tern_normalizer_stage; /* normalizer_stages.h */

/* The stages through which a text goes, a Sequence's members one after the other. Zeroed: none. Read-only once it is made. */
typedef struct tern_normalizer {
    struct tern_normalizer_stage *stages;
    size_t n_stages, capacity;
} tern_normalizer;

/* `json` may be null or absent: none. `out` is left to be freed whether it succeeds or not. */
tern_status tern__normalizer_read(tern_normalizer *out, const json_t *json, const char *file, tern_error *err);

/* Lowercase before all others, unless it is one of them. */
tern_status tern__normalizer_lower_first(tern_normalizer *normalizer, tern_error *err);

void tern__normalizer_free(tern_normalizer *normalizer);

/* Normalize `text`, which is well-formed UTF-8 of at most INT32_MAX bytes and starts at code point `first` of the whole text. out->bytes
 * may point into `text`. */
tern_status tern__normalizer_run(tern_normalized *out, const tern_normalizer *normalizer, const unsigned char *text, size_t n_bytes,
                                 uint32_t first, tern_error *err);

#endif
