/* memory.h - sizes that cannot overflow, aligned blocks, and an arena for what lives and dies together.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BASE_MEMORY_H
#define TERN_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERN_ALIGNMENT 64 /* bytes: a cache line and an AVX-512 register */

/* *out = a + b, a * b; false (and *out unwritten) on overflow. */
bool tern__size_add(size_t a, size_t b, size_t *out);
bool tern__size_multiply(size_t a, size_t b, size_t *out);

static inline size_t tern__align_up(size_t bytes, size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

/* count * size bytes, uninitialised / zeroed; NULL on overflow or when memory is short. Free with free(). A count of 0 gives a block. */
void *tern__alloc(size_t count, size_t size);
void *tern__alloc_zero(size_t count, size_t size);
/* Aligned to TERN_ALIGNMENT; free with free(). */
void *tern__alloc_aligned(size_t bytes);
/* Grow *array (element size `size`, capacity *capacity) so that it holds at least `needed`; false when memory is short (array kept). */
bool tern__grow(void *array, size_t *capacity, size_t needed, size_t size);

/* Blocks that are freed all at once. A zeroed arena is empty. One thread at a time. */
typedef struct tern_arena {
    struct tern_arena_block *blocks;
} tern_arena;

void *tern__arena_alloc(tern_arena *arena, size_t bytes); /* aligned to 16; NULL when memory is short */
char *tern__arena_copy(tern_arena *arena, const char *text, size_t bytes); /* adds a NUL */
char *tern__arena_format(tern_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tern__arena_free(tern_arena *arena);

#endif
