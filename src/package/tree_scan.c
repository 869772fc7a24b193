/* Describing a folder, in four passes: walk (folders in parallel, level by level, lstat only); sort, and tell
 * hard links by inode; take over from `prior` what is unchanged; read the rest (links, attributes, contents)
 * in parallel.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parallel.h"
#include "package/parent.h"
#include "package/tree.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

enum {
    READ_SIZE = 128 << 10,
    READ_ATTEMPTS = 2,
    TICK_MS = 20 /* no kernel stamps files more coarsely than 10 ms */
};

/* An entry on its way into the tree. */
typedef struct Found {
    TreeEntry entry;
    dev_t device;
    bool linked; /* has other names */
    bool done;   /* nothing left to read */
    bool gone;   /* vanished meanwhile */
} Found;

typedef struct Room { /* one worker's */
    Parent parent;
    DigestStream *digest;
    uint8_t *bytes; /* READ_SIZE */
} Room;

typedef struct Scan {
    int dir;
    TreeScan options;
    Tree *tree;
    Found *found;
    size_t count, capacity;
    const char **folders; /* of the level being listed */
    size_t *unread;       /* indices of found that must be read */
    Room rooms[PARALLEL_WORKERS_MAX];
    pthread_mutex_t lock; /* guards found, its counts, and the tree's arena */
} Scan;

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

static TreeStamp stamp_of(const struct stat *status) {
    return (TreeStamp){status->st_ino, nanoseconds(status->st_mtim), nanoseconds(status->st_ctim)};
}

static bool same_stamp(const TreeStamp *a, const TreeStamp *b) {
    return a->inode == b->inode && a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static uint8_t type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return TREE_DIRECTORY;
    case S_IFREG: return TREE_FILE;
    case S_IFLNK: return TREE_SYMLINK;
    default: return TREE_SPECIAL;
    }
}

/* All but path, target, digest and attributes. */
static void describe(TreeEntry *entry, const struct stat *status) {
    entry->type = type_of(status->st_mode);
    entry->mode = entry->type == TREE_SYMLINK ? 0 : status->st_mode & 07777;
    entry->uid = status->st_uid;
    entry->gid = status->st_gid;
    entry->stamp = stamp_of(status);
    entry->size = entry->type == TREE_FILE ? (uint64_t)status->st_size : 0;
    entry->sparse = entry->type == TREE_FILE && (uint64_t)status->st_blocks * 512 < entry->size;
}

static int is_cancelled(const Scan *scan, Error *error) {
    if (!scan->options.cancel || !atomic_load(scan->options.cancel)) return 0;
    return error_set(error, ERROR_INTERRUPTED, "stopped on request");
}

/* ---- The walk ---- */

/* Called with the lock held. `folder` is NULL at the root. */
static int keep(Scan *scan, const char *folder, const char *name, const struct stat *status, Error *error) {
    if (type_of(status->st_mode) == TREE_SPECIAL && scan->options.skip_special) return 0;
    if (scan->count == TREE_ENTRIES_MAX)
        return error_set(error, ERROR_INVALID, "the tree has more than %d entries", (int)TREE_ENTRIES_MAX);
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity ? scan->capacity * 2 : 256;
        scan->found = reallocarray(scan->found, scan->capacity, sizeof *scan->found);
        if (!scan->found) abort();
    }
    size_t folder_length = folder ? strlen(folder) + 1 : 0, name_length = strlen(name);
    if (folder_length + name_length > TREE_PATH_MAX)
        return error_set(error, ERROR_INVALID, "%s/%s is longer than %d bytes", folder ? folder : ".", name,
                         (int)TREE_PATH_MAX);
    char *path = arena_alloc(scan->tree->arena, folder_length + name_length + 1);
    if (folder) {
        memcpy(path, folder, folder_length - 1);
        path[folder_length - 1] = '/';
    }
    memcpy(path + folder_length, name, name_length + 1);
    Found *found = &scan->found[scan->count];
    *found = (Found){.entry.path = path, .device = status->st_dev};
    describe(&found->entry, status);
    found->linked = found->entry.type == TREE_FILE && status->st_nlink > 1;
    if (found->entry.type == TREE_SPECIAL && !scan->options.keep_special)
        return error_set(error, ERROR_INVALID,
                         "%s is a device, socket or FIFO; only files, folders and links can be "
                         "kept",
                         path);
    scan->count++;
    return 0;
}

