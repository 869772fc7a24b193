/* Fault: a library to preload, that makes one call fail, or the process die at it. For tests only.
 *
 *     LD_PRELOAD=libfault.so FAULT_LOG=calls FAULT_AT=17 FAULT_MODE=kill upkeep run plan.yaml
 *
 * Counts, from 1, the calls that change what a crash or a full disk can leave behind: writing, syncing,
 * naming, making, removing, changing metadata, closing what was written, and (for kill and tear) forking and
 * signalling. At call FAULT_AT:
 *
 *     FAULT_MODE=kill         SIGKILL instead of the call
 *     FAULT_MODE=tear         half of a write, the whole of any other call, then SIGKILL
 *     FAULT_MODE=fail:ENOSPC  the call fails with that errno (errno_called() knows them), once
 *     FAULT_MODE=from:ENOSPC  so do all later calls of the same sort: a disk that stays full
 *
 * ENOSPC and EDQUOT that stay spare what takes no space: removing, closing, changing metadata.
 *
 * With FAULT_THREAD=main only the calls of the main thread count, with FAULT_THREAD=other only those of all
 * others: where two threads take turns as they please, each one's own row of calls is still the same.
 *
 * Without FAULT_AT it only counts. FAULT_LOG gets a line a call: "<number> <call> <path>"; it is written
 * before the call, so after a kill it says where. Only the process that loaded the library counts: forked
 * children pass, and children that are executed do not inherit it. Calls inside libc (stdio) are not seen.
 */
#undef _FILE_OFFSET_BITS /* so that open and open64 are two names, and both can be defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef enum Verdict { PASS, FAIL, TEAR } Verdict;
typedef enum Sort { TAKES_SPACE, TAKES_NONE, PROCESS } Sort;
typedef enum Role { ROLE_ANY, ROLE_MAIN, ROLE_OTHER } Role;

static struct {
    pid_t owner; /* 0: not loaded yet, nothing is counted */
    long at;
    bool kill, tear, fail, stay;
    Role role;
    int number; /* errno to fail with */
    int log;    /* -1: none */
    atomic_long count;
} fault = {.log = -1};

/* The next definition of a function: libc's. */
#define NEXT(name) ((__typeof__(&(name)))next(#name))

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int errno_called(const char *name) {
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"EACCES", EACCES}, {"EDQUOT", EDQUOT}, {"EIO", EIO},
                {"EMFILE", EMFILE}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].number;
    fprintf(stderr, "fault: no such errno: %s\n", name);
    abort();
}

static Role role_called(const char *name) {
    if (!name) return ROLE_ANY;
    if (strcmp(name, "main") == 0) return ROLE_MAIN;
    if (strcmp(name, "other") == 0) return ROLE_OTHER;
    fprintf(stderr, "fault: no such thread: %s\n", name);
    abort();
}

__attribute__((constructor)) static void load(void) {
    const char *at = getenv("FAULT_AT"), *mode = getenv("FAULT_MODE"), *log = getenv("FAULT_LOG");
    unsetenv("LD_PRELOAD");
    fault.at = at ? strtol(at, NULL, 10) : 0;
    fault.role = role_called(getenv("FAULT_THREAD"));
    if (mode) {
        fault.kill = strcmp(mode, "kill") == 0;
        fault.tear = strcmp(mode, "tear") == 0;
        fault.stay = strncmp(mode, "from:", 5) == 0;
        fault.fail = fault.stay || strncmp(mode, "fail:", 5) == 0;
        if (fault.fail) fault.number = errno_called(mode + 5);
    }
    if (log) fault.log = NEXT(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    fault.owner = getpid();
}

__attribute__((noreturn)) static void die(void) {
    for (;;) NEXT(kill)(getpid(), SIGKILL);
}

/* What `path` beneath `dir` names; with path NULL, what the descriptor `dir` is. */
static void name_target(int dir, const char *path, char out[static PATH_MAX]) {
    char link[40];
    ssize_t length = 0;
    if (!path || (path[0] != '/' && dir != AT_FDCWD)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        length = readlink(link, out, PATH_MAX - 1);
        if (length < 0) length = 0;
    }
    out[length] = '\0';
    if (path) snprintf(out + length, PATH_MAX - (size_t)length, "%s%s", length ? "/" : "", path);
}

static void note(long number, const char *call, int dir, const char *path) {
    char target[PATH_MAX], line[PATH_MAX + 64];
    name_target(dir, path, target);
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, target);
    ssize_t written = NEXT(write)(fault.log, line, (size_t)length);
    (void)written;
}

