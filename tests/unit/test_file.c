#include "base/cleanup.h"
#include "base/file.h"
#include "support/test.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>

static void put(int dir, const char *name, const char *text) {
    assert_int_equal(file_replace(dir, name, text, strlen(text), 0644, NULL), 0);
}

static void check_content(int dir, const char *path, const char *expected) {
    BUFFER_AUTO text = {0};
    Error error = {0};
    if (file_read(dir, path, 1000, &text, &error) < 0) fail_msg("%s", error.en);
    assert_string_equal(buffer_text(&text), expected);
}

static int count_names(const TestFolder *folder) {
    int count = 0;
    DIR *listing = opendir(folder->path);
    while (readdir(listing)) count++;
    closedir(listing);
    return count - 2;
}

static void test_opens_nothing_outside(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(mkdirat(folder->fd, "inner", 0755), 0);
    put(folder->fd, "secret", "s");
    FD_AUTO inner = openat(folder->fd, "inner", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("../secret", inner, "up"), 0);
    assert_int_equal(symlinkat("/etc/passwd", inner, "far"), 0);
    assert_int_equal(symlinkat("..", inner, "parent"), 0);
    assert_int_equal(symlinkat("/proc/self/root/etc", inner, "magic"), 0);
    static const char *const paths[] = {"../secret",      "up",          "far",
                                        "parent/secret",  "/etc/passwd", "magic/passwd",
                                        "x/../../secret", "..",          "./../secret"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = file_open_beneath(inner, paths[i], O_RDONLY, 0);
        if (fd >= 0) fail_msg("opens %s", paths[i]);
        fd = file_open_no_links(inner, paths[i], O_RDONLY, 0);
        if (fd >= 0) fail_msg("opens %s", paths[i]);
    }
    assert_int_equal(file_open_beneath(inner, "../made", O_WRONLY | O_CREAT, 0644), -1);
    assert_int_equal(file_exists(folder->fd, "made", NULL), 0);
}

