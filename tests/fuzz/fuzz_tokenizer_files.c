/* fuzz_tokenizer_files.c - any text as the files of a folder without tokenizer.json. A line that is "== NAME", one of those below, begins a
 * file; what stands before the first is left out. SentencePiece models are fuzz_sentencepiece.c's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static const char *const names[] = {"vocab.txt",         "vocab.json",  "merges.txt",  "tokenizer_config.json", "special_tokens_map.json",
                                    "added_tokens.json", "config.json", "modules.json"};
enum { N_NAMES = sizeof names / sizeof *names, NONE = N_NAMES };

/* Which file begins with this line. */
static size_t file_of(const char *line, size_t n_line) {
    for (size_t i = 0; i < N_NAMES; i++)
        if (n_line == strlen(names[i]) + 3 && memcmp(line, "== ", 3) == 0 && memcmp(line + 3, names[i], n_line - 3) == 0) return i;
    return NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    const char *text = (const char *)bytes;
    size_t start = 0, file = NONE;
    bool is_there[N_NAMES] = {false};
    for (size_t at = 0; at <= n_bytes;) {
        const char *newline = at < n_bytes ? memchr(text + at, '\n', n_bytes - at) : NULL;
        const size_t end = newline ? (size_t)(newline - text) : n_bytes, next = file_of(text + at, end - at);
        const bool is_last = !newline;
        if (next != NONE || is_last) {
            if (file != NONE) fuzz_write(names[file], text + start, (next != NONE ? at : n_bytes) - start);
            if (file != NONE) is_there[file] = true;
            file = next;
            start = end + 1;
        }
        if (is_last) break;
        at = end + 1;
    }
    fuzz_use();
    for (size_t i = 0; i < N_NAMES; i++)
        if (is_there[i]) fuzz_write(names[i], NULL, 0);
    return 0;
}
