/* Room that is set aside, and given up only for want of room. */
#include "base/file.h"
#include "base/reserve.h"
#include "support/test.h"
#include <errno.h>
#include <sys/stat.h>

static void test_is_really_allocated(void **state) {
    int dir = ((TestFolder *)*state)->fd;
    struct stat status;
    assert_int_equal(reserve_keep(dir, NULL), 0);
    assert_int_equal(fstatat(dir, "reserve", &status, 0), 0);
    assert_int_equal(status.st_size, RESERVE_BYTES);
    assert_true(status.st_blocks * 512 >= RESERVE_BYTES);
    assert_int_equal(reserve_keep(dir, NULL), 0);
}

static void test_is_given_up_once_and_only_for_want_of_room(void **state) {
    int dir = ((TestFolder *)*state)->fd;
    Error other = {.kind = ERROR_SYSTEM, .number = EIO}, full = {.kind = ERROR_SYSTEM, .number = ENOSPC};
    assert_int_equal(reserve_keep(dir, NULL), 0);
    assert_false(reserve_release(dir, &other));
    assert_true(reserve_release(dir, &full));
    assert_int_equal(file_exists(dir, "reserve", NULL), 0);
    assert_false(reserve_release(dir, &full));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_is_really_allocated),
        test_in_folder(test_is_given_up_once_and_only_for_want_of_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
