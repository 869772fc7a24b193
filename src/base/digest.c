#include "base/digest.h"
#include "base/cleanup.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SIZE = 128 * 1024 };

struct DigestStream {
    EVP_MD_CTX *context;
};

DigestStream *digest_stream_new(void) {
    DigestStream *stream = calloc(1, sizeof *stream);
    if (!stream) abort();
    stream->context = EVP_MD_CTX_new();
    if (!stream->context) abort();
    return stream;
}

void digest_stream_begin(DigestStream *stream) {
    if (EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL) != 1) abort();
}

void digest_stream_add(DigestStream *stream, const void *bytes, size_t size) {
    if (EVP_DigestUpdate(stream->context, bytes, size) != 1) abort();
}

void digest_stream_add_zeros(DigestStream *stream, uint64_t size) {
    static const uint8_t zeros[64 * 1024];
    while (size > 0) {
        size_t part = size < sizeof zeros ? (size_t)size : sizeof zeros;
        digest_stream_add(stream, zeros, part);
        size -= part;
    }
}

Digest digest_stream_end(DigestStream *stream) {
    Digest digest;
    unsigned size = 0;
    if (EVP_DigestFinal_ex(stream->context, digest.bytes, &size) != 1 || size != DIGEST_SIZE) abort();
    return digest;
}

void digest_stream_free(DigestStream *stream) {
    if (!stream) return;
    EVP_MD_CTX_free(stream->context);
    free(stream);
}

Digest digest_of(const void *bytes, size_t size) {
    Digest digest;
    unsigned written = 0;
    if (EVP_Digest(bytes, size, digest.bytes, &written, EVP_sha256(), NULL) != 1 || written != DIGEST_SIZE)
        abort();
    return digest;
}

int digest_of_fd(int fd, Digest *out, uint64_t *size_out, Error *error) {
    FREE_AUTO uint8_t *bytes = malloc(READ_SIZE);
    if (!bytes) abort();
    DigestStream *stream = digest_stream_new();
    digest_stream_begin(stream);
    uint64_t offset = 0;
    for (;;) {
        ssize_t got = pread(fd, bytes, READ_SIZE, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int number = errno;
            digest_stream_free(stream);
            return error_errno(error, ERROR_SYSTEM, number, "cannot read");
        }
        if (got == 0) break;
        digest_stream_add(stream, bytes, (size_t)got);
        offset += (uint64_t)got;
    }
    *out = digest_stream_end(stream);
    if (size_out) *size_out = offset;
    digest_stream_free(stream);
    return 0;
}

bool digest_equal(const Digest *a, const Digest *b) { return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0; }

void digest_to_text(const Digest *digest, char text[static DIGEST_TEXT_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        text[2 * i] = digits[digest->bytes[i] >> 4];
        text[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    text[DIGEST_TEXT_SIZE - 1] = '\0';
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

bool digest_from_text(const char *text, Digest *out) {
    Digest digest;
    if (strnlen(text, DIGEST_TEXT_SIZE) != DIGEST_TEXT_SIZE - 1) return false;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = digest;
    return true;
}
