/* Objects: writing contents into the store and reading them out of it. */
#include "base/cleanup.h"
#include "base/file.h"
#include "host/restore_point/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum {
    ROOM_SIZE = 1 << 20, /* contents up to this are compressed in one go */
    BLOCK_SIZE = 4096,   /* what a file system gives out: less is not worth a frame, zero ones become holes */
    COMPRESSION_LEVEL = 1, /* the disk, not the ratio, is what a restore point waits for */
    WINDOW_LOG_MAX = 23,   /* 8 MiB: what a frame from anywhere may ask of our memory */
    NAME_SIZE = DIGEST_TEXT_SIZE + 8,
};

struct StoreRoom {
    uint8_t *plain;  /* ROOM_SIZE */
    uint8_t *packed; /* packed_size */
    size_t packed_size;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    DigestStream *digest;
    Store *store; /* whose temporary/ holds the folder: */
    char folder_name[STORE_NAME_SIZE];
    int folder;          /* where new objects are written; -1 until there is one */
    StoreRoom *verifier; /* for reading an object while `plain` holds a content; made when first needed */
};

StoreRoom *store_room_new(void) {
    StoreRoom *room = calloc(1, sizeof *room);
    if (!room) abort();
    room->folder = -1;
    room->packed_size = ZSTD_compressBound(ROOM_SIZE);
    room->plain = malloc(ROOM_SIZE);
    room->packed = malloc(room->packed_size);
    room->compressor = ZSTD_createCCtx();
    room->decompressor = ZSTD_createDCtx();
    room->digest = digest_stream_new();
    if (!room->plain || !room->packed || !room->compressor || !room->decompressor) abort();
    ZSTD_CCtx_setParameter(room->compressor, ZSTD_c_compressionLevel, COMPRESSION_LEVEL);
    ZSTD_DCtx_setParameter(room->decompressor, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    return room;
}

void store_room_free(StoreRoom *room) {
    if (!room) return;
    free(room->plain);
    free(room->packed);
    ZSTD_freeCCtx(room->compressor);
    ZSTD_freeDCtx(room->decompressor);
    digest_stream_free(room->digest);
    store_room_free(room->verifier);
    if (room->folder >= 0) {
        close(room->folder);
        unlinkat(store_temporary_dir(room->store), room->folder_name, AT_REMOVEDIR);
    }
    free(room);
}

/* "ab/cdef…" and, compressed, ".zst" behind it. */
static void object_name(const Digest *digest, bool compressed, char name[static NAME_SIZE]) {
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(digest, text);
    snprintf(name, NAME_SIZE, "%.2s/%s%s", text, text + 2, compressed ? ".zst" : "");
}

static bool is_cancelled(const atomic_bool *cancel) { return cancel && atomic_load(cancel); }

static int interrupted(Error *error) { return error_set(error, ERROR_INTERRUPTED, "stopped on request"); }

/* Fill `bytes` from `offset`; less only at the end of the file. -1 with errno set. */
static ssize_t read_full(int fd, void *bytes, size_t size, uint64_t offset) {
    size_t filled = 0;
    while (filled < size) {
        ssize_t got = pread(fd, (char *)bytes + filled, size - filled, (off_t)(offset + filled));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        filled += (size_t)got;
    }
    return (ssize_t)filled;
}

/* ---- looking ---- */

int store_object_open(Store *store, const Digest *digest, bool *compressed, Error *error) {
    char name[NAME_SIZE];
    for (int i = 0; i < 2; i++) {
        object_name(digest, i == 1, name);
        int fd = openat(store_objects_dir(store), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            if (compressed) *compressed = i == 1;
            return fd;
        }
        if (errno != ENOENT) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", name);
    }
    object_name(digest, false, name);
    return error_set(error, ERROR_REFUSED, "the object %s/objects/%s is missing", store_path(store), name);
}

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

int store_stamp(Store *store, const Digest *digest, StoreStamp *out, Error *error) {
    char name[NAME_SIZE];
    struct stat status;
    for (int i = 0; i < 2; i++) {
        object_name(digest, i == 1, name);
        if (fstatat(store_objects_dir(store), name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
            *out = (StoreStamp){status.st_ino, (uint64_t)status.st_size, nanoseconds(status.st_mtim),
                                nanoseconds(status.st_ctim)};
            return 0;
        }
        if (errno != ENOENT) return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", name);
    }
    *out = (StoreStamp){0};
    return 0;
}

/* ---- putting ---- */

static void remove_object(Store *store, const Digest *digest) {
    char name[NAME_SIZE];
    for (int i = 0; i < 2; i++) {
        object_name(digest, i == 1, name);
        unlinkat(store_objects_dir(store), name, 0);
    }
}

/* Is there an object to lean on? Proved, or read and found whole now. A damaged one makes room for a new one.
 */
static bool is_good(Store *store, StoreRoom *room, const StorePut *put, bool *settled) {
    *settled = store_is_proved(store, &put->digest);
    if (*settled) return true;
    FD_AUTO fd = store_object_open(store, &put->digest, NULL, NULL);
    if (fd < 0) return false;
    if (!room->verifier) room->verifier = store_room_new();
    StoreGet get = {.digest = &put->digest, .size = put->size, .fd = -1};
    Error reading = {0};
    if (store_get(store, room->verifier, &get, &reading) == 0) return true;
    if (reading.kind == ERROR_REFUSED) remove_object(store, &put->digest);
    return false;
}

/* Give the temporary file its name. */
static int publish(StoreRoom *room, const char *temporary, const Digest *digest, bool compressed,
                   Error *error) {
    char name[NAME_SIZE];
    object_name(digest, compressed, name);
    if (renameat(room->folder, temporary, store_objects_dir(room->store), name) == 0) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", name);
}

/* A folder a worker: they do not wait for each other, and new objects come to a fresh place (store_spread).
 */
static int make_folder(Store *store, StoreRoom *room, Error *error) {
    if (room->folder >= 0) return 0;
    store_temporary_name(store, room->folder_name);
    if (file_open_dir_beneath(store_temporary_dir(store), room->folder_name, 0700, &room->folder, error) < 0)
        return -1;
    room->store = store;
    return 0;
}

static int make_temporary(Store *store, StoreRoom *room, char name[static STORE_NAME_SIZE], Error *error) {
    if (make_folder(store, room, error) < 0) return -1;
    store_temporary_name(store, name);
    int fd = openat(room->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) error_errno(error, ERROR_SYSTEM, errno, "cannot create %s", name);
    return fd;
}

static size_t blocks_of(size_t size) { return (size + BLOCK_SIZE - 1) / BLOCK_SIZE; }

/* Write the object of a content that is all in room->plain. */
static int write_small(Store *store, StoreRoom *room, StorePut *put, Error *error) {
    size_t size = (size_t)put->size, packed = 0;
    if (size > BLOCK_SIZE)
        packed = ZSTD_compress2(room->compressor, room->packed, room->packed_size, room->plain, size);
    bool compressed = packed > 0 && !ZSTD_isError(packed) && blocks_of(packed) < blocks_of(size);
    put->stored_bytes = compressed ? packed : size;
    char temporary[STORE_NAME_SIZE];
    FD_AUTO out = make_temporary(store, room, temporary, error);
    if (out < 0) return -1;
    int result =
        file_write_all(out, compressed ? room->packed : room->plain, (size_t)put->stored_bytes, error);
    if (close(fd_take(&out)) != 0 && result == 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    if (result == 0) result = publish(room, temporary, &put->digest, compressed, error);
    if (result < 0) unlinkat(room->folder, temporary, 0);
    return result;
}

/* A content that fits the room is hashed first, so that one that is known costs no compression. */
static int put_small(Store *store, StoreRoom *room, size_t size, StorePut *put, Error *error) {
    put->size = size;
    put->digest = digest_of(room->plain, size);
    if (is_good(store, room, put, &put->settled)) return 0;
    put->stored = true;
    return write_small(store, room, put, error);
}

/* Compress `size` bytes of room->plain into `out`; at the end, finish the frame. */
static int write_packed(StoreRoom *room, int out, size_t size, bool end, StorePut *put, Error *error) {
    ZSTD_inBuffer input = {room->plain, size, 0};
    for (;;) {
        ZSTD_outBuffer output = {room->packed, room->packed_size, 0};
        size_t left =
            ZSTD_compressStream2(room->compressor, &output, &input, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return error_set(error, ERROR_SYSTEM, "cannot compress: %s", ZSTD_getErrorName(left));
        if (file_write_all(out, room->packed, output.pos, error) < 0) return -1;
        put->stored_bytes += output.pos;
        if (end ? left == 0 : input.pos == input.size) return 0;
    }
}

/* The first `filled` bytes stand in room->plain; read on to the end. */
static int stream_large(StoreRoom *room, int in, int out, size_t filled, const atomic_bool *cancel,
                        StorePut *put, Error *error) {
    ZSTD_CCtx_reset(room->compressor, ZSTD_reset_session_only);
    digest_stream_begin(room->digest);
    for (;;) {
        if (is_cancelled(cancel)) return interrupted(error);
        digest_stream_add(room->digest, room->plain, filled);
        put->size += filled;
        bool end = filled < ROOM_SIZE;
        if (write_packed(room, out, filled, end, put, error) < 0) return -1;
        if (end) break;
        ssize_t got = read_full(in, room->plain, ROOM_SIZE, put->size);
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read");
        filled = (size_t)got;
    }
    put->digest = digest_stream_end(room->digest);
    return 0;
}

static int put_large(Store *store, StoreRoom *room, int fd, const atomic_bool *cancel, StorePut *put,
                     Error *error) {
    char temporary[STORE_NAME_SIZE];
    FD_AUTO out = make_temporary(store, room, temporary, error);
    if (out < 0) return -1;
    int result = stream_large(room, fd, out, ROOM_SIZE, cancel, put, error);
    if (close(fd_take(&out)) != 0 && result == 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    put->stored = result == 0 && !is_good(store, room, put, &put->settled);
    if (put->stored) result = publish(room, temporary, &put->digest, true, error);
    if (!put->stored) put->stored_bytes = 0;
    if (!put->stored || result < 0) unlinkat(room->folder, temporary, 0);
    return result;
}

int store_put(Store *store, StoreRoom *room, int fd, const atomic_bool *cancel, StorePut *out, Error *error) {
    StorePut put = {0};
    if (is_cancelled(cancel)) return interrupted(error);
    ssize_t filled = read_full(fd, room->plain, ROOM_SIZE, 0);
    if (filled < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read");
    int result = filled < ROOM_SIZE ? put_small(store, room, (size_t)filled, &put, error)
                                    : put_large(store, room, fd, cancel, &put, error);
    if (result < 0) return error_prefix(error, "cannot write into the store %s", store_path(store));
    *out = put;
    return 0;
}

/* ---- getting ---- */

/* Where a content goes while it is read. */
typedef struct Sink {
    const StoreGet *get;
    DigestStream *digest;
    uint64_t offset;
} Sink;

static bool is_zero(const uint8_t *bytes, size_t size) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static int write_at(int fd, const uint8_t *bytes, size_t size, uint64_t offset, Error *error) {
    while (size > 0) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write");
        bytes += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* Write the runs of blocks that are not zero. */
static int write_around_holes(int fd, const uint8_t *bytes, size_t size, uint64_t offset, Error *error) {
    size_t start = 0, at = 0;
    while (at < size) {
        size_t block = size - at < BLOCK_SIZE ? size - at : BLOCK_SIZE;
        if (is_zero(bytes + at, block)) {
            if (write_at(fd, bytes + start, at - start, offset + start, error) < 0) return -1;
            start = at + block;
        }
        at += block;
    }
    return write_at(fd, bytes + start, at - start, offset + start, error);
}

static int damaged(Store *store, const Digest *digest, bool compressed, Error *error) {
    char name[NAME_SIZE];
    object_name(digest, compressed, name);
    return error_set(error, ERROR_REFUSED,
                     "the object %s/objects/%s is damaged: its content is not what its name says",
                     store_path(store), name);
}

/* 1: more than the content may have. */
static int sink_add(Sink *sink, const uint8_t *bytes, size_t size, Error *error) {
    const StoreGet *get = sink->get;
    if (size == 0) return 0;
    if (is_cancelled(get->cancel)) return interrupted(error);
    if (get->size != STORE_ANY_SIZE && size > get->size - sink->offset) return 1;
    digest_stream_add(sink->digest, bytes, size);
    int result = 0;
    if (get->fd >= 0)
        result = get->sparse ? write_around_holes(get->fd, bytes, size, sink->offset, error)
                             : write_at(get->fd, bytes, size, sink->offset, error);
    sink->offset += size;
    return result;
}

/* Unpack `size` bytes of room->packed. 1: damaged. `*ended` tells whether a frame was complete. */
static int unpack(StoreRoom *room, size_t size, Sink *sink, bool *ended, Error *error) {
    ZSTD_inBuffer input = {room->packed, size, 0};
    for (;;) {
        ZSTD_outBuffer output = {room->plain, ROOM_SIZE, 0};
        if (*ended) return input.pos < input.size ? 1 : 0; /* nothing may stand behind the frame */
        size_t left = ZSTD_decompressStream(room->decompressor, &output, &input);
        if (ZSTD_isError(left)) return 1;
        *ended = left == 0;
        int result = sink_add(sink, room->plain, output.pos, error);
        if (result != 0) return result;
        if (input.pos == input.size && output.pos < output.size) return 0;
    }
}

/* 0, 1 when damaged, -1 when it cannot be read or written. */
static int read_object(StoreRoom *room, int object, bool compressed, Sink *sink, Error *error) {
    bool ended = !compressed;
    uint64_t offset = 0;
    digest_stream_begin(room->digest);
    ZSTD_DCtx_reset(room->decompressor, ZSTD_reset_session_only);
    for (;;) {
        ssize_t got = read_full(object, room->packed, ROOM_SIZE, offset);
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read");
        int result = compressed ? unpack(room, (size_t)got, sink, &ended, error)
                                : sink_add(sink, room->packed, (size_t)got, error);
        if (result != 0) return result;
        offset += (uint64_t)got;
        if (got < ROOM_SIZE) break;
    }
    Digest digest = digest_stream_end(room->digest);
    bool whole = sink->get->size == STORE_ANY_SIZE || sink->offset == sink->get->size;
    return ended && whole && digest_equal(&digest, sink->get->digest) ? 0 : 1;
}

int store_get(Store *store, StoreRoom *room, const StoreGet *get, Error *error) {
    bool compressed = false;
    FD_AUTO object = store_object_open(store, get->digest, &compressed, error);
    if (object < 0) return -1;
    Sink sink = {.get = get, .digest = room->digest};
    int result = read_object(room, object, compressed, &sink, error);
    if (result == 1) return damaged(store, get->digest, compressed, error);
    if (result == 0 && get->fd >= 0 && get->sparse && ftruncate(get->fd, (off_t)sink.offset) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot write");
    return result;
}
