#include "base/reserve.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RESERVE   "reserve"
#define UNALLOTED ".reserve~"

static bool is_full(int number) { return number == ENOSPC || number == EDQUOT; }

static int allocate(int dir, Error *error) {
    FD_AUTO fd = openat(dir, UNALLOTED, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int number = fd < 0 ? errno : posix_fallocate(fd, 0, RESERVE_BYTES);
    if (number == 0 && renameat(dir, UNALLOTED, dir, RESERVE) == 0) return 0;
    if (number == 0) number = errno;
    unlinkat(dir, UNALLOTED, 0);
    return error_errno(error, is_full(number) ? ERROR_REFUSED : ERROR_SYSTEM, number,
                       "cannot set room aside for putting things back");
}

int reserve_keep(int dir, Error *error) {
    int exists = file_exists(dir, RESERVE, error);
    return exists == 0 ? allocate(dir, error) : exists < 0 ? -1 : 0;
}

bool reserve_release(int dir, const Error *error) {
    return is_full(error->number) && unlinkat(dir, RESERVE, 0) == 0;
}
