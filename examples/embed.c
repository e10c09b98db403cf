/* embed.c - the shortest honest program: load a checkpoint folder, embed texts, print the vectors and how alike they are.
 *
 *     cc embed.c $(pkg-config --cflags --libs tern) -o embed && ./embed all-MiniLM-L6-v2 'A man is eating.' 'Someone has a meal.'
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern.h>

enum { MAX_TEXTS = 16 };

/* texts [n] -> embeddings [n, width] -> similarity [n, n] */
static tern_status embed_and_compare(tern_model *model, const tern_text *texts, size_t n, tern_error *err) {
    const size_t width = tern_model_embedding_size(model);
    float similarity[MAX_TEXTS * MAX_TEXTS], *embeddings = calloc(n, width * sizeof *embeddings);
    if (embeddings == NULL) return snprintf(err->message, sizeof err->message, "out of memory"), TERN_E_MEMORY;
    tern_status status = tern_model_embed(model, texts, n, NULL, embeddings, NULL, err);
    if (status == TERN_OK) status = tern_similarity(similarity, TERN_SIMILARITY_COSINE, embeddings, n, embeddings, n, width, err);
    if (status == TERN_OK) {
        for (size_t i = 0; i < n; i++) {
            printf("\"%.*s\"\n  embedding [%zu]:", (int)texts[i].bytes, texts[i].data, width);
            for (size_t k = 0; k < width && k < 6; k++) printf(" %.4f", (double)embeddings[i * width + k]);
            printf(" ...\n  similarity:");
            for (size_t j = 0; j < n; j++) printf(" %.3f", (double)similarity[i * n + j]);
            printf("\n");
        }
    }
    free(embeddings);
    return status;
}

int main(int argc, char **argv) {
    static const char *const samples[] = {"A man is eating food.", "Someone is having a meal.", "The rocket reached orbit."};
    if (argc < 2 || argc - 2 > MAX_TEXTS) {
        fprintf(stderr, "usage: embed MODEL [TEXT...]   (at most %d texts)\n", MAX_TEXTS);
        return 2;
    }
    tern_text texts[MAX_TEXTS];
    size_t n = 0;
    for (int i = 2; i < argc; i++) texts[n++] = (tern_text){argv[i], strlen(argv[i])};
    for (size_t i = 0; argc == 2 && i < sizeof samples / sizeof *samples; i++) texts[n++] = (tern_text){samples[i], strlen(samples[i])};

    tern_error err;
    tern_model *model = NULL;
    tern_status status = tern_model_load(&model, argv[1], NULL, &err);
    if (status == TERN_OK) status = embed_and_compare(model, texts, n, &err);
    if (status != TERN_OK) fprintf(stderr, "embed: %s\n", err.message);
    tern_model_free(model);
    return status == TERN_OK ? 0 : 1;
}
