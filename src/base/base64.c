#include "base/base64.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

void base64_append(Buffer *out, const void *bytes, size_t size) {
    enum { CHUNK = 3072 };
    unsigned char text[CHUNK / 3 * 4 + 1];
    const unsigned char *from = bytes;
    for (size_t done = 0; done < size; done += CHUNK) {
        size_t part = size - done < CHUNK ? size - done : CHUNK;
        int length = EVP_EncodeBlock(text, from + done, (int)part);
        buffer_append(out, text, (size_t)length);
    }
}

int base64_decode(Arena *arena, const char *text, const uint8_t **out, size_t *size_out) {
    size_t length = strlen(text);
    if (length % 4 != 0 || length > (1U << 30)) return -1;
    uint8_t *bytes = arena_alloc(arena, length / 4 * 3 + 1);
    int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
    if (decoded < 0 || (size_t)decoded != length / 4 * 3) return -1;
    size_t size = (size_t)decoded;
    if (length > 0 && text[length - 1] == '=') size -= text[length - 2] == '=' ? 2 : 1;
    BUFFER_AUTO again = {0}; /* EVP_DecodeBlock is lenient: spaces, bits behind the end */
    base64_append(&again, bytes, size);
    if (strcmp(buffer_text(&again), text) != 0) return -1;
    bytes[size] = 0;
    *out = bytes;
    *size_out = size;
    return 0;
}