static void test_follows_links_inside_unless_told_not_to(void **state) {
    TestFolder *folder = *state;
    put(folder->fd, "file", "f");
    assert_int_equal(symlinkat("file", folder->fd, "link"), 0);
    FD_AUTO followed = file_open_beneath(folder->fd, "link", O_RDONLY, 0);
    assert_true(followed >= 0);
    assert_int_equal(file_open_no_links(folder->fd, "link", O_RDONLY, 0), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(fcntl(followed, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void test_makes_folders_with_their_parents(void **state) {
    TestFolder *folder = *state;
    char path[200];
    snprintf(path, sizeof path, "%s/a//b/c/", folder->path);
    FD_AUTO fd = -1;
    assert_int_equal(file_open_dir(path, &fd, NULL), 0);
    assert_int_equal(file_exists(folder->fd, "a/b/c", NULL), 1);
    FD_AUTO again = -1;
    assert_int_equal(file_open_dir(path, &again, NULL), 0);
    put(folder->fd, "file", "x");
    snprintf(path, sizeof path, "%s/file/b", folder->path);
    int untouched = -7;
    Error error = {0};
    assert_int_equal(file_open_dir(path, &untouched, &error), -1);
    assert_int_equal(untouched, -7);
    assert_int_equal(error.number, ENOTDIR);
}

static void test_makes_folders_beneath_only(void **state) {
    TestFolder *folder = *state;
    FD_AUTO fd = -1;
    assert_int_equal(file_open_dir_beneath(folder->fd, "a/b/c", 0700, &fd, NULL), 0);
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "a/b", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(symlinkat("/tmp", folder->fd, "out"), 0);
    assert_int_equal(symlinkat("a", folder->fd, "in"), 0);
    static const char *const paths[] = {"../x", "a/../../x", "out/x", "in/x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int made = -7;
        if (file_open_dir_beneath(folder->fd, paths[i], 0755, &made, NULL) == 0)
            fail_msg("makes %s", paths[i]);
        assert_int_equal(made, -7);
    }
}

static void test_reads_up_to_the_limit(void **state) {
    TestFolder *folder = *state;
    put(folder->fd, "ten", "0123456789");
    BUFFER_AUTO text = {0};
    buffer_text_append(&text, "before ");
    assert_int_equal(file_read(folder->fd, "ten", 10, &text, NULL), 0);
    assert_string_equal(buffer_text(&text), "before 0123456789");
    Error error = {0};
    assert_int_equal(file_read(folder->fd, "ten", 9, &text, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(file_read(folder->fd, "none", 9, &text, &error), -1);
    assert_int_equal(error.number, ENOENT);
    assert_int_equal(file_read(folder->fd, ".", 9, &text, &error), -1);
    assert_string_equal(buffer_text(&text), "before 0123456789");
}

/* 20,000 bytes arrive in more than one part: those read before the limit was met must not stay. */
static void test_a_file_too_large_leaves_nothing_behind(void **state) {
    TestFolder *folder = *state;
    char bytes[20000];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(file_replace(folder->fd, "large", bytes, sizeof bytes, 0644, NULL), 0);
    BUFFER_AUTO text = {0};
    buffer_text_append(&text, "before");
    assert_int_equal(file_read(folder->fd, "large", 19999, &text, NULL), -1);
    assert_string_equal(buffer_text(&text), "before");
}

static void test_replaces_whole_files(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(file_replace(folder->fd, "f", "first", 5, 0600, NULL), 0);
    assert_int_equal(file_replace(folder->fd, "f", "2", 1, 0644, NULL), 0);
    check_content(folder->fd, "f", "2");
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "f", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_int_equal(count_names(folder), 1);
}

static void test_a_failed_replacement_leaves_the_old_and_no_rest(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(mkdirat(folder->fd, "busy", 0755), 0);
    Error error = {0};
    assert_int_equal(file_replace(folder->fd, "busy", "x", 1, 0644, &error), -1);
    assert_int_equal(error.number, EISDIR);
    assert_non_null(strstr(error.en, "busy"));
    assert_int_equal(count_names(folder), 1);
    char name[NAME_MAX + 1];
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    assert_int_equal(file_replace(folder->fd, name, "x", 1, 0644, &error), 0);
    check_content(folder->fd, name, "x");
}

static void test_tidies_after_replacements_that_were_cut_off(void **state) {
    TestFolder *folder = *state;
    static const char *const kept[] = {"f",        ".f.abcd2345",   ".ff.abcd2345~",
                                       ".f.abcd~", ".f.abcd23456~", "f.abcd2345~"};
    char name[NAME_MAX + 1], left[NAME_MAX + 1];
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    snprintf(left, sizeof left, ".%.200s.abcd2345~", name);
    put(folder->fd, left, "half");
    put(folder->fd, ".f.abcd2345~", "half");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) put(folder->fd, kept[i], "");
    assert_int_equal(file_replace_tidy(folder->fd, "f", NULL), 0);
    assert_int_equal(file_exists(folder->fd, ".f.abcd2345~", NULL), 0);
    assert_int_equal(file_replace_tidy(folder->fd, name, NULL), 0);
    assert_int_equal(count_names(folder), sizeof kept / sizeof *kept);
}

static void test_a_full_disk_leaves_the_old_and_no_rest(void **state) {
    TestFolder *folder = *state;
    if (mount("upkeep-test", folder->path, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0)
        TEST_SKIP("needs the right to mount a small tmpfs");
    int dir = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(dir, "f", "old");
    char *large = calloc(1, 1 << 20);
    Error error = {0};
    int result = file_replace(dir, "f", large, 1 << 20, 0644, &error);
    free(large);
    int names = count_names(folder);
    BUFFER_AUTO text = {0};
    int read_result = file_read(dir, "f", 1000, &text, NULL);
    close(dir);
    umount2(folder->path, MNT_DETACH);
    assert_int_equal(result, -1);
    assert_int_equal(error.number, ENOSPC);
    assert_int_equal(names, 1);
    assert_int_equal(read_result, 0);
    assert_string_equal(buffer_text(&text), "old");
}

static void test_removes_trees_but_follows_no_link(void **state) {
    TestFolder *folder = *state;
    FD_AUTO deep = -1;
    assert_int_equal(file_open_dir_beneath(folder->fd, "t/a/b/c", 0755, &deep, NULL), 0);
    put(deep, "f", "x");
    put(folder->fd, "kept", "k");
    assert_int_equal(symlinkat("../../../../kept", deep, "l"), 0);
    assert_int_equal(symlinkat(folder->path, deep, "d"), 0);
    assert_int_equal(mknodat(deep, "fifo", S_IFIFO | 0600, 0), 0);
    assert_int_equal(fchmodat(folder->fd, "t/a/b", 0, 0), 0);
    if (geteuid() != 0) assert_int_equal(fchmodat(folder->fd, "t/a/b", 0700, 0), 0);
    assert_int_equal(file_remove_tree(folder->fd, "t", NULL), 0);
    assert_int_equal(file_exists(folder->fd, "t", NULL), 0);
    check_content(folder->fd, "kept", "k");
    assert_int_equal(file_remove_tree(folder->fd, "t", NULL), 0);
    assert_int_equal(symlinkat("kept", folder->fd, "link"), 0);
    assert_int_equal(file_remove_tree(folder->fd, "link", NULL), 0);
    check_content(folder->fd, "kept", "k");
}

static void test_does_not_remove_into_a_mount(void **state) {
    TestFolder *folder = *state;
    char path[100];
    snprintf(path, sizeof path, "%s/t/m", folder->path);
    assert_int_equal(file_make_dirs(path, 0755, NULL), 0);
    if (mount("upkeep-test", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0)
        TEST_SKIP("needs the right to mount a small tmpfs");
    int mounted = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put(mounted, "f", "x");
    Error error = {0};
    int result = file_remove_tree(folder->fd, "t", &error), still = file_exists(mounted, "f", NULL);
    close(mounted);
    umount2(path, MNT_DETACH);
    assert_int_equal(result, -1);
    assert_non_null(strstr(error.en, "mounted"));
    assert_int_equal(still, 1);
}

static void test_exists_looks_at_links_themselves(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(symlinkat("nowhere", folder->fd, "dangling"), 0);
    put(folder->fd, "f", "x");
    assert_int_equal(file_exists(folder->fd, "dangling", NULL), 1);
    assert_int_equal(file_exists(folder->fd, "none", NULL), 0);
    assert_int_equal(file_exists(folder->fd, "f/x", NULL), 0);
    Error error = {0};
    assert_int_equal(file_exists(folder->fd, "../x", &error), -1);
    assert_int_equal(error.number, EXDEV);
}

static void test_joins_paths(void **state) {
    (void)state;
    static const struct {
        const char *dir, *name, *path;
    } rows[] = {
        {"/a", "b", "/a/b"}, {"/a/", "b", "/a/b"}, {"/", "b", "/b"}, {"a", "/b", "/b"}, {"", "b", "b"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        FREE_AUTO char *path = file_join(rows[i].dir, rows[i].name);
        assert_string_equal(path, rows[i].path);
    }
}

static void test_syncs(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(file_sync_dir(folder->fd, NULL), 0);
    assert_int_equal(file_sync_all(folder->fd, NULL), 0);
    Error error = {0};
    assert_int_equal(file_sync_dir(-1, &error), -1);
    assert_int_equal(error.number, EBADF);
    assert_int_equal(file_write_all(-1, "x", 1, &error), -1);
}

static void test_a_folder_that_others_may_write_is_not_obeyed(void **state) {
    TestFolder *folder = *state;
    Error error = {0};
    assert_int_equal(fchmod(folder->fd, 0755), 0);
    assert_int_equal(file_check_private(folder->fd, "it", &error), 0);
    assert_int_equal(fchmod(folder->fd, 0775), 0);
    assert_int_equal(file_check_private(folder->fd, "it", &error), -1);
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_int_equal(fchmod(folder->fd, 0700), 0);
    if (geteuid() != 0) TEST_SKIP("needs root to give folders away");
    assert_int_equal(fchown(folder->fd, 33, 33), 0);
    assert_int_equal(file_check_private(folder->fd, "it", &error), -1);
}

static void test_a_lock_is_one_holders_alone(void **state) {
    TestFolder *folder = *state;
    FD_AUTO lock = file_open_locked(folder->fd, "lock");
    FD_AUTO other = openat(folder->fd, "lock", O_RDWR | O_CLOEXEC);
    assert_true(lock >= 0 && other >= 0);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1); /* even in the same process */
    assert_int_equal(errno, EWOULDBLOCK);
    close(fd_take(&lock));
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    struct stat status;
    assert_int_equal(fstat(other, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void *give_back_soon(void *lock) {
    usleep(200000);
    close(*(int *)lock);
    return NULL;
}

/* As a child of a killed holder does, once it is executed. */
static void test_a_lock_that_is_given_back_in_a_moment_is_waited_for(void **state) {
    const TestFolder *folder = *state;
    pthread_t holder;
    int held = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FD_AUTO ours = openat(folder->fd, "lock", O_RDWR | O_CLOEXEC);
    assert_int_equal(file_lock(held), 0);
    assert_int_equal(pthread_create(&holder, NULL, give_back_soon, &held), 0);
    assert_int_equal(file_lock(ours), 0);
    pthread_join(holder, NULL);
}

static void test_a_lock_that_somebody_keeps_is_not_waited_for_long(void **state) {
    const TestFolder *folder = *state;
    FD_AUTO held = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FD_AUTO ours = openat(folder->fd, "lock", O_RDWR | O_CLOEXEC);
    assert_int_equal(file_lock(held), 0);
    assert_int_equal(file_lock(ours), -1);
    assert_int_equal(errno, EWOULDBLOCK);
}

static void test_a_lock_follows_no_link(void **state) {
    TestFolder *folder = *state;
    assert_int_equal(symlinkat("elsewhere", folder->fd, "lock"), 0);
    assert_int_equal(file_open_locked(folder->fd, "lock"), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(faccessat(folder->fd, "elsewhere", F_OK, 0), -1);
}

static void test_reads_an_open_file_up_to_the_limit(void **state) {
    TestFolder *folder = *state;
    put(folder->fd, "five", "12345");
    FD_AUTO fd = openat(folder->fd, "five", O_RDONLY | O_CLOEXEC);
    BUFFER_AUTO text = {0};
    Error error = {0};
    assert_int_equal(file_read_fd(fd, "five", 4, &text, &error), -1);
    assert_non_null(strstr(error.en, "five is larger than 4 bytes"));
    assert_int_equal(text.size, 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(file_read_fd(fd, "five", 5, &text, NULL), 0);
    assert_string_equal(buffer_text(&text), "12345");
}

static void test_removes_nothing_that_leads_out_of_the_folder(void **state) {
    const TestFolder *folder = *state;
    static const char *const names[] = {"..", "../x", "a/../../x", "a/..", "/tmp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (file_remove_tree(folder->fd, names[i], NULL) == 0) fail_msg("%s was taken", names[i]);
    assert_int_equal(file_remove_tree(folder->fd, "1..2", NULL), 0); /* no step up, and not there */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_opens_nothing_outside),
        test_in_folder(test_follows_links_inside_unless_told_not_to),
        test_in_folder(test_makes_folders_with_their_parents),
        test_in_folder(test_makes_folders_beneath_only),
        test_in_folder(test_reads_up_to_the_limit),
        test_in_folder(test_a_file_too_large_leaves_nothing_behind),
        test_in_folder(test_replaces_whole_files),
        test_in_folder(test_a_failed_replacement_leaves_the_old_and_no_rest),
        test_in_folder(test_tidies_after_replacements_that_were_cut_off),
        test_in_folder(test_a_full_disk_leaves_the_old_and_no_rest),
        test_in_folder(test_removes_trees_but_follows_no_link),
        test_in_folder(test_does_not_remove_into_a_mount),
        test_in_folder(test_exists_looks_at_links_themselves),
        cmocka_unit_test(test_joins_paths),
        test_in_folder(test_a_folder_that_others_may_write_is_not_obeyed),
        test_in_folder(test_syncs),
        test_in_folder(test_a_lock_is_one_holders_alone),
        test_in_folder(test_a_lock_that_is_given_back_in_a_moment_is_waited_for),
        test_in_folder(test_a_lock_that_somebody_keeps_is_not_waited_for_long),
        test_in_folder(test_a_lock_follows_no_link),
        test_in_folder(test_reads_an_open_file_up_to_the_limit),
        test_in_folder(test_removes_nothing_that_leads_out_of_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
