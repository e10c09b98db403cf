/* normalized.c - memory of normalized text and of spans.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/normalized.h"

#include <stdlib.h>

#include "base/memory.h"

void tern__normalized_free(tern_normalized *normalized) {
    free(normalized->byte_buffer);
    free(normalized->origin_buffer);
    *normalized = (tern_normalized){0};
}

bool tern__normalized_reserve(tern_normalized *normalized, size_t n_bytes, bool with_origins) {
    size_t needed;
    if (!tern__size_add(normalized->n_bytes, n_bytes, &needed)) return false;
    if (needed == 0) needed = 1; /* the buffers are there, so that origins of no bytes are not taken for none */
    if (!tern__grow(&normalized->byte_buffer, &normalized->byte_capacity, needed, 1)) return false;
    normalized->bytes = normalized->byte_buffer;
    if (!with_origins) return true;
    if (!tern__grow(&normalized->origin_buffer, &normalized->origin_capacity, needed, sizeof *normalized->origin_buffer)) return false;
    normalized->origins = normalized->origin_buffer;
    return true;
}

bool tern__spans_add(tern_spans *spans, size_t start, size_t end) {
    if (start == end) return true;
    if (spans->n == spans->capacity && !tern__grow(&spans->items, &spans->capacity, spans->n + 1, sizeof *spans->items)) return false;
    spans->items[spans->n++] = (tern_span){.start = (uint32_t)start, .end = (uint32_t)end};
    return true;
}
