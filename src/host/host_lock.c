#include "host/host_lock.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 128 };

static int refuse(int lock, const char *root, Error *error) {
    char holder[TEXT_SIZE] = "";
    ssize_t got = pread(lock, holder, sizeof holder - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    error_set(error, ERROR_REFUSED, "another upgrade holds the lock of %s: %s", root, holder);
    error_hint(error, "wait for it, or look with “upkeep status”");
    if (error) error->number = EWOULDBLOCK;
    return -1;
}

int host_lock_take(int upkeep, const char *root, const char *holder, int *out, Error *error) {
    char text[TEXT_SIZE];
    FD_AUTO lock = openat(upkeep, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot open the lock of %s", root);
    if (file_lock(lock) < 0)
        return errno == EWOULDBLOCK
                   ? refuse(lock, root, error)
                   : error_errno(error, ERROR_SYSTEM, errno, "cannot take the lock of %s", root);
    int length = snprintf(text, sizeof text, "%.64s, process %d\n", holder, (int)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot write the lock of %s", root);
    *out = fd_take(&lock);
    return 0;
}