/* One folder's content, gathered without the lock. */
typedef struct Listing {
    Buffer names; /* each with its NUL */
    Buffer statuses;
} Listing;

static int list(int folder, Listing *listing) {
    DIR *stream = fdopendir(folder);
    if (!stream) {
        close(folder);
        return -1;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            result = errno ? -1 : 0;
            break;
        }
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) continue;
        struct stat status;
        if (fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) continue;
            result = -1;
            break;
        }
        buffer_append(&listing->names, name, strlen(name) + 1);
        buffer_append(&listing->statuses, &status, sizeof status);
    }
    int number = errno;
    closedir(stream);
    errno = number;
    return result;
}

static int keep_listing(Scan *scan, const char *folder, const Listing *listing, Error *error) {
    const char *name = buffer_text(&listing->names);
    size_t count = listing->statuses.size / sizeof(struct stat);
    int result = 0;
    pthread_mutex_lock(&scan->lock);
    for (size_t i = 0; i < count && result == 0; i++) {
        struct stat status;
        memcpy(&status, listing->statuses.data + i * sizeof status, sizeof status);
        result = keep(scan, folder, name, &status, error);
        name += strlen(name) + 1;
    }
    pthread_mutex_unlock(&scan->lock);
    return result;
}

/* `folder` NULL: the root. */
static int list_folder(Scan *scan, const char *folder, Error *error) {
    int fd = file_open_no_links(scan->dir, folder ? folder : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT && folder) return 0;
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", folder ? folder : ".");
    Listing listing = {0};
    int result = list(fd, &listing);
    if (result < 0)
        error_errno(error, ERROR_SYSTEM, errno, "cannot list the folder %s", folder ? folder : ".");
    else
        result = keep_listing(scan, folder, &listing, error);
    buffer_free(&listing.names);
    buffer_free(&listing.statuses);
    return result;
}

static int walk_one(size_t index, unsigned worker, void *context, Error *error) {
    (void)worker;
    Scan *scan = context;
    return is_cancelled(scan, error) < 0 ? -1 : list_folder(scan, scan->folders[index], error);
}

/* The first level: the root's entries, or the prefix alone. */
static int walk_first(Scan *scan, Error *error) {
    const char *prefix = scan->options.prefix;
    if (!prefix) return list_folder(scan, NULL, error);
    FD_AUTO fd = file_open_no_links(scan->dir, prefix, O_PATH | O_NOFOLLOW, 0);
    struct stat status;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", prefix);
    return keep(scan, NULL, prefix, &status, error);
}

/* List the folders among the entries from `begin` on. */
static int walk_level(Scan *scan, size_t begin, Error *error) {
    size_t count = 0;
    scan->folders = calloc(scan->count - begin, sizeof *scan->folders);
    if (!scan->folders) abort();
    for (size_t i = begin; i < scan->count; i++)
        if (scan->found[i].entry.type == TREE_DIRECTORY) scan->folders[count++] = scan->found[i].entry.path;
    int result = parallel_for(count, parallel_workers(), walk_one, scan, error);
    free(scan->folders);
    return result;
}

static int walk(Scan *scan, Error *error) {
    if (walk_first(scan, error) < 0) return -1;
    for (size_t begin = 0, end = scan->count; begin < end; begin = end, end = scan->count)
        if (walk_level(scan, begin, error) < 0) return -1;
    return 0;
}

/* ---- Order, and hard links ---- */

static int compare_found(const void *a, const void *b) {
    return strcmp(((const Found *)a)->entry.path, ((const Found *)b)->entry.path);
}

/* By file, then by name. */
static int compare_files(const void *a, const void *b) {
    const Found *one = *(Found *const *)a, *two = *(Found *const *)b;
    if (one->device != two->device) return one->device < two->device ? -1 : 1;
    uint64_t inode = one->entry.stamp.inode, other = two->entry.stamp.inode;
    if (inode != other) return inode < other ? -1 : 1;
    return one < two ? -1 : 1;
}

