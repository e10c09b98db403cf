/* fuzz_folder.h - a folder of files for one input, and what must hold of the tokenizer that comes of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_FUZZ_FOLDER_H
#define TERN_FUZZ_FOLDER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tern.h"

static void require(bool is_so) {
    if (!is_so) abort();
}

static char fuzz_path[64];

static void fuzz_remove(void) { rmdir(fuzz_path); }

/* Made by the first input, in memory where there is /dev/shm; empty between inputs, and removed at the end. */
static const char *fuzz_folder(void) {
    if (fuzz_path[0]) return fuzz_path;
    snprintf(fuzz_path, sizeof fuzz_path, "%s/tern-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(fuzz_path) != NULL && atexit(fuzz_remove) == 0);
    return fuzz_path;
}

/* bytes NULL: the file is removed. */
static void fuzz_write(const char *name, const void *bytes, size_t n_bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    if (!bytes) {
        unlink(path);
        return;
    }
    FILE *file = fopen(path, "wb");
    require(file && fwrite(bytes, 1, n_bytes, file) == n_bytes && fclose(file) == 0);
}

/* Load; texts must come out with ids of the vocabulary and decode again. */
static void fuzz_use(void) {
    static const char text[] = "a ab <s>b</s> [MASK]<extra_id_0> \xE2\x96\x81\xC3\xA9\xF0\x9F\x98\x80  AB";
    tern_tokenizer *tokenizer;
    tern_error err = {.code = TERN_OK};
    const tern_status status = tern_tokenizer_load(&tokenizer, fuzz_folder(), &err);
    if (status != TERN_OK) {
        require(!tokenizer && err.code == status && err.message[0] != '\0' && status != TERN_E_MEMORY);
        return;
    }
    tern_encode_options options = tern_encode_options_default();
    options.with_tokens = true;
    tern_encoding encoding;
    char *decoded;
    if (tern_tokenizer_encode(&encoding, tokenizer, (tern_text){text, sizeof text - 1}, NULL, &options, &err) == TERN_OK) {
        for (size_t i = 0; i < encoding.n; i++)
            require(encoding.offsets[i][0] <= encoding.offsets[i][1] && encoding.offsets[i][1] < sizeof text);
        if (tern_tokenizer_decode(&decoded, NULL, tokenizer, encoding.ids, encoding.n, false, &err) == TERN_OK) tern_free(decoded);
        tern_encoding_free(&encoding);
    }
    tern_tokenizer_free(tokenizer);
}

#endif
