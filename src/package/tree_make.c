/* Making a tree's folders and links, and setting what its entries are besides their content. */
#include "base/cleanup.h"
#include "base/parallel.h"
#include "package/parent.h"
#include "package/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

int tree_make_folders(int dir, const Tree *tree, Error *error) {
    Parent parent;
    parent_init(&parent, dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++) {
        const TreeEntry *entry = &tree->entries[i];
        const char *name;
        if (entry->type != TREE_DIRECTORY) continue;
        int folder = parent_open(&parent, entry->path, &name);
        if (folder < 0 || mkdirat(folder, name, 0700) != 0)
            result = error_errno(error, ERROR_SYSTEM, errno, "cannot make the folder %s", entry->path);
    }
    parent_close(&parent);
    return result;
}

static int make_hard_link(Parent *target_parent, int folder, const char *name, const char *target) {
    const char *target_name;
    int target_folder = parent_open(target_parent, target, &target_name);
    return target_folder < 0 ? -1 : linkat(target_folder, target_name, folder, name, 0);
}

int tree_make_links(int dir, const Tree *tree, Error *error) {
    Parent parent, target_parent;
    parent_init(&parent, dir);
    parent_init(&target_parent, dir);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++) {
        const TreeEntry *entry = &tree->entries[i];
        const char *name;
        if (entry->type != TREE_SYMLINK && entry->type != TREE_HARDLINK) continue;
        int folder = parent_open(&parent, entry->path, &name);
        if (folder >= 0 && entry->type == TREE_SYMLINK) folder = symlinkat(entry->target, folder, name);
        if (folder >= 0 && entry->type == TREE_HARDLINK)
            folder = make_hard_link(&target_parent, folder, name, entry->target);
        if (folder < 0)
            result = error_errno(error, ERROR_SYSTEM, errno, "cannot make the link %s to %s", entry->path,
                                 entry->target);
    }
    parent_close(&parent);
    parent_close(&target_parent);
    return result;
}

typedef struct Making {
    const Tree *tree;
    Parent parents[PARALLEL_WORKERS_MAX];
} Making;

enum { BATCH = 64 }; /* entries a worker takes at a time: neighbours share their folder */

static int set_xattrs(int fd, const TreeEntry *entry) {
    for (uint32_t i = 0; i < entry->xattr_count; i++)
        if (fsetxattr(fd, entry->xattrs[i].name, entry->xattrs[i].value, entry->xattrs[i].size, 0) != 0)
            return -1;
    return 0;
}

static struct timespec time_of(const TreeStamp *stamp) {
    struct timespec time = {.tv_sec = TREE_TIME_S};
    if (stamp->modified_ns != 0) {
        time.tv_sec = stamp->modified_ns / 1000000000;
        time.tv_nsec = stamp->modified_ns % 1000000000;
        if (time.tv_nsec < 0) { /* before 1970 */
            time.tv_sec--;
            time.tv_nsec += 1000000000;
        }
    }
    return time;
}

int tree_set_time_of(int fd, const TreeEntry *entry, Error *error) {
    struct timespec time = time_of(&entry->stamp);
    if (futimens(fd, (struct timespec[]){time, time}) == 0) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot set the times of %s", entry->path);
}

int tree_set_metadata_of(int fd, const TreeEntry *entry, Error *error) {
    bool owners = geteuid() == 0;
    if (owners && fchown(fd, entry->uid, entry->gid) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the owner of %s", entry->path);
    if (fchmod(fd, entry->mode) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the mode of %s", entry->path);
    if (set_xattrs(fd, entry) != 0) {
        error_errno(error, ERROR_SYSTEM, errno, "cannot set the extended attributes of %s", entry->path);
        return owners ? -1 : error_hint(error, "run as root");
    }
    return tree_set_time_of(fd, entry, error);
}

static int set_metadata_of_link(int folder, const char *name, const TreeEntry *entry, Error *error) {
    struct timespec time = time_of(&entry->stamp);
    if (geteuid() == 0 && fchownat(folder, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the owner of %s", entry->path);
    if (utimensat(folder, name, (struct timespec[]){time, time}, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the times of %s", entry->path);
    return 0;
}

/* Whoever may write the folder may put a link in the entry's place: only what was opened is changed. */
static int set_metadata(Parent *parent, const TreeEntry *entry, Error *error) {
    const char *name;
    struct stat status;
    int folder = parent_open(parent, entry->path, &name);
    if (folder < 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder of %s", entry->path);
    if (entry->type == TREE_SYMLINK) return set_metadata_of_link(folder, name, entry, error);
    FD_AUTO fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", entry->path);
    if (entry->type == TREE_DIRECTORY ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode))
        return error_set(error, ERROR_SYSTEM, "%s was replaced by something else meanwhile", entry->path);
    return tree_set_metadata_of(fd, entry, error);
}

static int set_batch(size_t index, unsigned worker, void *context, Error *error) {
    Making *making = context;
    const Tree *tree = making->tree;
    for (size_t i = index * BATCH; i < tree->count && i < (index + 1) * BATCH; i++) {
        const TreeEntry *entry = &tree->entries[i];
        if (entry->type != TREE_FILE && entry->type != TREE_SYMLINK) continue;
        if (set_metadata(&making->parents[worker], entry, error) < 0) return -1;
    }
    return 0;
}

int tree_set_metadata(int dir, const Tree *tree, Error *error) {
    Making making = {.tree = tree};
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_init(&making.parents[i], dir);
    int result =
        parallel_for((tree->count + BATCH - 1) / BATCH, parallel_workers(), set_batch, &making, error);
    for (size_t i = tree->count; i > 0 && result == 0; i--)
        if (tree->entries[i - 1].type == TREE_DIRECTORY)
            result = set_metadata(&making.parents[0], &tree->entries[i - 1], error);
    for (unsigned i = 0; i < PARALLEL_WORKERS_MAX; i++) parent_close(&making.parents[i]);
    return result;
}
