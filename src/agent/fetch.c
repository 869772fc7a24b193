#include "agent/fetch.h"
#include "agent/courier.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 100 };

static bool cancelled(const ProgressWish *wish) { return wish->cancel && atomic_load(wish->cancel); }

/* 1: `name` is there and has the right bytes. */
static int is_right(int dir, const char *name, const char *sha256) {
    FD_AUTO fd = file_open_no_links(dir, name, O_RDONLY, 0);
    Digest digest;
    char text[DIGEST_TEXT_SIZE];
    if (fd < 0 || digest_of_fd(fd, &digest, NULL, NULL) < 0) return 0;
    digest_to_text(&digest, text);
    return strcmp(text, sha256) == 0;
}

static int64_t size_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_size : 0;
}

static void pause_after(int failures, const ProgressWish *wish) {
    int64_t until_ms = clock_steady_ms(clock_system()) + courier_pause_ms(failures);
    while (!cancelled(wish) && clock_steady_ms(clock_system()) < until_ms) clock_sleep_ms(LOOK_MS);
}

/* Again and again, as long as something comes now and then. */
static int bring(const Fetch *fetch, Courier *courier, int fd, const ProgressWish *wish, Error *error) {
    int64_t had = size_of(fd), heard_ms = clock_steady_ms(clock_system());
    for (int failures = 1;; failures++) {
        if (courier_package(courier, fetch->sha256, fetch->size, fd, error) == 0) return 0;
        if (cancelled(wish)) return error_set(error, ERROR_INTERRUPTED, "cancelled");
        if (courier_must_join(error) || error->number == ENOSPC) return -1;
        int64_t now_ms = clock_steady_ms(clock_system()), has = size_of(fd);
        if (has != had) {
            had = has;
            heard_ms = now_ms;
            failures = 1;
        }
        int64_t patience_ms = error->number == ENOENT ? FETCH_MISSING_PATIENCE_MS : FETCH_PATIENCE_MS;
        if (now_ms - heard_ms > patience_ms) return -1;
        if (wish->progress) wish->progress(wish->context, (uint64_t)has, fetch->size);
        pause_after(failures, wish);
    }
}

static int keep(int dir, const char *part, const Fetch *fetch, int fd, Error *error) {
    if (!is_right(dir, part, fetch->sha256)) {
        unlinkat(dir, part, 0);
        return error_set(error, ERROR_REFUSED, "what came is not the package %.16s… that was promised",
                         fetch->sha256);
    }
    if (fsync(fd) != 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot keep the package");
    if (renameat(dir, part, dir, fetch->sha256) != 0)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot keep the package");
    return file_sync_dir(dir, error);
}

int fetch_package(void *context, const ProgressWish *wish, Error *error) {
    const Fetch *fetch = context;
    char part[DIGEST_TEXT_SIZE + 8];
    FD_AUTO dir = -1;
    Error problem = {0};
    if (home_packages_dir(fetch->home, &dir, error) < 0) return -1;
    if (is_right(dir, fetch->sha256, fetch->sha256)) return 0;
    snprintf(part, sizeof part, "%.64s.part", fetch->sha256);
    FD_AUTO fd = file_open_no_links(dir, part, O_RDWR | O_CREAT, 0600);
    if (fd < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", part);
    IDENTITY_AUTO identity = NULL;
    ARENA_AUTO arena = arena_new();
    Courier *courier = NULL;
    if (identity_load(home_path(fetch->home, arena, "identity"), &identity, error) < 0 ||
        courier_new(fetch->url, identity, wish->cancel, &courier, error) < 0)
        return -1;
    int result = bring(fetch, courier, fd, wish, &problem);
    courier_free(courier);
    if (result == 0) return keep(dir, part, fetch, fd, error);
    if (error) *error = problem;
    return error_prefix(error, "cannot fetch the package");
}