static void tell_hard_links(Scan *scan) {
    size_t count = 0;
    for (size_t i = 0; i < scan->count; i++) count += scan->found[i].linked;
    if (count == 0) return;
    FREE_AUTO Found **linked = calloc(count, sizeof *linked);
    if (!linked) abort();
    size_t at = 0;
    for (size_t i = 0; i < scan->count; i++)
        if (scan->found[i].linked) linked[at++] = &scan->found[i];
    qsort(linked, count, sizeof *linked, compare_files);
    const Found *first = linked[0];
    for (size_t i = 1; i < count; i++) {
        if (linked[i]->device != first->device || linked[i]->entry.stamp.inode != first->entry.stamp.inode) {
            first = linked[i];
            continue;
        }
        linked[i]->entry = (TreeEntry){.path = linked[i]->entry.path,
                                       .target = first->entry.path,
                                       .stamp = linked[i]->entry.stamp,
                                       .type = TREE_HARDLINK};
        linked[i]->done = true;
    }
}

/* ---- What is unchanged since `prior` ---- */

static const TreeXattr *copy_xattrs(Arena *arena, const TreeXattr *xattrs, uint32_t count) {
    if (count == 0) return NULL;
    TreeXattr *copies = ARENA_ARRAY(arena, count, TreeXattr);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *value = arena_alloc(arena, xattrs[i].size + 1);
        memcpy(value, xattrs[i].value, xattrs[i].size);
        copies[i] = (TreeXattr){arena_strdup(arena, xattrs[i].name), value, xattrs[i].size};
    }
    return copies;
}

static bool take_over(Arena *arena, TreeEntry *entry, const TreeEntry *prior) {
    static const Digest unread;
    if (prior->type != entry->type || prior->stamp.changed_ns == 0 ||
        !same_stamp(&prior->stamp, &entry->stamp))
        return false;
    if (entry->type == TREE_FILE && (prior->size != entry->size || digest_equal(&prior->digest, &unread)))
        return false;
    entry->digest = prior->digest;
    entry->target = arena_strdup(arena, prior->target);
    entry->xattrs = copy_xattrs(arena, prior->xattrs, prior->xattr_count);
    entry->xattr_count = prior->xattr_count;
    return true;
}

/* Both are sorted: one walk through the two. */
static void take_over_unchanged(Scan *scan) {
    const Tree *prior = scan->options.prior;
    if (!prior) return;
    size_t at = 0;
    for (size_t i = 0; i < scan->count; i++) {
        Found *found = &scan->found[i];
        while (at < prior->count && strcmp(prior->entries[at].path, found->entry.path) < 0) at++;
        if (at == prior->count) return;
        if (!found->done && strcmp(prior->entries[at].path, found->entry.path) == 0)
            found->done = take_over(scan->tree->arena, &found->entry, &prior->entries[at]);
    }
}

/* ---- Reading ---- */

/* The names of a descriptor's attributes that belong to a tree, into `names` (each with NUL). */
static int list_xattrs(int fd, Buffer *names, size_t *count) {
    char text[64 << 10];
    ssize_t size = flistxattr(fd, text, sizeof text);
    if (size < 0) return errno == ENOTSUP ? 0 : -1;
    for (const char *name = text; name < text + size; name += strlen(name) + 1) {
        if (!tree_xattr_belongs(name)) continue;
        buffer_append(names, name, strlen(name) + 1);
        (*count)++;
    }
    return 0;
}

