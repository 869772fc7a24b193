/* Verifying and executing a plan: objects, removals, folders, files, links, metadata, durability — in that
 * order. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/quantity.h"
#include "host/restore_point/restore_plan.h"
#include "package/parent.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    BATCH = 32,         /* entries a worker takes at a time: neighbours share their folder */
    SYNC_EACH_MAX = 16, /* more changes than this are made durable by one syncfs */
    TEMPORARY_SIZE = 32,
    XATTR_NAMES_SIZE = 64 << 10,
};

/* The entries that one step handles, and where its workers stand. */
typedef struct Work {
    Restore *restore;
    size_t *indices;
    size_t count;
    Parent parents[PARALLEL_WORKERS_MAX];
} Work;

static bool is_written(const TreeEntry *entry, RestoreAction action) {
    return entry->type == TREE_FILE && action == RESTORE_WRITE;
}

static StoreRoom *room_of(Restore *restore, unsigned worker) {
    if (!restore->rooms[worker]) restore->rooms[worker] = store_room_new();
    return restore->rooms[worker];
}

static void work_begin(Work *work, Restore *restore) {
    const Tree *tree = restore->spec.tree;
    *work = (Work){.restore = restore, .indices = calloc(tree->count + 1, sizeof(size_t))};
    if (!work->indices) abort();
    for (size_t i = 0; i < tree->count; i++)
        if (is_written(&tree->entries[i], (RestoreAction)restore->actions[i]))
            work->indices[work->count++] = i;
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_init(&work->parents[i], restore->dir);
}

static void work_end(Work *work) {
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_close(&work->parents[i]);
    free(work->indices);
}

/* ---- verifying ---- */

static int compare_contents(const void *a, const void *b, void *context) {
    const TreeEntry *entries = context;
    return memcmp(entries[*(const size_t *)a].digest.bytes, entries[*(const size_t *)b].digest.bytes,
                  DIGEST_SIZE);
}

/* Keep one entry for each content. */
static void keep_distinct(Work *work) {
    const TreeEntry *entries = work->restore->spec.tree->entries;
    qsort_r(work->indices, work->count, sizeof *work->indices, compare_contents, (void *)entries);
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++)
        if (i == 0 || compare_contents(&work->indices[i - 1], &work->indices[i], (void *)entries) != 0)
            work->indices[kept++] = work->indices[i];
    work->count = kept;
}

static int verify_one(size_t number, unsigned worker, void *context, Error *error) {
    Work *work = context;
    Restore *restore = work->restore;
    const TreeEntry *entry = &restore->spec.tree->entries[work->indices[number]];
    StoreGet get = {.digest = &entry->digest,
                    .size = entry->size,
                    .fd = -1,
                    .cancel = restore->spec.progress->wish.cancel};
    if (store_get(restore->spec.store, room_of(restore, worker), &get, error) < 0)
        return error_prefix(error, "cannot restore %s", entry->path);
    return 0;
}

int restore_verify(Restore *restore, Error *error) {
    Work work;
    work_begin(&work, restore);
    keep_distinct(&work);
    int result = parallel_for(work.count, parallel_workers(), verify_one, &work, error);
    work_end(&work);
    return result;
}

/* ---- space ---- */

/* Files with holes take less than their size; they are left out rather than refused for nothing. */
static uint64_t bytes_to_write(const Restore *restore) {
    const Tree *tree = restore->spec.tree;
    uint64_t bytes = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (is_written(&tree->entries[i], (RestoreAction)restore->actions[i]) && !tree->entries[i].sparse)
            bytes += tree->entries[i].size;
    return bytes;
}

