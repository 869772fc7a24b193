#include "host/restore_point/scope.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Is `path` the path `folder`, or below it? */
static bool is_at_or_below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

bool scope_covers(const Scope *scope, const char *path) {
    for (size_t i = 0; i < scope->count; i++)
        if (is_at_or_below(path, scope->paths[i])) return true;
    return false;
}

static bool is_plain(const char *path) {
    if (*path == '\0' || strlen(path) > TREE_PATH_MAX) return false;
    for (const char *at = path;; at++) {
        size_t part = strcspn(at, "/");
        if (part == 0 || (part == 1 && at[0] == '.') || (part == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += part;
        if (*at == '\0') return true;
    }
}

int scope_check(const Scope *scope, Error *error) {
    for (size_t i = 0; i < scope->count; i++) {
        const char *path = scope->paths[i];
        JSON_AUTO utf8 = json_string(path);
        if (!utf8 || !is_plain(path))
            return error_set(error, ERROR_INVALID, "“%s” is no plain path below the root", path);
        for (size_t j = 0; j < scope->count; j++)
            if (i != j && is_at_or_below(path, scope->paths[j]))
                return error_set(error, ERROR_INVALID, "%s is named twice: it is in %s; leave one out", path,
                                 scope->paths[j]);
    }
    return 0;
}

int scope_refuse_links(const Scope *scope, const Tree *tree, Error *error) {
    for (size_t i = 0; i < scope->count; i++) {
        const TreeEntry *top = tree_find(tree, scope->paths[i]);
        if (!top || top->type != TREE_SYMLINK) continue;
        error_set(error, ERROR_INVALID, "%s is a symbolic link to %s, so its content would stay out",
                  top->path, top->target);
        return error_hint(error, "name the folder that it leads to, or put the data in its place");
    }
    return 0;
}

static int scan_path(int dir, const char *path, const TreeScan *options, Tree **out, Error *error) {
    TreeScan scan = *options;
    scan.prefix = path;
    scan.foreign_links = true;
    TREE_AUTO tree = NULL;
    if (tree_scan(dir, &scan, &tree, error) < 0) return -1;
    *out = pointer_take(&tree);
    return 0;
}

static void copy_entry(Tree *to, const TreeEntry *from) {
    TreeEntry *entry = tree_add(to);
    *entry = *from;
    entry->path = arena_strdup(to->arena, from->path);
    entry->target = arena_strdup(to->arena, from->target);
    TreeXattr *xattrs = ARENA_ARRAY(to->arena, from->xattr_count + 1, TreeXattr);
    for (uint32_t i = 0; i < from->xattr_count; i++) {
        uint8_t *value = arena_alloc(to->arena, from->xattrs[i].size + 1);
        memcpy(value, from->xattrs[i].value, from->xattrs[i].size);
        xattrs[i] = (TreeXattr){arena_strdup(to->arena, from->xattrs[i].name), value, from->xattrs[i].size};
    }
    entry->xattrs = xattrs;
}

/* List the folder `path` itself, unless it is missing. */
static int add_folder(int dir, Tree *tree, const char *path, Error *error) {
    FD_AUTO fd = file_open_no_links(dir, path, O_PATH | O_NOFOLLOW, 0);
    struct stat status;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", path);
    if (!S_ISDIR(status.st_mode)) return 0;
    TreeEntry *entry = tree_add(tree);
    entry->path = arena_strdup(tree->arena, path);
    entry->type = TREE_DIRECTORY;
    entry->mode = status.st_mode & 07777;
    entry->uid = status.st_uid;
    entry->gid = status.st_gid;
    entry->stamp.modified_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    return 0;
}

static bool is_listed(const Tree *tree, size_t from, const char *path, size_t length) {
    for (size_t i = from; i < tree->count; i++)
        if (strncmp(tree->entries[i].path, path, length) == 0 && tree->entries[i].path[length] == '\0')
            return true;
    return false;
}

/* The folders above all paths, each once. */
static int add_above(int dir, const Scope *scope, Tree *tree, Error *error) {
    size_t from = tree->count;
    for (size_t i = 0; i < scope->count; i++) {
        const char *path = scope->paths[i];
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            if (is_listed(tree, from, path, (size_t)(slash - path))) continue;
            if (add_folder(dir, tree, arena_strndup(tree->arena, path, (size_t)(slash - path)), error) < 0)
                return -1;
        }
    }
    return 0;
}

int scope_scan(int dir, const Scope *scope, const TreeScan *options, bool above, Tree **out, Error *error) {
    TREE_AUTO tree = NULL;
    for (size_t i = 0; i < scope->count; i++) {
        TREE_AUTO part = NULL;
        if (scan_path(dir, scope->paths[i], options, &part, error) < 0) return -1;
        if (!tree) { /* mostly the only one: keep it as it is */
            tree = pointer_take(&part);
            continue;
        }
        for (size_t j = 0; j < part->count; j++) copy_entry(tree, &part->entries[j]);
    }
    if (!tree) tree = tree_new();
    tree->foreign_links = true;
    if (above && add_above(dir, scope, tree, error) < 0) return -1;
    if (tree_finish(tree, error) < 0) return -1;
    *out = pointer_take(&tree);
    return 0;
}

/* Open one of the paths when it stands on another file system than `dir`; else -1. */
static int open_foreign(int dir, const char *path) {
    struct stat root, status;
    int fd = file_open_no_links(dir, path, O_RDONLY | O_NONBLOCK, 0);
    if (fd >= 0 && fstat(dir, &root) == 0 && fstat(fd, &status) == 0 && root.st_dev != status.st_dev)
        return fd;
    if (fd >= 0) close(fd);
    return -1;
}

int scope_sync(int dir, const Scope *scope, Error *error) {
    if (file_sync_all(dir, error) < 0) return -1;
    for (size_t i = 0; i < scope->count; i++) {
        FD_AUTO fd = open_foreign(dir, scope->paths[i]);
        if (fd >= 0 && file_sync_all(fd, error) < 0) return -1;
    }
    return 0;
}

bool scope_is_one_device(int dir, const Scope *scope) {
    for (size_t i = 0; i < scope->count; i++) {
        FD_AUTO fd = open_foreign(dir, scope->paths[i]);
        if (fd >= 0) return false;
    }
    return true;
}
