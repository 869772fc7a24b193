#include "base/file.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEMPORARY_NAME_MAX = 200, TEMPORARY_SUFFIX_SIZE = 9 };

static int open_resolved(int dir, const char *path, int flags, mode_t mode, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
    if (flags & (O_CREAT | __O_TMPFILE)) how.mode = mode & 07777;
    for (;;) {
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return (int)fd; /* EAGAIN: a rename raced with us */
    }
}

int file_open_beneath(int dir, const char *path, int flags, mode_t mode) {
    return open_resolved(dir, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int file_open_no_links(int dir, const char *path, int flags, mode_t mode) {
    return open_resolved(dir, path, flags, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

int file_make_dirs(const char *path, mode_t mode, Error *error) {
    FREE_AUTO char *copy = strdup(path);
    if (!copy) abort();
    for (char *at = copy + 1; copy[0]; at++) {
        bool end = *at == '\0';
        if (!end && *at != '/') continue;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot make the folder %s", copy);
        if (end) break;
        *at = '/';
    }
    return 0;
}

int file_open_dir(const char *path, int *out, Error *error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (file_make_dirs(path, 0755, error) < 0) return -1;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    *out = fd;
    return 0;
}

int file_open_dir_beneath(int dir, const char *path, mode_t mode, int *out, Error *error) {
    FD_AUTO here = file_open_no_links(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (here < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
    const char *at = path;
    while (*at) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(at, "/");
        if (length > NAME_MAX)
            return error_errno(error, ERROR_INVALID, ENAMETOOLONG, "cannot make the folder %s", path);
        memcpy(name, at, length);
        name[length] = '\0';
        at += length + strspn(at + length, "/");
        if (length == 0) continue;
        if (strcmp(name, "..") != 0 && mkdirat(here, name, mode) != 0 && errno != EEXIST)
            return error_errno(error, ERROR_SYSTEM, errno, "cannot make the folder %s", path);
        int below = file_open_no_links(here, name, O_RDONLY | O_DIRECTORY, 0);
        if (below < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", path);
        close(here);
        here = below;
    }
    *out = fd_take(&here);
    return 0;
}

int file_check_private(int dir, const char *path, Error *error) {
    struct stat status;
    if (fstat(dir, &status) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", path);
    bool is_ours = status.st_uid == 0 || status.st_uid == geteuid();
    if (is_ours && !(status.st_mode & (S_IWGRP | S_IWOTH))) return 0;
    error_set(error, ERROR_REFUSED, "%s may be written by others than the user who runs Upkeep", path);
    return error_hint(error, "make that user its owner and take write permission from all others");
}

int file_read(int dir, const char *path, size_t limit, Buffer *out, Error *error) {
    FD_AUTO fd =
        dir == AT_FDCWD ? open(path, O_RDONLY | O_CLOEXEC) : file_open_beneath(dir, path, O_RDONLY, 0);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open %s", path);
    return file_read_fd(fd, path, limit, out, error);
}

int file_read_fd(int fd, const char *path, size_t limit, Buffer *out, Error *error) {
    char part[16 * 1024];
    BUFFER_AUTO content = {0};
    for (;;) {
        ssize_t got = read(fd, part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", path);
        if (got == 0) break;
        if ((size_t)got > limit - content.size)
            return error_set(error, ERROR_INVALID, "%s is larger than %zu bytes", path, limit);
        buffer_append(&content, part, (size_t)got);
    }
    buffer_append(out, content.data, content.size);
    return 0;
}

int file_lock(int fd) {
    enum { LOOK_MS = 10 };
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOOK_MS) {
        if (errno != EINTR && (errno != EWOULDBLOCK || waited_ms >= FILE_LOCK_WAIT_MS)) return -1;
        clock_sleep_ms(LOOK_MS);
    }
    return 0;
}

int file_open_locked(int dir, const char *name) {
    FD_AUTO fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int locked = -1;
    if (fd >= 0)
        while ((locked = flock(fd, LOCK_EX)) != 0 && errno == EINTR) continue;
    return locked == 0 ? fd_take(&fd) : -1;
}

int file_write_all(int fd, const void *bytes, size_t size, Error *error) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write");
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

int file_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = pwrite(fd, at, size, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return -1;
        at += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return 0;
}

/* Write, fsync and close `temporary` in `dir`. */
static int write_synced(int dir, const char *temporary, const void *bytes, size_t size, mode_t mode,
                        Error *error) {
    FD_AUTO fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot create");
    if (fchmod(fd, mode) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot set the mode");
    if (file_write_all(fd, bytes, size, error) < 0) return -1;
    if (fsync(fd) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot make durable");
    if (close(fd_take(&fd)) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot close");
    return 0;
}

int file_replace(int dir, const char *name, const void *bytes, size_t size, mode_t mode, Error *error) {
    char suffix[TEMPORARY_SUFFIX_SIZE], temporary[NAME_MAX + 1];
    random_name(suffix, sizeof suffix);
    if (snprintf(temporary, sizeof temporary, ".%.*s.%s~", TEMPORARY_NAME_MAX, name, suffix) < 0) abort();
    if (write_synced(dir, temporary, bytes, size, mode, error) < 0) {
        unlinkat(dir, temporary, 0);
        return error_prefix(error, "cannot write %s", name);
    }
    if (renameat(dir, temporary, dir, name) != 0) {
        error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", name);
        unlinkat(dir, temporary, 0);
        return -1;
    }
    return file_sync_dir(dir, error);
}

/* ".NAME.xxxxxxxx~", as file_replace() made it up? */
static bool is_temporary_of(const char *name, const char *entry) {
    size_t length = strnlen(name, TEMPORARY_NAME_MAX);
    return entry[0] == '.' && strncmp(entry + 1, name, length) == 0 && entry[1 + length] == '.' &&
           strlen(entry + 1 + length) == TEMPORARY_SUFFIX_SIZE + 1 &&
           entry[1 + length + TEMPORARY_SUFFIX_SIZE] == '~';
}

int file_replace_tidy(int dir, const char *name, Error *error) {
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list a folder");
    }
    for (struct dirent *entry; (entry = readdir(listing));)
        if (is_temporary_of(name, entry->d_name)) unlinkat(dir, entry->d_name, 0);
    closedir(listing);
    return 0;
}

int file_sync_dir(int dir, Error *error) {
    if (fsync(dir) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot make a folder's names durable");
    return 0;
}

int file_sync_all(int dir, Error *error) {
    if (syncfs(dir) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot make written files durable");
    return 0;
}

static int remove_folder(int dir, const char *name, dev_t device, Error *error);

/* Everything in the open folder `folder`, which lies on `device`. */
static int remove_content(int folder, dev_t device, Error *error) {
    int again = dup(folder);
    DIR *listing = again < 0 ? NULL : fdopendir(again);
    if (!listing) {
        if (again >= 0) close(again);
        return error_errno(error, ERROR_SYSTEM, errno, "cannot list a folder");
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (entry->d_type != DT_DIR && unlinkat(folder, entry->d_name, 0) == 0) continue;
        result = remove_folder(folder, entry->d_name, device, error);
    }
    closedir(listing);
    return result;
}

static int remove_folder(int dir, const char *name, dev_t device, Error *error) {
    FD_AUTO folder = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (folder < 0 && errno == ENOENT) return 0;
    if (folder < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) return 0;
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", name);
    }
    if (folder < 0 || fstat(folder, &status) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot open the folder %s", name);
    if (device == 0) device = status.st_dev;
    if (status.st_dev != device)
        return error_set(error, ERROR_SYSTEM, "cannot remove %s: another file system is mounted there", name);
    if (remove_content(folder, device, error) < 0) return -1;
    if (unlinkat(dir, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove the folder %s", name);
    return 0;
}

/* Does the path leave the folder it starts in: from the root, or by a step up? */
static bool climbs(const char *path) {
    if (path[0] == '/') return true;
    for (const char *part = path; part;) {
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0) return true;
        part = part[length] ? part + length + 1 : NULL;
    }
    return false;
}

int file_remove_tree(int dir, const char *name, Error *error) {
    struct stat status;
    if (climbs(name)) return error_set(error, ERROR_INVALID, "“%s” leads out of its folder", name);
    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return 0;
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", name);
    }
    if (S_ISDIR(status.st_mode)) return remove_folder(dir, name, 0, error);
    if (unlinkat(dir, name, 0) != 0 && errno != ENOENT)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot remove %s", name);
    return 0;
}

int file_exists(int dir, const char *path, Error *error) {
    FD_AUTO fd = file_open_beneath(dir, path, O_PATH | O_NOFOLLOW, 0);
    if (fd >= 0) return 1;
    if (errno == ENOENT || errno == ENOTDIR) return 0;
    return error_errno(error, ERROR_SYSTEM, errno, "cannot look at %s", path);
}

char *file_join(const char *dir, const char *name) {
    Buffer path = {0};
    if (name[0] != '/') {
        buffer_text_append(&path, dir);
        if (path.size && path.data[path.size - 1] != '/') buffer_text_append(&path, "/");
    }
    buffer_text_append(&path, name);
    return path.data;
}
