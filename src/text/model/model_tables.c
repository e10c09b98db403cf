/* model_tables.c - filling the tables of a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/model/model_tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

void tern__model_tables_free(tern_model_tables *tables) {
    tern__vocabulary_free(&tables->vocabulary);
    free(tables->scores);
    free(tables->merges);
    free(tables->merge_strings);
    *tables = (tern_model_tables){0};
}

bool tern__model_tables_add_merge(tern_model_tables *tables, const char *left, size_t left_bytes, const char *right, size_t right_bytes) {
    size_t needed;
    if (left_bytes > UINT32_MAX || right_bytes > UINT32_MAX || tables->n_merges >= TERN_VOCABULARY_MAX ||
        !tern__size_add(left_bytes, right_bytes, &needed) || !tern__size_add(tables->merge_strings_bytes, needed, &needed) ||
        !tern__grow(&tables->merges, &tables->merges_capacity, tables->n_merges + 1, sizeof *tables->merges) ||
        !tern__grow(&tables->merge_strings, &tables->merge_strings_capacity, needed + 1, 1)) /* also for two empty texts */
        return false;
    char *copy = tables->merge_strings + tables->merge_strings_bytes;
    if (left_bytes) memcpy(copy, left, left_bytes);
    if (right_bytes) memcpy(copy + left_bytes, right, right_bytes);
    tables->merges[tables->n_merges++] =
        (tern_merge){.start = tables->merge_strings_bytes, .left_bytes = (uint32_t)left_bytes, .right_bytes = (uint32_t)right_bytes};
    tables->merge_strings_bytes = needed;
    return true;
}

bool tern__model_tables_add_piece(tern_model_tables *tables, const char *piece, size_t n_bytes, double score) {
    bool fits = tables->n_scores < tables->scores_capacity;
    if ((!fits && !tern__grow(&tables->scores, &tables->scores_capacity, tables->n_scores + 1, sizeof *tables->scores)) ||
        !tern__vocabulary_append(&tables->vocabulary, piece, n_bytes, (int32_t)tables->n_scores))
        return false;
    tables->scores[tables->n_scores++] = score;
    return true;
}
