#include "package/envelope.h"

#include "base/cleanup.h"
#include "package/manifest.h"
#include "trust/signature.h"
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512, COPY_SIZE = 256 << 10, NAME_SIZE = 32 };

static const char manifest_name[] = "manifest.json", signatures_name[] = "signatures.json";

static void frame_name(size_t index, char name[static NAME_SIZE]) {
    snprintf(name, NAME_SIZE, "content/%06zu.zst", index);
}

static uint64_t member_size(uint64_t size) { return BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK; }

/* ---- Writing ---- */

struct EnvelopeWriter {
    struct archive *archive;
    struct archive_entry *entry;
    size_t frame_count;
    uint8_t *bytes; /* COPY_SIZE */
};

static int cannot_write(EnvelopeWriter *writer, Error *error) {
    int number = archive_errno(writer->archive);
    if (number > 0) return error_errno(error, ERROR_SYSTEM, number, "cannot write the package");
    return error_set(error, ERROR_SYSTEM, "cannot write the package: %s",
                     archive_error_string(writer->archive));
}

int envelope_writer_new(int fd, EnvelopeWriter **out, Error *error) {
    EnvelopeWriter *writer = calloc(1, sizeof *writer);
    if (!writer || !(writer->archive = archive_write_new()) || !(writer->entry = archive_entry_new()) ||
        !(writer->bytes = malloc(COPY_SIZE)))
        abort();
    if (archive_write_set_format_ustar(writer->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(writer->archive, 1) != ARCHIVE_OK ||
        archive_write_open_fd(writer->archive, fd) != ARCHIVE_OK) {
        cannot_write(writer, error);
        envelope_writer_free(writer);
        return -1;
    }
    *out = writer;
    return 0;
}

static int write_header(EnvelopeWriter *writer, const char *name, uint64_t size, Error *error) {
    archive_entry_clear(writer->entry);
    archive_entry_set_pathname(writer->entry, name);
    archive_entry_set_filetype(writer->entry, AE_IFREG);
    archive_entry_set_perm(writer->entry, 0644);
    archive_entry_set_mtime(writer->entry, TREE_TIME_S, 0);
    archive_entry_set_size(writer->entry, (int64_t)size);
    return archive_write_header(writer->archive, writer->entry) == ARCHIVE_OK ? 0
                                                                              : cannot_write(writer, error);
}

static int write_data(EnvelopeWriter *writer, const void *bytes, size_t size, Error *error) {
    return archive_write_data(writer->archive, bytes, size) == (la_ssize_t)size ? 0
                                                                                : cannot_write(writer, error);
}

int envelope_write_head(EnvelopeWriter *writer, const void *manifest, size_t manifest_size,
                        const void *signatures, size_t signatures_size, Error *error) {
    if (write_header(writer, manifest_name, manifest_size, error) < 0) return -1;
    if (write_data(writer, manifest, manifest_size, error) < 0) return -1;
    if (write_header(writer, signatures_name, signatures_size, error) < 0) return -1;
    return write_data(writer, signatures, signatures_size, error);
}

int envelope_write_frame(EnvelopeWriter *writer, int source, uint64_t offset, uint32_t size, Error *error) {
    char name[NAME_SIZE];
    frame_name(writer->frame_count++, name);
    if (write_header(writer, name, size, error) < 0) return -1;
    for (uint32_t left = size; left > 0;) {
        ssize_t got = pread(source, writer->bytes, left < COPY_SIZE ? left : COPY_SIZE, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return error_errno(error, ERROR_SYSTEM, got < 0 ? errno : EIO, "cannot read back %s", name);
        if (write_data(writer, writer->bytes, (size_t)got, error) < 0) return -1;
        offset += (uint64_t)got;
        left -= (uint32_t)got;
    }
    return 0;
}

int envelope_writer_end(EnvelopeWriter *writer, Error *error) {
    return archive_write_close(writer->archive) == ARCHIVE_OK ? 0 : cannot_write(writer, error);
}

void envelope_writer_free(EnvelopeWriter *writer) {
    if (!writer) return;
    archive_write_free(writer->archive);
    archive_entry_free(writer->entry);
    free(writer->bytes);
    free(writer);
}

/* ---- Reading: libarchive reads headers through a cursor of ours, so that the descriptor's offset is never
 * used ---- */

typedef struct Reader {
    struct archive *archive;
    int fd;
    uint64_t at, size;
    uint64_t expected; /* where the next header must stand */
    uint8_t bytes[16 << 10];
} Reader;

static la_ssize_t on_read(struct archive *archive, void *context, const void **bytes) {
    Reader *reader = context;
    for (;;) {
        ssize_t got = pread(reader->fd, reader->bytes, sizeof reader->bytes, (off_t)reader->at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) archive_set_error(archive, errno, "cannot read");
        if (got > 0) reader->at += (uint64_t)got;
        *bytes = reader->bytes;
        return got;
    }
}

static la_int64_t on_skip(struct archive *archive, void *context, la_int64_t wanted) {
    (void)archive;
    Reader *reader = context;
    uint64_t left = reader->at < reader->size ? reader->size - reader->at : 0;
    uint64_t skipped = wanted > 0 && (uint64_t)wanted < left ? (uint64_t)wanted : left;
    reader->at += skipped;
    return (la_int64_t)skipped;
}

static int malformed(const char *what, Error *error) {
    return error_set(error, ERROR_INVALID,
                     "it is no whole package: %s is not where it must be; fetch it again", what);
}

static Reader *reader_new(int fd, uint64_t size) {
    Reader *reader = calloc(1, sizeof *reader);
    if (!reader || !(reader->archive = archive_read_new())) abort();
    reader->fd = fd;
    reader->size = size;
    archive_read_support_format_tar(reader->archive);
    archive_read_set_read_callback(reader->archive, on_read);
    archive_read_set_skip_callback(reader->archive, on_skip);
    archive_read_set_callback_data(reader->archive, reader);
    return reader;
}

static void reader_free(Reader *reader) {
    archive_read_free(reader->archive);
    free(reader);
}

/* What fills a block up must be zeros: no byte of a package goes unread. */
static bool is_zero(const Reader *reader, uint64_t from, uint64_t to) {
    static const uint8_t zeros[2 * BLOCK];
    uint8_t bytes[sizeof zeros];
    assert(from <= to && to - from <= sizeof bytes);
    size_t size = (size_t)(to - from);
    return pread(reader->fd, bytes, size, (off_t)from) == (ssize_t)size && memcmp(bytes, zeros, size) == 0;
}

/* A header right where it must be, of a plain file called `name`; *size_out gets its size. */
static int read_header(Reader *reader, const char *name, uint64_t *size_out, Error *error) {
    struct archive_entry *entry;
    if (archive_read_next_header(reader->archive, &entry) != ARCHIVE_OK) {
        int number = archive_errno(reader->archive);
        if (number == EIO) return error_errno(error, ERROR_SYSTEM, number, "cannot read the package");
        return malformed(name, error);
    }
    const char *said = archive_entry_pathname(entry);
    int64_t size = archive_entry_size(entry);
    if (!said || strcmp(said, name) != 0 || archive_entry_filetype(entry) != AE_IFREG ||
        archive_entry_hardlink(entry) || size < 0 ||
        archive_read_header_position(reader->archive) != (int64_t)reader->expected ||
        (uint64_t)size > reader->size)
        return malformed(name, error);
    uint64_t end = reader->expected + BLOCK + (uint64_t)size;
    reader->expected += member_size((uint64_t)size);
    if (reader->expected > reader->size || !is_zero(reader, end, reader->expected))
        return malformed(name, error);
    *size_out = (uint64_t)size;
    return 0;
}

/* The member's bytes and a NUL; the caller frees. */
static int read_member(Reader *reader, const char *name, size_t limit, char **out, size_t *size_out,
                       Error *error) {
    uint64_t size = 0;
    if (read_header(reader, name, &size, error) < 0) return -1;
    if (size > limit) return error_set(error, ERROR_INVALID, "%s is larger than %zu bytes", name, limit);
    FREE_AUTO char *bytes = malloc(size + 1);
    if (!bytes) abort();
    for (uint64_t done = 0; done < size;) {
        la_ssize_t got = archive_read_data(reader->archive, bytes + done, size - done);
        if (got <= 0) return malformed(name, error);
        done += (uint64_t)got;
    }
    bytes[size] = '\0';
    *out = pointer_take(&bytes);
    *size_out = size;
    return 0;
}

static int read_head(Reader *reader, Envelope *out, Error *error) {
    if (archive_read_open1(reader->archive) != ARCHIVE_OK) return malformed(manifest_name, error);
    FREE_AUTO char *manifest = NULL;
    size_t manifest_size = 0;
    if (read_member(reader, manifest_name, MANIFEST_SIZE_MAX, &manifest, &manifest_size, error) < 0)
        return -1;
    if (read_member(reader, signatures_name, SIGNATURES_SIZE_MAX, &out->signatures, &out->signatures_size,
                    error) < 0)
        return -1;
    out->manifest = pointer_take(&manifest);
    out->manifest_size = manifest_size;
    return 0;
}

int envelope_read(int fd, uint64_t size, Envelope *out, Error *error) {
    Reader *reader = reader_new(fd, size);
    Envelope envelope = {0};
    int result = read_head(reader, &envelope, error);
    reader_free(reader);
    if (result == 0) *out = envelope;
    return result;
}

static int find_frames(Reader *reader, const Frame *frames, size_t count, uint64_t *offsets, Error *error) {
    if (archive_read_open1(reader->archive) != ARCHIVE_OK) return malformed(manifest_name, error);
    uint64_t size = 0;
    char name[NAME_SIZE];
    if (read_header(reader, manifest_name, &size, error) < 0) return -1;
    if (read_header(reader, signatures_name, &size, error) < 0) return -1;
    for (size_t i = 0; i < count; i++) {
        frame_name(i, name);
        offsets[i] = reader->expected + BLOCK;
        if (read_header(reader, name, &size, error) < 0) return -1;
        if (size != frames[i].bytes) return malformed(name, error);
    }
    struct archive_entry *entry;
    if (archive_read_next_header(reader->archive, &entry) != ARCHIVE_EOF ||
        reader->size != reader->expected + (uint64_t)2 * BLOCK ||
        !is_zero(reader, reader->expected, reader->size)) {
        frame_name(count, name);
        return malformed(name, error);
    }
    return 0;
}

int envelope_find_frames(int fd, uint64_t size, const Frame *frames, size_t count, uint64_t *offsets,
                         Error *error) {
    Reader *reader = reader_new(fd, size);
    int result = find_frames(reader, frames, count, offsets, error);
    reader_free(reader);
    return result;
}
