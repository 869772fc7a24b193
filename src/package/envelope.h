/* Envelope: the tar around a package's parts; the only room that knows libarchive.
 *
 * Members, in this order and nothing else: manifest.json, signatures.json, content/000000.zst,
 * content/000001.zst, … All are regular files of mode 0644, owner 0:0, time TREE_TIME_S, in plain ustar
 * headers, so that the same parts make the same bytes; two blocks of zeros end it. Readers accept exactly
 * that form: each part stands where the sizes of those before it put it, and the file ends where the last one
 * does.
 */
#pragma once
#include "base/error.h"
#include "package/frame.h"
#include <stddef.h>
#include <stdint.h>

/* ---- Writing ---- */

typedef struct EnvelopeWriter EnvelopeWriter;
/* Write to `fd` (borrowed), from its present offset. */
int envelope_writer_new(int fd, EnvelopeWriter **out, Error *error);
int envelope_write_head(EnvelopeWriter *writer, const void *manifest, size_t manifest_size,
                        const void *signatures, size_t signatures_size, Error *error);
/* The frames follow in their order, each `size` bytes at `offset` of `source`. */
int envelope_write_frame(EnvelopeWriter *writer, int source, uint64_t offset, uint32_t size, Error *error);
int envelope_writer_end(EnvelopeWriter *writer, Error *error);
void envelope_writer_free(EnvelopeWriter *writer); /* NULL is allowed */

/* ---- Reading ---- */

typedef struct Envelope {
    char *manifest, *signatures; /* each followed by a NUL; the caller's, free() */
    size_t manifest_size, signatures_size;
} Envelope;

/* The first two members of `fd`, `size` bytes long. */
int envelope_read(int fd, uint64_t size, Envelope *out, Error *error);
/* Check the rest of `fd` to be these frames; offsets[i] gets where the bytes of frame i begin. */
int envelope_find_frames(int fd, uint64_t size, const Frame *frames, size_t count, uint64_t *offsets,
                         Error *error);
