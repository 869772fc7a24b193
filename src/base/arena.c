#include "base/arena.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

/* Each is twice the one before, to a limit: a small arena is small, and what a large one took is in pieces
 * that the allocator gives back to the system instead of keeping them between others. */
enum { CHUNK_SIZE = 32 * 1024, CHUNK_MAX = 1024 * 1024 };

typedef struct Chunk Chunk;
struct Chunk {
    Chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

struct Arena {
    Chunk *chunks; /* the first is the one being filled */
    size_t next_size;
};

Arena *arena_new(void) {
    Arena *arena = calloc(1, sizeof *arena);
    if (!arena) abort();
    arena->next_size = CHUNK_SIZE;
    return arena;
}

void arena_free(Arena *arena) {
    if (!arena) return;
    for (Chunk *chunk = arena->chunks; chunk;) {
        Chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(arena);
}

void arena_cleanup(Arena **arena) { arena_free(*arena); }

static Chunk *chunk_new(size_t size) {
    if (size > SIZE_MAX - sizeof(Chunk)) abort();
    Chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk) abort();
    *chunk = (Chunk){.size = size};
    return chunk;
}

void *arena_alloc(Arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) abort();
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    Chunk *first = arena->chunks;
    if (first && first->size - first->used >= size) {
        void *allocated = first->bytes + first->used;
        first->used += size;
        return memset(allocated, 0, size);
    }
    bool large = size > CHUNK_SIZE / 4;
    Chunk *chunk = chunk_new(large ? size : arena->next_size);
    chunk->used = size;
    if (!large && arena->next_size < CHUNK_MAX) arena->next_size *= 2;
    if (first && large) { /* of its own: keep filling the first */
        chunk->next = first->next;
        first->next = chunk;
    } else {
        chunk->next = first;
        arena->chunks = chunk;
    }
    return memset(chunk->bytes, 0, size);
}

void *arena_array(Arena *arena, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) abort();
    return arena_alloc(arena, total);
}

char *arena_strndup(Arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(Arena *arena, const char *text) {
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_vprintf(Arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) abort();
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *arena_printf(Arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return text;
}
