/* encode.c - what bench/tokenizer.py has measured on Tern's side: encodes the texts of a file again and again, from C, so that no call from
 * Python is in the time.
 *
 *     encode FOLDER TEXTS THREADS
 *
 * TEXTS holds texts, each with a NUL behind it. THREADS 0: one call of tern_tokenizer_encode for each text; else one call of
 * tern_tokenizer_encode_batch by so many threads. Each line on standard input starts a round; its seconds are printed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tern.h"

typedef struct texts {
    char *bytes;
    tern_text *items;
    tern_encoding *encodings;
    size_t n;
} texts;

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool read_texts(texts *out, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    bool is_good = fseek(file, 0, SEEK_END) == 0;
    const long size = ftell(file);
    is_good = is_good && size > 0 && fseek(file, 0, SEEK_SET) == 0;
    const size_t n_bytes = is_good ? (size_t)size : 0;
    out->bytes = malloc(n_bytes + 1);
    is_good = is_good && out->bytes && fread(out->bytes, 1, n_bytes, file) == n_bytes;
    fclose(file);
    if (!is_good) return false;
    for (size_t i = 0; i < n_bytes; i++) out->n += out->bytes[i] == '\0';
    out->items = calloc(out->n, sizeof *out->items);
    out->encodings = calloc(out->n, sizeof *out->encodings);
    if (!out->items || !out->encodings) return false;
    const char *start = out->bytes;
    for (size_t i = 0; i < out->n; i++) {
        out->items[i] = (tern_text){.data = start, .bytes = strlen(start)};
        start += out->items[i].bytes + 1;
    }
    return true;
}

static tern_status encode_all(const texts *all, const tern_tokenizer *tokenizer, int threads, tern_error *err) {
    tern_encode_options options = tern_encode_options_default();
    options.threads = threads;
    tern_status status = TERN_OK;
    if (threads > 0) {
        status = tern_tokenizer_encode_batch(all->encodings, tokenizer, all->items, NULL, all->n, &options, err);
        for (size_t i = 0; i < all->n && status == TERN_OK; i++) tern_encoding_free(&all->encodings[i]);
        return status;
    }
    for (size_t i = 0; i < all->n && status == TERN_OK; i++) {
        tern_encoding encoding;
        status = tern_tokenizer_encode(&encoding, tokenizer, all->items[i], NULL, &options, err);
        if (status == TERN_OK) tern_encoding_free(&encoding);
    }
    return status;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: encode FOLDER TEXTS THREADS\n");
        return 2;
    }
    texts all = {0};
    tern_tokenizer *tokenizer = NULL;
    tern_error err;
    int code = 1;
    if (!read_texts(&all, argv[2])) {
        fprintf(stderr, "encode: %s: cannot be read\n", argv[2]);
    } else if (tern_tokenizer_load(&tokenizer, argv[1], &err) != TERN_OK) {
        fprintf(stderr, "encode: %s\n", err.message);
    } else {
        char line[16];
        code = 0;
        while (code == 0 && fgets(line, sizeof line, stdin)) {
            const double start = now_seconds();
            if (encode_all(&all, tokenizer, atoi(argv[3]), &err) != TERN_OK) {
                fprintf(stderr, "encode: %s\n", err.message);
                code = 1;
            }
            printf("%.9f\n", now_seconds() - start);
            fflush(stdout);
        }
    }
    tern_tokenizer_free(tokenizer);
    free(all.encodings);
    free(all.items);
    free(all.bytes);
    return code;
}
