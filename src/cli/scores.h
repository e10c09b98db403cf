/* scores.h - labels with scores: sorted, and printed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_CLI_SCORES_H
#define TERN_CLI_SCORES_H

#include <stddef.h>

#include "tern.h"

typedef struct tern_cli_score {
    const char *label;
    float score;
    size_t index; /* where it stood */
} tern_cli_score;

/* The best first; equal ones as they stood. */
void tern__cli_scores_sort(tern_cli_score *scores, size_t n);
/* [{"label":"POSITIVE","score":0.99},..] */
void tern__cli_scores_json(const tern_cli_score *scores, size_t n);
/* POSITIVE 0.9900  NEGATIVE 0.0100 */
void tern__cli_scores_print(const tern_cli_score *scores, size_t n);
/* An array of texts that have a tab each, as two: what stands before it and what behind; false and why when one has none. */
bool tern__cli_split_pairs(tern_text *firsts, tern_text *seconds, const tern_text *texts, size_t n, size_t *without);

#endif
