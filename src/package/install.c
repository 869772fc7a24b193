#include "package/install.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/parallel.h"
#include "package/parent.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOLE_SIZE = 4096 };

typedef struct Room { /* one worker's */
    FrameDecoder *decoder;
    Parent parent;
    uint8_t *bytes, *content;
} Room;

typedef struct Installation {
    const Package *package;
    const Tree *tree;
    const Content *content;
    int dir;
    Progress progress;
    Room rooms[PACKAGE_WORKERS_MAX];
} Installation;

InstallSpace install_space(const Tree *tree, uint64_t block_size) {
    InstallSpace space = {.inodes = 1, .bytes = block_size};
    for (size_t i = 0; i < tree->count; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type == TREE_HARDLINK) continue;
        space.inodes++;
        uint64_t size = entry->type == TREE_FILE ? entry->size : 1;
        space.bytes += (size + block_size - 1) / block_size * block_size;
    }
    return space;
}

static int cannot_write(const TreeEntry *entry, Error *error) {
    return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", entry->path);
}

/* A new file, or (`created`) one that was made before. */
static int open_file(Parent *parent, const TreeEntry *entry, bool created) {
    const char *name;
    int folder = parent_open(parent, entry->path, &name);
    int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | (created ? 0 : O_CREAT | O_EXCL);
    return folder < 0 ? -1 : openat(folder, name, flags, 0600);
}

/* Files that no worker makes, for they are empty or cross frames. */
static int make_file(Parent *parent, const TreeEntry *entry, Error *error) {
    FD_AUTO fd = open_file(parent, entry, false);
    if (fd < 0 || (entry->size > 0 && ftruncate(fd, (off_t)entry->size) != 0) || close(fd_take(&fd)) != 0)
        return cannot_write(entry, error);
    return 0;
}

static bool crosses_frames(const ContentPiece *piece) {
    return piece->offset / FRAME_SIZE != (piece->offset + piece->size - 1) / FRAME_SIZE;
}

static int make_files(Installation *installation, Error *error) {
    const Tree *tree = installation->tree;
    const Content *content = installation->content;
    Parent parent;
    parent_init(&parent, installation->dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++)
        if (tree->entries[i].type == TREE_FILE && tree->entries[i].size == 0)
            result = make_file(&parent, &tree->entries[i], error);
    for (size_t i = 0; i < content->count; i++) {
        if (!crosses_frames(&content->pieces[i])) continue;
        for (uint32_t j = content->pieces[i].entry; j != CONTENT_NONE && result == 0; j = content->next[j])
            result = make_file(&parent, &tree->entries[j], error);
    }
    parent_close(&parent);
    return result;
}