/* Do this process and this thread count? */
static bool is_counted(void) {
    if (getpid() != fault.owner) return false;
    return fault.role == ROLE_ANY || (fault.role == ROLE_MAIN) == (gettid() == fault.owner);
}

/* Count one call on `path` beneath `dir` (NULL: on the descriptor `dir`), and say what is to become of it. */
static Verdict strike(Sort sort, const char *call, int dir, const char *path) {
    if (!is_counted() || (sort == PROCESS && fault.fail)) return PASS;
    int before = errno;
    long number = atomic_fetch_add(&fault.count, 1) + 1;
    if (fault.log >= 0) note(number, call, dir, path);
    errno = before;
    if (fault.at == 0 || number < fault.at || (number > fault.at && !fault.stay)) return PASS;
    if (fault.kill) die();
    if (fault.tear) return TEAR;
    bool spared = sort == TAKES_NONE && (fault.number == ENOSPC || fault.number == EDQUOT);
    if (!fault.fail || (spared && fault.stay)) return PASS;
    errno = fault.number;
    return FAIL;
}

static bool is_file(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Terminals and the like are nobody's state, but a pipe is how processes are let go: it counts for kills. */
static Verdict strike_write(const char *call, int fd) {
    if (fd == STDOUT_FILENO || fd == STDERR_FILENO) return PASS;
    return strike(is_file(fd) ? TAKES_SPACE : PROCESS, call, fd, NULL);
}

/* The body of a function that is counted: `arguments` are those of the call, in brackets. */
#define COUNTED(verdict, call, arguments)                                                                    \
    switch (verdict) {                                                                                       \
    case FAIL: return -1;                                                                                    \
    case TEAR: (void)!NEXT(call) arguments; die();                                                           \
    default: return NEXT(call) arguments;                                                                    \
    }

/* Writing. `half` are the arguments of half the call. */
#define WRITTEN(call, fd, arguments, half)                                                                   \
    switch (strike_write(#call, fd)) {                                                                       \
    case FAIL: return -1;                                                                                    \
    case TEAR: (void)!NEXT(call) half; die();                                                                \
    default: return NEXT(call) arguments;                                                                    \
    }

ssize_t write(int fd, const void *bytes,
              size_t size){WRITTEN(write, fd, (fd, bytes, size), (fd, bytes, size / 2))}

ssize_t pwrite(int fd, const void *bytes, size_t size,
               off_t at){WRITTEN(pwrite, fd, (fd, bytes, size, at), (fd, bytes, size / 2, at))}

ssize_t pwrite64(int fd, const void *bytes, size_t size,
                 off64_t at){WRITTEN(pwrite64, fd, (fd, bytes, size, at), (fd, bytes, size / 2, at))}

ssize_t writev(int fd, const struct iovec *parts,
               int count){WRITTEN(writev, fd, (fd, parts, count), (fd, parts, count / 2))}

ssize_t pwritev(int fd, const struct iovec *parts, int count,
                off_t at){WRITTEN(pwritev, fd, (fd, parts, count, at), (fd, parts, count / 2, at))}

ssize_t pwritev64(int fd, const struct iovec *parts, int count,
                  off64_t at){WRITTEN(pwritev64, fd, (fd, parts, count, at), (fd, parts, count / 2, at))}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags) {
    WRITTEN(copy_file_range, out, (in, in_at, out, out_at, size, flags),
            (in, in_at, out, out_at, size / 2, flags))
}

int ftruncate(int fd, off_t size) {
    COUNTED(strike(TAKES_SPACE, "ftruncate", fd, NULL), ftruncate, (fd, size))
}

int ftruncate64(int fd, off64_t size) {
    COUNTED(strike(TAKES_SPACE, "ftruncate64", fd, NULL), ftruncate64, (fd, size))
}

int fallocate(int fd, int mode, off_t at, off_t size) {
    COUNTED(strike(TAKES_SPACE, "fallocate", fd, NULL), fallocate, (fd, mode, at, size))
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
    COUNTED(strike(TAKES_SPACE, "fallocate64", fd, NULL), fallocate64, (fd, mode, at, size))
}

/* Syncing. */

int fsync(int fd) { COUNTED(strike(TAKES_SPACE, "fsync", fd, NULL), fsync, (fd)) }

int fdatasync(int fd) { COUNTED(strike(TAKES_SPACE, "fdatasync", fd, NULL), fdatasync, (fd)) }

int syncfs(int fd) { COUNTED(strike(TAKES_SPACE, "syncfs", fd, NULL), syncfs, (fd)) }

/* Closing what may have been written: the descriptor is gone even when it fails, as Linux has it. */
int close(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) || !is_file(fd))
        return NEXT(close)(fd);
    Verdict verdict = strike(TAKES_NONE, "close", fd, NULL);
    int number = errno, result = NEXT(close)(fd);
    if (verdict == TEAR) die();
    if (verdict == PASS) return result;
    errno = number;
    return -1;
}

