#include "base/buffer.h"
#include "base/file.h"
#include "package/output.h"
#include "package/tree.h"
#include "support/sample.h"

static void path_in(const TestFolder *folder, const char *name, char out[static 128]) {
    snprintf(out, 128, "%s/%s", folder->path, name);
}

static size_t count_entries(const TestFolder *folder) {
    TREE_AUTO tree = NULL;
    assert_done(tree_scan(folder->fd, NULL, &tree, error));
    return tree->count;
}

static void test_appears_whole_when_committed(void **state) {
    TestFolder *folder = *state;
    char path[128];
    path_in(folder, "file", path);
    sample_text(folder->fd, "file", "old");
    Output output;
    BUFFER_AUTO before = {0};
    BUFFER_AUTO after = {0};
    assert_done(output_begin(&output, path, error));
    assert_done(file_write_all(output.fd, "new", 3, error));
    assert_done(file_read(folder->fd, "file", 10, &before, error));
    assert_string_equal(before.data, "old");
    assert_done(output_commit(&output, error));
    assert_done(file_read(folder->fd, "file", 10, &after, error));
    assert_string_equal(after.data, "new");
    assert_int_equal(count_entries(folder), 1);
}

static void test_leaves_nothing_when_aborted(void **state) {
    TestFolder *folder = *state;
    char path[128];
    path_in(folder, "file", path);
    Output output;
    assert_done(output_begin(&output, path, error));
    assert_int_equal(output_abort(&output), -1);
    assert_int_equal(count_entries(folder), 0);
}

static void test_leaves_nothing_when_it_cannot_be_committed(void **state) {
    TestFolder *folder = *state;
    char path[128];
    path_in(folder, "file", path);
    Output output;
    assert_done(output_begin(&output, path, error));
    assert_int_equal(mkdirat(folder->fd, "file", 0755), 0); /* a folder came in between */
    assert_refused(output_commit(&output, error), ERROR_SYSTEM, "cannot write file");
    assert_int_equal(count_entries(folder), 1);
}

static void test_refuses_what_cannot_be_a_name(void **state) {
    TestFolder *folder = *state;
    char path[128];
    Output output;
    path_in(folder, "", path);
    assert_refused(output_begin(&output, path, error), ERROR_INVALID, "cannot be the name");
    path_in(folder, "missing/file", path);
    assert_refused(output_begin(&output, path, error), ERROR_SYSTEM, "cannot open the folder of");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_appears_whole_when_committed),
        test_in_folder(test_leaves_nothing_when_aborted),
        test_in_folder(test_leaves_nothing_when_it_cannot_be_committed),
        test_in_folder(test_refuses_what_cannot_be_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
