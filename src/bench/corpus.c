/* corpus.c - see corpus.h. The text itself comes from src/bench/text.txt through the build.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/corpus.h"

#include <stdlib.h>

static const unsigned char corpus[] = {
#include "bench_text.inc"
};

enum { CORPUS_BYTES = sizeof corpus, WORDS_APART = 7, MAX_UTF8 = 4 };

static bool begins_code_point(unsigned char byte) { return (byte & 0xC0) != 0x80; }

/* The byte after which text `index` begins: WORDS_APART spaces further for each. */
static size_t start_of(size_t index) {
    size_t at = 0;
    for (size_t n = index * WORDS_APART; n > 0; at = (at + 1) % CORPUS_BYTES) n -= corpus[at] == ' ';
    return at;
}

/* n_chars code points from `at` on to `out`; returns their bytes. */
static size_t copy_chars(char *out, size_t at, size_t n_chars) {
    size_t n = 0;
    for (size_t chars = 0;; at = (at + 1) % CORPUS_BYTES) {
        chars += begins_code_point(corpus[at]);
        if (chars > n_chars) return n;
        out[n++] = (char)corpus[at];
    }
}

bool tern__corpus_cut(tern_text *texts, char **storage, size_t n_texts, size_t n_chars) {
    if (n_chars > SIZE_MAX / MAX_UTF8 / (n_texts + 1)) return false;
    *storage = malloc(n_texts * n_chars * MAX_UTF8 + 1);
    if (*storage == NULL) return false;
    char *out = *storage;
    for (size_t t = 0; t < n_texts; t++) {
        texts[t] = (tern_text){.data = out, .bytes = copy_chars(out, start_of(t), n_chars)};
        out += texts[t].bytes;
    }
    return true;
}
