/* File: opening, writing and removing beneath a directory descriptor, durably.
 *
 * "Durable" here means: file fsync → rename → fsync of the directory, with close() checked. A path given
 * together with a `dir` descriptor is untrusted unless said otherwise: it is opened with openat2
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, so neither "..", an absolute path nor a link can lead out.
 */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Open beneath `dir`; `flags` as for open(2) (O_CLOEXEC is added). -1 with errno set: callers word the error.
 */
int file_open_beneath(int dir, const char *path, int flags, mode_t mode);
/* The same, and no symbolic link anywhere in `path`. */
int file_open_no_links(int dir, const char *path, int flags, mode_t mode);

/* A directory by any path (trusted: the plan's or the user's), made with its parents when missing. Caller
 * closes. */
int file_open_dir(const char *path, int *out, Error *error);
int file_make_dirs(const char *path, mode_t mode, Error *error);
/* A directory beneath `dir`, each missing part made with `mode`, no links followed. Caller closes. */
int file_open_dir_beneath(int dir, const char *path, mode_t mode, int *out, Error *error);

/* Refuse a folder that anybody may write but root and the user we run as: what is read from it is obeyed.
 * `path` is for the error. */
int file_check_private(int dir, const char *path, Error *error);

/* The whole file as bytes; refuses more than `limit` bytes. `out` is appended to. `dir` may be AT_FDCWD,
 * and then any path goes. ENOENT shows in error->number. */
int file_read(int dir, const char *path, size_t limit, Buffer *out, Error *error);

/* The same of a file that is open, from where it stands; `path` is for the error. */
int file_read_fd(int fd, const char *path, size_t limit, Buffer *out, Error *error);

/* Open the lock `name` (one component, made when missing) and wait until nobody else has it: until the
 * descriptor is closed, it is ours alone among threads and programs. -1 with errno: callers word the error.
 */
int file_open_locked(int dir, const char *name);
/* Lock it for us alone, waiting for up to FILE_LOCK_WAIT_MS: a holder that was killed may leave a child
 * between fork and exec, which holds it for a moment longer. -1 with EWOULDBLOCK in errno: somebody has it.
 */
int file_lock(int fd);
enum { FILE_LOCK_WAIT_MS = 1000 };

/* Write all of it, retrying short writes. */
int file_write_all(int fd, const void *bytes, size_t size, Error *error);
/* The same at `offset`, for whoever has words of his own for it: -1 with errno. */
int file_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset);
/* Replace `name` (one component) in `dir` in one durable step. */
int file_replace(int dir, const char *name, const void *bytes, size_t size, mode_t mode, Error *error);
/* Remove what replacing `name` left behind where it was cut off by a crash. For whoever alone may replace it.
 */
int file_replace_tidy(int dir, const char *name, Error *error);
/* fsync a directory, so that the names in it last. */
int file_sync_dir(int dir, Error *error);
/* syncfs: everything written to the file system that holds `dir`. */
int file_sync_all(int dir, Error *error);

/* Remove `name` in `dir`, with everything below it; links are removed, never followed, mounts not entered.
 * Missing is success. */
int file_remove_tree(int dir, const char *name, Error *error);

/* lstat beneath: 1 exists, 0 does not, -1 error. */
int file_exists(int dir, const char *path, Error *error);

/* "dir/name", or name alone where it is absolute. Caller frees. */
char *file_join(const char *dir, const char *name);