static bool is_zero(const uint8_t *bytes, size_t size) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Blocks of zeros (counted from the file's beginning) stay holes. */
static int write_sparsely(int fd, const uint8_t *bytes, size_t size, uint64_t offset) {
    while (size > 0) {
        size_t part = HOLE_SIZE - offset % HOLE_SIZE;
        if (part > size) part = size;
        if (!is_zero(bytes, part) && file_pwrite_all(fd, bytes, part, offset) < 0) return -1;
        bytes += part;
        offset += part;
        size -= part;
    }
    return 0;
}

static int write_part(Room *room, const TreeEntry *entry, bool created, const uint8_t *bytes, size_t size,
                      uint64_t offset, Error *error) {
    FD_AUTO fd = open_file(&room->parent, entry, created);
    if (fd < 0) return cannot_write(entry, error);
    if (entry->sparse && !created && ftruncate(fd, (off_t)entry->size) != 0)
        return cannot_write(entry, error);
    int result =
        entry->sparse ? write_sparsely(fd, bytes, size, offset) : file_pwrite_all(fd, bytes, size, offset);
    if (result < 0 || close(fd_take(&fd)) != 0) return cannot_write(entry, error);
    return 0;
}

static int write_content(const Installation *installation, Room *room, uint64_t begin, uint64_t end,
                         Error *error) {
    const Content *content = installation->content;
    for (size_t i = content_piece_at(content, begin); i < content->count && content->pieces[i].offset < end;
         i++) {
        const ContentPiece *piece = &content->pieces[i];
        uint64_t piece_end = piece->offset + piece->size;
        uint64_t from = piece->offset > begin ? piece->offset : begin, to = piece_end < end ? piece_end : end;
        for (uint32_t j = piece->entry; j != CONTENT_NONE; j = content->next[j])
            if (write_part(room, &installation->tree->entries[j], crosses_frames(piece),
                           room->content + (from - begin), to - from, from - piece->offset, error) < 0)
                return -1;
    }
    return 0;
}

static int install_frame(size_t index, unsigned worker, void *context, Error *error) {
    Installation *installation = context;
    Room *room = &installation->rooms[worker];
    if (!room->decoder) {
        room->decoder = frame_decoder_new();
        parent_init(&room->parent, installation->dir);
        room->bytes = malloc(FRAME_BYTES_MAX);
        room->content = malloc(FRAME_SIZE);
        if (!room->bytes || !room->content) abort();
    }
    if (package_read_frame(installation->package, index, room->decoder, room->bytes, room->content, error) <
        0)
        return -1;
    uint64_t begin = (uint64_t)index * FRAME_SIZE,
             size = content_frame_size(installation->content->size, index);
    if (write_content(installation, room, begin, begin + size, error) < 0) return -1;
    return progress_add(&installation->progress, size, error);
}

static int install_frames(Installation *installation, Error *error) {
    unsigned workers = parallel_workers();
    if (workers > PACKAGE_WORKERS_MAX) workers = PACKAGE_WORKERS_MAX;
    int result = parallel_for(installation->package->manifest->frame_count, workers, install_frame,
                              installation, error);
    for (unsigned i = 0; i < PACKAGE_WORKERS_MAX; i++) {
        Room *room = &installation->rooms[i];
        if (!room->decoder) continue;
        frame_decoder_free(room->decoder);
        parent_close(&room->parent);
        free(room->bytes);
        free(room->content);
    }
    return result;
}

typedef struct FirstDifference {
    Arena *arena;
    const char *path;
} FirstDifference;

static void note_first(void *context, const char *path, const char *what) {
    (void)what;
    FirstDifference *first = context;
    if (!first->path) first->path = arena_strdup(first->arena, path);
}

static int read_back(const Installation *installation, Error *error) {
    ARENA_AUTO arena = arena_new();
    FirstDifference first = {arena, NULL};
    size_t count = 0;
    if (tree_compare(installation->dir, installation->tree, false, note_first, &first, &count, error) < 0)
        return -1;
    if (count == 0) return 0;
    return error_set(error, ERROR_SYSTEM, "%s is not what was written; check the disk and the file system",
                     first.path);
}

static int fill(Installation *installation, Error *error) {
    const Tree *tree = installation->tree;
    int dir = installation->dir;
    if (tree_make_folders(dir, tree, error) < 0 || make_files(installation, error) < 0) return -1;
    if (install_frames(installation, error) < 0) return -1;
    if (tree_make_links(dir, tree, error) < 0 || tree_set_metadata(dir, tree, error) < 0) return -1;
    return read_back(installation, error);
}

int install_tree(const Package *package, int dir, const ProgressWish *wish, Error *error) {
    CONTENT_AUTO content = NULL;
    if (content_new(package->manifest->tree, &content, error) < 0) return -1;
    Installation installation = {
        .package = package, .tree = package->manifest->tree, .content = content, .dir = dir};
    progress_begin(&installation.progress, wish, content->size);
    if (fill(&installation, error) < 0)
        return error_prefix(error, "cannot install %s %s", package->manifest->head.service,
                            package->manifest->head.version);
    progress_end(&installation.progress);
    return 0;
}
