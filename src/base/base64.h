/* Base64 (RFC 4648, with padding) of bytes that JSON cannot hold. */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"
#include <stddef.h>
#include <stdint.h>

void base64_append(Buffer *out, const void *bytes, size_t size);
/* Strict: no spaces, right padding, and nothing that would not encode to the same text. The bytes live in
 * `arena` and are followed by a NUL that *size_out does not count. 0, or -1. */
int base64_decode(Arena *arena, const char *text, const uint8_t **out, size_t *size_out);