static int check_space(const Restore *restore, Error *error) {
    struct statvfs status;
    if (!scope_is_one_device(restore->dir, &restore->spec.scope)) return 0; /* then writing will tell */
    if (fstatvfs(restore->dir, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot tell the free space");
    uint64_t going = restore->counts.removed_bytes + restore->counts.replaced_bytes;
    uint64_t free_bytes = (restore->is_root ? status.f_bfree : status.f_bavail) * status.f_frsize;
    uint64_t needed = bytes_to_write(restore);
    if (needed <= free_bytes + going) return 0;
    char has[QUANTITY_TEXT_SIZE], needs[QUANTITY_TEXT_SIZE];
    /* A scratch folder without room says nothing about the restore point. */
    ErrorKind kind = restore->spec.scratch ? ERROR_SYSTEM : ERROR_REFUSED;
    return error_set(error, kind, "%s are free, %s are needed to restore; free some space",
                     quantity_size_text(free_bytes + going, has), quantity_size_text(needed, needs));
}

/* ---- removing ---- */

static int remove_one(Parent *parent, const TreeEntry *found, Error *error) {
    const char *name;
    int folder = parent_open(parent, found->path, &name);
    if (folder < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (folder < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", found->path);
    if (unlinkat(folder, name, found->type == TREE_DIRECTORY ? AT_REMOVEDIR : 0) == 0) return 0;
    FD_AUTO readable =
        openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a folder with sockets in it */
    if (readable < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", found->path);
    if (file_remove_tree(readable, name, error) < 0)
        return error_prefix(error, "cannot remove %s", found->path);
    return 0;
}

/* Children before parents. */
static int remove_unexpected(Restore *restore, Error *error) {
    Parent parent;
    parent_init(&parent, restore->dir);
    int result = 0;
    for (size_t i = restore->removal_count; i > 0 && result == 0; i--)
        result = remove_one(&parent, &restore->found->entries[restore->removals[i - 1]], error);
    parent_close(&parent);
    return result;
}

/* ---- folders ---- */

/* What scans pass over — a socket, a FIFO — may have taken its place. */
static int make_folder(int folder, const char *name) {
    struct stat status;
    if (mkdirat(folder, name, 0700) == 0) return 0;
    if (errno != EEXIST || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (S_ISDIR(status.st_mode)) return 0;
    return unlinkat(folder, name, 0) != 0 ? -1 : mkdirat(folder, name, 0700);
}

static int make_folders(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    Parent parent;
    parent_init(&parent, restore->dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++) {
        if (restore->actions[i] != RESTORE_MAKE) continue;
        const char *name;
        int folder = parent_open(&parent, tree->entries[i].path, &name);
        if (folder < 0 || make_folder(folder, name) < 0)
            result =
                error_errno(error, ERROR_SYSTEM, errno, "cannot make the folder %s", tree->entries[i].path);
    }
    parent_close(&parent);
    return result;
}

/* ---- files ---- */

static bool has_xattr(const TreeEntry *entry, const char *name) {
    for (uint32_t i = 0; i < entry->xattr_count; i++)
        if (strcmp(entry->xattrs[i].name, name) == 0) return true;
    return false;
}

/* Attributes that came since, or that a folder gave to a file made in it. */
static int strip_xattrs(int fd, const TreeEntry *entry, Error *error) {
    char names[XATTR_NAMES_SIZE];
    ssize_t size = flistxattr(fd, names, sizeof names);
    if (size < 0 && errno == ENOTSUP) return 0;
    bool failed = size < 0;
    for (const char *at = names; !failed && at < names + size; at += strlen(at) + 1)
        if (tree_xattr_belongs(at) && !has_xattr(entry, at) && fremovexattr(fd, at) != 0)
            failed = errno != ENODATA;
    if (failed)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the extended attributes of %s",
                           entry->path);
    return 0;
}

/* The same each time, so that a run after a killed one finds what that one left. */
static void temporary_name(const char *name, char out[static TEMPORARY_SIZE]) {
    char text[DIGEST_TEXT_SIZE];
    Digest digest = digest_of(name, strlen(name));
    digest_to_text(&digest, text);
    snprintf(out, TEMPORARY_SIZE, ".upkeep-%.16s~", text);
}

/* What lies there under our name may be anybody's: it is removed, never written to. */
static int create(int folder, const char *name) {
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    int fd = openat(folder, name, FLAGS, 0600);
    if (fd >= 0 || errno != EEXIST || unlinkat(folder, name, 0) != 0) return fd;
    return openat(folder, name, FLAGS, 0600);
}

static int fill(Restore *restore, StoreRoom *room, const TreeEntry *entry, int fd, Error *error) {
    StoreGet get = {.digest = &entry->digest,
                    .size = entry->size,
                    .fd = fd,
                    .sparse = entry->sparse,
                    .cancel = restore->spec.progress->wish.cancel};
    return store_get(restore->spec.store, room, &get, error);
}

static int write_file(Restore *restore, StoreRoom *room, Parent *parent, const TreeEntry *entry,
                      Error *error) {
    char beside[TEMPORARY_SIZE];
    const char *name, *temporary;
    int folder = parent_open(parent, entry->path, &name);
    if (folder < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", entry->path);
    temporary_name(name, beside);
    temporary = restore->spec.scratch ? name : beside;
    FD_AUTO fd = create(folder, temporary);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot create %s", entry->path);
    int result = fill(restore, room, entry, fd, error);
    if (result == 0 && !restore->spec.scratch) result = strip_xattrs(fd, entry, error);
    if (result == 0) result = tree_set_metadata_of(fd, entry, error); /* while nobody can put another there */
    if (close(fd_take(&fd)) != 0 && result == 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    if (result == 0 && temporary != name && renameat(folder, temporary, folder, name) != 0)
        result = error_errno(error, ERROR_SYSTEM, errno, "cannot rename");
    if (result == 0) return progress_add(restore->spec.progress, entry->size, error);
    unlinkat(folder, temporary, 0);
    return error_prefix(error, "cannot restore %s", entry->path);
}

static int write_batch(size_t number, unsigned worker, void *context, Error *error) {
    Work *work = context;
    StoreRoom *room = room_of(work->restore, worker);
    for (size_t i = number * BATCH; i < work->count && i < (number + 1) * BATCH; i++) {
        const TreeEntry *entry = &work->restore->spec.tree->entries[work->indices[i]];
        if (write_file(work->restore, room, &work->parents[worker], entry, error) < 0) return -1;
    }
    return 0;
}

static int write_files(Restore *restore, Error *error) {
    Work work;
    work_begin(&work, restore);
    int result =
        parallel_for((work.count + BATCH - 1) / BATCH, parallel_workers(), write_batch, &work, error);
    work_end(&work);
    return result;
}

/* ---- links ---- */

static int make_link(Parent *parent, Parent *target_parent, const TreeEntry *entry) {
    const char *name, *target_name;
    char temporary[TEMPORARY_SIZE];
    int folder = parent_open(parent, entry->path, &name);
    if (folder < 0) return -1;
    temporary_name(name, temporary);
    if (unlinkat(folder, temporary, 0) != 0 && errno != ENOENT) return -1;
    if (entry->type == TREE_SYMLINK) {
        if (symlinkat(entry->target, folder, temporary) != 0) return -1;
    } else {
        int target_folder = parent_open(target_parent, entry->target, &target_name);
        if (target_folder < 0 || linkat(target_folder, target_name, folder, temporary, 0) != 0) return -1;
    }
    if (renameat(folder, temporary, folder, name) != 0) return -1;
    /* Renaming one name of a file over another does nothing: then ours is still there. */
    return unlinkat(folder, temporary, 0) == 0 || errno == ENOENT ? 0 : -1;
}

static int make_links(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    Parent parent, target_parent;
    parent_init(&parent, restore->dir);
    parent_init(&target_parent, restore->dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++)
        if (restore->actions[i] == RESTORE_LINK && make_link(&parent, &target_parent, &tree->entries[i]) < 0)
            result = error_errno(error, ERROR_SYSTEM, errno, "cannot make the link %s to %s",
                                 tree->entries[i].path, tree->entries[i].target);
    parent_close(&parent);
    parent_close(&target_parent);
    return result;
}

/* ---- metadata ---- */

/* A file with the right content. Planning found it to be its owner's own, or its time alone to differ
 * (may_stay in restore.c); what stands there now must be no less. */
static int set_file(const Restore *restore, int fd, const TreeEntry *entry, Error *error) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", entry->path);
    if (!S_ISREG(status.st_mode) || (restore->is_root && status.st_uid != entry->uid))
        return error_set(error, ERROR_SYSTEM, "%s was replaced by something else meanwhile", entry->path);
    if (restore->is_root && entry->uid == 0) return tree_set_time_of(fd, entry, error);
    return strip_xattrs(fd, entry, error) < 0 ? -1 : tree_set_metadata_of(fd, entry, error);
}

static int set_named(const Restore *restore, Parent *parent, const TreeEntry *entry, Error *error) {
    const char *name;
    int folder = parent_open(parent, entry->path, &name);
    FD_AUTO fd =
        folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", entry->path);
    if (entry->type == TREE_FILE) return set_file(restore, fd, entry, error);
    return restore->spec.scratch ? 0 : strip_xattrs(fd, entry, error);
}

/* Folders and links that were made, and what differs; written files have theirs, and names of one file share
 * it. */
static bool gets_metadata(const TreeEntry *entry, RestoreAction action) {
    return action != RESTORE_RIGHT && action != RESTORE_WRITE && entry->type != TREE_HARDLINK;
}

static int set_metadata(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    Tree others = {.foreign_links = true}; /* folders and links */
    others.entries = calloc(tree->count + 1, sizeof *others.entries);
    if (!others.entries) abort();
    Parent parent;
    parent_init(&parent, restore->dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (!gets_metadata(entry, (RestoreAction)restore->actions[i])) continue;
        if (entry->type != TREE_FILE) others.entries[others.count++] = *entry;
        if (entry->type != TREE_SYMLINK) result = set_named(restore, &parent, entry, error);
    }
    parent_close(&parent);
    if (result == 0) result = tree_set_metadata(restore->dir, &others, error);
    free(others.entries);
    return result;
}

/* ---- durability ---- */

static int sync_folder(int folder, const char *path, Error *error) {
    FD_AUTO fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot make %s durable", path);
    return 0;
}

/* The entry, when it is a file or folder that stands there, and the folder it stands in. */
static int sync_entry(Parent *parent, const TreeEntry *entry, bool stands, Error *error) {
    const char *name;
    int folder = parent_open(parent, entry->path, &name);
    if (folder < 0 && !stands && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (folder < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", entry->path);
    if (stands && (entry->type == TREE_FILE || entry->type == TREE_DIRECTORY)) {
        FD_AUTO fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || fsync(fd) != 0)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot make %s durable", entry->path);
    }
    return sync_folder(folder, entry->path, error);
}

static int sync_each(Restore *restore, Error *error) {
    const Tree *tree = restore->spec.tree;
    Parent parent;
    parent_init(&parent, restore->dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++)
        if (restore->actions[i] != RESTORE_RIGHT)
            result = sync_entry(&parent, &tree->entries[i], true, error);
    for (size_t i = 0; i < restore->removal_count && result == 0; i++)
        result = sync_entry(&parent, &restore->found->entries[restore->removals[i]], false, error);
    parent_close(&parent);
    return result;
}

static int make_durable(Restore *restore, Error *error) {
    const RestoreCounts *counts = &restore->counts;
    if (restore->spec.scratch) return 0;
    if (counts->written_files + counts->removed + counts->other <= SYNC_EACH_MAX)
        return sync_each(restore, error);
    return scope_sync(restore->dir, &restore->spec.scope, error);
}

int restore_execute(Restore *restore, Error *error) {
    if (check_space(restore, error) < 0 || remove_unexpected(restore, error) < 0 ||
        make_folders(restore, error) < 0 || write_files(restore, error) < 0 ||
        make_links(restore, error) < 0 || set_metadata(restore, error) < 0 ||
        make_durable(restore, error) < 0)
        return -1;
    return 0;
}