static int read_xattr_values(Scan *scan, int fd, const char *names, TreeEntry *entry, size_t count) {
    TreeXattr *xattrs = arena_alloc(scan->tree->arena, count * sizeof *xattrs);
    size_t total = 0;
    for (size_t i = 0; i < count; i++, names += strlen(names) + 1) {
        uint8_t value[64 << 10];
        ssize_t size = fgetxattr(fd, names, value, sizeof value);
        if (size < 0) return -1;
        if ((total += (size_t)size) > TREE_XATTRS_SIZE_MAX) {
            errno = E2BIG;
            return -1;
        }
        uint8_t *copy = arena_alloc(scan->tree->arena, (size_t)size + 1);
        memcpy(copy, value, (size_t)size);
        xattrs[i] = (TreeXattr){arena_strdup(scan->tree->arena, names), copy, (size_t)size};
    }
    tree_xattrs_sort(xattrs, count);
    entry->xattrs = xattrs;
    entry->xattr_count = (uint32_t)count;
    return 0;
}

static int read_xattrs(Scan *scan, int fd, TreeEntry *entry, Error *error) {
    BUFFER_AUTO names = {0};
    size_t count = 0;
    int result = list_xattrs(fd, &names, &count);
    if (result == 0 && count > TREE_XATTRS_MAX) {
        errno = E2BIG;
        result = -1;
    }
    if (result == 0 && count > 0) {
        pthread_mutex_lock(&scan->lock);
        result = read_xattr_values(scan, fd, names.data, entry, count);
        pthread_mutex_unlock(&scan->lock);
    }
    if (result < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read the extended attributes of %s",
                           entry->path);
    return 0;
}

/* Wait until a change made from now on must get another time than the last one: see TreeStamp. */
static void let_tick_pass(const TreeStamp *stamp) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ms = (nanoseconds(now) - stamp->changed_ns) / 1000000;
    if (age_ms >= 0 && age_ms < TICK_MS) clock_sleep_ms(TICK_MS - age_ms);
}

/* Hash `size` bytes, holes unread. 1 when the file is shorter now, -1 with errno. */
static int hash_content(Scan *scan, Room *room, int fd, uint64_t size, bool sparse, Digest *out,
                        Error *error) {
    digest_stream_begin(room->digest);
    uint64_t at = 0, data_end = sparse ? 0 : size;
    while (at < size) {
        if (at == data_end) { /* a hole may begin here */
            off_t data = lseek(fd, (off_t)at, SEEK_DATA);
            if (data < 0 && errno != ENXIO) return -1;
            uint64_t hole_end = data < 0 || (uint64_t)data > size ? size : (uint64_t)data;
            digest_stream_add_zeros(room->digest, hole_end - at);
            if ((at = hole_end) == size) break;
            off_t end = lseek(fd, (off_t)at, SEEK_HOLE);
            if (end < 0) return errno == ENXIO ? 1 : -1;
            data_end = (uint64_t)end > size ? size : (uint64_t)end;
            if (data_end == at) return 1;
        }
        size_t part = data_end - at < READ_SIZE ? (size_t)(data_end - at) : READ_SIZE;
        ssize_t got = pread(fd, room->bytes, part, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0 ? 1 : -1;
        digest_stream_add(room->digest, room->bytes, (size_t)got);
        at += (uint64_t)got;
        if (is_cancelled(scan, error) < 0) return -1;
    }
    *out = digest_stream_end(room->digest);
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    TreeStamp one = stamp_of(a), two = stamp_of(b);
    return same_stamp(&one, &two) && a->st_size == b->st_size;
}

static int read_file(Scan *scan, Room *room, int fd, TreeEntry *entry, Error *error) {
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        struct stat before, after;
        if (fstat(fd, &before) != 0)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", entry->path);
        if (!S_ISREG(before.st_mode)) break;
        describe(entry, &before);
        if (read_xattrs(scan, fd, entry, error) < 0) return -1;
        if (entry->size > TREE_FILE_SIZE_MAX) return 0; /* tree_finish refuses it; why read it */
        if (scan->options.stamps) let_tick_pass(&entry->stamp);
        int result = hash_content(scan, room, fd, entry->size, entry->sparse, &entry->digest, error);
        if (result < 0 && is_cancelled(scan, error) < 0) return -1;
        if (result < 0 || fstat(fd, &after) != 0)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", entry->path);
        if (result == 0 && same_file(&before, &after)) return 0;
    }
    return error_set(error, ERROR_REFUSED, "%s changes while it is read; stop who writes it, or leave it out",
                     entry->path);
}

