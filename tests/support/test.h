/* Test: cmocka with what it needs, a folder of one's own, and skipping aloud.
 *
 *     TEST_SKIP("needs root to mount");          counted as skipped, with the reason in ./check's output
 *     test_in_folder(test_writes)                a row whose test gets a TestFolder in *state
 *
 * $UPKEEP_TEST chooses the tests of a program by name; * and ? stand for anything.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_SKIP(reason)                                                                                    \
    do {                                                                                                     \
        print_message("# skipped: %s\n", reason);                                                            \
        skip();                                                                                              \
    } while (0)

__attribute__((constructor)) static void test_choose(void) {
    const char *chosen = getenv("UPKEEP_TEST");
    if (chosen) cmocka_set_test_filter(chosen);
}

typedef struct TestFolder {
    char path[64];
    int fd;
} TestFolder;

static inline int test_folder_setup(void **state) {
    TestFolder *folder = calloc(1, sizeof *folder);
    if (!folder) return -1;
    snprintf(folder->path, sizeof folder->path, "/tmp/upkeep-test-XXXXXX");
    if (!mkdtemp(folder->path)) return -1;
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = folder;
    return folder->fd < 0 ? -1 : 0;
}

static inline int test_folder_remove_one(const char *path, const struct stat *status, int type,
                                         struct FTW *at) {
    (void)status, (void)type, (void)at;
    return remove(path);
}

static inline int test_folder_teardown(void **state) {
    TestFolder *folder = *state;
    close(folder->fd);
    int result = nftw(folder->path, test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return result;
}

#define test_in_folder(function)                                                                             \
    cmocka_unit_test_setup_teardown(function, test_folder_setup, test_folder_teardown)

/* Wait until `condition` holds; fails the test after two minutes. */
#define AT_LAST(condition)                                                                                   \
    do {                                                                                                     \
        for (int tries_ = 0; !(condition); tries_++) {                                                       \
            if (tries_ == 12000) fail_msg("never came true: %s", #condition);                                \
            usleep(10000);                                                                                   \
        }                                                                                                    \
    } while (0)
