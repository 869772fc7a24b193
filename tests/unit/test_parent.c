#include "package/parent.h"
#include "support/sample.h"
#include <errno.h>

static void make(int dir) {
    assert_int_equal(mkdirat(dir, "a", 0755), 0);
    assert_int_equal(mkdirat(dir, "a/b", 0755), 0);
    sample_text(dir, "a/b/file", "x");
    assert_int_equal(symlinkat("a", dir, "link"), 0);
}

static void test_opens_the_folder_once_for_neighbours(void **state) {
    TestFolder *folder = *state;
    make(folder->fd);
    Parent parent;
    parent_init(&parent, folder->fd);
    const char *name;
    int first = parent_open(&parent, "a/b/file", &name);
    assert_true(first >= 0);
    assert_string_equal(name, "file");
    assert_int_equal(faccessat(first, name, F_OK, 0), 0);
    assert_int_equal(parent_open(&parent, "a/b/other", &name), first);
    assert_int_equal(parent_open(&parent, "top", &name), folder->fd);
    assert_string_equal(name, "top");
    int other = parent_open(&parent, "a/b", &name);
    assert_int_equal(faccessat(other, "b", F_OK, 0), 0);
    parent_close(&parent);
}

static void test_follows_no_links_and_leads_nowhere_else(void **state) {
    TestFolder *folder = *state;
    make(folder->fd);
    Parent parent;
    parent_init(&parent, folder->fd);
    const char *name;
    assert_int_equal(parent_open(&parent, "link/b", &name), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(parent_open(&parent, "../x", &name), -1);
    assert_int_equal(parent_open(&parent, "/etc/x", &name), -1);
    assert_int_equal(parent_open(&parent, "missing/x", &name), -1);
    assert_int_equal(errno, ENOENT);
    assert_true(parent_open(&parent, "a/b/file", &name) >= 0); /* and goes on after a failure */
    parent_close(&parent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_opens_the_folder_once_for_neighbours),
        test_in_folder(test_follows_no_links_and_leads_nowhere_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