static int read_link(Scan *scan, int folder, const char *name, TreeEntry *entry) {
    char target[TREE_PATH_MAX + 1];
    ssize_t length = readlinkat(folder, name, target, sizeof target);
    if (length < 0) return -1;
    if (length > TREE_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    pthread_mutex_lock(&scan->lock);
    entry->target = arena_strndup(scan->tree->arena, target, (size_t)length);
    pthread_mutex_unlock(&scan->lock);
    return 0;
}

/* 1 when it is gone. */
static int read_entry(Scan *scan, Room *room, TreeEntry *entry, Error *error) {
    const char *name;
    int folder = parent_open(&room->parent, entry->path, &name);
    if (folder >= 0 && entry->type == TREE_SYMLINK && read_link(scan, folder, name, entry) == 0) return 0;
    FD_AUTO fd = -1;
    if (folder >= 0 && entry->type != TREE_SYMLINK)
        fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR) return 1;
        return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", entry->path);
    }
    if (entry->type == TREE_FILE && !scan->options.unread) return read_file(scan, room, fd, entry, error);
    return read_xattrs(scan, fd, entry, error);
}

static int read_one(size_t index, unsigned worker, void *context, Error *error) {
    Scan *scan = context;
    Room *room = &scan->rooms[worker];
    if (is_cancelled(scan, error) < 0) return -1;
    if (!room->digest) {
        parent_init(&room->parent, scan->dir);
        room->digest = digest_stream_new();
        room->bytes = malloc(READ_SIZE);
        if (!room->bytes) abort();
    }
    Found *found = &scan->found[scan->unread[index]];
    int result = read_entry(scan, room, &found->entry, error);
    found->gone = result > 0;
    return result < 0 ? -1 : 0;
}

static bool needs_reading(const Scan *scan, const Found *found) {
    if (found->done || found->entry.type == TREE_SPECIAL) return false;
    return !scan->options.quick || found->entry.type == TREE_SYMLINK;
}

static int read_changed(Scan *scan, Error *error) {
    scan->unread = calloc(scan->count + 1, sizeof *scan->unread);
    if (!scan->unread) abort();
    size_t count = 0;
    for (size_t i = 0; i < scan->count; i++)
        if (needs_reading(scan, &scan->found[i])) scan->unread[count++] = i;
    int result = parallel_for(count, parallel_workers(), read_one, scan, error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) {
        if (!scan->rooms[i].digest) continue;
        parent_close(&scan->rooms[i].parent);
        digest_stream_free(scan->rooms[i].digest);
        free(scan->rooms[i].bytes);
    }
    free(scan->unread);
    return result;
}

static int fill_tree(Scan *scan, Error *error) {
    Tree *tree = scan->tree;
    tree->foreign_links = scan->options.foreign_links;
    tree->entries = calloc(scan->count + 1, sizeof *tree->entries);
    if (!tree->entries) abort();
    tree->capacity = scan->count + 1;
    for (size_t i = 0; i < scan->count; i++) {
        if (scan->found[i].gone) continue;
        TreeEntry *entry = tree_add(tree);
        *entry = scan->found[i].entry;
        if (!scan->options.stamps) entry->stamp = (TreeStamp){0};
    }
    return tree_finish(tree, error);
}

int tree_scan(int dir, const TreeScan *options, Tree **out, Error *error) {
    TREE_AUTO tree = tree_new();
    Scan scan = {.dir = dir, .tree = tree, .options = options ? *options : (TreeScan){0}};
    assert(!scan.options.prefix || scan.options.foreign_links);
    pthread_mutex_init(&scan.lock, NULL);
    int result = walk(&scan, error);
    if (result == 0) {
        if (scan.count) qsort(scan.found, scan.count, sizeof *scan.found, compare_found);
        tell_hard_links(&scan);
        take_over_unchanged(&scan);
        result = read_changed(&scan, error);
    }
    if (result == 0) result = fill_tree(&scan, error);
    pthread_mutex_destroy(&scan.lock);
    free(scan.found);
    if (result == 0) *out = pointer_take(&tree);
    return result;
}
