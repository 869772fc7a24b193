/* Buffer: bytes that grow at the end. Zero-initialise it; buffer_free() gives the memory back.
 * The content is always followed by a NUL that `size` does not count, so text in it is a C string
 * (`data` is NULL only while nothing was ever appended: buffer_text() gives "" then). */
#pragma once
#include <stdarg.h>
#include <stddef.h>

typedef struct Buffer {
    char *data;
    size_t size;
    size_t capacity;
} Buffer;

void buffer_append(Buffer *buffer, const void *bytes, size_t size);
void buffer_text_append(Buffer *buffer, const char *text);
void buffer_printf(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_vprintf(Buffer *buffer, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
const char *buffer_text(const Buffer *buffer);
void buffer_clear(Buffer *buffer); /* keeps the memory */
void buffer_free(Buffer *buffer);
#define BUFFER_AUTO __attribute__((cleanup(buffer_free))) Buffer
