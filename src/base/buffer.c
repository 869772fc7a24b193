#include "base/buffer.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void reserve(Buffer *buffer, size_t more) {
    if (more > SIZE_MAX / 4 - buffer->size) abort();
    size_t needed = buffer->size + more + 1;
    if (needed <= buffer->capacity) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < needed) capacity *= 2;
    buffer->data = realloc(buffer->data, capacity);
    if (!buffer->data) abort();
    buffer->capacity = capacity;
}

void buffer_append(Buffer *buffer, const void *bytes, size_t size) {
    reserve(buffer, size);
    if (size) memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void buffer_text_append(Buffer *buffer, const char *text) { buffer_append(buffer, text, strlen(text)); }

void buffer_vprintf(Buffer *buffer, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) abort();
    reserve(buffer, (size_t)length);
    vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    buffer->size += (size_t)length;
}

void buffer_printf(Buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
}

const char *buffer_text(const Buffer *buffer) { return buffer->data ? buffer->data : ""; }

void buffer_clear(Buffer *buffer) {
    buffer->size = 0;
    if (buffer->data) buffer->data[0] = '\0';
}

void buffer_free(Buffer *buffer) {
    free(buffer->data);
    *buffer = (Buffer){0};
}
