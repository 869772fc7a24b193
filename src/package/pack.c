#include "package/pack.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "package/envelope.h"
#include "package/output.h"
#include "package/parent.h"
#include "trust/signature.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole is to stay below 64 MiB: some for the program, some for each entry of the tree, and what is left
 * is for workers (an encoder and its two buffers each; encoders of the higher levels are larger). */
enum {
    WORKERS_MAX = 3,
    MEMORY_BYTES = 56 << 20,
    ENTRY_BYTES = 256,
    WORKER_BYTES = 17 << 20,
    HIGH_LEVEL = 13,
    HIGH_WORKER_BYTES = 22 << 20,
};

static unsigned count_workers(size_t entries, int level) {
    uint64_t tree = (uint64_t)entries * ENTRY_BYTES, left = tree < MEMORY_BYTES ? MEMORY_BYTES - tree : 0;
    uint64_t most = left / (level >= HIGH_LEVEL ? HIGH_WORKER_BYTES : WORKER_BYTES);
    if (most > WORKERS_MAX) most = WORKERS_MAX;
    if (most < 1) most = 1;
    return parallel_workers() < most ? parallel_workers() : (unsigned)most;
}

/* Where frame i waits in the unnamed file: a room of its own, of which only what is needed is ever written.
 */
static uint64_t room_offset(size_t frame) { return (uint64_t)frame * FRAME_BYTES_MAX; }

typedef struct Room { /* one worker's */
    FrameEncoder *encoder;
    Parent parent;
    uint8_t *content, *bytes;
} Room;

typedef struct Packing {
    const PackSpec *spec;
    int dir;
    int waiting; /* the unnamed file */
    const Tree *tree;
    const Content *content;
    Frame *frames;
    size_t frame_count;
    Progress progress;
    Room rooms[WORKERS_MAX];
} Packing;

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

static bool is_as_described(const TreeEntry *entry, const struct stat *status) {
    return S_ISREG(status->st_mode) && (uint64_t)status->st_size == entry->size &&
           status->st_ino == entry->stamp.inode && nanoseconds(status->st_mtim) == entry->stamp.modified_ns &&
           nanoseconds(status->st_ctim) == entry->stamp.changed_ns;
}

/* Up to `size` bytes from `offset`, as pread() gives them, but holes are not read: they would only fill the
 * page cache with zeros. */
static ssize_t read_some(int fd, bool sparse, uint8_t *out, size_t size, uint64_t offset) {
    if (sparse) {
        off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno != ENXIO) return -1;
        size_t hole = data < 0 || (uint64_t)data - offset > size ? size : (size_t)((uint64_t)data - offset);
        if (hole > 0) {
            memset(out, 0, hole);
            return (ssize_t)hole;
        }
        off_t end = lseek(fd, (off_t)offset, SEEK_HOLE);
        if (end > (off_t)offset && (uint64_t)end - offset < size) size = (size_t)((uint64_t)end - offset);
    }
    return pread(fd, out, size, (off_t)offset);
}