/* Opening, where that makes or empties a file. */

static bool makes(int flags) { return (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE; }

static mode_t mode_argument(int flags, va_list arguments) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define OPENED(call, dir, arguments)                                                                         \
    va_list list;                                                                                            \
    va_start(list, flags);                                                                                   \
    mode_t mode = mode_argument(flags, list);                                                                \
    va_end(list);                                                                                            \
    COUNTED(makes(flags) ? strike(TAKES_SPACE, #call, dir, path) : PASS, call, arguments)

int open(const char *path, int flags, ...) { OPENED(open, AT_FDCWD, (path, flags, mode)) }

int open64(const char *path, int flags, ...) { OPENED(open64, AT_FDCWD, (path, flags, mode)) }

int openat(int dir, const char *path, int flags, ...) { OPENED(openat, dir, (dir, path, flags, mode)) }

int openat64(int dir, const char *path, int flags, ...) { OPENED(openat64, dir, (dir, path, flags, mode)) }

int creat(const char *path, mode_t mode) {
    COUNTED(strike(TAKES_SPACE, "creat", AT_FDCWD, path), creat, (path, mode))
}

int creat64(const char *path, mode_t mode) {
    COUNTED(strike(TAKES_SPACE, "creat64", AT_FDCWD, path), creat64, (path, mode))
}

/* openat2 has no function of its own in libc. */
long syscall(long number, ...) {
    va_list list;
    long a[6];
    va_start(list, number);
    for (size_t i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    Verdict verdict = PASS;
    if (number == SYS_openat2) {
        const struct open_how *how = (const struct open_how *)a[2];
        if (makes((int)how->flags)) verdict = strike(TAKES_SPACE, "openat2", (int)a[0], (const char *)a[1]);
    } else if (number == SYS_renameat2) {
        verdict = strike(TAKES_SPACE, "renameat2", (int)a[2], (const char *)a[3]);
    }
    COUNTED(verdict, syscall, (number, a[0], a[1], a[2], a[3], a[4], a[5]))
}

/* Naming, making and removing. Renames are logged by their new name. */

int rename(const char *old, const char *path) {
    COUNTED(strike(TAKES_SPACE, "rename", AT_FDCWD, path), rename, (old, path))
}

int renameat(int old_dir, const char *old, int dir, const char *path) {
    COUNTED(strike(TAKES_SPACE, "renameat", dir, path), renameat, (old_dir, old, dir, path))
}

int renameat2(int old_dir, const char *old, int dir, const char *path, unsigned flags) {
    COUNTED(strike(TAKES_SPACE, "renameat2", dir, path), renameat2, (old_dir, old, dir, path, flags))
}

int link(const char *old, const char *path) {
    COUNTED(strike(TAKES_SPACE, "link", AT_FDCWD, path), link, (old, path))
}

int linkat(int old_dir, const char *old, int dir, const char *path, int flags) {
    COUNTED(strike(TAKES_SPACE, "linkat", dir, path), linkat, (old_dir, old, dir, path, flags))
}

int symlink(const char *target, const char *path) {
    COUNTED(strike(TAKES_SPACE, "symlink", AT_FDCWD, path), symlink, (target, path))
}

int symlinkat(const char *target, int dir, const char *path) {
    COUNTED(strike(TAKES_SPACE, "symlinkat", dir, path), symlinkat, (target, dir, path))
}

int mkdir(const char *path, mode_t mode) {
    COUNTED(strike(TAKES_SPACE, "mkdir", AT_FDCWD, path), mkdir, (path, mode))
}

int mkdirat(int dir, const char *path, mode_t mode) {
    COUNTED(strike(TAKES_SPACE, "mkdirat", dir, path), mkdirat, (dir, path, mode))
}

int unlink(const char *path) { COUNTED(strike(TAKES_NONE, "unlink", AT_FDCWD, path), unlink, (path)) }

int unlinkat(int dir, const char *path, int flags) {
    COUNTED(strike(TAKES_NONE, "unlinkat", dir, path), unlinkat, (dir, path, flags))
}

int rmdir(const char *path) { COUNTED(strike(TAKES_NONE, "rmdir", AT_FDCWD, path), rmdir, (path)) }

/* Metadata. */

int chmod(const char *path, mode_t mode) {
    COUNTED(strike(TAKES_NONE, "chmod", AT_FDCWD, path), chmod, (path, mode))
}

int fchmod(int fd, mode_t mode) { COUNTED(strike(TAKES_NONE, "fchmod", fd, NULL), fchmod, (fd, mode)) }

int fchmodat(int dir, const char *path, mode_t mode, int flags) {
    COUNTED(strike(TAKES_NONE, "fchmodat", dir, path), fchmodat, (dir, path, mode, flags))
}

int fchown(int fd, uid_t owner, gid_t group) {
    COUNTED(strike(TAKES_NONE, "fchown", fd, NULL), fchown, (fd, owner, group))
}

int fchownat(int dir, const char *path, uid_t owner, gid_t group, int flags) {
    COUNTED(strike(TAKES_NONE, "fchownat", dir, path), fchownat, (dir, path, owner, group, flags))
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
    COUNTED(strike(TAKES_NONE, "fsetxattr", fd, NULL), fsetxattr, (fd, name, value, size, flags))
}

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
    COUNTED(strike(TAKES_NONE, "lsetxattr", AT_FDCWD, path), lsetxattr, (path, name, value, size, flags))
}

int futimens(int fd, const struct timespec times[2]) {
    COUNTED(strike(TAKES_NONE, "futimens", fd, NULL), futimens, (fd, times))
}

int utimensat(int dir, const char *path, const struct timespec times[2], int flags){
    COUNTED(strike(TAKES_NONE, "utimensat", dir, path), utimensat, (dir, path, times, flags))}

/* Processes. */

pid_t fork(void) {
    COUNTED(strike(PROCESS, "fork", AT_FDCWD, ""), fork, ())
}

int kill(pid_t pid, int number) {
    COUNTED(number ? strike(PROCESS, "kill", AT_FDCWD, "") : PASS, kill, (pid, number))
}

int pidfd_send_signal(int process, int number, siginfo_t *info, unsigned flags){
    COUNTED(number ? strike(PROCESS, "pidfd_send_signal", process, NULL) : PASS, pidfd_send_signal,
            (process, number, info, flags))}

/* To another process here: what goes over a network leaves nothing behind. */
ssize_t send(int socket, const void *bytes, size_t size, int flags) {
    int domain = 0;
    socklen_t length = sizeof domain;
    getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    COUNTED(domain == AF_UNIX ? strike(PROCESS, "send", socket, NULL) : PASS, send,
            (socket, bytes, size, flags))
}
