/* Arena: memory that is given back all at once.
 *
 * One arena serves one request, tick or loaded document; everything allocated from it lives until
 * arena_free(). Allocation never fails: running out of memory aborts (the programs are crash-only).
 * Not thread-safe: one arena, one thread at a time.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena); /* NULL is allowed */

/* Zeroed, aligned for any type. */
void *arena_alloc(Arena *arena, size_t size);
/* A zeroed array; aborts when count × size overflows. */
void *arena_array(Arena *arena, size_t count, size_t size);
char *arena_strdup(Arena *arena, const char *text); /* NULL gives NULL */
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *arena, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#define ARENA_NEW(arena, Type)          ((Type *)arena_alloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, count, Type) ((Type *)arena_array((arena), (count), sizeof(Type)))

void arena_cleanup(Arena **arena);
#define ARENA_AUTO __attribute__((cleanup(arena_cleanup))) Arena *