/* `size` bytes of the file from `offset`. */
static int read_part(Room *room, const TreeEntry *entry, uint64_t offset, uint8_t *out, size_t size,
                     Error *error) {
    const char *name;
    int folder = parent_open(&room->parent, entry->path, &name);
    FD_AUTO fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", entry->path);
    for (size_t done = 0; done < size;) {
        ssize_t got = read_some(fd, entry->sparse, out + done, size - done, offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", entry->path);
        if (got == 0) break; /* shorter than it was: its stamp tells */
        done += (size_t)got;
    }
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", entry->path);
    if (is_as_described(entry, &status)) return 0;
    return error_set(error, ERROR_REFUSED, "%s changes while it is read; stop who writes it, or leave it out",
                     entry->path);
}

static int gather(Packing *packing, Room *room, uint64_t begin, size_t size, Error *error) {
    const Content *content = packing->content;
    uint64_t end = begin + size;
    for (size_t i = content_piece_at(content, begin); i < content->count && content->pieces[i].offset < end;
         i++) {
        const ContentPiece *piece = &content->pieces[i];
        uint64_t piece_end = piece->offset + piece->size;
        uint64_t from = piece->offset > begin ? piece->offset : begin, to = piece_end < end ? piece_end : end;
        if (read_part(room, &packing->tree->entries[piece->entry], from - piece->offset,
                      room->content + (from - begin), to - from, error) < 0)
            return -1;
    }
    return 0;
}

static int pack_frame(size_t index, unsigned worker, void *context, Error *error) {
    Packing *packing = context;
    Room *room = &packing->rooms[worker];
    if (!room->encoder) {
        room->encoder = frame_encoder_new(packing->spec->level);
        parent_init(&room->parent, packing->dir);
        room->content = malloc(FRAME_SIZE);
        room->bytes = malloc(FRAME_BYTES_MAX);
        if (!room->content || !room->bytes) abort();
    }
    uint32_t size = content_frame_size(packing->content->size, index);
    Frame *frame = &packing->frames[index];
    if (gather(packing, room, (uint64_t)index * FRAME_SIZE, size, error) < 0) return -1;
    if (frame_encode(room->encoder, room->content, size, room->bytes, frame, error) < 0) return -1;
    if (file_pwrite_all(packing->waiting, room->bytes, frame->bytes, room_offset(index)) < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", packing->spec->output);
    return progress_add(&packing->progress, size, error);
}

static int pack_frames(Packing *packing, Error *error) {
    unsigned workers = count_workers(packing->tree->count, packing->spec->level);
    progress_begin(&packing->progress, &packing->spec->wish, packing->content->size);
    int result = parallel_for(packing->frame_count, workers, pack_frame, packing, error);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        Room *room = &packing->rooms[i];
        if (!room->encoder) continue;
        frame_encoder_free(room->encoder);
        parent_close(&room->parent);
        free(room->content);
        free(room->bytes);
    }
    return result;
}

/* ---- Putting it together ---- */

static int write_envelope(const Packing *packing, const Buffer *manifest, const char *signatures, int out,
                          Error *error) {
    EnvelopeWriter *writer = NULL;
    if (envelope_writer_new(out, &writer, error) < 0) return -1;
    int result =
        envelope_write_head(writer, manifest->data, manifest->size, signatures, strlen(signatures), error);
    for (size_t i = 0; i < packing->frame_count && result == 0; i++)
        result =
            envelope_write_frame(writer, packing->waiting, room_offset(i), packing->frames[i].bytes, error);
    if (result == 0) result = envelope_writer_end(writer, error);
    envelope_writer_free(writer);
    return result;
}

static int assemble(const Packing *packing, int out, PackResult *result, Error *error) {
    BUFFER_AUTO manifest = {0};
    ManifestHead head = *packing->spec->head;
    head.upkeep_package = MANIFEST_FORMAT;
    head.content_size = (int64_t)packing->content->size;
    manifest_write(&head, packing->frames, packing->frame_count, packing->tree, &manifest);
    if (manifest.size > MANIFEST_SIZE_MAX)
        return error_set(error, ERROR_INVALID, "the manifest is larger than %d MiB",
                         (int)(MANIFEST_SIZE_MAX >> 20));
    SignatureList list = {.count = 0};
    for (size_t i = 0; i < packing->spec->key_count; i++)
        if (signature_list_add(&list, packing->spec->keys[i], manifest.data, manifest.size, error) < 0)
            return -1;
    FREE_AUTO char *signatures = signature_list_text(&list);
    if (write_envelope(packing, &manifest, signatures, out, error) < 0) return -1;
    struct stat status;
    if (fstat(out, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", packing->spec->output);
    *result = (PackResult){digest_of(manifest.data, manifest.size), packing->tree->count,
                           packing->tree->total_size, packing->content->size, (uint64_t)status.st_size};
    return 0;
}

static int pack_into(Packing *packing, int out, PackResult *result, Error *error) {
    packing->frame_count = content_frame_count(packing->content->size);
    FREE_AUTO Frame *frames = calloc(packing->frame_count + 1, sizeof *frames);
    if (!frames) abort();
    packing->frames = frames;
    if (pack_frames(packing, error) < 0) return -1;
    return assemble(packing, out, result, error);
}

/* Is `folder` the folder `other`, or below it? */
static bool lies_in(int folder, int other) {
    struct stat outer, here, above;
    FD_AUTO at = openat(folder, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || fstat(other, &outer) != 0 || fstat(at, &here) != 0) return false;
    for (;;) {
        if (here.st_dev == outer.st_dev && here.st_ino == outer.st_ino) return true;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0) return false;
        close(at);
        at = up;
        if (fstat(at, &above) != 0) return false;
        if (above.st_dev == here.st_dev && above.st_ino == here.st_ino) return false; /* the root */
        here = above;
    }
}

/* A file without a name in the output's folder. */
static int open_waiting(const Output *output) {
    int fd = openat(output->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EOPNOTSUPP) return fd;
    char name[sizeof output->temporary + 8]; /* a file system that has no such files */
    snprintf(name, sizeof name, "%.240s.frames", output->temporary);
    fd = openat(output->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) unlinkat(output->dir, name, 0);
    return fd;
}

static int pack_tree(const PackSpec *spec, int dir, const Tree *tree, const Output *output,
                     PackResult *result, Error *error) {
    CONTENT_AUTO content = NULL;
    if (content_new(tree, &content, error) < 0) return -1;
    FD_AUTO waiting = open_waiting(output);
    if (waiting < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", spec->output);
    Packing packing = {.spec = spec, .dir = dir, .waiting = waiting, .tree = tree, .content = content};
    if (pack_into(&packing, output->fd, result, error) < 0) return -1;
    progress_end(&packing.progress);
    return 0;
}

static int describe(const PackSpec *spec, int dir, Tree **out, Error *error) {
    TreeScan options = {.stamps = true, .cancel = spec->wish.cancel};
    TREE_AUTO tree = NULL;
    if (tree_scan(dir, &options, &tree, error) < 0) return -1;
    for (size_t i = 0; i < tree->count && spec->set_owner; i++) {
        if (tree->entries[i].type == TREE_HARDLINK) continue;
        tree->entries[i].uid = spec->uid;
        tree->entries[i].gid = spec->gid;
    }
    *out = pointer_take(&tree);
    return 0;
}

int pack_write(const PackSpec *spec, PackResult *result, Error *error) {
    assert(spec->key_count > 0 && spec->level >= FRAME_LEVEL_MIN && spec->level <= FRAME_LEVEL_MAX);
    if (manifest_check_head(spec->head, error) < 0) return -1;
    FD_AUTO dir = open(spec->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", spec->directory);
    TREE_AUTO tree = NULL;
    if (describe(spec, dir, &tree, error) < 0) return error_prefix(error, "cannot pack %s", spec->directory);
    Output output;
    PackResult packed;
    if (output_begin(&output, spec->output, error) < 0) return -1;
    if (lies_in(output.dir, dir)) {
        error_set(error, ERROR_INVALID, "%s would lie in the folder that is packed; write it elsewhere",
                  spec->output);
        return output_abort(&output);
    }
    if (pack_tree(spec, dir, tree, &output, &packed, error) < 0) {
        error_prefix(error, "cannot pack %s", spec->directory);
        return output_abort(&output);
    }
    if (output_commit(&output, error) < 0) return -1;
    if (result) *result = packed;
    return 0;
}
