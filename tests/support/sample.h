/* Sample: a folder with one of everything a tree can hold, for tests of packages. */
#pragma once
#include "support/test.h"

#include "base/error.h"
#include <string.h>
#include <sys/xattr.h>

#define assert_done(call)                                                                                    \
    do {                                                                                                     \
        Error error_ = {0};                                                                                  \
        Error *error = &error_;                                                                              \
        if ((call) < 0) fail_msg("%s: %s", #call, error_.en);                                                \
    } while (0)

/* The call must fail with this kind, saying `text`. */
#define assert_refused(call, kind_, text)                                                                    \
    do {                                                                                                     \
        Error error_ = {0};                                                                                  \
        Error *error = &error_;                                                                              \
        if ((call) >= 0) fail_msg("%s: succeeds", #call);                                                    \
        if (error_.kind != (kind_) || !strstr(error_.en, (text)))                                            \
            fail_msg("%s: kind %d: %s", #call, (int)error_.kind, error_.en);                                 \
    } while (0)

static inline void sample_write(int dir, const char *path, const void *bytes, size_t size) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
}

static inline void sample_text(int dir, const char *path, const char *text) {
    sample_write(dir, path, text, strlen(text));
}

/* `size` bytes that do not compress and depend on `seed`. */
static inline void sample_noise(int dir, const char *path, size_t size, uint64_t seed) {
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        bytes[i] = (uint8_t)(seed >> 56);
    }
    sample_write(dir, path, bytes, size);
    free(bytes);
}

/* `size` apparent bytes: nothing but `text` at the end. */
static inline void sample_sparse(int dir, const char *path, uint64_t size, const char *text) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    size_t length = strlen(text);
    assert_int_equal(pwrite(fd, text, length, (off_t)(size - length)), (ssize_t)length);
    assert_int_equal(close(fd), 0);
}

static inline void sample_xattr(int dir, const char *path, const char *name, const void *value, size_t size) {
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fsetxattr(fd, name, value, size, 0), 0);
    close(fd);
}

/* CAP_NET_BIND_SERVICE, permitted and effective (struct vfs_cap_data, revision 2). */
static const uint8_t sample_capability[20] = {1, 0, 0, 2, 0, 4};

#define SAMPLE_ODD_NAME "odd \xff\xfe \"quoted\"\n.txt"

/* Everything but what only root may make. */
static inline void sample_make(int dir) {
    assert_int_equal(mkdirat(dir, "bin", 0755), 0);
    assert_int_equal(mkdirat(dir, "empty", 0700), 0);
    assert_int_equal(mkdirat(dir, "lib", 0755), 0);
    assert_int_equal(mkdirat(dir, "lib/deep", 0755), 0);
    sample_text(dir, "lib-a", "sorts between lib and lib/deep\n");
    sample_text(dir, "bin/tool", "#!/bin/sh\necho tool\n");
    assert_int_equal(fchmodat(dir, "bin/tool", 04755, 0), 0);
    sample_text(dir, "lib/deep/a.txt", "the same content\n");
    sample_text(dir, "lib/same.txt", "the same content\n");
    sample_text(dir, "lib/nothing", "");
    sample_noise(dir, "lib/noise", 300000, 1);
    sample_sparse(dir, "lib/sparse", 20 << 20, "end");
    sample_text(dir, SAMPLE_ODD_NAME, "odd\n");
    sample_text(dir, "\xe5\x8d\x87\xe7\xba\xa7.txt", "UTF-8\n");
    assert_int_equal(symlinkat("../lib/deep/a.txt", dir, "bin/link"), 0);
    assert_int_equal(symlinkat("missing\xfe", dir, "dangling"), 0);
    assert_int_equal(linkat(dir, "bin/tool", dir, "bin/tool2", 0), 0);
    assert_int_equal(linkat(dir, "bin/tool", dir, "another-tool", 0), 0);
    sample_xattr(dir, "lib/same.txt", "user.note", "n\0t", 3);
    sample_xattr(dir, "lib", "user.empty", "", 0);
    assert_int_equal(fchmodat(dir, "lib/nothing", 0400, 0), 0);
    if (geteuid() != 0) return;
    assert_int_equal(fchownat(dir, "bin/tool", 12345, 54321, 0), 0);
    assert_int_equal(fchmodat(dir, "bin/tool", 04755, 0), 0); /* chown took the set-uid bit */
    assert_int_equal(fchownat(dir, "bin/link", 7, 8, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(fchownat(dir, "empty", 9, 9, 0), 0);
    sample_xattr(dir, "lib/noise", "security.capability", sample_capability, sizeof sample_capability);
}

enum { SAMPLE_ENTRIES = 17 };
