/* scores.c - see scores.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "scores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

static int by_score(const void *left, const void *right) {
    const tern_cli_score *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

void tern__cli_scores_sort(tern_cli_score *scores, size_t n) { qsort(scores, n, sizeof *scores, by_score); }

void tern__cli_scores_json(const tern_cli_score *scores, size_t n) {
    putchar('[');
    for (size_t i = 0; i < n; i++) {
        fputs(i > 0 ? ",{\"label\":" : "{\"label\":", stdout);
        tern__cli_json_string(scores[i].label, strlen(scores[i].label));
        fputs(",\"score\":", stdout);
        tern__cli_json_float(scores[i].score);
        putchar('}');
    }
    putchar(']');
}

void tern__cli_scores_print(const tern_cli_score *scores, size_t n) {
    for (size_t i = 0; i < n; i++) printf("%s%s %.4f", i > 0 ? "  " : "", scores[i].label, (double)scores[i].score);
}

bool tern__cli_split_pairs(tern_text *firsts, tern_text *seconds, const tern_text *texts, size_t n, size_t *without) {
    for (size_t i = 0; i < n; i++) {
        const char *tab = texts[i].bytes > 0 ? memchr(texts[i].data, '\t', texts[i].bytes) : NULL;
        if (tab == NULL) return *without = i, false;
        const size_t before = (size_t)(tab - texts[i].data);
        firsts[i] = (tern_text){.data = texts[i].data, .bytes = before};
        seconds[i] = (tern_text){.data = tab + 1, .bytes = texts[i].bytes - before - 1};
    }
    return true;
}
