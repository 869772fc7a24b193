/* Frame: up to 4 MiB of content as one zstd frame (RFC 8878), so that many can be made and read at once.
 *
 * A frame is known by the size of what it holds, the size it takes, and the SHA-256 of the bytes it takes: a
 * reader compares the digest first, and only then lets the decoder see the bytes. The decoder writes straight
 * into the room for the stated size and needs no window, whatever the frame's header asks for.
 *
 * Memory: an encoder takes at most 13 MiB and a decoder 0.2 MiB, beside the caller's buffers.
 */
#pragma once
#include "base/digest.h"
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define FRAME_SIZE (4U << 20)
/* Room that any encoded frame fits in (zstd's own bound for FRAME_SIZE is 4 MiB + 16 KiB). */
#define FRAME_BYTES_MAX (FRAME_SIZE + (64U << 10))
enum { FRAME_LEVEL_MIN = 1, FRAME_LEVEL_MAX = 19, FRAME_LEVEL_DEFAULT = 9 };

typedef struct Frame {
    uint32_t size;  /* of the content, 1 … FRAME_SIZE */
    uint32_t bytes; /* encoded, 1 … FRAME_BYTES_MAX */
    Digest digest;  /* of the encoded bytes */
} Frame;

/* One thread at a time each. */
typedef struct FrameEncoder FrameEncoder;
FrameEncoder *frame_encoder_new(int level);
void frame_encoder_free(FrameEncoder *encoder); /* NULL is allowed */
/* `out` has FRAME_BYTES_MAX bytes; the same content at the same level gives the same bytes. */
int frame_encode(FrameEncoder *encoder, const void *content, size_t size, void *out, Frame *frame,
                 Error *error);

typedef struct FrameDecoder FrameDecoder;
FrameDecoder *frame_decoder_new(void);
void frame_decoder_free(FrameDecoder *decoder); /* NULL is allowed */
/* `bytes` are frame->bytes of them, `out` has room for frame->size. ERROR_INVALID when the bytes are not
 * those of the digest, or not one zstd frame of exactly that content size. */
int frame_decode(FrameDecoder *decoder, const Frame *frame, const void *bytes, void *out, Error *error);
