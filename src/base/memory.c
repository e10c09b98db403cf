/* memory.c - checked sizes, blocks and the arena.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tern__size_add(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

bool tern__size_multiply(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

void *tern__alloc(size_t count, size_t size) {
    size_t bytes;
    if (!tern__size_multiply(count, size, &bytes)) return NULL;
    return malloc(bytes ? bytes : 1);
}

void *tern__alloc_zero(size_t count, size_t size) {
    if (count == 0 || size == 0) return calloc(1, 1);
    return calloc(count, size);
}

void *tern__alloc_aligned(size_t bytes) {
    if (bytes > SIZE_MAX - TERN_ALIGNMENT) return NULL;
    return aligned_alloc(TERN_ALIGNMENT, tern__align_up(bytes ? bytes : 1, TERN_ALIGNMENT));
}

bool tern__grow(void *array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return true;
    size_t wanted = needed;
    if (*capacity <= SIZE_MAX / 2 && wanted < *capacity * 2) wanted = *capacity * 2;
    if (wanted < 8) wanted = 8;
    size_t bytes;
    if (!tern__size_multiply(wanted, size, &bytes)) return false;
    void *block; /* the caller's pointer has a type of its own, so it is read and written as bytes */
    memcpy(&block, array, sizeof block);
    block = realloc(block, bytes);
    if (!block) return false;
    memcpy(array, &block, sizeof block);
    *capacity = wanted;
    return true;
}

/* The head of the list is the block that is being filled. Blocks double up to ARENA_BLOCK_MAX, so a small arena stays small. */
#define ARENA_BLOCK_MIN ((size_t)1 << 10)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)

struct tern_arena_block {
    struct tern_arena_block *next;
    size_t used;
    size_t bytes; /* of data */
    alignas(16) unsigned char data[];
};

static struct tern_arena_block *arena_block_new(size_t bytes) {
    size_t total;
    if (!tern__size_add(bytes, sizeof(struct tern_arena_block), &total)) return NULL;
    struct tern_arena_block *block = malloc(total);
    if (block) *block = (struct tern_arena_block){.bytes = bytes};
    return block;
}

void *tern__arena_alloc(tern_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX - 16) return NULL;
    bytes = tern__align_up(bytes ? bytes : 1, 16);
    struct tern_arena_block *head = arena->blocks;
    if (!head || head->bytes - head->used < bytes) {
        size_t next_bytes = head && head->bytes * 2 > ARENA_BLOCK_MIN ? head->bytes * 2 : ARENA_BLOCK_MIN;
        if (next_bytes > ARENA_BLOCK_MAX) next_bytes = ARENA_BLOCK_MAX;
        bool has_own_block = bytes > next_bytes / 2; /* then the head keeps being filled */
        struct tern_arena_block *block = arena_block_new(has_own_block ? bytes : next_bytes);
        if (!block) return NULL;
        if (has_own_block && head) {
            block->next = head->next;
            head->next = block;
        } else {
            block->next = head;
            arena->blocks = block;
        }
        head = block;
    }
    void *memory = head->data + head->used;
    head->used += bytes;
    return memory;
}

char *tern__arena_copy(tern_arena *arena, const char *text, size_t bytes) {
    if (bytes == SIZE_MAX) return NULL;
    char *copy = tern__arena_alloc(arena, bytes + 1);
    if (!copy) return NULL;
    if (bytes) memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *tern__arena_format(tern_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : tern__arena_alloc(arena, (size_t)length + 1);
    if (!text) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void tern__arena_free(tern_arena *arena) {
    for (struct tern_arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
}
