/* Digest: SHA-256 (FIPS 180-4) of bytes, and its lower-case hexadecimal text. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = 65 /* with NUL */ };

typedef struct Digest {
    uint8_t bytes[DIGEST_SIZE];
} Digest;

/* One computation in parts. Not thread-safe; begin … add* … end, then it may begin again. */
typedef struct DigestStream DigestStream;
DigestStream *digest_stream_new(void);
void digest_stream_begin(DigestStream *stream);
void digest_stream_add(DigestStream *stream, const void *bytes, size_t size);
/* `size` zero bytes, for the holes of sparse files. */
void digest_stream_add_zeros(DigestStream *stream, uint64_t size);
Digest digest_stream_end(DigestStream *stream);
void digest_stream_free(DigestStream *stream);

Digest digest_of(const void *bytes, size_t size);
/* The whole of an open regular file, by pread from 0; `size_out` (may be NULL) gets the bytes read. */
int digest_of_fd(int fd, Digest *out, uint64_t *size_out, Error *error);

bool digest_equal(const Digest *a, const Digest *b);
void digest_to_text(const Digest *digest, char text[static DIGEST_TEXT_SIZE]);
/* Exactly 64 lower-case hexadecimal digits, else false. */
bool digest_from_text(const char *text, Digest *out);
